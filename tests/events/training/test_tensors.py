"""The physics rules of training: who sees which events, with which weights, and who never sees a label."""

import dataclasses

import numpy as np
import pytest

from hepda.adversarial import Trainer
from hepda.adversarial.data.stored import RowSubset
from hepda.config import load_config, validate
from hepda.errors import DataError
from hepda.events.dataset.load import load_table
from hepda.events.resolve import dataset_spec, model_spec
from hepda.events.table.feature_table import FeatureTable
from hepda.events.table.store import open_table, write_table
from hepda.events.training import tensors
from hepda.events.training.jobs import build_network
from hepda.events.training.tensors import ADVERSARY, bdt_part, held_out, model_features, network_part
from tests.factory import analysis, write_analysis

SAMPLES = ("signal", "background", "signal_alt", "background_alt", "third", "data")
DOMAIN_OF = {
    "signal": 0,
    "background": 0,
    "signal_alt": 1,
    "background_alt": 1,
    "third": 2,
    "data": 3,
}
LABEL_OF = {"signal": 1, "background": 0, "signal_alt": 1, "background_alt": 0, "third": 0, "data": -1}
N = 900

BACKGROUND = {"source": ["background"], "target": ["background_alt"]}
DATA = {"source": ["signal", "background"], "target": ["data"], "rows": "all"}


def config_of(domain=None, **overrides):
    models = {"network": {"kind": "network", "encoder": [8]}, "bdt": {"kind": "bdt", "iterations": 5}}
    if domain:
        models["dann"] = {"kind": "network", "encoder": [8], "domain": domain | {"head": [8]}}
    return validate(analysis(models=models, **overrides))


def table_of(domain=None, seed=0):
    """Events whose first feature is the number of their row, so that it is seen where each of them goes."""
    generator = np.random.default_rng(seed)
    sample = np.sort(generator.integers(0, len(SAMPLES), N)).astype(np.int16)
    names = np.array(SAMPLES)[sample]
    label = np.array([LABEL_OF[name] for name in names], dtype=np.int8)
    size = np.array([{1: 0.02, 0: 5.0, -1: 1.0}[value] for value in label])
    sign = np.where((generator.random(N) < 0.15) & (label >= 0), -1.0, 1.0)
    weight = np.where(label < 0, 1.0, sign * size * generator.uniform(0.5, 1.5, N))
    columns = {}
    if domain:
        source, target = np.isin(names, domain["source"]), np.isin(names, domain["target"])
        region = generator.random(N) < 0.9  # as `selection:` of the adversary
        mask = (source | target) & region
        columns = {
            "domain:dann:mask": mask,
            "domain:dann:side": np.where(source, 0, np.where(target, 1, -1)).astype(np.int8),
            "domain:dann:weight": np.where(mask, weight, 0.0),
        }
    return FeatureTable(
        features=np.stack([np.arange(N), generator.normal(label, 1, N)], axis=1).astype(np.float32),
        names=("row", "x"),
        weight=weight,
        label=label,
        domain=np.array([DOMAIN_OF[name] for name in names], dtype=np.int16),
        domain_names=("simulation", "alternative", "third", "data"),
        sample=sample,
        sample_names=SAMPLES,
        fold=generator.integers(0, 2, N).astype(np.int8),
        validation=generator.random(N) < 0.2,
        key=generator.integers(0, 2**63, N).astype(np.uint64),
        columns=columns,
    )


def rows_of(part):
    return part.features[:, 0].astype(int)


def same_rows(one, other):
    assert np.array_equal(one.features, other.features)
    for kind in ("targets", "weights", "masks"):
        first, second = getattr(one, kind), getattr(other, kind)
        assert list(first) == list(second)
        for name in first:
            assert np.array_equal(first[name], second[name]), (kind, name)


@pytest.mark.parametrize("domain", [BACKGROUND, DATA])
@pytest.mark.parametrize("fold", [0, 1])
def test_training_excludes_the_fold_and_the_validation_events(domain, fold):
    table = table_of(domain)
    part = network_part(model_spec(config_of(domain), "dann"), table, fold)
    used = np.zeros(N, dtype=int)
    for rows, validating in (
        (part.source, False),
        (part.target, False),
        (part.source_validation, True),
        (part.target_validation, True),
    ):
        index = rows_of(rows)
        assert (table.fold[index] != fold).all() and (table.validation[index] == validating).all()
        used[index] += 1
    assert used.max() == 1
    expected = np.isin(table.sample, [0, 1]) | (
        (table.columns["domain:dann:side"] == 1) & table.columns["domain:dann:mask"]
    )
    assert np.array_equal(used == 1, expected & (table.fold != fold))
    assert not used[held_out(table, fold)].any()


def test_every_event_is_held_out_once():
    table = table_of()
    assert np.array_equal(sum(held_out(table, fold).astype(int) for fold in (0, 1)), np.ones(N))


