"""Dependence of a score on a variable that it must not shape: Cramer-von Mises in windows of it, KS in tenths of it.

The Cramer-von Mises distance is that of the LHCb challenge on tau -> 3 mu ("Flavours of Physics", 2015): the mean,
over windows of 200 events that are neighbours in the variable, of the mean of (F_window - F)^2 over all events, where
F is the distribution of the score; 0.002 was the limit there. For a score that is independent of the variable, a window
of n_eff events has 1 / (6 n_eff) on average. The windows here contain 200 effective events, so that the limit keeps its
meaning with signed weights. The challenge's limit on KS, 0.09, was on the difference between simulation and data; here
it is quoted next to the largest distance between a tenth of the variable and all events.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepda.errors import DataError
from hepda.evaluation.arrays import sample, vector
from hepda.results.evaluation import Flatness, FloatArray

CVM_LIMIT, KS_LIMIT = 0.002, 0.09
_WINDOW, _STEPS, _SLICES, _BINS = 200, 4, 10, 64  # effective events, steps per window, slices, score bins


def flatness(
    variable: ArrayLike,
    score: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    name: str,
    class_name: str,
    permutations: int = 49,
    seed: int = 0,
) -> Flatness:
    """Return the flatness of the score [n] of one class against a variable [n], with signed weights [n].

    The p-value is that of the CvM distance when the variable is shuffled. Events with the same value of the variable
    are in random order.

    Args:
        variable: values of the variable [n].
        score: scores [n].
        weight: signed weights [n]; None means ones.
        name: name of the variable.
        class_name: name of the class.
        permutations: number of shuffles.
        seed: seed of the shuffles.

    Raises:
        DataError: there are fewer effective events than two windows need, or the weights do not sum to a positive
            number.

    """
    events = sample(score, weight, f"the {class_name} against {name}")
    values = vector(variable, name, len(events.score))
    window = int(np.ceil(_WINDOW * len(values) / events.n_eff))
    if len(values) < 2 * window:
        raise DataError(
            f"{events.n_eff:.0f} effective {class_name} events are fewer than two windows of {_WINDOW}; the flatness "
            "against "
            f"{name} is undefined"
        )
    generator = np.random.default_rng(seed)
    order = np.lexsort((generator.random(len(values)), values))
    bins, share = _binned(events.score)
    block = np.arange(len(values)) // max(window // _STEPS, 1)
    slices = np.arange(len(values)) * _SLICES // len(values)
    observed = _cvm(bins[order], events.weight[order], block, share)
    reached = 0
    for _ in range(permutations):
        drawn = generator.permutation(len(values))
        reached += _cvm(bins[drawn], events.weight[drawn], block, share) >= observed
    return Flatness(
        variable=name,
        class_name=class_name,
        cvm=observed,
        cvm_expected=1 / (6 * _WINDOW),
        ks=_largest_ks(bins[order], events.weight[order], slices, len(share)),
        p_value=(1 + reached) / (1 + permutations),
        n_eff=events.n_eff,
        p_is_limit=reached == 0,
    )


def _binned(score: FloatArray) -> tuple[NDArray[np.intp], FloatArray]:
    """Return the quantile bin of each event [n], rising with the score, and the share of the events in each bin [b]."""
    ordered = np.sort(score)
    limits = np.unique(ordered[(np.arange(1, _BINS) / _BINS * len(ordered)).astype(np.intp)])
    bins = np.searchsorted(limits, score, side="right")
    return np.asarray(bins), np.bincount(bins, minlength=len(limits) + 1) / len(score)


def _groups(bins: NDArray[np.intp], weight: FloatArray, group: NDArray[np.intp], count: int) -> FloatArray:
    """Return sums of weights [groups, bins]."""
    groups = int(group[-1]) + 1
    flat = np.bincount(group * count + bins, weights=weight, minlength=groups * count)
    return np.asarray(flat, dtype=np.float64).reshape(groups, count)


def _cumulative(sums: FloatArray) -> FloatArray:
    """Return F [..., bins] in the middle of each bin; NaN where the sum of weights is not positive."""
    total = sums.sum(axis=-1, keepdims=True)
    middle = np.cumsum(sums, axis=-1) - 0.5 * sums
    return np.asarray(np.where(total > 0, middle / np.where(total > 0, total, 1.0), np.nan))


def _cvm(bins: NDArray[np.intp], weight: FloatArray, block: NDArray[np.intp], share: FloatArray) -> float:
    """Return the distance for events in the order of the variable; a block is the step from window to window."""
    blocks = _groups(bins, weight, block, len(share))
    running = np.concatenate([np.zeros((1, len(share))), np.cumsum(blocks, axis=0)])
    last = len(running) - 1 if len(block) % np.sum(block == 0) == 0 else len(running) - 2  # complete windows only
    windows = running[_STEPS : last + 1] - running[: last + 1 - _STEPS]
    difference = _cumulative(windows) - _cumulative(blocks.sum(axis=0))
    return float(np.nanmean(np.square(difference) @ share))


def _largest_ks(bins: NDArray[np.intp], weight: FloatArray, slices: NDArray[np.intp], count: int) -> float:
    sums = _groups(bins, weight, slices, count)
    upper = [np.cumsum(part, axis=-1) / part.sum(axis=-1, keepdims=True) for part in (sums, sums.sum(axis=0))]
    return float(np.max(np.abs(upper[0] - upper[1])))
