"""A finished run as an object: scores and history as frames, numbers as types, figures and models by name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hepda.api.figures import RunPlots
from hepda.config import load_any
from hepda.errors import ConfigError, nearest
from hepda.export.finished_run import ExportedRun, read_run
from hepda.results.fit_file import FitFile
from hepda.results.metrics import RunMetrics
from hepda.runtime import run_directory

if TYPE_CHECKING:
    import pandas as pd

    from hepda.api.models import RunModels
    from hepda.number_format import Table
    from hepda.results.events import EventMetrics

_TRAINING = re.compile(r"(?P<model>.+)-fold(?P<fold>\d+)-member(?P<member>\d+)")


def load(run: str | Path) -> Run:
    """Return a finished run: the directory that `hepda train` made.

    Args:
        run: the run directory, such as `runs/tth`.

    Raises:
        ConfigError: it is not one of a finished run, its files are damaged, or a newer hepda wrote it.

    Example:
        run = hepda.load("runs/tth")
        run.scores.groupby("sample")["dann"].mean()
        run.plot.roc("third", ax=ax)

    """
    return Run(run)


class Run:
    """A finished run. Everything is read when it is asked for, once; nothing is written.

    Args:
        path: the run directory.

    Attributes:
        path: the run directory.
        plot: the figures by name, `run.plot.roc(ax=ax)`; `dir(run.plot)` lists them.

    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            hint = nearest(self.path.name, [p.name for p in self.path.absolute().parent.glob("*") if p.is_dir()])
            raise ConfigError(f"{self.path}: there is no such run directory.{hint}")
        self._read: ExportedRun = read_run(self.path)
        self.plot = RunPlots(self.path)

    @property
    def name(self) -> str:
        """Return the name of the analysis."""
        return self._read.metrics.name or self.path.name

    @property
    def kind(self) -> str:
        """Return the kind of data: events, tabular, images, speech, enhancement, conversion, generator or frames."""
        return str(self.config.kind)

    @cached_property
    def config(self) -> Any:
        """Return the analysis file with all defaults, typed (`hepda.config`)."""
        return load_any(self.path / "config.yaml")

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Return manifest.json: files that were read, versions, seed, device, checksums."""
        return run_directory.read_manifest(self.path)

    @property
    def metrics(self) -> RunMetrics:
        """Return the numbers of metrics.json, typed (`hepda.results`): `run.metrics.models["dann"].auc`."""
        return self._read.metrics

    @property
    def fit(self) -> FitFile | None:
        """Return the results of `hepda fit`, typed; None if the run was not fitted."""
        return self._read.fit

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Return the events of the run with their scores, a row for each.

        For collider events the columns are: key (hash of what identifies an event, see `join`), the numbers themselves
        (`split.key` of the analysis file: run and event; int64; runs of an earlier hepda do not have them), sample and
        domain (categories), fold (of the trainings that did not see the event and made its scores), weight (physical,
        with its sign), label (1 signal, 0 background, -1 data), the score of each model or the number that it
        predicts, of one of several classes also `m.p_<class>` and `m.<discriminant>`, the columns of the regions of the
        fit, and `target:m`, the number that a model m shall predict, NaN for events without it.

        Raises:
            ConfigError: there is no scores.parquet, or it cannot be read.

        """
        frame: pd.DataFrame = run_directory.read_scores(self.path).to_pandas()
        return frame

    @cached_property
    def history(self) -> pd.DataFrame:
        """Return a row for each epoch of each training: model, fold, member, epoch, and every quantity; NaN if it was
        not measured.

        Raises:
            ConfigError: history.csv is missing or damaged.

        """
        import pandas as pd

        parts = []
        for training, columns in run_directory.read_history(self.path / "history.csv").items():
            frame = pd.DataFrame(columns, dtype=float)
            match = _TRAINING.fullmatch(training)
            about: dict[str, Any] = match.groupdict() if match else {"model": training, "fold": 0, "member": 0}
            frame.insert(0, "epoch", range(1, len(frame) + 1))
            for place, (name, value) in enumerate(about.items()):
                frame.insert(place, name, value if name == "model" else int(value))
            parts.append(frame)
        return (
            pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["model", "fold", "member", "epoch"])
        )

    @cached_property
    def working_points(self) -> pd.DataFrame:
        """Return a row for each named working point of each model: what it is chosen for, and its threshold.

        The columns are output, selects, objective, threshold, value, low, high (the objective on events that did not
        choose, with its interval) and value_on_choosing_events (too good by construction); NaN where there is none.

        Raises:
            ConfigError: the run is not of collider events.

        """
        self._of_events("only events have working points")
        from hepda.api import points

        return points.frame_of(cast("EventMetrics", self.metrics))

    @property
    def passes(self) -> pd.DataFrame:
        """Return which events of `scores` pass which working points: a column `<model>_<point>` for each, bool.

        Raises:
            ConfigError: the run is not of collider events, or has no scores.parquet.

        """
        self._of_events("only events have working points")
        from hepda.api import points

        return points.passes(self.path, self.scores)

    @property
    def models(self) -> RunModels:
        """Return the trained models by name, as estimators: `run.models["dann"].predict_proba(frame)`, or `predict` of
        a model that predicts a number.

        Raises:
            ConfigError: the run is not of collider events.

        """
        self._of_events("its models are networks of `hepda.adversarial.Network.load`, in the folder models/")
        from hepda.api.models import RunModels

        names = list(self.config.models)
        return RunModels(self.path, names, [name for name in names if name not in self.config.classifiers])

    def features(self, events: Any, sample: str | None = None) -> pd.DataFrame:
        """Return what the models read of any events, formed by the expressions of the analysis.

        Args:
            events: branches by name: a frame of pandas, an awkward array or a mapping of columns; or files: a path,
                glob, folder or URL, or several.
            sample: the sample whose tree, aliases and variables are used; None: that which lists the file, or those of
                the analysis.

        Returns:
            The selected events, indexed by their entry in the file: the columns that identify them, and the features.

        Raises:
            ConfigError: the run is not of collider events, or has no such sample.
            SourceError: a file or a branch is missing.
            DataError: a feature is not a finite number.

        """
        self._of_events("only events have expressions")
        from hepda.api import events as module

        return module.features(self.path, events, sample)

    def score(self, events: Any, sample: str | None = None) -> pd.DataFrame:
        """Return the scores of all models for any events, out of fold, as `hepda apply` writes them.

        Arguments and errors are those of `features`.

        Returns:
            The selected events, indexed by their entry in the file: the columns that identify them, fold, scores, and
            `pass_<model>_<point>` for each working point.

        """
        self._of_events("score them by their own models")
        from hepda.api import events as module

        return module.scores(self.path, events, sample)

    def join(
        self, frame: pd.DataFrame, sample: str | None = None, on: Sequence[str] | Mapping[str, str] | None = None
    ) -> pd.DataFrame:
        """Return a frame of events with the scores of this run added as columns, by run and event number.

        Args:
            frame: has columns of integers that identify an event.
            sample: the sample of these events, if several samples have the same numbers; None: all samples.
            on: which of the numbers that identify an event (`split.key` of the analysis file) the frame has; a mapping
                gives the name of the column of the frame for each, `{"event": "EventNumber"}`. None: all of them, by
                their own names.

        Returns:
            The same rows in the same order; scores of events that are not in the run are missing.

        Raises:
            ConfigError: the run is not of collider events, or has no such sample, or no numbers to join by.
            DataError: a column is missing, or the numbers do not tell the events of the run apart.

        """
        self._of_events("their rows are not identified by run and event number")
        from hepda.api import events as module

        saved = self.scores
        if sample is not None:
            if sample not in self.config.samples:
                raise ConfigError(f"{self.path}: has no sample {sample!r}.{nearest(sample, self.config.samples)}")
            saved = saved[saved["sample"] == sample]
        return module.joined(self.path, saved, frame, on)

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the tables of the report by name, as text with errors; all digits are in `metrics`."""
        return {name: _frame(table) for name, table in self._read.tables().items()}

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Return the table that the terminal shows at the end of a run: a row for each model."""
        import pandas as pd

        table = self._read.kind.terminal(self.metrics)
        return pd.DataFrame(table.rows, columns=list(table.head)).set_index(table.head[0])

    @property
    def conclusions(self) -> list[str]:
        """Return the conclusions from the numbers, a sentence each."""
        return self._read.kind.conclusions(self.metrics)

    @property
    def report(self) -> Path:
        """Return the path of the report."""
        return self.path / "report.html"

    def _of_events(self, why: str) -> None:
        if self.kind != "events":
            raise ConfigError(f"{self.path}: is a run of {self.kind}, not of collider events; {why}.")

    def __repr__(self) -> str:
        fitted = ", fitted" if self.fit is not None else ""
        head = f"<Run {self.name!r} of {self.kind} in {self.path}{fitted}>"
        return f"{head}\n{self.summary.to_string()}"

    def _repr_html_(self) -> str:
        said = "".join(f"<li>{escape(line)}</li>" for line in self.conclusions)
        return (
            f"<p><b>{escape(self.name)}</b>, {escape(self.kind)}, <code>{escape(str(self.path))}</code>: "
            f"{len(self.scores)} rows, {len(self.plot)} figures</p>{self.summary.to_html()}<ul>{said}</ul>"
        )


def _frame(table: Table) -> pd.DataFrame:
    """Return a table of the report as a frame of texts, indexed by its first column."""
    import pandas as pd

    rows = [[cell.text for cell in row] for row in table.rows]
    return pd.DataFrame(rows, columns=list(table.head)).set_index(table.head[0])
