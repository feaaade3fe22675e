"""Mixing of noise at a given ratio, and rooms, on tapes of utterances with a seeded generator."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hepda.errors import DataError
from hepda.speech.sounds.audio import Tape

_QUIET = 1e-3  # share of a recording's mean power below which a stretch counts as loud as the recording


@dataclass(frozen=True, slots=True)
class NoiseBank:
    """Recordings of noise of several types, on one tape.

    Attributes:
        tape: the recordings.
        kind: the type of each recording, int64 [r].
        names: names of the types.
        power: mean square of each recording, float64 [r].

    """

    tape: Tape
    kind: Tensor
    names: tuple[str, ...]
    power: Tensor

    @classmethod
    def of(cls, tape: Tape, kind: Tensor, names: tuple[str, ...]) -> NoiseBank:
        """Make a bank of the recordings of a tape.

        Args:
            tape: the recordings.
            kind: the type of each recording, int64 [r].
            names: names of the types.

        Raises:
            DataError: a recording is silent, or a type has none.

        """
        power = energies(tape.samples.double(), tape) / tape.length
        if not bool((power > 0.0).all()):
            silent = names[int(kind[int(torch.nonzero(power <= 0.0)[0])])]
            raise DataError(f"a recording of the noise {silent!r} is silent; no ratio can be made with it")
        missing = [name for number, name in enumerate(names) if not bool((kind == number).any())]
        if missing:
            raise DataError(f"no recording of the noise {missing[0]!r}")
        return cls(tape, kind, names, power)

    def drawn(self, kinds: Tensor, length: Tensor, generator: torch.Generator) -> Noise:
        """Draw a stretch of noise for each of u utterances.

        A recording of the type and the beginning of the stretch in it are drawn at random. A recording that is too
        short is repeated.

        Args:
            kinds: types of noise [u].
            length: lengths of the stretches in samples [u].
            generator: source of the random numbers.

        """
        draw = torch.rand(2, len(kinds), generator=generator, dtype=torch.float64)
        order = torch.argsort(self.kind, stable=True)
        many = torch.bincount(self.kind, minlength=len(self.names))
        before = torch.cumsum(many, 0) - many
        recording = order[before[kinds] + (draw[0] * many[kinds]).long()]
        slack = (self.tape.length[recording] - length).clamp_min(0)
        begin = (draw[1] * (slack + 1)).long()
        samples, end = torch.empty(int(length.sum())), 0
        for number, start, count in zip(recording.tolist(), begin.tolist(), length.tolist(), strict=True):
            source = self.tape.utterance(number)
            if count > len(source):
                source = source.repeat(count // len(source) + 1)
            # copying slices is ten times as fast as gathering samples by their numbers
            samples[end : end + count] = source[start : start + count]
            end += count
        return Noise(samples, self.power[recording])


@dataclass(frozen=True, slots=True)
class Noise:
    """Samples [n] for all utterances of a tape, and the mean square of the recording of each, float64 [u]."""

    samples: Tensor
    power: Tensor


def energies(samples: Tensor, tape: Tape) -> Tensor:
    """Return the sums of squares [u] of samples [n] over each utterance of a tape, float64."""
    parts = torch.split(samples, tape.length.tolist())
    return torch.tensor([float(torch.dot(part, part)) for part in parts], dtype=torch.float64)


def mixed(speech: Tape, noise: Noise, snr: Tensor) -> Tape:
    """Mix speech and noise at given ratios.

    A stretch of noise more than 30 dB below its recording (a pause between keystrokes) is not amplified to the given
    ratio: it is treated as if it were as loud as the recording, so that the ratio is larger than given.

    Args:
        speech: the utterances.
        noise: noise for all utterances.
        snr: 10 log10 of the ratio of the powers of speech and noise in the utterance, in dB [u]; infinite: no noise.

    Raises:
        DataError: an utterance is silent and its ratio is finite.

    """
    signal = energies(speech.samples, speech)
    if bool(((signal <= 0.0) & torch.isfinite(snr)).any()):
        silent = int(torch.nonzero((signal <= 0.0) & torch.isfinite(snr))[0])
        raise DataError(f"utterance {silent} is silent; no ratio to noise can be made")
    level = noise.power * speech.length
    energy = energies(noise.samples, speech)
    energy = torch.where(energy < _QUIET * level, level, energy)
    gain = torch.sqrt(signal / energy) * torch.pow(10.0, -snr.double() / 20.0)
    samples, length = torch.empty_like(speech.samples), speech.length.tolist()
    parts = (torch.split(tape_samples, length) for tape_samples in (samples, speech.samples, noise.samples))
    for both, clean, added, factor in zip(*parts, gain.tolist(), strict=True):
        torch.add(clean, added, alpha=factor, out=both)
    return speech.replaced(samples)


def in_rooms(speech: Tape, rooms: list[Tensor], room_numbers: Tensor) -> Tape:
    """Convolve utterances with room responses.

    A response begins with its largest sample, so that frames keep their labels. The reverberation after the end of an
    utterance is cut off, and each utterance keeps its power.

    Args:
        speech: the utterances.
        rooms: room responses.
        room_numbers: the number of the room of each utterance [u], or -1 for none.

    """
    samples = speech.samples.clone()
    for number in sorted(set(room_numbers.tolist())):
        if number < 0:
            continue
        response = direct_first(rooms[number])
        for utterance in torch.nonzero(room_numbers == number).flatten().tolist():
            start, length = int(speech.start[utterance]), int(speech.length[utterance])
            dry = speech.samples[start : start + length]
            wet = convolved(dry, response)
            energy = wet.square().sum()
            if float(energy) > 0.0:
                samples[start : start + length] = wet * torch.sqrt(dry.square().sum() / energy)
    return speech.replaced(samples)


def direct_first(response: Tensor) -> Tensor:
    """Return a response [m] from its largest sample (the direct sound) on.

    Raises:
        DataError: it is zero throughout.

    """
    if not bool(response.any()):
        raise DataError("a room response is zero throughout")
    return response[int(response.abs().argmax()) :]


def convolved(dry: Tensor, response: Tensor) -> Tensor:
    """Return the first n samples of the convolution of dry [n] with a response [m], by FFT."""
    response = response[: len(dry)]
    size = 1 << (len(dry) + len(response) - 1).bit_length()
    product = torch.fft.rfft(dry, size) * torch.fft.rfft(response, size)
    result: Tensor = torch.fft.irfft(product, size)
    return result[: len(dry)]
