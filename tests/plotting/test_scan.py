"""Figures of scans and comparisons: the numbers given are those drawn, and nothing is cut."""

from dataclasses import replace

import numpy as np
import pytest

from hepda.errors import DataError
from hepda.plotting.base.style import Label
from hepda.plotting.comparison import ComparisonPanel, Measurement, comparison_figure
from hepda.plotting.scan import Corrected, Panel, ScanPoint, Spread, scan_criterion_figure, scan_tradeoff_figure
from tests.plotting.checks import assert_nothing_is_cut, marked, points

LABEL = Label("Simulation", 0.6)
STRENGTHS = (0, 0.3, 3, 30, 300)


def curve(shift: float, chosen: int | None = None, std: float | None = 0.002) -> list[ScanPoint]:
    result = []
    for i, strength in enumerate(STRENGTHS):
        numbers = {
            "auc_simulation": Spread(0.84 - 0.01 * i - shift, std),
            "ks_alternative": Spread(0.06 - 0.01 * i + shift, std),
            "shift_alternative_0.2": Spread(-0.3 + 0.08 * i, std),
            "choice_loss": Spread(0.48 + 0.01 * i, std),
        }
        result.append(ScanPoint(strength, f"{strength:g}", numbers, i == chosen))
    return result


PANELS = [
    [
        Panel("auc_simulation", "AUC (simulation)", "ks_alternative", "KS to alternative", band=(0.0, 0.015)),
        Panel("auc_simulation", "AUC (simulation)", "shift_alternative_0.2", "Shift [%]", 100.0, band=(-0.1, 0.1)),
    ]
]


def drawn_bars(axes):
    return [segment for container in axes.containers for bars in container.lines[2] for segment in bars.get_segments()]


def test_a_chosen_point_has_a_square_where_it_is_expected():
    lines = curve(0.0, chosen=3)
    expected = {"auc_simulation": Corrected(0.805, 0.804, 0.807), "ks_alternative": Corrected(0.025, 0.02, 0.03)}
    lines[3] = replace(lines[3], corrected=expected)
    figure = scan_tradeoff_figure({"dann": lines}, PANELS, label=LABEL)
    left, right = figure.axes
    (square,) = marked(left, "corrected")
    assert square.get_xdata()[0] == 0.025 and square.get_ydata()[0] == 0.805
    assert marked(right, "corrected") == []  # of this shift it is not known
    assert "chosen, corrected" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert_nothing_is_cut(figure)
    below = [Panel("choice_loss", "Source loss"), Panel("auc_simulation", "AUC")]
    criterion = scan_criterion_figure({"dann": lines}, below, key="strength", label=LABEL)
    assert [len(marked(axes, "corrected")) for axes in criterion.axes] == [0, 1]


def test_the_tradeoff_draws_means_deviations_values_and_the_chosen_point():
    figure = scan_tradeoff_figure({"dann": curve(0.0, chosen=3), "disco": curve(0.003)}, PANELS, label=LABEL)
    left, right = figure.axes
    x, y, _ = points(left)[0]
    assert x.tolist() == pytest.approx([0.06, 0.05, 0.04, 0.03, 0.02]) and y[3] == pytest.approx(0.81)
    sides = {(round(float(np.ptp(s[:, 0])), 6), round(float(np.ptp(s[:, 1])), 6)) for s in drawn_bars(left)}
    assert sides == {(0.004, 0.0), (0.0, 0.004)}
    assert points(right)[0][0].tolist() == pytest.approx([-30, -22, -14, -6, 2])
    for axes in (left, right):
        (ring,) = marked(axes, "chosen")
        assert ring.get_ydata()[0] == pytest.approx(0.81)
        (band,) = marked(axes, "null")
        assert [text.get_text() for text in marked(axes, "value")] == ["0", "0.3", "3", "30", "300"] * 2
    assert band.get_x() == pytest.approx(-10) and band.get_width() == pytest.approx(20)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "dann",
        "disco",
        "chosen",
        "no difference (95 %)",
    ]
    assert_nothing_is_cut(figure)


def test_points_of_which_a_training_failed_are_crossed():
    points_ = curve(0.0, chosen=1)
    partly = ScanPoint(30, "30", points_[3].numbers, failed=True)
    wholly = ScanPoint(300, "300", failed=True)
    curves = {"dann": [*points_[:3], partly, wholly]}
    figure = scan_tradeoff_figure(curves, PANELS)
    (cross,) = marked(figure.axes[0], "failed")
    assert cross.get_xdata()[0] == pytest.approx(0.03)  # of the other, there is no number to draw
    assert "training failed" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert_nothing_is_cut(figure)
    figure = scan_criterion_figure(curves, [Panel("choice_loss", "Source loss")], key="strength")
    assert [cross.get_xdata()[0] for cross in marked(figure.axes[0], "failed")] == [30, 300]
    assert_nothing_is_cut(figure)


