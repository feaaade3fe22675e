"""The figures of `hepda fit`: which there are of a fit, their texts, and a toy figure as a line of a registry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from matplotlib.figure import Figure

from hepda.config import load_config
from hepda.events.fit import figures
from hepda.events.fit.figures import ClosureData, ModelFitData, closure_drawings, model_drawings
from hepda.events.resolve import appearance
from hepda.events.specs import Appearance
from hepda.plotting.base.plot import Plot
from hepda.report.drawing import Drawing, texts_of
from hepda.results.fit_file import ClosureVariants, ControlFitEntry, CorrelationEntry, FittedModel, ScanEntry
from tests.factory import analysis
from tests.plotting.fit.records import closed, fit_entry, impact, model, parameters, region

SAMPLES = {
    "ttH": {"files": "a.root", "class": "signal", "domain": "simulation", "scale": 30, "label": r"$t\bar{t}H$"},
    "ttb": {"files": "b.root", "class": "background", "domain": "simulation", "color": "#717581"},
    "ttlight": {"files": "c.root", "class": "background", "domain": "simulation"},
    "pseudo": {"files": "d.root", "domain": "data", "label": "pseudo-data"},
}
FIT = {"regions": {"four_b": {"label": r"$\geq$4 b"}, "two_b": {"role": "control", "variable": "ht", "bins": 3}}}


@pytest.fixture
def looks(tmp_path: Path) -> Appearance:
    content = analysis(
        samples=SAMPLES, models={"net": {"kind": "bdt"}}, fit=FIT, evaluation={},
        systematics={"ttb_rate": {"kind": "free", "samples": "ttb", "label": "b rate"}},
    )  # fmt: skip
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return appearance(load_config(path))


def fitted(**changes: Any) -> FittedModel:
    names, size = [p.name for p in parameters(statistics=0)], 6
    matrix = [[1.0 if i == j else 0.1 for j in range(size)] for i in range(size)]
    entry = fit_entry(1.2, correlation=CorrelationEntry(names=names, matrix=matrix))
    scan = ScanEntry(parameter="mu", values=[0.0, 1.0, 2.0], twice_delta_nll=[9.0, 0.4, 7.0], fixed=[20.0, 1.0, 18.0],
                     best=1.2, error=0.3)  # fmt: skip
    closure = ClosureVariants(without_two_point={"simulation": [closed(1.0, 1.0)]}, all={"simulation": []})
    return model(**({"expected": entry, "observed": entry, "scan": scan, "closure": closure} | changes))


def test_a_fit_to_data_has_every_figure(looks: Appearance) -> None:
    drawings = model_drawings(looks, "net", fitted())
    assert [drawing.name for drawing in drawings] == [
        "fit_summary_net", "fit_region_net_four_b", "fit_region_net_two_b", "fit_region_net_three_b", "fit_pulls_net",
        "fit_impacts_net", "fit_correlations_net", "fit_scan_net",
    ]  # fmt: skip
    together = closure_drawings(looks, "simulation", {"net": fitted()})
    assert [drawing.name for drawing in together] == ["fit_bias_without_two_point", "fit_strengths"]
    texts = texts_of([*drawings, *together])
    assert texts.failed == [] and len(texts.figures) == len(drawings) + len(together)
    for figure in texts.figures:
        assert Plot.from_text(figure.text).to_text() == figure.text
        Plot.from_text(figure.text).draw()


def test_texts_and_looks_are_those_of_the_analysis_file(looks: Appearance) -> None:
    fit = ModelFitData(looks, "net", fitted())
    region_of_score = fit.fitted.regions["four_b"]
    texts = fit.texts("four_b", region_of_score)
    assert (texts.title, texts.variable, texts.data) == (r"$\geq$4 b", "Score of net", "Pseudo-data")
    assert texts.after == ("Post-fit", r"$\hat{\mu}$ = 1.20 ± 0.30, goodness of fit (saturated) 3.0 / 5, p = 0.70")
    of_ht = fit.texts("two_b", fit.fitted.regions["two_b"])
    assert (of_ht.title, of_ht.variable, of_ht.unit) == ("two b", "$H_T$", "GeV")
    assert fit.look.labels == {"ttH": r"$t\bar{t}H$"} and fit.look.colours == {"ttb": "#717581"}
    assert fit.look.signal == ("ttH",) and fit.look.order == ("ttH", "ttb", "ttlight")
    assert (fit.label().status, fit.label().note) == ("Pseudo-data", "signal × 30")


def test_a_blinded_fit_says_that_it_is_one_to_asimov_data(looks: Appearance) -> None:
    blinded = {"four_b": region(observed=None, blinded={"data": "blinded"})}
    control = ControlFitEntry(domain="data", regions=["two_b"], parameters=parameters()[1:])
    expected = fitted(observed=fit_entry(None, parameters=None), regions=blinded, control=control)
    fit = ModelFitData(looks, "net", expected)
    assert fit.texts().after == ("Post-fit, Asimov data", r"$\hat{\mu}$ = 1.20 ± 0.30")
    assert fit.label().status == "Simulation"
    names = [drawing.name for drawing in model_drawings(looks, "net", expected)]
    assert "fit_control_pulls_net" in names and "fit_summary_net" not in names
    assert "Data are blinded." in model_drawings(looks, "net", expected)[0].caption


def test_a_fit_without_minimum_has_no_figures_and_one_without_impacts_no_ranking(looks: Appearance) -> None:
    assert model_drawings(looks, "net", fitted(expected=fit_entry(None), observed=fit_entry(None))) == []
    names = [d.name for d in model_drawings(looks, "net", fitted(impacts=[], scan=None))]
    assert not {"fit_impacts_net", "fit_scan_net"} & set(names)
    assert impact("x").size == 0.25


def toy(data: ClosureData) -> Iterator[Drawing]:
    yield Drawing("fit", "toy", f"{len(data.models)} models", "", lambda: Plot(Figure))


def test_a_toy_figure_is_a_function_and_a_line(looks: Appearance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(figures.CLOSURE_FIGURES, "toy", f"{__name__}:toy")
    assert closure_drawings(looks, "simulation", {"net": fitted()})[-1].title == "1 models"
