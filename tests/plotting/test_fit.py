"""The fit's figures: the numbers given are those drawn, and what is left out is said."""

from types import SimpleNamespace

import numpy as np
import pytest

from hepda.errors import DataError
from hepda.plotting.base.style import Label
from hepda.plotting.fit import (
    closure_bias_figure,
    correlation_figure,
    impacts_figure,
    postfit_figure,
    pulls_figure,
)
from hepda.results.fits import FitResult, Impact, Parameter
from tests.plotting.checks import assert_legend_is_clear, assert_nothing_is_cut, marked, points

LABEL = Label("Pseudo-data", 0.6)


def result(bins: int = 6, nuisances: int = 4, mu: float | None = 1.2) -> FitResult:
    x = np.linspace(0, 1, bins)
    samples = {"ttjets": 500 * np.exp(-3 * x) + 5, "ttZ": 20 * np.exp(-x), "ttH": 1.2 * (5 + 20 * x)}
    total = np.sum(list(samples.values()), axis=0)
    parameters = [Parameter("mu", "poi", 1.2, 0.3)]
    parameters += [Parameter(f"source_{i}", "systematic", 0.3 * i, 0.9, 0.0, 1.0) for i in range(nuisances)]
    parameters += [Parameter(f"staterror_dann[{b}]", "statistics", 1.01, 0.02, 1.0, 0.02) for b in range(bins)]
    size = len(parameters)
    correlation = np.eye(size) + 0.1 * (np.ones((size, size)) - np.eye(size))
    return FitResult(
        mu, 0.3, 0.9, 1.5, 10.0, tuple(parameters), correlation, {},
        np.linspace(0, 1, bins + 1), np.round(total * 1.02), total * 0.95, 0.1 * total, total, 0.03 * total,
        samples, ("ttH",), 3.0, bins - 1, 0.7,
    )  # fmt: skip


def referee(figure: object) -> None:
    assert_legend_is_clear(figure)
    assert_nothing_is_cut(figure)


@pytest.mark.parametrize("bins", [1, 6, 25])
def test_templates_after_the_fit_with_their_band_and_ratio(bins: int) -> None:
    computed = result(bins)
    figure = postfit_figure(computed, model="dann", label=LABEL, labels={"ttjets": "tt + jets"})
    main, below = figure.axes
    [(x, y, bars)] = points(main)
    assert x == pytest.approx(np.arange(bins) + 0.5)
    assert y == pytest.approx(computed.observed)
    assert np.all(bars[1] > bars[0])  # Poisson's interval is longer upwards
    [(_, ratio, _)] = points(below)
    assert ratio == pytest.approx(computed.observed / computed.fitted)
    assert {"tt + jets", "ttZ", "ttH", "Data", "Fit unc.", "Before the fit"} == set(main.get_legend_handles_labels()[1])
    [note] = [main.get_legend().get_title().get_text()]
    assert "1.20 ± 0.30" in note and "p = 0.70" in note
    labels = [t.get_text() for t in below.get_xticklabels()]
    assert labels[0] == "0.00" and len(labels) <= 10
    referee(figure)


def test_hidden_bins_show_no_data_and_say_so() -> None:
    figure = postfit_figure(result(), model="dann", label=LABEL, blind=(0.7, 1.0))
    main, below = figure.axes
    for axes in (main, below):
        [(x, _, _)] = points(axes)
        assert x.tolist() == [0.5, 1.5, 2.5, 3.5]
        assert marked(axes, "blinded")
    assert marked(main, "blinded text")
    referee(figure)


def test_a_fit_without_minimum_has_no_figure_and_a_negative_sample_no_fill() -> None:
    with pytest.raises(DataError, match="fit of dann has no minimum"):
        postfit_figure(result(mu=None), model="dann")
    computed = result()
    computed.samples["ttH"][:] *= -1
    main = postfit_figure(computed, model="dann").axes[0]
    assert "ttH" not in main.get_legend_handles_labels()[1]


def test_pulls_are_drawn_with_their_errors_and_the_rest_is_counted() -> None:
    computed = result()
    figure = pulls_figure(computed.parameters, label=LABEL)
    [axes] = figure.axes
    [container] = axes.containers
    assert container.lines[0].get_xdata() == pytest.approx([0.0, 0.3, 0.6, 0.9] + 6 * [0.5])
    spans = [s[1][0] - s[0][0] for s in container.lines[2][0].get_segments()]
    assert spans == pytest.approx([1.8] * 4 + [2.0] * 6)
    names = [t.get_text() for t in axes.get_yticklabels()]
    assert names[1] == "source 1" and names[-1] == "MC stat., bin 6"
    assert not figure.texts[2:]
    few = pulls_figure(computed.parameters, most=3)
    assert [t.get_text() for t in few.axes[0].get_yticklabels()] == ["source 2", "source 3", "MC stat., bin 1"]
    assert "7 smaller not shown" in [t.get_text() for t in few.texts]
    with pytest.raises(DataError, match="no nuisance parameter"):
        pulls_figure(computed.parameters[:1])
    assert_nothing_is_cut(figure)


