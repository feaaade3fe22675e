"""Whether a file has what expressions ask for: the branches that they name, and the files that their functions read."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from hepda.errors import ExpressionError, nearest
from hepda.events.expressions.branch_names import is_name
from hepda.events.expressions.guards import HAS, guarded_name, is_has
from hepda.events.expressions.parser import CONSTANTS, Expression, check_call, dotted_name
from hepda.events.expressions.user_functions import find_function


def check_names(
    expressions: Iterable[Expression],
    variables: Mapping[str, Expression],
    branches: Collection[str],
    where: str,
    refused: Mapping[str, str] | None = None,
) -> None:
    """Raise ExpressionError for the first name that is neither a variable nor a branch.

    A constant is refused where the file has a branch of its name: either could be meant. A branch that has() asks for
    may be absent where has() guards it, and nowhere else.

    Args:
        expressions: the expressions to check.
        variables: parsed variables by name.
        branches: the names of the branches of `where`.
        where: name of the file in messages.
        refused: names that are in the file and mean no branch or no numbers, and why.

    Raises:
        ExpressionError: a name is unknown, refused, or both a constant and a branch.

    """
    listed, names = [*expressions], _NamesOfFile(branches, where, refused or {})
    guards = frozenset[str]().union(*(e.guards for e in (*listed, *variables.values()))) - set(branches)
    for expression in (*listed, *variables.values()):
        _check_guards(expression, variables, names)
    names.check(listed, variables, guards)
    if guards:
        of_file = {name: variable.in_file(branches) for name, variable in variables.items()}
        names.check([expression.in_file(branches) for expression in listed], of_file, frozenset(), guards)


def _check_guards(expression: Expression, variables: Mapping[str, Expression], names: _NamesOfFile) -> None:
    """Raise ExpressionError for has() of something that is no branch of numbers."""
    for node in ast.walk(expression.tree) if expression.guards else ():
        name = guarded_name(node) if is_has(node) else None
        if name in variables:
            raise expression.error(node, f"{name!r} is a variable; {HAS}() takes the branch that it is made of.")
        if name is not None and name in names.refused:
            raise expression.error(node, f"{name!r} of {names.where} {names.refused[name]}.")


@dataclass(frozen=True, slots=True)
class _NamesOfFile:
    """The names that expressions may use for a file; the fields are those of `check_names`."""

    branches: Collection[str]
    where: str
    refused: Mapping[str, str]

    def check(
        self,
        expressions: Iterable[Expression],
        variables: Mapping[str, Expression],
        absent: Collection[str],
        unguarded: Collection[str] = (),
    ) -> None:
        """Raise ExpressionError for the first name that is neither a variable, a branch nor in `absent`.

        Args:
            expressions: the expressions to check, and the variables in them.
            variables: parsed variables by name.
            absent: branches that the file lacks and that has() asks for.
            unguarded: those, if a place that still names one is not guarded.

        """
        checked: set[str] = set()

        def visit(expression: Expression) -> None:
            for node in ast.walk(expression.tree):
                name = dotted_name(node)
                if name is None:
                    _check_documents(expression, node)
                    continue
                self._refuse_ambiguous(expression, node, name)
                if name not in expression.names:
                    continue
                if name in variables:
                    if name not in checked:
                        checked.add(name)
                        visit(variables[name])
                elif name not in self.branches and name not in absent:
                    raise self._unknown(expression, node, name, variables, unguarded)

        for expression in expressions:
            visit(expression)

    def _refuse_ambiguous(self, expression: Expression, node: ast.AST, name: str) -> None:
        if name in CONSTANTS and name in self.branches:
            raise expression.error(
                node,
                f"{name!r} is the constant {CONSTANTS[name]:.6g}, and {self.where} has a branch of this name. For the "
                f"branch, give it another name in the sample's `aliases` (own_{name}: {name}); for the constant, "
                f"write {CONSTANTS[name]!r}.",
            )

    def _unknown(
        self,
        expression: Expression,
        node: ast.AST,
        name: str,
        variables: Mapping[str, Expression],
        unguarded: Collection[str],
    ) -> ExpressionError:
        """Return the error of a name that a file does not have."""
        if name in self.refused:
            return expression.error(node, f"{name!r} of {self.where} {self.refused[name]}.")
        if name in unguarded:
            return expression.error(
                node,
                f"{self.where} has no branch {name!r}, and no {HAS}({name}) guards this place: write {HAS}({name}) & "
                f"..., or where({HAS}({name}), ..., ...) with a value for files without it.",
            )
        hint = _spelling_hint(expression.text, self.branches) or nearest(name, [*variables, *self.branches])
        return expression.error(node, f"{name!r} is neither a variable nor a branch of {self.where}.{hint}")


def _check_documents(expression: Expression, node: ast.AST) -> None:
    """Raise ExpressionError for a call whose file is not there, or has not what the call asks for.

    This is checked where an expression is used: a run can be applied without the files of its weights.
    """
    name = dotted_name(node.func) if isinstance(node, ast.Call) else None
    function = find_function(name) if name is not None else None
    if isinstance(node, ast.Call) and name is not None and function is not None and function.texts:
        arguments = [a.value if isinstance(a, ast.Constant) and isinstance(a.value, str) else None for a in node.args]
        check_call(function, name, arguments, lambda message: expression.error(node, message))


def _spelling_hint(text: str, branches: Collection[str]) -> str:
    """Return what to do about a branch in the text whose name cannot be written in an expression, else ""."""
    unwritable = next((branch for branch in branches if not is_name(branch) and branch in text), None)
    if unwritable is None:
        return ""
    alias = re.sub(r"\W", "_", unwritable)
    return (
        f" There is a branch {unwritable!r}, whose name cannot be written in an expression: give it another one by the "
        f"sample's `aliases: {{{alias if is_name(alias) else 'b_' + alias}: {unwritable}}}`."
    )
