"""The trainings of frame prediction as jobs, and what each of them predicts for the sequences to test on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hepda.adversarial import devices
from hepda.adversarial.devices import reproducible
from hepda.adversarial.training.problem import train
from hepda.config import FramePredictionConfig
from hepda.config.generators.frames import LastFrameConfig
from hepda.evaluation.differences.frames import METRICS
from hepda.generators.frames import sequences
from hepda.generators.frames.networks import FramePredictor
from hepda.generators.frames.sequences import UNIT, Frames
from hepda.generators.frames.training import frames_training
from hepda.generators.jobs import write_images
from hepda.runtime import jobs
from hepda.runtime.jobs import TrainingOutput
from hepda.scores import planned

_BATCH = 200  # frames that are predicted at once


@dataclass(frozen=True, slots=True)
class FramesJob(jobs.TrainingJob):
    """The training of a network, or what nothing is trained for; `table` has the sequences."""

    config: FramePredictionConfig = field(kw_only=True)

    @property
    def shared(self) -> bool:
        """A game runs in one process."""
        return False

    def train(self, progress: Callable[[int, int], None]) -> TrainingOutput:
        """Train and save the network, save its predictions for the sequences to test on, and measure these."""
        section, test = self.config.models[self.model], sequences.read(self.table, "test")
        if isinstance(section, LastFrameConfig):
            begin = time.perf_counter()
            score = self._measured(test[:, -2], test)
            seconds = time.perf_counter() - begin
            about = {"seconds": seconds, "rows_per_second": len(test) / seconds, "epochs": 0, "alarms": []}
            return score, about, {}
        epochs, device = section.training.epochs, devices.find(self.device)
        training = frames_training(section, sequences.read(self.table, "train"), self.seed, device)
        game = training.game(self.seed)
        with reproducible(device):
            history = train(
                game, self.work / f"{self.name}.checkpoint", resume=True, on_epoch=lambda h: progress(h.epochs, epochs)
            )
        history.rows = epochs * game.turns * section.training.batch_size
        training.network.save(self.folder / f"{self.stem}.safetensors")
        parameters = sum(value.numel() for value in training.network.parameters())
        about = {**history.about(), "seed": self.seed, "parameters": parameters}
        return self._measured(predicted(training.network, test), test), about, history.to_dict()["columns"]

    def _measured(self, frames: Frames, test: Frames) -> NDArray[np.float32]:
        """Save predicted frames, and return their metrics [sequences, metrics]."""
        write_images(self.folder / f"{self.stem}.npz", np.ascontiguousarray(frames[:, None]))
        return qualities(frames, test[:, -1], self.config.evaluation.metrics)


def qualities(frames: Frames, true: Frames, metrics: tuple[str, ...]) -> NDArray[np.float32]:
    """Return the metrics of predicted frames [n, metrics]; NaN where one has no finite value.

    Args:
        frames: bytes [n, rows, columns].
        true: the same.
        metrics: names of METRICS.

    """
    values = np.stack([METRICS[name](frames / UNIT, true / UNIT) for name in metrics], axis=1)
    return np.where(np.isfinite(values), values, np.nan).astype(np.float32)


@torch.no_grad()
def predicted(network: FramePredictor, test: Frames) -> Frames:
    """Return the predictions [n, rows, columns] for sequences [n, inputs + 1, rows, columns], in bytes."""
    device = next(network.parameters()).device
    network.eval()
    parts = []
    for first in range(0, len(test), _BATCH):
        before = torch.from_numpy(np.ascontiguousarray(test[first : first + _BATCH, :-1])).to(device).float() / UNIT
        parts.append((network(before)[:, 0].clamp(0.0, 1.0) * UNIT).round().to(torch.uint8).cpu().numpy())
    return np.concatenate(parts)


def jobs_of(config: FramePredictionConfig, table: Path, run: Path, work: Path, device: str) -> list[FramesJob]:
    """Return all trainings, seed by seed; what is not trained is done once."""
    return [
        FramesJob(config.seed_for(model), model, 0, member, table, run, work, device, "plain", config=config)
        for model, member in planned(config.models, config.networks, config.seeds)
    ]
