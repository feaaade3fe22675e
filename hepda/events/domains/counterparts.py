"""Samples of two domains that are of the same processes, so that only the same processes are compared.

Where only one of several backgrounds has a second generator, the sum of all backgrounds of the one domain differs from
that of the other by its composition, even if both generators are the same. Therefore the processes that both domains
have are compared. A process is declared (`process` of a sample), or is the group of `stitched` samples, or follows from
the names: `ttjets_alt` is the counterpart of `ttjets`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from hepda.config import AnalysisConfig

_GENERIC = frozenset({"background", "bkg", "mc", "nominal", "sample", "sig", "signal", "sim"})
"""Words of a name that do not identify a process, unless the name has no other words."""


@dataclass(frozen=True, slots=True)
class Counterparts:
    """The samples of one class in the source and in another domain, by process.

    processes: for each process that both have, the samples of the source and of the other domain; source_alone,
    other_alone: samples whose process the other side does not have; why: the reason if no process could be matched, so
    that nothing is compared.
    """

    class_name: str
    other: str
    processes: dict[str, tuple[tuple[str, ...], tuple[str, ...]]]
    source_alone: tuple[str, ...] = ()
    other_alone: tuple[str, ...] = ()
    why: str | None = None

    @property
    def alone(self) -> tuple[str, ...]:
        """All samples that are left out of a comparison."""
        return (*self.source_alone, *self.other_alone)

    def as_metrics(self) -> dict[str, Any]:
        """Return processes.<source>:<other>.<class> of metrics.json."""
        entry: dict[str, Any] = {
            "compared": {name: {"source": list(s), "other": list(o)} for name, (s, o) in self.processes.items()},
            "without_counterpart": {"source": list(self.source_alone), "other": list(self.other_alone)},
        }
        return entry | ({"why": self.why} if self.why else {})


@dataclass(frozen=True, slots=True)
class _Process:
    """Samples of one domain that are one process: declared, stitched, or a single sample."""

    name: str
    declared: bool
    samples: tuple[str, ...]


def counterparts(config: AnalysisConfig, other: str, class_name: str) -> Counterparts:
    """Return which samples of a class in the nominal domain and in `other` are of the same processes.

    A process that is declared in both domains is matched by its name, every other one by the words with which both
    names begin (or else end); the largest number of common words decides. A class that is a single process in both
    needs no names.

    Args:
        config: the analysis.
        other: the domain that is compared with the nominal one.
        class_name: `background` or `signal`.

    """
    source = config.domains[0]
    ours, theirs = (list(_processes(config, domain, class_name)) for domain in (source, other))
    if not ours or not theirs:
        return Counterparts(class_name, other, {}, _samples(ours), _samples(theirs))
    partners = {process.name: _partners(config, process, ours) for process in theirs}
    if not any(partners.values()) and len(ours) == 1 and not (ours[0].declared and any(p.declared for p in theirs)):
        partners = {process.name: ours for process in theirs}  # only one process: the others must be the same
    if not any(partners.values()):
        mine, yours = _samples(ours), _samples(theirs)
        return Counterparts(class_name, other, {}, mine, yours, _unknown(source, other, class_name, mine, yours))
    found: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    for process in theirs:
        own = partners[process.name]
        if own:
            name = own[0].name if len(own) == 1 else process.name
            before = found.get(name, ((), ()))
            found[name] = (tuple(dict.fromkeys((*before[0], *_samples(own)))), (*before[1], *process.samples))
    matched = {sample for sides in found.values() for side in sides for sample in side}
    alone = [tuple(s for s in _samples(side) if s not in matched) for side in (ours, theirs)]
    return Counterparts(class_name, other, found, alone[0], alone[1])


def composition(config: AnalysisConfig) -> dict[str, dict[str, Counterparts]]:
    """Return the counterparts of every other simulated domain, by the classes that it shares with the source."""
    found: dict[str, dict[str, Counterparts]] = {}
    for other in config.domains[1:]:
        shared = [
            name
            for name in ("background", "signal")
            if all(any(_processes(config, domain, name)) for domain in (config.domains[0], other))
        ]
        if shared:
            found[other] = {name: counterparts(config, other, name) for name in shared}
    return found


def unknown_composition(config: AnalysisConfig) -> dict[str, str]:
    """Return other domains for which it is not known which of their processes are the source's, with the reason."""
    found = {}
    for other, by_class in composition(config).items():
        reasons = [c.why for c in by_class.values() if c.why]
        if reasons:
            found[other] = "; ".join(reasons)
    return found


