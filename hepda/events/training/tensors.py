"""Conversion of the FeatureTable to the input of the core and the baselines, for one model and one fold.

Rules of physics that are kept here: the class loss sees events with a class, and weights that balance the classes; the
domain loss sees its own samples, rows and physical weights; no event of fold k trains the model of fold k; the rows of
the target carry no class label (except for masks, if there is a domain head for each class).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.adversarial.data.batches import DomainRows, as_tensor
from hepda.adversarial.data.sources import RowSource
from hepda.adversarial.data.stored import RowSubset
from hepda.adversarial.data.weights import class_weights, mean_one, negative_weights
from hepda.baselines.inputs import Features, StoredFeatures
from hepda.config import BdtConfig, NetworkConfig
from hepda.config.events.model_checks import methods_of
from hepda.errors import ConfigError, DataError
from hepda.events.dataset.splits import at_most
from hepda.events.specs import ModelSpec
from hepda.events.table.feature_table import FeatureTable
from hepda.events.table.store import release
from hepda.events.table.truth import truth_of
from hepda.events.training.domain_loss import (
    ADVERSARY,
    VariedEvents,
    VariedRows,
    domain_targets,
    masks_of,
    varied_rows,
    with_extra,
)
from hepda.events.training.objects import set_array, set_rows, stays_on_disk
from hepda.events.training.probabilities import head_of
from hepda.events.training.reweighting import TrainingFactors, source_factors
from hepda.runtime.jobs import TrainingPart

Mask = NDArray[np.bool_]
Array = NDArray[np.float64]
Index = NDArray[np.int32]
_ALL = slice(None)
LARGE = 2**28
"""Size in bytes from which the features of a mapped table stay on the disk and a training reads them in batches.

The order of its rows is then a different one (`adversarial.data.stored`), independently of `--memory`, so no number
depends on `--memory`."""
_BLOCK = 4_000_000
"""Number of rows whose roles are determined at once."""
CLASSES = {"background": 0, "signal": 1}  # classes of a model with one score, and their labels


def held_out(table: FeatureTable, fold: int) -> Mask:
    """Return the mask [n] of the events that the model of this fold scores."""
    return np.asarray(table.fold == fold)


def model_features(
    model: ModelSpec, table: FeatureTable, value: float | None = None, rows: Mask | None = None
) -> NDArray[np.float32] | RowSource:
    """Return what a model reads of the events of a table: float32 [n, k], with a parameter [n, k + 1].

    These are all flat features, or the collections and flat features of a set encoder (`SetLayout`).

    Args:
        model: the model, which may have a parameter.
        table: the events.
        value: value of the parameter for all events; None means 0, the value at which events are scored.
        rows: a mask [n]; None means all events.

    Returns:
        An array, or rows that are still on the disk if the table is large (LARGE).

    Raises:
        ConfigError: a value is given for a model without a parameter.

    """
    if model.parameter is not None:
        n = len(table) if rows is None else int(rows.sum())
        return _features(model, table, rows, np.full(n, 0.0 if value is None else value))
    if value is not None:
        raise ConfigError(f"models.{model.name}: has no `parameter`, so it cannot be scored at {value:g}")
    return _features(model, table, rows, None)


def _features(
    model: ModelSpec, table: FeatureTable, rows: Mask | NDArray[np.int32] | None, column: Array | None
) -> NDArray[np.float32] | RowSource:
    """Return what a model reads of rows, followed by a column if there is one.

    rows: a mask, ascending row numbers, or None for all rows.
    """
    more = None if column is None else column.astype(np.float32)
    if stays_on_disk(model, table, LARGE):
        numbers = np.arange(len(table)) if rows is None else np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        index = numbers.astype(np.int32, copy=False)
        if model.features is not None:
            return set_rows(model, table, index, more)
        return RowSubset(as_tensor(table.features), index, more, partial(release, table.features))
    if model.features is not None:
        return set_array(model, table, rows, more)
    features = table.features if rows is None else table.features[rows]
    return features if more is None else np.concatenate([features, more[:, None]], axis=1)


def training_features(
    model: ModelSpec, table: FeatureTable, rows: NDArray[np.int32]
) -> NDArray[np.float32] | RowSource:
    """Return what a model reads in training, where a parameter has the value of the event's domain."""
    values = model.parameter
    if values is None:
        return _features(model, table, rows, None)
    # NaN for a domain without a value: the checks of the config exclude this in trainings, and the core rejects it
    value_of_domain = np.array([values.get(name, np.nan) for name in table.domain_names])
    return _features(model, table, rows, value_of_domain[table.domain[rows]])


