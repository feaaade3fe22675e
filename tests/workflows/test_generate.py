"""Running a generator page, without Pythia: a page of a few lines that the test writes. Then the example's page."""

import importlib.util
import itertools
import json
import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

from hepda.errors import ConfigError, MissingExtraError
from hepda.workflows import generate as generation
from hepda.workflows.generate import Chunk, chosen_samples, compact, generate, load_page, rounded, seeds_of
from tests.factory import heard

PAGE = """
import awkward as ak
import numpy as np
from hepda.workflows.generate import Chunk, SampleSpec

SAMPLES = {
    "signal": SampleSpec(25, 10, 0.5, {"scale": 2.0}),
    "background": SampleSpec(40, 10, 20.0, {"scale": 1.0}),
}


def generate_chunk(spec, seed):
    rng = np.random.default_rng(seed)
    jets = rng.integers(0, 4, spec.chunk)
    sign = np.where(rng.random(spec.chunk) < 0.2, -1.0, 1.0)
    columns = {
        "jet_pt": ak.unflatten(spec.physics["scale"] * rng.exponential(30.0, jets.sum()), jets),
        "jet_mass": ak.unflatten(rng.exponential(10.0, jets.sum()), jets),
        "jet_b": ak.unflatten(rng.integers(0, 5, jets.sum()), jets),
        "met": rng.exponential(50.0, spec.chunk),
        "gen_weight": sign,
        "seed_of_chunk": np.full(spec.chunk, seed % 1000),
    }
    keep = rng.random(spec.chunk) < 0.7
    return Chunk({k: v[keep] for k, v in columns.items()}, spec.chunk, float(sign.sum()))


def assemble(samples):
    return {
        name: (chunk.columns, {"cross_section": SAMPLES[name].cross_section,
                               "sum_of_weights": chunk.sum_of_weights, "generated": chunk.generated})
        for name, chunk in samples.items()
    }
"""


def write_page(folder, text=PAGE):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "page.py"
    path.write_text(text)
    return path


