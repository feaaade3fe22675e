"""The tables of a scan: baseline and chosen points, all points, and the numbers of the choice; for page and console."""

from __future__ import annotations

from hepda.number_format import Cell, Quantity, Table
from hepda.results.best_of import BestOf
from hepda.runtime.terminal import NumberTable
from hepda.workflows.scan.choice import Result
from hepda.workflows.scan.findings import Findings, ScanCurve, events_text
from hepda.workflows.scan.measuring import LOSS, TAIL
from hepda.workflows.scan.points import is_baseline, short, value_text


def chosen_table(findings: Findings) -> Table:
    """Return the table of the baseline and the chosen point of every curve, on reporting events."""
    head = ["Point", *(f"AUC {domain}" for domain in findings.domains), *(f"KS {other}" for other in findings.compared)]
    head += [f"Shift at {100 * point:g} %, {other}" for other in findings.compared for point in TAIL]
    rows: dict[str, list[Cell]] = {}
    for curve in findings.curves:
        for result in curve.results:
            is_reference = is_baseline(result.point.config, curve.model)
            if is_reference or result is curve.chosen:
                name = f"{curve.model}, baseline" if is_reference else f"{curve.name} {varied_text(curve, result)}"
                rows.setdefault(name, [Cell(name, name), *_cells(findings, curve.model, result)])
            if result is curve.chosen and any(best.value is not None for best in curve.corrected.values()):
                corrected = f"{name}, corrected"
                rows[corrected] = [Cell(corrected, corrected), *_corrected_cells(findings, curve)]
    note = "Without adaptation, and at the selected point, on events not used for the selection; ± over seeds."
    if any(name.endswith(", corrected") for name in rows):
        note += (
            " Corrected: what to expect of more trainings at the selected point, without the luck for which it was "
            "selected, ± 68 % interval; report this number."
        )
    return Table("Baseline and selected point", head, list(rows.values()) if len(rows) > 1 else [], note)


def _cells(findings: Findings, model: str, result: Result) -> list[Cell]:
    """Return the AUC of each domain, the KS to each comparison domain, and the shifts in the tail."""
    cells = [_cell(result, f"auc_{domain}") for domain in findings.domains]
    cells += [_cell(result, f"ks_{other}", good=_inside(findings, model, result, other)) for other in findings.compared]
    return cells + [
        _cell(result, f"shift_{other}_{point:g}", 100.0, " %") for other in findings.compared for point in TAIL
    ]


def _corrected_cells(findings: Findings, curve: ScanCurve) -> list[Cell]:
    """Return the same cells as `_cells`, of the chosen point's corrected numbers."""
    cells = [best_quantity(curve.corrected.get(f"auc_{domain}")).cell(digits=4) for domain in findings.domains]
    cells += [best_quantity(curve.corrected.get(f"ks_{other}")).cell(digits=4) for other in findings.compared]
    return cells + [
        best_quantity(curve.corrected.get(f"shift_{other}_{point:g}")).scaled(100.0).cell(digits=4, unit=" %")
        for other in findings.compared
        for point in TAIL
    ]


def best_quantity(best: BestOf | None) -> Quantity:
    """Return the corrected number of a chosen point with its interval."""
    return Quantity(None, present=False) if best is None else Quantity(best.value, best.low, best.high)


def points_table(findings: Findings) -> Table:
    """Return the table of every point: means and standard deviations on reporting events, chosen points with a mark."""
    keys = list(dict.fromkeys(short(key) for key in _shown_keys(findings)))  # the strengths of all models in one column
    head = ["Curve", *keys, *(f"AUC {domain}" for domain in findings.domains)]
    head += [f"KS {other}" for other in findings.compared]
    head += [f"Shift at {100 * point:g} %, {other}" for other in findings.compared for point in TAIL]
    head += [f"Probe {other}" for other in findings.compared]
    head += ["Failed"] if findings.failures else []
    rows = []
    for curve in findings.curves:
        for result in curve.results:
            row = [Cell(curve.name, curve.name)]
            row += [_value_cell(result, key, result is curve.chosen) for key in keys]
            row += _cells(findings, curve.model, result)
            row += [_cell(result, f"probe_{other}") for other in findings.compared]
            if findings.failures:
                text = f"{result.failed} of {len(result.rows)}" if result.failed else ""
                row.append(Cell(text, result.failed, "; ".join(result.why) if result.failed else ""))
            rows.append(row)
    note = (
        f"On reporting events; means and standard deviations over {findings.seeds} seed"
        f"{'s' * (findings.seeds > 1)}. Tick: selected point of the curve"
    )
    note += (
        "; at a KS distance: compatible with two samples of one generator. Probe: AUC of a fresh domain classifier "
        "on the score (0.5: no separation)."
        if findings.compared
        else "."
    )
    if findings.failures:
        note += (
            " Failed: number of seeds with a failed training; means are over the others, and the point is never "
            "selected."
        )
    return Table("All points", head, rows, note)


