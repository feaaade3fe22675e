import time
from dataclasses import replace

import numpy as np
import pytest

from hepda.errors import DataError
from hepda.evaluation.fits import toys as toys_module
from hepda.evaluation.fits.histfactory import Model
from hepda.evaluation.fits.profile import fit_strengths, q0
from hepda.evaluation.fits.toys import discovery_toys, expected_fits, interval_score, toy_fits
from hepda.results.evaluation import ToyClosure
from tests.evaluation.fits.regions import one_bin, region


@pytest.mark.parametrize("mu", [0.0, 1.0, 2.0])
def test_on_their_own_templates_intervals_cover_and_pulls_have_unit_width(mu):
    templates = region()
    result = toy_fits(templates, templates.total(mu), mu, toys=4000, seed=1)
    assert result.failed == 0 and result.truth == mu
    assert result.coverage == pytest.approx(0.6827, abs=3 * result.coverage_error)
    assert result.pull_width == pytest.approx(1.0, abs=0.04)
    assert result.bias == pytest.approx(result.mu.mean() - mu)
    assert abs(result.bias) < 0.12 * result.error.mean()  # of higher order: mu times uncertain rates
    assert result.width == pytest.approx(2 * result.error.mean(), rel=0.02)
    assert result.bias_error == pytest.approx(result.mu.std() / np.sqrt(4000), rel=1e-3)


def test_another_truth_is_a_bias_and_is_not_covered():
    templates = region()
    truth = templates.total() * (1 + 0.25 * np.linspace(-1, 1, 8))
    result = toy_fits(templates, truth, 1.0, toys=400)
    assert result.bias > 10 * result.bias_error
    assert result.coverage < 0.4
    [expected] = expected_fits(templates, truth, 1.0)
    assert expected.mu - 1 == pytest.approx(result.bias, abs=0.12 * expected.error)
    assert expected.pull == pytest.approx((expected.mu - 1) / expected.error)


def test_the_interval_score_is_that_of_the_fair_universe_challenge():
    """Written out as the challenge does, over all intervals of all truths."""

    def challenge(inside, width):
        error = np.sqrt(0.3173 * 0.6827 * len(inside)) / len(inside)
        x, f = np.mean(inside), 1.0
        if x < 0.6827 - 2 * error:
            f = 1 + abs((x - (0.6827 - 2 * error)) / error) ** 4
        elif x > 0.6827 + 2 * error:
            f = 1 + abs((x - (0.6827 + 2 * error)) / error) ** 3
        return -np.log((np.mean(width) + 1e-3) * f)

    def toys(share, width, n=400):
        inside = np.arange(n) < share * n
        mu = np.full(n, 1.0)
        result = ToyClosure(1.0, mu, mu, 0.0, 0.0, 0.0, 1.0, inside.mean(), 0.0, width=width)
        return result, inside, np.full(n, width)

    for parts in ([toys(0.68, 0.3)], [toys(0.2, 0.3)], [toys(0.99, 0.3), toys(0.8, 0.5, n=300)]):
        result = interval_score([part[0] for part in parts])
        inside, width = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
        assert result.value == pytest.approx(challenge(inside, width)) and result.intervals == len(inside)
        assert (result.coverage, result.width) == pytest.approx((inside.mean(), width.mean()))
    with pytest.raises(ValueError, match="needs toys"):
        interval_score([])


def test_few_events_are_covered_too():
    templates = region(scale=0.05, bins=12)  # down to 5 events a bin
    result = toy_fits(templates, templates.total(0.0), 0.0, toys=3000, seed=5)
    assert result.failed < 10
    assert result.coverage == pytest.approx(0.6827, abs=0.03)


def test_the_same_seed_gives_the_same_toys():
    templates = region(bins=4)
    first, again, other = (toy_fits(templates, templates.total(), 1.0, toys=50, seed=s) for s in (3, 3, 4))
    np.testing.assert_array_equal(first.mu, again.mu)
    assert not np.array_equal(first.mu, other.mu)


