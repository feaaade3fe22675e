"""Template histograms of one region (channel) and their changes by systematics.

Contents are expected events at the stated luminosity, with every free factor at 1. Nothing is clipped: bins that a fit
cannot use are merged (`usable_bins`, `Channel.merged`), and what merging cannot fix is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepda.errors import DataError
from hepda.evaluation.arrays import vector
from hepda.evaluation.differences.distances import merge_bins
from hepda.evaluation.fits.numerics.interpolation import RateFactors, additive
from hepda.results.evaluation import FloatArray

POI = "mu"
STATISTICS = "staterror"  # parameters of the templates' statistics are named staterror_<region>[bin]

Variation = tuple[FloatArray, FloatArray]  # up, down


@dataclass(frozen=True, slots=True, eq=False)
class SampleTemplate:
    """Contents of one sample and its variations.

    A free factor without a prior may scale the sample: a strength of signals, or the rate of a process, the same for
    all samples that name it. It is 1 where data agree with the templates.

    Raises:
        DataError: lengths differ, a value is not finite, the sum of the contents or of a variation is not positive, a
            factor is not positive, or mu is to scale a background.

    """

    name: str
    signal: bool
    sumw: FloatArray  # [b]
    sumw2: FloatArray  # [b]
    shapes: Mapping[str, Variation] = field(default_factory=dict)  # absolute contents [b]
    norms: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # factors on the rate
    rate: str | None = None  # the free factor; None: mu for a signal, none for a background

    def __post_init__(self) -> None:
        where = f"the template of {self.name}"
        if self.signal and self.rate is None:
            object.__setattr__(self, "rate", POI)
        if not self.signal and self.rate == POI:
            raise DataError(f"{where}: {POI} scales signals only; give the free rate of a background another name")
        bins = np.size(self.sumw)
        object.__setattr__(self, "sumw", checked_contents(self.sumw, bins, where))
        object.__setattr__(self, "sumw2", checked_contents(self.sumw2, bins, f"{where}, squared weights"))
        if np.any(self.sumw2 < 0):
            raise DataError(f"{where} has a negative sum of squared weights; weights must be real numbers")
        shapes = {
            name: (
                checked_contents(up, bins, f"{where}, {name} up"),
                checked_contents(down, bins, f"{where}, {name} down"),
            )
            for name, (up, down) in self.shapes.items()
        }
        object.__setattr__(self, "shapes", shapes)
        totals = {"nominal": self.sumw.sum()}
        for name, (up, down) in shapes.items():
            totals |= {f"{name} up": up.sum(), f"{name} down": down.sum()}
        for name, total in totals.items():
            if total <= 0:
                raise DataError(f"{where} ({name}) sums to {total:.4g} events; a template needs a positive sum")
        for name, pair in self.norms.items():
            if len(pair) != 2 or not all(np.isfinite(f) and f > 0 for f in pair):
                raise DataError(
                    f"{where}: the factors {pair} of {name} must be two positive numbers, such as (1.1, 0.9)"
                )

    @property
    def systematics(self) -> tuple[str, ...]:
        """Names of the systematics that vary this sample."""
        return tuple(dict.fromkeys([*self.shapes, *self.norms]))

    def split(self, name: str) -> tuple[tuple[float, float], Variation]:
        """Split a variation into factors (up, down) on the rate and contents (up [b], down [b]) of the nominal sum.

        A shape's change of the rate becomes a factor, as is usual, so that it extrapolates exponentially
        and never below zero; a sample without this systematic gives (1, 1) and the nominal contents.
        """
        up, down = self.norms.get(name, (1.0, 1.0))
        if name not in self.shapes:
            return (up, down), (self.sumw, self.sumw)
        rates = [float(varied.sum() / self.sumw.sum()) for varied in self.shapes[name]]
        shape = (self.shapes[name][0] / rates[0], self.shapes[name][1] / rates[1])
        return (up * rates[0], down * rates[1]), shape

    def changed_by(self, name: str) -> bool:
        """Return whether a systematic changes anything, beyond rounding."""
        rates, shape = self.split(name)
        moved = np.max(np.abs(np.stack(shape) - self.sumw)) / np.max(np.abs(self.sumw))
        return bool(max(abs(rates[0] - 1), abs(rates[1] - 1), moved) > 1e-9)

    def merged(self, kept: NDArray[np.intp]) -> SampleTemplate:
        """Return the same sample in wider bins; `kept` are the indices of the edges that remain."""
        shapes = {name: (rebin(up, kept), rebin(down, kept)) for name, (up, down) in self.shapes.items()}
        return replace(self, sumw=rebin(self.sumw, kept), sumw2=rebin(self.sumw2, kept), shapes=shapes)


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """The samples of one region, in bins of one variable.

    Raises:
        DataError: there is no sample, two have the same name, or the bins of a sample are not those of the edges.

    """

    name: str
    edges: FloatArray  # [b + 1], rising
    samples: tuple[SampleTemplate, ...]

    def __post_init__(self) -> None:
        edges = np.asarray(self.edges, dtype=np.float64)
        if edges.ndim != 1 or len(edges) < 2 or not np.all(np.diff(edges) > 0):
            raise DataError(f"edges of templates must be at least two rising numbers, not {edges.tolist()}")
        object.__setattr__(self, "edges", edges)
        names = [sample.name for sample in self.samples]
        if not names:
            raise DataError(f"the region {self.name} has no template")
        if len(set(names)) != len(names):
            raise DataError(f"two templates have the same name; there are {names}")
        for sample in self.samples:
            if len(sample.sumw) != len(edges) - 1:
                raise DataError(
                    f"the template of {sample.name} has {len(sample.sumw)} bins where the edges bound {len(edges) - 1}"
                )

    @property
    def bins(self) -> int:
        """Number of bins."""
        return len(self.edges) - 1

    @property
    def systematics(self) -> tuple[str, ...]:
        """Names of all systematics, in the order in which the samples name them."""
        return tuple(dict.fromkeys(name for sample in self.samples for name in sample.systematics))

    @property
    def active(self) -> tuple[str, ...]:
        """The systematics that change a template at all; data have no effect on the others."""
        return tuple(name for name in self.systematics if any(s.changed_by(name) for s in self.samples))

    @property
    def signal(self) -> FloatArray:
        """Contents [b] of all signals, each at a strength of 1."""
        return self._sum([s.sumw for s in self.samples if s.signal])

    @property
    def background(self) -> FloatArray:
        """Contents [b] of all backgrounds."""
        return self._sum([s.sumw for s in self.samples if not s.signal])

    @property
    def sumw2(self) -> FloatArray:
        """Sums of squared weights [b] of all samples, with every free factor at 1."""
        return self._sum([s.sumw2 for s in self.samples])

    def scaled_by(self, rate: str) -> FloatArray:
        """Return the contents [b] that a free factor scales, at 1."""
        return self._sum([s.sumw for s in self.samples if s.rate == rate])

    def total(self, mu: float = 1.0) -> FloatArray:
        """Return the expected events [b] at the nominal value of every systematic and every other free factor."""
        scaled = self.scaled_by(POI)
        rest = self._sum([s.sumw for s in self.samples if s.rate != POI])
        return np.asarray(mu * scaled + rest, dtype=np.float64)

    def expected(self, mu: float = 1.0, values: Mapping[str, float] | None = None) -> FloatArray:
        """Return the expected events [b] at `values`.

        Args:
            mu: the strength.
            values: systematics in standard deviations (0 where not named) and further free factors (1 where not named).

        """
        given = {**(values or {}), POI: mu}
        return self._sum([given.get(s.rate or "", 1.0) * _varied(s, given) for s in self.samples])

    def varied(self, name: str, *, background: bool = False) -> Variation:
        """Return the total [b] at mu = 1 (or of the background only), with one systematic up and down."""
        samples = [s for s in self.samples if not (background and s.signal)]
        up, down = ([_varied(s, {name: alpha}) for s in samples] for alpha in (1.0, -1.0))
        return self._sum(up), self._sum(down)

    def uncertainty(self) -> FloatArray:
        """Return the error [b] of the total at mu = 1 before a fit: statistics, larger side of each systematic."""
        total, variance = self.total(), self.sumw2
        for name in self.active:
            up, down = self.varied(name)
            variance = variance + np.maximum(np.abs(up - total), np.abs(down - total)) ** 2
        return np.asarray(np.sqrt(variance), dtype=np.float64)

    def merged(self, kept: ArrayLike) -> Channel:
        """Return the same templates in wider bins; `kept` are the indices [k + 1] of the remaining edges (0 to b)."""
        indices = np.asarray(kept, dtype=np.intp)
        return replace(self, edges=self.edges[indices], samples=tuple(s.merged(indices) for s in self.samples))

    def mapped(self, function: Callable[[SampleTemplate], SampleTemplate]) -> Channel:
        """Return the channel with a function applied to each sample."""
        return replace(self, samples=tuple(function(sample) for sample in self.samples))

    def check(self, where: str = "the templates") -> None:
        """Raise DataError that names the bins which cannot be fitted: without background, negative, ...

        Args:
            where: name of the templates in the message.

        """
        background = {"": self.background}
        for name in self.systematics:
            up, down = self.varied(name, background=True)
            background |= {f" with {name} up": up, f" with {name} down": down}
        for when, contents in background.items():
            bad = np.flatnonzero(contents <= 0)
            if len(bad):
                raise DataError(
                    f"bins {bad.tolist()} of {where} have no positive background{when}; merge them "
                    "first (fewer or wider bins)"
                )
        bad = np.flatnonzero(self.signal < 0)
        if len(bad):
            raise DataError(f"bins {bad.tolist()} of {where} have a negative signal; merge them first")

    def _sum(self, contents: Sequence[FloatArray]) -> FloatArray:
        return np.asarray(np.sum(contents, axis=0), dtype=np.float64) if contents else np.zeros(self.bins)


def usable_bins(channel: Channel, *, others: Sequence[ArrayLike] = (), min_n_eff: float = 10.0) -> NDArray[np.intp]:
    """Return the indices of the edges to keep, so that every bin can be fitted; for `merged` and `rebin`.

    A bin is merged with its neighbour (from the signal end down) if its background is not positive, nominal
    or varied, or has n_eff < min_n_eff, or its signal or one of `others` is negative.

    Args:
        channel: the samples and their variations.
        others: further contents that must not be negative, [b] each, such as pseudo-data of signed weights.
        min_n_eff: smallest effective number of background events in a bin.

    Raises:
        DataError: all bins together cannot be used.

    """
    varied = [c for name in channel.systematics for c in channel.varied(name, background=True)]
    other = [vector(o, "pseudo-data", channel.bins) for o in others]
    sumw2 = np.sum([s.sumw2 for s in channel.samples if not s.signal] or [np.zeros(channel.bins)], axis=0)
    content = np.stack([channel.background, sumw2, channel.signal, *varied, *other])

    def accept(x: FloatArray) -> bool:
        enough = x[0] > 0 and x[0] ** 2 >= min_n_eff * x[1] and x[2] >= 0
        return bool(enough and np.all(x[3 : 3 + len(varied)] > 0) and np.all(x[3 + len(varied) :] >= 0))

    kept = merge_bins(content, accept)
    if kept is None:
        raise DataError(
            "even all bins of the templates together cannot be fitted: the background is not positive, or "
            f"below an n_eff of {min_n_eff:g}, or pseudo-data are negative; use more simulation"
        )
    return kept


def rebin(contents: ArrayLike, kept: ArrayLike) -> FloatArray:
    """Return the sums [..., k] of contents [..., b] between the edges that remain (`usable_bins`)."""
    start = np.asarray(kept, dtype=np.intp)[:-1]
    return np.asarray(np.add.reduceat(np.asarray(contents, dtype=np.float64), start, axis=-1))


def two_point(nominal: ArrayLike, other: ArrayLike, *, rate: bool = False) -> Variation:
    """Return up and down variations from two generators: up is the other generator, down its mirror image.

    The mirror image is 2 nominal - other, and nominal^2 / other (the same to first order) in bins where that is not
    positive.

    Args:
        nominal: contents of the nominal generator [b].
        other: contents of the other generator [b].
        rate: keep the difference in the sums; by default, the other is scaled to the nominal sum first.

    """
    n = vector(nominal, "nominal template")
    up = vector(other, "template of the other generator", len(n))
    if not rate:
        if up.sum() <= 0 or n.sum() <= 0:
            raise DataError("a two-point variation needs positive sums of weights in both generators")
        up = up * (n.sum() / up.sum())
    down = 2 * n - up
    ratio = np.divide(n * n, up, out=down.copy(), where=up > 0)
    down = np.where((down <= 0) & (n > 0), ratio, down)
    if not rate:
        down = down * (n.sum() / down.sum())
    return up, down


def _varied(sample: SampleTemplate, values: Mapping[str, float]) -> FloatArray:
    contents, factor = sample.sumw, 1.0
    for name in sample.systematics:
        if not values.get(name):
            continue
        alpha = np.array([[float(values[name])]])
        (up, down), shape = sample.split(name)
        weights = additive(alpha)[0, :, 0, 0]
        contents = contents + weights[0] * (shape[0] - sample.sumw) + weights[1] * (sample.sumw - shape[1])
        factor *= float(np.exp(RateFactors.of(np.array([[up]]), np.array([[down]])).at(alpha)[0].item()))
    return np.asarray(factor * contents, dtype=np.float64)


def checked_contents(values: ArrayLike, bins: int, name: str) -> FloatArray:
    """Return contents [b] as numbers; raise DataError that uses `name` for a wrong length and for non-finite values."""
    try:
        return vector(values, name, bins)
    except ValueError as reason:  # a wrong length comes from the caller's histograms: the user has to fix it
        raise DataError(str(reason)) from None
