"""Scorers that choose among trainings without labels of the target; all of them: the larger the better.

A scorer is called with a network, source rows and target rows that it was not trained on. What is chosen with
a scorer is reported on other rows still. No scorer here looks at labels of the target.
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
    """Class probabilities [n, k] of the main head for rows of a domain, in float64."""
    raw = network.predict(rows.features, raw=True, domain=domain).astype(np.float64)
    if network.main.loss == "binary":
        second = expit(raw)
        return np.stack([1.0 - second, second], axis=1)
    if network.main.loss == "multiclass":
        result: Array = softmax(raw, axis=1)
        return result
    raise ConfigError(f"this scorer needs a head that says a class; the main head's loss is {network.main.loss!r}")


def weights(rows: DomainRows, key: str | None) -> Array:
    """Event weights by name, 1 if there are none of that name."""
    if key is None or key not in rows.weights:
        return np.ones(len(rows))
    return np.asarray(rows.weights[key], dtype=np.float64)


def labels(network: Network, source: DomainRows) -> NDArray[np.int64]:
    """Class numbers of the source rows."""
    return np.asarray(source.targets[network.main.key]).astype(np.int64).reshape(-1)


def _there(target: DomainRows | None) -> DomainRows:
    if target is None:
        raise DataError("this scorer compares domains and needs target rows")
    return target


def losses(network: Network, source: DomainRows) -> Array:
    """Loss of each source row [n]."""
    if network.main.loss in ("binary", "multiclass"):
        said = probabilities(network, source, "source")
        return -np.log(np.maximum(said[np.arange(len(said)), labels(network, source)], _TINY))
    wanted = np.asarray(source.targets[network.main.key], dtype=np.float64)
    said = network.predict(source.features, raw=True, domain="source").astype(np.float64)
    result: Array = ((said - wanted.reshape(said.shape)) ** 2).reshape(len(wanted), -1).mean(axis=1)
    return result


def source_loss(network: Network, source: DomainRows, target: DomainRows | None = None) -> float:
    """Minus the weighted loss on the source. Blind to the target, yet often hard to beat (Musgrave et al.
    2021).
    """
    weight = weights(source, network.main.weight)
    return -float(weight @ losses(network, source) / np.abs(weight).sum())


def entropy(network: Network, source: DomainRows, target: DomainRows | None) -> float:
    """Minus the mean entropy of predictions on the target (Morerio et al. 2018)."""
    there = _there(target)
    said, weight = probabilities(network, there), _domain_weight(network, there)
    rows = -(said * np.log(np.maximum(said, _TINY))).sum(axis=1)
    return -float(weight @ rows / weight.sum())


def information_maximisation(network: Network, source: DomainRows, target: DomainRows | None) -> float:
    """Entropy of the mean prediction less the mean entropy, on the target: sure of each, spread over all."""
    there = _there(target)
    said, weight = probabilities(network, there), _domain_weight(network, there)
    mean = np.maximum(weight @ said / weight.sum(), _TINY)
    return float(-(mean * np.log(mean)).sum()) + entropy(network, source, there)


def nuclear_norm(network: Network, source: DomainRows, target: DomainRows | None) -> float:
    """BNM (Cui et al. 2020): nuclear norm of the target's prediction matrix, divided by sqrt(n k); rows
    weighted.
    """
    there = _there(target)
    said, weight = probabilities(network, there), _domain_weight(network, there)
    scaled = said * np.sqrt(np.maximum(weight, 0.0) / np.maximum(weight, 0.0).mean())[:, None]
    return float(np.linalg.norm(scaled, ord="nuc") / np.sqrt(said.size))


def soft_neighbourhood_density(
    network: Network, source: DomainRows, target: DomainRows | None, temperature: float = 0.05, limit: int = 2000
) -> float:
    """SND (Saito et al. 2021): entropy of softmax similarities of the target's predictions, `limit` rows at
    most.
    """
    said = probabilities(network, _there(target))[:limit]
    unit = said / np.linalg.norm(said, axis=1, keepdims=True)
    similar = unit @ unit.T / temperature
    np.fill_diagonal(similar, -np.inf)
    near = softmax(similar, axis=1)
    return float(-(near * np.log(np.maximum(near, _TINY))).sum(axis=1).mean())


def _domain_weight(network: Network, rows: DomainRows) -> Array:
    """Weights of the comparison of domains, by the first reversed head or term that names some."""
    named = [head.weight for head in network.heads.values() if head.reversal] + [t.weight for t in network.terms]
    return weights(rows, next((name for name in named if name), None))


@dataclass(frozen=True, slots=True)
class _Probe:
    """A fresh domain classifier on the features: out-of-fold probabilities of the target."""

    is_target: NDArray[np.bool_]
    weight: Array
    target: Array

    def auc(self) -> float:
        """Weighted area under the ROC curve; 0.5: the domains cannot be told apart."""
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
    said = cross_val_predict(
        model,
        np.concatenate(parts),
        domain,
        cv=split,
        method="predict_proba",
        params={"logisticregression__sample_weight": weight},
    )
    return _Probe(domain, weight, said[:, 1])


def probe_auc(network: Network, source: DomainRows, target: DomainRows | None) -> float:
    """Minus how far a fresh domain probe's AUC is from 0.5 (Ganin & Lempitsky chose by a large domain
    error).
    """
    return -abs(probe(network, source, _there(target)).auc() - 0.5)


def deep_embedded(network: Network, source: DomainRows, target: DomainRows | None) -> float:
    """DEV (You et al. 2019): minus the importance-weighted source loss, with a control variate.

    Importances are `p(target | features) / p(source | features)` of a fresh probe; `R = E[w l] + eta E[w] -
    eta`, `eta = -Cov(w l, w) / Var(w)`. Source rows count with their event weights.
    """
    found = probe(network, source, _there(target))
    said = np.clip(found.target[~found.is_target], 1e-3, 1.0 - 1e-3)
    importance = said / (1.0 - said)
    event = weights(source, network.main.weight)
    event = event / event.mean()
    weighted = importance * event * losses(network, source)
    variance = float(np.var(importance))
    eta = -float(np.cov(weighted, importance, bias=True)[0, 1]) / variance if variance > 0.0 else 0.0
    return -float(weighted.mean() + eta * importance.mean() - eta)


def reverse_validation(network: Network, source: DomainRows, target: DomainRows | None) -> float:
    """Reverse validation (Zhong et al. 2010; Ganin et al. 2016): accuracy back on the source.

    A logistic regression learns the network's predictions from the target's features, and is asked for the
    classes of the source's. 0 where the network says one class for all of the target.
    """
    there = _there(target)
    guessed = probabilities(network, there).argmax(axis=1)
    if len(np.unique(guessed)) < 2:
        return 0.0
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    weight = np.abs(_domain_weight(network, there))
    back, forth = (np.asarray(rows.features).reshape(len(rows), -1) for rows in (there, source))
    model.fit(back, guessed, logisticregression__sample_weight=weight)
    right = model.predict(forth) == labels(network, source)
    event = weights(source, network.main.weight)
    return float(event @ right / event.sum())


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
