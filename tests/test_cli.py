"""The command line end to end on small files: what it leaves, the numbers in it, and what each mistake says."""

import contextlib
import io
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from hepda import __version__
from hepda.adversarial import devices
from hepda.cli import main
from hepda.config import load_any
from hepda.kinds import kind_of
from hepda.workflows import train as analysis
from tests.factory import write_analysis, write_sample
from tests.reports import assert_no_table_is_empty

SMALL = (
    "training.processes=1", "features=[ht, m_bb]", "plots={}", "evaluation.bootstrap=5", "models.bdt.iterations=5",
    "evaluation.blind=null", "luminosity=0.5",
)  # fmt: skip
VERBS = ("train", "check", "evaluate", "scan", "compare", "generate", "schema")


def sets(*overrides):
    return [word for override in overrides for word in ("--set", override)]


def run_cli(*arguments):
    """Exit status, what was printed, what was said on stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(argument) for argument in arguments])
    return status, out.getvalue(), err.getvalue()


def train(folder, config, *overrides, name="run"):
    """Overrides are KEY=VALUE; words that begin with -- are options."""
    options = [word for word in overrides if word.startswith("--")]
    options += [] if any(word.startswith("--plots=") for word in options) else ["--plots=none"]
    return run_cli(
        "train", "--config", config, "--output", folder / name, "--plots-folder", folder / f"{name}-plots", *options,
        *sets(*SMALL, *(word for word in overrides if word not in options)),
    )  # fmt: skip


def without_clock(value):
    if isinstance(value, dict):
        return {k: without_clock(v) for k, v in value.items() if k not in ("seconds", "cpu_seconds", "rows_per_second")}
    return value


def nulls_without_why(value, path="", excused=False):
    """Every null that neither it nor what encloses it explains."""
    if isinstance(value, dict):
        has_reason = excused or bool(value.get("why"))
        for key, item in value.items():
            yield from nulls_without_why(item, f"{path}/{key}", has_reason or bool(value.get(f"{key}_why")))
    elif value is None and not excused:
        yield path


# --- a run, and the numbers that it leaves ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ntuples(tmp_path_factory):
    """The YAML of the small analysis, beside its files."""
    return write_analysis(tmp_path_factory.mktemp("analysis"), n=500)


@pytest.fixture(scope="module")
def done(ntuples, tmp_path_factory):
    """A finished run: its folder, metrics, scores as columns, and what was printed."""
    folder = tmp_path_factory.mktemp("done")
    status, out, err = train(folder, ntuples, "--plots=all")
    assert (status, err) == (0, "")
    metrics = json.loads((folder / "run" / "metrics.json").read_text())
    table = pq.read_table(folder / "run" / "scores.parquet")
    columns = {name: np.asarray(table[name].to_pylist()) for name in table.column_names}
    return folder / "run", metrics, columns, out


def rows(columns, domain, label=None):
    mask = columns["domain"] == domain
    return mask if label is None else mask & (columns["label"] == label)


def auc_by_pairs(score, label, weight):
    """sum_ij w_i w_j [s_i > s_j] with ties counted half: the slow, obvious way."""
    signal, background = label == 1, label == 0
    higher = np.sign(score[signal][:, None] - score[background][None, :]) / 2 + 0.5
    products = weight[signal][:, None] * weight[background][None, :]
    return float((higher * products).sum() / products.sum())


def ks_by_definition(one, weight_one, two, weight_two):
    grid = np.unique(np.concatenate([one, two]))
    f_one = np.array([weight_one[one <= x].sum() for x in grid]) / weight_one.sum()
    f_two = np.array([weight_two[two <= x].sum() for x in grid]) / weight_two.sum()
    return float(np.abs(f_one - f_two).max())


NOT_ASKED_FOR = {
    "New last layers from few labels", "Trained on one generator, tested on another", "Reweighting",
    "Compared processes", "Flatness against protected variables",
}  # fmt: skip


def test_the_report_has_every_table_that_the_analysis_asks_for_and_its_numbers_are_typed(done):
    run, *_ = done
    assert_no_table_is_empty(run, kind_of(load_any(run / "config.yaml")), NOT_ASKED_FOR)


@pytest.mark.slow
def test_a_run_leaves_every_file_that_is_promised(done):
    run, _, _, out = done
    assert sorted(path.name for path in run.iterdir()) == sorted([*analysis.FILES, "looks.json", "models", "plots"])
    for model, suffix in (("network", "safetensors"), ("dann", "safetensors"), ("bdt", "skops")):
        assert {path.stem.split(".")[0] for path in (run / "models" / model).iterdir()} >= {
            "fold0-member0", "fold1-member0",
        }, model  # fmt: skip
        assert list((run / "models" / model).glob(f"*.{suffix}")), model
    plots = run / "plots"
    copied = {path.name for path in (run.parent / "run-plots").iterdir()}
    assert {path.name for path in plots.iterdir()} == {*copied, "data"}
    drawn = {path.stem for path in plots.glob("*.png")}
    assert drawn == {path.stem for path in plots.glob("*.pdf")}
    assert drawn >= {
        "features_overview", "feature_ht", "roc_simulation", "roc_alternative", "score_bdt", "score_stack_dann",
        "efficiency_shift_alternative", "efficiency_shift_third", "significance", "history_dann", "tradeoff",
        "calibration_simulation", "ks",
    }  # fmt: skip
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in plots.glob("*.png"))
    report = (run / "report.html").read_text()
    assert "http://" not in report.replace("http://www.w3.org", "") and report.count("data:image/png") >= len(drawn)
    assert str(run / "report.html") in out and "negative weights: keep" in out
    assert out.splitlines()[-1] == f"bias of mu and its error: hepda fit {run}"
    assert (run / "history.csv").read_text().startswith("training,epoch,")


@pytest.mark.slow
def test_the_manifest_and_the_config_say_what_was_done(done, ntuples):
    run, metrics, _, _ = done
    manifest = json.loads((run / "manifest.json").read_text())
    assert {Path(file["path"]).name for file in manifest["files"]} == {p.name for p in ntuples.parent.glob("*.root")}
    for file in manifest["files"]:
        sample = metrics["samples"][file["sample"]]
        assert (file["entries"], file["selected"]) == (sample["entries"], sample["selected"])
        assert file["sumw"] == pytest.approx(sample["yield"], rel=1e-12)
        assert file["lost"] == {"selection": sample["entries"] - sample["selected"]}
    assert manifest["seed"] == 1 and manifest["versions"]["hepda"] == __version__
    assert manifest["device"] == devices.describe(devices.find("auto"))
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["features"] == ["ht", "m_bb"] and config["training"]["epochs"] == 2


@pytest.mark.slow
def test_metrics_have_the_promised_shape_and_every_null_its_reason(done):
    _, metrics, _, _ = done
    assert (metrics["schema"], metrics["name"], metrics["seed"], metrics["luminosity"]) == (1, "small", 1, 0.5)
    assert list(metrics["models"]) == ["network", "dann", "bdt"]
    for entry in metrics["models"].values():
        assert set(entry) >= {
            "auc", "bias", "domain_auc", "significance", "training",
            "working_points", "probes", "calibration", "overtraining", "tests", "bins",
        }  # fmt: skip
        assert set(entry["auc"]) == {"simulation", "alternative", "third", "data"}
        pairs = {"simulation:alternative", "simulation:third", "simulation:data"}
        assert set(entry["bias"]) == set(entry["domain_auc"]) == pairs
        assert {"0.3", "0.5", "0.7"} <= set(entry["bias"]["simulation:alternative"]["efficiency_shift"])
        assert {"asimov", "asimov_with_bias", "binned"} <= set(entry["significance"])
        assert "closure" not in entry  # only `hepda fit` fits
        assert entry["training"]["epochs"] > 0 and entry["training"]["seconds"] > 0
        assert entry["auc"]["third"]["value"] is None and "no signal" in entry["auc"]["third"]["why"]
        assert entry["auc"]["data"]["value"] is None and "unknown" in entry["auc"]["data"]["why"]
    assert metrics["models"]["bdt"]["domain_auc"]["simulation:third"]["embedding"] is None
    assert metrics["models"]["dann"]["domain_auc"]["simulation:third"]["embedding"]["value"] > 0.3
    assert list(nulls_without_why(metrics["models"])) == []


@pytest.mark.slow
@pytest.mark.parametrize("model", ["network", "dann", "bdt"])
def test_auc_and_ks_are_those_of_the_saved_scores(done, model):
    _, metrics, columns, _ = done
    for domain in ("simulation", "alternative"):
        mask = rows(columns, domain)
        score, label, weight = columns[model][mask], columns["label"][mask], columns["weight"][mask]
        result = metrics["models"][model]["auc"][domain]
        assert result["value"] == pytest.approx(auc_by_pairs(score, label, weight), abs=1e-12)
        assert (weight < 0).any() and result["low"] < result["high"]
        # The reference itself, where scikit-learn can say it: without signs.
        unsigned = np.abs(weight)
        assert auc_by_pairs(score, label, unsigned) == pytest.approx(
            roc_auc_score(label, score, sample_weight=unsigned), abs=1e-12
        )
    of_simulation = rows(columns, "simulation", 0)
    for other in ("alternative", "third"):
        two = rows(columns, other, 0)
        result = metrics["models"][model]["bias"][f"simulation:{other}"]
        expected = ks_by_definition(
            *(columns[name][mask] for mask in (of_simulation, two) for name in (model, "weight"))
        )
        assert result["class"] == "background" and result["ks"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.slow
def test_yields_are_luminosity_times_cross_section_over_the_sum_of_weights(done, ntuples):
    import uproot

    _, metrics, columns, _ = done
    for name, section in (("signal", 0.5), ("background", 20.0), ("third", 20.0)):
        with uproot.open(ntuples.parent / f"{name}.root") as file:
            events = file["events"].arrays(["gen_weight", "b_weight", "jet_pt", "jet_b"])
            generated = file["metadata"]["sum_of_weights"].array(library="np")[0]
        tags = np.array([int(np.sum(np.asarray(tag) >= 3)) for tag in events["jet_b"]])
        jets = np.array([len(pt) for pt in events["jet_pt"]])
        weight = np.asarray(events["gen_weight"], np.float64) * np.asarray(events["b_weight"], np.float64)
        weight = weight[(jets >= 5) & (tags >= 2)] * (0.5 * 1000 * section / generated)
        sample = metrics["samples"][name]
        assert sample["yield"] == pytest.approx(weight.sum(), rel=1e-6) and sample["selected"] == len(weight)
        assert sample["yield_error"] == pytest.approx(np.sqrt((weight**2).sum()), rel=1e-6)
        assert sample["n_eff"] == pytest.approx(weight.sum() ** 2 / (weight**2).sum(), rel=1e-6)
        assert sample["negative_fraction"] == pytest.approx((weight < 0).mean())
        assert columns["weight"][columns["sample"] == name].sum() == pytest.approx(sample["yield"], rel=1e-12)
    assert metrics["samples"]["data"]["yield"] == metrics["samples"]["data"]["selected"]


@pytest.mark.slow
def test_evaluate_gives_the_same_numbers_from_the_saved_scores(done, tmp_path):
    run = tmp_path / "again"
    shutil.copytree(done[0], run)
    before = (run / "metrics.json").read_bytes()
    (run / "metrics.json").unlink()
    (run / "report.html").unlink()
    status, out, err = run_cli("evaluate", run, "--plots-folder", tmp_path / "plots")
    assert (status, err) == (0, "") and "AUC" in out
    assert (run / "metrics.json").read_bytes() == before
    assert (run / "report.html").is_file() and (tmp_path / "plots" / "roc_simulation.pdf").is_file()
    # Files that have changed since are not those of the scores.
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("(n_jets >= 5)", "(n_jets >= 6)"))
    assert_refused(run_cli("evaluate", run, "--plots-folder", tmp_path / "plots"), "are not those of", "Train again")
    (run / "config.yaml").write_text(text.replace("  bdt:", "  other:"))
    assert_refused(run_cli("evaluate", run), "no scores of the model 'other'")


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers_and_strength_zero_is_no_adversary(done, ntuples, tmp_path, monkeypatch):
    for name, override in (("same", "seed=1"), ("zero", "models.dann.domain.strength=0")):
        assert train(tmp_path, ntuples, override, name=name)[0] == 0
    run, metrics, _, _ = done
    same = pq.read_table(tmp_path / "same" / "scores.parquet")
    assert same.equals(pq.read_table(run / "scores.parquet"))
    again = json.loads((tmp_path / "same" / "metrics.json").read_text())
    assert without_clock(again) == without_clock(metrics)
    zero = pq.read_table(tmp_path / "zero" / "scores.parquet")
    assert zero["dann"].to_numpy().tobytes() == zero["network"].to_numpy().tobytes()
    assert zero["network"].equals(same["network"]) and not zero["dann"].equals(same["dann"])


# --- what each mistake says ---------------------------------------------------------------------------------------


def assert_refused(result, *said):
    """Exit status 2 and one message on stderr that says each of `said`, without a traceback."""
    status, out, err = result
    assert status == 2, err
    assert err.count("hepda: ") == 1 and err.startswith("hepda: ") and "Traceback" not in err + out
    for words in said:
        assert words in err


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A very small analysis, all of it good."""
    return write_analysis(tmp_path_factory.mktemp("good"), n=80)


