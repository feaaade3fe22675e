"""What an export reads of a finished run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hepda.config import AnyConfig, load_any
from hepda.errors import ConfigError
from hepda.kinds import kind_of
from hepda.number_format import Table
from hepda.runtime import exchange, run_directory


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run directory that is complete: its analysis, its metrics, and the results of `hepda fit` if there are any."""

    folder: Path
    config: AnyConfig
    metrics: Mapping[str, Any]
    fit: Mapping[str, Any] | None

    def tables(self) -> dict[str, Table]:
        """Return the tables of the report that have content, in its order, by file name."""
        from hepda.events.results.tables.fit import fit_tables
        from hepda.report.page import SECTIONS

        with run_directory.readable(self.folder / "metrics.json"):
            sections = kind_of(self.config).tables(self.metrics)
        fitted = [] if self.fit is None else fit_tables(self.fit)
        ordered = sorted((s for s in sections if s != "fit"), key=list(SECTIONS).index)
        tables: dict[str, Table] = {}
        for table in [*(t for s in ordered for t in sections[s]), *sections.get("fit", []), *fitted]:
            if table.has_values:
                stem = re.sub(r"\W+", "_", table.title).strip("_").lower() or "table"
                name, number = stem, 2
                while name in tables:
                    name, number = f"{stem}-{number}", number + 1
                tables[name] = table.filled
        return tables


def read_run(folder: Path) -> FinishedRun:
    """Read a run directory.

    Raises:
        ConfigError: it is not one of a finished run.

    """
    if not (folder / "metrics.json").is_file():
        raise ConfigError(f"{folder}: is not the directory of a finished run; name one that `hepda train` made.")
    exchange.settle(folder, "export")
    metrics = run_directory.read_json(folder / "metrics.json")
    if not isinstance(metrics, dict) or "models" not in metrics:
        raise ConfigError(f"{folder / 'metrics.json'}: was not written by `hepda train`; name a run directory.")
    fit, stale = run_directory.read_fit(folder, folder)
    if stale:
        raise ConfigError(f"{folder}: {stale[0]}")
    return FinishedRun(folder, load_any(folder / "config.yaml"), metrics, fit)
