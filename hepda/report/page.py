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
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import jinja2
from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from hepda.events.results import tables
from hepda.events.results.tables import conclude as conclude
from hepda.plotting.base.files import write_atomically
from hepda.report.number_format import Table
from hepda.runtime import processes as parallel
from hepda.runtime.processes import Send

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Scene = TypeVar("Scene")
"""What a kind of data draws its figures of."""

# The sections of the page, in order: key (figures name it), word in the navigation, question.
SECTIONS = {
    "summary": ("Results", "What came out"),
    "samples": ("Samples", "What was trained on what"),
    "inputs": ("Inputs", "Does the simulation describe the inputs?"),
    "separation": ("Separation", "How well does it separate?"),
    "domains": ("Domains", "What differs between the domains?"),
    "adaptation": ("Adaptation", "What did adaptation change?"),
    "significance": ("Significance", "What is it worth?"),
    "fit": ("Fit", "What does the fit say?"),
    "guards": ("Guards", "What could deceive?"),
    "training": ("Training", "How did the training go?"),
    "missing": ("Not shown", "What is not shown, and why"),
    "details": ("Details", "Everything else"),
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


def save_drawings(
    make: Callable[[Scene], Iterable[Drawing]], scene: Scene, folder: Path, processes: int, progress: Send
) -> list[ReportFigure]:
    """Draw make(scene) into `folder`, PNG and PDF, `processes` figures at a time.

    A drawing does not travel between processes: each makes the list once, by the function `make` of a module, and
    draws the next one that is left.
    """
    count, done = len(list(make(scene))), 0

    def told(*_: object) -> None:
        nonlocal done
        done += 1
        progress("figures", done, count)

    return parallel.run(_draw, range(count), processes, shared=_Work(make, scene, folder), progress=told)


@dataclass(slots=True)
class _Work:
    """What is drawn and where; `todo` is filled in the process that draws."""

    make: Callable[[Any], Iterable[Drawing]]
    scene: Any
    folder: Path
    todo: list[Drawing] = field(default_factory=list)


def _draw(work: _Work, number: int, send: Send) -> ReportFigure:
    work.todo = work.todo or list(work.make(work.scene))
    drawing = work.todo[number]
    figure = drawing.save(work.folder)
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


def write_report(
    path: str | Path,
    metrics: Mapping[str, Any],
    figures: Iterable[tuple[str, str, str, Path | str | bytes]] = (),
    *,
    config_text: str = "",
    manifest: Mapping[str, Any] | None = None,
    conclusions: Sequence[str] | None = None,
    warnings: Sequence[str] = (),
    notes: Sequence[str] = (),
    extra_tables: Mapping[str, Sequence[Table]] | None = None,
    own_tables: bool = False,
    sections: Mapping[str, tuple[str, str]] | None = None,
) -> Path:
    """Write the report of a run to `path` (complete or not at all) and return it.

    metrics: as in metrics.json; models may lack entries. figures: (section, title, caption, PNG path or
    bytes), sections as in SECTIONS, drawn in the order given. config_text: the resolved analysis file, shown
    folded, as the manifest is. conclusions: what the numbers say in words; None makes them with `conclude`.
    warnings: stand at the top (alarms of the training, the policy for negative weights and its share). notes:
    what is hidden on purpose, such as blinded data. extra_tables: more tables for a section. own_tables: they stand in
    place of the tables for events, of which only that of the training is left. sections: words and
    questions that replace those of SECTIONS. Raises
    ValueError for an unknown section or an image that is no PNG, OSError where a file cannot be read or
    written.
    """
    path = Path(path)
    pictures = _by_section(figures)
    shown = _training_alone(metrics) if own_tables else section_tables(metrics)
    for section, more in (extra_tables or {}).items():
        shown[section] = [*shown.get(section, []), *more]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hepda.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html").render(
        name=str(metrics.get("name") or "run"),
        facts=_facts(metrics, manifest or {}),
        sections=SECTIONS | dict(sections or {}),
        pictures=pictures,
        tables={key: [t for t in found if t.tells] for key, found in shown.items()},
        many=MANY,
        first=FIRST,
        conclusions=conclude(metrics) if conclusions is None else conclusions,
        warnings=warnings,
        notes=notes,
        cautions=(metrics.get("guards") or {}).get("warnings") or [],
        nulls=tables.nulls(metrics),
        config_text=config_text,
        metrics_text=_json(metrics),
        manifest_text=_json(manifest) if manifest else "",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page.encode())
    return path


