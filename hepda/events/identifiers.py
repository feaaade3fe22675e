"""The role of a branch by its name: the number of an event, of a run, of a sample, a label, a weight.

Such a branch must not be a feature: a model that reads it learns the event, sample or class, and nothing about
physics. `hepda init` proposes none of them; `hepda check` and `hepda train` warn if one is a feature.
"""

from __future__ import annotations

import re

RUN = "run"
EVENT = "event"
ROLES: dict[str, str] = {
    RUN: "the number of a run",
    EVENT: "the number of an event",
    "lumi": "the number of a luminosity block",
    "entry": "the number of a row or another identifier",
    "time": "the time or the bunch crossing of an event",
    "sample": "an identifier of the sample of an event",
    "label": "a label of the class",
    "weight": "an event weight",
}
"""The roles of `role_of`, with descriptions for messages."""

# Names in lower case, without dots, blanks and underscores: evt_num, EvtNum and evtnum are equal.
_TEXTS = {
    RUN: "run runnumber runnum runno runnr runnb runid nrun irun therun",
    EVENT: (
        "event eventnumber eventnum eventno eventnr eventnb eventid eventidx eventindex eventcounter evt evtnumber "
        "evtnum evtno evtnr evtid evtidx evtindex evid evnum evnumber evno evtcounter ievt ievent theevent nevt nevent "
        "mceventnumber geneventnumber"
    ),
    "lumi": (
        "lumi lumis lumiblock lumiblocknumber lumisec lumisection lumisectionnumber luminosityblock lumiid luminumber "
        "nlumi lumibl lb lbn lbnumber ls"
    ),
    "entry": (
        "entry entryid entrynumber entryno entryindex ientry nentry jentry rdfentry row rowid rownumber index idx "
        "id uid uuid guid hash key unnamed0 level0 serial serialnumber counter"
    ),
    "time": (
        "bx bxid bcid bunch bunchcrossing bunchcrossingid bunchid orbit orbitnumber orbitid timestamp timestampns "
        "timestampnsoffset eventtime eventtimestamp unixtime gpstime"
    ),
    "sample": (
        "dsid datasetid datasetnumber dataset datasetname mcchannelnumber mcchannel channelnumber mcid sample sampleid "
        "sampleidx sampleindex samplenumber samplename sampletype process processid processidx processindex procid "
        "processname fileid fileindex filenumber isdata ismc issim issimulation isrealdata xsec xsection crosssection "
        "kfactor filterefficiency genfiltereff filtereff sumw sumweights sumofweights lumiweight nprocessed "
        "domain domainid"
    ),
    "label": (
        "label labels target targets class classid classlabel classindex truthlabel ytrue groundtruth issignal issig "
        "isbackground isbkg isbg signal background bkg signalflag islabel eventclass eventlabel"
    ),
    "weight": "w wt wgt wts wgts weights evtw eventw",
}
_NAMES = {role: frozenset(text.split()) for role, text in _TEXTS.items()}
_ENDS = {"runnumber": RUN, "eventnumber": EVENT, "lumiblock": "lumi", "channelnumber": "sample"}
_WEIGHT_WORD = re.compile(r"weight|scale_?factor", re.IGNORECASE)
_WEIGHT_PARTS = frozenset({"wt", "wgt", "wts", "wgts", "sf", "sfs"})  # without w: m_w is the mass of a W
_ID_PARTS = frozenset({"id", "idx", "index", "hash", "uuid"})
_OF_PARTICLES = re.compile(r"puppi", re.IGNORECASE)
"""Weights of particles in a jet are measurements, not weights of events."""


def role_of(name: str) -> str | None:
    """Return the role of a branch by the last part of its name (`EventInfo.runNumber` is a run), or None.

    The role is a key of ROLES.
    """
    last = re.split(r"[./]", name.rstrip("./"))[-1]
    reduced = re.sub(r"[\W_]", "", last).lower()
    for role, names in _NAMES.items():
        if reduced in names:
            return role
    for end, role in _ENDS.items():
        if reduced.endswith(end):
            return role
    words = _words(last)
    if not _OF_PARTICLES.search(last) and (_WEIGHT_WORD.search(last) or _WEIGHT_PARTS & {*words}):
        return "weight"
    if words and words[0] in ("lumi", "lumiblock", "luminosity"):
        return "lumi"
    if words and (words[0] in ("bcid", "bx", "orbit") or words[-1] in ("bcid", "bx", "timestamp")):
        return "time"
    return None


def is_identifier(name: str) -> bool:
    """Return whether the last part of a name has a word such as id, index or hash (Jet_genJetIdx, index_ref)."""
    return not _ID_PARTS.isdisjoint(_words(re.split(r"[./]", name.rstrip("./"))[-1]))


def _words(name: str) -> list[str]:
    """Return the words of a name in lower case: `puWeight_up`, `PuWeightUp` -> pu, weight, up."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]
