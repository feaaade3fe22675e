"""The branches of a TTree, described one by one when they are needed.

uproot describes every branch of a tree when it reads the tree, some 0.6 ms each: a second for the files of an
experiment, of which an analysis reads a few branches. Here the list of branches is scanned for their names, and uproot
describes a branch, in the same way as ever, when it is asked for. References between branches (from a list to its
counter) lead to the branch that they mean, which is then described first. A list that is not written as usual is left
to uproot.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct, error, unpack_from
from typing import Any

import uproot
from uproot.behaviors.TTree import TTree
from uproot.deserialization import read_object_any
from uproot.models.TObjArray import Model_TObjArray
from uproot.source.cursor import Cursor

TESTED = ((5, 7, 6), (5, 7, 7))
"""The first and the last version of uproot with which this module is tested: it replaces a class of uproot's.

With 5.7.5, for example, references from lists to their counters are not followed in the way that is expected here, and
lists would be read as numbers.
"""
_BYTE_COUNT = 0x40000000
_CLASS = 0x80000000
_NEW_CLASS = 0xFFFFFFFF
_REFERENCED = 1 << 4
_MAP_OFFSET = 2
"""The marks and the offset of references of TBufferFile, see ROOT's io/io/src/TBufferFile.cxx."""
_HEADER = 6
"""Bytes of the byte count and the version of an object."""
_NUMBERS = {10: 60, 11: 68, 12: 68}
"""Bytes of the numbers of a TBranch before its list of branches, by version; from version 13 on see `_IO_FEATURES`."""
_IO_FEATURES = (24, 44)
"""In version 13: bytes of the numbers before and after the object of class TIOFeatures."""
_ABOVE = {"TBranch": 0, "TBranchElement": 1, "TBranchObject": 1}
"""Number of headers before that of TBranch, by class."""
_PAIR = Struct(">II")


class _UnusualError(Exception):
    """The list is not written in the way that is understood here."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch that has not been described yet.

    name: its name; begin, end: its place in the bytes of the tree; inside: whether it has branches inside.
    """

    name: str
    begin: int
    end: int
    inside: bool

    def member(self, name: str) -> str:
        """Return its name, the only member that uproot asks for when it reads a tree."""
        if name != "fName":
            raise KeyError(name)
        return self.name


def file_classes() -> dict[str, Any] | None:
    """Return the classes by which uproot should read a file: its own (None) in versions that are not tested.

    Those describe every branch, which is slower for wide files, and right.
    """
    version = tuple(int(number) for number in re.findall(r"\d+", uproot.__version__)[:3])
    return FileClasses() if TESTED[0] <= version <= TESTED[1] else None


class FileClasses(dict[str, Any]):
    """The classes by which uproot reads a file, with the one of this module for lists of branches."""

    def __init__(self) -> None:
        super().__init__(uproot.classes)
        super().__setitem__("TObjArray", Branches)

    def __setitem__(self, name: str, found: Any) -> None:
        """Add a class that the file describes; other files use it too, as with uproot's own classes."""
        super().__setitem__(name, found)
        uproot.classes.setdefault(name, found)


class Branches(Model_TObjArray):  # type: ignore[misc]  # uproot has no types
    """uproot's TObjArray; as the list of branches of a tree it has a `Branch` for each that was not asked for yet."""

    classname = "TObjArray"
    class_version = None

    def read_members(self, chunk: Any, cursor: Any, context: Any, file: Any) -> None:
        """Read the list; that of the branches of a tree is only scanned, and that of its leaves is not needed."""
        tree = self._parent
        if not isinstance(tree, TTree) or self._num_bytes is None:
            super().read_members(chunk, cursor, context, file)
            return
        end = self._cursor.index + self._num_bytes
        listed = tree.members.get("fBranches")
        if isinstance(listed, Branches) and listed.scanned:
            self._data: list[Any] = []
            cursor.move_to(end)
            return
        scan = _Scan(bytes(chunk.get(0, end, Cursor(0), context)), cursor.origin)
        try:
            self._data = list(_branches(scan.data, scan.origin, cursor.index))
        except (_UnusualError, error, UnicodeDecodeError, IndexError):
            super().read_members(chunk, cursor, context, file)
            return
        cursor._refs = _References(self, scan, cursor.refs)
        self._source = (chunk, cursor.origin, cursor._refs, {"breadcrumbs": (), "TKey": context.get("TKey")}, file)
        self._begins = [branch.begin for branch in self._data]
        self._reading = len(self._data)
        cursor.move_to(end)

    @property
    def scanned(self) -> bool:
        """Whether the list was scanned, so that it holds objects of class Branch."""
        return hasattr(self, "_begins")

    def described(self, number: int) -> Any:
        """Return uproot's description of a branch. Raises DeserializationError if uproot cannot describe it."""
        branch = self._data[number]
        if not isinstance(branch, Branch):
            return branch
        chunk, origin, references, context, file = self._source
        outer, self._reading = self._reading, number
        try:
            found = read_object_any(
                chunk, Cursor(branch.begin, origin, references), dict(context), file, self._file, self._parent
            )
        finally:
            self._reading = outer
        found._index = number  # uproot looks it up in the list of all branches
        self._data[number] = found
        return found

    def describe(self, place: int) -> None:
        """Describe the branch at a place in the bytes, if it comes before the one that is being described.

        uproot resolves references to earlier objects only.
        """
        number = bisect_right(self._begins, place) - 1
        if 0 <= number < self._reading:
            self.described(number)


