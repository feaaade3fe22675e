import numpy as np
import pytest

from hepda.errors import DataError
from hepda.plotting.base.histogram import Histogram
from hepda.plotting.base.style import Label
from hepda.plotting.scores.features import FeatureSample, feature_figure
from hepda.plotting.scores.shapes import SCORE_EDGES, score_histogram, shape_figure, stacked_score
from tests.plotting.checks import assert_legend_is_clear, assert_nothing_is_cut, marked, points

EDGES = np.linspace(0, 1, 6)


def scores(seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.beta(2, 3, n), np.where(rng.random(n) < 0.13, -0.4, 0.4)


def filled(seed: int, edges: np.ndarray = SCORE_EDGES) -> Histogram:
    return score_histogram(*scores(seed), edges)


def test_shapes_have_unit_area_and_errors_of_the_root_of_sumw2() -> None:
    domains = {"simulation": scores(1), "alternative": scores(2)}
    histograms = {name: score_histogram(x, w, EDGES) for name, (x, w) in domains.items()}
    main, below = shape_figure(histograms, reference="simulation", model="dann").axes
    outlines = [p.get_data() for p in main.patches]
    expected = {}
    for name, (x, w) in domains.items():
        sumw, _ = np.histogram(x, EDGES, weights=w)
        sumw2, _ = np.histogram(x, EDGES, weights=w**2)
        expected[name] = sumw / sumw.sum(), np.sqrt(sumw2) / sumw.sum()
    assert outlines[0].values == pytest.approx(expected["simulation"][0])
    assert outlines[1].values == pytest.approx(expected["alternative"][0])
    bars = [c.lines[2][0].get_segments() for c in main.containers]
    halves = [[0.5 * (s[1][1] - s[0][1]) for s in segments] for segments in bars]
    assert halves[0] == pytest.approx(expected["simulation"][1])
    assert halves[1] == pytest.approx(expected["alternative"][1])
    drawn = next(p for p in below.patches if p.get_gid() != "band").get_data().values
    assert drawn == pytest.approx(expected["alternative"][0] / expected["simulation"][0])


def test_context_is_drawn_above_and_not_in_the_ratio() -> None:
    main, below = shape_figure(
        {"simulation": filled(1, EDGES), "alternative": filled(2, EDGES)},
        reference="simulation",
        model="dann",
        context={"signal": filled(3, EDGES)},
    ).axes
    assert "signal" in main.get_legend_handles_labels()[1]
    assert len([p for p in below.patches if p.get_gid() != "band"]) == 1


def test_axes_are_named() -> None:
    main, below = shape_figure({"simulation": filled(1), "third": filled(2)}, reference="simulation", model="dann").axes
    assert main.get_ylabel() == "Fraction of events / 0.05"
    assert below.get_xlabel() == "Score of dann"
    assert below.get_ylabel() == "Ratio to sim."


def test_a_reference_without_scores_and_a_lone_domain_are_refused() -> None:
    with pytest.raises(DataError, match="'third' has no scores"):
        shape_figure({"simulation": filled(1)}, reference="third", model="dann")
    with pytest.raises(DataError, match="nothing to compare"):
        shape_figure({"simulation": filled(1)}, reference="simulation", model="dann")


def test_the_stack_hides_blinded_data_above_and_in_the_ratio() -> None:
    data = FeatureSample("Data", np.concatenate([np.full(30, 0.1), np.full(50, 0.62), np.full(99999, 0.9)]))
    score = stacked_score([FeatureSample("tt", *scores(1))], model="dann", data=data, blind=(0.6, np.inf), edges=EDGES)
    assert score.data is not None
    assert score.data.histogram.sumw.tolist() == [30, 0, 0, 0, 0]  # what is hidden is not kept either
    figure = feature_figure(score, label=Label(luminosity=1.0), log=True)
    for axes in figure.axes:
        [(x, _, _)] = points(axes)
        assert x.tolist() == pytest.approx([0.1, 0.3, 0.5])
        assert marked(axes, "blinded")
    assert figure.axes[0].get_ylim()[1] < 1e5
    assert_legend_is_clear(figure)
    assert_nothing_is_cut(figure)


@pytest.mark.parametrize("log", [False, True])
def test_nothing_overlaps_or_is_cut(log: bool) -> None:
    domains = {name: filled(i) for i, name in enumerate(("simulation", "alternative", "third", "nature"))}
    figure = shape_figure(
        domains,
        reference="simulation",
        model="a_model_with_a_long_name",
        log=log,
        label=Label(note="tt + jets"),
    )
    assert_legend_is_clear(figure)
    assert_nothing_is_cut(figure)
