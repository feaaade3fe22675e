"""The events of the example's ntuples as a second detector would have recorded them: a scenario with a truth.

Every second event of a file of simulation passes through a response of its jets and tags that is known, so that what
is learned of it can be judged: a refiner of the simulation (docs/howto/refine.md), a calibration, an adversary. The
other events stay with the first detector: the two samples share no event, as simulation and data share none.

    hepda generate --config analyses/tth/second_detector.py --output analyses/tth/second
    hepda generate --config analyses/tth/second_detector.py --output DIR --set detector.jet_scale=1.02     another one
    hepda generate --config analyses/tth/second_detector.py --output DIR --set parity=1      odd events: what a perfect
                                                                                             refiner makes of them

What the second detector does to the objects of an event that the first one recorded:

* the pt of a jet is multiplied by the ratio of the scales and by a Gaussian whose width is what makes the resolution of
  the first detector that of the second; the mass of the jet follows, its direction stays;
* missing momentum loses what the jets gain;
* the tag of a jet moves as a score would that is compared with other thresholds: within its bin a jet has a random
  place, and the new bin is that of the same place under the efficiencies of the second detector for its true flavour;
* jets below the threshold and events that no longer pass the preselection are gone.

Jets and events that the first detector did not record are missing here too: those that would rise above the threshold.
Weights are kept: they belong to the generated event. Efficiencies and resolutions are taken at the recorded pt.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from detector import (
    JET_PT,
    MIN_JETS,
    MIN_TAGS,
    SIMULATION,
    TAGGED,
    Detector,
    scale_shift,
)

from hepda.workflows.generate import Chunk, SampleSpec

FOLDER = Path(__file__).parent / "ntuples"
SECOND = Detector(jet_scale=0.96, jet_resolution=1.10, b_efficiency=0.95, light_mistag=1.30)
ROWS = 10_000  # of a chunk
KEYS = ("run", "event", "njet")  # written anew


def _spec(path: Path) -> SampleSpec:
    """The events of one file; its name is a part of the physics, so that chunks of other files have other names."""
    with uproot.open(path) as file:
        events = file["events"].num_entries
        cross_section = float(file["metadata"]["cross_section"].array(library="np")[0])
    return SampleSpec(events, ROWS, cross_section, {"file": str(path), "detector": SECOND, "parity": 0})


SAMPLES = {
    f"{name}_second": _spec(FOLDER / f"{name}.root")
    for name in ("ttjets", "ttH", "ttjets_alt", "ttH_alt", "ttjets_third", "ttH_third", "ttjets_fourth", "ttH_fourth")
}


def second_pt(
    pt: np.ndarray, pileup: np.ndarray, detector: Detector, rng: np.random.Generator, first: Detector = SIMULATION
) -> np.ndarray:
    """The pt [n] that the second detector records of jets of which the first one records `pt` [n], GeV."""
    widths = [d.resolution(pt, pileup) for d in (detector, first)]
    if detector.jet_resolution < first.jet_resolution:
        raise ValueError("the second detector cannot have a better resolution than the first, whose jets it is made of")
    added = np.sqrt(widths[0] ** 2 - widths[1] ** 2)
    scale = detector.jet_scale / first.jet_scale
    return np.asarray(pt * scale * np.maximum(rng.normal(1.0, added), 0.1))


def second_tags(
    tags: np.ndarray,
    pt: np.ndarray,
    flavour: np.ndarray,
    detector: Detector,
    rng: np.random.Generator,
    first: Detector = SIMULATION,
) -> np.ndarray:
    """The tag bins [n] of jets with the bins `tags` [n] of the first detector.

    A jet in bin k of the first detector has a score whose quantile from above is between the efficiencies of the
    working points k + 1 and k; the bin of the second detector is the number of its efficiencies above that quantile.
    """
    old, new = (d.tag_efficiency(pt, flavour) for d in (first, detector))
    edges = np.concatenate([np.ones((len(tags), 1)), old, np.zeros((len(tags), 1))], axis=1)
    rows = np.arange(len(tags))
    upper, lower = edges[rows, tags], edges[rows, tags + 1]
    quantile = lower + (upper - lower) * rng.random(len(tags))
    return np.asarray((quantile[:, None] < new).sum(axis=1), dtype=np.int8)


def respond(events: ak.Array, detector: Detector, rng: np.random.Generator) -> dict[str, Any]:
    """The branches of events in the second detector, without the keys."""
    count = ak.to_numpy(ak.num(events.jet_pt))
    flat = {name: ak.to_numpy(ak.flatten(events[name])) for name in ("jet_pt", "jet_b", "jet_flavour", "jet_phi")}
    pileup = np.repeat(ak.to_numpy(events.n_pileup), count)
    pt = second_pt(flat["jet_pt"], pileup, detector, rng)
    shift = scale_shift(pt)
    new = {
        "jet_pt": pt, "jet_pt_jes_up": pt + shift, "jet_pt_jes_down": pt - shift,
        "jet_mass": ak.to_numpy(ak.flatten(events.jet_mass)) * pt / flat["jet_pt"],
        "jet_b": second_tags(flat["jet_b"], flat["jet_pt"], flat["jet_flavour"], detector, rng),
    }  # fmt: skip
    kept = [name for name in events.fields if name.startswith("jet_") and name not in new]
    jets = ak.zip({name: ak.unflatten(values, count) for name, values in new.items()} | {n: events[n] for n in kept})

    def vector_sum(values: np.ndarray) -> list[np.ndarray]:
        parts = (values * f(flat["jet_phi"]) for f in (np.cos, np.sin))
        return [ak.to_numpy(ak.sum(ak.unflatten(part, count), axis=1)) for part in parts]

    before = [ak.to_numpy(events.met * f(events.met_phi)) for f in (np.cos, np.sin)]
    met = [m - g for m, g in zip(before, vector_sum(pt - flat["jet_pt"]), strict=True)]
    shifts = vector_sum(shift)
    columns = {name: events[name] for name in events.fields if name not in (*KEYS, *jets.fields)}
    for suffix, sign in (("", 0.0), ("_jes_up", 1.0), ("_jes_down", -1.0)):
        x, y = (m - sign * s for m, s in zip(met, shifts, strict=True))
        columns |= {f"met{suffix}": np.hypot(x, y), f"met_phi{suffix}": np.arctan2(y, x)}

    jets = jets[jets.jet_pt_jes_up > JET_PT]
    jets = jets[ak.argsort(jets.jet_pt, ascending=False)]
    columns |= {name: jets[name] for name in jets.fields}
    passes = (ak.num(jets) >= MIN_JETS) & (ak.sum(jets.jet_b >= TAGGED, axis=1) >= MIN_TAGS)
    return {name: values[passes] for name, values in columns.items()}


def generate_chunk(spec: SampleSpec, seed: int) -> Chunk:
    """Every second event of the rows of this seed, whose last three digits number the chunk (parity 0: even ones)."""
    start = seed % 1000 * spec.chunk
    with uproot.open(spec.physics["file"]) as file:
        events = file["events"].arrays(entry_start=start, entry_stop=min(start + spec.chunk, spec.events))
        total, rows = float(file["metadata"]["sum_of_weights"].array(library="np")[0]), file["events"].num_entries
        generated = float(file["metadata"]["generated"].array(library="np")[0])
    share = 0.5 * len(events) / rows
    second = events[events.event % 2 == spec.physics["parity"]]
    columns = respond(second, spec.physics["detector"], np.random.default_rng(seed))
    return Chunk(columns, round(share * generated), share * total)


def assemble(samples: dict[str, Chunk]) -> dict[str, tuple[dict[str, Any], dict[str, float]]]:
    """The files: name -> (branches of `events`, the one entry of `metadata`)."""
    return {
        name: (chunk.columns, {
            "cross_section": SAMPLES[name].cross_section, "sum_of_weights": chunk.sum_of_weights,
            "generated": chunk.generated,
        })
        for name, chunk in samples.items()
    }  # fmt: skip
