"""scikit-learn's face of the core: DANNClassifier and DANNRegressor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    assert_all_finite,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from hepda.adversarial.batches import Rows
from hepda.adversarial.layers import mlp, seeded
from hepda.adversarial.network import Head, Network
from hepda.adversarial.registry import Adversary, build
from hepda.adversarial.terms import Term
from hepda.adversarial.trainer import Trainer
from hepda.adversarial.weights import negative_weights

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Domains:
    """Rows of both domains as arrays; target is None for a plain network."""

    X: Array
    y: Array
    task_weight: Array
    domain_weight: Array
    mask: Array
    target: Array | None
    target_weight: Array | None


class _Adversarial(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """What classifier and regressor share."""

    def __init__(
        self,
        encoder: Sequence[int] = (128, 128, 64),
        class_head: Sequence[int] = (),
        domain_head: Sequence[int] = (64, 64),
        *,
        strength: float = 1.0,
        schedule: str = "ganin",
        warmup: float = 0,
        method: str = "dann",
        batch_size: int = 1024,
        target_size: int | None = None,
        epochs: int = 40,
        learning_rate: float = 1e-3,
        rate_schedule: str = "constant",
        adversary_rate: float = 1.0,
        adversary_steps: int = 1,
        optimizer: str = "adamw",
        weight_decay: float = 0.0,
        momentum: float | None = None,
        dropout: float = 0.0,
        activation: str = "relu",
        average: float = 0.0,
        smoothing: float = 0.0,
        spectral_norm: bool = False,
        gradient_penalty: float = 0.0,
        projection: bool = False,
        clip: float = 0.0,
        negative_weights: str = "keep",
        precision: str = "float32",
        patience: int | None = None,
        validation_fraction: float = 0.1,
        random_state: Any = None,
        device: str = "auto",
    ) -> None:
        self.encoder = encoder
        self.class_head = class_head
        self.domain_head = domain_head
        self.strength = strength
        self.schedule = schedule
        self.warmup = warmup
        self.method = method
        self.batch_size = batch_size
        self.target_size = target_size
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.rate_schedule = rate_schedule
        self.adversary_rate = adversary_rate
        self.adversary_steps = adversary_steps
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.momentum = momentum
        self.dropout = dropout
        self.activation = activation
        self.average = average
        self.smoothing = smoothing
        self.spectral_norm = spectral_norm
        self.gradient_penalty = gradient_penalty
        self.projection = projection
        self.clip = clip
        self.negative_weights = negative_weights
        self.precision = precision
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device

    # ---- what comes in ----

    def _domains(
        self,
        X: Any,
        y: Any,
        X_target: Any,
        sample_weight: Any,
        target_weight: Any,
        domain_mask: Any,
        domain_weight: Any,
        sample_domain: Any,
    ) -> _Domains:
        """What `fit` was given, checked, and split into domains."""
        X = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        y = self._column(y, X, "y")
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        compared = (
            weight if domain_weight is None else _check_sample_weight(domain_weight, X, dtype=np.float64)
        )
        mask = np.ones(len(X), dtype=bool)
        if domain_mask is not None:
            mask = self._column(domain_mask, X, "domain_mask").astype(bool)
        if sample_domain is not None:
            if X_target is not None:
                raise ValueError("give X_target, or source and target in one X with sample_domain; not both")
            target = self._column(sample_domain, X, "sample_domain") < 0
            if target.all():
                raise ValueError("sample_domain has no source rows: source is 0 or more, target is negative")
            source = ~target
            pair = (X[target], compared[target]) if target.any() else (None, None)
            return _Domains(X[source], y[source], weight[source], compared[source], mask[source], *pair)
        if X_target is None:
            return _Domains(X, y, weight, compared, mask, None, None)
        other = validate_data(self, X_target, dtype=[np.float64, np.float32], reset=False)
        if target_weight is not None and not np.any(target_weight):  # zero target weight is no target
            return _Domains(X, y, weight, compared, mask, None, None)
        there = _check_sample_weight(target_weight, other, dtype=np.float64)
        return _Domains(X, y, weight, compared, mask, other, there)

    @staticmethod
    def _column(values: Any, X: Array, name: str) -> Array:
        column: Array = column_or_1d(values, warn=True)
        if len(column) != len(X):
            raise ValueError(f"X has {len(X)} samples, but {name} has {len(column)}")
        return column

    def _float(self) -> type[np.floating[Any]]:
        return np.float64 if self.precision == "float64" else np.float32

    def _fit(self, domains: _Domains, y: Array) -> None:
        """Train on rows that were checked; `y` as the head wants it."""
        policy, real = self.negative_weights, self._float()
        weights = {
            "task": negative_weights(domains.task_weight, policy).weight,
            "domain": negative_weights(domains.domain_weight, policy).weight,
        }
        source = Rows(domains.X.astype(real, copy=False), {"class": y}, weights, {"compared": domains.mask})
        target = None
        if domains.target is not None:
            there = negative_weights(np.asarray(domains.target_weight), policy).weight
            target = Rows(domains.target.astype(real, copy=False), weights={"domain": there})
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with seeded(seed):
            self.network_ = self._network(domains.X.shape[1], target is not None)
        source, target, look = self._held_out(source, target, seed)
        self.training_ = self._trainer(seed).fit(self.network_, source, target, validation=look)
        self.history_: dict[str, list[float]] = self.training_.columns
        self.n_iter_ = self.training_.epochs

    def _held_out(
        self, source: Rows, target: Rows | None, seed: int
    ) -> tuple[Rows, Rows | None, tuple[Rows, Rows | None] | None]:
        """Training rows of both domains, and validation rows if patience needs them."""
        if self.patience is None:
            return source, target, None
        rng = np.random.default_rng(seed)
        away = rng.random(len(source)) < self.validation_fraction
        if target is None:
            return source.select(~away), None, (source.select(away), None)
        also = rng.random(len(target)) < self.validation_fraction
        return source.select(~away), target.select(~also), (source.select(away), target.select(also))

    def _trainer(self, seed: int) -> Trainer:
        return Trainer(
            epochs=self.epochs,
            batch_size=self.batch_size,
            target_size=self.target_size,
            learning_rate=self.learning_rate,
            rate_schedule=self.rate_schedule,
            adversary_rate=self.adversary_rate,
            optimizer=self.optimizer,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            average=self.average,
            clip=self.clip,
            projection=self.projection,
            precision=self.precision,
            patience=self.patience,
            seed=seed,
            device=self.device,
        )

    def _network(self, columns: int, adapt: bool) -> Network:
        layers: dict[str, Any] = {"activation": self.activation, "dropout": self.dropout}
        encoder = mlp(columns, self.encoder, **layers)
        outputs, loss, classes = self._outputs()
        head = mlp(encoder.outputs, self.class_head, outputs, **layers)
        heads = [Head("class", head, loss=loss, weight="task")]
        terms: list[Term] = []
        if adapt:
            more, terms = build(self.method, self._adversary(encoder.outputs, classes))
            heads += more
        return Network(encoder, heads, terms=terms)

    def _adversary(self, features: int, classes: int) -> Adversary:
        return Adversary(
            features=features,
            classes=classes,
            rows="compared",
            weight="domain",
            strength=self.strength,
            schedule=self.schedule,
            warmup=self.warmup,
            hidden=tuple(self.domain_head),
            activation=self.activation,
            steps=self.adversary_steps,
            smoothing=self.smoothing,
            spectral_norm=self.spectral_norm,
            gradient_penalty=self.gradient_penalty,
        )

    def _outputs(self) -> tuple[int, str, int]:
        """Raw outputs, loss and classes of the class head."""
        raise TypeError("use DANNClassifier or DANNRegressor")

    # ---- what goes out ----

    def _raw(self, X: Any) -> Array:
        check_is_fitted(self, "network_")
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        raw: Array = self.network_.predict(X, "class", raw=True).astype(np.float64)
        return raw

    def transform(self, X: ArrayLike) -> Array:
        """The embedding: features [n, d] of the encoder."""
        check_is_fitted(self, "network_")
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        return self.network_.embed(X)

    @property
    def _n_features_out(self) -> int:
        return int(tuple(self.encoder)[-1])

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Names of the embedding's columns: `embedding0`, `embedding1`, ..."""
        check_is_fitted(self, "network_")
        return np.asarray([f"embedding{i}" for i in range(self._n_features_out)], dtype=object)


