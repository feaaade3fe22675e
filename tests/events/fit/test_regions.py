"""Several regions: a free rate takes what a second generator has of another process; blinding; two-point sums."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hepda.config import AnalysisConfig, validate
from hepda.errors import ConfigError, DataError
from hepda.evaluation.fits.fitting import workspace
from hepda.events.dataset.regions import overlaps, unusable
from hepda.events.domains.blinding import BLINDED
from hepda.events.fit import fits, to_json
from hepda.events.fit.control import control_fit
from hepda.events.fit.inputs import FitInput
from hepda.events.fit.regions import Outputs, in_region, shared_edges
from hepda.events.fit.templates import NO_EVENTS, ScoredEvents
from hepda.events.resolve import dataset_spec, domains_of, fit_spec, systematics_spec
from hepda.events.table.feature_table import FeatureTable
from tests.factory import heard

# sample: class, domain, process, events, yield; the alternative has twice as much of the heavy process
SAMPLES: dict[str, tuple[str | None, str, str | None, int, float]] = {
    "signal": ("signal", "simulation", "signal", 4000, 200.0),
    "heavy": ("background", "simulation", "heavy", 6000, 1000.0),
    "light": ("background", "simulation", "light", 8000, 4000.0),
    "signal_alt": ("signal", "alternative", "signal", 4000, 200.0),
    "heavy_alt": ("background", "alternative", "heavy", 6000, 2000.0),
    "light_alt": ("background", "alternative", "light", 8000, 4000.0),
    "data": (None, "data", None, 5700, 5700.0),
}
IN_DATA = ("signal",) * 250 + ("heavy",) * 1400 + ("light",) * 4050
SCORES = {"signal": (5.0, 2.0), "heavy": (3.5, 2.0), "light": (1.5, 4.0)}
TAGS = {"signal": (0.1, 0.2, 0.7), "heavy": (0.1, 0.5, 0.4), "light": (0.7, 0.25, 0.05)}
REGIONS: dict[str, Any] = {
    "few": {"selection": "tags == 0", "role": "control", "variable": "ht", "bins": 4},
    "some": {"selection": "tags == 1", "role": "control", "bins": [0, 0.25, 0.5, 0.75, 1]},
    "many": {"selection": "tags == 2"},
}
FREE = {"heavy_rate": {"kind": "free", "samples": "heavy"}}
LIGHT = {"light_norm": {"kind": "norm", "value": 0.1, "samples": "light"}}


def analysis(regions: Mapping[str, Any] | None = None, **more: Any) -> AnalysisConfig:
    samples = {
        name: {"files": f"{name}.root", "domain": domain} | ({"class": class_, "process": process} if class_ else {})
        for name, (class_, domain, process, _, _) in SAMPLES.items()
    }
    base = {
        "name": "toy", "luminosity": 1.0, "samples": samples, "features": ["x"], "models": {"bdt": {"kind": "bdt"}},
        "evaluation": {"blind": None}, "fit": {"regions": REGIONS if regions is None else regions},
        "systematics": FREE | LIGHT,
    }  # fmt: skip
    return validate(base | more)


@pytest.fixture(scope="module")
def events() -> tuple[FeatureTable, np.ndarray]:
    """Events with the columns of the regions, and their scores; domains differ in yields alone."""
    rng = np.random.default_rng(3)
    columns: dict[str, list[np.ndarray]] = {}

    def add(**values: np.ndarray) -> None:
        for name, part in values.items():
            columns.setdefault(name, []).append(part)

    domains = tuple(dict.fromkeys(domain for _, domain, _, _, _ in SAMPLES.values()))
    labels = {"signal": 1, "background": 0, None: -1}
    for number, (class_, domain, process, n, total) in enumerate(SAMPLES.values()):
        parts = {process: n} if process else {p: IN_DATA.count(p) for p in SCORES}
        add(
            score=np.concatenate([rng.beta(*SCORES[p], k) for p, k in parts.items()]), weight=np.full(n, total / n),
            tags=np.concatenate([rng.choice(3, k, p=TAGS[p]) for p, k in parts.items()]),
            ht=rng.exponential(200.0, n), label=np.full(n, labels[class_]), sample=np.full(n, number),
            domain=np.full(n, domains.index(domain)),
        )  # fmt: skip
    values = {name: np.concatenate(parts) for name, parts in columns.items()}
    n = len(values["score"])
    of_regions = {f"region:{name}": (values["tags"] == i).astype(np.int8) for i, name in enumerate(REGIONS)}
    inside = values["tags"] == 0
    of_regions["variable:few"] = np.where(inside, values["ht"], np.nan)
    table = FeatureTable(
        features=np.zeros((n, 0), np.float32), names=(), weight=values["weight"], label=values["label"].astype(np.int8),
        domain=values["domain"].astype(np.int16), domain_names=domains, sample=values["sample"].astype(np.int16),
        sample_names=tuple(SAMPLES), fold=np.zeros(n, np.int8), validation=rng.random(n) < 0.3,
        key=np.arange(n, dtype=np.uint64), columns=of_regions,
    )  # fmt: skip
    return table, values["score"].astype(np.float32)


def input_of(config: AnalysisConfig, events: tuple[FeatureTable, np.ndarray]) -> FitInput:
    table, score = events
    outputs = Outputs("bdt", score, {"p_signal": score, "p_background": 1 - score}, ("signal", "background"))
    outputs = replace(outputs, signals=("signal",))
    scored = ScoredEvents(domains_of(config), systematics_spec(config), table, outputs, {}, {}, None, fit_spec(config))
    return scored.input()


@pytest.fixture(scope="module")
def fit_input(events: tuple[FeatureTable, np.ndarray]) -> FitInput:
    return input_of(analysis(), events)


def test_regions_have_their_variable_their_bins_and_their_events(
    events: tuple[FeatureTable, np.ndarray], fit_input: FitInput
) -> None:
    table, score = events
    few, some, many = fit_input.regions
    assert [region.spec.name for region in fit_input.regions] == list(REGIONS)
    assert some.channel.edges.tolist() == [0, 0.25, 0.5, 0.75, 1] and len(few.channel.edges) == 5
    ht = table.columns["variable:few"]
    for region, value in ((few, ht), (some, score), (many, score)):
        inside = table.columns[f"region:{region.spec.name}"] != 0
        inner = [-np.inf, *region.channel.edges[1:-1], np.inf]
        for sample in region.channel.samples:
            chosen = inside & table.of_samples([sample.name])
            by_hand = np.histogram(value[chosen].astype(float), inner, weights=table.weight[chosen])[0]
            assert sample.sumw == pytest.approx(by_hand, rel=1e-9)
    shares = few.channel.background / few.channel.background.sum()
    assert np.all(np.abs(shares - 0.25) < 0.05)  # a control region has bins of equal shares
    purity = many.channel.signal / many.channel.background
    assert np.all(np.diff(purity) > 0)  # a signal region has bins that rise in purity


def test_the_floor_is_one_on_the_templates_and_not_on_the_events_that_choose(
    events: tuple[FeatureTable, np.ndarray],
) -> None:
    floor = 120
    regions = {"few": {"selection": "tags == 0", "role": "control", "variable": "ht", "bins": 50, "min_n_eff": floor},
               "many": {"selection": "tags == 2", "bins": 50, "min_n_eff": floor}}  # fmt: skip
    table, _ = events
    for region in input_of(analysis(regions), events).regions:
        backgrounds = [sample for sample in region.channel.samples if not sample.signal]
        sumw = np.sum([sample.sumw for sample in backgrounds], axis=0)
        n_eff = sumw**2 / np.sum([sample.sumw2 for sample in backgrounds], axis=0)
        # Three standard deviations below it, of the 0.3 of the events that choose: sqrt(1 / (0.3 * 120)) is 0.17.
        assert n_eff.min() > 0.5 * floor
        inside = (table.columns[f"region:{region.spec.name}"] != 0) & (table.domain == 0) & (table.label == 0)
        weight = table.weight[inside & table.validation]
        most_bins_of_choosing = int(weight.sum() ** 2 / np.sum(weight**2) / floor)
        assert len(n_eff) > most_bins_of_choosing


def test_the_free_rate_takes_the_composition_that_one_rate_turns_into_a_bias(
    events: tuple[FeatureTable, np.ndarray], fit_input: FitInput
) -> None:
    """The alternative has twice the heavy process, which looks like the signal; nothing else differs."""
    one_rate = {"rate": {"kind": "norm", "value": 0.5, "samples": ["heavy", "light"]}}
    wrong = input_of(analysis({"all": {}}, systematics=one_rate), events)
    (entry,) = [e for e in fits.closure_of(wrong, fits.UNAWARE, toys=0, seed=1)["alternative"] if e.fit.truth == 1]
    assert entry.fit.mu - 1 > 3 * entry.fit.error
    (entry,) = [e for e in fits.closure_of(fit_input, fits.UNAWARE, toys=0, seed=1)["alternative"] if e.fit.truth == 1]
    assert abs(entry.fit.mu - 1) < 2 * entry.fit.sample_error + 0.02
    rate, error = entry.fit.rates["heavy_rate"]
    assert abs(rate - 2) < error < 0.3


@pytest.mark.slow
def test_pyhf_finds_the_same_strength_in_the_workspace(fit_input: FitInput) -> None:
    import pyhf

    main = fits.main_fit(fit_input, toys=0, seed=1)
    observed = main.observed
    assert not isinstance(observed, str) and observed.mu is not None
    spec = pyhf.Workspace(json.loads(json.dumps(workspace(fit_input.templates, observed.observed))))
    assert [channel["name"] for channel in spec["channels"]] == list(REGIONS)
    pyhf.set_backend("numpy", pyhf.optimize.scipy_optimizer(tolerance=1e-9))
    model = spec.model()
    best = pyhf.infer.mle.fit(spec.data(model), model)
    assert best[model.config.poi_index] == pytest.approx(observed.mu, abs=1e-3)
    assert best[model.config.par_slice("heavy_rate")][0] == pytest.approx(
        observed.parameter("heavy_rate").value, abs=1e-3
    )


@pytest.mark.slow
def test_a_validation_region_is_drawn_with_the_fit_of_the_others(events: tuple[FeatureTable, np.ndarray]) -> None:
    regions = REGIONS | {"some": REGIONS["some"] | {"role": "validation"}}
    validated = input_of(analysis(regions), events)
    assert [channel.name for channel in validated.templates.channels] == ["few", "many"]
    fewer = input_of(analysis({name: REGIONS[name] for name in ("few", "many")}), events)
    main, same = (fits.main_fit(i, toys=0, seed=1) for i in (validated, fewer))
    assert not isinstance(main.observed, str) and not isinstance(same.observed, str)
    assert main.observed.mu == same.observed.mu  # its data change nothing
    page = to_json.fitted_model(validated, main, {})
    some = page.regions["some"]
    assert some.role == "validation" and some.postfit is not None and some.observed is not None
    assert sum(some.observed) == np.sum((events[0].columns["region:some"] != 0) & events[0].of_samples(["data"]))
    rate = main.observed.parameter("heavy_rate").value
    assert some.postfit.yields["heavy"].value == pytest.approx(rate * some.prefit.yields["heavy"].value, rel=1e-6)


def test_signal_regions_are_blinded_and_control_regions_only_where_a_score_is_hidden(
    events: tuple[FeatureTable, np.ndarray],
) -> None:
    table, score = events
    low = (table.columns["region:few"] != 0) & table.of_samples(["data"])
    no_high_score = np.where(low, np.minimum(score, np.float32(0.5)), score)
    blinded = input_of(analysis(evaluation={"blind": "score > 0.5"}), (table, no_high_score))
    few, some, many = blinded.regions
    assert few.blinded == {} and few.domains["data"].observed.sum() == low.sum()
    assert some.blinded == many.blinded == {"data": BLINDED} and "data" not in some.domains
    assert blinded.excluded == {"data": BLINDED} and "data" not in blinded.domains
    page = to_json.fitted_model(blinded, fits.main_fit(blinded, toys=0, seed=1), {})
    assert page.observed.why == BLINDED and page.fitted_to == "Asimov data"
    assert page.regions["few"].observed is not None and page.regions["many"].observed is None
    assert page.regions["many"].observed_why == BLINDED
    # Fitted alone at mu = 1, the control region asks for the heavy process as the data have it, 1.4 times.
    assert page.control is not None and (page.control.domain, page.control.regions) == ("data", ["few"])
    rate, norm = page.control.parameters
    assert (rate.name, rate.kind, norm.name, norm.kind) == ("heavy_rate", "free", "light_norm", "systematic")
    expected = sum(s.sumw.sum() for s in few.channel.samples if s.name == "signal")
    expected += rate.value * sum(s.sumw.sum() for s in few.channel.samples if s.name == "heavy")
    expected += 1.1**norm.value * sum(s.sumw.sum() for s in few.channel.samples if s.name == "light")
    assert expected == pytest.approx(low.sum(), rel=0.01)
    hidden = input_of(analysis(evaluation={"blind": "score > 0.5"}), events)  # some of `few` are above
    assert all(region.blinded == {"data": BLINDED} for region in hidden.regions)
    assert control_fit(hidden) is None and control_fit(input_of(analysis(), events)) is None


def test_regions_by_the_largest_output_share_no_event(events: tuple[FeatureTable, np.ndarray]) -> None:
    table, score = events
    regions = {
        "like_signal": {"largest": "signal", "bins": 3},
        "like_background": {"largest": "background", "role": "control", "variable": "p_background", "bins": 3},
    }
    config = analysis(regions)
    by_class = input_of(config, events)
    for sample in ("signal", "heavy", "light"):
        contents = [s.sumw.sum() for r in by_class.regions for s in r.channel.samples if s.name == sample]
        assert sum(contents) == pytest.approx(SAMPLES[sample][4])
        chosen = table.of_samples([sample]) & (score > 0.5)
        assert contents[0] == pytest.approx(table.weight[chosen].sum(), rel=1e-3)
    assert not list(overlaps(dataset_spec(config), table))
    outputs = Outputs("trees", score, {})
    scored = ScoredEvents(domains_of(config), systematics_spec(config), table, outputs, {}, {}, None, fit_spec(config))
    with pytest.raises(ConfigError, match=r"like_signal\.largest: the model trees has no class 'signal', only a score"):
        scored.input()


def test_of_equal_outputs_the_first_class_is_the_largest() -> None:
    generator = np.random.default_rng(3)
    probability = generator.integers(0, 3, (3, 200)).astype(np.float32)
    names = ("a", "b", "c")
    further = {f"p_{name}": column for name, column in zip(names, probability, strict=True)}
    outputs = Outputs("m", probability[0], further, names, ("a",))
    largest = np.argmax(probability, axis=0)
    zeros = np.zeros(200, np.int16)
    table = FeatureTable(
        np.zeros((200, 0), np.float32), (), np.ones(200), zeros.astype(np.int8), zeros, ("d",), zeros, ("s",),
        zeros.astype(np.int8), zeros.astype(np.bool_), np.arange(200, dtype=np.uint64),
    )  # fmt: skip
    (region,) = fit_spec(analysis({"r": {"largest": "signal", "bins": 3}})).regions.values()
    for number, name in enumerate(names):
        inside, _ = in_region(replace(region, largest=name), table, outputs)
        assert np.array_equal(inside, largest == number)


def test_a_generator_keeps_the_sum_of_all_regions_or_of_each(events: tuple[FeatureTable, np.ndarray]) -> None:
    """Twice the heavy process: all of it is rate for `processes: false`; between processes it is shape."""
    generator = {"kind": "two_point", "domain": "alternative", "samples": ["heavy", "light"]}

    def of(**more: Any) -> FitInput:
        return input_of(analysis(systematics={"gen": generator | more}), events)

    def sums(fit_input: FitInput, parameter: str) -> tuple[np.ndarray, np.ndarray]:
        channels = fit_input.templates.channels
        nominal = [sum(s.sumw.sum() for s in c.samples if parameter in s.shapes) for c in channels]
        varied = [sum(s.shapes[parameter][0].sum() for s in c.samples if parameter in s.shapes) for c in channels]
        return np.array(nominal), np.array(varied)

    nominal, varied = sums(of(), "gen")
    assert varied.sum() == pytest.approx(nominal.sum()) and varied[2] > 1.2 * nominal[2]  # moves between regions
    whole = of(rate=True)
    assert sums(whole, "gen")[1].sum() == pytest.approx(6000.0)
    alone = of(correlated={"regions": False})
    for region in REGIONS:
        nominal, varied = sums(alone, f"gen_{region}")
        assert varied.sum() == pytest.approx(nominal.sum())
    assert alone.two_points == {"gen": tuple(f"gen_{region}" for region in REGIONS)}
    apart = of(rate="apart", correlated={"processes": False})
    assert set(apart.two_points["gen"]) == {f"gen_{p}_{part}" for p in ("heavy", "light") for part in ("shape", "rate")}
    heavy = next(s for s in apart.templates.channels[2].samples if s.name == "heavy")
    assert heavy.norms["gen_heavy_rate"] == (pytest.approx(2.0), pytest.approx(0.5))  # 2 - 2 is no factor
    nominal, varied = sums(apart, "gen_heavy_shape")
    assert varied == pytest.approx(nominal, rel=0.1)  # the same shape, within the statistics
    assert apart.unaware.systematics == ()


def test_a_parameter_for_each_process_and_region(events: tuple[FeatureTable, np.ndarray]) -> None:
    norm = {"kind": "norm", "value": 0.2, "samples": ["heavy", "light"]}
    apart = {"lumi": norm | {"correlated": {"processes": False, "regions": False}}}
    channels = input_of(analysis(systematics=apart), events).templates.channels
    names = {(c.name, s.name): tuple(s.norms) for c in channels for s in c.samples if s.norms}
    assert names == {(r, p): (f"lumi_{p}_{r}",) for r in REGIONS for p in ("heavy", "light")}
    free = {"rate": FREE["heavy_rate"] | {"correlated": {"regions": False}}}
    channels = input_of(analysis(systematics=free), events).templates.channels
    assert {c.name: s.rate for c in channels for s in c.samples if s.name == "heavy"} == {
        r: f"rate_{r}" for r in REGIONS
    }


def test_what_a_region_lacks_is_said_before_a_training(events: tuple[FeatureTable, np.ndarray]) -> None:
    table, _ = events
    good = dataset_spec(analysis())
    assert not list(overlaps(good, table)) and not list(unusable(good, table))
    common = int(np.sum(table.columns["region:many"] != 0))
    (line,) = overlaps(dataset_spec(analysis({"all": {"variable": "score"}, "many": REGIONS["many"]})), table)
    assert line.startswith(f"fit.regions: all and many have {common} events in common")
    watched = {"all": {}, "many": REGIONS["many"] | {"role": "validation"}}
    assert not list(overlaps(dataset_spec(analysis(watched)), table))
    empty = replace(table, columns={**table.columns, "region:few": np.zeros(len(table), np.int8)})
    (line,) = unusable(good, empty)
    assert line.startswith("fit.regions.few: is empty: no simulated event of simulation")
    no_signal = table.columns["region:many"] * (table.label != 1)
    (line,) = unusable(good, replace(table, columns={**table.columns, "region:many": no_signal}))
    assert line.startswith("fit.regions.many: has `role: signal` and 0 expected signal events")
    not_heavy = ~table.of_samples(["heavy"])
    without = {name: values * not_heavy for name, values in table.columns.items() if name.startswith("region:")}
    (line,) = unusable(good, replace(table, columns=without))
    assert line.startswith("systematics.heavy_rate: no fitted region has events of heavy")


def test_a_sample_without_events_in_a_region_has_no_template_there(events: tuple[FeatureTable, np.ndarray]) -> None:
    table, score = events
    few = table.columns["region:few"] * (table.label != 1)
    fit_input = input_of(analysis(), (replace(table, columns={**table.columns, "region:few": few}), score))
    assert fit_input.regions[0].omitted == {"signal": NO_EVENTS}
    assert [s.name for s in fit_input.regions[0].channel.samples] == ["heavy", "light"]
    (closed,) = [e for e in fits.closure_of(fit_input, fits.UNAWARE, toys=0, seed=1)["simulation"] if e.fit.truth == 2]
    assert closed.fit.mu == pytest.approx(2.0, abs=1e-4)


def test_a_variation_without_events_in_a_region_is_left_out_there(events: tuple[FeatureTable, np.ndarray]) -> None:
    table, score = events
    config = analysis(systematics={"jes": {"kind": "shape", "up": {"a": "b"}, "samples": "heavy"}})
    heavy = table.of_samples(["heavy"])
    weight = {r: table.weight[heavy & (table.columns[f"region:{r}"] != 0)] for r in REGIONS}
    value = {r: score[heavy & (table.columns[f"region:{r}"] != 0)] for r in REGIONS}
    value["few"] = table.columns["variable:few"][heavy & (table.columns["region:few"] != 0)]
    of_region = {r: (value[r], 1.1 * weight[r] * (r != "some")) for r in REGIONS}
    specs, shapes = (domains_of(config), systematics_spec(config)), {("heavy", "jes", "up"): of_region}
    scored = ScoredEvents(*specs, table, Outputs("bdt", score, {}), shapes, {}, None, fit_spec(config))
    with heard() as lines:
        channels = scored.input().templates.channels
    varied = {c.name: tuple(s.shapes) for c in channels for s in c.samples if s.name == "heavy"}
    assert varied == {"few": ("jes",), "some": (), "many": ("jes",)}
    assert [line for line in lines if "jes does not vary heavy in some" in line]


def test_bins_of_equal_shares_keep_a_floor_and_a_constant_has_one_bin() -> None:
    rng = np.random.default_rng(1)
    values, weights = rng.exponential(1.0, 5000), np.ones(5000)
    edges = shared_edges(values, weights, max_bins=5, min_n_eff=25)
    assert np.histogram(values, edges)[0] == pytest.approx([1000] * 5, rel=0.1)
    assert len(shared_edges(values, weights, max_bins=100, min_n_eff=1000)) == 6
    assert len(shared_edges(np.ones(100), np.ones(100), max_bins=5, min_n_eff=25)) == 2
    with pytest.raises(DataError, match="no bin reaches a background n_eff of 200"):
        shared_edges(values[:100], weights[:100], max_bins=5, min_n_eff=200)


def test_the_rates_of_pseudo_data_are_those_that_their_processes_have(
    events: tuple[FeatureTable, np.ndarray],
) -> None:
    """`heavy` is twice as frequent in the alternative; of data nothing is known unless their classes are given."""
    table, _ = events
    config = analysis(systematics={"heavy_rate": {"kind": "free", "samples": ["heavy"]}})
    rates = input_of(config, events).true_rates
    heavy = {name: table.weight[table.of_samples([name])] for name in ("heavy", "heavy_alt")}
    expected = heavy["heavy_alt"].sum() / heavy["heavy"].sum()
    value, error = rates["alternative"]["heavy_rate"]
    assert value == pytest.approx(expected) == pytest.approx(2.0, rel=0.05)
    assert error == pytest.approx(np.sqrt(np.sum(heavy["heavy_alt"] ** 2)) / heavy["heavy"].sum())
    assert rates["simulation"]["heavy_rate"][0] == pytest.approx(1.0) and rates["data"] == {}
