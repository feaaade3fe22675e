"""`hepda fit`: from a run directory to signal strength, impacts and closure, for every model.

Varied events are read and scored with the saved models, out of fold; templates and pseudo-data come from the saved
scores, in the regions of the analysis file; every fit is one of HistFactory's likelihood. Blinded data are not used.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hepda.config import AnalysisConfig, load_config
from hepda.config.events.refitting import with_fit_of
from hepda.errors import ConfigError, DataError, nearest
from hepda.events import kind as events
from hepda.events import steps
from hepda.events.dataset.contents import SCORED, check_samples, check_scored, contents_of
from hepda.events.dataset.regions import overlaps, read_region_columns, unusable
from hepda.events.dataset.variations import Reading, readings
from hepda.events.domains.held_out import held_out
from hepda.events.fit.figures import closure_drawings, model_drawings
from hepda.events.fit.fits import ALL, UNAWARE, Closed, MainFit, closure_of, main_fit
from hepda.events.fit.inputs import FitInput
from hepda.events.fit.parametric import Profiled, profile, values_of
from hepda.events.fit.regions import Outputs
from hepda.events.fit.replicas import with_paired
from hepda.events.fit.summary import summary_lines
from hepda.events.fit.templates import ScoredEvents
from hepda.events.fit.to_json import CHOICES, fitted_model, systematics_entries
from hepda.events.fit.truth import Truth
from hepda.events.fit.varied import Varied, factors_of, outputs_at_values, shapes_of
from hepda.events.fit.varied import read as read_variation
from hepda.events.resolve import appearance, dataset_spec, domains_of, fit_spec, model_spec, systematics_spec
from hepda.events.results.saved_scores import read_scored
from hepda.events.results.thresholds import with_cuts
from hepda.events.specs import ModelSpec
from hepda.events.table.feature_table import FeatureTable
from hepda.report import drawing
from hepda.results.fit_file import FitFile, FittedModel
from hepda.runtime import exchange, figures, fingerprint, looks, run_directory
from hepda.runtime.hashes import check_hashes, write_sums
from hepda.runtime.locks import locked
from hepda.runtime.log import LOG, LogFile, logged
from hepda.runtime.plots import PlotOptions
from hepda.runtime.pool import Send, kept_workers, open_pool
from hepda.runtime.progress import Clock, Progress
from hepda.workflows import train

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class FitOptions:
    """Options of the command line.

    toys, replicas: for each pseudo-data set; models: empty for all; output, plots: folders for the results; config:
    another analysis file, whose `fit` and `systematics` are used.
    """

    toys: int = 500
    replicas: int = 200
    models: tuple[str, ...] = ()
    output: Path | None = None
    plots: PlotOptions = field(default_factory=PlotOptions)
    processes: int | None = None
    config: Path | None = None


@dataclass(frozen=True, slots=True)
class FitOutcome:
    """Where the results are, and how long each stage took (s)."""

    page: Path
    report: Path
    fits: FitFile
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Shared:
    """The input of every task."""

    config: AnalysisConfig
    run: Path
    models: tuple[str, ...]
    toys: int
    replicas: int

    @property
    def specs(self) -> dict[str, ModelSpec]:
        """Return the models that are fitted, by name, with the thresholds of their working points."""
        return with_cuts({model: model_spec(self.config, model) for model in self.models}, self.run)


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of the fits of a model: the main fit, the closure of a variant, or the profile of its parameter.

    at_values: what is fitted where the network is read at other values of its parameter.
    """

    fit_input: FitInput
    what: str
    at_values: Mapping[float, FitInput] = field(default_factory=dict)


log = logging.getLogger(__name__)
MAIN, PROFILE = "main", "profile"


