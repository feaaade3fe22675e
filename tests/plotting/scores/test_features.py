from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.patches import StepPatch

from hepda.errors import DataError
from hepda.plotting.base.panels import common_bounds, ratio_bounds
from hepda.plotting.base.style import Label
from hepda.plotting.scores.features import (
    Feature,
    FeatureSample,
    FilledFeature,
    feature_figure,
    fill,
    guess_label,
    ratios_of,
)
from hepda.plotting.scores.overview import overview_figure, separations_figure
from tests.plotting.checks import assert_legend_is_clear, assert_nothing_is_cut, marked, points

EDGES = np.linspace(0.0, 100.0, 6)
LABEL = Label("Pseudo-data", 1.0)


@pytest.fixture
def feature() -> Callable[..., Feature]:
    rng = np.random.default_rng(5)

    def make(**changes: object) -> Feature:
        def sample(name: str, n: int, total: float, **more: bool) -> FeatureSample:
            w = np.where(rng.random(n) < 0.13, -1.0, 1.0)
            return FeatureSample(name, rng.uniform(0, 100, n), w * total / w.sum(), **more)

        settings = {
            "name": "m_bb",
            "label": "$m_{bb}$ [GeV]",
            "stack": [sample("ttH", 300, 5.0, signal=True), sample("tt + jets", 500, 300.0)],
            "data": FeatureSample("Data", rng.uniform(0, 100, 310)),
            "others": [sample("alternative", 400, 310.0)],
            "edges": EDGES,
        }
        return Feature(**(settings | changes))

    return make


def test_points_are_the_counts_with_garwood_bars(feature: Callable[..., Feature]) -> None:
    made = feature()
    main, _ = feature_figure(made, label=LABEL).axes
    counts, _ = np.histogram(made.data.values, EDGES)
    [(x, y, bars)] = points(main)
    assert x == pytest.approx([10, 30, 50, 70, 90])
    assert y == pytest.approx(counts)
    assert (bars[1] > bars[0]).all()  # Garwood's intervals are longer upwards


def test_the_band_is_the_root_of_sumw2_of_the_whole_stack(feature: Callable[..., Feature]) -> None:
    made = feature()
    main, below = feature_figure(made).axes
    x = np.concatenate([s.values for s in made.stack])
    w = np.concatenate([s.weights for s in made.stack])
    sumw, _ = np.histogram(x, EDGES, weights=w)
    sumw2, _ = np.histogram(x, EDGES, weights=w**2)
    values, _, baseline = marked(main, "band")[0].get_data()
    assert values - baseline == pytest.approx(2 * np.sqrt(sumw2))
    assert 0.5 * (values + baseline) == pytest.approx(sumw)
    values, _, baseline = marked(below, "band")[0].get_data()
    assert values - baseline == pytest.approx(2 * np.sqrt(sumw2) / sumw)


def test_axes_have_units_and_bin_widths(feature: Callable[..., Feature]) -> None:
    main, below = feature_figure(feature(), label=LABEL).axes
    assert below.get_xlabel() == "$m_{bb}$ [GeV]"
    assert main.get_ylabel() == "Events / 20 GeV"
    assert {t.get_text() for t in main.texts} >= {"Pseudo-data", "√s = 13 TeV, 1.0 fb$^{-1}$"}
    uneven = feature(edges=[0, 10, 40, 100])
    assert feature_figure(uneven).axes[0].get_ylabel() == "Events / bin"


def test_the_signal_stands_on_top_and_once_more_scaled(feature: Callable[..., Feature]) -> None:
    main, _ = feature_figure(feature()).axes
    labels = main.get_legend_handles_labels()[1]
    assert "ttH × 20" in labels
    assert labels.index("ttH") < labels.index("tt + jets")


