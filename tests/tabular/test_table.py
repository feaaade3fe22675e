"""From files to numbers: categories, missing values, folds that keep groups together, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hepda.cli import main
from hepda.config import load_any
from hepda.config.tabular import TabularConfig
from hepda.errors import ConfigError, HepdaError
from hepda.tabular.table import UNKNOWN, DataTable, load
from tests.factory import Silent
from tests.tabular.factory import frame, write_analysis


def loaded(path: Path) -> tuple[DataTable, list[str]]:
    config = load_any(path)
    assert isinstance(config, TabularConfig)
    table, files, warnings = load(config, Silent().step)
    assert sum(files.values()) >= len(table)
    return table, warnings


def test_columns_become_numbers(tmp_path: Path) -> None:
    rows = frame()
    table, warnings = loaded(write_analysis(tmp_path, rows, missing=-9.0))
    assert warnings == [] and table.names == ("length", "width", "colour=blue", "colour=red")
    assert table.classes == ("cat", "dog") and table.domains == ("home", "away", "far") and table.targets == 1
    assert np.allclose(table.features[:, 1], rows["width"].fillna(-9.0), atol=1e-6)
    assert np.array_equal(table.features[:, 3], rows["colour"] == "red")
    assert np.array_equal(table.label, rows["kind"] == "dog") and np.allclose(table.weight, rows["w"])
    assert np.array_equal(table.domain, rows["site"].map({"home": 0, "away": 1, "far": 2}))


def test_folds_keep_groups_together_and_do_not_depend_on_the_order(tmp_path: Path) -> None:
    rows = frame()
    table, _ = loaded(write_analysis(tmp_path / "one", rows))
    for part in (table.fold, table.validation):
        assert pd.Series(part).groupby(rows["patient"]).nunique().max() == 1
    assert abs(table.fold.mean() - 0.5) < 0.1 and abs(table.validation.mean() - 0.2) < 0.07
    order = np.random.default_rng(1).permutation(len(rows))
    other, _ = loaded(write_analysis(tmp_path / "two", rows.iloc[order]))
    assert np.array_equal(other.fold, table.fold[order]) and np.array_equal(other.validation, table.validation[order])


def test_without_a_key_rows_with_equal_inputs_stay_together(tmp_path: Path) -> None:
    rows = pd.concat([frame(), frame()], ignore_index=True)
    table, _ = loaded(write_analysis(tmp_path, rows, split={"folds": 3}, ignore=["patient"]))
    assert np.array_equal(table.fold[:600], table.fold[600:]) and set(table.fold) == {0, 1, 2}


def test_several_files_of_both_formats_are_one_table(tmp_path: Path) -> None:
    rows = frame()
    whole, _ = loaded(write_analysis(tmp_path / "whole", rows))
    path = write_analysis(tmp_path / "parts", rows.iloc[:200], files=["table.csv", "more/*.parquet"])
    (tmp_path / "parts" / "more").mkdir()
    rows.iloc[200:].to_parquet(tmp_path / "parts" / "more" / "a.parquet")
    parts, _ = loaded(path)
    assert np.allclose(parts.features, whole.features, atol=1e-6) and np.array_equal(parts.fold, whole.fold)


def test_labels_of_the_target_may_be_absent_and_rows_of_no_domain_are_left_out(tmp_path: Path) -> None:
    rows = frame(unlabelled=True)
    rows.loc[rows["site"] == "far", "site"] = "elsewhere"
    domain = {"column": "site", "source": "home", "target": "away"}
    table, (warning,) = loaded(write_analysis(tmp_path, rows, domain=domain))
    assert set(table.label[table.domain == 1]) == {UNKNOWN} and "are of no domain" in warning
    assert np.array_equal(table.row, np.flatnonzero(rows["site"] != "elsewhere"))


def test_integers_are_labels_and_domains_too(tmp_path: Path) -> None:
    rows = frame(classes=3).assign(kind=lambda t: t["kind"].map({"cat": 2, "dog": 10, "fox": 1}))
    rows["site"] = rows["site"].map({"home": 1, "away": 2, "far": 3})
    domain = {"column": "site", "source": [1, 3], "target": 2}
    table, _ = loaded(write_analysis(tmp_path, rows, domain=domain))
    assert table.classes == ("1", "2", "10") and table.domains == ("1 + 3", "2")


def test_a_class_that_a_labelled_target_lacks_is_told(tmp_path: Path) -> None:
    rows = frame(classes=3)
    rows = rows[(rows["site"] == "home") | (rows["kind"] != "fox")]
    _, warnings = loaded(write_analysis(tmp_path, rows))
    assert len(warnings) == 2 and "away has no row with the label fox" in warnings[0]


def changed(**columns: Any) -> pd.DataFrame:
    return frame().assign(**columns)


@pytest.mark.parametrize(
    ("rows", "keys", "message"),
    [
        (frame(), {"label": "knd"}, "has no column 'knd', which `label` names. Did you mean 'kind'"),
        (frame(), {"weight": "weigth"}, "has no column 'weigth', which `weight` names"),
        (frame(), {"features": ["length", "witdh"], "categorical": []}, "no column 'witdh', which `features` names"),
        (changed(kind=lambda t: t["kind"].where(t["site"] != "away", "fox")), {}, "away has the class 'fox', which"),
        (changed(kind="cat"), {}, "has the class 'cat' alone; a classifier needs two"),
        (changed(kind=lambda t: t["kind"].where(t.index > 9)), {}, "rows of the source \\(home\\) have no 'kind'"),
        (frame(), {"categorical": []}, "the column 'colour' is not numeric: it has '(red|blue)'. Name it in `categ"),
        (frame(), {"categorical": ["length"]}, "'length' has .* values in the source, and may have 1 to 100"),
        (frame(), {"domain": {"column": "site", "source": "home", "target": "awya"}}, "no row has 'awya' in .*'site'"),
        (changed(w=lambda t: t["w"].where(t.index > 3)), {}, "'w' is missing or infinite in 4 of 600 rows"),
        (changed(w="heavy"), {}, "the column 'w' is not numeric: it has 'heavy'"),
        (frame(), {"negative_weights": "reject"}, "weights are negative and the policy is reject"),
        (changed(w=-1.0), {}, "has no rows of positive total weight to train"),
        (changed(length=np.inf), {}, "the column 'length' has values that are infinite"),
        (changed(patient=1), {}, "has no rows of positive total weight to train the models of fold"),
        (frame(), {"files": "tabel.csv"}, "there is no file .*tabel.csv"),
        (frame(), {"ignore": ["length", "width", "colour"], "split": {"key": "patient"}, "categorical": []},
         "no column is left for the models to read"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_any_training(
    tmp_path: Path, rows: pd.DataFrame, keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(HepdaError, match=message):
        loaded(write_analysis(tmp_path, rows, **keys))


def test_a_name_of_two_columns_is_refused(tmp_path: Path) -> None:
    path = write_analysis(tmp_path)
    text = (tmp_path / "table.csv").read_text()
    (tmp_path / "table.csv").write_text(text.replace("length,width", "length,length", 1))
    with pytest.raises(HepdaError, match="has two columns 'length'; rename one"):
        loaded(path)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"domain": {"column": "site", "source": "home", "target": "home"}}, "'home' is listed twice"),
        ({"weight": "kind"}, "'kind' is listed twice"),
        ({"features": ["length", "kind"], "categorical": []}, "'kind' is the column of `label`"),
        ({"features": ["length"]}, "'colour' is not in `features`: add it there"),
        ({"features": ["colour"], "ignore": ["length"]}, "has an effect with `features: all` alone"),
        ({"models": {"a": {"kind": "network", "domain": {"method": "conditional"}}}}, "not a method for tabular"),
        ({"models": {"a": {"kind": "network", "domain": {"method": "mmd", "steps": 2}}}}, "steps.*has no effect"),
    ],
)
def test_an_analysis_that_contradicts_itself_is_refused(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_any(write_analysis(tmp_path, **keys))


def test_check_counts_rows_and_its_exit_status_says_whether_training_may_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--config", str(write_analysis(tmp_path))]) == 0
    assert "home (source): 294 rows; cat 131, dog 163" in capsys.readouterr().out
    for command in (["check"], ["train", "--output", str(tmp_path / "run")]):
        assert main([*command, "--config", str(tmp_path / "animals.yaml"), "--set", "weight=mass"]) == 2
        assert "has no column 'mass'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
