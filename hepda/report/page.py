"""The page that a run leaves behind: metrics and figures in the order in which a reader asks.

`report.html` stands alone: its figures are inside it, it loads nothing from anywhere (a content security
policy forbids it), and every text that comes from the analysis file is escaped. Its tables can be sorted; it
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

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Scene = TypeVar("Scene")
"""What a kind of data draws its figures of."""

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
FIRST = 3  # but these, where no wide figure gives an overview of them


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
    """make(), or what is said where it fails: no run is lost for a figure.

    What is wrong with the disk, or with a process, is no matter of the figure and is raised.
    """
    try:
        return make()
    except (OSError, StorageError, ProcessError, MissingExtraError):
        raise
    except Exception as error:  # noqa: BLE001 - matplotlib and numpy raise anything; report and terminal name it
        kind = "" if isinstance(error, HepdaError) else f"{type(error).__name__}: "
        return NotDrawn(section, title, (kind + " ".join(str(error).split())).strip().removesuffix("."))


def sorted_out(
    found: Iterable[ReportFigure | NotDrawn],
) -> tuple[list[ReportFigure], list[NotDrawn]]:
    """Return the figures that were drawn, and those that were not."""
    both = list(found)
    return [f for f in both if isinstance(f, ReportFigure)], [f for f in both if isinstance(f, NotDrawn)]


@dataclass(frozen=True, slots=True)
class Drawing:
    """One figure to be: where it stands in the report, its file name, title, caption, and how it is drawn."""

    section: str
    name: str
    title: str
    caption: str
    draw: Callable[[], Figure]

    def save(self, folder: Path) -> ReportFigure:
        """Draw it into `folder`, PNG and PDF."""
        from hepda.plotting.base.style import save

        png, _ = save(self.draw(), folder, self.name)
        return ReportFigure(self.section, self.title, self.caption, png)

    def attempt(self, folder: Path) -> ReportFigure | NotDrawn:
        """As `save`; a failure is told, not raised."""
        return attempt(self.section, self.title, lambda: self.save(folder))


def collected(parts: Iterable[Callable[[Scene], Iterable[Drawing]]], scene: Scene) -> list[Drawing]:
    """Return the drawings of all parts. What a part fails to prepare is a drawing that fails, and costs no other
    part.
    """
    found: list[Drawing] = []
    for part in parts:
        try:
            found.extend(part(scene))
        except (OSError, StorageError):
            raise
        except Exception as error:  # noqa: BLE001 - as in `attempt`, where it is raised again
            name = part.__name__.strip("_").replace("_", " ")
            found.append(Drawing("missing", part.__name__, f"the rest of the {name}", "", partial(_again, error)))
    return found


def _again(error: Exception) -> Figure:
    raise error


def save_drawings(
    make: Callable[[Scene], Iterable[Drawing]], scene: Scene, folder: Path, processes: int, progress: Send
) -> list[ReportFigure | NotDrawn]:
    """Draw make(scene) into `folder`, PNG and PDF, `processes` figures at a time; a figure that fails is told.

    A drawing does not travel between processes: each makes the list once, by the function `make` of a module, and
    draws the next one that is left.
    """
    count, done = len(list(make(scene))), 0

    def told(*_: object) -> None:
        nonlocal done
        done += 1
        progress("figures", done, count)

    with open_pool(min(processes, count), shared=_Work(make, scene, folder), progress=told) as pool:
        return pool.map(_draw, range(count))


@dataclass(slots=True)
class _Work:
    """What is drawn and where; `todo` is filled in the process that draws."""

    make: Callable[[Any], Iterable[Drawing]]
    scene: Any
    folder: Path
    todo: list[Drawing] = field(default_factory=list)


def with_own_names(drawings: Iterable[Drawing]) -> list[Drawing]:
    """Return the drawings, each with a file name of its own: a number follows where two would be one file on some disk.

    The stack of the model `x` and the score of a model `stack_x` have one name, for example.
    """
    taken: set[str] = set()
    found = []
    for drawing in drawings:
        name, number = drawing.name, 2
        while name.casefold() in taken:
            name, number = f"{drawing.name}-{number}", number + 1
        taken.add(name.casefold())
        found.append(drawing if name == drawing.name else replace(drawing, name=name))
    return found


def _draw(work: _Work, number: int, send: Send) -> ReportFigure | NotDrawn:
    work.todo = work.todo or with_own_names(work.make(work.scene))
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
        conclusions: what the numbers mean, a sentence each.
        warnings: at the top of the page (warnings of the training, the policy for negative weights and its share).
        diagnostics: warnings that follow from the numbers, in their own section.
        notes: what is hidden on purpose, such as blinded data.
        sections: words and questions that replace those of SECTIONS.
        config_text: the resolved analysis file, shown folded, as the manifest is.
        manifest: what manifest.json says of the run.

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
