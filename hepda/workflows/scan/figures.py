"""The figures of a scan, from its findings. A new figure is a function, in any module, and a line of FIGURES."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from hepda.plotting.base.plot import Plot
from hepda.plotting.base.style import Label
from hepda.plotting.scan import Corrected, Panel, ScanPoint, Spread, scan_criterion_figure, scan_tradeoff_figure
from hepda.report import drawing
from hepda.report.drawing import Drawing
from hepda.report.registry import drawings_of
from hepda.runtime import figures
from hepda.runtime.plots import Plots
from hepda.runtime.pool import ignore_progress
from hepda.workflows.scan.choice import Result, smallest_loss
from hepda.workflows.scan.findings import Findings, ScanCurve, events_text
from hepda.workflows.scan.measuring import LOSS, PHYSICS
from hepda.workflows.scan.points import short

FIGURES = {
    "tradeoff": "hepda.workflows.scan.figures:tradeoffs",
    "criterion": "hepda.workflows.scan.figures:criteria",
}
"""Groups of figures, `module:function`, in the order of the page; a function yields drawings of Findings."""
TAIL_POINT = 0.2
"""Signal efficiency at which the drawn shift is measured."""


def draw(findings: Findings, folder: Path, plots: Plots) -> None:
    """Keep the data of all figures, the trade-off of all models and the numbers behind the choice of each; draw some.

    The warnings of the findings get a line for each figure that could not be drawn; the page lists them.
    """
    drawing.record(folder, "scan", drawing.texts_of(drawings_of(FIGURES, findings)), "figures")
    drawing.draw(folder, plots, 1, ignore_progress)
    findings.warnings = [*findings.warnings, *figures.shown(folder)[1]]


def tradeoffs(findings: Findings) -> Iterator[Drawing]:
    """Yield separation against bias, if there is a second domain.

    Models that are scanned along keys of the same name share the figure.
    """
    if not findings.compared:
        return
    by_model = _curves_by_model(findings)
    one_key = len({short(curve.key or "") for curve in findings.curves}) == 1
    groups = {", ".join(by_model): findings.curves} if one_key else by_model
    for name, curves in groups.items():
        yield _tradeoff(findings, name, curves)


def criteria(findings: Findings) -> Iterator[Drawing]:
    """Yield the numbers behind the choice of each model, which is made within the model."""
    for model, curves in _curves_by_model(findings).items():
        yield _criterion(findings, model, curves)


def _curves_by_model(findings: Findings) -> dict[str, list[ScanCurve]]:
    return {model: [curve for curve in findings.curves if curve.model == model] for model in findings.best}


def _points(findings: Findings, curve: ScanCurve) -> list[ScanPoint]:
    best = findings.best.get(curve.model)
    expected = {
        name: Corrected(number.value, number.low, number.high)
        for name, number in findings.corrected.get(curve.model, {}).items()
        if number.value is not None and number.low is not None and number.high is not None
    }
    return [
        ScanPoint(curve.at(r), curve.text(r), _numbers(r), r is best, bool(r.failed), expected if r is best else {})
        for r in curve.results
    ]


def _squares(findings: Findings) -> str:
    """Return the sentence of the caption that explains the squares; "" if there are none."""
    numbers = [best.value for of_model in findings.corrected.values() for best in of_model.values()]
    if not any(value is not None for value in numbers):
        return ""
    return (
        " Square: what to expect of more trainings at the selected point, corrected for its being the best of several, "
        "with 68 % intervals."
    )


def _crosses(findings: Findings, curves: Sequence[ScanCurve]) -> str:
    """Return the sentence of the caption that explains the crosses; "" if no training failed."""
    failed = [(curve, r) for curve in curves for r in curve.results if r.failed]
    if not failed:
        return ""
    points = ", ".join(f"{curve.name} at {curve.text(r)} ({r.failed} of {len(r.rows)} seeds)" for curve, r in failed)
    return f" Crosses: some trainings failed; means are over the other seeds, if any: {points}."


def _numbers(result: Result) -> dict[str, Spread]:
    return {name: Spread(value, result.std[name]) for name, value in result.mean.items() if value is not None}


def _label(findings: Findings) -> Label:
    # Scans evaluate simulation: an AUC needs labels, which data do not have.
    config = findings.config
    status, note = (config.experiment_label, "Simulation") if config.experiment_label else ("Simulation", "")
    return Label(status, config.luminosity_label or config.luminosity, config.energy, note)


def _tradeoff(findings: Findings, name: str, curves: Sequence[ScanCurve]) -> Drawing:
    source, compared = findings.config.nominal_domain, findings.compared[:2]
    models = {curve.model for curve in curves}
    lines = [(source, compared[0]), *((other if other in findings.domains else source, other) for other in compared)]
    lines = list(dict.fromkeys(lines))
    panels = []
    for domain, other in lines:
        null = findings.nulls.get(curves[0].model, {}).get(other, {}).get("ks")
        shift = _shift_null(curves, f"shift_{other}_{TAIL_POINT:g}_error")
        panels.append([
            Panel(f"auc_{domain}", f"AUC ({domain})", f"ks_{other}", f"KS distance of the background to {other}",
                  band=(0.0, null) if isinstance(null, float) else None),
            Panel(f"auc_{domain}", f"AUC ({domain})", f"shift_{other}_{TAIL_POINT:g}",
                  f"Background shift at {100 * TAIL_POINT:g} % signal, {other} [%]", 100.0,
                  band=None if shift is None else (-1.96 * shift, 1.96 * shift)),
        ])  # fmt: skip
    along = next((short(curve.key) for curve in curves if curve.key), "value")
    caption = (
        f"Area under the ROC curve against the bias of the background score, {along} at the points; means "
        f"and standard deviations over {findings.seeds} seed{'s' * (findings.seeds > 1)}, on events not used for the "
        "selection. Grey: 95 % quantile for two samples of one generator. Circle: point selected without labels of "
        "the target. The best corner is the upper left, or the middle for a shift."
        f"{_squares(findings)}{_crosses(findings, curves)}"
    )
    return Drawing(
        "adaptation", f"scan_tradeoff_{curves[0].model}" if len(models) == 1 else "scan_tradeoff",
        f"{name}: separation against bias", caption,
        lambda: Plot.of(
            scan_tradeoff_figure,
            {curve.name: _points(findings, curve) for curve in curves}, panels, connected=not findings.guided,
            label=_label(findings),
        ),
        first=True,
    )  # fmt: skip


def _shift_null(curves: Sequence[ScanCurve], name: str) -> float | None:
    """Return the error of a shift that is zero: the smallest of those of the points, None if no point has one."""
    errors = [value for c in curves for r in c.results for value in [r.mean.get(name)] if value is not None]
    return min(errors, default=None)


def _criterion(findings: Findings, model: str, curves: Sequence[ScanCurve]) -> Drawing:
    best = smallest_loss([result for curve in curves for result in curve.results])
    physics = findings.criterion.name == PHYSICS
    allowed = (best, best * (1.0 + findings.criterion.tolerance)) if physics and best is not None else None
    panels = [Panel("choice_loss", "Source loss", band=allowed)]
    if findings.criterion.name != LOSS:
        panels.append(Panel("choice_probe", "AUC of a fresh probe"))
    if findings.criterion.name not in (PHYSICS, LOSS):
        panels.insert(0, Panel(f"choice_{findings.criterion.name}", f"Criterion: {findings.criterion.name}"))
    source, compared = findings.config.nominal_domain, findings.compared[:1]
    panels.append(Panel(f"auc_{source}", f"AUC ({source})"))
    panels += [Panel(f"ks_{name}", f"KS to {name}") for name in compared]
    key = curves[0].key
    criteria = {PHYSICS: "source loss and probe", LOSS: "source loss"}.get(
        findings.criterion.name, "criterion, source loss and probe"
    )
    caption = (
        f"Criteria of the selection ({criteria}); lower panels: results on other events. {events_text(findings)}"
        f"{_squares(findings)}{_crosses(findings, curves)}"
    )
    return Drawing(
        "summary", f"scan_criterion_{model}", f"{model}: selection", caption,
        lambda: Plot.of(
            scan_criterion_figure,
            {curve.name: _points(findings, curve) for curve in curves}, panels, key=short(key) if key else "value",
            connected=not findings.guided, band_text="allowed by the loss" if allowed else "", words=key is None,
            label=_label(findings),
        ),
        first=True,
    )  # fmt: skip
