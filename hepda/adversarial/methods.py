"""Methods by name: each is a setting of heads and terms, not a class of its own. `hepda schema` lists
them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hepda.adversarial.data.batches import Transform
from hepda.adversarial.data.weights import POLICIES
from hepda.adversarial.networks.layers import ACTIVATIONS, mlp
from hepda.adversarial.networks.losses import LOSSES
from hepda.adversarial.networks.network import Head
from hepda.adversarial.networks.reversal import Reversal
from hepda.adversarial.networks.schedules import RATE_SCHEDULES, STRENGTH_SCHEDULES
from hepda.adversarial.networks.tail import Tail
from hepda.adversarial.networks.term import Term
from hepda.adversarial.terms.alignment import Coral, DisCo, MarginDisparity, Wasserstein
from hepda.adversarial.terms.discrepancy import MMD, JointMMD
from hepda.adversarial.terms.selftraining import ClassConfusion, ComplementaryContrast, PseudoLabels
from hepda.adversarial.terms.smoothness import VirtualAdversarial
from hepda.adversarial.training.optimizers import OPTIMIZERS
from hepda.adversarial.training.selection import SCORERS
from hepda.errors import ConfigError, nearest


@dataclass(frozen=True, slots=True)
class Adversary:
    """What a method is told about the network and how strong it shall be.

    Attributes:
        features: width of the encoder's output.
        classes: number of classes of the main head (2 for one logit; 1 for a regression).
        main: name of the main head.
        rows: rows that are compared: `both`, or a mask.
        weight: key of the weights of the comparison.
        strength, schedule, warmup: of the reversal, or of the term.
        input: of the head of `dann`: `features`, `score` or `features*score`.
        hidden: widths of the domain head.
        activation: of the domain head.
        rate: factor on the adversary's learning rate.
        steps: the adversary's updates for one of the encoder; for a critic, 1 stands for its usual 5.
        smoothing: of the domain labels.
        spectral_norm: in the domain head.
        gradient_penalty: on the domain head.
        balance: give both domains the same sum of weights in the domain head.
        tail: which rows count in the domain head (tail.py).
        radius: for `vat`: how far from a row its prediction shall hold, in widths of the inputs.
        domains: number of domains; from three on, `Rows.targets["domain"]` says which.
        masks: for `conditional`: one domain head each.
        nuisance: for `pivot`: key of the nuisance in `Rows.targets`, or `domain`.
        components: for `pivot` with a continuous nuisance: Gaussians of the mixture.
        transform: for `pseudo` and `contrast`: the second view of a target row (selftraining.py).
        threshold, align: for `pseudo` and `contrast`: from which confidence on a target row is sure, and whether its
            predictions are moved to the source's class fractions.

    """

    features: int
    classes: int = 2
    main: str = "class"
    rows: str = "both"
    weight: str | None = None
    strength: float = 1.0
    schedule: str = "ganin"
    warmup: float = 0.0
    input: str = "features"
    hidden: Sequence[int] = (64, 64)
    activation: str = "relu"
    rate: float = 1.0
    steps: int = 1
    smoothing: float = 0.0
    spectral_norm: bool = False
    gradient_penalty: float = 0.0
    balance: bool = True
    tail: Tail | None = None
    radius: float = 0.5
    domains: int = 2
    masks: Sequence[str] = ()
    nuisance: str = "domain"
    components: int = 5
    transform: Transform | None = None
    threshold: float = 0.9
    align: bool = True

    def reversal(self) -> Reversal:
        """The reversal of its heads."""
        return Reversal(self.strength, self.schedule, self.warmup)

    def term(self) -> dict[str, Any]:
        """Settings of a term."""
        return {
            "strength": self.strength,
            "schedule": self.schedule,
            "warmup": self.warmup,
            "rows": self.rows,
            "weight": self.weight,
        }


Parts = tuple[list[Head], list[Term]]


def domain_head(a: Adversary, inputs: int, name: str = "domain", **fields: Any) -> Head:
    """A reversed head that tells domains apart, from `inputs` columns."""
    many = a.domains > 2
    module = mlp(
        inputs,
        a.hidden,
        a.domains if many else 1,
        activation=a.activation,
        spectral_norm=a.spectral_norm,
    )
    settings = {
        "loss": "multiclass" if many else "binary",
        "rows": a.rows,
        "target": "domain",
        "weight": a.weight,
        "reversal": a.reversal(),
        "rate": a.rate,
        "steps": a.steps,
        "smoothing": a.smoothing,
        "gradient_penalty": a.gradient_penalty,
        "balance": a.balance,
        "tail": a.tail,
    }
    return Head(name, module, **{**settings, **fields})


def _none(a: Adversary) -> Parts:
    return [], []


def _reading(a: Adversary, said: str, **fields: Any) -> Parts:
    """A domain head on `features`, the `score` of the main head, or their product."""
    scores = 1 if a.classes <= 2 else a.classes
    inputs = {"features": a.features, "score": scores, "features*score": a.features * a.classes}
    if said not in inputs:
        known = ", ".join(inputs)
        raise ConfigError(f"unknown input {said!r} of a domain head; one of {known}.{nearest(said, inputs)}")
    return [domain_head(a, inputs[said], input=said.replace("score", a.main), **fields)], []


def _dann(a: Adversary) -> Parts:
    return _reading(a, a.input)


def _cdan(a: Adversary) -> Parts:
    return _reading(a, "features*score")


def _cdan_e(a: Adversary) -> Parts:
    return _reading(a, "features*score", entropy=True)


def _conditional(a: Adversary) -> Parts:
    if not a.masks:
        raise ConfigError("method 'conditional' needs masks: one domain head is made for each")
    return [domain_head(a, a.features, f"domain_{mask}", rows=mask) for mask in a.masks], []


def _pivot(a: Adversary) -> Parts:
    if a.nuisance == "domain":
        return _reading(a, "score")
    inputs = 1 if a.classes <= 2 else a.classes
    module = mlp(inputs, a.hidden, 3 * a.components, activation=a.activation)
    head = Head(
        "nuisance",
        module,
        loss="mixture",
        rows=a.rows,
        target=a.nuisance,
        weight=a.weight,
        input=a.main,
        reversal=a.reversal(),
        rate=a.rate,
        steps=a.steps,
    )
    return [head], []


def _contrast(a: Adversary) -> Parts:
    return [], [*_pseudo(a)[1], ComplementaryContrast(transform=a.transform, **a.term())]


@dataclass(frozen=True, slots=True)
class Method:
    """A method: what it is, where it comes from, how its heads and terms are made, and the classes it needs."""

    what: str
    reference: str
    build: Callable[[Adversary], Parts]
    classes: int = 1


def _mmd(a: Adversary) -> Parts:
    return [], [MMD(**a.term())]


def _joint_mmd(a: Adversary) -> Parts:
    return [], [JointMMD(**a.term())]


def _coral(a: Adversary) -> Parts:
    return [], [Coral(**a.term())]


def _disco(a: Adversary) -> Parts:
    return [], [DisCo(**a.term())]


def _wasserstein(a: Adversary) -> Parts:
    steps = 5 if a.steps == 1 else a.steps
    return [], [Wasserstein(a.features, hidden=a.hidden, steps=steps, rate=a.rate, **a.term())]


def _mdd(a: Adversary) -> Parts:
    return [], [MarginDisparity(a.features, a.classes, hidden=a.hidden[:1], rate=a.rate, **a.term())]


def _mcc(a: Adversary) -> Parts:
    return [], [ClassConfusion(**a.term())]


def _pseudo(a: Adversary) -> Parts:
    return [], [PseudoLabels(threshold=a.threshold, align=a.align, transform=a.transform, **a.term())]


def _vat(a: Adversary) -> Parts:
    return [], [VirtualAdversarial(radius=a.radius, **a.term())]


def _vada(a: Adversary) -> Parts:
    return _dann(a)[0], _vat(a)[1]


METHODS: dict[str, Method] = {
    "none": Method("no adaptation", "", _none),
    "dann": Method("domain head on the features, reversed", "Ganin & Lempitsky 2015", _dann),
    "cdan": Method("domain head on features x predictions, reversed", "Long et al. 2018", _cdan, 2),
    "cdan+e": Method("CDAN, sure rows count more", "Long et al. 2018", _cdan_e, 2),
    "conditional": Method("one reversed domain head a mask", "Clavijo et al. 2020, one mask", _conditional),
    "pivot": Method("domain or nuisance head on the score, reversed", "Louppe et al. 2017", _pivot),
    "mmd": Method("multi-kernel MMD of the features", "Long et al. 2015", _mmd),
    "joint-mmd": Method("MMD of features and predictions", "Long et al. 2017", _joint_mmd, 2),
    "coral": Method("covariances of the features", "Sun & Saenko 2016", _coral),
    "disco": Method("distance correlation of score and domain", "Kasieczka & Shih 2020", _disco, 2),
    "wasserstein": Method("critic with gradient penalty", "Shen et al. 2018", _wasserstein),
    "mdd": Method("a second classifier that disagrees on the target", "Zhang et al. 2019", _mdd, 2),
    "mcc": Method("minimum class confusion", "Jin et al. 2020", _mcc, 2),
    "pseudo": Method("the target's own sure predictions", "Berthelot et al. 2022", _pseudo, 2),
    "vat": Method("predictions smooth on both domains and sure on the target", "Miyato et al. 2018", _vat, 2),
    "vada": Method("DANN and vat: a boundary through the target's gaps", "Shu et al. 2018", _vada, 2),
    "contrast": Method("pseudo-labels and complementary contrast", "Deng et al. 2022", _contrast, 3),
}


def build(method: str, adversary: Adversary) -> Parts:
    """Heads and terms of a method, or of several joined by commas (`"dann,pseudo"`).

    A second head of the same name (`"dann,pivot"`) is called after its method too: `domain_pivot`.

    Raises:
        ConfigError: an unknown name, or a method that this network cannot have.

    """
    heads: list[Head] = []
    terms: list[Term] = []
    for name in (part.strip() for part in method.split(",")):
        if name not in METHODS:
            known = ", ".join(METHODS)
            raise ConfigError(f"unknown method {name!r}; one of {known}.{nearest(name, METHODS)}")
        if adversary.classes < METHODS[name].classes:
            needed = {2: "a head that says a class", 3: "three classes or more; for two, take 'pseudo'"}
            raise ConfigError(f"method {name!r} needs {needed[METHODS[name].classes]}")
        more_heads, more_terms = METHODS[name].build(adversary)
        for head in more_heads:
            taken = any(head.name == other.name for other in heads)
            own = f"{head.name}_{name.replace('+', '_')}" if taken else head.name
            heads.append(replace(head, name=own, target=head.key))
        twice = {term.name for term in terms} & {term.name for term in more_terms}
        if twice:
            raise ConfigError(f"method {method!r} has {', '.join(twice)} twice; leave one of the two out")
        terms += more_terms
    return heads, terms


def listing() -> dict[str, dict[str, str]]:
    """Names that a configuration may use, each with what it is: methods, losses, schedules and so on."""

    def said(function: Callable[..., Any]) -> str:
        return (function.__doc__ or "").split("\n")[0]

    return {
        "methods": {k: f"{m.what} ({m.reference})" if m.reference else m.what for k, m in METHODS.items()},
        "losses": {k: loss.what for k, loss in LOSSES.items()},
        "strength schedules": {k: said(f) for k, f in STRENGTH_SCHEDULES.items()},
        "learning-rate schedules": {k: said(f) for k, f in RATE_SCHEDULES.items()},
        "scorers": {k: said(f) for k, f in SCORERS.items()},
        "optimizers": dict.fromkeys(OPTIMIZERS, ""),
        "activations": dict.fromkeys(ACTIVATIONS, ""),
        "negative weights": dict(POLICIES),
    }
