"""Expressions: what they mean, that nothing else gets through, and what their errors say."""

from __future__ import annotations

import ast
import contextlib
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hepda.errors import ExpressionError
from hepda.events.expressions.columns import Column, Vectors, offsets_of
from hepda.events.expressions.evaluator import Evaluator
from hepda.events.expressions.functions import FUNCTIONS
from hepda.events.expressions.names import check_names
from hepda.events.expressions.parser import MAX_DEPTH, Expression, needed_names, parse

OFFSETS = offsets_of(np.array([3, 0, 2]))
BRANCHES = {
    "jet_pt": Column(np.array([50.0, 40.0, 30.0, 70.0, 20.0]), OFFSETS),
    "jet_b": Column(np.array([4, 0, 3, 1, 2]), OFFSETS),
    "jet_eta": Column(np.array([0.1, 1.0, -1.0, 0.5, 2.0]), OFFSETS),
    "jet_phi": Column(np.array([0.1, 3.0, -1.0, 0.5, -2.0]), OFFSETS),
    "jet_mass": Column(np.full(5, 5.0), OFFSETS),
    "met": Column(np.array([1.0, 2.0, 3.0])),
    "Jet.pt": Column(np.array([7.0, 8.0, 9.0])),
    "flags": Column(np.array([1, 2, 3])),
    "good": Column(np.array([True, False, True])),
    "big": Column(np.array([2**64 - 1, 2**63, 5], dtype=np.uint64)),
    "small": Column(np.array([3, 5, 9], dtype=np.uint64)),
    "huge": Column(np.array([2**60 + 1, 2**60 - 1, 2**60, 5, 7]), OFFSETS),
    "null_b": Column(np.array([4, 2, 9, 1, 4]), OFFSETS, np.array([False, False, True, False, False])),
}
VARIABLES = {
    "jets": parse("p4(jet_pt, jet_eta, jet_phi, jet_mass)"),
    "tagged": parse("jets[jet_b >= 3]"),
    "n_b": parse("count(tagged)"),
    "hard": parse("jet_pt > 25"),
}


