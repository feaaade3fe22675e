"""Numbers and figures of scores that the test makes: blinded data, domains without a class, closed forms."""

import json
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import yaml

from hepda.config import AnalysisConfig, load_config, validate
from hepda.evaluation.expected import Counting, scan_cuts
from hepda.evaluation.roc import auc
from hepda.events import steps
from hepda.events.dataset.load import load_table
from hepda.events.dataset.splits import part_of
from hepda.events.domains.blinding import BLINDED, uncontrolled
from hepda.events.domains.roles import missing_class
from hepda.events.resolve import appearance, dataset_spec, domains_of, evaluation_spec, model_spec
from hepda.events.results import figures, to_json
from hepda.events.results.evaluate import EvaluationInput, evaluate
from hepda.events.results.figure_data import FigureData
from hepda.events.results.figures import inputs
from hepda.events.results.per_model import CUT_PARTS, _changed, input_importance
from hepda.events.results.per_run import run_metrics
from hepda.events.training.model_description import setup_of
from hepda.plotting.scores import features
from hepda.plotting.scores.features import feature_figure
from hepda.runtime.run_directory import plain
from tests.factory import analysis, write_analysis

OVERRIDES = ("features=[ht, met]", "plots={}", "evaluation.probes=false", "evaluation.bootstrap=2", "luminosity=0.5")
DOMAIN = {"source": ["background"], "target": ["background_alt"]}
TRAINING = {"seconds": 1.0, "rows_per_second": 1.0, "epochs": 1.0, "trainings": 1}


@dataclass(frozen=True, slots=True)
class Evaluated(EvaluationInput):
    """The input of an evaluation, and the analysis that it is made of."""

    config: AnalysisConfig | None = None


def silent(what, done, total):
    pass


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    path = write_analysis(tmp_path_factory.mktemp("numbers"), n=400)
    return path, load_table(dataset_spec(load_config(path, OVERRIDES))).table


def judged(loaded, *overrides):
    """Two models with scores that know something of the class."""
    path, table = loaded
    rng = np.random.default_rng(3)
    scores = {model: 1 / (1 + np.exp(-(0.8 * table.label + rng.normal(0, 1, len(table))))) for model in ("one", "two")}
    config = load_config(path, [*OVERRIDES, *overrides])
    return Evaluated(evaluation_spec(config), table, scores, config=config)


def model_metrics(asked, numbers, model="one"):
    return plain(to_json.model_metrics(asked.spec, numbers, model, TRAINING))


@pytest.fixture(scope="module")
def blind(loaded):
    asked = judged(loaded, "evaluation.blind=score > 0.7")
    return asked, evaluate(asked, 1, silent)


@pytest.fixture(scope="module")
def shown(loaded):
    asked = judged(loaded, "evaluation.blind=null")
    return asked, evaluate(asked, 1, silent)


def scene(asked, numbers):
    return FigureData(asked.spec, appearance(asked.config), asked.table, asked.scores, numbers, {}, {})


def test_which_class_a_domain_lacks(loaded):
    table = loaded[1]
    assert [missing_class(table, name) for name in table.domain_names] == [None, None, "signal", None]


def test_without_blinding_data_are_compared(shown):
    asked, numbers = shown
    result = model_metrics(asked, numbers)
    assert result["bias"]["simulation:data"]["class"] == "all" and result["bias"]["simulation:data"]["ks"] > 0
    assert numbers.excluded == {} and numbers.unlabelled == ("data",)


def test_of_blinded_data_nothing_is_measured_and_the_reason_is_given(blind, shown):
    asked, numbers = blind
    result, other = model_metrics(asked, numbers), model_metrics(*shown)
    entry, same = result["bias"]["simulation:data"], other["bias"]["simulation:data"]
    values = [v for k, v in entry.items() if k != "why" and not isinstance(v, dict)]
    assert entry["why"] == BLINDED and set(values) == {None}
    assert set(same) - {"why", "class", "n_eff", "p_value_is_upper_limit", "efficiency_shift_null"} <= set(entry)
    shifts = result["bias"]["simulation:data"]["efficiency_shift"]
    assert set(shifts) == set(other["bias"]["simulation:data"]["efficiency_shift"]) and set(shifts.values()) == {None}
    assert result["domain_auc"]["simulation:data"]["score"] is None
    assert result["auc"]["data"]["value"] is None
    # What is not of data is as it was.
    for name in ("alternative", "third"):
        assert result["bias"][f"simulation:{name}"] == other["bias"][f"simulation:{name}"]
    assert any("evaluation.blind" in note and "no number" in note for note in steps.notes(asked.config))


