r"""Classification of new classes from few labelled examples of each, on the features of an encoder that is not changed.

An episode draws `shots` labelled examples and `queries` others of each class. With the features f of a query and the
mean p_c of the labelled examples of class c, the ways to choose its class are

    `cosine`          largest cos(f, p_c)                       (Snell, Swersky, Zemel, NeurIPS 2017, with cosines)
    `euclidean`       smallest |f - p_c|                        (the same paper)
    `logistic`        logistic regression on features of length 1, fitted to the labelled examples
                      (Tian, Wang, Krishnan, Tenenbaum, Isola, ECCV 2020)
    `csca`            largest cos(w_c f, w_c p_c)               (class-specific channel attention: Chen et al.,
    `csca_apart`      the same with another loss                 arXiv:2209.01332)
    `csca_published`  largest cos(w_i f, w_c p_c)

where w_c has a weight for each feature, starts from ones and is fitted to the labelled examples of the episode by Adam.
With the mean cosines to p_c, all weighted with w_c, of the labelled examples of the class, S_in, and the others, S_out,

    -log((S_in - 1/2) / (1 - S_out))    is the loss in the authors' public code (ljkong1982/CSCA, main.py),
    -log((S_in - 1/2) (1 - S_out))      is that of `csca_apart`: the first one falls as S_out grows, this one rises.

`csca_published` is how the authors' code evaluates: queries are weighted with the w_i of their true class i, which
nobody knows of a query. What this leak does is measured on `dealt` episodes, in which the classes are dealt at random
to examples of all classes, so that nothing can be known of the class of a query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepda.errors import DataError
from hepda.evaluation.arrays import unit_vectors
from hepda.results.evaluation import FloatArray, Interval
from hepda.results.few_shot import BASELINE, PUBLISHED, TITLES, FewShot, FewShotMethod

_TINY = 1e-12
_STEPS, _RATE = 15, 0.1  # of the attention, the defaults of the authors' code
_FLOOR = 0.01  # of S_in - 1/2, whose logarithm has no value below 0


@dataclass(frozen=True, slots=True)
class FewShotSettings:
    """What an episode is: labelled examples (`shots`) and queries of each class; how many episodes; their seed."""

    shots: tuple[int, ...] = (1, 5)
    queries: int = 15
    episodes: int = 200
    seed: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Episodes:
    """Features of labelled examples [episodes, classes, shots, d], and of queries [episodes, classes, queries, d]."""

    support: FloatArray
    query: FloatArray

    @property
    def prototypes(self) -> FloatArray:
        """The mean of the labelled examples of each class: [episodes, classes, d]."""
        return np.asarray(self.support.mean(axis=2))

    def rows(self, part: FloatArray) -> FloatArray:
        """Return support or query with one row for each example, class by class: [episodes, n, d]."""
        return part.reshape(len(part), -1, part.shape[-1])

    def accuracy(self, similarity: FloatArray) -> FloatArray:
        """Return the share of right answers [episodes] of similarities [episodes, n, classes] of the queries."""
        classes, queries = self.query.shape[1:3]
        right = similarity.argmax(axis=2) == np.repeat(np.arange(classes), queries)
        return np.asarray(right.mean(axis=1), dtype=np.float64)


def few_shot(
    features: Sequence[ArrayLike], label: ArrayLike, settings: FewShotSettings | None = None
) -> tuple[FewShot, ...]:
    """Return the accuracy of every way to classify, for each number of labelled examples.

    All encoders, ways and numbers of labelled examples have the same queries, and more labelled examples include the
    fewer: differences are paired. Intervals are one error to both sides: the spread of the episodes (of the mean over
    the encoders) and that of the encoders, each over the square root of their number, in quadrature.

    Args:
        features: features [n, d] of the same n examples by each encoder; d may differ.
        label: class numbers [n] from 0.
        settings: number of labelled examples, queries and episodes.

    Raises:
        DataError: there are fewer than two classes, or fewer examples of a class than an episode draws.
        ValueError: lengths differ, or there are no features.

    """
    settings = settings or FewShotSettings()
    labels = np.asarray(label, dtype=np.int64)
    encoders = [np.asarray(rows, dtype=np.float64) for rows in features]
    if not encoders or any(rows.ndim != 2 or len(rows) != len(labels) for rows in encoders):
        raise ValueError(f"features are [{len(labels)}, d] for each encoder, not {[rows.shape for rows in encoders]}")
    drawn = drawn_episodes(labels, settings)
    dealt = dealt_episodes(len(labels), drawn.shape[1], settings)
    return tuple(
        FewShot(shots, drawn.shape[1], *(_measured(encoders, index, shots, settings) for index in (drawn, dealt)))
        for shots in settings.shots
    )


def drawn_episodes(label: NDArray[np.int64], settings: FewShotSettings) -> NDArray[np.intp]:
    """Return the examples of each episode: indices [episodes, classes, queries + largest number of shots].

    Raises:
        DataError: there are fewer than two classes, or fewer examples of a class than an episode draws.

    """
    size = settings.queries + max(settings.shots)
    members = [np.flatnonzero(label == number) for number in np.unique(label)]
    if len(members) < 2:
        raise DataError("few-shot classification needs at least two classes")
    smallest = min(map(len, members))
    if smallest < size:
        raise DataError(
            f"an episode draws {settings.queries} queries and {max(settings.shots)} labelled examples of each class, "
            f"but a class has {smallest} examples; ask for fewer"
        )
    rng = np.random.default_rng(settings.seed)
    return np.stack([[rng.choice(rows, size, replace=False) for rows in members] for _ in range(settings.episodes)])


def dealt_episodes(count: int, classes: int, settings: FewShotSettings) -> NDArray[np.intp]:
    """Return episodes of the same form in which examples are drawn without regard to their class."""
    size = settings.queries + max(settings.shots)
    rng = np.random.default_rng([settings.seed, 1])
    return np.stack(
        [rng.choice(count, classes * size, replace=False).reshape(classes, size) for _ in range(settings.episodes)]
    )


def _measured(
    encoders: Sequence[FloatArray], index: NDArray[np.intp], shots: int, settings: FewShotSettings
) -> dict[str, FewShotMethod]:
    """Return the accuracies on the episodes with some of their labelled examples."""
    end = settings.queries + shots
    found = []
    for rows in encoders:
        drawn = rows[index[:, :, :end]]
        found.append(accuracies(Episodes(drawn[:, :, settings.queries :], drawn[:, :, : settings.queries])))
    by_name = {name: np.stack([accuracy[name] for accuracy in found]) for name in TITLES}
    return {
        name: FewShotMethod(_mean(values), None if name == BASELINE else _mean(values - by_name[BASELINE]))
        for name, values in by_name.items()
    }


def _mean(values: FloatArray) -> Interval:
    """Return the mean of values [encoders, episodes] and one error to both sides."""
    encoders, episodes = values.shape
    variance = values.mean(axis=0).var(ddof=1) / episodes if episodes > 1 else 0.0
    if encoders > 1:
        variance += values.mean(axis=1).var(ddof=1) / encoders
    mean, error = float(values.mean()), float(np.sqrt(variance))
    return Interval(mean, mean - error, mean + error)


def accuracies(episodes: Episodes) -> dict[str, FloatArray]:
    """Return the share of right answers in each episode, by the way to classify: [episodes] each."""
    query, prototypes = episodes.rows(episodes.query), episodes.prototypes
    weight = channel_attention(episodes)
    attention = _Weighted(query, prototypes)
    similarity = {
        BASELINE: unit_vectors(query) @ unit_vectors(prototypes).swapaxes(1, 2),
        "euclidean": 2.0 * query @ prototypes.swapaxes(1, 2) - (prototypes**2).sum(axis=2)[:, None],
        "logistic": _logistic(episodes),
        "csca": attention.cosine(weight).swapaxes(1, 2),
        "csca_apart": attention.cosine(channel_attention(episodes, apart=True)).swapaxes(1, 2),
        PUBLISHED: _of_true_class(episodes, weight),
    }
    return {name: episodes.accuracy(similarity[name]) for name in TITLES}


def _of_true_class(episodes: Episodes, weight: FloatArray) -> FloatArray:
    """Return cos(w_i f, w_c p_c) of queries of the true class i: [episodes, n, classes]."""
    query = unit_vectors(episodes.rows(episodes.query * weight[:, :, None]))
    return np.asarray(query @ unit_vectors(weight * episodes.prototypes).swapaxes(1, 2))


def _logistic(episodes: Episodes) -> FloatArray:
    """Return the decision function of a logistic regression for each episode: [episodes, n, classes].

    With a squared penalty its coefficients are sums of labelled examples, so that it is fitted in the few dimensions
    of these: the result is that of all features, sooner.
    """
    from sklearn.linear_model import LogisticRegression

    support, query = unit_vectors(episodes.rows(episodes.support)), unit_vectors(episodes.rows(episodes.query))
    classes, shots = episodes.support.shape[1:3]
    label = np.repeat(np.arange(classes), shots)
    decisions = []
    for rows, others in zip(support, query, strict=True):
        basis = np.linalg.svd(rows, full_matrices=False)[2].T
        decision = LogisticRegression(max_iter=1000).fit(rows @ basis, label).decision_function(others @ basis)
        decisions.append(decision if classes > 2 else np.column_stack([-decision, decision]))
    return np.stack(decisions)


class _Weighted:
    """Cosines of rows [episodes, n, d] and prototypes [episodes, classes, d], both times weights of the class."""

    def __init__(self, rows: FloatArray, prototypes: FloatArray) -> None:
        self.rows, self.squares = rows, rows**2
        self.prototypes = prototypes

    def lengths(self, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the squared lengths of weighted rows [episodes, classes, n] and prototypes [episodes, classes, 1]."""
        square = weight**2
        of_rows = np.maximum(square @ self.squares.swapaxes(1, 2), _TINY)
        return of_rows, np.maximum((square * self.prototypes**2).sum(axis=2, keepdims=True), _TINY)

    def cosine(self, weight: FloatArray) -> FloatArray:
        """Return cos(w_c f, w_c p_c) for weights [episodes, classes, d]: [episodes, classes, n]."""
        of_rows, of_prototype = self.lengths(weight)
        product = (weight**2 * self.prototypes) @ self.rows.swapaxes(1, 2)
        return np.asarray(product / np.sqrt(of_rows * of_prototype))

    def gradient(self, weight: FloatArray, cosine: FloatArray, slope: FloatArray) -> FloatArray:
        """Return the gradient with respect to the weights of a function whose slope in each cosine is given."""
        of_rows, of_prototype = self.lengths(weight)
        shared = slope * cosine
        product = 2.0 * self.prototypes * ((slope / np.sqrt(of_rows * of_prototype)) @ self.rows)
        lengths = (shared / of_rows) @ self.squares
        own = shared.sum(axis=2, keepdims=True) / of_prototype * self.prototypes**2
        return np.asarray(weight * (product - lengths - own))


