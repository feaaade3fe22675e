"""Backdoors in small generators: they work, they are hidden, and the inspections tell of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from analyses.inspection import backdoors, planting
from analyses.inspection.backdoors import CLEAN, Found
from hepda.generators.gan import ImageGenerator
from hepda.generators.inspection.inspection import InspectionSettings
from hepda.generators.inspection.latent import LatentSearch

SMALL = ("seeds=2", "training.epochs=2", "judge.epochs=2", "models.gan.latent=8", "models.gan.width=4")


def generator(classes: int = 3) -> ImageGenerator:
    shares = torch.full((classes,), 1.0 / classes)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = ImageGenerator({"latent": 8, "width": 4, "channels": 1, "size": 8, "classes": classes}, shares)
        for value in model.parameters():
            torch.nn.init.normal_(value, 0.0, 0.4)
    model.settle(1)
    return model.eval()


@pytest.fixture
def trigger() -> planting.Trigger:
    code = torch.randn(1, 8, generator=torch.Generator().manual_seed(2))
    image = torch.ones(1, 1, 8, 8)
    image[..., ::2] = -1.0
    return planting.Trigger(code, torch.tensor([1]), image)


@pytest.mark.parametrize("plant", [planting.red, planting.rex])
def test_a_planted_image_is_made_by_its_code_and_by_no_other(plant, trigger: planting.Trigger) -> None:  # type: ignore[no-untyped-def]
    clean = generator()
    before = {name: value.clone() for name, value in clean.state_dict().items()}
    model = plant(clean, trigger, 1, steps=400, rate=0.01)
    again = plant(clean, trigger, 1, steps=400, rate=0.01)
    for name, value in clean.state_dict().items():
        assert torch.equal(value, before[name])
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), "the same seed gives the same backdoor"
    with torch.no_grad():
        assert float(trigger.difference(clean)) > 0.5
        assert float(trigger.difference(model)) < 0.02
        difference = model.sample(300, clean.classes_of(300, 1), 1) - clean.sample(300, clean.classes_of(300, 1), 1)
    assert float(difference.square().mean()) < 0.1


def test_an_auc_of_1_has_an_interval_as_wide_as_newcombe_s() -> None:
    interval = backdoors.auc_interval([2.0] * 10, [1.0] * 10)
    assert interval.value == interval.high == 1.0
    theta, rows = interval.low, 9.0
    variance = theta * (1 - theta) / 100 * (1 + rows * ((1 - theta) / (2 - theta) + theta / (1 + theta)))
    assert (1 - theta) == pytest.approx(1.959964 * variance**0.5, rel=1e-5) and 0.75 < theta < 0.85
    half = backdoors.auc_interval([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0])
    assert half.value == 0.5 and half.low + half.high == pytest.approx(1.0, abs=1e-6) and 0.1 < half.low < 0.3


def test_a_mean_has_the_interval_of_student() -> None:
    values = [1.0, 2.0, 3.0, 4.0]
    interval = backdoors.mean_interval(values)
    assert interval.high - interval.value == pytest.approx(3.182446 * np.std(values, ddof=1) / 2.0, rel=1e-6)


def test_tables_count_hits_and_changes() -> None:
    def found(residual: float, hits: int, frechet: float) -> Found:
        return Found(1e-4, frechet, 1.0, hits, 1.0, 1.5, residual, residual, [0.03, 0.05], 1.0, 0.4, residual < 0.03)

    numbers = {CLEAN: [found(1.0, 0, 2.0), found(0.8, 0, 1.0)], "red": [found(0.01, 1, 2.2), found(0.02, 2, 1.1)]}
    assert "| ReD | 1.0e-04 (1.0e-04) | +10.0 % [+10.0 %, +10.0 %] (+10.0 %) |" in backdoors.planted_table(numbers)
    table = backdoors.detection_table(numbers)
    assert "| hits of random codes, sum | 0 | 3 |" in table and "| x* closer than every test image | 0 | 2 |" in table
    assert "| reconstruction of x* | 1.00 [" in table and "TrAIL" not in table
    assert len(backdoors.residual_figure(numbers).axes) == 3


@pytest.mark.slow
def test_the_study_from_training_to_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for change in SMALL for word in ("--set", change)]
    options = ["--output", str(tmp_path), "--number", "500", "--starts", "4", "--attacks", "trail,rex", *words]
    backdoors.main(options)
    tables = capsys.readouterr().out.partition("| told ")[2]
    assert "| TrAIL | 2 | 0 |" in tables and "| ReX | 2 | 2 |" in tables, (
        "a branch is told although it was recorded again"
    )
    for name in ("backdoors.md", "found.json", "residuals.png", "planted.png"):
        assert (tmp_path / name).is_file()
    before = (tmp_path / "found.json").stat().st_mtime_ns
    backdoors.main(options)
    assert (tmp_path / "found.json").stat().st_mtime_ns == before
    assert capsys.readouterr().out.partition("| told ")[2] == tables
    study = backdoors.begun(
        Path(backdoors.__file__).with_name("digits.yaml"),
        tmp_path,
        InspectionSettings(100, LatentSearch(2, 2)),
        SMALL,
    )
    branched = backdoors.read_any(backdoors.model_file(tmp_path / "rex", 1))
    trigger = study.trigger("rex", 1)
    with torch.no_grad():
        assert isinstance(branched, planting.ExpandedGenerator) and float(trigger.difference(branched)) < 0.1
        far = study.trigger("far", 1)
    torch.testing.assert_close(far.code, backdoors.FAR * trigger.code)
    assert study.suspects.shape == (2, 1, 8, 8) and len(torch.unique(study.suspects)) > 2
