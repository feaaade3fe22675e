"""Write the reference of the analysis file as Markdown, from the typed configuration: every key, kind by kind.

The content is that of the JSON schema (`hepda schema`), hence of the texts below the attributes of `hepda.config`. What
a schema has no place for, units and examples of keys that no file in configs/ uses, is in keys.yaml.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from hepda.adversarial.methods import METHODS
from hepda.config.kinds import TYPES, kind_and_analysis, type_name
from hepda.config.models import field_texts
from hepda.config.yaml_text import parse

FOLDER = Path(__file__).resolve().parent
CONFIGS = FOLDER.parents[1] / "configs"
ROOT = ""
"""Name of the section that is the whole file."""

TITLES = {
    "events": "Events",
    "tabular": "Tables",
    "images": "Images",
    "speech": "Speech",
    "enhancement": "Speech enhancement",
    "conversion": "Environment conversion",
    "generator": "Generative models",
    "frames": "Frame prediction",
    "generator_of_events": "Generative models of events",
    "refinement": "Refinement of simulation",
}
LONGEST = 150
"""Characters of an example in one line; keys.yaml has a shorter one where those of configs/ are longer."""

Schema = dict[str, Any]


@dataclass(frozen=True)
class Key:
    """One key of a section: what the reader has to know of it."""

    section: str
    name: str
    schema: Schema
    required: bool
    description: str
    example: Any
    unit: str | None

    @property
    def has_default(self) -> bool:
        """Return whether the schema names the default."""
        return "default" in self.schema


@dataclass
class Kind:
    """The keys of one kind of analysis file, by section in the order of the file."""

    name: str
    schema: Schema
    places: dict[str, list[str]] = field(default_factory=dict)
    keys: dict[str, list[Key]] = field(default_factory=dict)

    def section(self, name: str) -> Schema:
        """Return the schema of a section."""
        found: Schema = self.schema if name == ROOT else self.schema["$defs"][name]
        return found


@cache
def kind(name: str) -> Kind:
    """Return the sections and keys of a kind of analysis file."""
    found = Kind(name, TYPES[name].model_json_schema(by_alias=True))
    for section, place in _sections(found):
        found.places.setdefault(section, []).append(place)
    examples = _examples(found)
    for section in found.places:
        schema = found.section(section)
        found.keys[section] = [
            Key(
                section, key, value, key in schema.get("required", ()), _description(found, value),
                _example(found, section, key, examples), _more(found, section, key, "unit"),
            )
            for key, value in schema["properties"].items()
        ]  # fmt: skip
    return found


def _example(of: Kind, section: str, key: str, in_configs: Mapping[tuple[str, str], Any]) -> Any:
    """Return the shortest value in configs/ if it is short, else that of keys.yaml, else the default."""
    shortest = in_configs.get((section, key))
    if shortest is not None and len(_flow(shortest)) <= LONGEST - len(key) - 2:
        return shortest
    written = _more(of, section, key, "example")
    if written is not None:
        return written
    default = of.section(section)["properties"][key].get("default")
    return shortest if shortest is not None else default


@cache
def keys_of_file() -> dict[str, dict[str, dict[str, Any]]]:
    """Return units and examples of keys.yaml, by section and key."""
    content: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load((FOLDER / "keys.yaml").read_text(encoding="utf-8"))
    return content


def _more(of: Kind, section: str, key: str, what: str) -> Any:
    """Return the unit or the example of keys.yaml: that of the section, else that of any section."""
    more = keys_of_file()
    own = more.get(section or of.name, {}).get(key, {})
    return own.get(what, more["any"].get(key, {}).get(what) if section != ROOT else None)


def _description(of: Kind, schema: Schema) -> str:
    """Return the text of a key, or that of the section that it refers to."""
    if "description" in schema:
        return str(schema["description"])
    for part in _parts(schema):
        if "$ref" in part:
            return str(of.section(_name(part)).get("description", ""))
    return ""


def _name(schema: Schema) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _parts(schema: Schema) -> Iterator[Schema]:
    """Yield a schema and what it is made of: alternatives, elements, values."""
    yield schema
    for group in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(group, ()):
            yield from _parts(part)
    for inner in (schema.get("items"), *_values(schema)):
        if isinstance(inner, dict):
            yield from _parts(inner)


def _values(schema: Schema) -> list[Schema]:
    """Return the schemas of the values of a mapping whose keys are names of the user."""
    values = (schema.get("additionalProperties"), *schema.get("patternProperties", {}).values())
    return [value for value in values if isinstance(value, dict)]


def _sections(of: Kind) -> Iterator[tuple[str, str]]:
    """Yield every section with each of its places in the file; methods have a page of their own."""
    seen: set[tuple[str, str]] = set()

    def walk(section: str, place: str) -> Iterator[tuple[str, str]]:
        if (section, place) in seen or section.endswith("MethodConfig"):
            return
        seen.add((section, place))
        yield section, place
        for key, value in of.section(section)["properties"].items():
            inner = f"{place}.{key}" if place else key
            yield from below(value, inner)

    def below(schema: Schema, place: str) -> Iterator[tuple[str, str]]:
        if "$ref" in schema:
            yield from walk(_name(schema), place)
        for group in ("anyOf", "oneOf", "allOf"):
            for part in schema.get(group, ()):
                yield from below(part, place)
        for part in _values(schema):
            yield from below(part, f"{place}.<name>")
        if isinstance(schema.get("items"), dict):
            yield from below(schema["items"], f"{place}[]")

    yield from walk(ROOT, "")


def _examples(of: Kind) -> dict[tuple[str, str], Any]:
    """Return the shortest value of each key in the files of configs/ of a kind that needs no other file to be valid."""
    found: dict[tuple[str, str], list[Any]] = {}

    def note(section: str, data: Mapping[str, Any]) -> None:
        properties = of.section(section)["properties"]
        for key, value in data.items():
            if key not in properties or value is None:
                continue
            found.setdefault((section, key), []).append(value)
            descend(properties[key], value)

    def descend(schema: Schema, value: Any) -> None:
        if "$ref" in schema and isinstance(value, dict):
            section = _name(schema)
            if _fits(of.section(section), value):
                note(section, value)
        for group in ("anyOf", "oneOf", "allOf"):
            for part in schema.get(group, ()):
                descend(part, value)
        for part in _values(schema) if isinstance(value, dict) else ():
            for one in value.values():
                descend(part, one)
        if isinstance(value, list) and isinstance(schema.get("items"), dict):
            for one in value:
                descend(schema["items"], one)

    for data in configs(of.name).values():
        note(ROOT, data)
    shortest = {
        place: _first_valid(of, *place, sorted(values, key=lambda v: len(_flow(v)))) for place, values in found.items()
    }
    return {place: value for place, value in shortest.items() if value is not None}


def _first_valid(of: Kind, section: str, key: str, values: list[Any]) -> Any:
    """Return the first value that the schema accepts: a file with `include` may give only a part of a section."""
    schema = of.section(section)["properties"][key] | {"$defs": of.schema["$defs"]}
    validator = Draft202012Validator(schema)
    return next((value for value in values if validator.is_valid(value)), None)


def configs(name: str) -> dict[str, dict[str, Any]]:
    """Return the files of configs/ of a kind as they are written, without what they include, by name."""
    every = {
        file.name: parse(file.read_text(encoding="utf-8"), file.name)[0] for file in sorted(CONFIGS.glob("*.yaml"))
    }

    def kind_of(data: dict[str, Any]) -> str:
        included = every.get(data.get("include", ""))
        kind = str(data.get("kind", "events" if included is None else kind_of(included)))
        return type_name(data, kind)

    return {file: data for file, data in every.items() if kind_of(data) == name}


def _fits(section: Schema, value: Mapping[str, Any]) -> bool:
    """Return whether a mapping can be the section: its kind is the section's, and its keys are known."""
    properties = section.get("properties", {})
    for tag in ("kind", "name"):
        only = properties.get(tag, {}).get("const")
        if only is not None and value.get(tag, only) != only:
            return False
    return set(value) <= set(properties)


