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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.baselines import bdt
from hepda.baselines.inputs import TrainingEvents
from hepda.errors import ConfigError, DataError, MissingExtraError, SourceError, nearest

Array = NDArray[np.float64]
_STEM, _METADATA = "ratio", ".metadata.json"  # of the files of a saved ratio, and of the keys in them


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


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedTrees:
    """The log odds of trees, with the calibration `slope * log odds + intercept`."""

    trees: bdt.Bdt
    slope: float
    intercept: float

    def __call__(self, features: bdt.Features) -> Array:
        """Return the log of the density ratio [n] of features [n, k], up to a constant."""
        return self.slope * _log_odds(self.trees, features) + self.intercept


@dataclass(frozen=True, slots=True, eq=False)
class FittedRatio:
    """A density ratio that gives any event a factor, by the model that was not trained on the part of the event.

    Attributes:
        estimates: the model for the events of each part.
        largest: of the logs of the source, which is subtracted before they become ratios.
        mean: of these ratios over the source, by which they are divided before they are limited.
        clip: the limits are 1/clip and clip.
        norm: the last factor, with which the sum of weights of the source is unchanged.

    """

    estimates: Mapping[int, Estimate]
    largest: float
    mean: float
    clip: float
    norm: float

    def __call__(self, events: WeightedEvents) -> Array:
        """Return the factors [n] on the weights of events; the sum of these weights may change.

        Raises:
            DataError: events are of a part that the ratio has no model for.

        """
        raw = np.exp(_logs(self.estimates, events) - self.largest) / self.mean
        return np.asarray(np.clip(raw, 1.0 / self.clip, self.clip) * self.norm)

    def save(self, folder: Path) -> None:
        """Write the trees and numbers of every part into `folder`.

        Raises:
            ConfigError: the models are those of hep_ml, which have no format but pickle.

        """
        numbers = {"largest": self.largest, "mean": self.mean, "clip": self.clip, "norm": self.norm}
        for part, estimate in self.estimates.items():
            if not isinstance(estimate, CalibratedTrees):
                raise ConfigError("factors of the method hep_ml cannot be saved; take `method: classifier`.")
            about = {"part": part, "slope": estimate.slope, "intercept": estimate.intercept, **numbers}
            estimate.trees.save(folder, f"{_STEM}{part}", {_STEM: about})

    @classmethod
    def load(cls, folder: Path) -> FittedRatio:
        """Read a ratio that `save` wrote.

        Raises:
            SourceError: there is none, or a file is damaged.

        """
        stems = sorted(path.name.removesuffix(_METADATA) for path in folder.glob(f"{_STEM}*{_METADATA}"))
        if not stems:
            raise SourceError(f"{folder} has no density ratio: it is of an earlier hepda, or of the method hep_ml.")
        estimates, numbers = {}, dict[str, float]()
        for stem in stems:
            trees, metadata = bdt.load(folder, stem)
            try:
                about = {name: float(value) for name, value in metadata[_STEM].items()}
                estimates[int(about.pop("part"))] = CalibratedTrees(trees, about.pop("slope"), about.pop("intercept"))
                numbers = {name: about[name] for name in ("largest", "mean", "clip", "norm")}
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise SourceError(f"{folder / stem}{_METADATA} is not of a density ratio: {error!r}") from error
        return cls(estimates, **numbers)


@dataclass(frozen=True, slots=True)
class Ratio:
    """Result of `density_ratio`.

    Attributes:
        factor: factors on the weights of the source [n]; the sum of weights is unchanged.
        clipped: share of the events (by absolute weight) whose ratio was outside the limits.
        limits: limits on the ratio divided by its mean.
        n_eff: effective number of source events, before and after.
        fitted: the ratio for other events.

    """

    factor: Array
    clipped: float
    limits: tuple[float, float]
    n_eff: tuple[float, float]
    fitted: FittedRatio

    def as_manifest(self) -> dict[str, Any]:
        """Return everything except the factors."""
        return {
            "clipped": self.clipped,
            "limits": list(self.limits),
            "smallest": float(self.factor.min()),
            "largest": float(self.factor.max()),
            "n_eff": {"before": self.n_eff[0], "after": self.n_eff[1]},
        }


def density_ratio(
    source: WeightedEvents, target: WeightedEvents, *, method: str = "classifier", clip: float = 10.0, seed: int = 0
) -> Ratio:
    """Return factors that give the source the target's distribution of features, with an unchanged sum of weights.

    Args:
        source: the events that get a factor.
        target: the events whose distribution the source shall have.
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
    estimates = {}
    for number, part in enumerate(parts):
        held_out = parts[(number + 1) % len(parts)]
        sides = [[s.of((s.part != part) & (s.part != held_out)), s.of(s.part == held_out)] for s in (source, target)]
        (train_source, held_out_source), (train_target, held_out_target) = sides
        estimates[int(part)] = METHODS[method](
            _pair(train_source, train_target), _pair(held_out_source, held_out_target), seed + number
        )
    return _ratio(source.weight, _logs(estimates, source), clip, estimates)


def _logs(estimates: Mapping[int, Estimate], events: WeightedEvents) -> Array:
    """Return the log of the ratio of each event [n], by the model of its part."""
    logs = np.zeros(len(events.weight))
    for part in np.unique(events.part):
        if int(part) not in estimates:
            raise DataError(f"the ratio has no model for events of part {part}; it has {sorted(estimates)}")
        rows = events.part == part
        logs[rows] = estimates[int(part)](np.ascontiguousarray(events.features[rows]))
    return logs


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
    odds = _log_odds(trees, held_out.features[:])
    curve = LogisticRegression(C=np.inf).fit(odds[:, None], held_out.label, held_out.weight)
    # A slope below 0 means that the trees are worse than chance; the ratio is then constant.
    return CalibratedTrees(trees, max(0.0, float(curve.coef_[0, 0])), float(curve.intercept_[0]))


def _log_odds(trees: bdt.Bdt, features: bdt.Features) -> Array:
    """Return the log odds [n] of the target by trees, of features [n, k]."""
    probability = np.clip(trees.predict(features).astype(np.float64), 1e-7, 1.0 - 1e-7)
    return np.asarray(np.log(probability / (1.0 - probability)))


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


def _ratio(weight: Array, logs: Array, clip: float, estimates: Mapping[int, Estimate]) -> Ratio:
    """Compute the ratios from their logarithms: divided by their mean, clipped, with an unchanged sum of weights."""
    size, largest = np.abs(weight), float(logs.max())
    raw = np.exp(logs - largest)
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
    norm = before / after
    clipped = float(size[outside].sum() / size.sum())
    fitted = FittedRatio(estimates, largest, mean, clip, norm)
    factor *= norm
    return Ratio(factor, clipped, limits, (_n_eff(weight), _n_eff(weight * factor)), fitted)


def _n_eff(weight: Array) -> float:
    return float(weight.sum() ** 2 / np.square(weight).sum())
