"""The ntuples of the ttH(bb) example: all of the physics in one file.

pp at 13 TeV, lepton (e, mu) + jets: ttH with H -> bb, and tt + jets. Pythia 8 makes the hard process, shower and
hadrons (for the fourth generator: Sherpa 3, a program beside this one); anti-kt R = 0.4 jets by fastjet; a parametrised
detector measures them. `hepda generate` calls `generate_chunk` on several processes; the same seed gives the same
events.

    hepda generate --config analyses/tth/generate.py            the ntuples of the example
    hepda generate --config analyses/tth/generate.py --samples ttjets,ttjets_b --scale 4     four times the events
    sh analyses/tth/sherpa/get.sh FOLDER                        gets Sherpa; with SHERPA=FOLDER in the environment,
    hepda generate ...                                          makes ttjets_fourth and ttH_fourth too

The README of this folder explains the choice of the settings and the sensitivity.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import awkward as ak
import fastjet
import numpy as np
import pythia8mc
from detector import (
    JET_ETA,
    JET_PT,
    LEPTON_ETA,
    LEPTON_PT,
    MIN_JETS,
    MIN_TAGS,
    REALITY,
    SIMULATION,
    TAG_BINS,
    TAGGED,
    Detector,
    scale_shift,
)

from hepda.workflows.generate import Chunk, SampleSpec

# --- Cross sections times branching ratios, pb -----------------------------------------------------------------------
BR_LEPTON_JETS = 2 * (0.1071 + 0.1063) * 0.6741  # one W to e or mu, one to quarks (PDG 2022)
XS_TT = 831.76 * BR_LEPTON_JETS  # NNLO+NNLL, m_top = 172.5 GeV
XS_TTH = 0.5071 * 0.5824 * BR_LEPTON_JETS  # NLO QCD+EW x BR(H -> bb), CERN Yellow Report 4

# --- The models of the radiation -------------------------------------------------------------------------------------
COMMON = """
Beams:eCM = 13000
6:m0 = 172.5
24:onMode = off
Check:event = off
111:mayDecay = off
ParticleDecays:limitTau0 = on
ParticleDecays:tau0Max = 10
"""
TT = "Top:gg2ttbar = on\nTop:qqbar2ttbar = on"
TTH = "HiggsSM:gg2Httbar = on\nHiggsSM:qqbar2Httbar = on\n25:onMode = off\n25:onIfAny = 5"

# Multiple interactions are overlaid (UNDERLYING), not interleaved with the shower: six times faster; see `overlay`.
SHOWER = "PartonLevel:MPI = off\n"
NOMINAL = SHOWER + "Tune:pp = 14"  # Monash 2013; the space-like shower fills the phase space ("power shower")
ALTERNATIVE = (
    SHOWER
    + """
Tune:pp = 14
SpaceShower:pTmaxMatch = 1
SpaceShower:pTmaxFudge = 0.7
SpaceShower:alphaSvalue = 0.125
TimeShower:renormMultFac = 0.35
TimeShower:weightGluonToQuark = 5
TimeShower:scaleGluonToQuark = 0.25
"""
)  # "wimpy": starts below the factorisation scale; less initial and more final radiation; another g -> bb kernel
THIRD = SHOWER + "PartonShowers:model = 2"  # the Vincia antenna shower with its own tune
NATURE = (
    SHOWER
    + """
