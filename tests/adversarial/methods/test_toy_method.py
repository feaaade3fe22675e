"""A method of adaptation is one file, this one, and a line of METHODS: `hepda train` takes it by its name."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from hepda.adversarial.methods import METHODS, Comparison, Method
from hepda.adversarial.methods.method import Parts
from hepda.adversarial.networks.term import Term, View
from hepda.cli import main
from hepda.runtime.run_directory import read_history
from hepda.tabular import figures
from tests.tabular.factory import write_analysis


class MeanDistance(Term):
    """The squared distance of the mean features of both domains, to some power."""

    def __init__(self, power: float, **settings: Any) -> None:
        super().__init__("mean_distance", **settings)
        self.power = power

    def forward(self, view: View, strength: Tensor) -> Tensor:
        source, target = (features.mean(dim=0) for features in view.features)
        return (source - target).square().sum() ** self.power


@dataclass(frozen=True, kw_only=True)
class ToyMethod(Method):
    """Means of the features."""

    name = "toy"
    summary = "means of the features"

    power: float = 1.0

    def build(self, comparison: Comparison) -> Parts:
        return [], [MeanDistance(self.power, **self.term_settings(comparison))]


def test_a_toy_method_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(figures, "FIGURES", {})
    models = {name: {"kind": "network", "encoder": [4], "domain": {"method": "toy", "strength": strength}}
              for name, strength in (("weak", 1e-6), ("strong", 20.0))}  # fmt: skip
    path = write_analysis(
        tmp_path, models=models, weight=None,
        training={"epochs": 10, "batch_size": 64, "learning_rate": 0.02, "processes": 1},
        evaluation={"bootstrap": 10, "permutations": 20, "probes": False},
    )  # fmt: skip
    assert main(["check", "--config", str(path)]) == 2
    assert "'toy' is not a method for tabular" in capsys.readouterr().err
    monkeypatch.setitem(METHODS, ToyMethod.name, ToyMethod)
    assert main(["train", "--config", str(path), "--output", str(tmp_path / "run")]) == 0
    histories = read_history(tmp_path / "run" / "history.csv")
    last = {name: histories[f"{name}-fold0-member0"]["mean_distance_loss"][-1] for name in models}
    assert last["strong"] is not None and last["weak"] is not None and last["strong"] < 0.5 * last["weak"]
