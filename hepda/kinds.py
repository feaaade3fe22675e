"""What a kind of data provides to the workflows, and the registry of kinds; `kind:` of the analysis file names one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar

from hepda.errors import ConfigError, HepdaError
from hepda.runtime.pool import Send

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hepda.config import AnyConfig
    from hepda.number_format import Table
    from hepda.plotting.comparison import ComparisonPanel
    from hepda.report.drawing import FigureTexts
    from hepda.results.metrics import RunMetrics
    from hepda.runtime.jobs import TrainingJob, TrainingResult
    from hepda.runtime.resources import Resources
    from hepda.runtime.terminal import NumberTable

    Scores = Mapping[str, NDArray[Any]]

Metrics = TypeVar("Metrics", bound="RunMetrics")
"""The type of metrics.json of a kind of data."""
Loaded = TypeVar("Loaded")

Histories = Mapping[str, Sequence[Mapping[str, Sequence[float | None]]]]
"""Of each model, the history of each of its trainings."""

KINDS = {
    "conversion": "hepda.speech.conversion.kind:ConversionKind",
    "enhancement": "hepda.speech.enhancement.kind:EnhancementKind",
    "events": "hepda.events.kind:EventsKind",
    "frames": "hepda.generators.frames.kind:FramesKind",
    "generator": "hepda.generators.kind:GeneratorKind",
    "images": "hepda.images.kind:ImagesKind",
    "refinement": "hepda.events.refinement.kind:RefinementKind",
    "speech": "hepda.speech.kind:SpeechKind",
    "tabular": "hepda.tabular.kind:TabularKind",
}
"""The registry of kinds of data, `module:class`; the module is imported when an analysis file names the kind."""
OF_EVENTS = {"generator": "hepda.events.generation.kind:EventGeneratorKind"}
"""The same of kinds whose rows may be events, for files with an `analysis` of these."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What numbers and figures are made with, besides the data and the scores.

    run: the run directory, with the trained models; training: the entries of the models in metrics.json;
    histories, best_epochs: of every training of each model; processes: how many work in parallel.
    """

    run: Path
    training: Mapping[str, dict[str, Any]]
    histories: Histories
    best_epochs: Mapping[str, Sequence[int]]
    processes: int
    progress: Send = field(compare=False)


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """The trainings of a model before anything is read.

    trainings: their number; rows: source and target rows that one training sees in all epochs, None: unknown; widths:
    of the layers of a network, None: of no network of columns; epochs: at most, None: none.
    """

    name: str
    kind: str
    trainings: int
    rows: float | None = None
    widths: tuple[int, ...] | None = None
    epochs: int | None = None


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """What a training would read, a line each, and its models; note: what the numbers of rows mean."""

    reads: Sequence[str]
    models: Sequence[PlannedModel]
    note: str = ""


@dataclass(frozen=True, slots=True)
class FinishedRun(Generic[Metrics]):
    """A finished run that is compared with others: folder, numbers, manifest.json, resolved config and kind of data."""

    name: str
    folder: Path
    metrics: Metrics
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]
    kind: KindOf[Metrics]


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Several runs of one kind of data: tables by section of the report, and the panels of one figure, row by row.

    title, caption: of the figure; with_luminosity: whether the figure states it.
    """

    tables: dict[str, list[Table]]
    panels: Sequence[Sequence[ComparisonPanel]]
    title: str = "All runs compared"
    caption: str = "Every model in every run, with the intervals of the tables."
    with_luminosity: bool = False


def loaded(value: Loaded | None, problem: str) -> Loaded:
    """Return what `load` of a kind has read. Raises RuntimeError, with the problem, if it has not been called."""
    if value is None:
        raise RuntimeError(problem)
    return value


