"""The contents of data as a few numbers for each part, kept in the manifest; later commands compare what they read.

A part is an array with a name: the weights of a sample, the pixels of a test set. Its fingerprint is a checksum of
type, shape and bytes, and for floating-point numbers also three sums for each column: another processor or library may
round a feature in another way, and a run that was copied to such a machine must still be evaluated.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.errors import ConfigError

Parts = Mapping[str, Mapping[str, Any]]
"""Fingerprints by the name of the part, as JSON."""
OPTIONAL = "column "
"""Prefix of the names of parts that may be added to an analysis, or removed from it, after the training."""
ROUNDING = 1e-7
"""Difference of two sums, relative to the sum of absolute values, that rounding can cause."""
_BLOCK = 2**14
_GOLDEN = 0.6180339887498949


def fingerprints(parts: Iterable[tuple[str, NDArray[Any]]]) -> dict[str, dict[str, Any]]:
    """Return the fingerprint of each part, by its name."""
    return {name: fingerprint(values) for name, values in parts}


def fingerprint(values: NDArray[Any]) -> dict[str, Any]:
    """Return the fingerprint of an array [n, ...]: `checksum`, and for floating-point numbers `sums` [columns, 3]."""
    data = np.ascontiguousarray(values)
    value = zlib.crc32(f"{data.dtype.str} {data.shape}".encode())
    value = zlib.crc32(data.reshape(-1).view(np.uint8).data, value) if data.size else value
    result: dict[str, Any] = {"checksum": f"{value:08x}"}
    if data.dtype.kind == "f" and data.ndim in (1, 2):
        # -1 would be ambiguous without rows: a table of variations has none of samples that are not varied.
        result["sums"] = _sums(data.reshape(len(data), *data.shape[1:] or (1,))).tolist()
    return result


def _sums(data: NDArray[Any]) -> NDArray[np.float64]:
    """Return for each column the sum of absolute values, the sum, and the sum with a weight for each row [columns, 3].

    The last one depends on the order of the rows. A number that is not finite counts as 0 in all of them; in addition
    the last sum gets 1 + the weight of its row, so that the number has an effect.
    """
    sums = np.zeros((data.shape[1], 3))
    for start in range(0, len(data), _BLOCK):
        block = np.asarray(data[start : start + _BLOCK], dtype=np.float64)
        weights = np.stack([np.ones(len(block)), np.arange(start, start + len(block)) * _GOLDEN % 1.0])
        finite = np.isfinite(block)
        if not finite.all():
            sums[:, 2] += (1.0 + weights[1]) @ ~finite
            block = np.where(finite, block, 0.0)
        sums[:, 1:] += (weights @ block).T
        sums[:, 0] += weights[0] @ np.abs(block)
    return sums


def equal(recorded: Mapping[str, Any], present: Mapping[str, Any]) -> bool:
    """Return whether two fingerprints are of the same content, except for rounding."""
    if recorded.get("checksum") == present.get("checksum"):
        return True
    first, second = (np.asarray(part.get("sums") or [], dtype=np.float64) for part in (recorded, present))
    if not first.size or first.shape != second.shape:
        return False
    return bool(np.all(np.abs(first - second) <= ROUNDING * first[:, :1]))


def differences(before: Parts, now: Parts) -> list[str]:
    """Return the names of parts that have changed: with other content, removed, or new."""
    names = dict.fromkeys([*before, *now])
    return [
        name
        for name in names
        if not (equal(before[name], now[name]) if name in before and name in now else name.startswith(OPTIONAL))
    ]


def names_text(names: Iterable[str], most: int = 4) -> str:
    """Return the names of parts for a message, only the first of them if there are many."""
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def recorded(run: Path, manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the manifest of a run records of its data: `parts` and `made_of`; None for a run of an earlier hepda.

    Raises:
        ConfigError: the record is damaged.

    """
    if "data" not in manifest:
        return None
    data = manifest["data"]
    parts = data.get("parts") if isinstance(data, dict) else None
    if not isinstance(parts, dict) or not all(isinstance(part, dict) for part in parts.values()):
        raise ConfigError(f"{run / 'manifest.json'}: `data` is damaged; copy the file again, or train again.")
    return {"parts": parts, "made_of": data.get("made_of")}


def complain(run: Path, names: Iterable[str]) -> None:
    """Raise ConfigError if there are parts whose content is not the one that the run was trained on."""
    changed = list(names)
    if changed:
        raise ConfigError(
            f"the data that {run / 'config.yaml'} reads now are not those of the training of {run}: "
            f"{names_text(changed)} differ. Files or the analysis file have changed since. Train again."
        )
