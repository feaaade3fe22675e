"""Several runs of events together: tables, the events that each run read, and the panels of a figure."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from hepda.config.differences import differences
from hepda.events.results.tables.cells import keys_of, quantity
from hepda.events.results.tables.fit_seeds import seeds_tables
from hepda.events.results.tables.sections import section_tables
from hepda.kinds import FinishedRun, RunComparison
from hepda.number_format import Cell, Quantity, Table, number
from hepda.plotting.comparison import ComparisonPanel, Measurement
from hepda.results.events import BiasEntry, EventMetrics, EventModel
from hepda.results.fit_file import FitFile
from hepda.results.record import quantity_in, quantity_of
from hepda.runtime import run_directory

log = logging.getLogger(__name__)
SHIFT_AT = ("0.2", "0.3", "0.1", "0.5")
"""Signal efficiencies at which the shift is drawn: the first that every run has."""
Place = tuple[str, str]
"""Names of a model and of its run."""


class ComparedFile(NamedTuple):
    """A file that a run read: its name, and numbers that differ for other content."""

    name: str
    bytes: Any
    entries: Any
    sumw: Any


def comparison(runs: Sequence[FinishedRun[EventMetrics]], merged: EventMetrics) -> RunComparison:
    """Return the tables of all models of all runs, and the panels of separation and bias."""
    tables = section_tables(merged)
    tables["samples"].append(files_table(runs))
    tables["summary"].append(changes_table(runs))
    if fits := fits_over_seeds(runs):
        tables["fit"] = [*tables.get("fit", []), *seeds_tables(fits, runs[0].metrics.baseline_model)]
    caption = (
        "Separation and bias of every model in every run, with 68 % intervals if available. Bars at KS distances: 95 "
        "% quantile for two samples of one generator. Shift: relative change of the efficiency."
    )
    return RunComparison(tables, panels(runs), "Separation and bias of all runs", caption, with_luminosity=True)


def changes_table(runs: Sequence[FinishedRun[EventMetrics]]) -> Table:
    """Return by how much the numbers of each model differ from those of the model of the same name in the first run."""
    first = runs[0]
    of_first = first.metrics.classifiers
    pairs = [(model, run) for model in of_first for run in runs[1:] if model in run.metrics.classifiers]
    columns = _changes(of_first.values())
    rows = []
    for model, run in pairs:
        cells = []
        for _, number_of in columns:
            before, now = (number_of(metrics.models[model]) for metrics in (first.metrics, run.metrics))
            change = None if before is None or now is None else now - before
            cells.append(Quantity(change, present=before is not None or now is not None).cell(digits=2))
        name = f"{model}, {run.name}"
        rows.append([Cell(name, name), *cells])
    note = (
        f"The number of the run minus that of {first.name}. The runs may share events and trainings, so that the "
        "errors of the numbers do not say whether a difference is significant."
    )
    return Table(f"Differences from {first.name}", ["Model and run", *(name for name, _ in columns)], rows, note)


def _changes(models: Iterable[EventModel]) -> list[tuple[str, Callable[[EventModel], float | None]]]:
    """Return the columns of the differences: AUC by domain, shifts of the tail by pair of domains, significance."""
    known = list(models)
    columns: list[tuple[str, Callable[[EventModel], float | None]]] = [
        (f"AUC {domain}", lambda model, domain=domain: quantity_in(model.auc, domain).value)  # type: ignore[misc]
        for domain in keys_of(model.auc for model in known)
    ]

    def shift(model: EventModel, pair: str, point: str) -> float | None:
        entry = model.bias.get(pair)
        return None if entry is None else quantity_in(entry.efficiency_shift, point).scaled(100.0).value

    for pair in keys_of(model.bias for model in known):
        entries = [model.bias[pair] for model in known if pair in model.bias]
        point = next((p for p in SHIFT_AT if all(p in entry.efficiency_shift for entry in entries)), "")
        if point:
            name = f"Shift at {100 * float(point):g} %, {pair.partition(':')[2]} [%]"
            columns.append((name, partial(shift, pair=pair, point=point)))
    columns.append(("Z with bias [σ]", lambda model: quantity(model.significance, "asimov_with_bias").value))
    return columns


def fits_over_seeds(runs: Sequence[FinishedRun[EventMetrics]]) -> list[FitFile]:
    """Return the fits of all runs if they differ by their seed alone, else none.

    Raises:
        ConfigError: a fit.json is damaged.

    """
    keys = {difference.key for run in runs[1:] for difference in differences(runs[0].config, run.config)}
    if keys != {"seed"}:
        return []
    fits = []
    for run in runs:
        content, stale = run_directory.read_fit(run.folder, run.folder)
        for line in stale:
            log.warning("%s: %s", run.folder, line)
        if content is None:
            return []
        with run_directory.readable(run.folder / "fit.json"):
            fits.append(FitFile.from_json(content))
    return fits


def panels(runs: Sequence[FinishedRun[EventMetrics]]) -> list[list[ComparisonPanel]]:
    """Return rows of panels: separation by domain and by class, KS and shift and its parts by pair of domains."""
    models = {(name, run.name): model for run in runs for name, model in run.metrics.classifiers.items()}
    pairs = keys_of(model.bias for model in models.values())
    bias = {pair: {place: m.bias[pair] for place, m in models.items() if pair in m.bias} for pair in pairs}
    entries_of = [entry for by_place in bias.values() for entry in by_place.values()]
    point = next((p for p in SHIFT_AT if entries_of and all(p in entry.efficiency_shift for entry in entries_of)), "")
    return [
        [_auc_panel(domain, models) for domain in keys_of(model.auc for model in models.values())],
        _class_panels(models),
        [_ks_panel(pair, entries) for pair, entries in bias.items()],
        [_shift_panel(pair, entries, point) for pair, entries in bias.items() if point],
        *(_part_panels(models, pair, point) for pair in bias if point),
        _number_panels(runs),
    ]


def _number_panels(runs: Sequence[FinishedRun[EventMetrics]]) -> list[ComparisonPanel]:
    """Return bias and resolution of the models that predict a number in their first domain, a panel for each target."""
    entries = {(name, run.name): entry for run in runs for name, entry in run.metrics.regressions.items()}
    panels = []
    for target in dict.fromkeys(entry.title for entry in entries.values()):
        of_target = {
            place: entry.domains for place, entry in entries.items() if entry.title == target and entry.domains
        }
        for key in ("bias", "resolution"):
            values = {place: next(iter(domains.values())).quantity(key) for place, domains in of_target.items()}
            panels.append(
                _panel(f"{key.capitalize()} of {target}", values, {}, **({"line": 0.0} if key == "bias" else {}))
            )
    return panels


def _auc_panel(domain: str, models: Mapping[Place, EventModel]) -> ComparisonPanel:
    return _panel(f"AUC ({domain})", {place: quantity_in(model.auc, domain) for place, model in models.items()}, {})


def _class_panels(models: Mapping[Place, EventModel]) -> list[ComparisonPanel]:
    """Return a panel for each class: its AUC against the rest in the nominal domain, the first one."""
    entries = {place: model.classes for place, model in models.items() if model.classes and model.classes.domains}
    domain = next(iter(keys_of(entry.domains for entry in entries.values())), "")
    of_domain = {place: entry.domains[domain].auc for place, entry in entries.items() if domain in entry.domains}
    return [
        _panel(f"AUC {name} ({domain})", {place: quantity_in(auc, name) for place, auc in of_domain.items()}, {})
        for name in keys_of(of_domain.values())
    ]


def _part_panels(models: Mapping[Place, EventModel], pair: str, point: str) -> list[ComparisonPanel]:
    """Return the parts of the shift that come from rates and from shapes; none where no process is known."""
    entries = {place: m.decomposition[pair].efficiency_shift for place, m in models.items() if pair in m.decomposition}
    parts = {place: by_point[point] for place, by_point in entries.items() if point in by_point}
    return [
        _panel(
            f"{title} at {100 * float(point):g} %, {pair.partition(':')[2]} [%]",
            {place: quantity(entry, name).scaled(100.0) for place, entry in parts.items()},
            {},
            line=0.0,
        )
        for name, title in (("rates", "Rates"), ("shapes", "Shapes"))
        if parts
    ]


def _ks_panel(pair: str, entries: Mapping[Place, BiasEntry]) -> ComparisonPanel:
    nulls = {place: quantity_of(entry.ks_null).value for place, entry in entries.items()}
    values = {place: quantity_of(entry.ks) for place, entry in entries.items()}
    return _panel(f"KS to {pair.partition(':')[2]}", values, nulls)


def _shift_panel(pair: str, entries: Mapping[Place, BiasEntry], point: str) -> ComparisonPanel:
    values = {}
    for place, entry in entries.items():
        shift = quantity_in(entry.efficiency_shift, point)
        values[place] = shift.with_error(number(entry.efficiency_shift_error.get(point))).scaled(100.0)
    return _panel(f"Shift at {100 * float(point):g} %, {pair.partition(':')[2]} [%]", values, {}, line=0.0)


def _panel(
    name: str, values: Mapping[Place, Quantity], nulls: Mapping[Place, float | None], **options: Any
) -> ComparisonPanel:
    """Return a panel of the numbers that are known."""
    measurements = {
        place: Measurement(quantity.value, quantity.low, quantity.high, nulls.get(place))
        for place, quantity in values.items()
        if quantity.value is not None
    }
    return ComparisonPanel(name, measurements, **options)


def files_table(runs: Sequence[FinishedRun[EventMetrics]]) -> Table:
    """Return the events that each run read and selected: a row a sample, a column a run."""
    samples = list(dict.fromkeys(str(file["sample"]) for run in runs for file in run.manifest["files"]))
    rows = []
    for sample in samples:
        row = [Cell(sample, sample)]
        for run in runs:
            files = [file for file in run.manifest["files"] if file["sample"] == sample]
            for key in ("entries", "selected"):
                total = float(sum(file[key] for file in files)) if files else None
                row.append(Quantity(total, present=bool(files)).cell(digits=12))
        rows.append(row)
    head = ["Sample", *(f"{word}, {run.name}" for run in runs for word in ("Entries", "Selected"))]
    return Table("Events read and selected", head, rows)


def _files(run: FinishedRun[EventMetrics]) -> dict[str, list[ComparedFile]]:
    """Return the files that were read, by sample."""
    by_sample: dict[str, list[ComparedFile]] = {}
    for file in run.manifest["files"]:
        name = Path(str(file.get("path"))).name
        read = ComparedFile(name, file.get("bytes"), file.get("entries"), file.get("sumw"))
        by_sample.setdefault(str(file.get("sample")), []).append(read)
    return {sample: sorted(files, key=str) for sample, files in by_sample.items()}


def file_differences(first: FinishedRun[EventMetrics], run: FinishedRun[EventMetrics]) -> list[str]:
    """Return by sample in which files a run differs from the first one, a sentence each."""
    before_files, now_files = _files(first), _files(run)
    sentences = []
    for name, read, not_read in ((first.name, before_files, now_files), (run.name, now_files, before_files)):
        only_here = [sample for sample in read if sample not in not_read]
        if only_here:
            sentences.append(f"read only by {name}: {', '.join(only_here)}.")
    same_luminosity = first.config.get("luminosity") == run.config.get("luminosity")
    for sample in [sample for sample in before_files if sample in now_files]:
        before, now = before_files[sample], now_files[sample]
        names = [[file.name for file in side] for side in (before, now)]
        if names[0] != names[1]:
            sentences.append(f"{sample} is read from other files, {_listed(names[1])} instead of {_listed(names[0])}.")
        elif [file[1:3] for file in before] != [file[1:3] for file in now]:
            sentences.append(f"{sample}: files of the same name with other content.")
        elif [file.sumw for file in before] != [file.sumw for file in now] and same_luminosity:
            sentences.append(f"{sample}: the same files, with another selection or other weights.")
    return sentences


def _listed(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
