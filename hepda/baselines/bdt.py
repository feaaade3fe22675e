"""Boosted decision trees with one interface: fit on weighted events, predict a score, save without pickle.

They are the baseline of every network. scikit-learn's histogram trees are always available; XGBoost and
LightGBM are installed as extras. All of them use the same features and the same weights.

Trees are not trained with negative weights. A leaf's value is -sum(g)/(sum(h) + l2) and a split's gain is
proportional to sum(g)^2/sum(h), where g and h carry the event's weight: with signed weights, sum(h) can come near
zero while sum(g) does not, and growing a tree selects exactly those leaves. (20,000 events with 15 % of negative
weights, ten features: AUC 0.676 with the signs, 0.702 without, and scores of exactly 0 and 1.) XGBoost
refuses such weights, LightGBM's manual excludes them, and scikit-learn's binning fails on them from 200,000
events on. Therefore `fit` uses the absolute value, scales each class to its signed sum, and reports it in
`Bdt.note` and in `negative_weights` of the metadata. This is correct if the sign does not depend on the
features; the evaluation keeps every sign.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.baselines import structure
from hepda.baselines.inputs import (
    BdtSettings,
    Categories,
    Loss,
    TrainingEvents,
    TreeTraining,
    blocks,
    coded,
    selected,
    with_codes,
)
from hepda.baselines.libraries import LIBRARIES, import_library
from hepda.errors import ConfigError, DataError, SourceError, StorageError, nearest, replacing

Features = NDArray[np.float32]

SUFFIX = {"sklearn": ".skops", "xgboost": ".json", "lightgbm": ".txt"}
MOST_CATEGORIES = 200
"""Largest number of values of a categorical feature; scikit-learn's trees have 255 bins."""
_SCORED = 2048
"""Number of events that trees score at once."""
_KEPT = 16
"""Number of files of trees that stay in memory once they are read."""
TRUSTED = (
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier",
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingRegressor",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfMultinomialLoss",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn._loss.loss.AbsoluteError",
    "sklearn._loss._loss.CyHalfSquaredError",
    "sklearn._loss._loss.CyAbsoluteError",
    "sklearn._loss._loss.CyHalfBinomialLoss",
    "sklearn._loss._loss.CyHalfMultinomialLoss",
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.MultinomialLogit",
    "sklearn._loss.link.Interval",
    "sklearn.preprocessing._label.LabelEncoder",
)
"""Types that a file of scikit-learn's trees may contain besides those that skops itself considers harmless."""


