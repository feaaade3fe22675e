"""Every number of a file of results that does not exist, with the reason.

The reason of a missing number is its `why`: that of its entry, `<key>_why` next to it, or the `why` of an enclosing
entry.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

NOT_NUMBERS = ("class", "domain", "use", "name", "third", "trained_on", "bias_from", "over")
"""Keys of an entry that are not numbers, and that are absent for data."""
NO_REASON = "no reason is given"


@dataclass(frozen=True, slots=True)
class Null:
    """A number that is missing: its path in the file, and the reason."""

    path: str
    why: str


def nulls(content: Mapping[str, Any]) -> list[Null]:
    """Return every null of a content as JSON has it, with its reason: the `why` of its own or of an enclosing entry."""
    return list(_walk(content, "", ""))


def _walk(node: object, path: str, why: str) -> Iterator[Null]:
    if isinstance(node, Mapping):
        own_reason = node.get("why")
        reasons = own_reason if isinstance(own_reason, Mapping) else {}
        inherited = str(own_reason) if isinstance(own_reason, str) and own_reason else why
        children = {k: v for k, v in node.items() if not _is_text(k, v)}
        if len(children) > 1 and not reasons and all(_is_null(child) for child in children.values()):
            yield Null(path, inherited or NO_REASON)  # one line for the entry
            return
        for key, child in children.items():
            reason = str(reasons.get(key) or node.get(f"{key}_why") or inherited)
            yield from _walk(child, f"{path} › {key}" if path else str(key), reason)
    elif isinstance(node, list | tuple):
        for index, child in enumerate(node):
            yield from _walk(child, f"{path} › {index}", why)
    elif _is_null(node):
        yield Null(path, why or NO_REASON)


def _is_text(key: str, value: object) -> bool:
    """Return whether an entry is no number; a domain or model may have one of these names, and is a mapping then."""
    return key == "why" or key.endswith("_why") or (key in NOT_NUMBERS and not isinstance(value, Mapping | list))


def _is_null(value: object) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))
