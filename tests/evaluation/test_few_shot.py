"""Few-shot classification: the fit of the attention, an informative and an empty feature space, and the leak."""

import numpy as np
import pytest

from hepda.errors import DataError
from hepda.evaluation.few_shot import (
    Episodes,
    FewShotSettings,
    _Weighted,
    accuracies,
    channel_attention,
    dealt_episodes,
    drawn_episodes,
    few_shot,
)
from hepda.results.few_shot import TITLES

SETTINGS = FewShotSettings(shots=(1, 5), queries=5, episodes=16, seed=3)


def features(separation, classes=5, rows=40, width=64, seed=1):
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(classes), rows)
    centres = separation * rng.normal(size=(classes, width))
    return np.maximum(rng.normal(size=(len(label), width)) + centres[label], 0.0), label


@pytest.fixture(scope="module")
def measured():
    encoders = [features(0.4, seed=seed)[0] for seed in (1, 2)]
    return few_shot(encoders, features(0.4)[1], SETTINGS)


def test_more_labelled_examples_are_better_and_all_ways_beat_chance(measured):
    one, five = measured
    assert (one.shots, five.shots, one.ways) == (1, 5, 5) and list(one.methods) == list(TITLES)
    for name in ("cosine", "euclidean", "logistic", "csca", "csca_apart"):
        assert five.methods[name].accuracy.low > one.methods[name].accuracy.high > 0.25


def test_without_information_every_honest_way_is_at_chance_and_the_leak_is_not(measured):
    for result in measured:
        for name in ("cosine", "euclidean", "logistic", "csca", "csca_apart"):
            accuracy = result.dealt[name].accuracy
            assert abs(accuracy.value - 0.2) < max(4 * accuracy.error, 0.03)
        leak = result.dealt["csca_published"]
        assert leak.accuracy.value > 0.7 and leak.difference.low > 0.4


def test_differences_are_paired(measured):
    for methods in (measured[1].methods, measured[1].dealt):
        assert methods["cosine"].difference is None
        for name in ("euclidean", "csca"):
            found, baseline = methods[name], methods["cosine"].accuracy
            assert found.difference.value == pytest.approx(found.accuracy.value - baseline.value)
    found = measured[1].methods["euclidean"]
    assert found.difference.error < np.hypot(found.accuracy.error, measured[1].methods["cosine"].accuracy.error)


def test_the_weights_lower_their_loss_and_nothing_else_is_needed_of_the_queries():
    rows, label = features(0.3)
    index = drawn_episodes(label, SETTINGS)[:3]
    drawn = rows[index]
    episodes = Episodes(drawn[:, :, 5:], drawn[:, :, :5])

    def losses(weight, apart):
        """The loss by its definition, one class and one example after the other."""
        found = []
        for support, weights in zip(episodes.support, weight, strict=True):
            for number, own in enumerate(weights):
                prototype = own * support[number].mean(axis=0)
                cosine = np.array([
                    [np.dot(own * x, prototype) / np.linalg.norm(own * x) / np.linalg.norm(prototype) for x in others]
                    for others in support
                ])  # fmt: skip
                inside, outside = cosine[number].mean(), np.delete(cosine, number, axis=0).mean()
                found.append(-np.log((inside - 0.5) * (1 - outside) if apart else (inside - 0.5) / (1 - outside)))
        return np.array(found)

    ones = np.ones_like(episodes.prototypes)
    for apart in (False, True):
        fitted = channel_attention(episodes, apart=apart)
        assert (losses(fitted, apart) < losses(ones, apart)).all()
        # Adam's first step is the rate times the sign of the gradient, which finite differences of the loss give
        first = channel_attention(episodes, apart=apart, steps=1, rate=1e-6) - ones
        for feature in range(0, 64, 16):
            shifted = ones.copy()
            shifted[:, :, feature] += 1e-6
            slope = (losses(shifted, apart) - losses(ones, apart)).reshape(3, 5)
            clear = np.abs(slope) > 1e-10
            assert clear.any() and (np.sign(slope[clear]) == -np.sign(first[:, :, feature][clear])).all()
    other = Episodes(episodes.support, episodes.query[::-1])
    np.testing.assert_array_equal(channel_attention(episodes), channel_attention(other))


def test_ones_as_weights_are_cosine_prototypes():
    rows, label = features(0.4)
    drawn = rows[drawn_episodes(label, SETTINGS)]
    episodes = Episodes(drawn[:, :, 5:], drawn[:, :, :5])
    found = accuracies(episodes)
    cosine = _Weighted(episodes.rows(episodes.query), episodes.prototypes).cosine(np.ones_like(episodes.prototypes))
    np.testing.assert_array_equal(episodes.accuracy(cosine.swapaxes(1, 2)), found["cosine"])


def test_episodes_are_seeded_balanced_and_share_no_example():
    label = features(1.0)[1]
    index = drawn_episodes(label, SETTINGS)
    assert index.shape == (16, 5, 10) and (label[index] == np.arange(5)[None, :, None]).all()
    np.testing.assert_array_equal(index, drawn_episodes(label, SETTINGS))
    for episodes in (index, dealt_episodes(len(label), 5, SETTINGS)):
        assert all(len(np.unique(episode)) == 50 for episode in episodes)


def test_two_classes_have_a_logistic_regression_too():
    rows, label = features(0.6, classes=2)
    assert few_shot([rows], label, SETTINGS)[1].methods["logistic"].accuracy.value > 0.8


def test_too_few_examples_are_refused_with_the_numbers():
    rows, label = features(1.0, rows=9)
    with pytest.raises(DataError, match=r"5 queries and 5 labelled examples .* but a class has 9"):
        few_shot([rows], label, SETTINGS)
    with pytest.raises(DataError, match="two classes"):
        few_shot([rows], np.zeros(len(rows)), SETTINGS)
    with pytest.raises(ValueError, match="for each encoder"):
        few_shot([rows[1:]], label, SETTINGS)
