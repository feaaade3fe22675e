"""A whole run of generated events, from the analysis file to the report and to new ROOT files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import uproot

from hepda.cli import main
from hepda.config import EventGeneratorConfig, load_any, validate_any
from hepda.errors import ConfigError
from hepda.events.dataset.load import load_table
from hepda.events.resolve import dataset_spec
from hepda.kinds import kind_of
from hepda.results.entries.event_generators import DialPoint, EventGeneratorMetrics
from hepda.runtime.plots import PlotOptions, Plots
from hepda.workflows import train
from tests.events.generation.toy import analysis, config
from tests.reports import assert_no_table_is_empty
from tests.speech.test_run import Quiet


def metrics_of(run: Path) -> EventGeneratorMetrics:
    return EventGeneratorMetrics.from_json(json.loads((run / "metrics.json").read_text()))


def at(metrics: EventGeneratorMetrics, model: str, scale: float) -> DialPoint:
    return next(point for point in metrics.models[model].points if point.scale == scale)


@pytest.mark.slow
def test_a_run_leaves_what_every_run_leaves(run: Path) -> None:
    for name in train.FILES:
        assert (run / name).is_file(), name
    page = (run / "report.html").read_text()
    for text in ("The dial", "Probe against B", "extrapolation", "Bias of classifiers along the dial", "no difference"):
        assert text in page
    assert_no_table_is_empty(run, kind_of(load_any(run / "config.yaml")))
    figures = {path.name for path in (run / "plots").glob("*.png")}
    assert figures >= {"probe-events.png", "efficiency-events.png", "mu-both.png", "feature-n_jets.png"}


@pytest.mark.slow
def test_the_dial_goes_from_a_to_b(run: Path) -> None:
    metrics = metrics_of(run)
    assert metrics.real is not None and float(metrics.real.probe.value or 0.0) > 0.55
    for model in ("weights", "events", "both"):
        ends = [float(at(metrics, model, scale).probe_target.value or 1.0) for scale in (0.0, 1.0)]
        assert ends[1] - 0.5 < 0.6 * (ends[0] - 0.5), model
        assert at(metrics, model, 2.0).extrapolation and not at(metrics, model, 1.0).extrapolation
        yields = [at(metrics, model, scale).yield_ for scale in (0.0, 1.0)]
        expected = [metrics.real.yields[side] for side in ("origin", "target")]
        np.testing.assert_allclose(yields, expected, rtol=0.05)
    origin = float(at(metrics, "events", 0.0).probe_origin.value or 0.0)
    assert abs(origin - 0.5) < 0.04  # events that are carried return


@pytest.mark.slow
def test_classifiers_shift_at_1_as_in_b(run: Path) -> None:
    metrics = metrics_of(run)
    assert metrics.real is not None
    real = metrics.real.classifiers["bdt"]
    for model in ("weights", "both"):
        along = [at(metrics, model, scale).classifiers["bdt"] for scale in (0.0, 1.0)]
        assert along[0].efficiency.value == pytest.approx(0.0, abs=0.03)
        assert along[1].efficiency.value == pytest.approx(float(real.efficiency.value or 0.0), abs=0.15)
        assert along[0].mu is not None and along[0].mu.value == pytest.approx(1.0, abs=0.3)


@pytest.mark.slow
def test_features_are_formed_anew_and_no_flow_has_seen_what_it_is_judged_on(run: Path) -> None:
    kind = kind_of(load_any(run / "config.yaml"))
    kind.load(Quiet().step)
    events, drawn = kind.events, kind.drawn(run, kind.saved_scores(run))  # type: ignore[attr-defined]
    table = drawn.process("events", "bkg", 1.0).table
    values = dict(zip(table.names, table.features.T, strict=True))
    np.testing.assert_allclose(values["met_over_ht"], values["met"] / values["ht"], rtol=1e-5)
    assert (values["pt_1"] > 25.0).all() and (values["n_jets"] >= 2).all()
    table = events.samples["bkg_a"].table
    for fold in range(2):
        learned = events.learned_from(fold)
        assert len(learned.weight) == sum((s.table.fold != fold).sum() for s in events.samples.values())
        assert (table.fold[events.givers("bkg", "events", fold)] == fold).all()
        assert (table.fold[events.givers("bkg", "noise", fold)] != fold).all()
        unused, given = events.unused("bkg", "events", fold), events.givers("bkg", "events", fold)
        assert not set(unused) & set(given) and len(unused) + len(given) == (table.fold == fold).sum()


@pytest.mark.slow
def test_numbers_are_made_again_from_the_saved_ratios(run: Path) -> None:
    before = metrics_of(run).to_json()
    again = train.evaluate(run, PlotOptions(Plots.NONE), Quiet()).metrics.to_json()
    for content in (before, again):
        for model in content["models"].values():
            model.pop("training", None)
    assert again == before


@pytest.mark.slow
@pytest.mark.parametrize(("model", "wanted"), [("events", "bkg"), ("both", "sig"), ("noise", "bkg/n_extra_b")])
def test_sampled_events_are_a_sample(
    run: Path, model: str, wanted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["sample", str(run), "-n", "300", "--model", model, "--class", wanted, "--guidance", "2"]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "300 events" in said and "extrapolation" in said
    path = tmp_path / "out" / "events.root"
    with uproot.open(path) as file:
        names = ("njet", "generated_weight", "guidance", "n_extra_b")
        tree = {name: file["events"][name].array(library="np") for name in names}
    assert len(tree["njet"]) == 300 and (tree["guidance"] == 2.0).all() and (tree["generated_weight"] < 0.0).sum() > 5
    assert (tree["njet"] >= 2).all()
    if wanted.endswith("n_extra_b"):
        assert (tree["n_extra_b"] > 0).all()
    origin = load_any(run / "config.yaml")
    assert isinstance(origin, EventGeneratorConfig)
    new = origin.analysis.model_dump(mode="json", by_alias=True)
    sample = new["samples"][f"{wanted[:3]}_a"]
    sample |= {"files": [str(path)], "weight": "generated_weight", "sum_of_weights": 1.0}
    table = load_table(dataset_spec(validate_any(new)), Quiet().step).table  # type: ignore[arg-type]
    rows = table.of_samples([f"{wanted[:3]}_a"])
    assert rows.sum() > 250
    expected = 1000.0 * float(tree["generated_weight"].sum()) * (sample["scale"])
    assert table.weight[rows].sum() == pytest.approx(expected, rel=0.1)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_events_and_wrong_names_are_told(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        assert main(["sample", str(run), "-n", "50", "--output", str(tmp_path / name)]) == 0
    pts = []
    for name in ("one", "two"):
        with uproot.open(tmp_path / name / "events.root") as file:
            pts.append(file["events"]["jet_pt"].array().tolist())
    assert pts[0] == pts[1]
    capsys.readouterr()
    for option, value, text in (("--class", "bkgg", "'bkg'"), ("--class", "bkg/n_extra_c", "n_extra_b"),
                                ("--model", "event", "'events'")):  # fmt: skip
        assert main(["sample", str(run), option, value, "--output", str(tmp_path / "no")]) == 2
        assert text in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"processes": {"bkg": {"origin": "bkga", "target": "bkg_b"}}},
            r"processes\.bkg\.origin: 'bkga' is not a sample",
        ),
        ({"processes": {"bkg": {"origin": "bkg_a", "target": "bkg_a"}}}, "names? one sample twice"),
        ({"evaluation": {"scales": [0.0, 2.0]}}, r"evaluation\.scales: must rise"),
        ({"training": {"patience": 3}}, r"training\.patience: has no effect"),
        ({"models": {"n": {"kind": "flow", "of": "m"}}}, r"models\.n\.of"),
        ({"models": {"n": {"kind": "flow", "start": "noise", "left": "features"}}}, r"models\.n\.left"),
    ],
)
def test_wrong_keys_are_told(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(tmp_path, 200, **change)


def test_a_run_of_classifiers_must_be_there(tmp_path: Path) -> None:
    data = analysis(tmp_path, 200)
    data["evaluation"]["classifiers"] = str(tmp_path / "nothing")
    _, problems = kind_of(validate_any(data)).check(Quiet().step)
    assert any("is no run directory" in problem for problem in problems)
