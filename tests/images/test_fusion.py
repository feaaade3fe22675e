"""A fusion of networks of images: the mean of their logits, of each seed by itself; what is refused."""

import json

import numpy as np
import pytest

from hepda.baselines.fusion import mean_of
from hepda.cli import main
from hepda.config import load_any
from hepda.errors import ConfigError
from hepda.images.kind import ImagesKind
from hepda.runtime.jobs import TrainingResult


def config(*overrides):
    return load_any("digits_fusion.yaml", ["seeds=2", *overrides])


def test_the_mean_of_the_logits_of_each_seed(tmp_path):
    rng = np.random.default_rng(1)
    probability = {
        (name, member): rng.dirichlet(np.ones(10), 30).astype(np.float32)
        for name in ("source_only", "dann", "second") for member in range(2)
    }  # fmt: skip
    results = [TrainingResult(name, 0, member, score, {}, {}) for (name, member), score in probability.items()]
    scores = ImagesKind(config()).combine(results, tmp_path)
    assert list(scores) == ["source_only", "dann", "second", "both"] and scores["both"].shape == (2, 30, 2)
    for member in range(2):
        fused = mean_of(("dann", "second"), 10)([probability["dann", member], probability["second", member]])
        np.testing.assert_array_equal(scores["both"][member, :, 0], fused.argmax(axis=1))
        np.testing.assert_array_equal(scores["both"][member, :, 1], fused.max(axis=1))
    single = probability["dann", 1]
    np.testing.assert_array_equal(scores["dann"][1], np.stack([single.argmax(axis=1), single.max(axis=1)], axis=1))


@pytest.mark.slow
def test_a_run_has_its_row(tmp_path):
    words = ("seeds=1", "training.processes=1", "training.epochs=8", "evaluation.embedding.images=40")
    status = main([
        "train", "--config", "digits_fusion.yaml", "--output", str(tmp_path / "run"), "--plots", "none",
        *(part for word in words for part in ("--set", word)),
    ])  # fmt: skip
    assert status == 0
    models = json.loads((tmp_path / "run" / "metrics.json").read_text())["models"]
    assert models["both"]["title"] == "Both" and models["both"]["method"] == "mean of the logits of dann + second"
    assert models["both"]["accuracy"]["target"]["value"] > models["dann"]["accuracy"]["target"]["value"] - 0.05
    assert models["both"]["gap_closed"]["value"] is None and models["both"]["training"]["trainings"] == 0
    assert main(["evaluate", str(tmp_path / "run"), "--plots", "none"]) == 0


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["models.both.of=[dann, nobody]"], "'nobody' is not a model"),
        (["models.both.method=logistic"], "models.both.method"),
        (["evaluation.embedding.models=[both]"], "'both' is not a model with an embedding. There are: source_only"),
        (["models.dann.kind=bdt"], "models.dann.kind"),
    ],
)
def test_what_is_refused_names_its_key(overrides, message):
    with pytest.raises(ConfigError) as error:
        config(*overrides)
    assert message in str(error.value)