@pytest.fixture
def trained(monkeypatch):
    """The trainings that were started: a mistake must be found before the first one."""
    started = []
    monkeypatch.setattr("hepda.workflows.train.run_jobs", lambda *arguments: started.append(arguments))
    return started


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("samples.signal.files=signl.root", ("samples.signal.files", "signl.root does not exist", "'signal.root'")),
        ("samples.signal.files=no*.root", ("samples.signal.files", "no file matches")),
        ("tree=event", ("signal.root", "no tree 'event'", "Did you mean 'events'?")),
        ("weight=gen_wieght", ("gen_wieght", "signal.root", "'gen_weight'")),
        ("variables.ht=sum(jet_ptt)", ("jet_ptt", "'jet_pt'", "ht")),
        ("models.bdtt=null", ("--set models.bdtt=null", "removes a name", "'bdt'")),
        ("trainig.epochs=3", ("trainig", "unknown key", "'training'")),
        ("training.epoch=3", ("training.epoch", "unknown key", "'epochs'")),
        ("models.dann.domain.strenght=3", ("strenght", "'strength'")),
        ("models.bdt.kind=bdtt", ("models.bdt", "'bdtt'", "'bdt'")),
        ("models.dann.domain.source=[backgrund]", ("models.dann.domain.source", "'backgrund'", "'background'")),
        ("selection=(n_jets >= 5", ("selection", "n_jets >= 5")),
        ("variables.ht=__import__('os').system('true')", ("variables.ht",)),
        ("variables.ht=open(jet_pt)", ("variables.ht", "open")),
        ("evaluation.blind=score >", ("evaluation.blind",)),
        ("evaluation.blind=(score > 0.7) | (score < 0.2)", ("evaluation.blind", "more than one range")),
        ("evaluation.blind=scoore > 0.7", ("evaluation.blind", "scoore")),
        ("selection=n_jets >= 50", ("samples.signal", "no event passes", "n_jets >= 50")),
        ("samples.background.class=signal", ("background",)),
        ("split.folds=60", ("fold", "split.folds")),
        ("training.epochs", ("--set training.epochs", "key=value")),
        ("name.first=x", ("--set name.first=x",)),
        ("training.epochs=many", ("training.epochs", "'many'")),
    ],
)
def test_a_mistake_in_the_analysis_file(good, tmp_path, trained, override, message):
    assert_refused(train(tmp_path, good, override), *message)
    assert trained == [] and list(tmp_path.iterdir()) == []


