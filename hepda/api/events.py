"""Events in files or in memory, by the features and models of a run: what `hepda apply` does, as a frame."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from hepda.api.models import integers_of
from hepda.config import load_config
from hepda.config.events.names import identifier_names
from hepda.errors import ConfigError, DataError, nearest
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


def joined(
    run: Path, saved: pd.DataFrame, frame: pd.DataFrame, on: Sequence[str] | Mapping[str, str] | None
) -> pd.DataFrame:
    """Return a frame with the score columns of a run added, by the identity of the events; see `Run.join`."""
    import pandas as pd

    config = load_config(run / "config.yaml")
    key = tuple(config.split.key)
    scores = [column for model in model_specs(config).values() for column in model.columns]
    identifiers = {name: column for name, column in identifier_names(key, scores).items() if column in saved}
    columns = _columns_of_frame(key, on)
    for name in columns.values():
        if name not in frame:
            raise DataError(f"the frame has no column {name!r}, which identifies events.{nearest(name, frame.columns)}")
    of_frame = event_key(*(integers_of(frame, name) for name in columns.values()))
    of_run: Any
    if set(columns) == set(key):
        of_run = saved["key"].to_numpy()
    elif set(columns) <= set(identifiers):
        of_run = event_key(*(saved[identifiers[name]].to_numpy() for name in columns))
    else:
        raise ConfigError(
            f"{run}: was made by an earlier hepda, which kept only the hash of {', '.join(key)}: events are joined by "
            "all of them. Train again to join by a part of them."
        )
    unique = pd.Index(of_run, name="key")
    if unique.has_duplicates:
        raise DataError(
            f"the run has several events with the same {', '.join(columns)}: join each sample by itself (`sample=`), "
            f"by all of {', '.join(key)}."
        )
    further = [name for name in saved if name not in ("key", "label", "weight", *identifiers.values())]
    clash = [name for name in further if name in frame]
    if clash:
        raise DataError(f"the frame has a column {clash[0]!r} already, as the scores of the run; rename it.")
    added = saved[further].set_axis(unique).reindex(of_frame).set_axis(frame.index)
    return frame.join(added)


def _columns_of_frame(key: Sequence[str], on: Sequence[str] | Mapping[str, str] | None) -> dict[str, str]:
    """Return the columns of a frame by which events are joined, by the branch of the analysis, in the order of `key`.

    Raises:
        ConfigError: `on` names something that does not identify an event of the analysis.

    """
    listed = [on] if isinstance(on, str) else key if on is None else on
    names = dict(listed) if isinstance(listed, Mapping) else {name: name for name in listed}
    for name in names:
        if name not in key:
            raise ConfigError(f"on: {name!r} does not identify an event of the run; {', '.join(key)} do.")
    if not names:
        raise ConfigError(f"on: is empty; {', '.join(key)} identify an event of the run.")
    return {name: names[name] for name in key if name in names}
