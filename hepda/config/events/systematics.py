"""The section `systematics:`: what is uncertain in the templates of a fit, and the checks of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from hepda.config.events.eras import PositiveByEra, process_name
from hepda.config.problems import duplicates, unknown
from hepda.config.section import Eras, Expression, Name, Names, Section

if TYPE_CHECKING:
    from hepda.config.events.analysis import AnalysisConfig

Branches = Annotated[dict[str, str], Field(min_length=1)]

RESERVED = ("mu", "staterror")
"""Names of the fit's own parameters: no systematic may have the first name or begin with the second."""


class CorrelatedConfig(Section):
    """Whether one nuisance parameter acts everywhere."""

    processes: bool = True
    """Whether all processes share the parameter; false: each has its own, `<name>_<process>`."""
    regions: bool = True
    """Whether all regions share the parameter; false: each has its own, `<name>_<region>`."""
    eras: bool = True
    """Whether all eras share the parameter; false: a systematic of its own for each era, `<name>_<era>`, which acts on
    the samples of the era."""


class Systematic(Section):
    """One nuisance parameter, or one for each process or region that it acts on (`correlated`)."""

    samples: Names | None = None
    """Simulated samples of the nominal domain that it acts on; null: all of them."""
    eras: Eras | None = None
    """Eras whose samples it acts on; null: all eras."""
    correlated: CorrelatedConfig = CorrelatedConfig()
    """Whether processes and regions share the parameter."""
    label: str | None = None
    """Its name in figures; null: the name with spaces. Text between dollar signs is mathematics."""


class ShapeSystematic(Systematic):
    """Events are selected, weighted and scored again with other branches, e.g. with another jet energy scale."""

    kind: Literal["shape"]
    """The kind of systematic: other branches, with which events are selected, weighted and scored again."""
    up: Branches
    """Branch -> branch that replaces it one standard deviation up: `jet_pt: jet_pt_jes_up`."""
    down: Branches | None = None
    """The same one standard deviation down; null: the mirror image of `up`."""


class WeightSystematic(Systematic):
    """Events get another weight."""

    kind: Literal["weight"]
    """The kind of systematic: another weight of each event."""
    up: Expression
    """Factor on the physical weight one standard deviation up: `b_weight_up / b_weight`."""
    down: Expression | None = None
    """The same one standard deviation down; null: the mirror image of `up`."""


class TwoPointSystematic(Systematic):
    """Another generator is one standard deviation up, its mirror image down."""

    kind: Literal["two_point"]
    """The kind of systematic: another generator."""
    domain: Name
    """Domain of the other generator; all its samples of a class represent that class, or each process its own where
    processes are not correlated."""
    rate: bool | Literal["apart"] = False
    """Whether its yield counts as well as its shape. `apart`: both, as two parameters, `<name>_shape` and
    `<name>_rate`. The yield is that of all fitted regions together, or of each where regions are not correlated."""


class NormSystematic(Systematic):
    """The rate is known to a fraction only: factors 1 + value and 1 / (1 + value)."""

    kind: Literal["norm"]
    """The kind of systematic: a rate that is known to a fraction."""
    value: PositiveByEra
    """One standard deviation of the rate, as a fraction of it; or that of each era, `{2016: 0.012, 2017: 0.023}`, which
    makes a systematic of its own of each, `<name>_<era>`."""


class FreeSystematic(Systematic):
    """The rate is not known at all: a factor that the fit determines, without a prior (a normfactor)."""

    kind: Literal["free"]
    """The kind of systematic: a rate that the fit determines alone."""
    samples: Names
    """Simulated samples of the nominal domain that it scales; no signal, which mu scales."""


SystematicConfig = Annotated[
    ShapeSystematic | WeightSystematic | TwoPointSystematic | NormSystematic | FreeSystematic,
    Field(discriminator="kind"),
]

SHAPE, RATE = "shape", "rate"
"""Endings of the two parameters of a two-point systematic with `rate: apart`."""


def parameter_name(name: str, section: Systematic, process: str, region: str, part: str = "") -> str:
    """Return the name of the parameter by which a systematic acts on a process in a region.

    Args:
        name: the systematic.
        section: its section of the analysis file.
        process: the process of the sample.
        region: the region.
        part: SHAPE or RATE where the two are apart.

    """
    correlated = section.correlated
    parts = ("" if correlated.processes else process, "" if correlated.regions else region, part)
    return "_".join([name, *filter(None, parts)])


def parts_of(section: Systematic) -> tuple[str, ...]:
    """Return the endings of the parameters of a systematic: shape and rate where they are apart, else nothing."""
    return (SHAPE, RATE) if isinstance(section, TwoPointSystematic) and section.rate == "apart" else ("",)


def process_of(config: AnalysisConfig, sample: str) -> str:
    """Return the process of a sample: declared, or its group of stitched samples, or the sample itself."""
    section = config.samples[sample]
    group = next((group for group, members in config.stitched.items() if sample in members), None)
    return process_name(sample, section, group)


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
        if name in (RESERVED[0], *(f"mu_{of}" for of in config.signal)) or name.startswith(RESERVED[1]):
            yield f"{path}: the fit uses that name itself; choose another."
        if section.samples is not None:
            yield from _named(config, f"{path}.samples", section.samples)
        if isinstance(section, TwoPointSystematic):
            yield from _two_point(config, name, section)
    yield from _free_rates(config)
    yield from _parameters(config)


def _free_rates(config: AnalysisConfig) -> Iterator[str]:
    """Yield a problem for each sample that two factors would scale."""
    owner: dict[str, str] = {}
    for name, section in config.systematics.items():
        if not isinstance(section, FreeSystematic):
            continue
        path = f"systematics.{name}.samples"
        for sample in section.samples:
            if sample in config.samples and config.side_of(sample) == "signal":
                yield f"{path}: {sample!r} is signal, which mu scales already; take it out."
            elif owner.setdefault(sample, name) != name:
                yield f"{path}: the free rate {owner[sample]!r} scales {sample!r} already; name it once."


def _parameters(config: AnalysisConfig) -> Iterator[str]:
    """Yield a problem for each two systematics of which a parameter would have the same name."""
    regions = ["all"] if config.fit is None else list(config.fit.regions)
    owner: dict[str, str] = {}
    for name, section in config.systematics.items():
        samples = [sample for sample in varied_samples(config, name) if sample in config.samples]
        processes = dict.fromkeys(process_of(config, sample) for sample in samples)
        names = {
            parameter_name(name, section, process, region, part)
            for process in processes
            for region in regions
            for part in parts_of(section)
        }
        for parameter in sorted(names):
            if owner.setdefault(parameter, name) != name:
                yield (
                    f"systematics.{name}: its parameter {parameter!r} has the name of one of "
                    f"systematics.{owner[parameter]}; choose another name."
                )


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
