"""Reweighting and the parameter in what models are trained on; the evaluation's weights stay."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from hepda.config import AnalysisConfig, validate
from hepda.errors import ConfigError, DataError
from hepda.events.dataset.splits import fold_of, is_validation, part_of
from hepda.events.resolve import model_spec
from hepda.events.results.to_json import reweighting_of
from hepda.events.table.feature_table import FeatureTable
from hepda.events.training.reweighting import TrainingFactors, read_factors, write_factors
from hepda.events.training.tensors import ADVERSARY, bdt_part, held_out, model_features, network_part, training_factors
from hepda.runtime.pool import one_thread
from tests.factory import analysis

N = 6000
SAMPLES = ("signal", "background", "signal_alt", "background_alt")
REWEIGHT = {"source": "background", "target": "background_alt"}
DOMAIN = {"source": ["background"], "target": ["background_alt"], "head": [8]}
FEATURES = ["x", "n", "rest"]


def config_of(**models: Any) -> AnalysisConfig:
    base = {"plain": {"kind": "network", "encoder": [8]}, "trees": {"kind": "bdt"}}
    return validate(
        analysis(models=base | models, variables=dict.fromkeys(FEATURES, "met"), features=FEATURES, plots={})
    )


def network(**fields: Any) -> dict[str, Any]:
    return {"kind": "network", "encoder": [8], **fields}


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """As in a training; trees on several threads wait for one another on a busy machine."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def table() -> FeatureTable:
    """Background whose `x` is 0.7 larger and whose `n` is one larger on average in the alternative domain."""
    rng = np.random.default_rng(5)
    sample = np.sort(rng.integers(0, 4, N)).astype(np.int16)
    label, other = (sample % 2 == 0).astype(np.int8), sample >= 2
    moved = other & (label == 0)
    key = rng.integers(0, 2**63, N).astype(np.uint64)
    weight = rng.uniform(0.5, 1.5, N) * np.where(rng.random(N) < 0.1, -1.0, 1.0)
    features = np.stack(
        [rng.normal(0.7 * moved + label, 1.0), rng.poisson(3.0 + moved), rng.normal(size=N)], axis=1
    ).astype(np.float32)
    columns = {
        "domain:adapted:mask": label == 0,
        "domain:adapted:side": np.where(label == 1, -1, other).astype(np.int8),
        "domain:adapted:weight": np.where(label == 0, weight, 0.0),
    }
    return FeatureTable(
        features=features, names=tuple(FEATURES), weight=weight, label=label, domain=other.astype(np.int16),
        domain_names=("simulation", "alternative"), sample=sample, sample_names=SAMPLES, fold=fold_of(key, 2),
        validation=is_validation(key, 0.2), key=key, columns=columns,
    )  # fmt: skip


def test_parts_are_independent_of_folds_and_validation() -> None:
    key = np.arange(200_000, dtype=np.uint64)
    part, fold, validation = part_of(key, 5), fold_of(key, 2), is_validation(key, 0.2)
    assert set(part) == {0, 1, 2, 3, 4}
    for number in range(5):
        in_part = part == number
        assert in_part.mean() == pytest.approx(0.2, abs=0.005)
        assert fold[in_part].mean() == pytest.approx(0.5, abs=0.01)
        assert validation[in_part].mean() == pytest.approx(0.2, abs=0.01)


def test_factors_move_the_training_source_alone(table: FeatureTable) -> None:
    config = config_of(weighted=network(reweight=REWEIGHT))
    before = table.weight.copy()
    factors = training_factors(model_spec(config, "weighted"), table, 0)
    assert factors.domain is None and factors.task is not None
    source = (table.sample == 1) & ~held_out(table, 0)
    target = (table.sample == 3) & ~held_out(table, 0)
    assert (factors.task[~source] == 1.0).all() and (factors.task[source] != 1.0).all()
    weight = table.weight * factors.task
    assert weight[source].sum() == pytest.approx(table.weight[source].sum())
    moved = np.average(table.features[source], axis=0, weights=weight[source])
    expected = np.average(table.features[target], axis=0, weights=table.weight[target])
    baseline = np.average(table.features[source], axis=0, weights=table.weight[source])
    assert moved[:2] == pytest.approx(expected[:2], abs=0.2) and (expected[:2] - baseline[:2] > 0.6).all()
    assert moved[2] == pytest.approx(baseline[2], abs=0.1)
    # not a digit of what is evaluated has changed
    assert np.array_equal(table.weight, before)
    entry = factors.about["reweight"]
    assert entry["method"] == "classifier" and 0.0 <= entry["clipped"] < 0.05
    assert entry["n_eff"]["before"] > entry["n_eff"]["after"] > 100
    # what a fresh classifier finds before and after: no difference is left within its interval
    auc = entry["domain_auc"]
    assert auc["before"]["low"] > 0.65 and auc["after"]["low"] < 0.53
    means_of_trainings = reweighting_of([entry, {**entry, "clipped": entry["clipped"] + 0.2}])
    assert means_of_trainings["domain_auc"]["after"] == pytest.approx(auc["after"])
    assert means_of_trainings["clipped"] == pytest.approx(entry["clipped"] + 0.1)


