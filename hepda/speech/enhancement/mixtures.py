"""Noisy speech with its clean speech: strings of recordings in noise, or recordings that have their noise already."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hepda.adversarial.tensor_files import read_description, read_tensors, write_tensors
from hepda.config.files import PAIRS, VOICEBANK
from hepda.datasets import download
from hepda.errors import DataError
from hepda.speech.dataset.material import Material, load_corpus, material_of, read_material, write_material
from hepda.speech.dataset.strings import joined, split_speakers, strings_of
from hepda.speech.sounds.audio import Tape
from hepda.speech.sounds.augmentation import filtered, together
from hepda.speech.sounds.corpora import read_recordings, unpack
from hepda.speech.sounds.mixing import Noise, mixed

if TYPE_CHECKING:
    from hepda.config import EnhancementConfig
    from hepda.config.speech.enhancement import AugmentationConfig, PairsConfig

_TEST, _TRAINING = 1, 2  # what the seeds of strings of tests and of epochs differ in
_EPOCHS = 1_000_003


@dataclass(frozen=True, slots=True)
class NoisyStrings:
    """Noisy strings and their clean speech.

    Attributes:
        clean, noisy: the strings, on tapes of equal lengths.
        speaker: number of the speaker of each, int64 [u].
        noise: number of the type of noise, int64 [u]; -1: not known.
        snr: ratio of speech to noise in dB, float64 [u].
        string: number of the string; it is the same where only the ratio differs, int64 [u].

    """

    clean: Tape
    noisy: Tape
    speaker: Tensor
    noise: Tensor
    snr: Tensor
    string: Tensor

    def __len__(self) -> int:
        return len(self.clean)


@dataclass(frozen=True, slots=True)
class Sounds:
    """All sound of an analysis.

    Attributes:
        test: what is tested on.
        speakers, noises: names by number.
        training: numbers of the recordings to train on, int64 [k]; empty with `pairs`.
        material: recordings and noises that mixtures are made of; None with `pairs`.
        pairs: the recordings to train on, with their noise; None without `pairs`.
        origin: where they are from, for the manifest.

    """

    test: NoisyStrings
    speakers: tuple[str, ...]
    noises: tuple[str, ...]
    training: Tensor
    material: Material | None
    pairs: NoisyStrings | None
    origin: dict[str, str]

    def epoch(
        self, config: EnhancementConfig, epoch: int, seed: int, augmentation: AugmentationConfig | None = None
    ) -> NoisyStrings:
        """Return the mixtures of an epoch of a training: new strings in new stretches of noise; pairs are the same."""
        if self.material is None:
            if self.pairs is None:
                raise RuntimeError("there is neither material nor pairs")
            return self.pairs
        random = np.random.default_rng([seed, epoch, _TRAINING])
        number = config.strings.number
        recordings = self.training.numpy()
        who = random.choice(np.unique(self.material.corpus.speaker.numpy()[recordings]), number)
        recorded = strings_of(self.material.corpus, recordings, who, config.strings, random)
        strings = recorded.at_speeds(config.strings.speeds, random).tape
        kinds = torch.from_numpy(random.choice(np.array(self.material.seen), number))
        low, high = config.noise.snr
        snr = torch.from_numpy(random.uniform(low, high, number))
        snr[torch.from_numpy(random.random(number) < config.noise.clean)] = torch.inf
        generator = torch.Generator().manual_seed((seed * _EPOCHS + epoch) % (2**63))
        noise = self.material.noises.train.drawn(kinds, strings.length, generator)
        if augmentation is not None:
            others = torch.from_numpy(random.choice(np.array(self.material.seen), number))
            second = self.material.noises.train.drawn(others, strings.length, generator)
            noise = together(noise, second, strings.length, augmentation.second_noise, random)
            strings = filtered(strings, augmentation.filters, random)
            noise = Noise(filtered(strings.replaced(noise.samples), augmentation.filters, random).samples, noise.power)
        return NoisyStrings(
            strings, mixed(strings, noise, snr), torch.from_numpy(who), kinds, snr, torch.arange(number)
        )


def load_sounds(config: EnhancementConfig) -> Sounds:
    """Read all sound that the analysis file names, and make the mixtures of the tests.

    Raises:
        HepdaError: a file is missing or cannot be used, or a name does not exist.

    """
    return _mixed_sounds(config) if config.pairs is None else _paired_sounds(config, config.pairs)


def _mixed_sounds(config: EnhancementConfig) -> Sounds:
    corpus = load_corpus(config.speech, config.seed)
    training, test = split_speakers(config.split, corpus)
    material = material_of(corpus, torch.from_numpy(training), config.noise, None, config.seed)
    mixtures = _tests(config, material, test)
    origin = {"speech": corpus.origin, "noise": ", ".join(material.noises.names)}
    return Sounds(mixtures, corpus.speakers, material.noises.names, torch.from_numpy(training), material, None, origin)


def _tests(config: EnhancementConfig, material: Material, recordings: np.ndarray) -> NoisyStrings:
    """Return the same strings in the same noises at every ratio."""
    random = np.random.default_rng([config.seed, _TEST])
    number, corpus = config.evaluation.strings, material.corpus
    who = np.resize(np.unique(corpus.speaker.numpy()[recordings]), number)
    strings = strings_of(corpus, recordings, who, config.strings, random).tape
    kinds = torch.from_numpy(random.permutation(np.resize(np.array(material.unseen or material.seen), number)))
    generator = torch.Generator().manual_seed(config.seed)
    noise = material.noises.test.drawn(kinds, strings.length, generator)
    tapes = [mixed(strings, noise, torch.full((number,), snr)) for snr in config.evaluation.snr]
    repeats = len(tapes)
    return NoisyStrings(
        joined([strings] * repeats), joined(tapes), torch.from_numpy(who).repeat(repeats), kinds.repeat(repeats),
        torch.tensor(config.evaluation.snr, dtype=torch.float64).repeat_interleave(number),
        torch.arange(number).repeat(repeats),
    )  # fmt: skip


# ---- recordings that have their noise already ----


def _paired_sounds(config: EnhancementConfig, pairs: PairsConfig) -> Sounds:
    folders = {key: _folder(key, getattr(pairs, key)) for key in PAIRS}
    training = _pair(folders["clean"], folders["noisy"], pairs.rate, None)
    test = _pair(folders["test_clean"], folders["test_noisy"], pairs.rate, config.evaluation.strings)
    speakers = tuple(dict.fromkeys((*training[1], *test[1])))
    origin = {key: str(folder) for key, folder in folders.items()}
    empty = torch.empty(0, dtype=torch.int64)
    return Sounds(_mixtures(*test, speakers), speakers, (), empty, None, _mixtures(*training, speakers), origin)


def _folder(key: str, folder: str) -> Path:
    """Return a folder of recordings, or that of the data set, whose archives are unpacked beside them."""
    if folder != VOICEBANK:
        return Path(folder)
    path = download.path_of(VOICEBANK)[PAIRS.index(key)]
    if path.suffix != ".zip":
        return path
    unpacked = path.with_suffix("")
    if not unpacked.is_dir():
        unpack(path, unpacked)
    return unpacked


def _pair(clean: Path, noisy: Path, rate: int, most: int | None) -> tuple[tuple[Tape, Tape], tuple[str, ...]]:
    """Return the tapes of two folders with the same files, and the speaker of each recording.

    Raises:
        DataError: they do not have the same files, or two recordings have not the same length.

    """
    first, second = (read_recordings(folder, rate) for folder in (clean, noisy))
    if first.names != second.names:
        only = sorted(set(first.names) ^ set(second.names))
        raise DataError(f"{clean} and {noisy} do not have the same recordings: {', '.join(only[:3])} is in one of them")
    different = torch.nonzero(first.tape.length != second.tape.length).flatten().tolist()
    if different:
        raise DataError(f"{noisy}: {first.names[different[0]]} has not the length of the clean recording in {clean}")
    keep = torch.arange(len(first) if most is None else min(most, len(first)))
    if most is not None:  # spread over all speakers, which follow each other
        keep = torch.linspace(0, len(first) - 1, len(keep)).round().long()
    speakers = tuple(first.speakers[number] for number in first.speaker[keep].tolist())
    return (first.tape.select(keep), second.tape.select(keep)), speakers


def _mixtures(tapes: tuple[Tape, Tape], who: Sequence[str], speakers: Sequence[str]) -> NoisyStrings:
    """Return the mixtures of two tapes; their ratio is that of the powers of speech and of the difference."""
    clean, noisy = tapes
    parts = zip(*(torch.split(tape.samples, tape.length.tolist()) for tape in tapes), strict=True)
    snr = [float(10.0 * torch.log10(c.square().sum() / (n - c).square().sum().clamp_min(1e-20))) for c, n in parts]
    number = torch.tensor([list(speakers).index(name) for name in who])
    unknown = torch.full((len(clean),), -1)
    return NoisyStrings(clean, noisy, number, unknown, torch.tensor(snr, dtype=torch.float64), torch.arange(len(clean)))


# ---- on disk, for the trainings ----


def write_sounds(sounds: Sounds, folder: Path) -> None:
    """Write all sound to a folder; nothing is pickled."""
    folder.mkdir(parents=True, exist_ok=True)
    if sounds.material is not None:
        write_material(sounds.material, folder)
    tensors = {"training": sounds.training, **_tensors("test", sounds.test)}
    if sounds.pairs is not None:
        tensors |= _tensors("pairs", sounds.pairs)
    description = {
        "rate": sounds.test.clean.rate, "speakers": sounds.speakers, "noises": sounds.noises, "origin": sounds.origin,
    }  # fmt: skip
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    write_tensors(folder / "mixtures.safetensors", contiguous, {"sounds": json.dumps(description)})


def read_sounds(folder: Path) -> Sounds:
    """Read what `write_sounds` wrote."""
    path = folder / "mixtures.safetensors"
    tensors, metadata = read_tensors(path)
    description = read_description(path, metadata, "sounds")
    pairs = "pairs.speaker" in tensors
    return Sounds(
        _read("test", tensors, description["rate"]), tuple(description["speakers"]), tuple(description["noises"]),
        tensors["training"], None if pairs else read_material(folder),
        _read("pairs", tensors, description["rate"]) if pairs else None, description["origin"],
    )  # fmt: skip


def _tensors(name: str, mixtures: NoisyStrings) -> dict[str, Tensor]:
    tapes = {"clean": mixtures.clean, "noisy": mixtures.noisy}
    samples = {f"{name}.{side}": tape.samples for side, tape in tapes.items()}
    others = {f"{name}.{field.name}": getattr(mixtures, field.name) for field in fields(mixtures)[2:]}
    return samples | others | {f"{name}.length": mixtures.clean.length}


def _read(name: str, tensors: dict[str, Tensor], rate: int) -> NoisyStrings:
    length = tensors[f"{name}.length"]
    start = torch.cumsum(length, 0) - length
    clean, noisy = (Tape(tensors[f"{name}.{side}"], start, length, rate) for side in ("clean", "noisy"))
    return NoisyStrings(clean, noisy, *(tensors[f"{name}.{field.name}"] for field in fields(NoisyStrings)[2:]))