def test_the_third_generator_and_other_domains_train_nothing():
    table = table_of(BACKGROUND)
    part = network_part(model_spec(config_of(BACKGROUND), "dann"), table, 0)
    for rows in (part.source, part.target, part.source_validation, part.target_validation):
        assert not np.isin(table.sample[rows_of(rows)], [SAMPLES.index("third"), SAMPLES.index("data")]).any()
    assert set(table.sample[rows_of(part.source)]) == {0, 1}
    assert set(table.sample[rows_of(part.target)]) == {SAMPLES.index("background_alt")}


@pytest.mark.parametrize("domain", [BACKGROUND, DATA])
def test_the_target_carries_no_class_label(domain):
    table = table_of(domain)
    part = network_part(model_spec(config_of(domain), "dann"), table, 0)
    for rows in (part.target, part.target_validation):
        assert rows.targets == {} and list(rows.weights) == [ADVERSARY] and rows.masks == {}
    # Whatever the labels of the target are, all that the core gets is the same.
    label = table.label.copy()
    foreign = ~np.isin(table.sample, [0, 1])
    label[foreign] = np.random.default_rng(3).integers(0, 2, foreign.sum())
    other = network_part(model_spec(config_of(domain), "dann"), dataclasses.replace(table, label=label), 0)
    for name in ("source", "target", "source_validation", "target_validation"):
        same_rows(getattr(part, name), getattr(other, name))


def trained(config, table, model="dann"):
    network = build_network(len(table.names), model_spec(config, model), 3, {})
    part = network_part(model_spec(config, model), table, 0)
    trainer = Trainer(epochs=2, batch_size=128, patience=None, seed=3)
    history = trainer.fit(
        network, part.source, part.target, validation=(part.source_validation, part.target_validation)
    )
    return network.predict(table.features, head="class"), history.columns


def test_the_labels_of_data_never_reach_the_class_loss(tmp_path):
    """From the files to the scores: data whose classes are told, and told wrongly, change no digit."""
    path = write_analysis(tmp_path, n=400)
    config = load_config(path, ["models.dann.domain={source: [signal, background], target: [data], rows: all}"])
    table = load_table(dataset_spec(config)).table
    data = table.of_domain("data")
    assert (table.label[data] == -1).all() and data.sum() > 50
    score, history = trained(config, table)
    labels = table.label.copy()
    labels[data] = np.random.default_rng(1).integers(0, 2, data.sum())
    again, other = trained(config, dataclasses.replace(table, label=labels))
    assert np.array_equal(score, again)
    assert history["class_loss"] == other["class_loss"] and history["domain_loss"] == other["domain_loss"]
    # And the features of data do reach the domain loss: the test above can fail.
    features = table.features.copy()
    features[data] += 1.0
    moved, moved_history = trained(config, dataclasses.replace(table, features=features))
    assert not np.array_equal(score[~data], moved[~data])
    assert moved_history["domain_loss"] != history["domain_loss"]


@pytest.mark.parametrize("domain", [BACKGROUND, DATA])
def test_class_weights_balance_the_classes_and_keep_signs_and_ratios(domain):
    table = table_of(domain)
    part = network_part(model_spec(config_of(domain), "dann"), table, 0)
    for rows in (part.source, part.source_validation):
        index, weight, label = rows_of(rows), rows.weights["class"], rows.targets["class"]
        assert np.array_equal(label, table.label[index])
        assert weight[label == 1].sum() == pytest.approx(weight[label == 0].sum()) == pytest.approx(len(index) / 2)
        for value in (0, 1):
            ratio = weight[label == value] / table.weight[index][label == value]
            assert ratio == pytest.approx(np.full(len(ratio), ratio[0])) and ratio[0] > 0
    # They are not those of the events: the physical signal is hundreds of times rarer.
    assert table.weight[table.label == 0].sum() > 100 * table.weight[table.label == 1].sum()


@pytest.mark.parametrize("domain", [BACKGROUND, DATA])
def test_adversary_weights_are_the_physical_ones(domain):
    table = table_of(domain)
    part = network_part(model_spec(config_of(domain), "dann"), table, 0)
    for rows in (part.source, part.source_validation):
        index, mask = rows_of(rows), rows.masks[ADVERSARY]
        assert mask.dtype == bool
        assert np.array_equal(rows.weights[ADVERSARY][mask], table.weight[index][mask])
        assert (rows.weights[ADVERSARY][mask] < 0).any()
    for rows in (part.target, part.target_validation):
        assert np.array_equal(rows.weights[ADVERSARY], table.weight[rows_of(rows)])


def test_the_adversary_sees_background_alone():
    table = table_of(BACKGROUND)
    part = network_part(model_spec(config_of(BACKGROUND), "dann"), table, 0)
    index, mask = rows_of(part.source), part.source.masks[ADVERSARY]
    region = table.columns["domain:dann:mask"]
    assert np.array_equal(mask, (table.label[index] == 0) & region[index])
    assert mask.any() and not mask.all() and not mask[table.label[index] == 1].any()
    assert region[rows_of(part.target)].all() and (table.label[rows_of(part.target)] == 0).all()


