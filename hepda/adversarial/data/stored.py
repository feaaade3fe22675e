"""Rows of a matrix that is larger than the memory: read by number when a batch needs them, in an order with few seeks.

A random order over an entire file on disk costs a seek for each row. Here the rows are cut into runs of consecutive
rows; each pass shuffles the runs, takes a block of many of them from the entire file, and shuffles the rows of the
block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hepda.adversarial.data.sources import RowSource

RUN, RUNS = 256, 1024
"""Rows of a run, and runs of a block: 262 144 rows, from a thousand places, are shuffled together."""
_PAGE, _PAGES = 4096, 32768
"""Bytes that are read into memory with a row, at least, and the number of such pages before they are released."""


def _nothing() -> None:
    pass


class RowSubset(RowSource):
    """Rows [n, k] of a larger matrix [m, k], each read when it is needed.

    Args:
        matrix: float32, usually mapped from the disk; it is not copied.
        index: the numbers of the rows, ascending, [n].
        column: one more column [n] after the others, or None.
        release: called from time to time, when the pages in memory are no longer needed.
        columns: which columns of the matrix are taken; None: all.

    """

    near = True

    def __init__(
        self,
        matrix: Tensor,
        index: NDArray[np.integer[Any]],
        column: NDArray[np.float32] | None = None,
        release: Callable[[], None] = _nothing,
        columns: Sequence[int] | None = None,
    ) -> None:
        self.matrix, self._numbers, self._release = matrix, torch.from_numpy(index), release
        self._column = None if column is None else torch.from_numpy(column)[:, None]
        self._columns = None if columns is None else torch.tensor(columns, dtype=torch.int64)
        self.shape = (len(index), (matrix.shape[1] if columns is None else len(columns)) + (column is not None))
        self.dtype, self.device = matrix.dtype, matrix.device
        self._held = 0

    def take(self, index: Tensor) -> Tensor:
        """Return the rows at numbers [j], in memory: [j, k]."""
        numbers = self._numbers[index]
        self._held += len(numbers)
        if self._held > _PAGES:
            self._release()
            self._held = len(numbers)
        values = torch.index_select(self.matrix, 0, numbers)
        values = values if self._columns is None else values[:, self._columns]
        return values if self._column is None else torch.cat([values, self._column[index]], dim=1)

    def select(self, chosen: NDArray[Any]) -> RowSubset:
        """Return the rows of a mask [n] or at numbers, without reading them."""
        column = None if self._column is None else self._column[:, 0].numpy()[chosen]
        columns = None if self._columns is None else self._columns.tolist()
        return RowSubset(self.matrix, self._numbers.numpy()[chosen], column, self._release, columns)


class JoinedRows(RowSource):
    """Rows [n, k1 + k2 + ...] of several sources of n rows, side by side."""

    near = True

    def __init__(self, sources: Sequence[RowSource]) -> None:
        self.sources = list(sources)
        self.shape = (len(sources[0]), sum(source.shape[1] for source in sources))
        self.dtype, self.device = sources[0].dtype, sources[0].device

    def take(self, index: Tensor) -> Tensor:
        """Return the rows at numbers [j], in memory: [j, k1 + k2 + ...]."""
        return torch.cat([source.take(index) for source in self.sources], dim=1)

    def select(self, chosen: NDArray[Any]) -> JoinedRows:
        """Return the rows of a mask [n] or at numbers, without reading them."""
        return JoinedRows([source.select(chosen) for source in self.sources])


class NearStream:
    """Row numbers like those of `Stream`, of which consecutive ones are from a thousand places of the file.

    They depend only on the seed and the position; every row occurs once before any is repeated.
    """

    def __init__(self, rows: int, seed: int) -> None:
        self.rows, self.seed = rows, seed
        self._pass, self._block = -1, (-1, -1)
        self._runs = self._starts = self._rows = torch.empty(0, dtype=torch.int64)

    def take(self, start: int, size: int) -> Tensor:
        """Return the numbers `start` to `start + size` of the stream."""
        parts = []
        while size > 0:
            number, offset = divmod(start, self.rows)
            part = self._from(number, offset, size)
            parts.append(part)
            start, size = start + len(part), size - len(part)
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def _from(self, number: int, offset: int, size: int) -> Tensor:
        """Return at most `size` rows of a pass from a position on, up to the end of its block."""
        if number != self._pass:
            self._runs = torch.randperm(-(-self.rows // RUN), generator=self._random(number, 0))
            lengths = (self.rows - self._runs * RUN).clamp_max(RUN)
            self._starts = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])[::RUNS].contiguous()
            self._pass = number
        block = int(torch.searchsorted(self._starts, offset, right=True)) - 1
        if self._block != (number, block):
            runs = self._runs[block * RUNS : (block + 1) * RUNS]
            rows = (runs[:, None] * RUN + torch.arange(RUN)).flatten()
            rows = rows[rows < self.rows]
            self._rows = rows[torch.randperm(len(rows), generator=self._random(number, block + 1))]
            self._block = number, block
        first = offset - int(self._starts[block])
        return self._rows[first : first + size].clone()

    def _random(self, number: int, block: int) -> torch.Generator:
        seed = ((self.seed * 1_000_003 + number * 7919) * 104_729 + block) % (2**63)
        return torch.Generator().manual_seed(seed)
