"""What a scan leaves: scan.csv (a row a point and seed), scan.json, figures and scan.html."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from hepda import rundir
from hepda.cells import Cell, Quantity, Table
from hepda.config import AnalysisConfig, resolved_yaml
from hepda.config.scan import method_key
from hepda.report import ReportFigure, conclude, write_report
from hepda.scanning.choice import Criterion, Result, choose, smallest_loss
from hepda.scanning.judging import TAIL
from hepda.scanning.points import along, is_plain, plain, short

ONE_SEED = "one seed has no standard deviation"


@dataclass(frozen=True, slots=True)
class Curve:
    """The points of one model and method along the scanned key, and the one that is chosen of them."""

    name: str
    model: str
    key: str | None
    results: tuple[Result, ...]
    chosen: Result | None

    def at(self, result: Result) -> float:
        """Where a point stands along the curve."""
        return float(self.results.index(result) if self.key is None else result.point.values[self.key])

    def text(self, result: Result) -> str:
        """How a point is called within its curve."""
        if self.key is not None:
            return plain(result.point.values[self.key])
        return ", ".join(plain(v) for k, v in result.point.values.items() if k != method_key(self.model)) or self.name


@dataclass(slots=True)
class Findings:
    """All that a scan found, as its files take it."""

    config: AnalysisConfig
    curves: list[Curve]
    best: dict[str, Result | None]  # by model
    criterion: Criterion
    seeds: int
    guided: bool
    counts: Mapping[str, int]
    nulls: Mapping[str, Mapping[str, Mapping[str, float | str]]]  # by model and other domain
    samples: Mapping[str, Any]
    files: Sequence[Mapping[str, Any]]
    cost: Mapping[str, float]
    warnings: Sequence[str] = field(default_factory=list)

    @property
    def results(self) -> list[Result]:
        """Every point, curve by curve."""
        return [result for curve in self.curves for result in curve.results]

    @property
    def others(self) -> list[str]:
        """Domains that are compared with the source, from the names of the numbers."""
        return _suffixes(self.results, "ks_")

    @property
    def domains(self) -> list[str]:
        """Domains with an AUC."""
        return _suffixes(self.results, "auc_")


def _suffixes(results: Sequence[Result], prefix: str) -> list[str]:
    names = dict.fromkeys(name for result in results for name in result.mean if name.startswith(prefix))
    return [name.removeprefix(prefix) for name in names]


def curves_of(results: Sequence[Result], criterion: Criterion, methods: Sequence[str]) -> list[Curve]:
    """The results of each model as curves: along the strength (or the first number), a curve for all else."""
    found = []
    models = list(dict.fromkeys(result.point.model for result in results))
    for model in models:
        own = [result for result in results if result.point.model == model]
        key = along([result.point for result in own])
        loss = smallest_loss(own)
        groups: dict[str, list[Result]] = {}
        for result in own:
            groups.setdefault(_curve_name(result, key, models, methods), []).append(result)
        for name, group in groups.items():
            if key is not None:
                group.sort(key=lambda result: float(result.point.values[key]))
            found.append(Curve(name, model, key, tuple(group), choose(group, criterion, loss)))
    return found


def _curve_name(result: Result, key: str | None, models: Sequence[str], methods: Sequence[str]) -> str:
    point = result.point
    words = [point.model] if len(models) > 1 or not methods else []
    words += [point.method] if methods else []
    if key is not None:
        left = [k for k in point.values if k not in (key, method_key(point.model))]
        words += [f"{short(k)} {plain(point.values[k])}" for k in left]
    return ", ".join(words)


def rows_csv(findings: Findings) -> str:
    """A row a point and seed: varied values, seed, every number; empty where there is none, with the reason last."""
    results = findings.results
    keys = list(dict.fromkeys(key for result in results for key in result.point.values))
    names = list(dict.fromkeys(name for result in results for name in result.mean))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["curve", "model", *keys, "seed", *names, "seconds", "epochs", "why"])
    for curve in findings.curves:
        for result in curve.results:
            values = [plain_cell(result.point.values.get(key)) for key in keys]
            for seed, row in zip(result.seeds, result.rows, strict=True):
                numbers = [plain_cell(row["numbers"].get(name)) for name in names]
                tail = [plain_cell(row["seconds"]), plain_cell(row["epochs"]), "; ".join(row["why"])]
                writer.writerow([curve.name, curve.model, *values, seed, *numbers, *tail])
    return text.getvalue()


def plain_cell(value: Any) -> str:
    """A value as a table in a file holds it: all digits; empty for None."""
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def scan_json(findings: Findings) -> dict[str, Any]:
    """scan.json: the rule, the events, the null, every point with its means, and what was chosen."""
    return {
        "schema": 1,
        "name": findings.config.name,
        "seed": findings.config.seed,
        "luminosity": findings.config.luminosity,
        "seeds": findings.seeds,
        "guided": findings.guided,
        "criterion": {
            "name": findings.criterion.name, "tolerance": findings.criterion.tolerance, "rule": findings.criterion.told,
        },
        "events": {**findings.counts, "rule": events_told(findings)},
        "null": findings.nulls,
        "chosen": {model: _chosen(result) for model, result in findings.best.items()},
        "points": [_point(curve, result) for curve in findings.curves for result in curve.results],
        "cost": findings.cost,
        "samples": findings.samples,
        "files": findings.files,
    }  # fmt: skip


def events_told(findings: Findings) -> str:
    """Which events choose and which report, in words."""
    part = findings.config.split.validation
    return (
        f"Of the events that a network was not trained on, the {100 * part:g} % that the hash of the event calls "
        f"validation ({findings.counts['choosing']}) choose, all others ({findings.counts['reporting']}) report."
    )


def _chosen(result: Result | None) -> dict[str, Any]:
    if result is None:
        return {"values": None, "why": "no point has all that the criterion needs"}
    return {"values": dict(result.point.values), "point": result.point.name}


def _point(curve: Curve, result: Result) -> dict[str, Any]:
    std: dict[str, Any] = dict(result.std)
    if any(value is None for value in std.values()):
        std["why"] = ONE_SEED
    entry = {
        "curve": curve.name,
        "model": curve.model,
        "method": result.point.method,
        "values": dict(result.point.values),
        "chosen": result is curve.chosen,
        "seeds": list(result.seeds),
        "failed": result.failed,
        "mean": dict(result.mean),
        "std": std,
    }
    return entry | ({"why": "; ".join(result.why)} if result.why else {})


# --- the page -----------------------------------------------------------------------------------------------------


def as_metrics(findings: Findings) -> dict[str, Any]:
    """The plain and the chosen point of each curve in the shape of metrics.json, for the report's own conclusions."""
    models: dict[str, Any] = {}
    for curve in findings.curves:
        for result in curve.results:
            bare = is_plain(result.point.config, curve.model)
            if bare or result is curve.chosen:
                name = "plain" if bare else f"{curve.name} {_told(curve, result)}".strip()
                models.setdefault(name, _model_entry(findings, curve.model, result))
    return {
        "samples": findings.samples,
        "models": models,
    }


