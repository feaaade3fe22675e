"""The texts below the attributes of a class, for JSON schemas.

pydantic can collect them itself (`use_attribute_docstrings`), when it makes the class: it then searches the source of
each class among all imported modules, which takes longer than everything else that a command does before it begins.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any


def attribute_texts(cls: type) -> dict[str, str]:
    """Return the docstring below each attribute of a class and of its bases, by the name of the attribute."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        texts |= _texts_of_module(base.__module__).get(base.__qualname__, {})
    return texts


def describe(properties: Mapping[str, dict[str, Any]], names: Mapping[str, str], cls: type) -> None:
    """Add the texts of the attributes to the properties of a JSON schema that have no description.

    Args:
        properties: of the schema, by key.
        names: the key of each attribute.
        cls: the class of which it is the schema.

    """
    for name, text in attribute_texts(cls).items():
        found = properties.get(names.get(name, name))
        if found is not None:
            found.setdefault("description", text)


@lru_cache(maxsize=256)
def _texts_of_module(name: str) -> dict[str, dict[str, str]]:
    """Return the texts of the attributes of all classes of a module that has a source file, by class."""
    module = sys.modules.get(name)
    if module is None or not getattr(module, "__file__", None):
        return {}
    classes = (node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.ClassDef))
    return {node.name: _texts(node) for node in classes}


def _texts(node: ast.ClassDef) -> dict[str, str]:
    texts = {}
    for attribute, below in zip(node.body, node.body[1:], strict=False):
        if not (isinstance(attribute, ast.AnnAssign) and isinstance(attribute.target, ast.Name)):
            continue
        text = below.value if isinstance(below, ast.Expr) else None
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            texts[attribute.target.id] = inspect.cleandoc(text.value)
    return texts
