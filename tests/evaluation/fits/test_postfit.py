"""Contents before and after a fit, held against numerical derivatives of pyhf's expectation and cabinetry's bands."""

import numpy as np
import pytest

from hepda.evaluation.fits.channels import Channel, SampleTemplate
from hepda.evaluation.fits.fitting import fit, workspace
from hepda.evaluation.fits.minuit import model_and_data, pyhf_with_minuit
from hepda.evaluation.fits.postfit import postfit, prefit
from hepda.evaluation.fits.templates import Templates
from tests.evaluation.fits.regions import one_bin, region, three_regions

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")


@pytest.fixture(scope="module")
def everything():
    return three_regions(validation=True)


@pytest.fixture(scope="module")
def templates(everything):
    return everything.only(["three_tags", "four_tags"])


@pytest.fixture(scope="module")
def counts(templates):
    return np.random.default_rng(3).poisson(templates.expected(1.2, {"ttb": 1.2})).astype(float)


@pytest.fixture(scope="module")
def result(templates, counts):
    return fit(templates, counts)


def test_before_the_fit_errors_are_statistics_and_the_larger_side_of_each_systematic(templates):
    regions = prefit(templates)
    assert [r.region for r in regions] == ["three_tags", "four_tags"]
    np.testing.assert_allclose(np.concatenate([r.total for r in regions]), templates.total())
    np.testing.assert_allclose(np.concatenate([r.error for r in regions]), templates.uncertainty())
    contents, channel = regions[0], templates.channels[0]
    assert contents.signal == ("ttH",) and not contents.fitted
    light = channel.samples[2]
    sides = [light.shapes["jes"], light.shapes["tagging_three_tags"]]
    shifts = [np.maximum(np.abs(up - light.sumw), np.abs(down - light.sumw)) for up, down in sides]
    shifts += [0.02 * light.sumw, 0.1 * light.sumw]
    np.testing.assert_allclose(contents.sample_errors["ttlight"] ** 2, light.sumw2 + sum(s**2 for s in shifts))
    # of the sum of bins: each systematic moves all bins together
    total = light.sumw.sum()
    moved = [max(abs(up.sum() - total), abs(down.sum() - total)) for up, down in sides] + [0.02 * total, 0.1 * total]
    assert contents.yields["ttlight"].value == pytest.approx(total)
    assert contents.yields["ttlight"].error ** 2 == pytest.approx(light.sumw2.sum() + sum(m**2 for m in moved))
    assert contents.total_yield.value == pytest.approx(contents.total.sum())
    assert [r.region for r in prefit(three_regions().channels)] == ["few_tags", "three_tags", "four_tags"]


def test_after_the_fit_the_band_is_that_of_pyhfs_expectation_and_the_covariance(templates, counts, result):
    regions = {r.region: r for r in postfit(templates, result)}
    with pyhf_with_minuit() as backend:
        model, _ = model_and_data(backend, workspace(templates, counts))
        names = model.config.par_names
        best = np.array([result.parameter(name).value for name in names])
        order = [[p.name for p in result.parameters].index(name) for name in names]
        covariance = result.covariance[np.ix_(order, order)]

        def by_sample(values):
            return np.asarray(model.main_model.expected_data(values, return_by_sample=True))

        centre, slopes = by_sample(best), []
        for i in range(len(names)):
            step = np.zeros(len(names))
            step[i] = 1e-4 * np.sqrt(covariance[i, i])
            slopes.append((by_sample(best + step) - by_sample(best - step)) / (2 * step[i]))
        slopes = np.array(slopes)  # parameters, samples, bins
        for name, contents in regions.items():
            assert contents.fitted
            bins = model.config.channel_slices[name]
            for s, sample in enumerate(model.config.samples):
                part = slopes[:, s, bins]
                np.testing.assert_allclose(contents.samples[sample], centre[s, bins], rtol=1e-8)
                error = np.sqrt(np.einsum("pb,pq,qb->b", part, covariance, part))
                np.testing.assert_allclose(contents.sample_errors[sample], error, rtol=1e-5)
                of_sum = part.sum(axis=1)
                assert contents.yields[sample].error == pytest.approx(np.sqrt(of_sum @ covariance @ of_sum), rel=1e-5)
            part = slopes[:, :, bins].sum(axis=1)
            error = np.sqrt(np.einsum("pb,pq,qb->b", part, covariance, part))
            np.testing.assert_allclose(contents.error, error, rtol=1e-5)
            assert contents.total_yield.error == pytest.approx(
                np.sqrt(part.sum(axis=1) @ covariance @ part.sum(axis=1)), rel=1e-5
            )
    assert all(np.all(r.error < np.sqrt(r.total) * 1.05) for r in regions.values())


