"""Newton's method on many functions at once: first steps that lead too far."""

from __future__ import annotations

import numpy as np
import pytest

from hepda.evaluation.fits.numerics.newton import Derivatives, minimise
from hepda.results.evaluation import FloatArray


def exponential(point: FloatArray, _: object) -> Derivatives:
    """exp(x) - 2 x, which is smallest at ln 2; far below it, Newton's step is exp(-x) times too long."""
    rising = np.exp(point)
    curvature = rising[:, :, None]
    return Derivatives((rising - 2 * point)[:, 0], rising - 2, curvature, curvature)


@pytest.mark.filterwarnings("error")
def test_a_step_to_where_numbers_overflow_is_halved_and_warns_of_nothing() -> None:
    found = minimise(exponential, np.array([[-20.0], [0.0]]))
    assert found.converged.all()
    assert found.point[:, 0] == pytest.approx(np.log(2.0), abs=1e-4)
