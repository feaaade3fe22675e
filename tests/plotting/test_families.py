"""ROC, bias, significance, trade-off, calibration, overtraining: the numbers given are those drawn."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from hepda.errors import DataError
from hepda.evaluation.roc import purity_band
from hepda.plotting.base.style import Label, model_styles
from hepda.plotting.scores.bias import ks_figure, shift_figure
from hepda.plotting.scores.calibration import calibration_figure, overtraining_figure
from hepda.plotting.scores.correlations import correlations_figure
from hepda.plotting.scores.efficiency import efficiency_figure, importance_figure
from hepda.plotting.scores.importance import class_importance_figure
from hepda.plotting.scores.ratios import ratio_figure
from hepda.plotting.scores.roc import few_labels_figure, purity_curves_figure, roc_figure
from hepda.plotting.scores.significance import significance_figure
from hepda.plotting.scores.tradeoff import TradeoffPoint, tradeoff_figure
from hepda.results import evaluation as results
from tests.plotting.checks import assert_legend_is_clear, assert_nothing_is_cut, marked, points

NAMES = ["network", "dann", "dann_data_control_region", "hist_gradient_boosting"]
LABEL = Label("Simulation", 1.0)
GRID = np.linspace(0.05, 1.0, 20)


def band(shift: float) -> results.RocBand:
    b = GRID ** (2 + shift)
    return results.RocBand(GRID, b, 0.9 * b, 1.1 * b)


def referee(figure: object) -> None:
    assert_legend_is_clear(figure)
    assert_nothing_is_cut(figure)


def test_roc_shows_the_rejection_its_band_and_the_ratio_to_the_reference() -> None:
    bands = {name: band(0.1 * i) for i, name in enumerate(NAMES)}
    auc = {name: results.Interval(0.84, 0.838, 0.842) for name in NAMES}
    figure = roc_figure(bands, reference="network", auc=auc, label=LABEL)
    main, below = figure.axes
    assert main.get_yscale() == "log"
    line = main.get_lines()[1]
    assert line.get_ydata() == pytest.approx(1 / bands["dann"].background_efficiency)
    assert line.get_color() == model_styles(NAMES)["dann"].colour
    heights = main.collections[1].get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx(1 / bands["dann"].low[0])
    expected = bands["network"].background_efficiency / bands["dann"].background_efficiency
    assert below.get_lines()[1].get_ydata() == pytest.approx(expected)
    assert "dann (AUC 0.840 ± 0.002)" in main.get_legend_handles_labels()[1]
    assert "varepsilon" in below.get_xlabel()
    referee(figure)


def test_roc_without_its_reference_is_refused_and_empty_efficiencies_are_gaps() -> None:
    with pytest.raises(DataError, match="'network' of the ROC"):
        roc_figure({"dann": band(0)}, reference="network")
    b = np.where(GRID < 0.3, 0.0, GRID)
    main, _ = roc_figure({"dann": results.RocBand(GRID, b, b, b)}, reference="dann").axes
    assert np.isnan(main.get_lines()[0].get_ydata()[:5]).all()


def test_purity_follows_from_the_efficiencies_and_the_share_of_signal() -> None:
    figure = purity_curves_figure({n: purity_band(band(0.1 * i), 0.2) for i, n in enumerate(NAMES)}, label=LABEL)
    [axes] = figure.axes
    kept, background = 0.2 * GRID, 0.8 * band(0.1).background_efficiency
    assert axes.get_lines()[1].get_ydata() == pytest.approx(kept / (kept + background))
    assert axes.get_lines()[0].get_ydata()[-1] == pytest.approx(0.2)  # without a cut
    referee(figure)
    with pytest.raises(DataError, match="no model has a purity"):
        purity_curves_figure({})


@pytest.mark.parametrize("count", [3, 40])
def test_correlation_matrices_have_their_numbers_where_there_is_room(count: int) -> None:
    generator = np.random.default_rng(1)
    matrix = np.corrcoef(generator.normal(size=(count, 60)))
    matrix[0] = np.nan
    names = [f"$p_T$(jet {i})" for i in range(count)]
    figure = correlations_figure({"signal": matrix, "background": matrix}, names, label=LABEL)
    first, second, bar = figure.axes
    assert [axes.get_title() for axes in (first, second)] == ["signal", "background"]
    assert np.ma.getdata(first.get_images()[0].get_array())[1:] == pytest.approx(matrix[1:])
    assert len(first.texts) == (np.isfinite(matrix).sum() if count == 3 else 0)
    assert [t.get_text() for t in first.get_yticklabels()] == names
    assert bar.get_ylim() == (-1.0, 1.0)
    assert_nothing_is_cut(figure)
    with pytest.raises(DataError, match="nothing to draw"):
        correlations_figure({"signal": matrix}, ["one"])


def shift(efficiency: float, value: float | None, error: float | None) -> results.EfficiencyShift:
    return results.EfficiencyShift(efficiency, 0.5, 0.1, 0.1, value, error)


def test_shifts_are_per_cent_with_their_errors_and_gaps_are_left_out() -> None:
    few = {"network": [shift(0.3, -0.1, 0.03), shift(0.5, -0.05, 0.02), shift(0.1, None, None)]}
    figure = shift_figure(few, source="simulation", other="alternative", label=LABEL)
    [axes] = figure.axes
    [(_, y, bars)] = points(axes)
    assert y == pytest.approx([-10.0, -5.0])
    assert bars[1] == pytest.approx([3.0, 2.0])
    assert "[%]" in axes.get_ylabel()
    assert "simulation" in axes.get_xlabel()
    referee(figure)


def test_many_shifts_become_a_curve_with_a_band() -> None:
    many = {name: [shift(e, 0.1 * e, 0.02) for e in GRID] for name in NAMES}
    figure = shift_figure(many, source="simulation", other="alternative", label=LABEL)
    [axes] = figure.axes
    assert len(axes.collections) == len(NAMES)
    assert not points(axes)
    referee(figure)
    with pytest.raises(DataError, match="no model has an efficiency shift"):
        shift_figure({"a": [shift(0.3, None, None)]}, source="simulation", other="third")


def test_the_shifts_within_one_generator_are_a_grey_band_of_the_model_where_they_are_widest() -> None:
    widths = {"network": 0.04, "dann": 0.06}
    curves = {
        name: [replace(shift(e, 0.1 * e, 0.02), null=results.Interval(0.0, -w, 1.5 * w, 0.95)) for e in GRID]
        for name, w in widths.items()
    }
    figure = shift_figure(curves, source="simulation", other="third", label=LABEL)
    [axes] = figure.axes
    [band] = [c for c in axes.collections if c.get_gid() == "null"]
    ends = band.get_paths()[0].vertices[:, 1]
    assert (ends.min(), ends.max()) == pytest.approx((-6.0, 9.0))
    assert axes.get_ylim()[0] < -6.0 and axes.get_ylim()[1] > 9.0
    assert "grey: 95 % of the shifts within one generator" in axes.get_legend().get_title().get_text()
    referee(figure)


def ks(value: float, quantile: float | None) -> SimpleNamespace:
    null = None if quantile is None else SimpleNamespace(level=0.95, quantile=quantile)
    return SimpleNamespace(ks=value, null=null, ks_error=0.002)


def test_ks_bars_carry_the_quantile_of_the_null() -> None:
    bias = {other: {name: ks(0.03, 0.014) for name in NAMES} for other in ("alternative", "third")}
    bias["third"]["dann"] = ks(0.02, None)
    figure = ks_figure(bias, source="simulation", label=LABEL)
    [axes] = figure.axes
    assert sorted(p.get_width() for p in axes.patches) == pytest.approx([0.02] + [0.03] * 7)
    bars = [c.get_segments()[0][:, 0] for c in axes.collections]
    assert bars[0] == pytest.approx([0.028, 0.032])
    marks = marked(axes, "null")
    assert len(marks) == 7
    assert all(mark.get_xdata()[0] == 0.014 for mark in marks)
    assert [t.get_text() for t in axes.get_yticklabels()] == NAMES
    assert "same-generator null, 95 % quantile" in [t.get_text() for t in figure.legends[0].get_texts()]
    assert_nothing_is_cut(figure)
    with pytest.raises(DataError, match="no model has a KS"):
        ks_figure({}, source="simulation")


def scan(bias: bool = True) -> results.SignificanceScan:
    cut = np.linspace(0, 0.95, 20)
    s, b = 50 * (1 - cut), 1000 * (1 - cut) ** 2 + 5
    z = s / np.sqrt(b)
    z[-1] = np.nan
    best = results.Significance(1.7, 1.0, 1.0, 0.0, 0.25)
    return results.SignificanceScan(
        cut, s, b, np.sqrt(b), b, None, z, 0.5 * z, 0.3 * z if bias else None, best, best, None
    )


def test_significance_has_a_panel_for_each_set_of_uncertainties_and_none_empty() -> None:
    figure = significance_figure({name: scan() for name in NAMES}, label=LABEL)
    assert len(figure.axes) == 3
    assert figure.axes[0].get_lines()[0].get_xdata()[0] == 1.0  # no cut keeps all the signal
    assert figure.axes[1].get_lines()[0].get_ydata()[:5] == pytest.approx(0.5 * scan().asimov[:5])
    curve, marker = figure.axes[0].get_lines()[:2]
    assert float(marker.get_ydata()[0]) == 1.7 and float(marker.get_xdata()[0]) == pytest.approx(0.75)
    few = scan().background < 25
    assert np.isnan(curve.get_ydata()[few]).all() and np.isfinite(curve.get_ydata()[~few]).all()
    assert len(figure.axes[2].get_lines()) == len(NAMES)  # no best cut, no marker
    assert all("sigma" in axes.get_ylabel() for axes in figure.axes)
    referee(figure)
    banded = replace(scan(), bands={"asimov_with_bias": (0.2 * scan().asimov, 0.4 * scan().asimov)})
    figure = significance_figure({"dann": banded}, bias_from="third", label=LABEL)
    assert [len(axes.collections) for axes in figure.axes] == [0, 0, 1]
    assert "+ difference to third" in [t.get_text() for t in figure.axes[2].texts]
    reached = figure.axes[2].collections[0].get_paths()[0].vertices[:, 1]
    assert reached.max() == pytest.approx(0.4 * np.nanmax(banded.asimov[~few]))
    figure = significance_figure({name: scan(bias=False) for name in NAMES}, x="cut", label=LABEL)
    assert len(figure.axes) == 2
    assert figure.axes[-1].get_xlabel() == "Cut on the score"
    assert figure.axes[0].get_lines()[0].get_xdata() == pytest.approx(scan().cut)
    nothing = scan()
    for values in (nothing.asimov, nothing.asimov_with_uncertainty, nothing.asimov_with_bias):
        values[:] = np.nan
    with pytest.raises(DataError, match="no model has a significance"):
        significance_figure({"dann": nothing})


def test_the_tradeoff_has_bars_the_null_and_connected_scans() -> None:
    points_of_a_scan = [TradeoffPoint(0.03, 0.843, text="λ=0"), TradeoffPoint(0.02, 0.84, text="λ=10")]
    figure = tradeoff_figure(
        {"network": TradeoffPoint(0.032, 0.843, 0.03, 0.035, 0.841, 0.845), "dann": points_of_a_scan},
        null=0.014,
        label=LABEL,
    )
    [axes] = figure.axes
    bars = axes.containers[0].lines[2]
    assert bars[0].get_segments()[0][:, 0] == pytest.approx([0.03, 0.035])
    assert bars[1].get_segments()[0][:, 1] == pytest.approx([0.841, 0.845])
    [region] = marked(axes, "null")
    assert region.get_width() == pytest.approx(0.014)
    assert {t.get_text() for t in axes.texts} >= {"λ=0", "λ=10"}
    assert axes.get_xlim()[0] == 0.0
    referee(figure)
    with pytest.raises(DataError, match="no trade-off"):
        tradeoff_figure({})


def test_calibration_leaves_out_empty_bins() -> None:
    fraction = np.array([0.1, np.nan, 0.8])
    curve = results.CalibrationCurve(
        np.linspace(0, 1, 4), np.array([0.2, 0.5, 0.8]), fraction, np.full(3, 0.05), np.ones(3), 0.1
    )
    figure = calibration_figure(dict.fromkeys(NAMES, curve), label=LABEL)
    axes, below = figure.axes
    assert points(axes)[0][1] == pytest.approx([0.1, 0.8])
    assert points(below)[0][1] == pytest.approx([-0.1, 0.0])
    assert below.get_ylim() == pytest.approx((-0.165, 0.165))  # the largest difference with its error
    referee(figure)
    fraction[:] = np.nan
    with pytest.raises(DataError, match="no model has a signal fraction"):
        calibration_figure({"dann": curve})


def test_overtraining_compares_both_classes_and_states_the_ks() -> None:
    edges, ones = np.linspace(0, 1, 5), np.ones(4)
    test = results.OvertrainingTest("signal", edges, ones, 0.1 * ones, 1.1 * ones, 0.2 * ones, 0.0123, 0.43)
    figure = overtraining_figure({"signal": test, "background": test}, model="dann", label=LABEL)
    main, below = figure.axes
    assert "signal, test (KS 0.012, p = 0.43)" in main.get_legend_handles_labels()[1]
    assert points(main)[0][2][1] == pytest.approx(0.2 * ones)
    assert points(below)[0][1] == pytest.approx(1.1 * ones)
    referee(figure)
    with pytest.raises(DataError, match="dann has no comparison"):
        overtraining_figure({}, model="dann")


def shift_ratio(efficiency: float, value: float | None, half: float = 0.1, resolved: bool = True) -> SimpleNamespace:
    result = None if value is None else results.Interval(value, value - half, value + half)
    return SimpleNamespace(signal_efficiency=efficiency, ratio=result, resolved=resolved)


def test_ratios_have_a_panel_a_domain_and_open_points_where_nothing_is_resolved() -> None:
    ratios = {
        "alternative": {"dann": [shift_ratio(0.3, 0.3), shift_ratio(0.1, 0.4, resolved=False)]},
        "third": {"dann": [shift_ratio(0.3, 0.8), shift_ratio(0.1, 4.0)], "bdt": [shift_ratio(0.3, None)]},
    }
    figure = ratio_figure(ratios, baseline="network", source="simulation", held_out=["third"], label=LABEL)
    first, second = figure.axes
    drawn = [line for line in first.get_lines() if line.get_linestyle() == "None" and len(line.get_xdata())]
    assert [float(line.get_ydata()[0]) for line in drawn] == [0.3, 0.4]
    assert [line.get_markerfacecolor() for line in drawn] == [model_styles(["dann", "bdt"])["dann"].colour, "white"]
    bars = first.collections[0].get_segments()
    assert bars[0][:, 1] == pytest.approx([0.2, 0.4])
    beyond = [line for line in second.get_lines() if line.get_marker() == "^" and len(line.get_xdata())]
    assert float(beyond[0].get_ydata()[0]) == 2.5  # an arrow at the top, for a ratio of 4
    assert "simulation to third, held out from training" in [t.get_text() for t in second.texts]
    assert [t.get_text() for t in second.get_xticklabels()] == ["30 %", "10 %"]
    assert_nothing_is_cut(figure)
    with pytest.raises(DataError, match="no shift of network has a ratio"):
        ratio_figure({"third": {"bdt": [shift_ratio(0.3, None)]}}, baseline="network", source="simulation")


def test_efficiencies_stand_in_their_bins_and_gaps_are_left_out() -> None:
    edges = np.array([4.5, 5.5, 6.5, 7.5])
    curve = results.EfficiencyCurve(edges, np.array([0.1, np.nan, 0.3]), np.full(3, 0.02), np.ones(3))
    curves = {"signal": dict.fromkeys(NAMES, curve), "background": dict.fromkeys(NAMES, curve)}
    figure = efficiency_figure(curves, xlabel="Number of jets", cut="cut at 30 % signal efficiency", label=LABEL)
    for axes in figure.axes:
        for x, y, bars in points(axes):
            assert y == pytest.approx([0.1, 0.3]) and bars == pytest.approx(np.full((2, 2), 0.02))
            assert 4.5 < x[0] < 5.5 and 6.5 < x[1] < 7.5
        bins = [c.lines[2][0] for c in axes.containers if c.lines[0] is None]
        assert len(bins) == len(NAMES)
        assert bins[-1].get_segments()[1][:, 0] == pytest.approx([6.5, 7.5])  # the bar is the bin
    assert figure.axes[-1].get_xlabel() == "Number of jets"
    referee(figure)
    nothing = results.EfficiencyCurve(edges, np.full(3, np.nan), np.ones(3), np.ones(3))
    with pytest.raises(DataError, match="against met"):
        efficiency_figure({"signal": {"dann": nothing}}, xlabel="met", cut="")


def test_importance_shows_the_inputs_that_matter_most_in_any_domain() -> None:
    names = tuple(f"input_{i}" for i in range(20))
    drop = np.linspace(0.02, -0.001, 20)
    importance = {
        "alternative": results.FeatureImportance(names, drop, np.full(20, 0.002), 0.6),
        "third": results.FeatureImportance(names[::-1], 2 * drop, np.full(20, 0.003), 0.6),
    }
    labels = {"input_0": "$p_T$(jet 1)", "third": "third generator"}
    figure = importance_figure(importance, source="simulation", names=labels, label=LABEL)
    [axes] = figure.axes
    assert "third generator" in [t.get_text() for t in figure.legends[0].get_texts()]
    shown = [t.get_text() for t in axes.get_yticklabels()]
    assert len(shown) == 12 and shown[0] == "input_19" and "$p_T$(jet 1)" in shown
    widths = sorted((p.get_width() for p in axes.patches), reverse=True)
    assert widths[0] == pytest.approx(0.04)
    assert_nothing_is_cut(figure)
    with pytest.raises(DataError, match="no domain was probed"):
        importance_figure({}, source="simulation")


def test_few_labels_show_the_trained_model_and_every_number() -> None:
    area = np.linspace(0.7, 0.85, 7)
    methods = {
        name: results.FewLabelsMethod(area - shift, area - shift - 0.02, area - shift + 0.02, None)
        for name, shift in (("correction", 0.0), ("refit", 0.05), ("prototypes", 0.1))
    }
    found = results.FewLabels((1, 3, 10, 30, 100, 300, 1000), (), 0.83, methods)
    figure = few_labels_figure(found, model="network", domain="alternative", label=LABEL)
    axes, below = figure.axes
    assert (
        below.get_ylabel() == "Difference"
        and axes.get_xscale() == "log"
        and axes.get_xlim()[0] < 1 < 1000 < axes.get_xlim()[1]
    )
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["as trained", "correction", "refit", "prototypes"]
    referee(figure)
    with pytest.raises(DataError, match="nothing to draw"):
        few_labels_figure(results.FewLabels((), (), 0.8, {}), model="network", domain="alternative")


def test_ten_models_with_long_names_still_read() -> None:
    many = {f"a_model_with_a_long_name_{i}": band(0.05 * i) for i in range(10)}
    auc = {name: results.Interval(0.84, 0.838, 0.842) for name in many}
    referee(roc_figure(many, reference="a_model_with_a_long_name_0", auc=auc, label=LABEL))
    referee(tradeoff_figure({n: TradeoffPoint(0.01 * i, 0.84) for i, n in enumerate(many)}, label=LABEL))
    referee(significance_figure({name: scan() for name in many}, label=LABEL))


def test_the_inputs_that_models_use_are_rows_with_errors_the_most_important_on_top() -> None:
    names = [f"input_{i}" for i in range(15)]
    drops = np.linspace(0.1, -0.001, 15)
    importance = {
        model: results.FeatureImportance(tuple(names), drops * (1 + i), np.full(15, 0.004), 0.8, 9000 + i)
        for i, model in enumerate(NAMES)
    }
    figure = class_importance_figure(
        importance, source="simulation", names={"input_0": "$H_T$"}, label=LABEL, models=NAMES
    )
    [axes] = figure.axes
    ticks = [text.get_text() for text in axes.get_yticklabels()]
    assert len(ticks) == 12 and ticks[-1] == "$H_T$" and axes.get_ylim()[0] < axes.get_ylim()[1]
    drawn = points(axes)
    assert len(drawn) == 12 * len(NAMES)
    assert "9 000 to 9 003 events of simulation" in axes.get_legend().get_title().get_text()
    referee(figure)
    with pytest.raises(DataError, match="no importance to draw"):
        class_importance_figure({}, source="simulation")
