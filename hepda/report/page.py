"""The report of a run: metrics and figures in the order of a reader's questions.

`report.html` is self-contained: its figures are inside it, it loads nothing (a content security policy forbids it), and
every text that comes from the analysis file is escaped. Its tables can be sorted; it
reads on a phone and prints.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import jinja2

from hepda.errors import HepdaError, MissingExtraError, ProcessError, StorageError
from hepda.number_format import Table
from hepda.plotting.base.files import write_atomically
from hepda.report.nulls import nulls
from hepda.runtime.pool import Send, open_pool
from hepda.timing import timed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Data = TypeVar("Data")
"""The type of the data of the figures of a kind."""

# The sections of the page, in order: key (figures name it), word in the navigation, heading.
SECTIONS = {
    "summary": ("Results", "Results"),
    "samples": ("Samples", "Models and samples"),
    "inputs": ("Inputs", "Modelling of the inputs"),
    "separation": ("Separation", "Separation of signal and background"),
    "domains": ("Domains", "Differences between the domains"),
    "adaptation": ("Adaptation", "Effect of the adaptation"),
    "significance": ("Significance", "Expected significance"),
    "fit": ("Fit", "Fit of the signal strength"),
    "guards": ("Checks", "Caveats and checks"),
    "training": ("Training", "Course of the training"),
    "missing": ("Missing", "Missing numbers and figures"),
    "details": ("Details", "Configuration and provenance"),
}
WIDE = 900  # pixels: a figure wider than that has the width of the page
MANY = 6  # small figures of one section beyond which they are folded away
FIRST = 3  # except these, if no wide figure gives an overview of them


class ReportFigure(NamedTuple):
    """A figure of the page: its section (a key of SECTIONS), its texts, and a PNG (path or bytes)."""

    section: str
    title: str
    caption: str
    image: Path | str | bytes


class NotDrawn(NamedTuple):
    """A figure that is missing because drawing it failed: its section and title, and why."""

    section: str
    title: str
    why: str


def attempt(section: str, title: str, make: Callable[[], ReportFigure]) -> ReportFigure | NotDrawn:
    """Return make(), or the reason why it failed: no run is lost because of a figure.

    Errors of the disk or of a process do not concern the figure and are raised.
    """
    try:
        return make()
    except (OSError, StorageError, ProcessError, MissingExtraError):
        raise
    except Exception as error:  # noqa: BLE001 - matplotlib and numpy raise anything; report and terminal name it
        kind = "" if isinstance(error, HepdaError) else f"{type(error).__name__}: "
        return NotDrawn(section, title, (kind + " ".join(str(error).split())).strip().removesuffix("."))


def drawn_and_failed(
    results: Iterable[ReportFigure | NotDrawn],
) -> tuple[list[ReportFigure], list[NotDrawn]]:
    """Return the figures that were drawn, and those that were not."""
    both = list(results)
    return [f for f in both if isinstance(f, ReportFigure)], [f for f in both if isinstance(f, NotDrawn)]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure that is not drawn yet: its section of the report, file name, title, caption, and how it is drawn."""

    section: str
    name: str
    title: str
    caption: str
    draw: Callable[[], Figure]

    def save(self, folder: Path) -> ReportFigure:
        """Draw the figure into `folder`, PNG and PDF."""
        from hepda.plotting.base.style import save

        with timed(self.name):
            png, _ = save(self.draw(), folder, self.name)
        return ReportFigure(self.section, self.title, self.caption, png)

    def attempt(self, folder: Path) -> ReportFigure | NotDrawn:
        """Do the same as `save`, but return the reason of a failure instead of raising it."""
        return attempt(self.section, self.title, lambda: self.save(folder))


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


def _again(error: Exception) -> Figure:
    raise error


def save_drawings(
    make: Callable[[Data], Iterable[Drawing]], data: Data, folder: Path, processes: int, progress: Send
) -> list[ReportFigure | NotDrawn]:
    """Draw make(data) into `folder`, PNG and PDF, `processes` figures in parallel; a figure that fails has a reason.

    A drawing is not sent between processes: each makes the list once, by the function `make` of a module, and draws
    the next figure.
    """
    count, done = len(list(make(data))), 0

    def count_one(*_: object) -> None:
        nonlocal done
        done += 1
        progress("figures", done, count)

    with open_pool(min(processes, count), shared=_Work(make, data, folder), progress=count_one) as pool:
        return pool.map(_draw, range(count))


