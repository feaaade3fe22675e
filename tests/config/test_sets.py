"""The sections `collections` and `encoder`: what they accept, and one message for each mistake."""

import pytest
import yaml

from hepda.config import json_schema, load_config, resolved_yaml, validate
from hepda.config.sets import DeepSetsConfig, TransformerConfig
from hepda.errors import ConfigError
from tests.factory import analysis

JETS = {
    "max": 6,
    "features": {"pt": "jet_pt", "eta": "jet_eta", "phi": "jet_phi", "mass": "jet_mass"},
    "four_momentum": ["pt", "eta", "phi", "mass"],
}
MET = {"features": {"pt": "met", "phi": "met_phi"}}
DEEP = {"kind": "deepsets", "collections": ["jets", "met"]}
TRANSFORMER = {"kind": "transformer", "collections": "jets"}


def content(encoder, domain=None, **collections):
    model = {"kind": "network", "encoder": encoder} | ({} if domain is None else {"domain": domain})
    return analysis(collections={"jets": JETS, "met": MET} | collections, models={"network": model})


def test_the_encoder_is_a_list_of_widths_or_a_set_encoder():
    flat = validate(content([16, 8])).models["network"]
    assert flat.encoder == (16, 8)
    assert (flat.embedding, flat.set_encoder) == (8, None)
    deep = validate(content(DEEP)).models["network"]
    assert isinstance(deep.encoder, DeepSetsConfig)
    assert (deep.embedding, deep.encoder.pooling, deep.encoder.features) == (64, "sum", ())
    transformer = validate(content(TRANSFORMER)).models["network"]
    assert isinstance(transformer.encoder, TransformerConfig)
    assert transformer.encoder.pair_features == ("kt", "z", "delta_r", "mass")
    assert validate(content(TRANSFORMER | {"pairwise": False})).models["network"].encoder.pair_features == ()
    some = validate(content(TRANSFORMER | {"pairwise": ["mass"]})).models["network"]
    assert some.encoder.pair_features == ("mass",)


@pytest.mark.parametrize("encoder", [[16, 8], DEEP, TRANSFORMER])
def test_a_resolved_file_says_the_same(encoder, tmp_path):
    config = validate(content(encoder))
    path = tmp_path / "again.yaml"
    path.write_text(resolved_yaml(config))
    again = load_config(path)
    assert again.models == config.models
    assert again.collections == config.collections


def test_the_schema_knows_the_encoders():
    text = yaml.safe_dump(json_schema())
    for name in ("DeepSetsConfig", "TransformerConfig", "CollectionConfig"):
        assert name in text


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("big", "models.network.encoder: must be a list, not 'big'"),
        ([16, 0], "models.network.encoder.1: input should be greater than or equal to 1, not 0"),
        (DEEP | {"kind": "mixer"}, "encoder: must be one of deepsets, transformer, not 'mixer'"),
        ({"collections": "jets"}, "`kind` is required: deepsets or transformer"),
        (DEEP | {"widht": 3}, "models.network.encoder.widht: unknown key. Did you mean 'width'"),
        (DEEP | {"heads": 3}, "models.network.encoder.heads: unknown key"),
        ({"kind": "deepsets"}, "models.network.encoder.collections: is required"),
        (DEEP | {"collections": "jet"}, "encoder.collections: 'jet' is not a collection. Did you mean 'jets'"),
        (DEEP | {"collections": ["jets", "jets"]}, "encoder.collections: "),
        (DEEP | {"features": "htt"}, "encoder.features: 'htt' is not a feature of this analysis. Did you mean 'ht'"),
        (TRANSFORMER | {"width": 30}, "encoder.heads: the width, 30, cannot be divided among 4 heads"),
        (TRANSFORMER | {"collections": ["jets", "met"]}, "pairwise: needs `four_momentum` of the collection 'met'"),
        (TRANSFORMER | {"layers": 1}, "encoder.layers: pairs bias the blocks before the last"),
        (TRANSFORMER | {"pairwise": "masss"}, "encoder.pairwise"),
        (TRANSFORMER | {"width": 4096, "layers": 100}, "encoder: has 1.35e+10 weights"),
    ],
)
def test_a_wrong_encoder_is_one_message(encoder, message):
    with pytest.raises(ConfigError) as error:
        validate(content(encoder))
    assert message in str(error.value)
    assert "problems" not in str(error.value)


@pytest.mark.parametrize(
    ("jets", "message"),
    [
        (JETS | {"max": 0}, "collections.jets.max: input should be greater than or equal to 1, not 0"),
        (JETS | {"features": {}}, "collections.jets.features"),
        (JETS | {"four_momentum": ["pt", "eta", "phi", "m"]}, "four_momentum: 'm' is not a feature of jets"),
        (JETS | {"four_momentum": ["pt", "eta", "phi"]}, "collections.jets.four_momentum"),
        (JETS | {"maximum": 3}, "collections.jets.maximum: unknown key"),
    ],
)
def test_a_wrong_collection_is_one_message(jets, message):
    with pytest.raises(ConfigError) as error:
        validate(content(DEEP, jets=jets))
    assert message in str(error.value)
    assert "problems" not in str(error.value)


def test_methods_that_move_inputs_are_not_for_sets():
    domain = {"source": ["background"], "target": ["background_alt"], "method": "vada"}
    with pytest.raises(ConfigError, match="'vada' moves every input a little, which sets of objects do not allow"):
        validate(content(DEEP, domain))
    validate(content([16], domain))


def test_only_one_object_makes_no_pairs():
    met = MET | {"four_momentum": ["pt", 0, "phi", 0]}
    with pytest.raises(ConfigError, match="an event has one object only"):
        validate(content(TRANSFORMER | {"collections": "met"}, met=met))
    validate(content(TRANSFORMER | {"collections": ["jets", "met"]}, met=met))
