"""The figures of events that `hepda train` draws from the numbers, in the order of the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

from hepda.events.domains.roles import compared
from hepda.events.results.figure_data import Array, FigureData, axis
from hepda.plotting import training
from hepda.plotting.scores import (
    bias,
    calibration,
    closure,
    efficiency,
    features,
    ratios,
    roc,
    shapes,
    significance,
    tradeoff,
)
from hepda.report.page import Drawing, collected


class DrawnFeatures(Sequence[features.Feature]):
    """The features in the form in which they are drawn.

    Each is read from the table only when it is requested, because together they are as large as the table.
    """

    def __init__(self, scene: FigureData) -> None:
        self._scene = scene

    def __len__(self) -> int:
        return len(self._scene.table.names)

    @overload
    def __getitem__(self, number: int) -> features.Feature: ...
    @overload
    def __getitem__(self, number: slice) -> list[features.Feature]: ...
    def __getitem__(self, number: int | slice) -> features.Feature | list[features.Feature]:
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        scene, name = self._scene, self._scene.table.names[number]
        text, edges = axis(name, scene.appearance.plots.get(name))
        values = np.asarray(scene.table.features[:, number])
        return features.Feature(
            name,
            text,
            scene.stack(values),
            data=None if scene.spec.domains.hidden else scene.data(values),
            others=scene.others(values),
            edges=edges,
            missing=scene.appearance.missing,
        )


def input_drawings(scene: FigureData) -> Iterator[Drawing]:
    """Yield simulation compared with data for every feature, and all features on one page."""
    hidden = scene.spec.domains.hidden
    drawn = DrawnFeatures(scene)
    note = "data blinded" if hidden else ""
    label = scene.label(note, data=not hidden)
    yield Drawing(
        "inputs", "features_overview", "All inputs",
        f"{scene.contents(data=not hidden)}; below, ratios to the simulation.",
        lambda: features.overview_figure(drawn, label=label),
    )  # fmt: skip
    for number, name in enumerate(scene.table.names):
        plot = scene.appearance.plots.get(name)
        text, log = axis(name, plot)[0], plot is not None and plot.log
        yield Drawing(
            "inputs", f"feature_{name}",
            name if "$" in text else text,  # the page cannot show mathematics, the axis can
            f"{scene.contents(data=not hidden)}.",
            lambda number=number, log=log: features.feature_figure(drawn[number], label=label, log=log),  # type: ignore[misc]
        )  # fmt: skip


def separation_drawings(scene: FigureData) -> Iterator[Drawing]:
    """Yield the ROC curves of all models in every labelled domain, and the calibration."""
    adapted = {name for name, model in scene.spec.models.items() if model.adapted_to is not None}
    reference = next((m for m in scene.models if m not in scene.histories and m not in adapted), scene.models[0])
    for domain, found in scene.numbers.rocs.items():
        bands = {model: pair[1] for model, pair in found.items()}
        areas = {model: pair[0].auc for model, pair in found.items()}
        yield Drawing(
            "separation", f"roc_{domain}", f"Background rejection, {domain}",
            f"Events no model was trained on; bands: 68 % of bootstrap replicas; below, the ratio to {reference}.",
            lambda bands=bands, areas=areas, domain=domain: roc.roc_figure(  # type: ignore[misc]
                bands, reference=reference, auc=areas, label=scene.label(domain), models=scene.models
            ),
        )  # fmt: skip
    for domain in scene.numbers.rocs:
        curves = {m: own.calibration[domain] for m, own in scene.numbers.models.items()}
        yield Drawing(
            "separation", f"calibration_{domain}", f"Calibration, {domain}",
            "Signal fraction against the score, both classes scaled to the same yield.",
            lambda curves=curves, domain=domain: calibration.calibration_figure(  # type: ignore[misc]
                curves, label=scene.label(domain), models=scene.models
            ),
        )  # fmt: skip
    yield from _efficiencies(scene)


def _efficiencies(scene: FigureData) -> Iterator[Drawing]:
    """Yield the efficiency of the first working point against each variable of `evaluation.efficiency_against`."""
    at = f"cut at {100 * scene.spec.settings.working_points[0]:g} % signal efficiency"
    for variable in scene.spec.settings.efficiency_against:
        found = {m: own.efficiency[variable] for m, own in scene.numbers.models.items()}
        curves = {name: {m: of[name] for m, of in found.items()} for name in ("signal", "background")}
        text, _ = axis(variable, scene.appearance.plots.get(variable))
        yield Drawing(
            "separation", f"efficiency_{variable}", f"Efficiency against {variable}",
            f"Of signal and background in {scene.source}, {at}.",
            lambda curves=curves, text=text: efficiency.efficiency_figure(  # type: ignore[misc]
                curves, xlabel=text, cut=at, label=scene.label(), models=scene.models
            ),
        )  # fmt: skip


def score_drawings(scene: FigureData) -> Iterator[Drawing]:
    """Yield the scores of each model.

    These are the compared class by domain, if there is a second domain, and the stack.
    """
    blind = scene.spec.domains.hidden
    against = "simulation against data" if scene.has_data else "simulation"
    for model in scene.models:
        score = np.asarray(scene.scores[model])
        for number, (others, what) in enumerate(_alike(scene)):
            apart = f"_{others[0]}" if number else ""
            yield Drawing(
                "domains", f"score_{model}{apart}", f"Score of the background by domain, {model}",
                f"{what}Each normalised to unit area, errors from sumw2; below, the ratio to the domain trained on.",
                lambda score=score, model=model, others=others: shapes.shape_figure(  # type: ignore[misc]
                    _shapes(scene, score, others), reference=scene.source, model=model,
                    context=_signal(scene, score), label=scene.label(),
                ),
            )  # fmt: skip
        yield Drawing(
            # With a single domain, the shape of a score is a matter of separation.
            "domains" if scene.other_domains or scene.has_data else "separation",
            f"score_stack_{model}", f"Score, {against}, {model}",
            f"{scene.contents(data=True)}.",
            lambda score=score, model=model: shapes.stack_figure(  # type: ignore[misc]
                scene.stack(score), model=model, data=scene.data(score), others=scene.others(score),
                blind=blind, label=scene.label(data=True),
            ),
        )  # fmt: skip


def _alike(scene: FigureData) -> list[tuple[list[str], str]]:
    """Group the domains that are compared with the same processes of the source.

    Each group has a text that names the processes of the source that are left out; it is empty if there are none.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for other in scene.compared_domains:
        left = scene.spec.domains.counterparts_of(other, scene.spec.compared_class).source_excluded
        groups.setdefault(left, []).append(other)
    return [(others, f"Without {', '.join(left)}. " if left else "") for left, others in groups.items()]


