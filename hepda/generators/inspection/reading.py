"""What an inspection reads: a run whose files are as recorded, its generators, and files of suspected images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hepda.config import GeneratorConfig, load_any
from hepda.config.generators.models import GanConfig
from hepda.errors import ConfigError, DataError, SourceError, nearest
from hepda.generators.gan import ImageGenerator
from hepda.generators.inspection.checking import check_models
from hepda.generators.model import load_model
from hepda.images.arrays import Images, shaped
from hepda.images.sources import formats
from hepda.runtime import run_directory
from hepda.runtime.hashes import check_hashes
from hepda.runtime.run_directory import MODELS

Pixels = NDArray[np.uint8]


def read_suspects(path: Path, config: GeneratorConfig) -> list[tuple[str, Pixels]]:
    """Return the images of a file with their names, in the shape of the analysis [channels, size, size].

    Args:
        path: an image, or a .npy of bytes [rows, columns], [channels, rows, columns] or [n, channels, rows, columns].
        config: the analysis.

    Raises:
        SourceError: there is no such file, or it cannot be read.
        DataError: an array is of another type or shape.

    """
    if not path.is_file():
        raise SourceError(f"--suspect {path}: no such file; name an image, or a .npy of bytes.")
    if path.suffix == ".npy":
        try:
            array = np.load(path, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise SourceError(
                f"--suspect {path}: cannot be read as an array ({error}); write it by numpy.save."
            ) from None
        if array.dtype != np.uint8 or array.ndim not in (2, 3, 4) or array.size == 0:
            raise DataError(
                f"--suspect {path}: is {array.dtype} {list(array.shape)}; bytes [rows, columns], "
                "[channels, rows, columns] or [n, channels, rows, columns] are needed."
            )
        pixels = array.reshape((1,) * (4 - array.ndim) + array.shape)
    else:
        pixels = formats.rgb(path.read_bytes(), str(path)).transpose(2, 0, 1)[None]
    if pixels.shape[1] not in (1, 3):
        raise DataError(f"--suspect {path}: has {pixels.shape[1]} channels; 1 or 3 are needed.")
    images = shaped(Images(pixels, np.zeros(len(pixels), np.int64), ("suspect",)), config.pixels.size,
                    config.pixels.channels).pixels  # fmt: skip
    names = [path.name] if len(images) == 1 else [f"{path.name}[{number}]" for number in range(len(images))]
    return list(zip(names, images, strict=True))


def checked_config(run: Path) -> GeneratorConfig:
    """Return the analysis of a run whose files are those of the training.

    Raises:
        ConfigError: it is no run of generative models.
        SourceError: a file is missing or another one, or a model has other parameters than config.yaml says.

    """
    manifest = run_directory.read_manifest(run)
    config = load_any(run / "config.yaml")
    if not isinstance(config, GeneratorConfig):
        raise ConfigError(f"{run} is a run of `kind: {config.kind}`, which has no codes; name a run of generators.")
    check_hashes(run, manifest)
    problems = [f"{run / name}: {problem}" for name, problem in check_models(config, run).items() if problem]
    if problems:
        raise SourceError("\n".join([*problems, f"nothing of it was run; `hepda check {run}` compares all files."]))
    return config


def chosen_models(name: str | None, config: GeneratorConfig, run: Path) -> list[str]:
    """Return the names of the GANs of a run, or the one that was named. Raises ConfigError if there is none."""
    names = [key for key, section in config.models.items() if isinstance(section, GanConfig)]
    if not names:
        raise ConfigError(f"{run}: has no model of the kind gan; other models have no codes that could be searched.")
    if name is None:
        return names
    if name not in names:
        hint = nearest(name, names) or f" There are: {', '.join(names)}."
        raise ConfigError(f"--model: {name!r} is no model of the kind gan of {run}.{hint}")
    return [name]


def generators_of(run: Path, names: Sequence[str], config: GeneratorConfig) -> Iterator[tuple[str, ImageGenerator]]:
    """Yield the generators of all trainings of some models, with their names."""
    for name in names:
        for member in range(config.seeds):
            model, _ = load_model(run / MODELS / name / f"fold0-member{member}.safetensors")
            if isinstance(model, ImageGenerator):
                yield f"{name} {member}", model


def references_in(run: Path, config: GeneratorConfig) -> list[ImageGenerator]:
    """Return all generators of another run. Raises ConfigError if its images have another shape."""
    other = checked_config(run)
    if other.pixels != config.pixels:
        raise ConfigError(
            f"--reference {run}: has images of {other.pixels.size} rows and {other.pixels.channels} channels, not of "
            f"{config.pixels.size} and {config.pixels.channels}; name a run with the same `pixels`."
        )
    return [model for _, model in generators_of(run, chosen_models(None, other, run), other)]