def test_data_are_hidden_until_the_config_says_otherwise(loaded):
    """Nothing is said of `blind`: data are hidden; null unblinds; and without data there is nothing to hide."""
    path = loaded[0]
    content = yaml.safe_load(path.read_text())
    del content["evaluation"]["blind"]
    silent_config = path.with_name("silent.yaml")
    silent_config.write_text(yaml.safe_dump(content))
    config = load_config(silent_config)
    assert domains_of(config).hidden == (np.nextafter(0.5, 1), np.inf) and any(
        "Data are blinded" in note for note in steps.notes(config)
    )
    assert domains_of(load_config(silent_config, ["evaluation.blind=null"])).hidden is None
    without = load_config(silent_config, ["samples.data=null", "evaluation.bias.between=[simulation, alternative]"])
    assert domains_of(without).hidden is None and steps.notes(without) == []


def warned(config):
    return uncontrolled(config.models, config.samples)


def test_a_domain_loss_that_sees_data_of_every_region_is_told(loaded):
    """PAPERS 1.9, C15: data of a control region against simulation, never of the signal region."""
    path, to_data = loaded[0], "models.dann.domain={source: [signal, background], target: [data], rows: all}"
    (message,) = warned(load_config(path, [to_data]))
    assert message.startswith("dann: ") and "signal region" in message and "`models.dann.domain.selection`" in message
    assert warned(load_config(path, [to_data, "models.dann.domain.selection=n_jets == 5"])) == []
    assert warned(load_config(path)) == []


def test_blinded_numbers_do_not_depend_on_the_data(loaded, blind):
    asked, numbers = blind
    of_data = asked.table.of_domain("data")
    scores = {name: np.where(of_data, 0.99, score) for name, score in asked.scores.items()}
    other = evaluate(replace(asked, scores=scores), 1, silent)
    for model in scores:
        assert json.dumps(model_metrics(asked, other, model)) == json.dumps(model_metrics(asked, numbers, model))


def points(figure):
    """All points with errors that are drawn as data: x and y of the containers that are called so."""
    return [
        line.get_xydata()
        for axes in figure.axes
        for line in axes.lines
        if str(line.get_marker()) in ("o", ".") and str(line.get_color()) in ("black", "k", "#000000")
    ]


def test_no_figure_shows_what_is_blinded(blind, shown):
    named = {d.name: d for d in figures.drawings(scene(*blind))}
    open_ = {d.name: d for d in figures.drawings(scene(*shown))}
    for name in ("features_overview", "feature_ht", "feature_met"):
        assert points(open_[name].draw()), "data are not told from the rest: the test would see nothing"
        assert not points(named[name].draw()), name
    drawn, seen = points(named["score_stack_one"].draw()), points(open_["score_stack_one"].draw())
    assert drawn and max(xy[:, 0][np.isfinite(xy[:, 1])].max(initial=0) for xy in drawn) < 0.7
    assert max(xy[:, 0].max() for xy in seen) > 0.7
    assert not any("data" in name for name in named)


def test_titles_hold_no_mathematics_that_a_page_cannot_set(loaded, shown):
    asked = judged(loaded, "evaluation.blind=null", "plots={ht: {label: $H_T$, unit: GeV}, met: {label: Missing}}")
    titles = {d.name: d.title for d in inputs.input_drawings(scene(asked, shown[1]))}
    assert titles == {
        "features_overview": "All inputs", "input_separations": "Signal and background of all inputs",
        "input_correlations": "Correlations of the inputs", "feature_ht": "ht", "feature_met": "Missing",
    }  # fmt: skip


def test_figures_write_the_luminosity_as_the_config_says(loaded, shown):
    number = scene(judged(loaded), shown[1]).label()
    text = scene(judged(loaded, "luminosity_label=45 nb$^{-1}$"), shown[1]).label()
    assert number.right.startswith("√s = 13 TeV, ") and "fb" in number.right
    assert text.right == "√s = 13 TeV, 45 nb$^{-1}$"


def test_figures_write_experiment_and_energy_as_the_config_says(loaded, shown):
    asked = judged(loaded, "experiment_label=CMS Private Work", "energy=13.6", "samples.data.label=Data 2018")
    label = scene(asked, shown[1]).label("cut", data=True)
    assert (label.status, label.note) == ("CMS Private Work", "Data, cut")
    assert label.right.startswith("√s = 13.6 TeV, ")
    assert scene(asked, shown[1]).label().note == "Simulation"


