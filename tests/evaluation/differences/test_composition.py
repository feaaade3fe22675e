"""The shift of a background as rates and shapes of its processes: toys where one of them differs, and brute force."""

from __future__ import annotations

import numpy as np
import pytest

from hepda.errors import DataError
from hepda.evaluation.arrays import sample
from hepda.evaluation.differences.bias import efficiency_shift
from hepda.evaluation.differences.composition import at_cut, decompose, in_bins, of_ks, process_scores
from hepda.evaluation.differences.distances import kolmogorov_smirnov

NAMES = ("light", "charm", "bottom")
CENTRES = np.array([-1.0, 0.0, 1.0])
RATES = np.array([0.8, 0.15, 0.05])


def toy(seed, n=20_000, rates=RATES, centres=CENTRES, negative=0.0, name="domain"):
    """Scores of three processes: fractions and positions of a logistic shape; some weights are negative."""
    rng = np.random.default_rng(seed)
    process = rng.choice(3, n, p=np.asarray(rates) / np.sum(rates))
    score = 1 / (1 + np.exp(-(np.asarray(centres)[process] + rng.logistic(0, 0.6, n))))
    weight = rng.uniform(0.5, 1.5, n) * np.where(rng.random(n) < negative, -1.0, 1.0)
    return process_scores(score, weight, process, 3, name)


def brute(source, other, passed):
    """Rates and shapes of each process by loops over the events, in both orders."""
    share, efficiency = np.zeros((2, 3)), np.zeros((2, 3))
    for side, domain in enumerate((source, other)):
        total = sum(float(w) for w in domain.events.weight)
        for p in range(3):
            inside = outside = 0.0
            for score, weight, process in zip(domain.events.score, domain.events.weight, domain.process, strict=True):
                if process == p and passed(score):
                    inside += weight
                elif process == p:
                    outside += weight
            share[side, p], efficiency[side, p] = (inside + outside) / total, inside / (inside + outside)
    before = float(share[0] @ efficiency[0])
    rates_first = (share[1] - share[0]) * efficiency[0], (efficiency[1] - efficiency[0]) * share[1]
    shapes_first = (share[1] - share[0]) * efficiency[1], (efficiency[1] - efficiency[0]) * share[0]
    rates, shapes = (0.5 * (a + b) for a, b in zip(rates_first, shapes_first, strict=True))
    return rates, shapes, before, float(share[1] @ efficiency[1])


def test_the_parts_are_the_mean_of_both_orders_and_add_up_to_the_shift() -> None:
    source, other = (
        toy(1, 600, negative=0.1),
        toy(2, 500, (0.7, 0.2, 0.1), CENTRES + np.array([0.3, -0.2, 0.1]), negative=0.2),
    )
    result = at_cut(source, other, NAMES, 0.6)
    rates, shapes, before, after = brute(source, other, lambda score: score >= 0.6)
    assert result.rates.value == pytest.approx(rates.sum() / before, rel=1e-12)
    assert result.shapes.value == pytest.approx(shapes.sum() / before, rel=1e-12)
    for p, name in enumerate(NAMES):
        assert result.processes[name].rates.value == pytest.approx(rates[p] / before, rel=1e-12)
        assert result.processes[name].shapes.value == pytest.approx(shapes[p] / before, rel=1e-12)
    assert result.whole.value == pytest.approx(after / before - 1, rel=1e-12)
    assert result.rates.value + result.shapes.value == pytest.approx(result.whole.value, rel=1e-12)


def test_the_whole_is_the_efficiency_shift_of_the_tables_with_its_error() -> None:
    source, other, signal = toy(1, 800, negative=0.1), toy(2, 700, (0.7, 0.2, 0.1)), sample(np.linspace(0.4, 1, 300))
    edges = [0.0, 0.4, 0.6, 1.0]
    result = decompose(source, other, NAMES, signal=signal, efficiencies=(0.3, 0.6), edges=edges)
    shifts = efficiency_shift(
        signal.score, signal.weight, source.events.score, source.events.weight, other.events.score, other.events.weight,
        (0.3, 0.6),
    )  # fmt: skip
    for parts, shift in zip(result.shifts, shifts, strict=True):
        assert (parts.cut, parts.signal_efficiency) == (shift.cut, shift.signal_efficiency)
        assert parts.whole.value == pytest.approx(shift.shift, rel=1e-12)
        assert parts.whole.error == pytest.approx(shift.error, rel=1e-9)
    signed, location = kolmogorov_smirnov(source.events, other.events)
    assert result.ks.cut == location and result.ks.whole.value == pytest.approx(signed, rel=1e-12)
    assert result.ks.rates.value + result.ks.shapes.value == pytest.approx(signed, rel=1e-12)
    shares = [np.sum(d.events.weight[d.process == 2]) / d.events.sumw for d in (source, other)]
    assert [side.value for side in result.shares["bottom"]] == pytest.approx(shares)


