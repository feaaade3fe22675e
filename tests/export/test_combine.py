"""`hepda export --format combine`: what an independent reader finds in a datacard is the model that hepda fits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from iminuit import Minuit

from hepda.errors import ConfigError
from hepda.evaluation.fits.channels import Channel, SampleTemplate
from hepda.evaluation.fits.fitting import fit
from hepda.evaluation.fits.templates import Templates
from hepda.export.combine import write
from tests.evaluation.fits.regions import one_bin, three_regions
from tests.export import datacard
from tests.export.fits import fitted_run

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")


@pytest.fixture(scope="module")
def templates() -> Templates:
    return three_regions()


@pytest.fixture(scope="module")
def counts(templates: Templates) -> np.ndarray:
    return np.random.default_rng(11).poisson(templates.expected(1.4, {"ttb": 1.3, "jes": 0.5})).astype(float)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory, templates: Templates, counts: np.ndarray) -> datacard.Card:
    folder = tmp_path_factory.mktemp("combine")
    side = three_regions(validation=True).channels[-1]
    files = write(fitted_run(folder, templates, counts, validation=(side,)), folder / "out")
    assert [path.name for path in files] == ["net.txt", "net.root"]
    return datacard.read(files[0])


def test_yields_shapes_and_effects_are_those_of_the_templates(
    card: datacard.Card, templates: Templates, counts: np.ndarray
) -> None:
    assert card.regions == ["few_tags", "three_tags", "four_tags"]
    assert {p.name: p.number for p in card.processes} == {"ttH": 0, "ttb": 1, "ttlight": 2}
    for region, part in templates.parts(counts).items():
        np.testing.assert_array_equal(card.observed[region], part)
    samples = [(channel.name, sample) for channel in templates.channels for sample in channel.samples]
    for process, (region, sample) in zip(card.processes, samples, strict=True):
        assert (process.region, process.name) == (region, sample.name) and process.rate == sample.sumw.sum()
        np.testing.assert_array_equal(process.contents, sample.sumw)
        np.testing.assert_allclose(process.error**2, sample.sumw2, rtol=1e-12)
        assert set(process.kappas) == set(sample.systematics)
        for name, kappas in process.kappas.items():
            assert kappas == pytest.approx(sample.split(name)[0], rel=1e-12)
        assert process.factors == (["ttb"] if sample.name == "ttb" else [])
    assert card.nuisances["lumi"] == "lnN" and card.nuisances["jes"] == "shape"
    assert card.statistics == {region: ["0", "1", "1"] for region in card.regions}
    assert card.ranges["ttb"][0] == 0 and card.ranges["ttb"][1] > 10


@pytest.mark.parametrize(
    ("mu", "values", "precision"),
    [
        (1.0, {}, 1e-12),
        (2.5, {"ttb": 0.7, "jes": 1.0, "lumi": -1.0}, 1e-12),
        (0.0, {"jes": -2.3, "light_rate": 3.0, "tagging_few_tags": 1.5, "tagging_four_tags": -1.0}, 1e-12),
        (1.2, {"tagging_three_tags": 0.4, "lumi": 0.3}, 1e-4),  # of nearly symmetric rates
        (1.2, {"jes": 0.4, "light_rate": -0.6, "ttb": 1.1}, 3e-3),
    ],
)
def test_the_expectation_is_that_of_hepda(
    card: datacard.Card, templates: Templates, mu: float, values: dict[str, float], precision: float
) -> None:
    found = card.expected({"r": mu, **values})
    np.testing.assert_allclose(np.concatenate(list(found.values())), templates.expected(mu, values), rtol=precision)


def test_the_statistics_of_the_templates_move_a_bin_by_its_error(card: datacard.Card, templates: Templates) -> None:
    found = card.expected({"x_three_tags_1": 1.0})
    error = templates.parts(templates.statistical_error)["three_tags"]
    ratio = found["three_tags"] / templates.parts(templates.total())["three_tags"]
    np.testing.assert_allclose(ratio, [1.0, 1.0 + error[1], 1.0])


@pytest.mark.slow
def test_the_fit_of_the_datacard_is_that_of_hepda(
    card: datacard.Card, templates: Templates, counts: np.ndarray
) -> None:
    """Only the interpolation of rates within one standard deviation and the statistics' error differ."""
    free = ["r", *card.ranges]
    bins = [f"x_{region}_{b}" for region in card.regions for b in range(len(card.observed[region]))]
    names = [*free, *card.nuisances, *bins]
    data = np.concatenate([card.observed[region] for region in card.regions])

    def twice_nll(point: np.ndarray) -> float:
        found = card.expected(dict(zip(names, point, strict=True)))
        nu = np.concatenate([found[region] for region in card.regions])
        if nu.min() <= 0:
            return 1e9
        return float(2 * np.sum(nu - data * np.log(nu)) + np.sum(point[len(free) :] ** 2))

    minuit = Minuit(twice_nll, np.array([1.0] * len(free) + [0.0] * (len(names) - len(free))), name=names)
    minuit.strategy = 0
    minuit.migrad()
    minuit.hesse()
    result = fit(templates, counts)
    assert result.mu is not None and result.error is not None
    assert minuit.values["r"] == pytest.approx(result.mu, abs=0.02 * result.error)
    assert minuit.errors["r"] == pytest.approx(result.error, rel=0.02)


def renamed(templates: Templates, old: str, new: str) -> Templates:
    return templates.mapped(lambda sample: replace(sample, name=new) if sample.name == old else sample)


def test_what_a_datacard_cannot_express_is_refused(tmp_path: Path, templates: Templates, counts: np.ndarray) -> None:
    one = one_bin(5.0, 50.0)
    negative = SampleTemplate("small", False, np.array([2.0, -1.0]), np.array([1.0, 1.0]))
    other = SampleTemplate("large", False, np.array([20.0, 20.0]), np.array([1.0, 1.0]))
    signal = SampleTemplate("signal", True, np.array([1.0, 2.0]), np.array([0.1, 0.1]))
    holes = Templates((Channel("sr", np.arange(3.0), (signal, other, negative)),))
    for number, (bad, message) in enumerate(
        [
            (renamed(templates, "ttlight", "tt+light"), r"the process 'tt\+light' cannot be called so in a datacard"),
            (renamed(templates, "ttlight", "ttb_jesUp"), "the process ttb_jesUp has the name of a variation of ttb"),
            (renamed(one, "background", "data_obs"), "the process 'data_obs' cannot be called so"),
            (one_bin(5.0, 50.0, rate=0.1), "the systematic 'rate' cannot be called so in a datacard"),
            (holes, r"small is negative in bins \[1\] of sr, where combine would set it to 0"),
        ]
    ):
        folder = tmp_path / str(number)
        with pytest.raises(ConfigError, match=message):
            write(fitted_run(folder, bad, bad.total()), folder / "out")
        assert not (folder / "out").exists()
