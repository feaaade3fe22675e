"""All figures of an analysis of a table. A new figure is a function, in any module, and a line of FIGURES."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hepda.config.tabular import TabularConfig
from hepda.plotting import images, training
from hepda.plotting.base.plot import Plot
from hepda.plotting.base.style import AxisTexts
from hepda.plotting.scores import calibration, roc, shapes
from hepda.report.drawing import Drawing
from hepda.report.registry import drawings_of
from hepda.tabular.results import Quality, TableModelNumbers, compared_rows, roc_bands, shown_classes
from hepda.tabular.table import DataTable

FIGURES = {
    "roc": "hepda.tabular.figures:roc_curves",
    "confusion": "hepda.tabular.figures:confusions",
    "calibration": "hepda.tabular.figures:calibrations",
    "scores": "hepda.tabular.figures:scores",
    "training": "hepda.tabular.figures:trainings",
}
"""Groups of figures, `module:function`, in the order of the report; a function yields drawings of TableFigureData."""


@dataclass(frozen=True, slots=True)
class TableFigureData:
    """The data of the figures."""

    config: TabularConfig
    table: DataTable
    scores: Mapping[str, Any]
    numbers: Mapping[str, TableModelNumbers]
    histories: Mapping[str, Any]
    best_epochs: Mapping[str, Any]

    def quality(self, domain: str) -> dict[str, Quality]:
        """Return how well each model does in a domain, by title; empty if its labels do not allow to say."""
        qualities = {self.config.title(model): numbers.quality[domain] for model, numbers in self.numbers.items()}
        return {title: quality for title, quality in qualities.items() if not isinstance(quality, str)}


def drawings(run: TableFigureData) -> list[Drawing]:
    """Return all figures."""
    return drawings_of(FIGURES, run)


def file_name(*parts: str) -> str:
    """Return a file name of texts of any characters."""
    return re.sub(r"\W+", "_", "_".join(parts))


def roc_curves(run: TableFigureData) -> Iterator[Drawing]:
    """Yield the ROC curves of all models, for each domain with labels and each class against the rest."""
    titles = {model: run.config.title(model) for model in run.scores}
    reference = titles[run.config.baseline or next(iter(titles))]
    for number, domain in enumerate(run.table.domains):
        qualities = run.quality(domain)
        for code in shown_classes(run.table) if qualities else ():
            name = run.table.classes[code]

            def plot(number: int = number, code: int = code, areas: Any = qualities, name: str = name) -> Plot:
                bands = roc_bands(run.config, run.table, run.scores, number, code)
                of_name = f"True positive rate of {name}, {run.table.domains[number]}"
                return Plot.of(
                    roc.roc_figure,
                    {titles[model]: band for model, band in bands.items()},
                    reference=reference,
                    auc={title: quality.by_class[name] for title, quality in areas.items()},
                    texts=AxisTexts(of_name, "1 / false positive rate"),
                )

            yield Drawing(
                "separation", file_name("roc", domain, name), f"ROC curves, {domain}: {name} against the rest",
                "Rows that no training saw; bands: 68 % of bootstrap replicas; below, the ratio to "
                f"{reference}.", plot,
                first=number < 2 and code == shown_classes(run.table)[0],
            )  # fmt: skip


def confusions(run: TableFigureData) -> Iterator[Drawing]:
    """Yield the confusion matrix of each model in each domain with labels, for three classes or more."""
    for domain in run.table.domains if len(run.table.classes) > 2 else ():
        for title, quality in run.quality(domain).items():
            yield Drawing(
                "separation", file_name("confusion", domain, title), f"Confusion, {domain}: {title}",
                "Share of the rows of each class that are given each class.",
                lambda counts=quality.confusion, title=title, domain=domain: Plot.of(  # type: ignore[misc]
                    images.confusion_figure, counts, classes=run.table.classes, title=f"{title}, {domain}"
                ),
                first=domain in run.table.domains[:2],
            )  # fmt: skip


def calibrations(run: TableFigureData) -> Iterator[Drawing]:
    """Yield the calibration of all models in each domain with labels."""
    binary = len(run.table.classes) == 2
    what = f"Share of {run.table.classes[1]}" if binary else "Share of right classes"
    for domain in run.table.domains:
        curves = {title: quality.calibration for title, quality in run.quality(domain).items()}

        def plot(curves: Any = curves, domain: str = domain) -> Plot:
            texts = AxisTexts(f"Mean probability in bin, {domain}", f"{what} in bin")
            return Plot.of(calibration.calibration_figure, curves, texts=texts)

        if curves:
            yield Drawing(
                "separation", file_name("calibration", domain), f"Calibration, {domain}",
                f"{what} against the probability {'of it' if binary else 'of the most probable class'}"
                f"{', both classes scaled to the same weight' if binary and run.config.balance else ''}.", plot,
            )  # fmt: skip


def scores(run: TableFigureData) -> Iterator[Drawing]:
    """Yield the score of each class by domain, for each model."""
    table = run.table
    for model, score in run.scores.items():
        title = run.config.title(model)
        for code in shown_classes(table):
            name = table.classes[code]
            groups: dict[str, dict[str, Any]] = {}  # a domain without labels is compared by all rows
            for number, domain in enumerate(table.domains[1:], 1):
                source, other, rows = compared_rows(table, code, number)
                group = groups.setdefault(rows, {table.domains[0]: source})
                group[domain] = other
            for rows, by_domain in groups.items():
                what = "all rows" if rows == "all" else f"rows of {rows}"

                def plot(
                    by_domain: Any = by_domain, title: str = title, name: str = name, what: str = what,
                    values: Any = score[:, code],
                ) -> Plot:  # fmt: skip
                    histograms = {
                        domain: shapes.score_histogram(values[chosen], table.weight[chosen])
                        for domain, chosen in by_domain.items()
                    }
                    of_name, share = f"Probability of {name}, {title}", f"Fraction of {what} / 0.05"
                    texts = AxisTexts(of_name, share, "Ratio to source")
                    return Plot.of(
                        shapes.shape_figure, histograms, reference=table.domains[0], model=title, texts=texts
                    )

                yield Drawing(
                    "domains", file_name("score", title, name, *(["all"] if len(groups) > 1 and rows == "all" else [])),
                    f"Probability of {name} by domain, {title}",
                    f"Of {what}, each domain normalised to unit area; below, the ratio to the source.", plot,
                    first=code == shown_classes(table)[0],
                )  # fmt: skip


def trainings(run: TableFigureData) -> Iterator[Drawing]:
    """Yield the history of each network."""
    for model, histories in run.histories.items():
        title = run.config.title(model)
        panels, levels = training.history_panels(
            *({k: [np.nan if x is None else x for x in values] for k, values in c.items()} for c in histories)
        )
        yield Drawing(
            "training", file_name("history", model), f"Training of {title}",
            "A line for each fold and member. At the dashed line the domain head cannot separate the domains; whether "
            "a new classifier can, the table of fresh classifiers shows.",
            lambda panels=panels, levels=levels, model=model, title=title: Plot.of(  # type: ignore[misc]
                training.training_figure, panels, model=title, levels=levels, best_epochs=run.best_epochs.get(model, ())
            ),
            first=run.config.adapts(model),
        )  # fmt: skip
