"""A small reader of LaTeX tables, independent of what writes them: it refuses what TeX would refuse."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

KNOWN = {
    "begin", "end", "centering", "caption", "label", "toprule", "midrule", "bottomrule", "footnotesize", "setlength",
    "tabcolsep", "textbackslash", "textasciitilde", "textasciicircum", "dots", "pm", "times", "cdot", "to", "le", "ge",
    "geq", "leq", "surd", "alpha", "varepsilon", "eta", "lambda", "mu", "sigma", "phi", "chi", "Delta", "bar", "mathrm",
    "hat", "rightarrow", "infty", "sisetup", "resizebox", "ifdim", "else", "fi", "width", "linewidth", "shortstack",
    "belowcaptionskip",
}  # fmt: skip
"""Commands of LaTeX, booktabs, siunitx and plain mathematics."""
MATHEMATICAL = KNOWN & {"pm", "times", "cdot", "to", "le", "ge", "geq", "leq", "surd", "alpha", "varepsilon", "eta",
                        "lambda", "mu", "sigma", "phi", "chi", "Delta", "bar", "hat", "infty"}  # fmt: skip
_NUMBER = re.compile(r"-?\d+(\.\d+)?( \+- \d+(\.\d+)?)?")
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
    start = re.search(r"\\begin\{tabular\}\{((?:[lrc]|S\[table-format=[-.()\d]+\])+)\}", text)
    if start is None:
        raise ValueError("there is no tabular")
    body = text[start.end() : text.index(r"\end{tabular}")]
    body = re.sub(r"\\shortstack\[[lrc]\]\{((?:[^{}]|\{[^{}]*\})*)\}", lambda m: m[1].replace(r"\\", " "), body)
    lines = [line.strip() for line in re.sub(r"\\(top|mid|bottom)rule", "", body).split(r"\\")]
    if lines[-1]:
        raise ValueError(f"the last row does not end: {lines[-1]}")
    columns = re.sub(r"\[.*?\]", "", start.group(1))
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)&", line)] for line in lines[:-1]]
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"{len(row)} cells in a table of {len(columns)} columns: {row}")
        for cell, column in zip(row, columns, strict=True):
            if column == "S" and cell and not _NUMBER.fullmatch(cell) and not re.fullmatch(r"\{.*\}", cell):
                raise ValueError(f"siunitx cannot read {cell!r}")
    caption = re.search(r"\\caption\{(.*)\}\n", text)
    return Parsed(caption.group(1) if caption else "", columns, rows)


def check_text(text: str) -> None:
    """Raise ValueError for unbalanced braces, formulas that do not close, unknown commands and bare characters."""
    depth, formula = 0, False
    for piece in _TOKEN.findall(text.replace("{%\n", "{\n")):  # the usual end of a line without a space
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


def compiled(folder: Path, preamble: str, body: str) -> list[str]:
    """Compile a document with pdflatex, and return what its log complains of; skip without pdflatex."""
    if shutil.which("pdflatex") is None:
        pytest.skip("there is no pdflatex")
    found = subprocess.run(["kpsewhich", "siunitx.sty", "booktabs.sty"], check=False, capture_output=True, text=True)
    if len(found.stdout.split()) < 2:
        pytest.skip("LaTeX is here without booktabs and siunitx")
    text = f"\\documentclass{{article}}\n{preamble}\n\\begin{{document}}\n{body}\n\\end{{document}}\n"
    (folder / "document.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    result = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout[-2000:]
    complaints = ("!", "LaTeX Warning", "Package siunitx Warning")
    usual = ("Label(s) may have changed", "Text page", "float specifier")
    log = (folder / "document.log").read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in log if line.startswith(complaints) and not any(text in line for text in usual)]