class DANNClassifier(ClassifierMixin, _Adversarial):  # type: ignore[misc]
    """A classifier that is trained on source rows and cannot tell them from target rows.

    Without target rows it is a plain network. Both losses carry event weights, of either sign.

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
        projection: take off what of the adversary's gradient opposes the class gradient.
        clip: largest norm of the encoder's gradient; 0: no limit.
        negative_weights: `keep`, `absolute`, `drop` or `reject`.
        precision: `float32`, `bfloat16` or `float64`.
        patience: epochs without a better class loss on held-out rows before it ends; None: never.
        validation_fraction: part of the rows held out for patience.
        random_state: seed, or a numpy RandomState.
        device: `auto`, `cpu`, `cuda`, ...

    Attributes:
        classes_: the class labels.
        network_: the trained `Network`.
        history_: one value an epoch of each quantity (see `History`), `seconds` of training among them.
        training_: the `History` itself, with alarms.
        n_iter_: epochs done.
        n_features_in_, feature_names_in_: as everywhere in scikit-learn.

    """

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        X_target: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        target_weight: ArrayLike | None = None,
        domain_mask: ArrayLike | None = None,
        domain_weight: ArrayLike | None = None,
        sample_domain: ArrayLike | None = None,
    ) -> Self:
        """Train on source rows X [n, k] with labels y [n], against target rows.

        Args:
            X: features of the source; with `sample_domain`, of both domains.
            y: class labels; those of target rows are not looked at.
            X_target: features of the target [m, k]; None: a plain network.
            sample_weight: event weights of X, for the class loss, and the domain loss unless it has its own.
            target_weight: event weights of X_target.
            domain_mask: source rows that take part in the comparison of domains (background only, say); all
                if None.
            domain_weight: event weights of X for the domain loss, where those of the class loss are balanced.
            sample_domain: skada's convention: 0 or more for source rows of X, negative for target rows.

        Raises:
            ValueError: shapes, labels or domains that do not fit.
            HepdaError: what the trainer raises.

        """
        given = X, y, X_target, sample_weight, target_weight, domain_mask, domain_weight, sample_domain
        domains = self._domains(*given)
        if np.asarray(domains.y).dtype.kind == "f":
            assert_all_finite(domains.y, input_name="y")
        check_classification_targets(domains.y)
        self.classes_, label = np.unique(domains.y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has only one class, {self.classes_[0]!r}; a classifier needs two or more")
        self._fit(domains, label)
        return self

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
        """The likelier class of each row [n]."""
        raw = self.decision_function(X)
        result: Array = self.classes_[(raw > 0).astype(int) if raw.ndim == 1 else raw.argmax(axis=1)]
        return result


class DANNRegressor(RegressorMixin, _Adversarial):  # type: ignore[misc]
    """As `DANNClassifier`, for a real target: the head minimises the squared error of the standardised y.

    Parameters and attributes are those of `DANNClassifier`, without classes.
    """

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        X_target: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        target_weight: ArrayLike | None = None,
        domain_mask: ArrayLike | None = None,
        domain_weight: ArrayLike | None = None,
        sample_domain: ArrayLike | None = None,
    ) -> Self:
        """Train on source rows X [n, k] with values y [n]; see `DANNClassifier.fit`."""
        given = X, y, X_target, sample_weight, target_weight, domain_mask, domain_weight, sample_domain
        domains = self._domains(*given)
        values = np.asarray(domains.y, dtype=np.float64)
        assert_all_finite(values, input_name="y")
        weight = np.abs(domains.task_weight)
        self.mean_ = float(np.average(values, weights=weight))
        width = float(np.sqrt(np.average((values - self.mean_) ** 2, weights=weight)))
        self.scale_ = width if width > 0.0 else 1.0
        self._fit(domains, (values - self.mean_) / self.scale_)
        return self

    def _outputs(self) -> tuple[int, str, int]:
        return 1, "regression", 1

    def predict(self, X: ArrayLike) -> Array:
        """Predicted values [n]."""
        return self._raw(X).reshape(-1) * self.scale_ + self.mean_
