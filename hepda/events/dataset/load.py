"""load_table: from the analysis file to one FeatureTable, with everything checked before any training.

The rows are written to the disk span by span, or kept in memory if no folder is given; a table that was read before is
taken from the cache, and then no file of events is opened.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hepda.config.events.systematics import ShapeSystematic, WeightSystematic
from hepda.errors import DataError, SourceError
from hepda.events.dataset.checks import check_sample, check_table, check_variations
from hepda.events.dataset.chunks import Faults
from hepda.events.dataset.inputs import InputFile, inspect
from hepda.events.dataset.plan import ReadingPlan, check_plots, make_plan
from hepda.events.dataset.reading import FileRecord, Report, SampleSpans, rows_of_file, sample_spans, table_of
from hepda.events.dataset.samples import Metadata, SampleSummary, WeightSums, duplicates
from hepda.events.dataset.skipped_files import BrokenFileError, SkippedFile, Skips
from hepda.events.dataset.spans import SpanRows, close_files, read_span
from hepda.events.dataset.systematics import check_systematics
from hepda.events.dataset.variations import Reading, read_varied
from hepda.events.files.locations import is_remote
from hepda.events.files.opening import expand, kept_open, size_of
from hepda.events.specs import DatasetSpec
from hepda.events.table import cache
from hepda.events.table.feature_table import FeatureTable
from hepda.events.table.fingerprint import State, data_version, state_of, states_of, table_name
from hepda.events.table.store import (
    VARIATIONS,
    Collector,
    MemoryCollector,
    TableWriter,
    full_disk,
    open_table,
    open_variations,
)
from hepda.runtime.pool import open_pool
from hepda.runtime.resources import Resources
from hepda.timing import timed

Progress = Callable[[str, int, int], None]
"""Called with the sample, the number of events read so far and the number of events in all files."""

_KEPT_FILES = 2
"""Number of files that stay open from their check until they are read; each keeps some 10 MB."""
_MANY = 1_000_000
"""Number of entries from which several processes read in parallel: they take seconds to start."""


@dataclass(frozen=True, slots=True)
class LoadedEvents:
    """The table, a summary of each sample, the files that were read, and those that were left out.

    folder: where the table is stored, None for one in memory; note: its origin, for the terminal; name: the name of
    what it was made of (`table_name`), None where that is not known or a file was left out; varied: the events of the
    shape variations that domain losses have as targets, stored in the folder `variations` of `folder`.
    """

    table: FeatureTable
    samples: dict[str, SampleSummary]
    files: tuple[FileRecord, ...]
    skipped: tuple[SkippedFile, ...] = ()
    folder: Path | None = None
    note: str = ""
    name: str | None = None
    varied: Mapping[str, FeatureTable] = field(default_factory=dict)

    def manifest(self) -> list[dict[str, Any]]:
        """Return the files' part of manifest.json."""
        return [*(file.as_manifest() for file in self.files), *(file.as_manifest() for file in self.skipped)]


def load_table(
    spec: DatasetSpec, on_progress: Progress | None = None, resources: Resources | None = None
) -> LoadedEvents:
    """Read every sample: only the branches that are needed, each file's events once.

    All files are opened and checked before the first is read. Each error message contains the place and what to do.

    Args:
        spec: what determines the table.
        on_progress: called as events are read.
        resources: how much memory spans may use, which processes read them, and where the table is stored; None: this
            process reads, and the table is in memory.

    Raises:
        SourceError: a file, tree or branch is missing or cannot be read.
        ExpressionError: an expression, or a name in it, is not valid.
        DataError: numbers are not finite, a sample has no events after the selection, or a fold lacks a class.
        StorageError: the disk is full.

    """
    available = resources or Resources()
    with timed("state of files"):
        files = {name: expand(sample.files, f"samples.{name}.files") for name, sample in spec.samples.items()}
        states = states_of(files)
        name = table_name(spec, files, states)
    if name is None or available.cache is None:
        loaded = _read(spec, on_progress, available, available.folder, states)[0]
        return loaded if loaded.skipped else replace(loaded, name=name)
    cached = cache.find(available.cache, name)
    if cached is not None:
        return replace(_from_cache(spec, cached, available.cache), name=name)
    damaged = (available.cache / name).exists()
    with cache.making(available.cache) as folder:
        loaded, inputs = _read(spec, on_progress, available, folder, states)
        if loaded.skipped:  # the file may be readable the next time: such a table is used by this run only
            return _moved(loaded, folder, available.folder)
        entry = cache.publish(folder, available.cache, name, _about(loaded, inputs))
    note = cache.cache_message(entry, available.cache, fresh=True, damaged=damaged)
    varied = open_variations(entry.folder)
    return replace(loaded, table=entry.table, folder=entry.folder, note=note, name=name, varied=varied)


