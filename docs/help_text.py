"""Write hepda/help.txt: what `hepda --help` prints, so that it needs no library. A test compares the two."""

from __future__ import annotations

import contextlib
import io
import os

from hepda import start
from hepda.cli import main


def help_text() -> str:
    """Return what the command line prints for `--help` on a terminal of `start.WIDTH` columns."""
    columns, os.environ["COLUMNS"] = os.environ.get("COLUMNS"), str(start.WIDTH)
    try:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            main(["--help"])
    finally:
        del os.environ["COLUMNS"]
        if columns is not None:
            os.environ["COLUMNS"] = columns
    return out.getvalue()


if __name__ == "__main__":
    with open(start.HELP, "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(help_text())
