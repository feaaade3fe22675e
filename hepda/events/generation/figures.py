"""The figures of generative models of events. A new figure is a function, in any module, and a line of FIGURES."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hepda.config.event_generator.analysis import EventGeneratorConfig
from hepda.events.generation.judging import ENDS, Drawn
from hepda.events.refinement.figures import bin_edges
from hepda.events.resolve import appearance
from hepda.plotting.base.histogram import histogram
from hepda.plotting.base.plot import Plot
from hepda.plotting.base.style import AxisTexts, Label
from hepda.plotting.dial import dial_figure
from hepda.plotting.scores.features import guess_label
from hepda.plotting.scores.shapes import shape_figure
from hepda.plotting.speech import ErrorCurve
from hepda.report.drawing import Drawing
from hepda.report.registry import drawings_of
from hepda.report.training import history_drawings
from hepda.results.entries.event_generators import ClassifierAlong, DialPoint, EventGeneratorMetrics
from hepda.results.record import Measured

FIGURES = {
    "probes": "hepda.events.generation.figures:probes",
    "classifiers": "hepda.events.generation.figures:classifiers",
    "features": "hepda.events.generation.figures:features",
    "trainings": "hepda.events.generation.figures:trainings",
}
"""Groups of figures, `module:function`, in the order of the report; a function yields drawings of GenerationData."""
_FIRST = 3  # figures of features of a first look


@dataclass(frozen=True, slots=True)
class GenerationData:
    """The data of the figures."""

    config: EventGeneratorConfig
    drawn: Drawn
    metrics: EventGeneratorMetrics
    histories: Mapping[str, Sequence[Mapping[str, Sequence[float | None]]]]

    def label(self, note: str = "") -> Label:
        """Return the line above the axes."""
        look = appearance(self.config.analysis)
        status, text = look.heading("Simulation", note)
        return Label(status, look.luminosity, look.energy, text)


def drawings(data: GenerationData) -> list[Drawing]:
    """Return all figures of a run."""
    return drawings_of(FIGURES, data)


def probes(data: GenerationData) -> Iterator[Drawing]:
    """Yield the AUC of fresh classifiers against both generators along s."""
    for model, entry in data.metrics.models.items():
        title, real = data.config.title(model), data.metrics.real
        of: dict[str, Callable[[DialPoint], Measured]] = {
            "against generator A": lambda point: point.probe_origin,
            "against generator B": lambda point: point.probe_target,
        }  # fmt: skip
        curves = {name: _curve(entry.points, get) for name, get in of.items()}
        known = {} if real is None else {
            "against generator A": _single(ENDS[1], real.probe), "against generator B": _single(ENDS[0], real.probe)
        }  # fmt: skip
        yield Drawing(
            "summary", f"probe-{model}", f"{title}: told from both generators",
            "AUC of fresh boosted trees on the features, of folds that the network has not seen; open: the generators "
            "themselves. Grey: extrapolation.",
            lambda curves=curves, known=known, title=title: Plot.of(  # type: ignore[misc]
                dial_figure, curves, ylabel="AUC of a fresh classifier", level=0.5, level_text="no difference",
                real=known, real_text="A against B", label=data.label(title),
            ),
            first=True,
        )  # fmt: skip


def classifiers(data: GenerationData) -> Iterator[Drawing]:
    """Yield the bias of every classifier along s: background efficiency, and signal strength."""
    real = data.metrics.real
    if real is None or not real.classifiers:
        return
    quantities: list[tuple[str, str, str, Callable[[ClassifierAlong], Measured | None]]] = [
        ("efficiency", "Background efficiency, shift [%]", "background efficiency over that in generator A, less 1",
         lambda entry: _percent(entry.efficiency)),
        ("mu", "μ − 1", "signal strength of a fit with templates of generator A, less 1; bars: the finite samples",
         lambda entry: _shifted(entry.mu)),
    ]  # fmt: skip
    for model, entry in data.metrics.models.items():
        title = data.config.title(model)
        for key, ylabel, what, get in quantities:
            if any(get(one) is None for one in real.classifiers.values()):
                continue
            curves = {
                name: _curve(entry.points, lambda point, name=name, get=get: get(point.classifiers[name]))  # type: ignore[misc]
                for name in real.classifiers
            }
            known = {name: _single(ENDS[1], get(one)) for name, one in real.classifiers.items()}
            yield Drawing(
                "domains", f"{key}-{model}", f"{title}: {ylabel} along the dial",
                f"Of every classifier: {what}; open: events of generator B. Grey: extrapolation.",
                lambda curves=curves, known=known, ylabel=ylabel, title=title: Plot.of(  # type: ignore[misc]
                    dial_figure, curves, ylabel=ylabel, level=0.0, real=known, real_text="generator B",
                    label=data.label(title),
                ),
                first=True,
            )  # fmt: skip


def _percent(value: Measured) -> Measured:
    """Return a fraction in percent."""
    number, low, high = (100.0 * part for part in _ends(value))
    return Measured(value=number, low=low, high=high)


def _shifted(value: Measured | None) -> Measured | None:
    """Return mu less 1 with its interval; None without a fit."""
    if value is None or value.value is None:
        return None
    shift, error = value.value - 1.0, value.error or 0.0
    return Measured(value=shift, low=shift - error, high=shift + error)


def _curve(points: Sequence[DialPoint], get: Callable[[DialPoint], Measured | None]) -> ErrorCurve:
    found = [(point.scale, value) for point in points if (value := get(point)) is not None]
    parts = [(x, *_ends(value)) for x, value in found]
    return ErrorCurve(*(np.array(column, dtype=np.float64) for column in zip(*parts, strict=True)))


def _single(scale: float, value: Measured | None) -> ErrorCurve:
    parts = [] if value is None else [(scale, *_ends(value))]
    return ErrorCurve(*(np.array([part[k] for part in parts]) for k in range(4)))


def _ends(value: Measured) -> tuple[float, float, float]:
    if value.value is None or value.low is None or value.high is None:
        raise ValueError("a number of the dial has no interval")
    return float(value.value), float(value.low), float(value.high)


def features(data: GenerationData) -> Iterator[Drawing]:
    """Yield every feature of both generators and of the last model at s = 1, with ratios."""
    config, background = data.config, data.config.background
    model = list(config.models)[-1]
    names = ("generator A", f"{config.title(model)}, s = 1", "generator B")
    made = data.drawn.process(model, background, ENDS[1]).table
    tables = (data.drawn.real(background, target=False), made, data.drawn.real(background, target=True))
    for number, feature in enumerate(config.analysis.features):
        section = config.analysis.plots.get(feature)
        values = [table.features[:, number] for table in tables]
        edges = bin_edges(
            values[2], None if section is None else section.range, 40 if section is None else section.bins
        )
        weights = [table.weight for table in tables]
        curves = {n: histogram(v, w, edges) for n, v, w in zip(names, values, weights, strict=True)}
        label = (section.label if section else None) or guess_label(feature)
        texts = AxisTexts(x=f"{label} [{section.unit}]" if section and section.unit else label)
        yield Drawing(
            "inputs", f"feature-{feature}", f"{feature}: generated, and of both generators",
            "Each of unit area; below: over generator B.",
            lambda curves=curves, texts=texts: Plot.of(  # type: ignore[misc]
                shape_figure, curves, reference=names[2], model=config.name, label=data.label(), texts=texts
            ),
            first=number < _FIRST,
        )  # fmt: skip


def trainings(data: GenerationData) -> Iterator[Drawing]:
    """Yield the history of each network."""
    yield from history_drawings(
        data.histories, data.config.title, "One line per fold. Loss: the mean squared error of the velocity."
    )
