"""SEGAN: shapes, sound part by part, virtual batch norm, the game."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hepda.adversarial import seeded
from hepda.adversarial.training.problem import train
from hepda.config import load_any
from hepda.config.speech.enhancement import SeganConfig
from hepda.errors import ConfigError
from hepda.speech.enhancement.mixtures import Sounds, load_sounds
from hepda.speech.enhancement.segan import VirtualBatchNorm, WaveDiscriminator, WaveGenerator, deemphasised, emphasised
from hepda.speech.enhancement.segan_training import DISCRIMINATOR, GENERATOR, SeganTraining, segan_training
from hepda.speech.quality.signals import si_sdr
from tests.speech.enhancement.analysis import small

SMALL = {"kind": "segan", "channels": [4, 8], "width": 5}


@pytest.fixture(scope="module")
def sounds() -> Sounds:
    return load_sounds(small())


def segan(sounds: Sounds, training: dict[str, object] | None = None, **settings: object) -> SeganTraining:
    models = {"segan": SMALL | settings}
    config = small(models=models, evaluation={"baseline": "segan"}, training=training or {})
    section = config.networks["segan"]
    assert isinstance(section, SeganConfig)
    return segan_training(config, section, sounds, 3, torch.device("cpu"))


def test_the_published_networks_have_the_published_shapes() -> None:
    config = load_any("segan.yaml")
    section = config.models["segan"]
    assert section.window(config.rate) == 16_384 and section.channels[-1] == 1024 and len(section.channels) == 11
    with torch.device("meta"):  # without memory: 97 million weights
        made = WaveGenerator(section.channels, section.width, 16_384, section.noise)
        assert made(torch.empty(2, 16_384)).shape == (2, 16_384)
        code = made.down[-1]
        assert isinstance(code, torch.nn.Conv1d) and code.out_channels == 1024
        opponent = WaveDiscriminator(section.channels, section.width, 16_384, torch.empty(3, 2, 16_384))
        assert opponent(torch.empty(2, 16_384), torch.empty(2, 16_384)).shape == (2,)
    assert 16_384 // 2**11 == 8  # samples of the code


@pytest.mark.slow
def test_the_published_recipe_takes_three_steps(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    for part in ("train", "test"):
        for side, noise in (("clean", 0.0), ("noisy", 0.1)):
            (tmp_path / part / side).mkdir(parents=True)
            sound = np.sin(np.arange(20_000) * 0.05) + noise * random.normal(size=20_000)
            soundfile.write(tmp_path / part / side / "p1_001.wav", 0.5 * sound, 16_000)
    folders = {
        f"{'test_' if part == 'test' else ''}{side}": f"{tmp_path}/{part}/{side}"
        for part in ("train", "test")
        for side in ("clean", "noisy")
    }
    keys = [f"pairs.{key}={folder}" for key, folder in folders.items()]
    config = load_any("segan.yaml", [*keys, "training.epochs=1", "training.turns=3", "training.batch_size=2"])
    section = config.models["segan"]
    made = segan_training(config, section, load_sounds(config), 1, torch.device("cpu"))
    before = made.network.down[0].weight.detach().clone()  # type: ignore[union-attr, operator]
    history = train(made.game(1))
    assert history.epochs == 1 and np.isfinite(history[f"{GENERATOR}_loss"][0])
    assert not torch.equal(made.network.down[0].weight, before)
    assert sum(p.numel() for n in (made.network, made.discriminator) for p in n.parameters()) == pytest.approx(
        97.5e6, rel=0.01
    )  # type: ignore[union-attr]


def test_emphasis_is_undone() -> None:
    sound = torch.randn(2, 500, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(emphasised(sound)[:, 1], sound[:, 1] - 0.95 * sound[:, 0])
    torch.testing.assert_close(deemphasised(emphasised(sound)), sound, atol=1e-5, rtol=1e-4)


class Copying(WaveGenerator):
    """Returns what it gets: what is left is the way of the sound through windows and filters."""

    def forward(self, noisy: torch.Tensor, random: torch.Generator | None = None) -> torch.Tensor:
        return noisy


@pytest.mark.parametrize("number", [1, 7, 64, 65, 3000])
def test_windows_join_without_a_trace(number: int) -> None:
    copying = Copying((2, 2), 5, window=64, noise=False)
    sound = 0.1 * torch.randn(number, generator=torch.Generator().manual_seed(number))
    parts = list(copying.parts(sound))
    torch.testing.assert_close(torch.cat(parts), sound, atol=1e-5, rtol=1e-4)
    assert (len(parts) > 1) == (number == 3000)


def test_a_row_is_normalised_by_the_reference_batch_and_by_itself_alone() -> None:
    norm = VirtualBatchNorm(3, rows=4)
    random = torch.Generator().manual_seed(1)
    reference, rows = torch.randn(4, 3, 50, generator=random) * 2.0 + 1.0, torch.randn(2, 3, 50, generator=random)
    normalised = norm(reference)
    torch.testing.assert_close(normalised.mean(dim=(0, 2)), torch.zeros(3), atol=1e-5, rtol=0.0)
    torch.testing.assert_close(normalised.var(dim=(0, 2), unbiased=False), torch.ones(3), atol=1e-3, rtol=0.0)
    both = norm(rows)
    torch.testing.assert_close(norm(rows[1:]), both[1:])
    means = 0.8 * reference.mean(dim=(0, 2)) + 0.2 * rows[0].mean(dim=1)
    squares = 0.8 * reference.square().mean(dim=(0, 2)) + 0.2 * rows[0].square().mean(dim=1)
    expected = (rows[0] - means[:, None]) / (squares - means.square()).sqrt()[:, None]
    torch.testing.assert_close(both[0], expected, atol=1e-3, rtol=1e-3)


def test_a_generator_is_saved_and_read(tmp_path: Path) -> None:
    with seeded(1):
        made = WaveGenerator((4, 8), 5, 64, noise=True).eval()
    made.save(tmp_path / "network.safetensors")
    read = WaveGenerator.load(tmp_path / "network.safetensors")
    sound = 0.1 * torch.randn(1, 300, generator=torch.Generator().manual_seed(2))
    assert torch.equal(read.enhanced(sound), made.enhanced(sound)) and read.enhanced(sound).shape == (1, 300)


def test_the_code_changes_the_output_and_its_mean_does_not() -> None:
    with seeded(1):
        made = WaveGenerator((4, 8), 5, 64, noise=True).eval()
    windows = torch.randn(1, 64, generator=torch.Generator().manual_seed(3))
    first, second = (made(windows, torch.Generator().manual_seed(seed)) for seed in (1, 2))
    assert not torch.equal(first, second) and torch.equal(made(windows), made(windows))


def test_the_game_has_the_losses_of_the_paper(sounds: Sounds) -> None:
    made = segan(sounds)
    random = torch.Generator().manual_seed(1)
    clean, noisy = made.windows(0, torch.Generator().manual_seed(7))
    assert clean.shape == noisy.shape == (4, 2000)
    assert set(made.generate(0, random)) == {"difference", "adversary"}
    assert set(made.discriminate(0, random)) == {"real", "generated"}
    history = train(made.game(3))
    expected = 100.0 * history[f"{GENERATOR}_difference_loss"][-1] + 0.5 * history[f"{GENERATOR}_adversary_loss"][-1]
    assert history[f"{GENERATOR}_loss"][-1] == pytest.approx(expected, rel=1e-4)
    assert 0.0 <= history[f"{DISCRIMINATOR}_real_accuracy"][-1] <= 1.0
    alone = train(segan(sounds, adversary=False).game(3))
    assert f"{GENERATOR}_adversary_loss" not in alone.columns


def test_a_generator_learns_to_remove_noise(sounds: Sounds) -> None:
    training = {"epochs": 4, "turns": 50, "batch_size": 16, "learning_rate": 3e-3, "optimizer": "rmsprop"}
    made = segan(sounds, training, channels=[8, 16, 16], width=15, adversary=False, difference=1.0)
    train(made.game(3))
    mixtures = sounds.epoch(small(), 99, 77)
    gains = []
    for number in torch.nonzero(torch.isfinite(mixtures.snr)).flatten().tolist():
        clean, noisy = mixtures.clean.utterance(number), mixtures.noisy.utterance(number)
        sound = torch.cat(list(made.network.parts(noisy)))
        gains.append(si_sdr(clean.numpy(), sound.numpy()) - si_sdr(clean.numpy(), noisy.numpy()))
    assert np.mean(gains) > 1.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"width": 4}, "have no middle"), ({"adversary": False, "difference": 0.0}, "nothing is learned")],
)
def test_an_analysis_that_cannot_be_is_told(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small(models={"segan": SMALL | settings}, evaluation={"baseline": "segan"})
