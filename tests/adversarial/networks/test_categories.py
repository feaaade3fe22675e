"""Columns of categories in a network: a vector for each value, learnt, saved and read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hepda.adversarial import DomainRows, Head, Network, Trainer, TrainSettings, categorical_encoder, mlp, seeded
from hepda.adversarial.networks.layers import CategoricalEncoder, EmbeddedColumns, embedding_width
from hepda.errors import SourceError

VALUES = (11, 13, 22, -1)


def rows(n: int = 600, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    index = torch.randint(0, len(VALUES), (n,), generator=generator)
    x = torch.stack([torch.randn(n, generator=generator) * 5 + 2, torch.tensor(VALUES)[index].float()], dim=1)
    return x, (index % 2).float()


def test_a_value_has_its_vector_and_all_others_have_one() -> None:
    columns = EmbeddedColumns(2, {1: VALUES})
    x, _ = rows()
    columns.fit(x)
    width = embedding_width(len(VALUES))
    out = columns(torch.tensor([[2.0, 22.0], [2.0, 5.0], [2.0, -7.0]]))
    assert out.shape == (3, 1 + width) == (3, columns.outputs)
    vectors = columns.vectors["1"]
    torch.testing.assert_close(out[0, 1:], vectors[2])
    torch.testing.assert_close(out[1, 1:], vectors[4])
    torch.testing.assert_close(out[1], out[2])
    scaled = columns(x)[:, 0].detach()
    assert abs(float(scaled.mean())) < 1e-5
    assert float(scaled.std()) == pytest.approx(1, abs=1e-2)


def test_only_categories_and_no_numbers() -> None:
    columns = EmbeddedColumns(1, {0: VALUES})
    columns.fit(rows()[0][:, 1:])
    assert columns(rows()[0][:, 1:]).shape == (600, columns.outputs)


def test_a_network_learns_what_the_order_of_the_values_hides(tmp_path: Path) -> None:
    x, label = rows()
    with seeded(1):
        encoder = categorical_encoder(2, {1: VALUES}, [8])
        network = Network(encoder, [Head("class", mlp(8, (), 1))], metadata={"features": ["a", "b"]})
    before = encoder.columns.vectors["1"].detach().clone()
    settings = TrainSettings(epochs=12, batch_size=64, learning_rate=0.02, seed=1)
    Trainer(settings=settings).fit(network, DomainRows(x, {"class": label}))
    assert not torch.equal(before, encoder.columns.vectors["1"])
    held_out, truth = rows(seed=3)
    score = network.predict(held_out)
    assert np.mean((score > 0.5) == truth.numpy().astype(bool)) > 0.97
    network.save(tmp_path / "n.safetensors")
    again = Network.load(tmp_path / "n.safetensors")
    assert isinstance(again.encoder, CategoricalEncoder)
    assert again.encoder.inputs == 2
    np.testing.assert_array_equal(again.predict(held_out), score)


def test_a_description_of_other_columns_is_refused(tmp_path: Path) -> None:
    network = Network(categorical_encoder(2, {1: VALUES}, [4]), [Head("class", mlp(4, (), 1))])
    encoder = network.encoder
    assert isinstance(encoder, CategoricalEncoder)
    for change in ({"columns": 1}, {"columns": 10**9}, {"categories": {"1": [1, 2]}}):
        encoder.spec = encoder.spec | change
        network.save(tmp_path / "n.safetensors")
        with pytest.raises(SourceError):
            Network.load(tmp_path / "n.safetensors")
        encoder.spec = {**encoder.spec, "columns": 2, "categories": {"1": list(VALUES)}}
