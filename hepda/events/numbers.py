"""Scores -> numbers: what each model separates, what differs between domains, what that means for the analysis.

Every number is over events that the scoring network has not seen, with the sign of every weight. The first domain of
the config is the one that is trained on ("source"); the others are compared with it, background with background;
data, whose classes are unknown, are compared with all of the simulation at physical weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config import AnalysisConfig
from hepda.errors import DataError
from hepda.evaluation import bias as bias_tests
from hepda.evaluation.binning import automatic_edges
from hepda.evaluation.calibration import calibration_curve
from hepda.evaluation.closure import closure
from hepda.evaluation.expected import binned_significance, scan_cuts
from hepda.evaluation.probes import probe
from hepda.evaluation.results import (
    BiasResult,
    BinnedSignificance,
    CalibrationCurve,
    ClosureFit,
    EfficiencyShift,
    Interval,
    ProbeResult,
    Roc,
    RocBand,
    SignificanceScan,
)
from hepda.evaluation.roc import rocs
from hepda.events.table import FeatureTable

Array = NDArray[Any]
Mask = NDArray[np.bool_]
Embed = Callable[[Mask], Array]
"""Embedding [m, d] of the events of a mask that lies within fold 0, by the network that has not seen them."""
CURVE = tuple(np.round(np.linspace(0.05, 0.95, 19), 2))
MAX_PROBE_EVENTS = 20_000


@dataclass(slots=True)
class ModelNumbers:
    """All that is known of one model."""

    bias: dict[str, BiasResult] = field(default_factory=dict)  # by other domain
    shift_curve: dict[str, tuple[EfficiencyShift, ...]] = field(default_factory=dict)
    probes: dict[str, dict[str, ProbeResult]] = field(
        default_factory=dict
    )  # by other domain and representation
    scan: SignificanceScan | None = None
    binned: BinnedSignificance | None = None
    closure: dict[str, ClosureFit] = field(default_factory=dict)
    calibration: CalibrationCurve | None = None


@dataclass(slots=True)
class Numbers:
    """The numbers of a run, as figures take them; `metrics.py` turns them into metrics.json."""

    source: str
    rocs: dict[str, dict[str, tuple[Roc, RocBand]]] = field(default_factory=dict)  # by domain and model
    models: dict[str, ModelNumbers] = field(default_factory=dict)
    inputs: dict[str, ProbeResult] = field(
        default_factory=dict
    )  # domain AUC of the features, by other domain
    unlabelled: tuple[str, ...] = ()

    def auc(self, model: str, domain: str) -> Interval:
        """AUC of a model in a domain whose classes are known."""
        return self.rocs[domain][model][0].auc


@dataclass(frozen=True, slots=True)
class Selection:
    """Events of one domain that a comparison takes: which, and how they are called."""

    mask: Mask
    class_name: str


def labelled_domains(table: FeatureTable) -> tuple[str, ...]:
    """Domains with events of both classes, in the table's order."""
    return tuple(
        name
        for name in table.domain_names
        if {0, 1} <= set(np.unique(table.label[table.of_domain(name)]).tolist())
    )


def compared(config: AnalysisConfig, table: FeatureTable, other: str) -> tuple[Selection, Selection]:
    """The events of the source and of another domain that are compared: one class, or all where it is unknown."""
    source = config.domains[0]
    wanted = config.evaluation.bias.class_ if config.evaluation.bias is not None else "background"
    label = 1 if wanted == "signal" else 0
    in_source, in_other = table.of_domain(source), table.of_domain(other)
    if np.any(in_other & (table.label == label)):
        of_class = table.label == label
        return Selection(in_source & of_class, wanted), Selection(in_other & of_class, wanted)
    return Selection(in_source & (table.label >= 0), "all"), Selection(in_other, "all")


def evaluate(
    config: AnalysisConfig,
    table: FeatureTable,
    scores: Mapping[str, Array],
    embed: Mapping[str, Embed],
    progress: Callable[[str], None] = lambda step: None,
) -> Numbers:
    """All numbers. scores: P(signal) [n] of each model for every event; embed: of the models that have one."""
    source = config.domains[0]
    labelled = labelled_domains(table)
    if source not in labelled:
        raise DataError(
            f"the domain {source!r} lacks signal or background events; its scores cannot be judged"
        )
    others = [name for name in table.domain_names if name != source]
    numbers = Numbers(source, unlabelled=tuple(name for name in others if name not in labelled))
    replicas = max(2, config.evaluation.bootstrap)
    for domain in labelled:
        progress(f"ROC, {domain}")
        mask = table.of_domain(domain) & (table.label >= 0)
        of_domain = {model: score[mask] for model, score in scores.items()}
        numbers.rocs[domain] = rocs(
            of_domain, table.label[mask], table.weight[mask], replicas=replicas, seed=config.seed
        )
    for model, score in scores.items():
        progress(f"bias and significance, {model}")
        numbers.models[model] = _model_numbers(config, table, np.asarray(score, np.float64), others)
    if config.evaluation.probes:
        for other in others:
            progress(f"probes, {other}")
            _probe_all(config, table, scores, embed, other, numbers)
    return numbers


