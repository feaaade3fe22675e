"""Virtual adversarial training against what a linear classifier has in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from hepda.adversarial import DANNClassifier, DANNRegressor, Head, Network, mlp, seeded
from hepda.adversarial.networks.term import View
from hepda.adversarial.terms.selftraining import all_logits
from hepda.adversarial.terms.smoothness import VirtualAdversarial, mean, roughness, worst_direction
from hepda.errors import ConfigError

SLOPE = torch.tensor([3.0, -4.0], dtype=torch.float64)  # of the logit; length 5


def linear(x: Tensor) -> Tensor:
    return all_logits((x @ SLOPE)[:, None], "binary")


def rows(n: int, seed: int) -> Tensor:
    return torch.randn(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def kl(logit: Tensor, moved: Tensor) -> Tensor:
    """KL divergence of Bernoulli distributions, written out."""
    p, q = torch.sigmoid(logit), torch.sigmoid(moved)
    return p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()


def test_the_worst_direction_of_a_linear_logit_is_its_slope() -> None:
    x = rows(50, 0)
    with seeded(0):
        direction = worst_direction(linear, x, functional.softmax(linear(x), dim=1), torch.randn_like(x))
    assert np.allclose((direction @ SLOPE / 5.0).abs().numpy(), 1.0)


def test_the_roughness_of_a_linear_logit_is_a_step_along_its_slope() -> None:
    x, radius = 0.3 * rows(50, 1), 0.2
    logit = x @ SLOPE
    with seeded(0):
        actual = roughness(linear, x, linear(x), radius, torch.randn_like(x))
    steps = torch.stack([kl(logit, logit + sign * radius * 5.0) for sign in (-1.0, 1.0)])
    assert bool((actual[None] - steps).abs().min(dim=0).values.max() < 1e-12)
    assert torch.equal(roughness(linear, x, linear(x), 0.0, torch.randn_like(x)), torch.zeros(50, dtype=torch.float64))


def test_neighbours_come_to_the_row_and_not_the_row_to_them() -> None:
    x = rows(20, 2)
    logits = linear(x).requires_grad_(True)
    free = torch.ones((), dtype=torch.float64, requires_grad=True)
    roughness(lambda z: free * linear(z), x, logits, 0.5, torch.randn_like(x)).sum().backward()
    assert logits.grad is None
    assert free.grad is not None and float(free.grad.abs()) > 0.0


def test_weights_keep_their_sign_and_two_is_a_row_twice() -> None:
    values, weight = rows(6, 3)[:, 0], torch.tensor([1.0, 2.0, -1.0, 1.0, 0.0, 1.0], dtype=torch.float64)
    twice = torch.cat([values, values[1:2]])
    once = torch.tensor([1.0, 1.0, -1.0, 1.0, 0.0, 1.0, 1.0], dtype=torch.float64)
    assert mean(values, weight).item() == pytest.approx(mean(twice, once).item())
    assert mean(values, weight).item() == pytest.approx(float(weight @ values) / 6.0)


@pytest.mark.parametrize("part", ["source", "target", "entropy"])
def test_the_three_parts_and_their_weights(part: str) -> None:
    """Source weights act on the source part alone, target weights on the other two."""
    with seeded(0):
        net = Network(mlp(2, [8]), [Head("class", mlp(8, [], 1))], normalization=None).double()
    x, other = rows(30, 4), rows(20, 5)
    term = VirtualAdversarial(**{**dict.fromkeys(("source", "target", "entropy"), 0.0), part: 2.0})

    def loss(p: Tensor, q: Tensor) -> float:
        outputs, features = (net(x)["class"], net(other)["class"]), (net.encode(x), net.encode(other))
        random = torch.Generator().manual_seed(7)
        other_fields = (
            "binary",
            (x, other),
            net.encode,
            net.head_modules["class"],
            None,
            (30, 20),
            random,
            random,
            False,
        )
        return float(
            term(
                View(features, outputs, (p, q), torch.zeros(30, 1), torch.ones(30), *other_fields), torch.ones(())
            ).detach()
        )

    p, q = torch.ones(30, dtype=torch.float64), torch.ones(20, dtype=torch.float64)
    half = torch.cat([torch.ones(10, dtype=torch.float64), torch.zeros(10, dtype=torch.float64)])
    assert (loss(p, q) == loss(-p, q)) is (part != "source")
    assert (loss(p, q) == loss(p, half)) is (part == "source")
    assert loss(p, q) > 0.0
    if part == "entropy":
        z = net(other)["class"][:, 0].detach()
        s = torch.sigmoid(z)
        expected = -(s * s.log() + (1 - s) * (1 - s).log()).mean()
        assert loss(p, q) == pytest.approx(2.0 * float(expected))


def test_a_regression_has_no_classes_to_be_sure_of() -> None:
    x, y = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40.0)
    for method in ("vat", "mcc", "cdan", "mdd", "disco"):
        with pytest.raises(ConfigError, match="predicts a class"):
            DANNRegressor(method=method, epochs=1, device="cpu").fit(x, y, X_target=x)
    with pytest.raises(ConfigError, match="vat twice"):
        DANNClassifier(method="vada,vat", epochs=1, device="cpu").fit(x, y > 20, X_target=x)
