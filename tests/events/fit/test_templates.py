"""From scores to templates, pseudo-data and fits: contents by hand, closed forms, nulls with a reason."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from hepda.config import AnalysisConfig, validate
from hepda.evaluation.fits.fitting import workspace
from hepda.events.domains.blinding import BLINDED
from hepda.events.fit import fits, templates, to_json
from hepda.events.fit.inputs import FitInput, PseudoData
from hepda.events.fit.regions import Outputs
from hepda.events.fit.templates import ScoredEvents
from hepda.events.resolve import domains_of, systematics_spec
from hepda.events.table.feature_table import FeatureTable

SAMPLES = {
    "signal": ("signal", "simulation", 3000, 150.0),
    "tt": ("background", "simulation", 4000, 1500.0),
    "wjets": ("background", "simulation", 2000, 500.0),
    "signal_alt": ("signal", "alternative", 2000, 140.0),
    "tt_alt": ("background", "alternative", 3000, 2200.0),
    "third": ("background", "third", 3000, 2000.0),
    "data": (None, "data", 2150, 0.0),
}
SHAPES = {"signal": (4.0, 1.5), "background": (1.5, 4.0), None: (1.6, 3.8)}  # of the beta distribution of the score


def analysis(**more: Any) -> AnalysisConfig:
    samples = {
        # All backgrounds are one process here: that of tt and wjets together.
        name: {"files": f"{name}.root", "domain": domain} | ({"class": class_, "process": class_} if class_ else {})
        for name, (class_, domain, _, _) in SAMPLES.items()
    }
    base = {
        "evaluation": {"blind": None},
        "name": "toy", "luminosity": 1.0, "samples": samples, "features": ["x"], "models": {"bdt": {"kind": "bdt"}},
        "systematics": {
            "tag": {"kind": "weight", "up": "w", "down": "v"},
            "null": {"kind": "weight", "up": "1", "down": "1"},
            "one_sided": {"kind": "weight", "up": "w", "samples": ["tt"]},
            "jes": {"kind": "shape", "up": {"pt": "pt_up"}, "down": {"pt": "pt_down"}, "samples": ["tt"]},
            "rate": {"kind": "norm", "value": 0.5, "samples": ["wjets"]},
            "generator": {"kind": "two_point", "domain": "alternative", "samples": ["tt", "wjets"]},
        },
    }  # fmt: skip
    return validate(base | more)


@pytest.fixture(scope="module")
def events() -> tuple[FeatureTable, np.ndarray, dict[str, Any], dict[str, Any]]:
    """Events of every sample, their scores, varied events and factors."""
    rng = np.random.default_rng(5)
    labels = {"signal": 1, "background": 0, None: -1}
    score, weight, label, domain, sample = [], [], [], [], []
    domains = tuple(dict.fromkeys(d for _, d, _, _ in SAMPLES.values()))
    for number, (class_, score_weight, n, total) in enumerate(SAMPLES.values()):
        a, b = SHAPES[class_]
        score.append(rng.beta(a, b + 0.3 * (score_weight == "alternative"), n).astype(np.float32))
        sign = np.where(rng.random(n) < 0.1, -1.0, 1.0)
        weight.append(np.ones(n) if class_ is None else sign * total / sign.sum())
        label.append(np.full(n, labels[class_], np.int8))
        domain.append(np.full(n, domains.index(score_weight), np.int16))
        sample.append(np.full(n, number, np.int16))
    n = sum(len(s) for s in score)
    table = FeatureTable(
        features=np.zeros((n, 0), np.float32), names=(), weight=np.concatenate(weight), label=np.concatenate(label),
        domain=np.concatenate(domain), domain_names=domains, sample=np.concatenate(sample),
        sample_names=tuple(SAMPLES), fold=np.zeros(n, np.int8), validation=rng.random(n) < 0.3,
        key=np.arange(n, dtype=np.uint64),
    )  # fmt: skip
    values = np.concatenate(score)
    tt = table.of_samples(["tt"])
    varied = {
        ("tt", "jes", "up"): (np.minimum(values[tt] * np.float32(1.05), 0.999), 1.02 * table.weight[tt]),
        ("tt", "jes", "down"): (values[tt] * np.float32(0.95), 0.98 * table.weight[tt]),
    }
    factors = {}
    for name in ("signal", "tt", "wjets"):
        score_weight = values[table.of_samples([name])].astype(float)
        factors |= {(name, "tag:up"): 1 + 0.2 * score_weight, (name, "tag:down"): 1 - 0.1 * score_weight}
        factors |= {(name, f"null:{side}"): np.ones(len(score_weight)) for side in ("up", "down")}
    factors["tt", "one_sided:up"] = 1 + 0.1 * values[tt].astype(float)
    return table, values, varied, factors


def unexplained(value: Any, path: str = "", excused: bool = False) -> list[str]:
    """Nulls that neither they nor what encloses them explain, in lists as well."""
    if isinstance(value, dict):
        has_reason = excused or bool(value.get("why"))
        return [
            p
            for k, v in value.items()
            for p in unexplained(v, f"{path}/{k}", has_reason or bool(value.get(f"{k}_why")))
        ]
    if isinstance(value, list):
        return [p for i, v in enumerate(value) for p in unexplained(v, f"{path}/{i}", excused)]
    return [path] if value is None and not excused else []


def region_of(config: AnalysisConfig, events: Any) -> FitInput:
    table, score, varied, factors = events
    shapes = {key: {"all": of_region} for key, of_region in varied.items()}
    outputs = Outputs("bdt", score, {})
    return ScoredEvents(domains_of(config), systematics_spec(config), table, outputs, shapes, factors).input()


@pytest.fixture(scope="module")
def region(events: Any) -> FitInput:
    return region_of(analysis(), events)


def content(events: Any, edges: np.ndarray, names: list[str], factor: Any = 1.0) -> np.ndarray:
    """By numpy's own histogram; everything lies between the outer edges here or counts at the ends."""
    table, score, _, _ = events
    mask = table.of_samples(names)
    inner = np.concatenate([[-np.inf], edges[1:-1], [np.inf]])
    return np.histogram(score[mask].astype(float), inner, weights=table.weight[mask] * factor)[0]