def test_the_class_loss_sees_the_factors_and_the_events_of_the_fold_do_not_matter(table: FeatureTable) -> None:
    config = config_of(weighted=network(reweight=REWEIGHT), weighted_trees={"kind": "bdt", "reweight": REWEIGHT})
    factors = training_factors(model_spec(config, "weighted"), table, 0)
    assert factors.task is not None
    part, baseline = (
        network_part(model_spec(config, "weighted"), table, 0, factors),
        network_part(model_spec(config, "plain"), table, 0),
    )
    for rows, same, chosen in (
        (part.source, baseline.source, ~table.validation),
        (part.source_validation, baseline.source_validation, table.validation),
    ):
        mask = np.isin(table.sample, [0, 1]) & ~held_out(table, 0) & chosen
        label, weight = table.label[mask], (table.weight * factors.task)[mask]
        for value in (0, 1):
            result = rows.weights["class"][label == value] / weight[label == value]
            assert result == pytest.approx(np.full(len(result), result[0])) and result[0] > 0
        assert np.array_equal(rows.weights["class"][label == 1], same.weights["class"][label == 1])
        assert np.array_equal(rows.features, same.features)
    trees = bdt_part(model_spec(config, "weighted_trees"), table, 0)
    assert np.array_equal(trees[0][2], part.source.weights["class"])
    unseen = table.features.copy()
    unseen[held_out(table, 0)] += 5.0
    again = training_factors(model_spec(config, "weighted"), dataclasses.replace(table, features=unseen), 0)
    assert again.task is not None and np.array_equal(again.task, factors.task)


def test_the_domain_loss_may_see_a_source_that_is_reweighted_in_one_feature(table: FeatureTable) -> None:
    domain = DOMAIN | {"reweight": {"features": ["n"]}}
    config = config_of(adapted=network(domain=domain))
    factors = training_factors(model_spec(config, "adapted"), table, 1)
    assert factors.task is None and factors.domain is not None and list(factors.about) == ["domain_reweight"]
    part = network_part(model_spec(config, "adapted"), table, 1)
    rows, target = part.source, part.target
    assert target is not None
    in_domain_loss = np.asarray(rows.masks[ADVERSARY])
    weight = rows.weights[ADVERSARY][in_domain_loss]
    moved = np.average(rows.features[in_domain_loss], axis=0, weights=weight)
    expected = np.average(target.features, axis=0, weights=target.weights[ADVERSARY])
    baseline = table.features[(table.sample == 1) & ~held_out(table, 1)].mean(axis=0)
    assert expected[1] - baseline[1] > 0.8 and abs(expected[1] - moved[1]) < 0.35
    assert expected[0] - moved[0] > 0.5  # x is left to the adversary
    # a function of that feature alone (within a part: each has a model of its own)
    source = (table.sample == 1) & ~held_out(table, 1)
    part_of_event = part_of(table.key, 5)
    for number in range(5):
        mask = source & (part_of_event == number)
        for n in (2, 3, 4):
            values = factors.domain[mask & (table.features[:, 1] == n)]
            assert len(values) > 5 and np.ptp(values) < 1e-6
    class_only = network_part(model_spec(config, "plain"), table, 1)
    assert np.array_equal(part.source.weights["class"], class_only.source.weights["class"])


