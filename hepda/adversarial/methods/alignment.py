"""Methods whose terms align the features or the scores of the domains (terms/)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hepda.adversarial.methods.method import Comparison, Method, Parts
from hepda.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class NoAdaptation(Method):
    """No adaptation at all, whatever the strength."""

    name = "none"
    summary = "no adaptation"

    def build(self, comparison: Comparison) -> Parts:
        """Return nothing."""
        return [], []


@dataclass(frozen=True, kw_only=True)
class MeanDiscrepancy(Method):
    """Multi-kernel MMD of the features.

    Attributes:
        kernels: number of Gaussian kernels, whose squared widths are successive powers of two.
        width: factor on the widths of the kernels.
        scale: factor on the discrepancy, so that a strength of 1 trains steadily.

    """

    name = "mmd"
    summary = "multi-kernel MMD of the features"
    reference = "Long et al. 2015"

    kernels: int = 5
    width: float = 1.0
    scale: float = 0.1

    def build(self, comparison: Comparison) -> Parts:
        """Return the term."""
        from hepda.adversarial.terms.discrepancy import MMD

        settings = self.term_settings(comparison)
        return [], [MMD(kernels=self.kernels, width=self.width, scale=self.scale, **settings)]


@dataclass(frozen=True, kw_only=True)
class JointMeanDiscrepancy(MeanDiscrepancy):
    """MMD of features and predictions together."""

    name = "joint-mmd"
    summary = "MMD of features and predictions"
    reference = "Long et al. 2017"
    classes = 2

    def build(self, comparison: Comparison) -> Parts:
        """Return the term."""
        from hepda.adversarial.terms.discrepancy import JointMMD

        settings = self.term_settings(comparison)
        return [], [JointMMD(kernels=self.kernels, width=self.width, scale=self.scale, **settings)]


@dataclass(frozen=True, kw_only=True)
class DeepCoral(Method):
    """Covariances of the features."""

    name = "coral"
    summary = "covariances of the features"
    reference = "Sun & Saenko 2016"

    def build(self, comparison: Comparison) -> Parts:
        """Return the term."""
        from hepda.adversarial.terms.alignment import Coral

        return [], [Coral(**self.term_settings(comparison))]


@dataclass(frozen=True, kw_only=True)
class DistanceCorrelation(Method):
    """Distance correlation of the domain with the score or the features.

    Attributes:
        on: `score` or `features`.

    """

    name = "disco"
    summary = "distance correlation of score and domain"
    reference = "Kasieczka & Shih 2020"
    classes = 2

    on: str = "score"

    def build(self, comparison: Comparison) -> Parts:
        """Return the term."""
        from hepda.adversarial.terms.alignment import DisCo

        return [], [DisCo(on=self.on, **self.term_settings(comparison))]


@dataclass(frozen=True, kw_only=True)
class CramerDistance(Method):
    """Cramer distance of the logits; for more than two classes, half the energy distance.

    Attributes:
        tail: signal efficiency of a score cut: the distributions are compared above it, and little below (tail.py);
            None: everywhere.
        emphasis: exponent of a factor for both tails; 1 is the weight of Anderson & Darling, 0 none.
        unbiased: subtract what is expected of two finite samples of one distribution.

    """

    name = "cramer"
    summary = "Cramer distance of the logits: integral of (F_A - F_B)^2"
    reference = "Szekely & Rizzo 2013, Bellemare et al. 2017"

    tail: float | None = None
    emphasis: float = 0.0
    unbiased: bool = False

    def build(self, comparison: Comparison) -> Parts:
        """Return the term; raise a `ConfigError` for tails of more than two classes, which have no order."""
        from hepda.adversarial.networks.tail import Tail
        from hepda.adversarial.terms.energy import Cramer

        if comparison.classes > 2 and (self.tail is not None or self.emphasis):
            raise ConfigError("method 'cramer' with tails needs one logit: a head of two classes")
        tail = None if self.tail is None else Tail(self.tail)
        settings: dict[str, Any] = {"tail": tail, "emphasis": self.emphasis, "unbiased": self.unbiased}
        return [], [Cramer(**settings, **self.term_settings(comparison))]


@dataclass(frozen=True, kw_only=True)
class WassersteinCritic(Method):
    """A critic with gradient penalty.

    Attributes:
        hidden: widths of the critic.
        rate: factor on its learning rate.
        steps: its updates for one of the encoder.
        penalty: factor on the gradient penalty.

    """

    name = "wasserstein"
    summary = "critic with gradient penalty"
    reference = "Shen et al. 2018"

    hidden: Sequence[int] = (64, 64)
    rate: float = 1.0
    steps: int = 5
    penalty: float = 10.0

    def build(self, comparison: Comparison) -> Parts:
        """Return the term."""
        from hepda.adversarial.terms.alignment import Wasserstein

        critic: dict[str, Any] = {
            "hidden": self.hidden,
            "penalty": self.penalty,
            "steps": self.steps,
            "rate": self.rate,
        }
        return [], [Wasserstein(comparison.features, **critic, **self.term_settings(comparison))]


@dataclass(frozen=True, kw_only=True)
class SecondClassifier(Method):
    """Margin disparity: a second classifier that disagrees on the target.

    Attributes:
        hidden: width of its one hidden layer (the first number).
        rate: factor on its learning rate.
        margin: factor on its loss on the source.

    """

    name = "mdd"
    summary = "a second classifier that disagrees on the target"
    reference = "Zhang et al. 2019"
    classes = 2

    hidden: Sequence[int] = (64,)
    rate: float = 1.0
    margin: float = 2.0

    def build(self, comparison: Comparison) -> Parts:
        """Return the term."""
        from hepda.adversarial.terms.alignment import MarginDisparity

        settings: dict[str, Any] = {"hidden": tuple(self.hidden)[:1], "margin": self.margin, "rate": self.rate}
        settings |= self.term_settings(comparison)
        return [], [MarginDisparity(comparison.features, comparison.classes, **settings)]
