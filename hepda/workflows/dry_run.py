"""What `hepda train` would read, train and write, and how long it would take; nothing is trained or written."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hepda.config import AnyConfig
from hepda.errors import ConfigError
from hepda.kinds import PlannedModel, PlannedRun, kind_of
from hepda.runtime import exchange, run_directory
from hepda.runtime.jobs import model_of
from hepda.runtime.plots import PlotOptions, Plots
from hepda.workflows.checks import check_output_folders, check_texts
from hepda.workflows.machine import product_seconds
from hepda.workflows.resuming import check_replaceable
from hepda.workflows.train import plots_of, processes_of

OVER_PRODUCTS = 2.0
"""Time of a training step over that of its matrix products alone: normalisation, losses, optimizer, reading of rows."""
BATCH = 1024
"""Rows of the products that are measured."""


def dry_run(
    config: AnyConfig, run: Path, plots: PlotOptions | None, *, resume: bool = False, overwrite: bool = False
) -> list[str]:
    """Return what `hepda train` with the same arguments would do, as lines of text.

    Args:
        config: the analysis file.
        run: the run directory.
        plots: which figures are drawn, and another folder that gets them too.
        resume: whether an interrupted run is continued.
        overwrite: whether a finished run is replaced.

    Raises:
        HepdaError: what `hepda train` would refuse before it reads events.

    """
    plots = plots_of(plots, run, config.name)
    check_output_folders(run, plots.folder)
    check_texts(config)
    finished = exchange.is_finished(run)
    if finished and not overwrite:
        check_replaceable(config, run, resume)
    planned = kind_of(config).planned() or _models_alone(config)
    rates, measured_by = _rates(config, run)
    return [
        "would read:",
        *(f"  {line}" for line in planned.reads or ["the data that the analysis file names"]),
        "would train:",
        *_trainings(planned, rates, measured_by, processes_of(config)),
        "would write:",
        *_written(run, plots, planned, replaces=finished and overwrite, resumes=resume and exchange.resumable(run)),
        "nothing was trained or written",
    ]


def _models_alone(config: AnyConfig) -> PlannedRun:
    """Return the models and the number of their trainings: one for each seed, or for each fold."""
    split = getattr(config, "split", None)
    count = getattr(config, "seeds", None) or getattr(split, "folds", None) or 1
    models = []
    for name, section in config.models.items():
        training = getattr(section, "training", None)
        trainings = 0 if section.kind == "fusion" else count
        models.append(PlannedModel(name, section.kind, trainings, epochs=getattr(training, "epochs", None)))
    return PlannedRun([], models)


def _trainings(planned: PlannedRun, rates: Mapping[str, float], measured_by: str, processes: int) -> list[str]:
    """Return a line for each model, and the time of all as far as it can be estimated."""
    lines, total, unknown = [], 0.0, []
    for model in planned.models:
        if not model.trainings:
            lines.append(f"  {model.name} ({model.kind}): no training, its scores are made of those of other models")
            continue
        rate = rates.get(model.name) or _measured(model)
        seconds = None if rate is None or model.rows is None else model.trainings * model.rows / rate
        epochs = f" of at most {model.epochs} epochs" if model.epochs else ""
        time = "" if seconds is None else f", about {_time(seconds)} on one core"
        many = "training" if model.trainings == 1 else "trainings"
        lines.append(f"  {model.name} ({model.kind}): {model.trainings} {many}{epochs}{time}")
        if seconds is None:
            unknown.append(model.name)
        else:
            total += seconds
    if total:
        least = f"; not estimated: {', '.join(unknown)}" if unknown else ""
        lines.append(f"  all: about {_time(total / processes)} on {processes} processes{least} ({measured_by})")
    return [*lines, *([f"  {planned.note}"] if planned.note and total else [])]


def _written(run: Path, plots: PlotOptions, planned: PlannedRun, *, replaces: bool, resumes: bool) -> list[str]:
    state = " (replaces the finished run there)" if replaces else " (continues the run there)" if resumes else ""
    count = sum(model.trainings for model in planned.models)
    figures = {Plots.NONE: "no figure", Plots.FEW: "the first figures as PNG", Plots.ALL: "all figures as PNG and PDF"}
    lines = [
        f"  {run}{state}: {', '.join(run_directory.FILES)}",
        f"  {run / run_directory.MODELS}: {count} trained models",
        f"  {run / run_directory.PLOTS}: {figures[plots.which]}",
    ]
    return [*lines, *([f"  {plots.folder}: the same figures"] if plots.folder else [])]


def _rates(config: AnyConfig, run: Path) -> tuple[dict[str, float], str]:
    """Return rows per second of each model as a finished run measured them, and where they are from.

    The run is the one in `run`, or else the newest one next to it that trained models of these names.
    """
    others = sorted(run.parent.glob("*/manifest.json"), key=lambda path: -path.stat().st_mtime)
    for path in (run / "manifest.json", *others):
        try:
            manifest = run_directory.read_json(path)
        except ConfigError:
            continue
        rates = _recorded(manifest, config.models)
        if rates:
            return rates, f"rates of {path.parent}"
    return {}, "by the matrix products of this machine: within a factor of three"


def _recorded(manifest: Any, models: Iterable[str]) -> dict[str, float]:
    record = manifest.get("training") if isinstance(manifest, dict) else None
    if not isinstance(record, dict):
        return {}
    rates: dict[str, list[float]] = {}
    for name, entry in record.items():
        rate = entry.get("rows_per_second") if isinstance(entry, dict) else None
        if rate and model_of(name) in models:
            rates.setdefault(str(model_of(name)), []).append(float(rate))
    return {model: sum(values) / len(values) for model, values in rates.items()}


def _measured(model: PlannedModel) -> float | None:
    """Return rows per second from the products of the layers, forwards and backwards; None for other models."""
    if model.widths is None or model.rows is None:
        return None
    shapes = [shape for pair in itertools.pairwise((*model.widths, 1)) for shape in _products(*pair)]
    return BATCH / (OVER_PRODUCTS * sum(product_seconds(shapes)[shape] for shape in shapes))


def _products(width: int, following: int) -> list[tuple[int, int, int]]:
    """Return the products of one layer: forwards, and the gradients of its inputs and of its weights."""
    return [(BATCH, width, following), (BATCH, following, width), (width, BATCH, following)]


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
