"""Gradients block by block of rows are those of autograd."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hepda.adversarial import Head, Network, Reversal, Rows, Trainer, mlp, seeded
from hepda.adversarial.networks.kernels import PRODUCTS, Fast
from hepda.adversarial.networks.losses import LOSSES
from hepda.adversarial.terms.alignment import Coral
from hepda.adversarial.training import blocks as module
from hepda.adversarial.training.blocks import Blocks
from hepda.adversarial.training.run import Run
from tests.adversarial.data import network, shifted


def rows(n: int = 700) -> tuple[Rows, Rows]:
    """As `shifted`, with a class of three and a vector to predict, on both domains."""
    source, target = shifted(n)
    rng = np.random.default_rng(5)
    extra = {"kind": rng.integers(0, 3, n), "vector": rng.normal(size=(n, 2))}
    weight = {**source.weights, "event": rng.normal(1.0, 0.8, n)}
    return (
        Rows(source.features, {**source.targets, **extra}, weight, source.masks),
        Rows(target.features, {"vector": extra["vector"][::-1].copy()}, {**target.weights, "event": weight["event"]}),
    )


def many_heads(activation: str) -> Network:
    """Every loss with a slope, on every kind of rows; some reversed, scaled, smoothed."""
    with seeded(2):
        heads = [
            Head("class", mlp(16, [8], 1, activation=activation), weight="class", smoothing=0.1),
            Head("kind", mlp(16, [], 3), loss="multiclass", weight="event", scale=0.3, smoothing=0.2),
            Head("vector", mlp(16, [8], 2), loss="regression", rows="target", weight="event"),
            Head(
                "everywhere", mlp(16, [8], 2), loss="regression", target="vector", rows="both", reversal=Reversal(0.7)
            ),
            Head("domain", mlp(16, [8, 8], 1), rows="background", weight="domain", reversal=Reversal(1.5)),
        ]
        return Network(mlp(6, [32, 16], activation=activation), heads)


def run_of(net: Network, **settings: Any) -> Run:
    source, target = rows()
    sizes = {"batch_size": 300, "target_size": 200, "epochs": 10}
    trainer = Trainer(**{**sizes, "device": "cpu", "blocks": True, **settings})
    with seeded(0):
        return Run(trainer, net.to(trainer.dtype()), source, target, None, torch.device("cpu"), 0, 1)


def gradients(run: Run, blocks: Blocks | None, step: int = 3) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    run.optimizers.clear()
    run.blocks = blocks
    run.objective.advance(4.0, 10.0)
    meters = run._gradients(run.batches(step), True, None)
    return {k: p.grad.clone() for k, p in run.network.named_parameters() if p.grad is not None}, meters


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
@pytest.mark.parametrize("size", [64, 4096])  # several blocks, of which one has rows of both domains; one block
def test_blocks_give_the_gradients_and_meters_of_autograd(activation: str, size: int) -> None:
    net = many_heads(activation)
    run = run_of(net, precision="float64")
    expected, counted = gradients(run, None)
    with Fast(net, PRODUCTS["plain"]):
        blocks = Blocks.of(run.objective)
        assert blocks is not None
        blocks.rows = size
        for _ in range(2):  # the second time nothing is left of the first
            found, meters = gradients(run, blocks)
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert torch.allclose(found[name], value, rtol=1e-6, atol=1e-8), name
    for name, meter in counted.items():
        assert torch.allclose(meters[name], meter, rtol=1e-9), name


@pytest.mark.parametrize("kernels", ["onednn", "bfloat16"])
def test_with_other_products_they_differ_by_rounding(kernels: str) -> None:
    net = many_heads("relu")
    run = run_of(net)
    expected, _ = gradients(run, None)
    with Fast(net, PRODUCTS[kernels]):
        found, _ = gradients(run, Blocks.of(run.objective))
    for name, value in expected.items():
        within = (0.1 if kernels == "bfloat16" else 1e-4) * float(value.norm())
        assert float((found[name] - value).norm()) < within, name


def test_the_written_derivatives_are_those_of_the_losses() -> None:
    with seeded(4):
        output = torch.randn(20, 3, dtype=torch.float64)
        targets = {
            "binary": torch.rand(20, 1, dtype=torch.float64),
            "multiclass": torch.randint(0, 3, (20, 1)).double(),
            "regression": torch.randn(20, 3, dtype=torch.float64),
        }
    assert set(targets) == {name for name, loss in LOSSES.items() if loss.slope is not None}
    for name, target in targets.items():
        slope = LOSSES[name].slope
        assert slope is not None
        for smoothing in (0.0, 0.3):
            given = output[:, :1] if name == "binary" else output
            given = given.clone().requires_grad_(True)
            (expected,) = torch.autograd.grad(LOSSES[name].rows(given, target, smoothing).sum(), given)
            assert torch.allclose(slope(given.detach(), target, smoothing), expected), name


def test_what_blocks_cannot_do_is_left_to_autograd() -> None:
    def possible(net: Network) -> bool:
        run = run_of(net)
        with Fast(net, PRODUCTS["plain"]):
            return Blocks.of(run.objective) is not None

    assert possible(network())
    assert not possible(network(dropout=0.1))
    assert not possible(network(gradient_penalty=1.0))
    with seeded(0):
        assert not possible(Network(mlp(6, [8]), [Head("class", mlp(8, [], 1))], terms=[Coral()]))
        reading = Head("domain", mlp(1, [8], 1), rows="both", input="class", reversal=Reversal(1.0))
        assert not possible(Network(mlp(6, [8]), [Head("class", mlp(8, [], 1)), reading]))
        frozen = Network(mlp(6, [8]), [Head("class", mlp(8, [], 1))])
    frozen.encoder.requires_grad_(False)
    assert not possible(frozen)


def test_a_training_by_blocks_is_that_by_autograd(monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = shifted(1000)
    trainer = Trainer(epochs=3, batch_size=250, optimizer="sgd", learning_rate=0.05, seed=1, device="cpu", blocks=True)
    one, two = network(), network()
    trainer.fit(one, source, target)
    monkeypatch.setattr(module.Blocks, "of", lambda objective: None)
    trainer.fit(two, source, target)
    difference = np.abs(one.predict(source.features) - two.predict(source.features)).max()
    assert 0.0 < difference < 1e-5
