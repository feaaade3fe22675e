"""Hidden Markov models of words: left-to-right states, graphs of them, and the best path through a graph (Viterbi)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hepda.errors import ConfigError, DataError

_NONE = -math.inf


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words as sequences of units (phones, or the words themselves), each with `states` states from left to right.

    State s of unit u is the senone `u * states + s`; silence is one additional senone, the last.

    Attributes:
        words: the words of the vocabulary.
        units: the units of the words.
        spelling: the units of each word, by number.
        states: number of states of a unit; usually three or more.

    """

    words: tuple[str, ...]
    units: tuple[str, ...]
    spelling: tuple[tuple[int, ...], ...]
    states: int

    def __post_init__(self) -> None:
        if self.states < 1:
            raise ConfigError(f"a unit has {self.states} states; it needs at least one")

    @classmethod
    def of_words(cls, words: Sequence[str], states: int) -> Lexicon:
        """Make a lexicon in which each word is a unit."""
        return cls(tuple(words), tuple(words), tuple((number,) for number in range(len(words))), states)

    @classmethod
    def of_phones(cls, phones: dict[str, Sequence[str]], states: int) -> Lexicon:
        """Make a lexicon of words with given phones."""
        units = tuple(dict.fromkeys(phone for spelt in phones.values() for phone in spelt))
        number = {unit: i for i, unit in enumerate(units)}
        return cls(tuple(phones), units, tuple(tuple(number[p] for p in spelt) for spelt in phones.values()), states)

    @property
    def silence(self) -> int:
        """The senone of silence."""
        return len(self.units) * self.states

    @property
    def senones(self) -> int:
        """Number of senones, including silence."""
        return self.silence + 1

    def senones_of(self, word: int) -> list[int]:
        """Return the senones of a word from left to right."""
        return [unit * self.states + s for unit in self.spelling[word] for s in range(self.states)]

    def names(self) -> list[str]:
        """Return a name for each senone."""
        return [f"{unit} {s + 1}" for unit in self.units for s in range(self.states)] + ["silence"]


@dataclass(frozen=True, slots=True)
class Graph:
    """States and arcs, for k states with at most p predecessors each.

    All attributes except `before` may have an additional first axis, with one graph for each utterance (`stacked`).

    Attributes:
        senone: the senone of each state, int64 [k].
        before: predecessors, including the state itself, int64 [k, p]; k is none.
        arc: log probabilities of the transition from each predecessor, float32 [k, p]; -inf for none.
        start: log probability of beginning in a state, float32 [k].
        final: log probability of ending in it, float32 [k].
        word: the word of a state, int64 [k]; -1 for silence.
        opens: whether a path begins a word when it enters this state from another one, bool [k].

    """

    senone: Tensor
    before: Tensor
    arc: Tensor
    start: Tensor
    final: Tensor
    word: Tensor
    opens: Tensor


def graph_of(lexicon: Lexicon, stay: Tensor, words: Sequence[int], *, loop: bool = False, cost: float = 0.0) -> Graph:
    """Return the graph of one word, or with `loop` of one or more words, between optional silences.

    With `loop` there is silence or none between words.

    Args:
        lexicon: the words and their states.
        stay: probability of staying in a senone, float [senones]; the rest is the probability of leaving it.
        words: numbers of the possible words.
        loop: whether several words can follow each other.
        cost: log probability that is added for every word (with `loop`, a negative value leads to fewer insertions).

    """
    states: list[tuple[int, int, bool]] = [(lexicon.silence, -1, False)]
    arcs: dict[int, list[int]] = {0: []}
    ends: list[int] = []
    for word in words:
        for position, senone in enumerate(lexicon.senones_of(word)):
            number = len(states)
            states.append((senone, word, position == 0))
            arcs[number] = [0] if position == 0 else [number - 1]
        ends.append(len(states) - 1)
    opening = [number for number, (_, _, opens) in enumerate(states) if opens]
    if loop:
        for number in opening:
            arcs[number] += ends
        arcs[0] += ends
        closing = 0
    else:
        closing = len(states)
        states.append((lexicon.silence, -1, False))
        arcs[closing] = list(ends)
    return _graph(states, arcs, stay, {0, *opening}, {closing, *ends}, cost)


def graph_of_sequence(lexicon: Lexicon, stay: Tensor, words: Sequence[int]) -> Graph:
    """Return the graph of a sequence of words, with optional silence before, between and after them, for alignment."""
    states: list[tuple[int, int, bool]] = [(lexicon.silence, -1, False)]
    arcs: dict[int, list[int]] = {0: []}
    ends = [0]
    opening = {0}
    for word in words:
        for position, senone in enumerate(lexicon.senones_of(word)):
            number = len(states)
            states.append((senone, word, position == 0))
            arcs[number] = list(ends) if position == 0 else [number - 1]
        if ends == [0]:
            opening.add(1)
        silence = len(states)
        states.append((lexicon.silence, -1, False))
        arcs[silence] = [silence - 1]
        ends = [silence - 1, silence]
    return _graph(states, arcs, stay, opening, set(ends), 0.0)


