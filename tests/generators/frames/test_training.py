"""The losses of frame prediction against closed forms, the game, and a resumed training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from hepda.adversarial.training.problem import train
from hepda.config.generators.frames import FrameNetworkConfig
from hepda.errors import SourceError
from hepda.evaluation.differences.frames import psnr
from hepda.generators.frames.jobs import predicted
from hepda.generators.frames.networks import FramePredictor, neighbours
from hepda.generators.frames.sequences import Frames, load
from hepda.generators.frames.training import (
    DISCRIMINATOR,
    PREDICTOR,
    FramesTraining,
    frames_training,
    gradient_difference,
    squared_difference,
)
from tests.generators.frames.analysis import small

CPU = torch.device("cpu")


def section(epochs: int = 2, **losses: float) -> FrameNetworkConfig:
    return FrameNetworkConfig.model_validate(
        {
            "kind": "network", "width": 4, "losses": losses,
            "training": {"epochs": epochs, "batch_size": 16, "average": 0.5, "learning_rate": 3e-3},
        }
    )  # fmt: skip


def sequences(**changes: Any) -> Frames:
    return load(small(**changes)).train


def training_of(config: FrameNetworkConfig, seed: int = 1) -> FramesTraining:
    return frames_training(config, sequences(), seed, CPU)


def test_losses_are_those_of_the_paper() -> None:
    random = np.random.default_rng(2)
    predicted_frames, true = random.random((2, 3, 1, 5, 6))
    a, b = torch.from_numpy(predicted_frames), torch.from_numpy(true)
    squared, gradient = np.zeros(3), np.zeros(3)
    for n in range(3):
        p, t = predicted_frames[n, 0], true[n, 0]
        squared[n] = sum((p[i, j] - t[i, j]) ** 2 for i in range(5) for j in range(6)) / 30
        down = [abs(abs(t[i, j] - t[i - 1, j]) - abs(p[i, j] - p[i - 1, j])) for i in range(1, 5) for j in range(6)]
        right = [abs(abs(t[i, j - 1] - t[i, j]) - abs(p[i, j - 1] - p[i, j])) for i in range(5) for j in range(1, 6)]
        gradient[n] = np.mean(down) + np.mean(right)
    np.testing.assert_allclose(squared_difference(a, b), squared)
    np.testing.assert_allclose(gradient_difference(a, b), gradient)
    torch.testing.assert_close(
        gradient_difference(b + 0.3, b), torch.zeros(3, dtype=torch.float64)
    )  # of gradients only


@pytest.mark.parametrize("spacing", [1, 2])
def test_neighbours_of_a_pixel(spacing: int) -> None:
    frames = torch.rand(2, 1, 6, 7)
    found = neighbours(frames, 2, spacing)
    wide = functional.pad(frames, [2 * spacing] * 4)
    for number in range(25):
        down, right = divmod(number, 5)
        expected = wide[:, 0, spacing * down : spacing * down + 6, spacing * right : spacing * right + 7]
        torch.testing.assert_close(found[:, number], expected)


def test_what_moved_with_constant_velocity_is_copied_before_anything_is_learned() -> None:
    image = np.random.default_rng(3).integers(0, 255, (8, 8)).astype(np.uint8)
    frames = np.zeros((1, 4, 24, 24), np.uint8)
    for step in range(4):
        frames[0, step, 2 + 2 * step : 10 + 2 * step, 12 - step : 20 - step] = image
    network = FramePredictor(3, 4, 2)
    with torch.no_grad():
        network.last.weight.zero_()
        network.last.bias.zero_()
    found, true, last = (value / 255.0 for value in (predicted(network, frames), frames[:, -1], frames[:, -2]))
    assert psnr(found, true) > psnr(last, true) + 4.0


def test_the_adversary_reads_the_frames_before_and_the_frame() -> None:
    training = training_of(section(gradient=0.5, adversary=0.1))
    assert training.discriminator is not None
    before, true = training.drawn(torch.Generator().manual_seed(3))
    output = training.network(before)
    terms = training.predict(0, torch.Generator().manual_seed(3))
    judged = training.discriminator.layers(torch.cat([before, output], dim=1))[:, 0]
    torch.testing.assert_close(terms["adversary"].losses, functional.softplus(-judged))
    opponent = training.discriminate(0, torch.Generator().manual_seed(3))
    real = training.discriminator.layers(torch.cat([before, true], dim=1))[:, 0]
    torch.testing.assert_close(opponent["real"].losses, functional.softplus(-real))
    torch.testing.assert_close(opponent["generated"].losses, functional.softplus(judged))
    assert training.game(1).rules[PREDICTOR].weights == {"squared": 1.0, "gradient": 0.5, "adversary": 0.1}


def test_losses_without_a_weight_are_not_computed() -> None:
    training = training_of(section())
    assert set(training.predict(0, torch.Generator().manual_seed(1))) == {"squared"}
    assert training.discriminator is None and list(training.game(1).players) == [PREDICTOR]
    both = training_of(section(adversary=0.1)).game(1).players
    momenta = {of.optimizer.param_groups[0]["betas"][0] for of in (*both.values(), *training.game(1).players.values())}
    assert momenta == {0.5}  # or models would differ in more than their losses


@pytest.mark.parametrize("player", [PREDICTOR, DISCRIMINATOR])
def test_a_step_of_a_player_moves_nothing_of_the_other(player: str) -> None:
    game = training_of(section(adversary=0.1)).game(1)
    before = {name: [p.clone() for p in of.module.parameters()] for name, of in game.players.items()}
    game._update(game.players[player], 0, first=True)
    same = {
        name: all(torch.equal(a, b) for a, b in zip(before[name], of.module.parameters(), strict=True))
        for name, of in game.players.items()
    }
    assert same == {name: name != player for name in game.players}


def test_a_training_that_is_resumed_ends_with_the_same_bits(tmp_path: Path) -> None:
    config = section(epochs=3, gradient=1.0, adversary=0.1)
    whole = training_of(config)
    history = train(whole.game(7))

    def stop(of: Any) -> None:
        if of.epochs == 2:
            raise KeyboardInterrupt

    path = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        train(training_of(config).game(7), path, on_epoch=stop)
    resumed = training_of(config, seed=2)  # whose first weights are others
    again = train(resumed.game(7), path, resume=True)
    columns = [{k: v for k, v in of.columns.items() if k != "seconds"} for of in (history, again)]
    assert columns[0] == columns[1]
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name


def test_a_network_learns_how_one_image_moves(tmp_path: Path) -> None:
    """A bright square that moves by two pixels: the network must be nearer to the next frame than the last one is."""
    square = np.zeros((400, 4, 16, 16), np.uint8)
    start = np.random.default_rng(1).integers(0, 7, 400)
    for row, left in enumerate(start):
        for step in range(4):
            square[row, step, 5:9, left + 2 * step : left + 2 * step + 4] = 255
    training = frames_training(section(epochs=8), square[:300], 1, CPU)
    train(training.game(1))
    test = square[300:]
    found = predicted(training.network, test)
    error, before = (np.square((frames / 255.0) - test[:, -1] / 255.0).mean() for frames in (found, test[:, -2]))
    assert found.shape == (100, 16, 16) and found.dtype == np.uint8 and error < 0.5 * before
    training.network.save(tmp_path / "network.safetensors")
    again = FramePredictor.load(tmp_path / "network.safetensors")
    np.testing.assert_array_equal(predicted(again, test), found)
    (tmp_path / "other.safetensors").write_bytes(b"no network")
    with pytest.raises(SourceError):
        FramePredictor.load(tmp_path / "other.safetensors")
