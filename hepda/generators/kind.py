"""Generative models as a kind of data: what is loaded and trained, and how what they generate is judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hepda import scores as scores_of
from hepda.config import GeneratorConfig
from hepda.config.generators.analysis import JUDGE
from hepda.errors import DataError, SourceError
from hepda.kinds import FinishedRun, KindOf, PlannedModel, PlannedRun, RunComparison, RunContext, loaded
from hepda.results.entries.generators import GeneratorMetrics
from hepda.results.metrics import head
from hepda.results.record import quantity_of
from hepda.runtime import run_directory
from hepda.runtime.pool import Send
from hepda.runtime.resources import Resources
from hepda.runtime.terminal import NumberTable, number_table

if TYPE_CHECKING:
    from hepda.generators.images import GeneratorImages
    from hepda.generators.numbers import RealSamples, Sample
    from hepda.number_format import Table as PageTable
    from hepda.report.drawing import FigureTexts
    from hepda.runtime.jobs import TrainingJob, TrainingResult

Array = NDArray[Any]


class GeneratorKind(KindOf[GeneratorMetrics]):
    """An analysis of generative models. A score is [trainings, images, numbers.COLUMNS]: a row is a generated image."""

    metrics_type = GeneratorMetrics
    heavy = (
        "torch", "torch._dynamo", "hepda.adversarial", "hepda.generators.jobs", "hepda.generators.gan",
        "hepda.generators.figures",
    )  # fmt: skip
    sections: ClassVar[Mapping[str, tuple[str, str]]] = {
        "summary": ("Quality", "Quality of the generated images"),
        "samples": ("Images", "Models and images"),
        "inputs": ("Generated", "What is generated?"),
        "separation": ("Copies", "Are images copied from the training?"),
    }

    def __init__(self, config: GeneratorConfig) -> None:
        self.config = config
        self._images: GeneratorImages | None = None
        self._real: RealSamples | None = None

    @property
    def images(self) -> GeneratorImages:
        """The images, after `load`."""
        return loaded(self._images, "the images have not been loaded")

    def check(self, progress: Send, *, every_file: bool = False) -> tuple[list[str], list[str]]:
        """Read the images; return a line about them, or the problem if they are missing."""
        try:
            self.load(progress)
        except (SourceError, DataError) as error:
            return [], [str(error)]
        images = self.images
        line = (
            f"{self.config.source.title}: {len(images.train)} images of {len(images.train.classes)} classes to learn, "
            f"{len(images.judge)} for the network that recognises, {len(images.test)} to compare with"
        )
        return [line], []

    def planned(self) -> PlannedRun:
        """Return the source, and the trainings of each model."""
        from hepda.images import sets

        trainings = {name: getattr(model, "training", None) for name, model in self.config.models.items()}
        models = [
            PlannedModel(name, model.kind, self.config.seeds, epochs=getattr(trainings[name], "epochs", None))
            for name, model in self.config.models.items()
        ]
        return PlannedRun([sets.check(self.config.source)], models)

    def load(self, progress: Send, resources: Resources | None = None) -> list[str]:
        """Read all images, and return the warnings about them."""
        from hepda.generators import images

        self._images, self._real = images.load(self.config), None
        return self.warnings()

    def contents(self) -> Iterable[tuple[str, Array]]:
        """Yield pixels and labels of every part."""
        for name, images in self.images.parts.items():
            yield f"pixels to {name}", images.pixels
            yield f"labels to {name}", images.label

    def jobs(self, run: Path, work: Path, device: str) -> Sequence[TrainingJob]:
        """Return the trainings of the network that recognises, and of every model and seed."""
        from hepda.generators import images
        from hepda.generators.jobs import jobs_of

        images.write(self.images, work / "table")
        return jobs_of(self.config, work / "table", run, work, device)

    def combine(self, results: Sequence[TrainingResult], run: Path) -> dict[str, Array]:
        """Return the scores of each model: what its trainings found, and what the network says of their images."""
        found = scores_of.stacked([result for result in results if result.model != JUDGE], self.config.models)
        scores = {}
        for model, score in found.items():
            samples = [self._generated(run, model, member) for member in range(len(score))]
            verdicts = [
                np.column_stack([sample.verdicts.recognised, sample.verdicts.probability]) for sample in samples
            ]
            scores[model] = np.concatenate([score, np.stack(verdicts)], axis=2).astype(np.float32)
        return scores

    def _generated(self, run: Path, model: str, member: int) -> Sample:
        """Return the images of a training with what the network says of them."""
        from hepda.generators import judge
        from hepda.generators.jobs import read_images
        from hepda.generators.numbers import Sample

        pixels = read_images(run, model, member)
        network = judge.read(self.config, run, len(self.images.train.classes))
        return Sample(pixels, judge.verdicts(network, pixels))

    def real(self, run: Path) -> RealSamples:
        """Return the real images with what the network of a run says of them."""
        if self._real is None:
            from hepda.evaluation.differences.neighbours import nearest
            from hepda.generators import judge
            from hepda.generators.jobs import UNIT
            from hepda.generators.numbers import RealSamples, Sample

            images = self.images
            network = judge.read(self.config, run, len(images.train.classes))
            test, known = (
                Sample(part.pixels, judge.verdicts(network, part.pixels)) for part in (images.test, images.known)
            )
            distance = nearest(images.test.pixels / UNIT, images.train.pixels / UNIT)[1]
            self._real = RealSamples(test, images.test.label, known, distance)
        return self._real

    def score_columns(self, scores: Mapping[str, Array]) -> dict[str, Any]:
        """Return the columns of scores.parquet: a row for each generated image, and the class of the test image that
        it is compared with.
        """
        from hepda.generators.numbers import COLUMNS

        return {"label": self.images.test.label} | scores_of.columns_of(scores, COLUMNS)

    def saved_scores(self, run: Path) -> dict[str, Array]:
        """Return the scores of scores.parquet. Raises ConfigError if they are not those of the images read now."""
        from hepda.generators.numbers import COLUMNS

        members = dict.fromkeys(self.config.models, self.config.seeds)
        return scores_of.read(run, members, COLUMNS, ("label", self.images.test.label))

    def files(self) -> Any:
        """Return what was read."""
        return {name: list(images.about) for name, images in self.images.parts.items() if name in ("train", "test")}

    def measure(self, scores: Mapping[str, Array], context: RunContext) -> GeneratorMetrics:
        """Return the numbers of every model beside those of real images."""
        from hepda.generators.numbers import model_numbers, real_numbers, seed_numbers

        config, images, real = self.config, self.images, self.real(context.run)
        reference = real_numbers(real, config.seed)
        seeds = {
            model: [
                seed_numbers(real, self._generated(context.run, model, member), values, config.seed)
                for member, values in enumerate(score)
            ]
            for model, score in scores.items()
        }
        baseline = config.baseline
        distance = None if baseline is None else float(np.mean([one.frechet for one in seeds[baseline]]))
        content = {
            **head(config),
            "samples": {
                "data": config.source.title, "classes": len(images.train.classes), "size": config.pixels.size,
                "channels": config.pixels.channels, "train": len(images.train), "judge": len(images.judge),
                "test": len(images.test),
            },
            "baseline": baseline,
            "real": reference,
            "models": {
                model: {
                    "title": section.title or model, "kind": section.kind, "conditional": section.conditional,
                    **model_numbers(seeds[model], reference["frechet"], distance), "training": context.training[model],
                }
                for model, section in config.models.items()
            },
        }  # fmt: skip
        return GeneratorMetrics.from_json(run_directory.plain(content))

    def figures(self, scores: Mapping[str, Array], context: RunContext) -> FigureTexts:
        """Return the data of every figure."""
        from hepda.generators.figures import GeneratorFigureData, drawings
        from hepda.report.drawing import texts_of

        return texts_of(drawings(GeneratorFigureData(self.config, self.images, scores, context.histories, context.run)))

    def check_models(self, run: Path) -> dict[str, str]:
        """Compare kind, description and tensors of every model with the analysis file."""
        from hepda.generators.inspection.checking import check_models

        return check_models(self.config, run)

    def warnings(self) -> list[str]:
        """Return what a reader of the numbers has to know of the images."""
        return list(dict.fromkeys(text for images in self.images.parts.values() for text in images.remarks))

    def next_step(self, run: Path) -> str:
        """Return how more images are generated."""
        return f"more images: hepda sample {run} -n 100 --output images"

    def conclusions(self, metrics: GeneratorMetrics) -> list[str]:
        """Return what can be said of each model, a sentence each."""
        from hepda.generators.tables import conclusions

        return conclusions(metrics)

    def tables(self, metrics: GeneratorMetrics) -> dict[str, list[PageTable]]:
        """Return the tables of the quality, of the images, and of the trainings."""
        from hepda.generators.tables import tables
        from hepda.report.training import training_table

        return tables(metrics) | {"training": [training_table(metrics)]}

    def terminal(self, metrics: GeneratorMetrics) -> NumberTable:
        """Return the quality of every model."""
        from hepda.generators.tables import quality_table

        return number_table(metrics.name, quality_table(metrics))

    def comparison(self, runs: Sequence[FinishedRun[GeneratorMetrics]], merged: GeneratorMetrics) -> RunComparison:
        """Return quality and trainings, and a panel for each of some measures."""
        from hepda.generators.tables import COMPARED, quality_table
        from hepda.plotting.comparison import ComparisonPanel, Measurement
        from hepda.report.training import training_table

        panels = []
        for name, title in COMPARED.items():
            values: dict[tuple[str, str], Measurement] = {}
            for run in runs:
                for model, entry in run.metrics.models.items():
                    number = quantity_of(getattr(entry, name))
                    if number.value is not None:
                        values[model, run.name] = Measurement(number.value, number.low, number.high)
            panels.append(ComparisonPanel(title, values))
        return RunComparison({"summary": [quality_table(merged)], "training": [training_table(merged)]}, [panels])
