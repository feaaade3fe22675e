"""Do generated events make a template better than the events that the generator learned from? By closure.

    python analyses/dial/amplifier.py --output runs/amplifier

N events of tt + jets, drawn without their signs, are a template of each feature; so are these N together with 10 N
events of a generator that learned from them alone. The error of both is known from all events that no generator has
seen. Its ratio is the factor by which generated events amplify the N (Butter et al. 2020, arXiv:2008.06545). It is
measured for a flow and for a game of generator and discriminator, in independent sets of N events, of which the
interval is.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student
from torch import Tensor, nn
from torch.nn import functional

from hepda.adversarial import seeded
from hepda.adversarial.diffusion.networks import TableBlock
from hepda.adversarial.games.game import Game, Rules
from hepda.adversarial.games.losses import RowLosses, find_loss, gradient_penalty
from hepda.adversarial.networks.schedules import cosine_rate
from hepda.adversarial.training.problem import Player, train
from hepda.config import EventGeneratorConfig, load_any
from hepda.config.event_generator.models import EventTrainingConfig, FlowConfig
from hepda.errors import ConfigError, HepdaError
from hepda.events.dataset.plan import make_plan
from hepda.events.generation.events import GeneratorEvents, GeneratorSample, sample_of
from hepda.events.generation.flows import EventFlow, LabelledEvents, structure_of
from hepda.events.generation.objects import OF_JET, EventObjects, object_branches
from hepda.events.generation.scaling import NormalScaling
from hepda.events.refinement.samples import read_columns
from hepda.events.resolve import dataset_spec

Floats = NDArray[np.float64]
FEATURES = ("ht", "jet_pt_1", "jet_pt_5", "m_bb_125", "dr_bb_mean", "m_jets", "met", "mt_w")
BINS = 20
TIMES = 10
"""Generated events for each event that a generator learned from."""
WIDTH, LATENT = 64, 16


class EventPlayer(nn.Module):
    """A network of rows of numbers beside the structure of an event: a generator or a discriminator."""

    def __init__(self, columns: int, structure: int, outputs: int, blocks: int = 2) -> None:
        super().__init__()
        self.first, self.given = nn.Linear(columns, WIDTH), nn.Linear(structure, WIDTH)
        self.blocks = nn.ModuleList(TableBlock(WIDTH) for _ in range(blocks))
        self.last = nn.Linear(WIDTH, outputs)

    def forward(self, rows: Tensor, structure: Tensor) -> Tensor:
        """Return [n, outputs] of rows [n, columns] and structures [n, k]."""
        given = functional.silu(self.given(structure))
        hidden = self.first(rows) + given
        for block in self.blocks:
            hidden = block(hidden, given)
        result: Tensor = self.last(functional.silu(hidden))
        return result


@dataclass(frozen=True, slots=True)
class EventGan:
    """A generator of coordinates of events for their structure, which won against a discriminator."""

    scaling: NormalScaling
    generator: EventPlayer
    bins: int

    @classmethod
    def fit(cls, events: EventObjects, weight: Floats, bins: int, steps: int, seed: int) -> EventGan:
        """Train both players with the Wasserstein loss and a penalty on the gradient (arXiv:1704.00028).

        Args:
            events: what is learned from.
            weight: of how often each is drawn [n].
            bins: tag bins.
            steps: of the generator; the discriminator has three for each.
            seed: of all random numbers.

        """
        mirrored = [events.mirrored(beam=b, transverse=t) for b in (False, True) for t in (False, True)]
        mask = np.tile(events.mask, (len(mirrored), 1))
        coordinates = np.concatenate([one.coordinates for one in mirrored])
        scaling = NormalScaling.of(coordinates, np.tile(weight, len(mirrored)), mask, like=OF_JET)
        rows = torch.tensor(scaling.forward(coordinates, mask)).reshape(len(mirrored), len(events), -1)
        structure, there = structure_of(events, bins), torch.tensor(events.mask.astype(np.float32))
        chance, loss = torch.tensor(weight), find_loss("wasserstein")
        with seeded(seed):
            generator = EventPlayer(LATENT, structure.shape[1], rows.shape[2])
            discriminator = EventPlayer(rows.shape[2], structure.shape[1], 1)

        def batch(random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
            row = torch.multinomial(chance, 256, replacement=True, generator=random)
            mirror = torch.randint(len(rows), (256,), generator=random)
            made = generator(torch.randn(256, LATENT, generator=random), structure[row]) * there[row]
            return rows[mirror, row], made, structure[row]

        def judge(step: int, random: torch.Generator) -> Mapping[str, Tensor | RowLosses]:
            real, made, given = batch(random)
            made = made.detach()
            return {
                "real": loss.real(discriminator(real, given)),
                "generated": loss.generated(discriminator(made, given)),
                "penalty": gradient_penalty(lambda x: discriminator(x, given), real, made, random),
            }

        def generate(step: int, random: torch.Generator) -> RowLosses:
            _, made, given = batch(random)
            return loss.generator(discriminator(made, given))

        players = [
            Player("discriminator", discriminator, torch.optim.Adam(discriminator.parameters(), 1e-3, (0.5, 0.9)), 3),
            Player("generator", generator, torch.optim.Adam(generator.parameters(), 1e-3, (0.5, 0.9))),
        ]
        rules = {
            "discriminator": Rules(judge, {"penalty": 10.0}, schedule=cosine_rate),
            "generator": Rules(generate, average=0.99, schedule=cosine_rate),
        }
        train(Game(players, rules, steps // 5, 5, seed))
        return cls(scaling, generator.eval(), bins)

    @torch.no_grad()
    def drawn(self, events: EventObjects, seed: int) -> Floats:
        """Return coordinates of new events with the structures of others [n, columns]."""
        noise = torch.randn(len(events), LATENT, generator=torch.Generator().manual_seed(seed))
        normal = self.generator(noise, structure_of(events, self.bins))
        return self.scaling.backward(normal.numpy(), events.mask)


def flow_drawn(events: EventObjects, flavour: NDArray[np.int64], weight: Floats, bins: int, settings: Settings) -> Any:
    """Return a function that draws coordinates by a flow that learned from events."""
    training = EventTrainingConfig(
        epochs=5, turns=settings.steps // 5, batch_size=256, learning_rate=3.0e-3, average=0.99, clip=1.0
    )
    section = FlowConfig(kind="flow", start="noise", width=WIDTH, blocks=2, unlabelled=0.0, steps=6, training=training)
    zeros = np.zeros(len(flavour), dtype=np.int64)
    learned = LabelledEvents(events, np.column_stack([zeros, flavour, zeros]), weight)
    flow, _ = EventFlow.fit(section, learned, bins, [1, int(flavour.max()) + 1, 2], settings.seed)

    def drawn(wanted: EventObjects, kind: NDArray[np.int64], seed: int) -> Floats:
        none = np.zeros(len(kind), dtype=np.int64)
        start = torch.randn(len(wanted), flow.columns, generator=torch.Generator().manual_seed(seed))
        return flow.drawn(wanted, np.column_stack([none, kind, none]), 0.0, start, section.steps).coordinates

    return drawn


@dataclass(frozen=True, slots=True)
class Settings:
    """events: N; sets: independent ones; steps: of each training; seed: of all random numbers."""

    events: int
    sets: int
    steps: int
    seed: int


def template(values: Floats, weight: Floats, edges: Floats) -> Floats:
    """Return the shares of the bins [BINS]; the end bins are open."""
    bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    sums = np.bincount(bins, weights=weight, minlength=len(edges) - 1)
    return np.asarray(sums / sums.sum(), dtype=np.float64)


def squared_error(found: Floats, truth: Floats, truth_events: float) -> float:
    """Return sum (t_k - p_k)^2 / p_k, which is (bins - 1) / N on average of N events, without that of the truth."""
    return float(np.sum((found - truth) ** 2 / truth) - (len(truth) - 1) / truth_events)


def factor_of(real: Floats, other: Floats) -> dict[str, float]:
    """Return the ratio of mean squared errors with its 95 % interval, by leaving out each set in turn.

    Args:
        real: squared errors of the N events, in each set [sets].
        other: those of N and generated events.

    """
    value, sets = real.mean() / other.mean(), len(real)
    left = np.array([np.delete(real, k).mean() / np.delete(other, k).mean() for k in range(sets)])
    error = float(np.sqrt((sets - 1) / sets * np.square(left - left.mean()).sum()))
    half = float(student.ppf(0.975, sets - 1)) * error
    return {"factor": float(value), "low": float(value - half), "high": float(value + half)}


def measured(config: EventGeneratorConfig, sample: GeneratorSample, settings: Settings) -> dict[str, Any]:
    """Return the factors of each generator and feature.

    Raises:
        ConfigError: there are too few events for the sets and a truth as large as all of them.

    """
    table, weight = sample.table, np.abs(sample.table.weight)
    if 2 * settings.sets * settings.events > len(table):
        raise ConfigError(f"--events x --sets: are more than half of the {len(table)} events; take fewer.")
    order = np.random.default_rng(settings.seed).permutation(len(table))
    rows = order[: settings.sets * settings.events].reshape(settings.sets, settings.events)
    truth_rows = order[settings.sets * settings.events :]
    columns = {name: table.features[:, table.names.index(name)].astype(np.float64) for name in FEATURES}
    edges = {name: np.quantile(values[truth_rows], np.linspace(0.0, 1.0, BINS + 1)) for name, values in columns.items()}
    truth = {name: template(columns[name][truth_rows], weight[truth_rows], edges[name]) for name in FEATURES}
    size = float(weight[truth_rows].sum() ** 2 / np.square(weight[truth_rows]).sum())
    errors: dict[str, dict[str, list[float]]] = {name: {f: [] for f in FEATURES} for name in ("real", "gan", "flow")}
    for number, chosen in enumerate(rows):
        for name in FEATURES:
            found = template(columns[name][chosen], weight[chosen], edges[name])
            errors["real"][name].append(squared_error(found, truth[name], size))
        one = Settings(settings.events, settings.sets, settings.steps, settings.seed + 100 * number)
        for model, features, factor in generated(config, sample, chosen, one):
            for name in FEATURES:
                values = features[:, table.names.index(name)].astype(np.float64)
                both = np.concatenate([columns[name][chosen], values]), np.concatenate([weight[chosen], factor])
                errors[model][name].append(squared_error(template(*both, edges[name]), truth[name], size))
        print(f"set {number + 1} of {settings.sets}", flush=True)
    real = np.array([errors["real"][name] for name in FEATURES])
    result: dict[str, Any] = {"expected": (BINS - 1) / settings.events, "real": float(real.mean())}
    for model in ("gan", "flow"):
        other = np.array([errors[model][name] for name in FEATURES])
        by_feature = {name: factor_of(real[k], other[k]) for k, name in enumerate(FEATURES)}
        result[model] = {"all": factor_of(real.mean(axis=0), other.mean(axis=0)), **by_feature}
    return result


def generated(
    config: EventGeneratorConfig, sample: GeneratorSample, chosen: NDArray[np.intp], settings: Settings
) -> Iterator[tuple[str, NDArray[np.float32], Floats]]:
    """Yield name, features [m, k] and weights [m] of the events of each generator that learned from chosen events."""
    objects, weight, bins = (
        sample.objects.rows(chosen),
        np.abs(sample.table.weight[chosen]),
        config.objects.jets.tag_bins,
    )
    rows, events = np.tile(chosen, TIMES), GeneratorEvents(config, {})
    wanted, kind = sample.objects.rows(rows), sample.flavour[rows]
    gan = EventGan.fit(objects, weight, bins, settings.steps, settings.seed)
    flow = flow_drawn(objects, sample.flavour[chosen], weight, bins, settings)
    for name, coordinates in (("gan", gan.drawn(wanted, settings.seed)), ("flow", flow(wanted, kind, settings.seed))):
        new = EventObjects(wanted.present, wanted.tag, wanted.flavour, coordinates, wanted.turn)
        table, kept = events.table(sample, rows, new)
        yield name, table.features, np.abs(sample.table.weight[rows[kept]])


def table_text(result: Mapping[str, Any], settings: Settings) -> str:
    """Return the factors as a table of Markdown."""
    lines = [
        f"N = {settings.events}, {settings.sets} sets; squared error of N events {result['real']:.5f} "
        f"(expected {result['expected']:.5f})", "",
        f"| feature | GAN: N + {TIMES} N over N | flow: N + {TIMES} N over N |", "|---|---|---|",
    ]  # fmt: skip
    for name in ("all", *FEATURES):
        cells = [
            f"{r['factor']:.2f} ({r['low']:.2f} to {r['high']:.2f})"
            for r in (result["gan"][name], result["flow"][name])
        ]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure and write; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/tth_dial.yaml", help="analysis file of generated events")
    parser.add_argument("--events", type=int, default=2000, help="N")
    parser.add_argument("--sets", type=int, default=6, help="independent sets of N events")
    parser.add_argument("--steps", type=int, default=600, help="steps of each training")
    parser.add_argument("--seed", type=int, default=1, help="seed of all random numbers")
    parser.add_argument("--output", default="runs/amplifier", help="folder of the results")
    given = parser.parse_args(arguments)
    settings, begin = Settings(given.events, given.sets, given.steps, given.seed), time.process_time()
    try:
        config = load_any(Path(given.config))
        if not isinstance(config, EventGeneratorConfig):
            raise ConfigError(f"{given.config}: is no analysis file of generated events.")
        spec, name = dataset_spec(config.analysis), config.processes[config.background].origin
        needed = (*object_branches(config.objects), *config.objects.flavour_class)
        sample = sample_of(config, read_columns(spec, make_plan(spec), name, needed))
        result = measured(config, sample, settings)
    except HepdaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    folder = Path(given.output)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "amplifier.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (folder / "amplifier.md").write_text(table_text(result, settings) + "\n", encoding="utf-8")
    print(table_text(result, settings))
    print(f"{time.process_time() - begin:.0f} s of CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main())
