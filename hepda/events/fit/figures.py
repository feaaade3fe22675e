"""The figures of `hepda fit`: for each model its templates after the fit, pulls and impacts; for all the bias in mu."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from matplotlib.figure import Figure

from hepda.events.fit.fits import ALL, UNAWARE, Closed, MainFit
from hepda.events.specs import Appearance
from hepda.plotting import fit as plots
from hepda.plotting.base.style import Label
from hepda.report.page import Drawing
from hepda.results.evaluation import ClosureFit, ToyClosure

Closures = Mapping[str, Mapping[str, tuple[Closed, ...]]]
"""By model and domain, with one entry for each injected strength."""


def label_of(appearance: Appearance, status: str) -> Label:
    """Return the line above the axes, which states the scale of signals that have one."""
    return Label(status, luminosity=appearance.luminosity, note=appearance.signal_scale)


def model_drawings(appearance: Appearance, model: str, main: MainFit) -> Iterator[Drawing]:
    """Yield the figures of one model; they show the Asimov data if the data are blinded or absent."""
    shown, seen = main.shown, not isinstance(main.observed, str)
    data = appearance.label_of(main.fitted_to) if seen else "Asimov data"
    if shown.mu is None:
        return
    label = label_of(appearance, "Pseudo-data" if seen else "Simulation")
    samples = {n: s for n, s in appearance.samples.items() if n in shown.samples}
    names = {n: s.label for n, s in samples.items() if s.label}
    colours = {n: s.color for n, s in samples.items() if s.color}

    def postfit() -> Figure:
        return plots.postfit_figure(shown, model=model, labels=names, colours=colours, data=data, label=label)

    yield Drawing(
        "fit", f"fit_postfit_{model}", f"Templates after the fit: {model}",
        f"Score of {model} in the bins of the fit, {data} over the fitted templates with the band of all fitted "
        "errors; dashed: what was expected before the fit at µ = 1.", postfit,
    )  # fmt: skip
    if any(p.pull is not None and p.constraint is not None for p in shown.parameters):
        yield Drawing(
            "fit", f"fit_pulls_{model}", f"Pulls: {model}",
            f"Where the fit to {data} puts each nuisance parameter, in units of what was known before, with its error; "
            "bands: one and two standard deviations.", lambda: plots.pulls_figure(shown.parameters, label=label),
        )  # fmt: skip
    if main.impacts and shown.error is not None:
        mu, error = shown.mu, shown.error
        yield Drawing(
            "fit", f"fit_impacts_{model}", f"Impacts: {model}",
            f"How far µ moves in the fit to {data} if a nuisance parameter is fixed one post-fit error up or down; "
            "left: its pull.", lambda: plots.impacts_figure(main.impacts, mu=mu, error=error, label=label),
        )  # fmt: skip


def closure_drawings(appearance: Appearance, source: str, closures: Mapping[str, Closures]) -> Iterator[Drawing]:
    """Yield the main result: bias in mu and expected error of all models in one figure.

    Args:
        appearance: how samples are drawn.
        source: the nominal domain.
        closures: the fits to pseudo-data, by variant of the closure, model and domain.

    """
    texts = {
        UNAWARE: (
            "Bias of the signal strength that nobody knew of",
            f"Templates from {source}, data from another domain, all systematics but the other generator: what bias "
            "remains, model by model. Thin bars: error of the fit; thick bars: the finite simulation that plays data; "
            "last panel: the share of toys whose 68.27 % interval holds the truth.",
        ),
        ALL: (
            "Bias of the signal strength with the other generator as a systematic",
            "As before, but the fit knows of the alternative generator; only a domain that it does not know of tests "
            "it.",
        ),
    }
    for variant, (title, caption) in texts.items():
        found = closures.get(variant)
        if found and any(e.fit.mu is not None for own in found.values() for d, es in own.items() for e in es):
            yield Drawing("fit", f"fit_bias_{variant}", title, caption, _bias(appearance, source, found))


def _bias(appearance: Appearance, source: str, found: Closures) -> Callable[[], Figure]:
    fits: dict[str, dict[str, list[ClosureFit]]] = {}
    toys: dict[str, dict[str, list[ToyClosure]]] = {}
    for model, domains in found.items():
        for domain, entries in domains.items():
            fits.setdefault(domain, {})[model] = [entry.fit for entry in entries]
            thrown = [entry.toys for entry in entries if not isinstance(entry.toys, str)]
            if thrown:
                toys.setdefault(domain, {})[model] = thrown
    label = label_of(appearance, "Simulation")
    return lambda: plots.closure_bias_figure(fits, source=source, coverage=toys or None, label=label)
