"""Entries of a JSON file of results: typed, frozen, and written with the keys that were given, in their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from hepda.descriptions import describe
from hepda.number_format import Quantity, number

Number = int | float
"""A number as JSON has it: an integer stays one, so that a file that is read and written again has the same bytes."""


class Record(BaseModel):
    """An entry of a file of results. A key that is absent was not computed; a null has its reason in a `why`."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        defer_build=True,
    )

    _keys: tuple[str, ...] = PrivateAttr(())

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the JSON schema, in which the texts below the fields describe them."""
        schema = handler(core_schema)
        keys = {name: field.alias or name for name, field in cls.model_fields.items()}
        describe(handler.resolve_ref_schema(schema).get("properties", {}), keys, cls)
        return schema

    @classmethod
    def from_json(cls, content: object) -> Self:
        """Return the entry of a content that was read from JSON.

        Raises:
            ValueError: a value has another type, or there is a key that such an entry does not have.

        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            place = " › ".join(map(str, first["loc"]))
            raise ValueError(f"{place}: {first['msg']}" if place else str(first["msg"])) from error

    def to_json(self) -> dict[str, Any]:
        """Return the content as it is in the file."""
        return self.model_dump(by_alias=True)

    def quantity(self, name: str) -> Quantity:
        """Return a number of the entry for a table, with the error next to it (`<name>_error`).

        Raises:
            AttributeError: no entry of this kind has such a number.

        """
        value: Value = getattr(self, name)
        if name not in self.model_fields_set:
            return Quantity(None, present=False)
        quantity, error = quantity_of(value), number(getattr(self, f"{name}_error", None))
        return quantity if isinstance(value, Record) or error is None else quantity.with_error(error)

    @model_validator(mode="wrap")
    @classmethod
    def _keep_order(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        record = handler(data)
        if isinstance(data, Mapping):
            record._keys = tuple(cls._key(str(name)) for name in data)
        return record

    @classmethod
    def _key(cls, name: str) -> str:
        field = cls.model_fields.get(name)
        return name if field is None or field.alias is None else field.alias

    @model_serializer(mode="wrap")
    def _as_given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content = handler(self)
        return {key: content[key] for key in self._keys}


class Measured(Record):
    """A number with its interval or its error; null with the reason."""

    value: Number | None = None
    low: Number | None = None
    high: Number | None = None
    error: Number | None = None
    why: str | None = None


Value = Number | Measured | None
"""A number by itself, or with its interval."""


def quantity_of(value: Value) -> Quantity:
    """Return a number with its interval, for a table."""
    if not isinstance(value, Measured):
        return Quantity(number(value))
    quantity = Quantity(number(value.value), number(value.low), number(value.high))
    error = number(value.error)
    return quantity if quantity.low is not None or error is None else quantity.with_error(error)


def quantity_in(values: Mapping[str, Value] | None, key: str) -> Quantity:
    """Return values[key] for a table; it is not `present` if there is no such key."""
    if values is None or key not in values:
        return Quantity(None, present=False)
    return quantity_of(values[key])
