"""The branches and expressions that each sample needs, determined and checked before anything is read."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hepda.config.events.systematics import WeightSystematic
from hepda.config.models import RegressionConfig
from hepda.errors import ConfigError, ExpressionError, nearest
from hepda.events.expressions.branch_names import is_name
from hepda.events.expressions.collections import CollectionPlan
from hepda.events.expressions.guards import only_guards
from hepda.events.expressions.names import check_names
from hepda.events.expressions.parser import CONSTANTS, Expression, is_condition, needed_names, parse, refuse_constant
from hepda.events.specs import LABEL, DatasetSpec, RegionSpec

PHYSICAL = "physical"
"""The name of the physical weight in a domain's weight and in `columns`."""


@dataclass(frozen=True, slots=True)
class DomainPlan:
    """One model's domain head on one sample.

    side: 0 source, from 1 on the number of the target domain; picks_rows: whether the head uses events of this sample's
    class; weight: None is the physical weight, which data always have.
    """

    side: int
    picks_rows: bool
    selection: Expression | None
    weight: Expression | None

    @property
    def expressions(self) -> list[Expression]:
        """Return what is evaluated."""
        return [expression for expression in (self.selection, self.weight) if expression is not None]

    def in_file(self, branches: Collection[str]) -> DomainPlan:
        """Return the plan for a file with these branches: every has() is decided."""
        selection, weight = _in_file(self.selection, branches), _in_file(self.weight, branches)
        return replace(self, selection=selection, weight=weight)


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

    def in_file(self, branches: Collection[str]) -> RegionPlan:
        """Return the plan for a file with these branches: every has() is decided."""
        selection, variable = _in_file(self.selection, branches), _in_file(self.variable, branches)
        return replace(self, selection=selection, variable=variable)


@dataclass(frozen=True, slots=True)
class TargetPlan:
    """The number that a model predicts, and which events have it (None: all); required: of a sample it is trained on,
    so that a number that is missing or not finite is a fault.
    """

    value: Expression
    selection: Expression | None
    required: bool = True

    @property
    def expressions(self) -> list[Expression]:
        """Return what is evaluated."""
        return [self.value] if self.selection is None else [self.value, self.selection]

    def in_file(self, branches: Collection[str]) -> TargetPlan:
        """Return the plan for a file with these branches: every has() is decided."""
        return replace(self, value=self.value.in_file(branches), selection=_in_file(self.selection, branches))


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """Expressions of one sample.

    weight: None is 1 (data); columns: those whose branches the sample has; variables: the analysis's, with the sample's
    own; collections: sets of objects by name; regions: those of the fit, which every sample has; targets: numbers that
    models predict, by column, of samples that have them.
    """

    features: tuple[Expression, ...]
    cuts: tuple[Expression, ...]
    weight: Expression | None
    columns: dict[str, Expression]
    domains: dict[str, DomainPlan]
    branches: tuple[str, ...]
    variables: dict[str, Expression]
    collections: Mapping[str, CollectionPlan] = field(default_factory=dict)
    regions: tuple[RegionPlan, ...] = ()
    targets: Mapping[str, TargetPlan] = field(default_factory=dict)

    @property
    def expressions(self) -> list[Expression]:
        """Return everything that is evaluated on the events, but for the variables."""
        weights = [] if self.weight is None else [self.weight]
        of_domains = [e for domain in self.domains.values() for e in domain.expressions]
        of_regions = [e for region in self.regions for e in region.expressions]
        objects = [feature for collection in self.collections.values() for feature in collection.features.values()]
        of_targets = [e for target in self.targets.values() for e in target.expressions]
        own = [*self.features, *objects, *self.cuts, *weights, *of_targets]
        return [*own, *of_domains, *of_regions, *self.columns.values()]

    def in_file(self, branches: Collection[str]) -> SamplePlan:
        """Return the plan for a file with these branches: every has() is decided."""
        return replace(
            self,
            features=tuple(feature.in_file(branches) for feature in self.features),
            cuts=tuple(cut.in_file(branches) for cut in self.cuts),
            weight=_in_file(self.weight, branches),
            columns={name: column.in_file(branches) for name, column in self.columns.items()},
            domains={name: domain.in_file(branches) for name, domain in self.domains.items()},
            variables={name: variable.in_file(branches) for name, variable in self.variables.items()},
            collections={name: collection.in_file(branches) for name, collection in self.collections.items()},
            regions=tuple(region.in_file(branches) for region in self.regions),
            targets={name: target.in_file(branches) for name, target in self.targets.items()},
        )


