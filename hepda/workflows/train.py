"""The story on one page, the same for every kind of data: load, train each model, evaluate, draw, report."""

from __future__ import annotations

import json
import re
import shutil
import zlib
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from hepda.config import AnyConfig, load_any, resolved_yaml
from hepda.config.differences import differences
from hepda.errors import ConfigError
from hepda.kinds import Kind, RunContext, kind_of
from hepda.runtime import exchange, fingerprint, run_directory
from hepda.runtime import processes as parallel
from hepda.runtime.hashes import check_hashes, hashes_of
from hepda.runtime.jobs import model_of
from hepda.runtime.locks import locked
from hepda.runtime.resources import Resources
from hepda.runtime.torchrun import run_jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hepda.kinds import Scores
    from hepda.results.metrics import RunMetrics
    from hepda.runtime.terminal import NumberTable

FILES = run_directory.FILES
"""What a complete run directory holds, besides models/ and plots/."""
NEW = "run"
"""The folder of the run in the making, beside its trainings."""


class Progress(Protocol):
    """What a run tells of itself while it goes on; the command line draws bars of it."""

    def stage(self, name: str) -> None:
        """Begin a stage of the workflow."""

    def step(self, what: str, done: int, total: int) -> None:
        """Within the stage, `what` is `done` of `total`."""

    def say(self, line: str) -> None:
        """Show a line that stays."""


@dataclass(slots=True)
class TrainOutcome:
    """Where a run is, what it measured, its table for the terminal, and how long each stage took (s)."""

    folder: Path
    report: Path
    metrics: RunMetrics
    table: NumberTable
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Clock:
    """Times the stages."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time the block as a stage."""
        self.progress.stage(stage)
        start = perf_counter()
        yield
        self.seconds[stage] = perf_counter() - start


def train(
    config: AnyConfig,
    run: Path,
    plots: Path | None,
    progress: Progress,
    *,
    resume: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    resources: Resources | None = None,
) -> TrainOutcome:
    """Everything: from the data of the config to the report and the figures in `run`.

    plots: another folder that gets the figures too (None: plots/<name> for the run directory runs/<name>).
    A finished run in `run` stays as it is until the new one is complete, and then gives way to it, with what
    `hepda fit` made of it. resources: memory, cluster and the cache of tables.

    With `resume`, trainings that an interrupted run of the same config has finished are not done again, and one
    that was under way goes on from its last epoch; models that were added or changed since are trained anew, and none
    else. Nothing is done where a finished run of the same config and data is already.

    Raises:
        TrainingError: some trainings failed; all others have been done, and are kept for `resume`.
        ConfigError: a finished run is in `run` and it may not be overwritten, or another process writes there.
        HepdaError: the input is wrong; nothing has been trained then.

    """
    plots = plots or standard_plots(run, config.name)
    check_places(run, plots)
    check_device(device)
    check_texts(config)
    with locked(run, "train", "--output"):
        exchange.finish(run)
        earlier = None if overwrite or not exchange.is_finished(run) else run
        if earlier is not None:
            check_replaceable(config, run, resume)
        with exchange.workplace(run):
            return _train(config, run, plots, progress, resume, earlier, device, resources or Resources())


