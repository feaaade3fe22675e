"""How many objects of collections there are, and how many of them are cut off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from hepda.config.sets import CollectionConfig
from hepda.events.table.feature_table import FeatureTable

_BLOCK = 1_000_000
"""Number of events that are counted at once."""


@dataclass(frozen=True, slots=True)
class ObjectCount:
    """The objects of a collection in the selected events of a sample.

    mean, most: of the number of objects of an event; size: how many are kept; cut_off: share of all objects that are
    not kept; events: share of events that lose one.
    """

    collection: str
    sample: str
    mean: float
    most: int
    size: int
    cut_off: float
    events: float


def object_counts(collections: Mapping[str, CollectionConfig], table: FeatureTable) -> list[ObjectCount]:
    """Return the numbers of objects of every collection in every sample that has events.

    Args:
        collections: the collections of the analysis.
        table: the events.

    """
    counts = []
    for name, section in collections.items():
        for number, sample in enumerate(table.sample_names):
            total, kept, most, events, cut = 0, 0, 0, 0, 0
            for start in range(0, len(table), _BLOCK):
                block = slice(start, start + _BLOCK)
                found = table.collections[name][block, 0][table.sample[block] == number].astype(np.int64)
                if len(found):
                    total, kept = total + int(found.sum()), kept + int(np.minimum(found, section.size).sum())
                    most, events = max(most, int(found.max())), events + len(found)
                    cut += int(np.count_nonzero(found > section.size))
            if events:
                share = (total - kept) / total if total else 0.0
                counts.append(ObjectCount(name, sample, total / events, most, section.size, share, cut / events))
    return counts


def cut_off_lines(counts: list[ObjectCount]) -> Iterator[str]:
    """Yield a line for each collection of which objects are cut off: their share by sample."""
    for name in dict.fromkeys(count.collection for count in counts):
        of = [count for count in counts if count.collection == name]
        if any(count.cut_off > 0 for count in of):
            listed = ", ".join(f"{count.sample} {count.cut_off:.2%}" for count in of)
            yield f"objects of the collection {name} after the {of[0].size} that are kept are cut off: {listed}"
