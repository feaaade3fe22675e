"""Checks of whether the events that were read can be used for training and evaluation.

Every sample must have events, both classes must have positive sums of weights in the training of every fold, and there
must be enough effective events for every number that a run needs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hepda.adversarial.data.weights import negative_weights
from hepda.errors import DataError
from hepda.evaluation.arrays import effective
from hepda.evaluation.bootstrap import MOST_FAILED, poisson_counts
from hepda.evaluation.fits.binning import MIN_N_EFF
from hepda.events.dataset.samples import SampleSummary
from hepda.events.dataset.splits import PARTS, part_of
from hepda.events.domains.roles import LABELS, labelled_domains
from hepda.events.domains.spec import EvaluationSpec
from hepda.events.specs import DatasetSpec, ModelSpec
from hepda.events.table.feature_table import FeatureTable

_BLOCK = 4_000_000
"""Number of events that are processed together: the weights of a table on disk are never all in memory."""
TRAINED = ("training", "validation")


def check_sample(summary: SampleSummary) -> None:
    """Raise DataError if the selection leaves no event of a sample, or if its weights overflow.

    The message about an empty sample contains the cut flow.
    """
    if summary.sums.entries > 0:
        _check_magnitude(summary)
        return
    name = summary.name
    if summary.entries == 0:
        raise DataError(f"samples.{name}: its files have no entries; take the sample out or fill it.")
    steps = [f"{'all entries':<40} {summary.entries:>10}"]
    steps += [f"{cut[:40]:<40} {remaining:>10}" for cut, remaining in summary.cut_flow]
    flow = "\n  ".join(steps)
    raise DataError(
        f"samples.{name}: no event passes the selection. Events left, cut by cut:\n  {flow}\n"
        "Loosen the cut that empties it, or take the sample out."
    )


LARGEST = 1e60
"""Sum of weights from which squares of weights and their products may overflow float64."""


def _check_magnitude(summary: SampleSummary) -> None:
    sums = summary.sums
    size = math.sqrt(sums.sumw2) if math.isfinite(sums.sumw2) else math.inf
    if not (math.isfinite(sums.sumw) and abs(sums.sumw) < LARGEST and size < LARGEST):
        what, where = "large", f"the sum of squared weights is {sums.sumw2:g}"
    elif sums.sumw != 0 and size < 1 / LARGEST:
        what, where = "small", f"the sum of weights is {sums.sumw:g}"
    else:
        return
    raise DataError(
        f"samples.{summary.name}: the weights of its events are too {what} to compute with: {where} (an event of "
        f"weight 1 counts {summary.normalisation:g}). Look at `weight`, `luminosity`, the cross section and the sum of "
        "weights."
    )


@dataclass(frozen=True, slots=True)
class TargetRange:
    """The number that a model predicts in the events of a sample: how many have it, its ends and its median.

    trained: whether the model is trained on the sample.
    """

    model: str
    sample: str
    trained: bool
    events: int
    low: float
    median: float
    high: float


def target_ranges(spec: DatasetSpec, table: FeatureTable) -> list[TargetRange]:
    """Return the numbers that models predict, by model and sample that has them."""
    ranges = []
    for model in spec.numbers.values():
        target = table.columns[model.target_column]
        for sample in table.sample_names:
            values = target[table.of_samples([sample])]
            values = values[np.isfinite(values)]
            if len(values):
                ends = float(values.min()), float(np.median(values)), float(values.max())
                ranges.append(TargetRange(model.name, sample, sample in model.samples, len(values), *ends))
    return ranges


def check_table(spec: DatasetSpec, table: FeatureTable) -> None:
    """Raise DataError if a model could not be trained or evaluated on `table`."""
    _check_signs(list(spec.models.values()), table)
    for model in spec.models.values():
        if model.predicts == "class":
            _check_classes(model, table)
        else:
            _check_number(model, table)
        _check_domain(model, table)
        _check_ratios(model, table)


def _check_classes(model: ModelSpec, table: FeatureTable) -> None:
    """Raise DataError unless every class can be used in every fold's training and validation events.

    Each must have events there, and positive sums of weights.
    """
    used = table.of_samples(model.samples)
    label_of_event = model.label_of(table)
    for name, label in reversed(model.labels.items()):
        of_class = used & (label_of_event == label)
        for fold in range(model.folds):
            for validation, part in ((False, "training"), (True, "validation")):
                rows = of_class & (table.fold == fold) & (table.validation == validation)
                if not rows.any():
                    raise DataError(
                        f"models.{model.name}: fold {fold} has no {name} among its {part} events "
                        f"({int(of_class.sum())} {name} events in all). Use fewer folds (`split.folds`), "
                        "another `split.validation`, a looser selection or more events."
                    )
        total = float(np.sum(table.weight, where=of_class))  # does not copy the weights
        if total <= 0:
            raise DataError(
                f"models.{model.name}: the weights of its {name} events add up to {total:.6g}: the negative ones "
                "outweigh the others. Look at `weight` and the sums of weights."
            )
        _check_sums(model, table, f"models.{model.name}", name, of_class, table.weight)


def _check_number(model: ModelSpec, table: FeatureTable) -> None:
    """Raise DataError unless the number that a model predicts is known, and varies, in every fold's training."""
    where, known = f"models.{model.name}", model.has_target(table)
    for fold in range(model.folds):
        for validation, part in ((False, "training"), (True, "validation")):
            rows = known & (table.fold == fold) & (table.validation == validation)
            if not rows.any():
                raise DataError(
                    f"{where}: fold {fold} has no event with a target among its {part} events ({int(known.sum())} in "
                    "all). Use fewer folds (`split.folds`), another `split.validation`, a looser `regress.selection`, "
                    "or more events."
                )
    target = table.columns[model.target_column]
    values = target[known]
    if values.min() == values.max():
        raise DataError(f"{where}.regress.target: is {values[0]:g} in all {len(values)} events; nothing can be learnt.")
    if not np.abs(values).max() < LARGEST:
        raise DataError(f"{where}.regress.target: reaches {np.abs(values).max():g}, too large to compute with.")
    _check_sums(model, table, where, "training", known, table.weight)


