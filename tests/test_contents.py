"""Old scores do not meet new events: `hepda evaluate` and `hepda fit` compare contents, not keys alone."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
import yaml

from hepda import cli
from hepda.config import load_config
from hepda.errors import DataError
from hepda.events import steps
from hepda.events.dataset import contents
from hepda.events.kind import EventsKind
from hepda.events.resolve import dataset_spec
from hepda.report.drawing import FigureTexts
from hepda.results.events import EventMetrics
from hepda.runtime import run_directory
from hepda.runtime.plots import PlotOptions, Plots
from hepda.runtime.resources import Resources
from hepda.workflows import fit, train
from tests.factory import Silent, write_analysis, write_sample

SYSTEMATICS = {
    "jes": {"kind": "shape", "up": {"jet_pt": "jet_pt_jes_up"}, "down": {"jet_pt": "jet_pt_jes_down"}},
    "b_tag": {"kind": "weight", "up": "b_weight_up / b_weight", "down": "b_weight_down / b_weight"},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files and a run of one small BDT on them."""
    folder = tmp_path_factory.mktemp("contents")
    page = write_analysis(
        folder, n=700, luminosity=1.0, systematics=SYSTEMATICS, columns={"l": "lepton_pt"},
        models={"bdt": {"kind": "bdt", "iterations": 4}}, training={"processes": 1},
        evaluation={"probes": False, "bootstrap": 0, "blind": None, "bias": None},
    )  # fmt: skip
    train.train(load_config(page), folder / "run", PlotOptions(Plots.NONE), Silent())
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, whose run reads the files of the copy; no figures."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    page = tmp_path / "run" / "config.yaml"
    page.write_text(page.read_text().replace(str(trained), str(tmp_path)))
    monkeypatch.setattr(fit.Truth, "read", equal_contents)
    return tmp_path


def equal_contents(*_: object) -> None:
    """In place of what a fit does after the comparison."""
    raise DataError("the contents are equal")


def run_verb(verb: str, folder: Path, run: Path | None = None) -> int:
    """Status; 0 for a fit whose comparison found nothing."""
    more = ["--no-cache"] if verb == "evaluate" else []
    status = cli.main([verb, str(run or folder / "run"), *(["--plots", "none"] if verb != "apply" else []), *more])
    said = _CAPTURED[0].readouterr()
    _SAID[:] = [said.out + said.err]
    return 0 if "the contents are equal" in said.err else status


_CAPTURED: list[Any] = []
_SAID: list[str] = []


@pytest.fixture(autouse=True)
def captured(capsys: pytest.CaptureFixture[str]) -> None:
    _CAPTURED[:] = [capsys]


def signal(folder: Path, **spoil: Any) -> None:
    """The signal's file again: the same events, with other values in some branches."""
    write_sample(folder / "signal.root", 700, 1, signal=True, cross_section=0.5, spoil=spoil or None)


def branch(folder: Path, name: str) -> Any:
    with uproot.open(folder / "signal.root") as file:
        return file["events"][name].array(library="np")


@pytest.mark.parametrize("verb", ["evaluate", "fit"])
def test_the_same_events_in_files_made_again_are_the_same(folder: Path, verb: str) -> None:
    signal(folder)
    assert run_verb(verb, folder) == 0


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["evaluate", "fit"])
@pytest.mark.parametrize(("name", "part"), [("b_weight", "weight of signal"), ("met", "features of signal")])
def test_the_same_keys_with_another_content_are_refused(folder: Path, verb: str, name: str, part: str) -> None:
    signal(folder, **{name: branch(folder, name) * 1.1})
    assert run_verb(verb, folder) == 2
    assert part in _SAID[0] and "Train again" in _SAID[0]


def edit(folder: Path, **keys: Any) -> None:
    page = folder / "run" / "config.yaml"
    page.write_text(yaml.safe_dump(yaml.safe_load(page.read_text()) | keys, sort_keys=False))


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["evaluate", "fit"])
@pytest.mark.parametrize("keys", [{"luminosity": 2.0}, {"weight": "gen_weight"}, {"missing": -5.0}])
def test_another_analysis_file_is_refused(folder: Path, verb: str, keys: dict[str, Any]) -> None:
    edit(folder, **keys)
    assert run_verb(verb, folder) == 2
    assert "Train again" in _SAID[0]


