"""How well a direction changes one attribute of images, and no other: rank correlations and selectivity.

The best of many directions is a maximum over noisy numbers. It is chosen on some images and reported on others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hepda.errors import DataError
from hepda.generators.semantics.directions import Images

Array = NDArray[Any]
Measure = Callable[[Tensor], Array]
"""From images [b, channels, size, size] to their attributes [b, attributes]."""


@dataclass(frozen=True, slots=True)
class Followed:
    """Images that were moved by random steps along each direction.

    Attributes:
        step: of each image along each direction, of -1 to 1 [directions, n].
        change: of each attribute [directions, n, attributes].
        value: of each attribute after the step [directions, n, attributes].

    """

    step: Array
    change: Array
    value: Array

    def ranks(self, rows: slice, *, change: bool = True) -> Array:
        """Return Spearman's correlation of step and attribute [directions, attributes].

        Args:
            rows: the images.
            change: of the change of the attribute; False: of its value, which depends on the image as well.

        """
        from scipy.stats import spearmanr

        values = (self.change if change else self.value)[:, rows]
        return np.array(
            [
                [spearmanr(step, column).statistic if np.ptp(column) > 0.0 else 0.0 for column in of.T]
                for step, of in zip(self.step[:, rows], values, strict=True)
            ]
        )


@torch.no_grad()
def followed(directions: Tensor, images: Images, styles: Tensor, measure: Measure, seed: int) -> Followed:
    """Return what happens to images along directions.

    Args:
        directions: of one strength [directions, layers, d].
        images: from styles to images, row i of the same class as row i of `styles`.
        styles: [n, layers, d].
        measure: the attributes.
        seed: of the steps, which are uniform from -1 to 1.

    """
    random = np.random.default_rng(seed)
    step = random.uniform(-1.0, 1.0, (len(directions), len(styles)))
    before = measure(images(styles))
    value = np.stack(
        [
            measure(images(styles + torch.from_numpy(steps).to(styles)[:, None, None] * direction))
            for steps, direction in zip(step, directions, strict=True)
        ]
    )
    return Followed(step, value - before, value)


@dataclass(frozen=True, slots=True)
class Best:
    """The best direction for an attribute.

    Attributes:
        direction: its number.
        rank: size of the rank correlation of its steps and the change of the attribute.
        selectivity: `rank` minus the largest one of another attribute: 1 if nothing else changes, below 0 if another
            attribute changes more.
        value: size of the rank correlation of its steps and the value of the attribute.

    """

    direction: int
    rank: float
    selectivity: float
    value: float


def selectivity(ranks: Array) -> Array:
    """Return, for sizes of correlations [directions, attributes], each minus the largest other one of the direction.

    Raises:
        DataError: there is one attribute only.

    """
    number = ranks.shape[1]
    if number < 2:
        raise DataError("selectivity compares attributes; measure two or more")
    others = [np.delete(ranks, at, axis=1).max(axis=1) for at in range(number)]
    lead: Array = ranks - np.column_stack(others)
    return lead


def best_directions(found: Followed, choose: slice, report: slice) -> list[Best]:
    """Return the best direction for each attribute: that with the largest sum of rank correlation and selectivity.

    Args:
        found: images along the directions.
        choose: the images on which it is chosen.
        report: other images, on which it is measured.

    """
    first, second = (np.abs(found.ranks(rows)) for rows in (choose, report))
    merit, selective = first + selectivity(first), selectivity(second)
    values = np.abs(found.ranks(report, change=False))
    chosen: Sequence[int] = merit.argmax(axis=0).tolist()
    return [Best(k, float(second[k, at]), float(selective[k, at]), float(values[k, at])) for at, k in enumerate(chosen)]
