"""The reference of the analysis file: every key has a sentence and an example that fits the schema."""

import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "tools"))

import reference

from hepda.adversarial.methods import METHODS
from hepda.config.kinds import TYPES

EVERY = [(kind, key) for kind in TYPES for keys in reference.kind(kind).keys.values() for key in keys]


def named(kind: str, key: reference.Key) -> str:
    return f"{kind}: {key.section or 'the file'}.{key.name}"


def test_every_key_has_a_sentence() -> None:
    assert len(EVERY) > 450
    assert [named(kind, key) for kind, key in EVERY if len(key.description.split()) < 2] == []


def test_every_key_has_an_example_that_the_schema_accepts() -> None:
    wrong = []
    for kind, key in EVERY:
        schema = key.schema | {"$defs": reference.kind(kind).schema["$defs"]}
        if key.example is None or not Draft202012Validator(schema).is_valid(key.example):
            wrong.append(f"{named(kind, key)}: {key.example!r}")
    assert wrong == []


def test_every_example_is_one_readable_line() -> None:
    texts = {named(kind, key): reference.example_text(key) for kind, key in EVERY}
    assert {name: text for name, text in texts.items() if len(text) > reference.LONGEST or "\n" in text} == {}


def test_keys_of_the_file_exist() -> None:
    """A key that is renamed leaves no unit and no example behind."""
    known = {(key.section or kind, key.name) for kind, key in EVERY}
    names = {key.name for _, key in EVERY}
    more = reference.keys_of_file()
    assert {(s, k) for s, keys in more.items() for k in keys if s != "any"} <= known
    assert set(more["any"]) <= names


@pytest.mark.slow
@pytest.mark.parametrize("kind", TYPES)
def test_page_has_every_key_with_unit_and_default(kind: str) -> None:
    page = reference.kind_page(kind)
    for keys in reference.kind(kind).keys.values():
        for key in keys:
            assert f"#### `{key.name}`" in page
            assert key.description.split()[0] in page
    anchors = [line.partition("{ #")[2].split()[0] for line in page.splitlines() if "{ #" in line]
    assert len(anchors) == len(set(anchors)), "two headings have one address"
    if kind == "events":
        luminosity = page.partition("#### `luminosity`")[2].partition("####")[0]
        assert "unit: 1/fb" in luminosity
        assert "**required**" in luminosity
        assert "default `background`" in page


def test_page_of_methods_has_every_method_and_setting() -> None:
    page = reference.methods_page()
    for name, method in METHODS.items():
        assert f"## `{name}`\n\n{method.summary}" in page
    assert "- `width`: " in page
