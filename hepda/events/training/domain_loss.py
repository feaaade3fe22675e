"""What a domain loss compares: several target domains, a class each, and variations of the events of the source.

The masks of rows have the names that `Comparison.mask` gives: `adversary` for all rows of a domain loss, followed by
the target domain of a pair and by the class of a group.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepda.adversarial.data.batches import DomainRows
from hepda.adversarial.data.sources import RowSource
from hepda.adversarial.data.weights import negative_weights
from hepda.adversarial.methods import Comparison
from hepda.events.specs import ModelSpec
from hepda.events.table.feature_table import FeatureTable

if TYPE_CHECKING:
    import pandas as pd

Mask = NDArray[np.bool_]
Array = NDArray[np.float64]
Index = NDArray[np.int32]
Features = NDArray[np.float32] | RowSource
ADVERSARY = "adversary"
"""The mask of the source rows that the domain loss sees, and the name of its weights."""


def identifiers(names: Sequence[str]) -> tuple[str, ...]:
    """Return names as parts of the names of heads and terms: `Wg1+jets` becomes `Wg1_jets`."""
    return tuple(re.sub(r"\W", "_", name) for name in names)


def comparison_of(model: ModelSpec, comparison: Comparison) -> Comparison:
    """Return a comparison of two domains with the target domains and the classes of the model's domain loss."""
    targets = model.targets
    pairs = identifiers(targets) if len(targets) > 1 else ()
    groups = identifiers(model.domain_classes)
    return replace(comparison, domains=1 + max(1, len(targets)), pairs=pairs, groups=groups)


def masks_of(model: ModelSpec, class_index: NDArray[np.int8], domain: NDArray[Any] | None = None) -> dict[str, Mask]:
    """Return the masks [n] of target domains and classes that the parts of a domain loss name.

    Args:
        model: the model.
        class_index: position of the class of each row in `model.grouping.names` [n].
        domain: number of the target domain of each row, from 1; None for source rows, which are in every pair.

    """
    comparison = comparison_of(model, Comparison(1, rows=ADVERSARY))
    everything = np.ones(len(class_index), dtype=np.bool_)
    pairs = {"": everything}
    pairs |= {
        name: everything if domain is None else np.asarray(domain == number)
        for number, name in enumerate(comparison.pairs, 1)
    }
    groups = {"": everything}
    for group, name in zip(comparison.groups, model.domain_classes, strict=True):
        groups[group] = np.asarray(class_index == model.grouping.names.index(name))
    masks = {
        comparison.mask(pair, group): of_pair & of_group
        for pair, of_pair in pairs.items()
        for group, of_group in groups.items()
    }
    del masks[ADVERSARY]
    return masks


def domain_targets(model: ModelSpec, rows: int, domain: NDArray[Any] | None = None) -> dict[str, NDArray[np.float32]]:
    """Return the numbers of the domains of rows as a target, 0 for the source; empty for two domains."""
    if len(model.targets) < 2:
        return {}
    return {"domain": np.zeros(rows, np.float32) if domain is None else domain.astype(np.float32)}


