"""Quantile morphing: one number reaches its target, whatever its weights, and objects keep their momentum."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hepda.events.refinement.quantiles import ObjectMaps, QuantileMap
from hepda.events.refinement.summaries import Visibility
from tests.events.refinement.test_response import jets, vector


def test_a_number_gets_the_quantiles_of_the_target() -> None:
    generator = np.random.default_rng(1)
    source, target = generator.normal(0.0, 1.0, 40_000), np.exp(generator.normal(0.5, 0.3, 40_000))
    weights = [np.where(generator.random(40_000) < 0.1, -1.0, 1.0) for _ in range(2)]
    moved = QuantileMap.fitted(source, target, weights[0], weights[1], 200)(source)
    shares = [0.05, 0.25, 0.5, 0.75, 0.95]
    assert np.quantile(moved, shares) == pytest.approx(
        np.exp(0.5 + 0.3 * np.array([-1.645, -0.674, 0, 0.674, 1.645])), rel=0.03
    )
    assert (np.diff(moved[np.argsort(source)]) >= 0.0).all()


def test_a_discrete_number_and_one_outside() -> None:
    same = QuantileMap.fitted([0, 0, 1, 1], [0, 0, 1, 1], np.ones(4), np.ones(4), 4)
    assert same([0.0, 1.0, 5.0, -2.0]).tolist() == [0.0, 1.0, 5.0, -2.0]


def test_objects_reach_the_target_and_are_read_again(tmp_path: Path) -> None:
    source, target = jets(20_000, seed=1), jets(20_000, seed=2)
    there = target.present > 0
    target = replace(target, pt=torch.where(there, 0.9 * target.pt, 1.0), mass=0.9 * target.mass)
    weight = np.ones(20_000)
    seen = Visibility(10.0)  # no jet is at the threshold
    maps = ObjectMaps.fitted(source, target, (weight, weight), seen, 100)
    moved = maps(source, None)
    assert (moved.pt / source.pt)[source.present > 0].mean() == pytest.approx(0.9, abs=0.01)
    assert (moved.mass / moved.pt)[source.present > 0] == pytest.approx(0.1, abs=1e-3)
    assert moved.met.norm(dim=1).quantile(0.5) == pytest.approx(float(target.met.norm(dim=1).quantile(0.5)), rel=0.02)
    without = ObjectMaps({name: of for name, of in maps.maps.items() if name != "met"})
    torch.testing.assert_close(vector(without(source, None)), vector(source), atol=1e-2, rtol=1e-4)
    maps.save(tmp_path / "maps.safetensors")
    assert torch.equal(ObjectMaps.load(tmp_path / "maps.safetensors")(source, None).pt, moved.pt)
