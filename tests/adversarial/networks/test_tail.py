"""The tail's factors by hand, through the losses, and what must not change because of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hepda.adversarial import Head, Network, Reversal, Trainer, TrainSettings, mlp
from hepda.adversarial.methods import Comparison, build
from hepda.adversarial.methods.heads import Pivot
from hepda.adversarial.networks.tail import Tail, signal_efficiency
from hepda.errors import ConfigError
from tests.adversarial.toys import network, shifted
from tests.adversarial.training.test_objective import N, rows, whole

SETTINGS = {"rows": "background", "weight": "domain", "input": "class", "inputs": 1}


def test_efficiency_counts_signed_weights_above() -> None:
    source = torch.tensor([3.0, 1.0, 2.0, 0.0, 9.0])
    signal = torch.tensor([1.0, 2.0, -0.5, 0.0, 0.0])  # the last two are background
    score = torch.tensor([9.5, 3.0, 2.5, 2.0, 1.5, 1.0, 0.5, -4.0])
    expected = torch.tensor([0.0, 0.0, 0.4, 0.4, 0.2, 0.2, 1.0, 1.0])
    assert torch.allclose(signal_efficiency(score, source, signal), expected)
    slow = [(signal * (source > s)).sum() / signal.sum() for s in score]
    assert torch.allclose(torch.stack(slow), expected)


def test_factors_are_the_formula_and_know_the_order_alone() -> None:
    rng = np.random.default_rng(1)
    source, score = (torch.tensor(rng.normal(size=50)) for _ in range(2))
    signal = torch.tensor(rng.normal(1.0, 0.8, 50) * (rng.random(50) < 0.5))
    tail = Tail(0.3, floor=0.1, width=0.2)
    factors = tail.factors(score, source, signal)
    u = np.array([float((signal * (source > s)).sum() / signal.sum()) for s in score])
    assert factors.numpy() == pytest.approx(0.1 + 0.9 / (1.0 + np.exp((u - 0.3) / 0.06)))
    assert torch.equal(tail.factors(score.sigmoid(), source.sigmoid(), signal), factors)
    assert torch.allclose(tail.factors(score, source, 7.0 * signal), factors)
    # on the cut, far above, far below
    cut = Tail(0.5).factors(torch.tensor([0.5, 9.0, -9.0]), torch.tensor([0.0, 1.0]), torch.ones(2))
    assert cut.tolist() == pytest.approx([0.525, 1.0, 0.05], abs=1e-4)


@pytest.mark.parametrize("signal", [[0.0, 0.0], [1.0, -1.0], [0.5, -1.0]])
def test_without_signal_every_row_counts(signal: list[float]) -> None:
    factors = Tail(0.2).factors(torch.tensor([-5.0, 0.5, 5.0]), torch.tensor([0.0, 1.0]), torch.tensor(signal))
    assert factors.tolist() == pytest.approx([1.0] * 3, abs=1e-4)


def test_the_domain_loss_is_the_formula_written_out() -> None:
    source, target = rows()
    fields = dict(SETTINGS)
    head = Head(
        "domain", mlp(fields.pop("inputs"), [5], 1), reversal=Reversal(1.0, "constant"), tail=Tail(0.4), **fields
    )
    net = Network(mlp(3, [4]), [Head("class", mlp(4, [], 1), weight="class"), head], normalization=None).double()
    objective, batch = whole(net, source, target)
    objective.advance(1.0, 2.0)
    losses = objective(batch)
    with torch.no_grad():
        logit = net(batch.features)["class"][:, 0]
        q = torch.sigmoid(net(batch.features)["domain"][:, 0])
    label, weight = torch.tensor(source.targets["class"]), torch.tensor(source.weights["class"])
    above = (weight * (label == 1) * (logit[:N] > logit[:, None])).sum(dim=1) / (weight * (label == 1)).sum()
    f = 0.05 + 0.95 / (1.0 + torch.exp((above - 0.4) / 0.04))
    s = torch.tensor(source.weights["domain"] * source.masks["background"])
    t = torch.tensor(target.weights["domain"])
    s, t = f[:N] * s / s.sum(), f[N:] * t / t.sum()
    loss = ((s * -(1 - q[:N]).log()).sum() + (t * -q[N:].log()).sum()) / (s.abs().sum() + t.abs().sum())
    assert losses.adversary is not None
    assert losses.adversary.item() == pytest.approx(float(loss))
    assert f.max() > 0.9 and f.min() < 0.1
    # validation rows come domain by domain, without the signal beside them: they are judged without the tail
    net.eval()
    weights = batch.columns[:, objective.layouts["domain"].weight]
    assert objective.meters(batch)["domain"][1].item() == pytest.approx(float(weights.abs().sum()))


def test_strength_zero_is_no_adversary_to_the_last_bit() -> None:
    source, target = shifted(600)
    with_tail = network(reversal=Reversal(0.0), tail=Tail(0.3))
    without = network(domain=False)
    for net in (with_tail, without):
        Trainer(epochs=2, batch_size=128, seed=3, device="cpu").fit(net, source, target)
    assert np.array_equal(with_tail.predict(source.features), without.predict(source.features))


def test_it_trains_on_the_score_and_is_another_training() -> None:
    source, target = shifted(600)
    scores = {}
    for name, tail in {"all": None, "tail": Tail(0.3), "wide": Tail(0.9, floor=1.0)}.items():
        heads, _ = build(Pivot(schedule="constant"), Comparison(16, rows="background", weight="domain"))
        net = network(domain=False)
        net = Network(net.encoder, [net.heads["class"], replace(heads[0], tail=tail)])
        torch.manual_seed(0)
        for parameter in heads[0].module.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        history = Trainer(epochs=3, batch_size=128, seed=3, device="cpu").fit(net, source, target)
        assert np.isfinite(history["domain_loss"]).all() and history["domain_gradient"][0] > 0.0
        scores[name] = net.predict(source.features)
    assert np.abs(scores["tail"] - scores["all"]).max() > 1e-3
    assert np.abs(scores["wide"] - scores["all"]).max() < 1e-5  # a floor of 1 is no tail


def test_a_saved_head_keeps_its_tail(tmp_path: Path) -> None:
    net = network(tail=Tail(0.2, floor=0.3))
    net.save(tmp_path / "a.safetensors")
    assert Network.load(tmp_path / "a.safetensors").heads["domain"].tail == Tail(0.2, floor=0.3)
    settings = TrainSettings()
    assert settings.fingerprint(net) != settings.fingerprint(network())


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        Tail(1.0)
    with pytest.raises(ConfigError, match="floor"):
        Tail(0.3, floor=2.0)
    main = Head("class", mlp(4, [], 3), loss="multiclass")
    with pytest.raises(ConfigError, match="needs a main head that is binary"):
        Network(mlp(3, [4]), [main, Head("domain", mlp(4, [], 1), reversal=Reversal(), tail=Tail(0.3))])