def stacked(graphs: Sequence[Graph], which: Tensor) -> Graph:
    """Combine graphs with the same arcs into one for many utterances; which [u]: the graph of each utterance."""
    fields = ("senone", "arc", "start", "final", "word", "opens")
    many = {name: torch.stack([getattr(graph, name) for graph in graphs])[which] for name in fields}
    return Graph(before=graphs[0].before, **many)


def _graph(
    states: list[tuple[int, int, bool]],
    arcs: dict[int, list[int]],
    stay: Tensor,
    starts: set[int],
    finals: set[int],
    cost: float,
) -> Graph:
    k, width = len(states), 1 + max(len(predecessors) for predecessors in arcs.values())
    before = torch.full((k, width), k)
    arc = torch.full((k, width), _NONE)
    senone = torch.tensor([state[0] for state in states])
    stays, leaves = torch.log(stay).float(), torch.log1p(-stay).float()
    opens = torch.tensor([state[2] for state in states])
    for number, predecessors in arcs.items():
        before[number, 0], arc[number, 0] = number, stays[senone[number]]
        for place, other in enumerate(predecessors, 1):
            before[number, place] = other
            arc[number, place] = leaves[senone[other]] + (cost if opens[number] else 0.0)

    def marked(numbers: set[int], values: Tensor) -> Tensor:
        result = torch.full((k,), _NONE)
        index = torch.tensor(sorted(numbers))
        result[index] = values[index]
        return result

    start = marked(starts, torch.zeros(k))
    return Graph(
        senone, before, arc, start, marked(finals, leaves[senone]), torch.tensor([s[1] for s in states]), opens
    )


def viterbi(likelihood: Tensor, length: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
    """Find the best path of each utterance through a graph.

    Args:
        likelihood: log likelihoods of senones, float32 [u, t, senones]; values after the end of an utterance are not
            read.
        length: frames of each utterance, int64 [u].
        graph: states and arcs, common to all utterances, or `stacked` with one graph for each.

    Returns:
        The states, int64 [u, t] (-1 after the end), and the log probability of each path, float32 [u].

    Raises:
        DataError: an utterance has fewer frames than the shortest path through the graph.

    """
    order = torch.argsort(length, descending=True, stable=True)
    count, steps, k = len(length), int(length.max()), graph.senone.shape[-1]
    senone, start, final = (part.expand(count, k)[order] for part in (graph.senone, graph.start, graph.final))
    arc = graph.arc if graph.arc.dim() == 2 else graph.arc[order]
    lengths, sorted_likelihood = length[order], likelihood[order]
    score = torch.full((count, k + 1), _NONE)
    score[:, :k] = start + torch.gather(sorted_likelihood[:, 0], 1, senone)
    best_predecessor = torch.zeros((steps, count, k), dtype=torch.int16)
    for t in range(1, steps):
        n = int((lengths > t).sum())
        best, place = torch.max(score[:n, graph.before] + (arc if arc.dim() == 2 else arc[:n]), dim=2)
        best_predecessor[t, :n] = place.to(torch.int16)
        score[:n, :k] = best + torch.gather(sorted_likelihood[:n, t], 1, senone[:n])
    total, state = torch.max(score[:, :k] + final, dim=1)
    if not bool(torch.isfinite(total).all()):
        short = int(order[torch.nonzero(~torch.isfinite(total))[0, 0]])
        raise DataError(
            f"utterance {short} has {int(length[short])} frames, which is too few for any path through its words' "
            "states; take fewer states a unit, or leave it out"
        )
    path = torch.full((count, steps), -1)
    rows = torch.arange(count)
    for t in range(steps - 1, -1, -1):
        active = lengths > t
        path[active, t] = state[active]
        if t > 0:
            moved = graph.before[state, best_predecessor[t, rows, state].long()]
            state = torch.where(active, moved, state)
    back = torch.empty_like(order)
    back[order] = rows
    return path[back], total[back]


def words_on(path: Tensor, graph: Graph) -> list[int]:
    """Return the words along one path of states [t], in their order."""
    states = path[path >= 0]
    entered = torch.ones(len(states), dtype=torch.bool)
    entered[1:] = states[1:] != states[:-1]
    words: list[int] = graph.word[states[entered & graph.opens[states]]].tolist()
    return words
