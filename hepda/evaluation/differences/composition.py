"""Where a difference between two domains comes from: the rates of the processes, or the shapes within them.

The share of the events of a domain that pass a cut is e = sum_p r_p e_p, with r_p the share of process p in the yield
and e_p its own efficiency. Between a source S and another domain O it changes by

    e(O) - e(S) = sum_p [r_p(O) - r_p(S)] [e_p(O) + e_p(S)] / 2     (rates)
                + sum_p [e_p(O) - e_p(S)] [r_p(O) + r_p(S)] / 2     (shapes),

which is exact: no interaction term is left, because each part is the mean of the two orders in which rates and shapes
can be changed (Kitagawa, J. Am. Stat. Assoc. 50 (1955) 1168; for two factors it is the Shapley value, Shorrocks,
J. Econ. Inequal. 11 (2013) 99). The two parts of one process add up to r_p(O) e_p(O) - r_p(S) e_p(S), the change of
what of it passes. A fit whose rates of processes are free absorbs the first sum, and not the second.

A process of which a domain has no event has the rate zero there; its efficiency is taken from the other domain, so that
its whole contribution is one of rates. Errors are propagated from the sums of squared weights of passing and failing
events of each process; the domains are independent, the cut is exact (as in `bias.efficiency_shift`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepda.evaluation.arrays import WeightedScores, bin_edges, bin_index, effective, sample
from hepda.evaluation.differences.distances import kolmogorov_smirnov
from hepda.evaluation.efficiency import cut_at_efficiency, limit_of_none, weighted_efficiency
from hepda.results.entries.decomposition import (
    BinnedDecomposition,
    Contribution,
    Decomposition,
    DomainDecomposition,
    ProcessContribution,
)
from hepda.results.evaluation import FloatArray

_ONE_SIGMA = 0.6827
_STEP = 1e-30
"""Imaginary step of a derivative; there is no cancellation, so it may be as small as this."""


@dataclass(frozen=True, slots=True, eq=False)
class ProcessScores:
    """Checked scores and signed weights of one domain, with the process of each event in [0, processes)."""

    events: WeightedScores
    process: NDArray[np.intp]  # [n]


def process_scores(
    score: ArrayLike, weight: ArrayLike | None, process: ArrayLike, processes: int, name: str
) -> ProcessScores:
    """Check the events of one domain.

    Args:
        score: scores [n].
        weight: signed weights [n]; None means ones.
        process: number of the process of each event [n].
        processes: how many processes there are.
        name: name of the domain in error messages.

    Raises:
        DataError: there are no events, a value is not finite, or the sum of weights is not positive.
        ValueError: the lengths differ, or a process has a number that is not in [0, processes).

    """
    events = sample(score, weight, name)
    index = np.asarray(process, dtype=np.intp)
    if index.shape != events.score.shape:
        raise ValueError(f"process has shape {index.shape} where {events.score.shape} is needed")
    if index.min() < 0 or index.max() >= processes:
        raise ValueError(f"processes of {name} are from {index.min()} to {index.max()}, not in [0, {processes})")
    return ProcessScores(events, index)


def decompose(
    source: ProcessScores,
    other: ProcessScores,
    names: Sequence[str],
    *,
    signal: WeightedScores,
    efficiencies: Sequence[float],
    edges: ArrayLike,
    class_name: str = "background",
) -> DomainDecomposition:
    """Decompose the shifts of the efficiency, the KS distance and the contents of bins of one score.

    Args:
        source: events of the source.
        other: events of the other domain.
        names: names of the processes, in the order of their numbers.
        signal: the signal of the source, which fixes the cuts.
        efficiencies: signal efficiencies of the cuts.
        edges: edges of the bins [b + 1]; the end bins are open.
        class_name: name of the class that is compared.

    """
    cuts = [cut_at_efficiency(signal.score, signal.weight, e) for e in efficiencies]
    shifts = tuple(at_cut(source, other, names, cut, e) for cut, e in zip(cuts, efficiencies, strict=True))
    shares = {
        name: tuple(Contribution(*weighted_efficiency(d.process == p, d.events.weight)) for d in (source, other))
        for p, name in enumerate(names)
    }
    return DomainDecomposition(
        class_name,
        shares,  # type: ignore[arg-type]
        shifts,
        of_ks(source, other, names),
        in_bins(source, other, len(names), edges),
    )


def at_cut(
    source: ProcessScores,
    other: ProcessScores,
    names: Sequence[str],
    cut: float,
    signal_efficiency: float | None = None,
) -> Decomposition:
    """Decompose the relative shift e(O) / e(S) - 1 of the efficiency of score >= cut.

    Args:
        source: events of the source.
        other: events of the other domain.
        names: names of the processes, in the order of their numbers.
        cut: an event passes if its score is at least this value.
        signal_efficiency: of the source at the cut, if that fixes it.

    """
    sides = [_Sums.of(d, d.events.score >= cut, len(names)) for d in (source, other)]
    return _decomposition(sides, names, cut, relative=True, signal_efficiency=signal_efficiency)


def of_ks(source: ProcessScores, other: ProcessScores, names: Sequence[str]) -> Decomposition:
    """Decompose F(other) - F(source), the shares of events with score <= cut, where its absolute value is largest.

    Args:
        source: events of the source.
        other: events of the other domain.
        names: names of the processes, in the order of their numbers.

    """
    _, location = kolmogorov_smirnov(source.events, other.events)
    sides = [_Sums.of(d, d.events.score <= location, len(names)) for d in (source, other)]
    return _decomposition(sides, names, location, relative=False)


def in_bins(source: ProcessScores, other: ProcessScores, processes: int, edges: ArrayLike) -> BinnedDecomposition:
    """Decompose the relative shift of the share of events in each bin, whose ends are open.

    Args:
        source: events of the source.
        other: events of the other domain.
        processes: number of processes.
        edges: edges of the bins [b + 1].

    """
    limits = bin_edges(edges)
    columns = np.full((6, len(limits) - 1), np.nan)
    indices = [bin_index(d.events.score, limits) for d in (source, other)]
    for b in range(len(limits) - 1):
        sides = [_Sums.of(d, i == b, processes) for d, i in zip((source, other), indices, strict=True)]
        if sides[0].efficiency > 0 and not any(side.why for side in sides):
            parts, errors = _parts(sides, relative=True)
            totals = (parts.sum(), *parts.sum(axis=1))
            columns[:, b] = [x for pair in zip(totals, errors.totals, strict=True) for x in pair]
    return BinnedDecomposition(limits, *columns)


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """Sums of weights and of squared weights of the events of each process [p] of a domain, inside and outside.

    limit2: `inside2`, and where no event of a process is inside, which is no rate without error, the squared limit at
    68 % confidence.
    """

    inside: FloatArray
    outside: FloatArray
    inside2: FloatArray
    limit2: FloatArray
    outside2: FloatArray
    selected: NDArray[np.bool_]  # [n]
    domain: ProcessScores

    @classmethod
    def of(cls, domain: ProcessScores, selected: NDArray[np.bool_], processes: int) -> _Sums:
        weight = domain.events.weight

        def total(values: FloatArray, mask: NDArray[np.bool_]) -> FloatArray:
            sums = np.bincount(domain.process[mask], weights=values[mask], minlength=processes)
            return np.asarray(sums, dtype=np.float64)

        inside2 = total(weight**2, selected)
        limit2 = inside2.copy()
        for p in np.flatnonzero(inside2 == 0):
            of_process = weight[domain.process == p]
            if effective(of_process) > 0:
                limit2[p] = (limit_of_none(of_process, _ONE_SIGMA) * of_process.sum()) ** 2
        return cls(
            total(weight, selected),
            total(weight, ~selected),
            inside2,
            limit2,
            total(weight**2, ~selected),
            selected,
            domain,
        )

    @property
    def efficiency(self) -> float:
        """Share of the domain's events that are inside."""
        return float(self.inside.sum() / (self.inside + self.outside).sum())

    @property
    def why(self) -> str | None:
        """The reason why a process has no efficiency, although it has events."""
        total = self.inside + self.outside
        present = np.bincount(self.domain.process, minlength=len(total)) > 0
        if np.any(present & (total <= 0)):
            return "the weights of a process do not sum to a positive number"
        return None

    def efficiency_of(self, process: int) -> Contribution | None:
        """Return the efficiency of one process; None without events."""
        mask = self.domain.process == process
        if not mask.any():
            return None
        return Contribution(*weighted_efficiency(self.selected[mask], self.domain.events.weight[mask]))


