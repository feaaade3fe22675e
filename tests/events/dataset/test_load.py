"""load_table on small files: numbers against direct sums, and every fault before any training."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

from hepda.config import load_config
from hepda.config.loading import EXAMPLE_CONFIGS
from hepda.errors import ConfigError, DataError, ExpressionError, HepdaError, SourceError
from hepda.events.dataset import chunks, reading
from hepda.events.dataset.inputs import inspect
from hepda.events.dataset.load import LoadedEvents, load_table
from hepda.events.dataset.plan import cuts_of
from hepda.events.dataset.splits import event_key
from hepda.events.files.opening import Tree
from hepda.events.resolve import dataset_spec
from tests.factory import SIMULATION_ONLY, analysis, write_analysis, write_sample

N = 400
REAL = Path(os.environ.get("HEPDA_DATA", Path(__file__).parents[3] / "../shared/data")) / "events"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small")
    write_analysis(path, N)
    return path


def loaded(folder: Path, *overrides: str) -> LoadedEvents:
    return load_table(dataset_spec(load_config(folder / "small.yaml", overrides)))


def complaint(folder: Path, kind: type[HepdaError], *overrides: str) -> str:
    with pytest.raises(kind) as caught:
        loaded(folder, *overrides)
    return str(caught.value)


def arrays(folder: Path, name: str) -> Any:
    with uproot.open(folder / f"{name}.root") as file:
        return file["events"].arrays(library="ak")


def test_the_analysis_file_of_the_tutorial_fits_the_ntuples_that_come_with_the_project(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    [block] = re.findall(r"```yaml\n(name: mine\n.*?)```", (root / "docs" / "tutorial.md").read_text(), flags=re.DOTALL)
    (tmp_path / "mine.yaml").write_text(block)
    (tmp_path / "ntuples").symlink_to(root / "analyses" / "tth" / "ntuples")
    _, inputs = inspect(dataset_spec(load_config(tmp_path / "mine.yaml")))
    assert {"ttH", "ttjets", "ttjets_alt", "ttH_alt", "data"} <= set(inputs) and all(inputs.values())


def test_features_and_weights_by_hand(folder: Path) -> None:
    result = loaded(folder)
    table = result.table
    events = arrays(folder, "background")
    with uproot.open(folder / "background.root") as file:
        about = file["metadata"].arrays(library="np")
    keep = (ak.num(events.jet_pt) >= 5) & (ak.sum(events.jet_b >= 3, axis=1) >= 2)
    rows = table.select(table.of_samples(["background"]))
    assert len(rows) == ak.sum(keep)
    column = dict(zip(table.names, rows.features.T, strict=True))
    np.testing.assert_allclose(column["ht"], ak.sum(events.jet_pt[keep], axis=1), rtol=1e-6)
    np.testing.assert_array_equal(column["n_jets"], ak.num(events.jet_pt[keep]))
    np.testing.assert_array_equal(column["met"], events.met[keep])
    expected = events.gen_weight[keep] * events.b_weight[keep]
    factor = 10.0 * 1000 * about["cross_section"][0] / about["sum_of_weights"][0]
    np.testing.assert_allclose(rows.weight, np.asarray(expected, np.float64) * factor, rtol=1e-6)
    summary = result.samples["background"]
    assert summary.as_metrics()["yield"] == pytest.approx(rows.weight.sum())
    assert summary.as_metrics()["yield_error"] == pytest.approx(np.sqrt((rows.weight**2).sum()))
    assert summary.as_metrics()["n_eff"] == pytest.approx(rows.weight.sum() ** 2 / (rows.weight**2).sum())
    assert summary.as_metrics()["negative_fraction"] == pytest.approx((rows.weight < 0).mean())


def test_missing_values_have_the_stated_number(folder: Path) -> None:
    result = loaded(folder, "missing=-7")
    rows = result.table.select(result.table.of_samples(["background"]))
    third = rows.features[:, rows.names.index("b3_pt")]
    n_b = rows.features[:, rows.names.index("n_b")]
    assert ((third == -7) == (n_b < 3)).all()
    assert result.samples["background"].missing["b3_pt"] == (n_b < 3).sum() > 0


def test_data_have_weight_one_and_no_simulation_branch_is_asked_of_them(folder: Path) -> None:
    assert not set(SIMULATION_ONLY) & set(arrays(folder, "data").fields)
    table = loaded(folder, "columns={truth: n_extra_b, lepton: lepton_pt}").table
    data = table.of_domain("data")
    assert (table.weight[data] == 1).all()
    assert (table.label[data] == -1).all()
    assert np.isnan(table.columns["truth"][data]).all()
    assert np.isfinite(table.columns["truth"][~data]).all()
    assert np.isfinite(table.columns["lepton"]).all()


def test_a_column_may_vary_the_physical_weight(folder: Path) -> None:
    table = loaded(folder, "columns={b_up: physical * b_weight_up / b_weight}").table
    data = table.of_domain("data")
    np.testing.assert_allclose(table.columns["b_up"][~data], 1.05 * table.weight[~data], rtol=1e-5)
    assert np.isnan(table.columns["b_up"][data]).all()
    assert "Did you mean 'b_weight_up'" in complaint(folder, ExpressionError, "columns={b_up: b_weihgt_up}")


def test_layout_of_the_table(folder: Path) -> None:
    table = loaded(folder).table
    assert table.features.dtype == np.float32
    assert table.features.flags.c_contiguous
    assert (table.weight.dtype, table.key.dtype) == (np.float64, np.uint64)
    assert table.domain_names == ("simulation", "alternative", "third", "data")
    assert set(np.unique(table.fold)) == {0, 1}
    assert len(np.unique(table.key)) == len(table)


def test_normalisation_factors_multiply(folder: Path) -> None:
    baseline = loaded(folder).samples["signal"]
    changed = loaded(
        folder,
        "samples.signal.k_factor=1.2",
        "samples.signal.filter_efficiency=0.5",
        "samples.signal.scale=10",
        "samples.signal.cross_section=1.0",
        "luminosity=20",
    ).samples["signal"]
    assert baseline.cross_section == 0.5
    assert changed.sums.sumw == pytest.approx(baseline.sums.sumw * 1.2 * 0.5 * 10 * 2 * 2)
    given = loaded(folder, "samples.signal.sum_of_weights=1000").samples["signal"]
    assert given.normalisation == pytest.approx(10 * 1000 * 0.5 / 1000)
    bare = loaded(folder, "normalisation=null").samples["signal"]
    assert bare.normalisation == 1.0


def test_sums_of_weights_add_up_over_files(folder: Path, tmp_path: Path) -> None:
    for part in range(3):
        write_sample(tmp_path / f"p{part}.root", 100, 20 + part, signal=True, cross_section=0.5)
    result = loaded(folder, f"samples.signal.files={tmp_path}/p*.root")
    summary = result.samples["signal"]
    sums = [uproot.open(tmp_path / f"p{p}.root")["metadata"]["sum_of_weights"].array()[0] for p in range(3)]
    assert summary.sum_of_weights == pytest.approx(sum(sums))
    of_signal = [file for file in result.files if file.sample == "signal"]
    assert [file.entries for file in of_signal] == [100, 100, 100]
    assert sum(file.sums.sumw for file in of_signal) == pytest.approx(summary.sums.sumw)
    assert of_signal[0].as_manifest()["lost"] == {"selection": 100 - of_signal[0].sums.entries}
    write_sample(tmp_path / "p3.root", 10, 30, signal=True, cross_section=0.7)
    assert "cross section" in complaint(folder, DataError, f"samples.signal.files={tmp_path}/p*.root")


def test_domain_columns(folder: Path) -> None:
    table = loaded(folder).table
    mask, side = table.columns["domain:dann:mask"], table.columns["domain:dann:side"]
    assert (mask == table.of_samples(["background", "background_alt"])).all()
    assert (side[table.of_samples(["background_alt"])] == 1).all()
    assert (side[table.of_domain("data")] == -1).all()
    np.testing.assert_array_equal(table.columns["domain:dann:weight"][mask], table.weight[mask])
    assert (table.columns["domain:dann:weight"][~mask] == 0).all()


def test_domain_selection_and_weight(folder: Path) -> None:
    table = loaded(
        folder,
        "models.dann.domain={source: [signal, background], target: [data], rows: all, "
        "selection: n_jets >= 6, weight: physical * 2}",
    ).table
    mask, weight = table.columns["domain:dann:mask"], table.columns["domain:dann:weight"]
    jets = table.features[:, table.names.index("n_jets")]
    data = table.of_domain("data")
    inside = table.of_samples(["signal", "background", "data"]) & (jets >= 6)
    assert (mask == inside).all()
    np.testing.assert_allclose(weight[inside & ~data], 2 * table.weight[inside & ~data])
    assert (weight[inside & data] == 1).all()


def test_chunks_make_no_difference(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    complete = loaded(folder).table
    monkeypatch.setattr(reading, "MOST_ENTRIES", 111)
    monkeypatch.setattr(chunks, "CHUNK_ENTRIES", 37)
    parts = loaded(folder).table
    np.testing.assert_array_equal(complete.features, parts.features)
    np.testing.assert_array_equal(complete.weight, parts.weight)
    np.testing.assert_array_equal(complete.key, parts.key)


def test_only_needed_branches_and_each_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, frozenset[str]]] = []
    read = Tree.read

    def spy(self: Tree, names: Any, start: int = 0, stop: int | None = None) -> Any:
        if self.tree == "events":
            asked.append((Path(self.path).stem, frozenset(names)))
        return read(self, names, start, stop)

    monkeypatch.setattr(Tree, "read", spy)
    loaded(folder)
    common = {"jet_pt", "jet_eta", "jet_phi", "jet_mass", "jet_b", "met", "run", "event"}
    assert dict(asked)["data"] == common
    assert dict(asked)["signal"] == common | {"gen_weight", "b_weight"}
    assert len(asked) == 6


def test_progress_reaches_the_end(folder: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    load_table(dataset_spec(load_config(folder / "small.yaml")), lambda *call: calls.append(call))
    assert calls[-1] == ("data", 6 * N, 6 * N)


@pytest.mark.parametrize(
    ("overrides", "kind", "expected"),
    [
        (["variables.ht=sum(jet_ptt)"], ExpressionError, r"variables\.ht: 'jet_ptt' .* mean 'jet_pt'"),
        (["weight=gen_wieght"], ExpressionError, r"weight: 'gen_wieght' .*signal\.root.*'gen_weight'"),
        (["features=[ht, n_jts]"], ExpressionError, r"features: n_jts: 'n_jts' .*Did you mean 'n_jets'"),
        (["features=[ht, n_extra_b]"], ExpressionError, r"branch of .*data\.root"),
        (["features=[sum(jet_pt)]"], ExpressionError, r"a feature is the name of a variable"),
        (["features=[jet-pt, 1x]"], ExpressionError, r"is no identifier another one in its sample's `aliases`"),
        (["features=[ht, 1x]"], ExpressionError, r"features: 1x: .*`aliases`"),
        (["features=[jets]"], ExpressionError, r"is a four-vector"),
        (["features=[jet_pt]"], ExpressionError, r"is a list per event"),
        (["variables.ht=__import__('os')"], ExpressionError, r"not a function of expressions"),
        (["variables.ht=ht * 2"], ExpressionError, r"is defined by itself"),
        (["variables.physical=met"], ExpressionError, r"the name is taken"),
        (["samples.data.aliases={physical: met}"], ExpressionError, r"data\.aliases\.physical: the name is taken"),
        (["variables.pi=met"], ExpressionError, r"variables\.pi: the name is that of the constant 3\.14159"),
        (["samples.data.variables={pi: met}"], ExpressionError, r"data\.variables\.pi: the name is that of the const"),
        (["samples.data.aliases={pi: met}"], ExpressionError, r"data\.aliases\.pi: the name is that of the constant"),
        (["features=[ht, pi]"], ExpressionError, r"features: pi: a feature is the name of a variable"),
        (["selection=n_jets == 5 or 6"], ExpressionError, r"write the comparison out: n_jets == 6"),
        (["columns.big=event * 1000000000001"], ExpressionError, r"columns\.big: .*float64 would lose digits"),
        (["selection=n_jets >"], ExpressionError, r"selection: does not parse"),
        (["plots.n_jts={}"], ConfigError, r"plots\.n_jts: there is no such .*Did you mean 'n_jets'"),
        (["tree=event"], SourceError, r"signal\.root: has no tree 'event'\. Did you mean 'events'"),
        (["samples.data.files=dta.root"], SourceError, r"samples\.data\.files: .*Did you mean 'data\.root'"),
        (["normalisation.sum_of_weights=sumw"], SourceError, r"'sumw'.*needed for the normalisation"),
        (["normalisation.tree=Runs"], SourceError, r"no tree 'Runs'.*needed for the normalisation"),
        (["split.key=[run, evnt]"], SourceError, r"no branch 'evnt'\. Did you mean 'event'"),
        (["split.key=[met]"], SourceError, r"must be one integer per event"),
        (["selection=(n_jets >= 5) & (met > 1e6)"], DataError, r"signal: no event passes.*\n.*\n.*400"),
        (["variables.ht=log(n_b - 2)"], DataError, r"signal: the feature 'ht' is not a .* entry \d+"),
        (["variables.ht=exp(sum(jet_pt))"], DataError, r"the feature 'ht' is not a finite number"),
        (["weight=gen_weight / (n_b - 2)"], DataError, r"signal: weight \(gen_weight / .* \d+ sel"),
        (["weight=pt(b_jets[2])"], DataError, r"samples\.signal: weight .* is not a finite number"),
        (["weight=0 - 1"], DataError, r"the weights of its signal events add up to -"),
        (["split.folds=100"], DataError, r"fold \d+ has no (signal|background) among its"),
        (["negative_weights=reject"], DataError, r"samples\.signal: \d+ events have negative weights"),
        (["models.dann.domain.selection=met > 1e6"], DataError, r"source: no event is left in fold 0"),
        (["models.dann.domain.weight=log(n_b - 2)"], DataError, r"dann\.domain\.weight .* not a finite"),
    ],
)  # fmt: skip
def test_faults(folder: Path, overrides: list[str], kind: type[HepdaError], expected: str) -> None:
    text = complaint(folder, kind, *overrides)
    assert re.search(expected, text, re.DOTALL), text


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pi", "physical"])
def test_a_branch_of_a_reserved_name_is_meant_or_refused(tmp_path: Path, name: str) -> None:
    path = write_analysis(tmp_path, 60, columns={"twice": f"2 * {name}"})
    write_sample(tmp_path / "signal.root", 60, 1, signal=True, cross_section=0.5, spoil={name: np.full(60, 7.0)})
    with pytest.raises(ExpressionError, match=rf"signal\.root has a branch .*own_{name}: {name}"):
        load_table(dataset_spec(load_config(path)))
    aliased = (f"samples.signal.aliases={{own_{name}: {name}}}", f"samples.signal.variables={{met: own_{name} + 1}}")
    if name == "pi":
        aliased = (*aliased, "columns.twice=2 * 3.141592653589793")
    result = load_table(dataset_spec(load_config(path, aliased))).table
    signal = result.of_samples(["signal"])
    assert np.all(result.features[signal, result.names.index("met")] == 8.0)
    expected = 2 * (result.weight if name == "physical" else np.full(len(result), np.pi))
    np.testing.assert_array_equal(result.columns["twice"][signal], expected[signal])


def test_a_selection_is_divided_where_and_joins_conditions_alone() -> None:
    def parts(text: str) -> list[str]:
        return [cut.text for cut in cuts_of(text)]

    assert parts("(a > 1) & (b > 2) & any(c)") == ["a > 1", "b > 2", "any(c)"]
    assert parts("count(a) & count(b)") == ["count(a) & count(b)"]
    assert parts("flags & 2 & (a > 1)") == ["flags & 2", "a > 1"]
    assert parts("flags & 6 and a > 1") == ["flags & 6", "a > 1"]


def test_faults_are_found_before_the_first_event_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("an event was read")

    monkeypatch.setattr(chunks.ChunkReader, "read", refuse)
    assert "data.root" in complaint(folder, ExpressionError, "features=[ht, n_extra_b]")


def test_a_nan_is_placed(tmp_path: Path) -> None:
    write_analysis(tmp_path, N)
    met = np.ones(N, np.float32)
    met[[17, 40]] = np.nan
    write_sample(tmp_path / "third.root", N, 5, signal=False, spoil={"met": met})
    text = complaint(tmp_path, DataError)
    assert "samples.third: the feature 'met' is not a finite number in 2 selected events, first in entry 17" in text
    assert "third.root" in text


@pytest.mark.slow
def test_truncated_file_and_branch_that_changes(tmp_path: Path) -> None:
    write_analysis(tmp_path, 60)
    path = tmp_path / "background_alt.root"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "background_alt.root: is truncated" in complaint(tmp_path, SourceError)
    write_sample(path, 60, 4, signal=False, spoil={"jet_pt": np.ones(60, np.float32)})
    assert "needs" in complaint(tmp_path, ExpressionError)


def test_no_entries_at_all(tmp_path: Path) -> None:
    write_analysis(tmp_path, 60)
    write_sample(tmp_path / "third.root", 0, 5, signal=False, generated=10)
    assert "samples.third: its files have no entries" in complaint(tmp_path, DataError)


def test_bad_sum_of_weights(tmp_path: Path) -> None:
    write_analysis(tmp_path, 60)
    write_sample(tmp_path / "signal.root", 60, 1, signal=True, generated=0)
    assert "the sum of generated weights is 0.0" in complaint(tmp_path, DataError)
    write_sample(tmp_path / "signal.root", 60, 1, signal=True, metadata=False)
    assert "give the sample's sum_of_weights and cross_section" in complaint(tmp_path, SourceError)


def test_the_factory_and_its_analysis_agree(folder: Path) -> None:
    assert yaml.safe_load((folder / "small.yaml").read_text()) == analysis()
    table = loaded(folder).table
    m_bb = table.features[:, table.names.index("m_bb")]
    spread = [np.median(np.abs(m_bb[table.of_samples([s])] - 125)) for s in ("signal", "background")]
    assert spread[0] < spread[1]


def test_the_tth_analysis_has_finite_features(tmp_path: Path) -> None:
    """configs/tth.yaml, its samples replaced by the factory's."""
    write_analysis(tmp_path, 60)
    text = yaml.safe_load((EXAMPLE_CONFIGS / "tth.yaml").read_text())
    small = analysis()
    keys = {"name", "kind", "luminosity", "variables", "features", "missing", "plots", "selection", "weight"}
    replaced = small | {key: value for key, value in text.items() if key in keys}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(replaced))
    table = loaded(tmp_path).table
    assert 25 <= len(table.names) <= 40
    assert set(text["plots"]) == set(table.names)
    assert (np.ptp(table.features, axis=0) > 0).all()


