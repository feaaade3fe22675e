"""Figures of the separation of the classes: ROC curves, calibration, efficiencies."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hepda.evaluation.inputs import weighted_correlations
from hepda.evaluation.roc import purity_band
from hepda.events.results.figure_data import Array, FigureData, axis, short_label
from hepda.plotting.base.plot import Plot
from hepda.plotting.scores import calibration, efficiency, roc
from hepda.plotting.scores.correlations import correlations_figure
from hepda.plotting.scores.importance import class_importance_figure
from hepda.report.drawing import Drawing
from hepda.results.evaluation import FeatureImportance


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
    if run.models:
        yield from _purity(run)
    for domain in run.numbers.rocs:
        curves = {m: numbers.calibration[domain] for m, numbers in run.numbers.models.items()}
        yield Drawing(
            "separation", f"calibration_{domain}", f"Calibration, {domain}",
            "Signal fraction against the score, both classes scaled to the same yield; lower panel: the difference.",
            lambda curves=curves, domain=domain: Plot.of(  # type: ignore[misc]
                calibration.calibration_figure, curves, label=run.label(domain), models=run.models
            ),
        )  # fmt: skip
    importance = {m: n.importance for m, n in run.numbers.models.items() if isinstance(n.importance, FeatureImportance)}
    if importance:
        labels = {name: short_label(name, run.appearance.plots.get(name)) for name in run.table.names}
        yield Drawing(
            "separation", "class_importance", "Inputs that the models use",
            "Decrease of the AUC of a trained model if an input takes the values of other events, for the inputs that "
            "matter most; correlated inputs share importance, which can hide it.",
            lambda: Plot.of(
                class_importance_figure,
                importance, source=run.source, names=labels, label=run.label(), models=run.models,
            ),
        )  # fmt: skip
    if run.models:
        yield from _efficiencies(run)


def _purity(run: FigureData) -> Iterator[Drawing]:
    """Yield the purity against the signal efficiency, and the correlations of the scores of the models."""
    share = run.numbers.priors[run.source][0]
    if 0 < share < 1:
        bands = {model: purity_band(pair[1], share) for model, pair in run.numbers.rocs[run.source].items()}
        yield Drawing(
            "separation", f"purity_{run.source}", f"Purity against efficiency, {run.source}",
            f"Share of signal above a cut (precision) against its signal efficiency (recall), for {100 * share:.3g} % "
            "of signal before the cut; bands: 68 % of bootstrap replicas.",
            lambda: Plot.of(roc.purity_curves_figure, bands, label=run.label(run.source), models=run.models),
        )  # fmt: skip
    if len(run.models) > 1:
        yield Drawing(
            "separation", "score_correlations", "Correlations of the scores",
            f"Linear correlations between the scores of the models in {run.source}, in per cent, signed weights.",
            lambda: Plot.of(correlations_figure, _score_correlations(run), run.models, label=run.label()),
        )  # fmt: skip


def _score_correlations(run: FigureData) -> dict[str, Array]:
    scores = np.stack([run.scores[model] for model in run.models], axis=1)
    of_source = run.table.of_domain(run.source)
    rows = {"signal": of_source & (run.table.label == 1), "background": of_source & (run.table.label == 0)}
    return {name: weighted_correlations(scores[mask], run.table.weight[mask]) for name, mask in rows.items()}


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
