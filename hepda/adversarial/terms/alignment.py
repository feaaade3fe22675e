"""Terms that align source and target features without a domain head, and two with a critic.

Every function can be used separately: from features of both domains and their event weights to a number. Signs of
weights are kept; each domain's weights are divided by their sum, so a term compares two distributions
whatever the number of rows. The classes below them are the same as parts of a `Network`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hepda.adversarial.networks.layers import mlp
from hepda.adversarial.networks.losses import class_probabilities
from hepda.adversarial.networks.reversal import gradient_reversal
from hepda.adversarial.networks.term import Term, View, shares


def covariance(x: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted covariance [d, d] of rows [n, d]."""
    share = shares(weight)
    centred = x - share @ x
    return (centred * share[:, None]).T @ centred


def coral(source: Tensor, target: Tensor, source_weight: Tensor, target_weight: Tensor) -> Tensor:
    """Return `|C_s - C_t|_F^2 / (4 d^2)`, C the weighted covariances of features [n, d] (Sun & Saenko 2016)."""
    difference = covariance(source, source_weight) - covariance(target, target_weight)
    return difference.square().sum() / (4.0 * source.shape[1] ** 2)


def distance_correlation(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Return the squared, weighted distance correlation of two variables (DisCo, Kasieczka & Shih 2020, 2001.05310).

    `dCov^2(a, b) / sqrt(dCov^2(a, a) dCov^2(b, b))`, with distances A_ij = |a_i - a_j| centred by weighted
    row and column means. a and b are [n] or [n, d], weights [n]. It is 0 if and only if they are independent, and
    at most 1 (for weights >= 0).
    """
    share = shares(weight)
    distances_a, distances_b = (_centred_distances(x if x.dim() > 1 else x[:, None], share) for x in (a, b))
    joint = share @ (distances_a * distances_b) @ share
    norm = (share @ distances_a.square() @ share) * (share @ distances_b.square() @ share)
    return joint / norm.clamp_min(1e-20).sqrt()


def _centred_distances(x: Tensor, share: Tensor) -> Tensor:
    # the gradient of a distance at 0 is not defined; the small number keeps it finite
    distance = ((x[:, None] - x[None]).square().sum(dim=2) + 1e-12).sqrt()
    rows = distance @ share
    return distance - rows[:, None] - rows[None, :] + share @ rows


def energy_terms(values: Tensor, weight: Tensor) -> Tensor:
    """Return `sum_j w_j |a_i - a_j|` [n, c] for values a [n] and columns of weights [n, c], in n log n steps."""
    ordered, order = values.sort()
    sorted_weight = weight[order]
    below, moment = sorted_weight.cumsum(0), (sorted_weight * ordered[:, None]).cumsum(0)
    sums = ordered[:, None] * (2.0 * below - below[-1]) - (2.0 * moment - moment[-1])
    return torch.zeros_like(sums).index_copy(0, order, sums)


def domain_correlation(source: Tensor, target: Tensor, source_weight: Tensor, target_weight: Tensor) -> Tensor:
    """Return the `distance_correlation` of a number and its domain in n log n steps, without a matrix of distances.

    For a domain of 0 or 1, B_ij = -2 (b_i - 1/2)(b_j - 1/2) with equal sums of weights of both domains, and so

        dCor^2 = E / (4 dVar),   E = 2 E|X - Y| - E|X - X'| - E|Y - Y'|,
        dVar^2 = sum_ij w_i w_j (a_i - a_j)^2 + (sum_i w_i r_i)^2 - 2 sum_i w_i r_i^2,   r_i = sum_j w_j |a_i - a_j|

    with E the energy distance (Szekely & Rizzo 2013) and w half of each domain's shares. Values [n_s] and [n_t]; in
    float64, since E is a small difference of large sums.
    """
    p, q = shares(source_weight.double()), shares(target_weight.double())
    values, n = torch.cat([source, target]).double(), len(source)
    sides = torch.cat([torch.stack([p, p.new_zeros(n)], 1), torch.stack([q.new_zeros(len(q)), q], 1)])
    to_source, to_target = energy_terms(values, sides).unbind(1)
    energy = q @ to_source[n:] + p @ to_target[:n] - p @ to_source[:n] - q @ to_target[n:]
    weight, rows = 0.5 * sides.sum(1), 0.5 * (to_source + to_target)
    squares = 2.0 * (weight @ values.square() - (weight @ values).square())
    variance = squares + (weight @ rows).square() - 2.0 * (weight @ rows.square())
    return (0.25 * energy / variance.clamp_min(1e-20).sqrt()).to(source.dtype)


class Coral(Term):
    """Deep CORAL of the features."""

    def __init__(self, name: str = "coral", **settings: Any) -> None:
        super().__init__(name, **settings)

    def forward(self, view: View, strength: Tensor) -> Tensor:
        """`coral` of the features."""
        return coral(*view.features, *view.weights)


class DisCo(Term):
    """Distance correlation between a row's domain (0 or 1) and its features, or its prediction
    (`on="score"`).

    Both domains have the same sum of weights in it. For a single number, such as the score of two classes, it costs a
    sort; otherwise memory grows with the square of the rows of a batch.
    """

    def __init__(self, name: str = "disco", *, on: str = "score", **settings: Any) -> None:
        super().__init__(name, **settings)
        self.on = on

    def forward(self, view: View, strength: Tensor) -> Tensor:
        """`distance_correlation` of domain and score (or features)."""
        pair = view.features
        if self.on == "score":
            probabilities = [class_probabilities(output, view.loss) for output in view.outputs]
            pair = probabilities[0][:, 1:], probabilities[1][:, 1:]
        source, target = pair
        if source.shape[1] == 1:
            return domain_correlation(source[:, 0], target[:, 0], *view.weights)
        domain = torch.cat([source.new_zeros(len(source)), source.new_ones(len(target))])
        weight = torch.cat([shares(w) for w in view.weights])
        return distance_correlation(torch.cat([source, target]), domain, weight)


class Wasserstein(Term):
    """Wasserstein-1 distance by a critic with gradient penalty (WDGRL, Shen et al. 2018; Gulrajani et al.
    2017).

    The critic c maximises `E_s c - E_t c - penalty E (|grad c(x)| - 1)^2`, x between source and target rows;
    the encoder minimises the first two, through a reversal. `steps` of the critic for one of the encoder: 5
    is usual.
    """

    adversarial = True

    def __init__(
        self,
        features: int,
        name: str = "wasserstein",
        *,
        hidden: Sequence[int] = (64, 64),
        penalty: float = 10.0,
        steps: int = 5,
        **settings: Any,
    ) -> None:
        super().__init__(name, steps=steps, **settings)
        self.critic, self.penalty = mlp(features, hidden, 1), penalty

    def forward(self, view: View, strength: Tensor) -> Tensor:
        """Return the loss of the critic; its gradient in the encoder is reversed."""
        source, target = (gradient_reversal(x, strength) for x in view.features)
        p, q = (shares(w) for w in view.weights)
        distance = p @ self.critic(source)[:, 0].to(p.dtype) - q @ self.critic(target)[:, 0].to(q.dtype)
        loss: Tensor = self.penalty * self._penalty(view) - distance
        return loss

    def _penalty(self, view: View) -> Tensor:
        """Return `E (|grad c(x)| - 1)^2` between source and target rows; a pair has the product of its weights."""
        rows = min(map(len, view.features))
        source, target = (x[:rows].detach() for x in view.features)
        p, q = (w[:rows].abs() for w in view.weights)
        along = torch.rand(rows, 1, generator=view.common, device=source.device, dtype=source.dtype)
        between = torch.lerp(target, source, along).requires_grad_(True)
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
        return torch.dot(shares(p * q), (gradient.norm(dim=1) - 1.0).square())


class MarginDisparity(Term):
    """Margin disparity discrepancy (MDD, Zhang et al. 2019): a second classifier that agrees on source only.

    With y the main head's answer and f' the second classifier: it minimises
    `margin E_s[-log f'_y] + E_t[-log(1 - f'_y)]`, the encoder maximises it, through a reversal.
    """

    adversarial = True

    def __init__(
        self,
        features: int,
        classes: int,
        name: str = "mdd",
        *,
        hidden: Sequence[int] = (64,),
        margin: float = 2.0,
        **settings: Any,
    ) -> None:
        super().__init__(name, **settings)
        self.second: nn.Module = mlp(features, hidden, classes)
        self.margin = margin

    def forward(self, view: View, strength: Tensor) -> Tensor:
        """Return the loss of the second classifier; its gradient in the encoder is reversed."""
        answers = [class_probabilities(output, view.loss).argmax(dim=1) for output in view.outputs]
        p, q = (shares(w) for w in view.weights)
        source, target = (self.second(gradient_reversal(x, strength)).to(p.dtype) for x in view.features)
        agree = p @ functional.cross_entropy(source, answers[0], reduction="none")
        probability = functional.softmax(target, dim=1).gather(1, answers[1][:, None])[:, 0]
        differ = q @ -torch.log1p(-probability.clamp_max(1.0 - 1e-6))
        return self.margin * agree + differ
