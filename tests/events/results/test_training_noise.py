"""The spread between trainings: of members on the same events, of folds each on its own."""

import numpy as np
import pytest

from hepda.config import load_config
from hepda.evaluation.roc import auc
from hepda.events.dataset.load import load_table
from hepda.events.resolve import dataset_spec, evaluation_spec
from hepda.events.results.evaluate import EvaluationInput
from hepda.events.results.tables import training_noise_table
from hepda.events.results.to_json import noise_of
from hepda.events.results.training_noise import training_noise
from hepda.results.events import EventMetrics
from tests.factory import write_analysis

OVERRIDES = ("features=[ht, met]", "plots={}", "evaluation.probes=false", "evaluation.bootstrap=2", "luminosity=0.5")
MEMBERS = 4


def score_of(table, member):
    """A score that knows the class, and is spoilt by another noise for each member."""
    true = 0.5 * table.label + table.features[:, 0] / 800
    noise = np.random.default_rng(member).normal(size=1000)[table.key % np.uint64(1000)]
    return 1 / (1 + np.exp(-(true + 0.1 * (member + 1) * noise)))


def again(table, model, fold, member=None):
    assert set(np.unique(table.fold)) == {fold}  # every event by the training that did not see it
    return score_of(table, member)


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    path = write_analysis(tmp_path_factory.mktemp("noise"), n=600)
    config = load_config(path, [*OVERRIDES, f"models.network.ensemble={MEMBERS}"])
    table = load_table(dataset_spec(config)).table
    members = [score_of(table, member) for member in range(MEMBERS)]
    return EvaluationInput(
        evaluation_spec(config), table, {"network": np.mean(members, axis=0), "bdt": members[0]}, {}, again
    ), members


def test_members_are_judged_on_the_same_events(asked):
    evaluated, members = asked
    table = evaluated.table
    result = training_noise(evaluated, "network", evaluated.scores["network"])
    inner = table.of_domain("simulation") & (table.label >= 0)
    areas = [auc(score[inner], table.label[inner], table.weight[inner]) for score in members]
    assert (result.over, result.trainings) == ("members", MEMBERS)
    assert result.auc.spread == pytest.approx(np.std(areas, ddof=1))
    assert result.auc.error == pytest.approx(np.std(areas, ddof=1) / 2)
    assert set(result.shifts) == {"alternative", "third"} and set(result.shifts["third"]) == {0.3, 0.5, 0.7}


def test_without_an_ensemble_the_folds_tell(asked):
    evaluated, members = asked
    table = evaluated.table
    result = training_noise(evaluated, "bdt", members[0])
    inner = table.of_domain("simulation") & (table.label >= 0)
    areas = [auc(*(x[inner & (table.fold == f)] for x in (members[0], table.label, table.weight))) for f in (0, 1)]
    assert (result.over, result.trainings) == ("folds", 2)
    assert result.auc.spread == pytest.approx(np.std(areas, ddof=1))


def test_the_table_says_over_what(asked):
    evaluated, _ = asked
    noises = {name: training_noise(evaluated, name, evaluated.scores[name]) for name in ("network", "bdt")}
    entries = {name: {"training_noise": noise_of(noise, "simulation")} for name, noise in noises.items()}
    table = training_noise_table(EventMetrics.from_json({"models": entries}))
    assert [row[1].text for row in table.rows] == ["4 members", "2 folds"]
    assert table.head[2:4] == ["AUC", "Shift at 30 %, alternative"] and table.rows[0][2].sort > 0
    assert "noise of the training, which is not included in other errors" in table.note
