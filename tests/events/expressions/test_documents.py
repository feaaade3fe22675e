"""Functions that read published files, and tables in the analysis file: correction, good_lumi, lookup, interpolate."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepda.config.documents import document_hashes, with_absolute_paths
from hepda.errors import ExpressionError
from hepda.events.expressions.columns import Column
from hepda.events.expressions.evaluator import Evaluator
from hepda.events.expressions.names import check_names
from hepda.events.expressions.parser import parse

RUN, BLOCK = np.array([1, 1, 1, 2, 3, 3, 4, 0]), np.array([1, 5, 6, 9, 1, 100, 1, 1])
GOOD = {"1": [[1, 3], [5, 5]], "3": [[50, 120], [100, 130]], "10": []}


def value_of(text: str, columns: dict[str, Column], entries: int) -> Any:
    return Evaluator(columns, {}, entries).value(parse(text))


def write_json(path: Path, content: Any) -> Path:
    text = json.dumps(content).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.mark.parametrize("name", ["golden.json", "golden.json.gz"])
@pytest.mark.parametrize("kinds", [(np.uint64, np.int64), (np.int64, np.uint64)])
def test_good_luminosity_blocks_are_those_of_the_ranges(tmp_path: Path, name: str, kinds: tuple[type, type]) -> None:
    path = write_json(tmp_path / name, GOOD)
    columns = {"run": Column(RUN.astype(kinds[0])), "lumi": Column(BLOCK.astype(kinds[1]))}
    good = value_of(f'good_lumi("{path}", run, lumi)', columns, len(RUN))
    by_hand = [
        any(first <= block <= last for first, last in GOOD.get(str(run), []))
        for run, block in zip(RUN, BLOCK, strict=True)
    ]
    assert good.values.tolist() == by_hand == [True, True, False, False, False, True, False, False]


def test_a_changed_list_of_good_runs_is_read_again(tmp_path: Path) -> None:
    path = write_json(tmp_path / "golden.json", {"1": [[1, 1]]})
    columns, text = {"run": Column(RUN), "lumi": Column(BLOCK)}, f'good_lumi("{path}", run, lumi)'
    assert value_of(text, columns, 8).values.sum() == 1
    write_json(path, {"1": [[1, 100]], "2": [[1, 100]]})
    assert value_of(text, columns, 8).values.sum() == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON file"),
        ("[]", "no mapping of runs to ranges"),
        ("{}", "no mapping of runs to ranges"),
        ('{"run": [[1, 2]]}', "'run' is no number of a run"),
        ('{"7": [[1, 2, 3]]}', r"run 7 has \[1, 2, 3\]"),
        ('{"7": [[5, 2]]}', r"run 7 has \[5, 2\]: a range is two whole numbers, the smaller one first"),
        ('{"7": [["1", 2]]}', "two whole numbers"),
        ('{"7": [1, 2]}', "run 7 has 1"),
        ('{"7": 3}', "run 7 has no list of ranges"),
    ],
)
def test_a_malformed_list_of_good_runs_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "golden.json"
    path.write_text(content)
    with pytest.raises(ExpressionError, match=message):
        check_names([parse(f'good_lumi("{path}", run, lumi)')], {}, ["run", "lumi"], "file")


def test_numbers_of_runs_are_integers(tmp_path: Path) -> None:
    path = write_json(tmp_path / "golden.json", GOOD)
    with pytest.raises(ExpressionError, match="takes the run as a branch of integers"):
        value_of(f'good_lumi("{path}", run, lumi)', {"run": Column(RUN * 1.0), "lumi": Column(BLOCK)}, 8)


def test_a_missing_file_is_named_with_the_one_that_is_there(tmp_path: Path) -> None:
    write_json(tmp_path / "golden.json", GOOD)
    with pytest.raises(ExpressionError, match=r"does not exist. Did you mean 'golden.json'\?"):
        check_names([parse(f'good_lumi("{tmp_path}/goldne.json", run, lumi)')], {}, ["run", "lumi"], "file")


# --- scale factors ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def factors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with `muon_sf`(eta: real, pt: real, n: int, variation: string), as a group would publish it."""
    schema = pytest.importorskip("correctionlib.schemav2")
    path = tmp_path_factory.mktemp("factors") / "muons.json.gz"
    path.write_bytes(gzip.compress(scale_factors(schema).encode()))
    return path


def scale_factors(schema: Any) -> str:
    bins = [
        {"nodetype": "binning", "input": "pt", "edges": [20.0, 50.0, 100.0], "content": [1.1, 1.2], "flow": "error"},
        {"nodetype": "formula", "expression": "1+x/100", "parser": "TFormula", "variables": ["pt"]},
    ]
    eta = {"nodetype": "binning", "input": "eta", "edges": [-2.4, 0.0, 2.4], "content": bins, "flow": "clamp"}
    items = [{"key": "nominal", "value": eta}, {"key": "up", "value": 2.0}]
    inputs = [("eta", "real"), ("pt", "real"), ("n", "int"), ("variation", "string")]
    correction = {
        "name": "muon_sf",
        "version": 1,
        "inputs": [{"name": name, "type": kind} for name, kind in inputs],
        "output": {"name": "weight", "type": "real"},
        "data": {"nodetype": "category", "input": "variation", "content": items},
    }
    text: str = schema.CorrectionSet(schema_version=2, corrections=[correction]).model_dump_json()
    return text


