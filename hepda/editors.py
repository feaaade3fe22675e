"""The JSON schema of the analysis file as a file of the package, for editors.

An editor with the YAML language server (VS Code's YAML extension, or `yaml-language-server` in others) completes and
checks keys of a file whose first line names the schema.
"""

from __future__ import annotations

import os
from pathlib import Path

SCHEMA = Path(__file__).parent / "analysis.schema.json"
"""The schema, made by `python docs/schema.py`: what `hepda schema` prints without the list of methods."""
MODELINE = "# yaml-language-server: $schema="


def modeline(folder: Path | None = None) -> str:
    """Return the first line of an analysis file, by which editors find the schema.

    Args:
        folder: where the file is, if the path shall be relative to it; None: an absolute address.

    """
    return MODELINE + (SCHEMA.as_uri() if folder is None else Path(os.path.relpath(SCHEMA, folder)).as_posix())


def with_modeline(text: str) -> str:
    """Return the text of an analysis file that begins with the line for editors."""
    return f"{modeline()}\n{text}"
