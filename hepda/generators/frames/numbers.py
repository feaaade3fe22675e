"""From the metrics of test sequences to the numbers of metrics.json; arrays in, plain values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.evaluation.variance import spread
from hepda.generators.numbers import with_seeds

Array = NDArray[Any]
LEAST = 2  # seeds that an interval needs


def quality(metrics: Sequence[str], score: Array) -> dict[str, dict[str, Any]]:
    """Return each metric of a model: the mean over test sequences, its 95 % interval over seeds, and each seed.

    Args:
        metrics: their names.
        score: [members, sequences, metrics]; NaN where one has no value, which is in no mean.

    """
    return {
        name: with_seeds([float(value) for value in np.nanmean(score[:, :, m], axis=1)])
        for m, name in enumerate(metrics)
    }


def differences(metrics: Sequence[str], scores: Mapping[str, Array]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the differences of each model to those before it, by model, other model and metric.

    Two models with several seeds are paired by seed, which is the same draw of sequences; else sequences are paired,
    after the mean over the seeds.

    Args:
        metrics: their names.
        scores: of each model, [members, sequences, metrics].

    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for number, (model, score) in enumerate(scores.items()):
        for other, before in list(scores.items())[:number]:
            by_seed = min(len(score), len(before)) >= LEAST
            pairs = np.nanmean(score - before, axis=1 if by_seed else 0)  # [pairs, metrics]
            found.setdefault(model, {})[other] = {
                name: {
                    "difference": spread(pairs[np.isfinite(pairs[:, m]), m].tolist()),
                    "paired": "seeds" if by_seed else "sequences", "number": int(np.isfinite(pairs[:, m]).sum()),
                }
                for m, name in enumerate(metrics)
            }  # fmt: skip
    return found
