"""Verify a run directory that somebody sent: every file against its recorded SHA-256, models against the analysis."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from hepda.checksums import sha256_of
from hepda.config import load_any
from hepda.errors import HepdaError
from hepda.kinds import kind_of
from hepda.runtime import exchange, run_directory
from hepda.runtime.hashes import read_sums, sums_of
from hepda.runtime.resources import size_text
from hepda.runtime.terminal import NumberTable


@dataclass(frozen=True, slots=True)
class VerifiedRun:
    """The result: the table for the terminal, what is wrong, a line each, and how much was compared."""

    table: NumberTable
    problems: list[str]
    summary: str


def verify(run: Path) -> VerifiedRun:
    """Compare the files of a run with their recorded SHA-256, and its models with its analysis file.

    Nothing is written. Files to which commands append (log.txt, looks.json, profile.json) have no checksum.

    Args:
        run: the run directory.

    Raises:
        ConfigError: it is no run directory, its format is newer than this version reads, or it has no checksums.

    """
    exchange.settle(run, "check")
    manifest = run_directory.read_manifest(run)
    recorded = read_sums(run)
    now = sums_of(run, recorded)
    wrong: dict[str, str] = {}
    for name, checksum in recorded.items():
        if name not in now:
            wrong[name] = "is missing"
        elif now[name] != checksum:
            wrong[name] = "has another SHA-256 than was recorded"
    trained = manifest.get("sha256", {})
    for name, checksum in trained.items() if isinstance(trained, dict) else ():
        if name in now and name not in wrong and now[name] != checksum:
            wrong[name] = "has another SHA-256 than manifest.json records of the training"
    models = _models(run)
    for name, problem in models.items():
        if problem and name not in wrong:
            wrong[name] = problem
    wrong |= {
        name: "is not recorded: nobody knows where it is from"
        for name in _files(run)
        if name.startswith(f"{run_directory.MODELS}/") and name not in recorded
    }
    problems = [f"{run / name}: {problem.removeprefix(f'{run / name}: ')}" for name, problem in wrong.items()]
    summary = f"{run}: {len(recorded)} files are as they were written"
    if not (run / run_directory.SUMS).is_file():
        summary += (
            "; the others have no checksum, since it was made by an earlier hepda: "
            f"`hepda report {run}` records all of them as they are"
        )
    else:
        # Whoever changes a file can record it again, but not the checksum that the author told.
        checksum = sha256_of(run / run_directory.SUMS)
        summary += f"\nSHA-256 of {run_directory.SUMS}, to compare with what its author says: {checksum}"
    return VerifiedRun(_table(run, recorded, wrong, models), problems, summary)


def _models(run: Path) -> dict[str, str]:
    """Return what is wrong with each file of a model; an analysis file that cannot be read is wrong itself."""
    try:
        return kind_of(load_any(run / "config.yaml")).check_models(run)
    except HepdaError as error:
        return {"config.yaml": str(error)}


def _files(run: Path) -> list[str]:
    """Return the files of a run by path within it, without those of a training under way and hidden ones."""
    paths = (path.relative_to(run) for path in sorted(run.rglob("*")) if path.is_file())
    return [path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts)]


def _table(run: Path, recorded: dict[str, str], wrong: dict[str, str], models: dict[str, str]) -> NumberTable:
    """Return a row for each file, and one for all files of a folder; what is wrong has a row of its own."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted({*recorded, *wrong, *_files(run)}):
        groups[_group(name)].append(name)
    rows = []
    for group, names in groups.items():
        good = [name for name in names if name in recorded and name not in wrong]
        size = sum((run / name).stat().st_size for name in names if (run / name).is_file())
        files = f"{len(names)}" if len(names) > 1 else ""
        if good or not any(name in wrong for name in names):
            rows.append(
                [group, files, size_text(size), "as recorded" if good else "not recorded", _checked(names, models)]
            )
        rows += [[name, "", "", "WRONG", ""] for name in names if name in wrong]
    return NumberTable(["File", "Files", "Size", "State", "Parameters"], rows, str(run))


def _group(name: str) -> str:
    """Return the row of a file: the folder of a model, or plots/; its own name for the others."""
    parts = name.split("/")
    if parts[0] == run_directory.MODELS and len(parts) > 2:
        return f"{parts[0]}/{parts[1]}/"
    return f"{parts[0]}/" if len(parts) > 1 else name


def _checked(names: list[str], models: dict[str, str]) -> str:
    compared = [name for name in names if models.get(name) == ""]
    fusions = sum(name.endswith("-fusion.json") for name in compared)
    counts = {"trainings": len(compared) - fusions, "fusions": fusions}
    return ", ".join(f"{count} {what} as in config.yaml" for what, count in counts.items() if count)
