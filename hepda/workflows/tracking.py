"""The course of the trainings of a finished run, written for TensorBoard or MLflow into local files.

The history of every training is there when a run is complete, whatever its method and wherever it ran, so that the
files are made of the run directory and can be made later as well. They are next to the run directory, so that several
runs are seen together.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from hepda.errors import MissingExtraError
from hepda.runtime import run_directory
from hepda.runtime.jobs import model_of

Scalars = Mapping[str, float]


def track(run: Path, tracker: str) -> str:
    """Write the histories, settings and final numbers of a finished run for a program that shows them.

    What was written for the same run before is replaced.

    Args:
        run: the run directory.
        tracker: the program, a key of WRITERS.

    Returns:
        A line that says where it is and how it is shown.

    Raises:
        MissingExtraError: the library of the program is not installed.
        ConfigError: the run directory has no complete run.

    """
    return WRITERS[tracker](run.resolve())


def check_tracker(tracker: str) -> None:
    """Raise MissingExtraError unless the libraries of a tracker, a key of WRITERS, are installed; none is imported."""
    for package in _PACKAGES[tracker]:
        if find_spec(package) is None:
            raise MissingExtraError(package, tracker, f"--track {tracker}")


def _tensorboard(run: Path) -> str:
    """Write `tensorboard/<run>/<training>` next to the run directory, an event file for each training."""
    check_tracker("tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    folder = run.parent / "tensorboard" / run.name
    shutil.rmtree(folder, ignore_errors=True)
    for training, epochs in _histories(run):
        writer = EventFileWriter(str(folder / training))
        for epoch, values in enumerate(epochs, start=1):
            scalars = [Summary.Value(tag=_tag(name), simple_value=value) for name, value in values.items()]
            writer.add_event(Event(step=epoch, summary=Summary(value=scalars)))
        writer.close()
    for model, numbers in _numbers(run).items():
        writer = EventFileWriter(str(folder / f"{model}-results"))
        scalars = [Summary.Value(tag=f"results/{name}", simple_value=value) for name, value in numbers.items()]
        writer.add_event(Event(step=0, summary=Summary(value=scalars)))
        writer.close()
    return f"tensorboard: {folder}; see it with: tensorboard --logdir {folder.parent}"


def _mlflow(run: Path) -> str:
    """Write a run of MLflow for each training into the database `mlflow.db` next to the run directory.

    The experiment has the name of the analysis; the trainings are nested in a run with the name of the run directory.
    """
    check_tracker("mlflow")
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    store = f"sqlite:///{run.parent / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=store)
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    name = str(config.get("name") or run.name)
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        number = client.create_experiment(name, artifact_location=(run.parent / "mlartifacts").as_uri())
    else:
        number = experiment.experiment_id
    for earlier in client.search_runs([number], filter_string=f"tags.hepda_run = '{_quoted(str(run))}'"):
        client.delete_run(earlier.info.run_id)

    def start(title: str, **tags: str) -> str:
        made = client.create_run(number, run_name=title, tags={"hepda_run": str(run), **tags})
        return str(made.info.run_id)

    parent = start(run.name)
    numbers = _numbers(run)
    flat = [
        Metric(_tag(f"{model}/{key}"), value, 0, 0)
        for model, values in numbers.items()
        for key, value in values.items()
    ]
    for begin in range(0, len(flat), _MOST):
        client.log_batch(parent, metrics=flat[begin : begin + _MOST])
    client.log_artifact(parent, str(run / "config.yaml"))
    client.set_terminated(parent)
    models = config.get("models", {})
    for training, epochs in _histories(run):
        model = str(model_of(training) or training)
        child = start(training, **{"mlflow.parentRunId": parent, "model": model})
        settings = [Param(key, value) for key, value in _settings(models.get(model, {}))]
        client.log_batch(child, params=settings[:_MOST_SETTINGS])
        values = [
            Metric(_tag(name), value, 0, epoch)
            for epoch, of_epoch in enumerate(epochs, start=1)
            for name, value in of_epoch.items()
        ]
        for begin in range(0, len(values), _MOST):
            client.log_batch(child, metrics=values[begin : begin + _MOST])
        client.set_terminated(child)
    return f"mlflow: experiment {name} in {store}; see it with: mlflow ui --backend-store-uri {store}"


_MOST, _MOST_SETTINGS, _LONGEST = 1000, 100, 500
"""Metrics and settings that MLflow takes in one call, and letters of the value of a setting."""


def _histories(run: Path) -> Iterator[tuple[str, list[Scalars]]]:
    """Yield the name of each training with a history, and what was measured in each of its epochs."""
    for name, columns in run_directory.read_history(run / "history.csv").items():
        length = max(map(len, columns.values()), default=0)
        yield name, [_measured({key: column[epoch] for key, column in columns.items()}) for epoch in range(length)]


def _measured(values: Mapping[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in values.items() if value is not None and math.isfinite(float(value))}


def _numbers(run: Path) -> dict[str, dict[str, float]]:
    """Return the final numbers of each model by their path in metrics.json: those of AUC, bias and significance."""
    metrics = run_directory.read_json(run / "metrics.json")
    models = metrics.get("models", {}) if isinstance(metrics, dict) else {}
    return {str(model): dict(_flat(entry)) for model, entry in models.items()}


def _flat(entry: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Yield every number of an entry of metrics.json that is no part of a list, with its path."""
    if isinstance(entry, bool) or entry is None:
        return
    if isinstance(entry, int | float):
        yield path, float(entry)
    elif isinstance(entry, Mapping):
        for key, value in entry.items():
            yield from _flat(value, f"{path}/{key}" if path else str(key))


def _settings(section: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for key, value in section.items():
        inner = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping):
            yield from _settings(value, inner)
        elif value is not None:
            yield inner, str(value)[:_LONGEST]


def _tag(name: str) -> str:
    """Return a name of what both programs accept."""
    return re.sub(r"[^\w./ -]", "_", name)


def _quoted(text: str) -> str:
    return text.replace("'", "\\'")


WRITERS: Mapping[str, Callable[[Path], str]] = {"tensorboard": _tensorboard, "mlflow": _mlflow}
_PACKAGES = {"tensorboard": ("tensorboard",), "mlflow": ("mlflow", "alembic", "sqlalchemy")}
"""What each writer imports. MLflow would say that its database needs the last two, but not how they are installed."""
