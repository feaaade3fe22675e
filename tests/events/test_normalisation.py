"""Sums of weights wherever they are kept, luminosities of eras, stitched samples; data get none of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
import yaml

from hepda.config import load_config
from hepda.errors import ConfigError, HepdaError
from hepda.events.dataset import samples
from hepda.events.dataset.load import LoadedEvents, load_table
from hepda.events.resolve import dataset_spec
from tests.factory import analysis, write_analysis, write_sample

N = 300


def loaded(folder: Path, change: dict[str, Any] | None = None, **samples: dict[str, Any]) -> LoadedEvents:
    """The small analysis with keys of samples and of the analysis changed."""
    text = analysis()
    text |= change or {}
    for name, keys in samples.items():
        text["samples"].setdefault(name, {}).update(keys)
    (folder / "small.yaml").write_text(yaml.safe_dump(text))
    return load_table(dataset_spec(load_config(folder / "small.yaml")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("normalisation")
    write_analysis(path, N)
    return path


def bookkeeping(path: Path, **extra: Any) -> None:
    """The file's `events` beside other bookkeeping than the factory's."""
    with uproot.open(path) as file:
        arrays = file["events"].arrays(library="ak")
    fields = [f for f in arrays.fields if not f.startswith("njet")]
    types = {
        f: f"var * {arrays[f].type.content.content}" if arrays[f].ndim == 2 else np.asarray(arrays[f]).dtype
        for f in fields
    }
    with uproot.recreate(path) as file:
        file.mktree("events", types)
        file["events"].extend({f: arrays[f] for f in fields})
        for name, content in extra.items():
            if isinstance(content, dict):
                file.mktree(name, {key: values.dtype for key, values in content.items()})
                file[name].extend(content)
            else:
                file[name] = content


def histogram(*contents: float) -> Any:
    return np.asarray(contents, dtype=np.float64), np.arange(len(contents) + 1.0)


@pytest.mark.slow
def test_the_runs_tree_of_nanoaod(tmp_path: Path) -> None:
    write_analysis(tmp_path, N)
    for name in ("genEventSumw", "genEventSumw_"):
        write_sample(tmp_path / "signal.root", N, 1, signal=True)
        bookkeeping(tmp_path / "signal.root", Runs={name: np.array([700.0, 300.0])})
        runs = {"tree": "Runs", "sum_of_weights": "genEventSumw"}
        result = loaded(tmp_path, signal={"normalisation": runs, "cross_section": 2.0}).samples["signal"]
        assert result.sum_of_weights == 1000.0
        assert result.normalisation == pytest.approx(10 * 1000 * 2.0 / 1000)


def test_a_histogram_by_bin_by_all_bins_and_by_pattern(tmp_path: Path) -> None:
    write_analysis(tmp_path, N)
    books = {"CutBookkeeper_1_NOSYS": histogram(9, 400, 7), "CutBookkeeper_2_NOSYS": histogram(9, 600, 7)}
    bookkeeping(tmp_path / "signal.root", **books)
    for section, total in (
        ({"histogram": "CutBookkeeper_1_NOSYS", "bin": 2}, 400),
        ({"histogram": "CutBookkeeper_1_NOSYS"}, 416),
        ({"histogram": "CutBookkeeper_*_NOSYS", "bin": 2}, 1000),
    ):
        result = loaded(tmp_path, signal={"normalisation": section, "cross_section": 2.0}).samples["signal"]
        assert result.sum_of_weights == total
    for section, message in (
        (
            {"histogram": "CutBookkeeper_3_NOSYS"},
            r"no histogram 'CutBookkeeper_3_NOSYS'\. Did you mean 'CutBookkeeper_",
        ),
        (
            {"histogram": "CutBookkeeper_1_NOSYS", "bin": 4},
            r"has 3 bins, so none with the number 4; see `normalisation\.bin`",
        ),
    ):
        with pytest.raises(HepdaError, match=message):
            loaded(tmp_path, signal={"normalisation": section, "cross_section": 2.0})


def test_all_events_of_all_files(folder: Path, tmp_path: Path) -> None:
    for part in range(2):
        write_sample(tmp_path / f"p{part}.root", 100, 40 + part, signal=True, metadata=False)
    total = sum(
        float(uproot.open(tmp_path / f"p{p}.root")["events/gen_weight"].array().to_numpy().sum()) for p in range(2)
    )
    section = {"files": f"{tmp_path}/p*.root", "normalisation": {"events": "gen_weight"}, "cross_section": 3.0}
    result = loaded(folder, {"selection": "met > 30"}, signal=section).samples["signal"]
    assert result.sum_of_weights == pytest.approx(total)
    assert result.sums.entries < 200  # the sum is of what the selection takes away, too
    with pytest.raises(
        HepdaError, match=r"normalisation\.events \(log\(gen_weight\)\) is not a finite number in entry \d+"
    ):
        loaded(folder, signal=section | {"normalisation": {"events": "log(gen_weight)"}})
    with pytest.raises(HepdaError, match=r"normalisation\.events: 'gen_wieght' .*Did you mean 'gen_weight'"):
        loaded(folder, signal=section | {"normalisation": {"events": "gen_wieght"}})


@pytest.mark.parametrize("tree", ["events", None])
def test_the_sum_of_a_job_that_selected_nothing_counts(folder: Path, tmp_path: Path, tree: str | None) -> None:
    """Its file has no tree of events; without its sum of weights the yield would be too large."""
    write_sample(tmp_path / "p1.root", 100, 40, signal=True)
    with uproot.recreate(tmp_path / "p0.root") as file:
        file.mktree("metadata", dict.fromkeys(("cross_section", "sum_of_weights"), np.float64))
        file["metadata"].extend({"cross_section": np.array([1.0]), "sum_of_weights": np.array([900.0])})
    with uproot.open(tmp_path / "p1.root") as file:
        sum_of_job = float(file["metadata/sum_of_weights"].array()[0])
    alone = loaded(folder, {"tree": tree}, signal={"files": f"{tmp_path}/p1.root"}).samples["signal"]
    both = {"files": f"{tmp_path}/p*.root"}
    refused = r"p0\.root: has no tree .*selected nothing, `reading: {on_error: skip}` counts"
    with pytest.raises(HepdaError, match=refused):
        loaded(folder, {"tree": tree}, signal=both)
    result = loaded(folder, {"tree": tree, "reading": {"on_error": "skip"}}, signal=both)
    assert alone.sum_of_weights == sum_of_job
    assert result.samples["signal"].sum_of_weights == sum_of_job + 900
    assert result.samples["signal"].sums.sumw == pytest.approx(alone.sums.sumw * sum_of_job / (sum_of_job + 900))
    (skipped,) = result.skipped
    assert (skipped.path, skipped.entries) == (str(tmp_path / "p0.root"), 0)
    assert skipped.line().endswith("Its sum of weights counts.")
    assert [file.path for file in result.files if file.sample == "signal"] == [str(tmp_path / "p1.root")]
    with pytest.raises(HepdaError, match=r"p0\.root: has no tree"):
        loaded(folder, {"tree": tree, "reading": {"on_error": "skip"}}, signal={"files": f"{tmp_path}/p0.root"})


def test_each_era_has_its_luminosity(folder: Path) -> None:
    baseline = loaded(folder).samples["background"].sums.sumw
    assert loaded(folder, background={"luminosity": 36.0}).samples["background"].sums.sumw == pytest.approx(
        3.6 * baseline
    )


def test_a_sample_may_have_a_weight_of_its_own(folder: Path) -> None:
    table = loaded(folder, {"weight": "1"}, signal={"weight": "gen_weight * b_weight_up"}).table
    expected = loaded(folder, {"weight": "gen_weight * b_weight_up"}).table
    signal = table.of_samples(["signal"])
    np.testing.assert_array_equal(table.weight[signal], expected.weight[signal])
    assert len(np.unique(table.weight[table.of_samples(["background"])])) == 1


def test_data_never_get_simulations_weights(tmp_path: Path) -> None:
    """Pseudo-data that hold every branch, weights and bookkeeping of simulation still count one each."""
    write_analysis(tmp_path, N)
    write_sample(tmp_path / "data.root", N, 6, signal=False)  # a simulated file, metadata and all
    changes: list[dict[str, Any]] = [
        {},
        {"weight": "gen_weight * b_weight * 7"},
        {"normalisation": {"events": "gen_weight", "cross_section": "cross_section"}},
        {"stitched": {"tt": {"background": "True", "third_one": "True"}}},
    ]
    more = {"files": "third.root", "class": "background", "domain": "simulation"}
    for change in changes:
        samples = {"third_one": more} if "stitched" in change else {}
        domain = {"source": ["background"], "target": ["data"], "rows": "all", "weight": "physical * 3"}
        models = {"dann": {"kind": "network", "encoder": [16], "domain": domain}}
        result = loaded(tmp_path, {"models": models, **change}, **samples)
        data = result.table.of_domain("data")
        assert data.sum() > 50
        assert (result.table.weight[data] == 1).all()
        assert (result.table.columns["domain:dann:weight"][data] == 1).all()
        assert result.samples["data"].normalisation == 1.0
        assert result.samples["data"].sum_of_weights is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples.data.luminosity": 3.0}, r"samples\.data\.luminosity.*: data are not normalised"),
        ({"samples.data.normalisation": {"events": "1"}}, r"samples\.data\.normalisation.*: data are not normalised"),
        ({"normalisation": {"bin": 2}}, r"normalisation\.bin.*: is that of a histogram"),
        (
            {"normalisation": {"events": "1", "histogram": "h"}},
            r"normalisation\.events.*gives the sum of weights already",
        ),
        ({"normalisation": {"events": "1", "sum_of_weights": "s"}}, r"`events` gives the sum of weights already"),
        ({"stitched": {"tt": {"background": "True"}}}, r"stitched\.tt.*: names 1 sample; overlap takes two"),
        ({"stitched": {"tt": {"background": "True", "data": "True"}}}, r"stitched\.tt\.data.*: is data"),
        (
            {"stitched": {"tt": {"background": "True", "bakground": "True"}}},
            r"not a sample\. Did you mean 'background'",
        ),
        ({"stitched": {"tt": {"background": "True", "signal": "True"}}}, r"differ in class, domain or luminosity"),
        ({"stitched": {"tt": {"background": "True", "third": "True"}}}, r"differ in class, domain or luminosity"),
    ],
)
def test_faults_in_the_analysis_file(folder: Path, change: dict[str, Any], message: str) -> None:
    text = analysis()
    for key, value in change.items():
        *path, last = key.split(".")
        section = text
        for part in path:
            section = section[part]
        section[last] = value
    (folder / "faulty.yaml").write_text(yaml.safe_dump(text))
    with pytest.raises(ConfigError) as caught:
        load_config(folder / "faulty.yaml")
    assert re.search(message, str(caught.value)), str(caught.value)


def stitchable(folder: Path) -> dict[str, Any]:
    """An inclusive background and a part of it, enhanced: n_extra_b == 1, which is a third of the inclusive one."""
    rng = np.random.default_rng(3)
    inclusive = rng.integers(0, 3, 3000).astype(np.int8)
    write_sample(folder / "background.root", 3000, 2, signal=False, cross_section=30.0, generated=3000, negative=0.2,
                 spoil={"n_extra_b": inclusive})  # fmt: skip
    write_sample(folder / "one.root", 2000, 77, signal=False, cross_section=10.0, generated=2000, negative=0.2,
                 spoil={"n_extra_b": np.ones(2000, np.int8)})  # fmt: skip
    sample = {"files": "one.root", "class": "background", "domain": "simulation"}
    group = {"tt": {"background": "True", "one": "n_extra_b == 1"}}
    change = {"stitched": group, "selection": None, "weight": "gen_weight", "columns": {"extra": "n_extra_b"}}
    return {"change": change, "one": sample}


@pytest.mark.slow
def test_stitched_samples_count_once(tmp_path: Path) -> None:
    write_analysis(tmp_path, N)
    parts = stitchable(tmp_path)
    result = loaded(tmp_path, parts["change"], one=parts["one"])
    table = result.table
    inclusive, exclusive = table.of_samples(["background"]), table.of_samples(["one"])
    extra = table.columns["extra"]
    worth = {name: 10.0 / result.samples[name].normalisation for name in ("background", "one")}  # 1/fb
    with uproot.open(tmp_path / "background.root") as file:
        sign = file["events/gen_weight"].array().to_numpy()
    # In the region of both, an event counts with both luminosities; elsewhere with that of the inclusive sample.
    expected = np.where(extra[inclusive] == 1, 10 / (worth["background"] + worth["one"]), 10 / worth["background"])
    np.testing.assert_allclose(table.weight[inclusive], sign * expected)
    np.testing.assert_allclose(np.abs(table.weight[exclusive]), 10 / (worth["background"] + worth["one"]))
    # The yield is that of the process, not that of the process and its part; the part's is better known than before.
    yields = {r: float(table.weight[(inclusive | exclusive) & (extra == r)].sum()) for r in (0, 1, 2)}
    assert sum(yields.values()) == pytest.approx(10 * 1000 * 30, rel=0.05)
    assert yields[1] == pytest.approx(10 * 1000 * 10, rel=0.1)
    alone = loaded(tmp_path, parts["change"] | {"stitched": {}}, one=parts["one"])
    counted_twice = alone.table.weight[alone.table.of_samples(["background", "one"])].sum()
    assert counted_twice == pytest.approx(10 * 1000 * 40, rel=0.05)


def test_a_stitched_sample_must_cover_its_own_events(tmp_path: Path) -> None:
    write_analysis(tmp_path, N)
    parts = stitchable(tmp_path)
    parts["change"]["stitched"]["tt"]["one"] = "n_extra_b == 2"
    with pytest.raises(
        HepdaError, match=r"stitched\.tt\.one \(n_extra_b == 2\): does not hold in \d+ events of this very"
    ):
        loaded(tmp_path, parts["change"], one=parts["one"])


@pytest.mark.parametrize("at_once", [7, 2_000_000])
def test_events_that_repeat_are_counted_part_by_part(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(samples, "_KEYS", at_once)
    key = np.random.default_rng(1).integers(0, 2**64, 40, dtype=np.uint64)
    key = np.concatenate([key, key[:5], key[:2], np.array([0, 0, 2**64 - 1, 2**64 - 1], np.uint64)])
    assert samples.duplicates(key) == 5 + 2 + 2
    assert samples.duplicates(key[:40]) == 0
    assert samples.duplicates(key[:0]) == 0
