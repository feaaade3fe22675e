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
from hepda.config.speech.enhancement import MaskNetworkConfig
from hepda.runtime import jobs
from hepda.runtime.jobs import TrainingOutput
from hepda.speech.enhancement.mixtures import Sounds, read_sounds
from hepda.speech.enhancement.models import Enhancer, enhancer_of
from hepda.speech.enhancement.networks import MaskNetwork
from hepda.speech.enhancement.training import enhancement_of
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
        if not isinstance(section, MaskNetworkConfig):
            begin = time.perf_counter()
            scores = qualities(self.config, sounds, enhancer_of(self.config, self.model, None))
            seconds = time.perf_counter() - begin
            rate = len(scores) / seconds
            return scores, {"seconds": seconds, "rows_per_second": rate, "epochs": 0, "alarms": []}, {}
        network, history, more = self._fitted(section, sounds, progress)
        scores = qualities(self.config, sounds, enhancer_of(self.config, self.model, network))
        return scores, {**history.about(), **more}, history.to_dict()["columns"]

    def _fitted(
        self, section: MaskNetworkConfig, sounds: Sounds, progress: Callable[[int, int], None]
    ) -> tuple[MaskNetwork, History, dict[str, int]]:
        """Train, from the checkpoint if there is one; return network, history, and the failures of the metric."""
        enhancement = enhancement_of(self.config, section, sounds, self.seed, devices.find(self.device))
        epochs = section.training.epochs
        history = train(
            enhancement.game(self.seed),
            self.work / f"{self.name}.checkpoint",
            resume=True,
            on_epoch=lambda h: progress(h.epochs, epochs),
        )
        history.rows = epochs * section.training.turns * section.training.batch_size
        enhancement.network.save(self.folder / f"{self.stem}.safetensors")
        judged = enhancement.judged
        more = {} if judged is None else {"measured": judged.calls, "not_measured": judged.failed}
        return enhancement.network, history, more


def jobs_of(config: EnhancementConfig, table: Path, run: Path, work: Path, device: str) -> list[EnhancementJob]:
    """Return all trainings, seed by seed; what is not trained is done once."""
    return [
        EnhancementJob(config.seed_for(model), model, 0, member, table, run, work, device, "plain", config=config)
        for member in range(config.seeds)
        for model in config.models
        if model in config.networks or member == 0
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