def _train(
    config: AnyConfig,
    run: Path,
    plots: Path | None,
    progress: Progress,
    resume: bool,
    earlier: Path | None,
    device: str,
    resources: Resources,
) -> TrainOutcome:
    """As `train`, for whoever holds the lock of `run`. earlier: a finished run that may not be overwritten."""
    clock, kind = Clock(progress), kind_of(config)
    if processes_of(config) > 1:
        parallel.prepare(kind.heavy)
    means = replace(resources, processes=processes_of(config), folder=run / exchange.WORK / exchange.DATA)
    with clock("load"):
        for line in kind.load(progress.step, means):
            progress.say(line)
        contents = fingerprint.fingerprints(kind.contents())
        inputs = inputs_of(config, contents)
    if earlier is not None and not (run / exchange.WORK / inputs / exchange.SECTIONS).exists():
        return _as_it_is(config, kind, earlier, inputs, clock)
    with clock("train"):
        processes = kind.side_by_side(processes_of(config))
        work = work_folder(config, inputs, run, resume, progress)
        new = work / NEW
        results = run_jobs(kind.jobs(new, work, device), processes, progress.step)
        scores = kind.combine(results)
        for line in alarms({r.name: r.about for r in results}):
            progress.say(line)
    run_directory.write_text(new / "config.yaml", resolved_yaml(config))
    run_directory.write_text(
        new / "history.csv", run_directory.history_csv({r.name: r.history for r in results if r.history})
    )
    run_directory.write_scores(new / "scores.parquet", kind.score_columns(scores))
    manifest = {
        **run_directory.provenance(config.seed),
        "inputs": inputs,
        "training": {r.name: r.about for r in results},
        "files": kind.files(),
        "sha256": hashes_of(new),
        "data": {"made_of": kind.made_of(), "parts": contents},
    }
    run_directory.write_json(new / "manifest.json", manifest)
    outcome = _judge(config, kind, scores, new, clock)
    exchange.put_in_place(new, run)
    if plots is not None:
        run_directory.copy_figures(run, plots, "evaluate")
    return replace(outcome, folder=run, report=run / outcome.report.name)


def check_replaceable(config: AnyConfig, run: Path, resume: bool) -> None:
    """Raise ConfigError where a finished run may neither be trained again nor is what `resume` asks for."""
    if not resume:
        raise ConfigError(
            f"{run} holds a finished run, which `hepda train` does not replace unasked. Say --overwrite to train it "
            "again (it is replaced when the new one is complete, with what `hepda fit` made of it), or name another "
            f"directory with --output. `hepda evaluate {run}` makes its numbers, figures and report again."
        )
    if not exchange.resumable(run):
        check_same_config(config, run)


def check_same_config(config: AnyConfig, run: Path) -> None:
    """Raise ConfigError where `resume` meets a finished run of another analysis file."""
    keys = config_differences(load_any(run / "config.yaml"), config)
    if keys:
        shown = ", ".join(keys[:6]) + (f" and {len(keys) - 6} more" if len(keys) > 6 else "")
        raise ConfigError(
            f"--resume: {run} holds a finished run, and its analysis file differs from this one in {shown}. Say "
            "--overwrite to train it again, or name another directory with --output."
        )


def config_differences(one: AnyConfig, two: AnyConfig) -> list[str]:
    """Dotted keys in which two analysis files differ, but for those that change no number."""
    first, second = (config.model_dump(mode="json", by_alias=True) for config in (one, two))
    return [d.key for d in differences(first, second) if not d.key.endswith("training.processes")]


def _as_it_is(config: AnyConfig, kind: Kind, run: Path, inputs: str, clock: Clock) -> TrainOutcome:
    """Return the finished run, of which there is nothing to resume. Raises ConfigError if it is of other data."""
    check_same_config(config, run)
    known = run_directory.read_json(run / "manifest.json").get("inputs")
    if known is None:  # trained before hepda wrote it: the events tell
        kind.saved_scores(run)
    elif known != inputs:
        raise ConfigError(
            f"--resume: {run} holds a finished run of other data: the files that the analysis file reads have changed "
            "since. Say --overwrite to train it again, or name another directory with --output."
        )
    clock.progress.say(f"{run} is finished, with this analysis file and these data: there is nothing to do.")
    metrics = read_metrics(kind, run)
    return TrainOutcome(run, run / "report.html", metrics, kind.terminal(metrics), clock.seconds)


