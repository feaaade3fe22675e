"""The split by hash: uniform, independent of order, of folds and validation of one another."""

from __future__ import annotations

import numpy as np
import pytest

from hepda.events.dataset.splits import event_key, fold_of, is_validation, splitmix64


def test_splitmix64_gives_the_published_numbers() -> None:
    # First outputs of the generator seeded with 1234567 (its state grows by the golden ratio each time).
    states = np.uint64(1234567) + np.arange(3, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert splitmix64(states).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_same_event_same_key_whatever_the_type_and_order() -> None:
    run, event = np.array([1, 2, 3]), np.array([10, 20, 30])
    key = event_key(run, event)
    assert event_key(run.astype(np.uint32), event.astype(np.uint64)).tolist() == key.tolist()
    assert event_key(run[::-1], event[::-1]).tolist() == key[::-1].tolist()
    assert event_key(event, run).tolist() != key.tolist()


def test_unsigned_64_bit_numbers_are_told_apart() -> None:
    event = np.array([2**63, 2**63 + 1, 2**64 - 1, 0, 1], dtype=np.uint64)
    assert len(set(event_key(np.zeros(5, np.uint32), event).tolist())) == 5


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_shares_and_independence(folds: int) -> None:
    n = 200_000
    key = event_key(np.full(n, 284500), np.arange(n))
    fold, validation = fold_of(key, folds), is_validation(key, 0.2)
    for f in range(folds):
        assert (fold == f).mean() == pytest.approx(1 / folds, abs=5 / np.sqrt(n))
        assert validation[fold == f].mean() == pytest.approx(0.2, abs=5 * 0.4 / np.sqrt(n / folds))
