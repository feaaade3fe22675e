"""Scores -> numbers: what each model separates, what differs between domains, what that means for the analysis.

Every number is over events that the scoring network has not seen, with the sign of every weight. The first domain of
the config is the one that is trained on ("source"); the others are compared with it, background with background;
data, whose classes are unknown, are compared with all of the simulation at physical weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from hepda import parallel
from hepda.config import AnalysisConfig
from hepda.errors import ConfigError, DataError
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
from hepda.events.blinding import BLINDED, blinded_domains
from hepda.events.table import FeatureTable
from hepda.parallel import Send

if TYPE_CHECKING:
    from hepda.adversarial import Network

Array = NDArray[Any]
Mask = NDArray[np.bool_]
CURVE = tuple(np.round(np.linspace(0.05, 0.95, 19), 2))
MAX_PROBE_EVENTS = 8_000


@dataclass(slots=True)
class ModelNumbers:
    """All that is known of one model."""

    bias: dict[str, BiasResult] = field(default_factory=dict)  # by other domain
    shift_curve: dict[str, tuple[EfficiencyShift, ...]] = field(default_factory=dict)
    probes: dict[str, dict[str, ProbeResult]] = field(default_factory=dict)  # by other domain and representation
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
    inputs: dict[str, ProbeResult] = field(default_factory=dict)  # domain AUC of the features, by other domain
    unlabelled: tuple[str, ...] = ()  # other domains whose classes are unknown: data
    lacking: dict[str, str] = field(default_factory=dict)  # other domain -> the class that it has no events of
    untold: dict[str, str] = field(default_factory=dict)  # other domain that is not compared -> why

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
        name for name in table.domain_names if {0, 1} <= set(np.unique(table.label[table.of_domain(name)]).tolist())
    )


def shift_points(config: AnalysisConfig) -> list[float]:
    """Signal efficiencies at which the shift of the background is told: the config's, and the tail."""
    return sorted({*config.evaluation.working_points, 0.1, 0.2, 0.3})


def lacking_class(table: FeatureTable, domain: str) -> str | None:
    """The class that a domain has no events of; None if it has both, or if its classes are unknown."""
    known = set(np.unique(table.label[table.of_domain(domain)]).tolist()) - {-1}
    return {frozenset({0}): "signal", frozenset({1}): "background"}.get(frozenset(known))


def compared_class(config: AnalysisConfig) -> Literal["signal", "background"]:
    """The class whose events are compared between domains."""
    return config.evaluation.bias.class_ if config.evaluation.bias is not None else "background"


def untold_domains(config: AnalysisConfig, table: FeatureTable) -> dict[str, str]:
    """Domains that are not compared with the source, each with the reason: blinded, or without the class."""
    wanted = compared_class(config)
    found = dict.fromkeys(blinded_domains(config, table), BLINDED)
    for name in table.domain_names[1:]:
        if lacking_class(table, name) == wanted:
            found[name] = f"it has no {wanted} events to compare"
    return found


def compared(config: AnalysisConfig, table: FeatureTable, other: str) -> tuple[Selection, Selection]:
    """The events of the source and of another domain that are compared: one class, or all where it is unknown."""
    source = config.domains[0]
    wanted = compared_class(config)
    label = 1 if wanted == "signal" else 0
    in_source, in_other = table.of_domain(source), table.of_domain(other)
    if np.any(in_other & (table.label == label)):
        of_class = table.label == label
        return Selection(in_source & of_class, wanted), Selection(in_other & of_class, wanted)
    return Selection(in_source & (table.label >= 0), "all"), Selection(in_other, "all")


@dataclass(frozen=True, slots=True)
class Judged:
    """What is judged: P(signal) [n] of each model, and where the networks with an embedding are."""

    config: AnalysisConfig
    table: FeatureTable
    scores: Mapping[str, Array]
    networks: Mapping[str, Path]  # by model: its network of fold 0

    @property
    def others(self) -> list[str]:
        """The domains that are compared with the source."""
        hidden = (self.config.domains[0], *untold_domains(self.config, self.table))
        return [name for name in self.table.domain_names if name not in hidden]


