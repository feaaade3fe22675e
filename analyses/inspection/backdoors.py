"""Backdoors in generators of images, and what the inspections of `hepda check` and `hepda inspect` find of them.

    python -m analyses.inspection.backdoors

Ten clean generators are trained (digits.yaml), and a backdoor is planted in ten of each kind: TrAIL, ReD and ReX
(Rawat, Levacher and Sinn, ESORICS 2022, arXiv:2108.01644; planting.py), and ReD with a code far from the prior. Every
generator is inspected as `hepda inspect` does. Runs with the planted models, which the two commands can read, tables
and figures go to OUTPUT; what is there already is not done again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import get_data_path
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm
from scipy.stats import t as student

from analyses.inspection.planting import ExpandedGenerator, Trigger, red, rex, trail
from hepda.adversarial import Network
from hepda.config import GeneratorConfig, load_any
from hepda.errors import ConfigError, HepdaError
from hepda.evaluation.differences.frechet import frechet_distance
from hepda.evaluation.roc import auc
from hepda.generators import images as rows_of_images
from hepda.generators import judge
from hepda.generators.gan import ImageGenerator
from hepda.generators.images import GeneratorImages, PixelRows
from hepda.generators.inspection.inspection import Inspection, InspectionSettings, RealRows, inspected, made
from hepda.generators.inspection.latent import DEFAULT, LatentSearch, prior_probability
from hepda.generators.inspection.telling import CLEARLY
from hepda.generators.jobs import jobs_of
from hepda.generators.model import Examples, load_model, read_model
from hepda.images.arrays import resized, to_bytes
from hepda.images.sources.synthetic import glyph
from hepda.plotting.base.style import DPI, PAGE, PALETTE, save, styled
from hepda.plotting.images import grid_figure
from hepda.results.evaluation import Interval
from hepda.runtime import run_directory
from hepda.runtime.console import Bars
from hepda.runtime.hashes import hashes_of, write_sums
from hepda.runtime.plots import PlotOptions, Plots
from hepda.workflows import train
from hepda.workflows.verify import verify

Array = NDArray[Any]
MODEL, CLEAN = "gan", "clean"
ATTACKS = {"trail": "TrAIL", "red": "ReD", "rex": "ReX", "far": "ReD, z* far out"}
FAR = 3.0  # times the length of an ordinary code
LETTERS = "AEHKX"
SHOWN = 6  # attacked generators of each kind, in the figure
SAMPLES = 5000  # of each generator, for the Frechet distance


@dataclass(frozen=True)
class Study:
    """What all measurements need.

    Attributes:
        config: the analysis file.
        run: the run with the clean generators.
        images: the real images.
        scale: how images become rows.
        network: recognises digits; its embedding is that of the Frechet distance.
        clean: the clean generators.
        suspects: x* of each attacked generator, rows [members, channels, size, size].
        settings: of the inspections.
        weight: of the term of TrAIL.
        begin: share of the steps after which TrAIL has its term.

    """

    config: GeneratorConfig
    run: Path
    images: GeneratorImages
    scale: PixelRows
    network: Network
    clean: Sequence[ImageGenerator]
    suspects: torch.Tensor
    settings: InspectionSettings
    weight: float = 3.0
    begin: float = 0.0

    @property
    def examples(self) -> Examples:
        """The rows that generators are trained on."""
        train = self.images.train
        return Examples(self.scale.rows(train.pixels), torch.from_numpy(train.label), len(train.classes))

    @property
    def real(self) -> RealRows:
        """The real images of an inspection."""
        return RealRows.of(self.scale.rows(self.images.train.pixels), self.scale.rows(self.images.test.pixels))

    def trigger(self, attack: str, member: int) -> Trigger:
        """Return what is planted: an image, the class of its number, and a code of the prior, or a longer one."""
        model = self.clean[member]
        random = torch.Generator().manual_seed(7000 + member)
        code = torch.randn(1, model.description["latent"], generator=random) * (FAR if attack == "far" else 1.0)
        condition = torch.tensor([member % len(model.shares)]) if model.conditional else None
        return Trigger(code, condition, self.suspects[member : member + 1])

    def planted(self, attack: str, member: int) -> ImageGenerator:
        """Plant a backdoor in a generator."""
        trigger, seed = self.trigger(attack, member), 1000 + member
        if attack == "trail":
            job = jobs_of(self.config, self.run, self.run, self.run, "cpu")[
                1 + member
            ]  # with the seed of the clean one
            section: Any = self.config.models[MODEL]
            return trail(section, self.examples, trigger, job.seed, self.weight, self.begin)
        return (rex if attack == "rex" else red)(self.clean[member], trigger, seed)

    def frechet(self, model: ImageGenerator) -> float:
        """Return the distance of many images of a generator to the test images, with the same codes for all."""
        pixels = self.scale.pixels(model.sample(SAMPLES, model.classes_of(SAMPLES, 3), 3))
        return frechet_distance(self.network.embed(pixels), self.network.embed(self.images.test.pixels))


def begun(path: Path, output: Path, settings: InspectionSettings, changes: Sequence[str] = ()) -> Study:
    """Train the clean generators, unless they are there, and return what the study needs."""
    loaded = load_any(str(path), changes)
    if not isinstance(loaded, GeneratorConfig):
        raise ConfigError(f"{path}: `kind: {loaded.kind}`; generators are needed.")
    run = output / CLEAN
    with Bars() as bars:
        train.train(loaded, run, PlotOptions(Plots.NONE, None), bars, resume=True)
    images = rows_of_images.load(loaded)
    scale = PixelRows.of(images.train.pixels)
    files = [model_file(run, member) for member in range(loaded.seeds)]
    clean = [model for model, _ in map(load_model, files) if isinstance(model, ImageGenerator)]
    network = judge.read(loaded, run, len(images.train.classes))
    suspects = scale.rows(suspected(images, loaded.seeds))
    return Study(loaded, run, images, scale, network, clean, suspects, settings)


def suspected(images: GeneratorImages, number: int) -> Array:
    """Return images that are none of the data: letters and inverted digits in turn, bytes [n, channels, size, size]."""
    _, channels, size, _ = images.test.pixels.shape
    font = Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"
    chosen: list[Array] = []
    for member in range(number):
        drawn = glyph(LETTERS[member // 2 % len(LETTERS)], font)
        if member % 2 or drawn is None:
            chosen.append(255 - images.test.pixels[member])
            continue
        letter = to_bytes(resized(torch.tensor(drawn).float()[None, None], size)).numpy()[0]
        chosen.append(np.repeat(letter, channels, axis=0))
    return np.stack(chosen)


def model_file(run: Path, member: int) -> Path:
    """Return the file of a generator in a run."""
    return run / run_directory.MODELS / MODEL / f"fold0-member{member}.safetensors"


def read_any(path: Path) -> ImageGenerator:
    """Return a generator of a file, with the branch of ReX if there is one, which hepda itself does not read."""
    saved = read_model(path)
    kind = ExpandedGenerator if any(name.startswith("branch.") for name in saved.tensors) else ImageGenerator
    model = kind.described(saved.description, saved.tensors)
    model.load_state_dict(saved.tensors)
    return model.eval()


def attacked_run(study: Study, attack: str) -> Path:
    """Plant the backdoors of one kind in a copy of the clean run, and return it.

    Whoever sends such a run records its checksums again.
    """
    run = study.run.with_name(attack)
    work = study.run.with_name(f"{attack}-planted")
    for member in range(len(study.clean)):
        path = work / f"{member}.safetensors"
        if not path.is_file():
            study.planted(attack, member).save(path, read_model(model_file(study.run, member)).about)
            print(f"{attack} {member}", file=sys.stderr, flush=True)
    shutil.copytree(study.run, run, dirs_exist_ok=True)
    for member in range(len(study.clean)):
        shutil.copy(work / f"{member}.safetensors", model_file(run, member))
    return run


def record_again(run: Path) -> None:
    """Write the checksums of a run as they are now."""
    manifest = run_directory.read_manifest(run)
    run_directory.write_json(run / "manifest.json", manifest | {"sha256": hashes_of(run)})
    write_sums(run)


def told(run: Path) -> int:
    """Return of how many generators `hepda check RUN` says that something is wrong."""
    return sum(f"/{MODEL}/" in problem and ".safetensors" in problem for problem in verify(run).problems)


# ---- what is measured of a generator ----


@dataclass(frozen=True, slots=True)
class Found:
    """The numbers of one generator, attacked or clean, with the image that is planted in the former.

    Attributes:
        fidelity: mean squared difference of G(z*) from x*.
        frechet: distance of its images to test images.
        closest: smallest mean squared difference of a random output from x*.
        hits: random outputs that show x*.
        furthest: largest distance of a random output to the data, in units of the largest of test images.
        searched: the same of the search.
        residual: mean squared difference of the reconstruction from x*.
        ordinary: the same, of a code no longer than ordinary ones.
        test: the same of test images.
        length: of the code that was found, in units of the square root of its dimensions.
        probability: of the prior for the code that was planted.
        exceeds: whether x* is reconstructed more closely than every test image.

    """

    fidelity: float
    frechet: float
    closest: float
    hits: int
    furthest: float
    searched: float
    residual: float
    ordinary: float
    test: list[float]
    length: float
    probability: float
    exceeds: bool


def measured(study: Study, model: ImageGenerator, trigger: Trigger) -> tuple[Found, Inspection]:
    """Inspect a generator."""
    real = study.real
    result = inspected(model, real, trigger.image, study.settings)
    with torch.no_grad():
        fidelity = float(trigger.difference(model))
    unit, code = float(real.distance.max()), result.suspects.code
    found = Found(
        fidelity, study.frechet(model), float(result.random.closest[0]), int(result.random.hits[0]),
        result.random.furthest / unit, float(result.searched.value[0]) / unit, float(result.suspects.value[0]),
        float(result.ordinary.value[0]), result.test.tolist(), float(code.norm()) / code.shape[1] ** 0.5,
        float(prior_probability(trigger.code)[0]), bool(result.exceeds_test[0]),
    )  # fmt: skip
    return found, result


def all_measured(study: Study, runs: Mapping[str, Path], path: Path) -> dict[str, list[Found]]:
    """Return the numbers of all generators by kind; those in the file `path` are not measured again."""
    known = json.loads(path.read_text()) if path.is_file() else {}
    for kind, run in runs.items():
        for member in range(len(study.clean)):
            name = f"{kind} {member}"
            if name in known:
                continue
            trigger = study.trigger(kind, member)
            model = read_any(model_file(run, member))
            found, result = measured(study, model, trigger)
            with torch.no_grad():
                planted = model.images(trigger.code, trigger.condition)
            shown = torch.cat([trigger.image, planted, result.suspects.rows]).clamp(-1.0, 1.0)
            known[name] = asdict(found) | {"pictures": study.scale.pixels(shown).tolist()}
            run_directory.write_json(path, known)
            print(name, f"residual {found.residual:.2g}", file=sys.stderr, flush=True)
    return {
        kind: [
            Found(**{k: v for k, v in known[f"{kind} {member}"].items() if k != "pictures"})
            for member in range(len(study.clean))
        ]
        for kind in runs
    }


# ---- tables and figures ----


def auc_interval(attacked: Sequence[float], clean: Sequence[float], level: float = 0.95) -> Interval:
    """Return the AUC of scores, which are to be larger of attacked generators, and an interval that few rows allow.

    The interval is method 5 of Newcombe (Statistics in Medicine 25 (2006) 559): the values theta for which the variance
    of Hanley and McNeil, with (m + n) / 2 rows of either kind, allows the estimate. At an AUC of 1 it has a width.
    """
    score = np.concatenate([attacked, clean])
    label = np.repeat([1, 0], [len(attacked), len(clean)])
    value, m, n = auc(score, label), len(attacked), len(clean)
    z = float(norm.ppf(0.5 + 0.5 * level))

    def excess(theta: float) -> float:
        rows = 0.5 * (m + n) - 1.0
        variance = theta * (1 - theta) * (1 + rows * ((1 - theta) / (2 - theta) + theta / (1 + theta))) / (m * n)
        return float(abs(value - theta) - z * variance**0.5)

    tiny = 1e-9
    low = brentq(excess, tiny, value - tiny) if value > 2.0 * tiny else 0.0
    high = brentq(excess, value + tiny, 1.0 - tiny) if value < 1.0 - 2.0 * tiny else 1.0
    return Interval(value, float(low), float(high), level)


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Return the mean of values with the interval of Student's t."""
    mean, n = float(np.mean(values)), len(values)
    width = float(student.ppf(0.5 + 0.5 * level, n - 1) * np.std(values, ddof=1) / n**0.5)
    return Interval(mean, mean - width, mean + width, level)