@dataclass(slots=True)
class _Work:
    """What is drawn and where; `todo` is filled in the process that draws."""

    make: Callable[[Any], Iterable[Drawing]]
    data: Any
    folder: Path
    todo: list[Drawing] = field(default_factory=list)


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


def _draw(work: _Work, number: int, send: Send) -> ReportFigure | NotDrawn:
    work.todo = work.todo or with_unique_names(work.make(work.data))
    drawing = work.todo[number]
    figure = drawing.attempt(work.folder)
    send(drawing.name, 1, 1)
    return figure


@dataclass(frozen=True, slots=True)
class _Picture:
    title: str
    caption: str
    data: str
    width: int
    height: int

    @property
    def wide(self) -> bool:
        return self.width > WIDE


@dataclass(frozen=True, slots=True)
class ReportPage:
    """The content of a report.

    Attributes:
        numbers: what metrics.json has; its nulls are listed, and all of it is shown folded.
        figures: (section, title, caption, PNG path or bytes), sections as in SECTIONS, shown in the order given.
        tables: the tables of each section; those without any value are not shown.
        conclusions: conclusions from the numbers, a sentence each.
        warnings: at the top of the page (warnings of the training, the policy for negative weights and its share).
        diagnostics: warnings that follow from the numbers, in their own section.
        notes: what is hidden on purpose, such as blinded data.
        sections: words and questions that replace those of SECTIONS.
        config_text: the resolved analysis file, shown folded, as the manifest is.
        manifest: the content of manifest.json.

    """

    numbers: Mapping[str, Any]
    figures: Iterable[tuple[str, str, str, Path | str | bytes]] = ()
    tables: Mapping[str, Sequence[Table]] = field(default_factory=dict)
    conclusions: Sequence[str] = ()
    warnings: Sequence[str] = ()
    diagnostics: Sequence[str] = ()
    notes: Sequence[str] = ()
    sections: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    config_text: str = ""
    manifest: Mapping[str, Any] = field(default_factory=dict)


def write_report(path: str | Path, content: ReportPage) -> Path:
    """Write the report of a run to `path` (complete or not at all) and return it.

    Raises:
        ValueError: a section is unknown, or an image is no PNG.
        OSError: a file cannot be read or written.

    """
    path = Path(path)
    pictures = _by_section(content.figures)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hepda.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html").render(
        name=str(content.numbers.get("name") or "run"),
        facts=_facts(content.numbers, content.manifest),
        sections=SECTIONS | dict(content.sections),
        pictures=pictures,
        tables={key: [table.filled for table in tables if table.has_values] for key, tables in content.tables.items()},
        many=MANY,
        first=FIRST,
        conclusions=content.conclusions,
        warnings=content.warnings,
        notes=content.notes,
        cautions=content.diagnostics,
        nulls=nulls(content.numbers),
        config_text=content.config_text,
        metrics_text=_json(content.numbers),
        manifest_text=_json(content.manifest) if content.manifest else "",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page.encode())
    return path


def _by_section(figures: Iterable[tuple[str, str, str, Path | str | bytes]]) -> dict[str, list[_Picture]]:
    """Return the figures of each section, read and encoded. Raises ValueError for a section that the page has not."""
    pictures: dict[str, list[_Picture]] = {key: [] for key in SECTIONS}
    for section, title, caption, image in figures:
        if section not in SECTIONS:
            raise ValueError(f"figure {title!r} has the section {section!r}; there are {list(SECTIONS)}")
        pictures[section].append(_picture(title, caption, image))
    return pictures


def _picture(title: str, caption: str, image: Path | str | bytes) -> _Picture:
    content = image if isinstance(image, bytes) else Path(image).read_bytes()
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ValueError(f"the image of figure {title!r} is no PNG")
    width, height = struct.unpack(">II", content[16:24])
    return _Picture(title, caption, base64.b64encode(content).decode("ascii"), width, height)


def _facts(numbers: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the line under the title: luminosity, seed, version, commit, as far as they are known."""
    versions = manifest.get("versions")
    facts = [
        ("Luminosity", f"{numbers['luminosity']:g} fb⁻¹" if numbers.get("luminosity") is not None else None),
        ("Seed", numbers.get("seed")),
        ("hepda", versions.get("hepda") if isinstance(versions, Mapping) else None),
        ("Commit", manifest.get("git_commit") or manifest.get("commit")),
        ("Written", manifest.get("time") or manifest.get("date")),
    ]
    return [(name, str(value)[:40]) for name, value in facts if value is not None]


def _json(content: object) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, default=str)