def test_keys_that_make_no_row_may_change(folder: Path) -> None:
    edit(folder, columns={"l": "2 * lepton_pt", "more": "met"}, luminosity_label="10")
    assert run_verb("evaluate", folder) == 0


def test_a_fit_reads_the_events_again_only_where_something_has_changed(
    trained: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = contents._read

    def counted(config: Any, sample: str, report: Any) -> Any:
        read.append(sample)
        return original(config, sample, report)

    monkeypatch.setattr(contents, "_read", counted)
    manifest = json.loads((trained / "run" / "manifest.json").read_text())
    assert manifest["data"]["made_of"] == contents._name_now(dataset_spec(load_config(trained / "run" / "config.yaml")))
    assert run_verb("fit", folder, trained / "run") == 0
    assert read == []
    assert run_verb("fit", folder) == 0
    assert sorted(read) == ["background", "signal"]  # the templates; files are in another place now


def hashless(folder: Path) -> None:
    """The manifest without the hashes of its run, as an earlier hepda wrote it."""
    path = folder / "run" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["sha256"]
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize("verb", ["evaluate", "fit", "apply"])
def test_models_that_the_training_did_not_write_are_not_loaded(folder: Path, verb: str) -> None:
    models = folder / "run" / "models" / "bdt"
    path = models / "fold0-member0.skops"
    own = path.read_bytes()
    path.write_bytes(own + b"\0")
    more = ["--plots", "none"]
    if verb == "apply":
        more = [str(folder / "data.root"), "--output", str(folder / "friends")]

    def said(status: int) -> str:
        assert cli.main([verb, str(folder / "run"), *more]) == status
        return str(_CAPTURED[0].readouterr().err)

    assert "fold0-member0.skops: is not the file that the training of this run wrote" in said(2)
    path.write_bytes(own)
    (models / "fold0-member1.skops").write_bytes(own)
    assert "fold0-member1.skops: is not a file that the training of this run wrote" in said(2)
    page = folder / "run" / "manifest.json"
    page.write_text(json.dumps(json.loads(page.read_text()) | {"sha256": 1}))
    assert "`sha256` is damaged" in said(2)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["evaluate", "fit"])
@pytest.mark.parametrize("name", ["weight", "label", "fold", "key"])
def test_scores_of_other_events_are_refused(folder: Path, verb: str, name: str) -> None:
    path = folder / "run" / "scores.parquet"
    table = pq.read_table(path)
    values = table[name].to_numpy().copy()
    values[3] = 7.0 if name == "weight" else values[3] == 0
    at = table.column_names.index(name)
    pq.write_table(table.set_column(at, name, pa.array(values)), path)
    assert run_verb(verb, folder) == 2
    assert "scores.parquet: is not the file that the training" in _SAID[0]
    hashless(folder)
    assert run_verb(verb, folder) == 2
    assert "scores.parquet" in _SAID[0]


@pytest.mark.slow
def test_a_run_of_an_earlier_hepda_is_compared_as_far_as_it_can_be(folder: Path) -> None:
    path = folder / "run" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["data"], manifest["sha256"]
    path.write_text(json.dumps(manifest))
    for verb in ("evaluate", "fit"):
        assert run_verb(verb, folder) == 0
        assert "kept no record" in _SAID[0]
    signal(folder, b_weight=branch(folder, "b_weight") * 1.1)
    assert run_verb("evaluate", folder) == 2
    assert "another weight" in _SAID[0]
    path.write_text(json.dumps(manifest | {"data": [1]}))
    assert run_verb("fit", folder) == 2
    assert "`data` is damaged" in _SAID[0]


def test_a_table_of_the_cache_tells_what_it_is_made_of(folder: Path) -> None:
    config = load_config(folder / "small.yaml")
    names = [steps.load(config, lambda *_: None, Resources(cache=folder / "cache")).name for _ in range(2)]
    assert names[0] == names[1] == steps.load(config, lambda *_: None).name is not None
    os.utime(folder / "data.root", (1, 1))
    assert steps.load(config, lambda *_: None).name != names[0]


