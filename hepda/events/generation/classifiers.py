"""What the classifiers of a finished run make of events along the dial: efficiency at a working point, and a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config import load_any, load_config
from hepda.config.event_generator.analysis import EventGeneratorConfig
from hepda.errors import ConfigError
from hepda.evaluation.fits.binning import automatic_edges
from hepda.events.refinement.judging import Histogram, fitted_to
from hepda.events.resolve import model_specs
from hepda.events.specs import ModelSpec
from hepda.events.table.feature_table import FeatureTable
from hepda.events.training.scoring import score_table
from hepda.runtime.run_directory import MODELS

Floats = NDArray[np.float64]
_LEVEL = (0.15865, 0.84135)


@dataclass(frozen=True, slots=True, eq=False)
class EventsWithScore:
    """Events with the score of a classifier and signed weights, [n] each; row: of the origin, None without one."""

    score: Floats
    weight: Floats
    row: NDArray[np.intp] | None = None


class Classifiers:
    """The models of a run of `kind: events`, and what they say of generator A.

    Args:
        config: the analysis.
        origin: tables of generator A: background, and signal if there is one.

    Raises:
        ConfigError: it is no such run, or of other features or folds.

    """

    def __init__(self, config: EventGeneratorConfig, origin: Sequence[FeatureTable]) -> None:
        self._evaluation, self._seed = config.evaluation, config.seed
        self._run, self._models = find_run(config)
        self.origin = [self.scores(table) for table in origin]
        self.tables = list(origin)
        self.thresholds: dict[str, float] = {}
        self.edges: dict[str, Floats] = {}
        for name in self._models:
            sides = [
                EventsWithScore(scores[name], table.weight) for scores, table in zip(self.origin, origin, strict=True)
            ]
            self.thresholds[name] = _threshold(sides[0], config.evaluation.efficiency)
            if len(sides) == 2:
                score = np.concatenate([side.score for side in reversed(sides)])
                label = np.repeat([1, 0], [len(side.score) for side in reversed(sides)])
                weight = np.concatenate([side.weight for side in reversed(sides)])
                self.edges[name] = automatic_edges(score, label, weight, max_bins=config.evaluation.bins)

    def scores(self, table: FeatureTable) -> dict[str, Floats]:
        """Return the score of each model [n], by trainings on other folds than an event's own."""
        scores = score_table(self._models.values(), self._run / MODELS, table)
        return {name: scores[name].astype(np.float64) for name in self._models}

    def judged(self, tables: Sequence[FeatureTable], rows: NDArray[np.intp] | None) -> dict[str, Any]:
        """Return the numbers of each model for background and signal of a simulation, as in metrics.json.

        Args:
            tables: background, and signal if there is one.
            rows: of the background, the events of the origin that they are made of, so that the error of their
                difference is that of pairs; None: independent events.

        """
        scored = [self.scores(table) for table in tables]
        numbers = {}
        for name in self._models:
            background = EventsWithScore(scored[0][name], tables[0].weight, rows)
            origin = EventsWithScore(self.origin[0][name], self.tables[0].weight)
            entry: dict[str, Any] = {"efficiency": self._shift(name, origin, background)}
            if len(tables) == 2:
                edges = self.edges[name]
                templates, observed = (
                    [_histogram(edges, scores[name], table.weight) for scores, table in zip(s, t, strict=True)]
                    for s, t in ((self.origin, self.tables), (scored, tables))
                )
                fit = fitted_to(edges, templates, observed, self._evaluation.background_error)
                entry["mu"] = {"value": fit.mu, "error": fit.sample_error, "why": fit.why}
            numbers[name] = entry
        return numbers

    def _shift(self, name: str, origin: EventsWithScore, other: EventsWithScore) -> dict[str, float]:
        """Return the efficiency of others over that of the origin, less 1, with an interval from replicas of events."""
        random = np.random.default_rng([self._seed, 11])
        threshold, ratios = self.thresholds[name], []
        if other.row is not None:
            origin = EventsWithScore(origin.score[other.row], origin.weight[other.row])
        value = _efficiency(other, threshold) / _efficiency(origin, threshold) - 1.0
        for _ in range(self._evaluation.replicas):
            counts = random.poisson(1.0, len(origin.weight))
            of_other = counts if other.row is not None else random.poisson(1.0, len(other.weight))
            ratios.append(_efficiency(other, threshold, of_other) / _efficiency(origin, threshold, counts) - 1.0)
        low, high = np.quantile(ratios, _LEVEL)
        return {"value": value, "low": float(low), "high": float(high)}


def find_run(config: EventGeneratorConfig) -> tuple[Path, Mapping[str, ModelSpec]]:
    """Return the run of the classifiers, and its models of two classes.

    Raises:
        ConfigError: it is no such run, or of other features or folds.

    """
    run = Path(str(config.evaluation.classifiers))
    where = f"evaluation.classifiers: {run}"
    if not (run / "config.yaml").is_file():
        raise ConfigError(f"{where}: is no run directory; train it first, as with `hepda train`, or set it to null.")
    kind = load_any(run / "config.yaml").kind
    if kind != "events":
        raise ConfigError(f"{where}: is a run of `kind: {kind}`; classifiers are those of a run of events.")
    other = load_config(run / "config.yaml")
    mine = config.analysis
    if list(other.features) != list(mine.features) or other.split != mine.split:
        raise ConfigError(
            f"{where}: has other features or another `split` than `analysis`; name a run of the same analysis."
        )
    return run, {name: spec for name, spec in model_specs(other).items() if not spec.predictions}


def _threshold(background: EventsWithScore, efficiency: float) -> float:
    """Return the score that a fraction of the background is above."""
    order = np.argsort(-background.score)
    passed = np.cumsum(background.weight[order]) / background.weight.sum()
    return float(background.score[order][np.searchsorted(passed, efficiency)])


def _efficiency(events: EventsWithScore, threshold: float, counts: NDArray[np.integer[Any]] | None = None) -> float:
    weight = events.weight if counts is None else events.weight * counts
    return float(weight[events.score > threshold].sum() / weight.sum())


def _histogram(edges: Floats, score: Floats, weight: Floats) -> Histogram:
    bins = np.clip(np.searchsorted(edges, score, side="right") - 1, 0, len(edges) - 2)
    first, second = (np.bincount(bins, weights=w, minlength=len(edges) - 1) for w in (weight, weight**2))
    return first.astype(np.float64), second.astype(np.float64)
