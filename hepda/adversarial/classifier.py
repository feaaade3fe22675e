"""The core with the interface of scikit-learn: DANNClassifier and DANNRegressor."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite

from hepda.adversarial.estimator import AdversarialEstimator, DomainArrays

Array = NDArray[Any]


class DANNClassifier(ClassifierMixin, AdversarialEstimator):  # type: ignore[misc]
    """A classifier that is trained on source rows and whose features do not distinguish them from target rows.

    Without target rows it is a network without adaptation. Both losses use event weights, of either sign.

    The defaults make the adversary stable. `activation` tanh: bounded features cannot grow until the domain head no
    longer follows or saturates. Of `estimator.STEADY`, the training's defaults, `adversary_rate` 0.3: a fast domain
    head drives the encoder to any match of the domains, often one that mixes the classes, a slow one to the nearest;
    `average` 0.99: the encoder oscillates around the match, and the mean of its weights does not depend on the last
    step. `schedule` ganin: the adversary acts while the encoder still changes; a late one has little effect. Longer
    training helps most: `epochs`, or `learning_rate` in a small problem. benchmarks/README.md has the results of other
    settings. If a gap separates the classes, `method="vada"` is better than any of these.

    Args:
        encoder: widths of the hidden layers of the encoder.
        class_head: hidden widths of the class head.
        domain_head: hidden widths of the domain head.
        strength: strength of the reversal (or term), at the end of its schedule.
        schedule: `ganin`, `linear`, `cosine` or `constant`.
        warmup: epochs without the adversary at the start.
        method: a name of `methods.METHODS`, or several joined by commas, which take the widths, the activation and the
            strength of the estimator; or a method with its own settings, `Dann(smoothing=0.1, strength=2.0)`.
        batch_size: source rows of a step.
        epochs: passes over the source rows.
        learning_rate: of the encoder and the class head.
        dropout: in encoder and class head.
        activation: of all hidden layers.
        training: other settings of the training (`TrainSettings`: optimizer, precision, patience, scorer, ...), except
            `epochs`, `batch_size`, `learning_rate`, `seed` and `device`, which are arguments here; None:
            `estimator.STEADY`.
        negative_weights: `keep`, `absolute`, `drop` or `reject`.
        validation_fraction: share of the rows that is held out for patience.
        random_state: seed, or a numpy RandomState.
        device: `auto`, `cpu`, `cuda`, ...

    Attributes:
        classes_: the class labels.
        network_: the trained `Network`.
        history_: values of each quantity for each epoch (see `History`), including `seconds` of training.
        training_: the `History` itself, with warnings.
        n_iter_: epochs done.
        n_features_in_, feature_names_in_: as in all estimators of scikit-learn.

    """

    def _numbers(self, y: Array) -> Array:
        """Return the numbers of the classes [n]; set `classes_`."""
        if np.asarray(y).dtype.kind == "f":
            assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        self.classes_, label = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has only one class, {self.classes_[0]!r}; a classifier needs two or more")
        result: Array = label
        return result

    def _outputs(self) -> tuple[int, str, int]:
        classes = len(self.classes_)
        return (1, "binary", 2) if classes == 2 else (classes, "multiclass", classes)

    def decision_function(self, X: ArrayLike) -> Array:
        """Return logits: [n] of the second class for two classes, else [n, classes]."""
        raw = self._raw(X)
        return raw[:, 0] if raw.ndim == 2 and raw.shape[1] == 1 else raw

    def predict_proba(self, X: ArrayLike) -> Array:
        """Return probabilities [n, classes], in the order of `classes_`."""
        raw = self.decision_function(X)
        if raw.ndim == 1:
            positive = expit(raw)
            return np.stack([1.0 - positive, positive], axis=1)
        result: Array = softmax(raw, axis=1)
        return result

    def predict(self, X: ArrayLike) -> Array:
        """Return the most probable class of each row [n]."""
        raw = self.decision_function(X)
        result: Array = self.classes_[(raw > 0).astype(int) if raw.ndim == 1 else raw.argmax(axis=1)]
        return result


class DANNRegressor(RegressorMixin, AdversarialEstimator):  # type: ignore[misc]
    """A regressor in the form of `DANNClassifier`: the head minimises the squared error of the standardised y.

    Parameters and attributes are those of `DANNClassifier`, without classes.
    """

    def _numbers(self, y: Array) -> Array:
        """Return the values as float64 [n]."""
        values = np.asarray(y, dtype=np.float64)
        assert_all_finite(values, input_name="y")
        return values

    def _class_targets(self, domains: DomainArrays) -> Array:
        """Return the values [n] with weighted mean 0 and width 1; set `mean_` and `scale_`."""
        values, weight = domains.y, np.abs(domains.task_weight)
        self.mean_ = float(np.average(values, weights=weight))
        width = float(np.sqrt(np.average((values - self.mean_) ** 2, weights=weight)))
        self.scale_ = width if width > 0.0 else 1.0
        return (values - self.mean_) / self.scale_

    def _outputs(self) -> tuple[int, str, int]:
        return 1, "regression", 1

    def predict(self, X: ArrayLike) -> Array:
        """Return the predicted values [n]."""
        return self._raw(X).reshape(-1) * self.scale_ + self.mean_
