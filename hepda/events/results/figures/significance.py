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
    if not scans:
        return
    other = next((m.bias_from for m in run.numbers.models.values() if m.bias_from), "")
    yield Drawing(
        "significance", "significance", "Expected significance against the cut",
        "Asimov significance with Poisson fluctuations only, with background uncertainty, and with the uncertainty "
        f"from the bias{f' (the difference to {other})' if other else ''}. Bands: 68 % of bootstrap replicas of the "
        "events. Marker: the cut that is chosen and the significance that is quoted for it, on other events than "
        "those that chose it.",
        lambda: Plot.of(
            significance.significance_figure, scans, bias_from=other, label=run.label(), models=run.models
        ),
        first=True,
    )  # fmt: skip
