"""Two players that take turns: a GAN of a Gaussian mixture in two dimensions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hepda.adversarial import History, mlp, seeded
from hepda.adversarial.games.game import Game, Losses, Rules, saturated
from hepda.adversarial.games.losses import find_loss, gradient_penalty
from hepda.adversarial.training.problem import Player, train
from hepda.errors import ConfigError, TrainingError

CENTRES = torch.tensor([[1.5, 0.0], [-1.5, 0.0], [0.0, 1.5], [0.0, -1.5]])
ROWS = 256


def mixture(rows: int, random: torch.Generator) -> Tensor:
    """Points around four centres, each of width 0.2."""
    number = torch.randint(len(CENTRES), (rows,), generator=random)
    return CENTRES[number] + 0.2 * torch.randn(rows, 2, generator=random)


def gan(
    epochs: int, seed: int = 1, steps: int = 2, loss: str = "non_saturating", turns: int = 100, **rules: Any
) -> Game:
    """A generator and a discriminator; `rules` are those of the discriminator."""
    chosen = find_loss(loss)
    with seeded(seed):
        generator, discriminator = mlp(4, [64, 64], 2), mlp(2, [64, 64], 1, activation="leaky_relu")

    def drawn(random: torch.Generator) -> Tensor:
        rows: Tensor = generator(torch.randn(ROWS, 4, generator=random))
        return rows

    def discriminate(update: int, random: torch.Generator) -> dict[str, Any]:
        with torch.no_grad():
            generated = drawn(random)
        real = mixture(ROWS, random)
        terms = {"real": chosen.real(discriminator(real)), "generated": chosen.generated(discriminator(generated))}
        if loss == "wasserstein":
            terms["penalty"] = gradient_penalty(discriminator, real, generated, random)
        return terms

    def generate(update: int, random: torch.Generator) -> Any:
        return chosen.generator(discriminator(drawn(random)))

    def adam(module: torch.nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(module.parameters(), lr=1e-3, betas=(0.5, 0.999))

    players = [
        Player("discriminator", discriminator, adam(discriminator), steps),
        Player("generator", generator, adam(generator)),
    ]
    average = rules.pop("average", 0.0)
    of_each = {"discriminator": Rules(discriminate, **rules), "generator": Rules(generate, average=average)}
    return Game(players, of_each, turns=turns, epochs=epochs, seed=seed)


def shares(game: Game) -> Tensor:
    """Shares of generated points that are within 0.8 of each centre."""
    with torch.no_grad():
        generated = game.players["generator"].module(torch.randn(4000, 4, generator=torch.Generator().manual_seed(5)))
    return (torch.cdist(generated, CENTRES) < 0.8).double().mean(dim=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "more"),
    [
        ("non_saturating", {}),
        ("non_saturating", {"combine": "adaptive"}),
        ("wasserstein", {"weights": {"penalty": 2.0}, "average": 0.9}),
    ],
)
def test_a_generator_finds_all_parts_of_a_mixture(loss: str, more: dict[str, Any]) -> None:
    game = gan(epochs=12, loss=loss, **more)
    assert float(shares(game).sum()) < 0.5
    history = train(game)
    assert history.epochs == 12 and history.warnings == []
    assert float(shares(game).min()) > 0.1 and float(shares(game).sum()) > 0.8


def test_the_history_has_every_loss_and_what_the_discriminator_gets_right() -> None:
    history = train(gan(2, turns=20, weights={"generated": 0.5}, combine="adaptive"))
    columns = {
        *(f"discriminator_{term}_{what}" for term in ("real", "generated") for what in ("loss", "accuracy", "weight")),
        *(f"{player}_{what}" for player in ("discriminator", "generator") for what in ("loss", "gradient")), "seconds",
    }  # fmt: skip
    assert set(history.columns) == columns
    for epoch in range(2):
        real, generated = (history[f"discriminator_{term}_loss"][epoch] for term in ("real", "generated"))
        assert history["discriminator_loss"][epoch] == pytest.approx(real + 0.5 * generated, rel=1e-5)
    assert 0.0 < history["discriminator_real_accuracy"][-1] <= 1.0


@pytest.mark.slow
@pytest.mark.parametrize("rules", [{}, {"combine": "self_correcting", "average": 0.9, "clip": 1.0}])
def test_an_interrupted_game_goes_on_to_the_last_bit(tmp_path: Path, rules: dict[str, Any]) -> None:
    uninterrupted, broken, resumed = (gan(4, turns=20, **rules) for _ in range(3))
    expected = train(uninterrupted)

    def stop(history: History) -> None:
        if history.epochs == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(broken, tmp_path / "game.safetensors", on_epoch=stop)
    history = train(resumed, tmp_path / "game.safetensors", resume=True)
    for name in ("discriminator", "generator"):
        assert history[f"{name}_loss"] == expected[f"{name}_loss"]
        state, other = (game.players[name].module.state_dict() for game in (uninterrupted, resumed))
        assert all(torch.equal(state[key], other[key]) for key in state)
    with pytest.raises(ConfigError, match="other training settings"):
        gan(4, steps=3, turns=20, **rules).restore(tmp_path / "game.safetensors")
    with pytest.raises(ConfigError, match="other training settings"):
        gan(4, turns=20, weights={"real": 2.0}).restore(tmp_path / "game.safetensors")


def test_a_turn_moves_its_player_alone_and_as_often_as_it_has_steps() -> None:
    game = gan(1, steps=3)
    train(game)
    steps = {
        name: {int(state["step"]) for state in player.optimizer.state.values()} for name, player in game.players.items()
    }
    assert steps == {"discriminator": {300}, "generator": {100}}


def test_the_step_of_a_rule_is_that_of_its_weights() -> None:
    """One update of plain gradient descent, by hand."""
    module = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.zeros(1, 2))

    def losses(update: int, random: torch.Generator) -> dict[str, Tensor]:
        return {"first": -module.weight[0, 0], "second": (module.weight * torch.tensor([[2.0, -1.0]])).sum()}

    player = Player("one", module, torch.optim.SGD(module.parameters(), 1.0))
    game = Game([player], {"one": Rules(losses, combine="self_correcting")}, turns=1, epochs=1)
    history = train(game)
    # g = (-1, 0), t = (2, -1): <g, t> = -2, so w = 2 / 5 and the step is -(g + 0.4 t) = (0.2, 0.4)
    assert module.weight.tolist() == [pytest.approx([0.2, 0.4])]
    assert history["one_second_weight"] == [pytest.approx(0.4)]
    assert history["one_gradient"] == [pytest.approx(0.2**0.5)]


def test_a_discriminator_that_has_won_is_named() -> None:
    history = History()
    for real, generated in ((0.7, 0.99), (0.98, 0.99), (0.99, 1.0), (0.985, 1.0)):
        history.add({"seconds": 1.0, "d_real_accuracy": real, "d_generated_accuracy": generated, "g_loss": 1.0})
    (warning,) = saturated(history, ["d", "g"])
    assert warning.startswith("saturation: 'd' has won, it is right on 98.5 % of its weights or more")
    history.add({"seconds": 1.0, "d_real_accuracy": 0.9, "d_generated_accuracy": 1.0, "g_loss": 1.0})
    assert saturated(history, ["d", "g"]) == []


def constant(update: int, random: torch.Generator) -> Tensor:
    return torch.zeros((), requires_grad=True).sum()


def not_a_number(update: int, random: torch.Generator) -> Tensor:
    return torch.full((), math.nan, requires_grad=True).sum()


@pytest.mark.parametrize(("losses", "what"), [(constant, "has no gradient"), (not_a_number, "diverged")])
def test_a_player_that_cannot_train_is_an_error(losses: Losses, what: str) -> None:
    module = torch.nn.Linear(1, 1)
    player = Player("one", module, torch.optim.SGD(module.parameters(), 1.0))
    with pytest.raises(TrainingError, match=what):
        train(Game([player], {"one": Rules(losses)}, turns=1, epochs=1))


def test_rules_that_cannot_be() -> None:
    game = gan(1)
    with pytest.raises(ConfigError, match="generator"):
        Game(list(game.players.values()), {"discriminator": game.rules["discriminator"]}, 1, 1)
    with pytest.raises(ConfigError, match="projection"):
        Rules(constant, combine="projecton")
    with pytest.raises(ConfigError, match="below 1"):
        Rules(constant, average=1.0)
    with pytest.raises(ConfigError, match="both with scores"):
        train(gan(1, turns=1, loss="wasserstein", combine="adaptive"))


def test_learning_rates_follow_the_schedule_of_their_player() -> None:
    seen: list[tuple[float, float]] = []

    def schedule(progress: float) -> float:
        seen.append((progress, rate_of(game)))
        return 1.0 - progress

    game = gan(2, turns=5, steps=2, schedule=schedule)

    def rate_of(game: Game) -> float:
        return float(game.players["discriminator"].optimizer.param_groups[0]["lr"])

    train(game)
    assert [progress for progress, _ in seen] == pytest.approx([n / 20 for n in range(20)])
    # The rate that is there before an update is that of the update before it.
    assert [rate for _, rate in seen[1:]] == pytest.approx([1e-3 * (1.0 - n / 20) for n in range(19)])
    assert game.players["generator"].optimizer.param_groups[0]["lr"] == 1e-3
