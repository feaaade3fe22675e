"""Samples that overlap, counted once: the weight of an event uses the luminosities of all samples that cover it."""

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
    """The factors of a group's samples, and the generated events that each of them covers.

    A single sample s would have the factor f_s = L / L_s, where L_s is the luminosity that corresponds to its sum of
    weights. Where several samples cover an event, the sum of their luminosities counts: f = 1 / sum_s 1 / f_s, the same
    for the events of each of them. With f_s, events that two samples cover would count twice.
    """

    sample: str
    factors: Mapping[str, float]
    covers: Mapping[str, Expression]

    def factor(self, evaluator: Evaluator, path: str, entries: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the factors from the weight expression to the physical weight, [n].

        Args:
            evaluator: evaluates the conditions on the events.
            path: the file, for messages.
            entries: the entries of the events in the file, [n].

        Raises:
            DataError: the sample, by its own condition, could not have made an event, or a condition is missing in one.

        """
        inverse = np.zeros(len(entries))
        for name, condition in self.covers.items():
            covered, gone = evaluator.truth(condition)
            if gone is not None and gone.any():
                entry = int(entries[np.flatnonzero(gone)[0]])
                raise DataError(
                    f"{condition.what} ({condition.text}): is missing in {int(gone.sum())} events of {self.sample}, "
                    f"first in entry {entry} of {path}, so their weight is not known. Cut these events away, or give "
                    "what is missing a value by default()."
                )
            if name == self.sample and not covered.all():
                entry = int(entries[np.flatnonzero(~covered)[0]])
                raise DataError(
                    f"{condition.what} ({condition.text}): does not hold in {int((~covered).sum())} events of this "
                    f"very sample, first in entry {entry} of {path}. It must hold in all events of {name}."
                )
            inverse += np.where(covered, 1.0 / self.factors[name], 0.0)
        return 1.0 / inverse
