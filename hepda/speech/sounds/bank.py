"""What a training reads: frames of utterances, mixed with noise anew in every epoch, as windows of a batch.

An utterance of a training is a take: a recording at a speed, in a room or none, with a type of noise or none. What the
heads are told (senone, noise, room) belongs to the take and stays; how loud the noise is, which stretch of it, and
how long the vocal tract is, are drawn again in every epoch. The rows of the core are numbers of frames; `Bank.windows`
is the transform that turns them into features.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from hepda.speech.sounds.audio import Tape
from hepda.speech.sounds.features import FilterBank, Frames, cepstra, normalised, with_deltas
from hepda.speech.sounds.mixing import NoiseBank, in_rooms, mixed


@dataclass(frozen=True, slots=True)
class Extractor:
    """From a tape to the features of its frames.

    Attributes:
        bank: the filterbank.
        cepstra: number of cosine coefficients; 0: log energies.
        deltas: order of the highest derivative beside them.
        by: `utterance` or `speaker`: what is brought to mean 0; `none`: nothing.
        variance: whether it is brought to variance 1 too.

    """

    bank: FilterBank
    cepstra: int = 0
    deltas: int = 0
    by: str = "utterance"
    variance: bool = True

    @property
    def width(self) -> int:
        """Numbers a frame."""
        return (self.cepstra or self.bank.bands) * (1 + self.deltas)

    def __call__(self, tape: Tape, speaker: Tensor, warp: Tensor | None = None) -> Frames:
        """Features of all frames; speaker [u]: who speaks; warp [u]: which filterbank of `bank.warps`."""
        frames = self.bank.of_tape(tape, warp)
        if self.cepstra:
            frames = frames.with_values(cepstra(frames.values, self.cepstra))
        frames = with_deltas(frames, self.deltas)
        if self.by == "none":
            return frames
        group = frames.utterance if self.by == "utterance" else speaker[frames.utterance]
        groups = int(group.max()) + 1
        return frames.with_values(normalised(frames.values, group, groups, variance=self.variance))


@dataclass(frozen=True, slots=True)
class Context:
    """Frames around one that the network reads with it: every `step`-th from `left` before to `right` after."""

    left: int
    right: int
    step: int = 1

    @property
    def offsets(self) -> Tensor:
        """Of the frames, int64."""
        return torch.arange(-self.left, self.right + 1, self.step)

    @property
    def middle(self) -> int:
        """The step that is the frame itself."""
        return self.left // self.step


@dataclass(frozen=True, slots=True)
class Takes:
    """Utterances as a training hears them.

    Attributes:
        tape: recordings at their speeds and in their rooms, without noise.
        speaker: int64 [u].
        noise: the type of noise that is heard, int64 [u]; -1: none.
        added: the type that is added anew in each epoch, int64 [u]; -1: none, or it is on the tape already.
        recording: the number of the recording in the corpus, int64 [u].
        speed: factor at which it is played, float64 [u].

    """

    tape: Tape
    speaker: Tensor
    noise: Tensor
    added: Tensor
    recording: Tensor
    speed: Tensor

    def __len__(self) -> int:
        return len(self.speaker)


@dataclass(frozen=True, slots=True)
class Levels:
    """Ratios of speech to noise, in dB, drawn evenly from `low` to `high`."""

    low: float
    high: float

    def drawn(self, number: int, generator: torch.Generator) -> Tensor:
        """Ratios [number]."""
        return self.low + (self.high - self.low) * torch.rand(number, generator=generator)


def noisy(takes: Takes, noises: NoiseBank | None, snr: Tensor, generator: torch.Generator) -> Tape:
    """The takes with what is added to them at ratios `snr` [u]; those to which nothing is stay as they are."""
    if noises is None or not bool((takes.added >= 0).any()):
        return takes.tape
    noise = noises.drawn(takes.added.clamp_min(0), takes.tape.length, generator)
    return mixed(takes.tape, noise, torch.where(takes.added >= 0, snr, torch.inf))


def recorded(takes: Takes, noises: NoiseBank, levels: Levels, seed: int) -> Takes:
    """The takes with noise on their tapes, once and for all: recordings that were made in noise, not mixed here."""
    generator = torch.Generator().manual_seed(seed)
    tape = noisy(takes, noises, levels.drawn(len(takes), generator), generator)
    return replace(takes, tape=tape, added=torch.full_like(takes.added, -1))


def roomy(tape: Tape, rooms: list[Tensor], which: Tensor) -> Tape:
    """As `in_rooms`; the tape itself where nobody is in a room."""
    return in_rooms(tape, rooms, which) if bool((which >= 0).any()) else tape


@dataclass(slots=True)
class Bank:
    """The frames of a training, made anew for each epoch by `turn`.

    While an epoch trains, a thread makes the frames of the next: torch's kernels leave it a core where there is one.
    Epoch n has the same frames whether or not the epochs before it were made here, so a resumed training goes on with
    those that it would have had.

    Attributes:
        takes: what is heard.
        noises: what is mixed in; None: nothing.
        levels: how loud.
        extractor: what is made of it.
        context: what a row becomes.
        seed: of everything that is drawn.
        masks: bands and steps of a window that are blanked at most (SpecAugment, Park et al. 2019), each drawn.
        frames: those of the epoch that is on.

    """

    takes: Takes
    noises: NoiseBank | None
    levels: Levels
    extractor: Extractor
    context: Context
    seed: int
    masks: tuple[int, int] = (0, 0)
    frames: Frames = field(init=False)
    _epoch: int = field(default=-1, init=False)
    _next: Future[Frames] | None = field(default=None, init=False)
    _thread: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self.turn(0)

    @property
    def fixed(self) -> bool:
        """Whether all epochs have the same frames."""
        return len(self.extractor.bank.warps) == 1 and not bool((self.takes.added >= 0).any())

    def turn(self, epoch: int) -> None:
        """Take the frames of an epoch, and begin with those of the next."""
        if epoch == self._epoch or (self.fixed and self._epoch >= 0):
            return
        ahead, self._next = self._next, None
        self.frames = ahead.result() if ahead is not None and epoch == self._epoch + 1 else self.made(epoch)
        self._epoch = epoch
        if not self.fixed:
            self._next = self._thread.submit(self.made, epoch + 1)

    def made(self, epoch: int) -> Frames:
        """The frames of an epoch."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch * 7919) % (2**63))
        with torch.no_grad():
            number = len(self.takes)
            warp = torch.randint(len(self.extractor.bank.warps), (number,), generator=generator)
            snr = self.levels.drawn(number, generator)
            return self.extractor(noisy(self.takes, self.noises, snr, generator), self.takes.speaker, warp)

    def windows(self, frames: Tensor) -> Tensor:
        """Return the windows [n, steps, width] of the frames at numbers [n], as they are in this epoch."""
        return window_of(self.frames, self.context, frames)

    def masked(self, windows: Tensor, generator: torch.Generator) -> Tensor:
        """Return windows [n, steps, width] with stretches blanked: the transform of the core's rows."""
        return blanked(windows, generator, self.masks)

    def close(self) -> None:
        """End the thread."""
        self._next = None
        self._thread.shutdown(wait=True, cancel_futures=True)


