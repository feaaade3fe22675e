"""Named working points: their thresholds, chosen on some events of the nominal domain and judged on all others.

Every event is scored by trainings that did not see it, so events of all folds can choose one threshold. The validation
events choose (or a share of all events, by the hash of the key); whatever is stated of a working point is measured on
the other events. The weights of both parts are scaled so that the wanted class and the rest have the yields that they
have in all events: F1 and significance depend on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepda.config.events.points import (
    EfficiencyPoint,
    EqualBackgroundPoint,
    F1Point,
    FixedPoint,
    SignificancePoint,
)
from hepda.errors import ConfigError, DataError
from hepda.evaluation.classes import Resampling
from hepda.evaluation.efficiency import working_point
from hepda.evaluation.working_points.objectives import (
    F1,
    AsimovSignificance,
    EqualBackground,
    FixedEfficiency,
    FixedThreshold,
    LabelledScores,
    ThresholdObjective,
    labelled_scores,
)
from hepda.evaluation.working_points.thresholds import choose, judge
from hepda.events.dataset.splits import chooses_threshold
from hepda.events.domains.roles import blinded_domains, compared
from hepda.events.specs import Cut, ModelSpec, PointSpec
from hepda.events.table.feature_table import FeatureTable
from hepda.events.table.truth import truth_of
from hepda.number_format import Quantity
from hepda.results.entries.thresholds import ChosenThreshold, ThresholdEntry
from hepda.results.evaluation import Interval, WorkingPoint
from hepda.results.events import EventMetrics
from hepda.runtime import run_directory

if TYPE_CHECKING:
    from hepda.events.results.evaluate import EvaluationInput

Mask = NDArray[np.bool_]
_NO_REPLICAS = Resampling(replicas=0)


@dataclass(frozen=True, slots=True)
class JudgedPoint:
    """A named working point of one model.

    point: what it is; chosen: its threshold; value: the objective on the events that judge, or why there is none;
    n_eff: of the wanted events that judge; domains: what passes of the judging events of each domain with both the
    wanted class and the rest, with F1 and significance.
    """

    point: PointSpec
    chosen: ChosenThreshold
    value: Interval | str
    n_eff: float = 0.0
    domains: Mapping[str, tuple[WorkingPoint, float | None, float | None]] = field(default_factory=dict)


def objective_of(point: PointSpec) -> ThresholdObjective:
    """Return what the threshold of a working point is chosen for."""
    section = point.section
    if isinstance(section, F1Point):
        return F1()
    if isinstance(section, SignificancePoint):
        return AsimovSignificance(point.uncertainty, section.min_n_eff)
    if isinstance(section, EqualBackgroundPoint):
        return EqualBackground(section.signal_efficiency, section.min_n_eff)
    if isinstance(section, EfficiencyPoint):
        return FixedEfficiency(section.efficiency)
    return FixedThreshold(section.threshold)


def choosing_events(table: FeatureTable, point: PointSpec) -> Mask:
    """Return the mask [n] of the events that choose the threshold of a working point; all others judge it."""
    share = point.section.share
    return table.validation if share is None else chooses_threshold(table.key, share)


def model_thresholds(evaluated: EvaluationInput, model: str) -> dict[str, JudgedPoint]:
    """Return the named working points of a model by name."""
    spec = evaluated.spec.models[model]
    return {name: _judged(evaluated, spec, point) for name, point in spec.points.items()}


def _judged(evaluated: EvaluationInput, model: ModelSpec, point: PointSpec) -> JudgedPoint:
    spec, table = evaluated.spec, evaluated.table
    score = np.asarray(evaluated.columns[model.column_of(point.section.output)], dtype=np.float64)
    truth = truth_of(table, spec.classes, point.selects)
    choosing, objective = choosing_events(table, point), objective_of(point)
    resampling = Resampling(spec.replicas, spec.seed)
    try:
        own, others = (_part(evaluated, score, truth, part, point) for part in (choosing, ~choosing))
    except DataError as reason:
        return JudgedPoint(point, ChosenThreshold(None, None, 0.0, str(reason)), str(reason))
    chosen = choose(objective, own, resampling)
    if chosen.threshold is None:
        return JudgedPoint(point, chosen, chosen.why or "no threshold was chosen", others.n_eff)
    threshold = chosen.threshold.value
    value = judge(objective, threshold, others, resampling)
    domains = dict(_in_domains(evaluated, score, truth, ~choosing, point, threshold))
    return JudgedPoint(point, chosen, value, others.n_eff, domains)


def _part(
    evaluated: EvaluationInput, score: NDArray[Any], truth: NDArray[np.int8], part: Mask, point: PointSpec
) -> LabelledScores:
    """Return the events of one part of the nominal domain, at the yields of all its events."""
    spec, table = evaluated.spec, evaluated.table
    known = table.of_domain(spec.domains.nominal) & (truth >= 0)
    rows = known & part
    weight = _at_full_yields(table, truth, known, rows)
    if point.domain is None:
        return labelled_scores(score[rows], truth[rows] == 1, weight)
    source, target = compared(spec, table, point.domain, "background")
    other = target.mask & part
    return labelled_scores(
        score[rows], truth[rows] == 1, weight, other=(score[other], table.weight[other]), counterpart=source.mask[rows]
    )


def _at_full_yields(table: FeatureTable, truth: NDArray[np.int8], known: Mask, rows: Mask) -> NDArray[np.float64]:
    """Return the weights of some events, scaled so that both classes have the yields of all known events.

    Raises:
        DataError: the weights of a class do not sum to a positive number in the part.

    """
    weight = np.asarray(table.weight[rows], dtype=np.float64)
    scaled = weight.copy()
    for number, word in ((1, "what is selected"), (0, "the rest")):
        of_part = truth[rows] == number
        total, part = float(table.weight[known & (truth == number)].sum()), float(weight[of_part].sum())
        if not part > 0:
            raise DataError(f"no positive sum of weights of {word} in this part, of {int(of_part.sum())} events")
        scaled[of_part] *= total / part
    return scaled


def _in_domains(
    evaluated: EvaluationInput,
    score: NDArray[Any],
    truth: NDArray[np.int8],
    judging: Mask,
    point: PointSpec,
    threshold: float,
) -> Iterator[tuple[str, tuple[WorkingPoint, float | None, float | None]]]:
    """Yield by domain what passes of the judging events, with F1 and significance at the yields of the domain."""
    table, hidden = evaluated.table, blinded_domains(evaluated.spec.domains, evaluated.table)
    for domain in (name for name in table.domain_names if name not in hidden):
        known = table.of_domain(domain) & (truth >= 0)
        rows = known & judging
        try:
            weight = _at_full_yields(table, truth, known, rows)
            passing = working_point(score[rows], truth[rows], weight, threshold)
            events = labelled_scores(score[rows], truth[rows] == 1, weight)
        except DataError:  # data, or a domain without one of the two classes
            continue
        numbers = (
            judge(objective, threshold, events, _NO_REPLICAS)
            for objective in (F1(), AsimovSignificance(point.uncertainty))
        )
        f1, significance = (None if isinstance(number, str) else number.value for number in numbers)
        yield domain, (passing, f1, significance)


def thresholds_of(points: Mapping[str, JudgedPoint]) -> dict[str, Any]:
    """Return models.<model>.thresholds of metrics.json."""
    return {name: _entry(point) for name, point in points.items()}


def _entry(judged: JudgedPoint) -> dict[str, Any]:
    point, chosen = judged.point, judged.chosen
    nothing = {"value": None, "low": None, "high": None}
    share, fixed = point.section.share, isinstance(point.section, FixedPoint)
    chosen_on = "validation events" if share is None else f"{100 * share:g} % of the events, by their key"
    return {
        "objective": point.section.objective,
        "output": point.section.output,
        "selects": point.selects,
        "threshold": nothing | {"why": chosen.why} if chosen.threshold is None else chosen.threshold.entry,
        "value": nothing | {"why": judged.value} if isinstance(judged.value, str) else judged.value.entry,
        **({} if fixed else {"value_on_choosing_events": chosen.on_choosing}),
        "chosen_on": "stated" if fixed else chosen_on,
        **({} if point.domain is None else {"domain": point.domain}),
        "n_eff": {"choosing": chosen.n_eff, "judging": judged.n_eff},
        "domains": {domain: _efficiencies(*passing) for domain, passing in judged.domains.items()},
        **({"why": chosen.why} if chosen.why else {}),
    }


def _efficiencies(point: WorkingPoint, f1: float | None, significance: float | None) -> dict[str, Any]:
    limit = {} if point.background_limit is None else {"rest_efficiency_upper_limit": point.background_limit}
    why = "" if f1 is not None and significance is not None else "no events of the rest pass, or their sum is negative"
    return {
        "class_efficiency": point.signal_efficiency,
        "class_efficiency_error": point.signal_efficiency_error,
        "rest_efficiency": point.background_efficiency,
        "rest_efficiency_error": point.background_efficiency_error,
        **limit,
        "f1": f1,
        "significance": significance,
        **({"why": why} if why else {}),
    }


def threshold_lines(metrics: EventMetrics) -> list[str]:
    """Return a line for each named working point of each model, as the terminal shows it."""
    return [
        f"working point {name} of {model}: {_described(entry)}"
        for model, of_model in metrics.models.items()
        for name, entry in of_model.thresholds.items()
    ]


def _described(entry: ThresholdEntry) -> str:
    if entry.threshold.value is None:
        return f"no threshold: {entry.threshold.why}"
    value = entry.quantity("value").cell().text
    own = entry.value_on_choosing_events
    choosers = "" if own is None else f" ({Quantity(float(own)).cell().text} on those that chose it)"
    name = {
        "fixed": "efficiency",
        "equal_background": f"ratio of the background efficiency in {entry.domain} to the nominal one, minus 1:",
    }.get(entry.objective, entry.objective)
    return f"{entry.output} >= {float(entry.threshold.value):.4g}; {name} {value} on other events{choosers}"


def with_cuts(models: Mapping[str, ModelSpec], run: Path) -> dict[str, ModelSpec]:
    """Return the models of a run with the thresholds of their working points, as far as one was chosen.

    Args:
        models: the models by name; without working points, no file is read.
        run: the run directory.

    Raises:
        ConfigError: metrics.json has no thresholds of a model.

    """
    if not any(model.points for model in models.values()):
        return dict(models)
    entries = run_directory.read_json(run / "metrics.json").get("models", {})
    complete = {}
    for name, model in models.items():
        of_model = entries.get(name, {}).get("thresholds", {})
        if missing := [point for point in model.points if point not in of_model]:
            raise ConfigError(
                f"{run / 'metrics.json'} has no threshold of the working point {missing[0]!r} of {name}; run `hepda "
                f"evaluate {run}` to choose it."
            )
        read = {point: ThresholdEntry.from_json(of_model[point]) for point in model.points}
        cuts = {
            point: Cut(model.column_of(entry.output), float(entry.threshold.value))
            for point, entry in read.items()
            if entry.threshold.value is not None
        }
        complete[name] = replace(model, cuts=cuts)
    return complete


def passing_columns(model: ModelSpec, columns: Mapping[str, NDArray[Any]]) -> dict[str, Mask]:
    """Return whether events pass the working points of a model [n], by `<model>_<point>`.

    Args:
        model: the model with its cuts.
        columns: its score columns [n].

    """
    return {
        f"{model.name}_{name}": np.asarray(columns[cut.output], dtype=np.float64) >= cut.threshold
        for name, cut in model.cuts.items()
    }
