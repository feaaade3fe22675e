"""Draw figures of a finished run that were not asked for before, and write its report again."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hepda.config import load_any
from hepda.errors import ConfigError
from hepda.kinds import kind_of
from hepda.runtime import exchange, figures, run_directory
from hepda.runtime.locks import locked
from hepda.runtime.log import LOG, logged
from hepda.runtime.plots import PlotOptions, Plots
from hepda.runtime.pool import preload
from hepda.runtime.progress import Clock, Progress
from hepda.workflows.train import draw_and_report, plots_of, processes_of

DRAWING = ("torch", "hepda.events.fit.figures", "hepda.plotting.base.style", "matplotlib.backends.backend_pdf")
"""Modules that the processes import which draw; a pool sets the threads of torch."""


@dataclass(slots=True)
class ReportOutcome:
    """The page, how many figures of the run are drawn and how many are not, and how long each stage took (s)."""

    report: Path
    drawn: int
    left: int
    seconds: dict[str, float] = field(default_factory=dict)


def report(run: Path, plots: PlotOptions | None, progress: Progress) -> ReportOutcome:
    """Draw figures of a run from their data, as far as they are not drawn yet, and write its report again.

    Nothing is read but the run directory, and nothing is trained or evaluated.

    Args:
        run: the run directory.
        plots: which figures are drawn, and another folder that gets them too, as of `train`.
        progress: receives stages and steps.

    Raises:
        ConfigError: `run` is no run directory, has no data of its figures, or another process writes there.

    """
    exchange.settle(run, "report")
    run_directory.read_manifest(run)
    config = load_any(run / "config.yaml")
    plots = plots_of(plots, run, config.name)
    if plots.folder is not None:
        run_directory.check_writable(plots.folder, "--plots-folder")
    with locked(run, "report"), logged("report") as file:
        listed = figures.entries(run)
        if not (run / run_directory.REMARKS).is_file() or any(e.drawn is None for e in listed if e.by == "evaluate"):
            raise ConfigError(
                f"{run} was made by an earlier hepda, which kept no data of the figures. Evaluate it once: hepda "
                f"evaluate {run} --plots {plots.which}"
            )
        file.write_to(run / LOG)
        if plots.which is Plots.ALL and processes_of(config) > 1:
            preload(DRAWING)
        clock = Clock(progress)
        page = draw_and_report(config, kind_of(config), run, plots, clock)
    left = len(figures.not_drawn(run))
    return ReportOutcome(page, len(figures.shown(run)[0]), left, clock.seconds)
