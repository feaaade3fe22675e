"""A whole run of speech, from the analysis file to the report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from hepda.adversarial import Network
from hepda.config import load_any
from hepda.evaluation.variance import spread
from hepda.kinds import RunContext, kind_of
from hepda.results.speech import SpeechMetrics
from hepda.runtime.plots import PlotOptions, Plots
from hepda.speech.kind import SpeechKind
from hepda.speech.results.tables import transcripts_table
from hepda.speech.training.jobs import TrainingSetup
from hepda.speech.training.probes import fit_probe
from hepda.workflows import compare, train
from tests.reports import assert_no_table_is_empty
from tests.speech.analysis import SMALL, small


class Quiet:
    def stage(self, name: str) -> None:
        """Nothing is told."""

    def step(self, what: str, done: int, total: int) -> None:
        """Nothing is told."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speech")
    outcome = train.train(small(), folder / "run", PlotOptions(Plots.ALL, folder / "plots"), Quiet())
    return folder, outcome


def test_a_run_leaves_what_every_run_leaves(run):
    folder, outcome = run
    for name in train.FILES:
        assert (folder / "run" / name).is_file(), name
    assert {path.suffix for path in (folder / "plots").iterdir()} == {".png", ".pdf"}
    page = (folder / "run" / "report.html").read_text()
    for text in ("Word error rates", "Difference to clean, seed by seed", "Information on the noise in the embedding"):
        assert text in page
    assert ">Summary<" not in page  # of events: it would stand there empty
    assert json.dumps(outcome.metrics.to_json(), allow_nan=False)


def test_the_report_has_every_table_and_its_numbers_are_typed(run):
    folder, _ = run
    assert_no_table_is_empty(folder / "run", kind_of(load_any(folder / "run" / "config.yaml")))


def test_runs_of_speech_are_compared_by_their_word_errors(run, tmp_path):
    folder, outcome = run
    shutil.copytree(folder / "run", tmp_path / "other")
    changed = json.loads((tmp_path / "other" / "metrics.json").read_text())
    changed["quoted"] = changed["quoted"][:1]
    (tmp_path / "other" / "metrics.json").write_text(json.dumps(changed))
    comparison = compare.compare([folder / "run", tmp_path / "other"], tmp_path / "both.html")
    assert comparison.table.head[1] == "Clean"
    assert len(comparison.table.rows) == 2 * len(outcome.metrics.models) and not comparison.warnings
    page = (tmp_path / "both.html").read_text()
    assert page.count("data:image/png") == 1 and "Word error rates" in page and "Area under" not in page


def test_words_are_learnt_and_noise_makes_them_wrong(run):
    numbers = run[1].metrics.to_json()["models"]["clean"]["word_error_rate"]
    assert numbers["clean"]["value"] < 0.4  # nine of ten by chance
    assert numbers["clean"]["low"] <= numbers["clean"]["value"] <= numbers["clean"]["high"]
    assert numbers["unseen -5 dB"]["value"] > numbers["clean"]["value"]
    assert set(numbers) == {"clean", "seen 10 dB", "seen -5 dB", "unseen 10 dB", "unseen -5 dB"}


def test_the_terminal_shows_word_errors_with_their_intervals(run):
    table = run[1].table
    assert table.head[1:4] == ["Clean", "Seen noises, -5 dB", "Unseen noises, -5 dB"]
    assert " to " in table.rows[0][1]


def test_numbers_are_those_of_the_saved_scores(run):
    import pandas as pd

    folder, outcome = run
    table = pd.read_parquet(folder / "run" / "scores.parquet")
    rows = table[(table["condition"] == "unseen") & (table["snr"] == -5)]
    assert set(rows["noise"]) == {"pink"}
    wrong = [rows[f"adversarial.{member}.wrong"].sum() / rows["words"].sum() for member in range(2)]
    metrics = outcome.metrics.to_json()
    model = metrics["models"]["adversarial"]
    assert model["seeds"]["unseen -5 dB"] == pytest.approx(wrong)
    assert model["word_error_rate"]["unseen -5 dB"]["value"] == pytest.approx(np.mean(wrong))
    other = metrics["models"]["clean"]["seeds"]["unseen -5 dB"]
    difference = metrics["comparison"]["adversarial"]["unseen -5 dB"]["difference"]["value"]
    assert difference == pytest.approx(np.mean(wrong) - np.mean(other))


def test_what_rounds_learnt_is_told_with_what_of_it_was_right():
    rounds = [{"share": 0.2, "right": 0.9}, {"share": 0.4, "right": 0.8}]
    model = {
        "transcripts": [{name: spread([value, value + 0.02]) for name, value in entry.items()} for entry in rounds]
    }
    rest = {"word_error_rate": {}, "frame_accuracy": {}, "validation": {"value": 0.1}, "noises": 1}
    table = transcripts_table(SpeechMetrics.from_json({"models": {"m": rest | model, "clean": rest}}))
    assert [[cell.text for cell in row[:2]] for row in table.rows] == [["m", "1"], ["m", "2"]]
    assert [row[3].brief for row in table.rows] == ["91.0", "81.0"]


