"""Semantic guidance on digits: thicker, or slanted, and otherwise the same.

    python -m analyses.semantics.edits        # scikit-learn's digits, no download

A diffusion model of images is told the digit, the thickness and the slant of the strokes, each or none of them. Images
of a digit are generated once as they are and, from the same noise, with an edit: by semantic guidance (SEGA, Brack et
al. 2023, arXiv:2301.12247), by telling the model the changed stroke, with guidance of several strengths, and by the
first version of semantic guidance (Stable Artist, arXiv:2212.06013). Measured are the shift of the attribute, whether a
network that is trained on other images still recognises the digit, and the pixels that changed. Settings are chosen on
one half of the images and reported on the other. Tables go to the terminal and to OUTPUT/NAME/edits.md, figures to
OUTPUT/NAME.
"""

from __future__ import annotations

import argparse
import sys
import time as clock
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from hepda.adversarial import Network, seeded
from hepda.adversarial.diffusion.denoising import denoising_loss, drop_labels, noise_of_velocity
from hepda.adversarial.diffusion.guidance import Concept, SemanticGuidance, guided
from hepda.adversarial.diffusion.networks import ImageDenoiser
from hepda.adversarial.diffusion.ode import Field
from hepda.adversarial.diffusion.samplers import denoised
from hepda.adversarial.diffusion.schedules import NoiseSchedule, find_schedule
from hepda.adversarial.games.game import Game, Rules
from hepda.adversarial.games.losses import RowLosses
from hepda.adversarial.networks.schedules import RATE_SCHEDULES
from hepda.adversarial.training.optimizers import optimizer_for
from hepda.adversarial.training.problem import Player, train
from hepda.config import GeneratorConfig, load_any
from hepda.config.generators.models import DiffusionConfig
from hepda.errors import ConfigError, HepdaError
from hepda.generators import judge
from hepda.generators.images import GeneratorImages, PixelRows, load
from hepda.generators.semantics.attributes import UNITS, attributes, binned
from hepda.images.training import Stored
from hepda.plotting.base.style import DASHES, DPI, MODEL_PALETTE, PAGE, save, styled
from hepda.plotting.images import mosaic

Array = NDArray[Any]
Pixels = NDArray[np.uint8]

STROKES = ("thickness", "slant")
"""What the model is told beside the digit."""
EDITS = {"thicker": "thickness", "slanted": "slant"}
"""The stroke of which an edit wants more."""
HIGH, BINS, SHARE = 2, 3, 0.25
"""The bin that an edit wants; the number of bins; the share of each digit's images in the lowest and the highest."""
NO_DIGIT, NO_STROKE = 0.1, 0.5
"""Shares of the training images whose digit, and each of whose strokes, is left out. Guidance needs the noise with no
label at all; with 0.1 for all three kinds the network would be told nothing in one of a thousand images."""
LABELS_OF_DIGITS = 10
SCALES, THRESHOLDS = (2.0, 3.0), (0.9, 0.75)
TOLD_SCALES, TOLD_THRESHOLDS = (1.5, 2.5), (0.9, 0.75)
STRENGTHS = (0.5, 1.0, 2.0, 4.0)
"""Scales s_c and thresholds lambda of semantic guidance, the same for concepts with the digit, and strengths of the
changed condition."""
FIRST_SCALES = (1e-3, 1e-2, 0.1, 1.0, 10.0, 500.0, 1e6)
FIRST_THRESHOLDS = (-0.9, -0.05, 0.0, 0.01)
"""Scales s_e and thresholds of the first version; -0.9 and 500 are the published ones."""
CHANGED = 25.5
"""A pixel has changed if it differs by more, a tenth of the range."""
WARM_UP = 3
"""First steps without an edit; 10 of 50 as published."""
ASKED = {"shift": 1.0, "kept": 0.9, "changed": 1.5}
"""Targets: shift in standard deviations of the data, digits kept, changed pixels over 1 - lambda."""
REPLICAS = 1000


# ---- the model ----


