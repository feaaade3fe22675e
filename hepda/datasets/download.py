"""Published data sets: where each is published, how it is checked, where it is found, and how it is downloaded.

A data set is searched in `HEPDA_DATA` first (one folder, or several joined as in PATH), then in the folder of
`hepda data fetch` (`HEPDA_DATASETS`, or the user's cache folder). It may be there in several forms; the first complete
one is used. Interrupted downloads are continued, and a download with a wrong checksum is refused.
"""

from __future__ import annotations

import csv
import hashlib
import json
import lzma
import os
import struct
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hepda.datasets.catalogue import MADE, SETS, Contents, File, Published
from hepda.errors import ConfigError, SourceError, nearest

Progress = Callable[[str, int, int], None]
"""Called with a file's name, the number of bytes that are present, and its size (0: unknown)."""

_TIMEOUT = 20.0  # seconds without an answer before the next address is tried
_CHUNK = 1 << 16


_DAMAGE: tuple[type[Exception], ...] = (
    OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError, MemoryError,
    StopIteration, SyntaxError, struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError,
    csv.Error, tokenize.TokenError,
)  # fmt: skip
"""Exceptions of Python, numpy, scipy, Pillow and libsndfile for files that are damaged, or of another kind."""


@contextmanager
def reading(claim: str, *more: type[Exception]) -> Iterator[None]:
    """Turn whatever a library raises about the content of a file within the block into a SourceError.

    Args:
        claim: the beginning of the message: the file, and as what it cannot be read.
        *more: exceptions of a library that are derived from `Exception` alone.

    Raises:
        SourceError: the content is damaged, or of another kind. Errors of hepda are raised unchanged.

    """
    try:
        yield
    except (*_DAMAGE, *more) as error:
        reason = str(error) or type(error).__name__
        raise SourceError(f"{claim}: {reason}; copy or fetch it again if it is damaged") from error


def published(name: str) -> Published:
    """Return the data set of that name.

    Raises:
        ConfigError: there is no such data set.

    """
    if name not in SETS:
        known = [*SETS, *MADE]
        hint = nearest(name, known) or f" There are: {', '.join(known)}."
        raise ConfigError(f"there is no data set {name!r}.{hint}")
    return SETS[name]


def parts_of(name: str) -> tuple[str, ...]:
    """Return the published data sets that a data set is made of, or the data set itself.

    Raises:
        ConfigError: there is no such data set.

    """
    return MADE[name].of if name in MADE else (published(name).name,)


def listing() -> Iterator[tuple[str, str, str]]:
    """Yield for every data set its name, where it is (`here`, `not here`, `made here`), and what it is."""
    for name, one in SETS.items():
        yield name, "here" if find(name) else "not here", f"{one.title} ({one.licence})"
    for name, made in MADE.items():
        where = "made here" if all(find(part) for part in made.of) else "not here"
        yield name, where, made.title + (f" (of {', '.join(made.of)})" if made.of else "")


def data_folders() -> list[Path]:
    """Return the folders in which data sets are searched: those of HEPDA_DATA, then that of the downloads."""
    named = [Path(part).expanduser() for part in os.environ.get("HEPDA_DATA", "").split(os.pathsep) if part]
    return [*named, download_folder()]


def download_folder() -> Path:
    """Return the folder where `fetch` keeps downloads: HEPDA_DATASETS, or the user's cache folder."""
    if os.environ.get("HEPDA_DATASETS"):
        return Path(os.environ["HEPDA_DATASETS"]).expanduser()
    import pooch

    return Path(pooch.os_cache("hepda"))


def find(name: str) -> tuple[Path, ...] | None:
    """Return the files (or folders) of the first form of a data set that is present, or None."""
    wanted = published(name)
    for form in wanted.forms:
        for place in _places(name):
            paths = tuple(place / part for part in form)
            if all(path.exists() for path in paths):
                return paths
    return None


def path_of(name: str) -> tuple[Path, ...]:
    """Do the same as `find`, but raise an error if the data set is not present.

    Raises:
        SourceError: it is not present; the message says how it can be obtained.

    """
    found = find(name)
    if found is None:
        raise SourceError(missing(name))
    return found


def missing(name: str) -> str:
    """Return the message that says how to obtain a data set that is not present."""
    wanted = published(name)
    looked = ", ".join(str(folder) for folder in data_folders())
    ways = [f"  `hepda data fetch {name}` downloads it"] if wanted.files else []
    ways += [f"  put into a folder that HEPDA_DATA names: {wanted.by_hand}"]
    return "\n".join(
        [
            f"the data set {name!r} ({wanted.title}) is not in {looked}.",
            *ways,
            f"  its publishers tell of it at {wanted.home} ({wanted.licence})",
        ]
    )