Tune:pp = 21
SpaceShower:pTmaxMatch = 2
SpaceShower:pTdampMatch = 1
SpaceShower:pTdampFudge = 1.5
TimeShower:weightGluonToQuark = 3
"""
)  # ATLAS A14, a damped power shower: none of the models above
SOFT = "Beams:eCM = 13000\nHardQCD:all = on\nPhaseSpace:pTHatMin = 7\nCheck:event = off\n111:mayDecay = off\n"
UNDERLYING = {  # activity of the soft collisions, and its model of colour reconnection
    NOMINAL: SOFT + "Tune:pp = 14",
    ALTERNATIVE: SOFT + "Tune:pp = 14\nColourReconnection:mode = 1\nBeamRemnants:remnantMode = 1",
    THIRD: SOFT + "Tune:pp = 5",
    NATURE: SOFT + "Tune:pp = 21",
}

CARDS = Path(__file__).parent / "sherpa"  # the fourth generator: its cards, and the source of what writes its events

# --- The measurement (detector.py) -----------------------------------------------------------------------------------
FILTER_PT = 10.0  # GeV, of the extra b quark that the b-filtered samples require
ENRICHED = 0.25  # share of the simulated events with one b tag more than the preselection requires
NEGATIVE_SHARE = 0.12  # of the generated events, as an NLO generator would have


# Measured scale factors and their errors: close to the truth (0.95, 0.95, 1.20), but not equal to it.
SCALE_FACTORS = {5: (0.97, 0.02), 4: (0.97, 0.06), 0: (1.15, 0.10)}


def _spec(
    process: str,
    model: str,
    events: int,
    *,
    detector: Detector = SIMULATION,
    b_filter: bool = False,
    negative: float = NEGATIVE_SHARE,
) -> SampleSpec:
    """A sample by Pythia."""
    hard = TT if process == "tt" else TTH
    return SampleSpec(
        events=events,
        chunk=5000,
        cross_section=XS_TT if process == "tt" else XS_TTH,
        physics={
            "program": "pythia",
            "settings": f"{COMMON}{hard}\n{model}",
            "soft": UNDERLYING[model],
            "detector": detector,
            "simulated": detector is SIMULATION,
            "b_filter": b_filter,
            "negative": negative,
        },
    )


def _sherpa_spec(process: str, events: int, *, b_filter: bool = False) -> SampleSpec:
    """A sample by Sherpa: scaled to the cross section of the others, as only shapes and composition are to differ."""
    card = CARDS / ("ttbar.yaml" if process == "tt" else "tth.yaml")
    return SampleSpec(
        events=events,
        chunk=10_000,
        cross_section=XS_TT if process == "tt" else XS_TTH,
        physics={
            "program": "sherpa",
            "settings": card.read_text(encoding="utf-8"),
            "driver": zlib.crc32((CARDS / "particles.cpp").read_bytes()),
            "soft": UNDERLYING[NOMINAL],
            "detector": SIMULATION,
            "simulated": True,
            "b_filter": b_filter,
        },
        unavailable=sherpa_missing(),
    )


def sherpa_missing() -> str:
    """Why samples of Sherpa cannot be made here; empty if they can."""
    folder = os.environ.get("SHERPA", "")
    get = f"`sh {CARDS / 'get.sh'} FOLDER` gets Sherpa and builds what runs it"
    if not folder:
        return f"it needs Sherpa: set SHERPA=FOLDER in the environment; {get}"
    if not (Path(folder) / "particles").is_file():
        return f"SHERPA={folder} has no program `particles`; {get}"
    return ""


# Generated events of each sample; the README has the numbers of selected events. The third and the fourth generator are
# pseudo-data only, so their events have no negative weights, which would cost 42 % of their statistical power.
SAMPLES: dict[str, SampleSpec] = {
    "ttjets_alt": _spec("tt", ALTERNATIVE, 570_000),
    "ttjets": _spec("tt", NOMINAL, 440_000),
    "ttH": _spec("ttH", NOMINAL, 65_000),
    "ttH_alt": _spec("ttH", ALTERNATIVE, 70_000),
    "nature_ttjets": _spec("tt", NATURE, 150_000, detector=REALITY),
    "nature_ttH": _spec("ttH", NATURE, 5_000, detector=REALITY),
    "ttjets_b": _spec("tt", NOMINAL, 400_000, b_filter=True),
    "ttjets_alt_b": _spec("tt", ALTERNATIVE, 400_000, b_filter=True),
    "ttjets_third": _spec("tt", THIRD, 340_000, negative=0.0),
    "ttjets_third_b": _spec("tt", THIRD, 150_000, b_filter=True, negative=0.0),
    "ttH_third": _spec("ttH", THIRD, 10_000, negative=0.0),
    "ttjets_fourth": _sherpa_spec("tt", 420_000),
    "ttjets_fourth_b": _sherpa_spec("tt", 120_000, b_filter=True),
    "ttH_fourth": _sherpa_spec("ttH", 10_000),
}
# Files of simulation: the samples that are stitched into each. The pseudo-data are mixed by `mix`.
FILES = {
    "ttjets": ("ttjets", "ttjets_b"),
    "ttH": ("ttH",),
    "ttjets_alt": ("ttjets_alt", "ttjets_alt_b"),
    "ttH_alt": ("ttH_alt",),
    "ttjets_third": ("ttjets_third", "ttjets_third_b"),
    "ttH_third": ("ttH_third",),
    "ttjets_fourth": ("ttjets_fourth", "ttjets_fourth_b"),
    "ttH_fourth": ("ttH_fourth",),
}
LUMINOSITY = 0.6  # of the pseudo-data, 1/fb
SIGNAL_SCALE = 30.0  # ttH in the pseudo-data in units of the Standard Model: stated in every figure and table


# --- Hadrons -> jets, lepton, neutrinos ------------------------------------------------------------------------------
def pythia(settings: str, seed: int, hook: Any = None) -> Any:
    """An initialised generator; a setting that Pythia does not know is an error, not a warning."""
    generator = pythia8mc.Pythia("", False)
    fixed = f"Print:quiet = on\nRandom:setSeed = on\nRandom:seed = {seed}"
    for line in f"{fixed}\n{settings}".splitlines():
        if line.strip() and not generator.readString(line):
            raise ValueError(f"Pythia does not know the setting {line!r}")
    if hook is not None:
        generator.setUserHooksPtr(hook)
    if not generator.init():
        raise ValueError(f"Pythia could not be initialised with these settings:\n{settings}")
    return generator


def after_shower(particles: ak.Array, first: ak.Array) -> ak.Array:
    """Positions of the last copies, after the shower, of Pythia's particles at the positions `first`."""
    count = ak.to_numpy(ak.num(particles))
    offset = np.repeat(np.cumsum(count) - count, count)
    code = ak.to_numpy(ak.flatten(particles.id))
    daughters = [ak.to_numpy(ak.flatten(d)) + offset for d in (particles.daughter1, particles.daughter2)]
    start = np.repeat(np.cumsum(count) - count, ak.to_numpy(ak.num(first)))
    now = ak.to_numpy(ak.flatten(first)) + start
    while True:
        one, other = (daughter[now] for daughter in daughters)
        same, other_same = code[one] == code[now], code[other] == code[now]
        # As Pythia's iBotCopyId: no unique continuation if both daughters are of this kind.
        following = np.where(same & (~other_same | (one == other)), one, np.where(other_same & ~same, other, now))
        if np.array_equal(following, now):
            return ak.unflatten(now - start, ak.num(first))
        now = following


