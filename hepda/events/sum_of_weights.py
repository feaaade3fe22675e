"""`hepda init`: where a file probably stores the sum of weights of all generated events."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from hepda.config import NormalisationConfig
from hepda.errors import HepdaError
from hepda.events.dataset.samples import from_histogram, from_tree
from hepda.events.files.formats import SIDE
from hepda.events.files.opening import EventFile, tree_of

SUMS = re.compile(r"^(gen)?_?(event)?_?sum_?w$|^(total|sum)_?(of)?_?(events?)?_?weight(s|ed)?$", re.IGNORECASE)
"""Names such as NanoAOD's genEventSumw, AnalysisTop's totalEventsWeighted and hepda's own sum_of_weights."""
CROSS_SECTION = re.compile(r"^(cross_?section|xsec|xs)(_pb)?$", re.IGNORECASE)
XAOD = ("CutBookkeepers.sumOfEventWeights", "CutBookkeepers.nAcceptedEvents")
"""An xAOD has a list of bookkeepers; that of all events is the first of those that accepted the most events."""
HISTOGRAMS = (("CutBookkeeper_*_NOSYS", 2), ("*[sS]um*[wW]eight*", None), ("*[sS]umw*", None))
"""Patterns of names of histograms of the sum, and the bin that holds it (None: all bins)."""


@dataclass(frozen=True, slots=True)
class Books:
    """A sum of weights that was found in a file.

    keys: the keys of `normalisation` in the analysis file; total: the sum of weights; cross_section: whether the file
    has the cross section as well.
    """

    keys: dict[str, str | int]
    total: float
    cross_section: bool = False


def books_of(file: EventFile, events: str) -> Books | None:
    """Return the first possible place of the sum of weights that holds a positive number, or None.

    Args:
        file: the file.
        events: name of the tree of events.

    """
    for section in _candidates(file, events):
        keys = section.model_dump(exclude_unset=True)
        try:
            if section.histogram is not None:
                total = from_histogram(file, section.histogram, section.bin)
            else:
                total = float(from_tree(file, section, [section.sum_of_weights])[section.sum_of_weights].sum())
        except HepdaError:  # the name matches, but this is not a sum of weights
            continue
        if np.isfinite(total) and total > 0:
            return Books(keys, total, "cross_section" in keys)
    return None


def _candidates(file: EventFile, events: str) -> Iterator[NormalisationConfig]:
    trees = [name for name in file.do("the list of trees", lambda f: f.trees()) or () if name != events]
    for tree in sorted(trees, key=lambda name: name not in SIDE):
        try:
            names = tree_of(file, file.path, tree).names
        except HepdaError:
            continue
        cross = next((name for name in names if CROSS_SECTION.match(name)), None)
        texts = [f"{XAOD[0]}[argmax({XAOD[1]})]"] if all(name in names for name in XAOD) else []
        for text in [*texts, *(name for name in names if SUMS.match(name))]:
            keys = {"tree": tree, "sum_of_weights": text} | ({} if cross is None else {"cross_section": cross})
            yield NormalisationConfig.model_validate(keys)
    histograms = file.do("the list of histograms", lambda f: f.histograms())
    for pattern, number in HISTOGRAMS:
        if any(fnmatchcase(name, pattern) for name in histograms):
            bin_key = {} if number is None else {"bin": number}
            yield NormalisationConfig.model_validate({"histogram": pattern, **bin_key})