def content(path, tree="events"):
    with uproot.open(path) as file:
        return file[tree].arrays()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The page, where its files are, and what `generate` said: on one process."""
    folder = tmp_path_factory.mktemp("generation")
    page, calls = write_page(folder), []
    files = generate(page, folder / "one", seed=3, processes=1, progress=lambda *call: calls.append(call))
    return page, folder / "one", files, calls


def test_files_trees_and_branches(made):
    _, folder, files, _ = made
    assert {path.name for path in files} == {"signal.root", "background.root"}
    for path, events in files.items():
        with uproot.open(path) as file:
            assert file.classname_of("events") == file.classname_of("metadata") == "TTree"
            tree = file["events"]
            assert tree.num_entries == events > 0
            branches = {"run", "event", "njet", "jet_pt", "jet_mass", "jet_b", "met", "gen_weight", "seed_of_chunk"}
            assert set(tree.keys()) == branches
            assert tree["event"].interpretation.numpy_dtype.newbyteorder("=") == np.uint64
            assert tree["met"].interpretation.numpy_dtype.newbyteorder("=") == np.float32
            assert tree["seed_of_chunk"].interpretation.numpy_dtype.newbyteorder("=") == np.int8
            assert tree["event"].array(library="np").tolist() == list(range(1, events + 1))
    assert not [path for path in folder.iterdir() if "tmp" in path.name]


def test_metadata_say_how_to_normalise(made):
    page, folder, _, _ = made
    module = load_page(page)
    for name, chunks in (("signal", 3), ("background", 4)):
        about = content(folder / f"{name}.root", "metadata")
        assert len(about) == 1
        spec = module.SAMPLES[name]
        expected = [module.generate_chunk(spec, seed) for seed in seeds_of(name, spec, 3)]
        assert about["generated"][0] == sum(c.generated for c in expected) == 10 * chunks
        assert about["sum_of_weights"][0] == sum(c.sum_of_weights for c in expected)
        assert about["cross_section"][0] == spec.cross_section


def test_events_are_those_of_the_chunks_in_the_order_of_their_seeds(made):
    page, folder, _, _ = made
    module = load_page(page)
    spec = module.SAMPLES["signal"]
    parts = [module.generate_chunk(spec, seed).columns for seed in seeds_of("signal", spec, 3)]
    read = content(folder / "signal.root")
    assert read["gen_weight"].to_list() == ak.concatenate([part["gen_weight"] for part in parts]).to_list()
    true = ak.to_numpy(ak.flatten(ak.concatenate([part["jet_pt"] for part in parts])))
    assert ak.to_numpy(ak.flatten(read["jet_pt"])) == pytest.approx(true, rel=2.0**-10)


def test_progress_counts_chunks(made):
    calls = made[3]
    assert [call[1:] for call in calls] == [(done, 7) for done in range(8)]
    assert sorted(call[0] for call in calls) == ["", *["background"] * 4, *["signal"] * 3]


def test_two_processes_and_resumed_runs_give_the_same_files(made, tmp_path):
    page, folder, _, _ = made
    generate(page, tmp_path / "two", seed=3, processes=2)
    chunks = sorted((tmp_path / "two" / ".chunks").glob("*.parquet"))
    assert len(chunks) == 7
    for name in ("signal", "background"):
        assert content(tmp_path / "two" / f"{name}.root").to_list() == content(folder / f"{name}.root").to_list()
    # An interrupted run: one chunk is missing, and of another there is only what was never finished.
    chunks[2].unlink()
    (tmp_path / "two" / ".chunks" / f"{chunks[2].stem}.77.tmp").write_text("half")
    stamps = {path: path.stat().st_mtime_ns for path in chunks if path.exists()}
    calls = []
    generate(page, tmp_path / "two", seed=3, processes=1, progress=lambda *call: calls.append(call[1:]))
    assert calls == [(6, 7), (7, 7)]
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    for name in ("signal", "background"):
        assert content(tmp_path / "two" / f"{name}.root").to_list() == content(folder / f"{name}.root").to_list()


def test_a_sample_alone_is_the_same_file(made, tmp_path):
    page, folder, _, _ = made
    work = tmp_path / "alone" / ".chunks"
    work.mkdir(parents=True)
    for path in (folder / ".chunks").iterdir():
        (work / path.name).write_bytes(path.read_bytes())
    files = generate(page, tmp_path / "alone", samples=["background"], seed=3, processes=1)
    assert [path.name for path in files] == ["background.root"]
    read = content(tmp_path / "alone" / "background.root")
    assert read.to_list() == content(folder / "background.root").to_list()
    assert set(read["run"].to_list()) == {generation.run_of("background")}


def test_seeds_are_fixed_by_sample_and_seed(made):
    specs = load_page(made[0]).SAMPLES
    signal = seeds_of("signal", specs["signal"], 3)
    assert len(signal) == 3 and len(set(signal)) == 3
    assert not set(signal) & set(seeds_of("background", specs["background"], 3))
    assert not set(signal) & set(seeds_of("signal", specs["signal"], 4))
    more = chosen_samples(load_page(made[0]), ["signal"], 4.0)["signal"]
    assert seeds_of("signal", more, 3)[:3] == signal and len(seeds_of("signal", more, 3)) == 10
    # Pythia takes seeds up to 900,000,000, and the page makes two of each.
    assert all(2 * number + 1 < 900_000_000 for seed in range(200) for number in seeds_of("x", more, seed))


def test_other_settings_are_other_chunks(made, tmp_path):
    spec = load_page(made[0]).SAMPLES["signal"]
    path = generation.chunk_path(tmp_path, "signal", spec, 1)
    other = generation.SampleSpec(spec.events, spec.chunk, spec.cross_section, {"scale": 3.0})
    assert generation.chunk_path(tmp_path, "signal", other, 1) != path
    longer = generation.SampleSpec(1000, spec.chunk, 7.0, spec.physics)  # more events, another normalisation
    assert generation.chunk_path(tmp_path, "signal", longer, 1) == path


def test_an_unknown_sample_is_named_with_the_nearest(made):
    with pytest.raises(ConfigError, match=r"no sample 'signl'\. Did you mean 'signal'"):
        generate(made[0], made[1], samples=["signl"], processes=1)


def test_samples_that_cannot_be_made_here_are_refused_or_left_out(tmp_path):
    text = PAGE.replace('40, 10, 20.0, {"scale": 1.0})', '40, 10, 20.0, {"scale": 1.0}, "it needs a program")')
    page = write_page(tmp_path, text)
    with pytest.raises(ConfigError, match=r"sample 'background' cannot be generated: it needs a program\."):
        generate(page, tmp_path / "out", samples=["background"], processes=1)
    assert not (tmp_path / "out").exists()
    with heard() as lines:
        files = generate(page, tmp_path / "out", processes=1)
    assert [path.name for path in files] == ["signal.root"]
    assert lines == ["background: left out, it needs a program."]


def test_pages_that_are_none(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no generator page .*absent\.py"):
        load_page(tmp_path / "absent.py")
    with pytest.raises(ConfigError, match=r"does not define generate_chunk, assemble"):
        load_page(write_page(tmp_path / "bare", "SAMPLES = {}"))
    (tmp_path / "page.yaml").write_text("a: 1")
    with pytest.raises(ConfigError, match="is not a Python file"):
        load_page(tmp_path / "page.yaml")
    for package in ("pythia8mc", "fastjet"):
        absent = f"raise ModuleNotFoundError('no', name={package!r})"
        with pytest.raises(MissingExtraError, match=rf"{package} is not installed.*hepda\[generate\]"):
            load_page(write_page(tmp_path / package, absent))
    with pytest.raises(ModuleNotFoundError, match="its own"):  # not ours to explain
        load_page(write_page(tmp_path / "own", "raise ModuleNotFoundError('its own', name='x')"))


@pytest.mark.parametrize("bits", [5, 7, 9, 12])
def test_rounding_is_to_nearest_within_half_a_step(bits):
    generator = np.random.default_rng(1)
    values = (generator.choice([-1, 1], 20_000) * 10 ** generator.uniform(-30, 30, 20_000)).astype(np.float32)
    result = rounded(values, bits)
    assert result.dtype == np.float32
    relative = np.abs(result.astype(float) / values - 1)
    assert 2.0 ** -(bits + 2) < relative.max() <= 2.0 ** -(bits + 1)
    assert abs(np.mean(result.astype(float) / values - 1)) < 2.0 ** -(bits + 1) / 50  # no bias
    assert np.array_equal(rounded(result, bits), result)
    assert not (result.view(np.uint32) & np.uint32((1 << (23 - bits)) - 1)).any()
    exact = np.array([0.0, -0.0, 1.0, -1.5, 125.0, np.inf], np.float32)
    if bits >= 7:
        assert rounded(exact, bits).tolist() == exact.tolist()
    assert np.isnan(rounded(np.array([np.nan]), bits)).all()


def test_branches_are_stored_in_their_smallest_honest_type():
    jets = ak.Array([[100.13, 50.2], [], [31.0]])
    assert str(ak.type(compact("jet_pt", jets))) == "3 * var * float32"
    fine, coarse = (ak.to_numpy(ak.flatten(compact(name, jets))) for name in ("jet_pt", "jet_mass"))
    assert np.array_equal(fine, rounded(np.array([100.13, 50.2, 31.0]), 9))
    assert np.array_equal(coarse, rounded(np.array([100.13, 50.2, 31.0]), 7)) and not np.array_equal(fine, coarse)
    assert compact("lepton_charge", np.array([-1, 1])).dtype == np.int8
    assert compact("is_signal", np.array([True, False])).dtype == np.int8
    # A number that a byte does not hold is kept, not wrapped around.
    for largest, kind in ((127, np.int8), (128, np.int16), (-129, np.int16), (40_000, np.int32), (2**40, np.int64)):
        values = compact("label", np.array([0, largest]))
        assert values.tolist() == [0, largest] and values.dtype == kind
    assert compact("jet_flavour", ak.Array([[], [300]])).to_list() == [[], [300]]
    assert len(compact("n", np.array([], dtype=int))) == 0


def test_a_chunk_that_fails_leaves_nothing_that_looks_finished(tmp_path, monkeypatch):
    page = write_page(tmp_path)

    def broken(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(generation.ak, "to_parquet", broken)
    spec = load_page(page).SAMPLES["signal"]
    target = generation.chunk_path(tmp_path, "signal", spec, 1)
    with pytest.raises(OSError, match="full"):
        generation._generate_chunk((str(page), "signal", 1, str(target), ()))
    assert not target.exists()


def test_chunks_are_collected_in_order_and_summed(tmp_path):
    page = write_page(tmp_path)
    module = load_page(page)
    spec = module.SAMPLES["signal"]
    for seed in reversed(seeds_of("signal", spec, 5)):
        generation._generate_chunk(
            (str(page), "signal", seed, str(generation.chunk_path(tmp_path, "signal", spec, seed)), ())
        )
    result = generation.collect(tmp_path, "signal", spec, 5)
    assert isinstance(result, Chunk) and result.generated == 30
    order = [seed % 1000 for seed in seeds_of("signal", spec, 5)]
    assert list(dict.fromkeys(result.columns["seed_of_chunk"].to_list())) == order
    about = [json.loads(path.read_text()) for path in tmp_path.glob("*.json")]
    assert result.sum_of_weights == sum(entry["sum_of_weights"] for entry in about)


# --- analyses/tth/generate.py: its pure functions, against enumeration ---
REAL = Path(__file__).parents[2] / "analyses" / "tth" / "generate.py"
needs_pythia = pytest.mark.skipif(
    not all(importlib.util.find_spec(package) for package in ("pythia8mc", "fastjet")),
    reason="pythia8mc and fastjet come with the extra hepda[generate]",
)


@pytest.fixture(scope="module")
def tth():
    return load_page(REAL)


def efficiencies(jets=4, seed=0):
    """P(passes each working point) [jets, 4] of jets that differ."""
    generator = np.random.default_rng(seed)
    return np.sort(generator.uniform(0.02, 0.9, (jets, 4)), axis=1)[:, ::-1]


def outcomes(probability):
    """All tag bins of an event [5^jets, jets] and their probabilities."""
    jets = len(probability)
    bins = np.array(list(itertools.product(range(5), repeat=jets)))
    return bins, np.prod(probability[np.arange(jets), bins], axis=1)


@needs_pythia
def test_tag_bins_share_what_the_working_points_pass(tth):
    efficiency = efficiencies(6)
    result = tth.tag_probabilities(efficiency)
    assert result.shape == (6, 5) and (result >= 0).all() and result.sum(axis=1) == pytest.approx(1)
    for point in range(4):
        assert result[:, point + 1 :].sum(axis=1) == pytest.approx(efficiency[:, point])
    real = tth.SIMULATION.tag_efficiency(np.array([25.0, 60.0, 400.0] * 3), np.repeat([5, 4, 0], 3))
    assert (tth.tag_probabilities(real) > 0).all()


@needs_pythia
@pytest.mark.parametrize("tags", [1, 2, 3, 4, 5])
def test_at_least_so_many_tags_against_enumeration(tth, tags):
    passing = np.random.default_rng(2).uniform(0, 1, (5, 4))
    result = tth.at_least(passing, tags)
    for event, value in zip(passing, result, strict=True):
        expected = sum(
            np.prod(np.where(pattern, event, 1 - event))
            for pattern in itertools.product((True, False), repeat=4)
            if sum(pattern) >= tags
        )
        assert value == pytest.approx(expected, abs=1e-12)


@needs_pythia
@pytest.mark.parametrize("minimum", [0, 2, 3])
def test_drawn_tags_are_distributed_as_by_enumeration(tth, minimum):
    probability = tth.tag_probabilities(efficiencies(3))
    n = 60_000
    bins = tth.draw_tags(np.repeat(probability[None], n, axis=0), np.full(n, minimum), np.random.default_rng(minimum))
    every, chance = outcomes(probability)
    chance = np.where((every >= tth.TAGGED).sum(axis=1) >= minimum, chance, 0.0)
    chance /= chance.sum()
    seen = np.bincount(bins @ np.array([25, 5, 1]), minlength=125)
    assert (seen[chance == 0] == 0).all()
    possible = chance > 0
    chi2 = ((seen - n * chance)[possible] ** 2 / (n * chance[possible])).sum()
    degrees = possible.sum() - 1
    assert abs(chi2 - degrees) < 4 * np.sqrt(2 * degrees)


@needs_pythia
def test_tag_weights_give_back_every_expectation(tth):
    """Mean of weight x f over events that are drawn with tags = sum of p x f over all outcomes with enough of them."""
    efficiency, n = efficiencies(3, seed=3), 60_000
    every, chance = outcomes(tth.tag_probabilities(efficiency))
    tags = (every >= tth.TAGGED).sum(axis=1)
    valid = np.ones((n, 3), dtype=bool)
    bins, weight = tth.tag(np.tile(efficiency, (n, 1)), valid, True, np.random.default_rng(1))
    drawn = (bins >= tth.TAGGED).sum(axis=1)
    assert drawn.min() == tth.MIN_TAGS and (weight > 0).all()
    for f, g in ((np.ones(n), np.ones(125)), (drawn == 3, tags == 3), (bins.sum(axis=1), every.sum(axis=1))):
        expected = (chance * g)[tags >= tth.MIN_TAGS].sum()
        error = np.std(weight * f) / np.sqrt(n)
        assert np.mean(weight * f) == pytest.approx(expected, abs=4 * error)
    # And that is what real tagging gives: data are kept or not, with weight 1.
    bins, kept = tth.tag(np.tile(efficiency, (n, 1)), valid, False, np.random.default_rng(2))
    assert set(np.unique(kept)) == {0.0, 1.0}
    assert np.mean(kept) == pytest.approx(chance[tags >= tth.MIN_TAGS].sum(), abs=4 * 0.5 / np.sqrt(n))


@needs_pythia
def test_jets_that_are_not_there_are_not_tagged(tth):
    valid = np.array([[True, True, True, False], [True, True, True, True]] * 50)
    efficiency = np.tile(efficiencies(7), (50, 1))
    bins, _ = tth.tag(efficiency, valid, True, np.random.default_rng(1))
    assert (bins[~valid] == 0).all() and bins[valid].max() > 0


@needs_pythia
def test_scale_factors_keep_the_number_of_events(tth):
    """Summed over tagged and untagged, the weights of a jet are 1 on average: the efficiency moves, no jet is lost."""
    pt, flavour = np.tile([30.0, 80.0, 200.0], 3), np.repeat([5, 4, 0], 3)
    efficiency = tth.SIMULATION.tag_efficiency(pt, flavour)
    for shift in (-1.0, 0.0, 1.0):
        tagged = tth.scale_factor(np.full(9, 3), efficiency, flavour, shift)
        untagged = tth.scale_factor(np.zeros(9, int), efficiency, flavour, shift)
        loosest = efficiency[:, 0]
        assert loosest * tagged + (1 - loosest) * untagged == pytest.approx(np.ones(9))
    assert tth.scale_factor(np.array([1]), efficiency[:1], np.array([5]), 1.0) == pytest.approx([0.99])


@needs_pythia
def test_pile_up_weights_turn_one_poisson_law_into_the_other(tth):
    pileup = np.arange(200)
    factorial = np.cumsum(np.log(np.maximum(pileup, 1)))
    law = np.exp(pileup * np.log(tth.SIMULATION.pileup) - tth.SIMULATION.pileup - factorial)
    weight = tth.pileup_weight(pileup, 34.0)
    assert (law * weight).sum() == pytest.approx(1) and (law * weight * pileup).sum() == pytest.approx(34.0)


def stitched_samples(generator, n_inclusive, n_filtered, share):
    """An inclusive sample where `share` of the events have an extra b, and a filtered one of only such events.

    met is another in the two kinds of event, so that a wrong mixture shows.
    """

    def chunk(n, filtered):
        flags = generator.random(n) < share
        keep = flags if filtered else np.ones(n, bool)
        met = generator.normal(np.where(flags, 80.0, 40.0), 2.0)
        return Chunk({"extra_b": flags[keep], "met": met[keep]}, n, float(n))

    return chunk(n_inclusive, False), chunk(n_filtered, True)


@needs_pythia
@pytest.mark.parametrize("filtered", [5_000, 60_000])
def test_stitching_keeps_every_expectation(tth, filtered):
    inclusive, extra = stitched_samples(np.random.default_rng(8), 20_000, filtered, share=0.05)
    complete = tth.stitch(inclusive, extra)
    weight, met = ak.to_numpy(complete.columns["stitch_weight"]), ak.to_numpy(complete.columns["met"])
    assert set(complete.columns) == {"met", "stitch_weight"}
    assert complete.sum_of_weights == inclusive.sum_of_weights == complete.generated
    # Closed form: N1 events in all, 5 % of them with an extra b, of mean 80 against 40.
    assert weight.sum() == pytest.approx(20_000, abs=4 * np.sqrt(1000))
    high = met > 60
    assert weight[high].sum() == pytest.approx(1000, rel=4 / np.sqrt(0.05 * (20_000 + filtered)))
    assert np.average(met, weights=weight) == pytest.approx(42.0, abs=0.4)
    # Every event with an extra b counts N1 / (N1 + N2), whichever sample it is of.
    assert sorted(set(weight)) == pytest.approx([20_000 / (20_000 + filtered), 1.0])
    assert high.sum() > 0.05 * filtered
    # n_eff of the region grows by (N1 + N2) / N1.
    assert weight[high].sum() ** 2 / (weight[high] ** 2).sum() == pytest.approx(high.sum())


@needs_pythia
def test_a_sample_without_a_filtered_one_is_as_it_was(tth):
    inclusive, _ = stitched_samples(np.random.default_rng(8), 1000, 10, share=0.05)
    complete = tth.stitch(inclusive, None)
    assert (ak.to_numpy(complete.columns["stitch_weight"]) == 1).all()
    assert sorted(complete.columns["met"].tolist()) == sorted(inclusive.columns["met"].tolist())


@needs_pythia
def test_run_numbers_name_the_files(tth):
    runs = [generation.run_of(name) for name in (*tth.FILES, "data")]
    assert len(set(runs)) == len(runs) and min(runs) >= 100_000 and max(runs) < 1_000_000
    assert generation.run_of("data_truth") == generation.run_of("data")  # the truth is found by (run, event)


@needs_pythia
def test_pseudo_data_are_kept_with_the_chance_of_the_luminosity(tth):
    def nature(n, value):
        origin = {"n_extra_b": np.arange(n) % 3, "n_extra_c": np.arange(n) % 2}
        return Chunk({"met": np.full(n, value), "njets": np.arange(n), **origin}, 10 * n, float(n))

    background, signal = nature(60_000, 0.0), nature(3_000, 1.0)
    columns, truth = tth.mix(background, signal, seed=1)
    label = np.asarray(truth["is_signal"])
    assert np.array_equal(np.asarray(columns["met"]), label)  # the truth is in the order of the data
    assert set(columns) == {"met", "njets"} and set(truth) == {"is_signal", "n_extra_b", "n_extra_c"}
    for name, period in (("n_extra_b", 3), ("n_extra_c", 2)):
        assert np.array_equal(truth[name], np.asarray(columns["njets"]) % period)
    for name, chunk, expected in (("b", background, tth.XS_TT), ("s", signal, tth.XS_TTH * tth.SIGNAL_SCALE)):
        chance = 1000 * tth.LUMINOSITY * expected / chunk.generated
        n = len(chunk.columns["met"])
        assert (label == (name == "s")).sum() == pytest.approx(n * chance, abs=4 * np.sqrt(n * chance))
    with pytest.raises(ValueError, match="are too few"):
        tth.mix(nature(100, 0.0), signal, seed=1)


@needs_pythia
def test_a_setting_that_pythia_does_not_know_is_an_error(tth):
    with pytest.raises(ValueError, match="SpaceShower:pTmaxMatsch"):
        tth.pythia("SpaceShower:pTmaxMatsch = 1", 1)


def decay_chain():
    """An event as Pythia writes it: id, mother, daughters.

    The b of a top is copied, radiates a gluon, is copied again; the gluon splits into b and anti-b.
    """
    rows = [(90, 0, 0, 0), (6, 0, 2, 3), (24, 1, 0, 0), (5, 1, 4, 4), (5, 3, 5, 6), (5, 4, 7, 7), (21, 4, 8, 9),
            (5, 5, 0, 0), (5, 6, 0, 0), (-5, 6, 0, 0)]  # fmt: skip
    names = ("id", "mother1", "daughter1", "daughter2")
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


@needs_pythia
def test_quarks_of_decays_are_followed_to_the_end_of_the_shower(tth):
    event = decay_chain()
    two = ak.zip({name: ak.Array([values, values]) for name, values in event.items()})
    assert tth.after_shower(two, ak.Array([[3], [3, 9]])).to_list() == [[7], [7, 9]]
    assert tth.after_shower(two, ak.Array([[4, 6], []])).to_list() == [[7, 6], []]  # the gluon ends where it splits


SHERPA_EVENTS = """E 1 1 5
5 6 0 30 0 10 40
-5 21 0 0 20 0 21
521 0 0 25 0 9 30
-11 24 1 0 -40 5 41
211 0 1 1 1 0.5 1.6
E 3 1.25 3
-5 24 0 -15 1 2 16
4 24 0 5 0 0 6
13 24 1 12 -31 4 35
S 4 4.25 490.1 0.3
"""


@needs_pythia
def test_the_text_of_sherpas_events_is_read(tth):
    batches = list(tth.read_particles(iter(SHERPA_EVENTS.splitlines(keepends=True)), size=1))
    assert [batch.generated for batch in batches] == [0, 0, 4]
    assert [batch.sum_of_weights for batch in batches] == [0, 0, 4.25] and batches[2].record is None
    (together,) = tth.read_particles(iter(SHERPA_EVENTS.splitlines(keepends=True)))
    assert together.weight.tolist() == [1, 1.25] and together.generated == 4 and together.sum_of_weights == 4.25
    record = together.record
    assert record.lepton.id.to_list() == [-11, 13] and record.lepton.pt.to_list() == pytest.approx(
        [40, 33.24], abs=0.01
    )
    assert record.final.id.to_list() == [[-11, 211], [13]] and record.hadrons.id.to_list() == [[521], []]
    assert record.quarks.id.to_list() == [[5], [-5, 4]]
    assert record.extra_b.tolist() == [True, True]  # a b of a W is one too, as for Pythia
    assert [batch.record.extra_b.tolist() for batch in batches[:2]] == [[True], [True]]
    with pytest.raises(ValueError, match="end without"):
        list(tth.read_particles(iter(SHERPA_EVENTS.splitlines(keepends=True)[:-1])))


@needs_pythia
def test_the_other_half_of_sherpas_events_has_the_other_w_decay_to_a_lepton(tth):
    for name in ("ttbar.yaml", "tth.yaml"):
        card = (tth.CARDS / name).read_text()
        turned = tth.card_of(card, 1)
        assert tth.card_of(card, 0) == card and tth.card_of(turned, 1) == card
        channels = [set(yaml.safe_load(text)["HARD_DECAYS"]["Channels"]) for text in (card, turned)]
        higgs = {"25,5,-5"} if name == "tth.yaml" else set()
        assert channels[0] == {"24,12,-11", "24,14,-13", "-24,-2,1", "-24,-4,3"} | higgs
        assert channels[1] == {"-24,-12,11", "-24,-14,13", "24,2,-1", "24,4,-3"} | higgs
        assert turned.replace("-", "").replace(" ", "") == card.replace("-", "").replace(" ", "")  # nothing else


@needs_pythia
def test_samples_of_sherpa_say_what_they_need(tth, monkeypatch, tmp_path):
    monkeypatch.delenv("SHERPA", raising=False)
    assert tth.sherpa_missing().startswith("it needs Sherpa: set SHERPA=FOLDER") and "get.sh" in tth.sherpa_missing()
    monkeypatch.setenv("SHERPA", str(tmp_path))
    assert "has no program `particles`" in tth.sherpa_missing()
    (tmp_path / "particles").touch()
    assert tth.sherpa_missing() == ""


@needs_pythia
@pytest.mark.slow
def test_real_events(tth):
    """A hundred collisions, twice, from Pythia to branches: the preselection holds, and the seed decides everything."""
    spec = generation.SampleSpec(100, 100, tth.XS_TTH, tth.SAMPLES["ttH"].physics)
    chunk, again = tth.generate_chunk(spec, 11), tth.generate_chunk(spec, 11)
    columns = chunk.columns
    assert chunk.generated >= 100 and 10 < len(columns["met"]) < 100
    assert {name: ak.to_list(values) for name, values in columns.items()} == {
        name: ak.to_list(values) for name, values in again.columns.items()
    }
    assert ak.all(ak.num(columns["jet_pt"]) >= tth.MIN_JETS)
    hardest = np.maximum(columns["jet_pt"], columns["jet_pt_jes_up"])
    assert ak.all(hardest > tth.JET_PT) and ak.all(abs(columns["jet_eta"]) < tth.JET_ETA)
    assert ak.all(ak.sum(columns["jet_b"] >= tth.TAGGED, axis=1) >= tth.MIN_TAGS)
    assert ak.all(columns["lepton_pt"] > tth.LEPTON_PT) and set(ak.to_list(columns["lepton_flavour"])) == {11, 13}
    assert set(ak.to_list(columns["lepton_charge"])) == {-1, 1}
    assert np.mean(ak.any(columns["jet_flavour"] == 5, axis=1)) > 0.9
    weight = ak.to_numpy(columns["gen_weight"])
    assert abs(weight) == pytest.approx(np.full(len(weight), 1 / (1 - 2 * tth.NEGATIVE_SHARE)))
    assert 0 < np.mean(weight < 0) < 0.3
    most = 1 / (1 - tth.ENRICHED)  # an event that surely has enough tags, drawn among the share without one more
    assert ak.all(columns["tag_weight"] > 0) and ak.all(columns["tag_weight"] <= most)


# --- settings that are changed for one run ---
DETECTOR = """
from dataclasses import dataclass
from scales import FACTOR