def _in_file(expression: Expression | None, branches: Collection[str]) -> Expression | None:
    return None if expression is None else expression.in_file(branches)


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
    collections: dict[str, CollectionPlan] = field(default_factory=dict)
    regions: tuple[RegionPlan, ...] = ()
    targets: dict[str, TargetPlan] = field(default_factory=dict)

    @property
    def inputs(self) -> list[Expression]:
        """Return what models read: the features, and those of the objects of collections."""
        objects = (feature for collection in self.collections.values() for feature in collection.features.values())
        return [*self.features, *objects]

    @property
    def guards(self) -> frozenset[str]:
        """Return the branches that has() asks for, in any expression about the events."""
        of_domains = [e for pair in self.domains.values() for e in pair if e is not None]
        of_regions = [e for region in self.regions for e in region.expressions]
        own = [e for part in self.own_variables.values() for e in part.values()]
        cuts = [*self.cuts, *(cut for part in self.own_cuts.values() for cut in part)]
        others = [*self.variables.values(), *self.weights.values(), *self.columns.values()]
        of_targets = [e for target in self.targets.values() for e in target.expressions]
        every = [*self.inputs, *own, *cuts, *others, *of_domains, *of_regions, *of_targets]
        return frozenset[str]().union(*(expression.guards for expression in every))

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
        needed = [*self.inputs, *cuts, *([weight] if weight else []), *self.stitched_to(name).values()]
        of_domains = [expression for domain in domains.values() for expression in domain.expressions]
        check_names(needed, variables, branches, path, refused)
        of_regions = [expression for region in self.regions for expression in region.expressions]
        check_names([*of_domains, *of_regions], variables, {*branches, PHYSICAL}, path, refused)
        columns = self._varied_weights(name)
        check_names(columns.values(), variables, {*branches, PHYSICAL}, path, refused)
        for column, expression in self.columns.items():
            available = {*branches, PHYSICAL}
            of_file = {variable: value.in_file(branches) for variable, value in variables.items()}
            if needed_names([expression.in_file(branches)], of_file) <= available or not sample.is_data:
                check_names([expression], variables, available, path, refused)
                columns[column] = expression
        targets = self._targets_of(name, branches, path, refused)
        plan = SamplePlan(
            self.features, cuts, weight, columns, domains, (), variables, self.collections, self.regions, targets
        ).in_file(branches)
        names = needed_names([*plan.expressions, *self.stitched_to(name).values()], plan.variables)
        if PHYSICAL in names and PHYSICAL in branches and PHYSICAL not in sample.aliases.values():
            raise ExpressionError(
                f"{path} has a branch {PHYSICAL!r}, and in expressions that is the physical weight. Give the branch "
                f"another name in samples.{name}.aliases (own_{PHYSICAL}: {PHYSICAL}), which means the branch; "
                f"{PHYSICAL!r} is the weight then."
            )
        return replace(plan, branches=tuple(sorted(names - {PHYSICAL})))

    def _targets_of(
        self, name: str, branches: Collection[str], path: str, refused: Mapping[str, str] | None
    ) -> dict[str, TargetPlan]:
        """Return the numbers that models predict and that a sample has; one that a model is trained on must have it."""
        targets, variables = {}, self.variables_of(name)
        for column, target in self.targets.items():
            required = name in self.spec.numbers[column].samples
            if self.spec.samples[name].is_data:
                continue
            of_file = {variable: value.in_file(branches) for variable, value in variables.items()}
            needed = needed_names(target.in_file(branches).expressions, of_file)
            if required or needed <= {*branches, PHYSICAL}:
                check_names(target.expressions, variables, {*branches, PHYSICAL}, path, refused)
                targets[column] = replace(target, required=required)
        return targets

    def _varied_weights(self, name: str) -> dict[str, Expression]:
        """Return the factors on the weights of a sample that weight variations give, by `variation:<name>`."""
        factors = {}
        for variation in self.spec.variations:
            section, side = self.spec.section_of(variation), variation.side
            if isinstance(section, WeightSystematic) and name in self.spec.varied_sources(variation):
                text, where = getattr(section, side), f"systematics.{variation.systematic}.{side}"
                factors[f"variation:{variation.name}"] = parse(text, where)
        return factors

    def _domains_of(self, name: str) -> dict[str, DomainPlan]:
        """Return what the sample contributes to the domain heads of the models."""
        sample = self.spec.samples[name]
        plans = {}
        for model, (selection, weight) in self.domains.items():
            section = self.spec.domain_sections[model]
            side = 0 if name in section.source else -1
            for number, names in enumerate(section.targets.values(), 1):
                side = number if name in names else side
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
    own_variables = {
        name: {variable: parse(text, f"samples.{name}.variables.{variable}") for variable, text in s.variables.items()}
        for name, s in spec.samples.items()
    }
    plan = ReadingPlan(
        spec=spec,
        variables=variables,
        own_variables=own_variables,
        features=features,
        cuts=cuts_of(spec.selection, variables=variables),
        own_cuts={
            name: cuts_of(s.selection, f"samples.{name}.selection", variables | own_variables[name])
            for name, s in spec.samples.items()
        },
        weights=weights,
        stitched={
            group: {name: parse(text, f"stitched.{group}.{name}") for name, text in members.items()}
            for group, members in spec.stitched.items()
        },
        columns={name: parse(text, _key_of(name)) for name, text in spec.columns.items()},
        domains=domains,
        collections={
            name: CollectionPlan(
                section.max,
                {
                    feature: parse(text, f"collections.{name}.features.{feature}")
                    for feature, text in section.features.items()
                },
            )
            for name, section in spec.collections.items()
        },
        regions=tuple(_region_plan(region) for region in spec.regions.values()),
        targets={column: _target_plan(model.name, model.regression) for column, model in spec.numbers.items()},
    )
    _refuse_copies(plan)
    for cover in (cover for group in plan.stitched.values() for cover in group.values() if cover.guards):
        raise ExpressionError(
            f"{cover.what} ({cover.text}): has() cannot be used here: what a sample covers is the same for all files."
        )
    for name in spec.samples:  # circular definitions are refused even where nothing uses them
        every = plan.variables_of(name)
        needed_names(every.values(), every)
    return plan


