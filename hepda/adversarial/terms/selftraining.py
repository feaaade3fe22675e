"""Terms that learn from the network's own predictions on the target: class confusion, pseudo-labels, contrast.

They assume that the target has the same classes. Pseudo-labels transfer the class fractions of the source to the
target: if these differ (label shift), give the fractions (`prior`), or do not use these terms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hepda.adversarial.data.batches import Transform
from hepda.adversarial.networks.losses import class_probabilities
from hepda.adversarial.networks.term import Term, View, shares

_TINY = 1e-12


def all_logits(output: Tensor, loss: str) -> Tensor:
    """Return the logits of all classes [n, k]; a binary logit z gives (0, z)."""
    return torch.cat([torch.zeros_like(output), output], dim=1) if loss == "binary" else output


def class_confusion(logits: Tensor, weight: Tensor, temperature: float = 2.5) -> Tensor:
    """Return the minimum class confusion (MCC, Jin et al. 2020) of target logits [n, k] with event weights [n].

    Probabilities at a temperature, rows weighted by `1 + exp(-entropy)`; the loss is the mean over classes of
    the off-diagonal part of their normalised correlation.
    """
    probability = functional.softmax(logits / temperature, dim=1)
    entropy = -(probability * probability.clamp_min(_TINY).log()).sum(dim=1).detach()
    sure = shares(weight * (1.0 + torch.exp(-entropy)))
    correlation = (probability * sure[:, None]).T @ probability
    confusion = correlation / correlation.sum(dim=1, keepdim=True).clamp_min(_TINY)
    return (confusion.sum() - confusion.trace()) / logits.shape[1]


class ClassConfusion(Term):
    """Minimum class confusion on the target rows."""

    def __init__(self, name: str = "mcc", *, temperature: float = 2.5, **settings: Any) -> None:
        super().__init__(name, **settings)
        self.temperature = temperature

    def forward(self, view: View, strength: Tensor) -> Tensor:
        """`class_confusion` of the target's outputs."""
        return class_confusion(all_logits(view.outputs[1], view.loss), view.weights[1], self.temperature)


def _column_of(numbers: Sequence[float], like: Tensor) -> Tensor:
    """Return numbers as a tensor, made where `like` is: a list would be copied there, and waited for."""
    return torch.stack([like.new_full((), number) for number in numbers])


def aligned(prediction: Tensor, weight: Tensor, fractions: Tensor) -> Tensor:
    """Return predictions [n, k], rescaled so that their weighted mean becomes `fractions` [k] (ReMixMatch)."""
    moved = prediction * (fractions / (shares(weight) @ prediction).clamp_min(_TINY))
    return moved / moved.sum(dim=1, keepdim=True).clamp_min(_TINY)