def _shapes(scene: FigureData, score: Array, others: Sequence[str]) -> dict[str, tuple[Array, Array]]:
    """Return scores and weights of the compared class by domain, the source first."""
    pairs = {other: compared(scene.spec, scene.table, other) for other in others}
    chosen = {scene.source: pairs[others[0]][0], **{other: two for other, (_, two) in pairs.items()}}
    return {name: (score[of.mask], scene.table.weight[of.mask]) for name, of in chosen.items()}


def _signal(scene: FigureData, score: Array) -> dict[str, tuple[Array, Array]]:
    signal = scene.table.of_domain(scene.source) & (scene.table.label == 1)
    return {"signal": (score[signal], scene.table.weight[signal])}


def bias_drawings(scene: FigureData) -> Iterator[Drawing]:
    """Yield efficiency shifts, KS distances, the trade-off and the closure of mu."""
    own = scene.numbers.models
    for other in scene.compared_domains:
        curves = {model: own[model].shift_curve[other] for model in scene.models}
        name = own[scene.models[0]].bias[other].class_name
        yield Drawing(
            "domains", f"efficiency_shift_{other}", f"Efficiency shift, {scene.source} to {other}",
            "Relative difference of the background efficiency at cuts that keep the given share of the signal.",
            lambda curves=curves, other=other, name=name: bias.shift_figure(  # type: ignore[misc]
                curves, source=scene.source, other=other, class_name=name, label=scene.label(), models=scene.models
            ),
        )  # fmt: skip
    distances = {other: {model: own[model].bias[other] for model in scene.models} for other in scene.compared_domains}
    if distances:
        yield Drawing(
            "domains", "ks", "KS distance of the background's score",
            "Black bar: what two samples of one generator come to in 95 % of cases.",
            lambda: bias.ks_figure(distances, source=scene.source, label=scene.label()),
        )  # fmt: skip
    importance = {d: found for d, found in scene.numbers.importance.items() if not isinstance(found, str)}
    if importance:
        yield Drawing(
            "domains", "importance", "Which inputs tell the domains apart",
            "By how much the AUC of a fresh classifier of the domains falls if one input is shuffled; correlated "
            "inputs share, and hide, importance.",
            lambda: efficiency.importance_figure(importance, source=scene.source, label=scene.label()),
        )  # fmt: skip
    if distances:
        yield from _ratios(scene)
        yield from _tradeoff(scene, next(iter(distances)))
    fits = {other: {m: own[m].closure[other] for m in scene.models} for other in own[scene.models[0]].closure}
    if any(fit.mu is not None for found in fits.values() for fit in found.values()):
        yield Drawing(
            "fit", "closure", "Signal strength fitted to other domains",
            f"Templates from {scene.source}; thick bars: the finite simulation that plays data.",
            lambda: closure.closure_figure(fits, source=scene.source, label=scene.label()),
        )  # fmt: skip


