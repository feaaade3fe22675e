"""`correction(file, name, ...)`: scale factors in the format of correctionlib, as CMS and ATLAS groups publish them.

The file is evaluated by correctionlib itself (https://cms-nanoaod.github.io/correctionlib/); here its inputs are
checked, lists are taken apart and put together again, and what is missing stays missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.errors import MissingExtraError, nearest
from hepda.events.expressions.columns import Column, Value, ValueProblem, Vectors, align
from hepda.events.expressions.tables.documents import content_of

_KINDS = {"real": "biuf", "int": "biu", "string": ""}
"""Kinds of numpy's numbers that an input of each type of correctionlib accepts."""


def read_corrections(path: Path) -> dict[str, Any]:
    """Return the corrections of a file by name, compound ones included.

    Raises:
        MissingExtraError: correctionlib is not installed.
        ValueProblem: the file is not in its format.

    """
    try:
        import correctionlib
    except ImportError as error:
        raise MissingExtraError(
            "correctionlib", "correctionlib", "the function correction() of an expression"
        ) from error
    try:
        corrections = correctionlib.CorrectionSet.from_file(str(path))
    except (ValueError, RuntimeError, IndexError, EOFError) as error:
        raise ValueProblem(f"is given {path}, which correctionlib cannot read: {error}") from error
    return {**corrections, **corrections.compound}


def _named(path: str, name: str) -> Any:
    corrections = content_of(path, read_corrections)
    if name not in corrections:
        listed = ", ".join(sorted(corrections))
        raise ValueProblem(f"{path} has no correction {name!r}.{nearest(name, corrections)} There are: {listed}")
    return corrections[name]


def _signature(name: str, correction: Any) -> str:
    inputs = ", ".join(f"{value.name}: {value.type}" for value in correction.inputs)
    return f"{name}({inputs}) -> {correction.output.name}"


def check_correction(*arguments: Any) -> None:
    """Raise ValueProblem if a call cannot be right, whatever its branches hold.

    Args:
        arguments: those of the call; None where they are no text.

    """
    path, name, *inputs = arguments
    correction = _named(path, name)
    signature = _signature(name, correction)
    if len(inputs) != len(correction.inputs):
        raise ValueProblem(f"takes {len(correction.inputs)} inputs, not {len(inputs)}: {signature}")
    for number, (given, wanted) in enumerate(zip(inputs, correction.inputs, strict=True), 1):
        if wanted.type == "string" and not isinstance(given, str):
            raise ValueProblem(f'input {number} is a text in quotes, such as "nominal": {signature}')
        if wanted.type != "string" and isinstance(given, str):
            raise ValueProblem(f"input {number} is a number, not the text {given!r}: {signature}")


def evaluate_correction(path: str, name: str, *inputs: Value | str) -> Value:
    """Return a correction of each event, or of each object where an input is a list.

    Args:
        path: the file, .json or .json.gz.
        name: the correction in it.
        inputs: its inputs by position: numbers or lists of numbers, and text where it asks for text.

    Raises:
        ValueProblem: an input does not fit, or the correction has no value for it.

    """
    check_correction(path, name, *(value if isinstance(value, str) else None for value in inputs))
    correction = _named(path, name)
    numbers = [value for value in inputs if not isinstance(value, str)]
    if any(isinstance(value, Vectors) for value in numbers):
        raise ValueProblem(f"takes numbers, not four-vectors: {_signature(name, correction)}")
    columns = [value for value in numbers if isinstance(value, Column)]
    arrays, offsets, missing = align(*(value for value in numbers if not isinstance(value, Vectors)))
    size = max(
        (array.size for array, value in zip(arrays, numbers, strict=True) if isinstance(value, Column)), default=1
    )
    present = np.ones(size, dtype=bool) if missing is None else ~missing
    remaining = iter(arrays)
    converted = [
        given if isinstance(given, str) else _input(number, wanted, next(remaining), name, correction, present)
        for number, (given, wanted) in enumerate(zip(inputs, correction.inputs, strict=True), 1)
    ]
    values = np.ones(size)
    values[present] = _evaluated(name, correction, converted)
    return Column(values, offsets, missing) if columns else float(values[0])


def _input(
    number: int, wanted: Any, array: NDArray[Any], name: str, correction: Any, present: NDArray[np.bool_]
) -> NDArray[Any]:
    """Return the numbers of an input, of those elements that are `present`, in the type that it has."""
    if array.dtype.kind not in _KINDS[wanted.type]:
        raise ValueProblem(
            f"input {number} ({wanted.name}) is an integer, and it is given numbers with fractions: "
            f"{_signature(name, correction)}"
        )
    converted = array.astype(np.int64 if wanted.type == "int" else np.float64)
    return converted[present] if converted.ndim else converted


def _evaluated(name: str, correction: Any, inputs: list[Any]) -> NDArray[np.float64]:
    if not any(isinstance(value, np.ndarray) and value.ndim for value in inputs):
        inputs = [value if isinstance(value, str) else value.item() for value in inputs]
    try:
        return np.asarray(correction.evaluate(*inputs), dtype=np.float64)
    except (RuntimeError, IndexError, ValueError) as error:
        spans = [
            f"{wanted.name} from {value.min():g} to {value.max():g}"
            for value, wanted in zip(inputs, correction.inputs, strict=True)
            if isinstance(value, np.ndarray) and value.size
        ]
        given = f" (of these events: {', '.join(spans)})" if spans else ""
        raise ValueProblem(
            f"has no value for all inputs: {error}{given}; keep them inside by clip(x, low, high), or correct only "
            f"objects that are inside, as in where(...): {_signature(name, correction)}"
        ) from error
