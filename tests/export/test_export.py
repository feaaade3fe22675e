"""`hepda export`: the tables of a finished run for LaTeX and as CSV, its fits as workspaces; a toy format."""

import csv
import json
from pathlib import Path

import pytest

from hepda import export
from hepda.cli import main
from hepda.evaluation.fits.fitting import workspace as pyhf_workspace
from hepda.export.comma_separated import rows_of
from hepda.export.finished_run import ExportedRun
from hepda.export.latex import PACKAGES, escaped, latex_table
from hepda.number_format import Cell, Quantity, Table
from hepda.runtime.run_directory import stamp, write_json, write_text
from hepda.tabular import figures
from tests.evaluation.fits.regions import one_bin
from tests.export import tex
from tests.tabular.factory import write_analysis


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    path = write_analysis(
        folder, models={"trees_1": {"kind": "bdt", "iterations": 5, "title": "Trees & co_1"}},
        evaluation={"bootstrap": 10, "permutations": 20, "probes": False},
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "FIGURES", {})
        assert main(["train", "--config", str(path), "--output", str(folder / "run"), "--plots", "none"]) == 0
    return folder / "run"


def exported(run: Path, name: str, folder: Path) -> Path:
    assert main(["export", str(run), "--format", name, "--output", str(folder)]) == 0
    return folder


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("a_b & 50 % of {x} #1 $", r"a\_b \& 50 \% of \{x\} \#1 \$"),
        ("c\\d ~ ^", r"c\textbackslash{}d \textasciitilde{} \textasciicircum{}"),
        ("0.50 ± 0.02 fb⁻¹, −3 × 10⁻³", r"0.50 $\pm$ 0.02 fb$^{-1}$, $-$3 $\times$ 10$^{-3}$"),
        ("12\u202f345 – ε < 1", r"12\,345 -- $\varepsilon$ $<$ 1"),
    ],
)
def test_latex_sets_every_text_as_it_is(text: str, latex: str) -> None:
    assert escaped(text) == latex


TABLE = Table("A & b", ["Model", "AUC"], [
    [Cell("x_1", "x_1"), Quantity(0.75, 0.7, 0.8).cell()], [Cell("y", "y"), Quantity(None).cell()],
    [Cell("z", "z"), Quantity(3.0).cell()],
], "A note.")  # fmt: skip


def test_a_table_has_its_rules_rows_and_caption() -> None:
    lines = [line.strip() for line in latex_table(TABLE, "a").splitlines()]
    assert r"\caption{A \& b. A note.}" in lines and r"Model & {AUC} \\" in lines
    assert r"\begin{tabular}{lS[table-format=1.3(3)]}" in lines
    assert r"x\_1 & 0.750 +- 0.050 \\" in lines and r"y & {--} \\" in lines and r"z & 3 \\" in lines
    assert [line for line in lines if line.endswith("rule")] == [r"\toprule", r"\midrule", r"\bottomrule"]


def test_columns_have_the_digits_of_their_numbers_and_text_is_in_braces() -> None:
    rows = [
        [Cell("a", "a"), Quantity(-34812.5, -34832.5, -34792.5).cell(), Quantity(0.031).below(), Cell("net", "net")],
        [Cell("b", "b"), Quantity(1.25, 1.21, 1.29).cell(), Quantity(0.2).cell(unit=" %"), Cell("", None)],
        [Cell("c", "c"), Cell("$x$", 1.0, latex="$x$"), Cell("", None), Cell("", None)],
    ]
    found = latex_table(Table("t", ["", "Events [10³]", "p", "Name"], rows), "t")
    parsed = tex.parse(found)
    assert r"\begin{tabular}{lS[table-format=-5.3(5)]rl}" in found and parsed.columns == "lSrl"
    assert parsed.rows[0] == ["", "{Events [10$^{3}$]}", "p", "Name"]
    assert [row[1:3] for row in parsed.rows[1:]] == [
        ["-34812 +- 20", r"$<$ 0.0310"], ["1.250 +- 0.040", r"0.200 \%"], ["{$x$}", ""],
    ]  # fmt: skip


def test_many_columns_have_heads_of_several_lines_and_no_line_begins_with_a_bracket() -> None:
    head = ["Model", "Expected significance [σ]", *"abcdef"]
    rows = [[Cell("[a]", "a"), *(Quantity(float(k)).cell() for k in range(7))]]
    found = latex_table(Table("t", head, rows), "t")
    assert r"{\shortstack[c]{Expected \\ significance \\ {}[$\sigma$]}}" in found and "    {}[a] & 0 & 1" in found
    assert tex.parse(found).rows[0][:2] == ["Model", r"{Expected   significance   {}[$\sigma$]}"]


