"""Tables as a kind of data: what is loaded and trained, and the probabilities of classes that rows are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hepda.config.tabular import TabularConfig
from hepda.errors import ConfigError, HepdaError
from hepda.kinds import FinishedRun, KindOf, RunComparison, RunContext
from hepda.results.metrics import head
from hepda.results.tabular import DomainRowsEntry, TabularMetrics
from hepda.runtime import run_directory
from hepda.runtime.pool import Send
from hepda.runtime.resources import Resources
from hepda.runtime.terminal import NumberTable, number_table

if TYPE_CHECKING:
    from hepda.number_format import Table
    from hepda.report.drawing import FigureTexts
    from hepda.results.metrics import FusionEntry
    from hepda.runtime.jobs import TrainingResult
    from hepda.tabular.results import TableModelNumbers
    from hepda.tabular.table import DataTable
    from hepda.tabular.training import TableJob

Array = NDArray[Any]
_CONTENTS = ("row", "features", "label", "weight", "domain", "fold", "validation")


class TabularKind(KindOf[TabularMetrics]):
    """An analysis of a table. Scores: [n, classes], the probability of each class of each row."""

    metrics_type = TabularMetrics
    heavy = ("torch", "torch._dynamo", "hepda.adversarial", "hepda.tabular.training", "hepda.tabular.figures")
    sections: ClassVar[Mapping[str, tuple[str, str]]] = {
        "samples": ("Rows", "What was trained on what"),
        "separation": ("Classes", "How well are the classes separated?"),
        "domains": ("Domains", "What differs between the domains?"),
    }

    def __init__(self, config: TabularConfig) -> None:
        self.config = config
        self._table: DataTable | None = None
        self._files: dict[str, int] = {}
        self._warnings: list[str] = []
        self._numbers: dict[str, TableModelNumbers] = {}

    @property
    def table(self) -> DataTable:
        """The rows, after `load`."""
        if self._table is None:
            raise RuntimeError("the table has not been loaded")
        return self._table

    def check(self, progress: Send, *, every_file: bool = False) -> tuple[list[str], list[str]]:
        """Read everything: rows, classes and weights of each domain, or what is wrong with them."""
        try:
            warnings = self.load(progress)
        except HepdaError as error:
            return [], str(error).split("\n")
        table = self.table
        lines = [f"{len(table)} rows of {len(self._files)} files, {len(table.names)} inputs: {', '.join(table.names)}"]
        for domain, entry in self._samples().items():
            shares = ", ".join(f"{name} {count}" for name, count in entry.classes.items())
            lines.append(f"{domain} ({entry.role}): {entry.rows} rows; {shares or 'no labels'}")
        return [*lines, *warnings], []

    def load(self, progress: Send, resources: Resources | None = None) -> list[str]:
        """Read the files; tells what a reader has to know of them."""
        from hepda.tabular.table import load

        self._table, self._files, self._warnings = load(self.config, progress)
        return self._warnings

    def contents(self) -> Iterable[tuple[str, Array]]:
        """All columns of the table."""
        for name in _CONTENTS:
            yield name, getattr(self.table, name)

    def jobs(self, run: Path, work: Path, device: str) -> Sequence[TableJob]:
        """Every model, fold and member."""
        from hepda.tabular.training import jobs_of, write_table

        write_table(self.table, work / "table")
        return jobs_of(self.config, work / "table", run, work, device)

    def combine(self, results: Sequence[TrainingResult], run: Path) -> dict[str, Array]:
        """Return the mean probabilities of the members of each model, in the order of the rows; and of fusions."""
        from hepda.runtime.jobs import out_of_fold
        from hepda.tabular.training import fused_scores

        trained = dict.fromkeys(result.model for result in results)
        scores = {model: out_of_fold(results, model, self.table.fold) for model in trained}
        scores |= fused_scores(self.config, self.table, scores, run / run_directory.MODELS)
        return {model: scores[model] for model in self.config.models}

    def _columns(self, model: str) -> list[str]:
        """Return the columns of a model in scores.parquet."""
        return [f"{model}:{name}" for name in self.table.classes]

    def saved_scores(self, run: Path) -> dict[str, Array]:
        """As they stand in scores.parquet."""
        columns = {model: self._columns(model) for model in self.config.models}
        kinds = {"row": "iu"} | {name: "f" for names in columns.values() for name in names}
        saved, path = run_directory.read_scores(run, kinds), run / "scores.parquet"
        if not np.array_equal(saved["row"].to_numpy(), self.table.row):
            raise ConfigError(
                f"the rows that {run / 'config.yaml'} reads are not those of {path}: files have changed. Train again."
            )
        return {m: np.stack([saved[name].to_numpy() for name in names], axis=1) for m, names in columns.items()}

    def score_columns(self, scores: Mapping[str, Array]) -> dict[str, Any]:
        """Return a row for each row of the files that has a domain; a column for each model and class."""
        import pyarrow as pa

        table = self.table

        def named(codes: Array, names: Sequence[str]) -> Any:
            return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32(), mask=codes < 0), pa.array(list(names)))

        columns: dict[str, Any] = {
            "row": table.row,
            "label": named(table.label, table.classes),
            "domain": named(table.domain, table.domains),
            "fold": table.fold,
            "weight": table.weight,
        }
        for model, score in scores.items():
            columns |= dict(zip(self._columns(model), np.asarray(score, np.float32).T, strict=True))
        return columns

    def files(self) -> Any:
        """Return the files that were read, with their rows."""
        return dict(self._files)

    def _samples(self) -> dict[str, DomainRowsEntry]:
        """Return the entry `samples` of metrics.json."""
        table = self.table
        roles = ["source", *["target"] * table.targets, *["held out"] * (len(table.domains) - 1 - table.targets)]
        samples = {}
        for number, (domain, role) in enumerate(zip(table.domains, roles, strict=True)):
            rows = table.domain == number
            counts = {name: int((rows & (table.label == code)).sum()) for code, name in enumerate(table.classes)}
            samples[domain] = DomainRowsEntry(
                role=role,
                rows=int(rows.sum()),
                labelled=sum(counts.values()),
                sum_of_weights=float(table.weight[rows].sum()),
                classes={name: count for name, count in counts.items() if count},
            )
        return samples

    def measure(self, scores: Mapping[str, Array], context: RunContext) -> TabularMetrics:
        """Return accuracy, AUC, differences between domains, probes and calibration of every model."""
        from hepda.tabular.results import evaluate, model_metrics

        self._numbers = evaluate(self.config, self.table, scores, context.run)
        content = {
            **head(self.config),
            "baseline": self.config.baseline,
            "classes": list(self.table.classes),
            "features": list(self.table.names),
            "samples": self._samples(),
            "models": {
                model: model_metrics(self.config, model, numbers, context.training[model], self._fusion(model, context))
                for model, numbers in self._numbers.items()
            },
        }
        return TabularMetrics.from_json(run_directory.plain(content))

    def _fusion(self, model: str, context: RunContext) -> FusionEntry | None:
        """Return what a fusion has learned; None for a trained model."""
        from hepda.baselines.fusion import Fusion, entry_of, fusion_file

        if self.config.models[model].kind != "fusion":
            return None
        folds, folder = range(self.config.split.folds), context.run / run_directory.MODELS
        return entry_of([Fusion.load(fusion_file(folder, model, fold)) for fold in folds], self.table.classes)

    def figures(self, scores: Mapping[str, Array], context: RunContext) -> FigureTexts:
        """Return the data of every figure."""
        from hepda.report.drawing import texts_of
        from hepda.tabular.figures import TableFigureData, drawings

        figure_data = TableFigureData(
            self.config, self.table, scores, self._numbers, context.histories, context.best_epochs
        )
        return texts_of(drawings(figure_data))

    def warnings(self) -> list[str]:
        """Return what a reader has to know of the rows."""
        return self._warnings

    def conclusions(self, metrics: TabularMetrics) -> list[str]:
        """Return which model is best in each domain, and what adaptation gained."""
        from hepda.tabular.tables import conclusions

        return conclusions(metrics)

    def tables(self, metrics: TabularMetrics) -> dict[str, list[Table]]:
        """Return accuracy and AUC, rows, classes, differences, probes and trainings."""
        from hepda.tabular.tables import tables

        return tables(metrics)

    def terminal(self, metrics: TabularMetrics) -> NumberTable:
        """Return accuracy and AUC."""
        from hepda.tabular.tables import quality_table

        return number_table(metrics.name, quality_table(metrics))

    def comparison(self, runs: Sequence[FinishedRun[TabularMetrics]], merged: TabularMetrics) -> RunComparison:
        """Return the tables of all models, and a panel of the AUC in each domain with labels."""
        from hepda.plotting.comparison import ComparisonPanel, Measurement
        from hepda.tabular.tables import domains_of, tables

        panels = []
        for domain in domains_of(merged):
            places = {(name, run.name): m.auc.get(domain) for run in runs for name, m in run.metrics.models.items()}
            values = {
                place: Measurement(area.value, area.low, area.high)
                for place, area in places.items()
                if area is not None and area.value is not None
            }
            panels.append(ComparisonPanel(f"AUC, {domain}", values))
        return RunComparison(tables(merged), [panels])
