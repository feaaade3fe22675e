"""Fusion: one probability made of those that several models give the same rows; arrays in, arrays out.

With the logit z of P(signal), or the logarithms z of the probabilities of several classes, and M models m:

* mean: z = sum_m z_m / M, which is the logarithmic opinion pool (Genest & Zidek, Statist. Sci. 1 (1986) 114);
* logistic: z = b + sum_m a_m z_m with a weight a_m of each model and a constant b of each class, which minimise the
  weighted cross-entropy: stacking (Wolpert, Neural Networks 5 (1992) 241). A Gaussian prior of width 1 around the mean
  (a_m = 1 / M, b = 0), which counts as one event, keeps them finite where few events separate the classes completely;
* isotonic: every probability is replaced by a rising function of it, the share of the class at this probability (pool
  adjacent violators: Zadrozny & Elkan, KDD 2002), those of several classes are divided by their sum, and the models
  are averaged. The function is learned on bins of rows, whose sums of signed weights are positive, and is constant
  beyond the outermost bins.

Whoever fits a fusion has to leave out the rows that it is applied to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.errors import ConfigError, DataError, SourceError, nearest, replacing
from hepda.results.metrics import FusionEntry, FusionOfFold

Floats = NDArray[np.float64]
METHODS = ("mean", "isotonic", "logistic")
FLOOR = 2.0**-20
"""Probabilities are taken to be at least this, and at most 1 minus this: their logits are finite. float32 has both."""
_BIN, _MOST_BINS = 50, 200
_GAP = 1e-5
"""The smallest distance of two points of a calibration curve: float32 resolves it."""
_FLAT = 1e-4
"""Largest slope of the mean cross-entropy at which a fit has converged."""
_LARGEST = 50.0
"""Weights and constants above this are no result: only the prior stops a cross-entropy that falls without end."""


@dataclass(frozen=True, slots=True)
class RisingCurve:
    """A rising function: straight lines through the points (x, y), constant outside."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def __call__(self, values: Floats) -> Floats:
        """Return the function at values of any shape."""
        result: Floats = np.interp(values, self.x, self.y)
        return result