def test_where_neither_simulation_nor_data_have_anything_there_is_no_point(feature: Callable[..., Feature]) -> None:
    far = feature(edges=np.linspace(-100.0, 100.0, 11))
    main, _ = feature_figure(far, log=True).axes
    [(x, _, _)] = points(main)
    assert x == pytest.approx([10, 30, 50, 70, 90])
    without = feature(data=FeatureSample("Data", np.full(5, 30.0)))
    [(x, y, _)] = points(feature_figure(without).axes[0])
    assert x == pytest.approx([10, 30, 50, 70, 90]) and y == pytest.approx([0, 5, 0, 0, 0])


def test_end_bins_that_hold_what_lies_beyond_say_so(feature: Callable[..., Feature]) -> None:
    def note(made: Feature) -> str:
        return feature_figure(made, label=Label("Data", note="signal × 30")).axes[0].get_legend().get_title().get_text()

    assert note(feature()) == "signal × 30"
    narrow = np.linspace(0.0, 90.0, 4)
    assert note(feature(edges=narrow)) == "signal × 30, end bins with overflow"
    # Hidden data leave no trace.
    stack = [FeatureSample("tt + jets", np.full(9, 50.0), np.ones(9))]
    beyond = {"stack": stack, "others": (), "data": FeatureSample("Data", np.full(9, 500.0))}
    assert "overflow" in note(feature(**beyond)) and "overflow" not in note(feature(**beyond, blind=(60.0, np.inf)))


def test_blinded_bins_are_in_neither_panel_and_leave_no_trace(feature: Callable[..., Feature]) -> None:
    data = np.concatenate([np.full(40, 10.0), np.full(9000, 90.0)])
    hidden = feature(blind=(60.0, np.inf), data=FeatureSample("Data", data))
    main, below = feature_figure(hidden).axes
    for axes in (main, below):
        for x, _, _ in points(axes):
            assert x.max() < 60.0
        assert marked(axes, "blinded")
    assert main.get_ylim()[1] < 1000  # 9000 hidden events do not stretch the axis
    assert any(t.get_gid() == "blinded text" for t in main.texts)
    shown_main, shown_below = feature_figure(feature(data=FeatureSample("Data", data))).axes
    assert any(x.max() > 60.0 for x, _, _ in points(shown_main))
    assert not marked(shown_main, "blinded")
    assert shown_below is not None


def test_missing_values_are_left_out_and_their_share_is_stated(feature: Callable[..., Feature]) -> None:
    x = np.array([-1.0, -1.0, 50.0, 50.0])
    made = feature(
        stack=[FeatureSample("tt", x, np.array([1.0, 1.0, 3.0, 3.0]))],
        data=FeatureSample("Data", x),
        others=(),
        missing=-1.0,
    )
    main, _ = feature_figure(made).axes
    assert sum(y.sum() for _, y, _ in points(main)) == 2
    assert main.get_legend().get_title().get_text() == "no value: 25.0 % of simulation, 50.0 % of data"
    blinded = feature_figure(feature(stack=made.stack, data=made.data, missing=-1.0, blind=(60, 100)))
    assert "of data" not in blinded.axes[0].get_legend().get_title().get_text()


def test_without_data_only_alternatives_are_compared(feature: Callable[..., Feature]) -> None:
    _, below = feature_figure(feature(data=None)).axes
    assert not points(below)
    assert below.get_ylabel() == "Ratio to sim."


def test_one_generator_without_data_is_drawn_with_its_statistical_band(feature: Callable[..., Feature]) -> None:
    _, below = feature_figure(feature(data=None, others=())).axes
    assert not points(below) and below.patches
    assert below.get_ylabel() == "Ratio to sim."


def test_a_figure_without_simulation_is_refused(feature: Callable[..., Feature]) -> None:
    with pytest.raises(DataError, match="no simulated sample"):
        feature_figure(feature(stack=()))


@pytest.mark.parametrize("log", [False, True])
def test_nothing_overlaps_or_is_cut(feature: Callable[..., Feature], log: bool) -> None:
    figure = feature_figure(feature(), label=LABEL, log=log)
    assert_legend_is_clear(figure)
    assert_nothing_is_cut(figure)


