r"""How many labelled events of another domain it takes until a new last layer is better than the trained one.

Of the other domain, n labelled events of each class are drawn, and the last layer is fitted to them on the embedding of
the trained network; all other layers stay as they are. The result is judged on other events of the domain. With
standardised embedding z of k numbers, labels y = +-1 and logit f of the trained model, the fits minimise

    `refit`:       sum_i log(1 + exp(-y_i (theta z_i + b))) + k |theta|^2 / 2            (a new layer)
    `correction`:  sum_i log(1 + exp(-y_i (f_i + theta z_i + b))) + (k |theta|^2 + b^2) / 2  (the trained, corrected)

and `prototypes` fits nothing: its logit is cos(z, mean signal) - cos(z, mean background) (Snell, Swersky, Zemel,
NeurIPS 2017, with cosines). The penalty k is a prior in which theta z has a standard deviation of 1 for a typical
event, however large the embedding is. As n decreases, `correction` tends to the trained model and the others to chance.
The drawn events are nested: a larger n has those of a smaller one and more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit

from hepda.errors import DataError
from hepda.evaluation.arrays import signal_mask, unit_vectors, vector
from hepda.evaluation.roc import auc
from hepda.results.evaluation import FewLabels, FewLabelsMethod, FloatArray

_LEVEL = (0.15865, 0.84135)
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class FewLabelsSettings:
    """How many labelled events are drawn, and how often.

    events: labelled events of each class; draws: how often they are drawn; seed: of the drawing.
    """

    events: tuple[int, ...] = (1, 3, 10, 30, 100, 300, 1000)
    draws: int = 20
    seed: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedEvents:
    """Events of one domain, as a trained network sees them.

    embedding [n, k]; logit [n] of the trained model, higher for signal; label [n] (1 signal, 0 background); weight [n],
    signed.
    """

    embedding: FloatArray
    logit: FloatArray
    label: NDArray[np.bool_]
    weight: FloatArray

    @classmethod
    def of(
        cls, embedding: ArrayLike, logit: ArrayLike, label: ArrayLike, weight: ArrayLike | None = None
    ) -> EmbeddedEvents:
        """Return the events after checks of their lengths and of finite values.

        Raises:
            DataError: a value is not finite.
            ValueError: the lengths differ.

        """
        logits = vector(logit, "logit")
        rows = np.asarray(embedding, dtype=np.float64)
        if rows.ndim != 2 or len(rows) != len(logits):
            raise ValueError(f"the embedding has the shape {rows.shape}, not [{len(logits)}, k]")
        if not np.isfinite(rows).all():
            raise DataError("the embedding has values that are not finite")
        weights = np.ones(len(logits)) if weight is None else vector(weight, "weight", len(logits))
        return cls(rows, logits, signal_mask(label, len(logits)), weights)

    def standardised(self, like: EmbeddedEvents) -> EmbeddedEvents:
        """Return the events with the embedding at mean 0 and width 1 of the events `like`; no label enters."""
        mean, width = like.embedding.mean(axis=0), like.embedding.std(axis=0)
        scaled = (self.embedding - mean) / np.where(width > _TINY, width, 1.0)
        return EmbeddedEvents(scaled, self.logit, self.label, self.weight)


Fit = Callable[[FloatArray, FloatArray, NDArray[np.bool_]], Callable[[FloatArray, FloatArray], FloatArray]]
"""From embedding [m, k], logit [m] and label [m] of the labelled events to a function of those of others."""


def few_labels(
    labelled: EmbeddedEvents, judging: EmbeddedEvents, settings: FewLabelsSettings | None = None
) -> FewLabels:
    """Return the AUC in a domain after the last layer was fitted to few labelled events of it, by method and number.

    Events are drawn without replacement with probabilities in proportion to |weight|, and count once each: what n
    events of a calibration sample would be. (With negative weights this is exact only if their share does not depend on
    the event.) Intervals contain 68 % of the draws; the judging events are the same for all of them.

    Args:
        labelled: the events among which the labelled ones are drawn.
        judging: other events of the same domain.
        settings: numbers and draws.

    Raises:
        DataError: a class is absent, or has fewer events than the smallest number that is asked for.

    """
    settings = settings or FewLabelsSettings()
    pool = labelled.standardised(labelled)
    others = judging.standardised(labelled)
    counted = pool.weight != 0
    most = min(int(np.count_nonzero(pool.label & counted)), int(np.count_nonzero(~pool.label & counted)))
    events = tuple(sorted(n for n in settings.events if n <= most))
    if not events:
        raise DataError(
            f"{most} labelled events of a class are fewer than the {min(settings.events)} that are asked for at least"
        )
    trained = auc(others.logit, others.label, others.weight)
    areas = {name: np.empty((len(events), settings.draws)) for name in METHODS}
    rng = np.random.default_rng(settings.seed)
    for draw in range(settings.draws):
        signal, background = (_drawn(pool, chosen, events[-1], rng) for chosen in (pool.label, ~pool.label))
        for number, n in enumerate(events):
            rows = np.concatenate([signal[:n], background[:n]])
            for name, fit in METHODS.items():
                logit_of = fit(pool.embedding[rows], pool.logit[rows], pool.label[rows])
                areas[name][number, draw] = auc(logit_of(others.embedding, others.logit), others.label, others.weight)
    return FewLabels(
        events,
        tuple(n for n in settings.events if n > most),
        trained,
        {name: _summary(values, trained, events) for name, values in areas.items()},
    )


def _drawn(pool: EmbeddedEvents, chosen: NDArray[np.bool_], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    rows = np.flatnonzero(chosen & (pool.weight != 0))
    size = np.abs(pool.weight[rows])
    return rng.choice(rows, count, replace=False, p=size / size.sum())


def _summary(values: FloatArray, trained: float, events: Sequence[int]) -> FewLabelsMethod:
    """Return the median and the interval of AUCs [numbers, draws], and from which number on nearly all draws gain."""
    low, high = np.quantile(values, _LEVEL, axis=1)
    return FewLabelsMethod(np.median(values, axis=1), low, high, next(_gaining(low > trained, events), None))


def _gaining(better: NDArray[np.bool_], events: Sequence[int]) -> Iterator[int]:
    """Yield the numbers from which on the lower end of the interval is above the trained model."""
    for number, n in enumerate(events):
        if better[number:].all():
            yield n


def _refit(
    embedding: FloatArray, _: FloatArray, label: NDArray[np.bool_]
) -> Callable[[FloatArray, FloatArray], FloatArray]:
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=1.0 / embedding.shape[1], max_iter=1000).fit(embedding, label)
    return lambda rows, _: np.asarray(fitted.decision_function(rows), dtype=np.float64)


def _correction(
    embedding: FloatArray, logit: FloatArray, label: NDArray[np.bool_]
) -> Callable[[FloatArray, FloatArray], FloatArray]:
    """Fit what is added to the logit; scikit-learn's logistic regression takes no offset."""
    inputs = np.column_stack([embedding, np.ones(len(embedding))])
    sign = np.where(label, 1.0, -1.0)
    penalty = np.append(np.full(embedding.shape[1], float(embedding.shape[1])), 1.0)

    def loss(theta: FloatArray) -> tuple[float, FloatArray]:
        margin = sign * (logit + inputs @ theta)
        slope = -sign * expit(-margin)
        value = float(np.logaddexp(0.0, -margin).sum() + 0.5 * theta @ (penalty * theta))
        return value, inputs.T @ slope + penalty * theta

    theta = minimize(loss, np.zeros(inputs.shape[1]), jac=True, method="L-BFGS-B").x
    return lambda rows, logits: logits + rows @ theta[:-1] + theta[-1]


def _prototypes(
    embedding: FloatArray, _: FloatArray, label: NDArray[np.bool_]
) -> Callable[[FloatArray, FloatArray], FloatArray]:
    direction = unit_vectors(embedding[label].mean(axis=0)) - unit_vectors(embedding[~label].mean(axis=0))
    return lambda rows, _: unit_vectors(rows) @ direction


METHODS: dict[str, Fit] = {"correction": _correction, "refit": _refit, "prototypes": _prototypes}
"""The ways to a new last layer, by name."""
