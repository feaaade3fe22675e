"""Every table of the report for events, by section, and the table of the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from hepda.events.results import tables
from hepda.events.results.regression.tables import regression_tables, residual_table
from hepda.events.results.tables.cells import EVENTS_ALONE
from hepda.number_format import Table
from hepda.report.training import fusion_tables, numbers_table, training_table
from hepda.results.events import EventMetrics
from hepda.runtime.terminal import NumberTable

SIGNIFICANCE = {
    "asimov": "Asimov Z [σ], statistical",
    "asimov_with_uncertainty": "with background unc.",
    "asimov_with_bias": "with bias",
    "binned": "binned",
}


def section_tables(metrics: EventMetrics) -> dict[str, list[Table]]:
    """Return the tables of each section of the report."""
    auc = tables.by_domain_table(
        "Area under the ROC curve",
        {name: model.auc for name, model in metrics.classifiers.items()},
        f"On test events, signed weights; 68 % interval of bootstrap replicas of the events. {EVENTS_ALONE}",
    )
    worth = numbers_table(
        "Expected significance",
        {name: model.significance for name, model in metrics.classifiers.items()},
        SIGNIFICANCE,
        "Median expected (Asimov) discovery significance, with the spread over bootstrap replicas of the events, "
        "including the choice of the cut. "
        f"{EVENTS_ALONE}",
    )
    return {
        "summary": [tables.answers_table(metrics), tables.summary_table(metrics)],
        "samples": [tables.models_table(metrics), tables.samples_table(metrics)],
        "inputs": [tables.separation_table(metrics), tables.class_importance_table(metrics)],
        "separation": [
            auc,
            *tables.other_tables(metrics),
            *tables.class_tables(metrics),
            *tables.label_tables(metrics),
            *tables.threshold_tables(metrics),
            *tables.working_point_tables(metrics),
        ],
        "regression": regression_tables(metrics),
        "domains": [
            tables.processes_table(metrics),
            *tables.bias_tables(metrics),
            *tables.decomposition_tables(metrics),
            tables.training_bias_table(metrics),
            *tables.two_sample_tables(metrics),
            *tables.probe_tables(metrics),
            tables.importance_table(metrics),
            tables.removal_table(metrics),
            tables.few_labels_table(metrics),
        ],
        "adaptation": [tables.adaptation_table(metrics), tables.ratio_table(metrics)],
        "significance": [worth, tables.best_cut_table(metrics)],
        "guards": [
            tables.priors_table(metrics),
            tables.reweighting_table(metrics),
            tables.gradients_table(metrics),
            tables.overtraining_table(metrics),
            tables.calibration_table(metrics),
            *tables.class_calibration_tables(metrics),
            tables.bins_table(metrics),
            tables.flatness_table(metrics),
        ],
        "training": [training_table(metrics), *fusion_tables(metrics), tables.training_noise_table(metrics)],
    }


def terminal_table(metrics: EventMetrics) -> NumberTable:
    """Return the summary for the terminal, a row for each model: AUC by domain, efficiency shifts, significance.

    Models that predict a number are below it, or are the table if there are no others.
    """
    if metrics.regressions and not metrics.classifiers:
        numbers = residual_table(metrics)
        return NumberTable(numbers.head, [[cell.short for cell in row] for row in numbers.rows], metrics.name or "")
    summary = tables.summary_table(metrics, points=("0.3",), all_domains=True)
    head = [f"{name} [%]" if name.startswith("Shift") else name for name in summary.head]
    rows = [[first.text, *(cell.short for cell in row)] for first, *row in summary.rows]
    shifts = any(heading.startswith("Shift") for heading in summary.head)
    caption = "Shift: of the background efficiency, from the nominal domain." if shifts else ""
    return NumberTable(head, rows, metrics.name or "", " ".join(filter(None, (caption, *_numbers(metrics)))))


def _numbers(metrics: EventMetrics) -> Iterator[str]:
    """Yield a sentence for each model that predicts a number: bias and resolution by domain."""
    for name, entry in metrics.regressions.items():
        parts = [
            f"{domain} bias {numbers.quantity('bias').cell().short}, resolution "
            f"{numbers.quantity('resolution').cell().short}"
            for domain, numbers in entry.domains.items()
        ]
        yield f"{name} ({entry.name}): {'; '.join(parts)}."
