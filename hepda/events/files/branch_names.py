"""What expressions may call the branches of a file: dots or underscores, collections' counters, aliases."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from unicodedata import normalize

from hepda.errors import SourceError, nearest

_AUXILIARY = re.compile(r"Aux(Dyn)?(?=\.)")
"""ATLAS splits a container into `<container>AuxDyn.<variable>`; analysts say `<container>.<variable>`."""
_LOOKED_AT = 3
"""Fields of a collection that are asked whether they are lists, for its counter."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field by its name in the file; counted: the lengths of its lists are meant."""

    name: str
    counted: bool = False


def names_of(
    fields: Sequence[str], is_list: Callable[[str], bool], aliases: Mapping[str, str], where: str
) -> dict[str, Field]:
    """Every name that an expression may use, the file's own first.

    `Jet.pt` and `Jet_pt` are the same branch unless the file has both; `nJet` is the length of a collection's
    lists where the file has no such branch; ATLAS's `AnalysisJetsAuxDyn.pt` is `AnalysisJets.pt`, too. An alias
    stands above all. A spelling that two branches would share belongs to neither. Raises SourceError, beginning
    with `where`, for an alias of a branch that is not there.
    """
    names = {field: Field(field) for field in fields}
    for spelling, owners in _spellings(fields).items():
        if spelling not in names and len(owners) == 1:
            names[spelling] = Field(owners[0])
    for counter, members in _collections(names).items():
        lists = (names[member].name for member in members[:_LOOKED_AT])
        found = None if counter in names else next((field for field in lists if is_list(field)), None)
        if found is not None:
            names[counter] = Field(found, counted=True)
    renamed = {}
    for alias, branch in aliases.items():
        if branch not in names:
            hint = nearest(branch, names)
            raise SourceError(f"{where} has no branch {branch!r}, of which {alias!r} is the alias.{hint}")
        renamed[alias] = names[branch]
    return names | renamed


def _spellings(fields: Sequence[str]) -> dict[str, list[str]]:
    """Other spellings of the fields, and the fields that would have them."""
    found: dict[str, list[str]] = {}
    for field in fields:
        for spelling in _spelled(field):
            if spelling != field:
                found.setdefault(spelling, []).append(field)
    return found


def _spelled(field: str) -> set[str]:
    leaf = field.rsplit("/", 1)[-1]
    own = {leaf, _AUXILIARY.sub("", leaf)}
    for name in tuple(own):
        own.add(name.rstrip("._"))  # NanoAOD has had both genEventSumw and genEventSumw_
        own.add(name.replace(".", "_"))
        head, _, tail = name.partition("_")
        if "." not in name and head and tail:
            own.add(f"{head}.{tail}")
    # Expressions are Python's, where a micro sign in a name is a Greek mu.
    return {normalize("NFKC", name) for name in own if name} | {name for name in own if name}


def _collections(names: Mapping[str, Field]) -> dict[str, list[str]]:
    """Counters `n<collection>` and the members of each collection, in the file's order."""
    found: dict[str, list[str]] = {}
    for name in names:
        head, separator, _ = name.partition("." if "." in name else "_")
        if separator and head:
            found.setdefault(f"n{head}", []).append(name)
    return found


def plain_order(names: Mapping[str, Field]) -> Iterator[str]:
    """The names as the file spells them, once each."""
    return (name for name, field in names.items() if name == field.name and not field.counted)
