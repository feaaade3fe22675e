"""Varied events of the samples of the templates, read and scored region by region, for one systematic at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.errors import ConfigError
from hepda.events.dataset.variations import Reading, read_factors, read_varied
from hepda.events.fit.parametric import values_of
from hepda.events.fit.regions import Events, Outputs, in_region
from hepda.events.specs import DatasetSpec, ModelSpec
from hepda.events.table.feature_table import FeatureTable
from hepda.events.training.scoring import score_table

Array = NDArray[Any]
At = tuple[str, float]
"""A model, and the value of its parameter (0 for a model without one)."""


@dataclass(frozen=True, slots=True)
class Varied:
    """The result of a reading: the events of every region, or keys [n] and factors [n] on weights.

    events: by model and value of its parameter, then by region.
    """

    reading: Reading
    events: Mapping[At, Mapping[str, Events]] = field(default_factory=dict)
    key: Array | None = None
    factors: Mapping[str, Array] | None = None


def read(
    spec: DatasetSpec,
    models: Mapping[str, ModelSpec],
    folder: Path,
    reading: Reading,
    report: Callable[[str, int], None],
) -> Varied:
    """Read the varied events of a sample and score them, or the factors on its weights.

    Args:
        spec: the samples, systematics and regions.
        models: the models that are fitted, by name.
        folder: the folder of trained models.
        reading: what is read.
        report: called as by `read_rows`.

    Raises:
        HepdaError: as `load_table`.

    """
    if reading.systematic is None:
        key, factors = read_factors(spec, reading.sample, report)
        return Varied(reading, key=key, factors=factors)
    table = read_varied(spec, reading, report)
    numbers = spec.region_predictions
    columns = score_table([*models.values(), *numbers.values()], folder, table)
    outputs = {(name, 0.0): Outputs.of(model, columns, numbers) for name, model in models.items()}
    outputs |= outputs_at_values(spec, models, folder, table)
    return Varied(reading, {at: _by_region(spec, table, output) for at, output in outputs.items()})


def outputs_at_values(
    spec: DatasetSpec, models: Mapping[str, ModelSpec], folder: Path, table: FeatureTable
) -> dict[At, Outputs]:
    """Return the outputs of the networks with a parameter at its values other than 0.

    Args:
        spec: the systematics.
        models: the models that are fitted, by name.
        folder: the folder of trained models.
        table: the events.

    """
    values = {name: values_of(model, spec.systematics) for name, model in models.items()}
    if not any(values.values()):
        return {}
    numbers = spec.region_predictions
    predictions = score_table(numbers.values(), folder, table)
    return {
        (name, value): Outputs.of(
            models[name], predictions | score_table([models[name]], folder, table, value), numbers
        )
        for name, of_model in values.items()
        for value in of_model
    }


def _by_region(spec: DatasetSpec, table: FeatureTable, outputs: Outputs) -> dict[str, Events]:
    """Return variable and weight of the events of each region."""
    events = {}
    for name, region in spec.regions.items():
        inside, value = in_region(region, table, outputs)
        events[name] = (value[inside], table.weight[inside])
    return events


def shapes_of(varied: list[Varied], at: At) -> dict[tuple[str, str, str], Mapping[str, Events]]:
    """Return the events of shape systematics by (sample, systematic, side), then by region."""
    return {
        (entry.reading.sample, str(entry.reading.systematic), entry.reading.side): entry.events[at]
        for entry in varied
        if entry.factors is None
    }


def factors_of(varied: list[Varied], table: FeatureTable) -> dict[tuple[str, str], Array]:
    """Return the factors on the weights of nominal events, by sample and "systematic:side".

    Raises:
        ConfigError: the events of a sample that were read are not those of the table.

    """
    factors: dict[tuple[str, str], Array] = {}
    for entry in varied:
        if entry.factors is None:
            continue
        sample = entry.reading.sample
        if entry.key is None or not np.array_equal(entry.key, table.key[table.of_samples([sample])]):
            raise ConfigError(
                f"the events of {sample} that the analysis file reads now are not those of scores.parquet: files "
                "have changed. Train again."
            )
        factors |= {(sample, name): values for name, values in entry.factors.items()}
    return factors
