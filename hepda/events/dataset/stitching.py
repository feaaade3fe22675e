"""Samples that overlap, counted once: an event weighs with the luminosities of all samples that could have made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hepda.errors import DataError
from hepda.events.expressions.evaluator import Evaluator
from hepda.events.expressions.parser import Expression


@dataclass(frozen=True, slots=True)
class Stitching:
    """The factors of a group's samples, and which generated events each of them covers.

    A sample s alone would have the factor f_s = L / L_s, where L_s is the luminosity that its sum of weights is worth.
    Where several cover an event, they are worth the sum of their luminosities together: f = 1 / sum_s 1 / f_s, the same
    for the events of each of them. With f_s alone, what two samples cover would count twice.
    """

    sample: str
    factors: Mapping[str, float]
    covers: Mapping[str, Expression]

    def factor(self, evaluator: Evaluator, path: str, entries: NDArray[np.int64]) -> NDArray[np.float64]:
        """Factors from the weight expression to the physical weight, [n].

        Raises DataError for an event that the sample, by its own condition, could not have made.
        """
        inverse = np.zeros(len(entries))
        for name, condition in self.covers.items():
            covered = evaluator.condition(condition)
            if name == self.sample and not covered.all():
                entry = int(entries[np.flatnonzero(~covered)[0]])
                raise DataError(
                    f"{condition.what} ({condition.text}): does not hold in {int((~covered).sum())} events of this "
                    f"very sample, first in entry {entry} of {path}. It must hold wherever {name} has events."
                )
            inverse += np.where(covered, 1.0 / self.factors[name], 0.0)
        return 1.0 / inverse
