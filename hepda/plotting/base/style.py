"""Style of all figures of hepda: sizes, fonts, colours, the label over the axes, and saving.

The style is mplhep's CMS style made neutral and set at print size: figures are drawn at the width of a
journal column (8.6 cm) or of a page (17.8 cm) with 7 to 9 pt letters, so that they are included without
scaling. Colours are the palette of M. Petroff (arXiv:2107.02270, ten colours), which is distinguishable with
colour-vision deficiency; lines differ in dashes and markers as well, so that a grey print is still readable.

Nothing here changes pyplot's global state: figures are `matplotlib.figure.Figure` objects, and the style is
active only while `styled` functions run.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, ParamSpec, TypeVar

import matplotlib as mpl
import mplhep
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import NullFormatter

from hepda.plotting.base.files import write_atomically
from hepda.plotting.base.host import figure_of, is_hosted, panels_of_host
from hepda.plotting.base.plot import DRAWS
from hepda.plotting.base.ticks import lighten

COLUMN = 8.6 / 2.54  # inches: one column of a journal
PAGE = 17.8 / 2.54  # inches: both columns
DPI = 200  # 8.6 cm are then 677 pixels: sharp on a screen, and small enough to embed in the report

# Petroff's ten, ordered here so that the ones that are visible as thin lines on white come first.
PALETTE = (
    "#3f90da",
    "#bd1f01",
    "#e76300",
    "#717581",
    "#832db6",
    "#a96b59",
    "#ffa90e",
    "#94a4a2",
    "#b9ac70",
    "#92dadb",
)
DASHES: tuple[Any, ...] = (
    "solid",
    (0, (5, 1.5)),
    (0, (6, 1.5, 1, 1.5)),
    (0, (1.5, 1)),
    (0, (6, 1.5, 1, 1.5, 1, 1.5)),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")
# Models: no colour of a domain, of data or of a signal, so that a colour has one meaning in all figures of a run.
# Neighbours differ in lightness, which colour-vision deficiency leaves; dashes and markers differ too.
MODEL_PALETTE = (
    "#00796b",
    "#d81b74",
    "#c28e0e",
    "#5c6770",
    "#7a4a2b",
    "#7cb518",
    "#1aa7c4",
    "#e39ad0",
    "#33502a",
    "#a8a35a",
)
RESERVED_MODELS = {"network": 0, "dann": 1, "dann_data": 2, "bdt": 3}
DOMAIN_COLOURS = {
    "simulation": "#3f90da",
    "alternative": "#e76300",
    "third": "#832db6",
    "data": "#000000",
    "nature": "#a96b59",
    "source": "#3f90da",
    "target": "#e76300",
}
# Fills of a stack: none of them is the colour of an alternative's line that is drawn over them.
FILLS = ("#3f90da", "#92dadb", "#717581", "#b9ac70", "#a96b59", "#94a4a2", "#ffa90e")

_CMS: Mapping[str, Any] = mplhep.style.CMS
STYLE: Any = {
    **{key: value for key, value in _CMS.items() if key.startswith(("font.", "mathtext.", "xtick.", "ytick."))},
    "font.sans-serif": ["TeX Gyre Heros", "Helvetica", "Arial", "DejaVu Sans"],
    "font.size": 8.0,
    "text.hinting": "none",  # with hints the dot of a small i is lost: "Pre-flt"
    "axes.labelsize": 8.5,
    "axes.titlesize": 8.5,
    "axes.linewidth": 0.7,
    "axes.labelpad": 2.0,
    "axes.titley": 1.0,  # fixed: to look for what is above the axes takes as long as to draw a tenth of the figure
    "axes.unicode_minus": True,
    "axes.prop_cycle": cycler(color=list(PALETTE)),
    "axes.formatter.use_mathtext": False,  # digits without formulas: parsing them took a third of the time
    "axes.formatter.useoffset": False,
    "xaxis.labellocation": "right",
    "yaxis.labellocation": "top",
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    **{
        f"{axis}tick.{which}.{key}": size
        for axis in "xy"
        for which, length, width in (("major", 3.5, 0.6), ("minor", 1.8, 0.45))
        for key, size in (("size", length), ("width", width), ("pad", 2.5))
    },
    "lines.linewidth": 1.2,
    "lines.markersize": 3.0,
    "hatch.linewidth": 0.35,
    "legend.fontsize": 7.0,
    "legend.frameon": False,
    "legend.handlelength": 1.7,
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.0,
    "legend.labelspacing": 0.3,
    "legend.borderaxespad": 0.4,
    "legend.borderpad": 0.1,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "savefig.transparent": False,
    "pdf.fonttype": 3,  # outlines: TeX Gyre is an OpenType font, which type 42 embeds at twice the time
}


class Canvas(FigureCanvasAgg):
    """A canvas whose formulas are parsed once in a process, not once for each figure: all share a cache of them."""

    _formulas: ClassVar[Any] = None

    def get_renderer(self) -> RendererAgg:
        """Return the renderer of the size of the figure."""
        renderer: RendererAgg = super().get_renderer()  # type: ignore[no-untyped-call]
        Canvas._formulas = Canvas._formulas or renderer.mathtext_parser
        renderer.mathtext_parser = Canvas._formulas
        return renderer


P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def look() -> Iterator[None]:
    """Apply hepda's style within a block; the caller's settings are restored afterwards."""
    with mpl.rc_context(STYLE):
        yield


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Make a drawing function run under `look`, with light minor ticks, and let figures kept as text name it."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        with look():
            drawn = function(*args, **kwargs)
            if isinstance(drawn, Figure) and not is_hosted():
                for axes in drawn.axes:
                    lighten(axes)
            return drawn

    setattr(wrapper, DRAWS, True)
    return wrapper


@dataclass(frozen=True, slots=True)
class Label:
    """Label over the axes: on the left the kind of events, on the right their origin.

    Attributes:
        status: "Simulation", "Pseudo-data", "Data", ... (bold).
        energy: in TeV; omitted when None, as for images and speech.
        luminosity: in 1/fb, or a text that is written as it is; omitted when None.
        note: one more line inside the axes, such as the selection.

    """

    status: str = "Simulation"
    luminosity: float | str | None = None
    energy: float | None = 13.0
    note: str = ""

    @property
    def right(self) -> str:
        """The text on the right, such as "√s = 13 TeV, 1.0 fb⁻¹"."""
        parts = []
        if self.energy is not None:
            parts.append(f"√s = {self.energy:g} TeV")
        if isinstance(self.luminosity, str):
            parts.append(self.luminosity)
        elif self.luminosity is not None:
            number = f"{self.luminosity:.1f}" if self.luminosity < 100 else f"{self.luminosity:.0f}"
            parts.append(rf"{number} fb$^{{-1}}$")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class AxisTexts:
    """Labels of axes that replace the usual ones of a figure; "" for the usual one. ratio: of y in the lower panel."""

    x: str = ""
    y: str = ""
    ratio: str = ""


USUAL_TEXTS = AxisTexts()


@dataclass(frozen=True, slots=True)
class LineStyle:
    """Line style of one model in every figure."""

    colour: str
    dashes: Any
    marker: str


def model_styles(names: Iterable[str]) -> dict[str, LineStyle]:
    """Return one colour, dash pattern and marker per model, the same in every figure and in every run.

    `network`, `dann`, `dann_data` and `bdt` have reserved styles, so that a colour never changes its meaning
    from run to run; the other models take the free styles, in the order given. A run without any of those names has
    the full palette. Beyond ten models colours are repeated with other dashes and markers.
    """
    names = list(dict.fromkeys(names))
    slots = {name: RESERVED_MODELS[name] for name in names if name in RESERVED_MODELS}
    reserved = set(RESERVED_MODELS.values()) if slots else set()
    free = (slot for slot in range(len(names) + len(reserved) + 1) if slot not in reserved)
    for name in names:
        if name not in slots:
            slots[name] = next(free)
    n = len(MODEL_PALETTE)
    return {
        name: LineStyle(MODEL_PALETTE[i % n], DASHES[(i + i // n) % len(DASHES)], MARKERS[(i + i // n) % len(MARKERS)])
        for name, i in ((name, slots[name]) for name in names)
    }


def domain_colours(names: Iterable[str]) -> dict[str, str]:
    """Return one colour per domain; the usual ones (simulation, alternative, third, data) are fixed."""
    names = list(dict.fromkeys(names))
    fixed = {name: DOMAIN_COLOURS[name] for name in names if name in DOMAIN_COLOURS}
    free = [colour for colour in PALETTE if colour not in DOMAIN_COLOURS.values()]
    free_names = [name for name in names if name not in fixed]
    return fixed | {name: free[i % len(free)] for i, name in enumerate(free_names)}


def sample_colours(names: Iterable[str], signal: Iterable[str] = ()) -> dict[str, str]:
    """Return one colour per sample of a stack, in the order given: red for signal, the palette for the others."""
    signal = set(signal)
    background = [name for name in names if name not in signal]
    reds = (PALETTE[1], "#e5533b", "#7d1500")
    colours = {name: FILLS[i % len(FILLS)] for i, name in enumerate(background)}
    return colours | {name: reds[i % len(reds)] for i, name in enumerate(sorted(signal))}


def axes_label(axes: Axes, label: Label | None, *, left: float = 0.0) -> None:
    """Write the label over the axes; the status begins at `left`, in fractions of their width."""
    if label is None:
        return
    axes.text(
        left,
        1.015,
        label.status,
        transform=axes.transAxes,
        ha="left",
        va="bottom",
        weight="bold",
        gid="label",
    )
    axes.text(1.0, 1.015, label.right, transform=axes.transAxes, ha="right", va="bottom", gid="label")


def figure(
    width: float = COLUMN, height: float = COLUMN * 0.8, *, left: float = 0.54, bottom: float = 0.38
) -> tuple[Figure, Axes]:
    """Make a figure of one axes at the stated size (inches), with margins (inches) that hold its labels."""
    hosted = panels_of_host(1)
    if hosted is not None:
        return figure_of(hosted[0]), hosted[0]
    drawn = Figure(figsize=(width, height))
    Canvas(drawn)
    right, top = 0.16, 0.22
    box = (left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height)
    return drawn, drawn.add_axes(box)


def ratio_figure(width: float = COLUMN, height: float = COLUMN * 0.95) -> tuple[Figure, Axes, Axes]:
    """Make a figure with a main panel and, below it on the same x axis, a ratio panel of 28 % of the height."""
    hosted = panels_of_host(2)
    if hosted is not None:
        return figure_of(hosted[0]), hosted[0], hosted[1]
    drawn = Figure(figsize=(width, height))
    Canvas(drawn)
    left, right, bottom, top, gap = 0.54, 0.16, 0.38, 0.22, 0.10
    inner = height - bottom - top - gap
    main = drawn.add_axes(
        (
            left / width,
            (bottom + gap + 0.28 * inner) / height,
            1 - (left + right) / width,
            0.72 * inner / height,
        )
    )
    ratio = drawn.add_axes(
        (left / width, bottom / height, 1 - (left + right) / width, 0.28 * inner / height), sharex=main
    )
    main.tick_params(axis="x", labelbottom=False)
    return drawn, main, ratio


def legend_above(axes: Axes, *, columns: int | None = None, note: str = "", **options: Any) -> Legend:
    """Put the legend at the top of the axes and raise the upper limit until everything drawn is below it.

    The limits at the time of the call must enclose what is drawn. Works for linear and logarithmic
    axes. There are as many columns as fit (three at most) unless given; `note` is above the entries.
    """
    handles, labels = axes.get_legend_handles_labels()
    if "handles" in options:
        handles, labels = options.pop("handles"), options.pop("labels")

    def place(count: int) -> Legend:
        return axes.legend(
            handles,
            labels,
            loc="upper left",
            ncols=min(count, max(len(labels), 1)),
            alignment="left",
            title_fontsize=7.0,
            **options,
        )

    inverse = axes.transAxes.inverted()
    legend = place(columns or 3)
    for count in (2, 1) if columns is None else ():
        if legend.get_window_extent().transformed(inverse).x1 <= 1.0:
            break
        legend = place(count)
    if note:
        legend.set_title(note)
    raise_limit(axes, legend_bottom(legend) - 0.03)
    return legend


def legend_beside(axes: Axes, *, note: str = "") -> Legend:
    """Put the legend in the upper right corner and raise the upper limit until the lines below it are clear of it.

    For curves that fall from left to right: what is drawn left of the legend may reach higher than its lower end. The
    limits at the time of the call must enclose what is drawn.
    """
    legend = axes.legend(loc="upper right", alignment="left", title_fontsize=7.0)
    if note:
        legend.set_title(note)
    box = legend.get_window_extent().transformed(axes.transAxes.inverted())
    reached = 0.0
    for line in axes.get_lines():
        if line.get_transform() != axes.transData:
            continue
        x, y = axes.transAxes.inverted().transform(axes.transData.transform(line.get_xydata())).T
        below = (x >= box.x0 - 0.02) & np.isfinite(y)
        reached = max(reached, float(np.max(y[below], initial=0.0)))
    if reached > box.y0 - 0.04:
        raise_limit(axes, (box.y0 - 0.04) / reached)
    return legend


def legend_bottom(legend: Legend) -> float:
    """Return the lower end of a legend, in fractions of the height of its axes."""
    return float(legend.get_window_extent().transformed(legend.axes.transAxes.inverted()).y0)


def height_for(entries: int, base: float, *, columns: int = 2) -> float:
    """Return the height (inches) of a figure with a long legend: entries beyond six add height to `base`."""
    return base + 0.14 * max(0, -(-entries // columns) - 6 // columns)


def raise_limit(axes: Axes, fraction: float) -> None:
    """Raise the upper limit of y so that what reached the top now reaches `fraction` of the height."""
    fraction = min(max(fraction, 0.25), 1.0)
    low, high = axes.get_ylim()
    if axes.get_yscale() == "log":
        axes.set_ylim(low, float(low * (high / low) ** (1 / fraction)))
    else:
        axes.set_ylim(low, low + (high - low) / fraction)


def log_axis(axes: Axes, low: float, high: float) -> None:
    """Make y logarithmic from `low` to `high`, two decades at least, with numbers only at powers of ten."""
    axes.set_yscale("log")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(min(low, high / 100), high)


def scale_counts(axes: Axes, label: str) -> None:
    """Label y with `label`; from 100 000 on, ticks count thousands or millions and the label states it.

    matplotlib's own "x10^3" would overlap the label over the axes.
    """
    top = max(abs(v) for v in axes.get_ylim())
    exponent = 0 if top < 1e5 or axes.get_yscale() == "log" else 3 * int((np.log10(top) - 1) // 3)
    if exponent:
        axes.yaxis.set_major_formatter(lambda value, _: f"{value / 10**exponent:g}")
        label = rf"$10^{{{exponent}}}$ {label[0].lower()}{label[1:]}"
    axes.set_ylabel(label)


def is_colour(text: str) -> bool:
    """Return whether a colour exists in matplotlib."""
    return bool(mpl.colors.is_color_like(text))


def formula_error(text: str) -> str | None:
    """Return matplotlib's error message for a formula in a text of a figure, on one line; None if there is no error."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import MathTextParser

    if text.replace(r"\$", "").count("$") % 2:  # matplotlib writes such a text unchanged
        return None
    with look():
        try:
            for output in ("agg", "path"):  # PNG and PDF
                MathTextParser(output).parse(text, DPI, FontProperties())
        except ValueError as error:
            return " ".join(str(error).split()).rpartition("Exception: ")[2]
    return None


def png(drawn: Figure, dpi: int = DPI) -> bytes:
    """Return the figure as PNG bytes, the same bytes for the same figure."""
    buffer = io.BytesIO()
    with look():
        drawn.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def pdf(drawn: Figure) -> bytes:
    """Return the figure as PDF bytes, without dates, so that the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with look():
        drawn.savefig(buffer, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": "hepda"})
    return buffer.getvalue()


def save(drawn: Figure, folder: str | Path, name: str) -> tuple[Path, Path]:
    """Write `folder/name.png` and `folder/name.pdf`, each complete or not at all; return both paths.

    Args:
        drawn: the figure.
        folder: folder of the files.
        name: name of the files without their suffixes.

    Raises:
        OSError: the folder cannot be made or written.

    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"{name}.png", folder / f"{name}.pdf"
    for path, content in zip(paths, (png(drawn), pdf(drawn)), strict=True):
        write_atomically(path, content)
    return paths
