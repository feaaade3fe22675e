"""Tables of the samples and models, of separation and significance, of training noise and of fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hepda.number_format import Cell, Quantity, Table
from hepda.report.reading import entries, get, keys, told, with_error

KNOWN = ("auc", "auc_difference", "bias", "shift_ratio", "verdict", "tests", "domain_auc", "probes", "significance",
         "working_points", "calibration", "bins", "overtraining", "flatness", "closure", "training", "fit", "setup",
         "reweight", "domain_reweight", "training_noise")  # fmt: skip
"""Metrics of a model that have tables of their own."""


def samples_table(metrics: Mapping[str, Any]) -> Table:
    """Return the samples and what each is used for: one row for each sample."""
    head = [
        "Sample",
        "Class",
        "Domain",
        "Use",
        "Entries",
        "Selected",
        "Yield",
        "Effective events",
        "Negative weights",
    ]
    rows = []
    for name, sample in entries(metrics, "samples"):
        words = [str(sample.get(key) or "–") for key in ("class", "domain", "use")]
        rows.append(
            [
                Cell(name, name),
                *(Cell(word, word) for word in words),
                Quantity.read(sample, "entries").cell(digits=12),
                Quantity.read(sample, "selected").cell(digits=12),
                Quantity.read(sample, "yield").cell(digits=4),
                Quantity.read(sample, "n_eff").cell(digits=4),
                Quantity.read(sample, "negative_fraction").scaled(100.0).cell(digits=3, unit=" %"),
            ]
        )
    note = "Yields are expected events at the stated luminosity after the selection, with signed weights."
    return Table("Samples", head, rows, note)


def by_domain_table(metrics: Mapping[str, Any], metric: str, title: str, note: str = "", digits: int = 4) -> Table:
    """Return a metric that has an interval for each domain (`auc`, `accuracy`).

    Args:
        metrics: the content of metrics.json.
        metric: key of the metric in the entry of a model.
        title: title of the table.
        note: text below the table.
        digits: number of digits of the cells.

    Returns:
        A table with one row for each model and one column for each domain.

    """
    domains = told(metrics, metric)
    rows = [
        [
            Cell(name, name),
            *(Quantity.read(model.get(metric), domain).cell(digits=digits) for domain in domains),
        ]
        for name, model in entries(metrics, "models")
    ]
    return Table(title, ["Model", *domains], rows if domains else [], note)


def working_point_tables(metrics: Mapping[str, Any]) -> list[Table]:
    """Return the efficiencies at fixed working points, one table for each domain.

    The cuts keep given shares of the signal in the source.
    """
    columns = {
        "signal_efficiency": ("Signal efficiency [%]", 100.0),
        "background_efficiency": ("Background efficiency [%]", 100.0),
        "rejection": ("Rejection", 1.0),
        "significance": ("Z [σ]", 1.0),
    }
    rows: dict[str, list[list[Cell]]] = {}
    for name, model in entries(metrics, "models"):
        for point, by_domain in (model.get("working_points") or {}).items():
            for domain, entry in by_domain.items():
                at = f"{100 * float(point):g} %"
                cells = [Quantity.read(entry, key).scaled(scale).cell() for key, (_, scale) in columns.items()]
                limit = Quantity.read(entry, "background_efficiency_upper_limit").scaled(100.0)
                if limit.value is not None:  # no event passes
                    cells[list(columns).index("background_efficiency")] = limit.below()
                rows.setdefault(domain, []).append([Cell(f"{name}, {at}", f"{name}, {at}"), *cells])
    head = ["Model, signal efficiency", *(title for title, _ in columns.values())]
    note = (
        "Cuts are fixed by the signal of the domain that is trained on. Z: Asimov significance of the events above the "
        "cut, with the uncertainty of the background."
    )
    first = next(iter(rows), "")
    return [
        Table(
            f"Working points, {domain}", head, found, note, "" if domain == first else "Working points in other domains"
        )
        for domain, found in rows.items()
    ]


def training_noise_table(metrics: Mapping[str, Any]) -> Table:
    """Return the spread of AUC and shifts between the trainings of a model."""
    found = [(name, model["training_noise"]) for name, model in entries(metrics, "models") if "training_noise" in model]
    columns = [
        (pair, point)
        for pair in keys(get(noise, "efficiency_shift") for _, noise in found)
        for point in sorted(keys(get(noise, "efficiency_shift", pair) for _, noise in found), key=float)
    ]
    head = ["Model", "Trainings", "AUC"]
    head += [f"Shift at {100 * float(point):g} %, {pair.partition(':')[2]}" for pair, point in columns]
    rows = [
        [
            Cell(name, name),
            Cell(f"{noise['trainings']} {noise['over']}", str(noise["over"])),
            Quantity.read(get(noise, "auc"), "spread").cell(digits=2),
            *(
                Quantity.read(get(noise, "efficiency_shift", pair, point), "spread")
                .scaled(100.0)
                .cell(digits=2, unit=" %")
                for pair, point in columns
            ),
        ]
        for name, noise in found
    ]
    note = (
        "Standard deviation between single trainings. Members of an ensemble judge the same events: theirs is the "
        "noise of training, which all other errors leave out; divided by the root of their number it adds to them in "
        "quadrature. Folds judge different events, whose statistics is in it as well."
    )
    return Table("Spread between trainings", head, rows, note)


def training_bias_table(metrics: Mapping[str, Any]) -> Table:
    """Return AUC and background efficiency in each domain, by the domains that a model was trained on."""
    bias = metrics.get("training_bias") or {}
    models = bias.get("models") or {}
    domains = keys(entry.get("tested_on") for entry in models.values())
    head = [
        "Trained on (model)",
        *(f"AUC on {domain}" for domain in domains),
        *(f"ΔAUC on {domain}" for domain in domains),
        *(f"Background on {domain} [%]" for domain in domains),
    ]
    rows = []
    for name, entry in models.items():
        title = f"{entry.get('trained_on')} ({name})"
        tested = [get(entry, "tested_on", domain) for domain in domains]
        rows.append(
            [
                Cell(title, title),
                *(Quantity.read(found, "auc").cell(digits=4) for found in tested),
                *(Quantity.read(found, "auc_difference").cell(digits=2) for found in tested),
                *(Quantity.read(found, "background_efficiency").scaled(100.0).cell() for found in tested),
            ]
        )
    point = Quantity.read(bias, "signal_efficiency").value
    at = f"{100 * point:g} % " if point is not None else ""
    note = (
        "Along a row the events change and the training does not: evaluation shift. Down a column the training changes "
        f"and the events do not: training bias (ΔAUC, paired, to the first). Background: its efficiency at {at}signal "
        "efficiency in the domain of the test."
    )
    return Table("Trained on one generator, tested on another", head, rows, note)


def closure_table(metrics: Mapping[str, Any]) -> Table:
    """Return fitted signal strength and pull: one row for each model, columns for the domains used as data."""
    found = [(name, model.get("closure")) for name, model in entries(metrics, "models")]
    domains = keys(entry for _, entry in found)
    head = ["Model", *(f"{what}, data from {domain}" for domain in domains for what in ("μ", "pull"))]
    rows = []
    for name, entry in found:
        row = [Cell(name, name)]
        for domain in domains:
            result = get(entry, domain)
            row += [
                with_error(result, {"mu": get(result, "error")}, "mu").cell(),
                Quantity.read(result, "pull").cell(),
            ]
        rows.append(row)
    return Table(
        "Fits to pseudo-data",
        head,
        rows if domains else [],
        "Templates from the source; the pull is (μ − truth) / error.",
    )


def models_table(metrics: Mapping[str, Any]) -> Table:
    """Return the kind of each model, its training samples and its adaptation."""
    rows = []
    for name, model in entries(metrics, "models"):
        setup = model.get("setup") or {}
        words = [setup.get("kind") or "", " + ".join(setup.get("class_loss") or ()), setup.get("adaptation") or "none"]
        rows.append(
            [
                Cell(name, name),
                *(Cell(word, word) for word in words),
                Quantity.read(setup, "strength").cell(),
                Quantity.read(setup, "members").cell(),
            ]
        )
    head = ["Model", "Kind", "Class loss on", "Adaptation", "Strength", "Networks a fold"]
    told = any(model.get("setup") for _, model in entries(metrics, "models"))
    return Table("Models", head, rows if told else [], "Every event is scored by trainings that have not seen it.")


def other_tables(metrics: Mapping[str, Any]) -> list[Table]:
    """Return metrics without a table of their own (`accuracy`, those of a kind), in the form of `auc`."""
    names = [k for k in keys(model for _, model in entries(metrics, "models")) if k not in KNOWN]
    shaped = [k for k in names if any(isinstance(model.get(k), Mapping) for _, model in entries(metrics, "models"))]
    tables = [by_domain_table(metrics, name, name.replace("_", " ").capitalize()) for name in shaped]
    return [table for table in tables if table.rows]
