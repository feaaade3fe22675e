"""The report of a run: metrics and figures in the order of a reader's questions.

`report.html` is self-contained: its figures are inside it, it loads nothing (a content security policy forbids it), and
every text that comes from the analysis file is escaped. Its tables can be sorted, copied and saved as CSV; its figures
can be enlarged, and have links to their files. It reads on a phone and in the dark, and prints.
"""

from __future__ import annotations

import base64
import json
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import jinja2

from hepda.number_format import Table
from hepda.plotting.base.files import write_atomically
from hepda.report.nulls import nulls
from hepda.report.sounds import ReportSound

# The sections of the page, in order: key (figures name it), word in the navigation, heading.
SECTIONS = {
    "summary": ("Results", "Results"),
    "samples": ("Samples", "Models and samples"),
    "inputs": ("Inputs", "Modelling of the inputs"),
    "separation": ("Separation", "Separation of signal and background"),
    "regression": ("Numbers", "Predicted numbers"),
    "domains": ("Domains", "Differences between the domains"),
    "adaptation": ("Adaptation", "Effect of the adaptation"),
    "significance": ("Significance", "Expected significance"),
    "fit": ("Fit", "Fit of the signal strength"),
    "guards": ("Checks", "Caveats and checks"),
    "training": ("Training", "Course of the training"),
    "missing": ("Missing", "Missing numbers and figures"),
    "details": ("Details", "Configuration and provenance"),
}
GLOSSARY = {
    "Domain": "Events of one origin: a generator, a detector simulation, data, or a set of recordings or images.",
    "Nominal domain": "The domain whose labelled events the models learn from; the others are compared with it. Also: "
    "source.",
    "Held-out (unseen) domain": "A domain that no training has seen. It tests whether an adaptation reduces the bias "
    "or only the difference between the domains of the training.",
    "Baseline": "The model without adaptation with which the others are compared.",
    "Adaptation": "A term of the loss (or a reweighting) that makes the domains look alike to the model.",
    "Strength": "The factor of the adaptation in the loss; 0 is a model without adaptation.",
    "Shift": "Relative change of an efficiency from the nominal domain to another one, at the same cut.",
    "Apparent difference": "The difference between the domains that the adaptation compares. It can decrease although "
    "the bias does not.",
    "Null": "What two samples of one domain would give: a smaller difference is no evidence of a difference.",
    "Probe": "A classifier of the domains that is trained afterwards, on the inputs, the embedding or the score. AUC "
    "0.5: it finds no difference.",
    "Embedding": "The output of the last layer that is shared by the class head and the domain head.",
    "Working point": "A cut on the score that keeps a given share of the signal of the nominal domain.",
}
"""Words and their meaning; the page shows those that it uses, folded."""
_FORMS = {"Held-out (unseen) domain": ("held-out", "held out", "unseen"), "Apparent difference": ("apparent",)}
"""How a word of the glossary is written on the page, if not as in the glossary."""
WIDE = 900  # pixels: a figure wider than that has the width of the page
MANY = 6  # small figures of one section beyond which they are folded away
FIRST = 3  # except these, if no wide figure gives an overview of them


class ReportFigure(NamedTuple):
    """A figure of the page: its section (a key of SECTIONS), its texts, and a PNG (path or bytes)."""

    section: str
    title: str
    caption: str
    image: Path | str | bytes


@dataclass(frozen=True, slots=True)
class Undrawn:
    """The figures that were not asked for: the titles by section, and the command that draws them.

    under_way: some of them are drawn next, and the page is then written again.
    """

    titles: Mapping[str, Sequence[str]]
    command: str
    under_way: bool = False

    @property
    def count(self) -> int:
        """Return their number."""
        return sum(map(len, self.titles.values()))


@dataclass(frozen=True, slots=True)
class _Picture:
    title: str
    caption: str
    data: str
    width: int
    height: int
    png: str = ""
    pdf: str = ""

    @property
    def wide(self) -> bool:
        return self.width > WIDE


class _Player(NamedTuple):
    title: str
    about: str
    data: str


