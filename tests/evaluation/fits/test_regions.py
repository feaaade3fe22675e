"""Fits of several regions with free rates, held against pyhf and, where it is installed, cabinetry."""

from dataclasses import replace

import numpy as np
import pyhf
import pytest

from hepda.errors import DataError
from hepda.evaluation.fits.channels import Channel, SampleTemplate
from hepda.evaluation.fits.discovery import significance
from hepda.evaluation.fits.fitting import fit, workspace
from hepda.evaluation.fits.histfactory import Model
from hepda.evaluation.fits.histfactory import fit as newton_fit
from hepda.evaluation.fits.limits import upper_limit
from hepda.evaluation.fits.minuit import minimise, model_and_data, pyhf_with_minuit
from hepda.evaluation.fits.numerics.expectation import Blocks, RowByRow
from hepda.evaluation.fits.profile import fit_strengths
from hepda.evaluation.fits.studies.ranking import error_budget, impacts
from hepda.evaluation.fits.templates import Templates
from hepda.evaluation.fits.toys import expected_fits, toy_fits
from tests.evaluation.fits.regions import one_bin, region, three_regions

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")


@pytest.fixture(scope="module")
def templates():
    return three_regions()


@pytest.fixture(scope="module")
def counts(templates):
    truth = templates.expected(1.4, {"ttb": 1.3, "jes": 0.5, "tagging_few_tags": -0.7})
    return np.random.default_rng(11).poisson(truth).astype(float)


@pytest.fixture(scope="module")
def result(templates, counts):
    return fit(templates, counts)


def points(model, count=15, seed=1):
    generator = np.random.default_rng(seed)
    free = len(model.rates)
    theta = generator.normal(0, 1.2, (count, len(model.parameters)))
    theta[:, :free] = np.abs(theta[:, :free]) + 0.2
    theta[0] = model.start
    return theta


def test_bins_of_all_regions_are_one_after_another(templates):
    assert templates.slices == {"few_tags": slice(0, 4), "three_tags": slice(4, 7), "four_tags": slice(7, 9)}
    assert templates.bins == 9 and templates.rates == ("mu", "ttb") and templates.signals == ("mu",)
    assert templates.samples == ("ttH", "ttb", "ttlight")
    assert templates.systematics[:2] == ("jes", "lumi") and len(templates.systematics) == 6
    np.testing.assert_allclose(templates.parts(templates.total())["three_tags"], templates.channels[1].total())
    alone = templates.only(["four_tags"])
    np.testing.assert_allclose(alone.total(2.0), templates.total(2.0)[7:])
    scaled = templates.expected(1.0, {"ttb": 2.0}) - templates.total()
    np.testing.assert_allclose(scaled, np.concatenate([c.samples[1].sumw for c in templates.channels]))
    assert templates.staterrors[4] == "staterror_three_tags[0]"


def test_expected_events_are_those_of_pyhf(templates):
    model, free = Model.of(templates), len(templates.rates)
    assert isinstance(model.expectation, Blocks)
    with pyhf_with_minuit() as backend:
        given, _ = model_and_data(backend, workspace(templates, templates.total()))
        for theta, row in zip(points(model), model.expected(points(model)), strict=True):
            named = dict(zip(model.parameters, theta, strict=True))
            values = [named.get(name, 1.0) for name in given.config.par_names]
            by_channel = given.expected_actualdata(values)
            for name, part in templates.parts(row).items():
                np.testing.assert_allclose(by_channel[given.config.channel_slices[name]], part, rtol=1e-12)
            systematics = dict(zip(model.names, theta[free:], strict=True)) | {"ttb": theta[1]}
            np.testing.assert_allclose(templates.expected(theta[0], systematics), row, rtol=1e-12)


def test_derivatives_are_differences_and_those_of_the_sum_row_by_row(templates):
    model, h = Model.of(templates), 1e-5
    theta = points(model)
    data = model.fluctuated(templates.total(), len(theta), np.random.default_rng(0))
    at = model.derivatives(theta, data)
    for q in range(theta.shape[1]):
        step = np.zeros(theta.shape[1])
        step[q] = h
        above, below = model.derivatives(theta + step, data), model.derivatives(theta - step, data)
        scale = np.abs(at.gradient).max()
        np.testing.assert_allclose(at.gradient[:, q], (above.value - below.value) / (2 * h), atol=1e-7 * scale)
        bend = (above.gradient - below.gradient) / (2 * h)
        np.testing.assert_allclose(at.hessian[:, q], bend, atol=1e-7 * np.abs(at.hessian).max())
    blocks = model.expectation
    row_by_row = RowByRow(blocks.rows, blocks.factors, blocks.free, blocks.bins)
    at_rows = replace(model, expectation=row_by_row).derivatives(theta, data)
    for name in ("value", "gradient", "hessian", "positive"):
        expected = getattr(at_rows, name)
        np.testing.assert_allclose(getattr(at, name), expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())


