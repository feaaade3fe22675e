"""Tables of the samples and models, of separation and significance, of training noise and of fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hepda.events.results.tables.cells import EVENTS_ALONE, keys_of, quantity
from hepda.events.results.tables.summary import domains_with_values
from hepda.number_format import Cell, Table, number
from hepda.results.entries.thresholds import JudgedEfficiencies
from hepda.results.events import EventMetrics, EventSample
from hepda.results.record import Value, quantity_in


def samples_table(metrics: EventMetrics) -> Table:
    """Return the samples and what each is used for: one row for each sample."""
    head = ["Sample", "Class", "Domain", "Use", "Entries", "Selected", "Yield", "Effective events", "Negative weights"]
    rows = []
    for name, sample in metrics.samples.items():
        words = [word or "–" for word in (sample.class_name, sample.domain, sample.use)]
        rows.append(
            [
                Cell(name, name),
                *(Cell(word, word) for word in words),
                sample.quantity("entries").cell(digits=12),
                sample.quantity("selected").cell(digits=12),
                _with_scale(sample),
                sample.quantity("n_eff").cell(digits=4),
                sample.quantity("negative_fraction").scaled(100.0).cell(digits=3, unit=" %"),
            ]
        )
    note = (
        "Yields are expected events at the stated luminosity after the selection, with signed weights; a factor in "
        "parentheses is included."
    )
    if metrics.held_out:
        note += f" Held out from all trainings: {', '.join(sorted(metrics.held_out))}."
    return Table("Samples", head, rows, note)


def _with_scale(sample: EventSample) -> Cell:
    """Return the yield, with the factor on it that the analysis file states."""
    cell = sample.quantity("yield_").with_error(number(sample.yield_error)).cell(digits=4)
    return cell if not sample.scale or sample.scale == 1 else replace(cell, text=f"{cell.text} (× {sample.scale:g})")


def by_domain_table(title: str, by_model: Mapping[str, Mapping[str, Value]], note: str = "", digits: int = 4) -> Table:
    """Return a metric that has an interval for each domain (`auc`, `accuracy`).

    Args:
        title: title of the table.
        by_model: the metric of each model, by domain.
        note: text below the table.
        digits: number of digits of the cells.

    Returns:
        A table with one row for each model and one column for each domain.

    """
    domains = domains_with_values(by_model.values())
    rows = [
        [Cell(name, name), *(quantity_in(by_domain, domain).cell(digits=digits) for domain in domains)]
        for name, by_domain in by_model.items()
    ]
    return Table(title, ["Model", *domains], rows if domains else [], note)


def working_point_tables(metrics: EventMetrics) -> list[Table]:
    """Return the efficiencies at fixed working points, one table for each domain.

    The cuts keep given shares of the signal in the source.
    """
    columns = {
        "signal_efficiency": ("Signal efficiency [%]", 100.0),
        "background_efficiency": ("Background efficiency [%]", 100.0),
        "rejection": ("Rejection", 1.0),
        "significance": ("Z with background unc. [σ]", 1.0),
    }
    rows: dict[str, list[list[Cell]]] = {}
    for name, model in metrics.classifiers.items():
        for point, by_domain in model.working_points.items():
            for domain, entry in by_domain.items():
                title = f"{name}, {100 * float(point):g} %"
                cells = [entry.quantity(key).scaled(scale).cell() for key, (_, scale) in columns.items()]
                limit = entry.quantity("background_efficiency_upper_limit").scaled(100.0)
                if limit.value is not None:  # no event passes
                    cells[list(columns).index("background_efficiency")] = limit.below()
                rows.setdefault(domain, []).append([Cell(title, title), *cells])
    head = ["Model, signal efficiency", *(title for title, _ in columns.values())]
    note = (
        "Cuts are defined by the signal efficiency in the nominal domain, chosen on the events that are counted there "
        "(named working points are chosen on others). Z: Asimov significance of the events above "
        "the cut, with the uncertainty of the background."
    )
    first = next(iter(rows), "")
    folded = "Working points in other domains"
    return [
        Table(f"Working points, {domain}", head, of_domain, note, "" if domain == first else folded)
        for domain, of_domain in rows.items()
    ]


_VALUES = {
    "f1": "F1", "significance": "Z [σ]", "equal_background": "background, ratio − 1", "efficiency": "efficiency",
    "fixed": "efficiency",
}  # fmt: skip
"""What the objective of a working point measures, as a heading."""


def threshold_tables(metrics: EventMetrics) -> list[Table]:
    """Return the named working points: their thresholds and objectives, and what passes in each domain."""
    entries = {
        f"{model}, {name}": entry
        for model, of_model in metrics.models.items()
        for name, entry in of_model.thresholds.items()
    }
    rows = [
        [
            Cell(title, title),
            Cell(entry.output, entry.output),
            Cell(str(entry.selects), entry.selects),
            entry.quantity("threshold").cell(digits=4),
            Cell(_VALUES[entry.objective], entry.objective),
            entry.quantity("value").cell(),
            entry.quantity("value_on_choosing_events").cell(),
            Cell(str(entry.chosen_on), entry.chosen_on),
        ]
        for title, entry in entries.items()
    ]
    note = (
        "An event passes if the output is at least the threshold; the error of a threshold is the spread of the choice "
        "over bootstrap replicas of the choosing events. The objective on other events is the number to quote: that on "
        "the choosing events is too good on average, because the threshold is the one at which their fluctuations are "
        "most favourable."
    )
    head = ["Model, working point", "Output", "Selects", "Threshold", "Objective", "On other events",
            "On the choosing events", "Chosen on"]  # fmt: skip
    tables = [Table("Named working points", head, rows, note)] if rows else []
    folded = "Named working points in other domains"
    for place, domain in enumerate(keys_of(entry.domains for entry in entries.values())):
        of_domain = {title: entry.domains[domain] for title, entry in entries.items() if domain in entry.domains}
        fold = folded if place else ""
        tables.append(_passing_table(f"What passes the named working points, {domain}", of_domain, fold))
    return tables


def label_tables(metrics: EventMetrics) -> list[Table]:
    """Return AUC and F1 of the labels that models learn besides the classes, two tables for each domain."""
    by_model = {name: model.labels for name, model in metrics.models.items() if model.labels is not None}
    labels = keys_of(entry.thresholds for entry in by_model.values())
    note = (
        "Weighted F1 at thresholds that the validation events of the nominal domain chose, on all other events, at "
        "physical weights; the mean over the labels also at 0.5, and its difference on the same replicas of the events."
    )
    auc_note = f"Events with a label against those without it; signed weights. {EVENTS_ALONE}"
    head = ["Model", *labels, "Mean", "Mean at 0.5", "Difference"]
    tables = []
    for place, domain in enumerate(keys_of(entry.domains for entry in by_model.values())):
        of_domain = {name: entry.domains[domain] for name, entry in by_model.items() if domain in entry.domains}
        areas = [
            [Cell(name, name), *(quantity_in(numbers.auc, label).cell(digits=4) for label in labels)]
            for name, numbers in of_domain.items()
        ]
        rows = []
        for name, numbers in of_domain.items():
            half, chosen = numbers.f1.get("half"), numbers.f1.get("chosen")
            of_labels = None if chosen is None else chosen.labels
            means = [quantity(chosen, "macro"), quantity(half, "macro"), quantity(chosen, "difference")]
            cells = [*(quantity_in(of_labels, label).cell() for label in labels), *(mean.cell() for mean in means)]
            rows.append([Cell(name, name), *cells])
        fold = "Labels in other domains" if place else ""
        tables.append(Table(f"AUC of the labels, {domain}", ["Model", *labels], areas, auc_note, fold))
        tables.append(Table(f"F1 of the labels, {domain}", head, rows, note, fold))
    return tables


def _passing_table(title: str, entries: Mapping[str, JudgedEfficiencies], fold: str) -> Table:
    rows = []
    for name, entry in entries.items():
        limit = entry.quantity("rest_efficiency_upper_limit").scaled(100.0)
        rest = entry.quantity("rest_efficiency").scaled(100.0)
        rows.append(
            [
                Cell(name, name),
                entry.quantity("class_efficiency").scaled(100.0).cell(),
                limit.below() if limit.value is not None else rest.cell(),
                entry.quantity("f1").cell(),
                entry.quantity("significance").cell(),
            ]
        )
    note = (
        "Of the events that did not choose the thresholds, at the yields of the domain. Z: Asimov significance with "
        "the systematic uncertainty of the background, without the statistical error of the simulation."
    )
    head = ["Model, working point", "Efficiency of what is selected [%]", "of the rest [%]", "F1", "Z [σ]"]
    return Table(title, head, rows, note, fold)


def best_cut_table(metrics: EventMetrics) -> Table:
    """Return the significance at the best cut: of the events that choose it, and of events that do not."""
    titles = {
        "asimov": "Z (stat.) [σ]",
        "asimov_with_uncertainty": "Z with background unc. [σ]",
        "asimov_with_bias": "Z with bias [σ]",
    }
    entries = {name: model.significance for name, model in metrics.models.items() if model.significance is not None}
    shown = [key for key in titles if any(getattr(e, f"{key}_naive") is not None for e in entries.values())]
    head = ["Model", *(text for key in shown for text in (f"{titles[key]}, same events", titles[key]))]
    rows = [
        [
            Cell(name, name),
            *(cell for key in shown for cell in (quantity(e, f"{key}_naive").cell(), quantity(e, key).cell())),
        ]
        for name, e in entries.items()
    ]
    note = (
        "Same events: the largest value of the curve, at a cut that was chosen on the events that it counts. Among "
        "many cuts it is the one at which they fluctuate upwards, so this number is too good. The other one is "
        "cross-fitted: no event chooses the cut at which it is counted. Report that one."
    )
    return Table("Significance at the best cut", head, rows if shown else [], note)


def training_noise_table(metrics: EventMetrics) -> Table:
    """Return the spread of AUC and shifts between the trainings of a model."""
    noises = {
        name: model.training_noise for name, model in metrics.classifiers.items() if model.training_noise is not None
    }
    columns = [
        (pair, point)
        for pair in keys_of(noise.efficiency_shift for noise in noises.values())
        for point in sorted(keys_of(noise.efficiency_shift.get(pair, {}) for noise in noises.values()), key=float)
    ]
    head = ["Model", "Trainings", "AUC"]
    head += [f"Shift at {100 * float(point):g} %, {pair.partition(':')[2]}" for pair, point in columns]
    rows = []
    for name, noise in noises.items():
        shifts = [noise.efficiency_shift.get(pair, {}).get(point) for pair, point in columns]
        rows.append(
            [
                Cell(name, name),
                Cell(f"{noise.trainings} {noise.over}", noise.over),
                quantity(noise.auc, "spread").cell(digits=2),
                *(quantity(spread, "spread").scaled(100.0).cell(digits=2, unit=" %") for spread in shifts),
            ]
        )
    note = (
        "Standard deviation between single trainings. Members of an ensemble score the same events: their spread is "
        "the noise of the training, which is not included in other errors; divided by the square root of their number, "
        "it adds to them in quadrature. Folds score different events, so their spread includes the statistics of the "
        "events."
    )
    return Table("Spread between trainings", head, rows, note)


def training_bias_table(metrics: EventMetrics) -> Table:
    """Return AUC and background efficiency in each domain, by the domains that a model was trained on."""
    bias = metrics.training_bias
    models = {} if bias is None else bias.models
    domains = keys_of(entry.tested_on for entry in models.values())
    head = [
        "Trained on (model)",
        *(f"AUC on {domain}" for domain in domains),
        *(f"ΔAUC on {domain}" for domain in domains),
        *(f"Background on {domain} [%]" for domain in domains),
    ]
    rows = []
    for name, entry in models.items():
        title = f"{entry.trained_on} ({name})"
        tested = [entry.tested_on.get(domain) for domain in domains]
        rows.append(
            [
                Cell(title, title),
                *(quantity(test, "auc").cell(digits=4) for test in tested),
                *(quantity(test, "auc_difference").cell(digits=2) for test in tested),
                *(quantity(test, "background_efficiency").scaled(100.0).cell() for test in tested),
            ]
        )
    point = None if bias is None else bias.signal_efficiency
    efficiency = f"{100 * point:g} % " if point is not None else ""
    note = (
        "Along a row, the training is the same and the events differ: shift in the evaluation. Along a column, the "
        "events are the same and the training differs: bias of the training (ΔAUC, paired, to the first). Background: "
        f"efficiency in the domain of the test at {efficiency}signal efficiency."
    )
    return Table("Trained on one generator, tested on another", head, rows, note)


def models_table(metrics: EventMetrics) -> Table:
    """Return the kind of each model, its training samples and its adaptation."""
    several = any(model.setup and model.setup.classes for model in metrics.models.values())
    rows = []
    for name, model in metrics.models.items():
        setup = model.setup
        words, classes = ["", "", "none"], ""
        if setup is not None:
            words = [setup.kind or "", " + ".join(setup.class_loss), setup.adaptation or "none"]
            classes = ", ".join(setup.classes)
        numbers = [quantity(setup, key).cell() for key in ("strength", "members")]
        predicted = [Cell(classes or "signal, rest", classes or None)] if several else []
        rows.append([Cell(name, name), *(Cell(word, word) for word in words), *predicted, *numbers])
    further = ["Predicts"] if several else []
    head = ["Model", "Kind", "Class loss on", "Adaptation", *further, "Strength", "Networks per fold"]
    described = any(model.setup for model in metrics.models.values())
    return Table(
        "Models", head, rows if described else [], "Every event is scored by models that were not trained on it."
    )


def other_tables(metrics: EventMetrics) -> list[Table]:
    """Return metrics without a table of their own (`accuracy`, for example), in the form of `auc`."""
    further = {name: model.further for name, model in metrics.classifiers.items()}
    tables = [
        by_domain_table(
            metric.replace("_", " ").capitalize(),
            {name: by_metric.get(metric, {}) for name, by_metric in further.items()},
        )
        for metric in keys_of(further.values())
    ]
    return [table for table in tables if table.rows]
