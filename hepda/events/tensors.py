"""From the FeatureTable to what the core and the baselines train on: one model, one fold.

Physics rules that are kept here: the class loss sees events with a class and weights that balance the classes;
the domain loss sees its own samples, rows and physical weights; nothing of fold k trains the model of fold k; the
target's rows carry no class label at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hepda.adversarial.batches import Rows
from hepda.adversarial.weights import class_weights, negative_weights
from hepda.config import AnalysisConfig, NetworkConfig
from hepda.events.table import FeatureTable

Mask = NDArray[np.bool_]
ADVERSARY = "adversary"  # the mask of source rows that the domain head sees, and the name of its weights


@dataclass(frozen=True, slots=True)
class Part:
    """The events of one training: rows to train on and to validate on, of the source and of the target."""

    source: Rows
    target: Rows | None
    source_validation: Rows
    target_validation: Rows | None


def held_out(table: FeatureTable, fold: int) -> Mask:
    """Events [n] that the model of this fold scores."""
    return np.asarray(table.fold == fold)


def network_part(config: AnalysisConfig, table: FeatureTable, model: str, fold: int) -> Part:
    """Source and target rows of the network `model` for fold `fold`.

    Source rows: every event that the class loss or the source side of the domain loss needs; a row outside
    one of them has weight 0 there. Target rows: the target side of the domain loss, without labels.
    """
    section = config.models[model]
    in_class = table.of_samples(config.training_samples(model))
    weight = negative_weights(table.weight, config.negative_weights).weight
    trainable = ~held_out(table, fold)
    side, domain_weight, seen = _domain_columns(config, table, model)
    source = in_class | (side == 0)
    has_domain = isinstance(section, NetworkConfig) and section.domain is not None

    def source_rows(mask: Mask) -> Rows:
        label = np.where(in_class, table.label, -1)[mask]
        weights = {"class": class_weights(label, weight[mask])}
        masks = {}
        if has_domain:
            weights[ADVERSARY] = domain_weight[mask]
            masks[ADVERSARY] = (seen & (side == 0))[mask]
        target = np.maximum(label, 0).astype(np.float32)
        return Rows(table.features[mask], targets={"class": target}, weights=weights, masks=masks)

    def target_rows(mask: Mask) -> Rows | None:
        return Rows(table.features[mask], weights={ADVERSARY: domain_weight[mask]}) if has_domain else None

    target = (side == 1) & seen
    validating = trainable & table.validation
    training = trainable & ~table.validation
    return Part(
        source_rows(source & training),
        target_rows(target & training),
        source_rows(source & validating),
        target_rows(target & validating),
    )


def _domain_columns(
    config: AnalysisConfig, table: FeatureTable, model: str
) -> tuple[NDArray[np.int8], NDArray[np.float64], Mask]:
    """Side (0 source, 1 target, -1 neither), training weight and membership [n] of a model's domain loss."""
    name = f"domain:{model}:"
    if name + "side" not in table.columns:
        n = len(table)
        return np.full(n, -1, np.int8), np.zeros(n), np.zeros(n, np.bool_)
    weight = negative_weights(table.columns[name + "weight"], config.negative_weights).weight
    return table.columns[name + "side"], weight, np.asarray(table.columns[name + "mask"], dtype=np.bool_)


def bdt_part(
    config: AnalysisConfig, table: FeatureTable, model: str, fold: int
) -> tuple[tuple[NDArray[np.float32], NDArray[np.int8], NDArray[np.float64]], ...]:
    """(features, label, weight) to train on and to validate on, for the trees `model` of fold `fold`."""
    in_class = table.of_samples(config.training_samples(model)) & ~held_out(table, fold)
    weight = negative_weights(table.weight, config.negative_weights).weight
    parts = []
    for mask in (in_class & ~table.validation, in_class & table.validation):
        label = table.label[mask]
        parts.append((table.features[mask], label, class_weights(label, weight[mask])))
    return tuple(parts)
