"""Events as rows of numbers that a network can learn, and such rows as branches again.

What is whole numbers, the structure of an event, stays as it is: the number of jets, and the tag bin and the true
flavour of each. What is continuous becomes coordinates without any bounds between them, so that every row is an event:
of jet k in falling pt the logarithm of its pt over that of the next one (of the last one: over the threshold), its eta,
its azimuth from that of the lepton and the logarithm of its mass over its pt; of the lepton the logarithm of its pt
over the threshold, and its eta; the missing momentum along and across the lepton.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from hepda.config.event_generator.objects import EventObjectsConfig
from hepda.errors import DataError
from hepda.events.expressions.columns import Column, counts

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Columns = Mapping[str, Column]
OF_JET = 4
"""Coordinates of a jet."""
OF_EVENT = 4
"""Coordinates of the lepton and of the missing momentum, before those of the jets."""
ETA, DPHI = 1, 2
"""Places of eta and of the azimuth among the coordinates of a jet."""
_LEPTON_ETA, _MET_ACROSS = 1, 3
_LEAST_MASS = 1e-3  # of jets, over their pt: lighter ones have none that is measured


@dataclass(frozen=True, slots=True, eq=False)
class EventObjects:
    """Objects of n events with up to j jets.

    present: bool [n, j]; tag, flavour: of each jet, 0 where there is none [n, j]; coordinates: [n, OF_EVENT +
    OF_JET j], 0 where there is no jet; turn: azimuth of the lepton [n].
    """

    present: NDArray[np.bool_]
    tag: Ints
    flavour: Ints
    coordinates: Floats
    turn: Floats

    def __len__(self) -> int:
        return len(self.present)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Which coordinates there are [n, OF_EVENT + OF_JET j]."""
        of_event = np.ones((len(self), OF_EVENT), dtype=bool)
        return np.concatenate([of_event, np.repeat(self.present, OF_JET, axis=1)], axis=1)

    def rows(self, chosen: NDArray[np.intp]) -> EventObjects:
        """Return the events of these numbers."""
        return EventObjects(**{part.name: getattr(self, part.name)[chosen] for part in fields(self)})

    def widened(self, jets: int) -> EventObjects:
        """Return the same events with room for more jets."""
        more = jets - self.present.shape[1]
        places = (0, 0), (0, more)
        return EventObjects(
            np.pad(self.present, places), np.pad(self.tag, places), np.pad(self.flavour, places),
            np.pad(self.coordinates, ((0, 0), (0, OF_JET * more))), self.turn,
        )  # fmt: skip

    def mirrored(self, *, beam: bool, transverse: bool) -> EventObjects:
        """Return the mirror images of the events, which are as probable: beam: eta of all objects changes its sign;
        transverse: all azimuths from that of the lepton do.
        """
        sign = np.ones(self.coordinates.shape[1])
        jets = sign[OF_EVENT:].reshape(-1, OF_JET)
        if beam:
            sign[_LEPTON_ETA] = -1.0
            jets[:, ETA] = -1.0
        if transverse:
            sign[_MET_ACROSS] = -1.0
            jets[:, DPHI] = -1.0
        return replace(self, coordinates=self.coordinates * sign)


def joined(parts: list[EventObjects]) -> EventObjects:
    """Return the events of several files as one, padded to the largest number of jets."""
    jets = max(part.present.shape[1] for part in parts)
    wide = [part.widened(jets) for part in parts]
    return EventObjects(
        **{part.name: np.concatenate([getattr(one, part.name) for one in wide]) for part in fields(EventObjects)}
    )


def object_branches(objects: EventObjectsConfig) -> tuple[str, ...]:
    """Return the branches of objects."""
    jets, lepton, met = objects.jets, objects.lepton, objects.met
    optional = [name for name in (jets.tag, jets.flavour) if name is not None]
    return (jets.pt, jets.eta, jets.phi, jets.mass, *optional, lepton.pt, lepton.eta, lepton.phi, met.met, met.phi)


