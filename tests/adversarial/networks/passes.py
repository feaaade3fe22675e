"""Passes forward and backward through an MLP, and how near two of them are."""

from __future__ import annotations

import pytest
import torch

from hepda.adversarial import mlp, seeded
from hepda.adversarial.networks import kernels
from hepda.adversarial.networks.layers import MLP

present = pytest.mark.skipif(not kernels.agrees(), reason="this torch has no oneDNN linear layer to compare")
exact = pytest.mark.parametrize("name", ["plain", pytest.param("onednn", marks=present)])


def made(**settings: object) -> tuple[MLP, torch.Tensor]:
    with seeded(0):
        return mlp(30, [128, 64], 1, **settings), torch.randn(100, 30)


def passes(module: MLP, x: torch.Tensor) -> list[torch.Tensor]:
    """Output, and gradients of input and parameters."""
    inputs = x.clone().requires_grad_(True)
    output = module(inputs)
    variables = [inputs, *(p for p in module.parameters() if p.requires_grad)]
    return [output, *torch.autograd.grad(output.float().square().sum(), variables)]


def assert_close(actual: list[torch.Tensor], expected: list[torch.Tensor], part: float = 1e-4) -> None:
    assert len(actual) == len(expected)
    for a, b in zip(actual, expected, strict=True):
        assert a.shape == b.shape
        assert float(b.detach().abs().max()) > 0
        assert torch.allclose(a.to(b.dtype), b, rtol=part, atol=part * float(b.detach().abs().max()))


def assert_near(actual: list[torch.Tensor], expected: list[torch.Tensor], part: float) -> None:
    """Within a part of the whole tensor's length: rounding to bfloat16 switches single ReLUs."""
    for a, b in zip(actual, expected, strict=True):
        assert float((a.float() - b.float()).detach().norm()) < part * float(b.detach().float().norm())
