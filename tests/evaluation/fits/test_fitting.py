import json
import logging

import numpy as np
import pyhf
import pytest

from hepda.errors import DataError
from hepda.evaluation.fits.channels import SampleTemplate
from hepda.evaluation.fits.discovery import discovery, significance
from hepda.evaluation.fits.fitting import fit, workspace
from hepda.evaluation.fits.minuit import model_and_data, pyhf_with_minuit
from hepda.evaluation.fits.postfit import postfit
from hepda.evaluation.fits.studies.ranking import error_budget, impacts
from hepda.evaluation.fits.templates import Templates
from hepda.evaluation.significance import asimov
from tests.evaluation.fits.regions import one_bin, region
from tests.reference import histfactory as reference
from tests.reference.evaluation import gaussian_asimov

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")


@pytest.fixture(scope="module")
def templates():
    return region(scale=0.3)


@pytest.fixture(scope="module")
def counts(templates):
    return np.random.default_rng(4).poisson(templates.total(1.3)).astype(float)


@pytest.fixture(scope="module")
def result(templates, counts):
    return fit(templates, counts)


def test_the_workspace_follows_pyhfs_schema_and_survives_a_file(templates, counts):
    spec = workspace(templates, counts)
    pyhf.schema.validate(spec, "workspace.json")
    again = json.loads(json.dumps(spec))
    assert again == spec
    read = pyhf.Workspace(again)
    assert read.channels == ["score"] and read.get_measurement()["config"]["poi"] == "mu"
    model = read.model()
    np.testing.assert_array_equal(read.data(model, include_auxdata=False), counts)
    assert set(model.config.par_names) == {
        "mu", "jes", "generator", "lumi", "tt_rate", *(f"staterror_score[{b}]" for b in range(8))
    }  # fmt: skip
    for mu, alpha in ((1.0, 0.0), (1.7, 0.6), (0.4, -1.8)):
        values = [{"mu": mu, "jes": alpha, "tt_rate": -alpha}.get(n, 0.0 if "stat" not in n else 1.0)
                  for n in model.config.par_names]  # fmt: skip
        expected = templates.expected(mu, {"jes": alpha, "tt_rate": -alpha})
        np.testing.assert_allclose(model.expected_actualdata(values), expected, rtol=1e-12)


def test_samples_carry_what_changes_them_alone(templates, counts):
    samples = {s["name"]: s["modifiers"] for s in workspace(templates, counts)["channels"][0]["samples"]}
    kinds = {name: {(m["name"], m["type"]) for m in modifiers} for name, modifiers in samples.items()}
    assert ("mu", "normfactor") in kinds["ttH"] and ("mu", "normfactor") not in kinds["ttjets"]
    assert {("jes", "normsys"), ("jes", "histosys"), ("lumi", "normsys")} <= kinds["ttZ"]
    assert not {("tt_rate", "normsys"), ("generator", "histosys")} & kinds["ttH"]


def test_mu_and_its_errors_are_those_of_minuit_on_the_likelihood_written_by_hand():
    templates = region(scale=0.3, bins=4)
    counts = np.random.default_rng(6).poisson(templates.total(0.7)).astype(float)
    result, minuit = fit(templates, counts), reference.minimise(templates, counts)
    assert result.mu == pytest.approx(minuit.values["mu"], abs=2e-3 * minuit.errors["mu"])
    assert result.error == pytest.approx(minuit.errors["mu"], rel=5e-3)
    assert result.low - result.mu == pytest.approx(minuit.merrors["mu"].lower, rel=5e-3)
    assert result.high - result.mu == pytest.approx(minuit.merrors["mu"].upper, rel=5e-3)
    for name in templates.systematics:
        assert result.parameter(name).value == pytest.approx(minuit.values[name], abs=5e-3)
        assert result.parameter(name).error == pytest.approx(minuit.errors[name], rel=5e-3)
    by_hand = np.asarray(minuit.covariance.correlation())
    names = [p.name for p in result.parameters]
    assert names[:5] == ["mu", *templates.systematics]
    np.testing.assert_allclose(result.correlation, by_hand, atol=5e-3)


