"""The two classifiers that probe a representation: boosted trees and a small network, in numpy.

A probe is fitted to some thousand events, a hundred times in one evaluation. At that size a library spends most of its
time on preparing a fit, so both are written out here; each fit returns a function from features to a score, the log
odds.

Both take events as columns of numbers. Of one column, such as a score, nothing is lost if neighbouring events are added
together first: the trees see its bins anyway, and the network sees the mean and the two sums of weights of 256 groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hepda.errors import DataError
from hepda.evaluation.arrays import Labels, Matrix, Scorer
from hepda.results.evaluation import FloatArray

Floats = NDArray[np.float32]
Bins = NDArray[np.uint8]

_TREES, _DEPTH, _SHRINKAGE = 20, 3, 0.2
_COLUMNS = 10  # of the inputs, drawn for each tree
_BINS, _CELLS = 48, 1024  # bins of a column; cells of the regular grid that the limits of the bins are rounded to
_RIDGE = 1.0  # added to the second derivative of a leaf

_EPOCHS, _STEPS, _HIDDEN, _RATE, _DECAY = 6, 5, 32, 1e-2, 1e-2  # epochs of at least _STEPS steps
_BATCHES = (128, 2048)  # rows of a batch, at least and at most
_ROWS = 1024  # that are scored at once
_GROUPS = 256  # of neighbouring events of a single column
_WARM = 0.3  # share of the steps in which the rate rises
_MOMENTS = (0.9, 0.999)
_LIMIT = 5.0  # inputs are limited to so many widths


def fit_bdt(features: Matrix, label: Labels, weight: FloatArray, seed: int) -> Scorer:
    """Fit gradient boosting that is small enough not to learn the noise of some thousand events.

    Each tree has three levels and sees some of the columns, drawn by the seed.

    Args:
        features: inputs [n, k].
        label: labels [n].
        weight: weights [n], >= 0.
        seed: seed of the fit.

    Returns:
        A function from features to the log odds.

    """
    binning = _Binning.of(features)
    bins = binning(features)
    sums = np.stack([np.where(label == c, weight, 0.0) for c in (0, 1)])
    if len(bins) == 1:
        sums = np.stack([np.bincount(bins[0], weights=w, minlength=_BINS) for w in sums])
        bins = np.arange(_BINS, dtype=np.uint8)[None]
    smallest = max(20, len(label) // 200) / 4  # a leaf's second derivative, if its events are even
    trees = _boost(bins, sums, smallest, np.random.default_rng(seed))

    def score(values: Matrix) -> FloatArray:
        binned = binning(values)
        total = np.zeros(binned.shape[1])
        for tree in trees:
            total += tree.value[tree.leaf(binned)]
        return total

    return score


@dataclass(frozen=True, slots=True, eq=False)
class _Binning:
    """Bins of each column with about equal numbers of events."""

    low: Floats  # [k, 1]
    scale: Floats  # [k, 1]
    table: Bins  # [k * (cells + 1)]: the bin of each cell

    @classmethod
    def of(cls, features: Matrix) -> _Binning:
        ordered = np.sort(features.T, axis=1)
        limits = ordered[:, (np.arange(1, _BINS) / _BINS * (len(features) - 1)).astype(np.intp)]
        low, width = limits[:, :1], limits[:, -1:] - limits[:, :1]
        width = np.where(width > 0, width, np.maximum(ordered[:, -1:] - ordered[:, :1], 1.0))
        middle = low + width * ((np.arange(_CELLS + 1) - 0.5) / _CELLS).astype(np.float32)
        middle[:, 0] = -np.inf  # the first cell has what is not above the first limit
        table = [np.searchsorted(np.unique(cuts), cells) for cuts, cells in zip(limits, middle, strict=True)]
        return cls(low, (_CELLS / width).astype(np.float32), np.concatenate(table).astype(np.uint8))

    def __call__(self, features: Matrix) -> Bins:
        """Return the bins [k, n]."""
        cell = np.ascontiguousarray(features.T) - self.low
        with np.errstate(over="ignore"):  # far outside: the last cell
            np.ceil(np.multiply(cell, self.scale, out=cell), out=cell)
        index = np.clip(cell, 0, _CELLS, out=cell).astype(np.int32)
        index += np.arange(0, len(self.table), _CELLS + 1, dtype=np.int32)[:, None]
        return self.table.take(index)


@dataclass(frozen=True, slots=True, eq=False)
class _Tree:
    """The cuts of each level, one for each of its nodes: events above the bin go to the second half."""

    columns: list[NDArray[np.intp]]
    cuts: list[NDArray[np.intp]]
    value: FloatArray  # [leaves]

    def leaf(self, bins: Bins) -> NDArray[np.intp]:
        """Return the leaf of each event [n] by its bins [k, n]."""
        events = np.arange(bins.shape[1])
        node = np.zeros(len(events), np.intp)
        for columns, cuts in zip(self.columns, self.cuts, strict=True):
            node = _descend(node, bins, columns, cuts, events)
        return node


def _descend(
    node: NDArray[np.intp], bins: Bins, columns: NDArray[np.intp], cuts: NDArray[np.intp], events: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Return the nodes of the next level [n]."""
    if len(columns) == 1:
        root: NDArray[np.intp] = (bins[columns[0]] > cuts[0]).astype(np.intp)
        return root
    above = bins.ravel().take(columns.take(node) * bins.shape[1] + events) > cuts.take(node)
    below: NDArray[np.intp] = 2 * node + above
    return below


