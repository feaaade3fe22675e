"""The figures of enhancement. A new figure is a function, in any module, and a line of FIGURES."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hepda.plotting import enhancement as plots
from hepda.plotting import speech as speech_plots
from hepda.plotting.base.plot import Plot
from hepda.report.drawing import Drawing
from hepda.report.registry import drawings_of
from hepda.report.sounds import Sound
from hepda.report.training import history_drawings
from hepda.results.enhancement import EnhancementMetrics
from hepda.speech.enhancement.mixtures import Sounds
from hepda.speech.enhancement.models import enhancer_of, read_network
from hepda.speech.enhancement.numbers import ALL
from hepda.speech.enhancement.tables import NAMES
from hepda.speech.sounds.audio import on_tape
from hepda.speech.sounds.features import FilterBank

if TYPE_CHECKING:
    from hepda.config import EnhancementConfig

FIGURES = {
    "quality": "hepda.speech.enhancement.figures:quality",
    "spectrograms": "hepda.speech.enhancement.figures:spectrograms",
    "trainings": "hepda.speech.enhancement.figures:trainings",
}
"""Groups of figures, `module:function`, in the order of the report; a function yields drawings of EnhancementData."""
SHOWN = 4  # models of a row of spectrograms
HEARD = 2  # speakers whose strings can be heard in the report


@dataclass(frozen=True, slots=True)
class EnhancementData:
    """The data of the figures."""

    config: EnhancementConfig
    sounds: Sounds
    metrics: EnhancementMetrics
    histories: Mapping[str, Sequence[Mapping[str, Sequence[float | None]]]]
    run: Path

    def title(self, model: str) -> str:
        """Return the name of a model in figures."""
        return self.config.models[model].title or model


def drawings(data: EnhancementData) -> list[Drawing]:
    """Return all figures of a run."""
    return drawings_of(FIGURES, data)


def quality(data: EnhancementData) -> Iterator[Drawing]:
    """Yield every metric against the ratio of speech to noise, if there are several ratios."""
    conditions = [key for key in data.metrics.conditions if key != ALL]
    if len(conditions) < 2:
        return
    panels: dict[str, dict[str, speech_plots.ErrorCurve]] = {}
    for metric in data.metrics.metrics:
        for name, model in data.metrics.models.items():
            entries = [(float(key.removesuffix(" dB")), model.quality[metric][key]) for key in conditions]
            known = sorted(((x, e) for x, e in entries if e.value is not None), key=lambda point: point[0])
            if known:
                value, low, high = (
                    np.array([e.value if getattr(e, side) is None else getattr(e, side) for _, e in known], float)
                    for side in ("value", "low", "high")
                )
                curve = speech_plots.ErrorCurve(np.array([x for x, _ in known]), value, low, high)
                panels.setdefault(NAMES[metric], {})[data.title(name)] = curve
    yield Drawing(
        "summary", "quality", "Quality against the ratio of speech to noise",
        "Strings of speakers, and noises, that no training has. Bars: 95 % intervals of the mean over the strings.",
        lambda: Plot.of(plots.quality_figure, panels),
        first=True,
    )  # fmt: skip


def spectrograms(data: EnhancementData) -> Iterator[Drawing]:
    """Yield the first test string at the lowest ratio: noisy, as models make it, and clean."""
    test = data.sounds.test
    row = int(np.argmin(test.snr.numpy()))
    clean, noisy = test.clean.utterance(row), test.noisy.utterance(row)
    bank = FilterBank(data.config.rate, window=data.config.spectra.window, hop=0.5 * data.config.spectra.window)
    made = {f"noisy, {float(test.snr[row]):.3g} dB": noisy}
    for model in [name for name in data.config.models if data.config.models[name].kind != "noisy"][:SHOWN]:
        enhance = enhancer_of(data.config, model, read_network(data.config, data.run, model, 0))
        made[data.title(model)] = enhance(noisy, clean)
    made["clean"] = clean
    panels = {title: bank.of_tape(on_tape([sound], data.config.rate)).values.numpy() for title, sound in made.items()}
    speaker = data.sounds.speakers[int(test.speaker[row])]
    yield Drawing(
        "inputs", "spectrograms", "A test string, noisy, enhanced and clean",
        f"Speaker {speaker}. Log energies of mel bands.",
        lambda: Plot.of(speech_plots.spectrogram_figure, panels, hop=bank.hop),
        first=True,
    )  # fmt: skip


def sounds(data: EnhancementData) -> list[Sound]:
    """Return the first test strings of two speakers at the lowest ratio: noisy, as models make them, and clean."""
    test, rate = data.sounds.test, data.config.rate
    lowest = (
        np.flatnonzero(test.snr.numpy() == test.snr.numpy().min()) if data.config.pairs is None else range(len(test))
    )
    first = {int(test.speaker[row]): int(row) for row in reversed(lowest)}  # of each speaker, the first one
    networks = {model: read_network(data.config, data.run, model, 0) for model in data.config.models}
    found = []
    for speaker, row in sorted(first.items())[:HEARD]:
        clean, noisy = test.clean.utterance(row), test.noisy.utterance(row)
        noise = data.sounds.noises[int(test.noise[row])] if int(test.noise[row]) >= 0 else "noise"
        group = f"{data.sounds.speakers[speaker]} in {noise}, {float(test.snr[row]):.3g} dB"
        for model, network in networks.items():
            sound = enhancer_of(data.config, model, network)(noisy, clean)
            found.append(Sound("inputs", group, data.title(model), sound.numpy(), rate))
        found.append(Sound("inputs", group, "clean", clean.numpy(), rate))
    return found


def trainings(data: EnhancementData) -> Iterator[Drawing]:
    """Yield the history of each network."""
    caption = "One line per training. The losses of `judge` are those of the network that predicts quality."
    yield from history_drawings(data.histories, data.title, caption)