def evaluate(judged: Judged, processes: int, progress: Send) -> Numbers:
    """All numbers; the parts are computed side by side.

    Raises:
        DataError: the source lacks a class, or a number cannot be had from these events.

    """
    source, labelled = judged.config.domains[0], labelled_domains(judged.table)
    if source not in labelled:
        raise DataError(f"the domain {source!r} lacks signal or background events; its scores cannot be judged")
    parts: list[Part] = [("model", model, "") for model in judged.scores]
    if judged.config.evaluation.probes:
        models = ["", *judged.scores]
        parts += [("probe", model, other) for other in judged.others for model in models]
    parts += [("roc", "", domain) for domain in labelled]
    results = parallel.run(_compute, parts, processes, shared=judged, progress=progress)
    lacking = {name: lacking_class(judged.table, name) for name in judged.table.domain_names if name not in labelled}
    numbers = Numbers(
        source,
        unlabelled=tuple(name for name, missing in lacking.items() if missing is None),
        lacking={name: missing for name, missing in lacking.items() if missing is not None},
        untold=untold_domains(judged.config, judged.table),
    )
    for (kind, model, domain), result in zip(parts, results, strict=True):
        if kind == "roc":
            numbers.rocs[domain] = result
        elif kind == "model":
            numbers.models[model] = result
        elif model:
            numbers.models[model].probes[domain] = result
        else:
            numbers.inputs[domain] = result["inputs"]
    return numbers


Part = tuple[str, str, str]
"""A part of the evaluation: kind, model ("" for none) and domain ("" for all)."""


def _compute(judged: Judged, part: Part, send: Send) -> Any:
    kind, model, domain = part
    if kind == "roc":
        result: Any = _rocs(judged, domain)
    elif kind == "model":
        score = np.asarray(judged.scores[model], np.float64)
        result = _model_numbers(judged.config, judged.table, score, judged.others)
    else:
        result = _probes(judged, model, domain)
    send(" ".join(word for word in part if word), 1, 1)
    return result


def _rocs(judged: Judged, domain: str) -> dict[str, tuple[Roc, RocBand]]:
    table, config = judged.table, judged.config
    mask = table.of_domain(domain) & (table.label >= 0)
    of_domain = {model: score[mask] for model, score in judged.scores.items()}
    replicas = max(2, config.evaluation.bootstrap)
    return rocs(of_domain, table.label[mask], table.weight[mask], replicas=replicas, seed=config.seed)


def _model_numbers(config: AnalysisConfig, table: FeatureTable, score: Array, others: list[str]) -> ModelNumbers:
    source = config.domains[0]
    signal = table.of_domain(source) & (table.label == 1)
    numbers = ModelNumbers()
    points = shift_points(config)
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
    numbers.calibration = calibration_curve(score[inner], table.label[inner], table.weight[inner], balance=True)
    return numbers


def _closure(
    config: AnalysisConfig, table: FeatureTable, score: Array, inner: Mask, other: str, edges: Array
) -> ClosureFit:
    """Mu fitted to another domain, whose signal is what the templates say (mu = 1) if it has any."""
    mask = table.of_domain(other)
    truth = 0.0 if lacking_class(table, other) == "signal" else 1.0
    simulated = bool(np.any(table.label[mask] >= 0))
    return closure(
        score[inner], table.label[inner], table.weight[inner], score[mask],
        table.weight[mask] if simulated else None, edges, truth=truth, simulated=simulated,
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


def _probes(judged: Judged, model: str, other: str) -> dict[str, ProbeResult]:
    """Fresh classifiers against one other domain: on a model's score and embedding, or ("") on the inputs.

    Fold 0 alone: there, score and embedding come from one network, which saw none of these events.
    """
    table, config = judged.table, judged.config
    one, two = compared(config, table, other)
    masks = [side.mask & (table.fold == 0) for side in (one, two)]
    weights = [table.weight[mask] for mask in masks]

    def ask(representation: str, values: list[Array]) -> ProbeResult:
        return probe(
            *values, *weights, representation=representation, class_name=one.class_name, seed=config.seed,
            max_events=MAX_PROBE_EVENTS, replicas=max(2, config.evaluation.bootstrap),
        )  # fmt: skip

    if not model:
        return {"inputs": ask("inputs", [table.features[mask] for mask in masks])}
    found = {"score": ask("score", [judged.scores[model][mask] for mask in masks])}
    if model in judged.networks:
        network = load_network(judged.networks[model], table.names)
        found["embedding"] = ask("embedding", [network.embed(table.features[mask]) for mask in masks])
    return found


def load_network(path: Path, names: tuple[str, ...]) -> Network:
    """A trained network.

    Raises:
        ConfigError: its features are not `names`, in their order.

    """
    from hepda.adversarial import Network

    network = Network.load(path)
    known = tuple(network.metadata.get("features", ()))
    if known != names:
        raise ConfigError(f"{path} was trained on the features {', '.join(known)}, not on those of the config")
    return network
