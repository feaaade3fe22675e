"""The response of jets: no change at first, momentum conserved, tags by their probabilities, and the same when read."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from hepda.events.refinement.response import JetNoise, JetResponse, JetTensors


def jets(n: int = 400, j: int = 4, tags: int = 3, seed: int = 1) -> JetTensors:
    g = torch.Generator().manual_seed(seed)
    present = (torch.arange(j) < torch.randint(1, j + 1, (n, 1), generator=g)).float()
    pt = torch.where(present > 0, 20.0 + 80.0 * torch.rand(n, j, generator=g), 1.0)
    tag = torch.eye(tags)[torch.randint(0, tags, (n, j), generator=g)]
    return JetTensors(
        present, pt, torch.randn(n, j, generator=g), 6.28 * torch.rand(n, j, generator=g), 0.1 * pt * present, tag,
        5 * torch.randint(0, 2, (n, j), generator=g), 30.0 * torch.randn(n, 2, generator=g),
    )  # fmt: skip


def noise(events: JetTensors, seed: int = 2) -> JetNoise:
    return JetNoise.drawn(events.pt.shape, torch.Generator().manual_seed(seed))


def vector(events: JetTensors) -> torch.Tensor:
    """Return the momentum of jets and what is missing [n, 2]."""
    pt = events.pt * events.present
    return events.met + torch.stack([(pt * f(events.phi)).sum(1) for f in (torch.cos, torch.sin)], dim=1)


def strong(seed: int = 3) -> JetResponse:
    """Return a response that changes much."""
    torch.manual_seed(seed)
    response = JetResponse(4.0, 3, (0, 5), (8,))
    for parameter in response.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return response


def test_it_begins_near_no_change() -> None:
    before = jets(20_000)
    with torch.no_grad():
        after = JetResponse(4.0, 3, (0, 5), (8,))(before, noise(before))
    soft = (before.present > 0) & (before.pt < 30.0)
    ratio = (after.pt / before.pt)[soft]
    assert ratio.mean() == pytest.approx(1.0, abs=0.003) and ratio.std() == pytest.approx(0.02, abs=0.002)
    assert (after.tag.argmax(-1) != before.tag.argmax(-1))[before.present > 0].float().mean() < 0.06


def test_jets_and_missing_momentum_balance_and_padding_stays() -> None:
    before = jets()
    with torch.no_grad():
        after = strong()(before, noise(before))
    torch.testing.assert_close(vector(after), vector(before), atol=1e-2, rtol=1e-4)
    padding = before.present == 0
    assert (after.pt[padding] == 1.0).all() and (after.mass[padding] == 0.0).all()
    assert torch.equal(after.eta, before.eta) and torch.equal(after.phi, before.phi)


def test_tags_move_by_one_with_the_probabilities_of_moves() -> None:
    before = jets(20_000, 2)
    response = strong()
    with torch.no_grad():
        new, moves = response(before, noise(before)).tag.argmax(-1), response.moves(before)
    old = before.tag.argmax(-1)
    assert (old - new).abs().max() == 1
    torch.testing.assert_close(moves.sum(-1), torch.ones_like(moves[..., 0]))
    for place in range(3):
        rows = (old == place) & (before.present > 0)
        drawn = torch.stack([(new - old == step)[rows].float().mean() for step in (-1, 0, 1)])
        torch.testing.assert_close(drawn, moves[rows].mean(0), atol=4 * (0.25 / int(rows.sum())) ** 0.5, rtol=0.0)


def test_the_additional_width_is_that_of_a_stochastic_term() -> None:
    before = jets(50, 2)
    width = JetResponse(4.0, 3, (), (8,)).width(before, torch.zeros_like(before.pt))
    torch.testing.assert_close(width * (before.pt / 25.0).sqrt(), torch.full_like(width, math.log(2.0)))


def test_a_saved_response_is_the_same(tmp_path: Path) -> None:
    before, response = jets(), strong()
    response.save(tmp_path / "r.safetensors")
    again = JetResponse.load(tmp_path / "r.safetensors")
    with torch.no_grad():
        assert torch.equal(again(before, noise(before)).pt, response(before, noise(before)).pt)
