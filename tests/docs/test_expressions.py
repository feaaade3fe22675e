"""The reference of expressions: every function has a sentence, and what the page shows is an expression."""

import re
import sys

import yaml

from hepda.events.expressions.functions import FUNCTIONS
from hepda.events.expressions.parser import parse
from tests.docs.pages import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "docs" / "tools"))

import expressions


def test_every_function_has_a_sentence() -> None:
    texts = {name: text for group in expressions.sentences().values() for name, text in group.items()}
    assert sorted(set(FUNCTIONS) - set(texts)) == []
    assert [name for name, text in texts.items() if not re.fullmatch(r".*\.", text)] == []
    page = expressions.page()
    assert [name for name in FUNCTIONS if f"| `{FUNCTIONS[name].usage}` | {texts[name]} |" not in page] == []


def test_the_examples_of_the_page_are_expressions() -> None:
    block = expressions.LANGUAGE.partition("```yaml\n")[2].partition("```")[0]
    variables = yaml.safe_load(block)["variables"]
    assert len(variables) == 5
    for name, text in variables.items():
        assert parse(text, name).names
    for text in ("20 < pt < 50", "a if condition else b", "jet_pt[0]", "jet_pt[:4]", "jet_pt[jet_b >= 3]", "Jet.pt"):
        assert parse(text, "an example").names
        assert f"`{text}`" in expressions.LANGUAGE
