"""`hepda fit`: from a run directory to signal strength, impacts and closure, for every model.

Varied events are read and scored with the saved models, out of fold; templates and pseudo-data come from the saved
scores; every fit is one of HistFactory's likelihood. Blinded data are not used.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config import AnalysisConfig, load_config
from hepda.errors import ConfigError, nearest
from hepda.events import kind as events
from hepda.events import steps
from hepda.events.dataset.contents import SCORED, check_samples, check_scored, contents_of
from hepda.events.dataset.variations import Reading, read_factors, read_varied, readings
from hepda.events.domains.held_out import held_out
from hepda.events.fit.figures import closure_drawings, model_drawings
from hepda.events.fit.fits import ALL, UNAWARE, Closed, MainFit, closure_of, main_fit
from hepda.events.fit.parametric import Profiled, profile, values_of
from hepda.events.fit.templates import Events, Region, ScoredEvents
from hepda.events.fit.to_json import CHOICES, fitted_model, systematics_entries
from hepda.events.fit.truth import read_truth
from hepda.events.resolve import appearance, dataset_spec, domains_of, model_spec, systematics_spec
from hepda.events.results.saved_scores import read_scored
from hepda.events.specs import ModelSpec
from hepda.events.table.feature_table import FeatureTable
from hepda.events.training.scoring import score_table
from hepda.report.page import NotDrawn, ReportFigure, drawn_and_failed
from hepda.results.fit_file import FitFile, FittedModel
from hepda.runtime import exchange, fingerprint, looks, run_directory
from hepda.runtime.hashes import check_hashes
from hepda.runtime.locks import locked
from hepda.runtime.log import LOG, LogFile, logged
from hepda.runtime.pool import Send, open_pool
from hepda.runtime.progress import Clock, Progress
from hepda.runtime.terminal import NumberTable
from hepda.workflows import train

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class FitOptions:
    """Options of the command line: toys for each pseudo-data set, models (empty: all), folders for the results."""

    toys: int = 500
    models: tuple[str, ...] = ()
    output: Path | None = None
    plots: Path | None = None
    processes: int | None = None


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
    figures: Path
    models: tuple[str, ...]
    toys: int

    @property
    def specs(self) -> dict[str, ModelSpec]:
        """Return the models that are fitted, by name."""
        return {model: model_spec(self.config, model) for model in self.models}


@dataclass(frozen=True, slots=True)
class _Varied:
    """The result of a reading: weight [n] and score [n] of each model, or keys [n] and factors [n].

    read_at: scores by model and value of its parameter, where that is not 0.
    """

    reading: Reading
    weight: Array | None = None
    scores: Mapping[str, Array] | None = None
    key: Array | None = None
    factors: Mapping[str, Array] | None = None
    read_at: Mapping[tuple[str, float], Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of the fits of a model: the main fit, the closure of a variant, or the profile of its parameter.

    at_values: what is fitted where the network is read at other values of its parameter.
    """

    region: Region
    what: str
    at_values: Mapping[float, Region] = field(default_factory=dict)


log = logging.getLogger(__name__)
MAIN, PROFILE = "main", "profile"


