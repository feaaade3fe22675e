"""Reduction of the number of evaluated events, if there are more than any figure or interval needs.

Every number of the evaluation needs all scores in order, or hundreds of replicas of them. This limits, in time and
memory, how many events can be evaluated; it does not limit what more events could show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.events.dataset.splits import is_chosen
from hepda.events.domains.roles import LABELS
from hepda.events.table.feature_table import FeatureTable
from hepda.events.table.store import TableWriter, full_disk

Array = NDArray[Any]
_BLOCK = 1_000_000
"""Number of events that are processed at once."""


def shares_of(most: int, table: FeatureTable) -> dict[tuple[str, str], float]:
    """Return the share of the events that is evaluated, by domain and class, if it is not all of them.

    Data are always evaluated completely.

    Args:
        most: largest number of evaluated events of a class in a domain.
        table: the events.

    """
    counts: dict[tuple[str, str], int] = {}
    for block in _blocks(table):
        for number, domain in enumerate(table.domain_names):
            inside = table.domain[block] == number
            for name, label in LABELS.items():
                in_block = int(np.count_nonzero(inside & (table.label[block] == label)))
                counts[domain, name] = counts.get((domain, name), 0) + in_block
    return {key: most / count for key, count in counts.items() if count > most}


def thinned(
    table: FeatureTable, scores: Mapping[str, Array], shares: Mapping[tuple[str, str], float], folder: Path
) -> tuple[FeatureTable, dict[str, Array]]:
    """Write the events that are evaluated, and their scores, to the disk.

    The order is that of the table. Events are chosen by the hash of their key. The weights of the remaining events of a
    sample are multiplied by the ratio of the numbers of events before and after.

    Args:
        table: all events.
        scores: the score [n] of each model.
        shares: share of the events that is kept, by domain and class; see `shares_of`.
        folder: folder of the new table and its scores.

    Returns:
        The chosen events and the score of each model for them, both stored in `folder`.

    Raises:
        StorageError: the disk is full.

    """
    chosen = np.concatenate([_kept(table, shares, block) for block in _blocks(table)])
    heavier = _counts(table, np.ones_like(chosen)) / np.maximum(_counts(table, chosen), 1)
    writer = TableWriter(folder, dict.fromkeys(table.columns, np.nan))
    evaluated = {model: np.empty(int(chosen.sum()), np.float32) for model in scores}
    done = 0
    try:
        for block in _blocks(table):
            rows = np.flatnonzero(chosen[block]) + block.start
            part = table.select(rows)
            part.weight[:] *= heavier[part.sample]
            writer.append(part)
            for model, score in scores.items():
                evaluated[model][done : done + len(rows)] = score[rows]
            done += len(rows)
        small = writer.finish()
    except BaseException:
        writer.abandon()
        raise
    stored = {model: _stored(folder / f"score{i}.npy", score) for i, (model, score) in enumerate(evaluated.items())}
    return small, stored


def _stored(path: Path, values: Array) -> Array:
    """Store numbers in a file and return them as a memory map, so that processes share them by the file."""
    with full_disk(path.parent):
        np.save(path, values, allow_pickle=False)
    stored: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    return stored


def _blocks(table: FeatureTable) -> Iterator[slice]:
    return (slice(start, min(start + _BLOCK, len(table))) for start in range(0, len(table), _BLOCK))


def _kept(table: FeatureTable, shares: Mapping[tuple[str, str], float], block: slice) -> NDArray[np.bool_]:
    share = np.ones((len(table.domain_names), 3))  # the last column belongs to label -1: data
    for (domain, name), value in shares.items():
        share[table.domain_names.index(domain), LABELS[name]] = value
    share_of_event = share[table.domain[block], table.label[block]]
    return is_chosen(table.key[block], share_of_event)


def _counts(table: FeatureTable, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the number of events of the mask in each sample."""
    names = len(table.sample_names)
    parts = (np.bincount(table.sample[block][mask[block]], minlength=names) for block in _blocks(table))
    return np.asarray(sum(parts, np.zeros(names, np.int64)), dtype=np.float64)


def as_text(shares: Mapping[tuple[str, str], float]) -> str:
    """Return the shares formatted as text, for the terminal and the report."""
    parts = ", ".join(f"{100 * share:.3g} % of the {name} of {domain}" for (domain, name), share in shares.items())
    return (
        f"Numbers and figures of scores and features are those of {parts}, selected by hash of the event key and "
        "weighted up (`evaluation.events`); yields of samples, scores.parquet and the trainings include all events."
    )
