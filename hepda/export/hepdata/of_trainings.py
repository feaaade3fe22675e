"""The numbers of the figures of trainings, images and speech; arguments are those of the functions that draw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.export.hepdata.tables import Curve, Dependent, FigureTable, axis, interval, joined, names, numbers
from hepda.plotting.speech import ErrorCurve
from hepda.results.evaluation import FewLabels
from hepda.results.few_shot import TITLES, FewShot

Epochs = Sequence[float | None]


def training(panels: Mapping[str, Mapping[str, Sequence[Epochs]]], *, model: str, **_: Any) -> list[FigureTable]:
    """Return each quantity of a training against the epoch: a table for each quantity, columns for each fold."""
    tables = []
    for quantity, series in panels.items():
        curves = []
        for name, folds in series.items():
            for fold, values in enumerate(folds):
                if any(value is not None for value in numbers(values)):
                    of = {"Model": model, "Series": name, "Training": str(fold)}
                    curves.append(Curve(_epochs(len(values)), Dependent(quantity, numbers(values), of=of)))
        tables += joined(curves, quantity) if curves else []
    return tables


def _epochs(count: int) -> Any:
    return axis("Epoch", np.arange(1, count + 1))


def accuracy(curves: Mapping[str, Sequence[Epochs]], *, images: int, target: str, **_: Any) -> list[FigureTable]:
    """Return the accuracy on images of the target against the epoch, of every training."""
    return joined(
        [
            Curve(_epochs(len(values)),
                  Dependent("Accuracy", numbers(values),
                         of={"Model": model, "Training": str(number), "Domain": target, "Images": str(images)}))
            for model, trainings in curves.items() for number, values in enumerate(trainings) if len(values)
        ]
    )  # fmt: skip


def few_labels(result: FewLabels, *, model: str, domain: str, **_: Any) -> list[FigureTable]:
    """Return the AUC in another domain by number of labelled events, for each way to fit the last layer."""
    columns = [
        Dependent("AUC", numbers(method.auc), [interval(method.auc, method.low, method.high)],
                  {"Model": model, "Domain": domain, "Last layer": name})
        for name, method in result.methods.items()
    ]  # fmt: skip
    trained = Dependent(
        "AUC", numbers([result.trained] * len(result.events)),
        of={"Model": model, "Domain": domain, "Last layer": "as trained"},
    )  # fmt: skip
    return [FigureTable([axis("Labelled events of each class", np.asarray(result.events))], [*columns, trained])]


def few_shots(results: Sequence[FewShot], *, model: str, domain: str) -> list[FigureTable]:
    """Return the accuracy on new classes by the way to classify: columns by number of labelled examples."""
    columns = []
    for result in results:
        for text, methods in (("as they are", result.methods), ("dealt at random", result.dealt)):
            found = [method.accuracy for method in methods.values()]
            value, low, high = (np.array([getattr(one, key) for one in found]) for key in ("value", "low", "high"))
            of = {"Model": model, "Domain": domain, "Classes": text, "Labelled of each class": str(result.shots)}
            columns.append(Dependent("Accuracy", numbers(value), [interval(value, low, high)], of))
    ways = [TITLES.get(name, name) for name in results[0].methods]
    return [FigureTable([names("Way to classify", ways)], columns)]


def counted(counts: NDArray[np.int64], *, classes: Sequence[str], title: str) -> list[FigureTable]:
    """Return the number of images by true and predicted class."""
    axes = _pairs(classes, ("True class", "Predicted class"))
    return [FigureTable(axes, [Dependent("Images", numbers(counts.ravel()), of={"Sample": title})])]


def words(panels: Mapping[str, NDArray[Any]], spoken: Sequence[str]) -> list[FigureTable]:
    """Return the share of recognised words by spoken word, for each condition."""
    columns = [Dependent("Share", numbers(shares.ravel()), of={"Condition": name}) for name, shares in panels.items()]
    return [FigureTable(_pairs(spoken, ("Spoken", "Recognised")), columns)]


def _pairs(values: Sequence[str], titles: tuple[str, str]) -> list[Any]:
    return [
        names(titles[0], [one for one in values for _ in values]),
        names(titles[1], [two for _ in values for two in values]),
    ]


def word_errors(panels: Mapping[str, Mapping[str, ErrorCurve]], *, xlabel: str) -> list[FigureTable]:
    """Return word error rates by condition and model."""
    return joined(
        [
            _curve(xlabel, "Word error rate", curve, {"Condition": condition, "Model": model})
            for condition, of in panels.items()
            for model, curve in of.items()
        ]
    )


def along_dial(
    curves: Mapping[str, ErrorCurve], *, ylabel: str, real: Mapping[str, ErrorCurve] | None = None, **_: Any
) -> list[FigureTable]:
    """Return numbers along the guidance s, of generated events and of real ones."""
    sides = {"generated": curves, "real": real or {}}
    return joined(
        [
            _curve("Guidance s", ylabel, curve, {"Curve": name, "Events": side})
            for side, of in sides.items()
            for name, curve in of.items()
            if len(curve.x)
        ]
    )


def qualities(panels: Mapping[str, Mapping[str, ErrorCurve]]) -> list[FigureTable]:
    """Return measures of quality of enhanced speech against the ratio of speech to noise, by model."""
    return joined(
        [
            _curve("Speech over noise [dB]", label, curve, {"Model": model})
            for label, of in panels.items()
            for model, curve in of.items()
        ]
    )


def probes(
    probe: Mapping[str, ErrorCurve], head: Mapping[str, ErrorCurve], chance: Mapping[str, float]
) -> list[FigureTable]:
    """Return accuracies against the strength of the reversal, of new probes and of the trained heads."""
    return joined(
        [
            _curve("Strength of the reversal", "Accuracy", curve,
                   {"Predicted": what, "Classifier": text, "Without information": f"{chance[what]:.4g}"})
            for text, curves in (("new probe", probe), ("trained head", head)) for what, curve in curves.items()
        ]
    )  # fmt: skip


def _curve(x: str, y: str, curve: ErrorCurve, of: Mapping[str, str]) -> Curve:
    errors = interval(curve.value, curve.low, curve.high)
    return Curve(axis(x, curve.x), Dependent(y, numbers(curve.value), [errors], of))
