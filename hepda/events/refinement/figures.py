"""The figures of a refinement. A new figure is a function, in any module, and a line of FIGURES."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config.refinement.analysis import RefinementConfig
from hepda.events.refinement.events import RefinedEvents
from hepda.events.refinement.refiners import changes_objects
from hepda.events.resolve import appearance
from hepda.plotting.base.histogram import Histogram, histogram
from hepda.plotting.base.plot import Plot
from hepda.plotting.base.style import AxisTexts, Label
from hepda.plotting.scores.features import guess_label
from hepda.plotting.scores.shapes import shape_figure
from hepda.report.drawing import Drawing
from hepda.report.registry import drawings_of
from hepda.report.training import history_drawings

FIGURES = {
    "jets": "hepda.events.refinement.figures:jets",
    "features": "hepda.events.refinement.figures:features",
    "trainings": "hepda.events.refinement.figures:trainings",
}
"""Groups of figures, `module:function`, in the order of the report; a function yields drawings of RefinementData."""
_FIRST = 3  # figures of a first look
_RESPONSE = (0.5, 1.5)  # the axis of pt after over before
_FLAVOURS = {0: "light", 4: "c", 5: "b", 15: "tau", 21: "gluon"}  # numbers of the Particle Data Group


@dataclass(frozen=True, slots=True)
class RefinementData:
    """The data of the figures."""

    config: RefinementConfig
    events: RefinedEvents
    scores: Mapping[str, NDArray[Any]]
    histories: Mapping[str, Sequence[Mapping[str, Sequence[float | None]]]]
    run: Path

    @property
    def shown(self) -> str:
        """The method that is drawn beside the simulation: the last network, or else the last one that changes events.

        The baseline, if nothing changes events.
        """
        models = self.config.models
        for kinds in (("residual",), ("quantiles",)):
            names = [name for name, model in models.items() if model.kind in kinds]
            if names:
                return names[-1]
        return self.config.baseline

    @property
    def label(self) -> Label:
        """What is written over the axes, as in all figures of events."""
        how = appearance(self.config.analysis)
        status, note = how.heading("Simulation")
        return Label(status, None, how.energy, note)  # every curve has unit area: no luminosity is in it

    def compared(
        self, curves: Mapping[str, Histogram], x: str, reference: str, *, of: str = "events", unit: str = ""
    ) -> Callable[[], Plot]:
        """Return what draws curves of unit area with their ratio to one of them; `of`: what is counted."""
        edges, in_unit = curves[reference].edges, f" {unit}" if unit else ""
        y = f"Fraction of {of} / {edges[1] - edges[0]:.3g}{in_unit}"
        texts, name, label = AxisTexts(x=f"{x} [{unit}]" if unit else x, y=y), self.config.name, self.label
        return lambda: Plot.of(shape_figure, curves, reference=reference, model=name, texts=texts, label=label)


def drawings(data: RefinementData) -> list[Drawing]:
    """Return all figures of a run."""
    return drawings_of(FIGURES, data)


def features(data: RefinementData) -> Iterator[Drawing]:
    """Yield every feature as it is, after the method that is shown, and in the target, with ratios."""
    config, pair = data.config, data.config.learn
    before, target = data.events.tables[pair.source], data.events.tables[pair.target]
    after = data.events.pair(data.run, data.shown, pair, data.scores[data.shown]).background
    for number, feature in enumerate(config.analysis.features):
        section = config.analysis.plots.get(feature)
        values = [table.features[:, number] for table in (before, after, target)]
        edges = _edges(values[2], None if section is None else section.range, 40 if section is None else section.bins)
        weights = (before.weight, after.weight, target.weight)
        curves = {n: histogram(v, w, edges) for n, v, w in zip(_names(data), values, weights, strict=True)}
        label = (section.label if section else None) or guess_label(feature)
        unit = (section.unit if section else None) or ""
        yield Drawing(
            "inputs", f"feature-{feature}", f"{feature}: before, after and in the target",
            f"{pair.source} and {pair.target}, each of unit area; below: over the target.",
            data.compared(curves, label, "target", unit=unit), first=number < _FIRST,
        )  # fmt: skip


def _names(data: RefinementData) -> tuple[str, str, str]:
    return "simulation", f"after {data.config.title(data.shown)}", "target"


def _edges(values: NDArray[Any], limits: tuple[float, float] | None, bins: int) -> NDArray[np.float64]:
    low, high = limits or (float(np.quantile(values, 0.001)), float(np.quantile(values, 0.999)))
    return np.linspace(low, max(high, low + 1e-6), bins + 1)


def jets(data: RefinementData) -> Iterator[Drawing]:
    """Yield pt, mass and tag of jets before, after and in the target, and the response to jets of each flavour."""
    config, pair = data.config, data.config.learn
    if not changes_objects(config.models[data.shown]):
        return
    threshold = config.objects.seen.threshold
    seen = [
        data.events.jets(data.run, model, sample, selected=model).above(threshold)
        for model, sample in ((None, pair.source), (data.shown, pair.source), (None, pair.target))
    ]
    branches = config.objects.jets
    caption = f"Jets above {threshold:g} GeV in selected events of {pair.source} and {pair.target}"
    pt, ratio = [jet.pt for jet in seen], [jet.mass / jet.pt for jet in seen]
    quantities: dict[str, tuple[str, str, list[NDArray[Any]], NDArray[Any]]] = {
        branches.pt: ("Jet $p_T$", "GeV", pt, _round_edges(pt[2], threshold)),
        branches.mass: ("Jet mass / $p_T$", "", ratio, _round_edges(ratio[2], 0.0)),
    }
    if branches.tag is not None:
        bins = np.arange(branches.tag_bins + 1) - 0.5
        quantities[branches.tag] = ("Tag bin of the jet", "", [jet.tag for jet in seen], bins)
    for name, (label, unit, values, edges) in quantities.items():
        curves = {n: histogram(v, jet.weight, edges) for n, v, jet in zip(_names(data), values, seen, strict=True)}
        yield Drawing(
            "inputs", f"jets-{name}", f"{label}: before, after and in the target",
            f"{caption}, each of unit area; below: over the target.",
            data.compared(curves, label, "target", of="jets", unit=unit), first=True,
        )  # fmt: skip
    yield _response(data, pair.source)


def _round_edges(values: NDArray[Any], low: float) -> NDArray[np.float64]:
    """Return edges from `low` to where hardly any values are, some 40 bins of a round width."""
    least = (float(np.quantile(values, 0.999)) - low) / 40
    decade = 10.0 ** np.floor(np.log10(least))
    width = next(step * decade for step in (1.0, 2.0, 5.0, 10.0) if step * decade >= least)
    return np.asarray(low + width * np.arange(np.ceil(40 * least / width) + 1))


def _response(data: RefinementData, sample: str) -> Drawing:
    """Return the figure of pt after over pt before, of jets of each value of what the simulation alone knows."""
    before, after = (data.events.jets(data.run, model, sample, selected=None) for model in (None, data.shown))
    rows, edges = before.pt > data.config.objects.seen.threshold, np.linspace(*_RESPONSE, 41)
    ratio, known, weight = (after.pt / before.pt)[rows], before.known[rows], before.weight[rows]
    curves = {"all jets": histogram(ratio, weight, edges)}
    of_flavour = data.config.objects.jets.known == "jet_flavour"
    for value in np.unique(known).tolist() if known.any() else ():
        of = known == value
        name = (of_flavour and _FLAVOURS.get(value)) or f"{data.config.objects.jets.known} = {value}"
        mean = np.average(ratio[of], weights=weight[of])
        curves[f"{name}, mean {mean:.3f}"] = histogram(ratio[of], weight[of], edges)
    return Drawing(
        "inputs", "jets-response", "Response of jets",
        f"What {data.config.title(data.shown)} does to the pt of jets of {sample} that were seen before, by what "
        "the simulation knows of them, each of unit area; below: over all jets.",
        data.compared(curves, "$p_T$ after / before", "all jets", of="jets"), first=True,
    )  # fmt: skip


def trainings(data: RefinementData) -> Iterator[Drawing]:
    """Yield the history of each network."""
    caption = (
        "One line per training. Loss: an estimate of T², the distance of the means of the objects from the target."
    )
    yield from history_drawings(data.histories, data.config.title, caption)
