"""From results to pictures: the data of all figures are made and kept, then the pictures that are wanted are drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hepda.errors import HepdaError, MissingExtraError, ProcessError, StorageError
from hepda.plotting.base.files import write_atomically
from hepda.plotting.base.plot import Plot, drawing_version
from hepda.runtime import figures
from hepda.runtime.figures import FigureEntry, FigureText, Wanted
from hepda.runtime.plots import Plots
from hepda.runtime.pool import Send, open_pool
from hepda.runtime.run_directory import PLOTS
from hepda.timing import timed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Data = TypeVar("Data")
"""The type of the data of the figures of a kind."""
Result = TypeVar("Result")

WORTH_PROCESSES = 24
"""Number of figures from which on further processes, which have to start, finish earlier than this one."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure of which nothing is made yet.

    Attributes:
        section: its section of the report.
        name: name of its files.
        title: its title.
        caption: its caption.
        plot: makes what is drawn; called once, while the data of the run are there.
        first: whether the figure is one that is looked at first; the others are drawn on request.

    """

    section: str
    name: str
    title: str
    caption: str
    plot: Callable[[], Plot]
    first: bool = False

    def draw(self) -> Figure:
        """Draw the figure, without keeping its data."""
        return self.plot().draw()


@dataclass(frozen=True, slots=True)
class NotDrawn:
    """A figure that is missing because something failed: its section and title, and why."""

    section: str
    title: str
    why: str


@dataclass(frozen=True, slots=True)
class FigureTexts:
    """The data of all figures of a command, as text, and the figures whose data could not be made."""

    figures: Sequence[FigureText]
    failed: Sequence[NotDrawn]


def collected(parts: Iterable[Callable[[Data], Iterable[Drawing]]], data: Data) -> list[Drawing]:
    """Return the drawings of all parts. An error of a part becomes a drawing that fails, without effect on the
    other parts.
    """
    drawings: list[Drawing] = []
    for part in parts:
        try:
            drawings.extend(part(data))
        except (OSError, StorageError):
            raise
        except Exception as error:  # noqa: BLE001 - as in `attempt`, where it is raised again
            name = part.__name__.strip("_").replace("_", " ")
            drawings.append(Drawing("missing", part.__name__, f"the rest of the {name}", "", partial(_again, error)))
    return drawings


def _again(error: Exception) -> Plot:
    raise error


def attempt(section: str, title: str, make: Callable[[], Result]) -> Result | NotDrawn:
    """Return make(), or the reason why it failed: no run is lost because of a figure.

    Errors of the disk or of a process do not concern the figure and are raised.
    """
    try:
        return make()
    except (OSError, StorageError, ProcessError, MissingExtraError):
        raise
    except Exception as error:  # noqa: BLE001 - matplotlib and numpy raise anything; report and terminal name it
        return NotDrawn(section, title, _reason(error))


def _reason(error: Exception) -> str:
    kind = "" if isinstance(error, HepdaError) else f"{type(error).__name__}: "
    return (kind + " ".join(str(error).split())).strip().removesuffix(".")


def texts_of(drawings: Iterable[Drawing]) -> FigureTexts:
    """Make the data of all figures; a figure whose data cannot be made has a reason."""
    made: list[FigureText] = []
    failed: list[NotDrawn] = []
    for drawing in with_unique_names(drawings):

        def make(drawing: Drawing = drawing) -> FigureText:
            text = drawing.plot().to_text()
            return FigureText(drawing.section, drawing.name, drawing.title, drawing.caption, drawing.first, text)

        result = attempt(drawing.section, drawing.title, make)
        if isinstance(result, NotDrawn):
            failed.append(result)
        else:
            made.append(result)
    return FigureTexts(made, failed)


def with_unique_names(drawings: Iterable[Drawing]) -> list[Drawing]:
    """Return the drawings, each with a unique file name: a number follows where two would be one file on some disk.

    The stack of the model `x` and the score of a model `stack_x` have one name, for example.
    """
    used: set[str] = set()
    renamed = []
    for drawing in drawings:
        name, number = drawing.name, 2
        while name.casefold() in used:
            name, number = f"{drawing.name}-{number}", number + 1
        used.add(name.casefold())
        renamed.append(drawing if name == drawing.name else replace(drawing, name=name))
    return renamed


def record(run: Path, by: str, texts: FigureTexts, folder: str = PLOTS) -> None:
    """Keep the data of the figures of the command `by` in a run directory; see `hepda.runtime.figures.record`."""
    failed = [(figure.section, figure.title, figure.why) for figure in texts.failed]
    figures.record(run, by, texts.figures, failed, drawing_version(), folder)


def draw(run: Path, plots: Plots, processes: int, progress: Send, by: str | None = None) -> list[str]:
    """Draw the figures of a run directory that `plots` asks for, from their data, and list them as drawn.

    A figure whose picture is of the same data, and was drawn by the same code, is not drawn again.

    Args:
        run: has the data of the figures.
        plots: which figures, and in which formats.
        processes: number of figures that are drawn in parallel.
        progress: receives the number of figures.
        by: the command whose figures are asked for; None for those of all.

    Returns:
        The names of the figures that were drawn.

    """
    todo = figures.wanted(run, plots, drawing_version(), by)
    if not todo:
        return []
    work = [_work(run, figure) for figure in todo]
    done = 0

    def count_one(*_: object) -> None:
        nonlocal done
        done += 1
        progress("figures", done, len(work))

    progress("figures", 0, len(work))
    if processes > 1 and len(work) >= WORTH_PROCESSES:
        with open_pool(min(processes, len(work)), progress=count_one) as pool:
            reasons = pool.map(_draw, work)
    else:
        reasons = [_draw(None, job, count_one) for job in work]
    results = {
        (figure.entry.by, figure.entry.file): _entry_of(figure, why) for figure, why in zip(todo, reasons, strict=True)
    }
    figures.write(run, [results.get((entry.by, entry.file), entry) for entry in figures.entries(run)])
    return [figure.entry.name for figure, why in zip(todo, reasons, strict=True) if not why]


def _entry_of(figure: Wanted, why: str) -> FigureEntry:
    """Return the entry of a figure after its drawing, which failed if there is a reason."""
    if why:
        return replace(figure.entry, drawn="", pdf=False, why=why)
    drawn = figures.checksum(figure.text, drawing_version())
    return replace(figure.entry, drawn=drawn, pdf=figure.pdf or (figure.entry.pdf and not figure.png), why="")


@dataclass(frozen=True, slots=True)
class _Work:
    """A figure to draw: the path of its PNG, what is drawn or why it cannot be read, and the missing formats."""

    path: Path
    plot: Plot | NotDrawn
    png: bool
    pdf: bool


def _work(run: Path, figure: Wanted) -> _Work:
    plot = attempt(figure.entry.section, figure.entry.title, lambda: Plot.from_text(figure.text))
    return _Work(run / figure.entry.file, plot, figure.png, figure.pdf)


def _draw(_: object, work: _Work, send: Send) -> str:
    """Draw a figure; return why it failed, or an empty text."""
    from hepda.plotting.base.style import pdf, png

    plot = work.plot
    if isinstance(plot, NotDrawn):
        return plot.why

    def make() -> str:
        with timed(work.path.stem):
            drawn = plot.draw()
            if work.png:
                write_atomically(work.path, png(drawn))
            if work.pdf:
                write_atomically(work.path.with_suffix(".pdf"), pdf(drawn))
        return ""

    result = attempt("", "", make)
    send(work.path.stem, 1, 1)
    return result.why if isinstance(result, NotDrawn) else ""
