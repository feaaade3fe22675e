"""The sounds of a run directory: `sounds/` has them as WAV files, `sounds/sounds.json` says what each of them is."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.errors import MissingExtraError, replacing
from hepda.runtime import run_directory

FOLDER, FILE = "sounds", "sounds.json"
QUIET = 1e-4
"""A sound whose loudest sample is below this is silent."""


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound of the report.

    Attributes:
        section: its section of the report.
        group: what it is of; sounds of one group are beside each other.
        title: which of these it is.
        samples: float [n], in [-1, 1].
        rate: in Hz.

    """

    section: str
    group: str
    title: str
    samples: NDArray[np.floating[Any]]
    rate: int


@dataclass(frozen=True, slots=True)
class ReportSound:
    """A sound of the page: where it stands, its length (s), its loudest sample, and its WAV file."""

    section: str
    group: str
    title: str
    seconds: float
    peak: float
    file: Path

    @property
    def about(self) -> str:
        """What a listener has to know: its length, and whether it is silent or was made quieter."""
        warning = ", silent" if self.peak < QUIET else f", loudest sample {self.peak:.2f}" if self.peak > 1.0 else ""
        return f"{self.seconds:.1f} s{warning}"


def write_wav(path: Path, samples: NDArray[np.floating[Any]], rate: int) -> None:
    """Write samples [n] as WAV with 16 bits, completely or not at all.

    Raises:
        MissingExtraError: soundfile is not installed.

    """
    try:
        import soundfile
    except ImportError as error:
        raise MissingExtraError("soundfile", "speech") from error
    with replacing(path, ".wav") as temporary:
        soundfile.write(temporary, samples, rate, subtype="PCM_16", format="WAV")


def record(run: Path, sounds: Iterable[Sound]) -> None:
    """Write sounds into a run directory, in the place of earlier ones; one that would clip is made quieter.

    Raises:
        MissingExtraError: soundfile is not installed.

    """
    shutil.rmtree(run / FOLDER, ignore_errors=True)
    entries = []
    for number, sound in enumerate(sounds):
        name = re.sub(r"\W+", "_", f"{number:02}_{sound.title}").strip("_")
        peak = float(np.abs(sound.samples).max(initial=0.0))
        write_wav(run / FOLDER / f"{name}.wav", sound.samples / max(peak, 1.0), sound.rate)
        entries.append({
            "section": sound.section, "group": sound.group, "title": sound.title, "file": f"{name}.wav",
            "seconds": len(sound.samples) / sound.rate, "peak": peak,
        })  # fmt: skip
    run_directory.write_json(run / FOLDER / FILE, {"sounds": entries})


def shown(run: Path) -> list[ReportSound]:
    """Return the sounds of a run directory, none if it has none.

    Raises:
        ConfigError: the file that lists them has another content.

    """
    path = run / FOLDER / FILE
    if not path.is_file():
        return []
    content = run_directory.read_json(path)
    with run_directory.readable(path):
        return [
            ReportSound(
                str(entry["section"]), str(entry["group"]), str(entry["title"]), float(entry["seconds"]),
                float(entry["peak"]), run / FOLDER / Path(str(entry["file"])).name,
            )
            for entry in content["sounds"]
        ]  # fmt: skip
