"""Whether the bias decreased in the tail of the score: a point's shifts over those of its model without adaptation.

The sentences of the report follow from these ratios (`hepda.evaluation.differences.ratios`): a decrease towards the
domain of the training is only apparent unless the shift to a held-out domain decreased as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hepda.evaluation.differences.ratios import judge, verdict
from hepda.events.resolve import domains_of, model_spec
from hepda.events.results.to_json import ratio_of
from hepda.results.evaluation import Interval, ShiftRatio
from hepda.workflows.scan.choice import Result
from hepda.workflows.scan.measuring import TAIL


def shift_ratio(before: Result, after: Result, other: str, point: float) -> ShiftRatio:
    """Return R = |mean shift of `after`| / |mean shift of `before`| over seeds, at a signal efficiency.

    Intervals: the spread over seeds and the error of the finite samples, in quadrature. The latter is the same for all
    seeds and partly cancels in R. This is not used, so the interval of R is conservative.

    Args:
        before: the point without adaptation.
        after: the point with adaptation.
        other: the comparison domain.
        point: the signal efficiency.

    """
    name = f"shift_{other}_{point:g}"
    shift_before, shift_after = (_shift(result, name) for result in (before, after))
    if shift_before is None or shift_after is None:
        reasons = "; ".join(dict.fromkeys(text for r in (before, after) for text in r.why if text.startswith(name)))
        return ShiftRatio(other, point, None, None, None, False, reasons or "a shift is missing, or from a single seed")
    if shift_before.value == 0.0:
        return ShiftRatio(other, point, shift_before, shift_after, None, False, "without adaptation there is no shift")
    value = abs(shift_after.value / shift_before.value)
    error = math.hypot(shift_after.error, value * shift_before.error) / abs(shift_before.value)
    resolved = abs(shift_before.value) > 2.0 * shift_before.error
    why = None if resolved else "the shift without adaptation is within two errors of zero: the ratio is undefined"
    ratio = Interval(value, max(0.0, value - error), value + error)
    return ShiftRatio(other, point, shift_before, shift_after, ratio, resolved, why)


def _shift(result: Result, name: str) -> Interval | None:
    """Return the mean over seeds with its error; None if it is missing, or for a single seed."""
    value, spread, error = result.mean.get(name), result.std.get(name), result.mean.get(f"{name}_error")
    if value is None or spread is None or error is None:
        return None
    half = math.hypot(spread, error)
    return Interval(value, value - half, value + half)


def ratios_and_verdict(baseline: Result | None, result: Result, compared: Sequence[str]) -> dict[str, Any]:
    """Return the keys `shift_ratio` and `verdict` of a model of metrics.json; empty if there is nothing to compare.

    Args:
        baseline: the point of the model without adaptation, None if there is none.
        result: the point to compare with it.
        compared: the comparison domains.

    """
    config, model = result.point.config, result.point.model
    if baseline is None or baseline is result:
        return {}
    source = config.nominal_domain
    ratios_of = {other: [shift_ratio(baseline, result, other, point) for point in TAIL] for other in compared}
    ratios = {
        f"{source}:{other}": {f"{r.signal_efficiency:g}": ratio_of(r) for r in row} for other, row in ratios_of.items()
    }
    held_out = next((other for other in domains_of(config).held_out if other in ratios_of), None)
    trained = next(iter(model_spec(config, model).adapted_to), None)
    if trained not in ratios_of or all(r.ratio is None for r in ratios_of[trained]):
        return {"shift_ratio": ratios} if any(r.ratio for row in ratios_of.values() for r in row) else {}
    pairs = zip(ratios_of[trained], ratios_of[held_out] if held_out else [None] * len(TAIL), strict=True)
    points = {
        f"{trained_ratio.signal_efficiency:g}": {
            "judgement": judge(trained_ratio, held_out_ratio),
            "text": verdict(trained_ratio, held_out_ratio),
        }
        for trained_ratio, held_out_ratio in pairs
    }
    return {"shift_ratio": ratios, "verdict": {"domain": trained, "third": held_out, "adapted": True, "points": points}}
