"""Numbers against closed forms, figures with what they must show."""

import numpy as np
import pytest

from hepda.config import validate_any
from hepda.errors import DataError
from hepda.images import kind, results, steps
from hepda.plotting import images
from hepda.results.evaluation import Interval
from hepda.results.few_shot import FewShot, FewShotMethod
from hepda.results.images import ImageModel


def test_accuracy_has_the_spread_of_the_seeds_and_the_error_of_the_test_set():
    label = np.zeros(100, np.int64)
    predicted = np.zeros((2, 100))
    predicted[0, :10], predicted[1, :20] = 1, 1
    accuracy = results.accuracy_of(predicted, label)
    assert accuracy.seeds == (0.9, 0.8) and accuracy.value == pytest.approx(0.85)
    assert accuracy.spread == pytest.approx(np.sqrt(0.005))
    half = np.sqrt(0.85 * 0.15 / 100 + 0.005 / 2)
    assert (accuracy.low, accuracy.high) == (pytest.approx(0.85 - half), pytest.approx(0.85 + half))
    single = results.accuracy_of(predicted[:1], label).as_metrics()
    assert single["spread"] is None and "one training" in single["spread_why"]


def test_confusion_counts_every_training():
    counts = results.confusion(np.array([[0, 1, 1], [0, 0, 1]]), np.array([0, 0, 1]), 2)
    assert counts.tolist() == [[3, 1], [0, 2]]


def config(**models):
    return validate_any({
        "name": "a", "kind": "images", "source": {"data": "digits"}, "target": {"data": "shifted_digits"},
        "models": models,
    })  # fmt: skip


def test_the_gap_is_that_of_the_same_network():
    chosen = config(
        plain={}, other={"width": 8}, dann={"domain": {}}, wide={"width": 32, "domain": {}}, top={"train_on": "target"}
    )
    label = np.zeros(10, np.int64)

    def numbers(right):
        predicted = np.ones((1, 10))
        predicted[0, :right] = 0
        return results.ImageModelNumbers({"target": results.accuracy_of(predicted, label)}, np.zeros((2, 2), np.int64))

    results_of = {name: numbers(right) for name, right in zip(chosen.models, (4, 1, 7, 9, 10), strict=True)}
    assert results.gap_closed(results_of, chosen, "dann")["value"] == pytest.approx(0.5)
    assert results.gap_closed(results_of, chosen, "wide")["value"] is None
    assert results.gap_closed(results_of, chosen, "plain")["why"] == "this model has no adaptation"
    near = results_of | {"top": numbers(5)}  # ten images do not tell 4 right from 5
    gap = results.gap_closed(near, chosen, "dann")
    assert gap["value"] is None and "is compatible with" in gap["why"]


def test_a_row_that_was_told_of_inversion_says_so():
    chosen = config(a={"augment": ["invert"]}, b={"augment": ["shift"]}, c={"train_on": "target"})
    information = {name: steps.knowledge(section) for name, section in chosen.models.items()}
    assert information == {"a": ["random inversion"], "b": [], "c": ["labels of the target"]}


def test_the_mosaic_has_every_image_in_its_place():
    pixels = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 4, 4), np.uint8)
    mosaic = images.mosaic(pixels, 2, 3)
    assert mosaic.shape == (9, 14, 3) and mosaic[0, 0, 0] == 0 and mosaic[8, 13, 0] == 5 and mosaic[4, 0, 0] == 255


def test_figures_show_what_they_are_given():
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (60, 1, 8, 8), dtype=np.uint8)
    grid = images.grid_figure({"A": pixels, "B": pixels})
    assert [axes.get_title(loc="left") for axes in grid.axes] == ["A", "B"]
    points = images.Embedded(rng.normal(size=(30, 2)), np.repeat([0, 1], 15), np.arange(30) % 10)
    names = [str(digit) for digit in range(10)]
    drawn = images.embedding_figure({"one": points, "two": points}, domains=("s", "t"), classes=names, axis="t-SNE")
    assert len(drawn.axes) == 4 and drawn.axes[0].get_legend() is not None
    counts = np.diag(np.full(10, 9)) + 1
    matrix = images.confusion_figure(counts, classes=names, title="m")
    assert {text.get_text() for text in matrix.axes[0].texts} >= {"53", "5.3", "m"}
    curve = images.accuracy_figure({"m": [[0.2, None, 0.6], [0.4, 0.5]]}, images=5, target="T")
    (line,) = [line for line in curve.axes[0].lines if line.get_label() == "m"]
    assert np.allclose(line.get_ydata(), [0.3, 0.5, 0.6])


def test_few_shots_draw_every_way_twice_and_chance():
    method = FewShotMethod(Interval(0.5, 0.45, 0.55), None)
    results = [
        FewShot(shots, 4, {"cosine": method, "csca": method}, {"cosine": method, "csca": method}) for shots in (1, 5)
    ]
    drawn = images.few_shot_figure(results, model="net", domain="T")
    assert len(drawn.axes) == 2 and "5 labelled of each" in drawn.axes[1].get_xlabel()
    chance = next(line for line in drawn.axes[0].lines if line.get_label() == "chance")
    assert chance.get_xdata()[0] == 0.25
    assert [text.get_text() for text in drawn.axes[0].get_yticklabels()] == ["cosine prototypes", "channel attention"]
    with pytest.raises(DataError, match="nothing to draw"):
        images.few_shot_figure([], model="net", domain="T")


def test_the_best_model_is_named_with_its_accuracy_as_measured_and_corrected():
    def model(title, *seeds):
        accuracy = {"value": float(np.mean(seeds)), "seeds": list(seeds)}
        return ImageModel.from_json({"title": title, "accuracy": {"target": accuracy}})

    several = {
        "a": model("DANN", 0.90, 0.91, 0.92),
        "b": model("MCD", 0.90, 0.90, 0.92),
        "c": model("CDAN", 0.91, 0.90, 0.91),
    }
    sentence = kind._best_sentence(several)
    assert sentence.startswith("Best adapted model: DANN, 0.9100 on the target; 0.90")
    assert sentence.endswith("without the luck of being the best of 3.")
    single = kind._best_sentence({"a": model("DANN", 0.9), "b": model("MCD", 0.8)})
    assert single == "Best adapted model: DANN, 0.9000 on the target."
