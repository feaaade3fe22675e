"""The models of a run of events as ONNX, for the software of an experiment."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from hepda.errors import ConfigError, MissingExtraError, replacing
from hepda.export.finished_run import ExportedRun


def write(run: ExportedRun, folder: Path) -> list[Path]:
    """Write `<model>.onnx` for each model, checked against the trained one.

    Raises:
        ConfigError: the run is not one of events, a model has a part without a form in ONNX, or a file differs from its
            model.
        MissingExtraError: onnx or onnxruntime is not installed.

    """
    config: Any = getattr(run.kind, "config", None)
    if getattr(config, "kind", None) != "events":
        raise ConfigError(f"--format onnx: writes the models of events; {run.folder} is a run of another kind of data.")
    for package in ("onnx", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, "onnx", "--format onnx")
    from hepda.events.resolve import dataset_spec, model_specs
    from hepda.events.results.thresholds import with_cuts
    from hepda.export.onnx.check import check
    from hepda.export.onnx.model import exported_model, onnx_model

    contents, dataset = {}, dataset_spec(config)
    for name, spec in with_cuts(model_specs(config), run.folder).items():
        exported = exported_model(spec, dataset, run.folder)
        contents[name] = onnx_model(exported).SerializeToString()
        check(exported, contents[name])
    folder.mkdir(parents=True)
    files = []
    for name, content in contents.items():
        files.append(folder / f"{name}.onnx")
        with replacing(files[-1], ".onnx") as temporary:
            temporary.write_bytes(content)
    return files
