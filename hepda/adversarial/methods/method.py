"""The base class of methods of adaptation: its fields are the settings, and it makes heads and terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from hepda.adversarial.data.batches import Transform
    from hepda.adversarial.networks.network import Head
    from hepda.adversarial.networks.reversal import Reversal
    from hepda.adversarial.networks.term import Term

Parts = tuple[list["Head"], list["Term"]]
Several = Literal["together", "pairs", "never"]
"""How a method compares several target domains."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The comparison of domains, and the network: the input of a method in addition to its settings.

    Attributes:
        features: width of the encoder's output.
        classes: number of classes of the main head (2 for one logit; 1 for a regression).
        main: name of the main head.
        rows: rows that are compared: `both`, or a mask.
        weight: key of the weights of the comparison.
        domains: number of domains; from three on, `DomainRows.targets["domain"]` has the numbers.
        pairs: names of the target domains, for methods that compare two domains: each is compared with the source.
        groups: names of classes, each of which is compared by parts of its own.
        masks: for methods with a domain head for each of several masks.
        transform: for methods with a second view of a target row (selftraining.py).

    """

    features: int
    classes: int = 2
    main: str = "class"
    rows: str = "both"
    weight: str | None = None
    domains: int = 2
    pairs: Sequence[str] = ()
    groups: Sequence[str] = ()
    masks: Sequence[str] = ()
    transform: Transform | None = None

    def mask(self, *parts: str) -> str:
        """Return the name of the mask of the rows that are of a pair and of a group; those of all without any."""
        return "/".join(part for part in (self.rows, *parts) if part)


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method of adaptation; derive from it, define `build`, and add the class to `registry.METHODS`.

    Class attributes: `name` in configurations, `summary`, `reference`, `classes`, the fewest classes that the main
    head must have (1: a regression is sufficient), and `several`: whether several target domains are compared
    `together`, in one head, in `pairs` with the source, which add up, or not at all (`never`).

    Attributes:
        strength, schedule, warmup: of the reversal or the term (reversal.py).

    """

    name: ClassVar[str]
    summary: ClassVar[str]
    reference: ClassVar[str] = ""
    classes: ClassVar[int] = 1
    several: ClassVar[Several] = "pairs"

    strength: float = 1.0
    schedule: str = "ganin"
    warmup: float = 0.0

    def build(self, comparison: Comparison) -> Parts:
        """Return the heads and the terms of the method for a network."""
        raise NotImplementedError(f"{type(self).__name__} defines no build")

    def reversal(self) -> Reversal:
        """Return the reversal of its heads."""
        from hepda.adversarial.networks.reversal import Reversal

        return Reversal(self.strength, self.schedule, self.warmup)

    def term_settings(self, comparison: Comparison) -> dict[str, Any]:
        """Return the keyword arguments that every term takes."""
        return {
            "strength": self.strength,
            "schedule": self.schedule,
            "warmup": self.warmup,
            "rows": comparison.rows,
            "weight": comparison.weight,
        }
