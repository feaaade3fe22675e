"""What an alignment term sees of a batch, and how it says its strength. The terms themselves:
alignment.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hepda.adversarial.batches import Transform
from hepda.adversarial.reversal import Reversal

if TYPE_CHECKING:
    from hepda.adversarial.network import Network


@dataclass(frozen=True, slots=True)
class View:
    """A batch as a term reads it; pairs are (source, target).

    Attributes:
        features: [n_s, d] and [n_t, d] out of the encoder.
        outputs: raw outputs [n_s, k] and [n_t, k] of the main head.
        weights: signed event weights [n_s] and [n_t].
        labels: targets of the main head of the source rows [n_s, t].
        loss: name of the main head's loss.
        inputs: [n_s, ...] and [n_t, ...], before the normalization.
        network: for terms that ask it once more, elsewhere.
        generator: random numbers of the step, on the device of the rows; None: torch's own.

    """

    features: tuple[Tensor, Tensor]
    outputs: tuple[Tensor, Tensor]
    weights: tuple[Tensor, Tensor]
    labels: Tensor
    loss: str
    inputs: tuple[Tensor, Tensor]
    network: Network
    generator: torch.Generator | None = None

    def once_more(self, transform: Transform) -> tuple[Tensor, Tensor]:
        """Features and raw outputs of the main head of the target rows after a transform: a second view of them."""
        generator = self.generator or torch.Generator(self.inputs[1].device)
        features = self.network.encode(transform(self.inputs[1], generator))
        output: Tensor = self.network.head_modules[self.network.main.name](features)
        return features, output


class Term(nn.Module):
    """A loss beside the heads that compares source and target rows of a batch; add one with
    `Network(terms=[...])`.

    Args:
        name: how histories call it.
        strength, schedule, warmup: as of a `Reversal`.
        rows: `both`, or the name of a mask.
        weight: key of `Rows.weights`; None: every row counts 1.
        rate: factor on the learning rate of its own parameters, if it has some.
        steps: updates of these parameters for one of the encoder.

    """

    adversarial = False

    def __init__(
        self,
        name: str,
        *,
        strength: float = 1.0,
        schedule: str = "constant",
        warmup: float = 0.0,
        rows: str = "both",
        weight: str | None = None,
        rate: float = 1.0,
        steps: int = 1,
    ) -> None:
        super().__init__()
        self.name, self.rows, self.weight, self.rate, self.steps = name, rows, weight, rate, steps
        self.reversal = Reversal(strength, schedule, warmup)

    def forward(self, view: View, strength: Tensor) -> Tensor:
        """The loss of a batch, a tensor without dimensions. Each term says its own.

        `strength` is for terms with an adversary inside (`adversarial` is True), which put it into a
        reversal; the loss of any other term is multiplied by it afterwards.
        """
        raise TypeError(f"{type(self).__name__} does not say its loss; derive from Term and define forward")