def kinematics(particles: ak.Array) -> ak.Array:
    """Particles (id and momentum p) with pt, eta and phi."""
    p = particles.p
    pt = np.maximum(np.hypot(p.px, p.py), 1e-6)
    angles = {"pt": pt, "eta": np.arcsinh(p.pz / pt), "phi": np.arctan2(p.py, p.px)}
    return ak.zip({"id": particles.id, "px": p.px, "py": p.py, "pz": p.pz, "E": p.e, **angles})


@dataclass(frozen=True)
class Record:
    """What a generator says of its events. All but `extra_b` with pt, eta and phi."""

    lepton: ak.Array  # the one of the W, [n]
    final: ak.Array  # stable particles, [n, any]
    hadrons: ak.Array  # hadrons with a b or c quark, stable or not, [n, any]
    quarks: ak.Array  # those of the decays of top quarks, W and Higgs bosons, after the shower, [n, 4 or 6]
    extra_b: np.ndarray  # is there a b quark above FILTER_PT that is none of these? [n]


def record_of(particles: ak.Array, quarks: ak.Array) -> Record:
    """The record of particles with id, mother (PDG number, >= 0), stable (or not) and momentum p."""
    code = abs(particles.id)
    lepton = kinematics(particles[((code == 11) | (code == 13)) & (particles.mother == 24)])[:, 0]
    extra_quark = (code == 5) & (particles.mother != 5) & (particles.mother != 6) & (particles.mother != 25)
    hard = np.hypot(particles.p.px, particles.p.py) > FILTER_PT
    return Record(
        lepton=lepton,
        final=kinematics(particles[particles.stable]),
        hadrons=kinematics(particles[contains(particles.id, 5) | contains(particles.id, 4)]),
        quarks=kinematics(quarks),
        extra_b=ak.to_numpy(ak.any(extra_quark & hard, axis=1)),
    )


def pythia_record(events: ak.Array) -> Record:
    """The record of a batch of Pythia."""
    particles = events.prt
    particles["mother"] = abs(particles.id[particles.mother1])
    particles["stable"] = particles.status > 0
    decayed = (particles.mother == 6) | (particles.mother == 24) | (particles.mother == 25)
    first = ak.local_index(particles.id)[(abs(particles.id) <= 5) & decayed]
    return record_of(particles, particles[after_shower(particles, first)])


def distance(one: Any, other: Any) -> Any:
    """Delta R of two collections (or of a collection and one object an event)."""
    phi = np.mod(one.phi - other.phi + np.pi, 2 * np.pi) - np.pi
    return np.hypot(one.eta - other.eta, phi)


def near(jets: ak.Array, particles: ak.Array, radius: float = 0.4) -> ak.Array:
    """For each jet: does any of the particles of its event lie within `radius`?"""
    jet, particle = ak.unzip(ak.cartesian([jets, particles], axis=1, nested=True))
    return ak.any(distance(jet, particle) < radius, axis=2)


