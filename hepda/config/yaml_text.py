"""Read YAML text as plain values: scalars of YAML 1.2, no duplicate keys, no expanding aliases, no objects."""

from __future__ import annotations

import re
from typing import Any

import yaml

from hepda.errors import ConfigError

MAX_BYTES = 1_000_000
MAX_NODES = 50_000
MAX_DEPTH = 50
_TEXT = "tag:yaml.org,2002:str"
_YEAR = re.compile(r"(?:19|20)\d\d")
"""Keys that are text without quotes although they are numbers: the years that eras are named after."""

Lines = dict[tuple[str, ...], int | str]
"""Origin of each key: its line, `12 of other.yaml`, or `--set` for a key of the command line."""


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2: `no` is a string, `1e-3` is a number, dates are text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own name and type


for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^[-+]?(?:0|[1-9][0-9_]*)$", "-+0123456789"),
    ("float", r"^[-+]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?$", "-+.0123456789"),
    ("float", r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$", "-+."),
    ("null", r"^(?:~|null|Null|NULL|)$", "~nN"),
    ("merge", r"^<<$", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("^$"), [""])


def parse(text: str, where: str) -> tuple[Any, Lines]:
    """Parse YAML.

    Args:
        text: the content of the file or option.
        where: its origin, for messages.

    Returns:
        The value, and the line (from 1) of each key, by path.

    Raises:
        ConfigError: the text is not YAML of plain values, is too large or too deeply nested, or has a key twice.

    """
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{where}: is longer than {MAX_BYTES} characters; this is no analysis file.")
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            f"{where}: not valid YAML: line {line} holds the character U+{ord(text[error.position]):04X}, which no "
            "YAML may hold; remove it. (A file full of them is no text: name the analysis file.)"
        ) from error
    try:
        node = loader.get_single_node()
        if node is None:
            return None, {}
        _check_size(node, where)
        lines: Lines = {}
        _check_keys(node, (), lines, where)
        return loader.construct_document(node), lines
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: {_plain(error)}") from error
    except ValueError as error:
        raise ConfigError(f"{where}: a value cannot be read: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{where}: is nested too deeply; at most {MAX_DEPTH} levels are read.") from error
    finally:
        loader.dispose()


def _plain(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    problem = getattr(error, "problem", None) or str(error)
    hint = " Tabs are not allowed in YAML; indent with spaces." if r"'\t'" in problem else ""
    if "could not determine a constructor for the tag" in problem:
        hint = " The analysis file holds plain values only; remove the tag."
    return f"not valid YAML: {place}{problem}.{hint}"


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _check_size(root: yaml.Node, where: str) -> None:
    """Refuse documents that expand too much by aliases or that contain themselves, before anything is constructed."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node, depth: int) -> int:
        if id(node) in open_nodes:
            raise ConfigError(f"{where}: line {node.start_mark.line + 1}: an alias contains itself.")
        if depth > MAX_DEPTH:
            raise ConfigError(f"{where}: is nested too deeply; at most {MAX_DEPTH} levels are read.")
        if id(node) not in sizes:
            open_nodes.add(id(node))
            sizes[id(node)] = 1 + sum(size(child, depth + 1) for child in _children(node))
            open_nodes.discard(id(node))
        if sizes[id(node)] > MAX_NODES:
            raise ConfigError(
                f"{where}: its aliases expand to more than {MAX_NODES} values; write them out or use fewer."
            )
        return sizes[id(node)]

    size(root, 0)


def _check_keys(node: yaml.Node, path: tuple[str, ...], lines: Lines, where: str) -> None:
    """Refuse keys that are given twice or are not text; record the line of each key."""
    if isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            _check_keys(child, (*path, str(index)), lines, where)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, child in node.value:
        line = key.start_mark.line + 1
        if key.tag == "tag:yaml.org,2002:merge":
            continue
        if isinstance(key, yaml.ScalarNode) and _YEAR.fullmatch(key.value):
            key.tag = _TEXT
        if not isinstance(key, yaml.ScalarNode) or key.tag != _TEXT:
            raise ConfigError(f"{where}: line {line}: the key {key.value!r} is not text; put it in quotes.")
        if key.value in seen:
            dotted = ".".join((*path, key.value))
            raise ConfigError(
                f"{where}: line {line}: {dotted} is given twice (first in line {seen[key.value]}); remove one of them."
            )
        seen[key.value] = line
        lines[(*path, key.value)] = line
        _check_keys(child, (*path, key.value), lines, where)
