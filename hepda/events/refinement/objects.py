"""The objects of events as tensors, and changed objects as columns again: jets, missing momentum, and what follows."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hepda.config.refinement.objects import ObjectsConfig
from hepda.errors import DataError
from hepda.events.dataset.splits import splitmix64
from hepda.events.expressions.columns import Column, counts
from hepda.events.refinement.response import JetNoise, JetTensors

Array = NDArray[Any]
Columns = Mapping[str, Column]
_NORMAL, _UNIFORM = np.uint64(0x9FB21C651E98DF25), np.uint64(0xD6E8FEB86659FD93)


@dataclass(frozen=True, slots=True, eq=False)
class FlatJets:
    """Jets of events, one after another: pt and mass, GeV, tag bin, what the simulation knows, weight; [n] each."""

    pt: Array
    mass: Array
    tag: Array
    known: Array
    weight: Array

    @classmethod
    def of(cls, jets: JetTensors, weight: NDArray[np.float64]) -> FlatJets:
        """Return the jets of events with the weights [n] of these."""
        there = jets.present.numpy() > 0.0
        pt, mass, tag, known = (v.numpy()[there] for v in (jets.pt, jets.mass, jets.tag.argmax(-1), jets.known))
        return cls(pt, mass, tag, known, np.broadcast_to(weight[:, None], there.shape)[there])

    @classmethod
    def joined(cls, parts: Sequence[FlatJets]) -> FlatJets:
        """Return the jets of several files."""
        return cls(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)})

    def above(self, threshold: float) -> FlatJets:
        """Return those with a pt above a threshold, GeV."""
        return FlatJets(**{f.name: getattr(self, f.name)[self.pt > threshold] for f in fields(self)})


def object_branches(objects: ObjectsConfig, *, known: bool) -> tuple[str, ...]:
    """Return the branches that a refinement reads; `known`: also what only the simulation has."""
    jets, met = objects.jets, objects.met
    optional = [jets.tag, jets.known if known else None, *((met.met, met.phi) if met else ())]
    return (jets.pt, jets.eta, jets.phi, jets.mass, *(name for name in optional if name is not None))


def changed_branches(objects: ObjectsConfig) -> tuple[str, ...]:
    """Return the branches that a refinement writes anew."""
    jets, met = objects.jets, objects.met
    of_met = () if met is None else (met.met, met.phi, *met.variations.keys(), *met.variations.values())
    return (jets.pt, jets.mass, *jets.with_pt, *(() if jets.tag is None else (jets.tag,)), *of_met)


def jet_tensors(
    columns: Columns, objects: ObjectsConfig, path: str, rows: NDArray[np.int64] | None = None
) -> JetTensors:
    """Return the objects of events, padded to the largest number of jets.

    Args:
        columns: of all entries.
        objects: the branches; `known` may be missing, and is 0 then.
        path: the file, for messages.
        rows: the entries to return; None: all.

    Raises:
        DataError: a branch of jets holds no lists or has other lengths than pt, a value is missing or not finite, a pt
            is not above 0, or a tag is no bin.

    """
    jets = objects.jets
    offsets = columns[jets.pt].offsets
    if offsets is None:
        raise DataError(f"{path}: objects.jets.pt: {jets.pt!r} holds one number per event, not a list of jets.")
    lengths = counts(offsets)
    chosen = np.arange(len(lengths)) if rows is None else rows
    width = max(1, int(lengths[chosen].max(initial=0)))
    place = offsets[:-1][chosen][:, None] + np.arange(width)
    present = np.arange(width) < lengths[chosen][:, None]

    def padded(name: str, fill: float) -> Array:
        column = columns[name]
        if column.offsets is None or not np.array_equal(column.offsets, offsets):
            raise DataError(f"{path}: the lists of {name!r} and of {jets.pt!r} have different lengths.")
        if column.missing is not None or not np.isfinite(column.values).all():
            raise DataError(f"{path}: {name!r} has jets without a finite value; a refinement needs all of them.")
        if not len(column.values):
            return np.full(present.shape, fill)
        return np.where(present, column.values[np.where(present, place, 0)], fill)

    pt = padded(jets.pt, 1.0)
    if not (pt > 0.0).all():
        raise DataError(f"{path}: {jets.pt!r} has a jet whose pt is not above 0.")
    tag = np.ones((*pt.shape, 1))
    if jets.tag is not None:
        bins = padded(jets.tag, 0.0)
        if not np.isin(bins, np.arange(jets.tag_bins)).all():
            raise DataError(
                f"{path}: {jets.tag!r} has other values than the tag bins 0 to {jets.tag_bins - 1} (`tag_bins`)."
            )
        tag = np.eye(jets.tag_bins)[bins.astype(np.int64)]
    known = padded(jets.known, 0.0) if jets.known is not None and jets.known in columns else np.zeros(pt.shape)
    met = np.zeros((len(chosen), 2))
    if objects.met is not None:
        size, phi = (columns[name].values[chosen] for name in (objects.met.met, objects.met.phi))
        met = np.stack([size * np.cos(phi), size * np.sin(phi)], axis=1)
    floats = {
        "present": present, "pt": pt, "eta": padded(jets.eta, 0.0), "phi": padded(jets.phi, 0.0),
        "mass": padded(jets.mass, 0.0), "tag": tag, "met": met,
    }  # fmt: skip
    tensors = {name: torch.tensor(np.asarray(values, dtype=np.float32)) for name, values in floats.items()}
    return JetTensors(**tensors, known=torch.tensor(known.astype(np.int64)))


def event_noise(key: NDArray[np.uint64], jets: int, seed: int) -> JetNoise:
    """Return random numbers of the jets [n, jets] that follow from event, place of the jet and seed alone.

    So an event is refined in the same way wherever and with whatever others it is read.
    """
    start = splitmix64(np.array([seed & (2**64 - 1)], dtype=np.uint64))
    base = splitmix64(key[:, None] ^ start) ^ splitmix64(np.arange(1, jets + 1, dtype=np.uint64))[None]
    uniform = [
        ((splitmix64(base ^ salt) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53 for salt in (_NORMAL, _UNIFORM)
    ]
    normal = torch.special.ndtri(torch.tensor(uniform[0])).float()
    return JetNoise(normal, torch.tensor(uniform[1]).float())


def seed_of(base: int, model: str, fold: int) -> int:
    """Return the seed of the noise of a model in a fold."""
    return zlib.crc32(f"{base}:{model}:{fold}".encode())


def with_changes(columns: Columns, objects: ObjectsConfig, new: JetTensors) -> dict[str, Column]:
    """Return all columns of events with the objects `new` in place of theirs.

    Where the jets fall in pt they do so again: every list with as many elements as there are jets is put in the same
    order. Branches that follow pt are multiplied by its factor, and missing momenta lose what the jets gain.

    Args:
        columns: of all entries.
        objects: the branches.
        new: the objects of all entries, as `jet_tensors` returned them and a response changed them.

    """
    jets, changed = objects.jets, dict(columns)
    offsets = columns[jets.pt].offsets
    if offsets is None:
        raise DataError(f"objects.jets.pt: {jets.pt!r} holds one number per event, not a list of jets.")
    there = new.present.numpy() > 0.0
    pt = new.pt.numpy()[there].astype(np.float64)
    factor = pt / np.maximum(columns[jets.pt].values, 1e-30)
    values = {jets.pt: pt, jets.mass: new.mass.numpy()[there].astype(np.float64)}
    values |= {name: columns[name].values * factor for name in jets.with_pt if name in columns}
    if jets.tag is not None:
        values[jets.tag] = new.tag.numpy()[there].argmax(-1).astype(columns[jets.tag].values.dtype)
    event = np.repeat(np.arange(len(offsets) - 1), counts(offsets))
    order = np.lexsort((-pt, event)) if _fall(columns[jets.pt].values, event) else np.arange(len(pt))
    for name, column in columns.items():
        if column.offsets is not None and np.array_equal(column.offsets, offsets):
            mask = None if column.missing is None else column.missing[order]
            changed[name] = replace(column, values=values.get(name, column.values)[order], missing=mask, _chosen=[])
    if objects.met is not None:
        phi = columns[jets.phi].values
        gains = [np.bincount(event, (pt - columns[jets.pt].values) * f(phi), minlength=len(offsets) - 1)
                 for f in (np.cos, np.sin)]  # fmt: skip
        for size, angle in {objects.met.met: objects.met.phi, **objects.met.variations}.items():
            if size in columns and angle in columns:
                x, y = (columns[size].values * f(columns[angle].values) - gain
                        for f, gain in zip((np.cos, np.sin), gains, strict=True))  # fmt: skip
                changed |= {size: Column(np.hypot(x, y)), angle: Column(np.arctan2(y, x))}
    return changed


def _fall(pt: Array, event: NDArray[np.int64]) -> bool:
    """Return whether the pt of the jets of every event fall."""
    return bool(((pt[1:] <= pt[:-1]) | (event[1:] != event[:-1])).all())
