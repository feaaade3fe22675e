"""TTree and RNTuple, by uproot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from hepda.errors import SourceError, nearest
from hepda.events.expressions.awkward_arrays import column_of
from hepda.events.expressions.columns import Column, ValueProblem
from hepda.events.files.protocol import Reader

TREES = ("TTree", "TNtuple", "TNtupleD", "TChain")
NTUPLES = ("ROOT::RNTuple", "ROOT::Experimental::RNTuple")


class RootFile:
    """An open ROOT file. Raises SourceError if it is truncated."""

    def __init__(self, path: str) -> None:
        import uproot

        self._path = path
        # Spans never ask twice for the same entries: uproot's cache of arrays would only keep 100 MB of them.
        self._file = uproot.open(path, object_cache=None, array_cache=None)
        self._readers: dict[str, Reader] = {}
        try:
            self._check_size()
        except BaseException:
            self.close()
            raise
        self._kinds = {str(k): str(v) for k, v in self._file.classnames(cycle=False).items()}

    def _check_size(self) -> None:
        if "://" in self._path:
            return
        size, end = Path(self._path).stat().st_size, self._file.file.fEND
        if size < end:
            raise SourceError(
                f"{self._path}: is truncated: it has {size} of {end} bytes. Copy it again, or take it out of the list."
            )

    def trees(self) -> Sequence[str]:
        """Names of its TTrees and RNTuples."""
        return [name for name, kind in self._kinds.items() if kind in TREES + NTUPLES]

    def reader(self, tree: str) -> Reader:
        """The tree of this name."""
        if tree not in self._readers:
            make = TreeReader if self._kinds[tree] in TREES else NtupleReader
            self._readers[tree] = make(self._file[tree])
        return self._readers[tree]

    def histograms(self) -> Sequence[str]:
        """Names of its one-dimensional histograms."""
        return [name for name, kind in self._kinds.items() if kind.startswith(("TH1", "TProfile"))]

    def histogram(self, name: str) -> Any:
        """Contents of the one-dimensional histograms of this name, or of this pattern with *, [histograms, bins]."""
        there = self.histograms()
        found = [own for own in there if fnmatchcase(own, name)]
        if not found:
            hint = nearest(name, there) or (f" It has: {', '.join(there[:20])}." if there else " It has none.")
            raise SourceError(f"{self._path}: has no histogram {name!r}.{hint}")
        contents = [np.asarray(self._file[own].values(), dtype=np.float64) for own in found]
        if len({len(bins) for bins in contents}) > 1:
            raise SourceError(f"{self._path}: the histograms {name!r} ({', '.join(found)}) have different bins.")
        return np.stack(contents)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TreeReader:
    """A TTree: branches, and those inside of split branches."""

    def __init__(self, tree: Any) -> None:
        self._tree = tree
        self._branches: dict[str, Any] = dict(tree.items(filter_branch=lambda branch: len(branch.branches) == 0))
        self.entries = int(tree.num_entries)
        self.fields = tuple(self._branches)

    def is_list(self, field: str) -> bool:
        """Whether a branch holds a list an event."""
        typename = str(self._branches[field].typename)
        return typename.endswith("]") or typename.startswith(("std::vector<", "vector<", "ROOT::VecOps::RVec<"))

    def ends(self, fields: Sequence[str]) -> Sequence[int]:
        """The ends of baskets, of the branch that has the fewest: its are the longest."""
        offsets = [self._branches[field].entry_offsets for field in fields]
        return min(offsets, key=len, default=[0])[1:]

    def columns(self, fields: Sequence[str], start: int, stop: int | None) -> dict[str, Column]:
        """Columns of the entries [start, stop), all baskets at once."""
        wanted = {id(self._branches[field]) for field in fields}
        arrays = self._tree.arrays(
            filter_branch=lambda branch: id(branch) in wanted,
            entry_start=start,
            entry_stop=stop,
            library="ak",
            how=dict,
        )
        return dict(_columns((field, _found(field, arrays)) for field in fields))


def _found(field: str, arrays: dict[str, Any]) -> Any:
    """The array of a field: uproot calls the parts of split branches by their leaf."""
    for name in (field, field.rsplit("/", 1)[-1]):
        if name in arrays:
            return arrays[name]
    raise ValueProblem(f"{field!r} cannot be read as numbers: it is nested or holds objects")


class NtupleReader:
    """An RNTuple: fields, and the parts of records and of lists of records by a dot."""

    def __init__(self, ntuple: Any) -> None:
        self._ntuple = ntuple
        self.entries = int(ntuple.num_entries)
        self.fields = tuple(_leaves(ntuple))

    def is_list(self, field: str) -> bool:
        """Whether a field holds a list an event."""
        import awkward as ak

        layout = ak.to_layout(self._ntuple[field].array(entry_start=0, entry_stop=0, library="ak"))
        return bool(layout.is_list) and layout.parameter("__array__") is None

    def ends(self, fields: Sequence[str]) -> Sequence[int]:
        """The ends of clusters."""
        return [part.num_first_entry + part.num_entries for part in self._ntuple.cluster_summaries]

    def columns(self, fields: Sequence[str], start: int, stop: int | None) -> dict[str, Column]:
        """Columns of the entries [start, stop), field by field: uproot's own search of fields takes seconds."""
        arrays = (self._ntuple[field].array(entry_start=start, entry_stop=stop, library="ak") for field in fields)
        return dict(_columns(zip(fields, arrays, strict=True)))


def _leaves(ntuple: Any) -> Iterator[str]:
    """Names of the fields without fields of their own; uproot's `fields` looks through all records for each."""
    inside: dict[int, list[int]] = {}
    tops = []
    for number, record in enumerate(ntuple.field_records):
        if record.parent_field_id == number:
            tops.append(number)
        else:
            inside.setdefault(record.parent_field_id, []).append(number)

    def parts(number: int) -> Iterator[int]:
        for part in inside.get(number, ()):
            field = ntuple.all_fields[part]
            if field.is_anonymous:
                yield from parts(part)
            elif not field.name.startswith("_"):
                yield part

    def walk(numbers: Iterable[int], front: str) -> Iterator[str]:
        for number in numbers:
            name = f"{front}{ntuple.all_fields[number].name}"
            inner = list(parts(number))
            if inner:
                yield from walk(inner, f"{name}.")
            else:
                yield name

    # The importer of TTrees keeps a collection besides its projections, under a name of its own.
    yield from walk((n for n in tops if not ntuple.all_fields[n].name.startswith("_collection")), "")


def _columns(arrays: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Column]]:
    import awkward as ak

    for field, array in arrays:
        try:
            yield field, column_of(ak.to_layout(array))
        except ValueProblem as problem:
            raise ValueProblem(f"{field!r} {problem}") from problem
