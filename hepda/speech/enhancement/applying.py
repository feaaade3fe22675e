"""`hepda apply` of a run of enhancement: recordings in, enhanced recordings of the same rate and length out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hepda.config import EnhancementConfig, load_any
from hepda.errors import ConfigError, DataError, MissingExtraError, nearest, replacing
from hepda.runtime import run_directory
from hepda.runtime.hashes import check_hashes
from hepda.runtime.progress import Progress
from hepda.speech.enhancement.models import TrainedNetwork, enhancer_of, read_network
from hepda.speech.sounds.audio import SUFFIXES, read_audio, resample, sound_files

SUMMARY = "apply.json"
_QUIET = 1e-4  # a sound whose loudest sample is below this is told as silent


@dataclass(frozen=True, slots=True)
class EnhancedFile:
    """A recording that was enhanced.

    Attributes:
        source, output: the files.
        seconds: its length, in s.
        peak: its loudest sample after the enhancement; above 1 the file would clip, and it is made quieter.
        silent: whether nothing is left of it.
        took: seconds of the enhancement.

    """

    source: Path
    output: Path
    seconds: float
    peak: float
    silent: bool
    took: float


def enhance_files(
    run: Path, files: Sequence[str], output: Path, progress: Progress, *, model: str | None = None
) -> list[EnhancedFile]:
    """Enhance recordings by a model of a run; write each as WAV with 16 bits into `output`.

    Args:
        run: the run directory.
        files: sound files, or folders of them, with their subfolders.
        output: the folder of the results; that of a folder's file has its place within the folder.
        progress: receives stages and steps.
        model: the name of the model; None: the last network of the analysis file.

    Returns:
        The files, in their order; `apply.json` in `output` has the same.

    Raises:
        ConfigError: `run` is not a run of enhancement, it has no such model, or two files would get the same output.
        SourceError: a file is missing or no sound.
        MissingExtraError: soundfile is not installed.

    """
    try:
        import soundfile
    except ImportError as error:
        raise MissingExtraError("soundfile", "speech") from error
    config, name = _analysis(run, model)
    network = read_network(config, run, name, 0)
    tasks = _tasks(files, output)
    progress.stage("enhance")
    done = []
    for number, (source, target) in enumerate(tasks):
        noisy = read_audio(source, config.rate)
        about = soundfile.info(source)
        begin = time.perf_counter()
        sound = _enhanced(config, name, network, noisy)
        took = time.perf_counter() - begin
        peak = float(np.abs(sound).max())
        if not np.isfinite(peak):
            raise DataError(f"{source}: the enhanced sound has values that are not finite; is the model damaged?")
        restored = _with_rate(sound / max(peak, 1.0), config.rate, about.samplerate, about.frames)
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target, ".wav") as temporary:
            soundfile.write(temporary, restored, about.samplerate, subtype="PCM_16", format="WAV")
        done.append(EnhancedFile(source, target, len(sound) / config.rate, peak, peak < _QUIET, took))
        progress.step("files", number + 1, len(tasks))
    run_directory.write_json(output / SUMMARY, {"run": str(run), "model": name, "files": [_entry(f) for f in done]})
    return done


def _enhanced(
    config: EnhancementConfig, model: str, network: TrainedNetwork | None, noisy: torch.Tensor
) -> NDArray[np.float32]:
    """Return the enhanced samples [n]: part by part by a network, at once by a filter."""
    if network is None:
        return enhancer_of(config, model, None)(noisy, noisy).numpy()
    sound: NDArray[np.float32] = torch.cat(list(network.parts(noisy))).numpy()
    return sound


def _with_rate(sound: NDArray[np.float32], rate: int, native: int, frames: int) -> NDArray[np.float32]:
    """Return a sound at the rate of its file, with as many samples as the file has.

    Args:
        sound: the samples [n].
        rate: their rate, in Hz.
        native: the rate of the file.
        frames: samples of the file by its header, which some programs write before they know them.

    """
    resampled = resample(sound, rate, native)
    expected = len(sound) * native / rate
    number = frames if abs(frames - expected) <= native / rate + 1.0 else round(expected)
    restored = np.zeros(number, np.float32)
    restored[: len(resampled)] = resampled[:number]
    return restored


def _analysis(run: Path, model: str | None) -> tuple[EnhancementConfig, str]:
    """Return the analysis of a run and the model that is applied."""
    check_hashes(run, run_directory.read_manifest(run))
    config = load_any(run / "config.yaml")
    if not isinstance(config, EnhancementConfig):
        raise ConfigError(f"{run} is a run of `kind: {config.kind}`, which enhances nothing.")
    usable = [name for name, section in config.models.items() if section.kind not in ("noisy", "ideal_mask")]
    if model is None:
        chosen = [*config.networks] or usable
        if not chosen:
            raise ConfigError(f"{run} has no model that can enhance a recording; train one of `kind: mask`.")
        return config, chosen[-1]
    if model not in usable:
        hint = nearest(model, usable) or f" There are: {', '.join(usable)}."
        raise ConfigError(f"--model: {model!r} is no model of {run} that can enhance a recording.{hint}")
    return config, model


def _tasks(files: Sequence[str], output: Path) -> list[tuple[Path, Path]]:
    """Return every sound file with its output."""
    tasks: dict[Path, Path] = {}
    for name in files:
        path = Path(name).expanduser()
        sources = sound_files(path) if path.is_dir() else [path]
        for source in sources:
            place = source.relative_to(path) if path.is_dir() else Path(source.name)
            if source.suffix.lower() not in SUFFIXES:
                raise ConfigError(f"{source} is no sound file ({', '.join(SUFFIXES)}).")
            target = output / place.with_suffix(".wav")
            if target.resolve() == source.resolve():
                raise ConfigError(f"--output {output}: {source} would be overwritten; name another folder.")
            if target in tasks:
                raise ConfigError(
                    f"{source} and {tasks[target]} would both be written as {target}; apply to one of them."
                )
            tasks[target] = source
    return [(source, target) for target, source in tasks.items()]


def _entry(file: EnhancedFile) -> dict[str, object]:
    return {
        "source": str(file.source), "output": str(file.output), "seconds": file.seconds, "peak": file.peak,
        "silent": file.silent, "took": file.took,
    }  # fmt: skip