def sample_of(region: FitInput, name: str) -> Any:
    return next(s for s in region.templates.channels[0].samples if s.name == name)


def test_contents_are_histograms_of_signed_weights(events: Any, region: FitInput) -> None:
    edges = region.templates.edges
    assert len(edges) > 4
    for name in ("signal", "tt", "wjets"):
        assert sample_of(region, name).sumw == pytest.approx(content(events, edges, [name]), rel=1e-9)
        assert sample_of(region, name).sumw.sum() == pytest.approx(SAMPLES[name][3], rel=1e-9)
    weight = events[0].weight[events[0].of_samples(["tt"])]
    assert sample_of(region, "tt").sumw2.sum() == pytest.approx(np.sum(weight**2), rel=1e-9)


def test_a_weight_variation_is_the_scaled_histogram(events: Any, region: FitInput) -> None:
    edges = region.templates.edges
    for name in ("signal", "tt", "wjets"):
        factors = events[1][events[0].of_samples([name])].astype(float)
        up, down = sample_of(region, name).shapes["tag"]
        assert up == pytest.approx(content(events, edges, [name], 1 + 0.2 * factors), rel=1e-9)
        assert down == pytest.approx(content(events, edges, [name], 1 - 0.1 * factors), rel=1e-9)


def test_one_side_is_mirrored_and_rates_are_factors(events: Any, region: FitInput) -> None:
    tt = sample_of(region, "tt")
    scores = events[1][events[0].of_samples(["tt"])].astype(float)
    up, down = tt.shapes["one_sided"]
    assert up == pytest.approx(content(events, region.templates.edges, ["tt"], 1 + 0.1 * scores), rel=1e-9)
    assert down == pytest.approx(2 * tt.sumw - up, rel=1e-9)
    assert sample_of(region, "wjets").norms == {"rate": (1.5, pytest.approx(1 / 1.5))} and not tt.norms
    assert list(tt.shapes) == ["tag", "null", "one_sided", "jes", "generator"]


def test_blocks_of_events_change_no_content(events: Any, region: FitInput, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "_BLOCK", 777)
    in_blocks = region_of(analysis(), events)
    samples = (part.templates.channels[0].samples for part in (region, in_blocks))
    for sample, other in zip(*samples, strict=True):
        assert other.sumw == pytest.approx(sample.sumw) and other.sumw2 == pytest.approx(sample.sumw2)
        assert other.shapes.keys() == sample.shapes.keys() and "tag" in sample.shapes
        for name, sides in sample.shapes.items():
            assert np.stack(other.shapes[name]) == pytest.approx(np.stack(sides))
    for domain, drawn in region.events.items():
        for name in ("index", "weight", "key"):
            assert np.array_equal(getattr(in_blocks.events[domain], name), getattr(drawn, name))


def test_a_shape_is_the_histogram_of_the_varied_events(events: Any, region: FitInput) -> None:
    score, weight = events[2]["tt", "jes", "up"]
    edges = region.templates.edges
    inner = np.concatenate([[-np.inf], edges[1:-1], [np.inf]])
    expected = np.histogram(score.astype(float), inner, weights=weight)[0]
    assert sample_of(region, "tt").shapes["jes"][0] == pytest.approx(expected, rel=1e-9)
    assert "jes" not in sample_of(region, "wjets").shapes