def _flow(value: Any) -> str:
    """Return a value as YAML in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")


def example_text(key: Key) -> str:
    """Return the example of a key as it stands in a file, in one line."""
    return f"{key.name}: {_flow(key.example)}"


def _type(of: Kind, schema: Schema) -> str:
    """Return in words which values a schema allows."""
    if "$ref" in schema:
        name = _name(schema)
        if name.endswith("MethodConfig"):
            return "a [method](methods.md) with its settings"
        return f"a section, [{of.places[name][0].replace('<', '&lt;')}](#{_anchor(of, name)})"
    for group in ("anyOf", "oneOf"):
        if group in schema:
            return " or ".join(dict.fromkeys(_type(of, part) for part in schema[group]))
    if "const" in schema:
        return f"`{_flow(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{_flow(value)}`" for value in schema["enum"])
    if schema.get("type") == "array":
        if "prefixItems" in schema:
            return f"a list of {len(schema['prefixItems'])}: " + ", ".join(_type(of, p) for p in schema["prefixItems"])
        items = schema.get("items")
        return f"a list of {_type(of, items)}" if items else "a list"
    if schema.get("type") == "object":
        values = _values(schema)
        return f"names, each with {_type(of, values[0])}" if values else "keys"
    words = {
        "string": "text",
        "number": "a number",
        "integer": "a whole number",
        "boolean": "`true` or `false`",
        "null": "`null`",
    }
    return words.get(str(schema.get("type")), "any value") + _limits(schema)


def _limits(schema: Schema) -> str:
    low = [f"≥ {_number(schema['minimum'])}"] if "minimum" in schema else []
    low += [f"> {_number(schema['exclusiveMinimum'])}"] if "exclusiveMinimum" in schema else []
    high = [f"≤ {_number(schema['maximum'])}"] if "maximum" in schema and abs(schema["maximum"]) < 1e5 else []
    high += (
        [f"< {_number(schema['exclusiveMaximum'])}"]
        if "exclusiveMaximum" in schema and schema["exclusiveMaximum"] < 1e5
        else []
    )
    return f" {' and '.join(low + high)}" if low + high else ""


def _number(value: float) -> str:
    return f"{value:g}"


def _anchor(of: Kind, section: str) -> str:
    return (of.places[section][0] or "file").replace(".<name>", "").replace("[]", "").replace(".", "-") + (
        f"-{section.lower()}" if sum(places[0] == of.places[section][0] for places in of.places.values()) > 1 else ""
    )


def _key_text(of: Kind, key: Key, anchor: str) -> list[str]:
    facts = [_type(of, key.schema)]
    if key.unit is not None:
        facts.append(f"unit: {key.unit}")
    if key.required:
        facts.append("**required**")
    elif key.has_default and len(_flow(key.schema["default"])) <= LONGEST:
        facts.append(f"default `{_flow(key.schema['default'])}`")
    lines = [f"#### `{key.name}` {{ #{anchor}--{key.name} data-toc-label='{key.name}' }}", ""]
    lines += [f"<small>{' · '.join(facts)}</small>", "", " ".join(key.description.split()), ""]
    return [*lines, "```yaml", example_text(key), "```", ""]


def kind_page(name: str) -> str:
    """Return the page of a kind of analysis file."""
    of, listed = kind(name), ", ".join(f"`{file}`" for file in configs(name))
    lines = [
        f"# {TITLES[name]}", "",
        f"Every key of an analysis file of {_kind_text(name)}, by the section in which it stands. Examples are taken "
        f"from the files in `configs/` where one uses the key ({listed}).", "",
    ]  # fmt: skip
    for section, places in of.places.items():
        title = "The file itself" if section == ROOT else f"`{places[0]}`"
        anchor = _anchor(of, section)
        tag = next((k.schema["const"] for k in of.keys[section] if k.name == "kind" and "const" in k.schema), None)
        if section != ROOT and tag is not None:
            title += f" with `kind: {tag}`"
        lines += [f"## {title} {{ #{anchor} }}", ""]
        text = " ".join(str(of.section(section).get("description", "")).split())
        lines += [text, ""] if text and section != ROOT else []
        if places[1:]:
            lines += ["Also at " + ", ".join(f"`{place}`" for place in dict.fromkeys(places[1:])) + ".", ""]
        for key in of.keys[section]:
            lines += _key_text(of, key, anchor)
    return "\n".join(lines)


def _kind_text(name: str) -> str:
    """Return the kind of a type of analysis file, and what else its files have."""
    kind_name, with_analysis = kind_and_analysis(name)
    return f"`kind: {kind_name}`" + (" with an `analysis` of events" if with_analysis else "")


def methods_page() -> str:
    """Return the page of the methods of adaptation, with their settings."""
    lines = [
        "# Methods of adaptation", "",
        "`method:` of a domain loss: a name, several names joined by commas, or one with settings of its own, "
        "`{name: mmd, width: 2}`. `strength`, `schedule` and `warmup` are keys of the domain section for every "
        "method.", "",
    ]  # fmt: skip
    for name, method in METHODS.items():
        lines += [f"## `{name}`", "", method.summary + (f" ({method.reference})." if method.reference else "."), ""]
        texts = field_texts(method)
        for attribute in _settings(method):
            text = texts.get(attribute, "")
            lines += [f"- `{attribute}`: {text}" if text else f"- `{attribute}`"]
        lines.append("")
    return "\n".join(lines)


def _settings(method: type[Any]) -> list[str]:
    from dataclasses import fields

    from hepda.adversarial.methods import Method

    common = {f.name for f in fields(Method)}
    return [f.name for f in fields(method) if f.name not in common]


def index_page() -> str:
    """Return the first page of the reference."""
    rows = [
        f"| [`{kind_and_analysis(name)[0]}`]({name}.md) | {TITLES[name]} | {sum(map(len, kind(name).keys.values()))} |"
        for name in TYPES
    ]
    return "\n".join([
        "# The analysis file", "",
        "One YAML file describes an analysis. `kind:` says of what; without it, it is collider events. A key that "
        "does not exist is an error that names the nearest key. `include: other.yaml` starts from another file, and a "
        "`null` in place of a model, sample, region or systematic removes it; `--set key.key=value` on the command "
        "line changes one key.", "",
        "| `kind` | of | keys |", "|---|---|---|", *rows, "",
        "The [methods of adaptation](methods.md) have a page of their own. `hepda schema` prints the same content as a "
        "JSON schema, which editors use to complete keys and to mark mistakes.", "",
    ])  # fmt: skip


def pages() -> dict[str, str]:
    """Return every page of the reference by its path below docs/."""
    return {
        "reference/configuration/index.md": index_page(),
        "reference/configuration/methods.md": methods_page(),
        **{f"reference/configuration/{name}.md": kind_page(name) for name in TYPES},
    }
