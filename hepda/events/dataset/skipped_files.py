"""Files that could not be read and were left out (`reading.on_error: skip`), and what was lost with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hepda.errors import MissingTreeError, SourceError
from hepda.events.dataset.samples import Metadata, normalisation_config, normalisation_of
from hepda.events.files.locations import size_of
from hepda.events.specs import DatasetSpec


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file that was left out.

    entries, luminosity (1/fb): what it contained, None where that is not known; why: the reason for an unknown one.
    """

    sample: str
    path: str
    bytes: int | None
    reason: str
    entries: int | None
    luminosity: float | None
    why: str | None

    def as_manifest(self) -> dict[str, Any]:
        """Return the file's part of manifest.json."""
        lost = {"entries": self.entries, "luminosity": self.luminosity, "why": self.why}
        return {
            "sample": self.sample,
            "path": self.path,
            "bytes": self.bytes,
            "skipped": self.reason,
            "lost": {key: value for key, value in lost.items() if key != "why" or value is not None},
        }

    def line(self) -> str:
        """Return one line for the terminal and the report."""
        entries = "an unknown number of" if self.entries is None else str(self.entries)
        cost = "" if self.luminosity is None else f", {self.luminosity:g}/fb"
        return f"Skipped {self.path} of {self.sample} ({entries} entries{cost}): {self.reason}"


class BrokenFileError(SourceError):
    """A file could be opened, but failed while it was read."""

    def __init__(self, sample: str, path: str, error: SourceError) -> None:
        super().__init__(str(error))
        self.sample, self.path = sample, path


def _reason(error: SourceError, path: str) -> str:
    return str(error).removeprefix(f"{path}: ")


@dataclass(slots=True)
class Skips:
    """The files that were left out so far, under the policy of the analysis."""

    spec: DatasetSpec
    files: list[SkippedFile] = field(default_factory=list)

    def take(
        self, sample: str, path: str, error: SourceError, entries: int | None = None, metadata: Metadata | None = None
    ) -> None:
        """Record a file that is left out.

        Args:
            sample: the sample.
            path: the file.
            error: why it cannot be read.
            entries: the number of its events; None where that is not known.
            metadata: what it contains for the normalisation; None where that is not known.

        Raises:
            SourceError: `error` itself if the policy is to fail, or if the sample's yield would be wrong without the
                file.

        """
        if self.spec.reading.on_error == "fail":
            raise error
        fixed = self._fixed(sample)
        if fixed is not None:
            raise SourceError(f"{error}\nIt cannot be skipped: {fixed}") from error
        luminosity, why = self._luminosity(sample, entries, metadata)
        if entries is None:
            why = "the file does not open, so its content is not known"
        self.files.append(SkippedFile(sample, path, size_of(path), _reason(error, path), entries, luminosity, why))

    def take_empty(self, sample: str, path: str, error: MissingTreeError) -> None:
        """Record the file of a job that selected nothing: no events are lost, and its sum of weights still counts.

        Args:
            sample: the sample.
            path: the file.
            error: the tree that it does not have.

        Raises:
            MissingTreeError: the policy is to fail; the message names the option.

        """
        if self.spec.reading.on_error == "fail":
            raise MissingTreeError(
                f"{error} It has what the sample is normalised by: if the job that wrote it selected nothing, "
                "`reading: {on_error: skip}` counts its sum of weights and continues without its events."
            ) from error
        why = "the job that wrote it selected nothing; its sum of weights counts"
        reason = f"{_reason(error, path)} Its sum of weights counts."
        self.files.append(SkippedFile(sample, path, size_of(path), reason, 0, None, why))

    def _fixed(self, name: str) -> str | None:
        """Return why the yield of a sample would be wrong without one of its files; None if it would not."""
        sample = self.spec.samples[name]
        if sample.is_data:
            return None
        if normalisation_config(self.spec, name) is None:
            return "the weights are physical already (`normalisation: null`), so the yield would lack its events."
        if sample.sum_of_weights != "file":
            return "`sum_of_weights` is given for all files of the sample together; use `file`, or take the file out."
        return None

    def _luminosity(self, name: str, entries: int | None, metadata: Metadata | None) -> tuple[float | None, str | None]:
        """Return the luminosity of the file (1/fb), or why it is not known.

        For simulation it follows from the sum of weights of the file; files of data do not contain it.
        """
        if self.spec.samples[name].is_data:
            return None, "a file of data does not contain its luminosity"
        if metadata is None or entries is None:
            return None, None
        luminosity = self.spec.samples[name].luminosity or self.spec.luminosity
        return luminosity / normalisation_of(self.spec, name, [metadata]).factor, None
