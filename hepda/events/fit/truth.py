"""Which events of pseudo-data are signal, as other files tell it: for the closure of a fit, and for nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config import AnalysisConfig
from hepda.config.events.analysis import TruthConfig
from hepda.errors import DataError
from hepda.events.dataset.samples import duplicates
from hepda.events.dataset.splits import event_key
from hepda.events.dataset.table import FeatureTable
from hepda.events.expressions.evaluator import Evaluator
from hepda.events.expressions.parser import Expression, check_names, needed_names, parse
from hepda.events.files.opening import expand, integers, open_tree
from hepda.events.results.blinding import blinded_domains, hidden_range


def read_truth(config: AnalysisConfig, table: FeatureTable) -> NDArray[np.int8]:
    """The labels [n] of the events, with those of pseudo-data whose `truth` is given; blinded data are not opened.

    Raises:
        HepdaError: a file, tree, branch or expression is wrong, or an event is not told of once.

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
    """Open the files of every `truth` and look for what they are asked for; none where data are blinded.

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
                check_names([condition], {}, tree.branches, path)
                tree.require(config.split.key)


def _asked(section: TruthConfig, where: str) -> tuple[Expression, list[str]]:
    return parse(section.signal, f"{where}.signal"), expand(section.files, f"{where}.files")


def _told(config: AnalysisConfig, name: str, section: TruthConfig) -> tuple[NDArray[np.uint64], NDArray[np.int8]]:
    """Keys and labels of all events in the truth's files."""
    where = f"samples.{name}.truth"
    condition, paths = _asked(section, where)
    branches = sorted(needed_names([condition], {}))
    keys: list[NDArray[Any]] = [np.zeros(0, np.uint64)]
    labels: list[NDArray[Any]] = [np.zeros(0, np.int8)]
    for path in paths:
        with open_tree(path, section.tree or config.tree) as tree:
            check_names([condition], {}, tree.branches, path)
            columns = tree.read([*config.split.key, *branches])
            keys.append(event_key(*(integers(columns[key], f"{path}: {key!r}") for key in config.split.key)))
            found = Evaluator({n: columns[n] for n in branches}, {}, tree.entries).condition(condition)
            labels.append(np.asarray(found, dtype=np.int8))
    key = np.concatenate(keys)
    if twice := duplicates(key):
        raise DataError(f"{where}: tells of {twice} events more than once; see `split.key`.")
    return key, np.concatenate(labels)
