"""Small data that the tests of the core share."""

from __future__ import annotations

from typing import Any

import numpy as np

from hepda.adversarial import DomainRows, Head, Network, Reversal, mlp, seeded


def shifted(n: int = 3000, columns: int = 6, seed: int = 0) -> tuple[DomainRows, DomainRows]:
    """Source with a class along column 0, target shifted along column 1; weights of either sign."""
    rng = np.random.default_rng(seed)
    x, other = (rng.normal(size=(n, columns)).astype(np.float32) for _ in range(2))
    label = (x[:, 0] + 0.5 * rng.normal(size=n) > 0).astype(np.int64)
    other[:, 1] += 1.0
    weight = rng.normal(1.0, 0.7, n)
    source = DomainRows(x, {"class": label}, {"class": weight, "domain": weight}, {"background": label == 0})
    return source, DomainRows(other, weights={"domain": np.ones(n)})


def network(columns: int = 6, seed: int = 1, reversal: Reversal | None = None, **settings: Any) -> Network:
    """Class head on the source, domain head on background of the source against the target."""
    with seeded(seed):
        encoder = mlp(columns, [32, 16], dropout=settings.pop("dropout", 0.0))
        heads = [Head("class", mlp(16, [], 1), weight="class")]
        if settings.pop("domain", True):
            fields = {"rows": "background", "weight": "domain", **settings}
            heads.append(Head("domain", mlp(16, [16], 1), reversal=reversal or Reversal(1.0), **fields))
        return Network(encoder, heads)
