"""Few labels: the analysis files, and a run of the offline one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hepda.cli import main
from hepda.config import load_any
from hepda.config.images import ImagesConfig


@pytest.mark.parametrize("name", ["digits_few_labels.yaml", "mnist_few_labels.yaml"])
def test_methods_differ_in_nothing_but_the_loss_of_unlabelled_images(name: str) -> None:
    config = load_any(name)
    assert isinstance(config, ImagesConfig)
    assert config.source.labels_per_class == 4 and config.source.data == config.target.data
    source_only, pseudo, contrast = (config.networks[model] for model in ("source_only", "pseudo", "contrast"))
    assert pseudo.domain is not None and contrast.domain is not None
    assert (pseudo.domain.method, contrast.domain.method) == ("pseudo", "contrast")
    assert pseudo.domain.model_copy(update={"method": "contrast"}) == contrast.domain
    for other in (contrast, source_only):
        assert other == pseudo.model_copy(update={"title": other.title, "domain": other.domain})


@pytest.mark.slow
def test_unlabelled_images_help_where_few_have_labels(tmp_path: Path) -> None:
    words = (
        "seeds=2", "training.processes=1", "models.vat=null", "models.contrast=null", "models.gan.training.epochs=10",
    )  # fmt: skip
    status = main([
        "train", "--config", "digits_few_labels.yaml", "--output", str(tmp_path / "run"), "--plots", "none",
        *(part for word in words for part in ("--set", word)),
    ])  # fmt: skip
    assert status == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["samples"]["source"]["labelled"] == 40 and "labelled" not in metrics["samples"]["target"]
    value = {name: entry["accuracy"]["target"]["value"] for name, entry in metrics["models"].items()}
    assert value["source_only"] < value["pseudo"] < value["ceiling"]
    report = (tmp_path / "run" / "report.html").read_text()
    assert "With labels" in report and "Class of generated images" in report
    gan, history = metrics["models"]["gan"], (tmp_path / "run" / "history.csv").read_text()
    assert gan["method"] == "class of generated images" and value["gan"] > 0.5
    assert gan["training"]["epochs"] == 10 and "classifier_generated_accuracy" in history
