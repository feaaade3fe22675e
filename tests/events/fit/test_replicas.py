"""Bootstrap replicas of pseudo-data: paired between models, with the spread that finite events have."""

from __future__ import annotations

import numpy as np
import pytest

from hepda.evaluation.fits.channels import SampleTemplate
from hepda.evaluation.fits.templates import Templates
from hepda.evaluation.fits.toys import expected_fits
from hepda.events.fit.replicas import PseudoEvents, replicated_strengths, with_paired
from hepda.results.fit_file import FittedModel

BINS = 4


def events(n: int = 4000, *, total: float = 1000.0, seed: int = 1) -> PseudoEvents:
    rng = np.random.default_rng(seed)
    index = rng.choice(BINS, n, p=[0.4, 0.3, 0.2, 0.1]).astype(np.intp)
    return PseudoEvents(index, np.full(n, total / n), rng.integers(0, 2**63, n, dtype=np.uint64))


def test_a_replica_depends_on_the_keys_alone_and_counts_are_poisson() -> None:
    sample = events()
    one = sample.replica(3, BINS)
    order = np.random.default_rng(0).permutation(len(sample.key))
    shuffled = PseudoEvents(sample.index[order], sample.weight[order], sample.key[order])
    assert np.allclose(shuffled.replica(3, BINS), one) and not np.allclose(sample.replica(4, BINS), one)
    rows = np.stack([sample.replica(k, BINS) for k in range(400)])
    sumw = np.bincount(sample.index, weights=sample.weight, minlength=BINS)
    sumw2 = np.bincount(sample.index, weights=sample.weight**2, minlength=BINS)
    assert np.all(np.abs(rows.mean(axis=0) - sumw) < 4 * np.sqrt(sumw2 / 400))
    assert rows.std(axis=0) == pytest.approx(np.sqrt(sumw2), rel=0.12)
    assert abs(np.corrcoef(rows[:, 0], rows[:, 1])[0, 1]) < 0.2


def test_the_spread_of_mu_is_the_linear_error_of_the_pseudo_data() -> None:
    signal = SampleTemplate("s", True, np.array([5.0, 10.0, 20.0, 30.0]), np.full(BINS, 0.1))
    background = SampleTemplate("b", False, np.array([395.0, 290.0, 180.0, 70.0]), np.full(BINS, 1.0))
    templates = Templates.of_one("all", np.arange(BINS + 1.0), (signal, background))
    sample = events()
    mu = replicated_strengths(templates, sample, 400)
    sumw = np.bincount(sample.index, weights=sample.weight, minlength=BINS)
    sumw2 = np.bincount(sample.index, weights=sample.weight**2, minlength=BINS)
    (fit,) = expected_fits(templates, sumw[None], [1.0], variances=sumw2[None])
    assert fit.sample_error is not None and fit.mu is not None
    assert np.isfinite(mu).all() and mu.std() == pytest.approx(fit.sample_error, rel=0.12)
    assert mu.mean() == pytest.approx(fit.mu, abs=4 * fit.sample_error / 20)


def model(bias: float, replicas: list[float | None]) -> FittedModel:
    toys = dict.fromkeys(("bias", "bias_error", "pull_mean", "pull_width", "coverage", "coverage_error", "width"))
    entry = {
        "truth": 1.0, "mu": 1 + bias, "error": 0.2, "low": None, "high": None, "pull": None, "sample_error": 0.1,
        "bias": bias, "toys": {**toys, "failed": 0, "toys": 0}, "replicas": replicas,
    }  # fmt: skip
    return FittedModel.model_construct(closure={"without_two_point": {"third": [entry]}}, paired={})


def test_differences_to_the_baseline_are_paired() -> None:
    """Replicas that move together leave no error of the difference, however large their own spread is."""
    from hepda.results.fit_file import ClosureVariants

    spread = np.random.default_rng(2).normal(0, 0.1, 300)

    def fitted(bias: float, moves: np.ndarray) -> FittedModel:
        content = model(bias, list(1 + bias + moves)).closure
        return FittedModel.model_construct(closure=ClosureVariants.from_json(content), paired={})

    models = {"bdt": fitted(-0.6, spread), "dann": fitted(-0.4, spread), "other": fitted(0.5, -spread)}
    paired = {name: of.paired for name, of in with_paired(models, "bdt").items()}
    assert paired["bdt"] == {}
    same = paired["dann"]["without_two_point"]["third"]
    assert same.value == pytest.approx(0.2) == pytest.approx(same.low) == pytest.approx(same.high)
    mirrored = paired["other"]["without_two_point"]["third"]  # |mu - 1| of both fall together as well
    assert mirrored.value == pytest.approx(0.1) and mirrored.high - mirrored.low < 1e-6
    assert with_paired(models, "absent")["dann"].paired == {}
