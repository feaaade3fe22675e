"""`hepda compare`: the numbers of all runs in one page, and what differs between them in words."""

import copy
import dataclasses
import json
import shutil

import pytest
import yaml

from hepda.config import load_config, resolved_yaml
from hepda.events.results.comparison import changes_table, files_table
from hepda.workflows import compare
from tests.factory import write_analysis
from tests.test_cli import assert_refused, run_cli


def entry(auc, ks, shift=-0.2):
    return {
        "auc": {
            "simulation": {"value": auc, "low": auc - 0.01, "high": auc + 0.01}, "data": {"value": None, "why": "none"},
        },
        "bias": {"simulation:alternative": {
            "class": "background", "ks": ks, "ks_null": 0.015, "efficiency_shift": {"0.2": shift, "0.3": shift / 2},
            "efficiency_shift_error": {"0.2": 0.05, "0.3": 0.03},
        }},
        "training": {"seconds": 1.0, "rows_per_second": 2.0, "epochs": 3.0},
    }  # fmt: skip


@pytest.fixture
def runs(tmp_path):
    """Two run directories that differ in luminosity, seed, strength and a file."""
    path = write_analysis(tmp_path / "files", n=30)
    folders = []
    for name, over, models in (
        ("first", [], {"network": entry(0.841, 0.0612), "dann": entry(0.823, 0.0231)}),
        ("second", ["luminosity=20", "seed=2", "models.dann.domain.strength=5"],
         {"network": entry(0.852, 0.0623), "bdt": entry(0.861, 0.0634)}),
    ):  # fmt: skip
        config = load_config(path, over)
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.yaml").write_text(resolved_yaml(config))
        samples = {
            "background": {"class": "background", "domain": "simulation", "use": "train", "entries": 30, "selected": 20}
        }
        metrics = {
            "schema": 1,
            "name": "small",
            "seed": config.seed,
            "luminosity": config.luminosity,
            "samples": samples,
        }
        (folder / "metrics.json").write_text(json.dumps(metrics | {"models": models}))
        files = [{"sample": s, "path": f"/somewhere/{s}.root", "bytes": 10, "entries": 30, "selected": 20, "sumw": 5.0}
                 for s in ("signal", "background")]  # fmt: skip
        (folder / "manifest.json").write_text(
            json.dumps({"files": files, "versions": {"hepda": "0.1"}, "training": {}})
        )
        folders.append(folder)
    return folders


def edit(folder, name, change):
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))


def test_the_page_and_the_console_hold_the_models_of_all_runs(runs, tmp_path):
    status, out, err = run_cli("compare", *runs, "--output", tmp_path / "page" / "x.html")
    assert (status, err) == (0, "")
    page = (tmp_path / "page" / "x.html").read_text()
    for name, value in (("network · first", "0.841"), ("network · second", "0.852"), ("dann · first", "0.823"),
                        ("bdt · second", "0.861")):  # fmt: skip
        assert name in out and f'title="{name}"' in page and value in page
        assert next(line for line in out.splitlines() if name in line).split(name)[1].strip().startswith(value)
    assert out.index("network · second") < out.index("dann · first")  # the same model side by side
    assert page.count("data:image/png") == 1 and "models.dann.domain.strength" in page
    assert "<script src" not in page


