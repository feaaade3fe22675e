"""Safe expressions: text in, a checked syntax tree out, with the names that it needs.

Python's own parser reads the text; then only listed node types, listed functions and plain numbers pass.
Nothing of the text is ever run as Python: hepda.events.expressions.evaluator walks the tree over columns. No attribute
reaches an object (`Jet.pt` is only a name with a dot in it), and length, size and depth are bounded.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from hepda.errors import ExpressionError, nearest
from hepda.events.expressions.user_functions import find_function, function_names

MAX_LENGTH = 4000
MAX_NODES = 1000
MAX_DEPTH = 60
CONSTANTS: Mapping[str, float] = {"pi": 3.141592653589793}

_OPERATORS = (
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.BitAnd, ast.BitOr, ast.BitXor,
    ast.USub, ast.UAdd, ast.Not, ast.Invert, ast.And, ast.Or,
    ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq,
)  # fmt: skip
_INNER = (ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Load)


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression. what: how messages call it, e.g. `variables.ht`; names: branches or variables."""

    text: str
    what: str
    tree: ast.expr
    names: frozenset[str]
    _keys: dict[ast.AST, str] = field(default_factory=dict, compare=False, repr=False)

    def key(self, node: ast.AST) -> str:
        """What the parts of expressions that mean the same have in common; worked out once a node."""
        if node not in self._keys:
            self._keys[node] = ast.dump(node)
        return self._keys[node]

    def error(self, node: ast.AST | None, message: str) -> ExpressionError:
        """An error that points at `node` in the text."""
        return _error(self.text, self.what, node, message)


def parse(text: str, what: str = "expression") -> Expression:
    """Parse and check `text`. Raises ExpressionError, with a caret below the offending place."""
    # A folded YAML text may hold line breaks; blanks of the same length keep every column.
    clean = "".join(" " if c in "\n\r\t\f" else c for c in text).strip()
    if not clean:
        raise ExpressionError(f"{what}: the expression is empty.")
    if len(clean) > MAX_LENGTH:
        raise ExpressionError(f"{what}: is longer than {MAX_LENGTH} characters; divide it into variables of their own.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(clean, mode="eval").body
    except SyntaxError as error:
        place = min(max((error.offset or 1) - 1, 0), len(clean))
        raise _at(clean, what, place, 1, f"does not parse: {error.msg}.{_hint(clean)}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"{what}: does not parse: nested too deeply, or not text.") from error
    names: set[str] = set()
    checker = _Checker(clean, what, names)
    checker.check(tree, 0)
    return Expression(clean, what, tree, frozenset(names))


def _hint(text: str) -> str:
    if "&&" in text or "||" in text:
        return " Write & and | (or: and, or) for && and ||."
    if "!" in text.replace("!=", ""):
        return " Write ~ (or: not) for !."
    return ""


class _Checker:
    """Walks the tree once: allowed nodes, known functions, bounds; collects names."""

    def __init__(self, text: str, what: str, names: set[str]) -> None:
        self.text, self.what, self.names = text, what, names
        self.nodes = 0

    def fail(self, node: ast.AST, message: str) -> ExpressionError:
        return _error(self.text, self.what, node, message)

    def check(self, node: ast.AST, depth: int) -> None:
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            raise self.fail(node, "is too large or nested too deeply; divide it into variables of their own.")
        if isinstance(node, ast.Constant):
            self._constant(node)
        elif isinstance(node, ast.Name | ast.Attribute):
            name = dotted_name(node)
            if name is None:
                raise self.fail(node, "a dot may only stand inside the name of a branch, as in Jet.pt.")
            if name not in CONSTANTS:
                self.names.add(name)
        elif isinstance(node, ast.Call):
            self._call(node, depth)
        elif isinstance(node, ast.Subscript):
            self._subscript(node, depth)
        elif isinstance(node, _INNER + _OPERATORS):
            self._precedence(node)
            for child in ast.iter_child_nodes(node):
                self.check(child, depth + 1)
        else:
            raise self.fail(node, f"{type(node).__name__} is not allowed in an expression.")

    def _constant(self, node: ast.Constant) -> None:
        if not isinstance(node.value, bool | int | float):
            raise self.fail(node, "only numbers, True and False may stand here.")
        if not isinstance(node.value, float) and abs(node.value) >= 2**63:
            raise self.fail(node, "this integer is too large; write it as a float.")

    def _call(self, node: ast.Call, depth: int) -> None:
        name = dotted_name(node.func)
        try:
            function = find_function(name) if name else None
        except ExpressionError as problem:
            raise self.fail(node.func, str(problem)) from problem
        if function is None:
            shown = name or "this"
            hint = nearest(shown, function_names()) or f" There are: {', '.join(function_names())}."
            raise self.fail(node.func, f"{shown!r} is not a function of expressions.{hint}")
        if node.keywords:
            raise self.fail(node.keywords[0], f"{name}() takes its arguments by position.")
        low, high = function.arity
        if not low <= len(node.args) <= high:
            wanted = str(low) if low == high else f"{low} to {high}"
            raise self.fail(node, f"{name}() takes {wanted} arguments, not {len(node.args)}: {function.usage}.")
        for argument in node.args:
            self.check(argument, depth + 1)

    def _subscript(self, node: ast.Subscript, depth: int) -> None:
        self.check(node.value, depth + 1)
        if isinstance(node.slice, ast.Slice):
            for part in (node.slice.lower, node.slice.upper, node.slice.step):
                if part is not None and constant_integer(part) is None:
                    raise self.fail(part, "a slice takes plain integers, as in jet_pt[:4].")
        elif isinstance(node.slice, ast.Tuple):
            raise self.fail(node.slice, "one index at a time: jet_pt[0], jet_pt[:4] or jet_pt[jet_b > 0.5].")
        else:
            self.check(node.slice, depth + 1)

    def _precedence(self, node: ast.AST) -> None:
        """`a > 1 & b > 2` means a > (1 & b) > 2, in Python and here; nobody wants that."""
        if not isinstance(node, ast.Compare):
            return
        for part in (node.left, *node.comparators):
            inner = part
            if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.BitAnd | ast.BitOr):
                start, end = _column(self.text, part), _column(self.text, part, end=True)
                before, after = self.text[:start].rstrip(), self.text[end:].lstrip()
                if not (before.endswith("(") and after.startswith(")")):
                    raise self.fail(part, "& and | bind tighter than comparisons; write (a > 1) & (b > 2).")


def dotted_name(node: ast.AST) -> str | None:
    """`Jet.pt` for a name with attributes, else None."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        front = dotted_name(node.value)
        return f"{front}.{node.attr}" if front else None
    return None


def constant_integer(node: ast.AST) -> int | None:
    """The integer that the node spells, sign included, else None."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = constant_integer(node.operand)
        return None if value is None else -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.Constant) and type(node.value) is int and abs(node.value) < 2**31:
        return node.value
    return None


