"""The scan: check the options, load the events once, train what is missing, choose, report."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hepda.config import AnalysisConfig, BdtConfig, load_config, resolved_yaml
from hepda.config.differences import differences, value_at
from hepda.config.scan import Vary, check_vary, left_out, method_key, parse_vary, scanned_models, strength_key
from hepda.errors import ConfigError, nearest
from hepda.events.domains.held_out import held_out
from hepda.events.resolve import domains_of, model_specs
from hepda.events.training.jobs import check_extras, jobs_of
from hepda.runtime import exchange, looks, run_directory
from hepda.runtime.locks import LOCK, locked
from hepda.runtime.log import LOG, LogFile, logged
from hepda.runtime.plots import Plots
from hepda.runtime.pool import Pool, Send, keep_cluster, needs_of, one_thread, open_pool
from hepda.runtime.progress import Clock, Progress
from hepda.runtime.resources import Resources
from hepda.workflows.checks import check_device, check_precision, check_texts, device_on
from hepda.workflows.scan.choice import Criterion, Result, check_criterion, choose
from hepda.workflows.scan.event_tables import EventTables, earlier_mark
from hepda.workflows.scan.findings import Findings, corrected_by_model, curves_of
from hepda.workflows.scan.measuring import LOSS, PHYSICS
from hepda.workflows.scan.pages import write_pages
from hepda.workflows.scan.points import Point, ScanSource, ScanTrial, is_baseline, make_trial, training_part
from hepda.workflows.scan.trainings import (
    Records,
    ScanProgress,
    read_record,
    record_path,
    run_tasks,
    tasks_of,
    trial_score,
)
from hepda.workflows.train import processes_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """The options of the command line."""

    config: str
    overrides: tuple[str, ...] = ()
    vary: tuple[str, ...] = ()
    seeds: int = 5
    models: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    criterion: Criterion = field(default_factory=Criterion)
    guided: int | None = None
    output: Path | None = None
    processes: int | None = None
    device: str = "auto"
    resources: Resources = field(default_factory=Resources)
    plots: Plots = Plots.FEW


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """The options, checked against the analysis file; `points` are those of a grid, none for a guided search."""

    options: ScanOptions
    base: AnalysisConfig
    source: ScanSource
    varied: tuple[Vary, ...]
    points: tuple[Point, ...]

    @property
    def folder(self) -> Path:
        """The folder of the scan."""
        return self.options.output or Path("runs") / f"{self.base.name}-scan"

    @property
    def left_out(self) -> list[str]:
        """Keys of the file that a method of the scan does not read, as lines of text."""
        pairs = [(model, method) for model in self.source.models for method in self.options.methods]
        unused = {f"{model} with {method}": left_out(self.base, model, method) for model, method in pairs}
        return [f"{name}: not read by the method, or cut: {', '.join(keys)}" for name, keys in unused.items() if keys]

    @property
    def processes(self) -> int:
        """Number of processes of this machine: of trainings in parallel, unless a cluster trains."""
        from hepda.adversarial import devices

        requested = self.options.processes
        return requested or devices.trainings_at_once(self.options.device, processes_of(self.base))

    @property
    def cluster(self) -> str | None:
        """The cluster that trains, None for this machine."""
        return self.options.resources.cluster

    @property
    def workers(self) -> dict[str, int | str]:
        """What trains, as scan.json states it."""
        return {"processes": self.processes} if self.cluster is None else {"cluster": self.cluster}

    @property
    def device(self) -> str:
        """Where networks are trained."""
        return device_on(self.cluster, self.options.device)


@dataclass(slots=True)
class ScanOutcome:
    """The folder of the scan, its page, its results, and how long each stage took (s)."""

    folder: Path
    report: Path
    findings: Findings
    seconds: dict[str, float]


def scan(options: ScanOptions, progress: Progress) -> ScanOutcome:
    """Run `hepda scan`; an interrupted scan of the same config continues.

    Raises:
        ConfigError: another process writes into the folder.
        HepdaError: the input is wrong; nothing has been trained in this case.

    """
    plan = make_plan(options)
    check_folder(plan)
    with locked(plan.folder, "scan", "--output"), logged("scan") as file:
        return _scan(plan, progress, file)


def _scan(plan: ScanPlan, progress: Progress, file: LogFile) -> ScanOutcome:
    """Do the same as `scan` for a caller that holds the lock of the folder."""
    clock = Clock(progress)
    exchange.mark(plan.folder, "scan")
    tables = EventTables(plan.folder, progress, replace(plan.options.resources, processes=plan.processes))
    with keep_cluster(plan.cluster):
        with clock("load"):
            for point in plan.points or (Point(plan.source.models[0], {}, plan.source.config()),):
                tables.table(point.config)
            for line in [*plan.left_out, *tables.policy]:
                log.info(line)
        _open_folder(plan, tables)
        file.write_to(plan.folder / LOG)
        with clock("train"):
            results = _guided(plan, tables, progress) if plan.options.guided else _grid(plan, tables, progress)
    with clock("report"):
        looks.record(plan.folder, "scan", held_out(plan.base.samples))
        findings = _findings(plan, tables, results, clock)
        before = len(findings.warnings)
        report = _write(plan, findings)
        for line in findings.warnings[before:]:  # figures that could not be drawn
            log.warning(line)
        tables.write_mark()  # a guided search may have read more events since
    tables.remove()
    return ScanOutcome(plan.folder, report, findings, clock.seconds)


# --- the options ---------------------------------------------------------------------------------------------------


def make_plan(options: ScanOptions) -> ScanPlan:
    """Check everything that can be checked without events.

    Raises:
        ConfigError: a key that does not exist, a value that the config refuses, an unknown model, method or criterion.

    """
    from hepda.adversarial.methods import METHODS

    base = load_config(options.config, options.overrides)
    varied = tuple(parse_vary(text) for text in options.vary)
    check_vary(base, varied, guided=options.guided is not None)
    for name in options.methods:
        if name not in METHODS:
            hint = nearest(name, METHODS) or f" There are: {', '.join(METHODS)}."
            raise ConfigError(f"--methods: there is no method {name!r}.{hint}")
    if not varied and not options.methods:
        raise ConfigError("there is nothing to vary: give --vary key=values, or --methods.")
    models = scanned_models(base, varied, options.models or None, options.methods)
    for model in models if options.methods else ():
        value_at(base, method_key(model), "--methods")
        if any(vary.key == method_key(model) for vary in varied):
            raise ConfigError(f"--methods: {method_key(model)} is varied already; give one of them.")
    if options.criterion.name == PHYSICS and not domains_of(base).has_second:
        # The rule's probe compares domains; without a second one the choice can use only the loss.
        options = replace(options, criterion=Criterion(LOSS, options.criterion.tolerance))
    check_criterion(options.criterion, not any(isinstance(base.models[model], BdtConfig) for model in models))
    check_device(options.device, options.resources.cluster)
    check_precision(base, options.device)
    check_texts(base)
    source = ScanSource(options.config, options.overrides, tuple(models), base)
    if options.guided is not None:
        _check_guided(source, varied, options)
        return ScanPlan(options, base, source, varied, ())
    points = tuple(source.grid(varied, options.methods))
    for point in points:
        check_extras(point.config.models)
    return ScanPlan(options, base, source, varied, points)


def _check_guided(source: ScanSource, varied: Sequence[Vary], options: ScanOptions) -> None:
    from hepda.workflows.scan.guided import load_optuna

    load_optuna()
    if len(source.models) > 1:
        raise ConfigError(f"--guided searches one model; name one of {', '.join(source.models)} with --models.")
    for vary in varied:
        for value in vary.ends():
            check_extras(source.config({vary.key: value}).models)
    for method in options.methods:
        source.config({method_key(source.models[0]): method})


def check_folder(plan: ScanPlan) -> None:
    """Raise ConfigError if the folder cannot be written to, or holds other files, or a scan of another config."""
    folder = plan.folder
    run_directory.check_writable(folder, "--output")
    present = [path.name for path in folder.iterdir() if path.name != LOCK] if folder.is_dir() else []
    if not present or (present == [exchange.WORK] and exchange.is_marked(folder, "scan")):
        return
    if not {"kernels", "tables"} <= set(earlier_mark(folder)):
        raise ConfigError(
            f"--output {folder}: this folder holds files that are not of a scan; name an empty or a new one."
        )
    earlier = load_config(folder / "config.yaml")
    varied = {vary.key for vary in plan.varied} | {method_key(model) for model in plan.source.models}
    # Only models that both scans train can be compared.
    shared = [model for model in plan.source.models if model in earlier.models]
    before, now = (
        training_part(config.model_copy(update={"models": {model: config.models[model] for model in shared}}))
        for config in (earlier, plan.base)
    )
    changes = [d for d in differences(before, now) if d.key not in varied]
    if changes:
        first = "; ".join(f"{d.key} was {json.dumps(d.first)}, is {json.dumps(d.second)}" for d in changes[:3])
        more = f"; and {len(changes) - 3} more" if len(changes) > 3 else ""
        raise ConfigError(f"--output {folder}: holds a scan of another config ({first}{more}); name another folder.")


def _open_folder(plan: ScanPlan, tables: EventTables) -> None:
    """Mark the folder as that of a scan, or continue in it with the kernels of its first run if they are available."""
    from hepda.adversarial.networks.kernels import agrees

    jobs = jobs_of(model_specs(plan.source.config()), plan.folder, plan.folder, plan.folder, plan.device)
    earlier_kernels = earlier_mark(plan.folder).get("kernels")
    tables.kernels = (
        earlier_kernels if earlier_kernels == "plain" or (earlier_kernels == "onednn" and agrees()) else jobs[0].kernels
    )
    run_directory.write_text(plan.folder / "config.yaml", resolved_yaml(plan.base))
    tables.write_mark()


# --- events and trainings -----------------------------------------------------------------------------------------


def _trials(plan: ScanPlan, tables: EventTables, point: Point) -> list[ScanTrial]:
    table, checksums = tables.table(point.config)
    folder, device, events = plan.folder / "trainings", plan.device, checksums[point.model]
    if plan.cluster is not None:  # a worker may have another working directory
        table, folder = table.absolute(), folder.absolute()
    return [make_trial(point, n, table, events, folder, device, tables.kernels) for n in range(plan.options.seeds)]


def _result(plan: ScanPlan, point: Point, trials: Sequence[ScanTrial], records: Records) -> Result:
    criterion = plan.options.criterion.name
    rows = [records.get(record_path(trial, criterion)) or read_record(trial, criterion) for trial in trials]
    return Result(point, [trial.seed for trial in trials], rows)


@contextmanager
def _workers(plan: ScanPlan, tables: EventTables, most: int, progress: Send) -> Iterator[Pool]:
    """Provide what does the tasks: at most `most` processes of this machine, or the workers of the cluster."""
    if plan.cluster is None:
        with open_pool(min(plan.processes, most), progress=progress) as pool:
            yield pool
        return
    reads = [path.absolute() for path in tables.paths.values()]
    with (
        needs_of(plan.folder / "trainings", reads, plan.device) as needs,
        open_pool(1, plan.cluster, progress=progress, needs=needs) as pool,
    ):
        yield pool


def _grid(plan: ScanPlan, tables: EventTables, progress: Progress) -> list[Result]:
    """Train and evaluate every point of the grid; the first seed of all points comes before the second of any."""
    trials = [_trials(plan, tables, point) for point in plan.points]
    in_order = [of_point[n] for n in range(plan.options.seeds) for of_point in trials]
    tasks = tasks_of(in_order, plan.options.criterion.name)
    records: Records = {}
    if tasks:
        bars = ScanProgress(progress.step)
        bars.begin(tasks)
        with _workers(plan, tables, len(tasks), bars) as pool:
            records = run_tasks(tasks, pool)
    return [_result(plan, point, of_point, records) for point, of_point in zip(plan.points, trials, strict=True)]


def _guided(plan: ScanPlan, tables: EventTables, progress: Progress) -> list[Result]:
    """Run the trials of a guided search in one set of processes.

    If a strength is varied, the point with strength 0 is trained before the trials.
    """
    from hepda.workflows.scan.guided import GuidedSearch, search

    options, model = plan.options, plan.source.models[0]
    n_trials = options.guided or 0
    bars = ScanProgress(progress.step)
    n_done = 0
    with _workers(plan, tables, plan.processes, bars) as pool:

        def measure(values: Mapping[str, Any]) -> Result:
            nonlocal n_done
            point = plan.source.point(model, values)
            trials = _trials(plan, tables, point)
            tasks = tasks_of(trials, options.criterion.name)
            bars.begin(tasks)
            records = run_tasks(tasks, pool)
            progress.step("trials", min(n_done, n_trials), n_trials)
            n_done += 1
            return _result(plan, point, trials, records)

        baseline_values = _without_adaptation(plan, model)
        reference = [] if baseline_values is None else [measure(baseline_values)]
        guided = GuidedSearch(
            model, plan.varied, options.methods, n_trials, options.criterion, options.seeds, plan.base.seed
        )
        return reference + search(plan.folder, guided, measure, reference)


def _without_adaptation(plan: ScanPlan, model: str) -> dict[str, Any] | None:
    """Return the values of the point that a search over strengths is compared with, None if no strength is varied.

    The strength is 0, all other values are those of the file.
    """
    key = strength_key(model)
    if all(vary.key != key for vary in plan.varied):
        return None
    method = {method_key(model): plan.options.methods[0]} if plan.options.methods else {}
    return method | {vary.key: value_at(plan.base, vary.key, vary.option) for vary in plan.varied} | {key: 0.0}


# --- the results ---------------------------------------------------------------------------------------------------


def _findings(plan: ScanPlan, tables: EventTables, results: Sequence[Result], clock: Clock) -> Findings:
    from hepda.events.table.store import open_table
    from hepda.workflows.scan.measuring import counts, null_numbers

    criterion, options = plan.options.criterion, plan.options
    models = list(plan.source.models)
    by_model = {model: [r for r in results if r.point.model == model] for model in models}
    nulls = {}
    for model, of_model in by_model.items():
        succeeded = [r for r in of_model if not r.failed]
        if succeeded:
            reference = next((r for r in succeeded if is_baseline(r.point.config, model)), succeeded[0])
            trial = _trials(plan, tables, reference.point)[0]
            nulls[model] = null_numbers(trial.config, open_table(trial.table), trial_score(trial))
    seconds = {trial.folder: row["seconds"] or 0.0 for r in results
               for trial, row in zip(_trials(plan, tables, r.point), r.rows, strict=True)}  # fmt: skip
    first = open_table(next(iter(tables.paths.values())))
    training_warnings = [f"{r.point.name}, seed {seed}: {text}" for r in results
              for seed, row in zip(r.seeds, r.rows, strict=True) for text in row.get("alarms", ())]  # fmt: skip
    curves = curves_of(results, criterion, options.methods, [vary.key for vary in plan.varied if vary.values])
    return Findings(
        config=plan.base,
        curves=curves,
        corrected=corrected_by_model(curves, criterion),
        best={model: choose(of_model, criterion) for model, of_model in by_model.items()},
        criterion=criterion,
        seeds=options.seeds,
        guided=options.guided is not None,
        counts=counts(first),
        nulls=nulls,
        samples=tables.samples,
        files=tables.files,
        cost={"training_seconds": sum(seconds.values()), **plan.workers},
        warnings=[*tables.policy, *looks.sentences(looks.read(plan.folder)), *_folded(training_warnings)],
    )


def _folded(lines: Sequence[str], most: int = 8) -> list[str]:
    """Return the first lines, and a line with the number of the others."""
    return [
        *lines[:most],
        *([f"{len(lines) - most} more warnings of trainings: see their folders"] if len(lines) > most else []),
    ]


def _write(plan: ScanPlan, findings: Findings) -> Path:
    from hepda.workflows.scan.figures import draw

    with one_thread():
        draw(findings, plan.folder, plan.options.plots)
    return write_pages(plan.folder, findings, run_directory.provenance(plan.base.seed))
