"""A whole run of generators, from the analysis file to the report and to further images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hepda.adversarial.tensor_files import read_tensors, write_tensors
from hepda.cli import main
from hepda.config import load_any
from hepda.evaluation.differences.frechet import frechet_distance
from hepda.generators import judge
from hepda.generators.figures import by_class
from hepda.generators.jobs import read_images
from hepda.generators.kind import GeneratorKind
from hepda.generators.model import load_model
from hepda.kinds import kind_of
from hepda.results.entries.generators import GeneratorMetrics
from hepda.runtime.plots import PlotOptions, Plots
from hepda.workflows import compare, train
from tests.generators.analysis import SMALL, small
from tests.reports import assert_no_table_is_empty

Run = tuple[Path, GeneratorMetrics]


class Quiet:
    """A progress that tells nothing."""

    def stage(self, name: str) -> None:
        """Nothing is told."""

    def step(self, what: str, done: int, total: int) -> None:
        """Nothing is told."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("generators")
    outcome = train.train(small(), folder / "run", PlotOptions(Plots.ALL, folder / "plots"), Quiet())
    assert isinstance(outcome.metrics, GeneratorMetrics) and "hepda sample" in outcome.next_step
    return folder / "run", outcome.metrics


def loaded(folder: Path) -> GeneratorKind:
    kind = kind_of(load_any(folder / "config.yaml"))
    assert isinstance(kind, GeneratorKind)
    kind.load(Quiet().step)
    return kind


def test_a_run_leaves_what_every_run_leaves(run: Run) -> None:
    folder, metrics = run
    for name in train.FILES:
        assert (folder / name).is_file(), name
    page = (folder / "report.html").read_text()
    for text in ("Quality of the generated images", "Distance to the training images", "DCGAN", "real images"):
        assert text in page
    assert json.dumps(metrics.to_json(), allow_nan=False)
    drawn = {path.name for path in (folder / "plots").glob("*.png")}
    histories = {f"history_{model}.png" for model in ("gan", "conditional", "diffusion")}
    assert drawn == {"generated.png", "nearest.png"} | histories
    assert_no_table_is_empty(folder, kind_of(load_any(folder / "config.yaml")))
    assert main(["check", str(folder)]) == 0
    checked = kind_of(load_any(folder / "config.yaml")).check_models(folder)
    assert len(checked) == 8 and set(checked.values()) == {""}


def test_the_numbers_are_those_of_the_images(run: Run) -> None:
    folder, metrics = run
    kind = loaded(folder)
    images, network = kind.images, judge.read(kind.config, folder, 10)
    entry = metrics.models["conditional"]
    assert entry.recognised is not None and metrics.real is not None and entry.to_baseline is not None
    test = network.embed(images.test.pixels)
    for member in (0, 1):
        generated = read_images(folder, "conditional", member)
        assert generated.shape == images.test.pixels.shape
        assert entry.frechet.seeds[member] == pytest.approx(frechet_distance(test, network.embed(generated)))
        found = network.predict(generated, head="class").argmax(1)
        assert entry.recognised.seeds[member] == pytest.approx((found == images.test.label).mean())
    correct = network.predict(images.test.pixels, head="class").argmax(1) == images.test.label
    assert metrics.real.accuracy.value == pytest.approx(correct.mean())
    floor = frechet_distance(network.embed(images.known.pixels), test)
    assert metrics.real.frechet == pytest.approx(floor)
    assert entry.to_floor.value == pytest.approx(np.mean(entry.frechet.seeds) / floor)
    mixture = metrics.models["mixture"]
    assert entry.to_baseline.value == pytest.approx(entry.frechet.value / mixture.frechet.value)
    assert mixture.to_baseline is not None and mixture.to_baseline.value == pytest.approx(1.0)
    assert "recognised" not in metrics.models["gan"].model_fields_set  # no class was asked for
    assert mixture.recognised is not None and mixture.recognised.value > entry.recognised.value
    assert all(0.3 < auc.value < 1.0 + 1e-9 for model in metrics.models.values() for auc in model.probe.values())
    assert metrics.real.probe["pixels"].value < 0.65 < metrics.models["conditional"].probe["pixels"].value


def test_generated_images_have_the_values_of_real_ones_and_trainings_differ(run: Run) -> None:
    folder, _ = run
    first, second = (read_images(folder, "gan", member) for member in (0, 1))
    real = np.unique(loaded(folder).images.train.pixels)
    assert set(np.unique(first)) <= set(real) and not np.array_equal(first, second)


