"""Collider events as a kind of data: what is loaded, trained and evaluated, and the scores out of fold."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepda.config import AnalysisConfig
from hepda.errors import ConfigError, DataError, HepdaError
from hepda.kinds import FinishedRun, KindOf, PlannedRun, RunComparison, RunContext, loaded
from hepda.results.events import EventMetrics
from hepda.results.metrics import head
from hepda.runtime import run_directory
from hepda.runtime.pool import Send
from hepda.runtime.resources import Resources

if TYPE_CHECKING:
    from hepda.events.dataset.load import LoadedEvents
    from hepda.events.results.evaluate import EvaluationInput, Numbers
    from hepda.events.table.feature_table import FeatureTable
    from hepda.events.training.jobs import EventJob
    from hepda.number_format import Table
    from hepda.report.drawing import FigureTexts
    from hepda.runtime.jobs import TrainingResult
    from hepda.runtime.terminal import NumberTable

log = logging.getLogger(__name__)
Array = NDArray[Any]
_BLOCK = 4_000_000
"""Number of events that are processed together."""


class EventsKind(KindOf[EventMetrics]):
    """An analysis of events; `table` if it is read already."""

    metrics_type = EventMetrics
    heavy = (
        "torch", "torch._dynamo", "sklearn.ensemble", "skops.io", "hepda.events.steps", "hepda.events.results.evaluate",
        "hepda.events.results.figures", "hepda.adversarial", "hepda.baselines.bdt",
        "hepda.evaluation.differences.probe_models",
    )  # fmt: skip

    def __init__(self, config: AnalysisConfig, table: FeatureTable | None = None) -> None:
        self.config = config
        self._table = table
        self._loaded: LoadedEvents | None = None
        self._numbers: Numbers | None = None
        self._evaluated: EvaluationInput | None = None
        self._shares: dict[tuple[str, str], float] = {}
        self._folder: TemporaryDirectory[str] | None = None
        self._leaks: list[str] | None = None
        self._resources: Resources | None = None

    @property
    def table(self) -> FeatureTable:
        """The events, after `load`."""
        return loaded(self._table, "the events have not been loaded")

    @property
    def loaded(self) -> LoadedEvents:
        """The events and their files, after `load`."""
        return loaded(self._loaded, "the events have not been loaded")

    def check(self, progress: Send, *, every_file: bool = False) -> tuple[list[str], list[str]]:
        """Return yields, cut flows, weights, features of the events of every sample; packages that a training would
        miss.
        """
        from hepda.events import steps
        from hepda.events.training.jobs import check_extras

        missing = []
        try:
            check_extras(self.config.models)
        except HepdaError as error:
            missing.append(str(error))
        return steps.check(self.config, progress, every_file=every_file, further=missing)

    def planned(self) -> PlannedRun:
        """Return what would be read and trained, from the heads of the files."""
        from hepda.events.dry_run import planned
        from hepda.events.resolve import dataset_spec

        return planned(dataset_spec(self.config))

    def load(self, progress: Send, resources: Resources | None = None) -> list[str]:
        """Read the files, or take their table from the cache.

        Return lines about the source of the events, files that were left out and the policy for negative weights.
        Raises DataError for events whose scores could not be evaluated after the training.
        """
        from hepda.events import steps
        from hepda.events.dataset.checks import evaluation_problems
        from hepda.events.dataset.regions import overlaps, unusable
        from hepda.events.resolve import dataset_spec, evaluation_spec
        from hepda.events.training.jobs import check_extras
        from hepda.events.training.probabilities import check_discriminants

        check_extras(self.config.models)
        self._resources = resources
        spec = evaluation_spec(self.config)
        notes = check_discriminants(spec.models.values())
        self._loaded = steps.load(self.config, progress, resources)
        self._table = self._loaded.table
        dataset = dataset_spec(self.config)
        of_regions = [*overlaps(dataset, self._table), *unusable(dataset, self._table)]
        if problems := [*evaluation_problems(spec, self._table), *of_regions]:
            raise DataError("\n".join(problems))
        note = [self._loaded.note] if self._loaded.note else []
        keys = " and ".join(self.config.split.key)
        twice = [
            f"{name}: {summary.duplicates} selected events have the {keys} of another one of the sample; they are in "
            "one fold and count twice. If they are different events, `split.key` needs a further branch"
            for name, summary in self._loaded.samples.items()
            if summary.duplicates
        ]
        return [
            spec.describe(),
            *notes,
            *note,
            *(file.line() for file in self._loaded.skipped),
            *twice,
            *self.warnings(),
        ]

    def parallel_trainings(self, processes: int) -> int:
        """Return how many trainings on these events fit into the memory; raise ConfigError if none does."""
        from hepda.events.resolve import model_specs
        from hepda.events.training.jobs import check_memory

        return check_memory(model_specs(self.config), self.table, self._resources or Resources(), processes)

    def held_out(self) -> tuple[str, ...]:
        """Return the domains whose samples all have `use: evaluate`."""
        from hepda.events.domains.held_out import held_out

        return held_out(self.config.samples)

    def contents(self) -> Iterable[tuple[str, Array]]:
        """Return every column of the table, sample by sample."""
        from hepda.events.dataset.contents import contents_of, varied_contents
        from hepda.events.resolve import dataset_spec

        texts = dataset_spec(self.config).column_texts
        yield from contents_of(texts, self.table)
        yield from varied_contents(texts, self.loaded.varied)

    def made_of(self) -> str | None:
        """Return the name of the table in a cache, if no file was left out."""
        return self.loaded.name

    def jobs(self, run: Path, work: Path, device: str) -> list[EventJob]:
        """Return the trainings of every model, fold and member of an ensemble."""
        from hepda.events.resolve import model_specs
        from hepda.events.table.store import VARIATIONS, write_table
        from hepda.events.training.jobs import jobs_of

        folder = self.loaded.folder or work / "table"
        if self.loaded.folder is None:
            write_table(self.table, folder)
            for name, varied in self.loaded.varied.items():
                write_table(varied, folder / VARIATIONS / name)
        return jobs_of(model_specs(self.config), folder, run, work, device)

    def combine(self, results: Sequence[TrainingResult], run: Path) -> dict[str, Array]:
        """Return the score columns [n] of every model for every event, and write what fusions learn."""
        return combine(self.config, self.table, results, run / run_directory.MODELS)

    def saved_scores(self, run: Path) -> dict[str, Array]:
        """Return the saved score columns [n] of every model."""
        return saved_scores(self.config, self.table, run)

    def score_columns(self, scores: Mapping[str, Array]) -> dict[str, Any]:
        """Return the columns, a row for each event in the order of the table."""
        from hepda.events import steps
        from hepda.events.resolve import dataset_spec
        from hepda.events.specs import LABEL

        spec = dataset_spec(self.config)
        labels = [name for name in spec.columns if name.startswith(LABEL)]
        further = [*spec.region_columns, *spec.target_columns, *labels]
        return steps.scores_columns(self.table, scores, further, spec.split.key)

    def check_models(self, run: Path) -> dict[str, str]:
        """Compare every training of every model with the analysis file: inputs, classes, shapes of the parameters."""
        from hepda.events.resolve import dataset_spec, model_specs
        from hepda.events.training.verification import check_models

        return check_models(model_specs(self.config), dataset_spec(self.config).features, run)

    def files(self) -> Any:
        """Return every file that was read: entries, sums of weights, what was lost and why."""
        return self.loaded.manifest()

    def measure(self, scores: Mapping[str, Array], context: RunContext) -> EventMetrics:
        """Return the numbers of samples, of models and of the run."""
        from hepda.events import steps
        from hepda.events.resolve import evaluation_spec
        from hepda.events.results.evaluate import EvaluationInput
        from hepda.events.results.per_run import run_metrics
        from hepda.events.results.thresholds import threshold_lines
        from hepda.events.training.probabilities import probabilities_of
        from hepda.events.training.scoring import rescore

        spec, models = evaluation_spec(self.config), context.run / "models"
        table, evaluated_scores = self._thinned(scores, context.run)
        evaluated = EvaluationInput(
            spec,
            table,
            {model: evaluated_scores[model] for model in spec.classifiers},
            predictions={m: evaluated_scores[m] for m in spec.models if m not in spec.classifiers},
            rescore=partial(rescore, spec.models, models),
            outputs=probabilities_of(spec.models, evaluated_scores),
            columns=evaluated_scores,
        )
        numbers = steps.numbers_of(evaluated, models, context.processes, context.progress)
        self._evaluated, self._numbers = evaluated, numbers
        shares = {f"{domain}:{name}": share for (domain, name), share in self._shares.items()}
        content = {
            **head(self.config),
            "luminosity": self.config.luminosity,
            "nominal": numbers.source,
            "baseline": numbers.baseline,
            **({"judged": shares} if shares else {}),
            "samples": steps.samples_metrics(self.config, self.loaded),
            **steps.processes_metrics(spec.domains),
            "models": steps.models_metrics(spec, numbers, context.training, models),
            **run_metrics(spec, numbers, context.histories),
        }
        metrics = EventMetrics.from_json(run_directory.plain(content))
        for line in threshold_lines(metrics):
            log.info(line)
        return metrics

    def _thinned(self, scores: Mapping[str, Array], run: Path) -> tuple[FeatureTable, Mapping[str, Array]]:
        """Return the evaluated events and their scores: all, or a part, kept in `run` as long as it is needed."""
        from hepda.events.results import thinning

        self._shares = thinning.shares_of(self.config.evaluation.events, self.table)
        if not self._shares:
            return self.table, scores
        (run / ".work").mkdir(exist_ok=True)
        self._folder = TemporaryDirectory(prefix="judged-", dir=run / ".work")
        return thinning.thinned(self.table, scores, self._shares, Path(self._folder.name) / "table")

    def figures(self, scores: Mapping[str, Array], context: RunContext) -> FigureTexts:
        """Return the data of every figure."""
        from hepda.events import steps
        from hepda.events.resolve import appearance
        from hepda.events.results.figure_data import FigureData

        if self._numbers is None or self._evaluated is None:
            raise RuntimeError("figures are drawn of numbers: call measure first")
        data = FigureData(
            self._evaluated.spec,
            appearance(self.config),
            self._evaluated.table,
            self._evaluated.scores,
            self._numbers,
            context.histories,
            context.best_epochs,
            self._evaluated.outputs,
            self._evaluated.predictions,
        )
        texts = steps.figure_texts(data)
        self._evaluated = None
        if self._folder is not None:
            self._folder.cleanup()
            with suppress(OSError):  # a run that is not complete keeps its trainings there
                Path(self._folder.name).parent.rmdir()
        return texts

    def next_step(self, run: Path) -> str:
        """Return the command that gives the bias of the signal strength."""
        return f"bias of mu and its error: hepda fit {run}"

    def labels(self) -> dict[str, str]:
        """Return the labels of samples, systematics and regions that have one."""
        from hepda.events.resolve import appearance

        samples = {name: sample.label for name, sample in self.config.samples.items() if sample.label}
        return {**appearance(self.config).fit, **samples}

    def conclusions(self, metrics: EventMetrics) -> list[str]:
        """Return the conclusions about adaptation."""
        from hepda.events.results.tables import conclude

        return conclude(metrics)

    def tables(self, metrics: EventMetrics) -> dict[str, list[Table]]:
        """Return every table of samples, separation, domains, significance, diagnostics and trainings."""
        from hepda.events.results.tables.sections import section_tables

        return section_tables(metrics)

    def terminal(self, metrics: EventMetrics) -> NumberTable:
        """Return AUC by domain, efficiency shifts and significance of each model."""
        from hepda.events.results.tables.sections import terminal_table

        return terminal_table(metrics)

    def comparison(self, runs: Sequence[FinishedRun[EventMetrics]], merged: EventMetrics) -> RunComparison:
        """Return every table, with the events that each run read, and panels of AUC, KS and shifts."""
        from hepda.events.results.comparison import comparison

        return comparison(runs, merged)

    def file_differences(self, first: FinishedRun[EventMetrics], run: FinishedRun[EventMetrics]) -> list[str]:
        """Return by sample which files differ, in name, content or selected events."""
        from hepda.events.results.comparison import file_differences

        return file_differences(first, run)

    def warnings(self) -> list[str]:
        """Return the effect of the policy for negative weights, which processes have no counterpart in another domain,
        which trainings see data of the signal region, objects that are cut off, and features that reveal class, domain
        or event.
        """
        from hepda.events.check_collections import cut_off_lines, object_counts
        from hepda.events.domains.blinding import uncontrolled
        from hepda.events.domains.counterparts import composition_lines
        from hepda.events.leaks import leaks
        from hepda.events.resolve import dataset_spec, domains_of

        if self._leaks is None:  # used by the log and by the report
            self._leaks = leaks(dataset_spec(self.config), self.table)
        config, domains = self.config, domains_of(self.config)
        return [
            *policy_lines(config, self.table),
            *composition_lines(domains.nominal, domains.composition),
            *uncontrolled(config.models, config.samples),
            *cut_off_lines(object_counts(config.collections, self.table)),
            *self._leaks,
        ]

    def notes(self) -> list[str]:
        """Return what is hidden or scaled, and whether all events were evaluated."""
        from hepda.events import steps
        from hepda.events.results import thinning

        return [*([thinning.as_text(self._shares)] if self._shares else []), *steps.notes(self.config)]


def combine(
    config: AnalysisConfig, table: FeatureTable, results: Sequence[TrainingResult], folder: Path | None = None
) -> dict[str, Array]:
    """Return the score columns [n] of every model for every event: of its fold, averaged over members of an ensemble.

    Args:
        config: the analysis.
        table: the events.
        results: of all trainings.
        folder: of all models, to which is written what fusions learn; None: nothing is written.

    Raises:
        DataError: a discriminant is not a finite number for some events, or a fusion cannot be learned.

    """
    from hepda.events.resolve import model_specs
    from hepda.events.training.fusion import fused_out_of_fold
    from hepda.events.training.probabilities import score_columns
    from hepda.runtime.jobs import out_of_fold

    models = model_specs(config)
    scores = {name: out_of_fold(results, name, table.fold) for name, model in models.items() if not model.fused}
    scores |= {name: fused_out_of_fold(model, table, scores, folder) for name, model in models.items() if model.fused}
    columns: dict[str, Array] = {}
    for name, model in models.items():
        columns |= score_columns(model, scores[name])
    return columns


def saved_scores(config: AnalysisConfig, table: FeatureTable, run: Path) -> dict[str, Array]:
    """Return the score columns of scores.parquet.

    Raises:
        ConfigError: they are not those of the events that the config reads now.

    """
    from hepda.events.resolve import dataset_spec
    from hepda.events.results.saved_scores import read_scored

    path = run / "scores.parquet"
    saved, scores = read_scored(dataset_spec(config), run)
    changed = [
        name
        for name in ("key", "label", "domain", "sample", "fold")
        if not np.array_equal(getattr(saved, name), getattr(table, name))
    ]
    # another processor may round a weight in another way
    if not changed and not np.allclose(saved.weight, table.weight, rtol=1e-6, atol=0.0):
        changed = ["weight"]
    if changed:
        raise ConfigError(
            f"the events that {run / 'config.yaml'} reads are not those of {path} (another {', '.join(changed)}): "
            "files or the analysis file have changed. Train again."
        )
    return dict(scores)


def policy_lines(config: AnalysisConfig, table: FeatureTable) -> list[str]:
    """Return the policy for negative weights and the share that it touches, for the log and the report."""
    from hepda.adversarial.data.weights import negative_share

    names = list(dict.fromkeys(name for model in config.models for name in config.training_samples(model)))
    blocks = (slice(start, start + _BLOCK) for start in range(0, len(table), _BLOCK))
    weights = (table.weight[block][table.of_samples(names, block)] for block in blocks)
    return [f"training samples: {negative_share(weights, config.negative_weights)}"]
