"""Figures of what differs between the domains, and of what adaptation changes."""

from __future__ import annotations

from collections.abc import Iterator

from hepda.events.results.figure_data import FigureData, short_label
from hepda.plotting.base.plot import Plot
from hepda.plotting.scores import bias, efficiency, ratios, tradeoff
from hepda.report.drawing import Drawing


def bias_drawings(run: FigureData) -> Iterator[Drawing]:
    """Yield efficiency shifts, KS distances and the trade-off."""
    models = run.numbers.models
    for other in run.compared_domains if models else ():
        curves = {model: models[model].shift_curve[other] for model in run.models}
        name = models[run.models[0]].bias[other].class_name
        yield Drawing(
            "domains", f"efficiency_shift_{other}", f"Efficiency shift, {run.source} to {other}",
            "Relative difference of the background efficiency at cuts with the given signal efficiency. Bands of the "
            "models: statistical errors. Grey: shifts between two samples of one generator of these sizes and weights.",
            lambda curves=curves, other=other, name=name: Plot.of(  # type: ignore[misc]
                bias.shift_figure,
                curves, source=run.source, other=other, class_name=name, label=run.label(), models=run.models
            ),
            first=True,
        )  # fmt: skip
    distances = {other: {model: models[model].bias[other] for model in run.models} for other in run.compared_domains}
    distances = distances if run.models else {}
    if distances:
        yield Drawing(
            "domains", "ks", "KS distance of the background score",
            "Thin bars: statistical error; black mark: 95 % quantile for two samples of one generator.",
            lambda: Plot.of(bias.ks_figure, distances, source=run.source, label=run.label()),
            first=True,
        )  # fmt: skip
    importance = {d: entry for d, entry in run.numbers.importance.items() if not isinstance(entry, str)}
    if importance:
        yield Drawing(
            "domains", "importance", "Inputs that differ between the domains",
            "Decrease of the AUC of a fresh domain classifier when the input is permuted; correlated inputs share "
            "importance, which can hide it. A negative value is a fluctuation: the input does not help.",
            lambda: Plot.of(
                efficiency.importance_figure,
                importance, source=run.source, names=_names(run), label=run.label(data=run.has_data),
            ),
        )  # fmt: skip
    if distances:
        yield from _ratios(run)
        yield from _tradeoff(run, next(iter(distances)))


def _names(run: FigureData) -> dict[str, str]:
    """Return the labels of the inputs, without units, and those of the domains of data."""
    labels = {name: short_label(name, run.appearance.plots.get(name)) for name in run.table.names}
    return labels | {domain: run.appearance.label_of(domain) for domain in run.numbers.unlabelled}


def _ratios(run: FigureData) -> Iterator[Drawing]:
    """Yield the shifts of the adapted models divided by those of the baseline model, for the simulated domains."""
    models = run.numbers.models
    curves = {
        other: {model: models[model].ratios[other] for model in run.models if models[model].ratios}
        for other in run.compared_domains
    }
    if any(point.ratio is not None for by_model in curves.values() for points in by_model.values() for point in points):
        yield Drawing(
            "adaptation", "shift_ratio", "Shifts relative to the baseline",
            f"Efficiency shift of each model divided by that of {run.numbers.baseline}, at the same signal efficiency; "
            "68 % of paired bootstrap replicas. Open points: the shift of the baseline is within two errors of zero.",
            lambda: Plot.of(
                ratios.ratio_figure,
                curves, baseline=run.numbers.baseline, source=run.source, held_out=run.spec.domains.held_out,
                label=run.label(), models=run.models,
            ),
            first=True,
        )  # fmt: skip


def _tradeoff(run: FigureData, other: str) -> Iterator[Drawing]:
    points = {}
    nulls = []
    for model in run.models:
        difference = run.numbers.models[model].bias[other]
        area = run.numbers.auc(model, run.source)
        error = difference.ks_error or 0.0
        points[model] = tradeoff.TradeoffPoint(
            difference.ks, area.value, difference.ks - error, difference.ks + error, area.low, area.high
        )
        nulls += [difference.null.quantile] if difference.null is not None else []
    yield Drawing(
        "adaptation", "tradeoff", "Separation against bias",
        f"AUC in {run.source} against the KS distance of the background score to {other}. All models are "
        "evaluated on the same events: their differences are known better than the error bars suggest.",
        lambda: Plot.of(
            tradeoff.tradeoff_figure, points, null=max(nulls) if nulls else None, label=run.label(), names=run.models,
            bias_name=f"Background KS distance, {run.source} to {other}", auc_name=f"AUC ({run.source})",
        ),
        first=True,
    )  # fmt: skip
