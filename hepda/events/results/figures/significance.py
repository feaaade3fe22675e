"""The figure of the expected significance against the cut."""

from __future__ import annotations

from collections.abc import Iterator

from hepda.events.results.figure_data import FigureData
from hepda.plotting.base.plot import Plot
from hepda.plotting.scores import significance
from hepda.report.drawing import Drawing


def significance_drawings(run: FigureData) -> Iterator[Drawing]:
    """Yield the expected significance against the cut."""
    scans = {m: numbers.scan for m, numbers in run.numbers.models.items() if numbers.scan is not None}
    yield Drawing(
        "significance", "significance", "Expected significance against the cut",
        "Asimov significance with Poisson fluctuations only, with background uncertainty, and with the uncertainty "
        "from the bias.",
        lambda: Plot.of(significance.significance_figure, scans, label=run.label(), models=run.models),
        first=True,
    )  # fmt: skip
