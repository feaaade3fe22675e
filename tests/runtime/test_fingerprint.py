"""A fingerprint sees every change of content, and no other processor's rounding."""

from __future__ import annotations

import numpy as np
import pytest

from hepda.runtime.fingerprint import differences, equal, fingerprint, fingerprints, names_text

RNG = np.random.default_rng(3)
FEATURES = RNG.normal(50.0, 20.0, (4000, 3)).astype(np.float32)


def changed(values: np.ndarray, place: object, by: object) -> np.ndarray:
    other = values.copy()
    other[place] = by
    return other


@pytest.mark.parametrize(
    "other",
    [
        changed(FEATURES, (17, 1), FEATURES[17, 1] * 1.02),
        changed(FEATURES, (17, 1), np.nan),
        FEATURES[:, [1, 0, 2]],
        FEATURES[np.r_[1, 0, 2:4000]],
        FEATURES[:-1],
        FEATURES.astype(np.int32),
        -FEATURES,
    ],
)
def test_another_content_is_seen(other: np.ndarray) -> None:
    assert not equal(fingerprint(FEATURES), fingerprint(other))


def test_rounding_is_no_other_content() -> None:
    rounded = np.nextafter(FEATURES, np.where(RNG.random(FEATURES.shape) < 0.5, np.inf, -np.inf).astype(np.float32))
    exact, of_rounded = fingerprint(FEATURES), fingerprint(rounded)
    assert exact["checksum"] != of_rounded["checksum"] and equal(exact, of_rounded)


@pytest.mark.parametrize("kind", [np.int8, np.uint64, np.bool_])
def test_whole_numbers_are_compared_exactly(kind: type) -> None:
    values = (RNG.random(50_000) < 0.5).astype(kind)
    assert equal(fingerprint(values), fingerprint(values.copy()))
    assert not equal(fingerprint(values), fingerprint(changed(values, 7, not values[7])))


def test_parts_that_may_come_and_go_and_those_that_may_not() -> None:
    parts = {"weight": np.ones(5), "column ht": np.zeros(5)}
    recorded = fingerprints(parts.items())
    assert differences(recorded, fingerprints([("weight", np.ones(5)), ("column met", np.ones(5))])) == []
    assert differences(recorded, fingerprints([("column ht", np.ones(5)), ("label", np.ones(5))])) == [
        "weight", "column ht", "label",
    ]  # fmt: skip
    assert names_text("abcdef") == "a, b, c, d and 2 more"


@pytest.mark.parametrize("shape", [(0,), (0, 3)])
def test_a_part_without_rows_has_a_fingerprint(shape: tuple[int, ...]) -> None:
    """A table of variations has no rows of samples that are not varied."""
    empty = fingerprint(np.zeros(shape, np.float32))
    assert equal(empty, fingerprint(np.zeros(shape, np.float32)))
    assert not equal(empty, fingerprint(np.ones((2, *shape[1:]), np.float32)))
