"""hepda apply of a refinement: the events, the weights and all branches are there, and only objects have changed."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from hepda.cli import main
from hepda.config import AnalysisConfig, RefinementConfig, load_any, validate_any
from hepda.events.dataset.load import load_table
from hepda.events.files.in_memory import ENTRY
from hepda.events.refinement.events import RefinedEvents
from hepda.events.resolve import dataset_spec
from hepda.runtime import run_directory
from tests.events.refinement.toy import write, write_tree
from tests.speech.test_run import Quiet

pytestmark = pytest.mark.slow
CHANGED = {"jet_pt", "jet_mass", "jet_tag", "met", "met_phi"}


@pytest.fixture(scope="module")
def applied(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    output = tmp_path_factory.mktemp("applied") / "refined"
    source = run.parent / "bkg.root"
    assert main(["apply", str(run), str(source), "--output", str(output)]) == 0
    return source, output / "bkg.root"


def test_all_branches_and_trees_are_there_with_their_types(applied: tuple[Path, Path]) -> None:
    with uproot.open(applied[0]) as before, uproot.open(applied[1]) as after:
        assert after["metadata"].arrays().to_list() == before["metadata"].arrays().to_list()
        old, new = before["events"], after["events"]
        assert set(new.keys()) == set(old.keys())
        assert {n: new[n].typename for n in new.keys()} == {n: old[n].typename for n in old.keys()}  # noqa: SIM118
        for name in set(old.keys()) - CHANGED - {"jet_eta", "jet_phi", "jet_flavour"}:  # these follow the order of pt
            assert ak.all(new[name].array() == old[name].array()), name
        assert ak.all(ak.sort(new["jet_eta"].array()) == ak.sort(old["jet_eta"].array()))
        assert not ak.all(new["jet_pt"].array() == old["jet_pt"].array())
        pt = new["jet_pt"].array()
        assert ak.all(pt[:, 1:] <= pt[:, :-1])


def test_events_keep_their_momentum(applied: tuple[Path, Path]) -> None:
    momenta = []
    for path in applied:
        with uproot.open(path) as file:
            events = file["events"].arrays()
        x = ak.sum(events.jet_pt * np.cos(events.jet_phi), axis=1) + events.met * np.cos(events.met_phi)
        momenta.append(ak.to_numpy(x))
    np.testing.assert_allclose(momenta[1], momenta[0], atol=1e-2)


def test_the_output_is_what_the_run_judged(applied: tuple[Path, Path], run: Path) -> None:
    config = load_any(run / "config.yaml")
    assert isinstance(config, RefinementConfig)
    data = config.model_dump(mode="python", by_alias=True)
    data["analysis"]["samples"]["bkg"]["files"] = (str(applied[1]),)
    moved = type(config).model_validate(data)
    judged = RefinedEvents.read(config, Quiet().step).table(run, "response", "bkg")
    read = RefinedEvents.read(moved, Quiet().step).tables["bkg"]
    assert read.columns[ENTRY].tolist() == judged.columns[ENTRY].tolist()
    np.testing.assert_allclose(read.features, judged.features, rtol=1e-5)
    np.testing.assert_array_equal(read.weight, judged.weight)


def test_an_event_is_refined_alike_whatever_file_it_is_in(
    applied: tuple[Path, Path], run: Path, tmp_path: Path
) -> None:
    with uproot.open(applied[0]) as file:
        events = file["events"].arrays()[1000:1200]
    jets = [name for name in events.fields if name.startswith("jet_")]
    with uproot.recreate(tmp_path / "part.root") as file:
        part = {name: events[name] for name in events.fields if name not in (*jets, "njet")}
        jet = ak.zip({name.removeprefix("jet_"): events[name] for name in jets})
        write_tree(file, "events", {name: ak.to_numpy(values) for name, values in part.items()} | {"jet": jet})
    assert main(["apply", str(run), str(tmp_path / "part.root"), "--output", str(tmp_path / "out")]) == 0
    with uproot.open(tmp_path / "out" / "part.root") as part_file, uproot.open(applied[1]) as whole:
        part_pt, pt = part_file["events"]["jet_pt"].array(), whole["events"]["jet_pt"].array()[1000:1200]
    # a network's sums depend in their last digit on how many events it reads at once
    np.testing.assert_allclose(ak.to_numpy(ak.flatten(part_pt)), ak.to_numpy(ak.flatten(pt)), rtol=1e-6)


@pytest.mark.parametrize(("model", "of"), [("both", "response"), ("weights", "as_is")])
def test_an_analysis_file_reads_the_factors_of_a_model_that_reweights(
    run: Path, tmp_path: Path, model: str, of: str
) -> None:
    source, output = run.parent / "bkg.root", tmp_path / "bkg.root"
    assert main(["apply", str(run), str(source), "--output", str(tmp_path), "--model", model]) == 0
    config = load_any(run / "config.yaml")
    assert isinstance(config, RefinementConfig)
    events = RefinedEvents.read(config, Quiet().step)
    judged = events.table(run, of, "bkg")
    saved = run_directory.read_scores(run, {"row": "iu", model: "f"})[model].to_numpy()[: events.entries("bkg")]
    factor = saved[judged.columns[ENTRY].astype(int)]
    assert np.ptp(factor) > 0.02

    # any analysis file: the branch as a part of the weight, or the weight itself, and the branch as a feature
    data = config.analysis.model_dump(mode="python", by_alias=True, exclude_unset=True)
    data |= {"selection": "(n_jets >= 2) & (met > 10)", "features": ["n_jets", "ht", "refinement_factor"]}
    data["samples"] = {
        name: data["samples"]["bkg"] | {"files": str(output), "class": label, "domain": domain, "weight": weight}
        for name, label, domain, weight in (
            ("bkg", "background", "simulation", "w * refinement_factor"),
            ("sig", "signal", "simulation", "refinement_weight"), ("bkg_2", "background", "refined", "w"),
        )
    }  # fmt: skip
    other = validate_any(data | {"kind": "events", "evaluation": {"bias": {"between": ["simulation", "refined"]}}})
    assert isinstance(other, AnalysisConfig)
    table = load_table(dataset_spec(other)).table
    met = events.config.analysis.features.index("met")
    chosen = judged.features[:, met] > 10
    for number in range(2):
        rows = table.sample == number
        order, expected = np.argsort(table.key[rows]), np.argsort(judged.key[chosen])
        assert np.array_equal(table.key[rows][order], judged.key[chosen][expected])
        np.testing.assert_allclose(table.features[rows][order, 2], factor[chosen][expected], rtol=1e-5)
        weight = (judged.weight * factor)[chosen][expected]
        np.testing.assert_allclose(table.weight[rows][order], weight, rtol=1e-5)
    with uproot.open(output) as after, uproot.open(source) as before:
        new, old = after["events"].arrays(), before["events"].arrays()
        assert set(new.fields) == {*old.fields, "refinement_factor", "refinement_weight"}
        assert ak.all(new.w == old.w)
        unselected = np.setdiff1d(np.arange(len(new)), judged.columns[ENTRY].astype(int))
        assert len(unselected) and ak.all(new.refinement_factor[unselected] == 1.0)
        np.testing.assert_allclose(new.refinement_weight, new.w * new.refinement_factor)
        if of == "as_is":
            assert ak.all(new.jet_pt == old.jet_pt)
    assert main(["apply", str(run), str(output), "--output", str(tmp_path / "twice"), "--model", model]) == 2


def test_errors_say_what_to_do(
    run: Path, applied: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = applied
    for arguments, message in [
        ([str(source), "--output", str(output.parent)], "is there already"),
        ([str(source), "--output", str(tmp_path), "--model", "respons"], "Did you mean 'response'"),
        ([str(source), "--output", str(tmp_path), "--model", "features"], "is no model of this run that changes"),
        ([str(source), "--output", str(tmp_path), "--sample", "bgk"], "Did you mean 'bkg'"),
        ([str(source), "--output", str(tmp_path), "--format", "parquet"], "take --model"),
        ([str(tmp_path / "x.csv"), "--output", str(tmp_path)], "x.csv"),
    ]:
        assert main(["apply", str(run), *arguments]) == 2
        assert message in capsys.readouterr().err
    write(tmp_path / "other.root", 20, 9)
    with uproot.open(tmp_path / "other.root") as file, uproot.recreate(tmp_path / "bad.root") as out:
        events = file["events"].arrays(["run", "event"], library="np")
        jet = ak.zip({"pt": file["events"]["jet_pt"].array()})
        write_tree(out, "events", {**events, "jet": jet})
    assert main(["apply", str(run), str(tmp_path / "bad.root"), "--output", str(tmp_path / "new")]) == 2
    assert "no branch 'jet_eta'" in capsys.readouterr().err and not (tmp_path / "new").exists()
