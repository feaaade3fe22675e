"""The numbers of a trial (a point with one seed): those for the choice and those of the report, on different events.

Every event is scored by networks that were not trained on it (its fold was held out). Of these test events, the
part that the hash calls validation (`split.validation`) chooses, and all others report: no event does both. The
choosing part yields the loss of the source, the AUC of a fresh probe between the domains that the adversary compares,
and a scorer of hepda.adversarial.training.selection if requested; none uses a label of the target.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config import AnalysisConfig
from hepda.errors import DataError
from hepda.evaluation.arrays import sample
from hepda.evaluation.differences import distances
from hepda.evaluation.differences.bias import efficiency_shift
from hepda.evaluation.differences.permutation import same_generator_nulls
from hepda.evaluation.differences.probes import ProbeSettings, probe
from hepda.evaluation.roc import auc
from hepda.events.dataset.splits import part_of
from hepda.events.domains.blinding import BLINDED
from hepda.events.domains.roles import blinded_domains, compared, compared_domains, labelled_domains
from hepda.events.resolve import domains_of, evaluation_spec, model_spec
from hepda.events.table.feature_table import FeatureTable
from hepda.events.training.tensors import network_part

Array = NDArray[Any]
Mask = NDArray[np.bool_]
TAIL = (0.1, 0.2, 0.3)
"""Signal efficiencies at which the shift of the background is reported."""
MAX_PROBE_EVENTS = 8_000
PHYSICS = "physics"
"""The criterion that needs no network: the smallest probe AUC among points with a loss near the best."""
LOSS = "loss"
"""The criterion that needs no second domain: the smallest loss of the source."""

Numbers = dict[str, float | None]
Networks = Sequence[tuple[int, Path]]


@dataclass(frozen=True, slots=True)
class Scored:
    """Events and their P(signal) [n]."""

    table: FeatureTable
    score: Array


Side = tuple[Array, Array]
"""Scores [n] and weights [n] of one side of a comparison of domains."""


def reporting_numbers(config: AnalysisConfig, table: FeatureTable, score: Array) -> tuple[Numbers, list[str]]:
    """Return AUC by domain; KS, shifts in the tail and probe by comparison domain; and the reasons for missing numbers.

    Args:
        config: the analysis.
        table: the events.
        score: P(signal) [n] of test events.

    Returns:
        The numbers by name, and a line for each missing number. Names: auc_<domain>, ks_<other>,
        shift_<other>_<efficiency>, the same with _error, probe_<other>.

    """
    numbers: Numbers = {}
    why: list[str] = []
    reporting = ~np.asarray(table.validation)
    for domain in labelled_domains(table):
        mask = reporting & table.of_domain(domain) & (table.label >= 0)
        with _explained(f"auc_{domain}", numbers, why):
            numbers[f"auc_{domain}"] = auc(score[mask], table.label[mask], table.weight[mask])
    spec = evaluation_spec(config)
    signal = reporting & table.of_domain(spec.domains.nominal) & (table.label == 1)
    for other in compared_domains(spec, table):
        nominal_mask, target_mask = (side.mask & reporting for side in compared(spec, table, other))
        pair = (score[nominal_mask], table.weight[nominal_mask], score[target_mask], table.weight[target_mask])
        with _explained(f"ks_{other}", numbers, why):
            signed, _ = distances.kolmogorov_smirnov(sample(*pair[:2], "the source"), sample(*pair[2:], other))
            numbers[f"ks_{other}"] = abs(signed)
        with _explained(f"shift_{other}", numbers, why, [f"shift_{other}_{point:g}" for point in TAIL]):
            for shift in efficiency_shift(score[signal], table.weight[signal], *pair, TAIL):
                name = f"shift_{other}_{shift.signal_efficiency:g}"
                numbers[name], numbers[f"{name}_error"] = shift.shift, shift.error
                why += [f"{name}: {shift.why}"] if shift.why else []
        with _explained(f"probe_{other}", numbers, why):
            numbers[f"probe_{other}"] = _probe(pair[:2], pair[2:], config.seed)
    return numbers, why


class _explained:  # noqa: N801 - a context manager reads like a word
    """Turn a DataError within the block into None under the names, and its message into a line of `why`."""

    def __init__(self, name: str, numbers: Numbers, why: list[str], names: Sequence[str] = ()) -> None:
        self.name, self.numbers, self.why, self.names = name, numbers, why, names or (name,)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, DataError):
            return False
        self.numbers |= dict.fromkeys(self.names)
        self.why.append(f"{self.name}: {error}")
        return True


def choosing_numbers(
    config: AnalysisConfig,
    table: FeatureTable,
    model: str,
    score: Array,
    criterion: str,
    networks: Networks,
    varied: Mapping[str, Scored] | None = None,
) -> tuple[Numbers, list[str]]:
    """Return the numbers that the choice uses, and the reasons for missing ones.

    These are the loss; the probe, unless the criterion is `loss`; and choice_<criterion> if the criterion is a scorer.

    Args:
        config: the analysis.
        table: the events.
        model: the name of the model.
        score: P(signal) [n] of test events.
        criterion: the name of the criterion.
        networks: fold and file of every trained network of the model.
        varied: the events of shape variations that the model compares, and their scores, by name.

    Returns:
        The numbers by name, and a line for each missing number. Names: choice_loss (log loss of the source with
        balanced classes), choice_probe (AUC on the score, 0.5: nothing found), choice_<criterion>.

    """
    numbers: Numbers = {}
    why: list[str] = []
    with _explained("choice_loss", numbers, why):
        numbers["choice_loss"] = source_loss(config, table, model, score)
    if criterion == LOSS:
        return numbers, why
    with _explained("choice_probe", numbers, why):
        pairs = choosing_pairs(config, Scored(table, score), model, varied or {})
        numbers["choice_probe"] = _largest(_probe(*pair, config.seed) for pair in pairs)
    if criterion != PHYSICS:
        name = f"choice_{criterion}"
        with _explained(name, numbers, why):
            _check_open(config, table, np.asarray(table.columns.get(f"domain:{model}:mask", False)))
            numbers[name] = _scorer(config, table, model, criterion, networks, varied or {})
    return numbers, why


def source_loss(config: AnalysisConfig, table: FeatureTable, model: str, score: Array) -> float:
    """Return the log loss of the choosing events of the training samples, with the balanced classes of the training.

    Raises:
        DataError: no such event has a weight.

    """
    from hepda.adversarial.data.weights import class_weights, negative_weights

    mask = table.of_samples(config.training_samples(model)) & np.asarray(table.validation)
    policy = negative_weights(np.asarray(table.weight), config.negative_weights).weight
    label = table.label[mask]
    weight = class_weights(label, policy[mask])
    score_of_event = np.clip(score[mask].astype(np.float64), 1e-7, 1.0 - 1e-7)
    total = np.abs(weight).sum()
    if not total > 0.0:
        raise DataError("no choosing events of the training samples have a weight")
    return float(weight @ -np.log(np.where(label == 1, score_of_event, 1.0 - score_of_event)) / total)


def choosing_pairs(
    config: AnalysisConfig, events: Scored, model: str, varied: Mapping[str, Scored]
) -> list[tuple[Side, Side]]:
    """Return the choosing events of the source and of each target domain that the model compares.

    Weights are absolute. For a model without an adversary they are those of the comparison of the bias. Variations are
    compared on different events, half of the source with variations of the other half: a probe may not be fitted to an
    event as one of the source and tested on it as one of the target.

    Args:
        config: the analysis.
        events: the events and their scores.
        model: the name of the model.
        varied: those of its shape variations, by name.

    Raises:
        DataError: there is nothing to compare with, or one side is data that are blinded.

    """
    table, name = events.table, f"domain:{model}:"
    if name + "side" not in table.columns:
        spec = evaluation_spec(config)
        compared_names = compared_domains(spec, table)
        if not compared_names:
            raise DataError("there is no second domain to compare with")
        source, target = compared(spec, table, compared_names[0])
        choosing, weight = np.asarray(table.validation), np.asarray(table.weight)
        return [(_side(events, choosing & source.mask, weight), _side(events, choosing & target.mask, weight))]
    _check_open(config, table, np.asarray(table.columns[name + "mask"], dtype=np.bool_))
    about = model_spec(config, model)
    weight = np.asarray(table.columns[name + "weight"], dtype=np.float64)
    if not about.variations:
        numbers = range(1, len(about.targets) + 1)
        source_side = _side(events, _choosing(events, name, 0), weight)
        return [(source_side, _side(events, _choosing(events, name, number), weight)) for number in numbers]
    return [
        (_side(events, _choosing(events, name, 0, half=0), weight), _varied_side(events, name, variation.name, varied))
        for variation in about.variations
    ]


def _choosing(events: Scored, prefix: str, number: int, half: int | None = None) -> Mask:
    """Return the choosing events [n] of a domain, 0 for the source; half: 0 or 1 for those of one half, by hash."""
    columns, table = events.table.columns, events.table
    chosen = table.validation & columns[prefix + "mask"] & (columns[prefix + "side"] == number)
    return np.asarray(chosen if half is None else chosen & (part_of(table.key, 2) == half))


def _side(events: Scored, chosen: Mask, weight: Array) -> Side:
    return events.score[chosen], np.abs(weight[chosen])


def _varied_side(nominal: Scored, prefix: str, variation: str, varied: Mapping[str, Scored]) -> Side:
    """Return the second half of the source's choosing events, varied."""
    chosen, weight = _choosing(nominal, prefix, 0, half=1), nominal.table.columns[prefix + "weight"]
    if variation not in varied:
        return _side(nominal, chosen, weight * nominal.table.columns[f"variation:{variation}"])
    other = varied[variation]
    sides = [_side(other, _choosing(other, prefix, 0, half=1), other.table.columns[prefix + "weight"])]
    # samples on which the systematic does not act are as they were
    unchanged = ~np.isin(nominal.table.sample, np.unique(other.table.sample))
    sides.append(_side(nominal, chosen & unchanged, weight))
    return np.concatenate([side[0] for side in sides]), np.concatenate([side[1] for side in sides])


