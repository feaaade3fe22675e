"""One table of accuracies from the run directories of an analysis of images.

    python analyses/images/results.py mnist_m.yaml [RUN ...] [--against MODEL] [--output plots/mnist_m/results.json]

The rows of a long analysis may be trained in several runs, with configs that `include:` the analysis file and remove
models. A row is taken from a run only if its images, pixels, seed and the complete section of the model are those of
the analysis file, and from one run only. A row that is in no run is kept from an earlier output if its settings (the
output has their checksum) are still those of the analysis file; otherwise it is null, with the reason. `--against`
prints the differences of the accuracies on the target to those of one model, paired by seed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hepda.config import load_any
from hepda.config.images import ImageFusionConfig, ImageModelConfig, ImagesConfig
from hepda.datasets import download
from hepda.errors import ConfigError, HepdaError
from hepda.images.steps import protocol
from hepda.runtime import run_directory
from hepda.speech.results.numbers import spread

SHARED = ("source", "target", "pixels", "seed")


def images_config(path: Path | str) -> ImagesConfig:
    """An analysis file of images. Raises ConfigError for another kind."""
    config = load_any(path)
    if not isinstance(config, ImagesConfig):
        raise ConfigError(f"{path}: is of kind {config.kind}, not images.")
    return config


def settings(model: ImageModelConfig | ImageFusionConfig) -> dict[str, Any]:
    """All settings that the numbers depend on: not the number of parallel trainings."""
    fields = model.model_dump()
    if isinstance(model, ImageModelConfig):
        del fields["training"]["processes"]
    return fields


def checksum(config: ImagesConfig, model: str) -> str:
    """Checksum of all settings that the numbers of a model depend on, except the number of trainings."""
    shared = {key: value for key, value in config.model_dump(mode="json").items() if key in SHARED}
    content = json.dumps([shared, settings(config.models[model])], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def rows_of(config: ImagesConfig, run: Path) -> dict[str, Any]:
    """The rows of a run. Raises ConfigError if it has other images, or other settings of a model."""
    run_config, metrics = images_config(run / "config.yaml"), run_directory.read_json(run / "metrics.json")
    for key in SHARED:
        if getattr(run_config, key) != getattr(config, key):
            raise ConfigError(f"{run}: `{key}` is not that of the analysis file; train again.")
    rows = {}
    for name, model in run_config.models.items():
        if name not in config.models or settings(model) != settings(config.models[name]):
            raise ConfigError(f"{run}: models.{name} is not that of the analysis file; train it again.")
        entry = metrics["models"][name]
        training = {key: entry["training"].get(key) for key in ("trainings", "epochs", "seconds")}
        row = {key: entry[key] for key in ("title", "method", "knows", "accuracy")} | {"training": training}
        rows[name] = row | {"settings": checksum(config, name)}
    return rows


def earlier_rows(config: ImagesConfig, output: Path | None) -> dict[str, Any]:
    """The rows of an earlier output whose settings are still those of the analysis file."""
    if output is None or not output.exists():
        return {}
    rows: dict[str, Any] = run_directory.read_json(output)["models"]
    return {name: row for name, row in rows.items() if name in config.models and _same(config, name, row)}


def _same(config: ImagesConfig, name: str, row: dict[str, Any]) -> bool:
    return row.get("settings") == checksum(config, name)


def why_not(config: ImagesConfig) -> str:
    """Why a row has no number."""
    names = [name for side in (config.source, config.target) for name in needed(side.data)]
    missing = [name for name in dict.fromkeys(names) if download.find(name) is None]
    return f"not run yet: {', '.join(missing)} not available" if missing else "not run yet"


def needed(data: str) -> Sequence[str]:
    """The published data sets that `data:` of an analysis file needs; none for a folder of the user."""
    return () if data == "folders" else download.parts_of(data)


def gathered(config: ImagesConfig, runs: Sequence[Path], output: Path | None = None) -> dict[str, Any]:
    """The complete table, with rows of an earlier `output`. Raises ConfigError if a row is in two runs."""
    rows: dict[str, Any] = {}
    for run in runs:
        new_rows = rows_of(config, run)
        repeated = sorted(rows.keys() & new_rows.keys())
        if repeated:
            raise ConfigError(f"{run}: {', '.join(repeated)} is in an earlier run too; give one of the two.")
        rows |= new_rows
    rows = earlier_rows(config, output) | rows
    missing = {"value": None, "why": why_not(config)}
    common = protocol(config)
    del common["trainings_per_model"]  # each row has its own
    return {
        "name": config.name,
        "source": config.source.data,
        "target": config.target.data,
        "protocol": common,
        "models": {name: rows.get(name, {"accuracy": {"target": missing}}) for name in config.models},
        "published": [published.model_dump() for published in config.evaluation.published],
    }


def line(name: str, row: dict[str, Any]) -> str:
    """A row for the terminal: trainings, source, target, spread, lowest seed."""
    target = row["accuracy"]["target"]
    if target["value"] is None:
        return f"{name:26} {target['why']}"
    spread = "" if target["spread"] is None else f" +- {target['spread']:.4f}, lowest {min(target['seeds']):.4f}"
    source = row["accuracy"]["source"]["value"]
    return f"{name:26} {len(target['seeds'])} seeds, source {source:.4f}, target {target['value']:.4f}{spread}"


def paired(rows: dict[str, Any], base: str) -> list[str]:
    """The differences of accuracies on the target to those of a model, a line for each other model of as many seeds.

    Raises ConfigError if the model has no row with numbers.
    """
    seeds = {name: row["accuracy"]["target"].get("seeds", []) for name, row in rows.items()}
    if not seeds.get(base):
        known = ", ".join(name for name, values in seeds.items() if values) or "none"
        raise ConfigError(f"--against {base}: is no model with numbers; there are: {known}.")
    lines = []
    for name, values in seeds.items():
        if name == base or len(values) != len(seeds[base]):
            continue
        found = spread([100.0 * (a - b) for a, b in zip(values, seeds[base], strict=True)])
        interval = "" if found["low"] is None else f" ({found['low']:+.2f} to {found['high']:+.2f})"
        lines.append(f"{name} minus {base}: {found['value']:+.2f}{interval} points, {len(values)} paired seeds")
    return lines


def main() -> int:
    """Gather, print, write; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--against", metavar="MODEL", help="print differences to this model, with 95 %% intervals")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    try:
        table = gathered(images_config(arguments.config), arguments.runs, arguments.output)
        differences = [] if arguments.against is None else paired(table["models"], arguments.against)
    except HepdaError as error:
        print(f"results.py: {error}", file=sys.stderr)
        return 2
    for name, row in table["models"].items():
        print(line(name, row))
    for difference in differences:
        print(difference)
    if arguments.output is not None:
        run_directory.write_json(arguments.output, table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
