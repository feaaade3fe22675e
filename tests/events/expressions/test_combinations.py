"""Pairs, triplets, frames and angles against itertools and closed forms."""

from __future__ import annotations

from itertools import combinations, pairwise, product

import numpy as np
import pytest

from hepda.events.expressions.columns import Column, ValueProblem, Vectors, offsets_of
from hepda.events.expressions.combinations import MAX_COMBINATIONS, combination, cross
from hepda.events.expressions.evaluator import Evaluator
from hepda.events.expressions.parser import parse

RNG = np.random.default_rng(5)
LENGTHS = RNG.integers(0, 7, 40)
OFFSETS = offsets_of(LENGTHS)
N = int(OFFSETS[-1])
PT, ETA, PHI = RNG.uniform(20, 200, N), RNG.normal(0, 1, N), RNG.uniform(-3, 3, N)
BRANCHES = {name: Column(v, OFFSETS) for name, v in (("pt", PT), ("eta", ETA), ("phi", PHI))}
VARIABLES = {"jets": parse("p4(pt, eta, phi, 5)"), "total": parse("sum(jets)")}


def worked_out(text: str) -> Column:
    value = Evaluator(BRANCHES, VARIABLES, len(LENGTHS)).value(parse(text))
    assert isinstance(value, Column)
    return value


@pytest.mark.parametrize("size", [2, 3])
def test_combinations_are_those_of_itertools(size: int) -> None:
    lists = [list(range(a, b)) for a, b in pairwise(OFFSETS)]
    members = [combination(size, place)(Column(np.arange(N), OFFSETS)) for place in range(size)]
    offsets = [m.offsets for m in members if isinstance(m, Column)]
    for event, objects in enumerate(lists):
        span = slice(offsets[0][event], offsets[0][event + 1])
        combinations_of_event = list(zip(*(m.values[span].tolist() for m in members), strict=True))
        assert sorted(combinations_of_event) == sorted(combinations(objects, size))
        assert len(combinations_of_event) == len(set(combinations_of_event))


def test_crosses_are_those_of_itertools() -> None:
    lengths = RNG.integers(0, 4, len(LENGTHS))
    other = Column(np.arange(lengths.sum()) + 1000, offsets_of(lengths))
    elements = Column(np.arange(N), OFFSETS)
    first, second = cross(0)(elements, other), cross(1)(elements, other)
    assert isinstance(first, Column)
    assert isinstance(second, Column)
    for event in range(len(LENGTHS)):
        a = elements.values[OFFSETS[event] : OFFSETS[event + 1]].tolist()
        b = other.values[other.offsets[event] : other.offsets[event + 1]].tolist()
        span = slice(first.offsets[event], first.offsets[event + 1])
        assert list(zip(first.values[span], second.values[span], strict=True)) == list(product(a, b))


def test_lists_of_pairs_agree_with_the_reductions() -> None:
    masses = worked_out("min(mass(pair_first(jets) + pair_second(jets)))")
    shortcut = worked_out("pair_mass_min(jets)")
    has_pair = LENGTHS >= 2
    np.testing.assert_allclose(masses.values[has_pair], shortcut.values[has_pair], rtol=1e-9)
    assert (masses.missing == shortcut.missing).all()
    angles = worked_out("max(delta_r(pair_first(jets), pair_second(jets)))")
    np.testing.assert_allclose(
        angles.values[has_pair], worked_out("pair_delta_r_max(jets)").values[has_pair], rtol=1e-9
    )


def test_too_many_combinations_are_refused() -> None:
    with pytest.raises(ValueProblem, match=r"an event has 61 objects; combinations of 2 are formed of 60 at most"):
        combination(2, 0)(Column(np.arange(61), np.array([0, 61])))
    side = int(np.sqrt(MAX_COMBINATIONS)) + 1
    with pytest.raises(ValueProblem, match="at once"):
        cross(0)(Column(np.zeros(side), np.array([0, side])), Column(np.zeros(side), np.array([0, side])))


def test_four_vectors_by_vector_hold_their_closed_forms() -> None:
    energy = np.sqrt((PT * np.cosh(ETA)) ** 2 + 25)
    pz = PT * np.sinh(ETA)
    np.testing.assert_allclose(
        worked_out("rapidity(jets)").values, 0.5 * np.log((energy + pz) / (energy - pz)), rtol=1e-9
    )
    np.testing.assert_allclose(worked_out("cos_theta(jets)").values, np.tanh(ETA), rtol=1e-9)
    np.testing.assert_allclose(worked_out("gamma(jets)").values, energy / 5, rtol=1e-6)
    np.testing.assert_allclose(worked_out("et(jets)").values, energy / np.cosh(ETA), rtol=1e-9)
    direction = np.stack([np.cos(PHI), np.sin(PHI), np.sinh(ETA)]) / np.cosh(ETA)
    leading = np.repeat(OFFSETS[:-1], LENGTHS)
    angle = np.arccos(np.clip((direction * direction[:, leading]).sum(axis=0), -1, 1))
    np.testing.assert_allclose(worked_out("delta_angle(jets, jets[0])").values, angle, atol=1e-6)


def test_in_its_own_frame_a_sum_is_at_rest() -> None:
    has_vector = LENGTHS >= 1
    np.testing.assert_allclose(worked_out("momentum(sum(in_frame(jets, total)))").values[has_vector], 0, atol=1e-6)
    np.testing.assert_allclose(worked_out("mass(jets)").values, 5, rtol=1e-6)
    moved = worked_out("mass(in_frame(jets, total))")
    wide = np.repeat(LENGTHS, LENGTHS) > 1  # one jet alone: its own energy is its mass, to rounding
    np.testing.assert_allclose(moved.values[wide], 5, rtol=1e-4)


def test_coordinates_give_the_same_four_vectors() -> None:
    texts = [
        "p4(pt, eta, phi, 5)",
        "p4_xyz(px(jets), py(jets), pz(jets), energy(jets))",
        "p4_energy(pt, eta, phi, energy(jets))",
    ]
    vectors = [Evaluator(BRANCHES, VARIABLES, len(LENGTHS)).value(parse(text)) for text in texts]
    for other in vectors[1:]:
        assert isinstance(other, Vectors)
        for name in ("px", "py", "pz", "energy"):
            np.testing.assert_allclose(getattr(other, name), getattr(vectors[0], name), rtol=1e-12)
