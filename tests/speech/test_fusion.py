"""A fusion of networks of speech with frames of their own: the word that it takes, its rows, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepda.config import load_any, resolved_yaml
from hepda.errors import ConfigError
from hepda.kinds import kind_of
from hepda.results.speech import SpeechMetrics
from hepda.runtime.plots import PlotOptions, Plots
from hepda.speech.results.numbers import HITS, WORD, WRONG, fused
from hepda.workflows import train
from tests.reports import assert_no_table_is_empty
from tests.speech.analysis import small

MODELS: dict[str, Any] = {
    "mel": {"encoder": "feedforward", "layers": [32]},
    "cepstra": {"encoder": "feedforward", "layers": [32], "frames": {"cepstra": 8, "deltas": 1}},
    "both": {"kind": "fusion", "of": ["mel", "cepstra"], "title": "Both"},
}


class Quiet:
    def stage(self, name: str) -> None:
        """Nothing is told."""

    def step(self, what: str, done: int, total: int) -> None:
        """Nothing is told."""


def test_the_word_with_the_largest_mean_is_taken_of_each_training_by_itself() -> None:
    first = np.array([[[-1.0, -3.0, -2.0], [-1.0, -1.1, -9.0]], [[-5.0, -1.0, -2.0], [-1.0, -2.0, -3.0]]])
    second = np.array([[[-4.0, -3.0, -1.5], [-9.0, -1.0, -1.0]], [[-1.0, -4.0, -2.0], [-1.0, -2.0, -3.0]]])
    score = fused([first, second], np.array([2, 0]))
    assert score[:, :, WORD].tolist() == [[2, 1], [2, 0]]
    assert score[:, :, WRONG].tolist() == [[0, 1], [0, 0]]
    assert np.isnan(score[:, :, HITS]).all()


def test_a_model_has_the_frames_of_the_analysis_but_for_what_it_says(tmp_path: Path) -> None:
    config = small(models=MODELS)
    frames = config.for_model("cepstra").frames
    assert (frames.cepstra, frames.deltas, frames.bands) == (8, 1, 20) and config.for_model("mel") == config
    (tmp_path / "again.yaml").write_text(resolved_yaml(config))
    again: Any = load_any(tmp_path / "again.yaml")
    assert again.for_model("cepstra").frames == frames


@pytest.mark.slow
def test_a_run_has_its_row_and_is_evaluated_again_alike(tmp_path: Path) -> None:
    config = small(models=MODELS, seeds=1, evaluation={"probe": 0})
    train.train(config, tmp_path / "run", PlotOptions(Plots.NONE), Quiet())
    content = json.loads((tmp_path / "run" / "metrics.json").read_text())
    metrics = SpeechMetrics.from_json(content)
    rates = {name: metrics.models[name].word_error_rate["clean"].value for name in MODELS}
    assert metrics.models["both"].title == "Both" and not metrics.models["both"].frame_accuracy
    assert rates["both"] <= max(rates["mel"], rates["cepstra"])
    assert content["models"]["both"]["validation"]["value"] is None
    assert set(metrics.comparison) == {"cepstra", "both"}
    train.evaluate(tmp_path / "run", PlotOptions(Plots.NONE), Quiet())
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == content
    probes = {"Information on the noise in the embedding"}  # there are none
    assert_no_table_is_empty(
        tmp_path / "run", kind_of(load_any(tmp_path / "run" / "config.yaml")), probes, concludes=False
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": MODELS | {"both": {"kind": "fusion", "of": ["mel"]}}}, "has 1 model, so there is nothing to fuse"),
        ({"models": MODELS, "evaluation": {"grammar": "loop"}}, "models.both: a fusion compares single words"),
        ({"models": MODELS | {"cepstra": {"frames": {"hop": 0.02}}}}, "frames.hop: is that of the analysis"),
    ],
)
def test_what_cannot_be_fused_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        small(**changes)
    assert message in str(error.value)
