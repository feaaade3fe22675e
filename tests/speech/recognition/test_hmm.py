"""Viterbi against all paths written out, and graphs that say what they should."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from hepda.errors import ConfigError, DataError
from hepda.speech.recognition.hmm import Lexicon, graph_of, graph_of_sequence, stacked, viterbi, words_on

LEXICON = Lexicon.of_words(("a", "b"), 2)
STAY = torch.tensor([0.6, 0.7, 0.5, 0.8, 0.9], dtype=torch.float64)


def likelihoods(utterances: int, frames: int, senones: int = 5, seed: int = 1) -> torch.Tensor:
    return torch.randn(utterances, frames, senones, generator=torch.Generator().manual_seed(seed))


def best_by_hand(likelihood: torch.Tensor, graph) -> tuple[float, tuple[int, ...]]:
    """Every sequence of states, one after the other."""
    k = len(graph.senone)
    arc = torch.full((k, k), -math.inf)
    for state in range(k):
        for before, weight in zip(graph.before[state].tolist(), graph.arc[state].tolist(), strict=True):
            if before < k:
                arc[before, state] = weight
    best = (-math.inf, ())
    for path in itertools.product(range(k), repeat=len(likelihood)):
        total = float(graph.start[path[0]] + graph.final[path[-1]])
        total += sum(float(arc[i, j]) for i, j in itertools.pairwise(path))
        total += sum(float(likelihood[t, graph.senone[s]]) for t, s in enumerate(path))
        best = max(best, (total, path))
    return best


@pytest.mark.parametrize("loop", [False, True])
def test_the_best_path_is_the_best_of_all_paths(loop):
    graph = graph_of(LEXICON, STAY, [0, 1], loop=loop, cost=-0.3 if loop else 0.0)
    for seed in range(2):
        likelihood = likelihoods(1, 5, seed=seed)
        path, total = viterbi(likelihood, torch.tensor([5]), graph)
        expected, states = best_by_hand(likelihood[0], graph)
        assert float(total[0]) == pytest.approx(expected, abs=1e-4)
        assert path[0].tolist() == list(states)


def test_the_words_in_their_order_are_aligned_by_the_best_path():
    graph = graph_of_sequence(LEXICON, STAY, [1, 0])
    likelihood = likelihoods(1, 5, seed=3)
    path, total = viterbi(likelihood, torch.tensor([5]), graph)
    expected, states = best_by_hand(likelihood[0], graph)
    assert (float(total[0]), path[0].tolist()) == (pytest.approx(expected, abs=1e-4), list(states))
    assert words_on(path[0], graph) == [1, 0]


def test_utterances_side_by_side_have_the_paths_that_they_have_alone():
    graph = graph_of(LEXICON, STAY, [0, 1], loop=True)
    length = torch.tensor([7, 12, 2, 12])
    likelihood = likelihoods(4, 12)
    path, total = viterbi(likelihood, length, graph)
    for number, frames in enumerate(length.tolist()):
        alone, score = viterbi(likelihood[number : number + 1, :frames], length[number : number + 1], graph)
        assert path[number, :frames].tolist() == alone[0].tolist()
        assert float(total[number]) == pytest.approx(float(score[0]), abs=1e-4)
        assert bool((path[number, frames:] == -1).all())


def test_each_utterance_may_have_a_graph_of_its_own():
    graphs = [graph_of_sequence(LEXICON, STAY, [word]) for word in (0, 1)]
    likelihood, length, which = likelihoods(3, 8), torch.tensor([8, 6, 8]), torch.tensor([1, 0, 1])
    path, total = viterbi(likelihood, length, stacked(graphs, which))
    for number in range(3):
        row = slice(number, number + 1)
        alone, score = viterbi(likelihood[row], length[row], graphs[int(which[number])])
        assert path[number].tolist()[: int(length[number])] == alone[0].tolist()[: int(length[number])]
        assert float(total[number]) == pytest.approx(float(score[0]), abs=1e-4)


def test_words_are_read_off_clear_likelihoods():
    """b, silence, a, a again without a pause: the word that follows itself is counted twice."""
    states = [4, 2, 2, 3, 4, 4, 0, 1, 1, 0, 1, 4]
    likelihood = torch.full((1, len(states), 5), -20.0)
    likelihood[0, torch.arange(len(states)), torch.tensor(states)] = 0.0
    graph = graph_of(LEXICON, STAY, [0, 1], loop=True)
    path, _ = viterbi(likelihood, torch.tensor([len(states)]), graph)
    assert graph.senone[path[0]].tolist() == states
    assert words_on(path[0], graph) == [1, 0, 0]


def test_a_dearer_word_is_inserted_less_often():
    likelihood, length = likelihoods(20, 40), torch.full((20,), 40)
    many = []
    for cost in (0.0, -5.0, -50.0):
        graph = graph_of(LEXICON, STAY, [0, 1], loop=True, cost=cost)
        path, _ = viterbi(likelihood, length, graph)
        many.append(sum(len(words_on(states, graph)) for states in path))
    assert many[0] > many[1] > many[2]


def test_phones_are_shared_by_words():
    lexicon = Lexicon.of_phones({"no": ("n", "ow"), "on": ("aa", "n")}, 3)
    assert lexicon.units == ("n", "ow", "aa")
    assert lexicon.senones_of(0) == [0, 1, 2, 3, 4, 5]
    assert lexicon.senones_of(1) == [6, 7, 8, 0, 1, 2]
    assert lexicon.senones == 10
    assert lexicon.names()[lexicon.silence] == "silence"


def test_what_is_too_short_is_said():
    graph = graph_of_sequence(LEXICON, STAY, [0, 1])
    with pytest.raises(DataError, match="utterance 1 has 3 frames"):
        viterbi(likelihoods(2, 5), torch.tensor([5, 3]), graph)
    with pytest.raises(ConfigError, match="0 states"):
        Lexicon.of_words(("a",), 0)
