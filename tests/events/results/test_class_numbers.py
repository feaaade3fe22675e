"""Numbers, tables and figures of an analysis with several classes."""

from __future__ import annotations

import numpy as np
import pytest

from hepda.config import load_config
from hepda.evaluation.classes import class_events, confusion_matrix
from hepda.evaluation.roc import auc
from hepda.events.dataset.load import load_table
from hepda.events.resolve import appearance, dataset_spec, evaluation_spec
from hepda.events.results import figures, to_json
from hepda.events.results.comparison import panels
from hepda.events.results.decomposition import decomposition
from hepda.events.results.evaluate import EvaluationInput, evaluate
from hepda.events.results.figure_data import FigureData
from hepda.events.results.tables import class_calibration_tables, class_tables
from hepda.events.results.tables.sections import section_tables
from hepda.report.nulls import nulls
from hepda.results.events import EventMetrics
from tests.factory import analysis, write_analysis

CLASSES = ("ttH", "ttb", "ttlight")
TRAINING = {"seconds": 1.0, "rows_per_second": 1.0, "epochs": 1.0, "trainings": 1}
OVERRIDES = ("features=[ht, met]", "plots={}", "evaluation.probes=false", "evaluation.bootstrap=4", "luminosity=0.5")


def class_samples():
    """The samples of the small analysis with a class for each process."""
    samples = {}
    for name, sample in analysis()["samples"].items():
        if sample.get("class") == "signal":
            samples[name] = {**sample, "class": "ttH"}
        elif sample.get("class") is None:
            samples[name] = sample
        else:
            for process, selection in (("ttb", "n_extra_b > 0"), ("ttlight", "n_extra_b == 0")):
                about = {"class": process, "selection": selection, "process": process}
                samples[f"{process}_{name}"] = {**sample, **about}
    return samples


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    models = {
        "many": {"kind": "bdt", "iterations": 2},
        "two": {"kind": "bdt", "iterations": 2, "classes": "binary"},
    }
    path = write_analysis(
        tmp_path_factory.mktemp("classes"), n=600, samples=class_samples(), models=models, signal="ttH",
        discriminants={"d": "p_ttH / (p_ttH + 0.5 * p_ttb + 1e-6)"},
    )  # fmt: skip
    config = load_config(path, OVERRIDES)
    table = load_table(dataset_spec(config)).table
    spec = evaluation_spec(config)
    rng = np.random.default_rng(3)
    index = spec.classes.index(table)
    logits = rng.normal(0, 1, (len(table), 3)) + 1.2 * np.eye(3)[np.maximum(index, 0)]
    outputs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    scores = {"many": outputs[:, 0], "two": 1 / (1 + np.exp(-(0.8 * table.label + rng.normal(0, 1, len(table)))))}
    asked = EvaluationInput(spec, table, scores, outputs={"many": outputs})
    numbers = evaluate(asked, 1, lambda *_: None)
    models = {m: to_json.model_metrics(asked.spec, numbers, m, TRAINING).to_json() for m in scores}
    metrics = EventMetrics.from_json({"nominal": "simulation", "models": models})
    return config, asked, numbers, metrics


def test_the_numbers_are_those_of_the_events_of_each_domain(evaluated) -> None:
    _, asked, _, metrics = evaluated
    entry, table = metrics.models["many"].classes, asked.table
    assert entry.outputs == list(CLASSES) and list(entry.domains) == ["simulation", "alternative", "third"]
    index, outputs = asked.spec.classes.index(table), asked.outputs["many"]
    mask = table.of_domain("alternative") & (index >= 0)
    of_domain = entry.domains["alternative"]
    assert of_domain.auc["ttb"].value == pytest.approx(auc(outputs[mask, 1], index[mask] == 1, table.weight[mask]))
    matrix = confusion_matrix(class_events(outputs[mask], index[mask], table.weight[mask], CLASSES))
    assert np.array(of_domain.confusion.efficiency) == pytest.approx(matrix.efficiency)
    assert of_domain.confusion.accuracy.value == pytest.approx(matrix.accuracy.value)
    assert entry.domains["simulation"].working_points["ttb"]["0.5"].efficiency["ttb"].value >= 0.5
    cut = entry.domains["simulation"].working_points["ttb"]["0.5"].cut
    assert of_domain.working_points["ttb"]["0.5"].cut == cut  # of the nominal domain


def test_every_model_has_the_auc_of_its_score_against_each_class(evaluated) -> None:
    _, asked, _, metrics = evaluated
    table, index = asked.table, asked.spec.classes.index(asked.table)
    for model, score in asked.scores.items():
        areas = metrics.models[model].classes.score_auc["simulation"]
        assert list(areas) == ["ttb", "ttlight"]
        rows = table.of_domain("simulation") & ((index == 0) | (index == 2))
        expected = auc(score[rows], index[rows] == 0, table.weight[rows])
        assert areas["ttlight"].value == pytest.approx(expected)
    assert metrics.models["two"].classes.outputs == [] and metrics.models["two"].classes.domains == {}


