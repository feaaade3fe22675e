"""What a scan leaves: scan.csv (a row a point and seed), scan_chosen.csv, scan.json and scan.html."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hepda.config import resolved_yaml
from hepda.events.results.tables.conclusions import conclude
from hepda.events.results.tables.sections import section_tables
from hepda.number_format import Quantity
from hepda.report.page import ReportPage, Undrawn, write_report
from hepda.results.events import EventMetrics
from hepda.runtime import figures, run_directory
from hepda.workflows.scan.choice import Result
from hepda.workflows.scan.corrected import BestNumbers
from hepda.workflows.scan.findings import Findings, ScanCurve, events_text
from hepda.workflows.scan.measuring import TAIL
from hepda.workflows.scan.points import is_baseline
from hepda.workflows.scan.tables import best_quantity, choice_table, chosen_table, points_table, spread, varied_text
from hepda.workflows.scan.tail import ratios_and_verdict

ONE_SEED = "one seed has no standard deviation"


def rows_csv(findings: Findings) -> str:
    """Return a row a point and seed: varied values, seed, every number; empty where there is none, with the reason
    last.
    """
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
    """Return a value as a table in a file holds it: all digits; empty for None."""
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def scan_json(findings: Findings) -> dict[str, Any]:
    """Return the content of scan.json: the rule, the events, the null distributions, all points and the chosen ones."""
    return {
        "schema": 1,
        "name": findings.config.name,
        "seed": findings.config.seed,
        "luminosity": findings.config.luminosity,
        "seeds": findings.seeds,
        "guided": findings.guided,
        "criterion": {
            "name": findings.criterion.name, "tolerance": findings.criterion.tolerance, "rule": findings.criterion.rule,
        },
        "events": {**findings.counts, "rule": events_text(findings)},
        "null": findings.nulls,
        "chosen": {
            model: _chosen(result, findings.corrected.get(model, {})) for model, result in findings.best.items()
        },
        "points": [_point(curve, result) for curve in findings.curves for result in curve.results],
        "cost": findings.cost,
        "samples": findings.samples,
        "files": findings.files,
    }  # fmt: skip


def _chosen(result: Result | None, corrected: BestNumbers) -> dict[str, Any]:
    if result is None:
        return {"values": None, "why": "no point has all inputs of the criterion"}
    return {"values": dict(result.point.values), "point": result.point.name} | _best_of(corrected)


def _best_of(corrected: BestNumbers) -> dict[str, Any]:
    """Return the key `best_of`: of each number of a chosen point, naive, corrected (`value`) and its interval."""
    entries = {
        name: {key: value for key, value in asdict(best).items() if key != "point" and (key != "why" or value)}
        for name, best in corrected.items()
    }
    return {"best_of": entries} if entries else {}


def _point(curve: ScanCurve, result: Result) -> dict[str, Any]:
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
    entry |= _best_of(curve.corrected) if result is curve.chosen else {}
    return entry | ({"why": "; ".join(result.why)} if result.why else {})


def as_metrics(findings: Findings, model: str) -> EventMetrics:
    """Return the baseline and the chosen points of a model in the form of metrics.json, for the conclusions."""
    models: dict[str, Any] = {}
    for curve in [curve for curve in findings.curves if curve.model == model]:
        baseline = next((r for r in curve.results if is_baseline(r.point.config, curve.model)), None)
        for result in curve.results:
            is_reference = is_baseline(result.point.config, curve.model)
            if is_reference or result is curve.chosen:
                name = "baseline" if is_reference else f"{curve.name} {varied_text(curve, result)}".strip()
                entry = _model_entry(findings, curve.model, result)
                models.setdefault(
                    name, entry | ({} if is_reference else ratios_and_verdict(baseline, result, findings.compared))
                )
    return EventMetrics.from_json(run_directory.plain({"samples": findings.samples, "models": models}))


def _model_entry(findings: Findings, model: str, result: Result) -> dict[str, Any]:
    source = findings.config.nominal_domain
    bias, domain_auc = {}, {}
    for other in findings.compared:
        null = findings.nulls.get(model, {}).get(other, {})
        points = {f"{point:g}": result.mean.get(f"shift_{other}_{point:g}") for point in TAIL}
        errors = {f"{point:g}": result.std.get(f"shift_{other}_{point:g}") for point in TAIL}
        bias[f"{source}:{other}"] = {
            "class": "background", "ks": spread(result, f"ks_{other}"), "ks_null": null.get("ks"),
            "efficiency_shift": points, "efficiency_shift_error": errors,
        }  # fmt: skip
        domain_auc[f"{source}:{other}"] = {"score": spread(result, f"probe_{other}")}
    auc = {domain: spread(result, f"auc_{domain}") for domain in findings.domains}
    return {"auc": auc, "bias": bias, "domain_auc": domain_auc}


def conclusions(findings: Findings) -> list[str]:
    """Return what was chosen, and the results of the choice on the events that did not choose."""
    sentences = []
    for model, result in findings.best.items():
        if result is None:
            sentences.append(f"{model}: nothing was selected; no point has all inputs of the criterion.")
        else:
            values = result.point.name.partition(": ")[2] or "its only point"
            labels = " No label of the target was used." if findings.compared else ""
            sentences.append(f"{model}: chosen is {values}; the rule: {findings.criterion.rule}.{labels}")
    sentences.append(events_text(findings))
    sentences.append(
        f"Every ± in the tables is a standard deviation over {findings.seeds} seeds on the same events"
        + ("; the additional error of a shift from the finite test samples is in scan.csv (shift_..._error), and is "
            "included in the errors and verdicts below." if findings.compared else ".")
        if findings.seeds > 1 else "With one seed, the spread is unknown; use five or more (--seeds)."
    )  # fmt: skip
    sentences += [
        corrected_sentence(findings, model, numbers) for model, numbers in findings.corrected.items() if numbers
    ]
    comparisons: list[str] = []
    for model in findings.best if findings.compared else ():
        metrics = as_metrics(findings, model)
        comparisons += (
            conclude(metrics, baseline="baseline")
            if "baseline" in metrics.models
            else [f"No point of {model} is without adaptation (strength 0), so cost and gain are unknown."]
        )
    sentences += dict.fromkeys(comparisons)  # what holds for all of them once
    return sentences


def corrected_sentence(findings: Findings, model: str, corrected: BestNumbers) -> str:
    """Return the main numbers of a model's chosen point: as its seeds have them, and corrected for the choice."""
    names = {f"auc_{findings.config.nominal_domain}": f"AUC {findings.config.nominal_domain}"}
    names |= {f"ks_{other}": f"KS {other}" for other in findings.compared}
    shown = {text: corrected[name] for name, text in names.items() if name in corrected}
    points = max((best.points for best in shown.values()), default=0)
    start = f"{model}: the chosen one of {points} points is also the luckiest one."
    missing = next((best.why for best in shown.values() if best.value is None), None)
    if missing:
        return f"{start} Its numbers cannot be corrected for that: {missing}."
    numbers = ", ".join(
        f"{text} {best_quantity(best).cell().text} (measured: {Quantity(best.naive).cell(digits=4).text})"
        for text, best in shown.items()
    )
    return f"{start} Corrected for that, with 68 % intervals over trainings: {numbers}."


