"""A plot of made-up numbers for each figure that has a table."""

from __future__ import annotations

import numpy as np

from hepda.evaluation.roc import purity_band
from hepda.plotting import dial, enhancement, images, speech, training
from hepda.plotting.base.histogram import Histogram
from hepda.plotting.base.plot import Plot
from hepda.plotting.base.style import Label
from hepda.plotting.fit import closure, correlations, origins, parameters, ranking, regions, scan, strengths
from hepda.plotting.scores import (
    bias,
    calibration,
    classes,
    decomposition,
    efficiency,
    features,
    importance,
    ratios,
    regression,
    roc,
    shapes,
    significance,
    tradeoff,
)
from hepda.plotting.scores.correlations import correlations_figure
from hepda.plotting.scores.overview import separations_figure
from hepda.results.entries.classes import ConfusionMatrix
from hepda.results.entries.decomposition import BinnedDecomposition, Contribution, Decomposition, ProcessContribution
from hepda.results.entries.regression import ResponseCurve
from hepda.results.evaluation import (
    BiasResult,
    CalibrationCurve,
    EfficiencyCurve,
    EfficiencyShift,
    FeatureImportance,
    FewLabels,
    FewLabelsMethod,
    Interval,
    NullDistribution,
    OvertrainingTest,
    RocBand,
    ShiftRatio,
    Significance,
    SignificanceScan,
)
from hepda.results.few_shot import FewShot, FewShotMethod
from hepda.results.fit_file import CorrelationEntry, OriginEntry, ScanEntry
from tests.plotting.fit import records

LABEL = Label("Simulation", 140.0, 13.6)
EDGES = np.linspace(0.0, 1.0, 5)
FOUR = np.array([1.0, 2.0, 4.0, 3.0])
RNG = np.random.default_rng(1)


def filled(factor: float = 1.0) -> Histogram:
    return Histogram(EDGES, factor * FOUR, factor**2 * 0.1 * FOUR)


def band(factor: float = 1.0) -> RocBand:
    x = np.linspace(0.1, 0.9, 4)
    return RocBand(x, factor * x**3, 0.9 * factor * x**3, 1.2 * factor * x**3)


def feature() -> features.FilledFeature:
    counts = Histogram(EDGES, 10 * FOUR, 10 * FOUR)
    stack = [features.FilledSample("tt", filled(10)), features.FilledSample("ttH", filled(), signal=True)]
    hidden = np.array([False, False, False, True])
    others, data = [features.FilledSample("other generator", filled(11))], features.FilledSample("data", counts)
    return features.FilledFeature("$H_T$ [GeV]", stack, others, data, hidden, True, False, "")


def result(ks: float) -> BiasResult:
    null = NullDistribution("ks", np.array([0.01, 0.02]), 0.95, 0.02, 100.0, 100.0)
    return BiasResult("background", ks, ks, 0.5, 0.01, 3.0, 4, 0.1, 0.1, null=null)


def scanned() -> SignificanceScan:
    best = Significance(2.0, 10.0, 25.0, 1.0, 0.5)
    return SignificanceScan(
        FOUR, 10 / FOUR, 100 / FOUR, 1 / FOUR, FOUR * 100, None, FOUR, np.array([1.0, np.nan, 2.0, 3.0]), None, best,
        best, None,
    )  # fmt: skip


def decomposed(cut: float) -> Decomposition:
    one, two = Contribution(0.1, 0.01), Contribution(-0.04, 0.02)
    return Decomposition(cut, Contribution(0.06, 0.02), one, two,
                         {"ttb": ProcessContribution(one, two, None, None)}, signal_efficiency=cut)  # fmt: skip


def confusion() -> ConfusionMatrix:
    two = np.array([[0.8, 0.2], [0.3, 0.7]])
    return ConfusionMatrix(("a", "b"), two, two, two, 0.1 * two, two.T, 0.1 * two.T, Contribution(0.75, 0.01), None)


def error_curve() -> speech.ErrorCurve:
    return speech.ErrorCurve(np.arange(4), 0.1 * FOUR, 0.09 * FOUR, 0.12 * FOUR)


