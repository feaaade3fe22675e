"""One analysis trained several times with different seeds: the mean bias of mu, its errors, and the noise of training.

Two errors are kept apart. The finite pseudo-data are the same events for every seed: their error does not fall with the
number of seeds, and is the spread of bootstrap replicas of the events. The noise of training is the spread of the
fitted mu over the seeds, and falls with the square root of their number. The interval of the difference of two models
has both: a replica draws events and seeds.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hepda.errors import DataError
from hepda.events.fit.replicas import smaller_distance
from hepda.results.evaluation import FloatArray, Interval
from hepda.results.fit_file import ClosedEntry, FitFile, FittedModel


@dataclass(frozen=True, slots=True)
class BiasOverSeeds:
    """The bias of mu at mu = 1 of a model in the pseudo-data of a domain, over trainings with different seeds.

    Attributes:
        seeds: number of trainings.
        bias: mean over the seeds.
        data_error: of the mean bias, from the finite pseudo-data: standard deviation of bootstrap replicas of the
            events; None without replicas.
        noise: standard deviation of the bias over the seeds; None for a single seed.
        expected_error: mean of the expected errors of mu.
        coverage: mean coverage of the 68.27 % intervals of toys; None without toys.
        winkler: mean Winkler score of these intervals.
        goodness: mean of -2 ln of the largest L over that of the saturated model; its ndf differs by seed where
            bins are automatic.
        ndf: mean number of bins less free factors.
        rates: mean of each fitted free rate, and its standard deviation over the seeds.
        smaller: |bias of the baseline| - |bias of the model|, with intervals at 68.27 and 95 % of replicas that draw
            events and seeds; None for the baseline and without replicas.

    """

    seeds: int
    bias: float
    data_error: float | None
    noise: float | None
    expected_error: float | None
    coverage: float | None
    winkler: float | None
    goodness: float | None
    ndf: float | None
    rates: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    smaller: tuple[Interval, Interval] | None = None

    @property
    def noise_of_mean(self) -> float | None:
        """The error of the mean bias from the noise of training."""
        return None if self.noise is None else self.noise / self.seeds**0.5


def bias_over_seeds(
    fits: Sequence[FitFile], baseline: str, variant: str = "without_two_point", *, seed: int = 0
) -> dict[str, dict[str, BiasOverSeeds]]:
    """Return the mean bias by model and domain, of the models and domains that every fit has.

    Args:
        fits: the fits of runs that differ by the seed of their trainings alone.
        baseline: the model that the others are compared with.
        variant: `without_two_point` or `all`, of the closure.
        seed: seed of the draws of seeds.

    Raises:
        DataError: there are no fits.

    """
    if not fits:
        raise DataError("a mean over seeds needs a fit")
    names = [name for name in fits[0].models if all(name in fit.models for fit in fits)]
    closed = {name: _at_one([fit.models[name] for fit in fits], variant) for name in names}
    drawn = np.random.default_rng(seed)
    replicas = {
        (name, domain): _replicas(entries)
        for name, by_domain in closed.items()
        for domain, entries in by_domain.items()
    }
    count = max((len(moved[0]) for moved in replicas.values() if moved is not None), default=0)
    draws = drawn.integers(0, len(fits), size=(count, len(fits)))
    return {
        name: {
            domain: _over_seeds(
                [fit.models[name] for fit in fits],
                entries,
                replicas[name, domain],
                None
                if name == baseline
                else _smaller(
                    _Paired(entries, replicas[name, domain]),
                    _Paired(closed.get(baseline, {}).get(domain, []), replicas.get((baseline, domain))),
                    draws,
                ),
            )
            for domain, entries in by_domain.items()
        }
        for name, by_domain in closed.items()
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Paired:
    """The fits of a model to one domain, and the fitted mu of their replicas [seeds, r]."""

    entries: Sequence[ClosedEntry]
    replicas: FloatArray | None

    @property
    def bias(self) -> float:
        """Return the mean bias over the seeds."""
        return _mean_bias(self.entries)


def _at_one(models: Sequence[FittedModel], variant: str) -> dict[str, list[ClosedEntry]]:
    """Return the fits at mu = 1 by domain, one for each seed; without domains where a seed has no fitted mu."""
    by_domain: dict[str, list[ClosedEntry]] = {}
    for model in models:
        for domain, entry in model.closure.at_one(variant).items():
            if entry.bias is not None:
                by_domain.setdefault(domain, []).append(entry)
    return {domain: entries for domain, entries in by_domain.items() if len(entries) == len(models)}


def _replicas(entries: Sequence[ClosedEntry]) -> FloatArray | None:
    """Return the fitted mu of the replicas [seeds, r] of a model in one domain, NaN where a fit has no minimum."""
    lengths = {len(entry.replicas) for entry in entries}
    if len(lengths) != 1 or 0 in lengths:
        return None
    rows = [[np.nan if mu is None else float(mu) for mu in entry.replicas] for entry in entries]
    return np.array(rows, dtype=np.float64)


def _over_seeds(
    models: Sequence[FittedModel],
    entries: Sequence[ClosedEntry],
    replicas: FloatArray | None,
    smaller: tuple[Interval, Interval] | None,
) -> BiasOverSeeds:
    biases = [float(entry.bias) for entry in entries if entry.bias is not None]
    means = None if replicas is None else replicas.mean(axis=0)
    return BiasOverSeeds(
        seeds=len(entries),
        bias=_mean_bias(entries),
        data_error=None if means is None else float(np.nanstd(means, ddof=1)),
        noise=statistics.stdev(biases) if len(biases) > 1 else None,
        expected_error=_mean([model.expected.error for model in models]),
        coverage=_mean([entry.toys.coverage for entry in entries]),
        winkler=_mean([entry.toys.winkler for entry in entries]),
        goodness=_mean([entry.goodness for entry in entries]),
        ndf=_mean([entry.ndf for entry in entries]),
        rates={name: _spread([entry.rates[name].value for entry in entries]) for name in entries[0].rates},
        smaller=smaller,
    )


def _mean_bias(entries: Sequence[ClosedEntry]) -> float:
    return statistics.fmean(float(entry.bias) for entry in entries if entry.bias is not None)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None


def _spread(values: Sequence[float]) -> tuple[float, float | None]:
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def _smaller(model: _Paired, of_baseline: _Paired, draws: NDArray[np.int64]) -> tuple[Interval, Interval] | None:
    """Return |bias of the baseline| - |bias of the model| with its intervals; None where one of them has no replicas.

    Args:
        model: the model.
        of_baseline: the baseline in the same domain.
        draws: numbers of the seeds that each replica draws with replacement [r, seeds], the same for all models.

    """
    if model.replicas is None or of_baseline.replicas is None or model.replicas.shape != of_baseline.replicas.shape:
        return None
    number = np.arange(len(draws))[:, None]
    moved = [replicas.T[number, draws].mean(axis=1) - 1.0 for replicas in (of_baseline.replicas, model.replicas)]
    try:
        return smaller_distance((of_baseline.bias, moved[0]), (model.bias, moved[1]))
    except DataError:  # too many replicas without a minimum
        return None
