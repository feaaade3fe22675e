"""Train and evaluate an analysis of any kind of data: load, train each model, evaluate, draw, report."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepda.config import AnyConfig, load_any, resolved_yaml
from hepda.config.documents import document_hashes
from hepda.errors import ConfigError
from hepda.kinds import Kind, RunContext, kind_of
from hepda.runtime import exchange, figures, fingerprint, looks, run_directory
from hepda.runtime.hashes import check_hashes, hashes_of, write_sums
from hepda.runtime.locks import locked
from hepda.runtime.log import LOG, LogFile, logged
from hepda.runtime.plots import PlotOptions, Plots
from hepda.runtime.pool import cores, keep_cluster, kept_workers, preload, release_cluster
from hepda.runtime.progress import Clock, Progress
from hepda.runtime.resources import Resources
from hepda.runtime.torchrun import run_jobs
from hepda.workflows.checks import (
    check_device,
    check_output_folders,
    check_precision,
    check_texts,
    device_on,
    text_problems,
)
from hepda.workflows.resuming import NEW, check_replaceable, check_same_config, inputs_of, work_folder
from hepda.workflows.training_record import saved_histories, training_metrics, training_warnings

if TYPE_CHECKING:
    from hepda.kinds import Scores
    from hepda.report.page import Undrawn
    from hepda.results.metrics import RunMetrics
    from hepda.runtime.jobs import TrainingResult
    from hepda.runtime.terminal import NumberTable

FILES = run_directory.FILES
"""What a complete run directory holds, besides models/ and plots/."""
log = logging.getLogger(__name__)


@dataclass(slots=True)
class TrainOutcome:
    """Where a run is, what it measured, its table for the terminal, how long each stage took (s), what to do next."""

    folder: Path
    report: Path
    metrics: RunMetrics
    table: NumberTable
    seconds: dict[str, float] = field(default_factory=dict)
    next_step: str = ""


def train(
    config: AnyConfig,
    run: Path,
    plots: PlotOptions | None,
    progress: Progress,
    *,
    resume: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    resources: Resources | None = None,
) -> TrainOutcome:
    """Train every model of an analysis and evaluate it, from the data of the config to the report in `run`.

    A finished run in `run` stays as it is until the new one is complete, and is then replaced by it, with what
    `hepda fit` made of it.

    Args:
        config: the analysis file.
        run: the run directory.
        plots: which figures are drawn, and another folder that gets them too; None for the usual.
        progress: receives stages and steps.
        resume: continue an interrupted run of the same config: trainings that it has finished are not repeated, one
            that was under way continues from its last epoch, and models that were added or changed since are trained.
            Nothing is done if a finished run of the same config and data is there already.
        overwrite: replace a finished run.
        device: auto, cpu, cuda or cuda:1.
        resources: memory, cluster and the cache of tables.

    Raises:
        TrainingError: some trainings failed; all others have been done, and are kept for `resume`.
        ConfigError: a finished run is in `run` and it may not be overwritten, or another process writes there.
        HepdaError: the input is wrong; nothing has been trained then.

    """
    plots = plots_of(plots, run, config.name)
    check_output_folders(run, plots.folder)
    check_device(device, resources.cluster if resources else None)
    check_precision(config, device)
    check_texts(config)
    with locked(run, "train", "--output"):
        exchange.finish(run)
        keep = exchange.is_finished(run) and not overwrite
        if keep:
            check_replaceable(config, run, resume)
        request = _Request(config, run, plots, resume, keep, device, resources or Resources())
        cluster = request.resources.cluster
        with exchange.workplace(run), logged("train") as file, kept_workers(), keep_cluster(cluster):
            return _train(request, progress, file)


@dataclass(frozen=True, slots=True)
class _Request:
    """The arguments of `train`, checked; `keep` is whether a finished run is there that may not be overwritten."""

    config: AnyConfig
    run: Path
    plots: PlotOptions
    resume: bool
    keep: bool
    device: str
    resources: Resources


def _at_once(config: AnyConfig, device: str, most: int) -> int:
    """Return how many trainings run in parallel, of `most` that fit into the memory: fewer on a GPU, unless stated."""
    if config.training.processes != "auto":
        return most
    from hepda.adversarial import devices

    return devices.trainings_at_once(device, most)


def _described(request: _Request) -> str:
    """Return the device of the trainings for the manifest; that of a cluster is not known here."""
    if request.resources.cluster is not None:
        return f"{device_on(request.resources.cluster, request.device)} (of the cluster's workers)"
    from hepda.adversarial import devices

    return devices.describe(devices.find(request.device))


def _train(request: _Request, progress: Progress, file: LogFile) -> TrainOutcome:
    """Do the same as `train` for a caller that holds the lock of the run directory and sets the path of `file`."""
    config, run = request.config, request.run
    clock, kind, processes = Clock(progress), kind_of(config), processes_of(config)
    if processes > 1 and not request.keep:
        preload(kind.heavy)
    resources = replace(request.resources, processes=processes, folder=run / exchange.WORK / exchange.DATA)
    with clock("load"):
        for line in kind.load(progress.step, resources):
            log.info(line)
        contents = fingerprint.fingerprints(kind.contents())
        inputs = inputs_of(config, contents)
    if request.keep and not (run / exchange.WORK / inputs / exchange.SECTIONS).exists():
        return _as_it_is(config, kind, run, inputs, clock)
    if processes > 1 and request.keep:  # something is to be trained after all
        preload(kind.heavy)
    with clock("train"):
        work = work_folder(config, inputs, run, request.resume)
        new = work / NEW
        file.write_to(new / LOG)
        cluster = request.resources.cluster
        jobs = kind.jobs(new, work, device_on(cluster, request.device))
        at_once = _at_once(config, request.device, kind.parallel_trainings(processes))
        results = run_jobs(jobs, at_once, progress.step, cluster)
        release_cluster(cluster)
        scores = kind.combine(results, new)
        for line in training_warnings({result.name: result.about for result in results}):
            log.warning(line)
    _write_trainings(new, config, kind, results, scores)
    manifest = {
        "format": run_directory.FORMAT,
        **run_directory.provenance(config.seed),
        "device": _described(request),
        "inputs": inputs,
        "training": {result.name: result.about for result in results},
        "files": kind.files(),
        "documents": document_hashes(config.model_dump(mode="json")),
        "sha256": hashes_of(new),
        "data": {"made_of": kind.made_of(), "parts": contents},
    }
    run_directory.write_json(new / "manifest.json", manifest)
    looks.record(run, "train", kind.held_out())
    if (run / looks.FILE).is_file():
        shutil.copyfile(run / looks.FILE, new / looks.FILE)  # the page of the new run states them
    metrics = _evaluate(config, kind, scores, new, clock)
    with clock("report"):  # the tables; the figures follow
        write_page(config, kind, new, named=run, complete=request.plots.which is Plots.NONE)
    exchange.put_in_place(new, run)
    file.write_to(run / LOG)
    page = draw_and_report(config, kind, run, request.plots, clock)
    return TrainOutcome(run, page, metrics, kind.terminal(metrics), clock.seconds, kind.next_step(run))


def _write_trainings(
    new: Path, config: AnyConfig, kind: Kind, results: Sequence[TrainingResult], scores: Scores
) -> None:
    """Write what was trained and what came of it: config.yaml, history.csv, scores.parquet."""
    histories = {result.name: result.history for result in results if result.history}
    run_directory.write_text(new / "config.yaml", resolved_yaml(config))
    run_directory.write_text(new / "history.csv", run_directory.history_csv(histories))
    run_directory.write_scores(new / "scores.parquet", kind.score_columns(scores))


def _as_it_is(config: AnyConfig, kind: Kind, run: Path, inputs: str, clock: Clock) -> TrainOutcome:
    """Return the outcome of a finished run without changes. Raises ConfigError if it is of other data."""
    recorded = run_directory.read_manifest(run).get("inputs")
    check_same_config(config, run)
    if recorded is None:  # trained before hepda wrote it: the scores name the events
        kind.saved_scores(run)
    elif recorded != inputs:
        raise ConfigError(
            f"--resume: {run} holds a finished run of other data: the files that the analysis file reads have changed "
            "since. Use --overwrite to train it again, or name another directory with --output."
        )
    log.info(f"{run} is finished, with this analysis file and these data: there is nothing to do.")
    metrics = read_metrics(kind, run)
    table, next_step = kind.terminal(metrics), kind.next_step(run)
    return TrainOutcome(run, run / "report.html", metrics, table, clock.seconds, next_step)


def evaluate(
    run: Path, plots: PlotOptions | None, progress: Progress, resources: Resources | None = None
) -> TrainOutcome:
    """Make numbers, figures and report again, from the saved scores and models of a run directory.

    Args:
        run: the run directory.
        plots: which figures are drawn, and another folder that gets them too, as of `train`.
        progress: receives stages and steps.
        resources: memory, cluster and the cache of tables.

    Raises:
        ConfigError: `run` is no run directory, its files have changed since the training, or another
            process writes there.

    """
    exchange.settle(run, "evaluate")
    manifest = run_directory.read_manifest(run)
    check_hashes(run, manifest)
    config = load_any(run / "config.yaml")
    plots = plots_of(plots, run, config.name)
    if plots.folder is not None:
        run_directory.check_writable(plots.folder, "--plots-folder")
    clock, kind = Clock(progress), kind_of(config)
    with locked(run, "evaluate"), logged("evaluate") as file, kept_workers():
        if processes_of(config) > 1:
            preload(kind.heavy)
        with clock("load"):
            kind.load(progress.step, replace(resources or Resources(), processes=processes_of(config)))
            check_contents(run, manifest, kind)
            scores = kind.saved_scores(run)
        file.write_to(run / LOG)
        looks.record(run, "evaluate", kind.held_out())
        metrics = _evaluate(config, kind, scores, run, clock)
        with clock("report"):  # the tables; the figures follow
            write_page(config, kind, run, complete=plots.which is Plots.NONE)
        page = draw_and_report(config, kind, run, plots, clock)
    return TrainOutcome(run, page, metrics, kind.terminal(metrics), clock.seconds, kind.next_step(run))


def plots_of(plots: PlotOptions | None, run: Path, name: str) -> PlotOptions:
    """Return the options with the folder that gets the figures too: plots/<name> for the run directory runs/<name>."""
    plots = plots or PlotOptions()
    if plots.folder is None and run.resolve() == (Path("runs") / name).resolve():
        return replace(plots, folder=Path("plots") / name)
    return plots


def check_contents(run: Path, manifest: Mapping[str, Any], kind: Kind) -> None:
    """Raise ConfigError if the data that were loaded are not those that the run was trained on."""
    recorded = fingerprint.recorded(run, manifest)
    if recorded is None:
        log.warning(
            f"{run} was made by an earlier hepda, which kept no record of its data: only scores.parquet is compared "
            "with them."
        )
        return
    now = fingerprint.fingerprints(kind.contents())
    fingerprint.complain(run, fingerprint.differences(recorded["parts"], now))


def check(config: AnyConfig, progress: Progress, *, every_file: bool = False) -> tuple[list[str], list[str]]:
    """Look at the data of an analysis without training.

    Args:
        config: the analysis file.
        progress: receives stages and steps.
        every_file: open every file of each sample, not only the first.

    Returns:
        Lines about the data, and the problems for which nothing may be trained.

    Raises:
        HepdaError: the analysis file itself is wrong.

    """
    progress.stage("check")
    lines, problems = kind_of(config).check(progress.step, every_file=every_file)
    return lines, [*text_problems(config), *problems]


def _evaluate(config: AnyConfig, kind: Kind, scores: Scores, run: Path, clock: Clock) -> RunMetrics:
    """Write the numbers of scores into `run`, and the data of their figures."""
    from hepda.report import drawing

    record = run_directory.read_json(run / "manifest.json")["training"]
    histories, best_epochs = saved_histories(config, run, record)
    training = training_metrics(config, record)
    context = RunContext(run, training, histories, best_epochs, processes_of(config), clock.progress.step)
    with clock("evaluate"):
        metrics: RunMetrics = kind.measure(scores, context)
        texts = kind.figures(scores, context)
        run_directory.write_json(run / "metrics.json", metrics.to_json())
        drawing.record(run, "evaluate", texts)
        lines = {"warnings": kind.warnings(), "notes": kind.notes()}
        run_directory.write_json(run / run_directory.REMARKS, lines)
    return metrics


def draw_and_report(config: AnyConfig, kind: Kind, run: Path, plots: PlotOptions, clock: Clock) -> Path:
    """Draw the figures that `plots` asks for from the data in a run directory, and write the report with them.

    Args:
        config: the analysis file.
        kind: need not have loaded anything.
        run: the run directory.
        plots: which figures, and the other folder that gets them.
        clock: gets the stages.

    Returns:
        The page.

    """
    from hepda.report import drawing

    try:
        with clock("draw"):
            drawing.draw(run, plots.which, processes_of(config), clock.progress.step)
    finally:  # an interruption leaves a page that says what is missing
        with clock("report"):
            page = write_page(config, kind, run)
            write_sums(run)
    if plots.folder is not None:
        for command in ("evaluate", "fit"):
            figures.copy(run, plots.folder, command)
    return page


def read_metrics(kind: Kind, run: Path) -> RunMetrics:
    """Return the numbers of a run.

    Raises:
        ConfigError: metrics.json is not of this kind of data.

    """
    content = run_directory.read_json(run / "metrics.json")
    with run_directory.readable(run / "metrics.json"):
        metrics: RunMetrics = kind.metrics_type.from_json(content)
    return metrics


def write_page(
    config: AnyConfig,
    kind: Kind,
    run: Path,
    output: Path | None = None,
    *,
    named: Path | None = None,
    complete: bool = True,
) -> Path:
    """Write the report of a run from what every command has left: metrics, figures, the fit.

    Figures that are missing and a fit that is not shown are logged.

    Args:
        config: the analysis file.
        kind: with its data, which its warnings are about, if `run` was made by a hepda that did not keep them.
        run: has metrics.json and manifest.json.
        output: has figures.json and, after `hepda fit`, fit.json, and gets the report; None for the run itself.
        named: where the run will be, if it is moved after this; the page names it in a command.
        complete: False if figures are drawn next and the page is then written again.

    Returns:
        The page.

    """
    from hepda.events.results.tables.fit import fit_tables
    from hepda.report import sounds
    from hepda.report.page import ReportPage, write_report
    from hepda.results.fit_file import FitFile

    folder = output or run
    manifest, metrics = run_directory.read_json(run / "manifest.json"), read_metrics(kind, run)
    pictures, lost = figures.shown(folder)
    content, stale = run_directory.read_fit(folder, run)
    for line in (*lost, *stale):
        log.warning(line)
    tables = kind.tables(metrics)
    if content is None:
        pictures = [(by, picture) for by, picture in pictures if by != "fit"]
    else:
        with run_directory.readable(folder / "fit.json"):
            fits = FitFile.from_json(content)
        tables["fit"] = [*tables.get("fit", []), *fit_tables(fits, kind.labels())]
    warnings, notes = _remarks(kind, run)
    again = f"hepda report {named or run}" if output is None else f"hepda fit {run} --output {output}"
    return write_report(
        folder / "report.html",
        ReportPage(
            metrics.to_json(),
            [picture for _, picture in pictures],
            sounds.shown(folder),
            undrawn=_undrawn(folder, f"{again} --plots all", with_fit=content is not None, complete=complete),
            tables=tables,
            conclusions=kind.conclusions(metrics),
            warnings=[*warnings, *training_warnings(manifest["training"]), *stale],
            diagnostics=metrics.diagnostics,
            notes=[*notes, *looks.sentences(looks.read(run)), *lost],
            sections=kind.sections,
            config_text=resolved_yaml(config),
            manifest=manifest,
        ),
    )


def _undrawn(folder: Path, command: str, *, with_fit: bool, complete: bool) -> Undrawn:
    """Return the figures that are not drawn, and the command that draws them."""
    from hepda.report.page import Undrawn

    titles: dict[str, list[str]] = {}
    for by, section, title in figures.not_drawn(folder):
        if with_fit or by != "fit":
            titles.setdefault(section, []).append(title)
    return Undrawn(titles, command, under_way=not complete)


def _remarks(kind: Kind, run: Path) -> tuple[list[str], list[str]]:
    """Return the warnings and notes about the data of a run: those that its evaluation kept, or now those of its kind.

    Raises:
        ConfigError: the file has another content.

    """
    path = run / run_directory.REMARKS
    if not path.is_file():
        return kind.warnings(), kind.notes()
    content = run_directory.read_json(path)
    with run_directory.readable(path):
        return [str(line) for line in content["warnings"]], [str(line) for line in content["notes"]]


def processes_of(config: AnyConfig) -> int:
    """Return the number of processes in parallel: that of the config, or one for each core for `auto`."""
    processes = config.training.processes
    return cores() if processes == "auto" else processes