def test_one_bin_in_closed_form():
    s, b, n = 1e4, 1e6, 1.01e6
    for options, extra in (({}, 0.0), ({"background_error": 1e3}, 1e3), ({"rate": 2e-3}, 2e3)):
        result = fit(one_bin(s, b, **options), [n])
        assert result.mu == pytest.approx(1.0, abs=1e-4)
        assert result.error == pytest.approx(np.sqrt(n + extra**2) / s, rel=1e-2)  # HESSE's precision
        assert result.high - result.low == pytest.approx(2 * np.sqrt(n + extra**2) / s, rel=2e-3)
    budget = error_budget(one_bin(s, b, background_error=1e3, rate=2e-3), [n])
    assert budget.data == pytest.approx(np.sqrt(n) / s, rel=2e-3)
    assert budget.simulation == pytest.approx(1e3 / s, rel=1e-2)
    assert budget.systematics == pytest.approx(2e3 / s, rel=1e-2)
    assert budget.total**2 == pytest.approx(budget.data**2 + budget.simulation**2 + budget.systematics**2)


def test_asimov_data_give_back_the_truth_with_the_correlations_of_a_matrix(templates):
    result = fit(templates, templates.total())
    assert result.mu == pytest.approx(1.0, abs=2e-3 * result.error)
    assert result.low < result.mu < result.high
    assert result.goodness == pytest.approx(0.0, abs=1e-4) and result.p_value == pytest.approx(1.0)
    assert all(abs(p.pull) < 5e-3 for p in result.parameters[1:])
    np.testing.assert_allclose(postfit(templates, result)[0].total, templates.total(), rtol=1e-3)
    np.testing.assert_allclose(result.correlation, result.correlation.T)
    np.testing.assert_allclose(result.correlation.diagonal(), 1.0)
    assert np.linalg.eigvalsh(result.correlation).min() > 0


def test_the_result_says_what_was_fitted(templates, result):
    assert result.ndf == 7 and 0 < result.p_value < 1
    rate = result.parameter("tt_rate")
    assert rate.kind == "systematic" and rate.pull == rate.value and rate.constraint == rate.error < 0.9
    statistics = result.parameter("staterror_score[7]")
    assert statistics.prior_error == pytest.approx(templates.statistical_error[7])
    assert statistics.pull == pytest.approx((statistics.value - 1) / statistics.prior_error)
    assert result.parameter("mu").pull is None
    with pytest.raises(KeyError):
        result.parameter("nothing")


def test_goodness_is_that_of_the_saturated_model(templates, counts, result):
    values = {p.name: p.value for p in result.parameters}
    gammas = [values[f"staterror_score[{b}]"] for b in range(8)]
    alphas = {name: values[name] for name in templates.systematics}
    by_hand = reference.twice_nll(templates, counts, result.mu, alphas, gammas)
    saturated = 2 * np.sum(counts - counts * np.log(counts))
    assert result.goodness == pytest.approx(by_hand - saturated, abs=1e-4)


def test_parameters_that_cannot_be_pulled_are_told():
    s, b = np.array([3.0, 4.0]), np.array([50.0, 30.0])
    templates = Templates.of_one(
        "score",
        np.array([0.0, 1.0, 2.0]),
        (
            SampleTemplate("s", True, s, np.array([0.0, 0.1])),
            SampleTemplate("b", False, b, np.array([0.0, 1.0]), {"still": (b, b)}, {"rate": (1.1, 0.9)}),
        ),
    )
    result = fit(templates, s + b)
    assert [p.name for p in result.parameters] == ["mu", "rate", "staterror_score[1]"]
    assert "changes no template" in result.not_fitted["still"]
    assert "no statistical error" in result.not_fitted["staterror_score[0]"]
    assert result.correlation.shape == (3, 3)
    assert {i.name for i in impacts(templates, s + b, result)} == {"rate", "staterror_score[1]"}


def test_impacts_are_what_pyhf_finds_with_the_parameter_fixed(templates, counts, result):
    computed = impacts(templates, counts, result)
    assert len(computed) == 4 + 8
    assert [i.size for i in computed] == sorted((i.size for i in computed), reverse=True)
    named = {i.name: i for i in computed}
    with pyhf_with_minuit() as with_backend:
        model, data = model_and_data(with_backend, workspace(templates, counts))
        for name in ("tt_rate", "jes", "staterror_score[6]"):
            parameter, index = result.parameter(name), model.config.par_names.index(name)
            for sign, shift in ((1, named[name].mu_up), (-1, named[name].mu_down)):
                start, fixed = model.config.suggested_init(), model.config.suggested_fixed()
                start[index], fixed[index] = parameter.value + sign * parameter.error, True
                values = with_backend.infer.mle.fit(data, model, start, None, fixed)
                moved = values[model.config.poi_index] - result.mu
                assert shift == pytest.approx(moved, abs=2e-3 * result.error)
            assert named[name].pull == parameter.pull and named[name].constraint == parameter.constraint
    # an impact is the correlation times the error, as far as everything is linear
    names = [p.name for p in result.parameters]
    for name in ("tt_rate", "lumi"):
        linear = result.correlation[0, names.index(name)] * result.error
        assert 0.5 * (named[name].mu_up - named[name].mu_down) == pytest.approx(linear, rel=0.1)
    assert impacts(templates, counts) == computed


