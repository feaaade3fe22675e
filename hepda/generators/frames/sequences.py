"""Sequences of frames in which images move with constant velocity and are reflected at the borders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepda.datasets.download import reading
from hepda.images import sets

if TYPE_CHECKING:
    from hepda.config import FramePredictionConfig
    from hepda.config.generators.frames import SequencesConfig

Frames = NDArray[np.uint8]
"""Bytes [n, frames, rows, columns]."""
UNIT = 255.0
"""The byte that is 1 in losses and metrics."""


@dataclass(frozen=True, slots=True)
class FrameSequences:
    """The sequences of an analysis.

    Attributes:
        train: those that are learned from [n, inputs + 1, rows, columns]; the last frame is the one to predict.
        test: others, of other images.
        about: where the images that move are from, for the manifest.
        remarks: what a reader of the numbers has to know of the images.

    """

    train: Frames
    test: Frames
    about: Mapping[str, Any]
    remarks: tuple[str, ...]

    @property
    def parts(self) -> Mapping[str, Frames]:
        """The sequences by name."""
        return {"train": self.train, "test": self.test}


def load(config: FramePredictionConfig) -> FrameSequences:
    """Read the images and let them move; the seed of the analysis draws everything.

    Raises:
        SourceError: the data set is missing, or a file has unexpected content.

    """
    section = config.sequences
    train, test = sets.load(config.source, section.digit, 1, config.seed)
    about = {
        name: {"images": len(images), "files": list(images.about)}
        for name, images in (("train", train), ("test", test))
    }
    remarks = tuple(dict.fromkeys((*train.remarks, *test.remarks)))
    learned = moving(train.pixels[:, 0], section, section.train, 2 * config.seed)
    return FrameSequences(
        learned, moving(test.pixels[:, 0], section, section.test, 2 * config.seed + 1), about, remarks
    )


def moving(images: Frames, section: SequencesConfig, number: int, seed: int) -> Frames:
    """Return sequences of moving images, bytes [number, inputs + 1, size, size].

    Args:
        images: those that move, bytes [n, digit, digit].
        section: how they move.
        number: of sequences.
        seed: draws images, first positions and velocities.

    """
    random = np.random.default_rng(seed)
    room, steps = section.size - section.digit, section.inputs + 1
    shape = (number, section.digits)
    chosen = random.integers(0, len(images), shape)
    start = random.integers(0, room + 1, (*shape, 2))
    velocities = np.array([
        (down, right)
        for down in range(-section.speed, section.speed + 1)
        for right in range(-section.speed, section.speed + 1)
        if (down, right) != (0, 0)
    ])  # fmt: skip
    velocity = velocities[random.integers(0, len(velocities), shape)]
    times = np.arange(steps)[:, None, None, None]
    corner = reflected(start + times * velocity, room)
    frames = np.zeros((number, steps, section.size, section.size), np.uint8)
    for row in range(number):
        for step in range(steps):
            for digit, (top, left) in zip(chosen[row], corner[step, row], strict=True):
                seen = frames[row, step, top : top + section.digit, left : left + section.digit]
                np.maximum(seen, images[digit], out=seen)
    return frames


def reflected(position: NDArray[np.int64], room: int) -> NDArray[np.int64]:
    """Return where positions of unlimited motion are between walls at 0 and `room`, which reflect."""
    turned = np.mod(position, 2 * room)
    found: NDArray[np.int64] = np.where(turned > room, 2 * room - turned, turned)
    return found


def write(sequences: FrameSequences, folder: Path) -> None:
    """Write the sequences for the trainings."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, frames in sequences.parts.items():
        np.save(folder / f"{name}.npy", frames)


def read(folder: Path, name: str) -> Frames:
    """Return the sequences of a part that `write` wrote."""
    with reading(f"{folder / name}.npy: cannot be read as the frames that hepda wrote there"):
        frames: Frames = np.load(folder / f"{name}.npy", mmap_mode="c")
        return frames
