"""From a name, a path or a mapping to the types of an analysis file, and back to text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from hepda.config.events.analysis import AnalysisConfig
from hepda.config.files import NAMED, read_mapping, resolve_files
from hepda.config.kinds import KINDS, AnyConfig, model_for
from hepda.config.section import Section
from hepda.config.yaml_text import Lines, parse
from hepda.errors import ConfigError, nearest

Checked = TypeVar("Checked", bound=Section)
REPOSITORY_CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def load_config(name: str | Path, overrides: Sequence[str] = ()) -> AnalysisConfig:
    """Load and check an analysis file of events, as `load_any` does. Raises ConfigError for another kind too."""
    config = load_any(name, overrides)
    if not isinstance(config, AnalysisConfig):
        raise ConfigError(
            f"{name}: is of `kind: {config.kind}`, and this verb reads events alone; `hepda train`, `check` and "
            "`evaluate` take every kind."
        )
    return config


def load_any(name: str | Path, overrides: Sequence[str] = ()) -> AnyConfig:
    """Load and check the analysis file `name`: a path, or the name of a file in configs/.

    `overrides` are `key.key=value` with a YAML value, as `--set` takes them. Relative file paths in the
    analysis file (and in overrides) are relative to its folder; `include: other.yaml` starts from another
    file (`read_mapping` says how). Its `kind` says of which type it is. Raises ConfigError.
    """
    path = find_config(name)
    data, lines = read_mapping(path)
    for override in overrides:
        apply_override(data, override)
    resolve_files(data, path.resolve().parent)
    return validate_any(data, str(path), lines)


def find_config(name: str | Path) -> Path:
    """The file that `name` means: the path itself, ./configs/name or the repository's configs/name."""
    given = Path(name).expanduser()
    folders = [Path(), Path("configs"), REPOSITORY_CONFIGS]
    for folder in folders[:1] if given.is_absolute() else folders:
        for candidate in (folder / given, folder / f"{given}.yaml"):
            if candidate.is_file():
                return candidate
    known = sorted({file.name for folder in folders[1:] for file in folder.glob("*.yaml")})
    hint = nearest(given.name, known) or (f" There are: {', '.join(known)}." if known else "")
    raise ConfigError(f"No analysis file {str(name)!r}, neither as a path nor in configs/.{hint}")


def validate(data: Mapping[str, Any], where: str = "analysis", lines: Lines | None = None) -> AnalysisConfig:
    """Check a mapping as it stands in an analysis file of events. Raises ConfigError with one line a problem."""
    return _checked(AnalysisConfig, data, where, lines)


def validate_any(data: Mapping[str, Any], where: str = "analysis", lines: Lines | None = None) -> AnyConfig:
    """Check a mapping as it stands in an analysis file of any kind. Raises ConfigError with one line a problem."""
    return _checked(model_for(data, where), data, where, lines)


def _checked(model: type[Checked], data: Mapping[str, Any], where: str, lines: Lines | None) -> Checked:
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        problems = _problems(error, data, lines or {})
    head = f"{where}: {len(problems)} problems:" if len(problems) > 1 else f"{where}:"
    raise ConfigError("\n  ".join([head, *problems]) if len(problems) > 1 else f"{head} {problems[0]}")


def apply_override(data: dict[str, Any], override: str) -> None:
    """Set one key of `data` in place from `key.key=value`; the value is YAML.

    A null in place of a name that the user gave (a model, a sample) takes it away, as in a file with `include`.
    """
    dotted, equals, text = override.partition("=")
    keys = dotted.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(f"--set {override}: is not of the form key.key=value.")
    value, _ = parse(text, f"--set {override}")
    here: dict[str, Any] = data
    for depth, key in enumerate(keys[:-1]):
        inner = here.get(key)
        if not isinstance(inner, dict | None):
            raise ConfigError(f"--set {override}: {'.'.join(keys[: depth + 1])} has no keys of its own.")
        # Anchors make two keys share one mapping; a copy keeps the override to the one that is named.
        copy: dict[str, Any] = dict(inner or {})
        here[key] = copy
        here = copy
    if value is None and len(keys) == 2 and keys[0] in NAMED:
        if keys[1] not in here:
            raise ConfigError(f"--set {override}: null takes a name away, and there is none.{nearest(keys[1], here)}")
        del here[keys[1]]
    else:
        here[keys[-1]] = value


