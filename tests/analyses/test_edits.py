"""The study of semantic edits: the first version's fault, choices and intervals by hand, and a small version of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from analyses.semantics import edits
from analyses.semantics.edits import Effect, Setting, clamped_effect
from hepda.adversarial.diffusion.guidance import Concept
from hepda.config.generators.models import DiffusionConfig
from hepda.errors import ConfigError
from tests.generators.analysis import small

ROOT = Path(edits.__file__).parent
X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
CHANGE = 0.01 * torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(2))


def test_the_first_version_does_not_depend_on_its_scale_as_its_users_found() -> None:
    """Predictions of noise with two labels differ by less than 1: the clamp is at 1 and the threshold below all.

    Scales over eight orders of magnitude, and thresholds that differ by 0.85, give one and the same picture; in its
    successor the change is proportional to the scale, and the threshold is a quantile, which always selects.
    """
    empty, prompt, concept = X, X + CHANGE, X + CHANGE.flip(0)
    assert float((prompt - concept).abs().max()) < 0.05
    first = clamped_effect(empty, prompt, concept, 0.05, -0.9)
    for scale, threshold in ((500.0, -0.9), (1e6, -0.9), (500.0, -0.05)):
        assert torch.equal(clamped_effect(empty, prompt, concept, scale, threshold), first)
    torch.testing.assert_close(first, CHANGE.flip(0), rtol=1e-3, atol=1e-6)
    time = torch.tensor([0.5, 0.5])
    weak, strong = (Concept(lambda x, t: concept, scale).effect(empty, X, time) for scale in (0.05, 5.0))
    torch.testing.assert_close(100.0 * weak, strong)
    assert float((strong != 0).float().mean()) < 0.1


def test_the_clamp_of_the_first_version_acts_where_predictions_differ_by_more_than_its_scale() -> None:
    empty, prompt, concept = torch.zeros(1), torch.tensor([3.0]), torch.tensor([1.0])
    assert clamped_effect(empty, prompt, concept, 0.5, 0.0).item() == pytest.approx(0.25)
    assert clamped_effect(empty, prompt, concept, 0.5, 2.0).item() == 0.0


def effect(shift: float, kept: float, changed: float, rows: int = 10) -> Effect:
    return Effect(*(np.full(rows, value) for value in (shift, 0.0, kept, changed)))


def test_the_setting_that_meets_most_targets_and_keeps_most_digits_is_chosen() -> None:
    semantic = {
        Setting(1.0, 0.9): effect(0.5, 1.0, 0.05),  # too little
        Setting(2.0, 0.9): effect(1.2, 0.92, 0.14),  # all targets
        Setting(3.0, 0.9): effect(2.0, 0.95, 0.16),  # too many pixels
        Setting(2.0, 0.8): effect(1.1, 0.94, 0.29),  # all targets, more digits
        Setting(1.0, 0.9, told=True): effect(0.5, 1.0, 0.05),
        Setting(2.0, 0.9, told=True): effect(1.2, 0.8, 0.05),
    }
    chosen = {"SEGA": Setting(2.0, 0.8), "SEGA with the digit": Setting(2.0, 0.9, told=True)}
    assert edits.choose(semantic, slice(0, 5)) == chosen
    assert edits.met(semantic[Setting(3.0, 0.9)].means(), 0.9) == [True, True, False]


def test_the_changed_condition_is_compared_at_the_same_shift() -> None:
    changed = {0.0: effect(0.0, 1.0, 0.0), 1.0: effect(1.0, 0.8, 0.1), 2.0: effect(1.5, 0.6, 0.3)}
    np.testing.assert_allclose(edits.at_shift(changed, 1.25, slice(None)), [1.5, 1.25, 0.0, 0.7, 0.2])
    assert edits.at_shift(changed, 9.0, slice(None))[0] == 2.0  # the largest that was measured


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(1).normal(size=400)
    mean, low, high = edits.interval(lambda rows: values[rows].mean(keepdims=True), 400, 1)[:, 0]
    assert mean == values.mean()
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def prepared(epochs: int, images: int, folder: Path) -> edits.Prepared:
    """A network of few steps, of 8 x 8 digits."""
    model = {"kind": "diffusion", "width": 8, "steps": 5, "training": {"learning_rate": 4e-3}}
    config = small(models={"diffusion": model}, training={"epochs": epochs, "processes": 1})
    section = config.models["diffusion"]
    assert isinstance(section, DiffusionConfig)
    return edits.prepared(config, section, images, 1, folder)


def test_a_small_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edits, "STRENGTHS", (1.0, 3.0))
    monkeypatch.setattr(edits, "REPLICAS", 20)
    of = prepared(1, 20, tmp_path)
    found = edits.studied(of, "thicker", [Setting(5.0, 0.9), Setting(5.0, 0.5), Setting(2.0, 0.5, told=True)])
    assert len(found.semantic) == 3 and len(found.first) == 10
    published = found.first[500.0, -0.9]
    assert published[0] == 0.0 and published == found.first[1e6, -0.9]
    for way, scale in (("SEGA", 5), ("SEGA with the digit", 2)):
        assert f"| thicker | asked | {way}, s_c = {scale}, lambda = " in edits.report(found, way, 10, 1)
    assert "s_e = 1e+06, lambda = -0.9 | 0 |" in edits.first_report(found)
    assert len(edits.trade_figure([found]).axes) == 2
    shown = edits.pictures(of, [found], 5)
    assert [len(images) for images in shown["thicker"].values()] == [5, 5, 5, 5, 5]
    assert edits.picture_figure(shown, 5).axes


@pytest.mark.slow
def test_a_short_training_learns_what_thick_means(tmp_path: Path) -> None:
    of = prepared(25, 100, tmp_path)
    told = of.measure.effect(of.editor.images(of.editor.changed("thickness", 2.0), of.start, of.digit), "thickness")
    assert told.shift.mean() > 0.2
    # Without an edit nothing changes, and the same noise gives the same image.
    again = of.editor.images(of.editor.plain, of.start, of.digit)
    assert of.measure.effect(again, "slant").means()[[0, 1, 3]].tolist() == [0.0, 0.0, 0.0]


def test_an_analysis_file_without_such_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is of kind images"):
        edits.models_of(ROOT.parents[1] / "configs" / "digits.yaml")
    path = tmp_path / "mixture.yaml"
    path.write_text(f"include: {ROOT / 'digits.yaml'}\nmodels: {{diffusion: null, m: {{kind: mixture}}}}\n")
    with pytest.raises(ConfigError, match="has no model of `kind: diffusion`"):
        edits.models_of(path)
