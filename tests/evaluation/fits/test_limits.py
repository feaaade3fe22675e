import numpy as np
import pytest

from hepda.errors import DataError
from hepda.evaluation.fits.fitting import workspace
from hepda.evaluation.fits.limits import upper_limit
from hepda.evaluation.fits.minuit import model_and_data, pyhf_with_minuit
from tests.evaluation.fits.regions import one_bin, region


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])  # a best fit above and one below zero
def test_cls_at_the_limits_is_what_pyhf_says(seed):
    templates = region(scale=0.05, bins=4)
    truth = templates.total(0.8 if seed == 1 else 0.0) * (1.0 if seed == 1 else np.array([1.0, 1.0, 0.9, 0.8]))
    counts = np.round(truth)
    result = upper_limit(templates, counts)
    with pyhf_with_minuit() as pyhf:
        model, data = model_and_data(pyhf, workspace(templates, counts))
        bounds, poi = model.config.suggested_bounds(), model.config.poi_index
        bounds[poi] = (0.0, bounds[poi][1])

        def cls(mu):
            observed, expected = pyhf.infer.hypotest(mu, data, model, par_bounds=bounds, return_expected_set=True)
            return float(observed), [float(x) for x in expected]

        assert cls(result.observed)[0] == pytest.approx(0.05, rel=0.01)
        assert cls(result.expected)[1][2] == pytest.approx(0.05, rel=0.01)
        assert cls(result.band[0])[1][0] == pytest.approx(0.05, rel=0.01)
        assert cls(result.band[3])[1][4] == pytest.approx(0.05, rel=0.01)
    assert sorted([*result.band, result.expected]) == [*result.band[:2], result.expected, *result.band[2:]]


def test_without_background_uncertainty_the_median_is_a_formula():
    # large counts: q~ is a parabola, CLs = 2 (1 - Phi(mu / sigma)) for the median
    result = upper_limit(one_bin(100.0, 1e6))
    assert result.observed is None
    assert result.expected == pytest.approx(1.95996 * 1e3 / 100, rel=2e-3)
    assert upper_limit(one_bin(100.0, 1e6), level=0.1).expected == pytest.approx(1.64485 * 10, rel=2e-3)


def test_what_cannot_be_fitted_is_an_error_or_says_why():
    with pytest.raises(DataError, match="negative"):
        upper_limit(one_bin(1.0, 5.0), [-1.0])
    none = upper_limit(one_bin(1.0, 5.0), [0.0])
    assert none.observed is None and "no events" in none.why


@pytest.mark.parametrize("counts", [None, [5.0]])
def test_a_limit_that_the_statistics_of_the_simulation_hide_is_missing_and_says_why(counts):
    # with an error of the simulation as large as the yield q~ saturates: no strength is ever excluded
    none = upper_limit(one_bin(1.0, 5.0, background_error=5.0), counts)
    assert none.observed is none.expected is none.band is None
    assert "no strength is excluded" in none.why
    assert upper_limit(one_bin(1.0, 5.0, background_error=0.5), counts).expected > 0