def _shown_keys(findings: Findings) -> list[str]:
    """Return the keys that need a column: those along curves; in a guided search all that have numbers."""
    if not findings.guided:
        return list(dict.fromkeys(curve.key for curve in findings.curves if curve.key))
    values = [result.point.values for result in findings.results]
    return list(dict.fromkeys(k for point in values for k, v in point.items() if isinstance(v, int | float)))


def choice_table(findings: Findings) -> Table:
    """Return the table of the choice: the loss of the source, the probe and the criterion on choosing events."""
    names = {"choice_loss": "Source loss"}
    if findings.criterion.name != LOSS:
        names["choice_probe"] = "Probe AUC"
    names |= {
        n: n.removeprefix("choice_")
        for r in findings.results
        for n in r.mean
        if n.startswith("choice_") and n not in names
    }
    rows = []
    for curve in findings.curves:
        for result in curve.results:
            chosen = Cell(
                "chosen" if result is curve.chosen else "failed" if result.failed else "",
                "",
                good=result is curve.chosen,
            )
            seconds = [row["seconds"] for row in result.rows if row["seconds"] is not None]
            time = Quantity(sum(seconds) if seconds else None).cell()
            rows.append(
                [Cell(result.point.name, result.point.name), *(_cell(result, name) for name in names), time, chosen]
            )
    note = f"{events_text(findings)} The rule: {findings.criterion.rule}."
    return Table("The choice", ["Point", *names.values(), "Training [s]", "Choice"], rows, note)


def _value_cell(result: Result, name: str, chosen: bool) -> Cell:
    """Return the value of the key of the point whose last part is `name`."""
    key = next((key for key in result.point.values if short(key) == name), None)
    if key is None:
        return Cell("", None)
    value = result.point.values[key]
    return Cell(value_text(value), float(value), key, chosen)


def _cell(result: Result, name: str, factor: float = 1.0, unit: str = "", *, good: bool = False) -> Cell:
    return Quantity.read({name: spread(result, name)}, name).scaled(factor).cell(digits=4, unit=unit, good=good)


def _inside(findings: Findings, model: str, result: Result, other: str) -> bool:
    null, ks = findings.nulls.get(model, {}).get(other, {}).get("ks"), result.mean.get(f"ks_{other}")
    return isinstance(null, float) and ks is not None and ks <= null


def console_table(findings: Findings) -> NumberTable:
    """Return all points for the terminal: AUC, KS and one shift for each domain, probe; the chosen ones are marked."""
    table = points_table(findings)
    shown = [i for i, heading in enumerate(table.head) if "Shift" not in heading or "20 %" in heading]
    marks = ["chosen" if r is curve.chosen else "" for curve in findings.curves for r in curve.results]
    rows = [[*(row[i].short for i in shown), mark] for row, mark in zip(table.rows, marks, strict=True)]
    return NumberTable([*(table.head[i] for i in shown), ""], rows)


def varied_text(curve: ScanCurve, result: Result) -> str:
    """Return how a point is named after the name of its curve."""
    return f"at {short(curve.key)} {curve.text(result)}" if curve.key else f"with {curve.text(result)}"


def spread(result: Result, name: str) -> dict[str, float | None]:
    """Return a mean with the ends of a standard deviation over seeds, if there is one."""
    value, std = result.mean.get(name), result.std.get(name)
    if value is None or std is None:
        return {"value": value}
    return {"value": value, "low": value - std, "high": value + std}
