"""A head that predicts a number learns it standardised and predicts it in its units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hepda.adversarial import DomainRows, Head, Network, Trainer, mlp, seeded
from hepda.adversarial.methods import Comparison, build, methods_of
from hepda.adversarial.networks.layers import TargetScale
from hepda.adversarial.training.selection import source_loss
from hepda.errors import ConfigError, DataError

STRENGTH = {"mmd": 30.0, "coral": 30.0, "cramer": 10.0}


def network(loss: str = "regression", method: str | None = None, strength: float = 1.0) -> Network:
    with seeded(3):
        heads = [Head("value", mlp(8, (), 1), loss=loss, standardise=True)]
        terms = []
        if method is not None:
            more, terms = build(methods_of(method, strength=strength), Comparison(8, 1, main="value"))
            heads += more
        return Network(mlp(2, (8,)), heads, terms=terms)


def rows(n: int, seed: int, shift: float = 0.0) -> DomainRows:
    """A number of thousands, with a small width, that follows from the features."""
    rng = np.random.default_rng(seed)
    features = rng.normal(shift, 1.0, (n, 2)).astype(np.float32)
    return DomainRows(features, {"value": 5000.0 + 40.0 * features[:, 0] + rng.normal(0, 4, n)})


def test_mean_and_width_are_weighted_and_kept() -> None:
    scale = TargetScale().fit(torch.tensor([[1.0], [3.0], [100.0]]), torch.tensor([3.0, -1.0, 0.0]))
    assert float(scale.mean) == pytest.approx(1.5)  # absolute weights
    assert float(scale.width) == pytest.approx(np.sqrt(0.75))
    values = torch.tensor([[2.0], [-7.0]])
    torch.testing.assert_close(scale(scale.standardised(values)), values)
    assert float(TargetScale().fit(torch.full((4, 1), 7.0), torch.ones(4)).width) == 1.0
    with pytest.raises(DataError, match="no row with a target has a weight"):
        TargetScale().fit(torch.ones(2, 1), torch.zeros(2))


@pytest.mark.parametrize("loss", ["regression", "absolute"])
def test_predictions_have_units_and_survive_the_file(loss: str, tmp_path: Path) -> None:
    trained, source, held_out = network(loss), rows(2000, 1), rows(500, 2)
    settings = {"epochs": 30, "batch_size": 250, "learning_rate": 0.02, "patience": 30, "seed": 1}
    history = Trainer(**settings).fit(trained, source, validation=(held_out, None))
    predicted = trained.predict(held_out.features)
    assert np.std(predicted - held_out.targets["value"]) < 8.0
    assert 4990 < np.mean(predicted) < 5010
    assert history.columns["value_loss"][-1] < 0.2  # in widths
    raw = trained.predict(held_out.features, raw=True)
    assert abs(np.mean(raw)) < 0.3 and 0.5 < np.std(raw) < 1.5
    trained.save(tmp_path / "n.safetensors")
    again = Network.load(tmp_path / "n.safetensors")
    np.testing.assert_allclose(again.predict(held_out.features), predicted, rtol=1e-6)
    # the criterion of the best epoch is the loss of the validation rows
    worse = DomainRows(held_out.features, {"value": held_out.targets["value"] + 60.0})
    assert source_loss(trained, held_out) > source_loss(trained, worse)
    assert -source_loss(trained, held_out) == pytest.approx(history.columns["validation_value_loss"][-1], rel=0.5)


@pytest.mark.parametrize("method", list(STRENGTH))
def test_a_domain_loss_acts_on_the_embedding_of_a_number(method: str) -> None:
    """Of two features that tell the number, the sharper one is wrong in the target: it is used less."""

    def drawn(seed: int, wrong: float) -> tuple[DomainRows, NDArray[np.float64]]:
        rng = np.random.default_rng(seed)
        true = rng.normal(0.0, 1.0, 800)
        pair = np.stack([true + rng.normal(wrong, 0.2, 800), true + rng.normal(0.0, 0.5, 800)], axis=1)
        number = 5000.0 + 40.0 * true
        return DomainRows(pair.astype(np.float32), {"value": number}), number

    (source, _), (other, truth) = drawn(1, 0.0), drawn(2, 1.0)

    def bias(strength: float) -> float:
        trained = network(method=method, strength=strength)
        target = DomainRows(other.features)
        Trainer(epochs=30, batch_size=200, learning_rate=0.01, seed=2).fit(trained, source, target)
        return float(np.mean(trained.predict(other.features) - truth))

    before = bias(0.0)
    assert before > 20.0
    assert abs(bias(STRENGTH[method])) < 0.7 * before


def test_a_head_of_classes_has_no_units() -> None:
    with pytest.raises(ConfigError, match="has no units to standardise"):
        Head("class", mlp(2, (), 1), loss="binary", standardise=True)


def test_files_of_networks_without_a_number_are_as_before(tmp_path: Path) -> None:
    plain = Network(mlp(2, (4,)), [Head("class", mlp(4, (), 1))])
    assert "standardise" not in plain.heads["class"].spec()
    assert not [name for name in plain.state_dict() if name.startswith("target_scales")]
