"""The numbers of the figures of a run as tables of HEPData.

A figure is converted by a function with the arguments of the function that draws it, a line of CONVERTERS.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from hepda import __version__
from hepda.errors import ConfigError, MissingExtraError
from hepda.export.finished_run import ExportedRun
from hepda.export.hepdata.submission import NamedTable, write_submission
from hepda.export.hepdata.tables import FigureTable
from hepda.plotting.base.plot import Plot
from hepda.runtime import figures

log = logging.getLogger(__name__)

_FITS, _SCORES, _REGRESSIONS, _TRAININGS = (
    f"hepda.export.hepdata.of_{name}" for name in ("fits", "scores", "regressions", "trainings")
)
CONVERTERS = {
    "hepda.plotting.fit.regions:region_figure": f"{_FITS}:region",
    "hepda.plotting.fit.regions:summary_figure": f"{_FITS}:summary",
    "hepda.plotting.fit.parameters:parameters_figure": f"{_FITS}:parameters",
    "hepda.plotting.fit.ranking:ranking_figure": f"{_FITS}:ranking",
    "hepda.plotting.fit.correlations:correlation_figure": f"{_FITS}:correlations",
    "hepda.plotting.fit.scan:scan_figure": f"{_FITS}:scan",
    "hepda.plotting.fit.origins:origins_figure": f"{_FITS}:origins",
    "hepda.plotting.fit.strengths:strengths_figure": f"{_FITS}:strengths",
    "hepda.plotting.fit.closure:closure_bias_figure": f"{_FITS}:closure",
    "hepda.plotting.scores.features:feature_figure": f"{_SCORES}:feature",
    "hepda.plotting.scores.shapes:shape_figure": f"{_SCORES}:shape",
    "hepda.plotting.scores.roc:roc_figure": f"{_SCORES}:roc",
    "hepda.plotting.scores.roc:purity_curves_figure": f"{_SCORES}:purities",
    "hepda.plotting.scores.correlations:correlations_figure": f"{_SCORES}:correlations",
    "hepda.plotting.scores.overview:separations_figure": f"{_SCORES}:separation",
    "hepda.plotting.scores.calibration:calibration_figure": f"{_SCORES}:calibration",
    "hepda.plotting.scores.calibration:overtraining_figure": f"{_SCORES}:overtraining",
    "hepda.plotting.scores.efficiency:efficiency_figure": f"{_SCORES}:efficiency",
    "hepda.plotting.scores.roc:few_labels_figure": f"{_TRAININGS}:few_labels",
    "hepda.plotting.scores.importance:class_importance_figure": f"{_SCORES}:class_importance",
    "hepda.plotting.scores.efficiency:importance_figure": f"{_SCORES}:importance",
    "hepda.plotting.scores.bias:shift_figure": f"{_SCORES}:shifts",
    "hepda.plotting.scores.bias:ks_figure": f"{_SCORES}:ks",
    "hepda.plotting.scores.ratios:ratio_figure": f"{_SCORES}:ratios",
    "hepda.plotting.scores.tradeoff:tradeoff_figure": f"{_SCORES}:tradeoff",
    "hepda.plotting.scores.significance:significance_figure": f"{_SCORES}:significance",
    "hepda.plotting.scores.classes:confusion_figure": f"{_SCORES}:confusion",
    "hepda.plotting.scores.classes:outputs_figure": f"{_SCORES}:outputs",
    "hepda.plotting.scores.classes:against_rest_figure": f"{_SCORES}:against_rest",
    "hepda.plotting.scores.decomposition:decomposition_figure": f"{_SCORES}:decomposition",
    "hepda.plotting.scores.decomposition:process_figure": f"{_SCORES}:process_parts",
    "hepda.plotting.scores.decomposition:bins_figure": f"{_SCORES}:binned_parts",
    "hepda.plotting.scores.regression:response_figure": f"{_REGRESSIONS}:response",
    "hepda.plotting.scores.regression:resolution_figure": f"{_REGRESSIONS}:resolution",
    "hepda.plotting.training:training_figure": f"{_TRAININGS}:training",
    "hepda.plotting.images:accuracy_figure": f"{_TRAININGS}:accuracy",
    "hepda.plotting.images:few_shot_figure": f"{_TRAININGS}:few_shots",
    "hepda.plotting.images:confusion_figure": f"{_TRAININGS}:counted",
    "hepda.plotting.dial:dial_figure": f"{_TRAININGS}:along_dial",
    "hepda.plotting.speech:error_figure": f"{_TRAININGS}:word_errors",
    "hepda.plotting.enhancement:quality_figure": f"{_TRAININGS}:qualities",
    "hepda.plotting.speech:probe_figure": f"{_TRAININGS}:probes",
    "hepda.plotting.speech:confusion_figure": f"{_TRAININGS}:words",
}
"""Functions that draw, and functions with the same arguments that return tables, `module:function`."""
WITHOUT_TABLES = {
    "hepda.plotting.scores.overview:overview_figure": "its panels are figures of their own",
    "hepda.plotting.images:grid_figure": "it shows images",
    "hepda.plotting.images:columns_figure": "it shows images",
    "hepda.plotting.images:embedding_figure": "it shows single events",
    "hepda.plotting.speech:spectrogram_figure": "it shows a recording",
    "hepda.plotting.speech:alignment_figure": "it shows a recording",
    "hepda.plotting.comparison:comparison_figure": "it belongs to several runs",
    "hepda.plotting.scan:scan_tradeoff_figure": "it belongs to a scan",
    "hepda.plotting.scan:scan_criterion_figure": "it belongs to a scan",
}
"""Functions that draw figures without a table, and why there is none."""


def tables_of(plot: Plot) -> list[FigureTable]:
    """Return the tables of a figure; none if it is one WITHOUT_TABLES.

    Raises:
        KeyError: the function that draws it is in neither list.

    """
    name = f"{plot.function.__module__}:{plot.function.__qualname__}"
    if name in WITHOUT_TABLES:
        return []
    module, function = CONVERTERS[name].split(":")
    convert: Callable[..., list[FigureTable]] = getattr(import_module(module), function)
    return convert(*plot.arguments, **plot.options)


def write(run: ExportedRun, folder: Path) -> list[Path]:
    """Write a submission of HEPData with the numbers of every figure, and the workspaces of the fits.

    Raises:
        ConfigError: the run has no data of figures.
        MissingExtraError: hepdata_lib is not installed.

    """
    if importlib.util.find_spec("hepdata_lib") is None:
        raise MissingExtraError("hepdata_lib", "hepdata", "--format hepdata")
    tables = list(_tables(run))
    if not tables:
        raise ConfigError(f"{run.folder}: has no data of figures; `hepda evaluate {run.folder}` makes them.")
    comment = f"Numbers of the figures of the run {run.metrics.name}, written by hepda {__version__}."
    with TemporaryDirectory() as temporary:
        return write_submission(tables, comment, folder, _workspaces(run, Path(temporary) / "workspaces"))


def _tables(run: ExportedRun) -> Iterator[NamedTable]:
    for entry in figures.entries(run.folder):
        path = run.folder / entry.data
        if not entry.file or not path.is_file():
            continue
        plot = Plot.from_text(path.read_text(encoding="utf-8"))
        found = tables_of(plot)
        if not found:
            name = f"{plot.function.__module__}:{plot.function.__qualname__}"
            log.info("no table of the figure %s: %s", entry.name, WITHOUT_TABLES.get(name, "it has no numbers"))
        for table in found:
            yield NamedTable(entry.name, entry.title, entry.caption, table, plot.options.get("label"))


def _workspaces(run: ExportedRun, folder: Path) -> dict[Path, str]:
    """Write the workspaces of a run that has been fitted, and return what each is."""
    if run.fit is None:
        return {}
    from hepda.export.workspace import write as write_workspaces

    endings = {"-background": ", without signal", "-patchset": ": patches that add the signal"}
    described = {}
    for path in write_workspaces(run, folder):
        model, what = path.stem, " as fitted"
        for ending, text in endings.items():
            if path.stem.endswith(ending):
                model, what = path.stem.removesuffix(ending), text
        described[path] = f"pyhf workspace of the fit of {model}{what}"
    return described