def test_one_region_with_its_bins_in_two_channels_is_the_same_fit_without_rates_of_shapes():
    """Without systematics a region may be cut in two."""
    whole = region(systematics=False)
    (channel,) = whole.channels

    def part(name, bins):
        samples = tuple(replace(s, sumw=s.sumw[bins], sumw2=s.sumw2[bins]) for s in channel.samples)
        return Channel(name, np.arange(bins.stop - bins.start + 1.0), samples)

    cut = Templates((part("left", slice(0, 5)), part("right", slice(5, 8))))
    counts = np.random.default_rng(0).poisson(whole.total(), (3, 8)).astype(float)
    one, two = (fit_strengths(m, m.nominally(counts)) for m in (Model.of(whole), Model.of(cut)))
    for name in ("mu", "error", "low", "high", "value"):
        np.testing.assert_allclose(getattr(two, name), getattr(one, name), rtol=1e-9)


def test_mu_and_error_are_those_of_pyhf_on_the_workspace(templates, counts, result):
    spec = workspace(templates, counts)
    pyhf.schema.validate(spec, "workspace.json")
    assert {p["name"] for p in spec["measurements"][0]["config"]["parameters"]} == {"mu", "ttb"}
    model = Model.of(templates)
    best = fit_strengths(model, model.nominally(counts[None]), last_step=True)
    inverse = np.linalg.inv(best.hessian[0])
    errors = np.sqrt(inverse.diagonal())
    assert best.mu[0] == pytest.approx(result.mu, abs=1e-3 * result.error)
    assert best.error[0] == pytest.approx(result.error, rel=1e-3)
    assert (best.low[0], best.high[0]) == pytest.approx((result.low, result.high), abs=1e-3 * result.error)
    for name, value, error in zip(model.parameters, best.theta[0], errors, strict=True):
        assert result.parameter(name).value == pytest.approx(value, abs=2e-3 * error)
        assert result.parameter(name).error == pytest.approx(error, rel=2e-3)
    size = len(model.parameters)
    np.testing.assert_allclose(result.correlation[:size, :size], inverse / np.outer(errors, errors), atol=2e-3)
    np.testing.assert_allclose(result.covariance.diagonal(), [p.error**2 for p in result.parameters])
    kinds = [p.kind for p in result.parameters]
    assert kinds[:3] == ["poi", "free", "systematic"] and kinds[-1] == "statistics" and len(kinds) == 2 + 6 + 9
    assert result.parameter("ttb").pull is None and 1.0 < result.parameter("ttb").value < 1.6
    assert result.ndf == 9 - 2
    assert result.goodness == pytest.approx(2 * best.value[0], abs=1e-3)


def test_mu_and_error_are_those_of_cabinetry(templates, counts, result):
    cabinetry = pytest.importorskip("cabinetry")
    model, data = cabinetry.model_utils.model_and_data(workspace(templates, counts))
    other = cabinetry.fit.fit(model, data, minos="mu", goodness_of_fit=True)
    # its HESSE keeps the limits of parameters, which makes errors of systematics too small: see `minuit.minimise`
    for name, precision in (("mu", 1e-3), ("ttb", 1e-3), ("jes", 2e-2)):
        index = other.labels.index(name)
        assert other.bestfit[index] == pytest.approx(result.parameter(name).value, abs=1e-3 * other.uncertainty[index])
        assert other.uncertainty[index] == pytest.approx(result.parameter(name).error, rel=precision)
    assert other.goodness_of_fit == pytest.approx(result.p_value, abs=1e-3)
    low, high = other.minos_uncertainty["mu"]
    assert (low, high) == pytest.approx((result.low - result.mu, result.high - result.mu), abs=2e-3 * result.error)


def test_toys_with_a_free_rate_cover(templates):
    truth = templates.expected(1.0, {"ttb": 1.25})
    result = toy_fits(templates, truth, 1.0, toys=3000, seed=2)
    assert result.failed == 0
    assert result.coverage == pytest.approx(0.6827, abs=3.5 * result.coverage_error)
    assert result.pull_width == pytest.approx(1.0, abs=0.05)
    assert abs(result.bias) < 0.12 * result.error.mean()
    fixed = three_regions(free=())
    assert toy_fits(fixed, truth, 1.0, toys=300).coverage < 0.45  # without the free rate it is a bias


