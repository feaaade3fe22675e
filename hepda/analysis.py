"""The story on one page, the same for every kind of data: load, train each model, evaluate, draw, report."""

from __future__ import annotations

import re
import shutil
import zlib
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hepda import parallel, rundir
from hepda.config import AnalysisConfig, load_config, resolved_yaml
from hepda.errors import ConfigError
from hepda.training import Trained, jobs_of, run_jobs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hepda.events.load import LoadedEvents
    from hepda.events.table import FeatureTable

Array = NDArray[Any]
FILES = (
    "manifest.json", "metrics.json", "config.yaml", "scores.parquet", "history.csv", "figures.json", "report.html",
)  # fmt: skip
"""What a complete run directory holds, besides models/."""
HEAVY = (
    "torch", "sklearn.ensemble", "hepda.events.wing", "hepda.adversarial", "hepda.baselines.bdt",
    "hepda.evaluation.probe_models",
)  # fmt: skip
"""What the processes of a run need, imported once for all of them while the events are read."""


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
    """Where a run is, what it measured, and how long each stage took (s)."""

    folder: Path
    report: Path
    metrics: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)


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
    config: AnalysisConfig,
    run: Path,
    plots: Path,
    progress: Progress,
    *,
    resume: bool = False,
    device: str = "auto",
) -> Outcome:
    """Everything: from the files of the config to the report in `run` and the figures in `plots`.

    With `resume`, trainings that an interrupted run of the same config has finished are not done again, and one
    that was under way goes on from its last epoch.

    Raises:
        HepdaError: the input is wrong; nothing has been trained then.

    """
    check_places(run, plots)
    check_device(device)
    if processes_of(config) > 1:
        parallel.prepare(HEAVY)
    from hepda.events import wing
    from hepda.events.store import write_table

    clock = Clock(progress)
    with clock("load"):
        loaded = wing.load(config, progress.step)
        for line in (*(file.line() for file in loaded.skipped), *policy_lines(config, loaded.table)):
            progress.say(line)
    with clock("train"):
        work = work_folder(config, loaded.table, run, resume, progress)
        write_table(loaded.table, work / "table")
        jobs = jobs_of(config, work / "table", run, work, device)
        results = run_jobs(jobs, processes_of(config), progress.step)
        scores = combine(config, loaded.table, results)
        for line in alarms({r.name: r.about for r in results}):
            progress.say(line)
    rundir.write_text(run / "config.yaml", resolved_yaml(config))
    rundir.write_text(run / "history.csv", rundir.history_csv({r.name: r.history for r in results if r.history}))
    rundir.write_scores(run / "scores.parquet", wing.scores_columns(loaded.table, scores))
    manifest = {
        **rundir.provenance(config.seed),
        "training": {r.name: r.about for r in results},
        "files": loaded.manifest(),
    }
    rundir.write_json(run / "manifest.json", manifest)
    outcome = _judge(config, loaded, scores, run, plots, clock)
    shutil.rmtree(work.parent)
    return outcome


def evaluate(run: Path, plots: Path, progress: Progress) -> Outcome:
    """Numbers, figures and report again, from the saved scores and models of a run directory.

    Raises:
        ConfigError: `run` is no run directory, or its files are no longer those that it was trained on.

    """
    from hepda.events import wing

    manifest = rundir.read_json(run / "manifest.json")
    if not isinstance(manifest, dict) or "training" not in manifest:
        raise ConfigError(
            f"{run / 'manifest.json'} was not written by `hepda train`; name a run directory that it made."
        )
    rundir.check_writable(plots, "--plots")
    config = load_config(run / "config.yaml")
    if processes_of(config) > 1:
        parallel.prepare(HEAVY)
    clock = Clock(progress)
    with clock("load"):
        loaded = wing.load(config, progress.step)
        scores = saved_scores(config, loaded.table, run)
    return _judge(config, loaded, scores, run, plots, clock)


def check(config: AnalysisConfig, progress: Progress, *, every_file: bool = False) -> tuple[list[str], list[str]]:
    """Look at the events of an analysis: the lines of what was found, and the problems for which none may be trained.

    every_file: of each sample, not only the first.

    Raises:
        HepdaError: the analysis file itself is wrong.

    """
    from hepda.events import wing

    progress.stage("check")
    return wing.check(config, progress.step, every_file=every_file)


def _judge(
    config: AnalysisConfig,
    loaded: LoadedEvents,
    scores: Mapping[str, Array],
    run: Path,
    plots: Path,
    clock: Clock,
) -> Outcome:
    """Numbers, figures and the report of scores, into `run` and `plots`."""
    from hepda.events import wing
    from hepda.scoring import rescore

    about, table, progress = rundir.read_json(run / "manifest.json")["training"], loaded.table, clock.progress
    processes = processes_of(config)
    histories, best = saved_histories(config, run, about)
    with clock("evaluate"):
        models = run / "models"
        again = partial(rescore, config, models)
        numbers = wing.numbers_of(config, table, scores, models, processes, progress.step, again)
        metrics = {
            "schema": 1,
            "name": config.name,
            "seed": config.seed,
            "luminosity": config.luminosity,
            "samples": wing.samples_metrics(config, loaded),
            "models": wing.models_metrics(config, numbers, training_metrics(config, about)),
            **wing.whole_metrics(config, numbers, histories),
        }
        rundir.write_json(run / "metrics.json", metrics)
    with clock("draw"):
        drawn = wing.draw(config, table, scores, numbers, histories, best, plots, processes, progress.step)
        rundir.write_figures(run, "evaluate", drawn)
    with clock("report"):
        path = write_page(config, table, run)
    return Outcome(run, path, metrics, clock.seconds)


