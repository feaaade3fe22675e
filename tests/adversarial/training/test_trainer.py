from __future__ import annotations

import math
import signal
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hepda.adversarial import DomainRows, Head, History, Network, Reversal, Trainer, mlp, seeded
from hepda.errors import ConfigError, DataError, TrainingError
from tests.adversarial.toys import network, shifted

SHORT = Trainer(epochs=3, batch_size=256, seed=1, device="cpu")


def halves(rows: DomainRows) -> tuple[DomainRows, DomainRows]:
    chosen = np.arange(len(rows)) % 3 == 0
    return rows.select(~chosen), rows.select(chosen)


def test_a_training_learns_the_class_and_records_every_epoch() -> None:
    source, target = shifted()
    net = network()
    (train, look), (other, other_look) = halves(source), halves(target)
    history = Trainer(SHORT.settings, epochs=12, learning_rate=1e-2).fit(
        net, train, other, validation=(look, other_look)
    )
    assert history.epochs == 12
    assert history["validation_class_accuracy"][-1] > 0.8
    for name in (
        "class_loss",
        "domain_loss",
        "domain_accuracy",
        "task_gradient",
        "domain_gradient",
        "seconds",
    ):
        assert len(history[name]) == 12
    # gradients are measured every twenty steps or so, and at the very first there is no adversary yet
    measured = [c for c in history["gradient_cosine"] if not math.isnan(c)]
    assert measured
    assert all(-1.0 <= c <= 1.0 for c in measured)
    # a blind head with signed weights loses ln 2 times sum w / sum |w|
    assert 0.5 * math.log(2) < history["domain_chance"][-1] < math.log(2)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_does_not() -> None:
    source, target = shifted()
    predictions = []
    for seed in (1, 1, 2):
        net = network(dropout=0.2)
        Trainer(SHORT.settings, seed=seed).fit(net, source, target)
        predictions.append(net.predict(source.features, raw=True))
    assert np.array_equal(predictions[0], predictions[1])
    assert not np.array_equal(predictions[0], predictions[2])


def test_training_leaves_the_random_numbers_of_the_caller_alone() -> None:
    source, target = shifted(300)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    SHORT.fit(network(dropout=0.3), source, target)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("reversal", [Reversal(0.0), Reversal(1.0, warmup=3)])
def test_strength_zero_is_no_adversary_to_the_last_bit(reversal: Reversal) -> None:
    source, target = shifted()
    with_head, without = network(reversal=reversal, dropout=0.1), network(domain=False, dropout=0.1)
    SHORT.fit(with_head, source, target)
    SHORT.fit(without, source, target)
    assert np.array_equal(with_head.predict(source.features, raw=True), without.predict(source.features, raw=True))


def test_zero_target_weight_is_no_target_to_the_last_bit() -> None:
    source, target = shifted()
    none = DomainRows(target.features, weights={"domain": np.zeros(len(target))})
    a, b = network(), network()
    SHORT.fit(a, source, none)
    SHORT.fit(b, source, None)
    assert np.array_equal(a.predict(source.features, raw=True), b.predict(source.features, raw=True))


def test_the_domain_head_changes_the_encoder() -> None:
    source, target = shifted()
    a, b = network(), network(domain=False)
    SHORT.fit(a, source, target)
    SHORT.fit(b, source, target)
    assert not np.allclose(a.predict(source.features, raw=True), b.predict(source.features, raw=True), atol=1e-4)


def test_order_of_rows_given_does_not_reach_the_other_domain() -> None:
    """Which source rows a step sees does not depend on how many target rows there are."""
    source, target = shifted()
    a, b = network(reversal=Reversal(1e-12, schedule="constant")), network(domain=False)
    SHORT.fit(a, source, target.select(np.arange(100)))
    SHORT.fit(b, source)
    assert np.allclose(a.predict(source.features, raw=True), b.predict(source.features, raw=True), atol=1e-5)


def stop_after(epochs: int) -> object:
    def check(history: History) -> None:
        if history.epochs == epochs:
            raise KeyboardInterrupt

    return check


@pytest.mark.parametrize("settings", [{}, {"average": 0.9, "patience": 2}, {"optimizer": "sgd", "learning_rate": 0.02}])
def test_interrupted_and_resumed_is_never_interrupted(tmp_path: Path, settings: dict[str, object]) -> None:
    source, target = shifted()
    trainer = Trainer(SHORT.settings, epochs=6, rate_schedule="one-cycle", **settings)  # type: ignore[arg-type]
    look = (source.select(np.arange(500)), target.select(np.arange(500)))
    uninterrupted, resumed = network(dropout=0.2), network(dropout=0.2)
    expected = trainer.fit(uninterrupted, source, target, validation=look)
    file = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(resumed, source, target, validation=look, checkpoint=file, on_epoch=stop_after(2))  # type: ignore[arg-type]
    fresh = network(dropout=0.2)
    history = trainer.fit(fresh, source, target, validation=look, checkpoint=file, resume=True)
    assert np.array_equal(uninterrupted.predict(source.features, raw=True), fresh.predict(source.features, raw=True))
    assert history["class_loss"] == expected["class_loss"]
    assert history.best_epoch == expected.best_epoch


