"""What an export reads of a finished run."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from hepda.config import load_any
from hepda.errors import ConfigError
from hepda.kinds import Kind, kind_of
from hepda.number_format import Table
from hepda.results.fit_file import FitFile
from hepda.results.metrics import RunMetrics
from hepda.runtime import exchange, run_directory


@dataclass(frozen=True, slots=True)
class ExportedRun:
    """A run directory that is complete: its kind of data, its metrics, and the results of `hepda fit`, if any.

    models: those that are asked for by name, for formats of models; empty for all that have a form in the format.
    """

    folder: Path
    kind: Kind
    metrics: RunMetrics
    fit: FitFile | None
    models: tuple[str, ...] = ()

    def tables(self) -> dict[str, Table]:
        """Return the tables of the report that have content, in its order, by file name."""
        from hepda.events.results.tables.fit import fit_tables
        from hepda.report.page import SECTIONS

        with run_directory.readable(self.folder / "metrics.json"):
            sections = self.kind.tables(self.metrics)
        fitted = [] if self.fit is None else fit_tables(self.fit, self.kind.labels())
        ordered = sorted((s for s in sections if s != "fit"), key=list(SECTIONS).index)
        tables: dict[str, Table] = {}
        for table in [*(t for s in ordered for t in sections[s]), *sections.get("fit", []), *fitted]:
            if table.has_values:
                title = table.title.replace("µ", "mu")  # file names that LaTeX reads everywhere
                stem = re.sub(r"\W+", "_", title, flags=re.ASCII).strip("_").lower() or "table"
                name, number = stem, 2
                while name in tables:
                    name, number = f"{stem}-{number}", number + 1
                tables[name] = table.filled
        return tables


@dataclass(frozen=True, slots=True)
class Exported:
    """The files that were written, and the models that were left out, with the reasons."""

    files: list[Path]
    left_out: dict[str, str] = field(default_factory=dict)


def read_run(folder: Path) -> ExportedRun:
    """Read a run directory.

    Raises:
        ConfigError: it is not one of a finished run, or its files are damaged.

    """
    if not (folder / "metrics.json").is_file():
        raise ConfigError(f"{folder}: is not the directory of a finished run; name one that `hepda train` made.")
    exchange.settle(folder, "export")
    run_directory.read_manifest(folder)
    kind = kind_of(load_any(folder / "config.yaml"))
    content = run_directory.read_json(folder / "metrics.json")
    with run_directory.readable(folder / "metrics.json"):
        metrics: RunMetrics = kind.metrics_type.from_json(content)
    fit_content, stale = run_directory.read_fit(folder, folder)
    if stale:
        raise ConfigError(f"{folder}: {stale[0]}")
    fit = None
    if fit_content is not None:
        with run_directory.readable(folder / "fit.json"):
            fit = FitFile.from_json(fit_content)
    return ExportedRun(folder, kind, metrics, fit)
