"""Two players that take turns: a GAN of a Gaussian mixture in two dimensions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from hepda.adversarial import History, mlp, seeded
from hepda.adversarial.training.problem import Game, Player, train
from hepda.errors import ConfigError

CENTRES = torch.tensor([[1.5, 0.0], [-1.5, 0.0], [0.0, 1.5], [0.0, -1.5]])
ROWS = 256


def mixture(rows: int, random: torch.Generator) -> Tensor:
    """Points around four centres, each of width 0.2."""
    number = torch.randint(len(CENTRES), (rows,), generator=random)
    return CENTRES[number] + 0.2 * torch.randn(rows, 2, generator=random)


def gan(epochs: int, seed: int = 1, steps: int = 2) -> Game:
    with seeded(seed):
        generator, discriminator = mlp(4, [64, 64], 2), mlp(2, [64, 64], 1, activation="leaky_relu")

    def drawn(random: torch.Generator) -> Tensor:
        return generator(torch.randn(ROWS, 4, generator=random))

    def discriminate(update: int, random: torch.Generator) -> Tensor:
        with torch.no_grad():
            generated = drawn(random)
        real = discriminator(mixture(ROWS, random))
        return (functional.softplus(-real) + functional.softplus(discriminator(generated))).mean()

    def generate(update: int, random: torch.Generator) -> Tensor:
        return functional.softplus(-discriminator(drawn(random))).mean()

    def adam(module: torch.nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(module.parameters(), lr=1e-3, betas=(0.5, 0.999))

    players = [
        Player("discriminator", discriminator, adam(discriminator), steps),
        Player("generator", generator, adam(generator)),
    ]
    return Game(players, {"discriminator": discriminate, "generator": generate}, turns=100, epochs=epochs, seed=seed)


def shares(game: Game) -> Tensor:
    """Shares of generated points that are within 0.8 of each centre."""
    with torch.no_grad():
        generated = game.players["generator"].module(torch.randn(4000, 4, generator=torch.Generator().manual_seed(5)))
    return (torch.cdist(generated, CENTRES) < 0.8).double().mean(dim=0)


def test_a_generator_finds_all_parts_of_a_mixture() -> None:
    game = gan(epochs=12)
    assert float(shares(game).sum()) < 0.5
    history = train(game)
    assert history.epochs == 12 and set(history.columns) == {"discriminator_loss", "generator_loss", "seconds"}
    assert float(shares(game).min()) > 0.1 and float(shares(game).sum()) > 0.8


def test_an_interrupted_game_goes_on_to_the_last_bit(tmp_path: Path) -> None:
    uninterrupted, broken, resumed = gan(4), gan(4), gan(4)
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
        gan(4, steps=3).restore(tmp_path / "game.safetensors")


def test_a_turn_moves_its_player_alone_and_as_often_as_it_has_steps() -> None:
    game = gan(1, steps=3)
    train(game)
    steps = {
        name: {int(state["step"]) for state in player.optimizer.state.values()} for name, player in game.players.items()
    }
    assert steps == {"discriminator": {300}, "generator": {100}}
    with pytest.raises(ConfigError, match="generator"):
        Game(list(game.players.values()), {"discriminator": lambda update, random: torch.zeros(())}, 1, 1)