def fit(run: Path, options: FitOptions, progress: Progress) -> FitOutcome:
    """Fit every model of a run; write fit.json, workspace-<model>.json, figures, and the report with them.

    Raises:
        ConfigError: `run` is no run directory or has no scores, its files have changed since the training, another
            process writes to where the results go, or another analysis file differs in more than the fit.
        DataError: the scores cannot be binned so that a fit is possible.

    """
    exchange.settle(run, "fit")
    manifest = run_directory.read_manifest(run)
    if not (run / "config.yaml").is_file():
        raise ConfigError(
            f"{run / 'manifest.json'} was not written by `hepda train`; name a run directory that it made."
        )
    trained = load_config(run / "config.yaml")
    models = _models(trained, options.models)
    output, plots = options.output or run, options.plots
    if output.resolve() == run.resolve():
        output = run
        plots = train.plots_of(plots, run, trained.name)
    for folder, option in ((output, "--output"), (plots.folder, "--plots-folder")):
        if folder is not None:
            run_directory.check_writable(folder, option)
    run_directory.read_json(run / "metrics.json")
    check_hashes(run, manifest)
    config = trained if options.config is None else with_fit_of(trained, _events_config(options.config))
    if output != run:
        _check_output(output, models)
    with locked(output, "fit", "" if output == run else "--output"), logged("fit") as file, kept_workers():
        outcome = _fit_all(trained, config, models, run, output, options, progress, file)
        if output == run:
            write_sums(run)
        if plots.folder is not None:
            figures.copy(output, plots.folder, "fit")
    return outcome


def _events_config(path: Path) -> AnalysisConfig:
    config = load_config(path)
    if not isinstance(config, AnalysisConfig):
        raise ConfigError(f"--config {path}: is not an analysis of events.")
    return config


def _check_output(output: Path, models: Sequence[str]) -> None:
    """Raise ConfigError if results would replace files in `output` that `hepda fit` did not write."""
    names = ("fit.json", "figures.json", "report.html", *(f"workspace-{model}.json" for model in models))
    existing = [name for name in names if (output / name).exists()]
    if existing and not run_directory.fitted_files(output):
        raise ConfigError(
            f"--output {output}: {', '.join(existing)} would be replaced, which `hepda fit` did not write; name "
            "another folder."
        )


def _fit_all(
    trained: AnalysisConfig,
    config: AnalysisConfig,
    models: tuple[str, ...],
    run: Path,
    output: Path,
    options: FitOptions,
    progress: Progress,
    file: LogFile,
) -> FitOutcome:
    """Do the same as `fit` for a caller that holds the lock of `output`; trained: the analysis file of the run."""
    stamp = run_directory.stamp(run) if (run / "scores.parquet").is_file() else ""
    table, scores = read_scored(dataset_spec(trained), run)
    clock = Clock(progress)
    with clock("compare"):
        _check_contents(trained, _samples_read(config), run, table, progress)
        table = _with_regions(trained, config, table, progress)
    file.write_to(output / LOG)
    looks.record(run, "fit", held_out(config.samples, with_truth=True))
    truth = Truth.read(dataset_spec(config), domains_of(config), table)
    processes = options.processes or train.processes_of(config)
    shared = _Shared(config, run, models, options.toys, options.replicas)
    with open_pool(processes, shared=shared, progress=progress.step) as pool:
        with clock("vary"):
            varied = pool.map(_vary, readings(dataset_spec(config)))
            numbers = dataset_spec(config).region_predictions
            inputs = [
                _input(config, table, Outputs.of(shared.specs[m], scores, numbers), truth, varied) for m in models
            ]
            at_values = _read_at(shared, table, truth, varied, progress)
        with clock("fit"):
            variants = (ALL, UNAWARE) if inputs[0].two_points else (UNAWARE,)
            parts = [_Part(fit_input, what) for what in (MAIN, *variants) for fit_input in inputs]
            parts += [_Part(i, PROFILE, at_values[i.model]) for i in inputs if i.model in at_values]
            results = {
                (part.fit_input.model, part.what): result
                for part, result in zip(parts, pool.map(_fit, parts), strict=True)
            }
        mains: dict[str, MainFit] = {model: results[model, MAIN] for model in models}
        fitted = {
            i.model: fitted_model(
                i,
                mains[i.model],
                {variant: results[i.model, variant] for variant in variants},
                results.get((i.model, PROFILE)),
            )
            for i in inputs
        }
        fitted = with_paired(fitted, config.baseline_model)
    with clock("report"):
        if run_directory.stamp(run) != stamp:
            raise ConfigError(f"{run} was trained again while it was fitted: nothing is written. Fit it again.")
        fits = _fit_file(config, run, options, fitted)
        _write(output, fits, inputs, mains)
        if output != run and not (output / figures.FILE).is_file():
            figures.take(run, output, "evaluate")
        look = appearance(config)
        drawings = closure_drawings(look, config.nominal_domain, fitted)
        for name, of_model in fitted.items():
            drawings += model_drawings(look, name, of_model)
        drawing.record(output, "fit", drawing.texts_of(drawings))
    with clock("draw"):
        drawing.draw(output, options.plots.which, processes, progress.step, "fit")
    with clock("report"):
        kind = events.EventsKind(config, table)
        report = train.write_page(config, kind, run, None if output == run else output)
    for line in summary_lines(fits):
        log.info(line)
    return FitOutcome(output / "fit.json", report, fits, clock.seconds)