NAN, INFINITE = np.full(80, np.nan, np.float32), np.full(80, np.inf, np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({"met": NAN}, ("samples.background", "met")),
        ({"met": INFINITE}, ("samples.background", "met")),
        ({"b_weight": NAN}, ("samples.background", "weight")),
        ({"b_weight": INFINITE}, ("samples.background", "weight")),
        ({"b_weight": -np.ones(80, np.float32)}, ("background", "negative")),
        ({"met": None}, ("background.root", "'met'", "met_phi")),
        ({"event": None}, ("background.root", "no branch 'event'")),
    ],
)
def test_a_mistake_in_a_file(good, tmp_path, trained, spoil, message):
    path = write_sample(tmp_path / "in" / "background.root", 80, 2, signal=False, spoil=spoil)
    over = ("features=[ht, met]", f"samples.background.files={path}")
    assert_refused(train(tmp_path, good, *over), *message)
    assert trained == [] and [item.name for item in tmp_path.iterdir()] == ["in"]


def spoiled_truncated(path, whole):
    path.write_bytes(whole[: len(whole) // 2])


def spoiled_empty(path, whole):
    path.write_bytes(b"")


def spoiled_text(path, whole):
    path.write_text("no ntuple")


def spoiled_middle(path, whole):
    path.write_bytes(whole[:400] + b"\x00" * (len(whole) - 800) + whole[-400:])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoiled_truncated, "is truncated"),
        (spoiled_empty, "is empty"),
        (spoiled_text, "not a ROOT file"),
        (spoiled_middle, "no tree"),
    ],
)
def test_a_broken_file(good, tmp_path, trained, spoil, message):
    path = tmp_path / "in.root"
    spoil(path, (good.parent / "third.root").read_bytes())
    assert_refused(train(tmp_path, good, f"samples.third.files={path}"), str(path), message)
    assert_refused(run_cli("check", "--config", good, *sets(f"samples.third.files={path}")), str(path), message)
    assert trained == [] and [item.name for item in tmp_path.iterdir()] == ["in.root"]


