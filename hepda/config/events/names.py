"""Names of models become columns, branches and files: no two things may get one name, and none of hepda's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hepda.config.events.systematics import ShapeSystematic

if TYPE_CHECKING:
    from hepda.config.events.analysis import AnalysisConfig

EVENT_COLUMNS = ("key", "sample", "domain", "fold", "weight", "label")
"""What scores.parquet has of an event beside a column of each model."""


def branch_of(text: str) -> str:
    """What a text is called as a branch: letters, digits and underscores, as every format takes them."""
    return re.sub(r"\W", "_", text)


def model_names(config: AnalysisConfig) -> Iterator[str]:
    """Problems of models of events whose column in scores.parquet or branch of `hepda apply` is something else's."""
    for model in config.models:
        if model in EVENT_COLUMNS:
            yield (
                f"models.{model}: scores.parquet has a column of this name already, as of {', '.join(EVENT_COLUMNS)}; "
                "choose another name."
            )
    taken = {branch_of(key): f"split.key {key}" for key in config.split.key}
    for model, variation in ((m, v) for v in ("", *_variations(config)) for m in config.models):
        name = branch_of(f"score_{model}{variation}")
        what = f"models.{model}" + (f" with {variation[1:]}" if variation else "")
        if name in taken:
            yield (
                f"models.{model}: {what} and {taken[name]} would be one branch, {name!r}, of `hepda apply`; rename one "
                "of them."
            )
        taken.setdefault(name, what)


def _variations(config: AnalysisConfig) -> list[str]:
    """How the branches of shape systematics end."""
    shapes = {name: section for name, section in config.systematics.items() if isinstance(section, ShapeSystematic)}
    return [f"_{name}_{side}" for name, s in shapes.items() for side in ("up", "down") if getattr(s, side) is not None]
