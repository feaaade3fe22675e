"""Thresholds, class-balanced weights and a learned policy for the labels of a run of configs/tth_labels.yaml.

    hepda train --config configs/tth_labels.yaml
    python analyses/tth/labels.py runs/tth_labels

All thresholds, weights and policies are chosen on the validation events of the simulation, and judged on its other
events: weighted F1 of ttH (`signal`), extra b and extra c, their mean, and its difference to 0.5, on the same replicas
of the events. Every event is scored by a network that did not see it.

The policy (Wu, Xiong and Wang, arXiv:1909.04176, as far as it can be used here) learns by REINFORCE six numbers: for
each label the weight of its events in the training of the last layer, and the threshold of its prediction. A trial
trains the last layer, a logistic regression on the logits of the network's outputs, on one half of the choosing events
with these weights, and its reward is the mean F1 at these thresholds on the other half.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import hepda
from hepda.evaluation.classes import Resampling
from hepda.evaluation.working_points.objectives import F1, labelled_scores
from hepda.evaluation.working_points.policy import reinforce
from hepda.evaluation.working_points.thresholds import choose, macro_f1
from hepda.events.dataset.splits import is_validation, part_of
from hepda.results.entries.thresholds import MacroScore
from hepda.results.evaluation import Interval

LABELS = ("signal", "extra_b", "extra_c")
HALF = dict.fromkeys(LABELS, 0.5)
NONE = Resampling(replicas=0)
Floats = NDArray[np.float64]
Answers = dict[str, NDArray[np.int8]]
Scores = dict[str, Floats]


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Events of one part: scores by model and label, answers, signed weights, and half of the part by their key."""

    scores: dict[str, Scores]
    answers: Answers
    weight: Floats
    half: NDArray[np.bool_]

    def of(self, rows: NDArray[np.bool_]) -> Events:
        """Return some of the events."""
        scores = {model: {k: v[rows] for k, v in by_label.items()} for model, by_label in self.scores.items()}
        answers = {name: answer[rows] for name, answer in self.answers.items()}
        return Events(scores, answers, self.weight[rows], self.half[rows])


def read(run: Path) -> tuple[Events, Events]:
    """Return the choosing and the judging events of the simulation."""
    loaded = hepda.load(run)
    frame: Any = loaded.scores
    frame = frame[frame["domain"] == loaded.metrics.nominal]
    key = frame["key"].to_numpy()
    models = [name for name, section in loaded.config.models.items() if set(LABELS) <= set(section.labels)]
    column = {name: "label" if name == "signal" else f"label:{name}" for name in LABELS}
    events = Events(
        {m: {name: frame[f"{m}.p_{name}"].to_numpy().astype(float) for name in LABELS} for m in models},
        {name: frame[text].to_numpy().astype(np.int8) for name, text in column.items()},
        frame["weight"].to_numpy().astype(float),
        part_of(key, 2) == 0,
    )
    choosing = is_validation(key, loaded.config.split.validation)
    return events.of(choosing), events.of(~choosing)


def tuned(scores: Scores, events: Events) -> dict[str, float]:
    """Return the threshold of each label with the largest F1 on these events."""
    thresholds = {}
    for name in LABELS:
        chosen = choose(F1(), labelled_scores(scores[name], events.answers[name] == 1, events.weight), NONE).threshold
        if chosen is None:
            raise SystemExit(f"no threshold can be chosen for {name}")
        thresholds[name] = chosen.value
    return thresholds


# --- the last layer -------------------------------------------------------------------------------------------------


def logits(scores: Scores) -> Floats:
    """Return the logits of the outputs and a constant [n, labels + 1]."""
    columns = [np.clip(scores[name], 1e-6, 1 - 1e-6) for name in LABELS]
    return np.column_stack([*(np.log(p / (1 - p)) for p in columns), np.ones(len(columns[0]))])


def last_layer(inputs: Floats, answer: NDArray[np.int8], weight: Floats, steps: int = 8) -> Floats:
    """Return the coefficients of a logistic regression with a weak ridge, by Newton's method."""
    coefficients = np.zeros(inputs.shape[1])
    normal = weight / weight.sum()
    for _ in range(steps):
        p = 1 / (1 + np.exp(-np.clip(inputs @ coefficients, -30, 30)))
        gradient = inputs.T @ (normal * (p - answer)) + 1e-4 * coefficients
        hessian = (inputs * (normal * np.maximum(p * (1 - p), 1e-9))[:, None]).T @ inputs + 1e-4 * np.eye(len(gradient))
        coefficients = coefficients - np.linalg.solve(hessian, gradient)
    return coefficients


def retrained(choosing: Events, model: str, label_weight: Mapping[str, float]) -> dict[str, Floats]:
    """Return the last layer of each label, trained on one half with `label_weight` on the events that have it."""
    part = choosing.of(choosing.half)
    inputs, weight = logits(part.scores[model]), np.abs(part.weight)
    return {
        name: last_layer(
            inputs, part.answers[name], weight * np.where(part.answers[name] == 1, label_weight[name], 1.0)
        )
        for name in LABELS
    }


