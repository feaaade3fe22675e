"""The labels and classes of pseudo-data events from separate files, which no training reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
from hepda.events.expressions.names import check_names
from hepda.events.expressions.parser import Expression, needed_names, parse
from hepda.events.files.opening import expand, integers, open_tree
from hepda.events.specs import DatasetSpec
from hepda.events.table.feature_table import FeatureTable


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What is known of events, including those of pseudo-data whose `truth` is given.

    label [n]: as of the table; class_index [n]: as of `Classes.index`; both are -1 where they are not known.
    """

    label: NDArray[np.int8]
    class_index: NDArray[np.int8]

    @classmethod
    def read(cls, spec: DatasetSpec, domains: Domains, table: FeatureTable) -> Truth:
        """Read what the files of `truth` say; those of blinded data are not opened.

        Args:
            spec: the samples, with their `truth`.
            domains: which domains are blinded.
            table: the events.

        Raises:
            HepdaError: a file, tree, branch or expression is wrong, the files do not contain each event exactly once,
                or an event is not of exactly one class.

        """
        label = np.array(table.label, dtype=np.int8)
        class_index = np.array(spec.classes.index(table), dtype=np.int8)
        for name, section in _opened(spec, domains, table):
            mask = table.of_samples([name])
            if section.classes:
                of_class = _matched(spec, name, section, _of_classes(section, name), table.key[mask])
                positions = [spec.classes.names.index(class_name) for class_name in section.classes]
                class_index[mask] = np.array(positions, dtype=np.int8)[of_class]
            if section.signal is None:
                is_signal = np.array([class_name in spec.classes.signal for class_name in section.classes])
                label[mask] = is_signal[of_class]
            else:
                condition = {f"samples.{name}.truth.signal": section.signal}
                label[mask] = 1 - _matched(spec, name, section, condition, table.key[mask])
        return cls(label, class_index)


def _opened(spec: DatasetSpec, domains: Domains, table: FeatureTable) -> Iterator[tuple[str, TruthConfig]]:
    """Yield each sample whose `truth` may be opened, and that section."""
    hidden = blinded_domains(domains, table)
    for name, sample in spec.samples.items():
        if sample.truth is not None and sample.domain not in hidden:
            yield name, sample.truth


def _of_classes(section: TruthConfig, name: str) -> dict[str, str]:
    return {f"samples.{name}.truth.classes.{class_name}": text for class_name, text in section.classes.items()}


def _matched(
    spec: DatasetSpec, name: str, section: TruthConfig, conditions: Mapping[str, str], keys: NDArray[np.uint64]
) -> NDArray[np.int8]:
    """Return for each event [n] which of the conditions holds in the files of the truth; see `_conditions_met`."""
    truth_keys, met = _conditions_met(spec, name, section, conditions)
    order = np.argsort(truth_keys)
    positions = np.minimum(np.searchsorted(truth_keys[order], keys), max(len(truth_keys) - 1, 0))
    missing = len(keys) if not len(truth_keys) else int(np.sum(truth_keys[order][positions] != keys))
    if missing:
        raise DataError(
            f"samples.{name}.truth: {missing} of {len(keys)} selected events are in none of its files; name the "
            "files that belong to the sample."
        )
    return met[order][positions]


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
        where = f"samples.{name}.truth"
        texts = _of_classes(sample.truth, name)
        texts |= {f"{where}.signal": sample.truth.signal} if sample.truth.signal is not None else {}
        conditions = [parse(text, what) for what, text in texts.items()]
        for path in expand(sample.truth.files, f"{where}.files"):
            with open_tree(path, sample.truth.tree or spec.tree) as tree:
                check_names(conditions, {}, tree.branches, path, tree.refused)
                tree.require(spec.split.key)


def _conditions_met(
    spec: DatasetSpec, name: str, section: TruthConfig, texts: Mapping[str, str]
) -> tuple[NDArray[np.uint64], NDArray[np.int8]]:
    """Return keys of all events in the files of the truth, and the number of the condition that holds for each.

    Of several conditions, exactly one must hold. A single one has the number 0 where it holds, and 1 elsewhere.
    """
    where = f"samples.{name}.truth"
    conditions = [parse(text, what) for what, text in texts.items()]
    keys: list[NDArray[Any]] = [np.zeros(0, np.uint64)]
    numbers: list[NDArray[Any]] = [np.zeros(0, np.int8)]
    for path in expand(section.files, f"{where}.files"):
        with open_tree(path, section.tree or spec.tree) as tree:
            check_names(conditions, {}, tree.branches, path, tree.refused)
            of_file = [condition.in_file(tree.branches) for condition in conditions]
            branches = sorted(needed_names(of_file, {}))
            columns = tree.read([*spec.split.key, *branches])
            keys.append(event_key(*(integers(columns[key], f"{path}: {key!r}") for key in spec.split.key)))
            evaluator = Evaluator({n: columns[n] for n in branches}, {}, tree.entries)
            met = np.stack([_truth_values(evaluator, condition, path) for condition in of_file])
            if len(conditions) == 1:
                met = np.concatenate([met, ~met])
            elif (wrong := met.sum(axis=0) != 1).any():
                entry = int(np.flatnonzero(wrong)[0])
                raise DataError(
                    f"{where}.classes: {int(wrong.sum())} events are of no class or of several, first entry {entry} of "
                    f"{path}, for which {int(met[:, entry].sum())} of the {len(conditions)} conditions hold."
                )
            numbers.append(met.argmax(axis=0).astype(np.int8))
    key = np.concatenate(keys)
    if twice := duplicates(key):
        raise DataError(f"{where}: contains {twice} events more than once; see `split.key`.")
    return key, np.concatenate(numbers)


def _truth_values(evaluator: Evaluator, condition: Expression, path: str) -> NDArray[np.bool_]:
    values, gone = evaluator.truth(condition)
    if gone is not None and gone.any():
        entry = int(np.flatnonzero(gone)[0])
        raise DataError(
            f"{condition.what} ({condition.text}): is missing in {int(gone.sum())} events, first in entry {entry} of "
            f"{path}; a label must be known. Give what is missing a value by default()."
        )
    return values
