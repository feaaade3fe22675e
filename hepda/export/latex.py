"""The tables of a report for LaTeX, with booktabs, graphicx and siunitx: a file for each, and one with all.

Columns of numbers are aligned by siunitx (`S`), which gets the numbers as they are; other cells are in braces. A table
that is wider than the text is made smaller.
"""

from __future__ import annotations

import re
import textwrap
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


_MANY = 6  # columns beyond which there is less space between them, and their heads have several lines
_NARROW = 13  # characters of such a line
_RAISED = str.maketrans("⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹", "-+0123456789")
_EXPONENT = re.compile("([⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
_NUMBER = re.compile(rf"(−?)([\d{THIN}]+)(?:\.(\d+))?(?: ± ([\d{THIN}]+(?:\.\d+)?))?")
PACKAGES = r"\usepackage{booktabs,graphicx,siunitx}"
"""What a document with the tables needs in its preamble."""


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


def latex_table(table: Table, label: str) -> str:
    """Return a table as a floating environment, numbers with their intervals; of many columns closer together.

    Args:
        table: the table.
        label: how the text refers to it, after `tab:`.

    """
    columns = [_column(table, number) for number in range(len(table.head))]
    aligned = [column.startswith("S") for column in columns]
    width = _NARROW if len(table.head) > _MANY else max(map(len, table.head))
    head = [_head(text, width, column) for text, column in zip(table.head, columns, strict=True)]
    small = [r"  \setlength{\tabcolsep}{3pt}"] if len(table.head) > _MANY else []
    lines = [
        r"\begin{table}[htbp]",
        r"  \centering",
        r"  \sisetup{separate-uncertainty=true,group-digits=integer}",
        r"  \setlength{\belowcaptionskip}{6pt}",
        rf"  \caption{{{escaped(table.title)}.{f' {escaped(table.note)}' if table.note else ''}}}",
        rf"  \label{{tab:{label}}}",
        *small,
        r"  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"  \begin{{tabular}}{{{''.join(columns)}}}",
        r"    \toprule",
        rf"    {' & '.join(head)} \\",
        r"    \midrule",
        *(rf"    {' & '.join(_cell(cell, s) for cell, s in zip(row, aligned, strict=True))} \\" for row in table.rows),
        r"    \bottomrule",
        r"  \end{tabular}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _head(text: str, width: int, column: str) -> str:
    """Return the head of a column, in lines of at most `width` characters."""
    lines = [_started(escaped(line)) for line in textwrap.wrap(text, width, break_long_words=False)]
    place = column if column in {"l", "r"} else "c"
    stacked = rf"\shortstack[{place}]" + "{" + r" \\ ".join(lines) + "}"
    return _braced(stacked if len(lines) > 1 else "".join(lines), column.startswith("S"))


def _cell(cell: Cell, is_aligned: bool) -> str:
    if is_aligned and _is_number(cell):
        return cell.text.replace(THIN, "").replace("−", "-").replace(" ± ", " +- ")
    return _braced(_started(label_text(cell.latex) if cell.latex else escaped(cell.text)), is_aligned)


def _started(line: str) -> str:
    r"""Return text that may follow the end of a line, where LaTeX reads `[` and `*` as arguments of `\\`."""
    return "{}" + line if line.startswith(("[", "*")) else line


def _braced(text: str, is_aligned: bool) -> str:
    """Return text for a column that siunitx reads: in braces it is not taken for a number."""
    return f"{{{text}}}" if is_aligned and text else text


def _is_number(cell: Cell) -> bool:
    return not cell.latex and cell.sort is not None and _NUMBER.fullmatch(cell.text) is not None


def _column(table: Table, number: int) -> str:
    """Return the type of a column: l for names and words, S with the largest number of digits, r without numbers."""
    cells = [row[number] for row in table.rows]
    if not number or any(isinstance(cell.sort, str) for cell in cells):
        return "l"
    found = [match for cell in cells if _is_number(cell) and (match := _NUMBER.fullmatch(cell.text))]
    if not found:
        return "r"
    minus = "-" * any(match[1] for match in found)
    whole = max(len(match[2].replace(THIN, "")) for match in found)
    places = max(len(match[3] or "") for match in found)
    # siunitx counts the digits of an error in units of the last digit of the number: 1.23 +- 0.04 is 1.23(4)
    before_the_point = [match[4].replace(THIN, "").split(".")[0].lstrip("0") for match in found if match[4]]
    error = f"({max(max(map(len, before_the_point)) + places, 1)})" if before_the_point else ""
    return f"S[table-format={minus}{whole}{f'.{places}' * (places > 0)}{error}]"


def write(run: ExportedRun, folder: Path) -> list[Path]:
    r"""Write a file for each table, and tables.tex, which a document reads by `\input`."""
    files = []
    for name, table in run.tables().items():
        files.append(folder / f"{name}.tex")
        write_text(files[-1], latex_table(table, name.replace("_", "-")))
    head = f"% Tables of the run {run.metrics.name}, with {PACKAGES} in the preamble.\n"
    write_text(folder / "tables.tex", head + "".join(f"\\input{{{path.stem}}}\n" for path in files))
    return [*files, folder / "tables.tex"]
