"""Fresh classifiers that try to tell two domains apart, cross-validated: what adaptation left to find.

The domain head that was trained against the encoder proves nothing at 0.5: it may be weak, or behind. A probe
is trained afterwards on what the network makes of events that it need not have seen (score, embedding; or the
inputs, for comparison), and its AUC on held-out folds is quoted with an interval; 0.5 is indistinguishable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepda.errors import DataError
from hepda.evaluation.arrays import Labels, Matrix, Scorer, vector
from hepda.evaluation.bootstrap import ScoreBins, check_bootstrap, interval, poisson_counts
from hepda.evaluation.results import FeatureImportance, FloatArray, InputRemoval, Interval, ProbeResult
from hepda.evaluation.roc import area, auc

Kind = Literal["bdt", "mlp"]
KINDS: tuple[Kind, ...] = ("bdt", "mlp")


@dataclass(frozen=True, slots=True, eq=False)
class _Events:
    """Both domains stacked: the other one has label 1. `weight` sums to 1 in each domain."""

    features: Matrix  # [n, k]
    label: Labels  # [n]
    weight: FloatArray  # [n], signed
    fold: NDArray[np.intp]  # [n]
    folds: int


def probe(
    source: ArrayLike,
    other: ArrayLike,
    source_weight: ArrayLike | None = None,
    other_weight: ArrayLike | None = None,
    *,
    kind: Kind = "bdt",
    representation: str = "score",
    class_name: str = "background",
    source_fold: ArrayLike | None = None,
    other_fold: ArrayLike | None = None,
    folds: int = 2,
    max_events: int | None = 30_000,
    replicas: int = 200,
    level: float = 0.6827,
    seed: int = 0,
) -> ProbeResult:
    """AUC with which a fresh classifier tells `other` from `source`, on events it was not fitted on.

    source [n] or [n, k], other [m] or [m, k]: the score, embedding or inputs of one class's events. Signed
    weights [n], [m]; each domain is scaled to unit sum. The fit uses |w| (a classifier cannot use negative
    ones), the AUC the signs. Folds: given by number ([n], [m], each value a fold) or drawn; the AUC is the
    mean of the folds', because scores of different fits do not compare. More than max_events in a domain
    are thinned at random. kind "bdt": scikit-learn's histogram boosting; "mlp": two hidden layers of 32, in
    torch. Raises DataError if a fold lacks a domain.

    The interval is the bootstrap's over held-out events, at fixed fits, times sqrt(2): where there is
    nothing to find, what a fit takes for a difference is noise of the other folds, d_j, and fold i has
    AUC - 1/2 ~ d_i . sum_j d_j, so each pair of folds enters twice with the same value, and the mean over any
    number of folds has twice the variance of independent ones (an upper bound for fits that are not
    linear). Where the domains do differ the interval is wide by up to that factor.
    """
    check_bootstrap(replicas, level)
    if kind not in KINDS:
        raise ValueError(f"a probe is of kind 'bdt' or 'mlp', not {kind!r}")
    generator = np.random.default_rng(seed)
    events = _stack(
        (source, source_weight, source_fold), (other, other_weight, other_fold), folds, max_events, generator
    )
    scores = np.zeros(len(events.label))
    for fold, scorer in _fits(events, kind, seed):
        held = events.fold == fold
        scores[held] = scorer(events.features[held])
    value, centre, drawn = _mean_auc(events, scores, replicas, seed)
    drawn = centre + np.sqrt(2.0) * (drawn - centre)
    return ProbeResult(
        representation=representation,
        kind=kind,
        class_name=class_name,
        auc=interval(value, centre, drawn, level),
        folds=events.folds,
        events_source=int(np.sum(events.label == 0)),
        events_other=int(np.sum(events.label == 1)),
    )


def permutation_importance(
    source: ArrayLike,
    other: ArrayLike,
    names: Sequence[str],
    source_weight: ArrayLike | None = None,
    other_weight: ArrayLike | None = None,
    *,
    kind: Kind = "bdt",
    folds: int = 2,
    max_events: int | None = 30_000,
    repeats: int = 3,
    seed: int = 0,
) -> FeatureImportance:
    """Which inputs drive the domain AUC: its fall when one column is shuffled within the held-out fold.

    source [n, k], other [m, k], names [k]; otherwise as `probe`. Correlated inputs share, and hide,
    importance.
    """
    generator = np.random.default_rng(seed)
    events = _stack((source, source_weight, None), (other, other_weight, None), folds, max_events, generator)
    columns = events.features.shape[1]
    if len(names) != columns:
        raise ValueError(f"{len(names)} names for {columns} columns")
    base, drops = 0.0, np.zeros((repeats, columns))
    for fold, scorer in _fits(events, kind, seed):
        held = events.fold == fold
        features, label, weight = events.features[held], events.label[held], events.weight[held]
        whole = auc(scorer(features), label, weight)
        base += whole / events.folds
        for r in range(repeats):
            for c in range(columns):
                shuffled = features.copy()
                shuffled[:, c] = generator.permutation(shuffled[:, c])
                drops[r, c] += (whole - auc(scorer(shuffled), label, weight)) / events.folds
    order = np.argsort(drops.mean(axis=0))[::-1]
    error = drops.std(axis=0, ddof=1) if repeats > 1 else np.zeros(columns)
    return FeatureImportance(tuple(names[i] for i in order), drops.mean(axis=0)[order], error[order], base)


Pair = tuple[ArrayLike, ArrayLike, ArrayLike | None, ArrayLike | None]
"""Two samples that a probe tells apart: inputs [n, k] and [m, k], weights [n] and [m]."""


def removal(
    domains: Pair,
    classes: Pair,
    names: Sequence[str],
    order: Sequence[str],
    *,
    counts: Sequence[int] = (0, 1, 3, 5, 10),
    kind: Kind = "bdt",
    max_events: int | None = 30_000,
    replicas: int = 200,
    seed: int = 0,
) -> InputRemoval:
    """What becomes of both AUCs if the inputs that tell the domains apart most are taken out and probes fitted anew.

    domains: source and other domain; classes: background and signal; names [k] of the columns of both; order: names,
    those that tell the domains apart most first, as `permutation_importance` has them. Counts that would leave no
    input are left out. Otherwise as `probe`.

    Where the AUC of the classes falls with that of the domains, what tells the domains apart is what tells the
    classes apart, and a domain loss cannot take the one without the other (arXiv:2212.10493).
    """
    known = [count for count in sorted({0, *counts}) if count < len(names)]
    found: dict[str, list[Interval]] = {"domains": [], "classes": []}
    for count in known:
        kept = [column for column, name in enumerate(names) if name not in order[:count]]
        for what, (one, two, one_weight, two_weight) in (("domains", domains), ("classes", classes)):
            sides = (np.asarray(one)[:, kept], np.asarray(two)[:, kept], one_weight, two_weight)
            fresh = probe(*sides, kind=kind, max_events=max_events, replicas=replicas, seed=seed)
            found[what].append(fresh.auc)
    return InputRemoval(tuple(order[: known[-1]]), tuple(known), tuple(found["domains"]), tuple(found["classes"]))


def _stack(
    source: tuple[ArrayLike, ArrayLike | None, ArrayLike | None],
    other: tuple[ArrayLike, ArrayLike | None, ArrayLike | None],
    folds: int,
    max_events: int | None,
    generator: np.random.Generator,
) -> _Events:
    parts = [_domain(*d, w, max_events, generator) for d, w in ((source, "source"), (other, "other domain"))]
    if parts[0][0].shape[1] != parts[1][0].shape[1]:
        raise ValueError(f"{parts[0][0].shape[1]} columns of the source, {parts[1][0].shape[1]} of the other domain")
    label = np.repeat(np.array([0, 1], dtype=np.int8), [len(p[0]) for p in parts])
    if (parts[0][2] is None) != (parts[1][2] is None):
        raise ValueError("folds are given for both domains or for neither")
    if parts[0][2] is None:
        if folds < 2:
            raise ValueError(f"cross-validation needs two folds or more, not {folds}")
        fold = np.concatenate([generator.permutation(len(p[0])) % folds for p in parts])
    else:
        fold = np.unique(np.concatenate([p[2] for p in parts if p[2] is not None]), return_inverse=True)[1]
    count = int(fold.max()) + 1
    weight = np.concatenate([p[1] for p in parts])
    for f in range(count):
        for domain in (0, 1):
            if weight[(fold == f) & (label == domain)].sum() <= 0 or count < 2:
                name = ("source", "other")[domain]
                raise DataError(
                    f"fold {f} of {count} has no positive sum of weights of the {name} domain; "
                    "a probe needs both domains in two folds or more"
                )
    return _Events(np.concatenate([p[0] for p in parts]), label, weight, fold.astype(np.intp), count)


def _domain(
    values: ArrayLike,
    weight: ArrayLike | None,
    fold: ArrayLike | None,
    name: str,
    max_events: int | None,
    generator: np.random.Generator,
) -> tuple[Matrix, FloatArray, NDArray[np.generic] | None]:
    """Features [n, k], weights of unit sum [n] and folds of one domain, thinned to max_events."""
    features = np.asarray(values, dtype=np.float32)
    features = features[:, None] if features.ndim == 1 else features
    if features.ndim != 2 or features.size == 0:
        raise DataError(f"the representation of the {name} has shape {features.shape}; [events, columns] is needed")
    bad = int(np.sum(~np.isfinite(features).all(axis=1)))
    if bad:
        raise DataError(f"{bad} of {len(features)} events of the {name} have values that are not finite")
    n = len(features)
    weights = np.ones(n) if weight is None else vector(weight, f"weight of {name}", n)
    given = None if fold is None else np.asarray(fold)
    if given is not None and given.shape != (n,):
        raise ValueError(f"fold of {name} has shape {given.shape} where ({n},) is needed")
    if max_events is not None and n > max_events:
        chosen = np.sort(generator.choice(n, max_events, replace=False))
        features, weights = features[chosen], weights[chosen]
        given = None if given is None else given[chosen]
    if weights.sum() <= 0:
        raise DataError(f"the weights of the {name} sum to {weights.sum():.4g}; a probe needs a positive sum")
    return features, weights / weights.sum(), given


def _fits(events: _Events, kind: Kind, seed: int) -> list[tuple[int, Scorer]]:
    """For each fold, a scorer fitted on the others with |w|, both domains of equal sum."""
    from hepda.evaluation.differences.probe_models import fit_bdt, fit_mlp

    fitter = fit_bdt if kind == "bdt" else fit_mlp
    found = []
    for fold in range(events.folds):
        used = events.fold != fold
        label, weight = events.label[used], np.abs(events.weight[used])
        for domain in (0, 1):
            weight[label == domain] *= 0.5 * len(weight) / weight[label == domain].sum()
        found.append((fold, fitter(events.features[used], label, weight, seed + fold)))
    return found


def _mean_auc(events: _Events, scores: FloatArray, replicas: int, seed: int) -> tuple[float, float, FloatArray]:
    """Mean over folds of the AUC: exact, from bins, and its bootstrap replicas from bins [replicas]."""
    binned = []
    value = 0.0
    for f in range(events.folds):
        held = np.flatnonzero(events.fold == f)
        category = events.label[held].astype(np.intp)
        binned.append((held, ScoreBins(scores[held], category, 2, bins=1024)))
        value += auc(scores[held], events.label[held], events.weight[held]) / events.folds

    def mean(weight: FloatArray) -> float:
        areas = []
        for held, bins in binned:
            source, other = bins.sums(weight[held])
            areas.append(area(other, source) if source.sum() > 0 and other.sum() > 0 else np.nan)
        return float(np.mean(areas))

    counts = poisson_counts(len(scores), replicas, seed)
    return value, mean(events.weight), np.array([mean(events.weight * c) for c in counts])
