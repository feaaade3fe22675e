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
def test_a_training_is_the_same_but_for_rounding() -> None:
    source, target = shifted(600)
    trainer = Trainer(epochs=2, batch_size=200, device="cpu", kernels="onednn")
    a, b = network(), network()
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