@kept_open(_KEPT_FILES)
def _read(
    spec: DatasetSpec,
    on_progress: Progress | None,
    resources: Resources,
    folder: Path | None,
    states: Mapping[str, State | None],
) -> tuple[LoadedEvents, dict[str, list[InputFile]]]:
    """Read everything into `folder`, or into memory; also return what was found when the files were opened."""
    skips = Skips(spec)
    with timed("opening of files"):
        plan, inputs = inspect(spec, skips)
    while True:
        try:
            with _collector(spec, folder) as collector:
                loaded = _load(spec, plan, inputs, skips, on_progress, resources, collector)
            break
        except BrokenFileError as error:
            # Its sum of weights is in the factors of what was already read, so everything is read again without it.
            files = inputs[error.sample]
            (broken,) = (file for file in files if file.path == error.path)
            skips.take(error.sample, error.path, error, broken.entries, broken.metadata)
            if len(files) == 1:
                raise
            files.remove(broken)
    varied = _read_variations(spec, folder)
    _check_unchanged(inputs, states)
    check_variations(spec, loaded.table, varied)
    return replace(loaded, folder=folder, varied=varied), inputs


@contextmanager
def _collector(spec: DatasetSpec, folder: Path | None) -> Iterator[Collector]:
    if folder is None:
        yield MemoryCollector(_column_defaults(spec))
        return
    writer = TableWriter(folder, _column_defaults(spec))
    try:
        yield writer
    except BaseException:
        writer.abandon()
        raise


def _check_unchanged(inputs: Mapping[str, list[InputFile]], states: Mapping[str, State | None]) -> None:
    """Raise SourceError for a local file that was written to while it was read: its rows may be of two versions."""
    for files in inputs.values():
        for file in files:
            if not is_remote(file.path) and states[file.path] is not None and state_of(file.path) != states[file.path]:
                raise SourceError(
                    f"{file.path}: has changed while it was read; start again when it is no longer written to."
                )


def _load(
    spec: DatasetSpec,
    plan: ReadingPlan,
    inputs: dict[str, list[InputFile]],
    skips: Skips,
    on_progress: Progress | None,
    resources: Resources,
    collector: Collector,
) -> LoadedEvents:
    """Read the files of `inputs`. Raises BrokenFileError for one that cannot be read after all."""
    total = sum(file.entries for files in inputs.values() for file in files)
    summaries: dict[str, SampleSummary] = {}
    records: list[FileRecord] = []
    done = 0

    def report(name: str, entries: int) -> None:
        nonlocal done
        done += entries
        if on_progress is not None:
            on_progress(name, done, total)

    processes = resources.processes if total >= _MANY or resources.cluster else 1
    version = data_version() if resources.cluster else ""
    memory = resources.share(processes)
    try:
        samples = [sample_spans(spec, plan, n, files, inputs, memory, version) for n, files in inputs.items()]
        with open_pool(processes, resources.cluster) as pool:
            results = pool.stream(read_span, [span for sample in samples for span in sample.spans])
            for sample in samples:
                summary, read = _read_sample(spec, plan, sample, results, report, collector)
                check_sample(summary)
                summaries[sample.name] = summary
                records.extend(read)
    finally:
        close_files()
    if not summaries:
        raise DataError("There is no sample to read.")
    with timed("writing of the table"):
        table = collector.finish()
    check_table(spec, table)
    return LoadedEvents(table, summaries, tuple(records), tuple(skips.files))


def _read_sample(
    spec: DatasetSpec,
    plan: ReadingPlan,
    sample: SampleSpans,
    results: Iterator[SpanRows],
    report: Report,
    collector: Collector,
) -> tuple[SampleSummary, list[FileRecord]]:
    """Collect the rows of one sample, whose spans come next in `results`."""
    faults, gaps = Faults(), dict[str, int]()
    cuts = plan.cuts_of(sample.name)
    remaining = np.zeros(len(cuts), dtype=np.int64)
    records = []
    rows = before = collector.rows
    for number, (file, _) in enumerate(sample.files):
        if not file.has_events:
            continue
        for part in rows_of_file(sample, number, results, faults, gaps, report):
            with timed("writing of the table"):
                collector.append(table_of(spec, sample.name, [part]))
            remaining += part.cut_counts
        sums = WeightSums.of(collector.since("weight", rows))
        rows = collector.rows
        records.append(FileRecord(sample.name, file.path, size_of(file.path), file.entries, sums))
    faults.complain()
    about = spec.samples[sample.name]
    summary = SampleSummary(
        name=sample.name,
        class_=about.class_,
        domain=about.domain,
        entries=sum(file.entries for file in records),
        sums=WeightSums.of(collector.since("weight", before)),
        normalisation=sample.normalisation.factor,
        sum_of_weights=sample.normalisation.sum_of_weights,
        cross_section=sample.normalisation.cross_section,
        cut_flow=tuple((cut.text, int(n)) for cut, n in zip(cuts, remaining, strict=True)),
        duplicates=duplicates(collector.since("key", before)),
        missing=gaps,
    )
    return summary, records


