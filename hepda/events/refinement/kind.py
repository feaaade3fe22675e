"""Refinement of simulation as a kind of data: samples that are refined, and how well they agree with the target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hepda.config.refinement.analysis import PairConfig, RefinementConfig
from hepda.errors import ConfigError
from hepda.kinds import FinishedRun, KindOf, PlannedModel, PlannedRun, RunComparison, RunContext, loaded
from hepda.results.entries.refinement import RefinementMetrics
from hepda.results.metrics import head
from hepda.results.record import quantity_of
from hepda.runtime import run_directory
from hepda.runtime.pool import Send
from hepda.runtime.resources import Resources
from hepda.runtime.terminal import NumberTable, number_table

if TYPE_CHECKING:
    from hepda.events.refinement.events import RefinedEvents
    from hepda.events.refinement.jobs import RefinementJob
    from hepda.number_format import Table as PageTable
    from hepda.report.drawing import FigureTexts
    from hepda.runtime.jobs import TrainingResult

Array = NDArray[Any]
ROW = "row"
"""The column of scores.parquet that numbers the events of all samples that are refined."""


class RefinementKind(KindOf[RefinementMetrics]):
    """An analysis of refinement. A score: the factor on the weight of each event [n], NaN if it is not selected."""

    metrics_type = RefinementMetrics
    heavy = (
        "torch", "torch._dynamo", "hepda.adversarial", "hepda.events.refinement.jobs",
        "hepda.events.refinement.figures",
    )  # fmt: skip
    sections: ClassVar[Mapping[str, tuple[str, str]]] = {
        "summary": ("Methods", "How near does each method bring the simulation to the target?"),
        "inputs": ("Objects", "Objects before and after, and those of the target"),
    }

    def __init__(self, config: RefinementConfig) -> None:
        self.config = config
        self._events: RefinedEvents | None = None

    @property
    def events(self) -> RefinedEvents:
        """The samples, after `load`."""
        return loaded(self._events, "the samples have not been read")

    def planned(self) -> PlannedRun:
        """Return the samples and fits of each model."""
        names = {name for pair in self.config.pairs.values() for name in samples_of(pair)}
        reads = [f"{name}: {', '.join(self.config.analysis.samples[name].files)}" for name in sorted(names)]
        folds = self.config.analysis.split.folds
        models = [
            PlannedModel(name, model.kind, folds if model.kind in ("residual", "quantiles") else 0,
                         epochs=model.training.epochs if model.kind == "residual" else None)
            for name, model in self.config.models.items()
        ]  # fmt: skip
        return PlannedRun(reads, models)

    def load(self, progress: Send, resources: Resources | None = None) -> list[str]:
        """Read all samples of all pairs into memory; tell their events and yields."""
        from hepda.events.refinement.events import RefinedEvents

        self._events = RefinedEvents.read(self.config, progress)
        return self._events.lines()

    def contents(self) -> Iterable[tuple[str, Array]]:
        """Yield features, weights and keys of the selected events of each sample."""
        for name, table in self.events.tables.items():
            yield f"{name}: features", table.features
            yield f"{name}: weight", table.weight
            yield f"{name}: key", table.key

    def jobs(self, run: Path, work: Path, device: str) -> list[RefinementJob]:
        """Return a job for each fitted model and fold."""
        from hepda.events.refinement.jobs import jobs_of, write_events

        write_events(work / "table", self.events.learned_from())
        return jobs_of(self.config, work / "table", run, work, device)

    def combine(self, results: Sequence[TrainingResult], run: Path) -> dict[str, Array]:
        """Refine all samples by each model, and learn the factors of reweighting."""
        # as scores.parquet has them, so that a later evaluation has the same numbers
        return {model: self.events.factors(run, model).astype(np.float32) for model in self.config.models}

    def score_columns(self, scores: Mapping[str, Array]) -> dict[str, Any]:
        """Return a row for each event of samples that are refined, selected or not, and a column for each model."""
        import pyarrow as pa

        names = list(self.events.refined)
        number = np.repeat(np.arange(len(names)), [self.events.entries(name) for name in names])
        columns: dict[str, Any] = {
            ROW: np.arange(len(number)),
            "sample": pa.DictionaryArray.from_arrays(pa.array(number, pa.int32()), pa.array(names)),
        }
        return columns | {model: np.asarray(score, np.float32) for model, score in scores.items()}

    def saved_scores(self, run: Path) -> dict[str, Array]:
        """Return the factors of scores.parquet. Raises ConfigError if they are not those of the files read now."""
        models = list(self.config.models)
        saved = run_directory.read_scores(run, {ROW: "iu"} | dict.fromkeys(models, "f"))
        if len(saved[ROW]) != sum(self.events.entries(name) for name in self.events.refined):
            raise ConfigError(
                f"{run / 'scores.parquet'} is not of the events that {run / 'config.yaml'} reads: files have changed. "
                "Train again."
            )
        return {model: saved[model].to_numpy() for model in models}

    def files(self) -> Any:
        """Return the files of each sample, with their entries."""
        return {
            name: {file.path: len(file.key) for file in sample.files} for name, sample in self.events.samples.items()
        }

    def measure(self, scores: Mapping[str, Array], context: RunContext) -> RefinementMetrics:
        """Return probe, effective events and closure of every model and pair."""
        from hepda.events.refinement.judging import about_pair, judged

        config, events = self.config, self.events
        score = events.score(context.run)
        models: dict[str, Any] = {
            model: {
                "title": config.title(model),
                "training": context.training.get(model),
                "pairs": {
                    name: judged(config, events.pair(context.run, model, pair, scores[model]), score)
                    for name, pair in config.pairs.items()
                },
            }
            for model in config.models
        }
        pairs = {}
        for name, section in config.pairs.items():
            as_it_is = events.as_it_is(section)
            pairs[name] = about_pair(config, section, as_it_is.background, as_it_is.target)
        content = {
            **head(config), "baseline": config.baseline, "features": list(config.analysis.features), "pairs": pairs,
            "models": models,
        }  # fmt: skip
        return RefinementMetrics.from_json(run_directory.plain(content))

    def figures(self, scores: Mapping[str, Array], context: RunContext) -> FigureTexts:
        """Return the data of every figure."""
        from hepda.events.refinement.figures import RefinementData, drawings
        from hepda.report.drawing import texts_of

        return texts_of(drawings(RefinementData(self.config, self.events, scores, context.histories, context.run)))

    def held_out(self) -> tuple[str, ...]:
        """Return the pairs that nothing learns from."""
        return tuple(self.config.judge)

    def conclusions(self, metrics: RefinementMetrics) -> list[str]:
        """Return what each method leaves of the difference."""
        from hepda.events.refinement.tables import conclusions

        return conclusions(metrics)

    def tables(self, metrics: RefinementMetrics) -> dict[str, list[PageTable]]:
        """Return the table of methods for each pair, and of trainings."""
        from hepda.events.refinement.tables import tables
        from hepda.report.training import training_table

        return tables(metrics) | {"training": [training_table(metrics)]}

    def terminal(self, metrics: RefinementMetrics) -> NumberTable:
        """Return the table of methods for the pair of the training."""
        from hepda.events.refinement.tables import method_table

        return number_table(metrics.name, method_table(metrics, "learn"))

    def comparison(self, runs: Sequence[FinishedRun[RefinementMetrics]], merged: RefinementMetrics) -> RunComparison:
        """Return the tables of methods of all runs, and a panel of the probe for each pair."""
        from hepda.events.refinement.tables import tables
        from hepda.plotting.comparison import ComparisonPanel, Measurement

        panels = []
        for pair in merged.pairs:
            values: dict[tuple[str, str], Measurement] = {}
            for run in runs:
                for model, entry in run.metrics.models.items():
                    quality = quantity_of(entry.pairs[pair].probe) if pair in entry.pairs else None
                    if quality is not None and quality.value is not None:
                        values[model, run.name] = Measurement(quality.value, quality.low, quality.high)
            panels.append(ComparisonPanel(f"AUC of the probe, {pair}", values))
        return RunComparison(tables(merged), [panels])


def samples_of(pair: PairConfig) -> list[str]:
    """Return the samples that a pair names."""
    return [name for name in (pair.source, pair.target, pair.signal, pair.signal_target) if name is not None]