@dataclass(frozen=True, slots=True, eq=False)
class _Errors:
    """Standard deviations of the parts [2, p] (rates, shapes), and of the whole and the sums of both [3]."""

    parts: FloatArray
    totals: FloatArray


def _decomposition(
    sides: Sequence[_Sums],
    names: Sequence[str],
    cut: float,
    *,
    relative: bool,
    signal_efficiency: float | None = None,
) -> Decomposition:
    why = next((side.why for side in sides if side.why), None)
    if relative and sides[0].efficiency <= 0:
        why = f"source efficiency {sides[0].efficiency:.3g} at the cut: no ratio"
    elif relative and not sides[1].selected.any():
        why = "no event of the other domain passes the cut"
    if why:
        return Decomposition(cut, None, None, None, {}, signal_efficiency, why)
    parts, errors = _parts(sides, relative=relative)
    whole, rates, shapes = (
        Contribution(float(value), float(error))
        for value, error in zip((parts.sum(), *parts.sum(axis=1)), errors.totals, strict=True)
    )
    processes = {}
    for p, name in enumerate(names):
        of_rates, of_shapes = (Contribution(float(parts[i, p]), float(errors.parts[i, p])) for i in (0, 1))
        processes[name] = ProcessContribution(of_rates, of_shapes, *(side.efficiency_of(p) for side in sides))
    return Decomposition(cut, whole, rates, shapes, processes, signal_efficiency)