def training_factors(model: ModelSpec, table: FeatureTable, fold: int) -> TrainingFactors:
    """Return the factors of `reweight` and `domain.reweight` for fold `fold`.

    They are computed by models that saw none of the fold's events. Within the training events, the factor of every
    event is computed by a model that did not see it (`density_ratio`).

    Args:
        model: the model.
        table: the events.
        fold: the fold whose events are left out.

    Raises:
        DataError: a side has no events, or too few of them.
        MissingExtraError: the method needs an extra that is not installed.

    """
    reweight, domain = model.section.reweight, model.domain_loss
    trainable, seed = ~held_out(table, fold), model.seed % 2**31
    task: Array | None = None
    other: Array | None = None
    about: dict[str, Any] = {}
    if reweight is not None:
        source, target = (table.of_samples(names) & trainable for names in (reweight.source, reweight.target))
        weight = negative_weights(table.weight, model.negative_weights).weight
        where = f"models.{model.name}.reweight"
        task, about["reweight"] = source_factors(reweight, table, (source, target), weight, seed, where)
    if domain is not None and domain.reweight is not None:
        side, weight, in_domain_loss = _domain_columns(model, table)
        source, target = (in_domain_loss & (side == number) & trainable for number in (0, 1))
        where = f"models.{model.name}.domain.reweight"
        other, about["domain_reweight"] = source_factors(domain.reweight, table, (source, target), weight, seed, where)
    return TrainingFactors(task, other, about)


def network_part(
    model: ModelSpec,
    table: FeatureTable,
    fold: int,
    factors: TrainingFactors | None = None,
    varied: Mapping[str, FeatureTable] | None = None,
) -> TrainingPart:
    """Return the source and target rows of the network `model` for fold `fold`.

    Source rows are all events that the class loss or the source side of the domain loss needs; a row that only one of
    them needs has weight 0 in the other. Target rows are the target side of the domain loss, without labels: other
    events, or variations of the source rows, which stay together with them.

    Args:
        model: the network.
        table: the events.
        fold: the fold whose events are left out.
        factors: the result of `training_factors`; None means that they are computed here.
        varied: the events of shape variations that are a target, by name.

    """
    factors = training_factors(model, table, fold) if factors is None else factors
    domain = model.domain_loss
    class_of = model.grouping.index
    by_class = model.labels if domain is not None and "conditional" in methods_of(domain) else {}
    mapped = stays_on_disk(model, table, LARGE)
    number = np.float32 if mapped else np.float64  # type of the weights; float32 halves the memory of a large table

    def source_rows(index: Index) -> DomainRows:
        label_of_event = model.label_of(table, index)
        target, weight = _task(model, table, index, factors)
        weights = {model.head: weight.astype(number, copy=False)}
        masks = {}
        if domain is not None:
            side, other, in_domain_loss = _domain_columns(model, table, index)
            other = other if factors.domain is None else other * factors.domain[index]
            of_source = in_domain_loss & (side == 0)
            weights[ADVERSARY] = other.astype(number, copy=False)
            masks = {ADVERSARY: of_source} | {name: of_source & (label_of_event == n) for name, n in by_class.items()}
            masks |= {name: of_source & mask for name, mask in masks_of(model, class_of(table, index)).items()}
        targets = {model.head: target} | domain_targets(model, len(index))
        for name in model.event_labels:
            answer = np.where(model.has_target(table, index), truth_of(table, model.grouping, name, index), -1)
            targets[head_of(name)] = np.maximum(answer, 0).astype(np.float32)
            balanced = _label_weights(model, name, answer, _task_weight(model, table, index, factors))
            weights[head_of(name)] = balanced.astype(number, copy=False)
        features = training_features(model, table, index)
        return DomainRows(features, targets=targets, weights=weights, masks=masks)

    def target_rows(index: Index) -> DomainRows | None:
        if domain is None:
            return None
        masks = {name: model.label_of(table, index) == n for name, n in by_class.items()}
        side, weight, _ = _domain_columns(model, table, index)
        weight = weight if factors.domain is None else weight * factors.domain[index]
        features = training_features(model, table, index)
        masks |= masks_of(model, class_of(table, index), side)
        targets = domain_targets(model, len(index), side)
        return DomainRows(features, targets, {ADVERSARY: weight.astype(number, copy=False)}, masks)

    def varied_target(rows: VariedRows) -> DomainRows:
        side = np.repeat(np.arange(1, len(model.targets) + 1, dtype=np.int8), len(rows.class_index))
        class_index = np.tile(rows.class_index, len(model.targets))
        is_signal = np.array([name in model.grouping.signal for name in model.grouping.names], dtype=np.int8)
        label = class_index if model.classes else np.where(class_index >= 0, is_signal[class_index], -1)
        masks = {name: label == n for name, n in by_class.items()} | masks_of(model, class_index, side)
        targets, weights = domain_targets(model, len(side), side), {ADVERSARY: rows.weight.astype(number, copy=False)}
        return DomainRows(rows.target, targets, weights, masks, partners=len(model.targets))

    source, source_validation, target, target_validation = _roles(model, table, fold)
    if domain is not None and model.variations:
        pairs, features_of = [], partial(training_features, model)
        for index, validation in ((source, False), (source_validation, True)):
            rows = varied_rows(model, VariedEvents(table, varied or {}, index, fold, validation, features_of))
            pairs.append((with_extra(source_rows(index), rows), varied_target(rows)))
        return TrainingPart(*pairs[0], *pairs[1])
    return TrainingPart(
        source_rows(source), target_rows(target), source_rows(source_validation), target_rows(target_validation)
    )