def test_where_only_rates_differ_the_shapes_are_zero_and_the_other_way_round() -> None:
    nominal = toy(3)
    other_rates, other_shapes = toy(4, rates=(0.6, 0.25, 0.15)), toy(5, centres=CENTRES - 0.4)
    by_rates, by_shapes = (at_cut(nominal, other, NAMES, 0.7) for other in (other_rates, other_shapes))
    assert by_rates.rates.value > 10 * by_rates.rates.error and abs(by_rates.shapes.value) < 3 * by_rates.shapes.error
    assert by_shapes.shapes.value < -10 * by_shapes.shapes.error
    assert abs(by_shapes.rates.value) < 3 * by_shapes.rates.error
    ks = of_ks(nominal, other_rates, NAMES)
    assert abs(ks.rates.value) > 10 * ks.rates.error and abs(ks.shapes.value) < 3 * ks.shapes.error
    bins = in_bins(nominal, other_rates, 3, np.linspace(0, 1, 6))
    pulls = bins.shapes / bins.shapes_error
    assert np.all(np.abs(pulls) < 4) and np.max(np.abs(bins.rates / bins.rates_error)) > 10


def test_exact_copies_of_the_events_give_exact_zeros() -> None:
    """The same events of each process, only one of them counted twice: the shapes are equal to rounding."""
    nominal = toy(6, 500)
    double = np.where(nominal.process == 2, 2.0, 1.0)
    other = process_scores(nominal.events.score, nominal.events.weight * double, nominal.process, 3, "other")
    result = at_cut(nominal, other, NAMES, 0.7)
    assert result.shapes.value == pytest.approx(0, abs=1e-12) and result.rates.value > 0.05


def test_errors_are_the_spread_of_replicas_of_the_events() -> None:
    source = toy(7, 4000, negative=0.1)
    other = toy(8, 3000, (0.7, 0.2, 0.1), CENTRES - 0.2, negative=0.1)
    result = at_cut(source, other, NAMES, 0.7)
    rng = np.random.default_rng(9)
    values = []
    for _ in range(300):
        drawn = [
            process_scores(d.events.score, d.events.weight * rng.poisson(1, len(d.process)), d.process, 3, "replica")
            for d in (source, other)
        ]
        replica = at_cut(*drawn, NAMES, 0.7)
        bottom = replica.processes["bottom"]
        values.append([replica.rates.value, replica.shapes.value, bottom.rates.value, bottom.shapes.value])
    bottom = result.processes["bottom"]
    errors = [x.error for x in (result.rates, result.shapes, bottom.rates, bottom.shapes)]
    assert np.std(values, axis=0) == pytest.approx(errors, rel=0.16)  # 300 replicas: 4 %; and second order


def test_bins_add_up_and_the_last_bin_is_the_cut() -> None:
    source, other = toy(10, 800), toy(11, 900, (0.6, 0.3, 0.1), CENTRES + 0.2)
    bins, tail = in_bins(source, other, 3, [0.0, 0.5, 0.7, 1.0]), at_cut(source, other, NAMES, 0.7)
    assert bins.rates + bins.shapes == pytest.approx(bins.whole, rel=1e-12)
    for part in ("whole", "rates", "shapes"):
        expected = getattr(tail, part)
        assert getattr(bins, part)[-1] == pytest.approx(expected.value, rel=1e-12)
        assert getattr(bins, f"{part}_error")[-1] == pytest.approx(expected.error, rel=1e-12)


def test_a_process_that_one_domain_lacks_is_a_difference_of_rates() -> None:
    source = toy(12, 600)
    keep = source.process != 2
    other = process_scores(source.events.score[keep], source.events.weight[keep], source.process[keep], 3, "other")
    result = at_cut(source, other, NAMES, 0.6)
    bottom = result.processes["bottom"]
    assert bottom.shapes.value == 0 and bottom.rates.value < 0 and bottom.other_efficiency is None
    assert result.shapes.value == pytest.approx(0, abs=1e-12)
    assert result.rates.value == pytest.approx(result.whole.value, rel=1e-12)


def test_a_process_none_of_whose_events_pass_has_an_error() -> None:
    source, other = toy(13, 600), toy(14, 600)
    score = np.where(other.process == 2, 0.01, other.events.score)
    emptied = process_scores(score, other.events.weight, other.process, 3, "other")
    result = at_cut(source, emptied, NAMES, 0.6)
    n_eff = sample(score[other.process == 2], other.events.weight[other.process == 2]).n_eff
    bottom = result.processes["bottom"]
    assert bottom.other_efficiency.value == 0
    assert bottom.other_efficiency.error == pytest.approx(-np.log(1 - 0.6827) / n_eff)
    share = np.mean([np.sum(d.events.weight[d.process == 2]) / d.events.sumw for d in (source, emptied)])
    before = np.sum(source.events.weight[source.events.score >= 0.6]) / source.events.sumw
    of_source = share * bottom.source_efficiency.error / before  # the other term of the error
    assert bottom.shapes.error > np.hypot(share * bottom.other_efficiency.error / before, 0.7 * of_source)


def test_what_cannot_be_decomposed_has_a_reason() -> None:
    source, other = toy(15, 400), toy(16, 400)
    above = at_cut(source, process_scores(0.5 * other.events.score, None, other.process, 3, "o"), NAMES, 0.9)
    assert above.whole is None and above.why == "no event of the other domain passes the cut"
    nothing = at_cut(source, other, NAMES, 1.5)
    assert nothing.rates is None and nothing.why.startswith("source efficiency 0")
    negative = process_scores(other.events.score, np.where(other.process == 2, -1.0, 1.0), other.process, 3, "other")
    assert "do not sum to a positive number" in at_cut(source, negative, NAMES, 0.5).why
    assert np.isnan(in_bins(source, negative, 3, [0, 0.5, 1]).rates).all()
    with pytest.raises(ValueError, match="not in"):
        process_scores(other.events.score, None, other.process, 2, "other")
    with pytest.raises(DataError):
        process_scores([], None, [], 2, "other")