def _told(curve: Curve, result: Result) -> str:
    return f"at {short(curve.key)} {curve.text(result)}" if curve.key else f"with {curve.text(result)}"


def _model_entry(findings: Findings, model: str, result: Result) -> dict[str, Any]:
    source = findings.config.domains[0]
    bias, domain_auc = {}, {}
    for other in findings.others:
        null = findings.nulls.get(model, {}).get(other, {})
        points = {f"{point:g}": result.mean.get(f"shift_{other}_{point:g}") for point in TAIL}
        errors = {f"{point:g}": result.std.get(f"shift_{other}_{point:g}") for point in TAIL}
        bias[f"{source}:{other}"] = {
            "class": "background", "ks": _spread(result, f"ks_{other}"), "ks_null": null.get("ks"),
            "efficiency_shift": points, "efficiency_shift_error": errors,
        }  # fmt: skip
        domain_auc[f"{source}:{other}"] = {"score": _spread(result, f"probe_{other}")}
    auc = {domain: _spread(result, f"auc_{domain}") for domain in findings.domains}
    return {"auc": auc, "bias": bias, "domain_auc": domain_auc}


def _spread(result: Result, name: str) -> dict[str, float | None]:
    value, std = result.mean.get(name), result.std.get(name)
    if value is None or std is None:
        return {"value": value}
    return {"value": value, "low": value - std, "high": value + std}


def chosen_table(findings: Findings) -> Table:
    """The plain point beside the chosen one of every curve, on reporting events."""
    head = ["Point", *(f"AUC {domain}" for domain in findings.domains), *(f"KS {other}" for other in findings.others)]
    head += [f"Shift at {100 * point:g} %, {other}" for other in findings.others for point in TAIL]
    rows: dict[str, list[Cell]] = {}
    for curve in findings.curves:
        for result in curve.results:
            bare = is_plain(result.point.config, curve.model)
            if bare or result is curve.chosen:
                name = f"{curve.model}, plain" if bare else f"{curve.name} {_told(curve, result)}"
                rows.setdefault(name, [Cell(name, name), *_cells(findings, curve.model, result)])
    note = "Without adaptation, and as chosen, on events that did not choose; ± over seeds."
    return Table("Plain and chosen", head, list(rows.values()) if len(rows) > 1 else [], note)


def _cells(findings: Findings, model: str, result: Result) -> list[Cell]:
    """AUC a domain, KS another domain, shifts in the tail."""
    cells = [_cell(result, f"auc_{domain}") for domain in findings.domains]
    cells += [_cell(result, f"ks_{other}", good=_inside(findings, model, result, other)) for other in findings.others]
    return cells + [
        _cell(result, f"shift_{other}_{point:g}", 100.0, " %") for other in findings.others for point in TAIL
    ]


