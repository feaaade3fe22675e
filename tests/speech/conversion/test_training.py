"""The network of conversion: shapes, files, both trainings, the reversal; and that it learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hepda.adversarial import seeded
from hepda.adversarial.training.problem import train
from hepda.speech.conversion.effects import ConversionSounds, bank_of, load_sounds
from hepda.speech.conversion.networks import ConversionNetwork, FrameClassifier
from hepda.speech.conversion.training import CONVERTER, ConversionTraining, conversion_training, mel_of
from tests.speech.conversion.analysis import small

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def sounds() -> ConversionSounds:
    return load_sounds(small())


def training(sounds: ConversionSounds, name: str = "network", **changes: object) -> ConversionTraining:
    config = small(**changes)
    return conversion_training(config, config.networks[name], sounds, 3, CPU)


def test_a_network_converts_any_length_and_is_saved_and_read(tmp_path: Path) -> None:
    with seeded(1):
        made = ConversionNetwork(bands=10, content=4, effect=3, width=8, blocks=3, effects=5).eval()
    random = torch.Generator().manual_seed(1)
    mel, reference = torch.randn(2, 10, 30, generator=random), torch.randn(2, 10, 17, generator=random)
    converted = made.converted(mel, reference)
    assert converted.shape == mel.shape and made.content_of(mel).shape == (2, 4, 30)
    assert not torch.allclose(converted, made.converted(mel, reference + 1.0))
    made.save(tmp_path / "network.safetensors")
    assert torch.equal(ConversionNetwork.load(tmp_path / "network.safetensors").converted(mel, reference), converted)


def test_the_gradient_of_the_content_is_reversed() -> None:
    with seeded(1):
        made = ConversionNetwork(bands=10, content=4, effect=3, width=8, blocks=1, effects=5)
    content = torch.randn(2, 4, 9, generator=torch.Generator().manual_seed(2), requires_grad=True)
    (forward,) = torch.autograd.grad(made.adversary(content).sum(), content)
    (reversed_,) = torch.autograd.grad(made.opinion(content, 0.5).sum(), content)
    torch.testing.assert_close(reversed_, -0.5 * forward)


def test_classes_do_not_depend_on_the_scale_of_all_inputs() -> None:
    with seeded(1):
        judge = FrameClassifier(4, 3, width=8)
    frames = torch.randn(50, 4, generator=torch.Generator().manual_seed(3))
    judge.scale_by(frames)
    before = judge(frames.T[None])
    judge.scale_by(7.0 * frames + 2.0)
    torch.testing.assert_close(judge((7.0 * frames + 2.0).T[None]), before, atol=1e-4, rtol=1e-4)


def test_segments_are_frames_of_one_string_in_two_effects(sounds: ConversionSounds) -> None:
    made = training(sounds)
    rows = made.segments.drawn(0, torch.Generator().manual_seed(1))
    assert rows.source.shape == rows.target.shape == rows.reference.shape == (4, 40, 50)
    takes = sounds.takes(small(), sounds.training, 0, 3)
    source, first, count = mel_of(bank_of(small()), takes.source)
    target, _, _ = mel_of(bank_of(small()), takes.target)
    for row in range(4):
        places = [
            (take, begin)
            for take in range(len(count))
            for begin in range(int(count[take]) - 49)
            if torch.equal(source[int(first[take]) + begin : int(first[take]) + begin + 50].T, rows.source[row])
        ]
        take, begin = places[0]
        place = int(first[take]) + begin
        assert torch.equal(target[place : place + 50].T, rows.target[row])
        assert (int(takes.effect[take]), int(takes.wanted[take])) == (int(rows.effect[row]), int(rows.wanted[row]))


def test_each_training_has_its_losses(sounds: ConversionSounds) -> None:
    random = torch.Generator().manual_seed(1)
    assert set(training(sounds).losses(0, random)) == {"reconstruction", "recognition", "content"}
    assert set(training(sounds, "free").losses(0, random)) == {"reconstruction", "recognition"}
    history = train(training(sounds).game(3))
    assert 0.0 <= history[f"{CONVERTER}_content_accuracy"][-1] <= 1.0


def test_a_training_is_resumed_to_the_last_bit(sounds: ConversionSounds, tmp_path: Path) -> None:
    expected, broken, resumed = (training(sounds) for _ in range(3))
    train(expected.game(3))

    def stop(history: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(broken.game(3), tmp_path / "game.safetensors", on_epoch=stop)
    train(resumed.game(3), tmp_path / "game.safetensors", resume=True)
    for name, value in expected.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], value), name


def test_a_parallel_training_learns_the_effects(sounds: ConversionSounds) -> None:
    settings = {"epochs": 4, "turns": 60, "batch_size": 8, "learning_rate": 1e-2, "schedule": "one-cycle"}
    made = training(sounds, training=settings, models={"network": {"kind": "network", "width": 24, "blocks": 4}})
    history = train(made.game(3))
    random = torch.Generator().manual_seed(9)
    distances = torch.zeros(2)
    for _ in range(20):
        rows = made.segments.drawn(10_000, random)  # of an epoch that is in no training
        with torch.no_grad():
            converted = made.network.converted(rows.source, rows.reference)
        distances += torch.stack([(frames - rows.target).abs().mean() for frames in (converted, rows.source)])
    assert float(distances[0] / distances[1]) < 0.8
    assert history[f"{CONVERTER}_recognition_loss"][-1] < 0.7 * history[f"{CONVERTER}_recognition_loss"][0]
