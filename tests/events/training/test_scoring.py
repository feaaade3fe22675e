"""Saved models score events as the training did, and a varied event by the trainings that did not see it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hepda.config import AnalysisConfig, load_config
from hepda.errors import ConfigError, SourceError
from hepda.events.dataset.load import load_table
from hepda.events.resolve import dataset_spec, model_spec, model_specs
from hepda.events.table.feature_table import FeatureTable
from hepda.events.table.store import write_table
from hepda.events.training import scoring
from hepda.events.training.jobs import jobs_of
from hepda.runtime.jobs import run_jobs
from hepda.runtime.pool import one_thread
from tests.factory import write_analysis


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[AnalysisConfig, Path, FeatureTable, dict[str, np.ndarray]]:
    """A config, the folder of its models, the events, and the scores that the training gave them."""
    folder = tmp_path_factory.mktemp("scoring")
    page = write_analysis(folder, n=200)
    config = load_config(page, ["training.epochs=1", "models.network.ensemble=2", "models.bdt.iterations=3"])
    table = load_table(dataset_spec(config)).table
    write_table(table, folder / "table")
    (folder / "work").mkdir()
    jobs = jobs_of(model_specs(config), folder / "table", folder, folder / "work", "cpu")
    results = run_jobs(jobs, 1, lambda *_: None)
    scores = {}
    for model in config.models:
        score = np.zeros(len(table))
        for fold in range(2):
            of_fold = [r.score for r in results if r.model == model and r.fold == fold]
            score[table.fold == fold] = np.mean(of_fold, axis=0)
        scores[model] = score.astype(np.float32)
    return config, folder / "models", table, scores


def test_the_scores_of_the_training_come_again(trained: tuple) -> None:
    config, models, table, scores = trained
    with one_thread():
        result = scoring.score_table(model_specs(config).values(), models, table)
    assert list(result) == list(config.models)
    for model, score in scores.items():
        assert np.array_equal(result[model], score), model


def test_a_varied_event_is_scored_by_the_trainings_of_its_fold(trained: tuple) -> None:
    config, models, table, _ = trained
    shifted = FeatureTable(**{
        name: getattr(table, name) for name in FeatureTable.__dataclass_fields__ if name != "features"
    }, features=table.features + np.float32(1.0))  # fmt: skip
    with one_thread():
        result = scoring.score_table([model_spec(config, "bdt")], models, shifted)["bdt"]
        by_fold = [scoring.rescore(model_specs(config), models, shifted, "bdt", fold) for fold in range(2)]
    assert np.array_equal(result, np.where(table.fold == 0, by_fold[0], by_fold[1]))
    assert not np.array_equal(by_fold[0], by_fold[1])


def test_a_lost_model_and_other_features_are_said(trained: tuple, tmp_path: Path) -> None:
    config, models, table, _ = trained
    with pytest.raises(SourceError, match="fold0-member0"):
        scoring.score_table([model_spec(config, "network")], tmp_path, table)
    fewer = FeatureTable(**{
        name: getattr(table, name) for name in FeatureTable.__dataclass_fields__ if name not in ("features", "names")
    }, features=table.features[:, 1:], names=table.names[1:])  # fmt: skip
    for model in ("network", "bdt"):
        with pytest.raises(ConfigError, match="Train again"):
            scoring.score_table([model_spec(config, model)], models, fewer)
    assert json.loads((models / "bdt" / "fold0-member0.metadata.json").read_text())["features"] == list(table.names)
