"""What a worker of a cluster must have before it gets a training, and the check of it on the worker itself.

Trainings leave their models, scores and checkpoints in files, and read the table of events from one. So the folder of
the run and that of the tables must be the same on every node (a shared file system), and the numbers are those of this
machine only with the same versions of the libraries.
"""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hepda.errors import writing

LIBRARIES = ("hepda", "torch", "numpy", "scipy", "scikit-learn", "xgboost", "lightgbm", "hep_ml")
"""Packages whose versions are compared: those that train."""
APPEARS = 60.0
"""Seconds in which a file that another machine wrote must appear here: NFS keeps the list of a folder that long."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What the trainings of a command need on every worker.

    Attributes:
        token: a file in the folder that the trainings write into.
        content: of that file.
        folders: the folders that they read.
        device: where networks are trained: auto, cpu, cuda or cuda:1.
        versions: of `LIBRARIES`, as `installed` returns them.

    """

    token: Path
    content: str
    folders: tuple[Path, ...]
    device: str
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Node:
    """A worker as it describes itself: the name of its machine, its processor, and why it cannot be used ("": it can).

    The processor is its name and the instruction set that torch uses: results agree to the last digit only between
    processors of one kind.
    """

    host: str
    processor: str
    why: str = ""


@contextmanager
def needs_of(folder: Path, reads: Sequence[Path], device: str) -> Iterator[Needs]:
    """Provide what trainings need on a worker; the file by which workers know `folder` exists within the block.

    Args:
        folder: the folder that the trainings write into; it is made.
        reads: the folders that they read.
        device: where networks are trained.

    Raises:
        StorageError: the folder cannot be written to.

    """
    content = secrets.token_hex(16)
    token = folder.absolute() / f".cluster-{content[:8]}"
    with writing(token):
        token.parent.mkdir(parents=True, exist_ok=True)
        token.write_text(content, encoding="utf-8")
    try:
        yield Needs(token, content, tuple(path.absolute() for path in reads), device, installed())
    finally:
        token.unlink(missing_ok=True)


def describe_node(needs: Needs | None, threads: int) -> Node:
    """Describe the worker that calls this.

    Args:
        needs: what the tasks need; None for nothing.
        threads: number of tasks that the worker does at the same time.

    """
    if needs is None:
        return Node(socket.gethostname(), "")
    why = _unfit(needs, threads)
    return Node(socket.gethostname(), "" if why else processor(), why)


def _unfit(needs: Needs, threads: int) -> str:
    """Return why a worker cannot do the trainings; empty if it can."""
    if threads != 1:
        return (
            f"it does {threads} tasks at once in one process, and a training has a process of its own: start workers "
            f"with one thread each (dask worker --nworkers {threads} --nthreads 1; `processes` equal to `cores` in "
            "the configuration of dask-jobqueue)"
        )
    here = installed()
    differing = [name for name in LIBRARIES if needs.versions.get(name) != here.get(name)]
    if differing:
        pairs = [
            f"{name} {here.get(name, 'missing')} instead of {needs.versions.get(name, 'none')}" for name in differing
        ]
        return f"it has other versions: {', '.join(pairs)}; install the same everywhere"
    return _folders_missing(needs) or _no_device(needs.device)


def _folders_missing(needs: Needs) -> str:
    """Return what is wrong with the folders; empty if they are those of the command and can be written to."""
    shared = "the folder of the run and the tables of events must be on a file system that all nodes share"
    options = "name such a folder by --output (and --cache)"
    folder = needs.token.parent
    if not appears(needs.token, patience=5.0) or needs.token.read_text(encoding="utf-8") != needs.content:
        return f"{folder} is not the folder that the command writes into: {shared}; {options}"
    missing = [str(path) for path in needs.folders if not path.is_dir()]
    if missing:
        return f"{', '.join(missing)} does not exist there: {shared}; {options}"
    mine = needs.token.with_name(f"{needs.token.name}.{socket.gethostname()}.{os.getpid()}")
    try:
        mine.write_text("", encoding="utf-8")
        mine.unlink()
    except OSError as error:
        return f"{folder} cannot be written to from there ({error.strerror}); {shared}, writable for jobs"
    return ""


def _no_device(device: str) -> str:
    if device in ("auto", "cpu"):
        return ""
    import torch

    count, number = torch.cuda.device_count(), int(device.partition(":")[2] or 0)
    return "" if number < count else f"--device {device}: torch finds {count} CUDA devices there"


def appears(*paths: Path, patience: float = APPEARS) -> bool:
    """Return whether one of the files exists, waiting for one that another machine has written.

    A network file system may keep for a while that a file does not exist; reading the list of its folder refreshes it.
    """
    deadline = time.monotonic() + patience
    while not any(path.exists() for path in paths):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
        for folder in {path.parent for path in paths}:
            if folder.is_dir():
                list(folder.iterdir())
    return True


def processor() -> str:
    """Return the name of the processor and the instruction set that torch uses, such as `AMD EPYC 7763, AVX2`."""
    import torch

    names = []
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{next(iter(names), platform.machine())}, {torch.backends.cpu.get_cpu_capability()}"


@cache
def installed() -> dict[str, str]:
    """Return the versions of `LIBRARIES` that are installed; that of hepda contains a checksum of its modules."""
    versions = {}
    for name in LIBRARIES[1:]:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"hepda": _version_of_hepda(), **versions}


def _version_of_hepda() -> str:
    from hepda import __version__

    package = Path(__file__).parents[2]
    checksum = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        checksum.update(path.relative_to(package).as_posix().encode())
        checksum.update(path.read_bytes())
    return f"{__version__} ({checksum.hexdigest()[:8]})"
