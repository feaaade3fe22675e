"""The mean bias over seeds: errors of events and of trainings apart, and the paired difference with both."""

from __future__ import annotations

import numpy as np
import pytest

from hepda.events.fit.seeds import bias_over_seeds
from hepda.events.results.tables.fit_seeds import seeds_tables
from hepda.results.evaluation import FloatArray
from hepda.results.fit_file import ClosureVariants, FitEntry, FitFile, FittedModel

REPLICAS = 2000


def model(bias: float, moves: FloatArray, *, rate: float = 1.0, winkler: float = 0.5) -> FittedModel:
    toys = {
        "bias": 0.0, "bias_error": 0.0, "pull_mean": 0.0, "pull_width": 1.0, "coverage": 0.7, "coverage_error": 0.02,
        "width": 0.4, "winkler": winkler, "failed": 0, "toys": 500,
    }  # fmt: skip
    entry = {
        "truth": 1.0, "mu": 1 + bias, "error": 0.2, "low": 0.8 + bias, "high": 1.2 + bias, "pull": bias / 0.2,
        "sample_error": 0.1, "bias": bias, "goodness": 3.0, "ndf": 20, "rates": {"ttb": {"value": rate, "error": 0.1}},
        "toys": toys, "replicas": (1 + bias + moves).tolist(),
    }  # fmt: skip
    closure = ClosureVariants.from_json({"without_two_point": {"third": [entry]}, "all": None, "why": "the same"})
    return FittedModel.model_construct(closure=closure, expected=FitEntry.model_construct(error=0.17))


def runs(biases: dict[str, list[float]], moves: dict[str, FloatArray]) -> list[FitFile]:
    seeds = len(next(iter(biases.values())))
    return [
        FitFile.model_construct(
            models={name: model(of[s], moves[name], rate=1.0 + 0.1 * s, winkler=0.5 + s) for name, of in biases.items()}
        )
        for s in range(seeds)
    ]


def test_events_and_seeds_have_an_error_each() -> None:
    of_seeds = [-0.3, -0.2, -0.25, -0.35, -0.15]
    moves = np.random.default_rng(1).normal(0, 0.08, REPLICAS)
    average = bias_over_seeds(runs({"bdt": of_seeds}, {"bdt": moves}), "bdt")["bdt"]["third"]
    assert (average.seeds, average.bias) == (5, pytest.approx(-0.25))
    assert average.data_error == pytest.approx(moves.std(ddof=1))  # the same events: it does not fall with seeds
    assert average.noise == pytest.approx(np.std(of_seeds, ddof=1))
    assert average.noise_of_mean == pytest.approx(np.std(of_seeds, ddof=1) / np.sqrt(5))
    assert average.rates["ttb"] == (pytest.approx(1.2), pytest.approx(np.std([1, 1.1, 1.2, 1.3, 1.4], ddof=1)))
    assert (average.winkler, average.coverage, average.expected_error) == pytest.approx((2.5, 0.7, 0.17))
    assert average.smaller is None


def test_the_paired_difference_has_the_spread_of_both_draws() -> None:
    """Far from zero |bias| is linear, so that the variance is that of the events and of the mean of drawn seeds."""
    rng = np.random.default_rng(2)
    bdt, dann = rng.normal(-2.0, 0.06, 5), rng.normal(-1.0, 0.1, 5)
    common, own = rng.normal(0, 0.5, REPLICAS), rng.normal(0, 0.05, REPLICAS)
    fits = runs({"bdt": bdt.tolist(), "dann": dann.tolist()}, {"bdt": common, "dann": common + own})
    smaller = bias_over_seeds(fits, "bdt")["dann"]["third"].smaller
    assert smaller is not None
    narrow, wide = smaller
    assert narrow.value == pytest.approx(abs(bdt.mean()) - abs(dann.mean()))
    of_seeds = (bdt - dann).std() / np.sqrt(5)  # the same seeds are drawn for both models
    expected = np.hypot(0.05, of_seeds)  # what is common to the events cancels
    assert 0.5 * (narrow.high - narrow.low) == pytest.approx(expected, rel=0.08)
    assert 0.5 * (wide.high - wide.low) == pytest.approx(1.96 * expected, rel=0.1)


def test_what_some_seeds_lack_has_no_mean() -> None:
    moves = np.zeros(50)
    fits = runs({"bdt": [-0.2, -0.3], "dann": [-0.1, 0.0]}, {"bdt": moves, "dann": moves})
    del fits[1].models["dann"]  # type: ignore[attr-defined]
    assert list(bias_over_seeds(fits, "bdt")) == ["bdt"]
    short = runs({"bdt": [-0.2]}, {"bdt": moves}) + runs({"bdt": [-0.4]}, {"bdt": moves[:10]})
    average = bias_over_seeds(short, "bdt")["bdt"]["third"]
    assert average.bias == pytest.approx(-0.3) and average.data_error is None


def test_the_tables_tell_both_errors_and_the_difference() -> None:
    moves = np.random.default_rng(3).normal(0, 0.05, 200)
    fits = runs({"bdt": [-0.6, -0.5], "dann": [-0.1, -0.2]}, {"bdt": moves, "dann": moves})
    tables = {table.title: table for table in seeds_tables(fits, "bdt")}
    bias = tables["Bias of µ without the other generators as systematics, mean of 2 seeds"]
    assert bias.head == ["Model", "Expected error of µ", "Bias, third", "Noise of training, third"]
    assert [cell.text for cell in bias.rows[1]] == ["dann", "0.170", "−0.150 ± 0.052", "0.071"]
    (row,) = tables[
        "Bias of µ compared with the baseline, without the other generators as systematics, mean of 2 seeds"
    ].rows
    assert row[0].text == "dann" and row[1].text.startswith("0.40")
    rates = tables["Fitted rates without the other generators as systematics, mean of 2 seeds"]
    assert [cell.text for cell in rates.rows[0]] == ["bdt", "third", "1.050 ± 0.071"]
