"""Set encoders: what may not change their output, pairs held against vector, trainings, files."""

import math

import numpy as np
import pytest
import torch
import vector

from hepda.adversarial import (
    Collection,
    DeepSets,
    DeepSetsSettings,
    DomainRows,
    Head,
    Network,
    Reversal,
    SetLayout,
    SetTransformer,
    Trainer,
    TrainSettings,
    TransformerSettings,
    mlp,
    seeded,
)
from hepda.adversarial.data.stored import RowSubset
from hepda.adversarial.networks.kernels import PRODUCTS, Fast
from hepda.adversarial.networks.sets_inputs import SetInputs
from hepda.adversarial.networks.sets_pairs import PAIR_FEATURES, PairBias, pair_features
from hepda.errors import ConfigError, DataError, SourceError

JETS = Collection("jets", 6, ("pt", "eta", "phi", "mass", "tag"), ("pt", "eta", "phi", "mass"))
MET = Collection("met", 1, ("value", "angle"), ("value", None, "angle", None))
LAYOUT = SetLayout((JETS, MET), flat=2)
ENCODERS = {
    "deepsets": lambda layout: DeepSets(layout, DeepSetsSettings(width=16)),
    "mean": lambda layout: DeepSets(layout, DeepSetsSettings(width=16, pooling="mean")),
    "transformer": lambda layout: SetTransformer(layout, TransformerSettings(width=16, layers=2, pairwise=())),
    "pairwise": lambda layout: SetTransformer(layout, TransformerSettings(width=16, pairwise=PAIR_FEATURES)),
}


def rows(n, seed=0, layout=LAYOUT):
    """Random events: up to six jets, missing momentum in most, two flat columns."""
    random = np.random.default_rng(seed)
    jets = np.stack(
        [
            25 + random.exponential(50, (n, 6)),
            random.normal(0, 1.2, (n, 6)),
            random.uniform(-np.pi, np.pi, (n, 6)),
            random.exponential(8, (n, 6)),
            random.integers(0, 5, (n, 6)),
        ],
        axis=-1,
    )
    met = np.stack([random.exponential(40, n), random.uniform(-np.pi, np.pi, n)], axis=1)
    number, seen = random.integers(0, 7, (n, 1)), random.random((n, 1)) < 0.9
    parts = [number, jets.reshape(n, -1), seen, met, random.normal(3, 2, (n, 2))]
    return torch.from_numpy(np.concatenate(parts, axis=1)).float()[:, : layout.columns]


def jets_of(x):
    return x[:, 1:31].reshape(-1, 6, 5)


def fitted(name, layout=LAYOUT, seed=0):
    with seeded(seed):
        encoder = ENCODERS[name](layout)
    x = rows(500, layout=layout)
    for part in encoder.modules():
        if isinstance(part, SetInputs | PairBias):
            part.fit(x)
    return encoder.eval()


@pytest.mark.parametrize("name", ENCODERS)
def test_the_order_of_objects_does_not_matter(name):
    encoder, x = fitted(name), rows(50, seed=1)
    changed = x.clone()
    for row in changed:
        number = int(row[0])
        jets = row[1:31].view(6, 5)
        jets[:number] = jets[:number][torch.randperm(number, generator=torch.Generator().manual_seed(number))]
    assert not torch.equal(x, changed)
    torch.testing.assert_close(encoder(changed), encoder(x), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ENCODERS)
def test_padding_may_be_anything_and_objects_may_not(name):
    encoder, x = fitted(name), rows(50, seed=1)
    changed = x.clone()
    for row in changed:
        row[1:31].view(6, 5)[int(row[0]) :] = torch.tensor([-1.0, 1e30, -1e30, -999.0, 0.0])
        if row[31] == 0:
            row[32:34] = -1e30
    expected = encoder(x)
    assert torch.equal(encoder(changed), expected)
    assert bool(torch.isfinite(expected).all())
    moved = x.clone()
    moved[:, 1] *= 2.0  # pt of the first jet
    different = (encoder(moved) - expected).abs().amax(dim=1) > 1e-6
    assert torch.equal(different, x[:, 0] > 0)


@pytest.mark.parametrize("name", ENCODERS)
def test_more_objects_than_places_are_all_places(name):
    encoder, x = fitted(name), rows(20, seed=1)
    x[:, 0] = 6.0
    more = x.clone()
    more[:, 0] = 11.0
    assert torch.equal(encoder(more), encoder(x))


@pytest.mark.parametrize("name", ENCODERS)
def test_rows_do_not_see_each_other(name):
    encoder, x = fitted(name), rows(40, seed=1)
    torch.testing.assert_close(encoder(x[10:11]), encoder(x)[10:11], atol=2e-5, rtol=1e-4)
    empty = x[:3].clone()
    empty[:, [0, 31]] = 0.0  # a batch without any object
    assert bool(torch.isfinite(encoder(empty)).all())