def resolved_yaml(config: AnyConfig) -> str:
    """The whole analysis with every default written out; loading it gives an equal config."""
    data = config.model_dump(mode="json", by_alias=True)
    for model in data["models"].values():
        if "training" in model:
            # Only what differs, so that `--set training.epochs=5` still reaches every model.
            own = model.pop("training")
            model["training"] = {k: v for k, v in own.items() if v != data["training"][k]}
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)


def json_schema() -> dict[str, Any]:
    """The JSON schema of the analysis file: that of events, and beside it that of every other kind."""
    events, others = _schema_of(AnalysisConfig), {name: _schema_of(model) for name, model in KINDS.items()}
    others.pop("events")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "hepda analysis file",
        "type": "object",
    }
    if not others:
        return head | events
    shared = {name: part for found in (*others.values(), events) for name, part in found.pop("$defs").items()}
    branches = [
        {"if": {"properties": {"kind": {"const": name}}, "required": ["kind"]}, "then": found}
        for name, found in others.items()
    ]
    named = {"enum": list(others)}
    plain = {"if": {"not": {"properties": {"kind": named}, "required": ["kind"]}}, "then": events}
    return head | {"allOf": [plain, *branches], "$defs": shared}


def _schema_of(model: type[Section]) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True)
    include = {"type": "string", "description": "Another analysis file, relative to this one, that it is laid over."}
    # What is required may stand in the file that is included.
    required = schema.pop("required")
    schema["properties"] = {"include": include} | schema["properties"]
    return {key: value for key, value in schema.items() if key != "title"} | {
        "anyOf": [{"required": ["include"]}, {"required": required}]
    }


def _problems(error: ValidationError, data: Any, lines: Lines) -> list[str]:
    """One line a problem: the dotted path (without pydantic's union tags), the line, what is wrong."""
    found: dict[str, list[str]] = {}
    for item in error.errors(include_url=False):
        path = _path_in(item["loc"], data, missing=item["type"] == "missing")
        if item["type"] == "unknown_keys":
            for key, hint in item["ctx"]["hints"].items():
                found.setdefault(_place((*path, key), lines), []).append(f"unknown key.{hint}")
        elif item["type"] == "value_error" and not item["loc"]:
            for problem in str(item["ctx"]["error"]).split("\n"):
                dotted, _, message = problem.partition(": ")
                found.setdefault(_place(tuple(dotted.split(".")), lines), []).append(message)
        else:
            found.setdefault(_place(path, lines), []).append(_message(dict(item)))
    return [f"{place}: {' Or: '.join(dict.fromkeys(messages))}" for place, messages in found.items()]


def _path_in(loc: tuple[int | str, ...], data: Any, *, missing: bool) -> tuple[str, ...]:
    """The part of pydantic's location that exists in the file: tags of unions and functions do not."""
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
    known = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)
    return f"{dotted} (line {known})" if known is not None else dotted


def _message(item: dict[str, Any]) -> str:
    given = repr(item["input"])
    given = given if len(given) <= 60 else f"{given[:57]}..."
    if item["type"] == "missing":
        return "is required and not given."
    if item["type"] in ("literal_error", "union_tag_invalid"):
        expected = str(item["ctx"].get("expected") or item["ctx"].get("expected_tags"))
        options = [option.strip(" '") for option in expected.replace(" or ", ",").split(",")]
        value = item["ctx"].get("tag", item["input"])
        return f"must be one of {', '.join(options)}, not {value!r}.{nearest(str(value), options)}"
    if item["type"] == "union_tag_not_found":
        return "`kind` is required: network or bdt."
    if item["type"] in ("model_type", "dict_type"):
        return f"must hold keys of its own, not {given}."
    if item["type"] == "string_pattern_mismatch":
        return f"{given} is not allowed as a name; use letters, digits and underscores."
    message = str(item["msg"])
    return f"{message[:1].lower()}{message[1:]}, not {given}."


def to_json_schema_text() -> str:
    """The JSON schema as text, for `hepda schema`."""
    return json.dumps(json_schema(), indent=2)
