"""Quantile morphing: each number alone is moved to the value that has the same share of events below it in the target.

The baseline of refinements: exact for one number that is shifted, blind to what numbers have in common. Of objects: pt
of jets in each tag bin, mass over pt, and missing momentum after what the jets gain; tags stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from hepda.adversarial.tensor_files import read_tensors, write_tensors
from hepda.evaluation.regression import weighted_quantiles
from hepda.events.refinement.response import JetNoise, JetTensors
from hepda.events.refinement.summaries import Visibility

Floats = NDArray[np.float64]
_RATIO, _MET = "mass_over_pt", "met"


@dataclass(frozen=True, slots=True, eq=False)
class QuantileMap:
    """A rising, piecewise linear map from the values `before` [p] to `after` [p]; outside, the shift of the ends."""

    before: Floats
    after: Floats

    @classmethod
    def fitted(
        cls, source: ArrayLike, target: ArrayLike, source_weight: ArrayLike, target_weight: ArrayLike, points: int
    ) -> QuantileMap:
        """Return the map that gives `source` [n] the quantiles of `target` [m], with signed weights.

        Raises:
            DataError: there are no values, or weights do not add up to more than 0.

        """
        shares = np.linspace(0.5 / points, 1.0 - 0.5 / points, points).tolist()
        before, after = (
            weighted_quantiles(values, weight, shares)
            for values, weight in ((source, source_weight), (target, target_weight))
        )
        # quantiles of signed weights may fall back by a little, and equal values of a discrete number are one point
        before, index = np.unique(np.maximum.accumulate(before), return_index=True)
        return cls(before, np.maximum.accumulate(after)[index])

    def __call__(self, values: ArrayLike) -> Floats:
        """Return the values [...] in the target."""
        x = np.asarray(values, dtype=np.float64)
        inside = np.interp(x, self.before, self.after)
        below, above = np.minimum(x - self.before[0], 0.0), np.maximum(x - self.before[-1], 0.0)
        return np.asarray(inside + below + above)


def morphed_features(
    source: NDArray[np.float32], target: NDArray[np.float32], weights: tuple[Floats, Floats], points: int
) -> list[QuantileMap]:
    """Return a map for each feature of [n, k] and [m, k] with the signed weights of both."""
    return [QuantileMap.fitted(a, b, *weights, points) for a, b in zip(source.T, target.T, strict=True)]


@dataclass(frozen=True, slots=True, eq=False)
class ObjectMaps:
    """Maps of objects by name: `pt:<tag bin>`, the ratio of mass and pt, and missing momentum."""

    maps: Mapping[str, QuantileMap]

    @classmethod
    def fitted(
        cls,
        source: JetTensors,
        target: JetTensors,
        weights: tuple[Floats, Floats],
        visibility: Visibility,
        points: int,
    ) -> ObjectMaps:
        """Fit the maps to the jets that are seen in selected events, and to missing momentum after the jets' changes.

        Args:
            source: objects of the simulation.
            target: objects of the target.
            weights: signed weights of the events of both.
            visibility: which jets and events are looked at.
            points: quantiles of a map.

        """
        sides = [_seen(jets, weight, visibility) for jets, weight in zip((source, target), weights, strict=True)]
        (jets_a, weight_a, pt_a, ratio_a, tag_a), (_, weight_b, pt_b, ratio_b, tag_b) = sides
        maps = {_RATIO: QuantileMap.fitted(ratio_a, ratio_b, weight_a, weight_b, points)}
        for number in range(source.tag.shape[-1]):
            a, b = tag_a == number, tag_b == number
            if a.sum() > points and b.sum() > points and weight_a[a].sum() > 0.0 and weight_b[b].sum() > 0.0:
                maps[f"pt:{number}"] = QuantileMap.fitted(pt_a[a], pt_b[b], weight_a[a], weight_b[b], points)
        moved = cls(maps)(jets_a, None)
        size_a, size_b = (jets.met.norm(dim=1).numpy() for jets in (moved, target))
        maps[_MET] = QuantileMap.fitted(size_a, size_b, *weights, points)
        return cls(maps)

    def __call__(self, jets: JetTensors, noise: JetNoise | None) -> JetTensors:
        """Return the objects after the maps; nothing is random."""
        old = jets.pt.double().numpy()
        pt, tag, there = old.copy(), jets.tag.argmax(-1).numpy(), jets.present.numpy() > 0.0
        for number in range(jets.tag.shape[-1]):
            name, rows = f"pt:{number}", there & (tag == number)
            if name in self.maps:
                pt[rows] = np.maximum(self.maps[name](old[rows]), 0.1 * old[rows])
        ratio = np.maximum(self.maps[_RATIO](jets.mass.numpy() / old), 0.0)
        gain = torch.tensor(np.where(there, pt - old, 0.0))
        met = jets.met - torch.stack([(gain * f(jets.phi)).sum(1) for f in (torch.cos, torch.sin)], dim=1).float()
        if _MET in self.maps:
            size = met.norm(dim=1, keepdim=True)
            new = torch.tensor(np.maximum(self.maps[_MET](size.numpy()), 0.0)).float()
            met = met * new / size.clamp_min(1e-6)
        new_pt = torch.tensor(pt).float()
        mass = torch.tensor(np.where(there, ratio * pt, 0.0)).float()
        return JetTensors(jets.present, new_pt, jets.eta, jets.phi, mass, jets.tag, jets.known, met)

    def save(self, path: Path) -> None:
        """Write the maps, completely or not at all."""
        tensors = {
            f"{name}.{part}": torch.tensor(getattr(of, part))
            for name, of in self.maps.items()
            for part in ("before", "after")
        }
        write_tensors(path, tensors, {})

    @classmethod
    def load(cls, path: Path) -> ObjectMaps:
        """Read maps that `save` wrote. Raises SourceError if the file has none."""
        return cls(read_maps(path))


def read_maps(path: Path) -> dict[str, QuantileMap]:
    """Read maps by name."""
    tensors, _ = read_tensors(path)
    names = dict.fromkeys(name.rpartition(".")[0] for name in tensors)
    return {name: QuantileMap(tensors[f"{name}.before"].numpy(), tensors[f"{name}.after"].numpy()) for name in names}


def _seen(jets: JetTensors, weight: Floats, visibility: Visibility) -> tuple[JetTensors, Floats, Floats, Floats, Any]:
    """Return the objects, and of the jets that are seen in selected events: weight, pt, mass over pt, tag bin."""
    of_jets = visibility.of_jets(jets)
    selected = visibility.of_events(jets, of_jets).numpy() >= 0.5
    rows = (of_jets.numpy() >= 0.5) & selected[:, None]
    weights = np.broadcast_to(weight[:, None], rows.shape)[rows]
    pt = jets.pt.double().numpy()
    return jets, weights, pt[rows], (jets.mass.double().numpy() / pt)[rows], jets.tag.argmax(-1).numpy()[rows]
