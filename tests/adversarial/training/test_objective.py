"""Losses and their gradients against finite differences and against formulas written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hepda.adversarial import DomainRows, Head, Network, Reversal, mlp, seeded
from hepda.adversarial.data.batches import Batch
from hepda.adversarial.networks.tail import Tail
from hepda.adversarial.terms.alignment import Coral
from hepda.adversarial.training.layout import batch_layout
from hepda.adversarial.training.objective import Losses, Objective
from hepda.errors import TrainingError

STRENGTH = 0.7
N = 12


def rows(seed: int = 0, sign: float = 1.0) -> tuple[DomainRows, DomainRows]:
    rng = np.random.default_rng(seed)
    x, other = rng.normal(size=(2, N, 3))
    targets = {
        "class": rng.integers(0, 2, N),
        "kind": rng.integers(0, 3, N),
        "z": rng.normal(size=N),
        "pair": rng.normal(size=(N, 2)),
    }
    weight, mask = rng.normal(1.0, 1.0, N) * sign, rng.random(N) < 0.7
    source = DomainRows(x, targets, {"class": weight, "domain": np.abs(weight) - 0.1}, {"background": mask})
    target_targets = {key: value[::-1].copy() for key, value in targets.items() if key != "class"}
    return source, DomainRows(other, target_targets, {"domain": rng.normal(1.0, 0.5, N)})


def whole(net: Network, source: DomainRows, target: DomainRows | None) -> tuple[Objective, Batch]:
    plan = batch_layout(net, source, target)
    tables = [t for t in (plan.source, plan.target) if t is not None]
    batch = Batch(torch.cat([t.features for t in tables]), torch.cat([t.columns for t in tables]), len(plan.source))
    return Objective(net, plan, torch.device("cpu")), batch


REVERSED: dict[str, dict[str, Any]] = {
    "domain, background": {"rows": "background", "weight": "domain"},
    "domain, all, not balanced": {"rows": "both", "weight": "domain", "balance": False},
    "cdan": {"rows": "both", "input": "features*class", "inputs": 8},
    "pivot on the score": {"rows": "background", "input": "class", "inputs": 1, "weight": "domain"},
    "pivot in the tail": {"input": "class", "inputs": 1, "rows": "background", "weight": "domain", "tail": Tail(0.4)},
    "three classes": {
        "rows": "both",
        "loss": "multiclass",
        "target": "kind",
        "outputs": 3,
        "weight": "domain",
    },
    "regression": {"rows": "both", "loss": "regression", "target": "pair", "outputs": 2},
    "absolute": {"rows": "both", "loss": "absolute", "target": "z"},
    "mixture": {"rows": "background", "loss": "mixture", "target": "z", "outputs": 6, "weight": "domain"},
    "smoothed": {"rows": "both", "smoothing": 0.2},
}


def network(fields: dict[str, Any]) -> Network:
    fields = dict(fields)
    with seeded(3):
        inputs, outputs = fields.pop("inputs", 4), fields.pop("outputs", 1)
        heads = [
            Head("class", mlp(4, [], 1, activation="tanh"), weight="class"),
            Head(
                "domain" if "target" not in fields else "other",
                mlp(inputs, [5], outputs, activation="tanh"),
                reversal=Reversal(STRENGTH, "constant"),
                **fields,
            ),
        ]
        return Network(mlp(3, [6, 4], activation="tanh"), heads, normalization=None).double()


def numerical(loss: Any, parameter: Tensor, step: float = 1e-6) -> Tensor:
    """Central differences of `loss()` by every element of a parameter."""
    gradient = torch.zeros_like(parameter)
    with torch.no_grad():
        for i in range(parameter.numel()):
            value = parameter.view(-1)[i].item()
            values = []
            for moved in (value + step, value - step):
                parameter.view(-1)[i] = moved
                values.append(float(loss()))
            parameter.view(-1)[i] = value
            gradient.view(-1)[i] = (values[0] - values[1]) / (2 * step)
    return gradient


@pytest.mark.parametrize("name", REVERSED)
def test_gradients_by_finite_differences(name: str) -> None:
    """Encoder: task minus strength times adversary. Reversed head: adversary, at full strength."""
    net = network(REVERSED[name])
    objective, batch = whole(net, *rows())
    objective.advance(1.0, 2.0)
    torch.autograd.backward(objective(batch).total)

    def losses() -> Losses:
        return objective(batch)

    def played() -> Tensor:
        losses_now = losses()
        assert losses_now.adversary is not None
        return losses_now.task - STRENGTH * losses_now.adversary

    def adversary() -> Tensor:
        loss = losses().adversary
        assert loss is not None
        return loss

    # CDAN takes the prediction as given: then the encoder's gradient is not that of the whole function
    encoder = [] if name == "cdan" else list(net.encoder.parameters())
    for parameter in encoder:
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, numerical(played, parameter), atol=1e-7), name
    head = next(h for h in net.heads.values() if h.reversal)
    for parameter in head.module.parameters():
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, numerical(adversary, parameter), atol=1e-7), name


def test_the_losses_are_the_formulas_written_out() -> None:
    source, target = rows()
    net = network(REVERSED["domain, background"])
    objective, batch = whole(net, source, target)
    losses = objective(batch)
    with torch.no_grad():
        z = net.encode(batch.features)
        p = torch.sigmoid(net.head_modules["class"](z[:N])[:, 0])
        q = torch.sigmoid(net.head_modules["domain"](z)[:, 0])
    y, w = torch.tensor(source.targets["class"]), torch.tensor(source.weights["class"])
    cross = -torch.where(y == 1, p.log(), (1 - p).log())
    assert losses.task.item() == pytest.approx(float((w * cross).sum() / w.abs().sum()))
    s = torch.tensor(source.weights["domain"] * source.masks["background"])
    t = torch.tensor(target.weights["domain"])
    s, t = s / s.sum(), t / t.sum()
    above = (s * -(1 - q[:N]).log()).sum() + (t * -q[N:].log()).sum()
    assert losses.adversary is not None
    assert losses.adversary.item() == pytest.approx(float(above / (s.abs().sum() + t.abs().sum())))


def gradients(net: Network, source: DomainRows, target: DomainRows | None) -> list[Tensor]:
    objective, batch = whole(net, source, target)
    net.zero_grad()
    torch.autograd.backward(objective(batch).total)
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in net.parameters()]


def joined(*parts: DomainRows) -> DomainRows:
    def each(kind: str) -> dict[str, Any]:
        return {k: np.concatenate([getattr(p, kind)[k] for p in parts]) for k in getattr(parts[0], kind)}

    return DomainRows(np.concatenate([p.features for p in parts]), each("targets"), each("weights"), each("masks"))


@pytest.mark.parametrize("name", ["domain, background", "cdan", "pivot on the score", "pivot in the tail", "mixture"])
def test_a_weight_of_two_is_a_row_twice(name: str) -> None:
    source, target = rows()
    net = network({**REVERSED[name], "weight": "domain"})
    pick = np.arange(N) == 4
    heavier = DomainRows(
        source.features,
        source.targets,
        {k: np.where(pick, 2 * w, w) for k, w in source.weights.items()},
        source.masks,
    )
    twice = joined(source, source.select(pick))
    for a, b in zip(gradients(net, heavier, target), gradients(net, twice, target), strict=True):
        assert torch.allclose(a, b, atol=1e-12)


def test_a_negative_weight_subtracts_what_the_positive_one_adds() -> None:
    """A row and the same row with the opposite weight leave the sums above the line as they were."""
    source, target = rows()
    net = network({**REVERSED["domain, all, not balanced"]})
    extra = source.select(np.arange(N) < 3)
    cancelled = DomainRows(extra.features, extra.targets, {k: -w for k, w in extra.weights.items()}, extra.masks)
    plan_a, batch_a = whole(net, source, target)
    plan_b, batch_b = whole(net, joined(source, extra, cancelled), target)
    a, b = plan_a(batch_a).meters, plan_b(batch_b).meters
    for name in ("class", "domain"):
        assert torch.allclose(a[name][[0, 2, 3]], b[name][[0, 2, 3]], atol=1e-12)
        assert b[name][1] > a[name][1]


def test_weights_of_the_opposite_sign_turn_the_gradient() -> None:
    (source, _), (turned, _) = rows(sign=1.0), rows(sign=-1.0)
    net = network({"rows": "both"})
    for a, b in zip(gradients(net, source, None), gradients(net, turned, None), strict=True):
        assert torch.allclose(a, -b, atol=1e-12)


def test_source_and_target_may_change_places() -> None:
    """The domain loss does not know which is which, once the head's sign is turned."""
    source, target = rows()
    net = network({"rows": "both"})
    plain = DomainRows(source.features, source.targets, {"class": np.zeros(N)})
    other = DomainRows(target.features, {"class": np.zeros(N)}, {"class": np.zeros(N)})
    ahead = gradients(net, plain, other)
    with torch.no_grad():
        last = list(net.heads["domain"].module.parameters())[-2:]
        for p in last:
            p.neg_()
    behind = gradients(net, other, plain)
    encoder = len(list(net.encoder.parameters()))
    for a, b in zip(ahead[:encoder], behind[:encoder], strict=True):
        assert torch.allclose(a, b, atol=1e-12)


