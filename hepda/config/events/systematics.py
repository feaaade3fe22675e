"""The section `systematics:`: what is uncertain in the templates of a fit, and the checks of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from hepda.config.problems import duplicates, unknown
from hepda.config.section import Expression, Name, Names, Positive, Section

if TYPE_CHECKING:
    from hepda.config.events.analysis import AnalysisConfig

Branches = Annotated[dict[str, str], Field(min_length=1)]

RESERVED = ("mu", "staterror")
"""Names of the fit's own parameters: no systematic may have the first name or begin with the second."""


class Systematic(Section):
    """One nuisance parameter: the same for all samples that it acts on."""

    samples: Names | None = None
    """Simulated samples of the nominal domain that it acts on; null: all of them."""


class ShapeSystematic(Systematic):
    """Events are selected, weighted and scored again with other branches, e.g. with another jet energy scale."""

    kind: Literal["shape"]
    """Other branches: events are selected, weighted and scored again."""
    up: Branches
    """Branch -> branch that replaces it one standard deviation up: `jet_pt: jet_pt_jes_up`."""
    down: Branches | None = None
    """One standard deviation down; null: the mirror image of `up`."""


class WeightSystematic(Systematic):
    """Events get another weight."""

    kind: Literal["weight"]
    """Another weight of each event."""
    up: Expression
    """Factor on the physical weight one standard deviation up: `b_weight_up / b_weight`."""
    down: Expression | None = None
    """One standard deviation down; null: the mirror image of `up`."""


class TwoPointSystematic(Systematic):
    """Another generator is one standard deviation up, its mirror image down."""

    kind: Literal["two_point"]
    """Another generator."""
    domain: Name
    """Domain of the other generator; all its samples of a class represent that class."""
    rate: bool = False
    """Whether its yield counts as well as its shape."""


class NormSystematic(Systematic):
    """The rate is known to a fraction only: factors 1 + value and 1 / (1 + value)."""

    kind: Literal["norm"]
    """Another rate."""
    value: Positive
    """One standard deviation, relative."""


SystematicConfig = Annotated[
    ShapeSystematic | WeightSystematic | TwoPointSystematic | NormSystematic, Field(discriminator="kind")
]


def template_samples(config: AnalysisConfig) -> tuple[str, ...]:
    """Return the samples that templates are made of: the simulated ones of the nominal domain."""
    return tuple(n for n, s in config.samples.items() if not s.is_data and s.domain == config.nominal_domain)


def varied_samples(config: AnalysisConfig, name: str) -> tuple[str, ...]:
    """Return the samples that a systematic acts on."""
    named = config.systematics[name].samples
    return template_samples(config) if named is None else named


def problems_of_systematics(config: AnalysisConfig) -> Iterator[str]:
    """Yield every problem as `path: what is wrong`."""
    for name, section in config.systematics.items():
        path = f"systematics.{name}"
        if name == RESERVED[0] or name.startswith(RESERVED[1]):
            yield f"{path}: the fit uses that name itself; choose another."
        if section.samples is not None:
            yield from _named(config, f"{path}.samples", section.samples)
        if isinstance(section, TwoPointSystematic):
            yield from _two_point(config, name, section)


def _named(config: AnalysisConfig, path: str, names: tuple[str, ...]) -> Iterator[str]:
    template_names, source = template_samples(config), config.nominal_domain
    yield from duplicates(path, names)
    if not names:
        yield f"{path}: is empty; name at least one sample, or leave it out for all."
    for name in names:
        if name not in config.samples:
            yield unknown(path, name, "sample", template_names)
        elif name not in template_names:
            yield f"{path}: {name!r} makes no template: those are the simulated samples of the domain {source!r}."


def _two_point(config: AnalysisConfig, name: str, section: TwoPointSystematic) -> Iterator[str]:
    path, source = f"systematics.{name}.domain", config.nominal_domain
    samples = [n for n, s in config.samples.items() if s.domain == section.domain]
    if not samples:
        yield unknown(path, section.domain, "domain", [d for d in config.domains if d != source])
        return
    if section.domain == source:
        yield f"{path}: {source!r} makes the templates; name the domain of another generator."
        return
    classes = {config.side_of(n) for n in varied_samples(config, name) if n in config.samples}
    for class_name in ("signal", "background"):
        if class_name in classes and not any(config.side_of(n) == class_name for n in samples):
            yield (
                f"{path}: {section.domain!r} has no {class_name} sample to compare with; take the {class_name} out of "
                "`samples`, or name another domain."
            )