def _check_sums(
    model: ModelSpec,
    table: FeatureTable,
    where: str,
    name: str,
    chosen: NDArray[np.bool_],
    weight: NDArray[np.float64],
) -> None:
    """Raise DataError if the `chosen` [n] of a fold's training, or of its validation, have no positive sum of weights.

    These are the events of all other folds, with the weights [n] that remain under the policy for negative ones: the
    weights that a training uses.
    """
    folds = model.folds
    sums = np.zeros((folds, len(TRAINED)))
    for start in range(0, len(table), _BLOCK):
        block = slice(start, start + _BLOCK)
        rows = np.flatnonzero(chosen[block]) + start
        adjusted = negative_weights(weight[rows], model.negative_weights).weight
        np.add.at(sums, (table.fold[rows], table.validation[rows].astype(int)), adjusted)
    for fold, part in np.ndindex(*sums.shape):
        total = float(np.delete(sums[:, part], fold).sum())
        if not total > 0:
            raise DataError(
                f"{where}: the weights of its {name} events add up to {total:.6g} in the {TRAINED[part]} of fold "
                f"{fold}; they must add up to more than 0. Heavy or negative weights of a few events do that: look at "
                "`weight`, use another number of `split.folds`, `negative_weights: absolute`, or more events."
            )


def _check_domain(model: ModelSpec, table: FeatureTable) -> None:
    """Raise DataError unless every domain of a domain loss has events in every fold.

    They must also have weights by which they can be balanced in every fold's training; with `by: class` each class of
    each domain must.
    """
    section = model.domain_section
    if section is None:
        return
    mask, side = table.columns[f"domain:{model.name}:mask"], table.columns[f"domain:{model.name}:side"]
    classes = model.grouping.index(table) if model.domain_classes else None
    for index, key in enumerate(("source", *map(section.key_of, section.targets))):
        where, chosen = f"models.{model.name}.domain.{key}", np.asarray(mask & (side == index))
        for fold in range(model.folds):
            if not np.any(chosen & (table.fold == fold)):
                raise DataError(
                    f"{where}: no event is left in fold {fold} after `rows: "
                    f"{section.rows}` and `selection: {section.selection}`; loosen them."
                )
        _check_part(model, table, where, section.rows, chosen)
        for name in model.domain_classes:
            of_class = chosen & (classes == model.grouping.names.index(name))
            _check_part(model, table, where, name, np.asarray(of_class))


