"""The figures of a run by name: drawn anew from their data, as figures of their own or on axes of the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepda.errors import ConfigError, DataError, nearest
from hepda.runtime import figures
from hepda.runtime.figures import FigureEntry

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes


class RunFigure:
    """One figure of a run. A call draws it; in a notebook, its name alone shows it.

    Attributes:
        name: of its files, without suffix.
        title: as in the report.
        caption: as in the report.
        section: of the report.

    """

    def __init__(self, run: Path, entry: FigureEntry) -> None:
        self._run, self._entry = run, entry
        self.name, self.title, self.caption, self.section = entry.name, entry.title, entry.caption, entry.section

    def __call__(self, ax: Axes | Sequence[Axes] | None = None) -> Any:
        """Draw the figure.

        Args:
            ax: axes to draw on: one, for the first panel alone, or a sequence of as many as the figure has panels. None
                makes a new figure of matplotlib, at the size of a journal's column or page.

        Returns:
            The `Figure`; or `ax`, if it is given.

        Raises:
            ConfigError: the run has no data of the figure.
            DataError: the figure lays out its panels itself, or has another number of panels than `ax`.

        """
        from hepda.plotting.base.host import drawing_on

        plot = self._plot()
        if ax is None:
            drawn = plot.draw()
            _use_formulas_of_caller(drawn)
            return drawn
        drawn_on = [ax] if not isinstance(ax, Sequence) and not hasattr(ax, "ravel") else _flat(ax)
        try:
            with drawing_on(drawn_on):
                plot.draw()
        except DataError as error:
            raise DataError(f"{self.name}: {error}.") from error
        for axes in drawn_on:
            _use_formulas_of_caller(axes)
        return ax

    def _plot(self) -> Any:
        from hepda.plotting.base.plot import Plot

        path = self._run / self._entry.data
        if not self._entry.file or not path.is_file():
            why = self._entry.why or "an earlier hepda kept no data of its figures, or they were not copied with it"
            raise ConfigError(f"{self._run}: there are no data of the figure {self.title!r} ({why}).")
        try:
            return Plot.from_text(path.read_text(encoding="utf-8"))
        except DataError as error:
            raise DataError(f"{path}: {error}; `hepda evaluate {self._run}` makes them again.") from error

    def data(self) -> Any:
        """Return what is drawn: the arguments of the drawing function, by name (histograms, bands, numbers)."""
        import inspect

        plot = self._plot()
        bound = inspect.signature(plot.function).bind(*plot.arguments, **plot.options)
        return dict(bound.arguments)

    def save(self, path: str | Path) -> Path:
        """Write the figure to a file, whose suffix chooses the format (pdf, png, svg, ...), and return its path."""
        from hepda.errors import replacing
        from hepda.plotting.base.style import look

        target = Path(path)
        drawn = self._plot().draw()
        with replacing(target, target.suffix) as temporary, look():
            drawn.savefig(temporary)
        return target

    def _repr_png_(self) -> bytes:
        from hepda.plotting.base.style import png

        return png(self._plot().draw())

    def __repr__(self) -> str:
        return f"<figure {self.name}: {self.title}>"


class FigureGroup:
    """The figures whose names begin alike, such as `roc`: one for each domain. A call draws the first, or a named one.

    Attributes:
        members: the figures, by the rest of their names.

    """

    def __init__(self, name: str, members: Mapping[str, RunFigure]) -> None:
        self.name, self.members = name, dict(members)

    def __call__(self, which: str | None = None, ax: Axes | Sequence[Axes] | None = None) -> Any:
        """Draw one of the figures.

        Args:
            which: the rest of its name, such as the domain or the model; None: the first one.
            ax: axes to draw on, as of a single figure.

        Returns:
            The `Figure`; or `ax`, if it is given.

        Raises:
            ConfigError: there is no figure of this name.
            DataError: the figure cannot be drawn on these axes.

        """
        return self[which if which is not None else next(iter(self.members))](ax)

    def __getitem__(self, which: str) -> RunFigure:
        if which not in self.members:
            known = ", ".join(self.members)
            raise ConfigError(
                f"plot.{self.name}: there is no {which!r}.{nearest(which, self.members)} There are: {known}."
            )
        return self.members[which]

    def __iter__(self) -> Iterator[str]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self.members)

    def __repr__(self) -> str:
        return f"<figures {self.name}: {', '.join(self.members)}>"


class RunPlots(Mapping[str, RunFigure]):
    """All figures of a run: by name as attributes or items, and in groups, `plot.roc("third", ax=ax)`."""

    def __init__(self, run: Path) -> None:
        self._run = run
        entries = [entry for entry in figures.entries(run) if entry.file]
        self._figures = {entry.name: RunFigure(run, entry) for entry in entries}

    def __getitem__(self, name: str) -> RunFigure:
        if name not in self._figures:
            raise KeyError(self._unknown(name))
        return self._figures[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._figures)

    def __len__(self) -> int:
        return len(self._figures)

    def __getattr__(self, name: str) -> RunFigure | FigureGroup:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._figures:
            return self._figures[name]
        members = self._members(name)
        if not members:
            raise AttributeError(self._unknown(name))
        return FigureGroup(name, members)

    def _members(self, group: str) -> dict[str, RunFigure]:
        start = f"{group}_"
        return {name.removeprefix(start): f for name, f in self._figures.items() if name.startswith(start)}

    def _groups(self) -> list[str]:
        """Return the first words of the names, which are groups."""
        first = dict.fromkeys(name.partition("_")[0] for name in self._figures if "_" in name)
        return [word for word in first if word not in self._figures]

    def _unknown(self, name: str) -> str:
        names = [*self._groups(), *self._figures]
        if not names:
            return f"{self._run} has no figure {name!r}: its figures.json lists none."
        return f"{self._run} has no figure {name!r}.{nearest(name, names)} There are: {', '.join(names)}."

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name for name in (*self._groups(), *self._figures) if name.isidentifier())]

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._figures)

    def __repr__(self) -> str:
        lines = [f"{len(self)} figures of {self._run}"]
        return "\n".join([*lines, *(f"  {name}: {figure.title}" for name, figure in self._figures.items())])

    def _repr_html_(self) -> str:
        cells: Callable[[RunFigure], str] = lambda f: "".join(  # noqa: E731 - the row of one figure
            f"<td>{escape(text)}</td>" for text in (f.name, f.title, f.section)
        )
        rows = "".join(f"<tr>{cells(figure)}</tr>" for figure in self.values())
        return f"<table><tr><th>plot.</th><th>title</th><th>section</th></tr>{rows}</table>"


def _use_formulas_of_caller(artist: Artist) -> None:
    """Set formulas in the fonts of the caller's style: they are drawn by it, when that of hepda is no longer set."""
    from matplotlib import rcParams
    from matplotlib.text import Text

    for text in artist.findobj(Text):
        text.set_math_fontfamily(rcParams["mathtext.fontset"])


def _flat(axes: Any) -> list[Axes]:
    """Return a sequence, or an array as `plt.subplots` returns it, as a list."""
    return list(axes.ravel()) if hasattr(axes, "ravel") else list(axes)
