"""The base class of alignment terms, and the batch that they read. The terms are in terms/."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from hepda.adversarial.data.batches import Transform
from hepda.adversarial.distributed import gather, is_distributed, local_rows
from hepda.adversarial.networks.reversal import Reversal


@dataclass(frozen=True, slots=True)
class View:
    """A batch as a term reads it; pairs are (source, target).

    Of several workers each has its part of the rows of a batch; `global_batch` gathers the other parts.

    Attributes:
        features: [n_s, d] and [n_t, d] out of the encoder.
        outputs: raw outputs [n_s, k] and [n_t, k] of the main head.
        weights: signed event weights [n_s] and [n_t].
        labels: targets of the main head of the source rows [n_s, t].
        label_weights: signed weights of the main head of the source rows [n_s].
        loss: name of the main head's loss.
        inputs: [n_s, ...] and [n_t, ...], before the normalization; always this worker's.
        encode: from other inputs to features, as `Network.encode`.
        head: the module of the main head.
        normalization: of the inputs; None: there is none.
        rows: source and target rows of all workers.
        generator: random numbers of the step, on the device of the rows, for what is done to this worker's inputs.
        common: random numbers of the step that are the same on all workers.
        half: whether the network computes in bfloat16; terms do not.

    """

    features: tuple[Tensor, Tensor]
    outputs: tuple[Tensor, Tensor]
    weights: tuple[Tensor, Tensor]
    labels: Tensor
    label_weights: Tensor
    loss: str
    inputs: tuple[Tensor, Tensor]
    encode: Callable[..., Tensor]
    head: nn.Module
    normalization: nn.Module | None
    rows: tuple[int, int]
    generator: torch.Generator
    common: torch.Generator
    half: bool

    def global_batch(self) -> View:
        """Return the same with features, outputs, weights and labels of the rows of all workers."""
        if not is_distributed():
            return self
        features, outputs, weights = (
            (gather(pair[0], self.rows[0]), gather(pair[1], self.rows[1]))
            for pair in (self.features, self.outputs, self.weights)
        )
        labels, label_weights = (gather(values, self.rows[0]) for values in (self.labels, self.label_weights))
        return replace(
            self, features=features, outputs=outputs, weights=weights, labels=labels, label_weights=label_weights
        )

    def forward(self, x: Tensor, n_source: int = 0, *, normalized: bool = False) -> tuple[Tensor, Tensor]:
        """Return features and raw outputs of the main head for other rows, in the precision of the training.

        The first `n_source` rows are source. Running statistics are not updated.
        """
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.half):
            features = self.encode(x, n_source, normalized=normalized, update_stats=False)
            output: Tensor = self.head(features)
        return features.to(x.dtype), output.to(x.dtype)

    def second_view(self, transform: Transform) -> tuple[Tensor, Tensor]:
        """Return the same of the target rows, of all workers, after a transform: a second view of them."""
        features, output = self.forward(transform(self.inputs[1], self.generator))
        return gather(features, self.rows[1]), gather(output, self.rows[1])

    def noise(self) -> Tensor:
        """Return normal random numbers [n_s + n_t, ...] for this worker's inputs.

        Those of a row do not depend on the number of workers.
        """
        device = self.inputs[0].device
        drawn = [
            torch.randn((n, *x.shape[1:]), generator=self.common, dtype=x.dtype, device=device)[local_rows(n)]
            for n, x in zip(self.rows, self.inputs, strict=True)
        ]
        return torch.cat(drawn)


def shares(weight: Tensor) -> Tensor:
    """Return weights [n] divided by their signed sum, which is at least 5 % of the absolute one.

    The limit matters for a batch in which negative weights nearly cancel the positive ones.
    """
    total = weight.sum().clamp_min(0.05 * weight.abs().sum()).clamp_min(torch.finfo(weight.dtype).tiny)
    return weight / total


class Term(nn.Module):
    """A loss in addition to the heads that compares source and target rows of a batch: `Network(terms=[...])`.

    Args:
        name: its name in histories.
        strength, schedule, warmup: as of a `Reversal`.
        rows: `both`, or the name of a mask.
        weight: key of `DomainRows.weights`; None: every row counts 1.
        rate: factor on the learning rate of its parameters, if it has any.
        steps: updates of these parameters for one of the encoder.

    """

    adversarial = False
    per_rank = False

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
        """Return the loss of a batch, a tensor without dimensions; each term defines it.

        `strength` is for terms with an adversary inside (`adversarial` is True), which put it into a
        reversal; the loss of any other term is multiplied by it afterwards. Each of several workers has the rows of
        all, unless the term is `per_rank`: then each has its own rows, and the loss is the sum over the workers.
        """
        raise TypeError(f"{type(self).__name__} does not define its loss; derive from Term and define forward")
