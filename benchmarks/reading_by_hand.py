"""The 20 features of benchmarks/reading.py by hand in awkward: the floor, also over coffea's NanoEvents.

    python benchmarks/reading_by_hand.py [--coffea] FILE FILE ...    # JSON: events, seconds of CPU and of wall clock

It does not import hepda, so that it runs in an environment of its own.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import awkward as ak
import numpy as np
import uproot

JETS = ["jet_pt", "jet_eta", "jet_phi", "jet_mass", "jet_b"]
BRANCHES = [
    *JETS, "lepton_pt", "lepton_eta", "lepton_phi", "met", "met_phi", "run", "event", "gen_weight", "b_weight",
]  # fmt: skip
STEP = 100_000  # events in a chunk: the fastest of 20,000, 100,000 and 400,000


def features(events: Any) -> np.ndarray:
    """Return all features of a chunk, float32 [n, 20], -1 for a missing one."""
    good = events.jet_pt > 25
    pt, eta, phi, mass, tag = (events[name][good] for name in JETS)
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    energy = np.sqrt(px**2 + py**2 + pz**2 + mass**2)
    order = ak.argsort(tag + pt / 100000, ascending=False)
    jets = {"px": px, "py": py, "pz": pz, "energy": energy, "eta": eta, "phi": phi}
    by_tag = {name: values[order] for name, values in jets.items()}
    bins = ak.sort(tag, ascending=False)
    x, y, z, e = (ak.sum(values, axis=1) for values in (px, py, pz, energy))
    columns = [
        ak.num(pt), ak.sum(tag >= 3, axis=1), ak.sum(tag >= 2, axis=1), _at(bins, 2), ak.sum(bins[:, :5], axis=1),
        ak.sum(pt, axis=1), _at(pt, 0), _at(pt, 2), _at(pt, 4), *_pairs({k: v[:, :4] for k, v in by_tag.items()}),
        np.sqrt(np.maximum(e**2 - x**2 - y**2 - z**2, 0)), ak.sum(pt, axis=1) / e, _lepton_bb(events, by_tag),
        events.lepton_pt, events.met, _transverse_mass(events),
    ]  # fmt: skip
    return np.stack([np.asarray(_filled(column), dtype=np.float32) for column in columns], axis=1)


def _pairs(jets: dict[str, Any]) -> list[Any]:
    """Return the mass of the closest pair, the largest mass, smallest and mean delta R, and the largest delta eta."""
    first, second = ak.unzip(ak.argcombinations(jets["px"], 2))
    a, b = ({name: values[index] for name, values in jets.items()} for index in (first, second))
    e, x, y, z = (a[name] + b[name] for name in ("energy", "px", "py", "pz"))
    mass = np.sqrt(np.maximum(e**2 - x**2 - y**2 - z**2, 0))
    deta = abs(a["eta"] - b["eta"])
    dr = np.sqrt(deta**2 + _wrap(a["phi"] - b["phi"]) ** 2)
    closest = ak.firsts(mass[ak.argmin(dr, axis=1, keepdims=True)])
    return [closest, ak.max(mass, axis=1), ak.min(dr, axis=1), ak.mean(dr, axis=1), ak.max(deta, axis=1)]


def _lepton_bb(events: Any, jets: dict[str, Any]) -> Any:
    x, y, z = (ak.sum(jets[name][:, :2], axis=1) for name in ("px", "py", "pz"))
    pt = np.sqrt(x**2 + y**2)
    deta = events.lepton_eta - np.arcsinh(z / pt)
    dr = np.sqrt(deta**2 + _wrap(events.lepton_phi - np.arctan2(y, x)) ** 2)
    return ak.where(ak.num(jets["px"]) >= 2, dr, -1)


def _transverse_mass(events: Any) -> Any:
    return np.sqrt(2 * events.lepton_pt * events.met * (1 - np.cos(events.lepton_phi - events.met_phi)))


def _wrap(phi: Any) -> Any:
    return (phi + np.pi) % (2 * np.pi) - np.pi


def _at(lists: Any, place: int) -> Any:
    return ak.pad_none(lists, place + 1, axis=1)[:, place]


def _filled(column: Any) -> Any:
    return ak.fill_none(column, -1)


def by_uproot(paths: list[str]) -> np.ndarray:
    """Return the features of all events of the files, read by uproot: exactly the branches that are needed."""
    found = []
    for path in paths:
        with uproot.open(path) as file:
            for events in file["events"].iterate(BRANCHES, step_size=STEP, library="ak"):
                found.append(features(events))
                np.asarray(events.gen_weight * events.b_weight), np.asarray(events.run), np.asarray(events.event)
    return np.concatenate(found)


def by_coffea(paths: list[str]) -> np.ndarray:
    """Do the same over NanoEvents, which reads a branch when it is used."""
    from coffea.nanoevents import BaseSchema, NanoEventsFactory

    found = []
    for path in paths:
        with uproot.open(path) as file:
            entries = int(file["events"].num_entries)
        for start in range(0, entries, STEP):
            place = {"entry_start": start, "entry_stop": min(start + STEP, entries), "schemaclass": BaseSchema}
            events = NanoEventsFactory.from_root({path: "events"}, mode="virtual", **place).events()
            found.append(features(events))
            np.asarray(events.gen_weight * events.b_weight), np.asarray(events.run), np.asarray(events.event)
    return np.concatenate(found)


if __name__ == "__main__":
    way = by_coffea if "--coffea" in sys.argv else by_uproot
    cpu, wall = time.process_time(), time.perf_counter()
    with np.errstate(all="ignore"):
        table = way([argument for argument in sys.argv[1:] if not argument.startswith("--")])
    about = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    print(json.dumps({"events": len(table), **about, "sums": table.sum(axis=0, dtype=np.float64).tolist()}))