def test_cms_nanoaod_end_to_end(tmp_path: Path) -> None:
    """A real file, its own names, no metadata tree: genWeight, cross section and sum of weights given."""
    file = REAL / "nanoAOD_2015_CMS_Open_Data_ttbar.root"
    if not file.exists():
        pytest.skip(f"{file} is not here; set HEPDA_DATA to the folder that holds events/")
    sample = {"files": str(file), "domain": "simulation", "cross_section": 832.0, "sum_of_weights": 1e6}
    text = analysis(
        tree="Events",
        samples={"a": sample | {"class": "signal"}, "b": sample | {"class": "background"}},
        variables={
            "jets": "p4(Jet_pt, Jet_eta, Jet_phi, Jet_mass)[(Jet_jetId & 2) != 0]",
            "m_jj": "pair_mass_max(jets)",
        },
        selection="nJet >= 2",
        weight="genWeight",
        features=["MET_pt", "nJet", "m_jj"],
        plots={},
        models={"bdt": {"kind": "bdt"}},
        evaluation={},
    )
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(text))
    result = loaded(tmp_path)
    with uproot.open(file) as real:
        events = real["Events"].arrays(["nJet", "genWeight", "MET_pt"], library="np")
    kept = events["nJet"] >= 2
    summary = result.samples["a"]
    assert summary.sums.entries == kept.sum()
    assert summary.sums.negative_fraction == pytest.approx((events["genWeight"][kept] < 0).mean())
    assert summary.sums.sumw == pytest.approx(events["genWeight"][kept].sum() * 10 * 1000 * 832 / 1e6)
    np.testing.assert_array_equal(result.table.features[: kept.sum(), 0], events["MET_pt"][kept])


def test_the_numbers_that_identify_an_event_are_kept_in_one_type_whatever_that_of_the_file(tmp_path: Path) -> None:
    write_analysis(tmp_path, N)
    large = np.arange(N, dtype=np.uint64) + np.uint64(2**62 + 1)  # a float has no room for the last digits
    write_sample(tmp_path / "third.root", N, 5, signal=False, shift=-1.0, cross_section=20.0, spoil={"event": large})
    run = np.arange(N, dtype=np.int16)
    write_sample(tmp_path / "signal.root", N, 1, signal=True, cross_section=0.5, spoil={"run": run})
    table = loaded(tmp_path).table
    columns = {name: table.columns[f"identifier:{name}"] for name in ("run", "event")}
    assert all(values.dtype == np.int64 for values in columns.values())
    assert np.array_equal(event_key(columns["run"], columns["event"]), table.key)
    assert np.isin(columns["event"][table.of_samples(["third"])], large.astype(np.int64)).all()
    assert len(np.unique(columns["run"][table.of_samples(["signal"])])) > N // 4
