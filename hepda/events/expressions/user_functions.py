"""Functions that users register: Python code of their analysis, located by an entry point and called only by name.

A package of the user declares, in its pyproject.toml,

    [project.entry-points."hepda.functions"]
    top_tag = "my_analysis.tagging:top_tag"

and `top_tag(jet_pt, jet_b)` can then be used in an expression. The function gets awkward arrays: numbers, lists of
numbers, and four-vectors as vector's Momentum4D, `None` where a value is missing; plain numbers stay plain. It returns
the same kinds, one entry per event. Nothing is imported before an expression names the function.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hepda.errors import ExpressionError
from hepda.events.expressions.awkward_arrays import array_of, value_of
from hepda.events.expressions.columns import Column, Value, ValueProblem, Vectors
from hepda.events.expressions.functions import FUNCTIONS, Function

GROUP = "hepda.functions"
MOST_ARGUMENTS = 32


def function_names() -> list[str]:
    """Return the names of all functions, hepda's own first, without importing any of them."""
    return [*FUNCTIONS, *(name for name in _entries() if name not in FUNCTIONS)]


def find_function(name: str) -> Function | None:
    """Return the function of this name, hepda's own before a registered one; None if there is neither.

    Raises:
        ExpressionError: it is registered twice or cannot be loaded.

    """
    return FUNCTIONS.get(name) or (_load(name) if name in _entries() else None)


@cache
def _entries() -> dict[str, tuple[EntryPoint, ...]]:
    entries: dict[str, tuple[EntryPoint, ...]] = {}
    for entry in entry_points(group=GROUP):
        entries[entry.name] = (*entries.get(entry.name, ()), entry)
    return entries


def registered_versions() -> list[str]:
    """Return the present state of registered functions as text: their origin, version and a hash of their source."""
    named = [(name, entry) for name, entries in _entries().items() for entry in entries]
    return sorted(f"{name}={entry.value} {_version_text(entry)}" for name, entry in named)


def _version_text(entry: EntryPoint) -> str:
    spec = find_spec(entry.module.partition(".")[0])
    roots = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    files = [file for root in roots for file in sorted(root.rglob("*.py"))]
    if spec is not None and not roots and spec.origin is not None:
        files = [Path(spec.origin)]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return f"{entry.dist.version if entry.dist else ''} {digest.hexdigest()[:16]}"


@cache
def _load(name: str) -> Function:
    entries = {entry.value: entry for entry in _entries()[name]}
    if len(entries) > 1:
        raise ExpressionError(f"{name}() is registered twice: {' and '.join(sorted(entries))}; uninstall one of them.")
    (entry,) = entries.values()
    try:
        function = entry.load()
        signature = inspect.signature(function)
    except Exception as error:  # a user's module may raise anything when it is imported
        raise ExpressionError(
            f"{name}() is registered as {entry.value} and cannot be loaded: {type(error).__name__}: {error}."
        ) from error
    return Function(_guarded(name, function), *_arity(name, signature))


def _arity(name: str, signature: inspect.Signature) -> tuple[tuple[int, int], str]:
    """Return the smallest and largest number of arguments by position, and how the call is written."""
    low = high = 0
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            high += 1
            low += parameter.default is parameter.empty
        elif parameter.kind is parameter.VAR_POSITIONAL:
            high = MOST_ARGUMENTS
        elif parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            raise ExpressionError(
                f"{name}() needs {parameter.name!r} by keyword; expressions give arguments by position."
            )
    return (low, high), f"{name}({', '.join(signature.parameters)})"


def _guarded(name: str, function: Callable[..., Any]) -> Callable[..., Value]:
    """Return `function` on arrays, with its result checked; what it raises is reported at the place of the call."""

    def compute(*values: Value) -> Value:
        events = {_events(value) for value in values if isinstance(value, Column | Vectors)}
        try:
            result = value_of(function(*(array_of(value) for value in values)))
        except ValueProblem as problem:
            raise ValueProblem(f"{name}() {problem}") from problem
        except Exception as error:  # the user's own code may raise anything
            raise ValueProblem(f"{name}() failed: {type(error).__name__}: {error}") from error
        if isinstance(result, Column | Vectors) and events and _events(result) not in events:
            raise ValueProblem(f"{name}() gave {_events(result)} entries for {max(events)} events")
        return result

    return compute


def _events(value: Column | Vectors) -> int:
    if value.offsets is not None:
        return len(value.offsets) - 1
    return len(value.values if isinstance(value, Column) else value.px)