def fit(run: Path, options: FitOptions, progress: Progress) -> FitOutcome:
    """Fit every model of a run; write fit.json, workspace-<model>.json, figures, and the report with them.

    Raises:
        ConfigError: `run` is no run directory or has no scores, its files have changed since the training,
            or another process writes to where the results go.
        DataError: the scores cannot be binned so that a fit is possible.

    """
    exchange.settle(run, "fit")
    manifest = run_directory.read_json(run / "manifest.json")
    if not isinstance(manifest, dict) or "training" not in manifest or not (run / "config.yaml").is_file():
        raise ConfigError(
            f"{run / 'manifest.json'} was not written by `hepda train`; name a run directory that it made."
        )
    config = load_config(run / "config.yaml")
    models = _models(config, options.models)
    output, plots = options.output or run, options.plots
    if output.resolve() == run.resolve():
        output = run
    if plots is None and output == run:
        plots = train.standard_plots(run, config.name)
    for folder, option in ((output, "--output"), (plots, "--plots")):
        if folder is not None:
            run_directory.check_writable(folder, option)
    run_directory.read_json(run / "metrics.json")
    check_hashes(run, manifest)
    if output != run:
        _check_output(output, models)
    with locked(output, "fit", "" if output == run else "--output"), logged("fit") as file:
        outcome = _fit_all(config, models, run, output, options, progress, file)
        if plots is not None:
            run_directory.copy_figures(output, plots, "fit")
    return outcome


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
    config: AnalysisConfig,
    models: tuple[str, ...],
    run: Path,
    output: Path,
    options: FitOptions,
    progress: Progress,
    file: LogFile,
) -> FitOutcome:
    """Do the same as `fit` for a caller that holds the lock of `output`."""
    stamp = run_directory.stamp(run) if (run / "scores.parquet").is_file() else ""
    table, scores = read_scored(dataset_spec(config), run)
    clock = Clock(progress)
    with clock("compare"):
        _check_contents(config, run, table, progress)
    file.write_to(output / LOG)
    looks.record(run, "fit", held_out(config.samples, with_truth=True))
    truth = read_truth(dataset_spec(config), domains_of(config), table)
    processes = options.processes or train.processes_of(config)
    shared = _Shared(config, run, output / run_directory.PLOTS, models, options.toys)
    with open_pool(processes, shared=shared, progress=progress.step) as pool:
        with clock("vary"):
            varied = pool.map(_vary, readings(dataset_spec(config)))
            regions = [_region(config, table, model, scores[model], truth, varied) for model in models]
            at_values = _read_at(shared, table, truth, varied, progress)
        with clock("fit"):
            variants = (ALL, UNAWARE) if regions[0].two_points else (UNAWARE,)
            parts = [_Part(region, what) for what in (MAIN, *variants) for region in regions]
            parts += [
                _Part(region, PROFILE, at_values[region.model]) for region in regions if region.model in at_values
            ]
            results = pool.map(_fit, parts)
    mains: dict[str, MainFit] = {}
    closures: dict[str, dict[str, dict[str, tuple[Closed, ...]]]] = {variant: {} for variant in variants}
    profiles: dict[str, dict[str, list[Profiled]]] = {}
    figures: list[ReportFigure | NotDrawn] = []
    for part, (result, drawn) in zip(parts, results, strict=True):
        figures += drawn
        if part.what == MAIN:
            mains[part.region.model] = result
        elif part.what == PROFILE:
            profiles[part.region.model] = result
        else:
            closures[part.what][part.region.model] = result
    with clock("report"):
        headline = [
            drawing.attempt(shared.figures)
            for drawing in closure_drawings(appearance(config), config.nominal_domain, closures)
        ]
        if run_directory.stamp(run) != stamp:
            raise ConfigError(f"{run} was trained again while it was fitted: nothing is written. Fit it again.")
        models_fitted = {
            region.model: fitted_model(
                region,
                mains[region.model],
                {variant: by_model[region.model] for variant, by_model in closures.items()},
                profiles.get(region.model),
            )
            for region in regions
        }
        fits = _fit_file(config, run, options, models_fitted)
        _write(output, fits, regions, mains)
        if output != run and not (output / "figures.json").is_file():
            _take_figures(run, output)
        run_directory.write_figures(output, "fit", *drawn_and_failed([*headline, *figures]))
        report = train.write_page(config, events.EventsKind(config, table), run, output)
    return FitOutcome(output / "fit.json", report, fits, clock.seconds)


def _check_contents(config: AnalysisConfig, run: Path, table: FeatureTable, progress: Progress) -> None:
    """Raise ConfigError if scores.parquet or the events that are about to be read are not those of the training."""
    recorded = fingerprint.recorded(run, run_directory.read_json(run / "manifest.json"))
    if recorded is None:
        log.warning(f"{run} was made by an earlier hepda, which kept no record of its data: only keys are compared.")
        return
    check_scored(run, recorded["parts"], table)
    entries: dict[str, int] = {}

    def report(sample: str, read: int) -> None:
        entries[sample] = entries.get(sample, 0) + read
        progress.step(sample, entries[sample], entries[sample])

    check_samples(dataset_spec(config), run, recorded, _samples_read(config), report)


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
    return tuple(dict.fromkeys(names)) or tuple(config.models)


def _vary(shared: _Shared, reading: Reading, send: Send) -> _Varied:
    """Read the varied events of a sample and score them, or the factors on its weights."""
    entries = 0

    def report(_: str, read: int) -> None:
        nonlocal entries
        entries += read
        send(reading.name, entries, entries)

    if reading.systematic is None:
        key, factors = read_factors(dataset_spec(shared.config), reading.sample, report)
        return _Varied(reading, key=key, factors=factors)
    table = read_varied(dataset_spec(shared.config), reading, report)
    scores = score_table(shared.specs.values(), shared.run / "models", table)
    return _Varied(reading, weight=table.weight, scores=scores, read_at=_scores_at(shared, table))


def _scores_at(shared: _Shared, table: FeatureTable) -> dict[tuple[str, float], Array]:
    """Return the scores of the networks with a parameter at its other values."""
    folder = shared.run / "models"
    return {
        (model, value): score_table([shared.specs[model]], folder, table, value)[model]
        for model in shared.models
        for value in _values_of(shared.config, model)
    }


def _read_at(
    shared: _Shared, table: FeatureTable, truth: Array, varied: Sequence[_Varied], progress: Progress
) -> dict[str, dict[float, Region]]:
    """Return what is fitted of networks with a parameter where they are read at its other values; events are read
    again.
    """
    config = shared.config
    if not any(_values_of(config, model) for model in shared.models):
        return {}
    events = steps.load(config, progress.step).table
    changed = fingerprint.differences(
        fingerprint.fingerprints(contents_of(config.columns, table, SCORED)),
        fingerprint.fingerprints(contents_of(config.columns, events, SCORED)),
    )
    fingerprint.complain(shared.run, changed)
    regions: dict[str, dict[float, Region]] = {}
    for (model, value), score in _scores_at(shared, events).items():
        varied_at_value = [replace(v, scores={model: v.read_at[model, value]}) if v.read_at else v for v in varied]
        regions.setdefault(model, {})[value] = _region(config, table, model, score, truth, varied_at_value)
    return regions


