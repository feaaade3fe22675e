"""How a run gets into its directory: it is trained in a working folder and moved into place when it is complete.

A training works in `.work` of the run directory. When everything of the new run is written, a journal lists the
files to remove and the files to add; then they are moved, one rename each. After a crash in between, the next writer
into the directory finishes what the journal lists, so that a directory never keeps files of two runs. Files that
hepda did not write stay where they are.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from hepda.errors import ConfigError
from hepda.runtime import figures, looks, run_directory
from hepda.runtime.locks import LOCK, locked

WORK = ".work"
"""The folder of a run directory where a training works; it is removed when the run is complete."""
SECTIONS = "models.json"
"""The file next to unfinished trainings that contains the sections of their models."""
DATA = "data"
"""The folder in WORK with the data that no cache keeps."""

_MARK = "hepda.json"
"""The file in WORK that names the command that made it, so that a folder of another program is not mistaken for it."""
_JOURNAL, _OLD = "exchange.json", "replaced"
_LAST = "manifest.json"
"""The first file to be removed and the last to be added: a directory with this file holds a complete run."""


def is_finished(run: Path) -> bool:
    """Return whether `run` holds a run that `hepda train` completed.

    The check uses entries that only hepda writes into a manifest.
    """
    try:
        manifest = run_directory.read_json(run / "manifest.json")
    except ConfigError:
        return False
    return (
        isinstance(manifest, dict)
        and isinstance(manifest.get("training"), dict)
        and isinstance(manifest.get("versions"), dict)
        and "hepda" in manifest["versions"]
        and "files" in manifest
    )


def is_begun(run: Path) -> bool:
    """Return whether `run` has the working folder of a training that was interrupted or is under way."""
    if is_marked(run, "train"):
        return True
    return any(
        re.fullmatch(r"[0-9a-f]{8}", path.parent.name) and isinstance(_content(path), dict)
        for path in (run / WORK).glob(f"*/{SECTIONS}")  # the layout of hepda 0, without a mark
    )


def mark(folder: Path, verb: str) -> None:
    """Mark WORK in `folder` as made by a command of hepda."""
    run_directory.write_json(folder / WORK / _MARK, {"made_by": f"hepda {verb}"})


def is_marked(folder: Path, verb: str) -> bool:
    """Return whether `mark` was called for the folder and the command."""
    return bool(_content(folder / WORK / _MARK) == {"made_by": f"hepda {verb}"})


def check_ours(run: Path, option: str) -> None:
    """Raise ConfigError if `run` holds files that are not those of a run of hepda."""
    if is_finished(run) or ((run / WORK / _JOURNAL).is_file() and is_begun(run)):
        return
    if not run.is_dir():
        return
    present = [path.name for path in run.iterdir() if path.name not in (LOCK, WORK, looks.FILE)]
    clash = [name for name in present if name in run_directory.FILES]
    empty = not present and not (run / WORK).exists()
    if not empty and (clash or not is_begun(run)):
        raise ConfigError(
            f"{option} {run}: this folder holds files that are not of a run "
            f"({', '.join((clash or present)[:3]) or WORK}), which might be overwritten; name an empty or a new one."
        )


@contextmanager
def workplace(run: Path) -> Iterator[None]:
    """Let a training work in `run` within the block; if it is interrupted, only what can be resumed stays."""
    mark(run, "train")
    try:
        yield
    finally:
        if (run / WORK).is_dir() and not resumable(run) and not (run / WORK / _JOURNAL).exists():
            shutil.rmtree(run / WORK)


def resumable(run: Path) -> bool:
    """Return whether a training was interrupted in `run`."""
    return any((run / WORK).glob(f"*/{SECTIONS}"))


def put_in_place(new: Path, run: Path) -> None:
    """Make the complete run in the folder `new`, which is in WORK of `run`, the one of `run`, and remove WORK.

    The files of an earlier run and of its fit are removed; other files stay.
    """
    coming = [path.relative_to(new).as_posix() for path in sorted(new.rglob("*")) if path.is_file()]
    drawn: list[Path] = []
    with suppress(ConfigError):  # an unreadable list names no file
        drawn = figures.files(run)
    own = {*run_directory.hepda_files(run), *(path.relative_to(run).as_posix() for path in drawn)}
    going = sorted({*own, *(name for name in coming if (run / name).exists())})
    journal = {"new": new.relative_to(run / WORK).as_posix(), "going": going, "coming": coming}
    run_directory.write_json(run / WORK / _JOURNAL, journal)
    _finish(run)


def settle(run: Path, verb: str) -> None:
    """Finish the work of a training that was killed while it moved its results into place.

    Raises:
        ConfigError: another process writes into `run`, such as that training itself.

    """
    if (run / WORK / _JOURNAL).is_file() and is_begun(run):
        with locked(run, verb):
            finish(run)


def finish(run: Path) -> None:
    """Do the same as `settle` for a caller that holds the lock of `run`."""
    if (run / WORK / _JOURNAL).is_file() and is_begun(run):
        _finish(run)


def _finish(run: Path) -> None:
    """Do the steps of the journal; each of them may have been done already."""
    work = run / WORK
    journal = run_directory.read_json(work / _JOURNAL)
    new, old = work / _inside(journal["new"]), work / _OLD
    going, coming = ([_inside(name) for name in journal[key]] for key in ("going", "coming"))
    for name in sorted(going, key=lambda name: name != _LAST):
        # A file that is in `old` was moved already; a file with its name in `run` is the new one.
        if (run / name).exists() and not (old / name).exists():
            _move(run / name, old / name)
    for name in sorted(coming, key=lambda name: name == _LAST):
        if (new / name).exists():
            _move(new / name, run / name)
    for folder in {parent for name in going for parent in PurePosixPath(name).parents if parent.name}:
        with suppress(OSError):  # not empty, or removed with a folder below it
            (run / folder).rmdir()
    for sections in work.glob(f"*/{SECTIONS}"):
        sections.unlink()
    (work / _JOURNAL).unlink()  # before the replaced files are removed, or a restart would expect them
    shutil.rmtree(work)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)


def _inside(name: str) -> str:
    """Return a name of the journal.

    Raises:
        ConfigError: it leads out of the run directory.

    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ConfigError(f"{WORK}/{_JOURNAL} names {name!r}, outside of the run directory; remove {WORK}.")
    return name


def _content(path: Path) -> Any:
    try:
        return run_directory.read_json(path)
    except ConfigError:
        return None
