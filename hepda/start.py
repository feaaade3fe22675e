"""The `hepda` command: the help and the versions at once, everything else by hepda.cli.

Importing the libraries of the command line takes twice as long as Python's own start, so the first page of the help is
a file, made by `python docs/help_text.py`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

HELP = os.path.join(os.path.dirname(__file__), "help.txt")  # noqa: PTH118, PTH120 - pathlib takes a tenth of the time
"""What `hepda --help` prints on a terminal of at least `WIDTH` columns."""
WIDTH = 80


def entry() -> None:
    """Run the `hepda` command and exit."""
    text = prepared(sys.argv[1:])
    if text is None:
        from hepda import cli

        sys.exit(cli.main())
    sys.stdout.write(text)


def prepared(arguments: Sequence[str]) -> str | None:
    """Return what the command prints, where that is known without the command line's libraries; else None."""
    if list(arguments) == ["--version"]:
        from hepda.versions import versions

        return versions()
    if list(arguments) != ["--help"] or _columns() < WIDTH or not os.path.exists(HELP):  # noqa: PTH110
        return None
    with open(HELP, encoding="utf-8") as file:  # noqa: PTH123
        return file.read()


def _columns() -> int:
    """Return the width of the terminal, `WIDTH` if there is none."""
    try:
        return int(os.environ.get("COLUMNS", "")) or WIDTH
    except ValueError:
        pass
    try:
        return os.get_terminal_size().columns or WIDTH
    except OSError:
        return WIDTH
