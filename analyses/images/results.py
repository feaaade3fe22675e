"""One table of accuracies from the run directories of an analysis of images.

    python analyses/images/results.py mnist_m.yaml RUN [RUN ...] [--output plots/mnist_m/results.json]

The rows of a long analysis may be trained in several runs, of configs that `include:` the analysis file and take models
away. A row is taken from a run only if its images, pixels, seed and the whole section of the model are those of the
analysis file, and from one run only. Rows that no run has are named, with null.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hepda import rundir
from hepda.config import load_any
from hepda.config.images import ImagesConfig
from hepda.errors import ConfigError, HepdaError

SHARED = ("source", "target", "pixels", "seed")


def images_config(path: Path | str) -> ImagesConfig:
    """An analysis file of images. Raises ConfigError for another kind."""
    found = load_any(path)
    if not isinstance(found, ImagesConfig):
        raise ConfigError(f"{path}: is of kind {found.kind}, not images.")
    return found


def rows_of(config: ImagesConfig, run: Path) -> dict[str, Any]:
    """The rows of a run. Raises ConfigError if it is of other images, or trained a model in another way."""
    own, metrics = images_config(run / "config.yaml"), rundir.read_json(run / "metrics.json")
    for key in SHARED:
        if getattr(own, key) != getattr(config, key):
            raise ConfigError(f"{run}: `{key}` is not that of the analysis file; train again.")
    rows = {}
    for name, model in own.models.items():
        if name not in config.models or model != config.models[name]:
            raise ConfigError(f"{run}: models.{name} is not that of the analysis file; train it again.")
        entry = metrics["models"][name]
        training = {key: entry["training"][key] for key in ("trainings", "epochs", "seconds")}
        rows[name] = {key: entry[key] for key in ("title", "method", "knows", "accuracy")} | {"training": training}
    return rows


def gathered(config: ImagesConfig, runs: Sequence[Path]) -> dict[str, Any]:
    """Everything that the table says. Raises ConfigError if a row is in two runs."""
    rows: dict[str, Any] = {}
    for run in runs:
        found = rows_of(config, run)
        twice = sorted(rows.keys() & found.keys())
        if twice:
            raise ConfigError(f"{run}: {', '.join(twice)} is in an earlier run too; name one of the two.")
        rows |= found
    missing = {"value": None, "why": "not trained yet"}
    first = rundir.read_json(runs[0] / "metrics.json")
    protocol = {key: value for key, value in first["protocol"].items() if key != "trainings_per_model"}
    return {
        "name": config.name,
        "samples": first["samples"],
        "protocol": protocol,
        "models": {name: rows.get(name, {"accuracy": {"target": missing}}) for name in config.models},
        "published": [one.model_dump() for one in config.evaluation.published],
    }


def line(name: str, row: dict[str, Any]) -> str:
    """A row for the terminal: trainings, source, target, spread, lowest seed."""
    target = row["accuracy"]["target"]
    if target["value"] is None:
        return f"{name:26} {target['why']}"
    spread = "" if target["spread"] is None else f" +- {target['spread']:.4f}, lowest {min(target['seeds']):.4f}"
    source = row["accuracy"]["source"]["value"]
    return f"{name:26} {len(target['seeds'])} seeds, source {source:.4f}, target {target['value']:.4f}{spread}"


def main() -> int:
    """Gather, print, write; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    try:
        found = gathered(images_config(arguments.config), arguments.runs)
    except HepdaError as error:
        print(f"results.py: {error}", file=sys.stderr)
        return 2
    for name, row in found["models"].items():
        print(line(name, row))
    if arguments.output is not None:
        rundir.write_json(arguments.output, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
