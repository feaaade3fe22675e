"""Methods with a reversed domain head: on the features, on the score, or on both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hepda.adversarial.methods.method import Comparison, Method, Parts, Several
from hepda.errors import ConfigError, nearest

if TYPE_CHECKING:
    from hepda.adversarial.networks.network import Head


@dataclass(frozen=True, kw_only=True)
class DomainHeadMethod(Method):
    """A method with a reversed head that separates domains.

    Attributes:
        hidden: widths of the head.
        activation: of the head.
        rate: factor on its learning rate.
        steps: its updates for one of the encoder.
        smoothing: of the domain labels.
        spectral_norm: divide its weight matrices by their largest singular value.
        gradient_penalty: factor on the squared norm of the gradient of its output by its input.
        balance: give both domains the same sum of weights in it.
        tail: signal efficiency of a score cut: rows above it count fully, those below little (tail.py); None: all
            rows count.

    """

    several: ClassVar[Several] = "together"

    hidden: Sequence[int] = (64, 64)
    activation: str = "relu"
    rate: float = 1.0
    steps: int = 1
    smoothing: float = 0.0
    spectral_norm: bool = False
    gradient_penalty: float = 0.0
    balance: bool = True
    tail: float | None = None

    def domain_head(self, comparison: Comparison, read: str = "features", name: str = "domain", **fields: Any) -> Head:
        """Return a reversed head on `features`, the `score` of the main head, or their product.

        Args:
            comparison: what is compared.
            read: what the head reads.
            name: of the head.
            fields: further fields of the head.

        Raises:
            ConfigError: nothing of that name can be read.

        """
        from hepda.adversarial.networks.layers import mlp
        from hepda.adversarial.networks.network import Head
        from hepda.adversarial.networks.tail import Tail

        features, classes, several = comparison.features, comparison.classes, comparison.domains > 2
        inputs = {
            "features": features,
            "score": 1 if classes <= 2 else classes,
            "features*score": features * classes,
        }
        if read not in inputs:
            known = ", ".join(inputs)
            raise ConfigError(f"unknown input {read!r} of a domain head; one of {known}.{nearest(read, inputs)}")
        outputs = comparison.domains if several else 1
        settings: dict[str, Any] = {
            "loss": "multiclass" if several else "binary",
            "rows": comparison.rows,
            "target": "domain",
            "weight": comparison.weight,
            "reversal": self.reversal(),
            "input": read.replace("score", comparison.main),
            "rate": self.rate,
            "steps": self.steps,
            "smoothing": self.smoothing,
            "gradient_penalty": self.gradient_penalty,
            "balance": self.balance,
            "tail": None if self.tail is None else Tail(self.tail),
        }
        shape: dict[str, Any] = {"activation": self.activation, "spectral_norm": self.spectral_norm}
        module = mlp(inputs[read], self.hidden, outputs, **shape)
        return Head(name, module, **{**settings, **fields})


@dataclass(frozen=True, kw_only=True)
class Dann(DomainHeadMethod):
    """Domain-adversarial training.

    Attributes:
        input: what the head reads: `features`, `score` or `features*score`.

    """

    name = "dann"
    summary = "domain head on the features, reversed"
    reference = "Ganin & Lempitsky 2015"

    input: str = "features"

    def build(self, comparison: Comparison) -> Parts:
        """Return the domain head."""
        return [self.domain_head(comparison, self.input)], []


@dataclass(frozen=True, kw_only=True)
class Cdan(DomainHeadMethod):
    """Conditional DANN: the head reads the product of features and predictions."""

    name = "cdan"
    summary = "domain head on features x predictions, reversed"
    reference = "Long et al. 2018"
    classes = 2

    def build(self, comparison: Comparison) -> Parts:
        """Return the domain head."""
        return [self.domain_head(comparison, "features*score")], []


@dataclass(frozen=True, kw_only=True)
class CdanEntropy(DomainHeadMethod):
    """CDAN+E: rows with certain predictions count more."""

    name = "cdan+e"
    summary = "CDAN, rows with certain predictions count more"
    reference = "Long et al. 2018"
    classes = 2

    def build(self, comparison: Comparison) -> Parts:
        """Return the domain head."""
        return [self.domain_head(comparison, "features*score", entropy=True)], []


@dataclass(frozen=True, kw_only=True)
class Conditional(DomainHeadMethod):
    """A domain head for each mask of the comparison."""

    name = "conditional"
    summary = "one reversed domain head for each mask"
    reference = "Clavijo et al. 2020, one mask"

    def build(self, comparison: Comparison) -> Parts:
        """Return the domain heads; raise a `ConfigError` where there are no masks."""
        if not comparison.masks:
            raise ConfigError("method 'conditional' needs masks: one domain head is made for each")
        return [self.domain_head(comparison, name=f"domain_{mask}", rows=mask) for mask in comparison.masks], []


@dataclass(frozen=True, kw_only=True)
class Pivot(DomainHeadMethod):
    """Learning to pivot: a head on the score.

    Attributes:
        nuisance: what it predicts: `domain`, or the key of a real number in `DomainRows.targets`.
        components: Gaussians of the mixture that models a real number.

    """

    name = "pivot"
    summary = "domain or nuisance head on the score, reversed"
    reference = "Louppe et al. 2017"

    nuisance: str = "domain"
    components: int = 5

    def build(self, comparison: Comparison) -> Parts:
        """Return the head of the domain or of the nuisance."""
        if self.nuisance == "domain":
            return [self.domain_head(comparison, "score")], []
        from hepda.adversarial.networks.layers import mlp
        from hepda.adversarial.networks.network import Head

        inputs = 1 if comparison.classes <= 2 else comparison.classes
        head = Head(
            "nuisance",
            mlp(inputs, self.hidden, 3 * self.components, activation=self.activation),
            loss="mixture",
            rows=comparison.rows,
            target=self.nuisance,
            weight=comparison.weight,
            input=comparison.main,
            reversal=self.reversal(),
            rate=self.rate,
            steps=self.steps,
        )
        return [head], []
