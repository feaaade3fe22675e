"""The models of a run of events as ONNX, for the software of an experiment."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from hepda.errors import ConfigError, MissingExtraError, nearest, replacing
from hepda.export.finished_run import Exported, ExportedRun


def write(run: ExportedRun, folder: Path) -> Exported:
    """Write `<model>.onnx` for each model, checked against the trained one.

    A model with a part that has no form in ONNX is left out, unless it is asked for by name.

    Raises:
        ConfigError: the run is not one of events, no model can be written, a model that is asked for by name is unknown
            or has a part without a form in ONNX, or a file differs from its model.
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

    specs, dataset = with_cuts(model_specs(config), run.folder), dataset_spec(config)
    for name in run.models:
        if name not in specs:
            hint = nearest(name, specs) or f" There are: {', '.join(specs)}."
            raise ConfigError(f"--models: {name!r} is no model of this run.{hint}")
    contents: dict[str, bytes] = {}
    left_out: dict[str, str] = {}
    for name in run.models or tuple(specs):
        exported = exported_model(specs[name], dataset, run.folder)
        try:
            contents[name] = onnx_model(exported).SerializeToString()
        except ConfigError as reason:
            if run.models:
                raise
            left_out[name] = str(reason).removeprefix(f"models.{name}: ")
            continue
        check(exported, contents[name])
    if not contents:
        raise ConfigError("\n".join(f"models.{name}: {reason}" for name, reason in left_out.items()))
    folder.mkdir(parents=True)
    files = []
    for name, content in contents.items():
        files.append(folder / f"{name}.onnx")
        with replacing(files[-1], ".onnx") as temporary:
            temporary.write_bytes(content)
    return Exported(files, left_out)
