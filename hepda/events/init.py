"""`hepda init`: a first analysis file from the branches of a file, to be corrected by the user.

The content is guessed from names and from the first events, and the text marks this line by line: which branches
identify an event, which are weights, which lists belong together (`Jet_pt`, `Jet_eta`, ...), which can be features.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from keyword import iskeyword
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from hepda.config.yaml_text import parse
from hepda.errors import SourceError
from hepda.events.expressions.columns import Column
from hepda.events.expressions.parser import CONSTANTS
from hepda.events.files.formats import SIDE, choose_tree
from hepda.events.files.opening import EventFile, Tree, open_file, tree_of
from hepda.events.files.protocol import Reader
from hepda.events.identifiers import EVENT, RUN, is_identifier, role_of
from hepda.events.sum_of_weights import Books, books_of

LOOKED_AT = 1000  # entries that are read: enough to distinguish a constant from a variable
MOST = 30  # features of each kind that are proposed; the others are listed in a comment
MANY = 50  # number of entries from which integers that never repeat are regarded as identifiers
RUNS = ("run", "runnumber", "runno", "runnum", "runid", "runnr")  # preferred names, if there are several branches
EVENTS = ("event", "eventnumber", "evt", "evtnum", "evtnumber", "eventid")
WEIGHTS = re.compile(r"^(gen(erator)?_?weight|mc_?event_?weights?|event_?weight|weight(_?mc)?|mc_?weight)$", re.I)
VARIED = re.compile(r"(^|_)(up|down|jes|jer)(_|$)|(?<=[a-z])(Up|Down)(?=[A-Z]|_|$)", re.ASCII)
BOOKKEEPING = re.compile(r"(^|_)(id|idx|index|hash|lumi\w*|bunchcrossing|bx|isdata)$|^HLT_|^L1_|^Flag_", re.I)
TRUTH = re.compile(
    r"gen|truth|^mc|lhe|born|hardscatter|parton|pdgid|flavou?r|extra_[bc]$|^pileup_|ntrueint", re.IGNORECASE
)
NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")  # valid names in an expression
KINEMATIC = ("pt", "eta", "phi", "mass", "m", "px", "py")  # parts of a collection that are used for variables


@dataclass(slots=True)
class BranchRoles:
    """The branches of a tree by their probable role, each by a name that is valid in an expression."""

    run: str | None = None
    event: str | None = None
    weight: str | None = None
    weights: list[str] = field(default_factory=list)
    flat: list[str] = field(default_factory=list)
    lists: dict[str, dict[str, str]] = field(default_factory=dict)  # collection -> part -> branch
    counts: list[str] = field(default_factory=list)  # lengths of lists, which `count` also gives
    varied: list[str] = field(default_factory=list)
    constant: list[str] = field(default_factory=list)
    truth: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)  # identifiers of an event or a sample, and labels
    unused: list[str] = field(default_factory=list)  # bookkeeping, and branches without numbers
    aliases: dict[str, str] = field(default_factory=dict)  # valid names for branches whose own name is not valid


def starting_yaml(path: str, tree: str | None = None, folder: Path | None = None) -> str:
    """Return the text of an analysis file for the events of `path`.

    `hepda check` accepts it as soon as its samples are replaced by real ones.

    Args:
        path: the file.
        tree: name of the tree; None means the one that holds the events.
        folder: where the text will be written, to which paths in it are relative; None leaves them unchanged.

    Raises:
        SourceError: the file cannot be read, has no events, no numbers that a model could read, or several trees of
            which any could be meant.

    """
    with open_file(path) as file:
        entries = _entries_of_trees(file)
        source = tree_of(file, path, tree or _likely_tree(path, entries))
        if not source.entries:
            raise SourceError(f"{path}: the tree {source.tree!r} has no entries to look at; name another file or tree.")
        roles, normalisation = classify(source), books_of(source.file, source.tree)
    other_trees = ", ".join(listed for name, listed in _listed(entries).items() if name != source.tree)
    note = "--tree chooses others: " if tree else "the likely one; --tree chooses: "
    note = note + other_trees if other_trees else ""
    where = f"{path}: the tree {source.tree!r}"
    lines = _lines(_seen_from(path, folder), source.tree, note, roles, normalisation, where)
    return "\n".join(lines) + "\n"


def _seen_from(path: str, folder: Path | None) -> str:
    """Return a path in the form that an analysis file in `folder` needs."""
    if folder is None or "://" in path or Path(path).is_absolute():
        return path
    relative = os.path.relpath(Path(path).absolute(), folder.resolve())
    # `..` after a symbolic link leads to another folder than the text suggests
    same = (folder.resolve() / relative).exists() and Path(path).samefile(folder.resolve() / relative)
    return relative if same else str(Path(path).absolute())


def _entries_of_trees(file: EventFile) -> dict[str, int | None]:
    """Return the trees of a file with their numbers of entries.

    The number is None for a tree that cannot be read. The mapping is empty for a file with one table without a name.
    """
    groups: dict[str, int | None] = {}
    for name in file.do("the list of trees", lambda f: f.trees()) or ():
        try:
            groups[name] = file.do(f"the tree {name!r}", lambda f, name=name: f.reader(name).entries)  # type: ignore[misc]
        except SourceError:
            groups[name] = None
    return groups


def _listed(entries: Mapping[str, int | None]) -> dict[str, str]:
    """Return each tree with its number of entries, formatted as text."""
    words = {name: "cannot be read" if count is None else f"{count} entries" for name, count in entries.items()}
    return {name: f"{name} ({text})" for name, text in words.items()}


def _likely_tree(path: str, entries: Mapping[str, int | None]) -> str | None:
    """Return the tree that holds the events if the file determines it.

    Args:
        path: the file, for messages.
        entries: the trees and their numbers of entries.

    Returns:
        The name of the tree; None if the file has one table without a name.

    Raises:
        SourceError: several trees are possible; the message lists them and names the one with the most entries.

    """
    if not entries:
        return None
    try:
        return choose_tree(list(entries), None, path)
    except SourceError as error:
        likely = max(entries, key=lambda name: (name not in SIDE, entries[name] or 0))
        raise SourceError(
            f"{path}: it is unclear which of its trees has the events: {', '.join(_listed(entries).values())}. "
            f"Choose by --tree; {likely} is the likely one."
        ) from error


def classify(source: Tree) -> BranchRoles:
    """Classify all branches by their names and types, and by their first entries where these do not decide."""
    roles = BranchRoles()
    fields = source.file.do("the kinds of branches", lambda f: _fields(f.reader(source.tree), source.own_names))
    words = _words(list(fields), roles.aliases)
    flat = [name for name, kind in fields.items() if not kind.is_list]
    parts_of = {name: _split(name.rpartition("/")[2]) for name, kind in fields.items() if kind.is_list}
    untyped = [name for name, (_, part) in parts_of.items() if part in KINEMATIC and fields[name].numbers is None]
    readable = _read(source, untyped)
    for name, (collection, part) in parts_of.items():
        if name in untyped and name not in readable:
            roles.unused.append(name)
        else:
            roles.lists.setdefault(collection, {})[part] = words[name]
    branches = (branch for parts in roles.lists.values() for branch in parts.values())
    counted = {f"n{name}".lower().replace("_", "") for name in (*roles.lists, *branches)}
    lengths = [name for name in flat if name.lower().replace("_", "") in counted]
    roles.counts += [words[name] for name in lengths]
    candidates = [name for name in flat if name not in set(lengths)]
    columns = _read(source, [name for name in candidates if _needs_values(name, fields[name])])
    runs: dict[str, Column | None] = {}
    events: dict[str, Column | None] = {}
    for name in candidates:
        column, kind = columns.get(name), fields[name]
        if column is None and _needs_values(name, kind):
            roles.unused.append(name)
        elif role_of(name) in (RUN, EVENT) and _is_integer(kind, column):
            (runs if role_of(name) == RUN else events)[name] = column
        else:
            _place(roles, name, words[name], column)
    for found, usual in ((runs, RUNS), (events, EVENTS)):
        ranked = sorted(found, key=lambda name: _rank(name, found[name], usual))
        if ranked and usual is RUNS:
            roles.run = words[ranked[0]]
        elif ranked:
            roles.event = words[ranked[0]]
        roles.ids += [words[name] for name in ranked[1:]]
    return roles


@dataclass(frozen=True, slots=True)
class FieldKind:
    """What a file states of a field without reading it. numbers: as of `Reader.number_type`."""

    is_list: bool
    numbers: np.dtype[Any] | None


def _fields(reader: Reader, names: Iterable[str]) -> dict[str, FieldKind]:
    return {name: FieldKind(reader.is_list(name), reader.number_type(name)) for name in names}


def _needs_values(name: str, kind: FieldKind) -> bool:
    """Return whether the place of a branch that is not a list depends on its values, not on its name and type alone."""
    return kind.numbers is None or role_of(name) == EVENT or _group(name) is None


def _is_integer(kind: FieldKind, column: Column | None) -> bool:
    """Return whether a branch is one integer per event, by its values or, where it was not read, by its type."""
    if column is not None:
        return column.offsets is None and column.values.dtype.kind in "iu"
    return kind.numbers is not None and kind.numbers.kind in "iu"


def _words(names: Sequence[str], aliases: dict[str, str]) -> dict[str, str]:
    """Return for each branch a name that is valid in an expression.

    It is the name of the branch, or a new one, which is added to `aliases`.
    """
    used, words = {name for name in names if _is_valid(name)}, {}
    for name in names:
        if _is_valid(name):
            words[name] = name
            continue
        leaf = re.sub(r"\W+", "_", name.rpartition("/")[2]).strip("_")
        cleaned = re.sub(r"\W+", "_", name).strip("_")
        bases = [base if base and not base[0].isdigit() else f"b_{base}" for base in (leaf, cleaned)]
        choices = chain(bases, (f"{bases[-1]}_{n}" for n in count(2)))
        word = next(word for word in choices if word not in used and _is_valid(word))
        used.add(word)
        words[name] = word
        aliases[word] = name
    return words


def _is_valid(name: str) -> bool:
    return bool(NAME.fullmatch(name)) and not any(map(iskeyword, name.split("."))) and name not in CONSTANTS


def _read(source: Tree, names: Sequence[str]) -> dict[str, Column]:
    """Read the first entries of branches, without those that hold no numbers or cannot be read.

    If the branches cannot be read together, each is read separately.
    """
    try:
        return source.read(names, 0, min(LOOKED_AT, source.entries))
    except SourceError:
        return {} if len(names) < 2 else {k: v for name in names for k, v in _read(source, [name]).items()}


def _rank(name: str, column: Column | None, usual: Sequence[str]) -> tuple[bool, int]:
    """Return a sort key, smallest for the branch that is most likely the number of the run or of the event.

    A usual name and, for events, values that are not constant make a branch more likely.
    """
    reduced = re.sub(r"[\W_]", "", re.split(r"[./]", name)[-1]).lower()
    constant = usual is EVENTS and (column is None or _constant(column))
    return constant, usual.index(reduced) if reduced in usual else len(usual)


def _constant(column: Column) -> bool:
    return len(column.values) < 2 or bool(np.all(column.values == column.values[0]))


def _group(name: str) -> str | None:
    """Return the list of BranchRoles of a branch of numbers, if its name decides that; None if its values do."""
    leaf, role = name.rpartition("/")[2].rpartition(".")[2], role_of(name)
    if WEIGHTS.search(leaf) or role == "weight":
        return "weights"
    if role is not None:
        return "ids"
    if TRUTH.search(name):
        return "truth"
    if VARIED.search(name):
        return "varied"
    return "unused" if BOOKKEEPING.search(name) or is_identifier(name) else None


def _place(roles: BranchRoles, name: str, word: str, column: Column | None) -> None:
    """Add a branch that is not a list to a group, by its name and its first numbers.

    Args:
        roles: where it is added.
        name: the branch.
        word: its name in expressions.
        column: its first numbers; None if its name decides.

    """
    group = _group(name)
    if group == "weights" and roles.weight is None and WEIGHTS.search(name.rpartition("/")[2].rpartition(".")[2]):
        roles.weight = word
    elif group is not None:
        getattr(roles, group).append(word)
    elif column is None or column.offsets is not None:
        roles.unused.append(word)
    elif _constant(column):
        roles.constant.append(word)
    elif not np.all(np.isfinite(column.values)):
        roles.unused.append(word)
    elif _counts_entries(column):
        roles.ids.append(word)
    else:
        roles.flat.append(word)


def _counts_entries(column: Column) -> bool:
    """Return whether the values are many different integers."""
    values = column.values
    return values.dtype.kind in "iu" and len(values) >= MANY and len(np.unique(values)) == len(values)


def _split(name: str) -> tuple[str, str]:
    """Return collection and part of a branch, the part in lower case.

    Examples are Jet_pt, jet.pt, AnalysisJetsAuxDyn.pt and tracks.fPx.
    """
    for mark in (".", "_"):
        collection, separator, part = name.rpartition(mark)
        if separator and collection and part:
            return collection, re.sub(r"^f(?=[A-Z])", "", part).lower()
    return name, ""


def _normalisation(books: Books | None) -> tuple[str, str]:
    """Return the line of `normalisation`, and the keys that a simulated sample needs for it."""
    if books is None:
        why = "no sum of weights was found in the file, so the weight is taken as it is; see `hepda schema`"
        return f"normalisation: null                   # TODO {why}", ""
    section = ", ".join(
        f"{key}: {value if isinstance(value, int) else _text(value)}" for key, value in books.keys.items()
    )
    line = f"normalisation: {{{section}}}   # found in the file: {books.total:.6g}; TODO is it the sum of `weight`?"
    return line, "" if books.cross_section else ", cross_section: 1.0"


def _lines(path: str, tree: str, note: str, roles: BranchRoles, books: Books | None, where: str) -> list[str]:
    variables, features = _variables(roles)
    if not features:
        variables, features = _last_resort(roles, where)
    keys = [name for name in (roles.run, roles.event) if name]
    normalisation, section = _normalisation(books)
    mentioned = {*re.findall(r"[\w.]+", "\n".join(variables)), *features, *keys, roles.weight}
    aliases = {word: name for word, name in roles.aliases.items() if word in mentioned}
    named = ", ".join(f"{word}: {_text(name)}" for word, name in aliases.items())
    first, repeated = (f", aliases: &names {{{named}}}", ", aliases: *names") if aliases else ("", "")
    stem = re.sub(r"[^A-Za-z0-9_]+", "_", PurePath(path).stem).strip("_")[:80]
    lines = [
        f"# First version, made from the branches of {PurePath(path).name} by `hepda init`. Edit the lines with TODO.",
        f"name: {_text(stem or 'analysis')}",
        "kind: events",
        "luminosity: 140                       # TODO 1/fb",
        f"tree: {_text(tree)}" + (f"   # {note}" if note else ""),
        normalisation,
        "",
        "samples:                              # TODO one a process; cross_section in pb, k_factor, ...",
        f"  signal: {{files: {_text(path)}, class: signal, domain: simulation{section}{first}}}",
        f"  background: {{files: {_text(path)}, class: background, domain: simulation{section}{repeated}}}"
        "   # TODO others",
        "  # background_alt: {files: ..., class: background, domain: alternative}   # another generator",
        "  # background_third: {files: ..., class: background, domain: third, use: evaluate}   # held out",
        "  # data: {files: ..., domain: data}",
        "",
    ]
    lines += ["variables:", *variables, ""] if variables else []
    lines += ["selection: null                       # TODO such as (n_jet >= 5)"]
    others = f"                     # other weights: {', '.join(roles.weights[:MOST])}" if roles.weights else ""
    lines += [f"weight: {_text(roles.weight) if roles.weight else 1}{others}"]
    lines += ["", "features:                             # TODO remove what data do not have or what you do not trust"]
    lines += [f"  - {_text(name)}" for name in features]
    for what, names in (
        (f"more than the first {MOST}", roles.flat[MOST:]),
        ("constant in the first events", roles.constant),
        ("identifiers of events or samples, and labels, by names or numbers: not used as features", roles.ids),
        ("truth of the simulation, by their names: not used as features", roles.truth),
        ("systematic variations, by their names: see `systematics` in `hepda schema`", roles.varied),
        ("lengths of lists", roles.counts),
    ):
        lines += _comment(what, [name for name in names if name not in features])
    split = f"split: {{key: [{', '.join(map(_text, keys or ['TODO']))}], folds: 2, validation: 0.2}}"
    return [*lines, "", split + ("" if keys else "   # TODO no branch looks like a run or event number"), *_REST]


def _last_resort(roles: BranchRoles, where: str) -> tuple[list[str], list[str]]:
    """Return variables and features if no branch looks like one, so that the text can be loaded.

    Any numbers are used.

    Args:
        roles: the branches by role.
        where: the beginning of the message.

    Raises:
        SourceError: there are no numbers.

    """
    lists = [branch for parts in roles.lists.values() for branch in parts.values()][: MOST // 2]
    names = {branch: _word(branch) for branch in lists}
    lines = [f"  n_{word}: count({branch})" for branch, word in names.items()]
    features = [f"n_{word}" for word in names.values()]
    for candidates in (roles.counts, roles.varied, roles.truth, roles.constant):
        features = features or candidates[:MOST]
    if not features:
        available = [*roles.ids, *roles.weights, *filter(None, (roles.run, roles.event, roles.weight)), *roles.unused]
        raise SourceError(
            f"{where} has no branch of numbers that a model could read; it has "
            f"{', '.join(available[:MOST]) or 'none'}. Name another tree by --tree, or another file."
        )
    return list(dict.fromkeys(lines)), list(dict.fromkeys(features))


_REST = (
    "",
    "models:",
    "  network: {kind: network}",
    "  # dann: {kind: network, domain: {source: [background], target: [background_alt], input: score, strength: 30}}",
    "  bdt: {kind: bdt}",
    "",
    "# evaluation: {bias: {between: [simulation, alternative, third]}, blind: null}   # default: data are blinded",
    "seed: 1",
)


def _variables(roles: BranchRoles) -> tuple[list[str], list[str]]:
    """Return the lines of `variables:` and the names of all features."""
    lines, features = [], []
    used = {name.replace(".", "_").lower() for name in (*roles.flat, *roles.counts)}

    def add(name: str, expression: str) -> None:
        name = _word(name)
        if name not in used:
            used.add(name)
            lines.append(f"  {name}: {expression}")
            features.append(name)

    for collection, parts in roles.lists.items():
        pt = parts.get("pt")
        if TRUTH.search(collection) or (pt is None and not {"px", "py"} <= parts.keys()):
            continue
        if pt is None:
            pt = _word(collection) + "_pt"
            if pt in used:
                continue
            used.add(pt)
            lines.append(f"  {pt}: sqrt({parts['px']}**2 + {parts['py']}**2)")
        add(f"n_{collection}", f"count({pt})")
        add(f"sum_pt_{collection}", f"sum({pt})")
        add(f"{collection}_pt_1", f"{pt}[0]")
        if all(part in parts for part in ("eta", "phi")) and (mass := parts.get("mass") or parts.get("m")):
            vectors = ", ".join((pt, parts["eta"], parts["phi"], mass))
            add(f"mass_{collection}", f"mass(sum(p4({vectors})))")
    return lines, [*features, *roles.flat[:MOST]]


def _word(name: str) -> str:
    """Return a name for a variable that is valid in an expression."""
    return re.sub(r"\W", "_", name).lower()


def _comment(what: str, names: Iterable[str]) -> list[str]:
    shown = list(names)
    if not shown:
        return []
    more = f" and {len(shown) - MOST} more" if len(shown) > MOST else ""
    return [f"  # {what}: {', '.join(shown[:MOST])}{more}"]


def _text(value: str) -> str:
    """Return a scalar of YAML, in quotes if it needs them."""
    is_plain = re.fullmatch(r"[\w./][\w./-]*", value) and parse(value, "a name")[0] == value
    return value if is_plain else json.dumps(value, ensure_ascii=False)
