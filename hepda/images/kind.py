"""Images as a kind of data: what is loaded and trained, and the classes that test images are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hepda.config.images import ImagesConfig
from hepda.errors import ConfigError
from hepda.kinds import Kind, RunContext
from hepda.runtime import run_directory
from hepda.runtime.processes import Send
from hepda.runtime.resources import Resources
from hepda.runtime.terminal import NumberTable, number_table

if TYPE_CHECKING:
    from hepda.images.results import ImageModelNumbers
    from hepda.images.steps import LoadedImages
    from hepda.images.training import ImageJob
    from hepda.number_format import Table
    from hepda.report.page import NotDrawn, ReportFigure
    from hepda.runtime.jobs import TrainingResult

Array = NDArray[Any]


class ImagesKind(Kind):
    """An analysis of images. Scores: [trainings, n_source + n_target, 2], class and probability of test images."""

    heavy = ("torch", "hepda.adversarial", "hepda.images.training", "hepda.images.figures")
    own_tables = True
    sections: ClassVar[Mapping[str, tuple[str, str]] | None] = {
        "samples": ("Images", "What was trained on what"),
        "inputs": ("Pictures", "What do the domains look like?"),
        "separation": ("Accuracy", "How well are the classes told apart?"),
        "domains": ("Domains", "What do encoders make of the two domains?"),
    }

    def __init__(self, config: ImagesConfig) -> None:
        self.config = config
        self._loaded: LoadedImages | None = None
        self._numbers: dict[str, ImageModelNumbers] = {}

    @property
    def loaded(self) -> LoadedImages:
        """The images, after `load`."""
        if self._loaded is None:
            raise RuntimeError("the images have not been loaded")
        return self._loaded

    def check(self, progress: Send, *, every_file: bool = False) -> tuple[list[str], list[str]]:
        """Return what would be read, a line a side; a data set that is not here is a problem."""
        from hepda.images import steps

        return steps.check(self.config)

    def load(self, progress: Send, resources: Resources | None = None) -> list[str]:
        """Read or draw the images; tells what a reader has to know of them."""
        from hepda.images import steps

        self._loaded = steps.load(self.config, progress)
        return self.warnings()

    def contents(self) -> Iterable[tuple[str, Array]]:
        """Pixels and labels of every part."""
        for name, images in self.loaded.parts.items():
            yield f"pixels of {name}", images.pixels
            yield f"labels of {name}", images.label

    def jobs(self, run: Path, work: Path, device: str) -> Sequence[ImageJob]:
        """Every model and seed."""
        from hepda.images.training import jobs_of, write_parts

        write_parts(self.loaded.parts, work / "table")
        return jobs_of(self.config, work / "table", run, work, device)

    def combine(self, results: Sequence[TrainingResult]) -> dict[str, Array]:
        """Return the trainings of each model one above the other."""
        return {
            model: np.stack([r.score for r in sorted(results, key=lambda r: r.member) if r.model == model])
            for model in self.config.models
        }

    def saved_scores(self, run: Path) -> dict[str, Array]:
        """As they stand in scores.parquet."""
        members = [f"{model}-{member}" for model in self.config.models for member in range(self.config.seeds)]
        kinds = {"label": "iu"} | dict.fromkeys(members, "iu") | {f"{name}-probability": "f" for name in members}
        saved, path = run_directory.read_scores(run, kinds), run / "scores.parquet"
        label = np.concatenate([images.label for images in self.loaded.tests.values()])
        if not np.array_equal(saved["label"].to_numpy(), label):
            raise ConfigError(
                f"the test images that {run / 'config.yaml'} reads are not those of {path}: files have changed. Train "
                "again."
            )
        found = {}
        for model in self.config.models:
            names = [f"{model}-{member}" for member in range(self.config.seeds)]
            columns = [[saved[name].to_numpy(), saved[f"{name}-probability"].to_numpy()] for name in names]
            found[model] = np.stack([np.stack(pair, axis=1) for pair in columns])
        return found

    def score_columns(self, scores: Mapping[str, Array]) -> dict[str, Any]:
        """Return a row a test image, source first."""
        from hepda.images import steps

        return steps.score_columns(self.config, self.loaded.tests, scores)

    def files(self) -> Any:
        """Return what was read or drawn, by part."""
        return {name: list(images.about) for name, images in self.loaded.parts.items()}

    def measure(self, scores: Mapping[str, Array], judging: RunContext) -> dict[str, Any]:
        """Accuracies of every model, and the protocol that they were found by."""
        from hepda.images import results as evaluation
        from hepda.images import steps

        self._numbers = evaluation.numbers_of(scores, self.loaded.tests)
        config = self.config
        return {
            "samples": steps.samples_metrics(config, self.loaded),
            "protocol": steps.protocol(config),
            "models": {m: steps.model_metrics(config, self._numbers, m, judging.training[m]) for m in config.models},
            "published": [one.model_dump() for one in config.evaluation.published],
        }

    def draw(self, scores: Mapping[str, Array], judging: RunContext, folder: Path) -> list[ReportFigure | NotDrawn]:
        """Every figure."""
        from hepda.images import figures
        from hepda.report.page import save_drawings

        found = self.loaded
        first = {side: images.take(np.arange(min(len(images), figures.SHOWN))) for side, images in found.trains.items()}
        figure_data = figures.ImageFigureData(
            self.config, judging.run, first, found.tests, self._numbers, judging.histories, judging.best_epochs
        )
        return save_drawings(figures.drawings, figure_data, folder, judging.processes, judging.progress)

    def warnings(self) -> list[str]:
        """Return what makes these numbers others than the published ones."""
        return self.loaded.remarks()

    def conclusions(self, metrics: Mapping[str, Any]) -> list[str]:
        """Return the best adapted model against source only and the ceiling."""
        found = {name: entry["accuracy"]["target"]["value"] for name, entry in metrics["models"].items()}
        adapted = {name: value for name, value in found.items() if self.config.models[name].domain is not None}
        said = [
            f"{metrics['models'][name]['title']}: {found[name]:.4f} on the target."
            for name, model in self.config.models.items()
            if model.domain is None
        ]
        if adapted:
            best = max(adapted, key=lambda name: adapted[name])
            said.append(f"Best adapted model: {metrics['models'][best]['title']}, {adapted[best]:.4f} on the target.")
        words = metrics["protocol"]
        return ["\n".join([*said, f"Weights of the {words['epoch']}; target labels {words['target_labels']}."])]

    def tables(self, metrics: Mapping[str, Any]) -> dict[str, list[Table]]:
        """Return accuracies beside published ones, and what the images are."""
        from hepda.images import steps
        from hepda.report.reading import training_table

        return {
            "summary": [steps.accuracy_table(metrics)],
            "samples": [steps.images_table(metrics)],
            "training": [training_table(metrics)],
        }

    def terminal(self, metrics: Mapping[str, Any]) -> NumberTable:
        """Return the accuracies."""
        return number_table(metrics, self.headline_table(metrics))

    def headline_table(self, metrics: Mapping[str, Any]) -> Table:
        """Accuracies with their intervals."""
        from hepda.images import steps

        return steps.accuracy_table(metrics)

    def headline_metrics(self, metrics: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Accuracy on each side."""
        models, sides = metrics["models"].items(), ("source", "target")
        return {f"Accuracy, {side}": {m: entry["accuracy"][side] for m, entry in models} for side in sides}
