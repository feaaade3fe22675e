"""Conversion of the numbers of a regression to metrics.json: a number that does not exist is null with a `why`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hepda.events.results.regression.numbers import LEFT_OUT
from hepda.events.specs import ModelSpec
from hepda.results.entries.regression import RegressionNumbers, ResidualNumbers, ResponseCurve
from hepda.results.evaluation import BiasResult, FloatArray, Interval

NUMBERS = ("bias", "resolution", "rmse", "correlation")
_DISTANCES = ("ks", "ks_error", "wasserstein", "chi2_ndf", "jensen_shannon", "energy", "p_value")


def entry_of(model: ModelSpec, numbers: RegressionNumbers, source: str) -> dict[str, Any]:
    """Return models.<model>.regression of metrics.json.

    Args:
        model: the model.
        numbers: its numbers.
        source: the nominal domain.

    """
    section = model.regression
    return {
        "target": section.target,
        **({} if section.label is None else {"label": section.label}),
        **({} if section.unit is None else {"unit": section.unit}),
        "loss": section.loss,
        "domains": {domain: _domain(found) for domain, found in numbers.domains.items()},
        "prediction": _differences(numbers.prediction, source),
        "residual": _differences(numbers.residual, source),
        "left_out": LEFT_OUT,
    }


def _domain(found: tuple[ResidualNumbers, ResponseCurve] | str) -> dict[str, Any]:
    if isinstance(found, str):
        return {**dict.fromkeys(NUMBERS), "why": found}
    numbers, curve = found
    entry = {"n_eff": numbers.n_eff} | {name: _interval(getattr(numbers, name)) for name in NUMBERS}
    return entry | {"bins": _bins(curve)} | ({"why": numbers.why} if numbers.why else {})


def _interval(value: Interval | None) -> dict[str, float] | None:
    return None if value is None else value.entry


def _bins(curve: ResponseCurve) -> dict[str, Any]:
    names = ("median", "bias", "bias_low", "bias_high", "resolution", "resolution_low", "resolution_high")
    content = {"edges": curve.edges.tolist(), "n_eff": curve.n_eff.tolist()}
    content |= {name: _plain(getattr(curve, name)) for name in names}
    gaps = not np.isfinite(curve.bias).all()
    return content | ({"why": "too few effective events in the bin"} if gaps else {})


def _plain(values: FloatArray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _differences(results: Mapping[str, BiasResult | str], source: str) -> dict[str, Any]:
    return {f"{source}:{other}": _difference(result) for other, result in results.items()}


def _difference(result: BiasResult | str) -> dict[str, Any]:
    if isinstance(result, str):
        return dict.fromkeys((*_DISTANCES, "ks_null")) | {"why": result}
    entry: dict[str, Any] = {name: getattr(result, name) for name in _DISTANCES}
    entry["ks_null"] = None if result.null is None else result.null.quantile
    entry |= {"p_value_is_upper_limit": True} if result.p_is_limit else {}
    entry["n_eff"] = {"source": result.n_eff_source, "other": result.n_eff_other}
    return entry | ({"why": result.why} if result.why else {})
