from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hepda.adversarial import DomainRows, Head, Network, Reversal, Trainer, mlp, seeded
from hepda.adversarial.training.selection import SCORERS, find_scorer, probe, probe_auc, source_loss
from hepda.errors import ConfigError, DataError


def rows(shift: float, n: int = 1500, seed: int = 0) -> tuple[DomainRows, DomainRows]:
    rng = np.random.default_rng(seed)
    x, other = rng.normal(size=(2, n, 2)).astype(np.float32)
    label = (x[:, 0] > 0).astype(int)
    weights = {"domain": rng.normal(1.0, 0.3, n), "class": np.ones(n)}
    return DomainRows(x, {"class": label}, weights), DomainRows(
        other + np.float32(shift), weights={"domain": np.ones(n)}
    )


def trained(source: DomainRows, target: DomainRows | None, epochs: int = 8) -> Network:
    with seeded(0):
        domain = Head("domain", mlp(8, [8], 1), rows="both", weight="domain", reversal=Reversal(1.0))
        net = Network(mlp(2, [16, 8]), [Head("class", mlp(8, [], 1), weight="class"), domain])
    Trainer(epochs=epochs, batch_size=100, learning_rate=5e-3, device="cpu").fit(net, source, target)
    return net


@pytest.mark.slow
@pytest.mark.parametrize("name", SCORERS)
def test_every_scorer_prefers_a_trained_network_to_one_that_guesses(name: str) -> None:
    source, target = rows(0.2)
    good = trained(source, target)
    with seeded(1):
        guessing = trained(replace(source, targets={"class": np.random.default_rng(3).integers(0, 2, 1500)}), None)
    if name in ("probe-auc", "density"):  # what these say is not how right the classes are
        assert np.isfinite(find_scorer(name)(good, source, target))
        return
    assert find_scorer(name)(good, source, target) > find_scorer(name)(guessing, source, target)


def test_no_scorer_reads_labels_of_the_target() -> None:
    source, target = rows(0.5)
    net = trained(source, None, epochs=2)
    labelled = replace(target, targets={"class": np.ones(1500)})
    for name, scorer in SCORERS.items():
        assert scorer(net, source, target) == scorer(net, source, labelled), name


def test_the_probe_sees_a_shift_and_only_a_shift() -> None:
    same, moved = rows(0.0), rows(1.0)
    net = trained(same[0], None, epochs=2)
    assert abs(probe(net, *same).auc() - 0.5) < 0.05
    assert probe(net, *moved).auc() > 0.65
    assert probe_auc(net, *same) > probe_auc(net, *moved)


def test_source_loss_is_the_weighted_cross_entropy() -> None:
    source, target = rows(0.0)
    weighted = replace(source, weights={"class": np.random.default_rng(0).normal(1, 1, 1500)})
    net = trained(source, target, epochs=1)
    p = net.predict(source.features).astype(float)
    y, w = source.targets["class"], weighted.weights["class"]
    expected = (w * -np.where(y == 1, np.log(p), np.log(1 - p))).sum() / np.abs(w).sum()
    assert source_loss(net, weighted) == pytest.approx(-expected, rel=1e-5)


def test_scorers_by_name() -> None:
    source, target = rows(0.2)
    net = trained(source, target, epochs=1)
    assert find_scorer("source-loss")(net, source, target) == source_loss(net, source)
    with pytest.raises(ConfigError, match="Did you mean 'entropy'"):
        find_scorer("entropi")
    with pytest.raises(DataError, match="needs target rows"):
        probe_auc(net, source, None)


def test_early_stopping_takes_a_scorer() -> None:
    source, target = rows(0.2)
    with seeded(0):
        net = Network(mlp(2, [8]), [Head("class", mlp(8, [], 1))])
    trainer = Trainer(epochs=4, batch_size=100, patience=1, scorer=find_scorer("information"), device="cpu")
    history = trainer.fit(net, source, None, validation=(source, target))
    assert len(history["score"]) == history.epochs
