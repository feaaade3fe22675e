"""Figures of new last layers that were fitted to few labelled events of another domain."""

from __future__ import annotations

from collections.abc import Iterator

from hepda.events.results.figure_data import FigureData
from hepda.plotting.base.plot import Plot
from hepda.plotting.scores.roc import few_labels_figure
from hepda.report.drawing import Drawing
from hepda.results.evaluation import FewLabels


def few_labels_drawings(run: FigureData) -> Iterator[Drawing]:
    """Yield the AUC against the number of labelled events, for each network, with `evaluation.few_labels`."""
    section = run.spec.settings.few_labels
    for model, numbers in run.numbers.models.items():
        if section is None or not isinstance(numbers.few_labels, FewLabels):
            continue
        yield Drawing(
            "domains", f"few_labels_{model}", f"New last layers from few labels, {model}",
            f"AUC in {section.domain} if only the last layer is fitted to labelled events of it; bars: 68 % of the "
            "draws of these events; judged on other events.",
            lambda result=numbers.few_labels, model=model: Plot.of(  # type: ignore[misc]
                few_labels_figure, result, model=model, domain=section.domain, label=run.label(section.domain)
            ),
        )  # fmt: skip
