"""Event variables by loops over events, pairs and triplets: slow, and plainly what the words say."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations

import numpy as np

Jet = tuple[float, float, float, float]
"""pt, eta, phi, mass"""


def cartesian(jet: Jet) -> tuple[float, float, float, float]:
    """px, py, pz, E."""
    pt, eta, phi, mass = jet
    px, py, pz = pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta)
    return px, py, pz, math.sqrt(px**2 + py**2 + pz**2 + mass**2)


def system(jets: list[Jet]) -> tuple[float, float, float, float]:
    """Sum of the four-vectors."""
    sums = [math.fsum(parts) for parts in zip(*(cartesian(jet) for jet in jets), strict=True)]
    return sums[0], sums[1], sums[2], sums[3]


def mass(jets: list[Jet]) -> float:
    px, py, pz, energy = system(jets)
    return math.sqrt(max(energy**2 - px**2 - py**2 - pz**2, 0.0))


def pt(jets: list[Jet]) -> float:
    px, py, _, _ = system(jets)
    return math.hypot(px, py)


def delta_phi(a: Jet, b: Jet) -> float:
    return abs(math.remainder(a[2] - b[2], 2 * math.pi))


def delta_eta(a: Jet, b: Jet) -> float:
    return abs(a[1] - b[1])


def delta_r(a: Jet, b: Jet) -> float:
    return math.hypot(delta_eta(a, b), delta_phi(a, b))


def of_pairs(jets: list[Jet], quantity: Callable[[Jet, Jet], float]) -> list[float]:
    return [quantity(a, b) for a, b in combinations(jets, 2)]


def mass_of_nearest(jets: list[Jet], size: int, target: float) -> float:
    return min((mass(list(group)) for group in combinations(jets, size)), key=lambda m: abs(m - target))


def mass_of_closest_pair(jets: list[Jet]) -> float:
    return mass(list(min(combinations(jets, 2), key=lambda pair: delta_r(*pair))))


def mass_of_hardest_triplet(jets: list[Jet]) -> float:
    return mass(list(max(combinations(jets, 3), key=lambda group: pt(list(group)))))


def fox_wolfram(jets: list[Jet], order: int) -> float:
    vectors = [np.array(cartesian(jet)[:3]) for jet in jets]
    total = 0.0
    for a in vectors:
        for b in vectors:
            cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            polynomial = np.polynomial.legendre.Legendre.basis(order)(min(1.0, max(-1.0, cosine)))
            total += np.linalg.norm(a) * np.linalg.norm(b) * polynomial
    return float(total / sum(np.linalg.norm(v) for v in vectors) ** 2)


def tensor_eigenvalues(jets: list[Jet], power: float) -> np.ndarray:
    """Falling."""
    tensor, norm = np.zeros((3, 3)), 0.0
    for jet in jets:
        p = np.array(cartesian(jet)[:3])
        tensor += np.outer(p, p) * np.linalg.norm(p) ** (power - 2)
        norm += np.linalg.norm(p) ** power
    return np.linalg.eigvalsh(tensor / norm)[::-1]


def centrality(jets: list[Jet]) -> float:
    return sum(jet[0] for jet in jets) / sum(cartesian(jet)[3] for jet in jets)
