"""The JSON schemas of metrics.json and fit.json, for `hepda schema`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from hepda.results.fit_file import FitFile
from hepda.results.metrics import RunMetrics


def metrics_schema(types: Sequence[type[RunMetrics]]) -> dict[str, Any]:
    """Return the schema of metrics.json, which is of one of the types: those of the kinds of data."""
    references, definitions = models_json_schema([(of_kind, "validation") for of_kind in types], title="metrics.json")
    return definitions | {"anyOf": [references[of_kind, "validation"] for of_kind in types]}


def fit_schema() -> dict[str, Any]:
    """Return the schema of fit.json."""
    return FitFile.model_json_schema() | {"title": "fit.json"}
