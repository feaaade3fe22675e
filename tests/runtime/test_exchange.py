"""A run gets into its directory whole or not at all, wherever the process ends, and takes nobody else's files."""

import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from hepda.errors import ConfigError
from hepda.runtime import exchange, run_directory
from hepda.runtime.exchange import WORK

OLD = ("manifest.json", "metrics.json", "config.yaml", "models/bdt/fold0-member0.skops", "plots/roc.png",
       "plots/roc.pdf", "plots/gone.png", "fit.json", "workspace-bdt.json")  # fmt: skip
NEW = ("manifest.json", "metrics.json", "config.yaml", "models/net/fold0-member0.safetensors", "plots/roc.png",
       "plots/roc.pdf")  # fmt: skip
MINE = ("notes.txt", "models/bdt/my_study.txt", "plots/for_the_thesis.png", "workspace-mine.json")


def write_run(folder: Path, names: tuple[str, ...], text: str) -> None:
    for name in names:
        run_directory.write_text(folder / name, text)
    manifest = {"training": {}, "versions": {"hepda": "1"}, "files": [], "text": text}
    run_directory.write_json(folder / "manifest.json", manifest)
    if "fit.json" in names:
        run_directory.write_json(folder / "fit.json", {"stamp": "1", "toys": 0, "models": {"bdt": {}}})
    drawn = [name for name in names if name.endswith(".png")]
    figures = [{"by": "evaluate", "section": "s", "title": name, "caption": "", "file": name} for name in drawn]
    run_directory.write_json(folder / "figures.json", figures)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run with files of its user's, and a new one that waits in its working folder."""
    run = tmp_path / "run"
    write_run(run, OLD, "old")
    for name in MINE:
        run_directory.write_text(run / name, "mine")
    exchange.mark(run, "train")
    run_directory.write_json(run / WORK / "0123abcd" / exchange.SECTIONS, {})
    write_run(run / WORK / "0123abcd" / "run", NEW, "new")
    return run


def files(run: Path) -> dict[str, str]:
    result = {p.relative_to(run).as_posix(): p for p in run.rglob("*") if p.is_file()}
    return {name: path.read_text() for name, path in result.items()}


def assert_new(run: Path) -> None:
    result = files(run)
    assert set(result) == {*NEW, *MINE, "figures.json"}
    assert all(result[name] == "mine" for name in MINE)
    assert all("new" in result[name] for name in NEW) and not (run / WORK).exists()


def test_a_new_run_takes_the_place_of_the_old_one_and_leaves_files_of_others(run: Path) -> None:
    exchange.put_in_place(run / WORK / "0123abcd" / "run", run)
    assert_new(run)


@pytest.mark.parametrize("step", range(24))
def test_an_exchange_that_is_cut_off_anywhere_is_finished_by_the_next_verb(
    run: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0

    def counted(action):  # type: ignore[no-untyped-def]
        def called(*arguments, **more):  # type: ignore[no-untyped-def]
            nonlocal steps
            steps += 1
            if steps > step:
                raise KeyboardInterrupt
            return action(*arguments, **more)

        return called

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink", "rmdir"):
            patch.setattr(Path, name, counted(getattr(Path, name)))
        patch.setattr(shutil, "rmtree", counted(shutil.rmtree))
        with suppress(KeyboardInterrupt):
            exchange.put_in_place(run / WORK / "0123abcd" / "run", run)
    complete = json.loads((run / "manifest.json").read_text())["text"] if (run / "manifest.json").exists() else None
    if complete is None:  # in between: no verb takes it for a run before it is finished
        assert not exchange.is_finished(run)
    exchange.check_ours(run, "--output")
    exchange.settle(run, "evaluate")
    if not (run / WORK).exists() or step:
        if (run / WORK).exists():  # all is done but for the last of the working folder, which the next training takes
            with exchange.workplace(run):
                pass
        assert_new(run)
    else:  # before the journal was written nothing has happened
        assert "old" in (run / "metrics.json").read_text() and exchange.resumable(run)


@pytest.mark.parametrize(
    "content",
    [
        {"manifest.json": "{}"},
        {"manifest.json": '{"training": {}}'},
        {"manifest.json": '{"name": "a web app", "version": "1"}'},
        {"manifest.json": "[1]"},
        {"manifest.json": "not JSON"},
        {"config.yaml": "a: 1"},
        {".work/0123abcd/other.json": "{}"},
        {".work/models.json": "{}"},
        {"thesis.tex": ""},
    ],
)
def test_a_folder_of_somebody_else_is_no_run(tmp_path: Path, content: dict[str, str]) -> None:
    for name, text in content.items():
        run_directory.write_text(tmp_path / name, text)
    (tmp_path / "models").mkdir()
    before = files(tmp_path)
    with pytest.raises(ConfigError, match=r"--output .*not of a run"):
        exchange.check_ours(tmp_path, "--output")
    exchange.settle(tmp_path, "train")
    assert files(tmp_path) == before and not exchange.is_finished(tmp_path)


def test_an_empty_folder_a_new_one_and_an_interrupted_training_are_free(tmp_path: Path) -> None:
    exchange.check_ours(tmp_path, "--output")
    exchange.check_ours(tmp_path / "new", "--output")
    exchange.mark(tmp_path, "train")
    exchange.check_ours(tmp_path, "--output")
    (tmp_path / "notes.txt").write_text("mine")
    exchange.check_ours(tmp_path, "--output")
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(ConfigError, match=r"report\.html"):
        exchange.check_ours(tmp_path, "--output")


def test_a_working_folder_goes_unless_something_can_be_resumed(tmp_path: Path) -> None:
    with exchange.workplace(tmp_path):
        (tmp_path / WORK / "data").mkdir()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ZeroDivisionError), exchange.workplace(tmp_path):
        run_directory.write_json(tmp_path / WORK / "0123abcd" / exchange.SECTIONS, {})
        _ = 1 / 0
    assert exchange.resumable(tmp_path)


def test_a_journal_that_leads_outside_is_refused(run: Path) -> None:
    journal = {"new": "0123abcd/run", "going": ["../precious"], "coming": []}
    run_directory.write_json(run / WORK / "exchange.json", journal)
    (run.parent / "precious").write_text("mine")
    with pytest.raises(ConfigError, match="outside"):
        exchange.settle(run, "fit")
    assert (run.parent / "precious").exists()
