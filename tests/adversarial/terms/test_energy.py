"""Cramer and energy distances against integrals on a grid, scipy, double sums, and closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import energy_distance as scipy_energy
from torch import Tensor

from hepda.adversarial import DomainRows, Head, Network, Trainer, mlp, seeded
from hepda.adversarial.methods import Comparison, build, methods_of
from hepda.adversarial.networks.tail import Tail, signal_efficiency
from hepda.adversarial.networks.term import shares
from hepda.adversarial.terms.energy import _STRIP, cramer, energy_distance, log_odds
from hepda.errors import ConfigError

Pair = tuple[Tensor, Tensor]


def samples(n: int = 40, m: int = 30, d: int = 0, seed: int = 0) -> tuple[Pair, Pair]:
    """Values (d = 0) or points of two samples that differ, and weights of either sign."""
    rng = np.random.default_rng(seed)
    shape = (lambda k: (k, d)) if d else (lambda k: (k,))
    values = torch.tensor(rng.normal(size=shape(n))), torch.tensor(rng.normal(0.7, 1.3, size=shape(m)))
    weights = torch.tensor(rng.normal(1.0, 0.7, n)), torch.tensor(rng.normal(2.0, 1.5, m))
    return values, weights


def on_a_grid(values: Pair, weights: Pair, factor: Any = None, points: int = 400_001) -> float:
    """The integral of `factor(x, F_A, F_B) (F_A - F_B)^2` by the midpoint rule."""
    joined = torch.cat(values).numpy()
    edges = np.linspace(joined.min(), joined.max(), points)
    x = 0.5 * (edges[1:] + edges[:-1])
    below = []
    for value, weight in zip(values, weights, strict=True):
        order = np.argsort(value.numpy())
        cumulative = np.concatenate([[0.0], np.cumsum(shares(weight).numpy()[order])])
        below.append(cumulative[np.searchsorted(value.numpy()[order], x, side="right")])
    factors = 1.0 if factor is None else factor(x, *below)
    return float(np.sum(factors * (below[0] - below[1]) ** 2) * (edges[1] - edges[0]))


def test_it_is_the_integral_on_a_grid_also_with_signed_weights() -> None:
    values, weights = samples()
    assert (weights[0] < 0).any() and (weights[1] < 0).any()
    assert cramer(*values, *weights).item() == pytest.approx(on_a_grid(values, weights), rel=1e-4)


def test_twice_the_cramer_distance_is_the_energy_distance_of_scipy_and_of_the_double_sum() -> None:
    values, weights = samples(seed=1)
    weights = weights[0].abs(), weights[1].abs()
    squared = scipy_energy(*(v.numpy() for v in values), *(w.numpy() for w in weights)) ** 2
    assert 2 * cramer(*values, *weights).item() == pytest.approx(squared, rel=1e-12)
    (a, b), (p, q) = values, map(shares, weights)
    distances = [torch.cdist(x[:, None], y[:, None]) for x, y in ((a, b), (a, a), (b, b))]
    double = 2 * p @ distances[0] @ q - p @ distances[1] @ p - q @ distances[2] @ q
    one_column = energy_distance(a[:, None], b[:, None], *weights)
    assert one_column.item() == pytest.approx(double.item(), rel=1e-12) == pytest.approx(squared)


def test_two_shifted_normal_distributions_have_the_closed_form() -> None:
    """`E|N(m, s)|` in closed form: C = E|X - Y| - E|X - X'| for equal widths."""
    rng, n, shift = np.random.default_rng(0), 200_000, 0.5
    values = torch.tensor(rng.normal(0, 1, n)), torch.tensor(rng.normal(shift, 1, n))
    ones = torch.ones(n)

    def mean_absolute(m: float) -> float:  # of a normal distribution of mean m and variance 2
        return 2 / math.sqrt(math.pi) * math.exp(-(m**2) / 4) + m * math.erf(m / 2)

    expected = mean_absolute(shift) - mean_absolute(0.0)
    assert cramer(*values, ones, ones).item() == pytest.approx(expected, rel=0.02)


def test_order_and_unit_of_the_weights_do_not_matter_and_equal_samples_have_no_distance() -> None:
    values, weights = samples(seed=2)
    expected = cramer(*values, *weights).item()
    (a, b), (u, v) = values, weights
    i, j = torch.randperm(len(a)), torch.randperm(len(b))
    assert cramer(a[i], b[j], 7 * u[i], 0.1 * v[j]).item() == pytest.approx(expected, rel=1e-12)
    assert cramer(b, a, v, u).item() == pytest.approx(expected, rel=1e-12)
    assert cramer(-a, -b, u, v).item() == pytest.approx(expected, rel=1e-12)
    assert cramer(a, a[i], u, u[i]).item() == pytest.approx(0.0, abs=1e-15)
    twice = torch.cat([a, a]), torch.cat([0.5 * u, 0.5 * u])
    assert cramer(twice[0], b, twice[1], v).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("settings", [{}, {"unbiased": True}, {"emphasis": 1.0}])
def test_the_gradient_is_that_of_finite_differences(settings: dict[str, Any]) -> None:
    values, weights = samples(12, 9, seed=3)
    inputs = tuple(v.requires_grad_() for v in values)
    assert torch.autograd.gradcheck(lambda x, y: cramer(x, y, *weights, **settings), inputs, eps=1e-7, atol=1e-6)


