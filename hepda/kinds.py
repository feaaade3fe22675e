"""What a kind of data provides to the workflows, and the registry of kinds; `kind:` of the analysis file names one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hepda.errors import ConfigError
from hepda.runtime.processes import Send

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hepda.config import AnyConfig
    from hepda.number_format import Table
    from hepda.report.page import NotDrawn, ReportFigure
    from hepda.runtime.jobs import TrainingJob, TrainingResult
    from hepda.runtime.resources import Resources
    from hepda.runtime.terminal import NumberTable

    Scores = Mapping[str, NDArray[Any]]

Histories = Mapping[str, Sequence[Mapping[str, Sequence[float | None]]]]
"""Of each model, the history of each of its trainings."""

KINDS = {
    "events": "hepda.events.kind:EventsKind",
    "images": "hepda.images.kind:ImagesKind",
    "speech": "hepda.speech.kind:SpeechKind",
    "tabular": "hepda.tabular.kind:TabularKind",
}
"""The registry of kinds of data, `module:class`; the module is imported when an analysis file names the kind."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What numbers and figures are made with, besides the data and the scores.

    run: the run directory, with the trained models; training: what metrics.json says of the training of each model;
    histories, best_epochs: of every training of each model; processes: side by side.
    """

    run: Path
    training: Mapping[str, dict[str, Any]]
    histories: Histories
    best_epochs: Mapping[str, Sequence[int]]
    processes: int
    progress: Send = field(compare=False)


class Kind(ABC):
    """The data of one analysis: loaded, given to trainings, judged and drawn.

    Scores are arrays by model; what a row of them is, the kind says.
    """

    heavy: ClassVar[tuple[str, ...]] = ()
    """Modules that the processes of a run need, imported once for all of them while the data are read."""
    sections: ClassVar[Mapping[str, tuple[str, str]] | None] = None
    """Sections of the report whose word and question differ from those for events."""
    own_tables: ClassVar[bool] = False
    """Whether runs are compared by `terminal` and `headline_metrics` (True), or by the domains of events."""

    @abstractmethod
    def check(self, progress: Send, *, every_file: bool = False) -> tuple[list[str], list[str]]:
        """Look at the data without training: lines of what was found, and problems for which none may be trained.

        every_file: of each sample, not only the first. Raises HepdaError for what the analysis file itself gets wrong.
        """

    @abstractmethod
    def load(self, progress: Send, resources: Resources | None = None) -> list[str]:
        """Read and check everything; lines to be told. Nothing is trained if this raises HepdaError.

        resources: memory, cluster and cache, of which a kind takes what it has use for.
        """

    @abstractmethod
    def contents(self) -> Iterable[tuple[str, NDArray[Any]]]:
        """All that the data contain, as parts with a name: a finished run is evaluated with the same content alone.

        A part whose name begins with `fingerprint.OPTIONAL` may come and go with a key of the analysis file.
        """

    def made_of(self) -> str | None:
        """Return a name of the files that were read, as they were, and of the keys they were read by; None: not
        known.
        """
        return None

    @abstractmethod
    def jobs(self, run: Path, work: Path, device: str) -> Sequence[TrainingJob]:
        """All trainings; leaves in `work` what they read."""

    @abstractmethod
    def combine(self, results: Sequence[TrainingResult]) -> dict[str, NDArray[Any]]:
        """Return the scores of each model from those of its trainings."""

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
    def measure(self, scores: Scores, judging: RunContext) -> dict[str, Any]:
        """metrics.json after its head: `samples`, `models` and whatever the kind adds."""

    @abstractmethod
    def draw(self, scores: Scores, judging: RunContext, folder: Path) -> list[ReportFigure | NotDrawn]:
        """Draw every figure into `folder`, PNG and PDF, after `measure`; returns them as the report takes them, and
        which could not be drawn.
        """

    def side_by_side(self, processes: int) -> int:
        """How many trainings the memory holds at once, of as many as there are processes."""
        return processes

    def warnings(self) -> list[str]:
        """Return the warnings at the top of the report."""
        return []

    def notes(self) -> list[str]:
        """Return what is not shown on purpose, as text."""
        return []

    @abstractmethod
    def conclusions(self, metrics: Mapping[str, Any]) -> list[str]:
        """Return what the numbers mean, a sentence each."""

    @abstractmethod
    def tables(self, metrics: Mapping[str, Any]) -> dict[str, list[Table]]:
        """Return the tables of the report, by section."""

    @abstractmethod
    def terminal(self, metrics: Mapping[str, Any]) -> NumberTable:
        """Return the table that the terminal shows at the end of a run."""

    def headline_metrics(self, metrics: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the numbers by which runs are compared, if `own_tables`: under the name of a number, with its unit,
        that of each model, as metrics.json has it (`value`, `low`, `high`).
        """
        return {}

    def headline_table(self, metrics: Mapping[str, Any]) -> Table:
        """Return the table of these numbers with their intervals, if `own_tables`."""
        raise NotImplementedError


def kind_of(config: AnyConfig) -> Kind:
    """Return the kind of data that an analysis file names, which has loaded nothing yet."""
    if config.kind not in KINDS:
        raise ConfigError(f"kind: {config.kind!r} cannot be trained; there are {', '.join(KINDS)}.")
    module, name = KINDS[config.kind].split(":")
    found: Kind = getattr(import_module(module), name)(config)
    return found
