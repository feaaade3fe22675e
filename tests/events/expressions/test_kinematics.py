"""Event variables against loops over events, on events with 0 to 9 objects."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from hepda.events.expressions import kinematics
from hepda.events.expressions.columns import Column, ValueProblem, Vectors, offsets_of
from hepda.events.expressions.evaluator import Evaluator
from hepda.events.expressions.parser import parse
from tests.reference import kinematics as slow


def make_events(seed: int = 3, n: int = 60) -> tuple[list[list[slow.Jet]], Vectors]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 10, n)
    m = int(lengths.sum())
    parts = (
        20 + rng.exponential(50, m),
        rng.normal(0, 1.3, m),
        rng.uniform(-np.pi, np.pi, m),
        rng.exponential(8, m),
    )
    offsets = offsets_of(lengths)
    jets = [tuple(float(x) for x in jet) for jet in zip(*parts, strict=True)]
    lists = [jets[a:b] for a, b in pairwise(offsets)]
    return lists, Vectors.from_pt_eta_phi_mass(*parts, offsets)


CASES: dict[str, tuple[int, Callable[[list[slow.Jet]], float]]] = {
    "ht(jets)": (0, lambda jets: sum(jet[0] for jet in jets)),
    "mass(sum(jets))": (1, slow.mass),
    "pt(sum(jets))": (1, slow.pt),
    "centrality(jets)": (1, slow.centrality),
    "pair_mass_min(jets)": (2, lambda j: min(slow.of_pairs(j, lambda a, b: slow.mass([a, b])))),
    "pair_mass_max(jets)": (2, lambda j: max(slow.of_pairs(j, lambda a, b: slow.mass([a, b])))),
    "pair_mass_mean(jets)": (2, lambda j: float(np.mean(slow.of_pairs(j, lambda a, b: slow.mass([a, b]))))),
    "pair_pt_max(jets)": (2, lambda j: max(slow.of_pairs(j, lambda a, b: slow.pt([a, b])))),
    "pair_delta_r_min(jets)": (2, lambda j: min(slow.of_pairs(j, slow.delta_r))),
    "pair_delta_r_max(jets)": (2, lambda j: max(slow.of_pairs(j, slow.delta_r))),
    "pair_delta_r_mean(jets)": (2, lambda j: float(np.mean(slow.of_pairs(j, slow.delta_r)))),
    "pair_delta_eta_max(jets)": (2, lambda j: max(slow.of_pairs(j, slow.delta_eta))),
    "pair_delta_phi_mean(jets)": (2, lambda j: float(np.mean(slow.of_pairs(j, slow.delta_phi)))),
    "pair_mass_nearest(jets, 125)": (2, lambda j: slow.mass_of_nearest(j, 2, 125)),
    "pair_mass_closest(jets)": (2, slow.mass_of_closest_pair),
    "triplet_mass_max_pt(jets)": (3, slow.mass_of_hardest_triplet),
    "triplet_mass_nearest(jets, 172.5)": (3, lambda j: slow.mass_of_nearest(j, 3, 172.5)),
    "fox_wolfram(jets, 0)": (1, lambda j: slow.fox_wolfram(j, 0)),
    "fox_wolfram(jets, 1)": (1, lambda j: slow.fox_wolfram(j, 1)),
    "fox_wolfram(jets, 4)": (1, lambda j: slow.fox_wolfram(j, 4)),
    "sphericity(jets)": (1, lambda j: 1.5 * float(slow.tensor_eigenvalues(j, 2)[1:].sum())),
    "sphericity(jets, 1)": (1, lambda j: 1.5 * float(slow.tensor_eigenvalues(j, 1)[1:].sum())),
    "aplanarity(jets)": (1, lambda j: 1.5 * float(slow.tensor_eigenvalues(j, 2)[2])),
    "aplanarity(jets, 1)": (1, lambda j: 1.5 * float(slow.tensor_eigenvalues(j, 1)[2])),
}


@pytest.mark.parametrize("text", CASES)
def test_against_loops(text: str) -> None:
    lists, vectors = make_events()
    needed, reference = CASES[text]
    evaluator = Evaluator({"jets": vectors}, {}, len(lists))  # type: ignore[dict-item]
    values, missing = evaluator.number(parse(text))
    gone = np.zeros(len(lists), bool) if missing is None else missing
    assert gone.tolist() == [len(jets) < needed for jets in lists]
    expected = [reference(jets) for jets in lists if len(jets) >= needed]
    np.testing.assert_allclose(values[~gone], expected, rtol=1e-9, atol=1e-7)


def test_eigenvalues_of_known_shapes() -> None:
    axes = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]

    def shape(directions: list[tuple[float, float, float]]) -> tuple[float, float]:
        both = np.array(directions + [(-x, -y, -z) for x, y, z in directions]) * 40.0
        energy = np.linalg.norm(both, axis=1)
        vectors = Vectors(*both.T, energy, np.array([0, len(both)]))
        return float(kinematics.sphericity(vectors).values[0]), float(kinematics.aplanarity(vectors).values[0])

    assert shape(axes) == pytest.approx((1.0, 0.5))
    assert shape(axes[:2]) == pytest.approx((0.75, 0.0))
    assert shape(axes[:1]) == pytest.approx((0.0, 0.0))


def test_transverse_mass_of_opposite_momenta() -> None:
    branches = {
        "pt": Column(np.array([40.0, 40.0])),
        "phi": Column(np.array([0.0, 0.5])),
        "met": Column(np.array([40.0, 10.0])),
        "met_phi": Column(np.array([np.pi, 0.5])),
    }
    values, _ = Evaluator(branches, {}, 2).number(parse("transverse_mass(pt, phi, met, met_phi)"))
    np.testing.assert_allclose(values, [80.0, 0.0], atol=1e-6)


def test_masses_do_not_depend_on_the_order_of_events() -> None:
    lists, vectors = make_events(seed=8)
    reverse = lists[::-1]
    flat = np.array([jet for jets in reverse for jet in jets]).T
    turned = Vectors.from_pt_eta_phi_mass(*flat, offsets_of(np.array([len(jets) for jets in reverse])))
    first, second = (kinematics.triplet_mass(v).values for v in (vectors, turned))
    np.testing.assert_array_equal(first, second[::-1])


def test_too_many_objects_are_refused() -> None:
    n = kinematics.MAX_TRIPLET_OBJECTS + 1
    ones = np.ones(n)
    vectors = Vectors.from_pt_eta_phi_mass(ones, ones, ones, ones, np.array([0, n]))
    with pytest.raises(ValueProblem, match="triplets are formed of"):
        kinematics.triplet_mass(vectors)


def test_no_events_at_all() -> None:
    empty = np.zeros(0)
    vectors = Vectors.from_pt_eta_phi_mass(empty, empty, empty, empty, np.array([0]))
    evaluator = Evaluator({"jets": vectors}, {}, 0)  # type: ignore[dict-item]
    for text in CASES:
        assert len(evaluator.number(parse(text))[0]) == 0
