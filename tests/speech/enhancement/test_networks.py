"""Networks of masks: levels, what a frame depends on, files; and sound part by part."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hepda.adversarial import seeded
from hepda.errors import SourceError
from hepda.speech.enhancement.networks import MaskNetwork, QualityNetwork
from hepda.speech.enhancement.spectra import Spectra
from hepda.speech.enhancement.streaming import enhanced_parts

SPECTRA = Spectra(64, 32, 0.3)


def network(causal: bool = False, blocks: int = 3) -> MaskNetwork:
    """A network whose correction is not zero, as after a training."""
    with seeded(1):
        made = MaskNetwork(SPECTRA, 8, blocks, causal).eval()
        torch.nn.init.normal_(made.correction.weight, std=0.1)
    return made


def sound(number: int, seed: int = 1) -> torch.Tensor:
    return 0.1 * torch.randn(number, generator=torch.Generator().manual_seed(seed))


def test_the_first_estimate_is_nearly_the_noisy_speech() -> None:
    with seeded(1):
        untrained = MaskNetwork(SPECTRA, 8, 2, causal=False)
    noisy = sound(2000)
    with torch.no_grad():
        estimate = untrained.enhanced(noisy[None])[0]
    assert float(torch.corrcoef(torch.stack([noisy, estimate]))[0, 1]) > 0.8


def test_a_louder_sound_gives_a_louder_estimate_and_nothing_else() -> None:
    noisy = sound(2000)
    with torch.no_grad():
        soft, loud = network().enhanced(torch.stack([noisy, 7.0 * noisy]))
    torch.testing.assert_close(loud, 7.0 * soft, rtol=1e-4, atol=1e-5)


def test_silence_stays_silence() -> None:
    with torch.no_grad():
        assert not network().enhanced(torch.zeros(1, 500)).abs().max() > 1e-5


@pytest.mark.parametrize("causal", [False, True])
def test_a_frame_depends_on_the_frames_that_the_network_says(causal: bool) -> None:
    made = network(causal)
    frames, middle = 60, 30
    spectrum = torch.randn(1, frames, SPECTRA.bins, 2, generator=torch.Generator().manual_seed(2), requires_grad=True)
    made.estimated(torch.view_as_complex(spectrum))[0, middle].abs().sum().backward()
    assert spectrum.grad is not None
    read = torch.nonzero(spectrum.grad[0].abs().sum(dim=(1, 2))).flatten().tolist()
    assert read[0] == middle - made.before and read[-1] == middle + made.after
    assert (made.before, made.after) == ((14, 0) if causal else (7, 7))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("number", [20, 100, 3000, 3017])
@pytest.mark.parametrize("frames", [5, 1000])
def test_sound_part_by_part_is_the_whole_sound(causal: bool, number: int, frames: int) -> None:
    made, noisy = network(causal), sound(number)
    with torch.no_grad():
        whole = made.enhanced(noisy[None])[0]
    parts = list(enhanced_parts(made, noisy, frames))
    assert len(torch.cat(parts)) == number and (len(parts) > 1) == (SPECTRA.frames(number) > frames)
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-4, atol=1e-6)


def test_a_network_is_saved_and_read(tmp_path: Path) -> None:
    made = network(causal=True)
    made.save(tmp_path / "network.safetensors")
    read = MaskNetwork.load(tmp_path / "network.safetensors")
    assert read.spectra == SPECTRA and read.after == 0
    noisy = sound(500)[None]
    with torch.no_grad():
        assert torch.equal(read.enhanced(noisy), made.enhanced(noisy))
    (tmp_path / "broken.safetensors").write_bytes((tmp_path / "network.safetensors").read_bytes()[:200])
    with pytest.raises(SourceError, match=r"broken\.safetensors"):
        MaskNetwork.load(tmp_path / "broken.safetensors")


def test_the_judge_gives_a_number_between_0_and_1_for_any_length() -> None:
    with seeded(1):
        judge = QualityNetwork(width=4)
    for frames in (8, 50):
        planes = torch.rand(3, frames, SPECTRA.bins, generator=torch.Generator().manual_seed(frames))
        quality = judge(planes, planes.flip(0))
        assert quality.shape == (3,) and bool(((quality > 0.0) & (quality < 1.0)).all())
