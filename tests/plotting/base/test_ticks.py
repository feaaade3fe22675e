"""Light minor ticks are where matplotlib has its own, and look like them."""

import io

import numpy as np
import pytest
from matplotlib import image
from matplotlib.figure import Figure

from hepda.plotting.base.style import figure, log_axis, look, png, styled
from hepda.plotting.base.ticks import TickMarks


def drawn(*, log: bool) -> Figure:
    with look():
        made, axes = figure()
        axes.plot([0.0, 1.0, 7.3], [0.5, 3.0, 900.0])
        axes.set_xlim(0.0, 7.3)
        if log:
            log_axis(axes, 0.3, 1000.0)
        else:
            axes.set_ylim(0.0, 1000.0)
        return made


def pixels(made: Figure) -> np.ndarray:
    return np.asarray(image.imread(io.BytesIO(png(made))))


@pytest.mark.parametrize("log", [False, True])
def test_they_look_as_those_of_matplotlib(log: bool) -> None:
    usual, light = pixels(drawn(log=log)), pixels(styled(drawn)(log=log))
    different = np.abs(usual - light).max(axis=-1) > 0.2
    assert different.sum() < 12  # marks in one path may be rounded to another pixel
    with look():
        bare = drawn(log=log)
        bare.axes[0].minorticks_off()
    assert (np.abs(pixels(bare) - light).max(axis=-1) > 0.2).sum() > 200


def test_an_axis_without_minor_ticks_gets_none() -> None:
    made = styled(drawn)(log=False)
    before = pixels(made)
    made.axes[0].minorticks_off()
    assert (pixels(made) != before).any()
    made.axes[0].minorticks_on()
    made.axes[0].tick_params(axis="both", which="minor", length=0)
    bare = drawn(log=False)
    bare.axes[0].minorticks_off()
    np.testing.assert_array_equal(pixels(made), pixels(bare))


def test_no_object_is_made_for_a_minor_tick() -> None:
    made = styled(drawn)(log=False)
    png(made)
    axes = made.axes[0]
    assert axes.xaxis.get_minor_ticks() == [] and len(axes.xaxis.get_minorticklocs()) > 5
    assert len([child for child in axes.get_children() if isinstance(child, TickMarks)]) == 2


def test_major_ticks_without_labels_are_marks_too() -> None:
    def without_labels() -> Figure:
        made = drawn(log=False)
        made.axes[0].tick_params(axis="x", labelbottom=False)
        return made

    light = styled(without_labels)()
    with look():
        usual = without_labels()
    assert (np.abs(pixels(usual) - pixels(light)).max(axis=-1) > 0.2).sum() < 12
    axes = light.axes[0]
    assert axes.xaxis.get_major_ticks() == [] and axes.yaxis.get_major_ticks() != []
    assert len([child for child in axes.get_children() if isinstance(child, TickMarks)]) == 3
