"""What is fitted of one model: the templates of every region, and pseudo-data of every domain in the same bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.evaluation.fits.channels import Channel, SampleTemplate, rebin
from hepda.evaluation.fits.studies.origins import ProcessContents
from hepda.evaluation.fits.templates import Templates
from hepda.events.fit.replicas import PseudoEvents
from hepda.events.specs import RegionSpec
from hepda.results.fits import Pruned, Smoothed

Array = NDArray[Any]
Contents = tuple[Array, Array]
"""Sums of weights and of squared weights [b]."""
TRUTHS = (0.0, 1.0, 2.0)
"""Signal strengths of pseudo-data that are made from simulation."""


@dataclass(frozen=True, slots=True, eq=False)
class PseudoData:
    """The contents of a domain in the bins of the templates, of one region or of several one after the other.

    A class without events is None; `observed` has the counts if the domain is data. Pseudo-data whose truth is known
    have both the classes and the counts.
    """

    signal: Contents | None = None
    background: Contents | None = None
    observed: Array | None = None  # [b]

    def at(self, mu: float) -> Contents | None:
        """Return contents and sumw2 [b] with the signal scaled by mu; None if there is no signal to scale."""
        if (self.signal is None and mu != 0) or self.background is None:
            return None
        if self.signal is None:
            return self.background
        (s, s2), (b, b2) = self.signal, self.background
        return mu * s + b, mu**2 * s2 + b2

    def merged(self, kept: NDArray[np.intp]) -> PseudoData:
        """Return the same contents in wider bins."""

        def wider(contents: Contents | None) -> Contents | None:
            return None if contents is None else (rebin(contents[0], kept), rebin(contents[1], kept))

        observed = None if self.observed is None else rebin(self.observed, kept)
        return PseudoData(wider(self.signal), wider(self.background), observed)

    @classmethod
    def joined(cls, regions: Sequence[PseudoData]) -> PseudoData:
        """Return the contents of several regions one after the other; a class is None that one of them does not have.

        Args:
            regions: the contents of the same domain, at least one.

        """

        def together(contents: list[Contents | None]) -> Contents | None:
            present = [content for content in contents if content is not None]
            if len(present) < len(contents):
                return None
            sumw, sumw2 = zip(*present, strict=True)
            return np.concatenate(sumw), np.concatenate(sumw2)

        counts = [region.observed for region in regions if region.observed is not None]
        return cls(
            together([region.signal for region in regions]),
            together([region.background for region in regions]),
            np.concatenate(counts) if len(counts) == len(regions) else None,
        )


@dataclass(frozen=True, slots=True, eq=False)
class FittedRegion:
    """A region of one model.

    channel: its templates; merged: bins that were joined to a neighbour; omitted: samples without a template, and why;
    domains: contents of every domain that may be used here; blinded: domains of data that may not, and why.
    """

    spec: RegionSpec
    channel: Channel
    merged: int
    domains: Mapping[str, PseudoData]
    omitted: Mapping[str, str] = field(default_factory=dict)
    blinded: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class FitInput:
    """What is fitted of one model.

    regions: all of them, those of validation too; two_points: the parameters of each systematic that is another
    generator; domains: used as data in all fitted regions together, the nominal one first; excluded: domains that are
    not used so, with the reason; pruned, smoothed: what was changed of the variations; true_rates: by domain and free
    rate, what the yields of the domain are in units of the templates', with the error of the finite pseudo-data;
    events: by other domain whose classes are known, what the bootstrap draws from; processes: by such a domain, the
    contents of each process in the bins of the fitted regions, if they are known.
    """

    model: str
    regions: tuple[FittedRegion, ...]
    two_points: Mapping[str, tuple[str, ...]]
    domains: Mapping[str, PseudoData]
    excluded: Mapping[str, str]
    pruned: tuple[Pruned, ...] = ()
    smoothed: tuple[Smoothed, ...] = ()
    true_rates: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    events: Mapping[str, PseudoEvents] = field(default_factory=dict)
    processes: Mapping[str, Mapping[str, ProcessContents]] = field(default_factory=dict)

    @property
    def templates(self) -> Templates:
        """Return the templates of the fitted regions, with every systematic."""
        return Templates(tuple(region.channel for region in self.regions if region.spec.fitted))

    @property
    def validation(self) -> tuple[Channel, ...]:
        """Return the templates of the regions that are not fitted."""
        return tuple(region.channel for region in self.regions if not region.spec.fitted)

    @property
    def unaware(self) -> Templates:
        """Return the templates without the systematics that are another generator."""
        names = {name for parameters in self.two_points.values() for name in parameters}
        return self.templates.mapped(lambda sample: without(sample, names))


def without(sample: SampleTemplate, names: set[str]) -> SampleTemplate:
    """Return a template without some of its systematics."""
    shapes = {name: variation for name, variation in sample.shapes.items() if name not in names}
    norms = {name: factors for name, factors in sample.norms.items() if name not in names}
    return replace(sample, shapes=shapes, norms=norms)
