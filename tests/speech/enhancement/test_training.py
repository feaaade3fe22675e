"""The training: segments, losses of both networks, and that it learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hepda.adversarial.training.problem import train
from hepda.config.speech.enhancement import MaskNetworkConfig
from hepda.speech.enhancement.mixtures import Sounds, load_sounds
from hepda.speech.enhancement.training import ENHANCER, JUDGE, SCALES, Judged, MaskTraining, mask_training
from hepda.speech.quality.signals import si_sdr
from tests.speech.enhancement.analysis import small

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def sounds() -> Sounds:
    return load_sounds(small())


def enhancement(sounds: Sounds, model: str, **changes: object) -> MaskTraining:
    config = small(**changes)
    section = config.networks[model]
    assert isinstance(section, MaskNetworkConfig)
    return mask_training(config, section, sounds, 5, CPU)


def test_segments_are_parts_of_the_mixtures_of_their_epoch(sounds: Sounds) -> None:
    models = {"plain": {"kind": "mask", "width": 8, "blocks": 2, "augmentation": None}}
    segments = enhancement(sounds, "plain", models=models, evaluation={"baseline": "plain"}).segments
    for step in (0, 5):  # of the first and of the second epoch
        clean, noisy = segments.drawn(step, torch.Generator().manual_seed(step))
        assert clean.shape == noisy.shape == (4, 2000)
        torch.testing.assert_close(noisy.square().mean(dim=1), torch.ones(4), rtol=1e-4, atol=1e-4)
        mixtures = sounds.epoch(small(), step // 4, 5)
        samples = mixtures.noisy.samples
        for row in noisy:
            # Somewhere in the mixtures, up to its level, are these samples.
            correlation = torch.nn.functional.conv1d(samples[None, None], row[None, None])[0, 0]
            norm = torch.nn.functional.conv1d(samples.square()[None, None], torch.ones(1, 1, 2000))[0, 0].sqrt()
            assert float((correlation / norm / 2000.0**0.5).max()) == pytest.approx(1.0, abs=1e-3)


def test_noises_change_places_among_the_segments_at_their_ratios(sounds: Sounds) -> None:
    models = {
        name: {"kind": "mask", "augmentation": {"filters": 0.0, "second_noise": 0.0, "remix": name == "mixed"}}
        for name in ("fixed", "mixed")
    }
    noises, ratios = {}, {}
    for model in models:
        segments = enhancement(
            sounds, model, models=models, evaluation={"baseline": "fixed"}, noise={"clean": 0.0, "snr": [5, 5]},
            training={"batch_size": 12, "seconds": 6.0},
        ).segments  # fmt: skip
        clean, noisy = segments.drawn(0, torch.Generator().manual_seed(3))
        noise = (noisy - clean) / (noisy - clean).square().mean(dim=1, keepdim=True).sqrt()
        noises[model] = noise
        ratios[model] = 10.0 * torch.log10(clean.square().sum(dim=1) / (noisy - clean).square().sum(dim=1))
    same = (noises["fixed"] @ noises["mixed"].T / noises["fixed"].shape[1]).abs()
    places = same.argmax(dim=1).tolist()
    assert float(same.amax(dim=1).min()) > 0.99 and places != list(range(12))
    # The noise of a shorter string is followed by silence: the ratios are the same but for that.
    torch.testing.assert_close(ratios["fixed"], torch.full((12,), 5.0), rtol=0.0, atol=0.1)
    assert float((ratios["mixed"] - 5.0).abs().max()) < 2.5 and abs(float(ratios["mixed"].mean()) - 5.0) < 1.0


def test_a_string_shorter_than_a_segment_is_followed_by_silence(sounds: Sounds) -> None:
    segments = enhancement(sounds, "plain", training={"seconds": 6.0}).segments
    clean, noisy = segments.drawn(0, torch.Generator().manual_seed(1))
    assert clean.shape == (4, 48_000) and not bool(noisy[:, -1].any())


def test_the_judge_learns_the_measured_quality(sounds: Sounds) -> None:
    judged = Judged("si_sdr", 8000)
    clean = torch.sin(torch.arange(4000) * 0.3)[None]
    noise = torch.randn(1, 4000, generator=torch.Generator().manual_seed(1))
    sides = [clean + level * noise for level in (0.01, 0.5, 100.0)]
    quality, weight = judged.scaled(clean.repeat(3, 1), torch.cat(sides))
    low, high = SCALES["si_sdr"]
    expected = (si_sdr(clean[0].numpy(), sides[1][0].numpy()) - low) / (high - low)
    assert quality.tolist() == pytest.approx([1.0, expected, 0.0], abs=1e-6) and weight.tolist() == [1.0] * 3
    _, weight = judged.scaled(torch.zeros(1, 4000), clean)
    assert weight.tolist() == [0.0] and (judged.calls, judged.failed) == (4, 1)


def test_the_enhancer_gets_the_judges_opinion_after_the_warm_up(sounds: Sounds) -> None:
    made = enhancement(sounds, "judged")
    random = torch.Generator().manual_seed(1)
    assert set(made.enhance(0, random)) == {"complex", "magnitude", "time", "disturbance"}
    assert set(made.enhance(4, random)) == {"complex", "magnitude", "time", "disturbance", "quality"}
    assert list(made.judge_quality(1, random)) == ["clean", "enhanced", "noisy"]


def test_a_training_is_resumed_to_the_last_bit(sounds: Sounds, tmp_path: Path) -> None:
    expected = enhancement(sounds, "judged")
    history = train(expected.game(5))
    assert {f"{ENHANCER}_quality_loss", f"{JUDGE}_enhanced_loss", f"{JUDGE}_noisy_weight"} <= set(history.columns)

    def stop(at_epoch: object) -> None:
        raise KeyboardInterrupt

    broken, resumed = (enhancement(sounds, "judged") for _ in range(2))
    with pytest.raises(KeyboardInterrupt):
        train(broken.game(5), tmp_path / "game.safetensors", on_epoch=stop)
    train(resumed.game(5), tmp_path / "game.safetensors", resume=True)
    for name, value in expected.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], value), name


@pytest.mark.parametrize("model", ["plain", "judged"])
def test_a_network_learns_to_remove_noise(sounds: Sounds, model: str) -> None:
    training = {"epochs": 4, "turns": 60, "batch_size": 8, "learning_rate": 5e-3}
    losses = {
        "time": 1.0,
        "magnitude": 0.0,
        "complex": 0.0,
        "disturbance": 0.0,
    }  # what is measured below; spectra take more steps
    models = {model: {"kind": "mask", "width": 24, "blocks": 3, "losses": losses}}
    if model == "judged":
        models[model]["adversary"] = {"metric": "si_sdr", "steps": 10}
    made = enhancement(sounds, model, training=training, models=models, evaluation={"baseline": model})
    train(made.game(5))
    mixtures = sounds.epoch(small(), 99, 77)  # of the same speakers and noises, and not trained on
    gains = []
    for number in torch.nonzero(torch.isfinite(mixtures.snr)).flatten().tolist():
        clean, noisy = mixtures.clean.utterance(number), mixtures.noisy.utterance(number)
        with torch.no_grad():
            sound = made.network.enhanced(noisy[None])[0]
        gains.append(si_sdr(clean.numpy(), sound.numpy()) - si_sdr(clean.numpy(), noisy.numpy()))
    assert sum(gains) / len(gains) > 2.0
