"""`hepda apply`: the scores of a run's models for every event of any files, as friends of their trees.

A friend has all the events of its file, in the same order: the branches that identify an event, `fold`, `selected`,
and `score_<model>` (NaN where the selection fails), for a model of several classes `score_<model>_p_<class>` and
`score_<model>_<discriminant>` too, `pass_<model>_<point>` for each working point of the analysis file (whether the
event passes its threshold; false where the selection fails), then all of these with `_<systematic>_<side>` behind them
for the shape systematics of the analysis. An event is scored by the trainings of its own fold, so an event that was
trained on gets the score of a model that did not see it.

Each finished file leaves a record in `.apply`. The same command continues an interrupted one: files whose record
fits the run, the input and the output are kept, all other files are written again.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config import AnalysisConfig, load_config
from hepda.errors import ConfigError, HepdaError
from hepda.events.dataset.splits import fold_of
from hepda.events.files.friend_trees import SUFFIX, TREE, branch_names, friend_file
from hepda.events.files.locations import expand, is_remote
from hepda.events.resolve import dataset_spec, model_specs, systematics_spec
from hepda.events.results.thresholds import passing_columns, with_cuts
from hepda.events.specs import ModelSpec
from hepda.events.table.feature_table import FeatureTable
from hepda.events.training.friends import EventSpan, FriendFile, inspect_file, sample_for, shapes, spans
from hepda.events.training.scoring import score_table
from hepda.runtime import exchange, run_directory
from hepda.runtime.hashes import check_hashes
from hepda.runtime.locks import LOCK, locked
from hepda.runtime.log import LOG, logged
from hepda.runtime.pool import Send, open_pool
from hepda.runtime.progress import Clock, Progress
from hepda.workflows.train import processes_of

Array = NDArray[Any]
LAYOUT = 1
"""Version of the layout of the friends; a record of another version does not fit."""
SUMMARY, RECORDS = "apply.json", ".apply"


@dataclass(frozen=True, slots=True)
class ScoringTask:
    """A file to score: its path, the file of its friends, and the sample whose aliases and variables apply to it."""

    path: str
    output: Path
    sample: str | None

    @property
    def record(self) -> Path:
        """The file that records that the file is finished."""
        return self.output.parent / RECORDS / f"{self.output.name}.json"


@dataclass(frozen=True, slots=True)
class ApplyInput:
    """What all files share.

    stamp: checksum of the analysis file, of all models and of the thresholds of working points; kind: the format;
    specs: the models by name, with their thresholds; onnx: the folder of exported models that score the events, None:
    the models of the run do.
    """

    config: AnalysisConfig
    specs: Mapping[str, ModelSpec]
    models: Path
    kind: str
    stamp: str
    onnx: Path | None = None


@dataclass(frozen=True, slots=True)
class ApplyOutcome:
    """The result: records of all files in their order, how many of them were finished before, and further lines."""

    records: list[dict[str, Any]]
    kept: int
    lines: list[str] = field(default_factory=list)


def apply(
    run: Path,
    files: Sequence[str],
    output: Path,
    progress: Progress,
    *,
    kind: str = "ttree",
    sample: str | None = None,
    processes: int | None = None,
    runtime: str = "torch",
) -> ApplyOutcome:
    """Score `files` by the models of `run`; write one file of friends for each into `output`.

    Every file that is not finished is opened and checked before the first is scored.

    Args:
        run: the run directory.
        files: paths, globs, folders or URLs.
        output: the folder of the friends.
        progress: receives stages and steps.
        kind: the format of the friends, a key of `SUFFIX`.
        sample: the sample whose aliases and variables apply to the files; None: `sample_for` finds it for each file.
        processes: number of processes; None for those of the analysis.
        runtime: what computes the scores: `torch` (and the libraries of the trees), or `onnx`, the files that
            `hepda export --format onnx` wrote beside the run.

    Raises:
        ConfigError: `run` is not a run directory, `output` holds other files or the scores of another run, or two
            files would get the same output.
        SourceError: a file is missing or broken.
        ExpressionError: the features cannot be formed from the branches of a file.
        DataError: a feature is not a finite number.

    """
    if kind not in SUFFIX:
        raise ConfigError(f"--format {kind}: must be one of {', '.join(SUFFIX)}.")
    shared = _shared(run, kind)
    if runtime != "torch":
        exported = _exported(run, shared.config, runtime)
        shared = replace(shared, onnx=exported, stamp=f"{shared.stamp}-{runtime}")
    branch_names(_branches(shared, shared.config.split.key, tuple(shapes(systematics_spec(shared.config)))))
    tasks = _tasks(shared.config, expand(files, "FILES"), output, kind, sample)
    clock = Clock(progress)
    with _owned(output, shared, run), logged("apply") as file:
        file.write_to(output / LOG)
        pending = [task for task in tasks if _kept(shared, task) is None]
        number = processes_of(shared.config) if processes is None else processes
        bar = _FileProgress(progress)
        with open_pool(min(number, len(pending)), shared=shared, progress=bar) as pool:
            with clock("check"):
                bar.expect("files", len(pending))
                inspected = pool.map(_inspect, pending)
            with clock("apply"):
                bar.expect("events", sum(file.entries for file in inspected))
                pool.map(_apply_file, list(zip(pending, inspected, strict=True)))
        records = [run_directory.read_json(task.record) for task in tasks]
        _write_summary(output, shared, run, records)
    return ApplyOutcome(records, len(tasks) - len(pending), _absences(records))


def _shared(run: Path, kind: str) -> ApplyInput:
    exchange.settle(run, "apply")
    manifest = run_directory.read_manifest(run)
    check_hashes(run, manifest)
    value = zlib.crc32((run / "config.yaml").read_bytes(), zlib.crc32(f"{kind} {LAYOUT}".encode()))
    for path in sorted((run / "models").rglob("*")):
        if path.is_file():
            value = zlib.crc32(path.read_bytes(), zlib.crc32(str(path.relative_to(run)).encode(), value))
    config = load_config(run / "config.yaml")
    specs = with_cuts(model_specs(config), run)
    cuts = {name: {point: astuple(cut) for point, cut in spec.cuts.items()} for name, spec in specs.items()}
    if any(cuts.values()):
        value = zlib.crc32(repr(cuts).encode(), value)
    return ApplyInput(config, specs, run / "models", kind, f"{value:08x}")


def _exported(run: Path, config: AnalysisConfig, runtime: str) -> Path:
    """Return the folder of the exported models of a run."""
    if runtime != "onnx":
        raise ConfigError(f"--runtime {runtime}: must be torch or onnx.")
    from hepda.export import default_output
    from hepda.export.onnx import scoring
    from hepda.export.onnx.model import exported_model

    folder = default_output(run, "onnx")
    dataset = dataset_spec(config)
    scoring.check_files((exported_model(spec, dataset, run) for spec in model_specs(config).values()), folder, run)
    return folder


def _tasks(
    config: AnalysisConfig, paths: Sequence[str], output: Path, kind: str, sample: str | None
) -> list[ScoringTask]:
    spec, tasks = dataset_spec(config), []
    for path in paths:
        name = Path(path.partition("?")[0]).name if is_remote(path) else Path(path).name
        name = name if Path(name).suffix == SUFFIX[kind] else Path(name).stem + SUFFIX[kind]
        if not is_remote(path) and Path(path).resolve() == (output / name).resolve():
            raise ConfigError(f"--output {output}: the scores of {path} would replace it; name another folder.")
        tasks.append(ScoringTask(path, output / name, sample_for(spec, path, sample)))
    twice = [name for name, n in Counter(task.output for task in tasks).items() if n > 1]
    if twice:
        same = ", ".join(task.path for task in tasks if task.output == twice[0])
        raise ConfigError(
            f"{same} would all be scored into {twice[0]}; score them one by one, each into its own --output."
        )
    return tasks


@contextmanager
def _owned(output: Path, shared: ApplyInput, run: Path) -> Iterator[None]:
    """Create or check the folder, and lock it for the block."""
    run_directory.check_writable(output, "--output")
    summary = output / SUMMARY
    present = [path for path in output.iterdir() if path.name != LOCK] if output.is_dir() else []
    if present and not summary.is_file():
        raise ConfigError(f"--output {output}: holds files that are not of `hepda apply`; name an empty or a new one.")
    with locked(output, "apply", "--output"):
        (output / RECORDS).mkdir(exist_ok=True)
        if summary.is_file() and run_directory.read_json(summary).get("stamp") != shared.stamp:
            raise ConfigError(
                f"--output {output}: holds scores of other models, or in another format; name an empty or a new one."
            )
        if not summary.is_file():
            _write_summary(output, shared, run, [])
        yield


def _write_summary(output: Path, shared: ApplyInput, run: Path, records: list[dict[str, Any]]) -> None:
    about = {"schema": LAYOUT, "stamp": shared.stamp, "run": str(run.resolve()), "format": shared.kind, "tree": TREE}
    run_directory.write_json(output / SUMMARY, {**about, "files": records})


def _state(path: str) -> dict[str, Any]:
    """Return size (bytes) and time of change (ns) of a local file; a URL has neither, and is taken to be unchanged."""
    if is_remote(path):
        return {"path": path, "bytes": None, "modified": None}
    stat = Path(path).stat()
    return {"path": str(Path(path).resolve()), "bytes": stat.st_size, "modified": stat.st_mtime_ns}


def _kept(shared: ApplyInput, task: ScoringTask) -> dict[str, Any] | None:
    """Return the record of a finished file if it fits the run, the input and the output, otherwise None."""
    if not task.record.is_file() or not task.output.is_file():
        return None
    try:
        record = run_directory.read_json(task.record)
    except HepdaError:
        return None
    expected = _state(task.path) | {
        "stamp": shared.stamp,
        "sample": task.sample,
        "output": task.output.name,
        "output_bytes": task.output.stat().st_size,
    }
    fits = isinstance(record, dict) and all(key in record and record[key] == value for key, value in expected.items())
    return record if fits else None


def _inspect(shared: ApplyInput, task: ScoringTask, send: Send) -> FriendFile:
    friend = inspect_file(dataset_spec(shared.config), task.path, task.sample)
    send(task.path, 1, 1)
    return friend


def _apply_file(shared: ApplyInput, item: tuple[ScoringTask, FriendFile], send: Send) -> None:
    """Write the friends of one file, then its record."""
    task, file = item
    before, selected = _state(task.path), 0
    task.record.unlink(missing_ok=True)
    stream = spans(dataset_spec(shared.config), file)
    (first,) = islice(stream, 1)
    names = branch_names(_branches(shared, tuple(first.keys), file.variations))
    columns = _columns(shared, first, file.variations)
    types = {names[text]: values.dtype for text, values in columns.items()}
    done = 0
    with friend_file(task.output, shared.kind, types) as write:
        while True:
            write({names[text]: values for text, values in columns.items()})
            done += len(columns["fold"])
            selected += int(columns["selected"].sum())
            send(task.path, done, file.entries)
            span = next(stream, None)
            if span is None:
                break
            columns = _columns(shared, span, file.variations)
    about = {"entries": done, "selected": selected, "branches": list(types), "absent": file.absent}
    ends = {"output": task.output.name, "output_bytes": task.output.stat().st_size}
    run_directory.write_json(task.record, {**before, "stamp": shared.stamp, "sample": task.sample, **ends, **about})


def _branches(shared: ApplyInput, keys: Sequence[str], variations: Sequence[str]) -> list[str]:
    """Return the branches in their order, named by their content."""
    endings = ["", *(f"_{variation}" for variation in variations)]
    columns = [f"{model.branch}_{name}" for model in shared.specs.values() for name in model.columns]
    points = [f"pass_{name}_{point}" for name, model in shared.specs.items() for point in model.cuts]
    scores = [text + e for e in endings for text in ("selected", *columns, *points)]
    return [*keys, "fold", *scores]


def _columns(shared: ApplyInput, span: EventSpan, variations: Sequence[str]) -> dict[str, Array]:
    """Return all branches of a span, [n] each."""
    config, n = shared.config, len(span.key)
    models = shared.specs
    columns: dict[str, Array] = {**span.keys, "fold": fold_of(span.key, config.split.folds)}
    for variation in ("", *variations):
        ending = f"_{variation}" if variation else ""
        part = span.parts.get(variation)
        selected = np.zeros(n, dtype=np.bool_)
        names = {name: model.branch for model in models.values() for name in model.columns}
        scores = {name: np.full(n, np.nan, dtype=np.float32) for name in names}
        if part is not None and len(part.index):
            selected[part.index] = True
            for name, score in _scores(shared, models, part.table).items():
                scores[name][part.index] = score
        columns["selected" + ending] = selected
        columns |= {f"{names[name]}_{name}{ending}": score for name, score in scores.items()}
        for model in models.values():  # NaN, the score of an event that is not selected, passes no threshold
            passing = passing_columns(model, scores)
            columns |= {f"pass_{name}{ending}": passes for name, passes in passing.items()}
    return columns


def _scores(shared: ApplyInput, models: Mapping[str, ModelSpec], table: FeatureTable) -> dict[str, Array]:
    """Return the score columns [n] of the events of a table."""
    if shared.onnx is None:
        return dict(score_table(models.values(), shared.models, table))
    from hepda.export.onnx import scoring

    return dict(scoring.score_table(models.values(), shared.onnx, table))


def _absences(records: Sequence[dict[str, Any]]) -> list[str]:
    """Return which variations are missing in which files, a line each."""
    absent: dict[tuple[str, str], list[str]] = {}
    for record in records:
        for variation, branch in record["absent"].items():
            absent.setdefault((variation, branch), []).append(record["output"])
    return [
        f"without {variation}, because the branch {branch!r} is missing: {_some(names)}"
        for (variation, branch), names in absent.items()
    ]


def _some(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


class _FileProgress:
    """Adds up the progress of the files for one bar."""

    def __init__(self, progress: Progress) -> None:
        self._step: Callable[[str, int, int], None] = progress.step
        self.expect("", 0)

    def expect(self, what: str, total: int) -> None:
        """Start to count `what`, up to `total`."""
        self._what, self._total, self._done = what, total, dict[str, int]()

    def __call__(self, path: str, done: int, _: int) -> None:
        """Set the progress of the file at `path` to `done`."""
        self._done[path] = done
        self._step(self._what, sum(self._done.values()), self._total)
