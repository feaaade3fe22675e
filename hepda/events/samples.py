"""What one sample is worth: its normalisation to the luminosity, and the sums that tell how good it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config import AnalysisConfig, NormalisationConfig, SampleConfig
from hepda.errors import DataError, SourceError
from hepda.events.sources import tree_of

PB_IN_INVERSE_FB = 1000.0
"""1 pb is 1000 events in 1/fb."""


@dataclass(frozen=True, slots=True)
class WeightSums:
    """Sums over weights w: their sum, their squares' sum, how many, how many negative."""

    entries: int = 0
    sumw: float = 0.0
    sumw2: float = 0.0
    negative: int = 0

    @classmethod
    def of(cls, weight: NDArray[np.float64]) -> WeightSums:
        """Sums over `weight` [n]."""
        with np.errstate(all="ignore"):  # infinite weights are refused elsewhere, with their place
            sumw, sumw2 = float(weight.sum()), float(np.square(weight).sum())
        return cls(len(weight), sumw, sumw2, int((weight < 0).sum()))

    @property
    def n_eff(self) -> float:
        """Effective number of events, sumw^2 / sumw2; 0 for none."""
        return self.sumw**2 / self.sumw2 if self.sumw2 > 0 else 0.0

    @property
    def error(self) -> float:
        """Statistical error of the yield, sqrt(sumw2)."""
        return float(np.sqrt(self.sumw2))

    @property
    def negative_fraction(self) -> float | None:
        """Share of events with a negative weight; None without events."""
        return self.negative / self.entries if self.entries else None


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """A sample after the selection.

    entries: events in its files; sums: over the physical weights of its selected events; normalisation: the
    factor from the weight expression to the physical weight; sum_of_weights and cross_section (pb): None for
    data; cut_flow: events left after each part of the selection; duplicates: selected events whose key occurs
    before; missing: selected events in which a feature is missing, by feature.
    """

    name: str
    class_: str | None
    domain: str
    entries: int
    sums: WeightSums
    normalisation: float
    sum_of_weights: float | None
    cross_section: float | None
    cut_flow: tuple[tuple[str, int], ...]
    duplicates: int
    missing: dict[str, int]

    def as_metrics(self) -> dict[str, Any]:
        """The sample's part of metrics.json."""
        return {
            "entries": self.entries,
            "selected": self.sums.entries,
            "yield": self.sums.sumw,
            "yield_error": self.sums.error,
            "n_eff": self.sums.n_eff,
            "negative_fraction": self.sums.negative_fraction,
        }


@dataclass(frozen=True, slots=True)
class Metadata:
    """What one file says about itself; None where it does not or where nobody asked."""

    sum_of_weights: float | None
    cross_section: float | None


@dataclass(frozen=True, slots=True)
class Normalisation:
    """factor: physical weight over the weight expression; its ingredients, None where they play no part."""

    factor: float
    sum_of_weights: float | None = None
    cross_section: float | None = None


def metadata_of(file: Any, path: str, sample: SampleConfig, where: NormalisationConfig | None) -> Metadata:
    """What `sample` needs of the open file's metadata tree. Raises SourceError if it is not there."""
    wants_sum = not sample.is_data and sample.sum_of_weights == "file"
    wants_section = not sample.is_data and sample.cross_section is None
    if where is None or not (wants_sum or wants_section):
        return Metadata(None, None)
    names = [where.sum_of_weights] * wants_sum + [where.cross_section] * wants_section
    try:
        tree = tree_of(file, path, where.tree)
        columns = tree.read(names)
    except SourceError as error:
        keys = ["sum_of_weights"] * wants_sum + ["cross_section"] * wants_section
        raise SourceError(
            f"{error} It is needed for the normalisation; see `normalisation`, or give the sample's "
            f"{' and '.join(keys)} in the analysis file."
        ) from error
    for name in names:
        if columns[name].offsets is not None or len(columns[name].values) == 0:
            raise SourceError(f"{path}: {where.tree}.{name} must hold one number an entry, and at least one.")
    total = float(columns[where.sum_of_weights].values.sum()) if wants_sum else None
    section = _agreed(columns[where.cross_section].values, path) if wants_section else None
    return Metadata(total, section)


def _agreed(values: NDArray[Any], path: str) -> float:
    low, high = float(np.min(values)), float(np.max(values))
    if not np.isfinite(low + high) or high - low > 1e-6 * abs(high):
        raise DataError(f"{path}: its cross sections differ: {low} to {high} pb; give the sample's own.")
    return high


def normalisation_of(config: AnalysisConfig, name: str, files: Sequence[Metadata]) -> Normalisation:
    """Luminosity x cross section x k factor x filter efficiency x scale / sum of generated weights.

    Data: 1. Raises DataError for sums or cross sections that cannot normalise anything.
    """
    sample = config.samples[name]
    if sample.is_data:
        return Normalisation(1.0)
    corrections = sample.k_factor * sample.filter_efficiency * sample.scale
    if config.normalisation is None:
        return Normalisation(corrections)
    sums = [f.sum_of_weights for f in files if f.sum_of_weights is not None]
    total = sum(sums) if sample.sum_of_weights == "file" else sample.sum_of_weights
    sections = [f.cross_section for f in files if f.cross_section is not None]
    section = sample.cross_section
    if section is None:
        section = _agreed(np.asarray(sections), f"samples.{name}")
    if not np.isfinite(total) or total <= 0:
        raise DataError(f"samples.{name}: the sum of generated weights is {total}; it must be positive.")
    if section <= 0:
        raise DataError(f"samples.{name}: the cross section is {section} pb; it must be positive.")
    factor = config.luminosity * PB_IN_INVERSE_FB * section * corrections / total
    return Normalisation(factor, total, section)