def test_csv_has_all_digits_and_the_ends_of_intervals() -> None:
    assert rows_of(TABLE) == [
        ["Model", "AUC", "AUC (low)", "AUC (high)"], ["x_1", "0.75", "0.7", "0.8"], ["y", "", "", ""],
        ["z", "3", "", ""],
    ]  # fmt: skip


def test_the_tables_of_a_run_are_those_of_its_report(run: Path, tmp_path: Path) -> None:
    entry = json.loads((run / "metrics.json").read_text())["models"]["trees_1"]["auc"]["away"]
    folder = exported(run, "csv", tmp_path / "csv")
    with (folder / "accuracy_and_auc.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert row["Model"] == "Trees & co_1" and float(row["AUC, away"]) == entry["value"]
    assert (float(row["AUC, away (low)"]), float(row["AUC, away (high)"])) == (entry["low"], entry["high"])
    folder = exported(run, "latex", tmp_path / "latex")
    assert r"Trees \& co\_1" in (folder / "accuracy_and_auc.tex").read_text()
    listed = (folder / "tables.tex").read_text()
    assert PACKAGES in listed
    assert {path.stem for path in folder.iterdir()} - {"tables"} == {
        line[7:-1] for line in listed.splitlines() if line.startswith(r"\input")
    }
    assert {path.stem for path in (tmp_path / "csv").iterdir()} | {"tables"} == {p.stem for p in folder.iterdir()}


def fit_of(run: Path) -> dict[str, object]:
    """A fit.json of one model without any number."""
    keys = ("mu", "error", "low", "high", "nll", "goodness", "ndf", "p_value", "parameters", "significance", "limit")
    model = {
        "regions": {}, "expected": dict.fromkeys(keys),
        "observed": dict.fromkeys(keys), "significance_by_toys": {"value": None}, "fitted_to": "simulation",
        "error_budget": dict.fromkeys(("total", "data", "systematics", "simulation")), "impacts": [], "closure": {},
    }  # fmt: skip
    head = {"name": "animals", "stamp": stamp(run), "seed": 1, "luminosity": 1.0, "source": "home", "toys": 0}
    return {**head, "choices": {}, "systematics": {}, "models": {"trees_1": model}}


def test_a_workspace_is_what_the_fit_wrote(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["export", str(run), "--format", "workspace"]
    assert main(command) == 2 and "has no fit" in capsys.readouterr().err
    one = one_bin(5.0, 50.0)
    workspace = pyhf_workspace(one, one.total())
    try:
        write_json(run / "fit.json", fit_of(run))
        write_json(run / "workspace-trees_1.json", workspace)
        folder = exported(run, "workspace", tmp_path / "workspace")
        assert json.loads((folder / "trees_1.json").read_text()) == workspace
        write_json(run / "fit.json", {**fit_of(run), "stamp": "another"})
        assert main(command) == 2 and "`hepda fit` makes it again" in capsys.readouterr().err
        write_json(run / "fit.json", {"schema": 1, **fit_of(run)})
        assert main(command) == 2 and "written by another version of hepda" in capsys.readouterr().err
    finally:
        (run / "fit.json").unlink()
        (run / "workspace-trees_1.json").unlink()


def test_what_cannot_be_exported_is_said(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command, message in {
        (
            str(run),
            "--format",
            "latx",
        ): "There are: latex, csv, text, hepdata, workspace, combine, onnx. Did you mean 'latex'",
        (str(run), "--format", "onnx", "--output", str(tmp_path / "x")): "is a run of another kind of data",
        (str(tmp_path), "--format", "csv"): "is not the directory of a finished run",
        (str(run), "--format", "csv", "--output", str(tmp_path)): "exists already; name a new folder",
    }.items():
        assert main(["export", *command]) == 2
        assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def write_names(run: ExportedRun, folder: Path) -> list[Path]:
    write_text(folder / "names.txt", "\n".join(run.metrics.models))
    return [folder / "names.txt"]


def test_a_toy_format_is_a_function_and_a_line(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(export.EXPORTS, "names", f"{__name__}:write_names")
    assert (exported(run, "names", tmp_path / "names") / "names.txt").read_text() == "trees_1"
