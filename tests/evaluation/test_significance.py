import numpy as np
import pytest

from hepda.evaluation.significance import asimov
from tests.reference import evaluation as reference

GRID = [
    (s, b, sigma)
    for s in (1e-9, 1e-3, 1.0, 30.0, 1e4)
    for b in (1e-6, 0.5, 50.0, 1e8)
    for sigma in (0.0, 1e-12, 1e-3, 1.0, 30.0, 1e3)
]


def test_equals_the_printed_formula_with_many_digits():
    for s, b, sigma in GRID:
        exact = reference.asimov(s, b, sigma)
        assert asimov(s, b, sigma) == pytest.approx(exact, rel=1e-12, abs=0), (s, b, sigma)


def test_limits():
    assert asimov(1e-3, 1e4) == pytest.approx(1e-3 / 100, rel=1e-6)
    assert asimov(1e-3, 1e4, 50) == pytest.approx(1e-3 / np.sqrt(1e4 + 2500), rel=1e-6)
    assert asimov(1, 1e8, 1e6) == pytest.approx(1 / 1e6, rel=1e-3)  # s / sigma_b
    assert asimov(10, 100, 1e-9) == pytest.approx(float(asimov(10, 100)), rel=1e-12)


def test_textbook_value():
    assert asimov(10, 10) == pytest.approx(np.sqrt(2 * (20 * np.log(2) - 10)))


def test_uncertainty_only_lowers_and_signal_only_raises():
    sigma = np.linspace(0, 50, 30)
    assert np.all(np.diff(asimov(20, 100, sigma)) < 0)
    assert np.all(np.diff(asimov(np.linspace(0, 50, 30), 100, 10)) > 0)


def test_edges_are_explicit():
    np.testing.assert_array_equal(asimov([1, 0, 0, 1], [0, 0, 10, 0], [0, 0, 1, 2]), [np.inf, 0, 0, 0])
    assert np.all(np.isnan(asimov([1, -1], [-1, 1])))
    with pytest.raises(ValueError, match="never negative"):
        asimov(1, 1, -0.1)


def test_pyhf_style_profile_likelihood():
    """It is the profile likelihood ratio of n = s + b and a control count b^2 / v, on Asimov data."""
    from scipy.optimize import minimize_scalar

    s, b, sigma = 12.0, 30.0, 6.0
    tau = b / sigma**2
    n, m = s + b, tau * b

    def nll(rate):
        return rate - n * np.log(rate) + tau * rate - m * np.log(tau * rate)

    best = minimize_scalar(nll, bounds=(1, 200), method="bounded", options={"xatol": 1e-10}).fun
    full = n - n * np.log(n) + m - m * np.log(m)
    assert asimov(s, b, sigma) == pytest.approx(np.sqrt(2 * (best - full)), rel=1e-6)