@dataclass(frozen=True, slots=True)
class StrokeTraining:
    """The training of a network that is told the digit and the bins of its strokes.

    Attributes:
        section: settings of the model.
        network: what is trained.
        rows: images of -1 to 1 [n, 1, size, size].
        label: digit and bin of each stroke [n, 3].

    """

    section: DiffusionConfig
    network: ImageDenoiser
    rows: Tensor
    label: Tensor

    def loss(self, step: int, random: torch.Generator) -> RowLosses:
        """Return the squared differences of the velocities at random times."""
        schedule = find_schedule(self.section.schedule)
        number = self.section.training.batch_size
        chosen = torch.randint(len(self.rows), (number,), generator=random)
        images, known = self.rows[chosen], self.label[chosen]
        digit = drop_labels(known[:, :1], [LABELS_OF_DIGITS], NO_DIGIT, random)
        strokes = drop_labels(known[:, 1:], [BINS] * len(STROKES), NO_STROKE, random)
        noise = torch.randn(images.shape, generator=random)
        told = noise_in(self.network, schedule, torch.cat([digit, strokes], dim=1))
        return denoising_loss(
            told, schedule, images, noise, schedule.draw(number, random), importance=schedule.inverse_signal
        )

    def game(self, seed: int) -> Game:
        """Return the training as a game of one player."""
        training = self.section.training
        rules = Rules(
            self.loss, average=training.average, clip=training.clip, schedule=RATE_SCHEDULES[training.schedule]
        )
        player = Player("denoiser", self.network, optimizer_for(self.network, training))
        turns = max(1, len(self.rows) // training.batch_size)
        return Game([player], {"denoiser": rules}, turns, training.epochs, seed)


def noise_in(network: ImageDenoiser, schedule: NoiseSchedule, label: Tensor) -> Field:
    """Return the noise that a network of the velocity finds, for labels [n, kinds]."""
    return noise_of_velocity(lambda x, time: network(x, time, label), schedule)


def strokes_of(images: Pixels, label: Array) -> Tensor:
    """Return the digit and the bin of each stroke [n, 3]."""
    values = attributes(images, STROKES)
    bins = [binned(column, label, SHARE) for column in values.T]
    return torch.from_numpy(np.column_stack([label, *bins]))


# ---- rules of guidance, as functions of the digits of a batch ----

Rule = Callable[[Tensor], Field]


@dataclass(frozen=True, slots=True)
class Setting:
    """Scale s_c and threshold lambda of semantic guidance.

    Attributes:
        scale: s_c.
        threshold: lambda.
        told: psi = s_c (eps_c - eps_p), both for the digit, instead of the published s_c (eps_c - eps_0) for any image.

    """

    scale: float
    threshold: float
    told: bool = False

    @property
    def way(self) -> str:
        """Its name in tables and figures."""
        return f"SEGA{' with the digit' if self.told else ''}"


def clamped_effect(empty: Tensor, prompt: Tensor, concept: Tensor, scale: float, threshold: float) -> Tensor:
    """Return the change of the first version: mu (eps_c - eps_0), mu = min(1, s_e / |eps_p - eps_c|).

    mu is 0 where eps_p - eps_c <= lambda. As released with arXiv:2212.06013; the paper has no such formula.

    Args:
        empty: eps_0, the noise without any label.
        prompt: eps_p, the noise for the image as it is.
        concept: eps_c, the noise for the concept.
        scale: s_e.
        threshold: lambda.

    """
    factor = (scale / (prompt - concept).abs()).clamp(max=1.0)
    return torch.where(prompt - concept > threshold, factor * (concept - empty), 0.0)


@dataclass(frozen=True, slots=True)
class Editor:
    """Generates images of digits, as they are and with edits.

    Attributes:
        network: the trained network.
        schedule: of its noise.
        steps: of the sampler, without fresh noise.
        scale: how pixels are made of rows.
        selected: shares of the pixels that the first version changes, at its rate, and clamps, one pair for each call.

    """

    network: ImageDenoiser
    schedule: NoiseSchedule
    steps: int
    scale: PixelRows
    selected: list[tuple[float, float]] = field(default_factory=list)

    def told(self, digit: Tensor | None, rows: int, **strokes: int) -> Field:
        """Return the noise for a digit of each row, or none, and bins of strokes."""
        said = torch.full((rows,), LABELS_OF_DIGITS) if digit is None else digit
        bins = [torch.full((rows,), strokes.get(name, BINS)) for name in STROKES]
        return noise_in(self.network, self.schedule, torch.stack([said, *bins], dim=1))

    def plain(self, digit: Tensor) -> Field:
        """Return the noise of the digits as they are."""
        return self.told(digit, len(digit))

    def changed(self, stroke: str, strength: float) -> Rule:
        """Return guidance from the digit towards the digit with the stroke; 1: the changed condition."""
        return lambda digit: guided(self.plain(digit), self.told(digit, len(digit), **{stroke: HIGH}), strength)

    def semantic(self, stroke: str, setting: Setting) -> Rule:
        """Return semantic guidance towards the stroke, of any image as published, or of images of the digit."""

        def rule(digit: Tensor) -> Field:
            about = digit if setting.told else None
            concept = Concept(self.told(about, len(digit), **{stroke: HIGH}), setting.scale, setting.threshold)
            prompt = None if setting.told else self.plain(digit)
            return SemanticGuidance(self.told(about, len(digit)), prompt, [concept], warm_up=WARM_UP)

        return rule

    def first(self, stroke: str, scale: float, threshold: float) -> Rule:
        """Return the first version of semantic guidance."""

        def rule(digit: Tensor) -> Field:
            fields = self.told(None, len(digit)), self.plain(digit), self.told(None, len(digit), **{stroke: HIGH})

            def noise(x: Tensor, time: Tensor) -> Tensor:
                empty, prompt, concept = (of(x, time) for of in fields)
                difference = prompt - concept
                self.selected.append(
                    (float((difference > threshold).float().mean()), float((difference.abs() > scale).float().mean()))
                )
                return prompt + clamped_effect(empty, prompt, concept, scale, threshold)

            return noise

        return rule

    def images(self, rule: Rule, start: Tensor, digit: Tensor) -> Pixels:
        """Return images of the digits, from noise [n, 1, size, size]."""
        parts = [
            denoised(rule(of), self.schedule, noise, self.steps, fresh=0.0, limits=(-1.0, 1.0))
            for noise, of in zip(torch.split(start, 100), torch.split(digit, 100), strict=True)
        ]
        return self.scale.pixels(torch.cat(parts))


# ---- what an edit does ----


@dataclass(frozen=True, slots=True)
class Effect:
    """What an edit does to each image.

    Attributes:
        shift: of its attribute, in standard deviations of the data [n].
        aside: of the other attribute, without sign, in the same unit [n].
        kept: 1 where the digit is recognised [n].
        changed: share of the pixels that changed [n].

    """

    shift: Array
    aside: Array
    kept: Array
    changed: Array

    def means(self, rows: Array | slice = slice(None)) -> Array:
        """Return the means of some rows, in the order of the attributes [4]."""
        return np.array([of[rows].mean() for of in (self.shift, self.aside, self.kept, self.changed)])


@dataclass(frozen=True, slots=True)
class Measure:
    """Compares edited images with those that were not edited.

    Attributes:
        plain: the images without an edit.
        digit: what they show [n].
        network: recognises digits.
        spread: standard deviation of each attribute of the data [attributes].

    """

    plain: Pixels
    digit: Array
    network: Network
    spread: Array

    def effect(self, edited: Pixels, stroke: str) -> Effect:
        """Return what the edit of a stroke did."""
        shift = (attributes(edited, STROKES) - attributes(self.plain, STROKES)) / self.spread
        own = STROKES.index(stroke)
        difference = np.abs(edited.astype(np.int16) - self.plain).reshape(len(edited), -1)
        kept = judge.verdicts(self.network, edited).recognised == self.digit
        return Effect(shift[:, own], np.abs(shift[:, 1 - own]), kept.astype(float), (difference > CHANGED).mean(axis=1))


@dataclass(frozen=True, slots=True)
class Edit:
    """All that is measured of one edit.

    Attributes:
        name: its name.
        semantic: effects of semantic guidance by setting.
        changed: effects of the changed condition by strength, with 0 for the images as they are.
        chosen: the settings that are reported, chosen on the first half of the images, by their way.
        first: largest difference of a pixel to the published scale, shift, share of clamped and of selected pixels, by
            scale and threshold of the first version.

    """

    name: str
    semantic: Mapping[Setting, Effect]
    changed: Mapping[float, Effect]
    chosen: Mapping[str, Setting]
    first: Mapping[tuple[float, float], tuple[float, float, float, float]]


def met(means: Array, threshold: float) -> list[bool]:
    """Return whether the targets are met: shift, digits kept, changed pixels."""
    shift, _, kept, changed = means
    return [shift >= ASKED["shift"], kept >= ASKED["kept"], changed <= ASKED["changed"] * (1.0 - threshold)]


def choose(semantic: Mapping[Setting, Effect], rows: slice) -> dict[str, Setting]:
    """Return, for each way, the setting that meets most targets on some rows, of these the one that keeps most digits.

    What hardly shifts anything keeps digits: of settings that meet as many targets, those with the shift go first.
    """

    def rank(setting: Setting) -> tuple[int, bool, float]:
        means = semantic[setting].means(rows)
        targets = met(means, setting.threshold)
        return sum(targets), targets[0], float(means[2])

    ways = dict.fromkeys(setting.way for setting in semantic)
    return {way: max((setting for setting in semantic if setting.way == way), key=rank) for way in ways}


def at_shift(changed: Mapping[float, Effect], shift: float, rows: Array | slice) -> Array:
    """Return strength and means of the changed condition with a given mean shift, between those that were measured.

    Args:
        changed: effects by strength, rising.
        shift: in standard deviations.
        rows: of the means.

    Returns:
        The strength, then `Effect.means` [5]; the largest measured strength if it shifts less.

    """
    table = np.array([[strength, *effect.means(rows)] for strength, effect in changed.items()])
    rising = np.maximum.accumulate(table[:, 1])
    return np.array([np.interp(shift, rising, column) for column in table.T])


def interval(values: Callable[[Array], Array], rows: int, seed: int) -> Array:
    """Return the mean and the 95 % interval of numbers of images, by a bootstrap of the images [3, ...]."""
    random = np.random.default_rng(seed)
    drawn = np.array([values(random.integers(0, rows, rows)) for _ in range(REPLICAS)])
    return np.concatenate([values(np.arange(rows))[None], np.quantile(drawn, [0.025, 0.975], axis=0)])


# ---- tables and figures ----


def number(of: Array, digits: int = 2) -> str:
    """Return a value with its interval."""
    return f"{of[0]:.{digits}f} ({of[1]:.{digits}f} to {of[2]:.{digits}f})"


def report(edit: Edit, way: str, half: int, seed: int) -> str:
    """Return the table of an edit in one way, on the second half of the images, and a sentence about the null."""
    setting = edit.chosen[way]
    guided_by, told = edit.semantic[setting], edit.changed

    def numbers(rows: Array) -> Array:
        rows = rows + half
        ours = guided_by.means(rows)
        same = at_shift(told, ours[0], rows)[1:]
        return np.stack([ours, told[1.0].means(rows), same, told[0.0].means(rows), ours - same])

    total = len(guided_by.shift) - half
    found = interval(numbers, total, seed)
    strength = at_shift(told, float(found[0, 0, 0]), np.arange(half, half + total))[0]
    most = ASKED["changed"] * (1.0 - setting.threshold)
    lines = [
        f"| {edit.name} | asked | {way}, s_c = {setting.scale:g}, lambda = {setting.threshold:g} | changed condition | "
        f"changed condition, strength {strength:.2f} | no edit |",
        "|---|---|---|---|---|---|",
    ]
    names = ("shift, standard deviations of the data", "shift of the other attribute", "digits kept", "changed pixels")
    for at, (name, asked) in enumerate(zip(names, (">= 1", "", ">= 0.90", f"<= {most:.3f}"), strict=True)):
        digits = 2 if at < 2 else 3
        lines.append(f"| {name} | {asked} | {' | '.join(number(found[:, k, at], digits) for k in range(4))} |")
    kept, pixels, aside = (found[:, 4, at] for at in (2, 3, 1))
    better = kept[1] > 0.0
    return "\n".join([
        *lines, "",
        f"At the same shift {way} minus the changed condition: digits kept {number(kept, 3)}, changed pixels "
        f"{number(pixels, 3)}, shift of the other attribute {number(aside)}. "
        f"{'Not the null: it keeps more digits' if better else 'Null: it keeps no more digits'}.",
    ])  # fmt: skip


def first_report(edit: Edit) -> str:
    """Return what scale and threshold of the first version change."""
    lines = [
        "| first version | largest difference of a pixel to s_e = 500, of 255 | clamped | over the threshold | shift |",
        "|---|---|---|---|---|",
    ]
    for (scale, threshold), (difference, shift, clamped, selected) in edit.first.items():
        lines.append(
            f"| {edit.name}, s_e = {scale:g}, lambda = {threshold:g} | {difference:.0f} | {100 * clamped:.2f} % | "
            f"{100 * selected:.1f} % | {shift:.2f} |"
        )
    return "\n".join(lines)


@styled
def trade_figure(edits: Sequence[Edit]) -> Figure:
    """Draw digits kept and changed pixels against the shift, for every setting."""
    drawn = Figure(figsize=(PAGE, 4.4), layout="constrained", dpi=DPI)
    panels = drawn.subplots(2, len(edits), sharex="col", sharey="row", squeeze=False)
    for column, edit in zip(panels.T, edits, strict=True):
        curves = {
            f"{way}, $\\lambda$ = {threshold:g}": [
                effect for of, effect in edit.semantic.items() if (of.way, of.threshold) == (way, threshold)
            ]
            for way, threshold in dict.fromkeys((of.way, of.threshold) for of in edit.semantic)
        } | {"Changed condition": list(edit.changed.values())}
        for axes, at, asked in ((column[0], 2, ASKED["kept"]), (column[1], 3, None)):
            for n, (name, effects) in enumerate(curves.items()):
                points = np.array([effect.means()[[0, at]] for effect in effects])
                last = name == "Changed condition"
                axes.plot(*points.T, marker="o" if last else "s", markersize=3, label=name, linewidth=1.2,
                          color="black" if last else MODEL_PALETTE[n], linestyle=DASHES[0 if last else 1])  # fmt: skip
            axes.axvline(ASKED["shift"], color="grey", linewidth=0.7, linestyle="dotted")
            if asked is not None:
                axes.axhline(asked, color="grey", linewidth=0.7, linestyle="dotted")
        column[0].set_title(edit.name.capitalize(), loc="left", weight="bold")
        column[1].set_xlabel("Shift (standard deviations of the data)")
    panels[0, 0].set_ylabel("Digits kept")
    panels[1, 0].set_ylabel("Changed pixels")
    panels[1, 0].legend(loc="upper left")
    return drawn


@styled
def picture_figure(pictures: Mapping[str, Mapping[str, Pixels]], columns: int) -> Figure:
    """Draw the first images of each edit, a row for each way to make them."""
    rows = max(len(ways) for ways in pictures.values())
    names, gap = 1.25, 0.2
    side = (PAGE - names) / columns
    height = len(pictures) * (rows * side + gap)
    drawn = Figure(figsize=(PAGE, height), dpi=DPI)
    for k, (edit, ways) in enumerate(pictures.items()):
        top = 1.0 - k * (rows * side + gap) / height
        box = (names / PAGE, top - (gap + rows * side) / height, 1.0 - names / PAGE, rows * side / height)
        axes = drawn.add_axes(box)
        joined = mosaic(np.concatenate([images[:columns] for images in ways.values()]), len(ways), columns)
        axes.imshow(joined, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        axes.set_title(edit.capitalize(), loc="left", weight="bold", pad=3.0)
        for row, way in enumerate(ways):
            drawn.text(0.004, box[1] + box[3] * (1.0 - (row + 0.5) / len(ways)), way, va="center", fontsize=7.5)
    return drawn


# ---- the run ----


@dataclass(frozen=True, slots=True)
class Prepared:
    """The trained networks and the images that are edited."""

    editor: Editor
    measure: Measure
    start: Tensor
    digit: Tensor


def models_of(path: Path) -> tuple[GeneratorConfig, DiffusionConfig]:
    """Return an analysis file and its diffusion model. Raises ConfigError if there is none that fits."""
    config = load_any(path)
    if not isinstance(config, GeneratorConfig):
        raise ConfigError(f"{path}: is of kind {config.kind}, not generator.")
    for model in config.models.values():
        if isinstance(model, DiffusionConfig) and config.pixels.channels == 1:
            return config, model
    raise ConfigError(f"{path}: has no model of `kind: diffusion` of grey images.")


def networks(config: GeneratorConfig, section: DiffusionConfig, images: GeneratorImages, seed: int,
             folder: Path) -> tuple[ImageDenoiser, Network]:  # fmt: skip
    """Train the model and the network that recognises, or go on where an earlier call stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = Stored(images.judge.pixels, images.judge.label)
    recognising, _ = judge.trained(config, shown, LABELS_OF_DIGITS, config.seed, "cpu",
                                   checkpoint=folder / f"judge{config.seed}.checkpoint")  # fmt: skip
    with seeded(seed):
        network = ImageDenoiser(1, (LABELS_OF_DIGITS, *[BINS] * len(STROKES)), section.width)
    rows = PixelRows.of(images.train.pixels).rows(images.train.pixels)
    training = StrokeTraining(section, network, rows, strokes_of(images.train.pixels, images.train.label))
    train(training.game(seed), folder / f"denoiser{seed}.checkpoint", resume=True)
    return network, recognising


def prepared(config: GeneratorConfig, section: DiffusionConfig, number: int, seed: int, folder: Path) -> Prepared:
    """Return everything up to the edits."""
    images = load(config)
    network, recognising = networks(config, section, images, seed, folder)
    editor = Editor(network, find_schedule(section.schedule), section.steps, PixelRows.of(images.train.pixels))
    random = torch.Generator().manual_seed(seed + 1)
    start = torch.randn(number, 1, config.pixels.size, config.pixels.size, generator=random)
    digit = torch.arange(number) % LABELS_OF_DIGITS
    plain = editor.images(editor.plain, start, digit)
    spread = attributes(images.train.pixels, STROKES).std(axis=0)
    recognised = judge.verdicts(recognising, images.test.pixels).recognised == images.test.label
    units = ", ".join(f"{name} {value:.2f} {UNITS[name]}" for name, value in zip(STROKES, spread, strict=True))
    print(f"standard deviations of the data: {units}; digits of the test images recognised: {recognised.mean():.3f}")
    return Prepared(editor, Measure(plain, digit.numpy(), recognising, spread), start, digit)


def studied(of: Prepared, name: str, settings: Sequence[Setting]) -> Edit:
    """Return everything that is measured of an edit."""
    stroke, editor, half = EDITS[name], of.editor, len(of.digit) // 2

    def effect(rule: Rule) -> Effect:
        return of.measure.effect(editor.images(rule, of.start, of.digit), stroke)

    semantic = {setting: effect(editor.semantic(stroke, setting)) for setting in settings}
    changed = {0.0: of.measure.effect(of.measure.plain, stroke)}
    changed |= {strength: effect(editor.changed(stroke, strength)) for strength in STRENGTHS}
    return Edit(name, semantic, changed, choose(semantic, slice(0, half)), first_version(of, stroke))


def first_version(
    of: Prepared, stroke: str, number: int = 40
) -> dict[tuple[float, float], tuple[float, float, float, float]]:
    """Return what scales and thresholds of the first version change, on the first images; see `Edit`."""
    start, digit = of.start[:number], of.digit[:number]
    measure = Measure(of.measure.plain[:number], of.measure.digit[:number], of.measure.network, of.measure.spread)
    published = FIRST_SCALES[-2], FIRST_THRESHOLDS[0]
    reference = of.editor.images(of.editor.first(stroke, *published), start, digit).astype(np.int16)
    found = {}
    for setting in [*((s, published[1]) for s in FIRST_SCALES), *((published[0], t) for t in FIRST_THRESHOLDS[1:])]:
        of.editor.selected.clear()
        images = of.editor.images(of.editor.first(stroke, *setting), start, digit)
        selected, clamped = np.mean(of.editor.selected, axis=0)
        shift = measure.effect(images, stroke).means()[0]
        found[setting] = float(np.abs(images - reference).max()), float(shift), float(clamped), float(selected)
    return found


def pictures(of: Prepared, edits: Sequence[Edit], columns: int) -> dict[str, dict[str, Pixels]]:
    """Return images of the second half, as they are and edited."""
    half = len(of.digit) // 2
    rows = slice(half, half + columns)
    start, digit = of.start[rows], of.digit[rows]
    shown = {}
    for edit in edits:
        stroke, editor = EDITS[edit.name], of.editor
        rules = {
            "changed condition": editor.changed(stroke, 1.0),
            **{way: editor.semantic(stroke, setting) for way, setting in edit.chosen.items()},
            "first version": editor.first(stroke, FIRST_SCALES[-2], FIRST_THRESHOLDS[0]),
        }
        shown[edit.name] = {"no edit": of.measure.plain[rows]} | {
            name: editor.images(rule, start, digit) for name, rule in rules.items()
        }
    return shown


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, edit, print the tables, and write them and the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--analysis", type=Path, default=Path(__file__).with_name("digits.yaml"))
    parser.add_argument("--images", type=int, default=240, help="that are edited; one half chooses the settings")
    parser.add_argument("--edits", nargs="+", choices=EDITS, default=list(EDITS))
    parser.add_argument("--scales", type=float, nargs="+", default=SCALES, help="s_c of semantic guidance")
    parser.add_argument("--thresholds", type=float, nargs="+", default=THRESHOLDS, help="lambda of semantic guidance")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("runs/semantics"))
    options = parser.parse_args(arguments)
    if options.images < 2 * LABELS_OF_DIGITS:
        parser.error(f"--images is {2 * LABELS_OF_DIGITS} or more")
    config, section = models_of(options.analysis)
    folder, begin = options.output / config.name, clock.process_time()
    of = prepared(config, section, options.images, options.seed, folder)
    settings = [Setting(scale, threshold) for threshold in options.thresholds for scale in options.scales]
    settings += [Setting(scale, threshold, True) for threshold in TOLD_THRESHOLDS for scale in TOLD_SCALES]
    edits = [studied(of, name, settings) for name in options.edits]
    half = options.images // 2
    tables = [report(edit, way, half, options.seed) for edit in edits for way in edit.chosen]
    text = "\n\n".join([*tables, *(first_report(edit) for edit in edits)])
    text += f"\n\n{clock.process_time() - begin:.0f} seconds of CPU"
    (folder / "edits.md").write_text(f"{text}\n", encoding="utf-8")
    paths = [
        save(trade_figure(edits), folder, "edits_trade")[0],
        save(picture_figure(pictures(of, edits, 20), 20), folder, "edits")[0],
    ]
    print(f"{text}\nfigures: {', '.join(map(str, paths))}")


if __name__ == "__main__":
    try:
        main()
    except HepdaError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
