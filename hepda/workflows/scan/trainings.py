"""The trainings of every trial, in parallel; a finished training is kept in the folder of the scan and not repeated.

A training is a job of hepda.events.training.jobs. The process that finishes the last job of a trial evaluates the trial
at once, so that evaluations are distributed over the processes like the trainings.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hepda.config import NetworkConfig
from hepda.events.kind import combine
from hepda.events.training.jobs import EventJob
from hepda.runtime import run_directory
from hepda.runtime.jobs import ERRORS_OF_ONE_TRAINING, read_job, run_job
from hepda.runtime.pool import Pool, Send
from hepda.workflows.scan.points import ScanTrial

if TYPE_CHECKING:
    from hepda.workflows.scan.measuring import Scored


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
        """Update the bars. `what` is the training, or "" when a task is finished."""
        if not what:
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


def run_tasks(tasks: Sequence[ScanTask], pool: Pool) -> None:
    """Do the tasks with the workers of `pool`."""
    for task in tasks:
        task.trial.folder.mkdir(parents=True, exist_ok=True)
    pool.map(perform, tasks)


def perform(_: None, task: ScanTask, send: Send) -> None:
    """Do the training of a task; evaluate its trial if no training of it is left."""
    trial, job = task.trial, task.job
    if job is not None:
        name = f"{trial.folder.name}/{job.name}"
        try:
            run_job(None, job, lambda _, done, total: send(name, done, total))
        except ERRORS_OF_ONE_TRAINING as error:  # a value with which training is impossible is a result of the scan
            run_directory.write_text(_failure(trial, job), str(error))
        (job.work / f"{job.name}.checkpoint").unlink(missing_ok=True)
    if all(_is_over(trial, other) for other in trial.jobs) and not record_path(trial, task.criterion).exists():
        run_directory.write_json(record_path(trial, task.criterion), evaluate(trial, task.criterion))
    send("", 1, 1)


def evaluate(trial: ScanTrial, criterion: str) -> dict[str, Any]:
    """Return the record of a finished trial: its numbers, which are missing and why, and the cost of its trainings."""
    from hepda.events.table.store import open_table
    from hepda.workflows.scan.measuring import choosing_numbers, reporting_numbers

    failures = [_failure(trial, job).read_text(encoding="utf-8") for job in trial.jobs if _failure(trial, job).exists()]
    if failures:
        return {"numbers": {}, "why": list(dict.fromkeys(failures)), "failed": True, "seconds": None, "epochs": None}
    table = open_table(trial.table)
    results = [read_job(job) for job in trial.jobs]
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
    return combine(single_model, open_table(trial.table), [read_job(job) for job in trial.jobs])[trial.model]


def read_record(trial: ScanTrial, criterion: str) -> dict[str, Any]:
    """Read the record that `evaluate` made for a trial."""
    record: dict[str, Any] = run_directory.read_json(record_path(trial, criterion))
    return record


def record_path(trial: ScanTrial, criterion: str) -> Any:
    """Return the file of the record: another criterion or another `evaluation:` section has another record."""
    content = json.dumps([criterion, trial.config.evaluation.model_dump(mode="json", by_alias=True)], sort_keys=True)
    return trial.folder / f"judged-{zlib.crc32(content.encode()):08x}.json"


def _failure(trial: ScanTrial, job: EventJob) -> Any:
    return trial.folder / f"{job.name}.failed"


def _is_over(trial: ScanTrial, job: EventJob) -> bool:
    return (trial.folder / f"{job.name}.npz").exists() or _failure(trial, job).exists()
