"""Does a smaller loss of a score model mean a better sample? The figure of Kwon, Fan & Lee 2022, and event features.

    python analyses/scores/wasserstein.py                 # four Gaussians in two dimensions
    python analyses/scores/wasserstein.py --events        # 18 features of tt + jets events as well

In two dimensions a small network is first trained to maximise the loss, then to minimise it; at checkpoints between,
the Wasserstein distance of its samples is compared with the loss and with the bound. The score of the data is known.
For events only the loss of denoising is known, which is larger: the bound is looser. Tables go to the terminal and to
OUTPUT/scores.md, figures to OUTPUT.
"""

from __future__ import annotations

import argparse
import math
import sys
import time as clock
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn import functional

from hepda.adversarial import Standardize, seeded
from hepda.adversarial.diffusion.bound import (
    WassersteinBound,
    one_sided_lipschitz,
    sliced_wasserstein_2,
    wasserstein_2,
    wasserstein_bound,
)
from hepda.adversarial.diffusion.denoising import denoising_loss, noise_of_velocity, score_matching_loss, score_of
from hepda.adversarial.diffusion.networks import TableDenoiser
from hepda.adversarial.diffusion.ode import Field
from hepda.adversarial.diffusion.samplers import denoised
from hepda.adversarial.diffusion.schedules import NoiseSchedule, find_schedule, from_betas
from hepda.config import load_config
from hepda.errors import HepdaError
from hepda.events import steps as event_steps
from hepda.plotting.base.style import DPI, PAGE, PALETTE, save, styled

CENTRES = 0.5 * torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
SPREAD = 0.0125
STEPS = 10
# As the authors' function of this name with ten steps; its range is not in the text of the paper.
BETAS = 1e-4 + 0.5 * torch.sigmoid(torch.linspace(-6.0, 6.0, STEPS, dtype=torch.float64))
ROWS = 1000  # of each sample that is compared
FEATURES = (
    *("ht", "jet_pt_1", "jet_pt_3", "jet_pt_5", "m_bb_125", "m_bb_closest", "m_bb_max", "dr_bb_min", "dr_bb_mean"),
    *("m_jets", "centrality_jets", "aplanarity_jets", "h1", "h2", "m_top", "lepton_pt", "met", "mt_w"),
)


