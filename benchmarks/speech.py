"""Speed of the speech package: audio to log-mel features compared with torch.stft and one matmul, and mixing of noise.

    python benchmarks/speech.py [--seconds 300] [--repeats 9] [--utterances 600]

On one thread. The goals: 16 kHz audio to 40 log-mel bands at least 500 times faster than real time, and within 1.2 of
torch.stft and one matmul in the same run; and a training whose noise is mixed in every epoch is not slower than one on
fixed frames if a second core is free (with one core, mixing adds the share that is printed). Ratios are medians over
repeats of processor time, which hardly depends on the load of the machine; the last is by wall clock, and needs a
second core that is free.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from hepda.adversarial import DomainRows, Head, History, Network, Trainer, mlp, seeded
from hepda.adversarial.data.sources import ComputedRows
from hepda.speech.sounds.audio import on_tape
from hepda.speech.sounds.bank import Bank, Context, Extractor, Levels, Takes
from hepda.speech.sounds.features import FilterBank
from hepda.speech.sounds.mixing import NoiseBank
from hepda.speech.training.encoders import Convolutional

RATE = 16000
EPOCHS = 4
"""Number of epochs of a training with noise that is mixed during the training, and of one without."""


def clocked(work: Callable[[], object]) -> float:
    """Return the processor time of a call, in s."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def by_the_clock(work: Callable[[], object]) -> float:
    """Return the wall-clock time of a call, in s."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def features(seconds: float, repeats: int) -> None:
    """Measure log-mel features of one long signal, and of utterances on a tape, and compare them with the floor."""
    bank = FilterBank(RATE, 40)
    audio = 0.1 * torch.randn(round(seconds * RATE), generator=torch.Generator().manual_seed(1))
    length = RATE * 2
    tape = on_tape(list(audio[: len(audio) // length * length].split(length)), RATE)
    window, matrix = torch.hann_window(bank.window_samples), torch.rand(bank.size // 2 + 1, 40)

    def floor() -> torch.Tensor:
        """Compute torch.stft of the whole signal and one matmul of its real part, nothing else."""
        found = torch.stft(
            audio, bank.size, bank.hop_samples, bank.window_samples, window, center=False, return_complex=True
        )
        return found.real.T @ matrix

    ways = {"signal": lambda: bank(audio), "tape": lambda: bank.of_tape(tape)}
    for work in (floor, *ways.values()):
        work()
    taken: dict[str, list[float]] = {name: [] for name in ("floor", *ways)}
    for _ in range(repeats):
        taken["floor"].append(clocked(floor))
        for name, work in ways.items():
            taken[name].append(clocked(work))
    for name, times in taken.items():
        ratio = statistics.median(t / f for t, f in zip(times, taken["floor"], strict=True))
        print(f"{name:8} {seconds / statistics.median(times):8.0f} times real time, {ratio:5.2f} of the floor")


def training(utterances: int, repeats: int) -> None:
    """Measure one epoch of a small convolutional network, with frames made in each epoch and with fixed ones."""
    generator = torch.Generator().manual_seed(2)
    tape = on_tape(list(0.1 * torch.randn(utterances, RATE // 2, generator=generator)), RATE)
    recordings = [0.1 * torch.randn(20 * RATE, generator=generator) for _ in range(17)]
    noises = NoiseBank.of(on_tape(recordings, RATE), torch.arange(17), tuple(f"n{i}" for i in range(17)))
    numbers = torch.arange(utterances)
    takes = Takes(tape, numbers, numbers % 17, numbers % 17, numbers, torch.ones(len(numbers)))
    extractor, context = Extractor(FilterBank(RATE, 40)), Context(20, 20, 2)
    bank = Bank(takes, noises, Levels(0.0, 20.0), extractor, context, 1)
    frames = len(bank.frames)
    label = torch.randint(61, (frames,), generator=generator)
    rows = DomainRows(ComputedRows(torch.arange(frames), bank.windows), {"senone": label}, transform=bank.masked)
    times, mixing, ratios = [], [], []
    for repeat in range(repeats):

        def fit(epochs: int, on_epoch: Callable[[History], None] | None = None, repeat: int = repeat) -> None:
            with seeded(repeat):
                head = Head("senone", mlp(256, [], 61), loss="multiclass")
                network = Network(Convolutional(21, 40, 64, 256), [head], normalization=None)
            Trainer(epochs=epochs, batch_size=256, kernels="plain").fit(network, rows, on_epoch=on_epoch)

        times.append(clocked(lambda: fit(1)))
        mixing.append(clocked(lambda repeat=repeat: bank.made(repeat + 5)))  # type: ignore[misc]
        fixed = by_the_clock(lambda: fit(EPOCHS))
        begin = 100 * (repeat + 1)
        bank.turn(begin)  # the thread begins with the frames of the next epoch
        ratios.append(by_the_clock(lambda: fit(EPOCHS, lambda h: bank.turn(begin + h.epochs))) / fixed)  # noqa: B023
    bank.close()
    share = statistics.median(m / t for m, t in zip(mixing, times, strict=True))
    print(f"an epoch of {frames} frames takes {statistics.median(times):.2f} s, new noise for it {share:.1%} of that")
    print(f"mixing and features: {tape.seconds / statistics.median(mixing):.0f} times real time")
    print(f"wall clock: {EPOCHS} epochs of new noise over {EPOCHS} of fixed frames: {statistics.median(ratios):.2f}")


def main() -> None:
    """Measure features and training."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--utterances", type=int, default=600)
    given = parser.parse_args()
    torch.set_num_threads(1)
    features(given.seconds, given.repeats)
    training(given.utterances, max(2, given.repeats // 3))


if __name__ == "__main__":
    main()
