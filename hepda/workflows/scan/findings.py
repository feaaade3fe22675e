"""The results of a scan, in the form that its tables, figures and files use."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hepda.config import AnalysisConfig
from hepda.config.scan import method_key
from hepda.workflows.scan.choice import Criterion, Result, choose, smallest_loss
from hepda.workflows.scan.corrected import BestNumbers, corrected_numbers
from hepda.workflows.scan.points import curve_key, short, value_text


@dataclass(frozen=True, slots=True)
class ScanCurve:
    """The points of one model and method along the scanned key, and the chosen one of them.

    corrected: the numbers of the chosen point by name, naive and corrected for the choice.
    """

    name: str
    model: str
    key: str | None
    results: tuple[Result, ...]
    chosen: Result | None
    corrected: BestNumbers = field(default_factory=dict)

    def at(self, result: Result) -> float:
        """Return the position of a point along the curve."""
        return float(self.results.index(result) if self.key is None else result.point.values[self.key])

    def text(self, result: Result) -> str:
        """Return the name of a point within its curve."""
        if self.key is not None:
            return value_text(result.point.values[self.key])
        return (
            ", ".join(value_text(v) for k, v in result.point.values.items() if k != method_key(self.model)) or self.name
        )


@dataclass(slots=True)
class Findings:
    """All results of a scan, in the form that its files use."""

    config: AnalysisConfig
    curves: list[ScanCurve]
    best: dict[str, Result | None]  # by model
    criterion: Criterion
    seeds: int
    guided: bool
    counts: Mapping[str, int]
    nulls: Mapping[str, Mapping[str, Mapping[str, float | str]]]  # by model and other domain
    samples: Mapping[str, Any]
    files: Sequence[Mapping[str, Any]]
    cost: Mapping[str, float | str]
    warnings: Sequence[str] = field(default_factory=list)
    corrected: Mapping[str, BestNumbers] = field(default_factory=dict)
    """By model, the numbers of its chosen point by name, naive and corrected for the choice."""

    @property
    def results(self) -> list[Result]:
        """Every point, curve by curve."""
        return [result for curve in self.curves for result in curve.results]

    @property
    def failures(self) -> list[str]:
        """One line for each point at which a training failed, with the reasons."""
        return [
            f"{r.point.name}: {r.failed} of {len(r.rows)} seeds failed: {'; '.join(r.why)}"
            for r in self.results
            if r.failed
        ]

    @property
    def compared(self) -> list[str]:
        """Comparison domains: those that are compared with the source, from the names of the numbers."""
        return _suffixes(self.results, "ks_")

    @property
    def domains(self) -> list[str]:
        """Domains with an AUC."""
        return _suffixes(self.results, "auc_")


def _suffixes(results: Sequence[Result], prefix: str) -> list[str]:
    names = dict.fromkeys(name for result in results for name in result.mean if name.startswith(prefix))
    return [name.removeprefix(prefix) for name in names]


def curves_of(
    results: Sequence[Result], criterion: Criterion, methods: Sequence[str], separate: Collection[str]
) -> list[ScanCurve]:
    """Return the results of each model as curves along the strength (or the first key with numbers).

    Each method has its own curve, and so has each value of the other keys that are listed in `separate`.

    Args:
        results: the points of all models.
        criterion: the rule by which each curve's point is chosen.
        methods: the methods that the scan compares, empty if it compares none.
        separate: keys whose values get a curve each.

    """
    curves = []
    models = list(dict.fromkeys(result.point.model for result in results))
    for model in models:
        of_model = [result for result in results if result.point.model == model]
        key = curve_key([result.point for result in of_model])
        loss = smallest_loss(of_model)
        groups: dict[str, list[Result]] = {}
        for result in of_model:
            groups.setdefault(_curve_name(result, key, models, methods, separate), []).append(result)
        for name, group in groups.items():
            if key is not None:
                group.sort(key=lambda result: float(result.point.values[key]))
            corrected = corrected_numbers(group, of_model, criterion)
            curves.append(ScanCurve(name, model, key, tuple(group), choose(group, criterion, loss), corrected))
    return curves


def _curve_name(
    result: Result, key: str | None, models: Sequence[str], methods: Sequence[str], separate: Collection[str]
) -> str:
    point = result.point
    words = [point.model] if len(models) > 1 or not methods else []
    words += [point.method] if methods else []
    if key is not None:
        keys = [k for k in point.values if k in separate and k not in (key, method_key(point.model))]
        words += [f"{short(k)} {value_text(point.values[k])}" for k in keys]
    return ", ".join(words)


def corrected_by_model(curves: Sequence[ScanCurve], criterion: Criterion) -> dict[str, BestNumbers]:
    """Return the corrected numbers of the chosen point of each model, which is chosen among all its curves."""
    found: dict[str, BestNumbers] = {}
    for model in dict.fromkeys(curve.model for curve in curves):
        of_model = [curve for curve in curves if curve.model == model]
        results = [result for curve in of_model for result in curve.results]
        single = len(of_model) == 1
        found[model] = of_model[0].corrected if single else corrected_numbers(results, results, criterion)
    return found


def events_text(findings: Findings) -> str:
    """Return the sentence about which events choose and which report."""
    part = findings.config.split.validation
    return (
        f"Of the events that a network was not trained on, the {100 * part:g} % in the validation set by "
        "hash "
        f"({findings.counts['choosing']}) are used for the selection, all others "
        f"({findings.counts['reporting']}) for the results."
    )
