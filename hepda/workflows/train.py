"""The story on one page, the same for every kind of data: load, train each model, evaluate, draw, report."""

from __future__ import annotations

import re
import shutil
import zlib
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hepda.config import AnyConfig, load_any, resolved_yaml
from hepda.errors import ConfigError
from hepda.kinds import Judging, Kind, kind_of
from hepda.runtime import processes as parallel
from hepda.runtime import run_directory
from hepda.runtime.jobs import model_of
from hepda.runtime.resources import Resources
from hepda.runtime.torchrun import run_jobs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hepda.kinds import Scores
    from hepda.report.number_format import Table

FILES = (
    "manifest.json", "metrics.json", "config.yaml", "scores.parquet", "history.csv", "figures.json", "report.html",
)  # fmt: skip
"""What a complete run directory holds, besides models/."""
DATA = "data"
"""The folder in a run's .work where the data lie that no cache keeps."""
SECTIONS = "models.json"
"""The file beside unfinished trainings that says of which models they are."""


class Progress(Protocol):
    """What a run tells of itself while it goes on; the command line draws bars of it."""

    def stage(self, name: str) -> None:
        """A stage of the story begins."""

    def step(self, what: str, done: int, total: int) -> None:
        """Within the stage, `what` is `done` of `total`."""

    def say(self, line: str) -> None:
        """A line that stays."""


@dataclass(slots=True)
class Outcome:
    """Where a run is, what it measured, how long each stage took (s), and its table for the terminal, if its kind of
    data has one of its own.
    """

    folder: Path
    report: Path
    metrics: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)
    table: Table | None = None


