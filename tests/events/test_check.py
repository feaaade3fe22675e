"""`hepda check`: numbers held against the table and against sums by hand, and every fault told by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

from hepda.config import AnalysisConfig, load_config
from hepda.events import check_text
from hepda.events.check import Checkup, check_events
from tests.factory import analysis, write_analysis, write_sample

N = 500


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_analysis(tmp_path_factory.mktemp("good"), n=N)


def configured(good: Path, folder: Path, **changes: Any) -> AnalysisConfig:
    """The good analysis, its files in place, with some keys replaced ("samples.data.files" and the like)."""
    text = analysis()
    for sample in text["samples"].values():
        sample["files"] = str(good.parent / sample["files"])
    for key, value in changes.items():
        *way, last = key.split("__")
        section = text
        for part in way:
            section = section[part]
        section[last] = value
    path = folder / "changed.yaml"
    path.write_text(yaml.safe_dump(text))
    return load_config(path)


def looked_at(config: AnalysisConfig, *, every_file: bool = False) -> Checkup:
    return check_events(config, lambda *_: None, every_file=every_file)


def page_of(config: AnalysisConfig, found: Checkup) -> list[str]:
    return list(check_text.lines(config.name, config.luminosity, found))


def test_cut_flow_is_that_of_sums_by_hand(good: Path, tmp_path: Path) -> None:
    result = looked_at(configured(good, tmp_path))
    assert result.problems == []
    with uproot.open(good.parent / "background.root") as file:
        events = file["events"].arrays(["jet_pt", "jet_b", "gen_weight", "b_weight"])
    check = result.samples["background"]
    weight = np.asarray(events.gen_weight, float) * np.asarray(events.b_weight, float) * check.summary.normalisation
    passed = np.ones(N, bool)
    for step, cut in zip(
        check.flow, (passed, ak.num(events.jet_pt) >= 5, ak.sum(events.jet_b >= 3, axis=1) >= 2), strict=True
    ):
        passed = passed & np.asarray(cut)
        assert step.entries == passed.sum()
        assert step.sumw == pytest.approx(weight[passed].sum())
        assert step.sumw2 == pytest.approx(np.square(weight[passed]).sum())
    assert [step.cut for step in check.flow] == ["all entries", "n_jets >= 5", "n_b >= 2"]
    assert check.summary.sums.sumw == pytest.approx(check.flow[-1].sumw)
    page = "\n".join(page_of(configured(good, tmp_path), result))
    assert f"{weight.sum():.0f}"[:2] in page
    assert "small: training may start; no warnings" in page


def test_a_wrong_tree_is_told_once_with_the_list_of_samples(good: Path, tmp_path: Path) -> None:
    config = configured(good, tmp_path, tree="event", samples__third__tree="evnts")
    chosen, *further = [f"samples.{name}" for name in config.samples if name != "third"]
    first, third = looked_at(config).problems
    assert first.startswith(f"{chosen}: ") and ".root: has no tree 'event'. Did you mean 'events'?" in first
    assert first.endswith(f"The same is true of {', '.join(further)}.") and len(further) >= 3
    assert third.startswith("samples.third: ") and "The same" not in third
    (wrong,) = looked_at(configured(good, tmp_path, selection="jet_ptt[0] > 3")).problems
    assert "'jet_ptt' is neither a variable" in wrong and wrong.count("samples.") == len(config.samples)


def test_every_faulty_sample_is_told_at_once(good: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.root"
    broken.write_bytes((good.parent / "third.root").read_bytes()[:5000])
    config = configured(good, tmp_path, samples__third__files=str(broken), samples__signal__weight="gen_weigth")
    result = looked_at(config)
    assert len(result.problems) == 2
    assert "samples.signal" in result.problems[0]
    assert "Did you mean 'gen_weight'" in result.problems[0]
    assert "is truncated" in result.problems[1]
    assert list(page_of(config, result))[-1] == "small: 2 problems; fix before training"
    missing = looked_at(configured(good, tmp_path, samples__third__files="no.root", samples__data__files="not.root"))
    assert [problem.partition(":")[0] for problem in missing.problems] == ["samples.data.files", "samples.third.files"]


def test_what_a_training_would_refuse_is_a_problem(good: Path, tmp_path: Path) -> None:
    for change, message in (
        ({"selection": "n_jets > 99"}, "no event passes the selection"),
        ({"variables__ht": "log(count(jet_pt) - 5)"}, "is not a finite number"),
        ({"samples__background__weight": "0 * gen_weight - 1"}, "add up to"),
    ):
        result = looked_at(configured(good, tmp_path, **change))
        assert len(result.problems) == 1, change
        assert message in result.problems[0]
        assert result.samples == {}


def test_features_that_are_constant_equal_or_flagged(good: Path, tmp_path: Path) -> None:
    variables = analysis()["variables"] | {
        "one": "1", "twice": "2 * ht + 1", "flagged": "where(ht > 400, met, -999)", "fourth": "jet_pt[6]",
    }  # fmt: skip
    features = ["ht", "met", "one", "twice", "flagged", "fourth"]
    result = looked_at(configured(good, tmp_path, variables=variables, features=features, plots={}))
    assert result.problems == []
    text = "\n".join(result.warnings)
    assert "the feature one is 1 in every selected event" in text
    assert "the features ht and twice are nearly equal (correlation 1.0000)" in text
    assert "the feature flagged is -999 in " in text
    assert len(result.warnings) == 3
    assert any(note.startswith("the feature fourth is missing in selected events: ") for note in result.notes)


def test_keys_that_repeat_within_and_between_samples(good: Path, tmp_path: Path) -> None:
    twin, other = tmp_path / "twin.root", tmp_path / "other.root"
    write_sample(twin, N, 77, False, first_event=1)
    write_sample(other, N, 78, False, first_event=1)
    with uproot.open(twin) as file:
        events = np.asarray(file["events/event"].array()) // 2
    write_sample(twin, N, 77, False, first_event=1, spoil={"event": events})
    background = analysis()["samples"]["background"]
    changed = {"samples__again": background | {"files": str(good.parent / "background.root")}}
    result = looked_at(configured(good, tmp_path, **changed, samples__third__files=str(twin)))
    text = "\n".join(result.warnings)
    assert "third: " in text
    assert "have the run and event of another one" in text
    n = result.samples["background"].summary.sums.entries
    assert f"again and background share {n} selected events, with the same features: they count twice" in text
    changed = {
        "samples__again": background | {"files": str(other)},
        "samples__third__files": str(good.parent / "third.root"),
    }
    result = looked_at(configured(good, tmp_path, **changed, samples__background_alt__files=str(twin)))
    assert any(n.startswith("again and background_alt have ") for n in result.notes)
    assert not any("count twice" in w and "share" in w for w in result.warnings)


def test_one_file_of_each_sample_or_all(good: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.root"
    write_sample(more, 50, 91, False, cross_section=20.0)
    files = [str(good.parent / "background.root"), str(more)]
    config = configured(good, tmp_path, samples__background__files=files)
    first, every = looked_at(config), looked_at(config, every_file=True)
    assert first.samples["background"].files == (1, 2)
    assert first.samples["background"].summary.entries == N
    assert every.samples["background"].files == (2, 2)
    assert every.samples["background"].summary.entries == N + 50
    more.write_bytes(b"root, but nothing else")
    assert looked_at(config).problems == []
    assert len(looked_at(config, every_file=True).problems) == 1


def test_data_are_held_against_the_simulation_unless_they_are_blinded(good: Path, tmp_path: Path) -> None:
    assert any("blinded" in note for note in looked_at(configured(good, tmp_path)).notes)
    shifted = tmp_path / "shifted.root"
    with uproot.open(good.parent / "data.root") as file:
        met = np.asarray(file["events/met"].array())
    write_sample(shifted, 2 * N, 5, False, data=True, signal_fraction=0.2, spoil={"met": np.resize(met, 2 * N) + 60})
    config = configured(good, tmp_path, samples__data__files=str(shifted), evaluation__blind=None)
    result = looked_at(config)
    by_name = {row.feature: row for row in result.agreement}
    assert set(by_name) == set(config.features)
    assert by_name["met"].p_value < 1e-6
    assert by_name["met"].means[0] > by_name["met"].means[1] + 30
    assert by_name["central"].p_value > 1e-4
    page = list(page_of(config, result))
    (line,) = [line for line in page if line.split()[:2] == ["met", "data"]]
    assert line.endswith("differs")
    assert any(note.startswith("data: ") and "the simulation expects" in note for note in result.notes)


def test_data_that_are_far_more_than_the_simulation_are_a_warning(good: Path, tmp_path: Path) -> None:
    first = looked_at(configured(good, tmp_path, evaluation__blind=None))
    [ratio] = [float(found[1]) for note in first.notes if (found := re.search(r", ([\d.]+) of it$", note))]
    luminosity = configured(good, tmp_path).luminosity * ratio

    def warned(factor: float) -> bool:
        result = looked_at(configured(good, tmp_path, evaluation__blind=None, luminosity=luminosity * factor))
        return any("times the events of the simulation; check luminosity" in text for text in result.warnings)

    assert [warned(factor) for factor in (1.0, 0.5, 2.0)] == [False, True, True]


def test_weights_that_are_not_finite_outside_the_selection_do_not_hide_the_flow(good: Path, tmp_path: Path) -> None:
    result = looked_at(
        configured(good, tmp_path, selection="(n_jets >= 6) & (n_b >= 2)", weight="gen_weight / (n_jets >= 6)")
    )
    assert result.problems == []
    flow = result.samples["background"].flow
    assert [step.sumw for step in flow] == [None] * 3
    assert flow[0].entries == N
    assert any("no weighted cut flow" in warning for warning in result.warnings)
