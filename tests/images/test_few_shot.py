"""Few-shot classification of images: classes that no training sees, the table, the sentences and a run."""

import json

import numpy as np
import pytest

from hepda.cli import main
from hepda.config import load_any
from hepda.errors import ConfigError, DataError
from hepda.images import few_shot, steps
from hepda.images.arrays import Images
from hepda.results.images import ImageModel


def config(*overrides):
    return load_any("digits_few_shot.yaml", list(overrides))


def quiet(*_):
    pass


def test_new_classes_are_in_no_training_and_no_test():
    loaded = steps.load(config("few_shot.classes=[1, 7, 8]"), quiet)
    full = steps.load(load_any("digits.yaml"), quiet)
    seen, new = ("0", "2", "3", "4", "5", "6", "9"), ("1", "7", "8")
    for side in ("source", "target"):
        assert loaded.new[side].classes == new and set(loaded.new[side].label) == {0, 1, 2}
        total = 0
        for split in ("trains", "tests"):
            images, every = getattr(loaded, split)[side], getattr(full, split)[side]
            assert images.classes == seen
            kept = np.isin(every.label, [int(name) for name in seen])
            np.testing.assert_array_equal(images.pixels, every.pixels[kept])
            assert [seen[number] for number in images.label] == [str(number) for number in every.label[kept]]
            total += np.count_nonzero(~kept)
        assert len(loaded.new[side]) == total


def test_an_image_that_occurs_twice_is_taken_once():
    pixels = np.arange(3, dtype=np.uint8)[[2, 0, 2, 1, 0], None, None, None] * np.ones((1, 1, 8, 8), np.uint8)
    images = few_shot._once(Images(pixels, np.array([1, 0, 1, 1, 0]), ("a", "b")))
    assert images.pixels[:, 0, 0, 0].tolist() == [2, 0, 1] and images.label.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("few_shot.classes=[5, eleven]", "eleven are not classes of source. There are: 0, 1"),
        ("few_shot.classes=[1, 2, 3, 4, 5, 6, 7, 8, 9]", "leaves 1 classes to train on"),
        ("few_shot.queries=200", "few_shot, source: an episode draws 200 queries and 5 labelled examples"),
    ],
)
def test_what_the_images_do_not_have_is_refused_before_training(override, message):
    with pytest.raises(DataError) as error:
        steps.load(config(override), quiet)
    assert message in str(error.value)


def test_a_value_twice_is_refused_with_its_key():
    with pytest.raises(ConfigError, match=r"few_shot\.classes.*: 5, 6, 5 has a value twice"):
        config("few_shot.classes=[5, 6, 5]")


def test_a_null_and_the_leak_are_said_plainly():
    def method(value, difference=None, error=0.01):
        ends = lambda x: {"value": x, "low": x - error, "high": x + error}  # noqa: E731
        return {"accuracy": ends(value)} | ({} if difference is None else {"difference": ends(difference)})

    def model(euclidean):
        methods = {"cosine": method(0.6), "euclidean": method(0.6, euclidean), "csca_published": method(0.9, 0.3)}
        entry = {"ways": 5, "methods": methods, "dealt": methods}
        return ImageModel.from_json({"title": "net", "accuracy": {}, "few_shot": {"source": {"1": entry}}})

    null, leak = few_shot.sentences({"net": model(0.015)})
    assert null.endswith("1 labelled of each: cosine prototypes 0.600; nothing is better (null).")
    assert "0.900 to 0.900 where no class can be known (chance 0.200)" in leak
    assert next(few_shot.sentences({"net": model(0.03)})).endswith("better: Euclidean prototypes.")


@pytest.mark.slow
def test_a_run_has_its_numbers_table_and_figures(tmp_path):
    words = ("seeds=2", "training.processes=1", "training.epochs=3", "few_shot.episodes=4", "few_shot.shots=[2, 1]")
    status = main([
        "train", "--config", "digits_few_shot.yaml", "--output", str(tmp_path / "run"), "--plots", "none",
        *(part for word in words for part in ("--set", word)),
    ])  # fmt: skip
    assert status == 0
    model = json.loads((tmp_path / "run" / "metrics.json").read_text())["models"]["source_only"]
    assert len(model["recall"]["target"]) == 5
    for side in ("source", "target"):
        assert list(model["few_shot"][side]) == ["1", "2"]
        entry = model["few_shot"][side]["2"]
        assert entry["ways"] == 5 and list(entry["methods"]) == list(entry["dealt"])
        assert entry["methods"]["cosine"]["accuracy"]["value"] > 0.25
    page = (tmp_path / "run" / "report.html").read_text()
    assert "New classes from few labelled images, target" in page and "Classes dealt, 2-shot" in page
