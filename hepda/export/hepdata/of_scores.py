"""The numbers of the figures of inputs and scores; arguments are those of the functions that draw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.export.hepdata.tables import (
    Curve,
    Dependent,
    FigureTable,
    Uncertainties,
    axis,
    bins,
    interval,
    joined,
    names,
    numbers,
    symmetric,
)
from hepda.plotting.base.histogram import Histogram
from hepda.plotting.base.style import USUAL_TEXTS, AxisTexts
from hepda.plotting.scores.features import FilledFeature
from hepda.plotting.scores.tradeoff import TradeoffPoint
from hepda.results.entries.classes import ConfusionMatrix
from hepda.results.entries.decomposition import BinnedDecomposition, Contribution, Decomposition
from hepda.results.evaluation import (
    BiasResult,
    CalibrationCurve,
    EfficiencyCurve,
    EfficiencyShift,
    FeatureImportance,
    FloatArray,
    Interval,
    OvertrainingTest,
    PurityBand,
    RocBand,
    ShiftRatio,
    SignificanceScan,
)

STATISTICS = "statistical"
SIGNAL_EFFICIENCY, BACKGROUND_EFFICIENCY = (
    r"Signal efficiency $\varepsilon_s$",
    r"Background efficiency $\varepsilon_b$",
)


def feature(shown: FilledFeature, **_: Any) -> list[FigureTable]:
    """Return the contents of each sample of the stack, of the other totals and of the data, by bin."""

    def column(
        name: str, filled: Histogram, errors: Uncertainties, hidden: NDArray[np.bool_] | None = None
    ) -> Dependent:
        values = filled.sumw if hidden is None else np.where(hidden, np.nan, filled.sumw)
        return Dependent("Events", numbers(values), [errors], {"Process": name})

    columns = [column(part.name, part.histogram, symmetric(STATISTICS, part.histogram.error)) for part in shown.stack]
    columns.append(column("Total", shown.total, symmetric(STATISTICS, shown.total.error)))
    columns += [column(part.name, part.histogram, symmetric(STATISTICS, part.histogram.error)) for part in shown.others]
    if shown.data is not None:
        filled = shown.data.histogram
        down, up = filled.interval()
        seen = np.where(shown.without_data, np.nan, filled.sumw)
        errors = interval(seen, filled.sumw - down, filled.sumw + up, STATISTICS)
        columns.append(column(shown.data.name, filled, errors, shown.without_data))
    return [FigureTable([bins(shown.label, shown.edges)], columns)]


def shape(
    scores: Mapping[str, Histogram],
    *,
    model: str,
    context: Mapping[str, Histogram] | None = None,
    texts: AxisTexts = USUAL_TEXTS,
    **_: Any,
) -> list[FigureTable]:
    """Return the normalised distributions of a score by domain."""
    curves = []
    for name, filled in {**scores, **(context or {})}.items():
        unit = filled.unit_area()
        column = Dependent("Fraction of events", numbers(unit.sumw), [symmetric(STATISTICS, unit.error)],
                        {"Model": model, "Sample": name})  # fmt: skip
        curves.append(Curve(bins(texts.x or "Score", filled.edges), column))
    return joined(curves)


def roc(bands: Mapping[str, RocBand], *, texts: AxisTexts = USUAL_TEXTS, **_: Any) -> list[FigureTable]:
    """Return the background efficiency of each model against the signal efficiency."""
    return joined([Curve(axis(texts.x or SIGNAL_EFFICIENCY, b.signal_efficiency), _band(b, {"Model": model}))
                   for model, b in bands.items()])  # fmt: skip


def _band(band: RocBand, of: Mapping[str, str]) -> Dependent:
    values = band.background_efficiency
    return Dependent(BACKGROUND_EFFICIENCY, numbers(values), [interval(values, band.low, band.high)], of)


def purities(bands: Mapping[str, PurityBand], **_: Any) -> list[FigureTable]:
    """Return the share of signal above a cut of each model against the signal efficiency."""
    return joined(
        [
            Curve(axis(SIGNAL_EFFICIENCY, band.signal_efficiency),
                  Dependent("Purity", numbers(band.purity), [interval(band.purity, band.low, band.high)],
                            {"Model": model}))
            for model, band in bands.items()
        ]
    )  # fmt: skip


def correlations(matrices: Mapping[str, FloatArray], named: Sequence[str], **_: Any) -> list[FigureTable]:
    """Return the correlation of each pair of inputs or scores, by group of events."""
    first, second = np.divmod(np.arange(len(named) ** 2), len(named))
    axes = [
        names("Quantity 1", [named[index] for index in first]),
        names("Quantity 2", [named[index] for index in second]),
    ]
    columns = [
        Dependent("Correlation", numbers(np.ravel(matrix)), of={"Events": group}) for group, matrix in matrices.items()
    ]
    return [FigureTable(axes, columns)]


def separation(_features: Sequence[FilledFeature], values: Mapping[str, float], **_: Any) -> list[FigureTable]:
    """Return the separation of signal and background by each input; the histograms are figures of their own."""
    if not values:
        return []
    return [FigureTable([names("Input", list(values))], [Dependent("Separation", numbers(list(values.values())))])]


def against_rest(
    curves: Mapping[str, Mapping[str, tuple[RocBand, Interval]]], *, model: str, **_: Any
) -> list[FigureTable]:
    """Return the efficiency of all other classes against that of each class, by its output."""
    return joined(
        [
            Curve(axis("Efficiency of the class", band.signal_efficiency),
                  _band(band, {"Model": model, "Class": name, "Domain": domain}))
            for name, of in curves.items() for domain, (band, _auc) in of.items()
        ]
    )  # fmt: skip


def calibration(
    curves: Mapping[str, CalibrationCurve], *, texts: AxisTexts = USUAL_TEXTS, **_: Any
) -> list[FigureTable]:
    """Return the signal fraction and the mean score by bin of the score, for each model."""
    tables = []
    for model, curve in curves.items():
        of = {"Model": model}
        columns = [
            Dependent("Signal fraction", numbers(curve.fraction), [symmetric(STATISTICS, curve.error)], of),
            Dependent("Mean score", numbers(curve.mean_score), of=of),
        ]
        part = model if len(curves) > 1 else ""
        tables.append(FigureTable([bins(texts.x or "Score", curve.edges)], columns, part))
    return tables


def overtraining(tests: Mapping[str, OvertrainingTest], *, model: str, **_: Any) -> list[FigureTable]:
    """Return the normalised distributions of training and test events, for each class."""
    curves = []
    for name, test in tests.items():
        for events, values, errors in (
            ("training", test.train, test.train_error),
            ("test", test.test, test.test_error),
        ):
            of = {"Model": model, "Class": name, "Events": events}
            column = Dependent("Density", numbers(values), [symmetric(STATISTICS, errors)], of)
            curves.append(Curve(bins("Score", test.edges), column))
    return joined(curves)


def efficiency(
    curves: Mapping[str, Mapping[str, EfficiencyCurve]], *, xlabel: str, cut: str, **_: Any
) -> list[FigureTable]:
    """Return the efficiency of a cut in bins of a variable, by class and model."""
    return joined(
        [
            Curve(bins(xlabel, curve.edges),
                  Dependent("Efficiency", numbers(curve.efficiency), [symmetric(STATISTICS, curve.error)],
                         {"Class": name, "Model": model, "Cut": cut}))
            for name, of in curves.items() for model, curve in of.items()
        ]
    )  # fmt: skip


def importance(found: Mapping[str, FeatureImportance], *, source: str, **_: Any) -> list[FigureTable]:
    """Return the decrease of the AUC between two domains by each input."""
    return joined(
        [
            Curve(names("Input", result.names),
                  Dependent("Decrease of the AUC", numbers(result.drop), [symmetric("shuffles", result.error)],
                         {"Domains": f"{source}, {domain}"}))
            for domain, result in found.items()
        ]
    )  # fmt: skip


def class_importance(found: Mapping[str, FeatureImportance], *, source: str, **_: Any) -> list[FigureTable]:
    """Return the decrease of the AUC of each model by each input."""
    return joined(
        [
            Curve(names("Input", result.names),
                  Dependent("Decrease of the AUC", numbers(result.drop), [symmetric(STATISTICS, result.error)],
                         {"Model": model, "Domain": source}))
            for model, result in found.items()
        ]
    )  # fmt: skip


def shifts(
    found: Mapping[str, Sequence[EfficiencyShift]], *, source: str, other: str, class_name: str = "background", **_: Any
) -> list[FigureTable]:
    """Return the relative shift of the efficiency against the signal efficiency, and its null, by model."""
    curves = []
    for model, points in found.items():
        if not points:
            continue
        efficiencies = axis(SIGNAL_EFFICIENCY, [p.signal_efficiency for p in points])
        of = {"Model": model, "Class": class_name, "Domains": f"{source}, {other}"}
        errors = [symmetric(STATISTICS, [p.error for p in points])]
        curves.append(
            Curve(
                efficiencies,
                Dependent("Relative shift of the efficiency", numbers([p.shift for p in points]), errors, of),
            )
        )
        level = next((point.null.level for point in points if point.null is not None), None)
        if level is not None:
            low = [None if p.null is None else p.null.low for p in points]
            high = [None if p.null is None else p.null.high for p in points]
            zero = numbers(np.zeros(len(points)))
            spread = interval(zero, low, high, f"{100 * level:.0f} % of the samples")
            curves.append(Curve(efficiencies, Dependent("Shift between samples of one generator", zero, [spread], of)))
    return joined(curves)


def ks(
    found: Mapping[str, Mapping[str, BiasResult]], *, source: str, class_name: str = "background", **_: Any
) -> list[FigureTable]:
    """Return the KS distance of each model between two domains, and the quantile of its null distribution."""
    curves = []
    for other, by_model in found.items():
        of = {"Class": class_name, "Domains": f"{source}, {other}"}
        results = list(by_model.values())
        nulls = [None if result.null is None else result.null.quantile for result in results]
        columns = [Dependent("KS distance", numbers([result.ks for result in results]), of=of),
                   Dependent("Quantile of the null distribution", numbers(nulls), of=of)]  # fmt: skip
        curves += [Curve(names("Model", list(by_model)), column) for column in columns]
    return joined(curves)


def ratios(
    found: Mapping[str, Mapping[str, Sequence[ShiftRatio]]], *, baseline: str, source: str, **_: Any
) -> list[FigureTable]:
    """Return the shift of each model over that of the baseline, by domain."""
    curves = []
    for other, by_model in found.items():
        for model, points in by_model.items():
            known = [p.ratio for p in points]
            values, low, high = ([None if r is None else getattr(r, key) for r in known]
                                 for key in ("value", "low", "high"))  # fmt: skip
            of = {"Model": model, "Baseline": baseline, "Domains": f"{source}, {other}"}
            column = Dependent("Ratio of the shifts", numbers(values), [interval(values, low, high)], of)
            curves.append(Curve(axis(SIGNAL_EFFICIENCY, [p.signal_efficiency for p in points]), column))
    return joined([curve for curve in curves if curve.axis.values])


def tradeoff(
    models: Mapping[str, TradeoffPoint | Sequence[TradeoffPoint]],
    *,
    bias_name: str = "Background KS distance, simulation to alternative",
    auc_name: str = "AUC (simulation)",
    **_: Any,
) -> list[FigureTable]:
    """Return bias and AUC of each model, or of each of its points."""
    rows = [
        (model + f" ({point.text})" * bool(point.text), point)
        for model, points in models.items()
        for point in ([points] if isinstance(points, TradeoffPoint) else points)
    ]
    columns = []
    for name, key in ((bias_name, "bias"), (auc_name, "auc")):
        values, low, high = ([getattr(point, f"{key}{end}") for _, point in rows] for end in ("", "_low", "_high"))
        columns.append(Dependent(name, numbers(values), [interval(values, low, high)]))
    return [FigureTable([names("Model", [name for name, _ in rows])], columns)]


def significance(scans: Mapping[str, SignificanceScan], **_: Any) -> list[FigureTable]:
    """Return the significance against the cut: a table for each model."""
    tables = []
    for model, scan in scans.items():
        of = {"Model": model}
        columns = [
            Dependent("Signal events", numbers(scan.signal), of=of),
            Dependent("Background events", numbers(scan.background),
                   [symmetric(STATISTICS, scan.background_mc_error)], of),
        ]  # fmt: skip
        for text, values in (("none", scan.asimov), ("background", scan.asimov_with_uncertainty),
                             ("background and difference of the generators", scan.asimov_with_bias)):  # fmt: skip
            if values is not None:
                columns.append(Dependent("Expected significance", numbers(values), of={**of, "Uncertainties": text}))
        tables.append(FigureTable([axis("Cut on the score", scan.cut)], columns, model if len(scans) > 1 else ""))
    return tables


def confusion(domains: Mapping[str, ConfusionMatrix], *, model: str, **_: Any) -> list[FigureTable]:
    """Return the shares of predicted classes, of each true class and of each prediction."""
    curves = []
    for domain, matrix in domains.items():
        size = len(matrix.names)
        true = names("True class", [matrix.names[i] for i in range(size) for _ in range(size)])
        for text, values, errors in (("of the true class", matrix.efficiency, matrix.efficiency_error),
                                     ("of the predicted class", matrix.purity, matrix.purity_error)):  # fmt: skip
            of = {"Model": model, "Domain": domain, "Share": text}
            column = Dependent("Share", numbers(values.ravel()), [symmetric(STATISTICS, errors.ravel())], of)
            curves.append(Curve(true, column))
    return [_by_pairs(table, list(next(iter(domains.values())).names), "Predicted class") for table in joined(curves)]


def _by_pairs(table: FigureTable, second: Sequence[str], name: str) -> FigureTable:
    """Return a table of k x k rows whose first axis is repeated, with a second axis that changes fastest."""
    return FigureTable([*table.axes, names(name, list(second) * len(second))], table.columns, table.part)


def outputs(found: Mapping[str, Mapping[str, Mapping[str, Histogram]]], *, model: str, **_: Any) -> list[FigureTable]:
    """Return the normalised distribution of each output by true class and domain: a table for each output."""
    tables = []
    for output, by_class in found.items():
        curves = []
        for name, by_domain in by_class.items():
            for domain, filled in by_domain.items():
                unit = filled.unit_area()
                of = {"Model": model, "Class": name, "Domain": domain}
                column = Dependent("Fraction of events", numbers(unit.sumw), [symmetric(STATISTICS, unit.error)], of)
                curves.append(Curve(bins(output, filled.edges), column))
        tables += joined(curves, output if len(found) > 1 else "")
    return tables


def decomposition(
    models: Mapping[str, Sequence[Decomposition]], *, source: str, other: str, class_name: str = "background", **_: Any
) -> list[FigureTable]:
    """Return the relative shift of the efficiency and its two parts against the signal efficiency, by model."""
    curves = []
    for model, points in models.items():
        known = [point for point in points if point.whole is not None]
        cuts = axis(SIGNAL_EFFICIENCY, [np.nan if p.signal_efficiency is None else p.signal_efficiency for p in known])
        for text in ("whole", "rates", "shapes"):
            of = {"Model": model, "Class": class_name, "Domains": f"{source}, {other}", "Part": text}
            curves.append(Curve(cuts, _contributions([getattr(point, text) for point in known], of)))
    return joined([curve for curve in curves if curve.axis.values])


def process_parts(
    models: Mapping[str, Decomposition], *, source: str, other: str, cut: str, **_: Any
) -> list[FigureTable]:
    """Return the two parts of the shift of each process, by model."""
    curves = []
    for model, parts in models.items():
        if parts.whole is not None:
            for text in ("rates", "shapes"):
                of = {"Model": model, "Domains": f"{source}, {other}", "Cut": cut, "Part": text}
                found = [getattr(process, text) for process in parts.processes.values()]
                curves.append(Curve(names("Process", list(parts.processes)), _contributions(found, of)))
    return joined(curves)


def _contributions(found: Sequence[Contribution | None], of: Mapping[str, str]) -> Dependent:
    values = numbers([None if part is None else part.value for part in found])
    errors = symmetric(STATISTICS, [None if part is None else part.error for part in found])
    return Dependent("Relative shift of the efficiency", values, [errors], of)


def binned_parts(
    domains: Mapping[str, BinnedDecomposition], *, source: str, model: str, class_name: str = "background", **_: Any
) -> list[FigureTable]:
    """Return the relative difference between two domains and its two parts, by bin of the score."""
    curves = []
    for other, found in domains.items():
        for text in ("whole", "rates", "shapes"):
            of = {"Model": model, "Class": class_name, "Domains": f"{source}, {other}", "Part": text}
            errors = symmetric(STATISTICS, getattr(found, f"{text}_error"))
            column = Dependent("Relative difference", numbers(getattr(found, text)), [errors], of)
            curves.append(Curve(bins("Score", found.edges), column))
    return joined(curves)
