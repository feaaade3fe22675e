"""Density ratios: factors on the weights of one sample that make its distributions those of another sample.

`density_ratio` computes the factor of every event with a model that was trained, and calibrated, on other events. With
p parts, the model for the events of part k is trained on the parts that are neither k nor k + 1; part k + 1 is used for
early stopping and calibration. There are two methods:

* classifier: the odds p/(1 - p) of boosted trees that separate target from source, both with the same sum of weights
  (the likelihood-ratio trick: Cranmer, Pavez & Louppe, arXiv:1506.02169), calibrated by a logistic curve on events that
  the trees did not see (Platt 1999): trees that over- or underfit have odds that are too far from, or too near to, 1;
* hep_ml: Rogozhnikov's gradient-boosted reweighter (arXiv:1608.05806), whose trees search for the leaves in which the
  two samples differ most; it has no calibration.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.baselines import bdt
from hepda.baselines.inputs import TrainingEvents
from hepda.errors import ConfigError, DataError, MissingExtraError, nearest

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class WeightedEvents:
    """Features [n, k], signed weights [n], and the part [n] of each event, counted from 0."""

    features: bdt.Features
    weight: Array
    part: NDArray[np.integer[Any]]

    def of(self, mask: NDArray[np.bool_]) -> WeightedEvents:
        """Return the events that a mask selects."""
        return WeightedEvents(np.ascontiguousarray(self.features[mask]), self.weight[mask], self.part[mask])


@dataclass(frozen=True, slots=True)
class Ratio:
    """Result of `density_ratio`.

    Attributes:
        factor: factors on the weights of the source [n]; the sum of weights is unchanged.
        clipped: share of the events (by absolute weight) whose ratio was outside the limits.
        limits: limits on the ratio divided by its mean.
        n_eff: effective number of source events, before and after.
        others: factors on the weights of each of the other samples, of the same ratio; their sums of weights change.

    """

    factor: Array
    clipped: float
    limits: tuple[float, float]
    n_eff: tuple[float, float]
    others: tuple[Array, ...] = ()

    def as_manifest(self) -> dict[str, Any]:
        """Return everything except the factors."""
        return {
            "clipped": self.clipped,
            "limits": list(self.limits),
            "smallest": float(self.factor.min()),
            "largest": float(self.factor.max()),
            "n_eff": {"before": self.n_eff[0], "after": self.n_eff[1]},
        }


@dataclass(frozen=True, slots=True)
class Trees:
    """Settings of the classifier: small trees with many events per leaf, which give a smooth ratio."""

    library: str = "sklearn"
    iterations: int = 200
    learning_rate: float = 0.1
    max_leaves: int | None = 6
    max_depth: int | None = None
    min_samples: int = 50
    l2: float = 1.0
    patience: int | None = 10


Estimate = Callable[[bdt.Features], Array]
"""Log of the density ratio [n] of features [n, k], up to a constant."""


def density_ratio(
    source: WeightedEvents,
    target: WeightedEvents,
    *,
    method: str = "classifier",
    clip: float = 10.0,
    seed: int = 0,
    others: Sequence[WeightedEvents] = (),
) -> Ratio:
    """Return factors that give the source the target's distribution of features, with an unchanged sum of weights.

    Args:
        source: the events that get a factor.
        target: the events whose distribution the source shall have.
        others: samples that get the factors of the same ratio, and that nothing is learned from.
        method: `classifier` or `hep_ml`.
        clip: ratios divided by their mean are limited to the range from 1/clip to clip.
        seed: seed of the trees.

    Raises:
        ConfigError: hepda does not know the method.
        DataError: fewer than three parts, a part without events of one sample, or weights without a positive sum.
        MissingExtraError: hep_ml is not installed.

    """
    if method not in METHODS:
        raise ConfigError(f"unknown method {method!r} of reweighting; {', '.join(METHODS)}.{nearest(method, METHODS)}")
    parts = np.unique(np.concatenate([source.part, target.part]))
    if len(parts) < 3:
        raise DataError(f"events in {len(parts)} parts; a ratio out of fold needs three: train, calibrate, apply")
    weighted = (source, *others)
    logs = [np.zeros(len(sample.weight)) for sample in weighted]
    for number, part in enumerate(parts):
        held_out = parts[(number + 1) % len(parts)]
        sides = [[s.of((s.part != part) & (s.part != held_out)), s.of(s.part == held_out)] for s in (source, target)]
        (train_source, held_out_source), (train_target, held_out_target) = sides
        rows = [sample.part == part for sample in weighted]
        if any(applied.any() for applied in rows):
            estimate = METHODS[method](
                _pair(train_source, train_target), _pair(held_out_source, held_out_target), seed + number
            )
            for sample, applied, of in zip(weighted, rows, logs, strict=True):
                if applied.any():
                    of[applied] = estimate(np.ascontiguousarray(sample.features[applied]))
    return _ratio(source.weight, logs[0], clip, logs[1:])


def _pair(source: WeightedEvents, target: WeightedEvents) -> TrainingEvents:
    """Join both samples, label 1 for the target; positive weights of each sum to half the number of events."""
    label = np.concatenate([np.zeros(len(source.weight)), np.ones(len(target.weight))]).astype(np.int8)
    weight = np.concatenate([source.weight, target.weight])
    for value, side in ((0, "source"), (1, "target")):
        rows = label == value
        total = float(weight[rows].sum())
        if not total > 0.0:
            raise DataError(f"the weights of {int(rows.sum())} {side} events add up to {total:g}; a ratio needs more")
        weight[rows] *= len(label) / (2.0 * total)
    return bdt.usable(TrainingEvents(np.concatenate([source.features, target.features]), label, weight))[0]


def _classifier(train: TrainingEvents, held_out: TrainingEvents, seed: int) -> Estimate:
    """Return the calibrated log odds of trees that separate the target from the source."""
    from sklearn.linear_model import LogisticRegression

    trees = bdt.fit(Trees(), train, held_out, seed=seed)

    def log_odds(features: bdt.Features) -> Array:
        probability = np.clip(trees.predict(features).astype(np.float64), 1e-7, 1.0 - 1e-7)
        odds: Array = np.log(probability / (1.0 - probability))
        return odds

    curve = LogisticRegression(C=np.inf).fit(log_odds(held_out.features[:])[:, None], held_out.label, held_out.weight)
    # A slope below 0 means that the trees are worse than chance; the ratio is then constant.
    slope = max(0.0, float(curve.coef_[0, 0]))
    return lambda features: slope * log_odds(features) + float(curve.intercept_[0])


def _hep_ml(train: TrainingEvents, held_out: TrainingEvents, seed: int) -> Estimate:
    """Fit hep_ml's reweighter, with the settings of its documentation, on the training and the calibration part."""
    try:
        reweight = importlib.import_module("hep_ml.reweight")
    except ModuleNotFoundError as error:
        raise MissingExtraError("hep_ml", "reweight") from error
    features, label, weight = (
        np.concatenate([getattr(events, name) for events in (train, held_out)])
        for name in ("features", "label", "weight")
    )
    model = reweight.GBReweighter(
        n_estimators=60, learning_rate=0.1, max_depth=3, min_samples_leaf=200,
        gb_args={"subsample": 0.6, "random_state": seed},
    )  # fmt: skip
    is_source, is_target = label == 0, label == 1
    model.fit(
        features[is_source], features[is_target], original_weight=weight[is_source], target_weight=weight[is_target]
    )
    return lambda rows: np.log(np.asarray(model.predict_weights(rows), dtype=np.float64))


