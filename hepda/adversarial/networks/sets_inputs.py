"""Events as sets of objects: where the objects are in a padded row, and the standardisation of their features.

A row of a set encoder has a part for each collection, then flat columns. The part of a collection begins with the
number of its objects, followed by the features of the first object, those of the second, and so on, up to the largest
number of objects that is kept. Places without an object have any finite value; nothing depends on it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hepda.adversarial.data.sources import RowSource
from hepda.adversarial.networks.layers import FittedInputs
from hepda.errors import ConfigError, DataError, nearest

COMPONENTS = ("pt", "eta", "phi", "mass")
MOST_OBJECTS = 200
"""The largest number of objects of a collection that a network reads: pairs of them are formed."""


@dataclass(frozen=True, slots=True)
class Collection:
    """Objects of one kind.

    Attributes:
        name: of the collection.
        size: the largest number of objects of an event.
        features: names of the numbers of an object.
        four_momentum: the features that are pt, eta, phi and mass; None in place of one that is 0. An empty tuple: the
            objects have no four-momentum.

    """

    name: str
    size: int
    features: tuple[str, ...]
    four_momentum: tuple[str | None, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.size <= MOST_OBJECTS or not self.features:
            raise ConfigError(f"collection {self.name!r}: it has 1 to {MOST_OBJECTS} objects, and at least one feature")
        if self.four_momentum and len(self.four_momentum) != len(COMPONENTS):
            raise ConfigError(f"collection {self.name!r}: a four-momentum is pt, eta, phi, mass")
        for name in self.four_momentum:
            if name is not None and name not in self.features:
                raise ConfigError(
                    f"collection {self.name!r}: {name!r} of its four-momentum is not a feature."
                    f"{nearest(name, self.features)}"
                )

    @property
    def columns(self) -> int:
        """Number of columns of its part of a row."""
        return 1 + self.size * len(self.features)

    def component(self, name: str) -> int | None:
        """Return which feature a component of the four-momentum is; None if it is 0 or there is no four-momentum."""
        feature = self.four_momentum[COMPONENTS.index(name)] if self.four_momentum else None
        return None if feature is None else self.features.index(feature)


@dataclass(frozen=True, slots=True)
class Objects:
    """Objects of a collection in n events: values [n, size, k], and which of them exist, [n, size]."""

    values: Tensor
    real: Tensor


@dataclass(frozen=True, slots=True)
class SetLayout:
    """The columns of a row: those of each collection in turn, then `flat` more."""

    collections: tuple[Collection, ...]
    flat: int = 0

    def __post_init__(self) -> None:
        if not self.collections:
            raise ConfigError("a set encoder needs at least one collection")

    @property
    def columns(self) -> int:
        """Number of columns of a row."""
        return sum(collection.columns for collection in self.collections) + self.flat

    def split(self, x: Tensor) -> tuple[list[Objects], Tensor]:
        """Return the objects of each collection, and the flat columns [n, flat], of rows [n, columns].

        The numbers of objects may be larger than the places for them: these are then all taken.
        """
        parts = torch.split(x, [*(collection.columns for collection in self.collections), self.flat], dim=1)
        objects = []
        for collection, part in zip(self.collections, parts[:-1], strict=True):
            places = torch.arange(collection.size, device=x.device, dtype=x.dtype)
            values = part[:, 1:].reshape(-1, collection.size, len(collection.features))
            objects.append(Objects(values, places < part[:, :1] - 0.5))
        return objects, parts[-1]

    def to_json(self) -> dict[str, Any]:
        """Return the layout for the metadata of a saved network."""
        return {"collections": [dataclasses.asdict(collection) for collection in self.collections], "flat": self.flat}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> SetLayout:
        """Return the layout that `to_json` described."""
        return cls(
            tuple(
                Collection(
                    str(c["name"]), int(c["size"]), tuple(map(str, c["features"])), tuple(c["four_momentum"])
                )
                for c in content["collections"]
            ),
            int(content["flat"]),
        )  # fmt: skip


def on_real(module: nn.Module, objects: Objects, width: int) -> Tensor:
    """Return the output [n, size, width] of a module of rows for each object; 0 where there is none.

    Only the objects that exist are computed. A GPU computes all places instead: to know how many exist, the CPU would
    have to wait for it in every step.
    """
    if objects.real.device.type != "cpu":
        absent = ~objects.real[..., None]
        of_all: Tensor = module(objects.values.masked_fill(absent, 0.0).flatten(0, 1))
        return of_all.view(*objects.real.shape, width).masked_fill(absent, 0.0)
    chosen = objects.values[objects.real]
    if not len(chosen):  # the kernels of some layers do not take an empty matrix
        return objects.values.new_zeros(*objects.real.shape, width)
    outputs: Tensor = module(chosen)
    padded = outputs.new_zeros(*objects.real.shape, width)
    padded[objects.real] = outputs
    return padded


class Moments:
    """Weighted mean and width of columns, collected in float64 part by part (Chan, Golub, LeVeque 1983)."""

    def __init__(self, columns: int) -> None:
        self.total = 0.0
        self.mean, self.square = torch.zeros(columns, dtype=torch.float64), torch.zeros(columns, dtype=torch.float64)

    def add(self, values: Tensor, weight: Tensor) -> None:
        """Add rows [m, k], each with its weight [m], which is not negative."""
        x, w = values.to("cpu", torch.float64), weight.to("cpu", torch.float64)
        total = float(w.sum())
        if not total > 0.0:
            return
        mean = w @ x / total
        square = w @ (x - mean).square()
        shift, both = mean - self.mean, self.total + total
        self.square += square + shift.square() * (self.total * total / both)
        self.mean += shift * (total / both)
        self.total = both

    def mean_and_scale(self) -> tuple[Tensor, Tensor]:
        """Return the means, and 1 / width [k]; 1 for a column that does not vary."""
        width = (self.square / max(self.total, 1e-300)).sqrt()
        flat = width <= 1e-7 * self.mean.abs().clamp_min(1e-30)
        return self.mean, torch.where(flat, torch.ones_like(width), 1.0 / width)


def weighted_parts(
    features: Tensor | RowSource, weight: Tensor | None, chunk: int, most: int | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield rows in float64 and their absolute weights (1 if there are none), part by part.

    Args:
        features: rows [n, k].
        weight: their weights [n].
        chunk: number of rows of a part.
        most: of more rows, about this many that are spread evenly are taken; None: all.

    """
    stride = 1 if most is None else max(1, -(-len(features) // most))
    index = torch.arange(0, len(features), stride)
    for numbers in torch.split(index, chunk):
        rows = features[numbers].to("cpu", torch.float64)
        w = torch.ones(len(rows), dtype=torch.float64) if weight is None else weight[numbers].to("cpu").double().abs()
        yield rows, w


class SetInputs(FittedInputs):
    """Shift and scale features to weighted mean 0 and width 1 over the objects that exist, and the flat columns.

    Before that, phi of a four-momentum becomes its cosine and sine, and, with `log_energies`, pt and mass become
    ln(1 + x), x in the unit of the files. Buffers `mean`, `scale` (1 / width) and `fitted`.

    Args:
        layout: of the rows.
        log_energies: whether pt and mass of four-momenta enter by their logarithms.

    """

    mean: Tensor
    scale: Tensor

    def __init__(self, layout: SetLayout, *, log_energies: bool = True) -> None:
        super().__init__()
        self.layout, self.log_energies = layout, log_energies
        self.widths = [self._width(collection) for collection in layout.collections]
        columns = sum(self.widths) + layout.flat
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("scale", torch.ones(columns))

    @staticmethod
    def _width(collection: Collection) -> int:
        return len(collection.features) + (collection.component("phi") is not None)

    def prepared(self, collection: Collection, values: Tensor) -> Tensor:
        """Return the features [..., k] of objects with logarithms of energies, phi as cosine and sine: [..., j]."""
        energies = [collection.component(name) for name in ("pt", "mass")] if self.log_energies else []
        parts: list[Tensor] = []
        for number in range(len(collection.features)):
            column = values[..., number]
            if number == collection.component("phi"):
                parts += [column.cos(), column.sin()]
            else:
                parts.append(column.clamp_min(0.0).log1p() if number in energies else column)
        return torch.stack(parts, dim=-1)

    def forward(self, x: Tensor) -> tuple[list[Objects], Tensor]:
        """Return the standardised objects of each collection, and the flat columns, of rows [n, columns]."""
        objects, flat = self.layout.split(x)
        sizes = [*self.widths, self.layout.flat]
        means, scales = torch.split(self.mean, sizes), torch.split(self.scale, sizes)
        standardised = [
            Objects((self.prepared(collection, part.values) - mean) * scale, part.real)
            for collection, part, mean, scale in zip(self.layout.collections, objects, means, scales, strict=False)
        ]
        return standardised, (flat - means[-1]) * scales[-1]

    @torch.no_grad()
    def fit(self, features: Tensor | RowSource, weight: Tensor | None = None, chunk: int = 16384) -> SetInputs:
        """Take means and widths from rows [n, columns], each with its absolute weight [n] (1 if None).

        Raises:
            DataError: a number of an object is not finite, or a collection has no objects with a weight.

        """
        if features.shape[1] != self.layout.columns:
            raise DataError(f"the layout has {self.layout.columns} columns, the rows have {features.shape[1]}")
        moments = [Moments(width) for width in (*self.widths, self.layout.flat)]
        for rows, w in weighted_parts(features, weight, chunk):
            objects, flat = self.layout.split(rows)
            for of, collection, part in zip(moments, self.layout.collections, objects, strict=False):
                weights = w[:, None].expand(part.real.shape)
                of.add(self.prepared(collection, part.values[part.real]), weights[part.real])
            moments[-1].add(flat, w)
        for of, collection in zip(moments, self.layout.collections, strict=False):
            if not bool(torch.isfinite(of.square).all()):
                raise DataError(f"objects of the collection {collection.name!r} hold NaN or infinity; correct them")
            if not of.total > 0.0:
                raise DataError(
                    f"the training rows have no object of the collection {collection.name!r}; leave it out, or look at "
                    "its expressions"
                )
        if not bool(torch.isfinite(moments[-1].square).all()):
            raise DataError("flat columns of the training rows hold NaN or infinity; correct or drop these rows first")
        parts = [of.mean_and_scale() for of in moments]
        self.mean.copy_(torch.cat([mean for mean, _ in parts]))
        self.scale.copy_(torch.cat([scale for _, scale in parts]))
        self.fitted.fill_(True)
        return self


def with_four_momenta(layout: SetLayout) -> Sequence[int]:
    """Return the numbers of the collections whose objects have four-momenta."""
    return [i for i, collection in enumerate(layout.collections) if collection.four_momentum]
