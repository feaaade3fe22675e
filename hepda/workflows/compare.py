"""Several runs on one page: all their models in the same tables, and what differs in what they were made from."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hepda.config import load_any
from hepda.config.differences import ABSENT, differences
from hepda.errors import ConfigError
from hepda.kinds import FinishedRun, RunComparison, kind_of
from hepda.number_format import Cell, Table
from hepda.report.drawing import NotDrawn, attempt
from hepda.report.page import ReportFigure, ReportPage, write_report
from hepda.results.metrics import RunMetrics
from hepda.runtime import exchange, run_directory
from hepda.runtime.plots import Plots
from hepda.runtime.terminal import NumberTable

BETWEEN = " · "
"""Separator between the names of a model and of its run."""
FEW = 20
"""Up to this number of keys that differ, their table is in the section of the samples, else in the details."""
_LONGEST = 100
"""Number of characters of the names of runs in the name of a page, from which on it is cut."""
Runs = Sequence[FinishedRun[Any]]


@dataclass(slots=True)
class ComparisonOutcome:
    """The page, the table for the terminal, and the warnings that both show."""

    report: Path
    table: NumberTable
    warnings: list[str] = field(default_factory=list)


def compare(folders: Sequence[Path], output: Path | None = None, plots: Plots = Plots.FEW) -> ComparisonOutcome:
    """Write the page of these runs to `output`.

    Args:
        folders: the run directories.
        output: the page; None: that of `default_page`.
        plots: `none` leaves out its figure; `all` writes it next to the page too, as PNG and PDF.

    Raises:
        ConfigError: fewer than two runs, one named twice, a folder that is not a finished run, or runs of different
            kinds of data.

    """
    runs = read_runs(folders)
    kind = runs[0].kind
    output = output or default_page(runs)
    run_directory.check_writable(output.parent, "--output")
    metrics = merged(runs)
    compared = kind.comparison(runs, metrics)
    warnings = difference_sentences(runs)
    figures: list[ReportFigure] = []
    if plots is not Plots.NONE:
        files = output.with_suffix("") if plots is Plots.ALL else None
        figure = attempt("summary", compared.title, lambda: _figure(runs, compared, files))
        if isinstance(figure, NotDrawn):
            warnings.append(f"no figure: {figure.why}")
        else:
            figures.append(figure)
    keys = config_table(runs)
    section = "samples" if len(keys.rows) <= FEW else "details"
    page = write_report(
        output,
        ReportPage(
            metrics.to_json(),
            figures,
            tables=compared.tables | {section: [*compared.tables.get(section, []), keys]},
            conclusions=[  # without their evidence, which is in the tables
                f"{run.name}: {text.splitlines()[0]}" for run in runs for text in run.kind.conclusions(run.metrics)
            ],
            warnings=warnings,
            diagnostics=metrics.diagnostics,
            sections=kind.sections,
        ),
    )
    return ComparisonOutcome(page, kind.terminal(metrics), warnings)


def default_page(runs: Runs) -> Path:
    """Return the page of these runs if none is named: beside the first run, with the names of all of them.

    The same runs have the same page again, and other runs leave it as it is: `runs/compare-tth-tth_strong.html`.
    """
    names = "-".join(re.sub(r"[^\w.-]", "_", run.name) for run in runs)
    if len(names) > _LONGEST:  # a name of a file has at most 255 bytes
        names = f"{names[:_LONGEST]}-{zlib.crc32(names.encode()):08x}"
    return runs[0].folder.resolve().parent / f"compare-{names}.html"


def read_runs(folders: Sequence[Path]) -> list[FinishedRun[Any]]:
    """Return the runs of these folders, by the shortest names that differ. Raises ConfigError as `compare`."""
    paths = [folder.resolve() for folder in folders]
    if len(paths) < 2:
        raise ConfigError("a comparison needs two runs or more; name their folders.")
    for path in paths:
        if paths.count(path) > 1:
            raise ConfigError(f"{path} is given twice; a run cannot be compared with itself.")
    kinds: dict[str, Path] = {}
    runs = []
    for name, folder in zip(_names(paths), folders, strict=True):
        runs.append(_read(name, folder, kinds))
    for run in runs:
        _check_shape(run)
    return runs


def _read(name: str, folder: Path, kinds: dict[str, Path]) -> FinishedRun[Any]:
    """Read a run; `kinds` has the kinds of data of the runs before, each with its first folder."""
    exchange.settle(folder, "compare")
    content, manifest = (run_directory.read_json(folder / f"{file}.json") for file in ("metrics", "manifest"))
    for file, document, key in (("metrics", content, "models"), ("manifest", manifest, "files")):
        if not isinstance(document, dict) or key not in document:
            raise ConfigError(f"{folder / file}.json was not written by `hepda train`; name a run directory.")
    run_directory.check_format(folder, manifest)
    config = load_any(folder / "config.yaml")
    kind = kind_of(config)
    kinds.setdefault(config.kind, folder)
    if len(kinds) > 1:
        each = ", ".join(f"{path} is of {kind_name}" for kind_name, path in kinds.items())
        raise ConfigError(f"{each}: runs of different kinds of data share no number; compare those of one kind.")
    with run_directory.readable(folder / "metrics.json"):
        metrics = kind.metrics_type.from_json(content)
    return FinishedRun(name, folder, metrics, manifest, config.model_dump(mode="json", by_alias=True), kind)


def _check_shape(run: FinishedRun[Any]) -> None:
    """Raise ConfigError for a run whose files do not have what the page reads of them: all of it is read here once."""
    with run_directory.readable(run.folder / "metrics.json"):
        run.kind.conclusions(run.metrics)
        run.kind.terminal(run.metrics)
    with run_directory.readable(run.folder / "manifest.json"):
        if not isinstance(run.manifest.get("versions", {}), dict):
            raise TypeError("`versions` are not those of packages")
        run.kind.file_differences(run, run)
        run.kind.comparison([run], merged([run]))


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the last parts of the paths, as few as make them differ."""
    deepest = max(len(path.parts) for path in paths)
    for count in range(1, deepest + 1):
        names = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def merged(runs: Runs) -> RunMetrics:
    """Return all models of all runs as the numbers of one run, the same model of different runs one after the other."""
    contents = {run.name: run.metrics.to_json() for run in runs}
    names = list(dict.fromkeys(model for content in contents.values() for model in content["models"]))
    models: dict[str, Any] = {}
    for model in names:
        for run, content in contents.items():
            if model in content["models"]:
                entry = content["models"][model]
                title = {"title": f"{entry['title']}{BETWEEN}{run}"} if "title" in entry else {}
                models[f"{model}{BETWEEN}{run}"] = {**entry, **title}
    combined: dict[str, Any] = {"name": " against ".join(contents)}
    samples = _merged_samples({run: content.get("samples", {}) for run, content in contents.items()})
    if samples:
        combined["samples"] = samples
    combined["models"] = models
    if all("quoted" in content for content in contents.values()):  # conditions of speech
        combined["quoted"] = list(dict.fromkeys(key for content in contents.values() for key in content["quoted"]))
    if all("metrics" in content for content in contents.values()):  # measures of enhanced speech or of frames
        first, *others = (content["metrics"] for content in contents.values())
        combined["metrics"] = [metric for metric in first if all(metric in measured for measured in others)]
    for key in ("seed", "luminosity"):
        values = [content.get(key) for content in contents.values()]
        if values[0] is not None and all(value == values[0] for value in values):
            combined[key] = values[0]
    metrics: RunMetrics = runs[0].kind.metrics_type.from_json(combined)
    return metrics