def needed_names(expressions: Iterable[Expression], variables: Mapping[str, Expression]) -> set[str]:
    """Names that are not variables (so: branches), through all variables that the expressions use.

    Raises ExpressionError if variables are defined by one another in a circle.
    """
    branches: set[str] = set()
    done: set[str] = set()

    def visit(expression: Expression, path: tuple[str, ...]) -> None:
        for name in sorted(expression.names):
            if name not in variables:
                branches.add(name)
            elif name in path:
                circle = " -> ".join((*path[path.index(name) :], name))
                raise ExpressionError(f"variables.{name}: is defined by itself: {circle}.")
            elif name not in done:
                visit(variables[name], (*path, name))
                done.add(name)

    for expression in expressions:
        visit(expression, ())
    return branches


def check_names(
    expressions: Iterable[Expression],
    variables: Mapping[str, Expression],
    branches: Collection[str],
    where: str,
) -> None:
    """Raise ExpressionError for the first name that is neither a variable nor among `branches` of `where`."""
    seen: set[str] = set()

    def visit(expression: Expression) -> None:
        for node in ast.walk(expression.tree):
            name = dotted_name(node)
            if name is None or name not in expression.names:
                continue
            if name in variables:
                if name not in seen:
                    seen.add(name)
                    visit(variables[name])
            elif name not in branches:
                hint = nearest(name, [*variables, *branches])
                raise expression.error(node, f"{name!r} is neither a variable nor a branch of {where}.{hint}")

    for expression in expressions:
        visit(expression)


def _column(text: str, node: ast.AST, *, end: bool = False) -> int:
    """Character position of a node; Python counts UTF-8 bytes."""
    offset = getattr(node, "end_col_offset" if end else "col_offset", 0) or 0
    return len(text.encode()[:offset].decode(errors="ignore"))


def _error(text: str, what: str, node: ast.AST | None, message: str) -> ExpressionError:
    if node is None or not hasattr(node, "col_offset"):
        return ExpressionError(f"{what}: {message}\n    {text}")
    start, end = _column(text, node), _column(text, node, end=True)
    return _at(text, what, start, max(end - start, 1), message)


def _at(text: str, what: str, start: int, width: int, message: str) -> ExpressionError:
    """Show at most 100 characters of the text around the place, with carets below it."""
    left = max(0, min(start - 40, len(text) - 100))
    shown = text[left : left + 100]
    carets = " " * (start - left) + "^" * max(1, min(width, len(shown) - (start - left)))
    return ExpressionError(f"{what}: {message}\n    {shown}\n    {carets}")
