"""An analysis file as a mapping: read it, make its paths absolute, merge it with the file that it includes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hepda.config.documents import with_absolute_paths
from hepda.config.yaml_text import Lines, parse
from hepda.errors import ConfigError, nearest, nearest_file

_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
NAMED = ("samples", "variables", "columns", "collections", "plots", "models", "systematics")
"""Sections whose keys are names that the user gives: a null as the value removes the name."""
ANALYSIS = "analysis"
"""The key of a refinement, or of generated events, whose value is another analysis file."""
CLASSIFIERS = "classifiers"
"""The key of the evaluation of generated events whose value is a run directory."""
REGIONS = ("fit", "regions")
"""A section of such names within another one."""
SOUND = {"speech": ("folder", ""), "noise": ("recordings", "ambient"), "rooms": ("recordings", "measured")}
"""Sections of speech that name a folder: the key of the folder, and its value for a published data set."""
PAIRS, VOICEBANK = ("clean", "noisy", "test_clean", "test_noisy"), "voicebank"
"""The keys of `pairs` that name folders, and their value for the published data set."""


def read_mapping(path: Path, above: tuple[Path, ...] = ()) -> tuple[dict[str, Any], Lines]:
    """Read the analysis file at `path` as a mapping, with the line of each of its keys.

    A file with `include: other.yaml` (relative to the file itself) is merged into that file: mappings are joined key by
    key, any other value replaces that of the included file, and a null as the value of a sample, variable, column,
    plot, model, systematic or region of the fit removes it (elsewhere null is a value, as in any file).

    Args:
        path: the file.
        above: the files that include this one.

    Raises:
        ConfigError: the file cannot be read, is not a mapping, or includes itself.

    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    data, lines = parse(text, str(path))
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: holds no mapping; an analysis file is a list of `key: value`.")
    resolve_files(data, path.resolve().parent)
    _expand_analysis(path, data, lines, above)
    if "include" not in data:
        return data, lines
    base = _included(path, data.pop("include"), lines.pop(("include",)), (*above, path.resolve()))
    below, elsewhere = read_mapping(base, (*above, path.resolve()))
    known: Lines = {key: line if isinstance(line, str) else f"{line} of {base.name}" for key, line in elsewhere.items()}
    return _lay_over(below, data, (), lines, known, str(path)), known | lines


def _expand_analysis(path: Path, data: dict[str, Any], lines: Lines, above: tuple[Path, ...]) -> None:
    """Replace the path of another analysis file as the value of `analysis`, or `include` within it, by its content."""
    key, given = (ANALYSIS,), data.get(ANALYSIS)
    if isinstance(given, str):
        place, laid = lines.get(key, "?"), {"include": given}
    elif isinstance(given, dict):
        place, laid = lines.get((*key, "include"), "?"), dict(given)
    else:
        return
    if "include" not in laid:
        return
    base = _included(path, laid.pop("include"), place, (*above, path.resolve()), what=f"{ANALYSIS}.include")
    below, elsewhere = read_mapping(base, (*above, path.resolve()))
    known: Lines = {
        line_key: line if isinstance(line, str) else f"{line} of {base.name}" for line_key, line in elsewhere.items()
    }
    own = {inner[1:]: line for inner, line in lines.items() if inner[:1] == key and len(inner) > 1}
    data[ANALYSIS] = _lay_over(below, laid, (), own, known, str(path))
    lines |= {(*key, *inner): line for inner, line in {**known, **own}.items()}


def _included(path: Path, include: Any, line: int | str, above: tuple[Path, ...], what: str = "include") -> Path:
    """Return the file that `include: given` of the file at `path` names."""
    where = f"{path}: {what} (line {line})"
    if not isinstance(include, str) or not include:
        raise ConfigError(f"{where}: must be the path of one analysis file, not {include!r}.")
    target = path.resolve().parent / Path(include).expanduser()
    # Messages quote the content of an analysis file: no other file may be opened as one, not even by a link.
    if not {target.suffix.lower(), target.resolve().suffix.lower()} <= {".yaml", ".yml"}:
        raise ConfigError(f"{where}: {include!r} is not the name of an analysis file, which ends in .yaml or .yml.")
    if not target.is_file():
        known = sorted(file.name for file in target.parent.glob("*.yaml")) if target.parent.is_dir() else []
        raise ConfigError(f"{where}: there is no file {target}.{nearest_file(target.name, known)}")
    if target.resolve() in above:
        circle = " -> ".join(file.name for file in (*above, target))
        raise ConfigError(f"{where}: the files include each other in a circle ({circle}); remove one `include`.")
    return target


