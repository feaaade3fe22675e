from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from hepda.adversarial import Head, Network, Reversal, Standardize, Trainer, mlp, seeded, tensor_files
from hepda.adversarial.networks.losses import mixture, mixture_parameters, multiclass
from hepda.adversarial.tensor_files import read_tensors, write_tensors
from hepda.adversarial.training.checkpoint import read_checkpoint
from hepda.errors import ConfigError, DataError, HepdaError, SourceError, StorageError
from hepda.speech.dataset.material import read_material
from tests.adversarial.toys import network, shifted


def many_heads() -> Network:
    with seeded(2):
        return Network(
            mlp(5, [8, 6], activation="gelu", dropout=0.1),
            [
                Head("class", mlp(6, [], 3), loss="multiclass"),
                Head("mass", mlp(6, [4], 1), loss="regression"),
                Head("z", mlp(3, [4], 6), loss="mixture", input="class", reversal=Reversal(0.5)),
                Head("domain", mlp(18, [4], 1, spectral_norm=True), input="features*class", reversal=Reversal()),
            ],
            metadata={"features": list("abcde")},
        )


def test_predictions_of_every_kind_of_head() -> None:
    x = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    net = many_heads()
    assert net.predict(x).shape == (50, 3)
    assert np.allclose(net.predict(x).sum(1), 1, atol=1e-6)
    assert net.predict(x, "mass").shape == net.predict(x, "z").shape == net.predict(x, "domain").shape == (50,)
    assert net.predict(x, "z", raw=True).shape == (50, 6)
    assert net.embed(x).shape == (50, 6)
    # batch by batch is all at once, and the mode the network was in comes back
    assert np.allclose(net.predict(x, batch=7), net.predict(x), atol=1e-6)
    assert net.training
    with pytest.raises(ConfigError, match="Did you mean 'domain'"):
        net.predict(x, "domian")


def test_saved_and_loaded_is_the_same_network(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    net = many_heads()
    net.normalization.fit(torch.from_numpy(x * 3 + 1))  # type: ignore[union-attr,operator]
    file = tmp_path / "model.safetensors"
    net.save(file)
    again = Network.load(file)
    for head in net.heads:
        assert np.array_equal(again.predict(x, head, raw=True), net.predict(x, head, raw=True))
    assert again.metadata == {"features": list("abcde")}
    assert again.heads["z"].reversal == Reversal(0.5)
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_an_encoder_of_one_s_own_is_given_back(tmp_path: Path) -> None:
    def made() -> Network:
        encoder = torch.nn.Sequential(torch.nn.Conv1d(1, 4, 3), torch.nn.Flatten())
        return Network(encoder, [Head("class", mlp(12, [], 1))])

    net, file = made(), tmp_path / "model.safetensors"
    assert net.normalization is None
    net.save(file)
    x = np.zeros((4, 1, 5), dtype=np.float32)
    with pytest.raises(SourceError, match="build it and give it"):
        Network.load(file)
    assert np.array_equal(Network.load(file, encoder=made().encoder).predict(x), net.predict(x))


def test_what_is_not_a_saved_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        Network.load(tmp_path / "nothing")
    save_file({"a": torch.ones(1)}, tmp_path / "other")
    with pytest.raises(SourceError, match="not a network"):
        Network.load(tmp_path / "other")


def test_the_normalization_is_inside_and_counts_absolute_weights() -> None:
    x = np.random.default_rng(0).normal(3.0, 2.0, size=(1000, 3)).astype(np.float32)
    x[:, 2] = 7.0
    weight = torch.from_numpy(np.random.default_rng(1).normal(0.5, 1.0, 1000))
    layer = Standardize(3).fit(torch.from_numpy(x), weight, chunk=64)
    w = weight.abs().numpy()
    mean = np.average(x.astype(float), axis=0, weights=w)
    width = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=w))
    assert np.allclose(layer.mean.numpy(), mean, rtol=1e-6)
    assert np.allclose(layer.scale.numpy()[:2], 1 / width[:2], rtol=1e-6)
    assert layer.scale[2] == 1.0  # a column that never varies
    assert torch.allclose(layer(torch.from_numpy(x))[:, 2], torch.zeros(1000), atol=1e-5)
    with pytest.raises(DataError, match="no rows with a weight"):
        Standardize(3).fit(torch.from_numpy(x), torch.zeros(1000))


def test_heads_that_cannot_be() -> None:
    body, head = mlp(3, [4]), mlp(4, [], 1)
    with pytest.raises(ConfigError, match="Did you mean 'binary'"):
        Head("class", head, loss="binar")
    with pytest.raises(ConfigError, match="same name"):
        Network(body, [Head("a", head), Head("a", head)])
    with pytest.raises(ConfigError, match="not reversed"):
        Network(body, [Head("domain", head, reversal=Reversal())])
    with pytest.raises(ConfigError, match="which is no head"):
        Network(body, [Head("a", head), Head("b", head, input="c")])
    with pytest.raises(ConfigError, match="itself reads"):
        Network(body, [Head("a", head), Head("b", head, input="a"), Head("c", head, input="b")])
    with pytest.raises(ConfigError, match="steps"):
        Head("a", head, steps=2)
    with pytest.raises(ConfigError, match="cannot be called"):
        Head("two words", head)
    with pytest.raises(ConfigError, match="relu"):
        mlp(3, [4], activation="rely")
    with pytest.raises(ConfigError, match="dropout"):
        mlp(3, [4], dropout=1.0)
    with pytest.raises(ConfigError, match="width"):
        mlp(0, [4])


