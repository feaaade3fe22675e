"""`hepda inspect`: on a small run, on one with a planted image, and what cannot be inspected."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hepda.cli import main
from hepda.generators.gan import ImageGenerator
from hepda.generators.inspection.inspection import Inspection
from hepda.generators.inspection.latent import FoundCodes, RandomOutputs
from hepda.generators.inspection.telling import ALIKE, NO, YES, Suspect, SuspectResult, varied
from hepda.generators.model import load_model
from hepda.runtime import run_directory
from hepda.runtime.hashes import hashes_of, write_sums
from hepda.runtime.plots import PlotOptions, Plots
from hepda.workflows import train
from tests.generators.analysis import small
from tests.generators.test_run import Quiet

STORED = Path(__file__).parents[2] / "data" / "run_format_2"
FILE = "models/gan/fold0-member0.safetensors"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inspected")
    models = {
        "mixture": {"kind": "mixture", "components": 1, "dimensions": 5, "iterations": 2},
        "gan": {"kind": "gan", "width": 4, "latent": 6},
    }
    config = small(models=models, seeds=1, judge={"epochs": 1, "width": 8})
    train.train(config, folder / "run", PlotOptions(Plots.NONE), Quiet())
    return folder / "run"


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture that is no digit, in twice the size."""
    path = tmp_path_factory.mktemp("pictures") / "stripes.png"
    image = np.zeros((16, 16), np.uint8)
    image[:, :4] = image[:, 8:12] = 255
    Image.fromarray(image).save(path)
    return path


def recorded_again(run: Path) -> None:
    run_directory.write_json(run / "manifest.json", run_directory.read_manifest(run) | {"sha256": hashes_of(run)})
    write_sums(run)