def tar_files(path: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Return the contents of the files of a tar archive whose names are wanted, by name.

    `tarfile` takes a damaged header for the end of the archive, and compares a checksum only if it reads to the end.
    Therefore the rest after the last file is read here, and has to be zeros.

    Args:
        path: the archive.
        wanted: whether the file of a name is wanted.

    Raises:
        SourceError: it is not a tar archive, or it is damaged.

    """
    found: dict[str, bytes] = {}
    with reading(f"{path}: cannot be read as a tar archive"), tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and wanted(member.name):
                file = archive.extractfile(member)
                found[member.name] = b"" if file is None else file.read()
        stream = archive.fileobj
        if stream is not None:
            stream.seek(archive.offset)
            while rest := stream.read(1 << 20):
                if any(rest):
                    raise ValueError(f"there is something else than a file at byte {archive.offset}")
    return found


def contents_digest(contents: Contents, paths: Iterable[Path]) -> str:
    """Return the SHA-256 over names and contents of a data set's files, which are in folders or an archive (zip, tar).

    Raises:
        SourceError: an archive cannot be read.

    """
    files: dict[str, bytes] = {}
    for path in paths:
        files |= _files_within(path, contents)
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode())
        digest.update(files[name])
    return digest.hexdigest()


def _files_within(path: Path, contents: Contents) -> dict[str, bytes]:
    """Return the files of `contents` in a folder or an archive, by name."""

    def wanted(name: str) -> bool:
        return name.endswith(contents.suffix) and name.split("/")[-2:-1] in [[folder] for folder in contents.folders]

    with reading(f"{path}: cannot be read"):
        if path.is_dir():
            found = {file.as_posix(): file.read_bytes() for file in path.iterdir() if wanted(file.as_posix())}
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                found = {name: archive.read(name) for name in archive.namelist() if wanted(name)}
        else:
            found = tar_files(path, wanted)
    kept = -1 if len(contents.folders) == 1 else -2
    return {"/".join(name.split("/")[kept:]): content for name, content in found.items()}


def verify(name: str, paths: Iterable[Path]) -> str | None:
    """Compare the files (or folders) of a data set with its known checksums.

    Returns:
        A text that says what was compared; None if no checksum of the data set in this form is known.

    Raises:
        SourceError: a file differs from the published one.

    """
    wanted, said = published(name), dict[str, None]()
    known = {file.name: file.digest for file in (*wanted.files, *wanted.other_files) if file.digest}
    for path in paths:
        noted = _note_of(path)
        digests = [known[path.name]] if path.name in known else []
        if noted.is_file():
            with reading(f"{noted}: is no line of sha256sum"):
                digests.append(f"sha256:{noted.read_text().split()[0]}")
        for digest in digests:
            kind, _, value = digest.partition(":")
            told = _digest_of(path, kind)
            if told != value:
                raise SourceError(f"{path} is not what was published: its {kind} is {told}, not {value}; remove it")
            said[f"the {kind} of each file"] = None
    if wanted.contents is not None:
        paths = tuple(paths)
        told = contents_digest(wanted.contents, paths)
        if told != wanted.contents.digest:
            raise SourceError(
                f"{', '.join(str(path) for path in paths)}: the {wanted.contents.suffix} files within are not those "
                f"that were published: their sha256 is {told}, not {wanted.contents.digest}; remove them"
            )
        said["the sha256 over the files within"] = None
    return " and ".join(said) or None


def _digest_of(path: Path, kind: str) -> str:
    with reading(f"{path}: cannot be read"), path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _note_of(path: Path) -> Path:
    """Return the file that keeps the SHA-256 of a download whose publishers give another checksum or none."""
    return path.with_name(f"{path.name}.sha256")


def fetch(name: str, progress: Progress | None = None) -> tuple[Path, ...]:
    """Return the files of the data set, downloaded if they are not present, otherwise verified (see `verify`).

    A wrong download is downloaded again; one in a folder of HEPDA_DATA is an error.

    Args:
        name: of the data set.
        progress: called during a download.

    Raises:
        SourceError: a file differs from the published one, or no address of a file can be reached; the message lists
            every attempt.

    """
    found, tries = find(name), list[str]()
    if found is not None:
        try:
            verify(name, found)
        except SourceError as error:
            if not _removed(found):
                raise
            tries.append(str(error))
        else:
            return found
    wanted = published(name)
    if wanted.files:
        try:
            _by_address(wanted, progress or _silent)
        except SourceError as error:
            tries.append(str(error))
        else:
            return path_of(name)
    raise SourceError("\n".join([*tries, missing(name)]))


def _removed(paths: Iterable[Path]) -> bool:
    """Remove downloads; return whether they were removed.

    Files outside the folder of downloads, and folders, are the user's: if there are any, nothing is removed.
    """
    paths, downloads = tuple(paths), download_folder().resolve()
    if not all(path.is_file() and path.resolve().is_relative_to(downloads) for path in paths):
        return False
    for path in paths:
        path.unlink()
        _note_of(path).unlink(missing_ok=True)
    return True


def _by_address(wanted: Published, progress: Progress) -> None:
    paths = tuple(_download(file, download_folder() / wanted.name, progress) for file in wanted.files)
    try:
        verify(wanted.name, paths)
    except SourceError:
        _removed(paths)
        raise
    for file, path in zip(wanted.files, paths, strict=True):
        if not file.digest.startswith("sha256:"):
            _note_of(path).write_text(f"{_digest_of(path, 'sha256')}  {path.name}\n")


def _download(file: File, folder: Path, progress: Progress) -> Path:
    """Download one file into `folder`, from the first of its addresses that answers."""
    import pooch
    import requests

    folder.mkdir(parents=True, exist_ok=True)
    pooch.get_logger().setLevel("WARNING")
    tries = []
    for url in file.urls:
        part = Part(folder / f"{file.name}.part", url, file)

        def resume(url: str, output: str, pooch_: object, part: Part = part) -> None:
            part.download(progress)
            part.path.replace(output)

        for _ in range(2):  # a continued part that became another file is downloaded from its beginning, once
            try:
                pooch.retrieve(url, file.digest or None, fname=file.name, path=folder, downloader=resume)
            except (requests.RequestException, OSError) as error:
                tries.append(f"{url}: {error}")
            except ValueError as error:  # pooch raises it for another checksum; it has removed the file
                tries.append(f"{url}: what came is not {file.name}: {str(error).splitlines()[0]}")
                if part.went_on:
                    continue
            else:
                part.forget()
                return folder / file.name
            break
    raise SourceError("\n".join([f"{file.name} cannot be downloaded:", *(f"  {told}" for told in tries)]))


class Part:
    """A download that may have been interrupted: its bytes, and a note beside them that identifies the file.

    The note holds the address, the expected checksum, and the version that the server gave (ETag or Last-Modified).
    Bytes without a note, or with that of another file, are not continued; if the server has changed the file since, it
    sends the whole file (If-Range).
    """

    def __init__(self, path: Path, url: str, file: File) -> None:
        self.path, self.url, self.file = path, url, file
        self.note = path.with_name(f"{path.name}.json")
        self.identity = {"url": url, "digest": file.digest, "size": file.size}
        self.went_on = False

    def there(self) -> tuple[int, str]:
        """Return the number of bytes that can be continued, and the server's version of them ("" if it gave none)."""
        if not (self.path.is_file() and self.note.is_file()):
            return 0, ""
        try:
            told = json.loads(self.note.read_text())
        except ValueError:  # the note was interrupted too
            return 0, ""
        size = self.path.stat().st_size
        if not isinstance(told, dict) or {**told, "version": ""} != {**self.identity, "version": ""}:
            return 0, ""
        return (0 if self.file.size and size > self.file.size else size), str(told["version"])

    def download(self, progress: Progress) -> None:
        """Download from the byte where the part ends, if the server supports it; raise the exceptions of requests."""
        import requests

        there, version = self.there()
        self.went_on = there > 0
        if there and there == self.file.size:
            return
        headers = {"Range": f"bytes={there}-"} if there else {}
        headers |= {"If-Range": version} if there and version else {}
        with requests.get(self.url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
            if there and answer.status_code == requests.codes.requested_range_not_satisfiable:
                return  # it was complete; its checksum is compared next
            answer.raise_for_status()
            said = answer.headers.get("Content-Range", f"bytes {there}-")
            if answer.status_code != requests.codes.partial_content or not said.startswith(f"bytes {there}-"):
                if answer.status_code == requests.codes.partial_content:
                    raise requests.ConnectionError(f"asked for bytes from {there}, it sends {said}")
                there, self.went_on = 0, False
            tag = answer.headers.get("ETag", "")  # a weak one does not identify bytes
            version = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")
            total = self.file.size or there + int(answer.headers.get("Content-Length", 0))
            if not there:
                self.path.unlink(missing_ok=True)
            self.note.write_text(json.dumps({**self.identity, "version": version}))
            with self.path.open("ab") as output:
                for chunk in answer.iter_content(_CHUNK):
                    output.write(chunk)
                    there += len(chunk)
                    progress(self.file.name, there, total)
        if self.file.size and there < self.file.size:
            raise requests.ConnectionError(
                f"ended after {there} of {self.file.size} bytes; the next try goes on from there"
            )

    def forget(self) -> None:
        """Remove the note, and unused bytes: the file is complete."""
        self.note.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def _places(name: str) -> Iterator[Path]:
    for folder in data_folders():
        yield folder / name
        yield folder / "images"
        yield folder / "speech"
        yield folder


def _silent(name: str, done: int, total: int) -> None:
    pass
