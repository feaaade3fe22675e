"""The study of directions: its tables by hand, and a small version of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from analyses.semantics import directions
from hepda.config.generators.models import GanConfig
from hepda.errors import ConfigError
from hepda.generators.semantics.scores import Best
from tests.generators.analysis import small


def outcome(rank: float, selectivity: float) -> directions.Outcome:
    return directions.Outcome(torch.zeros(1), [Best(0, rank, selectivity, 0.5 * rank)] * 3)


def test_the_tables_have_means_and_paired_intervals_of_the_seeds() -> None:
    """Seeds that differ by 0.1, and a lead of exactly 0.2 on every seed: its interval has no width."""
    seeds = np.array([0.5, 0.6, 0.7])
    outcomes = {name: [outcome(0.9, 0.2 + s) for s in seeds] for name in directions.LEARNED} | {
        name: [outcome(0.8, s) for s in seeds] for name in directions.BASELINES
    }
    text = directions.report(outcomes)
    half = 4.302653 * 0.1 / np.sqrt(3)
    assert f"| random | {'0.800 (0.800 to 0.800) | ' * 3}0.600 ({0.6 - half:.3f} to {0.6 + half:.3f})" in text
    assert f"| learned patterns | {' | '.join(['+0.200 (+0.200 to +0.200)'] * 3)} |" in text
    assert f"| random | {' | '.join(['0.400 (0.400 to 0.400)'] * 3)} |" in text
    assert len(directions.score_figure(outcomes).axes) == 2


def test_a_small_version(tmp_path: Path) -> None:
    model = {"kind": "gan", "conditional": True, "mapping": 1, "latent": 8, "width": 8}
    config = small(
        models={"style": model}, training={"epochs": 3, "processes": 1}, judge={"epochs": 3, "width": 4}
    )  # fmt: skip
    section = config.models["style"]
    assert isinstance(section, GanConfig)
    of = directions.trained(config, section, 1, tmp_path, directions.DEPTH)
    outcomes = {name: [directions.studied(of, find, 20, 1)] for name, find in directions.finders(3, 4).items()}
    assert len(outcomes["principal components, layer chosen"][0].directions) == 16
    for of_seed in outcomes.values():
        assert [0.0 <= best.rank <= 1.0 and best.selectivity <= best.rank for best in of_seed[0].best] == [True] * 3
    shown = {name: outcomes[name][0] for name in directions.LEARNED}
    assert len(directions.picture_figure(of, shown, 1).axes) == 6
    # The classes of a batch are repeated with it, so that every direction is compared with the same digits.
    styles, images = of.drawn(4, torch.Generator().manual_seed(1))
    torch.testing.assert_close(images(styles.repeat(2, 1, 1))[4:], images(styles))


def test_an_analysis_file_without_a_style_generator_is_an_error() -> None:
    path = Path(directions.__file__).parents[2] / "configs" / "digits_generator.yaml"
    with pytest.raises(ConfigError, match="has no model of `kind: gan` with a `mapping`"):
        directions.models_of(path)
