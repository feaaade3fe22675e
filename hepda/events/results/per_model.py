"""The numbers of one model that follow from its score: separation, differences, significance, and diagnostics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepda.config import AnalysisConfig
from hepda.errors import DataError
from hepda.evaluation.calibration import calibration_curve
from hepda.evaluation.differences import bias as bias_tests
from hepda.evaluation.differences.flatness import flatness
from hepda.evaluation.efficiency import cut_at_efficiency, efficiency_curve, quantile_edges, working_point
from hepda.evaluation.expected import Counting, binned_significance, scan_cuts, significance_at
from hepda.evaluation.fits.binning import automatic_edges, bin_contents
from hepda.evaluation.fits.closure import closure
from hepda.evaluation.overtraining import overtraining_test
from hepda.events.dataset.splits import part_of
from hepda.events.domains.roles import (
    LABELS,
    classes_of,
    compared,
    compared_domains,
    held_out_domains,
    labelled_domains,
    lacking_class,
    lent_to,
    own_of,
)
from hepda.events.results.training_noise import TrainingNoise, training_noise
from hepda.events.table.feature_table import FeatureTable
from hepda.results.evaluation import (
    BiasResult,
    BinContents,
    BinnedSignificance,
    CalibrationCurve,
    ClosureFit,
    EfficiencyCurve,
    EfficiencyShift,
    Flatness,
    OvertrainingTest,
    ProbeResult,
    ShiftRatio,
    Significance,
    SignificanceScan,
    WorkingPoint,
)

if TYPE_CHECKING:
    from hepda.events.results.evaluate import EvaluationInput

Array = NDArray[Any]
Mask = NDArray[np.bool_]
_RESCORED = 500_000
"""Number of events that are read from the table at once to be scored again."""
CUT_PARTS = 20
"""Number of parts of the events; groups of parts are cut where the other parts have their best significance."""
CURVE = tuple(np.round(np.linspace(0.05, 0.95, 19), 2))


@dataclass(slots=True)
class ModelNumbers:
    """All numbers of one model; mappings are by other domain unless a comment names another key."""

    bias: dict[str, BiasResult] = field(default_factory=dict)  # of the compared class
    tests: dict[str, dict[str, BiasResult]] = field(default_factory=dict)  # and by class
    shift_curve: dict[str, tuple[EfficiencyShift, ...]] = field(default_factory=dict)
    ratios: dict[str, tuple[ShiftRatio, ...]] = field(default_factory=dict)  # of the shifts to the baseline's
    probes: dict[str, dict[str, tuple[ProbeResult, ...] | str]] = field(default_factory=dict)  # and by class
    scan: SignificanceScan | None = None
    binned: BinnedSignificance | None = None
    rival: str | None = None  # the domain whose difference is the bias in the significance
    working: dict[float, dict[str, tuple[WorkingPoint, Significance]]] = field(default_factory=dict)  # efficiency first
    closure: dict[str, ClosureFit] = field(default_factory=dict)
    calibration: dict[str, CalibrationCurve] = field(default_factory=dict)  # by labelled domain
    bins: dict[str, dict[str, BinContents]] = field(default_factory=dict)  # by labelled domain and class
    efficiency: dict[str, dict[str, EfficiencyCurve]] = field(default_factory=dict)  # by variable and class
    flatness: dict[str, dict[str, Flatness | str]] = field(default_factory=dict)  # by variable and class
    overtraining: dict[str, OvertrainingTest] | str = "the trained models were not at hand"  # by class
    noise: TrainingNoise | None = None


def model_numbers(judged: EvaluationInput, model: str) -> ModelNumbers:
    """Return all numbers of a model that need neither other models or domains nor fits.

    ROC curves and ratios of shifts are shared by several models; probes are fitted. These are computed elsewhere.
    """
    config, table = judged.config, judged.table
    score = np.asarray(judged.scores[model], np.float64)
    inner = table.of_domain(config.domains[0]) & (table.label >= 0)
    # The bins are chosen on the validation half of the hash, and used on all events.
    chooser = inner & table.validation
    edges = automatic_edges(score[chooser], table.label[chooser], table.weight[chooser])
    numbers = ModelNumbers()
    for other in compared_domains(config, table):
        _compare(numbers, config, table, score, other, edges)
    for other in judged.fitted:
        numbers.closure[other] = _closure(config, table, score, inner, other, edges)
    _significance(numbers, config, table, score, inner, edges)
    for domain in labelled_domains(table):
        mask = table.of_domain(domain) & (table.label >= 0)
        events = (score[mask], table.label[mask], table.weight[mask])
        numbers.calibration[domain] = calibration_curve(*events, balance=True)
        numbers.bins[domain] = {
            name: bin_contents(score[mask][table.label[mask] == label], table.weight[mask][table.label[mask] == label],
                               edges, class_name=name)
            for name, label in LABELS.items()
        }  # fmt: skip
    _against_variables(numbers, config, table, score)
    numbers.overtraining = overtraining(judged, model)
    numbers.noise = training_noise(judged, model, score)
    return numbers


def shift_points(config: AnalysisConfig) -> list[float]:
    """Return the signal efficiencies at which the shift of the background is given.

    These are the working points of the config, and those of the tail.
    """
    return sorted({*config.evaluation.working_points, 0.1, 0.2, 0.3})


def _compare(
    numbers: ModelNumbers, config: AnalysisConfig, table: FeatureTable, score: Array, other: str, edges: Array
) -> None:
    """Fill in the two-sample tests of each class, and the shifts of the compared class."""
    signal = table.of_domain(config.domains[0]) & (table.label == 1)
    common: dict[str, Any] = {"edges": edges if len(edges) > 2 else None, "seed": config.seed}
    one, two = compared(config, table, other)
    pair = (score[one.mask], table.weight[one.mask], score[two.mask], table.weight[two.mask])
    numbers.bias[other] = bias_tests.compare(
        *pair, signal_score=score[signal], signal_weight=table.weight[signal], efficiencies=shift_points(config),
        class_name=one.class_name, **common,
    )  # fmt: skip
    numbers.shift_curve[other] = bias_tests.efficiency_shift(score[signal], table.weight[signal], *pair, CURVE)
    numbers.tests[other] = {one.class_name: numbers.bias[other]}
    for wanted in classes_of(config, table, other):
        if wanted != one.class_name:
            first, second = (side.mask for side in compared(config, table, other, wanted))
            numbers.tests[other][wanted] = bias_tests.compare(
                score[first], table.weight[first], score[second], table.weight[second], class_name=wanted, **common
            )


def _closure(
    config: AnalysisConfig, table: FeatureTable, score: Array, inner: Mask, other: str, edges: Array
) -> ClosureFit:
    """Fit mu to another domain.

    The true mu is 1, the signal of the templates, if the domain has signal, and 0 if it has none. Processes that the
    domain does not have are taken from the source; those that the source does not have are left out.
    """
    mask = own_of(config, table, other) | lent_to(config, table, other)
    truth = 0.0 if lacking_class(table, other) == "signal" else 1.0
    simulated = bool(np.any(table.label[mask] >= 0))
    return closure(
        score[inner], table.label[inner], table.weight[inner], score[mask],
        table.weight[mask] if simulated else None, edges, truth=truth, simulated=simulated,
        background_uncertainty=config.evaluation.significance.background_uncertainty,
    )  # fmt: skip


def _significance(
    numbers: ModelNumbers, config: AnalysisConfig, table: FeatureTable, score: Array, inner: Mask, edges: Array
) -> None:
    """Fill in the expected significance in the source.

    The cut of each fifth of the events is chosen on the other four fifths, and the value is the mean over several ways
    to divide the events into fifths.

    The bias is the difference of the background to a domain that no training saw, or to the first compared domain if
    there is no such domain.
    """
    rivals = [
        d for d in compared_domains(config, table) if compared(config, table, d, "background")[0].class_name != "all"
    ]
    seen_by_none = held_out_domains(config)
    numbers.rival = next((d for d in rivals if d in seen_by_none), rivals[0] if rivals else None)
    rival: dict[str, Any] = {}
    groups: dict[str, Any] = {"groups": part_of(table.key[inner], CUT_PARTS)}
    if numbers.rival is not None:
        one, two = compared(config, table, numbers.rival, "background")
        rival = {"other_score": score[two.mask], "other_weight": table.weight[two.mask], "matched": one.mask[inner]}
        groups["other_groups"] = part_of(table.key[two.mask], CUT_PARTS)
    relative = config.evaluation.significance.background_uncertainty
    events = (score[inner], table.label[inner], table.weight[inner])
    numbers.scan = scan_cuts(
        Counting(*events, relative, **rival), **groups, replicas=max(2, config.evaluation.bootstrap), seed=config.seed
    )
    numbers.binned = binned_significance(Counting(*events, relative), edges)
    signal = inner & (table.label == 1)
    for efficiency in config.evaluation.working_points:
        cut = cut_at_efficiency(score[signal], table.weight[signal], efficiency)
        numbers.working[efficiency] = {}
        for domain in labelled_domains(table):
            mask = table.of_domain(domain) & (table.label >= 0)
            own = (score[mask], table.label[mask], table.weight[mask])
            counting = significance_at(Counting(*own, relative), cut)
            numbers.working[efficiency][domain] = working_point(*own, cut), counting


def column(table: FeatureTable, name: str) -> Array:
    """Return a feature or a further column of the table [n]."""
    values = table.features[:, table.names.index(name)] if name in table.names else table.columns[name]
    return np.asarray(values, dtype=np.float64)


def _against_variables(numbers: ModelNumbers, config: AnalysisConfig, table: FeatureTable, score: Array) -> None:
    """Fill in efficiency and flatness, in the source.

    The efficiency is that of the first working point against variables; the flatness is against protected variables.
    """
    of_source = table.of_domain(config.domains[0])
    masks = {name: of_source & (table.label == label) for name, label in LABELS.items()}
    first = config.evaluation.working_points[0]
    cut = cut_at_efficiency(score[masks["signal"]], table.weight[masks["signal"]], first)
    for variable in config.evaluation.efficiency_against:
        values = column(table, variable)
        edges = quantile_edges(values[masks["background"]])
        numbers.efficiency[variable] = {
            name: efficiency_curve(values[mask], score[mask], table.weight[mask], cut, edges)
            for name, mask in masks.items()
        }
    for variable in config.evaluation.protected:
        values = column(table, variable)
        numbers.flatness[variable] = {
            name: _or_reason(flatness, values[mask], score[mask], table.weight[mask], name=variable, class_name=name,
                             seed=config.seed)
            for name, mask in masks.items()
        }  # fmt: skip


def _or_reason(function: Callable[..., Flatness], *values: Array, **options: Any) -> Flatness | str:
    try:
        return function(*values, **options)
    except DataError as reason:
        return str(reason)


def overtraining(judged: EvaluationInput, model: str) -> dict[str, OvertrainingTest] | str:
    """Compare the scores of training events and of unseen events by the models of fold 0.

    The training events are those that the models of fold 0 were trained on; the unseen ones are the events of fold 0.
    Both are events of the samples that the model was trained on, without validation events.

    Args:
        judged: the events, scores and networks.
        model: name of the model.

    Returns:
        The test of each class, or the reason if there is none.

    """
    if judged.rescore is None:
        return "the trained models were not at hand"
    config, table = judged.config, judged.table
    used = table.of_samples(config.training_samples(model)) & ~table.validation
    trained, unseen = used & (table.fold != 0), used & (table.fold == 0)
    places = np.flatnonzero(trained)
    blocks = [places[start : start + _RESCORED] for start in range(0, len(places), _RESCORED)] or [places]
    score = np.concatenate([judged.rescore(table.select(rows), model, 0) for rows in blocks])
    label_of, weight_of = table.label[places], table.weight[places]
    tested = np.asarray(judged.scores[model])
    found: dict[str, OvertrainingTest] = {}
    for name, label in LABELS.items():
        of_class = label_of == label
        rows = unseen & (table.label == label)
        try:
            found[name] = overtraining_test(
                score[of_class], weight_of[of_class], tested[rows], table.weight[rows],
                class_name=name, edges=np.linspace(0.0, 1.0, 21), seed=config.seed,
            )  # fmt: skip
        except DataError as reason:
            return str(reason)
    return found
