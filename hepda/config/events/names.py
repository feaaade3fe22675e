"""Names of models become columns, branches and files: two of them, or one and a name of hepda, must not be the same."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from hepda.config.events.class_checks import labels_of, predicted_classes
from hepda.config.events.systematics import ShapeSystematic

if TYPE_CHECKING:
    from hepda.config.events.analysis import AnalysisConfig

EVENT_COLUMNS = ("key", "sample", "domain", "fold", "weight", "label")
"""Columns of scores.parquet besides the scores of models and what identifies an event."""


def identifier_names(key: Sequence[str], scores: Collection[str]) -> dict[str, str]:
    """Return the columns of scores.parquet that identify an event, by the branch of `split.key`.

    A column is called as its branch; `identifier:<branch>` where the name is that of another column.

    Args:
        key: the branches.
        scores: the score columns of all models.

    """
    return {name: f"identifier:{name}" if name in EVENT_COLUMNS or name in scores else name for name in key}


def branch_of(text: str) -> str:
    """Return the name of a branch for a text: letters, digits and underscores, which every format allows."""
    return re.sub(r"\W", "_", text)


def model_names(config: AnalysisConfig) -> Iterator[str]:
    """Yield a problem for each model whose column in scores.parquet or branch of `hepda apply` would not be unique."""
    for model in config.models:
        if model in EVENT_COLUMNS:
            yield (
                f"models.{model}: scores.parquet has a column of this name already, as of {', '.join(EVENT_COLUMNS)}; "
                "choose another name."
            )
    owners = {branch_of(key): f"split.key {key}" for key in config.split.key}
    columns = [(model, column) for model in config.models for column in _columns(config, model)]
    for (model, column), variation in ((c, v) for v in ("", *_variations(config)) for c in columns):
        written = "score" if config.models[model].regress is None else "prediction"
        name = branch_of(f"{written}_{column}{variation}")
        further = column.removeprefix(model).lstrip(".")
        what = (
            f"models.{model}" + (f" ({further})" if further else "") + (f" with {variation[1:]}" if variation else "")
        )
        if name in owners:
            yield (
                f"models.{model}: {what} and {owners[name]} would be one branch, {name!r}, of `hepda apply`; rename "
                "one of them."
            )
        owners.setdefault(name, what)


def _columns(config: AnalysisConfig, model: str) -> list[str]:
    """Return the score columns of a model."""
    classes = predicted_classes(config, config.models[model])
    names = [*classes, *labels_of(config.models[model])]
    further = dict.fromkeys([*(f"p_{name}" for name in names), *(config.discriminants if classes else ())])
    return [model, *(f"{model}.{name}" for name in further)]


def _variations(config: AnalysisConfig) -> list[str]:
    """Return the endings of the branches of shape systematics."""
    shapes = {name: section for name, section in config.systematics.items() if isinstance(section, ShapeSystematic)}
    return [f"_{name}_{side}" for name, s in shapes.items() for side in ("up", "down") if getattr(s, side) is not None]
