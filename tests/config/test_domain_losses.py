"""The section `domain` with several targets, classes and variations: what it means, and one message for each fault."""

from __future__ import annotations

from typing import Any

import pytest

from hepda.config import validate
from hepda.errors import ConfigError
from hepda.events.resolve import model_spec
from hepda.events.training.model_description import setup_of
from tests.factory import analysis

SYSTEMATICS = {
    "jes": {"kind": "shape", "up": {"jet_pt": "jet_pt_jes_up"}, "down": {"jet_pt": "jet_pt_jes_down"}},
    "b_tag": {"kind": "weight", "up": "b_weight_up / b_weight"},
    "b_tag_up": {"kind": "weight", "up": "1.1", "samples": ["signal"]},
    "rate": {"kind": "norm", "value": 0.2, "samples": ["background"]},
}


def config_of(**domain: Any) -> Any:
    """The small analysis with a domain loss of background, and with systematics."""
    section = {"source": ["background"], "target": ["background_alt"]} | domain
    models = {"dann": {"kind": "network", "encoder": [8], "domain": section}}
    return validate(analysis(models=models, systematics=SYSTEMATICS))


def test_a_list_is_one_target_and_a_mapping_several() -> None:
    for target in ("background_alt", ["background_alt"], {"B": "background_alt"}):
        spec = model_spec(config_of(target=target), "dann")
        assert len(spec.targets) == 1 and spec.adapted_to == ("alternative",) and spec.is_adapted
        assert setup_of(spec)["adaptation"] == "dann on features: background against background_alt, background"
    target = {"B": ["background_alt"], "data": ["data"]}
    spec = model_spec(config_of(target=target, rows="all"), "dann")
    assert spec.targets == ("B", "data") and spec.adapted_to == ("alternative", "data")
    assert setup_of(spec)["adaptation"].endswith("background against background_alt, data, all events")


def test_a_variation_is_a_side_of_a_systematic_or_both() -> None:
    spec = model_spec(config_of(target={"variation": ["jes", "b_tag"]}), "dann")
    assert spec.targets == ("jes_up", "jes_down", "b_tag_up") and spec.adapted_to == () and spec.is_adapted
    assert "background against its variations jes_up, jes_down, b_tag_up" in setup_of(spec)["adaptation"]
    assert model_spec(config_of(target={"variation": "jes_down"}), "dann").targets == ("jes_down",)
    # a systematic whose name ends like a side is itself
    named = config_of(source=["signal"], rows="signal", target={"variation": ["b_tag_up"]})
    assert [v.systematic for v in model_spec(named, "dann").variations] == ["b_tag_up"]


def test_by_class_compares_the_classes_that_the_rows_take() -> None:
    both = {"source": ["signal", "background"], "target": ["signal_alt", "background_alt"], "by": "class"}
    assert model_spec(config_of(**both, rows="all"), "dann").domain_classes == ("signal", "background")
    assert model_spec(config_of(**both), "dann").domain_classes == ("background",)
    assert "class by class" in setup_of(model_spec(config_of(**both), "dann"))["adaptation"]


BOTH = {"source": ["signal", "background"], "rows": "all", "by": "class"}
TWO = {"B": ["background_alt"], "C": ["signal_alt"]}


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ({"target": {"variation": ["jse"]}}, r"target.variation: 'jse' is not a systematic.*Did you mean 'jes'"),
        ({"target": {"variation": ["jes_upp"]}}, r"'jes_upp' is not a systematic.*Did you mean 'jes_up'"),
        ({"target": {"variation": ["rate"]}}, r"'rate' is of `kind: norm`, which changes no event"),
        ({"target": {"variation": ["b_tag_down"]}}, r"systematics.b_tag has no `down`"),
        ({"target": {"variation": ["jes", "jes_up"]}}, r"'jes_up' is listed twice"),
        ({"target": {"variation": []}}, r"target.variation: is empty"),
        ({"target": {"variation": ["jes"], "B": ["background_alt"]}}, r"has `variation` .* domains of samples \(B\)"),
        ({"target": {"variation": ["b_tag_up"]}}, r"acts on none of the source \(background\).*it acts on signal"),
        ({"target": {"variation": ["jes"]}, "batch_share": 0.3}, r"batch_share: has no effect with variations"),
        ({"target": {"variation": ["jes"]}, "reweight": {}}, r"domain.reweight: weights the source like one target"),
        ({"target": {}}, r"target: is empty; name at least one domain"),
        ({"target": {"B": []}}, r"target.B: is empty; name at least one sample"),
        ({"target": {"B": ["backgroundalt"]}}, r"target.B: 'backgroundalt' is not a sample"),
        ({"target": {"B": ["background_alt"], "C": ["background_alt"]}}, r"target.C: 'background_alt' is in B as well"),
        ({"target": {"B": ["background_alt"], "C": ["background"]}}, r"target.C: 'background' is in source as well"),
        ({"target": {"B": ["background_alt"], "C": ["third"]}}, r"target.C: 'third' is marked `use: evaluate`"),
        ({"target": {"B": ["background_alt"], "C": ["data"]}}, r"target.C: the class of 'data' is unknown"),
        ({"target": TWO, "rows": "all", "method": "mcc"}, r"method: 'mcc' learns from its predictions .* 2 of them"),
        ({"target": TWO, "rows": "all", "reweight": {}}, r"domain.reweight: weights the source like one target"),
        (BOTH | {"target": ["background_alt"]}, r"domain.target: has no sample of the class 'signal', which"),
        (BOTH | {"source": ["background"], "target": ["background_alt", "signal_alt"]},
         r"domain.source: has no sample of the class 'signal', which the target has"),
        (BOTH | {"target": {"B": ["signal_alt", "background_alt"], "C": ["data"]}}, r"by: the events of data have no"),
        (BOTH | {"target": ["signal_alt", "background_alt"], "method": "conditional"}, r"by: method 'conditional' has"),
        (BOTH | {"target": ["signal_alt", "background_alt"], "method": "vat"}, r"by: method 'vat' does not compare"),
    ],
)  # fmt: skip
def test_a_fault_has_one_message(domain: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        config_of(**domain)
    assert str(error.value).count("models.dann.domain") == 1, str(error.value)