def write_page(config: AnalysisConfig, table: FeatureTable, run: Path, output: Path | None = None) -> Path:
    """The report of a run from what every verb has left: metrics, figures, the fit.

    run: has metrics.json and manifest.json; output: has figures.json and, after `hepda fit`, fit.json, and takes
    the report (None: the run itself). table: its weights say what the policy for negative ones touches.
    """
    from hepda.events import wing
    from hepda.report import write_report
    from hepda.tables.fit import fit_tables

    folder = output or run
    manifest = rundir.read_json(run / "manifest.json")
    figures, lost = rundir.read_figures(folder)
    fitted, stale = rundir.read_fit(folder, run)
    if fitted is None:
        figures = [(by, figure) for by, figure in figures if by != "fit"]
    return write_report(
        folder / "report.html",
        rundir.read_json(run / "metrics.json"),
        [figure for _, figure in figures],
        config_text=resolved_yaml(config),
        manifest=manifest,
        warnings=[*policy_lines(config, table), *alarms(manifest["training"]), *stale],
        notes=[*wing.notes(config), *lost],
        extra_tables={} if fitted is None else {"fit": fit_tables(fitted)},
    )


def check_places(run: Path, plots: Path) -> None:
    """Raise ConfigError if `run` or `plots` cannot be written to, or if `run` holds something else than a run."""
    rundir.check_writable(run, "--output")
    rundir.check_writable(plots, "--plots")
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


def work_folder(config: AnalysisConfig, table: FeatureTable, run: Path, resume: bool, progress: Progress) -> Path:
    """Where finished and half-finished trainings of this config on these events are kept until the run is complete.

    What an earlier run left in `run` goes: a run directory never holds files of two runs.
    """
    name = zlib.crc32(resolved_yaml(config).encode())
    for column in (table.key, table.features, table.weight):
        name = zlib.crc32(np.ascontiguousarray(column).data, name)
    folder = run / ".work" / f"{name:08x}"
    if resume and folder.exists():
        return folder
    if resume:
        progress.say(f"{run} has nothing to resume of this config and these events; everything is trained.")
    folder.mkdir(parents=True, exist_ok=True)
    for left in (*(run / ".work").iterdir(), run / "models"):
        if left.is_dir():
            shutil.rmtree(left)
    for file in (*FILES, *rundir.FITTED):
        for left in run.glob(file):
            left.unlink()
    folder.mkdir(exist_ok=True)
    return folder


def processes_of(config: AnalysisConfig) -> int:
    """Processes side by side: as many as the config says, or one a core for `auto`."""
    asked = config.training.processes
    return parallel.cores() if asked == "auto" else asked


def combine(config: AnalysisConfig, table: FeatureTable, results: Sequence[Trained]) -> dict[str, Array]:
    """Score [n] of each model for every event: its fold's, averaged over the members of an ensemble."""
    scores: dict[str, Array] = {}
    for model in config.models:
        own = [result for result in results if result.model == model]
        score = np.full(len(table), np.nan, dtype=np.float64)
        for fold in range(config.split.folds):
            score[table.fold == fold] = np.mean([r.score for r in own if r.fold == fold], axis=0)
        scores[model] = score.astype(np.float32)
    return scores


def saved_scores(config: AnalysisConfig, table: FeatureTable, run: Path) -> dict[str, Array]:
    """The scores of scores.parquet.

    Raises:
        ConfigError: they are not those of the events that the config reads now.

    """
    import pyarrow.parquet as pq

    path = run / "scores.parquet"
    if not path.is_file():
        raise ConfigError(
            f"{run} has no scores.parquet; train it again with `hepda train --config {run / 'config.yaml'}`"
        )
    saved = pq.read_table(path)
    for model in config.models:
        if model not in saved.column_names:
            raise ConfigError(f"{path} has no scores of the model {model!r} of {run / 'config.yaml'}. Train again.")
    if not np.array_equal(saved["key"].to_numpy(), table.key):
        raise ConfigError(
            f"the events that {run / 'config.yaml'} reads are not those of {path}: files have changed. Train again."
        )
    return {model: saved[model].to_numpy() for model in config.models}


def training_metrics(config: AnalysisConfig, about: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """models.<model>.training: seconds of all trainings of a model, their rate, mean epochs, and its reweightings."""
    found = {}
    for model in config.models:
        own = [entry for name, entry in about.items() if name.rpartition("-fold")[0] == model]
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
    config: AnalysisConfig, run: Path, about: Mapping[str, dict[str, Any]]
) -> tuple[dict[str, list[dict[str, list[float | None]]]], dict[str, list[int]]]:
    """The history of every training of each network, and the epoch (from 1) whose weights it kept."""
    saved = rundir.read_history(run / "history.csv")
    histories: dict[str, list[dict[str, list[float | None]]]] = {}
    best: dict[str, list[int]] = {}
    for model in config.models:
        own = [name for name in saved if name.rpartition("-fold")[0] == model]
        if own:
            histories[model] = [saved[name] for name in own]
            kept = [about[name].get("best_epoch") for name in own]
            best[model] = [epoch + 1 for epoch in kept if epoch is not None]
    return histories, best


def policy_lines(config: AnalysisConfig, table: FeatureTable) -> list[str]:
    """The policy for negative weights and the share that it touches, for the log and the report."""
    from hepda.adversarial.weights import negative_weights

    names = list(dict.fromkeys(name for model in config.models for name in config.training_samples(model)))
    return [f"training samples: {negative_weights(table.weight[table.of_samples(names)], config.negative_weights)}"]


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
