"""Write docs/licences.md: the licence of every library that hepda needs, as its metadata state it. A test compares.

python docs/licences.py          from the environment that runs it
"""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

PAGE = Path(__file__).parent / "licences.md"
PROJECT = Path(__file__).parents[1] / "pyproject.toml"
HEAD = """# Licences

hepda is under the [BSD 3-clause licence](https://opensource.org/license/bsd-3-clause). It contains no code of others.
The libraries that it needs, and those of its extras, have the licences below, as their metadata state them. The extras
`generate` (Pythia, fastjet) and `speech` (libsndfile, in soundfile) bring libraries under the GPL or LGPL, which apply
to what is distributed together with them. Licences of data sets: `hepda data list`.

pesq (extra `quality`) contains the reference code of ITU-T P.862. Its owners (Psytechnics, OPTICOM) allow only the uses
that the notice in its source files lists, such as an evaluation without commercial use of PESQ as a predictor of the
quality of a system; any other use needs a licence from them.

Made by `python docs/licences.py`.

| library | for | licence |
|---|---|---|
"""
SHORT = {
    "BSD License": "BSD", "MIT License": "MIT", "Apache Software License": "Apache-2.0",
    "Python Software Foundation License": "PSF-2.0", "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0+",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0+",
}  # fmt: skip


NOT_IN_METADATA = {
    "skops": "MIT", "scikit-image": "BSD-3-Clause", "s3fs": "BSD-3-Clause", "torchvision": "BSD-3-Clause",
    "xgboost": "Apache-2.0", "mlflow-skinny": "Apache-2.0",
}  # fmt: skip
"""Licences of libraries that do not state them, or that an environment for the tests does not have."""


def requirements() -> list[tuple[str, str]]:
    """Return the libraries that hepda declares, with the extra that needs each, without those of tests and pages."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    groups = {"": project["dependencies"]} | project["optional-dependencies"]
    found = {
        re.split(r"[\s<>=!~;\[(]", requirement, maxsplit=1)[0]: extra
        for extra, needed in groups.items()
        if extra not in {"test", "docs"}
        for requirement in reversed(needed)
    }
    return sorted(found.items(), key=lambda entry: (entry[1], entry[0].lower()))


def licence_of(name: str) -> str:
    """Return the licence of a library in few words."""
    if name in NOT_IN_METADATA:
        return NOT_IN_METADATA[name]
    try:
        about = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return "not known: the library is not installed"
    if expression := about.get("License-Expression"):
        return str(expression)
    classified = [
        entry.rsplit(" :: ", 1)[1] for entry in about.get_all("Classifier") or [] if entry.startswith("License ::")
    ]
    named = [SHORT.get(entry, entry) for entry in classified if entry != "OSI Approved"]
    stated = str(about.get("License") or "").strip()
    return ", ".join(named) or (stated.splitlines()[0] if stated else "not stated in its metadata")


def page() -> str:
    """Return the page."""
    lines = [
        f"| {name} | {f'extra `{extra}`' if extra else 'hepda'} | {licence_of(name)} |"
        for name, extra in requirements()
    ]
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
