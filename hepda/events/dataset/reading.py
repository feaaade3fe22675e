"""Reading of the events of samples, span by span, in one order, whether in this process, in others or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import uuid4

import numpy as np

from hepda.errors import SourceError
from hepda.events.dataset.chunks import MOST_ENTRIES, SPAN_ENTRIES, Faults, SelectedRows
from hepda.events.dataset.inputs import InputFile, factor_of
from hepda.events.dataset.plan import ReadingPlan
from hepda.events.dataset.samples import Normalisation, WeightSums, normalisation_of
from hepda.events.dataset.skipped_files import BrokenFileError
from hepda.events.dataset.spans import (
    Span,
    SpanFile,
    SpanRows,
    close_files,
    entries_that_fit,
    merge,
    read_span,
    spans_of,
)
from hepda.events.dataset.splits import fold_of, is_validation
from hepda.events.specs import DatasetSpec
from hepda.events.table.feature_table import FeatureTable

Report = Callable[[str, int], None]
"""Called with the sample and the number of events that were read since the last call."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file that was read; sums are over the physical weights of its selected events."""

    sample: str
    path: str
    bytes: int | None
    entries: int
    sums: WeightSums

    def as_manifest(self) -> dict[str, Any]:
        """Return the file's part of manifest.json."""
        return {
            "sample": self.sample,
            "path": self.path,
            "bytes": self.bytes,
            "entries": self.entries,
            "selected": self.sums.entries,
            "sumw": self.sums.sumw,
            "sumw2": self.sums.sumw2,
            "n_eff": self.sums.n_eff,
            "lost": {"selection": self.entries - self.sums.entries},
        }


@dataclass(frozen=True, slots=True)
class SampleSpans:
    """A sample in spans, file by file, and its normalisation."""

    name: str
    normalisation: Normalisation
    files: list[tuple[InputFile, list[Span]]]

    @property
    def spans(self) -> list[Span]:
        """The spans of all files."""
        return [span for _, spans in self.files for span in spans]


@dataclass(frozen=True, slots=True)
class SampleRows:
    """The selected events of one sample, span by span, and counts of missing features by name."""

    rows: list[SelectedRows]
    gaps: dict[str, int]


def sample_spans(
    spec: DatasetSpec,
    plan: ReadingPlan,
    name: str,
    files: Sequence[InputFile],
    inputs: Mapping[str, list[InputFile]] | None = None,
    memory: int | None = None,
    version: str = "",
) -> SampleSpans:
    """Return the files of a sample in spans, each of which can be processed in `memory` bytes.

    Args:
        spec: what determines the table.
        plan: its parsed expressions.
        name: the sample.
        files: its files.
        inputs: files of the samples that it is stitched to; None: they are opened here.
        memory: bytes for one span; None: no limit.
        version: as of `Span`.

    Raises:
        BrokenFileError: a file cannot be read.

    """
    sample = spec.samples[name]
    normalisation = normalisation_of(spec, name, [file.metadata for file in files])
    factor = factor_of(spec, plan, name, normalisation, inputs)
    token = uuid4().hex
    spans = []
    for file in files:
        span_file = SpanFile(
            name, file.path, sample.tree or spec.tree, sample.aliases, spec.reading.retries, file.plan,
            file.replaced, factor, spec.missing, spec.split.key, file.entries, token,
        )  # fmt: skip
        try:
            most = MOST_ENTRIES if memory is None else entries_that_fit(span_file, memory, MOST_ENTRIES)
        except SourceError as error:
            raise BrokenFileError(name, file.path, error) from error
        spans.append((file, spans_of(span_file, file.ends, min(SPAN_ENTRIES, most), most, version)))
    return SampleSpans(name, normalisation, spans)


def rows_of_file(
    sample: SampleSpans, number: int, results: Iterator[SpanRows], faults: Faults, gaps: dict[str, int], report: Report
) -> Iterator[SelectedRows]:
    """Yield the rows of a file of a sample, whose spans come next in `results`; they are read one after the other.

    Args:
        sample: the sample.
        number: which of its files, from 0.
        results: the spans as they are read.
        faults: numbers that are not finite are added to it.
        gaps: missing features are added to it.
        report: called after each span.

    Raises:
        BrokenFileError: the file cannot be read.

    """
    file, spans = sample.files[number]
    try:
        for span, rows in zip(spans, merge(islice(results, len(spans)), faults, gaps), strict=True):
            yield rows
            report(sample.name, span.stop - span.start)
    except SourceError as error:
        raise BrokenFileError(sample.name, file.path, error) from error


def read_rows(spec: DatasetSpec, plan: ReadingPlan, name: str, files: list[InputFile], report: Report) -> SampleRows:
    """Read the files of one sample, span by span, in this process.

    Args:
        spec: what determines the table.
        plan: its parsed expressions.
        name: the sample.
        files: its files.
        report: called after each span.

    Raises:
        BrokenFileError: a file cannot be read.
        DataError: a number is not finite.

    """
    sample, faults, gaps = sample_spans(spec, plan, name, files), Faults(), dict[str, int]()
    results = (read_span(span) for span in sample.spans)
    try:
        rows = [r for i in range(len(files)) for r in rows_of_file(sample, i, results, faults, gaps, report)]
    finally:
        close_files()
    faults.complain()
    return SampleRows(rows, gaps)


_LABELS = {"signal": 1, "background": 0, None: -1}


def table_of(spec: DatasetSpec, name: str, rows: list[SelectedRows]) -> FeatureTable:
    """Return the table of the rows of one sample."""
    sample = spec.samples[name]
    key = np.concatenate([r.key for r in rows])
    n = len(key)
    return FeatureTable(
        features=np.concatenate([r.features for r in rows]),
        names=spec.features,
        weight=np.concatenate([r.weight for r in rows]),
        label=np.full(n, _LABELS[spec.classes.side_of(name)], dtype=np.int8),
        domain=np.full(n, spec.domains.index(sample.domain), dtype=np.int16),
        domain_names=spec.domains,
        sample=np.full(n, list(spec.samples).index(name), dtype=np.int16),
        sample_names=tuple(spec.samples),
        fold=fold_of(key, spec.split.folds),
        validation=is_validation(key, spec.split.validation),
        key=key,
        columns={name: np.concatenate([r.columns[name] for r in rows]) for name in rows[0].columns},
    )
