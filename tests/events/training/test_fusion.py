"""Fusions of models of events: what a fold's fusion learns from, and what the analysis file may say of fusions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hepda.baselines.fusion import fusion_file
from hepda.config import AnalysisConfig, validate
from hepda.errors import ConfigError, SourceError
from hepda.events.resolve import model_specs
from hepda.events.table.feature_table import FeatureTable
from hepda.events.training import fusion
from hepda.events.training.fusion import fused_out_of_fold, learned, read_fusion
from tests.factory import analysis, several_classes

N = 4000


def config(method: str = "logistic", **more: Any) -> AnalysisConfig:
    both = {"kind": "fusion", "of": ["bdt", "network"], "method": method}
    return validate(analysis(models=analysis()["models"] | {"both": both | more}))


def table(domain_of: str = "simulation") -> FeatureTable:
    """Events of the samples signal and background, without features."""
    rng = np.random.default_rng(2)
    names = ("signal", "background", "background_alt")
    sample = rng.integers(0, 3, N).astype(np.int16)
    return FeatureTable(
        features=np.zeros((N, 0), np.float32), names=(), weight=rng.uniform(0.5, 1.5, N),
        label=np.where(sample == 0, 1, 0).astype(np.int8), domain=np.zeros(N, np.int16), domain_names=(domain_of,),
        sample=sample, sample_names=names, fold=rng.integers(0, 2, N).astype(np.int8), validation=rng.random(N) < 0.2,
        key=rng.integers(0, 2**63, N).astype(np.uint64),
    )  # fmt: skip


def scores(events: FeatureTable) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(3)
    return {
        name: (1 / (1 + np.exp(-rng.normal(slope * (2.0 * events.label - 1.0), 1.0)))).astype(np.float32)
        for name, slope in (("bdt", 1.0), ("network", 0.5))
    }


@pytest.mark.parametrize("method", ["isotonic", "logistic"])
def test_the_events_of_a_fold_never_enter_the_fusion_that_scores_them(method: str) -> None:
    model, events = model_specs(config(method))["both"], table()
    of_models = scores(events)
    before = learned(model, events, of_models, 0)
    inside = events.fold == 0
    spoiled = {name: np.where(inside, np.float32(0.5), score) for name, score in of_models.items()}
    other_label = replace(events, label=np.where(inside, 1 - events.label, events.label).astype(np.int8))
    assert learned(model, events, spoiled, 0) == before
    assert learned(model, other_label, of_models, 0) == before
    assert learned(model, events, spoiled, 1) != learned(model, events, of_models, 1)


def test_it_learns_from_its_samples_with_the_policy_and_the_balance_of_a_training() -> None:
    events = table()
    of_models = scores(events)
    nominal = learned(model_specs(config())["both"], events, of_models, 0)
    assert nominal.rows == int(((events.fold == 1) & (events.sample < 2)).sum())
    of_both = config(train_on=["signal", "background", "background_alt"])
    assert learned(model_specs(of_both)["both"], events, of_models, 0).rows == int((events.fold == 1).sum())
    heavier = replace(events, weight=np.where(events.label == 1, 50.0, 1.0) * events.weight)
    np.testing.assert_allclose(
        learned(model_specs(config())["both"], heavier, of_models, 0).biases, nominal.biases, atol=1e-4
    )
    signed = replace(events, weight=np.where(np.arange(N) % 3 == 0, -0.2, 1.0) * events.weight)
    model = model_specs(config())["both"]
    kept, absolute = (
        learned(replace(model, negative_weights=policy), signed, of_models, 0) for policy in ("keep", "absolute")
    )
    assert kept.weights != absolute.weights


def test_many_events_are_thinned_by_their_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fusion, "MOST_EVENTS", 500)
    events = table()
    found = learned(model_specs(config())["both"], events, scores(events), 0)
    assert 400 < found.rows < 600


def test_the_files_give_the_scores_again_and_are_those_of_the_analysis_file(tmp_path: Path) -> None:
    model, events = model_specs(config())["both"], table()
    of_models = scores(events)
    fused = fused_out_of_fold(model, events, of_models, tmp_path)
    for fold in (0, 1):
        rows = events.fold == fold
        again = read_fusion(model, tmp_path, fold)([of_models[part.name][rows] for part in model.fused])
        np.testing.assert_array_equal(again, fused[rows])
    assert read_fusion(model, tmp_path, 0) != read_fusion(model, tmp_path, 1)
    with pytest.raises(SourceError, match="is the logistic of bdt, network; the analysis file gives the isotonic of"):
        read_fusion(model_specs(config("isotonic"))["both"], tmp_path, 0)
    fusion_file(tmp_path, "both", 1).unlink()
    with pytest.raises(SourceError, match="there is no"):
        read_fusion(model, tmp_path, 1)


def test_a_fusion_of_adapted_models_is_adapted_to_their_domains() -> None:
    models = analysis()["models"] | {"both": {"kind": "fusion", "of": ["bdt", "dann"]}}
    specs = model_specs(validate(analysis(models=models)))
    assert specs["both"].is_adapted and specs["both"].adapted_to == ("alternative",)
    assert not model_specs(config())["both"].is_adapted


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"of": ["bdt", "netwrk"]}, "models.both.of: 'netwrk' is not a model. Did you mean 'network'?"),
        ({"of": ["bdt", "both"]}, "models.both.of: names the fusion itself; take 'both' out."),
        ({"of": ["bdt"]}, "models.both.of: has 1 model, so there is nothing to fuse; name two or more."),
        ({"of": ["bdt", "bdt"]}, "models.both.of: 'bdt' is listed twice."),
        ({"of": ["bdt", "other"]}, "models.both.of: 'other' is a fusion too; name the models that it fuses:"),
        ({"of": ["bdt", "network"], "train_on": ["signal", "background"]},
         "models.both.train_on: has no effect with `method: mean`, which learns nothing; remove it."),
        ({"of": ["bdt", "network"], "method": "logistic", "train_on": ["signal"]}, "models.both.train_on"),
        ({"of": ["bdt", "network"], "method": "median"}, "models.both.method"),
    ],
)  # fmt: skip
def test_what_cannot_be_fused_is_said_before_anything_is_read(section: dict[str, Any], message: str) -> None:
    more = {"both": {"kind": "fusion"} | section, "other": {"kind": "fusion", "of": ["network", "dann"]}}
    with pytest.raises(ConfigError) as error:
        validate(analysis(models=analysis()["models"] | more))
    assert message in str(error.value)


def test_models_that_predict_other_classes_are_not_fused() -> None:
    content = several_classes()
    content["models"] |= {"both": {"kind": "fusion", "of": ["network", "pair"]}}
    with pytest.raises(ConfigError, match=r"different classes \(network: ttH, busy, calm; pair: signal, rest\)"):
        validate(analysis(**content))
    content["models"]["both"] = {"kind": "fusion", "of": ["network", "bdt"], "score": "d"}
    assert model_specs(validate(analysis(**content)))["both"].columns == (
        "both", "both.p_ttH", "both.p_busy", "both.p_calm", "both.d",
    )  # fmt: skip
