"""Rows of a domain, and shuffled batches of source and target rows.

The shuffle of a domain is an endless stream of rows: one permutation of all rows after another. Which rows a
step uses depends only on the seed and the number of the step, so a resumed run needs no saved position,
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
from hepda.adversarial.data.transfer import PinnedBatch
from hepda.adversarial.distributed import shard
from hepda.errors import ConfigError, DataError
from hepda.timing import timed

Column = Any  # a numpy array or a tensor
Transform = Callable[[Tensor, torch.Generator], Tensor]
"""From rows [n, ...] and the random numbers of the step to the same number of rows: augmentation, for example."""


def as_tensor(values: Any) -> Tensor:
    """Return a tensor, over the same memory where possible (memory maps stay maps, channels last stay last)."""
    if isinstance(values, Tensor):
        return values
    array = values if isinstance(values, np.ndarray) else np.asarray(values)
    last = array.ndim == 4 and array.transpose(0, 2, 3, 1).flags.c_contiguous
    with warnings.catch_warnings():
        # torch warns about read-only arrays; nothing here writes to rows
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array if last else np.ascontiguousarray(array))


def channels_last(features: Tensor | RowSource) -> bool:
    """Return whether rows [n, c, h, w] of several channels have the channels of a pixel adjacent in memory."""
    if isinstance(features, RowSource) or features.dim() != 4 or features.shape[1] == 1:
        return False
    return features.is_contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, slots=True)
class DomainRows:
    """The rows of one domain. Arrays, tensors, memory maps or a `RowSource`; nothing is copied.

    Attributes:
        features: [n, ...], float32 (other types are converted once; uint8 and half precision are converted in the
            batch).
        targets: targets of the heads, by name: [n] or [n, d]. Labels 0/1, class numbers, or real values.
        weights: event weights by name [n]; signs are kept.
        masks: which rows belong to a group, by name: bool [n].
        transform: change of the rows of a batch in training, as floats on the training's device; validation, scorers
            and predictions use unchanged rows. Its random numbers depend only on the seed and the number of the step
            (and the worker), so a resumed training draws the same.
        partners: of target rows that are variations of the n source rows: k rows for each, row i + j n (j < k) for
            source row i, which are in a batch with it; so they do not fluctuate against each other. 0: rows of their
            own, in an order of their own.

    """

    features: Column
    targets: Mapping[str, Column] = field(default_factory=dict)
    weights: Mapping[str, Column] = field(default_factory=dict)
    masks: Mapping[str, Column] = field(default_factory=dict)
    transform: Transform | None = None
    partners: int = 0

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
        """Return the rows of an index or a boolean mask [n], which are no partners of source rows."""
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
    """A domain in the form of the training loop: features [n, ...], targets and weights [n, c], and the transform.

    partners: as of `DomainRows`.
    """

    features: Tensor | RowSource
    columns: Tensor
    transform: Transform | None = None
    partners: int = 0

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of a step: the first `n_source` are source, the others target.

    Attributes:
        features: [n, ...].
        columns: targets and weights [n, c].
        n_source: number of source rows.
        all_rows: source and target rows of all workers; None: these are all.
        generator: the step's random numbers, of this worker.
        common: the same numbers on all workers.

    """

    features: Tensor
    columns: Tensor
    n_source: int
    all_rows: tuple[int, int] | None = None
    generator: torch.Generator | None = None
    common: torch.Generator | None = None

    @property
    def rows(self) -> tuple[int, int]:
        """Source and target rows of all workers."""
        return self.all_rows or (self.n_source, len(self.features) - self.n_source)


class Stream:
    """Row numbers of one domain in shuffled order, without end; every row occurs once before any is repeated.

    They are drawn on the CPU, so that they are the same on every device, and moved once for each pass.
    """

    def __init__(self, rows: int, seed: int, device: torch.device | None = None) -> None:
        self.rows, self.seed, self.device = rows, seed, device or torch.device("cpu")
        self._pass = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def _permutation(self, number: int) -> Tensor:
        if number != self._pass:
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + number * 7919) % (2**63))
            order = torch.randperm(self.rows, generator=generator)
            if self.device.type == "cuda":  # not from pinned memory, the copy would wait for the device
                order = order.pin_memory().to(self.device, non_blocking=True)
            self._order, self._pass = order, number
        return self._order

    def take(self, start: int, size: int) -> Tensor:
        """Return the numbers `start` to `start + size` of the stream."""
        number, offset = divmod(start, self.rows)
        order = self._permutation(number)
        if offset + size <= self.rows:
            return order[offset : offset + size]
        parts = [order[offset:].clone()]
        missing = size - len(parts[0])
        while missing > 0:
            number += 1
            parts.append(self._permutation(number)[:missing].clone())
            missing -= len(parts[-1])
        return torch.cat(parts)


def _stream(table: DomainTable, seed: int) -> Stream | NearStream:
    """Return the order of a domain's rows: `NearStream` if they are read from a file."""
    if isinstance(table.features, RowSource) and table.features.near:
        return NearStream(len(table), seed)
    return Stream(len(table), seed, table.columns.device)


