"""`good_lumi(file, run, luminosity_block)`: whether data are certified, by the JSON file of a data-quality group.

The file is a mapping from run numbers to lists of ranges of luminosity blocks, ends included, as CMS publishes it
(https://twiki.cern.ch/twiki/bin/view/CMSPublic/SWGuideGoodLumiSectionsJSONFile): `{"284036": [[1, 10], [12, 400]]}`.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.events.expressions.columns import Column, Value, ValueProblem
from hepda.events.expressions.lists import elementwise
from hepda.events.expressions.tables.documents import content_of

_LARGEST = 2**31 - 1
"""Largest number of a run or of a luminosity block."""
Ranges = tuple[NDArray[np.int64], NDArray[np.int64]]
"""First and last number of each range, ascending: run * 2^32 + luminosity block."""


def read_ranges(path: Path) -> Ranges:
    """Return the ranges of a file, sorted, with those that overlap or touch joined.

    Raises:
        ValueProblem: the file is no JSON, or of another form.

    """
    raw = path.read_bytes()
    try:
        content = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
    except (ValueError, OSError, EOFError) as error:
        raise ValueProblem(f"is given {path}, which is no JSON file: {error}") from error
    if not isinstance(content, dict) or not content:
        raise ValueProblem(f'is given {path}, which is no mapping of runs to ranges: {{"284036": [[1, 10], ...]}}')
    ranges = sorted(_range(path, run, pair) for run, pairs in content.items() for pair in _pairs(path, run, pairs))
    joined: list[list[int]] = []
    for first, last in ranges:
        if joined and first <= joined[-1][1] + 1:
            joined[-1][1] = max(joined[-1][1], last)
        else:
            joined.append([first, last])
    ends = np.array(joined, dtype=np.int64).reshape(-1, 2)
    return ends[:, 0], ends[:, 1]


def _pairs(path: Path, run: str, pairs: Any) -> list[Any]:
    if not (run.isascii() and run.isdigit() and int(run) <= _LARGEST):
        raise ValueProblem(f"is given {path}, in which {run!r} is no number of a run")
    if not isinstance(pairs, list):
        raise ValueProblem(f"is given {path}, in which run {run} has no list of ranges, but {str(pairs)[:40]}")
    return pairs


def _range(path: Path, run: str, pair: Any) -> tuple[int, int]:
    """Return a range of luminosity blocks of a run as numbers of `Ranges`."""
    whole = isinstance(pair, list) and len(pair) == 2 and all(type(end) is int for end in pair)
    if not whole or not 0 <= pair[0] <= pair[1] <= _LARGEST:
        raise ValueProblem(
            f"is given {path}, in which run {run} has {str(pair)[:40]}: a range is two whole numbers, the smaller one "
            "first, as in [1, 10]"
        )
    return (int(run) << 32) + pair[0], (int(run) << 32) + pair[1]


def good_lumi(path: str, run: Value, block: Value) -> Value:
    """Return whether the luminosity block of each event is in a range of its run.

    Args:
        path: the JSON file, plain or compressed by gzip.
        run: the numbers of the runs.
        block: the numbers of the luminosity blocks.

    Raises:
        ValueProblem: the file is not usable, or the numbers are no integers.

    """
    first, last = content_of(path, read_ranges)
    for name, value in (("run", run), ("luminosity block", block)):
        if not isinstance(value, Column) or value.values.dtype.kind not in "iu":
            raise ValueProblem(f"takes the {name} as a branch of integers")

    def listed(runs: NDArray[Any], blocks: NDArray[Any]) -> NDArray[np.bool_]:
        usable = (runs >= 0) & (runs <= _LARGEST) & (blocks >= 0) & (blocks <= _LARGEST)
        number = (np.where(usable, runs, 0).astype(np.int64) << 32) + np.where(usable, blocks, 0).astype(np.int64)
        place = np.searchsorted(first, number, side="right") - 1
        inside = np.zeros(len(number), dtype=bool) if not len(last) else number <= last[np.maximum(place, 0)]
        return np.asarray(usable & (place >= 0) & inside)

    return elementwise(listed, run, block)


def check_good_lumi(*arguments: Any) -> None:
    """Raise ValueProblem if the file of a call cannot be used; arguments that are no text are None."""
    content_of(arguments[0], read_ranges)
