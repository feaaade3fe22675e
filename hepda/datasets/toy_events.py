"""Toy events in ROOT files: pp collisions with a lepton and jets, for examples and tests.

The physics is a caricature with the right handles: signal has a pair of b jets near 125 GeV and harder, more central
jets (a classifier reaches an AUC of about 0.8); `shift` moves the radiation of a domain, the number and pt of the extra
jets, as another generator of showers would.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

NEGATIVE_SHARE = 0.15
"""Share of events with a negative generator weight."""
GENERATED = 4
"""Generated events for each event of a file: the others did not pass the preselection."""
DATA, DATA_SIGNAL = 5400, 125
"""Events of data, and the expected number of signal events in them: 1/fb, with 5 % more background than simulated."""


def write_events(folder: Path, events: int, seed: int = 1) -> list[Path]:
    """Write signal and background of two generators, background of a third, and data, into a folder.

    Args:
        folder: is made if it is not there.
        events: of each simulated file; data are those of 1/fb.
        seed: of all random numbers.

    Returns:
        the files.

    """
    simulation = {  # name: (signal, shift of the radiation, cross section in pb)
        "signal": (True, 0.0, 0.5),
        "background": (False, 0.0, 20.0),
        "signal_alt": (True, 1.0, 0.5),
        "background_alt": (False, 1.0, 20.0),
        "background_third": (False, -1.0, 20.0),
    }
    paths = []
    for number, (name, (signal, shift, cross_section)) in enumerate(simulation.items()):
        rng = np.random.default_rng([seed, number])
        is_signal = np.full(events, signal)
        branches = collision(rng, is_signal, shift) | identity(events, number)
        branches |= simulation_branches(rng, branches)
        mean = float(np.mean(branches["gen_weight"]))
        about = {"cross_section": cross_section, "sum_of_weights": mean * GENERATED * events}
        paths.append(folder / f"{name}.root")
        write(paths[-1], branches, about)
    rng = np.random.default_rng([seed, len(simulation)])
    is_signal = rng.random(DATA) < DATA_SIGNAL / DATA
    branches = collision(rng, is_signal, 0.5) | identity(DATA, len(simulation), data=True)
    paths.append(folder / "data.root")
    write(paths[-1], branches)
    return paths


def identity(n: int, file: int, *, data: bool = False) -> dict[str, Any]:
    """Return run and event numbers that differ between files.

    Args:
        n: number of events.
        file: number of the file.
        data: whether the run is one of data.

    """
    first = file * 10_000_000
    return {
        "run": np.full(n, 284500 if data else 1, dtype=np.uint32),
        "event": (np.arange(n) + first).astype(np.uint64),
    }


def collision(rng: np.random.Generator, is_signal: np.ndarray, shift: float) -> dict[str, Any]:
    """Return what a detector measures, branch by branch: jets (jagged), a lepton, missing transverse momentum (GeV).

    Args:
        rng: random numbers.
        is_signal: [n] for each event.
        shift: of the radiation, 0 for the nominal generator.

    """
    n = len(is_signal)
    return jets(rng, is_signal, shift) | {
        "lepton_pt": (27 + rng.exponential(40, n)).astype(np.float32),
        "lepton_eta": rng.uniform(-2.4, 2.4, n).astype(np.float32),
        "lepton_phi": rng.uniform(-np.pi, np.pi, n).astype(np.float32),
        "lepton_charge": rng.choice([-1, 1], n).astype(np.int8),
        "lepton_flavour": rng.choice([11, 13], n).astype(np.int8),
        "met": rng.exponential(50, n).astype(np.float32),
        "met_phi": rng.uniform(-np.pi, np.pi, n).astype(np.float32),
    }


def jets(rng: np.random.Generator, is_signal: np.ndarray, shift: float) -> dict[str, Any]:
    """Return the jets of events: pt and mass in GeV, eta, phi, and the b-tag bin (0 untagged to 4).

    Args:
        rng: random numbers.
        is_signal: [n] for each event.
        shift: of the radiation, 0 for the nominal generator.

    """
    n = len(is_signal)
    extra = rng.poisson(np.clip(1.2 + 0.3 * shift + 0.4 * is_signal, 0.05, None))
    number = 5 + np.minimum(extra, 6)
    owner = np.repeat(np.arange(n), number)
    scale = 55 * (1 + 0.08 * shift) * np.where(is_signal, 1.15, 1.0)
    pt = 25 + rng.exponential(scale[owner])
    eta = np.clip(rng.normal(0, np.where(is_signal, 1.0, 1.2)[owner]), -2.5, 2.5)
    phi = rng.uniform(-np.pi, np.pi, len(owner))
    bins = np.array([[0.55, 0.2, 0.12, 0.08, 0.05], [0.1, 0.1, 0.12, 0.18, 0.5]])
    true_b = rng.random(len(owner)) < np.where(is_signal, 0.6, 0.4)[owner]
    tag = (rng.random(len(owner))[:, None] > np.cumsum(bins[true_b.astype(int)], axis=1)).sum(axis=1)
    local = np.arange(len(owner)) - np.repeat(np.cumsum(number) - number, number)
    # The first two jets are tagged; in signal they come from a resonance at 125 GeV.
    tag[local < 2] = np.maximum(tag[local < 2], 3)
    first, second = np.flatnonzero(local == 0), np.flatnonzero(local == 1)
    angle = np.clip(125 / np.sqrt(pt[first] * pt[second]) * rng.normal(1, 0.12, n), 0.4, 3.0)
    phi[second] = np.where(is_signal, phi[first] + angle, phi[second])
    eta[second] = np.where(is_signal, eta[first] + rng.normal(0, 0.1, n), eta[second])
    phi = np.angle(np.exp(1j * phi))

    def lists(values: np.ndarray, kind: type) -> ak.Array:
        return ak.unflatten(values.astype(kind), number)

    return {
        "jet_pt": lists(pt, np.float32),
        "jet_eta": lists(eta, np.float32),
        "jet_phi": lists(phi, np.float32),
        "jet_mass": lists(0.1 * pt, np.float32),
        "jet_b": lists(tag, np.int8),
    }


def simulation_branches(
    rng: np.random.Generator, branches: dict[str, Any], negative: float = NEGATIVE_SHARE
) -> dict[str, Any]:
    """Return the branches that only simulation has: truth, weights, and variations of energies and weights.

    Args:
        rng: random numbers.
        branches: of `collision`.
        negative: share of negative generator weights.

    """
    n = len(branches["met"])
    sign = np.where(rng.random(n) < negative, -1.0, 1.0)
    weights = {
        "jet_flavour": ak.values_astype(ak.where(branches["jet_b"] >= 3, 5, 0), np.int8),
        "n_extra_b": rng.integers(0, 3, n).astype(np.int8),
        "n_extra_c": rng.integers(0, 2, n).astype(np.int8),
        "gen_weight": sign.astype(np.float32),
        "tag_weight": rng.uniform(0.2, 1.0, n).astype(np.float32),
        "stitch_weight": np.where(rng.random(n) < 0.2, 0.5, 1.0).astype(np.float32),
        "jet_pt_jes_up": branches["jet_pt"] * np.float32(1.02),
        "jet_pt_jes_down": branches["jet_pt"] * np.float32(0.98),
    }
    for name, width in (("b_weight", 0.05), ("pileup_weight", 0.03)):
        nominal = np.clip(rng.normal(1, width, n), 0.5, 1.5)
        weights[name] = nominal.astype(np.float32)
        weights[f"{name}_up"] = (nominal * (1 + width)).astype(np.float32)
        weights[f"{name}_down"] = (nominal * (1 - width)).astype(np.float32)
    return weights


def write(path: Path, branches: dict[str, Any], about: dict[str, float] | None = None) -> None:
    """Write the tree `events`, and the tree `metadata` with one entry, to a file.

    Args:
        path: its folder is made if it is not there.
        branches: of the events, flat or jagged.
        about: of the sample: cross section in pb, sum of the weights of all generated events.

    """
    path.parent.mkdir(parents=True, exist_ok=True)
    types: dict[str, Any] = {}
    for name, values in branches.items():
        jagged = isinstance(values, ak.Array)
        types[name] = f"var * {ak.type(values).content.content}" if jagged else np.asarray(values).dtype
    with uproot.recreate(path) as file:
        # mktree writes a TTree; `file["events"] = ...` would write an RNTuple in uproot 5.7.
        file.mktree("events", types)
        file["events"].extend(branches)
        if about is not None:
            file.mktree("metadata", dict.fromkeys(about, np.float64))
            file["metadata"].extend({name: np.array([value]) for name, value in about.items()})
