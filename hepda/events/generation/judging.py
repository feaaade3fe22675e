"""How near generated events are to both generators, and what classifiers make of them, at every s."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hepda.config.event_generator.analysis import EventGeneratorConfig
from hepda.evaluation.differences.probes import ProbeSettings
from hepda.events.generation.classifiers import Classifiers
from hepda.events.generation.events import GeneratorEvents, MadeEvents, read_flow, stacked, start_of
from hepda.events.generation.flows import EventFlow
from hepda.events.refinement.judging import Weighted, null_of, probe_of
from hepda.events.table.feature_table import FeatureTable
from hepda.results.evaluation import Interval
from hepda.runtime.pool import Send

ENDS = (0.0, 1.0)
"""s of both generators."""


@dataclass(slots=True, eq=False)
class Drawn:
    """What the flows of a run draw for the evaluation: every process, fold and s, drawn when it is asked for."""

    config: EventGeneratorConfig
    events: GeneratorEvents
    run: Path
    _flows: dict[tuple[str, int], EventFlow] = field(default_factory=dict)

    def flow(self, model: str, fold: int) -> EventFlow:
        """Return the flow of a model and fold."""
        if (model, fold) not in self._flows:
            self._flows[model, fold] = read_flow(self.config, self.run, model, fold)
        return self._flows[model, fold]

    def fold(self, model: str, process: str, fold: int, scale: float) -> MadeEvents:
        """Return the events of a process that the model of a fold has at s."""
        return self.events.drawn(model, process, fold, scale, self.flow)

    def process(self, model: str, process: str, scale: float) -> MadeEvents:
        """Return the events of a process of all folds."""
        parts = [self.fold(model, process, fold, scale) for fold in range(self.events.folds)]
        return MadeEvents(stacked([part.table for part in parts]), np.concatenate([part.row for part in parts]))

    def real(self, process: str, *, target: bool) -> FeatureTable:
        """Return the events of a generator."""
        section = self.config.processes[process]
        return self.events.samples[section.target if target else section.origin].table


class Judge:
    """The numbers of metrics.json.

    Args:
        drawn: what is drawn.
        progress: hears of each point.

    """

    def __init__(self, drawn: Drawn, progress: Send) -> None:
        self.drawn, self.config, self._progress = drawn, drawn.config, progress
        self.processes = [name for name in (self.config.background, self.config.signal) if name is not None]
        self.classifiers = None
        if self.config.evaluation.classifiers is not None:
            self.classifiers = Classifiers(self.config, self._sides(target=False))

    def _sides(self, *, target: bool) -> list[FeatureTable]:
        return [self.drawn.real(process, target=target) for process in self.processes]

    def _settings(self) -> ProbeSettings:
        evaluation = self.config.evaluation
        return ProbeSettings(
            "bdt", max_events=evaluation.probe_events, replicas=evaluation.replicas, seed=self.config.seed
        )

    def real(self) -> dict[str, Any]:
        """Return the numbers of generator B beside A."""
        background = self.config.background
        origin, target = (self.drawn.real(background, target=side) for side in (False, True))
        folds = range(self.drawn.events.folds)
        found = [probe_of(_of_fold(origin, fold), _of_fold(target, fold), self._settings()) for fold in folds]
        numbers: dict[str, Any] = {
            "probe": _mean(found),
            "yields": {"origin": float(origin.weight.sum()), "target": float(target.weight.sum())},
        }
        if self.classifiers is not None:
            numbers["classifiers"] = self.classifiers.judged(self._sides(target=True), None)
        return numbers

    def model(self, model: str) -> dict[str, Any]:
        """Return the numbers of a model at every s, the null of its probe, and whether it is monotonic."""
        scales = self.config.evaluation.scales
        points = []
        for number, scale in enumerate(scales, 1):
            points.append(self._point(model, scale))
            self._progress(f"judge {model}", number, len(scales))
        return {"points": points, "null": self._null(model), "monotonic": is_monotonic(points)}

    def _point(self, model: str, scale: float) -> dict[str, Any]:
        config, background = self.config, self.config.background
        folds = range(self.drawn.events.folds)
        parts = [Weighted.of(self.drawn.fold(model, background, fold, scale).table) for fold in folds]
        origin, target = (self.drawn.real(background, target=side) for side in (False, True))
        others = [
            Weighted.of(origin.select(self.drawn.events.unused(background, start_of(config.models[model]), fold)))
            for fold in folds
        ]
        sides = {"probe_origin": others, "probe_target": [_of_fold(target, fold) for fold in folds]}
        probes = {
            key: _mean([probe_of(part, real, self._settings()) for part, real in zip(parts, side, strict=True)])
            for key, side in sides.items()
        }
        drawn = self.drawn.process(model, background, scale)
        before = self.drawn.real(background, target=False).weight[drawn.row]
        numbers: dict[str, Any] = {
            "scale": scale, "extrapolation": not ENDS[0] <= scale <= ENDS[1], "events": len(drawn.table),
            "n_eff": _n_eff(drawn.table.weight) / _n_eff(before), "yield": float(drawn.table.weight.sum()), **probes,
        }  # fmt: skip
        if self.classifiers is not None:
            tables = [self.drawn.process(model, process, scale).table for process in self.processes]
            numbers["classifiers"] = self.classifiers.judged(tables, drawn.row)
        return numbers

    def _null(self, model: str) -> dict[str, float]:
        """Return the AUC of the probe after events at s = 1 and those of generator B are mixed and dealt anew."""
        background = self.config.background
        target = self.drawn.real(background, target=True)
        return _mean([
            null_of(Weighted.of(self.drawn.fold(model, background, fold, ENDS[1]).table), _of_fold(target, fold),
                    replace(self._settings(), seed=self.config.seed + 1))
            for fold in range(self.drawn.events.folds)
        ])  # fmt: skip


def is_monotonic(points: Sequence[dict[str, Any]]) -> bool:
    """Return whether from s = 0 to 1 the AUC against A rises and that against B falls, up to the sum of both errors."""
    inside = [point for point in points if not point["extrapolation"]]

    def falls(key: str, sign: float) -> bool:
        values = [(sign * point[key]["value"], 0.5 * (point[key]["high"] - point[key]["low"])) for point in inside]
        return all(
            after <= before + error_before + error
            for (before, error_before), (after, error) in itertools.pairwise(values)
        )

    return falls("probe_target", 1.0) and falls("probe_origin", -1.0)


def _of_fold(table: FeatureTable, fold: int) -> Weighted:
    return Weighted.of(table.select(table.fold == fold))


def _mean(found: Sequence[Interval]) -> dict[str, float]:
    """Return the mean of numbers of independent events, with its interval."""
    number = len(found)
    value = float(np.mean([one.value for one in found]))
    down, up = (
        float(np.linalg.norm([getattr(one, side) - one.value for one in found])) / number for side in ("low", "high")
    )
    return {"value": value, "low": value - down, "high": value + up}


def _n_eff(weight: Any) -> float:
    return float(weight.sum() ** 2 / np.square(weight).sum())
