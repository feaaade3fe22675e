"""Samples of two domains that are of the same processes, so that only the same processes are compared.

Where only one of several backgrounds has a second generator, the sum of all backgrounds of the one domain differs from
that of the other by its composition, even if both generators are the same. Therefore the processes that both domains
have are compared. A process is declared (`process` of a sample), or is the group of `stitched` samples, or follows from
the names: `ttjets_alt` is the counterpart of `ttjets`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from hepda.config import SampleConfig
from hepda.config.events.eras import process_name
from hepda.events.specs import Classes
from hepda.events.specs import ClassName as ClassName

CLASS_NAMES: tuple[ClassName, ...] = ("background", "signal")

_GENERIC = frozenset({"background", "bkg", "mc", "nominal", "sample", "sig", "signal", "sim"})
"""Words of a name that do not identify a process, unless the name has no other words."""


@dataclass(frozen=True, slots=True)
class Counterparts:
    """The samples of one class in the source and in another domain, by process.

    processes: for each process that both have, the samples of the source and of the other domain; source_excluded,
    other_excluded: samples whose process the other side does not have; why: the reason if no process could be matched,
    so that nothing is compared.
    """

    class_name: str
    other: str
    processes: dict[str, tuple[tuple[str, ...], tuple[str, ...]]]
    source_excluded: tuple[str, ...] = ()
    other_excluded: tuple[str, ...] = ()
    why: str | None = None

    @property
    def excluded(self) -> tuple[str, ...]:
        """All samples that are left out of a comparison."""
        return (*self.source_excluded, *self.other_excluded)

    def as_metrics(self) -> dict[str, Any]:
        """Return processes.<source>:<other>.<class> of metrics.json."""
        entry: dict[str, Any] = {
            "compared": {name: {"source": list(s), "other": list(o)} for name, (s, o) in self.processes.items()},
            "without_counterpart": {"source": list(self.source_excluded), "other": list(self.other_excluded)},
        }
        return entry | ({"why": self.why} if self.why else {})


@dataclass(frozen=True, slots=True)
class SampleLayout:
    """The samples with their class, domain and process. domains: their names, the nominal domain first."""

    samples: Mapping[str, SampleConfig]
    domains: tuple[str, ...]
    classes: Classes
    stitched: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Process:
    """Samples of one domain and class that are one process: declared, stitched, or a single sample."""

    name: str
    declared: bool
    of_class: str
    samples: tuple[str, ...]


def all_counterparts(layout: SampleLayout) -> dict[tuple[str, ClassName], Counterparts]:
    """Return the counterparts of every domain besides the nominal one, by domain and class."""
    return {
        (other, class_name): counterparts(layout, other, class_name)
        for other in layout.domains[1:]
        for class_name in CLASS_NAMES
    }


def counterparts(layout: SampleLayout, other: str, class_name: ClassName) -> Counterparts:
    """Return which samples of a class in the nominal domain and in `other` are of the same processes.

    A process that is declared in both domains is matched by its name, every other one by the words with which both
    names begin (or else end); the largest number of common words decides. A class that is a single process in both
    needs no names.

    Args:
        layout: the samples.
        other: the domain that is compared with the nominal one.
        class_name: `background` or `signal`.

    """
    source = layout.domains[0]
    of_source, of_other = (list(_processes(layout, domain, class_name)) for domain in (source, other))
    if not of_source or not of_other:
        return Counterparts(class_name, other, {}, _samples(of_source), _samples(of_other))
    partners: dict[_Process, list[_Process]] = {}
    for name in dict.fromkeys(process.of_class for process in of_other):
        same_class = [[p for p in side if p.of_class == name] for side in (of_source, of_other)]
        partners |= _partners_in_class(layout.domains, *same_class)
    if not any(partners.values()):
        sides = _samples(of_source), _samples(of_other)
        return Counterparts(class_name, other, {}, *sides, _unknown(source, other, class_name, *sides))
    pairs: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    for process in of_other:
        nominal = partners[process]
        if nominal:
            name = nominal[0].name if len(nominal) == 1 else process.name
            before = pairs.get(name, ((), ()))
            pairs[name] = (tuple(dict.fromkeys((*before[0], *_samples(nominal)))), (*before[1], *process.samples))
    matched = {sample for sides in pairs.values() for side in sides for sample in side}
    excluded = [tuple(s for s in _samples(side) if s not in matched) for side in (of_source, of_other)]
    return Counterparts(class_name, other, pairs, excluded[0], excluded[1])


def composition_lines(nominal: str, composition: Mapping[str, Mapping[str, Counterparts]]) -> list[str]:
    """Return lines of text about the processes that have no counterpart; none where all have one.

    Args:
        nominal: the nominal domain.
        composition: the counterparts by other domain and class.

    """
    lines = []
    for other, by_class in composition.items():
        for name, entry in by_class.items():
            if entry.why:
                lines.append(f"{nominal} against {other}: {entry.why}")
            elif entry.excluded:
                lines.append(f"{nominal} against {other}, {name}: {_left_out(nominal, entry)}")
    return lines


def _left_out(nominal: str, entry: Counterparts) -> str:
    sides = ((entry.source_excluded, nominal, entry.other), (entry.other_excluded, entry.other, nominal))
    excluded = [
        f"{', '.join(s)} of {domain} {_has(s)} no counterpart in {partner}" for s, domain, partner in sides if s
    ]
    compared = "; ".join(f"{', '.join(s)} with {', '.join(o)}" for s, o in entry.processes.values())
    return (
        f"{' and '.join(excluded)} and {_has(entry.excluded, 'is', 'are')} left out of their comparison; compared: "
        f"{compared}. If that is wrong, give the samples of one process the same `process`"
    )


def _has(names: Sequence[str], singular: str = "has", plural: str = "have") -> str:
    return singular if len(names) == 1 else plural


def _unknown(source: str, other: str, class_name: str, of_source: Sequence[str], of_other: Sequence[str]) -> str:
    return (
        f"which {class_name} of {source} ({', '.join(of_source)}) corresponds to {', '.join(of_other)} of {other} is "
        "not known, so nothing is compared; give the samples of one process the same `process`"
    )


def _processes(layout: SampleLayout, domain: str, class_name: ClassName) -> Iterator[_Process]:
    """Yield the processes of a class in a domain, in the order of the samples."""
    stitched = {sample: group for group, members in layout.stitched.items() for sample in members}
    groups: dict[tuple[str, bool, str], list[str]] = {}
    for name, sample in layout.samples.items():
        if sample.domain == domain and layout.classes.side_of(name) == class_name:
            process = process_name(name, sample, stitched.get(name))
            groups.setdefault((process, sample.process is not None, str(sample.class_)), []).append(name)
    for group, samples in groups.items():
        yield _Process(*group, tuple(samples))


def _samples(processes: Sequence[_Process]) -> tuple[str, ...]:
    return tuple(sample for process in processes for sample in process.samples)


def _partners_in_class(
    domains: Sequence[str], of_source: Sequence[_Process], of_other: Sequence[_Process]
) -> dict[_Process, list[_Process]]:
    """Return for each process of the other domain its partners in the source, all of one class."""
    partners = {process: _partners(domains, process, of_source) for process in of_other}
    if (
        not any(partners.values())
        and len(of_source) == 1
        and not (of_source[0].declared and any(p.declared for p in of_other))
    ):
        return {process: list(of_source) for process in of_other}  # only one process: the others must be the same
    return partners


def _partners(domains: Sequence[str], process: _Process, candidates: Sequence[_Process]) -> list[_Process]:
    """Return the candidates whose names agree best with that of a process; none if no word of them agrees."""
    same = [c for c in candidates if c.name == process.name]
    if same:
        return same
    agree = {
        c.name: _agreement(domains, process.name, c.name)
        for c in candidates
        if not (c.declared and process.declared)  # both processes are declared, and they are different
    }
    best = max(agree.values(), default=(0, 0))
    return [c for c in candidates if agree.get(c.name) == best] if any(best) else []


def _words(domains: Sequence[str], name: str) -> list[str]:
    """Return the words of a name, without names of domains."""
    words = [word for word in re.split(r"[^a-z0-9]+", name.casefold()) if word]
    domain_names = {domain.casefold() for domain in domains}
    return [word for word in words if word not in domain_names] or words


def _agreement(domains: Sequence[str], first: str, second: str) -> tuple[int, int]:
    """Return how many words two names begin with in common; only if there are none, how many they end with.

    Generic words count only where one of the names has no others.
    """
    first_words, second_words = _words(domains, first), _words(domains, second)
    specific = [[word for word in words if word not in _GENERIC] for words in (first_words, second_words)]
    if all(specific):
        first_words, second_words = specific
    begin = _common(first_words, second_words)
    return (begin, 0) if begin else (0, _common(first_words[::-1], second_words[::-1]))


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))