def batch_sizes(
    batch_size: int, target_size: int | None, source_rows: int, target_rows: int, partners: int = 0
) -> tuple[int, int]:
    """Return source and target rows of a step: the requested numbers, or all rows if there are fewer.

    Target rows that are partners of source rows (`DomainRows`) are as many as these have.

    Raises:
        DataError: not every source row has all its partners.

    """
    if partners:
        if target_rows != partners * source_rows:
            raise DataError(f"{source_rows} source rows with {partners} partners each, but {target_rows} target rows")
        n_source = min(batch_size, source_rows)
        return n_source, partners * n_source
    return min(batch_size, source_rows), min(target_size or batch_size, target_rows)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where batches are used, and by which process.

    Attributes:
        device: device of the batches.
        rank: number of this process.
        ranks: number of processes; each has its part of every batch.
        memory_format: memory format of batches of four dimensions.

    """

    device: torch.device
    rank: int = 0
    ranks: int = 1
    memory_format: torch.memory_format = torch.preserve_format


class PairedBatches:
    """Batches of `batch_size` source rows and their share of target rows, in buffers that are used again.

    Args:
        source: the source table.
        target: the target table, or None.
        batch_size: source rows of a step (all of them, if there are fewer).
        target_size: target rows of a step; None: as many as source rows.
        seed: seed of the shuffles.
        placement: device and process.

    """

    def __init__(
        self,
        source: DomainTable,
        target: DomainTable | None,
        batch_size: int,
        target_size: int | None,
        seed: int,
        placement: Placement,
    ) -> None:
        device, rank, ranks = placement.device, placement.rank, placement.ranks
        self.source, self.target, self.device = source, target, device
        self.rank, self.seed = rank, seed
        target_rows, self.partners = (0, 0) if target is None else (len(target), target.partners)
        self.n_source, self.n_target = batch_sizes(batch_size, target_size, len(source), target_rows, self.partners)
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
        self._format = placement.memory_format if features.dim() == 4 else torch.preserve_format
        # Rows in the memory order of the batch are copied entirely: a change of order takes as long as half a layer.
        self._last = self._format == torch.channels_last and all(
            channels_last(table.features) for table in (source, target) if table is not None
        )
        self._features = torch.empty(
            (rows, *features.shape[1:]), dtype=features.dtype, device=features.device,
            memory_format=torch.channels_last if self._last else torch.contiguous_format,
        )  # fmt: skip
        pins = device.type == "cuda" and self._features.device.type == "cpu"
        self._pinned = PinnedBatch((self._features, self._columns), device) if pins else None
        self._generator, self._common = torch.Generator(device), torch.Generator(device)

    @timed("batches")
    def __call__(self, step: int) -> Batch:
        """Return the batch of a step. It, and its random numbers, are valid until the next call."""
        n = self.local_source
        if self._pinned is not None:
            self._features, self._columns = self._pinned.to_fill()
        source_index = self._source.take(step * self.n_source, self.n_source)
        self._gather(self.source, source_index[self._parts[0]], slice(0, n))
        if self._target is not None and self.target is not None:
            if self.partners:
                index = torch.cat([source_index + number * len(self.source) for number in range(self.partners)])
            else:
                index = self._target.take(step * self.n_target, self.n_target)
            self._gather(self.target, index[self._parts[1]], slice(n, None))
        for generator, who in ((self._generator, self.rank), (self._common, 1008)):
            generator.manual_seed(((self.seed * 1_000_003 + step) * 1009 + who) % (2**63))
        features, columns = self._features, self._columns
        if self._pinned is not None:
            features, columns = self._pinned.upload()
        if self._format != torch.preserve_format:  # bytes are moved in half the time of floats
            features = features.contiguous(memory_format=self._format)
        features, columns = features.to(self.device, columns.dtype), columns.to(self.device)
        all_rows = self.n_source, self.n_target
        return Batch(self._transformed(features, n), columns, n, all_rows, self._generator, self._common)

    def _transformed(self, features: Tensor, n: int) -> Tensor:
        """Return the rows after the transforms of their domains; a common transform is called once, for all rows."""
        of_source, of_target = self.source.transform, None if self.target is None else self.target.transform
        if of_source is None and of_target is None:
            return features
        if of_source is not None and (self.target is None or of_source is of_target):
            return of_source(features, self._generator)
        parts = [(of_source, features[:n]), (of_target, features[n:])]
        return torch.cat([rows if change is None else change(rows, self._generator) for change, rows in parts])

    def _gather(self, table: DomainTable, index: Tensor, rows: slice) -> None:
        if isinstance(table.features, RowSource):
            self._features[rows] = table.features.take(index)
        elif self._last:
            order = (0, 2, 3, 1)
            torch.index_select(table.features.permute(order), 0, index, out=self._features[rows].permute(order))
        else:
            torch.index_select(table.features, 0, index, out=self._features[rows])
        torch.index_select(table.columns, 0, index, out=self._columns[rows])
