"""Yields of `hepda check` by process and region, held against sums of the files by hand."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from hepda.config import load_config
from hepda.events import check_text
from hepda.events.check import check_events
from tests.factory import analysis, write_analysis

POINTS = {"tight": {"objective": "efficiency", "efficiency": 0.3}}
FIT = {
    "regions": {
        "low": {"selection": "n_jets <= 6", "role": "control", "variable": "ht", "bins": 2},
        "high": {"selection": "n_jets > 6", "largest": "ttH", "passes": "tight"},
    }
}


def samples():
    """Three classes: the background as ttb and ttlight, in the nominal domain and the alternative."""
    parts = {}
    for name, sample in analysis()["samples"].items():
        if sample.get("class") == "signal":
            parts[name] = {**sample, "class": "ttH"}
        elif sample.get("class") is None:
            parts[name] = sample
        else:
            for process, selection in (("ttb", "n_extra_b > 0"), ("ttlight", "n_extra_b == 0")):
                about = {"class": process, "selection": selection, "process": process}
                parts[f"{process}_{name}"] = {**sample, **about}
    return parts


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    models = {"bdt": {"kind": "bdt", "iterations": 3}}
    folder = tmp_path_factory.mktemp("yields")
    path = write_analysis(folder, n=500, samples=samples(), models=models, signal="ttH", fit=FIT, working_points=POINTS)
    config = load_config(path, ["evaluation.blind=null"])
    return folder, config, check_events(config, lambda *_: None)


def by_hand(path: Path, cross_section: float, luminosity: float, high: bool, bottom: bool):
    with uproot.open(path) as file:
        events = file["events"].arrays(["jet_pt", "jet_b", "gen_weight", "b_weight", "n_extra_b"])
        generated = float(file["metadata"]["sum_of_weights"].array()[0])
    number = np.asarray(ak.num(events.jet_pt))
    passed = (number >= 5) & np.asarray(ak.sum(events.jet_b >= 3, axis=1) >= 2)
    passed &= (number > 6) == high
    passed &= (np.asarray(events.n_extra_b) > 0) == bottom
    weight = np.asarray(events.gen_weight, float) * np.asarray(events.b_weight, float)
    weight = weight[passed] * cross_section * 1000 * luminosity / generated
    return int(passed.sum()), float(weight.sum()), float(np.sum(weight**2))


def test_yields_are_sums_over_the_files(checked) -> None:
    folder, config, result = checked
    assert result.problems == []
    assert [region.region for region in result.yields] == ["low", "high"]
    for region in result.yields:
        processes = {part.process: part for part in region.processes}
        assert list(processes) == ["signal", "ttb", "ttlight"]
        high = region.region == "high"
        for name, bottom in (("ttb", True), ("ttlight", False)):
            events, sumw, sumw2 = by_hand(folder / "background.root", 20.0, config.luminosity, high, bottom)
            part = processes[name].nominal
            assert (part.events, part.sumw, part.sumw2) == (events, pytest.approx(sumw), pytest.approx(sumw2))
            assert part.n_eff == pytest.approx(sumw**2 / sumw2)
            other = processes[name].others["alternative"]
            expected = by_hand(folder / "background_alt.root", 20.0, config.luminosity, high, bottom)
            assert (other.events, other.sumw) == (expected[0], pytest.approx(expected[1]))
        assert processes["signal"].others["third"] is None  # the third generator has no signal
        background = region.total(signal=False)
        assert background.sumw == pytest.approx(processes["ttb"].nominal.sumw + processes["ttlight"].nominal.sumw)
    assert sum(region.data["data"] for region in result.yields) == result.samples["data"].summary.sums.entries


def test_the_page_has_a_row_a_process_and_region(checked) -> None:
    _, config, result = checked
    page = list(check_text.lines(config.name, config.luminosity, result))
    start = page.index("Yields by process and region")
    rows = [line.split() for line in page[start + 1 : start + 8]]
    assert rows[0][:4] == ["region", "process", "class", "events"]
    assert [row[:3] for row in rows[1:]] == [
        [region, process, class_name]
        for region in ("low", "high")
        for process, class_name in (("signal", "ttH"), ("ttb", "ttb"), ("ttlight", "ttlight"))
    ]
    regions = page.index("Regions")
    signal, background = (result.yields[1].total(signal=is_signal).sumw for is_signal in (True, False))
    assert f"{signal / background:.3g}" in page[regions + 3].split()
    assert any("before the conditions on working points" in line and "high (tight)" in line for line in page)
    assert any("before the condition on the largest output" in line and "high (ttH)" in line for line in page)


def test_without_a_fit_all_events_are_one_region_and_blinded_data_are_not_counted(tmp_path) -> None:
    config = load_config(write_analysis(tmp_path, n=200), ["models={bdt: {kind: bdt, iterations: 3}}"])
    result = check_events(config, lambda *_: None)
    (region,) = result.yields
    assert region.region == "all" and region.data == {}
    assert [part.nominal.events for part in region.processes] == [
        result.samples[name].summary.sums.entries for name in ("signal", "background")
    ]
