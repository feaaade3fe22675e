"""Parts of a bias of mu: against closed forms, the fit to everything together, and replicas of the pseudo-data."""

import numpy as np
import pytest

from hepda.evaluation.fits.studies.origins import ProcessContents, origins
from hepda.evaluation.fits.toys import expected_fits
from tests.evaluation.fits.regions import one_bin, three_regions

RNG = np.random.default_rng(5)


def contents_of(templates, factors=None, changes=None, share=0.04):
    """The processes of templates with other rates and shapes in the pseudo-data, as events of weight `share`."""
    found = {}
    for name in templates.samples:
        expected = np.concatenate(
            [next(s.sumw for s in channel.samples if s.name == name) for channel in templates.channels]
        )
        sumw = expected * (factors or {}).get(name, 1.0) * (changes or {}).get(name, np.ones(len(expected)))
        found[name] = ProcessContents(expected, sumw, share * np.abs(sumw))
    return found


def by_part(found):
    return {(o.process, o.part, o.region): (o.value, o.error) for o in found}


def test_of_a_counting_experiment():
    """mu = (n - b) / s: a rate's part is its excess over s, and its error that of the pseudo-data."""
    templates = one_bin(20.0, 100.0)
    found = by_part(origins(templates, contents_of(templates, {"background": 1.1, "signal": 0.7})))
    assert found["background", "rate", None] == (pytest.approx(10 / 20), pytest.approx(np.sqrt(0.04 * 110) / 20))
    assert found["signal", "rate", None] == (pytest.approx(-0.3), pytest.approx(np.sqrt(0.04 * 14) / 20))
    shapes = [value for (_, part, _), value in found.items() if part == "shape"]
    assert shapes == [(pytest.approx(0.0, abs=1e-9), pytest.approx(0.0))] * 2
    assert not [part for _, part, _ in found if part == "regions"]


def test_a_free_rate_takes_the_rate_and_nothing_else():
    templates = three_regions(free=("ttb",))
    found = by_part(origins(templates, contents_of(templates, {"ttb": 1.4})))
    assert found["ttb", "rate", None][0] == pytest.approx(0.0, abs=1e-6)
    moved = np.concatenate([np.ones(4), np.full(3, 1.1), np.full(2, 1.3)])
    found = by_part(origins(templates, contents_of(templates, changes={"ttb": moved})))
    assert abs(found["ttb", "rate", None][0]) < 1e-6 < 0.02 < found["ttb", "regions", None][0]
    assert [abs(found["ttb", "shape", r][0]) < 1e-9 for r in templates.slices] == [True] * 3


def test_parts_add_up_to_the_bias():
    templates = three_regions(free=("ttb",))
    bins = templates.bins
    changes = {name: 1 + 0.03 * RNG.standard_normal(bins) for name in templates.samples}
    processes = contents_of(templates, {"ttlight": 0.97, "ttb": 1.2, "ttH": 0.95}, changes)
    found = origins(templates, processes)
    assert len(found) == 3 * (2 + 3)
    (together,) = expected_fits(templates, sum(p.sumw for p in processes.values())[None], [1.0])
    total = sum(o.value for o in found)
    assert abs(together.mu - 1) > 0.05
    assert total == pytest.approx(together.mu - 1, abs=0.1 * abs(together.mu - 1))


def test_errors_are_the_spread_of_replicas():
    templates = three_regions(free=("ttb",))
    processes = contents_of(templates, {"ttb": 1.1}, share=0.1)
    expected = by_part(origins(templates, processes))
    replicas = []
    for _ in range(300):
        drawn = {
            name: ProcessContents(p.expected, 0.1 * RNG.poisson(p.sumw / 0.1), p.sumw2) for name, p in processes.items()
        }
        replicas.append([o.value for o in origins(templates, drawn)])
    spread = np.std(np.array(replicas, dtype=float), axis=0, ddof=1)
    errors = np.array([error for _, error in expected.values()])
    large = errors > 0.02 * errors.max()
    assert spread[large] == pytest.approx(errors[large], rel=0.15)  # 0.04 of 300 replicas


def test_a_part_that_makes_a_bin_negative_is_not_fitted():
    templates = one_bin(20.0, 100.0)
    processes = contents_of(templates, {"background": -0.5})
    value, error = by_part(origins(templates, processes))["background", "rate", None]
    assert value is None and error is None
