"""The trainings of every trial, in parallel; a finished training is kept in the folder of the scan and not repeated.

A training is a job of hepda.events.training.jobs. The process that finishes the last job of a trial evaluates the trial
at once, so that evaluations are distributed over the processes like the trainings. On a cluster the machines may see
each other's files late: a trial that nobody has evaluated is evaluated at the end, and records return with the results.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepda.config import NetworkConfig
from hepda.events.kind import combine
from hepda.events.training.jobs import EventJob
from hepda.runtime import run_directory
from hepda.runtime.jobs import ERRORS_OF_ONE_TRAINING, TrainingResult, done, read_job, run_job
from hepda.runtime.pool import WORKERS, Lost, Pool, Send, appears
from hepda.workflows.scan.points import ScanTrial

if TYPE_CHECKING:
    from hepda.workflows.scan.measuring import Scored


Records = dict[Path, dict[str, Any]]
"""Records of trials by `record_path`."""


@dataclass(frozen=True, slots=True)
class ScanTask:
    """One training of a trial; a task without a job only evaluates the trial."""

    trial: ScanTrial
    job: EventJob | None
    criterion: str


@dataclass(slots=True)
class ScanProgress:
    """Adds up the progress of many trainings into two bars: trainings, and their epochs."""

    progress: Send
    tasks: int = 0
    epochs: int = 0
    shares: dict[str, int] = field(default_factory=dict)
    finished: int = 0

    def begin(self, tasks: Sequence[ScanTask]) -> None:
        """Add these tasks to those before."""
        self.tasks += len(tasks)
        for task in tasks:
            section = None if task.job is None else task.job.spec.section
            self.epochs += section.training.epochs if isinstance(section, NetworkConfig) else 0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Update the bars. `what` is the training, "" when a task is finished, or WORKERS of a cluster."""
        if what == WORKERS:
            self.progress(what, done, total)
        elif not what:
            self.finished += 1
            self.progress("trainings", self.finished, self.tasks)
        elif total > 1:
            self.shares[what] = done
            self.progress("epochs", min(sum(self.shares.values()), self.epochs), self.epochs)


def tasks_of(trials: Sequence[ScanTrial], criterion: str) -> list[ScanTask]:
    """Return the remaining tasks, seed by seed as the trials are given; a trial that is given twice is done once."""
    tasks = []
    for trial in {trial.folder: trial for trial in trials}.values():
        remaining = [job for job in trial.jobs if not _is_over(trial, job)]
        if remaining:
            tasks += [ScanTask(trial, job, criterion) for job in remaining]
        elif not record_path(trial, criterion).exists():
            tasks.append(ScanTask(trial, None, criterion))
    return tasks


def run_tasks(tasks: Sequence[ScanTask], pool: Pool) -> Records:
    """Do the tasks with the workers of `pool`.

    Returns:
        The records of the trials that were evaluated, and of those that lack a training because it lost its workers.
        Such a training is not kept as a failure: the same command does it again.

    """
    for task in tasks:
        task.trial.folder.mkdir(parents=True, exist_ok=True)
    records: Records = {}
    lost: dict[Path, list[str]] = {}
    _collect(tasks, pool.try_map(perform, tasks), records, lost)
    trials = {task.trial.folder: task for task in tasks}
    missing = [
        ScanTask(task.trial, None, task.criterion)
        for folder, task in trials.items()
        if folder not in lost and record_path(task.trial, task.criterion) not in records
    ]
    if missing:
        _collect(missing, pool.try_map(perform, missing), records, lost)
    for folder, reasons in lost.items():
        task = trials[folder]
        records.setdefault(record_path(task.trial, task.criterion), failed_record(reasons))
    return records


def _collect(
    tasks: Sequence[ScanTask],
    results: Sequence[dict[str, Any] | Lost | None],
    records: Records,
    lost: dict[Path, list[str]],
) -> None:
    """Add the results of tasks to the records, and the reasons for those that were given up to `lost`, by trial."""
    for task, result in zip(tasks, results, strict=True):
        if isinstance(result, Lost):
            name = "its evaluation" if task.job is None else task.job.name
            lost.setdefault(task.trial.folder, []).append(f"{name}: {result.why} The same command does it again.")
        elif result is not None:
            records[record_path(task.trial, task.criterion)] = result