def contains(pdg: ak.Array, quark: int) -> ak.Array:
    """Hadrons with this quark (5: b, 4: c), by the digits of their PDG number."""
    code = abs(pdg)
    return (code > 100) & (code < 100_000) & ((code // 100 % 10 == quark) | (code // 1000 % 10 == quark))


def particle_level(record: Record, underlying: ak.Array) -> dict[str, ak.Array]:
    """Anti-kt jets with flavour and origin, the dressed lepton of the W, and the sum of the neutrinos."""
    born, final = record.lepton, record.final
    neutrino = (abs(final.id) == 12) | (abs(final.id) == 14) | (abs(final.id) == 16)
    # The lepton of the W after photon radiation: the hardest final-state one of its kind near the original direction.
    candidate = ak.where((final.id == born.id) & (distance(final, born) < 0.3), final.pt, -1.0)
    bare = ak.flatten(final[ak.from_regular(ak.drop_none(ak.argmax(candidate, axis=1, keepdims=True)))])
    dressing = ((final.id == 22) & (distance(final, bare) < 0.1)) | (
        (final.id == bare.id) & (distance(final, bare) < 1e-6)
    )
    visible = ak.concatenate([final[~dressing & ~neutrino], underlying], axis=1)
    visible = visible[abs(visible.eta) < 5.0]
    momenta = ak.zip({k: visible[k] for k in ("px", "py", "pz", "E")}, with_name="Momentum4D")
    algorithm = fastjet.JetDefinition(fastjet.antikt_algorithm, 0.4)
    found = fastjet.ClusterSequence(momenta, algorithm).inclusive_jets(min_pt=12.0)
    pt = np.hypot(found.px, found.py)
    mass = np.sqrt(np.maximum(found.E**2 - pt**2 - found.pz**2, 0.0))
    phi = np.arctan2(found.py, found.px)
    jets = ak.zip({"pt": pt, "eta": np.arcsinh(found.pz / pt), "phi": phi, "mass": mass})
    jets = jets[abs(jets.eta) < JET_ETA]
    hadrons = record.hadrons[record.hadrons.pt > 5.0]
    has_b = near(jets, hadrons[contains(hadrons.id, 5)])
    has_c = near(jets, hadrons[contains(hadrons.id, 4)])
    jets["flavour"] = ak.where(has_b, 5, ak.where(has_c, 4, 0))
    # Jets at a quark from a top, a W or the Higgs are expected; other heavy flavour is "extra". The quarks are those
    # after the shower: a tenth of the b quarks from top radiate a gluon that turns them by more than the jets' radius.
    jets["extra"] = ~near(jets, record.quarks) & (jets.pt > 20.0)
    return {
        "extra_b": record.extra_b,
        "jets": jets,
        "lepton": bare,
        "lepton_photons": final[dressing],
        "neutrinos": final[neutrino],
    }


# --- The measurement -------------------------------------------------------------------------------------------------
def tag_probabilities(efficiency: np.ndarray) -> np.ndarray:
    """From P(passes each working point) [n, 4] to P(tag bin) [n, 5]."""
    edges = np.concatenate([np.ones((len(efficiency), 1)), efficiency, np.zeros((len(efficiency), 1))], axis=1)
    return edges[:, :-1] - edges[:, 1:]


def at_least(passing: np.ndarray, tags: int) -> np.ndarray:
    """P(at least `tags` of independent jets are tagged), [n], from P(tagged) [n, jets] (0 for no jet)."""
    count = np.zeros((len(passing), tags))
    count[:, 0] = 1.0
    for p in passing.T:
        count[:, 1:] = count[:, 1:] * (1 - p[:, None]) + count[:, :-1] * p[:, None]
        count[:, 0] *= 1 - p
    return 1.0 - count.sum(axis=1)


def draw_tags(probability: np.ndarray, minimum: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Tag bins [n, jets] drawn from `probability` [n, jets, 5], given at least `minimum` [n] tagged jets.

    Jet by jet, each conditioned on what the jets after it can still supply: exact, without rejection.
    """
    n, jets, _ = probability.shape
    tagged = probability[:, :, TAGGED:].sum(axis=2)
    bins = np.zeros((n, jets), dtype=np.int8)
    missing = minimum.copy()
    for j in range(jets):
        need = np.maximum(missing, 0)
        rest = np.stack(
            [np.ones(n)] + [at_least(tagged[:, j + 1 :], k) for k in range(1, need.max(initial=0) + 1)],
            axis=1,
        )
        row = np.arange(n)
        if_tagged = tagged[:, j] * rest[row, np.maximum(need - 1, 0)]
        otherwise = (1 - tagged[:, j]) * rest[row, need]
        is_tagged = rng.random(n) * (if_tagged + otherwise) < if_tagged
        part = probability[:, j].copy()
        part[is_tagged, :TAGGED] = 0.0
        part[~is_tagged, TAGGED:] = 0.0
        part = np.cumsum(part, axis=1)
        bins[:, j] = (rng.random(n)[:, None] * part[:, -1:] >= part).sum(axis=1)
        missing -= is_tagged
    return bins


def tag(efficiency: np.ndarray, valid: np.ndarray, simulated: bool, rng: np.random.Generator) -> tuple[Any, Any]:
    """Tag bins [n, jets] and tag_weight [n]: the weight that corrects for drawing only events with enough tags.

    Simulation: every event is drawn with at least MIN_TAGS tags, a share ENRICHED with at least one more, and
    tag_weight = p/q is the chance of the outcome over the chance that it was drawn with (so no event is lost
    and the region where the signal is has many times the events). Data are what they are: weight 1 or 0.
    """
    n, jets = valid.shape
    probability = np.zeros((n, jets, TAG_BINS))
    probability[valid] = tag_probabilities(efficiency)
    probability[~valid, 0] = 1.0
    if not simulated:
        bins = draw_tags(probability, np.zeros(n, dtype=int), rng)
        return bins, ((bins >= TAGGED).sum(axis=1) >= MIN_TAGS).astype(float)
    passing = probability[:, :, TAGGED:].sum(axis=2)
    enough, more = at_least(passing, MIN_TAGS), at_least(passing, MIN_TAGS + 1)
    bins = draw_tags(probability, MIN_TAGS + (rng.random(n) < ENRICHED), rng)
    has_more = (bins >= TAGGED).sum(axis=1) > MIN_TAGS
    return bins, 1.0 / ((1 - ENRICHED) / enough + np.where(has_more, ENRICHED / more, 0.0))


def scale_factor(bins: np.ndarray, efficiency: np.ndarray, flavour: np.ndarray, shift: float) -> np.ndarray:
    """Weight of a jet that corrects its tag efficiency to the measured one: SF if tagged, (1 - SF e)/(1 - e) if not."""
    table = {f: central + shift * error for f, (central, error) in SCALE_FACTORS.items()}
    sf = np.select([flavour == 5, flavour == 4], [table[5], table[4]], table[0])
    loosest = efficiency[:, 0]
    return np.where(bins > 0, sf, (1 - sf * loosest) / (1 - loosest))


def pileup_weight(pileup: np.ndarray, data_mean: float) -> np.ndarray:
    """Ratio of the Poisson distributions of the pile-up in data and in simulation."""
    return np.exp(SIMULATION.pileup - data_mean) * (data_mean / SIMULATION.pileup) ** pileup


def measured_jets(level: dict[str, ak.Array], detector: Detector, pileup: np.ndarray, rng: np.random.Generator) -> Any:
    """All jets with their true pt, the measured one, and the shift from the uncertainty of the energy scale."""
    jets = level["jets"]
    count, true = ak.to_numpy(ak.num(jets)), ak.to_numpy(ak.flatten(jets.pt))
    width = detector.resolution(true, np.repeat(pileup, count))
    measured = true * detector.jet_scale * np.maximum(rng.normal(1.0, width), 0.1)
    for name, flat in (("true", true), ("pt", measured), ("shift", scale_shift(measured))):
        jets[name] = ak.unflatten(flat, count)
    jets["mass"] = jets.mass * jets.pt / jets.true
    return jets


def missing_momentum(
    level: dict[str, ak.Array], jets: Any, pileup: np.ndarray, rng: np.random.Generator
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Missing momentum (x, y), minus all that is measured, and the sum of the jets' shifts (x, y).

    Soft activity adds a Gaussian that grows with pile-up.
    """

    def transverse(value: str) -> list[np.ndarray]:
        return [ak.to_numpy(ak.sum(jets[value] * f(jets.phi), axis=1)) for f in (np.cos, np.sin)]

    soft = rng.normal(0.0, 6.0 + 0.1 * pileup, (2, len(pileup)))
    after, before, shift = (transverse(v) for v in ("pt", "true", "shift"))
    neutrinos = level["neutrinos"]
    met = [ak.to_numpy(ak.sum(neutrinos[c], axis=1)) - (a - b) + s
           for c, a, b, s in zip(("px", "py"), after, before, soft, strict=True)]  # fmt: skip
    return met, shift


def measure(level: dict[str, ak.Array], spec: SampleSpec, rng: np.random.Generator) -> dict[str, Any]:
    """What the detector records of the events that pass the preselection: the branches of the ntuple."""
    detector: Detector = spec.physics["detector"]
    simulated: bool = spec.physics["simulated"]
    lepton, photons = level["lepton"], level["lepton_photons"]
    lepton_pt = np.hypot(ak.sum(photons.px, axis=1), ak.sum(photons.py, axis=1))
    n = len(lepton_pt)
    lepton_pt = ak.to_numpy(lepton_pt) * rng.normal(1.0, np.where(abs(lepton.id) == 11, 0.020, 0.015))
    pileup = rng.poisson(detector.pileup, n)
    jets = measured_jets(level, detector, pileup, rng)
    met, shift = missing_momentum(level, jets, pileup, rng)

    isolated = ak.all((distance(jets, lepton) > 0.4) | (jets.pt < JET_PT), axis=1)
    jets = jets[jets.pt + (jets.shift if simulated else 0.0) > JET_PT]
    jets = jets[ak.argsort(jets.pt, ascending=False)]
    good = (lepton_pt > LEPTON_PT) & (abs(lepton.eta) < LEPTON_ETA) & isolated
    chosen = ak.to_numpy(ak.fill_none(good, False)) & (ak.to_numpy(ak.num(jets)) >= MIN_JETS)

    jets, pileup, count = jets[chosen], pileup[chosen], ak.to_numpy(ak.num(jets))[chosen]
    met, shift = ([part[chosen] for part in momentum] for momentum in (met, shift))
    flavour, pt = ak.to_numpy(ak.flatten(jets.flavour)), ak.to_numpy(ak.flatten(jets.true))
    efficiency = detector.tag_efficiency(pt, flavour)
    valid = np.arange(count.max(initial=MIN_JETS))[None, :] < count[:, None]
    bins, tag_weight = tag(efficiency, valid, simulated, rng)
    columns: dict[str, Any] = {
        "lepton_pt": lepton_pt[chosen], "lepton_eta": lepton.eta[chosen], "lepton_phi": lepton.phi[chosen],
        "lepton_charge": np.where(lepton.id[chosen] > 0, -1, 1), "lepton_flavour": abs(lepton.id[chosen]),
        "met": np.hypot(*met), "met_phi": np.arctan2(met[1], met[0]), "n_pileup": pileup,
        "jet_pt": jets.pt, "jet_eta": jets.eta, "jet_phi": jets.phi, "jet_mass": jets.mass,
        "jet_b": ak.unflatten(bins[valid], count),
    }  # fmt: skip
    columns |= {
        f"n_extra_{quark}": ak.sum(jets.extra & (jets.flavour == code), axis=1) for quark, code in (("b", 5), ("c", 4))
    }
    if not simulated:
        return {name: values[tag_weight > 0] for name, values in columns.items()}
    columns |= {
        "jet_flavour": jets.flavour, "tag_weight": tag_weight,
        "gen_weight": level["gen_weight"][chosen], "extra_b": level["extra_b"][chosen],
    }  # fmt: skip
    return columns | variations(jets, bins[valid], efficiency, flavour, pileup, met, shift)


def variations(
    jets: Any,
    bins: np.ndarray,
    efficiency: np.ndarray,
    flavour: np.ndarray,
    pileup: np.ndarray,
    met: list[np.ndarray],
    shift: list[np.ndarray],
) -> dict[str, Any]:
    """Weights of tags and pile-up, nominal, up and down, and the branches of the energy scale up and down.

    bins, efficiency, flavour: of all jets in a row; met, shift: as of `missing_momentum`.
    """
    columns: dict[str, Any] = {}
    for suffix, sign in (("", 0.0), ("_up", 1.0), ("_down", -1.0)):
        each = scale_factor(bins, efficiency, flavour, sign)
        columns[f"b_weight{suffix}"] = ak.prod(ak.unflatten(each, ak.num(jets)), axis=1)
        columns[f"pileup_weight{suffix}"] = pileup_weight(pileup, REALITY.pileup * (1 + 0.04 * sign))
    for suffix, sign in (("_up", 1.0), ("_down", -1.0)):
        shifted = [m - sign * s for m, s in zip(met, shift, strict=True)]
        columns[f"jet_pt_jes{suffix}"] = jets.pt + sign * jets.shift
        columns[f"met_jes{suffix}"] = np.hypot(*shifted)
        columns[f"met_phi_jes{suffix}"] = np.arctan2(shifted[1], shifted[0])
    return columns


# --- One chunk -------------------------------------------------------------------------------------------------------
class Filter(pythia8mc.UserHooks):
    """Stop the generation of events that cannot be selected, and count them as generated."""

    def __init__(self, b_filter: bool) -> None:
        super().__init__()
        self.b_filter = b_filter
        self.tried = 0

    def canVetoProcessLevel(self) -> bool:  # noqa: N802
        """Pythia asks whether the next method is to be called."""
        return True

    def doVetoProcessLevel(self, process: Any) -> bool:  # noqa: N802
        """True if the lepton of the hard process is so soft or forward that it hardly passes after the recoil."""
        self.tried += 1
        lepton = next(p for p in reversed(list(process)) if p.idAbs() in (11, 13))
        return not (lepton.pT() > 18.0 and abs(lepton.eta()) < LEPTON_ETA + 0.25)

    def canVetoPartonLevel(self) -> bool:  # noqa: N802
        """Only samples with `b_filter` are checked after the shower."""
        return self.b_filter

    def doVetoPartonLevel(self, event: Any) -> bool:  # noqa: N802
        """True if the shower made no extra b quark; looser than FILTER_PT, which is applied to the event record."""
        return not any(
            p.idAbs() == 5 and p.pT() > 0.9 * FILTER_PT and event[p.mother1()].idAbs() not in (5, 6, 25) for p in event
        )


@lru_cache(maxsize=1)
def soft_collisions(settings: str, seed: int = 99, size: int = 2000) -> ak.Array:
    """A pool of soft collisions: their stable, visible particles."""
    events = pythia(settings, seed).nextBatch(size).prt
    code = abs(events.id)
    keep = (events.status > 0) & (code != 12) & (code != 14) & (code != 16)
    return kinematics(events[keep])


def overlay(settings: str, events: int, rng: np.random.Generator) -> ak.Array:
    """An underlying event for each event: drawn from the pool, rotated about the beam, mirrored or not."""
    pool = soft_collisions(settings)
    drawn = pool[rng.integers(len(pool), size=events)]
    side = rng.choice([-1.0, 1.0], events)
    phi = np.mod(drawn.phi + rng.uniform(0, 2 * np.pi, events), 2 * np.pi) - np.pi
    turned = {"px": drawn.pt * np.cos(phi), "py": drawn.pt * np.sin(phi), "pz": side * drawn.pz, "phi": phi}
    return ak.zip({"id": drawn.id, "pt": drawn.pt, "eta": side * drawn.eta, "E": drawn.E, **turned})


def generate_chunk(spec: SampleSpec, seed: int) -> Chunk:
    """The `spec.chunk` collisions of this seed: half with a W+ to leptons, half with a W-."""
    rng = np.random.default_rng(seed)
    parts, sum_of_weights, generated = [], 0.0, 0
    events = sherpa_events if spec.physics["program"] == "sherpa" else pythia_events
    for half in range(2):
        for batch in events(spec, half, 2 * seed + half, rng):
            sum_of_weights += batch.sum_of_weights
            generated += batch.generated
            if batch.record is None:
                continue
            level = particle_level(batch.record, overlay(spec.physics["soft"], len(batch.weight), rng))
            parts.append(measure(level | {"gen_weight": batch.weight}, spec, rng))
            if spec.physics["b_filter"]:
                parts[-1] = {name: values[parts[-1]["extra_b"]] for name, values in parts[-1].items()}
    columns = {name: ak.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Chunk(columns=columns, generated=generated, sum_of_weights=sum_of_weights)


@dataclass(frozen=True)
class Batch:
    """Events that can pass, and the number and sum of the weights of all that were generated for them."""

    record: Record | None
    weight: np.ndarray
    generated: int
    sum_of_weights: float


def pythia_events(spec: SampleSpec, half: int, seed: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Half of a chunk by Pythia."""
    leptonic, hadronic = ("Pos", "Neg") if half == 0 else ("Neg", "Pos")
    decays = f"24:on{leptonic}IfAny = 11 13\n24:on{hadronic}IfAny = 1 2 3 4 5\n"
    hook = Filter(spec.physics["b_filter"])
    generator = pythia(f"{spec.physics['settings']}\n{decays}", seed, hook)
    half_chunk, negative, passed = spec.chunk // 2, spec.physics["negative"], 0
    while hook.tried < half_chunk:
        before = hook.tried
        # Pythia counts events that pass the filter, so request as many as are expected of the rest. The share with an
        # extra b quark differs between generators, and is learned on the way.
        passing = (passed + 1) / (before + 250) if spec.physics["b_filter"] else 0.8
        events = generator.nextBatch(max(10, min(500, int(passing * (half_chunk - before)))))
        passed += len(events)
        tried = hook.tried - before
        # Signs as in an NLO generator, but independent of the kinematics, so that every mean is unchanged.
        sign = np.where(rng.random(tried) < negative, -1.0, 1.0) / (1 - 2 * negative)
        yield Batch(pythia_record(events), sign[: len(events)], tried, float(sign.sum()))


# --- The fourth generator: Sherpa, a program beside this one ---------------------------------------------------------
def card_of(settings: str, half: int) -> str:
    """The card for one half of the events: as written (a W+ to leptons), or with the signs of the W decays turned."""

    def turned(channel: re.Match[str]) -> str:
        return channel[1] + ",".join(str(-int(number)) for number in channel[2].split(","))

    return re.sub(r"(?m)^( +)(-?24(?:,-?\d+)+)(?=:)", turned, settings) if half else settings


def sherpa(card: str, events: int, seed: int, choice: str, folder: Path) -> Path:
    """Run Sherpa in `folder`; where its events are. Its integration is kept beside the program and used again."""
    program = Path(os.environ["SHERPA"]).resolve()
    share = program / "share" / "SHERPA-MC"
    environment = os.environ | {
        "SHERPA_SHARE_PATH": str(share), "SHERPA_LIBRARY_PATH": str(program / "lib64" / "SHERPA-MC"),
        "LHAPDF_DATA_PATH": str(share / "LHAPDF"),
    }  # fmt: skip
    (folder / "card.yaml").write_text(card, encoding="utf-8")
    command = [program / "particles", "events.txt", str(events), choice, "-f", "card.yaml", "-R", str(seed)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"Sherpa ended with code {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return folder / "events.txt"


def integrated(card: str) -> Path:
    """The result of the integration for this card: made once, with a fixed seed."""
    kept = Path(os.environ["SHERPA"]).resolve() / "integrated" / f"{zlib.crc32(card.encode()):08x}.zip"
    if not kept.is_file():
        kept.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as work:
            sherpa(card, 1, 1, "all", Path(work))
            (Path(work) / "Results.zip").replace(kept)
    return kept


def sherpa_events(spec: SampleSpec, half: int, seed: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Half of a chunk by Sherpa: weights are relative to the unweighted ones, and nearly all 1."""
    del rng  # the program has its own
    card = card_of(spec.physics["settings"], half)
    with tempfile.TemporaryDirectory() as work:
        shutil.copy(integrated(card), Path(work) / "Results.zip")
        path = sherpa(card, spec.chunk // 2, seed, "extra_b" if spec.physics["b_filter"] else "all", Path(work))
        with path.open(encoding="ascii") as file:
            yield from read_particles(file)


def read_particles(lines: Iterator[str], size: int = 500) -> Iterator[Batch]:
    """Batches of at most `size` events from the text that sherpa/particles.cpp describes."""
    weights: list[float] = []
    counts: list[int] = []
    texts: list[str] = []

    def batch(generated: int = 0, total: float = 0.0) -> Batch:
        if not weights:
            return Batch(None, np.zeros(0), generated, total)
        values = np.fromstring("".join(texts), sep=" ").reshape(-1, 7)
        numbers = ak.unflatten(ak.zip({
            "id": values[:, 0].astype(int), "mother": values[:, 1].astype(int), "stable": values[:, 2] == 1,
            "p": ak.zip(dict(zip(("px", "py", "pz", "e"), values[:, 3:].T, strict=True))),
        }, depth_limit=1), counts)  # fmt: skip
        decayed = (numbers.mother == 6) | (numbers.mother == 24) | (numbers.mother == 25)
        quarks = numbers[(abs(numbers.id) <= 5) & decayed]
        return Batch(record_of(numbers, quarks), np.array(weights), generated, total)

    for line in lines:
        kind, *entries = line.split()
        if kind == "S":
            yield batch(int(entries[0]), float(entries[1]))
            return
        weights.append(float(entries[1]))
        counts.append(int(entries[2]))
        texts.append("".join(islice(lines, counts[-1])))
        if len(weights) == size:
            yield batch()
            weights, counts, texts = [], [], []
    raise ValueError("the events of Sherpa end without their sum of weights")


# --- From samples to files -------------------------------------------------------------------------------------------
def stitch(inclusive: Chunk, filtered: Chunk | None) -> Chunk:
    """One sample of an inclusive and a b-filtered one.

    An event with an extra b quark could have come from either, so it counts N1 / (N1 + N2), with the events that
    were generated for each; any other event counts 1. The sum of weights stays that of the inclusive sample.
    """
    columns = dict(inclusive.columns)
    flags = columns.pop("extra_b")
    weight = np.ones(len(flags))
    if filtered is not None:
        share = inclusive.generated / (inclusive.generated + filtered.generated)
        weight = np.concatenate([np.where(flags, share, 1.0), np.full(len(filtered.columns["extra_b"]), share)])
        columns = {name: ak.concatenate([values, filtered.columns[name]]) for name, values in columns.items()}
    columns["stitch_weight"] = weight
    # Filtered events are distributed among the others, so that a part of a file is representative.
    order = np.random.default_rng(17).permutation(len(weight))
    columns = {name: values[order] for name, values in columns.items()}
    return Chunk(columns=columns, generated=inclusive.generated, sum_of_weights=inclusive.sum_of_weights)


def mix(background: Chunk, signal: Chunk, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Pseudo-data and their truth: each event is kept with the probability that corresponds to LUMINOSITY."""
    rng = np.random.default_rng(seed)
    kept = []
    for chunk, expected in ((background, XS_TT), (signal, XS_TTH * SIGNAL_SCALE)):
        chance = 1000.0 * LUMINOSITY * expected / chunk.generated
        if chance > 1.0:
            raise ValueError(f"{chunk.generated} generated events are too few for {LUMINOSITY}/fb")
        keep = rng.random(len(chunk.columns["met"])) < chance
        kept.append({name: values[keep] for name, values in chunk.columns.items()})
    label = np.concatenate([np.zeros(len(kept[0]["met"])), np.ones(len(kept[1]["met"]))]).astype(np.int8)
    order = rng.permutation(len(label))
    columns = {name: ak.concatenate([part[name] for part in kept])[order] for name in kept[0]}
    # The origin of the jets is for the files of truths only.
    return columns, {"is_signal": label[order], **{name: columns.pop(name) for name in ("n_extra_b", "n_extra_c")}}


def assemble(samples: dict[str, Chunk]) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """The files: name -> (branches of `events`, the one entry of `metadata`); only those whose samples exist."""
    files = {}
    for name, parts in FILES.items():
        if parts[0] in samples:
            whole = stitch(samples[parts[0]], samples.get(parts[-1]) if len(parts) > 1 else None)
            files[name] = (whole.columns, {
                "cross_section": SAMPLES[name].cross_section, "sum_of_weights": whole.sum_of_weights,
                "generated": whole.generated,
            })  # fmt: skip
    if {"nature_ttjets", "nature_ttH"} <= set(samples):
        columns, truth = mix(samples["nature_ttjets"], samples["nature_ttH"], seed=2026)
        about = {"luminosity": LUMINOSITY, "signal_scale": SIGNAL_SCALE}
        files |= {"data": (columns, about), "data_truth": (truth, about)}
    return files