@pytest.mark.parametrize(("of_data", "kind"), [("Data 2018", "Data"), ("pseudo-data", "Pseudo-data")])
def test_data_are_called_pseudo_data_where_they_are(loaded, shown, of_data, kind):
    asked = judged(loaded, f"samples.data.label={of_data}")
    assert scene(asked, shown[1]).label(data=True).status == kind
    assert scene(asked, shown[1]).label().status == "Simulation"


def test_a_scaled_signal_says_its_whole_factor(loaded, shown):
    run = scene(judged(loaded, "samples.signal.scale=30"), shown[1])
    stack = run.stack(np.ones(len(run.table.weight)))
    assert [sample.scale for sample in stack if sample.signal] == [30]
    filled = features.fill(features.Feature("x", "x", stack))
    texts = feature_figure(filled).axes[0].get_legend_handles_labels()[1]
    name = next(sample.name for sample in stack if sample.signal)
    assert f"{name} × 30" in texts
    assert all(int(text.partition("× ")[2]) % 30 == 0 for text in texts if text.startswith(f"{name} ×"))


def test_no_figure_depends_on_data_that_are_blinded(blind, loaded):
    asked, numbers = blind
    of_data = asked.table.of_domain("data")
    shifted = {name: np.where(of_data & (s > 0.7), 0.99, s) for name, s in asked.scores.items()}
    before = figures.drawings(scene(asked, numbers))
    two = figures.drawings(scene(replace(asked, scores=shifted), numbers))
    for a, b in zip(before, two, strict=True):
        if a.name.startswith("score"):
            first, second = a.draw(), b.draw()
            for left, right in zip(first.axes, second.axes, strict=True):
                assert left.get_ylim() == right.get_ylim() and len(left.lines) == len(right.lines)
                for x, y in zip(left.lines, right.lines, strict=True):
                    np.testing.assert_array_equal(x.get_xydata(), y.get_xydata())


def test_a_domain_with_background_alone_has_no_auc_but_a_bias_and_figures(shown):
    asked, numbers = shown
    result = model_metrics(asked, numbers)
    assert result["auc"]["third"] == {"value": None, "low": None, "high": None, "why": "it has no signal events"}
    assert result["bias"]["simulation:third"]["class"] == "background"
    figure_data = scene(asked, numbers)
    assert figure_data.compared_domains == ["alternative", "third"]
    # Data are the domain without classes, whatever other domains lack.
    assert len(figure_data.data(asked.scores["one"]).values) == asked.table.of_domain("data").sum()
    names = [d.name for d in figures.drawings(figure_data)]
    assert "efficiency_shift_third" in names and "roc_third" not in names


def test_a_domain_without_the_compared_class_is_not_compared(loaded):
    asked = judged(loaded, "evaluation.bias={class: signal, between: [simulation, alternative]}")
    numbers = evaluate(asked, 1, silent)
    result = model_metrics(asked, numbers)
    assert result["bias"]["simulation:third"]["ks"] is None
    assert result["bias"]["simulation:third"]["why"] == "it has no signal events to compare"
    assert result["bias"]["simulation:alternative"]["class"] == "signal"
    assert figures.drawings(scene(asked, numbers))


def test_auc_and_efficiency_shift_are_those_of_the_arrays(shown):
    asked, numbers = shown
    table, score = asked.table, asked.scores["two"]
    mask = table.of_domain("alternative")
    expected = auc(score[mask], table.label[mask], table.weight[mask])
    assert numbers.auc("two", "alternative").value == expected
    shift = next(s for s in numbers.models["two"].bias["third"].efficiency_shift if s.signal_efficiency == 0.5)

    def kept(domain, label):
        of = table.of_domain(domain) & (table.label == label)
        return table.weight[of & (score >= shift.cut)].sum() / table.weight[of].sum()

    assert kept("simulation", 1) == pytest.approx(0.5, abs=0.02)
    assert shift.shift == pytest.approx(kept("third", 0) / kept("simulation", 0) - 1, rel=1e-9)


def test_between_decides_what_is_compared(loaded):
    asked = judged(loaded, "evaluation.bias.between=[simulation, third]", "evaluation.blind=null")
    assert asked.others == ["third"]
    numbers = evaluate(asked, 1, silent)
    result = model_metrics(asked, numbers, "two")
    assert result["bias"]["simulation:third"]["ks"] > 0
    for name in ("alternative", "data"):
        entry = result["bias"][f"simulation:{name}"]
        assert entry["ks"] is None and entry["why"] == "`evaluation.bias.between` does not name it"
        assert name not in numbers.models["two"].tests and name not in numbers.models["two"].ratios
    assert result["auc"]["alternative"]["value"] is not None
    named = [d.name for d in figures.drawings(scene(asked, numbers))]
    assert "efficiency_shift_third" in named and "efficiency_shift_alternative" not in named
    assert judged(loaded, "evaluation.bias=null", "evaluation.blind=null").others == ["alternative", "third", "data"]


