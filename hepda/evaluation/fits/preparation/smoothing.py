"""Smoothing of variations whose simulation is small: running medians, applied to the ratio to the nominal contents."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from hepda.evaluation.arrays import vector
from hepda.evaluation.fits.channels import Channel, SampleTemplate, Variation
from hepda.evaluation.fits.templates import Templates
from hepda.results.evaluation import FloatArray
from hepda.results.fits import Smoothed

MIN_BINS = 3
"""Smallest number of bins that the algorithm can smooth."""


def smooth_353qh(values: ArrayLike) -> FloatArray:
    """Return values [b] smoothed with the algorithm "353QH, twice", as ROOT's TH1::Smooth does.

    Running medians of three, five and three values, quadratic interpolation of flat segments (Q), running means with
    weights 1/4, 1/2, 1/4 (H); the same is applied to the residuals and added. Where no value is negative, no smoothed
    one is. J. Friedman, proceedings of the 1974 CERN School of Computing, page 292.

    Raises:
        ValueError: there are fewer than three values, or one is not finite.

    """
    original = vector(values, "values to smooth")
    if len(original) < MIN_BINS:
        raise ValueError(f"at least {MIN_BINS} values are needed to smooth, not {len(original)}")
    smooth = _once(original)
    smooth = smooth + _once(original - smooth)
    return smooth if original.min() < 0 else np.maximum(smooth, 0.0)


def smoothed(templates: Templates, names: Collection[str] | None = None) -> tuple[Templates, tuple[Smoothed, ...]]:
    """Return templates with smoothed shapes.

    The ratio of a variation to the nominal contents is smoothed with `smooth_353qh`, and the result scaled to the sum
    that the variation had, so that its rate stays. Bins without a positive nominal content keep their contents and do
    not take part. Regions of fewer than three bins are left as they are.

    Args:
        templates: the samples and their variations.
        names: the systematics to smooth; None means all.

    Returns:
        The templates, and what was smoothed.

    """
    done: list[Smoothed] = []
    channels = []
    for channel in templates.channels:
        samples = [_smooth_sample(sample, names, channel) for sample in channel.samples]
        done += [entry for _, entries in samples for entry in entries]
        channels.append(replace(channel, samples=tuple(sample for sample, _ in samples)))
    return Templates(tuple(channels)), tuple(done)


def _smooth_sample(
    sample: SampleTemplate, names: Collection[str] | None, channel: Channel
) -> tuple[SampleTemplate, list[Smoothed]]:
    usable = sample.sumw > 0
    chosen = [name for name in sample.shapes if names is None or name in names]
    if not chosen or np.sum(usable) < MIN_BINS:
        return sample, []
    shapes: dict[str, Variation] = dict(sample.shapes)
    entries = []
    for name in chosen:
        up, down = (_smooth_side(side, sample.sumw, usable) for side in sample.shapes[name])
        shapes[name] = (up, down)
        moved = np.abs(np.stack(shapes[name]) - np.stack(sample.shapes[name]))[:, usable] / sample.sumw[usable]
        entries.append(Smoothed(name, channel.name, sample.name, float(moved.max())))
    return replace(sample, shapes=shapes), entries


def _smooth_side(varied: FloatArray, nominal: FloatArray, usable: np.ndarray) -> FloatArray:
    result = varied.copy()
    smooth = smooth_353qh(varied[usable] / nominal[usable]) * nominal[usable]
    result[usable] = smooth * (varied[usable].sum() / smooth.sum()) if smooth.sum() > 0 else varied[usable]
    return result


def _once(values: FloatArray) -> FloatArray:
    """Return values [b] after 353QH."""
    first = _running_median(values, 1)
    first[0] = np.median([first[1], first[0], 3 * first[1] - 2 * first[2]])
    first[-1] = np.median([first[-2], first[-1], 3 * first[-2] - 2 * first[-3]])
    second = _running_median(first, 2)
    second[1], second[-2] = np.median(first[:3]), np.median(first[-3:])
    medians = _running_median(second, 1)
    result = medians.copy()
    for i in range(2, len(medians) - 2):
        left, centre, right = medians[i - 2], medians[i], medians[i + 2]
        flat = medians[i - 1] == centre == medians[i + 1]
        if flat and (left - centre) * (right - centre) > 0:  # a peak or a valley
            side = -1 if abs(right - centre) > abs(left - centre) else 1
            near, far = medians[i - 2 * side], medians[i + 2 * side]
            result[i] = -0.5 * near + centre / 0.75 + far / 6
            result[i + side] = 0.5 * (far - near) + centre
    inner = 0.25 * result[:-2] + 0.5 * result[1:-1] + 0.25 * result[2:]
    return np.concatenate([result[:1], inner, result[-1:]])


def _running_median(values: FloatArray, reach: int) -> FloatArray:
    """Return medians of 2 reach + 1 values; `reach` values at each end are kept."""
    result = values.copy()
    if len(values) > 2 * reach:
        windows = np.lib.stride_tricks.sliding_window_view(values, 2 * reach + 1)
        result[reach : len(values) - reach] = np.median(windows, axis=1)
    return result