def _parts(sides: Sequence[_Sums], *, relative: bool) -> tuple[FloatArray, _Errors]:
    """Return rates and shapes of each process [2, p] and their errors.

    A derivative of these rational functions is the imaginary part after an imaginary step, exact to rounding (Squire
    and Trapp, SIAM Rev. 40 (1998) 110).
    """
    sums = np.stack([x for side in sides for x in (side.inside, side.outside)])  # [4, p]
    plain = np.stack([x for side in sides for x in (side.inside2, side.outside2)]).ravel()
    limited = np.stack([x for side in sides for x in (side.limit2, side.outside2)]).ravel()
    steps = sums + 1j * _STEP * np.eye(sums.size).reshape(-1, *sums.shape)  # [4p, 4, p], one sum is moved in each
    slopes = np.imag(_formula(steps, relative=relative)) / _STEP  # [4p, 2, p]
    errors = _Errors(
        np.sqrt(np.tensordot(limited, slopes**2, axes=1)),
        np.sqrt(
            [np.dot(plain, slopes.sum(axis=(1, 2)) ** 2), *np.tensordot(limited, slopes.sum(axis=2) ** 2, axes=1)],
        ),
    )
    return np.real(_formula(sums[None], relative=relative))[0], errors


def _formula(sums: NDArray[Any], *, relative: bool) -> NDArray[Any]:
    """Return the parts [k, 2, p] from the sums inside and outside, of the source and of the other domain [k, 4, p]."""
    inside = sums[:, 0::2]
    total = inside + sums[:, 1::2]  # [k, 2, p]
    share = total / total.sum(axis=-1, keepdims=True)
    present = np.real(total) != 0
    own = inside / np.where(present, total, 1.0)
    efficiency = np.where(present, own, own[:, ::-1])
    rates = (share[:, 1] - share[:, 0]) * efficiency.mean(axis=1)
    shapes = (efficiency[:, 1] - efficiency[:, 0]) * share.mean(axis=1)
    parts = np.stack([rates, shapes], axis=1)
    if relative:
        parts = parts / (inside[:, 0].sum(axis=-1) / total[:, 0].sum(axis=-1))[:, None, None]
    return np.asarray(parts)
