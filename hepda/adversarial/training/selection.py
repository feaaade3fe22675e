"""Scorers that choose among trainings without labels of the target; a larger score is better.

A scorer is called with a network, and with source and target rows that it was not trained on. The result of a choice by
a scorer is reported on yet other rows. No scorer uses labels of the target.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hepda.adversarial.data.batches import DomainRows
from hepda.adversarial.networks.network import Network
from hepda.adversarial.training.settings import Scorer
from hepda.errors import ConfigError, DataError, nearest

Array = NDArray[np.float64]
_TINY = 1e-12


def probabilities(network: Network, rows: DomainRows, domain: str = "target") -> Array:
    """Return the class probabilities [n, k] of the main head for rows of a domain, in float64."""
    raw = network.predict(rows.features, raw=True, domain=domain).astype(np.float64)
    if network.main.loss == "binary":
        positive = expit(raw)
        return np.stack([1.0 - positive, positive], axis=1)
    if network.main.loss == "multiclass":
        result: Array = softmax(raw, axis=1)
        return result
    raise ConfigError(f"this scorer needs a head that predicts a class; the main head's loss is {network.main.loss!r}")


def weights(rows: DomainRows, key: str | None) -> Array:
    """Return the event weights of a name, or 1 if there are none."""
    if key is None or key not in rows.weights:
        return np.ones(len(rows))
    return np.asarray(rows.weights[key], dtype=np.float64)


def labels(network: Network, source: DomainRows) -> NDArray[np.int64]:
    """Return the class numbers of the source rows."""
    return np.asarray(source.targets[network.main.key]).astype(np.int64).reshape(-1)


def _required(target: DomainRows | None) -> DomainRows:
    if target is None:
        raise DataError("this scorer compares domains and needs target rows")
    return target


def losses(network: Network, source: DomainRows) -> Array:
    """Return the loss of each source row [n]."""
    if network.main.loss in ("binary", "multiclass"):
        prediction = probabilities(network, source, "source")
        return -np.log(np.maximum(prediction[np.arange(len(prediction)), labels(network, source)], _TINY))
    truth = np.asarray(source.targets[network.main.key], dtype=np.float64)
    prediction = network.predict(source.features, raw=True, domain="source").astype(np.float64)
    if (scale := network.target_scale(network.main)) is not None:
        truth = (truth - scale.mean.cpu().numpy()) / scale.width.cpu().numpy()
    residual = (prediction - truth.reshape(prediction.shape)).reshape(len(truth), -1)
    result: Array = (np.abs(residual) if network.main.loss == "absolute" else residual**2).mean(axis=1)
    return result


def source_loss(network: Network, source: DomainRows, target: DomainRows | None = None) -> float:
    """Minus the weighted loss on the source; it ignores the target, but is hard to beat (Musgrave et al. 2021)."""
    weight = weights(source, network.main.weight)
    return -float(weight @ losses(network, source) / np.abs(weight).sum())


def entropy(network: Network, source: DomainRows, target: DomainRows | None) -> float:
    """Minus the mean entropy of predictions on the target (Morerio et al. 2018)."""
    target_rows = _required(target)
    prediction, weight = probabilities(network, target_rows), _domain_weight(network, target_rows)
    rows = -(prediction * np.log(np.maximum(prediction, _TINY))).sum(axis=1)
    return -float(weight @ rows / weight.sum())


def information_maximisation(network: Network, source: DomainRows, target: DomainRows | None) -> float:
    """Entropy of the mean prediction minus the mean entropy, on the target: certain rows, in all classes."""
    target_rows = _required(target)
    prediction, weight = probabilities(network, target_rows), _domain_weight(network, target_rows)
    mean = np.maximum(weight @ prediction / weight.sum(), _TINY)
    return float(-(mean * np.log(mean)).sum()) + entropy(network, source, target_rows)


def nuclear_norm(network: Network, source: DomainRows, target: DomainRows | None) -> float:
    """BNM (Cui et al. 2020): nuclear norm of the target's weighted prediction matrix, divided by sqrt(n k)."""
    target_rows = _required(target)
    prediction, weight = probabilities(network, target_rows), _domain_weight(network, target_rows)
    scaled = prediction * np.sqrt(np.maximum(weight, 0.0) / np.maximum(weight, 0.0).mean())[:, None]
    return float(np.linalg.norm(scaled, ord="nuc") / np.sqrt(prediction.size))


def soft_neighbourhood_density(
    network: Network, source: DomainRows, target: DomainRows | None, temperature: float = 0.05, limit: int = 2000
) -> float:
    """SND (Saito et al. 2021): entropy of softmax similarities of the target's predictions, of at most `limit` rows."""
    prediction = probabilities(network, _required(target))[:limit]
    unit = prediction / np.linalg.norm(prediction, axis=1, keepdims=True)
    similar = unit @ unit.T / temperature
    np.fill_diagonal(similar, -np.inf)
    near = softmax(similar, axis=1)
    return float(-(near * np.log(np.maximum(near, _TINY))).sum(axis=1).mean())


def _domain_weight(network: Network, rows: DomainRows) -> Array:
    """Return the weights of the comparison of domains, by the first reversed head or term that names some."""
    named = [head.weight for head in network.heads.values() if head.reversal] + [t.weight for t in network.terms]
    return weights(rows, next((name for name in named if name), None))