def numbers(text: str, n: int = 3) -> list[Any]:
    """Values of `text` with None for what is missing; lists as lists."""
    value = Evaluator(BRANCHES, VARIABLES, n).value(parse(text))
    assert not isinstance(value, Vectors)
    if not isinstance(value, Column):
        return [value]
    gone = np.zeros(len(value.values), bool) if value.missing is None else value.missing
    flat = [None if g else v for v, g in zip(value.values.tolist(), gone, strict=True)]
    if value.offsets is None:
        return flat
    return [flat[a:b] for a, b in pairwise(value.offsets)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sum(jet_pt)", [120.0, 0.0, 90.0]),
        ("count(jet_pt[jet_b > 0.5])", [2, 0, 2]),
        ("max(jet_pt)", [50.0, None, 70.0]),
        ("min(jet_pt)", [30.0, None, 20.0]),
        ("mean(jet_pt)", [40.0, None, 45.0]),
        ("any(jet_b >= 3)", [True, False, False]),
        ("all(jet_b >= 1)", [False, True, True]),
        ("jet_pt[0]", [50.0, None, 70.0]),
        ("jet_pt[2]", [30.0, None, None]),
        ("jet_pt[-1]", [30.0, None, 20.0]),
        ("jet_pt[1:]", [[40.0, 30.0], [], [20.0]]),
        ("jet_pt[:-1]", [[50.0, 40.0], [], [70.0]]),
        ("jet_pt[-2:]", [[40.0, 30.0], [], [70.0, 20.0]]),
        ("jet_pt[::2]", [[50.0, 30.0], [], [70.0]]),
        ("jet_pt[met > 1]", [[], [], [70.0, 20.0]]),
        ("jet_pt[(jet_b > 0) & (jet_pt > 25)]", [[50.0, 30.0], [], [70.0]]),
        ("sort(jet_b)", [[4, 3, 0], [], [2, 1]]),
        ("sort(jet_pt, jet_b)", [[50.0, 30.0, 40.0], [], [20.0, 70.0]]),
        ("argsort(jet_b)", [[0, 2, 1], [], [1, 0]]),
        ("jet_pt[argsort(jet_b)][0]", [50.0, None, 20.0]),
        ("jet_pt[n_b]", [30.0, None, 70.0]),
        ("jet_pt - met", [[49.0, 39.0, 29.0], [], [67.0, 17.0]]),
        ("count(jet_pt[jet_pt > jet_pt[1]])", [1, 0, 1]),
        ("n_b * 2 + met", [5.0, 2.0, 3.0]),
        ("where(n_b > 0, jet_pt[0], -5)", [50.0, -5, -5]),
        ("jet_pt[0] if n_b == 0 else 1.5", [1.5, None, 70.0]),
        ("default(jet_pt[2], 0)", [30.0, 0.0, 0.0]),
        ("is_missing(jet_pt[2])", [False, True, True]),
        ("jet_pt[0] > 60", [False, None, True]),
        ("jet_pt[0] != 60", [True, None, True]),
        ("not jet_pt[0] > 60", [True, None, False]),
        ("1 < jet_pt[0] < 60", [True, None, False]),
        ("(jet_pt[0] > 60) & (met > 2)", [False, False, True]),
        ("(jet_pt[0] > 60) & (met < 3)", [False, None, False]),
        ("jet_pt[0] > 60 or met == 2", [False, True, True]),
        ("jet_pt[0] > 60 or met == 1", [True, None, True]),
        ("(jet_pt[0] > 60) ^ (met == 2)", [False, None, True]),
        ("False and jet_pt[0] > 60", [False, False, False]),
        ("where(jet_pt[0] > 60, 1, 0)", [0, None, 1]),
        ("where(met > 1, jet_pt[0], met)", [1.0, None, 70.0]),
        ("default(jet_pt[0] > 60, False)", [False, False, True]),
        ("-jet_pt[0] + abs(jet_pt[0])", [0.0, None, 0.0]),
        ("jet_pt[~(jet_pt > jet_pt[1])]", [[40.0, 30.0], [], [20.0]]),
        ("argsort(null_b)", [[0, 1], [], [1, 0]]),
        ("jet_pt[argsort(null_b)]", [[50.0, 40.0], [], [20.0, 70.0]]),
        ("argmin(null_b)", [1, None, 0]),
        ("sum(null_b) * 10 + count(null_b)", [62, 0, 52]),
        ("null_b > 0", [[True, True, None], [], [True, True]]),
        ("any(null_b == 3)", [False, False, False]),
        ("1 < met < 3", [False, True, False]),
        ("(met > 1) & good", [False, False, True]),
        ("met > 1 and good or met == 1", [True, False, True]),
        ("~good", [False, True, False]),
        ("flags & ~1", [0, 2, 2]),
        ("~1 & flags", [0, 2, 2]),
        ("flags & ~(1 | 4)", [0, 2, 2]),
        ("(flags & ~~2) | ~flags", [-2, -1, -2]),
        ("big & ~1", [2**64 - 2, 2**63, 4]),
        ("not flags", [False, False, False]),
        ("good & flags", [True, False, True]),
        ("(met > 1) ^ (met > 2)", [False, True, False]),
        ("(flags & 2) == 2", [False, True, True]),
        ("Jet.pt + 1", [8.0, 9.0, 10.0]),
        ("met\n  + 1", [2.0, 3.0, 4.0]),
        ("sqrt(flags ** 2)", [1.0, 2.0, 3.0]),
        ("(met > 1) + (met > 2)", [0, 1, 2]),
        ("-flags // 2", [-1, -1, -2]),
        ("big % 10", [5, 8, 5]),
        ("(big - 1) % 2", [0, 1, 0]),
        ("big == 18446744073709551615", [True, False, False]),
        ("big > 9223372036854775808.0", [True, False, False]),
        ("small - 5", [-2, 0, 4]),
        ("5 - small", [2, 0, -4]),
        ("-small", [-3, -5, -9]),
        ("minimum(big, flags)", [1, 2, 3]),
        ("maximum(big, flags)", [2**64 - 1, 2**63, 5]),
        ("clip(big, 6, 9223372036854775809)", [2**63 + 1, 2**63, 6]),
        ("where(met > 2, flags, big)", [2**64 - 1, 2**63, 3]),
        ("floor(big) % 10", [5, 8, 5]),
        ("sort(huge)", [[2**60 + 1, 2**60, 2**60 - 1], [], [7, 5]]),
        ("sum(huge) - 3458764513820540928", [0, -3 * 2**60, 12 - 3 * 2**60]),
        ("delta_eta(small, 5)", [2.0, 0.0, 4.0]),
        ("n_b // 2 + flags // 2", [1, 1, 1]),
        ("minimum(met, 2) + maximum(met, 2)", [3.0, 4.0, 5.0]),
        ("abs(flags - 2)", [1, 0, 1]),
        ("first(jet_pt) + last(jet_pt)", [80.0, None, 90.0]),
        ("argmax(jet_b)", [0, None, 1]),
        ("jet_pt[argmin(jet_b)]", [40.0, None, 70.0]),
        ("pair_first(jet_b)", [[4, 4, 0], [], [1]]),
        ("pair_second(jet_b)", [[0, 3, 3], [], [2]]),
        ("triplet_first(jet_b) * 100 + triplet_second(jet_b) * 10 + triplet_third(jet_b)", [[403], [], []]),
        ("cross_first(jet_b, jet_pt[1:])", [[4, 4, 0, 0, 3, 3], [], [1, 2]]),
        ("cross_second(jet_b, jet_pt[1:])", [[40.0, 30.0] * 3, [], [20.0, 20.0]]),
        ("count(pair_first(jet_b)[abs(pair_first(jet_b) - pair_second(jet_b)) < 2])", [1, 0, 1]),
        ("round_trip", None),
    ],
)
def test_meaning(text: str, expected: list[Any] | None) -> None:
    if expected is None:
        with pytest.raises(ExpressionError, match="neither a variable nor a branch"):
            numbers(text)
    else:
        assert numbers(text) == expected


