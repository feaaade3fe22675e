"""How the words of two streams are combined: calibrated sums, and gates that learn how much each stream is trusted.

A gate is g = sigmoid(inputs . weights), and what it combines is 2 g log p(audio) + 2 (1 - g) log p(image). It is equal
fusion where all its weights are 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax

from hepda.evaluation.working_points.policy import reinforce

Array = NDArray[Any]
STREAMS = ("audio", "image")
_PENALTY = 1e-3  # on the squared weights of the quality gate, whose inputs are standardised
_SHARES = np.linspace(0.0, 1.0, 41)  # of the audio, from which the best one is taken with the answer known


@dataclass(frozen=True, slots=True)
class Reading:
    """What networks read of drawn strings.

    Attributes:
        logs: log probabilities [strings, digits, 10] by network, those of both streams among them.
        said: the digits [strings, digits].
        quality: estimates of how damaged a stream is [strings, digits, 3]: of each recording the ratio to the noise in
            dB, of each image the covered share and the strength of the pixel noise.

    """

    logs: Mapping[str, Array]
    said: Array
    quality: Array


def edit_distance(read: Array, said: Array) -> Array:
    """Return Levenshtein's distance of each of the strings [n, a] to the strings [n, b], int64 [n]."""
    n = len(read)
    previous = np.tile(np.arange(said.shape[1] + 1), (n, 1))
    for i in range(read.shape[1]):
        current = np.full_like(previous, i + 1)
        for j in range(said.shape[1]):
            replaced = previous[:, j] + (read[:, i] != said[:, j])
            current[:, j + 1] = np.minimum(np.minimum(previous[:, j + 1], current[:, j]) + 1, replaced)
        previous = current
    distance: Array = previous[:, -1]
    return distance


def certainty(logs: Mapping[str, Array]) -> Array:
    """Return of both streams the entropy and the margin of the two best words, and a constant [..., 5]."""
    parts = []
    for name in STREAMS:
        best = np.sort(np.exp(logs[name]), axis=-1)
        parts += [-(np.exp(logs[name]) * logs[name]).sum(axis=-1), best[..., -1] - best[..., -2]]
    return np.stack([*parts, np.ones_like(parts[0])], axis=-1)


def circumstances(reading: Reading) -> Array:
    """Return what the quality gate reads [strings, digits, 10].

    The digits of a string are spoken in the same noise: means over the string say more of it than one digit does.
    """
    of_digit = certainty(reading.logs)
    of_string = [of_digit[..., :2], reading.quality[..., :1]]
    means = [np.broadcast_to(part.mean(axis=1, keepdims=True), part.shape) for part in of_string]
    return np.concatenate([of_digit[..., :4], *means, reading.quality[..., 1:], of_digit[..., 4:]], axis=-1)


def gated(logs: Mapping[str, Array], weights: Array, seen: Array) -> Array:
    """Return 2 g log p(audio) + 2 (1 - g) log p(image) with g = sigmoid(seen . weights).

    Args:
        logs: log probabilities of both streams [..., 10].
        weights: of the gate [k].
        seen: what the gate reads [..., k].

    """
    gate = expit(seen @ weights)[..., None]
    result: Array = 2 * gate * logs["audio"] + 2 * (1 - gate) * logs["image"]
    return result


def _cross_entropy(scores: Array, said: Array) -> float:
    return -float(np.take_along_axis(log_softmax(scores, axis=-1), said[..., None], axis=-1).mean())


def supervised(logs: Mapping[str, Array], said: Array, seen: Array, penalty: float = 0.0) -> Array:
    """Return the weights [k] of the gate that has the smallest cross entropy, plus penalty times their squares."""

    def loss(weights: Array) -> float:
        return _cross_entropy(gated(logs, weights, seen), said) + penalty * float((weights**2).sum())

    weights: Array = minimize(loss, np.zeros(seen.shape[-1]), method="BFGS").x
    return weights


def by_reward(logs: Mapping[str, Array], said: Array, trials: int, seed: int) -> Array:
    """Return the weights [5] of the gate that REINFORCE learns from minus the mean edit distance."""
    seen = certainty(logs)

    def reward(weights: Array) -> float:
        return -float(edit_distance(gated(logs, weights, seen).argmax(axis=-1), said).mean())

    weights: Array = reinforce(reward, np.zeros(5), trials=trials, seed=seed).mean
    return weights


def temperature(logs: Array, said: Array) -> float:
    """Return the number that log probabilities are divided by for the smallest cross entropy (Guo et al. 2017)."""
    found = minimize_scalar(lambda log: _cross_entropy(logs / np.exp(log), said), bounds=(-2.0, 3.0), method="bounded")
    return float(np.exp(found.x))


Combination = Callable[[Reading], Array]
"""From a reading to scores of the digits [strings, digits, 10]."""


def learned(reading: Reading, trials: int, seed: int) -> dict[str, Combination]:
    """Return the combinations that learn from a reading, by the names of their methods.

    Args:
        reading: of strings that no network was trained on.
        trials: of REINFORCE.
        seed: of REINFORCE.

    """
    logs, said = reading.logs, reading.said
    simple = {
        "supervised gate": supervised(logs, said, certainty(logs)),
        "REINFORCE gate": by_reward(logs, said, trials, seed),
    }
    temperatures = {name: temperature(logs[name], said) for name in STREAMS}
    seen = circumstances(reading)
    middle, width = seen.mean(axis=(0, 1)), seen.std(axis=(0, 1))
    middle, width = np.where(width > 0, middle, 0.0), np.where(width > 0, width, 1.0)  # the constant stays
    quality = supervised(logs, said, (seen - middle) / width, _PENALTY)

    def with_certainty(weights: Array) -> Combination:
        return lambda new: gated(new.logs, weights, certainty(new.logs))

    def calibrated(new: Reading) -> Array:
        audio, image = (new.logs[name] / temperatures[name] for name in STREAMS)
        result: Array = audio + image
        return result

    def with_quality(new: Reading) -> Array:
        return gated(new.logs, quality, (circumstances(new) - middle) / width)

    gates = {name: with_certainty(weights) for name, weights in simple.items()}
    return {**gates, "calibrated logits": calibrated, "quality gate": with_quality}


def best_gate(reading: Reading) -> float:
    """Return the share of digits that no gate reads rightly: none even with the best weight of each digit, known g."""
    audio, image = (reading.logs[name] for name in STREAMS)
    right = [(g * audio + (1 - g) * image).argmax(axis=-1) == reading.said for g in _SHARES]
    return 1.0 - float(np.any(right, axis=0).mean())
