"""The section `fit:`: the regions of `hepda fit`, their variables and bins, and the checks of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Strict, Tag

from hepda.config.events.class_checks import labels_of, predicted_classes
from hepda.config.events.systematics import FreeSystematic
from hepda.config.problems import unknown
from hepda.config.section import Bins, Expression, Name, Names, Positive, Section

if TYPE_CHECKING:
    from hepda.config.events.analysis import AnalysisConfig

Role = Literal["signal", "control", "validation"]


def _rising(edges: tuple[float, ...]) -> tuple[float, ...]:
    rising = all(low < high for low, high in pairwise(edges))
    if len(edges) < 2 or not rising or not all(map(math.isfinite, edges)):
        raise ValueError("edges of bins must be at least two finite numbers that rise")
    return edges


def _kind_of_bins(value: Any) -> str:
    return "edges" if isinstance(value, list | tuple) else "number"


Edges = Annotated[tuple[float, ...], Strict(strict=False), AfterValidator(_rising)]
BinsOrEdges = Annotated[Annotated[Bins, Tag("number")] | Annotated[Edges, Tag("edges")], Discriminator(_kind_of_bins)]


class RegionConfig(Section):
    """The events of a region, what is histogrammed of them, and what the region is for."""

    selection: Expression | None = None
    """A condition over variables and branches, taken besides the analysis's selection; null: every event. Data must
    have its branches."""
    largest: Name | None = None
    """A class: the model's output for it is the largest of all its outputs; null: any."""
    passes: Names = ()
    """Named working points of the model that is fitted (`working_points`): the events that pass all of them."""
    fails: Names = ()
    """Named working points of the model that is fitted: the events that pass none of them."""
    variable: Expression = "score"
    """What is histogrammed: `score`, a discriminant, `p_<class>`, the name of a model that predicts a number, or an
    expression over variables and branches."""
    bins: BinsOrEdges = 10
    """A number: at most so many bins are chosen. A list: the edges; what is outside counts to the end bins."""
    min_n_eff: Positive = 25.0
    """Smallest effective number of background events of the templates in a bin that is chosen, as expected from the
    validation events, which choose the bins."""
    role: Role = "signal"
    """`signal` and `control` are fitted; the bins of the score of a signal region follow its purity, and its data are
    blinded as a whole where `evaluation.blind` hides scores, those of a control region only if a score of them is
    hidden. `validation` is not fitted, but drawn with the parameters of the fit."""

    label: str | None = None
    """Its name in figures; null: the name with spaces. Text between dollar signs is mathematics."""

    @property
    def automatic(self) -> bool:
        """Return whether the bins are chosen."""
        return isinstance(self.bins, int)


class PruningConfig(Section):
    """Effects of systematics that are left out of a fit, by sample and region, as relative changes."""

    rate: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Changes of the sum of a region that are smaller."""
    shape: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Changes of shape of which no bin changes by more."""


class FitConfig(Section):
    """What `hepda fit` fits. Without this section there is one region, `all`, of the score in automatic bins."""

    regions: Annotated[dict[Name, RegionConfig], Field(min_length=1)] = Field(
        default_factory=lambda: {"all": RegionConfig()}
    )
    """The regions by name. No event may be in two regions that are fitted."""
    pruning: PruningConfig | None = None
    """Leave out small effects of systematics; null: none."""
    smoothing: Literal["353QH"] | None = None
    """Smooth the ratio of varied to nominal contents of shape, weight and two-point systematics (353QH twice, as ROOT's
    TH1::Smooth); null: no smoothing."""


SCORE = "score"
"""The variable that is the model's primary score."""


def output_names(config: AnalysisConfig) -> list[str]:
    """Return the variables of regions that models provide.

    The score, a probability a class and a label, the discriminants, and what models predict that predict a number.
    """
    labels = dict.fromkeys(f"p_{name}" for section in config.models.values() for name in labels_of(section))
    classes = [f"p_{name}" for name in config.class_names]
    numbers = (name for name, section in config.models.items() if section.regress is not None)
    return [SCORE, *classes, *config.discriminants, *(name for name in labels if name not in classes), *numbers]


def problems_of_fit(config: AnalysisConfig) -> Iterator[str]:
    """Yield every problem as `path: what is wrong`."""
    if config.fit is None:
        return
    regions, outputs = config.fit.regions, output_names(config)
    names: dict[str, str] = {}
    for name, region in regions.items():
        path = f"fit.regions.{name}"
        twin = names.setdefault(name.casefold(), name)
        if twin != name:
            yield f"{path}: differs from fit.regions.{twin} only by capital letters; choose another name."
        yield from _outputs(config, path, region, outputs)
    fitted = [region for region in regions.values() if region.role != "validation"]
    if not any(region.role == "signal" for region in regions.values()):
        yield "fit.regions: none has `role: signal`; a fit of the signal strength needs one."
    bins = sum(region.bins if isinstance(region.bins, int) else len(region.bins) - 1 for region in fitted)
    free = [name for name, section in config.systematics.items() if isinstance(section, FreeSystematic)]
    if bins <= len(free):
        yield (
            f"fit.regions: {bins} fitted bins cannot determine mu and {', '.join(free)}; add bins, or a control region "
            "of the processes whose rates are free."
        )


def _outputs(config: AnalysisConfig, path: str, region: RegionConfig, outputs: list[str]) -> Iterator[str]:
    """Yield a problem for an output that a model does not have."""
    if region.largest is not None and region.largest not in config.class_names:
        yield unknown(f"{path}.largest", region.largest, "class", config.class_names)
    variable = region.variable.strip()
    several = len(config.class_names) > 2
    for model, section in config.models.items():
        if several and section.regress is None and not predicted_classes(config, section):
            for key, value in (("largest", region.largest), ("variable", variable)):
                if value in (config.class_names if key == "largest" else outputs[1:]) and value not in config.models:
                    yield (
                        f"{path}.{key}: the model {model!r} has one score, so no {value!r}; give it `classes: all`, or "
                        "take it out of `models`."
                    )
    if variable in config.models and variable in config.variables and variable in outputs:
        yield (
            f"{path}.variable: {variable!r} is a model that predicts a number and a variable too; rename one of them."
        )
    of_class = (
        variable in config.models
        or variable.removeprefix("p_") in config.class_names
        or variable in config.discriminants
    )
    for model, section in config.models.items():
        answers = [f"p_{name}" for name in labels_of(section)]
        if variable in outputs[1:] and not of_class and variable not in answers:
            yield (
                f"{path}.variable: the model {model!r} does not learn the label of {variable!r}; name it in its "
                "`labels`, or take the model out of `models`."
            )
    if variable.startswith("p_") and variable not in outputs and variable not in config.variables:
        yield unknown(f"{path}.variable", variable, "variable of a region", [*outputs, *config.variables])