def test_four_vectors() -> None:
    assert numbers("mass(jets[0] + jets[1])")[1] is None
    assert numbers("pt(jets)")[0] == pytest.approx([50.0, 40.0, 30.0])
    np.testing.assert_allclose(numbers("eta(sort(jets, jet_b)[0])")[0], 0.1)
    np.testing.assert_allclose(numbers("delta_r(jets[0], jets[1])")[0], np.hypot(0.9, 2.9))
    np.testing.assert_allclose(numbers("delta_phi(jets[1], jets[2])")[0], 4 - 2 * np.pi)
    assert numbers("count(delta_r(jets, jets[2]))") == [3, 0, 0]


def test_division_by_zero_is_not_hidden() -> None:
    assert np.isnan(numbers("flags % 0")).all()
    assert np.isinf(numbers("flags / 0")).all()
    assert np.isnan(numbers("sqrt(0 - met)")).all()


def test_repeated_parts_are_worked_out_once() -> None:
    evaluator = Evaluator(BRANCHES, VARIABLES, 3)
    first = evaluator.value(parse("tagged"))
    assert evaluator.value(parse("tagged")) is first
    assert evaluator.value(parse("sum(jet_pt)")) is evaluator.value(parse("sum( jet_pt )"))


@pytest.mark.parametrize(
    ("text", "message", "caret"),
    [
        ("sun(jet_pt)", "'sun' is not a function of expressions. Did you mean 'sum'?", (0, 3)),
        ("met + jet_ptt", "Did you mean 'jet_pt'?", (6, 7)),
        ("met > 1 & n_b > 1", "write (a > 1) & (b > 2)", (6, 7)),
        ("met + jet_pt[:1] + jet_pt", "lists have different lengths (entry 0: 1 and 3", (0, 25)),
        ("met[0]", "is one number per event", (0, 6)),
        ("sum(met)", "needs a list per event", (0, 8)),
        ("mass(jet_pt)", "needs four-vectors: p4(pt, eta, phi, mass)", (0, 12)),
        ("jets + 1", "is a four-vector; take its pt()", (0, 8)),
        ("jet_pt[met]", "indexed by a condition", (0, 11)),
        ("sum(jet_pt, 2)", "takes 1 arguments, not 2: sum(list)", (0, 14)),
        ("met && good", "does not parse: invalid syntax. Write & and |", (5, 1)),
        ("ünïcode + 1", "'ünïcode' is neither", (0, 7)),
        ("met + 'a'", "only numbers, True and False", (6, 3)),
        ("jet_pt[0, 1]", "only one index", (7, 4)),
        ("jet_pt[met:]", "a slice takes plain integers", (7, 3)),
        ("met & good", "take conditions or integers", (0, 10)),
        ("met + pair_first(met)", "needs a list per event", (6, 15)),
        ("rapidity(met)", "needs four-vectors", (0, 13)),
        ("p4_xyz(1, met, met, met)", "needs its coordinates as numbers of each event", (0, 24)),
        ("argmax(met)", "needs a list per event", (0, 11)),
        ("met > 1 ^ n_b > 1", "write (a > 1) & (b > 2)", (6, 7)),
        ("n_b == 4 or 5", "is a plain number, not a condition; write the comparison out: n_b == 5", (12, 1)),
        ("5 or n_b == 4", "write the comparison out: n_b == 5", (0, 1)),
        ("n_b == 4 or -5", "write the comparison out: n_b == -5", (12, 2)),
        ("met > 2 and pi", "write the comparison out: met > pi", (12, 2)),
        ("good and 1", "is a plain number, not a condition; compare something with it", (9, 1)),
        ("(n_b == 4) | 5", "write the comparison out: n_b == 5", (13, 1)),
        ("good | 5", "joins a condition with the plain number 5", (0, 8)),
        ("not 5", "is a plain number, not a condition", (4, 1)),
        ("count(jet_pt > 25)", "write sum(jet_pt > 25) or count(jet_pt[jet_pt > 25])", (0, 18)),
        ("count(not jet_b)", "write sum(not jet_b)", (0, 16)),
        ("count(hard)", "counts all elements, whether the condition holds or not", (0, 11)),
        ("abs(jet_eta < 2.5)", "write abs(jet_eta) < 2.5", (0, 18)),
        ("~flags", "write not (...), or compare with 0", (0, 6)),
        ("~(flags & 4)", "write not (...), or compare with 0", (0, 12)),
        ("(met > 1) & ~flags", "write not (...), or compare with 0", (0, 18)),
        ("~big & 1", "gives the integer -18446744073709551616, which 64 bits do not hold", (0, 8)),
        ("big + 1", "gives the integer 18446744073709551616, which 64 bits do not hold", (0, 7)),
        ("big - 6", "gives the integer 18446744073709551609 together with -1", (0, 7)),
        ("flags * 9223372036854775807", "gives the integer 27670116110564327421", (0, 27)),
        ("minimum(big, 1.5)", "makes a number with a fraction of the integer 18446744073709551615", (0, 17)),
        ("big % 2.0", "makes a number with a fraction of the integer 18446744073709551615", (0, 9)),
        ("where(good, big, -1.5)", "makes a number with a fraction of the integer", (0, 22)),
        ("big % (flags - 1)", "divides by 0, and float64, which has NaN for it", (0, 17)),
    ],
)
def test_errors_point_into_the_text(text: str, message: str, caret: tuple[int, int]) -> None:
    with pytest.raises(ExpressionError) as caught:
        expression = parse(text, "variables.x")
        check_names([expression], VARIABLES, BRANCHES, "a.root")
        Evaluator(BRANCHES, VARIABLES, 3).value(expression)
    head, shown, mark = str(caught.value).split("\n")
    assert head.startswith("variables.x: ")
    assert message in head
    assert shown == f"    {text}"
    assert mark == "    " + " " * caret[0] + "^" * caret[1]


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "().__class__.__bases__[0].__subclasses__()",
        "met.__class__()",
        "lambda: 1",
        "[x for x in jet_pt]",
        "{1: 2}",
        "(met := 3)",
        "f'{met}'",
        "sum(*jet_pt)",
        "sum(x=jet_pt)",
        "met if True",
        "met; met",
        "import os",
        "met @ met",
        "1j",
        "met is met",
        "met in jet_pt",
        "...",
        "None",
        "b'x'",
        "await met",
        "sum(jet_pt)(1)",
        "sum(jet_pt).real",
        "eval(1)",
        "open(1)",
        "",
        "   ",
        "\x00",
        "-" * 3000 + "met",
        "(" * 300 + "1" + ")" * 300,
        "met" + "+met" * 900,
        "1" * 30,
        "met + " * 2000 + "1",
    ],
)
def test_nothing_else_gets_through(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse(text)


def test_large_powers_end_at_once() -> None:
    assert numbers("9**9**9**9") == [float("inf")]


@pytest.mark.parametrize("wrap", ["-{}", "sqrt({})", "({} + 1)", "(1 if good else {})", "jet_pt[{} > 1][0]"])
def test_depth_is_bounded(wrap: str) -> None:
    def nested(depth: int) -> str:
        text = "met"
        for _ in range(depth):
            text = wrap.format(text)
        return text

    assert isinstance(parse(nested(MAX_DEPTH // 4)), Expression)
    with pytest.raises(ExpressionError, match="nested too deeply"):
        parse(nested(MAX_DEPTH + 10))


ESCAPES = (
    "__import__('os').system('true')", "().__class__.__bases__[0].__subclasses__()", "met.__class__.__init__",
    "pi.real", "exec('1')", "open('/etc/passwd')", "sum.__globals__", "sum(jet_pt).__array_interface__",
    "(lambda: 1)()", "eval('met')", "getattr(met, 'values')", "[c for c in jet_pt]", "f'{met!r}'", "breakpoint()",
    "sort(jet_pt, __builtins__)",
)  # fmt: skip


def test_nothing_is_executed() -> None:
    """Python itself is asked what happens: no code runs, nothing is imported, opened or started by a text."""
    reached: list[str] = []
    armed = False

    def watch(event: str, _: object) -> None:
        if armed and event.startswith(("exec", "import", "open", "os.", "subprocess.", "socket.", "ctypes.")):
            reached.append(event)

    texts = (*ESCAPES, "sum(jet_pt) + n_b", "mt(jets)[0]", "jet_pt[jet_b > 1][0]", "cross_first(jets, jets)")
    for text in (*texts, "rapidity(jets[0])", "sum(pair_first(jet_pt))"):
        with contextlib.suppress(ExpressionError):  # once unwatched: what hepda imports where it is first used
            Evaluator(BRANCHES, VARIABLES, 3).value(parse(text))
    sys.addaudithook(watch)  # stays for the process, disarmed
    for text in texts:
        armed = True
        try:
            Evaluator(BRANCHES, VARIABLES, 3).value(parse(text))
            refused = False
        except ExpressionError:
            refused = True
        finally:
            armed = False
        assert refused == (text in ESCAPES), text
    assert reached == []


def test_circles_are_refused() -> None:
    variables = {"a": parse("b + 1"), "b": parse("c * met"), "c": parse("a")}
    with pytest.raises(ExpressionError, match="b -> c -> a -> b"):
        needed_names(variables.values(), variables)


def test_a_name_before_a_bracket_is_a_function_and_a_variable_elsewhere() -> None:
    branches = {"sum": Column(np.array([1.0, 2.0, 3.0])), **BRANCHES}
    check_names([parse("sum(jet_pt) / sum")], {}, branches, "a.root")
    values, _ = Evaluator(branches, {}, 3).number(parse("sum(jet_pt) / sum"))
    assert values.tolist() == [120.0, 0.0, 30.0]


def test_a_constant_that_is_a_branch_too_is_refused() -> None:
    with pytest.raises(ExpressionError, match=r"a.root has a branch of this name.*own_pi: pi.*3.14159265"):
        check_names([parse("2 * pi * met")], {}, {"pi", "met"}, "a.root")
    check_names([parse("2 * own_pi * met")], {}, {"pi", "own_pi", "met"}, "a.root")
    check_names([parse("2 * pi * met")], {}, {"met"}, "a.root")


TRUTHS = st.sampled_from([True, False, None])


@given(st.lists(st.tuples(TRUTHS, TRUTHS, TRUTHS), min_size=1, max_size=5), st.data())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_logic_of_three_values(rows: list[tuple[bool | None, ...]], data: st.DataObject) -> None:
    """Held against Python: an expression is missing where its value depends on what the missing ones are."""
    leaves = st.sampled_from(["a", "b", "c", "True", "False"])
    forms = ["({} and {})", "({} or {})", "({} & {})", "({} | {})"]
    grow = lambda inner: st.builds(str.format, st.sampled_from(forms), inner, inner) | inner.map("(not {})".format)  # noqa: E731
    text = data.draw(st.recursive(leaves, grow, max_leaves=4))
    columns = {
        name: Column(np.array([bool(v) for v in truths]), None, np.array([v is None for v in truths]))
        for name, truths in zip("abc", zip(*rows, strict=True), strict=True)
    }
    value = Evaluator(columns, {}, len(rows)).value(parse(text))
    assert not isinstance(value, Vectors)
    for i, row in enumerate(rows):
        kleene = _kleene(ast.parse(text, mode="eval").body, dict(zip("abc", row, strict=True)))
        if not isinstance(value, Column):
            assert value == kleene
        else:
            result = None if value.missing is not None and value.missing[i] else bool(value.values[i])
            assert result == kleene, text


def _kleene(node: ast.expr, names: dict[str, bool | None]) -> bool | None:
    if isinstance(node, ast.Name):
        return names[node.id]
    if isinstance(node, ast.Constant):
        return bool(node.value)
    if isinstance(node, ast.UnaryOp):
        inner = _kleene(node.operand, names)
        return None if inner is None else not inner
    assert isinstance(node, ast.BoolOp | ast.BinOp)
    parts = [_kleene(p, names) for p in (node.values if isinstance(node, ast.BoolOp) else (node.left, node.right))]
    settles = isinstance(node.op, ast.Or | ast.BitOr)
    return settles if settles in parts else None if None in parts else not settles


def test_only_needed_branches() -> None:
    assert needed_names([parse("n_b + met * pi")], VARIABLES) == {
        "jet_pt", "jet_eta", "jet_phi", "jet_mass", "jet_b", "met",
    }  # fmt: skip


def test_lists_are_no_feature() -> None:
    evaluator = Evaluator(BRANCHES, VARIABLES, 3)
    with pytest.raises(ExpressionError, match="is a list per event; make it one number"):
        evaluator.number(parse("jet_pt"))
    with pytest.raises(ExpressionError, match="is a four-vector"):
        evaluator.number(parse("jets[0]"))


NAMES = st.sampled_from(["jet_pt", "jet_b", "met", "jets", "flags", "good", "n_b", "Jet.pt", "1", "2.5", "True"])
CALLS = sorted(FUNCTIONS)


WORDS = [*BRANCHES, *CALLS, *"()[],:+-*/%&|^~<>=. ", "**", "!=", "and", "not", "if", "else", "0", "1e400", "__class__",
         "lambda", "'a'", "{", "\\", "\ud800", "#", "@"]  # fmt: skip


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "&", "|", "^", "<", "==", "!=", "and", "or"])
    return st.one_of(
        st.builds("({} {} {})".format, inner, operators, inner),
        st.builds("({}[{}])".format, inner, st.one_of(inner, st.sampled_from(["0", "-1", ":2", "1:", "-2:-1"]))),
        st.builds("({} {})".format, st.sampled_from(["-", "~", "not"]), inner),
        st.builds("{}({})".format, st.sampled_from(CALLS), inner),
        st.builds("{}({}, {})".format, st.sampled_from(CALLS), inner, inner),
        st.builds("{}({}, {}, {})".format, st.sampled_from(CALLS), inner, inner, inner),
    )


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(st.recursive(NAMES, _grow, max_leaves=12))
def test_any_expression_gives_a_value_or_its_own_error(text: str) -> None:
    try:
        value = Evaluator(BRANCHES, VARIABLES, 3).value(parse(text))
    except ExpressionError:
        return
    if isinstance(value, Column | Vectors):
        size = len(value.values if isinstance(value, Column) else value.px)
        assert size == (3 if value.offsets is None else value.offsets[-1])
        assert value.offsets is None or len(value.offsets) == 4


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(WORDS), max_size=40).map("".join)))
def test_any_text_parses_or_says_why(text: str) -> None:
    try:
        assert isinstance(parse(text), Expression)
    except ExpressionError as error:
        assert str(error).startswith("expression: ")


def test_no_event_gives_no_value() -> None:
    branches = {
        name: Column(column.values[:0], None if column.offsets is None else np.zeros(1, np.int64))
        for name, column in BRANCHES.items()
    }
    evaluator = Evaluator(branches, VARIABLES, 0)
    for text in ("sum(jet_pt)", "jet_pt[0]", "sort(jet_pt)[0]", "jet_pt[1:][0]", "n_b", "max(jet_pt)"):
        assert len(evaluator.number(parse(text))[0]) == 0
    assert isinstance(parse("1").tree, ast.Constant)