def points_table(findings: Findings) -> Table:
    """Every point with its means and standard deviations on reporting events; the chosen ones are marked."""
    keys = list(dict.fromkeys(key for curve in findings.curves for key in [curve.key] if key))
    head = ["Curve", *(short(key) for key in dict.fromkeys(keys)), *(f"AUC {domain}" for domain in findings.domains)]
    head += [f"KS {other}" for other in findings.others]
    head += [f"Shift at {100 * point:g} %, {other}" for other in findings.others for point in TAIL]
    head += [f"Probe {other}" for other in findings.others]
    rows = []
    for curve in findings.curves:
        for result in curve.results:
            row = [Cell(curve.name, curve.name)]
            row += [_value_cell(result, key, result is curve.chosen) for key in dict.fromkeys(keys)]
            row += _cells(findings, curve.model, result)
            row += [_cell(result, f"probe_{other}") for other in findings.others]
            rows.append(row)
    note = (
        f"On reporting events; means and standard deviations over {findings.seeds} seed"
        f"{'s' * (findings.seeds > 1)}. A tick beside a value: chosen of its curve; beside a KS: no larger than two "
        "samples of one generator show. Probe: AUC of a fresh classifier of the domain on the score, 0.5 is blind."
    )
    return Table("All points", head, rows, note)


def choice_table(findings: Findings) -> Table:
    """What the choice saw: the loss of the source, the probe and the criterion on choosing events."""
    names = {"choice_loss": "Source loss", "choice_probe": "Probe AUC"}
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
    note = f"{events_told(findings)} The rule: {findings.criterion.told}."
    return Table("The choice", ["Point", *names.values(), "Training [s]", "Choice"], rows, note)


def _value_cell(result: Result, key: str, chosen: bool) -> Cell:
    value = result.point.values.get(key)
    if value is None:
        return Cell("", None)
    return Cell(plain(value), float(value), key, chosen)


def _cell(result: Result, name: str, factor: float = 1.0, unit: str = "", *, good: bool = False) -> Cell:
    return Quantity.read({name: _spread(result, name)}, name).scaled(factor).cell(digits=4, unit=unit, good=good)


def _inside(findings: Findings, model: str, result: Result, other: str) -> bool:
    null, ks = findings.nulls.get(model, {}).get(other, {}).get("ks"), result.mean.get(f"ks_{other}")
    return isinstance(null, float) and ks is not None and ks <= null


def conclusions(findings: Findings) -> list[str]:
    """What was chosen, and what the choice came to on the events that did not choose."""
    said = []
    for model, result in findings.best.items():
        if result is None:
            said.append(f"{model}: nothing could be chosen; no point has all that the criterion needs.")
        else:
            said.append(f"{model}: chosen is {result.point.name.partition(': ')[2] or 'its only point'}; the rule: "
                        f"{findings.criterion.told}. No label of the target was looked at.")  # fmt: skip
    said.append(events_told(findings))
    said.append(
        f"Every ± on this page is a standard deviation over {findings.seeds} seeds on the same events; what the finite "
        "test samples add to a shift is in scan.csv (shift_..._error)."
        if findings.seeds > 1 else "One seed: no spread is known; ask for five or more (--seeds)."
    )  # fmt: skip
    metrics = as_metrics(findings)
    if "plain" in metrics["models"]:
        said += conclude(metrics, plain="plain")
    else:
        said.append(
            "No point without adaptation (strength 0) is in this scan, so what adaptation cost and bought is not told."
        )
    return said


def console_table(findings: Findings) -> RichTable:
    """All points for the terminal: AUC, KS and one shift a domain, probe; the chosen ones are marked."""
    table = points_table(findings)
    shown = [i for i, heading in enumerate(table.head) if "Shift" not in heading or "20 %" in heading]
    drawn = RichTable(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    for i in shown:
        widest = max(len(row[i].short) for row in table.rows)
        drawn.add_column(Text(table.head[i]), justify="right" if i else "left", overflow="fold", min_width=widest)
    drawn.add_column(Text(""))
    marks = ["chosen" if r is curve.chosen else "" for curve in findings.curves for r in curve.results]
    for row, mark in zip(table.rows, marks, strict=True):
        drawn.add_row(*(Text(row[i].short) for i in shown), Text(mark))
    return drawn


def write_pages(folder: Path, findings: Findings, figures: Sequence[ReportFigure], manifest: Mapping[str, Any]) -> Path:
    """Write scan.csv, scan.json and scan.html into the folder; returns the page."""
    rundir.write_text(folder / "scan.csv", rows_csv(findings))
    numbers = rundir.plain(scan_json(findings))
    rundir.write_json(folder / "scan.json", numbers | {"manifest": manifest})
    failed = [
        f"{r.point.name}: {r.failed} of {len(r.rows)} trainings failed: {'; '.join(r.why)}"
        for r in findings.results
        if r.failed
    ]
    return write_report(
        folder / "scan.html",
        numbers | {"name": f"Scan of {findings.config.name}"},
        figures,
        config_text=resolved_yaml(findings.config),
        manifest=manifest,
        conclusions=conclusions(findings),
        warnings=[*failed, *findings.warnings],
        extra_tables={
            "summary": [chosen_table(findings), choice_table(findings)],
            "adaptation": [points_table(findings)],
        },
    )
