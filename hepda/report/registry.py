"""Registries of figures: names of groups of figures and the functions that yield their drawings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import TypeVar

from hepda.report.drawing import Drawing, collected

Data = TypeVar("Data")
"""The type of the data of the figures of a kind."""


def drawings_of(registry: Mapping[str, str], data: Data) -> list[Drawing]:
    """Return the drawings of all groups of a registry, in its order.

    Args:
        registry: `module:function` by name; the module is imported now.
        data: what the functions take.

    """
    return collected([_function(path) for path in registry.values()], data)


def _function(path: str) -> Callable[[Data], Iterable[Drawing]]:
    module, name = path.split(":")
    function: Callable[[Data], Iterable[Drawing]] = getattr(import_module(module), name)
    return function
