"""A response finds what was done to the target: scale, additional width, and tags that moved."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hepda.adversarial.training.problem import train
from hepda.config.refinement.methods import ResidualConfig
from hepda.events.refinement.response import JetNoise, JetTensors
from hepda.events.refinement.summaries import Visibility
from hepda.events.refinement.training import ResponseTraining, Side
from tests.events.refinement.test_response import jets

SEEN = Visibility(25.0, jets=1, tags=(2, 1))


def target_of(events: JetTensors, scale: float, width: float, down: float) -> JetTensors:
    """Return events with another scale, a width at 25 GeV, and a share of tags of bin 2 that move down."""
    g = torch.Generator().manual_seed(5)
    there = events.present > 0
    factor = scale * (1.0 + width * (25.0 / events.pt).sqrt() * torch.randn(events.pt.shape, generator=g))
    pt = torch.where(there, events.pt * factor, 1.0)
    old = events.tag.argmax(-1)
    new = torch.where((old == 2) & (torch.rand(old.shape, generator=g) < down), 1, old)
    return replace(events, pt=pt, mass=events.mass * pt / events.pt, tag=torch.eye(3)[new])


def training(epochs: int = 8, turns: int = 25, seed: int = 1) -> ResponseTraining:
    keys = {"epochs": epochs, "turns": turns, "batch_size": 1024, "learning_rate": 5.0e-3}
    section = ResidualConfig.model_validate({"kind": "residual", "hidden": [8], "training": keys})
    source, target = jets(4000, seed=1), target_of(jets(4000, seed=2), 0.95, 0.1, 0.3)
    weight = torch.where(torch.rand(4000, generator=torch.Generator().manual_seed(6)) < 0.1, -1.0, 1.0)
    return ResponseTraining(section, Side(source, weight), Side(target, weight.flip(0)), SEEN, seed)


@pytest.mark.slow
def test_a_response_finds_scale_width_and_tags() -> None:
    learned = training()
    history = train(learned.game()).to_dict()["columns"]
    source = learned.source.jets
    with torch.no_grad():
        scale, width, *_ = learned.response.numbers(source)
        moves = learned.response.moves(source)
    there, top = source.present > 0, source.tag[..., 2] > 0.5
    assert float(scale.exp()[there].mean()) == pytest.approx(0.95, abs=0.01)
    assert float((learned.response.width(source, width) * (source.pt / 25.0).sqrt())[there].mean()) == pytest.approx(
        0.1, abs=0.03
    )
    assert float(moves[there & top][:, 0].mean()) == pytest.approx(0.3, abs=0.06)
    # An exchange between bins 0 and 1 is not seen, but their shares are: those of the target.
    refined = learned.response(source, JetNoise.drawn(source.pt.shape, torch.Generator().manual_seed(9)))
    wanted = target_of(jets(4000, seed=2), 0.95, 0.1, 0.3)
    for tag in range(3):
        shares = [float(e.tag[..., tag][(e.present > 0) & (e.pt > SEEN.threshold)].mean()) for e in (refined, wanted)]
        assert shares[0] == pytest.approx(shares[1], abs=0.02), tag
    assert history["response_loss"][-1] < 0.7 * history["response_loss"][0]


def test_the_same_seed_gives_the_same_response_also_after_a_stop(tmp_path: Path) -> None:
    whole, stopped, resumed = training(2, 4), training(2, 4), training(2, 4)
    train(whole.game())
    game = stopped.game()
    game.epoch()
    game.store(tmp_path / "checkpoint")
    train(resumed.game(), tmp_path / "checkpoint", resume=True)
    for name, value in whole.response.state_dict().items():
        assert torch.equal(value, resumed.response.state_dict()[name]), name


@pytest.mark.slow
def test_the_gradient_of_moves_is_that_of_the_expectation() -> None:
    """Against the change of the mean over draws when the log-odds of all moves change."""
    learned, draws, step = training(), 60, 0.5
    random = torch.Generator().manual_seed(7)
    bias = [m for m in learned.response.layers.modules() if isinstance(m, torch.nn.Linear)][-1].bias
    direction = torch.randn(len(learned.state.mean), generator=torch.Generator().manual_seed(8))
    drawn = []
    for _ in range(draws):
        with torch.no_grad():
            batch, _ = learned._batch(random)
        (gradient,) = torch.autograd.grad(learned._of_tags(batch, direction, random), bias)
        drawn.append(gradient[3:])
    values = torch.stack(drawn)

    def mean_of(change: float, output: int) -> float:
        total, generator = 0.0, torch.Generator().manual_seed(9)
        with torch.no_grad():
            bias[output] += change
            for _ in range(draws):
                total += float(direction @ learned._batch(generator)[1])
            bias[output] -= change
        return total / draws

    for output in (3, 4):
        numeric = (mean_of(step, output) - mean_of(-step, output)) / (2.0 * step)
        # probabilities grow as the exponential of the log-odds, which change by twice the step
        expected = numeric / (math.sinh(2.0 * step) / (2.0 * step))
        error = float(values[:, output - 3].std()) / draws**0.5
        assert float(values[:, output - 3].mean()) == pytest.approx(expected, abs=4 * error + 0.2 * abs(expected))
        assert abs(expected) > 4 * error
