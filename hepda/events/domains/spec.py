"""The domains of an analysis and the settings of its evaluation, resolved once and independent of the analysis file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hepda.config import EvaluationConfig
from hepda.evaluation.differences.ratios import TAIL
from hepda.events.domains.counterparts import ClassName, Counterparts
from hepda.events.specs import Classes, ModelSpec

FEWEST_REPLICAS = 20
"""Bootstrap replicas that are drawn at least: the ends of an interval of fewer are noise."""


@dataclass(frozen=True, slots=True)
class Domains:
    """The domains and how they are compared.

    nominal: the domain that is trained on, with which the others are compared; names: all of them, the nominal one
    first; data: those of recorded events or pseudo-data, whose classes are unknown; held_out: held-out generators,
    whose samples no model may train on; counterparts: by domain and class, which samples are of the processes of the
    nominal domain (without an entry, all events of the class are compared); hidden: the range of the score in which
    data are blinded.
    """

    nominal: str
    names: tuple[str, ...]
    data: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    counterparts: Mapping[tuple[str, ClassName], Counterparts] = field(default_factory=dict)
    hidden: tuple[float, float] | None = None

    def counterparts_of(self, other: str, class_name: ClassName) -> Counterparts:
        """Return which samples of a class in the nominal domain and in `other` are of the same processes."""
        return self.counterparts.get((other, class_name), Counterparts(class_name, other, {}))

    @property
    def composition(self) -> dict[str, dict[str, Counterparts]]:
        """Return the counterparts of the other domains, by domain and by the classes shared with the nominal one."""
        shared: dict[str, dict[str, Counterparts]] = {}
        for (other, class_name), entry in self.counterparts.items():
            if entry.processes or entry.why:
                shared.setdefault(other, {})[class_name] = entry
        return shared

    @property
    def unknown_composition(self) -> dict[str, str]:
        """Return the domains of which it is not known which processes are the nominal domain's, with the reason."""
        reasons = {
            other: "; ".join(entry.why for entry in by_class.values() if entry.why)
            for other, by_class in self.composition.items()
        }
        return {other: reason for other, reason in reasons.items() if reason}

    @property
    def has_second(self) -> bool:
        """Return whether the nominal domain may be compared with any other: simulation, or data not blinded."""
        return any(self.hidden is None or name not in self.data for name in self.names if name != self.nominal)

    @property
    def only_one_simulated(self) -> str | None:
        """Return as text what is not measured where only one domain is simulated; None where there are several."""
        if set(self.names) - {self.nominal, *self.data}:
            return None
        return (
            f"Only one domain, {self.nominal}, is simulated: models are trained and evaluated on it, and no difference "
            "between generators is measured. A sample of a second generator, with another `domain`, would show one."
        )


@dataclass(frozen=True, slots=True)
class EvaluationSpec:
    """What determines the numbers of an evaluation, besides the events and their scores.

    models: by name; baseline: the model with which the others are compared; settings: the section `evaluation`; seed:
    of every random number; folds: number of folds of the trainings; classes: of the events.
    """

    domains: Domains
    models: Mapping[str, ModelSpec]
    baseline: str
    settings: EvaluationConfig = field(default_factory=EvaluationConfig)
    seed: int = 1
    folds: int = 2
    classes: Classes = field(default_factory=Classes)

    @property
    def classifiers(self) -> dict[str, ModelSpec]:
        """Return the models that predict classes by a score; the others predict a number."""
        return {name: model for name, model in self.models.items() if model.predicts == "class"}

    @property
    def compared_class(self) -> ClassName:
        """Return the class whose events are compared between domains."""
        return self.settings.bias.class_ if self.settings.bias is not None else "background"

    @property
    def between(self) -> tuple[str, ...] | None:
        """Return the domains that are compared, the nominal one first; None for all."""
        return None if self.settings.bias is None else self.settings.bias.between

    @property
    def replicas(self) -> int:
        """Return the number of bootstrap replicas; fewer than 20 give no interval that means something."""
        return max(FEWEST_REPLICAS, self.settings.bootstrap)

    @property
    def shift_points(self) -> tuple[float, ...]:
        """Return the signal efficiencies at which efficiency shifts are given: the working points and the tail."""
        return tuple(sorted({*self.settings.working_points, *TAIL}))

    def describe(self) -> str:
        """Return the nominal domain, the baseline and the points of the efficiency shifts as a line of text."""
        if not self.classifiers:
            return f"nominal domain: {self.domains.nominal}; all models predict numbers, so there is no baseline"
        points = ", ".join(f"{point:g}" for point in self.shift_points)
        return (
            f"nominal domain: {self.domains.nominal}; baseline: {self.baseline}; efficiency shifts at signal "
            f"efficiencies {points}"
        )
