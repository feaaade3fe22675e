"""`hepda init`: a starting analysis file from the branches of a file, to be corrected by one who knows them.

What is guessed is guessed from names and from the first events, and the text says so line by line: which branches
identify an event, which are weights, which lists belong together (`Jet_pt`, `Jet_eta`, ...), which make features.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hepda.errors import SourceError
from hepda.events.expressions.columns import Column
from hepda.events.files.opening import Tree, open_tree
from hepda.events.sum_of_weights import Books, books_of

LOOKED_AT = 1000  # entries: enough to tell a constant from a number
MOST = 30  # features of each kind that are proposed; the others stand in a comment
RUNS = ("run", "runnumber", "run_number")
EVENTS = ("event", "eventnumber", "event_number", "evt", "evtnum")
WEIGHTS = re.compile(r"^(gen(erator)?_?weight|mc_?event_?weights?|event_?weight|weight(_?mc)?|mc_?weight)$", re.I)
VARIED = re.compile(r"_?(up|down|jes|jer)(_|$)|_?(Up|Down)$")
OTHER_WEIGHTS = re.compile(r"weight|(^|_)sf(_|$)|scale_?factor", re.IGNORECASE)
BOOKKEEPING = re.compile(r"(^|_)(id|idx|index|hash|lumi\w*|bunchcrossing|bx|isdata)$|^HLT_|^L1_|^Flag_", re.I)
TRUTH = re.compile(r"gen|truth|^mc|lhe|born|hardscatter|parton|pdgid|flavou?r|extra_[bc]$", re.IGNORECASE)
NAME = re.compile(r"[^\W\d]\w*(\.\w+)*")  # what may stand in an expression


@dataclass(slots=True)
class Found:
    """The branches of a tree by what they seem to be."""

    run: str | None = None
    event: str | None = None
    weight: str | None = None
    weights: list[str] = field(default_factory=list)
    flat: list[str] = field(default_factory=list)
    lists: dict[str, dict[str, str]] = field(default_factory=dict)  # collection -> part -> branch
    counts: list[str] = field(default_factory=list)  # lengths of lists, which `count` gives as well
    varied: list[str] = field(default_factory=list)
    constant: list[str] = field(default_factory=list)
    truth: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)  # bookkeeping, and what holds no numbers


def starting_yaml(path: str, tree: str | None = None) -> str:
    """The text of an analysis file for the events of `path`; `hepda check` passes on it once its samples are real.

    tree: its name, or None for the one that holds the events. Raises SourceError: the file cannot be read, or has
    no events.
    """
    with open_tree(path, tree) as source:
        if not source.entries:
            raise SourceError(f"{path}: the tree {source.tree!r} has no entries to look at; name another file or tree.")
        found, books = classify(source), books_of(source.file, source.tree)
    return "\n".join(_lines(Path(path), source.tree, found, books)) + "\n"


def classify(source: Tree) -> Found:
    """Look at the names of all branches and at the first entries of each."""
    found = Found()
    names = [name for name in source.own_names if NAME.fullmatch(name)]
    found.left = [name for name in source.own_names if name not in names]
    lists = source.file.do("the kinds of branches", lambda f: list(map(f.reader(source.tree).is_list, names)))
    for name, is_list in zip(names, lists, strict=True):
        if is_list:
            collection, part = _split(name)
            found.lists.setdefault(collection, {})[part.lower()] = name
    branches = (branch for parts in found.lists.values() for branch in parts.values())
    counted = {f"n{name}".lower().replace("_", "") for name in (*found.lists, *branches)}
    for name, is_list in zip(names, lists, strict=True):
        if is_list:
            continue
        if name.lower().replace("_", "") in counted:
            found.counts.append(name)
            continue
        try:
            column = source.read([name], 0, min(LOOKED_AT, source.entries))[name]
        except SourceError:
            found.left.append(name)
            continue
        _place(found, name, column)
    return found


def _place(found: Found, name: str, column: Column) -> None:
    low = name.lower().rpartition(".")[2]
    whole = column.values.dtype.kind in "iu"
    if whole and low in RUNS and found.run is None:
        found.run = name
    elif whole and low in EVENTS and found.event is None:
        found.event = name
    elif WEIGHTS.search(name) and found.weight is None:
        found.weight = name
    elif OTHER_WEIGHTS.search(name):
        found.weights.append(name)
    elif TRUTH.search(name):
        found.truth.append(name)
    elif VARIED.search(name):
        found.varied.append(name)
    elif BOOKKEEPING.search(name) or column.offsets is not None:
        found.left.append(name)
    elif len(column.values) < 2 or np.all(column.values == column.values[0]):
        found.constant.append(name)
    elif not np.all(np.isfinite(column.values)):
        found.left.append(name)
    else:
        found.flat.append(name)


def _split(name: str) -> tuple[str, str]:
    """Collection and part of a branch: Jet_pt, jet.pt, AnalysisJetsAuxDyn.pt."""
    for mark in (".", "_"):
        collection, found, part = name.rpartition(mark)
        if found and collection and part:
            return collection, part
    return name, ""


def _normalisation(books: Books | None) -> tuple[str, str]:
    """The line of `normalisation`, and what a simulated sample needs for it."""
    if books is None:
        why = "no sum of weights was found in the file, so the weight is taken as it is; see `hepda schema`"
        return f"normalisation: null                   # TODO {why}", ""
    section = ", ".join(f"{key}: {_text(str(value))}" for key, value in books.keys.items())
    line = f"normalisation: {{{section}}}   # found in the file: {books.total:.6g}; TODO is it the sum of `weight`?"
    return line, "" if books.cross_section else ", cross_section: 1.0"


def _lines(path: Path, tree: str, found: Found, books: Books | None) -> list[str]:
    variables, features = _variables(found)
    keys = [name for name in (found.run, found.event) if name]
    normalisation, section = _normalisation(books)
    lines = [
        f"# A starting point, guessed from the branches of {path.name} by `hepda init`. Lines with TODO need you.",
        f"name: {re.sub(r'[^A-Za-z0-9_]+', '_', path.stem).strip('_') or 'analysis'}",
        "kind: events",
        "luminosity: 140                       # TODO 1/fb",
        f"tree: {_text(tree)}",
        normalisation,
        "",
        "samples:                              # TODO one a process; cross_section in pb, k_factor, ...",
        f"  signal: {{files: {_text(str(path))}, class: signal, domain: simulation{section}}}",
        f"  background: {{files: {_text(str(path))}, class: background, domain: simulation{section}}}   # TODO others",
        "  # background_alt: {files: ..., class: background, domain: alternative}   # another generator",
        "  # background_third: {files: ..., class: background, domain: third, use: evaluate}   # trained on by nothing",
        "  # data: {files: ..., domain: data}",
        "",
    ]
    lines += ["variables:", *variables, ""] if variables else []
    lines += ["selection: null                       # TODO such as (n_jet >= 5)"]
    lines += [f"weight: {_text(found.weight or '1')}" + _also("other weights", found.weights)]
    lines += ["", "features:                             # TODO leave out what data lack or what you would not trust"]
    lines += [f"  - {name}" for name in features]
    for what, names in (
        (f"more than the first {MOST}", found.flat[MOST:]),
        ("constant in the first events", found.constant),
        ("of the simulation's truth, by their names: no features", found.truth),
        ("systematic variations, by their names: see `systematics` in `hepda schema`", found.varied),
        ("lengths of lists", found.counts),
    ):
        lines += _comment(what, names)
    split = f"split: {{key: [{', '.join(map(_text, keys or ['TODO']))}], folds: 2, validation: 0.2}}"
    return [*lines, "", split + ("" if keys else "   # TODO no branch looks like a run or event number"), *_REST]


_REST = (
    "",
    "models:",
    "  network: {kind: network}",
    "  # dann: {kind: network, domain: {source: [background], target: [background_alt], input: score, strength: 30}}",
    "  bdt: {kind: bdt}",
    "",
    "# evaluation: {bias: {between: [simulation, alternative, third]}, blind: null}   # else data are hidden",
    "seed: 1",
)


def _variables(found: Found) -> tuple[list[str], list[str]]:
    """Lines of `variables:` and the names of all features."""
    lines, features = [], []
    taken = {name.replace(".", "_").lower() for name in (*found.flat, *found.counts)}

    def add(name: str, expression: str) -> None:
        name = _word(name)
        if name not in taken:
            taken.add(name)
            lines.append(f"  {name}: {expression}")
            features.append(name)

    for collection, parts in found.lists.items():
        pt = parts.get("pt")
        if pt is None and "px" in parts and "py" in parts:
            pt = _word(collection) + "_pt"
            lines.append(f"  {pt}: sqrt({parts['px']}**2 + {parts['py']}**2)")
        if pt is None or TRUTH.search(collection):
            continue
        add(f"n_{collection}", f"count({pt})")
        add(f"sum_pt_{collection}", f"sum({pt})")
        add(f"{collection}_pt_1", f"{pt}[0]")
        if all(part in parts for part in ("eta", "phi")) and (mass := parts.get("mass") or parts.get("m")):
            vectors = ", ".join((pt, parts["eta"], parts["phi"], mass))
            add(f"mass_{collection}", f"mass(sum(p4({vectors})))")
    return lines, [*features, *found.flat[:MOST]]


def _word(name: str) -> str:
    """A name for a variable: it may stand in an expression."""
    return re.sub(r"\W", "_", name).lower()


def _comment(what: str, names: Iterable[str]) -> list[str]:
    shown = list(names)
    if not shown:
        return []
    more = f" and {len(shown) - MOST} more" if len(shown) > MOST else ""
    return [f"  # {what}: {', '.join(shown[:MOST])}{more}"]


def _also(what: str, names: list[str]) -> str:
    return f"                     # {what}: {', '.join(names[:MOST])}" if names else ""


def _text(value: str) -> str:
    """A scalar of YAML, in quotes where it needs them."""
    return value if re.fullmatch(r"[\w./-]*[A-Za-z_/][\w./-]*|\d+", value) else '"' + value.replace('"', '\\"') + '"'
