"""The section `fit` and the systematics that go with it: what is accepted, and one message for each mistake."""

from __future__ import annotations

import re
from typing import Any

import pytest

from hepda.config import validate
from hepda.config.events.systematics import parameter_name
from hepda.errors import ConfigError
from hepda.events.resolve import fit_spec, systematics_spec
from tests.factory import analysis

REGION = {"selection": "n_b >= 3"}
CONTROL = {"selection": "n_b < 3", "role": "control", "variable": "ht", "bins": [100, 300, 1000]}
RATE = {"kind": "free", "samples": "background"}


def problem(**overrides: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        validate(analysis(**overrides), "here")
    return str(caught.value)


def test_without_the_section_there_is_one_region_of_the_score() -> None:
    (region,) = fit_spec(validate(analysis())).regions.values()
    assert (region.name, region.variable, region.bins, region.role) == ("all", "score", 10, "signal")
    assert region.columns == {} and region.is_output and not region.is_part


def test_a_region_has_a_column_for_what_is_no_output_of_a_model() -> None:
    spec = fit_spec(validate(analysis(fit={"regions": {"sr": REGION, "cr": CONTROL}, "pruning": {"rate": 0.01}})))
    assert spec.regions["sr"].columns == {"region:sr": "n_b >= 3"}
    assert spec.regions["cr"].columns == {"region:cr": "n_b < 3", "variable:cr": "ht"}
    assert spec.regions["cr"].bins == (100.0, 300.0, 1000.0)
    assert spec.pruning is not None and (spec.pruning.rate, spec.pruning.shape) == (0.01, 0.0)


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        (
            {"sr": REGION | {"bins": [0, 1, 0.5]}},
            "fit.regions.sr.bins: .*two finite numbers that rise, not .0, 1, 0.5",
        ),
        ({"sr": REGION | {"bins": [0]}}, "fit.regions.sr.bins: .*at least two finite numbers"),
        ({"sr": REGION | {"bins": 0}}, "fit.regions.sr.bins"),
        (
            {"sr": REGION | {"largest": "signl"}},
            "fit.regions.sr.largest: 'signl' is not a class. Did you mean 'signal'",
        ),
        (
            {"sr": REGION | {"variable": "p_sgnal"}},
            "'p_sgnal' is not a variable of a region. Did you mean 'p_signal'",
        ),
        ({"cr": CONTROL}, "fit.regions: none has `role: signal`"),
        ({"sr": REGION, "SR": CONTROL}, "fit.regions.SR: differs from fit.regions.sr only by capital letters"),
        ({"sr": REGION | {"rôle": "signal"}}, "fit.regions.sr.rôle"),
        ({"s r": REGION}, "fit.regions"),
    ],
)
def test_a_wrong_region_is_one_message(regions: dict[str, Any], message: str) -> None:
    text = problem(fit={"regions": regions})
    assert re.search(message, text), text
    assert "problems" not in text


@pytest.mark.parametrize(
    ("systematics", "message"),
    [
        ({"r": RATE | {"samples": ["signal"]}}, "systematics.r.samples: 'signal' is signal, which mu scales already"),
        ({"r": RATE, "q": RATE}, "systematics.q.samples: the free rate 'r' scales 'background' already"),
        ({"r": {"kind": "free"}}, "systematics.r.samples"),
        ({"mu": RATE}, "systematics.mu: the fit uses that name itself"),
        ({"mu_signal": RATE}, "systematics.mu_signal: the fit uses that name itself"),
        (
            {"a": {"kind": "norm", "value": 0.1, "correlated": {"processes": False}}, "a_background": RATE},
            "systematics.a_background: its parameter 'a_background' has the name of one of systematics.a",
        ),
    ],
)
def test_a_wrong_rate_is_one_message(systematics: dict[str, Any], message: str) -> None:
    text = problem(systematics=systematics)
    assert message in text and "problems" not in text


def test_more_free_rates_than_bins_are_refused() -> None:
    assert "1 fitted bins cannot determine mu and r" in problem(
        fit={"regions": {"sr": {"bins": 1}}}, systematics={"r": RATE}
    )


def test_a_parameter_is_named_after_what_it_is_alone_for() -> None:
    apart = {"processes": False, "regions": False}
    config = validate(
        analysis(
            systematics={"gen": {"kind": "two_point", "domain": "alternative", "rate": "apart", "correlated": apart}}
        )
    )
    section = config.systematics["gen"]
    assert parameter_name("gen", section, "tt", "sr", "rate") == "gen_tt_sr_rate"
    assert systematics_spec(config).processes == {"signal": "signal", "background": "background"}


def test_a_model_of_one_score_has_no_output_of_a_class() -> None:
    samples = {
        n: s | ({"class": "tt"} if s.get("class") == "background" else {}) for n, s in analysis()["samples"].items()
    }
    samples["w"] = {"files": "w.root", "class": "w", "domain": "simulation"}
    models = {"all": {"kind": "bdt"}, "two": {"kind": "bdt", "classes": "binary"}}
    one = {"samples": samples, "models": models, "discriminants": {"d": "p_signal / (p_signal + p_w)"}}
    for region, key, name in (
        ({"largest": "signal"}, "largest", "signal"),
        ({"variable": "d"}, "variable", "d"),
        ({"variable": "p_w"}, "variable", "p_w"),
    ):
        text = problem(**one, fit={"regions": {"sr": region}})
        assert f"fit.regions.sr.{key}: the model 'two' has one score, so no {name!r}" in text and "problems" not in text
    validate(analysis(**one, fit={"regions": {"sr": {"variable": "ht"}}}))
