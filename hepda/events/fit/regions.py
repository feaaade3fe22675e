"""The events of the regions of a fit for one model: which they are, their variable, and its bins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepda.errors import ConfigError, DataError
from hepda.evaluation.arrays import histogram
from hepda.evaluation.fits.binning import automatic_edges
from hepda.events.dataset.regions import selected
from hepda.events.specs import Cut, ModelSpec, RegionSpec
from hepda.events.table.feature_table import FeatureTable
from hepda.results.evaluation import FloatArray

Array = NDArray[Any]
Events = tuple[Array, Array]
"""Variable and weight [n] of the events of a region."""
_FINE = 50
"""Bins of the events for each bin that is chosen of them."""
_FEWEST_CHOOSING = 5.0
"""Effective background events that choose a bin, at least: with fewer, its purity is noise."""


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """What a model says about events: its score [n] in [0, 1], and its other outputs [n] by name.

    classes: those whose probabilities are among the outputs as p_<class>, in the order of the softmax; signals: those
    of them that are signal; cuts: the thresholds of the working points of the model, by name; numbers: outputs that are
    predictions of other models, which predict a number.
    """

    model: str
    score: Array
    further: Mapping[str, Array]
    classes: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    cuts: Mapping[str, Cut] = field(default_factory=dict)
    numbers: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: ModelSpec, columns: Mapping[str, Array], numbers: Iterable[str] = ()) -> Outputs:
        """Return the outputs of a model from the columns of scores.parquet.

        A model with one score has the probabilities of both classes of an analysis of two.

        Args:
            model: the model.
            columns: scores by column, `m` and `m.<output>` for a model `m`.
            numbers: models whose predictions are the variables of regions.

        """
        own = cls._of_model(model, columns)
        predictions = {name: columns[name] for name in numbers}
        return replace(own, further={**own.further, **predictions}, numbers=tuple(predictions))

    @classmethod
    def _of_model(cls, model: ModelSpec, columns: Mapping[str, Array]) -> Outputs:
        score = columns[model.name]
        signals = model.grouping.signal
        labels = {f"p_{name}": columns[f"{model.name}.p_{name}"] for name in model.event_labels}
        if model.classes:
            names = [column.removeprefix(f"{model.name}.") for column in model.columns[1:]]
            further = {name: columns[f"{model.name}.{name}"] for name in names}
            return cls(model.name, score, further, model.classes, signals, model.cuts)
        if len(model.grouping.names) == 2 and len(signals) == 1:
            first, second = model.grouping.names  # the signal comes first
            further = {f"p_{first}": score, f"p_{second}": 1 - score} | labels
            return cls(model.name, score, further, model.grouping.names, signals, model.cuts)
        return cls(model.name, score, labels, cuts=model.cuts)

    def named(self, name: str, where: str) -> Array:
        """Return an output [n].

        Raises:
            ConfigError: the model has no such output.

        """
        if name == "score":
            return self.score
        if name not in self.further:
            raise ConfigError(
                f"{where}: the model {self.model} has no output {name!r}; it has {', '.join(('score', *self.further))}."
                " Fit other models (--models), or choose another variable."
            )
        return self.further[name]

    def passes(self, point: str, where: str) -> NDArray[np.bool_]:
        """Return whether events pass a named working point of the model [n].

        Raises:
            ConfigError: the model has no such working point, or no threshold could be chosen for it.

        """
        if point not in self.cuts:
            known = f"; it has {', '.join(self.cuts)}" if self.cuts else ""
            raise ConfigError(
                f"{where}: the model {self.model} has no threshold of the working point {point!r}{known}. Fit other "
                "models (--models), or see models.<model>.thresholds of metrics.json for why none was chosen."
            )
        cut = self.cuts[point]
        output = self.score if cut.output == self.model else self.further[cut.output.removeprefix(f"{self.model}.")]
        return np.asarray(np.asarray(output, dtype=np.float64) >= cut.threshold)


def in_region(region: RegionSpec, table: FeatureTable, outputs: Outputs) -> tuple[NDArray[np.bool_], Array]:
    """Return the mask [n] of the events of a region, and its variable [n], for one model.

    Args:
        region: the region.
        table: the events, with the columns of the region.
        outputs: what the model says about them.

    Raises:
        ConfigError: the model does not have the class, the output or the working point.

    """
    path = f"fit.regions.{region.name}"
    inside = selected(region, table)
    if region.largest is not None:
        if region.largest not in outputs.classes:
            raise ConfigError(
                f"{path}.largest: the model {outputs.model} has no class {region.largest!r}"
                + (f"; it has {', '.join(outputs.classes)}." if outputs.classes else ", only a score.")
                + " Fit other models (--models)."
            )
        inside = inside & _is_largest(outputs, region.largest)
    for point in region.passes:
        inside = inside & outputs.passes(point, f"{path}.passes")
    for point in region.fails:
        inside = inside & ~outputs.passes(point, f"{path}.fails")
    if region.is_output:
        return inside, outputs.named(region.variable, f"{path}.variable")
    return inside, table.columns[region.variable_column]


def _is_largest(outputs: Outputs, class_name: str) -> NDArray[np.bool_]:
    """Return whether a class has the largest probability of each event [n]; of equal ones the first counts."""
    number = outputs.classes.index(class_name)
    probability, largest = outputs.further[f"p_{class_name}"], np.ones(len(outputs.score), dtype=np.bool_)
    for other, name in enumerate(outputs.classes):
        if other != number:
            of_other = outputs.further[f"p_{name}"]
            largest &= probability > of_other if other < number else probability >= of_other
    return largest


def edges_of(
    region: RegionSpec, outputs: Outputs, value: Array, label: Array, weight: Array, *, choosing: Array
) -> FloatArray:
    """Return the edges [b + 1] of a region: the given ones, or chosen from a part of these events.

    Bins of a signal region are ordered in purity, if they are of an output that rises with it
    (`hepda.evaluation.fits.binning`); all others contain equal shares of the background.

    Args:
        region: the region.
        outputs: those of the model.
        value: the variable [n] of the events of the region's templates.
        label: 1 signal, 0 background [n].
        weight: signed weights [n].
        choosing: which of the events choose the bins [n].

    Raises:
        DataError: not even one bin has enough effective background events.

    """
    if not isinstance(region.bins, int):
        return np.asarray(region.bins, dtype=np.float64)
    floor = _floor_on_choosing(region.min_n_eff, weight[label == 0], choosing[label == 0])
    value, label, weight = value[choosing], label[choosing], weight[choosing]
    falling = {f"p_{name}" for name in outputs.classes if name not in outputs.signals}
    rises = region.is_output and region.variable not in (*falling, *outputs.numbers)
    if region.role == "signal" and rises:
        return automatic_edges(value, label, weight, max_bins=region.bins, min_n_eff=floor)
    return shared_edges(value[label == 0], weight[label == 0], max_bins=region.bins, min_n_eff=floor)


def _floor_on_choosing(min_n_eff: float, weight: Array, choosing: Array) -> float:
    """Return the n_eff that a bin needs among the choosing background events to have `min_n_eff` in the template.

    n_eff grows in proportion to the number of events. The floor is met in expectation, not in the template itself: a
    bin that ends where the template reaches a floor ends at an upward fluctuation of it.
    """
    total = float(np.sum(np.square(weight, dtype=np.float64)))
    share = float(np.sum(np.square(weight[choosing], dtype=np.float64))) / total if total > 0 else 1.0
    return max(min_n_eff * share, min(_FEWEST_CHOOSING, min_n_eff))


def shared_edges(value: ArrayLike, weight: ArrayLike, *, max_bins: int, min_n_eff: float) -> FloatArray:
    """Return edges [b + 1] of at most `max_bins` bins with about equal shares of the weights, from the top down.

    Args:
        value: the variable [n].
        weight: signed weights [n].
        max_bins: largest number of bins.
        min_n_eff: smallest effective number of events in a bin.

    Raises:
        DataError: not even one bin has enough effective events.

    """
    values, weights = np.asarray(value, dtype=np.float64), np.asarray(weight, dtype=np.float64)
    if not len(values):
        raise DataError("no background is left on which bins could be chosen; use more events")
    quantiles = np.linspace(0, 1, _FINE * max_bins + 1)
    fine = np.unique(np.sort(values)[(quantiles * (len(values) - 1)).astype(np.intp)])
    fine = np.append(fine, np.nextafter(fine[-1], np.inf)) if len(fine) == 1 else fine
    sumw, sumw2 = histogram(values, weights, fine)
    total, above = float(sumw.sum()), 0.0
    kept, inside = [len(fine) - 1], np.zeros(2)
    for index in range(len(fine) - 2, -1, -1):
        inside += sumw[index], sumw2[index]
        above += sumw[index]
        # Half of a fine bin: a share that is all but complete is one, so that nothing is left over at the low end.
        reached = above >= total * (len(kept) / max_bins - 0.5 / (_FINE * max_bins))
        if reached and inside[0] > 0 and inside[0] ** 2 >= min_n_eff * inside[1]:
            kept.append(index)
            inside = np.zeros(2)
    if len(kept) == 1:
        raise DataError(
            f"no bin reaches a background n_eff of {min_n_eff:g} (all events: "
            f"{total**2 / float(sumw2.sum()):.3g}); lower the floor or use more events"
        )
    kept[-1] = 0  # what is left over belongs to the lowest bin
    return fine[kept[::-1]]
