"""Toys whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from hepda.adversarial import DomainRows, Head, Network, Reversal, Trainer, class_weights, mlp, seeded


def pivot_rows(n: int, seed: int) -> DomainRows:
    """Louppe, Kagan & Cranmer (1611.01046): y = 0 N(0, [[1, -.5], [-.5, 1]]), y = 1 N((1, 1 + z), 1), z ~
    N(0, 1).
    """
    rng = np.random.default_rng(seed)
    label, z = np.repeat([0, 1], n // 2), rng.normal(size=n)
    background = rng.multivariate_normal([0.0, 0.0], [[1.0, -0.5], [-0.5, 1.0]], n)
    signal = rng.normal(size=(n, 2)) + np.stack([np.ones(n), 1.0 + z], axis=1)
    x = np.where(label[:, None] == 1, signal, background).astype(np.float32)
    return DomainRows(x, {"class": label, "z": z}, masks={"signal": label == 1})


def pivot(strength: float, epochs: int = 60) -> tuple[float, float]:
    """Class loss, and the loss of the nuisance head, on signal rows that were not trained on."""
    with seeded(1):
        heads = [
            Head("class", mlp(20, [], 1)),
            Head(
                "z",
                mlp(1, [20, 20], 15),
                loss="mixture",
                rows="signal",
                input="class",
                steps=10,
                rate=5.0,
                reversal=Reversal(strength, "linear", warmup=5),
            ),
        ]
        net = Network(mlp(2, [20, 20]), heads)
    trainer = Trainer(epochs=epochs, batch_size=512, learning_rate=2e-3, device="cpu", seed=1)
    look = pivot_rows(20000, 1)
    history = trainer.fit(net, pivot_rows(6000, 0), None, validation=(look, None))
    return history["validation_class_loss"][-1], history["validation_z_loss"][-1]


@pytest.mark.slow
def test_learning_to_pivot_raises_the_nuisance_loss_to_the_entropy() -> None:
    """With a strong reversal the score says nothing about z: the loss rises to log(sqrt(2 pi e)) = 1.419, which is
    1.409 +- 0.007 on the rows that are looked at.
    """
    look = pivot_rows(20000, 1)
    z = look.targets["z"][look.masks["signal"]]
    entropy, error = 0.5 * math.log(2 * math.pi) + 0.5 * float(np.mean(z**2)), float(np.std(z**2)) / 2 / len(z) ** 0.5
    assert entropy == pytest.approx(0.5 * math.log(2 * math.pi * math.e), abs=2 * error)
    weak_class, weak = pivot(0.01, epochs=15)  # nothing to balance: it has settled by then
    strong_class, strong = pivot(20.0)
    assert weak < entropy - 0.1
    assert strong == pytest.approx(entropy, abs=error)
    assert weak_class < strong_class < math.log(2)


def label_shift(n: int, signal: float, seed: int, moved: float) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Class along column 0; column 1 tells the domains apart."""
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < signal).astype(np.int64)
    x = rng.normal(size=(n, 2))
    x[:, 0] += 2.0 * label - 1.0
    x[:, 1] += moved
    return x.astype(np.float32), label


def auc(score: NDArray[np.float32], label: NDArray[np.int64]) -> float:
    rank = np.empty(len(score))
    rank[np.argsort(score)] = np.arange(1, len(score) + 1)
    ones = int(label.sum())
    return float((rank[label == 1].sum() - ones * (ones + 1) / 2) / (ones * (len(label) - ones)))


def adapted(physical: bool, strength: float = 10.0) -> tuple[float, float]:
    """AUC on the target, and weighted source accuracy, of a network adapted from 50:50 to data that are 5 %
    signal.
    """
    x, label = label_shift(6000, 0.5, 0, 0.0)
    other, _ = label_shift(6000, 0.05, 1, 0.7)
    test, truth = label_shift(20000, 0.05, 2, 0.7)
    # the physical mixture of the simulation is that of the data: 5 % signal
    mixture = np.where(label == 1, 0.05, 0.95)
    weights = {"class": class_weights(label), "domain": mixture if physical else np.ones(6000)}
    with seeded(3):
        domain = Head(
            "domain",
            mlp(16, [32, 32], 1),
            rows="both",
            weight="domain",
            rate=2.0,
            reversal=Reversal(strength),
        )
        net = Network(mlp(2, [32, 16]), [Head("class", mlp(16, [], 1), weight="class"), domain])
    trainer = Trainer(epochs=25, batch_size=500, learning_rate=2e-3, device="cpu", seed=3)
    history = trainer.fit(
        net, DomainRows(x, {"class": label}, weights), DomainRows(other, weights={"domain": np.ones(6000)})
    )
    return auc(net.predict(test, raw=True), truth), history["class_loss"][-1]


@pytest.mark.slow
def test_a_balanced_domain_loss_fails_under_label_shift_and_the_physical_one_holds() -> None:
    """The physics rule: class weights are not domain weights.

    Against data that are almost all background, a domain head that sees a balanced source learns the class,
    and confusing it erases the signal. With the physical mixture it sees the shift of column 1 alone.
    """
    balanced, balanced_loss = adapted(physical=False)
    physical, physical_loss = adapted(physical=True)
    best = auc(*label_shift_scores())  # 0.923
    assert physical > best - 0.01
    assert balanced < best - 0.03
    assert balanced_loss > physical_loss + 0.05


def label_shift_scores() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The best score there is: column 0 itself."""
    x, label = label_shift(20000, 0.05, 2, 0.7)
    return x[:, 0], label
