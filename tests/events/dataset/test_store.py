import json

import numpy as np
import pytest

from hepda.events.dataset.store import open_table, write_table
from tests.events.dataset.test_table import make_table

ROWS = ("features", "weight", "label", "domain", "sample", "fold", "validation", "key")


@pytest.fixture
def pair(tmp_path):
    table = make_table()
    table.columns["b_up"] = np.linspace(0, 1, 7)
    write_table(table, tmp_path / "table")
    return table, open_table(tmp_path / "table")


def test_what_is_written_is_read_to_the_last_bit(pair):
    table, again = pair
    for name in ROWS:
        before, after = getattr(table, name), getattr(again, name)
        assert before.dtype == after.dtype
        np.testing.assert_array_equal(before, after)
    for name in ("names", "domain_names", "sample_names"):
        assert getattr(again, name) == getattr(table, name)
    assert list(again.columns) == list(table.columns)
    for name, values in table.columns.items():
        assert again.columns[name].dtype == values.dtype
        np.testing.assert_array_equal(again.columns[name], values)


def test_it_is_mapped_and_cannot_be_changed(pair):
    _, again = pair
    assert isinstance(again.features, np.memmap) and again.features.flags["C_CONTIGUOUS"]
    for values in (again.features, again.weight, again.columns["b_up"]):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 0


def test_rows_are_selected_as_from_memory(pair):
    table, again = pair
    mask = table.of_samples(["alt", "data"])
    np.testing.assert_array_equal(again.of_samples(["alt", "data"]), mask)
    np.testing.assert_array_equal(again.select(mask).features, table.select(mask).features)


def test_names_are_text_and_files_hold_no_objects(tmp_path):
    table = make_table()
    table.columns["a/b: 'c'"] = np.zeros(7)  # the name of a column is no path
    write_table(table, tmp_path)
    assert json.loads((tmp_path / "names.json").read_text())["columns"][-1] == "a/b: 'c'"
    assert "a/b: 'c'" in open_table(tmp_path).columns
    table.columns["objects"] = np.array([{}] * 7, dtype=object)
    with pytest.raises(ValueError, match="allow_pickle"):
        write_table(table, tmp_path / "objects")
