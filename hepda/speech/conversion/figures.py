"""The figures of conversion. A new figure is a function, in any module, and a line of FIGURES."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hepda.plotting import speech as speech_plots
from hepda.plotting.base.plot import Plot
from hepda.report.drawing import Drawing
from hepda.report.registry import drawings_of
from hepda.report.sounds import Sound
from hepda.report.training import history_drawings
from hepda.results.conversion import ConversionMetrics
from hepda.speech.conversion.effects import Conversions, ConversionSounds, bank_of
from hepda.speech.conversion.jobs import COLUMNS, questions, read_network
from hepda.speech.conversion.models import Question, converter_of
from hepda.speech.conversion.numbers import Scores
from hepda.speech.conversion.waveforms import waveform

if TYPE_CHECKING:
    from hepda.config import ConversionConfig

FIGURES = {
    "effects": "hepda.speech.conversion.figures:by_effects",
    "spectrograms": "hepda.speech.conversion.figures:spectrograms",
    "trainings": "hepda.speech.conversion.figures:trainings",
}
"""Groups of figures, `module:function`, in the order of the report; a function yields drawings of ConversionData."""
SHOWN = 3  # models of a row of panels


@dataclass(frozen=True, slots=True)
class ConversionData:
    """The data of the figures."""

    config: ConversionConfig
    sounds: ConversionSounds
    tests: Conversions
    scores: Scores
    metrics: ConversionMetrics
    histories: Mapping[str, Sequence[Mapping[str, Sequence[float | None]]]]
    run: Path

    def title(self, model: str) -> str:
        """Return the name of a model in figures."""
        return self.config.models[model].title or model

    @property
    def shown(self) -> list[str]:
        """Return the models of a row of panels: the networks first."""
        others = [
            m for m in self.config.models if m not in self.config.networks and self.config.models[m].kind != "truth"
        ]
        return [*self.config.networks, *others][:SHOWN]


def drawings(data: ConversionData) -> list[Drawing]:
    """Return all figures of a run."""
    return drawings_of(FIGURES, data)


def by_effects(data: ConversionData) -> Iterator[Drawing]:
    """Yield what is judged as wanted, from each effect to each other one."""
    names, seen = data.sounds.effects.names, list(data.sounds.effects.seen)
    effect, wanted = data.tests.effect.numpy(), data.tests.wanted.numpy()
    panels = {}
    for model in data.shown:
        judged = data.scores[model][..., COLUMNS.index("judged")].mean(axis=0)
        shares = np.full((len(seen), len(seen)), np.nan)
        for row, first in enumerate(seen):
            for column, second in enumerate(seen):
                if first != second:
                    shares[row, column] = judged[(effect == first) & (wanted == second)].mean()
        panels[data.title(model)] = shares
    yield Drawing(
        "summary", "effects", "Conversions that are judged as wanted",
        "In percent, by an independent classifier; strings of speakers that no training has.",
        lambda: Plot.of(
            speech_plots.confusion_figure, panels, [names[number] for number in seen], columns="Wanted effect",
            rows="Effect of the source", shares_of="Judged as wanted [%]",
        ),
        first=True,
    )  # fmt: skip


def _first_question(data: ConversionData) -> tuple[Question, int]:
    """Return the first conversion from no room to the last effect of the training, and its row."""
    last = data.sounds.effects.seen[-1]
    rows = torch.nonzero((data.tests.effect == data.sounds.effects.seen[0]) & (data.tests.wanted == last)).flatten()
    row = int(rows[0])
    return next(islice(questions(data.config, data.sounds, data.tests), row, None)), row


def _converted(data: ConversionData, question: Question) -> dict[str, Tensor]:
    """Return the frames of the source, of every model that is shown, and the true ones, by title."""
    made = {"source": question.source}
    for model in data.shown:
        if data.config.models[model].kind != "copy":
            network = read_network(data.config, data.run, model, 0)
            made[data.title(model)] = converter_of(data.config, model, data.sounds, network)(question)
    return made | {"true": question.target}


def spectrograms(data: ConversionData) -> Iterator[Drawing]:
    """Yield one conversion: source, converted by each model, and true."""
    question, _ = _first_question(data)
    panels = {title: frames.numpy() for title, frames in _converted(data, question).items()}
    names = data.sounds.effects.names
    yield Drawing(
        "inputs", "spectrograms", f"A string from {names[question.effect]} to {names[question.wanted]}",
        "A speaker that no training has. Log energies of mel bands.",
        lambda: Plot.of(speech_plots.spectrogram_figure, panels, hop=data.config.mel.hop),
        first=True,
    )  # fmt: skip


def sounds(data: ConversionData) -> list[Sound]:
    """Return the same conversion as sound; all by Griffin and Lim, so that they are compared fairly."""
    question, row = _first_question(data)
    bank, names = bank_of(data.config), data.sounds.effects.names
    group = f"From {names[question.effect]} to {names[question.wanted]}"
    dry = data.tests.strings.tape.utterance(int(data.tests.string[row]))
    return [
        Sound("inputs", group, title, waveform(bank, frames, dry).numpy(), data.config.speech.rate)
        for title, frames in _converted(data, question).items()
    ]


def trainings(data: ConversionData) -> Iterator[Drawing]:
    """Yield the history of each network."""
    caption = "One line per training. `content` is the loss of the effect behind the reversal."
    yield from history_drawings(data.histories, data.title, caption)
