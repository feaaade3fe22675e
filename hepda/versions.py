"""What is installed: the versions that `hepda --version` prints."""

from __future__ import annotations

import re
import sys
from importlib import metadata

from hepda import __version__


def versions() -> str:
    """Return the versions of hepda, of Python and of the installed packages that it needs or can use, a line each."""
    lines = {"hepda": __version__, "python": f"{sys.version.split()[0]} on {sys.platform}"}
    try:
        needed = metadata.requires("hepda") or []
    except metadata.PackageNotFoundError:  # not installed, but on the path
        needed = []
    for requirement in needed:
        text, _, condition = requirement.partition(";")
        name = re.split(r"[^\w.-]", text.strip(), maxsplit=1)[0]
        if "test" in condition:
            continue
        try:
            lines[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            if "extra" not in condition:
                lines[name] = "is missing"
    return "".join(f"{name} {version}\n" for name, version in lines.items())