def test_the_page_of_runs_is_beside_the_first_and_is_not_that_of_other_runs(runs, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    third = tmp_path / "a" / "first"
    shutil.copytree(runs[1], third)
    quiet = ("--plots", "none")
    status, out, err = run_cli("compare", "../first", "../second", *quiet)
    assert (status, err) == (0, "") and f"report: {tmp_path / 'compare-first-second.html'}" in out.replace("\n", "")
    page = (tmp_path / "compare-first-second.html").read_text()
    run_cli("compare", *runs, third, *quiet)
    between = f"{tmp_path.name}_first-{tmp_path.name}_second-a_first"  # as many folders as make all of them differ
    assert (tmp_path / f"compare-{between}.html").exists()
    assert (tmp_path / "compare-first-second.html").read_text() == page
    assert list((tmp_path / "elsewhere").iterdir()) == []
    many = [dataclasses.replace(run, name="n" * 90) for run in compare.read_runs(runs)]
    names = {compare.default_page(many).name, compare.default_page([*many, many[0]]).name}
    assert len(names) == 2 and max(map(len, names)) < 130


def test_what_models_of_one_name_changed_is_a_table(runs):
    table = changes_table(compare.read_runs(runs))
    shift = "Shift at 20 %, alternative [%]"
    assert table.head == ["Model and run", "AUC simulation", "AUC data", shift, "Z with bias [σ]"]
    [row] = table.rows  # of the model that both runs have
    assert [cell.text for cell in row[:2]] == ["network, second", "0.011"] and row[3].sort == 0.0
    assert row[2].sort is None and row[4].sort is None


def test_what_differs_is_said(runs):
    sentences = compare.difference_sentences(compare.read_runs(runs))
    assert sentences == [
        "second against first: another luminosity, 20.0 fb⁻¹ instead of 10.0 fb⁻¹.",
        "second against first: another seed, 2 instead of 1.",
        "second against first: the configs differ in models.dann.domain.strength.",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda files: files[0].update(path="/signal_v2.root"), "other files, signal_v2.root instead of signal.root"),
        (lambda files: files[0].update(bytes=11), "signal: files of the same name with other content"),
        (lambda files: files[1].update(entries=31), "background: files of the same name with other content"),
        (lambda files: files.pop(0), "read only by first: signal"),
        (lambda files: files.append(files[0] | {"sample": "data"}), "read only by second: data"),
        (lambda files: files[0].update(path="/elsewhere/signal.root"), None),
    ],
)  # fmt: skip
def test_other_files_are_flagged(runs, change, message):
    edit(runs[1], "manifest.json", lambda manifest: change(manifest["files"]))
    result = [text for text in compare.difference_sentences(compare.read_runs(runs)) if "config" not in text]
    new = [text for text in result if "luminosity" not in text and "seed" not in text]
    assert (message is None and new == []) or (len(new) == 1 and message in new[0])


def test_other_weights_are_flagged_at_the_same_luminosity(runs):
    shutil.copy(runs[0] / "config.yaml", runs[1] / "config.yaml")
    assert compare.difference_sentences(compare.read_runs(runs)) == []
    edit(runs[1], "manifest.json", lambda manifest: manifest["files"][0].update(sumw=6.0))
    edit(runs[1], "manifest.json", lambda manifest: manifest["versions"].update(hepda="0.2"))
    weights, version = compare.difference_sentences(compare.read_runs(runs))
    assert "signal: the same files, with another selection or other weights" in weights
    assert "hepda 0.2 instead of 0.1" in version


def test_tables_of_differences_hold_every_run(runs):
    first, second = compare.read_runs(runs)
    third = dataclasses.replace(first, name="third", config=copy.deepcopy(dict(second.config)))
    table = compare.config_table([first, second, third])
    assert table.head == ["Key", "first", "second", "third"]
    assert {row[0].text: [cell.text for cell in row[1:]] for row in table.rows} == {
        "luminosity": ["10.0", "20.0", "20.0"], "seed": ["1", "2", "2"],
        "models.dann.domain.strength": ["1.0", "5.0", "5.0"],
    }  # fmt: skip
    events = files_table([first, second])
    assert [[cell.text for cell in row] for row in events.rows] == [
        ["signal", "30", "20", "30", "20"],
        ["background", "30", "20", "30", "20"],
    ]


def test_runs_of_the_same_name_are_told_apart_by_their_folders(runs, tmp_path):
    places = [tmp_path / side / "run" for side in ("a", "b")]
    for place, run in zip(places, runs, strict=True):
        shutil.copytree(run, place)
    assert [run.name for run in compare.read_runs(places)] == ["a/run", "b/run"]


def test_what_is_no_run_is_refused(runs, tmp_path):
    out = ("--output", tmp_path / "x.html")
    assert_refused(run_cli("compare", runs[0], *out), "two runs or more")
    assert_refused(run_cli("compare", runs[0], runs[0], *out), "given twice")
    assert_refused(run_cli("compare", runs[0], tmp_path / "no", *out), "not a run directory")
    (runs[1] / "metrics.json").write_text("{}")
    assert_refused(run_cli("compare", *runs, *out), "metrics.json", "not written by")
    assert not (tmp_path / "x.html").exists()
    assert yaml.safe_load((runs[0] / "config.yaml").read_text())["name"] == "small"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("metrics.json", lambda m: m.update(models=[1])),
        ("metrics.json", lambda m: m.update(models={"network": 7})),
        ("metrics.json", lambda m: m.update(samples=[1])),
        ("manifest.json", lambda m: m.update(files={"a": 1})),
        ("manifest.json", lambda m: m.update(files=[{"path": "x"}])),
        ("manifest.json", lambda m: m.update(versions=[1])),
    ],
)
def test_files_of_something_else_are_named(runs, tmp_path, name, change):
    edit(runs[1], name, change)
    out = run_cli("compare", *runs, "--output", tmp_path / "x.html")
    assert_refused(out, str(runs[1] / name), "hepda writes there")
    assert not (tmp_path / "x.html").exists()
