"""pyhf with MINUIT as its minimiser: where a likelihood is built from a workspace and its maximum is found.

pyhf (Heinrich, Feickert, Stark, Cranmer, JOSS 6 (2021) 2823) is imported where it is used.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

FLOOR = 1e-9
"""Smallest number of events of a bin, where a step of the minimiser would make it negative."""

_MINUIT = {"tolerance": 1e-3}  # of the distance to the minimum: mu is then within about 1e-3 of its error
_CAREFULLY = {"tolerance": 1e-3, "strategy": 2}


class NoMinimumError(ValueError):
    """Error for a fit that fails."""

    def __init__(self, why: str = "MINUIT finds no valid minimum; use fewer or wider bins") -> None:
        super().__init__(why)


@contextmanager
def pyhf_with_minuit() -> Iterator[Any]:
    """Yield pyhf with numpy and MINUIT and without output; the previous settings are restored afterwards."""
    import pyhf

    before, log = pyhf.get_backend(), logging.getLogger("pyhf")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)  # its errors are raised as well, and are converted here
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(**_MINUIT))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # problems are raised as errors here
            yield pyhf
    finally:
        pyhf.set_backend(*before)
        log.setLevel(level)


def model_and_data(pyhf: Any, spec: dict[str, Any]) -> tuple[Any, Any]:
    """Return pyhf's model and data of a workspace."""
    pyhf_workspace = pyhf.Workspace(spec)
    model = pyhf_workspace.model(clip_bin_data=FLOOR)
    return model, pyhf_workspace.data(model)


def minimise(pyhf: Any, model: Any, data: Any) -> Any:
    """Return the Minuit object at its minimum; a second, more careful attempt follows if the first fails.

    HESSE is run again without limits: the mapping that keeps parameters within them distorts the likelihood,
    which made errors of nuisance parameters up to 3 % too small.

    Raises:
        NoMinimumError: there is no valid minimum.

    """
    options = {"return_result_obj": True, "return_uncertainties": True}
    try:
        minuit = tried(pyhf, pyhf.infer.mle.fit, data, model, **options)[1].minuit
    except NoMinimumError:
        minuit = tried(pyhf, pyhf.infer.mle.fit, data, model, **options, **_CAREFULLY)[1].minuit
    minuit.limits = [(-np.inf, np.inf)] * minuit.npar
    minuit.hesse()
    if minuit.covariance is None or not np.all(np.isfinite(minuit.errors)):
        raise NoMinimumError
    if np.min(model.main_model.expected_data(np.asarray(minuit.values))) <= FLOOR:
        raise NoMinimumError("the fit runs to where a bin expects no events; use fewer or wider bins")
    return minuit


def tried(pyhf: Any, function: Any, *arguments: Any, **options: Any) -> Any:
    """Run a fit of pyhf; raise NoMinimumError if it fails."""
    try:
        return function(*arguments, **options)
    except (pyhf.exceptions.FailedMinimization, AttributeError) as reason:
        # AttributeError: pyhf 0.7 reads a correlation from MINUIT where HESSE has found none
        raise NoMinimumError from reason
