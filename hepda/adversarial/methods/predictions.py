"""Methods that learn from the network's own predictions on the target (terms/selftraining.py, terms/smoothness.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hepda.adversarial.methods.heads import Dann
from hepda.adversarial.methods.method import Comparison, Method, Parts, Several

if TYPE_CHECKING:
    from hepda.adversarial.networks.term import Term


@dataclass(frozen=True, kw_only=True)
class MinimumConfusion(Method):
    """Minimum class confusion.

    Attributes:
        temperature: by which the logits are divided before the softmax.

    """

    name = "mcc"
    summary = "minimum class confusion"
    reference = "Jin et al. 2020"
    classes = 2

    several: ClassVar[Several] = "never"

    temperature: float = 2.5

    def build(self, comparison: Comparison) -> Parts:
        """Return the term."""
        from hepda.adversarial.terms.selftraining import ClassConfusion

        return [], [ClassConfusion(temperature=self.temperature, **self.term_settings(comparison))]


@dataclass(frozen=True, kw_only=True)
class SelfTraining(Method):
    """Pseudo-labels.

    Attributes:
        threshold: confidence from which a target row is certain, relative to the mean confidence on the source.
        align: move the target's predictions to the source's class fractions first.

    """

    name = "pseudo"
    summary = "certain predictions on the target as labels"
    reference = "Berthelot et al. 2022"
    classes = 2

    several: ClassVar[Several] = "never"

    threshold: float = 0.9
    align: bool = True

    def build(self, comparison: Comparison) -> Parts:
        """Return the term."""
        from hepda.adversarial.terms.selftraining import PseudoLabels

        view, settings = comparison.transform, self.term_settings(comparison)
        return [], [PseudoLabels(threshold=self.threshold, align=self.align, transform=view, **settings)]


@dataclass(frozen=True, kw_only=True)
class Contrast(SelfTraining):
    """Pseudo-labels and complementary contrast.

    Attributes:
        confidence: probability from which a target row is certain.
        dropout: share of the features that is set to zero in each of the two views of a row.

    """

    name = "contrast"
    summary = "pseudo-labels and complementary contrast"
    reference = "Deng et al. 2022"
    classes = 3

    confidence: float = 0.95
    dropout: float = 0.1

    def build(self, comparison: Comparison) -> Parts:
        """Return both terms."""
        from hepda.adversarial.terms.selftraining import ComplementaryContrast

        settings: dict[str, Any] = {
            "confidence": self.confidence,
            "dropout": self.dropout,
            "transform": comparison.transform,
        }
        contrast: Term = ComplementaryContrast(**settings, **self.term_settings(comparison))
        return [], [*super().build(comparison)[1], contrast]


@dataclass(frozen=True, kw_only=True)
class Smoothness(Method):
    """Virtual adversarial training.

    Attributes:
        radius: length of the step, in widths of the normalized inputs.
        source: factor on the roughness of the predictions on the source.
        target: factor on the roughness of the predictions on the target.
        entropy: factor on the entropy of the predictions on the target.

    """

    name = "vat"
    summary = "predictions smooth on both domains and certain on the target"
    reference = "Miyato et al. 2018"
    classes = 2

    several: ClassVar[Several] = "never"

    radius: float = 0.5
    source: float = 1.0
    target: float = 0.1
    entropy: float = 0.1

    def build(self, comparison: Comparison) -> Parts:
        """Return the term."""
        from hepda.adversarial.terms.smoothness import VirtualAdversarial

        parts: dict[str, Any] = {
            "radius": self.radius,
            "source": self.source,
            "target": self.target,
            "entropy": self.entropy,
        }
        return [], [VirtualAdversarial(**parts, **self.term_settings(comparison))]


@dataclass(frozen=True, kw_only=True)
class DannAndSmoothness(Smoothness, Dann):
    """VADA: the domain head of `dann`, and `vat`."""

    name = "vada"
    summary = "DANN and vat: a boundary through the target's gaps"
    several: ClassVar[Several] = "never"
    reference = "Shu et al. 2018"
    classes = 2

    def build(self, comparison: Comparison) -> Parts:
        """Return the head and the term."""
        return Dann.build(self, comparison)[0], Smoothness.build(self, comparison)[1]
