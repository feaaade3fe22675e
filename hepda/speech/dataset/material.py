"""The data of an analysis of speech: utterances, noises, rooms; read once, and kept on disk for the trainings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hepda.adversarial.tensor_files import read_description, read_tensors, write_tensors
from hepda.datasets import download
from hepda.errors import ConfigError, DataError, nearest
from hepda.speech.recognition.hmm import Lexicon
from hepda.speech.recognition.senones import Aligner, Alignment, Mixtures, train_aligner
from hepda.speech.sounds.audio import Tape
from hepda.speech.sounds.corpora import Corpus, fsdd_folder, made_digits, read_fsdd, read_recordings
from hepda.speech.sounds.features import FilterBank, Frames, cepstra, normalised, with_deltas
from hepda.speech.sounds.mixing import NoiseBank
from hepda.speech.sounds.noises import NoiseTypes, load_noises, load_rooms, recorded

if TYPE_CHECKING:
    from hepda.config import SpeechConfig
    from hepda.config.speech.sounds import NoiseConfig, RoomsConfig, SpokenConfig

_MADE = 12  # recordings of each word by each speaker of synthetic digits
_CEPSTRA = 13  # number of cepstra that the aligner uses


@dataclass(frozen=True, slots=True)
class Material:
    """Utterances, noises and rooms of an analysis.

    Attributes:
        corpus: all utterances.
        noises: all noises.
        seen, unseen: numbers of the types of `noises` that are used in trainings, and of those that are not.
        rooms: responses by name.
        seen_rooms, unseen_rooms: numbers of the rooms that are used in trainings, and of those that are not.

    """

    corpus: Corpus
    noises: NoiseTypes
    seen: tuple[int, ...]
    unseen: tuple[int, ...]
    rooms: dict[str, Tensor]
    seen_rooms: tuple[int, ...]
    unseen_rooms: tuple[int, ...]

    @property
    def responses(self) -> list[Tensor]:
        """The responses of the rooms by number."""
        return list(self.rooms.values())


def load(config: SpeechConfig) -> Material:
    """Read all data that the analysis file names.

    Raises:
        HepdaError: a file is missing or cannot be used, or a name does not exist.

    """
    corpus = load_corpus(config.speech, config.seed)
    training = torch.nonzero(corpus.index >= config.split.test).flatten()
    if config.split.by == "recording" and not 0 < len(training) < len(corpus):
        raise DataError(
            f"split.test: the first {config.split.test} recordings of each word and speaker are tested on, which "
            f"leaves {len(training)} of {len(corpus)} to train on"
        )
    return material_of(corpus, training, config.noise, config.rooms, config.seed)


def load_corpus(speech: SpokenConfig, seed: int) -> Corpus:
    """Read or make the utterances that the analysis file names; `seed` is that of synthetic ones."""
    if speech.data == "fsdd":
        return read_fsdd(fsdd_folder(download.path_of("fsdd")[0]), speech.rate, speech.recordings)
    if speech.data == "folder":
        return read_fsdd(Path(str(speech.folder)), speech.rate, speech.recordings)
    if speech.data == "recordings":
        return read_recordings(Path(str(speech.folder)), speech.rate, speech.recordings)
    return made_digits(speech.data, speech.rate, speech.recordings or _MADE, seed)


def material_of(corpus: Corpus, training: Tensor, noise: NoiseConfig, rooms: RoomsConfig | None, seed: int) -> Material:
    """Return the utterances with the noises and rooms that the analysis file names.

    Args:
        corpus: the utterances.
        training: numbers of those that may be trained on, int64 [k]; babble is made of them.
        noise: which noises there are.
        rooms: which rooms there are; None: none.
        seed: of synthetic noises and rooms.

    """
    files: dict[str, tuple[Path, ...]] = {}
    if noise.recordings is not None:
        files = recorded(_folder(noise.recordings, "ambient", "ambient"))
    voices = [corpus.tape.utterance(number) for number in training.tolist()]
    noises = load_noises(files, noise.synthetic, corpus.tape.rate, voices, seed)
    unseen = numbers_of("noise.unseen", noise.unseen, noises.names)
    seen = tuple(number for number in range(len(noises.names)) if number not in unseen)
    if not seen:
        raise ConfigError("noise.unseen: names every noise there is; one at least must be left to train with")
    responses = {} if rooms is None else load_rooms_of(rooms, corpus.tape.rate, seed)
    unseen_rooms = () if rooms is None else numbers_of("rooms.unseen", rooms.unseen, tuple(responses))
    seen_rooms = tuple(number for number in range(len(responses)) if number not in unseen_rooms)
    return Material(corpus, noises, seen, unseen, responses, seen_rooms, unseen_rooms)


def load_rooms_of(rooms: RoomsConfig, rate: int, seed: int) -> dict[str, Tensor]:
    """Read or make the room responses that the analysis file names, by name; `seed` is that of synthetic ones."""
    folder = None if rooms.recordings is None else _folder(rooms.recordings, "measured", "rooms")
    return load_rooms(folder, rooms.synthetic, rate, seed, rooms.only)


def _folder(recordings: str, published: str, data_set: str) -> Path:
    """Return the folder of a data set if the recordings are its `published` ones, otherwise their own path."""
    return download.path_of(data_set)[0] if recordings == published else Path(recordings)


def numbers_of(key: str, names: tuple[str, ...], existing: tuple[str, ...]) -> tuple[int, ...]:
    """Return the places of names among the existing ones. Raises ConfigError, which names the key, for others."""
    for name in names:
        if name not in existing:
            hint = nearest(name, existing) or f" There are: {', '.join(existing)}."
            raise ConfigError(f"{key}: {name!r} is not there.{hint}")
    return tuple(existing.index(name) for name in names)


# ---- alignment ----


def aligner_frames(config: SpeechConfig, tape: Tape) -> tuple[Frames, Tensor]:
    """Return the input of the aligner: cepstra with two derivatives, normalised by utterance, and log energies [f].

    Frames have the same length and distance as those of the networks.
    """
    frames = FilterBank(tape.rate, window=config.frames.window, hop=config.frames.hop).of_tape(tape)
    energy = torch.logsumexp(frames.values, dim=1)
    features = with_deltas(frames.with_values(cepstra(frames.values, _CEPSTRA)), 2)
    return features.with_values(normalised(features.values, features.utterance, len(tape))), energy


def trained_aligner(config: SpeechConfig, corpus: Corpus) -> Aligner:
    """Train the aligner of an analysis on the utterances of `corpus`."""
    states = config.states
    lexicon = Lexicon.of_words(corpus.vocabulary, states.states)
    frames, energy = aligner_frames(config, corpus.tape)
    return train_aligner(
        frames,
        energy,
        corpus.words,
        lexicon,
        mixtures=states.mixtures,
        iterations=states.iterations,
        stable=states.stable,
    )


def alignment_of(config: SpeechConfig, aligner: Aligner, corpus: Corpus) -> Alignment:
    """Return the states of all utterances from their known words.

    They are the targets of trainings and the reference of frame accuracies.
    """
    frames, _ = aligner_frames(config, corpus.tape)
    return Alignment(aligner.align(frames, corpus.words), frames.count)


# ---- on disk ----


def write_material(material: Material, folder: Path) -> None:
    """Write the material to a folder, for other processes; nothing is pickled."""
    folder.mkdir(parents=True, exist_ok=True)
    corpus, noises = material.corpus, material.noises
    tensors = {
        **_tape_tensors("corpus", corpus.tape),
        "speaker": corpus.speaker,
        "index": corpus.index,
        "kind": noises.train.kind,  # the same for both banks
        **{f"room.{number}": room for number, room in enumerate(material.responses)},
    }
    for part, bank in (("train", noises.train), ("test", noises.test)):
        tensors |= _tape_tensors(part, bank.tape) | {f"{part}.power": bank.power}
    description: dict[str, Any] = {
        "rate": corpus.tape.rate,
        "words": corpus.words,
        "names": corpus.names,
        "vocabulary": corpus.vocabulary,
        "speakers": corpus.speakers,
        "origin": corpus.origin,
        "noises": noises.names,
        "seen": material.seen,
        "unseen": material.unseen,
        "rooms": list(material.rooms),
        "seen_rooms": material.seen_rooms,
        "unseen_rooms": material.unseen_rooms,
    }
    _write(folder / "material.safetensors", tensors, description)


def read_material(folder: Path) -> Material:
    """Read the files of `write_material`."""
    tensors, description = _read(folder / "material.safetensors")
    rate = description["rate"]
    corpus = Corpus(
        _tape(tensors, "corpus", rate),
        tuple(tuple(words) for words in description["words"]),
        tensors["speaker"],
        tensors["index"],
        tuple(description["names"]),
        tuple(description["vocabulary"]),
        tuple(description["speakers"]),
        description["origin"],
    )
    names = tuple(description["noises"])
    banks = [
        NoiseBank(_tape(tensors, part, rate), tensors["kind"], names, tensors[f"{part}.power"])
        for part in ("train", "test")
    ]
    rooms = {name: tensors[f"room.{number}"] for number, name in enumerate(description["rooms"])}
    return Material(
        corpus,
        NoiseTypes(banks[0], banks[1], {}),
        tuple(description["seen"]),
        tuple(description["unseen"]),
        rooms,
        tuple(description["seen_rooms"]),
        tuple(description["unseen_rooms"]),
    )


def write_aligner(aligner: Aligner, path: Path) -> None:
    """Write an aligner to a safetensors file."""
    lexicon, mixtures = aligner.lexicon, aligner.mixtures
    tensors = {"weight": mixtures.weight, "mean": mixtures.mean, "variance": mixtures.variance, "stay": aligner.stay}
    description = {
        "words": lexicon.words,
        "units": lexicon.units,
        "spelling": lexicon.spelling,
        "states": lexicon.states,
        "changed": aligner.changed,
    }
    _write(path, tensors, description)


def read_aligner(path: Path) -> Aligner:
    """Read a file of `write_aligner`."""
    tensors, description = _read(path)
    spelling = tuple(tuple(units) for units in description["spelling"])
    lexicon = Lexicon(tuple(description["words"]), tuple(description["units"]), spelling, description["states"])
    mixtures = Mixtures(tensors["weight"], tensors["mean"], tensors["variance"])
    return Aligner(lexicon, mixtures, tensors["stay"], tuple(description["changed"]))


def write_alignment(alignment: Alignment, path: Path) -> None:
    """Write an alignment to a safetensors file."""
    _write(path, {"senone": alignment.senone, "count": alignment.count}, {})


def read_alignment(path: Path) -> Alignment:
    """Read a file of `write_alignment`."""
    tensors, _ = _read(path)
    return Alignment(tensors["senone"], tensors["count"])


def _tape_tensors(name: str, tape: Tape) -> dict[str, Tensor]:
    return {f"{name}.samples": tape.samples, f"{name}.start": tape.start, f"{name}.length": tape.length}


def _tape(tensors: dict[str, Tensor], name: str, rate: int) -> Tape:
    return Tape(tensors[f"{name}.samples"], tensors[f"{name}.start"], tensors[f"{name}.length"], rate)


def _write(path: Path, tensors: dict[str, Tensor], description: dict[str, Any]) -> None:
    write_tensors(
        path, {name: tensor.contiguous() for name, tensor in tensors.items()}, {"said": json.dumps(description)}
    )


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, metadata = read_tensors(path)
    return tensors, read_description(path, metadata, "said")