def _ratios(scene: FigureData) -> Iterator[Drawing]:
    """Yield the shifts of the adapted models divided by those of the baseline model, for the simulated domains."""
    own = scene.numbers.models
    found = {
        other: {model: own[model].ratios[other] for model in scene.models if own[model].ratios}
        for other in scene.compared_domains
    }
    if any(point.ratio is not None for of in found.values() for points in of.values() for point in points):
        yield Drawing(
            "adaptation", "shift_ratio", "Did the bias fall, or the apparent difference?",
            f"Efficiency shift of each model over that of {scene.numbers.baseline}, at the same signal efficiency; "
            "68 % of paired bootstrap replicas. Open points: the plain model's shift is within two errors of zero.",
            lambda: ratios.ratio_figure(
                found, plain=scene.numbers.baseline, source=scene.source, unseen=scene.spec.domains.held_out,
                label=scene.label(), models=scene.models,
            ),
        )  # fmt: skip


def _tradeoff(scene: FigureData, other: str) -> Iterator[Drawing]:
    points = {}
    nulls = []
    for model in scene.models:
        found = scene.numbers.models[model].bias[other]
        area = scene.numbers.auc(model, scene.source)
        points[model] = tradeoff.TradeoffPoint(found.ks, area.value, auc_low=area.low, auc_high=area.high)
        nulls += [found.null.quantile] if found.null is not None else []
    yield Drawing(
        "adaptation", "tradeoff", "What adaptation costs and buys",
        f"AUC in {scene.source} against the KS distance of the background's score to {other}.",
        lambda: tradeoff.tradeoff_figure(
            points, null=max(nulls) if nulls else None, label=scene.label(), names=scene.models,
            bias_name=f"Background KS distance, {scene.source} to {other}", auc_name=f"AUC ({scene.source})",
        ),
    )  # fmt: skip


def significance_drawings(scene: FigureData) -> Iterator[Drawing]:
    """Yield the expected significance against the cut."""
    scans = {m: own.scan for m, own in scene.numbers.models.items() if own.scan is not None}
    yield Drawing(
        "significance", "significance", "Expected significance against the cut",
        "Asimov, with Poisson fluctuations alone, with background uncertainty, and with what the bias implies.",
        lambda: significance.significance_figure(scans, label=scene.label(), models=scene.models),
    )  # fmt: skip


def training_drawings(scene: FigureData) -> Iterator[Drawing]:
    """Yield the history of each network."""
    for model, columns in scene.histories.items():
        panels, levels = training.history_panels(
            *({name: [np.nan if x is None else x for x in values] for name, values in c.items()} for c in columns)
        )
        best = scene.best_epochs.get(model, ())
        yield Drawing(
            "training", f"history_{model}", f"Training of {model}",
            "A line a fold and member. A domain loss at its dashed line (ln 2 without negative weights) and an "
            "accuracy of 0.5 are a head that sees nothing; whether nothing is there, the fresh probes say.",
            lambda panels=panels, levels=levels, model=model, best=best: training.training_figure(  # type: ignore[misc]
                panels, model=model, levels=levels, best_epochs=best, label=scene.label()
            ),
        )  # fmt: skip


def guard_drawings(scene: FigureData) -> Iterator[Drawing]:
    """Yield training events compared with events that no training saw."""
    for model, own in scene.numbers.models.items():
        if isinstance(own.overtraining, str):
            continue
        yield Drawing(
            "guards", f"overtraining_{model}", f"Training against test events, {model}",
            "The score of the trainings of fold 0 on events that they saw and on those of fold 0; p by permutation.",
            lambda tests=own.overtraining, model=model: calibration.overtraining_figure(  # type: ignore[misc]
                tests, model=model, label=scene.label()
            ),
        )  # fmt: skip


def drawings(scene: FigureData) -> list[Drawing]:
    """Return everything that is drawn of a run, in the order of the report."""
    parts = (
        input_drawings,
        separation_drawings,
        bias_drawings,
        score_drawings,
        significance_drawings,
        guard_drawings,
        training_drawings,
    )
    return collected(parts, scene)
