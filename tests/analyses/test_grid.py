"""The table of a grid of encoders and recipes, from the numbers of its seeds."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from analyses.grid import grid_figure, grid_of, main, seeds_of
from hepda.config import load_any
from hepda.errors import ConfigError
from hepda.evaluation.variance import variance_components


def models(**of_seeds: list[float]) -> dict[str, Any]:
    def entry(seeds: list[float]) -> Any:
        return SimpleNamespace(accuracy={"target": SimpleNamespace(seeds=seeds)}, seeds={"clean": seeds})

    return {name.replace("_", "-"): entry(seeds) for name, seeds in of_seeds.items()}


GRID = models(a_x=[0.9, 0.8], a_y=[0.7, 0.6], b_x=[0.9, 0.7], b_y=[0.5, 0.6])


def run(kind: str, of: dict[str, Any], path: Path = Path("runs/grid")) -> Any:
    return SimpleNamespace(kind=kind, path=path, metrics=SimpleNamespace(models=of))


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


def test_it_prints_means_and_components_and_draws_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("analyses.grid.hepda.load", lambda _: run("images", GRID, tmp_path))
    main(str(tmp_path))
    printed = capsys.readouterr().out
    assert "| a | 15.0 | 35.0 |" in printed and "| recipe |" in printed and "| encoder |" in printed
    assert f"figure: {tmp_path / 'grid.png'}" in printed
    assert {path.name for path in tmp_path.iterdir()} == {"grid.png", "grid.pdf"}


def test_the_figure_shows_every_seed_and_every_component() -> None:
    encoders, recipes, values = grid_of(seeds_of(run("images", GRID), None))
    found = variance_components(values)
    cells, parts = grid_figure(encoders, recipes, values, found).axes
    seeds = sorted(float(y) for line in cells.lines if line.get_marker() == "_" for y in line.get_ydata())
    np.testing.assert_allclose(seeds, sorted(values.ravel()))
    means = {line.get_label(): line.get_ydata() for line in cells.lines if line.get_label() in encoders}
    np.testing.assert_allclose([means[name] for name in encoders], values.mean(axis=2))
    shown = [float(line.get_xdata()[0]) for line in parts.lines if line.get_marker() == "o"]
    components = (found.first, found.second, found.interaction, found.seed, found.difference)
    np.testing.assert_allclose(shown, [part.value for part in components])


@pytest.mark.parametrize("name", ["digits_grid.yaml", "speech_grid.yaml"])
def test_the_configs_are_whole_grids(name: str) -> None:
    encoders, recipes, _ = grid_of({model: [0.0] for model in load_any(name).models})
    assert (len(encoders), len(recipes)) == (3, 4)
