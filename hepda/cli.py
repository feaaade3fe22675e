"""The command line: parse, load the config, call one function, print. No logic."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hepda.datasets.cli import data
from hepda.errors import ConfigError, HepdaError, disk_full_message, is_full
from hepda.runtime.plots import PlotOptions, Plots

if TYPE_CHECKING:
    from hepda.runtime.console import Bars
    from hepda.runtime.resources import Resources
    from hepda.workflows.train import TrainOutcome

_verbosity = 0
"""1 for --verbose, -1 for --quiet; the callback of the options sets it for each command."""


class SchemaOf(StrEnum):
    """A file that has a JSON schema."""

    ANALYSIS = "analysis"
    METRICS = "metrics"
    FIT = "fit"


class Tracker(StrEnum):
    """A program that shows the course of trainings."""

    TENSORBOARD = "tensorboard"
    MLFLOW = "mlflow"


SOME_FAILED = 3
"""Exit status of a scan that is written although some of its trainings failed, of an export without some models."""

app = typer.Typer(
    name="hepda", no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False,
    help="Domain-adversarial training for high-energy physics, and the statistics of its cost and gain.",
)  # fmt: skip


def _configs(incomplete: str) -> list[str]:
    """Return the analysis files that a word on the command line may become: paths, and names in configs/."""
    paths = [path for path in Path().glob(f"{incomplete}*") if path.suffix in (".yaml", ".yml") or path.is_dir()]
    named = Path("configs").glob(f"{incomplete}*.yaml") if "/" not in incomplete else ()
    return sorted({*(f"{path}/" if path.is_dir() else str(path) for path in paths), *(path.name for path in named)})


_NAMES_HELP = ", separated by commas; repeatable."
_CONFIG_HELP = "A YAML, by path, or by name if it is in configs/."
Config = Annotated[str, typer.Option("--config", help=_CONFIG_HELP, autocompletion=_configs)]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override one key of the analysis file; repeatable."),
]
Draw = Annotated[
    Plots,
    typer.Option(
        "--plots",
        help="Figures to draw: none, few (a first look, PNG) or all (PNG and PDF). `hepda report RUN --plots all` "
        "draws the others later.",
    ),
]
PlotFolder = Annotated[
    Path | None, typer.Option("--plots-folder", help="Second folder for the figures [plots/<name> for runs/<name>].")
]
Track = Annotated[
    list[Tracker] | None,
    typer.Option("--track", help="Write the course of the trainings for TensorBoard or MLflow too; repeatable."),
]
Device = Annotated[str, typer.Option("--device", help="Device: auto, cpu or cuda.")]
Memory = Annotated[
    str | None,
    typer.Option("--memory", help="Memory for events in all processes, such as 2GB [half of the machine's]."),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster", help="Read and train with Dask: number of local workers, scheduler address, slurm or htcondor:20."
    ),
]
Cache = Annotated[
    Path | None, typer.Option("--cache", help="Folder of cached event tables [HEPDA_CACHE, or .hepda-cache in runs].")
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Read the files without caching the events.")]


@app.command()
def train(
    config: Config,
    output: Annotated[Path | None, typer.Option("--output", help="Run directory [runs/<name>].")] = None,
    plots: Draw = Plots.FEW,
    plots_folder: PlotFolder = None,
    set_: Set = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a finished run once this one is complete.")
    ] = False,
    device: Device = "auto",
    memory: Memory = None,
    cluster: Cluster = None,
    cache: Cache = None,
    no_cache: NoCache = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Show where the time goes, and write profile.json in the run directory.")
    ] = False,
    track: Track = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be read, trained and written, and do nothing.")
    ] = False,
) -> None:
    """Train and evaluate every model of an analysis: from ROOT files to numbers, figures and a report.

    The events are cached as a table: the next run on the same files and expressions opens no file.
    """
    from hepda.workflows import profiling

    if profile:
        profiling.begin()
    from hepda.config import load_any
    from hepda.runtime import torchrun
    from hepda.workflows import train as analysis

    if torchrun.rank() > 0:  # rank 0 does the run
        torchrun.train_with_rank_0()
        return
    loaded = load_any(config, set_ or [])
    _check_trackers(track)
    run = output or Path("runs") / loaded.name
    if dry_run:
        from hepda.workflows.dry_run import dry_run as lines_of

        typer.echo(
            "\n".join(lines_of(loaded, run, PlotOptions(plots, plots_folder), resume=resume, overwrite=overwrite))
        )
        return
    with _bars() as bars:
        outcome = analysis.train(
            loaded, run, PlotOptions(plots, plots_folder), bars, resume=resume, overwrite=overwrite, device=device,
            resources=_resources(run.parent, memory, cluster, cache, no_cache),
        )  # fmt: skip
    _print_outcome(outcome, bars)
    if profile:
        for table in profiling.tables(profiling.finish(loaded, outcome)):
            bars.table(table)
    _track(run, track)


@app.command()
def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="A run directory, instead of --config; with --config-only, further analysis files.",
            show_default=False,
        ),
    ] = None,
    config: Annotated[str | None, typer.Option("--config", help=_CONFIG_HELP, autocompletion=_configs)] = None,
    set_: Set = None,
    all_: Annotated[bool, typer.Option("--all", help="Read every file of each sample [the first of each].")] = False,
    config_only: Annotated[
        bool, typer.Option("--config-only", help="Check analysis files alone, of any number, and open no data.")
    ] = False,
) -> None:
    """Check the events before training: yields, cut flows, weights, keys, features, data against simulation.

    Of a run directory, such as one that somebody sent: every file against its recorded SHA-256, and the models
    against the analysis file. Nothing else is read, and nothing is written.

    With --config-only: whether analysis files can be read and mean something, such as before a commit.

    Exit status 0: training may start, or the run is as it was written; 2: there are problems.
    """
    from hepda.config import load_any
    from hepda.workflows import checks
    from hepda.workflows import train as analysis

    if config_only:
        named = [*([config] if config else []), *(names or [])]
        if not named or all_:
            raise ConfigError("check --config-only: name analysis files, without --all.")
        for line in checks.check_configs(named, set_ or []):
            typer.echo(line)
        return
    if len(names or []) + (config is not None) != 1 or (names and (set_ or all_)):
        raise ConfigError(
            "check: name either one run directory, or one analysis file by --config (with --set, --all); several "
            "analysis files with --config-only."
        )
    if config is None:
        _verify(Path((names or [])[0]))
        return
    loaded = load_any(config, set_ or [])
    with _bars() as bars:
        lines, problems = analysis.check(loaded, bars, every_file=all_)
    for line in lines:
        typer.echo(line)
    if problems:
        raise HepdaError("\n".join(problems))


@app.command()
def example(
    folder: Annotated[Path, typer.Argument(help="A new folder.")] = Path("toy"),
    events: Annotated[int, typer.Option("--events", help="Simulated events of each file.")] = 8000,
) -> None:
    """Write small ROOT files of toy events and an analysis file: a first training needs nothing else."""
    from hepda.workflows import example as examples

    typer.echo(f"{examples.write(folder, events)}: try `hepda train --config {folder / examples.ANALYSIS}`")


@app.command()
def init(
    file: Annotated[str, typer.Argument(help="A file of events.")],
    tree: Annotated[str | None, typer.Option("--tree", help="Tree of the events [guessed].")] = None,
    output: Annotated[Path | None, typer.Option("--output", help="Output file [the terminal].")] = None,
) -> None:
    """Write a first analysis file, guessed from the branches of a file; complete its lines with TODO."""
    from hepda.editors import with_modeline
    from hepda.errors import ConfigError
    from hepda.events.init import starting_yaml
    from hepda.runtime import run_directory

    text = with_modeline(starting_yaml(file, tree, None if output is None else output.parent))
    if output is None:
        typer.echo(text, nl=False)
        return
    if output.exists():
        raise ConfigError(f"--output {output}: exists already; give a new file name.")
    run_directory.write_text(output, text)
    typer.echo(f"{output}: fix the lines with TODO, then `hepda check --config {output}`")


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    plots: Draw = Plots.FEW,
    plots_folder: PlotFolder = None,
    memory: Memory = None,
    cluster: Cluster = None,
    cache: Cache = None,
    no_cache: NoCache = False,
) -> None:
    """Make numbers, figures and report again, from the saved scores of a run."""
    from hepda.workflows import train as analysis

    resources = _resources(run.parent, memory, cluster, cache, no_cache)
    with _bars() as bars:
        outcome = analysis.evaluate(run, PlotOptions(plots, plots_folder), bars, resources)
    _print_outcome(outcome, bars)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    plots: Draw = Plots.FEW,
    plots_folder: PlotFolder = None,
    open_: Annotated[
        bool | None, typer.Option("--open/--no-open", help="Show the report in the browser [if there is a display].")
    ] = None,
    track: Track = None,
) -> None:
    """Draw figures of a run that are not drawn yet, and write its report again; nothing is trained or evaluated."""
    from hepda.workflows import report as reports

    _check_trackers(track)
    with _bars() as bars:
        outcome = reports.report(run, PlotOptions(plots, plots_folder), bars)
    left = f", {outcome.left} are not" if outcome.left else ""
    typer.echo(f"{outcome.drawn} figures are drawn{left}\nreport: {outcome.report}")
    _track(run, track)
    if open_ or (open_ is None and has_display()):
        import webbrowser

        webbrowser.open(outcome.report.resolve().as_uri())


@app.command()
def fit(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Analysis file whose `fit` and `systematics` are used [that of the run]."),
    ] = None,
    toys: Annotated[
        int, typer.Option("--toys", min=0, help="Number of toys for each pseudo-data set and for the significance.")
    ] = 500,
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=0, help="Replicas of each pseudo-data set, for differences of models.")
    ] = 200,
    models: Annotated[list[str] | None, typer.Option("--models", help=f"Only these models{_NAMES_HELP}")] = None,
    output: Annotated[Path | None, typer.Option("--output", help="Folder for the results [the run].")] = None,
    plots: Draw = Plots.FEW,
    plots_folder: PlotFolder = None,
    processes: Annotated[
        int | None, typer.Option("--processes", min=1, help="Number of processes [training.processes].")
    ] = None,
) -> None:
    """Fit the signal strength: significance, impacts, pulls, and the bias with data from other generators.

    Uses the regions and systematics of the analysis file. Writes fit.json, pyhf workspaces and figures, and updates
    the report.
    """
    from hepda.events.fit.summary import summary_table
    from hepda.workflows import fit as fits

    options = fits.FitOptions(
        toys, bootstrap, _names(models), output, PlotOptions(plots, plots_folder), processes, config
    )
    with _bars() as bars:
        outcome = fits.fit(run, options, bars)
    bars.table(summary_table(outcome.fits))
    times = ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in outcome.seconds.items())
    typer.echo(f"{times}\nnumbers: {outcome.page}\nreport: {outcome.report}")


@app.command()
def apply(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    files: Annotated[
        list[str], typer.Argument(help="Paths, globs, folders or URLs of events; sound files or folders.")
    ],
    output: Annotated[Path, typer.Option("--output", help="Folder for the results, one file for each input file.")],
    kind: Annotated[str, typer.Option("--format", help="Format of scores: ttree, rntuple or parquet.")] = "ttree",
    sample: Annotated[
        str | None,
        typer.Option("--sample", help="Sample whose aliases and variables are used [the sample that lists the file]."),
    ] = None,
    processes: Annotated[
        int | None, typer.Option("--processes", min=1, help="Number of processes [training.processes].")
    ] = None,
    runtime: Annotated[
        str, typer.Option("--runtime", help="torch, or onnx: the files that `hepda export --format onnx` wrote.")
    ] = "torch",
    model: Annotated[
        str | None,
        typer.Option("--model", help="Model that enhances, converts or refines [the last one that is trained]."),
    ] = None,
    reference: Annotated[
        Path | None, typer.Option("--reference", help="Recording in the environment that a conversion is to have.")
    ] = None,
) -> None:
    """Write the scores of all models of a run for every event of any files, as friends: same events, same order.

    An event is scored by the models of its own fold, which were not trained on it. After an interruption, the same
    command continues. A run of speech enhancement or environment conversion writes recordings, with the rate and length
    of the files; a run of refinement the ROOT files with refined objects.
    """
    kind_of_run = _kind_of_run(run)
    of_scores = kind != "ttree" or processes is not None or runtime != "torch"
    if kind_of_run == "refinement":
        if of_scores or reference is not None:
            raise ConfigError(
                "--format, --processes, --runtime, --reference: have no effect on a refinement; take --model, --sample."
            )
        _refine(run, files, output, model, sample)
    elif kind_of_run in ("enhancement", "conversion"):
        if of_scores or sample is not None:
            raise ConfigError("--format, --sample, --processes and --runtime are for events; sound takes --model.")
        _change_sound(run, files, output, model, reference)
    elif model is not None or reference is not None:
        raise ConfigError(
            "--model, --reference: are for runs of sound or refinement; of events, all models of the run are applied."
        )
    else:
        _score(run, files, output, kind=kind, sample=sample, processes=processes, runtime=runtime)


def _kind_of_run(run: Path) -> str:
    """Return the kind of data of a run; "events" where there is no run, which is told by what reads it."""
    from hepda.config import load_any

    path = run / "config.yaml"
    return load_any(path).kind if path.is_file() else "events"


def _score(run: Path, files: list[str], output: Path, **options: Any) -> None:
    from hepda.workflows import apply as applying

    with _bars() as bars:
        outcome = applying.apply(run, files, output, bars, **options)
    entries, selected = (sum(record[key] for record in outcome.records) for key in ("entries", "selected"))
    for line in outcome.lines:
        typer.echo(line)
    kept = f", {outcome.kept} of them existed already" if outcome.kept else ""
    typer.echo(f"{output}: {len(outcome.records)} files{kept}; {entries} events, {selected} selected and scored")


def _refine(run: Path, files: list[str], output: Path, model: str | None, sample: str | None) -> None:
    from hepda.events.refinement.applying import apply_to_events

    with _bars() as bars:
        done = apply_to_events(run, files, output, bars, model=model, sample=sample)
    for file in done:
        if file.left_out:
            typer.echo(f"{file.output}: without {', '.join(file.left_out)}")
    typer.echo(f"{output}: {len(done)} files, {sum(file.entries for file in done)} events")


@app.command()
def sample(
    run: Annotated[Path, typer.Argument(help="A run directory of `kind: generator`.")],
    output: Annotated[Path, typer.Option("--output", help="Folder for the images, or for the ROOT file.")],
    number: Annotated[
        int, typer.Option("-n", "--number", min=1, max=10_000_000, help="How many images or events are generated.")
    ] = 100,
    model: Annotated[str | None, typer.Option("--model", help="Model that generates [the last one].")] = None,
    wanted: Annotated[
        str | None,
        typer.Option(
            "--class",
            help="Class of all images [classes as often as in the training]; of events the process, with / and a class "
            "of flavour [the first process].",
        ),
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option("--guidance", min=-10.0, max=10.0, help="Of events: s, 0 for generator A, 1 for B [1]."),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Seed [that of the analysis].")] = None,
    device: Device = "auto",
) -> None:
    """Generate images by a model of a run (arrays, their classes, a picture of the first), or events (a ROOT file).

    The same seed gives the same rows. Models are checked against the SHA-256 of their training before they are used.
    """
    from hepda.config import EventGeneratorConfig, load_any

    config = load_any(run / "config.yaml") if (run / "config.yaml").is_file() else None
    if isinstance(config, EventGeneratorConfig):
        from hepda.events.generation import sampling as of_events

        s = 1.0 if guidance is None else guidance
        events = of_events.sample(config, run, of_events.EventRequest(number, model, wanted, s, seed), output)
        note = ", an extrapolation" if events.extrapolation else ""
        typer.echo(
            f"{events.file}: {events.number} events by {events.model} at s = {s:g}{note}, {events.seconds:.1f} s"
        )
        typer.echo(
            f"as a sample: `weight: {of_events.WEIGHT}`, `cross_section: 1.0`, `sum_of_weights: 1.0`; "
            f"{events.cross_section:.4g} pb after the selection"
        )
        return
    if guidance is not None:
        raise ConfigError("--guidance: is of generated events; of images it is a key of the model.")
    from hepda.generators import sampling

    done = sampling.sample(run, sampling.SampleRequest(number, model, wanted, seed, device), output)
    typer.echo(f"{done.folder / sampling.IMAGES}: {done.number} images by {done.model}, {done.seconds:.1f} s")
    typer.echo(f"{done.folder / sampling.PICTURE}: the first of them")


@app.command()
def inspect(
    run: Annotated[Path, typer.Argument(help="A run directory of `kind: generator`, such as one that somebody sent.")],
    suspect: Annotated[
        list[Path] | None,
        typer.Option("--suspect", help="Image, or .npy of bytes, that may be planted in a generator; repeatable."),
    ] = None,
    reference: Annotated[
        list[Path] | None,
        typer.Option("--reference", help="Another run whose generators are compared with; repeatable."),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="Model that is inspected [all of `kind: gan`].")] = None,
    number: Annotated[
        int, typer.Option("-n", "--number", min=100, max=10_000_000, help="Random codes of each generator.")
    ] = 100_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed.")] = 1,
    output: Annotated[
        Path | None, typer.Option("--output", help="Folder for the results [RUN-inspection, next to the run].")
    ] = None,
) -> None:
    """Look for planted images in generators that somebody sent, if `hepda check RUN` finds nothing wrong in them.

    Outputs of random codes, and of codes that a search finds, far from the data. Of suspected images: is there a code
    that makes them more closely than test images are made? Pictures to look at, and all numbers, are written.
    """
    from hepda.generators.inspection import running
    from hepda.generators.inspection.inspection import InspectionSettings

    request = running.InspectRequest(
        model, suspect or (), reference or (), InspectionSettings(number=number, seed=seed)
    )
    folder = output or run.with_name(f"{run.resolve().name}-inspection")
    with _bars() as bars:
        bars.stage("inspect")
        done = running.inspect(run, request, folder, lambda n, of: bars.step("generators", n, of))
    for table in done.tables:
        bars.table(table)
    for line in done.lines:
        typer.echo(line)


def _change_sound(run: Path, files: list[str], output: Path, model: str | None, reference: Path | None) -> None:
    from hepda.speech.applying import apply_to_sound

    with _bars() as bars:
        done = apply_to_sound(run, files, output, bars, model=model, reference=reference)
    for file in done:
        if file.silent:
            typer.echo(f"{file.output}: nothing is left of {file.source}")
        if file.peak > 1.0:
            typer.echo(f"{file.output}: its loudest sample was {file.peak:.2f}; the sound was made quieter by that")
    seconds, took = sum(file.seconds for file in done), sum(file.took for file in done)
    typer.echo(f"{output}: {len(done)} files, {seconds:.1f} s of sound, {seconds / took:.0f} times real time")


@app.command()
def scan(
    config: Config,
    vary: Annotated[
        list[str] | None,
        typer.Option("--vary", metavar="KEY=VALUES", help="Values 0,1,10 of a key, or a range 0.1:9:log; repeatable."),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Trainings per point, with the same split of the events.")
    ] = 5,
    models: Annotated[
        list[str] | None, typer.Option("--models", help=f"Models to train [those that --vary names]{_NAMES_HELP}")
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option("--methods", help="Methods of the domain loss, such as dann,disco,mmd; repeatable."),
    ] = None,
    criterion: Annotated[
        str, typer.Option("--criterion", help="Selection criterion: physics, loss, or a scorer.")
    ] = "physics",
    tolerance: Annotated[float, typer.Option("--tolerance", help="Tolerance on the loss for `physics`.")] = 0.05,
    guided: Annotated[
        int | None, typer.Option("--guided", min=1, help="Number of optuna trials instead of a grid.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", help="Folder for the scan [runs/<name>-scan].")] = None,
    plots: Draw = Plots.FEW,
    processes: Annotated[
        int | None, typer.Option("--processes", min=1, help="Number of processes [training.processes].")
    ] = None,
    set_: Set = None,
    device: Device = "auto",
    memory: Memory = None,
    cluster: Cluster = None,
    cache: Cache = None,
    no_cache: NoCache = False,
) -> int:
    """Train models for several values of any keys and several seeds: trade-off curves and selection without labels.

    The same command continues an interrupted scan; more values or seeds train only what is missing. A training
    that fails is marked in table, figure and page, and the others continue.

    Exit status 0: done; 3: done and written, but some trainings failed.
    """
    from hepda.workflows import scan as scanning

    options = scanning.ScanOptions(
        config, tuple(set_ or ()), tuple(vary or ()), seeds, _names(models), _names(methods),
        scanning.Criterion(criterion, tolerance), guided, output, processes, device,
        _resources(output.parent if output else Path("runs"), memory, cluster, cache, no_cache), plots,
    )  # fmt: skip
    with _bars() as bars:
        outcome = scanning.scan(options, bars)
    bars.table(scanning.console_table(outcome.findings))
    for line in scanning.conclusions(outcome.findings):
        typer.echo(line)
    times = ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in outcome.seconds.items())
    typer.echo(f"{times}\nreport: {outcome.report}")
    failures = outcome.findings.failures
    for line in failures:
        typer.echo(f"hepda: {line}", err=True)
    return SOME_FAILED if failures else 0


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run directories, two or more.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Output page [beside the first run: compare-RUN-RUN.html].", show_default=False),
    ] = None,
    plots: Draw = Plots.FEW,
) -> None:
    """Compare several runs: tables and figure of all their models, and where files and configs differ."""
    from hepda.workflows import compare as comparison

    bars = _bars()
    outcome = comparison.compare(runs, output, plots)
    bars.table(outcome.table)
    for line in outcome.warnings:
        typer.echo(line)
    typer.echo(f"report: {outcome.report}")


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    format_: Annotated[str, typer.Option("--format", help="latex, csv, text, hepdata, workspace, combine or onnx.")],
    output: Annotated[Path | None, typer.Option("--output", help="A new folder [RUN-FORMAT, next to the run].")] = None,
    models: Annotated[
        list[str] | None, typer.Option("--models", help=f"Of onnx: only these models{_NAMES_HELP}")
    ] = None,
) -> int:
    """Write the tables, the figures or the models of a run, or its fits, in the format of another program.

    Exit status 0: done; 3: done, but some models have no form in the format and were left out.
    """
    from hepda import export as exports

    written = exports.export(run, format_, output, _names(models))
    files = written.files
    typer.echo(f"{files[0].parent if files else run}: {', '.join(path.name for path in files) or 'nothing to write'}")
    for name, reason in written.left_out.items():
        typer.echo(f"hepda: models.{name} is left out: {reason}", err=True)
    return SOME_FAILED if written.left_out else 0


@app.command()
def generate(
    config: Annotated[
        Path, typer.Option("--config", help="Python file of the generator, such as analyses/tth/generate.py.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", help="Folder for the ntuples [ntuples in the folder of --config].")
    ] = None,
    samples: Annotated[list[str] | None, typer.Option("--samples", help=f"Only these samples{_NAMES_HELP}")] = None,
    scale: Annotated[float, typer.Option("--scale", min=1e-6, help="Factor on the number of events.")] = 1.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed.")] = 1,
    processes: Annotated[
        int | None, typer.Option("--processes", min=1, help="Number of processes [all available cores].")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a setting of the physics, such as detector.jet_scale=0.97; repeatable.",
        ),
    ] = None,
) -> None:
    """Make the ntuples of an example with its generator; continue if interrupted."""
    from hepda.workflows.generate import generate as run_page

    with _bars() as bars:
        bars.stage("generate")
        files = run_page(
            config, output or config.parent / "ntuples", samples=list(_names(samples)) or None,
            scale=scale, seed=seed, processes=processes, settings=set_ or [],
            progress=lambda sample, done, total: bars.step("chunks", done, total),
        )  # fmt: skip
    for path, events in files.items():
        typer.echo(f"{path}: {events} events")


@app.command()
def schema(
    of: Annotated[SchemaOf, typer.Option("--of", help="The file that is described.")] = SchemaOf.ANALYSIS,
) -> None:
    """Print the JSON schema of the analysis file, with the methods and schedules of the core, or that of a result."""
    import json

    from hepda.adversarial.listing import listing
    from hepda.config import json_schema
    from hepda.kinds import metrics_types
    from hepda.results.schema import fit_schema, metrics_schema

    content = {
        SchemaOf.ANALYSIS: lambda: json_schema() | {"x-hepda": listing()},
        SchemaOf.METRICS: lambda: metrics_schema(metrics_types()),
        SchemaOf.FIT: fit_schema,
    }
    typer.echo(json.dumps(content[of](), indent=2))


app.add_typer(data, name="data")


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the versions of hepda and its packages.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log when stages begin and end.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show only results and warnings.")] = False,
) -> None:
    """Options of hepda itself."""
    global _verbosity
    _verbosity = verbose - quiet
    if version:
        from hepda.versions import versions

        typer.echo(versions(), nl=False)
        raise typer.Exit


def has_display() -> bool:
    """Return whether somebody is there who would see a page: at a terminal, with a display."""
    shown = sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    return shown and sys.stdout.isatty() and not os.environ.get("CI")


def _check_trackers(trackers: list[Tracker] | None) -> None:
    """Raise MissingExtraError for a tracker whose library is not installed, before anything else is done."""
    if trackers:
        from hepda.workflows.tracking import check_tracker

        for tracker in trackers:
            check_tracker(tracker.value)


def _track(run: Path, trackers: list[Tracker] | None) -> None:
    from hepda.workflows.tracking import track

    for tracker in trackers or ():
        typer.echo(track(run, tracker.value))


def _bars() -> Bars:
    import logging

    from hepda.runtime.console import Bars

    return Bars({-1: logging.WARNING, 0: logging.INFO, 1: logging.DEBUG}[_verbosity])


def _resources(runs: Path, memory: str | None, cluster: str | None, cache: Path | None, no_cache: bool) -> Resources:
    from hepda.runtime.pool import check_cluster
    from hepda.runtime.resources import Resources, cache_folder, memory_of

    check_cluster(cluster)
    budget = None if memory is None else memory_of(memory)
    return Resources(budget, cluster, cache=cache_folder(runs, cache, no_cache))


def _verify(run: Path) -> None:
    from hepda.workflows import verify

    verified = verify.verify(run)
    _bars().table(verified.table)
    if verified.problems:
        raise HepdaError("\n".join(verified.problems))
    typer.echo(verified.summary)


def _names(texts: list[str] | None) -> tuple[str, ...]:
    """Return the names of an option that takes several, each once: separated by commas, or the option repeated."""
    words = (word.strip() for text in texts or () for word in text.split(","))
    return tuple(dict.fromkeys(word for word in words if word))


def _print_outcome(outcome: TrainOutcome, bars: Bars) -> None:
    bars.table(outcome.table)
    times = ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in outcome.seconds.items())
    typer.echo(f"{times}\nreport: {outcome.report}")
    if outcome.next_step:
        typer.echo(outcome.next_step)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status.

    Args:
        arguments: of the command line; None for those of the process.

    Returns:
        0: finished; 1: a fault of hepda; 2: the user's input is wrong (one message, no traceback); 3: a scan is
        finished and some of its trainings failed; 130: interrupted.

    """
    from hepda.runtime.terminal import write_anything

    write_anything()
    try:
        result: Any = app(arguments, prog_name="hepda", standalone_mode=False)
        status = result if isinstance(result, int) else 0
    except HepdaError as error:
        typer.echo(f"hepda: {error}", err=True)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    except typer.Exit as done:
        status = done.exit_code
    except Exception as error:  # noqa: BLE001 - the outermost handler: usage errors are the user's, all others are hepda's
        if isinstance(error, OSError) and is_full(error):
            typer.echo(f"hepda: {disk_full_message(error)}", err=True)
            return 2
        return _unexpected(error)
    if status == 130:  # some versions of typer turn Ctrl-C into an exit status
        typer.echo(f"hepda: interrupted{_what_next(arguments)}", err=True)
    return status


def _what_next(arguments: list[str] | None) -> str:
    words = sys.argv[1:] if arguments is None else arguments
    verb = next((argument for argument in words if not argument.startswith("-")), "")
    return {
        "train": "; the same command with --resume continues from the last checkpoint",
        "generate": "; the same command continues",
        "scan": "; the same command continues",
        "apply": "; the same command continues",
    }.get(verb, "")


def _unexpected(error: Exception) -> int:
    show = getattr(error, "show", None)
    if callable(show):  # click's usage errors
        show()
        if "extra argument" in str(error) and "=" in str(error):
            typer.echo("hepda: use one --set for each key: --set first=1 --set second=2", err=True)
        return 2
    import traceback

    traceback.print_exception(error)
    typer.echo("hepda: this is a fault of hepda, not yours; please report it with the lines above", err=True)
    return 1


def entry() -> None:
    """Run the `hepda` command and exit."""
    sys.exit(main())
