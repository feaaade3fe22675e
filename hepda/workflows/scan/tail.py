"""Whether the bias decreased in the tail of the score: a point's shifts over those of its model without adaptation.

The sentences of the report follow from these ratios (`hepda.evaluation.differences.ratios`): a decrease towards the
domain of the training is an apparent difference unless the shift to a held-out domain decreased as well.
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
    old, new = (_shift(result, name) for result in (before, after))
    if old is None or new is None:
        reasons = "; ".join(dict.fromkeys(text for r in (before, after) for text in r.why if text.startswith(name)))
        return ShiftRatio(other, point, None, None, None, False, reasons or "a shift is missing, or from a single seed")
    if old.value == 0.0:
        return ShiftRatio(other, point, old, new, None, False, "without adaptation there is no shift")
    value = abs(new.value / old.value)
    error = math.hypot(new.error, value * old.error) / abs(old.value)
    resolved = abs(old.value) > 2.0 * old.error
    why = None if resolved else "the shift without adaptation is within two errors of zero: the ratio is undefined"
    ratio = Interval(value, max(0.0, value - error), value + error)
    return ShiftRatio(other, point, old, new, ratio, resolved, why)


def _shift(result: Result, name: str) -> Interval | None:
    """Return the mean over seeds with its error; None if it is missing, or for a single seed."""
    value, spread, error = result.mean.get(name), result.std.get(name), result.mean.get(f"{name}_error")
    if value is None or spread is None or error is None:
        return None
    half = math.hypot(spread, error)
    return Interval(value, value - half, value + half)


def ratios_and_verdict(plain: Result | None, result: Result, others: Sequence[str]) -> dict[str, Any]:
    """Return the keys `shift_ratio` and `verdict` of a model of metrics.json; empty if there is nothing to compare.

    Args:
        plain: the point of the model without adaptation, None if there is none.
        result: the point to compare with it.
        others: the comparison domains.

    """
    config, model = result.point.config, result.point.model
    if plain is None or plain is result:
        return {}
    source = config.nominal_domain
    found = {other: [shift_ratio(plain, result, other, point) for point in TAIL] for other in others}
    ratios = {
        f"{source}:{other}": {f"{r.signal_efficiency:g}": ratio_of(r) for r in row} for other, row in found.items()
    }
    unseen = next((other for other in domains_of(config).held_out if other in found), None)
    trained = model_spec(config, model).adapted_to
    if trained not in found or all(r.ratio is None for r in found[trained]):
        return {"shift_ratio": ratios} if any(r.ratio for row in found.values() for r in row) else {}
    pairs = zip(found[trained], found[unseen] if unseen else [None] * len(TAIL), strict=True)
    points = {
        f"{one.signal_efficiency:g}": {"judgement": judge(one, two), "text": verdict(one, two)} for one, two in pairs
    }
    return {"shift_ratio": ratios, "verdict": {"domain": trained, "third": unseen, "adapted": True, "points": points}}
