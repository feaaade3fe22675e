"""One table of accuracies from the run directories of an analysis of images.

    python analyses/images/results.py mnist_m.yaml [RUN ...] [--output plots/mnist_m/results.json]

The rows of a long analysis may be trained in several runs, of configs that `include:` the analysis file and take models
away. A row is taken from a run only if its images, pixels, seed and the whole section of the model are those of the
analysis file, and from one run only. A row that no run has is kept from the output of an earlier time if its settings
(of which the output holds a checksum) are still those of the analysis file; otherwise it is null, and says why.
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
from hepda.config.images import ImageModelConfig, ImagesConfig
from hepda.datasets import download
from hepda.errors import ConfigError, HepdaError
from hepda.images.steps import protocol
from hepda.runtime import run_directory

SHARED = ("source", "target", "pixels", "seed")


def images_config(path: Path | str) -> ImagesConfig:
    """An analysis file of images. Raises ConfigError for another kind."""
    found = load_any(path)
    if not isinstance(found, ImagesConfig):
        raise ConfigError(f"{path}: is of kind {found.kind}, not images.")
    return found


def settings(model: ImageModelConfig) -> dict[str, Any]:
    """All that its numbers depend on: not how many trainings went on side by side."""
    said = model.model_dump()
    del said["training"]["processes"]
    return said


def checksum(config: ImagesConfig, model: str) -> str:
    """Of all that the numbers of a model depend on, but for how many trainings there are."""
    shared = {key: said for key, said in config.model_dump(mode="json").items() if key in SHARED}
    whole = json.dumps([shared, settings(config.models[model])], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def rows_of(config: ImagesConfig, run: Path) -> dict[str, Any]:
    """The rows of a run. Raises ConfigError if it is of other images, or trained a model in another way."""
    own, metrics = images_config(run / "config.yaml"), run_directory.read_json(run / "metrics.json")
    for key in SHARED:
        if getattr(own, key) != getattr(config, key):
            raise ConfigError(f"{run}: `{key}` is not that of the analysis file; train again.")
    rows = {}
    for name, model in own.models.items():
        if name not in config.models or settings(model) != settings(config.models[name]):
            raise ConfigError(f"{run}: models.{name} is not that of the analysis file; train it again.")
        entry = metrics["models"][name]
        training = {key: entry["training"][key] for key in ("trainings", "epochs", "seconds")}
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
    lacking = [name for name in dict.fromkeys(names) if download.find(name) is None]
    return f"not run yet: {', '.join(lacking)} could not be had" if lacking else "not run yet"


def needed(data: str) -> Sequence[str]:
    """The published data sets that a `data:` of an analysis file is made of; none for a folder of the user's."""
    return () if data == "folders" else download.parts_of(data)


def gathered(config: ImagesConfig, runs: Sequence[Path], output: Path | None = None) -> dict[str, Any]:
    """Everything that the table says, with the rows that an earlier `output` has. Raises ConfigError if a row is in two
    runs.
    """
    rows: dict[str, Any] = {}
    for run in runs:
        found = rows_of(config, run)
        twice = sorted(rows.keys() & found.keys())
        if twice:
            raise ConfigError(f"{run}: {', '.join(twice)} is in an earlier run too; name one of the two.")
        rows |= found
    rows = earlier_rows(config, output) | rows
    missing = {"value": None, "why": why_not(config)}
    told = protocol(config)
    del told["trainings_per_model"]  # each row says its own
    return {
        "name": config.name,
        "source": config.source.data,
        "target": config.target.data,
        "protocol": told,
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
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    try:
        found = gathered(images_config(arguments.config), arguments.runs, arguments.output)
    except HepdaError as error:
        print(f"results.py: {error}", file=sys.stderr)
        return 2
    for name, row in found["models"].items():
        print(line(name, row))
    if arguments.output is not None:
        run_directory.write_json(arguments.output, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
