"""The regions of a fit as columns of the table: which events they take, and whether a fit of them is possible."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config.events.systematics import FreeSystematic
from hepda.errors import ConfigError
from hepda.events.dataset.inputs import open_inputs
from hepda.events.dataset.plan import make_plan
from hepda.events.dataset.reading import Report, read_rows
from hepda.events.dataset.skipped_files import Skips
from hepda.events.expressions.parser import needed_names
from hepda.events.specs import DatasetSpec, RegionSpec
from hepda.events.table.feature_table import FeatureTable

Mask = NDArray[np.bool_]


def selected(region: RegionSpec, table: FeatureTable) -> Mask:
    """Return the mask [n] of the events that pass the selection of a region; a largest output is not looked at."""
    if region.selection is None:
        return np.ones(len(table), dtype=np.bool_)
    return np.asarray(table.columns[region.mask_column] != 0)


def overlaps(spec: DatasetSpec, table: FeatureTable) -> Iterator[str]:
    """Yield a line for each two fitted regions that have events in common.

    Regions of different largest outputs have none, and neither have those on the two sides of a working point. Events
    of all samples are counted.

    Args:
        spec: the regions.
        table: the events, with the columns of the regions.

    """
    for first, second in combinations([region for region in spec.regions.values() if region.fitted], 2):
        if first.excludes(second):
            continue
        common = int(np.count_nonzero(selected(first, table) & selected(second, table)))
        if common:
            yield (
                f"fit.regions: {first.name} and {second.name} have {common} events in common, which would count twice "
                "in the fit; exclude one in the `selection` of the other, or give one of them `role: validation`."
            )


def unusable(spec: DatasetSpec, table: FeatureTable) -> Iterator[str]:
    """Yield a line for each region without the events that its role needs, and for each free rate without a region.

    Args:
        spec: the regions and systematics.
        table: the events, with the columns of the regions.

    """
    nominal = spec.domains[0]
    simulated = table.of_domain(nominal) & (table.label >= 0)
    for region in spec.regions.values():
        if not region.is_part:  # what is true of all events is no fault of the region
            continue
        path, inside = f"fit.regions.{region.name}", simulated & selected(region, table)
        if not inside.any():
            yield f"{path}: is empty: no simulated event of {nominal} passes its selection; loosen it."
            continue
        signal = float(np.sum(table.weight, where=inside & (table.label == 1)))
        if region.role == "signal" and not signal > 0:
            yield (
                f"{path}: has `role: signal` and {signal:.3g} expected signal events; loosen its selection, or make it "
                "`role: control`."
            )
    fitted = [selected(region, table) for region in spec.regions.values() if region.fitted]
    in_fit = np.logical_or.reduce(fitted) if fitted else np.zeros(len(table), dtype=np.bool_)
    for name, section in spec.systematics.sections.items():
        if not isinstance(section, FreeSystematic):
            continue
        if not np.any(in_fit & table.of_samples(section.samples)):
            yield (
                f"systematics.{name}: no fitted region has events of {', '.join(section.samples)}, so nothing "
                "constrains this free rate; add a region that has, or take the rate out."
            )


def read_region_columns(spec: DatasetSpec, table: FeatureTable, report: Report) -> FeatureTable:
    """Return the events with the columns of all regions, read from the files again; features are not needed.

    Args:
        spec: the samples and regions.
        table: the events of scores.parquet.
        report: called as by `read_rows`.

    Raises:
        HepdaError: as `load_table`; ConfigError if the files have other events than the table.

    """
    columns: dict[str, NDArray[Any]] = {name: np.zeros(len(table)) for name in spec.region_columns}
    plan = make_plan(spec)
    for sample in spec.samples:
        files = []
        for file in open_inputs(spec, plan, sample, Skips(spec)):
            original = file.plan
            weights = [] if original.weight is None else [original.weight]
            of_regions = [expression for region in original.regions for expression in region.expressions]
            needed = [*original.cuts, *weights, *plan.stitched_to(sample).values(), *of_regions]
            # `physical` is computed from the weight, not read.
            branches = tuple(sorted(needed_names(needed, original.variables) & set(original.branches)))
            lean = replace(original, features=(), columns={}, domains={}, targets={}, branches=branches)
            files.append(replace(file, plan=lean))
        rows = np.flatnonzero(table.of_samples([sample]))
        read = read_rows(spec, plan, sample, files, report).rows
        keys = np.concatenate([np.zeros(0, np.uint64), *(part.key for part in read)])
        if not np.array_equal(keys, table.key[rows]):
            raise ConfigError(
                f"the events of {sample} that the analysis file reads now are not those of scores.parquet: files have "
                "changed. Train again."
            )
        for name, values in columns.items():
            values[rows] = np.concatenate([np.zeros(0), *(part.columns[name] for part in read)])
    return replace(table, columns={**table.columns, **columns})
