"""How much of the noise an embedding still tells: a fresh network asked, beside the head that was trained along."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Probe:
    """A fresh classifier's accuracy on utterances that it did not see.

    value: accuracy, of classes that count the same; low, high: 95 % over bootstrapped utterances; chance: of one who
    hears nothing; classes: how many.
    """

    value: float
    low: float
    high: float
    chance: float
    classes: int

    def to_dict(self) -> dict[str, float]:
        """As metrics.json has it."""
        return {
            "value": self.value, "low": self.low, "high": self.high, "chance": self.chance, "classes": self.classes,
        }  # fmt: skip


def balanced(right: Array, label: Array) -> float:
    """Accuracy averaged over the classes that there are."""
    return float(np.mean([right[label == kind].mean() for kind in np.unique(label)]))


def asked(right: Array, label: Array, utterance: Array, seed: int, replicas: int = 200) -> Probe:
    """A probe from its answers: right [n] bool, classes [n], and the utterance that each frame is of [n]."""
    classes = len(np.unique(label))
    names, group = np.unique(utterance, return_inverse=True)
    table = np.zeros((len(names), int(label.max()) + 1, 2))
    for column, values in enumerate((right.astype(float), np.ones(len(right)))):
        np.add.at(table[:, :, column], (group, label), values)
    random = np.random.default_rng(seed)
    found = []
    for _ in range(replicas):
        above, below = table[random.integers(0, len(names), len(names))].sum(axis=0).T
        found.append(np.mean((above / np.maximum(below, 1.0))[below > 0.0]))
    low, high = np.quantile(found, [0.025, 0.975])
    return Probe(balanced(right, label), float(low), float(high), 1.0 / classes, classes)


def probed(
    embedding: Array, label: Array, utterance: Array, test: Array, *, seed: int, hidden: int = 64
) -> tuple[Probe, Array]:
    """A fresh network's accuracy, and its test answers.

    A standardised MLP of one layer, trained until a tenth of its frames that is held back says enough.

    Args:
        embedding: float32 [n, d].
        label: int [n], what is to be told.
        utterance: int [n]; no utterance is on both sides.
        test: bool [n]: frames that are asked.
        seed: of the network and of the interval.
        hidden: its width.

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
        warnings.simplefilter("ignore", ConvergenceWarning)  # 60 passes are a limit that is meant
        model.fit(embedding[~test], label[~test])
    answers = model.predict(embedding[test])
    return asked(answers == label[test], label[test], utterance[test], seed), answers