def test_no_such_analysis_and_no_such_run(tmp_path, trained):
    assert_refused(run_cli("train", "--config", "tht.yaml"), "'tht.yaml'", "Did you mean 'tth.yaml'?")
    assert_refused(run_cli("evaluate", tmp_path), str(tmp_path), "not a run directory", "hepda train")
    assert_refused(run_cli("evaluate", tmp_path / "no"), "not a run directory")
    (tmp_path / "manifest.json").write_text("{}")
    assert_refused(run_cli("evaluate", tmp_path), "manifest.json", "not written by `hepda train`")
    (tmp_path / "manifest.json").write_text("{")
    assert_refused(run_cli("evaluate", tmp_path), "manifest.json", "cannot be read")
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"] and trained == []


def test_places_that_cannot_be_written_to(good, tmp_path, trained):
    (tmp_path / "file").write_text("mine")
    assert_refused(train(tmp_path / "file", good), "--output", f"{tmp_path / 'file'} is a file")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.yaml").write_text("mine")
    assert_refused(train(tmp_path, good, name="mine"), "--output", "not of a run")
    assert (tmp_path / "mine" / "config.yaml").read_text() == "mine" and trained == []


@pytest.mark.parametrize(("device", "message"), [("tpu", "tpu"), ("cuda:99", "--device 'cuda:99': ")])
def test_a_device_that_is_not_there(device, message, good, tmp_path, trained, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    result = run_cli("train", "--config", good, "--output", tmp_path / "run", "--device", device, *sets(*SMALL))
    assert_refused(result, device, message)
    assert trained == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--config", "x", "--outptu", "y"], "--outptu"),
        (["trian"], "trian"),
        (["train"], "--config"),
        (["train", "--config", "x", "--set", "seed=1", "seed=2"], "--set first=1 --set second=2"),
        (["generate", "--config", "x", "--scale", "-1"], "--scale"),
    ],
)
def test_wrong_usage(arguments, message):
    status, out, err = run_cli(*arguments)
    assert status == 2 and message in err and "Traceback" not in out + err


