from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.autograd import forward_ad

from hepda.adversarial import Trainer, TrainSettings, mlp, seeded
from hepda.adversarial.networks import kernels
from hepda.adversarial.networks.kernels import PRODUCTS
from hepda.adversarial.networks.layers import MLP
from hepda.errors import ConfigError
from tests.adversarial.toys import network, shifted

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


@exact
@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "tanh", "elu", "leaky_relu"])
def test_outputs_and_gradients_are_those_of_torch(name: str, activation: str) -> None:
    module, x = made(activation=activation)
    expected = passes(module, x)
    with kernels.Fast(module, PRODUCTS[name]):
        actual = passes(module, x)
        with torch.no_grad():
            assert torch.equal(module(x), actual[0])
    assert module.parts is None
    assert_close(actual, expected)


def test_layers_are_joined_but_for_those_that_are_not_plain() -> None:
    def kinds(module: MLP) -> list[type]:
        return [type(part) for part in kernels.parts(module, PRODUCTS["plain"])]

    assert kinds(mlp(3, [4, 5, 6], 1)) == [kernels.Stack]
    assert kinds(mlp(3, [4, 5], activation="elu")) == [kernels.Stack, torch.nn.ELU] * 2
    assert kinds(mlp(3, [4, 5], 1, dropout=0.1)) == [kernels.Stack, torch.nn.Dropout] * 2 + [kernels.Stack]
    spectral = kernels.parts(mlp(3, [4], 1, spectral_norm=True), PRODUCTS["plain"])
    assert not any(isinstance(part, kernels.Stack) for part in spectral)
    assert kinds(mlp(3, [])) == []


@exact
def test_dropout_and_spectral_norm_stay_what_they_are(name: str) -> None:
    for settings in ({"dropout": 0.5}, {"spectral_norm": True}):
        module, x = made(**settings)
        module.train()
        with seeded(3):
            expected = passes(module, x)
        module, _ = made(**settings)  # a pass in training moves the estimate of the largest singular value
        module.train()
        with kernels.Fast(module, PRODUCTS[name]), seeded(3):
            assert_close(passes(module, x), expected)


@exact
def test_frozen_layers_and_inputs_without_gradient(name: str) -> None:
    module, x = made()
    layers = [layer for layer in module if isinstance(layer, torch.nn.Linear)]
    layers[0].requires_grad_(False)
    layers[2].weight.requires_grad_(False)
    expected = passes(module, x)
    with kernels.Fast(module, PRODUCTS[name]):
        assert_close(passes(module, x), expected)
        module(x).sum().backward()
    assert layers[0].weight.grad is None
    assert layers[2].weight.grad is None
    assert layers[1].weight.grad is not None


@pytest.mark.parametrize("rows", [1, 7])
@exact
def test_any_number_of_rows_and_any_layout(name: str, rows: int) -> None:
    module, _ = made()
    x = torch.randn(30, 2 * rows).t()[::2]
    expected = passes(module, x)
    with kernels.Fast(module, PRODUCTS[name]):
        assert_close(passes(module, x), expected)


@exact
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_second_derivatives_are_those_of_torch(name: str, activation: str) -> None:
    module, x = made(activation=activation)
    x.requires_grad_(True)

    def penalty() -> list[torch.Tensor]:
        (slope,) = torch.autograd.grad(module(x).square().sum(), x, create_graph=True)
        variables = [x, *module.parameters()]
        return list(torch.autograd.grad(slope.norm(dim=1).sub(1).square().mean(), variables))

    expected = penalty()
    with kernels.Fast(module, PRODUCTS[name]):
        assert_close(penalty(), expected, 1e-3)


def test_second_derivatives_in_float64_by_finite_differences() -> None:
    module = mlp(3, [5, 4], 2, activation="tanh").double()
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    with kernels.Fast(module, PRODUCTS["plain"]):
        assert torch.autograd.gradcheck(module, x)
        assert torch.autograd.gradgradcheck(module, x)


@exact
def test_torch_transforms_what_it_wants_to(name: str) -> None:
    """grad, vmap, jvp, hessian: the layers are torch's own then."""
    module, x = made(activation="tanh")

    def f(row: torch.Tensor) -> torch.Tensor:
        return module(row[None]).sum()

    def derivative() -> list[torch.Tensor]:
        direction = torch.ones_like(x[0])
        with forward_ad.dual_level():
            tangent = forward_ad.unpack_dual(f(forward_ad.make_dual(x[0], direction))).tangent
        return [
            tangent,
            torch.autograd.functional.jacobian(module, x[:3], vectorize=True),
            torch.func.vmap(torch.func.grad(f))(x),
            torch.func.jvp(f, (x[0],), (direction,))[1],
            torch.func.hessian(f)(x[0]),
            torch.func.jvp(torch.func.grad(f), (x[0],), (direction,))[1],
        ]

    expected = derivative()
    with kernels.Fast(module, PRODUCTS[name]):
        assert_close(derivative(), expected)


@pytest.mark.slow
@exact
def test_compiles_whole(name: str) -> None:
    module, x = made()
    expected = passes(module, x)
    with kernels.Fast(module, PRODUCTS[name]):
        compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
        assert_close(passes(compiled, x), expected)


