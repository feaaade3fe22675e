"""Information about the noise in an embedding: a fresh network as a probe, in addition to the trained domain head."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Probe:
    """Accuracy of a fresh classifier on utterances that are not in its training.

    Attributes:
        value: accuracy, with the same weight for all classes.
        low, high: 95 % interval from bootstrapped utterances.
        chance: accuracy of a random choice.
        classes: number of classes.

    """

    value: float
    low: float
    high: float
    chance: float
    classes: int

    def to_dict(self) -> dict[str, float]:
        """Return the probe in the form of metrics.json."""
        return {
            "value": self.value, "low": self.low, "high": self.high, "chance": self.chance, "classes": self.classes,
        }  # fmt: skip


def balanced(correct: Array, label: Array) -> float:
    """Return the accuracy averaged over the classes that occur."""
    return float(np.mean([correct[label == kind].mean() for kind in np.unique(label)]))


def probe_of(correct: Array, label: Array, utterance: Array, seed: int, replicas: int = 200) -> Probe:
    """Return a probe from the answers of a classifier.

    Args:
        correct: whether each answer is correct, bool [n].
        label: classes [n].
        utterance: the utterance of each frame [n].
        seed: seed of the bootstrap.
        replicas: number of bootstrap samples.

    """
    classes = len(np.unique(label))
    names, group = np.unique(utterance, return_inverse=True)
    table = np.zeros((len(names), int(label.max()) + 1, 2))
    for column, values in enumerate((correct.astype(float), np.ones(len(correct)))):
        np.add.at(table[:, :, column], (group, label), values)
    random = np.random.default_rng(seed)
    accuracies = []
    for _ in range(replicas):
        above, below = table[random.integers(0, len(names), len(names))].sum(axis=0).T
        accuracies.append(np.mean((above / np.maximum(below, 1.0))[below > 0.0]))
    low, high = np.quantile(accuracies, [0.025, 0.975])
    return Probe(balanced(correct, label), float(low), float(high), 1.0 / classes, classes)


def fit_probe(
    embedding: Array, label: Array, utterance: Array, test: Array, *, seed: int, hidden: int = 64
) -> tuple[Probe, Array]:
    """Return the accuracy of a fresh network, and its answers on the test frames.

    The network is a standardised MLP with one hidden layer. Its training stops when the accuracy on a held-out tenth of
    its frames no longer improves.

    Args:
        embedding: float32 [n, d].
        label: int [n], the classes to recognise.
        utterance: int [n]; no utterance is in both training and test.
        test: bool [n]: the test frames.
        seed: seed of the network and of the interval.
        hidden: width of the hidden layer.

    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    network = MLPClassifier(
        (hidden,), alpha=1e-3, early_stopping=True, max_iter=60, n_iter_no_change=5, random_state=seed % 2**32
    )
    model = make_pipeline(StandardScaler(), network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the limit of 60 passes is intended
        model.fit(embedding[~test], label[~test])
    answers = model.predict(embedding[test])
    return probe_of(answers == label[test], label[test], utterance[test], seed), answers
