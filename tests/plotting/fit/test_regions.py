"""Regions before and after the fit: the numbers given are those drawn, blinded bins have none, labels are complete."""

from dataclasses import replace

import numpy as np
import pytest

from hepda.errors import DataError
from hepda.plotting.base.histogram import Histogram
from hepda.plotting.base.style import Label
from hepda.plotting.fit.bins import axis_of_edges, axis_of_names, edge_names, events_label
from hepda.plotting.fit.regions import RegionTexts, SampleLook, region_figure, summary_figure
from tests.plotting.checks import assert_nothing_is_cut, marked, points
from tests.plotting.fit.records import contents, region

LABEL = Label("Pseudo-data", 0.6, note="signal × 30")
LOOK = SampleLook({"ttlight": "tt + light"}, {"ttb": "#717581"}, ("ttH",))
TEXTS = RegionTexts("four b", "Score of dann", "", "Pseudo-data", after=("Post-fit", "mu = 1.20 ± 0.30, p = 0.70"))


def legend_of(figure: object) -> list[str]:
    [legend] = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def referee(figure: object) -> None:
    """Nothing is cut, the legend is above the panels and inside the page, no text of a corner is over what is drawn."""
    assert_nothing_is_cut(figure)
    [legend] = figure.legends
    box = legend.get_window_extent()
    assert box.x1 <= figure.bbox.x1 and box.y0 > figure.axes[0].get_window_extent().y1
    for axes in figure.axes[::2]:
        written = [text for text in axes.texts if text.get_gid() == "stage"]
        lowest = min(text.get_window_extent().transformed(axes.transAxes.inverted()).y0 for text in written)
        tops = [y + bars[1] for _, y, bars in points(axes)] + [
            patch.get_data().values for patch in axes.patches if hasattr(patch, "get_data")
        ]
        for top in tops:
            at = axes.transData.transform(np.column_stack([np.zeros(np.size(top)), np.asarray(top, dtype=float)]))
            assert np.nanmax(axes.transAxes.inverted().transform(at)[:, 1]) < lowest


@pytest.mark.parametrize("bins", [1, 6, 25, 60])
def test_both_stages_show_their_own_expectation_with_band_and_ratio(bins: int) -> None:
    given = region(bins)
    figure = region_figure(given, TEXTS, look=LOOK, label=LABEL)
    assert len(figure.axes) == 4
    before, before_ratio, after, after_ratio = figure.axes
    for main, below, stage in ((before, before_ratio, given.prefit), (after, after_ratio, given.postfit)):
        [(x, y, bars)] = points(main)
        assert x == pytest.approx(np.arange(bins) + 0.5) and y == pytest.approx(given.observed)
        down, up = Histogram(np.arange(bins + 1.0), y, y).interval()  # Garwood's
        assert bars[0] == pytest.approx(down, rel=1e-6) and bars[1] == pytest.approx(up, rel=1e-6)
        [(_, compared, ratio_bars)] = points(below)
        assert compared == pytest.approx(np.array(given.observed) / stage.total)
        assert ratio_bars[1] == pytest.approx(up / stage.total, rel=1e-6)
        [band] = marked(main, "band")
        data = band.get_data()
        assert data.values == pytest.approx(np.array(stage.total) + stage.error)
        assert data.baseline == pytest.approx(np.array(stage.total) - stage.error)
        [relative] = marked(below, "band")
        assert relative.get_data().values == pytest.approx(1 + np.array(stage.error) / stage.total)
    assert before.get_ylim() == after.get_ylim()
    widths = [np.ptp(below.get_ylim()) for below in (before_ratio, after_ratio)]
    assert widths[1] <= widths[0]  # its own range: what is left after the fit remains readable
    assert set(legend_of(figure)) >= {"Pseudo-data", "ttH", "ttb", "tt + light", "Uncertainty", "Pre-fit total"}
    assert legend_of(figure)[0] == "Pseudo-data"
    written = [text.get_text() for text in after.texts if text.get_gid() == "stage"]
    assert written == ["Post-fit", "four b, signal region", "mu = 1.20 ± 0.30, p = 0.70"]
    referee(figure)


def test_the_stack_adds_up_to_the_total_and_keeps_one_order() -> None:
    figure = region_figure(region(), TEXTS, look=replace(LOOK, order=("ttlight", "ttb")), label=LABEL)
    for axes, stage in ((figure.axes[0], region().prefit), (figure.axes[2], region().postfit)):
        fills = [
            p.get_data() for p in axes.patches if hasattr(p, "get_data") and p.get_fill() and p.get_gid() != "band"
        ]
        top, middle, lowest = (fill.values for fill in fills)
        assert lowest == pytest.approx(stage.samples["ttlight"])  # the order given, not the smallest lowest
        assert top == pytest.approx(stage.total)
        assert top - middle == pytest.approx(stage.samples["ttH"])
    assert legend_of(figure)[:4] == ["Pseudo-data", "ttH", "ttb", "tt + light"]


