"""Newly trained classifiers that separate two domains, cross-validated: the difference that adaptation left.

An accuracy of 0.5 of the domain head that was trained against the encoder proves nothing: the head may be weak, or
lag behind. A probe is trained afterwards on the output of the network for events that the network need not have seen
(score, embedding; or the inputs, for comparison), and its AUC on held-out folds is quoted with an interval; 0.5 means
indistinguishable.
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
from hepda.evaluation.roc import area, auc
from hepda.results.evaluation import FeatureImportance, FloatArray, InputRemoval, Interval, ProbeResult

Kind = Literal["bdt", "mlp"]
KINDS: tuple[Kind, ...] = ("bdt", "mlp")


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """How probes are fitted and evaluated.

    kind: "bdt" for scikit-learn's histogram boosting, "mlp" for two hidden layers of 32 nodes in torch; folds: number
    of folds, drawn at random; max_events: a domain with more events is thinned at random to this number, None keeps
    all; replicas: number of bootstrap replicas; level: coverage of the interval; seed: of folds, thinning, fits and
    bootstrap.

    Raises:
        ValueError: a kind is unknown, or there are fewer than two folds.

    """

    kind: Kind = "bdt"
    folds: int = 2
    max_events: int | None = 30_000
    replicas: int = 200
    level: float = 0.6827
    seed: int = 0

    def __post_init__(self) -> None:
        check_bootstrap(self.replicas, self.level)
        if self.kind not in KINDS:
            raise ValueError(f"a probe is of kind 'bdt' or 'mlp', not {self.kind!r}")
        if self.folds < 2:
            raise ValueError(f"cross-validation needs two folds or more, not {self.folds}")


DEFAULT = ProbeSettings()


@dataclass(frozen=True, slots=True, eq=False)
class _Events:
    """Both domains stacked; the other domain has label 1. `weight` sums to 1 in each domain."""

    features: Matrix  # [n, k]
    label: Labels  # [n]
    weight: FloatArray  # [n], signed
    fold: NDArray[np.intp]  # [n]


def probe(
    source: ArrayLike,
    other: ArrayLike,
    source_weight: ArrayLike | None = None,
    other_weight: ArrayLike | None = None,
    *,
    representation: str = "score",
    class_name: str = "background",
    settings: ProbeSettings = DEFAULT,
) -> ProbeResult:
    """Return the AUC with which a new classifier separates `other` from `source`, on events that it was not fitted to.

    Each domain is scaled to unit sum of weights. The fit uses |w| (a classifier cannot use negative weights), the AUC
    the signed weights. The AUC is the mean over the folds, because scores of different fits are not comparable.

    The interval is that of the bootstrap over held-out events, at fixed fits, times sqrt(2). Where there is
    no difference, a fit learns the noise of the other folds, d_j, and fold i has
    AUC - 1/2 ~ d_i . sum_j d_j, so each pair of folds enters twice with the same value, and the mean over any
    number of folds has twice the variance of independent ones (an upper bound for fits that are not
    linear). Where the domains do differ the interval is too wide by up to that factor.

    Args:
        source: score, embedding or inputs of the events of one class in the source, [n] or [n, k].
        other: the same of the other domain, [m] or [m, k].
        source_weight: signed weights [n]; None means ones.
        other_weight: signed weights [m]; None means ones.
        representation: name of the representation in the result.
        class_name: name of the class in the result.
        settings: how the probe is fitted.

    Raises:
        DataError: a fold has no positive sum of weights of a domain.
        ValueError: the numbers of columns differ.

    """
    events = _stack((source, source_weight), (other, other_weight), settings, np.random.default_rng(settings.seed))
    scores = np.zeros(len(events.label))
    for fold, scorer in _fits(events, settings):
        in_fold = events.fold == fold
        scores[in_fold] = scorer(events.features[in_fold])
    value, centre, drawn = _mean_auc(events, scores, settings)
    drawn = centre + np.sqrt(2.0) * (drawn - centre)
    return ProbeResult(
        representation=representation,
        kind=settings.kind,
        class_name=class_name,
        auc=interval(value, centre, drawn, settings.level),
        folds=settings.folds,
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
    repeats: int = 3,
    settings: ProbeSettings = DEFAULT,
) -> FeatureImportance:
    """Return which inputs cause the domain AUC: its decrease when one column is shuffled within the held-out fold.

    Correlated inputs share their importance, so that each of them appears less important.

    Args:
        source: inputs of the source [n, k].
        other: inputs of the other domain [m, k].
        names: names of the inputs [k].
        source_weight: signed weights [n], as in `probe`.
        other_weight: signed weights [m], as in `probe`.
        repeats: number of shuffles of each input.
        settings: how the probes are fitted.

    """
    generator = np.random.default_rng(settings.seed)
    events = _stack((source, source_weight), (other, other_weight), settings, generator)
    columns = events.features.shape[1]
    if len(names) != columns:
        raise ValueError(f"{len(names)} names for {columns} columns")
    mean_auc, drops = 0.0, np.zeros((repeats, columns))
    for fold, scorer in _fits(events, settings):
        in_fold = events.fold == fold
        features, label, weight = events.features[in_fold], events.label[in_fold], events.weight[in_fold]
        full_auc = auc(scorer(features), label, weight)
        mean_auc += full_auc / settings.folds
        for r in range(repeats):
            for c in range(columns):
                shuffled = features.copy()
                shuffled[:, c] = generator.permutation(shuffled[:, c])
                drops[r, c] += (full_auc - auc(scorer(shuffled), label, weight)) / settings.folds
    order = np.argsort(drops.mean(axis=0))[::-1]
    error = drops.std(axis=0, ddof=1) if repeats > 1 else np.zeros(columns)
    return FeatureImportance(tuple(names[i] for i in order), drops.mean(axis=0)[order], error[order], mean_auc)


Pair = tuple[ArrayLike, ArrayLike, ArrayLike | None, ArrayLike | None]
"""Two samples that a probe separates: inputs [n, k] and [m, k], weights [n] and [m]."""


def removal(
    domains: Pair,
    classes: Pair,
    names: Sequence[str],
    order: Sequence[str],
    *,
    counts: Sequence[int] = (0, 1, 3, 5, 10),
    settings: ProbeSettings = DEFAULT,
) -> InputRemoval:
    """Return both AUCs after the inputs that separate the domains most are removed and the probes fitted again.

    Where the AUC of the classes falls with that of the domains, the information that separates the domains is the same
    that separates the classes, and a domain loss cannot remove one without the other (arXiv:2212.10493).

    Args:
        domains: source and other domain.
        classes: background and signal.
        names: names [k] of the columns of both.
        order: names of the inputs that separate the domains, the most important first, as in the result of
            `permutation_importance`.
        counts: numbers of inputs to remove; those that would leave no input are omitted.
        settings: how the probes are fitted.

    """
    used_counts = [count for count in sorted({0, *counts}) if count < len(names)]
    aucs: dict[str, list[Interval]] = {"domains": [], "classes": []}
    for count in used_counts:
        columns = [column for column, name in enumerate(names) if name not in order[:count]]
        for what, (first, second, first_weight, second_weight) in (("domains", domains), ("classes", classes)):
            sides = (np.asarray(first)[:, columns], np.asarray(second)[:, columns], first_weight, second_weight)
            aucs[what].append(probe(*sides, settings=settings).auc)
    return InputRemoval(
        tuple(order[: used_counts[-1]]), tuple(used_counts), tuple(aucs["domains"]), tuple(aucs["classes"])
    )


def _stack(
    source: tuple[ArrayLike, ArrayLike | None],
    other: tuple[ArrayLike, ArrayLike | None],
    settings: ProbeSettings,
    generator: np.random.Generator,
) -> _Events:
    parts = [_domain(*d, w, settings.max_events, generator) for d, w in ((source, "source"), (other, "other domain"))]
    if parts[0][0].shape[1] != parts[1][0].shape[1]:
        raise ValueError(f"{parts[0][0].shape[1]} columns of the source, {parts[1][0].shape[1]} of the other domain")
    label = np.repeat(np.array([0, 1], dtype=np.int8), [len(p[0]) for p in parts])
    fold = np.concatenate([generator.permutation(len(p[0])) % settings.folds for p in parts])
    weight = np.concatenate([p[1] for p in parts])
    for f in range(settings.folds):
        for domain in (0, 1):
            if weight[(fold == f) & (label == domain)].sum() <= 0:
                name = ("source", "other")[domain]
                raise DataError(
                    f"fold {f} of {settings.folds} has no positive sum of weights of the {name} domain; "
                    "a probe needs both domains in two folds or more"
                )
    return _Events(np.concatenate([p[0] for p in parts]), label, weight, fold.astype(np.intp))


def _domain(
    values: ArrayLike,
    weight: ArrayLike | None,
    name: str,
    max_events: int | None,
    generator: np.random.Generator,
) -> tuple[Matrix, FloatArray]:
    """Return features [n, k] and weights of unit sum [n] of one domain, thinned to max_events."""
    features = np.asarray(values, dtype=np.float32)
    features = features[:, None] if features.ndim == 1 else features
    if features.ndim != 2 or features.size == 0:
        raise DataError(f"the representation of the {name} has shape {features.shape}; [events, columns] is needed")
    bad = int(np.sum(~np.isfinite(features).all(axis=1)))
    if bad:
        raise DataError(f"{bad} of {len(features)} events of the {name} have values that are not finite")
    n = len(features)
    weights = np.ones(n) if weight is None else vector(weight, f"weight of {name}", n)
    if max_events is not None and n > max_events:
        chosen = np.sort(generator.choice(n, max_events, replace=False))
        features, weights = features[chosen], weights[chosen]
    if weights.sum() <= 0:
        raise DataError(f"the weights of the {name} sum to {weights.sum():.4g}; a probe needs a positive sum")
    return features, weights / weights.sum()


def _fits(events: _Events, settings: ProbeSettings) -> list[tuple[int, Scorer]]:
    """Fit, for each fold, a scorer to the other folds with |w|, both domains having equal sums."""
    from hepda.evaluation.differences.probe_models import fit_bdt, fit_mlp

    fitter = fit_bdt if settings.kind == "bdt" else fit_mlp
    fits = []
    for fold in range(settings.folds):
        used = events.fold != fold
        label, weight = events.label[used], np.abs(events.weight[used])
        for domain in (0, 1):
            weight[label == domain] *= 0.5 * len(weight) / weight[label == domain].sum()
        fits.append((fold, fitter(events.features[used], label, weight, settings.seed + fold)))
    return fits


def _mean_auc(events: _Events, scores: FloatArray, settings: ProbeSettings) -> tuple[float, float, FloatArray]:
    """Return the mean over folds of the AUC: exact, from bins, and its bootstrap replicas from bins [replicas]."""
    binned = []
    value = 0.0
    for f in range(settings.folds):
        rows = np.flatnonzero(events.fold == f)
        category = events.label[rows].astype(np.intp)
        binned.append((rows, ScoreBins(scores[rows], category, 2, bins=1024)))
        value += auc(scores[rows], events.label[rows], events.weight[rows]) / settings.folds

    def mean(weight: FloatArray) -> float:
        areas = []
        for rows, bins in binned:
            source, other = bins.sums(weight[rows])
            areas.append(area(other, source) if source.sum() > 0 and other.sum() > 0 else np.nan)
        return float(np.mean(areas))

    counts = poisson_counts(len(scores), settings.replicas, settings.seed)
    return value, mean(events.weight), np.array([mean(events.weight * c) for c in counts])