def composition_lines(config: AnalysisConfig) -> list[str]:
    """Return lines of text about the processes that have no counterpart; none where all have one."""
    source, said = config.domains[0], []
    for other, by_class in composition(config).items():
        for name, found in by_class.items():
            if found.why:
                said.append(f"{source} against {other}: {found.why}")
            elif found.alone:
                said.append(f"{source} against {other}, {name}: {_left_out(config, found)}")
    return said


def _left_out(config: AnalysisConfig, found: Counterparts) -> str:
    source = config.domains[0]
    sides = ((found.source_alone, source, found.other), (found.other_alone, found.other, source))
    alone = [f"{', '.join(own)} of {here} {_has(own)} no counterpart in {there}" for own, here, there in sides if own]
    like = "; ".join(f"{', '.join(s)} with {', '.join(o)}" for s, o in found.processes.values())
    return (
        f"{' and '.join(alone)} and {_has(found.alone, 'is', 'are')} left out of their comparison; compared: {like}. "
        "If that is wrong, give the samples of one process the same `process`"
    )


def _has(names: Sequence[str], one: str = "has", more: str = "have") -> str:
    return one if len(names) == 1 else more


def _unknown(source: str, other: str, class_name: str, ours: Sequence[str], theirs: Sequence[str]) -> str:
    return (
        f"which {class_name} of {source} ({', '.join(ours)}) corresponds to {', '.join(theirs)} of {other} is not "
        "known, so nothing is compared; give the samples of one process the same `process`"
    )


def _processes(config: AnalysisConfig, domain: str, class_name: str) -> Iterator[_Process]:
    """Yield the processes of a class in a domain, in the order of the samples."""
    stitched = {sample: group for group, members in config.stitched.items() for sample in members}
    groups: dict[tuple[str, bool], list[str]] = {}
    for name, sample in config.samples.items():
        if sample.domain == domain and sample.class_ == class_name:
            process = sample.process or stitched.get(name, name)
            groups.setdefault((process, sample.process is not None), []).append(name)
    for (process, declared), samples in groups.items():
        yield _Process(process, declared, tuple(samples))


def _samples(processes: Sequence[_Process]) -> tuple[str, ...]:
    return tuple(sample for process in processes for sample in process.samples)


def _partners(config: AnalysisConfig, process: _Process, candidates: Sequence[_Process]) -> list[_Process]:
    """Return the candidates whose names agree best with that of a process; none if no word of them agrees."""
    same = [c for c in candidates if c.name == process.name]
    if same:
        return same
    agree = {
        c.name: _agreement(config, process.name, c.name)
        for c in candidates
        if not (c.declared and process.declared)  # both processes are declared, and they are different
    }
    best = max(agree.values(), default=(0, 0))
    return [c for c in candidates if agree.get(c.name) == best] if any(best) else []


def _words(config: AnalysisConfig, name: str) -> list[str]:
    """Return the words of a name, without names of domains."""
    words = [word for word in re.split(r"[^a-z0-9]+", name.casefold()) if word]
    domains = {domain.casefold() for domain in config.domains}
    return [word for word in words if word not in domains] or words


def _agreement(config: AnalysisConfig, first: str, second: str) -> tuple[int, int]:
    """Return how many words two names begin with in common; only if there are none, how many they end with.

    Generic words count only where one of the names has no others.
    """
    one, two = _words(config, first), _words(config, second)
    telling = [[word for word in words if word not in _GENERIC] for words in (one, two)]
    if all(telling):
        one, two = telling
    begin = _common(one, two)
    return (begin, 0) if begin else (0, _common(one[::-1], two[::-1]))


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))
