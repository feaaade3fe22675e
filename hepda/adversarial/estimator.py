"""The common part of `DANNClassifier` and `DANNRegressor`: parameters, checks of the input, the training."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from hepda.adversarial.data.batches import DomainRows
from hepda.adversarial.data.weights import negative_weights
from hepda.adversarial.methods import Comparison, Method, build, methods_of
from hepda.adversarial.networks.layers import mlp, seeded
from hepda.adversarial.networks.network import Head, Network
from hepda.adversarial.networks.term import Term
from hepda.adversarial.training.settings import TrainSettings
from hepda.adversarial.training.trainer import Trainer

Array = NDArray[Any]
STEADY = TrainSettings(average=0.99, adversary_rate=0.3)
"""The defaults of the estimators where they differ from `TrainSettings`, the defaults of `hepda train`.

An analysis file has the strength, rate and average that were chosen for its data, usually by `hepda scan`; an estimator
with its defaults has no such choice, so these are the settings that make the adversary stable."""


_NO_TARGET = (
    "there are no target rows, so this is a network without adaptation. Pass X_target, or sample_domain; in "
    "cross_val_score and GridSearchCV by `params`, in a Pipeline as `<step>__X_target`."
)
_NOT_TRANSFORMED = (
    "was X transformed, and X_target not? A Pipeline transforms X alone: with "
    "sklearn.set_config(enable_metadata_routing=True), Pipeline([...], transform_input=['X_target']) transforms both; "
    "or give both domains in X, with sample_domain."
)


def _warn_of_another_scale(source: Array, target: Array) -> None:
    """Warn if the median of the target is outside of all values of the source in some column.

    Domains that are to be aligned overlap; two that do not are rarely on one scale.
    """
    middle = np.median(target, axis=0)
    outside = np.flatnonzero((middle < source.min(axis=0)) | (middle > source.max(axis=0)))
    if len(outside):
        column = outside[0]
        warnings.warn(
            f"the median of X_target in column {column} ({middle[column]:.4g}) is outside of all values of X there "
            f"({source[:, column].min():.4g} to {source[:, column].max():.4g}): {_NOT_TRANSFORMED}",
            stacklevel=5,
        )


@dataclass(frozen=True, slots=True)
class DomainArrays:
    """Rows of both domains as arrays; target is None for a network without adaptation."""

    X: Array
    y: Array
    task_weight: Array
    domain_weight: Array
    mask: Array
    target: Array | None
    target_weight: Array | None


def without_repeats(keys: Array, weights: Array) -> tuple[Array, Array]:
    """Find the distinct rows of a table, and sum the weights of those that are equal.

    A training whose batch is the entire table depends only on the sum of the weights of equal rows, except for
    rounding. With equal rows added up, rows without a weight omitted, and the others in the order of their values, a
    weight of 3 and a row that occurs three times are the same to the last bit. Positive and negative weights are not
    added to each other: losses are divided by the sum of absolute weights.

    Args:
        keys: columns in which equal rows agree [n, k].
        weights: one or more weights of each row [n, w].

    Returns:
        The number of one row of each kind [m], sorted by `keys`, and the sums of their weights [m, w]. A table without
        any weight is returned as it is.

    """
    used = np.flatnonzero(weights.any(axis=1))
    if not len(used):
        return np.arange(len(keys)), weights
    table = np.column_stack([keys[used], np.sign(weights[used])])
    _, first, kind = np.unique(table, axis=0, return_index=True, return_inverse=True)
    sums = np.zeros((len(first), weights.shape[1]))
    np.add.at(sums, kind.reshape(-1), weights[used])
    return used[first], sums


class AdversarialEstimator(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """The common base of classifier and regressor."""

    def __init__(
        self,
        encoder: Sequence[int] = (128, 128, 64),
        class_head: Sequence[int] = (),
        domain_head: Sequence[int] = (64, 64),
        *,
        strength: float = 1.0,
        schedule: str = "ganin",
        warmup: float = 0,
        method: str | Method = "dann",
        batch_size: int = 1024,
        epochs: int = 40,
        learning_rate: float = 1e-3,
        dropout: float = 0.0,
        activation: str = "tanh",
        training: TrainSettings | None = None,
        negative_weights: str = "keep",
        validation_fraction: float = 0.1,
        random_state: Any = None,
        device: str = "auto",
    ) -> None:
        self.encoder, self.class_head, self.domain_head = encoder, class_head, domain_head
        self.strength, self.schedule, self.warmup, self.method = strength, schedule, warmup, method
        self.batch_size, self.epochs, self.learning_rate = batch_size, epochs, learning_rate
        self.dropout, self.activation, self.training = dropout, activation, training
        self.negative_weights, self.validation_fraction = negative_weights, validation_fraction
        self.random_state, self.device = random_state, device

    # ---- training ----

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
        """Train on source rows X [n, k] with labels or values y [n], against target rows.

        A `Pipeline` transforms X, and no other argument unless it is told to: with metadata routing, by
        `Pipeline([...], transform_input=["X_target"])`; or give both domains in X, with `sample_domain`.

        Args:
            X: features of the source; with `sample_domain`, of both domains.
            y: class labels, or values; those of target rows are not used.
            X_target: features of the target [m, k]; None: a network without adaptation.
            sample_weight: event weights of X, for the class loss, and the domain loss unless it has its own.
            target_weight: event weights of X_target.
            domain_mask: source rows of the comparison of domains (for example only background); None: all.
            domain_weight: event weights of X for the domain loss, where those of the class loss are balanced.
            sample_domain: skada's convention: 0 or more for source rows of X, negative for target rows.

        Raises:
            ValueError: shapes, labels or domains are inconsistent.
            HepdaError: an error of the trainer.

        """
        if X_target is None and sample_domain is None and self.strength and self.method != "none":
            warnings.warn(_NO_TARGET, stacklevel=2)
        arguments = X, y, X_target, sample_weight, target_weight, domain_mask, domain_weight, sample_domain
        domains = self._domains(*arguments)
        domains = self._merged(replace(domains, y=self._numbers(domains.y)))
        self._train(domains, self._class_targets(domains))
        return self

    def _numbers(self, y: Array) -> Array:
        """Return labels or values of the source rows, checked, as numbers [n]."""
        raise TypeError("use DANNClassifier or DANNRegressor")

    def _class_targets(self, domains: DomainArrays) -> Array:
        """Return the target of the class head for each source row [n]."""
        return domains.y

    def _merged(self, domains: DomainArrays) -> DomainArrays:
        """Return the domains without repeated rows in a domain that is one batch (`without_repeats`)."""
        if len(domains.X) <= self.batch_size:
            keys = np.column_stack([domains.X, domains.y, domains.mask])
            rows, weights = without_repeats(keys, np.stack([domains.task_weight, domains.domain_weight], axis=1))
            domains = replace(
                domains,
                X=domains.X[rows],
                y=domains.y[rows],
                mask=domains.mask[rows],
                task_weight=weights[:, 0],
                domain_weight=weights[:, 1],
            )
        if domains.target is not None and len(domains.target) <= (self._settings().target_size or self.batch_size):
            rows, weights = without_repeats(domains.target, np.asarray(domains.target_weight)[:, None])
            domains = replace(domains, target=domains.target[rows], target_weight=weights[:, 0])
        return domains

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
    ) -> DomainArrays:
        """Return the arguments of `fit`, checked, and split into domains."""
        X = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        y = self._column(y, X, "y")
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        compared = weight if domain_weight is None else _check_sample_weight(domain_weight, X, dtype=np.float64)
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
            return DomainArrays(X[source], y[source], weight[source], compared[source], mask[source], *pair)
        if X_target is None:
            return DomainArrays(X, y, weight, compared, mask, None, None)
        if hasattr(X_target, "columns") and not hasattr(self, "feature_names_in_"):
            warnings.warn(f"X has no names of columns, and X_target has: {_NOT_TRANSFORMED}", stacklevel=4)
            X_target = X_target.to_numpy()  # scikit-learn would warn of the names alone
        target_rows = validate_data(self, X_target, dtype=[np.float64, np.float32], reset=False)
        _warn_of_another_scale(X, target_rows)
        if target_weight is not None and not np.any(target_weight):  # zero target weight is no target
            return DomainArrays(X, y, weight, compared, mask, None, None)
        other_weight = _check_sample_weight(target_weight, target_rows, dtype=np.float64)
        return DomainArrays(X, y, weight, compared, mask, target_rows, other_weight)

    @staticmethod
    def _column(values: Any, X: Array, name: str) -> Array:
        column: Array = column_or_1d(values, warn=True)
        if len(column) != len(X):
            raise ValueError(f"X has {len(X)} samples, but {name} has {len(column)}")
        return column

    def _train(self, domains: DomainArrays, y: Array) -> None:
        """Train on checked rows; `y`: targets of the class head."""
        policy, real = self.negative_weights, np.float64 if self._settings().precision == "float64" else np.float32
        weights = {
            "task": negative_weights(domains.task_weight, policy).weight,
            "domain": negative_weights(domains.domain_weight, policy).weight,
        }
        source = DomainRows(domains.X.astype(real, copy=False), {"class": y}, weights, {"compared": domains.mask})
        target = None
        if domains.target is not None:
            target_weight = negative_weights(np.asarray(domains.target_weight), policy).weight
            target = DomainRows(domains.target.astype(real, copy=False), weights={"domain": target_weight})
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with seeded(seed):
            self.network_ = self._network(domains.X.shape[1], target is not None)
        source, target, validation = self._held_out(source, target, seed)
        self.training_ = Trainer(self._settings(seed)).fit(self.network_, source, target, validation=validation)
        self.history_: dict[str, list[float]] = self.training_.columns
        self.n_iter_ = self.training_.epochs

    def _held_out(
        self, source: DomainRows, target: DomainRows | None, seed: int
    ) -> tuple[DomainRows, DomainRows | None, tuple[DomainRows, DomainRows | None] | None]:
        """Return training rows of both domains, and validation rows if patience needs them."""
        if self._settings().patience is None:
            return source, target, None
        rng = np.random.default_rng(seed)
        held_source = rng.random(len(source)) < self.validation_fraction
        if target is None:
            return source.select(~held_source), None, (source.select(held_source), None)
        held_target = rng.random(len(target)) < self.validation_fraction
        validation = source.select(held_source), target.select(held_target)
        return source.select(~held_source), target.select(~held_target), validation

    def _settings(self, seed: int = 0) -> TrainSettings:
        """Return the settings of the training: `training`, with the values of the estimator's arguments."""
        return replace(
            STEADY if self.training is None else self.training,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
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
            comparison = Comparison(encoder.outputs, classes, rows="compared", weight="domain")
            more, terms = build(self._methods(), comparison)
            heads += more
        return Network(encoder, heads, terms=terms)

    def _methods(self) -> list[Method]:
        """Return the method, or the named methods, with the widths, activation and strength of the estimator."""
        if isinstance(self.method, Method):
            return [self.method]
        return methods_of(
            self.method,
            strength=self.strength,
            schedule=self.schedule,
            warmup=self.warmup,
            hidden=tuple(self.domain_head),
            activation=self.activation,
        )

    def _outputs(self) -> tuple[int, str, int]:
        """Return the number of raw outputs, the loss and the number of classes of the class head."""
        raise TypeError("use DANNClassifier or DANNRegressor")

    # ---- prediction ----

    def __sklearn_tags__(self) -> Any:
        """Return the tags of scikit-learn; `transform` keeps the type of its input."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _network_in_float64(self) -> Network:
        """Return the network in float64, whatever the precision of its training.

        The rounding of a product of float32 matrices depends on the number of rows and on the processor: the prediction
        for a single row and for the same row among others would differ in the seventh digit.
        """
        network = deepcopy(self.network_)
        if network.device.type == "mps":  # it has no float64
            network = network.cpu()
        return network.double()

    def _raw(self, X: Any) -> Array:
        check_is_fitted(self, "network_")
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        raw: Array = self._network_in_float64().predict(X, "class", raw=True)
        return raw

    def transform(self, X: ArrayLike) -> Array:
        """Return the embedding: features [n, d] of the encoder, float32 if X is float32 and float64 otherwise."""
        check_is_fitted(self, "network_")
        rows: Array = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        return self._network_in_float64().embed(rows).astype(rows.dtype, copy=False)

    @property
    def _n_features_out(self) -> int:
        return int(tuple(self.encoder)[-1])

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Return the names of the embedding's columns: `embedding0`, `embedding1`, ..."""
        check_is_fitted(self, "network_")
        return np.asarray([f"embedding{i}" for i in range(self._n_features_out)], dtype=object)
