"""The metrics of a run as tables; the report's page and the console show the same rows."""

from hepda.events.results.tables.answers import answers_table
from hepda.events.results.tables.classes import class_calibration_tables, class_tables
from hepda.events.results.tables.conclusions import conclude
from hepda.events.results.tables.decomposition import decomposition_tables
from hepda.events.results.tables.diagnostics import (
    bins_table,
    calibration_table,
    class_importance_table,
    few_labels_table,
    flatness_table,
    gradients_table,
    importance_table,
    overtraining_table,
    priors_table,
    removal_table,
    reweighting_table,
    separation_table,
)
from hepda.events.results.tables.differences import (
    adaptation_table,
    bias_tables,
    probe_tables,
    processes_table,
    ratio_table,
    two_sample_tables,
)
from hepda.events.results.tables.quality import (
    best_cut_table,
    by_domain_table,
    label_tables,
    models_table,
    other_tables,
    samples_table,
    threshold_tables,
    training_bias_table,
    training_noise_table,
    working_point_tables,
)
from hepda.events.results.tables.summary import summary_table

__all__ = [
    "adaptation_table",
    "answers_table",
    "best_cut_table",
    "bias_tables",
    "bins_table",
    "by_domain_table",
    "calibration_table",
    "class_calibration_tables",
    "class_importance_table",
    "class_tables",
    "conclude",
    "decomposition_tables",
    "few_labels_table",
    "flatness_table",
    "gradients_table",
    "importance_table",
    "label_tables",
    "models_table",
    "other_tables",
    "overtraining_table",
    "priors_table",
    "probe_tables",
    "processes_table",
    "ratio_table",
    "removal_table",
    "reweighting_table",
    "samples_table",
    "separation_table",
    "summary_table",
    "threshold_tables",
    "training_bias_table",
    "training_noise_table",
    "two_sample_tables",
    "working_point_tables",
]
