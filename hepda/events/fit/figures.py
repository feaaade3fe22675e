"""The figures of `hepda fit`: for each model its templates after the fit, pulls and impacts; for all the bias in mu.

A new figure is a function, in any module, and a line of a registry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure

from hepda.events.fit.fits import ALL, UNAWARE, Closed, MainFit
from hepda.events.specs import Appearance
from hepda.plotting import fit as plots
from hepda.plotting.base.style import Label
from hepda.report.page import Drawing
from hepda.report.registry import drawings_of
from hepda.results.evaluation import ClosureFit, ToyClosure

Closures = Mapping[str, Mapping[str, tuple[Closed, ...]]]
"""By model and domain, with one entry for each injected strength."""

MODEL_FIGURES = {
    "postfit": "hepda.events.fit.figures:postfit_drawings",
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
    main: MainFit

    @property
    def observed(self) -> bool:
        """Return whether the fit shown is one to data."""
        return not isinstance(self.main.observed, str)

    @property
    def fitted_to(self) -> str:
        """Return the name of what was fitted."""
        return self.appearance.label_of(self.main.fitted_to) if self.observed else "Asimov data"

    def label(self) -> Label:
        """Return the line above the axes."""
        return label_of(self.appearance, "Pseudo-data" if self.observed else "Simulation")


@dataclass(frozen=True, slots=True)
class ClosureData:
    """The fits to pseudo-data, by variant of the closure, model and domain."""

    appearance: Appearance
    source: str
    closures: Mapping[str, Closures]


def label_of(appearance: Appearance, status: str) -> Label:
    """Return the line above the axes, which states the scale of signals that have one."""
    return Label(status, luminosity=appearance.luminosity, note=appearance.signal_scale)


def model_drawings(appearance: Appearance, model: str, main: MainFit) -> list[Drawing]:
    """Return the figures of one model; there are none if its fit failed."""
    return drawings_of(MODEL_FIGURES, ModelFitData(appearance, model, main)) if main.shown.mu is not None else []


def postfit_drawings(fit: ModelFitData) -> Iterator[Drawing]:
    """Yield the templates after the fit."""
    samples = {n: s for n, s in fit.appearance.samples.items() if n in fit.main.shown.samples}
    names = {n: s.label for n, s in samples.items() if s.label}
    colours = {n: s.color for n, s in samples.items() if s.color}
    yield Drawing(
        "fit", f"fit_postfit_{fit.model}", f"Templates after the fit: {fit.model}",
        f"Score of {fit.model} in the bins of the fit, {fit.fitted_to} over the fitted templates with the band of all "
        "fitted errors; dashed: expectation before the fit at µ = 1.",
        lambda: plots.postfit_figure(
            fit.main.shown, model=fit.model, labels=names, colours=colours, data=fit.fitted_to, label=fit.label()
        ),
    )  # fmt: skip


def pull_drawings(fit: ModelFitData) -> Iterator[Drawing]:
    """Yield the pulls of the nuisance parameters, if any is constrained."""
    parameters = fit.main.shown.parameters
    if any(p.pull is not None and p.constraint is not None for p in parameters):
        yield Drawing(
            "fit", f"fit_pulls_{fit.model}", f"Pulls: {fit.model}",
            f"Value of each nuisance parameter in the fit to {fit.fitted_to}, in units of its uncertainty before the "
            "fit, with its error; bands: one and two standard deviations.",
            lambda: plots.pulls_figure(parameters, label=fit.label()),
        )  # fmt: skip


def impact_drawings(fit: ModelFitData) -> Iterator[Drawing]:
    """Yield the impacts of the nuisance parameters on µ, if they were calculated."""
    mu, error, impacts = fit.main.shown.mu, fit.main.shown.error, fit.main.impacts
    if impacts and mu is not None and error is not None:
        yield Drawing(
            "fit", f"fit_impacts_{fit.model}", f"Impacts: {fit.model}",
            f"Change of µ in the fit to {fit.fitted_to} if a nuisance parameter is fixed one post-fit error up or "
            "down; left: its pull.",
            lambda: plots.impacts_figure(impacts, mu=mu, error=error, label=fit.label()),
        )  # fmt: skip


def closure_drawings(appearance: Appearance, source: str, closures: Mapping[str, Closures]) -> list[Drawing]:
    """Return the figures of all models together.

    Args:
        appearance: how samples are drawn.
        source: the nominal domain.
        closures: the fits to pseudo-data, by variant of the closure, model and domain.

    """
    return drawings_of(CLOSURE_FIGURES, ClosureData(appearance, source, closures))


def bias_drawings(data: ClosureData) -> Iterator[Drawing]:
    """Yield the main result: bias in mu and expected error of all models in one figure."""
    texts = {
        UNAWARE: (
            "Bias of the signal strength without the other generators as systematics",
            f"Templates from {data.source}, data from another domain, all systematics except the other generator: bias "
            "of each model. Thin bars: error of the fit; thick bars: error from the finite simulation used as data; "
            "last panel: fraction of toys with the truth in their 68.27 % interval.",
        ),
        ALL: (
            "Bias of the signal strength with the other generator as a systematic",
            "As before, with the alternative generator as a systematic of the fit; only another domain is a test.",
        ),
    }
    for variant, (title, caption) in texts.items():
        by_model = data.closures.get(variant, {})
        fits = [entry.fit for domains in by_model.values() for entries in domains.values() for entry in entries]
        if any(fit.mu is not None for fit in fits):
            yield Drawing("fit", f"fit_bias_{variant}", title, caption, _bias(data.appearance, data.source, by_model))


def _bias(appearance: Appearance, source: str, closures: Closures) -> Callable[[], Figure]:
    fits: dict[str, dict[str, list[ClosureFit]]] = {}
    toys: dict[str, dict[str, list[ToyClosure]]] = {}
    for model, domains in closures.items():
        for domain, entries in domains.items():
            fits.setdefault(domain, {})[model] = [entry.fit for entry in entries]
            with_toys = [entry.toys for entry in entries if not isinstance(entry.toys, str)]
            if with_toys:
                toys.setdefault(domain, {})[model] = with_toys
    label = label_of(appearance, "Simulation")
    return lambda: plots.closure_bias_figure(fits, source=source, coverage=toys or None, label=label)
