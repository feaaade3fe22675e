"""The option `--plots`: how much is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Plots(StrEnum):
    """Which figures a command draws; the data of all of them are kept, so that `hepda report` can draw the others."""

    NONE = "none"
    """No figure; those of before that are still right stay."""
    FEW = "few"
    """The figures that are looked at first, PNG."""
    ALL = "all"
    """Every figure, PNG and PDF."""


@dataclass(frozen=True, slots=True)
class PlotOptions:
    """Which figures a command draws, and another folder that gets them too.

    folder: None for plots/<name> if the run directory is runs/<name>.
    """

    which: Plots = Plots.FEW
    folder: Path | None = None