@pytest.mark.parametrize(("s", "b", "relative"), [(10.0, 1e3, 0.0), (30.0, 1e3, 0.02), (300.0, 1e5, 0.001)])
def test_asimov_formula_is_pyhfs_discovery_significance(s, b, relative):
    """The formula of the evaluation against pyhf's: gamma constraint (shapesys) and Gaussian (staterror)."""
    templates = one_bin(s, b, background_error=relative * b)
    result = significance(templates)
    assert result.observed is None
    assert result.expected == pytest.approx(float(asimov(s, b, relative * b)), rel=0.01)
    if relative:
        assert result.expected == pytest.approx(gaussian_asimov(s, b, relative * b), rel=0.01)
        rate = significance(one_bin(s, b, rate=relative))
        assert rate.expected == pytest.approx(float(asimov(s, b, relative * b)), rel=0.01)
        with pyhf_with_minuit() as backend:
            model = backend.simplemodels.uncorrelated_background([s], [b], [relative * b])
            z, _ = discovery(backend, model, model.expected_data([1.0, 1.0]))
        assert z == pytest.approx(float(asimov(s, b, relative * b)), rel=1e-3)


def test_significance_of_data_is_that_of_the_likelihood_ratio():
    templates = region(scale=0.3, bins=4)
    counts = np.random.default_rng(4).poisson(templates.total(0.7)).astype(float)
    result = significance(templates, counts)
    least = reference.minimise(templates, counts).fval
    without = reference.minimise(templates, counts, mu=0.0).fval
    assert result.observed == pytest.approx(np.sqrt(without - least), rel=2e-3)
    assert significance(templates, templates.total(0.5)).observed < result.expected
    assert significance(templates, templates.total(-0.5)).observed == 0.0


def test_significance_by_toys_is_near_the_asymptotic_one():
    templates = region(scale=0.05)
    result = significance(templates, templates.total(), toys=10_000, seed=1)
    assert result.observed == pytest.approx(result.expected, rel=1e-3)
    assert result.toys.value == pytest.approx(result.observed, abs=0.15)


@pytest.mark.parametrize(
    ("templates", "why"),
    [(one_bin(1.0, 5.0, background_error=1.0), "no valid minimum"), (region(0.01, bins=3), "expects no events")],
)
def test_a_fit_without_minimum_says_why_and_prints_nothing(templates, why, capfd):
    nothing = np.zeros(len(templates.edges) - 1)
    result = fit(templates, nothing)
    assert result.mu is None and why in result.why and result.parameters == ()
    assert impacts(templates, nothing, result) == ()
    expected = significance(templates, nothing)
    assert expected.expected > 0 and (expected.observed == 0 or "minimum" in expected.why)
    assert error_budget(templates, nothing).total is None
    assert capfd.readouterr() == ("", "")


def test_pyhf_is_left_as_it_was(templates, counts):
    before = pyhf.get_backend()
    level = logging.getLogger("pyhf").level
    fit(one_bin(10.0, 100.0), [110.0])
    with pytest.raises(ZeroDivisionError), pyhf_with_minuit():
        raise ZeroDivisionError
    assert pyhf.get_backend() == before and logging.getLogger("pyhf").level == level


def test_what_cannot_be_fitted_is_an_error(templates):
    with pytest.raises(DataError, match="2 entries where 8"):
        fit(templates, [1.0, 2.0])
    with pytest.raises(DataError, match=r"bins \[0\] of the observed counts are negative"):
        workspace(templates, [-1.0] + 7 * [5.0])
    empty = SampleTemplate("b", False, np.array([1.0, 0.0]), np.ones(2))
    signal = SampleTemplate("s", True, np.ones(2), np.ones(2))
    with pytest.raises(DataError, match=r"bins \[1\] of the templates have no positive background"):
        fit(Templates.of_one("score", np.array([0.0, 1.0, 2.0]), (signal, empty)), [1.0, 1.0])