def test_expected_fits_tell_the_free_rates(templates, counts, result):
    (exact,) = expected_fits(templates, templates.expected(2.0, {"ttb": 0.8})[None], [2.0])
    assert exact.mu == pytest.approx(2.0, abs=1e-4)
    value, error = exact.rates["ttb"]
    assert value == pytest.approx(0.8, abs=1e-4) and 0.03 < error < 0.3
    (fitted,) = expected_fits(templates, counts[None], [1.0])
    assert fitted.rates["ttb"] == pytest.approx(
        (result.parameter("ttb").value, result.parameter("ttb").error), rel=5e-3
    )
    assert expected_fits(region(), region().total()[None], [1.0])[0].rates == {}


def test_impacts_before_and_after_the_fit_are_what_pyhf_finds(templates, counts, result):
    named = {i.name: i for i in impacts(templates, counts, result)}
    assert named["ttb"].kind == "free" and named["ttb"].pull is None and named["ttb"].prefit_up is None
    assert len(named) == 1 + 6 + 9
    with pyhf_with_minuit() as backend:
        model, data = model_and_data(backend, workspace(templates, counts))
        for name in ("ttb", "staterror_four_tags[1]"):
            parameter, index = result.parameter(name), model.config.par_names.index(name)
            pairs = [(parameter.error, named[name].mu_up), (-parameter.error, named[name].mu_down)]
            if parameter.prior_error:
                pairs += [(parameter.prior_error, named[name].prefit_up)]
            for step, shift in pairs:
                start, fixed = model.config.suggested_init(), model.config.suggested_fixed()
                start[index], fixed[index] = parameter.value + step, True
                values = backend.infer.mle.fit(data, model, start, None, fixed)
                assert shift == pytest.approx(values[model.config.poi_index] - result.mu, abs=3e-3 * result.error)
    names = [p.name for p in result.parameters]
    linear = result.correlation[0, names.index("ttb")] * result.error
    assert 0.5 * (named["ttb"].mu_up - named["ttb"].mu_down) == pytest.approx(linear, rel=0.1)


def test_the_error_has_a_part_of_the_free_rates(templates):
    budget = error_budget(templates, templates.total())
    fixed = error_budget(three_regions(free=()), templates.total())
    parts = (budget.data, budget.simulation, budget.rates, budget.systematics)
    assert budget.total**2 == pytest.approx(sum(p**2 for p in parts))
    assert budget.rates > 0.02 and fixed.rates == 0
    assert (budget.data, budget.simulation) == pytest.approx((fixed.data, fixed.simulation))


@pytest.mark.slow
def test_limits_and_significance_profile_the_free_rates():
    templates = three_regions().only(["three_tags", "four_tags"])
    counts = templates.expected(0.3, {"ttb": 1.4})
    limit = upper_limit(templates, counts)
    sure = upper_limit(three_regions(free=()).only(["three_tags", "four_tags"]), templates.total(0.3))
    assert limit.expected > sure.expected
    with pyhf_with_minuit() as backend:
        model, data = model_and_data(backend, workspace(templates, counts))
        bounds, poi = model.config.suggested_bounds(), model.config.poi_index
        bounds[poi] = (0.0, bounds[poi][1])
        observed = backend.infer.hypotest(limit.observed, data, model, par_bounds=bounds)
        assert float(observed) == pytest.approx(0.05, rel=0.02)
    found = significance(templates, templates.total())
    assert found.observed == pytest.approx(found.expected, rel=1e-3)


def test_free_rates_that_nothing_tells_apart_are_named():
    h = np.array([100.0, 50.0])
    signal = SampleTemplate("s", True, np.array([5.0, 20.0]), np.ones(2))

    def templates(*backgrounds):
        return Templates.of_one("score", [0.0, 1.0, 2.0], (signal, *backgrounds))

    alike = templates(
        SampleTemplate("ttb", False, h, h, rate="ttb"), SampleTemplate("ttc", False, 2 * h, h, rate="ttc")
    )
    for function in (fit, lambda t, n: toy_fits(t, n, 1.0), upper_limit, workspace):
        with pytest.raises(DataError, match="cannot tell ttb and ttc apart"):
            function(alike, alike.total())
    prior = templates(
        SampleTemplate("ttb", False, h, h, rate="ttb"), SampleTemplate("ttc", False, 2 * h, h, norms={"c": (1.3, 0.7)})
    )
    assert fit(prior, prior.total()).parameter("ttb").error == pytest.approx(0.6, rel=0.3)
    hidden = templates(
        SampleTemplate("ttb", False, 1e-3 * h[::-1], 1e-5 * h, rate="ttb"), SampleTemplate("ttc", False, 2 * h, h)
    )
    with pytest.raises(DataError, match=r"no fitted region constrains the free rate ttb \(expected error"):
        fit(hidden, hidden.total())
    with pytest.raises(DataError, match="mu and ttb apart"):
        fit(templates(SampleTemplate("b", False, h, h, rate="ttb"), SampleTemplate("x", False, 0.1 * h, h)).mapped(
            lambda s: replace(s, sumw=h) if s.signal else s), 2.1 * h)  # fmt: skip


