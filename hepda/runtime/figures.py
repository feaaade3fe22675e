"""The figures of a run directory: figures.json lists them, plots/ holds their pictures, plots/data what is drawn."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from hepda.errors import replacing
from hepda.runtime import run_directory
from hepda.runtime.plots import Plots
from hepda.runtime.run_directory import PLOTS

FILE = "figures.json"
DATA = "data"
"""The folder in plots/ of a run with the data of the figures."""


class ShownFigure(NamedTuple):
    """A figure of the report: section, title, caption, PNG."""

    section: str
    title: str
    caption: str
    image: Path


@dataclass(frozen=True, slots=True)
class FigureEntry:
    """An entry of figures.json.

    Attributes:
        by: the command whose figure it is.
        section: of the report.
        title: of the figure.
        caption: of the figure.
        file: its PNG relative to the run directory, drawn or not; "" if its data could not be made.
        first: whether it is one of the figures that are looked at first.
        drawn: checksum of what the PNG was drawn from; "" if it is not drawn. An earlier hepda wrote none.
        pdf: whether there is a PDF of the same.
        why: the reason for which it could not be drawn.

    """

    by: str
    section: str
    title: str
    caption: str = ""
    file: str = ""
    first: bool = False
    drawn: str | None = ""
    pdf: bool = False
    why: str = ""

    @property
    def name(self) -> str:
        """Return the name of its files without suffix."""
        return Path(self.file).stem

    @property
    def data(self) -> str:
        """Return the path of its data relative to the run directory."""
        return (Path(self.file).parent / DATA / f"{self.name}.json").as_posix()

    def is_drawn(self, run: Path) -> bool:
        """Return whether there is a picture of it."""
        return self.drawn != "" and bool(self.file) and (run / self.file).is_file()

    def files(self, run: Path) -> list[Path]:
        """Return PNG, PDF and data, whether they exist or not; none for a figure outside of the run directory."""
        if not self.file or Path(self.file).is_absolute() or ".." in Path(self.file).parts:
            return []
        png = run / self.file
        return [png, png.with_suffix(".pdf"), run / self.data]

    def to_json(self) -> dict[str, Any]:
        """Return the entry as it is in the file."""
        entry: dict[str, Any] = {"by": self.by, "section": self.section, "title": self.title}
        if self.file:
            entry |= {"caption": self.caption, "file": self.file, "first": self.first, "pdf": self.pdf}
            entry |= {} if self.drawn is None else {"drawn": self.drawn}
        return entry | ({"why": self.why} if self.why else {})

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> FigureEntry:
        """Return an entry of the file.

        Raises:
            ValueError: it is not that of a figure.

        """
        texts = ("by", "section", "title", *(() if "why" in entry and "file" not in entry else ("caption", "file")))
        optional = {"why": str, "drawn": str, "first": bool, "pdf": bool}
        if not all(isinstance(entry[key], str) for key in texts) or not all(
            isinstance(entry[key], kind) for key, kind in optional.items() if key in entry
        ):
            raise ValueError("an entry is not that of a figure")
        known = {key: entry[key] for key in (*texts, *optional) if key in entry}
        return cls(**{"drawn": None if "file" in entry else "", "pdf": True} | known)


@dataclass(frozen=True, slots=True)
class FigureText:
    """A figure whose data are made: its place in the report, its file name, and its data as text."""

    section: str
    name: str
    title: str
    caption: str
    first: bool
    text: str


def entries(run: Path) -> list[FigureEntry]:
    """Return the entries of figures.json, none if there is no such file.

    Raises:
        ConfigError: it has another content.

    """
    path = run / FILE
    content = run_directory.read_json(path) if path.is_file() else []
    with run_directory.readable(path):
        return [FigureEntry.from_json(entry) for entry in content]


def write(run: Path, listed: Iterable[FigureEntry]) -> None:
    """Write figures.json."""
    run_directory.write_json(run / FILE, [entry.to_json() for entry in listed])


def checksum(text: str, version: str) -> str:
    """Return a checksum of what determines a picture: the data of the figure and the version of the drawing code."""
    return hashlib.sha256(f"{version}\n{text}".encode()).hexdigest()[:32]


def record(
    run: Path,
    by: str,
    figures: Iterable[FigureText],
    failed: Iterable[tuple[str, str, str]],
    version: str,
    folder: str = PLOTS,
) -> None:
    """Write the data of the figures of the command `by` and list them in figures.json; nothing is drawn.

    A picture that is there already stays if it is of the same data. The figures of `hepda evaluate` come first, those
    of other commands in the order of their writing. Paths are relative to `run`, so that it may be moved and copied.
    Files in its plots/ of figures that are no longer listed are removed.

    Args:
        run: the run directory.
        by: the command.
        figures: the figures and their data.
        failed: section and title of figures whose data could not be made, and the reason.
        version: of the code that draws.
        folder: the folder of the figures in `run`.

    """
    old = entries(run)
    before = {entry.file: entry for entry in old if entry.by == by and entry.file}
    new = []
    for figure in figures:
        file = f"{folder}/{figure.name}.png"
        entry = FigureEntry(by, figure.section, figure.title, figure.caption, file, figure.first)
        earlier = before.get(file)
        if earlier is not None and earlier.drawn == checksum(figure.text, version) and earlier.is_drawn(run):
            entry = replace(entry, drawn=earlier.drawn, pdf=earlier.pdf)
        _write_if_changed(run / entry.data, figure.text)
        new.append(entry)
    new += [FigureEntry(by, section, title, why=why) for section, title, why in failed]
    others = [entry for entry in old if entry.by != by]
    listed = [*new, *others] if by == "evaluate" else [*others, *new]
    write(run, listed)
    wanted = {path for entry in listed for path in _right_files(entry, run)}
    for path in {path for entry in (*old, *listed) for path in entry.files(run)} - wanted:
        path.unlink(missing_ok=True)


def _right_files(entry: FigureEntry, run: Path) -> list[Path]:
    """Return the files of an entry that are of its present data."""
    files = entry.files(run)
    if not files or entry.drawn is None:
        return files
    png, pdf, data = files
    return [data, *([png] if entry.drawn else []), *([pdf] if entry.drawn and entry.pdf else [])]


def _write_if_changed(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        run_directory.write_text(path, text)


class Wanted(NamedTuple):
    """A figure to draw: its entry, its data, and the formats that are missing."""

    entry: FigureEntry
    text: str
    png: bool
    pdf: bool


def wanted(run: Path, plots: Plots, version: str, by: str | None = None) -> list[Wanted]:
    """Return the figures that `plots` asks for and that are not drawn of their present data.

    Pictures that are lost, or were drawn by other code, are drawn again too, except for `none`.

    Args:
        run: the run directory.
        plots: which figures.
        version: of the code that draws.
        by: the command whose figures are asked for; None for those of all.

    """
    result = []
    for entry in entries(run):
        path = run / entry.data
        if plots is Plots.NONE or not entry.file or entry.drawn is None or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        up_to_date = entry.is_drawn(run) and entry.drawn == checksum(text, version)
        own = by in (None, entry.by)
        asked = (own and (plots is Plots.ALL or entry.first)) or (bool(entry.drawn) and not up_to_date)
        has_pdf = up_to_date and entry.pdf and entry.files(run)[1].is_file()
        pdf = not has_pdf and ((own and plots is Plots.ALL) or (entry.pdf and not up_to_date))
        if asked and (pdf or not up_to_date):
            result.append(Wanted(entry, text, png=not up_to_date, pdf=pdf))
    return result


def shown(run: Path) -> tuple[list[tuple[str, ShownFigure]], list[str]]:
    """Return the figures that are drawn.

    Returns:
        Each figure with its command; and a sentence for each figure that could not be drawn or is lost, with the
        reason.

    """
    figures: list[tuple[str, ShownFigure]] = []
    missing = []
    for entry in entries(run):
        if entry.is_drawn(run):
            figures.append((entry.by, ShownFigure(entry.section, entry.title, entry.caption, run / entry.file)))
        elif entry.why:
            missing.append(f"The figure \u201c{entry.title}\u201d could not be drawn: {entry.why}")
        elif entry.drawn != "":
            again = "report" if (run / entry.data).is_file() else entry.by
            missing.append(
                f"The figure \u201c{entry.title}\u201d is no longer at {run / entry.file}; `hepda {again}` draws it "
                "again."
            )
    return figures, missing


def not_drawn(run: Path) -> list[tuple[str, str, str]]:
    """Return the figures that were not asked for: command, section and title of each."""
    return [(e.by, e.section, e.title) for e in entries(run) if e.file and e.drawn == "" and not e.why]


def copy(run: Path, folder: Path, by: str) -> list[Path]:
    """Copy PNG and PDF of the figures of the command `by` into `folder`.

    Args:
        run: the run directory.
        folder: the target.
        by: the command.

    Returns:
        The PNGs in `folder`, in the order of figures.json.

    """
    copied = []
    for entry in entries(run):
        if entry.by == by and entry.is_drawn(run):
            png = run / entry.file
            for path in (png, *([png.with_suffix(".pdf")] if entry.pdf else [])):
                _copy_file(path, folder / path.name)
            copied.append(folder / png.name)
    return copied


def take(run: Path, output: Path, by: str) -> None:
    """Copy the figures of the command `by` with their data into another run directory, and list them there."""
    taken = []
    for entry in entries(run):
        if entry.by != by:
            continue
        for path in entry.files(run):
            _copy_file(path, output / path.relative_to(run))
        taken.append(entry)
    write(output, [*taken, *(entry for entry in entries(output) if entry.by != by)])


def _copy_file(path: Path, target: Path) -> None:
    if path.is_file() and path.resolve() != target.resolve():
        with replacing(target) as temporary:
            shutil.copyfile(path, temporary)


def files(run: Path) -> list[Path]:
    """Return the files of all figures in plots/ of the run."""
    return [path for entry in entries(run) for path in entry.files(run) if os.path.lexists(path)]
