"""What manifest.json and history.csv record of the trainings of a run, by model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hepda.config import AnyConfig
from hepda.errors import ConfigError
from hepda.runtime import run_directory
from hepda.runtime.jobs import model_of

Record = Mapping[str, Mapping[str, Any]]
"""Facts about each training by its name, the `training` of manifest.json."""
Histories = dict[str, list[dict[str, list[float | None]]]]
"""Of each network, the history of each of its trainings, by column."""


def training_metrics(config: AnyConfig, record: Record) -> dict[str, dict[str, Any]]:
    """Return models.<model>.training of metrics.json: seconds of all trainings, their rate, mean epochs, reweightings.

    Args:
        config: the analysis file.
        record: of each training.

    """
    return {
        model: _of_model([entry for name, entry in record.items() if model_of(name) == model])
        for model in config.models
    }


def _of_model(trainings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if not trainings:  # a fusion of models
        return {"trainings": 0}
    seconds = sum(entry["seconds"] for entry in trainings)
    rows = sum(entry["seconds"] * entry["rows_per_second"] for entry in trainings)
    # runs of earlier versions, and resumed trainings that one of these began, do not have it
    processor = [entry["cpu_seconds"] for entry in trainings if "cpu_seconds" in entry]
    reweightings = [key for key in ("reweight", "domain_reweight") if key in trainings[0]]
    return {
        "seconds": seconds,
        **({"cpu_seconds": sum(processor)} if len(processor) == len(trainings) else {}),
        "rows_per_second": rows / seconds if seconds else None,
        "epochs": sum(entry["epochs"] for entry in trainings) / len(trainings),
        "trainings": len(trainings),
        **{key: [entry[key] for entry in trainings] for key in reweightings},
    }


def saved_histories(config: AnyConfig, run: Path, record: Record) -> tuple[Histories, dict[str, list[int]]]:
    """Return the history of every training of each network, and the epoch (from 1) whose weights it kept.

    Raises:
        ConfigError: history.csv has a training that the record lacks.

    """
    saved = run_directory.read_history(run / "history.csv")
    if any(name not in record for name in saved if model_of(name) in config.models):
        raise ConfigError(
            f"{run / 'history.csv'} is not of the trainings that manifest.json records; copy both again, or train "
            "again."
        )
    histories: Histories = {}
    best_epochs: dict[str, list[int]] = {}
    for model in config.models:
        names = [name for name in saved if model_of(name) == model]
        if names:
            histories[model] = [saved[name] for name in names]
            epochs = [record[name].get("best_epoch") for name in names]
            best_epochs[model] = [epoch + 1 for epoch in epochs if epoch is not None]
    return histories, best_epochs


def training_warnings(record: Record) -> list[str]:
    """Return a line for whatever looks wrong in a training.

    Warnings that differ only by numbers among the trainings of a model are one line.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for name, entry in record.items():
        for text in entry.get("alarms", ()):
            kind = (model_of(name) or name, re.sub(r"[0-9.]+", "#", text))
            groups.setdefault(kind, []).append(f"{name}: {text}")
    return [
        texts[0] + (f" (and in {len(texts) - 1} more trainings of {model})" if len(texts) > 1 else "")
        for (model, _), texts in groups.items()
    ]