def events_of(columns: Columns, objects: EventObjectsConfig, entries: Ints, path: str) -> EventObjects:
    """Return objects of events; jets below the threshold are left out.

    Args:
        columns: of all entries of a file.
        objects: the branches.
        entries: the events.
        path: the file, for messages.

    Raises:
        DataError: branches of jets hold no lists of one length, jets do not fall in pt, an event has no jet, or a
            number is not finite.

    """
    names, first = objects.jets, columns[objects.jets.pt]
    offsets = first.offsets
    if offsets is None:
        raise DataError(f"{path}: objects.jets.pt: {names.pt!r} holds one number per event, not a list of jets.")
    lengths = counts(offsets)[entries]
    width = max(1, int(lengths.max(initial=0)))
    there = np.arange(width) < lengths[:, None]
    place = np.where(there, offsets[:-1][entries][:, None] + np.arange(width), 0)

    def padded(name: str | None) -> Floats:
        if name is None:
            return np.zeros(there.shape)
        column = columns[name]
        if column.offsets is None or not np.array_equal(column.offsets, offsets):
            raise DataError(f"{path}: the lists of {name!r} and of {names.pt!r} have different lengths.")
        values = np.where(there, column.values[place] if len(column.values) else 0.0, 0.0).astype(np.float64)
        if not np.isfinite(values).all():
            raise DataError(f"{path}: {name!r} has jets without a finite value; a generator needs all of them.")
        return values

    pt = padded(names.pt)
    present = there & (pt > objects.threshold)
    count = present.sum(axis=1)
    if (np.diff(pt, axis=1)[there[:, 1:]] > 0.0).any():
        raise DataError(f"{path}: {names.pt!r} does not fall within an event; sort the jets by pt.")
    if not count.all():
        raise DataError(f"{path}: an event has no jet above {objects.threshold:g} GeV (`objects.threshold`).")
    keep = max(1, int(count.max(initial=0)))
    present, pt = present[:, :keep], np.where(present, pt, objects.threshold)[:, :keep]
    eta, phi, mass, tag, flavour = (
        padded(name)[:, :keep] for name in (names.eta, names.phi, names.mass, names.tag, names.flavour)
    )
    lepton = [columns[name].values[entries].astype(np.float64) for name in objects.lepton.names]
    met, met_phi = (columns[name].values[entries].astype(np.float64) for name in (objects.met.met, objects.met.phi))
    turn = lepton[2]
    along, across = met * np.cos(met_phi - turn), met * np.sin(met_phi - turn)
    of_event = np.stack([np.log(lepton[0] / objects.lepton.threshold), lepton[1], along, across], axis=1)
    following = np.concatenate([pt[:, 1:], np.full((len(pt), 1), objects.threshold)], axis=1)
    mass = np.log(np.maximum(mass / pt, _LEAST_MASS))
    # the azimuth is cut at that of the lepton, where there are fewest jets
    dphi = np.mod(phi - turn[:, None], 2.0 * np.pi) - np.pi
    of_jets = np.stack([np.log(pt / following), eta, dphi, mass], axis=2) * present[:, :, None]
    coordinates = np.concatenate([of_event, of_jets.reshape(len(pt), -1)], axis=1)
    if not np.isfinite(coordinates).all():
        raise DataError(f"{path}: lepton or missing momentum of an event is not finite or below its threshold.")
    whole = [np.where(present, values, 0.0).astype(np.int64) for values in (tag, flavour)]
    return EventObjects(present, whole[0], whole[1], coordinates, turn)


def columns_of(events: EventObjects, objects: EventObjectsConfig) -> dict[str, Column]:
    """Return the branches of objects, of all events."""
    names, present = objects.jets, events.present
    of_event = events.coordinates[:, :OF_EVENT]
    of_jets = events.coordinates[:, OF_EVENT:].reshape(*present.shape, OF_JET)
    spacing = np.where(present, of_jets[:, :, 0], 0.0)
    pt = objects.threshold * np.exp(np.cumsum(spacing[:, ::-1], axis=1)[:, ::-1])
    turn = events.turn
    values = {
        names.pt: pt, names.eta: of_jets[:, :, ETA], names.mass: pt * np.exp(of_jets[:, :, 3]),
        names.phi: _azimuth(of_jets[:, :, DPHI] + np.pi + turn[:, None]),
    }  # fmt: skip
    whole = {name: of for name, of in ((names.tag, events.tag), (names.flavour, events.flavour)) if name is not None}
    offsets = np.concatenate([[0], np.cumsum(present.sum(axis=1))]).astype(np.int64)
    columns = {name: Column(of[present], offsets) for name, of in (values | whole).items()}
    lepton, met = objects.lepton, objects.met
    size = np.hypot(of_event[:, 2], of_event[:, 3])
    single = {
        lepton.pt: objects.lepton.threshold * np.exp(of_event[:, 0]), lepton.eta: of_event[:, 1], lepton.phi: turn,
        met.met: size, met.phi: _azimuth(np.arctan2(of_event[:, 3], of_event[:, 2]) + turn),
    }  # fmt: skip
    return columns | {name: Column(of) for name, of in single.items()}


def _azimuth(phi: Floats) -> Floats:
    """Return angles from -pi to pi."""
    return np.mod(phi + np.pi, 2.0 * np.pi) - np.pi


def nearest_distance(events: EventObjects) -> Floats:
    """Return the smallest Delta R between two jets of each event, or a jet and the lepton [n]."""
    of_jets = events.coordinates[:, OF_EVENT:].reshape(*events.present.shape, OF_JET)
    eta = np.concatenate([events.coordinates[:, [_LEPTON_ETA]], of_jets[:, :, ETA]], axis=1)
    phi = np.concatenate([np.zeros((len(events), 1)), of_jets[:, :, DPHI] + np.pi], axis=1)
    present = np.concatenate([np.ones((len(events), 1), dtype=bool), events.present], axis=1)
    first, second = np.triu_indices(eta.shape[1], 1)
    distance = np.hypot(eta[:, first] - eta[:, second], _azimuth(phi[:, first] - phi[:, second]))
    smallest: Floats = np.where(present[:, first] & present[:, second], distance, np.inf).min(axis=1)
    return smallest
