"""Tables of where a shift between two domains comes from: rates of processes, and shapes within them."""

from __future__ import annotations

from collections.abc import Mapping

from hepda.events.results.tables.cells import EVENTS_ALONE, keys_of, quantity
from hepda.number_format import Cell, Table
from hepda.results.entries.decomposition import DecompositionEntry, PartsEntry
from hepda.results.events import EventMetrics
from hepda.results.record import quantity_of

PARTS = {"whole": "Whole", "rates": "Rates", "shapes": "Shapes"}
DEFINITION = (
    "Rates: because the shares of the processes differ; shapes: because the efficiency of each process differs; both "
    "add up to the whole. Each is the mean of the two orders in which one can be changed before the other (Kitagawa "
    "1955), so no term is left over. A fit with free rates of the processes absorbs the first part and not the second."
)
Entries = Mapping[str, DecompositionEntry]
"""By model."""


def decomposition_tables(metrics: EventMetrics) -> list[Table]:
    """Return, for each pair of domains, shares of the processes, shifts by process, efficiencies, and the KS distance.

    The list is empty if no pair of domains has several known processes of the compared class.
    """
    tables: list[Table] = []
    for pair in keys_of(model.decomposition for model in metrics.classifiers.values()):
        entries = {
            name: model.decomposition[pair]
            for name, model in metrics.classifiers.items()
            if pair in model.decomposition
        }
        tables += [
            _shares(pair, entries),
            _shifts(pair, entries),
            _efficiencies(pair, entries),
            _ks(pair, entries),
        ]
    return tables


def _class_of(entries: Entries) -> str:
    return next((entry.class_name for entry in entries.values() if entry.class_name), "background")


def _title(pair: str) -> str:
    return " to ".join(pair.split(":"))


def _shares(pair: str, entries: Entries) -> Table:
    source, _, other = pair.partition(":")
    class_name = _class_of(entries)
    first = next(iter(entries.values()))  # the shares do not depend on the score
    rows = []
    for process, share in first.shares.items():
        cells = (quantity_of(part).scaled(100.0).cell() for part in (share.source, share.other))
        rows.append([Cell(process, process), *cells])
    head = ["Process", f"Share in {source} [%]", f"Share in {other} [%]"]
    note = f"Shares of the yield of the {class_name} after the selection, for the processes that both domains have."
    return Table(f"Processes of the {class_name}, {_title(pair)}", head, rows, note)


def _shifts(pair: str, entries: Entries) -> Table:
    processes = keys_of(entry.shares for entry in entries.values())
    head = [
        "Model, signal efficiency",
        *(f"{title} [%]" for title in PARTS.values()),
        *(f"{title}, {process} [%]" for process in processes for title in ("Rates", "Shapes")),
    ]
    rows = []
    for name, entry in entries.items():
        for point in sorted(entry.efficiency_shift, key=float, reverse=True):
            parts = entry.efficiency_shift[point]
            title = f"{name}, {100 * float(point):g} %"
            rows.append([Cell(title, title), *_cells(parts, processes, 100.0)])
    note = (
        f"Relative shift of the {_class_of(entries)} efficiency at the cuts that keep this share of the signal in the "
        f"nominal domain. {DEFINITION} The two parts of one process add up to the change of what of it passes, "
        f"relative to all that passes. {EVENTS_ALONE}"
    )
    return Table(f"Shift by rates and shapes, {_title(pair)}", head, rows, note)


def _efficiencies(pair: str, entries: Entries) -> Table:
    source, _, other = pair.partition(":")
    processes = keys_of(entry.shares for entry in entries.values())
    head = ["Model, signal efficiency", *(f"{p}, {domain} [%]" for p in processes for domain in (source, other))]
    rows = []
    for name, entry in entries.items():
        for point in sorted(entry.efficiency_shift, key=float, reverse=True):
            of_process = [entry.efficiency_shift[point].processes.get(process) for process in processes]
            title = f"{name}, {100 * float(point):g} %"
            cells = [
                quantity(part, f"{side}_efficiency").scaled(100.0).cell()
                for part in of_process
                for side in ("source", "other")
            ]
            rows.append([Cell(title, title), *cells])
    note = "Efficiency of each process at the same cuts: a difference is one of shapes within the process."
    return Table(f"Efficiency of each process, {_title(pair)}", head, rows, note, "Efficiencies and KS by process")


def _ks(pair: str, entries: Entries) -> Table:
    processes = keys_of(entry.shares for entry in entries.values())
    head = [
        "Model",
        *PARTS.values(),
        *(f"{title}, {process}" for process in processes for title in ("Rates", "Shapes")),
    ]
    rows = [[Cell(name, name), *_cells(entry.ks, processes, 1.0)] for name, entry in entries.items()]
    note = (
        "Difference of the cumulative distributions, other minus nominal domain, at the score where its absolute value "
        "is the KS distance."
    )
    return Table(f"KS by rates and shapes, {_title(pair)}", head, rows, note, "Efficiencies and KS by process")


def _cells(parts: PartsEntry | None, processes: list[str], scale: float) -> list[Cell]:
    """Return the cells of the whole, its two parts, and those of each process."""
    cells = [quantity(parts, name).scaled(scale).cell() for name in PARTS]
    for process in processes:
        of_process = None if parts is None else parts.processes.get(process)
        cells += [quantity(of_process, name).scaled(scale).cell() for name in ("rates", "shapes")]
    return cells


def decomposition_sentences(metrics: EventMetrics, point: str = "0.3") -> list[str]:
    """Return a paragraph for each pair of domains: how much of the shift of each model are rates and how much shapes.

    Args:
        metrics: the numbers of the run.
        point: the signal efficiency of the shifts; the nearest one that was computed is taken.

    """
    paragraphs = []
    for pair in keys_of(model.decomposition for model in metrics.classifiers.values()):
        entries = {
            name: model.decomposition[pair]
            for name, model in metrics.classifiers.items()
            if pair in model.decomposition
        }
        points = keys_of(entry.efficiency_shift for entry in entries.values())
        nearest = min(points, key=lambda key: abs(float(key) - float(point)))
        lines = []
        for name, entry in entries.items():
            parts = entry.efficiency_shift.get(nearest)
            if parts is None or parts.whole is None:
                continue
            whole, rates, shapes = (quantity(parts, key).scaled(100.0).cell().text for key in PARTS)
            lines.append(f"{name}: {whole} %, of which {rates} % rates and {shapes} % shapes.")
        if lines:
            source, _, other = pair.partition(":")
            first = (
                f"Shift of the {_class_of(entries)} efficiency from {source} to {other} at {100 * float(nearest):g} % "
                "signal efficiency, by rates of the processes, which a fit with free rates absorbs, and shapes within "
                "them, which it does not:"
            )
            paragraphs.append("\n".join([first, *lines]))
    return paragraphs
