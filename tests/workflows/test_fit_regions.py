"""`hepda train` and `hepda fit` with regions, from files to fit.json; another `fit:` for a finished run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from hepda import cli
from hepda.config import load_config
from hepda.config.events.refitting import with_fit_of
from hepda.errors import ConfigError
from hepda.results.fit_file import FitFile
from hepda.runtime.plots import PlotOptions, Plots
from hepda.workflows import train
from tests.factory import VARIABLES, Silent, analysis, write_sample

N = 1500
FIT: dict[str, Any] = {
    "regions": {
        "low": {"selection": "(met < 100) & (n_b < 3)", "role": "control", "bins": 3},
        "high": {"selection": "met >= 100", "role": "control", "variable": "ht", "bins": [100, 400, 600, 1000]},
        "signal_like": {"selection": "(met < 100) & (n_b >= 3)", "bins": 4},
    },
    "pruning": {"rate": 0.001, "shape": 0.005},
}
SYSTEMATICS = {
    "heavy_rate": {"kind": "free", "samples": "heavy"},
    "light_norm": {"kind": "norm", "value": 0.1, "samples": "light"},
    "jes": {"kind": "shape", "up": {"jet_pt": "jet_pt_jes_up"}, "down": {"jet_pt": "jet_pt_jes_down"}},
}
SAMPLES = {
    f"{name}{ending}": {"files": f"{name}{ending}.root", "class": class_, "domain": domain, "process": name}
    for ending, domain in (("", "simulation"), ("_alt", "alternative"))
    for name, class_ in (("signal", "signal"), ("heavy", "background"), ("light", "background"))
}


def write(folder: Path, **overrides: Any) -> Path:
    """Three processes in two domains; `heavy` looks half like the signal, has more missing momentum, and the
    alternative has twice as much of it.
    """
    for number, (name, section) in enumerate(SAMPLES.items()):
        rng = np.random.default_rng(number)
        heavy = name.startswith("heavy")
        met = {"met": rng.exponential(150, N).astype(np.float32)} if heavy else {}
        rate = {"signal": 5.0, "heavy": 2.0 * (1 + (section["domain"] == "alternative")), "light": 10.0}
        write_sample(
            folder / section["files"], N, 10 + number, signal=name.startswith("signal"), spoil=met,
            signal_fraction=0.5 if heavy else None, cross_section=rate[section["process"]], negative=0.0,
        )  # fmt: skip
    write_sample(folder / "data.root", N, 30, signal=False, data=True, signal_fraction=0.1)
    samples = SAMPLES | {"data": {"files": "data.root", "domain": "data"}}
    content = analysis(
        samples=samples, variables=dict(VARIABLES), features=["ht", "n_jets", "n_b", "m_bb", "dr_bb"], plots={},
        models={"bdt": {"kind": "bdt", "iterations": 10}}, systematics=SYSTEMATICS, fit=FIT, luminosity=10.0,
        evaluation={"probes": False, "bootstrap": 0, "blind": "score > 0.5"}, training={"processes": 1},
    )  # fmt: skip
    page = folder / "regions.yaml"
    page.write_text(yaml.safe_dump(content | overrides, sort_keys=False))
    return page


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("regions")
    page = write(folder)
    train.train(load_config(page), folder / "run", PlotOptions(Plots.NONE), Silent())
    return folder / "run"


def fitted(run: Path, *options: str) -> FitFile:
    assert cli.main(["fit", str(run), "--toys", "0", "--plots", "none", *options]) == 0
    return FitFile.from_json(json.loads((run / "fit.json").read_text()))


@pytest.mark.slow
def test_regions_are_saved_with_the_scores_and_fitted(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = pq.read_table(trained / "scores.parquet").to_pandas()
    names = [f"region:{name}" for name in FIT["regions"]]
    assert {*names, "variable:high"} <= set(scores)
    assert (scores[names].sum(axis=1) == 1).all()  # these regions share no event and leave none out
    assert (scores["variable:high"].notna() == (scores["region:high"] == 1)).all()
    fits = fitted(trained)
    model = fits.models["bdt"]
    assert list(model.regions) == list(FIT["regions"]) and fits.pruning is not None
    for name, region in model.regions.items():
        chosen = scores[scores[f"region:{name}"] == 1]
        for sample, template in region.templates.items():
            weight = chosen["weight"][chosen["sample"] == sample]
            assert sum(template.sumw) == pytest.approx(weight.sum(), rel=1e-9)
            assert template.rate == {"signal": "mu", "heavy": "heavy_rate"}.get(sample)
    assert model.regions["signal_like"].observed is None and "blind" in (
        model.regions["signal_like"].observed_why or ""
    )
    (entry,) = [e for e in model.closure.of("without_two_point")["alternative"] if e.truth == 1]
    assert entry.bias is not None and entry.sample_error is not None
    assert abs(entry.bias) < 3 * entry.sample_error
    assert entry.rates["heavy_rate"].value == pytest.approx(2.0, abs=0.4)
    parts = {(o.process, o.part, o.region): o for o in entry.origins}
    assert len(parts) == 3 * (2 + len(FIT["regions"]))
    assert parts["heavy", "rate", None].value == pytest.approx(0.0, abs=1e-6)  # doubled, and free
    assert sum(float(o.value or 0.0) for o in parts.values()) == pytest.approx(entry.bias, abs=0.02)
    out = "".join(capsys.readouterr())
    for text in ("pruning: changes of the rate below 0.10%", "bias of mu in alternative:", "heavy_rate",
                 "signal_like is blinded"):  # fmt: skip
        assert text in out
    assert out.count("no template") == 0
    workspace = json.loads((trained / "workspace-bdt.json").read_text())
    assert [channel["name"] for channel in workspace["channels"]] == list(FIT["regions"])
    assert "http" not in json.dumps(workspace)


@pytest.mark.slow
def test_another_fit_of_the_same_run_reads_its_regions_from_the_files(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.yaml"
    regions = {
        "loose": {"selection": "met < 80", "bins": 4},
        "tight": {"selection": "met >= 80", "role": "control", "variable": "lepton_pt", "bins": 3},
    }
    # An included file is merged key by key, so the regions of the run are removed one by one.
    section = {"regions": regions | dict.fromkeys(FIT["regions"]), "pruning": None}
    other.write_text(yaml.safe_dump({"include": str(trained / "config.yaml"), "fit": section}))
    before = (trained / "scores.parquet").read_bytes()
    model = fitted(trained, "--config", str(other)).models["bdt"]
    assert "read from the files" in "".join(capsys.readouterr())
    assert list(model.regions) == ["loose", "tight"] and not model.pruned
    scores = pq.read_table(trained / "scores.parquet").to_pandas()
    for sample in ("signal", "heavy", "light"):
        contents = sum(sum(region.templates[sample].sumw) for region in model.regions.values())
        assert contents == pytest.approx(scores["weight"][scores["sample"] == sample].sum(), rel=1e-9)
    assert (trained / "scores.parquet").read_bytes() == before


def test_only_the_fit_and_the_systematics_may_differ(tmp_path: Path) -> None:
    def config(**overrides: Any) -> Any:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        page = folder / "a.yaml"
        samples = {n: s | {"files": f"/somewhere/{s['files']}"} for n, s in SAMPLES.items()}
        base = analysis(samples=samples, plots={}, models={"bdt": {"kind": "bdt"}}, evaluation={}) | overrides
        page.write_text(yaml.safe_dump(base, sort_keys=False))
        return load_config(page)

    trained = config()
    merged = with_fit_of(trained, config(fit=FIT, systematics=SYSTEMATICS))
    assert merged.fit is not None and list(merged.systematics) == list(SYSTEMATICS)
    assert merged.models == trained.models
    for key, value, path in (
        ("selection", "n_jets >= 6", "selection is 'n_jets >= 6'"),
        ("models", {"bdt": {"kind": "bdt", "iterations": 3}}, r"models\.bdt\.iterations is 3"),
        ("variables", VARIABLES | {"ht": "2 * sum(jet_pt)"}, r"variables\.ht"),
        ("evaluation", {"blind": None}, r"evaluation\.blind is None"),
    ):
        with pytest.raises(ConfigError, match=f"--config: {path}"):
            with_fit_of(trained, config(**{key: value}))


def test_a_variant_of_the_fit_takes_seed_and_processes_of_the_run(tmp_path: Path) -> None:
    """As in `hepda train --set seed=7 --set training.processes=1` and `hepda fit RUN --config VARIANT`."""

    def config(name: str, **overrides: Any) -> Any:
        samples = {n: s | {"files": f"/somewhere/{s['files']}"} for n, s in SAMPLES.items()}
        page = tmp_path / name
        content = analysis(samples=samples, plots={}, models={"network": {"kind": "network"}}, evaluation={})
        content["training"] = content["training"] | overrides.pop("training", {})
        page.write_text(yaml.safe_dump(content | overrides, sort_keys=False))
        return load_config(page)

    trained = config("run.yaml", seed=7, training={"processes": 1})
    merged = with_fit_of(trained, config("variant.yaml", fit=FIT))
    assert merged.fit is not None and merged.seed == 7 and merged.training.processes == 1
    with pytest.raises(ConfigError, match=r"models\.network\.training\.epochs is 3"):
        with_fit_of(trained, config("variant.yaml", fit=FIT, training={"epochs": 3}))


@pytest.mark.slow
def test_regions_that_share_events_stop_before_a_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    regions = FIT["regions"] | {"low": FIT["regions"]["low"] | {"selection": "n_b < 3"}}
    page = write(tmp_path, fit={"regions": regions})
    assert cli.main(["check", "--config", str(page)]) == 2
    assert "fit.regions: low and high have" in capsys.readouterr().err
    assert cli.main(["train", "--config", str(page), "--output", str(tmp_path / "run")]) == 2
    assert "events in common, which would count twice in the fit" in capsys.readouterr().err
    unknown = FIT["regions"] | {"low": {"selection": "(met < 100) & (n_btag < 3)", "role": "control"}}
    page = write(tmp_path, fit={"regions": unknown})
    assert cli.main(["check", "--config", str(page)]) == 2
    assert "fit.regions.low.selection" in capsys.readouterr().err


@pytest.mark.slow
def test_regions_by_the_class_of_the_largest_output(tmp_path: Path) -> None:
    """Three classes: a region a class, with a discriminant; varied events move between the regions."""
    samples = {n: s | {"class": str(s["process"])} for n, s in SAMPLES.items()}
    regions = {
        "signal_like": {"largest": "signal", "variable": "d", "bins": 3},
        "heavy_like": {"largest": "heavy", "variable": "p_heavy", "role": "control", "bins": 2},
        "light_like": {"largest": "light", "role": "control", "bins": 1},
    }
    page = write(
        tmp_path, samples=samples | {"data": {"files": "data.root", "domain": "data"}}, fit={"regions": regions},
        discriminants={"d": "p_signal / (p_signal + 0.7 * p_heavy + 0.3 * p_light)"},
        models={"bdt": {"kind": "bdt", "iterations": 10}},
    )  # fmt: skip
    run = tmp_path / "run"
    train.train(load_config(page), run, PlotOptions(Plots.NONE), Silent())
    model = fitted(run).models["bdt"]
    scores = pq.read_table(run / "scores.parquet").to_pandas()
    probabilities = scores[[f"bdt.p_{name}" for name in ("signal", "heavy", "light")]].to_numpy()
    for number, (name, region) in enumerate(model.regions.items()):
        inside = np.argmax(probabilities, axis=1) == number
        for sample, template in region.templates.items():
            chosen = inside & (scores["sample"] == sample).to_numpy()
            assert sum(template.sumw) == pytest.approx(scores["weight"][chosen].sum(), rel=1e-9), (name, sample)
    light = [region.templates["light"] for region in model.regions.values()]
    up = sum(sum(template.shapes["jes"].up) for template in light)
    assert up != sum(sum(template.sumw) for template in light)  # more jets pass the selection
    shares = [sum(template.shapes["jes"].up) / up for template in light]
    assert len(shares) == 3 and min(shares) > 0
