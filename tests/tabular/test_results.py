"""Numbers of known scores, and the trainings of every method and of three classes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hepda.adversarial.methods import METHODS
from hepda.config import load_any
from hepda.config.tabular import TableNetworkConfig, TabularConfig
from hepda.tabular.figures import TableFigureData, scores
from hepda.tabular.results import Quality, evaluate, model_metrics, roc_bands
from hepda.tabular.table import DataTable, load
from hepda.tabular.training import TableJob, jobs_of, open_table, write_table
from tests.factory import Silent
from tests.tabular.factory import frame, write_analysis

QUICK = {"evaluation": {"bootstrap": 50, "permutations": 40, "probes": False}}


def analysis(folder: Path, classes: int = 2, n: int = 600, **keys: object) -> tuple[TabularConfig, DataTable]:
    config = load_any(write_analysis(folder, frame(n, classes), **QUICK | keys))
    assert isinstance(config, TabularConfig)
    return config, load(config, Silent().step)[0]


def probabilities(table: DataTable, power: float, seed: int = 0) -> np.ndarray:
    """Scores that contain the label to some degree, the same way in every domain."""
    rng = np.random.default_rng(seed)
    raw = rng.normal(0.0, 1.0, (len(table), len(table.classes))) + power * np.eye(len(table.classes))[table.label]
    return np.asarray(np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True), dtype=np.float32)


@pytest.mark.parametrize("classes", [2, 3])
def test_accuracy_and_areas_are_those_of_scikit_learn(tmp_path: Path, classes: int) -> None:
    config, table = analysis(tmp_path, classes, weight=None)
    score = probabilities(table, 1.0)
    quality = evaluate(config, table, {"trees": score}, tmp_path)["trees"].quality["away"]
    assert isinstance(quality, Quality)
    rows = table.domain == 1
    areas = [roc_auc_score(table.label[rows] == c, score[rows, c]) for c in range(classes)]
    assert quality.auc.value == pytest.approx(np.mean(areas), abs=1e-6)
    assert quality.accuracy.value == pytest.approx((score[rows].argmax(1) == table.label[rows]).mean())
    assert quality.accuracy.low < quality.accuracy.value < quality.accuracy.high
    binomial = np.sqrt(quality.accuracy.value * (1 - quality.accuracy.value) / rows.sum())
    assert quality.accuracy.error == pytest.approx(binomial, rel=0.35)
    assert list(quality.by_class) == (["dog"] if classes == 2 else ["cat", "dog", "fox"])
    assert quality.confusion.sum() == rows.sum()
    assert np.array_equal(quality.confusion.sum(axis=1), np.bincount(table.label[rows]))


def test_scores_that_do_not_depend_on_the_domain_are_inside_the_null_and_others_are_not(tmp_path: Path) -> None:
    config, table = analysis(tmp_path, weight=None)
    same, shifted = probabilities(table, 1.0, seed=1), probabilities(table, 1.0, seed=1)
    shifted[table.domain == 1] = shifted[table.domain == 1] ** 2
    numbers = evaluate(config, table, {"plain": same, "dann": shifted}, tmp_path)
    plain, dann = (model_metrics(config, m, numbers[m], {}).difference["away"]["dog"] for m in ("plain", "dann"))
    assert plain.rows == "dog" and plain.ks.p_value > 0.05
    assert dann.ks.p_value < 0.05 and dann.ks.value > dann.ks.null


def test_a_domain_without_labels_has_differences_and_says_why_it_has_no_area(tmp_path: Path) -> None:
    config, table = analysis(tmp_path)
    table = replace(table, label=np.where(table.domain == 1, -1, table.label))
    numbers = evaluate(config, table, {"plain": probabilities(table, 1.0)}, tmp_path)["plain"]
    metrics = model_metrics(config, "plain", numbers, {})
    assert metrics.auc["away"].to_json() == {"value": None, "why": "the rows of away have no labels"}
    assert metrics.difference["away"]["dog"].rows == "all" and "away" not in metrics.auc_of_class


def job_of(config: TabularConfig, table: DataTable, folder: Path, model: str) -> TableJob:
    folder.mkdir(parents=True, exist_ok=True)
    write_table(table, folder / "table")
    return next(job for job in jobs_of(config, folder / "table", folder / "run", folder, "cpu") if job.model == model)


def test_a_table_is_the_same_after_writing(tmp_path: Path) -> None:
    _, table = analysis(tmp_path)
    write_table(table, tmp_path / "table")
    again = open_table(tmp_path / "table")
    assert again.names == table.names and again.domains == table.domains and again.targets == table.targets
    assert np.array_equal(again.features, table.features) and np.array_equal(again.label, table.label)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "conditional"])
def test_every_method_trains_and_no_label_of_the_target_is_read(tmp_path: Path, method: str) -> None:
    section = {"kind": "network", "encoder": [4], "domain": {"method": method}}
    training = {"epochs": 1, "batch_size": 128, "processes": 1}
    config, table = analysis(tmp_path, 3, 300, weight=None, models={"model": section}, training=training)
    score, about, history = job_of(config, table, tmp_path / "known", "model").train(lambda *_: None)
    assert score.shape == ((table.fold == 0).sum(), 3) and np.allclose(score.sum(axis=1), 1.0, atol=1e-5)
    assert about["epochs"] == 1 and np.isfinite(history["class_loss"][0])
    secret = replace(table, label=np.where(table.domain > 0, -1, table.label))
    assert np.array_equal(score, job_of(config, secret, tmp_path / "secret", "model").train(lambda *_: None)[0])


def test_trees_of_three_classes_find_them(tmp_path: Path) -> None:
    models = {"trees": {"kind": "bdt", "iterations": 10}}
    config, table = analysis(tmp_path, 3, models=models, weight=None, balance=True)
    score, about, _ = job_of(config, table, tmp_path / "work", "trees").train(lambda *_: None)
    rows = (table.fold == 0) & (table.domain == 0)
    right = score[table.domain[table.fold == 0] == 0].argmax(axis=1) == table.label[rows]
    assert np.allclose(score.sum(axis=1), 1.0, atol=1e-5) and right.mean() > 0.45 and about["epochs"] > 10
    assert len(list((tmp_path / "work" / "run" / "models" / "trees").glob("fold0-member0-class*.skops"))) == 3


def test_balance_and_the_policy_of_negative_weights_hold_in_training(tmp_path: Path) -> None:
    from hepda.tabular.training import DOMAIN, rows_of

    config, table = analysis(tmp_path, balance=True, negative_weights="drop")
    rows = rows_of(config, table, table.in_source)
    weight, label = np.asarray(rows.weights["class"]), np.asarray(rows.targets["class"])
    assert weight[label == 0].sum() == pytest.approx(weight[label == 1].sum()) and weight.mean() == pytest.approx(1.0)
    assert weight.min() == 0.0 and np.asarray(rows.weights[DOMAIN]).min() == 0.0
    target = rows_of(config, table, table.in_target)
    assert not target.targets and set(target.weights) == {DOMAIN}
    assert isinstance(config.models["dann"], TableNetworkConfig)


def test_the_gain_over_the_baseline_is_paired(tmp_path: Path) -> None:
    config, table = analysis(tmp_path)
    assert config.baseline == "plain"  # a network before trees, which stand first
    score = probabilities(table, 1.0)
    better = score * (1.0 + 0.3 * np.eye(2, dtype=np.float32)[table.label])
    numbers = evaluate(config, table, {"trees": score, "plain": score, "dann": better}, tmp_path)
    assert not numbers["trees"].gain and not numbers["plain"].gain
    gain, quality = numbers["dann"].gain["away"], numbers["dann"].quality["away"]
    assert isinstance(quality, Quality) and 0.0 < gain.low < gain.value < gain.high
    assert gain.error < 0.5 * quality.auc.error
    same = evaluate(config, table, {"plain": score, "dann": score}, tmp_path)["dann"].gain["away"]
    assert (same.low, same.value, same.high) == (0.0, 0.0, 0.0)


def test_a_domain_without_labels_has_a_figure_of_its_own(tmp_path: Path) -> None:
    config, table = analysis(tmp_path)
    table = replace(table, label=np.where(table.domain == 1, -1, table.label))
    data = TableFigureData(config, table, {"plain": probabilities(table, 1.0)}, {}, {}, {})
    drawn = {drawing.name: drawing.caption for drawing in scores(data)}
    assert list(drawn) == ["score_plain_dog_all", "score_plain_dog"]
    assert drawn["score_plain_dog_all"].startswith("Of all rows,")


def test_no_false_positive_rate_is_below_that_of_one_row(tmp_path: Path) -> None:
    config, table = analysis(tmp_path, weight=None)
    band = roc_bands(config, table, {"plain": probabilities(table, 3.0)}, 1, 1)["plain"]
    rate = band.background_efficiency
    assert np.isnan(rate).any() and np.nanmin(rate) * ((table.domain == 1) & (table.label == 0)).sum() > 0.999