@dataclass(frozen=True, slots=True)
class Fusion:
    """What makes one probability of those of several models.

    Attributes:
        method: one of METHODS.
        models: the names of the models, in their order.
        outputs: 1 for P(signal), or the number of classes.
        weights: of each model; 1 / M unless the method is logistic.
        biases: of each output; 0 unless the method is logistic.
        curves: with the method isotonic, the calibration of each output of each model.
        rows: the number of rows that it was learned from; 0 for the mean.

    """

    method: str
    models: tuple[str, ...]
    outputs: int = 1
    weights: tuple[float, ...] = ()
    biases: tuple[float, ...] = ()
    curves: tuple[tuple[RisingCurve, ...], ...] = ()
    rows: int = 0

    def __call__(self, probabilities: Sequence[NDArray[np.floating]]) -> NDArray[np.float32]:
        """Return the fused probabilities.

        Args:
            probabilities: of each model, P(signal) [n] or the probabilities of the classes [n, classes].

        Returns:
            The same of the fusion, [n] or [n, classes].

        """
        stacked = _stacked(probabilities)
        if self.method == "isotonic":
            fused = np.mean([self._calibrated(part, number) for number, part in enumerate(stacked)], axis=0)
        else:
            fused = _probability(np.tensordot(self.weights, _logits(stacked), axes=1) + np.asarray(self.biases))
        return np.asarray(fused.reshape(np.shape(probabilities[0])), dtype=np.float32)

    def _calibrated(self, probability: Floats, model: int) -> Floats:
        """Return the calibrated probabilities [n, outputs] of a model."""
        columns = np.stack([curve(probability[:, i]) for i, curve in enumerate(self.curves[model])], axis=1)
        shares: Floats = columns if self.outputs == 1 else columns / columns.sum(axis=1, keepdims=True)
        return shares

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        curves = [[{"x": list(curve.x), "y": list(curve.y)} for curve in of_model] for of_model in self.curves]
        return {
            "method": self.method,
            "models": list(self.models),
            "outputs": self.outputs,
            "rows": self.rows,
            "weights": list(self.weights),
            "biases": list(self.biases),
            **({"curves": curves} if curves else {}),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Fusion:
        """Return what `to_json` wrote.

        Raises:
            ValueError, KeyError, TypeError: it is not of this form.

        """
        curves = tuple(
            tuple(RisingCurve(_numbers(curve["x"]), _numbers(curve["y"])) for curve in of_model)
            for of_model in content.get("curves", ())
        )
        fusion = cls(
            str(content["method"]), tuple(map(str, content["models"])), int(content["outputs"]),
            _numbers(content["weights"]), _numbers(content["biases"]), curves, int(content["rows"]),
        )  # fmt: skip
        shapes = [len(fusion.weights) == len(fusion.models), len(fusion.biases) == fusion.outputs]
        if fusion.method == "isotonic":
            shapes += [len(curves) == len(fusion.models), all(len(of) == fusion.outputs for of in curves)]
            shapes += [len(curve.x) == len(curve.y) > 0 for of_model in curves for curve in of_model]
        if fusion.method not in METHODS or not all(shapes):
            raise ValueError("its parts do not belong together")
        return fusion

    def save(self, path: Path) -> None:
        """Write it to a file of JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, ".json") as temporary:
            temporary.write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Fusion:
        """Read what `save` wrote.

        Raises:
            SourceError: the file is missing or damaged.

        """
        if not path.is_file():
            raise SourceError(f"there is no {path}; train again, or name a run directory with all its models.")
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SourceError(f"{path}: cannot be read as a fusion of models ({error}); train again.") from error


def fitted(
    method: str,
    probabilities: Mapping[str, NDArray[np.floating]],
    label: NDArray[np.integer[Any]],
    weight: NDArray[np.floating],
) -> Fusion:
    """Return a fusion that is learned from rows with known classes.

    Args:
        method: one of METHODS.
        probabilities: of each model by name, [n] or [n, classes], by trainings that did not see these rows.
        label: the class of each row [n]: 1 signal, 0 background; or the position among the classes.
        weight: the weights of the rows in the training [n], as of `class_weights`; they may be negative.

    Raises:
        ConfigError: an unknown method.
        DataError: there are no rows, a class has no weight in them, or the fit does not converge.

    """
    if method not in METHODS:
        raise ConfigError(
            f"unknown method {method!r} of fusion; one of {', '.join(METHODS)}.{nearest(method, METHODS)}"
        )
    names, parts = tuple(probabilities), list(probabilities.values())
    outputs = parts[0].shape[1] if parts[0].ndim == 2 else 1
    equal = mean_of(names, outputs)
    if method == "mean":
        return equal
    stacked = _stacked(parts)
    is_class = label[:, None] == (np.arange(outputs) if outputs > 1 else [1])
    used = np.asarray(weight, dtype=np.float64)
    if method == "logistic":
        weights, biases = _stacking(_logits(stacked), is_class, used)
        return Fusion(method, names, outputs, weights, biases, rows=len(label))
    curves = tuple(tuple(_curve(part[:, i], is_class[:, i], used) for i in range(outputs)) for part in stacked)
    return Fusion(method, names, outputs, equal.weights, equal.biases, curves, len(label))


def mean_of(models: Sequence[str], outputs: int = 1) -> Fusion:
    """Return the mean of the logits of models; outputs: 1, or the number of classes."""
    return Fusion("mean", tuple(models), outputs, (1.0 / len(models),) * len(models), (0.0,) * outputs)


def fusion_file(folder: Path, model: str, fold: int) -> Path:
    """Return the file of what a fusion learned for a fold; folder: of all models."""
    return folder / model / f"fold{fold}-fusion.json"


def entry_of(fusions: Sequence[Fusion], outputs: Sequence[str]) -> FusionEntry:
    """Return models.<model>.fusion of metrics.json.

    Args:
        fusions: of each fold.
        outputs: the names of the outputs: the classes, or "signal" alone.

    """
    folds = [
        FusionOfFold(
            events=fusion.rows,
            weights=dict(zip(fusion.models, fusion.weights, strict=True)),
            biases=dict(zip(outputs, fusion.biases, strict=True)),
        )
        for fusion in fusions
    ]
    return FusionEntry(method=fusions[0].method, of=list(fusions[0].models), folds=folds)


def _numbers(values: Any) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if not np.isfinite(numbers).all():
        raise ValueError("a number in it is not finite")
    return numbers


def _stacked(probabilities: Sequence[NDArray[np.floating]]) -> Floats:
    """Return probabilities [models, n, outputs]."""
    stacked = np.asarray(probabilities, dtype=np.float64)
    return stacked[..., None] if stacked.ndim == 2 else stacked


def _logits(stacked: Floats) -> Floats:
    """Return logits (one output), or logarithms of the probabilities, of the same shape."""
    clipped = np.clip(stacked, FLOOR, 1.0 - FLOOR)
    logits: Floats = np.log(clipped)
    return logits - np.log1p(-clipped) if stacked.shape[-1] == 1 else logits


def _probability(logits: Floats) -> Floats:
    """Return the probabilities of logits [n, outputs]."""
    from scipy.special import expit, softmax

    result: Floats = expit(logits) if logits.shape[1] == 1 else softmax(logits, axis=1)
    return result


def _stacking(logits: Floats, is_class: NDArray[np.bool_], weight: Floats) -> tuple[tuple[float, ...], ...]:
    """Return the weight of each model and the constant of each output, from logits [models, n, outputs].

    Raises:
        DataError: there are no rows, or the fit does not converge.

    """
    from scipy.optimize import minimize

    models, rows, outputs = logits.shape
    if not rows:
        raise DataError("there are no rows to learn a fusion from")
    start = np.concatenate([np.full(models, 1.0 / models), np.zeros(outputs)])

    def loss_and_slope(parameters: Floats) -> tuple[float, Floats]:
        combined = np.tensordot(parameters[:models], logits, axes=1) + parameters[models:]
        step = parameters - start
        if outputs == 1:
            loss = float(weight @ (np.logaddexp(0.0, combined) - is_class * combined)[:, 0])
        else:
            normalised = combined - np.logaddexp.reduce(combined, axis=1, keepdims=True)
            loss = -float(weight @ (normalised * is_class).sum(axis=1))
        residual = weight[:, None] * (_probability(combined) - is_class)
        slope = np.concatenate([np.einsum("mno,no->m", logits, residual), residual.sum(axis=0)])
        return (loss + 0.5 * float(step @ step)) / rows, (slope + step) / rows

    result = minimize(loss_and_slope, start, jac=True, method="BFGS", options={"gtol": 1e-7})
    if not (np.abs(result.x).max() < _LARGEST and np.abs(result.jac).max() < _FLAT):  # also if they are not numbers
        raise DataError(
            "the weights of the models have no best values on these events, whose negative weights are too many; take "
            "`method: mean`, or `negative_weights: absolute`"
        )
    found = [float(value) for value in result.x]
    return tuple(found[:models]), tuple(found[models:])


def _curve(probability: Floats, is_class: NDArray[np.bool_], weight: Floats) -> RisingCurve:
    """Return the share of a class as a rising function of a probability [n].

    Raises:
        DataError: there are no rows, or their weights do not add up to more than 0.

    """
    from sklearn.isotonic import IsotonicRegression

    bins = int(np.clip(len(weight) // _BIN, 1, _MOST_BINS))
    order = np.argsort(probability, kind="stable")
    sums: list[Floats] = []  # of each bin: sum of weights, of those of the class; of their sizes, times the probability
    for part in np.array_split(order, bins):
        size = np.abs(weight[part])
        of_bin = np.array(
            [weight[part].sum(), weight[part] @ is_class[part], size.sum(), size @ probability[part]], dtype=np.float64
        )
        if sums and (sums[-1][0] <= 0.0 or sums[-1][1] < 0.0 or _centre(of_bin) - _centre(sums[-1]) < _GAP):
            sums[-1] = sums[-1] + of_bin
        else:
            sums.append(of_bin)
    while len(sums) > 1 and sums[-1][0] <= 0.0:
        last = sums.pop()
        sums[-1] = sums[-1] + last
    total, of_class, size, _ = np.transpose(sums)
    if not len(order) or not (total > 0.0).all():
        raise DataError("the weights of the events do not add up to more than 0, so no calibration can be learned")
    centre = np.array([_centre(of_bin) for of_bin in sums])
    share = np.clip(of_class / total, FLOOR, 1.0 - FLOOR)
    fit = IsotonicRegression(y_min=FLOOR, y_max=1.0 - FLOOR).fit(centre, share, sample_weight=total)
    return RisingCurve(tuple(map(float, fit.X_thresholds_)), tuple(map(float, fit.y_thresholds_)))


def _centre(of_bin: Floats) -> float:
    """Return the mean probability of a bin, by the sizes of the weights; 0 for a bin without weight."""
    return float(of_bin[3] / of_bin[2]) if of_bin[2] > 0.0 else 0.0