def _check_contents(
    config: AnalysisConfig, samples: Sequence[str], run: Path, table: FeatureTable, progress: Progress
) -> None:
    """Raise ConfigError if scores.parquet or the events that are about to be read are not those of the training."""
    recorded = fingerprint.recorded(run, run_directory.read_json(run / "manifest.json"))
    if recorded is None:
        log.warning(f"{run} was made by an earlier hepda, which kept no record of its data: only keys are compared.")
        return
    check_scored(run, recorded["parts"], table)
    check_samples(dataset_spec(config), run, recorded, samples, _counter(progress))


def _counter(progress: Progress) -> Callable[[str, int], None]:
    """Return a function that reports the number of events read so far of each sample."""
    entries: dict[str, int] = {}

    def report(sample: str, read: int) -> None:
        entries[sample] = entries.get(sample, 0) + read
        progress.step(sample, entries[sample], entries[sample])

    return report


def _with_regions(
    trained: AnalysisConfig, config: AnalysisConfig, table: FeatureTable, progress: Progress
) -> FeatureTable:
    """Return the events with the columns of the regions that are fitted, which are read where the run has not saved
    them.

    Raises:
        DataError: two regions overlap, or one does not have the events that its role needs.

    """
    spec, saved = dataset_spec(config), dataset_spec(trained).region_columns
    known = {name: values for name, values in table.columns.items() if saved.get(name) == spec.region_columns.get(name)}
    if set(known) != set(spec.region_columns):
        log.info("the columns of the regions are read from the files: scores.parquet does not have them")
        table = read_region_columns(spec, table, _counter(progress))
    else:
        table = replace(table, columns=known)
    if problems := [*overlaps(spec, table), *unusable(spec, table)]:
        raise DataError("\n".join(problems))
    return table


def _samples_read(config: AnalysisConfig) -> list[str]:
    """Return the samples whose files a fit reads."""
    if any(_values_of(config, model) for model in config.models):
        return list(config.samples)
    return list(dict.fromkeys(reading.sample for reading in readings(dataset_spec(config))))


def _values_of(config: AnalysisConfig, model: str) -> dict[float, tuple[str, ...]]:
    """Return the values of the parameter of a model other than 0, each with its two-point systematics."""
    return values_of(model_spec(config, model), systematics_spec(config))


