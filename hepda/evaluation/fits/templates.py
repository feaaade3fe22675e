"""Templates of all regions of a fit.

Arrays over bins [b] are those of the channels one after another (`Templates.slices`). A systematic, a free rate or a
strength is one parameter wherever its name is found: what is not correlated needs different names.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from hepda.errors import DataError
from hepda.evaluation.fits.channels import POI, STATISTICS, Channel, SampleTemplate, Variation, checked_contents
from hepda.results.evaluation import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Templates:
    """The regions (channels) of a fit.

    `check`, which every fit calls, raises an error if the bins cannot be fitted.

    Raises:
        DataError: there is no signal that mu scales or no background, two regions have the same name, or a name is
            reserved or used for both a systematic and a free rate.

    """

    channels: tuple[Channel, ...]

    def __post_init__(self) -> None:
        names = [channel.name for channel in self.channels]
        if len(set(names)) != len(names):
            raise DataError(f"two regions have the same name; there are {names}")
        samples = [sample for channel in self.channels for sample in channel.samples]
        if not any(s.signal for s in samples) or all(s.signal for s in samples):
            raise DataError(f"a fit needs a template of signal and one of background; there are {list(self.samples)}")
        if POI not in self.rates:
            raise DataError(f"no signal is scaled by {POI}; the strengths are called {', '.join(self.signals)}")
        for name in (*self.systematics, *self.rates[1:]):
            if name == POI or name.startswith(STATISTICS):
                what = "systematic" if name in self.systematics else "free rate"
                raise DataError(f"a {what} must not be called {name!r}: the fit uses that name itself")
        for name in set(self.systematics) & set(self.rates):
            raise DataError(f"{name!r} is both a free rate and a systematic with a prior; give them two names")

    @classmethod
    def of_one(cls, name: str, edges: ArrayLike, samples: tuple[SampleTemplate, ...]) -> Templates:
        """Return the templates of a fit with one region; the arguments are those of `Channel`."""
        return cls((Channel(name, np.asarray(edges, dtype=np.float64), samples),))

    @property
    def slices(self) -> dict[str, slice]:
        """The bins of each channel."""
        ends = np.cumsum([channel.bins for channel in self.channels]).tolist()
        return {c.name: slice(end - c.bins, end) for c, end in zip(self.channels, ends, strict=True)}

    @property
    def staterrors(self) -> tuple[str, ...]:
        """Names [b] of the factors of the templates' statistics, as in pyhf."""
        return tuple(f"{STATISTICS}_{channel.name}[{b}]" for channel in self.channels for b in range(channel.bins))

    @property
    def bins(self) -> int:
        """Number of bins of all channels."""
        return sum(channel.bins for channel in self.channels)

    @property
    def edges(self) -> FloatArray:
        """Edges [b + 1] of the only channel; with several channels, the numbers of the bins."""
        return self.channels[0].edges if len(self.channels) == 1 else np.arange(self.bins + 1.0)

    @property
    def samples(self) -> tuple[str, ...]:
        """Names of the samples of all channels."""
        return tuple(dict.fromkeys(sample.name for channel in self.channels for sample in channel.samples))

    @property
    def rates(self) -> tuple[str, ...]:
        """The free factors: mu, then further strengths and free rates in the order in which the samples name them."""
        named = [s.rate for channel in self.channels for s in channel.samples if s.rate is not None]
        return tuple(dict.fromkeys([POI, *named] if POI in named else named))

    @property
    def signals(self) -> tuple[str, ...]:
        """The free factors that scale signals, mu among them."""
        scaling = {s.rate for channel in self.channels for s in channel.samples if s.signal}
        return tuple(rate for rate in self.rates if rate in scaling)

    @property
    def systematics(self) -> tuple[str, ...]:
        """Names of all systematics, in the order in which the samples name them."""
        return tuple(dict.fromkeys(name for channel in self.channels for name in channel.systematics))

    @property
    def active(self) -> tuple[str, ...]:
        """The systematics that change a template at all; data have no effect on the others."""
        changing = {name for channel in self.channels for name in channel.active}
        return tuple(name for name in self.systematics if name in changing)

    @property
    def signal(self) -> FloatArray:
        """Contents [b] of all signals, each at a strength of 1."""
        return self._joined(lambda channel: channel.signal)

    @property
    def background(self) -> FloatArray:
        """Contents [b] of all backgrounds."""
        return self._joined(lambda channel: channel.background)

    @property
    def sumw2(self) -> FloatArray:
        """Sums of squared weights [b] of all samples, with every free factor at 1."""
        return self._joined(lambda channel: channel.sumw2)

    @property
    def statistical_error(self) -> FloatArray:
        """Relative error [b] of the total at mu = 1 due to the finite simulation: the width of the staterrors."""
        return np.asarray(np.sqrt(self.sumw2) / self.total(), dtype=np.float64)

    def total(self, mu: float = 1.0) -> FloatArray:
        """Return the expected events [b] at the nominal value of every systematic and every other free factor."""
        return self._joined(lambda channel: channel.total(mu))

    def expected(self, mu: float = 1.0, values: Mapping[str, float] | None = None) -> FloatArray:
        """Return the expected events [b] at `values`.

        Args:
            mu: the strength.
            values: systematics in standard deviations (0 where not named) and further free factors (1 where not named).

        """
        return self._joined(lambda channel: channel.expected(mu, values))

    def varied(self, name: str, *, background: bool = False) -> Variation:
        """Return the total [b] at mu = 1 (or of the background only), with one systematic up and down."""
        up, down = zip(*(channel.varied(name, background=background) for channel in self.channels), strict=True)
        return np.concatenate(up), np.concatenate(down)

    def counts(self, contents: ArrayLike, name: str = "the observed counts") -> FloatArray:
        """Return contents [b] for a fit; raise DataError for a wrong length and for negative or non-finite values."""
        values = checked_contents(contents, self.bins, name)
        for channel, part in self.parts(values).items():
            bad = np.flatnonzero(part < 0)
            if len(bad):
                where = "" if len(self.channels) == 1 else f" in {channel}"
                raise DataError(f"bins {bad.tolist()} of {name}{where} are negative; merge them first")
        return values

    def parts(self, contents: FloatArray) -> dict[str, FloatArray]:
        """Return the contents [..., b of the channel] of each channel, from those [..., b] of all."""
        return {name: contents[..., bins] for name, bins in self.slices.items()}

    def uncertainty(self) -> FloatArray:
        """Return the error [b] of the total at mu = 1 before a fit: statistics, larger side of each systematic."""
        return self._joined(lambda channel: channel.uncertainty())

    def mapped(self, function: Callable[[SampleTemplate], SampleTemplate]) -> Templates:
        """Return the templates with a function applied to each sample of each channel."""
        return Templates(tuple(channel.mapped(function) for channel in self.channels))

    def only(self, names: Collection[str]) -> Templates:
        """Return the templates of some channels."""
        return replace(self, channels=tuple(channel for channel in self.channels if channel.name in names))

    def check(self) -> None:
        """Raise DataError that names the bins which cannot be fitted: without background, negative, ..."""
        for channel in self.channels:
            channel.check("the templates" + f" of {channel.name}" * (len(self.channels) > 1))

    def _joined(self, contents: Callable[[Channel], FloatArray]) -> FloatArray:
        return np.concatenate([contents(channel) for channel in self.channels])
