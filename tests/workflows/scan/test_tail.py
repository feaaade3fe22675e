"""Ratios of shifts over seeds, in closed form, and the words that follow from them."""

from dataclasses import replace

import numpy as np
import pytest

from hepda.config import load_config
from hepda.events.results.tables import conclude
from hepda.results.events import EventMetrics
from hepda.workflows.scan.choice import Result
from hepda.workflows.scan.points import Point
from hepda.workflows.scan.tail import ratios_and_verdict, shift_ratio
from tests.factory import analysis, write_analysis


def result(shifts, error=0.02, why=()):
    """A point with the shift of each seed to every domain, at every signal efficiency."""
    rows = []
    for number in range(len(next(iter(shifts.values())))):
        numbers = {}
        for other, values in shifts.items():
            for at in ("0.1", "0.2", "0.3"):
                numbers |= {f"shift_{other}_{at}": values[number], f"shift_{other}_{at}_error": error}
        rows.append({"numbers": numbers, "failed": False, "why": list(why)})
    return Result(None, list(range(len(rows))), rows)


def test_the_ratio_is_of_the_means_and_its_error_has_both_parts():
    baseline, adapted = result({"b": [-0.4, -0.5, -0.6]}), result({"b": [0.05, 0.15, 0.1]})
    computed = shift_ratio(baseline, adapted, "b", 0.2)
    old, new = (np.hypot(np.std(v, ddof=1), 0.02) for v in ([-0.4, -0.5, -0.6], [0.05, 0.15, 0.1]))
    assert computed.ratio.value == pytest.approx(0.2) and computed.baseline.value == pytest.approx(-0.5)
    assert computed.baseline.error == pytest.approx(old) and computed.adapted.error == pytest.approx(new)
    assert computed.ratio.error == pytest.approx(np.hypot(new / 0.5, 0.2 * old / 0.5)) and computed.resolved


def test_one_seed_or_no_shift_is_no_ratio_and_an_unresolved_one_says_nothing():
    baseline = result({"b": [-0.4, -0.5]})
    assert shift_ratio(baseline, result({"b": [-0.1]}), "b", 0.1).ratio is None
    lost = shift_ratio(baseline, result({"b": [None, -0.1]}, why=["shift_b_0.1: no source"]), "b", 0.1)
    assert lost.ratio is None and "no source" in lost.why
    assert not shift_ratio(result({"b": [-0.05, 0.06]}), baseline, "b", 0.1).resolved


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return load_config(write_analysis(tmp_path_factory.mktemp("analysis"), n=50))


@pytest.mark.parametrize(
    ("third", "judgement", "words"),
    [([-0.38, -0.40], "apparent only", "WARNING"), ([-0.05, -0.04], "fell", "the bias decreased")],
)
def test_the_words_follow_from_the_domain_that_no_training_saw(config, third, judgement, words):
    point = Point("dann", {}, config)
    baseline = replace(result({"alternative": [-0.40, -0.42], "third": [-0.40, -0.39]}), point=point)
    adapted = replace(result({"alternative": [-0.02, 0.01], "third": third}), point=point)
    entry = ratios_and_verdict(baseline, adapted, ["alternative", "third"])
    assert entry["verdict"]["third"] == "third" and entry["verdict"]["domain"] == "alternative"
    assert {p["judgement"] for p in entry["verdict"]["points"].values()} == {judgement}
    samples = {name: {"domain": s["domain"], "use": s.get("use", "train")} for name, s in analysis()["samples"].items()}
    bias = {"bias": {"simulation:alternative": {"ks": 0.1}, "simulation:third": {"ks": 0.1}}}
    sentences = conclude(
        EventMetrics.from_json({"samples": samples, "models": {"plain": bias, "dann": bias | entry}}), baseline="plain"
    )
    assert words in sentences[0] and sentences[0].startswith("dann")
    assert (
        ratios_and_verdict(baseline, baseline, ["alternative"])
        == {}
        == ratios_and_verdict(None, adapted, ["alternative"])
    )