def test_a_search_is_not_joined_and_one_seed_has_no_bars():
    figure = scan_tradeoff_figure({"dann": curve(0.0, std=None)}, PANELS, connected=False)
    assert not marked(figure.axes[0], "value")
    assert all(np.ptp(s) == 0 or np.ptp(s, axis=0).max() == 0 for s in drawn_bars(figure.axes[0]))
    assert [
        line for line in figure.axes[0].get_lines() if len(line.get_xdata()) == 5 and line.get_linestyle() != "None"
    ] == []


@pytest.mark.parametrize("methods", [1, 8])
def test_the_criterion_has_a_place_for_zero_on_a_logarithmic_axis(methods):
    curves = {f"method_{i}": curve(0.001 * i, chosen=2 if i == 0 else None) for i in range(methods)}
    panels = [Panel("choice_loss", "Source loss", band=(0.48, 0.50)), Panel("auc_simulation", "AUC (simulation)")]
    figure = scan_criterion_figure(curves, panels, key="strength", band_text="allowed", label=LABEL)
    top, bottom = figure.axes
    assert bottom.get_xscale() == "log" and bottom.get_xlabel() == "strength"
    x = points(top)[0][0]
    assert x[1:].tolist() == [0.3, 3, 30, 300] and 0 < x[0] < 0.3
    ticks = dict(zip(bottom.get_xticks(), [t.get_text() for t in bottom.get_xticklabels()], strict=True))
    assert ticks[x[0]] == "0" and ticks[1.0] == "1"
    (allowed,) = marked(top, "allowed")
    assert allowed.get_y() == 0.48 and allowed.get_height() == pytest.approx(0.02)
    assert_nothing_is_cut(figure)
    box = figure.legends[0].get_window_extent()
    assert box.x1 <= figure.bbox.x1 and box.y1 <= bottom.xaxis.label.get_window_extent().y0


def test_words_stand_in_the_place_of_numbers():
    listed = [
        ScanPoint(float(i), text, {"auc": Spread(0.8 + i)}) for i, text in enumerate(("[64, 64]", "[128, 128, 128]"))
    ]
    figure = scan_criterion_figure({"network": listed}, [Panel("auc", "AUC")], key="encoder", words=True)
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["[64, 64]", "[128, 128, …"]


def test_a_scan_without_numbers_cannot_be_drawn():
    empty = {"dann": [ScanPoint(0, "0")]}
    with pytest.raises(DataError, match="no trade-off"):
        scan_tradeoff_figure(empty, PANELS)
    with pytest.raises(DataError, match="nothing to draw"):
        scan_criterion_figure(empty, [Panel("auc", "AUC")], key="strength")


def test_a_comparison_draws_each_model_of_each_run_once():
    models, runs = ["network", "dann_data_control_region"], ["first", "second", "third"]
    places = [(model, run) for model in models for run in runs if (model, run) != ("network", "second")]
    auc = {place: Measurement(0.8 + 0.01 * i, 0.79 + 0.01 * i, 0.815 + 0.01 * i) for i, place in enumerate(places)}
    ks = {place: Measurement(0.02, null=0.01) for place in places}
    rows = [
        [ComparisonPanel(f"AUC {i}", auc) for i in range(4)],
        [ComparisonPanel("KS", ks, line=0.0), ComparisonPanel("none")],
    ]
    figure = comparison_figure(rows, models, runs, label=LABEL)
    assert len(figure.axes) == 5  # four in two lines, and the KS; the empty one is left out
    axes, last = figure.axes[0], figure.axes[-1]
    drawn = [(float(c.lines[0].get_xdata()[0]), float(c.lines[0].get_ydata()[0])) for c in axes.containers]
    assert [x for x, _ in drawn] == pytest.approx([m.value for m in auc.values()])
    assert [round(y) for _, y in drawn] == [0, 0, 1, 1, 1] and drawn[0][1] < 0 < drawn[1][1]
    ends = [s for c in axes.containers for bars in c.lines[2] for s in bars.get_segments()]
    assert np.array(ends)[:, :, 0] == pytest.approx(np.array([(m.low, m.high) for m in auc.values()]))
    assert len(marked(last, "null")) == 5 and last.get_xlim()[0] == 0
    assert [t.get_text() for t in axes.get_yticklabels()] == models
    assert_nothing_is_cut(figure)
    with pytest.raises(DataError):
        comparison_figure([[ComparisonPanel("none")]], models, runs)
