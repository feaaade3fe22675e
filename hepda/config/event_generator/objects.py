"""The objects of events that a generator draws, by their branches."""

from __future__ import annotations

from hepda.config.refinement.objects import TagBins
from hepda.config.section import Columns, Positive, Section


class GeneratedJets(Section):
    """Branches of jets, a list for each event, which fall in pt."""

    pt: str = "jet_pt"
    """The transverse momentum, in GeV."""
    eta: str = "jet_eta"
    """The pseudorapidity."""
    phi: str = "jet_phi"
    """The azimuth."""
    mass: str = "jet_mass"
    """The mass, in GeV."""
    tag: str | None = None
    """The bin of the flavour tag, an integer from 0 on, which is not drawn but taken from an event; null: none."""
    tag_bins: TagBins = 5
    """The number of tag bins."""
    flavour: str | None = None
    """The true flavour (5, 4 or another number), which is taken from an event as well; null: none."""


class GeneratedLepton(Section):
    """Branches of the lepton, a number for each event; azimuths are drawn relative to its own."""

    pt: str = "lepton_pt"
    """The transverse momentum, in GeV."""
    eta: str = "lepton_eta"
    """The pseudorapidity."""
    phi: str = "lepton_phi"
    """The azimuth."""
    threshold: Positive = 25.0
    """The pt, in GeV, above which it is in all events."""

    @property
    def names(self) -> tuple[str, str, str]:
        """The branches."""
        return self.pt, self.eta, self.phi


class GeneratedMet(Section):
    """Branches of the missing transverse momentum."""

    met: str = "met"
    """Its magnitude, in GeV."""
    phi: str = "met_phi"
    """Its azimuth."""


class EventObjectsConfig(Section):
    """The objects that are drawn. Other branches stay those of the event whose structure is taken."""

    jets: GeneratedJets = GeneratedJets()
    """The jets."""
    lepton: GeneratedLepton = GeneratedLepton()
    """The lepton."""
    met: GeneratedMet = GeneratedMet()
    """The missing transverse momentum."""
    threshold: Positive = 25.0
    """The pt from which jets are drawn, in GeV; softer ones are left out. It is that of the analysis's features."""
    flavour_class: Columns = ()
    """Branches of numbers of additional quarks of a flavour: the first of them that is above 0 is the class of the
    event, which the network is told."""
