"""Which images are for what, and how images become rows and rows images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hepda.errors import ConfigError, DataError
from hepda.generators.images import PixelRows, load
from tests.generators.analysis import small


def test_no_image_is_used_for_two_things_and_all_are_used() -> None:
    images = load(small(evaluation={"samples": 449}))
    assert (len(images.train), len(images.judge), len(images.test)) == (944, 404, 449)
    parts = [images.train, images.judge, images.test]
    seen = [{pixels.tobytes() for pixels in part.pixels} for part in parts]
    assert sum(len(of) for of in seen) == len(set().union(*seen)) == 1797
    assert {pixels.tobytes() for pixels in images.known.pixels} <= seen[0] and len(images.known) == 449
    again = load(small(seed=2, evaluation={"samples": 449}))
    assert {pixels.tobytes() for pixels in again.test.pixels} == seen[2]  # the split of the data set
    assert {pixels.tobytes() for pixels in again.judge.pixels} != seen[1]


def test_rows_become_the_images_that_they_were() -> None:
    random = np.random.default_rng(1)
    every = random.integers(0, 256, (3, 3, 4, 4)).astype(np.uint8)
    scale = PixelRows.of(every)
    rows = scale.rows(every)
    assert rows.min() >= -1.0 and rows.max() <= 1.0 and np.array_equal(scale.pixels(rows), every)


def test_a_generated_pixel_has_one_of_few_values_of_the_real_ones() -> None:
    scale = PixelRows.of(np.array([[[[0, 100], [200, 0]]]], np.uint8))
    assert scale.levels == (0, 100, 200)
    rows = torch.tensor([-1.0, -0.9, 2 * 51 / 255 - 1, 2 * 149 / 255 - 1, 2 * 151 / 255 - 1, 1.0]).reshape(1, 1, 1, 6)
    assert scale.pixels(rows).ravel().tolist() == [0, 0, 100, 100, 200, 200]
    assert len(PixelRows.of(load(small()).train.pixels).levels) == 17  # of scikit-learn's digits


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evaluation": {"samples": 450}}, "450 generated images cannot be compared with 449 test images"),
        ({"judge": {"share": 0.002}}, "is left for the network that recognises: change `judge.share`"),
        ({"judge": {"share": 0.998}}, "is left for the models: change `judge.share`"),
    ],
)
def test_images_that_do_not_suffice_are_told(changes: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(small(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": {"patience": 3}}, r"training\.patience: has no effect"),
        ({"source": {"data": "digitz"}}, r"source\.data: 'digitz' is not a data set"),
        ({"condition": None, "models": {"a": {"kind": "mixture"}}}, r"models\.a\.conditional: there is no `condition`"),
        ({"models": {"judge": {"kind": "mixture"}}}, r"models\.judge: is the name of the network"),
        ({"pixels": {"size": 10}}, r"models\.gan: images of 10 rows; a GAN needs a multiple of 4"),
        (
            {"models": {"a": {"kind": "diffusion", "conditional": False, "guidance": 2.0}}},
            r"a\.guidance: has no effect",
        ),
        ({"models": {"a": {"kind": "diffusion", "unlabelled": 0.0, "guidance": 2.0}}}, r"a\.guidance: needs images"),
        ({"evaluation": {"baseline": "mixtur"}}, r"evaluation\.baseline: 'mixtur' is not a model"),
    ],
)
def test_an_analysis_that_cannot_be_is_told(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small(**changes)
