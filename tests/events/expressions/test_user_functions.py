"""Functions of users' own: reached by an entry point, by name only, and held to what a value is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hepda.errors import ExpressionError
from hepda.events.expressions import user_functions
from hepda.events.expressions.columns import Column, Vectors, offsets_of
from hepda.events.expressions.evaluator import Evaluator
from hepda.events.expressions.parser import parse

OFFSETS = offsets_of(np.array([2, 0, 1]))
BRANCHES = {
    "jet_pt": Column(np.array([50.0, 40.0, 30.0]), OFFSETS),
    "met": Column(np.array([1.0, 2.0, 3.0]), None, np.array([False, True, False])),
}
VARIABLES = {"jets": parse("p4(jet_pt, jet_pt / 100, jet_pt / 50, 5)")}
MODULE = """
import awkward as ak
def scaled(pt, factor=2): return pt * factor
def spread(pt): return ak.max(pt, axis=1) - ak.min(pt, axis=1)
def filled(x): return ak.fill_none(x, -1)
def recoil(jets): return -jets
def longest(jets): return jets[ak.argmax(jets.pt, axis=1, keepdims=True)][:, 0:1].mass
def words(pt): return ["a", "b", "c"]
def short(pt): return pt[:2]
def broken(pt): return pt.no_such_field
def by_keyword(pt, *, cut): return pt
def anything(*columns): return columns[0]
"""

Installer = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installer]:
    """Install a distribution of one module with entry points, for one test."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, text: str, *extra: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        names = [line.split("(")[0].removeprefix("def ") for line in text.splitlines() if line.startswith("def ")]
        lines = [f"{function} = {name}:{function}" for function in names] + list(extra)
        (info / "entry_points.txt").write_text("\n".join(["[hepda.functions]", *lines, ""]))
        forget()

    def forget() -> None:
        user_functions._entries.cache_clear()
        user_functions._load.cache_clear()

    yield make
    forget()
    for name in [name for name in sys.modules if name.startswith("hepda_test_")]:
        del sys.modules[name]


def value(text: str) -> Column:
    result = Evaluator(BRANCHES, VARIABLES, 3).value(parse(text, "variables.x"))
    assert isinstance(result, Column)
    return result


def test_a_function_by_name_and_not_before(install: Installer) -> None:
    install("hepda_test_own", MODULE)
    assert "hepda_test_own" not in sys.modules
    with pytest.raises(ExpressionError, match=r"'scaledd' is not a function of expressions\. Did you mean 'scaled'"):
        parse("scaledd(jet_pt)")
    parse("sum(jet_pt)")
    assert "hepda_test_own" not in sys.modules
    assert value("scaled(jet_pt)").values.tolist() == [100.0, 80.0, 60.0]
    assert "hepda_test_own" in sys.modules
    assert value("sum(scaled(jet_pt, 3)) + 1").values.tolist() == [271.0, 1.0, 91.0]


def test_lists_gaps_and_four_vectors_pass_both_ways(install: Installer) -> None:
    install("hepda_test_own", MODULE)
    spread = value("spread(jet_pt)")
    assert spread.missing is not None
    assert spread.missing.tolist() == [False, True, False]
    assert spread.values[[0, 2]].tolist() == [10.0, 0.0]
    assert value("filled(met)").values.tolist() == [1.0, -1.0, 3.0]
    gone = value("anything(met, jet_pt, 1)").missing
    assert gone is not None
    assert gone.tolist() == [False, True, False]
    np.testing.assert_allclose(value("px(recoil(jets))").values, -value("px(jets)").values)
    np.testing.assert_allclose(value("longest(jets)").values[[0, 2]], 5, rtol=1e-9)
    moved = Evaluator(BRANCHES, VARIABLES, 3).value(parse("recoil(jets)"))
    assert isinstance(moved, Vectors)
    assert moved.offsets is not None
    assert moved.offsets.tolist() == OFFSETS.tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("met + broken(jet_pt)", r"variables\.x: broken\(\) failed: AttributeError: .*no_such_field.*\n.*\n {10}\^"),
        ("words(jet_pt)", r"words\(\) holds string, not numbers"),
        ("short(jet_pt)", r"short\(\) gave 2 entries for 3 events"),
        ("scaled(jet_pt, 2, 3)", r"scaled\(\) takes 1 to 2 arguments, not 3: scaled\(pt, factor\)"),
        ("by_keyword(jet_pt)", r"needs 'cut' by keyword"),
        ("gone(jet_pt)", r"gone\(\) is registered as hepda_test_own:gone and cannot be loaded: AttributeError"),
        ("lost(jet_pt)", r"lost\(\) is registered as hepda_test_nowhere:lost and cannot be loaded: ModuleNotFound"),
    ],
)
def test_what_goes_wrong_is_told_at_its_place(install: Installer, text: str, message: str) -> None:
    install("hepda_test_own", MODULE, "gone = hepda_test_own:gone", "lost = hepda_test_nowhere:lost")  # type: ignore[call-arg]
    with pytest.raises(ExpressionError, match=message):
        value(text)


def test_hepdas_own_functions_stay_and_two_of_one_name_are_refused(install: Installer) -> None:
    install("hepda_test_own", MODULE + "def sum(x): return x\n")
    install("hepda_test_other", "def scaled(pt): return pt\n")
    assert value("sum(jet_pt)").values.tolist() == [90.0, 0.0, 30.0]
    with pytest.raises(ExpressionError, match=r"scaled\(\) is registered twice: hepda_test_other:scaled and hepda_"):
        parse("scaled(jet_pt)")
