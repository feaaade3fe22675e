"""Safe expressions: from a text to a checked syntax tree, with the names that it needs.

Python's own parser reads the text; then only listed node types, listed functions and plain numbers are accepted.
Nothing of the text is ever run as Python: hepda.events.expressions.evaluator walks the tree over columns. No attribute
access reaches an object (`Jet.pt` is only a name with a dot in it), and length, size and depth are bounded.

Names: a name before a bracket is a function, everywhere else it is a variable or a branch, so that `mass(jets) / mass`
uses both. A constant (pi) is neither: a variable, an alias or a feature of its name is refused, and so is an expression
with it if the file has a branch of its name. An expression that is almost certainly a mistake is refused with the
probable intention: `a > 1 & b > 2`, `n == 4 or 5`, `count(pt > 25)`, `abs(eta < 2.5)`.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hepda.errors import ExpressionError, nearest
from hepda.events.expressions.columns import ValueProblem
from hepda.events.expressions.functions import Function
from hepda.events.expressions.guards import HAS, fold
from hepda.events.expressions.user_functions import find_function, function_names

MAX_LENGTH = 4000
MAX_NODES = 1000
MAX_DEPTH = 60
CONSTANTS: Mapping[str, float] = {"pi": 3.141592653589793}
_OF_NUMBERS = (
    "abs", "sqrt", "exp", "log", "log10", "log1p", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh",
    "tanh", "floor", "ceil", "sign",
)  # fmt: skip
"""Functions that do not accept a condition as argument."""
_CONDITIONS = ("any", "all", "is_missing", HAS, "good_lumi")
"""Functions that return conditions."""

_OPERATORS = (
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.BitAnd, ast.BitOr, ast.BitXor,
    ast.USub, ast.UAdd, ast.Not, ast.Invert, ast.And, ast.Or,
    ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq,
)  # fmt: skip
_INNER = (ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Load)


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression.

    what: its name in messages, e.g. `variables.ht`; names: the branches or variables in it; guards: the branches that
    has() asks for.
    """

    text: str
    what: str
    tree: ast.expr
    names: frozenset[str]
    guards: frozenset[str] = frozenset()
    _keys: dict[ast.AST, str] = field(default_factory=dict, compare=False, repr=False)

    def key(self, node: ast.AST) -> str:
        """Return a key that parts of expressions of the same meaning have in common; it is computed once per node."""
        if node not in self._keys:
            self._keys[node] = ast.dump(node)
        return self._keys[node]

    def in_file(self, branches: Collection[str]) -> Expression:
        """Return the same expression for a file with these branches: without has(), and without what it leaves out."""
        if not self.guards:
            return self
        tree = fold(self.tree, branches)
        names = frozenset(_names_in(tree)) - CONSTANTS.keys()
        return Expression(self.text, self.what, tree, names)

    def error(self, node: ast.AST | None, message: str) -> ExpressionError:
        """Return an error that points at `node` in the text."""
        return _error(self.text, self.what, node, message)


