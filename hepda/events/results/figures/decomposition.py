"""Figures of the shift of the background as rates of its processes and shapes within them."""

from __future__ import annotations

from collections.abc import Iterator

from hepda.events.results.figure_data import FigureData
from hepda.plotting.base.plot import Plot
from hepda.plotting.scores import decomposition
from hepda.report.drawing import Drawing

AT = 0.3
"""Signal efficiency at which the parts of each process are drawn."""
METHOD = (
    "Rates: the shares of the processes differ; shapes: their own efficiencies differ; mean of the two orders, so that "
    "both add up to the whole (Kitagawa 1955)."
)


def decomposition_drawings(run: FigureData) -> Iterator[Drawing]:
    """Yield the parts of the shift to each domain by model and by process, and those in bins of each score."""
    by_model = {model: run.numbers.models[model].decomposition for model in run.models}
    others = [other for other in run.compared_domains if any(other in results for results in by_model.values())]
    for other in others:
        results = {model: of[other] for model, of in by_model.items() if other in of}
        points = {model: result.shifts for model, result in results.items()}
        class_name = next(iter(results.values())).class_name
        yield Drawing(
            "domains", f"decomposition_{other}", f"Shift by rates and shapes, {run.source} to {other}", METHOD,
            lambda points=points, other=other, class_name=class_name: (  # type: ignore[misc]
                Plot.of(
                    decomposition.decomposition_figure,
                    points, source=run.source, other=other, class_name=class_name, label=run.label(), names=run.models
                )
            ),
        )  # fmt: skip
        at = {m: min(of, key=lambda parts: abs((parts.signal_efficiency or 0) - AT)) for m, of in points.items()}
        first = next(iter(at.values())).signal_efficiency or 0.0
        cut = f"cut at {100 * first:g} % signal efficiency"
        yield Drawing(
            "domains", f"decomposition_processes_{other}", f"Shift by process, {run.source} to {other}",
            f"{METHOD} At the {cut}; the two parts of one process add up to the change of what of it passes.",
            lambda at=at, other=other, cut=cut: Plot.of(  # type: ignore[misc]
                decomposition.process_figure,
                at, source=run.source, other=other, cut=cut, label=run.label(), names=run.models
            ),
        )  # fmt: skip
    for model, results in by_model.items():
        bins = {other: results[other].bins for other in others if other in results}
        if bins:
            class_name = next(iter(results.values())).class_name
            yield Drawing(
                "domains", f"decomposition_bins_{model}", f"Shift by rates and shapes in bins of the score, {model}",
                f"Relative difference of the share of the {class_name} in each bin, with bands from sumw2. {METHOD}",
                lambda bins=bins, model=model, class_name=class_name: Plot.of(  # type: ignore[misc]
                    decomposition.bins_figure,
                    bins, source=run.source, model=model, class_name=class_name, label=run.label()
                ),
            )  # fmt: skip