def _boost(bins: Bins, sums: FloatArray, smallest: float, generator: np.random.Generator) -> list[_Tree]:
    """Fit trees to the log odds of two classes.

    Args:
        bins: the bins [k, n].
        sums: the weights [2, n] with which an event, or several of the same bins, belong to each class.
        smallest: smallest second derivative of the loss in a leaf.
        generator: draws the columns of each tree.

    """
    weight, columns = sums.sum(axis=0), min(_COLUMNS, len(bins))
    events = np.arange(bins.shape[1])
    offset = np.arange(columns)[:, None] * _BINS
    odds = np.zeros(len(weight))
    trees: list[_Tree] = []
    for _ in range(_TREES):
        share = 1 / (1 + np.exp(-odds))
        slope = weight * share - sums[1]
        curvature = weight * share * (1 - share)
        chosen = np.sort(generator.permutation(len(bins))[:columns])
        index = bins[chosen] + offset
        tiled = [np.broadcast_to(x, index.shape).ravel() for x in (slope, curvature)]
        node = np.zeros(len(weight), np.intp)
        tree = _Tree([], [], np.zeros(2**_DEPTH))
        for level in range(_DEPTH):
            place = (index + node * (columns * _BINS)).ravel() if level else index.ravel()
            shape = (2**level, columns, _BINS)
            slopes, curvatures = (
                np.bincount(place, weights=x, minlength=int(np.prod(shape))).reshape(shape) for x in tiled
            )
            best, cuts = _best_cuts(slopes, curvatures, smallest)
            tree.columns.append(chosen[best])
            tree.cuts.append(cuts)
            node = _descend(node, bins, chosen[best], cuts, events)
        leaves = [np.bincount(node, weights=x, minlength=2**_DEPTH) for x in (slope, curvature)]
        tree.value[:] = -_SHRINKAGE * leaves[0] / (leaves[1] + _RIDGE)
        odds += tree.value[node]
        trees.append(tree)
    return trees


