"""Toy events of two generators: jets with tags, a lepton and missing momentum; B has harder jets and more of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from hepda.config import EventGeneratorConfig, validate_any
from tests.events.refinement.toy import write_tree

SLOPES = {"a": 40.0, "b": 55.0}
"""Of the pt of jets, in GeV, by generator."""
MORE = {"a": 0.3, "b": 0.4}
"""The probability of each jet beyond the second."""


def write(path: Path, n: int, seed: int, generator: str, *, signal: bool = False) -> Path:
    """Write n events of a generator as ROOT."""
    random = np.random.default_rng(seed)
    count = 2 + random.binomial(3, MORE[generator], n)
    total = int(count.sum())
    event = np.repeat(np.arange(n), count)
    pt = 20.0 + random.exponential(SLOPES[generator] * (1.5 if signal else 1.0), total)
    order = np.lexsort((-pt, event))  # jets fall in pt
    flavour = np.where(random.random(total) < (0.6 if signal else 0.3), 5, 0)
    jets: dict[str, Any] = {
        "pt": pt[order], "eta": random.normal(0.0, 1.0, total), "phi": random.uniform(-np.pi, np.pi, total),
        "mass": 0.1 * pt[order] * random.uniform(0.5, 1.5, total), "flavour": flavour.astype(np.int8),
        "tag": (random.random(total) < np.where(flavour == 5, 0.8, 0.1)).astype(np.int8),
    }  # fmt: skip
    recoil = [np.bincount(event, jets["pt"] * f(jets["phi"]), minlength=n) for f in (np.cos, np.sin)]
    x, y = (random.normal(0.0, 10.0, n) - r for r in recoil)
    flat: dict[str, Any] = {
        "run": np.full(n, seed, np.int32), "event": np.arange(n), "w": np.where(random.random(n) < 0.1, -1.0, 1.0),
        "lepton_pt": 25.0 + random.exponential(30.0, n), "lepton_eta": random.normal(0.0, 1.0, n),
        "lepton_phi": random.uniform(-np.pi, np.pi, n), "met": np.hypot(x, y), "met_phi": np.arctan2(y, x),
        "n_extra_b": random.binomial(1, 0.2, n).astype(np.int8),
    }  # fmt: skip
    record = ak.zip({name: ak.unflatten(values, count) for name, values in jets.items()})
    with uproot.recreate(path) as file:
        write_tree(file, "events", {**flat, "jet": record})
        write_tree(file, "metadata", {"sum_of_weights": np.array([flat["w"].sum()])})
    return path


def analysis(folder: Path, n: int = 3000, **overrides: Any) -> dict[str, Any]:
    """Write the files of all samples into `folder`, and return an analysis file of their generation."""
    samples = {}
    for number, name in enumerate(("bkg_a", "bkg_b", "sig_a", "sig_b")):
        signal = name.startswith("sig")
        write(folder / f"{name}.root", n // 2 if signal else n, number + 1, name[-1], signal=signal)
        samples[name] = {
            "files": str(folder / f"{name}.root"), "cross_section": 1.0,
            "domain": "simulation" if name.endswith("a") else "alternative",
            "class": "signal" if signal else "background", "scale": 0.2 if signal else 1.0,
        }  # fmt: skip
    events: dict[str, Any] = {
        "name": "toy_events", "kind": "events", "luminosity": 1.0, "tree": "events", "nominal": "simulation",
        "samples": samples,
        "variables": {
            "good": "jet_pt > 25", "pt": "jet_pt[good]", "n_jets": "count(pt)", "ht": "sum(pt)",
            "n_tags": "sum(jet_tag[good])", "pt_1": "pt[0]", "met_over_ht": "met / ht",
        },
        "selection": "n_jets >= 2", "weight": "w",
        "features": ["n_jets", "ht", "n_tags", "pt_1", "met", "met_over_ht", "lepton_pt"],
        "missing": -1, "split": {"key": ["run", "event"], "folds": 2}, "negative_weights": "absolute",
        "models": {"bdt": {"kind": "bdt"}}, "evaluation": {"bias": {"between": ["simulation", "alternative"]}},
    }  # fmt: skip
    data: dict[str, Any] = {
        "name": "toy", "kind": "generator", "analysis": events,
        "objects": {
            "jets": {"tag": "jet_tag", "tag_bins": 2, "flavour": "jet_flavour"}, "flavour_class": ["n_extra_b"]
        },
        "processes": {
            "bkg": {"origin": "bkg_a", "target": "bkg_b"}, "sig": {"origin": "sig_a", "target": "sig_b"}
        },
        "models": {
            "weights": {"kind": "weights"},
            "noise": {"kind": "flow", "start": "noise", "of": "events", "steps": 4},
            "events": {"kind": "flow", "width": 32, "blocks": 1, "steps": 4},
            "both": {"kind": "flow", "of": "events", "left": "features", "steps": 4},
        },
        "training": {"epochs": 2, "turns": 80, "batch_size": 256, "learning_rate": 4.0e-3, "average": 0.95,
                     "processes": 1},
        "evaluation": {"scales": [0.0, 0.5, 1.0, 2.0], "replicas": 20, "probe_events": 20_000, "bins": 4},
    }  # fmt: skip
    return data | overrides


def config(folder: Path, n: int = 3000, **overrides: Any) -> EventGeneratorConfig:
    """Return `analysis` as its type."""
    loaded = validate_any(analysis(folder, n, **overrides))
    assert isinstance(loaded, EventGeneratorConfig)
    return loaded
