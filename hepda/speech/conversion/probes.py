"""Is the effect still in the content? A fresh classifier says it, trained on codes that the network gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hepda.speech.conversion.effects import ConversionSounds, bank_of
from hepda.speech.conversion.judging import Labelled, fitted, frames_of, verdict
from hepda.speech.conversion.networks import ConversionNetwork

if TYPE_CHECKING:
    from hepda.config import ConversionConfig

_PROBE = 7_000  # epochs from this number on are of no training


def effect_probe(
    config: ConversionConfig, sounds: ConversionSounds, network: ConversionNetwork, seed: int
) -> dict[str, Any]:
    """Return the balanced accuracy of a fresh classifier of the effect on the content of the test speakers.

    It is trained on the content of new strings of the speakers that are trained on.

    Returns:
        `value`, and `chance`: that of a random choice.

    """
    epochs = [
        _contents(config, sounds, network, sounds.training, _PROBE + n, seed) for n in range(config.evaluation.judges)
    ]
    probe = fitted(epochs, network.shape["content"], len(sounds.effects.names), seed)
    rows = _contents(config, sounds, network, sounds.test, _PROBE - 1, seed)
    found = np.array([verdict(probe, frames) for frames, _ in rows])
    true = np.array([effect for _, effect in rows])
    rates = [
        float((found[true == effect] == effect).mean()) for effect in sounds.effects.seen if (true == effect).any()
    ]
    return {"value": float(np.mean(rates)), "chance": 1.0 / len(sounds.effects.seen)}


def _contents(
    config: ConversionConfig,
    sounds: ConversionSounds,
    network: ConversionNetwork,
    recordings: torch.Tensor,
    epoch: int,
    seed: int,
) -> Labelled:
    """Return the content of new strings of recordings, with the effects that they are in."""
    takes = sounds.takes(config, recordings, epoch, seed)
    device = next(network.parameters()).device
    with torch.no_grad():
        contents = [
            network.content_of(frames.T[None].to(device))[0].T.cpu()
            for frames in frames_of(bank_of(config), takes.source)
        ]
    return list(zip(contents, takes.effect.tolist(), strict=True))
