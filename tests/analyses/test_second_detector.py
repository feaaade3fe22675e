"""analyses/tth/second_detector.py: the response of jets and tags, against the efficiencies and widths it is made of."""

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from hepda.workflows.generate import generate, load_page

PAGE = Path(__file__).parents[2] / "analyses" / "tth" / "second_detector.py"
JETS = 400_000


@pytest.fixture(scope="module")
def page():
    return load_page(PAGE)


@pytest.mark.parametrize("flavour", [0, 4, 5])
def test_tags_have_the_efficiencies_of_the_second_detector(page, flavour):
    generator = np.random.default_rng(1)
    pt, flavours = np.full(JETS, 60.0), np.full(JETS, flavour)
    first, second = (d.tag_efficiency(pt[:1], flavours[:1])[0] for d in (page.SIMULATION, page.SECOND))
    tags = (generator.random(JETS)[:, None] < first).sum(axis=1)
    moved = page.second_tags(tags, pt, flavours, page.SECOND, generator)
    passing = np.array([(moved >= k).mean() for k in (1, 2, 3, 4)])
    assert passing == pytest.approx(second, abs=4 * np.sqrt(0.25 / JETS))
    assert np.abs(moved - tags).max() == 1, "thresholds move by less than a bin"
    assert (np.sign(moved.astype(int) - tags) * (-1 if flavour else 1) >= 0).all(), "all tags move in one direction"


def test_the_same_detector_leaves_everything_as_it_is(page):
    generator = np.random.default_rng(2)
    pt, flavour, tags = (
        generator.uniform(25, 300, 1000),
        generator.choice([0, 4, 5], 1000),
        generator.integers(0, 5, 1000),
    )
    assert page.second_pt(pt, np.full(1000, 30), page.SIMULATION, generator).tolist() == pt.tolist()
    assert page.second_tags(tags, pt, flavour, page.SIMULATION, generator).tolist() == tags.tolist()


def test_the_pt_has_the_second_scale_and_what_makes_the_resolution_the_second(page):
    generator = np.random.default_rng(3)
    pt, pileup = np.full(JETS, 100.0), np.full(JETS, 32)
    ratio = page.second_pt(pt, pileup, page.SECOND, generator) / pt
    first, second = (d.resolution(100.0, 32) for d in (page.SIMULATION, page.SECOND))
    assert ratio.mean() == pytest.approx(0.96, abs=1e-3)
    assert np.hypot(first, ratio.std() / 0.96) == pytest.approx(second, rel=0.01)
    with pytest.raises(ValueError, match="better resolution"):
        page.second_pt(pt, pileup, page.Detector(jet_resolution=0.9), generator)


def test_events_keep_their_momentum_and_only_those_that_pass_are_left(page):
    with uproot.open(page.SAMPLES["ttH_second"].physics["file"]) as file:
        events = file["events"].arrays(entry_stop=2000)
    hard = page.Detector(jet_scale=1.5)  # no jet falls below the threshold
    columns = page.respond(events, hard, np.random.default_rng(4))
    assert len(columns["met"]) == len(events)
    for f in (np.cos, np.sin):
        before, after = (
            ak.to_numpy(ak.sum(part["jet_pt"] * f(part["jet_phi"]), axis=1))
            + ak.to_numpy(part["met"] * f(part["met_phi"]))
            for part in (events, columns)
        )
        assert after == pytest.approx(before, abs=0.5)  # stored numbers have nine bits
    assert ak.to_numpy(ak.sum(columns["jet_mass"], axis=1)) == pytest.approx(
        1.5 * ak.to_numpy(ak.sum(events.jet_mass, axis=1))
    )

    soft = page.respond(events, page.SECOND, np.random.default_rng(4))
    assert 0 < len(soft["met"]) < len(events)
    assert ak.all(ak.num(soft["jet_pt"]) >= 5) and ak.all(ak.sum(soft["jet_b"] >= 2, axis=1) >= 2)
    assert ak.all(soft["jet_pt_jes_up"] > 25.0) and ak.all(soft["jet_pt"][:, 1:] <= soft["jet_pt"][:, :-1])
    assert set(soft) == set(events.fields) - {"run", "event", "njet"}


def test_every_second_event_is_written_and_normalised_to_the_same_cross_section(page, tmp_path):
    (path,) = generate(PAGE, tmp_path, samples=["ttH_third_second"], processes=1)
    with uproot.open(page.SAMPLES["ttH_third_second"].physics["file"]) as file, uproot.open(path) as second:
        whole, about = file["metadata"].arrays()[0], second["metadata"].arrays()[0]
        weights = [tree["gen_weight"].array(library="np").sum() for tree in (file["events"], second["events"])]
        assert set(second["events"].keys()) == set(file["events"].keys())
    assert about["cross_section"] == whole["cross_section"]
    assert about["sum_of_weights"] == pytest.approx(0.5 * whole["sum_of_weights"], rel=1e-3)
    passing = weights[1] / about["sum_of_weights"] / (weights[0] / whole["sum_of_weights"])
    assert 0.7 < passing < 1.0