def applied(layers: Mapping[str, Floats], scores: Scores) -> Scores:
    """Return the predictions of last layers."""
    inputs = logits(scores)
    return {name: 1 / (1 + np.exp(-np.clip(inputs @ layer, -30, 30))) for name, layer in layers.items()}


def mean_f1(scores: Scores, events: Events, thresholds: Mapping[str, float]) -> float:
    """Return the mean F1, the reward of a trial."""
    values = []
    for name in LABELS:
        passed, holds = scores[name] >= thresholds[name], events.answers[name] == 1
        selected, wanted = events.weight[passed].sum(), events.weight[holds].sum()
        values.append(2 * events.weight[passed & holds].sum() / (selected + wanted))
    return float(np.mean(values))


def policy(
    choosing: Events, model: str, trials: int, seed: int
) -> tuple[dict[str, Floats], dict[str, float], Sequence[float]]:
    """Return the last layers and thresholds of a learned policy, and the mean reward of each tenth of its trials."""
    judge = choosing.of(~choosing.half)

    def parts(numbers: Floats) -> tuple[dict[str, float], dict[str, float]]:
        weights = dict(zip(LABELS, np.exp(np.clip(numbers[: len(LABELS)], -5, 5)), strict=True))
        thresholds = dict(zip(LABELS, 1 / (1 + np.exp(-numbers[len(LABELS) :])), strict=True))
        return weights, thresholds

    def reward(numbers: Floats) -> float:
        weights, thresholds = parts(numbers)
        return mean_f1(applied(retrained(choosing, model, weights), judge.scores[model]), judge, thresholds)

    learned = reinforce(reward, np.zeros(2 * len(LABELS)), trials=trials, seed=seed)
    weights, thresholds = parts(learned.mean)
    tenths = [float(np.nanmean(part)) for part in np.array_split(learned.rewards, 10)]
    return retrained(choosing, model, weights), thresholds, tenths


# --- the table ------------------------------------------------------------------------------------------------------


def settings_of(choosing: Events, judging: Events, trials: int) -> dict[str, dict[str, NDArray[np.bool_]]]:
    """Return what each way predicts of the judging events, by way and label; 0.5 at physical weights first."""
    ways: dict[str, dict[str, NDArray[np.bool_]]] = {}

    def add(name: str, scores: Scores, thresholds: Mapping[str, float]) -> None:
        ways[name] = {label: scores[label] >= thresholds[label] for label in LABELS}
        print(f"{name}: thresholds {', '.join(f'{label} {thresholds[label]:.3f}' for label in LABELS)}")

    for model in choosing.scores:
        add(f"{model}, 0.5", judging.scores[model], HALF)
        add(f"{model}, tuned", judging.scores[model], tuned(choosing.scores[model], choosing))
    first = next(iter(choosing.scores))
    plain = retrained(choosing, first, dict.fromkeys(LABELS, 1.0))
    other = choosing.of(~choosing.half)
    add("last layer, 0.5", applied(plain, judging.scores[first]), HALF)
    add("last layer, tuned", applied(plain, judging.scores[first]), tuned(applied(plain, other.scores[first]), other))
    for seed in (1, 2, 3):
        begin = time.perf_counter()
        layers, thresholds, tenths = policy(choosing, first, trials, seed)
        add(f"last layer, policy, seed {seed}", applied(layers, judging.scores[first]), thresholds)
        course = ", ".join(f"{value:.3f}" for value in tenths)
        print(f"  mean reward of tenths of {trials} trials: {course} ({time.perf_counter() - begin:.0f} s)")
    return ways


def number(value: Interval | str | None) -> str:
    """Return a number with half the width of its interval."""
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value.value:.3f} ± {value.error:.3f}"


def table(results: Mapping[str, MacroScore]) -> str:
    """Return the results as Markdown."""
    head = ["way", *(f"F1 of {name}" for name in LABELS), "mean F1", "difference to the first"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for way, score in results.items():
        cells = [way, *(number(score.labels[name]) for name in LABELS), number(score.macro), number(score.difference)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Print thresholds, the course of the policies, and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run of configs/tth_labels.yaml")
    parser.add_argument("--trials", type=int, default=3000, help="trials of each policy")
    parser.add_argument("--replicas", type=int, default=500, help="replicas of the judging events")
    options = parser.parse_args()
    choosing, judging = read(options.run)
    print(f"{len(choosing.weight)} events choose, {len(judging.weight)} judge")
    ways = settings_of(choosing, judging, options.trials)
    results = macro_f1(ways, judging.answers, judging.weight, Resampling(options.replicas, seed=1))
    print("\n" + table(results))


if __name__ == "__main__":
    main()
