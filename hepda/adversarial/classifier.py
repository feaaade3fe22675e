"""scikit-learn's face of the core: DANNClassifier and DANNRegressor."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite

from hepda.adversarial.estimator import AdversarialEstimator, Domains

Array = NDArray[Any]


class DANNClassifier(ClassifierMixin, AdversarialEstimator):  # type: ignore[misc]
    """A classifier that is trained on source rows and cannot tell them from target rows.

    Without target rows it is a plain network. Both losses carry event weights, of either sign.

    The defaults are those that make the adversary steady. `activation` tanh: bounded features cannot run away from
    the domain head, nor stretch until it sees nothing. `adversary_rate` 0.3: a fast domain head drives the encoder
    to any match of the domains, often one that mixes the classes, a slow one to the nearest. `average` 0.99: the
    encoder circles around the match, and the mean of its weights does not depend on where it was last.
    `schedule` ganin: the adversary is there while the encoder still moves; one that comes late finds the classes
    settled. Longer training gains most: `epochs`, or `learning_rate` in a small problem. What was tried and what
    each gives: benchmarks/README.md. Where a gap divides the classes, `method="vada"` does better than any of these.

    Args:
        encoder: widths of the hidden layers of the encoder.
        class_head: hidden widths of the class head.
        domain_head: hidden widths of the domain head.
        strength: of the reversal (or term), at the end of its schedule.
        schedule: `ganin`, `linear`, `cosine` or `constant`.
        warmup: epochs without the adversary at the start.
        method: a name of `registry.METHODS`, or several joined by commas.
        batch_size: source rows a step.
        target_size: target rows a step; None: as many as source rows.
        epochs: passes over the source rows.
        learning_rate: of the encoder and the class head.
        rate_schedule: `constant`, `one-cycle`, `cosine` or `ganin`.
        adversary_rate: factor on the learning rate of the domain head.
        adversary_steps: updates of the domain head for one of the encoder.
        optimizer: `adamw`, `adam`, `nadam` or `sgd`.
        weight_decay: on weight matrices.
        momentum: beta_1 of the Adams, momentum of sgd; None: 0.9.
        dropout: in encoder and class head.
        activation: of all hidden layers.
        average: decay of the moving average of the weights; 0: none.
        smoothing: of the domain labels.
        spectral_norm: in the domain head.
        gradient_penalty: on the domain head.
        radius: of methods `vat` and `vada`: how far from a row its prediction shall hold, in widths of the inputs.
        projection: take off what of the adversary's gradient opposes the class gradient.
        clip: largest norm of the encoder's gradient; 0: no limit.
        negative_weights: `keep`, `absolute`, `drop` or `reject`.
        precision: `float32`, `bfloat16` or `float64`.
        patience: epochs without a better value of the scorer on held-out rows before it ends; None: never.
        scorer: a name of `selection.SCORERS`, none of which looks at labels of the target; None: the class loss.
        validation_fraction: part of the rows held out for patience.
        random_state: seed, or a numpy RandomState.
        device: `auto`, `cpu`, `cuda`, ...

    Attributes:
        classes_: the class labels.
        network_: the trained `Network`.
        history_: one value an epoch of each quantity (see `History`), `seconds` of training among them.
        training_: the `History` itself, with warnings.
        n_iter_: epochs done.
        n_features_in_, feature_names_in_: as everywhere in scikit-learn.

    """

    def _wanted(self, domains: Domains) -> Array:
        """Numbers of the classes [n]; sets `classes_`."""
        if np.asarray(domains.y).dtype.kind == "f":
            assert_all_finite(domains.y, input_name="y")
        check_classification_targets(domains.y)
        self.classes_, label = np.unique(domains.y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has only one class, {self.classes_[0]!r}; a classifier needs two or more")
        result: Array = label
        return result

    def _outputs(self) -> tuple[int, str, int]:
        classes = len(self.classes_)
        return (1, "binary", 2) if classes == 2 else (classes, "multiclass", classes)

    def decision_function(self, X: ArrayLike) -> Array:
        """Logits: [n] of the second class for two classes, else [n, classes]."""
        raw = self._raw(X)
        return raw[:, 0] if raw.ndim == 2 and raw.shape[1] == 1 else raw

    def predict_proba(self, X: ArrayLike) -> Array:
        """Probabilities [n, classes], in the order of `classes_`."""
        raw = self.decision_function(X)
        if raw.ndim == 1:
            second = expit(raw)
            return np.stack([1.0 - second, second], axis=1)
        result: Array = softmax(raw, axis=1)
        return result

    def predict(self, X: ArrayLike) -> Array:
        """Return the likelier class of each row [n]."""
        raw = self.decision_function(X)
        result: Array = self.classes_[(raw > 0).astype(int) if raw.ndim == 1 else raw.argmax(axis=1)]
        return result


class DANNRegressor(RegressorMixin, AdversarialEstimator):  # type: ignore[misc]
    """As `DANNClassifier`, for a real target: the head minimises the squared error of the standardised y.

    Parameters and attributes are those of `DANNClassifier`, without classes.
    """

    def _wanted(self, domains: Domains) -> Array:
        """Values [n] of weighted mean 0 and width 1; sets `mean_` and `scale_`."""
        values = np.asarray(domains.y, dtype=np.float64)
        assert_all_finite(values, input_name="y")
        weight = np.abs(domains.task_weight)
        self.mean_ = float(np.average(values, weights=weight))
        width = float(np.sqrt(np.average((values - self.mean_) ** 2, weights=weight)))
        self.scale_ = width if width > 0.0 else 1.0
        return (values - self.mean_) / self.scale_

    def _outputs(self) -> tuple[int, str, int]:
        return 1, "regression", 1

    def predict(self, X: ArrayLike) -> Array:
        """Predicted values [n]."""
        return self._raw(X).reshape(-1) * self.scale_ + self.mean_
