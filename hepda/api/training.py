"""Train an analysis from Python: a YAML or a mapping, with events in files or in memory."""

from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from hepda.api.run import Run
from hepda.config import AnyConfig, load_any
from hepda.config.files import read_mapping, resolve_files
from hepda.config.loading import apply_overrides, find_config, validate_any
from hepda.errors import ConfigError, nearest
from hepda.runtime.plots import PlotOptions, Plots
from hepda.runtime.progress import Progress
from hepda.runtime.resources import Resources, cache_folder

SOURCES = "sources"
"""The folder beside run directories with the events that were given in memory."""
TABLE = "files"
"""The one source of an analysis of a table."""


def train(
    config: str | Path | Mapping[str, Any],
    output: str | Path | None = None,
    *,
    sources: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    existing: Literal["refuse", "resume", "overwrite"] = "refuse",
    plots: Literal["none", "few", "all"] = "few",
    device: str = "auto",
    progress: bool = True,
) -> Run:
    """Train and evaluate every model of an analysis, as `hepda train` does, and return the finished run.

    Args:
        config: an analysis file, by path or by the name of one of hepda's; or its content as a mapping, in which
            relative paths are relative to the working folder.
        output: the run directory; None: runs/<name of the analysis>.
        sources: events in memory by sample, in place of the `files` of that sample: a frame of pandas, an awkward array
            of records or a mapping of columns. They are written as Parquet into the folder `sources` beside the run
            directory, where later commands on the run find them. A path stands for itself. Of an analysis of a table,
            the one source is `files`.
        overrides: texts `key.key=value`, as for `--set`.
        existing: what happens if the run directory holds a finished run, or an interrupted one.
        plots: which figures are drawn; `Run.plot` draws any of them later.
        device: auto, cpu, cuda, ...
        progress: show bars and messages; False: only `logging` under the name `hepda` gets the messages.

    Raises:
        ConfigError: the analysis is wrong, a source is of no sample, or a finished run may not be replaced.
        HepdaError: the events cannot be read, or a training failed.

    """
    from hepda.workflows import train as workflow

    if existing not in ("refuse", "resume", "overwrite"):
        raise ConfigError(f"existing={existing!r}: must be refuse, resume or overwrite.")
    if plots not in tuple(Plots):
        raise ConfigError(f"plots={plots!r}: must be one of {', '.join(Plots)}.")
    runs = Path("runs") if output is None else Path(output).parent
    loaded = _loaded(config, dict(sources or {}), overrides, runs.absolute() / SOURCES)
    run = runs / loaded.name if output is None else Path(output)
    options = PlotOptions(Plots(plots))
    resources = Resources(cache=cache_folder(runs))
    with _shown(progress) as bars, _caller_not_run_again():
        workflow.train(
            loaded, run, options, bars, resume=existing == "resume", overwrite=existing == "overwrite", device=device,
            resources=resources,
        )  # fmt: skip
    return Run(run)


def _loaded(
    config: str | Path | Mapping[str, Any], sources: Mapping[str, Any], overrides: Sequence[str], folder: Path
) -> AnyConfig:
    """Return the analysis with the files of its sources, which are written into a folder."""
    if not isinstance(config, Mapping):
        path = find_config(config)
        if not sources:
            return load_any(path, overrides)
        data, _ = read_mapping(path)
        where, base = str(path), path.resolve().parent
    else:
        data, where, base = copy.deepcopy(dict(config)), "config", Path.cwd()
    apply_overrides(data, overrides)
    _put_sources(data, sources, folder)
    resolve_files(data, base)
    return validate_any(data, where)


def _put_sources(data: dict[str, Any], sources: Mapping[str, Any], folder: Path) -> None:
    """Set the files of samples, or of a table, to those that the sources are written into."""
    from hepda.events.files.frames import is_frame, kept_frame

    samples = data.get("samples")
    of_table = data.get("kind") == "tabular"
    known = [TABLE] if of_table else list(samples) if isinstance(samples, dict) else []
    for source, events in sources.items():
        where = f"sources[{source!r}]"
        if source not in known:
            raise ConfigError(
                f"{where}: the analysis has no such sample.{nearest(source, known)} It has: {', '.join(known)}."
            )
        files: Any = str(kept_frame(events, folder, source, where)) if is_frame(events) else events
        files = str(files) if isinstance(files, Path) else files
        if of_table:
            data[TABLE] = files
        elif isinstance(samples, dict):
            samples[source] = {**(samples[source] or {}), "files": files}


class _Quiet:
    """Progress that nobody sees."""

    def stage(self, name: str) -> None:
        """Do nothing."""

    def step(self, what: str, done: int, total: int) -> None:
        """Do nothing."""


@contextmanager
def _shown(progress: bool) -> Iterator[Progress]:
    if not progress:
        yield _Quiet()
        return
    from hepda.runtime.console import Bars

    with Bars(logging.INFO) as bars:
        yield bars


@contextmanager
def _caller_not_run_again() -> Iterator[None]:
    """Let processes start in the block without running the caller's script again, as Python otherwise does.

    The processes of hepda need nothing of that script, and one without `if __name__ == "__main__":` would train again
    in each of them.
    """
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if main is None or file is None or getattr(main, "__spec__", None) is not None:
        yield
        return
    main.__file__ = None
    try:
        yield
    finally:
        main.__file__ = file