# --- files of a run that are damaged or of something else --------------------------------------------------------


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def foreign(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(text)


def of_other_columns(path: Path) -> None:
    pq.write_table(pa.table({"x": [1, 2]}), path)


def of_other_types(path: Path) -> None:
    table = pq.read_table(path)
    at = table.column_names.index("bdt")
    pq.write_table(table.set_column(at, "bdt", pa.array(["x"] * len(table))), path)


def with_gaps(path: Path) -> None:
    table = pq.read_table(path)
    at = table.column_names.index("weight")
    values = [None, *table["weight"].to_pylist()[1:]]
    pq.write_table(table.set_column(at, "weight", pa.array(values, pa.float64())), path)


FEATURE = "training,epoch,loss\nbdt-fold0-member0,1,x\n"
SPOILED = [
    ("scores.parquet", truncated), ("scores.parquet", foreign("PAR1")), ("scores.parquet", of_other_columns),
    ("scores.parquet", of_other_types), ("scores.parquet", with_gaps),
    ("history.csv", foreign("")), ("history.csv", foreign("a,b\n1,2\n")), ("history.csv", foreign(FEATURE)),
    ("history.csv", foreign("training,epoch,loss\nbdt-fold0-member0,1,0.5\nbdt-fold7-member0,1\n")),
    ("history.csv", foreign("training,epoch,loss\nbdt-fold7-member0,1,0.5\n")), ("history.csv", foreign("\0")),
    ("figures.json", foreign("[1]")), ("figures.json", foreign('[{"by": "fit"}]')), ("figures.json", foreign("7")),
    ("figures.json", truncated), ("manifest.json", foreign("[]")), ("manifest.json", truncated),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("name", "spoil"), SPOILED)
def test_a_damaged_or_foreign_file_of_a_run_is_named(
    folder: Path, name: str, spoil: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads it says which file it is: status 2, and never a traceback."""
    monkeypatch.setattr(EventsKind, "measure", lambda *_: EventMetrics.from_json({"models": {}}))
    monkeypatch.setattr(EventsKind, "figures", lambda *_: FigureTexts([], []))
    hashless(folder)
    run_directory.write_json(folder / "run" / "figures.json", [])
    spoil(folder / "run" / name)
    assert run_verb("evaluate", folder) == 2
    assert name in _SAID[0]


def test_what_a_disk_refuses_is_said_of_every_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that cannot be written is named, what was there stays, and nothing half is left."""
    before = (folder / "run" / "report.html").read_bytes()
    original = Path.write_text

    def full(self: Path, *given: Any, **keys: Any) -> int:
        if "metrics.json" in self.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return original(self, *given, **keys)

    monkeypatch.setattr(Path, "write_text", full)
    assert run_verb("evaluate", folder) == 2
    assert "metrics.json: cannot be written: No space left on device; make space there" in _SAID[0]
    assert (folder / "run" / "report.html").read_bytes() == before
    assert not [path for path in (folder / "run").iterdir() if path.name.endswith(".tmp")]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device", "x"),
                                   OSError("100 requested and 10 written")])  # fmt: skip
def test_a_full_disk_that_nobody_told_of_is_not_a_fault_of_hepda(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """The memory that processes share, for example; numpy's tofile forgets the number of the error."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(EventsKind, "load", fail)
    assert run_verb("evaluate", folder) == 2
    assert "make space there" in _SAID[0] and "Traceback" not in _SAID[0]


def test_files_of_a_run_follow_the_umask(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = {"bdt": {"kind": "bdt", "iterations": 2}, "net": {"kind": "network", "encoder": [4]}}
    for library in ("xgboost", "lightgbm"):
        if find_spec(library) is not None:
            models[library] = {"kind": "bdt", "library": library, "iterations": 2}
    page = tmp_path / "small.yaml"
    text = yaml.safe_load((trained / "small.yaml").read_text())
    for sample in text["samples"].values():
        sample["files"] = str(trained / sample["files"])
    text |= {"models": models, "training": {"epochs": 1, "batch_size": 256, "processes": 1, "patience": None}}
    page.write_text(yaml.safe_dump(text, sort_keys=False))
    old = os.umask(0o027)
    try:
        train.train(load_config(page), tmp_path / "run", PlotOptions(Plots.NONE), Silent(),
                       resources=Resources(cache=tmp_path / "cache"))  # fmt: skip
    finally:
        os.umask(old)
    files = [path for place in ("run", "cache") for path in (tmp_path / place).rglob("*")]
    assert len(files) > 20
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in files}
    wrong = {path.name: modes[path.name] for path in files
             if modes[path.name] != ("0o750" if path.is_dir() else "0o640")}  # fmt: skip
    assert not wrong