def test_factors_travel_through_a_file(table: FeatureTable, tmp_path: Any) -> None:
    factors = TrainingFactors(task=np.arange(3.0), about={"reweight": {"clipped": 0.02, "limits": [0.1, 10.0]}})
    write_factors(tmp_path / "a.npz", factors)
    again = read_factors(tmp_path / "a.npz")
    assert np.array_equal(again.task, factors.task) and again.domain is None and again.about == factors.about
    (message,) = again.warnings
    assert message.startswith("reweight: 2.00 % of the source's weights had a ratio that was not within 0.1 and 10 of")
    assert TrainingFactors().warnings == []
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_too_few_events_are_named(table: FeatureTable) -> None:
    config = config_of(weighted=network(reweight=REWEIGHT))
    few = table.select(np.flatnonzero((table.sample != 3) | (np.arange(N) % 500 == 0)))
    with pytest.raises(DataError, match=r"models\.weighted\.reweight: the \d target events are too few"):
        training_factors(model_spec(config, "weighted"), few, 0)


PARAMETER = {"train_on": list(SAMPLES), "parameter": {"simulation": 0, "alternative": 1}}


def test_a_parameter_is_the_domain_in_training_and_0_in_scoring(table: FeatureTable) -> None:
    config = config_of(informed=network(**PARAMETER))
    part = network_part(model_spec(config, "informed"), table, 0)
    trainable = ~held_out(table, 0)
    for rows, chosen in ((part.source, ~table.validation), (part.source_validation, table.validation)):
        assert rows.features.shape == ((trainable & chosen).sum(), 4) and rows.features.dtype == np.float32
        assert np.array_equal(rows.features[:, :3], table.features[trainable & chosen])
        assert np.array_equal(rows.features[:, 3], table.domain[trainable & chosen])
    scored = model_features(model_spec(config, "informed"), table)
    assert scored.shape == (N, 4) and scored.dtype == np.float32 and (scored[:, 3] == 0).all()
    assert (model_features(model_spec(config, "informed"), table, 0.25)[:, 3] == 0.25).all()
    some = model_features(model_spec(config, "informed"), table, rows=table.label == 1)
    assert np.array_equal(some, scored[table.label == 1])


def test_the_target_of_a_domain_loss_has_its_parameter(table: FeatureTable) -> None:
    config = config_of(adapted=network(**PARAMETER, domain=DOMAIN))
    target = network_part(model_spec(config, "adapted"), table, 0).target
    assert target is not None and (target.features[:, 3] == 1).all()


def test_a_model_without_parameter_reads_the_table(table: FeatureTable) -> None:
    config = config_of()
    for model in ("plain", "trees"):
        assert model_features(model_spec(config, model), table) is table.features
        mask = table.label == 0
        assert np.array_equal(model_features(model_spec(config, model), table, rows=mask), table.features[mask])
        with pytest.raises(ConfigError, match="has no `parameter`, so it cannot be scored at 1"):
            model_features(model_spec(config, model), table, 1.0)


def test_a_domain_head_a_class_gets_its_masks(table: FeatureTable) -> None:
    domain = {"source": ["signal", "background"], "target": ["signal_alt", "background_alt"], "rows": "all"}
    config = config_of(adapted=network(domain=domain | {"method": "conditional"}))
    everything = {"domain:adapted:mask": np.ones(N, np.bool_), "domain:adapted:side": table.domain.astype(np.int8),
                  "domain:adapted:weight": table.weight}  # fmt: skip
    part = network_part(model_spec(config, "adapted"), dataclasses.replace(table, columns=everything), 0)
    assert part.target is not None
    for rows, other in ((part.source, 0), (part.target, 1)):
        mask = (table.domain == other) & ~held_out(table, 0) & ~table.validation
        assert np.array_equal(rows.masks["signal"], table.label[mask] == 1)
        assert np.array_equal(rows.masks["background"], table.label[mask] == 0)


def test_method_none_is_no_domain_loss(table: FeatureTable) -> None:
    config = config_of(adapted=network(domain=DOMAIN | {"method": "none", "reweight": {}}))
    part, baseline = (
        network_part(model_spec(config, "adapted"), table, 0),
        network_part(model_spec(config, "plain"), table, 0),
    )
    assert part.target is None and list(part.source.weights) == ["class"]
    assert np.array_equal(part.source.features, baseline.source.features)
