"""What nearest neighbours say of generated rows: whether they are realistic, varied, and no copies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepda.errors import DataError
from hepda.evaluation.arrays import finite_rows
from hepda.results.evaluation import FloatArray

_ROWS = 500  # that are compared with all examples at once
NEIGHBOURS = 3
"""The neighbour whose distance is the radius of a ball, as in Kynkäänniemi et al. (2019)."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of each of two samples is in the region of the other.

    Attributes:
        precision: share of the generated rows in the region of the real ones: are they realistic?
        recall: share of the real rows in the region of the generated ones: are all kinds of rows generated?

    """

    precision: float
    recall: float


def coverage(real: ArrayLike, generated: ArrayLike, neighbours: int = NEIGHBOURS) -> Coverage:
    """Return precision and recall of generated rows (Kynkäänniemi et al., NeurIPS 2019, arXiv:1904.06991).

    The region of a sample is the union of balls around its rows; the radius of a ball is the distance to the k-th
    nearest other row of the sample. Both numbers depend on the sizes of the samples: compare with real rows in the
    place of generated ones, in the same numbers.

    Args:
        real: features of real rows [n, d].
        generated: features of generated rows [m, d].
        neighbours: k.

    Raises:
        DataError: a sample has no more than k rows, or values that are not finite.

    """
    first, second = (finite_rows(values, neighbours + 1) for values in (real, generated))
    within_real, within_generated = _inside(second, first, neighbours), _inside(first, second, neighbours)
    return Coverage(precision=float(within_real.mean()), recall=float(within_generated.mean()))


def _inside(rows: FloatArray, sample: FloatArray, neighbours: int) -> NDArray[np.bool_]:
    """Return whether each row [m] is in the region of a sample."""
    from sklearn.metrics import pairwise_distances_chunked
    from sklearn.neighbors import NearestNeighbors

    distance, _ = NearestNeighbors(n_neighbors=neighbours, algorithm="brute").fit(sample).kneighbors()
    radius = distance[:, -1]
    parts = pairwise_distances_chunked(rows, sample, reduce_func=lambda part, _: (part <= radius).any(axis=1))
    inside: NDArray[np.bool_] = np.concatenate(list(parts))
    return inside


def nearest(rows: ArrayLike, examples: ArrayLike) -> tuple[NDArray[np.intp], FloatArray]:
    """Return the number of the nearest example of each row, and the Euclidean distance to it, [n] each.

    The nearest one is found in single precision, its distance is exact.

    Args:
        rows: [n, ...]; dimensions after the first are flattened.
        examples: [m, ...] of the same shape.

    Raises:
        DataError: there is no example, or values are not finite.

    """
    first, second = finite_rows(rows, 1), finite_rows(examples, 1)
    centre = second.mean(axis=0)  # near 0 the squares are small, and their differences precise
    here, there = (np.asarray(values - centre, np.float32) for values in (first, second))
    square = np.square(there).sum(axis=1)
    parts = [(square - 2.0 * (part @ there.T)).argmin(axis=1) for part in np.array_split(here, -(-len(here) // _ROWS))]
    index = np.concatenate(parts)
    return index, np.linalg.norm(first - second[index], axis=1)


@dataclass(frozen=True, slots=True)
class Copying:
    """How near generated rows are to what a model was trained on, compared with new real rows.

    Attributes:
        ratio: median distance of generated rows to their nearest example, in units of that of new real rows; far below
            1 the model repeats examples, or its rows are smoother than real ones.
        copies: share of the generated rows that are nearer to an example than 1 % of the new real rows are; 0.01 is
            expected of rows that are as new as those.

    """

    ratio: float
    copies: float


NEAR = 0.01
"""Share of the new real rows that are nearer to an example than what is counted as a copy."""


def copying(generated: ArrayLike, real: ArrayLike) -> Copying:
    """Compare distances to the nearest example.

    Args:
        generated: distances of generated rows [n].
        real: distances of real rows that are no examples [m].

    Raises:
        DataError: all real rows are among the examples, so that there is no unit.

    """
    distances, reference = np.asarray(generated, np.float64), np.asarray(real, np.float64)
    unit = float(np.median(reference))
    if unit <= 0.0:
        raise DataError("half of the real rows or more are among the examples; nothing can be said of copies")
    return Copying(float(np.median(distances)) / unit, float((distances < np.quantile(reference, NEAR)).mean()))
