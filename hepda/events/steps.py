"""The steps of an analysis of collider events: files, table, numbers, figures; imports what is heavy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config import AnalysisConfig
from hepda.errors import HepdaError
from hepda.events import check_text
from hepda.events.check import check_events
from hepda.events.dataset.load import LoadedEvents, load_table
from hepda.events.domains.blinding import hidden_range
from hepda.events.domains.counterparts import composition
from hepda.events.domains.roles import alone
from hepda.events.fit.truth import check_truth
from hepda.events.results import figures, per_run, to_json
from hepda.events.results.evaluate import EvaluationInput, Numbers, Rescore, evaluate
from hepda.events.results.figure_data import FigureData
from hepda.events.table.feature_table import FeatureTable
from hepda.report.page import NotDrawn, ReportFigure, save_drawings
from hepda.runtime.processes import Send
from hepda.runtime.resources import Resources

Array = NDArray[Any]


def load(
    config: AnalysisConfig, progress: Callable[[str, int, int], None], resources: Resources | None = None
) -> LoadedEvents:
    """Read and check everything, or take it from the cache; nothing is trained if this raises."""
    hidden_range(config)
    check_truth(config)
    return load_table(config, progress, resources)


def check(
    config: AnalysisConfig,
    progress: Callable[[str, int, int], None],
    *,
    every_file: bool = False,
    known: Sequence[str] = (),
) -> tuple[list[str], list[str]]:
    """Look at the events of one file of each sample, or of every file. known: problems that were found before.

    Returns the lines of what was found, and the problems for which a training may not start.

    Raises:
        HepdaError: the analysis file itself is wrong.

    """
    found = check_events(config, progress, every_file=every_file)
    found.problems.extend(known)
    try:
        check_truth(config)
    except HepdaError as error:
        found.problems.append(str(error))
    return list(check_text.lines(config, found)), found.problems


def samples_metrics(config: AnalysisConfig, loaded: LoadedEvents) -> dict[str, Any]:
    """Return the `samples` of metrics.json."""
    entries = {}
    for name, summary in loaded.samples.items():
        sample = config.samples[name]
        about = {"class": sample.class_ or "data", "domain": sample.domain, "use": sample.use}
        entries[name] = about | summary.as_metrics()
    return entries


def processes_metrics(config: AnalysisConfig) -> dict[str, Any]:
    """Return the `processes` of metrics.json: by pair of domains and class, what is compared with what, and what is
    not.
    """
    found = {
        f"{config.domains[0]}:{other}": {name: c.as_metrics() for name, c in by_class.items()}
        for other, by_class in composition(config).items()
    }
    return {"processes": found} if found else {}


def numbers_of(
    config: AnalysisConfig,
    table: FeatureTable,
    scores: Mapping[str, Array],
    models: Path,
    processes: int,
    progress: Send,
    rescore: Rescore | None = None,
) -> Numbers:
    """All numbers of a run; `models` is the folder of trained models, `rescore` scores events by them once more."""
    networks = {
        name: models / name / "fold0-member0.safetensors"
        for name, section in config.models.items()
        if section.kind == "network"
    }
    return evaluate(EvaluationInput(config, table, scores, networks, rescore), processes, progress)


def models_metrics(config: AnalysisConfig, numbers: Numbers, training: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the `models` of metrics.json."""
    return {model: to_json.model_metrics(config, numbers, model, training[model]) for model in numbers.models}


def whole_metrics(
    config: AnalysisConfig, numbers: Numbers, histories: Mapping[str, Sequence[Mapping[str, Sequence[float | None]]]]
) -> dict[str, Any]:
    """Return what metrics.json says of the run as a whole: `guards`, and `training_bias` where there is one."""
    return per_run.run_metrics(config, numbers, histories)


def draw(
    config: AnalysisConfig,
    table: FeatureTable,
    scores: Mapping[str, Array],
    numbers: Numbers,
    histories: Mapping[str, Sequence[Mapping[str, Sequence[float | None]]]],
    best_epochs: Mapping[str, Sequence[int]],
    folder: Path,
    processes: int,
    progress: Send,
) -> list[ReportFigure | NotDrawn]:
    """Draw every figure into `folder`, PNG and PDF; returns them as the report takes them."""
    figure_data = FigureData(config, table, scores, numbers, histories, best_epochs)
    return save_drawings(figures.drawings, figure_data, folder, processes, progress)


def notes(config: AnalysisConfig) -> list[str]:
    """Return what is hidden on purpose or cannot be compared, as text."""
    found = [note] if (note := alone(config)) else []
    hidden = hidden_range(config)
    if hidden is not None:
        found.append(
            f"Data are hidden where {config.evaluation.blind} (`evaluation.blind`), in figures and ratios; no "
            "number is taken from their scores, and no input is drawn with them."
        )
    scaled = {name: s.scale for name, s in config.samples.items() if s.scale != 1}
    if scaled:
        text = ", ".join(f"{name} × {scale:g}" for name, scale in scaled.items())
        found.append(f"Samples are scaled in every number and figure: {text} (`scale` of the sample).")
    return found


def scores_columns(table: FeatureTable, scores: Mapping[str, Array]) -> dict[str, Any]:
    """Return the columns of scores.parquet, a row an event in the order of the table."""
    import pyarrow as pa

    def named(codes: Array, names: Sequence[str]) -> Any:
        return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int16()), pa.array(list(names)))

    own = {
        "key": table.key,
        "sample": named(table.sample, table.sample_names),
        "domain": named(table.domain, table.domain_names),
        "fold": table.fold,
        "weight": table.weight,
        "label": table.label,
    }
    return own | {model: np.asarray(score, np.float32) for model, score in scores.items()}