def _check_open(config: AnalysisConfig, table: FeatureTable, mask: Mask) -> None:
    """Raise DataError if any event of `seen` [n] is of data that are blinded."""
    if any(np.any(mask & table.of_domain(hidden)) for hidden in blinded_domains(domains_of(config), table)):
        raise DataError(BLINDED)


def _probe(source: Side, target: Side, seed: int) -> float:
    settings = ProbeSettings(max_events=MAX_PROBE_EVENTS, replicas=2, seed=seed)
    return probe(source[0], target[0], source[1], target[1], settings=settings).auc.value


def _largest(areas: Iterable[float]) -> float:
    """Return the AUC of the target domain that differs most."""
    return max(areas, key=lambda area: abs(area - 0.5))


def _scorer(
    config: AnalysisConfig,
    table: FeatureTable,
    model: str,
    criterion: str,
    networks: Networks,
    varied: Mapping[str, Scored],
) -> float:
    """Return the mean of a scorer over the networks of a model, each on the choosing events of its held-out fold."""
    from hepda.adversarial import Network
    from hepda.adversarial.training.selection import find_scorer
    from hepda.events.training.reweighting import TrainingFactors

    scorer = find_scorer(criterion)
    values = []
    for fold, path in networks:
        unseen = table.select(np.asarray(table.fold == fold))
        # fold -1: no fold is excluded from these held-out events; the choice uses the weights without reweighting.
        parts = {name: events.table.select(np.asarray(events.table.fold == fold)) for name, events in varied.items()}
        factors = TrainingFactors(None, None, {})
        part = network_part(model_spec(config, model), unseen, fold=-1, factors=factors, varied=parts)
        values.append(scorer(Network.load(path), part.source_validation, part.target_validation))
    return float(np.mean(values))