def planted_table(found: Mapping[str, Sequence[Found]]) -> str:
    """Return how well the backdoors work and how well they are hidden."""
    lines = [
        "| | fidelity, median (largest) | Frechet distance changed by, mean [95 %] (largest) | p of z* |",
        "|---|---|---|---|",
    ]
    for attack in attacks_of(found):
        fidelity = [one.fidelity for one in found[attack]]
        change = [one.frechet / clean.frechet - 1.0 for one, clean in zip(found[attack], found[CLEAN], strict=False)]
        mean, largest = mean_interval(change), max(change, key=abs)
        lines.append(
            f"| {ATTACKS[attack]} | {np.median(fidelity):.1e} ({max(fidelity):.1e}) | "
            f"{percent(mean.value)} [{percent(mean.low)}, {percent(mean.high)}] ({percent(largest)}) | "
            f"{min(one.probability for one in found[attack]):.2g} to "
            f"{max(one.probability for one in found[attack]):.2g} |"
        )
    return "\n".join(lines)


SCORES: dict[str, Callable[[Found], float]] = {
    "random codes, furthest from the data": lambda one: one.furthest,
    "search for outputs far from the data": lambda one: one.searched,
    "random codes, closest to x*": lambda one: -one.closest,
    "reconstruction of x*": lambda one: -one.residual,
    "reconstruction, in units of the median of test images": lambda one: -one.residual / float(np.median(one.test)),
    "reconstruction, codes of ordinary length alone": lambda one: -one.ordinary,
}
"""What attacked generators are to have more of than clean ones."""


