"""Attributes of images that are drawn with known ones, and their bins."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hepda.errors import DataError
from hepda.generators.semantics.attributes import ATTRIBUTES, UNITS, attributes, binned, slant, thickness, width

SIZE = 28


def bar(thick: float, degrees: float, length: float = 18.0, size: int = SIZE) -> NDArray[np.uint8]:
    """A bar that is sheared to the right, `thick` pixels across each row, drawn with ten times as many pixels."""
    fine = 10
    at = (np.arange(size * fine) + 0.5) / fine - size / 2
    y, x = at[:, None], at[None, :]
    inside = (np.abs(x + np.tan(np.radians(degrees)) * y) < thick / 2) & (np.abs(y) < length / 2)
    mean = inside.reshape(size, fine, size, fine).mean(axis=(1, 3))
    image: NDArray[np.uint8] = (255.0 * mean).round().astype(np.uint8)[None, None]
    return image


@pytest.mark.parametrize("degrees", [-30.0, 0.0, 20.0])
def test_the_slant_is_the_angle_of_a_bar_and_its_width_does_not_depend_on_it(degrees: float) -> None:
    image = bar(4.0, degrees)
    assert slant(image)[0] == pytest.approx(degrees, abs=0.5)
    # A uniform bar of width 4 has the variance 16 / 12; a pixel adds up to 1/12, which its grey values spread.
    assert width(image)[0] == pytest.approx(np.sqrt(16 / 12), rel=0.04)


@pytest.mark.parametrize("thick", [2.0, 3.0, 4.0, 6.0])
def test_the_thickness_is_that_of_a_bar(thick: float) -> None:
    """The mean distance of a rectangle a x b (a > b) to its edge is b / 4 - b^2 / (12 a)."""
    assert thickness(bar(thick, 0.0))[0] == pytest.approx(thick - thick**2 / (3 * 18.0), rel=0.06)


def test_a_disk_and_what_does_not_change_a_thickness() -> None:
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    disk = np.where(np.hypot(x, y) < 9.0, 255, 0).astype(np.uint8)[None, None]
    assert thickness(disk)[0] == pytest.approx(4 * 9.0 / 3, rel=0.06)
    image = bar(4.0, 0.0)
    moved = np.roll(image, (2, 3), axis=(2, 3))
    faint = (image * 0.5).astype(np.uint8)
    noisy = np.maximum(image, np.random.default_rng(1).integers(0, 20, image.shape).astype(np.uint8))
    for other in (moved, faint, noisy):
        np.testing.assert_allclose(attributes(other), attributes(image), rtol=0.01, atol=0.05)


def test_attributes_come_in_the_order_of_the_names() -> None:
    images = np.concatenate([bar(3.0, 10.0), bar(5.0, -10.0)])
    found = attributes(images, ["slant", "thickness"])
    np.testing.assert_array_equal(found, np.column_stack([slant(images), thickness(images)]))
    assert ATTRIBUTES.keys() == UNITS.keys()


def test_bins_are_those_of_the_own_class() -> None:
    values = np.arange(200.0)
    label = np.repeat([0, 1], 100)
    bins = binned(values, label, 0.25)
    for one in (0, 1):
        assert np.bincount(bins[label == one]).tolist() == [25, 50, 25]
        assert values[(label == one) & (bins == 0)].max() < values[(label == one) & (bins == 1)].min()
    with pytest.raises(DataError, match=r"above 0 and below 0\.5"):
        binned(values, label, 0.5)


def test_images_without_ink_and_colours_have_no_attributes() -> None:
    empty = np.zeros((3, 1, 8, 8), np.uint8)
    with pytest.raises(DataError, match="3 of 3 images have no ink"):
        slant(empty)
    with pytest.raises(DataError, match="grey images"):
        thickness(np.zeros((3, 3, 8, 8), np.uint8))
