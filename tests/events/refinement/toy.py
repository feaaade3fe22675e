"""Toy events with jets, tags and missing momentum, and the same through a detector with another scale and tag."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from hepda.config import RefinementConfig, validate_any

SCALE, LOST = 0.92, 0.3
"""Of the second detector: scale of pt, and the share of tagged jets of flavour 5 that are not tagged."""


def jets(n: int, generator: np.random.Generator, slope: float, tagged: float) -> dict[str, Any]:
    """Return jets of n events: pt falls exponentially from 15 GeV, a share of `tagged` of true flavour 5."""
    count = generator.integers(3, 6, n)
    total = int(count.sum())
    flavour = np.where(generator.random(total) < tagged, 5, 0)
    tag = (generator.random(total) < np.where(flavour == 5, 0.8, 0.05)).astype(np.int8)
    return {
        "count": count, "pt": 15.0 + generator.exponential(slope, total), "eta": generator.normal(0.0, 1.2, total),
        "phi": generator.uniform(-np.pi, np.pi, total), "flavour": flavour.astype(np.int8), "tag": tag,
    }  # fmt: skip


def write(path: Path, n: int, seed: int, *, slope: float = 40.0, tagged: float = 0.4, second: bool = False) -> Path:
    """Write n events as ROOT; `second`: as the second detector has them."""
    generator = np.random.default_rng(seed)
    made = jets(n, generator, slope, tagged)
    count, phi = made["count"], made["phi"]
    recoil = [np.bincount(np.repeat(np.arange(n), count), made["pt"] * f(phi), minlength=n) for f in (np.cos, np.sin)]
    scale = SCALE if second else 1.0
    x, y = (generator.normal(0.0, 10.0, n) - scale * r for r in recoil)
    order = np.lexsort((-made["pt"], np.repeat(np.arange(n), count)))  # jets fall in pt
    made |= {name: made[name][order] for name in ("pt", "eta", "phi", "flavour", "tag")}
    phi, tag = made["phi"], made["tag"]
    if second:
        tag = tag * ~((made["flavour"] == 5) & (generator.random(len(tag)) < LOST))
    lists = {
        "pt": scale * made["pt"], "eta": made["eta"], "phi": phi, "mass": 0.1 * scale * made["pt"],
        "tag": tag.astype(np.int8), "flavour": made["flavour"],
    }  # fmt: skip
    weight = np.where(generator.random(n) < 0.1, -1.0, 1.0)
    flat = {"run": np.full(n, seed, np.int32), "event": np.arange(n), "w": weight, "met": np.hypot(x, y),
            "met_phi": np.arctan2(y, x)}  # fmt: skip
    record = ak.zip({name: ak.unflatten(values, count) for name, values in lists.items()})
    with uproot.recreate(path) as file:
        write_tree(file, "events", {**flat, "jet": record})
        write_tree(file, "metadata", {"sum_of_weights": np.array([weight.sum()])})
    return path


def write_tree(file: Any, name: str, columns: dict[str, Any]) -> None:
    """Write columns as a TTree; a record of lists has one counter."""
    types = {
        key: values.dtype if isinstance(values, np.ndarray) else values.type.content for key, values in columns.items()
    }
    file.mktree(name, types)
    file[name].extend(columns)


def analysis(folder: Path, n: int = 3000, **overrides: Any) -> dict[str, Any]:
    """Write the files of all samples into `folder`, and return an analysis file of their refinement."""
    samples = {}
    for number, (name, domain, process, second) in enumerate([
        ("bkg", "simulation", {}, False), ("sig", "simulation", {"slope": 60.0, "tagged": 0.7}, False),
        ("bkg_2", "second", {}, True), ("sig_2", "second", {"slope": 60.0, "tagged": 0.7}, True),
    ]):  # fmt: skip
        write(folder / f"{name}.root", n if name.startswith("bkg") else n // 2, number + 1, second=second, **process)
        samples[name] = {
            "files": str(folder / f"{name}.root"), "domain": domain, "cross_section": 1.0,
            "class": "signal" if name.startswith("sig") else "background",
            "scale": 0.2 if name.startswith("sig") else 1.0,
        }  # fmt: skip
    events: dict[str, Any] = {
        "name": "toy_events", "kind": "events", "luminosity": 1.0, "tree": "events", "nominal": "simulation",
        "samples": samples,
        "variables": {
            "good": "jet_pt > 25", "n_jets": "count(jet_pt[good])", "ht": "sum(jet_pt[good])",
            "n_tags": "sum(jet_tag[good])", "pt_1": "jet_pt[0]", "met_over_ht": "met / ht",
        },
        "selection": "n_jets >= 2", "weight": "w", "features": ["n_jets", "ht", "n_tags", "pt_1", "met", "met_over_ht"],
        "missing": -1, "split": {"key": ["run", "event"], "folds": 2}, "models": {"bdt": {"kind": "bdt"}},
        "evaluation": {"bias": {"between": ["simulation", "second"]}},
    }  # fmt: skip
    data: dict[str, Any] = {
        "name": "toy", "kind": "refinement", "analysis": events,
        "objects": {
            "jets": {"tag": "jet_tag", "tag_bins": 2, "known": "jet_flavour"},
            "seen": {"threshold": 25.0, "jets": 2},
        },
        "learn": {"source": "bkg", "target": "bkg_2", "signal": "sig", "signal_target": "sig_2"},
        "models": {
            "as_is": {"kind": "unchanged", "title": "as it is"},
            "weights": {"kind": "weights", "of": "as_is"},
            "features": {"kind": "quantiles", "of": "features", "points": 50},
            "objects": {"kind": "quantiles", "of": "objects", "points": 50},
            "response": {"kind": "residual", "hidden": [8]},
            "both": {"kind": "weights", "of": "response"},
        },
        "training": {"epochs": 4, "turns": 25, "batch_size": 1024, "learning_rate": 4.0e-3, "processes": 1},
        "evaluation": {"replicas": 20, "probe_events": 20_000, "bins": 4},
    }  # fmt: skip
    return data | overrides


def config(folder: Path, n: int = 3000, **overrides: Any) -> RefinementConfig:
    """Return `analysis` as its type."""
    loaded = validate_any(analysis(folder, n, **overrides))
    assert isinstance(loaded, RefinementConfig)
    return loaded