def _merged_samples(samples: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the samples of all runs by name, those that differ once for each run.

    Numbers that are not of a sample with a name, such as of the images of a generator, are those of all runs or none.
    """
    if any(not isinstance(entry, dict) for of_run in samples.values() for entry in of_run.values()):
        first, *others = samples.values()
        return dict(first) if all(of_run == first for of_run in others) else {}
    merged_samples: dict[str, Any] = {}
    for run, of_run in samples.items():
        for name, entry in of_run.items():
            if name not in merged_samples:
                merged_samples[name] = entry
            elif merged_samples[name] != entry:
                merged_samples[f"{name}{BETWEEN}{run}"] = entry
    return merged_samples


# --- what differs -------------------------------------------------------------------------------------------------


def difference_sentences(runs: Runs) -> list[str]:
    """Return how each run differs from the first one, a sentence each: luminosity, seed, files, versions, config."""
    first = runs[0]
    sentences = []
    for run in runs[1:]:
        pair = f"{run.name} against {first.name}"
        for key, unit in (("luminosity", " fb⁻¹"), ("seed", "")):
            before, now = first.config.get(key), run.config.get(key)
            if before != now:
                sentences.append(f"{pair}: another {key}, {now}{unit} instead of {before}{unit}.")
        sentences += [f"{pair}: {text}" for text in run.kind.file_differences(first, run)]
        keys = _key_differences(first, run)
        if keys:
            shown = ", ".join(keys[:6]) + (f" and {len(keys) - 6} more" if len(keys) > 6 else "")
            sentences.append(f"{pair}: the configs differ in {shown}.")
        before, now = (r.manifest.get("versions", {}).get("hepda") for r in (first, run))
        if before != now:
            sentences.append(f"{pair}: made by hepda {now} instead of {before}.")
    return sentences


def _key_differences(first: FinishedRun[Any], run: FinishedRun[Any]) -> list[str]:
    """Return the dotted keys of the config that differ, without those that have a sentence or change no number."""
    return [
        d.key
        for d in differences(first.config, run.config)
        if d.key not in ("luminosity", "seed", "name") and not d.key.endswith((".files", ".processes"))
    ]


def config_table(runs: Runs) -> Table:
    """Return every key at which a config differs from the first: a row a key, a column a run."""
    by_key: dict[str, list[Any]] = {}
    for number, run in enumerate(runs[1:], start=1):
        for key, before, now in differences(runs[0].config, run.config):
            by_key.setdefault(key, [before] * len(runs))[number] = now
    rows = [[Cell(key, key), *(_word(value) for value in values)] for key, values in by_key.items()]
    return Table("Differences between the configs", ["Key", *(run.name for run in runs)], rows)


def _word(value: Any, most: int = 60) -> Cell:
    text = ABSENT if value == ABSENT else json.dumps(value, ensure_ascii=False)
    return Cell(text if len(text) <= most else f"{text[: most - 1]}…", text, text)


def _figure(runs: Runs, compared: RunComparison, files: Path | None) -> ReportFigure:
    """Return the figure of all runs, written as PNG and PDF too if `files` is their path without suffix.

    Raises:
        DataError: the runs share no number.

    """
    from hepda.plotting.base.style import Label, png, save
    from hepda.plotting.comparison import comparison_figure

    models = list(dict.fromkeys(model for run in runs for model in run.metrics.models))
    label = None
    if compared.with_luminosity:
        luminosities = {run.metrics.luminosity for run in runs}
        label = Label("Simulation", luminosity=next(iter(luminosities)) if len(luminosities) == 1 else None)
    figure = comparison_figure(compared.panels, models, [run.name for run in runs], label=label)
    if files is not None:
        return ReportFigure("summary", compared.title, compared.caption, save(figure, files.parent, files.name)[0])
    return ReportFigure("summary", compared.title, compared.caption, png(figure))
