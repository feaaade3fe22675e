"""All samples of a run: as they are, refined by each model, and the factors of models that reweight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hepda.baselines.reweighting import FittedRatio, density_ratio
from hepda.config.refinement.analysis import PairConfig, RefinementConfig
from hepda.config.refinement.methods import WeightsConfig
from hepda.errors import DataError
from hepda.events.dataset.plan import make_plan
from hepda.events.files.in_memory import ENTRY
from hepda.events.refinement.factors import ratio_folder, ratio_inputs
from hepda.events.refinement.jobs import LearningEvents
from hepda.events.refinement.judging import PairEvents, Score, Weighted
from hepda.events.refinement.objects import FlatJets, jet_tensors
from hepda.events.refinement.refiners import joined, read_refiners, refined_jets, refined_table
from hepda.events.refinement.response import JetTensors
from hepda.events.refinement.samples import SampleEvents, read_sample
from hepda.events.refinement.training import Side
from hepda.events.resolve import dataset_spec
from hepda.events.table.feature_table import FeatureTable
from hepda.runtime.pool import Send

Floats = NDArray[np.float64]


@dataclass(slots=True, eq=False)
class RefinedEvents:
    """The samples of all pairs.

    samples: by name; tables: their selected events as they are; refined: the names of samples that are refined, in the
    order of the rows of scores.
    """

    config: RefinementConfig
    samples: Mapping[str, SampleEvents]
    tables: Mapping[str, FeatureTable]
    refined: tuple[str, ...]
    _tables_of: dict[tuple[str, str], FeatureTable] = field(default_factory=dict)

    @classmethod
    def read(cls, config: RefinementConfig, progress: Send) -> RefinedEvents:
        """Read all samples.

        Raises:
            SourceError: a file or a branch is missing.
            ExpressionError: a feature or the selection cannot be formed.
            DataError: a number is not finite, objects are no lists, or a fold has too few events.

        """
        spec, pairs = dataset_spec(config.analysis), list(config.pairs.values())
        refined = tuple(dict.fromkeys(name for pair in pairs for name in (pair.source, pair.signal) if name))
        targets = dict.fromkeys(name for pair in pairs for name in (pair.target, pair.signal_target) if name)
        plan, samples = make_plan(spec), {}
        names = [*refined, *(name for name in targets if name not in refined)]
        for number, name in enumerate(names, 1):
            samples[name] = read_sample(spec, plan, config.objects, name, refined=name in refined)
            progress("samples", number, len(names))
        tables = {name: joined([file.table() for file in sample.files], sample) for name, sample in samples.items()}
        for name, table in tables.items():
            for fold in range(config.analysis.split.folds):
                if not table.weight[table.fold == fold].sum() > 0.0:
                    raise DataError(f"samples.{name}: fold {fold} has no positive sum of weights after the selection.")
        return cls(config, samples, tables, refined)

    def lines(self) -> list[str]:
        """Return the events and the yield of each sample, a line each."""
        return [
            f"{name}: {len(self.samples[name].weight)} events, {len(table)} selected, yield {table.weight.sum():.4g}"
            for name, table in self.tables.items()
        ]

    def entries(self, sample: str) -> int:
        """Return the number of entries of a sample's files, which are the rows of scores."""
        return sum(len(file.key) for file in self.samples[sample].files)

    # ---- what models learn from ----

    def learned_from(self) -> tuple[LearningEvents, LearningEvents]:
        """Return source and target of the training."""
        pair = self.config.learn
        return self._learning(pair.source), self._learning(pair.target)

    def _learning(self, name: str) -> LearningEvents:
        sample, table = self.samples[name], self.tables[name]
        jets = [
            jet_tensors(file.columns, self.config.objects, file.path, members.entry)
            for file, members in zip(sample.files, sample.members, strict=True)
        ]
        side = Side(_stacked(jets), torch.tensor(sample.weight).float())
        return LearningEvents(side, sample.fold, table.features, table.weight, table.fold)

    # ---- what models make of the samples ----

    def table(self, run: Path, model: str, sample: str) -> FeatureTable:
        """Return the selected events of a sample after a model, which are computed once."""
        section = self.config.models[model]
        changing = section.of if isinstance(section, WeightsConfig) else model
        if self.config.models[changing].kind == "unchanged":
            return self.tables[sample]
        place = changing, sample
        if place not in self._tables_of:
            self._tables_of[place] = refined_table(self.config, run, changing, self.samples[sample])
        return self._tables_of[place]

    def factors(self, run: Path, model: str) -> Floats:
        """Return the factor of a model on the weight of each row; NaN for an event that is not selected after it.

        A ratio that is learned for it is kept in the run, for `hepda apply`.
        """
        tables = {name: self.table(run, model, name) for name in self.refined}
        section = self.config.models[model]
        of_selected = {name: np.ones(len(table)) for name, table in tables.items()}
        if isinstance(section, WeightsConfig):
            ratio = self._ratio(section, tables[self.config.learn.source])
            if section.method == "classifier":  # hep_ml's models have no format
                ratio.save(ratio_folder(run, model))
            of_selected = {name: ratio(ratio_inputs(self.config, section, table)) for name, table in tables.items()}
        rows = []
        for name, table in tables.items():
            row = np.full(self.entries(name), np.nan)
            row[table.columns[ENTRY].astype(np.int64)] = of_selected[name]
            rows.append(row)
        return np.concatenate(rows)

    def _ratio(self, section: WeightsConfig, source: FeatureTable) -> FittedRatio:
        """Return the ratio of the target of the training over `source`, its simulation after a model."""
        sides = [ratio_inputs(self.config, section, t) for t in (source, self.tables[self.config.learn.target])]
        return density_ratio(*sides, method=section.method, clip=section.clip, seed=self.config.seed).fitted

    def jets(self, run: Path, model: str | None, sample: str, *, selected: str | None) -> FlatJets:
        """Return the jets of a sample after a model, in the events that are selected after the model `selected`.

        Args:
            run: the run directory.
            model: a model that changes objects; None: as they are.
            sample: the sample.
            selected: the same, or another model; None: the events that are selected as they are.

        """
        table = self.tables[sample] if selected is None else self.table(run, selected, sample)
        entry, start, parts = table.columns[ENTRY].astype(np.int64), 0, []
        for file in self.samples[sample].files:
            jets = jet_tensors(file.columns, self.config.objects, file.path)
            if model is not None:
                jets = refined_jets(self.config, model, read_refiners(self.config, run, model), jets, file.key)
            of_file = (entry >= start) & (entry < start + len(file.key))
            parts.append(FlatJets.of(jets.rows(torch.tensor(entry[of_file] - start)), table.weight[of_file]))
            start += len(file.key)
        return FlatJets.joined(parts)

    # ---- what is judged ----

    def score(self, run: Path) -> Score | None:
        """Return the classifier of the closure, of the simulation as it is; None if the training has no signal."""
        learn = self.config.learn
        if learn.signal is None:
            return None
        background, signal = (Weighted.of(self.tables[name]) for name in (learn.source, learn.signal))
        return Score(background, signal, self.config.evaluation, self.config.seed)

    def pair(self, run: Path, model: str, pair: PairConfig, factors: NDArray[Any]) -> PairEvents:
        """Return a pair as a model has it; `factors` [n] of all rows."""
        starts = dict(zip(self.refined, np.cumsum([0, *map(self.entries, self.refined)]), strict=False))

        def refined(name: str) -> Weighted:
            table = self.table(run, model, name)
            rows = starts[name] + table.columns[ENTRY].astype(np.int64)
            return Weighted.of(table, np.asarray(factors, dtype=np.float64)[rows])

        return self._pair(pair, refined)

    def as_it_is(self, pair: PairConfig) -> PairEvents:
        """Return a pair without any refinement."""
        return self._pair(pair, lambda name: Weighted.of(self.tables[name]))

    def _pair(self, pair: PairConfig, refined: Any) -> PairEvents:
        signal = signal_target = None
        if pair.signal is not None and pair.signal_target is not None:
            signal, signal_target = refined(pair.signal), Weighted.of(self.tables[pair.signal_target])
        return PairEvents(refined(pair.source), Weighted.of(self.tables[pair.target]), signal, signal_target)


def _stacked(parts: list[JetTensors]) -> JetTensors:
    """Return the events of several files as one, padded to the largest number of jets."""
    width = max(part.pt.shape[1] for part in parts)
    of_jets = {
        name: torch.cat([_widened(getattr(part, name), width, 1.0 if name == "pt" else 0.0) for part in parts])
        for name in ("present", "pt", "eta", "phi", "mass", "tag", "known")
    }
    return JetTensors(**of_jets, met=torch.cat([part.met for part in parts]))


def _widened(values: torch.Tensor, width: int, fill: float) -> torch.Tensor:
    """Return [n, j, ...] with `fill` for further jets up to `width`."""
    missing = values.new_full((len(values), width - values.shape[1], *values.shape[2:]), fill)
    return torch.cat([values, missing], dim=1)
