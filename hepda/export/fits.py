"""What an export reads of the fits of a run: the workspaces of pyhf, and the templates of fit.json."""

from __future__ import annotations

from typing import Any

import numpy as np

from hepda.errors import ConfigError
from hepda.evaluation.fits.channels import Channel, SampleTemplate
from hepda.evaluation.fits.templates import Templates
from hepda.export.finished_run import ExportedRun
from hepda.results.fit_file import FitFile, FittedModel, TemplateEntry
from hepda.runtime.run_directory import read_json


def fit_of(run: ExportedRun, name: str) -> FitFile:
    """Return the fits of a run.

    Args:
        run: the run.
        name: of the format, for the message.

    Raises:
        ConfigError: the run has not been fitted.

    """
    if run.fit is None:
        raise ConfigError(f"{run.folder}: has no fit, which --format {name} writes; `hepda fit {run.folder}` first.")
    return run.fit


def workspaces(run: ExportedRun, name: str) -> dict[str, dict[str, Any]]:
    """Return the workspace of each model, as `hepda fit` wrote it.

    Raises:
        ConfigError: the run has not been fitted, or a workspace is damaged.

    """
    found = {}
    for model in fit_of(run, name).models:
        content = read_json(run.folder / f"workspace-{model}.json")
        if not isinstance(content, dict) or not {"channels", "observations", "measurements"} <= set(content):
            raise ConfigError(f"{run.folder}: workspace-{model}.json is no workspace; `hepda fit {run.folder}` again.")
        found[model] = content
    return found


def templates_of(fitted: FittedModel) -> Templates:
    """Return the templates of the fitted regions, as the fit used them: smoothed, pruned, in merged bins."""
    return Templates(
        tuple(
            Channel(name, np.array(region.edges), tuple(_template(*item) for item in region.templates.items()))
            for name, region in fitted.regions.items()
            if region.role != "validation"
        )
    )


def _template(name: str, entry: TemplateEntry) -> SampleTemplate:
    shapes = {parameter: (np.array(varied.up), np.array(varied.down)) for parameter, varied in entry.shapes.items()}
    norms = {parameter: (float(factors.up), float(factors.down)) for parameter, factors in entry.norms.items()}
    return SampleTemplate(name, entry.signal, np.array(entry.sumw), np.array(entry.sumw2), shapes, norms, entry.rate)
