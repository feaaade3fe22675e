"""`hepda data`: the data sets of the image and speech benchmarks, listed, fetched, found."""

from __future__ import annotations

from typing import Annotated

import typer

data = typer.Typer(no_args_is_help=True, help="Data sets of the image and speech benchmarks.", rich_markup_mode=None)


@data.command("list")
def data_list() -> None:
    """List the data sets: name, whether it is present or made by hepda, title, licence."""
    import shutil
    import sys
    import textwrap

    from hepda.datasets import download

    width = max(shutil.get_terminal_size().columns, 60) if sys.stdout.isatty() else 0  # a pipe gets one line each
    for name, where, title in download.listing():
        line = f"{name:16} {where:9} {title}"
        typer.echo(textwrap.fill(line, width, subsequent_indent=" " * 27) if width else line)


@data.command("fetch")
def data_fetch(names: Annotated[list[str], typer.Argument(help="Names of `hepda data list`.")]) -> None:
    """Download missing data sets; an interrupted download is continued, a wrong checksum is refused.

    Data sets that are present are compared with their checksums. Downloads are kept in the folder HEPDA_DATASETS (or in
    the cache folder of the user); folders in HEPDA_DATA are searched first.
    """
    from hepda.datasets import download
    from hepda.runtime.console import Bars

    parts = [part for name in names for part in download.parts_of(name)]
    with Bars() as bars:
        for part in parts:
            paths = download.fetch(part, bars.step)
            compared = download.verify(part, paths)
            for path in paths:
                typer.echo(str(path))
            result = f"verified by {compared}" if compared else "not verified: no checksum of it in this form is known"
            typer.echo(f"{part}: {result}", err=True)


@data.command("path")
def data_path(name: Annotated[str, typer.Argument(help="A name of `hepda data list`.")]) -> None:
    """Print the paths of the files of a data set, or how to obtain them if they are missing."""
    from hepda.datasets import download

    for part in download.parts_of(name):
        for path in download.path_of(part):
            typer.echo(str(path))
