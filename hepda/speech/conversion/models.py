"""What converts a string: a trained network, a change of the mean spectrum, the truth, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hepda.speech.conversion.effects import ConversionSounds, bank_of
from hepda.speech.conversion.networks import ConversionNetwork
from hepda.speech.conversion.training import mel_of

if TYPE_CHECKING:
    from hepda.config import ConversionConfig

_EPOCHS = 4  # whose takes give the mean spectra


@dataclass(frozen=True, slots=True)
class Question:
    """A conversion: log-mel frames [n, bands] of the source, of the same string in the wanted effect, and of the
    reference [m, bands], with the numbers of both effects. Only the truth reads `target`.
    """

    source: Tensor
    target: Tensor
    reference: Tensor
    effect: int
    wanted: int


Converter = Callable[[Question], Tensor]
"""From a question to the converted log-mel frames [n, bands]."""


def converter_of(
    config: ConversionConfig, model: str, sounds: ConversionSounds, network: ConversionNetwork | None
) -> Converter:
    """Return what a model does with a string; `network` is that of a model that is trained."""
    section = config.models[model]
    if section.kind == "copy":
        return lambda question: question.source
    if section.kind == "truth":
        return lambda question: question.target
    if section.kind == "spectrum":
        return by_spectrum(config, sounds, width=section.width)
    if network is None:
        raise RuntimeError(f"the model {model} needs its network")
    device = next(network.parameters()).device

    def converted(question: Question) -> Tensor:
        source, reference = (part.T[None].to(device) for part in (question.source, question.reference))
        with torch.no_grad():
            return network.converted(source, reference)[0].T.cpu()

    return converted


def by_spectrum(config: ConversionConfig, sounds: ConversionSounds, *, width: bool) -> Converter:
    """Return a change of the mean log-mel frame from that of the source's effect to that of the wanted one.

    Both are known, from the training; a network gets neither of them. For an effect that is in no training, the mean of
    the reference is taken. With `width`, the standard deviations change, too.
    """
    bank, statistics = bank_of(config), dict[int, tuple[Tensor, Tensor]]()
    takes = [sounds.takes(config, sounds.training, epoch, config.seed) for epoch in range(_EPOCHS)]
    for effect in sounds.effects.seen:
        frames = torch.cat([
            values[torch.repeat_interleave(of.effect == effect, count)]
            for of in takes
            for values, _, count in [mel_of(bank, of.source)]
        ])  # fmt: skip
        statistics[effect] = (frames.mean(dim=0), frames.std(dim=0).clamp_min(1e-3))

    def converted(question: Question) -> Tensor:
        mean, deviation = statistics[question.effect]
        of_reference = (question.reference.mean(dim=0), question.reference.std(dim=0).clamp_min(1e-3))
        wanted_mean, wanted_deviation = statistics.get(question.wanted, of_reference)
        scale = wanted_deviation / deviation if width else 1.0
        return (question.source - mean) * scale + wanted_mean

    return converted
