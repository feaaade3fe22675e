"""The input of a training: frames of utterances, mixed with new noise in every epoch, as windows of a batch.

An utterance of a training is a take: a recording at a speed, in a room or none, with a type of noise or none. The
targets of the heads (senone, noise, room) belong to the take and do not change. The ratio to the noise, the stretch of
noise and the length of the vocal tract are drawn again in every epoch. The rows of the core are numbers of frames;
`Bank.windows` turns them into features.
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
    """Computation of the features of all frames of a tape.

    Attributes:
        bank: the filterbank.
        cepstra: number of cosine coefficients; 0: log energies.
        deltas: order of the highest derivative that is appended.
        by: the group of frames that is normalised to mean 0, `utterance` or `speaker`; `none`: no normalisation.
        variance: whether the group is normalised to variance 1, too.

    """

    bank: FilterBank
    cepstra: int = 0
    deltas: int = 0
    by: str = "utterance"
    variance: bool = True

    @property
    def width(self) -> int:
        """Number of features of a frame."""
        return (self.cepstra or self.bank.bands) * (1 + self.deltas)

    def __call__(self, tape: Tape, speaker: Tensor, warp: Tensor | None = None) -> Frames:
        """Compute the features of all frames.

        Args:
            tape: the utterances.
            speaker: the speaker of each utterance [u].
            warp: index of each utterance into the filterbanks of `bank.warps` [u].

        """
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
    """Frames that the network reads for one frame: every `step`-th from `left` before to `right` after it."""

    left: int
    right: int
    step: int = 1

    @property
    def offsets(self) -> Tensor:
        """Offsets of the frames, int64."""
        return torch.arange(-self.left, self.right + 1, self.step)

    @property
    def middle(self) -> int:
        """Index of the step of the frame itself."""
        return self.left // self.step


@dataclass(frozen=True, slots=True)
class Takes:
    """Utterances as they are in a training.

    Attributes:
        tape: recordings at their speeds and in their rooms, with noise only if it is fixed (`recorded`).
        speaker: int64 [u].
        noise: the type of noise of the take, int64 [u]; -1: none.
        added: the type that is added anew in each epoch, int64 [u]; -1: none, or it is on the tape already.
        recording: the number of the recording in the corpus, int64 [u].
        speed: factor on the speed of the recording, float64 [u].

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
    """Ratios of speech to noise in dB, uniformly distributed from `low` to `high`."""

    low: float
    high: float

    def drawn(self, number: int, generator: torch.Generator) -> Tensor:
        """Draw ratios [number]."""
        return self.low + (self.high - self.low) * torch.rand(number, generator=generator)


def noisy(takes: Takes, noises: NoiseBank | None, snr: Tensor, generator: torch.Generator) -> Tape:
    """Return the tape of the takes with their noise added; takes without added noise are unchanged.

    Args:
        takes: the takes.
        noises: the bank of noises, or None.
        snr: ratios in dB [u].
        generator: source of the random numbers.

    """
    if noises is None or not bool((takes.added >= 0).any()):
        return takes.tape
    noise = noises.drawn(takes.added.clamp_min(0), takes.tape.length, generator)
    return mixed(takes.tape, noise, torch.where(takes.added >= 0, snr, torch.inf))


def recorded(takes: Takes, noises: NoiseBank, levels: Levels, seed: int) -> Takes:
    """Return the takes with fixed noise on their tapes: recordings that were made in noise.

    In contrast to other takes, no noise is added to them in the epochs.
    """
    generator = torch.Generator().manual_seed(seed)
    tape = noisy(takes, noises, levels.drawn(len(takes), generator), generator)
    return replace(takes, tape=tape, added=torch.full_like(takes.added, -1))


def roomy(tape: Tape, rooms: list[Tensor], room_numbers: Tensor) -> Tape:
    """Do the same as `in_rooms`, but return the tape itself if no utterance is in a room."""
    return in_rooms(tape, rooms, room_numbers) if bool((room_numbers >= 0).any()) else tape


@dataclass(slots=True)
class Bank:
    """The frames of a training, which `turn` recomputes for each epoch.

    During an epoch a thread computes the frames of the next one, on a core that torch's kernels leave free if there is
    one. The frames of epoch n do not depend on whether the earlier epochs were computed in the same process, so a
    resumed training has the same frames as one without an interruption.

    Attributes:
        takes: the utterances.
        noises: noises that are mixed in; None: nothing.
        levels: ratios of speech to noise.
        extractor: computation of the features.
        context: the window of a row.
        seed: seed of everything that is drawn.
        masks: largest numbers of bands and steps of a window that are blanked (SpecAugment, Park et al. 2019); the
            actual numbers are drawn.
        frames: the frames of the current epoch.

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
        """Make the frames of an epoch current, and start to compute those of the next one."""
        if epoch == self._epoch or (self.fixed and self._epoch >= 0):
            return
        next_frames, self._next = self._next, None
        self.frames = next_frames.result() if next_frames is not None and epoch == self._epoch + 1 else self.made(epoch)
        self._epoch = epoch
        if not self.fixed:
            self._next = self._thread.submit(self.made, epoch + 1)

    def made(self, epoch: int) -> Frames:
        """Return the frames of an epoch."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch * 7919) % (2**63))
        with torch.no_grad():
            number = len(self.takes)
            warp = torch.randint(len(self.extractor.bank.warps), (number,), generator=generator)
            snr = self.levels.drawn(number, generator)
            return self.extractor(noisy(self.takes, self.noises, snr, generator), self.takes.speaker, warp)

    def windows(self, frames: Tensor) -> Tensor:
        """Return the windows [n, steps, width] of the frames with numbers [n], as they are in this epoch."""
        return window_of(self.frames, self.context, frames)

    def masked(self, windows: Tensor, generator: torch.Generator) -> Tensor:
        """Return windows [n, steps, width] with blanked stretches: the transform of the rows of the core."""
        return blanked(windows, generator, self.masks)

    def close(self) -> None:
        """End the thread."""
        self._next = None
        self._thread.shutdown(wait=True, cancel_futures=True)


def window_of(frames: Frames, context: Context, rows: Tensor) -> Tensor:
    """Return windows [k, steps, width] around the frames `rows` [k]."""
    neighbours = frames.neighbours(context.offsets, rows)
    return torch.index_select(frames.values, 0, neighbours.flatten()).reshape(*neighbours.shape, -1)


def blanked(windows: Tensor, generator: torch.Generator, most: tuple[int, int]) -> Tensor:
    """Set a stretch of bands and a stretch of steps of each window to 0, the mean of an utterance.

    Args:
        windows: windows [n, steps, width].
        generator: source of the random numbers.
        most: largest number of bands and of steps.

    """
    for axis, longest in ((2, most[0]), (1, most[1])):
        if longest:
            factors = masking(len(windows), windows.shape[axis], min(longest, windows.shape[axis] - 1), generator)
            windows = windows * factors.unsqueeze(3 - axis)
    return windows


def masking(rows: int, size: int, most: int, generator: torch.Generator) -> Tensor:
    """Return factors [rows, size]: 0 within a stretch of 0 to `most` places at a random position, 1 elsewhere."""
    draw = torch.rand(2, rows, 1, generator=generator, device=generator.device)
    length = (draw[0] * (most + 1)).floor()
    begin = draw[1] * (size - length)
    place = torch.arange(size, device=generator.device)
    return ((place < begin) | (place >= begin + length)).float()
