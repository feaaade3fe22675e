"""Several runs on one page: all their models in the same tables, and what differs in what they were made from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepda.config import load_any
from hepda.config.differences import ABSENT, differences
from hepda.errors import ConfigError
from hepda.events.results.tables import nulls
from hepda.kinds import Kind, kind_of
from hepda.number_format import Cell, Quantity, Table
from hepda.report.page import ReportFigure, attempt, sorted_out, write_report
from hepda.report.reading import training_table
from hepda.runtime import exchange, run_directory
from hepda.runtime.terminal import NumberTable

if TYPE_CHECKING:
    from hepda.plotting.comparison import ComparisonPanel

BETWEEN = " · "
"""Stands between a model and its run."""
FEW = 20
"""Keys that differ, up to which they stand with the samples and not among the details."""
SHIFT_AT = ("0.2", "0.3", "0.1", "0.5")
"""Signal efficiencies at which the shift is drawn: the first that every run has."""


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A finished run: its folder, what it measured, what it read, its resolved config and its kind of data."""

    name: str
    folder: Path
    metrics: Mapping[str, Any]
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]
    kind: Kind


@dataclass(slots=True)
class ComparisonOutcome:
    """The page, the table for the terminal, and the warnings that both show."""

    report: Path
    table: NumberTable
    warnings: list[str] = field(default_factory=list)


def compare(folders: Sequence[Path], output: Path) -> ComparisonOutcome:
    """Write the page of these runs to `output`.

    Raises:
        ConfigError: fewer than two runs, one named twice, a folder that is not a finished run, or runs of different
            kinds of data.

    """
    runs = read_runs(folders)
    kind = runs[0].kind
    run_directory.check_writable(output.parent, "--output")
    metrics = merged(runs)
    warnings = told_differences(runs)
    keys = config_table(runs)
    figures, failed = sorted_out([attempt("summary", "All runs side by side", lambda: _figure(runs))])
    warnings += [f"no figure: {one.why}" for one in failed]
    few, many = ([keys], []) if len(keys.rows) <= FEW else ([], [keys])
    if kind.own_tables:
        tables = {"summary": [kind.headline_table(metrics)], "samples": few, "training": [training_table(metrics)]}
    else:
        tables = kind.tables(metrics)
        tables["samples"] += [files_table(runs), *few]
    page = write_report(
        output,
        metrics,
        figures,
        tables=tables | {"details": many},
        conclusions=[f"{run.name}: {text}" for run in runs for text in run.kind.conclusions(run.metrics)],
        warnings=warnings,
        sections=kind.sections,
    )
    return ComparisonOutcome(page, kind.terminal(metrics), warnings)


def read_runs(folders: Sequence[Path]) -> list[FinishedRun]:
    """Return the runs of these folders, by the shortest names that tell them apart. Raises ConfigError as `compare`."""
    places = [folder.resolve() for folder in folders]
    if len(places) < 2:
        raise ConfigError("a comparison needs two runs or more; name their folders.")
    for place in places:
        if places.count(place) > 1:
            raise ConfigError(f"{place} is named twice; a run cannot be compared with itself.")
    runs = [_read(name, folder) for name, folder in zip(_names(places), folders, strict=True)]
    for run in runs[1:]:
        if run.config["kind"] != runs[0].config["kind"]:
            kinds = f"{runs[0].folder} is of {runs[0].config['kind']}, {run.folder} of {run.config['kind']}"
            raise ConfigError(f"{kinds}: runs of different kinds of data share no number; compare those of one kind.")
    for run in runs:
        _check_shape(run)
    return runs


def _read(name: str, folder: Path) -> FinishedRun:
    exchange.settle(folder, "compare")
    metrics, manifest = (run_directory.read_json(folder / f"{file}.json") for file in ("metrics", "manifest"))
    for file, content, key in (("metrics", metrics, "models"), ("manifest", manifest, "files")):
        if not isinstance(content, dict) or key not in content:
            raise ConfigError(f"{folder / file}.json was not written by `hepda train`; name a run directory.")
    config = load_any(folder / "config.yaml")
    return FinishedRun(name, folder, metrics, manifest, config.model_dump(mode="json", by_alias=True), kind_of(config))