def null_numbers(config: AnalysisConfig, table: FeatureTable, score: Array) -> dict[str, dict[str, float | str]]:
    """Return, by comparison domain, the KS distance that two parts of one generator stay below in 95 % of cases.

    Args:
        config: the analysis.
        table: the events.
        score: of one trial, such as that of the baseline: the null distribution hardly depends on the model.

    Returns:
        For each domain `ks`, or `why` with the reason for its absence.

    """
    reporting = ~np.asarray(table.validation)
    nulls_of: dict[str, dict[str, float | str]] = {}
    spec = evaluation_spec(config)
    for other in compared_domains(spec, table):
        source, target = (side.mask & reporting for side in compared(spec, table, other))
        try:
            sides = (
                sample(score[source], table.weight[source], "the source"),
                sample(score[target], table.weight[target], other),
            )
            nulls = same_generator_nulls(*sides, replicas=200, seed=config.seed)
            nulls_of[other] = {"ks": nulls["ks"].quantile}
        except (DataError, ValueError, KeyError) as reason:
            nulls_of[other] = {"why": f"no null distribution: {reason}"}
    return nulls_of


def counts(table: FeatureTable) -> Mapping[str, int]:
    """Return how many events choose and how many report."""
    choosing = int(np.count_nonzero(table.validation))
    return {"choosing": choosing, "reporting": len(table) - choosing}
