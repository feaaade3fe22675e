"""What must hold of the numbers and the report of every finished run, whatever its kind of data."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

from hepda.kinds import Kind, metrics_types
from hepda.results.schema import metrics_schema


@cache
def validator() -> Any:
    return jsonschema.Draft202012Validator(metrics_schema(metrics_types()))


def assert_numbers_are_typed(run: Path, kind: Kind) -> Any:
    """metrics.json is as its schema says, and the same text after it was read and written; returns what it has."""
    text = (run / "metrics.json").read_text(encoding="utf-8")
    content = json.loads(text)
    validator().validate(content)
    metrics = kind.metrics_type.from_json(content)
    assert json.dumps(metrics.to_json(), indent=1, ensure_ascii=False) + "\n" == text
    return metrics


def assert_no_table_is_empty(run: Path, kind: Kind, without: set[str] = frozenset(), concludes: bool = True) -> None:
    """Every table of the report has a number, but for those `without`, which the analysis does not ask for.

    Without an adapted model there is no conclusion.
    """
    metrics = assert_numbers_are_typed(run, kind)
    tables = [table for of_section in kind.tables(metrics).values() for table in of_section]
    empty = {table.title for table in tables if not table.has_values}
    assert empty == set(without), sorted(empty ^ set(without))
    page = (run / "report.html").read_text(encoding="utf-8")
    assert [table.title for table in tables if table.has_values and f"<h3>{table.title}</h3>" not in page] == []
    assert bool(kind.conclusions(metrics)) == concludes and kind.terminal(metrics).rows