_KILLED = """
import os, signal, sys
sys.path.insert(0, {root!r})
from hepda.adversarial import Trainer
from tests.adversarial.training.test_trainer import SHORT, network, shifted
import hepda.adversarial.training.state as run
source, target = shifted()
steps = 0
step = run.TrainingState._step
def counted(self, *rest):
    global steps
    steps += 1
    if steps == {step}:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *rest)
run.TrainingState._step = counted
Trainer(SHORT.settings, epochs=4).fit(network(dropout=0.2), source, target, checkpoint={file!r}, resume=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("step", [13, 20])  # the first step of an epoch, and one in the middle of it (12 steps)
def test_killed_and_resumed_is_never_interrupted(tmp_path: Path, step: int) -> None:
    file = tmp_path / "checkpoint.safetensors"
    root = str(Path(__file__).parents[3])
    script = _KILLED.format(root=root, step=step, file=str(file))
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL
    assert file.is_file()
    source, target = shifted()
    trainer = Trainer(SHORT.settings, epochs=4)
    uninterrupted, resumed = network(dropout=0.2), network(dropout=0.2)
    trainer.fit(uninterrupted, source, target)
    assert trainer.fit(resumed, source, target, checkpoint=file, resume=True).epochs == 4
    assert np.array_equal(uninterrupted.predict(source.features, raw=True), resumed.predict(source.features, raw=True))


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    source, target = shifted(300)
    file = tmp_path / "checkpoint.safetensors"
    SHORT.fit(network(), source, target, checkpoint=file)
    with pytest.raises(ConfigError, match="other training settings"):
        Trainer(SHORT.settings, learning_rate=0.1).fit(network(), source, target, checkpoint=file, resume=True)


class Gate(nn.Module):
    """Takes its input, and with it the gradient, times `passing`."""

    def __init__(self, passing: float) -> None:
        super().__init__()
        self.passing = passing

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.passing


def with_adversaries(*modules: nn.Module, **reversal: Any) -> Network:
    """A class head, and domain heads of these modules."""
    with seeded(1):
        heads = [
            Head(f"domain{i}", module, rows="both", target="domain", reversal=Reversal(schedule="constant", **reversal))
            for i, module in enumerate(modules)
        ]
        return Network(mlp(6, [32, 16]), [Head("class", mlp(16, [], 1)), *heads])


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("schedule", ["constant", "ganin"])
def test_a_dead_adversary_is_an_error(epochs: int, schedule: str) -> None:
    """A softmax over one unit says 1 whatever it reads (one known library ships that as its default); a head that is
    cut off from the encoder trains, but tells it nothing. One that lives beside it does not hide it.
    """
    source, target = shifted()
    for dead in (nn.Sequential(mlp(16, [16], 1), nn.Softmax(dim=1)), nn.Sequential(Gate(0.0), mlp(16, [16], 1))):
        net = with_adversaries(mlp(16, [16], 1), dead)
        for name, head in net.heads.items():
            net.heads[name] = head if head.reversal is None else replace(head, reversal=Reversal(1.0, schedule))
        with pytest.raises(TrainingError, match=r"'domain1' is dead"):
            Trainer(SHORT.settings, epochs=epochs).fit(net, source, target)


def test_an_adversary_that_begins_at_zero_or_is_saturated_is_not_dead() -> None:
    """A last layer of zeros sends nothing in the first step; answers that are too sure send nothing for a while."""
    source, target = shifted()
    head = mlp(16, [16], 1)
    nn.init.zeros_(head[-1].weight)
    history = Trainer(SHORT.settings, epochs=3).fit(with_adversaries(head), source, target)
    assert history["domain0_gradient"][0] > 0.0
    gate = Gate(1.0)

    def close(so_far: History) -> None:
        gate.passing = 0.0 if so_far.epochs == 2 else 1.0

    net = with_adversaries(nn.Sequential(gate, mlp(16, [16], 1)))
    history = Trainer(SHORT.settings, epochs=3, batch_size=100).fit(net, source, target, on_epoch=close)
    assert history["domain0_gradient"][0] > 0.0 == history["domain0_gradient"][-1]
    assert any(text.startswith("silence: the gradient of 'domain0'") for text in history.warnings)


def test_gradients_of_several_adversaries_are_measured_one_by_one() -> None:
    source, target = shifted()
    with seeded(2):
        first, second = mlp(16, [16], 1), mlp(16, [], 1)
    two = SHORT.fit(with_adversaries(deepcopy(first), second), source, target)
    single = SHORT.fit(with_adversaries(first), source, target)
    assert two["domain0_gradient"][0] == pytest.approx(single["domain0_gradient"][0], rel=1e-5)
    assert two["domain1_gradient"][0] != pytest.approx(two["domain0_gradient"][0], rel=0.01)


def test_early_stopping_waits_for_the_adversary_and_keeps_the_best_epoch() -> None:
    source, target = shifted(600)
    look = (source.select(np.arange(200)), target.select(np.arange(200)))
    net = network(reversal=Reversal(1.0))
    trainer = Trainer(SHORT.settings, epochs=40, patience=2, learning_rate=0.05)
    history = trainer.fit(net, source, target, validation=look)
    assert history.stopped
    assert history.best_epoch is not None
    first = next(i for i, s in enumerate(history["domain_strength"]) if s >= 0.8)
    assert history.best_epoch >= first
    assert history.epochs == history.best_epoch + 3 or history.epochs == 40


def test_the_network_ends_with_the_average_of_its_weights() -> None:
    source, target = shifted(600)
    plain, averaged = network(), network()
    Trainer(SHORT.settings, average=0.0).fit(plain, source, target)
    Trainer(SHORT.settings, average=0.9).fit(averaged, source, target)
    assert not np.array_equal(plain.predict(source.features), averaged.predict(source.features))


def test_bfloat16_is_near_float32() -> None:
    source, target = shifted()
    a, b = network(), network()
    Trainer(SHORT.settings, precision="bfloat16").fit(a, source, target)
    SHORT.fit(b, source, target)
    assert np.abs(a.predict(source.features) - b.predict(source.features)).max() < 0.05


@pytest.mark.parametrize("rule", ["projection", "self_correcting"])
def test_a_rule_for_the_gradients_changes_the_encoder_where_they_oppose_each_other(rule: str) -> None:
    source, target = shifted()
    a, b = network(reversal=Reversal(5.0)), network(reversal=Reversal(5.0))
    Trainer(SHORT.settings, combine=rule).fit(a, source, target)
    SHORT.fit(b, source, target)
    assert not np.array_equal(a.predict(source.features), b.predict(source.features))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"optimizer": "adamv"}, "adamw"),
        ({"rate_schedule": "cosin"}, "cosine"),
        ({"epochs": 0}, "epochs"),
        ({"precision": "float16"}, "bfloat16"),
        ({"learning_rate": -1.0}, "above 0"),
        ({"average": 1.0}, "below 1"),
        ({"combine": "projections"}, "projection"),
        ({"combine": "adaptive"}, "discriminator of a game"),
    ],
)
def test_settings_that_cannot_be(change: dict[str, object], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        Trainer(SHORT.settings, **change)  # type: ignore[arg-type]


def test_rows_that_cannot_be_trained_on() -> None:
    source, target = shifted(300)
    bad = source.features.copy()
    bad[3, 2] = np.nan
    with pytest.raises(DataError, match="column 2"):
        SHORT.fit(network(), DomainRows(bad, source.targets, source.weights, source.masks), target)
    with pytest.raises(ConfigError, match="clas"):
        SHORT.fit(network(), DomainRows(source.features, {"clas": source.targets["class"]}), target)
    with pytest.raises(DataError, match="add up to"):
        SHORT.fit(network(), source, DomainRows(target.features, weights={"domain": -np.ones(len(target))}))
    with pytest.raises(DataError, match="has 2 rows"):
        DomainRows(source.features, {"class": np.ones(2)})


def test_validation_rows_are_evaluated_as_often_as_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hepda.adversarial.training.state._VALIDATIONS", 3)
    source, target = shifted(60)
    long = Trainer(epochs=7, batch_size=60, device="cpu")
    history = long.fit(network(), source, target, validation=shifted(40))
    assert np.isfinite(history["validation_class_loss"]).tolist() == [False, True, False, True, False, True, True]
    assert np.isfinite(history["class_loss"]).all() and np.isfinite(history["score"][-1])
    for change in ({"patience": 7}, {"epochs": 5}):
        every = Trainer(long.settings, **change).fit(network(), source, target, validation=shifted(40))
        assert np.isfinite(every["score"]).all()


def test_blocks_of_rows_change_a_training_by_rounding_only(monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = shifted(300)
    whole, in_blocks = network(), network()
    trainer = Trainer(epochs=3, batch_size=300, device="cpu", kernels="plain")
    trainer.fit(whole, source, target)
    monkeypatch.setattr("hepda.adversarial.networks.stacks.BLOCK", 4096)
    trainer.fit(in_blocks, source, target)
    assert np.abs(whole.predict(source.features) - in_blocks.predict(source.features)).max() < 1e-5
