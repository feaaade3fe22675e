"""Training of trees by the three libraries, with the same settings.

Features in a table on the disk are read in blocks and kept as bins of one byte: by hepda for scikit-learn, whose trees
are the same as those of features in memory; by LightGBM and XGBoost themselves.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.baselines.binning import Bins
from hepda.baselines.inputs import (
    ROWS,
    BdtSettings,
    Features,
    Loss,
    StoredFeatures,
    TrainingEvents,
    TreeTraining,
    blocks,
)
from hepda.errors import ConfigError, MissingExtraError

Numbers = Mapping[int, int]
"""How many values each categorical feature has, by its column."""
Trained = tuple[Any, int]
"""The model of a library and its number of trees."""
OBJECTIVES: Mapping[Loss, Mapping[str, str]] = {
    "squared": {"xgboost": "reg:squarederror", "lightgbm": "regression"},
    "absolute": {"xgboost": "reg:absoluteerror", "lightgbm": "regression_l1"},
}
"""The names of the losses of a number."""


def import_library(library: str) -> Any:
    """Return the module of a library.

    Raises:
        MissingExtraError: it is not installed.

    """
    try:
        return importlib.import_module(library)
    except ModuleNotFoundError as error:
        raise MissingExtraError(library, library) from error


def fit_sklearn(training: TreeTraining) -> Trained:
    """Train scikit-learn's HistGradientBoostingClassifier, or its regressor for a number.

    Its early stopping uses the given validation events.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    settings, train, held_out = training.settings, training.train, training.held_out
    kinds: dict[Loss, tuple[Any, str]] = {
        "classes": (HistGradientBoostingClassifier, "log_loss"),
        "squared": (HistGradientBoostingRegressor, "squared_error"),
        "absolute": (HistGradientBoostingRegressor, "absolute_error"),
    }
    kind, loss = kinds[train.loss]
    model = kind(
        loss=loss,
        max_iter=settings.iterations,
        learning_rate=settings.learning_rate,
        max_leaf_nodes=settings.max_leaves,
        max_depth=settings.max_depth,
        min_samples_leaf=settings.min_samples,
        l2_regularization=settings.l2,
        early_stopping=held_out is not None,
        n_iter_no_change=settings.patience or 10,
        tol=0.0,
        random_state=training.seed,
    )
    bins = Bins.of(train.features, train.weight, training.seed, training.categories)
    with _takes_bins(model, bins) as used:
        of_bins = None if held_out is None else np.ascontiguousarray(bins.apply(held_out.features))
        _fit(model, bins.apply(train.features), of_bins, train, held_out)
    if used != {"_preprocess_X", "_bin_data"}:  # a version of scikit-learn without these methods made bins of bins
        if training.categories:
            raise ConfigError(
                "this version of scikit-learn does not take categorical features from hepda; install 1.6 to 1.9, or "
                "use `library: xgboost` or `lightgbm`"
            )
        features = None if held_out is None else held_out.features[:]
        _fit(model, train.features[:], features, train, held_out)
    if held_out is not None:
        # scikit-learn keeps the trees after the best one, the other libraries do not; validation_score_[0] is
        # the score without any tree.
        best = max(1, int(np.argmax(model.validation_score_)))
        model._predictors = model._predictors[:best]
    return model, int(model.n_iter_)


def _fit(
    model: Any,
    features: NDArray[Any],
    held_out: NDArray[Any] | None,
    train: TrainingEvents,
    validation: TrainingEvents | None,
) -> None:
    """Fit scikit-learn's classifier to features [n, k] or their bins, with those of the validation events."""
    extra: dict[str, Any] = {}
    if validation is not None:
        extra = {"X_val": held_out, "y_val": validation.label, "sample_weight_val": validation.weight}
    model.fit(features, train.label, sample_weight=train.weight, **extra)


