"""Texts of problems of the analysis file; the checks are in events/checks.py, events/model_checks.py and others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hepda.config.section import Section
from hepda.errors import nearest


def given(section: Section, *keys: str) -> list[str]:
    """Return those of `keys` that the section has and that differ from their defaults.

    Keys at their defaults do not count, since a resolved file contains them all.
    """
    fields = type(section).model_fields
    return [key for key in keys if key in fields and getattr(section, key) != fields[key].default]


def unknown(path: str, name: str, kind: str, known: Iterable[str]) -> str:
    """Return the message that `name` at `path` is not a `kind`, with the nearest of the known names, or all of them."""
    known = list(known)
    hint = nearest(name, known) or f" There are: {', '.join(known)}."
    return f"{path}: {name!r} is not a {kind}.{hint}"


def no_feature(path: str, name: str, known: Iterable[str], variables: Iterable[str], kind: str = "feature") -> str:
    """Return the message that `name` at `path` is not a feature, or that it is a variable missing from `features`.

    Args:
        path: the key.
        name: the wrong name.
        known: the names that are allowed.
        variables: the variables of the analysis.
        kind: what the name should be.

    """
    if name in variables:
        return f"{path}: {name!r} is a variable, but not in `features`: add it there, or take it out here."
    return unknown(path, name, kind, known)


def one_file(names: Iterable[str]) -> Iterator[str]:
    """Yield a problem for models whose files would be the same on a disk that ignores upper and lower case."""
    first_names: dict[str, str] = {}
    for name in names:
        twin = first_names.setdefault(name.casefold(), name)
        if twin != name:
            yield (
                f"models.{name}: differs from models.{twin} only by capital letters, and on many disks their files "
                "would be the same; choose another name."
            )


def fusions(models: Mapping[str, Any]) -> Iterator[str]:
    """Yield the problems of models of `kind: fusion` with what they fuse, in any kind of data."""
    trained = [name for name, section in models.items() if getattr(section, "kind", None) != "fusion"]
    for model, section in models.items():
        if model in trained:
            continue
        path = f"models.{model}.of"
        yield from duplicates(path, section.of)
        for name in dict.fromkeys(section.of):
            if name == model:
                yield f"{path}: names the fusion itself; take {name!r} out."
            elif name not in models:
                yield unknown(path, name, "model", trained)
            elif name not in trained:
                yield f"{path}: {name!r} is a fusion too; name the models that it fuses: {', '.join(models[name].of)}."
        if len(set(section.of)) < 2:
            yield f"{path}: has {len(section.of)} model, so there is nothing to fuse; name two or more."


def duplicates(path: str, names: tuple[str, ...]) -> Iterator[str]:
    """Yield a problem for every name that is listed twice."""
    for name in dict.fromkeys(n for n in names if names.count(n) > 1):
        yield f"{path}: {name!r} is listed twice."
