"""The objects of events that a refinement changes, by their branches, and which of them an analysis sees."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hepda.config.section import Columns, Positive, Section

TagBins = Annotated[int, Field(ge=2, le=50)]


class JetBranches(Section):
    """Branches of jets, a list for each event."""

    pt: str = "jet_pt"
    """The transverse momentum, in GeV."""
    eta: str = "jet_eta"
    """The pseudorapidity, which stays."""
    phi: str = "jet_phi"
    """The azimuth, which stays."""
    mass: str = "jet_mass"
    """The mass, in GeV."""
    tag: str | None = None
    """The bin of the flavour tag, an integer from 0 on: the number of working points that a jet passes; null: none."""
    tag_bins: TagBins = 5
    """The number of tag bins."""
    known: str | None = None
    """An integer that only simulation knows, such as the true flavour: the response may depend on it, and the target
    need not have it; null: none."""
    with_pt: Columns = ()
    """Further branches that are multiplied by the factor of pt, such as pt under variations of the energy scale."""


class MetBranches(Section):
    """Branches of the missing transverse momentum; it loses what the jets gain."""

    met: str = "met"
    """Its magnitude, in GeV."""
    phi: str = "met_phi"
    """Its azimuth."""
    variations: dict[str, str] = Field(default_factory=dict)
    """Further pairs of magnitude and azimuth that change in the same way, such as those under variations of the energy
    scale: `{met_jes_up: met_phi_jes_up}`."""


class SeenConfig(Section):
    """What an analysis sees of objects, where responses are learned; the analysis's selection judges."""

    threshold: Positive = 25.0
    """The pt from which jets are seen, in GeV."""
    ramp: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.04
    """The width of the threshold, as a fraction of it; within it a jet counts partly. The files need all jets down to
    the threshold less half of it."""
    jets: Annotated[int, Field(ge=0, le=100)] = 0
    """The least number of jets of an event."""
    tag: Annotated[int, Field(ge=0, le=50)] = 0
    """The lowest bin of a tagged jet."""
    tags: Annotated[int, Field(ge=0, le=100)] = 0
    """The least number of tagged jets of an event."""


class ObjectsConfig(Section):
    """The objects that are refined."""

    jets: JetBranches = JetBranches()
    """The jets."""
    met: MetBranches | None = MetBranches()
    """The missing transverse momentum; null: it is not there, or it stays."""
    seen: SeenConfig = SeenConfig()
    """Which of them the training looks at."""
