"""The shift of the compared class between two domains by its processes, and its entry in metrics.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.evaluation.arrays import sample
from hepda.evaluation.differences.composition import ProcessScores, decompose, process_scores
from hepda.events.domains.roles import compared
from hepda.events.domains.spec import EvaluationSpec
from hepda.events.table.feature_table import FeatureTable
from hepda.results.entries.decomposition import (
    BinnedDecomposition,
    Contribution,
    Decomposition,
    DomainDecomposition,
    ProcessContribution,
)
from hepda.results.evaluation import FloatArray

Mask = NDArray[np.bool_]


def decomposition(
    spec: EvaluationSpec, table: FeatureTable, score: FloatArray, other: str, edges: FloatArray
) -> DomainDecomposition | None:
    """Return the shift to another domain as rates of the processes and shapes within them.

    Args:
        spec: the settings of the evaluation.
        table: the events.
        score: the score [n] of a model.
        other: the other domain.
        edges: edges of bins of the score.

    Returns:
        The decomposition; None if the compared class of the two domains has fewer than two processes that are known in
        both.

    """
    source, target = compared(spec, table, other)
    processes = _known_in_both(spec, other)
    if source.class_name != spec.compared_class or len(processes) < 2:
        return None
    signal = table.of_domain(spec.domains.nominal) & (table.label == 1)

    def of_domain(mask: Mask, samples: Sequence[Sequence[str]], name: str) -> ProcessScores:
        numbers = _processes(table, samples)[mask]
        return process_scores(
            score[mask], table.weight[mask], numbers, len(processes), f"{source.class_name} of {name}"
        )

    return decompose(
        of_domain(source.mask, [samples for samples, _ in processes.values()], spec.domains.nominal),
        of_domain(target.mask, [samples for _, samples in processes.values()], other),
        tuple(processes),
        signal=sample(score[signal], table.weight[signal], f"signal of {spec.domains.nominal}"),
        efficiencies=spec.shift_points,
        edges=edges,
        class_name=source.class_name,
    )


def _known_in_both(spec: EvaluationSpec, other: str) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return the samples of the nominal and of the other domain by process, or by class if that tells more apart."""
    processes = spec.domains.counterparts_of(other, spec.compared_class).processes
    classes = {}
    for name in spec.classes.names:
        samples = set(spec.classes.samples_of(name))
        sides = [tuple(s for pair in processes.values() for s in pair[side] if s in samples) for side in (0, 1)]
        if all(sides):
            classes[name] = (sides[0], sides[1])
    return processes if len(processes) >= len(classes) else classes


def _processes(table: FeatureTable, samples: Sequence[Sequence[str]]) -> NDArray[np.intp]:
    """Return the number of the process [n] of each event, by the samples of each process; -1 for any other event."""
    of_sample = np.full(len(table.sample_names), -1, dtype=np.intp)
    for number, names in enumerate(samples):
        for name in names:
            if name in table.sample_names:
                of_sample[table.sample_names.index(name)] = number
    return of_sample[np.asarray(table.sample)]


def decomposition_of(result: DomainDecomposition) -> dict[str, Any]:
    """Return models.<model>.decomposition.<source>:<other> of metrics.json."""
    return {
        "class": result.class_name,
        "shares": {
            name: {"source": _entry(source), "other": _entry(other)} for name, (source, other) in result.shares.items()
        },
        "efficiency_shift": {f"{parts.signal_efficiency:g}": _parts(parts) for parts in result.shifts},
        "ks": _parts(result.ks),
        "bins": _bins(result.bins),
    }


def _entry(part: Contribution | None) -> dict[str, Any]:
    if part is None:
        return {"value": None, "why": "the domain has no event of the process"}
    return {"value": part.value, "error": part.error}


def _parts(parts: Decomposition) -> dict[str, Any]:
    if parts.whole is None:
        return {"whole": None, "rates": None, "shapes": None, "why": parts.why}
    sums = {name: _entry(getattr(parts, name)) for name in ("whole", "rates", "shapes")}
    return {**sums, "processes": _by_process(parts.processes)}


def _by_process(processes: Mapping[str, ProcessContribution]) -> dict[str, Any]:
    names = ("rates", "shapes", "source_efficiency", "other_efficiency")
    return {process: {name: _entry(getattr(parts, name)) for name in names} for process, parts in processes.items()}


def _bins(bins: BinnedDecomposition) -> dict[str, Any]:
    columns = {name: getattr(bins, name).tolist() for name in type(bins).__dataclass_fields__}
    why = {} if np.isfinite(bins.whole).all() else {"why": "the nominal domain or a process has no positive content"}
    return {name: [x if np.isfinite(x) else None for x in values] for name, values in columns.items()} | why
