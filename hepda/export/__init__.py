"""Finished runs in the formats of other programs. A new format is a module and a line of EXPORTS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from hepda.errors import ConfigError, nearest
from hepda.export.finished_run import Exported, ExportedRun, read_run
from hepda.runtime import run_directory

EXPORTS = {
    "latex": "hepda.export.latex:write",
    "csv": "hepda.export.comma_separated:write",
    "text": "hepda.export.text:write",
    "hepdata": "hepda.export.hepdata:write",
    "workspace": "hepda.export.workspace:write",
    "combine": "hepda.export.combine:write",
    "onnx": "hepda.export.onnx:write",
}
"""Formats, `module:function`; a function writes a ExportedRun into a folder and returns the files, or what it left out
too.
"""
OF_MODELS = ("onnx",)
"""Formats of single models, for which some can be chosen."""

Writer = Callable[[ExportedRun, Path], list[Path] | Exported]


def default_output(run: Path, name: str) -> Path:
    """Return the folder beside a run that a format is written to."""
    return run.resolve().parent / f"{run.resolve().name}-{name}"


def export(run: Path, name: str, output: Path | None = None, models: Sequence[str] = ()) -> Exported:
    """Write a finished run in a format.

    Args:
        run: the run directory.
        name: of the format, a key of EXPORTS.
        output: a new folder; None: beside the run, with the name of the run and of the format.
        models: for a format of models, those that are written; empty: all that have a form in it.

    Returns:
        The files, and the models that have no form in the format and were not asked for by name, with the reasons.

    Raises:
        ConfigError: there is no such format, `run` is not a finished run or has not what the format needs, a model that
            is asked for by name is unknown or has no form in the format, or `output` exists or cannot be written.

    """
    if name not in EXPORTS:
        raise ConfigError(f"--format {name}: is no format. There are: {', '.join(EXPORTS)}.{nearest(name, EXPORTS)}")
    if models and name not in OF_MODELS:
        raise ConfigError(f"--models: is for --format {' or '.join(OF_MODELS)}; --format {name} writes the whole run.")
    folder = output or default_output(run, name)
    if folder.exists():
        raise ConfigError(f"--output {folder}: exists already; name a new folder.")
    run_directory.check_writable(folder, "--output")
    finished = read_run(run)
    module, function = EXPORTS[name].split(":")
    write: Writer = getattr(import_module(module), function)
    written = write(replace(finished, models=tuple(dict.fromkeys(models))), folder)
    return written if isinstance(written, Exported) else Exported(written)