METHODS: dict[str, Callable[[TrainingEvents, TrainingEvents, int], Estimate]] = {
    "classifier": _classifier,
    "hep_ml": _hep_ml,
}


def _ratio(weight: Array, logs: Array, clip: float, others: Sequence[Array] = ()) -> Ratio:
    """Compute the ratios from their logarithms: divided by their mean, clipped, with an unchanged sum of weights."""
    size = np.abs(weight)
    raw = np.exp(logs - logs.max())
    mean = float(size @ raw) / float(size.sum())
    raw /= mean
    limits = 1.0 / clip, clip
    outside = (raw < limits[0]) | (raw > limits[1])
    factor = np.clip(raw, *limits)
    before, after = float(weight.sum()), float(weight @ factor)
    if not (before > 0.0 and after > 0.0):
        raise DataError(
            f"the source's weights add up to {before:g}, to {after:g} with the ratio; they must be positive"
        )
    factor *= before / after
    clipped = float(size[outside].sum() / size.sum())
    of_others = tuple(np.clip(np.exp(of - logs.max()) / mean, *limits) * (before / after) for of in others)
    return Ratio(factor, clipped, limits, (_n_eff(weight), _n_eff(weight * factor)), of_others)


def _n_eff(weight: Array) -> float:
    return float(weight.sum() ** 2 / np.square(weight).sum())
