"""Locations of files: paths, globs, folders and URLs; which errors are tried again and which are permanent."""

from __future__ import annotations

import errno
import glob
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from hepda.errors import HepdaError, MissingExtraError, SourceError, nearest
from hepda.events.expressions.columns import ValueProblem
from hepda.events.files.formats import has_suffix, is_text, suffixes

Result = TypeVar("Result")

RETRIES = 3
"""Number of retries after a temporary error."""
FIRST_WAIT = 1.0
"""Seconds before the first retry; each further wait is twice as long."""

SCHEMES = ("root", "https", "s3")
"""Schemes of URLs of events. fsspec knows forty more, some of which unpack archives or contact other services."""
_THIS_MACHINE = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?(/|$)")
"""Hosts from which http is read: the end of a tunnel. From other hosts anybody in between could change the events."""
_EXTRAS = {
    "root": ("fsspec-xrootd and xrootd", "xrootd"),
    "http": ("aiohttp", "https"),
    "https": ("aiohttp", "https"),
    "s3": ("s3fs", "s3"),
}
"""The packages that a scheme needs, and the extra that installs them."""
_PASSING = frozenset((errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.ECONNRESET, errno.EHOSTUNREACH))
"""Temporary errors of network file systems."""
_XROOTD = {"XRD_CONNECTIONWINDOW": "10", "XRD_CONNECTIONRETRY": "1", "XRD_STREAMERRORWINDOW": "1"}
"""Settings of XRootD's client, used where the user's environment does not have them.

By default it waits up to ten minutes for a server that does not answer, and half an hour before it retries one whose
connection broke; `attempt` retries anyway.
"""
_PERMANENT = ("no such file", "not found", "[3011]", "permission denied", "[3010]")
"""Parts of messages of XRootD's servers and file systems that mean a permanent error."""
_NOT_NOW = frozenset((408, 425, 429))
"""A web server's codes below 500 that mean a temporary error: too slow, early, often (RFC 9110, 8470, 6585)."""


class UnreachableError(SourceError):
    """A location that does not answer now, and may do so later."""


def is_remote(path: str) -> bool:
    """Return whether the path is a URL."""
    return "://" in path


def check_scheme(path: str) -> None:
    """Raise SourceError for a URL of a scheme by which events are not read. A path without a scheme is local."""
    scheme, separator, rest = path.partition("://")
    if not separator or scheme in SCHEMES:
        return
    known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
    if scheme == "http":
        if _THIS_MACHINE.match(rest):
            return
        why = "by http anybody between the server and this machine can change the events"
        raise SourceError(f"{path}: {why}; write https://, or copy the file to a disk.")
    what = "write only the path" if scheme == "file" else "copy the file to a disk"
    raise SourceError(f"{path}: files are not read by {scheme}://, only by their paths and by {known}; {what}.")


def expand(files: Sequence[str], where: str) -> list[str]:
    """Return the files of paths, globs, folders and URLs, in order, each once.

    A folder means all files in it, at any depth, whose ending is that of a format of events.

    Args:
        files: paths, globs, folders and URLs.
        where: the beginning of messages.

    Raises:
        SourceError: one of them matches no file, or a file is listed twice.

    """
    paths: dict[str, None] = {}
    for pattern in files:
        try:
            check_scheme(pattern)
        except SourceError as error:
            raise SourceError(f"{where}: {error}") from error
        matches = _remote_matches(pattern, where) if is_remote(pattern) else _matches(pattern)
        if not matches:
            raise SourceError(f"{where}: {_why_nothing(pattern)}")
        for match in matches:
            if match in paths:
                raise SourceError(f"{where}: {match} is listed twice; its events would count twice.")
            paths[match] = None
    return list(paths)


def _matches(pattern: str) -> list[str]:
    path = Path(pattern)
    if path.is_dir():
        files = [file for file in path.rglob("*") if file.is_file() and not file.name.startswith(".")]
        events = sorted(str(file) for file in files if has_suffix(str(file)))
        # a table of text beside other files of events is rarely one of them
        return [file for file in events if not is_text(file)] or events
    if glob.has_magic(pattern) and not path.exists():
        return sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute one
    return [pattern] if path.is_file() else []


def _remote_matches(pattern: str, where: str) -> list[str]:
    """Return the URLs that match a URL; without a wildcard the server is not contacted."""
    scheme, _, rest = pattern.partition("://")
    # A question mark begins the query of a web address; elsewhere it is a wildcard for one letter.
    if not any(letter in rest for letter in ("*[" if scheme.startswith("http") else "*[?")):
        return [pattern]
    import fsspec

    def look() -> list[str]:
        system, path = fsspec.core.url_to_fs(pattern)
        return sorted(str(system.unstrip_protocol(match)) for match in system.glob(path))

    with_where = f"{where}: {pattern}"
    return attempt(with_where, "the list of files", True, look, RETRIES)


_INSTALLED = Path(__file__).resolve().parents[2]
"""The folder of the package, which contains the analysis files of the examples where it is installed."""


