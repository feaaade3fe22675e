"""Alignment and self-training terms against slow formulas, and what weights do to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from hepda.adversarial import DomainRows, Head, Network, Trainer, mlp, seeded
from hepda.adversarial.data.batches import Batch
from hepda.adversarial.listing import listing
from hepda.adversarial.methods import METHODS, Comparison, build, methods_of
from hepda.adversarial.methods.alignment import WassersteinCritic
from hepda.adversarial.networks.term import shares
from hepda.adversarial.terms.alignment import (
    coral,
    covariance,
    distance_correlation,
    domain_correlation,
)
from hepda.adversarial.terms.discrepancy import joint_mmd, mmd
from hepda.adversarial.terms.selftraining import PseudoLabels, aligned, class_confusion, complementary_contrast
from hepda.adversarial.training.layout import batch_layout
from hepda.adversarial.training.objective import Objective
from hepda.errors import ConfigError

torch.manual_seed(0)
A, B = torch.randn(30, 4, dtype=torch.float64), torch.randn(20, 4, dtype=torch.float64) + 0.5
U, V = torch.randn(30, dtype=torch.float64) + 1.5, torch.rand(20, dtype=torch.float64)
P, Q = torch.softmax(A[:, :3], 1), torch.softmax(B[:, :3], 1)

DISTANCES: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "mmd": mmd,
    "coral": coral,
    "joint mmd": lambda a, b, u, v: joint_mmd([a, a[:, :2]], [b, b[:, :2]], u, v),
}


def slow_mmd(source: list[Tensor], target: list[Tensor], u: Tensor, v: Tensor, width: float = 1.0) -> Tensor:
    """The double sum over all pairs, with five Gaussians about `width` times the weighted mean of |x - x'|^2."""
    signs, pooled = torch.cat([shares(u), -shares(v)]), 0.5 * torch.cat([shares(u.abs()), shares(v.abs())])
    kernel = torch.ones(len(signs), len(signs), dtype=signs.dtype)
    for pair in zip(source, target, strict=True):
        points = torch.cat(pair)
        squared = ((points[:, None] - points[None]) ** 2).sum(2)
        middle = width * (pooled @ squared @ pooled).detach()
        kernel = kernel * torch.stack([torch.exp(-squared / (m * middle)) for m in (0.25, 0.5, 1, 2, 4)]).mean(0)
    return signs @ kernel @ signs


@pytest.mark.parametrize(("n", "m"), [(30, 20), (400, 300)])  # the larger is more than one strip of pairs
def test_mmd_and_its_gradient_are_the_double_sum(n: int, m: int) -> None:
    random = torch.Generator().manual_seed(n)
    source, target = (
        [torch.randn(rows, d, generator=random, dtype=torch.float64).requires_grad_() for d in (4, 2)]
        for rows in (n, m)
    )
    u, v = (torch.randn(rows, generator=random, dtype=torch.float64) + 1.5 for rows in (n, m))
    for layers in (1, 2):
        a, b = source[:layers], target[:layers]
        actual, expected = joint_mmd(a, b, u, v, width=0.7), slow_mmd(a, b, u, v, width=0.7)
        assert actual.item() == pytest.approx(expected.item(), rel=1e-9)
        pairs = zip(torch.autograd.grad(3 * actual, a + b), torch.autograd.grad(3 * expected, a + b), strict=True)
        assert all(torch.allclose(ours, other, rtol=1e-8, atol=1e-12) for ours, other in pairs)
    twice = []
    for total in (joint_mmd(source, target, u, v), slow_mmd(source, target, u, v)):
        (gradient,) = torch.autograd.grad(total, source[0], create_graph=True)
        twice.append(torch.autograd.grad(gradient.square().sum(), [source[0], target[1]]))
    assert all(torch.allclose(ours, other, rtol=1e-7, atol=1e-14) for ours, other in zip(*twice, strict=True))


def test_mmd_does_not_depend_on_where_the_features_lie() -> None:
    a, b = (x.float() for x in (A, B))
    u, v = U.float(), V.float()
    assert mmd(a + 100.0, b + 100.0, u, v).item() == pytest.approx(mmd(a, b, u, v).item(), rel=1e-3)


def test_an_mmd_has_a_middle_kernel() -> None:
    with pytest.raises(ConfigError, match="take 5"):
        mmd(A, B, U, V, kernels=4)


def test_covariance_is_numpy_s() -> None:
    expected = np.cov(B.numpy(), rowvar=False, aweights=V.numpy(), ddof=0)
    assert np.allclose(covariance(B, V).numpy(), expected)
    difference = covariance(A, U) - covariance(B, V)
    assert coral(A, B, U, V).item() == pytest.approx(float((difference**2).sum() / 64))


