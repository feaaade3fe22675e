import numpy as np
import pytest

from hepda.evaluation.fits.channels import SampleTemplate
from hepda.evaluation.fits.preparation.smoothing import smooth_353qh, smoothed
from hepda.evaluation.fits.templates import Templates


@pytest.mark.parametrize(
    ("values", "by_root"),
    [
        ([1, 3, 2, 5], [1, 2, 3.25, 5]),
        ([1, 3, 2, 5, 11, 3, 8], [1.0, 2.125, 3.66666675, 5.08333349, 6.16666651, 7.375, 8.0]),
        (
            [0.16505027, 0.92460960, 0.04765633, 0.36997846, 0.37872216],
            [0.16505027, 0.21628231, 0.31874642, 0.36997846, 0.36997846],
        ),
        (
            [0.29093575, 0.93474650, 0.29723760, 0.61081952, -1.0],
            [0.29093575, 0.52901053, 0.47264278, -0.06587567, -1.0],
        ),
    ],
)
def test_the_algorithm_gives_what_root_gives(values, by_root):
    """Outputs of TH1::Smooth, in single precision."""
    np.testing.assert_allclose(smooth_353qh(values), by_root, rtol=2e-7)


def test_the_algorithm_equals_another_implementation_of_it():
    cabinetry = pytest.importorskip("cabinetry")
    generator = np.random.default_rng(0)
    for bins in (3, 4, 5, 6, 9, 20, 50):
        for values in (
            generator.normal(1, 0.3, bins),
            generator.normal(0, 1, bins),
            np.round(generator.random(bins), 1),
        ):
            np.testing.assert_allclose(smooth_353qh(values), cabinetry.smooth.smooth_353qh_twice(values), atol=1e-12)


def test_it_keeps_straight_lines_and_mirror_images_and_takes_spikes_away():
    line = np.linspace(1, 2, 12)
    np.testing.assert_allclose(smooth_353qh(line), line)
    spike = line.copy()
    spike[5] = 7.0
    assert np.max(np.abs(smooth_353qh(spike) - line)) < 0.2
    noisy = np.random.default_rng(1).normal(1, 0.1, 15)
    np.testing.assert_allclose(smooth_353qh(2 - noisy), 2 - smooth_353qh(noisy))
    with pytest.raises(ValueError, match="at least 3"):
        smooth_353qh([1.0, 2.0])


def templates(bins=12):
    x = np.linspace(0, 1, bins)
    h = 1000 * np.exp(-2 * x)
    noise = 1 + 0.03 * np.random.default_rng(2).normal(size=bins)
    shapes = {"jes": (h * (1.02 + 0.05 * x) * noise, h * (0.98 - 0.05 * x) / noise), "pure": (1.1 * h, 0.9 * h)}
    signal = SampleTemplate("ttH", True, 10 + 30 * x, 0.1 * np.ones(bins))
    return Templates.of_one("score", np.arange(bins + 1.0), (signal, SampleTemplate("tt", False, h, h, shapes)))


def test_ratios_are_smoothed_and_rates_stay():
    before = templates()
    after, done = smoothed(before)
    (old, new) = (t.channels[0].samples[1] for t in (before, after))
    for side in (0, 1):
        assert new.shapes["jes"][side].sum() == pytest.approx(old.shapes["jes"][side].sum())
        np.testing.assert_allclose(new.shapes["pure"][side], old.shapes["pure"][side])
    x = np.linspace(0, 1, 12)
    rough, smooth = (s.shapes["jes"][0] / s.sumw - (1.02 + 0.05 * x) for s in (old, new))
    assert np.std(np.diff(smooth)) < 0.5 * np.std(np.diff(rough))
    assert [(s.systematic, s.channel, s.sample) for s in done] == [("jes", "score", "tt"), ("pure", "score", "tt")]
    assert 0.01 < done[0].change < 0.1 and done[1].change < 1e-12
    only, done = smoothed(before, ["pure"])
    assert only.channels[0].samples[1].shapes["jes"] is not None and len(done) == 1
    np.testing.assert_array_equal(only.channels[0].samples[1].shapes["jes"][0], old.shapes["jes"][0])


def test_few_bins_and_bins_without_contents_are_left_alone():
    (after, done) = smoothed(templates(bins=2))
    assert done == ()
    np.testing.assert_array_equal(
        after.channels[0].samples[1].shapes["jes"][0], templates(bins=2).channels[0].samples[1].shapes["jes"][0]
    )
    h = np.array([100.0, -1.0, 80.0, 60.0, 40.0])
    up = h * [1.1, 3.0, 0.9, 1.2, 1.0]
    sample = SampleTemplate("tt", False, h, np.ones(5), {"jes": (up, 2 * h - up)})
    signal = SampleTemplate("ttH", True, np.ones(5), np.ones(5))
    after, _ = smoothed(Templates.of_one("score", np.arange(6.0), (signal, sample)))
    new = after.channels[0].samples[1].shapes["jes"][0]
    assert new[1] == up[1] and new.sum() == pytest.approx(up.sum()) and not np.allclose(new, up)
