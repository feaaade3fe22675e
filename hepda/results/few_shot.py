"""The accuracy of few-shot classification: several ways to classify from few labelled examples of new classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hepda.results.evaluation import Interval

BASELINE = "cosine"
"""The way with which the others are compared."""
PUBLISHED = "csca_published"
"""The way whose evaluation is given the class of what it classifies."""
TITLES = {
    BASELINE: "cosine prototypes",
    "euclidean": "Euclidean prototypes",
    "logistic": "logistic regression",
    "csca": "channel attention",
    "csca_apart": "channel attention, others apart",
    PUBLISHED: "channel attention, class given",
}
"""The ways by name, as tables and figures call them."""


@dataclass(frozen=True, slots=True)
class FewShotMethod:
    """The accuracy of one way to classify, and its paired difference to cosine prototypes (absent for these)."""

    accuracy: Interval
    difference: Interval | None


@dataclass(frozen=True, slots=True)
class FewShot:
    """The accuracies with one number of labelled examples of each class.

    shots: labelled examples of each class; ways: classes; methods: by name; dealt: the same after the classes were
    dealt at random to the examples, so that nothing is known of them and chance is 1 / ways.
    """

    shots: int
    ways: int
    methods: Mapping[str, FewShotMethod]
    dealt: Mapping[str, FewShotMethod]
