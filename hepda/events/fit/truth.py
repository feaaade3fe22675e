"""The labels of pseudo-data events from separate files, used for the closure of a fit and for nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config import AnalysisConfig
from hepda.config.events.analysis import TruthConfig
from hepda.errors import DataError
from hepda.events.dataset.samples import duplicates
from hepda.events.dataset.splits import event_key
from hepda.events.domains.blinding import blinded_domains, hidden_range
from hepda.events.expressions.evaluator import Evaluator
from hepda.events.expressions.parser import Expression, check_names, needed_names, parse
from hepda.events.files.opening import expand, integers, open_tree
from hepda.events.table.feature_table import FeatureTable


def read_truth(config: AnalysisConfig, table: FeatureTable) -> NDArray[np.int8]:
    """Return the labels [n] of the events, including those of pseudo-data whose `truth` is given.

    The files of blinded data are not opened.

    Args:
        config: the analysis.
        table: the events.

    Raises:
        HepdaError: a file, tree, branch or expression is wrong, or the files do not contain each event exactly once.

    """
    label = np.array(table.label, dtype=np.int8)
    hidden = blinded_domains(config, table)
    for name, sample in config.samples.items():
        if sample.truth is None or sample.domain in hidden:
            continue
        known, signal = _told(config, name, sample.truth)
        mask = table.of_samples([name])
        order = np.argsort(known)
        wanted = table.key[mask]
        at = np.minimum(np.searchsorted(known[order], wanted), max(len(known) - 1, 0))
        missing = len(wanted) if not len(known) else int(np.sum(known[order][at] != wanted))
        if missing:
            raise DataError(
                f"samples.{name}.truth: {missing} of {len(wanted)} selected events are in none of its files; name the "
                "files that belong to the sample."
            )
        label[mask] = signal[order][at]
    return label


def check_truth(config: AnalysisConfig) -> None:
    """Open the files of every `truth` and check that they have what is needed; open none if data are blinded.

    Raises:
        HepdaError: a file, tree, branch or expression is wrong.

    """
    if hidden_range(config) is not None:
        return
    for name, sample in config.samples.items():
        if sample.truth is None:
            continue
        condition, paths = _asked(sample.truth, f"samples.{name}.truth")
        for path in paths:
            with open_tree(path, sample.truth.tree or config.tree) as tree:
                check_names([condition], {}, tree.branches, path, tree.refused)
                tree.require(config.split.key)


def _asked(section: TruthConfig, where: str) -> tuple[Expression, list[str]]:
    return parse(section.signal, f"{where}.signal"), expand(section.files, f"{where}.files")


def _told(config: AnalysisConfig, name: str, section: TruthConfig) -> tuple[NDArray[np.uint64], NDArray[np.int8]]:
    """Return keys and labels of all events in the files of the truth."""
    where = f"samples.{name}.truth"
    condition, paths = _asked(section, where)
    branches = sorted(needed_names([condition], {}))
    keys: list[NDArray[Any]] = [np.zeros(0, np.uint64)]
    labels: list[NDArray[Any]] = [np.zeros(0, np.int8)]
    for path in paths:
        with open_tree(path, section.tree or config.tree) as tree:
            check_names([condition], {}, tree.branches, path, tree.refused)
            columns = tree.read([*config.split.key, *branches])
            keys.append(event_key(*(integers(columns[key], f"{path}: {key!r}") for key in config.split.key)))
            found, gone = Evaluator({n: columns[n] for n in branches}, {}, tree.entries).truth(condition)
            if gone is not None and gone.any():
                entry = int(np.flatnonzero(gone)[0])
                raise DataError(
                    f"{where}.signal ({condition.text}): is missing in {int(gone.sum())} events, first in entry "
                    f"{entry} of {path}; a label must be known. Give what is missing a value by default()."
                )
            labels.append(np.asarray(found, dtype=np.int8))
    key = np.concatenate(keys)
    if twice := duplicates(key):
        raise DataError(f"{where}: tells of {twice} events more than once; see `split.key`.")
    return key, np.concatenate(labels)
