import numpy as np
import pytest
import torch
from scipy.stats import norm

from hepda.errors import DataError
from hepda.evaluation.differences.probes import ProbeSettings, permutation_importance, probe, removal
from hepda.evaluation.roc import auc


def sign(generator, n, share=0.15):
    return np.where(generator.random(n) < share, -1.0, 1.0)


def pair(seed, n=4000, shift=0.5, columns=1):
    generator = np.random.default_rng(seed)
    a, b = generator.normal(0, 1, (n, columns)), generator.normal(0, 1, (n, columns))
    b[:, 0] += shift
    return a, b, sign(generator, n), 20 * sign(generator, n)


@pytest.mark.parametrize("kind", ["bdt", "mlp"])
def test_finds_what_there_is_to_find(kind):
    a, b, wa, wb = pair(0)
    result = probe(a[:, 0], b[:, 0], wa, wb, settings=ProbeSettings(kind, seed=1))
    optimal = auc(np.concatenate([a, b])[:, 0], np.repeat([0, 1], 4000), np.concatenate([wa / wa.sum(), wb / wb.sum()]))
    assert result.auc.value == pytest.approx(optimal, abs=0.02)
    assert result.auc.low < result.auc.value < result.auc.high
    assert (result.events_source, result.events_other, result.folds) == (4000, 4000, 2)
    assert result == probe(a[:, 0], b[:, 0], wa, wb, settings=ProbeSettings(kind, seed=1))


def null_pulls(kind, n, experiments):
    values = [
        probe(*pair(100 + s, n, 0.0, 3), settings=ProbeSettings(kind, seed=s, replicas=40)).auc
        for s in range(experiments)
    ]
    return np.array([(v.value - 0.5) / v.error for v in values])


@pytest.mark.parametrize("kind", ["bdt", "mlp"])
def test_is_one_half_within_its_interval_where_there_is_nothing(kind):
    pulls = null_pulls(kind, 400, 8)
    assert abs(pulls.mean()) < 1
    assert 0.4 < np.sqrt(np.mean(pulls**2)) < 1.5


@pytest.mark.slow
def test_interval_covers_the_noise_that_folds_share():
    """Without the factor sqrt(2) these pulls are 1.2 to 1.4 wide."""
    pulls = null_pulls("mlp", 1500, 40)
    assert abs(pulls.mean()) < 3 / np.sqrt(40)
    assert 0.65 < np.sqrt(np.mean(pulls**2)) < 1.1


@pytest.mark.parametrize("kind", ["bdt", "mlp"])
def test_sees_what_a_linear_probe_and_a_mean_do_not(kind):
    generator = np.random.default_rng(2)
    a = generator.normal(0, 1, (4000, 2))
    b = generator.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 4000)
    assert probe(a, b, settings=ProbeSettings(kind), representation="embedding").auc.low > 0.6


def test_folds_are_held_out():
    """A feature that names the event cannot help if no event is in fit and test; a leak would give AUC 1."""
    generator = np.random.default_rng(3)
    identity = generator.permutation(2000).astype(float)
    result = probe(identity[:1000], identity[1000:], settings=ProbeSettings(max_events=None))
    assert result.auc.value == pytest.approx(0.5, abs=0.06)


def test_thinning_and_global_torch_state_is_left_alone():
    a, b, wa, wb = pair(4)
    state = torch.random.get_rng_state()
    result = probe(a, b, wa, wb, settings=ProbeSettings("mlp", folds=3, max_events=1000, replicas=20))
    assert (result.events_source, result.folds) == (1000, 3)
    assert torch.equal(state, torch.random.get_rng_state())


def test_importance_names_the_shifted_input():
    a, b, wa, wb = pair(5, columns=3)
    result = permutation_importance(a, b, ["x", "y", "z"], wa, wb)
    assert result.names[0] == "x" and result.drop[0] > 0.08
    assert np.all(np.abs(result.drop[1:]) < 0.03)
    assert result.auc == pytest.approx(0.64, abs=0.03)
    with pytest.raises(ValueError, match="2 names for 3"):
        permutation_importance(a, b, ["x", "y"])


def test_without_the_inputs_that_tell_most_a_fresh_probe_finds_what_is_left():
    """x tells the domains, y the classes: without x the domains are one, and the classes as far apart as before."""
    generator = np.random.default_rng(6)
    size, near = (3000, 3), ProbeSettings(max_events=None, replicas=20)
    source, other = generator.normal(size=size), generator.normal([1.0, 0.0, 0.0], size=size)
    signal = generator.normal([0.0, 1.0, 0.0], size=size)
    pairs = (source, other, None, None), (source, signal, None, None)
    result = removal(*pairs, ["x", "y", "z"], ["x", "z", "y"], counts=(1, 2, 3), settings=near)
    assert (result.names, result.counts) == (("x", "z"), (0, 1, 2))  # one input has to stay
    apart = norm.cdf(1 / np.sqrt(2))  # AUC of two unit Gaussians at a distance of 1
    values = [[auc.value for auc in of] for of in (result.domains, result.classes)]
    assert values[0] == pytest.approx([apart, 0.5, 0.5], abs=0.03)
    assert values[1] == pytest.approx([apart] * 3, abs=0.03)
    # The other way round, the classes are lost with the domains.
    both = removal(pairs[0], pairs[0], ["x", "y", "z"], ["x", "z", "y"], counts=(1,), settings=near)
    assert both.classes == both.domains


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"source": [[np.nan], [1.0]]}, DataError, "1 of 2 events of the source"),
        ({"other": np.zeros((4, 2))}, ValueError, "1 columns of the source, 2"),
        ({"source_weight": [-1.0, -1.0]}, DataError, "positive sum"),
        ({"source_weight": [2.0, -1.0]}, DataError, "fold . of 2 has no positive sum of weights of the source"),
    ],
)
def test_unusable_input_is_named(change, error, message):
    arguments = {"source": [0.0, 1.0], "other": [0.0, 1.0, 2.0]} | change
    with pytest.raises(error, match=message):
        probe(**arguments)


@pytest.mark.parametrize(("change", "message"), [({"kind": "tree"}, "'bdt' or 'mlp'"), ({"folds": 1}, "two folds")])
def test_unusable_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        ProbeSettings(**change)