def _by_section(figures: Iterable[tuple[str, str, str, Path | str | bytes]]) -> dict[str, list[_Picture]]:
    """The figures of each section, read and encoded. Raises ValueError for a section that the page has not."""
    pictures: dict[str, list[_Picture]] = {key: [] for key in SECTIONS}
    for section, title, caption, image in figures:
        if section not in SECTIONS:
            raise ValueError(f"figure {title!r} has the section {section!r}; there are {list(SECTIONS)}")
        pictures[section].append(_picture(title, caption, image))
    return pictures


def _training_alone(metrics: Mapping[str, Any]) -> dict[str, list[Table]]:
    """Of the tables for events what every kind of data has."""
    return {"training": [tables.numbers_table(metrics, "training", "Training")]}


def section_tables(metrics: Mapping[str, Any]) -> dict[str, list[Table]]:
    """The tables of each section of the page; those that tell nothing are not shown."""
    auc = tables.by_domain_table(
        metrics, "auc", "Area under the ROC curve", "On test events, signed weights; 68 % interval."
    )
    worth = tables.numbers_table(
        metrics, "significance", "Expected significance", "Median expected (Asimov) discovery significance."
    )
    return {
        "summary": [tables.summary_table(metrics)],
        "samples": [tables.models_table(metrics), tables.samples_table(metrics)],
        "separation": [auc, *tables.other_tables(metrics), *tables.working_point_tables(metrics)],
        "domains": [
            *tables.bias_tables(metrics),
            tables.training_bias_table(metrics),
            *tables.two_sample_tables(metrics),
            *tables.probe_tables(metrics),
            tables.importance_table(metrics),
            tables.removal_table(metrics),
        ],
        "adaptation": [tables.adaptation_table(metrics), tables.ratio_table(metrics)],
        "significance": [worth],
        "fit": [tables.closure_table(metrics)],
        "guards": [
            tables.priors_table(metrics),
            tables.reweighting_table(metrics),
            tables.gradients_table(metrics),
            tables.overtraining_table(metrics),
            tables.calibration_table(metrics),
            tables.bins_table(metrics),
            tables.flatness_table(metrics),
        ],
        "training": [tables.numbers_table(metrics, "training", "Training")],
    }


def console_table(metrics: Mapping[str, Any], own: Table | None = None) -> RichTable:
    """The summary for the terminal, models down: of a kind of data its `own` table, with every interval; else AUC a
    domain, bias, efficiency shift, significance.
    """
    if own is not None:
        texts = [[cell.text for cell in row] for row in own.rows]
        return _console_table(str(metrics.get("name") or ""), own.head, texts, f"{own.title}. {own.note}")
    summary = tables.summary_table(metrics, points=("0.3",), all_domains=True)
    head = [f"{name} [%]" if name.startswith("Shift") else name for name in summary.head]
    rows = [[name.text, *(cell.short for cell in row)] for name, *row in summary.rows]
    caption = "Shifts: of the background's efficiency, from the first domain." if rows else None
    return _console_table(str(metrics.get("name") or ""), head, rows, caption)


def _console_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], caption: str | None) -> RichTable:
    drawn = RichTable(
        title=title,
        caption=caption,
        box=box.SIMPLE_HEAD,
        padding=0,
        pad_edge=False,
    )
    for index, heading in enumerate(head):
        # A number is never cut, whatever the width of the terminal; headings break between words.
        widest = max(len(text) for text in [*(row[index] for row in rows), *heading.split()])
        drawn.add_column(
            Text(heading),
            justify="right" if index else "left",
            overflow="fold",
            min_width=widest if index else None,
        )
    for row in rows:
        drawn.add_row(*(Text(text) for text in row))
    return drawn


def _picture(title: str, caption: str, image: Path | str | bytes) -> _Picture:
    content = image if isinstance(image, bytes) else Path(image).read_bytes()
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ValueError(f"the image of figure {title!r} is no PNG")
    width, height = struct.unpack(">II", content[16:24])
    return _Picture(title, caption, base64.b64encode(content).decode("ascii"), width, height)


def _facts(metrics: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The line under the title: luminosity, seed, version, commit, as far as they are known."""
    versions = manifest.get("versions")
    facts = [
        ("Luminosity", f"{metrics['luminosity']:g} fb⁻¹" if metrics.get("luminosity") is not None else None),
        ("Seed", metrics.get("seed")),
        ("hepda", versions.get("hepda") if isinstance(versions, Mapping) else None),
        ("Commit", manifest.get("git_commit") or manifest.get("commit")),
        ("Written", manifest.get("time") or manifest.get("date")),
    ]
    return [(name, str(value)[:40]) for name, value in facts if value is not None]


def _json(content: object) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, default=str)
