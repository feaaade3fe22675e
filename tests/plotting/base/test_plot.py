"""A figure that is kept as text is the same figure again, and a text names nothing but what draws figures."""

import json
from typing import Any

import numpy as np
import pytest

from hepda.errors import DataError
from hepda.plotting.base.histogram import Histogram
from hepda.plotting.base.plot import Plot, drawing_version
from hepda.plotting.base.style import Label, png
from hepda.plotting.scores.features import Feature, FeatureSample, feature_figure, fill
from hepda.plotting.scores.tradeoff import TradeoffPoint, tradeoff_figure
from hepda.results.entries.classes import ClassEfficiency
from hepda.results.evaluation import Interval
from hepda.results.record import Measured

VALUES = {
    "none": None, "yes": True, "text": "µ ± $\\alpha$", "integer": 7, "float": 0.1, "nan": float("nan"),
    "infinite": -float("inf"), "list": [1, "a", None], "tuple": (1.5, (2, 3)), "by_number": {0.3: 1, (1, 2): "x"},
    "dollar": {"$float": 1}, "counts": np.arange(4), "floats": np.array([[0.1, np.nan], [np.inf, -np.inf]]),
    "short": np.array([0.1, 0.2], np.float32), "flags": np.array([True, False]), "names": np.array(["a", "bc"]),
    "pixels": np.arange(6, dtype=np.uint8).reshape(2, 3), "numpy": np.float64(0.5), "interval": Interval(1.0, 0.5, 1.5),
    "label": Label(note="x"), "record": Measured.from_json({"value": 1.5, "low": None}),
    "nested": {"a": [Interval(0.0, 0.0, 0.0)]},
}  # fmt: skip


def through_text(value: Any) -> Any:
    return Plot.from_text(Plot.of(tradeoff_figure, value).to_text()).arguments[0]


@pytest.mark.parametrize("name", VALUES)
def test_every_argument_comes_back(name: str) -> None:
    value, back = VALUES[name], through_text(VALUES[name])
    if isinstance(value, np.ndarray):
        assert back.dtype == value.dtype and back.shape == value.shape
        np.testing.assert_array_equal(back, value)
    elif name == "nan":
        assert back != back
    else:
        assert back == value and (name == "numpy" or type(back) is type(value))


def test_a_named_tuple_comes_back() -> None:
    count = len(ClassEfficiency._fields)
    back = through_text(ClassEfficiency(*map(float, range(count))))
    assert type(back) is ClassEfficiency and list(back) == list(range(count))


def test_a_figure_of_a_text_is_the_same_figure() -> None:
    rng = np.random.default_rng(1)
    stack = [FeatureSample("tt", rng.normal(0, 1, 500), rng.uniform(-0.2, 1, 500))]
    feature = Feature("x", "$x$ [GeV]", stack, FeatureSample("data", rng.normal(0, 1, 300)), blind=(0.0, 1.0))
    plot = Plot.of(feature_figure, fill(feature), label=Label(luminosity=1.0))
    text = plot.to_text()
    again = Plot.from_text(text)
    assert again.to_text() == text and json.loads(text)["function"] == "hepda.plotting.scores.features:feature_figure"
    assert png(again.draw()) == png(plot.draw()) == png(feature_figure(feature, label=Label(luminosity=1.0)))


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", '{"function": "os:system", "arguments": ["true"], "options": {}}',
        '{"function": "hepda.plotting.base.style:look", "arguments": [], "options": {}}',
        '{"function": "hepda.plotting.nowhere:figure", "arguments": [], "options": {}}',
        '{"function": "hepda.plotting.scores.tradeoff:tradeoff_figure", "options": {}, "arguments": '
        '[{"$class": "pathlib:Path", "fields": {}}]}',
        '{"function": "hepda.plotting.scores.tradeoff:tradeoff_figure", "options": {}, "arguments": [{"$x": 1}]}',
        '{"function": "hepda.plotting.scores.tradeoff:tradeoff_figure", "options": {}, "arguments": '
        '[{"$named": "subprocess:Popen", "parts": ["true"]}]}',
    ],
)  # fmt: skip
def test_a_text_of_something_else_is_refused_and_calls_nothing(text: str) -> None:
    with pytest.raises(DataError, match="the data of the figure cannot be read"):
        Plot.from_text(text)


def test_what_cannot_be_found_by_its_name_is_not_kept() -> None:
    with pytest.raises(TypeError, match="does not belong to a module"):
        Plot.of(lambda: tradeoff_figure({})).to_text()
    with pytest.raises(TypeError, match="type set"):
        Plot.of(tradeoff_figure, {"a": {1}}).to_text()  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="array of type"):
        Plot(tradeoff_figure, [np.array([None, "x"], dtype=object)]).to_text()


def test_points_of_a_dataclass_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    plot = Plot.of(tradeoff_figure, {"a": TradeoffPoint(0.1, 0.8), "b": [TradeoffPoint(0.2, 0.9, text="2")]})
    assert Plot.from_text(plot.to_text()).draw().axes[0].get_xlabel().startswith("Background KS")


def test_a_histogram_keeps_its_arrays() -> None:
    back = through_text(Histogram(np.linspace(0, 1, 3), np.array([0.1, 1 / 3]), np.array([1e-300, 2.0])))
    assert back.sumw.tolist() == [0.1, 1 / 3] and back.sumw2.tolist() == [1e-300, 2.0]


def test_the_version_of_the_drawing_is_that_of_its_code() -> None:
    assert len(drawing_version()) == 16 and int(drawing_version(), 16) >= 0
