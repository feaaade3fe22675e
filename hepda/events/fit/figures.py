"""The figures of `hepda fit`, made of fit.json: for each model pulls and impacts; for all the bias in mu.

A new figure is a function, in any module, and a line of a registry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from hepda.events.fit.fits import ALL, UNAWARE
from hepda.events.specs import Appearance
from hepda.plotting import fit as plots
from hepda.plotting.base.style import Label
from hepda.report.page import Drawing
from hepda.report.registry import drawings_of
from hepda.results.evaluation import ClosureFit
from hepda.results.fit_file import ClosedEntry, FitEntry, FittedModel
from hepda.results.fits import Impact, Parameter

MODEL_FIGURES = {
    "pulls": "hepda.events.fit.figures:pull_drawings",
    "impacts": "hepda.events.fit.figures:impact_drawings",
}
"""Figures of each model, `module:function`, in the order of the report; a function yields drawings of ModelFitData."""
CLOSURE_FIGURES = {"bias": "hepda.events.fit.figures:bias_drawings"}
"""Figures of all models together; a function yields drawings of ClosureData."""


@dataclass(frozen=True, slots=True)
class ModelFitData:
    """The data of the figures of one model: its fit, to data or, if they are blinded or absent, to Asimov data."""

    appearance: Appearance
    model: str
    fitted: FittedModel

    @property
    def observed(self) -> bool:
        """Return whether the fit shown is one to data."""
        return self.fitted.observed.parameters is not None

    @property
    def shown(self) -> FitEntry:
        """Return the fit that is drawn."""
        return self.fitted.observed if self.observed else self.fitted.expected

    @property
    def fitted_to(self) -> str:
        """Return the name of what was fitted."""
        return self.appearance.label_of(self.fitted.fitted_to) if self.observed else "Asimov data"

    def label(self) -> Label:
        """Return the line above the axes."""
        return label_of(self.appearance, "Pseudo-data" if self.observed else "Simulation")


@dataclass(frozen=True, slots=True)
class ClosureData:
    """The fits to pseudo-data, by model."""

    appearance: Appearance
    source: str
    models: Mapping[str, FittedModel]


def label_of(appearance: Appearance, status: str) -> Label:
    """Return the line above the axes, which states the scale of signals that have one."""
    return Label(status, luminosity=appearance.luminosity, note=appearance.signal_scale)


def model_drawings(appearance: Appearance, model: str, fitted: FittedModel) -> list[Drawing]:
    """Return the figures of one model; there are none if its fit failed."""
    data = ModelFitData(appearance, model, fitted)
    return drawings_of(MODEL_FIGURES, data) if data.shown.mu is not None else []


def pull_drawings(fit: ModelFitData) -> Iterator[Drawing]:
    """Yield the pulls of the nuisance parameters, if any is constrained."""
    parameters = [
        Parameter(p.name, p.kind, p.value, p.error or 0.0, p.prior_value, p.prior_error)
        for p in fit.shown.parameters or ()
    ]
    if any(p.pull is not None and p.constraint is not None for p in parameters):
        yield Drawing(
            "fit", f"fit_pulls_{fit.model}", f"Pulls: {fit.model}",
            f"Value of each nuisance parameter in the fit to {fit.fitted_to}, in units of its uncertainty before the "
            "fit, with its error; bands: one and two standard deviations.",
            lambda: plots.pulls_figure(parameters, label=fit.label()),
        )  # fmt: skip


def impact_drawings(fit: ModelFitData) -> Iterator[Drawing]:
    """Yield the impacts of the nuisance parameters on µ, if they were calculated."""
    mu, error = fit.shown.mu, fit.shown.error_of_curvature
    impacts = [Impact(i.name, i.kind, i.pull, i.constraint, i.mu_up, i.mu_down) for i in fit.fitted.impacts]
    if impacts and mu is not None and error is not None:
        yield Drawing(
            "fit", f"fit_impacts_{fit.model}", f"Impacts: {fit.model}",
            f"Change of µ in the fit to {fit.fitted_to} if a nuisance parameter is fixed one post-fit error up or "
            "down; left: its pull.",
            lambda: plots.impacts_figure(impacts, mu=mu, error=error, label=fit.label()),
        )  # fmt: skip


def closure_drawings(appearance: Appearance, source: str, models: Mapping[str, FittedModel]) -> list[Drawing]:
    """Return the figures of all models together.

    Args:
        appearance: how samples are drawn.
        source: the nominal domain.
        models: the fits by model.

    """
    return drawings_of(CLOSURE_FIGURES, ClosureData(appearance, source, models))


def bias_drawings(data: ClosureData) -> Iterator[Drawing]:
    """Yield the main result: bias in mu and expected error of all models in one figure."""
    texts = {
        UNAWARE: (
            "Bias of the signal strength without the other generators as systematics",
            f"Templates from {data.source}, data from another domain, all systematics except the other generator: bias "
            "of each model. Thin bars: error of the fit; thick bars: error from the finite simulation used as data.",
        ),
        ALL: (
            "Bias of the signal strength with the other generator as a systematic",
            "As before, with the alternative generator as a systematic of the fit; only another domain is a test.",
        ),
    }
    for variant, (title, caption) in texts.items():
        fits: dict[str, dict[str, list[ClosureFit]]] = {}
        for model, fitted in data.models.items():
            for domain, entries in fitted.closure.of(variant).items():
                fits.setdefault(domain, {})[model] = [_fit(entry) for entry in entries]
        if any(fit.mu is not None for by_model in fits.values() for of_model in by_model.values() for fit in of_model):
            yield Drawing("fit", f"fit_bias_{variant}", title, caption, _bias(data.appearance, data.source, fits))


def _fit(entry: ClosedEntry) -> ClosureFit:
    nothing = np.zeros(0)
    return ClosureFit(
        *(entry.mu, entry.error, entry.low, entry.high, entry.truth, entry.pull, entry.sample_error, None),
        *(nothing, nothing, nothing),
    )


def _bias(
    appearance: Appearance, source: str, fits: Mapping[str, Mapping[str, list[ClosureFit]]]
) -> Callable[[], Figure]:
    label = label_of(appearance, "Simulation")
    return lambda: plots.closure_bias_figure(fits, source=source, label=label)
