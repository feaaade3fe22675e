"""The fits of `hepda fit` as pyhf workspaces, a file for each model."""

from __future__ import annotations

from pathlib import Path

from hepda.errors import ConfigError
from hepda.export.finished_run import ExportedRun
from hepda.runtime.run_directory import read_json, write_json


def write(run: ExportedRun, folder: Path) -> list[Path]:
    """Write the workspace of each fitted model.

    Raises:
        ConfigError: the run has not been fitted, or a workspace is damaged.

    """
    if run.fit is None:
        raise ConfigError(f"{run.folder}: has no fit, from which workspaces are made; `hepda fit {run.folder}` first.")
    workspaces = {model: read_json(run.folder / f"workspace-{model}.json") for model in run.fit.models}
    files = []
    for model, workspace in workspaces.items():
        if not isinstance(workspace, dict) or not {"channels", "observations", "measurements"} <= set(workspace):
            raise ConfigError(f"{run.folder}: workspace-{model}.json is no workspace; `hepda fit {run.folder}` again.")
        files.append(folder / f"{model}.json")
        write_json(files[-1], workspace)
    return files
