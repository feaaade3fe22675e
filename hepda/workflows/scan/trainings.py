"""The trainings of every unit, in parallel; a finished training is kept in the folder of the scan and not repeated.

A training is a job of hepda.events.training.jobs. The process that finishes the last job of a unit evaluates the unit
at once, so that evaluations are distributed over the processes like the trainings.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hepda.config import NetworkConfig
from hepda.events.kind import combine
from hepda.events.training.jobs import EventJob
from hepda.runtime import run_directory
from hepda.runtime.jobs import ERRORS_OF_ONE, read_job, run_job
from hepda.runtime.pool import Pool, Send
from hepda.workflows.scan.points import ScanTrial


@dataclass(frozen=True, slots=True)
class ScanTask:
    """One training of a unit; a task without a job only evaluates the unit."""

    unit: ScanTrial
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


def tasks_of(units: Sequence[ScanTrial], criterion: str) -> list[ScanTask]:
    """Return the remaining tasks, seed by seed as the units are given; a unit that is given twice is done once."""
    tasks = []
    for unit in {unit.folder: unit for unit in units}.values():
        left = [job for job in unit.jobs if not _is_over(unit, job)]
        if left:
            tasks += [ScanTask(unit, job, criterion) for job in left]
        elif not record_path(unit, criterion).exists():
            tasks.append(ScanTask(unit, None, criterion))
    return tasks


def run_tasks(tasks: Sequence[ScanTask], pool: Pool) -> None:
    """Do the tasks with the workers of `pool`."""
    for task in tasks:
        task.unit.folder.mkdir(parents=True, exist_ok=True)
    pool.map(perform, tasks)


def perform(_: None, task: ScanTask, send: Send) -> None:
    """Do the training of a task; evaluate its unit if no training of it is left."""
    unit, job = task.unit, task.job
    if job is not None:
        name = f"{unit.folder.name}/{job.name}"
        try:
            run_job(None, job, lambda _, done, total: send(name, done, total))
        except ERRORS_OF_ONE as error:  # a value with which training is impossible is a result of the scan
            run_directory.write_text(_failure(unit, job), str(error))
        (job.work / f"{job.name}.checkpoint").unlink(missing_ok=True)
    if all(_is_over(unit, other) for other in unit.jobs) and not record_path(unit, task.criterion).exists():
        run_directory.write_json(record_path(unit, task.criterion), evaluate(unit, task.criterion))
    send("", 1, 1)


def evaluate(unit: ScanTrial, criterion: str) -> dict[str, Any]:
    """Return the record of a finished unit: its numbers, which are missing and why, and the cost of its trainings."""
    from hepda.events.table.store import open_table
    from hepda.workflows.scan.measuring import choosing_numbers, reporting_numbers

    failures = [_failure(unit, job).read_text(encoding="utf-8") for job in unit.jobs if _failure(unit, job).exists()]
    if failures:
        return {"numbers": {}, "why": list(dict.fromkeys(failures)), "failed": True, "seconds": None, "epochs": None}
    table = open_table(unit.table)
    results = [read_job(job) for job in unit.jobs]
    only = unit.config.model_copy(update={"models": {unit.model: unit.config.models[unit.model]}})
    score = combine(only, table, results)[unit.model]
    networks = [(job.fold, job.folder / f"{job.stem}.safetensors") for job in unit.jobs]
    reported, why = reporting_numbers(unit.config, table, score)
    chosen, more = choosing_numbers(unit.config, table, unit.model, score, criterion, networks)
    return {
        "numbers": reported | chosen,
        "why": why + more,
        "failed": False,
        "seconds": sum(result.about["seconds"] for result in results),
        "epochs": sum(result.about["epochs"] for result in results) / len(results),
        "alarms": [f"{result.name}: {text}" for result in results for text in result.about.get("alarms", ())],
    }


def unit_score(unit: ScanTrial) -> Any:
    """Return P(signal) [n] of a finished unit, in the order of its table."""
    from hepda.events.table.store import open_table

    only = unit.config.model_copy(update={"models": {unit.model: unit.config.models[unit.model]}})
    return combine(only, open_table(unit.table), [read_job(job) for job in unit.jobs])[unit.model]


def read_record(unit: ScanTrial, criterion: str) -> dict[str, Any]:
    """Read the record that `evaluate` made for a unit."""
    record: dict[str, Any] = run_directory.read_json(record_path(unit, criterion))
    return record


def record_path(unit: ScanTrial, criterion: str) -> Any:
    """Return the file of the record: another criterion or another `evaluation:` section has another record."""
    content = json.dumps([criterion, unit.config.evaluation.model_dump(mode="json", by_alias=True)], sort_keys=True)
    return unit.folder / f"judged-{zlib.crc32(content.encode()):08x}.json"


def _failure(unit: ScanTrial, job: EventJob) -> Any:
    return unit.folder / f"{job.name}.failed"


def _is_over(unit: ScanTrial, job: EventJob) -> bool:
    return (unit.folder / f"{job.name}.npz").exists() or _failure(unit, job).exists()