def test_distance_correlation_is_its_definition() -> None:
    """Szekely's formula with weights, written out; 1 for a linear relation, near 0 for independent
    variables.
    """
    a, b, w = A[:, 0], A[:, 1] ** 2, torch.rand(30, dtype=torch.float64)
    p = (w / w.sum()).numpy()

    def centred(x: np.ndarray) -> np.ndarray:
        d = np.abs(x[:, None] - x[None])
        return d - (d @ p)[:, None] - (p @ d)[None] + p @ d @ p

    centred_a, centred_b = centred(a.numpy()), centred(b.numpy())
    top = p @ (centred_a * centred_b) @ p
    expected = top / np.sqrt((p @ centred_a**2 @ p) * (p @ centred_b**2 @ p))
    assert distance_correlation(a, b, w).item() == pytest.approx(expected, rel=1e-4)
    assert distance_correlation(a, 3 * a + 1, w).item() == pytest.approx(1.0, rel=1e-4)
    torch.manual_seed(1)
    x, y = torch.randn(2, 1500)
    assert distance_correlation(x, y, torch.ones(1500)).item() < 0.02


@pytest.mark.parametrize(("n", "m"), [(7, 5), (300, 200)])
def test_correlation_with_the_domain_is_the_distance_correlation(n: int, m: int) -> None:
    """The sorted form against the matrix of distances, with signed weights and with equal values among them."""
    rng = np.random.default_rng(n)
    a, b = torch.tensor(rng.random(n).round(2)), torch.tensor((rng.random(m) ** 1.3).round(2))
    w, v = (torch.tensor(rng.normal(1.0, 0.4, k)) for k in (n, m))
    actual = domain_correlation(a, b, w, v)
    domain, both = torch.cat([torch.zeros(n), torch.ones(m)]).double(), torch.cat([shares(w), shares(v)])
    assert actual.item() == pytest.approx(distance_correlation(torch.cat([a, b]), domain, both).item(), rel=1e-4)
    assert actual.item() == pytest.approx(domain_correlation(b, a, v, w).item(), rel=1e-12)
    a, b = a + 1e-3 * torch.arange(n) / n, b + 7e-4 + 1e-3 * torch.arange(m) / m  # no two alike: it has a gradient
    assert torch.autograd.gradcheck(
        lambda x, y: domain_correlation(x, y, w, v), (a.requires_grad_(), b.requires_grad_()), eps=1e-8, atol=1e-5
    )


def test_correlation_with_the_domain_vanishes_for_equal_samples_and_is_one_at_most() -> None:
    values, weight = torch.rand(50), torch.ones(50)
    assert domain_correlation(values, values, weight, weight).item() == pytest.approx(0.0, abs=1e-9)
    apart = domain_correlation(torch.zeros(5), torch.ones(5), torch.ones(5), torch.ones(5))
    assert apart.item() == pytest.approx(1.0)
    # 100,000 rows: the matrix would have 80 GB
    assert domain_correlation(torch.rand(60_000), torch.rand(40_000), torch.ones(60_000), torch.ones(40_000)) < 1e-3


@pytest.mark.parametrize("name", DISTANCES)
def test_a_distance_is_zero_for_the_same_rows_and_grows_with_a_shift(name: str) -> None:
    distance = DISTANCES[name]
    ones = torch.ones(30, dtype=torch.float64)
    assert abs(distance(A, A, ones, ones).item()) < 1e-12
    assert distance(A, 2 * A + 1, ones, ones) > distance(A, 1.1 * A + 0.1, ones, ones) > 0


@pytest.mark.parametrize("name", DISTANCES)
def test_weights_of_both_domains_count(name: str) -> None:
    """A weight of 2 is a row twice, a weight of 0 none, in either domain; the unit of the weights does not
    matter.
    """
    distance = DISTANCES[name]
    ones = torch.ones(30, dtype=torch.float64)
    heavy, twice = ones.clone(), torch.cat([A, A[3:4]])
    heavy[3] = 2.0
    more = torch.ones(31, dtype=torch.float64)
    assert distance(A, B, heavy, V).item() == pytest.approx(distance(twice, B, more, V).item(), rel=1e-9)
    assert distance(B, A, V, heavy).item() == pytest.approx(distance(B, twice, V, more).item(), rel=1e-9)
    assert distance(A, B, 7 * heavy, 3 * V).item() == pytest.approx(distance(A, B, heavy, V).item())


def test_shares_keep_signs_and_survive_cancellation() -> None:
    assert shares(torch.tensor([2.0, -1.0])).tolist() == [2.0, -1.0]
    assert torch.isfinite(shares(torch.tensor([1.0, -1.0]))).all()
    assert shares(torch.zeros(2)).tolist() == [0.0, 0.0]