def test_another_generator_changes_the_class_as_a_whole(events: Any, region: FitInput) -> None:
    """tt and wjets together become tt_alt, scaled to their sum; each by the same share in a bin."""
    tt, wjets = sample_of(region, "tt"), sample_of(region, "wjets")
    other = content(events, region.templates.edges, ["tt_alt"])
    together = tt.shapes["generator"][0] + wjets.shapes["generator"][0]
    assert together == pytest.approx(other * 2000 / 2200, rel=1e-9)
    assert tt.shapes["generator"][0] / tt.sumw == pytest.approx(wjets.shapes["generator"][0] / wjets.sumw, rel=1e-9)
    assert "generator" not in sample_of(region, "signal").shapes
    assert region.two_points == {"generator": ("generator",)} and "generator" not in region.unaware.systematics
    assert "jes" in region.unaware.systematics


def test_pseudo_data_scale_the_signal_alone(events: Any, region: FitInput) -> None:
    edges, result = region.templates.edges, region.domains["alternative"]
    s, b = content(events, edges, ["signal_alt"]), content(events, edges, ["tt_alt"])
    contents, variance = result.at(2.0) or (None, None)
    assert contents == pytest.approx(2 * s + b, rel=1e-9)
    assert variance.sum() == pytest.approx(
        4 * np.sum(events[0].weight[events[0].of_samples(["signal_alt"])] ** 2)
        + np.sum(events[0].weight[events[0].of_samples(["tt_alt"])] ** 2)
    )
    assert region.domains["third"].at(1.0) is None  # it has no signal
    assert region.domains["data"].observed.sum() == 2150 and region.domains["data"].at(1.0) is None
    assert PseudoData(signal=(s, s)).at(1.0) is None


def test_blinded_data_are_not_counted(events: Any) -> None:
    hidden = region_of(analysis(evaluation={"blind": "score > 0.5"}), events)
    assert "data" not in hidden.domains and hidden.excluded == {"data": BLINDED}
    main = fits.main_fit(hidden, toys=0, seed=1)
    page = to_json.fitted_model(hidden, main, {}).to_json()
    assert page["observed"]["mu"] is None and page["observed"]["why"] == BLINDED
    assert page["observed"]["significance"] is None and page["observed"]["limit"] is None
    assert page["fitted_to"] == "Asimov data" and page["expected"]["mu"] == pytest.approx(1.0, abs=1e-4)
    assert page["not_played"] == {"data": BLINDED}


def test_what_changes_nothing_has_no_impact(region: FitInput) -> None:
    main = fits.main_fit(region, toys=0, seed=1)
    names = [impact.name for impact in main.impacts]
    assert "null" not in names and {"tag", "jes", "generator", "rate"} <= set(names)
    assert main.expected.not_fitted["null"] == "it changes no template"
    assert "null" not in str(workspace(region.templates, region.templates.total())["channels"])


def test_closure_finds_what_was_put_in_and_says_what_it_cannot(region: FitInput) -> None:
    result = fits.closure_of(region, fits.UNAWARE, toys=40, seed=1)
    for entry in result["simulation"]:
        assert entry.fit.mu == pytest.approx(entry.fit.truth, abs=1e-4)
        assert abs(entry.toys.bias) < 5 * entry.toys.bias_error
    assert [entry.fit.mu is None for entry in result["third"]] == [False, True, True]
    assert result["third"][1].fit.why == "the domain has no signal events"
    assert [entry.fit.truth for entry in result["data"]] == [1.0] and isinstance(result["data"][0].toys, str)
    aware = fits.closure_of(region, fits.ALL, toys=0, seed=1)
    # The generator's own shape, with its rate alone left: knowing of it takes most of the bias away.
    assert abs(aware["alternative"][1].fit.mu - 1) != pytest.approx(abs(result["alternative"][1].fit.mu - 1), abs=1e-3)
    assert aware["alternative"][1].toys == "no toys were requested"


@pytest.mark.slow
def test_the_page_is_json_and_every_null_has_its_reason(region: FitInput) -> None:
    main = fits.main_fit(region, toys=0, seed=1)
    closure = {variant: fits.closure_of(region, variant, toys=20, seed=1) for variant in (fits.ALL, fits.UNAWARE)}
    page = json.loads(json.dumps(to_json.fitted_model(region, main, closure).to_json()))
    assert not unexplained(page)
    assert page["closure"]["all"]["alternative"][1]["toys"]["toys"] == 20
    assert page["regions"]["all"]["templates"]["tt"]["sumw"] == pytest.approx(sample_of(region, "tt").sumw.tolist())
    about = to_json.systematics_entries(systematics_spec(analysis()))
    assert about["rate"] == {"kind": "norm", "samples": ["wjets"], "how": "rate × 1.5 and × 0.6667"}
    assert about["jes"]["how"] == "pt_up for pt; pt_down for pt" and "mirrored" in about["one_sided"]["how"]
