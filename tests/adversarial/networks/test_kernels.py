from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from hepda.adversarial import Trainer, TrainSettings
from hepda.adversarial.networks import kernels, products
from hepda.adversarial.networks.products import PRODUCTS
from hepda.errors import ConfigError
from tests.adversarial.networks.passes import assert_near, exact, made, passes, present
from tests.adversarial.toys import network, shifted


def test_bfloat16_is_what_autocast_gives() -> None:
    module, x = made()
    exact = passes(module, x)
    with torch.autocast("cpu", torch.bfloat16):
        expected = passes(module, x)
        with kernels.Fast(module, PRODUCTS["bfloat16"]):
            actual = passes(module, x)
    assert actual[0].dtype == torch.bfloat16
    assert {gradient.dtype for gradient in actual[1:]} == {torch.float32}
    assert_near(actual, expected, 0.001)
    assert_near(actual, exact, 0.15)
    assert not torch.allclose(actual[1], exact[1], rtol=1e-4, atol=1e-6)  # it is not float32 in disguise


@exact
def test_under_autocast_the_parameters_keep_their_type(name: str) -> None:
    module, x = made()
    with kernels.Fast(module, PRODUCTS[name]), torch.autocast("cpu", torch.bfloat16):
        actual = passes(module, x)
    assert {gradient.dtype for gradient in actual[1:]} == {torch.float32}
    assert_near(actual, passes(module, x), 0.15)


@present
@pytest.mark.parametrize("change", [{}, {"gradient_penalty": 1.0}])
def test_a_training_is_the_same_but_for_rounding(change: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = shifted(600)
    trainer = Trainer(epochs=2, batch_size=200, device="cpu")
    nets = [network(**change) for _ in range(3)]
    for net, name in zip(nets, ("plain", "onednn", "plain"), strict=True):
        if net is nets[2]:  # every layer by itself, as torch does it
            monkeypatch.setattr(kernels, "parts", lambda module, products: list(module))
            monkeypatch.setattr(kernels, "joined", lambda *modules: None)
        Trainer(trainer.settings, kernels=name).fit(net, source, target)
    for a, b in pairwise(nets):
        assert np.abs(a.predict(source.features) - b.predict(source.features)).max() < 1e-4


def test_a_training_in_bfloat16_is_close_to_one_in_float32() -> None:
    source, target = shifted(600)
    trainer = Trainer(epochs=4, batch_size=200, device="cpu", kernels="plain")
    a, b = network(), network()
    trainer.fit(a, source, target)
    Trainer(trainer.settings, precision="bfloat16", kernels="auto").fit(b, source, target)
    difference = np.abs(a.predict(source.features) - b.predict(source.features)).max()
    assert 1e-6 < difference < 0.05
    assert {p.dtype for p in b.parameters()} == {torch.float32}


def test_nothing_changes_where_the_operator_is_missing_or_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(x: torch.Tensor, *rest: object) -> torch.Tensor:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(products, "multiply", wrong)
    assert not kernels.agrees()
    monkeypatch.setattr(products, "multiply", lambda x, w, b, after: x @ w.t())
    assert not kernels.agrees()


@present
def test_the_choice_is_asked_once_and_has_a_margin() -> None:
    assert kernels.worthwhile() is kernels.worthwhile()
    assert kernels.MARGIN > 1.1
    before = torch.get_num_threads(), torch.get_rng_state()
    assert kernels.gain(2) > 0.0
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_what_kernels_cannot_be() -> None:
    with pytest.raises(ConfigError, match="onednn"):
        Trainer(kernels="mkl")
    with pytest.raises(ConfigError, match="float32"):
        Trainer(kernels="onednn", precision="bfloat16")


@pytest.mark.parametrize("faster", [True, False])
def test_a_trainer_passes_its_choice_on(faster: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hepda.adversarial.training.settings.worthwhile", lambda: faster)
    settings = TrainSettings(device="cpu")
    chosen = settings.with_kernels()
    assert chosen == replace(settings, kernels="onednn" if faster else "plain")
    monkeypatch.setattr(
        "hepda.adversarial.training.settings.worthwhile", lambda: not faster
    )  # as another process may measure
    assert chosen.with_kernels() is chosen
    for change in ({"kernels": "plain"}, {"precision": "float64"}, {"precision": "bfloat16"}):
        assert replace(settings, **change).with_kernels() == replace(settings, **change)


@present
def test_a_resumed_training_keeps_to_its_kernels(tmp_path: Path) -> None:
    """Whatever is chosen when it goes on."""
    source, target = shifted(600)
    trainer = Trainer(epochs=4, batch_size=200, device="cpu", kernels="onednn")
    uninterrupted, parts = network(), network()
    trainer.fit(uninterrupted, source, target)
    file = tmp_path / "checkpoint"

    def stop(history: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.fit(parts, source, target, checkpoint=file, on_epoch=stop)
    parts = network()
    Trainer(trainer.settings, kernels="plain").fit(parts, source, target, checkpoint=file, resume=True)
    assert np.array_equal(parts.predict(source.features), uninterrupted.predict(source.features))


def test_bfloat16_is_refused_where_the_processor_emulates_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    source, target = shifted(100)
    trainer = Trainer(epochs=1, batch_size=50, device="cpu", precision="bfloat16")
    for known, allowed in (
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False}, False),
        ({"avx2": True, "avx512_bf16": True}, True),
        ({"neon": True, "bf16": True}, True),
        ({"neon": True, "bf16": False}, False),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda known=known: known)
        if allowed:
            assert trainer.fit(network(), source, target).epochs == 1
        else:
            with pytest.raises(ConfigError, match=r"emulates.*float32"):
                trainer.fit(network(), source, target)
    TrainSettings(precision="bfloat16", device="cuda").check_precision()  # only of the processor
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # an older torch
    assert products.multiplies_bfloat16()