@dataclass(frozen=True)
class Detector:
    scale: float = 1.0
    on: bool = True

SAMPLES = {name: SampleSpec(s.events, s.chunk, s.cross_section, s.physics | {"detector": Detector(FACTOR)})
           for name, s in SAMPLES.items()}
inner = generate_chunk

def generate_chunk(spec, seed):
    chunk = inner(spec, seed)
    scaled = chunk.columns | {"met": spec.physics["detector"].scale * chunk.columns["met"]}
    return Chunk(scaled, chunk.generated, chunk.sum_of_weights)
"""


@pytest.fixture
def with_detector(tmp_path):
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "scales.py").write_text("FACTOR = 2.0")
    return write_page(tmp_path / "pages", PAGE + DETECTOR)


def test_the_same_events_pass_through_another_detector(with_detector, made, tmp_path):
    files = {}
    for name, settings, processes in (("first", [], 1), ("second", ["detector.scale=4"], 2)):
        generate(with_detector, tmp_path / name, seed=3, processes=processes, settings=settings)
        files[name] = content(tmp_path / name / "signal.root")
    assert files["first"]["jet_pt"].to_list() == files["second"]["jet_pt"].to_list()
    assert (2.0 * files["first"]["met"]).to_list() == files["second"]["met"].to_list()
    assert files["first"]["met"].to_list() == (2.0 * content(made[1] / "signal.root")["met"]).to_list()


def test_chunks_of_another_detector_are_not_taken_for_those_of_the_first(with_detector, tmp_path):
    generate(with_detector, tmp_path / "out", seed=3, processes=1)
    before = content(tmp_path / "out" / "signal.root")["met"]
    generate(with_detector, tmp_path / "out", seed=3, processes=1, settings=["detector.scale=4"])
    assert content(tmp_path / "out" / "signal.root")["met"].to_list() == (2.0 * before).to_list()


def test_a_module_beside_a_page_is_that_of_its_folder(with_detector, tmp_path):
    other = tmp_path / "others"
    page = write_page(other, PAGE + DETECTOR)
    (other / "scales.py").write_text("FACTOR = 3.0")
    factors = [load_page(path).SAMPLES["signal"].physics["detector"].scale for path in (with_detector, page)]
    assert factors == [2.0, 3.0]
    assert "scales" not in sys.modules and str(other) not in sys.path


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("scale", "is not of the form"),
        ("a.b.c=1", "is not of the form"),
        ("scal=2", r"no setting 'scal'\. Did you mean 'scale'"),
        ("scale=much", r"must be of the kind of 2\.0"),
        ("scale.x=1", "scale has no fields"),
        ("detector=1", "is not a number or a text"),
        ("detector.scle=1", r"no field 'scle'\. Did you mean 'scale'"),
        ("detector.on=1", "must be true or false"),
    ],
)
def test_a_wrong_setting_is_told_before_anything_is_generated(with_detector, tmp_path, setting, message):
    with pytest.raises(ConfigError, match=message):
        generate(with_detector, tmp_path / "out", processes=1, settings=[setting])
    assert not (tmp_path / "out").exists()
