"""Features of pairs of objects as a bias of attention (Particle Transformer, Qu, Li, Qian 2022, arXiv:2202.03772)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from hepda.adversarial.data.sources import RowSource
from hepda.adversarial.networks.layers import FittedInputs, mlp
from hepda.adversarial.networks.sets_inputs import (
    COMPONENTS,
    Collection,
    Moments,
    Objects,
    SetLayout,
    on_real,
    weighted_parts,
    with_four_momenta,
)
from hepda.errors import ConfigError, DataError, nearest

PAIR_FEATURES = ("kt", "z", "delta_r", "mass")
"""Names of the logarithms of kT, z, Delta R and m^2 of a pair."""
_SMALLEST = 1e-8
"""Values below this are replaced by it before the logarithm, as the authors do."""
_FITTED = 16_384
"""Number of rows of which the pairs are standardised at most."""


def four_momenta(collection: Collection, values: Tensor) -> Tensor:
    """Return pt, eta, phi, mass [..., 4] of objects with features [..., k]."""
    zero = torch.zeros_like(values[..., 0])
    numbers = [collection.component(name) for name in COMPONENTS]
    return torch.stack([zero if i is None else values[..., i] for i in numbers], dim=-1)


def pair_features(first: Tensor, second: Tensor) -> dict[str, Tensor]:
    """Return the logarithms of four quantities of pairs of particles.

    With y the rapidity: Delta R = sqrt((y_a - y_b)^2 + (phi_a - phi_b)^2), kT = min(pt_a, pt_b) Delta R,
    z = min(pt_a, pt_b) / (pt_a + pt_b), and m^2 = (p_a + p_b)^2. The mass is formed without the difference of large
    numbers, with mT^2 = m^2 + pt^2: m_a^2 + m_b^2 + 2 (mT_a mT_b - pt_a pt_b) + 4 (mT_a mT_b sinh^2(Delta y / 2) +
    pt_a pt_b sin^2(Delta phi / 2)).

    Args:
        first: pt, eta, phi, mass of the first particles, [..., 4].
        second: of the second ones, [..., 4].

    Returns:
        By the names of `PAIR_FEATURES`, [...] each.

    """
    pt_a, eta_a, phi_a, mass_a = first.unbind(-1)
    pt_b, eta_b, phi_b, mass_b = second.unbind(-1)
    mt_a, mt_b = torch.hypot(pt_a, mass_a), torch.hypot(pt_b, mass_b)
    y_a = torch.asinh(pt_a * torch.sinh(eta_a) / mt_a.clamp_min(_SMALLEST))
    y_b = torch.asinh(pt_b * torch.sinh(eta_b) / mt_b.clamp_min(_SMALLEST))
    delta_y = y_a - y_b
    delta_phi = torch.remainder(phi_a - phi_b + math.pi, 2 * math.pi) - math.pi
    delta_r = torch.hypot(delta_y, delta_phi)
    softer = torch.minimum(pt_a, pt_b)
    transverse, massive = pt_a * pt_b, mt_a * mt_b
    excess = (mass_a.square() * mt_b.square() + pt_a.square() * mass_b.square()) / (massive + transverse).clamp_min(
        _SMALLEST
    )
    opening = massive * torch.sinh(delta_y / 2).square() + transverse * torch.sin(delta_phi / 2).square()
    values = {
        "kt": softer * delta_r,
        "z": softer / (pt_a + pt_b).clamp_min(_SMALLEST),
        "delta_r": delta_r,
        "mass": mass_a.square() + mass_b.square() + 2 * excess + 4 * opening,
    }
    return {name: value.clamp_min(_SMALLEST).log() for name, value in values.items()}


class PairBias(FittedInputs):
    """A small network from the standardised features of each pair of objects to a bias of each head of attention.

    Buffers `mean`, `scale` and `fitted` of the features.

    Args:
        layout: of the rows; at least one collection has four-momenta.
        features: some of `PAIR_FEATURES`.
        heads: number of heads.
        width: of the two hidden layers.
        activation: after the hidden layers.

    """

    mean: Tensor
    scale: Tensor
    first: Tensor
    second: Tensor

    def __init__(
        self, layout: SetLayout, features: Sequence[str], heads: int, *, width: int = 16, activation: str = "gelu"
    ) -> None:
        super().__init__()
        for name in features:
            if name not in PAIR_FEATURES:
                raise ConfigError(f"{name!r} is no feature of pairs.{nearest(name, PAIR_FEATURES)}")
        self.layout, self.features, self.heads = layout, tuple(features), heads
        self.members = with_four_momenta(layout)
        particles = sum(layout.collections[i].size for i in self.members)
        if particles < 2 or not features:
            raise ConfigError("features of pairs need objects with four-momenta, and at least one feature")
        first, second = torch.triu_indices(particles, particles, 1, device="cpu")
        # not saved: they follow from the layout
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("second", second, persistent=False)
        self.register_buffer("mean", torch.zeros(len(self.features)))
        self.register_buffer("scale", torch.ones(len(self.features)))
        self.network = mlp(len(self.features), (width, width), heads, activation=activation)

    def pairs(self, objects: Sequence[Objects]) -> Objects:
        """Return the features of all pairs of a row, [n, pairs, features], and which pairs exist.

        Args:
            objects: those of each collection of the layout, not standardised.

        """
        chosen = [(self.layout.collections[i], objects[i]) for i in self.members]
        momenta = torch.cat([four_momenta(collection, part.values) for collection, part in chosen], dim=1)
        real = torch.cat([part.real for _, part in chosen], dim=1)
        momenta = torch.where(real[..., None], momenta, torch.ones_like(momenta))  # padding may be anything
        by_name = pair_features(momenta[:, self.first], momenta[:, self.second])
        values = torch.stack([by_name[name] for name in self.features], dim=-1)
        return Objects(values, real[:, self.first] & real[:, self.second])

    def forward(self, objects: Sequence[Objects]) -> Tensor:
        """Return the bias of each pair and head, [n, pairs, heads]; 0 where there is no such pair."""
        pairs = self.pairs(objects)
        return on_real(self.network, Objects((pairs.values - self.mean) * self.scale, pairs.real), self.heads)

    def numbers(self, begins: Sequence[int], tokens: int) -> Tensor:
        """Return for every two tokens the number of their pair, [tokens, tokens]; the number of pairs where none is.

        Args:
            begins: for each collection of the layout, the number of its first token.
            tokens: number of tokens of an event.

        """
        places = [begins[i] + k for i in self.members for k in range(self.layout.collections[i].size)]
        token = torch.tensor(places)
        table = torch.full((tokens, tokens), len(self.first), dtype=torch.int64)
        pair = torch.arange(len(self.first))
        first, second = torch.triu_indices(len(places), len(places), 1)
        table[token[first], token[second]] = pair
        table[token[second], token[first]] = pair
        return table

    @torch.no_grad()
    def fit(self, features: Tensor | RowSource, weight: Tensor | None = None, chunk: int = 2048) -> PairBias:
        """Take means and widths from the pairs of some thousand of the rows [n, columns], by their absolute weights.

        Raises:
            DataError: a feature of a pair is not finite, or there are no pairs.

        """
        moments = Moments(len(self.features))
        for rows, w in weighted_parts(features, weight, chunk, _FITTED):
            pairs = self.pairs(self.layout.split(rows.to(self.first.device))[0])
            real = pairs.real.cpu()
            moments.add(pairs.values.cpu()[real], w[:, None].expand(real.shape)[real])
        if not (moments.total > 0.0 and bool(torch.isfinite(moments.square).all())):
            raise DataError(
                "the training rows have no pairs of objects with finite four-momenta; look at `four_momentum` of the "
                "collections, or take `pairwise` out"
            )
        mean, scale = moments.mean_and_scale()
        self.mean.copy_(mean)
        self.scale.copy_(scale)
        self.fitted.fill_(True)
        return self
