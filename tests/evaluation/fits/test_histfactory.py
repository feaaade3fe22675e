import numpy as np
import pytest

from hepda.evaluation.fits.fitting import workspace
from hepda.evaluation.fits.histfactory import Model, Observations, fit
from hepda.evaluation.fits.minuit import minimise, model_and_data, pyhf_with_minuit
from hepda.evaluation.fits.profile import fit_strengths, profile
from tests.evaluation.fits.regions import one_bin, region
from tests.reference import histfactory as reference


@pytest.fixture(scope="module")
def model():
    return Model.of(region())


@pytest.fixture(scope="module")
def toys(model):
    return model.fluctuated(region().total(), 20, np.random.default_rng(0))


def points(model, count=20, seed=1):
    theta = np.random.default_rng(seed).normal(0, 1.2, (count, 1 + len(model.names)))
    theta[:, 0] = np.abs(theta[:, 0])  # below zero, bins may expect less than nothing
    theta[0] = 0  # mu = 0 and every systematic at its kink's middle
    return theta


def test_expected_events_are_those_of_the_templates_and_of_pyhf(model):
    templates = region()
    theta = points(model)
    result = model.expected(theta)
    for row, values in zip(result, theta, strict=True):
        expected = templates.expected(values[0], dict(zip(model.names, values[1:], strict=True)))
        np.testing.assert_allclose(row, expected, rtol=1e-12)
    with pyhf_with_minuit() as pyhf:
        given, _ = model_and_data(pyhf, workspace(templates, templates.total()))
        for row, values in zip(result, theta, strict=True):
            named = dict(zip(("mu", *model.names), values, strict=True))
            parameters = [named.get(name, 1.0) for name in given.config.par_names]
            np.testing.assert_allclose(given.expected_actualdata(parameters), row, rtol=1e-12)


def test_the_likelihood_is_the_one_written_by_hand(model, toys):
    templates, theta = region(), points(model, seed=2)
    values = model.derivatives(theta, toys).value
    gammas = model.gamma(model.expected(theta), toys)
    by_hand = [
        reference.twice_nll(
            templates, n, t[0], dict(zip(model.names, t[1:], strict=True)), g,
            dict(zip(model.names, a, strict=True)), c,
        )
        for n, t, g, a, c in zip(toys.observed, theta, gammas, toys.alpha, toys.gamma, strict=True)
    ]  # fmt: skip
    saturated = 2 * np.sum(toys.observed - toys.observed * np.log(toys.observed), axis=1)
    np.testing.assert_allclose(2 * values, np.array(by_hand) - saturated, rtol=1e-9)


def test_derivatives_are_differences(model, toys):
    theta, h = points(model), 1e-5
    at = model.derivatives(theta, toys)
    for q in range(theta.shape[1]):
        step = np.zeros(theta.shape[1])
        step[q] = h
        above, below = model.derivatives(theta + step, toys), model.derivatives(theta - step, toys)
        slope = (above.value - below.value) / (2 * h)
        np.testing.assert_allclose(at.gradient[:, q], slope, rtol=1e-5, atol=1e-5)
        bend = (above.gradient - below.gradient) / (2 * h)
        np.testing.assert_allclose(at.hessian[:, q], bend, rtol=1e-5, atol=1e-4)
    assert np.linalg.eigvalsh(at.positive).min() > 0


def test_profiled_factors_are_the_best_ones(model, toys):
    theta = points(model, seed=3)
    best = model.derivatives(theta, toys).value
    gamma = model.gamma(model.expected(theta), toys)
    for change in (-1e-3, 1e-3):
        fixed = Observations(toys.observed, toys.alpha, toys.gamma, gamma + change)
        assert np.all(model.derivatives(theta, fixed).value > best)
    huge = Observations(np.zeros((1, 8)), np.zeros((1, 4)), np.ones((1, 8)))
    assert np.all(model.gamma(np.full((1, 8), 1e12), huge) == 0)  # no events where many are expected


def test_no_events_expected_is_not_allowed(model, toys):
    theta = points(model)
    theta[:, 0] = -1e4
    assert np.all(np.isinf(model.derivatives(theta, toys).value))


