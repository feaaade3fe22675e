"""A name of a model is never a name of something else: columns, branches, files, figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hepda.config import AnalysisConfig, load_config
from hepda.config.events.names import EVENT_COLUMNS
from hepda.errors import ConfigError
from hepda.events.steps import scores_columns
from hepda.events.table.feature_table import FeatureTable
from hepda.report.drawing import Drawing, with_unique_names
from hepda.runtime.jobs import model_of
from tests.factory import analysis

BDT = {"kind": "bdt", "iterations": 3}
SHAPE = {"jes": {"kind": "shape", "up": {"jet_pt": "jet_pt_jes_up"}}}


def config_of(folder: Path, *models: str, **keys: Any) -> AnalysisConfig:
    folder.mkdir(exist_ok=True)
    path = folder / "a.yaml"
    path.write_text(yaml.safe_dump(analysis(models=dict.fromkeys(models, BDT), **keys), sort_keys=False))
    return load_config(path)


@pytest.mark.parametrize("name", EVENT_COLUMNS)
def test_a_model_with_the_name_of_a_column_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"models\.{name} .*scores\.parquet has a column of this name already"):
        config_of(tmp_path, name)
    config_of(tmp_path, f"{name}2")


@pytest.mark.parametrize(
    ("models", "said"),
    [
        (("a-b", "a_b"), "one branch, 'score_a_b', of `hepda apply`"),
        (("a", "a_jes_up"), "models.a with jes_up and models.a_jes_up would be one branch"),
        (("Net", "net"), "differs from models.Net only by capital letters"),
    ],
)
def test_models_that_would_share_a_branch_or_a_file_are_refused(
    tmp_path: Path, models: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        config_of(tmp_path, *models, systematics=SHAPE)
    config_of(tmp_path, models[0], systematics=SHAPE)


@pytest.mark.parametrize("kind", ["images", "speech"])
def test_models_of_images_and_speech_that_would_share_a_folder_are_refused(tmp_path: Path, kind: str) -> None:
    text: dict[str, Any] = {"name": "x", "kind": kind, "models": {"a": {}, "A": {}}}
    text |= {"source": {"data": "usps"}, "target": {"data": "mnist"}} if kind == "images" else {
        "speech": {"data": "synthetic"}, "noise": {"synthetic": ["white"]},
    }  # fmt: skip
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(text))
    from hepda.config import load_any

    with pytest.raises(ConfigError, match="only by capital letters"):
        load_any(path)


def test_scores_have_the_columns_that_are_reserved_and_one_a_model() -> None:
    n = 3
    table = FeatureTable(
        features=np.zeros((n, 1), np.float32), names=("x",), weight=np.ones(n), label=np.zeros(n, np.int8),
        domain=np.zeros(n, np.int16), domain_names=("d",), sample=np.zeros(n, np.int16), sample_names=("s",),
        fold=np.zeros(n, np.int8), validation=np.zeros(n, np.bool_), key=np.arange(n, dtype=np.uint64),
    )  # fmt: skip
    assert set(scores_columns(table, {"m": np.zeros(n)})) == {*EVENT_COLUMNS, "m"}
    key = ("run", "sample", "m")  # branches that are called as other columns are not lost, and hide nothing
    numbered = replace(table, columns={f"identifier:{name}": np.arange(n) + i for i, name in enumerate(key)})
    saved = scores_columns(numbered, {"m": np.full(n, 0.5)}, key=key)
    assert set(saved) == {*EVENT_COLUMNS, "m", "run", "identifier:sample", "identifier:m"}
    assert saved["m"].tolist() == [0.5] * n and saved["identifier:m"].tolist() == [2, 3, 4]


def test_columns_and_files_of_trainings_tell_every_model_from_every_other() -> None:
    """Names that are made to look like another model's trainings."""
    models = ["a", "a-0", "a-0-probability", "a-fold0", "a-fold0-member0", "label", "domain", "image"]
    images = [f"{m}-{k}{end}" for m in models for k in range(2) for end in ("", "-probability")]
    assert len(set(images)) == len(images) and not {"domain", "image", "label"} & set(images)
    trainings = {f"{m}-fold{f}-member{k}": m for m in models for f in range(2) for k in range(2)}
    assert len(trainings) == 4 * len(models)
    assert all(model_of(name) == model for name, model in trainings.items())


def test_figures_that_would_be_one_file_have_two() -> None:
    names = ["score_stack_x", "score_x", "score_stack_x", "Score_X", "score_x-2"]
    drawings = [Drawing("s", name, "", "", lambda: None) for name in names]  # type: ignore[arg-type, return-value]
    found = [drawing.name for drawing in with_unique_names(drawings)]
    assert found == ["score_stack_x", "score_x", "score_stack_x-2", "Score_X-2", "score_x-2-2"]
