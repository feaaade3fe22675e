"""Amplification by generated events: errors of templates against closed forms, factors, and a small run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from analyses.dial import amplifier
from tests.events.generation.test_flows import SHIFT, events
from tests.events.generation.toy import analysis


def test_the_squared_error_is_that_of_a_multinomial() -> None:
    random = np.random.default_rng(1)
    truth = np.full(10, 0.1)
    edges = np.linspace(0.0, 1.0, 11)
    errors = [
        amplifier.squared_error(amplifier.template(random.random(500), np.ones(500), edges), truth, np.inf)
        for _ in range(400)
    ]
    assert np.mean(errors) == pytest.approx(9.0 / 500.0, rel=0.05)
    of_finite = amplifier.squared_error(truth, truth, 300.0)
    assert of_finite == pytest.approx(-9.0 / 300.0)


def test_a_factor_has_the_interval_of_its_sets() -> None:
    random = np.random.default_rng(2)
    real = random.exponential(1.0, 12)
    assert amplifier.factor_of(real, 0.5 * real) == pytest.approx({"factor": 2.0, "low": 2.0, "high": 2.0})
    covered = 0
    for _ in range(200):
        found = amplifier.factor_of(random.chisquare(19, 10), random.chisquare(19, 10))
        covered += found["low"] <= 1.0 <= found["high"]
    assert covered >= 180


def test_a_generator_learns_what_its_events_have() -> None:
    learned = events(1500, 3)
    objects = learned.objects
    gan = amplifier.EventGan.fit(objects, np.ones(1500), 2, 100, 5)
    drawn = gan.drawn(objects, 7)
    assert drawn.shape == objects.coordinates.shape
    np.testing.assert_array_equal(drawn, gan.drawn(objects, 7))
    assert drawn[:, 0].mean() == pytest.approx(0.5 * SHIFT, abs=0.4)
    low, high = objects.coordinates.min(axis=0), objects.coordinates.max(axis=0)
    assert (np.abs(drawn) <= np.maximum(np.abs(low), np.abs(high)) + 1e-6).all()


@pytest.mark.slow
def test_a_small_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(analysis(tmp_path, 2000)))
    monkeypatch.setattr(amplifier, "FEATURES", ("ht", "pt_1", "met"))
    arguments = [
        "--config",
        str(tmp_path / "toy.yaml"),
        "--steps",
        "20",
        "--sets",
        "3",
        "--output",
        str(tmp_path / "o"),
    ]
    assert amplifier.main([*arguments, "--events", "150"]) == 0
    result = json.loads((tmp_path / "o" / "amplifier.json").read_text())
    assert set(result["gan"]) == {"all", "ht", "pt_1", "met"}
    for model in ("gan", "flow"):
        assert result[model]["all"]["low"] <= result[model]["all"]["factor"] <= result[model]["all"]["high"]
    assert result["real"] == pytest.approx(result["expected"], rel=1.0)
    assert "| all |" in capsys.readouterr().out
    assert amplifier.main([*arguments, "--events", "100000"]) == 2
    assert "more than half" in capsys.readouterr().err
