"""Expected events of every region before and after a fit, by sample, with the band of all parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hepda.evaluation.fits.channels import Channel
from hepda.evaluation.fits.histfactory import Model
from hepda.evaluation.fits.templates import Templates
from hepda.results.evaluation import FloatArray
from hepda.results.fits import FitResult, RegionContents, Yield


def prefit(templates: Templates | Sequence[Channel]) -> tuple[RegionContents, ...]:
    """Return the expected events of each region before a fit, at mu = 1 and with every free rate at 1.

    An error has the statistics of the simulation and the larger side of each systematic, in quadrature. The error of a
    sum of bins takes a systematic as one shift of all bins. Free factors have no error before a fit.
    """
    channels = templates.channels if isinstance(templates, Templates) else templates
    return tuple(_before(channel) for channel in channels)


def postfit(
    templates: Templates, result: FitResult, *, validation: Sequence[Channel] = ()
) -> tuple[RegionContents, ...]:
    """Return the expected events of each region at the best parameters of a fit.

    The error is that of all fitted parameters with their correlations, propagated linearly: sqrt(J C J^T) with the
    derivatives J of the expectation and the covariance C of the fit. A sample's contents include the factor of the
    templates' statistics of the bin, as the likelihood has it.

    Args:
        templates: the templates of the fit.
        result: its result.
        validation: channels that were not fitted. They share the parameters of the fit; a systematic that the fit does
            not have keeps its error of one standard deviation, the statistics of their templates are added, and a free
            rate that the fit does not have stays at 1, without error.

    Returns:
        The fitted regions in the order of the templates, then those of `validation`; none if the fit has no minimum.

    """
    if result.mu is None:
        return ()
    everything = Templates((*templates.channels, *validation))
    model = Model.unchecked(everything)
    values, covariance = _parameters(everything, model, result)
    theta, gamma = values[: len(model.parameters)], values[len(model.parameters) :]
    rows = iter(_row_slopes(model, theta, gamma))
    fitted = {channel.name for channel in templates.channels}
    regions = []
    for channel in everything.channels:
        by_sample = {sample.name: next(rows) for sample in channel.samples}
        regions.append(_after(channel, by_sample, covariance, fitted=channel.name in fitted))
    return tuple(regions)


def _before(channel: Channel) -> RegionContents:
    one_bin = channel.merged([0, channel.bins])
    alone = {sample.name: replace(channel, samples=(sample,)) for sample in channel.samples}
    return RegionContents(
        region=channel.name,
        edges=channel.edges,
        samples={name: part.total() for name, part in alone.items()},
        sample_errors={name: part.uncertainty() for name, part in alone.items()},
        total=channel.total(),
        error=channel.uncertainty(),
        yields={name: _yield(part.merged([0, part.bins])) for name, part in alone.items()},
        total_yield=_yield(one_bin),
        signal=tuple(sample.name for sample in channel.samples if sample.signal),
    )


def _yield(one_bin: Channel) -> Yield:
    return Yield(float(one_bin.total()[0]), float(one_bin.uncertainty()[0]))


def _parameters(templates: Templates, model: Model, result: FitResult) -> tuple[FloatArray, FloatArray]:
    """Return values [q + b] and covariance of the model's parameters and of the factors of its bins.

    Those that were not fitted have their nominal value and the error of their prior.
    """
    names = [*model.parameters, *templates.staterrors]
    values = np.concatenate([model.start, np.ones(model.bins)])
    free = len(model.rates)
    priors = np.concatenate([np.zeros(free), np.ones(len(model.names)), model.error])
    covariance = np.diag(priors**2)
    place = {name: index for index, name in enumerate(names)}
    known = [(i, place[p.name]) for i, p in enumerate(result.parameters) if p.name in place]
    in_result, in_model = (np.array(indices, dtype=np.intp) for indices in zip(*known, strict=True))
    values[in_model] = [result.parameters[i].value for i in in_result]
    covariance[np.ix_(in_model, in_model)] = result.covariance[np.ix_(in_result, in_result)]
    return values, covariance


def _row_slopes(model: Model, theta: FloatArray, gamma: FloatArray) -> list[tuple[FloatArray, FloatArray]]:
    """Return contents [b of the row] of each sample in each channel, and their slopes [q + b, b of the row]."""
    parts = []
    for row, (nu, slopes) in zip(model.expectation.rows, model.by_row(theta), strict=True):
        by_gamma = np.zeros((model.bins, len(nu)))
        by_gamma[np.arange(model.bins)[row.bins], np.arange(len(nu))] = nu
        parts.append((gamma[row.bins] * nu, np.concatenate([gamma[row.bins] * slopes, by_gamma])))
    return parts


def _after(
    channel: Channel, by_sample: dict[str, tuple[FloatArray, FloatArray]], covariance: FloatArray, *, fitted: bool
) -> RegionContents:
    contents = {name: nu for name, (nu, _) in by_sample.items()}
    slopes = {name: slope for name, (_, slope) in by_sample.items()}
    total, total_slopes = sum(contents.values()), np.sum(list(slopes.values()), axis=0)

    def of_bins(slope: FloatArray) -> FloatArray:
        variance = np.einsum("pb,pq,qb->b", slope, covariance, slope)
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)), dtype=np.float64)

    def of_sum(nu: FloatArray, slope: FloatArray) -> Yield:
        return Yield(float(nu.sum()), float(of_bins(slope.sum(axis=1, keepdims=True))[0]))

    return RegionContents(
        region=channel.name,
        edges=channel.edges,
        samples=contents,
        sample_errors={name: of_bins(slope) for name, slope in slopes.items()},
        total=np.asarray(total, dtype=np.float64),
        error=of_bins(total_slopes),
        yields={name: of_sum(contents[name], slopes[name]) for name in contents},
        total_yield=of_sum(np.asarray(total), total_slopes),
        signal=tuple(sample.name for sample in channel.samples if sample.signal),
        fitted=fitted,
    )
