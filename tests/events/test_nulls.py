"""What is missing in a file (null) is never a number: not in features, weights, keys and cuts, in any format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
import yaml

from hepda.config import load_config
from hepda.errors import DataError, HepdaError
from hepda.events.check import check_events
from hepda.events.dataset.chunks import slice_events, take_events
from hepda.events.dataset.load import LoadedEvents, load_table
from hepda.events.dataset.samples import from_tree
from hepda.events.expressions.columns import Column, offsets_of
from hepda.events.expressions.evaluator import Evaluator
from hepda.events.expressions.parser import parse
from hepda.events.files.opening import open_file, open_tree
from hepda.events.resolve import dataset_spec
from tests.factory import write_analysis

N = 60


def written(folder: Path, **spoil: Any) -> Path:
    """An analysis whose sample `signal` is a Parquet file with nulls: branch -> their entries."""
    config = write_analysis(folder, N)
    tree = uproot.open(folder / "signal.root")["events"]
    table = ak.to_arrow_table(tree.arrays(), extensionarray=False)
    for name, places in spoil.items():
        values = tree[name].array().to_list() if name in tree else [1.0] * N
        holes = [None if i in places else value for i, value in enumerate(values)]
        kind = table.schema.field(name).type if name in table.column_names else pa.float64()
        column = pa.array(holes, kind)
        place = table.column_names.index(name) if name in table.column_names else None
        table = table.append_column(name, column) if place is None else table.set_column(place, name, column)
    pq.write_table(table, folder / "signal.parquet")
    content = yaml.safe_load(config.read_text())
    content["samples"]["signal"] |= {"files": "signal.parquet", "cross_section": 0.5, "sum_of_weights": 200.0}
    config.write_text(yaml.safe_dump(content, sort_keys=False))
    return config


def loaded(config: Path, *overrides: str) -> LoadedEvents:
    return load_table(dataset_spec(load_config(config, overrides)))


def of_signal(found: LoadedEvents, feature: str) -> np.ndarray:
    table = found.table
    return np.asarray(table.features[table.of_samples(["signal"]), table.names.index(feature)])


def test_a_null_feature_is_missing_and_counted(tmp_path: Path) -> None:
    result = loaded(written(tmp_path, met=[3, 50]), "missing=-7.0", "selection=n_jets > 0")
    assert result.samples["signal"].missing["met"] == 2
    assert np.flatnonzero(of_signal(result, "met") == -7.0).tolist() == [3, 50]


def test_arithmetic_with_null_is_null(tmp_path: Path) -> None:
    config = written(tmp_path, met=[3], lepton_charge=[4])
    overrides = ("selection=n_jets > 0", "variables.ht=sqrt(2 * met + abs(lepton_charge)) + minimum(met, 5)")
    result = loaded(config, *overrides)
    assert np.flatnonzero(of_signal(result, "ht") == -1.0).tolist() == [3, 4]


@pytest.mark.slow
@pytest.mark.parametrize("weight", ["own", "gen_weight * own", "where(own > 0.5, 2, 1)", "where(own == 1, own, 1)"])
def test_a_null_weight_is_an_error_with_its_entry(tmp_path: Path, weight: str) -> None:
    config = written(tmp_path, own=[7, 20])
    with pytest.raises(DataError, match=r"signal.weight .* is missing.* in 2 selected events, first in entry 7"):
        loaded(config, "selection=n_jets > 0", f"samples.signal.weight={weight}")


def test_a_null_key_is_an_error_with_its_entry(tmp_path: Path) -> None:
    config = written(tmp_path, event=[11])
    with pytest.raises(DataError, match=r"'event': is missing in 1 events, first in entry 11"):
        loaded(config, "selection=n_jets > 0")


@pytest.mark.slow
def test_a_null_key_of_an_event_that_is_cut_away_harms_nobody(tmp_path: Path) -> None:
    config = written(tmp_path, event=[11])
    result = loaded(config, "samples.signal.selection=not is_missing(event)")
    assert result.samples["signal"].cut_flow[0] == ("not is_missing(event)", N - 1)
    cut = ["samples.signal.selection=not is_missing(event)"]
    checked = check_events(load_config(config, cut), lambda *_: None)
    complete = check_events(load_config(written(tmp_path / "whole")), lambda *_: None)
    assert (
        len(complete.problems) == 1 and "n_eff" in complete.problems[0]
    )  # these few events are not enough for a training
    assert len(checked.problems) == 1 and "n_eff" in checked.problems[0]
    assert any("no weighted cut flow" in line for line in checked.warnings)


@pytest.mark.slow
@pytest.mark.parametrize("cut", ["own == 1", "not own != 1", "~(own > 3)", "own", "(own > 0) | (own < -1)"])
def test_a_null_in_a_cut_is_false_and_counted(tmp_path: Path, cut: str) -> None:
    result = loaded(written(tmp_path, own=[0, 30]), f"samples.signal.selection={cut}").samples["signal"]
    assert result.cut_flow[0][1] == N - 2
    assert result.missing[f"samples.signal.selection ({cut})"] == 2


def test_only_events_that_passed_the_cuts_before_are_counted(tmp_path: Path) -> None:
    result = loaded(written(tmp_path, own=[0, 30]), "samples.signal.selection=(event % 10 > 4) & (own > 0)")
    assert "samples.signal.selection (own > 0)" not in result.samples["signal"].missing


def test_a_null_of_the_domain_s_selection_is_counted(tmp_path: Path) -> None:
    config = written(tmp_path, met=[2])
    selection = "models.dann.domain.selection=met > -1"
    rows = ("source=[signal]", "target=[signal_alt]", "rows=all")
    result = loaded(config, "selection=n_jets > 0", selection, *(f"models.dann.domain.{row}" for row in rows))
    mask = result.table.columns["domain:dann:mask"][result.table.of_samples(["signal"])]
    assert np.flatnonzero(~mask).tolist() == [2]
    assert result.samples["signal"].missing["models.dann.domain.selection (met > -1)"] == 1


def test_check_tells_of_conditions_that_are_missing(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, own=[0, 30]), ["samples.signal.selection=own > 0"])
    message = "signal: samples.signal.selection (own > 0) is missing (null) in 2 events, which are left out"
    assert message in check_events(config, lambda *_: None).warnings


def test_an_rntuple_with_optionals(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        file["events"] = {"x": ak.Array([1.5, None, 3.0]), "n": ak.Array([None, 2, 3])}
    with open_tree(str(path)) as tree:
        columns = tree.read(["x", "n"], 0, 3)
    values, gone = Evaluator({n: slice_events(c, 0, 3) for n, c in columns.items()}, {}, 3).number(parse("x + n"))
    assert gone is not None
    assert gone.tolist() == [True, True, False]
    assert values[2] == 6.0


def test_hdf5_objects_that_are_not_valid_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    rows = np.array([(1.0, True), (0.0, False), (3.0, True)], dtype=[("pt", "f4"), ("valid", "?")])
    pair = np.array([([1, 2], [True, False]), ([0, 0], [False, False])], dtype=[("pt", "f4", 2), ("valid", "?", 2)])
    with h5py.File(path, "w") as file:
        file["jets"] = np.array([(5.0,), (6.0,), (7.0,)], dtype=[("pt", "f4")])
        file["lepton"] = rows
        file["other/jets"] = np.array([(5.0,), (6.0,)], dtype=[("pt", "f4")])
        file["other/pair"] = pair
    with open_tree(str(path), "jets") as tree:
        lepton = tree.read(["lepton.pt"])["lepton.pt"]
        valid = tree.read(["lepton.valid"])["lepton.valid"]
    assert lepton.missing is not None
    assert lepton.missing.tolist() == [False, True, False]
    assert valid.missing is None
    assert valid.values.tolist() == [True, False, True]
    with open_tree(str(path), "other/jets") as tree:
        lists = tree.read(["pair.pt"])["pair.pt"]
    assert lists.offsets is not None
    assert lists.offsets.tolist() == [0, 1, 1]


def test_a_list_that_is_null_is_not_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = {"pt": pa.array([[1.0, None], None, [], [4.0]]), "met": pa.array([1.0, 2.0, 3.0, 4.0])}
    pq.write_table(pa.table(table), path)
    with open_tree(str(path)) as tree:
        columns = tree.read([*table])

    def numbers(text: str) -> list[Any]:
        variables = {"hard": parse("pt[pt > 2]")}
        values, gone = Evaluator(columns, variables, 4).number(parse(text))
        gone = np.zeros(4, bool) if gone is None else gone
        return [None if g else v for v, g in zip(values.tolist(), gone, strict=True)]

    assert numbers("sum(pt)") == [1, None, 0, 4]
    assert numbers("count(pt)") == [1, None, 0, 1]
    assert numbers("count(hard)") == [0, None, 0, 1]
    assert numbers("any(hard > 3) + met") == [1, None, 3, 5]
    assert numbers("default(count(pt), 9)") == [1, 9, 0, 1]
    assert numbers("met") == [1, 2, 3, 4]


def test_slices_and_choices_of_events_keep_what_is_missing() -> None:
    offsets = offsets_of(np.array([2, 0, 3, 1]))
    missing = np.array([False, True, False, False, True, False])
    column = Column(np.arange(6), offsets, missing, np.array([False, True, False, False]))
    part = slice_events(column, 1, 4)
    assert part.missing is not None
    assert part.missing.tolist() == missing[2:].tolist()
    assert part.absent is not None
    assert part.absent.tolist() == [True, False, False]
    assert slice_events(column, 3, 4).missing is None
    assert slice_events(column, 3, 4).absent is None
    taken = take_events(column, np.array([3, 1]))
    assert taken.absent is not None
    assert taken.absent.tolist() == [False, True]


def test_a_null_in_the_bookkeeping_is_an_error(tmp_path: Path) -> None:
    config = load_config(write_analysis(tmp_path, 20))
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"cross_section": pa.array([1.0, None]), "sum_of_weights": pa.array([2.0, 3.0])}), path)
    assert config.normalisation is not None
    with open_file(str(path)) as file, pytest.raises(HepdaError, match="cross_section is missing in entry 1"):
        from_tree(file, config.normalisation, ["cross_section", "sum_of_weights"])
