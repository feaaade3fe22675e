"""Three classes from files to score columns: weights, networks, trees, folds, members, saved models, domain losses."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from hepda.config import AnalysisConfig, load_config
from hepda.errors import ConfigError, DataError
from hepda.events.dataset.checks import check_table
from hepda.events.dataset.load import load_table
from hepda.events.kind import combine
from hepda.events.resolve import classes_of, dataset_spec, model_spec, model_specs
from hepda.events.table.feature_table import FeatureTable
from hepda.events.table.store import write_table
from hepda.events.training import scoring
from hepda.events.training.jobs import jobs_of
from hepda.events.training.tensors import ADVERSARY, bdt_part, network_part
from hepda.runtime.jobs import run_jobs
from hepda.runtime.pool import one_thread
from tests.factory import several_classes, write_analysis
from tests.reference.evaluation import auc


class Trained(NamedTuple):
    """A run in three classes: its config, the folder of its models, the events, the score columns of its trainings."""

    config: AnalysisConfig
    models: Path
    table: FeatureTable
    columns: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("classes")
    page = write_analysis(folder, n=1000, **several_classes())
    config = load_config(
        page, ["training={epochs: 10, batch_size: 64, learning_rate: 5e-3}", "models.network.ensemble=2"]
    )
    table = load_table(dataset_spec(config)).table
    write_table(table, folder / "table")
    (folder / "work").mkdir()
    jobs = jobs_of(model_specs(config), folder / "table", folder, folder / "work", "cpu")
    results = run_jobs(jobs, 1, lambda *_: None)
    return Trained(config, folder / "models", table, combine(config, table, results))


def test_labels_are_signal_against_the_rest_and_classes_follow_the_samples(trained: Trained) -> None:
    table, index = trained.table, classes_of(trained.config).index(trained.table)
    assert np.array_equal(index == 0, table.label == 1) and np.array_equal(index > 0, table.label == 0)
    assert np.array_equal(index == -1, table.of_samples(["data"]))
    n_jets = table.features[:, table.names.index("n_jets")]
    assert (n_jets[index == 1] >= 7).all() and (n_jets[index == 2] < 7).all()


def test_weights_of_the_classes_add_up_to_the_same(trained: Trained) -> None:
    config, _, table, _ = trained
    part = network_part(model_spec(config, "network"), table, 0).source
    label, weight = part.targets["class"], np.asarray(part.weights["class"])
    sums = [weight[np.asarray(label) == number].sum() for number in range(3)]
    assert sums == pytest.approx([sums[0]] * 3) and weight.mean() == pytest.approx(1.0)
    (_, trees_label, trees_weight), _ = bdt_part(model_spec(config, "bdt"), table, 0)
    assert np.bincount(trees_label, trees_weight) == pytest.approx([trees_weight.sum() / 3] * 3)
    (_, pair_label, pair_weight), _ = bdt_part(model_spec(config, "pair"), table, 0)
    assert np.bincount(pair_label, pair_weight) == pytest.approx([pair_weight.sum() / 2] * 2)


def test_probabilities_add_up_to_one_and_the_score_is_that_of_the_signal(trained: Trained) -> None:
    columns = trained.columns
    assert list(columns) == [name for model in model_specs(trained.config).values() for name in model.columns]
    for name in ("network", "bdt"):
        p = np.stack([columns[f"{name}.p_{c}"] for c in ("ttH", "busy", "calm")], axis=1)
        assert p.sum(axis=1) == pytest.approx(np.ones(len(p)), abs=1e-5)
        assert np.array_equal(columns[name], p[:, 0])
    p = {c: columns[f"dann.p_{c}"].astype(float) for c in ("ttH", "busy", "calm")}
    by_hand = p["ttH"] / (p["ttH"] + 0.7 * p["busy"] + 0.3 * p["calm"])
    assert columns["dann"] == pytest.approx(by_hand, rel=1e-5) and np.array_equal(columns["dann"], columns["dann.d"])


def test_classes_are_separated_as_by_scikit_learn_directly(trained: Trained) -> None:
    config, _, table, columns = trained
    index, areas = classes_of(config).index(table), {}
    inner = table.of_samples(model_spec(config, "bdt").samples)
    probability = np.zeros((len(table), 3))
    for fold in range(2):
        rows = inner & (table.fold != fold)
        label, weight = index[rows], np.abs(table.weight[rows])
        weight = weight / np.bincount(label, weight)[label]
        direct = HistGradientBoostingClassifier(max_iter=20, early_stopping=False, random_state=1)
        direct.fit(table.features[rows], label, weight * rows.sum() / 3)
        probability[table.fold == fold] = direct.predict_proba(table.features[table.fold == fold])
    rows = np.random.default_rng(2).permutation(np.flatnonzero(inner))[:600]
    for number, name in enumerate(("ttH", "busy", "calm")):
        truth, weight = index[rows] == number, np.ones(len(rows))
        areas[name] = [auc(columns[f"{m}.p_{name}"][rows], truth, weight) for m in ("network", "bdt")]
        areas[name].append(auc(probability[rows, number], truth, weight))
    for network, trees, expected in areas.values():
        assert trees == pytest.approx(expected, abs=0.02) and network == pytest.approx(expected, abs=0.05)
    assert areas["ttH"][2] > 0.75 and areas["calm"][2] > 0.85


def test_saved_models_give_the_same_columns(trained: Trained) -> None:
    config, models, table, columns = trained
    with one_thread():
        again = scoring.score_table(model_specs(config).values(), models, table)
        members = [scoring.fold_score(model_spec(config, "network"), models, table, 0, member=m) for m in (0, 1)]
        primary = scoring.rescore(model_specs(config), models, table, "dann", 1)
    assert list(again) == list(columns)
    for name, values in columns.items():
        assert np.array_equal(again[name], values), name
    in_fold = table.fold == 0
    mean = np.mean(members, axis=0)[in_fold]
    assert np.array_equal(mean[:, 1].astype(np.float32), columns["network.p_busy"][in_fold])
    assert np.array_equal(primary[table.fold == 1], columns["dann"][table.fold == 1])


def test_saved_models_of_other_classes_are_refused(trained: Trained) -> None:
    config, models, table, _ = trained
    section = config.models["network"].model_copy(update={"classes": "binary"})
    other = config.model_copy(update={"models": config.models | {"network": section}})
    with pytest.raises(
        ConfigError, match="predicts the classes ttH, busy, calm; the analysis file gives signal against"
    ):
        scoring.score_table([model_spec(other, "network")], models, table)


def test_the_domain_head_reads_all_probabilities_and_its_own_rows(trained: Trained) -> None:
    from hepda.adversarial import Network
    from hepda.events.training.jobs import build_network

    config, models = trained.config, trained.models
    network = Network.load(models / "dann" / "fold0-member0.safetensors")
    assert network.heads["class"].loss == "multiclass" and network.metadata["classes"] == ["ttH", "busy", "calm"]
    domain = config.models["dann"].domain.model_copy(update={"input": "score", "rows": "busy"})
    section = config.models["dann"].model_copy(update={"domain": domain})
    built = build_network(8, section, 3, {}, ("ttH", "busy", "calm"))
    assert next(built.heads["domain"].module.parameters()).shape == (16, 3)  # the head reads the softmax
    reread = config.model_copy(update={"models": {"dann": section}})
    narrow = load_table(dataset_spec(reread)).table
    part = network_part(model_spec(reread, "dann"), narrow, 0)
    of_class = classes_of(reread).index(narrow)
    of_target = narrow.of_samples(["busy_alt"]) & (narrow.fold != 0) & ~narrow.validation
    assert len(part.target.features) == of_target.sum()
    busy = (of_class == 1) & narrow.of_samples(["busy"]) & (narrow.fold != 0) & ~narrow.validation
    assert part.source.masks[ADVERSARY].sum() == busy.sum() > 50


def test_a_class_without_events_in_a_fold_is_named(trained: Trained) -> None:
    config, _, table, _ = trained
    lost = ~(table.of_samples(["busy"]) & (table.fold == 1) & ~table.validation)
    with pytest.raises(DataError, match=r"models.network: fold 1 has no busy among its training events"):
        check_table(dataset_spec(config), table.select(np.flatnonzero(lost)))
