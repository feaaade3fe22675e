"""What `--vary` may say, and the differences of two configs."""

import pytest

from hepda.config import validate
from hepda.config.differences import ABSENT, differences, value_at
from hepda.config.scan import Range, Vary, grid, left_out, overrides, parse_vary
from hepda.errors import ConfigError
from tests.factory import analysis


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b=0,0.3,1", Vary("a.b", (0, 0.3, 1))),
        ("a=1e-3", Vary("a", (0.001,))),
        ("a=true,null,word", Vary("a", (True, None, "word"))),
        ("a=[64, 64],[128]", Vary("a", ([64, 64], [128]))),
        ('a="dann,pseudo",mmd', Vary("a", ("dann,pseudo", "mmd"))),
        ("a=0.1:500:log", Vary("a", range=Range(0.1, 500, True))),
        ("a=16:256", Vary("a", range=Range(16, 256))),
    ],
)
def test_values_and_ranges(text, expected):
    vary = parse_vary(text)
    assert vary == expected
    assert [type(value) for value in vary.values] == [type(value) for value in expected.values]


def test_whole_numbers_are_sought_between_whole_numbers():
    assert parse_vary("a=16:256").range.integer and not parse_vary("a=16.0:256").range.integer
    assert str(parse_vary("a=0.1:500:log").range) == "0.1:500:log"


@pytest.mark.parametrize(
    "text", ["a", "a=", "=1", "a..b=1", "a=[1", "a=1,1.0,1", "a=2:1", "a=1:1", "a=0:1:log", "a=1:2:sqrt"]
)
def test_what_is_not_understood_is_refused(text):
    with pytest.raises(ConfigError, match="--vary"):
        parse_vary(text)


def test_a_grid_has_the_keys_of_the_model_and_of_the_analysis():
    varied = [Vary("models.dann.x", (1, 2)), Vary("models.bdt.y", (3,)), Vary("seed", (4, 5))]
    assert list(grid(varied, "dann", ())) == [
        {"models.dann.x": 1, "seed": 4}, {"models.dann.x": 1, "seed": 5},
        {"models.dann.x": 2, "seed": 4}, {"models.dann.x": 2, "seed": 5},
    ]  # fmt: skip
    assert list(grid(varied, "bdt", ("mmd",))) == [
        {"models.bdt.domain.method": "mmd", "models.bdt.y": 3, "seed": seed} for seed in (4, 5)
    ]


def test_overrides_come_back_as_the_same_values():
    from hepda.config.loading import apply_override

    values = {"a.b": 0.1, "c": [64, 64], "d": None, "e": True, "f": "n_jets >= 5", "g": 1e-05}
    data = {}
    for text in overrides(values):
        apply_override(data, text)
    assert data == {"a": {"b": 0.1}, **{key: values[key] for key in "cdefg"}}


def test_keys_that_a_method_does_not_read_are_left_out():
    config = validate(analysis())
    assert left_out(config, "dann", "disco") == {"models.dann.domain.head": (64, 64)}
    assert left_out(config, "dann", "cdan") == {} == left_out(config, "bdt", "disco") == left_out(config, "dann", "no")
    wide = analysis()
    wide["models"]["dann"]["domain"]["head"] = [32, 16]
    assert left_out(validate(wide), "dann", "mdd") == {"models.dann.domain.head": (32,)}


def test_values_are_found_with_their_defaults_and_wrong_keys_named():
    config = validate(analysis())
    assert value_at(config, "models.dann.domain.strength", "--x") == 1.0
    assert value_at(config, "samples.signal.class", "--x") == "signal" and value_at(config, "variables.ht", "--x")
    for key, message in (
        ("models.dann.domain.strenght", "models.dann.domain has no 'strenght'. Did you mean 'strength'?"),
        ("models.network.domain.strength", "models.network.domain is not given"),
        ("seed.x", "seed has no keys"), ("features.0", "features has no keys"), ("l", "the analysis has no 'l'"),
    ):  # fmt: skip
        with pytest.raises(ConfigError) as error:
            value_at(config, key, "--x")
        assert message in str(error.value) and str(error.value).startswith("--x: ")


def test_differences_name_the_deepest_key():
    first = {"a": {"b": 1, "c": [1, 2]}, "d": True, "e": 1}
    second = {"a": {"b": 2, "c": [1, 2]}, "d": 1, "f": None, "e": 1.0}
    assert differences(first, second) == [("a.b", 1, 2), ("d", True, 1), ("f", ABSENT, None)]
    assert differences(first, first) == []
