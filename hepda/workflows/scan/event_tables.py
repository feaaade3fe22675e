"""The events of a scan, and the file by which the folder of a scan is known."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepda.config import AnalysisConfig
from hepda.errors import ConfigError
from hepda.events.domains.counterparts import composition_lines
from hepda.events.kind import policy_lines
from hepda.events.resolve import dataset_spec, domains_of
from hepda.events.table.fingerprint import table_identity
from hepda.runtime import exchange, run_directory
from hepda.runtime.progress import Progress
from hepda.runtime.resources import Resources
from hepda.workflows.scan.points import checksum

if TYPE_CHECKING:
    from hepda.events.dataset.load import LoadedEvents

MARK = "events.json"
"""The file by which a scan's folder is known: the kernels, and the checksum of every table that it trained on."""


@dataclass(slots=True)
class EventTables:
    """The input of the trainings of a scan: the events of each config, read once and on disk, and the kernels.

    paths: of the tables, by the name from `table_identity`; checksums: of the complete tables; by_model: of what
    each model trains on; policy: lines about the events, for the terminal and the report; samples, files: of the first
    table, as in metrics.json and manifest.json.
    """

    folder: Path
    progress: Progress
    resources: Resources = field(default_factory=Resources)
    paths: dict[str, Path] = field(default_factory=dict)
    checksums: dict[str, int] = field(default_factory=dict)
    by_model: dict[str, dict[str, int]] = field(default_factory=dict)
    policy: list[str] = field(default_factory=list)
    samples: dict[str, Any] = field(default_factory=dict)
    files: list[dict[str, Any]] = field(default_factory=list)
    kernels: str = "auto"

    def table(self, config: AnalysisConfig) -> tuple[Path, Mapping[str, int]]:
        """Return the folder of the table of a config, and its checksum for each model.

        Raises:
            ConfigError: an earlier scan in the folder had other events of this config.

        """
        from hepda.events import steps

        name = table_identity(dataset_spec(config))
        if name not in self.paths:
            resources = replace(self.resources, folder=self.folder / exchange.WORK / name)
            loaded = steps.load(config, self.progress.step, resources)
            self.checksums[name] = _checksum(loaded)
            if earlier_mark(self.folder).get("tables", {}).get(name, self.checksums[name]) != self.checksums[name]:
                raise ConfigError(
                    f"--output {self.folder}: the scan in this folder was made with other events (files have changed "
                    "since); name another folder."
                )
            self.by_model[name] = {model: _checksum(loaded, model) for model in config.models}
            self.paths[name] = loaded.folder or self.folder / exchange.WORK / name
            domains = domains_of(config)
            lines = [
                *self.policy,
                *policy_lines(config, loaded.table),
                *composition_lines(domains.nominal, domains.composition),
            ]
            self.policy = list(dict.fromkeys(lines))
            if not self.samples:
                self.samples, self.files = steps.samples_metrics(config, loaded), loaded.manifest()
        return self.paths[name], self.by_model[name]

    def remove(self) -> None:
        """Remove the tables from the disk."""
        shutil.rmtree(self.folder / exchange.WORK, ignore_errors=True)

    def write_mark(self) -> None:
        """Mark the folder as that of a scan of these tables."""
        tables = earlier_mark(self.folder).get("tables", {}) | self.checksums
        run_directory.write_json(self.folder / MARK, {"kernels": self.kernels, "tables": tables})


def _checksum(loaded: LoadedEvents, model: str | None = None) -> int:
    """Return the checksum of the events, and of the varied ones if there are any."""
    values = [checksum(table, model) for table in (loaded.table, *loaded.varied.values())]
    return values[0] if len(values) == 1 else zlib.crc32(json.dumps(values).encode())


def earlier_mark(folder: Path) -> dict[str, Any]:
    """Return the content of the mark that an earlier scan left in the folder; empty if there is none."""
    mark = folder / MARK
    content = run_directory.read_json(mark) if mark.is_file() else {}
    return content if isinstance(content, dict) else {}
