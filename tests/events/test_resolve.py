"""The nominal domain and the baseline of an analysis, and an evaluation without an analysis file."""

import numpy as np
import pytest

from hepda.config import BdtConfig, EvaluationConfig, load_config
from hepda.errors import ConfigError
from hepda.events.dataset.load import load_table
from hepda.events.domains.counterparts import Counterparts
from hepda.events.domains.spec import Domains, EvaluationSpec
from hepda.events.resolve import dataset_spec, evaluation_spec
from hepda.events.results.evaluate import EvaluationInput, evaluate
from hepda.events.specs import ModelSpec
from hepda.events.table.feature_table import FeatureTable
from tests.factory import write_analysis

BETWEEN = "evaluation.bias.between=[alternative, simulation]"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_analysis(tmp_path_factory.mktemp("resolve"), n=150)


def test_without_the_keys_the_first_domain_and_the_model_network_are_taken(path):
    config = load_config(path)
    spec = evaluation_spec(config)
    assert (config.nominal, config.baseline) == (None, None)
    assert (spec.domains.nominal, spec.baseline) == ("simulation", "network")
    assert spec.domains.data == ("data",) and spec.domains.held_out == ("third",)
    line = "nominal domain: simulation; baseline: network; efficiency shifts at signal efficiencies "
    assert spec.describe() == line + "0.1, 0.2, 0.3, 0.5, 0.7"
    without = config.model_copy(update={"models": {name: config.models[name] for name in ("bdt", "dann")}})
    assert evaluation_spec(without).baseline == "bdt"


def test_the_keys_choose_another_domain_and_model(path):
    config = load_config(path, ["nominal=alternative", "baseline=bdt", BETWEEN])
    spec = evaluation_spec(config)
    assert config.domains == ("alternative", "simulation", "third", "data")
    assert config.training_samples("bdt") == ("signal_alt", "background_alt")
    assert spec.baseline == "bdt" and spec.models["network"].trained_on == ("alternative",)
    assert set(spec.domains.composition) == {"simulation", "third"}
    assert load_table(dataset_spec(config)).table.domain_names[0] == "alternative"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("nominal=alternativ", "nominal.*: 'alternativ' is not a domain. Did you mean 'alternative'"),
        ("nominal=data", "nominal.*: 'data' is data, .* name a simulated domain: simulation, alternative, third"),
        ("baseline=xyz", "baseline.*: 'xyz' is not a model. There are: network, dann, bdt"),
        ("nominal=alternative", "between.*: must begin with 'alternative', the nominal domain"),
    ],
)
def test_a_name_that_does_not_exist_is_refused_with_those_that_do(path, override, message):
    with pytest.raises(ConfigError, match=message):
        load_config(path, [override])


def events(n=4000):
    """Two domains with both classes; the background of the second has a harder feature. Half of it has no partner."""
    rng = np.random.default_rng(5)
    label, domain = rng.integers(0, 2, n).astype(np.int8), rng.integers(0, 2, n).astype(np.int16)
    feature = rng.normal(label + 0.5 * domain * (label == 0), 1.0)
    table = FeatureTable(
        features=feature[:, None].astype(np.float32), names=("x",), weight=np.ones(n), label=label, domain=domain,
        domain_names=("nominal", "other"), sample=(2 * domain + (label == 0)).astype(np.int16),
        sample_names=("s", "b", "s_other", "b_other"), fold=(np.arange(n) % 2).astype(np.int8),
        validation=np.arange(n) % 5 == 0, key=np.arange(n, dtype=np.uint64),
    )  # fmt: skip
    return table, 1 / (1 + np.exp(-feature))


def test_an_evaluation_needs_no_analysis_file():
    table, score = events()
    settings = EvaluationConfig(bootstrap=4, probes=False, working_points=(0.5,))
    models = {"trees": ModelSpec("trees", BdtConfig(kind="bdt"), samples=("s", "b"), trained_on=("nominal",))}
    domains = Domains("nominal", ("nominal", "other"))
    spec = EvaluationSpec(domains, models, baseline="trees", settings=settings)
    numbers = evaluate(EvaluationInput(spec, table, {"trees": score}), 1, lambda *_: None)
    assert numbers.source == "nominal" and numbers.baseline == "trees"
    shifts = {shift.signal_efficiency: shift.shift for shift in numbers.models["trees"].bias["other"].efficiency_shift}
    assert list(shifts) == [0.1, 0.2, 0.3, 0.5] and shifts[0.5] > 0.1
    unknown = {("other", "background"): Counterparts("background", "other", {}, why="nobody knows")}
    spec = EvaluationSpec(Domains("nominal", ("nominal", "other"), counterparts=unknown), models, "trees", settings)
    assert evaluate(EvaluationInput(spec, table, {"trees": score}), 1, lambda *_: None).excluded == {
        "other": "nobody knows"
    }


@pytest.mark.parametrize(("asked", "drawn"), [(0, 20), (5, 20), (150, 150)])
def test_an_interval_is_of_twenty_replicas_or_more(path, asked: int, drawn: int):
    """The ends of an interval of two replicas are noise: the value itself was often outside."""
    assert evaluation_spec(load_config(path, [f"evaluation.bootstrap={asked}"])).replicas == drawn