def _model_numbers(
    config: AnalysisConfig, table: FeatureTable, score: Array, others: list[str]
) -> ModelNumbers:
    source = config.domains[0]
    signal = table.of_domain(source) & (table.label == 1)
    numbers = ModelNumbers()
    points = sorted({*config.evaluation.working_points, 0.1, 0.2, 0.3})
    inner = table.of_domain(source) & (table.label >= 0)
    # The bins are chosen on the validation half of the hash, and used on all events.
    chooser = inner & table.validation
    edges = automatic_edges(score[chooser], table.label[chooser], table.weight[chooser])
    for other in others:
        one, two = compared(config, table, other)
        numbers.bias[other] = bias_tests.compare(
            score[one.mask], table.weight[one.mask], score[two.mask], table.weight[two.mask],
            signal_score=score[signal], signal_weight=table.weight[signal], efficiencies=points,
            class_name=one.class_name, edges=edges if len(edges) > 2 else None, seed=config.seed,
        )  # fmt: skip
        numbers.shift_curve[other] = bias_tests.efficiency_shift(
            score[signal], table.weight[signal], score[one.mask], table.weight[one.mask],
            score[two.mask], table.weight[two.mask], CURVE,
        )  # fmt: skip
        numbers.closure[other] = _closure(config, table, score, inner, other, edges)
    numbers.scan, numbers.binned = _significance(config, table, score, inner, others, edges)
    numbers.calibration = calibration_curve(
        score[inner], table.label[inner], table.weight[inner], balance=True
    )
    return numbers


def _closure(
    config: AnalysisConfig, table: FeatureTable, score: Array, inner: Mask, other: str, edges: Array
) -> ClosureFit:
    """Mu fitted to another domain, whose signal is what the templates say (mu = 1)."""
    mask = table.of_domain(other)
    simulated = bool(np.any(table.label[mask] >= 0))
    return closure(
        score[inner], table.label[inner], table.weight[inner], score[mask],
        table.weight[mask] if simulated else None, edges, truth=1.0, simulated=simulated,
        background_uncertainty=config.evaluation.significance.background_uncertainty,
    )  # fmt: skip


def _significance(
    config: AnalysisConfig, table: FeatureTable, score: Array, inner: Mask, others: list[str], edges: Array
) -> tuple[SignificanceScan, BinnedSignificance]:
    """Expected significance in the source; the bias is the background's difference to the first other domain."""
    relative = config.evaluation.significance.background_uncertainty
    rival: dict[str, Any] = {}
    for other in others:
        one, two = compared(config, table, other)
        if one.class_name == "background":
            # Normalised alike: a difference in rate is a cross section's, not the score's.
            scale = table.weight[one.mask].sum() / table.weight[two.mask].sum()
            rival = {"other_score": score[two.mask], "other_weight": scale * table.weight[two.mask]}
            break
    arguments = (score[inner], table.label[inner], table.weight[inner])
    scan = scan_cuts(*arguments, relative_uncertainty=relative, **rival)
    binned = binned_significance(*arguments, edges, relative_uncertainty=relative)
    return scan, binned


def _probe_all(
    config: AnalysisConfig,
    table: FeatureTable,
    scores: Mapping[str, Array],
    embed: Mapping[str, Embed],
    other: str,
    numbers: Numbers,
) -> None:
    """Fresh classifiers on the inputs, on each score and on each embedding, against one other domain.

    Fold 0 alone: there, score and embedding come from one network, which saw none of these events.
    """
    one, two = compared(config, table, other)
    masks = [side.mask & (table.fold == 0) for side in (one, two)]
    weights = [table.weight[mask] for mask in masks]

    def ask(values: Callable[[Mask], Array], representation: str) -> ProbeResult:
        return probe(
            values(masks[0]), values(masks[1]), *weights, representation=representation,
            class_name=one.class_name, max_events=MAX_PROBE_EVENTS, seed=config.seed,
            replicas=max(2, config.evaluation.bootstrap),
        )  # fmt: skip

    numbers.inputs[other] = ask(lambda mask: table.features[mask], "inputs")
    for model, score in scores.items():
        found = {"score": ask(lambda mask, score=score: score[mask], "score")}  # type: ignore[misc]
        if model in embed:
            found["embedding"] = ask(embed[model], "embedding")
        numbers.models[model].probes[other] = found
