from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hepda.adversarial import DomainRows
from hepda.adversarial.data.batches import DomainTable, PairedBatches, Placement, Stream, as_tensor, batch_sizes
from hepda.errors import DataError

CPU = torch.device("cpu")


def test_a_stream_gives_every_row_once_before_any_comes_again() -> None:
    stream = Stream(10, seed=3)
    numbers = torch.cat([stream.take(4 * i, 4) for i in range(5)])
    assert sorted(numbers[:10].tolist()) == sorted(numbers[10:].tolist()) == list(range(10))
    assert numbers[:10].tolist() != numbers[10:].tolist()
    # what a step sees follows from its number alone
    assert torch.equal(Stream(10, seed=3).take(12, 4), numbers[12:16])
    assert Stream(3, seed=0).take(1, 8).bincount().tolist() in ([3, 3, 2], [3, 2, 3], [2, 3, 3])


def table(rows: int, offset: int) -> DomainTable:
    values = torch.arange(offset, offset + rows, dtype=torch.float32)[:, None]
    return DomainTable(values.repeat(1, 2), values)


def test_batches_pair_the_domains_and_keep_rows_with_their_columns() -> None:
    batches = PairedBatches(table(100, 0), table(30, 1000), 20, 10, 1, Placement(CPU))
    assert batches.steps == 5
    seen = []
    for step in range(5):
        batch = batches(step)
        assert batch.n_source == 20
        assert len(batch.features) == 30
        assert torch.equal(batch.features[:, :1], batch.columns)
        assert bool((batch.columns[:20] < 1000).all())
        assert bool((batch.columns[20:] >= 1000).all())
        seen += batch.columns[:20, 0].tolist()
    assert sorted(seen) == list(range(100))


def test_the_parts_of_workers_make_the_whole_batch() -> None:
    batch = PairedBatches(table(50, 0), table(50, 1000), 11, None, 1, Placement(CPU))(2)
    parts = [PairedBatches(table(50, 0), table(50, 1000), 11, None, 1, Placement(CPU, rank, 3))(2) for rank in range(3)]
    together = torch.cat([p.columns for p in parts])
    assert sorted(together[:, 0].tolist()) == sorted(batch.columns[:, 0].tolist())


def test_fewer_rows_than_a_batch() -> None:
    assert batch_sizes(1024, None, 10, 2000) == (10, 1024)
    assert batch_sizes(1024, 100, 2000, 0) == (1024, 0)
    assert PairedBatches(table(10, 0), None, 1024, None, 0, Placement(CPU)).steps == 1


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_rows_that_lie_with_channels_last_make_the_same_batches(kind: type) -> None:
    """Whichever order they lie in, and whether both domains lie in the same one."""
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 256, (2, 20, 3, 4, 5)).astype(kind)
    channels_last = [np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) for images in rows]
    columns = torch.arange(20.0)[:, None]

    def batches(source: NDArray[Any], target: NDArray[Any]) -> list[torch.Tensor]:
        tables = [DomainTable(as_tensor(values), columns) for values in (source, target)]
        last = [table.features.is_contiguous(memory_format=torch.channels_last) for table in tables]
        assert last == [values is channels_last[n] for n, values in enumerate((source, target))]
        paired = PairedBatches(*tables, 8, None, 3, Placement(CPU, memory_format=torch.channels_last))
        return [paired(step).features.clone() for step in range(4)]

    expected = batches(rows[0], rows[1])
    for pair in ((channels_last[0], channels_last[1]), (channels_last[0], rows[1]), (rows[0], channels_last[1])):
        actual = batches(*pair)
        assert all(torch.equal(a, b) and a.stride() == b.stride() for a, b in zip(expected, actual, strict=True))


def test_memory_maps_stay_maps(tmp_path: Path) -> None:
    path = tmp_path / "features.npy"
    np.save(path, np.zeros((20, 2), dtype=np.float32))
    mapped = np.load(path, mmap_mode="r")
    rows = DomainRows(mapped)
    assert rows.features is mapped
    assert len(rows.select(np.arange(5))) == 5
    with pytest.raises(DataError, match="without rows"):
        DomainRows(np.empty((0, 2)))
