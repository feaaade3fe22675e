"""How many labelled events of another domain a new last layer of a network needs (`evaluation.few_labels`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from hepda.errors import DataError
from hepda.evaluation.few_labels import EmbeddedEvents, FewLabelsSettings, few_labels
from hepda.events.dataset.splits import at_most
from hepda.events.results.embeddings.probes import load_network
from hepda.results.evaluation import FewLabels

if TYPE_CHECKING:
    from hepda.adversarial import Network
    from hepda.events.results.evaluate import EvaluationInput

Mask = NDArray[np.bool_]
MOST_JUDGING = 50_000
"""Events on which the refitted models are judged; an AUC is then known to some 0.002."""
_SMALLEST = 1e-7  # distance of a score from 0 and 1, at the precision of scores


def model_few_labels(evaluated: EvaluationInput, model: str) -> FewLabels | str:
    """Return the AUC of a network after refits of its last layer to few labelled events, or why there is none.

    Only events of fold 0 are used: the network of fold 0 saw none of them.
    """
    section = evaluated.spec.settings.few_labels
    if section is None:
        raise ValueError("`evaluation.few_labels` is null")
    table = evaluated.table
    inside = table.of_domain(section.domain) & (table.label >= 0) & (table.fold == 0)
    score = evaluated.scores[model][inside]
    if len(score) and (score.min() < 0 or score.max() > 1):
        return "the score is no probability"
    network = load_network(evaluated.networks[model], table.names, evaluated.spec.models[model])
    settings = FewLabelsSettings(section.events, section.draws, evaluated.spec.seed)
    try:
        return few_labels(
            _embedded(evaluated, model, network, inside & table.validation),
            _embedded(evaluated, model, network, at_most(inside & ~table.validation, table.key, MOST_JUDGING)),
            settings,
        )
    except DataError as reason:
        return str(reason)


def _embedded(evaluated: EvaluationInput, model: str, network: Network, mask: Mask) -> EmbeddedEvents:
    from hepda.events.training.tensors import model_features

    table, spec = evaluated.table, evaluated.spec.models[model]
    score = np.clip(np.asarray(evaluated.scores[model][mask], dtype=np.float64), _SMALLEST, 1 - _SMALLEST)
    return EmbeddedEvents.of(
        network.embed(model_features(spec, table, rows=mask)),
        logit(score),
        table.label[mask],
        table.weight[mask],
    )


def few_labels_of(result: FewLabels | str, domain: str) -> dict[str, Any]:
    """Return models.<model>.few_labels of metrics.json."""
    if isinstance(result, str):
        return {"domain": domain, "why": result}
    methods = {
        name: {
            "needed": method.needed,
            "auc": {
                str(n): {"value": value, "low": low, "high": high}
                for n, value, low, high in zip(
                    result.events, method.auc.tolist(), method.low.tolist(), method.high.tolist(), strict=True
                )
            },
        }
        for name, method in result.methods.items()
    }
    too_many = {"too_many": list(result.too_many)} if result.too_many else {}
    return {"domain": domain, "trained": result.trained, "methods": methods, **too_many}
