"""A kind of data is one file, this one, and a line of each registry: of analysis files, and of what reads and trains.

The toy: coins that are thrown; a model is the share of heads, a training counts those of the throws it may see.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import Field

from hepda import kinds
from hepda.cli import main
from hepda.config import kinds as config_kinds
from hepda.config.base import BaseConfig
from hepda.config.models import TrainingConfig
from hepda.config.section import Name, Section
from hepda.errors import ConfigError
from hepda.kinds import FinishedRun, KindOf, RunComparison, RunContext
from hepda.number_format import Cell as TableCell
from hepda.number_format import Quantity, Table
from hepda.plotting.comparison import ComparisonPanel, Measurement
from hepda.report.drawing import FigureTexts
from hepda.results.metrics import ModelMetrics, RunMetrics, head
from hepda.runtime import run_directory
from hepda.runtime.jobs import TrainingJob, TrainingOutput, TrainingResult
from hepda.runtime.resources import Resources
from hepda.runtime.terminal import NumberTable, number_table

Scores = Mapping[str, NDArray[Any]]


class CoinModel(Section):
    """How heads are counted."""

    prior: float = 0.0
    """Throws of each side that are added."""


class CoinsConfig(BaseConfig):
    """An analysis of coins."""

    name: Name
    kind: Literal["coins"]
    throws: Annotated[int, Field(ge=1)] = 100
    models: Annotated[dict[Name, CoinModel], Field(min_length=1)]
    training: TrainingConfig = TrainingConfig(processes=1)
    seed: int = 1

    def problems(self) -> Iterator[str]:
        """Yield nothing."""
        yield from ()


@dataclass(frozen=True, slots=True)
class CoinJob(TrainingJob):
    """The share of heads."""

    config: CoinsConfig = field(kw_only=True)

    def train(self, progress: Callable[[int, int], None]) -> TrainingOutput:
        heads = np.load(self.table / "heads.npy")
        prior = self.config.models[self.model].prior
        share = (heads.sum() + prior) / (len(heads) + 2 * prior)
        self.folder.mkdir(parents=True, exist_ok=True)
        run_directory.write_json(self.folder / f"{self.stem}.json", {"share": share})
        return np.array([share], np.float32), {"seconds": 1e-3, "rows_per_second": 1.0, "epochs": 1, "alarms": []}, {}


class CoinsModelMetrics(ModelMetrics):
    """models.<model> of coins."""

    heads: float


class CoinsMetrics(RunMetrics):
    """metrics.json of coins."""

    throws: int = 0
    models: Mapping[str, CoinsModelMetrics] = Field(default_factory=dict)


class CoinsKind(KindOf[CoinsMetrics]):
    """Coins. Scores: [1], the share of heads."""

    metrics_type = CoinsMetrics

    def __init__(self, config: CoinsConfig) -> None:
        self.config = config

    def heads(self) -> NDArray[np.bool_]:
        return np.random.default_rng(self.config.seed).random(self.config.throws) < 0.7

    def check(self, progress: Any, *, every_file: bool = False) -> tuple[list[str], list[str]]:
        return [f"{self.config.throws} throws"], []

    def load(self, progress: Any, resources: Resources | None = None) -> list[str]:
        return []

    def contents(self) -> Iterable[tuple[str, NDArray[Any]]]:
        yield "heads", self.heads()

    def jobs(self, run: Path, work: Path, device: str) -> Sequence[TrainingJob]:
        (work / "table").mkdir(parents=True, exist_ok=True)
        np.save(work / "table" / "heads.npy", self.heads())
        table, config = work / "table", self.config
        return [CoinJob(config.seed, model, 0, 0, table, run, work, device, config=config) for model in config.models]

    def combine(self, results: Sequence[TrainingResult], run: Path) -> dict[str, NDArray[Any]]:
        return {result.model: result.score for result in results}

    def saved_scores(self, run: Path) -> dict[str, NDArray[Any]]:
        saved = run_directory.read_scores(run, dict.fromkeys(self.config.models, "f"))
        return {model: saved[model].to_numpy() for model in self.config.models}

    def score_columns(self, scores: Scores) -> dict[str, Any]:
        return dict(scores)

    def files(self) -> Any:
        return {}

    def measure(self, scores: Scores, context: RunContext) -> CoinsMetrics:
        models = {m: {"heads": float(s[0]), "training": context.training[m]} for m, s in scores.items()}
        content = {**head(self.config), "throws": self.config.throws, "models": models}
        return CoinsMetrics.from_json(run_directory.plain(content))

    def figures(self, scores: Scores, context: RunContext) -> FigureTexts:
        return FigureTexts([], [])

    def conclusions(self, metrics: CoinsMetrics) -> list[str]:
        return [f"{name}: heads in {model.heads:.0%} of throws." for name, model in metrics.models.items()]

    def tables(self, metrics: CoinsMetrics) -> dict[str, list[Table]]:
        rows = [[TableCell(name, name), Quantity(model.heads).cell()] for name, model in metrics.models.items()]
        return {"summary": [Table("Shares", ["Model", "Heads"], rows)]}

    def terminal(self, metrics: CoinsMetrics) -> NumberTable:
        return number_table(metrics.name, *self.tables(metrics)["summary"])

    def comparison(self, runs: Sequence[FinishedRun[CoinsMetrics]], merged: CoinsMetrics) -> RunComparison:
        shares = {(name, run.name): Measurement(m.heads) for run in runs for name, m in run.metrics.models.items()}
        return RunComparison(self.tables(merged), [[ComparisonPanel("Heads", shares)]])


ANALYSIS = "name: coins\nkind: coins\nthrows: 400\nmodels: {plain: {}, fair: {prior: 1000}}\n"


def test_a_toy_kind_is_trained_evaluated_compared_and_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "coins.yaml").write_text(ANALYSIS)
    train = ["train", "--config", str(tmp_path / "coins.yaml"), "--output"]
    assert main([*train, str(tmp_path / "run")]) == 2
    assert "'coins' is no kind of data" in capsys.readouterr().err
    monkeypatch.setitem(config_kinds.KINDS, "coins", CoinsConfig)
    monkeypatch.setitem(kinds.KINDS, "coins", f"{__name__}:CoinsKind")
    assert main(["check", "--config", str(tmp_path / "coins.yaml")]) == 0
    for run in ("run", "other"):
        assert main([*train, str(tmp_path / run)]) == 0
    metrics = run_directory.read_json(tmp_path / "run" / "metrics.json")
    assert metrics["kind"] == "coins" and metrics["models"]["plain"]["heads"] == pytest.approx(0.7, abs=0.07)
    assert 0.5 < metrics["models"]["fair"]["heads"] < 0.55
    assert "plain: heads in" in (tmp_path / "run" / "report.html").read_text()
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    assert run_directory.read_json(tmp_path / "run" / "metrics.json") == metrics
    runs = [str(tmp_path / run) for run in ("run", "other")]
    assert main(["compare", *runs, "--output", str(tmp_path / "page.html")]) == 0
    assert main(["export", runs[0], "--format", "csv", "--output", str(tmp_path / "csv")]) == 0
    assert (tmp_path / "csv" / "shares.csv").read_text().startswith("Model,Heads\nplain,0.")


def test_a_kind_that_is_not_registered_is_named_with_those_that_are() -> None:
    names = "conversion, enhancement, events, frames, generator, images, refinement, speech, tabular"
    with pytest.raises(ConfigError, match=f"'coins' cannot be trained; there are {names}"):
        kinds.kind_of(CoinsConfig(name="coins", kind="coins", models={"plain": CoinModel()}))  # type: ignore[arg-type]
