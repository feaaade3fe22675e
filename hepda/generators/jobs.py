"""The trainings as jobs: the network that recognises, and each model, which generates and saves its rows at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hepda.adversarial import devices
from hepda.config import GeneratorConfig
from hepda.config.generators.analysis import JUDGE
from hepda.errors import replacing
from hepda.evaluation.differences.neighbours import nearest
from hepda.generators import judge
from hepda.generators.images import about, examples_in
from hepda.generators.model import Fitting, model_class
from hepda.images.training import classes_in, read_part
from hepda.runtime import jobs
from hepda.runtime.jobs import TrainingOutput
from hepda.runtime.run_directory import MODELS
from hepda.scores import planned

Pixels = NDArray[np.uint8]
FOUND = ("condition", "nearest", "distance")
"""Columns of the score of a training: the class that was asked for, -1 for none; the number of the nearest training
image, and the Euclidean distance to it, of pixels from 0 to 1."""
UNIT = 255.0
"""Pixel value that is 1 in distances."""


@dataclass(frozen=True, slots=True)
class GeneratorJob(jobs.TrainingJob):
    """The training of a generative model; `table` has the images."""

    config: GeneratorConfig = field(kw_only=True)

    @property
    def shared(self) -> bool:
        """A game runs in one process."""
        return False

    def train(self, progress: Callable[[int, int], None]) -> TrainingOutput:
        """Train and save the model, generate the images of the evaluation, and look for them in the training images."""
        section, (examples, scale) = self.config.models[self.model], examples_in(self.table)
        epochs = getattr(section, "training", self.config.training).epochs
        fitting = Fitting(
            self.seed, devices.find(self.device), self.work / f"{self.name}.checkpoint",
            on_epoch=lambda history: progress(history.epochs, epochs),
        )  # fmt: skip
        model, history = model_class(section.kind).fit(section, examples, fitting)
        model.save(self.folder / f"{self.stem}.safetensors", about(scale, classes_in(self.table)))
        test = read_part(self.table, "test")
        condition = torch.from_numpy(test.label) if model.conditional else None
        images = scale.pixels(model.sample(len(test.label), condition, self.seed))
        write_images(self.folder / f"{self.stem}.npz", images)
        index, distance = nearest(images / UNIT, read_part(self.table, "train").pixels / UNIT)
        asked = np.full(len(images), -1) if condition is None else condition.numpy()
        facts = {
            **history.about(), "seed": self.seed, "parameters": sum(value.numel() for value in model.parameters()),
        }  # fmt: skip
        return np.column_stack([asked, index, distance]).astype(np.float32), facts, history.to_dict()["columns"]


@dataclass(frozen=True, slots=True)
class JudgeJob(jobs.TrainingJob):
    """The training of the network that recognises."""

    config: GeneratorConfig = field(kw_only=True)

    def train(self, progress: Callable[[int, int], None]) -> TrainingOutput:
        """Train and save the network; its score is what it says of the test images, [n, classes]."""
        epochs = self.config.judge.epochs
        network, history = judge.trained(
            self.config, read_part(self.table, "judge"), len(classes_in(self.table)), self.seed, self.device,
            checkpoint=self.work / f"{self.name}.checkpoint", on_epoch=lambda h: progress(h.epochs, epochs),
        )  # fmt: skip
        self.folder.mkdir(parents=True, exist_ok=True)
        network.save(self.folder / f"{self.stem}.safetensors")
        score = network.predict(read_part(self.table, "test").pixels, head="class")
        return score, history.about() | {"seed": self.seed}, history.to_dict()["columns"]


def jobs_of(config: GeneratorConfig, table: Path, run: Path, work: Path, device: str) -> list[GeneratorJob | JudgeJob]:
    """Return all trainings, seed by seed, after that of the network that recognises."""
    first = JudgeJob(config.seed, JUDGE, 0, 0, table, run, work, device, "plain", config=config)
    models = [
        GeneratorJob(config.seed_for(model), model, 0, member, table, run, work, device, "plain", config=config)
        for model, member in planned(config.models, config.models, config.seeds)
    ]
    return [first, *models]


def write_images(path: Path, images: Pixels) -> None:
    """Write images [n, channels, size, size], completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, ".npz") as temporary:
        np.savez_compressed(temporary, pixels=images)


def read_images(run: Path, model: str, member: int) -> Pixels:
    """Return the images that a training of a run generated."""
    with np.load(run / MODELS / model / f"fold0-member{member}.npz", allow_pickle=False) as file:
        images: Pixels = file["pixels"]
    return images
