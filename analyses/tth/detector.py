"""The parametrised detector of the example: response to jets and flavour tags. Needs numpy alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TAG_BINS = 5  # pseudo-continuous: 0 untagged, 1..4 pass the 85, 77, 70, 60 % working points
B_EFFICIENCY = np.array([0.85, 0.77, 0.70, 0.60])
C_EFFICIENCY = np.array([0.38, 0.19, 0.10, 0.045])
LIGHT_EFFICIENCY = np.array([0.036, 0.0090, 0.0029, 0.0008])
TAGGED = 2  # "b-tagged" in the preselection: passes the 77 % working point
LEPTON_PT, LEPTON_ETA, JET_PT, JET_ETA, MIN_JETS, MIN_TAGS = 27.0, 2.5, 25.0, 2.5, 5, 2


@dataclass(frozen=True)
class Detector:
    """Response of the detector to a jet; `nature` differs from the simulation in every entry."""

    jet_scale: float = 1.0
    jet_resolution: float = 1.0
    b_efficiency: float = 1.0
    light_mistag: float = 1.0
    pileup: float = 32.0  # mean number of interactions

    def tag_efficiency(self, pt: np.ndarray, flavour: np.ndarray) -> np.ndarray:
        """P(jet passes each of the four working points), [n, 4]; falls at low and at high pt."""
        shape = np.clip(1.04 - 0.16 * np.exp(-(pt - 20) / 25) - 0.0003 * pt, 0.5, 1.0)[:, None]
        b = B_EFFICIENCY * self.b_efficiency * shape
        c = C_EFFICIENCY * self.b_efficiency * shape
        light = LIGHT_EFFICIENCY * self.light_mistag * (0.8 + 0.004 * np.minimum(pt, 300))[:, None]
        return np.where((flavour == 5)[:, None], b, np.where((flavour == 4)[:, None], c, light))

    def resolution(self, pt: np.ndarray, pileup: np.ndarray) -> np.ndarray:
        """Relative width of the jet response: noise (with pile-up), stochastic and constant term."""
        noise = 2.0 + 0.06 * pileup
        return self.jet_resolution * np.sqrt((noise / pt) ** 2 + 0.75**2 / pt + 0.05**2)


SIMULATION = Detector()
REALITY = Detector(jet_scale=1.02, jet_resolution=1.10, b_efficiency=0.95, light_mistag=1.20, pileup=34.0)


def scale_shift(pt: np.ndarray) -> np.ndarray:
    """Uncertainty of the energy scale of jets, GeV: 3 % at 25 GeV, 1.5 % at 100 GeV."""
    return pt * (0.01 + 0.5 / np.maximum(pt, 10.0))
