"""What is told of a run as a whole: label shift, gradients, importance, training bias."""

import numpy as np
import pytest

from hepda.config import load_config
from hepda.evaluation.roc import auc
from hepda.events.dataset.load import load_table
from hepda.events.resolve import appearance, dataset_spec, evaluation_spec
from hepda.events.results import figures
from hepda.events.results.evaluate import EvaluationInput, Numbers, evaluate
from hepda.events.results.figure_data import FigureData
from hepda.events.results.per_model import ModelNumbers
from hepda.events.results.per_run import gradient_summary, run_metrics
from hepda.results.evaluation import BinContents, FeatureImportance, Flatness, InputRemoval, Interval
from hepda.runtime.run_directory import plain
from tests.factory import write_analysis

OTHER = "models.other={kind: network, encoder: [8], train_on: [signal_alt, background_alt]}"
BETWEEN = "evaluation.bias.between=[simulation, alternative, third]"
OFF = "models.off={kind: network, domain: {source: background, target: background_alt, method: none}}"
ALL = "models.data={kind: network, encoder: [8], domain: {source: [signal, background], target: [data], rows: all}}"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_analysis(tmp_path_factory.mktemp("run_metrics"), n=600)


def numbers(priors, **models):
    return Numbers("simulation", "network", models={"network": ModelNumbers(), **models}, priors=priors)


def warnings(config, found, histories=None):
    return run_metrics(evaluation_spec(config), found, histories or {})["guards"]["warnings"]


def test_class_priors_have_odds_and_a_strong_shift_is_told_with_the_model_that_it_hurts(path):
    config = load_config(path, [ALL, "models.data.domain.target=[signal_alt, background_alt]"])
    result = numbers({"simulation": (0.05, 0.001), "alternative": (0.10, 0.002)})
    result.unlabelled, result.missing_class = ("data",), {"third": "signal"}
    entry = plain(run_metrics(evaluation_spec(config), result, {}))["guards"]["class_priors"]
    assert entry["alternative"]["odds_ratio"] == pytest.approx((0.1 / 0.9) / (0.05 / 0.95))
    assert entry["data"] == {"value": None, "odds_ratio": None, "why": "the classes of its events are unknown"}
    assert entry["third"]["why"] == "it has no signal events"
    (message,) = warnings(config, result)
    assert "signal is 10 % of the yield in alternative and 5 % in simulation. data uses both classes" in message
    assert "No model here uses both classes" in warnings(load_config(path), result)[0]
    assert warnings(config, numbers({"simulation": (0.05, 0.001), "alternative": (0.06, 0.002)})) == []


def test_a_share_of_signal_below_zero_has_no_odds(path):
    entry = run_metrics(evaluation_spec(load_config(path)), numbers({"simulation": (-0.01, 0.1)}), {})["guards"][
        "class_priors"
    ]
    assert entry["simulation"]["odds_ratio"] is None and "no odds" in entry["simulation"]["why"]


def test_gradients_are_summed_up_by_thirds_of_the_measured_epochs(path):
    columns = {"gradient_cosine": [None, -0.9, -0.8, float("nan"), -0.1, 0.0, 0.4, 0.6]}
    result = gradient_summary([columns, {"gradient_cosine": [-0.3]}, {"class_loss": [1.0]}])
    assert result == {"first": pytest.approx((-0.85 - 0.3) / 2), "last": pytest.approx((0.5 - 0.3) / 2)}
    assert gradient_summary([{"class_loss": [1.0]}]) is None
    lines = warnings(load_config(path), numbers({"simulation": (0.1, 0.0)}), {"dann": [columns], "network": [{}]})
    assert len(lines) == 1 and lines[0].startswith("dann:") and "cosine -0.85" in lines[0]


def test_negative_bins_and_scores_that_shape_what_is_protected_are_told(path):
    def flat(cvm):
        return {"ht": {"background": Flatness("ht", "background", cvm, 1 / 1200, 0.05, 0.01, 1000.0)}}

    bins = {"third": {"background": BinContents("background", 9, 1, 2, 0.0)}}
    result = numbers({"simulation": (0.1, 0.0)}, dann=ModelNumbers(flatness=flat(0.004), bins=bins))
    result.models["network"].flatness = flat(0.003)
    lines = warnings(load_config(path), result)
    assert lines[0] == "dann: of 9 bins of the score, the background of third has 1 empty and 2 negative."
    assert "dann: the score of background depends more on ht (CvM 0.0040) than that of network (0.0030)" in lines[1]
    result.models["network"].flatness = flat(0.0039)
    assert len(warnings(load_config(path), result)) == 1


def test_importance_is_told_by_input(path):
    result = numbers({"simulation": (0.1, 0.0)})
    result.importance = {
        "alternative": FeatureImportance(("ht", "met"), np.array([0.02, 0.01]), np.array([0.003, 0.002]), 0.57),
        "third": "too few",
    }
    entry = plain(run_metrics(evaluation_spec(load_config(path)), result, {}))["guards"]["importance"]
    assert entry["simulation:alternative"]["ht"] == {"value": 0.02, "error": 0.003}
    assert entry["simulation:third"] == {"value": None, "why": "too few"}


