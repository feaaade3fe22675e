"""The rule of the choice, on numbers made up for it."""

import numpy as np
import pytest

from hepda.errors import ConfigError
from hepda.workflows.scan.choice import Criterion, Result, check_criterion, choose, deviation, objective


def result(*numbers, failed=False):
    """A point of as many seeds as there are mappings of numbers."""
    return Result(None, list(range(len(numbers))), [{"numbers": n, "failed": failed, "why": []} for n in numbers])


def point(loss, probe, **more):
    return result({"choice_loss": loss, "choice_probe": probe, **more})


def test_means_and_deviations_leave_out_what_is_not_there():
    computed = result({"a": 1.0, "b": 2.0}, {"a": 4.0, "b": None}, {"a": 4.0})
    assert computed.mean == {"a": 3.0, "b": 2.0} and computed.count == {"a": 3, "b": 1}
    assert computed.std["a"] == pytest.approx(np.std([1, 4, 4], ddof=1)) and computed.std["b"] is None
    assert deviation([]) is None and result({"a": None}).mean == {"a": None}


def test_physics_takes_the_lowest_probe_among_points_near_the_smallest_loss():
    baseline, near, far = point(0.500, 0.60), point(0.520, 0.55), point(0.530, 0.51)
    rule = Criterion("physics", 0.05)
    assert choose([baseline, near, far], rule) is near
    assert choose([baseline, near, far], Criterion("physics", 0.07)) is far
    assert choose([baseline, near, far], Criterion("physics", 0.0)) is baseline
    assert choose([near, far], rule) is far and choose([far], rule, best_loss=0.5) is None


def test_below_a_half_a_probe_is_blind_and_the_smaller_loss_decides():
    assert choose([a := point(0.500, 0.499), point(0.510, 0.480)], Criterion()) is a


def test_failed_points_and_points_without_numbers_are_never_chosen():
    failed = result({"choice_loss": 0.1, "choice_probe": 0.5}, failed=True)
    lacking = result({"choice_loss": 0.1, "choice_probe": None})
    good = point(0.5, 0.6, choice_entropy=-1.0)
    assert choose([failed, lacking, good], Criterion()) is good and choose([failed, lacking], Criterion()) is None
    assert choose([failed, good, point(1, 1, choice_entropy=-2.0)], Criterion("entropy")) is good
    assert objective(failed, [good], Criterion()) is None


def test_the_objective_of_a_search_prefers_what_the_choice_prefers():
    points = [point(0.500, 0.60), point(0.520, 0.55), point(0.530, 0.51), point(0.60, 0.50)]
    values = [objective(p, points, Criterion()) for p in points]
    assert values[0] == pytest.approx(-0.10) and values[1] == pytest.approx(-0.05)
    assert values[2] == pytest.approx(-0.01 - 0.01) and values[3] == pytest.approx(-0.15)
    assert objective(point(1, 1, choice_dev=-3.0), [], Criterion("dev")) == -3.0


def test_criteria_are_checked():
    check_criterion(Criterion("density"), networks_only=True)
    with pytest.raises(ConfigError, match=r"no such criterion.*physics"):
        check_criterion(Criterion("physic"), networks_only=True)
    with pytest.raises(ConfigError, match="trees"):
        check_criterion(Criterion("reverse"), networks_only=False)