def _lay_over(
    below: dict[str, Any], above: dict[str, Any], path: tuple[str, ...], lines: Lines, known: Lines, where: str
) -> dict[str, Any]:
    """Return `below` with the values of `above` on top; remove replaced keys from `known`, the lines of `below`."""
    joined = dict(below)
    for key, value in above.items():
        key_path = (*path, key)
        old = joined.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            joined[key] = _lay_over(old, value, key_path, lines, known, where)
            continue
        for line in [line for line in known if line[: len(key_path)] == key_path]:
            del known[line]
        if value is None and (path == REGIONS or (len(path) == 1 and path[0] in NAMED)):
            if key not in below:
                place = f"{'.'.join(key_path)} (line {lines.get(key_path)})"
                hint = nearest(key, below)
                raise ConfigError(f"{where}: {place}: null removes a name, and the included file has none.{hint}")
            del joined[key]
        else:
            joined[key] = value
    return joined


def resolve_files(data: dict[str, Any], folder: Path) -> None:
    """Make paths of samples, of tables, in expressions, and of folders of images or sound absolute in place.

    Relative paths are relative to `folder`, `$NAME` is replaced from the environment, and URLs stay as they are.

    Raises:
        ConfigError: a variable is not set in the environment.

    """

    def absolute(path: Any, where: str) -> Any:
        if not isinstance(path, str) or not path:
            return path
        path = _VARIABLE.sub(lambda match: _environment_variable(match.group(1) or match.group(2), where), path)
        if "://" in path:
            return path
        expanded = Path(path).expanduser()
        return str(expanded if expanded.is_absolute() else Path(_normalised(folder / expanded)))

    if isinstance(data.get(ANALYSIS), dict):  # of a refinement, or of generated events
        resolve_files(data[ANALYSIS], folder)
    data |= with_absolute_paths(data, partial(absolute, where="an expression"))
    for side in ("source", "target"):  # of images
        section = data.get(side)
        if isinstance(section, dict):
            folders = {key: absolute(section[key], f"{side}.{key}") for key in ("train", "test") if key in section}
            data[side] = section | folders
    for key, (name, published) in SOUND.items():
        section = data.get(key)
        if isinstance(section, dict) and section.get(name) not in (None, published):
            data[key] = section | {name: absolute(section[name], f"{key}.{name}")}
    pairs = data.get("pairs")
    if isinstance(pairs, dict):
        given = (key for key in PAIRS if pairs.get(key, VOICEBANK) != VOICEBANK)
        data["pairs"] = pairs | {key: absolute(pairs[key], f"pairs.{key}") for key in given}
    evaluation = data.get("evaluation")
    if isinstance(evaluation, dict) and isinstance(evaluation.get(CLASSIFIERS), str):
        run = absolute(evaluation[CLASSIFIERS], f"evaluation.{CLASSIFIERS}")
        data["evaluation"] = evaluation | {CLASSIFIERS: run}
    if "files" in data:  # of tables
        data |= _with_files({"files": data["files"]}, partial(absolute, where="files"))
    samples = data.get("samples")
    if not isinstance(samples, dict):
        return
    for name, sample in list(samples.items()):
        if isinstance(sample, dict):
            samples[name] = _with_files(sample, partial(absolute, where=f"samples.{name}.files"))


def _with_files(section: dict[str, Any], absolute: Callable[[Any], Any]) -> dict[str, Any]:
    """Return a sample, or its truth, with absolute paths."""
    result = dict(section)
    if "files" in result:
        result["files"] = _absolute_files(result["files"], absolute)
    if isinstance(result.get("truth"), dict):
        result["truth"] = _with_files(result["truth"], absolute)
    return result


def _absolute_files(files: Any, absolute: Callable[[Any], Any]) -> Any:
    """Return absolute paths for one path, a list of them, or either of these for each era."""
    if isinstance(files, dict):
        return {era: _absolute_files(of_era, absolute) for era, of_era in files.items()}
    return [absolute(file) for file in files] if isinstance(files, list) else absolute(files)


def _environment_variable(name: str, where: str) -> str:
    if name not in os.environ:
        raise ConfigError(
            f"{where}: ${name} is not set in the environment; set it to the folder that is meant, as in "
            f"`export {name}=/path/to/folder`, or write the path."
        )
    return os.environ[name]


def _normalised(path: Path) -> Path:
    """Return the path without `..`, without following links or accessing the disk (the path may contain a glob)."""
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        else:
            parts.append(part)
    return Path(*parts)
