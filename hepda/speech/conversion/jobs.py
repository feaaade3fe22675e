"""The trainings of conversion as jobs, and what the judges say of every conversion of the tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hepda.adversarial import devices
from hepda.adversarial.training.problem import train
from hepda.config import ConversionConfig
from hepda.config.speech.conversion import ConversionNetworkConfig
from hepda.runtime import jobs
from hepda.runtime.jobs import TrainingOutput
from hepda.runtime.run_directory import MODELS
from hepda.scores import planned
from hepda.speech.conversion.effects import Conversions, ConversionSounds, bank_of, read_sounds
from hepda.speech.conversion.judging import Judges, frames_of, verdict, wrong_words
from hepda.speech.conversion.models import Converter, Question, converter_of
from hepda.speech.conversion.networks import ConversionNetwork
from hepda.speech.conversion.probes import effect_probe
from hepda.speech.conversion.training import conversion_training

COLUMNS = ("judged", "distance", "source_distance", "wrong_words", "words", "speaker")
"""Columns of a score: is the wanted effect recognised; mean absolute distance of log-mel frames to the true conversion,
of the converted and of the source frames; wrong words and words; is the speaker recognised."""


@dataclass(frozen=True, slots=True)
class ConversionJob(jobs.TrainingJob):
    """A training of a network, or a baseline applied once; `table` has the sounds and the judges."""

    config: ConversionConfig = field(kw_only=True)

    @property
    def shared(self) -> bool:
        """A game runs in one process."""
        return False

    def train(self, progress: Callable[[int, int], None]) -> TrainingOutput:
        """Train and save the network, if the model has one, and judge every conversion of the tests."""
        sounds, judges, section = read_sounds(self.table), Judges.load(self.table), self.config.models[self.model]
        if not isinstance(section, ConversionNetworkConfig):
            begin = time.perf_counter()
            scores = judged(self.config, sounds, judges, converter_of(self.config, self.model, sounds, None))
            seconds = time.perf_counter() - begin
            about: dict[str, Any] = {"seconds": seconds, "rows_per_second": len(scores) / seconds}
            return scores, about | {"epochs": 0, "alarms": []}, {}
        training = conversion_training(self.config, section, sounds, self.seed, devices.find(self.device))
        epochs = section.training.epochs
        checkpoint = self.work / f"{self.name}.checkpoint"
        history = train(
            training.game(self.seed), checkpoint, resume=True, on_epoch=lambda h: progress(h.epochs, epochs)
        )
        history.rows = epochs * section.training.turns * section.training.batch_size
        training.network.save(self.folder / f"{self.stem}.safetensors")
        scores = judged(self.config, sounds, judges, converter_of(self.config, self.model, sounds, training.network))
        probe = effect_probe(self.config, sounds, training.network, self.seed)
        return scores, {**history.about(), "probe": probe}, history.to_dict()["columns"]


def jobs_of(config: ConversionConfig, table: Path, run: Path, work: Path, device: str) -> list[ConversionJob]:
    """Return all trainings, seed by seed; what is not trained is done once."""
    return [
        ConversionJob(config.seed_for(model), model, 0, member, table, run, work, device, "plain", config=config)
        for model, member in planned(config.models, config.networks, config.seeds)
    ]


def judged(
    config: ConversionConfig, sounds: ConversionSounds, judges: Judges, convert: Converter
) -> NDArray[np.float32]:
    """Return the score of every conversion of the tests, [rows, COLUMNS]."""
    tests, bank = sounds.tests(config), bank_of(config)
    rows = np.empty((len(tests), len(COLUMNS)), np.float32)
    corpus, strings = sounds.corpus, tests.strings
    places: list[list[tuple[int, int, int]]] = [[] for _ in range(len(strings.tape))]
    for recording, string, start, length in strings.places():
        places[string].append((corpus.words[recording][0], length, start))
    for number, question in enumerate(questions(config, sounds, tests)):
        frames = convert(question)
        string = int(tests.string[number])
        distances = [float((of - question.target).abs().mean()) for of in (frames, question.source)]
        rows[number] = [
            verdict(judges.effect, frames) == question.wanted, *distances,
            wrong_words(judges.digit, frames, places[string], bank), len(places[string]),
            verdict(judges.speaker, frames) == int(tests.speaker[string]),
        ]  # fmt: skip
    return rows


def questions(config: ConversionConfig, sounds: ConversionSounds, tests: Conversions) -> Iterator[Question]:
    """Yield every conversion of the tests."""
    bank = bank_of(config)
    made: dict[int, list[Tensor]] = {}
    references: dict[int, list[Tensor]] = {}
    for effect in range(len(sounds.effects.names)):
        every = torch.full((len(tests.strings.tape),), effect)
        made[effect] = frames_of(bank, sounds.effects.applied(tests.strings.tape, every))
        references[effect] = frames_of(bank, sounds.effects.applied(tests.reference, every))
    for string, effect, wanted in torch.stack([tests.string, tests.effect, tests.wanted], 1).tolist():
        yield Question(made[effect][string], made[wanted][string], references[wanted][string], effect, wanted)


def read_network(config: ConversionConfig, run: Path, model: str, member: int) -> ConversionNetwork | None:
    """Return the network of a training in a run directory; None for a model that is not trained."""
    if model not in config.networks:
        return None
    return ConversionNetwork.load(run / MODELS / model / f"fold0-member{member}.safetensors")