def chosen_csv(findings: Findings) -> str:
    """Return a row for each number of the chosen point of every curve: naive, corrected, interval, bias."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ("naive", "value", "low", "high", "bias", "points", "seeds", "why")
    writer.writerow(["curve", "model", "point", "number", *columns])
    for curve in findings.curves:
        for name, best in curve.corrected.items():
            point = "" if curve.chosen is None else curve.chosen.point.name
            cells = [plain_cell(getattr(best, column)) for column in columns]
            writer.writerow([curve.name, curve.model, point, name, *cells])
    return text.getvalue()


def write_pages(folder: Path, findings: Findings, manifest: Mapping[str, Any]) -> Path:
    """Write scan.csv, scan_chosen.csv, scan.json and scan.html, with the figures of the folder; returns the page."""
    run_directory.write_text(folder / "scan.csv", rows_csv(findings))
    run_directory.write_text(folder / "scan_chosen.csv", chosen_csv(findings))
    numbers = run_directory.plain(scan_json(findings))
    run_directory.write_json(folder / "scan.json", numbers | {"manifest": manifest})
    tables = section_tables(EventMetrics.from_json({"samples": numbers["samples"]}))
    tables["summary"] += [chosen_table(findings), choice_table(findings)]
    tables["adaptation"].append(points_table(findings))
    return write_report(
        folder / "scan.html",
        ReportPage(
            numbers | {"name": f"Scan of {findings.config.name}"},
            [figure for _, figure in figures.shown(folder)[0]],
            undrawn=_undrawn(folder),
            tables=tables,
            conclusions=conclusions(findings),
            warnings=[*findings.failures, *findings.warnings],
            config_text=resolved_yaml(findings.config),
            manifest=manifest,
        ),
    )


def _undrawn(folder: Path) -> Undrawn:
    """Return the figures that were not asked for."""
    titles: dict[str, list[str]] = {}
    for _, section, title in figures.not_drawn(folder):
        titles.setdefault(section, []).append(title)
    return Undrawn(titles, "the same command with --plots all; no training is repeated")