def evaluate(run: Path, plots: Path | None, progress: Progress, resources: Resources | None = None) -> TrainOutcome:
    """Numbers, figures and report again, from the saved scores and models of a run directory.

    plots: as of `train`. resources: memory, cluster and the cache of tables.

    Raises:
        ConfigError: `run` is no run directory, its files are no longer those that it was trained on, or another
            process writes there.

    """
    exchange.settle(run, "evaluate")
    manifest = run_directory.read_json(run / "manifest.json")
    if not isinstance(manifest, dict) or "training" not in manifest:
        raise ConfigError(
            f"{run / 'manifest.json'} was not written by `hepda train`; name a run directory that it made."
        )
    check_hashes(run, manifest)
    config = load_any(run / "config.yaml")
    plots = plots or standard_plots(run, config.name)
    if plots is not None:
        run_directory.check_writable(plots, "--plots")
    clock, kind = Clock(progress), kind_of(config)
    with locked(run, "evaluate"):
        if processes_of(config) > 1:
            parallel.prepare(kind.heavy)
        with clock("load"):
            kind.load(progress.step, replace(resources or Resources(), processes=processes_of(config)))
            check_contents(run, manifest, kind, clock.progress)
            scores = kind.saved_scores(run)
        outcome = _judge(config, kind, scores, run, clock)
        if plots is not None:
            run_directory.copy_figures(run, plots, "evaluate")
    return outcome


def standard_plots(run: Path, name: str) -> Path | None:
    """plots/<name>, which gets the figures of the run directory runs/<name> too; None for any other directory."""
    return Path("plots") / name if run.resolve() == (Path("runs") / name).resolve() else None


def check_contents(run: Path, manifest: Mapping[str, Any], kind: Kind, progress: Progress) -> None:
    """Raise ConfigError if the data that were loaded are not those that the run was trained on."""
    recorded = fingerprint.recorded(run, manifest)
    if recorded is None:
        progress.say(f"{run} was made by an earlier hepda, which kept no record of its data: only scores.parquet is "
                     "compared with them.")  # fmt: skip
        return
    now = fingerprint.fingerprints(kind.contents())
    fingerprint.complain(run, fingerprint.differences(recorded["parts"], now))


def check(config: AnyConfig, progress: Progress, *, every_file: bool = False) -> tuple[list[str], list[str]]:
    """Look at the data of an analysis: the lines of what was found, and the problems for which none may be trained.

    every_file: of each sample, not only the first.

    Raises:
        HepdaError: the analysis file itself is wrong.

    """
    progress.stage("check")
    lines, problems = kind_of(config).check(progress.step, every_file=every_file)
    return lines, [*text_problems(config), *problems]


def _judge(config: AnyConfig, kind: Kind, scores: Scores, run: Path, clock: Clock) -> TrainOutcome:
    """Numbers, figures and the report of scores, into `run`."""
    from hepda.report.page import sorted_out

    about = run_directory.read_json(run / "manifest.json")["training"]
    histories, best = saved_histories(config, run, about)
    training = training_metrics(config, about)
    say = clock.progress.say
    context = RunContext(run, training, histories, best, processes_of(config), clock.progress.step)
    with clock("evaluate"):
        metrics = kind.measure(scores, context)
    with clock("draw"):
        drawn, failed = sorted_out(kind.draw(scores, context, run / run_directory.PLOTS))
        run_directory.write_json(run / "metrics.json", metrics.to_json())
        run_directory.write_figures(run, "evaluate", drawn, failed)
    with clock("report"):
        path = write_page(config, kind, run, say=say)
    return TrainOutcome(run, path, metrics, kind.terminal(metrics), clock.seconds)


def read_metrics(kind: Kind, run: Path) -> RunMetrics:
    """Return the numbers of a run. Raises ConfigError if metrics.json is not of this kind of data."""
    content = run_directory.read_json(run / "metrics.json")
    with run_directory.readable(run / "metrics.json"):
        metrics: RunMetrics = kind.metrics_type.from_json(content)
    return metrics


