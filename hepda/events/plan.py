"""What has to be read and worked out for each sample, known and checked before anything is read."""

from __future__ import annotations

import ast
from collections.abc import Collection
from dataclasses import dataclass

from hepda.config import AnalysisConfig, NetworkConfig
from hepda.errors import ConfigError, ExpressionError, nearest
from hepda.events.expressions import Expression, check_names, needed_names, parse

PHYSICAL = "physical"
"""The name of the physical weight in a domain's weight and in `columns`."""


@dataclass(frozen=True, slots=True)
class DomainPlan:
    """One model's domain head on one sample; weight None is the physical weight, as it is for data."""

    side: int
    picks_rows: bool
    selection: Expression | None
    weight: Expression | None


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """Expressions of one sample; weight None is 1 (data); columns: those whose branches the sample has."""

    features: tuple[Expression, ...]
    cuts: tuple[Expression, ...]
    weight: Expression | None
    columns: dict[str, Expression]
    domains: dict[str, DomainPlan]
    branches: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All parsed expressions of an analysis; `for_sample` checks them against a sample's branches."""

    config: AnalysisConfig
    variables: dict[str, Expression]
    features: tuple[Expression, ...]
    cuts: tuple[Expression, ...]
    weights: dict[str, Expression]
    columns: dict[str, Expression]
    domains: dict[str, tuple[Expression | None, Expression | None]]

    def for_sample(self, name: str, branches: Collection[str], path: str) -> SamplePlan:
        """The plan of a sample whose files have `branches`; `path` is named in messages.

        Raises ExpressionError for a name that is neither a variable nor a branch, with the nearest one.
        """
        sample = self.config.samples[name]
        weight = self.weights.get(name)
        domains = self._domains_of(name)
        needed = [*self.features, *self.cuts, *([weight] if weight else [])]
        own = [e for plan in domains.values() for e in (plan.selection, plan.weight) if e is not None]
        check_names(needed, self.variables, branches, path)
        check_names(own, self.variables, {*branches, PHYSICAL}, path)
        columns = {}
        for column, expression in self.columns.items():
            if needed_names([expression], self.variables) <= {*branches, PHYSICAL}:
                columns[column] = expression
            elif not sample.is_data:
                check_names([expression], self.variables, {*branches, PHYSICAL}, path)
        names = needed_names([*needed, *own, *columns.values()], self.variables) - {PHYSICAL}
        return SamplePlan(self.features, self.cuts, weight, columns, domains, tuple(sorted(names)))

    def _domains_of(self, name: str) -> dict[str, DomainPlan]:
        """What the sample gives to the domain heads of the models."""
        sample = self.config.samples[name]
        plans = {}
        for model, (selection, weight) in self.domains.items():
            section = self.config.models[model]
            if not isinstance(section, NetworkConfig) or section.domain is None:
                continue
            side = 0 if name in section.domain.source else 1 if name in section.domain.target else -1
            if side >= 0:
                rows = section.domain.rows in ("all", sample.class_)
                plans[model] = DomainPlan(side, rows, selection, None if sample.is_data else weight)
        return plans


def make_plan(config: AnalysisConfig) -> Plan:
    """Parse every expression of the analysis. Raises ExpressionError."""
    variables = {name: parse(text, f"variables.{name}") for name, text in config.variables.items()}
    if PHYSICAL in variables:
        raise ExpressionError(
            f"variables.{PHYSICAL}: the name is taken by the physical weight; choose another."
        )
    features = tuple(parse(name, f"features: {name}") for name in config.features)
    for feature in features:
        if not isinstance(feature.tree, ast.Name | ast.Attribute):
            raise ExpressionError(
                f"{feature.what}: a feature is the name of a variable or of a branch; "
                "give the expression a name in `variables` first."
            )
    weights = {
        name: parse(sample.weight or config.weight, f"samples.{name}.weight" if sample.weight else "weight")
        for name, sample in config.samples.items()
        if not sample.is_data or sample.weight
    }
    domains: dict[str, tuple[Expression | None, Expression | None]] = {}
    for model, section in config.models.items():
        if isinstance(section, NetworkConfig) and section.domain is not None:
            where, own = f"models.{model}.domain", section.domain
            selection = parse(own.selection, f"{where}.selection") if own.selection else None
            weight = None if own.weight.strip() == PHYSICAL else parse(own.weight, f"{where}.weight")
            domains[model] = (selection, weight)
    plan = Plan(
        config=config,
        variables=variables,
        features=features,
        cuts=cuts_of(config.selection),
        weights=weights,
        columns={name: parse(text, f"columns.{name}") for name, text in config.columns.items()},
        domains=domains,
    )
    needed_names(variables.values(), variables)  # circles are refused even where nothing uses them
    return plan


def check_plots(config: AnalysisConfig, branches: Collection[str]) -> None:
    """Raise ConfigError for a name in `plots` that is neither a variable nor a branch of any sample."""
    known = list(dict.fromkeys([*config.features, *config.variables, *branches]))
    for name in config.plots:
        if name not in known:
            raise ConfigError(f"plots.{name}: there is no such feature or variable.{nearest(name, known)}")


def cuts_of(selection: str | None) -> tuple[Expression, ...]:
    """The parts of a selection that are joined by `&` or `and`, for the cut flow."""
    if selection is None:
        return ()
    whole = parse(selection, "selection")
    parts: list[ast.expr] = []

    def split(node: ast.expr) -> None:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd):
            split(node.left)
            split(node.right)
        elif isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
            for value in node.values:
                split(value)
        else:
            parts.append(node)

    split(whole.tree)
    # Bits of flags (`flags & 2`) are not two conditions: such a selection stays whole.
    if not all(isinstance(part, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Call) for part in parts):
        return (whole,)
    return tuple(parse(ast.get_source_segment(whole.text, part) or whole.text, "selection") for part in parts)
