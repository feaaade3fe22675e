"""Mixtures: the moments of what they were fitted to, classes, and what is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hepda.config.generators.models import MixtureConfig
from hepda.errors import DataError, SourceError
from hepda.generators.mixture import GaussianMixtures
from hepda.generators.model import Examples, Fitting, load_model

FITTING = Fitting(3, torch.device("cpu"))


def fitted(examples: Examples, **section: Any) -> GaussianMixtures:
    config = MixtureConfig(kind="mixture", components=1, dimensions=None, **section)
    return GaussianMixtures.fit(config, examples, FITTING)[0]


def normal(rows: int = 4000) -> Examples:
    """Rows of 2 x 2 values: two classes with a shift, correlations in both; class 1 is three times as frequent."""
    random = np.random.default_rng(1)
    root = 0.1 * np.array([[1, 0, 0, 0], [0.8, 0.5, 0, 0], [0, 0, 1, 0], [0, -0.4, 0.2, 0.7]])
    condition = (np.arange(rows) % 4 > 0).astype(np.int64)
    values = random.normal(size=(rows, 4)) @ root.T + np.where(condition == 0, -0.2, 0.3)[:, None]
    return Examples(torch.from_numpy(values).float().reshape(-1, 2, 2), torch.from_numpy(condition), 2)


@pytest.mark.parametrize("covariance", ["full", "diag", "spherical"])
def test_samples_have_the_moments_of_the_examples(covariance: str) -> None:
    examples = normal()
    model = fitted(examples, covariance=covariance, floor=1e-6)
    drawn = model.sample(8000, torch.zeros(8000, dtype=torch.long), seed=2).flatten(1)
    expected = examples.rows[examples.condition == 0].flatten(1)
    np.testing.assert_allclose(drawn.mean(0), expected.mean(0), atol=0.01)
    here, there = (torch.cov(values.T).numpy() for values in (drawn, expected))
    if covariance == "full":
        np.testing.assert_allclose(here, there, atol=7e-4)
    assert np.trace(here) == pytest.approx(np.trace(there), rel=0.05)  # one width is the mean of all


def test_classes_are_those_that_are_asked_for_or_as_frequent_as_in_the_examples() -> None:
    model = fitted(normal())
    asked = torch.arange(600) % 2
    means = model.sample(600, asked, seed=1).flatten(1).mean(1)
    assert means[asked == 0].mean() == pytest.approx(-0.2, abs=0.02)
    assert means[asked == 1].mean() == pytest.approx(0.3, abs=0.02)
    classes = model.classes_of(4000, seed=1)
    assert classes is not None and classes.double().mean() == pytest.approx(0.75, abs=0.03)


def test_a_mixture_of_everything_knows_no_class() -> None:
    model = fitted(normal(), conditional=False)
    assert not model.conditional and model.classes_of(5, 1) is None
    rows = model.sample(3000, None, seed=1)
    assert rows.mean() == pytest.approx(0.25 * -0.2 + 0.75 * 0.3, abs=0.02)


def test_the_same_seed_draws_the_same_rows_from_the_saved_model(tmp_path: Path) -> None:
    model = fitted(normal(800))
    model.save(tmp_path / "model.safetensors", {"levels": [1, 2]})
    again, about = load_model(tmp_path / "model.safetensors")
    asked = torch.arange(700) % 2
    assert torch.equal(model.sample(700, asked, 5), again.sample(700, asked, 5)) and about == {"levels": [1, 2]}
    assert not torch.equal(model.sample(700, asked, 5), model.sample(700, asked, 6))


def test_a_direction_without_spread_keeps_a_share_of_the_mean_variance() -> None:
    examples = normal(400)
    flat = Examples(torch.cat([examples.rows, torch.zeros(400, 1, 2)], dim=1), examples.condition, 2)
    model = fitted(flat, floor=0.01)
    drawn = model.sample(2000, torch.zeros(2000, dtype=torch.long), 1)[:, 2].var(0)
    places = flat.rows.flatten(1).var(0, unbiased=False).sum() / 6
    np.testing.assert_allclose(drawn, 0.01 * places, rtol=0.25)


def test_what_cannot_be_fitted_drawn_or_read_is_told(tmp_path: Path) -> None:
    examples = normal(8)
    config = MixtureConfig(kind="mixture", components=3)
    with pytest.raises(DataError, match="class 0 has 2 rows for 3 components"):
        GaussianMixtures.fit(config, examples, FITTING)
    model = fitted(normal(40))
    with pytest.raises(DataError, match="5 classes are needed"):
        model.sample(5, None, 1)
    with pytest.raises(DataError, match="classes are 0 to 2, of 2"):
        model.sample(3, torch.arange(3), 1)
    (tmp_path / "broken.safetensors").write_bytes(b"no model")
    with pytest.raises(SourceError, match="cannot be read"):
        load_model(tmp_path / "broken.safetensors")