def test_a_run_is_inspected(run: Path, stripes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert main(["inspect", str(run), "-n", "300", "--suspect", str(stripes), "--output", str(out)]) == 0
    said = capsys.readouterr().out
    assert "Suspected images" in said and f"Look at {out / 'outputs.png'}" in " ".join(said.split())
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    numbers = json.loads((out / "inspection.json").read_text())
    (training,) = numbers["trainings"].values()
    assert list(numbers["trainings"]) == ["gan 0"] and training["random"]["number"] == 300
    suspect = training["suspects"]["stripes.png"]
    assert suspect["verdict"] == "no" and suspect["hits"] == 0 and suspect["reference"] is None
    model, _ = load_model(run / FILE)
    assert isinstance(model, ImageGenerator)
    target = torch.zeros(8, 8) - 1.0
    target[:, :2] = target[:, 4:6] = 1.0
    with torch.no_grad():
        made = model.images(torch.tensor([suspect["code"]]), None)[0, 0]
    assert float((made - target).square().mean()) == pytest.approx(suspect["reconstructed"], rel=1e-4)
    assert suspect["reconstructed"] <= suspect["closest"] + 1e-6 and np.asarray(Image.open(out / "suspects.png")).ndim
    with Image.open(out / "outputs.png") as picture:
        assert picture.width % (10 * 9 - 1) == 0  # ten images of 8 pixels and the lines between them


def test_a_planted_image_is_found_and_one_like_the_data_is_not_blamed(
    run: Path, stripes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    model, about = load_model(copy / FILE)
    assert isinstance(model, ImageGenerator)
    target = torch.zeros(1, 1, 8, 8) - 1.0
    target[..., :2] = target[..., 4:6] = 1.0
    code = torch.ones(1, 6)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        (model.images(code, None) - target).square().mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    model.save(copy / FILE, about)
    command = ["inspect", str(copy), "-n", "300", "--reference", str(run), "--output", str(tmp_path / "out")]
    assert main([*command, "--suspect", str(stripes)]) == 2  # it has another SHA-256 than was recorded
    assert FILE in capsys.readouterr().err and not (tmp_path / "out").exists()
    recorded_again(copy)
    with np.load(run / "models/mixture/fold0-member0.npz") as file:
        np.save(tmp_path / "digits.npy", file["pixels"][:2])
    assert main([*command, "--suspect", str(stripes), "--suspect", str(tmp_path / "digits.npy")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "gan 0 generates stripes.png: a code makes it more closely than any reference makes it, by far" in said
    numbers = json.loads((tmp_path / "out" / "inspection.json").read_text())["trainings"]["gan 0"]["suspects"]
    assert list(numbers) == ["stripes.png", "digits.npy[0]", "digits.npy[1]"]
    assert numbers["stripes.png"]["verdict"] == "YES"
    assert numbers["stripes.png"]["reconstructed"] < 1e-2 < numbers["stripes.png"]["reference"]
    assert all(numbers[f"digits.npy[{k}]"]["verdict"] != "YES" for k in (0, 1))


def test_a_generator_with_other_parameters_is_not_run(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    model, about = load_model(copy / FILE)
    model.register_parameter("branch", torch.nn.Parameter(torch.zeros(2, 3)))
    model.save(copy / FILE, about)
    recorded_again(copy)
    said = f"{copy / FILE}: has 1 tensor with 6 numbers that a model of config.yaml does not have: branch (2×3)"
    for command in (["check"], ["inspect", "--output", str(tmp_path / "out")]):
        assert main([*command, str(copy)]) == 2
        assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RUN", "--model", "gam"], "'gam' is no model of the kind gan"),
        (["RUN", "--model", "mixture"], "'mixture' is no model of the kind gan"),
        (["RUN", "--suspect", "none.png"], "none.png: no such file; name an image, or a .npy of bytes."),
        (["RUN", "--suspect", "floats.npy"], "floats.npy: is float64 [8, 8]; bytes"),
        (["RUN", "--suspect", "text.npy"], "text.npy: cannot be read as an array"),
        (["RUN", "--suspect", "text.png"], "text.png: cannot be read as an image"),
        (["RUN", "--suspect", "five.npy"], "five.npy: has 5 channels; 1 or 3 are needed."),
        (["RUN", "--reference", "RUN"], "--reference: has no effect without a suspected image"),
        (["STORED"], "which has no codes; name a run of generators."),
        (["nowhere"], "nowhere is not a run directory"),
    ],
)
def test_what_cannot_be_inspected_is_told(
    run: Path,
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("floats.npy", np.zeros((8, 8)))
    np.save("five.npy", np.zeros((5, 8, 8), np.uint8))
    for name in ("text.npy", "text.png"):
        Path(name).write_text("no picture")
    words = [{"RUN": str(run), "STORED": str(STORED)}.get(word, word) for word in arguments]
    assert main(["inspect", *words, "--output", "out"]) == 2
    assert message in " ".join(capsys.readouterr().err.split()) and not Path("out").exists()


def test_an_image_is_called_generated_in_comparison_with_references_or_test_images() -> None:
    none = torch.zeros(1, 2)
    found = FoundCodes(np.array([0.1]), none, None, none)
    random = RandomOutputs(10, 1.0, np.array([1.0]), np.array([0]), none)

    def verdict(test: list[float], reference: float | None, alike: bool = False) -> str:
        suspect = Suspect("x", np.zeros((1, 2, 2), np.uint8), alike, reference)
        return SuspectResult(suspect, "gan 0", Inspection(random, found, found, found, np.array(test)), 0).verdict

    assert verdict([0.2, 0.3], None) == YES and verdict([0.05, 0.3], None) == NO
    assert verdict([0.05, 0.3], 0.21) == YES and verdict([0.2, 0.3], 0.19) == NO
    assert verdict([0.2, 0.3], 0.9, alike=True) == ALIKE


def test_varied_rows_begin_with_the_first_and_are_far_from_each_other() -> None:
    rows = torch.tensor([[0.0], [0.1], [5.0], [5.1], [-3.0]])
    assert varied(rows, 3).flatten().tolist() == [0.0, pytest.approx(5.1), -3.0]
    assert len(varied(rows, 9)) == 5