def perform(_: None, task: ScanTask, send: Send) -> dict[str, Any] | None:
    """Do the training of a task; evaluate its trial if no training of it is left, and return the record."""
    trial, job = task.trial, task.job
    if job is not None:
        name = f"{trial.folder.name}/{job.name}"
        try:
            run_job(None, job, lambda _, done, total: send(name, done, total))
        except ERRORS_OF_ONE_TRAINING as error:  # a value with which training is impossible is a result of the scan
            run_directory.write_text(_failure(trial, job), str(error))
        (job.work / f"{job.name}.checkpoint").unlink(missing_ok=True)
    finished = job is None or all(_is_over(trial, other) for other in trial.jobs)
    if finished and not record_path(trial, task.criterion).exists():
        run_directory.write_json(record_path(trial, task.criterion), evaluate(trial, task.criterion))
    send("", 1, 1)
    return read_record(trial, task.criterion) if finished else None


def evaluate(trial: ScanTrial, criterion: str) -> dict[str, Any]:
    """Return the record of a finished trial: its numbers, which are missing and why, and the cost of its trainings."""
    from hepda.events.table.store import open_table
    from hepda.workflows.scan.measuring import choosing_numbers, reporting_numbers

    for job in trial.jobs:
        appears(done(job), _failure(trial, job))
    failures = [_failure(trial, job).read_text(encoding="utf-8") for job in trial.jobs if _failure(trial, job).exists()]
    if failures:
        return failed_record(failures)
    table = open_table(trial.table)
    results = _results(trial)
    single_model = trial.config.model_copy(update={"models": {trial.model: trial.config.models[trial.model]}})
    score = combine(single_model, table, results)[trial.model]
    networks = [(job.fold, job.folder / f"{job.stem}.safetensors") for job in trial.jobs]
    reported, why = reporting_numbers(trial.config, table, score)
    chosen, chosen_why = choosing_numbers(
        trial.config, table, trial.model, score, criterion, networks, varied_scores(trial)
    )
    return {
        "numbers": reported | chosen,
        "why": why + chosen_why,
        "failed": False,
        "seconds": sum(result.about["seconds"] for result in results),
        "epochs": sum(result.about["epochs"] for result in results) / len(results),
        "alarms": [f"{result.name}: {text}" for result in results for text in result.about.get("alarms", ())],
    }


def failed_record(reasons: Sequence[str]) -> dict[str, Any]:
    """Return the record of a trial some of whose trainings failed."""
    return {"numbers": {}, "why": list(dict.fromkeys(reasons)), "failed": True, "seconds": None, "epochs": None}


def _results(trial: ScanTrial) -> list[TrainingResult]:
    """Return the results of the trainings of a trial, which another machine may have written just now."""
    return [read_job(job) for job in trial.jobs if appears(done(job))]


def varied_scores(trial: ScanTrial) -> dict[str, Scored]:
    """Return the events of shape variations that the model of a finished trial compares, with their scores."""
    from hepda.events.resolve import model_spec
    from hepda.events.table.store import open_variations
    from hepda.events.training.scoring import score_table
    from hepda.workflows.scan.measuring import Scored

    model = model_spec(trial.config, trial.model)
    names = {variation.name for variation in model.variations}
    tables = {name: table for name, table in open_variations(trial.table).items() if name in names}
    models = trial.jobs[0].folder.parent
    return {name: Scored(table, score_table([model], models, table)[trial.model]) for name, table in tables.items()}


def trial_score(trial: ScanTrial) -> Any:
    """Return P(signal) [n] of a finished trial, in the order of its table."""
    from hepda.events.table.store import open_table

    single_model = trial.config.model_copy(update={"models": {trial.model: trial.config.models[trial.model]}})
    return combine(single_model, open_table(trial.table), _results(trial))[trial.model]


def read_record(trial: ScanTrial, criterion: str) -> dict[str, Any]:
    """Read the record that `evaluate` made for a trial."""
    record: dict[str, Any] = run_directory.read_json(record_path(trial, criterion))
    return record


def record_path(trial: ScanTrial, criterion: str) -> Path:
    """Return the file of the record: another criterion or another `evaluation:` section has another record."""
    content = json.dumps([criterion, trial.config.evaluation.model_dump(mode="json", by_alias=True)], sort_keys=True)
    return trial.folder / f"judged-{zlib.crc32(content.encode()):08x}.json"


def _failure(trial: ScanTrial, job: EventJob) -> Path:
    return trial.folder / f"{job.name}.failed"


def _is_over(trial: ScanTrial, job: EventJob) -> bool:
    return (trial.folder / f"{job.name}.npz").exists() or _failure(trial, job).exists()
