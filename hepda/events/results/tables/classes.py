"""Tables of several classes: AUC of one against the rest and against one, confusion, working points, calibration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from hepda.events.results.tables.cells import EVENTS_ALONE, keys_of, quantity
from hepda.number_format import Cell, Quantity, Table
from hepda.results.entries.classes import ClassesEntry, ClassPointEntry, ConfusionEntry, DomainClassesEntry
from hepda.results.events import EventMetrics
from hepda.results.record import Measured, quantity_in

FOLD = "Classes in other domains"
"""Heading of the tables that the page folds: those of every domain but the first."""


def class_tables(metrics: EventMetrics) -> list[Table]:
    """Return the separation of the classes: by class, by pair, by score, confusion and working points.

    The list is empty for two classes.
    """
    entries = _entries(metrics)
    by_model = {name: entry.domains for name, entry in entries.items() if entry.domains}
    tables = [_score_auc(entries, domain) for domain in keys_of(entry.score_auc for entry in entries.values())]
    for domain in keys_of(by_model.values()):
        of_domain = {name: domains[domain] for name, domains in by_model.items() if domain in domains}
        tables += [_against_rest(of_domain, domain), _against_one(of_domain, domain), _accuracy(of_domain, domain)]
        outputs = {name: entries[name].outputs for name in of_domain}
        tables += [
            _confusion(of_model.confusion, name, domain, outputs[name])
            for name, of_model in of_domain.items()
            if of_model.confusion is not None
        ]
        tables.append(_working_points(of_domain, domain))
    return _folded(tables, entries)


def class_calibration_tables(metrics: EventMetrics) -> list[Table]:
    """Return the calibration of the output of each class, a table for each domain; none for two classes."""
    by_model = {name: entry.domains for name, entry in _entries(metrics).items() if entry.domains}
    tables: list[Table] = []
    note = (
        "Mean distance between the output of a class and its share of the events, in ten bins of the output, with all "
        "classes scaled to the same yield: the mixture that a classifier trained with balanced classes refers to."
    )
    for domain in keys_of(by_model.values()):
        of_domain = {name: domains[domain].calibration for name, domains in by_model.items() if domain in domains}
        classes = keys_of(of_domain.values())
        rows = [
            [Cell(name, name), *(quantity(by_class.get(c), "expected_error").cell() for c in classes)]
            for name, by_class in of_domain.items()
        ]
        fold = FOLD if tables else ""
        tables.append(Table(f"Calibration of the classes, {domain}", ["Model", *classes], rows, note, fold))
    return tables


def _entries(metrics: EventMetrics) -> dict[str, ClassesEntry]:
    return {name: model.classes for name, model in metrics.classifiers.items() if model.classes is not None}


def _folded(tables: Iterable[Table], entries: Mapping[str, ClassesEntry]) -> list[Table]:
    """Return the tables, with those of further domains folded together."""
    domains = keys_of(entry.score_auc for entry in entries.values())
    first = domains[0] if domains else ""
    return [table if table.title.endswith(f", {first}") else replace(table, fold=FOLD) for table in tables]


def _measured_rows(by_model: Mapping[str, Mapping[str, Measured]], columns: Iterable[str]) -> list[list[Cell]]:
    return [
        [Cell(name, name), *(quantity_in(values, column).cell(digits=4) for column in columns)]
        for name, values in by_model.items()
    ]


def _score_auc(entries: Mapping[str, ClassesEntry], domain: str) -> Table:
    by_model = {name: entry.score_auc.get(domain, {}) for name, entry in entries.items()}
    classes = keys_of(by_model.values())
    note = (
        "AUC of the score of each model, all signal against one other class: where models of signal against the rest "
        f"and of several classes can be compared. 68 % interval of bootstrap replicas of the events. {EVENTS_ALONE}"
    )
    head = ["Model", *(f"against {name}" for name in classes)]
    return Table(f"AUC of the score against each class, {domain}", head, _measured_rows(by_model, classes), note)


def _against_rest(of_domain: Mapping[str, DomainClassesEntry], domain: str) -> Table:
    by_model = {name: entry.auc for name, entry in of_domain.items()}
    classes = keys_of(by_model.values())
    note = (
        "AUC of the output of a class for its events against those of all other classes, at their yields; signed "
        "weights; 68 % interval of bootstrap replicas of the events."
    )
    rows = _measured_rows(by_model, classes)
    return Table(f"AUC, one class against the rest, {domain}", ["Model", *classes], rows, note)


def _against_one(of_domain: Mapping[str, DomainClassesEntry], domain: str) -> Table:
    by_model = {name: entry.auc_pairs for name, entry in of_domain.items()}
    pairs = keys_of(by_model.values())
    note = (
        "AUC of p(first) / [p(first) + p(second)] for the events of the two classes; the others do not matter. 68 % "
        "interval of bootstrap replicas of the events."
    )
    head = ["Model", *(" against ".join(pair.split(":")) for pair in pairs)]
    return Table(f"AUC, one class against one, {domain}", head, _measured_rows(by_model, pairs), note)


def _accuracy(of_domain: Mapping[str, DomainClassesEntry], domain: str) -> Table:
    rows = [
        [
            Cell(name, name),
            *(quantity(entry.confusion, key).scaled(100.0).cell() for key in ("accuracy", "balanced_accuracy")),
        ]
        for name, entry in of_domain.items()
    ]
    note = (
        "Accuracy: share of the yield whose largest output is that of its class; balanced: mean efficiency of the "
        "classes."
    )
    return Table(f"Accuracy, {domain}", ["Model", "Accuracy [%]", "Balanced accuracy [%]"], rows, note)


def _confusion(entry: ConfusionEntry, model: str, domain: str, names: list[str]) -> Table:
    """Return efficiencies, purities and yields in one table: a row for each true class."""
    head = [
        "True class",
        *(f"predicted {name} [%]" for name in names),
        *(f"share of predicted {name} [%]" for name in names),
        "Yield",
    ]
    rows = []
    for number, name in enumerate(names):
        none: list[float | None] = [None] * len(names)
        matrices = (entry.efficiency, entry.efficiency_error), (entry.purity, entry.purity_error)
        cells = [
            _share(value, error)
            for shares, errors in matrices
            for value, error in zip(shares[number] or none, errors[number] or none, strict=True)
        ]
        rows.append([Cell(name, name), *cells, Quantity(float(sum(entry.sumw[number]))).cell(digits=4)])
    note = (
        "The predicted class has the largest output. First columns: share of the true class with each prediction "
        "(efficiency; a row adds up to 100 %). Then: share of each true class in the events with a prediction (purity, "
        "at the yields of this domain; a column adds up to 100 %). Signed weights; errors from sumw2."
    )
    return Table(f"Confusion of {model}, {domain}", head, rows, note)


def _share(value: float | None, error: float | None) -> Cell:
    return Quantity(None if value is None else float(value)).with_error(error).scaled(100.0).cell()


def _working_points(of_domain: Mapping[str, DomainClassesEntry], domain: str) -> Table:
    points = {
        f"{name}, {kept}, {100 * float(share):g} %": point
        for name, entry in of_domain.items()
        for kept, by_share in entry.working_points.items()
        for share, point in by_share.items()
    }
    classes = keys_of(point.efficiency for point in points.values())
    head = [
        "Model, class kept, efficiency",
        *(f"{name} [%]" for name in classes),
        *(f"Rejection of {name}" for name in classes),
    ]
    rows = [
        [
            Cell(title, title),
            *(_efficiency(point, name) for name in classes),
            *(quantity_in(None if name == title.split(", ")[1] else point.rejection, name).cell() for name in classes),
        ]
        for title, point in points.items()
    ]
    note = (
        "Cuts on the output of one class that keep this share of it in the nominal domain; efficiency of every class, "
        "and rejection 1 / efficiency of the others."
    )
    return Table(f"Working points by class, {domain}", head, rows, note)


def _efficiency(point: ClassPointEntry, name: str) -> Cell:
    limit = quantity_in(point.efficiency_upper_limit, name).scaled(100.0)
    return limit.below() if limit.value is not None else quantity_in(point.efficiency, name).scaled(100.0).cell()
