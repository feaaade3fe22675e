"""The table of an analysis as numbers: features, classes, weights, domains, folds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hepda.adversarial.data.weights import negative_weights
from hepda.config.tabular import TabularConfig
from hepda.errors import DataError
from hepda.tabular.reading import as_text, features_of, read_table

MOST_CATEGORIES = 100
"""Values of a categorical feature, at most: each is an input of the models."""
UNKNOWN = -1
"""The label of a row whose class is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class DataTable:
    """The rows of an analysis that have a domain, in the order of the files.

    Attributes:
        row: number of each row in the joined files, from 0 [n].
        features: what models read, float32 [n, k].
        names: of the features [k].
        label: class numbers [n]; UNKNOWN where the class is not known.
        classes: names of the classes, sorted.
        weight: signed weights [n].
        domain: domain numbers [n]: 0 is the source.
        domains: names of the domains; `targets` of them, after the source, are adapted to.
        targets: how many.
        fold: the fold whose models score a row [n].
        validation: whether a row chooses when a training stops [n].

    """

    row: NDArray[np.int64]
    features: NDArray[np.float32]
    names: tuple[str, ...]
    label: NDArray[np.int64]
    classes: tuple[str, ...]
    weight: NDArray[np.float64]
    domain: NDArray[np.int8]
    domains: tuple[str, ...]
    targets: int
    fold: NDArray[np.int8]
    validation: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.row)

    @property
    def in_source(self) -> NDArray[np.bool_]:
        """Return which rows are of the source [n]."""
        return np.asarray(self.domain == 0)

    @property
    def in_target(self) -> NDArray[np.bool_]:
        """Return which rows are of the domains that are adapted to [n]."""
        return np.asarray((self.domain > 0) & (self.domain <= self.targets))


def load(
    config: TabularConfig, progress: Callable[[str, int, int], None]
) -> tuple[DataTable, dict[str, int], list[str]]:
    """Read and check everything.

    Args:
        config: the analysis.
        progress: called with "files", how many are read, and how many there are.

    Returns:
        The table, the number of rows of each file, and what a reader of the results has to know.

    Raises:
        SourceError: a file is missing or cannot be read, or a column is missing.
        DataError: a domain or a class is empty, or values cannot be used.

    """
    frame, files = read_table(config, progress)
    domains, domain = _domains(config, frame)
    warnings = []
    if (domain < 0).any():
        number = int((domain < 0).sum())
        warnings.append(f"{number} of {len(frame)} rows are of no domain of `domain` and are left out.")
    kept = np.flatnonzero(domain >= 0)
    frame, domain = frame.iloc[kept], domain[kept]
    classes, label = _classes(config, frame, domain, domains)
    features, names = _features(config, frame, domain == 0)
    key = _key(config, frame, features)
    fold = (_hashed(key, "fold") % np.uint64(config.split.folds)).astype(np.int8)
    uniform = (_hashed(key, "validation") >> np.uint64(11)).astype(np.float64) * 2.0**-53
    weight = _weights(config, frame)
    table = DataTable(
        kept.astype(np.int64), features, names, label, classes, weight, domain, domains, len(config.domain.target),
        fold, np.asarray(uniform < config.split.validation),
    )  # fmt: skip
    problems = list(_empty_parts(table, config.split.folds))
    if problems:
        raise DataError("\n".join(problems))
    return table, files, [*warnings, *_absent_classes(table)]


def _domains(config: TabularConfig, frame: pd.DataFrame) -> tuple[tuple[str, ...], NDArray[np.int8]]:
    """Return the names of the domains, the source first, and the number of each row's; -1 for rows of none."""
    section = config.domain
    groups = [section.source, *((value,) for value in (*section.target, *section.held_out))]
    values = as_text(frame[section.column])
    domain = np.full(len(frame), -1, np.int8)
    for number, group in enumerate(groups):
        for value in group:
            rows = (values == value).to_numpy()
            if not rows.any():
                there = ", ".join(map(str, sorted(values.dropna().unique())[:20]))
                raise DataError(f"domain: no row has {value!r} in the column {section.column!r}; it has: {there}.")
            domain[rows] = number
    return tuple(" + ".join(group) for group in groups), domain


