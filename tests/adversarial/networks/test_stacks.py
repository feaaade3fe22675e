from __future__ import annotations

import pytest
import torch
from torch.autograd import forward_ad

from hepda.adversarial import mlp, seeded
from hepda.adversarial.networks import kernels, stacks
from hepda.adversarial.networks.layers import MLP
from hepda.adversarial.networks.products import PRODUCTS
from tests.adversarial.networks.passes import assert_close, exact, made, passes


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
        return [type(part) for part in stacks.parts(module, PRODUCTS["plain"])]

    assert kinds(mlp(3, [4, 5, 6], 1)) == [stacks.Stack]
    assert kinds(mlp(3, [4, 5], activation="elu")) == [stacks.Stack, torch.nn.ELU] * 2
    assert kinds(mlp(3, [4, 5], 1, dropout=0.1)) == [stacks.Stack, torch.nn.Dropout] * 2 + [stacks.Stack]
    spectral = stacks.parts(mlp(3, [4], 1, spectral_norm=True), PRODUCTS["plain"])
    assert not any(isinstance(part, stacks.Stack) for part in spectral)
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gradient_passes_where_the_output_of_a_relu_is_positive(dtype: torch.dtype) -> None:
    after = torch.tensor([[0.0, -0.0, 1e-30, 3.0, float("inf")], [0.5, 0.0, 2.0, 0.0, 1e30]]).to(dtype)
    gradient = torch.tensor([[1.0, -2.0, -3.0, 4.0, -0.0], [float("inf"), 7.0, -8.0, -9.0, 1e-38]]).to(dtype)
    expected = torch.where(after > 0, gradient, torch.zeros((), dtype=dtype))
    stacks.keep_where_positive(gradient, after)
    assert torch.equal(gradient, expected)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of at most 16 rows of a layer of 128 numbers of 32 bits."""
    monkeypatch.setattr(stacks, "BLOCK", 16 * 128 * 4)


@exact
@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
@pytest.mark.parametrize("rows", [16, 17, 100])
@pytest.mark.usefixtures("small_blocks")
def test_blocks_of_rows_give_what_all_rows_give(name: str, activation: str, rows: int) -> None:
    module, x = made(activation=activation)
    expected = passes(module, x[:rows])
    with kernels.Fast(module, PRODUCTS[name]):
        actual = passes(module, x[:rows])
        with torch.no_grad():
            assert torch.equal(module(x[:rows]), actual[0])
    assert_close(actual, expected)


def test_blocks_are_almost_equal_and_none_is_too_large() -> None:
    stack = stacks.stack_of(mlp(30, [128], 1), PRODUCTS["plain"])
    assert stack is not None
    most = stacks.BLOCK // (128 * 4)
    for rows in (0, 1, most, most + 1, 2 * most + 80, 8 * most):
        x = torch.zeros(rows, 30)
        size = stack.rows_of_block(x)
        sizes = [len(part) for part in x.split(size)]
        assert max(sizes) <= most
        assert len(sizes) == max(1, -(-rows // most))
        assert rows < most or min(sizes) > 0.9 * max(sizes)


def joined(activation: str = "relu", hidden: tuple[int, ...] = ()) -> tuple[MLP, MLP, stacks.Stack, torch.Tensor]:
    """Return an encoder, a head, both as one stack, and rows."""
    with seeded(0):
        encoder, head = mlp(30, [128, 64], activation=activation), mlp(64, hidden, 1, activation=activation)
        stack = stacks.joined(encoder, head, PRODUCTS["plain"])
        assert stack is not None
        return encoder, head, stack, torch.randn(100, 30)


@pytest.mark.parametrize("hidden", [(), (20,)])
@pytest.mark.parametrize("used", ["both", "features", "output"])
@pytest.mark.usefixtures("small_blocks")
def test_encoder_and_head_in_one_piece_give_both_outputs_and_gradients(hidden: tuple[int, ...], used: str) -> None:
    encoder, head, stack, x = joined(hidden=hidden)
    variables = [*encoder.parameters()] + ([] if used == "features" else [*head.parameters()])

    def loss(features: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        of = {"features": features.square().sum(), "output": (output - 1).square().sum()}
        return of["features"] + of["output"] if used == "both" else of[used]

    features = encoder(x)
    expected = [features, head(features), *torch.autograd.grad(loss(features, head(features)), variables)]
    outputs = stack.outputs(x)
    assert_close([*outputs, *torch.autograd.grad(loss(*outputs), variables)], expected)


@pytest.mark.usefixtures("small_blocks")
def test_second_derivatives_of_one_piece() -> None:
    encoder, head, stack, x = joined("tanh")
    x.requires_grad_(True)

    def penalty(outputs: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
        (slope,) = torch.autograd.grad(outputs[0].sum() + outputs[1].square().sum(), x, create_graph=True)
        variables = [x, *encoder.parameters(), head[0].weight]
        return list(torch.autograd.grad(slope.square().sum(), variables))

    features = encoder(x)
    assert_close(penalty(stack.outputs(x)), penalty((features, head(features))), 1e-3)


@pytest.mark.usefixtures("small_blocks")
def test_several_passes_may_be_alive_and_one_may_go_back_twice() -> None:
    module, x = made()
    parameters = list(module.parameters())
    expected = [torch.autograd.grad(module(rows).square().sum(), parameters) for rows in (x, 2 * x)]
    with kernels.Fast(module, PRODUCTS["plain"]):
        losses = [module(rows).square().sum() for rows in (x, 2 * x)]
        with torch.no_grad():
            module(3 * x)
        first = torch.autograd.grad(losses[0], parameters, retain_graph=True)
        assert_close(list(torch.autograd.grad(losses[1], parameters)), list(expected[1]))
        again = torch.autograd.grad(losses[0], parameters)
    assert_close(list(first), list(expected[0]))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_layers_that_are_not_plain_are_not_joined() -> None:
    for change in ({"dropout": 0.1}, {"activation": "elu"}, {"spectral_norm": True}):
        assert stacks.joined(mlp(3, [4, 5], **change), mlp(5, [], 1), PRODUCTS["plain"]) is None
        assert stacks.joined(mlp(3, [4, 5]), mlp(5, [4], 1, **change), PRODUCTS["plain"]) is None
