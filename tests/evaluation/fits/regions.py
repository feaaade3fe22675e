"""Templates to test fits with: three samples, four systematics, statistics of the simulation."""

import numpy as np

from hepda.evaluation.fits.channels import Channel, SampleTemplate
from hepda.evaluation.fits.templates import Templates


def region(scale=1.0, bins=8, statistics=0.02, systematics=True):
    """A falling background, a rising signal; scale: luminosity; statistics: sumw2 / sumw of the simulation."""
    x = np.linspace(0, 1, bins)
    contents = {
        "ttH": scale * 60 * (0.2 + x**2),
        "ttjets": scale * (2000 * np.exp(-3.5 * x) + 15),
        "ttZ": scale * (60 * np.exp(-x) + 3),
    }
    shapes = {
        "jes": (1 + 0.03 * np.sin(1 + 3 * x), 1 - 0.02 * np.sin(1 + 3 * x)),
        "generator": (1 + 0.05 * (x - 0.3), 1 - 0.05 * (x - 0.3)),
    }
    affected = {"jes": ("ttH", "ttjets", "ttZ"), "generator": ("ttjets",)}
    norms = {"lumi": ((1.02, 0.98), ("ttH", "ttjets", "ttZ")), "tt_rate": ((1.1, 0.92), ("ttjets",))}

    def sample(name):
        h = contents[name]
        varied = {n: (h * up, h * down) for n, (up, down) in shapes.items() if name in affected[n] and systematics}
        rates = {n: factors for n, (factors, samples) in norms.items() if name in samples and systematics}
        return SampleTemplate(name, name == "ttH", h, statistics * h * scale, varied, rates)

    return Templates.of_one("score", np.linspace(0, 1, bins + 1), tuple(sample(name) for name in contents))


def one_bin(signal, background, *, background_error=0.0, rate=None):
    """A counting experiment; background_error: absolute, of the simulation; rate: relative, a systematic."""
    norms = {} if rate is None else {"rate": (1 + rate, 1 - rate)}
    return Templates.of_one(
        "score",
        np.array([0.0, 1.0]),
        (
            SampleTemplate("signal", True, np.array([signal]), np.zeros(1)),
            SampleTemplate("background", False, np.array([background]), np.array([background_error**2]), {}, norms),
        ),
    )


def three_regions(scale=1.0, statistics=0.02, free=("ttb",), validation=False):
    """Regions of different composition (4, 3, 2 bins) with free rates; rates of jes differ between regions.

    With `validation` there is a further region of two bins that no fit uses.
    """
    compositions = {
        "few_tags": {"ttH": 8.0, "ttb": 60.0, "ttlight": 3000.0},
        "three_tags": {"ttH": 30.0, "ttb": 300.0, "ttlight": 600.0},
        "four_tags": {"ttH": 25.0, "ttb": 120.0, "ttlight": 20.0},
        "side": {"ttH": 5.0, "ttb": 90.0, "ttlight": 100.0},
    }
    slopes = {"ttH": 1.2, "ttb": 0.2, "ttlight": -1.5}
    bins = {"few_tags": 4, "three_tags": 3, "four_tags": 2, "side": 2}

    def sample(name, region, number):
        x = np.linspace(0, 1, bins[region])
        h = scale * compositions[region][name] * np.exp(slopes[name] * x) / bins[region]
        jes = 0.02 + 0.02 * number
        shapes = {"jes": (h * (1 + jes + 0.04 * x), h * (1 - jes - 0.03 * x))}
        norms = {"lumi": (1.02, 0.98)}
        if name == "ttlight":
            norms["light_rate"] = (1.1, 0.92)
            shapes[f"tagging_{region}"] = (h * (1 + 0.06 * (x - 0.4)), h * (1 - 0.06 * (x - 0.4)))
        return SampleTemplate(
            name, name == "ttH", h, statistics * h * scale, shapes, norms, name if name in free else None
        )

    names = [name for name in compositions if name != "side" or validation]
    return Templates(
        tuple(
            Channel(name, np.arange(bins[name] + 1.0), tuple(sample(s, name, k) for s in slopes))
            for k, name in enumerate(names)
        )
    )
