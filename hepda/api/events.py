"""Events in files or in memory, by the features and models of a run: what `hepda apply` does, as a frame."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from hepda.api.models import integers_of
from hepda.config import load_config
from hepda.errors import DataError, nearest
from hepda.events.dataset.splits import event_key, fold_of
from hepda.events.files.frames import is_frame, write_frame
from hepda.events.files.locations import expand
from hepda.events.resolve import dataset_spec, model_specs
from hepda.events.results.thresholds import passing_columns, with_cuts
from hepda.events.table.feature_table import FeatureTable
from hepda.events.training.friends import inspect_file, sample_for, spans
from hepda.events.training.scoring import score_table

if TYPE_CHECKING:
    import pandas as pd

Columns = Mapping[str, NDArray[Any]]


def features(run: Path, events: Any, sample: str | None = None) -> pd.DataFrame:
    """Return the features of the selected events, with the columns that identify them; see `Run.features`."""
    return _frame(run, events, sample, lambda table: {n: table.features[:, i] for i, n in enumerate(table.names)})


def scores(run: Path, events: Any, sample: str | None = None) -> pd.DataFrame:
    """Return fold, scores and passed working points of the selected events, with the columns that identify them; see
    `Run.score`.
    """
    config = load_config(run / "config.yaml")
    models, folder = with_cuts(model_specs(config), run), run / "models"

    def scored(table: FeatureTable) -> Columns:
        fold = {"fold": fold_of(table.key, config.split.folds)}
        columns = score_table(models.values(), folder, table)
        passing = [passing_columns(model, columns) for model in models.values()]
        return fold | columns | {f"pass_{name}": passes for part in passing for name, passes in part.items()}

    return _frame(run, events, sample, scored)


def _frame(run: Path, events: Any, sample: str | None, columns: Callable[[FeatureTable], Columns]) -> pd.DataFrame:
    """Return the columns of the selected events of all files, indexed by the entry of the event in its file."""
    import pandas as pd

    spec = dataset_spec(load_config(run / "config.yaml"))
    parts = []
    with _files(events) as files:
        for path in files:
            file = inspect_file(spec, path, sample_for(spec, path, sample))
            start = 0
            for span in spans(spec, file):
                part = span.parts.get("")
                if part is not None:
                    keys = {name: values[part.index] for name, values in span.keys.items()}
                    entry = pd.Index(part.index + start, name="entry")
                    parts.append(pd.DataFrame(keys | dict(columns(part.table)), index=entry))
                start += len(span.key)
    if not parts:
        return pd.DataFrame(columns=[*spec.split.key])
    return pd.concat(parts)


@contextmanager
def _files(events: Any) -> Iterator[list[str]]:
    """Provide events as files for the block: paths, globs, folders and URLs, or events in memory."""
    if is_frame(events):
        with tempfile.TemporaryDirectory(prefix="hepda-") as folder:
            path = Path(folder) / "events.parquet"
            write_frame(events, path, "events")
            yield [str(path)]
        return
    listed = [events] if isinstance(events, str | Path) else list(events)
    yield expand([str(path) for path in listed], "events")


def joined(key: tuple[str, ...], saved: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with the score columns of a run added, by the identity of the events; see `Run.join`."""
    for name in key:
        if name not in frame:
            raise DataError(f"the frame has no column {name!r}, which identifies events.{nearest(name, frame.columns)}")
    of_frame = event_key(*(integers_of(frame, name) for name in key))
    if saved["key"].duplicated().any():
        raise DataError("the run has events of several samples with one key; join each sample by itself: `sample=`.")
    further = [name for name in saved if name not in ("key", "label", "weight")]
    clash = [name for name in further if name in frame]
    if clash:
        raise DataError(f"the frame has a column {clash[0]!r} already, as the scores of the run; rename it.")
    added = saved.set_index("key")[further].reindex(of_frame).set_axis(frame.index)
    return frame.join(added)