def test_a_fault_of_hepda_itself_is_said_to_be_one(good, tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("broken inside")

    monkeypatch.setattr("hepda.events.steps.load", broken)
    status, _, err = train(tmp_path, good)
    assert status == 1 and "RuntimeError: broken inside" in err and "fault of hepda" in err


@pytest.mark.parametrize(
    ("verb", "message"), [("train", "--resume"), ("generate", "the same command continues"), ("schema", "interrupted")]
)
def test_an_interrupt_says_how_to_go_on(good, tmp_path, monkeypatch, verb, message):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    for name in ("workflows.train.train", "workflows.generate.generate", "config.json_schema"):
        monkeypatch.setattr(f"hepda.{name}", interrupt)
    status, _, err = run_cli(verb, *([] if verb == "schema" else ["--config", good]))
    assert status == 130 and message in err and ("--resume" in err) == (verb == "train")


@pytest.mark.parametrize(
    ("options", "level"), [((), logging.INFO), (("--quiet",), logging.WARNING), (("-v",), logging.DEBUG)]
)
def test_how_much_the_terminal_shows(tmp_path, monkeypatch, options, level):
    levels = []
    monkeypatch.setattr("hepda.runtime.console.Bars", levels.append)
    assert run_cli(*options, "compare", tmp_path / "none", tmp_path / "neither")[0] == 2
    assert levels == [level]


# --- the other verbs ----------------------------------------------------------------------------------------------


def test_check_says_what_it_found_and_trains_nothing(ntuples, good, tmp_path, monkeypatch, trained):
    monkeypatch.chdir(tmp_path)
    status, out, err = run_cli("check", "--config", ntuples)
    assert (status, err) == (0, "") and trained == [] and list(tmp_path.iterdir()) == []
    assert "Cut flow of background_alt" in out and "cross section 20 pb" in out
    assert out.splitlines()[-1] == "small: training may start; no warnings"
    assert_refused(run_cli("check", "--config", good, *sets("tree=evnts")), "'evnts'", "'events'")


def test_results_have_schemas_too():
    for name, key in (("metrics", "EventMetrics"), ("fit", "FittedModel")):
        status, out, err = run_cli("schema", "--of", name)
        schema = json.loads(out)
        assert (status, err) == (0, "") and key in schema["$defs"] and schema["title"] == f"{name}.json"


def test_schema_is_that_of_the_analysis_file_with_the_names_of_the_core():
    status, out, err = run_cli("schema")
    schema = json.loads(out)
    branches = (branch["then"]["properties"] for branch in schema["allOf"])
    events, conversion, enhancement, frames, generator, images, refinement, speech, tabular, of_events = branches
    assert (status, err) == (0, "") and schema["type"] == "object" and "samples" in events and "target" in images
    assert "samples" not in speech and "files" in tabular and "spectra" in enhancement and "mel" in conversion
    assert "processes" in of_events and "processes" not in generator
    assert "sequences" in frames and "judge" in generator and "learn" in refinement and "objects" in refinement
    assert {"dann", "cdan", "mmd"} <= set(schema["x-hepda"]["methods"])
    assert "ganin" in schema["x-hepda"]["strength schedules"] and schema["x-hepda"]["losses"]


def test_version_and_help():
    status, out, err = run_cli("--version")
    assert (status, err) == (0, "") and out.startswith(f"hepda {__version__}\n") and f"numpy {np.__version__}\n" in out
    status, out, _ = run_cli("--help")
    assert status == 0 and all(verb in out for verb in VERBS)
    for verb in VERBS:
        status, out, err = run_cli(verb, "--help")
        assert (status, err) == (0, "") and f"hepda {verb}" in out and len(out.splitlines()) > 4


HEAVY = ("torch", "numpy", "pandas", "sklearn", "awkward", "uproot", "matplotlib", "pyarrow", "scipy")


@pytest.mark.parametrize("word", ["--help", "--version", "train"])
def test_help_imports_nothing_heavy(word):
    code = (
        "import sys; from hepda.cli import main; "
        f"status = main([{word!r}, '--help'][: 1 + ({word!r} == 'train')]); "
        f"print(status, [m for m in {HEAVY} if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "0 []"


# --- Ctrl-C, and the end of the parent ----------------------------------------------------------------------------


def heed_interrupts() -> None:
    """A shell starts what runs in the background deaf to Ctrl-C, and its children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(ntuples, folder, *more):
    arguments = ["train", "--config", ntuples, "--output", folder / "run", "--plots", "none", *more]
    over = sets(*SMALL[1:], "training.processes=2", "training.epochs=400", "evaluation.probes=false")
    over += sets("models.bdt.iterations=2", "training.batch_size=64")
    return subprocess.Popen(
        [sys.executable, "-m", "hepda", *map(str, arguments), *over],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=heed_interrupts,
        cwd=Path(__file__).parents[1], env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def processes_of_group(group):
    """Processes of a group that have not ended."""
    result = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                after = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(after[2]) == group and after[0] not in "ZX":
                    result.append(int(folder.name))
    return result


def wait_until(condition, seconds=150.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.1)


@pytest.fixture
def going(ntuples, tmp_path):
    """A run on two processes that has written its first checkpoint."""
    process = start(ntuples, tmp_path)
    try:
        wait_until(lambda: process.poll() is not None or list((tmp_path / "run").glob(".work/*/*.checkpoint")))
        if process.poll() is not None:
            pytest.fail(process.communicate()[1])
        assert len(processes_of_group(process.pid)) >= 3
        yield process, tmp_path
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_ctrl_c_leaves_a_checkpoint_and_no_process(going):
    process, folder = going
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == "hepda: interrupted; the same command with --resume continues from the last checkpoint\n"
    wait_until(lambda: not processes_of_group(process.pid), 10)
    assert list((folder / "run").glob(".work/*/*.checkpoint"))
    assert not (folder / "run" / "metrics.json").exists()
    assert_refused(run_cli("evaluate", folder / "run"), "not a run directory")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_the_command(going, number):
    process, _ = going
    process.send_signal(number)
    assert process.wait(timeout=20) == -number
    wait_until(lambda: not processes_of_group(process.pid), 20)


@pytest.mark.slow
def test_a_training_that_fails_costs_no_other_and_only_what_changes_is_trained_again(ntuples, tmp_path, monkeypatch):
    """A learning rate at which any training diverges: its models are named, and no other is lost."""
    over = ("training.epochs=2", "evaluation.probes=false", "models.network.ensemble=1", "models.dann.ensemble=1")
    diverging = "models.dann.training.learning_rate=1e30"
    status, out, err = train(tmp_path, ntuples, *over, diverging)
    assert status == 2 and err.count("hepda: ") == 1 and "Traceback" not in err
    assert "of 6 trainings failed" in err and "diverged" in err and "report: " not in out
    assert "dann-fold0-member0: " in err and "dann-fold1-member0: " in err and "network-fold" not in err
    assert "--set models.dann=null --resume" in err
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("run/.work/*/*.npz")}
    assert sorted(kept) == [f"{model}-fold{fold}-member0.npz" for model in ("bdt", "network") for fold in (0, 1)]

    # As it is, it fails again; nothing that is done is done again, on however many processes.
    assert train(tmp_path, ntuples, *over, diverging, "training.processes=2", "--resume")[0] == 2
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("run/.work/*/*.npz")} == kept
    new = tmp_path.glob("run/.work/*/run/models/*/*")
    saved = {path.name: path.stat().st_mtime_ns for path in new if path.parent.name == "network"}
    assert len(saved) == 2 and not (tmp_path / "run" / "models").exists()

    # Mended, it is trained, and it alone; the model that joins later is trained too.
    status, out, err = train(tmp_path, ntuples, *over, "models.bdt=null", "--resume")
    assert (status, err) == (0, "")
    assert "models.dann has changed" in out and "models.bdt has changed" in out
    networks = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("run/models/network/*")}
    assert networks == saved
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert list(metrics["models"]) == ["network", "dann"]
    assert sorted(path.name for path in (tmp_path / "run" / "models").iterdir()) == ["dann", "network"]


@pytest.mark.slow
def test_a_resumed_run_is_the_run_that_was_not_interrupted(ntuples, tmp_path, monkeypatch):
    over = ("training.epochs=4", "evaluation.probes=false")
    assert train(tmp_path, ntuples, *over, name="whole")[0] == 0
    seen, step = [], analysis.run_jobs

    def interrupted(jobs, processes, progress, cluster):
        def tell(name, done, total):
            seen.append(name)
            if name == "network-fold0-member0" and done == 2:
                raise KeyboardInterrupt
            progress(name, done, total)

        return step(jobs, processes, tell, cluster)

    monkeypatch.setattr("hepda.workflows.train.run_jobs", interrupted)
    assert train(tmp_path, ntuples, *over, name="parts")[0] == 130
    assert list((tmp_path / "parts").glob(".work/*/network-fold0-member0.checkpoint"))
    monkeypatch.setattr("hepda.workflows.train.run_jobs", step)
    words = [
        "train", "--config", ntuples, "--output", tmp_path / "parts", "--plots", "none", "--resume",
        *sets(*SMALL, *over),
    ]  # fmt: skip
    status, out, _ = run_cli(*words)
    assert status == 0 and "nothing to resume" not in out
    complete, parts = (pq.read_table(tmp_path / name / "scores.parquet") for name in ("whole", "parts"))
    assert complete.equals(parts)
    first, second = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("whole", "parts"))
    assert without_clock(first) == without_clock(second)
    assert not (tmp_path / "parts" / ".work").exists()
