"""How problems of the analysis file are found and said; the checks are in checks.py and model_checks.py."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hepda.config.section import Section
from hepda.errors import nearest


def given(section: Section, *keys: str) -> list[str]:
    """The keys among `keys`, if the section has them, that are not at their defaults (which a resolved file writes)."""
    fields = type(section).model_fields
    return [key for key in keys if key in fields and getattr(section, key) != fields[key].default]


def unknown(path: str, name: str, kind: str, known: Iterable[str]) -> str:
    """That `name` at `path` is not a `kind`, with the nearest of the known ones, or all of them."""
    known = list(known)
    hint = nearest(name, known) or f" There are: {', '.join(known)}."
    return f"{path}: {name!r} is not a {kind}.{hint}"


def no_feature(path: str, name: str, known: Iterable[str], variables: Iterable[str], kind: str = "feature") -> str:
    """That `name` at `path` is not a feature; one that is a variable is only missing from `features`."""
    if name in variables:
        return f"{path}: {name!r} is a variable, but not in `features`: add it there, or take it out here."
    return unknown(path, name, kind, known)


def one_file(names: Iterable[str]) -> Iterator[str]:
    """A problem for models whose files would be the same on a disk that takes capitals and small letters for equal."""
    found: dict[str, str] = {}
    for name in names:
        twin = found.setdefault(name.casefold(), name)
        if twin != name:
            yield (
                f"models.{name}: differs from models.{twin} by capital letters alone, and on many disks their files "
                "would be the same; choose another name."
            )


def duplicates(path: str, names: tuple[str, ...]) -> Iterator[str]:
    """A problem for every name that is listed twice."""
    for name in dict.fromkeys(n for n in names if names.count(n) > 1):
        yield f"{path}: {name!r} is listed twice."
