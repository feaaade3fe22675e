"""TTree and RNTuple, read by uproot."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from hepda.errors import SourceError, nearest
from hepda.events.expressions.awkward_arrays import column_of
from hepda.events.expressions.columns import Column, ValueProblem, widen
from hepda.events.files.protocol import Reader, unique_names

TREES = ("TTree", "TNtuple", "TNtupleD", "TChain")
NTUPLES = ("ROOT::RNTuple", "ROOT::Experimental::RNTuple")
_NUMBERS_OF_NTUPLES = re.compile(
    r"((?P<lists>(std::vector|ROOT::VecOps::RVec)<)|(?P<lengths>ROOT::RNTupleCardinality<))?"
    r"(std::)?(?P<kind>bool|u?int(8|16|32|64)_t|float|double)(?(lists)>)(?(lengths)>)"
)
"""Types of fields of an RNTuple that are numbers or lists of numbers."""
_AT_ONCE = 8
"""Number of branches that are requested from a server in parallel."""


class RootFile:
    """An open ROOT file. Raises SourceError if it is truncated."""

    def __init__(self, path: str) -> None:
        import uproot

        from hepda.events.files.tree_branches import file_classes

        self._path = path
        # A thread for each request to a local file takes longer than the request.
        local = {} if "://" in path else {"handler": uproot.MultithreadedFileSource, "use_threads": False}
        # No entries are read twice: uproot's cache of arrays would only occupy 100 MB.
        self._file = uproot.open(path, object_cache=None, array_cache=None, custom_classes=file_classes(), **local)
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
        from uproot.deserialization import DeserializationError

        if tree in self._readers:
            return self._readers[tree]
        if self._kinds[tree] in NTUPLES:
            self._readers[tree] = NtupleReader(self._file[tree])
            return self._readers[tree]
        try:
            found = self._file[tree]
        except DeserializationError:
            found = self._entirely(tree)
        self._readers[tree] = TreeReader(found, "://" in self._path, lambda: self._entirely(tree))
        return self._readers[tree]

    def _entirely(self, tree: str) -> Any:
        """Return a tree as uproot reads it: all branches at once, and again if the file has classes of its own."""
        self._file.file.custom_classes = None
        return self._file[tree]

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

    remote: several branches are requested in parallel, because each needs a round trip to the server; entirely: reads
    the tree with all its branches, if one of them cannot be described alone.
    """

    def __init__(self, tree: Any, remote: bool, entirely: Callable[[], Any]) -> None:
        self._branches = _by_name(tree)
        self._remote, self._entirely = remote, entirely
        self.entries = int(tree.num_entries)
        self.fields = tuple(self._branches)
        self.unreadable: Mapping[str, str] = {}

    def _branch(self, field: str) -> Any:
        """Return uproot's description of a branch."""
        from uproot.deserialization import DeserializationError

        from hepda.events.files.tree_branches import described

        try:
            return described(self._branches[field])
        except DeserializationError:
            self._branches = _by_name(self._entirely())
            return described(self._branches[field])

    def is_list(self, field: str) -> bool:
        """Return whether a branch holds a list per event."""
        typename = str(self._branch(field).typename)
        return typename.endswith("]") or typename.startswith(("std::vector<", "vector<", "ROOT::VecOps::RVec<"))

    def number_type(self, field: str) -> np.dtype[Any] | None:
        """Return the type of the numbers of a branch, or of those in its lists; None for objects."""
        interpretation = self._branch(field).interpretation
        numbers = _type_of_numbers(interpretation).base if _holds_numbers(interpretation) else None
        return numbers if numbers is not None and numbers.kind in "biuf" else None  # not a leaf of several numbers

    def ends(self, fields: Sequence[str]) -> Sequence[int]:
        """Return the ends of baskets of the branch that has the fewest, whose baskets are the longest."""
        offsets = [self._branch(field).entry_offsets for field in fields]
        return min(offsets, key=len, default=[0])[1:]

    def columns(self, fields: Sequence[str], start: int, stop: int | None) -> dict[str, Column]:
        """Return columns of the entries [start, stop), branch by branch.

        uproot's `tree.arrays` uses the names of leaves, which several branches may share, and the aliases of the tree;
        it also needs seconds to look through the branches of an xAOD.
        """
        branches = {field: self._branch(field) for field in fields}

        def read(field: str) -> Any:
            return self._array(field, branches[field], start, self.entries if stop is None else stop)

        if not self._remote or len(fields) < 2:
            return dict(_columns(zip(fields, map(read, fields), strict=True)))
        with ThreadPoolExecutor(min(_AT_ONCE, len(fields))) as pool:
            return dict(_columns(zip(fields, pool.map(read, fields), strict=True)))

    def _array(self, field: str, branch: Any, start: int, stop: int) -> Any:
        """Return the array of one branch. Raises ValueProblem if uproot cannot make an array of what it holds."""
        if branch.num_entries != self.entries:
            raise ValueProblem(f"{field!r} has {branch.num_entries} entries and its tree has {self.entries}")
        try:
            library = "np" if _is_number(branch.interpretation) else "ak"  # numpy's arrays take less time to make
            return branch.array(entry_start=start, entry_stop=stop, library=library)
        except Exception as error:
            # Numbers that cannot be read are a fault of the file; whether objects can be read depends on uproot.
            if _holds_numbers(branch.interpretation) or isinstance(error, OSError):
                raise
            message = f"{field!r} holds objects ({branch.typename}), not numbers or lists of numbers"
            raise ValueProblem(message) from error


