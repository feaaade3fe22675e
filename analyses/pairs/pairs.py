"""Audio and image of the same digit, each with its own corruption: how are the two combined?

    python -m analyses.pairs.pairs                                # synthetic speech and 8 x 8 digits, no download
    python -m analyses.pairs.pairs --speech fsdd --images usps    # data sets of HEPDA_DATA

Digits are spoken in noise and shown behind a square and in pixel noise; strings of four are read. Compared are one
stream alone, equal fusion, training on both end to end, calibrated sums, and gates that read how certain each stream is
or how damaged it seems (gates.py). One of the gates learns by REINFORCE from minus the edit distance (the idea of MSRL,
arXiv:2212.05301). The table goes to the terminal and to OUTPUT/pairs.md, the figure to OUTPUT/pairs.png and
OUTPUT/pairs.pdf.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor, nn
from torch.nn import functional

from analyses.pairs.gates import Combination, Reading, best_gate, edit_distance, learned
from hepda.config.images import ImageModelConfig, ImageSetConfig
from hepda.datasets import download
from hepda.errors import HepdaError
from hepda.images.arrays import Images
from hepda.images.encoders import encoder
from hepda.images.sets import load as load_images
from hepda.plotting.base.style import DPI, PAGE, model_styles, save, styled
from hepda.speech.results.numbers import spread
from hepda.speech.sounds.corpora import Corpus, fsdd_folder, made_digits, read_fsdd
from hepda.speech.sounds.features import FilterBank
from hepda.speech.sounds.mixing import NoiseBank, mixed
from hepda.speech.sounds.noises import load_noises

Array = NDArray[Any]
RATE, SIZE, LENGTH, CLASSES = 8000, 24, 4, 10  # Hz; rows and columns of both inputs; digits of a string
SNR = (-10.0, -5.0, 0.0, 5.0, 10.0)  # dB, of the tests
TRAINING_SNR = (-10.0, 20.0)
STRINGS = 500  # for each ratio, of the tests; twice as many at random ratios to choose a gate
METHODS = ("audio", "image", "mean of probabilities", "mean of logits", "concatenation", "modality dropout",
           "supervised gate", "REINFORCE gate", "calibrated logits", "quality gate")  # fmt: skip
BEST = "best gate"  # with the answer known: what no gate can be better than


@dataclass(frozen=True, slots=True)
class Part:
    """Recordings and images of one purpose, which no other purpose uses: training, choosing a gate, or the test."""

    corpus: Corpus
    noise: NoiseBank
    pixels: Tensor
    label: Array

    @property
    def words(self) -> Array:
        """The digit of each recording."""
        return np.array([words[0] for words in self.corpus.words])


def load(speech: str, images: str, seed: int) -> tuple[Part, Part, Part]:
    """Return what to train with, to choose with, and to test with."""
    if speech == "fsdd":
        corpus = read_fsdd(fsdd_folder(download.path_of("fsdd")[0]), RATE)
    else:
        corpus = made_digits(speech, RATE, 12, seed)
    recordings = int(corpus.index.max()) + 1
    test, choose = recordings // 5, recordings // 5 + recordings // 5
    rows = [corpus.index >= choose, (corpus.index >= test) & (corpus.index < choose), corpus.index < test]
    spoken = [corpus.select(torch.nonzero(row).flatten()) for row in rows]
    voices = [spoken[0].tape.utterance(number) for number in range(len(spoken[0]))]
    noises = load_noises({}, ("white", "pink", "babble"), RATE, voices, seed)
    train, shown = load_images(ImageSetConfig(data=images), SIZE, 1, seed)
    order = np.random.default_rng(seed).permutation(len(train.label))
    fifth = len(order) // 5
    seen: list[tuple[Images, Array]] = [
        (train, order[fifth:]), (train, order[:fifth]), (shown, np.arange(len(shown.label)))
    ]  # fmt: skip
    banks = (noises.train, noises.train, noises.test)
    return tuple(  # type: ignore[return-value]
        Part(sounds, bank, torch.from_numpy(of.pixels[chosen]).float(), of.label[chosen])
        for sounds, bank, (of, chosen) in zip(spoken, banks, seen, strict=True)
    )


def heard(part: Part, rows: Array, snr: Tensor, generator: torch.Generator) -> Tensor:
    """Return log mel energies [n, 1, SIZE, SIZE] of recordings in noise at ratios [n] in dB."""
    tape = part.corpus.tape.select(torch.from_numpy(rows))
    kinds = torch.randint(len(part.noise.names), (len(rows),), generator=generator)
    noisy = mixed(tape, part.noise.drawn(kinds, tape.length, generator), snr)
    frames = FilterBank(RATE, SIZE).of_tape(noisy)
    parts = torch.split(frames.values, frames.count.tolist())
    return torch.stack([functional.adaptive_avg_pool1d(part.T[None], SIZE) for part in parts])


def shown(pixels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return images [n, 1, r, r] behind a grey square of random size and place, and in noise of random strength.

    Second are the covered share and the strength [n, 2].
    """
    n, size = len(pixels), pixels.shape[-1]
    side = torch.rand(n, 1, generator=generator) * size
    corner = torch.rand(n, 2, generator=generator) * (size - side)
    place = torch.arange(size)[None]
    row, column = ((place >= corner[:, i : i + 1]) & (place < corner[:, i : i + 1] + side) for i in (0, 1))
    covered = (row[:, :, None] & column[:, None, :])[:, None]
    strength = 150.0 * torch.rand(n, 1, 1, 1, generator=generator)
    noise = strength * torch.randn(pixels.shape, generator=generator)
    damage = torch.stack([covered.flatten(1).float().mean(dim=1), strength.flatten()], dim=1)
    return torch.where(covered, 128.0, pixels + noise), damage