def test_bfloat16_is_what_autocast_gives() -> None:
    module, x = made()
    exact = passes(module, x)
    with torch.autocast("cpu", torch.bfloat16):
        expected = passes(module, x)
        with kernels.Fast(module, PRODUCTS["bfloat16"]):
            actual = passes(module, x)
    assert actual[0].dtype == torch.bfloat16
    assert {gradient.dtype for gradient in actual[1:]} == {torch.float32}
    assert_near(actual, expected, 0.001)
    assert_near(actual, exact, 0.15)
    assert not torch.allclose(actual[1], exact[1], rtol=1e-4, atol=1e-6)  # it is not float32 in disguise


@exact
def test_under_autocast_the_parameters_keep_their_type(name: str) -> None:
    module, x = made()
    with kernels.Fast(module, PRODUCTS[name]), torch.autocast("cpu", torch.bfloat16):
        actual = passes(module, x)
    assert {gradient.dtype for gradient in actual[1:]} == {torch.float32}
    assert_near(actual, passes(module, x), 0.15)


@present
@pytest.mark.parametrize("change", [{}, {"gradient_penalty": 1.0}])
def test_a_training_is_the_same_but_for_rounding(change: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = shifted(600)
    trainer = Trainer(epochs=2, batch_size=200, device="cpu")
    nets = [network(**change) for _ in range(3)]
    for net, name in zip(nets, ("plain", "onednn", "plain"), strict=True):
        if net is nets[2]:  # every layer by itself, as torch does it
            monkeypatch.setattr(kernels, "parts", lambda module, products: list(module))
        Trainer(trainer.settings, kernels=name).fit(net, source, target)
    for a, b in pairwise(nets):
        assert np.abs(a.predict(source.features) - b.predict(source.features)).max() < 1e-4


def test_a_training_in_bfloat16_is_close_to_one_in_float32() -> None:
    source, target = shifted(600)
    trainer = Trainer(epochs=4, batch_size=200, device="cpu", kernels="plain")
    a, b = network(), network()
    trainer.fit(a, source, target)
    Trainer(trainer.settings, precision="bfloat16", kernels="auto").fit(b, source, target)
    difference = np.abs(a.predict(source.features) - b.predict(source.features)).max()
    assert 1e-6 < difference < 0.05
    assert {p.dtype for p in b.parameters()} == {torch.float32}


def test_nothing_changes_where_the_operator_is_missing_or_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(x: torch.Tensor, *rest: object) -> torch.Tensor:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(kernels, "_multiply", wrong)
    assert not kernels.agrees()
    monkeypatch.setattr(kernels, "_multiply", lambda x, w, b, after: x @ w.t())
    assert not kernels.agrees()


@present
def test_the_choice_is_asked_once_and_has_a_margin() -> None:
    assert kernels.worthwhile() is kernels.worthwhile()
    assert kernels.MARGIN > 1.1
    before = torch.get_num_threads(), torch.get_rng_state()
    assert kernels.gain(2) > 0.0
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_what_kernels_cannot_be() -> None:
    with pytest.raises(ConfigError, match="onednn"):
        Trainer(kernels="mkl")
    with pytest.raises(ConfigError, match="float32"):
        Trainer(kernels="onednn", precision="bfloat16")


@pytest.mark.parametrize("faster", [True, False])
def test_a_trainer_passes_its_choice_on(faster: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hepda.adversarial.training.settings.worthwhile", lambda: faster)
    settings = TrainSettings(device="cpu")
    chosen = settings.with_kernels()
    assert chosen == replace(settings, kernels="onednn" if faster else "plain")
    monkeypatch.setattr(
        "hepda.adversarial.training.settings.worthwhile", lambda: not faster
    )  # as another process may measure
    assert chosen.with_kernels() is chosen
    for change in ({"kernels": "plain"}, {"precision": "float64"}, {"precision": "bfloat16"}):
        assert replace(settings, **change).with_kernels() == replace(settings, **change)


@present
def test_a_resumed_training_keeps_to_its_kernels(tmp_path: Path) -> None:
    """Whatever is chosen when it goes on."""
    source, target = shifted(600)
    trainer = Trainer(epochs=4, batch_size=200, device="cpu", kernels="onednn")
    uninterrupted, parts = network(), network()
    trainer.fit(uninterrupted, source, target)
    file = tmp_path / "checkpoint"

    def stop(history: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.fit(parts, source, target, checkpoint=file, on_epoch=stop)
    parts = network()
    Trainer(trainer.settings, kernels="plain").fit(parts, source, target, checkpoint=file, resume=True)
    assert np.array_equal(parts.predict(source.features), uninterrupted.predict(source.features))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gradient_passes_where_the_output_of_a_relu_is_positive(dtype: torch.dtype) -> None:
    after = torch.tensor([[0.0, -0.0, 1e-30, 3.0, float("inf")], [0.5, 0.0, 2.0, 0.0, 1e30]]).to(dtype)
    gradient = torch.tensor([[1.0, -2.0, -3.0, 4.0, -0.0], [float("inf"), 7.0, -8.0, -9.0, 1e-38]]).to(dtype)
    expected = torch.where(after > 0, gradient, torch.zeros((), dtype=dtype))
    kernels.keep_where_positive(gradient, after)
    assert torch.equal(gradient, expected)