class PseudoLabels(Term):
    """Cross entropy of the target with its own certain predictions (AdaMatch, Berthelot et al. 2022).

    A row is certain if its largest probability is at least `threshold` times the mean largest probability on the
    source. Before that, predictions are rescaled to the class fractions of the source's predictions, or to `prior`.

    Args:
        threshold: relative confidence.
        prior: class fractions of the target if they are known.
        align: whether to rescale predictions to these fractions.
        transform: change of the target rows (a strong augmentation) on which the network learns the labels that it
            predicts on the unchanged rows of the batch; None: no change. It costs one more pass.

    """

    def __init__(
        self,
        name: str = "pseudo",
        *,
        threshold: float = 0.9,
        prior: Sequence[float] | None = None,
        align: bool = True,
        transform: Transform | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(name, **settings)
        self.threshold, self.prior, self.align, self.transform = threshold, prior, align, transform

    def forward(self, view: View, strength: Tensor) -> Tensor:
        """Return the weighted cross entropy over the certain rows, divided by the sum of absolute target weights."""
        output = view.outputs[1] if self.transform is None else view.second_view(self.transform)[1]
        logits = all_logits(output, view.loss)
        with torch.no_grad():
            source = class_probabilities(view.outputs[0], view.loss)
            label, sure = self.labels(source, class_probabilities(view.outputs[1], view.loss), *view.weights)
        loss = functional.cross_entropy(logits, label, reduction="none")
        weight = view.weights[1]
        return torch.dot(weight * sure, loss) / weight.abs().sum().clamp_min(_TINY)

    def labels(
        self, source: Tensor, target: Tensor, source_weight: Tensor, target_weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return pseudo-labels [n_t], and 1.0 where they are certain, from predictions [n_s, k] and [n_t, k]."""
        p = shares(source_weight)
        if self.align:
            fractions = p @ source if self.prior is None else _column_of(self.prior, target)
            target = aligned(target, target_weight, fractions)
        largest, label = target.max(dim=1)
        return label, (largest >= self.threshold * (p @ source.max(dim=1).values)).to(target.dtype)


def complementary_contrast(
    features: Tensor,
    prediction: Tensor,
    weight: Tensor,
    *,
    confidence: float = 0.95,
    fraction: float = 0.7,
    temperature: float = 0.07,
) -> Tensor:
    """Return the contrastive loss with complementary labels (CCL, Deng et al., 2212.06643; abstract and code).

    `-1/N sum_i mean_{p in P_i} log( exp(z_i z_p / t) / sum_{a in P_i u N_i} exp(z_i z_a / t) )` over two
    views of every target row. A row is certain if its largest probability reaches `confidence`; positives are
    rows of the same certain label and the other view of the row itself; negatives are certain rows of another
    label, and pairs of a certain row with a row that excludes its label: the int(fraction k) least probable
    classes of a row that is not certain.

    Args:
        features: [2 n, d], two views, one after the other.
        prediction: predictions [n, k]; useful for three classes or more.
        weight: event weights [n].
        confidence: probability from which a row is certain.
        fraction: share of the classes that a row which is not certain excludes.
        temperature: t.

    """
    n, classes = prediction.shape
    largest, label = prediction.max(dim=1)
    sure, label = (largest >= confidence).repeat(2), label.repeat(2)
    excluded = torch.zeros_like(prediction)
    excluded.scatter_(1, prediction.argsort(dim=1)[:, : max(1, int(fraction * classes))], 1.0)
    excluded = excluded.repeat(2, 1).bool()
    both, same = sure[:, None] & sure[None], label[:, None] == label[None]
    itself = torch.eye(2 * n, dtype=torch.bool, device=prediction.device)
    views = itself.roll(n, dims=0)
    positive = ((both & same) | views) & ~itself
    complementary = excluded[:, label] & ~sure[:, None] & sure[None]
    negative = (both & ~same) | complementary | complementary.T
    row_loss = contrast(features, positive, negative, temperature)
    doubled = weight.repeat(2)
    return torch.dot(doubled, row_loss) / doubled.abs().sum().clamp_min(_TINY)


def contrast(features: Tensor, positive: Tensor, negative: Tensor, temperature: float) -> Tensor:
    """Return `-mean_{p in P_i} log( exp(z_i z_p / t) / sum_{a in P_i u N_i} exp(z_i z_a / t) )` of each row [n].

    This is the supervised contrastive loss (Khosla et al. 2020, arXiv:2004.11362, eq. 2) for any pairs; 0 for a row
    without a positive one.

    Args:
        features: rows [n, d]; their lengths do not count.
        positive: which rows b are like a row a, True or False [n, n]; not the row itself.
        negative: which rows are unlike it [n, n].
        temperature: t.

    """
    unit = functional.normalize(features, dim=1)
    near = unit @ unit.T / temperature
    near = near.masked_fill(~(positive | negative), -torch.inf)
    log_share = torch.where(positive, near - near.logsumexp(dim=1, keepdim=True), torch.zeros_like(near))
    return -log_share.sum(dim=1) / positive.sum(dim=1).clamp_min(1)


def dropped(features: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Return features [n, d] after a dropout with the random numbers of a generator."""
    drawn = torch.rand(features.shape, generator=generator, device=features.device, dtype=features.dtype)
    return features * (drawn >= probability) / (1.0 - probability)


class ComplementaryContrast(Term):
    """`complementary_contrast` of the target.

    The two views of a row are its features in the batch and those after `transform`; without a transform, two
    dropouts of its features.
    """

    def __init__(
        self,
        name: str = "contrast",
        *,
        confidence: float = 0.95,
        dropout: float = 0.1,
        transform: Transform | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(name, **settings)
        self.confidence, self.dropout, self.transform = confidence, dropout, transform

    def forward(self, view: View, strength: Tensor) -> Tensor:
        """Return the contrast over the target rows of the batch."""
        features = view.features[1]
        if self.transform is None:
            views = torch.cat([dropped(features, self.dropout, view.common) for _ in range(2)])
        else:
            views = torch.cat([features, view.second_view(self.transform)[0]])
        prediction = class_probabilities(view.outputs[1], view.loss).detach()
        return complementary_contrast(views, prediction, view.weights[1], confidence=self.confidence)
