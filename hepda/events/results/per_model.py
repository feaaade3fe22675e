"""The numbers of one model that follow from its score: separation, differences, significance, and diagnostics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepda.errors import DataError
from hepda.evaluation.arrays import sample
from hepda.evaluation.calibration import calibration_curve
from hepda.evaluation.differences import bias as bias_tests
from hepda.evaluation.differences.flatness import flatness
from hepda.evaluation.efficiency import cut_at_efficiency, efficiency_curve, quantile_edges, working_point
from hepda.evaluation.expected import Counting, binned_significance, scan_cuts, significance_at
from hepda.evaluation.fits.binning import automatic_edges, bin_contents
from hepda.evaluation.importance import Change, class_importance
from hepda.evaluation.overtraining import overtraining_test
from hepda.events.dataset.splits import part_of
from hepda.events.domains.roles import (
    LABELS,
    common_classes,
    compared,
    compared_domains,
    labelled_domains,
)
from hepda.events.domains.spec import EvaluationSpec
from hepda.events.results.class_numbers import ModelClasses
from hepda.events.results.decomposition import decomposition
from hepda.events.results.labels import ModelLabels
from hepda.events.results.thresholds import JudgedPoint
from hepda.events.results.training_noise import TrainingNoise, training_noise
from hepda.events.table.feature_table import FeatureTable
from hepda.results.entries.decomposition import DomainDecomposition
from hepda.results.evaluation import (
    BiasResult,
    BinContents,
    BinnedSignificance,
    CalibrationCurve,
    EfficiencyCurve,
    EfficiencyShift,
    FeatureImportance,
    FewLabels,
    Flatness,
    OvertrainingTest,
    ProbeResult,
    ShiftRatio,
    Significance,
    SignificanceScan,
    WorkingPoint,
)
from hepda.timing import timed

if TYPE_CHECKING:
    from hepda.events.results.evaluate import EvaluationInput

Array = NDArray[Any]
Mask = NDArray[np.bool_]
_RESCORED = 500_000
"""Number of events that are read from the table at once to be scored again."""
_COMPARED = 2_000_000
"""Number of events times models that are compared at once: their scores and weights are sorted copies."""
_PREDICTED = 3_000_000
"""Number of events that a model is asked for in total, objects and members counted, to rank its inputs."""
_TREES = 5
"""Number of networks that are asked in the time of one boosted forest."""
_FEWEST, _MOST = 2_000, 20_000
"""Number of events, of both classes together, that the ranking of the inputs takes."""
_SHUFFLES = 2
CUT_PARTS = 20
"""Number of parts of the events; groups of parts are cut where the other parts have their best significance."""
CURVE = tuple(np.round(np.linspace(0.05, 0.95, 19), 2))


@dataclass(slots=True)
class ModelNumbers:
    """All numbers of one model; mappings are by other domain unless a comment names another key."""

    bias: dict[str, BiasResult] = field(default_factory=dict)  # of the compared class
    tests: dict[str, dict[str, BiasResult]] = field(default_factory=dict)  # and by class
    shift_curve: dict[str, tuple[EfficiencyShift, ...]] = field(default_factory=dict)
    decomposition: dict[str, DomainDecomposition] = field(default_factory=dict)  # of the compared class
    ratios: dict[str, tuple[ShiftRatio, ...]] = field(default_factory=dict)  # of the shifts to the baseline's
    probes: dict[str, dict[str, tuple[ProbeResult, ...] | str]] = field(default_factory=dict)  # and by class
    scan: SignificanceScan | None = None
    binned: BinnedSignificance | None = None
    bias_from: str | None = None  # the domain whose difference is the bias in the significance
    working: dict[float, dict[str, tuple[WorkingPoint, Significance]]] = field(default_factory=dict)  # efficiency first
    calibration: dict[str, CalibrationCurve] = field(default_factory=dict)  # by labelled domain
    bins: dict[str, dict[str, BinContents]] = field(default_factory=dict)  # by labelled domain and class
    efficiency: dict[str, dict[str, EfficiencyCurve]] = field(default_factory=dict)  # by variable and class
    flatness: dict[str, dict[str, Flatness | str]] = field(default_factory=dict)  # by variable and class
    overtraining: dict[str, OvertrainingTest] | str = "the trained models were not available"  # by class
    importance: FeatureImportance | str | None = None  # of the inputs for the classes; None: not asked for
    noise: TrainingNoise | None = None
    classes: ModelClasses | None = None  # None for two classes
    labels: ModelLabels | None = None  # of a model with labels
    few_labels: FewLabels | str | None = None  # None: not asked for, or no network
    thresholds: dict[str, JudgedPoint] = field(default_factory=dict)  # by named working point

    def add(self, other: str, numbers: BiasNumbers) -> None:
        """Add the comparison with another domain."""
        self.tests[other], self.shift_curve[other] = numbers.tests, numbers.shift_curve
        self.bias[other] = next(iter(numbers.tests.values()))
        if numbers.decomposition is not None:
            self.decomposition[other] = numbers.decomposition


def model_numbers(evaluated: EvaluationInput, model: str) -> ModelNumbers:
    """Return all numbers of a model that need neither other models nor fits.

    ROC curves, two-sample tests and ratios of shifts are shared by several models; probes are fitted. These are
    computed elsewhere.
    """
    spec, table = evaluated.spec, evaluated.table
    score = np.asarray(evaluated.scores[model], np.float64)
    inner = table.of_domain(spec.domains.nominal) & (table.label >= 0)
    edges = _edges(spec, table, score)
    numbers = ModelNumbers()
    _significance(numbers, spec, table, score, inner, edges)
    for domain in labelled_domains(table):
        mask = table.of_domain(domain) & (table.label >= 0)
        events = (score[mask], table.label[mask], table.weight[mask])
        numbers.calibration[domain] = calibration_curve(*events, balance=True)
        numbers.bins[domain] = {
            name: bin_contents(score[mask][table.label[mask] == label], table.weight[mask][table.label[mask] == label],
                               edges, class_name=name)
            for name, label in LABELS.items()
        }  # fmt: skip
    _against_variables(numbers, spec, table, score)
    numbers.overtraining = overtraining(evaluated, model)
    with timed("noise of the training"):
        numbers.noise = training_noise(evaluated, model, score)
    return numbers


def _edges(spec: EvaluationSpec, table: FeatureTable, score: Array) -> Array:
    """Return the bins of a score, chosen on the validation half of the hash, and used on all events."""
    chooser = table.of_domain(spec.domains.nominal) & (table.label >= 0) & table.validation
    return automatic_edges(score[chooser], table.label[chooser], table.weight[chooser])


@dataclass(frozen=True, slots=True)
class BiasNumbers:
    """The comparison of one model between the nominal domain and another one: see `ModelNumbers`."""

    tests: dict[str, BiasResult]
    shift_curve: tuple[EfficiencyShift, ...]
    decomposition: DomainDecomposition | None


def bias_numbers(evaluated: EvaluationInput, other: str) -> dict[str, BiasNumbers]:
    """Return the two-sample tests of each class, the compared one first, and the shifts of the compared class.

    They are by model, and all models share the random numbers of the tests.

    Args:
        evaluated: the events and their scores.
        other: the domain that is compared with the nominal one.

    """
    events = sum(int(side.mask.sum()) for side in compared(evaluated.spec, evaluated.table, other))
    at_once = max(1, _COMPARED // max(events, 1))
    models = list(evaluated.scores)
    numbers: dict[str, BiasNumbers] = {}
    for start in range(0, len(models), at_once):
        numbers |= _bias_numbers(evaluated, models[start : start + at_once], other)
    return numbers


def _bias_numbers(evaluated: EvaluationInput, models: Sequence[str], other: str) -> dict[str, BiasNumbers]:
    """Return `bias_numbers` of some models."""
    spec, table = evaluated.spec, evaluated.table
    scores = {model: np.asarray(evaluated.scores[model], np.float64) for model in models}
    edges = {model: _edges(spec, table, score) for model, score in scores.items()}
    signal = table.of_domain(spec.domains.nominal) & (table.label == 1)
    first = compared(spec, table, other)[0].class_name
    further = [name for name in common_classes(spec.domains, table, other) if name != first]
    points = tuple(dict.fromkeys((*spec.shift_points, *CURVE)))  # those of the tables, and those of the figure
    shifts: dict[str, tuple[EfficiencyShift, ...]] = {}
    tests: dict[str, dict[str, BiasResult]] = {model: {} for model in scores}
    for class_name in (None, *further):
        source, target = compared(spec, table, other, class_name)
        name = source.class_name
        settings = bias_tests.BiasSettings(points, name, seed=spec.seed)
        sides = [
            bias_tests.ModelScores(
                sample(score[source.mask], table.weight[source.mask], f"{name} of the source"),
                sample(score[target.mask], table.weight[target.mask], f"{name} of the other domain"),
                None if class_name else sample(score[signal], table.weight[signal], "signal of the source"),
                edges[model] if len(edges[model]) > 2 else None,
            )
            for model, score in scores.items()
        ]
        for model, result in zip(scores, bias_tests.compare_models(sides, settings), strict=True):
            shifts.setdefault(model, result.efficiency_shift)  # of the compared class, which is the first
            in_tables = tuple(s for s in result.efficiency_shift if s.signal_efficiency in spec.shift_points)
            tests[model][name] = replace(result, efficiency_shift=in_tables)
    return {
        model: BiasNumbers(
            tests[model],
            tuple(s for s in shifts[model] if s.signal_efficiency in CURVE),
            decomposition(spec, table, score, other, edges[model]),
        )
        for model, score in scores.items()
    }


@timed("significance")
def _significance(
    numbers: ModelNumbers, spec: EvaluationSpec, table: FeatureTable, score: Array, inner: Mask, edges: Array
) -> None:
    """Fill in the expected significance in the source.

    The cut of each fifth of the events is chosen on the other four fifths, and the value is the mean over several ways
    to divide the events into fifths.

    The bias is the difference of the background to a domain that no training saw, or to the first compared domain if
    there is no such domain.
    """
    candidates = [
        d for d in compared_domains(spec, table) if compared(spec, table, d, "background")[0].class_name != "all"
    ]
    numbers.bias_from = next(
        (d for d in candidates if d in spec.domains.held_out), candidates[0] if candidates else None
    )
    bias: dict[str, Any] = {}
    groups: dict[str, Any] = {"groups": part_of(table.key[inner], CUT_PARTS)}
    if numbers.bias_from is not None:
        source, target = compared(spec, table, numbers.bias_from, "background")
        bias = {
            "other_score": score[target.mask],
            "other_weight": table.weight[target.mask],
            "matched": source.mask[inner],
        }
        groups["other_groups"] = part_of(table.key[target.mask], CUT_PARTS)
    relative = spec.settings.significance.background_uncertainty
    events = (score[inner], table.label[inner], table.weight[inner])
    numbers.scan = scan_cuts(Counting(*events, relative, **bias), **groups, replicas=spec.replicas, seed=spec.seed)
    numbers.binned = binned_significance(Counting(*events, relative), edges)
    signal = inner & (table.label == 1)
    for efficiency in spec.settings.working_points:
        cut = cut_at_efficiency(score[signal], table.weight[signal], efficiency)
        numbers.working[efficiency] = {}
        for domain in labelled_domains(table):
            mask = table.of_domain(domain) & (table.label >= 0)
            in_domain = (score[mask], table.label[mask], table.weight[mask])
            counting = significance_at(Counting(*in_domain, relative), cut)
            numbers.working[efficiency][domain] = working_point(*in_domain, cut), counting


def column(table: FeatureTable, name: str) -> Array:
    """Return a feature or a further column of the table [n]."""
    values = table.features[:, table.names.index(name)] if name in table.names else table.columns[name]
    return np.asarray(values, dtype=np.float64)


@timed("efficiency and flatness")
def _against_variables(numbers: ModelNumbers, spec: EvaluationSpec, table: FeatureTable, score: Array) -> None:
    """Fill in efficiency and flatness, in the source.

    The efficiency is that of the first working point against variables; the flatness is against protected variables.
    """
    of_source = table.of_domain(spec.domains.nominal)
    masks = {name: of_source & (table.label == label) for name, label in LABELS.items()}
    first = spec.settings.working_points[0]
    cut = cut_at_efficiency(score[masks["signal"]], table.weight[masks["signal"]], first)
    for variable in spec.settings.efficiency_against:
        values = column(table, variable)
        edges = quantile_edges(values[masks["background"]])
        numbers.efficiency[variable] = {
            name: efficiency_curve(values[mask], score[mask], table.weight[mask], cut, edges)
            for name, mask in masks.items()
        }
    for variable in spec.settings.protected:
        values = column(table, variable)
        numbers.flatness[variable] = {
            name: _or_reason(flatness, values[mask], score[mask], table.weight[mask], name=variable, class_name=name,
                             seed=spec.seed)
            for name, mask in masks.items()
        }  # fmt: skip


def _or_reason(function: Callable[..., Flatness], *values: Array, **options: Any) -> Flatness | str:
    try:
        return function(*values, **options)
    except DataError as reason:
        return str(reason)


@timed("overtraining")
def overtraining(evaluated: EvaluationInput, model: str) -> dict[str, OvertrainingTest] | str:
    """Compare the scores of training events and of unseen events by the models of fold 0.

    The training events are those that the models of fold 0 were trained on; the unseen ones are the events of fold 0.
    Both are events of the samples that the model was trained on, without validation events.

    Args:
        evaluated: the events, scores and networks.
        model: name of the model.

    Returns:
        The test of each class, or the reason if there is none.

    """
    if evaluated.rescore is None:
        return "the trained models were not available"
    spec, table = evaluated.spec, evaluated.table
    used = table.of_samples(spec.models[model].samples) & ~table.validation
    trained, unseen = used & (table.fold != 0), used & (table.fold == 0)
    places = np.flatnonzero(trained)
    blocks = [places[start : start + _RESCORED] for start in range(0, len(places), _RESCORED)] or [places]
    score = np.concatenate([evaluated.rescore(table.select(rows), model, 0) for rows in blocks])
    label_of, weight_of = table.label[places], table.weight[places]
    tested = np.asarray(evaluated.scores[model])
    tests: dict[str, OvertrainingTest] = {}
    for name, label in LABELS.items():
        of_class = label_of == label
        rows = unseen & (table.label == label)
        try:
            tests[name] = overtraining_test(
                score[of_class], weight_of[of_class], tested[rows], table.weight[rows],
                class_name=name, edges=np.linspace(0.0, 1.0, 21), seed=spec.seed,
            )  # fmt: skip
        except DataError as reason:
            return str(reason)
    return tests


def input_importance(evaluated: EvaluationInput, model: str) -> FeatureImportance | str:
    """Return which inputs a model separates the classes by, in the source; see `class_importance`.

    It takes as many events of signal as of background, so many that the model can be asked within its limits; each is
    scored by the trainings that did not see it. A collection of objects is one input.

    Args:
        evaluated: the events, scores and trained models.
        model: name of the model.

    Returns:
        The importance of each input, or the reason if there is none.

    """
    rescore = evaluated.rescore
    if rescore is None:
        return "the trained models were not available"
    about = evaluated.spec.models[model]
    inputs = [*(evaluated.table.names if about.features is None else about.features), *about.collections]
    objects = sum(section.size for section in about.collections.values())
    predictions = max(about.members, 1) if model in evaluated.networks else _TREES
    work = _SHUFFLES * max(len(inputs), 1) * predictions * (1 + objects)
    table = _of_both_classes(evaluated, int(np.clip(_PREDICTED / work, _FEWEST, _MOST)))

    def predict(changes: Sequence[Change]) -> Array:
        changed = _changed(table, changes)
        score = np.empty(len(changed))
        for fold in np.unique(changed.fold):
            rows = changed.fold == fold
            score[rows] = rescore(changed.select(rows), model, int(fold))
        return score.reshape(len(changes), len(table))

    at_once = max(1, _RESCORED // (max(len(table), 1) * (1 + objects)))
    try:
        return class_importance(
            predict, inputs, table.label, table.weight, repeats=_SHUFFLES, at_once=at_once, seed=evaluated.spec.seed
        )
    except DataError as reason:
        return str(reason)


def _of_both_classes(evaluated: EvaluationInput, events: int) -> FeatureTable:
    """Return at most `events` events of the source, drawn at random, half of them signal."""
    table, generator = evaluated.table, np.random.default_rng([evaluated.spec.seed, 3])
    inner = table.of_domain(evaluated.spec.domains.nominal)
    chosen = []
    for label in LABELS.values():
        rows = np.flatnonzero(inner & (table.label == label))
        chosen.append(generator.choice(rows, min(len(rows), events // 2), replace=False))
    return table.select(np.sort(np.concatenate(chosen)))


def _changed(table: FeatureTable, changes: Sequence[Change]) -> FeatureTable:
    """Return the events once for each change, with one input or collection of each copy taken from other events."""
    copies = table.select(np.tile(np.arange(len(table)), len(changes)))
    for number, (name, order) in enumerate(changes):
        rows = slice(number * len(table), (number + 1) * len(table))
        if name in table.collections:
            copies.collections[name][rows] = table.collections[name][order]
        elif name:
            column_number = table.names.index(name)
            copies.features[rows, column_number] = table.features[order, column_number]
    return copies