class KindOf(ABC, Generic[Metrics]):
    """The data of one analysis: loaded, given to trainings, and evaluated.

    Scores are arrays by model; the kind defines what a row of them is.
    """

    metrics_type: type[Metrics]
    """The type of metrics.json."""
    heavy: ClassVar[tuple[str, ...]] = ()
    """Modules that the processes of a run need, imported once for all of them while the data are read."""
    sections: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Sections of the report whose word and question differ from those of the page."""

    def check(self, progress: Send, *, every_file: bool = False) -> tuple[list[str], list[str]]:
        """Check the data without training; return lines about them, and the problems that prevent a training.

        every_file: of each sample, not only the first. Raises HepdaError for what the analysis file itself gets wrong.
        A kind that has no shorter check reads everything.
        """
        try:
            return self.load(progress), []
        except HepdaError as error:
            return [], str(error).split("\n")

    def planned(self) -> PlannedRun | None:
        """Return what a training would read and train, without reading any data; None: only the models are known."""
        return None

    @abstractmethod
    def load(self, progress: Send, resources: Resources | None = None) -> list[str]:
        """Read and check everything; return lines for the user. Nothing is trained if this raises HepdaError.

        resources: memory, cluster and cache, of which a kind uses what it needs.
        """

    @abstractmethod
    def contents(self) -> Iterable[tuple[str, NDArray[Any]]]:
        """Return all that the data contain, as named parts; a finished run is evaluated only with the same content.

        A part whose name begins with `fingerprint.OPTIONAL` may come and go with a key of the analysis file.
        """

    def made_of(self) -> str | None:
        """Return a name of the files that were read, in their state, and of the keys that read them; None if there is
        none.
        """
        return None

    @abstractmethod
    def jobs(self, run: Path, work: Path, device: str) -> Sequence[TrainingJob]:
        """Return all trainings; write their input into `work`."""

    @abstractmethod
    def combine(self, results: Sequence[TrainingResult], run: Path) -> dict[str, NDArray[Any]]:
        """Return the scores of each model from those of its trainings; `run` gets what fusions of models learn."""

    @abstractmethod
    def saved_scores(self, run: Path) -> dict[str, NDArray[Any]]:
        """Return the scores of scores.parquet. Raises ConfigError if they are not those of the data that are loaded."""

    @abstractmethod
    def score_columns(self, scores: Scores) -> dict[str, Any]:
        """Return the columns of scores.parquet."""

    @abstractmethod
    def files(self) -> Any:
        """Return the `files` of manifest.json: what was read."""

    @abstractmethod
    def measure(self, scores: Scores, context: RunContext) -> Metrics:
        """Return all numbers of a run: metrics.json, which begins with `hepda.results.metrics.head`."""

    @abstractmethod
    def figures(self, scores: Scores, context: RunContext) -> FigureTexts:
        """Return the data of every figure, after `measure`; what is drawn of them, and when, is not of the kind."""

    def held_out(self) -> tuple[str, ...]:
        """Return the domains that nothing is trained on; every evaluation of them is counted as a look."""
        return ()

    def parallel_trainings(self, processes: int) -> int:
        """Return how many trainings fit into the memory at once, at most `processes`."""
        return processes

    def check_models(self, run: Path) -> dict[str, str]:
        """Compare the files of the trained models with the analysis file: which there must be, inputs, shapes.

        Returns:
            By path within the run, what is wrong with a file, "" for nothing; empty if a kind compares nothing.

        """
        return {}

    def warnings(self) -> list[str]:
        """Return the warnings at the top of the report."""
        return []

    def notes(self) -> list[str]:
        """Return what is not shown on purpose, as text."""
        return []

    def next_step(self, run: Path) -> str:
        """Return what to do after a training in `run`, a line for the terminal; empty for nothing."""
        return ""

    def labels(self) -> Mapping[str, str]:
        """Return what figures and LaTeX call samples, by name."""
        return {}

    @abstractmethod
    def conclusions(self, metrics: Metrics) -> list[str]:
        """Return the conclusions from the numbers, a sentence each."""

    @abstractmethod
    def tables(self, metrics: Metrics) -> dict[str, list[Table]]:
        """Return the tables of the report, by section."""

    @abstractmethod
    def terminal(self, metrics: Metrics) -> NumberTable:
        """Return the table that the terminal shows at the end of a run."""

    @abstractmethod
    def comparison(self, runs: Sequence[FinishedRun[Metrics]], merged: Metrics) -> RunComparison:
        """Return what several runs of this kind show together.

        Args:
            runs: the runs.
            merged: the models of all runs, each under its name and that of its run.

        """

    def file_differences(self, first: FinishedRun[Metrics], run: FinishedRun[Metrics]) -> list[str]:
        """Return in which files a run differs from the first one, a sentence each; here part by part of `files`."""
        before, now = (r.manifest["files"] for r in (first, run))
        if not isinstance(before, dict) or not isinstance(now, dict):
            raise TypeError("`files` are not those of this kind of data")
        parts = [part for part, content in before.items() if now.get(part) != content]
        return [f"{part.replace('_', ' ')}: read from other files." for part in parts]


Kind: TypeAlias = KindOf[Any]
"""Any kind of data."""


def kind_of(config: AnyConfig) -> Kind:
    """Return the kind of data that an analysis file names, which has loaded nothing yet."""
    if config.kind not in KINDS:
        raise ConfigError(f"kind: {config.kind!r} cannot be trained; there are {', '.join(KINDS)}.")
    of_events = config.kind in OF_EVENTS and hasattr(config, "analysis")
    make: Any = _class_at(OF_EVENTS[config.kind]) if of_events else kind_class(config.kind)
    kind: Kind = make(config)
    return kind


def kind_class(name: str) -> type[Kind]:
    """Return the class of a kind of data by its name in the registry."""
    return _class_at(KINDS[name])


def _class_at(place: str) -> type[Kind]:
    module, class_name = place.split(":")
    kind: type[Kind] = getattr(import_module(module), class_name)
    return kind


def metrics_types() -> list[type[RunMetrics]]:
    """Return the type of metrics.json of every kind of data."""
    return [_class_at(place).metrics_type for place in (*KINDS.values(), *OF_EVENTS.values())]