def _task(
    model: ModelSpec, table: FeatureTable, index: Index, factors: TrainingFactors
) -> tuple[NDArray[np.float32] | Array, Array]:
    """Return what a model learns of rows of its source, [n], and the weights [n]: 0 for rows that it does not learn of.

    Classes have equal sums of weights. A number is learnt of the physical mixture of the samples, in its units.
    """
    known = model.has_target(table, index)
    weight = _task_weight(model, table, index, factors)
    if model.predicts == "number":
        target = np.where(known, table.columns[model.target_column][index], 0.0)
        return target, mean_one(np.where(known, weight, 0.0))
    label = np.where(known, model.label_of(table, index), -1)
    return np.maximum(label, 0).astype(np.float32), class_weights(label, weight)


def _task_weight(model: ModelSpec, table: FeatureTable, index: Index, factors: TrainingFactors) -> Array:
    """Return the weights [n] of rows of the source, with the policy for negative ones and the reweighting."""
    weight = negative_weights(table.weight[index], model.negative_weights).weight
    return weight if factors.task is None else weight * factors.task[index]


def _label_weights(model: ModelSpec, name: str, answer: NDArray[np.int8], weight: Array) -> Array:
    """Return the weights [n] of events in the loss of a label; 0 where the answer is not known.

    Raises:
        DataError: one of the two answers has no events, or no positive sum of weights.

    """
    try:
        balanced = class_weights(answer, weight)
    except DataError as reason:
        raise DataError(f"models.{model.name}.labels, {name}: {reason}") from reason
    balance = isinstance(model.section, NetworkConfig) and model.section.label_balance
    return balanced if balance else np.where(answer >= 0, weight / np.abs(weight).mean(), 0.0)


def _roles(model: ModelSpec, table: FeatureTable, fold: int) -> tuple[Index, Index, Index, Index]:
    """Return the ascending row numbers of source and target for training and validation.

    The order is source for training, source for validation, target for training, target for validation.
    """
    roles: tuple[list[Index], ...] = ([], [], [], [])
    for start in range(0, len(table), _BLOCK):
        block = slice(start, start + _BLOCK)
        side, _, in_domain_loss = _domain_columns(model, table, block)
        source = model.has_target(table, block) | (side == 0)
        target = (side >= 1) & in_domain_loss
        trainable, validation = table.fold[block] != fold, table.validation[block]
        masks = (source & ~validation, source & validation, target & ~validation, target & validation)
        for role, mask in zip(roles, masks, strict=True):
            role.append((np.flatnonzero(mask & trainable) + start).astype(np.int32))
    source_train, source_validation, target_train, target_validation = (
        np.concatenate([np.zeros(0, np.int32), *role]) for role in roles
    )
    return source_train, source_validation, target_train, target_validation


def _domain_columns(
    model: ModelSpec, table: FeatureTable, rows: Index | slice = _ALL
) -> tuple[NDArray[np.int8], Array, Mask]:
    """Return side, training weight and membership [n] of a model's domain loss.

    The side is 0 for source, the number of the target domain (from 1) for target, -1 for neither.
    """
    name = f"domain:{model.name}:"
    if model.domain_loss is None or name + "side" not in table.columns:
        n = len(table.fold[rows])
        return np.full(n, -1, np.int8), np.zeros(n), np.zeros(n, np.bool_)
    weight = negative_weights(table.columns[name + "weight"][rows], model.negative_weights).weight
    return table.columns[name + "side"][rows], weight, np.asarray(table.columns[name + "mask"][rows], dtype=np.bool_)


def bdt_part(
    model: ModelSpec, table: FeatureTable, fold: int, factors: TrainingFactors | None = None
) -> tuple[tuple[Features, NDArray[np.int8] | Array, Array], ...]:
    """Return (features, label, weight) for training and for validation of the trees `model` of fold `fold`.

    The label is that of the class, or the number that the model predicts.

    All events are used, or as many as the key `events` of the trees sets; these are chosen by hash. The features of a
    large table (LARGE) stay on the disk.

    Args:
        model: the trees.
        table: the events.
        fold: the fold whose events are left out.
        factors: the result of `training_factors`; None means that they are computed here.

    """
    factors = training_factors(model, table, fold) if factors is None else factors
    in_class = model.has_target(table) & ~held_out(table, fold)
    section = model.section
    if isinstance(section, BdtConfig) and section.events is not None:
        in_class = at_most(in_class, table.key, section.events)
    parts: list[tuple[Features, NDArray[np.int8] | Array, Array]] = []
    for mask in (in_class & ~table.validation, in_class & table.validation):
        index = np.flatnonzero(mask).astype(np.int32)
        target, weight = _task(model, table, index, factors)
        number = model.predicts == "number"
        label: Array | NDArray[np.int8] = target.astype(np.float64) if number else target.astype(np.int8)
        stored = StoredFeatures(table.features, index)
        features = stored if stays_on_disk(model, table, LARGE) else stored[:]
        parts.append((features, label, weight))
    return tuple(parts)
