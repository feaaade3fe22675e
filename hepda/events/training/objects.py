"""The input of models with a set encoder: objects of collections and flat features of the table, side by side."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hepda.events.specs import ModelSpec
from hepda.events.table.feature_table import FeatureTable
from hepda.events.table.store import release

if TYPE_CHECKING:
    from hepda.adversarial import DeepSets, SetLayout, SetTransformer
    from hepda.adversarial.data.stored import JoinedRows
    from hepda.config import NetworkConfig

Matrix = NDArray[np.float32]


def matrices_of(model: ModelSpec, table: FeatureTable) -> list[tuple[Matrix, list[int] | None]]:
    """Return the matrices of the table that a model reads, each with the numbers of the columns, None for all.

    A model of flat features reads all of them. A model of sets reads its collections, then its flat features.
    """
    if model.features is None:
        return [(table.features, None)]
    flat = [table.names.index(name) for name in model.features]
    return [*((table.collections[name], None) for name in model.collections), (table.features, flat)]


def stays_on_disk(model: ModelSpec, table: FeatureTable, large: int) -> bool:
    """Return whether what a model reads is mapped from the disk and larger than `large` bytes."""
    matrices = [matrix for matrix, _ in matrices_of(model, table)]
    return all(isinstance(m, np.memmap) for m in matrices) and sum(m.nbytes for m in matrices) > large


def set_rows(model: ModelSpec, table: FeatureTable, rows: NDArray[np.int32], more: Matrix | None) -> JoinedRows:
    """Return the input of a model of sets as rows that are still on the disk.

    Args:
        model: the model.
        table: the events, mapped from the disk.
        rows: ascending row numbers [n].
        more: one more column [n] after the others; None: none.

    """
    from hepda.adversarial.data.batches import as_tensor
    from hepda.adversarial.data.stored import JoinedRows, RowSubset

    parts = matrices_of(model, table)
    columns = [None] * (len(parts) - 1) + [more]
    return JoinedRows(
        [
            RowSubset(as_tensor(matrix), rows, column, partial(release, matrix), numbers)
            for (matrix, numbers), column in zip(parts, columns, strict=True)
        ]
    )


def set_array(model: ModelSpec, table: FeatureTable, rows: NDArray[np.generic] | None, more: Matrix | None) -> Matrix:
    """Return the input of a model of sets in memory, float32 [n, k]; arguments as those of `set_rows`.

    rows: a mask, row numbers, or None for all rows.
    """
    parts = [matrix if rows is None else matrix[rows] for matrix, _ in matrices_of(model, table)]
    flat = matrices_of(model, table)[-1][1]
    parts[-1] = parts[-1][:, flat]
    return np.concatenate([*parts, *([] if more is None else [more[:, None]])], axis=1)


def layout_of(model: ModelSpec) -> SetLayout:
    """Return the layout of the input of a model of sets."""
    from hepda.adversarial import Collection, SetLayout

    collections = tuple(
        Collection(
            name,
            section.size,
            tuple(section.features),
            tuple(None if part == 0 else str(part) for part in section.four_momentum or ()),
        )
        for name, section in model.collections.items()
    )
    return SetLayout(collections, len(model.features or ()) + (model.parameter is not None))


def set_encoder(model: ModelSpec, section: NetworkConfig) -> DeepSets | SetTransformer:
    """Return the encoder of a model of sets, with initial weights.

    Raises:
        TypeError: the model has no set encoder.

    """
    from hepda.adversarial import DeepSets, DeepSetsSettings, SetTransformer, TransformerSettings
    from hepda.config.sets import DeepSetsConfig, TransformerConfig

    encoder, layout = section.set_encoder, layout_of(model)
    if isinstance(encoder, DeepSetsConfig):
        return DeepSets(
            layout,
            DeepSetsSettings(
                encoder.width, encoder.layers, encoder.pooling, encoder.log_energies, section.activation,
                section.dropout,
            ),
        )  # fmt: skip
    if isinstance(encoder, TransformerConfig):
        return SetTransformer(
            layout,
            TransformerSettings(
                encoder.width, encoder.layers, encoder.heads, encoder.feed_forward, encoder.pair_features,
                encoder.log_energies, section.activation, section.dropout,
            ),
        )  # fmt: skip
    raise TypeError(f"{model.name} has no set encoder")
