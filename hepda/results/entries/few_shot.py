"""Entries of metrics.json about classes that no training saw, told apart from few labelled examples of each."""

from __future__ import annotations

from collections.abc import Mapping

from hepda.results.record import Measured, Record


class FewShotMethodEntry(Record):
    """models.<model>.few_shot.<domain>.<shots>.methods.<method>: the mean of episodes and trainings."""

    accuracy: Measured
    difference: Measured | None = None
    """To cosine prototypes, on the same episodes; absent for these."""


class FewShotEntry(Record):
    """models.<model>.few_shot.<domain>.<shots>: shots are the labelled examples of each class."""

    ways: int
    """Classes in an episode; chance is 1 / ways."""
    methods: Mapping[str, FewShotMethodEntry]
    dealt: Mapping[str, FewShotMethodEntry]
    """The same after the classes were dealt at random to the examples, so that nothing is known of them."""
