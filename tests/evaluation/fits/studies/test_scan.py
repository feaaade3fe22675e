import numpy as np
import pytest

from hepda.errors import DataError
from hepda.evaluation.fits.fitting import fit, workspace
from hepda.evaluation.fits.minuit import model_and_data, pyhf_with_minuit
from hepda.evaluation.fits.studies.goodness import goodness
from hepda.evaluation.fits.studies.scan import scan
from tests.evaluation.fits.regions import one_bin, region, three_regions

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")


@pytest.fixture(scope="module")
def templates():
    return three_regions().only(["three_tags", "four_tags"])


@pytest.fixture(scope="module")
def counts(templates):
    return np.random.default_rng(5).poisson(templates.expected(1.3, {"ttb": 1.2})).astype(float)


@pytest.fixture(scope="module")
def result(templates, counts):
    return fit(templates, counts)


def test_the_scan_of_mu_is_that_of_pyhf_and_reaches_one_at_the_ends_of_the_interval(templates, counts, result):
    found = scan(templates, counts, points=[0.0, result.low, result.mu, result.high, 3.0])
    np.testing.assert_allclose(found.rise[1:4], [1.0, 0.0, 1.0], atol=5e-3)
    assert found.best == pytest.approx(result.mu, abs=1e-3 * result.error)
    assert found.error == pytest.approx(result.error, rel=1e-3)
    with pyhf_with_minuit() as backend:
        model, data = model_and_data(backend, workspace(templates, counts))
        _, least = backend.infer.mle.fit(data, model, return_fitted_val=True)
        for value, rise in zip(found.values, found.rise, strict=True):
            _, fixed = backend.infer.mle.fixed_poi_fit(float(value), data, model, return_fitted_val=True)
            assert rise == pytest.approx(float(fixed - least), abs=2e-3)
    assert np.all(found.fixed_rise >= found.rise - 1e-9)


def test_scans_of_other_parameters_have_their_errors(templates, counts, result):
    for name in ("ttb", "jes"):
        parameter = result.parameter(name)
        found = scan(templates, counts, parameter=name)
        assert len(found.values) == 61 and found.rise.min() == pytest.approx(0.0, abs=1e-6)
        inner = np.abs(found.values - found.best) < 0.5 * found.error
        parabola = ((found.values - found.best) / found.error)[inner] ** 2
        np.testing.assert_allclose(found.rise[inner], parabola, rtol=0.15, atol=1e-6)
        assert found.error == pytest.approx(parameter.error, rel=2e-3)
    with pytest.raises(DataError, match=r"no parameter 'tb' to scan\. Did you mean 'ttb'"):
        scan(templates, counts, parameter="tb")


def test_without_other_parameters_a_scan_is_a_formula():
    found = scan(one_bin(10.0, 100.0), [120.0], points=[1.0, 2.0, 4.0, -20.0])
    nu = 100 + 10 * np.array([1.0, 2.0, 4.0])
    np.testing.assert_allclose(found.rise[:3], 2 * (nu - 120 + 120 * np.log(120 / nu)), atol=1e-9)
    np.testing.assert_allclose(found.fixed_rise[:3], found.rise[:3], atol=1e-9)
    assert np.isnan(found.rise[3]) and np.isnan(found.fixed_rise[3])  # a bin would expect less than nothing
    none = scan(one_bin(1.0, 5.0), [0.0])
    assert none.best is None and "no events" in none.why


def test_goodness_is_that_of_the_fit_and_follows_a_chi2(templates, counts, result):
    found = goodness(templates, counts)
    assert found.value == pytest.approx(result.goodness, abs=1e-3) and found.ndf == result.ndf == 5 - 2
    assert found.p_value == pytest.approx(result.p_value, abs=1e-3)
    many = region()
    bad = many.total() * (1 + 0.035 * np.array([1, -1, 1, -1, 1, -1, 1, -1]))
    by_toys = goodness(many, bad, toys=3000, seed=1)
    assert 0.02 < by_toys.p_value < 0.9 and by_toys.toys == 3000 and by_toys.failed == 0
    assert by_toys.toys_p_value == pytest.approx(by_toys.p_value, abs=max(5 * by_toys.toys_p_error, 0.02))
    assert goodness(one_bin(10.0, 100.0), [130.0]).p_value is None  # one bin, one parameter
    assert "no events" in goodness(one_bin(1.0, 5.0), [0.0]).why
