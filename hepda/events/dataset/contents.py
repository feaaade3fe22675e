"""Comparison, by content, of the events that an analysis file reads now with those that a run was trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.errors import ConfigError, SourceError
from hepda.events.files.locations import expand
from hepda.events.specs import IDENTIFIER, DatasetSpec
from hepda.events.table.feature_table import FeatureTable
from hepda.events.table.fingerprint import states_of, table_name
from hepda.runtime import fingerprint

Array = NDArray[Any]
SCORED = ("key", "weight", "label", "domain", "fold")
"""Columns of a table that scores.parquet has as well."""
_OBJECTS = "objects "
"""What begins the name of a collection of the table."""
_VARIED = ", "
"""What precedes the name of a variation at the end of a part; no sample has it in its name."""
COLUMNS = (*SCORED, "validation", "features")


def contents_of(
    columns: Mapping[str, str], table: FeatureTable, names: Iterable[str] = COLUMNS
) -> Iterator[tuple[str, Array]]:
    """Yield the columns `names` of each sample, with their names.

    Where features are among them, collections and the further columns of the table are included.

    Args:
        columns: the expressions of the further columns.
        table: the events.
        names: the columns.

    """
    names = tuple(names)
    for number, sample in enumerate(table.sample_names):
        rows = _rows(table.sample, number)
        for name in names:
            yield f"{name} of {sample}", getattr(table, name)[rows]
        for name, values in table.collections.items() if "features" in names else ():
            yield f"{_OBJECTS}{name} of {sample}", values[rows]
        for name, values in table.columns.items() if "features" in names else ():
            if name.startswith(IDENTIFIER):  # the key is their hash
                continue
            # The same name with another expression is another column.
            title = name if name not in columns else f"{name} = {columns[name]}"
            yield f"{fingerprint.OPTIONAL}{title} of {sample}", values[rows]


def varied_contents(columns: Mapping[str, str], varied: Mapping[str, FeatureTable]) -> Iterator[tuple[str, Array]]:
    """Yield the columns of the events under each variation that domain losses use, as `contents_of` does."""
    for name, table in varied.items():
        yield from ((f"{part}{_VARIED}{name}", values) for part, values in contents_of(columns, table))


def _rows(samples: NDArray[np.int16], number: int) -> slice | NDArray[np.intp]:
    """Return the rows of a sample: a slice, because tables have them sample by sample, or else their numbers."""
    rows = np.flatnonzero(samples == number)
    contiguous = not len(rows) or rows[-1] - rows[0] + 1 == len(rows)
    return slice(rows[0], rows[-1] + 1) if contiguous and len(rows) else rows


def check_scored(run: Path, recorded: fingerprint.Parts, table: FeatureTable) -> None:
    """Raise ConfigError if scores.parquet, read as `table`, does not have the events that the run was trained on."""
    now = fingerprint.fingerprints(contents_of({}, table, SCORED))
    shared = {name: p for name, p in recorded.items() if name.partition(" of ")[0] in SCORED and _VARIED not in name}
    changed = fingerprint.differences(shared, now)
    if changed:
        raise ConfigError(
            f"{run / 'scores.parquet'} is not of the events that {run / 'manifest.json'} records: "
            f"{fingerprint.names_text(changed)} differ. It was changed, or copied from another run; train again."
        )


def check_samples(
    spec: DatasetSpec,
    run: Path,
    recorded: Mapping[str, Any],
    samples: Iterable[str],
    report: Callable[[str, int], None],
) -> None:
    """Compare the events of these samples with the record of the run.

    Nothing is read if all files of the analysis are unchanged (size, times, inode, first and last bytes) and are read
    by the same keys; otherwise the samples are read again.

    Args:
        spec: what determines the table.
        run: the folder of the run.
        recorded: what `manifest.json` has under `data`.
        samples: the samples to compare.
        report: called as by `read_rows`.

    Raises:
        ConfigError: the events have another content.
        HepdaError: as `load_table`, where the samples are read again.

    """
    name = _name_now(spec)
    if name is not None and name == recorded.get("made_of"):
        return
    changed = []
    for sample in dict.fromkeys(samples):
        # The table of one sample has parts of all samples, which are empty for the other samples.
        now = {
            name: fingerprint.fingerprint(values)
            for name, values in contents_of(spec.columns, _read(spec, sample, report))
            if _of(name, sample)
        }
        before = {name: part for name, part in recorded["parts"].items() if _of(name, sample)}
        changed += fingerprint.differences(before, now)
    fingerprint.complain(run, changed)


def _of(part: str, sample: str) -> bool:
    """Return whether a part is a column of a sample that all tables have, or a collection."""
    is_collection = part.startswith(_OBJECTS) and part.endswith(f" of {sample}")
    return is_collection or part in {f"{name} of {sample}" for name in COLUMNS}


def _name_now(spec: DatasetSpec) -> str | None:
    try:
        files = {name: expand(sample.files, f"samples.{name}.files") for name, sample in spec.samples.items()}
    except SourceError:  # missing files that are needed are reported when they are read
        return None
    return table_name(spec, files, states_of(files))


def _read(spec: DatasetSpec, sample: str, report: Callable[[str, int], None]) -> FeatureTable:
    """Read the events of one sample."""
    from hepda.events.dataset.inputs import open_inputs
    from hepda.events.dataset.plan import make_plan
    from hepda.events.dataset.reading import read_rows, table_of
    from hepda.events.dataset.skipped_files import Skips

    plan = make_plan(spec)
    files = open_inputs(spec, plan, sample, Skips(spec))
    return table_of(spec, sample, read_rows(spec, plan, sample, files, report).rows)
