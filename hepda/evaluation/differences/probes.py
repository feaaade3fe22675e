"""Newly trained classifiers that separate two domains, cross-validated: the difference that adaptation left.

An accuracy of 0.5 of the domain head that was trained against the encoder proves nothing: the head may be weak, or
lag behind. A probe is trained afterwards on the output of the network for events that the network need not have seen
(score, embedding; or the inputs, for comparison), and its AUC on held-out folds is quoted with an interval; 0.5 means
indistinguishable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepda.errors import DataError
from hepda.evaluation.arrays import Labels, Matrix, Scorer, vector
from hepda.evaluation.bootstrap import Counts, ScoreBins, check_bootstrap, count_blocks, interval
from hepda.evaluation.roc import area, areas_of, auc
from hepda.results.evaluation import FeatureImportance, FloatArray, InputRemoval, Interval, ProbeResult

Kind = Literal["bdt", "mlp"]
KINDS: tuple[Kind, ...] = ("bdt", "mlp")


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """How probes are fitted and evaluated.

    kind: "bdt" for boosted trees of three levels, "mlp" for two hidden layers of 32 nodes; folds: number
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
class ProbeSample:
    """The events that probes of two domains are fitted to and evaluated on, drawn once for all representations.

    Both domains are stacked; the other domain has label 1. `weight` sums to 1 in each domain.
    """

    rows: tuple[NDArray[np.intp], NDArray[np.intp]]  # of the source and of the other domain
    label: Labels  # [n]
    weight: FloatArray  # [n], signed
    fold: NDArray[np.intp]  # [n]
    settings: ProbeSettings
    counts: Counts  # [replicas, n], multiplicities of the events in the replicas

    @classmethod
    def draw(cls, source_weight: ArrayLike, other_weight: ArrayLike, settings: ProbeSettings) -> ProbeSample:
        """Draw the events, at most `max_events` of each domain, their folds and the replicas.

        Args:
            source_weight: signed weights of the source [n].
            other_weight: signed weights of the other domain [m].
            settings: numbers of events, folds and replicas, and the seed.

        Raises:
            DataError: a domain, or a fold of one, has no positive sum of weights.

        """
        generator = np.random.default_rng(settings.seed)
        rows: list[NDArray[np.intp]] = []
        weights: list[FloatArray] = []
        for values, name in ((source_weight, "source"), (other_weight, "other domain")):
            weight = vector(values, f"weight of {name}")
            chosen = np.arange(len(weight))
            if settings.max_events is not None and len(weight) > settings.max_events:
                chosen = np.sort(generator.choice(len(weight), settings.max_events, replace=False))
            weight = weight[chosen]
            if weight.sum() <= 0:
                raise DataError(f"the weights of the {name} sum to {weight.sum():.4g}; a probe needs a positive sum")
            rows.append(chosen)
            weights.append(weight / weight.sum())
        label = np.repeat(np.array([0, 1], dtype=np.int8), [len(chosen) for chosen in rows])
        fold = np.concatenate([generator.permutation(len(chosen)) % settings.folds for chosen in rows])
        weight = np.concatenate(weights)
        for f in range(settings.folds):
            for domain in (0, 1):
                if weight[(fold == f) & (label == domain)].sum() <= 0:
                    name = ("source", "other")[domain]
                    raise DataError(
                        f"fold {f} of {settings.folds} has no positive sum of weights of the {name} domain; "
                        "a probe needs both domains in two folds or more"
                    )
        counts = np.stack(list(count_blocks(len(label), settings.replicas, settings.seed)))
        return cls((rows[0], rows[1]), label, weight, fold.astype(np.intp), settings, counts)

    def features(self, source: ArrayLike, other: ArrayLike) -> Matrix:
        """Return the values [n, k] of the drawn events from those of all events of both domains.

        Raises:
            DataError: there are no values, or some are not finite.
            ValueError: the numbers of columns differ.

        """
        parts = [_checked(values, name) for values, name in ((source, "source"), (other, "other domain"))]
        return self.stacked(*(part[rows] for part, rows in zip(parts, self.rows, strict=True)))

    def stacked(self, source: ArrayLike, other: ArrayLike) -> Matrix:
        """Return the values [n, k] of the drawn events from those of the drawn events of each domain."""
        parts = [_checked(values, name) for values, name in ((source, "source"), (other, "other domain"))]
        if parts[0].shape[1] != parts[1].shape[1]:
            raise ValueError(f"{parts[0].shape[1]} columns of the source, {parts[1].shape[1]} of the other domain")
        return np.concatenate(parts)

    def probe(self, features: Matrix, kind: Kind, *, representation: str, class_name: str) -> ProbeResult:
        """Return the AUC with which a new classifier separates the domains, as `probe` does.

        Args:
            features: values [n, k] of the drawn events.
            kind: the classifier.
            representation: name of the representation in the result.
            class_name: name of the class in the result.

        """
        scores = np.zeros(len(self.label))
        for fold, scorer in self.fits(features, kind):
            in_fold = self.fold == fold
            scores[in_fold] = scorer(features[in_fold])
        value, centre, drawn = self._mean_auc(scores)
        drawn = centre + np.sqrt(2.0) * (drawn - centre)
        return ProbeResult(
            representation=representation,
            kind=kind,
            class_name=class_name,
            auc=interval(value, centre, drawn, self.settings.level),
            folds=self.settings.folds,
            events_source=len(self.rows[0]),
            events_other=len(self.rows[1]),
        )

    def fits(self, features: Matrix, kind: Kind) -> Iterator[tuple[int, Scorer]]:
        """Fit, for each fold, a scorer to the other folds with |w|, both domains having equal sums."""
        from hepda.evaluation.differences.probe_models import fit_bdt, fit_mlp

        fitter = fit_bdt if kind == "bdt" else fit_mlp
        for fold in range(self.settings.folds):
            used = self.fold != fold
            label, weight = self.label[used], np.abs(self.weight[used])
            for domain in (0, 1):
                weight[label == domain] *= 0.5 * len(weight) / weight[label == domain].sum()
            yield fold, fitter(features[used], label, weight, self.settings.seed + fold)

    def _mean_auc(self, scores: FloatArray) -> tuple[float, float, FloatArray]:
        """Return the mean over folds of the AUC: exact, from bins, and its bootstrap replicas from bins [replicas]."""
        folds = self.settings.folds
        value, centre, drawn = 0.0, 0.0, np.zeros(len(self.counts))
        for fold in range(folds):
            rows = np.flatnonzero(self.fold == fold)
            label, weight = self.label[rows], self.weight[rows]
            bins = ScoreBins(scores[rows], label.astype(np.intp), 2, bins=1024)
            value += auc(scores[rows], label, weight) / folds
            source, other = bins.sums(weight)
            centre += area(other, source) / folds
            drawn += areas_of(bins.replicas(weight, self.counts[:, rows])) / folds
        return value, centre, drawn


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
    sample = _sample_of(source, other, source_weight, other_weight, settings)
    features = sample.features(source, other)
    return sample.probe(features, settings.kind, representation=representation, class_name=class_name)


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
    sample = _sample_of(source, other, source_weight, other_weight, settings)
    features = sample.features(source, other)
    columns = features.shape[1]
    if len(names) != columns:
        raise ValueError(f"{len(names)} names for {columns} columns")
    generator = np.random.default_rng([settings.seed, 1])
    mean_auc, drops = 0.0, np.zeros((repeats, columns))
    for fold, scorer in sample.fits(features, settings.kind):
        in_fold = sample.fold == fold
        held_out, label, weight = features[in_fold], sample.label[in_fold], sample.weight[in_fold]
        full_auc = auc(scorer(held_out), label, weight)
        mean_auc += full_auc / settings.folds
        shuffled = held_out.copy()
        for r in range(repeats):
            for c in range(columns):
                shuffled[:, c] = generator.permutation(held_out[:, c])
                drops[r, c] += (full_auc - auc(scorer(shuffled), label, weight)) / settings.folds
                shuffled[:, c] = held_out[:, c]
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
    for what, (first, second, *weights) in (("domains", domains), ("classes", classes)):
        sample = _sample_of(first, second, weights[0], weights[1], settings)
        features = sample.features(first, second)
        for count in used_counts:
            columns = [column for column, name in enumerate(names) if name not in order[:count]]
            probed = sample.probe(features[:, columns], settings.kind, representation="inputs", class_name=what)
            aucs[what].append(probed.auc)
    return InputRemoval(
        tuple(order[: used_counts[-1]]), tuple(used_counts), tuple(aucs["domains"]), tuple(aucs["classes"])
    )


def _sample_of(
    source: ArrayLike,
    other: ArrayLike,
    source_weight: ArrayLike | None,
    other_weight: ArrayLike | None,
    settings: ProbeSettings,
) -> ProbeSample:
    """Draw the events of a probe from all events of both domains; weights of None are ones."""
    sides = ((source, source_weight, "source"), (other, other_weight, "other domain"))
    lengths = [len(_checked(values, name)) for values, _, name in sides]
    weights = [
        np.ones(length) if weight is None else vector(weight, f"weight of {name}", length)
        for length, (_, weight, name) in zip(lengths, sides, strict=True)
    ]
    return ProbeSample.draw(weights[0], weights[1], settings)


def _checked(values: ArrayLike, name: str) -> Matrix:
    """Return the values of a domain as finite numbers [n, k]."""
    features = np.asarray(values, dtype=np.float32)
    features = features[:, None] if features.ndim == 1 else features
    if features.ndim != 2 or features.size == 0:
        raise DataError(f"the representation of the {name} has shape {features.shape}; [events, columns] is needed")
    if not np.isfinite(features).all():
        bad = int(np.sum(~np.isfinite(features).all(axis=1)))
        raise DataError(f"{bad} of {len(features)} events of the {name} have values that are not finite")
    return features
