"""`hepda export --format workspace`: pyhf and cabinetry find the fit of hepda in the workspace and in its patches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyhf
import pytest

from hepda.errors import ConfigError
from hepda.evaluation.fits.fitting import fit
from hepda.evaluation.fits.studies.scan import scan
from hepda.evaluation.fits.templates import Templates
from hepda.export.finished_run import ExportedRun
from hepda.export.fits import templates_of
from hepda.export.workspace import STRENGTHS, write
from tests.evaluation.fits.regions import three_regions
from tests.export.fits import KIND, METRICS, fitted_run

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")


@pytest.fixture(scope="module")
def templates() -> Templates:
    return three_regions()


@pytest.fixture(scope="module")
def counts(templates: Templates) -> np.ndarray:
    return np.random.default_rng(11).poisson(templates.expected(1.4, {"ttb": 1.3, "jes": 0.5})).astype(float)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, templates: Templates, counts: np.ndarray) -> Path:
    folder = tmp_path_factory.mktemp("workspace")
    side = three_regions(validation=True).channels[-1]
    write(fitted_run(folder, templates, counts, validation=(side,)), folder / "out")
    return folder / "out"


def read(written: Path, name: str) -> Any:
    return json.loads((written / name).read_text())


def test_the_templates_of_fit_json_are_those_of_the_workspace(
    tmp_path: Path, templates: Templates, counts: np.ndarray
) -> None:
    run = fitted_run(tmp_path, templates, counts, validation=(three_regions(validation=True).channels[-1],))
    assert run.fit is not None
    again = templates_of(run.fit.models["net"])
    values = {"jes": 0.7, "light_rate": -1.3, "ttb": 1.2}
    np.testing.assert_allclose(again.expected(1.5, values), templates.expected(1.5, values), rtol=1e-12)
    assert again.systematics == templates.systematics and again.rates == templates.rates


def test_the_files_are_valid_and_free_mu_is_the_whole_workspace(written: Path) -> None:
    assert {path.name for path in written.iterdir()} == {"net.json", "net-background.json", "net-patchset.json"}
    whole = read(written, "net.json")
    pyhf.schema.validate(whole, "workspace.json")
    background = pyhf.Workspace(read(written, "net-background.json"))  # validated, as is the patchset
    patches = pyhf.PatchSet(read(written, "net-patchset.json"))
    patches.verify(background)
    assert patches.labels == ["mu"] and [p.values for p in patches] == [("free",), *((mu,) for mu in STRENGTHS)]
    assert dict(patches.apply(background, "mu_free")) == whole
    assert background.model().config.poi_name is None
    assert {s["name"] for c in background["channels"] for s in c["samples"]} == {"ttb", "ttlight"}


def test_pyhf_finds_the_fit_and_the_likelihood_of_fixed_strengths(
    written: Path, templates: Templates, counts: np.ndarray
) -> None:
    result = fit(templates, counts)
    expected = scan(templates, counts, points=np.array([0.5, 2.0]))
    background, patches = pyhf.Workspace(read(written, "net-background.json")), read(written, "net-patchset.json")
    backend = pyhf.get_backend()
    try:
        pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(strategy=1))
        heights = {}
        for name in ("mu_free", "mu_0p5", "mu_2"):
            patched = pyhf.PatchSet(patches).apply(background, name)
            model = patched.model()
            values, heights[name] = pyhf.infer.mle.fit(patched.data(model), model, return_fitted_val=True)
            if name == "mu_free":
                assert values[model.config.poi_index] == pytest.approx(result.mu, abs=1e-3)
    finally:
        pyhf.set_backend(*backend)
    rises = [float(heights[name] - heights["mu_free"]) for name in ("mu_0p5", "mu_2")]
    assert rises == pytest.approx(expected.rise.tolist(), abs=1e-2)


@pytest.mark.parametrize("patch", [None, "mu_free"])
def test_cabinetry_finds_the_fit(written: Path, templates: Templates, counts: np.ndarray, patch: str | None) -> None:
    cabinetry = pytest.importorskip("cabinetry")
    result = fit(templates, counts)
    content = read(written, "net.json")
    if patch is not None:
        patches = pyhf.PatchSet(read(written, "net-patchset.json"))
        content = dict(patches.apply(pyhf.Workspace(read(written, "net-background.json")), patch))
    model, data = cabinetry.model_utils.model_and_data(content)
    found = cabinetry.fit.fit(model, data)
    index = found.labels.index("mu")
    assert found.bestfit[index] == pytest.approx(result.mu, abs=1e-3)
    assert found.uncertainty[index] == pytest.approx(result.error, rel=1e-3)


def test_a_run_without_a_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no fit, which --format workspace writes"):
        write(ExportedRun(tmp_path, KIND, METRICS, None), tmp_path / "out")
    assert not (tmp_path / "out").exists()
