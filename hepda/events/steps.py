"""The steps of an analysis of collider events: files, table, numbers, figures; each imports what it needs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepda.config import AnalysisConfig
from hepda.config.events.names import identifier_names
from hepda.errors import HepdaError
from hepda.events.dataset.load import LoadedEvents, load_table
from hepda.events.domains.spec import Domains, EvaluationSpec
from hepda.events.fit.truth import check_truth
from hepda.events.resolve import dataset_spec, domains_of, evaluation_spec, model_specs
from hepda.events.specs import identifier_column
from hepda.events.training.probabilities import check_discriminants
from hepda.runtime.pool import Send
from hepda.runtime.resources import Resources

if TYPE_CHECKING:
    from hepda.events.results.evaluate import EvaluationInput, Numbers
    from hepda.events.results.figure_data import FigureData
    from hepda.events.table.feature_table import FeatureTable
    from hepda.report.drawing import FigureTexts

Array = NDArray[Any]


def load(
    config: AnalysisConfig, progress: Callable[[str, int, int], None], resources: Resources | None = None
) -> LoadedEvents:
    """Read and check everything, or take it from the cache; nothing is trained if this raises."""
    spec = dataset_spec(config)
    check_truth(spec, domains_of(config))
    return load_table(spec, progress, resources)


def check(
    config: AnalysisConfig,
    progress: Callable[[str, int, int], None],
    *,
    every_file: bool = False,
    further: Sequence[str] = (),
) -> tuple[list[str], list[str]]:
    """Look at the events of one file of each sample, or of every file. further: problems found elsewhere.

    Returns the lines of what was found, and the problems for which a training may not start.

    Raises:
        HepdaError: the analysis file itself is wrong.

    """
    from hepda.events import check_text
    from hepda.events.check import check_events

    notes = check_discriminants(model_specs(config).values())
    result = check_events(config, progress, every_file=every_file)
    result.problems.extend(further)
    try:
        check_truth(dataset_spec(config), domains_of(config))
    except HepdaError as error:
        result.problems.append(str(error))
    return [
        evaluation_spec(config).describe(),
        *notes,
        *check_text.lines(config.name, config.luminosity, result),
    ], result.problems


def samples_metrics(config: AnalysisConfig, loaded: LoadedEvents) -> dict[str, Any]:
    """Return the `samples` of metrics.json."""
    entries = {}
    for name, summary in loaded.samples.items():
        sample = config.samples[name]
        about = {"class": sample.class_ or "data", "domain": sample.domain, "use": sample.use}
        scale = {} if sample.scale == 1 else {"scale": sample.scale}
        entries[name] = about | summary.as_metrics() | scale
    return entries


def processes_metrics(domains: Domains) -> dict[str, Any]:
    """Return the `processes` of metrics.json: by pair of domains and class, what is compared with what, and what is
    not.
    """
    processes = {
        f"{domains.nominal}:{other}": {name: c.as_metrics() for name, c in by_class.items()}
        for other, by_class in domains.composition.items()
    }
    return {"processes": processes} if processes else {}


def numbers_of(evaluated: EvaluationInput, models: Path, processes: int, progress: Send) -> Numbers:
    """Return all numbers of a run.

    Args:
        evaluated: the events and their scores; the networks of `models` are added to them.
        models: the folder of trained models.
        processes: number of processes.
        progress: function that receives the progress of the parts.

    """
    from hepda.events.results.evaluate import evaluate

    networks = {
        name: models / name / "fold0-member0.safetensors"
        for name, model in evaluated.spec.models.items()
        if model.section.kind == "network"
    }
    return evaluate(replace(evaluated, networks=networks), processes, progress)


def models_metrics(
    spec: EvaluationSpec, numbers: Numbers, training: Mapping[str, dict[str, Any]], models: Path
) -> dict[str, Any]:
    """Return the `models` of metrics.json; models: the folder of trained models, with what fusions have learned."""
    from hepda.events.results import to_json
    from hepda.events.training.fusion import described

    entries: dict[str, Any] = {}
    for name in (name for name in spec.models if name in numbers.models or name in numbers.regressions):
        entries[name] = to_json.model_metrics(spec, numbers, name, training[name])
        if spec.models[name].fused:
            entries[name] = entries[name].to_json() | {"fusion": described(spec.models[name], models).to_json()}
    return entries


def figure_texts(data: FigureData) -> FigureTexts:
    """Return the data of every figure."""
    from hepda.events.results import figures
    from hepda.report.drawing import texts_of

    return texts_of(figures.drawings(data))


def notes(config: AnalysisConfig) -> list[str]:
    """Return what is hidden on purpose or cannot be compared, as text."""
    from hepda.events.results.regression.numbers import LEFT_OUT

    domains = domains_of(config)
    lines = [note] if (note := domains.only_one_simulated) else []
    lines += [
        f"{name} {LEFT_OUT} (`models.{name}.regress`)."
        for name, section in config.models.items()
        if section.regress is not None
    ]
    if domains.hidden is not None:
        lines.append(
            f"Data are blinded where {config.evaluation.blind} (`evaluation.blind`), in figures and ratios; no "
            "number uses their scores, and they are omitted from the figures of the inputs."
        )
    scaled = {name: s.scale for name, s in config.samples.items() if s.scale != 1}
    if scaled:
        text = ", ".join(f"{name} × {scale:g}" for name, scale in scaled.items())
        lines.append(f"Samples are scaled in every number and figure: {text} (`scale` of the sample).")
    return lines


def scores_columns(
    table: FeatureTable, scores: Mapping[str, Array], regions: Collection[str] = (), key: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the columns of scores.parquet, a row an event in the order of the table.

    Args:
        table: the events.
        scores: the score [n] of each model.
        regions: the names of the further columns of the table: those of the fit's regions, of labels, and the numbers
            that models predict.
        key: the branches that identify an event; their numbers are columns of the table.

    """
    import pyarrow as pa

    def named(codes: Array, names: Sequence[str]) -> Any:
        return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int16()), pa.array(list(names)))

    columns = {
        "key": table.key,
        **{saved: table.columns[identifier_column(name)] for name, saved in identifier_names(key, scores).items()},
        "sample": named(table.sample, table.sample_names),
        "domain": named(table.domain, table.domain_names),
        "fold": table.fold,
        "weight": table.weight,
        "label": table.label,
    }
    columns |= {name: table.columns[name] for name in regions}
    return columns | {name: np.asarray(score, np.float32) for name, score in scores.items()}
