"""The offline run end to end: scikit-learn's digits with a synthetic shift, by the command line."""

import json
import runpy
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from hepda.cli import main
from hepda.config import load_any
from hepda.kinds import kind_of
from tests.reports import assert_no_table_is_empty

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    words = ("seeds=2", "training.processes=1", "training.epochs=25", "evaluation.embedding.images=60")
    status = main([
        "train", "--config", "digits.yaml", "--output", str(folder / "run"), "--plots", "all",
        *(part for word in words for part in ("--set", word)),
    ])  # fmt: skip
    assert status == 0
    return folder / "run"


@pytest.fixture(scope="module")
def metrics(run):
    return json.loads((run / "metrics.json").read_text())


def test_adaptation_gives_back_most_of_what_the_shift_took(metrics):
    value = {name: entry["accuracy"]["target"]["value"] for name, entry in metrics["models"].items()}
    assert all(entry["accuracy"]["source"]["value"] > 0.94 for n, entry in metrics["models"].items() if n != "ceiling")
    assert value["source_only"] < 0.78
    assert value["dann"] > value["source_only"] + 0.1 and value["dann"] > 0.83
    assert value["self_training"] > 0.88 and value["ceiling"] > 0.9


def test_the_report_has_every_table_and_its_numbers_are_typed(run):
    assert_no_table_is_empty(run, kind_of(load_any(run / "config.yaml")))


def test_every_number_has_its_seeds_and_the_protocol_is_told(metrics):
    assert metrics["kind"] == "images" and metrics["protocol"]["epoch"] == "last epoch"
    for entry in metrics["models"].values():
        for side in ("source", "target"):
            accuracy = entry["accuracy"][side]
            assert len(accuracy["seeds"]) == 2 and accuracy["low"] <= accuracy["value"] <= accuracy["high"]
            assert accuracy["value"] == pytest.approx(sum(accuracy["seeds"]) / 2)
        assert len(entry["recall"]["target"]) == 10
    closed = metrics["models"]["dann"]["gap_closed"]
    assert (closed["plain"], closed["ceiling"]) == ("source_only", "ceiling") and closed["value"] > 0.3
    assert metrics["models"]["source_only"]["gap_closed"] == {"value": None, "why": "this model has no adaptation"}


def test_the_run_directory_is_complete_and_can_be_judged_again(run, metrics, tmp_path):
    scores = pq.read_table(run / "scores.parquet")
    assert scores.num_rows == 448 and "dann-1-probability" in scores.column_names
    assert len(list((run / "models").glob("*/*.safetensors"))) == 8 and not (run / ".work").exists()
    page = (run / "report.html").read_text()
    assert "Published" not in page  # nobody has published numbers of these digits
    for words in ("Lowest seed", "Embedding of the two domains", "self-training"):
        assert words in page
    before = {name: entry["accuracy"] for name, entry in metrics["models"].items()}
    assert main(["evaluate", str(run), "--plots-folder", str(tmp_path)]) == 0
    again = json.loads((run / "metrics.json").read_text())
    assert {name: entry["accuracy"] for name, entry in again["models"].items()} == before
    assert {path.suffix for path in tmp_path.iterdir()} == {".png", ".pdf"}
    assert load_any(run / "config.yaml") == load_any("digits.yaml", [
        "seeds=2", "training.processes=1", "training.epochs=25", "evaluation.embedding.images=60"
    ])  # fmt: skip


def test_runs_of_images_are_compared_by_their_accuracies(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    other = tmp_path / "other"
    shutil.copytree(run, other)
    changed = json.loads((other / "metrics.json").read_text())
    changed["models"]["dann"]["accuracy"]["target"]["value"] = 0.432
    (other / "metrics.json").write_text(json.dumps(changed))
    assert main(["compare", str(run), str(other), "--output", str(tmp_path / "both.html")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [sum(f"{title} · {name}" in line for line in lines) for title in ("DANN", "Trained on the target")
            for name in ("run", "other")] == [1, 1, 1, 1]  # fmt: skip
    assert "0.432 ±" in next(line for line in lines if "DANN · other" in line)
    page = (tmp_path / "both.html").read_text()
    assert page.count("data:image/png") == 1 and "Lowest seed" in page and "Area under" not in page


def test_runs_of_different_kinds_are_not_compared(run, tmp_path, capsys):
    other = tmp_path / "events"
    shutil.copytree(run, other)
    shutil.copy(Path("configs/tth.yaml"), other / "config.yaml")
    assert main(["compare", str(run), str(other), "--output", str(tmp_path / "both.html")]) == 2
    assert "of different kinds of data share no number" in capsys.readouterr().err
    assert not (tmp_path / "both.html").exists()


def test_verbs_of_events_refuse_images(run, capsys):
    assert main(["fit", str(run)]) == 2
    assert "is of `kind: images`, and this verb reads only events" in capsys.readouterr().err


def test_one_table_is_made_of_runs_that_were_trained_as_it_says(run, metrics, tmp_path, monkeypatch, capsys):
    place = Path(__file__).parents[2] / "analyses" / "images" / "results.py"
    output = tmp_path / "results.json"
    command = ["results.py", str(run / "config.yaml"), str(run)]
    monkeypatch.setattr("sys.argv", [*command, "--against", "dan", "--output", str(output)])
    assert runpy.run_path(str(place))["main"]() == 2 and not output.exists()
    assert "--against dan: is no model with numbers; there are: source_only, dann" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", [*command, "--against", "dann", "--output", str(output)])
    assert runpy.run_path(str(place))["main"]() == 0
    table = json.loads(output.read_text())
    assert table["models"]["dann"]["accuracy"] == metrics["models"]["dann"]["accuracy"]
    assert table["models"]["dann"]["training"]["trainings"] == 2 and "trainings_per_model" not in table["protocol"]
    seeds = {name: entry["accuracy"]["target"]["seeds"] for name, entry in metrics["models"].items()}
    mean = 50.0 * sum(a - b for a, b in zip(seeds["ceiling"], seeds["dann"], strict=True))
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1].startswith(f"ceiling minus dann: {mean:+.2f} (") and "2 paired seeds" in printed[-1]
    assert sum(" minus dann: " in text for text in printed) == len(seeds) - 1
    # without the run, the rows of before stay as long as the analysis file says the same of them
    other = tmp_path / "other.yaml"
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["models"]["dann"]["features"] = 64
    other.write_text(yaml.safe_dump(config))
    monkeypatch.setattr("sys.argv", ["results.py", str(other), "--output", str(output)])
    assert runpy.run_path(str(place))["main"]() == 0
    models = json.loads(output.read_text())["models"]
    assert models["ceiling"] == table["models"]["ceiling"]
    assert models["dann"]["accuracy"]["target"] == {"value": None, "why": "not run yet"}
    monkeypatch.setattr("sys.argv", ["results.py", "digits.yaml", str(run)])
    assert runpy.run_path(str(place))["main"]() == 2
    assert "models.source_only is not that of the analysis file" in capsys.readouterr().err
