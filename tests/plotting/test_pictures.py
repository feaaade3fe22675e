"""Four figures as pictures: whatever changes their look has to change a picture of this folder.

After an intended change, make the pictures again and look at them:

    pytest tests/plotting/test_pictures.py --mpl-generate-path=tests/plotting/pictures
"""

from __future__ import annotations

import numpy as np
import pytest

from hepda.evaluation.roc import rocs
from hepda.plotting.base.style import STYLE, Label
from hepda.plotting.fit.correlations import correlation_figure
from hepda.plotting.fit.parameters import parameters_figure
from hepda.plotting.scores.roc import roc_figure
from hepda.plotting.scores.shapes import score_histogram, shape_figure
from hepda.results.fit_file import CorrelationEntry
from tests.plotting.fit.records import parameters

LABEL = Label("Simulation", 0.6)
# Libraries of fonts differ by fractions of a grey level; a line that moves by a pixel gives more than 5.
compared = pytest.mark.mpl_image_compare(baseline_dir="pictures", style=STYLE, tolerance=3, savefig_kwargs={"dpi": 100})


@pytest.fixture(scope="module")
def events() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    label = np.repeat([0, 1], 4000)
    return {
        "label": label,
        "network": 1 / (1 + np.exp(-rng.normal(2.0 * label - 1.0, 1.2))),
        "dann": 1 / (1 + np.exp(-rng.normal(1.4 * label - 0.7, 1.0))),
        "weight": np.where(rng.random(8000) < 0.1, -1.0, 1.0),
    }


@compared
def test_roc(events):
    scores = {model: events[model] for model in ("network", "dann")}
    curves = rocs(scores, events["label"], events["weight"], reference="network", replicas=50)
    bands = {model: band for model, (_, band) in curves.items()}
    auc = {model: curve.auc for model, (curve, _) in curves.items()}
    return roc_figure(bands, reference="network", auc=auc, label=LABEL)


@compared
def test_score(events):
    background = events["label"] == 0
    nominal = score_histogram(events["network"][background], events["weight"][background])
    alternative = score_histogram(events["network"][background] ** 1.1, events["weight"][background])
    signal = score_histogram(events["network"][~background], events["weight"][~background])
    return shape_figure(
        {"simulation": nominal, "alternative": alternative}, reference="simulation", model="network",
        class_name="background", context={"signal": signal}, label=LABEL,
    )  # fmt: skip


@compared
def test_parameters():
    return parameters_figure(parameters(), label=LABEL)


@compared
def test_correlations():
    fitted = parameters()
    angles = np.linspace(0.0, 3.0, len(fitted))
    entry = CorrelationEntry(names=[p.name for p in fitted], matrix=np.cos(angles[:, None] - angles).tolist())
    return correlation_figure(entry, fitted, label=LABEL)
