"""Files that could not be read and were left out (`reading.on_error: skip`), and what that cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hepda.config import AnalysisConfig
from hepda.errors import SourceError
from hepda.events.dataset.samples import Metadata, normalisation_config, normalisation_of
from hepda.events.files.locations import size_of


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file that was left out. entries, luminosity (1/fb): what it held, None where that is not known, with `why`."""

    sample: str
    path: str
    bytes: int | None
    reason: str
    entries: int | None
    luminosity: float | None
    why: str | None

    def as_manifest(self) -> dict[str, Any]:
        """The file's part of manifest.json."""
        lost = {"entries": self.entries, "luminosity": self.luminosity, "why": self.why}
        return {
            "sample": self.sample,
            "path": self.path,
            "bytes": self.bytes,
            "skipped": self.reason,
            "lost": {key: value for key, value in lost.items() if key != "why" or value is not None},
        }

    def line(self) -> str:
        """One line for the terminal and the report."""
        entries = "an unknown number of" if self.entries is None else str(self.entries)
        cost = "" if self.luminosity is None else f", {self.luminosity:g}/fb"
        return f"Skipped {self.path} of {self.sample} ({entries} entries{cost}): {self.reason}"


class BrokenFileError(SourceError):
    """A file that opened well and broke while it was read."""

    def __init__(self, sample: str, path: str, error: SourceError) -> None:
        super().__init__(str(error))
        self.sample, self.path = sample, path


@dataclass(slots=True)
class Skips:
    """What was left out so far, under the policy of the analysis."""

    config: AnalysisConfig
    files: list[SkippedFile] = field(default_factory=list)

    def take(
        self, sample: str, path: str, error: SourceError, entries: int | None = None, metadata: Metadata | None = None
    ) -> None:
        """Note a file that is left out.

        Raises:
            SourceError: `error` itself if the policy is to fail, or if the sample's yield would be wrong without it.

        """
        if self.config.reading.on_error == "fail":
            raise error
        fixed = self._fixed(sample)
        if fixed is not None:
            raise SourceError(f"{error}\nIt cannot be skipped: {fixed}") from error
        luminosity, why = self._luminosity(sample, entries, metadata)
        if entries is None:
            why = "the file does not open, so it does not tell what it holds"
        reason = str(error).removeprefix(f"{path}: ")
        self.files.append(SkippedFile(sample, path, size_of(path), reason, entries, luminosity, why))

    def _fixed(self, name: str) -> str | None:
        """Why the yield of a sample would be wrong without one of its files."""
        sample = self.config.samples[name]
        if sample.is_data:
            return None
        if normalisation_config(self.config, name) is None:
            return "the weights are physical already (`normalisation: null`), so the yield would lack its events."
        if sample.sum_of_weights != "file":
            return "`sum_of_weights` is given for all files of the sample together; say `file`, or take the file out."
        return None

    def _luminosity(self, name: str, entries: int | None, metadata: Metadata | None) -> tuple[float | None, str | None]:
        """What the file was worth: simulation by its own sum of weights; data do not tell."""
        if self.config.samples[name].is_data:
            return None, "a file of data does not tell its luminosity"
        if metadata is None or entries is None:
            return None, None
        luminosity = self.config.samples[name].luminosity or self.config.luminosity
        return luminosity / normalisation_of(self.config, name, [metadata]).factor, None
