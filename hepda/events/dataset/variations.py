"""Systematic variations of the simulation: events read again with other branches, and factors on their weights.

A shape systematic replaces branches when the files are read, so that selection, weights and features follow; a weight
systematic is a factor on the nominal weight. Only the samples of the nominal domain are read: they are the templates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config.events.systematics import ShapeSystematic
from hepda.errors import DataError
from hepda.events.dataset.inputs import InputFile, open_inputs
from hepda.events.dataset.plan import PHYSICAL, ReadingPlan, make_plan
from hepda.events.dataset.reading import read_rows, table_of
from hepda.events.dataset.skipped_files import Skips
from hepda.events.dataset.systematics import SIDES, factors_of
from hepda.events.expressions.parser import needed_names
from hepda.events.specs import DatasetSpec
from hepda.events.table.feature_table import FeatureTable

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """One pass over the files of a sample; systematic None: the nominal events, for the factors on their weights."""

    sample: str
    systematic: str | None = None
    side: str = ""

    @property
    def name(self) -> str:
        """The name for messages and progress."""
        return self.sample if self.systematic is None else f"{self.sample} {self.systematic} {self.side}"


def readings(spec: DatasetSpec) -> list[Reading]:
    """Return every pass that the systematics of the analysis need."""
    shapes = [
        Reading(sample, name, side)
        for name, section in spec.systematics.sections.items()
        if isinstance(section, ShapeSystematic)
        for sample in spec.systematics.varied_samples(name)
        for side in SIDES
        if getattr(section, side) is not None
    ]
    return shapes + [Reading(s) for s in spec.systematics.templates if factors_of(spec, s)]


def read_varied(spec: DatasetSpec, reading: Reading, report: Callable[[str, int], None]) -> FeatureTable:
    """Read the events of a sample with the branches of a shape systematic replaced.

    Raises:
        HepdaError: as `load_table`.

    """
    plan, files = _open(spec, reading.sample)
    section = spec.systematics.sections[str(reading.systematic)]
    varied = [replace(file, replaced=getattr(section, reading.side)) for file in files]
    read = read_rows(spec, plan, reading.sample, varied, report)
    table = table_of(spec, reading.sample, read.rows)
    if not len(table):
        raise DataError(
            f"systematics.{reading.systematic}.{reading.side}: no event of {reading.sample} passes the selection; "
            "look at the branches that replace others."
        )
    return table


def read_factors(
    spec: DatasetSpec, sample: str, report: Callable[[str, int], None]
) -> tuple[NDArray[np.uint64], dict[str, Array]]:
    """Return keys [n] of the nominal events of a sample and, by `factors_of`, the factors [n] on their weights.

    Raises:
        HepdaError: as `load_table`; DataError for a factor that is not finite.

    """
    plan, files = _open(spec, sample)
    factors = factors_of(spec, sample)
    factor_files = []
    for file in files:
        original = file.plan
        weights = [] if original.weight is None else [original.weight]
        of_file = {name: factor.in_file(file.branches) for name, factor in factors.items()}
        expressions = [*original.cuts, *weights, *plan.stitched_to(sample).values(), *of_file.values()]
        branches = tuple(sorted(needed_names(expressions, original.variables) - {PHYSICAL}))
        factor_files.append(
            replace(
                file,
                plan=replace(
                    original,
                    features=(),
                    columns=of_file,
                    domains={},
                    branches=branches,
                    collections={},
                    regions=(),
                    targets={},
                ),
            )
        )
    read = read_rows(spec, plan, sample, factor_files, report)
    values_of = {name: np.concatenate([np.zeros(0), *(rows.columns[name] for rows in read.rows)]) for name in factors}
    for name, values in values_of.items():
        bad = int(np.sum(~np.isfinite(values)))
        if bad:
            raise DataError(
                f"systematics.{name.replace(':', '.')}: is not a finite number in {bad} selected events of {sample}; "
                "fix the expression (a division by zero?)."
            )
    return np.concatenate([np.zeros(0, np.uint64), *(rows.key for rows in read.rows)]), values_of


def _open(spec: DatasetSpec, sample: str) -> tuple[ReadingPlan, list[InputFile]]:
    plan = make_plan(spec)
    return plan, open_inputs(spec, plan, sample, Skips(spec))
