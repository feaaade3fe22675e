"""Directions of a style generator that change slant, thickness or width of digits, found without these attributes.

    python -m analyses.semantics.directions                                # scikit-learn's digits, no download

A small style generator is trained as a GAN. Directions of its styles are learned from deep features of the network that
recognises digits (ContraFeat, Zhu, Xu & Tao, AAAI 2023, arXiv:2212.07277: contrast of pairs, and learned patterns), or
are principal components (GANSpace, arXiv:2004.02546) or random. All have one strength. For each attribute the best
direction is chosen on one half of the images and measured on the other. The table goes to the terminal and to
OUTPUT/NAME/directions.md, figures to OUTPUT/NAME.
"""

from __future__ import annotations

import argparse
import sys
import time as clock
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from hepda.adversarial import Network
from hepda.config import GeneratorConfig, load_any
from hepda.config.generators.models import GanConfig
from hepda.errors import ConfigError, HepdaError
from hepda.evaluation.variance import spread
from hepda.generators import judge
from hepda.generators.gan import ImageGenerator
from hepda.generators.images import PixelRows, load
from hepda.generators.model import Examples, Fitting
from hepda.generators.networks import with_classes
from hepda.generators.semantics.attributes import ATTRIBUTES, attributes
from hepda.generators.semantics.directions import (
    Images,
    SearchSettings,
    learned,
    of_one_layer,
    of_one_strength,
    principal,
    random_directions,
)
from hepda.generators.semantics.scores import Best, best_directions, followed
from hepda.generators.semantics.styles import StyleNetwork
from hepda.images.training import Stored
from hepda.plotting.base.style import DPI, MODEL_PALETTE, PAGE, save, styled
from hepda.plotting.images import mosaic

Array = NDArray[Any]
NAMES = tuple(ATTRIBUTES)
DIRECTIONS = 8
CHANGE = 0.35
"""Root mean square by which a step of 1 changes the pixels, of -1 to 1."""
DEPTH = 9
"""Parts of the network that recognises, whose output is the deep features: its first two convolutions, with pooling,
norm and activation. What comes after them is to ignore slant and thickness."""
ASKED = 0.8
LEARNED = {"contrast of pairs": "pairs", "learned patterns": "patterns"}
BASELINES = ("principal components", "principal components, layer chosen", "random")


