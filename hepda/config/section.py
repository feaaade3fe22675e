"""What every section of the analysis file shares: strict types, no unknown keys, no change after loading."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

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
        use_attribute_docstrings=True,
    )

    @classmethod
    def keys(cls) -> list[str]:
        """The keys as they are written in the file."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        known = {*cls.keys(), *cls.model_fields}
        unknown = [str(key) for key in data if key not in known]
        if unknown:
            # The loader turns `unknown` into one line a key, with the full path: see hepda.config.loading.
            raise PydanticCustomError(
                "unknown_keys",
                "unknown keys: {joined}",
                {
                    "joined": ", ".join(unknown),
                    "hints": {key: nearest(key, cls.keys()) or _listing(cls.keys()) for key in unknown},
                },
            )
        return data


def _listing(keys: list[str]) -> str:
    return f" Known keys here: {', '.join(keys)}."


def _as_text(value: Any) -> Any:
    """`weight: 1` is as good an expression as `weight: "1"`."""
    return repr(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_+-]*$", max_length=100)]
"""A sample, domain or model: it becomes a folder and a key of `--set`, hence no dots and no slashes."""

Identifier = Annotated[str, StringConstraints(pattern=r"^[^\W\d]\w*$", max_length=100)]
"""A variable: it may stand in an expression."""

Expression = Annotated[str, BeforeValidator(_as_text), StringConstraints(min_length=1, max_length=4000)]
"""An expression over branches and variables; parsed by hepda.events.expressions.parser, never run as Python."""

Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]
Names = Annotated[tuple[Name, ...], Strict(strict=False), BeforeValidator(_as_list)]
Strings = Annotated[tuple[str, ...], Strict(strict=False), BeforeValidator(_as_list), Field(min_length=1)]
Columns = Annotated[tuple[str, ...], Strict(strict=False), BeforeValidator(_as_list)]
"""Features or further columns of the table; may be empty."""
Widths = Annotated[tuple[Count, ...], Strict(strict=False)]
Range = Annotated[tuple[float, float], Strict(strict=False)]
