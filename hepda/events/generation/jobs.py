"""The trainings of flows as jobs: a model and a fold each, on the events of the other folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import torch

from hepda.adversarial.tensor_files import read_tensors, write_tensors
from hepda.config.event_generator.analysis import EventGeneratorConfig
from hepda.config.event_generator.models import FlowConfig
from hepda.events.generation.events import GeneratorEvents
from hepda.events.generation.flows import EventFlow, LabelledEvents
from hepda.events.generation.objects import EventObjects
from hepda.runtime.jobs import TrainingJob, TrainingOutput


def write_events(folder: Path, events: GeneratorEvents) -> None:
    """Write what the flow of each fold learns from."""
    for fold in range(events.folds):
        learned = events.learned_from(fold)
        parts = {part.name: torch.tensor(getattr(learned.objects, part.name)) for part in fields(EventObjects)}
        others = {"label": torch.tensor(learned.label), "weight": torch.tensor(learned.weight)}
        write_tensors(folder / f"fold{fold}.safetensors", parts | others, {})


def read_events(folder: Path, fold: int) -> LabelledEvents:
    """Read what `write_events` wrote."""
    tensors, _ = read_tensors(folder / f"fold{fold}.safetensors")
    objects = EventObjects(**{part.name: tensors[part.name].numpy() for part in fields(EventObjects)})
    return LabelledEvents(objects, tensors["label"].numpy(), tensors["weight"].numpy())


@dataclass(frozen=True, slots=True)
class FlowJob(TrainingJob):
    """The training of a flow on the events that are not in `fold`; it has no scores."""

    config: EventGeneratorConfig = field(kw_only=True)

    @property
    def shared(self) -> bool:
        """A game runs in one process."""
        return False

    def train(self, progress: Callable[[int, int], None]) -> TrainingOutput:
        """Train and save."""
        section, objects = self.config.models[self.model], self.config.objects
        if not isinstance(section, FlowConfig):
            raise TypeError(f"{self.model} is not trained")
        flow, history = EventFlow.fit(
            section, read_events(self.table, self.fold), objects.jets.tag_bins, self.config.classes, self.seed,
            checkpoint=self.work / f"{self.name}.checkpoint", resume=True,
            on_epoch=lambda h: progress(h.epochs, section.training.epochs),
        )  # fmt: skip
        flow.save(self.folder / f"{self.stem}.safetensors")
        return np.zeros(0, np.float32), history.about(), history.to_dict()["columns"]


def jobs_of(config: EventGeneratorConfig, table: Path, run: Path, work: Path, device: str) -> list[FlowJob]:
    """Return all trainings; a model with the network of another has none."""
    return [
        FlowJob(config.seed_for(model), model, fold, 0, table, run, work, device, "plain", config=config)
        for model, section in config.models.items()
        if isinstance(section, FlowConfig) and section.of is None
        for fold in range(config.analysis.split.folds)
    ]