def test_impacts_go_both_ways_and_missing_ones_are_left_out() -> None:
    impacts = [
        Impact("jet_energy_scale_with_a_long_name", "systematic", 0.4, 0.8, 0.2, -0.25),
        Impact("rate", "systematic", -0.1, 1.0, -0.1, None),
        Impact("staterror_dann[2]", "statistics", 0.0, 1.0, 0.01, -0.01),
    ]
    figure = impacts_figure(impacts, mu=1.2, error=0.3, label=LABEL, labels={"rate": "tt rate"})
    left, right = figure.axes
    widths = sorted(p.get_width() for p in right.patches)
    assert widths == pytest.approx([-0.25, -0.1, -0.01, 0.01, 0.2])
    assert left.containers[0].lines[0].get_xdata() == pytest.approx([0.4, -0.1, 0.0])
    names = [t.get_text() for t in left.get_yticklabels()]
    assert names == ["jet energy scale with a long name", "tt rate", "MC stat., bin 3"]
    assert left.get_ylim()[0] > left.get_ylim()[1]  # the largest on top
    assert any("1.20 ± 0.30" in t.get_text() for t in figure.texts)
    assert_nothing_is_cut(figure)
    short = impacts_figure(impacts, mu=1.2, error=0.3, most=1)
    assert any("2 smaller not shown" in t.get_text() for t in short.texts)
    with pytest.raises(DataError, match="no impact"):
        impacts_figure([], mu=1.0, error=0.1)


def test_names_stay_on_the_page() -> None:
    long = [Impact("a_systematic_with_quite_a_long_name", "systematic", 0.4, 0.8, 0.2, -0.25)]
    figure = impacts_figure(long, mu=1.2, error=0.3, label=LABEL)
    figure.draw_without_rendering()
    [name] = figure.axes[0].get_yticklabels()
    assert name.get_window_extent().x0 >= 0


def test_correlations_are_those_given_with_mu_first() -> None:
    computed = result(bins=12, nuisances=5)
    figure = correlation_figure(computed, most=9, label=LABEL)
    [axes] = figure.axes
    shown = axes.images[0].get_array()
    assert shown.shape == (9, 9)
    assert np.asarray(shown).diagonal() == pytest.approx(1.0) and shown[0, 1] == pytest.approx(0.1)
    names = [t.get_text() for t in axes.get_yticklabels()]
    assert names[0] == r"$\mu$" and names[1:6] == [f"source {i}" for i in range(5)]
    assert "10" in [t.get_text() for t in axes.texts]
    empty = SimpleNamespace(correlation=np.zeros((0, 0)), parameters=())
    with pytest.raises(DataError, match="no correlation"):
        correlation_figure(empty)


def closure(truth: float, mu: float | None, error: float = 0.3) -> SimpleNamespace:
    return SimpleNamespace(truth=truth, mu=mu, error=error, sample_error=0.05)


def toys(truth: float, coverage: float) -> SimpleNamespace:
    return SimpleNamespace(truth=truth, coverage=coverage, coverage_error=0.02)


def test_the_bias_of_every_model_and_domain_stands_in_the_panel_of_its_truth() -> None:
    fits = {
        "alternative": {
            "network": [closure(0.0, 0.2), closure(1.0, 1.4)],
            "dann": [closure(0.0, 0.1), closure(1.0, None)],
        },
        "third": {"network": [closure(0.0, -0.1)], "dann": [closure(1.0, 1.05)]},
        "data": {"network": [closure(1.0, None)]},
    }
    coverage = {"alternative": {"network": [toys(0.0, 0.5), toys(1.0, 0.3)], "dann": [toys(1.0, 0.66)]}}
    figure = closure_bias_figure(fits, source="simulation", coverage=coverage, label=LABEL)
    at_zero, at_one, covered = figure.axes
    assert sorted(float(x[0]) for x, _, _ in points(at_zero)) == pytest.approx([-0.1, 0.1, 0.2])
    assert sorted(float(x[0]) for x, _, _ in points(at_one)) == pytest.approx([0.05, 0.4])
    assert sorted(float(x[0]) for x, _, _ in points(covered)) == pytest.approx([30.0, 66.0])
    assert [line.get_xdata()[0] for line in marked(at_one, "truth")] == [0.0]
    [nominal] = marked(covered, "nominal")
    assert nominal.get_xdata()[0] == pytest.approx(68.27, abs=0.01)
    assert at_zero.get_xlim() == at_one.get_xlim()
    y = {float(x[0]): float(y[0]) for x, y, _ in points(at_zero)}
    assert y[0.2] < y[-0.1] < y[0.1]  # network above dann; alternative above third
    texts = [t.get_text() for t in figure.legends[0].get_texts()]
    assert texts[:3] == ["data from alternative", "data from third", "no bias (templates: simulation)"]
    assert_nothing_is_cut(figure)


def test_many_models_and_one_truth_fit_on_a_page_and_a_column() -> None:
    models = [f"model_number_{i}" for i in range(10)]
    fits = {d: {m: [closure(1.0, 1.1)] for m in models} for d in ("simulation", "alternative", "third", "data")}
    figure = closure_bias_figure(fits, source="simulation", label=LABEL)
    assert len(figure.axes) == 1
    assert_nothing_is_cut(figure)
    box = figure.legends[0].get_window_extent()
    assert box.x1 <= figure.bbox.x1 and box.y1 < figure.axes[0].xaxis.label.get_window_extent().y0
    three = {d: {m: [closure(t, t + 0.1) for t in (0.0, 1.0, 2.0)] for m in models} for d in fits}
    wide = closure_bias_figure(three, source="simulation")
    assert len(wide.axes) == 3 and wide.legends[0].get_window_extent().x1 <= wide.bbox.x1
    with pytest.raises(DataError, match="no bias to draw"):
        closure_bias_figure({"data": {"network": [closure(1.0, None)]}}, source="simulation")
