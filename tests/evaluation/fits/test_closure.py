"""One fit to expected data: closed forms, a general minimiser, the full fit, the error of the finite pseudo-data."""

from __future__ import annotations

import numpy as np
import pytest

from hepda.evaluation.fits import fitting
from hepda.evaluation.fits.channels import SampleTemplate
from hepda.evaluation.fits.templates import Templates
from hepda.evaluation.fits.toys import expected_fits
from hepda.results.evaluation import ClosureFit
from tests.reference import evaluation as reference

S, B = np.array([5.0, 10.0, 20.0]), np.array([100.0, 60.0, 30.0])


def templates(signal, background, signal_sumw2=0.0, background_sumw2=0.0) -> Templates:
    s, b = np.asarray(signal, float), np.asarray(background, float)
    samples = (
        SampleTemplate("signal", True, s, np.broadcast_to(signal_sumw2, s.shape)),
        SampleTemplate("background", False, b, np.broadcast_to(background_sumw2, b.shape)),
    )
    return Templates.of_one("score", np.arange(len(s) + 1.0), samples)


def fit_mu(signal, background, observed, *, truth=1.0, variance=None, **sumw2) -> ClosureFit:
    (fit,) = expected_fits(templates(signal, background, **sumw2), [observed], [truth], variances=variance)
    return fit


def test_one_bin_in_closed_form():
    result = fit_mu([10.0], [100.0], [120.0])
    assert result.mu == pytest.approx(2.0, abs=1e-10)
    # the ends solve 2 [nu - n + n ln(n / nu)] = 1
    for end in (result.low, result.high):
        nu = 100 + 10 * end
        assert 2 * (nu - 120 + 120 * np.log(120 / nu)) == pytest.approx(1, abs=1e-8)
    assert result.error == pytest.approx(np.sqrt(120) / 10, rel=0.01)
    assert result.pull == pytest.approx(1.0 / result.error)
    assert fit_mu([10.0], [100.0], [70.0]).mu == pytest.approx(-3.0, abs=1e-10)
    np.testing.assert_allclose(result.fitted, [120.0])


def test_the_statistics_of_the_templates_add_in_quadrature():
    result = fit_mu([1e4], [1e6], [1.02e6], background_sumw2=1e8)
    assert result.mu == pytest.approx(2.0, abs=1e-8)
    assert result.error == pytest.approx(np.hypot(1e4, np.sqrt(1.02e6)) / 1e4, rel=0.02)


@pytest.mark.parametrize("truth", [0.0, 1.0, 2.0])
def test_asimov_data_give_back_the_truth(truth):
    result = fit_mu(S, B, truth * S + B, background_sumw2=B, signal_sumw2=0.1 * S, truth=truth)
    assert result.mu == pytest.approx(truth, abs=1e-8)
    assert result.pull == pytest.approx(0, abs=1e-7)
    assert result.background_scale == pytest.approx(1)
    assert result.low < truth < result.high


@pytest.mark.parametrize("error", [0.0, 0.2])
def test_equals_a_general_minimiser(error):
    observed = np.array([112.0, 61.0, 57.0])
    result = fit_mu(S, B, observed, background_sumw2=(error * (S + B)) ** 2)
    relative = np.full(3, error)
    mu, least = reference.fit_mu(S, B, observed, relative, 0.0)

    def profiled(mu):
        return reference.profiled(mu, S, B, observed, relative, 0.0)

    assert profiled(result.mu) <= least + 1e-6
    assert result.mu == pytest.approx(mu, abs=2e-3)
    for end in (result.low, result.high):
        assert profiled(end) - profiled(result.mu) == pytest.approx(1, abs=1e-7)


def test_equals_the_full_fit():
    observed = np.array([112.0, 61.0, 57.0])
    full = fitting.fit(templates(S, B, S / 9, B), observed)
    result = fit_mu(S, B, observed, signal_sumw2=S / 9, background_sumw2=B)
    assert result.mu == pytest.approx(full.mu, abs=2e-3 * full.error)
    assert (result.low, result.high) == pytest.approx((full.low, full.high), abs=2e-3 * full.error)


def test_an_interval_ends_before_a_bin_expects_no_events():
    """A first step of the size of the error from the yields would be beyond the lowest possible mu, -1.025."""
    s, b, n = np.array([1.0, 20.0]), np.array([1000.0, 20.5]), np.array([1000.0, 8.0])
    result = fit_mu(s, b, n)
    exact = np.zeros(2)
    for end in (result.low, result.high):
        rise = [reference.profiled(mu, s, b, n, exact, 0.0) for mu in (end, result.mu)]
        assert rise[0] - rise[1] == pytest.approx(1, abs=1e-7)


def test_sample_error_is_the_spread_of_mu_over_samples():
    generator = np.random.default_rng(0)
    variance = np.array([9.0, 16.0, 4.0])
    result = fit_mu(S, B, S + B, background_sumw2=0.5 * B, variance=variance)
    mus = [fit_mu(S, B, generator.normal(S + B, np.sqrt(variance)), background_sumw2=0.5 * B).mu for _ in range(80)]
    assert result.sample_error == pytest.approx(np.std(mus), rel=0.17)


def test_no_minimum_says_why():
    result = fit_mu(S, B, np.zeros(3))
    assert result.mu is None and result.pull is None and "no events" in str(result.why)