def _classes(
    config: TabularConfig, frame: pd.DataFrame, domain: NDArray[np.int8], domains: Sequence[str]
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the names of the classes, and the class number of each row."""
    values = as_text(frame[config.label])
    unlabelled = int(values[domain == 0].isna().sum())
    if unlabelled:
        raise DataError(
            f"label: {unlabelled} rows of the source ({domains[0]}) have no {config.label!r}; leave them out."
        )
    classes = tuple(sorted(values[domain == 0].unique(), key=_in_order))
    if len(classes) < 2:
        raise DataError(f"label: the source ({domains[0]}) has the class {classes[0]!r} alone; a classifier needs two.")
    for number, name in enumerate(domains):
        alien = sorted(set(values[domain == number].dropna()) - set(classes))
        if alien:
            raise DataError(
                f"label: {name} has the class {alien[0]!r}, which the source ({domains[0]}) has not, so no model can "
                f"learn it. The source has: {', '.join(classes[:20])}. Leave its rows out, or clear their label."
            )
    codes = {value: number for number, value in enumerate(classes)}
    return classes, values.map(codes).fillna(UNKNOWN).to_numpy(np.int64)


def _in_order(value: str) -> tuple[bool, float, str]:
    """Return what sorts numbers by value, and then texts."""
    try:
        return False, float(value), value
    except ValueError:
        return True, 0.0, value


def _weights(config: TabularConfig, frame: pd.DataFrame) -> NDArray[np.float64]:
    if config.weight is None:
        return np.ones(len(frame))
    weight = _numbers(frame[config.weight], f"weight: the column {config.weight!r}")
    bad = int((~np.isfinite(weight)).sum())
    if bad:
        raise DataError(f"weight: the column {config.weight!r} is missing or infinite in {bad} of {len(weight)} rows.")
    if config.negative_weights == "reject":
        negative_weights(weight, "reject")
    return weight


def _numbers(column: pd.Series[Any], what: str, hint: str = "") -> NDArray[np.float64]:
    """Return a column as float64, missing values as NaN. Raises DataError for text."""
    try:
        return np.asarray(pd.to_numeric(column).astype(np.float64).to_numpy(na_value=np.nan), dtype=np.float64)
    except (ValueError, TypeError):
        numbers = pd.to_numeric(column, errors="coerce")
        text = next((str(value) for value in column[numbers.isna() & column.notna()]), "?")
        raise DataError(f"{what} is not numeric: it has {text[:40]!r}.{hint}") from None


def _features(
    config: TabularConfig, frame: pd.DataFrame, in_source: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return what models read [n, k], and the names of its columns: `colour=red` of a category."""
    columns: dict[str, NDArray[np.float32]] = {}
    for name in features_of(config, frame.columns):
        if name in config.categorical:
            text = as_text(frame[name])
            values = sorted(text[in_source].dropna().unique(), key=_in_order)
            if not 1 <= len(values) <= MOST_CATEGORIES:
                raise DataError(
                    f"categorical: {name!r} has {len(values)} values in the source, and may have 1 to "
                    f"{MOST_CATEGORIES}; join rare ones, or leave the column out by `ignore`."
                )
            columns |= {f"{name}={value}": (text == value).to_numpy(np.float32) for value in values}
            continue
        hint = " Name it in `categorical` (an input for each value) or in `ignore`."
        numbers = _numbers(frame[name], f"features: the column {name!r}", hint)
        if np.isinf(numbers).any() or (np.abs(numbers) > np.finfo(np.float32).max).any():
            raise DataError(f"features: the column {name!r} has values that are infinite or beyond 3e38.")
        columns[name] = np.where(np.isnan(numbers), config.missing, numbers).astype(np.float32)
    return np.stack(list(columns.values()), axis=1), tuple(columns)


def _key(config: TabularConfig, frame: pd.DataFrame, features: NDArray[np.float32]) -> NDArray[Any]:
    """Return what decides a row's fold [n]: equal keys, or equal features, are never in two folds."""
    if not config.split.key:
        return pd.util.hash_pandas_object(pd.DataFrame(features), index=False).to_numpy()
    parts = [as_text(frame[name]) for name in config.split.key]
    for name, part in zip(config.split.key, parts, strict=True):
        if part.isna().any():
            raise DataError(f"split.key: the column {name!r} is missing in {int(part.isna().sum())} rows.")
    return pd.util.hash_pandas_object(pd.concat(parts, axis=1), index=False).to_numpy()


def _hashed(key: NDArray[Any], purpose: str) -> NDArray[np.uint64]:
    """Return a hash of each key, another one for each purpose."""
    return pd.util.hash_array(key.astype(str).astype(object), hash_key=f"{purpose:16}")


def _empty_parts(table: DataTable, folds: int) -> Iterator[str]:
    """Yield a problem for each training that would have no rows of a class or of a target."""
    for fold in range(folds):
        for word, part in (("train", ~table.validation), ("validate", table.validation)):
            rows = part & (table.fold != fold)
            for number, name in enumerate(table.classes):
                if not table.weight[rows & table.in_source & (table.label == number)].sum() > 0.0:
                    yield (
                        f"split: of the class {name!r}, the source has no rows of positive total weight to {word} the "
                        f"models of fold {fold}; the class is too small, or `split.key` has too few values."
                    )
            if not table.weight[rows & table.in_target].sum() > 0.0:
                yield f"split: the target has no rows of positive total weight to {word} the models of fold {fold}."
    for number, name in enumerate(table.domains):
        if not table.weight[table.domain == number].sum() > 0.0:
            yield f"domain: the weights of {name} do not add up to more than 0."


def _absent_classes(table: DataTable) -> Iterator[str]:
    for number, domain in enumerate(table.domains[1:], 1):
        known = set(table.label[table.domain == number].tolist()) - {UNKNOWN}
        absent = [name for code, name in enumerate(table.classes) if known and code not in known]
        if absent:
            yield (
                f"{domain} has no row with the label {', '.join(absent)}: a domain loss assumes that the classes have "
                "similar shares in both domains."
            )
