import numpy as np
import pytest

from hepda.evaluation.fits.channels import SampleTemplate
from hepda.evaluation.fits.fitting import fit
from hepda.evaluation.fits.preparation.pruning import pruned
from hepda.evaluation.fits.templates import Templates
from tests.evaluation.fits.regions import three_regions

H = np.array([100.0, 60.0, 40.0])


def templates(shapes, norms=None):
    signal = SampleTemplate("ttH", True, np.array([2.0, 5.0, 9.0]), np.ones(3))
    return Templates.of_one("score", np.arange(4.0), (signal, SampleTemplate("tt", False, H, H, shapes, norms or {})))


def test_a_small_rate_or_shape_is_left_out_and_the_other_stays():
    up, down = H * 1.002 * [1.05, 0.95, 0.95], H * 0.997 * [0.95, 1.05, 1.05]
    before = templates({"jes": (up, down)})
    (rates, _) = before.channels[0].samples[1].split("jes")
    after, removed = pruned(before, rate=0.005, shape=0.01)
    sample = after.channels[0].samples[1]
    assert [(r.systematic, r.channel, r.sample, r.part) for r in removed] == [("jes", "score", "tt", "rate")]
    assert removed[0].size == pytest.approx(max(abs(rates[0] - 1), abs(rates[1] - 1)))
    assert "below 0.005" in removed[0].why
    assert sample.shapes["jes"][0].sum() == pytest.approx(H.sum()) == sample.shapes["jes"][1].sum()
    np.testing.assert_allclose(sample.shapes["jes"][0], up * H.sum() / up.sum())
    after, removed = pruned(before, shape=0.2)
    sample = after.channels[0].samples[1]
    assert [r.part for r in removed] == ["shape"] and "no bin by more than" in removed[0].why
    assert not sample.shapes and sample.norms["jes"] == pytest.approx(rates)


def test_both_parts_small_means_that_the_systematic_is_gone():
    small = {"jes": (H * 1.001, H * [1.0, 0.999, 1.0])}
    after, removed = pruned(templates(small, {"lumi": (1.02, 0.98)}), rate=0.01, shape=0.01)
    assert {r.part for r in removed} == {"rate", "shape"} and after.systematics == ("lumi",)
    after, removed = pruned(templates({}, {"lumi": (1.02, 0.98)}), rate=0.05)
    assert after.systematics == () and removed[0].size == pytest.approx(0.02)


def test_one_side_above_the_threshold_keeps_it_and_zero_prunes_nothing():
    one_sided = templates({"jes": (H * 1.03, H * 1.0)})
    after, removed = pruned(one_sided, rate=0.02, shape=0.01)
    assert removed == () and after.channels[0].samples[1].norms["jes"] == pytest.approx((1.03, 1.0))
    same, removed = pruned(three_regions())
    assert removed == () and same.systematics == three_regions().systematics
    with pytest.raises(ValueError, match="never negative"):
        pruned(one_sided, rate=-0.1)


def test_pruning_is_by_region_and_sample_and_hardly_moves_mu():
    before = three_regions()
    after, removed = pruned(before, rate=0.025, shape=0.025)
    assert {r.channel for r in removed if r.systematic == "jes" and r.part == "rate"} == set()
    assert {(r.systematic, r.part) for r in removed} >= {("lumi", "rate"), ("jes", "shape")}
    assert "tagging_few_tags" in after.systematics
    counts = before.expected(1.2, {"ttb": 1.1})
    errors = [fit(t, counts) for t in (before, after)]
    assert errors[1].mu == pytest.approx(errors[0].mu, abs=0.1 * errors[0].error)
    assert errors[1].error == pytest.approx(errors[0].error, rel=0.05)
