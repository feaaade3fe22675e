"""ROOT files that uproot does not write: split branches, and branches of one name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from struct import pack, unpack_from
from typing import Any

import uproot

ANY = b"\xff\xff\xff\xff"
"""Before the class of an object; the count of its bytes stands before that."""
EMPTY = b"@\x00\x00\x15\x00\x03\x00\x01\x00\x00\x00\x00\x03\x00\x00\x00" + bytes(9)
"""A TObjArray of nothing: its last eight bytes are its size and its lower bound."""


def write_split(
    path: Path,
    branches: Mapping[str, Any],
    types: Mapping[str, Any],
    inside: Mapping[str, Sequence[str]],
    renamed: Mapping[str, str],
) -> Path:
    """A file with the tree `events`, uncompressed; return its path.

    inside: branches that are moved into others, which come last among `branches`; renamed: to names as long as
    before, which may be the same for several.
    """
    with uproot.recreate(path, compression=None) as file:
        file.mktree("events", dict(types))
        file["events"].extend(dict(branches))
    with uproot.open(path) as file:
        key = file.key("events")
        start, size = key.fSeekKey + key.fKeylen, key.fObjlen
    raw = path.read_bytes()
    tree = _nested(raw[start : start + size], key.fKeylen, inside)
    assert len(tree) == size
    raw = raw[:start] + tree + raw[start + size :]
    for old, new in renamed.items():
        assert len(old) == len(new)
        for mark in (b"%c%s", b"%c%s/", b"%c%s["):  # names, and titles as jet/D or jet[njet]/D
            front = len(old) + (0 if mark == b"%c%s" else 2)
            raw = raw.replace(mark % (front, old.encode()), mark % (front, new.encode()))
    path.write_bytes(raw)
    return path


def _nested(blob: bytes, key_length: int, inside: Mapping[str, Sequence[str]]) -> bytes:
    """The bytes of a TTree with some of its branches inside of others."""
    starts = [found.start() - 4 for found in re.finditer(re.escape(ANY + b"TBranch\0"), blob)]
    parts = {_name(blob, start): (start, start + 4 + _count(blob, start)) for start in starts}
    moved = {name for names in inside.values() for name in names}
    first, last = starts[0], max(stop for _, stop in parts.values())
    segments = [(0, first)]
    counts: list[tuple[int, int, int]] = []  # where in the old bytes, and what is added to which count
    for name, (start, stop) in parts.items():
        if name in moved:
            continue
        place = blob.index(EMPTY, start) + len(EMPTY)
        children = [parts[child] for child in inside.get(name, ())]
        segments += [(start, place), *children, (place, stop)]
        grown = sum(end - begin for begin, end in children)
        counts += [(place - len(EMPTY), grown, len(children)), (start, grown, 0), (start + 16, grown, 0)]
    segments.append((last, len(blob)))
    old = bytearray(blob)
    for where, grown, number in counts:
        old[where : where + 4] = pack(">I", unpack_from(">I", old, where)[0] + grown)
        if number:
            old[where + 17 : where + 21] = pack(">I", number)
    old[first - 8 : first - 4] = pack(">I", len(parts) - len(moved))
    new = b"".join(bytes(old[begin:end]) for begin, end in segments)
    references = {}  # to leaves, by their places
    for leaf in re.finditer(re.escape(ANY) + rb"TLeaf\w\0", blob):
        here, done = leaf.start() - 4, 0
        for begin, end in segments:
            if begin <= here < end:
                references[pack(">I", here + key_length + 2)] = pack(">I", here - begin + done + key_length + 2)
            done += end - begin
    return re.sub(b"|".join(map(re.escape, references)), lambda found: references[found.group()], new)


def _count(blob: bytes, place: int) -> int:
    return int(unpack_from(">I", blob, place)[0]) & ~0x40000000


def _name(blob: bytes, start: int) -> str:
    """The name of the TBranch whose object begins there."""
    place = start + 8 + len("TBranch\0") + 6 + 6 + 10  # after the headers of TBranch, TNamed and TObject
    return blob[place + 1 : place + 1 + blob[place]].decode()