@pytest.mark.parametrize(("left", "warned"), [(0.60, True), (0.79, False)])
def test_inputs_that_carry_domains_and_classes_alike_are_told(path, left, warned):
    def near(*values):
        return tuple(Interval(value, value - 0.005, value + 0.005) for value in values)

    result = numbers({"simulation": (0.1, 0.0)})
    out = InputRemoval(("ht", "met"), (0, 1, 2), near(0.60, 0.58, 0.54), near(0.80, 0.75, left))
    result.removal = {"alternative": out, "third": "too few"}
    guards = plain(run_metrics(evaluation_spec(load_config(path)), result, {}))["guards"]
    entry = guards["removal"]["simulation:alternative"]
    assert entry["inputs"] == ["ht", "met"] and list(entry["without"]) == ["0", "1", "2"]
    assert entry["without"]["2"]["domains"]["value"] == 0.54 and entry["without"]["1"]["classes"]["value"] == 0.75
    assert guards["removal"]["simulation:third"] == {"inputs": [], "without": None, "why": "too few"}
    lines = [text for text in guards["warnings"] if "the same inputs carry both" in text]
    assert len(lines) == warned and all("from 0.600 to 0.540" in text for text in lines)


def test_what_a_model_is_trained_on_and_adapted_to(path):
    config = load_config(path, [OTHER, ALL, OFF])
    spec = evaluation_spec(config)
    models = spec.models
    assert models["network"].trained_on == ("simulation",) and models["other"].trained_on == ("alternative",)
    assert {name: model.adapted_to for name, model in models.items()} == {
        "network": (), "dann": ("alternative",), "bdt": (), "other": (), "data": ("data",), "off": (),
    }  # fmt: skip
    assert spec.domains.held_out == ("third",)
    assert spec.baseline == "network"


def test_training_bias_stands_apart_from_evaluation_shift(path):
    """A model of each domain, tested on both: AUC by the arrays, differences paired, the adapted model left out."""
    config = load_config(path, [OTHER, "evaluation.blind=null", "evaluation.probes=false"])
    table = load_table(dataset_spec(config)).table
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 1, len(table))
    scores = {
        m: 1 / (1 + np.exp(-(k * table.label + noise))) for m, k in (("network", 1.0), ("dann", 0.7), ("other", 0.9))
    }
    result = evaluate(EvaluationInput(evaluation_spec(config), table, scores, {}), 1, lambda *_: None)
    entry = plain(run_metrics(evaluation_spec(config), result, {}))["training_bias"]
    assert {m: e["trained_on"] for m, e in entry["models"].items()} == {"network": "simulation", "other": "alternative"}
    mask = table.of_domain("alternative")
    both = {m: auc(scores[m][mask], table.label[mask], table.weight[mask]) for m in ("network", "other")}
    tested = entry["models"]["other"]["tested_on"]["alternative"]
    assert tested["auc"]["value"] == both["other"]
    assert tested["auc_difference"]["value"] == pytest.approx(both["other"] - both["network"])
    widths = [tested[key]["high"] - tested[key]["low"] for key in ("auc_difference", "auc")]
    assert widths[0] < 0.5 * widths[1]  # paired: the noise is the same
    assert 0 < tested["background_efficiency"]["value"] < 0.3
    assert entry["models"]["network"]["tested_on"]["simulation"]["auc_difference"] == {"value": 0.0}
    one = load_config(path, ["evaluation.probes=false"])
    assert "training_bias" not in run_metrics(evaluation_spec(one), result, {})


def test_probes_of_each_class_and_kind_are_asked_and_drawn(path):
    config = load_config(path, ["evaluation.blind=null", "evaluation.bootstrap=4", BETWEEN])
    table = load_table(dataset_spec(config)).table
    shifted = np.where(table.of_domain("alternative") & (table.label == 0), 1.5, 0.0)
    score = 1 / (1 + np.exp(-(table.label + shifted + np.random.default_rng(0).normal(0, 1, len(table)))))
    result = evaluate(EvaluationInput(evaluation_spec(config), table, {"network": score}, {}), 1, lambda *_: None)
    probes = result.models["network"].probes
    assert set(probes["alternative"]) == {"background", "signal"} and set(probes["third"]) == {"background"}
    values = {(name, p.kind): p.auc for name, ps in probes["alternative"].items() for p in ps}
    assert set(values) == {(c, k) for c in ("background", "signal") for k in ("bdt", "mlp")}
    assert all(values["background", kind].low > 0.6 for kind in ("bdt", "mlp"))
    assert all(values["signal", kind].value < 0.6 for kind in ("bdt", "mlp"))
    assert {p.representation for p in result.inputs["third"]["background"]} == {"inputs"}
    assert set(result.importance["alternative"].names) == set(table.names)
    out = result.removal["alternative"]
    assert out.names == result.importance["alternative"].names[:5] and out.counts == (0, 1, 3, 5)
    data = FigureData(evaluation_spec(config), appearance(config), table, {"network": score}, result, {}, {})
    (drawn,) = [d for d in figures.drawings(data) if d.name == "importance"]
    assert drawn.draw().axes