def test_a_sample_of_the_adversary_alone_has_no_class():
    domain = {"source": ["background_alt"], "target": ["data"], "rows": "all"}
    table = table_of(domain)
    part = network_part(model_spec(config_of(domain), "dann"), table, 0)
    index = rows_of(part.source)
    only = table.sample[index] == SAMPLES.index("background_alt")
    assert only.any() and (part.source.weights["class"][only] == 0).all()
    assert (part.source.weights["class"][~only] != 0).all() and not part.source.masks[ADVERSARY][~only].any()
    assert part.source.weights["class"][~only].mean() == pytest.approx(1.0)


def test_a_network_without_adversary_has_no_target():
    table = table_of()
    part = network_part(model_spec(config_of(), "network"), table, 0)
    assert part.target is None and part.target_validation is None
    assert part.source.masks == {} and list(part.source.weights) == ["class"]
    expected = np.isin(table.sample, [0, 1]) & (table.fold == 1) & ~table.validation
    assert np.array_equal(rows_of(part.source), np.flatnonzero(expected))


@pytest.mark.parametrize("policy", ["keep", "absolute", "drop"])
def test_the_policy_for_negative_weights_reaches_both_losses(policy):
    table = table_of(BACKGROUND)
    part = network_part(model_spec(config_of(BACKGROUND, negative_weights=policy), "dann"), table, 0)
    index, mask = rows_of(part.source), part.source.masks[ADVERSARY]
    negative = table.weight[index] < 0
    expected = {
        "keep": table.weight,
        "absolute": np.abs(table.weight),
        "drop": np.maximum(table.weight, 0.0),
    }[policy]
    for weight in (part.source.weights["class"], part.source.weights[ADVERSARY][mask]):
        assert (weight < 0).any() == (policy == "keep")
    assert np.array_equal(part.source.weights[ADVERSARY][mask], expected[index][mask])
    assert np.array_equal(part.target.weights[ADVERSARY], expected[rows_of(part.target)])
    assert (part.source.weights["class"][negative] == 0).all() == (policy == "drop")


@pytest.mark.parametrize("fold", [0, 1])
def test_the_trees_see_what_the_network_sees(fold):
    table, config = table_of(), config_of()
    part = network_part(model_spec(config, "network"), table, fold)
    for (features, label, weight), rows in zip(
        bdt_part(model_spec(config, "bdt"), table, fold), (part.source, part.source_validation), strict=True
    ):
        assert np.array_equal(features, rows.features) and np.array_equal(label, rows.targets["class"])
        assert np.array_equal(weight, rows.weights["class"])
    index = bdt_part(model_spec(config, "bdt"), table, fold)[0][0][:, 0].astype(int)
    assert (table.fold[index] != fold).all() and not table.validation[index].any()


def test_a_model_with_samples_of_its_own():
    config = config_of()
    section = config.models["network"].model_copy(update={"train_on": ("signal_alt", "background_alt")})
    config = config.model_copy(update={"models": dict(config.models) | {"network": section}})
    table = table_of()
    assert set(table.sample[rows_of(network_part(model_spec(config, "network"), table, 0).source)]) == {2, 3}


def test_a_fold_without_one_class_is_an_error():
    table = table_of()
    fold = np.where(table.label == 1, 0, table.fold).astype(np.int8)
    with pytest.raises(DataError, match=r"classes \[0\]"):
        network_part(model_spec(config_of(), "network"), dataclasses.replace(table, fold=fold), 0)


@pytest.mark.parametrize("parameter", [None, {"simulation": 0, "alternative": 1, "third": 2, "data": 3}])
def test_rows_of_a_large_table_stay_on_the_disk_and_are_the_same(tmp_path, monkeypatch, parameter):
    table, config = table_of(BACKGROUND), config_of(BACKGROUND)
    if parameter:
        section = config.models["dann"].model_copy(update={"parameter": parameter})
        config = config.model_copy(update={"models": dict(config.models) | {"dann": section}})
    inside = network_part(model_spec(config, "dann"), table, 0)
    write_table(table, tmp_path / "table")
    mapped = open_table(tmp_path / "table")
    small = network_part(model_spec(config, "dann"), mapped, 0)
    monkeypatch.setattr(tensors, "LARGE", 100)
    monkeypatch.setattr(tensors, "_BLOCK", 77)
    outside = network_part(model_spec(config, "dann"), mapped, 0)
    unseen = held_out(mapped, 0)
    for name in ("source", "target", "source_validation", "target_validation"):
        same_rows(getattr(small, name), getattr(inside, name))
        stored, in_memory = getattr(outside, name), getattr(inside, name)
        assert isinstance(stored.features, RowSubset)
        assert np.array_equal(np.asarray(stored.features), in_memory.features)
        assert all(np.array_equal(stored.masks[key], values) for key, values in in_memory.masks.items())
        for key, values in in_memory.weights.items():
            np.testing.assert_allclose(stored.weights[key], values, rtol=1e-6)
    assert np.array_equal(
        model_features(model_spec(config, "dann"), mapped, rows=unseen),
        model_features(model_spec(config, "dann"), table, rows=unseen),
    )