@contextmanager
def _takes_bins(model: Any, bins: Bins) -> Iterator[set[str]]:
    """Let scikit-learn's classifier take bins in place of features within the block, so that it does not copy them.

    Provides the names of the methods that it called for this.
    """
    used: set[str] = set()

    def checked(binned: NDArray[np.uint8], *, reset: bool) -> Any:
        used.add("_preprocess_X")
        if not reset:
            return binned
        model.is_categorical_ = model._preprocessor = None  # codes need no preparation
        model._is_categorical_remapped = bins.is_categorical if bins.is_categorical.any() else None
        model.n_features_in_ = binned.shape[1]
        return binned, None

    def described(binned: NDArray[np.uint8], *_: Any, **__: Any) -> NDArray[np.uint8]:
        used.add("_bin_data")
        bins.describe(model._bin_mapper)
        return binned

    model._preprocess_X, model._bin_data = checked, described
    try:
        yield used
    finally:
        del model._preprocess_X, model._bin_data


def fit_xgboost(training: TreeTraining) -> Trained:
    """Train XGBoost's histogram trees.

    XGBoost has no option for the smallest number of events in a leaf, only for the smallest sum of w p (1 - p). It is
    set to the sum of `min_samples` events of weight 1 at p = 1/2; for a number, where it is the sum of w, to that.
    """
    xgboost = import_library("xgboost")
    settings, train, held_out = training.settings, training.train, training.held_out
    of_classes = train.loss == "classes"
    kind = xgboost.XGBClassifier if of_classes else xgboost.XGBRegressor
    objective = {} if of_classes else {"objective": OBJECTIVES[train.loss]["xgboost"]}
    model = kind(
        **objective,
        n_estimators=settings.iterations,
        learning_rate=settings.learning_rate,
        max_leaves=settings.max_leaves or 0,
        max_depth=settings.max_depth or 0,
        grow_policy="lossguide",
        tree_method="hist",
        min_child_weight=(0.25 if of_classes else 1.0) * settings.min_samples,
        reg_lambda=settings.l2,
        early_stopping_rounds=None if held_out is None else settings.patience,
        random_state=training.seed,
        n_jobs=1,
        enable_categorical=bool(training.categories),
        feature_types=_types_for_xgboost(train, training.categories),
    )
    if isinstance(train.features, StoredFeatures):
        return _fit_xgboost_in_blocks(model, training)
    extra: dict[str, Any] = {}
    if held_out is not None:
        validation_sets = [(held_out.features, held_out.label)]
        extra = {"eval_set": validation_sets, "sample_weight_eval_set": [held_out.weight], "verbose": False}
    model.fit(train.features, train.label, sample_weight=train.weight, **extra)
    best = settings.iterations if held_out is None else model.best_iteration + 1
    return model, int(best)


def _types_for_xgboost(events: TrainingEvents, categories: Numbers) -> list[str] | None:
    """Return the type of each feature, c for a category; None if all are numbers."""
    types = ["c" if column in categories else "q" for column in range(events.features.shape[1])]
    return types if categories else None


def _fit_xgboost_in_blocks(settings_of: Any, training: TreeTraining) -> Trained:
    """Train XGBoost on features that it reads in blocks; settings_of: a classifier with the settings."""
    xgboost = import_library("xgboost")
    settings, train, held_out, categories = training.settings, training.train, training.held_out, training.categories
    kinds: dict[str, Any] = {"enable_categorical": True} if categories else {}
    data = xgboost.QuantileDMatrix(_blocks_for_xgboost(train, categories), **kinds)
    several = {"objective": "multi:softprob", "num_class": train.classes if train.loss == "classes" else 0}
    parameters = settings_of.get_xgb_params()
    if train.loss == "classes":
        parameters |= {"objective": "binary:logistic"} if train.classes == 2 else several
    evaluated = []
    if held_out is not None:
        of_validation = xgboost.QuantileDMatrix(_blocks_for_xgboost(held_out, categories), ref=data, **kinds)
        evaluated = [(of_validation, "validation")]
    booster = xgboost.train(
        parameters, data, settings.iterations, evals=evaluated, verbose_eval=False,
        early_stopping_rounds=None if held_out is None else settings.patience,
    )  # fmt: skip
    model = type(settings_of)()
    model.load_model(booster.save_raw("json"))
    return model, int(settings.iterations if held_out is None else booster.best_iteration + 1)


