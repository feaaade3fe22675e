"""The distance of two samples: Hotelling's T^2 of the statistics, its gradient, and edges that are seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hepda.events.refinement.response import JetTensors
from hepda.events.refinement.summaries import Distance, Visibility, ramps
from tests.events.refinement.test_response import jets

SEEN = Visibility(25.0, jets=2)


def scaled(events: JetTensors, factor: torch.Tensor) -> JetTensors:
    return replace(events, pt=torch.where(events.present > 0, events.pt * factor, 1.0))


def test_ramps_add_up_to_the_place_between_knots() -> None:
    knots = torch.tensor([0.0, 1.0, 3.0])
    values = ramps(torch.tensor([-1.0, 0.5, 2.0, 9.0]), knots)
    torch.testing.assert_close(values, torch.tensor([[0.0, 0.0], [0.5, 0.0], [1.0, 0.5], [1.0, 1.0]]))


def test_the_distance_is_that_of_hotelling() -> None:
    target, source = jets(3000, seed=1), scaled(jets(2000, seed=2), torch.tensor(0.9))
    weights = [torch.where(torch.rand(len(side)) < 0.1, -1.0, 1.0) for side in (target, source)]
    distance = Distance(target, weights[0], SEEN)
    sides = [distance.statistics(side) for side in (target, source)]
    values = [(n.double().numpy(), (w * s).double().numpy()) for (n, s), w in zip(sides, weights, strict=True)]
    means = [np.average(n, axis=0, weights=w) for n, w in values]
    centred = values[0][0] - means[0]
    size = np.abs(values[0][1])
    covariance = (centred * (size / size.sum())[:, None]).T @ centred
    covariance += np.diag(1e-3 * np.maximum(np.diag(covariance), 0.0) + 1e-3)
    difference = means[1] - means[0]
    expected = difference @ np.linalg.solve(covariance, difference)
    residual, _ = distance.residual(source, weights[1])
    assert float(residual @ residual) == pytest.approx(expected, rel=1e-3)


def test_it_is_least_where_the_target_is() -> None:
    source, target = jets(20_000, seed=1), scaled(jets(20_000, seed=2), torch.tensor(0.95))
    distance = Distance(target, torch.ones(len(target)), SEEN)
    weight, values = torch.ones(len(source)), []
    for scale in (0.90, 0.95, 1.0):
        factor = torch.tensor(scale, requires_grad=True)
        residual, _ = distance.residual(scaled(source, factor), weight)
        value = residual @ residual
        value.backward()
        values.append((float(value.detach()), float(factor.grad)))  # type: ignore[arg-type]
    assert values[1][0] < 0.2 * min(values[0][0], values[2][0])
    assert values[0][1] < 0.0 < values[2][1], "the gradient points to it from both sides"
    step = 1e-3
    ends = []
    for scale in (1.0 - step, 1.0 + step):
        residual, _ = distance.residual(scaled(source, torch.tensor(scale)), weight)
        ends.append(float(residual @ residual))
    assert values[2][1] == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=0.05)


def test_jets_at_the_threshold_and_events_at_the_edge_count_partly() -> None:
    one = jets(1, 3, 2)
    tagged = torch.eye(2)[torch.tensor([[1, 1, 0]])]
    events = replace(one, present=torch.ones(1, 3), pt=torch.tensor([[30.0, 25.0, 24.0]]), tag=tagged)
    tags = Visibility(25.0, ramp=0.04, jets=2, tags=(1, 1))
    seen = tags.of_jets(events)
    torch.testing.assert_close(seen, torch.tensor([[1.0, 0.5, 0.0]]))
    torch.testing.assert_close(tags.of_events(events, seen), torch.tensor([0.5]))  # 1.5 jets of 2, and a tag
    untagged = replace(events, tag=torch.eye(2)[torch.tensor([[0, 1, 0]])])
    torch.testing.assert_close(tags.of_events(untagged, seen), torch.tensor([0.25]))


def test_shares_of_events_are_the_derivative_of_the_residual() -> None:
    target, source = jets(3000, seed=1), jets(200, seed=2)
    distance = Distance(target, torch.ones(3000), SEEN)
    weight = torch.ones(200, requires_grad=True)
    residual, center = distance.residual(source, weight)
    direction = torch.randn(len(residual), generator=torch.Generator().manual_seed(3))
    (gradient,) = torch.autograd.grad(direction @ residual, weight)
    torch.testing.assert_close(distance.share(source, direction, center), gradient, atol=1e-6, rtol=1e-3)