@dataclass(frozen=True, slots=True)
class VariedRows:
    """The events of a source, nominal and varied.

    source: features of the events [n, k], then of the `extra` events that only variations select; target: those of the
    first variation [n + extra, k], then of the second, ...; weight: in the domain loss, of the target rows, 0 where
    the variation does not select the event; class_index: of the source rows.
    """

    source: Features
    extra: int
    target: Features
    weight: Array
    class_index: NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class VariedEvents:
    """Nominal and varied events, and which of them are those of a training.

    nominal: the table; varied: the events of the source with the branches of a shape variation, by its name; index: the
    rows of the source in the nominal table; fold, validation: of the training; features: from a table and rows to what
    the model reads.
    """

    nominal: FeatureTable
    varied: Mapping[str, FeatureTable]
    index: Index
    fold: int
    validation: bool
    features: Callable[[FeatureTable, Index], Features]


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The varied events of a training that its domain loss sees: rows of their table, and what identifies them."""

    table: FeatureTable
    rows: Index
    identity: pd.MultiIndex


def varied_rows(model: ModelSpec, events: VariedEvents) -> VariedRows:
    """Return the source rows of a domain loss with its variations as target.

    A weight variation has the same events with other weights; a shape variation has events of the same run and event
    number, read with other branches. An event that only one of them selects has weight 0 in the other one.

    Args:
        model: the model.
        events: nominal and varied events.

    """
    table, index = events.nominal, events.index
    shapes = {v.name: _chosen(model, events, v.name) for v in model.variations if v.name in events.varied}
    if not shapes:
        weight = np.concatenate([_weight(model, events, variation.name) for variation in model.variations])
        features = events.features(table, np.tile(index, len(model.variations)))
        classes = model.grouping.index(table, index)
        return VariedRows(events.features(table, index), 0, features, _policy(model, weight), classes)
    nominal = _identity(table, index)
    everything = nominal
    for shape in shapes.values():
        everything = everything.append(shape.identity[everything.get_indexer(shape.identity) < 0])
    extra = everything[len(nominal) :]
    features, classes = _extra_events(model, events, shapes, extra)
    source = np.concatenate([np.asarray(events.features(table, index)), features])
    targets, weights = [], []
    for variation in model.variations:
        part, weight = source, np.append(_weight(model, events, variation.name), np.zeros(len(extra)))
        if variation.name in shapes:
            shape = shapes[variation.name]
            position = shape.identity.get_indexer(everything)
            selected = position >= 0
            part, rows = source.copy(), shape.rows[position[selected]]
            part[selected] = np.asarray(events.features(shape.table, rows))
            weight[selected] = shape.table.columns[f"domain:{model.name}:weight"][rows]
        targets.append(part)
        weights.append(weight)
    class_index = np.concatenate([model.grouping.index(table, index), classes])
    return VariedRows(source, len(extra), np.concatenate(targets), _policy(model, np.concatenate(weights)), class_index)


def _policy(model: ModelSpec, weight: Array) -> Array:
    return negative_weights(weight, model.negative_weights).weight


def _weight(model: ModelSpec, events: VariedEvents, variation: str) -> Array:
    """Return the weights of the nominal events [n] in a variation, before those of the events of a shape variation.

    For a shape variation the latter replace them; events of samples that it does not act on keep their weights.
    """
    table, index, prefix = events.nominal, events.index, f"domain:{model.name}:"
    in_loss = np.asarray(table.columns[prefix + "mask"][index]) & (table.columns[prefix + "side"][index] == 0)
    weight: Array = np.where(in_loss, table.columns[prefix + "weight"][index], 0.0)
    if variation in events.varied:
        return np.where(np.isin(table.sample[index], np.unique(events.varied[variation].sample)), 0.0, weight)
    # the factor of an event outside the domain loss may be anything
    return np.where(in_loss, weight * np.where(in_loss, table.columns[f"variation:{variation}"][index], 0.0), 0.0)


def _chosen(model: ModelSpec, events: VariedEvents, variation: str) -> _Chosen:
    table, prefix = events.varied[variation], f"domain:{model.name}:"
    chosen = np.asarray(table.columns[prefix + "mask"]) & (table.columns[prefix + "side"] == 0)
    chosen &= (table.fold != events.fold) & (table.validation == events.validation)
    rows = np.flatnonzero(chosen).astype(np.int32)
    return _Chosen(table, rows, _identity(table, rows))


def _extra_events(
    model: ModelSpec, events: VariedEvents, shapes: Mapping[str, _Chosen], extra: pd.MultiIndex
) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Return features and class of events that only variations select: those of the first variation that has them."""
    class_index = np.full(len(extra), -1, dtype=np.int8)
    parts = []
    for shape in shapes.values():
        position = shape.identity.get_indexer(extra)
        new = (class_index < 0) & (position >= 0)
        rows = shape.rows[position[new]]
        parts.append((new, np.asarray(events.features(shape.table, rows))))
        class_index[new] = model.grouping.index(shape.table, rows)
    features = np.zeros((len(extra), parts[0][1].shape[1]), dtype=np.float32)
    for new, part in parts:
        features[new] = part
    return features, class_index


def _identity(table: FeatureTable, rows: Index) -> pd.MultiIndex:
    """Return what identifies events: sample and key, and a number for events of the same key."""
    import pandas as pd  # half a second that only variations need

    frame = pd.DataFrame({"sample": np.asarray(table.sample[rows]), "key": np.asarray(table.key[rows])})
    frame["number"] = frame.groupby(["sample", "key"]).cumcount()
    return pd.MultiIndex.from_frame(frame)


def with_extra(rows: DomainRows, varied: VariedRows) -> DomainRows:
    """Return source rows followed by the extra events of variations, which count nothing as source rows."""
    if not varied.extra:
        return rows

    def padded(values: Any) -> NDArray[Any]:
        values = np.asarray(values)
        return np.concatenate([values, np.zeros((varied.extra, *values.shape[1:]), values.dtype)])

    return DomainRows(
        varied.source,
        {name: padded(values) for name, values in rows.targets.items()},
        {name: padded(values) for name, values in rows.weights.items()},
        {name: padded(values) for name, values in rows.masks.items()},
    )
