"""Figures of several classes: outputs by class, confusion matrices, ROC curves of one class against the rest."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hepda.events.results.class_numbers import ModelClasses
from hepda.events.results.figure_data import FigureData
from hepda.events.training.probabilities import score_columns
from hepda.plotting.base.histogram import Histogram
from hepda.plotting.base.plot import Plot
from hepda.plotting.scores import classes
from hepda.report.drawing import Drawing
from hepda.results.evaluation import Interval, RocBand


def class_drawings(run: FigureData) -> Iterator[Drawing]:
    """Yield the figures of each model that predicts several classes; none for two classes."""
    looks = _looks(run)
    for model, numbers in run.numbers.models.items():
        if numbers.classes is None or not numbers.classes.domains:
            continue
        of_model = numbers.classes
        yield Drawing(
            "separation", f"class_outputs_{model}", f"Outputs by class, {model}",
            "Each output and discriminant by true class, normalised to unit area, errors from sumw2; other lines: the "
            "same classes of the other domains.",
            lambda model=model: Plot.of(  # type: ignore[misc]
                classes.outputs_figure, _outputs(run, model), model=model, looks=looks, label=run.label()
            ),
        )  # fmt: skip
        matrices = {d: entry.confusion for d, entry in of_model.domains.items() if entry.confusion is not None}
        yield Drawing(
            "separation", f"confusion_{model}", f"Confusion of the classes, {model}",
            "The predicted class has the largest output; signed weights, errors from sumw2. Left: rows add up to 100 "
            "%; right: columns do, at the yields of the domain.",
            lambda matrices=matrices, model=model: Plot.of(  # type: ignore[misc]
                classes.confusion_figure, matrices, model=model, looks=looks, label=run.label()
            ),
            first=True,
        )  # fmt: skip
        yield Drawing(
            "separation", f"roc_classes_{model}", f"One class against the rest, {model}",
            "By the output of the class, the others at their yields; bands: 68 % of bootstrap replicas.",
            lambda of_model=of_model, model=model: Plot.of(  # type: ignore[misc]
                classes.against_rest_figure, _curves(of_model), model=model, looks=looks, label=run.label()
            ),
        )  # fmt: skip


def _looks(run: FigureData) -> dict[str, classes.ClassLook]:
    """Return the look of each class: the colour of its samples in the nominal domain, if they have one in common."""
    grouping = run.spec.classes
    colours = {}
    for name in grouping.names:
        samples = [run.appearance.samples[s] for s in grouping.samples_of(name) if s in run.appearance.samples]
        common = {sample.color for sample in samples if sample.domain == run.source}
        colours[name] = common.pop() if len(common) == 1 else None
    return classes.class_looks(grouping.names, grouping.signal, colours)


def _outputs(run: FigureData, model: str) -> dict[str, dict[str, dict[str, Histogram]]]:
    """Return output -> true class -> domain -> histogram, where the weights have a positive sum."""
    spec, table = run.spec, run.table
    columns = score_columns(spec.models[model], run.outputs[model])
    index = spec.classes.index(table)
    domains = {name: table.of_domain(name) for name in table.domain_names}
    masks = {
        name: {domain: mask & (index == number) for domain, mask in domains.items()}
        for number, name in enumerate(spec.classes.names)
    }
    usable = {
        name: {domain: mask for domain, mask in of.items() if table.weight[mask].sum() > 0}
        for name, of in masks.items()
    }
    return {
        column.removeprefix(f"{model}."): classes.fill_outputs(
            {
                name: {domain: (np.asarray(values[mask]), table.weight[mask]) for domain, mask in of.items()}
                for name, of in usable.items()
            }
        )
        for column, values in columns.items()
        if column != model
    }


def _curves(of_model: ModelClasses) -> dict[str, dict[str, tuple[RocBand, Interval]]]:
    return {
        name: {
            domain: (curves[1], curves[0].auc)
            for domain, entry in of_model.domains.items()
            if not isinstance(curves := entry.against_rest[name], str)
        }
        for name in of_model.outputs
    }