def test_each_class_is_tested_and_each_statistic_has_p_value_and_null(shown):
    result = model_metrics(*shown)["tests"]
    assert {pair: set(by_class) for pair, by_class in result.items()} == {
        "simulation:alternative": {"background", "signal"},
        "simulation:third": {"background"},
        "simulation:data": {"all"},
    }
    for name in ("ks", "wasserstein", "energy", "chi2", "jensen_shannon"):
        entry = result["simulation:alternative"]["signal"][name]
        assert 0 < entry["p_value"] <= 1 and entry["null"] > 0 and entry["value"] >= 0
    assert (
        result["simulation:third"]["background"]["ks"]["value"]
        == model_metrics(*shown)["bias"]["simulation:third"]["ks"]
    )


def test_no_event_chooses_the_cut_that_it_is_counted_at(shown):
    """The cut of each part of the hash is the best of the others; the value has an interval."""
    asked, numbers = shown
    table, score = asked.table, asked.scores["two"]
    best = numbers.models["two"].scan.best
    assert best.value is not None and numbers.models["two"].bias_from == "third"  # the one that no training sees
    inner = table.of_domain("simulation") & (table.label >= 0)
    part = part_of(table.key, CUT_PARTS)
    experiment = Counting(score[inner], table.label[inner], table.weight[inner], 0.1)
    again = scan_cuts(experiment, groups=part[inner], seed=asked.spec.seed).best
    assert (best.value, best.signal, best.cut) == pytest.approx((again.value, again.signal, again.cut))
    assert best.value < scan_cuts(experiment).best.value  # where every event chooses
    result = model_metrics(asked, numbers, "two")["significance"]
    for name in ("asimov", "asimov_with_uncertainty", "asimov_with_bias"):
        low, high = (result[f"{name}_interval"][end] for end in ("low", "high"))
        assert low <= result[name] <= high and result[f"{name}_error"] == pytest.approx(0.5 * (high - low))


def test_working_points_calibration_and_bins_are_told_by_domain(shown):
    asked, numbers = shown
    table, score = asked.table, asked.scores["two"]
    result = model_metrics(asked, numbers, "two")
    assert set(result["calibration"]) == set(result["bins"]) == {"simulation", "alternative"}
    assert result["bins"]["simulation"]["background"]["negative"] == 0
    points = result["working_points"]["0.3"]
    assert points["simulation"]["signal_efficiency"] == pytest.approx(0.3, abs=0.02)
    signal = table.of_domain("simulation") & (table.label == 1)
    order = np.argsort(-score[signal])
    cut = score[signal][order][np.argmax(np.cumsum(table.weight[signal][order]) >= 0.3 * table.weight[signal].sum())]
    background = table.of_domain("alternative") & (table.label == 0)
    expected = table.weight[background & (score >= cut)].sum() / table.weight[background].sum()
    assert points["alternative"]["background_efficiency"] == pytest.approx(expected)
    assert points["alternative"]["rejection"] == pytest.approx(1 / expected)


def test_protected_variables_and_efficiencies_are_told(loaded):
    asked = judged(loaded, "evaluation.protected=[ht]", "evaluation.efficiency_against=[met]", "evaluation.blind=null")
    numbers = evaluate(asked, 1, silent)
    entry = model_metrics(asked, numbers)["flatness"]["ht"]
    assert set(entry) == {"signal", "background"}
    for result in entry.values():
        assert result["cvm"] is None and "fewer than two windows" in result["why"]  # 400 events are too few, and say so
    assert "efficiency_met" in [d.name for d in figures.drawings(scene(asked, numbers))]
    curve = numbers.models["one"].efficiency["met"]["signal"]
    assert np.nanmean(curve.efficiency) == pytest.approx(0.3, abs=0.1)