def test_pairs_are_those_of_vector():
    random = np.random.default_rng(3)
    first, second = (
        np.stack([random.exponential(80, 500), random.normal(0, 1.5, 500), random.uniform(-3.2, 3.2, 500),
                  random.exponential(10, 500)], axis=1)
        for _ in range(2)
    )  # fmt: skip
    a, b = (vector.array({"pt": v[:, 0], "eta": v[:, 1], "phi": v[:, 2], "mass": v[:, 3]}) for v in (first, second))
    found = pair_features(torch.from_numpy(first), torch.from_numpy(second))
    delta_r = a.deltaRapidityPhi(b)
    softer = np.minimum(first[:, 0], second[:, 0])
    expected = {
        "kt": softer * delta_r,
        "z": softer / (first[:, 0] + second[:, 0]),
        "delta_r": delta_r,
        "mass": (a + b).mass2,
    }
    assert tuple(expected) == PAIR_FEATURES
    for name, values in expected.items():
        np.testing.assert_allclose(found[name].numpy(), np.log(values), rtol=1e-9, atol=1e-9, err_msg=name)


def test_the_mass_of_a_light_fast_pair_is_right_in_float32():
    """As the difference of the squares of energy and momentum it would be lost: m^2 is 5e3, E^2 1e11."""
    momenta = torch.tensor([[50_000.0, 2.0, 0.1, 0.0], [50_000.0, 2.001, 0.101, 0.0]])
    (_, eta_a, phi_a, _), (_, eta_b, phi_b, _) = momenta.double().tolist()
    expected = 2 * 50_000.0**2 * (math.cosh(eta_a - eta_b) - math.cos(phi_a - phi_b))
    found = float(pair_features(momenta[0], momenta[1])["mass"])
    assert found == pytest.approx(math.log(expected), abs=2e-3)


def test_the_bias_of_pairs_is_symmetric_and_that_of_absent_objects_0():
    encoder = fitted("pairwise")
    x = rows(30, seed=2)
    bias = encoder._of_pairs(encoder.pairs, x).detach()
    real = torch.cat([x[:, :1] > torch.arange(6), x[:, 31:32] > 0.5], dim=1)
    both = real[:, :, None] & real[:, None, :] & ~torch.eye(7, dtype=torch.bool)
    assert torch.equal((bias[:, :, 2:, 2:] != 0).all(dim=1), both)
    assert torch.equal(bias, bias.transpose(2, 3))
    assert float(bias[:, :, :2].abs().max()) == 0.0  # class token and flat columns


def test_the_standardisation_is_over_real_objects_by_weight():
    x, weight = rows(2000, seed=4), torch.rand(2000, generator=torch.Generator().manual_seed(0)) - 0.2
    inputs = SetInputs(LAYOUT).fit(x, weight, chunk=300)
    objects, flat = inputs(x)
    w = weight.abs().double()
    for part in objects:
        each = w[:, None].expand(part.real.shape)[part.real]
        values = part.values[part.real].double()
        mean = (each @ values) / each.sum()
        torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-5, rtol=0)
        width = ((each @ values.square()) / each.sum()).sqrt()
        torch.testing.assert_close(width, torch.ones_like(width), atol=1e-4, rtol=0)
    assert float((w @ flat.double()).abs().max() / w.sum()) < 1e-5
    number = x[:, :1] > torch.arange(6)
    pt, share = np.log1p(jets_of(x)[..., 0][number].double().numpy()), w[:, None].expand(2000, 6)[number].numpy()
    assert float(inputs.mean[0]) == pytest.approx(np.average(pt, weights=share), rel=1e-6)
    stored = SetInputs(LAYOUT).fit(RowSubset(x, np.arange(2000)), weight)
    torch.testing.assert_close(stored.mean, inputs.mean)
    torch.testing.assert_close(stored.scale, inputs.scale)


def test_logarithms_and_angles_are_optional_or_where_the_four_momentum_says():
    plain = SetInputs(SetLayout((Collection("jets", 6, JETS.features),)), log_energies=True)
    x = rows(10)
    torch.testing.assert_close(plain.prepared(plain.layout.collections[0], jets_of(x)), jets_of(x))
    prepared = SetInputs(LAYOUT, log_energies=False).prepared(JETS, jets_of(x))
    pt, eta, phi, mass, tag = jets_of(x).unbind(-1)
    torch.testing.assert_close(prepared, torch.stack([pt, eta, phi.cos(), phi.sin(), mass, tag], dim=-1))


