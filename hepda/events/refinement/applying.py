"""`hepda apply` of a run of refinement: ROOT files in, the same files with refined objects out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from hepda.config import RefinementConfig, load_any
from hepda.config.refinement.methods import WeightsConfig
from hepda.errors import ConfigError, SourceError, nearest, replacing
from hepda.events.dataset.chunks import SPAN_ENTRIES, stretches
from hepda.events.dataset.inputs import sample_tree
from hepda.events.dataset.splits import event_key
from hepda.events.expressions.columns import Column, counts
from hepda.events.files.in_memory import ENTRY
from hepda.events.files.locations import is_remote
from hepda.events.files.opening import Tree, expand, integers
from hepda.events.refinement.factors import FACTOR, WEIGHT, EventFactors
from hepda.events.refinement.objects import object_branches
from hepda.events.refinement.refiners import Refine, changes_objects, read_refiners, refined_columns
from hepda.events.resolve import dataset_spec
from hepda.events.training.friends import sample_for
from hepda.runtime import exchange, run_directory
from hepda.runtime.hashes import check_hashes
from hepda.runtime.progress import Progress

SUMMARY = "apply.json"


@dataclass(frozen=True, slots=True)
class RefinedFile:
    """A file that was written.

    Attributes:
        source, output: the files.
        entries: number of events, all of the input.
        copied: trees and histograms that were copied as they are, such as those that normalise the events.
        left_out: branches and objects that are neither numbers nor lists of numbers, and are not in the output.

    """

    source: str
    output: str
    entries: int
    copied: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Refinement:
    """A model of a run that is applied.

    changing: the model that changes objects, and its refiners; none for `unchanged`. factors: those on the weights.
    """

    config: RefinementConfig
    model: str
    changing: str
    refiners: list[Refine]
    factors: EventFactors | None

    @classmethod
    def of_run(cls, config: RefinementConfig, run: Path, model: str) -> _Refinement:
        """Read what a model has learned."""
        section = config.models[model]
        weighted = isinstance(section, WeightsConfig)
        changing = section.of if isinstance(section, WeightsConfig) else model
        refiners = read_refiners(config, run, changing) if changes_objects(config.models[changing]) else []
        return cls(config, model, changing, refiners, EventFactors.of_run(config, run, model) if weighted else None)

    def check(self, tree: Tree, sample: str) -> None:
        """Raise an error if a file has not what is needed."""
        tree.require((*object_branches(self.config.objects, known=True), *self.config.analysis.split.key))
        if self.factors is not None:
            self.factors.names(tree, sample)

    def new_types(self) -> dict[str, tuple[np.dtype[Any], bool]]:
        """Return the types of new branches."""
        return {} if self.factors is None else dict.fromkeys((FACTOR, WEIGHT), (np.dtype(np.float64), False))

    def columns(self, tree: Tree, sample: str, names: Sequence[str], start: int, stop: int) -> dict[str, Column]:
        """Return the columns `names` of the entries [start, stop) after the model, and new ones."""
        read = names if self.factors is None else [*names, *self.factors.names(tree, sample)]
        columns = tree.read(sorted({*read} - {ENTRY}), start, stop)
        entries = np.arange(start, stop)
        keys = [integers(columns[k], f"{tree.path}: the branch {k!r}", entries) for k in self.config.analysis.split.key]
        key = event_key(*keys)
        if self.refiners:
            columns = refined_columns(self.config, self.changing, self.refiners, columns, key, tree.path)
        if self.factors is None:
            return columns
        # another name of a branch means the refined one, too
        own = {name: tree.names[name] for name in columns}
        columns |= {name: columns[field.name] for name, field in own.items()
                    if not field.counted and field.name in columns}  # fmt: skip
        return columns | self.factors.columns(tree, sample, columns, key)


def apply_to_events(
    run: Path,
    files: Sequence[str],
    output: Path,
    progress: Progress,
    *,
    model: str | None = None,
    sample: str | None = None,
) -> list[RefinedFile]:
    """Refine the objects of events by a model of a run; write each file anew into `output`, with all its branches.

    The events are those of the input in their order, with their weights; each is refined by what was learned from
    other folds, so that no event is changed by what it was learned from. Other trees and histograms are copied. The
    outputs are samples of any analysis file. A model that reweights has the objects of the model that it is `of`, and
    two more branches: `refinement_factor`, which is 1 for events that the analysis does not select, and
    `refinement_weight`, the weight of the analysis file times this factor.

    Args:
        run: the run directory.
        files: paths, globs or folders of ROOT files.
        output: the folder of the results.
        progress: receives stages and steps.
        model: the name of a model that changes objects or weights; None: the last one that changes objects.
        sample: the sample whose aliases, variables and weight apply to the files; None: one that lists the file, and
            the source of the training for other files.

    Raises:
        ConfigError: the run has no such model, a file is no ROOT file here, or an output exists or would replace it.
        SourceError: a file, its tree or a branch is missing or broken.
        ExpressionError: features or weights cannot be formed of the branches.
        DataError: objects are not finite.

    """
    exchange.settle(run, "apply")
    check_hashes(run, run_directory.read_manifest(run))
    config = load_any(run / "config.yaml")
    if not isinstance(config, RefinementConfig):
        raise ConfigError(f"{run}: is no run of a refinement.")
    refinement = _Refinement.of_run(config, run, _model_of(config, model))
    tasks = _tasks(expand(files, "FILES"), output)
    progress.stage("apply")
    spec = dataset_spec(config.analysis)
    samples = [sample_for(spec, path, sample) or config.learn.source for path, _ in tasks]
    for (path, _), name in zip(tasks, samples, strict=True):  # all are opened before the first is written
        with sample_tree(spec, name, path) as tree:
            refinement.check(tree, name)
    done = []
    for number, ((path, target), name) in enumerate(zip(tasks, samples, strict=True), 1):
        with replacing(target, ".root") as temporary, sample_tree(spec, name, path) as tree:
            done.append(_refine_file(refinement, tree, name, target, temporary))
        progress.step("files", number, len(tasks))
    about = {"run": str(run.resolve()), "model": refinement.model, "files": [asdict(file) for file in done]}
    run_directory.write_json(output / SUMMARY, about)
    return done


def _model_of(config: RefinementConfig, model: str | None) -> str:
    """Return the name of a model that can be applied: the given one, or the last that changes objects."""
    changing = [name for name, section in config.models.items() if changes_objects(section)]
    of_objects = [*changing, *(name for name, section in config.models.items() if section.kind == "unchanged")]
    weighted = [n for n, section in config.models.items() if section.kind == "weights" and section.of in of_objects]
    if model is None:
        if not changing:
            hint = f" Name one that reweights by --model: {', '.join(weighted)}." if weighted else ""
            raise ConfigError(f"no model of this run changes objects; there is nothing to apply.{hint}")
        return changing[-1]
    there = [*changing, *weighted]
    if model not in there:
        hint = nearest(model, there) or f" There are: {', '.join(there)}."
        raise ConfigError(f"--model {model}: is no model of this run that changes objects or weights.{hint}")
    return model


def _tasks(paths: Sequence[str], output: Path) -> list[tuple[str, Path]]:
    run_directory.check_writable(output, "--output")
    tasks = []
    for path in paths:
        if is_remote(path) or Path(path).suffix != ".root":
            raise ConfigError(f"{path}: is no local ROOT file; copy or convert it first.")
        tasks.append((path, output / Path(path).name))
    outputs = [target for _, target in tasks]
    for path, target in tasks:
        if outputs.count(target) > 1:
            raise ConfigError(f"{path}: several files would become {target}; refine them one by one.")
        if target.exists():
            raise ConfigError(f"--output {output}: {target.name} is there already; name an empty or a new folder.")
    return tasks


def _refine_file(refinement: _Refinement, tree: Tree, sample: str, target: Path, temporary: Path) -> RefinedFile:
    """Write one file; the original types of branches are kept."""
    with uproot.open(tree.path) as file:
        if file.classname_of(tree.tree) != "TTree":
            raise SourceError(f"{tree.path}: {tree.tree!r} is no TTree; only these can be written anew.")
        names = [name for name in tree.own_names if not tree.names[name].counted and name not in tree.refused]
        types = {name: _number_type(file[tree.tree][tree.names[name].name]) for name in names}
        collections = collections_of(types, tree.names)
        counters = {f"n{prefix}" for prefix in collections.values()}  # written with the lists
        types = {name: kind for name, kind in types.items() if name not in counters}
        names = list(types)
        types |= refinement.new_types()
        with uproot.recreate(temporary) as out:
            out.mktree(tree.tree, tree_types(types, collections), title=file[tree.tree].title)
            for start, stop in stretches(tree.entries, tree.ends(names), SPAN_ENTRIES):
                new = refinement.columns(tree, sample, names, start, stop)
                out[tree.tree].extend(branch_arrays(new, types, collections))
            copied, left_out = _copy_others(file, tree.tree, out)
        lost = sorted({*tree.refused} - {*names})
        return RefinedFile(tree.path, str(target), tree.entries, tuple(copied), (*lost, *left_out))


def _number_type(branch: Any) -> tuple[np.dtype[Any], bool]:
    """Return the type of the numbers of a branch, and whether every event has a list."""
    interpretation = branch.interpretation
    content = getattr(interpretation, "content", None)
    of_numbers = interpretation if content is None else content
    kind = getattr(of_numbers, "to_dtype", None)
    if kind is None or kind.shape:
        raise SourceError(f"{branch.name}: is neither a number nor a list of numbers.")
    return np.dtype(kind.newbyteorder("=")), content is not None


def collections_of(types: Mapping[str, tuple[np.dtype[Any], bool]], names: Iterable[str]) -> dict[str, str]:
    """Return the collection of each list, `jet` of `jet_pt` if there is a branch `njet`: one counter for all."""
    prefixes = {name: name.partition("_")[0] for name, (_, is_list) in types.items() if is_list and "_" in name}
    return {name: prefix for name, prefix in prefixes.items() if f"n{prefix}" in names}


def tree_types(types: Mapping[str, tuple[np.dtype[Any], bool]], collections: Mapping[str, str]) -> dict[str, Any]:
    """Return the types of branches for uproot: those of a collection are a list of records.

    Args:
        types: of the numbers of each branch, and whether every event has a list.
        collections: of each list, as of `collections_of`.

    """
    result: dict[str, Any] = {}
    for name, (kind, is_list) in types.items():
        if name in collections:
            prefix = collections[name]
            members = [n for n in types if collections.get(n) == prefix]
            fields = ", ".join(f'"{n.removeprefix(prefix + "_")}": {types[n][0]}' for n in members)
            result[prefix] = f"var * {{{fields}}}"
        else:
            result[name] = f"var * {kind}" if is_list else kind
    return result


def branch_arrays(
    columns: Mapping[str, Column], types: Mapping[str, tuple[np.dtype[Any], bool]], collections: Mapping[str, str]
) -> dict[str, Any]:
    """Return columns as arrays for uproot, in the types of the input."""
    arrays: dict[str, Any] = {}
    records: dict[str, dict[str, Any]] = {}
    for name, (kind, _) in types.items():
        column = columns[name]
        values = column.values.astype(kind)
        array = values if column.offsets is None else ak.unflatten(values, counts(column.offsets))
        if name in collections:
            prefix = collections[name]
            records.setdefault(prefix, {})[name.removeprefix(f"{prefix}_")] = array
        else:
            arrays[name] = array
    return arrays | {prefix: ak.zip(fields) for prefix, fields in records.items()}


def _copy_others(file: Any, tree: str, out: Any) -> tuple[list[str], list[str]]:
    """Copy other trees of numbers, and histograms; return the names of what was copied and of what could not be."""
    copied, left_out = [], []
    for name, kind in file.classnames(cycle=False).items():
        if name == tree:
            continue
        try:
            if kind == "TTree":
                arrays = {branch.name: branch.array(library="np") for branch in file[name].branches}
                if any(values.dtype.kind == "O" for values in arrays.values()):
                    left_out.append(name)
                    continue
                out.mktree(name, {branch: values.dtype for branch, values in arrays.items()}, title=file[name].title)
                out[name].extend(arrays)
            elif kind.startswith(("TH1", "TH2", "TH3")):
                out[name] = file[name]
            else:
                left_out.append(name)
                continue
        except (NotImplementedError, TypeError, ValueError):
            left_out.append(name)
            continue
        copied.append(name)
    return copied, left_out