def test_points_beyond_the_ratio_panel_get_an_arrow(feature: Callable[..., Feature]) -> None:
    data = np.concatenate([np.full(400, 10.0), np.full(60, 50.0)])
    _, below = feature_figure(feature(data=FeatureSample("Data", data), others=())).axes
    assert marked(below, "beyond")


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_overview_has_two_panels_a_feature_and_no_empty_one(feature: Callable[..., Feature], count: int) -> None:
    figure = overview_figure([feature()] * count, label=LABEL)
    assert len(figure.axes) == 2 * count
    assert all(axes.has_data() for axes in figure.axes)
    assert len(figure.legends) == 1
    assert all("[GeV]" in axes.get_xlabel() for axes in figure.axes[::2])
    assert_nothing_is_cut(figure)


def test_an_overview_of_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="at least one feature"):
        overview_figure([])


@pytest.mark.parametrize(
    ("name", "label"),
    [("ht", "ht [GeV]"), ("lepton_pt", "lepton pt [GeV]"), ("n_jets", "n jets"), ("met_phi", "met phi")],
)
def test_units_are_guessed_from_the_usual_names(name: str, label: str) -> None:
    assert guess_label(name) == label


def test_the_separations_have_both_sides_with_unit_area_and_their_number() -> None:
    generator = np.random.default_rng(2)
    stack = [
        FeatureSample("tt", generator.normal(0.0, 1.0, 400), np.full(400, 2.0)),
        FeatureSample("other", generator.normal(0.5, 1.0, 200), np.full(200, 1.0)),
        FeatureSample("ttH", generator.normal(1.0, 1.0, 300), np.full(300, 0.1), signal=True),
    ]
    filled = fill(Feature("x", "x [GeV]", stack))
    without = fill(Feature("y", "y", stack[:2]))
    figure = separations_figure([filled, without], {"x [GeV]": 0.1234}, label=Label(luminosity=1.0))
    [axes] = figure.axes  # a feature without signal has no panel
    signal, background = (patch.get_data().values for patch in axes.findobj(StepPatch))
    assert [signal.sum(), background.sum()] == pytest.approx([1.0, 1.0])
    sums = {part.name: part.histogram.sumw for part in filled.stack}
    tt, other, tth = sums["tt"], sums["other"], sums["ttH"]
    assert signal == pytest.approx(tth / tth.sum()) and background == pytest.approx((tt + other) / (tt + other).sum())
    assert [t.get_text() for t in axes.texts] == [r"$\langle S^2\rangle$ = 0.123"]
    assert_nothing_is_cut(figure)
    with pytest.raises(DataError, match="no separation"):
        separations_figure([without], {})


def test_the_features_of_a_set_have_one_range_of_ratios_and_a_sparse_bin_does_not_set_it() -> None:
    def made(name: str, factor: float, tail: float = 1.0) -> FilledFeature:
        """40 full bins, whose ratio is `factor`, and one bin of few events, whose ratio is `tail`."""
        edges, count = np.arange(42.0), 10_000
        centres = np.repeat(np.arange(41) + 0.5, [count] * 40 + [60])
        weights = np.where(centres > 40, tail, factor)
        sample = FeatureSample("tt", centres, np.ones(len(centres)))
        return fill(Feature(name, name, [sample], others=[FeatureSample("other", centres, weights)], edges=edges))

    near, far = made("near", 1.04, tail=1.7), made("far", 1.15)
    assert ratio_bounds(ratios_of(near, near.total)) == (0.0, 2.0)  # alone, its tail would flatten it
    bounds = common_bounds(ratios_of(feature, feature.total) for feature in (near, far))
    assert bounds == (0.75, 1.25)
    figure = overview_figure([near, far])
    assert {axes.get_ylim() for axes in figure.axes[::2]} == {bounds}
    _, below = feature_figure(near, bounds=bounds).axes
    assert below.get_ylim() == bounds and len(marked(below, "beyond")) == 1  # the tail has an arrow
    assert common_bounds([]) == (0.0, 2.0)