def test_input_that_cannot_be_standardised_is_refused():
    x = rows(100)
    x[:, 31] = 0.0
    with pytest.raises(DataError, match="no object of the collection 'met'"):
        SetInputs(LAYOUT).fit(x)
    x = rows(100)
    x[x[:, 0] > 0, 2] = math.nan
    with pytest.raises(DataError, match="'jets' hold NaN"):
        SetInputs(LAYOUT).fit(x)
    with pytest.raises(DataError, match="has 36 columns, the rows have 35"):
        SetInputs(LAYOUT).fit(x[:, 1:])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Collection("jets", 0, ("pt",)), "1 to 200 objects"),
        (lambda: Collection("jets", 2, ("pt", "eta"), ("pt", "eta", "ph", None)), "'ph' of its four-momentum"),
        (lambda: TransformerSettings(width=10, heads=4), "cannot be divided"),
        (lambda: TransformerSettings(layers=1, pairwise=PAIR_FEATURES), "2 layers or more"),
        (lambda: DeepSetsSettings(pooling="max"), "neither sum nor mean"),
        (lambda: PairBias(SetLayout((Collection("a", 3, ("x",)),)), PAIR_FEATURES, 2), "need objects with four-mom"),
        (lambda: PairBias(LAYOUT, ("masss",), 2), "Did you mean 'mass'"),
        (lambda: SetLayout(()), "at least one collection"),
    ],
)
def test_settings_that_do_not_fit_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


# ---- trainings -----------------------------------------------------------------------------------------------------


def close_pairs(n, seed):
    """Events of which one half has a pair of jets at a distance of 0.3, in any two places."""
    random = np.random.default_rng(seed)
    x = rows(n, seed=seed).numpy()
    label = np.arange(n) % 2
    x[:, 0] = random.integers(3, 7, n)
    jets = x[:, 1:31].reshape(n, 6, 5)
    jets[..., 1] = np.linspace(-2.5, 2.5, 6) + random.normal(0, 0.1, (n, 6))
    for row in np.flatnonzero(label):
        a, b = random.permutation(int(x[row, 0]))[:2]
        jets[row, a, 1:3] = jets[row, b, 1:3] + random.choice([-0.2, 0.2], 2)
    for row in range(n):
        jets[row, : int(x[row, 0])] = random.permutation(jets[row, : int(x[row, 0])])
    return torch.from_numpy(x), label


def many_tags(n, seed):
    """Events of which one half has a mean tag above the middle, in any number of jets."""
    x, random = rows(n, seed=seed), np.random.default_rng(seed)
    x[:, 0] = torch.from_numpy(random.integers(1, 7, n)).float()
    jets = jets_of(x)
    real = (x[:, :1] > torch.arange(6)).float()
    mean = (jets[..., 4] * real).sum(1) / real.sum(1)
    return x, (mean > 2.0).long().numpy()


def accuracy(encoder, problem, epochs=30):
    (x, label), (other, expected) = problem(400, 1), problem(1000, 2)
    with seeded(1):
        network = Network(encoder(), [Head("class", mlp(32, (), 1))])
    settings = {"epochs": epochs, "batch_size": 50, "learning_rate": 5e-3, "seed": 1, "kernels": "plain"}
    Trainer(**settings).fit(network, DomainRows(x, targets={"class": label}))
    return float(np.mean((network.predict(other) > 0.5) == expected))


def test_a_transformer_learns_from_few_events_which_have_a_close_pair():
    settings = TransformerSettings(width=32, layers=2, heads=2, pairwise=("delta_r", "mass"))
    assert accuracy(lambda: SetTransformer(LAYOUT, settings), close_pairs, epochs=10) > 0.9
    assert accuracy(lambda: mlp(LAYOUT.columns, [64, 64, 32]), close_pairs) < 0.7


def test_deep_sets_learn_from_few_events_what_a_mean_is():
    settings = DeepSetsSettings(width=32, pooling="mean")
    assert accuracy(lambda: DeepSets(LAYOUT, settings), many_tags) > 0.93
    assert accuracy(lambda: mlp(LAYOUT.columns, [64, 64, 32]), many_tags) < 0.87


def domains(n=300):
    source, target = rows(n, seed=5), rows(n, seed=6)
    target[:, 1:31:5] *= 1.4
    label = (source[:, 0] > 3).long().numpy()
    return DomainRows(source, targets={"class": label}), DomainRows(target)


def adapted(name, strength=1.0):
    with seeded(2):
        heads = [Head("class", mlp(16, (), 1))]
        reversal = Reversal(strength, schedule="constant")
        heads.append(Head("domain", mlp(16, (8,), 1), rows="both", target="domain", reversal=reversal))
        return Network(ENCODERS[name](LAYOUT), heads)