def test_a_domain_without_a_class_has_reasons(evaluated) -> None:
    third = evaluated[3].models["many"].classes.domains["third"]
    assert third.auc["ttH"].value is None and "ttH" in third.auc["ttH"].why
    assert third.auc_pairs["ttb:ttlight"].value is not None
    assert third.confusion.efficiency[0] is None and third.confusion.why
    assert {null.why for null in nulls(third.to_json())} <= {
        third.auc["ttH"].why, third.confusion.why, third.calibration["ttH"].why,
    }  # fmt: skip
    assert set(third.working_points["ttH"]["0.5"].efficiency) == {"ttb", "ttlight"}
    assert "third" not in evaluated[3].models["many"].classes.score_auc
    assert all(table.has_values for table in class_tables(evaluated[3]))


def test_the_numbers_are_the_same_after_json(evaluated) -> None:
    metrics = evaluated[3]
    assert EventMetrics.from_json(metrics.to_json()).to_json() == metrics.to_json()


def test_tables_name_the_classes_and_those_of_other_domains_are_folded(evaluated) -> None:
    metrics = evaluated[3]
    tables = class_tables(metrics)
    by_title = {table.title: table for table in tables}
    assert all(len(row) == len(table.head) for table in tables for row in table.rows)
    rest = by_title["AUC, one class against the rest, simulation"]
    assert list(rest.head) == ["Model", *CLASSES] and [row[0].text for row in rest.rows] == ["many"] and not rest.fold
    pairs = by_title["AUC, one class against one, simulation"]
    assert list(pairs.head[1:]) == ["ttH against ttb", "ttH against ttlight", "ttb against ttlight"]
    assert [row[0].text for row in by_title["AUC of the score against each class, simulation"].rows] == ["many", "two"]
    confusion = by_title["Confusion of many, simulation"]
    assert [row[0].text for row in confusion.rows] == list(CLASSES)
    assert confusion.head[1] == "predicted ttH [%]"
    points = by_title["Working points by class, simulation"]
    kept = next(row for row in points.rows if row[0].text == "many, ttb, 50 %")
    at = list(points.head).index("ttb [%]")
    assert kept[at].sort >= 50 and kept[list(points.head).index("Rejection of ttb")].sort is None
    assert by_title["Confusion of many, alternative"].fold and all(t.fold for t in tables if "third" in t.title)
    (first, *_) = class_calibration_tables(metrics)
    assert list(first.head) == ["Model", *CLASSES] and first.has_values


def test_the_report_has_them_and_a_run_of_two_classes_has_none(evaluated) -> None:
    metrics = evaluated[3]
    titles = {table.title for table in section_tables(metrics)["separation"]}
    assert {table.title for table in class_tables(metrics)} <= titles
    content = metrics.to_json()
    for model in content["models"].values():
        del model["classes"]
    two = EventMetrics.from_json(content)
    assert class_tables(two) == [] == class_calibration_tables(two)


def test_the_figures_are_drawn_for_models_of_several_classes(evaluated) -> None:
    config, asked, numbers, _ = evaluated
    data = FigureData(
        asked.spec, appearance(config), asked.table, asked.scores, numbers, {}, {}, outputs=asked.outputs
    )  # fmt: skip
    drawings = {d.name: d for d in figures.drawings(data) if "class" in d.name or "confusion" in d.name}
    assert list(drawings) == ["class_outputs_many", "confusion_many", "roc_classes_many"]
    outputs = drawings["class_outputs_many"].draw()
    labels = [axes.get_xlabel() for axes in outputs.axes]
    assert labels == [f"{name} of many" for name in ("p_ttH", "p_ttb", "p_ttlight", "d")]
    confusion = drawings["confusion_many"].draw()
    assert len(confusion.axes) == 6 and [t.get_text() for t in confusion.axes[0].get_yticklabels()] == list(CLASSES)
    curves = drawings["roc_classes_many"].draw()
    assert any("ttH (AUC" in text.get_text() for text in curves.axes[0].get_legend().get_texts())


def test_runs_are_compared_by_the_auc_of_each_class(evaluated) -> None:
    class Run:
        name, metrics = "run", evaluated[3]

    names = [panel.name for row in panels([Run()]) for panel in row]
    assert [f"AUC {name} (simulation)" for name in CLASSES] == [n for n in names if n.startswith("AUC tt")]


def test_the_models_table_says_what_each_model_predicts(evaluated) -> None:
    table = section_tables(evaluated[3])["samples"][0]
    at = list(table.head).index("Predicts")
    assert [row[at].text for row in table.rows] == ["ttH, ttb, ttlight", "signal, rest"]
    assert "Predicts" in table.filled.head


def test_the_shift_is_decomposed_by_class_where_all_classes_are_one_process(evaluated) -> None:
    config, asked, _, metrics = evaluated
    by_process = metrics.models["many"].decomposition["simulation:third"]
    assert list(by_process.shares) == ["ttb", "ttlight"]
    samples = {
        name: sample.model_copy(update={"process": "tt"}) if sample.process else sample
        for name, sample in config.samples.items()
    }
    one = evaluation_spec(config.model_copy(update={"samples": samples}))
    assert list(one.domains.counterparts_of("third", "background").processes) == ["tt"]
    result = decomposition(one, asked.table, asked.scores["many"], "third", np.linspace(0, 1, 3))
    assert list(result.shares) == ["ttb", "ttlight"]
    assert result.ks.rates.value == pytest.approx(by_process.ks.rates.value)
