"""Scores of models with several trainings: [members, rows, columns], and their columns in scores.parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.errors import ConfigError
from hepda.runtime import run_directory
from hepda.runtime.jobs import TrainingResult

Array = NDArray[Any]


def planned(models: Mapping[str, Any], trained: Mapping[str, Any], seeds: int) -> list[tuple[str, int]]:
    """Return (model, member) of all jobs, seed by seed, so that an interrupted run has complete pairs of trainings.

    Args:
        models: all models.
        trained: those that are trained; the others are done once.
        seeds: trainings of each of these.

    """
    return [(model, member) for member in range(seeds) for model in models if model in trained or member == 0]


def stacked(results: Sequence[TrainingResult], models: Mapping[str, Any]) -> dict[str, Array]:
    """Return the scores [members, rows, columns] of each model."""
    ordered = sorted(results, key=lambda result: result.member)
    return {model: np.stack([result.score for result in ordered if result.model == model]) for model in models}


def columns_of(scores: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
    """Return the columns `<model>.<member>.<name>` of scores [members, rows, columns]."""
    return {
        f"{model}.{member}.{name}": values[:, number]
        for model, score in scores.items()
        for member, values in enumerate(score)
        for number, name in enumerate(names)
    }


def read(run: Path, members: Mapping[str, int], names: Sequence[str], key: tuple[str, Array]) -> dict[str, Array]:
    """Return the scores of scores.parquet.

    Args:
        run: the run directory.
        members: the number of trainings of each model.
        names: of the columns.
        key: a column that says what each row is of, such as the test string, and what it must contain [rows].

    Raises:
        ConfigError: they are not of these models or rows.

    """
    columns = [
        f"{model}.{member}.{name}" for model, number in members.items() for member in range(number) for name in names
    ]
    column, values = key
    saved = run_directory.read_scores(run, {column: "iu"} | dict.fromkeys(columns, "f"))
    if not np.array_equal(saved[column].to_numpy(), values):
        raise ConfigError(
            f"{run / 'scores.parquet'} is not of the models and data of {run / 'config.yaml'}. Train again."
        )
    return {
        model: np.stack([
            np.stack([saved[f"{model}.{member}.{name}"].to_numpy() for name in names], axis=1)
            for member in range(number)
        ])
        for model, number in members.items()
    }  # fmt: skip