def test_blinded_data_are_neither_in_the_stack_nor_in_the_ratio() -> None:
    hidden = region(observed=None, blinded={"data": "blinded"})
    figure = region_figure(hidden, TEXTS, look=LOOK, label=LABEL)
    for number, axes in enumerate(figure.axes):
        assert [x.tolist() for x, _, _ in points(axes)] in ([], [[]])
        [area] = marked(axes, "blinded")
        assert area.get_hatch() and ("Data blinded" in [text.get_text() for text in axes.texts]) == (number % 2 == 0)
    assert "Pseudo-data" not in legend_of(figure)
    absent = region_figure(region(observed=None, observed_why="no data"), TEXTS, look=LOOK)
    assert not any(marked(axes, "blinded") for axes in absent.axes)
    referee(figure)


def test_a_region_without_a_fit_has_one_stage_and_a_negative_sample_no_fill() -> None:
    figure = region_figure(region(postfit=None), TEXTS, look=LOOK, label=LABEL)
    assert len(figure.axes) == 2 and "Pre-fit total" not in legend_of(figure)
    referee(figure)
    negative = region(postfit=contents(1.0, 6, 0.1, signal=-0.5), prefit=contents(1.0, 6, 0.1, signal=-0.5))
    assert "ttH" not in legend_of(region_figure(negative, TEXTS, look=LOOK))


def test_the_signal_by_itself_is_drawn_where_y_is_logarithmic() -> None:
    flat = contents(1.0, 2, 0.1)
    steep = flat.model_copy(update={"total": [1000.0, 10.0], "samples": {**flat.samples, "ttlight": [980.0, 3.0]}})
    figure = region_figure(region(2, prefit=steep, postfit=steep, observed=None), TEXTS, look=LOOK)
    assert figure.axes[0].get_yscale() == "log" and "ttH alone" in legend_of(figure)
    line = next(p for p in figure.axes[0].patches if hasattr(p, "get_data") and p.get_label() == "ttH alone")
    assert line.get_data().values == pytest.approx(flat.samples["ttH"])
    assert figure.axes[0].get_ylim()[0] < min(flat.samples["ttH"])


def test_the_summary_has_a_bin_a_region_and_those_not_fitted_last() -> None:
    regions = {
        "check": region(4, "validation"), "four_b": region(), "two_b": region(1, "control"),
        "blind": region(3, observed=None, blinded={"data": "why"}),
    }  # fmt: skip
    figure = summary_figure(regions, TEXTS, names={"four_b": "4b"}, look=LOOK, label=LABEL)
    main, below, after, _ = figure.axes
    assert [t.get_text() for t in below.get_xticklabels()] == ["4b", "two_b", "blind", "check (not fitted)"]
    [(x, y, _)] = points(main)
    assert x == pytest.approx([0.5, 1.5, 3.5])
    assert y == pytest.approx([sum(regions[name].observed) for name in ("four_b", "two_b", "check")])
    bands = [marked(axes, "band")[0].get_data().values for axes in (main, after)]
    for values, stage in zip(bands, ("prefit", "postfit"), strict=True):
        totals = [getattr(regions[n], stage).total_yield for n in ("four_b", "two_b", "blind", "check")]
        assert values == pytest.approx([t.value + t.error for t in totals])
    assert [line.get_xdata()[0] for line in marked(main, "not fitted")] == [3.0]
    assert len(marked(main, "blinded")) == 1 and len(marked(main, "blinded text")) == 1
    referee(figure)
    with pytest.raises(DataError, match="no region"):
        summary_figure({}, TEXTS)


def test_given_edges_are_to_scale_and_automatic_ones_all_have_their_numbers() -> None:
    edges = np.array([200.0, 300.0, 500.0, 1000.0])
    given = region(3, automatic=False, edges=edges.tolist(), variable="ht")
    figure = region_figure(given, replace(TEXTS, variable="$H_T$", unit="GeV"), look=LOOK, label=LABEL)
    [(x, _, _)] = points(figure.axes[0])
    assert x == pytest.approx([250, 400, 750]) and figure.axes[0].get_ylabel() == "Events / bin"
    assert figure.axes[1].get_xlabel() == "$H_T$ [GeV]"
    merged = np.array([0.0, 0.0213, 0.283, 0.41, 1.0])
    figure = region_figure(region(4, edges=merged.tolist()), TEXTS, look=LOOK, label=LABEL)
    assert [t.get_text() for t in figure.axes[1].get_xticklabels()] == ["0.00", "0.02", "0.28", "0.41", "1.00"]
    assert events_label(np.array([0.0, 50.0, 100.0]), "GeV", to_scale=True) == "Events / 50 GeV"


def test_numbers_of_edges_differ_and_are_as_short_as_that_allows() -> None:
    assert edge_names(np.array([0.0, 0.5, 1.0])) == ["0.0", "0.5", "1.0"]
    assert edge_names(np.array([200.0, 1000.0])) == ["200", "1000"]
    assert edge_names(np.array([0.1231, 0.1234, 0.2])) == ["0.1231", "0.1234", "0.2000"]
    assert edge_names(np.array([-np.inf, -0.5, np.inf])) == ["−∞", "−0.5", "∞"]
    assert axis_of_edges(np.array([0.0, 1.0, 100.0]), to_scale=True).edges.tolist() == [0, 1, 2]  # too different
    many = axis_of_edges(np.linspace(0, 1, 62), to_scale=False)
    assert many.turned and len(many.names) == 31
    assert axis_of_names(["SR", "CR"]).ticks == [0.5, 1.5]