def _models(config: AnalysisConfig, names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in config.models:
            hint = nearest(name, config.models) or f" There are: {', '.join(config.models)}."
            raise ConfigError(f"--models: {name!r} is no model of this run.{hint}")
        if name not in config.classifiers:
            raise ConfigError(
                f"--models: {name!r} predicts a number (`regress`) and has no score that could be fitted; it can be "
                "the `variable` of a region in the fit of another model."
            )
    chosen = tuple(dict.fromkeys(names)) or tuple(config.classifiers)
    if not chosen:
        raise ConfigError("models: all predict a number (`regress`), and a fit needs a model with a score.")
    return chosen


def _vary(shared: _Shared, reading: Reading, send: Send) -> Varied:
    """Read the varied events of a sample and score them, or the factors on its weights."""
    entries = 0

    def report(_: str, read: int) -> None:
        nonlocal entries
        entries += read
        send(reading.name, entries, entries)

    return read_variation(dataset_spec(shared.config), shared.specs, shared.run / "models", reading, report)


def _read_at(
    shared: _Shared, table: FeatureTable, truth: Truth, varied: list[Varied], progress: Progress
) -> dict[str, dict[float, FitInput]]:
    """Return what is fitted of networks with a parameter where they are read at its other values; events are read
    again.
    """
    config = shared.config
    if not any(_values_of(config, model) for model in shared.models):
        return {}
    events = steps.load(config, progress.step).table
    texts = dataset_spec(config).column_texts
    changed = fingerprint.differences(
        fingerprint.fingerprints(contents_of(texts, table, SCORED)),
        fingerprint.fingerprints(contents_of(texts, events, SCORED)),
    )
    fingerprint.complain(shared.run, changed)
    inputs: dict[str, dict[float, FitInput]] = {}
    outputs = outputs_at_values(dataset_spec(config), shared.specs, shared.run / "models", events)
    for (model, value), output in outputs.items():
        inputs.setdefault(model, {})[value] = _input(config, table, output, truth, varied, value)
    return inputs


def _input(
    config: AnalysisConfig,
    table: FeatureTable,
    outputs: Outputs,
    truth: Truth,
    varied: list[Varied],
    value: float = 0.0,
) -> FitInput:
    """Return templates and pseudo-data of one model. value: of the parameter at which the network is read."""
    return ScoredEvents(
        domains_of(config),
        systematics_spec(config),
        table,
        outputs,
        shapes_of(varied, (outputs.model, value)),
        factors_of(varied, table),
        truth.label,
        fit_spec(config),
        truth.class_index,
    ).input()


def _fit(shared: _Shared, part: _Part, send: Send) -> Any:
    """Do one part of the fits of a model."""
    fit_input, seed = part.fit_input, shared.config.seed
    name = f"{fit_input.model}, {part.what.replace('_', ' ')}"
    send(name, 0, 1)
    result: MainFit | dict[str, tuple[Closed, ...]] | dict[str, list[Profiled]]
    if part.what == MAIN:
        result = main_fit(fit_input, shared.toys, seed)
    elif part.what == PROFILE:
        result = profile({0.0: fit_input, **part.at_values}, _values_of(shared.config, fit_input.model))
    else:
        result = closure_of(fit_input, part.what, shared.toys, seed, shared.replicas)
    send(name, 1, 1)
    return result


def _fit_file(config: AnalysisConfig, run: Path, options: FitOptions, models: Mapping[str, FittedModel]) -> FitFile:
    spec = fit_spec(config)
    pruning = spec.pruning
    return FitFile.from_json(
        {
            "schema": run_directory.FIT_SCHEMA,
            "name": config.name,
            "stamp": run_directory.stamp(run),
            "seed": config.seed,
            "luminosity": config.luminosity,
            "source": config.nominal_domain,
            "toys": options.toys,
            "choices": CHOICES,
            **({} if pruning is None else {"pruning": pruning.model_dump()}),
            **({} if spec.smoothing is None else {"smoothing": spec.smoothing}),
            "systematics": systematics_entries(systematics_spec(config)),
            "models": models,
        }
    )


def _write(
    output: Path,
    fits: FitFile,
    inputs: Sequence[FitInput],
    mains: Mapping[str, MainFit],
) -> None:
    """Write fit.json and the workspaces; remove those of an earlier fit."""
    from hepda.evaluation.fits.fitting import workspace

    earlier, written = run_directory.fitted_files(output), [output / "fit.json"]
    for fit_input in inputs:
        observed = mains[fit_input.model].shown.observed
        written.append(output / f"workspace-{fit_input.model}.json")
        run_directory.write_json(written[-1], workspace(fit_input.templates, observed))
    run_directory.write_json(output / "fit.json", fits.to_json())
    for obsolete in set(earlier) - set(written):
        obsolete.unlink(missing_ok=True)