def write_page(
    config: AnyConfig, kind: Kind, run: Path, output: Path | None = None, *, say: Callable[[str], None]
) -> Path:
    """Write the report of a run from what every command has left: metrics, figures, the fit.

    run: has metrics.json and manifest.json; output: has figures.json and, after `hepda fit`, fit.json, and takes
    the report (None: the run itself). kind: with its data, of which its warnings speak. say: takes a line on each
    figure that is missing, and on a fit that is not shown.
    """
    from hepda.events.results.tables.fit import fit_tables
    from hepda.report.page import ReportPage, write_report
    from hepda.results.fit_file import FitFile

    folder = output or run
    manifest, metrics = run_directory.read_json(run / "manifest.json"), read_metrics(kind, run)
    figures, lost = run_directory.read_figures(folder)
    content, stale = run_directory.read_fit(folder, run)
    for line in (*lost, *stale):
        say(line)
    tables = kind.tables(metrics)
    if content is None:
        figures = [(by, figure) for by, figure in figures if by != "fit"]
    else:
        with run_directory.readable(folder / "fit.json"):
            fits = FitFile.from_json(content)
        tables["fit"] = [*tables.get("fit", []), *fit_tables(fits)]
    return write_report(
        folder / "report.html",
        ReportPage(
            metrics.to_json(),
            [figure for _, figure in figures],
            tables=tables,
            conclusions=kind.conclusions(metrics),
            warnings=[*kind.warnings(), *alarms(manifest["training"]), *stale],
            diagnostics=metrics.diagnostics,
            notes=[*kind.notes(), *lost],
            sections=kind.sections,
            config_text=resolved_yaml(config),
            manifest=manifest,
        ),
    )


def check_places(run: Path, plots: Path | None) -> None:
    """Raise ConfigError if `run` or `plots` cannot be written to, or if `run` holds something else than a run."""
    run_directory.check_writable(run, "--output")
    if plots is not None:
        run_directory.check_writable(plots, "--plots")
    exchange.check_ours(run, "--output")


def check_texts(config: AnyConfig) -> None:
    """Raise ConfigError for labels, units, titles and colours that figures cannot show."""
    problems = text_problems(config)
    if problems:
        raise ConfigError("\n".join(problems))


def text_problems(config: AnyConfig) -> list[str]:
    """In words, which labels, units, titles and colours of the config no figure can show, and why.

    matplotlib takes what is between two dollar signs for a formula, whose grammar it checks when it draws.
    """
    told = list(_texts(config.model_dump(mode="json", by_alias=True)))
    colours = [(key, text) for key, text in told if key.endswith(".color")]
    formulas = [(key, text) for key, text in told if not key.endswith(".color") and text.count("$") > 1]
    if not formulas and not colours:  # no need of matplotlib
        return []
    from hepda.plotting.base.style import formula_error, is_colour

    found = ((key, text, formula_error(text)) for key, text in formulas)
    strange = [(key, text) for key, text in colours if not is_colour(text)]
    wrong = [f"{key}: {text!r} is no colour; give one as '#3f90da' or by name." for key, text in strange]
    return wrong + [
        f"{key}: {text!r} cannot be drawn: {error}. Mend the formula between its dollar signs, or write \\$ for a "
        "dollar sign."
        for key, text, error in found
        if error
    ]


