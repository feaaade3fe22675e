"""Entries of metrics.json about new last layers that were fitted to few labelled events of another domain."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from hepda.results.record import Measured, Number, Record


class FewLabelsMethodEntry(Record):
    """models.<model>.few_labels.methods.<method>."""

    needed: Number | None = None
    """Labelled events of each class from which on the interval is above the trained model; null: none of them."""
    auc: Mapping[str, Measured] = Field(default_factory=dict)
    """By number of labelled events of each class: median and 68 % of the draws."""


class FewLabelsEntry(Record):
    """models.<model>.few_labels: the AUC in another domain, with a last layer fitted to labelled events of it."""

    domain: str | None = None
    trained: Number | None = None
    """The AUC of the model as it was trained, on the same events."""
    methods: Mapping[str, FewLabelsMethodEntry] = Field(default_factory=dict)
    too_many: list[Number] = Field(default_factory=list)
    """Numbers that were asked for and are more events than there are."""
    why: str | None = None
