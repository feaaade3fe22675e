"""Frame prediction as a kind of data: what is loaded and trained, and how near predictions are to true frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hepda import scores as scores_of
from hepda.config import FramePredictionConfig
from hepda.errors import DataError, SourceError
from hepda.kinds import FinishedRun, KindOf, PlannedModel, PlannedRun, RunComparison, RunContext, loaded
from hepda.results.entries.frames import FramesMetrics
from hepda.results.metrics import head
from hepda.results.record import quantity_of
from hepda.runtime import run_directory
from hepda.runtime.pool import Send
from hepda.runtime.resources import Resources
from hepda.runtime.run_directory import MODELS
from hepda.runtime.terminal import NumberTable, number_table

if TYPE_CHECKING:
    from hepda.config.generators.frames import FrameNetworkConfig
    from hepda.generators.frames.jobs import FramesJob
    from hepda.generators.frames.sequences import FrameSequences
    from hepda.number_format import Table as PageTable
    from hepda.report.drawing import FigureTexts
    from hepda.runtime.jobs import TrainingResult

Array = NDArray[Any]


class FramesKind(KindOf[FramesMetrics]):
    """An analysis of frame prediction. A score is [trainings, sequences, metrics]: a row is a test sequence."""

    metrics_type = FramesMetrics
    heavy = (
        "torch", "torch._dynamo", "hepda.adversarial", "hepda.generators.frames.jobs",
        "hepda.generators.frames.figures",
    )  # fmt: skip
    sections: ClassVar[Mapping[str, tuple[str, str]]] = {
        "summary": ("Quality", "Quality of the predicted frames"),
        "samples": ("Sequences", "Models and sequences"),
        "inputs": ("Frames", "What is predicted?"),
        "adaptation": ("Comparison", "What does each loss gain?"),
    }

    def __init__(self, config: FramePredictionConfig) -> None:
        self.config = config
        self._sequences: FrameSequences | None = None

    @property
    def sequences(self) -> FrameSequences:
        """The sequences, after `load`."""
        return loaded(self._sequences, "the sequences have not been made")

    def check(self, progress: Send, *, every_file: bool = False) -> tuple[list[str], list[str]]:
        """Read the images and make the sequences; return a line about them, or the problem if they are missing."""
        try:
            self.load(progress)
        except (SourceError, DataError) as error:
            return [], [str(error)]
        sequences = self.sequences
        line = (
            f"{self.config.source.title}: {len(sequences.train)} sequences of {sequences.about['train']['images']} "
            f"images to train on, {len(sequences.test)} of {sequences.about['test']['images']} others to test on"
        )
        return [line], []

    def planned(self) -> PlannedRun:
        """Return the source, and the trainings of each model."""
        from hepda.images import sets

        config = self.config
        models = [
            PlannedModel(
                name, model.kind, config.members[name],
                epochs=config.networks[name].training.epochs if name in config.networks else None,
            )
            for name, model in config.models.items()
        ]  # fmt: skip
        return PlannedRun([sets.check(config.source)], models)

    def load(self, progress: Send, resources: Resources | None = None) -> list[str]:
        """Read the images and make all sequences; return the warnings about the images."""
        from hepda.generators.frames import sequences

        self._sequences = sequences.load(self.config)
        return self.warnings()

    def contents(self) -> Iterable[tuple[str, Array]]:
        """Yield the frames of every part."""
        for name, frames in self.sequences.parts.items():
            yield f"frames to {name}", frames

    def jobs(self, run: Path, work: Path, device: str) -> Sequence[FramesJob]:
        """Return the trainings of every network and seed, and one job for what is not trained."""
        from hepda.generators.frames import sequences
        from hepda.generators.frames.jobs import jobs_of

        sequences.write(self.sequences, work / "table")
        return jobs_of(self.config, work / "table", run, work, device)

    def combine(self, results: Sequence[TrainingResult], run: Path) -> dict[str, Array]:
        """Return the scores [trainings, sequences, metrics] of each model."""
        return scores_of.stacked(results, self.config.models)

    @property
    def _numbers(self) -> NDArray[np.int64]:
        return np.arange(len(self.sequences.test))

    def score_columns(self, scores: Mapping[str, Array]) -> dict[str, Any]:
        """Return the columns of scores.parquet: a row for each test sequence."""
        return {"sequence": self._numbers} | scores_of.columns_of(scores, self.config.evaluation.metrics)

    def saved_scores(self, run: Path) -> dict[str, Array]:
        """Return the scores of scores.parquet. Raises ConfigError if they are of other sequences or models."""
        return scores_of.read(run, self.config.members, self.config.evaluation.metrics, ("sequence", self._numbers))

    def files(self) -> Any:
        """Return what was read."""
        return dict(self.sequences.about)

    def measure(self, scores: Mapping[str, Array], context: RunContext) -> FramesMetrics:
        """Return the quality of every model, and the differences between models."""
        from hepda.generators.frames.numbers import differences, quality

        config, sequences, metrics = self.config, self.sequences, self.config.evaluation.metrics
        content = {
            **head(config),
            "metrics": list(metrics),
            "samples": {
                "data": config.source.title, "train": len(sequences.train), "test": len(sequences.test),
                "train_images": sequences.about["train"]["images"], "test_images": sequences.about["test"]["images"],
                "inputs": config.sequences.inputs, "size": config.sequences.size,
            },
            "models": {
                name: {
                    "title": model.title or name, "kind": model.kind, "quality": quality(metrics, scores[name]),
                    "training": context.training[name],
                }
                for name, model in config.models.items()
            },
            "comparison": differences(metrics, {name: scores[name] for name in config.models}),
        }  # fmt: skip
        return FramesMetrics.from_json(run_directory.plain(content))

    def figures(self, scores: Mapping[str, Array], context: RunContext) -> FigureTexts:
        """Return the data of every figure."""
        from hepda.generators.frames.figures import FramesFigureData, drawings
        from hepda.report.drawing import texts_of

        return texts_of(drawings(FramesFigureData(self.config, self.sequences, context.histories, context.run)))

    def check_models(self, run: Path) -> dict[str, str]:
        """Compare the networks of a run with the analysis file; return what is wrong with each file, "" for nothing."""
        from hepda.generators.frames.networks import FramePredictor

        def problem(path: Path, section: FrameNetworkConfig) -> str:
            try:
                shape = FramePredictor.load(path).shape
            except SourceError as error:
                return str(error)
            expected = {"inputs": self.config.sequences.inputs, "width": section.width, "reach": section.reach}
            return "" if shape == expected else f"is a network of {shape}; config.yaml says {expected}"

        return {
            name: problem(run / name, section)
            for model, section in self.config.networks.items()
            for member in range(self.config.seeds)
            for name in [f"{MODELS}/{model}/fold0-member{member}.safetensors"]
        }

    def warnings(self) -> list[str]:
        """Return what a reader of the numbers has to know of the images."""
        return list(self.sequences.remarks)

    def conclusions(self, metrics: FramesMetrics) -> list[str]:
        """Return what each model gains over others, a sentence for each pair."""
        from hepda.generators.frames.tables import conclusions

        return conclusions(metrics)

    def tables(self, metrics: FramesMetrics) -> dict[str, list[PageTable]]:
        """Return the tables of the quality, of differences, of the sequences, and of the trainings."""
        from hepda.generators.frames.tables import tables
        from hepda.report.training import training_table

        return tables(metrics) | {"training": [training_table(metrics)]}

    def terminal(self, metrics: FramesMetrics) -> NumberTable:
        """Return the quality of every model."""
        from hepda.generators.frames.tables import quality_table

        return number_table(metrics.name, quality_table(metrics))

    def comparison(self, runs: Sequence[FinishedRun[FramesMetrics]], merged: FramesMetrics) -> RunComparison:
        """Return quality and trainings, and a panel for each metric."""
        from hepda.generators.frames.tables import NAMES, quality_table
        from hepda.plotting.comparison import ComparisonPanel, Measurement
        from hepda.report.training import training_table

        panels = []
        for metric in merged.metrics:
            values: dict[tuple[str, str], Measurement] = {}
            for run in runs:
                for model, entry in run.metrics.models.items():
                    if metric in entry.quality:
                        number = quantity_of(entry.quality[metric])
                        if number.value is not None:
                            values[model, run.name] = Measurement(number.value, number.low, number.high)
            panels.append(ComparisonPanel(NAMES[metric], values))
        return RunComparison({"summary": [quality_table(merged)], "training": [training_table(merged)]}, [panels])