def remembering(shift, table, model, fold):
    """Scores as `judged` makes them, but for what a model remembers of the events that it saw."""
    assert fold == 0 and not np.any(table.fold == 0) and not np.any(table.validation)
    rng = np.random.default_rng(len(model))
    return 1 / (1 + np.exp(-((0.8 + shift) * table.label + rng.normal(0, 1, len(table)))))


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_training_events_are_scored_again_and_told_apart_from_those_that_were_not_seen(loaded, shift):
    path, table = loaded
    config = load_config(path, [*OVERRIDES, "evaluation.blind=null"])
    rng = np.random.default_rng(5)
    scores = {m: 1 / (1 + np.exp(-(0.8 * table.label + rng.normal(0, 1, len(table))))) for m in ("network", "bdt")}
    asked = Evaluated(evaluation_spec(config), table, scores, {}, partial(remembering, shift), config=config)
    numbers = evaluate(asked, 1, silent)
    result = model_metrics(asked, numbers, "network")["overtraining"]
    assert result["background"]["p_value"] > 0.02
    assert (result["signal"]["p_value"] < 0.02) == (shift > 0)
    warnings_of_run = run_metrics(evaluation_spec(config), numbers, {})["guards"]["warnings"]
    assert any("network: the score of signal differs in shape" in line for line in warnings_of_run) == (shift > 0)
    assert "overtraining_network" in [d.name for d in figures.drawings(scene(asked, numbers))]


def test_without_the_models_there_is_a_reason_for_the_missing_overtraining(shown):
    entry = model_metrics(*shown)["overtraining"]
    assert entry == {"ks": None, "p_value": None, "why": "the trained models were not available"}


def test_what_each_model_is_stands_in_words(loaded):
    models = {
        "network": {"kind": "network", "encoder": [8, 4], "ensemble": 3},
        "score": {"kind": "network", "domain": DOMAIN | {"input": "score", "tail": 0.3, "strength": 5.0}},
        "informed": {"kind": "network", "train_on": ["signal", "background", "signal_alt", "background_alt"],
                     "parameter": {"simulation": 0.0, "alternative": 1.0}},
        "trees": {"kind": "bdt", "reweight": DOMAIN},
    }  # fmt: skip
    asked = validate(analysis(models=models))
    result = {model: setup_of(model_spec(asked, model)) for model in models}
    assert result["network"] == {
        "kind": "network 8-4", "members": 3, "class_loss": ["signal", "background"], "adaptation": "",
    }  # fmt: skip
    assert result["score"]["adaptation"] == (
        "dann on score above the cut of 30 % signal efficiency: background against background_alt, background"
    )
    assert result["score"]["strength"] == 5.0 and "strength" not in result["trees"]
    assert result["informed"]["adaptation"] == "reads its domain (simulation 0, alternative 1), scored at 0"
    assert result["trees"]["adaptation"] == "background weighted as background_alt"


def rescored(table, model, fold, member=None):
    """A model that reads `ht` alone, with another slope in each fold."""
    return (1 + fold) * table.features[:, table.names.index("ht")]


def test_inputs_that_a_model_uses_are_measured_on_events_of_their_fold(loaded):
    evaluated = replace(judged(loaded, "models={one: {kind: bdt}, two: {kind: bdt}}"), rescore=rescored)
    result = input_importance(evaluated, "one")
    drops = dict(zip(result.names, result.drop, strict=True))
    assert result.names == ("ht", "met") and drops["met"] == 0.0 and drops["ht"] > 2 * result.error[0]
    table = evaluated.table
    inner = table.of_domain("simulation") & (table.label >= 0)
    assert result.events <= inner.sum()
    score = rescored(table, "one", 0) * (1 + table.fold)
    assert result.auc == pytest.approx(auc(score[inner], table.label[inner], table.weight[inner]), abs=0.03)
    entry = to_json.importance_of(result)
    assert list(entry["inputs"]) == ["ht", "met"] and entry["events"] == result.events
    assert input_importance(replace(evaluated, rescore=None), "one") == "the trained models were not available"


def test_a_collection_of_objects_is_one_input(loaded):
    evaluated = judged(loaded)
    jets = np.arange(2.0 * len(evaluated.table), dtype=np.float32).reshape(-1, 2)
    table = replace(evaluated.table, collections={"jets": jets.copy()})
    order = np.random.default_rng(0).permutation(len(table))
    changed = _changed(table, [("", order), ("jets", order), ("met", order)])
    first, second, third = np.split(np.arange(len(changed)), 3)
    np.testing.assert_array_equal(changed.features[first], table.features)
    np.testing.assert_array_equal(changed.features[second], table.features)
    np.testing.assert_array_equal(changed.collections["jets"][second], jets[order])
    np.testing.assert_array_equal(changed.collections["jets"][third], jets)
    np.testing.assert_array_equal(changed.features[third, 1], table.features[order, 1])
    np.testing.assert_array_equal(changed.features[third, 0], table.features[:, 0])
    np.testing.assert_array_equal(table.collections["jets"], jets)  # nothing of the events themselves is changed
