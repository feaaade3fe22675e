"""The named working points of a run as frames: their thresholds, and which events pass them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hepda.config import load_config
from hepda.events.resolve import model_specs
from hepda.events.results.thresholds import passing_columns, with_cuts
from hepda.results.events import EventMetrics

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = (
    "model", "point", "output", "selects", "objective", "threshold", "value", "low", "high", "value_on_choosing_events",
)  # fmt: skip


def frame_of(metrics: EventMetrics) -> pd.DataFrame:
    """Return a row for each working point of each model; see `Run.working_points`."""
    import pandas as pd

    rows = [
        (model, name, entry.output, entry.selects, entry.objective, entry.threshold.value,
         entry.value.value, entry.value.low, entry.value.high, entry.value_on_choosing_events)
        for model, of_model in metrics.models.items()
        for name, entry in of_model.thresholds.items()
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(_COLUMNS))
    numbers = dict.fromkeys(_COLUMNS[5:], "float64")
    return frame.astype(numbers).set_index(["model", "point"])


def passes(run: Path, scores: pd.DataFrame) -> pd.DataFrame:
    """Return which events pass which working points; see `Run.passes`."""
    import pandas as pd

    models = with_cuts(model_specs(load_config(run / "config.yaml")), run)
    columns = {name: scores[name].to_numpy() for model in models.values() for name in model.columns}
    parts = [passing_columns(model, columns) for model in models.values()]
    return pd.DataFrame({name: values for part in parts for name, values in part.items()}, index=scores.index)
