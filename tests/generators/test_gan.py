"""The game of a GAN: its losses, its classes, a resumed training, and that it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from hepda.adversarial.games.losses import RowLosses
from hepda.config.generators.models import GanConfig
from hepda.errors import TrainingError
from hepda.generators.gan import GanTraining, ImageGenerator, gan_training
from hepda.generators.model import Examples, Fitting, load_model
from hepda.generators.networks import Discriminator

CPU = torch.device("cpu")


def section(epochs: int = 2, **changes: Any) -> GanConfig:
    return GanConfig.model_validate(
        {"kind": "gan", "width": 4, "latent": 4, "training": {"epochs": epochs, "batch_size": 16}} | changes
    )


def bars(rows: int = 128) -> Examples:
    """Images of 8 x 8: an upper or a lower half that is bright, by class."""
    condition = torch.arange(rows) % 2
    images = -torch.ones(rows, 1, 8, 8)
    images[condition == 0, :, :4] = 1.0
    images[condition == 1, :, 4:] = 1.0
    noise = 0.05 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    return Examples((images + noise).clamp(-1, 1), condition, 2)


def training_of(config: GanConfig, seed: int = 1) -> GanTraining:
    examples = bars()
    description = {"latent": config.latent, "width": config.width, "channels": 1, "size": 8,
                   "classes": 2 if config.conditional else 0}  # fmt: skip
    generator = ImageGenerator(description, examples.shares if config.conditional else None)
    return gan_training(config, generator, examples, seed)


@pytest.mark.parametrize("size", [8, 16, 28])
@pytest.mark.parametrize("channels", [1, 3])
def test_networks_fit_the_sizes_of_digits(size: int, channels: int) -> None:
    description = {"latent": 5, "width": 4, "channels": channels, "size": size, "classes": 3}
    images = ImageGenerator(description, torch.ones(3) / 3).sample(4, torch.tensor([0, 1, 2, 0]), 1)
    assert images.shape == (4, channels, size, size) and images.abs().max() <= 1.0
    judged = Discriminator(4, channels, size, 3, normalised=True)(images, torch.tensor([0, 1, 2, 0]))
    assert judged.shape == (4,)


def test_the_projection_adds_the_inner_product_of_class_and_features() -> None:
    network = Discriminator(4, 1, 8, 2, normalised=False)
    images = bars(6).rows
    condition = torch.tensor([0, 1, 1, 0, 0, 1])
    hidden = network.body(images)
    assert network.embedding is not None
    expected = network.head(hidden)[:, 0] + torch.einsum("bf,bf->b", network.embedding.weight[condition], hidden)
    torch.testing.assert_close(network(images, condition), expected)
    torch.testing.assert_close(network(images, None), network.head(hidden)[:, 0])


def test_the_losses_are_those_of_the_formulas() -> None:
    training = training_of(section(conditional=True))
    terms = training.discriminate(0, torch.Generator().manual_seed(3))
    random = torch.Generator().manual_seed(3)
    images, condition = training.real(random)
    output = training.discriminator(images, condition)  # the power iteration has moved on by a step
    real = terms["real"]
    assert isinstance(real, RowLosses) and set(terms) == {"real", "generated"}
    torch.testing.assert_close(real.losses, (output - 1.0).square(), atol=0.02, rtol=0.02)
    wasserstein = training_of(section(loss="wasserstein", spectral_norm=False))
    assert set(wasserstein.discriminate(0, torch.Generator().manual_seed(3))) == {"real", "generated", "penalty"}
    assert (section(loss="wasserstein").penalty_weight, section().penalty_weight) == (10.0, 0.0)
    assert section(loss="wasserstein", penalty=3.0).penalty_weight == 3.0


def test_a_step_of_the_generator_moves_nothing_of_the_discriminator() -> None:
    training = training_of(section())
    game = training.game(1)
    before = [value.clone() for value in training.discriminator.parameters()]
    game._update(game.players["generator"], 0, first=True)
    assert all(torch.equal(a, b) for a, b in zip(before, training.discriminator.parameters(), strict=True))


@pytest.mark.parametrize("changes", [{"conditional": True}, {"loss": "wasserstein", "steps": 2}])
def test_a_training_that_is_resumed_ends_with_the_same_bits(changes: dict[str, Any], tmp_path: Path) -> None:
    config, examples = section(epochs=3, **changes), bars()
    whole, history = ImageGenerator.fit(config, examples, Fitting(7, CPU))

    def stop(of: Any) -> None:
        if of.epochs == 2:
            raise KeyboardInterrupt

    path = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        ImageGenerator.fit(config, examples, Fitting(7, CPU, path, stop))
    resumed, again = ImageGenerator.fit(config, examples, Fitting(7, CPU, path))
    assert [v for k, v in history.columns.items() if k != "seconds"] == [
        v for k, v in again.columns.items() if k != "seconds"
    ]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_generator_learns_the_images_of_the_class(tmp_path: Path) -> None:
    training = {"epochs": 20, "batch_size": 32, "average": 0.9, "learning_rate": 0.01}
    config = section(conditional=True, width=8, training=training)
    model, history = ImageGenerator.fit(config, bars(256), Fitting(1, CPU, tmp_path / "checkpoint"))
    asked = torch.arange(60) % 2
    images = model.sample(60, asked, seed=4)
    halves = torch.stack([images[:, 0, :4].mean((1, 2)), images[:, 0, 4:].mean((1, 2))], dim=1)
    assert halves[torch.arange(60), asked].mean() > 0.9 and halves[torch.arange(60), 1 - asked].mean() < -0.9
    assert history.rows == 20 * 8 * 32 and {"generator_loss", "discriminator_real_accuracy"} <= set(history.columns)
    model.save(tmp_path / "model.safetensors", {})
    again, _ = load_model(tmp_path / "model.safetensors")
    assert torch.equal(images, again.sample(60, asked, seed=4))


def test_a_training_that_diverges_is_told() -> None:
    config = section(training={"epochs": 1, "batch_size": 16, "learning_rate": 1e38}, spectral_norm=False)
    with pytest.raises(TrainingError, match="diverged"):
        ImageGenerator.fit(config, bars(), Fitting(1, CPU))
