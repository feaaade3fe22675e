"""All metrics of a recording, and means over recordings that tell how many have no value, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hepda.errors import ConfigError, DataError, MissingExtraError, nearest
from hepda.speech.quality import signals, spectral
from hepda.speech.quality.signals import Samples


@dataclass(frozen=True, slots=True)
class Ratings:
    """Predicted opinion scores from 1 to 5 of listeners who follow ITU-T P.835.

    Attributes:
        csig: of the distortion of the speech.
        cbak: of the intrusiveness of the background.
        covl: of the overall quality.

    """

    csig: float
    cbak: float
    covl: float


def ratings(pesq: float, llr: float, wss: float, segmental_snr: float) -> Ratings:
    """Return the composite metrics (Hu and Loizou, IEEE Trans. Audio Speech Lang. Process. 16 (2008) 229).

    Args:
        pesq: raw PESQ (`raw_pesq`) at 8 kHz, with which the regressions were made; at 16 kHz the score of wide-band
            PESQ, as composite.m does.
        llr: `log_likelihood_ratio` without a limit.
        wss: `weighted_spectral_slope`.
        segmental_snr: in dB.

    """
    csig = 3.093 - 1.029 * llr + 0.603 * pesq - 0.009 * wss
    cbak = 1.634 + 0.478 * pesq - 0.007 * wss + 0.063 * segmental_snr
    covl = 1.594 + 0.805 * pesq - 0.512 * llr - 0.007 * wss
    return Ratings(*(min(max(rating, 1.0), 5.0) for rating in (csig, cbak, covl)))


@dataclass(frozen=True)
class _Pair:
    """A clean recording and its estimate; what several metrics need is computed once."""

    clean: NDArray[np.float64]
    estimate: NDArray[np.float64]
    rate: int

    @cached_property
    def pesq(self) -> float:
        return signals.pesq(self.clean, self.estimate, self.rate)

    @cached_property
    def segmental_snr(self) -> float:
        return spectral.segmental_snr(self.clean, self.estimate, self.rate)

    @cached_property
    def wss(self) -> float:
        return spectral.weighted_spectral_slope(self.clean, self.estimate, self.rate)

    @cached_property
    def ratings(self) -> Ratings:
        pesq = signals.raw_pesq(self.pesq) if self.rate == 8000 else self.pesq
        llr = spectral.log_likelihood_ratio(self.clean, self.estimate, self.rate, limit=None)
        return ratings(pesq, llr, self.wss, self.segmental_snr)


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of an estimate.

    Attributes:
        better: "higher" or "lower".
        unit: its unit, or an empty text.
        package: the package that computes it; empty if hepda does.

    """

    better: Literal["higher", "lower"]
    unit: str
    _of: Callable[[_Pair], float]
    package: str = ""


METRICS: Mapping[str, Metric] = {
    "pesq": Metric("higher", "", lambda pair: pair.pesq, "pesq"),
    "stoi": Metric("higher", "", lambda pair: signals.stoi(pair.clean, pair.estimate, pair.rate), "pystoi"),
    "estoi": Metric(
        "higher", "", lambda pair: signals.stoi(pair.clean, pair.estimate, pair.rate, extended=True), "pystoi"
    ),
    "si_sdr": Metric("higher", "dB", lambda pair: signals.si_sdr(pair.clean, pair.estimate)),
    "segmental_snr": Metric("higher", "dB", lambda pair: pair.segmental_snr),
    "csig": Metric("higher", "", lambda pair: pair.ratings.csig, "pesq"),
    "cbak": Metric("higher", "", lambda pair: pair.ratings.cbak, "pesq"),
    "covl": Metric("higher", "", lambda pair: pair.ratings.covl, "pesq"),
    "llr": Metric("lower", "", lambda pair: spectral.log_likelihood_ratio(pair.clean, pair.estimate, pair.rate)),
    "wss": Metric("lower", "dB^2", lambda pair: pair.wss),
    "mel_cepstral_distance": Metric(
        "lower", "dB", lambda pair: spectral.mel_cepstral_distance(pair.clean, pair.estimate, pair.rate)
    ),
}
"""All metrics by name."""


@dataclass(frozen=True, slots=True)
class RecordingQuality:
    """The metrics of one recording.

    Attributes:
        values: the value of each metric, None where it has none.
        reasons: for each metric without a value, why.

    """

    values: Mapping[str, float | None]
    reasons: Mapping[str, str]


def check_packages(metrics: Iterable[str], where: str) -> None:
    """Raise MissingExtraError if a metric needs a package that is not installed; `where` is the key that names it."""
    for package in dict.fromkeys(METRICS[name].package for name in metrics):
        if package and find_spec(package) is None:
            raise MissingExtraError(package, "quality", where)


def quality_of(
    clean: Samples, estimate: Samples, rate: int, metrics: Sequence[str] = tuple(METRICS)
) -> RecordingQuality:
    """Return metrics of an estimate of a clean recording.

    Args:
        clean: clean samples [n], in [-1, 1].
        estimate: samples of the enhanced, converted or noisy recording [n], in [-1, 1].
        rate: in Hz, at least 8000. PESQ and the ratings that need it: 8000 or 16000.
        metrics: names in METRICS.

    Raises:
        ConfigError: a metric is not known, or the rate is not one that it permits.
        DataError: the recordings are of different length, empty, not one-dimensional floats, or not finite.
        MissingExtraError: pesq or pystoi is needed and not installed.

    """
    unknown = [name for name in metrics if name not in METRICS]
    if unknown:
        raise ConfigError(f"no metric {unknown[0]!r}; there are {', '.join(METRICS)}.{nearest(unknown[0], METRICS)}")
    pair = _Pair(*signals.paired(clean, estimate), rate)
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for name in metrics:
        try:
            values[name] = METRICS[name]._of(pair)
        except DataError as error:
            values[name], reasons[name] = None, str(error)
    return RecordingQuality(values, reasons)


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of a metric over recordings.

    Attributes:
        mean: over the recordings with a value; None if there are none.
        counted: recordings with a value.
        failed: recordings without.
        reasons: number of recordings for each reason why there is no value.

    """

    mean: float | None
    counted: int
    failed: int
    reasons: Mapping[str, int]


def means(qualities: Sequence[RecordingQuality]) -> dict[str, Mean]:
    """Return the mean of each metric.

    Recordings without a value are in no mean but in `failed`: two methods with different failures have means over
    different recordings, and are compared on those where both have a value.

    Raises:
        DataError: there are no recordings, or they have different metrics.

    """
    if not qualities:
        raise DataError("no recordings, so no mean quality")
    names = tuple(qualities[0].values)
    if any(set(quality.values) != set(names) for quality in qualities):
        raise DataError("recordings with different metrics have no common means; measure the same ones of each")
    return {name: _mean(name, qualities) for name in names}


def _mean(name: str, qualities: Sequence[RecordingQuality]) -> Mean:
    found = [value for quality in qualities if (value := quality.values[name]) is not None]
    reasons = Counter(quality.reasons[name] for quality in qualities if quality.values[name] is None)
    mean = float(np.mean(found)) if found else None
    return Mean(mean, len(found), len(qualities) - len(found), dict(reasons))
