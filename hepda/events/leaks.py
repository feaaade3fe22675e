"""Detection, before a training, of features that reveal the class, the domain or the event.

A model that reads the number of the sample, a label or a weight separates perfectly and measures nothing; one that
reads the number of an event memorises events. The result is a warning, because a feature may really be that good.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hepda.evaluation.roc import area
from hepda.events.dataset.plan import ReadingPlan, make_plan
from hepda.events.expressions.parser import Expression, dotted_name, needed_names
from hepda.events.identifiers import ROLES, role_of
from hepda.events.specs import DatasetSpec
from hepda.events.table.feature_table import FeatureTable

MOST_ROWS = 200_000
"""Largest number of events, evenly distributed over all, on which features are evaluated."""
TELLING = 0.99
"""AUC of a single feature from which it gets a warning that it reveals class or domain."""
COPY = 0.999
"""Correlation from which a feature gets a warning that it is what a model shall predict."""
FEWEST = 20
"""Smallest number of events of each side for a meaningful AUC."""
MANY = 100
"""Number of events from which integers that never repeat are not accidental."""


def spread(n: int) -> NDArray[np.int64]:
    """Return the numbers of at most MOST_ROWS of n rows, evenly distributed."""
    return np.arange(n) if n <= MOST_ROWS else np.linspace(0, n - 1, MOST_ROWS).astype(np.int64)


def leaks(spec: DatasetSpec, table: FeatureTable) -> list[str]:
    """Return a line for each feature that looks like a leak, with every reason: its name, its AUC, its values."""
    rows = spread(len(table))
    compared = _ComparedRows(spec, table, rows)
    names = _by_name(spec, make_plan(spec))
    lines = []
    for i, feature in enumerate(table.names):
        values = np.asarray(table.features[rows, i])
        reasons = [*names.get(feature, ()), *compared.reasons(values), *_copies(spec, table, rows, values)]
        if reasons:
            lines.append(
                f"the feature {feature} {'; it '.join(reasons)}. A model with this input may learn it instead of "
                "physics: remove it from `features` unless it is intended"
            )
    return lines


# --- by name ------------------------------------------------------------------------------------------------------


def _by_name(spec: DatasetSpec, plan: ReadingPlan) -> dict[str, list[str]]:
    """Return the reasons by feature that follow from names.

    A feature is suspicious if it is, or is computed from, a branch that names an event, a sample, a label or a weight.
    """
    reasons_of: dict[str, dict[str, None]] = {}
    for name, sample in spec.samples.items():
        variables = plan.variables_of(name)
        factors = _factors(plan.weights[name], variables) if name in plan.weights else set()
        for feature in plan.features:
            sole_branch = _plain(feature, variables)
            for branch in sorted(needed_names([feature], variables)):
                original = sample.aliases.get(branch, branch)
                what = _what(spec.split.key, branch, original)
                if what is None and sole_branch == branch and branch in factors:
                    what = "a factor of `weight`"
                if what is not None:
                    verb = "is" if sole_branch == branch else "is computed from"
                    reasons_of.setdefault(feature.text, {})[f"{verb} the branch {original}, {what}"] = None
    return {feature: list(reasons) for feature, reasons in reasons_of.items()}


def _what(key: Sequence[str], branch: str, original: str) -> str | None:
    if branch in key:
        return "a branch of `split.key`"
    role = role_of(branch) or role_of(original)
    return None if role is None else f"by its name {ROLES[role]}"


def _plain(expression: Expression, variables: dict[str, Expression]) -> str | None:
    """Return the branch that an expression consists of, or None.

    The expression must be only a name; variables that are only names are followed.
    """
    name = dotted_name(expression.tree)
    while name is not None and name in variables:
        name = dotted_name(variables[name].tree)
    return name


def _factors(weight: Expression, variables: dict[str, Expression]) -> set[str]:
    """Return the branches that a weight is a product of."""
    branches: set[str] = set()

    def walk(node: ast.expr) -> None:
        name = dotted_name(node)
        if name is not None and name in variables:
            walk(variables[name].tree)
        elif name is not None:
            branches.add(name)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
            walk(node.left)
            walk(node.right)

    walk(weight.tree)
    return branches


# --- by numbers ---------------------------------------------------------------------------------------------------


class _ComparedRows:
    """The rows on which features are evaluated, and the groups of rows that are compared."""

    def __init__(self, spec: DatasetSpec, table: FeatureTable, rows: NDArray[np.int64]) -> None:
        label, domain = table.label[rows], table.domain[rows]
        self.sample = table.sample[rows]
        self.pairs: list[tuple[str, NDArray[np.intp], NDArray[np.intp]]] = []
        names = dict.fromkeys(name for model in spec.models.values() for name in model.samples)
        trained = table.of_samples(list(names))[rows]
        nominal = spec.domains[0]
        self._add("signal from background", trained & (label == 1), trained & (label == 0))
        index = spec.classes.index(table)[rows]
        for number, name in enumerate(() if spec.classes.is_binary else spec.classes.names):
            self._add(f"{name} from the other classes", trained & (index == number), trained & (index != number))
        first = domain == table.domain_names.index(nominal)
        for number, name in enumerate(table.domain_names):
            other = domain == number
            if name == nominal or not other.any():
                continue
            what = f"the domain {name} from {nominal}"
            if np.all(label[other] < 0):
                self._add(what, other, first & (label >= 0))
            for value, of in ((1, "signal"), (0, "background")):
                self._add(f"{what} ({of})", other & (label == value), first & (label == value))

    def _add(self, what: str, first: NDArray[np.bool_], second: NDArray[np.bool_]) -> None:
        if min(int(first.sum()), int(second.sum())) >= FEWEST:
            self.pairs.append((what, np.flatnonzero(first), np.flatnonzero(second)))

    def reasons(self, values: NDArray[np.floating]) -> Iterator[str]:
        """Yield the reasons why a feature with these values [rows] is suspicious."""
        if values.min() == values.max():
            return  # a constant contains no information
        different, which = np.unique(values, return_inverse=True)  # sorted once for all pairs
        for what, *sides in self.pairs:
            separation = _separation(*(np.bincount(which[side], minlength=len(different)) for side in sides))
            if separation > TELLING:
                yield f"separates {what} by itself (AUC {separation:.4f})"
        parts = [values[self.sample == number] for number in np.unique(self.sample)]
        if all(part.min() == part.max() for part in parts):
            yield "has one value in each sample"
        if sum(map(len, parts)) >= MANY and all(map(_never_repeats, parts)):
            yield "is an integer that never repeats within a sample, like an event number"


def _copies(
    spec: DatasetSpec, table: FeatureTable, rows: NDArray[np.int64], values: NDArray[np.floating]
) -> Iterator[str]:
    """Yield a reason for each number that a model predicts and that a feature, with these values [rows], nearly is."""
    for model in spec.numbers.values():
        known = model.has_target(table)[rows]
        target, feature = table.columns[model.target_column][rows][known], values[known].astype(np.float64)
        if len(target) < MANY or np.ptp(target) == 0 or np.ptp(feature) == 0:
            continue
        correlation = float(np.corrcoef(feature, target)[0, 1])
        if abs(correlation) >= COPY:
            yield f"is nearly the target of {model.name} (correlation {correlation:.4f})"


def _separation(first: NDArray[np.intp], second: NDArray[np.intp]) -> float:
    """Return the AUC, at least 0.5, of the best classifier by one feature.

    If the feature has few different values, these may be ordered in any way.

    Args:
        first: number of events of one side at each value, rising [u].
        second: the same of the other side [u].

    """
    events = first + second
    present = events > 0
    if np.count_nonzero(present) <= max(2, int(events.sum()) // 20):
        _, rank = np.unique(first[present] / events[present], return_inverse=True)
        first, second = (np.bincount(rank, weights=side[present]) for side in (first, second))
    separation = area(first.astype(np.float64), second.astype(np.float64))
    return max(separation, 1.0 - separation)


def _never_repeats(values: NDArray[np.floating]) -> bool:
    """Return whether these are different integers.

    Features are float32, which rounds different numbers above 2**24 to the same value; this is taken into account.
    """
    if not np.array_equal(values, np.rint(values)):
        return False
    different, times = np.unique(values, return_counts=True)
    rounded = np.maximum(np.spacing(np.abs(different).astype(np.float32)), 1.0)
    return bool(np.all(times <= np.where(rounded > 1.0, rounded + 1.0, 1.0)))