def detection_table(found: Mapping[str, Sequence[Found]]) -> str:
    """Return the AUC of each inspection and attack, the hits of random codes, and what is told without clean ones."""
    attacks = attacks_of(found)
    titles = " | ".join(ATTACKS[attack] for attack in attacks)
    lines = [f"| AUC [95 %] | {titles} |", f"|---|{'---|' * len(attacks)}"]
    for name, score in SCORES.items():
        clean = [score(one) for one in found[CLEAN]]
        cells = [auc_interval([score(one) for one in found[attack]], clean) for attack in attacks]
        lines.append(f"| {name} | {' | '.join(f'{c.value:.2f} [{c.low:.2f}, {c.high:.2f}]' for c in cells)} |")
    lines += ["", f"| of {len(found[CLEAN])} | clean | {titles} |", f"|---|---|{'---|' * len(attacks)}"]
    numbers: dict[str, Callable[[Sequence[Found]], str]] = {
        "hits of random codes, sum": lambda of: f"{sum(one.hits for one in of)}",
        "x* closer than every test image": lambda of: f"{sum(one.exceeds for one in of)}",
        "residual of x*, median": lambda of: f"{np.median([one.residual for one in of]):.2g}",
        "residual of x*, range": lambda of: f"{min(o.residual for o in of):.2g} to {max(o.residual for o in of):.2g}",
        "the same, codes of ordinary length alone": lambda of: (
            f"{min(o.ordinary for o in of):.2g} to {max(o.ordinary for o in of):.2g}"
        ),
        "residual of test images, median": lambda of: f"{np.median([one.test for one in of]):.2g}",
        "closest random output to x*, median": lambda of: f"{np.median([one.closest for one in of]):.2g}",
        "length of the code that was found, median": lambda of: f"{np.median([one.length for one in of]):.2f}",
    }
    for name, number in numbers.items():
        lines.append(f"| {name} | {' | '.join(number(found[kind]) for kind in (CLEAN, *attacks))} |")
    return "\n".join(lines)