def _check_shape(run: FinishedRun) -> None:
    """Raise ConfigError for a run whose files do not have what the page reads of them: all of it is read here once."""
    with run_directory.readable(run.folder / "metrics.json"):
        metrics = merged([run])
        if not all(isinstance(entry, dict) for entry in run.metrics["models"].values()):
            raise TypeError("an entry of `models` is not that of a model")
        run.kind.conclusions(run.metrics)
        nulls(metrics)
        run.kind.terminal(run.metrics)
        if run.kind.own_tables:
            _own_panels([run])
        else:
            run.kind.tables(metrics)
            _event_panels([run], list(run.metrics["models"]))
    with run_directory.readable(run.folder / "manifest.json"):
        if not isinstance(run.manifest.get("versions", {}), dict):
            raise TypeError("`versions` are not those of packages")
        if not run.kind.own_tables:
            _files(run)
            files_table([run])
        elif not isinstance(run.manifest["files"], dict):
            raise TypeError("`files` are not those of this kind of data")


def _names(places: Sequence[Path]) -> list[str]:
    """Return the last parts of the paths, as few as tell them apart."""
    deepest = max(len(place.parts) for place in places)
    for count in range(1, deepest + 1):
        names = ["/".join(place.parts[-count:]) for place in places]
        if len(set(names)) == len(names):
            return names
    return [str(place) for place in places]


def merged(runs: Sequence[FinishedRun]) -> dict[str, Any]:
    """All models of all runs in the shape of metrics.json, the same model of different runs side by side."""
    names = list(dict.fromkeys(model for run in runs for model in run.metrics["models"]))
    models = {
        f"{model}{BETWEEN}{run.name}": _titled(run.metrics["models"][model], run.name)
        for model in names
        for run in runs
        if model in run.metrics["models"]
    }
    samples: dict[str, Any] = {}
    for run in runs:
        for name, entry in (run.metrics.get("samples") or {}).items():
            if name not in samples:
                samples[name] = entry
            elif samples[name] != entry:
                samples[f"{name}{BETWEEN}{run.name}"] = entry
    found: dict[str, Any] = {"name": " against ".join(run.name for run in runs), "samples": samples, "models": models}
    if all("quoted" in run.metrics for run in runs):  # conditions of speech
        found["quoted"] = list(dict.fromkeys(key for run in runs for key in run.metrics["quoted"]))
    for key in ("seed", "luminosity"):
        values = [run.metrics.get(key) for run in runs]
        if all(value == values[0] for value in values):
            found[key] = values[0]
    return found


def _titled(entry: Mapping[str, Any], run: str) -> Mapping[str, Any]:
    """Return a model's entry; the name that it shows, if it has one of its own, with the run."""
    return {**entry, "title": f"{entry['title']}{BETWEEN}{run}"} if "title" in entry else entry


# --- what differs -------------------------------------------------------------------------------------------------


def told_differences(runs: Sequence[FinishedRun]) -> list[str]:
    """In words, each run against the first: luminosity, seed, input files, versions, and other keys of the config."""
    first = runs[0]
    said = []
    for run in runs[1:]:
        pair = f"{run.name} against {first.name}"
        for key, unit in (("luminosity", " fb⁻¹"), ("seed", "")):
            one, two = first.config.get(key), run.config.get(key)
            if one != two:
                said.append(f"{pair}: another {key}, {two}{unit} instead of {one}{unit}.")
        said += [f"{pair}: {text}" for text in _file_differences(first, run)]
        keys = _key_differences(first, run)
        if keys:
            shown = ", ".join(keys[:6]) + (f" and {len(keys) - 6} more" if len(keys) > 6 else "")
            said.append(f"{pair}: the configs differ in {shown}.")
        one, two = (r.manifest.get("versions", {}).get("hepda") for r in (first, run))
        if one != two:
            said.append(f"{pair}: made by hepda {two} instead of {one}.")
    return said


