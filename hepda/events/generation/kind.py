"""Generative models of events as a kind of data: what is trained, drawn at each s, and judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hepda.config.event_generator.analysis import EventGeneratorConfig
from hepda.config.event_generator.models import FlowConfig
from hepda.kinds import FinishedRun, KindOf, PlannedModel, PlannedRun, RunComparison, RunContext, loaded
from hepda.results.entries.event_generators import EventGeneratorMetrics
from hepda.results.metrics import head
from hepda.results.record import quantity_of
from hepda.runtime import run_directory
from hepda.runtime.pool import Send
from hepda.runtime.resources import Resources
from hepda.runtime.terminal import NumberTable, number_table

if TYPE_CHECKING:
    from hepda.events.generation.events import GeneratorEvents
    from hepda.events.generation.jobs import FlowJob
    from hepda.events.generation.judging import Drawn
    from hepda.number_format import Table as PageTable
    from hepda.report.drawing import FigureTexts
    from hepda.runtime.jobs import TrainingResult

Array = NDArray[Any]


class EventGeneratorKind(KindOf[EventGeneratorMetrics]):
    """An analysis of generative models of events. A score: p_B / p_A of each event of generator A, learned
    without each of the folds: all events of a process for the first fold, then for the next, [folds n].
    """

    metrics_type = EventGeneratorMetrics
    heavy = ("torch", "torch._dynamo", "hepda.adversarial", "hepda.events.generation.jobs",
             "hepda.events.generation.figures")  # fmt: skip
    sections: ClassVar[Mapping[str, tuple[str, str]]] = {
        "summary": ("Dial", "How near are generated events to each generator?"),
        "domains": ("Classifiers", "What do classifiers make of generated events?"),
        "inputs": ("Features", "Features of generated events and of both generators"),
    }

    def __init__(self, config: EventGeneratorConfig) -> None:
        self.config = config
        self._events: GeneratorEvents | None = None
        self._drawn: Drawn | None = None
        self._metrics: EventGeneratorMetrics | None = None

    @property
    def events(self) -> GeneratorEvents:
        """The samples, after `load`."""
        return loaded(self._events, "the samples have not been read")

    def drawn(self, run: Path, scores: Mapping[str, Array]) -> Drawn:
        """Return what is drawn for the evaluation, which is drawn once."""
        from hepda.events.generation.judging import Drawn

        if self._drawn is None or self._drawn.run != run:
            for model, ratios in scores.items():
                self.events.use_ratios(model, ratios)
            self._drawn = Drawn(self.config, self.events, run)
        return self._drawn

    def planned(self) -> PlannedRun:
        """Return the samples and the trainings of each model."""
        samples, folds = self.config.analysis.samples, self.config.analysis.split.folds
        reads = [f"{name}: {', '.join(samples[name].files)}" for name in self.config.samples]
        models = [
            PlannedModel(name, model.kind, folds, epochs=model.training.epochs)
            if isinstance(model, FlowConfig) and model.of is None
            else PlannedModel(name, model.kind, 0)
            for name, model in self.config.models.items()
        ]
        return PlannedRun(reads, models)

    def load(self, progress: Send, resources: Resources | None = None) -> list[str]:
        """Read all samples into memory; tell their events and yields."""
        from hepda.events.generation.classifiers import find_run
        from hepda.events.generation.events import GeneratorEvents

        if self.config.evaluation.classifiers is not None:
            find_run(self.config)
        self._events, self._drawn = GeneratorEvents.read(self.config, progress), None
        return self._events.lines()

    def contents(self) -> Iterable[tuple[str, Array]]:
        """Yield features, weights and keys of the selected events of each sample."""
        for name, sample in self.events.samples.items():
            yield f"{name}: features", sample.table.features
            yield f"{name}: weight", sample.table.weight
            yield f"{name}: key", sample.table.key

    def jobs(self, run: Path, work: Path, device: str) -> list[FlowJob]:
        """Return a job for each network and fold."""
        from hepda.events.generation.jobs import jobs_of, write_events

        write_events(work / "table", self.events)
        return jobs_of(self.config, work / "table", run, work, device)

    def combine(self, results: Sequence[TrainingResult], run: Path) -> dict[str, Array]:
        """Return the ratios of the events of generator A that each model has."""
        from hepda.events.generation.judging import Drawn

        drawn = Drawn(self.config, self.events, run)
        return {model: self.events.ratios(model, drawn.flow).astype(np.float32) for model in self.config.models}

    def score_columns(self, scores: Mapping[str, Array]) -> dict[str, Any]:
        """Return a row for each ratio, and a column for each model."""
        from hepda.events.generation.events import ROW

        number = len(next(iter(scores.values())))
        return {ROW: np.arange(number)} | {model: np.asarray(score, np.float32) for model, score in scores.items()}

    def saved_scores(self, run: Path) -> dict[str, Array]:
        """Return the ratios of scores.parquet. Raises ConfigError if they are not those of the files read now."""
        from hepda.events.generation.events import read_ratios

        return dict(read_ratios(run, self.config, self.events.ratio_count))

    def files(self) -> Any:
        """Return the files of each sample, with their entries."""
        return {
            name: {file.path: len(file.key) for file in sample.events.files}
            for name, sample in self.events.samples.items()
        }

    def measure(self, scores: Mapping[str, Array], context: RunContext) -> EventGeneratorMetrics:
        """Return probes and biases of every model at every s."""
        from hepda.events.generation.events import start_of
        from hepda.events.generation.judging import Judge

        config = self.config
        judge = Judge(self.drawn(context.run, scores), context.progress)
        process = config.processes[config.background]
        content = {
            **head(config), "origin": process.origin, "target": process.target,
            "features": list(config.analysis.features), "real": judge.real(),
            "models": {
                model: {
                    "title": config.title(model), "start": start_of(section), "training": context.training.get(model),
                    **judge.model(model),
                }
                for model, section in config.models.items()
            },
        }  # fmt: skip
        self._metrics = EventGeneratorMetrics.from_json(run_directory.plain(content))
        return self._metrics

    def figures(self, scores: Mapping[str, Array], context: RunContext) -> FigureTexts:
        """Return the data of every figure."""
        from hepda.events.generation.figures import GenerationData, drawings
        from hepda.report.drawing import texts_of

        if self._metrics is None:
            raise RuntimeError("nothing has been measured")
        data = GenerationData(self.config, self.drawn(context.run, scores), self._metrics, context.histories)
        return texts_of(drawings(data))

    def next_step(self, run: Path) -> str:
        """Return how events are generated."""
        return f"events at any s: hepda sample {run} -n 10000 --guidance 0.5 --output events"

    def conclusions(self, metrics: EventGeneratorMetrics) -> list[str]:
        """Return how near each model comes to both generators."""
        from hepda.events.generation.tables import conclusions

        return conclusions(metrics)

    def tables(self, metrics: EventGeneratorMetrics) -> dict[str, list[PageTable]]:
        """Return the tables of the dial, of the classifiers, and of trainings."""
        from hepda.events.generation.tables import tables
        from hepda.report.training import training_table

        return tables(metrics) | {"training": [training_table(metrics)]}

    def terminal(self, metrics: EventGeneratorMetrics) -> NumberTable:
        """Return the table of the dial."""
        from hepda.events.generation.tables import dial_table

        return number_table(metrics.name, dial_table(metrics))

    def comparison(
        self, runs: Sequence[FinishedRun[EventGeneratorMetrics]], merged: EventGeneratorMetrics
    ) -> RunComparison:
        """Return the tables of all runs, and a panel of the probe at each end of the dial."""
        from hepda.events.generation.tables import tables
        from hepda.plotting.comparison import ComparisonPanel, Measurement

        panels = []
        for scale, key, text in ((0.0, "probe_origin", "s = 0 against A"), (1.0, "probe_target", "s = 1 against B")):
            values: dict[tuple[str, str], Measurement] = {}
            for run in runs:
                for model, entry in run.metrics.models.items():
                    found = [quantity_of(getattr(point, key)) for point in entry.points if point.scale == scale]
                    if found and found[0].value is not None:
                        values[model, run.name] = Measurement(found[0].value, found[0].low, found[0].high)
            panels.append(ComparisonPanel(f"AUC of the probe, {text}", values))
        return RunComparison(tables(merged), [panels])
