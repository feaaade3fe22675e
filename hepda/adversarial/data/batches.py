"""Rows of a domain, and shuffled batches of source and target rows side by side.

The shuffle of a domain is an endless stream of rows: one permutation of all rows after another. Which rows a
step sees follows from the seed and the number of the step alone, so a resumed run needs no saved position,
and the rows drawn from one domain never depend on the other.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hepda.adversarial.data.sources import RowSource
from hepda.adversarial.data.stored import NearStream
from hepda.adversarial.distributed import shard
from hepda.errors import ConfigError, DataError

Column = Any  # a numpy array or a tensor
Transform = Callable[[Tensor, torch.Generator], Tensor]
"""From rows [n, ...] and the random numbers of the step to rows of the same number: augmentation, for one."""


def as_tensor(values: Any) -> Tensor:
    """Return a tensor, over the same memory where possible (memory maps stay maps, channels last stay last)."""
    if isinstance(values, Tensor):
        return values
    array = values if isinstance(values, np.ndarray) else np.asarray(values)
    last = array.ndim == 4 and array.transpose(0, 2, 3, 1).flags.c_contiguous
    with warnings.catch_warnings():
        # torch warns of arrays it may not write to; nothing here writes to rows
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array if last else np.ascontiguousarray(array))


def channels_last(features: Tensor | RowSource) -> bool:
    """Return whether rows [n, c, h, w] of several channels lie in memory with the channels of a pixel side by side."""
    if isinstance(features, RowSource) or features.dim() != 4 or features.shape[1] == 1:
        return False
    return features.is_contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, slots=True)
class DomainRows:
    """The rows of one domain. Arrays, tensors, memory maps or a `RowSource`; nothing is copied.

    Attributes:
        features: [n, ...], float32 (anything else is converted once; uint8 and half precision stay as they are
            stored, and are converted in the batch).
        targets: what heads predict, by name: [n] or [n, d]. Labels 0/1, class numbers, or real values.
        weights: event weights by name [n]; signs are kept.
        masks: which rows belong to a group, by name: bool [n].
        transform: what is done to the rows of a batch in training, as floats on the training's device; validation,
            scorers and predictions see the rows as they are. Its random numbers follow from the seed and the number
            of the step (and the worker), so a resumed training draws the same.

    """

    features: Column
    targets: Mapping[str, Column] = field(default_factory=dict)
    weights: Mapping[str, Column] = field(default_factory=dict)
    masks: Mapping[str, Column] = field(default_factory=dict)
    transform: Transform | None = None

    def __post_init__(self) -> None:
        n = len(self.features)
        if n == 0:
            raise DataError("a domain without rows; check its selection")
        for kind in ("targets", "weights", "masks"):
            for name, values in getattr(self, kind).items():
                if len(values) != n:
                    raise DataError(f"{kind}[{name!r}] has {len(values)} rows, the features have {n}")

    def __len__(self) -> int:
        return len(self.features)

    def select(self, index: Column) -> DomainRows:
        """Return the rows of an index or a boolean mask [n]."""
        chosen = np.asarray(index)

        def take(values: Column) -> Column:
            if isinstance(values, RowSource):
                return values.select(chosen)
            return values[torch.from_numpy(chosen)] if isinstance(values, Tensor) else np.asarray(values)[chosen]

        return DomainRows(
            take(self.features),
            {k: take(v) for k, v in self.targets.items()},
            {k: take(v) for k, v in self.weights.items()},
            {k: take(v) for k, v in self.masks.items()},
            self.transform,
        )


@dataclass(frozen=True, slots=True)
class DomainTable:
    """A domain as the loop reads it: features [n, ...], one float matrix [n, c] of targets and weights, and what is
    done to its rows in a batch.
    """

    features: Tensor | RowSource
    columns: Tensor
    transform: Transform | None = None

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of a step: the first `n_source` are source, the others target.

    Attributes:
        features: [n, ...].
        columns: targets and weights [n, c].
        n_source: how many are source.
        whole: source and target rows of all workers; None: these are all.
        generator: the step's random numbers, of this worker.
        common: the same numbers on all workers.

    """

    features: Tensor
    columns: Tensor
    n_source: int
    whole: tuple[int, int] | None = None
    generator: torch.Generator | None = None
    common: torch.Generator | None = None

    @property
    def rows(self) -> tuple[int, int]:
        """Source and target rows of all workers."""
        return self.whole or (self.n_source, len(self.features) - self.n_source)


class Stream:
    """Row numbers of one domain in shuffled order, without end; every row once before any comes again."""

    def __init__(self, rows: int, seed: int) -> None:
        self.rows, self.seed = rows, seed
        self._pass = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def _permutation(self, number: int) -> Tensor:
        if number != self._pass:
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + number * 7919) % (2**63))
            self._order, self._pass = torch.randperm(self.rows, generator=generator), number
        return self._order

    def take(self, start: int, size: int) -> Tensor:
        """DomainRows `start` to `start + size` of the stream."""
        number, offset = divmod(start, self.rows)
        order = self._permutation(number)
        if offset + size <= self.rows:
            return order[offset : offset + size]
        parts = [order[offset:].clone()]
        rest = size - len(parts[0])
        while rest > 0:
            number += 1
            parts.append(self._permutation(number)[:rest].clone())
            rest -= len(parts[-1])
        return torch.cat(parts)