def _region(
    config: AnalysisConfig, table: FeatureTable, model: str, score: Array, truth: Array, varied: Sequence[_Varied]
) -> Region:
    """Return templates and pseudo-data of one model."""
    shapes: dict[tuple[str, str, str], Events] = {}
    factors: dict[tuple[str, str], Array] = {}
    for entry in varied:
        sample = entry.reading.sample
        if entry.factors is not None:
            if entry.key is None or not np.array_equal(entry.key, table.key[table.of_samples([sample])]):
                raise ConfigError(
                    f"the events of {sample} that the analysis file reads now are not those of scores.parquet: files "
                    "have changed. Train again."
                )
            factors |= {(sample, name): values for name, values in entry.factors.items()}
        elif entry.scores is not None and entry.weight is not None:
            shapes[sample, str(entry.reading.systematic), entry.reading.side] = (entry.scores[model], entry.weight)
    return ScoredEvents(
        domains_of(config), systematics_spec(config), table, model, score, shapes, factors, truth
    ).region()


def _take_figures(run: Path, output: Path) -> None:
    """Copy the figures of the run itself, so that the report in `output` needs nothing else."""
    figures = [figure for by, figure in run_directory.read_figures(run)[0] if by == "evaluate"]
    copies = run_directory.copy_figures(run, output / run_directory.PLOTS, "evaluate")
    run_directory.write_figures(output, "evaluate", [(*f[:3], copy) for f, copy in zip(figures, copies, strict=True)])


def _fit(shared: _Shared, part: _Part, send: Send) -> tuple[Any, list[ReportFigure | NotDrawn]]:
    """Do one part of the fits of a model, and draw its figures."""
    region, seed = part.region, shared.config.seed
    name = f"{region.model}, {part.what.replace('_', ' ')}"
    send(name, 0, 1)
    figures: list[ReportFigure | NotDrawn] = []
    result: MainFit | dict[str, tuple[Closed, ...]] | dict[str, list[Profiled]]
    if part.what == MAIN:
        result = main_fit(region, shared.toys, seed)
        drawings = model_drawings(appearance(shared.config), region.model, result)
        figures = [drawing.attempt(shared.figures) for drawing in drawings]
    elif part.what == PROFILE:
        result = profile({0.0: region, **part.at_values}, _values_of(shared.config, region.model))
    else:
        result = closure_of(region, part.what, shared.toys, seed)
    send(name, 1, 1)
    return result, figures


def _fit_file(config: AnalysisConfig, run: Path, options: FitOptions, models: Mapping[str, FittedModel]) -> FitFile:
    return FitFile.from_json(
        {
            "schema": 1,
            "name": config.name,
            "stamp": run_directory.stamp(run),
            "seed": config.seed,
            "luminosity": config.luminosity,
            "source": config.nominal_domain,
            "toys": options.toys,
            "choices": CHOICES,
            "systematics": systematics_entries(systematics_spec(config)),
            "models": models,
        }
    )


def _write(
    output: Path,
    fits: FitFile,
    regions: Sequence[Region],
    mains: Mapping[str, MainFit],
) -> None:
    """Write fit.json and the workspaces; remove those of an earlier fit."""
    from hepda.evaluation.fits.fitting import workspace

    earlier, written = run_directory.fitted_files(output), [output / "fit.json"]
    for region in regions:
        observed = mains[region.model].shown.observed
        written.append(output / f"workspace-{region.model}.json")
        run_directory.write_json(written[-1], workspace(region.templates, observed, name=region.model))
    run_directory.write_json(output / "fit.json", fits.to_json())
    for obsolete in set(earlier) - set(written):
        obsolete.unlink(missing_ok=True)


def console_table(fits: FitFile) -> NumberTable:
    """Return the table for the terminal: expected error and significance, and the bias at mu = 1 by domain."""
    closure = {model: fitted.closure.of(UNAWARE) for model, fitted in fits.models.items()}
    domains = list(dict.fromkeys(domain for by_domain in closure.values() for domain in by_domain))
    rows = []
    for name, fitted in fits.models.items():
        at_one = [next((e for e in closure[name].get(domain, ()) if e.truth == 1), None) for domain in domains]
        cells: list[tuple[float | None, float | None]] = [
            (fitted.expected.error, None),
            (fitted.expected.significance, None),
        ]
        cells += [(fitted.observed.mu, fitted.observed.error)]
        cells += [(None, None) if entry is None else (entry.bias, entry.error) for entry in at_one]
        rows.append([name, *(_cell(value, error) for value, error in cells)])
    head = ["model", "error", "Z", "observed", *(f"bias, {domain}" for domain in domains)]
    return NumberTable(head, rows, "signal strength", "bias of mu = 1: templates without the two-point systematics")


def _cell(value: float | None, error: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if error is None else f"{value:.2f} ± {error:.2f}"
