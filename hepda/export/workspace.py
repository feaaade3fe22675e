"""The fits of `hepda fit` as pyhf workspaces: as they were fitted, and as a background with patches of signal."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from hepda.export.finished_run import ExportedRun
from hepda.export.fits import workspaces
from hepda.runtime.run_directory import write_json

STRENGTHS = (0.0, 0.5, 1.0, 1.5, 2.0)
"""Values of mu with a patch that fixes it there."""
NO_RECORD = "ins0000000"
"""What stands in a patchset, which needs the number of a record of HEPData, until there is one."""


def background_and_patches(workspace: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Take the signals that mu scales out of a workspace.

    Args:
        workspace: of one measurement.

    Returns:
        The workspace without them and without a parameter of interest; the patches of pyhf that add them again: with
        mu free, which is the workspace that was given, and with mu fixed at each of STRENGTHS.

    """
    background = copy.deepcopy(workspace)
    config = background["measurements"][0]["config"]
    poi = config["poi"]
    signals = []
    for c, channel in enumerate(background["channels"]):
        for s, sample in enumerate(channel["samples"]):
            if _is_scaled(sample, poi):
                signals.append({"op": "add", "path": f"/channels/{c}/samples/{s}", "value": sample})
        channel["samples"] = [sample for sample in channel["samples"] if not _is_scaled(sample, poi)]
    place = next(number for number, entry in enumerate(config["parameters"]) if entry["name"] == poi)
    parameter = config["parameters"].pop(place)
    config["poi"] = ""
    of_poi = {"op": "replace", "path": "/measurements/0/config/poi", "value": poi}

    def patch(name: str, value: float | str, **changes: Any) -> dict[str, Any]:
        added = {"op": "add", "path": f"/measurements/0/config/parameters/{place}", "value": {**parameter, **changes}}
        return {"metadata": {"name": f"{poi}_{name}", "values": [value]}, "patch": [*signals, of_poi, added]}

    fixed = [patch(f"{mu:g}".replace(".", "p"), mu, inits=[mu], fixed=True) for mu in STRENGTHS]
    return background, [patch("free", "free"), *fixed]


def _is_scaled(sample: dict[str, Any], poi: str) -> bool:
    return any(modifier["name"] == poi and modifier["type"] == "normfactor" for modifier in sample["modifiers"])


def patchset(background: dict[str, Any], patches: list[dict[str, Any]], poi: str, about: str) -> dict[str, Any]:
    """Return a patchset of pyhf.

    Args:
        background: the workspace that is patched.
        patches: the patches.
        poi: the name of what they differ in.
        about: a sentence on them.

    """
    from pyhf.utils import digest

    metadata = {
        "references": {"hepdata": NO_RECORD},
        "digests": {"sha256": digest(background, algorithm="sha256")},
        "labels": [poi],
        "description": about,
    }
    return {"metadata": metadata, "patches": patches, "version": "1.0.0"}


def write(run: ExportedRun, folder: Path) -> list[Path]:
    """Write the workspace of each fitted model, the same without signal, and the patchset that adds it.

    Raises:
        ConfigError: the run has not been fitted, or a workspace is damaged.

    """
    contents: dict[str, dict[str, Any]] = {}
    for model, workspace in workspaces(run, "workspace").items():
        poi = workspace["measurements"][0]["config"]["poi"]
        background, patches = background_and_patches(workspace)
        about = (
            f"The signal of {run.metrics.name}, model {model}: {poi} free, or fixed at a value. Fits of the patched "
            "workspaces have the likelihood as a function of the signal strength."
        )
        contents[f"{model}.json"] = workspace
        contents[f"{model}-background.json"] = background
        contents[f"{model}-patchset.json"] = patchset(background, patches, poi, about)
    for name, content in contents.items():
        write_json(folder / name, content)
    return [folder / name for name in contents]
