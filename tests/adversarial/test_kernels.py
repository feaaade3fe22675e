from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hepda.adversarial import Trainer, kernels, mlp, seeded
from hepda.errors import ConfigError
from tests.adversarial.data import network, shifted

present = pytest.mark.skipif(not kernels.agrees(), reason="this torch has no oneDNN linear layer to compare")


@present
def test_outputs_and_gradients_are_those_of_torch() -> None:
    with seeded(0):
        module = mlp(30, [128, 64], 1)
        x = torch.randn(100, 30)
    wanted = torch.autograd.grad(module(x).square().sum(), list(module.parameters()))
    with kernels.Fast(module, True):
        output = module(x)
        found = torch.autograd.grad(output.square().sum(), list(module.parameters()))
    assert module.product is None
    assert torch.allclose(output, module(x), atol=1e-5)
    for a, b in zip(found, wanted, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-4)


@present
def test_second_derivatives_are_those_of_torch() -> None:
    with seeded(0):
        module = mlp(30, [128, 64], 1)
        x = torch.randn(100, 30, requires_grad=True)

    def penalty() -> list[torch.Tensor]:
        (slope,) = torch.autograd.grad(module(x).square().sum(), x, create_graph=True)
        return list(torch.autograd.grad(slope.norm(dim=1).sub(1).square().mean(), list(module.parameters())))

    wanted = penalty()
    with kernels.Fast(module, True):
        found = penalty()
    assert all(float(w.abs().max()) > 0 for w in wanted[:1])
    for a, b in zip(found, wanted, strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-4 * float(b.abs().max()) + 1e-6)


@present
@pytest.mark.parametrize("change", [{}, {"gradient_penalty": 1.0}])
def test_a_training_is_the_same_but_for_rounding(change: dict[str, float]) -> None:
    source, target = shifted(600)
    trainer = Trainer(epochs=2, batch_size=200, device="cpu", kernels="onednn")
    a, b = network(**change), network(**change)
    trainer.fit(a, source, target)
    replace(trainer, kernels="plain").fit(b, source, target)
    assert np.abs(a.predict(source.features) - b.predict(source.features)).max() < 1e-4


def test_nothing_changes_where_the_operator_is_missing_or_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(x: torch.Tensor, *rest: object) -> torch.Tensor:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(kernels, "_multiply", wrong)
    assert not kernels.agrees()
    monkeypatch.setattr(kernels, "_multiply", lambda x, w, b, after: x @ w.t())
    assert not kernels.agrees()


def test_the_choice_is_asked_once_and_has_a_margin() -> None:
    assert kernels.worthwhile() is kernels.worthwhile()
    assert kernels.MARGIN > 1.1
    with pytest.raises(ConfigError, match="onednn"):
        Trainer(kernels="mkl")