def _target_plan(model: str, section: RegressionConfig) -> TargetPlan:
    where = f"models.{model}.regress"
    selection = None if section.selection is None else parse(section.selection, f"{where}.selection")
    return TargetPlan(parse(section.target, f"{where}.target"), selection)


def _refuse_copies(plan: ReadingPlan) -> None:
    """Raise ConfigError for a feature that is, under another name, what a model predicts."""
    for target in plan.targets.values():
        meant = _meaning(target.value, plan.variables)
        for feature in plan.features:
            if _meaning(feature, plan.variables) == meant:
                raise ConfigError(
                    f"{target.value.what}: {target.value.text!r} is the feature {feature.text!r}: the model would only "
                    "copy it; remove it from `features`."
                )


def _meaning(expression: Expression, variables: Mapping[str, Expression]) -> str:
    """Return the tree of an expression as text, where a variable that is the whole expression is what it stands for."""
    while isinstance(expression.tree, ast.Name) and expression.tree.id in variables:
        expression = variables[expression.tree.id]
    return ast.dump(expression.tree)


def _key_of(column: str) -> str:
    """Return the key of the analysis file that gives a further column."""
    return f"labels.{column.removeprefix(LABEL)}" if column.startswith(LABEL) else f"columns.{column}"


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


def cuts_of(
    selection: str | None, what: str = "selection", variables: Mapping[str, Expression] | None = None
) -> tuple[Expression, ...]:
    """Return the parts of a selection that are joined by `&` or `and`, for the cut flow.

    What has() guards stays with it: `has(HLT_b) & HLT_b` is one cut.

    Args:
        selection: the text; None: no cuts.
        what: its name in messages.
        variables: parsed variables by name, through which parts need branches.

    """
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
    cuts = [parse(ast.get_source_segment(expression.text, part) or expression.text, what) for part in parts]
    return _guarded_together(cuts, what, variables or {})


def _guarded_together(
    cuts: Sequence[Expression], what: str, variables: Mapping[str, Expression]
) -> tuple[Expression, ...]:
    """Return the cuts, with those that only has() makes safe joined to it, in the place of the first of them."""
    guards = frozenset[str]().union(*(cut.guards for cut in cuts if only_guards(cut.tree)))
    if not guards:
        return tuple(cuts)
    needs = {n: needed_names([cut], variables) for n, cut in enumerate(cuts)}
    joined = [n for n, cut in enumerate(cuts) if only_guards(cut.tree) or needs[n] & guards]
    text = " & ".join(cuts[n].text if only_guards(cuts[n].tree) else f"({cuts[n].text})" for n in joined)
    alone = [cut for n, cut in enumerate(cuts) if n not in joined]
    before = sum(n < joined[0] for n in range(len(cuts)) if n not in joined)
    return (*alone[:before], parse(text, what), *alone[before:])
