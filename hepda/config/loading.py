"""Load a name, a path or a mapping as the types of an analysis file, and write them as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from hepda.config.events.analysis import AnalysisConfig
from hepda.config.files import NAMED, read_mapping, resolve_files
from hepda.config.kinds import OF_ANALYSIS, TYPES, AnyConfig, kind_and_analysis, model_for
from hepda.config.section import Section
from hepda.config.yaml_text import Lines, parse
from hepda.errors import ConfigError, nearest, nearest_file

Checked = TypeVar("Checked", bound=Section)
_PACKAGE = Path(__file__).resolve().parents[1]
EXAMPLE_CONFIGS = _PACKAGE / "configs" if (_PACKAGE / "configs").is_dir() else _PACKAGE.parent / "configs"
"""The analysis files of the examples: in the installed package, or beside the package in a checkout."""


def load_config(name: str | Path, overrides: Sequence[str] = ()) -> AnalysisConfig:
    """Do the same as `load_any` for an analysis file of events.

    Raises:
        ConfigError: the file is wrong or of another kind.

    """
    config = load_any(name, overrides)
    if not isinstance(config, AnalysisConfig):
        raise ConfigError(
            f"{name}: is of `kind: {config.kind}`, and this verb reads only events; `hepda train`, `check` and "
            "`evaluate` take every kind."
        )
    return config


def load_any(name: str | Path, overrides: Sequence[str] = ()) -> AnyConfig:
    """Load and check the analysis file `name`.

    Relative file paths in the analysis file (and in overrides) are relative to its folder. `include: other.yaml` starts
    from another file (see `read_mapping`). The key `kind` selects the type.

    Args:
        name: a path, or the name of a file in configs/.
        overrides: texts `key.key=value` with a YAML value, as for `--set`.

    Raises:
        ConfigError: the file is missing or wrong, or an override is.

    """
    path = find_config(name)
    data, lines = read_mapping(path)
    apply_overrides(data, overrides, lines)
    resolve_files(data, path.resolve().parent)
    return validate_any(data, str(path), lines)


def find_config(name: str | Path) -> Path:
    """Return the file of a name: the path itself, ./configs/name, or the example of this name.

    Raises:
        ConfigError: there is no such file.

    """
    path = Path(name).expanduser()
    folders = [Path(), Path("configs"), EXAMPLE_CONFIGS]
    for folder in folders[:1] if path.is_absolute() else folders:
        for candidate in (folder / path, folder / f"{path}.yaml"):
            if candidate.is_file():
                return candidate
    known = sorted({file.name for folder in folders[1:] for file in folder.glob("*.yaml")})
    hint = nearest_file(path.name, known) or (f" There are: {', '.join(known)}." if known else "")
    raise ConfigError(f"No analysis file {str(name)!r}, neither as a path nor among the examples.{hint}")


def validate(data: Mapping[str, Any], where: str = "analysis", lines: Lines | None = None) -> AnalysisConfig:
    """Check a mapping with the content of an analysis file of events.

    Args:
        data: the mapping.
        where: the file or another origin, for the message.
        lines: the line of each key, for the message.

    Raises:
        ConfigError: there are problems; the message has one line for each.

    """
    return _checked(AnalysisConfig, data, where, lines)


def validate_any(data: Mapping[str, Any], where: str = "analysis", lines: Lines | None = None) -> AnyConfig:
    """Check a mapping with the content of an analysis file of any kind.

    Args:
        data: the mapping.
        where: the file or another origin, for the message.
        lines: the line of each key, for the message.

    Raises:
        ConfigError: there are problems; the message has one line for each.

    """
    return _checked(model_for(data, where), data, where, lines)


def _checked(model: type[Checked], data: Mapping[str, Any], where: str, lines: Lines | None) -> Checked:
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        problems = _problems(error, data, lines or {})
    head = f"{where}: {len(problems)} problems:" if len(problems) > 1 else f"{where}:"
    raise ConfigError("\n  ".join([head, *problems]) if len(problems) > 1 else f"{head} {problems[0]}")


NEEDED = {"models": "kind", "samples": "files", "systematics": "kind"}
"""Sections with names of the user, and the key that a new name needs; `--set` without it is a misspelling."""


def _check_new_names(data: Mapping[str, Any], before: Mapping[str, set[str]], overrides: Sequence[str]) -> None:
    """Raise ConfigError if an override with a misspelt name would begin a new model instead of changing one.

    An example is `--set models.dan.domain.strength=3` for a model `dann`.
    """
    for override in overrides:
        section, *rest = override.partition("=")[0].strip().split(".")
        if section not in before or len(rest) < 2 or rest[0] in before[section]:
            continue
        entry = data[section].get(rest[0])
        if isinstance(entry, dict) and NEEDED[section] not in entry:
            known = sorted(before[section])
            hint = nearest(rest[0], known) or f" There are: {', '.join(known)}."
            raise ConfigError(
                f"--set {override}: {section} has no {rest[0]!r}.{hint} (A new one needs its `{NEEDED[section]}` as "
                "well.)"
            )


def apply_overrides(data: dict[str, Any], overrides: Sequence[str], lines: Lines | None = None) -> None:
    """Set keys of `data` in place, each as `apply_override` does.

    Args:
        data: the mapping of the analysis file.
        overrides: texts `key.key=value`.
        lines: the line of each key, for messages.

    Raises:
        ConfigError: an override is wrong, or begins a new model, sample or systematic by a misspelt name.

    """
    before = {section: set(entries) for section in NEEDED if isinstance(entries := data.get(section), dict)}
    for override in overrides:
        apply_override(data, override, lines)
    _check_new_names(data, before, overrides)


def apply_override(data: dict[str, Any], override: str, lines: Lines | None = None) -> None:
    """Set one key of `data` in place from `key.key=value`; the value is YAML.

    A null as the value of a name that the user gave (a model, a sample) removes it, as in a file with `include`.

    Args:
        data: the mapping of the analysis file.
        override: the text.
        lines: the line of each key; replaced keys get "--set" instead, since a mistake in their value is not in a line.

    Raises:
        ConfigError: the text has another form, or leads through a key that is not a mapping.

    """
    dotted, equals, text = override.partition("=")
    keys = dotted.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(f"--set {override}: is not of the form key.key=value.")
    value, _ = parse(text, f"--set {override}")
    mapping: dict[str, Any] = data
    for depth, key in enumerate(keys[:-1]):
        inner = mapping.get(key)
        if not isinstance(inner, dict | None):
            raise ConfigError(f"--set {override}: {'.'.join(keys[: depth + 1])} has no keys.")
        # Anchors make two keys share one mapping; a copy restricts the override to the named key.
        copy: dict[str, Any] = dict(inner or {})
        mapping[key] = copy
        mapping = copy
    if value is None and len(keys) == 2 and keys[0] in NAMED:
        if keys[1] not in mapping:
            raise ConfigError(f"--set {override}: null removes a name, and there is none.{nearest(keys[1], mapping)}")
        del mapping[keys[1]]
    else:
        mapping[keys[-1]] = value
    if lines is not None:
        path = tuple(keys)
        for line in [line for line in lines if line[: len(path)] == path]:
            del lines[line]
        lines[path] = "--set"


def resolved_yaml(config: AnyConfig) -> str:
    """Return the complete analysis as YAML with every default; loading it gives an equal config."""
    data = config.model_dump(mode="json", by_alias=True)
    for model in data["models"].values():
        if "training" in model:
            # Only the keys that differ, so that `--set training.epochs=5` still reaches every model.
            training = model.pop("training")
            model["training"] = {k: v for k, v in training.items() if v != data["training"][k]}
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of the analysis file: that of its kind, or, with `include`, that of a part of any kind.

    A file with `include` may leave out everything that the included file has, including its kind, and remove names by
    a null.
    """
    schemas = {name: _schema_of(model) for name, model in TYPES.items()}
    shared = {name: part for schema in schemas.values() for name, part in schema.pop("$defs").items()}
    parts = [_partial(schema) for schema in schemas.values()]
    shared |= {f"Partial{name}": _partial(part) for name, part in shared.items()}
    other_kinds = [name for name in schemas if name != "events"]
    not_included = {"not": {"required": ["include"]}}
    kinds = {name: _condition(name) for name in other_kinds}
    branches = [{"if": {"allOf": [not_included, kinds[name]]}, "then": schemas[name]} for name in other_kinds]
    plain = {"if": {"allOf": [not_included, {"not": {"anyOf": list(kinds.values())}}]}, "then": schemas["events"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "hepda analysis file",
        "type": "object",
        "allOf": [plain, *branches],
        "if": {"required": ["include"]},
        "then": {"anyOf": parts},
        "$defs": shared,
    }


def _condition(name: str) -> dict[str, Any]:
    """Return the condition that a file is of a type: its kind, and whether it has an analysis of events."""
    kind, with_analysis = kind_and_analysis(name)
    of_kind: dict[str, Any] = {"properties": {"kind": {"const": kind}}, "required": ["kind"]}
    if with_analysis is None:
        return of_kind
    has_analysis = {"required": [OF_ANALYSIS]}
    return {"allOf": [of_kind, has_analysis if with_analysis else {"not": has_analysis}]}


INCLUDE = {"type": "string", "description": "Another analysis file, relative to this one, that it is laid over."}


def _schema_of(model: type[Section]) -> dict[str, Any]:
    """Return the schema of a kind without its title. `include` is added to the properties, so that editors propose it.

    Every property has a description: pydantic omits a description that is that of the section it refers to, and editors
    do not look it up there.
    """
    schema = model.model_json_schema(by_alias=True)
    for part in (schema, *schema["$defs"].values()):
        for property_schema in part.get("properties", {}).values():
            if "$ref" in property_schema and "description" not in property_schema:
                section = property_schema["$ref"].rpartition("/")[2]
                property_schema["description"] = schema["$defs"][section]["description"]
    schema["properties"] = {"include": INCLUDE} | schema["properties"]
    del schema["title"]
    return schema


def _partial(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a file that includes another one: nothing is required, a null removes a name."""
    result: dict[str, Any] = _unrequired(schema)
    if "kind" not in result["properties"] or "models" not in result["properties"]:  # a section, not a whole file
        return result
    for name in NAMED:
        if name in result["properties"]:
            _nullable(result["properties"][name])
    return result


def _nullable(section: dict[str, Any]) -> None:
    """Let the values of a mapping of names be null."""
    if "patternProperties" in section:
        values = section["patternProperties"]
        section["patternProperties"] = {name: {"anyOf": [value, {"type": "null"}]} for name, value in values.items()}
    elif isinstance(section.get("additionalProperties"), dict):
        section["additionalProperties"] = {"anyOf": [section["additionalProperties"], {"type": "null"}]}


def _unrequired(schema: Any) -> Any:
    """Return a copy: no key is required, a choice accepts any option that fits, and references are to such copies."""
    if isinstance(schema, list):
        return [_unrequired(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    result = {}
    for key, value in schema.items():
        if key == "$ref":
            result[key] = value.replace("#/$defs/", "#/$defs/Partial")
        elif key == "oneOf":
            result["anyOf"] = _unrequired(value)
        elif key in ("properties", "patternProperties", "$defs"):  # their keys are names
            result[key] = {name: _unrequired(part) for name, part in value.items()}
        elif key not in ("required", "minProperties", "discriminator"):
            result[key] = value if key in ("default", "enum", "const") else _unrequired(value)
    return result


def _problems(error: ValidationError, data: Any, lines: Lines) -> list[str]:
    """Return one line for each problem: the dotted path (without pydantic's union tags), the line, and the message."""
    messages_at: dict[str, list[str]] = {}
    for item in error.errors(include_url=False):
        path = _path_in(item["loc"], data, missing=item["type"] == "missing")
        if item["type"] == "unknown_keys":
            for key, hint in item["ctx"]["hints"].items():
                messages_at.setdefault(_place((*path, key), lines), []).append(f"unknown key.{hint}")
        elif item["type"] == "value_error" and not item["loc"]:
            for problem in str(item["ctx"]["error"]).split("\n"):
                dotted, _, message = problem.partition(": ")
                messages_at.setdefault(_place(tuple(dotted.split(".")), lines), []).append(message)
        else:
            messages_at.setdefault(_place(path, lines), []).append(_message(dict(item)))
    return [f"{place}: {' Or: '.join(dict.fromkeys(messages))}" for place, messages in messages_at.items()]


def _path_in(loc: tuple[int | str, ...], data: Any, *, missing: bool) -> tuple[str, ...]:
    """Return the part of pydantic's location that exists in the file: tags of unions and functions do not."""
    path: list[str] = []
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        if isinstance(data, Mapping) and (part in data or (missing and last)):
            data = data.get(part)
        elif isinstance(data, list | tuple) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            continue
        path.append(str(part))
    return tuple(path)


def _place(path: tuple[str, ...], lines: Lines) -> str:
    dotted = ".".join(path) or "analysis"
    line = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)
    if line is None:
        return dotted
    return f"{dotted} ({line})" if line == "--set" else f"{dotted} (line {line})"


def _message(item: dict[str, Any]) -> str:
    shown = repr(item["input"])
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    if item["type"] == "missing":
        return "is required and not given."
    if item["type"] in ("literal_error", "union_tag_invalid"):
        expected = str(item["ctx"].get("expected") or item["ctx"].get("expected_tags"))
        options = [option.strip(" '") for option in expected.replace(" or ", ",").split(",")]
        options = [option for option in options if option != "widths"]  # the tag of a list has no name in the file
        value = item["ctx"].get("tag", item["input"])
        return f"must be one of {', '.join(options)}, not {value!r}.{nearest(str(value), options)}"
    if item["type"] == "union_tag_not_found":
        of_encoder = "encoder" in item["loc"]
        return f"`kind` is required: {'deepsets or transformer' if of_encoder else 'network or bdt'}."
    if item["type"] in ("tuple_type", "list_type"):
        return "is empty; give a list." if item["input"] is None else f"must be a list, not {shown}."
    if item["type"] in ("model_type", "dict_type"):
        return f"must have keys, not {shown}."
    if item["type"] == "string_pattern_mismatch":
        return f"{shown} is not allowed as a name; use letters, digits and underscores."
    message = str(item["msg"])
    return f"{message[:1].lower()}{message[1:]}, not {shown}."
