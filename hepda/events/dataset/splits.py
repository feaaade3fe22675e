"""The choice of training, validation and test events by a hash of the key, so that order and files do not matter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

_VALIDATION = np.uint64(0xD1B54A32D192ED03)
"""Makes the choice of validation events independent of that of folds."""
_SHARE = np.uint64(0xA24BAED4963EE407)
"""Makes the choice of a fraction of the events independent of all other choices."""
_PART = np.uint64(0x8CB92BA72F3D8DD7)
"""Makes the parts of a reweighting independent of the choice of folds and of validation events."""
_THRESHOLD = np.uint64(0xE7037ED1A0B428DB)
"""Makes the events that choose a threshold independent of all other choices."""

PARTS = 5
"""Number of parts of the training events: three train, one calibrates, one is weighted."""


def splitmix64(values: NDArray[np.integer[Any]]) -> Keys:
    """Return the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection of 64-bit numbers."""
    x = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x


def event_key(*parts: NDArray[np.integer[Any]]) -> Keys:
    """Return a hash of run, event and whatever else identifies it: uint64 [n]. Parts are integers of up to 64 bits."""
    key = np.zeros(len(parts[0]), dtype=np.uint64)
    for part in parts:
        key = splitmix64(key ^ splitmix64(part))
    return key


def fold_of(key: Keys, folds: int) -> NDArray[np.int8]:
    """Return the fold of each event, 0 to folds - 1, int8 [n]."""
    return (key % np.uint64(folds)).astype(np.int8)


def is_validation(key: Keys, fraction: float) -> NDArray[np.bool_]:
    """Choose a `fraction` of the events by hash, bool [n]; independent of the fold."""
    uniform = (splitmix64(key ^ _VALIDATION) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.asarray(uniform < fraction)


def is_chosen(key: Keys, share: float | NDArray[np.float64]) -> NDArray[np.bool_]:
    """Choose a `share` of the events (or each event's own [n]) by hash, bool [n]; independent of all other choices."""
    uniform = (splitmix64(key ^ _SHARE) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.asarray(uniform < share)


def at_most(mask: NDArray[np.bool_], key: Keys, most: int) -> NDArray[np.bool_]:
    """Return the events of a mask [n], or about `most` of them, chosen by hash, if they are more."""
    count = int(mask.sum())
    return mask if count <= most else np.asarray(mask & is_chosen(key, most / count))


def chooses_threshold(key: Keys, share: float) -> NDArray[np.bool_]:
    """Choose a `share` of the events by hash, bool [n]: those that choose a threshold and are not judged at it."""
    uniform = (splitmix64(key ^ _THRESHOLD) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.asarray(uniform < share)


def part_of(key: Keys, parts: int) -> NDArray[np.int8]:
    """Return the part of each event, 0 to parts - 1, int8 [n]; independent of fold and validation."""
    return (splitmix64(key ^ _PART) % np.uint64(parts)).astype(np.int8)
