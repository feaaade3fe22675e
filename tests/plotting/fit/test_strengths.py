"""The likelihood scan, the strengths of all models, the bias by domain: the numbers given are those drawn."""

import numpy as np
import pytest

from hepda.errors import DataError
from hepda.plotting.base.style import Label
from hepda.plotting.fit.closure import closure_bias_figure
from hepda.plotting.fit.scan import scan_figure
from hepda.plotting.fit.strengths import strengths_figure
from hepda.results.fit_file import ErrorBudgetEntry, ScanEntry
from tests.plotting.checks import assert_legend_is_clear, assert_nothing_is_cut, marked, points
from tests.plotting.fit.records import closed, fit_entry, model, parameters

LABEL = Label("Pseudo-data", 0.6)


def scan(**changes: object) -> ScanEntry:
    x = np.linspace(-0.5, 2.5, 31)
    rise = ((x - 1.0) / 0.4) ** 2 * (1 - 0.1 * (x - 1.0))
    content = {
        "parameter": "mu", "values": x.tolist(), "twice_delta_nll": [None, *rise[1:].tolist()],
        "fixed": (((x - 1.0) / 0.2) ** 2).tolist(), "best": 1.0, "error": 0.4,
    }  # fmt: skip
    return ScanEntry(**(content | changes))


def test_the_scan_has_its_lines_and_the_parabola_of_the_error() -> None:
    figure = scan_figure(scan(), interval=(0.58, 1.42), label=LABEL)
    [axes] = figure.axes
    [profile], [parabola], [fixed] = (marked(axes, gid) for gid in ("profile", "parabola", "fixed"))
    x, y = (np.asarray(values) for values in profile.get_data())
    assert y == pytest.approx(((x - 1.0) / 0.4) ** 2 * (1 - 0.1 * (x - 1.0)))
    assert y.max() <= 9.0 and len(x) > 15
    x, y = (np.asarray(values) for values in parabola.get_data())
    assert y == pytest.approx(((x - 1.0) / 0.4) ** 2)
    x, y = (np.asarray(values) for values in fixed.get_data())
    assert y == pytest.approx(((x - 1.0) / 0.2) ** 2)
    assert [line.get_ydata()[0] for line in marked(axes, "level")] == [1.0, 4.0]
    assert [line.get_xdata()[0] for line in marked(axes, "interval")] == [0.58, 1.42]
    assert "+0.42" in axes.get_legend().get_title().get_text()
    assert_legend_is_clear(figure)
    assert_nothing_is_cut(figure)
    with pytest.raises(DataError, match="no two points"):
        scan_figure(scan(twice_delta_nll=[None] * 31))


def test_strengths_of_all_models_and_their_free_rates() -> None:
    models = {
        "network": model(observed=fit_entry(0.4)),
        "dann": model(observed=fit_entry(None, parameters=None), error_budget=ErrorBudgetEntry(
            total=0.3, data=0.25, systematics=0.1, simulation=0.1)),
        "broken": model(expected=fit_entry(None), observed=fit_entry(None)),
    }  # fmt: skip
    figure = strengths_figure(models, data="pseudo-data", labels={"ttb_rate": "tt + b"}, label=LABEL)
    mu, rate = figure.axes
    assert [t.get_text() for t in mu.get_yticklabels()] == ["network", "dann"]
    assert sorted(float(x[0]) for x, _, _ in points(mu)) == pytest.approx([0.4, 1.0, 1.0])
    ends = sorted(tuple(s[:, 0]) for c in mu.containers if c.lines[0] is not None for s in c.lines[2][0].get_segments())
    assert ends[0] == pytest.approx((0.1, 0.73))
    assert sorted(float(x[0]) for x, _, _ in points(rate)) == pytest.approx([1.4, 1.4, 1.4])
    counts = [c for c in mu.containers if c.lines[0] is None]
    widths = sorted(float(np.ptp(c.lines[2][0].get_segments()[0][:, 0])) for c in counts)
    assert widths == pytest.approx([0.4, 0.5])
    assert rate.get_xlabel() == "tt + b"
    assert_nothing_is_cut(figure)
    one = strengths_figure({"network": model(expected=fit_entry(1.0, parameters=parameters()[:1]), observed=fit_entry(
        1.0, parameters=None))})  # fmt: skip
    assert len(one.axes) == 1
    with pytest.raises(DataError, match="no signal strength"):
        strengths_figure({"broken": models["broken"]})


def test_the_bias_of_every_model_and_domain_stands_in_the_panel_of_its_truth() -> None:
    fits = {
        "alternative": {
            "network": [closed(0.0, 0.2, 0.5), closed(1.0, 1.4, 0.3)],
            "dann": [closed(0.0, 0.1), closed(1.0, 0.9, 0.66)],
        },
        "third": {"network": [closed(0.0, -0.1)], "dann": [closed(1.0, 1.05)]},
        "data": {"network": [closed(1.0, None)]},
    }
    figure = closure_bias_figure(fits, source="simulation", label=LABEL)
    at_zero, at_one, covered = figure.axes
    assert sorted(float(x[0]) for x, _, _ in points(at_zero)) == pytest.approx([-0.1, 0.1, 0.2])
    assert sorted(float(x[0]) for x, _, _ in points(at_one)) == pytest.approx([-0.1, 0.05, 0.4])
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
    fits = {d: {m: [closed(1.0, 1.1)] for m in models} for d in ("simulation", "alternative", "third", "data")}
    figure = closure_bias_figure(fits, source="simulation", label=LABEL)
    assert len(figure.axes) == 1
    assert_nothing_is_cut(figure)
    box = figure.legends[0].get_window_extent()
    assert box.x1 <= figure.bbox.x1 and box.y1 < figure.axes[0].xaxis.label.get_window_extent().y0
    three = {d: {m: [closed(t, t + 0.1) for t in (0.0, 1.0, 2.0)] for m in models} for d in fits}
    wide = closure_bias_figure(three, source="simulation")
    assert len(wide.axes) == 3 and wide.legends[0].get_window_extent().x1 <= wide.bbox.x1
    with pytest.raises(DataError, match="no bias to draw"):
        closure_bias_figure({"data": {"network": [closed(1.0, None)]}}, source="simulation")
