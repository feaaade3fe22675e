"""`hepda sample`: new images by a generative model of a run, as arrays and as a picture of the first ones."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from hepda.adversarial import devices
from hepda.config import GeneratorConfig, load_any
from hepda.errors import ConfigError, nearest, replacing
from hepda.generators.images import PixelRows, Pixels
from hepda.generators.model import GenerativeModel, load_model
from hepda.plotting.images import mosaic
from hepda.runtime import run_directory
from hepda.runtime.hashes import check_hashes
from hepda.runtime.run_directory import MODELS

IMAGES, PICTURE, SUMMARY = "images.npz", "images.png", "sample.json"
"""The files that are written."""
_COLUMNS, _ROWS = 10, 10
_SIDE = 400  # pixels that the picture has at least, by repeating pixels


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """What is asked for.

    Attributes:
        number: how many images.
        model: the name of the model; None: the last one of the analysis file.
        wanted: the name of the class of all images; None: classes in the shares of the training images.
        seed: of all random numbers; None: that of the analysis.
        device: a device of torch.

    """

    number: int
    model: str | None = None
    wanted: str | None = None
    seed: int | None = None
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class SampledImages:
    """What was generated: the model, the folder, the number of images, and how many seconds it took."""

    model: str
    folder: Path
    number: int
    seconds: float


def sample(run: Path, request: SampleRequest, output: Path) -> SampledImages:
    """Generate images by the first training of a model of a run.

    Written are `images.npz` (`pixels`, bytes [n, channels, rows, columns]; `label`, the number of the class of each
    image, -1 for none; `classes`, their names), `images.png` with the first hundred of them, and `sample.json`.

    Args:
        run: the run directory.
        request: what is asked for.
        output: a folder, which is made.

    Raises:
        ConfigError: it is no run of generative models, or has no such model or class.
        SourceError: a file of the run is missing or is not the one that was trained.

    """
    manifest = run_directory.read_manifest(run)
    config = load_any(run / "config.yaml")
    if not isinstance(config, GeneratorConfig):
        raise ConfigError(
            f"{run} is a run of `kind: {config.kind}`, which generates nothing; name a run of generators."
        )
    check_hashes(run, manifest)
    name = _chosen(request.model, config, run)
    model, about = load_model(run / MODELS / name / "fold0-member0.safetensors")
    seed = config.seed if request.seed is None else request.seed
    condition = _condition(model, request, about["classes"], name, seed)
    begin = time.perf_counter()
    model.to(devices.find(request.device))
    rows = model.sample(request.number, condition, seed)
    pixels = PixelRows(tuple(about["levels"])).pixels(rows)
    seconds = time.perf_counter() - begin
    label = np.full(len(pixels), -1) if condition is None else condition.numpy()
    with replacing(output / IMAGES, ".npz") as temporary:
        np.savez_compressed(temporary, pixels=pixels, label=label, classes=np.array(about["classes"]))
    with replacing(output / PICTURE, ".png") as temporary:
        picture(pixels[: _COLUMNS * _ROWS]).save(temporary)
    summary = {
        "run": str(run), "model": name, "number": len(pixels), "class": request.wanted, "seed": seed,
        "device": devices.describe(devices.find(request.device)),
        "sha256": manifest.get("sha256", {}).get(f"{MODELS}/{name}/fold0-member0.safetensors"),
    }  # fmt: skip
    run_directory.write_json(output / SUMMARY, summary)
    return SampledImages(name, output, len(pixels), seconds)


def _chosen(name: str | None, config: GeneratorConfig, run: Path) -> str:
    if name is None:
        return next(reversed(config.models))
    if name not in config.models:
        hint = nearest(name, config.models) or f" There are: {', '.join(config.models)}."
        raise ConfigError(f"--model: {name!r} is no model of {run}.{hint}")
    return name


def _condition(
    model: GenerativeModel, request: SampleRequest, classes: list[str], name: str, seed: int
) -> torch.Tensor | None:
    """Return the class of each image; None for a model that is not conditional."""
    if request.wanted is None:
        return model.classes_of(request.number, seed)
    if not model.conditional:
        raise ConfigError(
            f"--class: the model {name} is not conditional, so that no class can be asked for; leave it out."
        )
    if request.wanted not in classes:
        hint = nearest(request.wanted, classes) or f" There are: {', '.join(classes)}."
        raise ConfigError(f"--class: {request.wanted!r} is no class of the images.{hint}")
    return torch.full((request.number,), classes.index(request.wanted))


def picture(pixels: Pixels, columns: int = _COLUMNS) -> Image.Image:
    """Return images [n, channels, rows, columns] in rows of `columns` images."""
    joined: Any = mosaic(pixels, -(-len(pixels) // columns), min(columns, len(pixels)))
    factor = -(-_SIDE // joined.shape[1])
    return Image.fromarray(joined).resize(
        (factor * joined.shape[1], factor * joined.shape[0]), Image.Resampling.NEAREST
    )
