"""How good a refined simulation is: a fresh probe with its null, effective events, and the closure of a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.baselines import bdt
from hepda.baselines.inputs import TrainingEvents
from hepda.baselines.reweighting import Trees
from hepda.config.refinement.analysis import PairConfig, RefinementConfig, RefinementEvaluationConfig
from hepda.evaluation.differences.probes import ProbeSettings, probe
from hepda.evaluation.fits.binning import automatic_edges
from hepda.evaluation.fits.channels import SampleTemplate
from hepda.evaluation.fits.closure import sample_errors
from hepda.evaluation.fits.histfactory import Model
from hepda.evaluation.fits.profile import fit_strengths
from hepda.evaluation.fits.studies.origins import ProcessContents, origins
from hepda.evaluation.fits.templates import Templates
from hepda.events.table.feature_table import FeatureTable
from hepda.results.evaluation import FloatArray, Interval
from hepda.results.fits import Origin

Floats = NDArray[np.float64]
_TREES = Trees(iterations=100, learning_rate=0.1, max_leaves=15, min_samples=80, patience=None)


@dataclass(frozen=True, slots=True, eq=False)
class Weighted:
    """Selected events [n]: features [n, k], signed weights [n] with the factors of a model, and without, folds [n]."""

    features: NDArray[np.float32]
    weight: Floats
    before: Floats
    fold: NDArray[np.int8]

    @classmethod
    def of(cls, table: FeatureTable, factor: Floats | None = None) -> Weighted:
        """Return the events of a table; `factor` on their weights [n], None: 1."""
        weight = table.weight if factor is None else table.weight * factor
        return cls(table.features, weight, table.weight, table.fold)

    @property
    def n_eff(self) -> float:
        """Effective events with the factors over those without."""
        after, before = (float(w.sum() ** 2 / np.square(w).sum()) for w in (self.weight, self.before))
        return after / before


def probe_settings(evaluation: RefinementEvaluationConfig, seed: int) -> ProbeSettings:
    """Return the settings of all probes."""
    return ProbeSettings("bdt", max_events=evaluation.probe_events, replicas=evaluation.replicas, seed=seed)


def probe_of(source: Weighted, target: Weighted, settings: ProbeSettings) -> Interval:
    """Return the AUC of a fresh classifier by the features; its fits and its AUC are of different events."""
    return probe(
        source.features, target.features, source.weight, target.weight, representation="inputs", settings=settings
    ).auc


def null_of(source: Weighted, target: Weighted, settings: ProbeSettings) -> Interval:
    """Return the same after the events of both are mixed and dealt anew to two samples of these sizes."""
    order = np.random.default_rng([settings.seed, 7]).permutation(len(source.weight) + len(target.weight))
    features = np.concatenate([source.features, target.features])[order]
    # each side counts as much as the other, as in a probe
    weight = np.concatenate([w.weight / w.weight.sum() for w in (source, target)])[order]
    cut = len(source.weight)
    return probe(
        features[:cut], features[cut:], weight[:cut], weight[cut:], representation="inputs", settings=settings
    ).auc


class Score:
    """A classifier of signal and background for the fit: boosted trees of the simulation as it is, out of fold.

    Args:
        background: events of the simulation.
        signal: the same of the signal.
        evaluation: the number of bins.
        seed: of the trees.

    """

    def __init__(
        self, background: Weighted, signal: Weighted, evaluation: RefinementEvaluationConfig, seed: int
    ) -> None:
        folds = np.unique(background.fold)
        self._trees = {int(f): self._fit(background, signal, int(f), seed) for f in folds}
        scores = [self(side) for side in (signal, background)]
        label = np.repeat([1, 0], [len(score) for score in scores])
        weight = np.concatenate([signal.weight, background.weight])
        self.edges: FloatArray = automatic_edges(np.concatenate(scores), label, weight, max_bins=evaluation.bins)

    @staticmethod
    def _fit(background: Weighted, signal: Weighted, fold: int, seed: int) -> bdt.Bdt:
        sides = [(side.features[side.fold != fold], side.weight[side.fold != fold]) for side in (background, signal)]
        label = np.repeat([0, 1], [len(features) for features, _ in sides]).astype(np.int8)
        weight = np.concatenate([w * (len(label) / (2.0 * w.sum())) for _, w in sides])
        events = TrainingEvents(np.concatenate([features for features, _ in sides]), label, weight)
        return bdt.fit(_TREES, events, seed=seed + fold)

    def __call__(self, events: Weighted) -> FloatArray:
        """Return the score of each event [n], by trees that were not trained on its fold."""
        score = np.zeros(len(events.weight))
        for fold, trees in self._trees.items():
            rows = events.fold == fold
            score[rows] = trees.predict(np.ascontiguousarray(events.features[rows]))
        return score

    def histogram(self, events: Weighted) -> tuple[FloatArray, FloatArray]:
        """Return sums of weights and of their squares in the bins of the fit, [b] each; the end bins are open."""
        bins = np.clip(np.searchsorted(self.edges, self(events), side="right") - 1, 0, len(self.edges) - 2)
        size = len(self.edges) - 1
        first, second = (np.bincount(bins, weights=w, minlength=size) for w in (events.weight, events.weight**2))
        return first.astype(np.float64), second.astype(np.float64)


@dataclass(frozen=True, slots=True)
class Closure:
    """A fit to the target: mu, its error for data of the luminosity, and that of the finite simulation; why: no fit.

    origins: the parts of mu - 1 that come of the rate and of the shape of signal and background.
    """

    mu: float | None
    error: float | None
    sample_error: float | None
    why: str | None = None
    origins: tuple[Origin, ...] = ()


def closure_of(
    score: Score, refined: tuple[Weighted, Weighted], target: tuple[Weighted, Weighted], background_error: float
) -> Closure:
    """Fit templates of the refined simulation to what is expected of the target, where mu is 1.

    The rate of the background is fitted with a prior of a relative width `background_error`, and the statistics of the
    templates enter. `sample_error` has the finite simulation of the target and of the templates, added in quadrature:
    both are propagated linearly.

    Args:
        score: the classifier.
        refined: background and signal of the refined simulation.
        target: background and signal of the target.
        background_error: relative uncertainty of the yield of the background.

    """
    templates, observed = (tuple(score.histogram(side) for side in sides) for sides in (refined, target))
    return fitted_to(score.edges, templates, observed, background_error)


Histogram = tuple[FloatArray, FloatArray]
"""Sums of weights and of their squares in bins, [b] each."""


def fitted_to(
    edges: FloatArray, templates: Sequence[Histogram], observed: Sequence[Histogram], background_error: float
) -> Closure:
    """Fit templates to what is expected, as `closure_of` does.

    Args:
        edges: of the bins of the score.
        templates: background and signal of the simulation.
        observed: those of what is expected.
        background_error: relative uncertainty of the yield of the background.

    """
    (background, background2), (signal, signal2) = templates
    expected, variance = (sum(parts) for parts in zip(*observed, strict=True))
    norms = {"background_rate": (1.0 + background_error, 1.0 / (1.0 + background_error))}
    simulated = Templates.of_one(
        "score", edges,
        (SampleTemplate("signal", True, signal, signal2),
         SampleTemplate("background", False, background, background2, norms=norms)),
    )  # fmt: skip
    model = Model.of(simulated)
    data = model.nominally(np.asarray(expected, dtype=np.float64)[None])
    fits = fit_strengths(model, data)
    if not fits.converged[0]:
        return Closure(None, None, None, "the fit has no minimum")
    both = np.asarray(variance + background2 + signal2, dtype=np.float64)[None]
    (sample_error,) = sample_errors(model, data, fits, both)
    error = 0.5 * float(fits.high[0] - fits.low[0])
    names = ("background", "signal")
    processes = {
        name: ProcessContents(of, *contents) for name, (of, _), contents in zip(names, templates, observed, strict=True)
    }
    return Closure(
        float(fits.mu[0]), error if error > 0.0 else float(fits.error[0]), sample_error,
        origins=origins(simulated, processes),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class PairEvents:
    """A pair as a model has it: refined background and signal, and those of the target; None without a signal."""

    background: Weighted
    target: Weighted
    signal: Weighted | None
    signal_target: Weighted | None


def judged(config: RefinementConfig, pair: PairEvents, score: Score | None) -> dict[str, Any]:
    """Return the numbers of a model for a pair, as in metrics.json."""
    settings = probe_settings(config.evaluation, config.seed)
    auc = probe_of(pair.background, pair.target, settings)
    numbers: dict[str, Any] = {
        "probe": {"value": auc.value, "low": auc.low, "high": auc.high},
        "n_eff": pair.background.n_eff,
        "yield_ratio": float(pair.background.weight.sum() / pair.target.weight.sum()),
        "events": len(pair.background.weight),
    }
    if score is None or pair.signal is None or pair.signal_target is None:
        return numbers
    closure = closure_of(
        score, (pair.background, pair.signal), (pair.target, pair.signal_target), config.evaluation.background_error
    )
    mu = {"value": closure.mu, "error": closure.sample_error, "why": closure.why}
    parts = [
        {"process": origin.process, "part": origin.part, "bias": {"value": origin.value, "error": origin.error}}
        for origin in closure.origins
    ]
    return numbers | {"mu": mu, "fit_error": closure.error, "origins": parts}


def about_pair(config: RefinementConfig, section: PairConfig, source: Weighted, target: Weighted) -> dict[str, Any]:
    """Return the samples of a pair, and the null of its probe, as in metrics.json."""
    null = null_of(source, target, probe_settings(config.evaluation, config.seed))
    names: Mapping[str, Any] = {"source": section.source, "target": section.target, "signal": section.signal}
    return {**names, "null": {"value": null.value, "low": null.low, "high": null.high}}
