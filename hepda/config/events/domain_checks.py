"""Checks of the domain losses: the samples or variations of their domains, and the classes that they compare."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hepda.adversarial.methods import METHODS
from hepda.config.events.model_checks import methods_of
from hepda.config.events.systematics import varied_samples
from hepda.config.events.variations import problems_of_variations, variations_of
from hepda.config.models import DomainConfig, NetworkConfig
from hepda.config.problems import duplicates, given, unknown

if TYPE_CHECKING:
    from hepda.config.events.analysis import AnalysisConfig


def domain_heads(config: AnalysisConfig) -> Iterator[str]:
    """Yield every problem of the sections `domain` as `path: what is wrong`."""
    for model, section in config.models.items():
        if isinstance(section, NetworkConfig) and section.domain is not None:
            path = f"models.{model}.domain"
            if section.domain.rows not in (known := ("background", "signal", "all", *config.class_names)):
                yield unknown(f"{path}.rows", section.domain.rows, "class", dict.fromkeys(known))
                continue
            yield from _sides(config, path, section.domain)
            yield from _several(config, path, section.domain)
            if section.domain.by is not None:
                yield from _by_class(config, path, section.domain)


def domain_classes(config: AnalysisConfig, domain: DomainConfig) -> tuple[str, ...]:
    """Return the classes that `by: class` compares one by one: those of the source that `rows` takes; else none."""
    if domain.by is None:
        return ()
    found = _classes(config, domain, domain.source)
    return tuple(name for name in config.class_names if name in found)


def _classes(config: AnalysisConfig, domain: DomainConfig, samples: tuple[str, ...]) -> set[str]:
    """Return the classes of the samples that the domain loss sees."""
    present = [name for name in samples if name in config.samples and not config.samples[name].is_data]
    return {str(config.samples[n].class_) for n in present if domain.rows in ("all", *_of_rows(config, n))}


def _of_rows(config: AnalysisConfig, sample: str) -> tuple[str | None, ...]:
    return config.samples[sample].class_, config.side_of(sample)


def _sides(config: AnalysisConfig, path: str, domain: DomainConfig) -> Iterator[str]:
    yield from _domain_side(config, f"{path}.source", domain.source, domain.rows)
    if domain.variation_names is not None:
        yield from _variations(config, path, domain, domain.variation_names)
        return
    if not domain.targets:
        yield f"{path}.target: is empty; name at least one domain."
    domain_of: dict[str, str] = {}
    for target, names in domain.targets.items():
        where = f"{path}.{domain.key_of(target)}"
        yield from _domain_side(config, where, names, domain.rows)
        for name in dict.fromkeys(names):
            if name in domain.source:
                yield f"{where}: {name!r} is in source as well; a sample has one domain."
            elif name in domain_of:
                yield f"{where}: {name!r} is in {domain_of[name]} as well; a sample has one domain."
            domain_of.setdefault(name, target)


def _domain_side(config: AnalysisConfig, path: str, names: tuple[str, ...], rows: str) -> Iterator[str]:
    yield from duplicates(path, names)
    if not names:
        yield f"{path}: is empty; name at least one sample."
    usable = False
    for name in names:
        sample = config.samples.get(name)
        if sample is None:
            yield unknown(path, name, "sample", list(config.samples))
            usable = True  # one message is enough
        elif sample.use == "evaluate":
            yield f"{path}: {name!r} is marked `use: evaluate`; no model may train on it."
        elif rows != "all" and sample.is_data:
            yield (
                f"{path}: the class of {name!r} is unknown (it is data), so `rows: {rows}` picks none of "
                "its events; use `rows: all`, or simulation."
            )
        usable = usable or (sample is not None and (rows in ("all", *_of_rows(config, name)) or sample.is_data))
    if names and not usable:
        yield f"{path}: no sample of the list has `class: {rows}`, the rows that the domain head sees."


def _variations(config: AnalysisConfig, path: str, domain: DomainConfig, names: tuple[str, ...]) -> Iterator[str]:
    """Yield the problems of a target that is the source with its events varied."""
    where = f"{path}.target.variation"
    others = [name for name in domain.target if name != "variation"]
    if others:
        yield (
            f"{path}.target: has `variation` (the events of the source, varied) and domains of samples "
            f"({', '.join(others)}); take one or the other, in two models if both are wanted."
        )
    yield from problems_of_variations(where, config.systematics, names)
    for systematic in dict.fromkeys(v.systematic for v in variations_of(config.systematics, names)):
        varied = varied_samples(config, systematic)
        if not any(name in varied for name in domain.source):
            yield (
                f"{where}: systematics.{systematic} acts on none of the source ({', '.join(domain.source)}), so "
                f"nothing differs; it acts on {', '.join(varied) or 'nothing'}."
            )
    if given(domain, "batch_share"):
        yield f"{path}.batch_share: has no effect with variations, whose rows are those of the source; remove it."


def _several(config: AnalysisConfig, path: str, domain: DomainConfig) -> Iterator[str]:
    """Yield the problems of a method with several target domains, and of what takes one target of samples."""
    varied = domain.variation_names
    targets = domain.targets if varied is None else variations_of(config.systematics, varied)
    if len(targets) > 1:
        for name in methods_of(domain):
            if name in METHODS and METHODS[name].several == "never":
                yield (
                    f"{path}.method: {name!r} learns from its predictions on the target and does not compare domains; "
                    f"it cannot tell {len(targets)} of them apart. Give their samples as one list."
                )
    if domain.reweight is not None and (len(targets) > 1 or varied is not None):
        yield f"{path}.reweight: weights the source like one target of samples; name one, or remove it."


def _by_class(config: AnalysisConfig, path: str, domain: DomainConfig) -> Iterator[str]:
    """Yield the problems of a comparison class by class."""
    for name in methods_of(domain):
        if name == "conditional" or (name in METHODS and METHODS[name].several == "never"):
            why = "has a head a class already" if name == "conditional" else "does not compare domains"
            yield f"{path}.by: method {name!r} {why}; remove `by`, or take another method."
    data = [n for n in (*domain.source, *domain.target_samples) if n in config.samples and config.samples[n].is_data]
    if data:
        yield (
            f"{path}.by: the events of {', '.join(data)} have no class (they are data), so they cannot be compared "
            "class by class; remove `by`, or name simulation."
        )
        return
    of_source = _classes(config, domain, domain.source)
    for target, samples in domain.targets.items():
        of_target, where = _classes(config, domain, samples), f"{path}.{domain.key_of(target)}"
        for has, lacks, lacking in (
            ("source", where, of_source - of_target),
            (domain.key_of(target), f"{path}.source", of_target - of_source),
        ):
            for name in sorted(lacking):
                yield (
                    f"{lacks}: has no sample of the class {name!r}, which the {has} has; `by: class` compares each "
                    "class of one domain with the same class of the other. Add one, or leave the class out of both."
                )
