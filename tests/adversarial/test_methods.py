"""A new method is one file with a class, and one line in the registry."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from hepda.adversarial import DANNClassifier
from hepda.adversarial.methods import METHODS, Comparison, Method, Parts, build, methods_of
from hepda.adversarial.methods.alignment import MeanDiscrepancy
from hepda.adversarial.networks.term import Term, View, shares
from hepda.config.models import DomainConfig, method_union
from hepda.errors import ConfigError

# ---- the file ----


class MeanShift(Term):
    """Distance of the weighted means of the features to some power."""

    def __init__(self, power: float, **settings: Any) -> None:
        super().__init__("means", **settings)
        self.power = power

    def forward(self, view: View, strength: Tensor) -> Tensor:
        """Return `|mean_s - mean_t|^power`."""
        (source, target), (p, q) = view.features, view.weights
        return (shares(p) @ source - shares(q) @ target).norm() ** self.power


@dataclass(frozen=True, kw_only=True)
class Means(Method):
    """Pull the means of the features together."""

    name = "means"
    summary = "means of the features"

    power: float = 2.0

    def build(self, comparison: Comparison) -> Parts:
        """Return the term."""
        return [], [MeanShift(self.power, **self.term_settings(comparison))]


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, Means.name, Means)  # the line


def test_a_new_method_is_there_by_name_with_its_fields(registered: None) -> None:
    rng = np.random.default_rng(0)
    x, other = rng.normal(size=(300, 3)), rng.normal(size=(300, 3)) + 1.0
    settings: dict[str, Any] = {"encoder": (8,), "epochs": 3, "device": "cpu", "random_state": 0}
    named = DANNClassifier(**settings, method="means").fit(x, x[:, 0] > 0, X_target=other)
    assert np.isfinite(named.history_["means_loss"][-1])
    steep = DANNClassifier(**settings, method=Means(power=4.0)).fit(x, x[:, 0] > 0, X_target=other)
    assert not np.array_equal(named.decision_function(x), steep.decision_function(x))
    section = TypeAdapter(method_union(METHODS)).validate_python({"name": "means", "power": 3.0})
    assert methods_of(section.name, **section.settings()) == [Means(power=3.0)]
    with pytest.raises(ValidationError, match="powr"):
        TypeAdapter(method_union(METHODS)).validate_python({"name": "means", "powr": 3.0})


def domain(**keys: Any) -> DomainConfig:
    return DomainConfig.model_validate({"source": ["a"], "target": ["b"], **keys})


def test_the_analysis_file_names_a_method_or_gives_it_settings() -> None:
    assert domain(method="mmd", strength=2.0).methods() == [MeanDiscrepancy(strength=2.0)]
    section = domain(method={"name": "mmd", "width": 2.0}, strength=3.0)
    assert section.method_name == "mmd"
    assert section.methods() == [MeanDiscrepancy(strength=3.0, width=2.0)]
    assert [method.name for method in domain(method="dann,pseudo", head=[8]).methods()] == ["dann", "pseudo"]
    assert domain(method="dann", head=[8], learning_rate_factor=0.5).methods()[0].rate == 0.5  # type: ignore[attr-defined]
    assert DomainConfig.model_validate(section.model_dump()).methods() == section.methods()
    for wrong in ({"name": "mmd", "radius": 1.0}, {"name": "mdm"}, {"width": 2.0}):
        with pytest.raises(ValidationError):
            domain(method=wrong)


def test_every_method_is_described_and_has_settings_of_its_own_type() -> None:
    for name, method in METHODS.items():
        assert method.name == name and method.summary
        assert dataclasses.is_dataclass(method())
    with pytest.raises(ConfigError, match="Did you mean 'dann'"):
        build("dan", Comparison(4))
