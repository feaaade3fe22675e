"""Small ROOT files and a small analysis for tests: jagged jets, metadata, signal and background that differ.

write_sample(path, n, seed, signal)     one file with the trees `events` and `metadata`, as tth ntuples have
write_analysis(folder, **overrides)     signal and background samples in two domains, a third, data, and the
                                        YAML that trains on them in seconds; returns the path of the YAML

The physics is that of hepda/datasets/toy_events.py.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hepda.datasets import toy_events
from hepda.runtime.log import STAGES, handled_by

SIMULATION_ONLY = (
    "jet_flavour", "n_extra_b", "n_extra_c", "gen_weight", "tag_weight", "stitch_weight", "b_weight",
    "b_weight_up", "b_weight_down", "pileup_weight", "pileup_weight_up", "pileup_weight_down",
    "jet_pt_jes_up", "jet_pt_jes_down",
)  # fmt: skip


def write_sample(
    path: Path,
    n: int,
    seed: int,
    signal: bool,
    shift: float = 0.0,
    data: bool = False,
    *,
    negative: float = 0.15,
    cross_section: float = 1.0,
    generated: int | None = None,
    first_event: int | None = None,
    spoil: dict[str, Any] | None = None,
    metadata: bool = True,
    signal_fraction: float | None = None,
) -> Path:
    """Write `n` events to `path` and return it.

    shift: of the radiation, in standard deviations of the domain (0 nominal); data: leave out the branches
    that only simulation has, and the metadata's weights; negative: share of negative gen_weights;
    cross_section (pb) and generated (events before the selection, default 4 n; the sum of weights is that
    times the mean gen_weight) go to the tree `metadata`; first_event: event numbers count from here (default:
    by seed, so samples do not overlap); spoil: branch -> values that replace it (None removes it);
    signal_fraction: mixture, for pseudo-data.
    """
    rng = np.random.default_rng(seed)
    is_signal = rng.random(n) < (float(signal) if signal_fraction is None else signal_fraction)
    branches = toy_events.collision(rng, is_signal, shift) | toy_events.identity(n, seed, data=data)
    if first_event is not None:
        branches["event"] = (np.arange(n) + first_event).astype(np.uint64)
    weights = toy_events.simulation_branches(rng, branches, negative)
    if not data:
        branches |= weights
    for name, values in (spoil or {}).items():
        if values is None:
            branches.pop(name)
        else:
            branches[name] = values
    mean = float(np.mean(weights["gen_weight"])) if n else 1.0
    events = 4 * n if generated is None else generated
    about = {"cross_section": cross_section, "sum_of_weights": mean * events, "generated": float(events)}
    toy_events.write(path, branches, about if metadata and not data else None)
    return path


VARIABLES = {
    "jets": "p4(jet_pt, jet_eta, jet_phi, jet_mass)",
    "b_jets": "jets[jet_b >= 3]",
    "ht": "sum(jet_pt)",
    "n_jets": "count(jet_pt)",
    "n_b": "count(b_jets)",
    "m_bb": "pair_mass_nearest(b_jets, 125)",
    "dr_bb": "pair_delta_r_min(b_jets)",
    "b3_pt": "pt(b_jets[2])",
    "central": "centrality(jets)",
}


def analysis(**overrides: Any) -> dict[str, Any]:
    """The small analysis as a mapping; `overrides` replace top-level keys."""
    background = {"class": "background"}
    base: dict[str, Any] = {
        "name": "small",
        "kind": "events",
        "luminosity": 10.0,
        "samples": {
            "signal": {"files": "signal.root", "class": "signal", "domain": "simulation"},
            "background": {"files": "background.root", **background, "domain": "simulation"},
            "signal_alt": {"files": "signal_alt.root", "class": "signal", "domain": "alternative"},
            "background_alt": {"files": "background_alt.root", **background, "domain": "alternative"},
            "third": {"files": "third.root", **background, "domain": "third", "use": "evaluate"},
            "data": {"files": "data.root", "domain": "data"},
        },
        "variables": dict(VARIABLES),
        "selection": "(n_jets >= 5) & (n_b >= 2)",
        "weight": "gen_weight * b_weight",
        "features": ["ht", "n_jets", "n_b", "m_bb", "dr_bb", "b3_pt", "central", "met"],
        "plots": {"ht": {"label": "$H_T$", "unit": "GeV", "range": [0, 1500]}, "met": {"unit": "GeV"}},
        "models": {
            "network": {"kind": "network", "encoder": [16, 16]},
            "dann": {
                "kind": "network",
                "encoder": [16, 16],
                "domain": {"source": ["background"], "target": ["background_alt"], "head": [16]},
            },
            "bdt": {"kind": "bdt", "iterations": 20},
        },
        "training": {"epochs": 2, "batch_size": 256, "patience": None},
        "evaluation": {
            "bias": {"between": ["simulation", "alternative", "third", "data"]},
            "bootstrap": 10,
            "blind": "score > 0.7",
        },
        "seed": 1,
    }
    return base | overrides


def write_analysis(folder: Path, n: int = 2000, **overrides: Any) -> Path:
    """Write six samples of about `n` events and `small.yaml` into `folder`; return the path of the YAML."""
    write_sample(folder / "signal.root", n, 1, signal=True, cross_section=0.5)
    write_sample(folder / "background.root", n, 2, signal=False, cross_section=20.0)
    write_sample(folder / "signal_alt.root", n, 3, signal=True, shift=1.0, cross_section=0.5)
    write_sample(folder / "background_alt.root", n, 4, signal=False, shift=1.0, cross_section=20.0)
    write_sample(folder / "third.root", n, 5, signal=False, shift=-1.0, cross_section=20.0)
    write_sample(folder / "data.root", n, 6, signal=False, shift=0.5, data=True, signal_fraction=0.05)
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(analysis(**overrides), sort_keys=False))
    return path


def several_classes(**overrides: Any) -> dict[str, Any]:
    """Overrides of `write_analysis` for three classes: ttH, and the background split by the number of jets.

    `busy` has seven jets or more, `calm` fewer; the files are those of two classes.
    """

    def background(file: str, domain: str, **more: Any) -> dict[str, Any]:
        ending = file.removeprefix("background").replace("third", "_third")
        return {
            f"{name}{ending}": {"files": f"{file}.root", "class": name, "domain": domain, "selection": cut, **more}
            for name, cut in (("busy", "n_jets >= 7"), ("calm", "n_jets < 7"))
        }

    base: dict[str, Any] = {
        "signal": "ttH",
        "samples": {
            "ttH": {"files": "signal.root", "class": "ttH", "domain": "simulation"},
            **background("background", "simulation"),
            "ttH_alt": {"files": "signal_alt.root", "class": "ttH", "domain": "alternative"},
            **background("background_alt", "alternative"),
            **background("third", "third", use="evaluate"),
            "data": {"files": "data.root", "domain": "data"},
        },
        "discriminants": {"d": "p_ttH / (p_ttH + 0.7 * p_busy + 0.3 * p_calm)"},
        "models": {
            "network": {"kind": "network", "encoder": [16, 16]},
            "dann": {
                "kind": "network",
                "encoder": [16, 16],
                "score": "d",
                "domain": {"source": ["busy", "calm"], "target": ["busy_alt", "calm_alt"], "head": [16]},
            },
            "bdt": {"kind": "bdt", "iterations": 20},
            "pair": {"kind": "bdt", "iterations": 20, "classes": "binary"},
        },
    }
    return base | overrides


@contextmanager
def heard(level: int = logging.INFO) -> Iterator[list[str]]:
    """What hepda logs in the block but for its stages, a line each."""

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.name != STAGES.name:
                lines.append(record.getMessage())

    lines: list[str] = []
    with handled_by(Lines(level)):
        yield lines


class Silent:
    """Progress that nobody sees."""

    def stage(self, name: str) -> None:
        pass

    def step(self, what: str, done: int, total: int) -> None:
        pass