REGIONS = {"sr": records.region(4), "hidden": records.region(2, observed=None, blinded={"data": "score > 0.5"})}
FITS = {"third": {"net": [records.closed(0.0, 0.1), records.closed(1.0, 0.9, 0.6)], "bdt": [records.closed(1.0, None)]}}
SCAN = ScanEntry(parameter="mu", values=[0.0, 1.0, 2.0], twice_delta_nll=[1.0, 0.0, None], fixed=[4.0, 0.0, 4.0],
                 best=1.0, error=1.0)  # fmt: skip
CORRELATION = CorrelationEntry(names=["mu", "jes"], matrix=[[1.0, -0.3], [-0.3, 1.0]])
ORIGINS = [
    OriginEntry(process="ttb", part="rate", value=0.08, error=0.01),
    OriginEntry(process="ttb", part="regions", value=None, error=None),
    OriginEntry(process="ttb", part="shape", region="sr", value=-0.03, error=0.02),
]
TEXTS = regions.RegionTexts("sr", "$H_T$", "GeV")
SHIFTS = [
    EfficiencyShift(0.3, 0.8, 0.1, 0.12, 0.2, 0.05, null=Interval(0.0, -0.1, 0.12, 0.95)),
    EfficiencyShift(0.5, 0.6, 0.1, 0.1, None, None, "no event"),
]
RATIOS = [ShiftRatio("third", 0.3, None, None, Interval(0.5, 0.3, 0.9), True)]

CURVE = ResponseCurve(EDGES, *([FOUR] * 4), *([0.1 * FOUR, 0.09 * FOUR, 0.11 * FOUR] * 2), FOUR)

