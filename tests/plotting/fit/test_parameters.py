"""Pulls, free rates, ranking, correlations: the numbers given are those drawn, and what is left out is said."""

import numpy as np
import pytest

from hepda.errors import DataError
from hepda.plotting.base.style import Label
from hepda.plotting.fit.correlations import correlated, correlation_figure
from hepda.plotting.fit.parameters import parameters_figure
from hepda.plotting.fit.ranking import ranking_figure
from hepda.plotting.fit.rows import nice
from hepda.results.fit_file import CorrelationEntry
from tests.plotting.checks import assert_nothing_is_cut, marked
from tests.plotting.fit.records import impact, parameters

LABEL = Label("Pseudo-data", 0.6)


def test_pulls_are_drawn_with_their_errors_and_free_rates_on_their_own_axis() -> None:
    figure = parameters_figure(parameters(), label=LABEL)
    pulls, rates = figure.axes
    [container] = pulls.containers
    assert container.lines[0].get_xdata() == pytest.approx([0.0, 0.3, 0.6, 0.9] + 6 * [0.5])
    spans = [s[1][0] - s[0][0] for s in container.lines[2][0].get_segments()]
    assert spans == pytest.approx([1.8] * 4 + [2.0] * 6)
    names = [t.get_text() for t in pulls.get_yticklabels()]
    assert names[1] == "source 1" and names[-1] == "MC stat., four b, bin 6"
    [container] = rates.containers
    assert container.lines[0].get_xdata() == pytest.approx([1.2, 1.4])
    assert [t.get_text() for t in rates.get_yticklabels()] == [r"$\mu$", "ttb rate"]
    assert [t.get_text() for t in rates.texts] == ["1.20 ± 0.30", "1.40 ± 0.10"]
    ends = container.lines[2][0].get_segments()
    written = min(t.get_window_extent().x0 for t in rates.texts)
    assert all(rates.transData.transform(end[1])[0] < written for end in ends)  # the numbers are beside the bars
    assert [line.get_xdata()[0] for line in marked(rates, "prediction")] == [1.0]
    assert not [t for t in figure.texts if t.get_gid() == "left out"]
    assert_nothing_is_cut(figure)


def test_of_many_parameters_those_with_the_largest_pulls_are_drawn() -> None:
    few = parameters_figure(parameters(), most=3)
    assert [t.get_text() for t in few.axes[0].get_yticklabels()] == ["source 2", "source 3", "MC stat., four b, bin 1"]
    [said] = [t.get_text() for t in few.texts if t.get_gid() == "left out"]
    assert said.startswith("7 nuisance parameters")
    only = parameters_figure(parameters()[:2])
    assert len(only.axes) == 1
    with pytest.raises(DataError, match="nothing to draw"):
        parameters_figure([])


def test_the_ranking_has_impacts_of_both_errors_and_values_of_rates() -> None:
    impacts = [
        impact("jet_energy_scale_with_a_long_name"),
        impact("ttb_rate", "free", pull=None, constraint=None, prefit_up=None, prefit_down=None, value=1.31, error=0.1),
        impact("rate", mu_down=None, pull=-0.1),
        impact("staterror_four_b[2]", "statistics", mu_up=0.01, mu_down=-0.01, prefit_up=0.02, prefit_down=-0.02),
    ]
    figure = ranking_figure(impacts, mu=1.2, error=0.3, label=LABEL, labels={"rate": "tt rate", "four_b": "4b"})
    left, right = figure.axes
    after = [p.get_width() for p in marked(right, "post-fit")]
    before = [p.get_width() for p in marked(right, "pre-fit")]
    assert after == pytest.approx([0.2, -0.25, 0.2, -0.25, 0.2, 0.01, -0.01])
    assert before == pytest.approx([0.3, -0.35, 0.3, -0.35, 0.02, -0.02])
    line = left.containers[0].lines[0]
    assert line.get_xdata() == pytest.approx([0.4, -0.1, 0.4]) and line.get_ydata() == pytest.approx([0, 2, 3])
    assert [(t.get_text(), t.get_position()[1]) for t in left.texts] == [("1.31 ± 0.10", 1)]
    names = [t.get_text() for t in left.get_yticklabels()]
    assert names == ["jet energy scale with a long name", "ttb rate", "tt rate", "MC stat., 4b, bin 3"]
    assert left.get_ylim()[0] > left.get_ylim()[1]  # the largest on top
    low, high = right.get_xlim()
    assert low <= -0.35 and high >= 0.35
    assert any("1.20 ± 0.30" in t.get_text() for t in figure.texts)
    assert_nothing_is_cut(figure)
    figure.draw_without_rendering()
    assert all(label.get_window_extent().x0 >= 0 for label in left.get_yticklabels())
    [legend] = figure.legends
    [mu] = [t for t in figure.texts if t.get_gid() == "mu"]
    assert legend.get_window_extent().x1 < mu.get_window_extent().x0
    assert legend.get_window_extent().y1 < right.xaxis.label.get_window_extent().y0
    short = ranking_figure(impacts, mu=1.2, error=0.3, most=1)
    assert any("3 smaller not shown" in t.get_text() for t in short.texts)
    with pytest.raises(DataError, match="no impact"):
        ranking_figure([], mu=1.0, error=0.1)


