"""Conversion between columns and awkward arrays: the arrays that files give and that a user's functions take."""

from __future__ import annotations

from typing import Any

import numpy as np

from hepda.events.expressions.columns import (
    Bools,
    Column,
    Numbers,
    Offsets,
    Value,
    ValueProblem,
    Vectors,
    either,
    offsets_of,
    widen,
)


def column_of(layout: Any) -> Column:
    """Return an awkward layout as a Column: numbers or lists of numbers, some of them perhaps missing.

    A list that is missing entirely is empty and `absent`.

    Raises:
        ValueProblem: the layout holds anything else.

    """
    body, gone = _present(layout)
    if getattr(body, "data", None) is not None and body.data.ndim == 2:
        body = body.to_RegularArray()
    if not body.is_list or body.parameter("__array__") is not None:
        return _spread(_numbers(body, layout), gone)
    lists = body.to_ListOffsetArray64(True)
    offsets = np.asarray(lists.offsets.data, dtype=np.int64)
    content, lost = _present(lists.content[: offsets[-1]])
    inner = _spread(_numbers(content, layout), lost)
    if gone is not None:
        lengths = np.zeros(len(gone), dtype=np.int64)
        lengths[~gone] = np.diff(offsets)
        offsets = offsets_of(lengths)
    return Column(inner.values, offsets, inner.missing, gone)


def _present(layout: Any) -> tuple[Any, Bools | None]:
    """Return what is there of a layout, and a mask of where something is missing (None: nowhere)."""
    if layout.is_unknown:
        return layout.to_NumpyArray(np.dtype(np.float64)), None
    if not layout.is_option:
        return layout.project() if layout.is_indexed else layout, None
    gone = np.asarray(layout.mask_as_bool(valid_when=False), dtype=bool)
    body, _ = _present(layout.project())
    return body, gone if gone.any() else None


def _spread(values: Numbers, gone: Bools | None) -> Column:
    """Return the values that are there, with the missing ones between them."""
    if gone is None:
        return Column(values)
    full = np.zeros(len(gone), dtype=values.dtype)
    full[~gone] = values
    return Column(full, None, gone)


def _numbers(layout: Any, complete: Any) -> Numbers:
    """Return the flat numbers of a layout.

    Raises ValueProblem, which contains the type of the `complete` layout, if it holds anything else.
    """
    data = getattr(layout, "data", None)
    if data is None or data.ndim != 1 or layout.parameter("__array__") is not None:
        raise ValueProblem(f"holds {complete.form.type}, not numbers or lists of numbers")
    return widen(np.asarray(data))


def array_of(value: Value) -> Any:
    """Return a value as an awkward array: numbers, lists and options; four-vectors as vector's Momentum4D."""
    import awkward as ak

    if isinstance(value, Vectors):
        import vector

        parts = {"px": value.px, "py": value.py, "pz": value.pz, "E": value.energy}
        record = ak.contents.RecordArray(
            [ak.contents.NumpyArray(part) for part in parts.values()],
            list(parts),
            parameters={"__record__": "Momentum4D"},
        )
        return ak.Array(_listed(record, value.offsets, value.missing), behavior=vector.backends.awkward.behavior)
    if not isinstance(value, Column):
        return value
    return ak.Array(_listed(ak.contents.NumpyArray(value.values), value.offsets, value.missing))


def _listed(content: Any, offsets: Offsets | None, missing: Bools | None) -> Any:
    import awkward as ak

    if missing is not None:
        content = ak.contents.ByteMaskedArray(ak.index.Index8(missing.astype(np.int8)), content, valid_when=False)
    return content if offsets is None else ak.contents.ListOffsetArray(ak.index.Index64(offsets), content)


def value_of(result: Any) -> Value:
    """Return the result of a function on awkward arrays as a value.

    Raises:
        ValueProblem: the result is no value of expressions.

    """
    import awkward as ak

    if isinstance(result, bool | int | float | np.bool_ | np.number):
        return result.item() if isinstance(result, np.generic) else result
    try:
        layout = ak.to_layout(result)
        if not ak.fields(layout):
            return column_of(layout)
        parts = [column_of(ak.to_layout(getattr(result, name))) for name in ("px", "py", "pz", "E")]
    except (TypeError, AttributeError, KeyError) as error:
        raise ValueProblem(f"gave {type(result).__name__}, not numbers, lists of numbers or four-vectors") from error
    missing = None
    for part in parts:
        missing = either(missing, part.missing)
    return Vectors.of([part.values.astype(np.float64) for part in parts], parts[0].offsets, missing)
