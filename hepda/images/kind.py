"""Images as a kind of data: what is loaded and trained, and the classes that test images are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hepda.config.images import ImagesConfig
from hepda.errors import ConfigError
from hepda.kinds import FinishedRun, KindOf, RunComparison, RunContext, loaded
from hepda.results.images import ImageMetrics, ImageModel
from hepda.results.metrics import head
from hepda.runtime import run_directory
from hepda.runtime.pool import Send
from hepda.runtime.resources import Resources
from hepda.runtime.terminal import NumberTable, number_table

if TYPE_CHECKING:
    from hepda.images.few_shot import FewShots
    from hepda.images.results import ImageModelNumbers
    from hepda.images.steps import LoadedImages
    from hepda.images.training import ImageJob
    from hepda.number_format import Table
    from hepda.report.drawing import FigureTexts
    from hepda.runtime.jobs import TrainingResult

Array = NDArray[Any]


class ImagesKind(KindOf[ImageMetrics]):
    """An analysis of images. Scores: [trainings, n_source + n_target, 2], class and probability of test images."""

    metrics_type = ImageMetrics
    heavy = ("torch", "torch._dynamo", "hepda.adversarial", "hepda.images.training", "hepda.images.figures")
    sections: ClassVar[Mapping[str, tuple[str, str]]] = {
        "samples": ("Images", "Models and images"),
        "inputs": ("Examples", "Images of the domains"),
        "separation": ("Accuracy", "How well are the classes separated?"),
        "domains": ("Domains", "Embedding of the two domains"),
    }

    def __init__(self, config: ImagesConfig) -> None:
        self.config = config
        self._loaded: LoadedImages | None = None
        self._numbers: dict[str, ImageModelNumbers] = {}
        self._few_shots: dict[str, FewShots] = {}

    @property
    def loaded(self) -> LoadedImages:
        """The images, after `load`."""
        return loaded(self._loaded, "the images have not been loaded")

    def check(self, progress: Send, *, every_file: bool = False) -> tuple[list[str], list[str]]:
        """Return a line for each side with what would be read; a data set that is missing is a problem."""
        from hepda.images import steps

        return steps.check(self.config)

    def load(self, progress: Send, resources: Resources | None = None) -> list[str]:
        """Read or draw the images, and return the warnings about them."""
        from hepda.images import steps

        self._loaded = steps.load(self.config, progress)
        return self.warnings()

    def contents(self) -> Iterable[tuple[str, Array]]:
        """Yield the pixels and the labels of every part."""
        for name, images in self.loaded.parts.items():
            yield f"pixels of {name}", images.pixels
            yield f"labels of {name}", images.label
        for side, images in self.loaded.new.items():
            yield f"pixels of new classes of {side}", images.pixels
            yield f"labels of new classes of {side}", images.label

    def jobs(self, run: Path, work: Path, device: str) -> Sequence[ImageJob]:
        """Return the trainings of every model and seed."""
        from hepda.images.training import jobs_of, write_parts

        write_parts(self.loaded.parts, work / "table")
        return jobs_of(self.config, work / "table", run, work, device)

    def combine(self, results: Sequence[TrainingResult], run: Path) -> dict[str, Array]:
        """Return the scores of each model, stacked over its trainings; those of a fusion are of each seed by itself."""
        from hepda.baselines.fusion import mean_of
        from hepda.images.training import most_probable

        probability = {
            model: np.stack([r.score for r in sorted(results, key=lambda r: r.member) if r.model == model])
            for model in self.config.networks
        }
        for model, section in self.config.fusions.items():
            fusion = mean_of(section.of, next(iter(probability.values())).shape[2])
            members = zip(*(probability[name] for name in section.of), strict=True)
            probability[model] = np.stack([fusion(parts) for parts in members])
        return {model: most_probable(probability[model]) for model in self.config.models}

    def saved_scores(self, run: Path) -> dict[str, Array]:
        """Read the scores of scores.parquet, in the form of `combine`."""
        members = [f"{model}-{member}" for model in self.config.models for member in range(self.config.seeds)]
        kinds = {"label": "iu"} | dict.fromkeys(members, "iu") | {f"{name}-probability": "f" for name in members}
        saved, path = run_directory.read_scores(run, kinds), run / "scores.parquet"
        label = np.concatenate([images.label for images in self.loaded.tests.values()])
        if not np.array_equal(saved["label"].to_numpy(), label):
            raise ConfigError(
                f"the test images that {run / 'config.yaml'} reads are not those of {path}: files have changed. Train "
                "again."
            )
        scores = {}
        for model in self.config.models:
            names = [f"{model}-{member}" for member in range(self.config.seeds)]
            columns = [[saved[name].to_numpy(), saved[f"{name}-probability"].to_numpy()] for name in names]
            scores[model] = np.stack([np.stack(pair, axis=1) for pair in columns])
        return scores

    def score_columns(self, scores: Mapping[str, Array]) -> dict[str, Any]:
        """Return the columns of scores.parquet: a row for each test image, source first."""
        from hepda.images import steps

        return steps.score_columns(self.config, self.loaded.tests, scores)

    def files(self) -> Any:
        """Return what was read or drawn, by part."""
        return {name: list(images.about) for name, images in self.loaded.parts.items()}

    def measure(self, scores: Mapping[str, Array], context: RunContext) -> ImageMetrics:
        """Return the accuracies of every model, and how they were obtained."""
        from hepda.images import few_shot, steps
        from hepda.images import results as evaluation

        self._numbers = evaluation.numbers_of(scores, self.loaded.tests)
        config, numbers = self.config, self._numbers
        self._few_shots = few_shot.measured(config, context.run, self.loaded.new)
        content = {
            **head(config),
            "samples": steps.samples_metrics(config, self.loaded),
            "protocol": steps.protocol(config),
            "models": {
                model: steps.model_metrics(config, numbers, model, context.training[model], self._few_shots.get(model))
                for model in config.models
            },
            "published": [number.model_dump() for number in config.evaluation.published],
        }
        return ImageMetrics.from_json(run_directory.plain(content))

    def figures(self, scores: Mapping[str, Array], context: RunContext) -> FigureTexts:
        """Return the data of every figure."""
        from hepda.images import figures
        from hepda.report.drawing import texts_of

        loaded = self.loaded
        first = {
            side: images.take(np.arange(min(len(images), figures.SHOWN))) for side, images in loaded.trains.items()
        }
        figure_data = figures.ImageFigureData(
            self.config, context.run, first, loaded.tests, self._numbers, context.histories, context.best_epochs,
            self._few_shots,
        )  # fmt: skip
        return texts_of(figures.drawings(figure_data))

    def warnings(self) -> list[str]:
        """Return the reasons why these numbers cannot be compared with published ones."""
        return self.loaded.remarks()

    def conclusions(self, metrics: ImageMetrics) -> list[str]:
        """Return the best adapted model against source only and the ceiling, and what few labelled images give."""
        from hepda.images import few_shot

        models = metrics.models
        accuracy = {name: model.accuracy["target"].value or 0.0 for name, model in models.items()}
        adapted = [name for name in models if self.config.adapts(name)]
        sentences = [
            f"{models[name].title}: {accuracy[name]:.4f} on the target."
            for name in self.config.models
            if not self.config.adapts(name)
        ]
        if adapted:
            sentences.append(_best_sentence({name: models[name] for name in adapted}))
        if metrics.protocol is not None:
            protocol = metrics.protocol
            sentences.append(f"Weights of the {protocol.epoch}; target labels {protocol.target_labels}.")
        sentences += few_shot.sentences(models)
        return ["\n".join(sentences)]

    def tables(self, metrics: ImageMetrics) -> dict[str, list[Table]]:
        """Return accuracies beside published ones, and what the images are."""
        from hepda.images import tables
        from hepda.report.training import training_table

        return {
            "summary": [tables.accuracy_table(metrics)],
            "separation": tables.few_shot_tables(metrics),
            "samples": [tables.images_table(metrics)],
            "training": [training_table(metrics)],
        }

    def terminal(self, metrics: ImageMetrics) -> NumberTable:
        """Return the accuracies."""
        from hepda.images import tables

        return number_table(metrics.name, tables.accuracy_table(metrics))

    def comparison(self, runs: Sequence[FinishedRun[ImageMetrics]], merged: ImageMetrics) -> RunComparison:
        """Return accuracies and trainings, and a panel of the accuracy on each side."""
        from hepda.images import tables
        from hepda.images.training import SIDES
        from hepda.plotting.comparison import ComparisonPanel, Measurement
        from hepda.report.training import training_table

        panels = []
        for side in SIDES:
            entries = {(name, run.name): m.accuracy[side] for run in runs for name, m in run.metrics.models.items()}
            values = {place: Measurement(e.value, e.low, e.high) for place, e in entries.items() if e.value is not None}
            panels.append(ComparisonPanel(f"Accuracy, {side}", values))
        shown = {"summary": [tables.accuracy_table(merged)], "training": [training_table(merged)]}
        return RunComparison(shown, [panels])


def _best_sentence(adapted: Mapping[str, ImageModel]) -> str:
    """Return which adapted model is the best on the target, and its accuracy without the luck of being the best."""
    from hepda.evaluation.best_of import best_of
    from hepda.number_format import Quantity

    accuracy = {name: model.accuracy["target"] for name, model in adapted.items()}
    name = max(adapted, key=lambda model: accuracy[model].value or 0.0)
    sentence = f"Best adapted model: {adapted[name].title}, {accuracy[name].value or 0.0:.4f} on the target"
    trainings = [[float(value) for value in entry.seeds] for entry in accuracy.values()]
    numbers = {len(values) for values in trainings}
    if len(trainings) < 2 or len(numbers) > 1 or min(numbers) < 2:
        return f"{sentence}."
    best = best_of(trainings)
    corrected = Quantity(best.value, best.low, best.high).cell(digits=4).text
    return f"{sentence}; {corrected} without the luck of being the best of {best.points}."