def test_the_probe_stands_beside_the_head(run):
    models = run[1].metrics.to_json()["models"]
    assert models["adversarial"]["probe"]["noise"]["chance"] == pytest.approx(1 / 3)
    assert 0.0 <= models["adversarial"]["head"]["noise"]["value"] <= 1.0
    assert "head" not in models["clean"]


def test_the_saved_scores_give_the_same_numbers_again(run):
    folder, outcome = run
    kind = kind_of(load_any(folder / "run" / "config.yaml"))
    kind.load(lambda *_: None)
    training = {name: entry["training"] for name, entry in outcome.metrics.to_json()["models"].items()}
    context = RunContext(folder / "run", training, {}, {}, 1, lambda *_: None)
    assert kind.measure(kind.saved_scores(folder / "run"), context) == outcome.metrics


def test_check_reads_everything_and_trains_nothing(tmp_path):
    lines, problems = train.check(small(), Quiet())
    assert problems == []
    assert lines[0].startswith("300 utterances, 6 speakers, ")
    assert lines[1] == "2 noises in training, 1 only in tests: pink"
    lines, problems = train.check(small(noise={"recordings": str(tmp_path / "none")}), Quiet())
    assert lines == []
    assert "no such folder of recordings" in problems[0]


def jobs(config, folder: Path):
    kind = kind_of(config)
    assert isinstance(kind, SpeechKind)
    kind.load(lambda *_: None)
    return kind.jobs(folder, folder / "work", "cpu")


SELF_TAUGHT = {"of": "target", "method": "none", "rounds": 2, "round_epochs": 2}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "stop"),
    [
        ({"domain": {"of": "pair", "alpha": 0.3}}, 2),
        ({"train_on": ["clean"], "domain": SELF_TAUGHT}, 2),
        ({"train_on": ["clean"], "domain": SELF_TAUGHT}, 6),
    ],
)
def test_a_training_that_was_interrupted_ends_as_one_that_was_not(tmp_path, model, stop):
    models = {"m": {"encoder": "feedforward", "layers": [32], **model}}
    config = small(
        models=models, seeds=1, split={"unlabelled": 0.5}, training={"epochs": 3},
        evaluation={"baseline": None, "probe": 0},
    )  # fmt: skip
    job = jobs(config, tmp_path)[0]
    (tmp_path / "work").mkdir(exist_ok=True)

    def weights(stop: int | None) -> dict[str, torch.Tensor]:
        setup = TrainingSetup.of(job)

        def on_epoch(history):
            if history.epochs == stop:
                raise KeyboardInterrupt

        try:
            setup.fit(on_epoch)
        except KeyboardInterrupt:
            setup.bank.close()
            return weights(None)
        setup.bank.close()
        for checkpoint in (tmp_path / "work").glob("*.checkpoint"):
            checkpoint.unlink()
        return {name: value.clone() for name, value in setup.network.state_dict().items()}

    through, resumed = weights(None), weights(stop)
    assert all(torch.equal(through[name], resumed[name]) for name in through)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "checks"),
    [
        ({"domain": {"of": "noise", "alpha": -0.5}}, {"scale": 0.5, "reversed": False, "classes": 3}),
        ({"domain": {"of": "noise", "alpha": 0.5}}, {"scale": 1.0, "reversed": True, "classes": 3}),
        ({"domain": {"of": "pair", "alpha": 2.0}}, {"scale": 1.0, "reversed": True, "classes": 2}),
    ],
)
def test_the_sign_of_alpha_is_what_becomes_of_the_domain_head(tmp_path, model, checks):
    config = small(models={"m": model | {"encoder": "feedforward", "layers": [32]}}, evaluation={"baseline": None})
    setup = TrainingSetup.of(jobs(config, tmp_path)[0])
    setup.bank.close()
    head = setup.network.heads["domain"]
    assert head.scale == checks["scale"]
    assert (head.reversal is not None) == checks["reversed"]
    assert setup.network.predict(torch.zeros(2, 7, 20), "domain", raw=True).shape == (2, checks["classes"])
    assert setup.target is None
    domains = setup.source.targets["domain"]
    frame = setup.source.features.numbers
    kinds = setup.bank.takes.noise[setup.bank.frames.utterance[frame]]
    assert bool(((kinds >= 0) == (domains > 0)).all())


def test_alpha_of_zero_is_no_head(tmp_path):
    models = {"m": {"encoder": "feedforward", "layers": [32], "domain": {"of": "noise", "alpha": 0.0}}}
    setup = TrainingSetup.of(jobs(small(models=models, evaluation={"baseline": None}), tmp_path)[0])
    setup.bank.close()
    assert list(setup.network.heads) == ["senone"]


