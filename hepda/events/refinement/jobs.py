"""The trainings of a refinement as jobs: a model and a fold each, on the events of the other folds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hepda.adversarial.tensor_files import read_tensors, write_tensors
from hepda.adversarial.training.problem import train
from hepda.config.refinement.analysis import RefinementConfig
from hepda.config.refinement.methods import QuantilesConfig, ResidualConfig
from hepda.events.refinement.quantiles import ObjectMaps, morphed_features
from hepda.events.refinement.refiners import visibility_of
from hepda.events.refinement.response import JetTensors
from hepda.events.refinement.training import ResponseTraining, Side
from hepda.runtime.jobs import TrainingJob, TrainingOutput

_SIDES = ("source", "target")


@dataclass(frozen=True, slots=True, eq=False)
class LearningEvents:
    """What refiners learn from, on one side.

    side: objects and weights of all events before the selection; fold: of these [n]; features: of the selected events
    [m, k]; weight, selected_fold: of these [m].
    """

    side: Side
    fold: NDArray[np.int8]
    features: NDArray[np.float32]
    weight: NDArray[np.float64]
    selected_fold: NDArray[np.int8]

    def without(self, fold: int) -> tuple[Side, NDArray[np.float32], NDArray[np.float64]]:
        """Return objects, and features and weights of selected events, of all folds but one."""
        rows, selected = torch.tensor(np.flatnonzero(self.fold != fold)), self.selected_fold != fold
        side = Side(self.side.jets.rows(rows), self.side.weight[rows])
        return side, self.features[selected], self.weight[selected]


def write_events(folder: Path, sides: Sequence[LearningEvents]) -> None:
    """Write what is learned from: source and target."""
    for name, events in zip(_SIDES, sides, strict=True):
        jets = {part.name: getattr(events.side.jets, part.name).contiguous() for part in fields(JetTensors)}
        others = {key: torch.tensor(getattr(events, key)) for key in ("fold", "features", "weight", "selected_fold")}
        write_tensors(folder / f"{name}.safetensors", {**jets, **others, "of_all": events.side.weight}, {})


def read_events(folder: Path) -> tuple[LearningEvents, LearningEvents]:
    """Read what `write_events` wrote."""
    source, target = (_read(folder / f"{name}.safetensors") for name in _SIDES)
    return source, target


def _read(path: Path) -> LearningEvents:
    tensors, _ = read_tensors(path)
    jets = JetTensors(*(tensors[part.name] for part in fields(JetTensors)))
    others = {key: tensors[key].numpy() for key in ("fold", "features", "weight", "selected_fold")}
    return LearningEvents(Side(jets, tensors["of_all"]), **others)


@dataclass(frozen=True, slots=True)
class RefinementJob(TrainingJob):
    """The fit of a refiner to the events that are not in `fold`; it has no scores."""

    config: RefinementConfig = field(kw_only=True)

    @property
    def shared(self) -> bool:
        """A game runs in one process."""
        return False

    def train(self, progress: Callable[[int, int], None]) -> TrainingOutput:
        """Fit and save."""
        section, parts = self.config.models[self.model], [side.without(self.fold) for side in read_events(self.table)]
        path = self.folder / f"{self.stem}.safetensors"
        if isinstance(section, ResidualConfig):
            return self._response(section, parts[0][0], parts[1][0], path, progress)
        if not isinstance(section, QuantilesConfig):
            raise TypeError(f"{self.model} is not fitted")
        begin = time.perf_counter()
        if section.of == "objects":
            (source, *_), (target, *_) = parts
            weights = tuple(side.weight.double().numpy() for side in (source, target))
            visibility = visibility_of(self.config.objects)
            ObjectMaps.fitted(source.jets, target.jets, (weights[0], weights[1]), visibility, section.points).save(path)
        else:
            (_, source_features, source_weight), (_, target_features, target_weight) = parts
            maps = morphed_features(source_features, target_features, (source_weight, target_weight), section.points)
            ObjectMaps({f"{number}": of for number, of in enumerate(maps)}).save(path)
        seconds = time.perf_counter() - begin
        rows = sum(len(features) for _, features, _ in parts)
        about = {"seconds": seconds, "rows_per_second": rows / max(seconds, 1e-9), "epochs": 0, "alarms": []}
        return np.zeros(0, np.float32), about, {}

    def _response(
        self, section: ResidualConfig, source: Side, target: Side, path: Path, progress: Callable[[int, int], None]
    ) -> TrainingOutput:
        training = ResponseTraining(section, source, target, visibility_of(self.config.objects), self.seed)
        settings = section.training
        history = train(
            training.game(),
            self.work / f"{self.name}.checkpoint",
            resume=True,
            on_epoch=lambda h: progress(h.epochs, settings.epochs),
        )
        history.rows = settings.epochs * settings.turns * settings.batch_size
        training.response.save(path)
        return np.zeros(0, np.float32), history.about(), history.to_dict()["columns"]


def jobs_of(config: RefinementConfig, table: Path, run: Path, work: Path, device: str) -> list[RefinementJob]:
    """Return all fits; a model that is not fitted has none."""
    return [
        RefinementJob(config.seed_for(model), model, fold, 0, table, run, work, device, "plain", config=config)
        for model, section in config.models.items()
        if isinstance(section, ResidualConfig | QuantilesConfig)
        for fold in range(config.analysis.split.folds)
    ]
