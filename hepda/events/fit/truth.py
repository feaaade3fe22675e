"""The labels of pseudo-data events from separate files, used for the closure of a fit and for nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config.events.analysis import TruthConfig
from hepda.errors import DataError
from hepda.events.dataset.samples import duplicates
from hepda.events.dataset.splits import event_key
from hepda.events.domains.roles import blinded_domains
from hepda.events.domains.spec import Domains
from hepda.events.expressions.evaluator import Evaluator
from hepda.events.expressions.parser import Expression, check_names, needed_names, parse
from hepda.events.files.opening import expand, integers, open_tree
from hepda.events.specs import DatasetSpec
from hepda.events.table.feature_table import FeatureTable


def read_truth(spec: DatasetSpec, domains: Domains, table: FeatureTable) -> NDArray[np.int8]:
    """Return the labels [n] of the events, including those of pseudo-data whose `truth` is given.

    The files of blinded data are not opened.

    Args:
        spec: the samples, with their `truth`.
        domains: which domains are blinded.
        table: the events.

    Raises:
        HepdaError: a file, tree, branch or expression is wrong, or the files do not contain each event exactly once.

    """
    label = np.array(table.label, dtype=np.int8)
    hidden = blinded_domains(domains, table)
    for name, sample in spec.samples.items():
        if sample.truth is None or sample.domain in hidden:
            continue
        truth_keys, signal = _labels(spec, name, sample.truth)
        mask = table.of_samples([name])
        order = np.argsort(truth_keys)
        keys = table.key[mask]
        positions = np.minimum(np.searchsorted(truth_keys[order], keys), max(len(truth_keys) - 1, 0))
        missing = len(keys) if not len(truth_keys) else int(np.sum(truth_keys[order][positions] != keys))
        if missing:
            raise DataError(
                f"samples.{name}.truth: {missing} of {len(keys)} selected events are in none of its files; name the "
                "files that belong to the sample."
            )
        label[mask] = signal[order][positions]
    return label


def check_truth(spec: DatasetSpec, domains: Domains) -> None:
    """Open the files of every `truth` and check that they have what is needed; open none if data are blinded.

    Raises:
        HepdaError: a file, tree, branch or expression is wrong.

    """
    if domains.hidden is not None:
        return
    for name, sample in spec.samples.items():
        if sample.truth is None:
            continue
        condition, paths = _condition(sample.truth, f"samples.{name}.truth")
        for path in paths:
            with open_tree(path, sample.truth.tree or spec.tree) as tree:
                check_names([condition], {}, tree.branches, path, tree.refused)
                tree.require(spec.split.key)


def _condition(section: TruthConfig, where: str) -> tuple[Expression, list[str]]:
    return parse(section.signal, f"{where}.signal"), expand(section.files, f"{where}.files")


def _labels(spec: DatasetSpec, name: str, section: TruthConfig) -> tuple[NDArray[np.uint64], NDArray[np.int8]]:
    """Return keys and labels of all events in the files of the truth."""
    where = f"samples.{name}.truth"
    condition, paths = _condition(section, where)
    branches = sorted(needed_names([condition], {}))
    keys: list[NDArray[Any]] = [np.zeros(0, np.uint64)]
    labels: list[NDArray[Any]] = [np.zeros(0, np.int8)]
    for path in paths:
        with open_tree(path, section.tree or spec.tree) as tree:
            check_names([condition], {}, tree.branches, path, tree.refused)
            columns = tree.read([*spec.split.key, *branches])
            keys.append(event_key(*(integers(columns[key], f"{path}: {key!r}") for key in spec.split.key)))
            is_signal, gone = Evaluator({n: columns[n] for n in branches}, {}, tree.entries).truth(condition)
            if gone is not None and gone.any():
                entry = int(np.flatnonzero(gone)[0])
                raise DataError(
                    f"{where}.signal ({condition.text}): is missing in {int(gone.sum())} events, first in entry "
                    f"{entry} of {path}; a label must be known. Give what is missing a value by default()."
                )
            labels.append(np.asarray(is_signal, dtype=np.int8))
    key = np.concatenate(keys)
    if twice := duplicates(key):
        raise DataError(f"{where}: contains {twice} events more than once; see `split.key`.")
    return key, np.concatenate(labels)
