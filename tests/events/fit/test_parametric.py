"""A network that reads its domain, profiled: templates of the other generator, the better value, the envelope."""

from dataclasses import replace

import numpy as np
import pytest

from hepda.config import validate
from hepda.evaluation.fits.channels import SampleTemplate
from hepda.evaluation.fits.fitting import fit
from hepda.evaluation.fits.templates import Templates
from hepda.events.fit.inputs import FitInput, FittedRegion, PseudoData
from hepda.events.fit.parametric import envelope, moved, profile, values_of
from hepda.events.resolve import model_spec, systematics_spec
from hepda.events.specs import RegionSpec
from tests.factory import analysis

SIGNAL = 100 * np.array([5.0, 15.0, 30.0, 60.0])
NOMINAL, OTHER = 100 * np.array([900.0, 300.0, 200.0, 100.0]), 100 * np.array([850.0, 370.0, 160.0, 140.0])
EDGES = np.array([0.0, 0.4, 0.6, 0.8, 1.0])


def region():
    """The generator changes the background as OTHER has it, the tag by a tenth."""
    shapes = {"generator": (OTHER, 2 * NOMINAL - OTHER), "tag": (1.1 * NOMINAL, 0.9 * NOMINAL)}
    background = SampleTemplate("tt", False, NOMINAL, 0.01 * NOMINAL, shapes)
    templates = Templates.of_one("m", EDGES, (SampleTemplate("ttH", True, SIGNAL, 0.01 * SIGNAL), background))
    domains = {
        name: PseudoData((SIGNAL, SIGNAL), (tt, tt)) for name, tt in (("simulation", NOMINAL), ("alternative", OTHER))
    }
    domains |= {"third": PseudoData(None, (NOMINAL, NOMINAL)), "data": PseudoData(observed=NOMINAL + SIGNAL)}
    regions = (FittedRegion(RegionSpec("m"), templates.channels[0], 0, domains),)
    return FitInput("informed", regions, {"generator": ("generator",)}, domains, {})


def test_templates_move_to_the_other_generator_with_all_their_variations():
    tt = moved(region().templates, ("generator",)).channels[0].samples[1]
    np.testing.assert_allclose(tt.sumw, OTHER)
    np.testing.assert_allclose(tt.sumw2, 0.01 * NOMINAL * (OTHER / NOMINAL) ** 2)
    assert list(tt.shapes) == ["tag"]
    np.testing.assert_allclose(tt.shapes["tag"][0], 1.1 * OTHER)


def test_each_generator_is_fitted_at_its_own_value_without_bias():
    nominal = region()
    result = profile({0.0: nominal, 1.0: nominal}, {1.0: ("generator",)})
    for domain, value in (("simulation", 0.0), ("alternative", 1.0)):
        assert [fitted.truth for fitted in result[domain]] == [0.0, 1.0, 2.0]
        for fitted in result[domain]:
            assert (fitted.value, fitted.mu) == pytest.approx((value, fitted.truth), abs=1e-3)
    assert result["simulation"][1].offset[1.0] > 1.0
    assert [fitted.why for fitted in result["third"]] == [None, "the domain lacks a class", "the domain lacks a class"]
    assert [fitted.truth for fitted in result["data"]] == [1.0]


def test_the_envelope_holds_both_minima_where_they_cannot_be_told_apart():
    single = fit(region().unaware, NOMINAL + SIGNAL)
    flat = replace(single, goodness=2.0, ndf=2, mu=1.0, low=0.6, high=1.4)
    far = replace(flat, mu=2.0, low=1.5, high=2.5)
    near = envelope({0.0: flat, 1.0: replace(far, goodness=1.75)}, 1.0)  # 0.75 above, with the penalty
    assert (near.mu, near.value, near.low) == (1.0, 0.0, pytest.approx(0.6))
    assert near.high == pytest.approx(2.0 + 0.5 * 0.5) and near.offset == {0.0: 0.0, 1.0: 0.75}
    alone = envelope({0.0: flat, 1.0: far}, 1.0)  # one above: outside
    assert (alone.low, alone.high) == pytest.approx((0.6, 1.4))
    lost = envelope({0.0: replace(flat, mu=None, why="no minimum")}, 1.0)
    assert lost.mu is None and lost.why == "no minimum"


def test_only_values_whose_generator_is_a_systematic_are_read():
    def config(parameter, **systematics):
        informed = {"kind": "network", "parameter": parameter,
                    "train_on": ["signal", "background", "signal_alt", "background_alt"]}  # fmt: skip
        return validate(analysis(models={"informed": informed, "bdt": {"kind": "bdt"}}, systematics=systematics))

    def values(asked, model):
        return values_of(model_spec(asked, model), systematics_spec(asked))

    two_point = {"generator": {"kind": "two_point", "domain": "alternative", "samples": "background"}}
    assert values(config({"simulation": 0.0, "alternative": 1.0}, **two_point), "informed") == {1.0: ("generator",)}
    assert values(config({"simulation": 0.0, "alternative": 1.0}), "informed") == {}
    assert values(config({"simulation": 0.0, "alternative": 1.0}, **two_point), "bdt") == {}