def _column_defaults(spec: DatasetSpec) -> dict[str, Any]:
    """Return the values of an event in the columns that its sample does not fill."""
    defaults: dict[str, Any] = {name: np.int64(0) for name in spec.identifiers.values()}  # every sample has them
    for model in spec.domain_sections:
        defaults[f"domain:{model}:mask"] = np.bool_(False)
        defaults[f"domain:{model}:weight"] = np.float64(0.0)
        defaults[f"domain:{model}:side"] = np.int8(-1)
    for variation in spec.variations:  # 1 where the systematic does not act
        if isinstance(spec.section_of(variation), WeightSystematic):
            defaults[f"variation:{variation.name}"] = np.float64(1.0)
    for region in spec.regions.values():
        for name in region.columns:
            defaults[name] = np.int8(0) if name == region.mask_column else np.float64(np.nan)
    return defaults | {name: np.float64(np.nan) for name in (*spec.columns, *spec.target_columns)}


def _read_variations(spec: DatasetSpec, folder: Path | None) -> dict[str, FeatureTable]:
    """Read the events of shape variations that domain losses have as targets, into `folder` or into memory."""
    tables = {}
    for variation in spec.variations:
        if not isinstance(spec.section_of(variation), ShapeSystematic):
            continue
        place = None if folder is None else folder / VARIATIONS / variation.name
        with _collector(spec, place) as collector:
            for sample in spec.varied_sources(variation):
                reading = Reading(sample, variation.systematic, variation.side)
                collector.append(read_varied(spec, reading, lambda *_: None))
            tables[variation.name] = collector.finish()
    return tables


# --- what the cache stores with a table ---------------------------------------------------------------------------


def _about(loaded: LoadedEvents, inputs: Mapping[str, list[InputFile]]) -> dict[str, Any]:
    """Return everything that `load_table` returns or checks and that is not in the table, as JSON."""
    branches = list(dict.fromkeys(file.branches for files in inputs.values() for file in files))
    number = {names: i for i, names in enumerate(branches)}
    return {
        "samples": {name: asdict(summary) for name, summary in loaded.samples.items()},
        "files": [asdict(file) for file in loaded.files],
        "branches": branches,
        "inputs": {
            name: [[file.path, file.entries, number[file.branches], asdict(file.metadata)] for file in files]
            for name, files in inputs.items()
        },
    }


def _from_cache(spec: DatasetSpec, entry: cache.Entry, folder: Path) -> LoadedEvents:
    """Return what `load_table` returned when the table was read.

    The checks of what does not determine the table are done again.
    """
    about = entry.about
    plan = make_plan(spec)
    inputs = {
        name: [
            InputFile(path, entries, branches, Metadata(**metadata), plan.for_sample(name, branches, path))
            for path, entries, branches, metadata in ((p, n, tuple(about["branches"][b]), m) for p, n, b, m in files)
        ]
        for name, files in about["inputs"].items()
    }
    check_plots(spec, {branch for files in inputs.values() for file in files for branch in file.branches})
    check_systematics(spec, plan, inputs)
    samples = {}
    for name, saved in about["samples"].items():
        cut_flow = tuple((text, remaining) for text, remaining in saved["cut_flow"])
        samples[name] = SampleSummary(**(saved | {"sums": WeightSums(**saved["sums"]), "cut_flow": cut_flow}))
        check_sample(samples[name])
    check_table(spec, entry.table)
    files = tuple(FileRecord(**(saved | {"sums": WeightSums(**saved["sums"])})) for saved in about["files"])
    note, varied = cache.cache_message(entry, folder, fresh=False), open_variations(entry.folder)
    check_variations(spec, entry.table, varied)
    return LoadedEvents(entry.table, samples, files, (), entry.folder, note, varied=varied)


def _moved(loaded: LoadedEvents, written: Path, folder: Path | None) -> LoadedEvents:
    """Move a table that the cache does not keep into `folder`, or into memory."""
    if folder is None:
        varied = {name: table.select(np.arange(len(table))) for name, table in loaded.varied.items()}
        return replace(loaded, table=loaded.table.select(np.arange(len(loaded.table))), folder=None, varied=varied)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with full_disk(folder):
        shutil.move(written, folder)
    return replace(loaded, table=open_table(folder), folder=folder, varied=open_variations(folder))
