import numpy as np
import pytest

from hepda.errors import DataError
from hepda.evaluation.fits import fitting
from hepda.evaluation.fits.channels import SampleTemplate
from hepda.evaluation.fits.closure import ClosureSettings, closure, fit_mu
from hepda.evaluation.fits.templates import Templates
from tests.reference import evaluation as reference

S, B = np.array([5.0, 10.0, 20.0]), np.array([100.0, 60.0, 30.0])


def test_one_bin_in_closed_form():
    result = fit_mu([10.0], [100.0], [120.0])
    assert result.mu == pytest.approx(2.0, abs=1e-10)
    assert result.background_scale == 1
    # the ends solve 2 [nu - n + n ln(n / nu)] = 1
    for end in (result.low, result.high):
        nu = 100 + 10 * end
        assert 2 * (nu - 120 + 120 * np.log(120 / nu)) == pytest.approx(1, abs=1e-8)
    assert result.error == pytest.approx(np.sqrt(120) / 10, rel=0.01)
    assert result.pull == pytest.approx(1.0 / result.error)
    assert fit_mu([10.0], [100.0], [70.0]).mu == pytest.approx(-3.0, abs=1e-10)
    np.testing.assert_allclose(result.fitted, [120.0])


def test_one_bin_with_uncertainties_adds_them_in_quadrature():
    s, b, n = np.array([1e4]), np.array([1e6]), np.array([1.02e6])
    for change, extra in (
        ({"background_uncertainty": 0.01}, 1e4),
        ({"background_sumw2": [1e8]}, 1e4),
        (
            {"background_uncertainty": 0.01, "signal_sumw2": [0.0], "background_sumw2": [1e8]},
            np.sqrt(2) * 1e4,
        ),
    ):
        result = fit_mu(s, b, n, **change)
        assert result.mu == pytest.approx(2.0, abs=1e-8)
        assert result.error == pytest.approx(np.hypot(extra, np.sqrt(1.02e6)) / 1e4, rel=0.02)


@pytest.mark.parametrize("truth", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("uncertainty", [0.0, 0.1, None])
def test_asimov_data_give_back_the_truth(truth, uncertainty):
    result = fit_mu(
        S,
        B,
        truth * S + B,
        background_sumw2=B,
        signal_sumw2=0.1 * S,
        background_uncertainty=uncertainty,
        truth=truth,
    )
    assert result.mu == pytest.approx(truth, abs=1e-8)
    assert result.pull == pytest.approx(0, abs=1e-7)
    assert result.background_scale == pytest.approx(1)
    assert result.low < truth < result.high


@pytest.mark.parametrize("uncertainty", [0.0, 0.1, None])
@pytest.mark.parametrize("error", [0.0, 0.2])
def test_equals_a_general_minimiser(uncertainty, error):
    observed = np.array([112.0, 61.0, 57.0])
    scale = 1e3 if uncertainty is None else uncertainty
    result = fit_mu(S, B, observed, background_sumw2=(error * (S + B)) ** 2, background_uncertainty=uncertainty)
    relative = np.full(3, error)
    mu, least = reference.fit_mu(S, B, observed, relative, scale)

    def profiled(mu):
        return reference.profiled(mu, S, B, observed, relative, scale)

    assert profiled(result.mu) <= least + 1e-6
    assert result.mu == pytest.approx(mu, abs=2e-3)
    for end in (result.low, result.high):
        assert profiled(end) - profiled(result.mu) == pytest.approx(1, abs=1e-7)


def test_equals_the_full_fit():
    observed = np.array([112.0, 61.0, 57.0])
    templates = Templates.of_one(
        "score", np.arange(4.0), (SampleTemplate("signal", True, S, S / 9), SampleTemplate("b", False, B, B))
    )
    full = fitting.fit(templates, observed)
    result = fit_mu(S, B, observed, signal_sumw2=S / 9, background_sumw2=B)
    assert result.mu == pytest.approx(full.mu, abs=2e-3 * full.error)
    assert (result.low, result.high) == pytest.approx((full.low, full.high), abs=2e-3 * full.error)
    np.testing.assert_allclose(result.fitted, full.fitted, rtol=1e-3)


def test_an_interval_ends_before_a_bin_expects_no_events():
    """A first step of the size of the error from the yields would be beyond the lowest possible mu, -1.025."""
    s, b, n = np.array([1.0, 20.0]), np.array([1000.0, 20.5]), np.array([1000.0, 8.0])
    result = fit_mu(s, b, n)
    exact = np.zeros(2)
    for end in (result.low, result.high):
        rise = [reference.profiled(mu, s, b, n, exact, 0.0) for mu in (end, result.mu)]
        assert rise[0] - rise[1] == pytest.approx(1, abs=1e-7)


@pytest.mark.parametrize("uncertainty", [0.0, 0.1, None])
def test_sample_error_is_the_spread_of_mu_over_samples(uncertainty):
    generator = np.random.default_rng(0)
    variance = np.array([9.0, 16.0, 4.0])
    options = {"background_sumw2": 0.5 * B, "background_uncertainty": uncertainty}
    result = fit_mu(S, B, S + B, observed_sumw2=variance, **options)
    mus = [fit_mu(S, B, generator.normal(S + B, np.sqrt(variance)), **options).mu for _ in range(80)]
    assert result.sample_error == pytest.approx(np.std(mus), rel=0.17)


def test_no_minimum_says_why():
    result = fit_mu(S, B, np.zeros(3))
    assert result.mu is None and result.pull is None and "no events" in result.why


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"observed": [1.0]}, ValueError, "observed has 1"),
        ({"background": [1.0, 0.0, 1.0]}, DataError, "1 bins have no positive background"),
        ({"signal": [1.0, -1.0, 1.0]}, DataError, "no negative bin"),
        ({"observed": [1.0, -1.0, 1.0]}, DataError, "negative data"),
        ({"background_uncertainty": -0.1}, ValueError, "never negative"),
    ],
)
def test_unusable_templates_are_named(change, error, message):
    with pytest.raises(error, match=message):
        fit_mu(**({"signal": S, "background": B, "observed": S + B} | change))


