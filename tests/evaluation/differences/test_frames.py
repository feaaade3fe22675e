"""Measures of predicted frames against closed forms and slow code."""

from __future__ import annotations

import numpy as np
import pytest

from hepda.evaluation.differences.frames import METRICS, gradient_sum, psnr, sharpness, sharpness_difference, ssim


def frames(seed: int, n: int = 3, size: int = 17) -> np.ndarray:
    return np.random.default_rng(seed).random((n, size, size))


def test_psnr_of_known_errors() -> None:
    true = frames(1)
    np.testing.assert_allclose(psnr(true + 0.1, true), 20.0)
    np.testing.assert_allclose(psnr(true + np.array([1.0, 0.01, 0.001])[:, None, None], true), [0.0, 40.0, 60.0])
    assert np.isinf(psnr(true, true)).all()


def slow_ssim(p: np.ndarray, t: np.ndarray) -> float:
    """Equation 13 of Wang et al. 2004, window by window."""
    offset = np.arange(-5, 6)
    window = np.exp(-(offset[:, None] ** 2 + offset[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for i in range(5, len(p) - 5):
        for j in range(5, len(p) - 5):
            x, y = p[i - 5 : i + 6, j - 5 : j + 6], t[i - 5 : i + 6, j - 5 : j + 6]
            mx, my = (window * x).sum(), (window * y).sum()
            vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
            cov = (window * (x - mx) * (y - my)).sum()
            value = (2 * mx * my + 0.01**2) * (2 * cov + 0.03**2)
            values.append(value / ((mx**2 + my**2 + 0.01**2) * (vx + vy + 0.03**2)))
    return float(np.mean(values))


def test_ssim_is_that_of_the_paper() -> None:
    predicted, true = 0.7 * frames(1) + 0.3 * frames(2), frames(1)
    np.testing.assert_allclose(ssim(predicted, true), [slow_ssim(*pair) for pair in zip(predicted, true, strict=True)])
    np.testing.assert_allclose(ssim(true, true), 1.0)
    level = np.full((1, 17, 17), 0.5)
    np.testing.assert_allclose(ssim(level, level + 0.2), (2 * 0.5 * 0.7 + 1e-4) / (0.5**2 + 0.7**2 + 1e-4))


def test_ssim_is_that_of_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics", reason="the extra `photographs`")
    predicted, true = 0.5 * frames(3, size=32) + 0.2, frames(3, size=32)
    theirs = [
        metrics.structural_similarity(
            t, p, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for p, t in zip(predicted, true, strict=True)
    ]
    np.testing.assert_allclose(ssim(predicted, true), theirs, rtol=1e-6)


def test_sharpness_of_known_frames() -> None:
    ramp = np.add.outer(3.0 * np.arange(6), 4.0 * np.arange(6))[None] / 40.0
    np.testing.assert_allclose(gradient_sum(ramp), np.full((1, 5, 5), 7.0 / 40.0))
    np.testing.assert_allclose(sharpness(0.8 * ramp + 0.1, ramp), 0.8)
    np.testing.assert_allclose(sharpness_difference(0.8 * ramp, ramp), -10.0 * np.log10(0.2 * 7.0 / 40.0))
    assert np.isinf(sharpness_difference(ramp, ramp)).all()
    assert np.isnan(sharpness(ramp, np.ones((1, 6, 6)))).all()


def test_a_blurred_frame_is_less_sharp_and_noise_is_sharp() -> None:
    true = (frames(5) > 0.5).astype(float)
    blurred = 0.5 * (true + np.roll(true, 1, axis=1))
    noise = np.clip(true + 0.5 * (frames(6) - 0.5), 0.0, 1.0)
    assert (sharpness(blurred, true) < 0.9).all() and (sharpness(noise, true) > sharpness(blurred, true)).all()
    for measure in METRICS.values():
        assert measure(blurred, true).shape == (3,)
