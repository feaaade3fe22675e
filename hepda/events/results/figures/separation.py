"""Figures of the separation of the classes: ROC curves, calibration, efficiencies."""

from __future__ import annotations

from collections.abc import Iterator

from hepda.events.results.figure_data import FigureData, axis
from hepda.plotting.base.plot import Plot
from hepda.plotting.scores import calibration, efficiency, roc
from hepda.report.drawing import Drawing


def separation_drawings(run: FigureData) -> Iterator[Drawing]:
    """Yield the ROC curves of all models in every labelled domain, and the calibration."""
    reference = run.numbers.baseline
    for domain, pairs in run.numbers.rocs.items():
        bands = {model: pair[1] for model, pair in pairs.items()}
        areas = {model: pair[0].auc for model, pair in pairs.items()}
        yield Drawing(
            "separation", f"roc_{domain}", f"Background rejection, {domain}",
            f"Test events; bands: 68 % of bootstrap replicas, the same for all models, whose "
            f"differences are thus known better than the bands suggest; lower panel: ratio to {reference}.",
            lambda bands=bands, areas=areas, domain=domain: Plot.of(  # type: ignore[misc]
                roc.roc_figure, bands, reference=reference, auc=areas, label=run.label(domain), models=run.models
            ),
            first=domain == run.source,
        )  # fmt: skip
    for domain in run.numbers.rocs:
        curves = {m: numbers.calibration[domain] for m, numbers in run.numbers.models.items()}
        yield Drawing(
            "separation", f"calibration_{domain}", f"Calibration, {domain}",
            "Signal fraction against the score, both classes scaled to the same yield; lower panel: the difference.",
            lambda curves=curves, domain=domain: Plot.of(  # type: ignore[misc]
                calibration.calibration_figure, curves, label=run.label(domain), models=run.models
            ),
        )  # fmt: skip
    yield from _efficiencies(run)


def _efficiencies(run: FigureData) -> Iterator[Drawing]:
    """Yield the efficiency of the first working point against each variable of `evaluation.efficiency_against`."""
    at = f"cut at {100 * run.spec.settings.working_points[0]:g} % signal efficiency"
    for variable in run.spec.settings.efficiency_against:
        by_model = {m: numbers.efficiency[variable] for m, numbers in run.numbers.models.items()}
        curves = {
            name: {m: efficiencies[name] for m, efficiencies in by_model.items()} for name in ("signal", "background")
        }
        text, _ = axis(variable, run.appearance.plots.get(variable))
        yield Drawing(
            "separation", f"efficiency_{variable}", f"Efficiency against {variable}",
            f"Of signal and background in {run.source}, {at}.",
            lambda curves=curves, text=text: Plot.of(  # type: ignore[misc]
                efficiency.efficiency_figure, curves, xlabel=text, cut=at, label=run.label(), models=run.models
            ),
        )  # fmt: skip
