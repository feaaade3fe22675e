"""`hepda data`: the data sets of the image and speech benchmarks, listed, fetched, found."""

from __future__ import annotations

from typing import Annotated

import typer

data = typer.Typer(no_args_is_help=True, help="Data sets of the image and speech benchmarks.", rich_markup_mode=None)


@data.command("list")
def data_list() -> None:
    """List what there is: name, whether it is here or made here, title, licence."""
    from hepda.datasets import download

    for name, where, title in download.listing():
        typer.echo(f"{name:16} {where:9} {title}")


@data.command("fetch")
def data_fetch(names: Annotated[list[str], typer.Argument(help="Names of `hepda data list`.")]) -> None:
    """Download data sets that are not here; an interrupted download goes on, a wrong checksum is refused.

    Data sets that are here are compared with their checksums. Downloads are kept in the folder HEPDA_DATASETS (or in
    the user's cache folder); folders in HEPDA_DATA are searched first.
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
            said = f"verified by {compared}" if compared else "not verified: no checksum of it in this form is known"
            typer.echo(f"{part}: {said}", err=True)


@data.command("path")
def data_path(name: Annotated[str, typer.Argument(help="A name of `hepda data list`.")]) -> None:
    """Where the files of a data set lie; what to do if they are not here."""
    from hepda.datasets import download

    for part in download.parts_of(name):
        for path in download.path_of(part):
            typer.echo(str(path))
