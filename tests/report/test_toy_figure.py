"""A figure is one file, this one, and a line of FIGURES: `hepda train` draws it, and the report shows it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from hepda.cli import main
from hepda.events.results.figures import FIGURES as FIGURES_OF_EVENTS
from hepda.images.figures import FIGURES as FIGURES_OF_IMAGES
from hepda.plotting.base.plot import Plot
from hepda.plotting.base.style import figure, styled
from hepda.report.drawing import Drawing
from hepda.report.registry import drawings_of
from hepda.speech.results.figures import FIGURES as FIGURES_OF_SPEECH
from hepda.tabular import figures
from hepda.workflows.scan.figures import FIGURES as FIGURES_OF_SCANS
from tests.tabular.factory import write_analysis


@styled
def rows_figure(rows: dict[str, int]) -> Figure:
    """Draw the number of rows of each domain."""
    drawn, axes = figure()
    axes.bar(list(rows), list(rows.values()))
    return drawn


def toy_drawings(run: figures.TableFigureData) -> Iterator[Drawing]:
    """Yield the number of rows of each domain."""
    rows = {name: int((run.table.domain == d).sum()) for d, name in enumerate(run.table.domains)}
    yield Drawing("inputs", "toy_rows", "Rows by domain", "A toy.", lambda: Plot.of(rows_figure, rows))


def bad_drawings(run: figures.TableFigureData) -> Iterator[Drawing]:
    """Yield nothing."""
    raise KeyError("no such column")
    yield


@pytest.mark.parametrize(
    "registry", [FIGURES_OF_EVENTS, FIGURES_OF_IMAGES, FIGURES_OF_SPEECH, FIGURES_OF_SCANS, figures.FIGURES]
)
def test_every_entry_is_a_function(registry: dict[str, str]) -> None:
    assert registry and len(set(registry.values())) == len(registry)
    result = drawings_of(registry, None)  # without data, each can only say that it fails
    assert len(result) >= len(registry) and all(isinstance(drawing, Drawing) for drawing in result)


def test_a_toy_figure_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "FIGURES", {"toy": f"{__name__}:toy_drawings", "bad": f"{__name__}:bad_drawings"})
    path = write_analysis(
        tmp_path, models={"trees": {"kind": "bdt", "iterations": 5}},
        evaluation={"bootstrap": 10, "permutations": 20, "probes": False},
    )  # fmt: skip
    assert main(["train", "--config", str(path), "--output", str(tmp_path / "run"), "--plots", "all"]) == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Rows by domain" in page and page.count("data:image/png") == 1
    assert (tmp_path / "run" / "plots" / "toy_rows.pdf").is_file()
    assert "the rest of the bad drawings" in page and "no such column" in page