def _stream(table: DomainTable, seed: int) -> Stream | NearStream:
    """Return the order of a domain's rows; one that stays near where they are taken out of a file."""
    kind = NearStream if isinstance(table.features, RowSource) and table.features.near else Stream
    return kind(len(table), seed)


def batch_sizes(batch_size: int, target_size: int | None, source_rows: int, target_rows: int) -> tuple[int, int]:
    """Source and target rows of a step: what is asked for, or all rows if there are fewer."""
    return min(batch_size, source_rows), min(target_size or batch_size, target_rows)


class PairedBatches:
    """Batches of `batch_size` source rows and their share of target rows, gathered into buffers that are
    kept.

    Args:
        source: the source table.
        target: the target table, or None.
        batch_size: source rows a step (all of them, if there are fewer).
        target_size: target rows a step; None: as many as source rows.
        seed: of the shuffles.
        device: where the batch is wanted.
        memory_format: of batches of four dimensions.
        rank, ranks: this process and their number; each takes its part of every batch.

    """

    def __init__(
        self,
        source: DomainTable,
        target: DomainTable | None,
        batch_size: int,
        target_size: int | None,
        seed: int,
        device: torch.device,
        rank: int = 0,
        ranks: int = 1,
        memory_format: torch.memory_format = torch.preserve_format,
    ) -> None:
        self.source, self.target, self.device = source, target, device
        self.rank, self.seed = rank, seed
        target_rows = 0 if target is None else len(target)
        self.n_source, self.n_target = batch_sizes(batch_size, target_size, len(source), target_rows)
        self.steps = max(1, round(len(source) / self.n_source))
        self._source = _stream(source, 2 * seed)
        self._target = None if target is None else _stream(target, 2 * seed + 1)
        few = [n for n in (self.n_source, self.n_target) if 0 < n < ranks]
        if few:
            raise ConfigError(f"a batch of {few[0]} rows of a domain cannot be shared by {ranks} processes")
        self._parts = [shard(n, rank, ranks) for n in (self.n_source, self.n_target)]
        self.local_source, local_target = (p.stop - p.start for p in self._parts)
        rows = self.local_source + local_target
        features, columns = source.features, source.columns
        self._columns = torch.empty((rows, columns.shape[1]), dtype=columns.dtype, device=columns.device)
        self._format = memory_format if features.dim() == 4 else torch.preserve_format
        # Rows that lie in memory as the batch wants them are copied whole: to turn them takes as long as half a layer.
        self._last = self._format == torch.channels_last and all(
            channels_last(table.features) for table in (source, target) if table is not None
        )
        self._features = torch.empty(
            (rows, *features.shape[1:]), dtype=features.dtype, device=features.device,
            memory_format=torch.channels_last if self._last else torch.contiguous_format,
        )  # fmt: skip
        self._generator, self._common = torch.Generator(device), torch.Generator(device)

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step. It, and its random numbers, live until the next one is asked for."""
        n = self.local_source
        index = self._source.take(step * self.n_source, self.n_source)[self._parts[0]]
        self._gather(self.source, index, slice(0, n))
        if self._target is not None and self.target is not None:
            index = self._target.take(step * self.n_target, self.n_target)[self._parts[1]]
            self._gather(self.target, index, slice(n, None))
        for generator, who in ((self._generator, self.rank), (self._common, 1008)):
            generator.manual_seed(((self.seed * 1_000_003 + step) * 1009 + who) % (2**63))
        dtype = self._columns.dtype
        features = self._features
        if self._format != torch.preserve_format:  # bytes are moved in half the time of floats
            features = features.contiguous(memory_format=self._format)
        features = features.to(self.device, dtype, non_blocking=True)
        columns = self._columns.to(self.device, non_blocking=True)
        whole = self.n_source, self.n_target
        return Batch(self._transformed(features, n), columns, n, whole, self._generator, self._common)

    def _transformed(self, features: Tensor, n: int) -> Tensor:
        """Rows of a batch after the transforms of their domains; one that both have is called once, for all."""
        here, there = self.source.transform, None if self.target is None else self.target.transform
        if here is None and there is None:
            return features
        if here is not None and (self.target is None or here is there):
            return here(features, self._generator)
        parts = [(here, features[:n]), (there, features[n:])]
        return torch.cat([rows if change is None else change(rows, self._generator) for change, rows in parts])

    def _gather(self, table: DomainTable, index: Tensor, rows: slice) -> None:
        index = index.to(table.features.device)
        if isinstance(table.features, RowSource):
            self._features[rows] = table.features.take(index)
        elif self._last:
            order = (0, 2, 3, 1)
            torch.index_select(table.features.permute(order), 0, index, out=self._features[rows].permute(order))
        else:
            torch.index_select(table.features, 0, index, out=self._features[rows])
        torch.index_select(table.columns, 0, index, out=self._columns[rows])