def four_gaussians(rows: int, random: torch.Generator) -> Tensor:
    """Return as many points around each of the four centres [rows, 2]."""
    return CENTRES.repeat(rows // len(CENTRES), 1) + SPREAD * torch.randn(rows, 2, generator=random)


def exact_score(x: Tensor, time: Tensor, schedule: NoiseSchedule) -> Tensor:
    """Return grad log p_t of the four Gaussians under noise [n, 2]."""
    signal, alpha_bar = schedule.signal(time)[:, None, None], schedule.alpha_bar(time)[:, None]
    variance = alpha_bar * SPREAD**2 + 1.0 - alpha_bar
    away = x[:, None] - signal * CENTRES.to(x)
    share = torch.softmax(-0.5 * away.square().sum(dim=2) / variance, dim=1)
    return -(share[:, :, None] * away).sum(dim=1) / variance


class StepNetwork(nn.Module):
    """The authors' network: three layers of 64 with softplus, each scaled by an embedding of the step."""

    def __init__(self) -> None:
        super().__init__()
        layers, scales = [nn.Linear(inputs, 64) for inputs in (2, 64, 64)], [nn.Embedding(STEPS, 64) for _ in range(3)]
        self.layers, self.scales, self.last = nn.ModuleList(layers), nn.ModuleList(scales), nn.Linear(64, 2)
        for layer, scale in zip(layers, scales, strict=True):
            nn.init.xavier_normal_(layer.weight)
            nn.init.uniform_(scale.weight)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Return the noise in rows [n, 2] at times i / STEPS [n]."""
        step = (time * STEPS).round().long() - 1
        for layer, scale in zip(self.layers, self.scales, strict=True):
            x = functional.softplus(scale(step) * layer(x))
        result: Tensor = self.last(x)
        return result


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is measured after some updates of the minimisation.

    Attributes:
        update: their number; 0 is the end of the maximisation.
        bound: with the exact score.
        denoising: J of the loss of denoising.
        distance: W2 to fresh data.
        sliced: sliced W2.
        samples: the rows that were compared.

    """

    update: int
    bound: WassersteinBound
    denoising: float
    distance: float
    sliced: float
    samples: Tensor


def trained(updates: int, maximised: int, checkpoints: int, seed: int) -> Iterator[Checkpoint]:
    """Yield the checkpoints of a training, at updates that grow by a constant factor."""
    schedule, random = from_betas(BETAS), torch.Generator().manual_seed(seed)
    with seeded(seed):
        network = StepNetwork()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    shown = {0, *np.unique(np.geomspace(1, updates, checkpoints).round().astype(int)).tolist()}
    data = four_gaussians(4000, random)
    for update in range(-maximised, updates + 1):
        if update in shown:
            yield measured(network, schedule, update)
        rows = data[torch.randint(len(data), (256,), generator=random)]
        noise, time = torch.randn(rows.shape, generator=random), schedule.draw(len(rows), random)
        loss = denoising_loss(network, schedule, rows, noise, time, importance=schedule.likelihood).mean()
        optimizer.zero_grad()
        (loss if update >= 0 else -loss).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()


def measured(network: nn.Module, schedule: NoiseSchedule, update: int) -> Checkpoint:
    """Return the distance of samples and the bound, with the same random numbers for every checkpoint."""
    random = torch.Generator().manual_seed(1)
    data, fresh = four_gaussians(ROWS, random), four_gaussians(ROWS, random)
    score = score_of(network, schedule)
    side = torch.linspace(-1.5, 1.5, 31)
    grid = torch.cartesian_prod(side, side)
    constants, errors, denoising = [], [], []
    for number in range(1, STEPS + 1):
        noise, time = torch.randn(data.shape, generator=random), torch.full((ROWS,), number / STEPS)
        x = schedule.noised(data, noise, time)
        with torch.no_grad():
            errors.append((score(x, time) - exact_score(x, time, schedule)).square().sum(dim=1).mean())
            denoising.append(
                2.0 * score_matching_loss(score, schedule, data, noise, time, None, torch.ones_like).mean()
            )
        points = torch.cat([grid, x])
        constants.append(one_sided_lipschitz(score, points, time[:1].expand(len(points))).max())
    increments = -torch.log1p(-BETAS)
    # Sampling starts from noisy data, so that W2(p_T, q_T) = 0, as in the paper.
    samples = denoised(network, schedule, x, STEPS, random)
    return Checkpoint(
        update,
        wasserstein_bound(increments, torch.stack(constants), torch.stack(errors)),
        float(0.5 * (increments * torch.stack(denoising)).sum()),
        wasserstein_2(samples, fresh),
        sliced_wasserstein_2(samples, fresh, random),
        samples,
    )


def floor() -> float:
    """Return W2 of two samples of the data."""
    random = torch.Generator().manual_seed(2)
    return wasserstein_2(four_gaussians(ROWS, random), four_gaussians(ROWS, random))


def table(checkpoints: Sequence[Checkpoint]) -> str:
    """Return what was asked and what was measured in two dimensions."""
    last = checkpoints[-1]
    line = last.bound.log_factor
    under_line = sum(math.log(c.distance) <= line + 0.5 * math.log(c.bound.objective) for c in checkpoints)
    under_own = sum(math.log(c.distance) <= c.bound.log_bound for c in checkpoints)
    columns = {
        "J, exact score": [c.bound.objective for c in checkpoints],
        "J of denoising": [c.denoising for c in checkpoints],
    }
    ranks = {
        name: [
            float(spearmanr(of, [getattr(c, kind) for c in checkpoints]).statistic) for kind in ("distance", "sliced")
        ]
        for name, of in columns.items()
    }
    slack = [c.bound.log_bound / math.log(10.0) - math.log10(c.distance) for c in checkpoints]
    ends = min(slack), slack[-1], max(slack)
    rows = [
        ("checkpoints under the line of the last network", f"all {len(checkpoints)}", f"{under_line}"),
        ("checkpoints under the bound of their own network", "all", f"{under_own}"),
        *(
            (f"rank correlation of {kind} and {name}", ">= 0.9", f"{value:.3f}")
            for name, values in ranks.items()
            for kind, value in zip(("W2", "sliced W2"), values, strict=True)
        ),
        ("W2 at the beginning and the end", "falls", f"{checkpoints[0].distance:.3f}, {last.distance:.3f}"),
        ("W2 of two samples of the data", "", f"{floor():.3f}"),
        ("bound over W2, powers of ten: smallest, last, largest", "", ", ".join(f"{of:.1f}" for of in ends)),
    ]
    return "\n".join(
        ["| four Gaussians | asked | measured |", "|---|---|---|", *(f"| {' | '.join(r)} |" for r in rows)]
    )


@styled
def plane_figure(checkpoints: Sequence[Checkpoint]) -> Figure:
    """Draw distance against loss with the line of the bound, and the samples at the beginning and the end."""
    drawn = Figure(figsize=(PAGE, 3.1), layout="constrained", dpi=DPI)
    axes = drawn.subplot_mosaic("aab;aac")
    main, last = axes["a"], checkpoints[-1]
    objective = np.array([c.bound.objective for c in checkpoints])
    main.scatter(objective, [math.exp(min(c.bound.log_bound, 690.0)) for c in checkpoints], marker="x", s=10,
                 color=PALETTE[3], linewidth=0.8, label="Bound of the checkpoint")  # fmt: skip
    main.scatter([], [], s=12, color=PALETTE[4], label="$W_2$ of its samples")  # a colour of the legend alone
    points = main.scatter(objective, [c.distance for c in checkpoints], c=[max(c.update, 0.5) for c in checkpoints],
                          s=12, cmap="viridis_r", norm="log")  # fmt: skip
    ends = np.array([objective.min(), objective.max()])
    main.plot(ends, np.exp(last.bound.log_factor) * np.sqrt(ends), color="black", linewidth=1.0,
              label="Constant of the last network times $J^{1/2}$")  # fmt: skip
    main.axhline(floor(), color=PALETTE[1], linestyle="dotted", linewidth=1.0, label="Two samples of the data")
    main.set(xscale="log", yscale="log", xlabel="$J$ (exact score)", ylabel="$W_2(p_0, q_0)$",
             ylim=(0.3 * floor(), 1e3 * max(c.distance for c in checkpoints)))  # fmt: skip
    main.legend(loc="upper left", fontsize=7)
    drawn.colorbar(points, ax=main, label="Updates", pad=0.01)
    for key, checkpoint, title in (("b", checkpoints[0], "after the maximisation"), ("c", last, "at the end")):
        x, y = checkpoint.samples.T.numpy()
        axes[key].scatter(x, y, s=1, color=PALETTE[0], linewidth=0)
        axes[key].scatter(CENTRES[:, 0], CENTRES[:, 1], s=12, marker="+", color="black", linewidth=0.8)
        axes[key].set(aspect="equal", title=f"Samples {title}", xlabel="$x_1$", ylabel="$x_2$")
        axes[key].title.set_fontsize(7)
    return drawn


# ---- event features ----


@dataclass(frozen=True, slots=True)
class EventScores:
    """The bound for event features, time by time, and what it bounds.

    Attributes:
        time: [k].
        lipschitz: L_s at each time [k].
        increments: integral of g^2 between the times [k].
        bound: with the loss of denoising.
        distance: W2 of generated to held-out events.
        floor: W2 of events to others.
        unlearned: W2 of noise to held-out events.
        seconds: of everything.

    """

    time: Tensor
    lipschitz: Tensor
    increments: Tensor
    bound: WassersteinBound
    distance: float
    floor: float
    unlearned: float
    seconds: float


def events(path: Path) -> tuple[Tensor, Tensor]:
    """Return features [n, 18] and signed weights [n] of tt + jets events, in a random order."""
    loaded = event_steps.load(load_config(path), lambda *step: None).table
    rows = np.flatnonzero(loaded.sample == loaded.sample_names.index("ttjets"))
    rows = np.random.default_rng(1).permutation(rows)
    columns = [loaded.names.index(name) for name in FEATURES]
    return torch.tensor(loaded.features[rows][:, columns]), torch.tensor(loaded.weight[rows], dtype=torch.float32)


def event_scores(features: Tensor, weight: Tensor, updates: int, seed: int) -> EventScores:
    """Train a model on one half of the events and measure bound and distance with the other."""
    begin = clock.perf_counter()
    schedule, random = find_schedule("linear"), torch.Generator().manual_seed(seed)
    half = len(features) // 2
    with torch.no_grad():
        scaled = Standardize(features.shape[1]).fit(features[:half], weight[:half].abs())(features)
    train, test = scaled[:half], scaled[half:]
    with seeded(seed):
        network = TableDenoiser(features.shape[1], (), 64, 2)
    noise = noise_of_velocity(network, schedule)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    for update in range(updates):
        chosen = torch.randint(half, (512,), generator=random)
        rows, time = train[chosen], schedule.draw(512, random)
        z = torch.randn(rows.shape, generator=random)
        loss = denoising_loss(noise, schedule, rows, z, time, weight[chosen], schedule.inverse_signal).mean()
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (1.0 - update / updates)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    # Rows in proportion to |weight| have the density of the weights, because the signs do not depend on the features.
    judged = test[torch.multinomial(weight[half:].abs(), 2 * ROWS, generator=random)]
    first, second = judged[:ROWS], judged[ROWS:]
    start = torch.randn(first.shape, generator=random)
    time, increments, constants, errors = bound_terms(score_of(noise, schedule), schedule, first, random)
    ends = schedule.alpha_bar(torch.ones(1))
    prior = float((ends * first.square().sum(dim=1).mean()).sqrt() + (1.0 - (1.0 - ends).sqrt()) * len(FEATURES) ** 0.5)
    return EventScores(
        time, constants, increments, wasserstein_bound(increments, constants, errors, prior),
        wasserstein_2(denoised(noise, schedule, start, 200, random), second), wasserstein_2(first, second),
        wasserstein_2(start, second), clock.perf_counter() - begin,
    )  # fmt: skip


def bound_terms(
    score: Field, schedule: NoiseSchedule, data: Tensor, random: torch.Generator, times: int = 60
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return times, integrals of g^2 between them, L_s over noisy events, and the squared errors of denoising [k]."""
    edges = torch.logspace(math.log10(schedule.earliest), 0.0, times + 1)
    increments = -schedule.log_alpha_bar(edges).diff()
    constants, errors = [], []
    for at in edges[1:]:
        time, z = at.expand(len(data)), torch.randn(data.shape, generator=random)
        with torch.no_grad():
            loss = score_matching_loss(score, schedule, data, z, time, None, torch.ones_like).mean()
        errors.append(data.shape[1] * loss)
        constants.append(one_sided_lipschitz(score, schedule.noised(data, z, time)[:300], time[:300]).max())
    return edges[1:], increments, torch.stack(constants), torch.stack(errors)


def event_table(found: EventScores) -> str:
    """Return the numbers of the event features."""
    power = math.log(10.0)
    rows = [
        ("W2 of generated to held-out events", f"{found.distance:.2f}"),
        ("W2 of events to other events, the floor of 1000 each", f"{found.floor:.2f}"),
        ("W2 of noise to held-out events", f"{found.unlearned:.2f}"),
        ("bound, integral form", f"10^{found.bound.log_bound / power:.1f}"),
        ("bound, constant times sqrt(J)", f"10^{found.bound.log_bound_of_objective / power:.1f}"),
        ("I(T)", f"10^{found.bound.log_amplification / power:.1f}"),
        ("largest L_s", f"{float(found.lipschitz.max()):.3g}"),
        ("seconds", f"{found.seconds:.0f}"),
    ]
    return "\n".join(
        [f"| {len(FEATURES)} features of tt + jets | measured |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)]
    )


@styled
def event_figure(found: EventScores) -> Figure:
    """Draw the Lipschitz constant of the score and the growth of an error, against the time."""
    drawn = Figure(figsize=(PAGE, 2.8), layout="constrained", dpi=DPI)
    left, right = drawn.subplots(1, 2)
    left.plot(found.time, found.lipschitz, color=PALETTE[0])
    left.axhline(-0.5, color=PALETTE[3], linestyle="dotted", linewidth=1.0)
    left.annotate("errors shrink below this line", (0.0013, -0.6), fontsize=7, va="top")
    left.set(xscale="log", xlabel="Time of the diffusion $t$", ylabel="$L_s$ of the score")
    left.set_yscale("symlog", linthresh=1.0)
    growth = ((0.5 + found.lipschitz) * found.increments).cumsum(0) / math.log(10.0)
    right.plot(found.time, growth, color=PALETTE[0], label="$I(t)$, growth of an error from $t$ to 0")
    right.axhline(found.bound.log_bound / math.log(10.0), color="black", linewidth=1.0, label="Bound on $W_2$")
    right.axhline(math.log10(found.distance), color=PALETTE[1], linestyle="dashed", linewidth=1.0,
                  label="$W_2$ of generated to held-out events")  # fmt: skip
    right.axhline(math.log10(found.unlearned), color=PALETTE[4], linestyle="dotted", linewidth=1.0,
                  label="$W_2$ of noise to held-out events")  # fmt: skip
    right.set(xscale="log", xlabel="Time of the diffusion $t$", ylabel="log$_{10}$ of growth or distance")
    right.legend(loc="center left", fontsize=7)
    return drawn


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, print the tables, and write them and the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--updates", type=int, default=6000, help="of the minimisation in two dimensions")
    parser.add_argument("--maximised", type=int, default=10, help="updates of the maximisation before it")
    parser.add_argument("--checkpoints", type=int, default=60)
    parser.add_argument("--events", action="store_true", help="18 features of tt + jets as well")
    parser.add_argument("--event-updates", type=int, default=3000)
    parser.add_argument("--analysis", type=Path, default=Path(__file__).with_name("ttjets.yaml"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("runs/scores"))
    options = parser.parse_args(arguments)
    if min(options.updates, options.maximised, options.checkpoints, options.event_updates) < 1:
        parser.error("--updates, --maximised, --checkpoints and --event-updates are 1 or more")
    begin = clock.perf_counter()
    found = list(trained(options.updates, options.maximised, options.checkpoints, options.seed))
    text = f"{table(found)}\n\n{clock.perf_counter() - begin:.0f} seconds"
    paths = [save(plane_figure(found), options.output, "wasserstein")[0]]
    print(text, flush=True)
    if options.events:
        of_events = event_scores(*events(options.analysis), options.event_updates, options.seed)
        paths.append(save(event_figure(of_events), options.output, "wasserstein_events")[0])
        text += f"\n\n{event_table(of_events)}"
        print(event_table(of_events))
    (options.output / "scores.md").write_text(f"{text}\n", encoding="utf-8")
    print(f"figures: {', '.join(map(str, paths))}")


if __name__ == "__main__":
    try:
        main()
    except HepdaError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
