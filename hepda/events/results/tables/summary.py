"""The summary table of a run, for the report and the console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hepda.number_format import Cell, Quantity, Table
from hepda.report.reading import EVENTS_ALONE, entries, get, held_out, keys, pairs, shift_cell, told

TAIL = ("0.3", "0.2", "0.1")


def summary_table(metrics: Mapping[str, Any], *, points: Sequence[str] = TAIL, all_domains: bool = False) -> Table:
    """Return the quality in the source, the shifts in the tail to every simulated domain, and the significance.

    Args:
        metrics: the content of metrics.json.
        points: signal efficiencies of the shifts; those that no model has are left out.
        all_domains: whether to include the quality in the other domains as well.

    Returns:
        A table with one row for each model.

    """
    models = list(entries(metrics, "models"))
    quality = "auc" if any("auc" in model for _, model in models) else "accuracy"
    domains = told(metrics, quality)
    domains = domains if all_domains or quality != "auc" else domains[:1]
    compared = [pair for pair in pairs(metrics) if _class_of(models, pair) != "all"]
    shifts = [
        (pair, point)
        for pair in compared
        for point in points
        if point in keys(get(model, "bias", pair, "efficiency_shift") for _, model in models)
    ]
    short = {"asimov": "Z [σ]", "asimov_with_bias": "Z with bias [σ]"}
    worth = [k for k in short if any(get(model, "significance", k) is not None for _, model in models)]
    unseen = held_out(metrics)
    head = ["Model", *(f"{'AUC' if quality == 'auc' else 'Accuracy'} {domain}" for domain in domains)]
    for pair, point in shifts:
        other = pair.partition(":")[2]
        mark = " (unseen)" if other in unseen else ""
        head.append(f"Shift at {100 * float(point):g} %, {other}{mark}")
    rows = [
        [
            Cell(name, name),
            *(Quantity.read(model.get(quality), d).cell(digits=4) for d in domains),
            *(shift_cell(get(model, "bias", pair), point) for pair, point in shifts),
            *(Quantity.read(model.get("significance"), k).cell() for k in worth),
        ]
        for name, model in models
    ]
    return Table("Summary", [*head, *(short[k] for k in worth)], rows, _note(models, bool(shifts), bool(unseen)))


def _class_of(models: Sequence[tuple[str, Mapping[str, Any]]], pair: str) -> str | None:
    return next((found for _, model in models if (found := get(model, "bias", pair, "class"))), "all")


def _note(models: Sequence[tuple[str, Mapping[str, Any]]], shifts: bool, unseen: bool) -> str:
    said = []
    if shifts:
        said.append(
            "Shifts: relative, of the background's efficiency from the first domain to another, at the cut that keeps "
            "this share of the signal; there the significance lives, and a KS is blind."
        )
    if unseen:
        said.append("Unseen: no training saw this domain.")
    rival = next((found for _, model in models if (found := get(model, "significance", "bias_from"))), None)
    if rival:
        said.append(f"Z with bias: the difference to {rival} is an uncertainty.")
    if any(get(model, "significance", "asimov") is not None for _, model in models):
        said.append(
            "The cut of each fifth of the events is chosen on the others, averaged over ten ways; the error of Z "
            "is the spread over bootstrap replicas of all events, that choice included."
        )
    if said:
        said.append(EVENTS_ALONE)
    return " ".join(said)