def test_bands_are_those_of_cabinetry(templates, counts, result):
    """cabinetry shifts each parameter by its whole error, which is the same as long as everything is linear.

    Before the fit it takes the mean of both sides of a systematic, where we take the larger one.
    """
    cabinetry = pytest.importorskip("cabinetry")
    model, data = cabinetry.model_utils.model_and_data(workspace(templates, counts))
    after = cabinetry.model_utils.prediction(model, fit_results=cabinetry.fit.fit(model, data))
    before = cabinetry.model_utils.prediction(model)
    cases = ((postfit(templates, result), after, 0.97, 1.03), (prefit(templates), before, 1.0, 1.1))
    for mine, theirs, least, most in cases:
        named = {r.region: r for r in mine}
        for i, channel in enumerate(model.config.channels):
            total = np.sum(theirs.model_yields[i], axis=0)
            np.testing.assert_allclose(named[channel].total, total, rtol=2e-3)
            of_bins = named[channel].error / theirs.total_stdev_model_bins[i][-1]
            of_sum = named[channel].total_yield.error / theirs.total_stdev_model_channels[i][-1]
            assert least < of_bins.min() and of_bins.max() < most and least < of_sum < most


def test_a_region_of_validation_shares_the_parameters_of_the_fit(everything, templates, result):
    outside = everything.only(["few_tags", "side"]).channels
    fitted, again, few, side = postfit(templates, result, validation=outside)
    np.testing.assert_allclose(fitted.error, postfit(templates, result)[0].error)
    assert (fitted.fitted, again.fitted, few.fitted, side.fitted) == (True, True, False, False)
    values = {p.name: p.value for p in result.parameters if p.kind in ("free", "systematic")}
    (channel,) = [c for c in outside if c.name == "side"]
    np.testing.assert_allclose(side.total, channel.expected(result.mu, values), rtol=1e-10)
    # numerically: the covariance of the fit, the prior of the tagging that only this region has, and its statistics
    shared = [p for p in result.parameters if p.name in ("mu", *values)]
    rows = [[p.name for p in result.parameters].index(p.name) for p in shared]
    slopes = []
    for p in shared:
        h = 1e-5 * p.error
        moved = [{**values, "mu": result.mu, p.name: p.value + sign * h} for sign in (1, -1)]
        up, down = (channel.expected(v.pop("mu"), v) for v in moved)
        slopes.append((up - down) / (2 * h))
    variance = np.einsum("pb,pq,qb->b", slopes, result.covariance[np.ix_(rows, rows)], slopes)
    up, down = (channel.expected(result.mu, {**values, "tagging_side": a}) for a in (1e-4, -1e-4))
    variance += ((up - down) / 2e-4) ** 2 + (side.total * np.sqrt(channel.sumw2) / channel.total()) ** 2
    np.testing.assert_allclose(side.error, np.sqrt(variance), rtol=1e-5)


def test_one_region_in_closed_form():
    """A free rate fits its region exactly: the error of the total is Poisson's, that of a validation region scales."""
    signal = SampleTemplate("s", True, np.array([1000.0]), np.zeros(1))
    tt = SampleTemplate("tt", False, np.array([10_000.0]), np.zeros(1), rate="tt")
    tt_control, tt_other = (SampleTemplate("tt", False, [n], [0.0], rate="tt") for n in (40_000.0, 500.0))
    two = Templates((Channel("signal", [0, 1], (signal, tt)), Channel("control", [0, 1], (tt_control,))))
    result = fit(two, [11_500.0, 44_000.0])
    first, control, other = postfit(two, result, validation=[Channel("other", [0, 1], (tt_other,))])
    assert first.total[0] == pytest.approx(11_500, rel=1e-4)
    assert first.error[0] == pytest.approx(np.sqrt(11_500), rel=1e-2)
    assert control.error[0] == pytest.approx(np.sqrt(44_000), rel=1e-2)
    assert other.total[0] == pytest.approx(550, rel=1e-4)
    assert other.error[0] == pytest.approx(np.sqrt(44_000) * 500 / 40_000, rel=1e-2)
    assert first.yields["s"].error == pytest.approx(1000 * result.error, rel=1e-6)


def test_a_fit_without_minimum_has_no_contents():
    nothing = fit(one_bin(1.0, 5.0, background_error=1.0), [0.0])
    assert postfit(one_bin(1.0, 5.0, background_error=1.0), nothing) == ()


def test_a_region_that_is_fitted_alone_has_smaller_errors_than_before():
    templates = region(scale=0.3)
    counts = np.random.default_rng(4).poisson(templates.total(1.3)).astype(float)
    (before,), (after,) = prefit(templates), postfit(templates, fit(templates, counts))
    assert np.all(after.error[:5] < before.error[:5])  # above, mu itself is not known before
    assert np.all(after.error < np.sqrt(counts))  # a bin is known better with its neighbours than alone
    np.testing.assert_allclose(sum(after.samples.values()), after.total)
