"""Figures of models that predict a number: response, resolution, residual and prediction by domain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from hepda.events.results.figure_data import Array, FigureData
from hepda.events.results.regression.numbers import compared_pairs, target_of, with_target
from hepda.plotting.base.histogram import Histogram, choose_edges, histogram
from hepda.plotting.base.plot import Plot
from hepda.plotting.base.style import AxisTexts
from hepda.plotting.scores import regression, shapes
from hepda.report.drawing import Drawing


def regression_drawings(run: FigureData) -> Iterator[Drawing]:
    """Yield the figures of each model that predicts a number."""
    for model, numbers in run.numbers.regressions.items():
        section = run.spec.models[model].regression
        curves = {domain: found[1] for domain, found in numbers.domains.items() if not isinstance(found, str)}
        if curves:
            yield Drawing(
                "regression", f"response_{model}", f"Response, {model}",
                "Prediction in bins of the target: median and central 68 % of the events.",
                lambda curves=curves, model=model, section=section: Plot.of(  # type: ignore[misc]
                    regression.response_figure, curves, model=model, xlabel=section.axis("Target"),
                    ylabel=section.axis("Predicted"), label=run.label(),
                ),
                first=True,
            )  # fmt: skip
            yield Drawing(
                "regression", f"resolution_{model}", f"Resolution against target, {model}",
                "Resolution (half the width of the central 68 % of prediction minus target) and bias (its mean) in "
                "bins of the target; bars: 68 % of bootstrap replicas.",
                lambda curves=curves, model=model, section=section: Plot.of(  # type: ignore[misc]
                    regression.resolution_figure, curves, model=model, xlabel=section.axis("Target"),
                    unit=section.unit or "", label=run.label(),
                ),
                first=True,
            )  # fmt: skip
        yield from _by_domain(run, model)


def _by_domain(run: FigureData, model: str) -> Iterator[Drawing]:
    """Yield the residual and the prediction of a model by domain, where there is a second one."""
    section = run.spec.models[model].regression
    residual = _residual_shapes(run, model)
    if len(residual) > 1:
        yield Drawing(
            "regression", f"residual_{model}", f"Residual by domain, {model}",
            "Prediction minus target, normalised to unit area, errors from sumw2; lower panel: ratio to the nominal "
            "domain.",
            lambda: Plot.of(
                shapes.shape_figure, residual, reference=run.source, model=model, label=run.label(model),
                texts=AxisTexts(x=section.axis("Predicted minus true")),
            ),
            first=True,
        )  # fmt: skip
    prediction = _prediction_shapes(run, model)
    if len(prediction) > 1:
        data = any(domain in run.spec.domains.data for domain in prediction)
        yield Drawing(
            "regression", f"prediction_{model}", f"Prediction by domain, {model}",
            "Of all selected events of these processes, with or without a target, normalised to unit area, errors from "
            "sumw2; lower panel: ratio to the nominal domain.",
            lambda: Plot.of(
                shapes.shape_figure, prediction, reference=run.source, model=model, label=run.label(model, data=data),
                texts=AxisTexts(x=section.axis("Predicted")),
            ),
            first=True,
        )  # fmt: skip


def _residual_shapes(run: FigureData, model: str) -> dict[str, Histogram]:
    spec, table = run.spec, run.table
    about = spec.models[model]
    values = np.asarray(run.predictions[model], dtype=np.float64) - target_of(about, table)
    return _histograms(run, values, with_target(spec, table, about))


def _prediction_shapes(run: FigureData, model: str) -> dict[str, Histogram]:
    """Return the prediction of the nominal domain and of each other one that is compared with the same events of it."""
    pairs = compared_pairs(run.spec, run.table, run.spec.models[model])
    known = {other: pair for other, pair in pairs.items() if not isinstance(pair, str)}
    if not known:
        return {}
    source = next(iter(known.values()))[0]
    same = {other: pair[1] for other, pair in known.items() if np.array_equal(pair[0], source)}
    return _histograms(run, np.asarray(run.predictions[model], dtype=np.float64), {run.source: source, **same})


def _histograms(run: FigureData, values: Array, rows: Mapping[str, Array]) -> dict[str, Histogram]:
    """Return normalisable histograms of values [n] by domain, in bins that all share."""
    usable = {domain: mask for domain, mask in rows.items() if run.table.weight[mask].sum() > 0}
    if run.source not in usable:
        return {}
    edges = choose_edges([values[mask] for mask in usable.values()])
    return {domain: histogram(values[mask], run.table.weight[mask], edges) for domain, mask in usable.items()}
