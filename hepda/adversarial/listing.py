"""Names that a configuration may use, each with a description: methods, losses, schedules and so on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hepda.adversarial.data.weights import POLICIES
from hepda.adversarial.methods.registry import METHODS
from hepda.adversarial.networks.layers import ACTIVATIONS
from hepda.adversarial.networks.losses import LOSSES
from hepda.adversarial.networks.schedules import RATE_SCHEDULES, STRENGTH_SCHEDULES
from hepda.adversarial.training.optimizers import OPTIMIZERS
from hepda.adversarial.training.selection import SCORERS


def listing() -> dict[str, dict[str, str]]:
    """Return the names of each group with a line about each."""

    def first_line(function: Callable[..., Any]) -> str:
        return (function.__doc__ or "").split("\n")[0]

    return {
        "methods": {k: f"{m.summary} ({m.reference})" if m.reference else m.summary for k, m in METHODS.items()},
        "losses": {k: loss.what for k, loss in LOSSES.items()},
        "strength schedules": {k: first_line(f) for k, f in STRENGTH_SCHEDULES.items()},
        "learning-rate schedules": {k: first_line(f) for k, f in RATE_SCHEDULES.items()},
        "scorers": {k: first_line(f) for k, f in SCORERS.items()},
        "optimizers": dict.fromkeys(OPTIMIZERS, ""),
        "activations": dict.fromkeys(ACTIVATIONS, ""),
        "negative weights": dict(POLICIES),
    }
