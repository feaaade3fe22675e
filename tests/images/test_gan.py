"""A class for generated images: its losses and gradients, its game, a resumed training, and what the report says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from hepda.adversarial import DomainRows, Network
from hepda.adversarial.games.losses import RowLosses
from hepda.config import load_any
from hepda.config.images import ImageModelConfig, ImagesConfig
from hepda.images.arrays import Images
from hepda.images.gan import (
    CLASSIFIER,
    GENERATOR,
    DenseGenerator,
    ExtraClassTraining,
    fit_gan,
    gan_training,
    mean_features,
    plain_weights,
)
from hepda.images.training import empty_network, rows_of, write_parts

CPU = torch.device("cpu")


def section(epochs: int = 2, noise: float = 0.1, **changes: Any) -> ImageModelConfig:
    return ImageModelConfig.model_validate(
        {
            "width": 4, "features": 12, "batch_norm": "none", "normalise": "image",
            "gan": {"latent": 5, "hidden": [16], "noise": noise, "input_noise": noise},
            "training": {"epochs": epochs, "batch_size": 16, "learning_rate": 3e-3},
        } | changes
    )  # fmt: skip


def bars(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of 8 x 8 of three classes: which third is bright."""
    random = np.random.default_rng(seed)
    label = np.arange(rows) % 3
    pixels = random.integers(0, 40, (rows, 1, 8, 8)).astype(np.uint8)
    for row, start in enumerate((0, 3, 5)):
        pixels[label == row, :, start : start + 3] += 200
    return pixels, label


def rows(weighted: bool = False) -> tuple[DomainRows, DomainRows]:
    (known, label), (unknown, _) = bars(48, 1), bars(96, 2)
    weights = [{"balanced": np.linspace(0.5, 1.5, n)} if weighted else {} for n in (48, 96)]
    return DomainRows(known, {"class": label}, weights[0]), DomainRows(unknown, weights=weights[1])


def training_of(config: ImageModelConfig, *, weighted: bool = False, seed: int = 1) -> ExtraClassTraining:
    torch.manual_seed(seed)
    return gan_training(config, empty_network(config, 1, 8, 3), rows(weighted), seed, CPU)


def test_it_has_the_labelled_images_of_the_other_methods(tmp_path: Path) -> None:
    pixels, label = bars(60, 3)
    images = Images(pixels, label, ("a", "b", "c"))
    write_parts(dict.fromkeys(("source_train", "target_train"), images), tmp_path)
    pseudo = section(gan=None, domain={"method": "pseudo"})
    (labelled, unlabelled), (others, _) = (rows_of(model, tmp_path, 2, seed=5) for model in (section(), pseudo))
    assert unlabelled is not None and len(unlabelled) == len(labelled) == 60
    assert len(np.unique(np.asarray(labelled.features).reshape(60, -1), axis=0)) == 6
    np.testing.assert_array_equal(labelled.features, others.features)
    np.testing.assert_array_equal(labelled.targets["class"], others.targets["class"])


