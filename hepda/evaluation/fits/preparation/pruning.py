"""Pruning: effects of systematics that are too small to matter are left out of a fit, rate and shape apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hepda.evaluation.fits.channels import Channel, SampleTemplate, Variation
from hepda.evaluation.fits.templates import Templates
from hepda.results.fits import Pruned

_ROUNDING = 1e-9  # a smaller effect is none


def pruned(templates: Templates, *, rate: float = 0.0, shape: float = 0.0) -> tuple[Templates, tuple[Pruned, ...]]:
    """Return templates without effects that are below the thresholds on both sides, by channel and sample.

    Args:
        templates: the samples and their variations.
        rate: a factor on the rate is left out if it is nearer to 1 than this; 0 keeps all.
        shape: the change of the contents that is left once the sum is scaled to the nominal one is left out if it is
            smaller than this part of the nominal content in every bin; 0 keeps all.

    Returns:
        The templates, and what was left out.

    Raises:
        ValueError: a threshold is negative.

    """
    if rate < 0 or shape < 0:
        raise ValueError(f"thresholds of pruning are never negative: {rate:g}, {shape:g}")
    removed: list[Pruned] = []
    channels = []
    for channel in templates.channels:
        samples = [_pruned_sample(sample, channel, rate, shape) for sample in channel.samples]
        removed += [entry for _, entries in samples for entry in entries]
        channels.append(replace(channel, samples=tuple(sample for sample, _ in samples)))
    return Templates(tuple(channels)), tuple(removed)


def _pruned_sample(
    sample: SampleTemplate, channel: Channel, rate: float, shape: float
) -> tuple[SampleTemplate, list[Pruned]]:
    shapes: dict[str, Variation] = dict(sample.shapes)
    norms = dict(sample.norms)
    removed = []
    for name in sample.systematics:
        (up, down), (high, low) = sample.split(name)
        sizes = {"rate": max(abs(up - 1), abs(down - 1)), "shape": _largest(sample, (high, low))}
        small = {part for part, least in (("rate", rate), ("shape", shape)) if sizes[part] < least}
        for part in sorted(small):
            if sizes[part] > _ROUNDING:
                least = rate if part == "rate" else shape
                removed.append(Pruned(name, channel.name, sample.name, part, sizes[part], least))
        if "rate" in small:
            norms.pop(name, None)
            if name in shapes:
                shapes[name] = (high, low)
        if "shape" in small and name in shapes:
            del shapes[name]
            if "rate" not in small:
                norms[name] = (up, down)
    return replace(sample, shapes=shapes, norms=norms), removed


def _largest(sample: SampleTemplate, shape: Variation) -> float:
    """Return the largest change of a bin, relative to its nominal content."""
    usable = sample.sumw > 0
    return float(np.max(np.abs(np.stack(shape)[:, usable] / sample.sumw[usable] - 1)))
