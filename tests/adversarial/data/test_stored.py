"""Rows that stay on the disk: the same rows, the same losses, an order that is a shuffle and stays near."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hepda.adversarial import DomainRows, Head, Network, Trainer, mlp, seeded
from hepda.adversarial.data import stored
from hepda.adversarial.data.stored import NearStream, RowSubset


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(stored, "RUN", 4)
    monkeypatch.setattr(stored, "RUNS", 8)


@pytest.mark.parametrize("rows", [1, 3, 31, 32, 33, 257])
def test_every_row_comes_once_a_pass(small, rows):
    stream = NearStream(rows, 7)
    numbers = torch.cat([stream.take(start, 5) for start in range(0, 5 * rows, 5)])
    passes = numbers.reshape(5, rows)
    for numbers_of_pass in passes:
        assert sorted(numbers_of_pass.tolist()) == list(range(rows))
    if rows > 30:
        assert not torch.equal(passes[0], passes[1])


def test_a_row_follows_from_the_seed_and_its_place_alone(small):
    numbers = NearStream(100, 3).take(0, 400)
    again = NearStream(100, 3)
    for start, size in ((350, 50), (0, 10), (95, 30), (12, 1), (199, 2)):  # across blocks and passes, back and forth
        assert torch.equal(again.take(start, size), numbers[start : start + size])
    assert not torch.equal(NearStream(100, 4).take(0, 100), numbers[:100])


def test_what_comes_together_is_from_everywhere_and_lies_in_few_places():
    rows = 2_000_000
    block = NearStream(rows, 1).take(0, stored.RUN * stored.RUNS).numpy()
    assert len(np.unique(block // stored.RUN)) == stored.RUNS
    share = np.histogram(block, 10, (0, rows))[0] / len(block)
    assert np.abs(share - 0.1).max() < 5 * np.sqrt(0.1 * 0.9 / stored.RUNS)
    # Within it rows come in no order: neighbours of a batch are not neighbours of the file.
    assert abs(np.corrcoef(block[:-1], block[1:])[0, 1]) < 0.01


def test_picked_rows_are_those_of_the_matrix():
    matrix = torch.arange(60, dtype=torch.float32).reshape(20, 3)
    index, column = np.array([1, 4, 5, 19], np.int32), np.array([7, 8, 9, 10], np.float32)
    plain, more = RowSubset(matrix, index), RowSubset(matrix, index, column)
    assert len(plain) == 4 and plain.shape == (4, 3) and more.shape == (4, 4)
    assert torch.equal(plain[1:3], matrix[[4, 5]]) and torch.equal(plain[torch.tensor([3, 0])], matrix[[19, 1]])
    assert more[torch.tensor([3])].tolist() == [[57.0, 58.0, 59.0, 10.0]]
    assert np.array_equal(np.asarray(more)[:, 3], column)
    assert np.array_equal(np.asarray(more.select(np.array([False, True, False, True]))), np.asarray(more)[[1, 3]])


def test_what_was_read_is_let_go(monkeypatch):
    monkeypatch.setattr(stored, "_PAGES", 10)
    gone = []
    rows = RowSubset(torch.zeros(100, 2), np.arange(100, dtype=np.int32), None, lambda: gone.append(1))
    for start in range(0, 100, 5):
        rows[start : start + 5]
    assert len(gone) == 9


def trained(features, label, weight):
    network = seeded_network()
    source, look = DomainRows(features, {"class": label}, {"class": weight}), None
    history = Trainer(epochs=2, batch_size=64, patience=None, seed=5).fit(network, source, validation=look)
    return network, history


def seeded_network():
    with seeded(2):
        return Network(mlp(3, [8]), [Head("class", mlp(8, [], 1), weight="class")])


def test_a_training_on_picked_rows_is_that_on_the_rows_in_memory(monkeypatch):
    generator = np.random.default_rng(1)
    matrix = generator.normal(size=(1000, 3)).astype(np.float32)
    index = np.flatnonzero(generator.random(1000) < 0.5).astype(np.int32)
    label = (matrix[index, 0] + generator.normal(size=len(index)) > 0).astype(np.float32)
    weight = generator.uniform(0.5, 1.5, len(index))
    from hepda.adversarial.data import batches

    picked, other = trained(RowSubset(torch.from_numpy(matrix), index), label, weight)
    monkeypatch.setattr(batches, "Stream", lambda rows, seed, device: NearStream(rows, seed))  # the same order of rows
    plain, history = trained(matrix[index], label, weight)
    assert history.columns["class_loss"] == other.columns["class_loss"]
    for parameter, two in zip(picked.parameters(), plain.parameters(), strict=True):
        assert torch.equal(parameter, two)
    assert np.array_equal(picked.predict(RowSubset(torch.from_numpy(matrix), index)), plain.predict(matrix[index]))