@dataclass(frozen=True, slots=True)
class Generator:
    """The trained networks.

    Attributes:
        model: the style generator.
        network: recognises digits.
        features: from images to deep features.
        scale: how pixels are made of rows.

    """

    model: ImageGenerator
    network: Network
    features: nn.Module
    scale: PixelRows

    @property
    def body(self) -> StyleNetwork:
        """The network of the generator."""
        body = self.model.body
        assert isinstance(body, StyleNetwork)  # noqa: S101  # section_of has seen to it
        return body

    def drawn(self, number: int, random: torch.Generator) -> tuple[Tensor, Images]:
        """Return styles of new images, and the images of styles."""
        with torch.no_grad():
            styles = self.body.styles(torch.randn(number, self.body.latent, generator=random))
        classes = self.model.description["classes"]
        digit = torch.randint(max(classes, 1), (number,), generator=random)
        told = with_classes(torch.empty(number, 0), digit if classes else None, classes)
        return styles, lambda of: self.body.images(of, told.repeat(len(of) // number, 1))

    def deep(self, number: int, random: torch.Generator) -> tuple[Tensor, Images]:
        """Return styles of new images, and the deep features of images of styles."""
        styles, images = self.drawn(number, random)
        return styles, lambda of: self.features((images(of) + 1.0) * 127.5)

    def measured(self, images: Tensor) -> Array:
        """Return the attributes of images."""
        return attributes(self.scale.pixels(images), NAMES)


def models_of(path: Path) -> tuple[GeneratorConfig, GanConfig]:
    """Return an analysis file and its style generator. Raises ConfigError if there is none that fits."""
    config = load_any(path)
    if not isinstance(config, GeneratorConfig):
        raise ConfigError(f"{path}: is of kind {config.kind}, not generator.")
    for model in config.models.values():
        if isinstance(model, GanConfig) and model.mapping and config.pixels.channels == 1:
            return config, model
    raise ConfigError(f"{path}: has no model of `kind: gan` with a `mapping` of grey images.")


def trained(config: GeneratorConfig, section: GanConfig, seed: int, folder: Path, depth: int) -> Generator:
    """Train generator and recognising network, or go on where an earlier call stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    images = load(config)
    classes, scale = len(images.train.classes), PixelRows.of(images.train.pixels)
    network, _ = judge.trained(config, Stored(images.judge.pixels, images.judge.label), classes, config.seed, "cpu",
                               checkpoint=folder / f"judge{config.seed}.checkpoint")  # fmt: skip
    network.eval().requires_grad_(False)
    examples = Examples(scale.rows(images.train.pixels), torch.from_numpy(images.train.label), classes)
    fitting = Fitting(seed, torch.device("cpu"), folder / f"style{seed}.checkpoint")
    model, _ = ImageGenerator.fit(section, examples, fitting)
    model.eval().requires_grad_(False)
    test = images.test
    asked = torch.from_numpy(test.label)
    rates = [
        float((judge.verdicts(network, pixels).recognised == test.label).mean())
        for pixels in (test.pixels, scale.pixels(model.sample(len(test), asked, seed)))
    ]
    print(f"digits recognised: {rates[0]:.3f} of the test images, {rates[1]:.3f} of as many generated ones")
    return Generator(model, network, network.encoder[:depth], scale)  # type: ignore[index]


Finder = Callable[[Generator, int], Tensor]
"""From a generator and a seed to directions [number, layers, d]."""


def finders(updates: int, number: int) -> dict[str, Finder]:
    """Return all ways to find directions, by name."""

    def principal_of(of: Generator, seed: int) -> Tensor:
        return principal(of.drawn(2000, torch.Generator().manual_seed(seed))[0], number)

    def random_of(of: Generator, seed: int) -> Tensor:
        return random_directions(number, of.body.LAYERS, of.body.latent, seed)

    def learned_of(variant: str) -> Finder:
        return lambda of, seed: learned(of.deep, SearchSettings(variant, number, updates), seed)

    first = {name: learned_of(variant) for name, variant in LEARNED.items()}
    rest: tuple[Finder, ...] = (principal_of, lambda of, seed: of_one_layer(principal_of(of, seed)), random_of)
    return first | dict(zip(BASELINES, rest, strict=True))


@dataclass(frozen=True, slots=True)
class Outcome:
    """The directions of one seed: all of them, of one strength, and the best one for each attribute."""

    directions: Tensor
    best: list[Best]


def studied(of: Generator, find: Finder, images: int, seed: int) -> Outcome:
    """Find directions, and measure them on new images; one half of them chooses."""
    random = torch.Generator().manual_seed(1000 + seed)
    styles, made = of.drawn(50, random)
    directions = of_one_strength(find(of, seed), made, styles, CHANGE)
    styles, made = of.drawn(images, random)
    found = followed(directions, made, styles, of.measured, seed)
    return Outcome(directions, best_directions(found, slice(0, images // 2), slice(images // 2, images)))


Outcomes = Mapping[str, Sequence[Outcome]]
"""The outcome of every seed, by the way that directions are found."""


def numbers(outcomes: Sequence[Outcome], key: str) -> Array:
    """Return a number of the best directions [seeds, attributes]."""
    return np.array([[getattr(best, key) for best in outcome.best] for outcome in outcomes])


def interval(values: Array, signed: bool = False) -> str:
    """Return the mean of the seeds and its 95 % interval."""
    of = spread(values.tolist())
    form = "+.3f" if signed else ".3f"
    text = f"{of['value']:{form}}"
    return text if of["low"] is None else f"{text} ({of['low']:{form}} to {of['high']:{form}})"


def report(outcomes: Outcomes) -> str:
    """Return the tables: numbers of the best directions, and differences to the baselines, paired by seed."""
    lines = [
        f"| directions | {' | '.join(f'{name}: rank correlation' for name in NAMES)} | "
        f"{' | '.join(f'{name}: selectivity' for name in NAMES)} | mean selectivity |",
        "|" + "---|" * (2 * len(NAMES) + 2),
        f"| asked | {' | '.join([f'>= {ASKED}'] * len(NAMES))} |" + " |" * len(NAMES) + " above the baselines |",
    ]
    for name, of in outcomes.items():
        ranks, selective = numbers(of, "rank"), numbers(of, "selectivity")
        cells = [interval(column) for table in (ranks, selective) for column in table.T]
        lines.append(f"| {name} | {' | '.join(cells)} | {interval(selective.mean(axis=1))} |")
    lines += ["", "| difference of mean selectivity, paired by seed | " + " | ".join(BASELINES) + " |",
              "|" + "---|" * (len(BASELINES) + 1)]  # fmt: skip
    for name in LEARNED:
        own = numbers(outcomes[name], "selectivity").mean(axis=1)
        cells = [interval(own - numbers(outcomes[other], "selectivity").mean(axis=1), True) for other in BASELINES]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "| rank correlation with the value of the attribute | " + " | ".join(NAMES) + " |",
              "|" + "---|" * (len(NAMES) + 1)]  # fmt: skip
    for name, of in outcomes.items():
        lines.append(f"| {name} | {' | '.join(interval(column) for column in numbers(of, 'value').T)} |")
    return "\n".join(lines)


@styled
def score_figure(outcomes: Outcomes) -> Figure:
    """Draw rank correlation and selectivity of the best direction for each attribute, a point for each seed."""
    drawn = Figure(figsize=(PAGE, 2.9), layout="constrained", dpi=DPI)
    panels = drawn.subplots(1, 2, sharey=True)
    names = list(outcomes)
    for axes, key, title in zip(panels, ("rank", "selectivity"), ("Rank correlation", "Selectivity"), strict=True):
        for at, attribute in enumerate(NAMES):
            for row, name in enumerate(names):
                values = numbers(outcomes[name], key)[:, at]
                place = np.full(len(values), len(names) - 1 - row + 0.22 * (1 - at))
                axes.plot(values, place, linestyle="none", marker="os^"[at], markersize=3.2, alpha=0.8,
                          color=MODEL_PALETTE[at], label=attribute if row == 0 else None)  # fmt: skip
        axes.set(xlabel=f"{title} of the best direction", yticks=range(len(names)), ylim=(-0.6, len(names) - 0.4))
        axes.set_yticklabels(names[::-1])
        axes.minorticks_off()
    panels[0].axvline(ASKED, color="grey", linestyle="dotted", linewidth=0.8)
    panels[1].axvline(0.0, color="grey", linestyle="dotted", linewidth=0.8)
    drawn.legend(handles=panels[0].get_legend_handles_labels()[0], loc="outside upper center", ncols=len(NAMES))
    return drawn


@styled
def picture_figure(of: Generator, outcomes: Mapping[str, Outcome], seed: int, images: int = 4) -> Figure:
    """Draw images along the best direction for each attribute, a block for each way to find directions."""
    steps = torch.linspace(-1.0, 1.0, 5)
    styles, made = of.drawn(images, torch.Generator().manual_seed(seed))
    drawn = Figure(figsize=(PAGE, 0.2 + len(outcomes) * 1.47), dpi=DPI)
    panels = drawn.subplots(len(outcomes), len(NAMES), squeeze=False,
                            gridspec_kw={"left": 0.13, "right": 0.995, "top": 0.93, "bottom": 0.005, "wspace": 0.04,
                                         "hspace": 0.06})  # fmt: skip
    for row, (name, outcome) in zip(panels, outcomes.items(), strict=True):
        for axes, best, attribute in zip(row, outcome.best, NAMES, strict=True):
            direction = outcome.directions[best.direction]
            with torch.no_grad():
                along = torch.stack([made(styles + step * direction) for step in steps], dim=1).flatten(0, 1)
            joined = mosaic(of.scale.pixels(along), images, len(steps))
            axes.imshow(joined, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
            axes.set(xticks=[], yticks=[])
            axes.minorticks_off()
            if name == next(iter(outcomes)):
                axes.set_title(attribute.capitalize(), loc="left", weight="bold", pad=3.0)
        row[0].set_ylabel(name.replace(" ", "\n", 1), rotation=0, ha="right", va="center", y=0.5, labelpad=4)
    return drawn


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, find directions, print the table, and write it and the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--analysis", type=Path, default=Path(__file__).with_name("digits.yaml"))
    parser.add_argument("--seeds", type=int, default=5, help="of the directions and of the images they are measured on")
    parser.add_argument("--generator", type=int, default=1, help="seed of the generator")
    parser.add_argument("--images", type=int, default=120, help="of each seed; one half chooses the best directions")
    parser.add_argument("--updates", type=int, default=100, help="of the learned directions")
    parser.add_argument("--directions", type=int, default=DIRECTIONS)
    parser.add_argument("--depth", type=int, default=DEPTH, help="parts of the recognising network for deep features")
    parser.add_argument("--output", type=Path, default=Path("runs/semantics"))
    options = parser.parse_args(arguments)
    if options.images < 20 or min(options.seeds, options.updates) < 1:
        parser.error("--images is 20 or more, --seeds and --updates are 1 or more")
    config, section = models_of(options.analysis)
    folder, begin = options.output / config.name, clock.process_time()
    of = trained(config, section, options.generator, folder, options.depth)
    outcomes = {
        name: [studied(of, find, options.images, seed) for seed in range(1, options.seeds + 1)]
        for name, find in finders(options.updates, options.directions).items()
    }
    text = f"{report(outcomes)}\n\n{clock.process_time() - begin:.0f} seconds of CPU"
    (folder / "directions.md").write_text(f"{text}\n", encoding="utf-8")
    shown = {name: outcomes[name][0] for name in (*LEARNED, BASELINES[0])}
    paths = [
        save(score_figure(outcomes), folder, "directions_scores")[0],
        save(picture_figure(of, shown, options.generator), folder, "directions")[0],
    ]
    print(f"{text}\nfigures: {', '.join(map(str, paths))}")


if __name__ == "__main__":
    try:
        main()
    except HepdaError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
