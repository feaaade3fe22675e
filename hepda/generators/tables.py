"""The results of generative models as tables of the report, and its conclusions as text."""

from __future__ import annotations

from collections.abc import Callable

from hepda.generators.numbers import SURE
from hepda.number_format import Cell, Quantity, Table
from hepda.results.entries.generators import GeneratorMetrics, GeneratorModelMetrics, RealImages
from hepda.results.record import Measured, quantity_of

COMPARED = {
    "recognised": "Recognised as asked", "to_floor": "Frechet distance [floor]", "precision": "Precision",
    "recall": "Recall",
}  # fmt: skip
"""Numbers of a model that runs are compared by, and their names in figures."""
REAL = "real images"
"""The row of training images in the place of generated ones."""
_INTERVAL = "± : half of the 95 % interval of the mean over the trainings (Student's t)."


def _cell(entry: Measured | None) -> Cell:
    return (Quantity(None, present=False) if entry is None else quantity_of(entry)).cell()


def _rows(
    metrics: GeneratorMetrics,
    of_model: Callable[[GeneratorModelMetrics], list[Cell]],
    of_real: Callable[[RealImages], list[Cell]] | None,
) -> list[list[Cell]]:
    """Return a row for each model, and one for real images, of which the metrics of several runs know nothing."""
    rows = [
        [Cell(model.title or name, model.title or name), *of_model(model)] for name, model in metrics.models.items()
    ]
    return rows if of_real is None or metrics.real is None else [*rows, [Cell(REAL, REAL), *of_real(metrics.real)]]


def quality_table(metrics: GeneratorMetrics) -> Table:
    """Return what is generated compared with test images: recognised, distances, precision and recall, probes."""
    seen = list(dict.fromkeys(name for model in metrics.models.values() for name in model.probe))
    relative = any(model.to_baseline is not None for model in metrics.models.values())
    head = [
        "Model", "Recognised", "Distance / floor", *(["Distance / baseline"] if relative else []), "Precision",
        "Recall", *(f"Probe, {name}" for name in seen),
    ]  # fmt: skip

    def of_model(model: GeneratorModelMetrics) -> list[Cell]:
        distances = [model.to_floor, *([model.to_baseline] if relative else [])]
        entries = [model.recognised, *distances, model.precision, model.recall]
        return [_cell(entry) for entry in (*entries, *(model.probe.get(name) for name in seen))]

    def of_real(real: RealImages) -> list[Cell]:
        floor = [_cell(real.accuracy), Quantity(1.0).cell(), *([_cell(None)] if relative else [])]
        covered = [Quantity(float(value)).cell() for value in (real.precision, real.recall)]
        return [*floor, *covered, *(_cell(real.probe.get(name)) for name in seen)]

    return Table(
        "Quality of the generated images", head, _rows(metrics, of_model, of_real),
        f"Recognised: share of the images that a network gives the class that was asked for; it was trained on other "
        f"real images (its accuracy on test images is in the row of real images). Distance: Frechet distance to "
        f"the test images in its embedding, in units of the floor, that of training images. Probe: AUC of a new "
        f"classifier between generated and test images, 0.5 for no difference. {_INTERVAL} Of real images: 68 %.",
    )  # fmt: skip


def copies_table(metrics: GeneratorMetrics) -> Table:
    """Return how near generated images are to training images, in comparison with test images."""
    return Table(
        "Distance to the training images",
        ["Model", "Median distance / that of test images", "Nearer than 1 % of the test images"],
        _rows(metrics, lambda model: [_cell(model.distance), _cell(model.copies)], None),
        f"Euclidean distance of the pixels to the nearest training image. Well below 1, or with many images nearer "
        f"than 1 % of the test images, training images are repeated; images that are smoother than real ones are "
        f"nearer, too. {_INTERVAL}",
    )  # fmt: skip


def classes_table(metrics: GeneratorMetrics) -> Table:
    """Return how sure the network is of the classes, and how far their shares are off."""
    return Table(
        "Classes of the generated images",
        ["Model", f"Class is sure (p ≥ {SURE:g})", "Shares of classes off by"],
        _rows(
            metrics,
            lambda model: [_cell(model.sure), _cell(model.shares)],
            lambda real: [Quantity(float(real.sure)).cell(), _cell(None)],
        ),
        f"Off by: half of the sum of absolute differences to the shares of the test images. {_INTERVAL}",
    )  # fmt: skip


def images_table(metrics: GeneratorMetrics) -> Table:
    """Return how many images there are for what."""
    samples = metrics.samples
    if samples is None:
        raise ValueError("metrics.json does not say what the images are")
    numbers = (samples.train, samples.judge, samples.test, samples.classes)
    shape = f"{samples.size} × {samples.size} × {samples.channels}"
    row = [Cell(samples.data, samples.data), *(Quantity(float(n)).cell() for n in numbers), Cell(shape, shape)]
    return Table(
        "Images", ["Data set", "To learn", "For the network that recognises", "To compare with", "Classes", "Shape"],
        [row], "No image is used for two of these.",
    )  # fmt: skip


def tables(metrics: GeneratorMetrics) -> dict[str, list[Table]]:
    """Return all tables by section of the report."""
    return {
        "summary": [quality_table(metrics), classes_table(metrics)],
        "separation": [copies_table(metrics)],
        "samples": [images_table(metrics)],
    }


def conclusions(metrics: GeneratorMetrics) -> list[str]:
    """Return what can be said of each model, a sentence each."""
    real, lines = metrics.real, []
    if real is None:
        return []
    for name, model in metrics.models.items():
        title = model.title or name
        parts = []
        if model.recognised is not None and model.recognised.value is not None:
            parts.append(
                f"{100.0 * model.recognised.value:.1f} % of the images are recognised as asked "
                f"({100.0 * (real.accuracy.value or 0.0):.1f} % of the test images are)"
            )
        distance = f"the Frechet distance is {model.to_floor.value:.3g} times that of training images"
        if model.to_baseline is not None and name != metrics.baseline:
            distance += f", {model.to_baseline.value:.2g} times that of {_title(metrics, metrics.baseline)}"
        seen, probe = max(model.probe.items(), key=lambda item: item[1].value or 0.0)
        null = real.probe[seen]
        parts += [
            distance,
            f"a new classifier tells them from test images by their {seen} with AUC {probe.value:.3f} "
            f"({null.value:.3f} without a difference)",
        ]
        lines.append(f"{title[:1].upper()}{title[1:]}: {'; '.join(parts)}.")
    return lines


def _title(metrics: GeneratorMetrics, model: str | None) -> str:
    return str(model) if model is None else metrics.models[model].title or model
