"""The shift of the background by its processes: in the numbers, the tables and the figures of a run."""

from __future__ import annotations

import numpy as np
import pytest

from hepda.config import load_config
from hepda.events.dataset.load import load_table
from hepda.events.resolve import appearance, dataset_spec, evaluation_spec
from hepda.events.results import figures, to_json
from hepda.events.results.evaluate import EvaluationInput, evaluate
from hepda.events.results.figure_data import FigureData
from hepda.events.results.tables import conclude, decomposition_tables
from hepda.results.events import EventMetrics
from tests.factory import analysis, write_analysis

TRAINING = {"seconds": 1.0, "rows_per_second": 1.0, "epochs": 1.0, "trainings": 1}
OVERRIDES = ("features=[ht, met]", "plots={}", "evaluation.probes=false", "evaluation.bootstrap=2", "luminosity=0.5")


def split_samples():
    """The background of every simulated domain as two processes: with and without additional b quarks."""
    samples = {}
    for name, sample in analysis()["samples"].items():
        if sample.get("class") != "background":
            samples[name] = sample
            continue
        for process, selection in (("bottom", "n_extra_b > 0"), ("light", "n_extra_b == 0")):
            samples[f"{process}_{name}"] = {**sample, "selection": selection, "process": process}
    return samples


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    models = {"one": {"kind": "bdt", "iterations": 2}, "two": {"kind": "bdt", "iterations": 2}}
    path = write_analysis(tmp_path_factory.mktemp("split"), n=600, samples=split_samples(), models=models)
    config = load_config(path, OVERRIDES)
    table = load_table(dataset_spec(config)).table
    rng = np.random.default_rng(3)
    scores = {model: 1 / (1 + np.exp(-(0.8 * table.label + rng.normal(0, 1, len(table))))) for model in models}
    asked = EvaluationInput(evaluation_spec(config), table, scores)
    numbers = evaluate(asked, 1, lambda *_: None)
    metrics = EventMetrics.from_json(
        {
            "nominal": "simulation",
            "models": {m: to_json.model_metrics(asked.spec, numbers, m, TRAINING).to_json() for m in scores},
        }
    )
    return config, asked, numbers, metrics


def test_whole_rates_and_shapes_are_in_the_numbers(evaluated) -> None:
    _, asked, _, metrics = evaluated
    model = metrics.models["one"]
    assert list(model.decomposition) == ["simulation:alternative", "simulation:third"]  # of data no process is known
    for pair, entry in model.decomposition.items():
        bias = model.bias[pair]
        assert entry.class_name == "background" and set(entry.shares) == {"bottom", "light"}
        assert sum(share.other.value for share in entry.shares.values()) == pytest.approx(1)
        for point, parts in entry.efficiency_shift.items():
            assert parts.whole.value == pytest.approx(bias.efficiency_shift[point], rel=1e-9)
            assert parts.whole.error == pytest.approx(bias.efficiency_shift_error[point], rel=1e-6)
            assert parts.rates.value + parts.shapes.value == pytest.approx(parts.whole.value, abs=1e-12)
        assert abs(entry.ks.whole.value) == pytest.approx(bias.ks, rel=1e-9)
        bins = entry.bins
        assert len(bins.whole) == len(bins.edges) - 1 == len(bins.shapes_error)
    table = asked.table
    # one number from the events themselves: the efficiency of a process at a cut
    mask = table.of_samples(["bottom_third"])
    part = model.decomposition["simulation:third"].efficiency_shift["0.5"].processes["bottom"]
    signal = table.of_samples(["signal"])
    order = np.sort(np.unique(asked.scores["one"][signal]))[::-1]
    passed = [np.sum(table.weight[signal & (asked.scores["one"] >= t)]) for t in order]
    cut = order[np.flatnonzero(np.array(passed) >= 0.5 * np.sum(table.weight[signal]))[0]]
    expected = np.sum(table.weight[mask & (asked.scores["one"] >= cut)]) / np.sum(table.weight[mask])
    assert part.other_efficiency.value == pytest.approx(expected, rel=1e-5)


def test_the_numbers_are_the_same_after_json(evaluated) -> None:
    metrics = evaluated[3]
    assert EventMetrics.from_json(metrics.to_json()).to_json() == metrics.to_json()


def test_every_table_names_the_processes_and_has_numbers(evaluated) -> None:
    tables = decomposition_tables(evaluated[3])
    assert len(tables) == 8 and all(table.has_values for table in tables)
    shifts = next(table for table in tables if table.title == "Shift by rates and shapes, simulation to third")
    assert list(shifts.head) == [
        "Model, signal efficiency", "Whole [%]", "Rates [%]", "Shapes [%]",
        "Rates, bottom [%]", "Shapes, bottom [%]", "Rates, light [%]", "Shapes, light [%]",
    ]  # fmt: skip
    assert next(row[0].text for row in shifts.rows) == "one, 70 %"
    assert len({len(row) for row in shifts.rows} | {len(shifts.head)}) == 1


def test_the_conclusions_say_how_much_are_rates_and_how_much_shapes(evaluated) -> None:
    metrics = evaluated[3]
    (about,) = [text for text in conclude(metrics) if "to third at 30 %" in text.splitlines()[0]]
    parts = metrics.models["two"].decomposition["simulation:third"].efficiency_shift["0.3"]
    line = about.splitlines()[2].replace("−", "-")
    assert line.startswith("two: ")
    numbers = [float(word) for word in line.split() if word.lstrip("-").replace(".", "").isdigit()][::2]
    expected = [100 * part.value for part in (parts.whole, parts.rates, parts.shapes)]
    errors = [100 * part.error for part in (parts.whole, parts.rates, parts.shapes)]
    assert np.abs(np.subtract(numbers, expected)) == pytest.approx(np.zeros(3), abs=0.06 * max(errors))


def test_a_background_of_one_process_has_no_decomposition(evaluated) -> None:
    content = evaluated[3].to_json()
    del content["models"]["one"]["decomposition"], content["models"]["two"]["decomposition"]
    assert decomposition_tables(EventMetrics.from_json(content)) == []


def test_the_figures_are_drawn(evaluated) -> None:
    config, asked, numbers, _ = evaluated
    data = FigureData(asked.spec, appearance(config), asked.table, asked.scores, numbers, {}, {})
    drawings = [d for d in figures.drawings(data) if d.name.startswith("decomposition")]
    assert [d.name for d in drawings] == [
        "decomposition_alternative", "decomposition_processes_alternative", "decomposition_third",
        "decomposition_processes_third", "decomposition_bins_one", "decomposition_bins_two",
    ]  # fmt: skip
    whole = drawings[0].draw()
    assert [text.get_text() for text in whole.axes[0].get_legend().get_texts()] == ["one", "two"]
    assert len({axes.get_ylim()[0] for axes in whole.axes}) == 1  # one scale for the whole and its parts
    rows = [tick.get_text() for tick in drawings[1].draw().axes[0].get_yticklabels()]
    assert rows == ["bottom", "light", "sum"]
    assert len(drawings[-1].draw().axes) == 2
