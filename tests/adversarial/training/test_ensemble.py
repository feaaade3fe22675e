from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hepda.adversarial import History, Trainer
from hepda.adversarial.training import ensemble
from hepda.adversarial.training.ensemble import Job, fit_all
from tests.adversarial.data import network, shifted

TRAINER = Trainer(epochs=2, batch_size=300, device="cpu", kernels="plain")


def jobs() -> list[Job]:
    source, target = shifted(900)
    fold = np.arange(900) % 3
    return [
        Job(replace(TRAINER, seed=k), network(seed=k, dropout=0.1), source.select(fold != k), target) for k in range(2)
    ]


@pytest.fixture(autouse=True)
def one_thread():
    """What `fit_all` promises is the numbers of one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_side_by_side_is_one_after_the_other(workers: int) -> None:
    source, target = shifted(900)
    together, apart = jobs(), jobs()
    histories = fit_all(together, workers)
    for job, history, other in zip(together, histories, apart, strict=True):
        alone = other.trainer.fit(other.network, other.source, target)
        assert history["class_loss"] == alone["class_loss"]
        assert np.array_equal(job.network.predict(source.features), other.network.predict(source.features))


def test_what_auto_stands_for_is_decided_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that measure for themselves might differ; this one says what none of them could measure here."""
    asked: list[str] = []

    def fit(job: Job) -> History:
        asked.append(job.trainer.kernels)
        return History()

    monkeypatch.setattr(ensemble, "_fit", fit)
    for faster in (True, False):
        monkeypatch.setattr("hepda.adversarial.training.trainer.worthwhile", lambda faster=faster: faster)
        fit_all([replace(job, trainer=replace(TRAINER, kernels="auto")) for job in jobs()])
    assert asked == ["onednn", "onednn", "plain", "plain"]