@pytest.mark.parametrize("unbiased", [False, True])
def test_the_energy_distance_of_points_is_the_double_sum_with_its_gradient(unbiased: bool) -> None:
    n, m = 700, 450  # more pairs than a strip has
    assert (n + m) ** 2 > 2 * _STRIP
    values, weights = samples(n, m, d=3, seed=4)
    a, b = (v.requires_grad_() for v in values)
    p, q = map(shares, weights)
    exact = "donot_use_mm_for_euclid_dist"
    within = [
        share @ torch.cdist(x, x, compute_mode=exact) @ share / (1 - share.square().sum() if unbiased else 1)
        for x, share in ((a, p), (b, q))
    ]
    expected = 2 * p @ torch.cdist(a, b) @ q - within[0] - within[1]
    actual = energy_distance(a, b, *weights, unbiased=unbiased)
    assert actual.item() == pytest.approx(expected.item(), rel=1e-9)
    pairs = zip(torch.autograd.grad(3 * actual, (a, b)), torch.autograd.grad(3 * expected, (a, b)), strict=True)
    assert all(torch.allclose(ours, other, rtol=1e-8, atol=1e-12) for ours, other in pairs)


@pytest.mark.parametrize("d", [0, 2])
def test_the_unbiased_form_has_mean_zero_for_one_distribution_and_the_other_has_not(d: int) -> None:
    rng, found = np.random.default_rng(5), []
    for _ in range(400):
        shape = (lambda k: (k, d)) if d else (lambda k: (k,))
        values = torch.tensor(rng.normal(size=shape(30))), torch.tensor(rng.normal(size=shape(20)))
        weights = torch.tensor(rng.normal(1, 0.5, 30)), torch.tensor(rng.normal(1, 0.5, 20))
        function = energy_distance if d else cramer
        found.append([function(*values, *weights, unbiased=unbiased).item() for unbiased in (False, True)])
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / 20
    assert mean[0] > 10 * error[0]
    assert abs(mean[1]) < 3 * error[1]


def test_the_tail_and_the_emphasis_are_factors_of_the_integrand() -> None:
    values, weights = samples(seed=6)
    signal = torch.rand(40, dtype=torch.float64)
    tail = Tail(0.3)
    factors = tail.factors(torch.cat(values), values[0], signal)

    def of_tail(x: np.ndarray, *_: np.ndarray) -> np.ndarray:
        # the factor of a cut is that of the nearest value below it
        joined = torch.cat(values).sort().values
        below = joined[(torch.searchsorted(joined, torch.tensor(x), right=True) - 1).clamp_min(0)]
        step = torch.sigmoid((0.3 - signal_efficiency(below, values[0], signal)) / 0.03)
        return (0.05 + 0.95 * step).numpy()

    expected = on_a_grid(values, weights, of_tail)
    assert cramer(*values, *weights, factors=factors).item() == pytest.approx(expected, rel=1e-4)
    assert expected < 0.7 * cramer(*values, *weights).item()
    positive = weights[0].abs(), weights[1].abs()
    expected = on_a_grid(values, positive, lambda x, f, g: 1 / np.maximum((f + g) * (2 - f - g), 1 / 70))
    assert cramer(*values, *positive, emphasis=1.0).item() == pytest.approx(expected, rel=1e-4)


def test_two_logits_are_their_difference_and_more_are_measured_in_log_odds() -> None:
    output = torch.randn(5, 3, dtype=torch.float64)
    assert torch.equal(log_odds(output[:, :2], "multiclass")[:, 0], output[:, 1] - output[:, 0])
    assert torch.equal(log_odds(output, "regression"), output)
    points = log_odds(output, "multiclass")
    odds = (output[:, :, None] - output[:, None])[:, [0, 0, 1], [1, 2, 2]]
    expected = (2 / 3 * (odds[0] - odds[1]).square().sum()).sqrt()
    assert (points[0] - points[1]).norm().item() == pytest.approx(expected.item())
    assert torch.allclose(points, log_odds(output + 7.0, "multiclass"))  # a constant changes no prediction


def shifted(classes: int, n: int = 600) -> tuple[DomainRows, DomainRows, Any]:
    """Rows whose second column separates the classes and moves from source to target; the first does not move."""
    rng = np.random.default_rng(7)
    label = rng.integers(0, classes, 2 * n)
    x = rng.normal(size=(2 * n, 2)) + label[:, None]
    x[n:, 1] += 1.5
    features = x.astype(np.float32)
    return DomainRows(features[:n], {"class": label[:n]}), DomainRows(features[n:]), label[n:]


@pytest.mark.parametrize("classes", [2, 3])
def test_a_network_gives_up_the_column_that_moves(classes: int) -> None:
    source, target, _ = shifted(classes)
    distances = []
    for strength in (0.0, 20.0):
        outputs = 1 if classes == 2 else classes
        methods = methods_of("cramer", strength=strength, schedule="constant")
        with seeded(0):
            _, terms = build(methods, Comparison(8, classes))
            main = Head("class", mlp(8, [], outputs), loss="binary" if classes == 2 else "multiclass")
            network = Network(mlp(2, [8]), [main], terms=terms)
        Trainer(epochs=30, batch_size=200, learning_rate=0.02, seed=0, device="cpu").fit(network, source, target)
        raw = [torch.tensor(network.predict(rows.features, raw=True)).reshape(600, -1) for rows in (source, target)]
        a, b = (log_odds(x, main.loss) for x in raw)
        distances.append(energy_distance(a, b, torch.ones(600), torch.ones(600)).item() / a.std().item())
    assert distances[1] < 0.1 * distances[0]


def test_tails_of_several_classes_are_refused() -> None:
    with pytest.raises(ConfigError, match="needs one logit"):
        build(methods_of("cramer", tail=0.3), Comparison(8, 3))
