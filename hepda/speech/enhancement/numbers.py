"""From the qualities of test mixtures to the numbers of metrics.json; arrays in, plain values out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepda.evaluation.variance import spread
from hepda.speech.enhancement.mixtures import Sounds

if TYPE_CHECKING:
    from hepda.config import EnhancementConfig

Array = NDArray[Any]
Scores = Mapping[str, Array]
"""Of each model, the metrics of every test mixture, [members, rows, metrics]; NaN where one has no value."""
ALL = "all"
"""The condition of all ratios together."""
LEAST = 2  # strings or seeds that an interval needs


def conditions_of(config: EnhancementConfig) -> list[str]:
    """Return the ratios of the tests and `all`; recordings that have their noise already have only `all`."""
    return [] if config.pairs is not None else [*(f"{snr:g} dB" for snr in config.evaluation.snr), ALL]


def by_string(config: EnhancementConfig, sounds: Sounds, score: Array) -> dict[str, Array]:
    """Return the means of scores by condition, [members, strings, metrics] each.

    `all` is the mean of the ratios of a string; a string without a value at one of them has none.

    Args:
        config: the analysis.
        sounds: the test mixtures.
        score: [members, rows, metrics].

    """
    if config.pairs is not None:
        return {ALL: score}
    ratios = config.evaluation.snr
    cube = score.reshape(len(score), len(ratios), -1, score.shape[-1])  # ratio by ratio, string by string
    return {f"{snr:g} dB": cube[:, number] for number, snr in enumerate(ratios)} | {ALL: cube.mean(axis=1)}


def mean_of(values: Array) -> Array:
    """Return the means over the first axis of what has a value, NaN where nothing has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of means of nothing, which are NaN
        means: Array = np.nanmean(values, axis=0)
    return means


def interval(values: Array, of: str) -> dict[str, Any]:
    """Return the mean of values [n] with its 95 % interval by Student's t, of those that have one.

    Args:
        values: NaN where there is none.
        of: what the values are of, for the reason where none has one.

    """
    present = values[np.isfinite(values)]
    if not len(present):
        return {"value": None, "low": None, "high": None, "why": f"the measure has no value for any of the {of}"}
    return spread(present.tolist())


def model_numbers(config: EnhancementConfig, sounds: Sounds, score: Array, noisy: Array | None) -> dict[str, Any]:
    """Return quality, seeds, gain and failures of a model.

    Args:
        config: the analysis.
        sounds: the test mixtures.
        score: [members, rows, metrics].
        noisy: that of the noisy recordings; None if no model has them.

    """
    metrics = config.evaluation.metrics
    of_strings = by_string(config, sounds, score)
    numbers: dict[str, Any] = {
        "quality": _by_metric(metrics, {key: mean_of(values) for key, values in of_strings.items()}),
        "seeds": {metric: _plain(mean_of(score[:, :, m].T)) for m, metric in enumerate(metrics)},
        "failed": {metric: int(np.isnan(score[:, :, m]).sum()) for m, metric in enumerate(metrics)},
    }
    if noisy is not None and noisy is not score:
        before = by_string(config, sounds, noisy)
        gains = {key: mean_of(values - before[key]) for key, values in of_strings.items()}
        numbers["gain"] = _by_metric(metrics, gains)
    return numbers


def _by_metric(metrics: tuple[str, ...], of_strings: Mapping[str, Array]) -> dict[str, dict[str, Any]]:
    """Return intervals by metric and condition of means [strings, metrics] by condition."""
    return {
        metric: {key: interval(values[:, m], "test strings") for key, values in of_strings.items()}
        for m, metric in enumerate(metrics)
    }


def _plain(values: Array) -> list[float]:
    return [float(value) for value in values if np.isfinite(value)]


def comparison(config: EnhancementConfig, sounds: Sounds, scores: Scores) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the differences of every model to the baseline, by model, metric and condition.

    Two trained models are paired by seed: the same seed is the same draw of mixtures and of strings. A filter has no
    seeds: then strings are paired, after the mean over the seeds.
    """
    baseline, trained = config.baseline, config.networks
    before = by_string(config, sounds, scores[baseline])
    differences: dict[str, dict[str, dict[str, Any]]] = {}
    for model, score in scores.items():
        if model == baseline:
            continue
        now = by_string(config, sounds, score)
        by_seed = model in trained and baseline in trained and len(score) >= LEAST
        axis = 1 if by_seed else 0  # over strings, or over members
        of = "seeds" if by_seed else "strings"
        for m, metric in enumerate(config.evaluation.metrics):
            entries = differences.setdefault(model, {}).setdefault(metric, {})
            for key, values in now.items():
                difference = np.moveaxis(values[:, :, m] - before[key][:, :, m], axis, 0)
                means = mean_of(difference)
                entries[key] = {
                    "difference": interval(means, of), "paired": of, "number": int(np.isfinite(means).sum()),
                }  # fmt: skip
    return differences
