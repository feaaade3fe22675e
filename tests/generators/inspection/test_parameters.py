"""Parameters of a file against those of its settings: every difference is told in words, and its size is right."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from hepda.adversarial.tensor_files import read_tensors, write_tensors
from hepda.generators.images import PixelRows, about
from hepda.generators.inspection.checking import check_models
from hepda.generators.inspection.parameters import parameter_problem
from hepda.generators.model import model_class
from tests.generators.analysis import SMALL, small

EXPECTED = {"a.weight": torch.zeros(3, 2), "a.bias": torch.zeros(3), "scale": torch.tensor(1.0)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"b.weight": torch.zeros(4, 5), "b.bias": torch.zeros(4)},
         "has 2 tensors with 24 numbers that a model of config.yaml does not have: b.bias (4), b.weight (4×5)"),
        ({"a.bias": None}, "lacks 1 tensor of a model of config.yaml: a.bias (3)"),
        ({"a.weight": torch.zeros(2, 3)}, "has a.weight of 2×3; config.yaml says 3×2"),
        ({"scale": torch.zeros(1)}, "has scale of 1; config.yaml says one number"),
        ({"a.weight": torch.zeros(3, 2).half()}, "has a.weight in float16; hepda writes float32"),
        ({"a.bias": torch.tensor([0.0, float("inf"), 0.0])}, "has numbers that are not finite in 1 tensor: a.bias"),
    ],
)  # fmt: skip
def test_a_difference_is_told(change: dict[str, Tensor | None], said: str) -> None:
    saved = {name: value for name, value in (EXPECTED | change).items() if value is not None}
    assert parameter_problem({name: value.to("meta") for name, value in EXPECTED.items()}, saved) == said


def test_many_tensors_are_counted_and_some_are_named() -> None:
    more = {f"x{number}": torch.zeros(2) for number in range(5)}
    said = parameter_problem(EXPECTED, EXPECTED | more)
    assert "5 tensors with 10 numbers" in said and said.endswith("x0 (2), x1 (2), x2 (2), ...")


def test_every_kind_of_model_is_as_its_settings_say_until_it_is_changed(tmp_path: Path) -> None:
    config = small(seeds=1)
    classes = [str(number) for number in range(10)]
    for name, section in config.models.items():
        kind = model_class(section.kind)
        shares = torch.full((10,), 0.1) if section.conditional else torch.empty(0)
        model = kind.described(kind.describe(section, (1, 8, 8), 10), {"shares": shares})
        model.save(tmp_path / "models" / name / "fold0-member0.safetensors", about(PixelRows((0, 255)), classes))
    found = check_models(config, tmp_path)
    assert len(found) == len(SMALL["models"]) and set(found.values()) == {""}
    path = tmp_path / "models" / "gan" / "fold0-member0.safetensors"
    tensors, metadata = read_tensors(path)
    write_tensors(path, tensors | {"body.0.weight": tensors["body.0.weight"].half()}, metadata)
    assert check_models(config, tmp_path)["models/gan/fold0-member0.safetensors"] == (
        "has body.0.weight in float16; hepda writes float32"
    )
