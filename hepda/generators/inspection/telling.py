"""What an inspection tells: tables for the terminal, conclusions, pictures, and numbers for a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hepda.errors import replacing
from hepda.generators.images import PixelRows
from hepda.generators.inspection.inspection import Inspection, RealRows
from hepda.generators.inspection.latent import HIT, prior_probability
from hepda.generators.sampling import picture
from hepda.runtime import run_directory
from hepda.runtime.terminal import NumberTable

Pixels = NDArray[np.uint8]
OUTPUTS, SUSPECTS, NUMBERS = "outputs.png", "suspects.png", "inspection.json"
"""The files that are written: the outputs furthest from the data, the suspected images with what each generator makes
of them, and all numbers."""
YES, NO, ALIKE = "YES", "no", "like the data"
"""Whether a suspected image is generated; an image like the data may be, and says nothing."""
CLEARLY = 0.5
"""Share of the smallest difference of other generators below which an image is called generated."""
_SHOWN = 5  # outputs of random codes and of the search in a row


@dataclass(frozen=True, slots=True)
class Suspect:
    """An image that is looked for.

    Attributes:
        name: in tables.
        pixels: bytes [channels, size, size].
        alike: whether it is as near to the training images as some test image is.
        reference: the smallest mean squared difference of an output of other generators; None if there are none.

    """

    name: str
    pixels: Pixels
    alike: bool
    reference: float | None


@dataclass(frozen=True, slots=True)
class SuspectResult:
    """What was found of a suspected image in one generator."""

    suspect: Suspect
    training: str
    inspection: Inspection
    number: int

    @property
    def verdict(self) -> str:
        """Whether the generator makes the image more closely than an honest one is expected to: YES, NO or ALIKE.

        What is expected is what other generators make of it, or, without any, what this one makes of test images.
        """
        if self.suspect.alike:
            return ALIKE
        value, reference = self.inspection.suspects.value[self.number], self.suspect.reference
        closer = self.inspection.exceeds_test[self.number] if reference is None else value < CLEARLY * reference
        return YES if closer else NO

    @property
    def probability(self) -> float:
        """The probability of the prior for the code that was found, see `prior_probability`."""
        return float(prior_probability(self.inspection.suspects.code[self.number : self.number + 1])[0])

    def numbers(self) -> dict[str, Any]:
        """Return the numbers for a file."""
        found, random = self.inspection.suspects, self.inspection.random
        return {
            "verdict": self.verdict, "hits": random.hits[self.number], "closest": random.closest[self.number],
            "reconstructed": found.value[self.number], "ordinary": self.inspection.ordinary.value[self.number],
            "code": found.code[self.number].numpy(), "probability": self.probability,
            "class": None if found.condition is None else int(found.condition[self.number]),
            "reference": self.suspect.reference,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class InspectionReport:
    """The inspections of all generators of a run.

    Attributes:
        run: the run directory.
        results: of each training by its name.
        suspects: the images that were looked for.
        real: the real images.

    """

    run: Path
    results: Mapping[str, Inspection]
    suspects: Sequence[Suspect]
    real: RealRows

    @property
    def found(self) -> Iterator[SuspectResult]:
        """What was found of each suspected image in each generator."""
        for number, suspect in enumerate(self.suspects):
            for name, result in self.results.items():
                yield SuspectResult(suspect, name, result, number)

    def tables(self) -> list[NumberTable]:
        """Return a row for each training, and one for each suspected image and training."""
        return [self._outputs(), *([self._suspects()] if self.suspects else [])]

    def _outputs(self) -> NumberTable:
        unit = float(self.real.distance.max())
        rows = [
            [
                name, f"{result.random.number}", f"{result.random.furthest / unit:.2f}",
                f"{result.searched.value[0] / unit:.2f}", f"{np.median(result.test):.2g}",
            ]
            for name, result in self.results.items()
        ]  # fmt: skip
        return NumberTable(
            ["Training", "Random codes", "Furthest output", "Furthest by search", "Test images made"], rows,
            str(self.run),
            f"Furthest: distance to the nearest training image, in units of the largest of {len(self.real.distance)} "
            "test images. Made: median of the smallest mean squared differences, pixels from -1 to 1.",
        )  # fmt: skip

    def _suspects(self) -> NumberTable:
        head = ["Image, training", "Hits", "Closest random output", "Made by a code", "By an ordinary code",
                "p of the code", "Best test image", "Best reference", "Generated?"]  # fmt: skip
        rows = [
            [
                f"{one.suspect.name}, {one.training}", f"{one.inspection.random.hits[one.number]}",
                f"{one.inspection.random.closest[one.number]:.2g}", f"{one.inspection.suspects.value[one.number]:.2g}",
                f"{one.inspection.ordinary.value[one.number]:.2g}", f"{one.probability:.1g}",
                f"{one.inspection.test.min():.2g}",
                "" if one.suspect.reference is None else f"{one.suspect.reference:.2g}", one.verdict,
            ]
            for one in self.found
        ]  # fmt: skip
        return NumberTable(
            head, rows, "Suspected images",
            f"Mean squared differences, pixels from -1 to 1; a hit is below {HIT:g}. Ordinary: of the usual length. p: "
            "probability that a random code is as far from the usual length.",
        )  # fmt: skip

    def conclusions(self, folder: Path) -> list[str]:
        """Return what the tables say, a sentence each."""
        lines = []
        for one in self.found:
            if one.verdict == YES:
                others = "any test image" if one.suspect.reference is None else "any reference makes it, by far"
                lines.append(
                    f"{one.training} generates {one.suspect.name}: a code makes it more closely than {others}, and it "
                    "is further from the data than all test images. It may be planted."
                )
        alike = ", ".join(one.name for one in self.suspects if one.alike)
        if alike:
            lines.append(f"{alike}: as near to the training images as test images are, so that it says nothing.")
        lines.append(
            f"Look at {folder / OUTPUTS}: in each row the outputs furthest from the data, {_SHOWN} of random codes and "
            f"{_SHOWN} of the search. An image that nobody suspects and no search meets is not found."
        )
        return lines

    def write(self, folder: Path, scale: PixelRows) -> None:
        """Write pictures and numbers into a folder, which is made."""
        shown = [
            scale.pixels(torch.cat([result.random.rows[:_SHOWN], varied(result.searched.rows, _SHOWN)]))
            for result in self.results.values()
        ]
        _save(folder / OUTPUTS, np.concatenate(shown), 2 * _SHOWN)
        if self.suspects:
            made = [scale.pixels(result.suspects.rows) for result in self.results.values()]
            columns = np.stack([np.stack([one.pixels for one in self.suspects]), *made], axis=1)
            _save(folder / SUSPECTS, columns.reshape(-1, *columns.shape[2:]), columns.shape[1])
        run_directory.write_json(folder / NUMBERS, self._numbers())

    def _numbers(self) -> dict[str, Any]:
        return {
            "run": str(self.run),
            "distance_of_test_images": {
                "median": np.median(self.real.distance), "largest": self.real.distance.max(),
            },
            "trainings": {
                name: {
                    "random": {"number": result.random.number, "furthest": result.random.furthest},
                    "search": {"furthest": result.searched.value, "code": result.searched.code[0].numpy()},
                    "test_images": result.test,
                    "suspects": {one.suspect.name: one.numbers() for one in self.found if one.training == name},
                }
                for name, result in self.results.items()
            },
        }  # fmt: skip


def varied(rows: Tensor, number: int) -> Tensor:
    """Return some rows: the first one, then each time the one furthest from those that are taken."""
    chosen = [0]
    distance = torch.cdist(rows.flatten(1), rows.flatten(1))
    while len(chosen) < min(number, len(rows)):
        chosen.append(int(distance[:, chosen].min(dim=1).values.argmax()))
    return rows[chosen]


def _save(path: Path, pixels: Pixels, columns: int) -> None:
    with replacing(path, ".png") as temporary:
        picture(pixels, columns).save(temporary)
