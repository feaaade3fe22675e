"""Lists of numbers and four-vectors, held against Python's own lists and numpy's own functions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepda.events.expressions.columns import Column, Vectors, from_polar, offsets_of, ranked, reduce_lists, slice_lists
from hepda.events.expressions.evaluator import Evaluator
from hepda.events.expressions.lists import _order
from hepda.events.expressions.parser import parse

LISTS = st.lists(st.lists(st.integers(-3, 3), max_size=7), max_size=6)
ENDS = st.none() | st.integers(-8, 8)


def column(lists: list[list[int]], dtype: str = "int64") -> Column:
    flat = np.array([value for inner in lists for value in inner], dtype=dtype)
    return Column(flat, offsets_of(np.array([len(inner) for inner in lists], dtype=np.int64)))


def lists_of(jagged: Column) -> list[list[float]]:
    assert jagged.offsets is not None
    return [jagged.values[a:b].tolist() for a, b in pairwise(jagged.offsets)]


@given(LISTS, ENDS, ENDS, st.none() | st.integers(1, 4))
def test_slices_are_python_s(lists: list[list[int]], start: int | None, stop: int | None, step: int | None) -> None:
    assert lists_of(slice_lists(column(lists), start, stop, step)) == [inner[start:stop:step] for inner in lists]


@given(LISTS, st.booleans(), st.sampled_from(["int64", "uint64", "float64", "bool"]))
def test_orders_are_stable_sorts(lists: list[list[int]], falling: bool, dtype: str) -> None:
    lists = [[abs(value) if dtype in ("uint64", "bool") else value for value in inner] for inner in lists]
    key = column(lists, dtype)
    order = _order(key, key.offsets, -1 if falling else 1)
    for a, b in pairwise(key.offsets):
        keys = key.values[a:b].tolist()
        expected = sorted(range(len(keys)), key=keys.__getitem__, reverse=falling)
        # A falling stable sort keeps equal elements in their order, as `reverse` does.
        assert (order[a:b] - a).tolist() == expected


@pytest.mark.parametrize("special", [None, np.nan])
def test_long_lists_and_nan_are_sorted_another_way(special: float | None) -> None:
    rng = np.random.default_rng(3)
    lengths = np.array([200, 0, 3])
    values = rng.integers(0, 50, lengths.sum()).astype(np.float64)
    if special is not None:
        lengths, values = np.array([4, 0, 3]), values[:7]
        values[1] = special
    offsets = offsets_of(lengths)
    order = _order(Column(values, offsets), offsets)
    for a, b in pairwise(offsets):
        assert (order[a:b] - a).tolist() == np.argsort(-values[a:b], kind="stable").tolist()


@given(LISTS)
def test_reductions_and_lists_by_length(lists: list[list[int]]) -> None:
    jagged = column(lists)
    assert reduce_lists(np.add, jagged.values, jagged.offsets, 0).tolist() == [sum(inner) for inner in lists]
    table = ranked(jagged.offsets)
    by_length = sorted(range(len(lists)), key=lambda i: -len(lists[i]))
    assert table.order.tolist() == by_length
    for j, places in enumerate(table.places):
        assert jagged.values[places].tolist() == [lists[i][j] for i in by_length if len(lists[i]) > j]
    assert table.size == max(map(len, lists), default=0)


def test_polar_coordinates_are_as_exact_as_sine_and_cosine() -> None:
    phi = np.concatenate([np.linspace(-7, 7, 100_001), np.float32([np.pi, -np.pi]).astype(float), [np.pi, -np.pi, 0.0]])
    x, y = from_polar(np.full(len(phi), 3.0), phi)
    np.testing.assert_allclose(x, 3 * np.cos(phi), rtol=0, atol=3e-15)
    np.testing.assert_allclose(y, 3 * np.sin(phi), rtol=0, atol=3e-15)
    assert np.isnan(from_polar(np.ones(1), np.array([np.nan]))).all()


def test_light_fast_particles_keep_their_mass() -> None:
    rng = np.random.default_rng(4)
    pt, eta, phi = rng.uniform(20, 500, 1000), rng.normal(0, 1.5, 1000), rng.uniform(-4, 4, 1000)
    muons = Vectors.from_pt_eta_phi_mass(pt, eta, phi, np.full(1000, 0.1057))
    np.testing.assert_allclose(muons.mass, 0.1057, rtol=1e-3)
    assert np.abs(muons.phi).max() <= np.pi
    np.testing.assert_allclose(np.exp(1j * muons.phi), np.exp(1j * phi), rtol=0, atol=1e-14)


def test_elements_taken_of_elements_taken() -> None:
    rng = np.random.default_rng(5)
    vectors = Vectors.from_pt_eta_phi_mass(*rng.uniform(0.1, 3, (4, 20)), np.array([0, 20]))
    first, second = rng.permutation(20)[:12], rng.permutation(12)[:5]
    selected = vectors.take(first, None, np.arange(12) % 2 == 0).take(second, None)
    assert len(selected) == 5
    assert selected.missing is not None
    assert selected.missing.tolist() == (second % 2 == 0).tolist()
    for name in ("px", "py", "pz", "energy", "pt", "eta", "phi", "momentum", "mass"):
        np.testing.assert_allclose(getattr(selected, name), getattr(vectors, name)[first][second], rtol=1e-12)


def test_columns_cut_by_one_mask_have_the_same_lists() -> None:
    branches = {"pt": column([[3, 1], [2, 5, 0]]), "tag": column([[1, 1], [0, 2, 2]])}
    variables = {"good": parse("pt > 1")}
    evaluator = Evaluator(branches, variables, 2)
    pt, tag = (evaluator.value(parse(text)) for text in ("pt[good]", "tag[good]"))
    assert isinstance(pt, Column)
    assert isinstance(tag, Column)
    assert pt.offsets is tag.offsets
    assert lists_of(pt) == [[3], [2, 5]]
    assert lists_of(tag) == [[1], [0, 2]]
