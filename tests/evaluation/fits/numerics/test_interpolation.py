import numpy as np
import pytest

from hepda.evaluation.fits.numerics.interpolation import RateFactors, additive
from tests.reference.histfactory import interpolated_rate, interpolated_shape

ALPHA = np.linspace(-3, 3, 49)


def test_shapes_are_those_of_the_definition_and_of_pyhf():
    from pyhf.interpolators.code4p import _slow_code4p

    up, nominal, down = 1.3, 1.0, 0.8
    weights = additive(ALPHA)[0]
    result = weights[0] * (up - nominal) + weights[1] * (nominal - down)
    np.testing.assert_allclose(result, [interpolated_shape(nominal, up, down, a) for a in ALPHA], atol=1e-14)
    pyhf = _slow_code4p([], subscribe=False)
    np.testing.assert_allclose(result, [pyhf.summand(down, nominal, up, a) for a in ALPHA], atol=1e-14)


@pytest.mark.parametrize(("up", "down"), [(1.3, 0.8), (1.2, 1.1), (0.9, 1.0), (1.0, 1.0)])
def test_rates_are_those_of_the_definition_and_of_pyhf(up, down):
    from pyhf.interpolators.code4 import _slow_code4

    result = np.exp(RateFactors.of(np.array([[up]]), np.array([[down]])).at(ALPHA[:, None])[0][:, 0, 0])
    np.testing.assert_allclose(result, [interpolated_rate(up, down, a) for a in ALPHA], rtol=1e-12)
    pyhf = _slow_code4([], subscribe=False)
    np.testing.assert_allclose(result, [pyhf.product(down, 1.0, up, a) for a in ALPHA], rtol=1e-12)


def test_derivatives_are_differences():
    h, alpha = 1e-6, ALPHA + 0.013
    factors = RateFactors.of(np.array([[1.4]]), np.array([[0.9]]))
    for order in (0, 1):
        shapes = (additive(alpha + h)[order] - additive(alpha - h)[order]) / (2 * h)
        np.testing.assert_allclose(additive(alpha)[order + 1], shapes, atol=1e-8)
        rates = (factors.at((alpha + h)[:, None])[order] - factors.at((alpha - h)[:, None])[order]) / (2 * h)
        np.testing.assert_allclose(factors.at(alpha[:, None])[order + 1], rates, atol=1e-8)