def matrix_of(size: int) -> np.ndarray:
    """Correlations of 0.04, but 0.5 between the last two and -0.22 between mu and the third."""
    matrix = np.full((size, size), 0.04)
    matrix[-1, -2] = matrix[-2, -1] = 0.5
    matrix[0, 2] = matrix[2, 0] = -0.22
    np.fill_diagonal(matrix, 1.0)
    return matrix


def test_the_threshold_is_the_smallest_that_leaves_few_enough() -> None:
    matrix, kept = matrix_of(30), [True, True] + [False] * 28
    assert correlated(matrix, kept, 30)[1] == 0.0
    chosen, threshold = correlated(matrix, kept, 5)
    assert chosen.tolist() == [0, 1, 2, 28, 29] and threshold == 0.05
    chosen, threshold = correlated(matrix, kept, 4)
    assert chosen.tolist() == [0, 1, 28, 29] and threshold == 0.25
    dense = np.full((6, 6), 0.95)
    np.fill_diagonal(dense, 1.0)
    assert correlated(dense, [False] * 6, 3)[0].tolist() == [0, 1, 2]


def test_correlations_are_those_given_and_the_threshold_is_stated() -> None:
    fitted = parameters(nuisances=28, statistics=0)
    entry = CorrelationEntry(names=[p.name for p in fitted], matrix=matrix_of(30).tolist())
    figure = correlation_figure(entry, fitted, most=5, label=LABEL)
    [axes] = figure.axes
    shown = np.asarray(axes.images[0].get_array())
    assert shown == pytest.approx(matrix_of(30)[np.ix_([0, 1, 2, 28, 29], [0, 1, 2, 28, 29])])
    assert [t.get_text() for t in axes.get_yticklabels()] == [
        r"$\mu$",
        "ttb rate",
        "source 0",
        "source 26",
        "source 27",
    ]
    written = [t.get_text() for t in axes.texts if t.get_gid() != "label"]
    assert written[2] == "−22" and written[0] == "100" and len(written) == 25
    [said] = [t.get_text() for t in figure.texts]
    assert "25 parameters without one of 5 or more are not shown" in said
    assert_nothing_is_cut(figure)
    assert figure.texts[0].get_window_extent().y1 < min(t.get_window_extent().y0 for t in axes.get_xticklabels())
    with pytest.raises(DataError, match="no correlation"):
        correlation_figure(CorrelationEntry(names=[], matrix=[]), [])


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("mu", "poi", r"$\mu$"), ("mu_tHq", "free", r"$\mu$ tHq"), ("ttb_rate", "free", "ttb rate"),
        ("staterror_SR_1[0]", "statistics", "MC stat., SR 1, bin 1"), ("jes", "systematic", "jes"),
    ],
)  # fmt: skip
def test_names_are_readable(name: str, kind: str, text: str) -> None:
    assert nice(name, kind) == text


def test_a_parameter_of_a_process_or_region_has_the_label_of_its_systematic() -> None:
    labels = {"jes": "Jet energy scale", "jes_eta": "JES, eta", "four_b": "4b"}
    assert nice("jes_ttb", "systematic", labels) == "Jet energy scale, ttb"
    assert nice("jes_eta_four_b", "systematic", labels) == "JES, eta, 4b"
    assert nice("jesting", "systematic", labels) == "jesting"
