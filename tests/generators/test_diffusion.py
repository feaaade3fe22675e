"""The diffusion model of images: its loss, guidance, a resumed training, and that it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hepda.config.generators.models import DiffusionConfig
from hepda.generators.diffusion import DiffusionTraining, ImageDiffusion
from hepda.generators.model import Fitting, load_model
from tests.generators.test_gan import CPU, bars


def section(epochs: int = 2, **changes: Any) -> DiffusionConfig:
    return DiffusionConfig.model_validate(
        {"kind": "diffusion", "width": 8, "steps": 10, "training": {"epochs": epochs, "batch_size": 16}} | changes
    )


def model_of(config: DiffusionConfig) -> ImageDiffusion:
    examples = bars()
    description = ImageDiffusion.describe(config, examples.rows.shape[1:], 2)
    return ImageDiffusion(description, examples.shares if config.conditional else None)


@pytest.mark.parametrize("conditional", [True, False])
def test_the_loss_is_the_difference_of_velocities(conditional: bool) -> None:
    config, examples = section(conditional=conditional, unlabelled=0.0), bars()
    model = model_of(config)
    with torch.no_grad():  # an output that is not 0
        for value in model.parameters():
            value.add_(0.05)
    found = DiffusionTraining(config, model, examples).loss(0, torch.Generator().manual_seed(3))
    random = torch.Generator().manual_seed(3)
    chosen = torch.randint(len(examples), (16,), generator=random)
    images, noise = examples.rows[chosen], torch.randn(16, 1, 8, 8, generator=random)
    if conditional:
        torch.rand(16, 1, generator=random)  # which classes are left out
    time = 1e-3 + (1.0 - 1e-3) * torch.rand(16, generator=random)
    alpha = model.schedule.alpha_bar(time)[:, None, None, None]
    label = examples.condition[chosen][:, None] if conditional else None
    velocity = model.network(alpha.sqrt() * images + (1 - alpha).sqrt() * noise, time, label)
    expected = (velocity - (alpha.sqrt() * noise - (1 - alpha).sqrt() * images)).square().mean((1, 2, 3))
    torch.testing.assert_close(found.losses, expected, rtol=1e-3, atol=1e-3)


def test_guidance_goes_from_no_class_to_the_class_and_beyond() -> None:
    drawn: dict[float, Tensor] = {}
    asked = torch.zeros(3, dtype=torch.long)
    for guidance in (0.0, 1.0, 2.0):
        torch.manual_seed(4)
        model = model_of(section(guidance=guidance, steps=1))
        with torch.no_grad():
            for value in model.network.parameters():
                value.add_(0.01)
        drawn[guidance] = model.drawn(3, asked, torch.Generator().manual_seed(1))
    none, told = (model.noise_in(label) for label in (None, asked[:, None]))
    x, time = torch.randn(3, 1, 8, 8), torch.full((3,), 0.5)
    assert not torch.allclose(none(x, time), told(x, time))
    assert not torch.equal(drawn[0.0], drawn[1.0]) and not torch.equal(drawn[1.0], drawn[2.0])


def test_a_training_that_is_resumed_ends_with_the_same_bits(tmp_path: Path) -> None:
    config, examples = section(epochs=3), bars()
    whole, history = ImageDiffusion.fit(config, examples, Fitting(7, CPU))

    def stop(of: Any) -> None:
        if of.epochs == 2:
            raise KeyboardInterrupt

    path = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        ImageDiffusion.fit(config, examples, Fitting(7, CPU, path, stop))
    resumed, again = ImageDiffusion.fit(config, examples, Fitting(7, CPU, path))
    assert history["denoiser_loss"] == again["denoiser_loss"] and history["denoiser_loss"][-1] < 1.0
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_network_learns_the_images_of_the_class(tmp_path: Path) -> None:
    training = {"epochs": 15, "batch_size": 32, "average": 0.9, "learning_rate": 0.005}
    model, history = ImageDiffusion.fit(section(training=training), bars(256), Fitting(1, CPU))
    asked = torch.arange(60) % 2
    images = model.sample(60, asked, seed=4)
    halves = torch.stack([images[:, 0, :4].mean((1, 2)), images[:, 0, 4:].mean((1, 2))], dim=1)
    assert halves[torch.arange(60), asked].mean() > 0.8 and halves[torch.arange(60), 1 - asked].mean() < -0.8
    assert history.rows == 15 * 8 * 32
    model.save(tmp_path / "model.safetensors", {})
    again, _ = load_model(tmp_path / "model.safetensors")
    assert torch.equal(images, again.sample(60, asked, seed=4))