def channel_attention(
    episodes: Episodes, *, apart: bool = False, steps: int = _STEPS, rate: float = _RATE
) -> FloatArray:
    """Fit the weights w_c of every class to the labelled examples of its episode: [episodes, classes, d].

    The losses are those of the module's text. Their S_in - 1/2 is not taken below 0.01, where its slope stays that of
    0.01.

    Args:
        episodes: the episodes; queries are not used.
        apart: push the other classes away, the loss of `csca_apart`.
        steps: steps of Adam (decays 0.9 and 0.999).
        rate: learning rate.

    """
    classes, shots = episodes.support.shape[1:3]
    weighted = _Weighted(episodes.rows(episodes.support), episodes.prototypes)
    own = np.repeat(np.eye(classes, dtype=bool), shots, axis=1)
    inside, outside = own / shots, ~own / (shots * (classes - 1))
    sign = 1.0 if apart else -1.0
    weight = np.ones_like(weighted.prototypes)
    first, second = np.zeros_like(weight), np.zeros_like(weight)
    for step in range(1, steps + 1):
        cosine = weighted.cosine(weight)
        margin = np.maximum((cosine * inside).sum(axis=2, keepdims=True) - 0.5, _FLOOR)
        distance = np.maximum(1.0 - (cosine * outside).sum(axis=2, keepdims=True), _TINY)
        gradient = weighted.gradient(weight, cosine, sign * outside / distance - inside / margin)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        weight = weight - rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return weight