PLOTS = {
    "region": Plot.of(regions.region_figure, records.region(4), TEXTS, label=LABEL),
    "summary": Plot.of(regions.summary_figure, REGIONS, TEXTS, label=LABEL),
    "parameters": Plot.of(parameters.parameters_figure, records.parameters(), label=LABEL),
    "ranking": Plot.of(ranking.ranking_figure, [records.impact("jes")], mu=1.0, error=0.3, label=LABEL),
    "correlations": Plot.of(correlations.correlation_figure, CORRELATION, records.parameters(), label=LABEL),
    "origins": Plot.of(origins.origins_figure, {"third": (0.1, ORIGINS), "data": (-0.2, ORIGINS[:2])}, label=LABEL),
    "scan": Plot.of(scan.scan_figure, SCAN, label=LABEL),
    "strengths": Plot.of(strengths.strengths_figure, {"net": records.model()}, label=LABEL),
    "closure": Plot.of(closure.closure_bias_figure, FITS, source="simulation", label=LABEL),
    "feature": Plot.of(features.feature_figure, feature(), label=LABEL),
    "shape": Plot.of(shapes.shape_figure, {"simulation": filled(), "third": filled(2)}, reference="simulation",
                     model="net", context={"signal": filled(3)}, label=LABEL),
    "roc": Plot.of(roc.roc_figure, {"net": band(), "bdt": band(0.8)}, reference="net", label=LABEL),
    "purity": Plot.of(roc.purity_curves_figure, {"net": purity_band(band(), 0.2)}, label=LABEL),
    "inputs": Plot.of(correlations_figure, {
        "signal": np.array([[1.0, 0.2], [0.2, 1.0]]),
        "background": np.array([[1.0, -0.3], [-0.3, 1.0]])}, ["ht", "met"]),
    "separation": Plot.of(separations_figure, [feature()], {"$H_T$": 0.25}, label=LABEL),
    "calibration": Plot.of(calibration.calibration_figure, {
        "net": CalibrationCurve(EDGES, 0.1 * FOUR, np.array([0.1, 0.2, np.nan, 0.3]), 0.01 * FOUR, FOUR, 0.1)}),
    "overtraining": Plot.of(calibration.overtraining_figure, {
        "signal": OvertrainingTest("signal", EDGES, FOUR, 0.1 * FOUR, FOUR, 0.2 * FOUR, 0.1, 0.5)}, model="net"),
    "efficiency": Plot.of(efficiency.efficiency_figure, {"signal": {
        "net": EfficiencyCurve(EDGES, 0.1 * FOUR, 0.01 * FOUR, FOUR),
        "bdt": EfficiencyCurve(EDGES, 0.2 * FOUR, 0.01 * FOUR, FOUR)}}, xlabel="met [GeV]", cut="at 50 %"),
    "response": Plot.of(regression.response_figure, {"simulation": CURVE, "third": CURVE}, model="net",
                        xlabel="Target pt [GeV]", ylabel="Predicted pt [GeV]"),
    "resolution": Plot.of(regression.resolution_figure, {"simulation": CURVE, "third": CURVE}, model="net",
                          xlabel="Target pt [GeV]", unit="GeV"),
    "importance": Plot.of(efficiency.importance_figure, {
        "third": FeatureImportance(("ht", "met"), FOUR[:2], 0.1 * FOUR[:2], 0.6)}, source="simulation"),
    "class importance": Plot.of(importance.class_importance_figure, {
        "net": FeatureImportance(("ht", "met"), FOUR[:2], 0.1 * FOUR[:2], 0.8, 5000)}, source="simulation"),
    "few labels": Plot.of(roc.few_labels_figure, FewLabels((1, 10, 100, 1000), (), 0.85, {
        "refit": FewLabelsMethod(FOUR, 0.9 * FOUR, 1.1 * FOUR, None)}), model="net", domain="third"),
    "shift": Plot.of(bias.shift_figure, {"net": SHIFTS}, source="simulation", other="third", label=LABEL),
    "ks": Plot.of(bias.ks_figure, {"third": {"net": result(0.1), "bdt": result(0.2)}}, source="simulation"),
    "ratio": Plot.of(ratios.ratio_figure, {"third": {"dann": RATIOS, "net": []}}, baseline="net", source="simulation"),
    "tradeoff": Plot.of(tradeoff.tradeoff_figure, {
        "net": tradeoff.TradeoffPoint(0.1, 0.8, auc_low=0.79, auc_high=0.82),
        "dann": [tradeoff.TradeoffPoint(0.05, 0.78, text="0.5")]}, label=LABEL),
    "significance": Plot.of(significance.significance_figure, {"net": scanned(), "bdt": scanned()}, label=LABEL),
    "confusion": Plot.of(classes.confusion_figure, {"simulation": confusion()}, model="net", looks={}),
    "outputs": Plot.of(classes.outputs_figure, {
        "p_a": {"a": {"simulation": filled()}, "b": {"simulation": filled()}}}, model="net", looks={}),
    "against_rest": Plot.of(classes.against_rest_figure, {
        "a": {"simulation": (band(), Interval(0.8, 0.7, 0.9))}}, model="net", looks={}),
    "decomposition": Plot.of(decomposition.decomposition_figure, {"net": [decomposed(0.3), decomposed(0.5)]},
                             source="simulation", other="third"),
    "process": Plot.of(decomposition.process_figure, {"net": decomposed(0.3)}, source="simulation", other="third",
                       cut="at 30 %"),
    "parts": Plot.of(decomposition.bins_figure, {
        "third": BinnedDecomposition(EDGES, FOUR, FOUR, FOUR, FOUR, FOUR, FOUR)}, source="simulation", model="net"),
    "training": Plot.of(training.training_figure, {
        "Class loss": {"training": [[0.7, 0.6, None], [0.7, 0.65]], "validation": [[None], [None]]}}, model="net"),
    "accuracy": Plot.of(images.accuracy_figure, {"net": [[0.5, 0.6], [0.4, 0.7]]}, images=100, target="photographs"),
    "few shots": Plot.of(images.few_shot_figure, [FewShot(
        5, 3, {"csca": FewShotMethod(Interval(0.6, 0.5, 0.7), None)},
        {"csca": FewShotMethod(Interval(0.3, 0.2, 0.4), None)})], model="net", domain="photographs"),
    "counts": Plot.of(images.confusion_figure, np.array([[5, 1], [2, 7]]), classes=["cat", "dog"], title="photographs"),
    "words": Plot.of(speech.confusion_figure, {"clean": np.array([[0.9, 0.1], [0.2, 0.8]])}, ["yes", "no"]),
    "word_errors": Plot.of(speech.error_figure, {"noisy": {"net": error_curve()}}, xlabel="Signal to noise [dB]"),
    "qualities": Plot.of(enhancement.quality_figure, {"SI-SDR [dB]": {"net": error_curve()}}),
    "dial": Plot.of(
        dial.dial_figure, {"net": error_curve()}, ylabel="AUC", level=0.5, real={"net": error_curve()}, real_text="real"
    ),
    "probes": Plot.of(speech.probe_figure, {"noise": error_curve()}, {"noise": error_curve()}, {"noise": 0.25}),
}  # fmt: skip
