"""Classes of any name in the analysis file: what is read of them, and one message for each mistake."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hepda.config import load_config
from hepda.errors import ConfigError
from hepda.events.resolve import classes_of, model_spec, systematics_spec
from tests.factory import analysis, several_classes


def written(folder: Path, **overrides: Any) -> Path:
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(analysis(**overrides), sort_keys=False))
    return path


def test_classes_have_any_name_and_the_signals_come_first(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, **several_classes()))
    assert config.class_names == ("ttH", "busy", "calm")
    assert [config.side_of(n) for n in ("ttH_alt", "busy", "data")] == ["signal", "background", None]
    classes = classes_of(config)
    assert classes.background == ("busy", "calm") and not classes.is_binary
    assert classes.samples_of("calm") == ("calm", "calm_alt", "calm_third")
    assert systematics_spec(config).templates == {"ttH": "signal", "busy": "background", "calm": "background"}


def test_columns_of_a_model_are_its_score_the_classes_and_the_discriminants(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, **several_classes()))
    assert model_spec(config, "bdt").classes == ("ttH", "busy", "calm")
    assert model_spec(config, "bdt").columns == ("bdt", "bdt.p_ttH", "bdt.p_busy", "bdt.p_calm", "bdt.d")
    assert model_spec(config, "pair").classes == () and model_spec(config, "pair").columns == ("pair",)


def test_two_classes_of_other_names_are_one_score(tmp_path: Path) -> None:
    names = {"signal": "ttH", "background": "tt"}
    samples = analysis()["samples"]
    for section in samples.values():
        if "class" in section:
            section["class"] = names[section["class"]]
    config = load_config(written(tmp_path, samples=samples, signal="ttH"))
    assert config.class_names == ("ttH", "tt")
    assert model_spec(config, "network").classes == () and model_spec(config, "network").labels["signal"] == 1


def test_several_signals_keep_their_order(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, **several_classes(signal=["calm", "ttH"])))
    assert config.class_names == ("calm", "ttH", "busy")


def changed(**changes: dict[str, Any]) -> dict[str, Any]:
    """The samples, some of them with other keys; `calm` stands for calm, calm_alt and calm_third."""
    samples = several_classes()["samples"]
    return {"samples": {name: of | changes.get(name.partition("_")[0], {}) for name, of in samples.items()}}


def model(**keys: Any) -> dict[str, Any]:
    """The network with a domain loss, with other keys."""
    network = several_classes()["models"]["dann"]
    domain = network["domain"] | keys.pop("domain", {})
    return {"models": {"dann": network | keys | {"domain": domain}}}


BOTH = {"source": ["ttH", "busy"], "target": ["ttH_alt", "busy_alt", "calm_alt"], "rows": "all"}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"signal": "tth"}, "signal: 'tth' is not a class of a sample. Did you mean 'ttH'?"),
        (
            {"signal": ["ttH", "busy", "calm"], "models": {"bdt": {"kind": "bdt"}}, "evaluation": {}},
            "every class is signal (ttH, busy, calm); a classifier needs a background",
        ),
        ({"signal": ["ttH", "ttH"]}, "signal: 'ttH' is listed twice."),
        (
            changed(calm={"use": "evaluate"}) | {"models": {"bdt": {"kind": "bdt"}}},
            "none of the nominal domain, 'simulation', has `class: calm` and `use: train`",
        ),
        (
            changed(busy={"class": "background"}),
            "`class: background` is every class that is not signal, and there are others (calm)",
        ),
        (changed(calm={"class": "data"}), "`class: data` is no name of a class"),
        (changed(calm={"class": "signal"}), "the class 'signal' is not among `signal` (ttH)"),
        (
            {
                "samples": several_classes()["samples"]
                | {"calm": {"files": "a", "class": "4 tops", "domain": "simulation"}}
            },
            "samples.calm.class",
        ),
        ({"discriminants": {"d": "p_busy", "p_ttH": "p_busy"}}, "discriminants.p_ttH: is the probability of a"),
        ({"discriminants": {"e": "p_ttH"}}, "models.dann.score: 'd' is not a discriminant. There are: e."),
        (model(classes="binary", score=None), "discriminants: no model has probabilities of several classes"),
        (model(domain={"rows": "bussy"}), "models.dann.domain.rows: 'bussy' is not a class. Did you mean 'busy'?"),
        (
            model(domain={"rows": "ttH", "target": ["ttH_alt"]}),
            "no sample of the list has `class: ttH`, the rows that the domain head sees.",
        ),
        (model(domain={"tail": 0.3}), "models.dann.domain.tail: needs a model of one score"),
        (
            model(domain={"method": "conditional", **BOTH}),
            "models.dann.domain.source: method 'conditional' needs samples of every class (ttH, busy, calm)",
        ),
        (model(train_on=["ttH", "busy"]), "models.dann.train_on: the list has no calm sample"),
    ],
)
def test_each_mistake_has_one_message(tmp_path: Path, overrides: dict[str, Any], expected: str) -> None:
    small = several_classes() | model()  # with one model, no mistake is one of several models
    with pytest.raises(ConfigError) as caught:
        load_config(written(tmp_path, **(small | overrides)))
    message = re.sub(r" \(line \d+\)", "", str(caught.value))
    assert expected in message
    assert "problems:" not in message
