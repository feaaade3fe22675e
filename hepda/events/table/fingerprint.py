"""The name of a table of events, made of everything that determines its rows: same name, same rows."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hepda.config import ModelConfig
from hepda.config.documents import document_hashes
from hepda.config.section import Section
from hepda.events.expressions.user_functions import registered_versions
from hepda.events.files.locations import is_remote
from hepda.events.specs import DatasetSpec

State = tuple[int, str]
"""Bytes of a file, and a text that changes with its content: see `state_of`."""
_ENDS = 65_536
"""Bytes that are read at both ends of a file: a ROOT file has its UUID in the first, a Parquet file its footer in the
last."""

# Keys on which no row of the table depends. A new key that is not listed here only causes another reading.
_TABLE_FREE = ("systematics", "plots")

_SAMPLE_FREE = ("label", "color")
_SECTION_FREE = (
    "encoder", "class_head", "dropout", "activation", "ensemble", "training", "library", "iterations", "learning_rate",
    "max_leaves", "max_depth", "min_samples", "l2", "patience", "reweight", "classes", "score",
    "labels", "label_strength", "label_balance",
)  # fmt: skip
_DOMAIN_FREE = (
    "method", "input", "tail", "balance", "strength", "schedule", "warmup", "head", "steps", "learning_rate_factor",
    "by", "batch_share", "smoothing", "spectral_norm", "gradient_penalty", "combine", "reweight",
)  # fmt: skip


def table_identity(spec: DatasetSpec) -> str:
    """Return a name of the events that an analysis reads.

    Specifications with the same name make the same rows of the same files. The content of files that expressions read
    (scale factors, good runs) is a part of it.
    """
    elsewhere = (*_TABLE_FREE, "models", "samples", "classes", "regions")
    keys = [field.name for field in fields(spec) if field.name not in elsewhere]
    identity = {key: _plain(getattr(spec, key)) for key in keys}
    identity["signal"] = list(spec.classes.signal)
    identity["samples"] = {name: _plain(sample, _SAMPLE_FREE) for name, sample in spec.samples.items()}
    if spec.variations:  # systematics that domain losses use
        identity["variations"] = {v.name: _plain(spec.section_of(v)) for v in spec.variations}
    identity["models"] = {
        name: _model_identity(model.section) for name, model in spec.models.items() if not model.fused
    }
    identity["regions"] = spec.region_columns
    identity["documents"] = document_hashes(identity)
    return name_of(identity)


def _model_identity(section: ModelConfig) -> Any:
    """Return the part of a model's section on which the columns of its domain loss depend."""
    identity = _plain(section, _SECTION_FREE)
    if identity.pop("regress", None) is not None and section.regress is not None:
        identity["regress"] = [section.regress.target, section.regress.selection]
    for key in _DOMAIN_FREE:
        (identity.get("domain") or {}).pop(key, None)
    return identity


def _plain(value: Any, without: Sequence[str] = ()) -> Any:
    """Return a section, or a mapping of sections, as JSON values, without some keys."""
    if isinstance(value, Section):
        return {k: v for k, v in value.model_dump(mode="json", by_alias=True).items() if k not in without}
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, Mapping) else value


def name_of(value: Any) -> str:
    """Return a short name of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


@cache
def data_version() -> str:
    """Return a name of the code that makes rows of files, including users' functions and the libraries that read.

    It is computed from the code itself, so that it changes with every change to a formula.
    """
    events = Path(__file__).parents[1]
    places = [events / "files", events / "expressions", events / "dataset", events / "table", events.parent / "config"]
    checksum = hashlib.sha256()
    for path in sorted(page for folder in places for page in folder.rglob("*.py")):
        checksum.update(path.name.encode())
        checksum.update(path.read_bytes())
    libraries = {name: version(name) for name in ("numpy", "awkward", "uproot", "vector", "pyarrow")}
    return name_of([checksum.hexdigest(), libraries, registered_versions()])


def state_of(path: str) -> State | None:
    """Return what shows that a file is unchanged; None where nothing does (some servers).

    For a local file: the time of its content, that of its inode, which users cannot set, the inode, and a checksum of
    its first and last bytes; for a remote one: its server's tag or time. The numbers of a file are not read.
    """
    if not is_remote(path):
        try:
            return _local_state(Path(path))
        except OSError:
            return None
    import fsspec

    try:
        system, inner = fsspec.core.url_to_fs(path)
        about = system.info(inner)
    except Exception:  # noqa: BLE001 - a server or its client may raise anything: the reading itself will report it
        return None
    for name in ("ETag", "etag", "mtime", "LastModified", "last_modified", "modified", "checksum"):
        if about.get(name) is not None:
            return int(about.get("size") or 0), str(about[name])
    return None


def _local_state(path: Path) -> State:
    status = path.stat()
    ends = b""
    if stat.S_ISREG(status.st_mode):
        with path.open("rb") as file:
            ends = file.read(_ENDS)
            file.seek(max(_ENDS, status.st_size - _ENDS))
            ends += file.read(_ENDS)
    content = hashlib.sha256(ends).hexdigest()[:16]
    return status.st_size, f"{status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino} {content}"


def states_of(files: Mapping[str, Sequence[str]]) -> dict[str, State | None]:
    """Return the states of all files of all samples, by path."""
    return {path: state_of(path) for paths in files.values() for path in paths}


def table_name(spec: DatasetSpec, files: Mapping[str, Sequence[str]], states: Mapping[str, State | None]) -> str | None:
    """Return a name of the table that is made of the present files of the samples.

    It is None if the state of a file is not known.

    Args:
        spec: what determines the table.
        files: the paths of the files, by sample.
        states: the states of the files, by path.

    """
    if any(state is None for state in states.values()):
        return None
    present = {name: [[path, *(states[path] or ())] for path in paths] for name, paths in files.items()}
    return name_of([table_identity(spec), present, data_version()])