def _blocks_for_xgboost(events: TrainingEvents, categories: Numbers) -> Any:
    """Return events as the iterator over blocks that XGBoost reads several times."""
    types = _types_for_xgboost(events, categories)

    class Blocks(import_library("xgboost").DataIter):  # type: ignore[misc]  # a base class that is imported here
        def __init__(self) -> None:
            self._blocks = blocks(events.features)
            super().__init__()

        def next(self, input_data: Callable[..., None]) -> bool:
            block = next(self._blocks, None)
            if block is not None:
                rows, features = block
                about = {} if types is None else {"feature_types": types}
                input_data(data=features, label=events.label[rows], weight=events.weight[rows], **about)
            return block is not None

        def reset(self) -> None:
            self._blocks = blocks(events.features)

    return Blocks()


def most_leaves(settings: BdtSettings, events: int) -> int:
    """Return the number of leaves of a tree that no setting limits; LightGBM requires a number, at most 131072."""
    by_depth: int = 2 ** (settings.max_depth or 17)
    return max(2, min(events // settings.min_samples, by_depth, 2**17))


def _rows_for_lightgbm(features: Features) -> Any:
    """Return features in memory as they are, and those of a table as the sequence that LightGBM reads in blocks."""
    if not isinstance(features, StoredFeatures):
        return features

    class Rows(import_library("lightgbm").Sequence):  # type: ignore[misc]  # a base class that is imported here
        batch_size = ROWS

        def __len__(self) -> int:
            return len(features)

        def __getitem__(self, rows: Any) -> NDArray[np.float64]:
            return features[rows].astype(np.float64)

    return Rows()


def fit_lightgbm(training: TreeTraining) -> Trained:
    """Train LightGBM's leaf-wise trees."""
    lightgbm = import_library("lightgbm")
    settings, train, held_out, categories = training.settings, training.train, training.held_out, training.categories
    kinds: dict[str, Any] = {"categorical_feature": sorted(categories)} if categories else {}
    data = lightgbm.Dataset(_rows_for_lightgbm(train.features), train.label, weight=train.weight, **kinds)
    validation_sets: list[Any] = []
    callbacks: list[Any] = []
    if held_out is not None:
        validation_sets = [
            lightgbm.Dataset(
                _rows_for_lightgbm(held_out.features), held_out.label, weight=held_out.weight, reference=data
            )
        ]
        callbacks = [lightgbm.early_stopping(settings.patience or 10, verbose=False)]
    if train.loss != "classes":
        objective: dict[str, Any] = {"objective": OBJECTIVES[train.loss]["lightgbm"]}
    else:
        several = {"objective": "multiclass", "num_class": train.classes}
        objective = {"objective": "binary"} if train.classes == 2 else several
    parameters = {
        **objective,
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.max_leaves or most_leaves(settings, len(train.label)),
        "max_depth": settings.max_depth or -1,
        "min_data_in_leaf": settings.min_samples,
        "lambda_l2": settings.l2,
        "seed": training.seed,
        "deterministic": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    booster = lightgbm.train(parameters, data, settings.iterations, valid_sets=validation_sets, callbacks=callbacks)
    return booster, int(settings.iterations if held_out is None else booster.best_iteration)


Fit = Callable[[TreeTraining], Trained]
LIBRARIES: dict[str, Fit] = {"sklearn": fit_sklearn, "xgboost": fit_xgboost, "lightgbm": fit_lightgbm}
