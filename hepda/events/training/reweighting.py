"""Reweighting of training events by the config: the events, the features and the parts of its cross-fit."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.baselines.reweighting import WeightedEvents, density_ratio
from hepda.config import RatioConfig
from hepda.errors import DataError, replacing
from hepda.evaluation.differences.probes import ProbeSettings, probe
from hepda.events.dataset.splits import PARTS, part_of
from hepda.events.table.feature_table import FeatureTable

Mask = NDArray[np.bool_]
Array = NDArray[np.float64]
PROBE_EVENTS = 10_000
"""Largest number of events of each side for the fresh classifier that measures the difference left by a ratio."""


@dataclass(frozen=True, slots=True)
class TrainingFactors:
    """Factors on the training weights of the table's events [n]; None is 1 for all.

    task: factors in the class loss; domain: factors in the domain loss; about: the entry of each in the manifest.
    """

    task: Array | None = None
    domain: Array | None = None
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def warnings(self) -> list[str]:
        """Return a warning as text for each reweighting whose weights were clipped."""
        clipped = {key: entry for key, entry in self.about.items() if entry["clipped"] > 0.0}
        return [
            f"{key}: {100 * entry['clipped']:.2f} % of the source's weights had a ratio that was not within "
            f"{entry['limits'][0]:g} and {entry['limits'][1]:g} of the mean, and were clipped"
            for key, entry in clipped.items()
        ]


def write_factors(path: Path, factors: TrainingFactors) -> None:
    """Write factors to a file, completely or not at all."""
    arrays = {name: getattr(factors, name) for name in ("task", "domain") if getattr(factors, name) is not None}
    with replacing(path, ".npz") as temporary:
        np.savez(temporary, text=np.frombuffer(json.dumps(factors.about).encode(), np.uint8), **arrays)


def read_factors(path: Path) -> TrainingFactors:
    """Return the factors that `write_factors` wrote."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in ("task", "domain") if name in file}
        return TrainingFactors(**arrays, about=json.loads(file["text"].tobytes().decode()))


def source_factors(
    settings: RatioConfig, table: FeatureTable, sides: tuple[Mask, Mask], weight: Array, seed: int, where: str
) -> tuple[Array, dict[str, Any]]:
    """Return the factors by which the source's events are distributed like the target's.

    Args:
        settings: method, features and limits.
        table: all events.
        sides: masks [n] of the source and of the target, without the events that the model will score.
        weight: training weights [n] of both sides.
        seed: of the ratio's model.
        where: the key of the config, for messages.

    Returns:
        The factors [n], which are 1 for events outside of the source, and the entry of the manifest.

    Raises:
        DataError: a side has no events, or too few of them.
        MissingExtraError: the method needs an extra that is not installed.

    """
    columns = [table.names.index(name) for name in settings.features or table.names]
    part = part_of(table.key, PARTS)

    def sample(mask: Mask) -> WeightedEvents:
        return WeightedEvents(np.ascontiguousarray(table.features[mask][:, columns]), weight[mask], part[mask])

    for side, mask in zip(("source", "target"), sides, strict=True):
        missing = PARTS - len(np.unique(part[mask]))
        if missing:
            raise DataError(f"{where}: the {int(mask.sum())} {side} events are too few for {PARTS} parts")
    source, target = sides
    source_events, target_events = sample(source), sample(target)
    ratio = density_ratio(source_events, target_events, method=settings.method, clip=settings.clip, seed=seed)
    factors = np.ones(len(table))
    factors[source] = ratio.factor
    separation = {
        "before": _domain_auc(source_events, target_events, seed),
        "after": _domain_auc(source_events, target_events, seed, ratio.factor),
    }
    return factors, {"method": settings.method, **ratio.as_manifest(), "domain_auc": separation}


def _domain_auc(
    source: WeightedEvents, target: WeightedEvents, seed: int, factor: Array | float = 1.0
) -> dict[str, float]:
    """Return the AUC by which a fresh classifier separates the sides: 0.5 if the ratio has left no difference."""
    result = probe(
        source.features, target.features, factor * source.weight, target.weight, representation="inputs",
        settings=ProbeSettings(max_events=PROBE_EVENTS, replicas=50, seed=seed),
    ).auc  # fmt: skip
    return {"value": result.value, "low": result.low, "high": result.high}
