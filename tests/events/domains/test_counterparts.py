"""Which processes of two domains are the same, and that only those are compared."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from hepda.config import AnalysisConfig, load_config, validate
from hepda.events import steps
from hepda.events.check import check_events
from hepda.events.check_text import lines
from hepda.events.dataset.load import load_table
from hepda.events.domains.counterparts import composition_lines
from hepda.events.fit.regions import Outputs
from hepda.events.fit.templates import ScoredEvents
from hepda.events.resolve import appearance, dataset_spec, domains_of, evaluation_spec, systematics_spec
from hepda.events.results import to_json
from hepda.events.results.evaluate import EvaluationInput, evaluate
from hepda.events.results.figure_data import FigureData
from hepda.events.results.figures import scores
from hepda.events.results.tables import processes_table
from hepda.results.events import EventMetrics
from hepda.runtime.run_directory import plain
from tests.factory import analysis, write_analysis

OVERRIDES = ("features=[ht, met]", "plots={}", "evaluation.probes=false", "evaluation.bootstrap=4", "luminosity=0.5")


def config_of(source, other, stitched=None, domain="alternative"):
    """Backgrounds of two domains, each a name or a pair of a name and its process."""

    def section(domain, entry):
        name, process = entry if isinstance(entry, tuple) else (entry, None)
        content = {"files": "x.root", "class": "background", "domain": domain}
        return name, content | ({"process": process} if process else {})

    samples = {"ttH": {"files": "x.root", "class": "signal", "domain": "simulation"}}
    samples |= dict(section("simulation", entry) for entry in source)
    samples |= dict(section(domain, entry) for entry in other)
    bias = {"between": ["simulation", domain]}
    models = {"network": {"kind": "network"}}
    more = {"stitched": stitched} if stitched else {}
    return validate(analysis(samples=samples, models=models, plots={}, evaluation={"bias": bias}, **more), "test")


def lines_of(config):
    domains = domains_of(config)
    return composition_lines(domains.nominal, domains.composition)


@pytest.mark.parametrize(
    ("source", "other", "compared", "excluded"),
    [
        (["background"], ["third"], [("background", "third")], ([], [])),
        (["ttjets", "wjets"], ["ttjets_alt"], [("ttjets", "ttjets_alt")], (["wjets"], [])),
        (["background", "wjets"], ["background_alt"], [("background", "background_alt")], (["wjets"], [])),
        (["bkg_tt", "bkg_w"], ["bkg_tt_alt"], [("bkg_tt", "bkg_tt_alt")], (["bkg_w"], [])),
        (["powheg_tt", "powheg_w"], ["herwig_tt"], [("powheg_tt", "herwig_tt")], (["powheg_w"], [])),
        (["tt_bb", "tt_light", "w"], ["tt_bb_alt"], [("tt_bb", "tt_bb_alt")], (["tt_light", "w"], [])),
        (["tt_semi", "tt_dilep"], ["tt_alt"], [("tt_semi", "tt_alt"), ("tt_dilep", "tt_alt")], ([], [])),
        (["tt", "w"], ["tt_a", "w_a", "z_a"], [("tt", "tt_a"), ("w", "w_a")], ([], ["z_a"])),
        (["tt"], ["herwig_0", "herwig_1"], [("tt", "herwig_0"), ("tt", "herwig_1")], ([], [])),
        ([("a", "tt"), ("b", "w")], [("c", "tt")], [("a", "c")], (["b"], [])),
        (["tt", "w"], [("herwig", "tt")], [("tt", "herwig")], (["w"], [])),
        ([("tt_x", "tt"), ("tt_y", "ttbb")], [("tt_z", "ttbb")], [("tt_y", "tt_z")], (["tt_x"], [])),
    ],
)
def test_processes_are_declared_or_follow_from_the_names(source, other, compared, excluded):
    result = domains_of(config_of(source, other)).counterparts_of("alternative", "background")
    pairs = [(a, b) for ours, theirs in result.processes.values() for a in ours for b in theirs]
    assert sorted(pairs) == sorted(compared) and result.why is None
    assert (list(result.source_excluded), list(result.other_excluded)) == excluded


def test_stitched_samples_are_one_process():
    stitched = {"wjets": {"w0": "True", "w1": "LHE == 1"}}
    result = domains_of(config_of(["w0", "w1", "tt"], ["wjets_alt"], stitched)).counterparts_of(
        "alternative", "background"
    )
    assert result.processes == {"wjets": (("w0", "w1"), ("wjets_alt",))} and result.source_excluded == ("tt",)


@pytest.mark.parametrize("other", [["herwig"], [("herwig", "z")]])
def test_what_no_name_tells_is_not_compared(other):
    config = config_of(["tt", "w"], other)
    why = domains_of(config).unknown_composition["alternative"]
    assert "give the samples of one process the same `process`" in why
    assert lines_of(config) == [f"simulation against alternative: {why}"]


# --- the same events under the names of two generators ------------------------------------------------------------


def samples(**more):
    base = analysis()["samples"]
    return {
        "signal": base["signal"], "tt": base["background"] | {"files": "background.root"},
        "w": {"files": "third.root", "class": "background", "domain": "simulation"},
        "tt_alt": {"files": "background.root", "class": "background", "domain": "alternative"}, **more,
    }  # fmt: skip


def judged(folder, **more):
    """tt and tt_alt are the same events, and w, of the source alone, is quite different."""
    bias = {"between": ["simulation", "alternative"]}
    models = {name: {"kind": "bdt", "iterations": 5} for name in ("one", "two")}
    path = write_analysis(folder, n=700, samples=samples(**more), models=models, evaluation={"bias": bias})
    config = load_config(path, OVERRIDES)
    table = load_table(dataset_spec(config)).table
    rng = np.random.default_rng(0).normal(size=1000)[table.key % np.uint64(1000)]  # equal events have equal scores
    score = table.features[:, 0] / 400 - 1.5 + 0.5 * rng - 0.6 * table.of_samples(["w"])
    scores = {"one": 1 / (1 + np.exp(-score)), "two": 1 / (1 + np.exp(-0.5 * score + 0.4 * rng))}
    return Evaluated(evaluation_spec(config), table, scores, config=config)


@dataclass(frozen=True, slots=True)
class Evaluated(EvaluationInput):
    """The input of an evaluation, and the analysis that it is made of."""

    config: AnalysisConfig | None = None


def silent(what, done, total):
    pass


@pytest.fixture(scope="module")
def same(tmp_path_factory):
    asked = judged(tmp_path_factory.mktemp("same"))
    return asked, evaluate(asked, 1, silent)


def test_two_generators_that_are_the_same_events_show_no_shift(same):
    asked, numbers = same
    for model in ("one", "two"):
        result = plain(to_json.model_metrics(asked.spec, numbers, model, {"seconds": 1.0}))
        bias = result["bias"]["simulation:alternative"]
        assert bias["ks"] == pytest.approx(0, abs=1e-12) and bias["p_value"] == 1.0
        assert bias["n_eff"]["source"] == pytest.approx(bias["n_eff"]["other"])
        assert all(shift == pytest.approx(0, abs=1e-12) for shift in bias["efficiency_shift"].values())
        assert result["significance"]["asimov_with_bias"] == pytest.approx(
            result["significance"]["asimov_with_uncertainty"], abs=1e-9
        )
        assert numbers.models[model].scan.bias == pytest.approx(0, abs=1e-9)
    (ratio, *_) = numbers.models["two"].ratios["alternative"]
    assert ratio.adapted.value == pytest.approx(0, abs=1e-12)
    assert ratio.baseline.value == pytest.approx(0, abs=1e-12)


def test_with_all_backgrounds_compared_as_one_there_would_be_a_shift(same):
    """The guard of the test above: the difference of composition is large."""
    asked, _ = same
    one_process = asked.config.model_copy(update={"samples": {
        name: s.model_copy(update={"process": "all" if s.class_ == "background" else None})
        for name, s in asked.config.samples.items()
    }})  # fmt: skip
    numbers = evaluate(replace(asked, spec=evaluation_spec(one_process)), 1, silent)
    bias = numbers.models["one"].bias["alternative"]
    assert bias.p_value < 0.01 and bias.efficiency_shift[0].shift > 0.1


def test_what_has_no_counterpart_is_told(same):
    asked, _ = same
    (line,) = lines_of(asked.config)
    assert "w of simulation has no counterpart in alternative" in line and "tt with tt_alt" in line
    result = steps.processes_metrics(asked.spec.domains)["processes"]["simulation:alternative"]["background"]
    assert result == {
        "compared": {"tt": {"source": ["tt"], "other": ["tt_alt"]}},
        "without_counterpart": {"source": ["w"], "other": []},
    }
    (row,) = processes_table(EventMetrics.from_json(steps.processes_metrics(asked.spec.domains))).rows
    assert [cell.text for cell in row] == ["simulation against alternative", "background", "tt with tt_alt", "w", ""]
    page = "\n".join(lines("small", 0.5, check_events(asked.config, silent)))
    assert "w of simulation has no counterpart" in page


def test_figures_and_fits_take_the_same_processes(same):
    asked, numbers = same
    data = FigureData(asked.spec, appearance(asked.config), asked.table, asked.scores, numbers, {}, {})
    shown = {drawing.name: drawing for drawing in scores.score_drawings(data)}
    assert shown["score_one"].caption.startswith("Without w.")
    (other,) = data.others(asked.scores["one"])
    total = sum(sample.weights.sum() for sample in data.stack(asked.scores["one"]))
    assert other.weights.sum() == pytest.approx(total) and "without counterpart" in other.name
    region = ScoredEvents(
        asked.spec.domains, systematics_spec(asked.config), asked.table, Outputs("one", asked.scores["one"], {}), {}, {}
    ).input()
    templates = sum(sample.sumw for sample in region.templates.channels[0].samples if not sample.signal)
    assert region.domains["alternative"].background[0] == pytest.approx(templates)


def test_a_second_generator_varies_the_process_that_it_has(tmp_path):
    systematics = {"generator": {"kind": "two_point", "domain": "alternative"}}
    asked = judged(tmp_path, signal_alt=analysis()["samples"]["signal"] | {"domain": "alternative"})
    config = asked.config.model_copy(update={
        "systematics": validate(analysis(samples=samples(), models={"b": {"kind": "bdt"}}, plots={}, evaluation={},
                                         systematics={"generator": {**systematics["generator"], "samples": ["tt"]}}),
                                "test").systematics
    })  # fmt: skip
    region = ScoredEvents(
        asked.spec.domains, systematics_spec(config), asked.table, Outputs("one", asked.scores["one"], {}), {}, {}
    ).input()
    result = {sample.name: sample for sample in region.templates.channels[0].samples}
    assert "generator" in result["tt"].shapes and "generator" not in result["w"].shapes
    up, _ = result["tt"].shapes["generator"]
    assert up == pytest.approx(result["tt"].sumw)  # it is the same generator


def test_with_a_counterpart_for_everything_no_event_is_left_out(tmp_path):
    more = {"w_alt": {"files": "third.root", "class": "background", "domain": "alternative"}}
    asked = judged(tmp_path, **more)
    complete = evaluate(asked, 1, silent)
    assert lines_of(asked.config) == []
    declared = asked.config.model_copy(update={"samples": {
        name: s.model_copy(update={"process": s.class_}) for name, s in asked.config.samples.items()
    }})  # fmt: skip
    total = evaluate(replace(asked, spec=evaluation_spec(declared)), 1, silent)
    for model in ("one", "two"):
        first, second = (
            plain(to_json.model_metrics(asked.spec, numbers, model, {"seconds": 1.0})) for numbers in (complete, total)
        )
        parts = first.pop("decomposition")["simulation:alternative"]  # of two processes, which are one in the other
        assert len(parts["shares"]) == 2
        assert first == second


def in_classes(other, source=(("ttb", "ttb"), ("ttc", "ttc"), ("rest", "ttlight"))):
    """Backgrounds of several classes in two domains: pairs of a sample and its class."""

    def section(domain, name, of):
        return name, {"files": "x.root", "class": of, "domain": domain}

    samples = {"ttH": {"files": "x.root", "class": "ttH", "domain": "simulation"}}
    samples |= dict(section("simulation", *pair) for pair in source)
    samples |= dict(section("alternative", *pair) for pair in other)
    models = {"network": {"kind": "network"}}
    bias = {"bias": {"between": ["simulation", "alternative"]}}
    config = validate(analysis(samples=samples, signal="ttH", models=models, plots={}, evaluation=bias), "test")
    return domains_of(config).counterparts_of("alternative", "background")


def test_processes_are_matched_within_their_class():
    """Names alone would make `rest_of_ttb` the partner of `rest`; its class is another one."""
    found = in_classes([("rest_of_ttb", "ttb"), ("powheg_c", "ttc"), ("other", "ttlight")])
    assert found.processes == {
        "ttb": (("ttb",), ("rest_of_ttb",)), "ttc": (("ttc",), ("powheg_c",)), "rest": (("rest",), ("other",)),
    }  # fmt: skip
    assert found.excluded == () and found.why is None


def test_a_class_that_the_other_domain_lacks_is_left_out():
    found = in_classes([("ttb_alt", "ttb"), ("ttc_alt", "ttc")])
    assert set(found.processes) == {"ttb", "ttc"} and found.source_excluded == ("rest",)
