"""Sequences of moving images: reflection, constant velocity, and no image of the training in the tests."""

from __future__ import annotations

import numpy as np
import pytest

from hepda.config.generators.frames import SequencesConfig
from hepda.generators.frames.sequences import load, moving, reflected
from hepda.images import sets
from tests.generators.frames.analysis import small


def test_walls_reflect() -> None:
    assert reflected(np.arange(-3, 10), 4).tolist() == [3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1, 0, 1]
    bounced, position, step = [], 3, 1
    for _ in range(20):
        bounced.append(position)
        position += step
        if position in (0, 5):
            step = -step
    assert reflected(3 + np.arange(20), 5).tolist() == bounced


def test_an_image_moves_with_constant_velocity() -> None:
    section = SequencesConfig(digits=1, size=24, digit=8, inputs=4, speed=3)
    frames = moving(np.full((1, 8, 8), 200, np.uint8), section, 40, seed=4)
    assert frames.shape == (40, 5, 24, 24) and frames.dtype == np.uint8
    for sequence in frames:
        corners = np.array([np.argwhere(frame).min(axis=0) for frame in sequence])
        assert all((frame == 200).sum() == 64 for frame in sequence)  # whole, and never outside
        steps = np.abs(np.diff(corners, axis=0))
        assert steps.max() <= 3 and (np.diff(corners, axis=0) != 0).any(axis=1).any()
        away = ((corners > 3) & (corners < 13)).all(axis=0)  # of the walls, where nothing is reflected
        assert all(len(set(np.diff(corners[:, axis]).tolist())) == 1 for axis in (0, 1) if away[axis])


def test_the_brighter_pixel_is_seen() -> None:
    section = SequencesConfig(digits=2, size=16, digit=14, inputs=2, speed=1)
    frames = moving(np.stack([np.full((14, 14), level, np.uint8) for level in (90, 200)]), section, 50, seed=1)
    both = [frame for sequence in frames for frame in sequence if {90, 200} <= set(frame.ravel().tolist())]
    assert both and all((frame == 200).sum() == 14 * 14 for frame in both)


def test_no_image_of_the_training_is_in_the_tests() -> None:
    config = small(sequences={"digits": 1, "train": 300, "test": 80})
    sequences = load(config)
    train, test = sets.load(config.source, 8, 1, config.seed)

    def moved(frames: np.ndarray) -> set[bytes]:
        found = set()
        for frame in frames[:, 0]:
            views = np.lib.stride_tricks.sliding_window_view(frame, (8, 8)).reshape(-1, 8, 8)
            whole = views[views.reshape(len(views), -1).sum(axis=1) == int(frame.astype(int).sum())]
            found |= {view.tobytes() for view in whole}
        return found

    known, asked = ({image[0].tobytes() for image in images.pixels} for images in (train, test))
    assert moved(sequences.train) & known and moved(sequences.test) & asked
    assert not moved(sequences.train) & asked - known and not moved(sequences.test) & known - asked
    assert sequences.about["train"]["images"] == len(train) and sequences.about["test"]["images"] == len(test)


def test_the_seed_draws_everything() -> None:
    first, again, other = (load(small(seed=seed)) for seed in (3, 3, 4))
    assert np.array_equal(first.train, again.train) and np.array_equal(first.test, again.test)
    assert not np.array_equal(first.train, other.train) and not np.array_equal(first.train[:20], first.test)


@pytest.mark.parametrize("digits", [1, 3])
def test_so_many_images_move(digits: int) -> None:
    section = SequencesConfig(digits=digits, size=64, digit=8, inputs=2, speed=1)
    frames = moving(np.full((1, 8, 8), 1, np.uint8), section, 10, seed=0)
    assert (frames.reshape(30, -1).sum(axis=1) <= 64 * digits).all() and frames.sum() > 30 * 64 * (digits - 1)
