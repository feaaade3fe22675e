"""The tables of a report for LaTeX, which needs the package booktabs alone: a file for each, and one with all."""

from __future__ import annotations

import re
from pathlib import Path

from hepda.export.finished_run import ExportedRun
from hepda.number_format import THIN, Cell, Table
from hepda.runtime.run_directory import write_text

_SYMBOLS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_"},
    "<": "$<$", ">": "$>$", "|": "$|$", '"': "''",
    THIN: r"\,", "\N{NO-BREAK SPACE}": "~", "\N{EN DASH}": "--", "\N{EM DASH}": "---",
    "\N{HORIZONTAL ELLIPSIS}": r"\dots{}",
    "\N{LEFT DOUBLE QUOTATION MARK}": "``", "\N{RIGHT DOUBLE QUOTATION MARK}": "''",
    "\N{LEFT SINGLE QUOTATION MARK}": "`", "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    **{character: f"${command}$" for character, command in {
        "±": r"\pm", "−": "-", "×": r"\times", "·": r"\cdot", "→": r"\to", "≤": r"\le", "≥": r"\ge", "√": r"\surd",
        "α": r"\alpha", "ε": r"\varepsilon", "η": r"\eta", "λ": r"\lambda", "µ": r"\mu", "μ": r"\mu", "σ": r"\sigma",
        "φ": r"\phi", "χ": r"\chi", "Δ": r"\Delta",
    }.items()},
}  # fmt: skip


_MANY = 6  # columns beyond which letters are small
_RAISED = str.maketrans("⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹", "-+0123456789")
_EXPONENT = re.compile("([⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹]+)")


def escaped(text: str) -> str:
    """Return text that LaTeX sets as it is."""
    plain, *others = _EXPONENT.split(text)
    parts = [_set(plain)]
    for exponent, after in zip(others[::2], others[1::2], strict=True):
        parts += [f"$^{{{exponent.translate(_RAISED)}}}$", _set(after)]
    return "".join(parts)


def _set(text: str) -> str:
    return "".join(_SYMBOLS.get(character, character) for character in text)


def label_text(label: str) -> str:
    """Return a label of a figure for LaTeX: what is between two dollar signs is a formula and stays as it is."""
    parts = label.replace(r"\$", "\0").split("$")
    if len(parts) % 2 == 0:  # no pairs: matplotlib writes the text unchanged as well
        return escaped(label)
    texts = [escaped(part.replace("\0", "$")) if i % 2 == 0 else f"${part}$" for i, part in enumerate(parts)]
    return "".join(texts)


def _cell(cell: Cell) -> str:
    return label_text(cell.latex) if cell.latex else escaped(cell.text)


def latex_table(table: Table, label: str) -> str:
    """Return a table as a floating environment, numbers with their intervals; of many columns in small letters.

    Args:
        table: the table.
        label: how the text refers to it, after `tab:`.

    """
    columns = "l" + "".join("l" if _words(table, number) else "r" for number in range(1, len(table.head)))
    small = [r"  \footnotesize", r"  \setlength{\tabcolsep}{3pt}"] if len(table.head) > _MANY else []
    lines = [
        r"\begin{table}[htbp]",
        r"  \centering",
        rf"  \caption{{{escaped(table.title)}.{f' {escaped(table.note)}' if table.note else ''}}}",
        rf"  \label{{tab:{label}}}",
        *small,
        rf"  \begin{{tabular}}{{{columns}}}",
        r"    \toprule",
        rf"    {' & '.join(map(escaped, table.head))} \\",
        r"    \midrule",
        *(rf"    {' & '.join(map(_cell, row))} \\" for row in table.rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _words(table: Table, column: int) -> bool:
    """Return whether a column contains words."""
    return any(isinstance(row[column].sort, str) for row in table.rows)


def write(run: ExportedRun, folder: Path) -> list[Path]:
    r"""Write a file for each table, and tables.tex, which a document reads by `\input`."""
    files = []
    for name, table in run.tables().items():
        files.append(folder / f"{name}.tex")
        write_text(files[-1], latex_table(table, name.replace("_", "-")))
    head = f"% Tables of the run {run.metrics.name}. Needs \\usepackage{{booktabs}}.\n"
    write_text(folder / "tables.tex", head + "".join(f"\\input{{{path.stem}}}\n" for path in files))
    return [*files, folder / "tables.tex"]
