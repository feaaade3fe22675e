"""Factors of models that reweight: the ratio that a run keeps, and what it gives to the events of any file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hepda.baselines.reweighting import FittedRatio, WeightedEvents
from hepda.config.refinement.analysis import RefinementConfig
from hepda.config.refinement.methods import WeightsConfig
from hepda.errors import ConfigError, SourceError
from hepda.events.dataset.plan import make_plan
from hepda.events.dataset.splits import PARTS, part_of
from hepda.events.expressions.columns import Column
from hepda.events.files.in_memory import ENTRY
from hepda.events.files.opening import Tree
from hepda.events.refinement.samples import FileEvents, in_memory
from hepda.events.resolve import dataset_spec
from hepda.events.table.feature_table import FeatureTable
from hepda.runtime.run_directory import MODELS

FACTOR, WEIGHT = "refinement_factor", "refinement_weight"
"""Branches of a refined file: the factor of each event, and its weight by the analysis file times the factor."""


def ratio_folder(run: Path, model: str) -> Path:
    """Return where a run keeps the ratio of a model."""
    return run / MODELS / model


def ratio_inputs(config: RefinementConfig, section: WeightsConfig, table: FeatureTable) -> WeightedEvents:
    """Return what a ratio reads of the events of a table: the features of the model, and the part of each event."""
    features = config.analysis.features
    columns = [features.index(name) for name in section.features or features]
    part = part_of(table.key, PARTS).astype(np.int64)
    return WeightedEvents(np.ascontiguousarray(table.features[:, columns]), table.weight, part)


@dataclass(frozen=True, slots=True, eq=False)
class EventFactors:
    """Factors for the events of files, selected or not.

    Args:
        config: the analysis.
        section: the model.
        ratio: of the run.

    """

    config: RefinementConfig
    section: WeightsConfig
    ratio: FittedRatio

    @classmethod
    def of_run(cls, config: RefinementConfig, run: Path, model: str) -> EventFactors:
        """Read the ratio of a model. Raises ConfigError if its method has no format, SourceError if it is missing."""
        section = config.models[model]
        if not isinstance(section, WeightsConfig):
            raise TypeError(f"{model} has no factors")
        if section.method != "classifier":
            raise ConfigError(f"models.{model}: factors of {section.method} are not kept; take `method: classifier`.")
        return cls(config, section, FittedRatio.load(ratio_folder(run, model)))

    def names(self, tree: Tree, sample: str) -> tuple[str, ...]:
        """Return the branches that features, selection and weight of a file need, by the names of its sample.

        Raises:
            ExpressionError: one of them names a branch that the file does not have.
            SourceError: the file has a branch of the name of a new one.

        """
        for name in (FACTOR, WEIGHT):
            if name in tree.names:
                raise SourceError(f"{tree.path}: has a branch {name!r} already; it may be refined and weighted.")
        return self._file(tree, sample, {}, np.zeros(0, np.uint64)).plan.branches

    def columns(
        self, tree: Tree, sample: str, columns: Mapping[str, Column], key: NDArray[np.uint64]
    ) -> dict[str, Column]:
        """Return the two new branches of events, in their order.

        The ratio was learned of selected events; the factor of others is 1.

        Args:
            tree: the open file.
            sample: the sample whose variables and weight are used.
            columns: of the refined events, by the names that `names` returns.
            key: of the events [n].

        """
        file = self._file(tree, sample, columns, key)
        table, factor = file.table(), np.ones(len(key))
        factor[table.columns[ENTRY].astype(np.int64)] = self.ratio(ratio_inputs(self.config, self.section, table))
        weight = file.members(0).weight
        return {FACTOR: Column(factor), WEIGHT: Column(weight * factor)}

    def _file(self, tree: Tree, sample: str, columns: Mapping[str, Column], key: NDArray[np.uint64]) -> FileEvents:
        """Return the events as those of a sample without its own selection, and without normalisation."""
        spec = dataset_spec(self.config.analysis)
        plan = make_plan(spec)
        of_file = plan.for_sample(sample, tree.branches, tree.path, tree.refused)
        whole = replace(of_file, cuts=of_file.cuts[len(plan.own_cuts.get(sample, ())) :])
        return FileEvents(spec, sample, tree.path, in_memory(whole), 1.0, columns, key)