def test_class_confusion_prefers_sure_and_distinct_predictions() -> None:
    ones = torch.ones(4)
    sure = torch.tensor([[9.0, 0.0], [9.0, 0.0], [0.0, 9.0], [0.0, 9.0]])
    assert class_confusion(sure, ones) < 0.1 < class_confusion(sure / 9, ones)
    first = torch.tensor([1.0, 1.0, 0.0, 0.0])
    mixed = torch.tensor([[9.0, 0.0], [0.0, 9.0], [0.0, 0.0], [0.0, 0.0]])
    assert class_confusion(mixed, first) < class_confusion(mixed, ones)


def test_pseudo_labels_follow_the_threshold_and_the_prior() -> None:
    ones = torch.ones(2)
    source = torch.tensor([[0.9, 0.1], [0.1, 0.9]])
    target = torch.tensor([[0.95, 0.05], [0.55, 0.45]])
    label, sure = PseudoLabels(align=False).labels(source, target, ones, ones)
    assert label.tolist() == [0, 0]
    assert sure.tolist() == [1.0, 0.0]
    label, _ = PseudoLabels().labels(source, target, ones, ones)
    assert label.tolist() == [0, 1]  # moved to the source's fractions, half and half
    label, _ = PseudoLabels(prior=(0.95, 0.05)).labels(source, target, ones, ones)
    assert label.tolist() == [0, 0]


def test_aligned_predictions_move_towards_the_wanted_fractions() -> None:
    prediction = torch.softmax(torch.randn(500, 3) + torch.tensor([1.0, 0.0, 0.0]), 1)
    fractions, ones = torch.full((3,), 1 / 3), torch.ones(500)
    moved = aligned(prediction, ones, fractions)
    assert torch.allclose(moved.sum(1), ones)
    assert (moved.mean(0) - fractions).abs().sum() < 0.3 * (prediction.mean(0) - fractions).abs().sum()


def test_contrast_is_its_formula_where_all_rows_are_sure() -> None:
    """Then it is the supervised contrastive loss: positives of the same label, all other rows negatives."""
    prediction = torch.eye(3)[[0, 0, 1, 2]]
    views = torch.randn(8, 5)
    z = torch.nn.functional.normalize(views, dim=1)
    label = [0, 0, 1, 2] * 2
    expected = 0.0
    for i in range(8):
        partners = [a for a in range(8) if a != i]
        below = sum(float(torch.exp(z[i] @ z[a] / 0.07)) for a in partners)
        same = [p for p in partners if label[p] == label[i]]
        expected -= np.mean([np.log(float(torch.exp(z[i] @ z[p] / 0.07)) / below) for p in same]) / 8
    actual = complementary_contrast(views, prediction, torch.ones(4))
    assert actual.item() == pytest.approx(float(expected), rel=1e-4)


def test_contrast_of_unsure_rows_leaves_pairs_of_them_out() -> None:
    prediction = torch.tensor([[0.4, 0.35, 0.25], [0.35, 0.4, 0.25]])
    views = torch.randn(4, 5)
    # each row has its other view and nothing else: a share of 1, a loss of 0
    assert complementary_contrast(views, prediction, torch.ones(2)).item() == pytest.approx(0.0, abs=1e-6)


def toy(classes: int) -> tuple[DomainRows, DomainRows]:
    rng = np.random.default_rng(0)
    x, other = rng.normal(size=(2, 600, 3)).astype(np.float32)
    label = (x[:, 0] > 0).astype(int) if classes == 2 else np.digitize(x[:, 0], [-0.5, 0.5])
    weight = rng.normal(1.0, 0.5, 600)
    source = DomainRows(x, {"class": label}, {"domain": weight}, {"background": label == 0, "signal": label > 0})
    return source, DomainRows(other + 0.5, weights={"domain": np.ones(600)})


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_of_the_registry_trains_and_moves_the_encoder(method: str, precision: str) -> None:
    classes = 3 if method == "contrast" else 2
    source, target = toy(classes)
    with seeded(0):
        masks = ("background", "signal") if method == "conditional" else ()
        comparison = Comparison(8, classes, weight="domain", masks=masks)
        heads, terms = build(methods_of(method, schedule="constant", hidden=(8,)), comparison)
        main = Head("class", mlp(8, [], 1 if classes == 2 else 3), loss="binary" if classes == 2 else "multiclass")
        net = Network(mlp(3, [16, 8]), [main, *heads], terms=terms)
    before = net.encoder[0].weight.detach().clone()
    history = Trainer(epochs=2, batch_size=200, device="cpu", precision=precision).fit(net, source, target)
    assert all(np.isfinite(v) for v in history["class_loss"])
    assert not torch.equal(net.encoder[0].weight, before)
    for name in [h.name for h in heads] + [t.name for t in terms]:
        assert np.isfinite(history[f"{name}_loss"][-1])


