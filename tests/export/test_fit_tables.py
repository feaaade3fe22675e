"""Tables of a fit: yields by process and region, rates, ranking, pruning; as LaTeX that compiles, CSV, text."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hepda.events.results.tables.fit import fit_tables
from hepda.events.results.tables.fit_parameters import (
    goodness_table,
    pruned_table,
    ranking_table,
    rates_table,
    smoothed_table,
)
from hepda.events.results.tables.fit_yields import yields_tables
from hepda.export.comma_separated import rows_of
from hepda.export.finished_run import ExportedRun
from hepda.export.latex import PACKAGES, label_text, latex_table
from hepda.export.text import text_table
from hepda.number_format import Table
from hepda.results.fit_file import (
    ClosureVariants,
    FitFile,
    FittedModel,
    GoodnessEntry,
    PrunedEntry,
    SmoothedEntry,
    SystematicEntry,
    YieldEntry,
)
from tests.export import tex
from tests.plotting.fit.records import closed, impact, model, region

LABELS = {"ttb": r"$t\bar{t}$ + $\geq$1b & co_1", "ttlight": "tt + light (50 %)"}


def fit_file(**models: FittedModel) -> FitFile:
    how = SystematicEntry(kind="free", samples=["ttb"], how="rate × a free factor")
    return FitFile(
        name="x_1", stamp="", seed=1, luminosity=1.0, source="simulation", toys=10, choices={}, models=models,
        systematics={"ttb_rate": how}, smoothing="353QH",
    )  # fmt: skip


def closure() -> ClosureVariants:
    away = closed(1.0, 0.9, 0.6).model_copy(update={"rates": {"ttb_rate": YieldEntry(value=0.7, error=0.05)}})
    return ClosureVariants(without_two_point={"third": [closed(0.0, 0.1), away]})


def full() -> FitFile:
    changes: dict[str, Any] = {
        "closure": closure(),
        "goodness": GoodnessEntry(value=12.3, ndf=9, p_value=0.2, toys_p_value=0.0, toys_p_error=0.0, toys=200),
        "impacts": [impact("jes_1"), impact("ttb_rate", "free", pull=None, constraint=None, prefit_up=None,
                                            prefit_down=None, value=1.3, error=0.1)],
        "pruned": [
            PrunedEntry(parameter="jes_1", region=where, sample=sample, part="rate", size=size, threshold=0.01)
            for where, sample, size in (("four_b", "ttH", 0.001), ("two_b", "ttb", -0.004))
        ],
        "smoothed": [SmoothedEntry(parameter="jes_1", region="four_b", sample="ttH", change=0.02)],
    }  # fmt: skip
    return fit_file(net_1=model(**changes), bdt=model(**changes))


def by_name(table: Table) -> dict[str, list[str]]:
    return {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}


def test_yields_are_those_of_the_fit_by_process_and_region() -> None:
    before, after, other = yields_tables(full(), LABELS)
    assert (before.title, after.title, other.title) == (
        "Yields before the fit", "Yields after the fit: net_1", "Yields after the fit: bdt",
    )  # fmt: skip
    assert before.head == ["Process", "four_b", "two_b", "three_b (not fitted)"]
    assert [row[0].text for row in before.rows] == ["ttH", "ttb", "ttlight", "Sum", "Data"]
    regions = model().regions
    for table, stage in ((before, "prefit"), (after, "postfit")):
        numbers = {row[0].text: [cell.sort for cell in row[1:]] for row in table.rows}
        for name in ("ttH", "ttb", "ttlight"):
            assert numbers[name] == pytest.approx([getattr(r, stage).yields[name].value for r in regions.values()])
        columns = zip(*(numbers[name] for name in ("ttH", "ttb", "ttlight")), strict=True)
        assert [sum(column) for column in columns] == pytest.approx(numbers["Sum"])
        assert numbers["Data"] == [sum(r.observed) for r in regions.values()]
    total = regions["four_b"].prefit.total_yield
    assert by_name(before)["Sum"][0] == f"{total.value:.0f} ± {total.error:.0f}"


def test_blinded_and_absent_yields_are_no_numbers() -> None:
    hidden = region(observed=None, blinded={"data": "score > 0.5 is blinded"}, postfit=None)
    absent = region(observed=None, observed_why="no data at all")
    without = absent.prefit.model_copy(update={"yields": {"ttb": absent.prefit.yields["ttb"]}})
    regions = {"hidden": hidden, "absent": absent.model_copy(update={"prefit": without})}
    before, after = yields_tables(fit_file(net=model(regions=regions)))
    assert by_name(before)["Data"] == ["blinded", "–"] and by_name(before)["ttH"][1] == ""
    assert before.rows[-1][1].title == "score > 0.5 is blinded" and before.rows[-1][2].title == "no data at all"
    assert after.head == ["Process", "absent"]


def test_models_with_other_regions_have_their_own_yields() -> None:
    fits = fit_file(a=model(), b=model(), c=model(regions={"four_b": region(3)}))
    titles = [table.title for table in yields_tables(fits)]
    assert titles[:2] == ["Yields before the fit: a, b", "Yields before the fit: c"] and len(titles) == 5


def test_free_rates_are_those_of_each_fit() -> None:
    table = rates_table(full())
    assert table.filled.head[2:] == ["Expected error", "Fit to data", "Fit to third"]
    assert [[cell.text for cell in row] for row in table.filled.rows] == [
        [name, "ttb_rate", "0.100", "1.40 ± 0.10", "0.700 ± 0.050"] for name in ("net_1", "bdt")
    ]
    assert not rates_table(fit_file(a=model(expected=model().expected.model_copy(update={"parameters": []})))).rows


def test_goodness_ranking_pruned_and_smoothed() -> None:
    fits = full()
    assert by_name(goodness_table(fits))["bdt"] == ["12.3", "9", "0.200", "< 0.005"]
    assert by_name(goodness_table(fit_file(a=model())))["a"] == ["3", "5", "0.700", "–"]
    first, rate = ranking_table(fits).rows[:2]
    assert [cell.text for cell in first[1:]] == [
        "jes_1", "", "0.400", "0.800", "0.200", "−0.250", "0.300", "−0.350",
    ]  # fmt: skip
    assert [cell.text for cell in rate[1:6]] == ["ttb_rate", "1.30 ± 0.10", "", "", "0.200"]
    [pruned, _] = pruned_table(fits).rows
    assert [cell.text for cell in pruned[1:]] == ["jes_1", "rate", "four_b: ttH; two_b: ttb", "−0.400", "1"]
    assert [cell.text for cell in smoothed_table(fits).rows[0][1:]] == ["jes_1", "1", "2", "ttH in four_b"]


def test_every_table_is_latex_that_compiles_with_the_same_cells() -> None:
    tables = fit_tables(full(), LABELS)
    assert {"Yields before the fit", "Free rates", "Impacts", "Pruned systematics", "Systematics"} <= {
        table.title for table in tables
    }
    for table in tables:
        found = tex.parse(latex_table(table.filled, "x"))
        assert [len(row) for row in found.rows] == [len(table.filled.head)] * (1 + len(table.rows)), table.title
        assert len(found.columns) == len(table.filled.head) and found.caption
    before = tex.parse(latex_table(yields_tables(full(), LABELS)[0], "x"))
    assert [row[0] for row in before.rows[2:4]] == [r"$t\bar{t}$ + $\geq$1b \& co\_1", r"tt + light (50 \%)"]


@pytest.mark.slow
def test_latex_sets_every_table(tmp_path: Path) -> None:
    texts = [latex_table(table.filled, str(number)) for number, table in enumerate(fit_tables(full(), LABELS))]
    assert tex.compiled(tmp_path, PACKAGES, "\n".join([*texts, r"\clearpage"])) == []
    assert (tmp_path / "document.pdf").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (r"\begin{tabular}{S[table-format=1.2(1)]} 0.1 & \\ \end{tabular}", "2 cells"),
        (r"\begin{tabular}{S[table-format=1.2(1)]} 0.1 $\pm$ 0.2 \\ \end{tabular}", "siunitx cannot read"),
        (r"\begin{tabular}{l} a_1 \\ \end{tabular}", "outside a formula"),
        (r"\begin{tabular}{l} a & b \\ \end{tabular}", "2 cells"),
        (r"\begin{tabular}{l} $a \\ \end{tabular}", "not closed"),
        (r"\begin{tabular}{l} 5 % \\ \end{tabular}", "not escaped"),
        (r"\begin{tabular}{l} \unheard \\ \end{tabular}", "unknown"),
        (r"\begin{table}\begin{tabular}{l} a \\ \end{tabular}", "not closed"),
        (r"\begin{tabular}{l} µ \\ \end{tabular}", "characters"),
    ],
)
def test_the_reader_of_latex_refuses_what_does_not_compile(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        tex.parse(text)


def test_labels_keep_their_formulas() -> None:
    assert label_text(r"$H_T$ & x_1") == r"$H_T$ \& x\_1"
    assert label_text("5 $ a") == r"5 \$ a"
    assert label_text(r"\$5 and $x$") == r"\$5 and $x$"


def test_files_have_names_that_latex_reads(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    kind: Any = SimpleNamespace(tables=lambda metrics: {}, labels=lambda: LABELS)
    metrics: Any = None
    names = list(ExportedRun(tmp_path, kind, metrics, full()).tables())
    assert "bias_of_mu_without_the_other_generators_as_systematics" in names
    assert "yields_after_the_fit_net_1" in names and all(name.isascii() for name in names)


def test_csv_and_text_have_the_same_numbers() -> None:
    before = yields_tables(full(), LABELS)[0]
    stream = io.StringIO()
    csv.writer(stream).writerows(rows_of(before))
    read = list(csv.DictReader(io.StringIO(stream.getvalue())))
    region_ = model().regions["four_b"].prefit
    row = next(r for r in read if r["Process"] == "ttb")
    assert float(row["four_b"]) == region_.yields["ttb"].value
    assert float(row["four_b (high)"]) - float(row["four_b"]) == pytest.approx(region_.yields["ttb"].error)
    lines = text_table(before).splitlines()
    assert lines[0] == "Yields before the fit" and lines[1] == "=" * len(lines[0])
    head = next(number for number, line in enumerate(lines) if line.startswith("Process"))
    ends = [lines[head].index(name) + len(name) for name in before.head[1:]]
    for line, cells in zip(lines[head + 2 :], before.rows, strict=True):
        for end, cell in zip(ends, cells[1:], strict=True):
            assert line[:end].endswith(cell.text.replace("\u202f", " "))