@pytest.mark.parametrize("name", ENCODERS)
def test_the_gradient_of_a_reversed_head_is_reversed_in_the_encoder(name):
    from hepda.adversarial.data.batches import Placement
    from hepda.adversarial.training.state import TrainingState

    source, target = domains(100)
    gradients = []
    for strength in (1.0, 2.0):
        network = adapted(name, strength)
        settings = TrainSettings(epochs=1, batch_size=100, seed=1, kernels="plain")
        state = TrainingState(settings, network, source, target, None, Placement(torch.device("cpu"), 0, 1))
        state.objective.advance(0.5, 1.0)
        loss = state.objective(state.batches(0), False)
        encoder = [p for p in network.encoder.parameters() if p.requires_grad]
        reversed_gradient = torch.autograd.grad(loss.adversaries["domain"], encoder, retain_graph=True)
        raw = torch.nn.functional.softplus  # the same loss without the reversal, from the same batch
        features = network.encode(state.batches(0).features, 100)
        logit = network.head_modules["domain"](features)[:, 0]
        plain = (raw(logit[:100]).mean() + raw(-logit[100:]).mean()) / 2
        direct = torch.autograd.grad(plain, encoder)
        for a, b in zip(reversed_gradient, direct, strict=True):
            torch.testing.assert_close(a, -strength * b, atol=1e-6, rtol=1e-3)
        gradients.append(direct)
    assert any(float(g.abs().max()) > 1e-4 for g in gradients[0])


@pytest.mark.parametrize("name", ["deepsets", "pairwise"])
def test_a_resumed_training_is_the_same_bit_for_bit(name, tmp_path):
    source, target = domains()
    settings = {"batch_size": 100, "seed": 3, "rate_schedule": "cosine", "average": 0.9, "kernels": "plain"}
    whole = adapted(name)
    Trainer(epochs=4, **settings).fit(whole, source, target)

    class Interrupted(Exception):  # noqa: N818
        pass

    def stop(history):
        if history.epochs == 2:
            raise Interrupted

    path = tmp_path / "checkpoint"
    with pytest.raises(Interrupted):
        Trainer(epochs=4, **settings).fit(adapted(name), source, target, checkpoint=path, on_epoch=stop)
    resumed = adapted(name)
    Trainer(epochs=4, **settings).fit(resumed, source, target, checkpoint=path, resume=True)
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key


@pytest.mark.parametrize("name", ENCODERS)
def test_the_kernels_of_a_training_give_the_same_gradients(name):
    network, x = Network(fitted(name), [Head("class", mlp(16, (), 1))]), rows(80, seed=3)
    results = {}
    for kernels in ("plain", "onednn"):
        network.zero_grad()
        with Fast(network, PRODUCTS[kernels]):
            network(x)["class"].square().mean().backward()
        results[kernels] = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    network.zero_grad()
    network(x)["class"].square().mean().backward()
    for without, *others in zip(
        [p.grad for p in network.parameters() if p.grad is not None], *results.values(), strict=True
    ):
        for other in others:
            torch.testing.assert_close(other, without, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("precision", ["float64", "bfloat16"])
def test_other_precisions(precision):
    source, target = domains(100)
    network = adapted("pairwise")
    history = Trainer(epochs=2, batch_size=50, precision=precision).fit(network, source, target)
    assert all(math.isfinite(value) for value in history.columns["class_loss"])
    assert bool(np.isfinite(network.predict(source.features)).all())


def test_a_run_is_not_resumed_with_another_number_of_heads():
    settings = TrainSettings(epochs=1)

    def network(heads):
        encoder = SetTransformer(LAYOUT, TransformerSettings(width=16, heads=heads))
        return Network(encoder, [Head("class", mlp(16, (), 1))])

    assert settings.fingerprint(network(2)) != settings.fingerprint(network(4))
    assert settings.fingerprint(network(2)) == settings.fingerprint(network(2))


# ---- files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENCODERS)
def test_a_saved_network_gives_the_same(name, tmp_path):
    network, x = Network(fitted(name), [Head("class", mlp(16, (), 1))], metadata={"model": name}), rows(70, seed=3)
    network.save(tmp_path / "network.safetensors")
    loaded = Network.load(tmp_path / "network.safetensors")
    assert np.array_equal(loaded.predict(x), network.predict(x))
    assert np.array_equal(loaded.embed(x), network.embed(x))
    assert loaded.embed(x).shape == (70, 16)
    assert loaded.encoder.spec == network.encoder.spec
    assert loaded.encoder.inputs == LAYOUT.columns


def test_a_file_with_a_wrong_description_is_refused(tmp_path):
    path = tmp_path / "network.safetensors"
    for change in ({"kind": "mixer"}, {"settings": {"width": 16}}, {"settings": {"layers": 10**9}}):
        network = Network(fitted("deepsets"), [Head("class", mlp(16, (), 1))])
        settings = network.encoder.spec["settings"] | change.get("settings", {}) if "layers" in str(change) else {}
        network.encoder.spec = network.encoder.spec | change | ({"settings": settings} if settings else {})
        network.save(path)
        with pytest.raises(SourceError, match="cannot be read"):
            Network.load(path)