def test_inputs_of_the_domain_head_are_methods_by_another_name() -> None:
    for input_name, method in {"features": "dann", "score": "pivot", "features*score": "cdan"}.items():
        heads, expected = [], []
        with seeded(1):
            heads, _ = build(methods_of("dann", input=input_name, balance=False), Comparison(8))
        with seeded(1):
            expected, _ = build(methods_of(method, balance=False), Comparison(8))
        assert heads[0].spec() == expected[0].spec() and not heads[0].balance
        for a, b in zip(heads[0].module.parameters(), expected[0].module.parameters(), strict=True):
            assert torch.equal(a, b)
    with pytest.raises(ConfigError, match="Did you mean 'score'"):
        build(methods_of("dann", input="scores"), Comparison(4))


def test_methods_that_are_joined_have_heads_of_their_own() -> None:
    source, target = toy(2)
    heads, terms = build(methods_of("dann,pivot,cdan+e,disco", hidden=(8,)), Comparison(8, weight="domain"))
    assert [head.name for head in heads] == ["domain", "domain_pivot", "domain_cdan_e"]
    net = Network(mlp(3, [16, 8]), [Head("class", mlp(8, [], 1)), *heads], terms=terms)
    history = Trainer(epochs=2, batch_size=200, device="cpu").fit(net, source, target)
    for name in ("domain", "domain_pivot", "domain_cdan_e"):
        assert history[f"{name}_chance"][-1] == pytest.approx(np.log(2.0), rel=0.3)  # all tell the domains apart
    assert np.isfinite(history["disco_loss"][-1])


def test_a_critic_takes_five_steps_unless_told() -> None:
    methods = WassersteinCritic(), WassersteinCritic(steps=2), WassersteinCritic(steps=8)
    assert [build(method, Comparison(4))[1][0].steps for method in methods] == [5, 2, 8]


def test_names_that_are_not_there() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'dann'"):
        build("dan", Comparison(4))
    with pytest.raises(ConfigError, match="three classes"):
        build("contrast", Comparison(4))
    with pytest.raises(ConfigError, match="masks"):
        build("conditional", Comparison(4))
    names = listing()
    assert set(names["methods"]) == set(METHODS)
    assert all(text for text in names["methods"].values())


def gradients(net: Network, source: DomainRows, target: DomainRows) -> Tensor:
    """Of everything in one batch of all rows."""
    plan = batch_layout(net, source, target)
    assert plan.target is not None
    tables = plan.source, plan.target
    batch = Batch(torch.cat([t.features for t in tables]), torch.cat([t.columns for t in tables]), len(source))
    loss = Objective(net, plan, torch.device("cpu"))(batch).total
    result = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)
    return torch.cat([g.flatten() for g in result if g is not None])


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"none", "vat", "vada", "wasserstein"}))  # these draw by row
def test_in_every_method_a_weight_of_two_is_a_row_twice_and_a_weight_of_zero_none(method: str) -> None:
    classes = 3 if method == "contrast" else 2
    source, target = toy(classes)
    source, target = source.select(np.arange(80)), target.select(np.arange(60))
    with seeded(0):
        masks = ("background", "signal") if method == "conditional" else ()
        methods = methods_of(method, schedule="constant", hidden=(8,), balance=False)
        heads, terms = build(methods, Comparison(8, classes, weight="domain", masks=masks))
        loss = "multiclass" if classes == 3 else "binary"
        main = Head("class", mlp(8, [], 1 if classes == 2 else 3), loss=loss, weight="domain")
        net = Network(mlp(3, [16, 8], activation="tanh"), [main, *heads], terms=terms, normalization=None)
    net.double().eval()

    def weighted(rows: DomainRows, row: int, factor: float) -> DomainRows:
        weight = np.array(rows.weights["domain"])
        weight[row] *= factor
        return replace(rows, weights={"domain": weight})

    twice = np.r_[np.arange(80), 3], np.r_[np.arange(60), 7]
    pairs = [
        (gradients(net, weighted(source, 3, 2.0), target), gradients(net, source.select(twice[0]), target)),
        (gradients(net, source, weighted(target, 7, 2.0)), gradients(net, source, target.select(twice[1]))),
        (gradients(net, source, weighted(target, 59, 0.0)), gradients(net, source, target.select(np.arange(59)))),
    ]
    for actual, expected in pairs:
        assert float((actual - expected).abs().max()) < 1e-11 * float(expected.abs().max())
