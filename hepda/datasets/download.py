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
    """Turn errors of libraries about the content of a file within the block into a SourceError.

    Args:
        claim: the beginning of the message: the file, and the format in which it cannot be read.
        *more: exceptions of a library that are derived only from `Exception`.

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
    for name, data_set in SETS.items():
        yield name, "here" if find(name) else "not here", f"{data_set.title} ({data_set.licence})"
    for name, recipe in MADE.items():
        where = "made here" if all(find(part) for part in recipe.of) else "not here"
        yield name, where, recipe.title + (f" (of {', '.join(recipe.of)})" if recipe.of else "")


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
    data_set = published(name)
    for form in data_set.forms:
        for folder in _places(name):
            paths = tuple(folder / part for part in form)
            if all(path.exists() for path in paths):
                return paths
    return None


def path_of(name: str) -> tuple[Path, ...]:
    """Do the same as `find`, but raise an error if the data set is not present.

    Raises:
        SourceError: it is not present; the message says how it can be obtained.

    """
    paths = find(name)
    if paths is None:
        raise SourceError(missing(name))
    return paths


def missing(name: str) -> str:
    """Return the message that says how to obtain a data set that is not present."""
    data_set = published(name)
    folders = ", ".join(str(folder) for folder in data_folders())
    ways = [f"  `hepda data fetch {name}` downloads it"] if data_set.files else []
    ways += [f"  put into a folder that HEPDA_DATA names: {data_set.by_hand}"]
    return "\n".join(
        [
            f"the data set {name!r} ({data_set.title}) is not in {folders}.",
            *ways,
            f"  its home page is {data_set.home} ({data_set.licence})",
        ]
    )


def tar_files(path: Path, is_selected: Callable[[str], bool]) -> dict[str, bytes]:
    """Return the contents of the selected files of a tar archive, by name.

    `tarfile` takes a damaged header for the end of the archive, and compares a checksum only if it reads to the end.
    Therefore the rest after the last file is read here, and has to be zeros.

    Args:
        path: the archive.
        is_selected: whether the file of a name is selected.

    Raises:
        SourceError: it is not a tar archive, or it is damaged.

    """
    contents: dict[str, bytes] = {}
    with reading(f"{path}: cannot be read as a tar archive"), tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and is_selected(member.name):
                file = archive.extractfile(member)
                contents[member.name] = b"" if file is None else file.read()
        stream = archive.fileobj
        if stream is not None:
            stream.seek(archive.offset)
            while block := stream.read(1 << 20):
                if any(block):
                    raise ValueError(f"there is something other than a file at byte {archive.offset}")
    return contents


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

    def is_selected(name: str) -> bool:
        return name.endswith(contents.suffix) and name.split("/")[-2:-1] in [[folder] for folder in contents.folders]

    with reading(f"{path}: cannot be read"):
        if path.is_dir():
            files = {file.as_posix(): file.read_bytes() for file in path.iterdir() if is_selected(file.as_posix())}
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                files = {name: archive.read(name) for name in archive.namelist() if is_selected(name)}
        else:
            files = tar_files(path, is_selected)
    first_part = -1 if len(contents.folders) == 1 else -2
    return {"/".join(name.split("/")[first_part:]): content for name, content in files.items()}


def verify(name: str, paths: Iterable[Path]) -> str | None:
    """Compare the files (or folders) of a data set with its known checksums.

    Returns:
        A text that says what was compared; None if no checksum of the data set in this form is known.

    Raises:
        SourceError: a file differs from the published one.

    """
    data_set, compared = published(name), dict[str, None]()
    known = {file.name: file.digest for file in (*data_set.files, *data_set.other_files) if file.digest}
    for path in paths:
        note = _note_of(path)
        digests = [known[path.name]] if path.name in known else []
        if note.is_file():
            with reading(f"{note}: is no line of sha256sum"):
                digests.append(f"sha256:{note.read_text().split()[0]}")
        for digest in digests:
            kind, _, value = digest.partition(":")
            computed = _digest_of(path, kind)
            if computed != value:
                raise SourceError(f"{path} is not what was published: its {kind} is {computed}, not {value}; remove it")
            compared[f"the {kind} of each file"] = None
    if data_set.contents is not None:
        paths = tuple(paths)
        computed = contents_digest(data_set.contents, paths)
        if computed != data_set.contents.digest:
            raise SourceError(
                f"{', '.join(str(path) for path in paths)}: the {data_set.contents.suffix} files within are not those "
                f"that were published: their sha256 is {computed}, not {data_set.contents.digest}; remove them"
            )
        compared["the sha256 over the files within"] = None
    return " and ".join(compared) or None


def _digest_of(path: Path, kind: str) -> str:
    with reading(f"{path}: cannot be read"), path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _note_of(path: Path) -> Path:
    """Return the file with the SHA-256 of a download whose publishers give another checksum or none."""
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
    present, tries = find(name), list[str]()
    if present is not None:
        try:
            verify(name, present)
        except SourceError as error:
            if not _removed(present):
                raise
            tries.append(str(error))
        else:
            return present
    data_set = published(name)
    if data_set.files:
        try:
            _by_address(data_set, progress or _silent)
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


def _by_address(data_set: Published, progress: Progress) -> None:
    paths = tuple(_download(file, download_folder() / data_set.name, progress) for file in data_set.files)
    try:
        verify(data_set.name, paths)
    except SourceError:
        _removed(paths)
        raise
    for file, path in zip(data_set.files, paths, strict=True):
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
                tries.append(f"{url}: the download is not {file.name}: {str(error).splitlines()[0]}")
                if part.continued:
                    continue
            else:
                part.forget()
                return folder / file.name
            break
    raise SourceError("\n".join([f"{file.name} cannot be downloaded:", *(f"  {attempt}" for attempt in tries)]))


class Part:
    """A download that may have been interrupted: its bytes, and a note in another file that identifies them.

    The note has the address, the expected checksum, and the version that the server gave (ETag or Last-Modified).
    Bytes without a note, or with that of another file, are not continued; if the server has changed the file since, it
    sends the entire file (If-Range).
    """

    def __init__(self, path: Path, url: str, file: File) -> None:
        self.path, self.url, self.file = path, url, file
        self.note = path.with_name(f"{path.name}.json")
        self.identity = {"url": url, "digest": file.digest, "size": file.size}
        self.continued = False

    def present(self) -> tuple[int, str]:
        """Return the number of bytes that can be continued, and the server's version of them ("" if it gave none)."""
        if not (self.path.is_file() and self.note.is_file()):
            return 0, ""
        try:
            note = json.loads(self.note.read_text())
        except ValueError:  # the note was interrupted too
            return 0, ""
        size = self.path.stat().st_size
        if not isinstance(note, dict) or {**note, "version": ""} != {**self.identity, "version": ""}:
            return 0, ""
        return (0 if self.file.size and size > self.file.size else size), str(note["version"])

    def download(self, progress: Progress) -> None:
        """Download from the byte where the part ends, if the server supports it; raise the exceptions of requests."""
        import requests

        present, version = self.present()
        self.continued = present > 0
        if present and present == self.file.size:
            return
        headers = {"Range": f"bytes={present}-"} if present else {}
        headers |= {"If-Range": version} if present and version else {}
        with requests.get(self.url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
            if present and answer.status_code == requests.codes.requested_range_not_satisfiable:
                return  # it was complete; its checksum is compared next
            answer.raise_for_status()
            content_range = answer.headers.get("Content-Range", f"bytes {present}-")
            partial = answer.status_code == requests.codes.partial_content
            if not partial or not content_range.startswith(f"bytes {present}-"):
                if partial:
                    raise requests.ConnectionError(f"it sends {content_range} instead of the bytes from {present}")
                present, self.continued = 0, False
            tag = answer.headers.get("ETag", "")  # a weak one does not identify bytes
            version = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")
            total = self.file.size or present + int(answer.headers.get("Content-Length", 0))
            if not present:
                self.path.unlink(missing_ok=True)
            self.note.write_text(json.dumps({**self.identity, "version": version}))
            with self.path.open("ab") as output:
                for chunk in answer.iter_content(_CHUNK):
                    output.write(chunk)
                    present += len(chunk)
                    progress(self.file.name, present, total)
        if self.file.size and present < self.file.size:
            raise requests.ConnectionError(
                f"ended after {present} of {self.file.size} bytes; the next try continues there"
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
