"""Rows that are computed when a batch asks for them train as those in memory do, to the last bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from hepda.adversarial import DomainRows, Head, History, Network, Reversal, Trainer, mlp, seeded
from hepda.adversarial.data.sources import ComputedRows
from hepda.adversarial.training.selection import find_scorer
from tests.adversarial.toys import shifted


def net() -> Network:
    with seeded(1):
        heads = [Head("class", mlp(16, [], 1)), Head("domain", mlp(16, [8], 1), rows="both", reversal=Reversal(1.0))]
        return Network(mlp(12, [32, 16]), heads)


def windows(rows: DomainRows) -> tuple[DomainRows, DomainRows]:
    """Every row and the one before it [n, 2, k], in memory and computed."""
    features = torch.from_numpy(rows.features)

    def compute(numbers: Tensor) -> Tensor:
        return torch.stack([features[numbers - 1], features[numbers]], dim=1)

    numbers = torch.arange(len(rows))
    return replace(rows, features=compute(numbers).flatten(1)), replace(
        rows, features=ComputedRows(numbers, lambda n: compute(n).flatten(1))
    )


@pytest.mark.parametrize("scorer", [None, "reverse", "probe-auc"])
def test_computed_rows_train_validate_and_score_as_those_in_memory(scorer: str | None) -> None:
    (source, computed), (target, other) = (windows(rows) for rows in shifted(600))
    held_out, trained = np.arange(600) < 150, np.arange(600) >= 150
    score = None if scorer is None else find_scorer(scorer)
    trainer = Trainer(epochs=4, batch_size=100, patience=3, scorer=score, seed=3, device="cpu", kernels="plain")

    def fit(source_rows: DomainRows, target_rows: DomainRows) -> tuple[History, Network]:
        network = net()
        look = source_rows.select(held_out), target_rows.select(held_out)
        return trainer.fit(network, source_rows.select(trained), target_rows.select(trained), validation=look), network

    (history, first), (other_history, second) = fit(source, target), fit(computed, other)
    assert history["class_loss"] == other_history["class_loss"] and history["score"] == other_history["score"]
    assert history.best_epoch == other_history.best_epoch
    assert np.array_equal(first.predict(source.features), second.predict(computed.features))


def test_what_is_computed_may_change_between_epochs_and_a_transform_comes_on_top() -> None:
    factor = [1.0]
    source = ComputedRows(torch.arange(20), lambda n: factor[0] * n[:, None].double())
    assert source.shape == (20, 1) and source.dtype == torch.float64 and len(source) == 20
    factor[0] = 2.0
    assert source.take(torch.tensor([3, 1]))[:, 0].tolist() == [6.0, 2.0]
    assert source.select(np.array([5, 7]))[:][:, 0].tolist() == [10.0, 14.0]
    large = 2**24 + 1  # a number that float32 does not have
    assert int(ComputedRows(torch.tensor([large]), lambda n: n[:, None]).take(torch.tensor([0]))) == large


def test_a_computed_row_is_asked_for_by_batches_alone() -> None:
    asked: list[int] = []

    def compute(numbers: Tensor) -> Tensor:
        asked.append(len(numbers))
        return torch.ones(len(numbers), 12)

    rows = DomainRows(ComputedRows(torch.arange(500), compute), {"class": np.arange(500) % 2})
    network = net()
    network.normalization = None
    Trainer(epochs=1, batch_size=100, seed=0, device="cpu").fit(network, rows)
    assert max(asked) == 100 and sum(asked) == 501  # one to know the shape