@dataclass(frozen=True, slots=True)
class Bdt:
    """Trained trees, their number, and the share of training events with negative weights."""

    library: str
    model: Any
    trees: int
    """Of each class, where there are three classes or more."""
    negative: float = 0.0
    """Share of the training events whose negative weight was taken as its absolute value."""
    categories: Categories = field(default_factory=dict)
    """The values of categorical features, by column: trees read codes, events have values."""
    loss: Loss = "classes"
    """What they minimise; other than of classes, they predict a number."""

    @property
    def note(self) -> str | None:
        """Message about the treatment of negative training weights; None if there were none."""
        if not self.negative:
            return None
        return (
            f"trees are trained with the absolute value of negative weights ({100 * self.negative:.1f} % of "
            f"the training events), {'each class' if self.loss == 'classes' else 'all'} scaled to its signed sum"
        )

    def predict(self, features: Features) -> NDArray[np.float32]:
        """Return P(signal) [n] of features [n, k]; of three classes or more, their probabilities [n, classes]; or the
        number [n] that the trees predict.
        """
        # Row by row the same in blocks: all trees see the numbers of a block while they are in the processor's cache.
        parts = [self._predict(block) for _, block in blocks(features, _SCORED)]
        return np.concatenate(parts) if parts else self._predict(features)

    def _predict(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        features = coded(features, self.categories)
        if self.loss != "classes":
            of_library: dict[str, dict[str, Any]] = {
                "xgboost": {"iteration_range": (0, self.trees)},
                "lightgbm": {"num_iteration": self.trees},
            }
            options = of_library.get(self.library, {})
            return np.asarray(self.model.predict(features, **options), dtype=np.float32)
        if self.library == "sklearn":
            score = self.model.predict_proba(features)
        elif self.library == "xgboost":
            score = self.model.predict_proba(features, iteration_range=(0, self.trees))
        else:
            score = self.model.predict(features, num_iteration=self.trees)
        two_columns = np.ndim(score) == 2 and np.shape(score)[1] == 2  # LightGBM has one column for two classes
        return np.asarray(score[:, 1] if two_columns else score, dtype=np.float32)

    def save(self, folder: Path, stem: str, metadata: dict[str, Any]) -> None:
        """Write the trees and their metadata, as skops or in the library's own text format; never as a pickle."""
        suffix = SUFFIX[self.library]
        policy = {"policy": "absolute", "share": self.negative} if self.negative else None
        about = metadata | {"library": self.library, "trees": self.trees, "negative_weights": policy}
        if self.loss != "classes":
            about |= {"loss": self.loss}
        if self.categories:
            about |= {"categorical_columns": {str(column): list(of) for column, of in self.categories.items()}}
        with replacing(folder / f"{stem}{suffix}", suffix) as temporary:
            self._write(temporary)
        with replacing(folder / f"{stem}.metadata.json") as temporary:
            temporary.write_text(json.dumps(about, indent=1), encoding="utf-8")

    def _write(self, path: Path) -> None:
        if self.library == "sklearn":
            import skops.io

            skops.io.dump(self.model, path)
        elif self.library == "lightgbm":  # LightGBM's own writer does not report a full disk
            path.write_text(self.model.model_to_string(), encoding="utf-8")
        else:
            try:
                self.model.save_model(path)
            except ValueError as error:  # XGBoostError, raised when the file cannot be written
                raise StorageError(f"{path}: cannot be written: {error}; make space, or name another place.") from error


def usable(events: TrainingEvents) -> tuple[TrainingEvents, float]:
    """Return events with positive weights for trees, and the share of events whose weight was negative.

    Events of weight 0 are removed (they would count in the smallest number of events of a leaf). The weight w is
    replaced by |w|, scaled so that the sum of each class stays the signed one; if a number is predicted, that of all.

    Args:
        events: the training events with signed weights.

    Returns:
        The events with positive weights, and the share of all events whose weight was negative.

    Raises:
        DataError: the weights of a class do not add up to more than 0.

    """
    negative = float(np.mean(events.weight < 0.0)) if len(events.weight) else 0.0
    weight = np.abs(events.weight)
    number = events.loss != "classes"
    for value in ("all events",) if number else np.unique(events.label):
        rows = np.ones(len(weight), dtype=np.bool_) if number else events.label == value
        signed, total = float(events.weight[rows].sum()), float(weight[rows].sum())
        if not signed > 0.0:
            what = value if number else f"class {value}"
            raise DataError(f"the weights of {what} add up to {signed:g}; trees need more than 0")
        if signed != total:
            weight[rows] *= signed / total
    positive = weight > 0.0
    if positive.all():
        return replace(events, weight=weight), negative
    features = selected(events.features, positive)
    return TrainingEvents(features, events.label[positive], weight[positive], events.loss), negative


def fit(
    settings: BdtSettings,
    train: TrainingEvents,
    validation: TrainingEvents | None = None,
    *,
    seed: int = 0,
    categories: Categories | None = None,
) -> Bdt:
    """Train the library that the settings name; the same seed gives the same trees.

    Weights may be negative; the docstring of this module describes their treatment. With `patience` and
    validation events, the trees after the best one are removed.

    Args:
        settings: the library and its settings.
        train: events to fit.
        validation: events for early stopping; None disables it.
        seed: seed of the library.
        categories: the values of categorical features, by column: trees split them by sets of values. An event with a
            value that is not listed counts as one in which the feature is missing.

    Raises:
        ConfigError: hepda does not know the library.
        DataError: the weights of a class do not add up to more than 0.
        MissingExtraError: the library is not installed.

    """
    if settings.library not in LIBRARIES:
        raise ConfigError(_unknown("the settings of a BDT", settings.library))
    of, held_out = dict(categories or {}), None
    train, negative = usable(train)
    train = replace(train, features=with_codes(train.features, of))
    if validation is not None:
        held_out = usable(validation)[0]
        held_out = replace(held_out, features=with_codes(held_out.features, of))
    numbers = {column: len(values) for column, values in of.items()}
    model, trees = LIBRARIES[settings.library](TreeTraining(settings, train, held_out, seed, numbers))
    return Bdt(settings.library, model, trees, negative, of, train.loss)


def load(folder: Path, stem: str) -> tuple[Bdt, dict[str, Any]]:
    """Read the trees that `Bdt.save` wrote, and their metadata.

    The structure of the trees is checked before a library uses it.

    Args:
        folder: folder of the files.
        stem: name of the files without their suffixes.

    Returns:
        The trees and the metadata.

    Raises:
        SourceError: a file is missing or does not contain trees.
        ConfigError: the metadata name a library that hepda does not know.
        MissingExtraError: the library is not installed.

    """
    metadata_path = folder / f"{stem}.metadata.json"
    try:
        about = json.loads(metadata_path.read_text(encoding="utf-8"))
        library, trees, policy = about["library"], int(about["trees"]), about["negative_weights"]
        negative = float(policy["share"]) if policy else 0.0
        categories, loss = _categories(about.get("categorical_columns", {})), _loss(about.get("loss", "classes"))
    except FileNotFoundError as error:
        raise SourceError(f"there is no {metadata_path}; name the folder of a BDT that hepda trained") from error
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(f"{metadata_path} is not the metadata of a BDT that hepda wrote: {error!r}") from error
    if library not in LIBRARIES:
        raise ConfigError(_unknown(str(metadata_path), library))
    path = folder / f"{stem}{SUFFIX[library]}"
    if not path.is_file():
        raise SourceError(f"{metadata_path} belongs to {path.name}, which is missing; copy both files")
    numbers = {column: len(values) for column, values in categories.items()}
    state = path.stat()
    model, features, available = _trees(
        library, path.absolute(), (state.st_mtime_ns, state.st_size, state.st_ino), tuple(numbers.items()), loss
    )
    if not 1 <= trees <= available:
        raise SourceError(f"{metadata_path} has {trees} trees, but {path.name} has {available}; copy both files again")
    if isinstance(about.get("features"), list) and len(about["features"]) != features:
        n_features = len(about["features"])
        raise SourceError(
            f"{metadata_path} has {n_features} features, but {path.name} has {features}; copy both files again"
        )
    return Bdt(library, model, trees, negative, categories, loss), about


@lru_cache(maxsize=_KEPT)
def _trees(
    library: str, path: Path, state: tuple[int, ...], numbers: tuple[tuple[int, int], ...], loss: Loss
) -> tuple[Any, int, int]:
    """Return the trees of a file, their features and number; of a file that has not changed they are read once.

    A fit scores the events of every systematic by themselves, and scikit-learn's trees take 0.3 s to read and check.
    """
    return _LOAD[library](path, dict(numbers), loss)


def _loss(saved: Any) -> Loss:
    """Return the loss that metadata have. Raises ValueError for anything else."""
    losses: dict[Any, Loss] = {"classes": "classes", "squared": "squared", "absolute": "absolute"}
    if saved not in losses:
        raise ValueError(f"no loss {saved!r}")
    return losses[saved]


def _categories(saved: Any) -> Categories:
    """Return the values of categorical features as metadata have them. Raises ValueError for anything else."""
    categories = {int(column): tuple(values) for column, values in dict(saved).items()}
    for column, values in categories.items():
        whole = all(type(value) is int for value in values)
        if column < 0 or not whole or not 2 <= len(set(values)) == len(values) <= MOST_CATEGORIES:
            raise ValueError(f"column {column} has no list of categories")
    return categories


@contextmanager
def _reading(path: Path, what: str) -> Iterator[None]:
    """Raise SourceError for everything that cannot be read or checked within the block; used for all files of trees."""
    import zipfile
    import zlib

    errors = (
        OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, EOFError, RecursionError,
        NotImplementedError, zipfile.BadZipFile, zlib.error,
    )  # fmt: skip
    try:
        yield
    except errors as error:
        raise SourceError(f"{path} cannot be read as {what}: {error or type(error).__name__}") from error


def _load_sklearn(path: Path, categories: Mapping[int, int], loss: Loss) -> tuple[Any, int, int]:
    import skops.io
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from skops.io.exceptions import UntrustedTypesFoundException

    with _reading(path, "a skops file"):
        try:
            model = skops.io.load(path, trusted=TRUSTED)
        except UntrustedTypesFoundException as error:
            raise SourceError(f"{path} contains types that no trees need; it is not loaded: {error}") from error
        kind = HistGradientBoostingClassifier if loss == "classes" else HistGradientBoostingRegressor
        if not isinstance(model, kind):
            raise SourceError(f"{path} contains a {type(model).__name__}, not the trees of a BDT")
        return model, structure.check_sklearn(model, categories, loss), len(model._predictors)


def _load_xgboost(path: Path, categories: Mapping[int, int], loss: Loss) -> tuple[Any, int, int]:
    xgboost = import_library("xgboost")
    model = xgboost.XGBClassifier() if loss == "classes" else xgboost.XGBRegressor()
    with _reading(path, "a model of XGBoost"):
        text, features, trees = structure.checked_xgboost(path.read_text(encoding="utf-8"), categories, loss)
        model.load_model(text)  # raises XGBoostError, which is a ValueError
    return model, features, trees


def _load_lightgbm(path: Path, categories: Mapping[int, int], loss: Loss) -> tuple[Any, int, int]:
    lightgbm = import_library("lightgbm")
    with _reading(path, "a model of LightGBM"):
        text, features, trees = structure.checked_lightgbm(path.read_text(encoding="utf-8"), categories, loss)
        try:
            return lightgbm.Booster(model_str=text), features, trees
        except lightgbm.basic.LightGBMError as error:
            raise ValueError(str(error)) from error


_LOAD: dict[str, Callable[[Path, Mapping[int, int], Loss], tuple[Any, int, int]]] = {
    "sklearn": _load_sklearn,
    "xgboost": _load_xgboost,
    "lightgbm": _load_lightgbm,
}


def _unknown(where: str, library: str) -> str:
    hint = f"one of {', '.join(LIBRARIES)}.{nearest(library, LIBRARIES)}"
    return f"{where}: there is no library {library!r}; {hint}"