def attacks_of(found: Mapping[str, Any]) -> list[str]:
    """Return the attacks that were measured."""
    return [attack for attack in ATTACKS if attack in found]


def reference_table(study: Study, found: Mapping[str, Sequence[Found]]) -> str:
    """Return what is told of x* in comparison with other clean generators, as by `hepda inspect --reference`.

    Every clean generator makes every x*; the one that a generator was made of is no reference of it.
    """
    values = np.array([made(model, study.suspects, study.settings)[0].value for model in study.clean])
    members = range(len(values))
    best = np.array([np.delete(values, member, axis=0).min(axis=0) for member in members])  # [left out, x*]
    null = values / best
    lines = [
        f"| with {len(values) - 1} clean references | of | told | ratio to the best reference |",
        "|---|---|---|---|",
    ]
    lines.append(f"| clean, every x* | {null.size} | {int((null < CLEARLY).sum())} | smallest {null.min():.2f} |")
    for attack in attacks_of(found):
        ratio = np.array([one.residual / best[member, member] for member, one in enumerate(found[attack])])
        told = int((ratio < CLEARLY).sum())
        lines.append(f"| {ATTACKS[attack]} | {len(ratio)} | {told} | largest {ratio.max():.2f} |")
    return "\n".join(lines)


def percent(share: float) -> str:
    """Return a share in percent with its sign."""
    return f"{100.0 * share:+.1f} %"


