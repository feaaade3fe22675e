"""The numbers of the figures of predicted numbers; arguments are those of the functions that draw them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hepda.export.hepdata.tables import Curve, Dependent, FigureTable, axis, bins, interval, joined, numbers
from hepda.results.entries.regression import ResponseCurve


def response(
    curves: Mapping[str, ResponseCurve], *, model: str, xlabel: str, ylabel: str, **more: Any
) -> list[FigureTable]:
    """Return the median prediction in bins of the target, with the central 68 % of the events, by domain."""
    found = []
    for domain, curve in curves.items():
        of: dict[str, Any] = {"Model": model, "Domain": domain}
        spread = interval(curve.median, curve.low, curve.high, "central 68.27 % of the events")
        predicted = axis(ylabel, [])
        title = f"Median of {predicted.name[:1].lower()}{predicted.name[1:]}"
        column = Dependent(title, numbers(curve.median), [spread], of, predicted.units)
        found += [
            Curve(bins(xlabel, curve.edges), column),
            Curve(
                bins(xlabel, curve.edges),
                Dependent("Mean of the target", numbers(curve.target), of=of, units=predicted.units),
            ),
        ]
    return joined(found)


def resolution(
    curves: Mapping[str, ResponseCurve], *, model: str, xlabel: str, unit: str = "", **_: Any
) -> list[FigureTable]:
    """Return resolution and bias in bins of the target, by domain."""
    found = []
    for domain, curve in curves.items():
        of = {"Model": model, "Domain": domain}
        for name, key in (("Resolution", "resolution"), ("Bias", "bias")):
            values, low, high = (getattr(curve, f"{key}{end}") for end in ("", "_low", "_high"))
            column = Dependent(name, numbers(values), [interval(values, low, high)], of, unit)
            found.append(Curve(bins(xlabel, curve.edges), column))
    return joined(found)
