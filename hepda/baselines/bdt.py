"""Boosted decision trees with one contract: fit on weighted events, predict a score, save without pickle.

The yardstick of every network. scikit-learn's histogram trees are always there; XGBoost and LightGBM come by an
extra. All of them see the same features and the same weights; negative weights are taken as the library takes
them in the sums of gradients, where they subtract (scikit-learn's tree growing refuses none of them).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hepda.errors import ConfigError, MissingExtraError

Features = NDArray[np.float32]
Labels = NDArray[np.int8]
Weights = NDArray[np.float64]


class Settings(Protocol):
    """What a BDT is told; `hepda.config.BdtConfig` says each in words."""

    library: str
    iterations: int
    learning_rate: float
    max_leaves: int | None
    max_depth: int | None
    min_samples: int
    l2: float
    patience: int | None


@dataclass(frozen=True, slots=True)
class Events:
    """Features [n, k], labels [n] (1 signal, 0 background) and training weights [n]."""

    features: Features
    label: Labels
    weight: Weights


@dataclass(frozen=True, slots=True)
class Bdt:
    """Trained trees: `predict`, `save`, and how many trees there are."""

    library: str
    model: Any
    trees: int

    def predict(self, features: Features) -> NDArray[np.float32]:
        """P(signal) [n] of features [n, k]."""
        if self.library == "sklearn":
            score = self.model.predict_proba(features)[:, 1]
        elif self.library == "xgboost":
            score = self.model.predict_proba(features, iteration_range=(0, self.trees))[:, 1]
        else:
            score = self.model.predict(features, num_iteration=self.trees)
        return np.asarray(score, dtype=np.float32)

    def save(self, folder: Path, stem: str, metadata: dict[str, Any]) -> None:
        """Write the trees and their metadata: skops, or the library's own text; never a pickle."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.library == "sklearn":
            import skops.io

            skops.io.dump(self.model, folder / f"{stem}.skops")
        elif self.library == "xgboost":
            self.model.save_model(folder / f"{stem}.json")
        else:
            self.model.save_model(folder / f"{stem}.txt")
        about = metadata | {"library": self.library, "trees": self.trees}
        (folder / f"{stem}.metadata.json").write_text(json.dumps(about, indent=1))


def fit_sklearn(settings: Settings, train: Events, validation: Events | None, seed: int) -> Bdt:
    """scikit-learn's HistGradientBoostingClassifier with its own early stopping on our validation events."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    stop = settings.patience is not None and validation is not None
    model = HistGradientBoostingClassifier(
        max_iter=settings.iterations,
        learning_rate=settings.learning_rate,
        max_leaf_nodes=settings.max_leaves,
        max_depth=settings.max_depth,
        min_samples_leaf=settings.min_samples,
        l2_regularization=settings.l2,
        early_stopping=stop,
        n_iter_no_change=settings.patience or 10,
        tol=0.0,
        random_state=seed,
    )
    extra: dict[str, Any] = {}
    if stop and validation is not None:
        extra = {"X_val": validation.features, "y_val": validation.label, "sample_weight_val": validation.weight}
    model.fit(train.features, train.label, sample_weight=train.weight, **extra)
    return Bdt("sklearn", model, int(model.n_iter_))


def fit_xgboost(settings: Settings, train: Events, validation: Events | None, seed: int) -> Bdt:
    """XGBoost's histogram trees."""
    try:
        import xgboost
    except ModuleNotFoundError as error:
        raise MissingExtraError("xgboost", "xgboost") from error
    stop = settings.patience is not None and validation is not None
    model = xgboost.XGBClassifier(
        n_estimators=settings.iterations,
        learning_rate=settings.learning_rate,
        max_leaves=settings.max_leaves or 0,
        max_depth=settings.max_depth or 0,
        grow_policy="lossguide",
        tree_method="hist",
        min_child_weight=0.0,
        reg_lambda=settings.l2,
        early_stopping_rounds=settings.patience if stop else None,
        random_state=seed,
        n_jobs=1,
    )
    extra: dict[str, Any] = {}
    if stop and validation is not None:
        held = [(validation.features, validation.label)]
        extra = {"eval_set": held, "sample_weight_eval_set": [validation.weight], "verbose": False}
    model.fit(train.features, train.label, sample_weight=train.weight, **extra)
    best = model.best_iteration + 1 if stop else settings.iterations
    return Bdt("xgboost", model, int(best))


def fit_lightgbm(settings: Settings, train: Events, validation: Events | None, seed: int) -> Bdt:
    """LightGBM's leaf-wise trees."""
    try:
        import lightgbm
    except ModuleNotFoundError as error:
        raise MissingExtraError("lightgbm", "lightgbm") from error
    data = lightgbm.Dataset(train.features, train.label, weight=train.weight)
    stop = settings.patience is not None and validation is not None
    held: list[Any] = []
    callbacks: list[Any] = []
    if stop and validation is not None:
        held = [lightgbm.Dataset(validation.features, validation.label, weight=validation.weight, reference=data)]
        callbacks = [lightgbm.early_stopping(settings.patience or 10, verbose=False)]
    parameters = {
        "objective": "binary",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.max_leaves or 2**31 - 1,
        "max_depth": settings.max_depth or -1,
        "min_data_in_leaf": settings.min_samples,
        "lambda_l2": settings.l2,
        "seed": seed,
        "deterministic": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    booster = lightgbm.train(parameters, data, settings.iterations, valid_sets=held, callbacks=callbacks)
    return Bdt("lightgbm", booster, int(booster.best_iteration if stop else settings.iterations))


Fit = Callable[[Settings, Events, Events | None, int], Bdt]
LIBRARIES: dict[str, Fit] = {"sklearn": fit_sklearn, "xgboost": fit_xgboost, "lightgbm": fit_lightgbm}


def fit(settings: Settings, train: Events, validation: Events | None = None, *, seed: int = 0) -> Bdt:
    """Train the library that the settings name; the same seed gives the same trees.

    Raises:
        MissingExtraError: the library is not installed.
    """
    return LIBRARIES[settings.library](settings, train, validation, seed)


def load(folder: Path, stem: str) -> tuple[Bdt, dict[str, Any]]:
    """The trees that `Bdt.save` wrote, and their metadata.

    Raises:
        ConfigError: the file names a library that hepda does not know.
    """
    about = json.loads((folder / f"{stem}.metadata.json").read_text())
    library, trees = about["library"], about["trees"]
    if library == "sklearn":
        import skops.io

        path = folder / f"{stem}.skops"
        # Only types of scikit-learn's own trees are admitted, whatever the file asks for.
        asked = [t for t in skops.io.get_untrusted_types(file=path) if t.startswith(("sklearn.", "numpy."))]
        return Bdt(library, skops.io.load(path, trusted=asked), trees), about
    if library == "xgboost":
        import xgboost

        model = xgboost.XGBClassifier()
        model.load_model(folder / f"{stem}.json")
        return Bdt(library, model, trees), about
    if library == "lightgbm":
        import lightgbm

        return Bdt(library, lightgbm.Booster(model_file=folder / f"{stem}.txt"), trees), about
    raise ConfigError(f"{folder / stem}.metadata.json names the library {library!r}, which hepda does not know")
