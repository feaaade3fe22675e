"""Differences of two configs, key by key, and values at dotted keys, with a suggestion for a wrong key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from hepda.config.section import Section
from hepda.errors import ConfigError, nearest


class Difference(NamedTuple):
    """A dotted key and its value on both sides; `ABSENT` if a side has no such key."""

    key: str
    first: Any
    second: Any


ABSENT = "(not given)"


def differences(first: Any, second: Any, path: str = "") -> list[Difference]:
    """Return every dotted key at which two nested mappings differ, in the order of the first."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        result = []
        for key in dict.fromkeys([*first, *second]):
            inner = f"{path}.{key}" if path else str(key)
            result += differences(first.get(key, ABSENT), second.get(key, ABSENT), inner)
        return result
    same = bool(first == second) and isinstance(first, bool) == isinstance(second, bool)
    return [] if same else [Difference(path, first, second)]


def value_at(config: Section, key: str, option: str) -> Any:
    """Return the value of a dotted key of a loaded config, defaults included.

    Args:
        config: the loaded config.
        key: the dotted key.
        option: the option that gave the key, for the message.

    Raises:
        ConfigError: there is no such key; the message has `option`, the part of the key that exists, and the nearest
            name.

    """
    value: Any = config
    parts = key.split(".")
    for depth, part in enumerate(parts):
        known = _children(value)
        if part not in known:
            before = ".".join(parts[:depth])
            raise ConfigError(f"{option}: there is no key {key!r}{_place(before, part, value, known)}")
        value = known[part]
    return value


def _children(value: Any) -> dict[str, Any]:
    if isinstance(value, Section):
        return {field.alias or name: getattr(value, name) for name, field in type(value).model_fields.items()}
    return dict(value) if isinstance(value, Mapping) else {}


def _place(before: str, part: str, value: Any, known: Mapping[str, Any]) -> str:
    if value is None:
        return f"; {before} is not given in this analysis file, so it has no keys."
    if not known:
        return f"; {before or 'the analysis'} has no keys."
    hint = nearest(part, known) or f" It has: {', '.join(known)}."
    return f"; {before or 'the analysis'} has no {part!r}.{hint}"
