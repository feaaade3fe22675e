"""`hepda apply` of a run of enhancement or conversion: recordings in, recordings of the same rate and length out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hepda.config import AnyConfig, ConversionConfig, EnhancementConfig, load_any
from hepda.errors import ConfigError, DataError, MissingExtraError, nearest
from hepda.report.sounds import QUIET, write_wav
from hepda.runtime import run_directory
from hepda.runtime.hashes import check_hashes
from hepda.runtime.progress import Progress
from hepda.speech.sounds.audio import SUFFIXES, level, read_audio, resample, sound_files

SUMMARY = "apply.json"
_ENHANCING, _CONVERTING = ("wiener", "mask", "segan"), ("network",)

Change = Callable[[Tensor], Tensor]
"""From samples [n] to changed samples [n], at the rate of the analysis."""


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A recording that was enhanced or converted.

    Attributes:
        source, output: the files.
        seconds: its length, in s.
        peak: its loudest sample afterwards; above 1 the file would clip, and it is made quieter.
        silent: whether nothing is left of it.
        took: seconds of the computation.

    """

    source: Path
    output: Path
    seconds: float
    peak: float
    silent: bool
    took: float


def apply_to_sound(
    run: Path,
    files: Sequence[str],
    output: Path,
    progress: Progress,
    *,
    model: str | None = None,
    reference: Path | None = None,
) -> list[ChangedFile]:
    """Enhance or convert recordings by a model of a run; write each as WAV with 16 bits into `output`.

    Args:
        run: the run directory.
        files: sound files, or folders of them, with their subfolders.
        output: the folder of the results; that of a folder's file has its place within the folder.
        progress: receives stages and steps.
        model: the name of the model; None: the last network of the analysis file.
        reference: of a conversion, a recording in the wanted environment.

    Returns:
        The files, in their order; `apply.json` in `output` has the same.

    Raises:
        ConfigError: the run has no such model, the reference is missing or of no use, or two files would get the same
            output.
        SourceError: a file is missing or no sound.
        MissingExtraError: soundfile is not installed.

    """
    try:
        import soundfile
    except ImportError as error:
        raise MissingExtraError("soundfile", "speech") from error
    check_hashes(run, run_directory.read_manifest(run))
    config = load_any(run / "config.yaml")
    name, rate, change = _change_of(config, run, model, reference)
    tasks = _tasks(files, output)
    progress.stage("apply")
    done = []
    for number, (source, target) in enumerate(tasks):
        sound = read_audio(source, rate)
        about = soundfile.info(source)
        begin = time.perf_counter()
        changed: NDArray[np.float32] = change(sound).numpy()
        took = time.perf_counter() - begin
        peak = float(np.abs(changed).max())
        if not np.isfinite(peak):
            raise DataError(f"{source}: the result has values that are not finite; is the model damaged?")
        restored = _with_rate(changed / np.float32(max(peak, 1.0)), rate, about.samplerate, about.frames)
        write_wav(target, restored, about.samplerate)
        done.append(ChangedFile(source, target, len(changed) / rate, peak, peak < QUIET, took))
        progress.step("files", number + 1, len(tasks))
    entries = [_entry(file) for file in done]
    summary = {"run": str(run), "model": name, "reference": None if reference is None else str(reference)}
    run_directory.write_json(output / SUMMARY, summary | {"files": entries})
    return done


def _change_of(config: AnyConfig, run: Path, model: str | None, reference: Path | None) -> tuple[str, int, Change]:
    """Return the name of the model, the rate (Hz) of the analysis, and what the model does with a recording."""
    if isinstance(config, EnhancementConfig):
        if reference is not None:
            raise ConfigError("--reference: is for runs of conversion; enhancement needs none.")
        name = _model(config, run, model, _ENHANCING)
        return name, config.rate, _enhancement(config, run, name)
    if isinstance(config, ConversionConfig):
        if reference is None:
            raise ConfigError("--reference: name a recording in the environment that the conversion is to have.")
        name = _model(config, run, model, _CONVERTING)
        return name, config.speech.rate, _conversion(config, run, name, reference)
    raise ConfigError(f"{run} is a run of `kind: {config.kind}`, which changes no recordings.")


def _model(config: EnhancementConfig | ConversionConfig, run: Path, model: str | None, kinds: Sequence[str]) -> str:
    """Return the name of the model that is applied."""
    usable = [name for name, section in config.models.items() if section.kind in kinds]
    if not usable:
        raise ConfigError(f"{run} has no model that can change a recording; train one of `kind: {kinds[-1]}`.")
    if model is None:
        return next(reversed(config.networks), usable[0])
    if model not in usable:
        hint = nearest(model, usable) or f" There are: {', '.join(usable)}."
        raise ConfigError(f"--model: {model!r} is no model of {run} that can change a recording.{hint}")
    return model


def _enhancement(config: EnhancementConfig, run: Path, model: str) -> Change:
    """Return the enhancement of a sound: part by part by a network, at once by a filter."""
    from hepda.speech.enhancement.models import enhancer_of, read_network

    network = read_network(config, run, model, 0)
    if network is None:
        enhance = enhancer_of(config, model, None)
        return lambda noisy: enhance(noisy, noisy)
    return lambda noisy: torch.cat(list(network.parts(noisy)))


def _conversion(config: ConversionConfig, run: Path, model: str, reference: Path) -> Change:
    """Return the conversion of a sound to the environment of a reference; phases by Griffin and Lim, from its own."""
    from hepda.speech.conversion.effects import LEVEL, bank_of
    from hepda.speech.conversion.jobs import read_network
    from hepda.speech.conversion.waveforms import waveform

    network, bank = read_network(config, run, model, 0), bank_of(config)
    if network is None:
        raise RuntimeError(f"the model {model} needs its network")
    example = read_audio(reference, config.speech.rate)
    with torch.no_grad():
        code = network.effect_of(bank(LEVEL * example / level(example)).T[None])

    def converted(sound: Tensor) -> Tensor:
        scale = level(sound) / LEVEL
        padded = torch.nn.functional.pad(sound / scale, (0, bank.size))  # every sample in whole frames
        with torch.no_grad():
            frames = network.decoded(network.content_of(bank(padded).T[None]), code)[0].T
        made = waveform(bank, frames, padded)[: len(sound)]
        return scale * torch.nn.functional.pad(made, (0, len(sound) - len(made)))

    return converted


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


def _tasks(files: Sequence[str], output: Path) -> list[tuple[Path, Path]]:
    """Return every sound file with its output."""
    tasks: dict[Path, Path] = {}
    for name in files:
        path = Path(name).expanduser()
        for source in sound_files(path) if path.is_dir() else [path]:
            place = source.relative_to(path) if path.is_dir() else Path(source.name)
            if source.suffix.lower() not in SUFFIXES:
                raise ConfigError(f"{source} is no sound file ({', '.join(SUFFIXES)}).")
            target = output / place.with_suffix(".wav")
            if target.resolve() == source.resolve():
                raise ConfigError(f"--output {output}: {source} would be overwritten; name another folder.")
            if target in tasks:
                raise ConfigError(f"{source} and {tasks[target]} would both be {target}; apply to one of them.")
            tasks[target] = source
    return [(source, target) for target, source in tasks.items()]


def _entry(file: ChangedFile) -> dict[str, object]:
    return {
        "source": str(file.source), "output": str(file.output), "seconds": file.seconds, "peak": file.peak,
        "silent": file.silent, "took": file.took,
    }  # fmt: skip
