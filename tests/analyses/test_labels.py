"""The comparison of thresholds, weights and a policy for labels, on events that are drawn here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from analyses.tth import labels
from hepda.config import load_config
from hepda.evaluation.classes import Resampling
from hepda.evaluation.working_points.thresholds import macro_f1

ROOT = Path(__file__).parents[2]


def drawn(n: int, seed: int) -> Any:
    """Return events with rare labels and probabilities that are right."""
    generator = np.random.default_rng(seed)
    scores, answers = {}, {}
    for number, name in enumerate(labels.LABELS):
        probability = 1 / (1 + np.exp(-generator.normal(-2.0 - 0.3 * number, 1.2, n)))
        scores[name], answers[name] = probability, (generator.random(n) < probability).astype(np.int8)
    return labels.Events({"physical": scores}, answers, np.ones(n), generator.random(n) < 0.5)


def test_tuned_thresholds_are_better_than_half_on_other_events() -> None:
    choosing, judging = drawn(3000, 1), drawn(6000, 2)
    ways = labels.settings_of(choosing, judging, trials=20)
    assert list(ways)[:4] == ["physical, 0.5", "physical, tuned", "last layer, 0.5", "last layer, tuned"]
    results = macro_f1(ways, judging.answers, judging.weight, Resampling(50))
    assert results["physical, tuned"].difference.low > 0.1  # type: ignore[union-attr]
    text = labels.table(results)
    assert "| physical, tuned | " in text and text.count("\n") == len(ways) + 1


def test_the_last_layer_is_a_logistic_regression() -> None:
    from sklearn.linear_model import LogisticRegression

    events = drawn(2000, 3)
    inputs, answer = labels.logits(events.scores["physical"]), events.answers["extra_b"]
    weight = np.random.default_rng(4).uniform(0.5, 2.0, 2000)
    reference = LogisticRegression(C=1e6, fit_intercept=False).fit(inputs, answer, sample_weight=weight)
    assert np.allclose(labels.last_layer(inputs, answer, weight), reference.coef_[0], atol=0.02)


def test_more_weight_on_a_label_predicts_it_more_often() -> None:
    events, model = drawn(2000, 5), "physical"
    one, more = ({**dict.fromkeys(labels.LABELS, 1.0), "extra_c": w} for w in (1.0, 8.0))
    of_one, of_more = (labels.applied(labels.retrained(events, model, w), events.scores[model]) for w in (one, more))
    assert of_more["extra_c"].mean() > of_one["extra_c"].mean() + 0.1
    assert np.array_equal(of_more["extra_b"], of_one["extra_b"])


def test_a_policy_improves_its_reward() -> None:
    _, thresholds, tenths = labels.policy(drawn(600, 6), "physical", 300, 1)
    assert set(thresholds) == set(labels.LABELS)
    assert tenths[-1] > tenths[0]


def test_the_config_asks_the_questions_of_the_script() -> None:
    config = load_config(ROOT / "configs" / "tth_labels.yaml")
    assert all(section.labels == labels.LABELS for section in config.models.values())  # type: ignore[union-attr]
    assert not [sample for sample in config.samples.values() if sample.use == "evaluate" or sample.is_data]
