"""`hepda check`: examination of the events of an analysis before anything is trained.

The command opens one file of each sample (or all files), reads its events as a training would, and reports `problems`,
with which `hepda train` would refuse to start, `warnings` about what is unusual, and a summary of the events.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from hepda.config import AnalysisConfig
from hepda.errors import DataError, HepdaError, SourceError
from hepda.evaluation.arrays import sample as weighted
from hepda.evaluation.differences.distances import chi2, kolmogorov_smirnov
from hepda.events.check_categories import unlisted_values
from hepda.events.check_collections import ObjectCount, object_counts
from hepda.events.check_guards import absent_branches
from hepda.events.check_yields import RegionYields, region_yields
from hepda.events.dataset.checks import TargetRange, evaluation_problems, target_ranges
from hepda.events.dataset.chunks import ChunkReader, Faults, SelectedRows, stretches
from hepda.events.dataset.inputs import InputFile, inspect, open_inputs, sample_tree
from hepda.events.dataset.load import LoadedEvents, load_table
from hepda.events.dataset.plan import PHYSICAL, ReadingPlan, SamplePlan, make_plan
from hepda.events.dataset.regions import overlaps, unusable
from hepda.events.dataset.samples import SampleSummary, rows_by_key
from hepda.events.dataset.skipped_files import Skips
from hepda.events.dataset.stitching import Stitching
from hepda.events.domains.counterparts import composition_lines
from hepda.events.domains.spec import EvaluationSpec
from hepda.events.expressions.parser import Expression, needed_names, parse
from hepda.events.files.opening import expand, kept_open
from hepda.events.leaks import leaks, spread
from hepda.events.resolve import dataset_spec, evaluation_spec
from hepda.events.specs import DatasetSpec
from hepda.events.table.feature_table import FeatureTable
from hepda.runtime.resources import Resources

Progress = Callable[[str, int, int], None]

SAME = 0.999
"""Correlation from which two features get a warning that they are nearly equal."""
FAR_OFF = 0.2
"""Relative difference of the numbers of events of data and simulation from which on there is a warning."""
BINS = 20
"""Number of bins for chi2, each with the same share of the simulation."""
KEPT_FILES = 64
"""Number of files that stay open from the first look at them to the last."""
ALL = "all entries"
FLAGS = (-9999.0, -999.0, -99.0, 999.0, 9999.0)
"""Values that ntuples store for a number that is missing."""


@dataclass(frozen=True, slots=True)
class Step:
    """The events after a cut: their number, the sum of their physical weights and of its squares (None: not known)."""

    cut: str
    entries: int
    sumw: float | None = None
    sumw2: float | None = None


@dataclass(frozen=True, slots=True)
class SampleCheck:
    """The results for one sample. files: opened, and listed; branches: number of branches to be read."""

    summary: SampleSummary
    files: tuple[int, int]
    branches: int
    flow: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """One feature in data and in the simulation: KS distance, chi2, its degrees of freedom and its p-value.

    means: of data, then of the simulation; p_value: None if there are too few events for two bins.
    """

    feature: str
    data: str
    ks: float
    chi2: float | None
    ndf: int
    p_value: float | None
    means: tuple[float, float]


@dataclass(slots=True)
class Checkup:
    """All results. problems: reasons for which a training would refuse to start; warnings: what needs attention."""

    samples: dict[str, SampleCheck] = field(default_factory=dict)
    yields: list[RegionYields] = field(default_factory=list)
    agreement: list[Agreement] = field(default_factory=list)
    objects: list[ObjectCount] = field(default_factory=list)
    targets: list[TargetRange] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def check_events(config: AnalysisConfig, progress: Progress, *, every_file: bool = False) -> Checkup:
    """Examine one file of each sample, or every file.

    Args:
        config: the analysis.
        progress: function that receives the progress of the reading.
        every_file: whether every file is opened instead of the first of each sample.

    Returns:
        The results; `problems` has what is wrong with the input.

    Raises:
        HepdaError: the analysis file itself is wrong, so that no file needs to be opened.

    """
    with kept_open(KEPT_FILES):
        return _checked(config, progress, every_file)


def _checked(config: AnalysisConfig, progress: Progress, every_file: bool) -> Checkup:
    evaluation, spec = evaluation_spec(config), dataset_spec(config)
    plan = make_plan(spec)
    result = Checkup()
    listed = _files(spec, result)
    if result.problems:
        return result
    opened = _restricted(spec, {name: files if every_file else files[:1] for name, files in listed.items()})
    inputs = _opened(opened, plan, result)
    if result.problems:
        return result
    notes, warnings = absent_branches(plan, inputs)
    result.notes.extend(notes)
    result.warnings.extend(warnings)
    try:
        inspect(opened)  # checks that need all samples: plots, systematics
        with TemporaryDirectory(prefix="hepda-check-") as folder:  # the events of all files may exceed the memory
            loaded = load_table(opened, progress, Resources(folder=Path(folder) / "table"))
            _samples(opened, plan, inputs, loaded, listed, result)
            complete = opened.samples == _restricted(spec, listed).samples
            _evaluation(evaluation, loaded.table, result, complete=complete)
            result.yields = region_yields(opened, evaluation.domains, loaded.table)
            result.targets = target_ranges(opened, loaded.table)
            result.problems.extend(overlaps(opened, loaded.table))
            _incomplete(unusable(opened, loaded.table), result, complete=complete)
            _keys(opened, loaded.table, result)
            result.notes.extend(filter(None, [evaluation.domains.only_one_simulated]))
            result.warnings.extend(composition_lines(evaluation.domains.nominal, evaluation.domains.composition))
            _features(opened, loaded, result)
            listed_rows = spread(len(loaded.table))
            result.warnings.extend(unlisted_values(config.categories, loaded.table, listed_rows))
            _agreement(evaluation, loaded.table, result)
    except HepdaError as error:
        result.problems.append(str(error))
    return result


def _files(spec: DatasetSpec, result: Checkup) -> dict[str, list[str]]:
    listed = {}
    for name, sample in spec.samples.items():
        try:
            listed[name] = expand(sample.files, f"samples.{name}.files")
        except SourceError as error:
            result.problems.append(str(error))
    return listed


def _restricted(spec: DatasetSpec, files: Mapping[str, list[str]]) -> DatasetSpec:
    """Return the same analysis with these files only."""
    samples = {name: s.model_copy(update={"files": tuple(files[name])}) for name, s in spec.samples.items()}
    return replace(spec, samples=samples)


def _opened(spec: DatasetSpec, plan: ReadingPlan, result: Checkup) -> dict[str, list[InputFile]]:
    """Open and check the files of every sample.

    The problems of every sample are recorded, not only the first one.
    """
    inputs: dict[str, list[InputFile]] = {}
    skips = Skips(spec)
    messages: dict[str, str] = {}
    for name in spec.samples:
        try:
            inputs[name] = open_inputs(spec, plan, name, skips)
        except HepdaError as error:
            messages[name] = str(error)
    result.problems.extend(_merged(spec, messages))
    result.warnings.extend(file.line() for file in skips.files)
    return inputs


def _merged(spec: DatasetSpec, messages: Mapping[str, str]) -> list[str]:
    """Return the messages of samples, with equal ones merged.

    Messages that differ only in files and in the name of the sample become one, which lists the samples.
    """
    groups: dict[str, list[str]] = {}
    for name, message in messages.items():
        pattern = message.replace(f"samples.{name}", "samples")
        for path in sorted(spec.samples[name].files, key=len, reverse=True):
            pattern = pattern.replace(path, "FILE")
        groups.setdefault(pattern, []).append(name)
    return [
        f"samples.{first}: {messages[first]}"
        + (f"\n    The same is true of {', '.join(f'samples.{name}' for name in same)}." if same else "")
        for first, *same in groups.values()
    ]


def _samples(
    spec: DatasetSpec,
    plan: ReadingPlan,
    inputs: Mapping[str, list[InputFile]],
    loaded: LoadedEvents,
    listed: Mapping[str, list[str]],
    result: Checkup,
) -> None:
    read = {file.path for file in loaded.files}
    for name, summary in loaded.samples.items():
        files = [file for file in inputs[name] if file.path in read]
        branches = {branch for file in files for branch in file.plan.branches} | set(spec.split.key)
        flow = _cut_flow(spec, plan, name, files, loaded.samples)
        if isinstance(flow, str):
            result.warnings.append(f"{name}: no weighted cut flow: {flow}")
            flow = tuple(Step(cut, entries) for cut, entries in ((ALL, summary.entries), *summary.cut_flow))
        result.samples[name] = SampleCheck(summary, (len(files), len(listed[name])), len(branches), flow)
        _weights(spec, name, summary, result)


def _cut_flow(
    spec: DatasetSpec, plan: ReadingPlan, name: str, files: list[InputFile], samples: Mapping[str, SampleSummary]
) -> tuple[Step, ...] | str:
    """Return events and weights after each cut, or the reason why the weights are not known."""
    cuts = plan.cuts_of(name)
    covers = plan.stitched_to(name)
    own_factor = samples[name].normalisation
    factor = (
        Stitching(name, {other: samples[other].normalisation for other in covers}, covers) if covers else own_factor
    )
    sums, faults = np.zeros((len(cuts) + 1, 3)), Faults()
    for file in files:
        # Columns are floats, which cannot hold flag bits above 2^53 exactly, so the result of each cut is stored.
        conditions = {
            f"cut {i}": parse(f"({cut.text}) != 0", cut.what).in_file(file.branches) for i, cut in enumerate(cuts)
        }
        cut_plan = _lean(file, conditions, plan, name)
        reader = ChunkReader(name, file.plan.variables, cut_plan, factor, 0.0, spec.split.key, faults, {})
        try:
            with sample_tree(spec, name, file.path) as tree:
                for start, stop in stretches(file.entries, file.ends):
                    for rows in reader.read(tree, start, stop):
                        sums += _after_cuts(rows, len(cuts))
        except DataError as error:
            return str(error)
    if faults.by_description:
        return "a weight is not a finite number in events that fail the selection"
    texts = [ALL, *(cut.text for cut in cuts)]
    return tuple(Step(text, int(n), float(w), float(w2)) for text, (n, w, w2) in zip(texts, sums, strict=True))


def _after_cuts(rows: SelectedRows, cuts: int) -> NDArray[np.float64]:
    """Return entries, sumw and sumw2 before all cuts and after each of the cuts, [cuts + 1, 3]."""
    passed, result = np.ones(len(rows.weight), dtype=bool), []
    for i in range(cuts + 1):
        if i:
            passed &= np.nan_to_num(rows.columns[f"cut {i - 1}"]) != 0  # a missing condition is false
        weight = rows.weight[passed]
        with np.errstate(all="ignore"):  # numbers that are not finite are reported, see `faults`
            result.append((len(weight), weight.sum(), np.square(weight).sum()))
    return np.array(result)


def _lean(file: InputFile, columns: Mapping[str, Expression], plan: ReadingPlan, name: str) -> SamplePlan:
    """Return a plan with only the cuts and the weight, for every event."""
    original = file.plan
    weights = [] if original.weight is None else [original.weight]
    needed = needed_names([*columns.values(), *weights, *plan.stitched_to(name).values()], original.variables)
    branches = tuple(sorted(needed - {PHYSICAL}))
    return replace(
        original,
        features=(),
        cuts=(),
        columns=dict(columns),
        domains={},
        branches=branches,
        collections={},
        regions=(),
        targets={},
    )


def _weights(spec: DatasetSpec, name: str, summary: SampleSummary, result: Checkup) -> None:
    sums = summary.sums
    if sums.sumw <= 0:
        result.warnings.append(f"{name}: its yield is {sums.sumw:.4g}; the negative weights outweigh the others")
    elif sums.n_eff < 0.1 * sums.entries:
        result.warnings.append(
            f"{name}: {sums.entries} events are worth {sums.n_eff:.0f} (n_eff): few of them carry the yield"
        )
    if summary.duplicates:
        result.warnings.append(
            f"{name}: {summary.duplicates} selected events have the {' and '.join(spec.split.key)} of another one; "
            "they count twice, or `split.key` needs a further branch (the luminosity block?)"
        )


def _evaluation(spec: EvaluationSpec, table: FeatureTable, result: Checkup, *, complete: bool) -> None:
    """Record the reasons for which a training would end without numbers.

    complete: whether every file was read, so that no other file can provide the missing events.
    """
    _incomplete(evaluation_problems(spec, table), result, complete=complete)


def _incomplete(problems: Iterable[str], result: Checkup, *, complete: bool) -> None:
    """Record problems that further events may solve: as warnings, unless every file was read."""
    for text in problems:
        if complete:
            result.problems.append(text)
        else:
            result.warnings.append(f"{text} These are the events of one file of each sample; --all looks at every file")


# --- keys ---------------------------------------------------------------------------------------------------------


def _keys(spec: DatasetSpec, table: FeatureTable, result: Checkup) -> None:
    """Record events that are in two samples.

    Identical events (same key, same features) in one domain count twice.
    """
    pairs = list(combinations(table.sample_names, 2))
    counts = dict.fromkeys(pairs, (0, 0))
    for rows in rows_by_key(table.key):
        by_sample = {name: rows[table.sample[rows] == i] for i, name in enumerate(table.sample_names)}
        for a, b in pairs:
            shared, in_a, in_b = np.intersect1d(table.key[by_sample[a]], table.key[by_sample[b]], return_indices=True)
            alike = np.all(table.features[by_sample[a][in_a]] == table.features[by_sample[b][in_b]], axis=1)
            counts[a, b] = counts[a, b][0] + len(shared), counts[a, b][1] + int(alike.sum())
    for (a, b), (common, same) in counts.items():
        if not common:
            continue
        one_domain = spec.samples[a].domain == spec.samples[b].domain
        if same and one_domain:
            result.warnings.append(
                f"{a} and {b} share {same} selected events, with the same features: they count twice"
            )
        elif same:
            result.notes.append(f"{a} and {b}, of two domains, share {same} selected events, with the same features")
        else:
            result.notes.append(f"{a} and {b} have {common} keys in common, of different events: this is harmless")


# --- features -----------------------------------------------------------------------------------------------------


def _features(spec: DatasetSpec, loaded: LoadedEvents, result: Checkup) -> None:
    table = loaded.table
    rows = np.asarray(table.features[spread(len(table))], dtype=np.float64)
    varying = []
    for i, name in enumerate(table.names):
        low, high = rows[:, i].min(), rows[:, i].max()
        if low == high:
            result.warnings.append(f"the feature {name} is {low:g} in every selected event")
            continue
        varying.append(i)
        for flag in FLAGS:
            share = float(np.mean(rows[:, i] == flag))
            if share > 0 and flag != spec.missing and flag in (low, high):
                result.warnings.append(
                    f"the feature {name} is {flag:g} in {share:.1%} of the selected events: if this means a missing "
                    "number, mark it, for example where(x > -900, x, ...)"
                )
    correlation = np.atleast_2d(np.corrcoef(rows[:, varying], rowvar=False)) if len(varying) > 1 else np.eye(1)
    for i, j in combinations(range(len(varying)), 2):
        if abs(correlation[i, j]) >= SAME:
            first, second = table.names[varying[i]], table.names[varying[j]]
            result.warnings.append(
                f"the features {first} and {second} are nearly equal (correlation {correlation[i, j]:.4f})"
            )
    result.warnings.extend(leaks(spec, table))
    result.objects.extend(object_counts(spec.collections, table))
    _missing(spec, loaded, result)


def _missing(spec: DatasetSpec, loaded: LoadedEvents, result: Checkup) -> None:
    """Record features that some events do not have, and conditions that are missing in some events, by sample."""
    of_objects = [f"{name}.{feature}" for name, section in spec.collections.items() for feature in section.features]
    for sample, summary in loaded.samples.items():
        for name in (name for name in of_objects if summary.missing.get(name)):
            result.notes.append(f"{sample}: {name} is missing in {summary.missing[name]} objects")
        for condition in (name for name in summary.missing if name not in (*loaded.table.names, *of_objects)):
            result.warnings.append(
                f"{sample}: {condition} is missing (null) in {summary.missing[condition]} events, which are left out"
            )
    for name in loaded.table.names:
        shares = {
            sample: summary.missing.get(name, 0) / summary.sums.entries
            for sample, summary in loaded.samples.items()
            if summary.missing.get(name)
        }
        if shares:
            listed = ", ".join(f"{sample} {share:.1%}" for sample, share in shares.items())
            result.notes.append(f"the feature {name} is missing in selected events: {listed}")


def _agreement(spec: EvaluationSpec, table: FeatureTable, result: Checkup) -> None:
    """Compare the shapes of the features of data with those of the simulation of the nominal domain."""
    data = [d for d in table.domain_names if (of := table.of_domain(d)).any() and np.all(table.label[of] < 0)]
    simulation = table.of_domain(spec.domains.nominal) & (table.label >= 0)
    if not data:
        result.notes.append("no sample of data to compare with the simulation")
        return
    if spec.settings.blind is not None:
        result.notes.append(
            "data are blinded (`evaluation.blind`): their features are not compared with the simulation"
        )
        return
    expected = np.flatnonzero(simulation)
    total = float(table.weight[expected].sum())
    variance = float((table.weight[expected] ** 2).sum())
    expected = expected[spread(len(expected))]
    for domain in data:
        rows = np.flatnonzero(table.of_domain(domain))
        observed = float(table.weight[rows].sum())
        ratio = f", {observed / total:.3f} of it" if total > 0 else ""
        result.notes.append(f"{domain}: {observed:.6g} events, where the simulation expects {total:.6g}{ratio}")
        if total > 0 and abs(observed - total) > max(FAR_OFF * total, 5 * math.sqrt(observed + variance)):
            result.warnings.append(
                f"{domain}: {observed / total:.2f} times the events of the simulation; check luminosity, cross "
                "sections, the sums of weights, and whether a process is missing"
            )
        rows = rows[spread(len(rows))]
        for i, name in enumerate(table.names):
            try:
                result.agreement.append(_compared(name, domain, table, i, rows, expected))
            except DataError as error:
                result.warnings.append(f"{name}: data and simulation cannot be compared: {error}")


def _compared(
    name: str, domain: str, table: FeatureTable, column: int, rows: NDArray[np.int64], expected: NDArray[np.int64]
) -> Agreement:
    from scipy.special import chdtrc  # only checks that compare data need it

    simulated = weighted(table.features[expected, column], table.weight[expected], "the simulation")
    observed = weighted(table.features[rows, column], table.weight[rows], "data")
    inner = np.unique(np.quantile(simulated.score, np.linspace(0, 1, BINS + 1)[1:-1]))
    value, ndf = chi2(simulated, observed, np.concatenate([[-np.inf], inner, [np.inf]]))
    return Agreement(
        feature=name,
        data=domain,
        ks=abs(kolmogorov_smirnov(simulated, observed)[0]),
        chi2=value,
        ndf=ndf,
        p_value=None if value is None else float(chdtrc(ndf, value)),
        means=tuple(float(np.average(s.score, weights=s.weight)) for s in (observed, simulated)),  # type: ignore[arg-type]
    )