def _images(part: Part, digits: Array, choice: np.random.Generator) -> Tensor:
    """Draw an image of each digit."""
    rows = [choice.choice(np.flatnonzero(part.label == digit)) for digit in digits]
    return part.pixels[torch.tensor(rows)]


def drawn(
    part: Part, rows: Array, snr: Tensor, generator: torch.Generator, choice: np.random.Generator
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Return recordings in noise with an image of each digit, and how damaged the images are [n, 2].

    Args:
        part: recordings and images.
        rows: numbers of the recordings [n].
        snr: of each recording, in dB [n].
        generator: of the damage.
        choice: of the images.

    """
    audio = heard(part, rows, snr, generator)
    image, damage = shown(_images(part, part.words[rows], choice), generator)
    return (audio, image), damage


class Reader(nn.Module):
    """An encoder for each stream that it reads, and one linear layer on their features.

    Args:
        streams: 0 for audio, 1 for the image, or both.
        dropped: share of the rows of a training that lose all features of one stream, each stream as often.

    """

    def __init__(self, streams: Sequence[int], dropped: float = 0.0) -> None:
        super().__init__()
        section = ImageModelConfig(width=8, features=64, batch_norm="joint", normalise="image")
        self.streams, self.dropped = tuple(streams), dropped
        self.encoders = nn.ModuleList(encoder(section, 1, SIZE) for _ in streams)
        self.head = nn.Linear(64 * len(streams), CLASSES)

    def features(self, inputs: Sequence[Tensor]) -> Array:
        """Return the features [n, 64] of the first of its streams, without a gradient."""
        with torch.no_grad():
            found: Array = self.encoders[0](inputs[self.streams[0]]).double().numpy()
        return found

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return logits [n, 10] of the inputs of both streams."""
        features = [encode(inputs[stream]) for encode, stream in zip(self.encoders, self.streams, strict=True)]
        if self.training and self.dropped:
            draw = torch.rand(len(features[0]), 1)
            features = [
                part * ~((draw >= self.dropped * i / 2) & (draw < self.dropped * (i + 1) / 2))
                for i, part in enumerate(features)
            ]
        logits: Tensor = self.head(torch.cat(features, dim=1))
        return logits


def trained(part: Part, epochs: int, seed: int) -> dict[str, Reader]:
    """Return the networks, all trained on the same pairs; in each epoch every recording has a new image and noise."""
    torch.manual_seed(seed)
    generator, choice = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    readers = {"audio": Reader([0]), "image": Reader([1]), "concatenation": Reader([0, 1]),
               "modality dropout": Reader([0, 1], 0.5)}  # fmt: skip
    parameters = [p for reader in readers.values() for p in reader.parameters()]
    steps = epochs * (len(part.corpus) // 64)
    optimiser = torch.optim.Adam(parameters, 4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    for _ in range(epochs):
        rows = choice.permutation(len(part.corpus))
        low, high = TRAINING_SNR
        snr = low + (high - low) * torch.rand(len(rows), generator=generator)
        (audio, image), _ = drawn(part, rows, snr, generator, choice)
        answer = torch.from_numpy(part.words[rows])
        for batch in torch.arange(len(rows) // 64 * 64).split(64):
            optimiser.zero_grad()
            # the networks share no parameter: each one's gradient is that of its own loss
            losses = [
                functional.cross_entropy(r([audio[batch], image[batch]]), answer[batch]) for r in readers.values()
            ]
            torch.stack(losses).sum().backward()
            optimiser.step()
            schedule.step()
    return {name: reader.eval() for name, reader in readers.items()}


@dataclass(frozen=True, slots=True)
class QualityMeter:
    """Linear estimates of how damaged a recording and an image are, from the features of the networks of one stream."""

    readers: tuple[Reader, Reader]
    estimates: tuple[Any, Any]

    @classmethod
    def fitted(cls, readers: Mapping[str, Reader], part: Part, seed: int) -> QualityMeter:
        """Fit the ratio to the noise, the covered share and the strength of the pixel noise on pairs that are drawn."""
        from sklearn.linear_model import RidgeCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        chosen = readers["audio"], readers["image"]
        low, high = TRAINING_SNR
        generator = torch.Generator().manual_seed(seed)
        snr = low + (high - low) * torch.rand(len(part.corpus), generator=generator)
        inputs, damage = drawn(part, np.arange(len(part.corpus)), snr, generator, np.random.default_rng(seed))
        truths = snr.numpy(), damage.numpy()
        estimates = tuple(
            make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13))).fit(reader.features(inputs), truth)
            for reader, truth in zip(chosen, truths, strict=True)
        )
        return cls(chosen, estimates)

    def __call__(self, inputs: Sequence[Tensor]) -> Array:
        """Return the estimates [n, 3]."""
        found = [e.predict(reader.features(inputs)) for e, reader in zip(self.estimates, self.readers, strict=True)]
        return np.concatenate([part.reshape(len(part), -1) for part in found], axis=1)


def read(readers: Mapping[str, Reader], meter: QualityMeter, part: Part, snr: Tensor, seed: int) -> Reading:
    """Return what the networks read of drawn strings.

    Args:
        readers: the networks.
        meter: of the damage of both streams.
        part: recordings and images.
        snr: of each string, in dB [strings].
        seed: of everything that is drawn.

    """
    generator, choice = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    rows = choice.integers(len(part.corpus), size=len(snr) * LENGTH)
    inputs, _ = drawn(part, rows, snr.repeat_interleave(LENGTH), generator, choice)
    with torch.no_grad():
        logs = {name: log_softmax(reader(inputs).double().numpy(), axis=1) for name, reader in readers.items()}
    return Reading(
        {name: log.reshape(-1, LENGTH, CLASSES) for name, log in logs.items()},
        part.words[rows].reshape(-1, LENGTH),
        meter(inputs).reshape(len(snr), LENGTH, -1),
    )


# ---- errors ----


def errors(reading: Reading, combinations: Mapping[str, Combination]) -> dict[str, float]:
    """Return the word error rate of each method, in per cent: edit distance over the number of digits."""
    both = reading.logs["audio"], reading.logs["image"]
    scores = {**reading.logs, "mean of probabilities": np.logaddexp(*both), "mean of logits": both[0] + both[1]}
    scores |= {name: combine(reading) for name, combine in combinations.items()}
    wrong = {name: edit_distance(scores[name].argmax(-1), reading.said).mean() / LENGTH for name in METHODS}
    return {name: 100.0 * float(share) for name, share in (wrong | {BEST: best_gate(reading)}).items()}


def one_seed(parts: tuple[Part, Part, Part], seed: int, epochs: int, trials: int) -> dict[str, list[float]]:
    """Train everything once and return the errors [ratios] of each method."""
    train, choose, test = parts
    readers = trained(train, epochs, seed)
    meter = QualityMeter.fitted(readers, train, 3000 + seed)
    low, high = SNR[0], SNR[-1]
    ratios = low + (high - low) * torch.rand(2 * STRINGS, generator=torch.Generator().manual_seed(seed))
    combinations = learned(read(readers, meter, choose, ratios, 1000 + seed), trials, seed)
    rows = [
        errors(read(readers, meter, test, torch.full((STRINGS,), snr), 2000 + 100 * seed + number), combinations)
        for number, snr in enumerate(SNR)
    ]
    return {name: [row[name] for row in rows] for name in (*METHODS, BEST)}


# ---- what is shown ----

Results = Mapping[str, Array]
"""Of each method the errors [seeds, ratios] in per cent."""


def interval(values: Array) -> str:
    """Return a mean with its 95 % interval over seeds."""
    found = spread(values.tolist())
    if found["low"] is None:
        return f"{found['value']:.1f}"
    return f"{found['value']:+.1f} ({found['low']:+.1f} to {found['high']:+.1f})"


def table(results: Results) -> str:
    """Return the table of errors, and at 0 dB the differences to equal fusion, paired by seed."""
    quoted = SNR.index(0.0)
    head = [*(f"{snr:g} dB" for snr in SNR), "minus mean of probabilities, 0 dB", "minus mean of logits, 0 dB"]
    lines = [f"| words wrong [%] | {' | '.join(head)} |", "|---|" + "---|" * len(head)]
    for name in METHODS:
        cells = [f"{value:.1f}" for value in results[name].mean(axis=0)]
        for base in ("mean of probabilities", "mean of logits"):
            same = name == base
            cells.append("" if same else interval((results[name] - results[base])[:, quoted]))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    difference = (results["REINFORCE gate"] - results["supervised gate"])[:, quoted]
    best = results[BEST].mean(axis=0)[quoted]
    lines += [
        "",
        f"REINFORCE gate minus supervised gate at 0 dB: {interval(difference)} points.",
        f"With the best weight of each digit, chosen with the answer, {best:.1f} % would be wrong at 0 dB.",
    ]
    return "\n".join(lines)


@styled
def error_figure(results: Results) -> Figure:
    """Draw the errors against the ratio: on the left all methods, on the right the differences to equal fusion."""
    drawn = Figure(figsize=(PAGE, 3.0), layout="constrained", dpi=DPI)
    left, right = drawn.subplots(1, 2)
    styles = model_styles(METHODS)
    for number, name in enumerate(METHODS):
        style, values = styles[name], results[name]
        options: dict[str, Any] = {"color": style.colour, "marker": style.marker, "linestyle": style.dashes}
        left.plot(SNR, values.mean(axis=0), label=name, **options)
        if name in ("audio", "image", "mean of logits"):
            continue
        found = [spread(column.tolist()) for column in (values - results["mean of logits"]).T]
        x = np.array(SNR) + 0.25 * (number - 6)
        for at, one in zip(x, found, strict=True):
            if one["low"] is not None:
                right.plot([at, at], [one["low"], one["high"]], color=style.colour, linewidth=0.8)
        right.plot(x, [one["value"] for one in found], **(options | {"linestyle": "none"}))
    right.axhline(0.0, color="#717581", linestyle="dotted", linewidth=0.8)
    left.set(xlabel="SNR of the audio [dB]", ylabel="Words wrong [%]", ylim=(0.0, None), xticks=SNR)
    right.set(xlabel="SNR of the audio [dB]", ylabel="Minus mean of logits, 95 % interval [points]")
    left.legend(loc="upper right")
    return drawn


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, print the table, and write it and the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--speech", default="synthetic", choices=("synthetic", "flite", "espeak", "tones", "fsdd"))
    parser.add_argument("--images", default="digits", help="a data set of images of digits (default: digits)")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--trials", type=int, default=1500, help="of REINFORCE")
    parser.add_argument("--output", type=Path, default=Path("runs/pairs"))
    options = parser.parse_args(arguments)
    if min(options.seeds, options.epochs, options.trials) < 1:
        parser.error("--seeds, --epochs and --trials are 1 or more")
    parts = load(options.speech, options.images, 1)
    runs = []
    for seed in range(options.seeds):
        runs.append(one_seed(parts, seed, options.epochs, options.trials))
        results = {name: np.array([run[name] for run in runs]) for name in (*METHODS, BEST)}
        text = f"{len(runs)} of {options.seeds} seeds\n\n{table(results)}\n"
        png, _ = save(error_figure(results), options.output, "pairs")
        (options.output / "pairs.md").write_text(text, encoding="utf-8")
        print(f"seed {seed + 1} of {options.seeds} done", file=sys.stderr, flush=True)
    print(f"{text}\nfigure: {png}")


if __name__ == "__main__":
    try:
        main()
    except HepdaError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