def window_of(frames: Frames, context: Context, rows: Tensor) -> Tensor:
    """Windows [k, steps, width] around the frames `rows` [k]."""
    beside = frames.beside(context.offsets, rows)
    return torch.index_select(frames.values, 0, beside.flatten()).reshape(*beside.shape, -1)


def blanked(windows: Tensor, generator: torch.Generator, most: tuple[int, int]) -> Tensor:
    """Windows [n, steps, width] with a stretch of bands and one of steps set to 0, the mean of an utterance.

    most: bands and steps at most.
    """
    for axis, longest in ((2, most[0]), (1, most[1])):
        if longest:
            kept = masking(len(windows), windows.shape[axis], min(longest, windows.shape[axis] - 1), generator)
            windows = windows * kept.unsqueeze(3 - axis)
    return windows


def masking(rows: int, size: int, most: int, generator: torch.Generator) -> Tensor:
    """Factors [rows, size]: 0 within a stretch of 0 to `most` places that begins anywhere, 1 elsewhere."""
    draw = torch.rand(2, rows, 1, generator=generator, device=generator.device)
    length = (draw[0] * (most + 1)).floor()
    begin = draw[1] * (size - length)
    place = torch.arange(size, device=generator.device)
    return ((place < begin) | (place >= begin + length)).float()