def _check_part(model: ModelSpec, table: FeatureTable, where: str, name: str, chosen: NDArray[np.bool_]) -> None:
    """Raise DataError unless the `chosen` [n] of a domain loss can be trained on in every fold."""
    section, weight = model.domain_section, table.columns[f"domain:{model.name}:weight"]
    for part, validation in zip(TRAINED, (False, True), strict=True):
        if not np.any(chosen & (table.validation == validation)):
            raise DataError(f"{where}: has no {part} events of {name}; loosen its selection or use more events.")
    idle = section is None or section.method_name == "none" or not section.balance
    source = where.endswith(".source")
    if not idle and (source or np.any(weight, where=chosen)):  # a target whose weights are all 0 is not used
        _check_sums(model, table, where, name, chosen, weight)


def check_variations(spec: DatasetSpec, table: FeatureTable, varied: Mapping[str, FeatureTable]) -> None:
    """Raise DataError if events of a domain loss cannot be varied.

    The factor of a weight variation must be finite, and events must be left by the selection of a shape variation.

    Args:
        spec: what determines the tables.
        table: the nominal events.
        varied: the events of shape variations, by name.

    """
    for model in spec.models.values():
        prefix, where = f"domain:{model.name}:", f"models.{model.name}.domain.target.variation"
        for variation in model.variations:
            other = varied.get(variation.name)
            events = table if other is None else other
            chosen = np.asarray(events.columns[prefix + "mask"] & (events.columns[prefix + "side"] == 0))
            if other is not None and not chosen.any():
                raise DataError(f"{where}: {variation.name} leaves no event of the source; look at its branches.")
            if other is None:
                bad = int(np.sum(~np.isfinite(table.columns[f"variation:{variation.name}"][chosen])))
                if bad:
                    raise DataError(
                        f"{where}: the factor systematics.{variation.systematic}.{variation.side} is not a finite "
                        f"number in {bad} selected events of the source; fix the expression (a division by zero?)."
                    )


def _check_ratios(model: ModelSpec, table: FeatureTable) -> None:
    """Raise DataError unless both sides of a reweighting have positive sums of weights.

    They must have them in every part from which a fold's ratio is learnt.
    """
    reweight, domain = model.section.reweight, model.domain_section
    sides = []
    if reweight is not None:
        for side, names in (("source", reweight.source), ("target", reweight.target)):
            sides.append((f"models.{model.name}.reweight.{side}", table.of_samples(names), table.weight))
    if domain is not None and domain.reweight is not None:
        mask, number = table.columns[f"domain:{model.name}:mask"], table.columns[f"domain:{model.name}:side"]
        for index, side in enumerate(("source", "target")):
            chosen = np.asarray(mask & (number == index))
            sides.append(
                (f"models.{model.name}.domain.reweight ({side})", chosen, table.columns[f"domain:{model.name}:weight"])
            )
    for where, chosen, weight in sides:
        rows = np.flatnonzero(chosen)
        sums = np.zeros((model.folds, PARTS))
        adjusted = negative_weights(weight[rows], model.negative_weights).weight
        np.add.at(sums, (table.fold[rows], part_of(table.key[rows], PARTS)), adjusted)
        for fold in range(model.folds):
            sums_of_parts = np.delete(sums, fold, axis=0).sum(
                axis=0
            )  # each part calibrates once; all but two are learnt from
            learnt = sums_of_parts.sum() - sums_of_parts - np.roll(sums_of_parts, -1)
            if not (np.all(sums_of_parts > 0) and np.all(learnt > 0)):
                raise DataError(
                    f"{where}: in the training of fold {fold} one of the {PARTS} parts that the ratio is learnt from "
                    f"has no events or weights that do not add up to more than 0 ({len(rows)} events in all); use "
                    "fewer folds (`split.folds`), a looser selection, more events, or no `reweight`."
                )