def logits_of(training: ExtraClassTraining, images: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = training.network(images)["class"]
    return logits


def test_a_fixed_logit_of_zero_is_a_softmax_of_one_class_more() -> None:
    training = training_of(section(noise=0.0))
    random = torch.Generator().manual_seed(3)
    terms = training.classify(0, random)
    random = torch.Generator().manual_seed(3)
    labelled, _, label = training.labelled.drawn(16, random)
    real, _, _ = training.unlabelled.drawn(16, random)
    codes = torch.rand((16, 5), generator=random)
    assert label is not None
    training.generator.train()
    generated = training.generator(codes)
    more = {
        name: functional.pad(logits_of(training, images), (0, 1))  # the logit of the class of generated images
        for name, images in (("labelled", labelled), ("real", real), ("generated", generated))
    }
    probability = {name: logits.double().softmax(dim=1) for name, logits in more.items()}
    among = probability["labelled"][:, :3] / probability["labelled"][:, :3].sum(dim=1, keepdim=True)
    expected = {
        "labelled": -among[torch.arange(16), label].log(),
        "real": -(1.0 - probability["real"][:, 3]).log(),
        "generated": -probability["generated"][:, 3].log(),
    }
    for name, losses in expected.items():
        torch.testing.assert_close(terms[name].losses.double(), losses, atol=1e-5, rtol=1e-4)


def test_weights_of_rows_count_in_every_loss() -> None:
    training = training_of(section(noise=0.0), weighted=True)
    terms = training.classify(0, torch.Generator().manual_seed(3))
    random = torch.Generator().manual_seed(3)
    _, weight, _ = training.labelled.drawn(16, random)
    real, real_weight, _ = training.unlabelled.drawn(16, random)
    assert weight is not None and real_weight is not None
    for name, of in (("labelled", weight), ("real", real_weight)):
        term = terms[name]
        assert isinstance(term, RowLosses)
        torch.testing.assert_close(term.mean(), (of * term.losses).sum() / of.sum())
    assert terms["generated"].weight is None
    features = training.outputs(real, random)[0]
    expected = np.average(features.detach().numpy(), axis=0, weights=real_weight.numpy())
    torch.testing.assert_close(mean_features(features, real_weight).detach(), torch.from_numpy(expected).float())


def test_the_generator_matches_mean_features() -> None:
    training = training_of(section(noise=0.0))
    loss = training.generate(0, torch.Generator().manual_seed(4))
    random = torch.Generator().manual_seed(4)
    real, _, _ = training.unlabelled.drawn(16, random)
    training.generator.train()
    generated = training.generator(torch.rand((16, 5), generator=random))
    means = [training.network.encode(images).mean(dim=0) for images in (real, generated)]
    torch.testing.assert_close(loss, (means[0] - means[1]).square().mean(), rtol=1e-4, atol=1e-6)


def test_first_outputs_of_every_layer_have_mean_zero_and_width_one() -> None:
    training = training_of(section())
    network, x = training.network, training.unlabelled.pixels.float()
    layers = [*network.encoder.children(), *network.head_modules["class"].children()]
    for layer in layers:
        x = layer(x)
        if isinstance(layer, nn.Conv2d | nn.Linear):
            over = [dimension for dimension in range(x.dim()) if dimension != 1]
            torch.testing.assert_close(x.mean(over), torch.zeros(x.shape[1]), atol=2e-5, rtol=0.0)
            torch.testing.assert_close(x.std(over), torch.ones(x.shape[1]), atol=1e-3, rtol=0.0)


def test_weights_that_are_plain_again_give_the_same_numbers() -> None:
    training = training_of(section())
    images = training.unlabelled.pixels.float()
    before = logits_of(training, images)
    plain_weights(training.network)
    torch.testing.assert_close(logits_of(training, images), before)
    assert not [name for name in training.network.state_dict() if "parametrizations" in name]


@pytest.mark.parametrize("player", [CLASSIFIER, GENERATOR])
def test_a_step_of_a_player_moves_nothing_of_the_other(player: str) -> None:
    training = training_of(section())
    game, other = training.game(1, 3), GENERATOR if player == CLASSIFIER else CLASSIFIER
    before = {name: [p.clone() for p in of.module.parameters()] for name, of in game.players.items()}
    game._update(game.players[player], 0, first=True)
    now = {name: list(of.module.parameters()) for name, of in game.players.items()}
    assert all(torch.equal(a, b) for a, b in zip(before[other], now[other], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(before[player], now[player], strict=True))


def test_a_training_that_is_resumed_ends_with_the_same_bits(tmp_path: Path) -> None:
    config = section(epochs=3, training={"epochs": 3, "batch_size": 16, "average": 0.5})
    whole = training_of(config)
    history = fit_gan(whole, 7, None, None)

    def stop(of: Any) -> None:
        if of.epochs == 2:
            raise KeyboardInterrupt

    path = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        fit_gan(training_of(config), 7, path, stop)
    resumed = training_of(config, seed=2)  # whose first weights are others
    again = fit_gan(resumed, 7, path, None)
    columns = [{k: v for k, v in of.columns.items() if k != "seconds"} for of in (history, again)]
    assert columns[0] == columns[1] and history.rows == 3 * 3 * 2 * 16
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name


def test_a_network_learns_the_classes_in_its_game_and_is_saved_as_any_other(tmp_path: Path) -> None:
    config = section(30, training={"epochs": 30, "batch_size": 16, "learning_rate": 3e-3})
    training = training_of(config)
    fit_gan(training, 1, None, None)
    pixels, label = bars(90, 5)
    assert (training.network.predict(pixels).argmax(axis=1) == label).mean() > 0.95
    training.network.save(tmp_path / "network.safetensors")
    again = Network.load(tmp_path / "network.safetensors", encoder=empty_network(config, 1, 8, 3).encoder)
    np.testing.assert_array_equal(again.predict(pixels), training.network.predict(pixels))
    images = training.generator(torch.rand(20, 5))
    assert images.shape == (20, 1, 8, 8) and images.min() >= 0.0 and images.max() <= 255.0


def test_a_generator_has_the_layers_that_are_asked_for() -> None:
    widths = [m.out_features for m in DenseGenerator(7, (11, 13), 3, 8).modules() if isinstance(m, nn.Linear)]
    assert widths == [11, 13, 192]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_norm": "joint"}, "batch_norm: none"),
        ({"domain": {"method": "pseudo"}}, "remove one of the two"),
        ({"train_on": "target"}, "no images without labels"),
        ({"dropout": 0.5}, "noise instead"),
        ({"augment_target": ["shift"]}, "augment_target"),
        ({"training": {"precision": "bfloat16"}}, "float32"),
    ],
)
def test_settings_that_a_game_cannot_have_are_refused(changes: dict[str, Any], words: str) -> None:
    config = load_any("digits_few_labels.yaml")
    assert isinstance(config, ImagesConfig)
    content = config.model_dump(mode="json", exclude_unset=True)
    content["models"] = {"gan": {"batch_norm": "none", "gan": {}} | changes}
    with pytest.raises(ValueError, match=words):
        ImagesConfig.model_validate(content)
