"""From what the judges say of conversions to the numbers of metrics.json; arrays in, plain values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepda.evaluation.variance import spread
from hepda.speech.conversion.effects import Conversions, ConversionSounds
from hepda.speech.conversion.jobs import COLUMNS

if TYPE_CHECKING:
    from hepda.config import ConversionConfig

Array = NDArray[Any]
Scores = Mapping[str, Array]
"""Of each model, what is said of every conversion, [members, rows, COLUMNS]."""
QUALITIES = ("judged", "distance", "word_errors", "speaker")
"""Numbers of a model; the larger the better for the first and the last, the smaller for the others."""
_RATIOS = {
    "judged": ("judged", None),
    "distance": ("distance", "source_distance"),
    "word_errors": ("wrong_words", "words"),
    "speaker": ("speaker", None),
}
"""Of every quality the columns above and below; None: the number of conversions."""


def ratio_of(score: Array, quality: str) -> Array:
    """Return a quality of rows [..., rows, COLUMNS]: sum over sum, [...]."""
    above, below = _RATIOS[quality]
    numerator = score[..., COLUMNS.index(above)].sum(axis=-1)
    count = score.shape[-2] if below is None else score[..., COLUMNS.index(below)].sum(axis=-1)
    ratio: Array = numerator / count
    return ratio


def by_string(score: Array, string: Array) -> Array:
    """Return scores [members, rows, COLUMNS] as [strings, members, rows of a string, COLUMNS]; every string has as many
    rows.
    """
    order = np.argsort(string, kind="stable")
    strings = len(np.unique(string))
    parts: Array = np.moveaxis(score[:, order].reshape(len(score), strings, -1, score.shape[-1]), 0, 1)
    return parts


def quality(score: Array, string: Array) -> dict[str, Any]:
    """Return every quality of conversions with its 95 % interval, by Student's t over the test strings.

    The value is that of all conversions together, the interval has the width of that of the mean over the strings.

    Args:
        score: [members, rows, COLUMNS].
        string: the string of every row [rows].

    """
    parts = by_string(score, string)
    numbers = {}
    for name in QUALITIES:
        value = float(ratio_of(score.reshape(1, -1, score.shape[-1]), name)[0])
        of_string = spread(ratio_of(parts.reshape(len(parts), -1, parts.shape[-1]), name).tolist())
        half = None if of_string["high"] is None else of_string["high"] - (of_string["value"] or 0.0)
        low, high = (None, None) if half is None else (value - half, value + half)
        numbers[name] = {"value": value, "low": low, "high": high}
    return numbers


def model_numbers(
    sounds: ConversionSounds, tests: Conversions, score: Array, probes: Sequence[Mapping[str, float]]
) -> dict[str, Any]:
    """Return the numbers of a model.

    Args:
        sounds: with the effects.
        tests: the conversions.
        score: [members, rows, COLUMNS].
        probes: of each training the accuracy of the probe of the content; empty for what is not trained.

    """
    string, wanted = tests.string.numpy(), tests.wanted.numpy()
    seen = np.isin(wanted, sounds.effects.seen)
    numbers: dict[str, Any] = {"seen": quality(score[:, seen], string[seen])}
    if sounds.effects.unseen:
        numbers["unseen"] = quality(score[:, ~seen], string[~seen])
    numbers["effects"] = {
        name: quality(score[:, wanted == number], string[wanted == number])
        for number, name in enumerate(sounds.effects.names)
    }
    numbers["seeds"] = {name: ratio_of(score[:, seen], name).tolist() for name in QUALITIES}
    if probes:
        numbers["probe"] = spread([probe["value"] for probe in probes]) | {"chance": probes[0]["chance"]}
    return numbers


def comparison(
    config: ConversionConfig, sounds: ConversionSounds, tests: Conversions, scores: Scores
) -> dict[str, dict[str, Any]]:
    """Return the differences of every model to the baseline, for conversions to effects of the training.

    Two trained models are paired by seed, others by test string, after the mean over the seeds.
    """
    rows = np.isin(tests.wanted.numpy(), sounds.effects.seen)
    string, differences = tests.string.numpy()[rows], dict[str, dict[str, Any]]()
    before = scores[config.baseline][:, rows]
    for model, score in scores.items():
        if model == config.baseline:
            continue
        now = score[:, rows]
        by_seed = {model, config.baseline} <= set(config.networks) and len(now) > 1
        for name in QUALITIES:
            if by_seed:
                change = ratio_of(now, name) - ratio_of(before, name)
            else:
                first, second = (ratio_of(by_string(of, string), name).mean(axis=1) for of in (now, before))
                change = first - second
            differences.setdefault(model, {})[name] = {
                "difference": spread(change.tolist()), "paired": "seeds" if by_seed else "strings",
                "number": len(change),
            }  # fmt: skip
    return differences