def test_evaluation_gives_the_same_numbers_and_runs_are_compared(run: Run, tmp_path: Path) -> None:
    folder, metrics = run
    again = train.evaluate(folder, PlotOptions(Plots.NONE), Quiet())
    assert again.metrics == metrics
    copy = shutil.copytree(folder, tmp_path / "copy")
    compare.compare([folder, copy], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "Distance / floor" in page and "data:image/png" in page


def test_rows_of_a_grid_are_classes() -> None:
    label = np.array([1, 0, 1, 1, 0, 1, 1, 1, 1])
    assert by_class(label).tolist() == [1, 4, 1, 4, 1, 4, 0, 2, 3, 5, 6, 7]
    assert by_class(None).tolist() == list(range(60))


def test_more_images_are_generated(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = run
    command = ["sample", str(folder), "-n", "120", "--model", "conditional", "--seed", "5"]
    assert main([*command, "--class", "7", "--output", str(tmp_path / "seven")]) == 0
    assert "120 images by conditional" in capsys.readouterr().out
    with np.load(tmp_path / "seven" / "images.npz", allow_pickle=False) as file:
        pixels, label, classes = (file[name] for name in ("pixels", "label", "classes"))
    assert pixels.shape == (120, 1, 8, 8) and pixels.dtype == np.uint8 and set(label) == {7} and classes[7] == "7"
    picture = np.asarray(Image.open(tmp_path / "seven" / "images.png"))
    factor = picture.shape[1] // 89  # ten images of 8 pixels and the lines between them
    assert picture.shape == (89 * factor, 89 * factor)
    assert np.array_equal(picture[::factor, ::factor][:8, 9:17], pixels[1, 0])
    summary = json.loads((tmp_path / "seven" / "sample.json").read_text())
    assert (summary["model"], summary["class"], summary["seed"]) == ("conditional", "7", 5)
    assert main([*command, "--output", str(tmp_path / "all")]) == 0
    assert main([*command, "--output", str(tmp_path / "again")]) == 0
    with np.load(tmp_path / "all" / "images.npz") as file, np.load(tmp_path / "again" / "images.npz") as same:
        assert np.array_equal(file["pixels"], same["pixels"]) and len(set(file["label"])) == 10
    assert main(["sample", str(folder), "--model", "gan", "-n", "3", "--output", str(tmp_path / "three")]) == 0
    with np.load(tmp_path / "three" / "images.npz") as file:
        assert len(file["pixels"]) == 3 and set(file["label"]) == {-1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "conditonal"], "'conditonal' is no model of"),
        (["--model", "gan", "--class", "7"], "the model gan is not conditional"),
        (["--class", "ten"], "'ten' is no class of the images"),
        (["-n", "0"], "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_generated_is_told(
    run: Run, arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", str(run[0]), "--output", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_model_that_somebody_changed_generates_nothing(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(run[0], tmp_path / "copy")
    model, about = load_model(copy / "models" / "gan" / "fold0-member0.safetensors")
    model.save(copy / "models" / "gan" / "fold0-member0.safetensors", about | {"levels": [0, 255]})
    assert main(["sample", str(copy), "--model", "gan", "--output", str(tmp_path / "out")]) == 2
    assert "fold0-member0.safetensors" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_models_that_are_not_those_of_the_analysis_file_are_told(run: Run, tmp_path: Path) -> None:
    copy = shutil.copytree(run[0], tmp_path / "copy")
    kind = kind_of(load_any(copy / "config.yaml"))
    names = {model: f"models/{model}/fold0-member1.safetensors" for model in ("gan", "conditional", "mixture")}
    shutil.copy(copy / names["mixture"], copy / names["gan"])
    wider = kind_of(small(models=SMALL["models"] | {"conditional": SMALL["models"]["conditional"] | {"latent": 9}}))
    assert wider.check_models(copy)[names["conditional"]] == "has `latent` 8; config.yaml says 9"
    tensors, metadata = read_tensors(copy / names["conditional"])
    write_tensors(copy / names["conditional"], tensors | {"branch.weight": tensors["body.0.weight"].clone()}, metadata)
    found = kind.check_models(copy)
    assert found[names["gan"]] == "is a model of the kind mixture; config.yaml says gan"
    assert "branch.weight" in found[names["conditional"]]
    assert sorted(name for name, problem in found.items() if problem) == sorted([names["gan"], names["conditional"]])