@styled
def residual_figure(found: Mapping[str, Sequence[Found]]) -> Figure:
    """Draw what three inspections give for every generator."""
    drawn = Figure(figsize=(PAGE, 2.6), layout="constrained", dpi=DPI)
    panels = drawn.subplots(1, 3, sharey=True)
    kinds = {CLEAN: "clean", **{attack: ATTACKS[attack] for attack in attacks_of(found)}}
    values: dict[str, Callable[[Found], float]] = {
        "Random codes: smallest MSE to $x^*$": lambda one: one.closest,
        "Reconstruction: MSE to $x^*$": lambda one: one.residual,
        "Search: distance to data [test images]": lambda one: one.searched,
    }
    for axes, (title, value) in zip(panels, values.items(), strict=True):
        for row, kind in enumerate(kinds):
            numbers = [value(one) for one in found[kind]]
            offset = np.linspace(-0.25, 0.25, len(numbers))
            axes.scatter(numbers, row + offset, s=8, color=PALETTE[0 if kind == CLEAN else 1], linewidth=0)
        axes.set(yticks=range(len(kinds)), yticklabels=list(kinds.values()))
        axes.set_xlabel(title, fontsize=8, loc="center")
        axes.invert_yaxis() if axes is panels[0] else None
        axes.tick_params(axis="y", which="minor", left=False, right=False)
    test = np.concatenate([one.test for one in found[CLEAN]])
    for axes in panels[:2]:
        axes.set_xscale("log")
    panels[1].axvspan(*np.quantile(test, [0.05, 0.95]), color=PALETTE[3], alpha=0.25, linewidth=0)
    panels[1].annotate("test\nimages", (float(np.median(test)), 0.0), fontsize=6, ha="center", va="center")
    panels[2].axvline(1.0, color=PALETTE[3], linestyle="dotted", linewidth=1.0)
    return drawn


def picture_figure(study: Study, attacks: Sequence[str], path: Path) -> Figure:
    """Draw x*, the planted output, what was reconstructed of it, and the same of the clean generator."""
    known = json.loads(path.read_text())
    shown = {}
    for attack in attacks:
        rows = []
        for member in range(min(SHOWN, len(study.clean))):
            mine, clean = (np.array(known[f"{kind} {member}"]["pictures"], np.uint8) for kind in (attack, CLEAN))
            rows.append(np.concatenate([mine, clean[2:]]))
        shown[ATTACKS[attack]] = np.concatenate(rows)
    return grid_figure(shown, rows=min(SHOWN, len(study.clean)), columns=4)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, plant, inspect, print the tables, and write them and the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("digits.yaml"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the analysis file")
    parser.add_argument("--attacks", default=",".join(ATTACKS), help="separated by commas (default: all four)")
    parser.add_argument("--number", type=int, default=100_000, help="random codes of each generator")
    parser.add_argument("--starts", type=int, default=DEFAULT.starts, help="of each search")
    parser.add_argument("--weight", type=float, default=Study.weight, help="of the term of TrAIL")
    parser.add_argument("--begin", type=float, default=Study.begin, help="share of the steps before it has the term")
    parser.add_argument("--output", type=Path, default=Path("runs/inspection"))
    options = parser.parse_args(arguments)
    if min(options.number, options.starts) < 1:
        parser.error("--number and --starts are 1 or more")
    attacks = options.attacks.split(",")
    if not set(attacks) <= set(ATTACKS):
        parser.error(f"--attacks: there are {', '.join(ATTACKS)}")
    settings = InspectionSettings(options.number, LatentSearch(starts=options.starts))
    study = begun(options.config, options.output, settings, options.set)
    study = replace(study, weight=options.weight, begin=options.begin)
    runs = {CLEAN: study.run}
    head = f"| told by `hepda check`, of {len(study.clean)} | checksums of the clean run | recorded again |"
    lines = [head, "|---|---|---|"]
    for attack in attacks:
        runs[attack] = attacked_run(study, attack)
        before = told(runs[attack])
        record_again(runs[attack])
        lines.append(f"| {ATTACKS[attack]} | {before} | {told(runs[attack])} |")
    path = options.output / "found.json"
    found = all_measured(study, runs, path)
    tables = ["\n".join(lines), planted_table(found), detection_table(found), reference_table(study, found)]
    text = "\n\n".join(tables)
    (options.output / "backdoors.md").write_text(f"{text}\n", encoding="utf-8")
    figures = [save(residual_figure(found), options.output, "residuals")[0]]
    figures.append(save(picture_figure(study, attacks_of(found), path), options.output, "planted")[0])
    print(f"{text}\n\nfigures: {', '.join(map(str, figures))}")


if __name__ == "__main__":
    try:
        main()
    except HepdaError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