def _why_nothing(pattern: str) -> str:
    path = Path(pattern)
    if is_remote(pattern):
        return f"no file matches {pattern}."
    if path.is_dir():
        return f"{pattern} is a folder without any file of events ({', '.join(suffixes())})."
    if glob.has_magic(pattern):
        return f"no file matches {pattern}."
    if _INSTALLED in path.parents:
        return (
            f"{pattern} is not installed: the events of this example are in the repository of hepda. `hepda example` "
            "writes toy events and an analysis file."
        )
    if not path.parent.is_dir():
        return f"{pattern} does not exist; there is no folder {path.parent}."
    hint = nearest(path.name, (other.name for other in path.parent.iterdir()))
    return f"{pattern} does not exist.{hint}"


def size_of(path: str) -> int | None:
    """Return the bytes of a local file; None for a URL, or where the file is gone."""
    try:
        return None if is_remote(path) else Path(path).stat().st_size
    except OSError:
        return None


def attempt(
    path: str,
    what: str,
    remote: bool,
    action: Callable[[], Result],
    retries: int,
    before: Callable[[], Any] = lambda: None,
) -> Result:
    """Do `action`, and try it again if it fails temporarily; each wait is twice as long as the one before.

    Args:
        path: the file, for messages.
        what: what is read from it, for messages.
        remote: whether it is a URL.
        action: what is done; its result is returned.
        retries: number of retries.
        before: called before each retry.

    Raises:
        SourceError: it failed permanently; the message has `path` and `what`.

    """
    if _scheme(path) in ("root", "roots", "xroot"):
        for name, value in _XROOTD.items():  # the client reads them when it is loaded
            os.environ.setdefault(name, value)
    for number in range(retries + 1):
        try:
            with reading(path, what, remote):
                return action()
        except UnreachableError as error:
            if number == retries:
                tried = f" It was tried {retries + 1} times." if retries else ""
                raise SourceError(f"{error}{tried}") from error
            before()
            _forget(path)
            time.sleep(FIRST_WAIT * 2**number)
    raise AssertionError("the loop returns or raises")


def _forget(path: str) -> None:
    """Drop the connections and open files that fsspec keeps of a location: after a break they keep failing."""
    if not is_remote(path):
        return
    import fsspec

    kind = fsspec.get_filesystem_class(_scheme(path))
    for system in list(kind._cache.values()):
        # fsspec-xrootd returns a broken file again and, at the end of the process, reports that it cannot close it.
        handles = getattr(getattr(system, "_readonly_filehandle_cache", None), "_cache", None)
        if handles is not None:
            handles.clear()
    kind.clear_instance_cache()


def _scheme(path: str) -> str:
    """Return the scheme of a URL, which may come after its purpose: `samples.x.files: root://...`."""
    return path.rpartition(": ")[2].partition("://")[0]


@contextmanager
def reading(path: str, what: str, remote: bool) -> Iterator[None]:
    """Turn any error of a library for a broken file or connection into one SourceError."""
    try:
        yield
    except HepdaError:
        raise
    except ValueProblem as problem:
        raise SourceError(f"{path}: {what}: {problem}.") from problem
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        message = f"{type(error).__name__}: {reason}"
        if isinstance(error, ImportError):
            scheme = _scheme(path)
            if remote and scheme in _EXTRAS:
                raise MissingExtraError(*_EXTRAS[scheme]) from error
            raise SourceError(f"{path}: a package is needed to read it: {reason}") from error
        if passes(error, remote):
            raise UnreachableError(f"{path}: cannot be reached: {message}.") from error
        if remote and _status(error) is not None:
            raise SourceError(f"{path}: cannot be opened: {message}.") from error
        if remote and isinstance(error, OSError):
            raise SourceError(f"{path}: cannot be reached: {message}.") from error
        if isinstance(error, FileNotFoundError | PermissionError):
            raise SourceError(f"{path}: cannot be opened: {error.strerror or reason}.") from error
        raise SourceError(
            f"{path}: cannot read {what}: {message}. The file is truncated or corrupt: copy or produce it again, or "
            "take it out of the list."
        ) from error


def passes(error: BaseException, remote: bool) -> bool:
    """Return whether an error may be gone the next time: of the network or of its file systems, not of the file."""
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError):
        return False
    if isinstance(error, OSError) and error.errno in _PASSING:
        return True
    status = _status(error) if remote else None
    if status is not None:
        return status >= 500 or status in _NOT_NOW
    if not remote or any(text in str(error).lower() for text in _PERMANENT):
        return False
    of_the_net = type(error).__module__.partition(".")[0] in ("aiohttp", "botocore", "s3fs", "fsspec")
    cut_off = isinstance(error, ValueError) and "closed file" in str(error)  # remains of a broken connection
    return isinstance(error, OSError | TimeoutError) or of_the_net or cut_off


def _status(error: BaseException) -> int | None:
    """Return the status that a web server or a store answered with, or None where it did not answer."""
    response = getattr(error, "response", None)
    of_the_store = response.get("ResponseMetadata", {}) if isinstance(response, dict) else {}
    status = getattr(error, "status", None) or of_the_store.get("HTTPStatusCode")
    return status if isinstance(status, int) and status >= 400 else None
