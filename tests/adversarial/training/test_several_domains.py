"""Three domains in one loss, class by class, and target rows that stay with their source rows."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from hepda.adversarial import DomainRows, Head, Network, Reversal, Trainer, mlp, seeded
from hepda.adversarial.data.batches import DomainTable, PairedBatches, Placement
from hepda.adversarial.methods import METHODS, Comparison, build, methods_of
from hepda.adversarial.training.layout import batch_layout
from hepda.adversarial.training.selection import probe_auc, target_domains
from hepda.errors import ConfigError, DataError
from tests.adversarial.toys import shifted

PAIRS = {"rows": "adversary", "weight": "domain", "domains": 3, "pairs": ("B", "C")}


def three(n: int = 1500) -> tuple[DomainRows, DomainRows]:
    """A source, and two target domains that move the same column by +1 and by -1, with very different weights."""
    rng = np.random.default_rng(0)
    x, other = (rng.normal(size=(n, 3)).astype(np.float32) for _ in range(2))
    label = rng.integers(0, 2, n)
    x[:, :2] += label[:, None]
    number = rng.integers(1, 3, n)
    other[:, 1] += np.where(number == 1, 1.5, -1.5)
    other[:, 0] += 0.5
    pairs = [{f"adversary/{name}": np.asarray(number == i)} for i, name in ((1, "B"), (2, "C"))]
    everything = np.ones(n, dtype=bool)
    source_masks = {"adversary": everything, "adversary/B": everything, "adversary/C": everything}
    source = DomainRows(x, {"class": label, "domain": np.zeros(n)}, {"domain": rng.normal(1, 0.5, n)}, source_masks)
    weight = np.where(number == 1, 20.0, 0.1)
    return source, DomainRows(other, {"domain": number}, {"domain": weight}, pairs[0] | pairs[1])


def test_each_of_three_domains_has_the_same_sum_of_weights_in_a_batch_and_chance_is_ln_3() -> None:
    source, target = three()
    with seeded(0):
        heads, _ = build(methods_of("dann", schedule="constant"), Comparison(4, **PAIRS))
        network = Network(mlp(3, [4]), [Head("class", mlp(4, [], 1)), *heads])
    layout = batch_layout(network, source, target, (200, 100))
    column = layout.layouts["domain"].weight
    number = np.asarray(target.targets["domain"])
    in_batch = [layout.source.columns[:, column].sum() * 200 / 1500]
    in_batch += [layout.target.columns[number == d, column].sum() * 100 / 1500 for d in (1, 2)]
    assert np.allclose([float(value) for value in in_batch], 200.0, rtol=1e-5)
    torch.nn.init.zeros_(heads[0].module[-1].weight)  # type: ignore[index]
    torch.nn.init.zeros_(heads[0].module[-1].bias)  # type: ignore[index]
    positive = replace(source, weights={"domain": np.ones(1500)})
    trainer = Trainer(epochs=1, batch_size=1500, learning_rate=1e-9, device="cpu")
    history = trainer.fit(network, positive, target)
    assert history["domain_loss"][0] == pytest.approx(math.log(3), rel=1e-4) == history["domain_chance"][0]


def test_a_domain_without_weight_is_refused() -> None:
    source, target = three()
    empty = replace(target, weights={"domain": np.where(np.asarray(target.targets["domain"]) == 2, 0.0, 1.0)})
    heads, _ = build("dann", Comparison(4, **PAIRS))
    network = Network(mlp(3, [4]), [Head("class", mlp(4, [], 1)), *heads])
    with pytest.raises(DataError, match=r"domain 2 .* positive sum"):
        batch_layout(network, source, empty)


@pytest.mark.parametrize(("method", "strength"), [("dann", 3.0), ("cramer", 30.0), ("disco", 10.0)])
def test_both_targets_are_matched(method: str, strength: float) -> None:
    source, target = three()
    number, shifts = np.asarray(target.targets["domain"]), []
    for factor in (0.0, strength):
        settings = {"strength": factor, "schedule": "constant", "hidden": (16,), "input": "score"}
        with seeded(0):
            heads, terms = build(methods_of(method, **settings), Comparison(8, **PAIRS))
            network = Network(mlp(3, [8]), [Head("class", mlp(8, [], 1)), *heads], terms=terms)
        Trainer(epochs=15, batch_size=256, learning_rate=0.01, seed=0, device="cpu").fit(network, source, target)
        score = network.predict(target.features, raw=True)
        shifts.append(abs(score[number == 1].mean() - score[number == 2].mean()) / score.std())
    assert shifts[0] > 0.8 and shifts[1] < 0.3 * shifts[0]


def test_terms_compare_pairs_and_heads_all_domains_each_class_by_parts_of_its_own() -> None:
    heads, terms = build("dann,cramer", Comparison(4, **PAIRS, groups=("ttb", "ttc")))
    assert {head.name: (head.rows, head.loss, head.key) for head in heads} == {
        "domain_ttb": ("adversary/ttb", "multiclass", "domain"),
        "domain_ttc": ("adversary/ttc", "multiclass", "domain"),
    }
    assert {term.name: term.rows for term in terms} == {
        f"cramer_{pair}_{group}": f"adversary/{pair}/{group}" for pair in ("B", "C") for group in ("ttb", "ttc")
    }
    heads, terms = build("dann,mmd", Comparison(4, rows="adversary"))
    assert [head.name for head in heads] == ["domain"] and [term.name for term in terms] == ["mmd"]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_takes_several_domains_or_says_why_not(name: str) -> None:
    classes = max(2, METHODS[name].classes)
    masks = ("adversary",) if name == "conditional" else ()
    comparison = Comparison(4, classes, **PAIRS, masks=masks)
    if METHODS[name].several == "never":
        with pytest.raises(ConfigError, match="one target domain"):
            build(name, comparison)
        return
    heads, terms = build(name, comparison)
    assert name == "none" or len(heads) + len(terms) == (1 if METHODS[name].several == "together" else 2)


def test_the_probe_is_of_the_target_that_differs_most() -> None:
    source, target = three()
    network = Network(mlp(3, [4]), [Head("class", mlp(4, [], 1))])
    pairs = target_domains(source, target)
    assert [set(np.asarray(rows.targets["domain"])) for _, rows in pairs] == [{1}, {2}]
    each = [probe_auc(network, source, DomainRows(rows.features, {}, rows.weights)) for _, rows in pairs]
    assert probe_auc(network, source, target) == pytest.approx(min(each))


# ---- partners ----


def partnered(n: int = 101, partners: int = 3) -> tuple[DomainTable, DomainTable]:
    number = torch.arange(n, dtype=torch.float32)[:, None]
    varied = torch.cat([number + 1000 * (k + 1) for k in range(partners)])
    return DomainTable(number, number), DomainTable(varied, varied, partners=partners)


def test_partners_are_in_the_batch_of_their_source_row() -> None:
    source, target = partnered()
    seen = []
    for rank in range(2):  # two workers have the rows of the batch between them
        batches = PairedBatches(source, target, 20, 7, 1, Placement(torch.device("cpu"), rank, 2))
        assert batches.n_target == 60
        batch = batches(4)
        seen.append((batch.features[: batch.n_source, 0].clone(), batch.features[batch.n_source :, 0].clone()))
    rows, varied = (torch.cat([part[side] for part in seen]) for side in (0, 1))
    assert torch.equal(varied, torch.cat([rows + 1000 * (k + 1) for k in range(3)]))
    alone = PairedBatches(source, replace(target, partners=0), 20, 60, 1, Placement(torch.device("cpu")))(4)
    assert torch.equal(alone.features[:20, 0], rows)  # the source's order does not depend on the target
    with pytest.raises(DataError, match="101 source rows with 2 partners"):
        PairedBatches(source, replace(target, partners=2), 20, None, 1, Placement(torch.device("cpu")))


def test_rows_and_the_same_rows_with_the_same_weights_have_no_distance_in_any_batch() -> None:
    source, _ = shifted(500)
    weights = {"domain": np.concatenate([source.weights["domain"], 2.0 * np.asarray(source.weights["domain"])])}
    target = DomainRows(np.tile(source.features, (2, 1)), {"domain": np.repeat([1, 2], 500)}, weights)
    losses = []
    for partners in (2, 0):
        with seeded(0):
            _, terms = build("cramer", Comparison(8, weight="domain"))
            network = Network(mlp(6, [8]), [Head("class", mlp(8, [], 1))], terms=terms)
        trainer = Trainer(epochs=2, batch_size=100, target_size=200, device="cpu")
        losses.append(max(trainer.fit(network, source, replace(target, partners=partners))["cramer_loss"]))
    assert losses[0] < 1e-12 and losses[1] > 1e-4


def test_a_probe_of_variations_is_not_fitted_to_the_events_that_it_is_tested_on() -> None:
    source, _ = shifted(400)
    target = DomainRows(np.tile(source.features, (2, 1)), {"domain": np.repeat([1, 2], 400)}, partners=2)
    for rows, varied in target_domains(source, target):
        events, others = ({tuple(row) for row in np.asarray(part.features)} for part in (rows, varied))
        assert len(events) == len(others) == 200 and not events & others


def test_a_reversed_head_learns_the_soft_difference_of_weights() -> None:
    """Weights of the partners grow with a column: the head finds it, and the reversal removes it from the score."""
    source, _ = shifted(1000)
    factor = np.exp(0.8 * np.asarray(source.features)[:, 0])
    target = DomainRows(source.features, weights={"domain": factor}, partners=1)
    positive = replace(source, weights={"domain": np.ones(1000), "class": np.ones(1000)}, masks={})
    spread = []
    for strength in (0.0, 20.0):
        with seeded(0):
            head = Head("domain", mlp(1, [16], 1), weight="domain", rows="both", input="class")
            heads = [Head("class", mlp(8, [], 1)), replace(head, reversal=Reversal(strength, "constant"))]
            network = Network(mlp(6, [8]), heads)
        trainer = Trainer(epochs=15, batch_size=250, learning_rate=0.01, device="cpu")
        trainer.fit(network, positive, target)
        raw = network.predict(source.features, raw=True)
        spread.append(abs(np.average(raw, weights=factor) - raw.mean()) / raw.std())
    assert spread[1] < 0.3 * spread[0]