def _key_differences(first: FinishedRun, run: FinishedRun) -> list[str]:
    """Dotted keys of the config that differ, without what is told on its own or cannot change a number."""
    found = differences(first.config, run.config)
    return [
        d.key
        for d in found
        if d.key not in ("luminosity", "seed", "name") and not d.key.endswith((".files", ".processes"))
    ]


def _files(run: FinishedRun) -> dict[str, list[tuple[str, Any, Any, Any]]]:
    """By sample: name, bytes, entries and sum of weights of each file that was read."""
    found: dict[str, list[tuple[str, Any, Any, Any]]] = {}
    for file in run.manifest["files"]:
        told = (Path(str(file.get("path"))).name, file.get("bytes"), file.get("entries"), file.get("sumw"))
        found.setdefault(str(file.get("sample")), []).append(told)
    return {sample: sorted(files, key=str) for sample, files in found.items()}


def _file_differences(first: FinishedRun, run: FinishedRun) -> list[str]:
    if first.kind.own_tables:
        parts = [part for part, files in first.manifest["files"].items() if run.manifest["files"].get(part) != files]
        return [f"{part.replace('_', ' ')}: read from other files." for part in parts]
    one, two = _files(first), _files(run)
    said = []
    for alone, name in (([s for s in one if s not in two], first.name), ([s for s in two if s not in one], run.name)):
        if alone:
            said.append(f"read by {name} alone: {', '.join(alone)}.")
    for sample in [sample for sample in one if sample in two]:
        names = [[file[0] for file in files[sample]] for files in (one, two)]
        contents = [[file[1:3] for file in files[sample]] for files in (one, two)]
        weights = [[file[3] for file in files[sample]] for files in (one, two)]
        if names[0] != names[1]:
            said.append(f"{sample} is read from other files, {_listed(names[1])} instead of {_listed(names[0])}.")
        elif contents[0] != contents[1]:
            said.append(f"{sample}: files of the same name with other content.")
        elif weights[0] != weights[1] and first.config.get("luminosity") == run.config.get("luminosity"):
            said.append(f"{sample}: the same files, with other events selected or weighted otherwise.")
    return said


