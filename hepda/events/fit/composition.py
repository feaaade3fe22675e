"""The processes of pseudo-data: their rates, with which the free rates of a fit are compared, and which events are of
which process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.evaluation.fits.channels import POI, SampleTemplate
from hepda.events.domains.counterparts import CLASS_NAMES
from hepda.events.domains.spec import Domains
from hepda.events.specs import SystematicsSpec
from hepda.events.table.feature_table import FeatureTable

Array = NDArray[Any]
Mask = NDArray[np.bool_]
Rate = tuple[float, float]
"""A factor on the prediction of the templates, and its error by the finite pseudo-data."""


def true_rates(
    domain: str,
    regions: Sequence[tuple[Mask, Mapping[str, SampleTemplate]]],
    table: FeatureTable,
    specs: tuple[Domains, SystematicsSpec],
    true_class: Array | None = None,
) -> dict[str, Rate]:
    """Return by how much the yields of a domain in the fitted regions differ from the templates, by free rate.

    Without an entry are rates of which it is not known which events of the domain are of their processes.

    Args:
        domain: the domain of the pseudo-data.
        regions: of each fitted region, the mask [n] of its events and its templates by sample.
        table: the events.
        specs: the domains, and what is uncertain in the templates.
        true_class: index of the class [n] of each event, known for pseudo-data too; -1 where it is not. None: unknown.

    """
    rates: dict[str, Rate] = {}
    names = dict.fromkeys(s.rate for _, samples in regions for s in samples.values() if s.rate is not None)
    for rate in names:
        if rate.startswith(POI) and any(s.signal for _, samples in regions for s in samples.values() if s.rate == rate):
            continue  # a strength, which the pseudo-data are made with
        expected = sumw = sumw2 = 0.0
        for inside, samples in regions:
            scaled = [sample.name for sample in samples.values() if sample.rate == rate]
            if not scaled:
                continue
            events = _events_of(domain, scaled, table, specs, true_class)
            if events is None:
                break
            weight = table.weight[events & inside]
            expected += float(sum(samples[name].sumw.sum() for name in scaled))
            sumw, sumw2 = sumw + float(weight.sum()), sumw2 + float(np.sum(weight**2))
        else:
            rates[rate] = (sumw / expected, float(np.sqrt(sumw2)) / expected)
    return rates


def events_by_process(
    domain: str,
    used: tuple[Mask, Mask],
    table: FeatureTable,
    specs: tuple[Domains, SystematicsSpec],
    true_class: Array | None = None,
) -> dict[str, tuple[tuple[str, ...], Mask]]:
    """Return the samples of the templates and the events [n] of a domain's pseudo-data by process.

    Where only the classes of the events are known, it is by class; empty if these are not known either.

    Args:
        domain: the domain of the pseudo-data.
        used: masks [n] of their events, and of those among them that are borrowed from the nominal domain.
        table: the events.
        specs: the domains, and what is uncertain in the templates.
        true_class: index of the class [n] of each event, known for pseudo-data too; -1 where it is not. None: unknown.

    """
    _, systematics = specs
    every, borrowed = used
    for names in (systematics.processes, systematics.classes.of_sample):
        groups: dict[str, list[str]] = {}
        for sample in systematics.templates:
            groups.setdefault(names.get(sample) or sample, []).append(sample)
        found: dict[str, tuple[tuple[str, ...], Mask]] = {}
        for name, samples in groups.items():
            events = _events_of(domain, samples, table, specs, true_class)
            if events is None:
                events = borrowed & table.of_samples(samples)
            found[name] = tuple(samples), events & every
        if np.array_equal(np.sum([events for _, events in found.values()], axis=0), every):
            return found
    return {}


def _events_of(
    domain: str,
    samples: Sequence[str],
    table: FeatureTable,
    specs: tuple[Domains, SystematicsSpec],
    true_class: Array | None,
) -> Mask | None:
    """Return the events [n] of a domain that are of the processes of nominal samples; None if it is not known."""
    domains, systematics = specs
    if domain == domains.nominal:
        return table.of_samples(samples)
    of_domain = table.of_domain(domain)
    pairs = [
        pair
        for name in CLASS_NAMES
        for pair in domains.counterparts_of(domain, name).processes.values()
        if set(pair[0]) & set(samples)
    ]
    if pairs and {sample for nominal, _ in pairs for sample in nominal} == set(samples):
        return of_domain & table.of_samples([sample for _, others in pairs for sample in others])
    classes = systematics.classes
    named = {classes.of_sample.get(sample) for sample in samples}
    whole = all(s in samples for s in systematics.templates if classes.of_sample.get(s) in named)
    if true_class is None or not whole or np.any(true_class[of_domain] < 0):
        return None
    return of_domain & np.isin(true_class, [classes.names.index(name) for name in named if name is not None])
