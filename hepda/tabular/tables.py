"""The results of an analysis of a table as tables of the report, and its conclusions as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hepda.number_format import Cell, Table, p_cell
from hepda.report.training import fusion_tables, training_table
from hepda.results.record import quantity_in
from hepda.results.tabular import ScoreDifference, TabularMetrics, TabularModel

PROBES = {"score": "By the score", "embedding": "By the embedding", "inputs": "By the features"}
"""What classifiers of the domains read, and its heading."""


def domains_of(metrics: TabularMetrics) -> list[str]:
    """Return the domains in which models are evaluated, the source first."""
    return _keys(model.accuracy for model in metrics.models.values())


def _keys(mappings: Iterable[Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))


def quality_table(metrics: TabularMetrics) -> Table:
    """Return accuracy and AUC of every model in every domain."""
    domains = domains_of(metrics)
    columns = {"Accuracy": "accuracy", "AUC": "auc", "AUC − baseline": "auc_difference"}
    rows = [
        [_title(model), *(quantity_in(getattr(model, key), d).cell() for key in columns.values() for d in domains)]
        for model in metrics.models.values()
    ]
    head = ["Model", *(f"{word}, {domain}" for word in columns for domain in domains)]
    note = (
        "Rows that no training saw. Intervals: 68 % of bootstrap replicas, in which rows count as independent; the "
        "noise of training is not in them. Of three classes or more, the AUC is the mean of those of each class "
        "against the rest. Baseline: the first network without a domain loss, or else trees, compared on the same rows."
    )
    return Table("Accuracy and AUC", head, rows, note).filled


def class_table(metrics: TabularMetrics) -> Table:
    """Return the AUC of each class against the rest, and the error of the calibration."""
    names = _keys(areas for model in metrics.models.values() for areas in model.auc_of_class.values())
    rows = [
        [
            _title(model, domain),
            *(quantity_in(areas, name).cell() for name in names),
            quantity_in(model.calibration_error, domain).cell(),
        ]
        for model in metrics.models.values()
        for domain, areas in model.auc_of_class.items()
    ]
    head = ["Model and domain", *(f"AUC, {name}" for name in names), "Calibration error"]
    note = "Calibration error: mean distance of the probability from the share that is observed at it."
    return Table("Classes", head, rows, note).filled


def difference_table(metrics: TabularMetrics) -> Table:
    """Return the distances of the scores between the source and each other domain."""
    rows = []
    for model in metrics.models.values():
        for domain, by_class in model.difference.items():
            for name, difference in by_class.items():
                cells = [
                    cell
                    for distance in (difference.ks, difference.wasserstein)
                    for cell in (
                        distance.quantity("value").cell(),
                        distance.quantity("null").cell(),
                        p_cell(distance.quantity("p_value"), distance.p_value_is_upper_limit),
                    )
                ]
                score = _title(model, domain, f"probability of {name}")
                rows.append([score, Cell(difference.rows, difference.rows), *cells])
    statistics = [f"{name}{what}" for name in ("KS", "Wasserstein") for what in ("", ", null", ", p")]
    head = ["Model, domain and score", "Rows", *statistics]
    note = (
        "Distance of the score between the source and the domain, of rows of the class where labels are known, else of "
        "all. Null: what two samples of one domain reach in 95 % of cases."
    )
    return Table("Differences of the score", head, rows, note)


def probe_table(metrics: TabularMetrics) -> Table:
    """Return how well newly trained classifiers separate each domain from the source."""
    rows = [
        [_title(model, domain), *(quantity_in(by_input, what).cell() for what in PROBES)]
        for model in metrics.models.values()
        for domain, by_input in model.probe.items()
    ]
    note = "0.5: the domains cannot be separated."
    return Table("AUC of fresh classifiers of the domains", ["Model and domain", *PROBES.values()], rows, note).filled


def rows_table(metrics: TabularMetrics) -> Table:
    """Return what the table holds, by domain."""
    rows = [
        [
            Cell(domain, domain),
            Cell(entry.role, entry.role),
            *(entry.quantity(name).cell(digits=5) for name in ("rows", "labelled", "sum_of_weights")),
        ]
        for domain, entry in metrics.samples.items()
    ]
    return Table("Rows", ["Domain", "Role", "Rows", "With a label", "Sum of weights"], rows)


def tables(metrics: TabularMetrics) -> dict[str, list[Table]]:
    """Return the tables of the report, by section."""
    probes = [probe_table(metrics)] if any(model.probe for model in metrics.models.values()) else []
    return {
        "summary": [quality_table(metrics)],
        "samples": [rows_table(metrics)],
        "separation": [class_table(metrics)],
        "domains": [difference_table(metrics), *probes],
        "training": [training_table(metrics), *fusion_tables(metrics)],
    }


def conclusions(metrics: TabularMetrics) -> list[str]:
    """Return what the numbers mean, a sentence for each question and domain."""
    source, *others = domains_of(metrics)
    models = list(metrics.models.values())
    sentences = [_best(models, source)]
    for domain in others:
        if all(model.auc[domain].value is None for model in models):
            sentences.append(f"{domain} has no labels by which models could be compared there.")
        else:
            sentences += [_best(models, domain), *_gains(metrics, domain)]
    for domain in others:
        closest = min(models, key=lambda model: _largest_ks(model.difference[domain])[0])
        distance, null = _largest_ks(closest.difference[domain])
        inside = "no more than two samples of one domain reach" if distance <= null else f"where {null:.3f} is chance"
        sentences.append(
            f"The score differs least between {source} and {domain} for {closest.title} (largest KS distance of the "
            f"classes {distance:.3f}, {inside})."
        )
    return sentences


def _best(models: Sequence[TabularModel], domain: str) -> str:
    by_auc = max(models, key=lambda model: model.auc[domain].value or 0.0)
    by_accuracy = max(models, key=lambda model: model.accuracy[domain].value or 0.0)
    area, share = quantity_in(by_auc.auc, domain).cell().text, quantity_in(by_accuracy.accuracy, domain).cell().text
    return (
        f"{domain}: {by_auc.title} has the largest AUC, {area}, and "
        f"{'also' if by_accuracy is by_auc else by_accuracy.title} the largest accuracy, {share}."
    )


def _gains(metrics: TabularMetrics, domain: str) -> list[str]:
    """Return a sentence about what adaptation changes in a domain; none without an adapted model or a baseline."""
    gains = [
        f"{model.title} {area.cell().text if (area.value or 0.0) < 0.0 else f'+{area.cell().text}'}"
        for model in metrics.models.values()
        if (area := quantity_in(model.auc_difference, domain)).value is not None
    ]
    if not gains or metrics.baseline is None:
        return []
    baseline = metrics.models[metrics.baseline].title
    return [
        f"{domain}: adaptation changes the AUC of {baseline} by: {', '.join(gains)} (the noise of training is not in "
        "these errors)."
    ]


def _largest_ks(by_class: Mapping[str, ScoreDifference]) -> tuple[float, float]:
    """Return the largest KS distance of the classes, and its null."""
    largest = max((difference.ks for difference in by_class.values()), key=lambda ks: ks.value or 0.0)
    return largest.value or 0.0, largest.null or 0.0


def _title(model: TabularModel, *more: str) -> Cell:
    """Return a cell with the name of a model, and of what the row is about."""
    text = ", ".join([str(model.title), *more])
    return Cell(text, text)
