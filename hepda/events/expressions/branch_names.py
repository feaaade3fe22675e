"""The names that expressions may use for the branches of a file: dots or underscores, counters, aliases."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from keyword import iskeyword
from unicodedata import normalize

from hepda.errors import SourceError, nearest

_AUXILIARY = re.compile(r"Aux(Dyn)?(?=\.)")
"""ATLAS splits a container into `<container>AuxDyn.<variable>`; analysts write `<container>.<variable>`."""
_SEPARATOR = re.compile(r"[./]*/[./]*")
"""Between a split branch, whose name may end with a dot, and the branches inside."""
_EXAMINED = 3
"""Number of fields of a collection that are examined for lists, for its counter."""


_NUMBER = re.compile(r";\d+$")
"""The number that distinguishes branches of one name, see `unique_names`."""
_SHOWN = 8
"""Number of branches that a message lists."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field by its name in the file; counted: the name means the lengths of its lists."""

    name: str
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Names:
    """The names that expressions may use, and those that they may not.

    known: the field that each name means; refused: names that mean no field, and why, such as `holds string`.
    """

    known: dict[str, Field]
    refused: dict[str, str]


def names_of(
    fields: Sequence[str],
    is_list: Callable[[str], bool],
    aliases: Mapping[str, str],
    where: str,
    not_numbers: Mapping[str, str] | None = None,
) -> Names:
    """Return every name that an expression may use; the names in the file have priority over other spellings.

    `Jet.pt` and `Jet_pt` are the same branch unless the file has both. `pt` inside of a split branch `Jet` is also
    `Jet.pt`. `nJet` is the length of a collection's lists where the file has no such branch. ATLAS's
    `AnalysisJetsAuxDyn.pt` is also `AnalysisJets.pt`. An alias has priority over all of these. A spelling that several
    branches share belongs to none of them.

    Args:
        fields: the names in the file.
        is_list: returns whether a field holds a list per event.
        aliases: the branch of each alias.
        where: the beginning of messages.
        not_numbers: fields that are not numbers, by name, with their content.

    Raises:
        SourceError: an alias of a branch that is not there.

    """
    spelled = _spelled_names(tuple(fields))
    names = dict(spelled.names)
    refused = {name: f"{what}, not numbers or lists of numbers" for name, what in (not_numbers or {}).items()}
    refused |= spelled.shared
    for counter, members in spelled.collections.items():
        lists = (names[member].name for member in members[:_EXAMINED])
        list_field = None if counter in names else next((field for field in lists if is_list(field)), None)
        if list_field is not None:
            names[counter] = Field(list_field, counted=True)
    renamed = {}
    for alias, branch in aliases.items():
        if branch not in names:
            why = f"{where}: the branch {branch!r}, of which {alias!r} is the alias, {refused.get(branch)}."
            if branch not in refused:
                why = f"{where} has no branch {branch!r}, of which {alias!r} is the alias.{nearest(branch, names)}"
            raise SourceError(why)
        renamed[alias] = names[branch]
    known = names | renamed
    return Names(known, {name: why for name, why in refused.items() if name not in known})


@dataclass(frozen=True, slots=True)
class _SpelledNames:
    """What follows from the names of the fields alone.

    names: every spelling that belongs to one field; shared: the others, and what to write instead; collections: as of
    `_collections`.
    """

    names: Mapping[str, Field]
    shared: Mapping[str, str]
    collections: Mapping[str, list[str]]


@lru_cache(maxsize=16)  # the files of a sample have the same fields, hundreds of them
def _spelled_names(fields: tuple[str, ...]) -> _SpelledNames:
    names = {field: Field(field) for field in fields}
    shared: dict[str, list[str]] = {}
    for spelling, owners in _spellings(fields).items():
        if spelling in names:
            continue
        if len(owners) == 1:
            names[spelling] = Field(owners[0])
        else:
            shared[spelling] = owners
    if not shared:
        return _SpelledNames(names, {}, _collections(names))
    # Of several spellings, take the one that is most similar to the name in the file.
    written = {field.name: name for name, field in sorted(names.items(), reverse=True) if is_name(name)}
    meanings = {spelling: _meanings(owners, written) for spelling, owners in shared.items()}
    return _SpelledNames(names, meanings, _collections(names))


def is_name(text: str) -> bool:
    """Return whether a name can be written in an expression: Python's identifiers, joined by dots."""
    return all(part.isidentifier() and not iskeyword(part) for part in text.split("."))


def _meanings(owners: Sequence[str], written: Mapping[str, str]) -> str:
    """Return what to write instead of a spelling that the fields `owners` share.

    written: fields by their names in the file, as expressions write them.
    """
    shown = ", ".join(written.get(owner, owner) for owner in owners[:_SHOWN])
    more = f" and {len(owners) - _SHOWN} more" if len(owners) > _SHOWN else ""
    how = "write the intended one"
    if any(owner not in written for owner in owners):
        how = "give the intended one another name by the sample's `aliases`"
    return f"may be any of {len(owners)} branches ({shown}{more}); {how}"


def _spellings(fields: Sequence[str]) -> dict[str, list[str]]:
    """Return other spellings of the fields, and for each the fields that would have it."""
    fields_of: dict[str, list[str]] = {}
    for field in fields:
        for spelling in _spelled(field):
            if spelling != field:
                fields_of.setdefault(spelling, []).append(field)
    return fields_of


def _spelled(field: str) -> set[str]:
    path = _NUMBER.sub("", field)
    leaf = path.rsplit("/", 1)[-1]
    spellings = {leaf, _AUXILIARY.sub("", leaf)}
    if leaf != path:
        spellings.add(_SEPARATOR.sub(".", path))
    for name in tuple(spellings):
        spellings.add(name.rstrip("._"))  # NanoAOD has had both genEventSumw and genEventSumw_
        spellings.add(name.replace(".", "_"))
        head, _, tail = name.partition("_")
        if "." not in name and head and tail:
            spellings.add(f"{head}.{tail}")
    # Expressions are Python's, where a micro sign in a name is a Greek mu.
    return {normalize("NFKC", name) for name in spellings if name} | {name for name in spellings if name}


def _collections(names: Mapping[str, Field]) -> dict[str, list[str]]:
    """Return the counters `n<collection>` and the members of each collection, in the file's order."""
    members: dict[str, list[str]] = {}
    for name in names:
        head, separator, _ = name.partition("." if "." in name else "_")
        if separator and head:
            members.setdefault(f"n{head}", []).append(name)
    return members


def plain_order(names: Mapping[str, Field]) -> Iterator[str]:
    """Return the names as the file spells them, each once."""
    return (name for name, field in names.items() if name == field.name and not field.counted)
