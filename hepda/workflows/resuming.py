"""What of an earlier training in a run directory is kept: a finished run, or trainings of an interrupted one."""

from __future__ import annotations

import json
import logging
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hepda.config import AnalysisConfig, AnyConfig, load_any, resolved_yaml
from hepda.config.differences import differences
from hepda.errors import ConfigError
from hepda.runtime import exchange, fingerprint, run_directory
from hepda.runtime.jobs import model_of

log = logging.getLogger(__name__)
NEW = "run"
"""The folder of the run that is being made, next to its trainings."""


def check_replaceable(config: AnyConfig, run: Path, resume: bool) -> None:
    """Raise ConfigError if a finished run may neither be trained again nor be resumed."""
    if not resume:
        raise ConfigError(
            f"{run} holds a finished run, which `hepda train` does not replace by itself. Use --overwrite to train it "
            "again (it is replaced when the new one is complete, with what `hepda fit` made of it), or name another "
            f"directory with --output. `hepda evaluate {run}` makes its numbers, figures and report again."
        )
    if not exchange.resumable(run):
        check_same_config(config, run)


def check_same_config(config: AnyConfig, run: Path) -> None:
    """Raise ConfigError if `resume` meets a finished run of another analysis file."""
    keys = config_differences(load_any(run / "config.yaml"), config)
    if keys:
        shown = ", ".join(keys[:6]) + (f" and {len(keys) - 6} more" if len(keys) > 6 else "")
        raise ConfigError(
            f"--resume: {run} holds a finished run, and its analysis file differs from this one in {shown}. Use "
            "--overwrite to train it again, or name another directory with --output."
        )


def config_differences(first: AnyConfig, second: AnyConfig) -> list[str]:
    """Return the dotted keys in which two analysis files differ, without those that change no number."""
    before, after = (config.model_dump(mode="json", by_alias=True) for config in (first, second))
    return [d.key for d in differences(before, after) if not d.key.endswith("training.processes")]


def inputs_of(config: AnyConfig, contents: fingerprint.Parts) -> str:
    """Return a checksum of what a training depends on besides its model: fingerprints of the data, and the config."""
    training = config.training.model_copy(update={"processes": "auto"})  # how many there are changes no number
    # discriminants and working points are made of what is trained
    later: dict[str, Any] = {"discriminants": {}, "working_points": {}} if isinstance(config, AnalysisConfig) else {}
    without_models = config.model_copy(update={"models": {}, "training": training, **later})
    checksums = {name: part["checksum"] for name, part in contents.items()}
    value = zlib.crc32(resolved_yaml(without_models).encode())
    return f"{zlib.crc32(json.dumps(checksums).encode(), value):08x}"


_WITHOUT_EFFECT: Any = {"training": {"processes"}, "score": True, "regress": {"label", "unit", "range", "bins"}}
"""Keys of models on which no training depends."""


def work_folder(config: AnyConfig, inputs: str, run: Path, resume: bool) -> Path:
    """Return the folder that keeps finished and unfinished trainings with these inputs until the run is complete.

    Models may be added, changed or removed without a loss for the others. What was interrupted with other inputs is
    removed. The run that is being made is the folder NEW in it: a run directory never holds files of two runs.
    """
    work = run / exchange.WORK
    folder = work / inputs
    sections = {
        model: section.model_dump(mode="json", exclude=_WITHOUT_EFFECT) for model, section in config.models.items()
    }
    if resume and (folder / exchange.SECTIONS).exists() and (folder / NEW).is_dir():
        _forget_changed(folder, sections)
        return folder
    if resume:
        log.info(f"{run} has nothing to resume of this config and these data; everything is trained.")
    for entry in work.iterdir():
        if entry.is_dir() and entry.name != exchange.DATA:
            shutil.rmtree(entry)
    (folder / NEW).mkdir(parents=True)
    run_directory.write_json(folder / exchange.SECTIONS, sections)
    return folder


def _forget_changed(folder: Path, sections: Mapping[str, Any]) -> None:
    """Remove what an interrupted run left of models that the config no longer has, or describes in another way."""
    earlier = run_directory.read_json(folder / exchange.SECTIONS)
    for model in [model for model, section in earlier.items() if sections.get(model) != section]:
        log.info(f"models.{model} has changed: what was trained of it is not used.")
        shutil.rmtree(folder / NEW / run_directory.MODELS / model, ignore_errors=True)
        for file in folder.iterdir():
            if model_of(file.name) == model:
                file.unlink()
    run_directory.write_json(folder / exchange.SECTIONS, sections)
