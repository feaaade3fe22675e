"""The branches and expressions that each sample needs, determined and checked before anything is read."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from hepda.errors import ConfigError, ExpressionError, nearest
from hepda.events.expressions.branch_names import is_name
from hepda.events.expressions.parser import (
    CONSTANTS,
    Expression,
    check_names,
    is_condition,
    needed_names,
    parse,
    refuse_constant,
)
from hepda.events.specs import DatasetSpec, RegionSpec

PHYSICAL = "physical"
"""The name of the physical weight in a domain's weight and in `columns`."""


@dataclass(frozen=True, slots=True)
class DomainPlan:
    """One model's domain head on one sample.

    side: 0 source, 1 target; picks_rows: whether the head uses events of this sample's class; weight: None is the
    physical weight, which data always have.
    """

    side: int
    picks_rows: bool
    selection: Expression | None
    weight: Expression | None


@dataclass(frozen=True, slots=True)
class RegionPlan:
    """Columns of one region: its selection (None: every event) and its variable (None: an output of a model)."""

    spec: RegionSpec
    selection: Expression | None
    variable: Expression | None

    @property
    def expressions(self) -> list[Expression]:
        """Return what is evaluated."""
        return [expression for expression in (self.selection, self.variable) if expression is not None]


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """Expressions of one sample.

    weight: None is 1 (data); columns: those whose branches the sample has; variables: the analysis's, with the sample's
    own; regions: those of the fit, which every sample has.
    """

    features: tuple[Expression, ...]
    cuts: tuple[Expression, ...]
    weight: Expression | None
    columns: dict[str, Expression]
    domains: dict[str, DomainPlan]
    branches: tuple[str, ...]
    variables: dict[str, Expression]
    regions: tuple[RegionPlan, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadingPlan:
    """All parsed expressions of an analysis; `for_sample` checks them against a sample's branches."""

    spec: DatasetSpec
    variables: dict[str, Expression]
    own_variables: dict[str, dict[str, Expression]]
    features: tuple[Expression, ...]
    cuts: tuple[Expression, ...]
    own_cuts: dict[str, tuple[Expression, ...]]
    weights: dict[str, Expression]
    stitched: dict[str, dict[str, Expression]]
    columns: dict[str, Expression]
    domains: dict[str, tuple[Expression | None, Expression | None]]
    regions: tuple[RegionPlan, ...] = ()

    def variables_of(self, name: str) -> dict[str, Expression]:
        """Return the variables of a sample: the analysis's, replaced by its own where it has them."""
        return self.variables | self.own_variables.get(name, {})

    def cuts_of(self, name: str) -> tuple[Expression, ...]:
        """Return the cuts of a sample: those that define the sample, then the analysis's."""
        return (*self.own_cuts.get(name, ()), *self.cuts)

    def stitched_to(self, name: str) -> dict[str, Expression]:
        """Return what each sample of its group covers, itself included; empty for a sample that is not stitched."""
        return next((group for group in self.stitched.values() if name in group), {})

    def for_sample(
        self, name: str, branches: Collection[str], path: str, refused: Mapping[str, str] | None = None
    ) -> SamplePlan:
        """Return the plan of a sample whose files have `branches`.

        Args:
            name: the sample.
            branches: the names of branches that expressions may use.
            path: the file, for messages.
            refused: as of `check_names`.

        Raises:
            ExpressionError: a name is neither a variable nor a branch; the message suggests the nearest one.

        """
        sample = self.spec.samples[name]
        weight = self.weights.get(name)
        domains = self._domains_of(name)
        variables, cuts = self.variables_of(name), self.cuts_of(name)
        needed = [*self.features, *cuts, *([weight] if weight else []), *self.stitched_to(name).values()]
        of_domains = [e for plan in domains.values() for e in (plan.selection, plan.weight) if e is not None]
        check_names(needed, variables, branches, path, refused)
        of_regions = [expression for region in self.regions for expression in region.expressions]
        check_names([*of_domains, *of_regions], variables, {*branches, PHYSICAL}, path, refused)
        columns = {}
        for column, expression in self.columns.items():
            available = {*branches, PHYSICAL}
            if needed_names([expression], variables) <= available or not sample.is_data:
                check_names([expression], variables, available, path, refused)
                columns[column] = expression
        names = needed_names([*needed, *of_domains, *of_regions, *columns.values()], variables)
        if PHYSICAL in names and PHYSICAL in branches and PHYSICAL not in sample.aliases.values():
            raise ExpressionError(
                f"{path} has a branch {PHYSICAL!r}, and in expressions that is the physical weight. Give the branch "
                f"another name in samples.{name}.aliases (own_{PHYSICAL}: {PHYSICAL}), which means the branch; "
                f"{PHYSICAL!r} is the weight then."
            )
        names -= {PHYSICAL}
        branches_read = tuple(sorted(names))
        return SamplePlan(self.features, cuts, weight, columns, domains, branches_read, variables, self.regions)

    def _domains_of(self, name: str) -> dict[str, DomainPlan]:
        """Return what the sample contributes to the domain heads of the models."""
        sample = self.spec.samples[name]
        plans = {}
        for model, (selection, weight) in self.domains.items():
            section = self.spec.domain_sections[model]
            side = 0 if name in section.source else 1 if name in section.target else -1
            if side >= 0:
                rows = section.rows in ("all", sample.class_, self.spec.classes.side_of(name))
                plans[model] = DomainPlan(side, rows, selection, None if sample.is_data else weight)
        return plans


def make_plan(spec: DatasetSpec) -> ReadingPlan:
    """Parse every expression of the analysis.

    Raises:
        ExpressionError: an expression or a name is not valid.

    """
    _refuse_constants(spec)
    variables = {name: parse(text, f"variables.{name}") for name, text in spec.variables.items()}
    if PHYSICAL in variables or any(PHYSICAL in sample.variables for sample in spec.samples.values()):
        raise ExpressionError(f"variables.{PHYSICAL}: the name is taken by the physical weight; choose another.")
    for name in spec.features:
        if not is_name(name.strip()) or name.strip() in CONSTANTS:
            raise ExpressionError(
                f"features: {name}: a feature is the name of a variable or of a branch; "
                "give an expression a name in `variables` first, and a branch whose name is no identifier another one "
                "in its sample's `aliases`."
            )
    features = tuple(parse(name, f"features: {name}") for name in spec.features)
    weights = {
        name: parse(sample.weight or spec.weight, f"samples.{name}.weight" if sample.weight else "weight")
        for name, sample in spec.samples.items()
        if not sample.is_data or sample.weight
    }
    domains: dict[str, tuple[Expression | None, Expression | None]] = {}
    for model, section in spec.domain_sections.items():
        where = f"models.{model}.domain"
        selection = parse(section.selection, f"{where}.selection") if section.selection else None
        weight = None if section.weight.strip() == PHYSICAL else parse(section.weight, f"{where}.weight")
        domains[model] = (selection, weight)
    plan = ReadingPlan(
        spec=spec,
        variables=variables,
        own_variables={
            name: {
                variable: parse(text, f"samples.{name}.variables.{variable}")
                for variable, text in sample.variables.items()
            }
            for name, sample in spec.samples.items()
        },
        features=features,
        cuts=cuts_of(spec.selection),
        own_cuts={name: cuts_of(s.selection, f"samples.{name}.selection") for name, s in spec.samples.items()},
        weights=weights,
        stitched={
            group: {name: parse(text, f"stitched.{group}.{name}") for name, text in members.items()}
            for group, members in spec.stitched.items()
        },
        columns={name: parse(text, f"columns.{name}") for name, text in spec.columns.items()},
        domains=domains,
        regions=tuple(_region_plan(region) for region in spec.regions.values()),
    )
    for name in spec.samples:  # circular definitions are refused even where nothing uses them
        every = plan.variables_of(name)
        needed_names(every.values(), every)
    return plan


def _region_plan(region: RegionSpec) -> RegionPlan:
    where = f"fit.regions.{region.name}"
    selection = None if region.selection is None else parse(region.selection, f"{where}.selection")
    return RegionPlan(region, selection, None if region.is_output else parse(region.variable, f"{where}.variable"))


def _refuse_constants(spec: DatasetSpec) -> None:
    """Raise ExpressionError for a variable or an alias with the name of a constant, or of the physical weight."""
    for name in spec.variables:
        refuse_constant(name, f"variables.{name}")
    for sample, section in spec.samples.items():
        for name in section.variables:
            refuse_constant(name, f"samples.{sample}.variables.{name}")
        for name in section.aliases:
            refuse_constant(name, f"samples.{sample}.aliases.{name}")
            if name == PHYSICAL:
                raise ExpressionError(
                    f"samples.{sample}.aliases.{name}: the name is taken by the physical weight; choose another."
                )


def check_plots(spec: DatasetSpec, branches: Collection[str]) -> None:
    """Raise ConfigError for a name in `plots` that is neither a variable nor a branch of any sample."""
    names = list(dict.fromkeys([*spec.features, *spec.variables, *branches]))
    for name in spec.plots:
        if name not in names:
            raise ConfigError(f"plots.{name}: there is no such feature or variable.{nearest(name, names)}")


def cuts_of(selection: str | None, what: str = "selection") -> tuple[Expression, ...]:
    """Return the parts of a selection that are joined by `&` or `and`, for the cut flow."""
    if selection is None:
        return ()
    expression = parse(selection, what)
    parts: list[ast.expr] = []

    def split(node: ast.expr) -> None:
        # Bits of flags (`flags & 2`) are not two conditions; with a condition as operand, & joins conditions.
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd) and is_condition(node):
            split(node.left)
            split(node.right)
        elif isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
            for value in node.values:
                split(value)
        else:
            parts.append(node)

    split(expression.tree)
    return tuple(parse(ast.get_source_segment(expression.text, part) or expression.text, what) for part in parts)