def events(seed, n, shift=0.0, mu=1.0):
    """Weights are expected events: 300 of signal, 3000 of background; a tenth of them negative."""
    generator = np.random.default_rng(seed)
    label = np.repeat([1, 0], n)
    score = generator.normal(1.5 * label + shift * (label == 0), 1)
    sign = np.where(generator.random(2 * n) < 0.1, -1.0, 1.0)
    weight = sign / (0.8 * n) * np.where(label == 1, 300.0 * mu, 3000.0)
    return score, label, weight


EDGES = [-np.inf, 0, 0.7, 1.4, 2.1, np.inf]


def test_closure_on_the_same_generator_and_bias_on_another():
    source, same = events(0, 40_000), events(1, 40_000)
    result = closure(*source, same[0], same[2], EDGES)
    assert abs(result.mu - 1) < 4 * result.sample_error < 4 * result.error
    other = events(2, 40_000, shift=0.1)
    biased = closure(*source, other[0], other[2], EDGES)
    assert biased.mu - 1 > 8 * biased.sample_error
    assert biased.pull == pytest.approx((biased.mu - 1) / biased.error)
    data = closure(
        *source,
        np.random.default_rng(3).normal(0, 1, 3000),
        None,
        EDGES,
        settings=ClosureSettings(0.0, simulated=False),
    )
    assert data.sample_error is None and abs(data.pull) < 3
    np.testing.assert_allclose(data.observed.sum(), 3000)


def test_thin_bins_are_merged():
    source = events(0, 2000)
    result = closure(
        *source, source[0], source[2], [-np.inf, 0, 1, 2, 5, 5.5, np.inf], settings=ClosureSettings(min_n_eff=20)
    )
    assert result.merged == 2 and len(result.observed) == 4
    assert result.mu == pytest.approx(1, abs=1e-6)
    none = closure(*source, source[0], source[2], EDGES, settings=ClosureSettings(min_n_eff=1e6))
    assert none.mu is None and "smallest n_eff" in none.why
