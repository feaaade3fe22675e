"""Virtual adversarial training: predictions that do not change from a row to its neighbours, on both domains.

Beside a domain head it makes VADA (Shu et al. 2018). It moves the boundary between the classes to where the target
has few rows: right for classes that a gap divides, without effect to rely on where they overlap everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hepda.adversarial.distributed import all_reduce
from hepda.adversarial.networks.term import Term, View
from hepda.adversarial.terms.selftraining import all_logits

_TINY = 1e-12
_PROBE = 1e-2  # length of the random step from which the worst direction is found
Predict = Callable[[Tensor], Tensor]


def _unit(rows: Tensor) -> Tensor:
    """Return rows [n, ...] divided by their length."""
    length = rows.flatten(1).norm(dim=1).clamp_min(torch.finfo(rows.dtype).tiny)
    result: Tensor = rows / length.reshape(-1, *[1] * (rows.dim() - 1))
    return result


def worst_direction(predict: Predict, x: Tensor, probability: Tensor, noise: Tensor) -> Tensor:
    """Return unit vectors [n, ...] along which predictions change most (Miyato et al. 2018, one power iteration).

    Args:
        predict: from rows to logits [n, k].
        x: rows [n, ...].
        probability: probabilities [n, k] at x.
        noise: normal random numbers [n, ...], the initial directions.

    """
    start = (_PROBE * _unit(noise)).requires_grad_(True)
    with torch.enable_grad():
        change = -(probability * functional.log_softmax(predict(x + start), dim=1)).sum()
        (gradient,) = torch.autograd.grad(change, start)
    return _unit(gradient)


def roughness(predict: Predict, x: Tensor, logits: Tensor, radius: float, noise: Tensor) -> Tensor:
    """Return the KL divergence [n] of the predictions at a distance `radius`, in the worst direction, from those at x.

    The prediction at x has no gradient: the predictions of neighbours move to it.
    """
    sure = functional.log_softmax(logits.detach(), dim=1)
    moved = x + radius * worst_direction(predict, x, sure.exp(), noise)
    return (sure.exp() * (sure - functional.log_softmax(predict(moved), dim=1))).sum(dim=1)


def mean(rows: Tensor, weight: Tensor) -> Tensor:
    """Return the sum of weight times value, divided by the sum of absolute weights of all workers."""
    return torch.dot(weight.to(rows.dtype), rows) / all_reduce(weight.abs().sum()).clamp_min(_TINY)


class VirtualAdversarial(Term):
    """`source E_s[roughness] + target E_t[roughness] + entropy E_t[H]`, H the entropy of the prediction.

    The entropy moves the boundary away from the target's rows; without the roughness a network can minimise it by
    steps between neighbours. The term costs two more passes forward and two backward.

    Args:
        radius: length of the step, in widths of the (normalized) inputs. It should be less than the gap between
            the classes and more than the distance of a row to its neighbours.
        source, target, entropy: factors on the three parts; the paper has 1 for the first and 0.01 to 0.1 for the
            others, of which the larger is more stable (benchmarks/moons.py).

    """

    per_rank = True

    def __init__(
        self,
        name: str = "vat",
        *,
        radius: float = 0.5,
        source: float = 1.0,
        target: float = 0.1,
        entropy: float = 0.1,
        **settings: Any,
    ) -> None:
        super().__init__(name, **settings)
        self.radius, self.source, self.target, self.entropy = radius, source, target, entropy

    def forward(self, view: View, strength: Tensor) -> Tensor:
        """Return the weighted sum of the three parts."""
        n = len(view.inputs[0])

        def predict(x: Tensor) -> Tensor:
            return all_logits(view.forward(x, n, normalized=True)[1], view.loss)

        x, logits = torch.cat(view.inputs), all_logits(torch.cat(view.outputs), view.loss)
        if view.normalization is not None:
            x = view.normalization(x)
        rough = roughness(predict, x, logits, self.radius, view.noise())
        log_probability = functional.log_softmax(logits[n:], dim=1)
        entropy = -(log_probability.exp() * log_probability).sum(dim=1)
        source_weight, target_weight = view.weights
        loss: Tensor = self.source * mean(rough[:n], source_weight) + self.target * mean(rough[n:], target_weight)
        return loss + self.entropy * mean(entropy, target_weight)