def test_order_of_rows_does_not_matter() -> None:
    source, target = rows()
    net = network(REVERSED["domain, background"])
    shuffled = source.select(np.random.default_rng(2).permutation(N))
    for a, b in zip(gradients(net, source, target), gradients(net, shuffled, target), strict=True):
        assert torch.allclose(a, b, atol=1e-12)


def test_several_domains_and_the_entropy_of_cdan() -> None:
    source, target = rows()
    kinds = DomainRows(source.features, {**source.targets, "domain": source.targets["kind"]}, source.weights)
    net = network({"rows": "source", "loss": "multiclass", "outputs": 3})
    assert gradients(net, kinds, None)[0].abs().sum() > 0
    sure = network({"rows": "both", "input": "features*class", "inputs": 8, "entropy": True})
    flat = network({"rows": "both", "input": "features*class", "inputs": 8})
    a, b = gradients(sure, source, target), gradients(flat, source, target)
    assert not torch.allclose(a[0], b[0])


def test_a_term_has_its_strength_and_leaves_heads_alone() -> None:
    source, target = rows()
    values = []
    for strength in (1.0, 2.0):
        with seeded(3):
            head = Head("class", mlp(4, [], 1))
            net = Network(mlp(3, [4]), [head], terms=[Coral(strength=strength)], normalization=None).double()
        objective, batch = whole(net, source, target)
        objective.advance(0.0, 1.0)
        adversary = objective(batch).adversary
        assert adversary is not None
        values.append(adversary.item())
    assert values[1] == pytest.approx(2 * values[0])


def test_an_output_that_does_not_fit_its_loss_is_named() -> None:
    source, target = rows()
    net = network({"rows": "both", "loss": "multiclass", "target": "kind", "outputs": 1})
    objective, batch = whole(net, source, target)
    with pytest.raises(TrainingError, match="'other' gives"):
        objective(batch)