def test_an_adaptation_sees_noisy_recordings_without_their_words(tmp_path):
    models = {
        "m": {
            "encoder": "convolution", "channels": 8, "features": 16, "train_on": ["clean"],
            "domain": {"of": "target", "method": "cdan,pseudo", "strength": 0.5, "threshold": 0.7},
        }
    }  # fmt: skip
    config = small(
        models=models, split={"unlabelled": 0.5}, frames={"context": {"left": 12, "right": 12, "step": 1}},
        evaluation={"baseline": None, "probe": 0}, training={"epochs": 1},
    )  # fmt: skip
    job = jobs(config, tmp_path)[0]
    setup = TrainingSetup.of(job)
    assert setup.target is not None
    assert dict(setup.target.targets) == {}
    takes, frames = setup.bank.takes, setup.bank.frames

    def recordings(rows):
        return set(takes.recording[frames.utterance[rows.features.numbers]].tolist())

    assert not recordings(setup.source) & recordings(setup.target)
    assert bool((takes.noise[frames.utterance[setup.source.features.numbers]] == -1).all())
    assert setup.network.terms[0].threshold == 0.7
    history = setup.fit(lambda h: None)
    setup.bank.close()
    assert {"senone_loss", "domain_loss", "pseudo_loss"} <= set(history.columns)
    setup.network.save(tmp_path / "m.safetensors")
    from hepda.speech.training.encoders import Convolutional

    again = Network.load(tmp_path / "m.safetensors", encoder=Convolutional(25, 20, 8, 16))
    windows = torch.randn(3, 25, 20, generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(again.predict(windows), setup.network.predict(windows), atol=1e-6)


def test_rounds_teach_what_was_heard_in_recordings_that_stay_as_they_were_made(tmp_path):
    domain = SELF_TAUGHT | {"method": "dann", "strength": 0.1, "share": 0.6}
    models = {"m": {"encoder": "feedforward", "layers": [64], "train_on": ["clean"], "domain": domain}}
    config = small(
        models=models, split={"unlabelled": 0.5}, noise={"snr": [10, 20]}, evaluation={"baseline": None, "probe": 0}
    )
    setup = TrainingSetup.of(jobs(config, tmp_path)[0])
    unlabelled = setup.bank.takes.recording[setup.labelled :]
    before = setup.bank.frames.values[setup.target.features.numbers].clone()
    history = setup.fit(lambda h: None)
    setup.bank.turn(7)
    assert torch.equal(setup.bank.frames.values[setup.target.features.numbers], before)
    setup.bank.close()
    assert history.epochs == setup.epochs == 6
    shares = [entry["share"] for entry in setup.transcripts]
    assert 0.1 < shares[0] <= 0.3  # half of the share in the first of two rounds, less where a word is heard too seldom
    assert shares[0] < shares[1] <= 0.6
    assert setup.transcripts[-1]["right"] > 0.3  # nine of ten are wrong by chance
    assert float(setup.target.weights["sure"].mean()) == pytest.approx(shares[1], abs=0.1)
    assert setup.network.heads["senone"].rows == "both"
    assert len(set(unlabelled.tolist()) & set(setup.bank.takes.recording[: setup.labelled].tolist())) == 0


def test_a_probe_finds_what_is_there_and_nothing_where_nothing_is():
    random = np.random.default_rng(1)
    utterance = np.repeat(np.arange(80), 20)
    label, test = utterance % 4, utterance >= 40
    embedding = random.normal(size=(1600, 6)).astype(np.float32)
    blind, _ = fit_probe(embedding, label, utterance, test, seed=1)
    assert blind.chance == 0.25
    assert blind.low < 0.27
    assert blind.value < 0.32
    embedding[:, 0] += 3.0 * (label == 2)
    informed, answers = fit_probe(embedding, label, utterance, test, seed=1)
    assert informed.value > blind.high
    assert (answers == label[test]).mean() == pytest.approx(informed.value, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("scorer", [None, "source-loss"])
def test_a_scorer_or_patience_chooses_the_epoch_on_recordings_that_are_held_out(scorer, tmp_path):
    training = {"epochs": 3, "scorer": scorer, "patience": 2}
    config = small(training=training, seeds=1, models={"adversarial": SMALL["models"]["adversarial"]})
    train.train(config, tmp_path / "run", PlotOptions(Plots.NONE), Quiet())
    columns = (tmp_path / "run" / "history.csv").read_text().splitlines()[0].split(",")
    assert "validation_senone_loss" in columns and "score" in columns
    about = json.loads((tmp_path / "run" / "metrics.json").read_text())["models"]["adversarial"]
    assert "best_epoch" in json.dumps(about) or "best_epoch" in (tmp_path / "run" / "manifest.json").read_text()