class _References(dict[int, Any]):
    """What references mean, by their numbers: classes by their names, objects by describing the branch they are in."""

    def __init__(self, branches: Branches, scan: _Scan, known: dict[int, Any]) -> None:
        super().__init__(known)
        self._branches, self._scan = branches, scan

    def __contains__(self, number: object) -> bool:
        if super().__contains__(number) or not isinstance(number, int):
            return super().__contains__(number)
        place = number - _MAP_OFFSET + self._scan.origin
        name = self._scan.new_class(place)
        if name is not None:
            self[number] = self._branches._source[-1].class_named(name)
        elif self._branches._reading < len(self._branches):  # a branch is being described
            self._branches.describe(place)
        return super().__contains__(number)


class _Scan:
    """The bytes of a tree. origin: the place to which the numbers of references are relative."""

    def __init__(self, data: bytes, origin: int) -> None:
        self.data, self.origin = data, origin

    def new_class(self, place: int) -> str | None:
        """Return the name of the class that is introduced at a place; None if none is."""
        if not 0 <= place <= len(self.data) - 5 or unpack_from(">I", self.data, place)[0] != _NEW_CLASS:
            return None
        return self.data[place + 4 : self.data.index(b"\0", place + 4)].decode()

    def branches(self, place: int) -> Iterator[Branch]:
        """Yield the branches of a TObjArray without its header, and check that it ends where the last one ends."""
        place, number = self._size(place)
        for _ in range(number):
            count, tag = _PAIR.unpack_from(self.data, place)
            if not count & _BYTE_COUNT or count == _NEW_CLASS or not tag & _CLASS:
                raise _UnusualError
            begin, end = place, place + 4 + (count & ~_BYTE_COUNT)
            name = self.new_class(place + 4 if tag == _NEW_CLASS else (tag & ~_CLASS) - _MAP_OFFSET + self.origin)
            if name is None:
                raise _UnusualError
            yield self._branch(name, begin, place + 8 + (len(name) + 1 if tag == _NEW_CLASS else 0), end)
            place = end
        if place != len(self.data):
            raise _UnusualError

    def _branch(self, kind: str, begin: int, place: int, end: int) -> Branch:
        """Return a branch from the beginning of its object: the headers, the name, and the size of its list."""
        if kind not in _ABOVE:
            raise _UnusualError
        place += _HEADER * _ABOVE[kind]
        version, place, _ = self._header(place)
        _, named, after = self._header(place)
        name = self._string(self._object(named))[0]
        after = self._header(after)[2]  # TAttFill
        if version in _NUMBERS:
            after += _NUMBERS[version]
        elif version == 13:
            after = self._header(after + _IO_FEATURES[0])[2] + _IO_FEATURES[1]
        else:
            raise _UnusualError
        return Branch(name, begin, end, self._size(self._header(after)[1])[1] > 0)

    def _header(self, place: int) -> tuple[int, int, int]:
        """Return the version of an object, the place after its header, and the place after the object."""
        count, version = unpack_from(">IH", self.data, place)
        if not count & _BYTE_COUNT or count == _NEW_CLASS:
            raise _UnusualError
        return version, place + _HEADER, place + 4 + (count & ~_BYTE_COUNT)

    def _object(self, place: int) -> int:
        """Return the place after a TObject."""
        _, _, bits = unpack_from(">HII", self.data, place)
        return place + 10 + (2 if bits & _REFERENCED else 0)

    def _string(self, place: int) -> tuple[str, int]:
        """Return a TString and the place after it."""
        size, place = self.data[place], place + 1
        if size == 255:
            size, place = unpack_from(">I", self.data, place)[0], place + 4
        return self.data[place : place + size].decode(errors="surrogateescape"), place + size

    def _size(self, place: int) -> tuple[int, int]:
        """Return the place after the members of a TObjArray, and how many objects it has."""
        place = self._string(self._object(place))[1]
        number, _ = unpack_from(">ii", self.data, place)
        return place + 8, number


@lru_cache(maxsize=4)
def _branches(data: bytes, origin: int, place: int) -> tuple[Branch, ...]:
    """Return what `_Scan` finds in these bytes; a command opens a file several times."""
    return tuple(_Scan(data, origin).branches(place))


def leaves(tree: Any) -> Iterable[tuple[str, Any]]:
    """Yield the branches of a tree that have none inside: their paths, and what `described` takes."""
    listed = tree.member("fBranches")
    if not isinstance(listed, Branches) or not listed.scanned:
        yield from tree.items(filter_branch=_is_leaf)
        return
    for number, branch in enumerate(listed):
        if not (branch.inside if isinstance(branch, Branch) else branch.branches):
            yield branch.member("fName"), (listed, number)
            continue
        outer = listed.described(number)
        for name, inner in outer.items(filter_branch=_is_leaf):
            yield f"{outer.name}/{name}", inner


def described(branch: Any) -> Any:
    """Return uproot's description of one of the `leaves`."""
    return branch[0].described(branch[1]) if isinstance(branch, tuple) else branch


def _is_leaf(branch: Any) -> bool:
    return len(branch.branches) == 0
