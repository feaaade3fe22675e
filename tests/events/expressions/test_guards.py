"""has(branch): an expression is reduced to what a file can give, and only there may a branch be absent."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import yaml

from hepda.config import load_config
from hepda.errors import ExpressionError
from hepda.events import check_text
from hepda.events.check import check_events
from hepda.events.dataset.load import load_table
from hepda.events.dataset.plan import cuts_of
from hepda.events.expressions.columns import Column
from hepda.events.expressions.evaluator import Evaluator
from hepda.events.expressions.names import check_names
from hepda.events.expressions.parser import needed_names, parse
from hepda.events.resolve import dataset_spec
from tests.factory import analysis, write_analysis, write_sample

COLUMNS = {"a": Column(np.array([True, False, True])), "x": Column(np.array([1.0, 2.0, 3.0]))}


@pytest.mark.parametrize(
    ("text", "left", "values"),
    [
        ("has(b) & b", "False", [0, 0, 0]),
        ("b & has(b)", "False", [0, 0, 0]),
        ("a | (has(b) & b)", "a | False", [1, 0, 1]),
        ("has(a) & a", "True & a", [1, 0, 1]),
        ("~has(b) | (b > 3)", "True", [1, 1, 1]),
        ("not has(b) or b > 3", "True", [1, 1, 1]),
        ("where(has(b), b, x)", "x", [1, 2, 3]),
        ("b if has(b) else 2 * x", "2 * x", [2, 4, 6]),
        ("x * where(has(b) | has(c), b + c, 0.5)", "x * 0.5", [0.5, 1, 1.5]),
        ("where(has(b) & has(a), b, x) + where(~has(c), x, c)", "x + x", [2, 4, 6]),
        ("where(a, x, where(has(Jet.b), max(Jet.b), -1))", "where(a, x, -1)", [1, -1, 3]),
    ],
)
def test_what_is_left_of_an_expression(text: str, left: str, values: list[float]) -> None:
    expression = parse(text)
    check_names([expression], {}, COLUMNS, "file")
    reduced = expression.in_file(COLUMNS)
    assert ast.unparse(reduced.tree) == left
    assert needed_names([reduced], {}) <= set(COLUMNS)
    assert Evaluator(COLUMNS, {}, 3).number(reduced)[0].tolist() == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("has(b) | b", "no has.b. guards this place"),
        ("has(b) & (typo > 3)", "'typo' is neither a variable nor a branch of file"),
        ("where(has(b), x, b)", "no has.b. guards this place"),
        ("has(v)", "'v' is a variable"),
        ("has(s)", "'s' of file holds string"),
        ("has(b) & v", ""),
    ],
)
def test_a_branch_may_be_absent_only_where_it_is_guarded(text: str, message: str) -> None:
    variables, refused = {"v": parse("b > 3", "variables.v")}, {"s": "holds string"}
    if not message:
        check_names([parse(text)], variables, COLUMNS, "file", refused)
        return
    with pytest.raises(ExpressionError, match=message):
        check_names([parse(text)], variables, COLUMNS, "file", refused)


@pytest.mark.parametrize("text", ["has(3)", "has(a > 1)", "has(pi)", "has()", "has(a, b)"])
def test_has_takes_the_name_of_a_branch(text: str) -> None:
    with pytest.raises(ExpressionError, match="has"):
        parse(text)


def test_a_guard_and_what_it_guards_are_one_cut() -> None:
    cuts = cuts_of("(x > 1) & has(b) & (b > 2) & a")
    assert [cut.text for cut in cuts] == ["x > 1", "has(b) & (b > 2)", "a"]
    assert [cut.text for cut in cuts_of("v & has(b)", variables={"v": parse("b > 2")})] == ["(v) & has(b)"]
    assert [cut.text for cut in cuts_of("a & (a | (has(b) & b))")] == ["a", "a | (has(b) & b)"]


def two_years(folder: Path, **changes: object) -> Path:
    """The small analysis, whose data are of two files: only the second has the trigger `HLT_b`."""
    path = write_analysis(folder, n=600)
    rng = np.random.default_rng(3)
    for name, seed in (("signal", 1), ("background", 2), ("signal_alt", 3), ("background_alt", 4), ("third", 5)):
        trigger = rng.random(600) < 0.5
        write_sample(folder / f"{name}.root", 600, seed, name.startswith("signal"), spoil={"HLT_a": trigger})
    fired = rng.random(600) < 0.5
    write_sample(folder / "data.root", 600, 6, signal=False, data=True, spoil={"HLT_a": fired})
    write_sample(folder / "later.root", 600, 7, signal=False, data=True, spoil={"HLT_a": fired, "HLT_b": ~fired})
    content = analysis(**changes)
    content["samples"]["data"]["files"] = ["data.root", "later.root"]
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.mark.slow
def test_events_of_files_with_and_without_a_trigger(tmp_path: Path) -> None:
    path = two_years(tmp_path, selection="HLT_a | (has(HLT_b) & HLT_b)", features=["met"])
    loaded = load_table(dataset_spec(load_config(path)))
    selected = [file.sums.entries for file in loaded.files if file.sample == "data"]
    assert selected[1] == 600  # every event of the later file fired one of the two
    assert 200 < selected[0] < 400
    result = check_events(load_config(path), lambda *_: None, every_file=True)
    assert result.problems == []
    page = "\n".join(check_text.lines("small", 1.0, result))
    assert f"data: has(HLT_b) is false in 1 of 2 files, which lack the branch: {tmp_path / 'data.root'}" in page


def test_a_branch_that_no_file_has_is_reported_with_the_nearest_one(tmp_path: Path) -> None:
    path = two_years(tmp_path, selection="HLT_a | (has(HLT_bb) & HLT_bb)", features=["met"])
    result = check_events(load_config(path), lambda *_: None, every_file=True)
    assert [line for line in result.warnings if "Did you mean 'HLT_b'?" in line and "HLT_bb" in line]


def test_a_typo_beside_a_guard_stays_an_error(tmp_path: Path) -> None:
    path = two_years(tmp_path, selection="HLT_a | (has(HLT_b) & HLT_B2)", features=["met"])
    with pytest.raises(ExpressionError, match="HLT_B2"):
        load_table(dataset_spec(load_config(path)))
