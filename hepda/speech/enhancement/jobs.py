"""The trainings of enhancement as jobs, and what each of them makes of the test mixtures."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hepda.adversarial import History, devices
from hepda.adversarial.training.problem import train
from hepda.config import EnhancementConfig
from hepda.config.speech.enhancement import MaskNetworkConfig, TrainedModel
from hepda.runtime import jobs
from hepda.runtime.jobs import TrainingOutput
from hepda.scores import planned
from hepda.speech.enhancement.mixtures import Sounds, read_sounds
from hepda.speech.enhancement.models import Enhancer, TrainedNetwork, enhancer_of
from hepda.speech.enhancement.segan_training import SeganTraining, segan_training
from hepda.speech.enhancement.training import MaskTraining, mask_training
from hepda.speech.quality.recordings import quality_of


@dataclass(frozen=True, slots=True)
class EnhancementJob(jobs.TrainingJob):
    """A training of a network, or a filter applied once; `table` is a folder of `write_sounds`."""

    config: EnhancementConfig = field(kw_only=True)

    @property
    def shared(self) -> bool:
        """A game runs in one process."""
        return False

    def train(self, progress: Callable[[int, int], None]) -> TrainingOutput:
        """Train and save the network, if the model has one, and measure the quality of every test mixture."""
        sounds, section = read_sounds(self.table), self.config.models[self.model]
        if not isinstance(section, TrainedModel):
            begin = time.perf_counter()
            scores = qualities(self.config, sounds, enhancer_of(self.config, self.model, None))
            seconds = time.perf_counter() - begin
            rate = len(scores) / seconds
            return scores, {"seconds": seconds, "rows_per_second": rate, "epochs": 0, "alarms": []}, {}
        network, history, more = self._fitted(section, sounds, progress)
        scores = qualities(self.config, sounds, enhancer_of(self.config, self.model, network))
        return scores, {**history.about(), **more}, history.to_dict()["columns"]

    def _fitted(
        self, section: TrainedModel, sounds: Sounds, progress: Callable[[int, int], None]
    ) -> tuple[TrainedNetwork, History, dict[str, int]]:
        """Train, from the checkpoint if there is one; return network, history, and the failures of the metric."""
        training = self._training(section, sounds)
        epochs = section.training.epochs
        history = train(
            training.game(self.seed),
            self.work / f"{self.name}.checkpoint",
            resume=True,
            on_epoch=lambda h: progress(h.epochs, epochs),
        )
        history.rows = epochs * section.training.turns * section.training.batch_size
        training.network.save(self.folder / f"{self.stem}.safetensors")
        judged = training.judged if isinstance(training, MaskTraining) else None
        more = {} if judged is None else {"measured": judged.calls, "not_measured": judged.failed}
        return training.network, history, more

    def _training(self, section: TrainedModel, sounds: Sounds) -> MaskTraining | SeganTraining:
        device = devices.find(self.device)
        if isinstance(section, MaskNetworkConfig):
            return mask_training(self.config, section, sounds, self.seed, device)
        return segan_training(self.config, section, sounds, self.seed, device)


def jobs_of(config: EnhancementConfig, table: Path, run: Path, work: Path, device: str) -> list[EnhancementJob]:
    """Return all trainings, seed by seed; what is not trained is done once."""
    return [
        EnhancementJob(config.seed_for(model), model, 0, member, table, run, work, device, "plain", config=config)
        for model, member in planned(config.models, config.networks, config.seeds)
    ]


def qualities(config: EnhancementConfig, sounds: Sounds, enhance: Enhancer) -> NDArray[np.float32]:
    """Return the metrics of the analysis for every test mixture, [rows, metrics]; NaN where one has no value."""
    metrics, test = config.evaluation.metrics, sounds.test
    rows = np.full((len(test), len(metrics)), np.nan, np.float32)
    for row in range(len(test)):
        clean, noisy = test.clean.utterance(row), test.noisy.utterance(row)
        quality = quality_of(clean.numpy(), enhance(noisy, clean).numpy(), test.clean.rate, metrics)
        rows[row] = [np.nan if quality.values[name] is None else quality.values[name] for name in metrics]
    return rows
