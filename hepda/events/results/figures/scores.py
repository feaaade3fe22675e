"""Figures of the scores: by domain, and stacked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hepda.events.domains.roles import compared
from hepda.events.results.figure_data import Array, FigureData
from hepda.plotting.base.histogram import Histogram
from hepda.plotting.base.plot import Plot
from hepda.plotting.scores import shapes
from hepda.plotting.scores.features import FilledFeature, feature_figure
from hepda.report.drawing import Drawing


def score_drawings(run: FigureData) -> Iterator[Drawing]:
    """Yield the scores of each model.

    These are the compared class by domain, if there is a second domain, and the stack.
    """
    against = "simulation against data" if run.has_data else "simulation"
    for model in run.models:
        score = np.asarray(run.scores[model])
        for number, (others, omitted) in enumerate(_with_same_processes(run)):
            suffix = f"_{others[0]}" if number else ""
            yield Drawing(
                "domains", f"score_{model}{suffix}", f"Score of the background by domain, {model}",
                f"{omitted}Normalised to unit area, errors from sumw2; lower panel: ratio to the nominal domain.",
                lambda score=score, model=model, others=others: Plot.of(  # type: ignore[misc]
                    shapes.shape_figure, _shapes(run, score, others), reference=run.source, model=model,
                    context=_signal(run, score), class_name=run.spec.compared_class, label=run.label(),
                ),
                first=not number,
            )  # fmt: skip
        yield Drawing(
            # With a single domain, the shape of a score is a matter of separation.
            "domains" if run.other_domains or run.has_data else "separation",
            f"score_stack_{model}", f"Score, {against}, {model}",
            f"{run.contents(data=True)}.",
            lambda score=score, model=model: Plot.of(  # type: ignore[misc]
                feature_figure, _stacked(run, score, model), label=run.label(data=True), log=True
            ),
        )  # fmt: skip


def _with_same_processes(run: FigureData) -> list[tuple[list[str], str]]:
    """Group the domains that are compared with the same processes of the source.

    Each group has a text that names the processes of the source that are left out; it is empty if there are none.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for other in run.compared_domains:
        omitted = run.spec.domains.counterparts_of(other, run.spec.compared_class).source_excluded
        groups.setdefault(omitted, []).append(other)
    return [(others, f"Without {', '.join(omitted)}. " if omitted else "") for omitted, others in groups.items()]


def _stacked(run: FigureData, score: Array, model: str) -> FilledFeature:
    return shapes.stacked_score(
        run.stack(score), model=model, data=run.data(score), others=run.others(score), blind=run.spec.domains.hidden
    )


def _shapes(run: FigureData, score: Array, others: Sequence[str]) -> dict[str, Histogram]:
    """Return the histogram of the score of the compared class by domain, the source first."""
    pairs = {other: compared(run.spec, run.table, other) for other in others}
    chosen = {run.source: pairs[others[0]][0], **{other: target for other, (_, target) in pairs.items()}}
    return {name: shapes.score_histogram(score[of.mask], run.table.weight[of.mask]) for name, of in chosen.items()}


def _signal(run: FigureData, score: Array) -> dict[str, Histogram]:
    signal = run.table.of_domain(run.source) & (run.table.label == 1)
    return {"signal": shapes.score_histogram(score[signal], run.table.weight[signal])}