def _best_cuts(slope: FloatArray, curvature: FloatArray, smallest: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the column and the bin of the best cut of each node, from sums [nodes, columns, bins].

    A node that has no cut with `smallest` on both sides is cut above all bins, that is not at all.
    """
    nodes, _, bins = slope.shape
    left, left2 = np.cumsum(slope, axis=2), np.cumsum(curvature, axis=2)
    right, right2 = left[:, :, -1:] - left, left2[:, :, -1:] - left2
    gain = left**2 / (left2 + _RIDGE) + right**2 / (right2 + _RIDGE)
    gain[(left2 < smallest) | (right2 < smallest)] = -1.0
    at = np.argmax(gain.reshape(nodes, -1), axis=1)
    cut = np.where(gain.reshape(nodes, -1)[np.arange(nodes), at] < 0, bins, at % bins)
    return at // bins, cut


def fit_mlp(features: Matrix, label: Labels, weight: FloatArray, seed: int) -> Scorer:
    """Fit a network with two hidden layers of 32 nodes, AdamW and a one-cycle rate.

    The inputs are standardised and limited to five widths.

    Args:
        features: inputs [n, k].
        label: labels [n].
        weight: weights [n], >= 0.
        seed: seed of initial weights and batches.

    Raises:
        DataError: the fit diverges.

    """
    target, w = label.astype(np.float32), weight.astype(np.float32)
    share = w / w.sum(dtype=np.float64).astype(np.float32)
    centre = share @ features
    width = np.sqrt(share @ np.square(features - centre))
    width = np.where(width > 0, width, np.float32(1.0))

    def prepare(x: Matrix) -> Floats:
        standard: Floats = x - centre
        standard /= width
        np.clip(standard, -_LIMIT, _LIMIT, out=standard)
        return standard

    x = prepare(features)
    batch = int(np.clip(len(x) // _STEPS, *_BATCHES))
    steps = _EPOCHS * -(-len(x) // batch)
    if x.shape[1] == 1 and len(x) > 4 * _GROUPS:
        x, target, w = _grouped(x[:, 0], target, w)
        batch = len(x)
    generator = np.random.default_rng(seed)
    network = _Network.drawn(x.shape[1], generator)
    rates = _one_cycle(steps)
    first, second = np.zeros_like(network.parameters), np.zeros_like(network.parameters)
    step = 0
    while step < steps:
        rows = generator.permutation(len(x)) if batch < len(x) else np.arange(len(x))
        for start in range(0, len(x), batch):
            chosen = rows[start : start + batch]
            slope = network.slope(x[chosen], target[chosen], w[chosen])
            step += 1
            _adamw(network.parameters, slope, (first, second), rates[step - 1], step)
    if not np.isfinite(network.parameters).all():
        raise DataError("the probe's fit is not finite; look for extreme weights or inputs")
    return lambda values: np.asarray(network.odds(prepare(values)), dtype=np.float64)


def _grouped(x: Floats, target: Floats, weight: Floats) -> tuple[Floats, Floats, Floats]:
    """Return mean, share of label 1 and mean weight of groups of neighbours in x."""
    order = np.argsort(x)
    starts = np.arange(_GROUPS) * len(x) // _GROUPS
    sums = (np.add.reduceat(v[order], starts) for v in (weight, weight * target, weight * x))
    total, ones, moment = (values.astype(np.float32) for values in sums)
    safe = np.where(total > 0, total, np.float32(1.0))
    mean, share = (np.asarray(values / safe, dtype=np.float32) for values in (moment, ones))
    return mean[:, None], share, np.asarray(total * (_GROUPS / len(x)), dtype=np.float32)


def _one_cycle(steps: int) -> FloatArray:
    """Return the rates of a schedule that rises from a 25th of the largest rate and falls to zero, as cosines."""
    done = np.arange(steps) / max(steps - 1, 1)
    rise = 0.04 + 0.96 * 0.5 * (1 - np.cos(np.pi * np.minimum(done / _WARM, 1.0)))
    fall = 0.5 * (1 + np.cos(np.pi * np.clip((done - _WARM) / (1 - _WARM), 0.0, 1.0)))
    return np.asarray(_RATE * np.where(done < _WARM, rise, fall))


def _adamw(parameters: Floats, slope: Floats, moments: tuple[Floats, Floats], rate: float, step: int) -> None:
    """Take one step of AdamW (Loshchilov and Hutter, arXiv:1711.05101), in place."""
    for moment, kept, value in zip(moments, _MOMENTS, (slope, slope * slope), strict=True):
        moment *= kept
        moment += (1 - kept) * value
    mean, spread = (m / (1 - kept**step) for m, kept in zip(moments, _MOMENTS, strict=True))
    parameters *= 1 - rate * _DECAY
    parameters -= rate * mean / (np.sqrt(spread) + 1e-8)


class _Network:
    """Two hidden layers; all parameters are in one array, of which the layers are views."""

    def __init__(self, columns: int) -> None:
        sizes = [columns, _HIDDEN, _HIDDEN, 1]
        shapes = [shape for a, b in pairwise(sizes) for shape in ((a, b), (b,))]
        counts = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
        self.parameters = np.zeros(counts[-1], np.float32)
        self._slope = np.zeros_like(self.parameters)
        self.layers, self._slopes = (
            [whole[a:b].reshape(shape) for (a, b), shape in zip(pairwise(counts), shapes, strict=True)]
            for whole in (self.parameters, self._slope)
        )

    @classmethod
    def drawn(cls, columns: int, generator: np.random.Generator) -> _Network:
        """Return a network with random weights and no biases."""
        network = cls(columns)
        for weights in network.layers[::2]:
            bound = (3 / len(weights)) ** 0.5
            weights[:] = generator.uniform(-bound, bound, weights.shape)
        return network

    def odds(self, x: Floats) -> Floats:
        """Return the log odds [n] of inputs [n, k], some rows at a time, whose layers stay in the cache of a core."""
        return np.concatenate([self._forward(x[start : start + _ROWS])[-1] for start in range(0, len(x), _ROWS)])

    def slope(self, x: Floats, target: Floats, weight: Floats) -> Floats:
        """Return the gradient of the weighted logarithmic loss; the array is used again by the next call."""
        before1, after1, before2, after2, odds = self._forward(x)
        _, _, second, _, third, _ = self.layers
        with np.errstate(over="ignore"):  # a share of zero
            share = 1 / (1 + np.exp(-odds))
        error = ((share - target) * weight / np.float32(len(x)))[:, None]
        first_w, first_b, second_w, second_b, third_w, third_b = self._slopes
        np.matmul(after2.T, error, out=third_w)
        third_b[:] = error.sum()
        error = (error * third[:, 0]) * _silu_slope(before2, after2)
        np.matmul(after1.T, error, out=second_w)
        error.sum(axis=0, out=second_b)
        error = (error @ second.T) * _silu_slope(before1, after1)
        np.matmul(x.T, error, out=first_w)
        error.sum(axis=0, out=first_b)
        return self._slope

    def _forward(self, x: Floats) -> tuple[Floats, ...]:
        """Return sigmoid and output of each hidden layer, and the log odds [n]."""
        result: list[Floats] = []
        first, first_b, second, second_b, third, third_b = self.layers
        for weights, bias in ((first, first_b), (second, second_b)):
            x = x @ weights
            x += bias
            gate = np.negative(x)
            with np.errstate(over="ignore"):  # a closed gate
                np.exp(gate, out=gate)
            gate += 1
            np.reciprocal(gate, out=gate)
            x *= gate
            result += [gate, x]
        return (*result, (x @ third)[:, 0] + third_b[0])


def _silu_slope(gate: Floats, output: Floats) -> Floats:
    """Return the derivative of x * sigmoid(x) from sigmoid(x) and the output."""
    return gate + output * (1 - gate)
