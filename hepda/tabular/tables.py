"""The results of an analysis of a table as tables of the report, and its conclusions as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hepda.number_format import Cell, Quantity, Table
from hepda.report.reading import p_cell, training_table

Metrics = Mapping[str, Any]


def quality_table(metrics: Metrics) -> Table:
    """Return accuracy and AUC of every model in every domain."""
    domains = list(metrics["samples"])
    head = ["Model", *(f"{word}, {domain}" for word in ("Accuracy", "AUC") for domain in domains)]
    rows = [
        [
            _title(entry),
            *(Quantity.read(entry[key], domain).cell() for key in ("accuracy", "auc") for domain in domains),
        ]
        for entry in metrics["models"].values()
    ]
    note = (
        "Rows that no training saw; intervals: 68 % of bootstrap replicas. Of three classes or more, the AUC is the "
        "mean of those of each class against the rest."
    )
    return Table("Accuracy and AUC", head, rows, note).filled


def class_table(metrics: Metrics) -> Table:
    """Return the AUC of each class against the rest, and the error of the calibration."""
    rows = [
        [
            Cell(f"{entry['title']}, {domain}", f"{entry['title']}, {domain}"),
            *(Quantity.read(areas, name).cell() for name in metrics["classes"]),
            Quantity.read(entry["calibration_error"], domain).cell(),
        ]
        for entry in metrics["models"].values()
        for domain, areas in entry["auc_of_class"].items()
    ]
    head = ["Model and domain", *(f"AUC, {name}" for name in metrics["classes"]), "Calibration error"]
    note = "Calibration error: mean distance of the probability from the share that is observed at it."
    return Table("Classes", head, rows, note).filled


def difference_table(metrics: Metrics) -> Table:
    """Return the distances of the scores between the source and each other domain."""
    rows = []
    for entry in metrics["models"].values():
        for domain, by_class in entry["difference"].items():
            for name, result in by_class.items():
                cells = [
                    cell
                    for test in (result["ks"], result["wasserstein"])
                    for cell in (Quantity(test["value"]).cell(), Quantity(test["null"]).cell(), p_cell(test))
                ]
                what = f"{entry['title']}, {domain}, probability of {name}"
                rows.append([Cell(what, what), Cell(result["rows"], result["rows"]), *cells])
    tests = [f"{name}{what}" for name in ("KS", "Wasserstein") for what in ("", ", null", ", p")]
    head = ["Model, domain and score", "Rows", *tests]
    note = (
        f"Distance of the score between {next(iter(metrics['samples']))} and the domain, of rows of the class where "
        "labels are known, else of all. Null: what two samples of one domain come to in 95 % of cases."
    )
    return Table("Differences of the score", head, rows, note)


def probe_table(metrics: Metrics) -> Table:
    """Return how well fresh classifiers tell each domain from the source."""
    reads = ("score", "embedding", "inputs")
    rows = []
    for entry in metrics["models"].values():
        for domain, by_input in entry["probe"].items():
            what = f"{entry['title']}, {domain}"
            rows.append([Cell(what, what), *(Quantity.read(by_input, read).cell() for read in reads)])
    head = ["Model and domain", "By the score", "By the embedding", "By the features"]
    return Table("AUC of fresh classifiers of the domains", head, rows, "0.5: the domains cannot be told apart.").filled


def rows_table(metrics: Metrics) -> Table:
    """Return what the table holds, by domain."""
    rows = [
        [
            Cell(domain, domain),
            Cell(entry["role"], entry["role"]),
            *(Quantity.read(entry, key).cell(digits=5) for key in ("rows", "labelled", "sum_of_weights")),
        ]
        for domain, entry in metrics["samples"].items()
    ]
    return Table("Rows", ["Domain", "Role", "Rows", "With a label", "Sum of weights"], rows)


def tables(metrics: Metrics) -> dict[str, list[Table]]:
    """Return the tables of the report, by section."""
    probes = [probe_table(metrics)] if any(entry["probe"] for entry in metrics["models"].values()) else []
    return {
        "summary": [quality_table(metrics)],
        "samples": [rows_table(metrics)],
        "separation": [class_table(metrics)],
        "domains": [difference_table(metrics), *probes],
        "training": [training_table(metrics)],
    }


def conclusions(metrics: Metrics) -> list[str]:
    """Return what the numbers mean, in a paragraph."""
    source, *others = metrics["samples"]
    text = [f"{_best(metrics, source)}."]
    for domain in others:
        if not any(entry["accuracy"][domain]["value"] is not None for entry in metrics["models"].values()):
            text.append(f"{domain} has no labels by which models could be compared there.")
            continue
        text.append(f"{_best(metrics, domain)}{_gain(metrics, domain)}.")
    for domain in others:
        closest = min(metrics["models"].values(), key=lambda entry: _largest(entry["difference"][domain])[0])
        distance, null = _largest(closest["difference"][domain])
        inside = "no more than two samples of one domain come to" if distance <= null else f"where {null:.3f} is chance"
        text.append(
            f"The score differs least between {source} and {domain} for {closest['title']} (KS distance "
            f"{distance:.3f}, {inside})."
        )
    return [" ".join(text)]


def _best(metrics: Metrics, domain: str) -> str:
    best = max(metrics["models"].values(), key=lambda entry: entry["auc"][domain]["value"] or 0.0)
    area, share = (Quantity.read(best[key], domain).cell().text for key in ("auc", "accuracy"))
    return f"Best in {domain}: {best['title']} with an AUC of {area} and an accuracy of {share}"


def _gain(metrics: Metrics, domain: str) -> str:
    """Return the gain of the best adapted model over the best other one, and whether it exceeds the intervals."""
    groups: dict[bool, list[Any]] = {True: [], False: []}
    for entry in metrics["models"].values():
        groups[entry["adapted"]].append(entry["auc"][domain])
    if not groups[True] or not groups[False]:
        return ""
    adapted, other = (max(groups[kind], key=lambda area: area["value"]) for kind in (True, False))
    error = (((adapted["high"] - adapted["low"]) / 2) ** 2 + ((other["high"] - other["low"]) / 2) ** 2) ** 0.5
    gain = adapted["value"] - other["value"]
    sure = "more than two standard deviations" if abs(gain) > 2 * error else "within two standard deviations of none"
    return f"; the best adapted model gains {gain:+.3f} over the best other one, {sure}"


def _largest(by_class: Mapping[str, Any]) -> tuple[float, float]:
    """Return the largest KS distance of the classes and its null."""
    tests = [result["ks"] for result in by_class.values()]
    largest = max(tests, key=lambda test: test["value"])
    return largest["value"], largest["null"] or 0.0


def _title(entry: Metrics) -> Cell:
    return Cell(entry["title"], entry["title"])