def _listed(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def config_table(runs: Sequence[FinishedRun]) -> Table:
    """Every key at which a config differs from the first: a row a key, a column a run."""
    found: dict[str, list[Any]] = {}
    for number, run in enumerate(runs[1:], start=1):
        for key, one, two in differences(runs[0].config, run.config):
            found.setdefault(key, [one] * len(runs))[number] = two
    rows = [[Cell(key, key), *(_word(value) for value in values)] for key, values in found.items()]
    return Table("Where the configs differ", ["Key", *(run.name for run in runs)], rows)


def _word(value: Any, most: int = 60) -> Cell:
    text = ABSENT if value == ABSENT else json.dumps(value, ensure_ascii=False)
    return Cell(text if len(text) <= most else f"{text[: most - 1]}…", text, text)


def files_table(runs: Sequence[FinishedRun]) -> Table:
    """Return the events that each run read and selected: a row a sample, a column a run."""
    samples = list(dict.fromkeys(str(file["sample"]) for run in runs for file in run.manifest["files"]))
    rows = []
    for sample in samples:
        row = [Cell(sample, sample)]
        for run in runs:
            own = [file for file in run.manifest["files"] if file["sample"] == sample]
            for key in ("entries", "selected"):
                row.append(
                    Quantity(float(sum(file[key] for file in own)) if own else None, present=bool(own)).cell(digits=12)
                )
        rows.append(row)
    head = ["Sample", *(f"{word}, {run.name}" for run in runs for word in ("Entries", "Selected"))]
    return Table("Events read and selected", head, rows)


# --- the figure ---------------------------------------------------------------------------------------------------


def _figure(runs: Sequence[FinishedRun]) -> ReportFigure:
    """All runs side by side. Raises DataError where they share no number."""
    from hepda.plotting.base.style import Label, png
    from hepda.plotting.comparison import comparison_figure

    models = list(dict.fromkeys(model for run in runs for model in run.metrics["models"]))
    if runs[0].kind.own_tables:
        drawn = comparison_figure([_own_panels(runs)], models, [run.name for run in runs])
        caption = "Every model in every run, with the intervals of the tables."
        return ReportFigure("summary", "All runs side by side", caption, png(drawn))
    luminosities = {run.metrics.get("luminosity") for run in runs}
    label = Label("Simulation", luminosity=next(iter(luminosities)) if len(luminosities) == 1 else None)
    drawn = comparison_figure(_event_panels(runs, models), models, [run.name for run in runs], label=label)
    caption = (
        "Separation and bias of every model in every run, with 68 % intervals where the runs have them. A bar before "
        "a KS is what two samples of one generator show in 95 % of cases. Shifts: of the efficiency, relative."
    )
    return ReportFigure("summary", "Separation and bias of all runs", caption, png(drawn))


def _own_panels(runs: Sequence[FinishedRun]) -> list[ComparisonPanel]:
    """Return a panel for each headline metric of the kind of data."""
    found: dict[str, dict[tuple[str, str], Any]] = {}
    for run in runs:
        for name, by_model in run.kind.headline_metrics(run.metrics).items():
            holders = found.setdefault(name, {})
            holders |= {(model, run.name): {name: entry} for model, entry in by_model.items()}
    return [_panel(name, holders, name) for name, holders in found.items()]


def _event_panels(runs: Sequence[FinishedRun], models: Sequence[str]) -> list[list[ComparisonPanel]]:
    """Rows of panels: separation by domain, KS and shift by pair of domains."""
    entries = {(model, run.name): run.metrics["models"][model]
               for run in runs for model in models if model in run.metrics["models"]}  # fmt: skip
    domains = _keys(entry.get("auc") for entry in entries.values())
    pairs = _keys(entry.get("bias") for entry in entries.values())
    bias = {pair: {place: (entry.get("bias") or {}).get(pair) for place, entry in entries.items()} for pair in pairs}
    at = _shift_point(bias)
    shifts = {pair: {place: _with_errors(result) for place, result in found.items()} for pair, found in bias.items()}
    return [
        [_panel(f"AUC ({d})", {place: entry.get("auc") for place, entry in entries.items()}, d) for d in domains],
        [_panel(f"KS to {pair.partition(':')[2]}", bias[pair], "ks") for pair in pairs],
        [_panel(f"Shift at {100 * float(at):g} %, {pair.partition(':')[2]} [%]", shifts[pair], at, 100.0, line=0.0)
         for pair in pairs if at],
    ]  # fmt: skip


def _panel(
    name: str, holders: Mapping[tuple[str, str], Any], key: str, factor: float = 1.0, **more: Any
) -> ComparisonPanel:
    """Return the number `key` of every (model, run) that has one."""
    from hepda.plotting.comparison import ComparisonPanel, Measurement

    values = {}
    for place, holder in holders.items():
        found = Quantity.read(holder, key).scaled(factor)
        null = Quantity.read(holder, "ks_null").value if key == "ks" else None
        if found.value is not None:
            values[place] = Measurement(found.value, found.low, found.high, null)
    return ComparisonPanel(name, values, **more)


def _keys(holders: Any) -> list[str]:
    found = (key for holder in holders if isinstance(holder, Mapping) for key in holder)
    return [key for key in dict.fromkeys(found) if key != "why" and not key.endswith("_why")]


def _shift_point(bias: Mapping[str, Mapping[Any, Any]]) -> str:
    """Return the signal efficiency at which every result has a shift; "" if there is none."""
    results = [result for found in bias.values() for result in found.values() if isinstance(result, Mapping)]
    return next((p for p in SHIFT_AT if results and all(p in (r.get("efficiency_shift") or {}) for r in results)), "")


def _with_errors(result: object) -> dict[str, Any] | None:
    """Shifts of a result by signal efficiency, each with its error."""
    if not isinstance(result, Mapping):
        return None
    errors = result.get("efficiency_shift_error") or {}
    return {p: {"value": v, "error": errors.get(p)} for p, v in (result.get("efficiency_shift") or {}).items()}