@dataclass(frozen=True, slots=True)
class ReportPage:
    """The content of a report.

    Attributes:
        numbers: what metrics.json has; its nulls are listed, and all of it is shown folded.
        figures: (section, title, caption, PNG path or bytes), sections as in SECTIONS, shown in the order given.
        sounds: WAV files with their places, sections as in SECTIONS.
        undrawn: figures that the page names instead.
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
    sounds: Sequence[ReportSound] = ()
    undrawn: Undrawn = field(default_factory=lambda: Undrawn({}, ""))
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
    pictures = _by_section(content.figures, path.parent)
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
        players=_players(content.sounds),
        glossary=_glossary(content, pictures),
        undrawn=content.undrawn,
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


def _glossary(content: ReportPage, pictures: Mapping[str, Sequence[_Picture]]) -> dict[str, str]:
    """Return the words of the glossary that stand in the sentences, tables and captions of the page."""
    texts = [*content.conclusions, *content.warnings, *content.diagnostics, *content.notes]
    texts += [text for of_section in pictures.values() for p in of_section for text in (p.title, p.caption)]
    for tables in content.tables.values():
        texts += [text for t in tables if t.has_values for text in (t.title, t.note, *t.filled.head)]
    page = "\n".join(texts).lower()
    return {word: text for word, text in GLOSSARY.items() if any(f in page for f in _FORMS.get(word, (word.lower(),)))}


def _by_section(figures: Iterable[tuple[str, str, str, Path | str | bytes]], folder: Path) -> dict[str, list[_Picture]]:
    """Return the figures of each section, read and encoded. Raises ValueError for a section that the page has not."""
    pictures: dict[str, list[_Picture]] = {key: [] for key in SECTIONS}
    for section, title, caption, image in figures:
        if section not in SECTIONS:
            raise ValueError(f"figure {title!r} has the section {section!r}; there are {list(SECTIONS)}")
        pictures[section].append(_picture(title, caption, image, folder))
    return pictures


def _players(sounds: Iterable[ReportSound]) -> dict[str, dict[str, list[_Player]]]:
    """Return the sounds by section and group, read and encoded; a file that is missing is left out."""
    players: dict[str, dict[str, list[_Player]]] = {}
    for sound in sounds:
        if sound.file.is_file():
            data = base64.b64encode(sound.file.read_bytes()).decode("ascii")
            player = _Player(sound.title, sound.about, data)
            players.setdefault(sound.section, {}).setdefault(sound.group, []).append(player)
    return players


def _picture(title: str, caption: str, image: Path | str | bytes, folder: Path) -> _Picture:
    """Return a figure with its content, and links from the page in `folder` to the files that it is also in."""
    content = image if isinstance(image, bytes) else Path(image).read_bytes()
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ValueError(f"the image of figure {title!r} is no PNG")
    width, height = struct.unpack(">II", content[16:24])
    links = ["", ""]
    if not isinstance(image, bytes):
        files = [Path(image), Path(image).with_suffix(".pdf")]
        links = [quote(Path(os.path.relpath(file, folder)).as_posix()) if file.is_file() else "" for file in files]
    return _Picture(title, caption, base64.b64encode(content).decode("ascii"), width, height, *links)


def _facts(numbers: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the line under the title: luminosity, seed, version, commit, as far as they are known.

    Each has a name, a text, and the whole text if that is shortened.
    """
    versions = manifest.get("versions")
    facts = [
        ("Luminosity", f"{numbers['luminosity']:g} fb⁻¹" if numbers.get("luminosity") is not None else None),
        ("Seed", numbers.get("seed")),
        ("hepda", versions.get("hepda") if isinstance(versions, Mapping) else None),
        ("Commit", manifest.get("git_commit") or manifest.get("commit")),
        ("Written", manifest.get("time") or manifest.get("date")),
    ]
    known = [(name, str(value)) for name, value in facts if value is not None]
    return [(name, _brief(name, value), value) for name, value in known]


def _brief(name: str, value: str) -> str:
    """Return a commit by its first digits, and a time to the minute."""
    if name == "Commit":
        return value[:10] + ("+" if value.endswith("+") else "")
    if name == "Written":
        with suppress(ValueError):
            return datetime.fromisoformat(value).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return value[:40]


def _json(content: object) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, default=str)