def test_auxiliary_measurements_fluctuate():
    """With statistics of the simulation far larger than the data's, mu still scatters as its error says."""
    templates = one_bin(1000.0, 10_000.0, background_error=500.0)
    result = toy_fits(templates, templates.total(), 1.0, toys=2000)
    assert result.mu.std() == pytest.approx(np.sqrt(11_000 + 500**2) / 1000, rel=0.05)
    assert result.pull_width == pytest.approx(1, abs=0.05)


def test_expected_fits_give_back_the_truth_with_its_error_and_noise():
    templates = region()
    truths = [templates.total(mu) for mu in (0.0, 1.0, 2.0)]
    variance = np.full(8, 9.0)
    result = expected_fits(templates, truths, [0, 1, 2], variances=variance)
    for mu, fit in zip((0, 1, 2), result, strict=True):
        assert fit.mu == pytest.approx(mu, abs=1e-6) and fit.truth == mu
        assert fit.low < mu < fit.high and fit.error == pytest.approx(0.5 * (fit.high - fit.low))
        assert fit.background_scale == pytest.approx(1.0)
        np.testing.assert_allclose(fit.fitted, templates.total(mu), rtol=1e-6)
    assert expected_fits(templates, truths, [0, 1, 2])[0].sample_error is None
    generator = np.random.default_rng(2)
    replicas = generator.normal(truths[1], 3.0, (400, 8))
    spread = np.std([fit.mu for fit in expected_fits(templates, replicas, 1.0)])
    assert result[1].sample_error == pytest.approx(spread, rel=0.12)


def test_q0_follows_its_asymptotic_distribution():
    templates = region()
    model = Model.of(templates)
    data = model.fluctuated(templates.total(0.0), 4000, np.random.default_rng(3))
    statistic = q0(model, data, fit_strengths(model, data, intervals=False))
    for z, p in ((0.0, 0.5), (1.0, 0.1587), (2.0, 0.02275)):
        fraction = np.mean(statistic > z * z)
        assert fraction == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 4000))


def test_significance_by_toys_of_a_counting_experiment_is_poisson():
    from scipy import stats

    result = discovery_toys(one_bin(10.0, 20.0), [30.0], toys=40_000)
    p = stats.poisson.sf(29, 20)
    assert result.p_value == pytest.approx(p, abs=4 * result.p_error)
    assert result.value == pytest.approx(stats.norm.isf(p), abs=0.05)
    none = discovery_toys(one_bin(10.0, 20.0), [90.0], toys=100)
    assert none.value is None and "none of 100 toys" in none.why
    assert discovery_toys(one_bin(10.0, 20.0), [15.0], toys=100).value < 0.5


def test_thousands_of_toys_a_second():
    templates = region(bins=12)
    toy_fits(templates, templates.total(), 1.0, toys=10)
    begin = time.process_time()
    toy_fits(templates, templates.total(), 1.0, toys=2000)
    assert 2000 / (time.process_time() - begin) > 1000


def test_what_cannot_be_fitted_is_an_error():
    templates = region()
    with pytest.raises(ValueError, match="two toys"):
        toy_fits(templates, templates.total(), 1.0, toys=1)
    with pytest.raises(DataError, match="truth of the toys are negative"):
        toy_fits(templates, -templates.total(), 1.0)
    with pytest.raises(DataError, match="have no best fit"):
        toy_fits(one_bin(1.0, 5.0), [0.3], 1.0, toys=100)
    [none] = expected_fits(one_bin(1.0, 5.0), [[0.0]], 1.0)
    assert none.mu is None and "no events" in none.why


def test_a_minimum_without_an_interval_has_the_error_of_the_curvature_and_says_so(monkeypatch):
    """Beside another minimum -2 ln L falls again: both ends of the interval lie at mu."""

    def without(model, data, **options):
        best = fit_strengths(model, data, **options)
        return replace(best, low=best.mu, high=best.mu)

    (complete,) = expected_fits(region(), [region().total(1.0)], [1.0])
    monkeypatch.setattr(toys_module, "fit_strengths", without)
    (fit,) = expected_fits(region(), [region().total(1.0)], [1.0])
    assert (fit.low, fit.high) == (None, None) and "no interval" in fit.why
    assert fit.error == pytest.approx(complete.error, rel=0.1) and fit.pull == pytest.approx(0.0, abs=1e-5)