def parse(text: str, what: str = "expression") -> Expression:
    """Parse and check `text`.

    Args:
        text: the expression.
        what: its name in messages, e.g. `variables.ht`.

    Raises:
        ExpressionError: the text is no valid expression; the message has a caret below the place of the error.

    """
    # A folded YAML text may hold line breaks; blanks of the same length keep every column.
    clean = "".join(" " if c in "\n\r\t\f" else c for c in text).strip()
    if not clean:
        raise ExpressionError(f"{what}: the expression is empty.")
    if len(clean) > MAX_LENGTH:
        raise ExpressionError(f"{what}: is longer than {MAX_LENGTH} characters; split it into several variables.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(clean, mode="eval").body
    except SyntaxError as error:
        place = min(max((error.offset or 1) - 1, 0), len(clean))
        raise _at(clean, what, place, 1, f"does not parse: {error.msg}.{_operator_hint(clean)}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"{what}: does not parse: nested too deeply, or not text.") from error
    checker = _Checker(clean, what)
    checker.check(tree, 0)
    return Expression(clean, what, tree, frozenset(checker.names), frozenset(checker.guards))


def _names_in(tree: ast.AST) -> Iterator[str]:
    """Yield the names of variables and branches in a tree: not those of functions."""
    name = dotted_name(tree)
    if name is not None:
        yield name
        return
    for child in tree.args if isinstance(tree, ast.Call) else ast.iter_child_nodes(tree):
        yield from _names_in(child)


def _operator_hint(text: str) -> str:
    if "&&" in text or "||" in text:
        return " Write & and | (or: and, or) for && and ||."
    if "!" in text.replace("!=", ""):
        return " Write ~ (or: not) for !."
    return ""


Written = str | float | tuple[float, ...] | None
"""An argument that is written out: text, a number or a list of numbers; None for any other."""


def check_call(
    function: Function, name: str, written: Sequence[Written], fail: Callable[[str], ExpressionError]
) -> None:
    """Raise what `fail` makes of the message if arguments cannot be right, whatever the branches hold."""
    if function.check is not None:
        try:
            function.check(*written)
        except ValueProblem as problem:
            raise fail(f"{name}() {problem}.") from problem


class _Checker:
    """Checks the tree in one walk: allowed nodes, known functions, bounds; collects the names."""

    def __init__(self, text: str, what: str) -> None:
        self.text, self.what = text, what
        self.names, self.guards = set[str](), set[str]()
        self.nodes = 0

    def fail(self, node: ast.AST, message: str) -> ExpressionError:
        return _error(self.text, self.what, node, message)

    def check(self, node: ast.AST, depth: int) -> None:
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            raise self.fail(node, "is too large or nested too deeply; split it into several variables.")
        if isinstance(node, ast.Constant):
            self._constant(node)
        elif isinstance(node, ast.Name | ast.Attribute):
            name = dotted_name(node)
            if name is None:
                raise self.fail(node, "a dot may only be inside the name of a branch, as in Jet.pt.")
            if name not in CONSTANTS:
                self.names.add(name)
        elif isinstance(node, ast.Call):
            self._call(node, depth)
        elif isinstance(node, ast.Subscript):
            self._subscript(node, depth)
        elif isinstance(node, _INNER + _OPERATORS):
            self._precedence(node)
            self._logic(node)
            for child in ast.iter_child_nodes(node):
                self.check(child, depth + 1)
        else:
            raise self.fail(node, f"{type(node).__name__} is not allowed in an expression.")

    def _constant(self, node: ast.Constant) -> None:
        if not isinstance(node.value, bool | int | float):
            raise self.fail(node, "only numbers, True and False are allowed here.")
        if not isinstance(node.value, float) and abs(node.value) >= 2**64:
            raise self.fail(node, "this integer is too large for 64 bits; write it as a float.")

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
            expected = str(low) if low == high else f"{low} to {high}"
            raise self.fail(node, f"{name}() takes {expected} arguments, not {len(node.args)}: {function.usage}.")
        if name == HAS:
            self._guard(node)
            return
        if is_condition(node.args[0]) if node.args else False:
            self._of_condition(str(name), node)
        written = [self._written(function, number, argument) for number, argument in enumerate(node.args)]
        for argument, value in zip(node.args, written, strict=True):
            if not isinstance(value, str | tuple):
                self.check(argument, depth + 1)
        if not function.texts:
            check_call(function, str(name), written, lambda message: self.fail(node, message))

    def _written(self, function: Function, number: int, node: ast.expr) -> Written:
        """Return an argument that is written out: text, a number or a list of numbers; None for any other.

        Raises:
            ExpressionError: it is not what the function takes in this place.

        """
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and function.texts:
            return node.value
        if number < function.needed_texts:
            raise self.fail(node, f"is given as text in quotes: {function.usage}.")
        if number not in function.lists:
            return plain_number(node)
        numbers = [plain_number(part) for part in node.elts] if isinstance(node, ast.List) else []
        listed = tuple(value for value in numbers if value is not None)
        if not numbers or len(listed) < len(numbers):
            raise self.fail(node, f"is a list of plain numbers, as in [20, 50, 100]: {function.usage}.")
        self.nodes += len(listed)
        return listed

    def _guard(self, node: ast.Call) -> None:
        """Take the branch that has() names: it is not needed, because the file may lack it."""
        name = dotted_name(node.args[0])
        if name is None or name in CONSTANTS:
            raise self.fail(node.args[0], f"{HAS}() takes the name of a branch, as in {HAS}(HLT_b) & HLT_b.")
        self.guards.add(name)

    def _of_condition(self, name: str, node: ast.Call) -> None:
        """Refuse a condition where a number is meant.

        `count(pt > 25)` counts all elements; `abs(eta < 2.5)` is 1 or 0.
        """
        argument = node.args[0]
        if name == "count":
            condition = self._source(argument)
            first = argument.left if isinstance(argument, ast.Compare) else None
            list_name = self._source(first) if isinstance(first, ast.Name | ast.Attribute) else None
            instead = f"sum({condition})" + (f" or count({list_name}[{condition}])" if list_name else "")
            raise self.fail(
                node, f"count() of a condition counts all elements, whether it holds or not; write {instead}."
            )
        if name in _OF_NUMBERS and isinstance(argument, ast.Compare):
            left, comparison = self._source(argument.left), self._source(argument)
            instead = f"{name}({left}){comparison.removeprefix(left)}"
            raise self.fail(node, f"{name}() is given a condition, not a number; write {instead}.")

    def _source(self, node: ast.AST) -> str:
        return ast.get_source_segment(self.text, node) or ""

    def _subscript(self, node: ast.Subscript, depth: int) -> None:
        self.check(node.value, depth + 1)
        if isinstance(node.slice, ast.Slice):
            for part in (node.slice.lower, node.slice.upper, node.slice.step):
                if part is not None and constant_integer(part) is None:
                    raise self.fail(part, "a slice takes plain integers, as in jet_pt[:4].")
        elif isinstance(node.slice, ast.Tuple):
            raise self.fail(node.slice, "only one index: jet_pt[0], jet_pt[:4] or jet_pt[jet_b > 0.5].")
        else:
            self.check(node.slice, depth + 1)

    def _precedence(self, node: ast.AST) -> None:
        """Refuse `a > 1 & b > 2`: it means a > (1 & b) > 2, in Python and here, which is not what was meant."""
        if not isinstance(node, ast.Compare):
            return
        for part in (node.left, *node.comparators):
            inner = part
            if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.BitAnd | ast.BitOr | ast.BitXor):
                start, end = _column(self.text, part), _column(self.text, part, end=True)
                before, after = self.text[:start].rstrip(), self.text[end:].lstrip()
                if not (before.endswith("(") and after.startswith(")")):
                    raise self.fail(part, "&, | and ^ bind tighter than comparisons; write (a > 1) & (b > 2).")

    def _logic(self, node: ast.AST) -> None:
        """Refuse `n == 4 or 5`, which always holds: a plain number is no condition."""
        operands: list[ast.expr] = []
        if isinstance(node, ast.BoolOp):
            operands = node.values
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            operands = [node.operand]
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr | ast.BitXor):
            operands = [node.left, node.right] if is_condition(node.left) or is_condition(node.right) else []
        for number in operands:
            if _is_plain_number(number):
                raise self.fail(number, f"is a plain number, not a condition{self._instead(number, operands)}.")

    def _instead(self, number: ast.expr, operands: list[ast.expr]) -> str:
        """Return the probable intention of a number that is joined with comparisons."""
        compared = [o for o in operands if isinstance(o, ast.Compare) and len(o.ops) == 1]
        if not compared:
            return "; compare something with it"
        left, right = self._source(compared[-1].left), self._source(compared[-1].comparators[0])
        operator = self._source(compared[-1]).removeprefix(left).removesuffix(right).strip()
        return f"; write the comparison out: {left} {operator} {self._source(number)}"


