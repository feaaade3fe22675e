"""The page that a run leaves behind: metrics and figures in the order in which a reader asks.

`report.html` stands alone: its figures are inside it, it loads nothing from anywhere (a content security
policy forbids it), and every text that comes from the analysis file is escaped. Its tables can be sorted; it
reads on a phone and prints.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from hepda import tables
from hepda.cells import Quantity, Table
from hepda.plotting.files import write_atomically

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
MANY = 6  # figures of one section beyond which the small ones are folded away
FELL = 0.8  # a KS below this share of the plain model's counts as fallen, above 1 / 1.1 as unchanged


class ReportFigure(NamedTuple):
    """A figure of the page: its section (a key of SECTIONS), its texts, and a PNG (path or bytes)."""

    section: str
    title: str
    caption: str
    image: Path | str | bytes


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
) -> Path:
    """Write the report of a run to `path` (complete or not at all) and return it.

    metrics: as in metrics.json; models may lack entries. figures: (section, title, caption, PNG path or
    bytes), sections as in SECTIONS, drawn in the order given. config_text: the resolved analysis file, shown
    folded, as the manifest is. conclusions: what the numbers say in words; None makes them with `conclude`.
    warnings: stand at the top (alarms of the training, the policy for negative weights and its share). notes:
    what is hidden on purpose, such as blinded data. extra_tables: more tables for a section. Raises
    ValueError for an unknown section or an image that is no PNG, OSError where a file cannot be read or
    written.
    """
    path = Path(path)
    pictures: dict[str, list[_Picture]] = {key: [] for key in SECTIONS}
    for section, title, caption, image in figures:
        if section not in SECTIONS:
            raise ValueError(f"figure {title!r} has the section {section!r}; there are {list(SECTIONS)}")
        pictures[section].append(_picture(title, caption, image))
    shown = section_tables(metrics)
    for section, more in (extra_tables or {}).items():
        shown[section] = [*shown.get(section, []), *more]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hepda"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html").render(
        name=str(metrics.get("name") or "run"),
        facts=_facts(metrics, manifest or {}),
        sections=SECTIONS,
        pictures=pictures,
        tables={key: [t for t in found if t.rows] for key, found in shown.items()},
        many=MANY,
        conclusions=conclude(metrics) if conclusions is None else conclusions,
        warnings=warnings,
        notes=notes,
        nulls=tables.nulls(metrics),
        config_text=config_text,
        metrics_text=_json(metrics),
        manifest_text=_json(manifest) if manifest else "",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page.encode())
    return path


def section_tables(metrics: Mapping[str, Any]) -> dict[str, list[Table]]:
    """The tables of each section of the page; those without rows are empty and are not shown."""
    return {
        "summary": [tables.summary_table(metrics)],
        "samples": [tables.samples_table(metrics)],
        "separation": [
            tables.by_domain_table(
                metrics, "auc", "Area under the ROC curve", "On test events, signed weights; 68 % interval."
            ),
            *tables.other_tables(metrics),
        ],
        "domains": [*tables.bias_tables(metrics), *tables.probe_tables(metrics)],
        "adaptation": [tables.adaptation_table(metrics)],
        "significance": [
            tables.numbers_table(
                metrics,
                "significance",
                "Expected significance",
                "Median expected (Asimov) discovery significance.",
            )
        ],
        "fit": [tables.closure_table(metrics)],
        "training": [tables.numbers_table(metrics, "training", "Training")],
    }


def conclude(metrics: Mapping[str, Any], *, plain: str | None = None) -> list[str]:
    """What the KS distances say in words, model by model, held against the plain model's.

    A smaller difference between the domains of the training is no smaller bias: it is called an apparent
    difference unless a domain that no training saw (`use: evaluate`) agrees (Louppe et al.; Ghosh and
    Nachman, arXiv:2109.08159). plain: the model without adaptation that the others are compared with;
    "network" or the first one by default.
    """
    models = [str(name) for name in metrics.get("models") or {}]
    seen = tables.held_out(metrics)
    compared = [pair for pair in tables.pairs(metrics) if pair.partition(":")[2] not in {*seen, "data"}]
    if not models or not compared:
        return []
    plain = plain or tables.plain_model(metrics)
    main = compared[0]
    source, _, other = main.partition(":")
    thirds = [pair for pair in tables.pairs(metrics) if pair.partition(":")[2] in seen]
    sentences = [_conclusion(metrics, model, plain, main, thirds) for model in models if model != plain]
    if not thirds:
        sentences.append(
            "No third domain was evaluated: whether a bias fell or only the apparent "
            f"{source}–{other} difference cannot be told; do not quote it as a systematic uncertainty."
        )
    return [sentence for sentence in sentences if sentence]


def _conclusion(metrics: Mapping[str, Any], model: str, plain: str, main: str, thirds: Sequence[str]) -> str:
    def read(name: str, pair: str) -> tuple[float | None, float | None]:
        result = metrics["models"][name].get("bias", {}) or {}
        return Quantity.read(result.get(pair), "ks").value, tables.null_of(result.get(pair)).value

    (ks, null), (before, plain_null) = read(model, main), read(plain, main)
    source, _, other = main.partition(":")
    if ks is None or before is None or before <= 0:
        return ""
    inside = ", inside the same-generator null" if null is not None and ks <= null else ""
    apparent = f"apparent {source}–{other} difference"
    text = f"{model}: the {apparent} (KS) is {ks:.3f}{inside}, against {before:.3f} for {plain}."
    if plain_null is not None and before <= plain_null:
        return f"{text} That of {plain} lies inside the null: these samples are too small to show any."
    if ks / before > FELL:  # nothing fell that a third domain could confirm
        return text
    for pair in thirds:
        third = pair.partition(":")[2]
        (now, _), (then, then_null) = read(model, pair), read(plain, pair)
        if now is None or then is None or then <= 0:
            continue
        text += f" To {third}, which no training saw, it is {now:.3f} against {then:.3f}: "
        if then_null is not None and then <= then_null:
            text += f"{plain} shows no difference there, so {third} cannot judge."
        elif now / then <= FELL:
            text += "it agrees that the bias fell."
        elif now / then > 1 / 1.1:
            text += f"WARNING: the {apparent} fell, the one to {third} did not."
        else:
            text += "it fell less; the bias may have."
    return text


def console_table(metrics: Mapping[str, Any]) -> RichTable:
    """The summary for the terminal: AUC a domain, bias, efficiency shift, significance; models down."""
    summary = tables.summary_table(metrics, most_points=1)
    head = [f"{name} [%]" if name.startswith("Shift") else name for name in summary.head]
    drawn = RichTable(
        title=str(metrics.get("name") or ""),
        caption=summary.note or None,
        box=box.SIMPLE_HEAD,
        padding=0,
        pad_edge=False,
    )
    for index, heading in enumerate(head):
        # A number is never cut, whatever the width of the terminal; headings break between words.
        widest = max(len(text) for text in [*(row[index].short for row in summary.rows), *heading.split()])
        drawn.add_column(
            Text(heading),
            justify="right" if index else "left",
            overflow="fold",
            min_width=widest if index else None,
        )
    for name, *row in summary.rows:
        drawn.add_row(Text(name.text), *(Text(cell.short) for cell in row))
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
