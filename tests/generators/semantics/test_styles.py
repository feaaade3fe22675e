"""The style generator: what its parts decide, and that it trains, draws and is read back as a GAN."""

from __future__ import annotations

from pathlib import Path

import torch

from hepda.config.generators.models import GanConfig
from hepda.generators.gan import ImageGenerator
from hepda.generators.model import Fitting, load_model
from hepda.generators.networks import with_classes
from hepda.generators.semantics.styles import StyledLayer, StyleNetwork
from tests.generators.test_gan import CPU, bars


def network(classes: int) -> StyleNetwork:
    torch.manual_seed(1)
    return StyleNetwork(latent=6, classes=classes, mapping=2, width=8, channels=1, size=8)


def test_a_layer_has_the_mean_and_width_that_the_style_asks_for() -> None:
    torch.manual_seed(1)
    layer, style = StyledLayer(3, 4, 5), torch.randn(2, 5)
    maps = layer.norm(layer.convolution(torch.randn(2, 3, 8, 8)))
    scale, shift = layer.of_style(style).chunk(2, dim=1)
    styled = maps * (1.0 + scale[:, :, None, None]) + shift[:, :, None, None]
    torch.testing.assert_close(styled.mean(dim=(2, 3)), shift, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(styled.std(dim=(2, 3), correction=0), (1.0 + scale).abs(), atol=1e-3, rtol=1e-2)


def test_each_layer_and_the_class_change_the_image_and_the_length_of_the_numbers_does_not() -> None:
    of = network(2)
    random, told = torch.randn(3, 6), with_classes(torch.empty(3, 0), torch.tensor([0, 1, 1]), 2)
    styles = of.styles(random)
    images = of.images(styles, told)
    assert images.shape == (3, 1, 8, 8) and styles.shape == (3, 3, 6)
    assert torch.equal(of(torch.cat([random, told], dim=1)), images)
    torch.testing.assert_close(of.styles(7.0 * random), styles)
    for layer in range(StyleNetwork.LAYERS):
        other = styles.clone()
        other[:, layer] += 1.0
        assert not torch.allclose(of.images(other, told), images)
    assert not torch.allclose(of.images(styles, told.flip(1)), images)
    assert network(0)(random).shape == (3, 1, 8, 8)


def test_it_is_trained_saved_and_read_back_as_a_gan(tmp_path: Path) -> None:
    training = {"epochs": 2, "batch_size": 16}
    section = GanConfig.model_validate(
        {"kind": "gan", "conditional": True, "mapping": 2, "latent": 4, "width": 8, "training": training}
    )
    model, history = ImageGenerator.fit(section, bars(), Fitting(3, CPU))
    assert isinstance(model.body, StyleNetwork) and history.epochs == 2
    model.save(tmp_path / "model.safetensors", {})
    again, _ = load_model(tmp_path / "model.safetensors")
    asked = torch.tensor([0, 1, 0])
    assert torch.equal(again.sample(3, asked, 5), model.sample(3, asked, 5))


def test_at_the_start_the_random_numbers_change_an_image_as_much_as_the_class_does() -> None:
    """Where they do not, a generator learns one image of each class."""
    torch.manual_seed(2)
    of = StyleNetwork(latent=32, classes=10, mapping=3, width=16, channels=1, size=16)
    told, random = torch.eye(10), torch.randn(10, 32)
    with torch.no_grad():
        by_class = of(torch.cat([random[:1].expand(10, -1), told], dim=1)).std(dim=0).mean()
        by_random = of(torch.cat([random, told[:1].expand(10, -1)], dim=1)).std(dim=0).mean()
    assert float(by_random) > 0.5 * float(by_class)
