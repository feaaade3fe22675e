"""Figures with a row for each parameter: names at the left, panels beside and below each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from hepda.plotting.base.host import is_hosted
from hepda.plotting.base.style import COLUMN, Canvas, Label

BANDS = ((2.0, "#f0f0f0"), (1.0, "#dcdcdc"))  # of pulls, in standard deviations
_LINE = 0.165  # inches: the height of a row
_TOP, _RIGHT, _GAP = 0.24, 0.14, 0.1
AXIS = 0.4  # inches below a panel for its axis


def nice(name: str, kind: str, labels: Mapping[str, str] | None = None) -> str:
    """Return a readable name.

    The simulation's statistics are identified by their region and bin, counted from 1; a parameter of a process or
    region, `<name>_<part>`, has the label of its systematic and the part.
    """
    if labels and name in labels:
        return labels[name]
    if kind in ("systematic", "free") and labels:
        owner = max((known for known in labels if name.startswith(f"{known}_")), key=len, default=None)
        if owner is not None:
            part = name.removeprefix(f"{owner}_")
            return f"{labels[owner]}, {labels.get(part, part.replace('_', ' '))}"
    if kind == "poi" or (kind == "free" and name.startswith("mu_")):
        return r"$\mu$" + name.removeprefix("mu").replace("_", " ")
    if kind == "statistics" and name.endswith("]"):
        region, _, number = name.removeprefix("staterror_").rpartition("[")
        return f"MC stat., {(labels or {}).get(region, region.replace('_', ' '))}, bin {int(number[:-1]) + 1}"
    return name.replace("_", " ")


def row_panels(
    groups: Sequence[Sequence[str]],
    label: Label | None,
    *,
    beside: Sequence[float] = (1.0,),
    width: float = COLUMN,
    room: float = 0.0,
) -> tuple[Figure, list[list[Axes]]]:
    """Make panels below each other, one for each group of rows, with the names at the left, the first on top.

    Args:
        groups: names of the rows of each panel.
        label: label over the axes.
        beside: relative widths of the panels beside each other in each group.
        width: width of the figure in inches.
        room: inches below everything.

    Returns:
        The figure, and for each group its panels from left to right.

    """
    drawn = Figure(figsize=(width, 4.0))
    Canvas(drawn)
    left = 0.14 + widest([name for names in groups for name in names], 7.0)
    height = _TOP + room + sum(_LINE * len(names) + 0.06 + AXIS for names in groups)
    drawn.set_size_inches(width, height)
    inner = width - left - _RIGHT - _GAP * (len(beside) - 1)
    upper, panels = height - _TOP, []
    for names in groups:
        tall = _LINE * len(names) + 0.06
        row: list[Axes] = []
        start = left
        for share in beside:
            wide = inner * share / sum(beside)
            box = (start / width, (upper - tall) / height, wide / width, tall / height)
            row.append(drawn.add_axes(box, sharey=row[0] if row else None))
            row[-1].tick_params(axis="y", which="both", length=0, labelleft=len(row) == 1, labelsize=7)
            start += wide + _GAP
        row[0].set_yticks(range(len(names)), names)
        row[0].yaxis.set_minor_locator(NullLocator())
        row[0].set_ylim(len(names) - 0.4, -0.6)
        panels.append(row)
        upper -= tall + AXIS
    if label is not None:
        drawn.text(0.05 / width, 1 - 0.05 / height, label.status, weight="bold", va="top", gid="label")
        drawn.text(1 - _RIGHT / width, 1 - 0.05 / height, label.right, ha="right", va="top", gid="label")
    return drawn, panels


def widest(names: Sequence[str], size: float) -> float:
    """Return the width of the longest name in inches, in letters of `size` points."""
    probe = Figure()
    Canvas(probe)
    texts = [probe.text(0.0, 0.0, name, fontsize=size) for name in names]
    return max(float(text.get_window_extent().width) for text in texts) / probe.dpi


def draw_pulls(axes: Axes, rows: Sequence[int], pulls: Sequence[float], constraints: Sequence[float]) -> None:
    """Draw pulls with their errors over the bands of one and two standard deviations of the prior."""
    for width, colour in BANDS:
        axes.axvspan(-width, width, facecolor=colour, edgecolor="none", zorder=0, gid="band")
    axes.axvline(0.0, color="black", linewidth=0.6, linestyle=(0, (3, 1.5)), zorder=1)
    axes.errorbar(pulls, rows, xerr=constraints, fmt="o", color="black", linewidth=0.9, markersize=2.6, zorder=3)
    reach = max([2.3, *(1.08 * (abs(p) + c) for p, c in zip(pulls, constraints, strict=True))])
    axes.set_xlim(-reach, reach)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, symmetric=True))


def say_left_out(drawn: Figure, text: str) -> None:
    """Write at the lower left what is not drawn; not into the figure of a caller, whose layout is unknown."""
    if text and not is_hosted():
        width, height = drawn.get_size_inches()
        drawn.text(0.05 / width, 0.04 / height, text, fontsize=6.5, va="bottom", gid="left out")
