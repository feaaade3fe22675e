"""Common properties of all sections of the analysis file: strict types, no unknown keys, no change after loading."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    Strict,
    StringConstraints,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from hepda.descriptions import describe
from hepda.errors import nearest


class Section(BaseModel):
    """A mapping of the analysis file. Frozen; unknown keys are errors that suggest the nearest known key."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        populate_by_name=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        defer_build=True,  # most commands need the sections of one kind of data
    )

    @classmethod
    def keys(cls) -> list[str]:
        """Return the keys as they are written in the file."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the JSON schema, in which the texts below the fields describe them."""
        schema = handler(core_schema)
        keys = {name: field.alias or name for name, field in cls.model_fields.items()}
        describe(handler.resolve_ref_schema(schema).get("properties", {}), keys, cls)
        return schema

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        known = {*cls.keys(), *cls.model_fields}
        unknown = [str(key) for key in data if key not in known]
        if unknown:
            all_keys = f" Known keys here: {', '.join(cls.keys())}."
            # The loader turns `unknown_keys` into one line for each key, with the full path: see hepda.config.loading.
            raise PydanticCustomError(
                "unknown_keys",
                "unknown keys: {joined}",
                {
                    "joined": ", ".join(unknown),
                    "hints": {key: nearest(key, cls.keys()) or all_keys for key in unknown},
                },
            )
        return data


def _as_text(value: Any) -> Any:
    """Return a number as text: `weight: 1` is the same expression as `weight: "1"`."""
    return repr(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _as_eras(value: Any) -> Any:
    """Return a list of texts; a year is a number in YAML."""
    values = value if isinstance(value, list | tuple) else [value]
    return [str(era) if isinstance(era, int) and not isinstance(era, bool) else era for era in values]


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_+-]*$", max_length=100)]
"""A sample, domain or model: it becomes a folder and a key of `--set`, hence no dots and no slashes."""

Identifier = Annotated[str, StringConstraints(pattern=r"^[^\W\d]\w*$", max_length=100)]
"""A variable: it may be part of an expression."""

_Text = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
Expression = Annotated[_Text, BeforeValidator(_as_text, json_schema_input_type=_Text | int | float)]
"""An expression over branches and variables; parsed by hepda.events.expressions.parser, never run as Python."""

Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Epochs = Annotated[int, Field(ge=1, le=100_000)]
"""Passes over the rows. Like the other limits, it is far above useful values and below what no machine can finish."""
Bins = Annotated[int, Field(ge=1, le=10_000)]
Width = Annotated[int, Field(ge=1, le=65_536)]
"""Units of a layer."""
_NameList = Annotated[tuple[Name, ...], Strict(strict=False)]
_StringList = Annotated[tuple[str, ...], Strict(strict=False), Field(min_length=1)]
_ColumnList = Annotated[tuple[str, ...], Strict(strict=False)]
# A single name is accepted as a list of one; the JSON schema of the analysis file contains this as well.
Names = Annotated[_NameList, BeforeValidator(_as_list, json_schema_input_type=Name | _NameList)]
Eras = Annotated[_NameList, BeforeValidator(_as_eras, json_schema_input_type=Name | int | tuple[Name | int, ...])]
"""Names of eras, such as years."""
Strings = Annotated[_StringList, BeforeValidator(_as_list, json_schema_input_type=str | _StringList)]
Columns = Annotated[_ColumnList, BeforeValidator(_as_list, json_schema_input_type=str | _ColumnList)]
"""Features or further columns of the table; may be empty."""
Widths = Annotated[tuple[Width, ...], Strict(strict=False), Field(max_length=100)]


def _ordered(ends: tuple[float, float]) -> tuple[float, float]:
    if not (ends[0] < ends[1] and math.isfinite(ends[1] - ends[0])):
        raise ValueError(f"a range goes from a smaller to a larger finite number, not from {ends[0]:g} to {ends[1]:g}")
    return ends


Range = Annotated[tuple[float, float], Strict(strict=False), AfterValidator(_ordered)]