def _texts(section: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a config that figures show, with its dotted key: labels, units, titles, colours."""
    if not isinstance(section, dict):
        return
    for name, value in section.items():
        inner = f"{key}.{name}" if key else str(name)
        if name in ("label", "unit", "title", "color") and isinstance(value, str):
            yield inner, value
        yield from _texts(value, inner)
    if isinstance(section.get("label"), str) and isinstance(section.get("unit"), str):
        yield key, f"{section['label']} [{section['unit']}]"


def check_device(device: str) -> None:
    """Raise ConfigError for a device that torch does not know or that this machine does not have."""
    if device in ("auto", "cpu"):
        return
    import torch

    name, _, number = device.partition(":")
    if name != "cuda" or (number and not number.isdigit()):
        raise ConfigError(f"--device {device}: must be auto, cpu or cuda (or cuda:1, the second one).")
    if int(number or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"--device {device}: torch finds {torch.cuda.device_count()} CUDA devices here; say cpu or auto."
        )


def inputs_of(config: AnyConfig, contents: fingerprint.Parts) -> str:
    """Return a checksum of the data, by their fingerprints, and of the config without its models, which can change a
    training.
    """
    alone = config.training.model_copy(update={"processes": "auto"})  # how many there are changes no number
    rest = config.model_copy(update={"models": {}, "training": alone})
    checksums = {name: part["checksum"] for name, part in contents.items()}
    value = zlib.crc32(resolved_yaml(rest).encode())
    return f"{zlib.crc32(json.dumps(checksums).encode(), value):08x}"


def work_folder(config: AnyConfig, inputs: str, run: Path, resume: bool, progress: Progress) -> Path:
    """Where finished and half-finished trainings with these inputs are kept until the run is complete.

    Other models may join, change or go without a loss for those that stay. What was interrupted with other inputs
    goes. The run in the making is the folder NEW in it: a run directory never holds files of two runs.
    """
    work = run / exchange.WORK
    folder = work / inputs
    told = {
        model: section.model_dump(mode="json", exclude={"training": {"processes"}})
        for model, section in config.models.items()
    }
    if resume and (folder / exchange.SECTIONS).exists() and (folder / NEW).is_dir():
        _forget_changed(folder, told, progress)
        return folder
    if resume:
        progress.say(f"{run} has nothing to resume of this config and these data; everything is trained.")
    for left in work.iterdir():
        if left.is_dir() and left.name != exchange.DATA:
            shutil.rmtree(left)
    (folder / NEW).mkdir(parents=True)
    run_directory.write_json(folder / exchange.SECTIONS, told)
    return folder


def _forget_changed(folder: Path, told: Mapping[str, Any], progress: Progress) -> None:
    """Take away what an interrupted run left of models that are gone or that the config describes in another way."""
    earlier = run_directory.read_json(folder / exchange.SECTIONS)
    for model in [model for model, section in earlier.items() if told.get(model) != section]:
        progress.say(f"models.{model} is another one than before: what was trained of it is not used.")
        shutil.rmtree(folder / NEW / run_directory.MODELS / model, ignore_errors=True)
        for file in folder.iterdir():
            if model_of(file.name) == model:
                file.unlink()
    run_directory.write_json(folder / exchange.SECTIONS, told)


def processes_of(config: AnyConfig) -> int:
    """Return the number of processes in parallel: as many as the config says, or one a core for `auto`."""
    asked = config.training.processes
    return parallel.cores() if asked == "auto" else asked


def training_metrics(config: AnyConfig, about: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """models.<model>.training: seconds of all trainings of a model, their rate, mean epochs, and its reweightings."""
    found = {}
    for model in config.models:
        own = [entry for name, entry in about.items() if model_of(name) == model]
        seconds = sum(entry["seconds"] for entry in own)
        rows = sum(entry["seconds"] * entry["rows_per_second"] for entry in own)
        found[model] = {
            "seconds": seconds,
            "rows_per_second": rows / seconds if seconds else None,
            "epochs": sum(entry["epochs"] for entry in own) / len(own),
            "trainings": len(own),
        }
        found[model] |= {k: [entry[k] for entry in own] for k in ("reweight", "domain_reweight") if k in own[0]}
    return found


def saved_histories(
    config: AnyConfig, run: Path, about: Mapping[str, dict[str, Any]]
) -> tuple[dict[str, list[dict[str, list[float | None]]]], dict[str, list[int]]]:
    """Return the history of every training of each network, and the epoch (from 1) whose weights it kept."""
    saved = run_directory.read_history(run / "history.csv")
    histories: dict[str, list[dict[str, list[float | None]]]] = {}
    best: dict[str, list[int]] = {}
    for model in config.models:
        own = [name for name in saved if model_of(name) == model]
        if own:
            histories[model] = [saved[name] for name in own]
            if any(name not in about for name in own):
                raise ConfigError(
                    f"{run / 'history.csv'} is not of the trainings that manifest.json records; copy both again, or "
                    "train again."
                )
            kept = [about[name].get("best_epoch") for name in own]
            best[model] = [epoch + 1 for epoch in kept if epoch is not None]
    return histories, best


def alarms(about: Mapping[str, dict[str, Any]]) -> list[str]:
    """Return what looks wrong in a training, as text. about: of each training, by its name.

    What differs by numbers alone among the trainings of a model is told once.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for name, entry in about.items():
        for text in entry.get("alarms", ()):
            model = name.rpartition("-fold")[0] or name
            found.setdefault((model, re.sub(r"[0-9.]+", "#", text)), []).append(f"{name}: {text}")
    return [
        texts[0] + (f" (alike in {len(texts) - 1} more trainings of {model})" if len(texts) > 1 else "")
        for (model, _), texts in found.items()
    ]
