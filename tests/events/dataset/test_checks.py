"""What a training would refuse is refused before it, fold by fold, and `check` says the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepda.config import AnalysisConfig, load_config
from hepda.errors import DataError, HepdaError, MissingExtraError
from hepda.events import check_text
from hepda.events.check import check_events
from hepda.events.dataset.checks import check_table, evaluation_problems
from hepda.events.dataset.load import load_table
from hepda.events.resolve import dataset_spec, evaluation_spec, model_spec
from hepda.events.table.feature_table import FeatureTable
from hepda.events.training.tensors import bdt_part, network_part
from hepda.kinds import kind_of
from tests.factory import write_analysis, write_sample

N = 500


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AnalysisConfig, FeatureTable]:
    path = write_analysis(tmp_path_factory.mktemp("guards"), N)
    config = load_config(path)
    return path, config, load_table(dataset_spec(config)).table


def rows(table: FeatureTable, sample: str, **where: Any) -> np.ndarray:
    chosen = table.of_samples([sample])
    for name, value in where.items():
        chosen &= getattr(table, name) == value
    return np.flatnonzero(chosen)


def heavy(table: FeatureTable, sample: str, weight: float, **where: Any) -> FeatureTable:
    """The same table with another weight for one event of the sample."""
    result = table.select(np.arange(len(table)))
    place = rows(table, sample, **where)[0]
    result.weight[place] = weight
    for model in ("dann",):
        column = result.columns[f"domain:{model}:weight"]
        column[place] = weight if result.columns[f"domain:{model}:mask"][place] else 0.0
    return result


def test_a_negative_sum_in_one_fold_is_found_although_the_whole_is_positive(good):
    _, config, table = good
    check_table(dataset_spec(config), table)
    total = float(table.weight[rows(table, "background")].sum())
    changed = heavy(heavy(table, "background", -2 * total, fold=0, validation=False), "background", 9 * total, fold=1)
    assert changed.weight[changed.of_samples(["background"])].sum() > 0
    with pytest.raises(DataError, match=r"models\.network: the weights of its background events add up to -.* fold 1"):
        check_table(dataset_spec(config), changed)
    for part in (network_part, bdt_part):  # what the training itself would have said
        with pytest.raises(DataError, match="add up to"):
            part(model_spec(config, "bdt" if part is bdt_part else "network"), changed, 1)
    kinder = config.model_copy(update={"negative_weights": "absolute"})
    check_table(dataset_spec(kinder), changed)
    network_part(model_spec(kinder, "network"), changed, 1)


def test_the_validation_and_the_sides_of_a_domain_loss_are_looked_at_too(good):
    _, config, table = good
    total = float(table.weight[rows(table, "signal")].sum())
    changed = heavy(
        heavy(table, "signal", -total, fold=1, validation=True), "signal", 9 * total, fold=0, validation=True
    )
    with pytest.raises(DataError, match=r"its signal events add up to -\S+ in the validation of fold 0"):
        check_table(dataset_spec(config), changed)
    total = float(table.weight[rows(table, "background_alt")].sum())
    changed = heavy(table, "background_alt", -2 * total, fold=0, validation=False)
    with pytest.raises(DataError, match=r"models\.dann\.domain\.target: .* in the training of fold 1"):
        check_table(dataset_spec(config), changed)
    free = config.models["dann"].model_copy(
        update={"domain": config.models["dann"].domain.model_copy(update={"balance": False})}
    )
    check_table(dataset_spec(config.model_copy(update={"models": {"dann": free}})), changed)


def test_a_part_of_a_reweighting_without_a_positive_sum(good):
    path, _, table = good
    config = load_config(path, ["models.bdt.reweight={source: background, target: background_alt}"])
    check_table(dataset_spec(config), table)
    total = float(table.weight[rows(table, "background_alt")].sum())
    changed = heavy(table, "background_alt", -total, fold=0, validation=True)
    only = config.model_copy(update={"models": {"bdt": config.models["bdt"]}})
    with pytest.raises(DataError, match=r"models\.bdt\.reweight\.target: in the training of fold 1"):
        check_table(dataset_spec(only), changed)


def test_scores_that_could_not_be_judged(good):
    _, config, table = good
    assert list(evaluation_problems(evaluation_spec(config), table)) == []
    (message,) = evaluation_problems(evaluation_spec(config), heavy(table, "background", 1e9, validation=True))
    assert "validation events of the background of simulation are worth 1 (n_eff)" in message
    total = float(table.weight[rows(table, "third")].sum())
    (message,) = evaluation_problems(evaluation_spec(config), heavy(table, "third", -2 * total))
    assert "the background events of the domain third have weights that add up to -" in message
    total = float(table.weight[rows(table, "signal_alt")].sum())
    cancelled = heavy(heavy(table, "signal_alt", -50 * total, fold=0), "signal_alt", 60 * total, fold=1)
    (message,) = evaluation_problems(evaluation_spec(config), cancelled)
    assert "signal events of the domain alternative are worth" in message
    assert "bootstrap replicas" in message


def test_check_and_train_refuse_a_heavy_event_alike(tmp_path):
    path = write_analysis(tmp_path, 200)
    weight = np.ones(200, "f4")
    weight[5] = 1e6
    write_sample(tmp_path / "background.root", 200, 2, False, cross_section=20.0, spoil={"gen_weight": weight})
    config = load_config(path)
    result = check_events(config, lambda *_: None)
    assert len(result.problems) == 1
    assert "(n_eff)" in result.problems[0]
    with pytest.raises(DataError) as refused:
        kind_of(config).load(lambda *_: None)
    assert str(refused.value) == result.problems[0]
    text = path.read_text().replace("background.root", "background*.root")
    path.write_text(text)  # a second file may help: `check` has not looked at it
    result = check_events(load_config(path), lambda *_: None)
    assert result.problems == []
    assert any("--all looks at every file" in warning for warning in result.warnings)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("luminosity=1e308", r"samples\.signal: 1e\+308/fb x 0\.5 pb x .* is inf, by which no event can be weighted"),
        ("samples.third.k_factor=1e305", r"samples\.third: .* is inf, by which"),
        ("luminosity=1e-320", r"samples\.signal: the weights of its events are too small"),
        ("samples.third.weight=1e160", r"samples\.third: the weights of its events are too large to compute with"),
        ("samples.third.weight=1e300 * gen_weight", r"samples\.third: the weights of its events are too large"),
        ("samples.third.weight=1e-170", r"samples\.third: the weights of its events are too small to compute with"),
        ("samples.third.weight=where(met > 20, 1, 1e200)", r"samples\.third: the weights of its events are too large"),
    ],
)
def test_numbers_beyond_all_numbers_are_refused_with_the_sample(good, override, message):
    config = load_config(good[0], [override])
    (problem,) = check_events(config, lambda *_: None).problems
    with pytest.raises(HepdaError, match=message) as refused:
        load_table(dataset_spec(config))
    assert str(refused.value) == problem


def test_a_cut_flow_of_huge_weights_that_are_cut_away(good):
    cut = ["samples.third.weight=where(met > 20, 1, 1e200)", "samples.third.selection=met > 20"]
    config = load_config(good[0], cut)
    result = check_events(config, lambda *_: None)
    assert result.problems == []
    assert any("yield" in line for line in check_text.lines(config.name, config.luminosity, result))


def test_a_package_that_is_missing_is_a_problem_for_check(good, monkeypatch):
    def missing(_: AnalysisConfig) -> None:
        raise MissingExtraError("xgboost", "xgboost", "models.bdt")

    monkeypatch.setattr("hepda.events.training.jobs.check_extras", missing)
    lines, problems = kind_of(good[1]).check(lambda *_: None)
    assert problems == ["models.bdt: xgboost is not installed; install it with: pip install 'hepda[xgboost]'"]
    assert "1 problem; fix before training" in lines[-1]
