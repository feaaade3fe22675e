"""`hepda inspect RUN`: what the generators of a run give for random and for searched codes, and suspected images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hepda.errors import ConfigError
from hepda.generators import images as real_images
from hepda.generators.gan import ImageGenerator
from hepda.generators.images import PixelRows
from hepda.generators.inspection.inspection import Inspection, InspectionSettings, RealRows, distances, inspected, made
from hepda.generators.inspection.reading import (
    checked_config,
    chosen_models,
    generators_of,
    read_suspects,
    references_in,
)
from hepda.generators.inspection.telling import InspectionReport, Suspect
from hepda.runtime.terminal import NumberTable

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class InspectRequest:
    """What is asked for.

    Attributes:
        model: the name of a model; None: all GANs of the run.
        suspects: files of images that a generator may have been made to give, see `read_suspects`.
        references: other runs whose generators are compared with, such as runs that the user trained.
        settings: how much is done.

    """

    model: str | None = None
    suspects: Sequence[Path] = ()
    references: Sequence[Path] = ()
    settings: InspectionSettings = field(default_factory=InspectionSettings)


@dataclass(frozen=True, slots=True)
class InspectedRun:
    """The result: tables for the terminal, what they say, and the folder with the pictures."""

    tables: list[NumberTable]
    lines: list[str]
    folder: Path


def inspect(run: Path, request: InspectRequest, output: Path, progress: Callable[[int, int], None]) -> InspectedRun:
    """Inspect every generator of a run.

    Args:
        run: the run directory.
        request: what is asked for.
        output: a folder for pictures and numbers, which is made.
        progress: called with the generators that are done, and their number.

    Raises:
        ConfigError: it is no run of generative models, has no GAN or no such model, or a reference has other images.
        SourceError: a file is missing, is not the one that was trained, or has other parameters than config.yaml says.
        DataError: a suspected image is no array of bytes.

    """
    if request.references and not request.suspects:
        raise ConfigError("--reference: has no effect without a suspected image; name one by --suspect.")
    config = checked_config(run)
    generators = list(generators_of(run, chosen_models(request.model, config, run), config))
    named = [one for path in request.suspects for one in read_suspects(path, config)]
    references = [model for path in request.references for model in references_in(path, config)]
    images = real_images.load(config)
    scale = PixelRows.of(images.train.pixels)
    real = RealRows.of(scale.rows(images.train.pixels), scale.rows(images.test.pixels))
    rows = scale.rows(np.stack([pixels for _, pixels in named]) if named else images.test.pixels[:0])
    suspects = _suspects(named, rows, real, references, request.settings)
    results: dict[str, Inspection] = {}
    for number, (name, model) in enumerate(generators):
        results[name] = inspected(model, real, rows, request.settings)
        progress(number + 1, len(generators))
    report = InspectionReport(run, results, suspects, real)
    report.write(output, scale)
    return InspectedRun(report.tables(), report.conclusions(output), output)


def _suspects(
    named: Sequence[tuple[str, Pixels]],
    rows: Tensor,
    real: RealRows,
    references: Sequence[ImageGenerator],
    settings: InspectionSettings,
) -> list[Suspect]:
    """Return suspected images with their distance to the data, and what other generators make of them."""
    if not named:
        return []
    alike = distances(rows, real.train) <= real.distance.max()
    values = [made(model, rows, settings)[0].value for model in references]
    best = np.min(values, axis=0).tolist() if values else [None] * len(named)
    return [
        Suspect(name, pixels, bool(near), value) for (name, pixels), near, value in zip(named, alike, best, strict=True)
    ]