def test_mixture_density_is_normalised_and_is_scipy_s() -> None:
    raw = torch.randn(1, 6, dtype=torch.float64)
    grid = torch.linspace(-60, 60, 60001, dtype=torch.float64)
    density = torch.exp(-mixture(raw.expand(len(grid), 6), grid[:, None]))
    assert float(density.sum() * (grid[1] - grid[0])) == pytest.approx(1.0, rel=1e-4)
    log_weight, mean, log_width = mixture_parameters(raw)
    by_hand = sum(
        float(torch.exp(log_weight[0, k]))
        * np.exp(-0.5 * ((0.3 - float(mean[0, k])) / np.exp(float(log_width[0, k]))) ** 2)
        / (np.sqrt(2 * np.pi) * np.exp(float(log_width[0, k])))
        for k in range(2)
    )
    assert mixture(raw, torch.tensor([[0.3]])).item() == pytest.approx(-np.log(by_hand))


def test_label_smoothing_is_the_mean_over_classes() -> None:
    logits, label = torch.randn(5, 3), torch.tensor([[0.0], [1.0], [2.0], [0.0], [1.0]])
    plain = multiclass(logits, label)
    even = -torch.log_softmax(logits, 1).mean(1)
    assert torch.allclose(multiclass(logits, label, 0.3), 0.7 * plain + 0.3 * even, atol=1e-6)


@pytest.mark.slow
def test_the_core_needs_no_scikit_learn_until_an_estimator_is_asked_for() -> None:
    code = (
        "import sys, hepda.adversarial as core\n"
        "assert 'sklearn' not in sys.modules\n"
        "core.DANNClassifier\n"
        "assert 'sklearn' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_steps_rate_and_penalty_of_an_adversary_change_what_it_learns() -> None:
    source, target = shifted(600)
    trainer = Trainer(epochs=2, batch_size=200, device="cpu")
    plain = network()
    trainer.fit(plain, source, target)
    for change in (
        {"steps": 3},
        {"rate": 3.0},
        {"gradient_penalty": 1.0},
        {"smoothing": 0.3},
        {"scale": 2.0},
    ):
        net = network(**change)
        trainer.fit(net, source, target)
        assert not np.array_equal(net.predict(source.features), plain.predict(source.features)), change


def crafted(path: Path, change: Callable[[dict[str, Any]], None], **tensors: torch.Tensor) -> None:
    """A saved network whose description is another one than its weights have."""
    Network(mlp(3, [4]), [Head("class", mlp(4, [], 1))], metadata={"features": ["a", "b", "c"]}).save(path)
    stored, metadata = read_tensors(path)
    parts = json.loads(metadata["network"])
    change(parts)
    save_file(stored | tensors, path, {"network": json.dumps(parts)})


def put(value: Any, *keys: Any) -> Callable[[dict[str, Any]], None]:
    def change(parts: Any) -> None:
        for key in keys[:-1]:
            parts = parts[key]
        parts[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        put(10**9, "encoder", "inputs"), put([10**9], "encoder", "widths"), put([1] * 10**5, "encoder", "widths"),
        put(10**12, "normalization"), put(2, "normalization"), put(-1, "normalization"), put("x", "encoder", "widths"),
        put(None, "heads"), put([], "heads", 0, "module", "widths"), put({}, "heads", 0), put(1, "heads", 0, "colour"),
        put({"no": 1}, "heads", 0, "reversal"), put(5, "metadata"), put("prelu", "encoder", "activation"),
    ],
)  # fmt: skip
def test_a_description_is_compared_with_the_weights_before_anything_is_built(
    tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    """A header that describes 10^9 units asked for 4 GB for every column, before its weights were looked at."""
    path = tmp_path / "a.safetensors"
    crafted(path, change)
    with pytest.raises(HepdaError, match=r"a\.safetensors|head"):
        Network.load(path)


@pytest.mark.parametrize("size", [0, 4, 100, -1])
@pytest.mark.parametrize("read", [Network.load, read_checkpoint, read_material, read_tensors])
def test_truncated_and_foreign_files_are_named(tmp_path: Path, size: int, read: Callable[[Path], Any]) -> None:
    path = tmp_path / "a.safetensors"
    crafted(path, lambda parts: None)
    path.write_bytes(path.read_bytes()[:size])
    argument = path
    if read is read_material:
        argument, path = tmp_path, path.rename(tmp_path / "material.safetensors")
    with pytest.raises(SourceError, match=rf"{path.name} cannot be read as a file that hepda wrote"):
        read(argument)
    save_file({"a": torch.ones(1)}, path)
    if read is not read_tensors:
        with pytest.raises(SourceError, match=path.name):
            read(argument)


def test_weights_of_another_name_are_no_part_of_the_network(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    crafted(path, lambda parts: None, more=torch.ones(2))
    with pytest.raises(SourceError, match=r"more is \(2,\), not part of it"):
        Network.load(path)


def test_files_follow_the_umask_and_leave_nothing_where_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """safetensors makes files that their owner alone may read, and has an error of its own for a full disk."""
    old = os.umask(0o027)
    try:
        write_tensors(tmp_path / "a", {"a": torch.ones(1)}, {})
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    with pytest.raises(StorageError, match=r"cannot be written.*make space"):
        _on_a_full_disk(tmp_path, monkeypatch)
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def _on_a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(tensor_files, "save_file", full)
    write_tensors(folder / "b", {"b": torch.ones(1)}, {})