def test_a_second_signal_has_a_strength_of_its_own():
    x = np.linspace(0, 1, 6)
    samples = (
        SampleTemplate("ttH", True, 40 * x + 5, 0.1 * x),
        SampleTemplate("tHq", True, 60 * (1 - x) * x + 2, 0.1 * x, rate="mu_tHq"),
        SampleTemplate("tt", False, 300 * np.exp(-2 * x), np.ones(6), norms={"rate": (1.05, 0.95)}),
    )
    templates = Templates.of_one("score", np.arange(7.0), samples)
    assert templates.signals == ("mu", "mu_tHq")
    np.testing.assert_allclose(templates.total(3.0) - templates.total(1.0), 2 * samples[0].sumw)
    result = fit(templates, templates.expected(1.5, {"mu_tHq": 0.5}))
    assert result.mu == pytest.approx(1.5, abs=5e-3)
    assert result.parameter("mu_tHq").value == pytest.approx(0.5, abs=5e-3)
    assert result.parameter("mu_tHq").kind == "free"
    rare = replace(samples[1], sumw=1e-3 * samples[1].sumw, sumw2=np.zeros(6))  # known to some hundred times itself
    assert Model.of(Templates.of_one("score", np.arange(7.0), (samples[0], rare, samples[2]))).rates == templates.rates


def test_what_is_no_fit_of_several_regions_is_an_error(templates):
    (channel,) = one_bin(5.0, 50.0).channels
    with pytest.raises(DataError, match="two regions have the same name"):
        Templates((channel, channel))
    with pytest.raises(DataError, match="region none has no template"):
        Channel("none", channel.edges, ())
    with pytest.raises(DataError, match="mu scales signals only"):
        replace(channel.samples[1], rate="mu")
    renamed = channel.mapped(lambda s: replace(s, rate="mu_x") if s.signal else s)
    with pytest.raises(DataError, match="no signal is scaled by mu; the strengths are called mu_x"):
        Templates((renamed,))
    both = channel.mapped(lambda s: s if s.signal else replace(s, rate="tt", norms={"tt": (1.1, 0.9)}))
    with pytest.raises(DataError, match="'tt' is both a free rate and a systematic"):
        Templates((both,))
    with pytest.raises(DataError, match=r"bins \[0\] of the templates of few_tags have no positive background"):
        bad = templates.channels[0].mapped(lambda s: s if s.signal else replace(s, sumw=s.sumw * [-0.1, 1, 1, 1]))
        Templates((bad.mapped(lambda s: replace(s, shapes={})), *templates.channels[1:])).check()
    with pytest.raises(DataError, match=r"bins \[2\] of the observed counts in three_tags are negative"):
        templates.counts([1.0] * 6 + [-1.0] + [1.0] * 2)


def test_a_control_region_without_signal_constrains_its_rate():
    h = np.array([30.0, 20.0])
    signal_region = Channel("signal", np.arange(3.0), (
        SampleTemplate("ttH", True, np.array([4.0, 12.0]), np.ones(2)),
        SampleTemplate("ttb", False, h, h / 50, rate="ttb"),
    ))  # fmt: skip
    control = Channel("control", np.arange(2.0), (SampleTemplate("ttb", False, [500.0], [1.0], rate="ttb"),))
    alone, both = Templates((signal_region,)), Templates((signal_region, control))
    errors = [newton_error(t) for t in (alone, both)]
    assert errors[1][0] < 0.75 * errors[0][0]
    assert errors[1][1] == pytest.approx(1 / np.sqrt(500), rel=0.1)


def newton_error(templates):
    model = Model.of(templates)
    best = newton_fit(model, model.nominally(templates.total()[None]))
    return np.sqrt(np.linalg.inv(best.at.hessian[0]).diagonal())


def test_workspaces_of_any_order_of_channels_fit_the_same(templates, counts, result):
    """pyhf sorts channels by name; ours keep the order of the analysis."""
    turned = Templates(templates.channels[::-1])
    parts = templates.parts(counts)
    again = fit(turned, np.concatenate([parts[c.name] for c in turned.channels]))
    assert again.mu == pytest.approx(result.mu, abs=1e-3 * result.error)
    with pyhf_with_minuit() as backend:
        minuit = minimise(backend, *model_and_data(backend, workspace(templates, counts)))
    assert minuit.values["mu"] == pytest.approx(result.mu)
