"""What a refiner does to jets: a residual network whose output is a response, close to that of no change.

With x what the network reads of a jet (pt, |eta|, its tag bin, and what the simulation alone knows of it, such as its
flavour), and z and u random numbers, normal and uniform,

    pt' = pt exp(a(x)) max(1 + s(x) sqrt(25 GeV / pt) z, 0.1),    mass' = mass exp(c(x)) pt'/pt,

and the tag bin moves down, stays or moves up by one with the probabilities of a softmax. Scale, additional width and
moves are what a calibration corrects; directions stay.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hepda.adversarial.networks.layers import mlp
from hepda.adversarial.tensor_files import read_description, read_tensors, write_tensors

_WIDTH, _MOVE = 0.02, -4.0  # the additional width at the beginning, and the log-odds of a move of the tag
_LEAST = 0.1  # of the factor on a pt
_STOCHASTIC = 25.0  # GeV, the pt at which the additional width is s
_UNITS = (0.05, 1.0, 0.05, 2.0, 2.0)  # what one unit of each output means: a step of a training is small for all
_START = (0.0, math.log(math.expm1(_WIDTH)), 0.0, _MOVE, _MOVE)
_DESCRIPTION = "response"


@dataclass(frozen=True, slots=True)
class JetTensors:
    """The jets of events, and the missing momentum.

    Attributes:
        present: 1 for a jet, 0 for padding [n, j].
        pt: GeV; 1 for padding [n, j].
        eta: [n, j].
        phi: [n, j].
        mass: GeV [n, j].
        tag: share of each tag bin, one of them 1 [n, j, t]; t is 1 without tags.
        known: what the simulation alone knows, an integer a jet [n, j].
        met: x and y of the missing momentum, GeV [n, 2].

    """

    present: Tensor
    pt: Tensor
    eta: Tensor
    phi: Tensor
    mass: Tensor
    tag: Tensor
    known: Tensor
    met: Tensor

    def __len__(self) -> int:
        return len(self.pt)

    def rows(self, index: Tensor | slice) -> JetTensors:
        """Return the events at `index`."""
        names = ("present", "pt", "eta", "phi", "mass", "tag", "known", "met")
        return JetTensors(*(getattr(self, name)[index] for name in names))


@dataclass(frozen=True, slots=True)
class JetNoise:
    """Random numbers of jets: `normal` for pt, `uniform` from 0 to 1 for tags, [n, j] each."""

    normal: Tensor
    uniform: Tensor

    @classmethod
    def drawn(cls, shape: Sequence[int], generator: torch.Generator) -> JetNoise:
        """Draw the numbers of jets [n, j]."""
        n, j = shape
        return cls(torch.randn(n, j, generator=generator), torch.rand(n, j, generator=generator))


def neighbours(tag: Tensor) -> tuple[Tensor, Tensor]:
    """Return tags [..., t] one bin lower and one bin higher; what is beyond the ends comes round, and never happens."""
    return tag.roll(-1, dims=-1), tag.roll(1, dims=-1)


class JetResponse(nn.Module):
    """The residual network of a response.

    Args:
        centre: mean of log(pt / GeV), for the scale of the inputs.
        tags: number of tag bins; 1: there are no tags.
        known: the values of what the simulation knows; a jet of another value is as one of none of them.
        hidden: widths of the hidden layers.

    """

    def __init__(self, centre: float, tags: int, known: Sequence[int], hidden: Sequence[int]) -> None:
        super().__init__()
        self.centre, self.tags, self.known, self.hidden = centre, tags, tuple(known), tuple(hidden)
        self.layers = mlp(2 + tags + len(self.known), self.hidden, 5, activation="tanh")
        last = [module for module in self.layers.modules() if isinstance(module, nn.Linear)][-1]
        with torch.no_grad():  # no change but a small width and rare moves, from which gradients begin
            last.weight.zero_()
            last.bias.copy_(torch.tensor(_START) / torch.tensor(_UNITS))

    def forward(self, jets: JetTensors, noise: JetNoise) -> JetTensors:
        """Return the jets that the target would have, and the missing momentum without what the jets gain.

        The new tags are drawn, so that they have no gradient; `moves` has their probabilities.
        """
        scale, width, mass, _, _ = self.numbers(jets)
        factor = torch.exp(scale) * (1.0 + self.width(jets, width) * noise.normal).clamp_min(_LEAST)
        pt = jets.pt * torch.where(jets.present > 0.0, factor, 1.0)
        gain = (pt - jets.pt) * jets.present
        met = jets.met - torch.stack([(gain * f(jets.phi)).sum(1) for f in (torch.cos, torch.sin)], dim=1)
        new_mass = jets.mass * (pt / jets.pt) * torch.exp(mass)
        tag = jets.tag
        if self.tags > 1:
            down, _, up = self.moves(jets).detach().unbind(-1)
            lower, upper = neighbours(tag)
            goes_down, goes_up = noise.uniform < down, noise.uniform >= 1.0 - up
            tag = torch.where(goes_down[..., None], lower, torch.where(goes_up[..., None], upper, tag))
        return JetTensors(jets.present, pt, jets.eta, jets.phi, new_mass, tag, jets.known, met)

    def width(self, jets: JetTensors, output: Tensor) -> Tensor:
        """Return the additional relative width of pt [n, j]: s(x) sqrt(25 GeV / pt), that of a stochastic term."""
        return functional.softplus(output) * (_STOCHASTIC / jets.pt).sqrt()

    def moves(self, jets: JetTensors) -> Tensor:
        """Return the probabilities that a tag bin moves down, stays or moves up by one [n, j, 3]."""
        *_, down, up = self.numbers(jets)
        lowest, highest = jets.tag[..., 0] > 0.5, jets.tag[..., -1] > 0.5
        down, up = down.masked_fill(lowest, -math.inf), up.masked_fill(highest, -math.inf)
        return torch.stack([down, torch.zeros_like(up), up], dim=-1).softmax(-1)

    def numbers(self, jets: JetTensors) -> tuple[Tensor, ...]:
        """Return the five outputs for each jet, [n, j] each: a, s before its softplus, c, and two log-odds of moves."""
        inputs = self._inputs(jets)
        outputs: Tensor = self.layers(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])
        return (outputs * outputs.new_tensor(_UNITS)).unbind(-1)

    def _inputs(self, jets: JetTensors) -> Tensor:
        known = [(jets.known == value).to(jets.pt.dtype) for value in self.known]
        columns = [jets.pt.log() - self.centre, jets.eta.abs(), *jets.tag.unbind(-1), *known]
        return torch.stack(columns, dim=-1)

    def save(self, path: Path) -> None:
        """Write the network with its description, completely or not at all."""
        about = {"centre": self.centre, "tags": self.tags, "known": self.known, "hidden": self.hidden}
        write_tensors(path, self.state_dict(), {_DESCRIPTION: json.dumps(about)})

    @classmethod
    def load(cls, path: Path) -> JetResponse:
        """Read a network that `save` wrote. Raises SourceError if the file is no such network."""
        tensors, metadata = read_tensors(path)
        about: Mapping[str, Any] = read_description(path, metadata, _DESCRIPTION)
        response = cls(about["centre"], about["tags"], about["known"], about["hidden"])
        response.load_state_dict(tensors)
        return response.eval()
