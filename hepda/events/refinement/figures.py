"""The figures of a refinement. A new figure is a function, in any module, and a line of FIGURES."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config.refinement.analysis import RefinementConfig
from hepda.events.refinement.events import RefinedEvents
from hepda.plotting.base.histogram import histogram
from hepda.plotting.base.plot import Plot
from hepda.plotting.base.style import AxisTexts
from hepda.plotting.scores.features import guess_label
from hepda.plotting.scores.shapes import shape_figure
from hepda.report.drawing import Drawing
from hepda.report.registry import drawings_of
from hepda.report.training import history_drawings

FIGURES = {
    "features": "hepda.events.refinement.figures:features",
    "trainings": "hepda.events.refinement.figures:trainings",
}
"""Groups of figures, `module:function`, in the order of the report; a function yields drawings of RefinementData."""
_FIRST = 3  # figures of a first look


@dataclass(frozen=True, slots=True)
class RefinementData:
    """The data of the figures."""

    config: RefinementConfig
    events: RefinedEvents
    scores: Mapping[str, NDArray[Any]]
    histories: Mapping[str, Sequence[Mapping[str, Sequence[float | None]]]]
    run: Path


def drawings(data: RefinementData) -> list[Drawing]:
    """Return all figures of a run."""
    return drawings_of(FIGURES, data)


def features(data: RefinementData) -> Iterator[Drawing]:
    """Yield every feature as it is, after the last method that changes events, and in the target, with ratios."""
    config, pair = data.config, data.config.learn
    changing = [name for name, model in config.models.items() if model.kind in ("residual", "quantiles")]
    model = next((name for name in reversed(changing) if config.models[name].kind == "residual"), changing[-1:] or None)
    name = model if isinstance(model, str) else config.baseline
    before, target = data.events.tables[pair.source], data.events.tables[pair.target]
    after = data.events.pair(data.run, name, pair, data.scores[name]).background
    for number, feature in enumerate(config.analysis.features):
        section = config.analysis.plots.get(feature)
        values = [table.features[:, number] for table in (before, after, target)]
        limits, bins = (None, 40) if section is None else (section.range, section.bins)
        edges = bin_edges(values[2], limits, bins)
        weights = (before.weight, after.weight, target.weight)
        names = ("simulation", f"after {config.title(name)}", "target")
        curves = {n: histogram(v, w, edges) for n, v, w in zip(names, values, weights, strict=True)}
        label = (section.label if section else None) or guess_label(feature)
        unit = f" [{section.unit}]" if section and section.unit else ""
        texts = AxisTexts(x=f"{label}{unit}")
        yield Drawing(
            "inputs", f"feature-{feature}", f"{feature}: before, after and in the target",
            f"{pair.source} and {pair.target}, each of unit area; below: over the target.",
            lambda curves=curves, texts=texts: Plot.of(  # type: ignore[misc]
                shape_figure, curves, reference="target", model=data.config.name, texts=texts
            ),
            first=number < _FIRST,
        )  # fmt: skip


def bin_edges(values: NDArray[np.float32], limits: tuple[float, float] | None, bins: int) -> NDArray[np.float64]:
    """Return edges of equal bins: of the given range, or of all but the outermost thousandths of the values."""
    low, high = limits or (float(np.quantile(values, 0.001)), float(np.quantile(values, 0.999)))
    return np.linspace(low, max(high, low + 1e-6), bins + 1)


def trainings(data: RefinementData) -> Iterator[Drawing]:
    """Yield the history of each network."""
    caption = (
        "One line per training. Loss: an estimate of T², the distance of the means of the objects from the target."
    )
    yield from history_drawings(data.histories, data.config.title, caption)
