"""The table of a grid of encoders and recipes, from the numbers of its seeds."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from analyses.grid import grid_of, main, seeds_of
from hepda.config import load_any
from hepda.errors import ConfigError


def models(**of_seeds: list[float]) -> dict[str, Any]:
    def entry(seeds: list[float]) -> Any:
        return SimpleNamespace(accuracy={"target": SimpleNamespace(seeds=seeds)}, seeds={"clean": seeds})

    return {name.replace("_", "-"): entry(seeds) for name, seeds in of_seeds.items()}


GRID = models(a_x=[0.9, 0.8], a_y=[0.7, 0.6], b_x=[0.9, 0.7], b_y=[0.5, 0.6])


def run(kind: str, of: dict[str, Any]) -> Any:
    return SimpleNamespace(kind=kind, path="runs/grid", metrics=SimpleNamespace(models=of))


def test_errors_by_encoder_and_recipe() -> None:
    encoders, recipes, values = grid_of(seeds_of(run("images", GRID), None))
    assert (encoders, recipes) == (["a", "b"], ["x", "y"])
    np.testing.assert_allclose(values, [[[10, 20], [30, 40]], [[10, 30], [50, 40]]])
    np.testing.assert_allclose(grid_of(seeds_of(run("speech", GRID), "clean"))[2][0, 0], [90, 80])


def test_a_grid_with_gaps_or_of_events_is_refused() -> None:
    with pytest.raises(ConfigError, match="lacks b-y"):
        grid_of({name: [1.0] for name in ("a-x", "a-y", "b-x")})
    with pytest.raises(ConfigError, match="one of images or of speech"):
        seeds_of(run("events", GRID), None)


def test_it_prints_means_and_components(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("analyses.grid.hepda.load", lambda _: run("images", GRID))
    main("runs/grid")
    printed = capsys.readouterr().out
    assert "| a | 15.0 | 35.0 |" in printed and "| recipe |" in printed and "| encoder |" in printed


@pytest.mark.parametrize("name", ["digits_grid.yaml", "speech_grid.yaml"])
def test_the_configs_are_whole_grids(name: str) -> None:
    encoders, recipes, _ = grid_of({model: [0.0] for model in load_any(name).models})
    assert (len(encoders), len(recipes)) == (3, 4)
