"""Rows that are made when a batch needs them: mapped from the disk (stored.py), or computed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class RowSource(ABC):
    """Rows [n, ...] that are taken by number; the features of a domain if they are no array or tensor.

    Attributes:
        shape: [n, ...].
        dtype, device: of what `take` gives.
        near: whether neighbouring rows are taken faster: a training then draws them in an order of `NearStream`
            (stored.py).

    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    near = False

    @abstractmethod
    def take(self, index: Tensor) -> Tensor:
        """Return the rows at numbers [j] as a tensor [j, ...]."""

    @abstractmethod
    def select(self, chosen: NDArray[Any]) -> Self:
        """Return the rows of a mask [n] or at numbers, as another source."""

    def __len__(self) -> int:
        return self.shape[0]

    def dim(self) -> int:
        """Return the number of dimensions."""
        return len(self.shape)

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        return self.take(torch.arange(len(self))[rows] if isinstance(rows, slice) else rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:].numpy(), dtype=dtype)


class ComputedRows(RowSource):
    """Rows that a function makes from numbers: windows of a recording, or changed rows of another source.

    Args:
        numbers: the argument of the function for each row, int64 [n].
        compute: from numbers [j] to rows [j, ...]; it is called for each batch, so its data may change between epochs.

    """

    def __init__(self, numbers: Tensor, compute: Callable[[Tensor], Tensor]) -> None:
        self.numbers, self.compute = numbers, compute
        first = compute(numbers[:1])
        self.shape = (len(numbers), *first.shape[1:])
        self.dtype, self.device = first.dtype, first.device

    def take(self, index: Tensor) -> Tensor:
        """Return the rows at numbers [j], computed."""
        return self.compute(self.numbers[index])

    def select(self, chosen: NDArray[Any]) -> ComputedRows:
        """Return the rows of a mask [n] or at numbers."""
        return ComputedRows(self.numbers[torch.from_numpy(chosen)], self.compute)