@dataclass(frozen=True, slots=True)
class _Probe:
    """A fresh domain classifier on the features: out-of-fold probabilities of the target."""

    is_target: NDArray[np.bool_]
    weight: Array
    target: Array

    def auc(self) -> float:
        """Return the weighted area under the ROC curve; 0.5: the domains cannot be distinguished."""
        return float(roc_auc_score(self.is_target, self.target, sample_weight=self.weight))


def probe(network: Network, source: DomainRows, target: DomainRows, folds: int = 3, seed: int = 0) -> _Probe:
    """Fit a logistic regression on features and their squares, out of fold.

    Domains have the same sum of weights; negative weights count with their absolute value (a probability is
    fitted).
    """
    domain = np.repeat([False, True], [len(source), len(target)])
    parts = []
    for rows, name in ((source, "source"), (target, "target")):
        embedding = network.embed(rows.features, domain=name).astype(np.float64)
        embedding = embedding.reshape(len(embedding), -1)
        parts.append(np.concatenate([embedding, embedding**2], axis=1))
    weight = np.concatenate([np.abs(_domain_weight(network, rows)) for rows in (source, target)])
    for side in (False, True):
        total = weight[domain == side].sum()
        if not total > 0.0:
            raise DataError("a probe needs weights that are not all zero in both domains")
        weight[domain == side] *= len(domain) / (2.0 * total)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    probability = cross_val_predict(
        model,
        np.concatenate(parts),
        domain,
        cv=split,
        method="predict_proba",
        params={"logisticregression__sample_weight": weight},
    )
    return _Probe(domain, weight, probability[:, 1])


def target_domains(source: DomainRows, target: DomainRows) -> list[tuple[DomainRows, DomainRows]]:
    """Return each target domain with the source rows that it is compared with.

    Rows and their variations are the same events: a probe compares half of the events with variations of the others,
    since it may not be fitted to an event on one side that it is tested on as one of the other.
    """
    if "domain" not in target.targets and not target.partners:
        return [(source, target)]
    numbers = np.asarray(target.targets["domain"]) if "domain" in target.targets else np.zeros(len(target))
    event = np.arange(len(target)) % len(source)
    half = event % 2 == 1 if target.partners else np.ones(len(target), dtype=np.bool_)
    compared = source.select(np.arange(len(source)) % 2 == 0) if target.partners else source
    return [(compared, target.select(half & (numbers == number))) for number in np.unique(numbers)]


def probe_auc(network: Network, source: DomainRows, target: DomainRows | None) -> float:
    """Minus the distance of a fresh domain probe's AUC from 0.5 (Ganin & Lempitsky chose by a large domain error).

    Of several target domains it is that of the one that differs most.
    """
    return -max(abs(probe(network, *pair).auc() - 0.5) for pair in target_domains(source, _required(target)))


def deep_embedded(network: Network, source: DomainRows, target: DomainRows | None) -> float:
    """DEV (You et al. 2019): minus the importance-weighted source loss, with a control variate.

    Importances are `p(target | features) / p(source | features)` of a fresh probe; `R = E[w l] + eta E[w] -
    eta`, `eta = -Cov(w l, w) / Var(w)`. Source rows count with their event weights.
    """
    domain_probe = probe(network, source, _required(target))
    probability = np.clip(domain_probe.target[~domain_probe.is_target], 1e-3, 1.0 - 1e-3)
    importance = probability / (1.0 - probability)
    event = weights(source, network.main.weight)
    event = event / event.mean()
    weighted = importance * event * losses(network, source)
    variance = float(np.var(importance))
    eta = -float(np.cov(weighted, importance, bias=True)[0, 1]) / variance if variance > 0.0 else 0.0
    return -float(weighted.mean() + eta * importance.mean() - eta)


def reverse_validation(network: Network, source: DomainRows, target: DomainRows | None) -> float:
    """Reverse validation (Zhong et al. 2010; Ganin et al. 2016): accuracy back on the source.

    A logistic regression learns the network's predictions from the target's features, and predicts the classes of the
    source. 0 if the network predicts one class for the entire target.
    """
    target_rows = _required(target)
    predicted = probabilities(network, target_rows).argmax(axis=1)
    if len(np.unique(predicted)) < 2:
        return 0.0
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    weight = np.abs(_domain_weight(network, target_rows))
    features = np.asarray(target_rows.features).reshape(len(target_rows), -1)
    model.fit(features, predicted, logisticregression__sample_weight=weight)
    source_features = np.asarray(source.features).reshape(len(source), -1)
    correct = model.predict(source_features) == labels(network, source)
    event = weights(source, network.main.weight)
    return float(event @ correct / event.sum())


SCORERS: dict[str, Scorer] = {
    "source-loss": source_loss,
    "probe-auc": probe_auc,
    "entropy": entropy,
    "information": information_maximisation,
    "nuclear-norm": nuclear_norm,
    "density": soft_neighbourhood_density,
    "dev": deep_embedded,
    "reverse": reverse_validation,
}


def find_scorer(name: str) -> Scorer:
    """Return the scorer of that name, or a `ConfigError` that lists the names there are."""
    if name not in SCORERS:
        raise ConfigError(f"unknown scorer {name!r}; one of {', '.join(SCORERS)}.{nearest(name, SCORERS)}")
    return SCORERS[name]