@pytest.mark.slow
@pytest.mark.parametrize("statistics", [0.0, 0.05])
def test_mu_error_and_interval_are_those_of_minuit_on_the_likelihood_written_by_hand(statistics):
    templates = region(bins=4, scale=0.5, statistics=statistics)
    generator = np.random.default_rng(5)
    model = Model.of(templates)
    data = model.fluctuated(templates.total(1.5), 3, generator)
    result = fit_strengths(model, data)
    for t in range(3):
        centres = {
            "alpha_centres": dict(zip(model.names, data.alpha[t], strict=True)),
            "gamma_centres": data.gamma[t],
        }
        minuit = reference.minimise(templates, data.observed[t], **centres)
        error = minuit.errors["mu"]
        assert result.mu[t] == pytest.approx(minuit.values["mu"], abs=2e-3 * error)
        assert result.error[t] == pytest.approx(error, rel=5e-3)
        assert result.low[t] - result.mu[t] == pytest.approx(minuit.merrors["mu"].lower, rel=5e-3)
        assert result.high[t] - result.mu[t] == pytest.approx(minuit.merrors["mu"].upper, rel=5e-3)
        np.testing.assert_allclose(result.theta[t, 1:], minuit.values[1 : 1 + len(model.names)], atol=5e-3)


def test_toys_are_fitted_as_pyhf_fits_them():
    templates = region(scale=0.3)
    model = Model.of(templates)
    data = model.fluctuated(templates.total(), 4, np.random.default_rng(7))
    result = fit_strengths(model, data, intervals=False)
    with pyhf_with_minuit() as pyhf:
        given, _ = model_and_data(pyhf, workspace(templates, templates.total()))
        for t in range(4):
            named = dict(zip(model.names, data.alpha[t : t + 1].T, strict=True)) | {"staterror_score": data.gamma[t]}
            auxiliary = np.concatenate([named[name] for name in given.config.auxdata_order])
            minuit = minimise(pyhf, given, [*data.observed[t], *auxiliary])
            assert result.mu[t] == pytest.approx(minuit.values["mu"], abs=1e-3 * minuit.errors["mu"])
            assert result.error[t] == pytest.approx(minuit.errors["mu"], rel=2e-3)


def test_one_bin_in_closed_form():
    # nu = s mu + b, n = 1e6: the error adds Poisson, simulation and rate in quadrature
    s, b, n = 1e4, 1e6, 1.01e6
    for options, extra in (({}, 0.0), ({"background_error": 1e3}, 1e3), ({"rate": 2e-3}, 2e3)):
        model = Model.of(one_bin(s, b, **options))
        result = fit_strengths(model, model.nominally(np.array([[n]])))
        assert result.mu[0] == pytest.approx(1.0, abs=1e-8)
        assert result.error[0] == pytest.approx(np.sqrt(n + extra**2) / s, rel=2e-3)
    model = Model.of(one_bin(10.0, 100.0))
    result = fit_strengths(model, model.nominally(np.array([[120.0]])))
    assert result.mu[0] == pytest.approx(2.0, abs=1e-8)
    for end in (result.low[0], result.high[0]):
        nu = 100 + 10 * end
        assert 2 * (nu - 120 + 120 * np.log(120 / nu)) == pytest.approx(1, abs=1e-4)


def test_the_response_is_a_derivative():
    templates = region(scale=0.2, statistics=0.1)
    model = Model.of(templates)
    counts = np.random.default_rng(8).poisson(templates.total()).astype(float)
    data = model.nominally(counts[None])
    best = fit_strengths(model, data, intervals=False)
    response = model.response(best.theta, data, best.hessian)[0]
    shifted = counts + 0.05 * np.eye(8), counts - 0.05 * np.eye(8)
    mu = [fit_strengths(model, model.nominally(c), intervals=False).mu for c in shifted]
    np.testing.assert_allclose(response, (mu[0] - mu[1]) / 0.1, rtol=2e-3, atol=1e-5)


def test_a_profile_holds_mu_and_a_fit_without_minimum_does_not_converge():
    templates = region()
    model = Model.of(templates)
    data = model.nominally(templates.total()[None])
    result = profile(model, data, np.array([0.3]), np.zeros((1, 5)))
    assert result.converged[0] and result.point[0, 0] == 0.3
    free = fit(model, data)
    assert free.point[0, 0] == pytest.approx(1.0, abs=1e-6) and free.at.value[0] < result.at.value[0]
    nothing = one_bin(1.0, 5.0)
    empty = fit_strengths(Model.of(nothing), Model.of(nothing).nominally(np.zeros((1, 1))))
    assert not empty.converged[0] and np.isnan([empty.mu[0], empty.low[0]]).all()


@pytest.mark.filterwarnings("error")
def test_a_far_minimum_is_reached_without_overflow():
    model = Model.of(one_bin(10.0, 100.0, rate=0.3))
    data = model.nominally(np.array([[1e6]]))
    result = profile(model, data, np.zeros(1), np.zeros((1, 2)))
    assert result.converged[0] and model.expected(result.point)[0, 0] == pytest.approx(1e6, rel=1e-3)