@dataclass(slots=True)
class Clock:
    """Times the stages."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """The block is the stage."""
        self.progress.stage(stage)
        start = perf_counter()
        yield
        self.seconds[stage] = perf_counter() - start


def train(
    config: AnyConfig,
    run: Path,
    plots: Path,
    progress: Progress,
    *,
    resume: bool = False,
    device: str = "auto",
    resources: Resources | None = None,
) -> Outcome:
    """Everything: from the data of the config to the report in `run` and the figures in `plots`.

    With `resume`, trainings that an interrupted run of the same config has finished are not done again, and one
    that was under way goes on from its last epoch; models that were added or changed since are trained anew, and none
    else. resources: memory, cluster and the cache of tables.

    Raises:
        TrainingError: some trainings failed; all others have been done, and are kept for `resume`.
        HepdaError: the input is wrong; nothing has been trained then.

    """
    check_places(run, plots)
    check_device(device)
    clock, kind = Clock(progress), kind_of(config)
    if processes_of(config) > 1:
        parallel.prepare(kind.heavy)
    means = replace(resources or Resources(), processes=processes_of(config), folder=run / ".work" / DATA)
    with clock("load"):
        for line in kind.load(progress.step, means):
            progress.say(line)
    with clock("train"):
        processes = kind.side_by_side(processes_of(config))
        work = work_folder(config, kind, run, resume, progress)
        results = run_jobs(kind.jobs(run, work, device), processes, progress.step)
        scores = kind.combine(results)
        for line in alarms({r.name: r.about for r in results}):
            progress.say(line)
    run_directory.write_text(run / "config.yaml", resolved_yaml(config))
    run_directory.write_text(
        run / "history.csv", run_directory.history_csv({r.name: r.history for r in results if r.history})
    )
    run_directory.write_scores(run / "scores.parquet", kind.score_columns(scores))
    manifest = {
        **run_directory.provenance(config.seed),
        "training": {r.name: r.about for r in results},
        "files": kind.files(),
    }
    run_directory.write_json(run / "manifest.json", manifest)
    outcome = _judge(config, kind, scores, run, plots, clock)
    shutil.rmtree(work.parent)
    return outcome


def evaluate(run: Path, plots: Path, progress: Progress, resources: Resources | None = None) -> Outcome:
    """Numbers, figures and report again, from the saved scores and models of a run directory.

    resources: memory, cluster and the cache of tables.

    Raises:
        ConfigError: `run` is no run directory, or its files are no longer those that it was trained on.

    """
    manifest = run_directory.read_json(run / "manifest.json")
    if not isinstance(manifest, dict) or "training" not in manifest:
        raise ConfigError(
            f"{run / 'manifest.json'} was not written by `hepda train`; name a run directory that it made."
        )
    run_directory.check_writable(plots, "--plots")
    config = load_any(run / "config.yaml")
    clock, kind = Clock(progress), kind_of(config)
    if processes_of(config) > 1:
        parallel.prepare(kind.heavy)
    with clock("load"):
        kind.load(progress.step, replace(resources or Resources(), processes=processes_of(config)))
        scores = kind.saved_scores(run)
    return _judge(config, kind, scores, run, plots, clock)


def check(config: AnyConfig, progress: Progress, *, every_file: bool = False) -> tuple[list[str], list[str]]:
    """Look at the data of an analysis: the lines of what was found, and the problems for which none may be trained.

    every_file: of each sample, not only the first.

    Raises:
        HepdaError: the analysis file itself is wrong.

    """
    progress.stage("check")
    return kind_of(config).check(progress.step, every_file=every_file)


def _judge(config: AnyConfig, kind: Kind, scores: Scores, run: Path, plots: Path, clock: Clock) -> Outcome:
    """Numbers, figures and the report of scores, into `run` and `plots`."""
    about = run_directory.read_json(run / "manifest.json")["training"]
    histories, best = saved_histories(config, run, about)
    training = training_metrics(config, about)
    judging = Judging(run, training, histories, best, processes_of(config), clock.progress.step)
    with clock("evaluate"):
        head = {"schema": 1, "name": config.name, "kind": config.kind, "seed": config.seed}
        metrics = head | kind.measure(scores, judging)
        run_directory.write_json(run / "metrics.json", metrics)
    with clock("draw"):
        run_directory.write_figures(run, "evaluate", kind.draw(scores, judging, plots))
    with clock("report"):
        path = write_page(config, kind, run)
    return Outcome(run, path, metrics, clock.seconds, kind.terminal(metrics))


def write_page(config: AnyConfig, kind: Kind, run: Path, output: Path | None = None) -> Path:
    """The report of a run from what every verb has left: metrics, figures, the fit.

    run: has metrics.json and manifest.json; output: has figures.json and, after `hepda fit`, fit.json, and takes
    the report (None: the run itself). kind: with its data, of which its warnings speak.
    """
    from hepda.events.results.tables.fit import fit_tables
    from hepda.report.page import write_report

    folder = output or run
    manifest, metrics = (run_directory.read_json(run / f"{name}.json") for name in ("manifest", "metrics"))
    figures, lost = run_directory.read_figures(folder)
    fitted, stale = run_directory.read_fit(folder, run)
    extra = kind.tables(metrics)
    if fitted is None:
        figures = [(by, figure) for by, figure in figures if by != "fit"]
    else:
        extra = extra | {"fit": fit_tables(fitted)}
    return write_report(
        folder / "report.html",
        metrics,
        [figure for _, figure in figures],
        config_text=resolved_yaml(config),
        manifest=manifest,
        conclusions=kind.conclusions(metrics),
        warnings=[*kind.warnings(), *alarms(manifest["training"]), *stale],
        notes=[*kind.notes(), *lost],
        extra_tables=extra,
        own_tables=kind.own_tables,
        sections=kind.sections,
    )


def check_places(run: Path, plots: Path) -> None:
    """Raise ConfigError if `run` or `plots` cannot be written to, or if `run` holds something else than a run."""
    run_directory.check_writable(run, "--output")
    run_directory.check_writable(plots, "--plots")
    known = any((run / name).exists() for name in ("manifest.json", ".work"))
    if run.is_dir() and any(run.iterdir()) and not known:
        raise ConfigError(
            f"--output {run}: this folder holds files that are not of a run, which might be overwritten; "
            "name an empty or a new one."
        )


def check_device(device: str) -> None:
    """Raise ConfigError for a device that torch does not know or that this machine does not have."""
    if device in ("auto", "cpu"):
        return
    import torch

    name, _, number = device.partition(":")
    if name != "cuda" or (number and not number.isdigit()):
        raise ConfigError(f"--device {device}: must be auto, cpu or cuda (or cuda:1, the second one).")
    if int(number or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"--device {device}: torch finds {torch.cuda.device_count()} CUDA devices here; say cpu or auto."
        )


def work_folder(config: AnyConfig, kind: Kind, run: Path, resume: bool, progress: Progress) -> Path:
    """Where finished and half-finished trainings of this config on these data are kept until the run is complete.

    Other models may join, change or go without a loss for those that stay. Anything else that an earlier run left in
    `run` goes: a run directory never holds files of two runs.
    """
    alone = config.training.model_copy(update={"processes": "auto"})  # how many there are changes no number
    rest = config.model_copy(update={"models": {}, "training": alone})
    name = zlib.crc32(resolved_yaml(rest).encode())
    for column in kind.columns():
        name = zlib.crc32(np.ascontiguousarray(column).data, name)
    folder = run / ".work" / f"{name:08x}"
    told = {
        model: section.model_dump(mode="json", exclude={"training": {"processes"}})
        for model, section in config.models.items()
    }
    if resume and (folder / SECTIONS).exists():
        _forget_changed(folder, run, told, progress)
        return folder
    if resume:
        progress.say(f"{run} has nothing to resume of this config and these data; everything is trained.")
    folder.mkdir(parents=True, exist_ok=True)
    for left in (*(run / ".work").iterdir(), run / "models"):
        if left.is_dir() and left.name != DATA:
            shutil.rmtree(left)
    for file in (*FILES, *run_directory.FITTED):
        for left in run.glob(file):
            left.unlink()
    folder.mkdir(exist_ok=True)
    run_directory.write_json(folder / SECTIONS, told)
    return folder


def _forget_changed(folder: Path, run: Path, told: Mapping[str, Any], progress: Progress) -> None:
    """Take away what an interrupted run left of models that are gone or that the config describes in another way."""
    earlier = run_directory.read_json(folder / SECTIONS)
    for model in [model for model, section in earlier.items() if told.get(model) != section]:
        progress.say(f"models.{model} is another one than before: what was trained of it is not used.")
        shutil.rmtree(run / "models" / model, ignore_errors=True)
        for file in folder.iterdir():
            if model_of(file.name) == model:
                file.unlink()
    run_directory.write_json(folder / SECTIONS, told)


def processes_of(config: AnyConfig) -> int:
    """Processes side by side: as many as the config says, or one a core for `auto`."""
    asked = config.training.processes
    return parallel.cores() if asked == "auto" else asked


def training_metrics(config: AnyConfig, about: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """models.<model>.training: seconds of all trainings of a model, their rate, mean epochs, and its reweightings."""
    found = {}
    for model in config.models:
        own = [entry for name, entry in about.items() if model_of(name) == model]
        seconds = sum(entry["seconds"] for entry in own)
        rows = sum(entry["seconds"] * entry["rows_per_second"] for entry in own)
        found[model] = {
            "seconds": seconds,
            "rows_per_second": rows / seconds if seconds else None,
            "epochs": sum(entry["epochs"] for entry in own) / len(own),
            "trainings": len(own),
        }
        found[model] |= {k: [entry[k] for entry in own] for k in ("reweight", "domain_reweight") if k in own[0]}
    return found


def saved_histories(
    config: AnyConfig, run: Path, about: Mapping[str, dict[str, Any]]
) -> tuple[dict[str, list[dict[str, list[float | None]]]], dict[str, list[int]]]:
    """The history of every training of each network, and the epoch (from 1) whose weights it kept."""
    saved = run_directory.read_history(run / "history.csv")
    histories: dict[str, list[dict[str, list[float | None]]]] = {}
    best: dict[str, list[int]] = {}
    for model in config.models:
        own = [name for name in saved if model_of(name) == model]
        if own:
            histories[model] = [saved[name] for name in own]
            kept = [about[name].get("best_epoch") for name in own]
            best[model] = [epoch + 1 for epoch in kept if epoch is not None]
    return histories, best


def alarms(about: Mapping[str, dict[str, Any]]) -> list[str]:
    """What looks wrong in a training, in words. about: of each training, by its name.

    What differs by numbers alone among the trainings of a model is told once.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for name, entry in about.items():
        for text in entry.get("alarms", ()):
            model = name.rpartition("-fold")[0] or name
            found.setdefault((model, re.sub(r"[0-9.]+", "#", text)), []).append(f"{name}: {text}")
    return [
        texts[0] + (f" (alike in {len(texts) - 1} more trainings of {model})" if len(texts) > 1 else "")
        for (model, _), texts in found.items()
    ]
