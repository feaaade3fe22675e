"""`has(branch)`: whether a file has a branch, and what of an expression is left once that is known.

Samples of several years or generators do not have the same branches: `has(HLT_b) & HLT_b` is false in a file without
HLT_b. An expression is reduced for each file before anything is read: `has()` becomes True or False, and what that
decides is left out, so that the branches in it are not needed. A branch is read as absent only there: everywhere else a
branch that a file lacks is an error.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable

HAS = "has"
_CHOICES = ("where", "ifelse")


def is_has(node: ast.AST) -> bool:
    """Return whether a node is a call of has()."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == HAS


def guarded_name(node: ast.AST) -> str:
    """Return the branch that a call of has() names."""
    return ast.unparse(node.args[0]) if isinstance(node, ast.Call) else ""


def only_guards(node: ast.AST) -> bool:
    """Return whether a condition is made of nothing but has(): it is the same for all events of a file."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):
        return only_guards(node.left) and only_guards(node.right)
    if isinstance(node, ast.BoolOp):
        return all(only_guards(value) for value in node.values)
    if isinstance(node, ast.UnaryOp):
        return only_guards(node.operand)
    return is_has(node)


def fold(node: ast.expr, branches: Collection[str]) -> ast.expr:
    """Return a tree in which has() is True or False, without the parts that it switches off.

    `False & x` is False and `True | x` is True whatever x is, `where(True, x, y)` is x. Nodes keep their places in the
    text, for messages.

    Args:
        node: the tree; it is not changed.
        branches: the names of the branches of a file.

    """
    if is_has(node):
        return _truth(node, guarded_name(node) in branches)
    if isinstance(node, ast.BinOp):
        left, right = fold(node.left, branches), fold(node.right, branches)
        if isinstance(node.op, ast.BitAnd | ast.BitOr):
            decided = _decided((left, right), settles=isinstance(node.op, ast.BitOr))
            if decided is not None:
                return _truth(node, decided)
        return ast.copy_location(ast.BinOp(left, node.op, right), node)
    if isinstance(node, ast.BoolOp):
        values = [fold(value, branches) for value in node.values]
        decided = _decided(values, settles=isinstance(node.op, ast.Or))
        return _truth(node, decided) if decided is not None else ast.copy_location(ast.BoolOp(node.op, values), node)
    if isinstance(node, ast.UnaryOp):
        operand = fold(node.operand, branches)
        if isinstance(node.op, ast.Not | ast.Invert) and _plain_truth(operand) is not None:
            return _truth(node, not _plain_truth(operand))
        return ast.copy_location(ast.UnaryOp(node.op, operand), node)
    if isinstance(node, ast.IfExp):
        return _choice(node, [fold(part, branches) for part in (node.test, node.body, node.orelse)])
    if isinstance(node, ast.Call):
        arguments = [fold(argument, branches) for argument in node.args]
        if isinstance(node.func, ast.Name) and node.func.id in _CHOICES:
            return _choice(node, arguments)
        return ast.copy_location(ast.Call(node.func, arguments, []), node)
    if isinstance(node, ast.Compare):
        left, *others = (fold(part, branches) for part in (node.left, *node.comparators))
        return ast.copy_location(ast.Compare(left, node.ops, others), node)
    if isinstance(node, ast.Subscript):
        value, index = fold(node.value, branches), node.slice
        index = index if isinstance(index, ast.Slice) else fold(index, branches)
        return ast.copy_location(ast.Subscript(value, index, node.ctx), node)
    return node


def _choice(node: ast.Call | ast.IfExp, parts: list[ast.expr]) -> ast.expr:
    """Return the value that a condition chooses, or the choice if the condition differs between events."""
    condition, yes, no = parts
    chosen = _plain_truth(condition)
    if chosen is not None:
        return yes if chosen else no
    rebuilt = ast.IfExp(condition, yes, no) if isinstance(node, ast.IfExp) else ast.Call(node.func, parts, [])
    return ast.copy_location(rebuilt, node)


def _decided(parts: Iterable[ast.expr], *, settles: bool) -> bool | None:
    """Return the value of a conjunction (settles: False) or a disjunction (True), None if it differs between events."""
    known = [_plain_truth(part) for part in parts]
    if settles in known:
        return settles
    return None if None in known else not settles


def _plain_truth(node: ast.expr) -> bool | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, bool) else None


def _truth(node: ast.expr, value: bool) -> ast.expr:
    return ast.copy_location(ast.Constant(value), node)