def is_condition(node: ast.AST) -> bool:
    """Return whether a node is a condition by its form, whatever its names mean."""
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.Not) or (isinstance(node.op, ast.Invert) and is_condition(node.operand))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr | ast.BitXor):
        return is_condition(node.left) or is_condition(node.right)
    if isinstance(node, ast.Call):
        return dotted_name(node.func) in _CONDITIONS
    return isinstance(node, ast.Compare | ast.BoolOp)


def _is_plain_number(node: ast.AST) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        return _is_plain_number(node.operand)
    if isinstance(node, ast.Constant):
        return not isinstance(node.value, bool)
    return dotted_name(node) in CONSTANTS


def dotted_name(node: ast.AST) -> str | None:
    """Return `Jet.pt` for a name with attributes, else None."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        front = dotted_name(node.value)
        return f"{front}.{node.attr}" if front else None
    return None


def constant_integer(node: ast.AST) -> int | None:
    """Return the integer that the node spells, sign included, else None."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = constant_integer(node.operand)
        return None if value is None else -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.Constant) and type(node.value) is int and abs(node.value) < 2**31:
        return node.value
    return None


def plain_number(node: ast.AST) -> float | None:
    """Return the number that the node spells, sign included, else None."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = plain_number(node.operand)
        return None if value is None else -value if isinstance(node.op, ast.USub) else value
    constant = node.value if isinstance(node, ast.Constant) else None
    return float(constant) if isinstance(constant, int | float) and not isinstance(constant, bool) else None


def needed_names(expressions: Iterable[Expression], variables: Mapping[str, Expression]) -> set[str]:
    """Return the names that are not variables (so: branches), through all variables that the expressions use.

    Raises:
        ExpressionError: variables are defined by one another in a circle.

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


def refuse_constant(name: str, what: str) -> None:
    """Raise ExpressionError if `what` would take the name of a constant: expressions could not distinguish the two."""
    if name in CONSTANTS:
        raise ExpressionError(f"{what}: the name is that of the constant {CONSTANTS[name]:.6g}; choose another.")


def _column(text: str, node: ast.AST, *, end: bool = False) -> int:
    """Return the character position of a node; Python counts UTF-8 bytes."""
    offset = getattr(node, "end_col_offset" if end else "col_offset", 0) or 0
    return len(text.encode()[:offset].decode(errors="ignore"))


def _error(text: str, what: str, node: ast.AST | None, message: str) -> ExpressionError:
    if node is None or not hasattr(node, "col_offset"):
        return ExpressionError(f"{what}: {message}\n    {text}")
    start, end = _column(text, node), _column(text, node, end=True)
    return _at(text, what, start, max(end - start, 1), message)


def _at(text: str, what: str, start: int, width: int, message: str) -> ExpressionError:
    """Return an error that shows at most 100 characters of the text around the place, with carets below it."""
    first_shown = max(0, min(start - 40, len(text) - 100))
    shown = text[first_shown : first_shown + 100]
    carets = " " * (start - first_shown) + "^" * max(1, min(width, len(shown) - (start - first_shown)))
    return ExpressionError(f"{what}: {message}\n    {shown}\n    {carets}")
