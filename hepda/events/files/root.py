"""TTree and RNTuple, read by uproot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from hepda.errors import SourceError, nearest
from hepda.events.expressions.awkward_arrays import column_of
from hepda.events.expressions.columns import Column, ValueProblem
from hepda.events.files.protocol import Reader, unique_names

TREES = ("TTree", "TNtuple", "TNtupleD", "TChain")
NTUPLES = ("ROOT::RNTuple", "ROOT::Experimental::RNTuple")
_AT_ONCE = 8
"""Number of branches that are requested from a server in parallel."""


class RootFile:
    """An open ROOT file. Raises SourceError if it is truncated."""

    def __init__(self, path: str) -> None:
        import uproot

        self._path = path
        # No entries are read twice: uproot's cache of arrays would only occupy 100 MB.
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
        """Return the names of its TTrees and RNTuples."""
        return [name for name, kind in self._kinds.items() if kind in TREES + NTUPLES]

    def reader(self, tree: str) -> Reader:
        """Return the tree of this name."""
        if tree not in self._readers:
            tree_object = self._file[tree]
            is_tree = self._kinds[tree] in TREES
            self._readers[tree] = TreeReader(tree_object, "://" in self._path) if is_tree else NtupleReader(tree_object)
        return self._readers[tree]

    def histograms(self) -> Sequence[str]:
        """Return the names of its one-dimensional histograms."""
        return [name for name, kind in self._kinds.items() if kind.startswith(("TH1", "TProfile"))]

    def histogram(self, name: str) -> Any:
        """Return the contents of one-dimensional histograms, [histograms, bins].

        Args:
            name: their name, or a pattern with *.

        Raises:
            SourceError: there is none, or they have different bins.

        """
        names = self.histograms()
        matches = [match for match in names if fnmatchcase(match, name)]
        if not matches:
            hint = nearest(name, names) or (f" It has: {', '.join(names[:20])}." if names else " It has none.")
            raise SourceError(f"{self._path}: has no histogram {name!r}.{hint}")
        contents = [np.asarray(self._file[match].values(), dtype=np.float64) for match in matches]
        if len({len(bins) for bins in contents}) > 1:
            raise SourceError(f"{self._path}: the histograms {name!r} ({', '.join(matches)}) have different bins.")
        return np.stack(contents)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TreeReader:
    """A TTree: its branches, and those inside of split branches, each by its complete path.

    remote: several branches are requested in parallel, because each needs a round trip to the server.
    """

    def __init__(self, tree: Any, remote: bool = False) -> None:
        leaves = tree.items(filter_branch=lambda branch: len(branch.branches) == 0)
        names = unique_names([name for name, _ in leaves])
        self._branches: dict[str, Any] = dict(zip(names, (branch for _, branch in leaves), strict=True))
        self._remote = remote
        self.entries = int(tree.num_entries)
        self.fields = tuple(self._branches)
        self.unreadable: Mapping[str, str] = {}

    def is_list(self, field: str) -> bool:
        """Return whether a branch holds a list per event."""
        typename = str(self._branches[field].typename)
        return typename.endswith("]") or typename.startswith(("std::vector<", "vector<", "ROOT::VecOps::RVec<"))

    def ends(self, fields: Sequence[str]) -> Sequence[int]:
        """Return the ends of baskets of the branch that has the fewest, whose baskets are the longest."""
        offsets = [self._branches[field].entry_offsets for field in fields]
        return min(offsets, key=len, default=[0])[1:]

    def columns(self, fields: Sequence[str], start: int, stop: int | None) -> dict[str, Column]:
        """Return columns of the entries [start, stop), branch by branch.

        uproot's `tree.arrays` uses the names of leaves, which several branches may share, and the aliases of the tree;
        it also needs seconds to look through the branches of an xAOD.
        """

        def read(field: str) -> Any:
            return self._array(field, start, self.entries if stop is None else stop)

        if not self._remote or len(fields) < 2:
            return dict(_columns(zip(fields, map(read, fields), strict=True)))
        with ThreadPoolExecutor(min(_AT_ONCE, len(fields))) as pool:
            return dict(_columns(zip(fields, pool.map(read, fields), strict=True)))

    def _array(self, field: str, start: int, stop: int) -> Any:
        """Return the array of one branch. Raises ValueProblem if uproot cannot make an array of what it holds."""
        branch = self._branches[field]
        if branch.num_entries != self.entries:
            raise ValueProblem(f"{field!r} has {branch.num_entries} entries and its tree has {self.entries}")
        try:
            return branch.array(entry_start=start, entry_stop=stop, library="ak")
        except Exception as error:
            # Numbers that cannot be read are a fault of the file; whether objects can be read depends on uproot.
            if _holds_numbers(branch.interpretation) or isinstance(error, OSError):
                raise
            message = f"{field!r} holds objects ({branch.typename}), not numbers or lists of numbers"
            raise ValueProblem(message) from error


def _holds_numbers(interpretation: Any) -> bool:
    """Return whether uproot interprets a branch as numbers or lists of numbers, not as objects."""
    from uproot.interpretation.jagged import AsJagged
    from uproot.interpretation.numerical import Numerical
    from uproot.interpretation.objects import AsStridedObjects

    inner = interpretation.content if isinstance(interpretation, AsJagged) else interpretation
    return isinstance(inner, Numerical) and not isinstance(inner, AsStridedObjects)


class NtupleReader:
    """An RNTuple: its fields, and the parts of records and of lists of records, joined by a dot."""

    def __init__(self, ntuple: Any) -> None:
        self._ntuple = ntuple
        leaves = list(_leaves(ntuple))
        names = unique_names([name for name, _ in leaves])
        self._fields: dict[str, Any] = dict(zip(names, (field for _, field in leaves), strict=True))
        self.entries = int(ntuple.num_entries)
        self.fields = tuple(self._fields)
        self.unreadable: Mapping[str, str] = {}

    def is_list(self, field: str) -> bool:
        """Return whether a field holds a list per event."""
        import awkward as ak

        layout = ak.to_layout(self._fields[field].array(entry_start=0, entry_stop=0, library="ak"))
        return bool(layout.is_list) and layout.parameter("__array__") is None

    def ends(self, fields: Sequence[str]) -> Sequence[int]:
        """Return the ends of clusters."""
        return [part.num_first_entry + part.num_entries for part in self._ntuple.cluster_summaries]

    def columns(self, fields: Sequence[str], start: int, stop: int | None) -> dict[str, Column]:
        """Return columns of the entries [start, stop), field by field: uproot's own search of fields takes seconds."""
        arrays = (self._fields[field].array(entry_start=start, entry_stop=stop, library="ak") for field in fields)
        return dict(_columns(zip(fields, arrays, strict=True)))


def _leaves(ntuple: Any) -> Iterator[tuple[str, Any]]:
    """Yield the names and fields of those that have no fields inside.

    uproot's `fields` looks through all records for each of them.
    """
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

    def walk(numbers: Iterable[int], front: str) -> Iterator[tuple[str, Any]]:
        for number in numbers:
            name = f"{front}{ntuple.all_fields[number].name}"
            inner = list(parts(number))
            if inner:
                yield from walk(inner, f"{name}.")
            else:
                yield name, ntuple.all_fields[number]

    # The importer of TTrees keeps a collection in addition to its projections, under a separate name.
    yield from walk((n for n in tops if not ntuple.all_fields[n].name.startswith("_collection")), "")


def _columns(arrays: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Column]]:
    import awkward as ak

    for field, array in arrays:
        try:
            yield field, column_of(ak.to_layout(array))
        except ValueProblem as problem:
            raise ValueProblem(f"{field!r} {problem}") from problem
