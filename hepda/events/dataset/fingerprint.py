"""What a table of events is made of, as a name: the same name, the same rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hepda.config import AnalysisConfig
from hepda.events.expressions.user_functions import registered_versions
from hepda.events.files.locations import is_remote

State = tuple[int, str]
"""Bytes of a file, and what changes with its content: its time of change, or a server's tag."""

# What no row of the table depends on. A key that is new and not listed here only costs another reading.
_TABLE_FREE = ("name", "luminosity_label", "plots", "evaluation", "training", "seed", "negative_weights", "systematics")
_SAMPLE_FREE = ("label", "color")
_SECTION_FREE = (
    "encoder", "class_head", "dropout", "activation", "ensemble", "training", "library", "iterations", "learning_rate",
    "max_leaves", "max_depth", "min_samples", "l2", "patience", "reweight",
)  # fmt: skip
_DOMAIN_FREE = (
    "method", "input", "tail", "balance", "strength", "schedule", "warmup", "head", "steps", "learning_rate_factor",
    "batch_share", "smoothing", "spectral_norm", "gradient_penalty", "self_correction", "reweight",
)  # fmt: skip


def table_identity(config: AnalysisConfig) -> str:
    """A name of the events that a config reads: configs of equal name make the same rows of the same files."""
    told = config.model_dump(mode="json", by_alias=True)
    told = {key: value for key, value in told.items() if key not in _TABLE_FREE}
    for sample in told["samples"].values():
        for key in _SAMPLE_FREE:
            sample.pop(key, None)
    for section in told["models"].values():
        for key in _SECTION_FREE:
            section.pop(key, None)
        for key in _DOMAIN_FREE:
            (section.get("domain") or {}).pop(key, None)
    return name_of(told)


def name_of(value: Any) -> str:
    """A short name of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


@cache
def data_version() -> str:
    """Of the code that makes rows of files, users' functions and the libraries that read included.

    It is taken from the code itself, so that no change to a formula can forget to say so.
    """
    events = Path(__file__).parents[1]
    places = [events / "files", events / "expressions", events / "dataset", events.parent / "config"]
    told = hashlib.sha256()
    for path in sorted(page for folder in places for page in folder.rglob("*.py")):
        told.update(path.name.encode())
        told.update(path.read_bytes())
    libraries = {name: version(name) for name in ("numpy", "awkward", "uproot", "vector", "pyarrow")}
    return name_of([told.hexdigest(), libraries, registered_versions()])


def state_of(path: str) -> State | None:
    """What tells that a file is the one that it was; None where nothing does (some servers)."""
    if not is_remote(path):
        try:
            found = Path(path).stat()
        except OSError:
            return None
        return found.st_size, str(found.st_mtime_ns)
    import fsspec

    try:
        system, inner = fsspec.core.url_to_fs(path)
        about = system.info(inner)
    except Exception:  # noqa: BLE001 - whatever a server or its client says: the reading itself will tell it
        return None
    for name in ("ETag", "etag", "mtime", "LastModified", "last_modified", "modified", "checksum"):
        if about.get(name) is not None:
            return int(about.get("size") or 0), str(about[name])
    return None


def states_of(files: Mapping[str, Sequence[str]]) -> dict[str, State | None]:
    """States of all files of all samples, by path."""
    return {path: state_of(path) for paths in files.values() for path in paths}


def table_name(
    config: AnalysisConfig, files: Mapping[str, Sequence[str]], states: Mapping[str, State | None]
) -> str | None:
    """A name of the table that a config makes of the files of its samples now; None if a file's state is not known."""
    if any(state is None for state in states.values()):
        return None
    told = {name: [[path, *(states[path] or ())] for path in paths] for name, paths in files.items()}
    return name_of([table_identity(config), told, data_version()])
