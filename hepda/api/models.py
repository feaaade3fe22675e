"""The trained models of a run as estimators of scikit-learn: frames of features in, probabilities out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from hepda.config import load_config
from hepda.errors import ConfigError, DataError, nearest
from hepda.events.dataset.splits import event_key, fold_of
from hepda.events.resolve import dataset_spec, model_specs
from hepda.events.table.feature_table import FeatureTable
from hepda.events.training.probabilities import score_columns
from hepda.events.training.scoring import fold_score

if TYPE_CHECKING:
    import pandas as pd

    from hepda.events.specs import DatasetSpec, ModelSpec

Array = NDArray[Any]


class _TrainedModel(BaseEstimator):  # type: ignore[misc]
    """What models of a run have in common: all folds and all members of their ensembles, and the events that they read.

    An event whose identity is known (the key, or columns such as run and event) is scored by the trainings of its own
    fold, which did not see it, as in the run. Other events are taken to be new: they get the mean over the folds.

    Args:
        run: the run directory.
        name: the model.

    """

    def __init__(self, run: str | Path, name: str) -> None:
        self.run, self.name = run, name

    def fit(self, X: Any = None, y: Any = None, **params: Any) -> Self:
        """Do nothing: the model is trained (as `sklearn.frozen.FrozenEstimator`, for tools that call `fit`)."""
        return self

    def scores(self, X: ArrayLike | pd.DataFrame, key: ArrayLike | None = None) -> pd.DataFrame:
        """Return the columns that the model has in `Run.scores`: its score or number, and all further ones.

        Arguments and errors are those of `predict`.
        """
        import pandas as pd

        columns = score_columns(self._spec, self._predicted(X, key))
        return pd.DataFrame(columns, index=getattr(X, "index", None))

    @property
    def feature_names_in_(self) -> Array:
        """Return the names of the features, in their order."""
        names = self._spec.features
        return np.asarray(self._dataset.features if names is None else names, dtype=object)

    @property
    def n_features_in_(self) -> int:
        """Return the number of features."""
        return len(self.feature_names_in_)

    @property
    def key(self) -> tuple[str, ...]:
        """Return the columns that identify an event."""
        return tuple(self._dataset.split.key)

    @property
    def folds(self) -> int:
        """Return the number of folds."""
        return self._spec.folds

    @property
    def members(self) -> int:
        """Return the number of trainings that are averaged in a fold."""
        return self._spec.members

    def __sklearn_is_fitted__(self) -> bool:
        """Return True: a model of a run is trained."""
        return True

    @property
    def _spec(self) -> ModelSpec:
        return self._resolved()[1]

    @property
    def _dataset(self) -> DatasetSpec:
        return self._resolved()[0]

    def _resolved(self) -> tuple[DatasetSpec, ModelSpec]:
        """Return what the analysis file of the run says of the events and of the model, read once."""
        kept: tuple[DatasetSpec, ModelSpec] | None = self.__dict__.get("_kept")
        if kept is None:
            config = load_config(Path(self.run) / "config.yaml")
            models = model_specs(config)
            if self.name not in models:
                raise ConfigError(_unknown(Path(self.run), self.name, list(models)))
            kept = self.__dict__["_kept"] = (dataset_spec(config), models[self.name])
        return kept

    def __getstate__(self) -> dict[str, Any]:
        """Return run and name: what was read is read again after unpickling."""
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_kept"}

    def _predicted(self, X: Any, key: Any) -> Array:
        """Return P(signal) [n], probabilities of classes and labels (`ModelSpec.predictions`), or numbers [n]."""
        spec, folder = self._spec, Path(self.run) / "models"
        if spec.collections:
            raise ConfigError(
                f"models.{self.name}: reads the objects of {', '.join(spec.collections)}, which are no columns of a "
                "frame of features; `run.score(events)` forms them from the branches of events."
            )
        table = self._table(X, key)
        if key is None and not self._has_key(X):
            if not len(table):
                return np.zeros((0, *spec.predictions), dtype=np.float32)
            parts = [fold_score(spec, folder, table, fold) for fold in range(spec.folds)]
            return np.asarray(np.mean(parts, axis=0), dtype=np.float32)
        result = np.zeros((len(table), *spec.predictions), dtype=np.float32)
        for fold in range(spec.folds):
            rows = np.asarray(table.fold == fold)
            if rows.any():
                result[rows] = fold_score(spec, folder, table, fold, rows=rows)
        return result

    def _has_key(self, X: Any) -> bool:
        columns = getattr(X, "columns", None)
        return columns is not None and set(self.key) <= set(columns)

    def _table(self, X: Any, key: Any) -> FeatureTable:
        """Return the events as the trainings read them."""
        features, keys = self._matrix(X), np.zeros(0, dtype=np.uint64)
        if key is not None:
            keys = np.asarray(key, dtype=np.uint64)
        elif self._has_key(X):
            keys = event_key(*(integers_of(X, name) for name in self.key))
        if not len(keys):
            keys = np.zeros(len(features), dtype=np.uint64)
        if keys.shape != (len(features),):
            raise DataError(f"models.{self.name}: X has {len(features)} events, and key has the shape {keys.shape}.")
        none = np.zeros(len(features), dtype=np.int16)
        return FeatureTable(
            features=features, names=tuple(self._names()), weight=np.ones(len(features)),
            label=np.full(len(features), -1, dtype=np.int8), domain=none, domain_names=tuple(self._dataset.domains),
            sample=none, sample_names=tuple(self._dataset.samples), fold=fold_of(keys, self._spec.folds),
            validation=np.zeros(len(features), dtype=np.bool_), key=keys,
        )  # fmt: skip

    def _names(self) -> Sequence[str]:
        return [str(name) for name in self.feature_names_in_]

    def _matrix(self, X: Any) -> NDArray[np.float32]:
        """Return the features, float32 [n, k], in the order of the model, missing ones as in training."""
        names = self._names()
        if hasattr(X, "columns"):
            there = [str(column) for column in X.columns]
            for name in names:
                if name not in there:
                    raise DataError(
                        f"models.{self.name}: X has no column {name!r}, which the model reads.{nearest(name, there)} "
                        "`run.features(events)` forms the features from the branches of events."
                    )
            values = np.asarray(X[names], dtype=np.float32)
        else:
            values = np.asarray(X, dtype=np.float32)
            if values.ndim != 2 or values.shape[1] != len(names):
                raise DataError(
                    f"models.{self.name}: reads {len(names)} features, and X has the shape {values.shape}; its columns "
                    f"are {', '.join(names)}."
                )
        if np.isinf(values).any():
            column = names[int(np.flatnonzero(np.isinf(values).any(axis=0))[0])]
            raise DataError(f"models.{self.name}: {column!r} is infinite in X; a missing value is NaN.")
        return np.ascontiguousarray(np.where(np.isnan(values), np.float32(self._spec.missing), values))


class RunModel(ClassifierMixin, _TrainedModel):  # type: ignore[misc]
    """A trained model of a run of events: all folds and all members of its ensembles.

    An event whose identity is known (the key, or columns such as run and event) is scored by the trainings of its own
    fold, which did not see it, as in the run. Other events are taken to be new: they get the mean over the folds.

    Args:
        run: the run directory.
        name: the model.

    Attributes:
        classes_: names of the classes, in the order of the columns of `predict_proba`; background before signal.
        feature_names_in_: the features that it reads, in their order.
        n_features_in_: their number.
        key: the columns that identify an event, such as run and event.
        folds: number of folds.
        members: number of trainings that are averaged in a fold.

    """

    def predict_proba(self, X: ArrayLike | pd.DataFrame, key: ArrayLike | None = None) -> Array:
        """Return the probabilities of the classes [n, classes], float32.

        Args:
            X: a frame with the features by name, in any order, with further columns or not; or an array [n, features]
                in the order of `feature_names_in_`. NaN is a missing value, as in training.
            key: the hash of each event [n], as in `Run.scores` and of `hepda.event_key`. None: that of the columns that
                identify an event, if the frame has all of them; else no training saw any of these events.

        Raises:
            DataError: a feature is missing from the frame, or is infinite, or the shapes do not fit.
            SourceError: a file of the model is missing or damaged.

        """
        probability = self._predicted(X, key)
        if labels := len(self._spec.event_labels):
            probability = probability[:, :-labels] if self._spec.classes else probability[:, 0]
        return probability if probability.ndim == 2 else np.stack([1 - probability, probability], axis=1)

    def predict(self, X: ArrayLike | pd.DataFrame, key: ArrayLike | None = None) -> Array:
        """Return the most probable class of each event [n]; arguments and errors are those of `predict_proba`."""
        return np.asarray(self.classes_[self.predict_proba(X, key).argmax(axis=1)])

    @property
    def classes_(self) -> Array:
        """Return the names of the classes."""
        spec = self._spec
        return np.asarray(spec.classes or ("background", "signal"), dtype=object)


class RunRegressor(RegressorMixin, _TrainedModel):  # type: ignore[misc]
    """A trained model of a run of events that predicts a number, with the attributes of `RunModel` but `classes_`.

    Args:
        run: the run directory.
        name: the model.

    """

    def predict(self, X: ArrayLike | pd.DataFrame, key: ArrayLike | None = None) -> Array:
        """Return the predicted number of each event [n], in the units of its target.

        Args:
            X: a frame with the features by name, in any order, with further columns or not; or an array [n, features]
                in the order of `feature_names_in_`. NaN is a missing value, as in training.
            key: as of `RunModel.predict_proba`.

        Raises:
            DataError: a feature is missing from the frame, or is infinite, or the shapes do not fit.
            SourceError: a file of the model is missing or damaged.

        """
        return self._predicted(X, key)


class RunModels(Mapping[str, RunModel | RunRegressor]):
    """The trained models of a run by name.

    Args:
        run: the run directory.
        names: of all models.
        numbers: of those that predict a number.

    """

    def __init__(self, run: Path, names: Sequence[str], numbers: Sequence[str] = ()) -> None:
        self._run, self._known, self._numbers = run, list(names), list(numbers)

    def __getitem__(self, name: str) -> RunModel | RunRegressor:
        if name not in self._known:
            raise KeyError(_unknown(self._run, name, self._known))
        return RunRegressor(self._run, name) if name in self._numbers else RunModel(self._run, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._known)

    def __repr__(self) -> str:
        return f"<models of {self._run}: {', '.join(self._known)}>"


def _unknown(run: Path, name: str, known: Sequence[str]) -> str:
    return f"{run} has no model {name!r}.{nearest(name, known)} There are: {', '.join(known)}."


def integers_of(frame: Any, name: str) -> Array:
    """Return a column that identifies events, as integers [n]."""
    values = np.asarray(frame[name])
    if values.dtype.kind not in "iu":
        raise DataError(f"X: the column {name!r} identifies events, so it must have integers, not {values.dtype}.")
    return values