def _check_signs(models: Sequence[ModelSpec], table: FeatureTable) -> None:
    """Raise DataError if an event that a model trains on has a negative weight and the policy is `reject`."""
    names = (name for model in models if model.negative_weights == "reject" for name in model.samples)
    for name in dict.fromkeys(names):
        negative = int((table.weight[table.of_samples([name])] < 0).sum())
        if negative:
            raise DataError(
                f"samples.{name}: {negative} events have negative weights and `negative_weights: reject` "
                "forbids them; choose keep, absolute or drop, or other samples."
            )


def evaluation_problems(spec: EvaluationSpec, table: FeatureTable) -> Iterator[str]:
    """Yield a line for each reason why the scores of these events could not be evaluated after a training.

    A run needs a positive sum of weights of every class in every domain, an interval of the AUC in domains with both
    classes, and one bin of the score with enough effective background of the nominal domain among its validation
    events, on which bins are chosen.
    """
    for domain in table.domain_names:
        for name, label in LABELS.items():
            rows = table.of_domain(domain) & (table.label == label)
            total = float(np.sum(table.weight, where=rows))
            if rows.any() and not total > 0:
                yield (
                    f"the {name} events of the domain {domain} have weights that add up to {total:.6g}; to evaluate "
                    "scores they must add up to more than 0. Look at `weight`, or use more events."
                )
    if not spec.classifiers:
        return  # neither bins of a score nor an AUC
    source = table.of_domain(spec.domains.nominal)
    chosen = source & table.validation & (table.label == LABELS["background"])
    n_eff = effective(table.weight[chosen])
    if n_eff < MIN_N_EFF:
        yield (
            f"the {int(chosen.sum())} validation events of the background of {spec.domains.nominal} are worth "
            f"{n_eff:.3g} (n_eff), and the bins of the score need {MIN_N_EFF:g}: {_WAYS_OUT}"
        )
    for domain in labelled_domains(table):
        yield from _resampled(spec, table, domain)


_WAYS_OUT = (
    "cap or cut events of heavy weights (`weight: clip(...)`), raise `split.validation`, loosen the selection or use "
    "more events."
)


def _resampled(spec: EvaluationSpec, table: FeatureTable, domain: str) -> Iterator[str]:
    """Yield a line for each class of which too many bootstrap replicas have no positive sum of weights.

    The replicas are drawn as `hepda.evaluation.roc` draws them.
    """
    rows = np.flatnonzero(table.of_domain(domain) & (table.label >= 0))
    label, weight = table.label[rows], table.weight[rows]
    replicas = spec.replicas
    for name, of in LABELS.items():
        of_class = np.where(label == of, weight, 0.0)
        if not of_class.sum() > 0 or effective(of_class) >= MIN_N_EFF:
            continue  # reported already, or five standard deviations from 0
        failed = sum(float(of_class @ counts) <= 0 for counts in poisson_counts(len(of_class), replicas, spec.seed))
        if failed > MOST_FAILED * replicas or replicas - failed < 2:
            yield (
                f"the {int(np.count_nonzero(label == of))} {name} events of the domain {domain} are worth "
                f"{effective(of_class):.3g} (n_eff): in {failed} of {replicas} bootstrap replicas their weights do not "
                f"add up to more than 0, so there is no interval; {_WAYS_OUT}"
            )
