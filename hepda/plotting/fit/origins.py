"""The origins of a bias of the signal strength: one row for each part, one panel for each domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hepda.errors import DataError
from hepda.plotting.base.style import COLUMN, PAGE, Label, styled
from hepda.plotting.fit.rows import row_panels
from hepda.results.fit_file import OriginEntry

_PART, _TOGETHER = "#3f90da", "black"


@styled
def origins_figure(
    domains: Mapping[str, tuple[float, Sequence[OriginEntry]]],
    *,
    labels: Mapping[str, str] | None = None,
    label: Label | None = None,
) -> Figure:
    """Draw the parts of a bias by process: its rate, its distribution over the regions, its shape in each of them.

    Bars are the errors of the finite pseudo-data. The last row is the bias of the fit itself, a vertical line through
    all rows.

    Args:
        domains: by domain that is used as data, the bias of mu and its parts.
        labels: labels of processes and regions.
        label: label over the axes.

    Raises:
        DataError: no domain has parts.

    """
    rows = list(dict.fromkeys((o.process, o.part, o.region) for _, parts in domains.values() for o in parts))
    if not rows:
        raise DataError("the processes of no domain are known; there are no parts of a bias to draw")
    names = [_name(*row, labels or {}) for row in rows]
    width = PAGE if len(domains) > 1 else COLUMN
    drawn, [panels] = row_panels([[*names, "bias"]], label, beside=[1.0] * len(domains), width=width)
    reach = max([0.02, *(_reach(bias, parts) for bias, parts in domains.values())])
    for axes, (domain, (bias, parts)) in zip(panels, domains.items(), strict=True):
        _shade(axes, rows)
        for origin in parts:
            if origin.value is not None:
                y = rows.index((origin.process, origin.part, origin.region))
                axes.errorbar([origin.value], [y], xerr=[origin.error or 0.0], fmt="o", color=_PART, linewidth=0.9,
                              markersize=2.6, gid="part")  # fmt: skip
        axes.axvline(0.0, color="black", linewidth=0.6, zorder=1)
        axes.axvline(bias, color=_TOGETHER, linewidth=0.7, linestyle=(0, (3, 1.5)), zorder=1)
        axes.plot([bias], [len(rows)], marker="s", color=_TOGETHER, linestyle="none", markersize=3.0, gid="bias")
        axes.set_xlim(-1.1 * reach, 1.1 * reach)
        axes.xaxis.set_major_locator(MaxNLocator(4, symmetric=True))
        axes.set_xlabel(rf"$\Delta\hat{{\mu}}$, {(labels or {}).get(domain, domain.replace('_', ' '))}")
    return drawn


def _reach(bias: float, parts: Sequence[OriginEntry]) -> float:
    values = (abs(o.value) + (o.error or 0.0) for o in parts if o.value is not None)
    return max([abs(bias), *values])


def _shade(axes: Axes, rows: Sequence[tuple[str, str, str | None]]) -> None:
    """Shade the rows of every second process."""
    processes = [process for process, _, _ in rows]
    for number, name in enumerate(dict.fromkeys(processes)):
        if number % 2:
            first = processes.index(name)
            axes.axhspan(
                first - 0.5, first + processes.count(name) - 0.5, facecolor="#f3f3f3", edgecolor="none", zorder=0
            )


def _name(process: str, part: str, region: str | None, labels: Mapping[str, str]) -> str:
    """Return the name of a row."""
    text = labels.get(process, process.replace("_", " "))
    if part == "shape" and region is not None:
        return f"{text}: shape, {labels.get(region, region.replace('_', ' '))}"
    return f"{text}: {'rate' if part == 'rate' else 'between regions'}"
