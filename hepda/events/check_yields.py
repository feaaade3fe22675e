"""Expected events of each process in each region of the fit, for `hepda check`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config.events.eras import process_name
from hepda.events.dataset.regions import selected
from hepda.events.dataset.samples import effective_number
from hepda.events.domains.spec import Domains
from hepda.events.specs import DatasetSpec, RegionSpec
from hepda.events.table.feature_table import FeatureTable

Mask = NDArray[np.bool_]
WHOLE = "all"
"""Name of the only region of an analysis without `fit`: all selected events."""


@dataclass(frozen=True, slots=True)
class WeightedYield:
    """Events of a process in a region: their number, the sum of their weights and of its squares."""

    events: int
    sumw: float
    sumw2: float

    @property
    def n_eff(self) -> float:
        """Effective number of events."""
        return effective_number(self.sumw, self.sumw2)


@dataclass(frozen=True, slots=True)
class ProcessYield:
    """A process of the nominal domain in one region, and in the other simulated domains (None: it is not there)."""

    process: str
    class_name: str
    is_signal: bool
    nominal: WeightedYield
    others: dict[str, WeightedYield | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RegionYields:
    """All processes in one region.

    points: working points that it asks for; data: events of data by domain, empty while data are blinded.
    """

    region: str
    role: str
    largest: str | None
    points: tuple[str, ...]
    processes: tuple[ProcessYield, ...]
    data: dict[str, int] = field(default_factory=dict)

    def total(self, *, signal: bool) -> WeightedYield:
        """Return the sum of the processes of signal, or of all others."""
        parts = [p.nominal for p in self.processes if p.is_signal == signal]
        return WeightedYield(sum(p.events for p in parts), sum(p.sumw for p in parts), sum(p.sumw2 for p in parts))


def region_yields(spec: DatasetSpec, domains: Domains, table: FeatureTable) -> list[RegionYields]:
    """Return the expected events of each process of the nominal domain in each region.

    The outputs of a model are not known before the training: a region that asks for the largest one, or for a working
    point, has here all events of its selection.

    Args:
        spec: the samples and the regions; without regions, all selected events are one.
        domains: which processes of other domains are the same, and whether data are blinded.
        table: the events, with the columns of the regions.

    """
    processes = _processes(spec, domains.nominal)
    others = [name for name in domains.names if name not in (domains.nominal, *domains.data)]
    counterparts = {other: _counterparts(domains, other) for other in others}
    shown = () if domains.hidden is not None else domains.data
    regions = spec.regions.values() or (RegionSpec(WHOLE),)
    result = []
    for region in regions:
        inside = selected(region, table)
        rows = []
        for name, samples in processes.items():
            class_name = str(spec.classes.of_sample[samples[0]])
            in_others = {
                other: None if (same := counterparts[other].get(samples)) is None else _yield(table, same, inside)
                for other in others
            }
            is_signal = class_name in spec.classes.signal
            rows.append(ProcessYield(name, class_name, is_signal, _yield(table, samples, inside), in_others))
        data = {name: int(np.count_nonzero(table.of_domain(name) & inside)) for name in shown}
        points = (*region.passes, *region.fails)
        result.append(RegionYields(region.name, region.role, region.largest, points, tuple(rows), data))
    return result


def _processes(spec: DatasetSpec, nominal: str) -> dict[str, tuple[str, ...]]:
    """Return the samples of each simulated process of the nominal domain; stitched samples are one process."""
    stitched = {sample: group for group, members in spec.stitched.items() for sample in members}
    groups: dict[str, tuple[str, ...]] = {}
    for name, sample in spec.samples.items():
        if sample.domain == nominal and sample.class_ is not None:
            process = process_name(name, sample, stitched.get(name))
            groups[process] = (*groups.get(process, ()), name)
    return groups


def _counterparts(domains: Domains, other: str) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Return the samples of another domain by those of the nominal domain of which they are the same process."""
    return {
        source: samples
        for (domain, _), entry in domains.counterparts.items()
        for source, samples in entry.processes.values()
        if domain == other
    }


def _yield(table: FeatureTable, samples: tuple[str, ...], inside: Mask) -> WeightedYield:
    weight: NDArray[Any] = table.weight[inside & table.of_samples(samples)]
    return WeightedYield(len(weight), float(weight.sum()), float(np.dot(weight, weight)))
