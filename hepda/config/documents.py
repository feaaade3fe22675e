"""Files that expressions of an analysis file read: `correction("muons.json.gz", ...)`, `good_lumi("golden.json", ...)`.

Their paths stand within the text of expressions. As other paths of the analysis file they are relative to it, and their
content is a part of what a table of events is made of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from hepda.checksums import sha256_of

FUNCTIONS = ("correction", "good_lumi")
"""Functions of expressions whose first argument is a file."""
_CALL = re.compile(rf"\b(?P<call>(?:{'|'.join(FUNCTIONS)})\s*\(\s*)(?P<quote>['\"])(?P<path>[^'\"]*)(?P=quote)")


def with_absolute_paths(value: Any, absolute: Callable[[str], str]) -> Any:
    """Return a copy of a part of the analysis file in which the paths in expressions are absolute.

    Args:
        value: a mapping, a list, a text or anything else, which is returned as it is.
        absolute: returns the absolute path of a path.

    """
    if isinstance(value, dict):
        return {key: with_absolute_paths(part, absolute) for key, part in value.items()}
    if isinstance(value, list):
        return [with_absolute_paths(part, absolute) for part in value]
    return _CALL.sub(partial(_replaced, absolute=absolute), value) if isinstance(value, str) else value


def _replaced(match: re.Match[str], absolute: Callable[[str], str]) -> str:
    quote = match["quote"]
    return f"{match['call']}{quote}{absolute(match['path'])}{quote}"


def document_hashes(value: Any) -> dict[str, str | None]:
    """Return the SHA-256 of each file that expressions in a part of an analysis file read, by path.

    It is None for a file that cannot be read: whoever evaluates the expression says so.
    """
    return {path: _hash(Path(path)) for path in sorted(set(_paths(value)))}


def _paths(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for part in value.values():
            yield from _paths(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _paths(part)
    elif isinstance(value, str):
        yield from (match["path"] for match in _CALL.finditer(value))


def _hash(path: Path) -> str | None:
    try:
        return sha256_of(path)
    except OSError:
        return None
