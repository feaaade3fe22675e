"""A small reader of LaTeX tables, independent of what writes them: it refuses what TeX would refuse."""

from __future__ import annotations

import re
from dataclasses import dataclass

KNOWN = {
    "begin", "end", "centering", "caption", "label", "toprule", "midrule", "bottomrule", "footnotesize", "setlength",
    "tabcolsep", "textbackslash", "textasciitilde", "textasciicircum", "dots", "pm", "times", "cdot", "to", "le", "ge",
    "geq", "leq", "surd", "alpha", "varepsilon", "eta", "lambda", "mu", "sigma", "phi", "chi", "Delta", "bar", "mathrm",
    "hat", "rightarrow", "infty",
}  # fmt: skip
"""Commands of LaTeX, booktabs and plain mathematics."""
MATHEMATICAL = KNOWN & {"pm", "times", "cdot", "to", "le", "ge", "geq", "leq", "surd", "alpha", "varepsilon", "eta",
                        "lambda", "mu", "sigma", "phi", "chi", "Delta", "bar", "hat", "infty"}  # fmt: skip
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[{}$&~^_%#]|[^\\{}$&~^_%#]+", re.S)


@dataclass
class Parsed:
    """Caption, columns, and the cells of each row, the head first."""

    caption: str
    columns: str
    rows: list[list[str]]


def parse(text: str) -> Parsed:
    """Return the one table of a file; raise ValueError for what does not compile."""
    check_text(text)
    environments: list[str] = []
    for what, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if what == "begin":
            environments.append(name)
        elif not environments or environments.pop() != name:
            raise ValueError(f"\\end{{{name}}} closes nothing")
    if environments:
        raise ValueError(f"{environments} are not closed")
    start = re.search(r"\\begin\{tabular\}\{([lrc]+)\}", text)
    if start is None:
        raise ValueError("there is no tabular")
    body = text[start.end() : text.index(r"\end{tabular}")]
    lines = [line.strip() for line in re.sub(r"\\(top|mid|bottom)rule", "", body).split(r"\\")]
    if lines[-1]:
        raise ValueError(f"the last row does not end: {lines[-1]}")
    rows = [re.split(r"(?<!\\)&", line) for line in lines[:-1]]
    for row in rows:
        if len(row) != len(start.group(1)):
            raise ValueError(f"{len(row)} cells in a table of {len(start.group(1))} columns: {row}")
    caption = re.search(r"\\caption\{(.*)\}\n", text)
    return Parsed(caption.group(1) if caption else "", start.group(1), [[c.strip() for c in row] for row in rows])


def check_text(text: str) -> None:
    """Raise ValueError for unbalanced braces, formulas that do not close, unknown commands and bare characters."""
    depth, formula = 0, False
    for piece in _TOKEN.findall(text):
        if piece == "{":
            depth += 1
        elif piece == "}":
            depth -= 1
        elif piece == "$":
            formula = not formula
        elif piece in {"^", "_"} and not formula:
            raise ValueError(f"{piece!r} outside a formula")
        elif piece in {"%", "#"}:
            raise ValueError(f"{piece!r} is not escaped")
        elif piece.startswith("\\") and piece[1:].isalpha():
            if piece[1:] not in KNOWN:
                raise ValueError(f"{piece} is unknown")
            if piece[1:] in MATHEMATICAL and not formula:
                raise ValueError(f"{piece} outside a formula")
        elif not piece.isascii():
            raise ValueError(f"{piece!r} has characters that not every LaTeX sets")
        if depth < 0 or (formula and "\n" in piece):
            raise ValueError("a brace or a formula is not closed")
    if depth or formula:
        raise ValueError("a brace or a formula is not closed")
