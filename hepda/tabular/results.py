"""From probabilities of classes to numbers: accuracy and AUC by domain, differences of domains, probes, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config.tabular import TableNetworkConfig, TabularConfig
from hepda.evaluation import roc
from hepda.evaluation.bootstrap import interval, poisson_counts
from hepda.evaluation.calibration import calibration_curve
from hepda.evaluation.differences.bias import BiasSettings, compare
from hepda.evaluation.differences.probes import ProbeSettings, probe
from hepda.results.evaluation import BiasResult, CalibrationCurve, Interval, ProbeResult, RocBand
from hepda.results.metrics import FusionEntry, ModelTraining
from hepda.results.record import Measured
from hepda.results.tabular import ScoreDifference, ScoreDistance, TabularModel
from hepda.tabular.table import UNKNOWN, DataTable

Floats = NDArray[np.float64]
Scores = Mapping[str, NDArray[Any]]
LEVEL = 0.6827


@dataclass(frozen=True, slots=True, eq=False)
class Quality:
    """How well a model sorts the labelled rows of one domain into classes.

    Attributes:
        accuracy: share of the weight whose most probable class is the true one.
        auc: mean of the areas of all classes, each against the rest.
        by_class: these areas, by class.
        calibration: of the probability of the second of two classes; of several, of the most probable one.
        confusion: number of rows [true, predicted].
        replicas: `auc` of the bootstrap replicas [r], which are the same rows for every model.

    """

    accuracy: Interval
    auc: Interval
    by_class: Mapping[str, Interval]
    calibration: CalibrationCurve
    confusion: NDArray[np.int64]
    replicas: Floats


@dataclass(frozen=True, slots=True, eq=False)
class TableModelNumbers:
    """The results of one model: by domain; those of `differences` and `probes` without the source.

    `quality` holds the reason where a domain has none. `differences` are by class: of the score of the class, for rows
    of that class where the labels of the domain are known, else for all rows. `probes` are by what they read.
    `gain` is the AUC minus that of the baseline, for a model that adapts, where both are known.
    """

    quality: Mapping[str, Quality | str]
    differences: Mapping[str, Mapping[str, BiasResult]]
    probes: Mapping[str, Mapping[str, ProbeResult]]
    gain: Mapping[str, Interval] = field(default_factory=dict)


def shown_classes(table: DataTable) -> list[int]:
    """Return the classes whose scores are shown: the second of two, since the first is its complement, or all."""
    return [1] if len(table.classes) == 2 else list(range(len(table.classes)))


def labelled(table: DataTable, domain: int) -> NDArray[np.bool_]:
    """Return the rows of a domain whose class is known [n]."""
    return np.asarray((table.domain == domain) & (table.label != UNKNOWN))


def evaluate(config: TabularConfig, table: DataTable, scores: Scores, run: Path) -> dict[str, TableModelNumbers]:
    """Return the numbers of every model.

    Args:
        config: the analysis.
        table: its rows.
        scores: by model, the probabilities of the classes [n, classes].
        run: the run directory, whose networks give the embeddings of the probes.

    """
    inputs = {domain: _probe(config, table, table.features, domain, "inputs") for domain in _others(config, table)}
    numbers = {}
    for model, score in scores.items():
        probability = np.asarray(score, dtype=np.float64)
        probability /= probability.sum(axis=1, keepdims=True)
        quality = {name: _quality(config, table, probability, d) for d, name in enumerate(table.domains)}
        differences = {
            name: {table.classes[c]: _difference(config, table, probability[:, c], c, d) for c in shown_classes(table)}
            for d, name in enumerate(table.domains)
            if d
        }
        probes = {}
        embedded = _embedding(config, table, model, run) if config.evaluation.probes else None
        for domain in _others(config, table):
            read = {"score": _probe(config, table, probability[:, 1:], domain, "score")}
            if embedded is not None:
                features, rows = embedded
                read["embedding"] = _probe(config, table, features, domain, "embedding", rows)
            probes[table.domains[domain]] = read | {"inputs": inputs[domain]}
        numbers[model] = TableModelNumbers(quality, differences, probes)
    return {model: replace(entry, gain=_gain(config, numbers, model)) for model, entry in numbers.items()}


def _gain(config: TabularConfig, numbers: Mapping[str, TableModelNumbers], model: str) -> dict[str, Interval]:
    baseline, gain = config.baseline, {}
    if baseline is None or baseline not in numbers or not config.adapts(model):
        return {}
    for domain, plain in numbers[baseline].quality.items():
        adapted = numbers[model].quality[domain]
        if not isinstance(plain, str) and not isinstance(adapted, str):
            difference = adapted.auc.value - plain.auc.value
            gain[domain] = interval(difference, difference, adapted.replicas - plain.replicas, LEVEL)
    return gain


def _others(config: TabularConfig, table: DataTable) -> range:
    return range(1, len(table.domains) if config.evaluation.probes else 1)


def _quality(config: TabularConfig, table: DataTable, probability: Floats, domain: int) -> Quality | str:
    rows = labelled(table, domain)
    if not rows.any():
        return f"the rows of {table.domains[domain]} have no labels"
    label, weight, score = table.label[rows], table.weight[rows], probability[rows]
    absent = [name for number, name in enumerate(table.classes) if not weight[label == number].sum() > 0.0]
    if absent:
        return f"{table.domains[domain]} has no labelled rows of positive total weight of the class {', '.join(absent)}"
    predicted = score.argmax(axis=1)
    areas = [_RankedScores.of(score[:, number], label == number) for number in range(len(table.classes))]
    right = predicted == label

    def measures(weights: Floats) -> Floats:
        """Accuracy and areas with these weights [1 + classes]."""
        return np.array([weights[right].sum() / weights.sum(), *(area.auc(weights) for area in areas)])

    exact = measures(weight)
    counts = poisson_counts(len(weight), config.evaluation.bootstrap, config.seed)
    with np.errstate(divide="ignore", invalid="ignore"):  # a replica without rows of a class is NaN
        replicas = np.array([measures(weight * count) for count in counts])

    def with_interval(value: float, replica: Floats) -> Interval:
        return interval(value, value, replica, LEVEL)

    by_class = {n: with_interval(exact[1 + c], replicas[:, 1 + c]) for c, n in enumerate(table.classes)}
    confusion = np.zeros((len(table.classes), len(table.classes)), np.int64)
    np.add.at(confusion, (label, predicted), 1)
    binary = len(table.classes) == 2
    chance, hit = (score[:, 1], label == 1) if binary else (score.max(axis=1), right)
    mean = replicas[:, 1:].mean(axis=1)
    return Quality(
        with_interval(exact[0], replicas[:, 0]),
        with_interval(float(exact[1:].mean()), mean),
        {n: by_class[n] for c, n in enumerate(table.classes) if c in shown_classes(table)},
        calibration_curve(np.clip(chance, 0.0, 1.0), hit.astype(np.int64), weight, balance=binary and config.balance),
        confusion,
        mean,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _RankedScores:
    """Scores as ranks [n] among `count` different ones: the area for other weights needs no other sort."""

    rank: NDArray[np.intp]
    count: int
    positive: NDArray[np.bool_]

    @classmethod
    def of(cls, score: Floats, positive: NDArray[np.bool_]) -> _RankedScores:
        values, rank = np.unique(score, return_inverse=True)
        return cls(rank, len(values), positive)

    def auc(self, weight: Floats) -> float:
        """Return the area under the ROC curve for these weights [n]."""
        parts = (weight * mask for mask in (self.positive, ~self.positive))
        positive, negative = (np.bincount(self.rank, part, self.count).astype(np.float64) for part in parts)
        return roc.area(positive, negative)


def roc_bands(config: TabularConfig, table: DataTable, scores: Scores, domain: int, number: int) -> dict[str, RocBand]:
    """Return the curves of a class against the rest in a domain, by model; rows as in `Quality`.

    Where interpolation yields less than the weight of a single row of the rest, the false positive rate is NaN.
    """
    rows = labelled(table, domain)
    rest = table.weight[rows & (table.label != number)]
    least = rest[rest > 0.0].min() / rest.sum() * (1.0 - 1e-9)
    curves = roc.rocs(
        {model: score[rows, number] for model, score in scores.items()},
        (table.label[rows] == number).astype(np.int64),
        table.weight[rows],
        replicas=config.evaluation.bootstrap,
        seed=config.seed,
    )
    bands = {}
    for model, (_, band) in curves.items():
        rate = band.background_efficiency
        bands[model] = replace(band, background_efficiency=np.where(rate < least, np.nan, rate))
    return bands


def compared_rows(table: DataTable, number: int, domain: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_], str]:
    """Return the rows of the source and of a domain whose score of a class is compared, and what they are.

    They are the rows of the class where the domain has any that are labelled so, else all.
    """
    source, other = table.in_source, table.domain == domain
    if (other & (table.label == number)).any() and not (other & (table.label == UNKNOWN)).any():
        of_class = table.label == number
        return source & of_class, other & of_class, table.classes[number]
    return source, np.asarray(other), "all"


def _difference(config: TabularConfig, table: DataTable, score: Floats, number: int, domain: int) -> BiasResult:
    source, other, name = compared_rows(table, number, domain)
    replicas = config.evaluation.permutations
    return compare(
        score[source], table.weight[source], score[other], table.weight[other],
        settings=BiasSettings(class_name=name, permutations=replicas, null_replicas=replicas, seed=config.seed),
    )  # fmt: skip


def _probe(
    config: TabularConfig,
    table: DataTable,
    values: NDArray[Any],
    domain: int,
    representation: str,
    rows: NDArray[np.bool_] | None = None,
) -> ProbeResult:
    """Return how well a fresh classifier tells a domain from the source by `values`, of all rows or of `rows` [n]."""
    kept = np.ones(len(table), np.bool_) if rows is None else rows
    source, other = table.in_source & kept, (table.domain == domain) & kept
    whole = np.zeros((len(table), values.shape[1]), np.float64)
    whole[kept] = values
    return probe(
        whole[source], whole[other], table.weight[source], table.weight[other],
        representation=representation, class_name="all",
        settings=ProbeSettings(replicas=config.evaluation.bootstrap, seed=config.seed),
    )  # fmt: skip


def _embedding(
    config: TabularConfig, table: DataTable, model: str, run: Path
) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
    """Return the embedding of the rows of fold 0 by the first network, and which these are; None for trees."""
    if not isinstance(config.models[model], TableNetworkConfig):
        return None
    from hepda.adversarial import Network

    rows = np.asarray(table.fold == 0)
    network = Network.load(run / "models" / model / "fold0-member0.safetensors")
    return network.embed(table.features[rows]), rows


def model_metrics(
    config: TabularConfig,
    model: str,
    numbers: TableModelNumbers,
    training: Mapping[str, Any],
    fusion: FusionEntry | None = None,
) -> TabularModel:
    """Return the entry of a model in metrics.json.

    Args:
        config: the analysis.
        model: name of the model.
        numbers: its results.
        training: facts about its trainings.
        fusion: what it has learned, of a fusion.

    """
    known = {domain: quality for domain, quality in numbers.quality.items() if not isinstance(quality, str)}
    unknown = {domain: Measured(value=None, why=why) for domain, why in numbers.quality.items() if isinstance(why, str)}
    return TabularModel(
        title=config.title(model),
        adapted=config.adapts(model),
        accuracy={d: unknown[d] if d in unknown else _measured(known[d].accuracy) for d in numbers.quality},
        auc={d: unknown[d] if d in unknown else _measured(known[d].auc) for d in numbers.quality},
        auc_difference={d: _measured(difference) for d, difference in numbers.gain.items()},
        auc_of_class={d: {name: _measured(a) for name, a in q.by_class.items()} for d, q in known.items()},
        calibration_error={d: quality.calibration.expected_error for d, quality in known.items()},
        difference={
            d: {name: _difference_entry(result) for name, result in by_class.items()}
            for d, by_class in numbers.differences.items()
        },
        probe={
            d: {what: _measured(result.auc) for what, result in by_input.items()}
            for d, by_input in numbers.probes.items()
        },
        training=ModelTraining.from_json(training),
        **({} if fusion is None else {"fusion": fusion}),
    )


def _measured(number: Interval) -> Measured:
    return Measured(value=float(number.value), low=float(number.low), high=float(number.high))


def _difference_entry(result: BiasResult) -> ScoreDifference:
    distances = {}
    for name in ("ks", "wasserstein"):
        test = result.tests[name]
        distances[name] = ScoreDistance(
            value=test.value, null=test.null, p_value=test.p_value, p_value_is_upper_limit=test.p_is_limit
        )
    return ScoreDifference(rows=result.class_name, ks=distances["ks"], wasserstein=distances["wasserstein"])
