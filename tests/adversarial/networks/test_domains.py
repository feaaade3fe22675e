"""What encoders of images and the like need: rows of any shape, layers that know the domain, transforms of batches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hepda.adversarial import DomainBatchNorm, DomainRows, Head, Network, Standardize, Trainer, mlp, seeded
from hepda.adversarial.methods import Comparison, build, methods_of
from hepda.adversarial.training.history import History
from hepda.adversarial.training.layout import batch_layout
from hepda.adversarial.training.selection import SCORERS
from hepda.errors import DataError


def pictures(n: int = 200, seed: int = 0) -> tuple[DomainRows, DomainRows]:
    """Bars of three positions in 2 x 8 x 8 shades, uint8; the target is brighter and without labels."""
    rng = np.random.default_rng(seed)

    def domain(light: int) -> tuple[Any, Any]:
        label = rng.integers(0, 3, n)
        x = rng.integers(0, 60, (n, 2, 8, 8)) + light
        for number in range(3):
            x[label == number, :, 2 * number : 2 * number + 3, 2:6] += 100
        return x.astype(np.uint8), label

    (x, label), (other, _) = domain(0), domain(90)
    return DomainRows(x, {"class": label}, {"event": rng.normal(1.0, 0.3, n)}), DomainRows(
        other, weights={"event": np.ones(n)}
    )


def network(method: str = "dann", **settings: Any) -> Network:
    with seeded(1):
        layers = nn.Conv2d(2, 8, 3), DomainBatchNorm(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 16)
        view = settings.pop("transform", None)
        comparison = Comparison(16, 3, weight="event", transform=view)
        heads, terms = build(methods_of(method, hidden=(16,), **settings), comparison)
        main = Head("class", mlp(16, [], 3), loss="multiclass", weight="event")
        return Network(nn.Sequential(*layers), [main, *heads], terms=terms, normalization=Standardize(2))


def trainer(**settings: Any) -> Trainer:
    return Trainer(**{"epochs": 3, "batch_size": 50, "seed": 4, "device": "cpu", **settings})


def shifted(rows: Tensor, generator: torch.Generator) -> Tensor:
    """Each picture brighter or darker by a random shade."""
    return rows + 20.0 * torch.randn(len(rows), 1, 1, 1, generator=generator)


def test_each_domain_is_normalized_by_its_own_statistics() -> None:
    layer, plain = DomainBatchNorm(3), [nn.BatchNorm1d(3), nn.BatchNorm1d(3)]
    x = torch.randn(40, 3, 5) * 2.0 + torch.arange(40.0)[:, None, None]
    parts = x[:25], x[25:]
    layer.n_source = 25
    expected = torch.cat([norm(part) for norm, part in zip(plain, parts, strict=True)])
    assert torch.allclose(layer(x), expected, atol=1e-6)
    layer.eval()
    for norm, n_source in zip(plain, (40, 0), strict=True):
        layer.n_source = n_source
        assert torch.allclose(layer(x), norm.eval()(x), atol=1e-6)


def test_the_gradient_of_both_domains_stays_in_the_order_of_channels_last() -> None:
    layer = DomainBatchNorm(3)
    layer.n_source = 5
    x = torch.randn(9, 3, 4, 6).contiguous(memory_format=torch.channels_last).requires_grad_()
    seen: list[Tensor] = []
    moved = x * 1.0
    moved.register_hook(seen.append)
    layer(moved).square().sum().backward()
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_running_statistics_do_not_follow_a_second_view() -> None:
    net = network()
    net.train()
    x = torch.rand(20, 2, 8, 8)
    net.encode(x, 10)
    layer = next(part for part in net.modules() if isinstance(part, DomainBatchNorm))
    before = layer.mean.clone(), layer.var.clone()
    first = net.encode(5.0 * x, 10, update_stats=False)
    assert torch.equal(layer.mean, before[0]) and torch.equal(layer.var, before[1])
    assert torch.equal(net.encode(5.0 * x, 10), first) and not torch.equal(layer.mean, before[0])


def test_a_network_can_be_asked_in_the_middle_of_a_training_in_bfloat16() -> None:
    source, target = pictures()
    net, x = network(), source.features
    predictions: list[Any] = []
    trainer(precision="bfloat16", epochs=1).fit(
        net, source, target, on_epoch=lambda history: predictions.extend([net.predict(x), net.embed(x)])
    )
    assert [values.dtype for values in predictions] == [np.float32, np.float32]
    assert np.abs(predictions[0].sum(axis=1) - 1.0).max() < 1e-6


def test_a_domain_that_was_never_seen_takes_the_statistics_of_the_other() -> None:
    source, _ = pictures()
    net = network("none")
    trainer().fit(net, source)
    as_source, as_target = (net.predict(source.features, domain=name) for name in ("source", "target"))
    assert np.array_equal(as_source, as_target)
    assert np.ptp(as_source, axis=0).max() > 0.1


def test_predictions_and_scorers_say_whose_rows_they_are() -> None:
    source, target = pictures()
    net = network()
    history = trainer(epochs=12, patience=12).fit(net, source, target, validation=(source, target))
    assert history["validation_class_accuracy"][-1] > 0.9
    right = net.predict(source.features, domain="source").argmax(axis=1) == source.targets["class"]
    assert float(source.weights["event"] @ right / source.weights["event"].sum()) == pytest.approx(
        history["validation_class_accuracy"][history.best_epoch or -1], abs=0.03
    )
    assert not np.allclose(net.embed(source.features, domain="source"), net.embed(source.features), atol=0.05)
    for name, scorer in SCORERS.items():
        assert np.isfinite(scorer(net, source, target)), name


def test_bytes_stay_bytes_until_they_are_in_a_batch() -> None:
    source, target = pictures()
    assert batch_layout(network(), source, target).source.features.dtype == torch.uint8
    as_floats = [replace(rows, features=np.asarray(rows.features, np.float32)) for rows in (source, target)]
    first, second = network(), network()
    assert trainer().fit(first, source, target).columns["class_loss"] == trainer().fit(second, *as_floats)["class_loss"]
    with pytest.raises(DataError, match=r"different shape or type: source rows.*uint8; target rows"):
        trainer().fit(network(), source, as_floats[1])


def test_channels_are_standardized_over_all_their_values() -> None:
    source, _ = pictures()
    x, weight = np.asarray(source.features, np.float64), np.abs(source.weights["event"])
    norm = Standardize(2).fit(torch.from_numpy(source.features), torch.from_numpy(source.weights["event"]), chunk=3000)
    mean = np.average(x.mean(axis=(2, 3)), axis=0, weights=weight)
    width = np.sqrt(np.average(((x - mean[:, None, None]) ** 2).mean(axis=(2, 3)), axis=0, weights=weight))
    assert norm.mean.numpy() == pytest.approx(mean)
    assert 1.0 / norm.scale.numpy() == pytest.approx(width)
    out = norm(torch.from_numpy(x.astype(np.float32)))
    assert out.numpy() == pytest.approx((x - mean[:, None, None]) / width[:, None, None], abs=1e-5)
    with pytest.raises(DataError, match="2 columns, the rows have 3"):
        Standardize(2).fit(torch.zeros(5, 3))


def test_a_transform_is_of_training_batches_alone_and_repeats_with_the_seed() -> None:
    source, target = pictures()
    seen: list[Tensor] = []

    def noted(rows: Tensor, generator: torch.Generator) -> Tensor:
        assert rows.dtype == torch.float32
        seen.append(rows)
        return shifted(rows, generator)

    moved = replace(source, transform=noted)
    run = trainer().fit(network(), moved, target, validation=(moved, target))
    assert {len(rows) for rows in seen} == {50}
    assert len(seen) == 3 * 4
    assert run.columns["class_loss"] == trainer().fit(network(), moved, target)["class_loss"]
    assert run.columns["class_loss"] != trainer().fit(network(), source, target)["class_loss"]
    seen.clear()
    both = trainer().fit(network(), moved, replace(target, transform=noted))
    assert {len(rows) for rows in seen} == {100}  # one transform of both domains is called once
    assert both.epochs == 3


class StopError(Exception):
    """Ends a training in its middle."""


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_resumed_training_draws_the_same_transforms(tmp_path: Path, channels_last: bool) -> None:
    source, target = (replace(rows, transform=shifted) for rows in pictures())
    settings = trainer(epochs=4, channels_last=channels_last, combine="projection", average=0.9)
    uninterrupted, part = network(), network()
    history = settings.fit(uninterrupted, source, target)

    def stop(so_far: History) -> None:
        if so_far.epochs == 2:
            raise StopError

    with pytest.raises(StopError):
        settings.fit(part, source, target, checkpoint=tmp_path / "c", on_epoch=stop)
    again = settings.fit(network(), source, target, checkpoint=tmp_path / "c", resume=True)
    assert again["class_loss"] == history["class_loss"]


def test_the_order_of_channels_in_memory_changes_nothing_but_rounding() -> None:
    source, target = pictures()
    plain, last = network(), network()
    trainer().fit(plain, source, target)
    trainer(channels_last=True).fit(last, source, target)
    assert last.encoder[0].weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[index,union-attr]
    assert plain.predict(target.features) == pytest.approx(last.predict(target.features), abs=1e-3)


@pytest.mark.parametrize("method", ["pseudo", "contrast"])
def test_the_second_view_of_a_target_row_is_its_transform(method: str) -> None:
    source, target = pictures()
    calls: list[int] = []

    def strong(rows: Tensor, generator: torch.Generator) -> Tensor:
        calls.append(len(rows))
        return shifted(rows, generator)

    def same(rows: Tensor, generator: torch.Generator) -> Tensor:
        return rows

    losses = []
    for transform in (strong, same, None):
        net = network(method, transform=transform)
        losses.append(trainer(epochs=8).fit(net, source, target)[f"{method}_loss"])
    assert set(calls) == {50}
    assert all(np.isfinite(loss).all() for loss in losses)
    assert losses[0] != losses[1]
    # a view that changes nothing gives the labels of the batch, apart from batch norm's second look
    if method == "pseudo":
        assert losses[1] == pytest.approx(losses[2], abs=0.1)
