"""`hepda example`: a folder with toy events and an analysis file, to try the commands on."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from hepda.datasets import toy_events
from hepda.errors import ConfigError
from hepda.runtime import run_directory

ANALYSIS = "toy.yaml"
FEWEST = 500
"""Events of a file that leave enough for both folds and the validation of a training."""


def write(folder: Path, events: int) -> Path:
    """Write toy events and an analysis file that trains on them.

    Args:
        folder: must not exist, or be empty.
        events: of each file.

    Returns:
        the analysis file.

    Raises:
        ConfigError: the folder is in use, or there are too few events for a training.

    """
    if events < FEWEST:
        raise ConfigError(f"--events {events}: the models of the example need at least {FEWEST}.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: exists already; give a new folder.")
    toy_events.write_events(folder, events)
    text = resources.files("hepda.datasets").joinpath(ANALYSIS).read_text(encoding="utf-8")
    run_directory.write_text(folder / ANALYSIS, text)
    return folder / ANALYSIS
