"""Whether what was read can be trained on: events in every sample, both classes in every fold."""

from __future__ import annotations

import numpy as np

from hepda.config import AnalysisConfig, NetworkConfig
from hepda.errors import DataError
from hepda.events.dataset.samples import SampleSummary
from hepda.events.dataset.table import FeatureTable


def check_sample(summary: SampleSummary) -> None:
    """Raise DataError, with the cut flow, if the selection leaves nothing of a sample."""
    if summary.sums.entries > 0:
        return
    name = summary.name
    if summary.entries == 0:
        raise DataError(f"samples.{name}: its files have no entries; take the sample out or fill it.")
    steps = [f"{'all entries':<40} {summary.entries:>10}"]
    steps += [f"{cut[:40]:<40} {left:>10}" for cut, left in summary.cut_flow]
    flow = "\n  ".join(steps)
    raise DataError(
        f"samples.{name}: no event passes the selection. Events left, cut by cut:\n  {flow}\n"
        "Loosen the cut that empties it, or take the sample out."
    )


def check_table(config: AnalysisConfig, table: FeatureTable) -> None:
    """Raise DataError if a model could not be trained or judged on `table`."""
    for model in config.models:
        _check_classes(config, table, model)
        _check_domain(config, table, model)
    if config.negative_weights == "reject":
        _check_signs(config, table)


def _check_classes(config: AnalysisConfig, table: FeatureTable, model: str) -> None:
    """Both classes, with positive sums of weights, in every fold's training and validation events."""
    used = table.of_samples(config.training_samples(model))
    for label, name in ((1, "signal"), (0, "background")):
        of_class = used & (table.label == label)
        for fold in range(config.split.folds):
            for validation, part in ((False, "training"), (True, "validation")):
                rows = of_class & (table.fold == fold) & (table.validation == validation)
                if not rows.any():
                    raise DataError(
                        f"models.{model}: fold {fold} has no {name} among its {part} events "
                        f"({int(of_class.sum())} {name} events in all). Use fewer folds (`split.folds`), "
                        "another `split.validation`, a looser selection or more events."
                    )
        total = float(np.sum(table.weight, where=of_class))  # no copy of the weights
        if total <= 0:
            raise DataError(
                f"models.{model}: the weights of its {name} events add up to {total:.6g}: the negative ones "
                "outweigh the others. Look at `weight` and the sums of weights."
            )


def _check_domain(config: AnalysisConfig, table: FeatureTable, model: str) -> None:
    """Both sides of a domain head have events."""
    section = config.models[model]
    if not isinstance(section, NetworkConfig) or section.domain is None:
        return
    mask, side = table.columns[f"domain:{model}:mask"], table.columns[f"domain:{model}:side"]
    for index, name in enumerate(("source", "target")):
        for fold in range(config.split.folds):
            if not np.any(mask & (side == index) & (table.fold == fold)):
                raise DataError(
                    f"models.{model}.domain.{name}: no event is left in fold {fold} after `rows: "
                    f"{section.domain.rows}` and `selection: {section.domain.selection}`; loosen them."
                )


def _check_signs(config: AnalysisConfig, table: FeatureTable) -> None:
    """The policy `reject`: no event that a model trains on may have a negative weight."""
    for name in dict.fromkeys(n for model in config.models for n in config.training_samples(model)):
        negative = int((table.weight[table.of_samples([name])] < 0).sum())
        if negative:
            raise DataError(
                f"samples.{name}: {negative} events have negative weights and `negative_weights: reject` "
                "forbids them; choose keep, absolute or drop, or other samples."
            )