def _by_name(tree: Any) -> dict[str, Any]:
    """Return the branches of a tree that have none inside, as `described` takes them, by their names."""
    from hepda.events.files.tree_branches import leaves

    listed = list(leaves(tree))
    return dict(zip(unique_names([name for name, _ in listed]), (branch for _, branch in listed), strict=True))


def _holds_numbers(interpretation: Any) -> bool:
    """Return whether uproot interprets a branch as numbers or lists of numbers, not as objects."""
    from uproot.interpretation.jagged import AsJagged
    from uproot.interpretation.numerical import Numerical
    from uproot.interpretation.objects import AsStridedObjects

    inner = interpretation.content if isinstance(interpretation, AsJagged) else interpretation
    return isinstance(inner, Numerical) and not isinstance(inner, AsStridedObjects)


def _is_number(interpretation: Any) -> bool:
    """Return whether uproot interprets a branch as one plain number per event."""
    from uproot.interpretation.numerical import AsDtype

    numbers = interpretation.to_dtype if type(interpretation) is AsDtype else None
    return numbers is not None and numbers.names is None and numbers.shape == ()


def _type_of_numbers(interpretation: Any) -> np.dtype[Any]:
    """Return the type of the numbers, or of those in the lists, of an array that uproot makes."""
    found: np.dtype[Any] = getattr(interpretation, "content", interpretation).to_dtype
    return found


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

        found = self._fields[field]
        numbers = _NUMBERS_OF_NTUPLES.fullmatch(found.typename)
        if numbers and found.top_level:  # a number in a record is a list if the record is in one
            return numbers["lists"] is not None
        layout = ak.to_layout(found.array(entry_start=0, entry_stop=0, library="ak"))
        return bool(layout.is_list) and layout.parameter("__array__") is None

    def number_type(self, field: str) -> np.dtype[Any] | None:
        """Return the type of the numbers of a field, or of those in its lists; None for types of several parts."""
        numbers = _NUMBERS_OF_NTUPLES.fullmatch(self._fields[field].typename)
        if numbers is None:
            return None
        kind = numbers["kind"].removesuffix("_t")
        return np.dtype({"float": "float32", "double": "float64"}.get(kind, kind))

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
            yield field, Column(widen(array)) if isinstance(array, np.ndarray) else column_of(ak.to_layout(array))
        except ValueProblem as problem:
            raise ValueProblem(f"{field!r} {problem}") from problem
