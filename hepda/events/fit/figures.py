"""The figures of `hepda fit`, made of the records of fit.json: of each model, and of all models together.

A new figure is a function, in any module, and a line of a registry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hepda.events.fit.fits import ALL, UNAWARE
from hepda.events.specs import Appearance
from hepda.plotting.base.plot import Plot
from hepda.plotting.base.style import Label
from hepda.plotting.fit.closure import closure_bias_figure
from hepda.plotting.fit.correlations import correlation_figure
from hepda.plotting.fit.origins import origins_figure
from hepda.plotting.fit.parameters import parameters_figure
from hepda.plotting.fit.ranking import ranking_figure
from hepda.plotting.fit.regions import RegionTexts, SampleLook, region_figure, summary_figure
from hepda.plotting.fit.scan import scan_figure
from hepda.plotting.fit.strengths import strengths_figure
from hepda.report.drawing import Drawing
from hepda.report.registry import drawings_of
from hepda.results.fit_file import ClosedEntry, FitEntry, FittedModel, OriginEntry, RegionEntry

MODEL_FIGURES = {
    "summary": "hepda.events.fit.figures:summary_drawings",
    "regions": "hepda.events.fit.figures:region_drawings",
    "parameters": "hepda.events.fit.figures:parameter_drawings",
    "ranking": "hepda.events.fit.figures:ranking_drawings",
    "correlations": "hepda.events.fit.figures:correlation_drawings",
    "scan": "hepda.events.fit.figures:scan_drawings",
    "origins": "hepda.events.fit.figures:origin_drawings",
}
"""Figures of each model, `module:function`, in the order of the report; a function yields drawings of ModelFitData."""
CLOSURE_FIGURES = {
    "bias": "hepda.events.fit.figures:bias_drawings",
    "strengths": "hepda.events.fit.figures:strength_drawings",
}
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
        return self.fitted.observed.mu is not None

    @property
    def shown(self) -> FitEntry:
        """Return the fit that is drawn."""
        return self.fitted.observed if self.observed else self.fitted.expected

    @property
    def fitted_to(self) -> str:
        """Return the name of what was fitted."""
        return self.appearance.label_of(self.fitted.fitted_to) if self.observed else "Asimov data"

    @property
    def has_data(self) -> bool:
        """Return whether the data of any region may be shown."""
        return any(region.observed is not None for region in self.fitted.regions.values())

    @property
    def data(self) -> str:
        """Return what figures call the data."""
        control = self.fitted.control
        domain = self.fitted.fitted_to if self.observed else "" if control is None else control.domain
        return _capital(self.appearance.label_of(domain)) if domain else "Data"

    @property
    def look(self) -> SampleLook:
        """Return how the samples are drawn, in one order in all regions: the smallest in all of them lowest."""
        events: dict[str, float] = {}
        signal: dict[str, None] = {}
        for region in self.fitted.regions.values():
            for name, expected in region.prefit.yields.items():
                events[name] = events.get(name, 0.0) + expected.value
            signal |= dict.fromkeys(name for name, template in region.templates.items() if template.signal)
        samples = {name: self.appearance.samples[name] for name in events if name in self.appearance.samples}
        return SampleLook(
            {name: sample.label for name, sample in samples.items() if sample.label},
            {name: sample.color for name, sample in samples.items() if sample.color},
            tuple(signal),
            tuple(sorted(events, key=lambda name: events[name])),
        )

    def name_of(self, region: str) -> str:
        """Return what figures call a region."""
        return self.appearance.fit.get(region, _plain(region))

    def label(self) -> Label:
        """Return the line above the axes."""
        return label_of(self.appearance, self.data if self.has_data else "Simulation")

    def texts(self, name: str = "", region: RegionEntry | None = None) -> RegionTexts:
        """Return the texts of the figure of a region, or of all regions."""
        variable, unit = ("", "") if region is None else _variable(self.appearance, self.model, region)
        after = "Post-fit" if self.observed else "Post-fit, Asimov data"
        return RegionTexts(
            self.name_of(name) if name else "",
            variable,
            unit,
            self.data,
            ("Pre-fit",),
            (after, *self._result()) if self.shown.mu else (after,),
        )

    def _result(self) -> list[str]:
        """Return mu, and the goodness of a fit to data."""
        error = self.shown.error or 0.0
        lines = [rf"$\hat{{\mu}}$ = {self.shown.mu:.2f} ± {error:.2f}".replace("-", "−")]
        p_value = self.shown.p_value
        if self.observed and p_value is not None and self.shown.goodness is not None:
            p_text = f"= {p_value:.2f}" if p_value >= 0.005 else f"= {p_value:.0e}"
            lines[0] += f", goodness of fit (saturated) {self.shown.goodness:.1f} / {self.shown.ndf}, p {p_text}"
        return lines


@dataclass(frozen=True, slots=True)
class ClosureData:
    """The fits of all models."""

    appearance: Appearance
    source: str
    models: Mapping[str, FittedModel]


def label_of(appearance: Appearance, kind: str) -> Label:
    """Return the line above the axes, which states the kind of events and the scale of signals that have one."""
    status, note = appearance.heading(kind, appearance.signal_scale)
    return Label(status, appearance.luminosity, appearance.energy, note)


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]


def _variable(appearance: Appearance, model: str, region: RegionEntry) -> tuple[str, str]:
    """Return label and unit of the variable of a region."""
    plot = appearance.plots.get(region.variable)
    if plot is not None:
        return plot.label or _plain(region.variable), plot.unit or ""
    if region.variable == "score":
        return f"Score of {model}", ""
    if region.variable.startswith("p_"):
        return f"P({region.variable.removeprefix('p_')}) of {model}", ""
    return region.variable, ""


def model_drawings(appearance: Appearance, model: str, fitted: FittedModel) -> list[Drawing]:
    """Return the figures of one model; there are none if its fit failed."""
    data = ModelFitData(appearance, model, fitted)
    return drawings_of(MODEL_FIGURES, data) if data.shown.mu is not None else []


def closure_drawings(appearance: Appearance, source: str, models: Mapping[str, FittedModel]) -> list[Drawing]:
    """Return the figures of all models together.

    Args:
        appearance: how samples are drawn.
        source: the nominal domain.
        models: the fits by model.

    """
    return drawings_of(CLOSURE_FIGURES, ClosureData(appearance, source, models))


def summary_drawings(fit: ModelFitData) -> Iterator[Drawing]:
    """Yield the events in every region before and after the fit, if there are several regions."""
    if len(fit.fitted.regions) > 1:
        names = {name: fit.name_of(name) for name in fit.fitted.regions}
        yield Drawing(
            "fit", f"fit_summary_{fit.model}", f"Events in the regions before and after the fit: {fit.model}",
            f"Fit to {fit.fitted_to}. Bands: all uncertainties with their correlations. Regions of validation are not "
            "fitted. Hatched: blinded.",
            lambda: Plot.of(
                summary_figure, fit.fitted.regions, fit.texts(), names=names, look=fit.look, label=fit.label()
            ),
            first=True,
        )  # fmt: skip


def region_drawings(fit: ModelFitData) -> Iterator[Drawing]:
    """Yield data and expectation of each region, before and after the fit."""
    several = len(fit.fitted.regions) > 1
    for name, region in fit.fitted.regions.items():
        title = f"{_plain(name)}: {fit.model}" if several else fit.model
        yield Drawing(
            "fit", f"fit_region_{fit.model}_{name}", f"Before and after the fit, {title}",
            f"Fit to {fit.fitted_to}{'' if region.role != 'validation' else ', without this region'}. Bands: all "
            "uncertainties with their correlations; dashed: the expectation before the fit at µ = 1. Events beyond the "
            f"ends are in the end bins.{' Data are blinded.' if region.blinded and region.observed is None else ''}",
            lambda name=name, region=region: Plot.of(  # type: ignore[misc]
                region_figure, region, fit.texts(name if several else "", region), look=fit.look, label=fit.label()
            ),
            first=not several,
        )  # fmt: skip


def parameter_drawings(fit: ModelFitData) -> Iterator[Drawing]:
    """Yield the pulls of the nuisance parameters and the free rates, if any has an error."""
    parameters = fit.shown.parameters or ()
    if any(p.error is not None for p in parameters):
        yield Drawing(
            "fit", f"fit_pulls_{fit.model}", f"Pulls: {fit.model}",
            f"Value of each nuisance parameter in the fit to {fit.fitted_to}, in units of its uncertainty before the "
            "fit, with its error; bands: one and two standard deviations. Below: strengths and free rates.",
            lambda: Plot.of(parameters_figure, parameters, labels=fit.appearance.fit, label=fit.label()),
            first=True,
        )  # fmt: skip
    control = fit.fitted.control
    if control is not None and any(p.error is not None for p in control.parameters):
        domain = fit.appearance.label_of(control.domain)
        label = label_of(fit.appearance, _capital(domain))
        yield Drawing(
            "fit", f"fit_control_pulls_{fit.model}", f"Pulls in the control regions: {fit.model}",
            f"As before, in the fit to {domain} in {', '.join(control.regions)} alone, at µ = 1: the other regions are "
            "blinded.",
            lambda: Plot.of(parameters_figure, control.parameters, labels=fit.appearance.fit, label=label),
        )  # fmt: skip


def ranking_drawings(fit: ModelFitData) -> Iterator[Drawing]:
    """Yield the impacts of the nuisance parameters on µ, if they were calculated."""
    mu, error, impacts = fit.shown.mu, fit.shown.error, fit.fitted.impacts
    if impacts and mu is not None and error is not None:
        yield Drawing(
            "fit", f"fit_impacts_{fit.model}", f"Impacts: {fit.model}",
            f"Change of µ in the fit to {fit.fitted_to} if a parameter is fixed up or down by its error after the fit "
            "(bars) or before it (outlines); left: its pull, or its value if it has no prior.",
            lambda: Plot.of(ranking_figure, impacts, mu=mu, error=error, labels=fit.appearance.fit, label=fit.label()),
            first=True,
        )  # fmt: skip


def correlation_drawings(fit: ModelFitData) -> Iterator[Drawing]:
    """Yield the correlations, if there is more than one parameter."""
    correlation = fit.shown.correlation
    if correlation is not None and len(correlation.names) > 1:
        yield Drawing(
            "fit", f"fit_correlations_{fit.model}", f"Correlations: {fit.model}",
            f"Correlations of strengths, free rates and systematics in the fit to {fit.fitted_to}; of many parameters, "
            "those with the largest.",
            lambda: Plot.of(
                correlation_figure,
                correlation, fit.shown.parameters or (), labels=fit.appearance.fit, label=fit.label()
            ),
        )  # fmt: skip


def scan_drawings(fit: ModelFitData) -> Iterator[Drawing]:
    """Yield the profile likelihood, if it was scanned."""
    scan = fit.fitted.scan
    if scan is not None and scan.best is not None:
        yield Drawing(
            "fit", f"fit_scan_{fit.model}", f"Likelihood: {fit.model}",
            f"Profile of −2 ln L in the fit to {fit.fitted_to}, its quadratic approximation, and the likelihood with "
            "all other parameters fixed at their best values.",
            lambda: Plot.of(scan_figure, scan, interval=(fit.shown.low, fit.shown.high), label=fit.label()),
        )  # fmt: skip


def origin_drawings(fit: ModelFitData) -> Iterator[Drawing]:
    """Yield where the bias of mu comes from, if the processes of a domain are known."""
    found = origins_of(fit.fitted)
    if found:
        samples = {name: sample.label for name, sample in fit.appearance.samples.items() if sample.label}
        label = label_of(fit.appearance, fit.appearance.kind_of_data if len(found) > 1 else "Simulation")
        yield Drawing(
            "fit", f"fit_origins_{fit.model}", f"Origins of the bias: {fit.model}",
            "Change of µ if one difference between pseudo-data and templates is added to the templates alone: the rate "
            "of a process, how it is distributed over the regions, its shape in each of them. Bars: error of the "
            "finite pseudo-data. Dashed: the bias with all differences.",
            lambda: Plot.of(origins_figure, found, labels={**samples, **fit.appearance.fit}, label=label),
        )  # fmt: skip


def origins_of(fitted: FittedModel) -> dict[str, tuple[float, list[OriginEntry]]]:
    """Return the bias at mu = 1 without the other generators as systematics, and its parts, by domain."""
    return {
        domain: (float(entry.bias), list(entry.origins))
        for domain, entry in fitted.closure.at_one(UNAWARE).items()
        if entry.bias is not None and entry.origins
    }


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
    domains = {domain for fitted in data.models.values() for variant in texts for domain in fitted.closure.of(variant)}
    with_data = any(s.is_data and s.domain in domains for s in data.appearance.samples.values())
    label = label_of(data.appearance, data.appearance.kind_of_data if with_data else "Simulation")
    for variant, (title, caption) in texts.items():
        fits: dict[str, dict[str, list[ClosedEntry]]] = {}
        for model, fitted in data.models.items():
            for domain, entries in fitted.closure.of(variant).items():
                fits.setdefault(domain, {})[model] = list(entries)
        if any(fit.mu is not None for by_model in fits.values() for of_model in by_model.values() for fit in of_model):
            yield Drawing(
                "fit", f"fit_bias_{variant}", title, caption,
                lambda fits=fits: Plot.of(closure_bias_figure, fits, source=data.source, label=label),  # type: ignore[misc]
                first=True,
            )  # fmt: skip


def strength_drawings(data: ClosureData) -> Iterator[Drawing]:
    """Yield the fitted strength and free rates of all models, if any fit has a minimum."""
    fits = [ModelFitData(data.appearance, name, fitted) for name, fitted in data.models.items()]
    if any(fit.shown.mu is not None for fit in fits):
        observed = next((fit for fit in fits if fit.observed), None)
        status = "Simulation" if observed is None else observed.data
        what = "Asimov data" if observed is None else f"Asimov data and to {observed.fitted_to}"
        yield Drawing(
            "fit", "fit_strengths", "Signal strength by model",
            f"Fits to {what}, with all systematics. Thin bars: 68.27 % intervals; thick bars: of the counts alone.",
            lambda: Plot.of(
                strengths_figure,
                data.models, data=status.lower(), labels=data.appearance.fit, label=label_of(data.appearance, status)
            ),
            first=True,
        )  # fmt: skip