def test_factors_of_objects_and_of_events(factors: Path) -> None:
    offsets = np.array([0, 2, 2, 3])
    columns = {
        "eta": Column(np.array([-1.0, 1.0, -2.0]), offsets),
        "pt": Column(np.array([30.0, 50.0, 70.0]), offsets),
        "lead": Column(np.array([30.0, 60.0, 99.0]), None, np.array([False, False, True])),
        "n": Column(np.array([1, 2, 3])),
    }
    objects = value_of(f'correction("{factors}", "muon_sf", eta, pt, n, "nominal")', columns, 3)
    assert objects.values.tolist() == [1.1, 1.5, 1.2]
    assert objects.offsets.tolist() == offsets.tolist()
    product = value_of(f'prod(correction("{factors}", "muon_sf", eta, pt, n, "nominal"))', columns, 3)
    assert product.values.tolist() == pytest.approx([1.65, 1.0, 1.2])
    events = value_of(f'correction("{factors}", "muon_sf", -1, lead, 2, "nominal")', columns, 3)
    assert events.values[:2].tolist() == [1.1, 1.2]
    assert events.missing.tolist() == [False, False, True]
    assert value_of(f'correction("{factors}", "muon_sf", -1, 30, 1, "up")', columns, 3) == 2.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ('"muon_fs", eta, pt, n, "up"', r"no correction 'muon_fs'. Did you mean 'muon_sf'\? There are: muon_sf"),
        ('"muon_sf", eta, pt', r"takes 4 inputs, not 2: muon_sf\(eta: real, pt: real, n: int, variation: string\)"),
        ('"muon_sf", eta, pt, n, 3', "input 4 is a text in quotes"),
        ('"muon_sf", eta, "pt", n, "up"', "input 2 is a number, not the text 'pt'"),
        ('muon_sf, eta, pt, n, "up"', "is given as text in quotes"),
        ('"muon_sf", eta, pt, pt, "up"', r"input 3 \(n\) is an integer, and it is given numbers with fractions"),
        ('"muon_sf", eta, 200 + pt, n, "nominal"', r"above bounds.*of these events: .*pt from 230 to 270"),
        ('"muon_sf", eta, pt, n, "downn"', "Index not available in Category"),
    ],
)
def test_a_wrong_call_is_told_with_the_signature(factors: Path, call: str, message: str) -> None:
    columns = {"eta": Column(np.full(3, -1.0)), "pt": Column(np.array([30.0, 50, 70])), "n": Column(np.arange(3))}
    with pytest.raises(ExpressionError, match=message):
        value_of(f'correction("{factors}", {call})', columns, 3)


def test_files_of_expressions_that_are_not_used_need_not_be_there() -> None:
    variables = {"sf": parse('correction("/nowhere/sf.json", "sf", x)', "variables.sf")}
    check_names([parse("x > 3")], variables, ["x"], "file")
    with pytest.raises(ExpressionError, match=r"variables.sf: correction\(\) is given the file /nowhere/sf.json"):
        check_names([parse("sf > 3")], variables, ["x"], "file")


def test_text_belongs_only_where_a_function_takes_it() -> None:
    for text in ('x == "nominal"', 'sqrt("x")', "[1, 2]", "sum([1, 2])", 'has("x")'):
        with pytest.raises(ExpressionError):
            parse(text)


# --- tables in the analysis file ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lookup(x, [0, 100, 200], [1.5, 1.25])", [1.5, 1.5, 1.25, 1.25]),
        ("interpolate(x, [0, 100, 200], [1, 2, 0])", [1.0, 1.5, 2.0, 0.0]),
        ("2 * lookup(-x, [-1e3, -50, 0], [1, 3])", [6, 6, 2, 2]),
    ],
)
def test_tables_against_values_by_hand(text: str, expected: list[float]) -> None:
    assert value_of(text, {"x": Column(np.array([-7.0, 50.0, 100.0, 1e4]))}, 4).values.tolist() == expected


def test_a_number_that_is_not_finite_has_no_bin() -> None:
    x = {"x": Column(np.array([np.inf, np.nan]))}
    assert np.isnan(value_of("lookup(x, [0, 1], [2])", x, 2).values).all()
    assert np.isnan(value_of("interpolate(x, [0, 1], [2, 3])", x, 2).values).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lookup(x, [0, 100], [1, 2])", "2 edges, which are 1 bins, and 2 values"),
        ("lookup(x, [0, 100, 50], [1, 2])", "edges that do not ascend: 100, 50"),
        ("lookup(x, [0], [])", "list of plain numbers"),
        ("lookup(x, 0, 1)", "list of plain numbers"),
        ("lookup(x, [0, y], [1])", "list of plain numbers"),
        ("interpolate(x, [0, 1, 2], [1, 2])", "3 points and 2 values"),
        ("interpolate(x, [0, 1e999], [1, 2])", "finite points"),
    ],
)
def test_a_table_that_is_no_table_is_refused(text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        parse(text)


# --- paths and contents -------------------------------------------------------------------------------------------


def test_paths_in_expressions_are_relative_to_the_analysis_file(tmp_path: Path) -> None:
    (tmp_path / "sf.json").write_text("1")
    text = 'w * correction( "sf.json", "a", x) * correction(\'/b.json\', "c")'
    section = with_absolute_paths({"weight": text, "samples": [{"selection": 3}]}, lambda path: str(tmp_path / path))
    assert section["weight"] == f'w * correction( "{tmp_path}/sf.json", "a", x) * correction(\'/b.json\', "c")'
    hashes = document_hashes(section)
    assert list(hashes) == ["/b.json", f"{tmp_path}/sf.json"]
    assert hashes["/b.json"] is None
    first = hashes[f"{tmp_path}/sf.json"]
    (tmp_path / "sf.json").write_text("2")
    assert document_hashes(section)[f"{tmp_path}/sf.json"] != first
