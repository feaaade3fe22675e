"""`hepda export --format hepdata`: a table for each figure with numbers, accepted by HEPData's validator."""

from __future__ import annotations

import importlib
import pkgutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import hepda.plotting
from hepda.errors import ConfigError, DataError, MissingExtraError
from hepda.export import hepdata
from hepda.export.finished_run import ExportedRun
from hepda.export.hepdata import CONVERTERS, WITHOUT_TABLES, submission, tables_of
from hepda.export.hepdata.tables import Dependent, FigureTable, axis, bins, interval, names
from hepda.plotting.base.plot import DRAWS, Plot
from hepda.plotting.images import grid_figure
from hepda.runtime import figures
from hepda.runtime.figures import FigureText
from tests.evaluation.fits.regions import one_bin
from tests.export.fits import KIND, METRICS, fitted_run
from tests.export.plots import FOUR, PLOTS, band, feature
from tests.plotting.fit.records import parameters, region

validator = pytest.importorskip("hepdata_validator.full_submission_validator")
pytest.importorskip("hepdata_lib")


def drawn_by_hepda() -> set[str]:
    modules = [
        importlib.import_module(m.name) for m in pkgutil.walk_packages(hepda.plotting.__path__, "hepda.plotting.")
    ]
    return {
        f"{module.__name__}:{name}"
        for module in modules
        for name, thing in vars(module).items()
        if hasattr(thing, DRAWS) and thing.__module__ == module.__name__
    }


def test_every_figure_of_hepda_has_a_table_or_a_reason() -> None:
    assert drawn_by_hepda() == CONVERTERS.keys() | WITHOUT_TABLES.keys()
    assert not CONVERTERS.keys() & WITHOUT_TABLES.keys()
    names_of = {f"{plot.function.__module__}:{plot.function.__qualname__}" for plot in PLOTS.values()}
    assert names_of == CONVERTERS.keys()


def record(run: Path, plots: dict[str, Plot]) -> None:
    texts = [FigureText("scores", name, f"Title of {name}", "A caption.", False, plot.to_text())
             for name, plot in plots.items()]  # fmt: skip
    figures.record(run, "evaluate", texts, [], "1")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The figures of PLOTS, one without numbers, and a fit."""
    folder = tmp_path_factory.mktemp("hepdata")
    templates = one_bin(5.0, 50.0, rate=0.1)
    run = fitted_run(folder / "run", templates, templates.total())
    pixels = np.zeros((1, 2, 2, 3), dtype=np.uint8)
    record(run.folder, {**PLOTS, "grid": Plot.of(grid_figure, {"photographs": pixels})})
    here = Path.cwd()
    files = hepdata.write(run, folder / "out")
    assert Path.cwd() == here and not (here / "submission.tar.gz").exists()
    assert files[0] == folder / "out" / "submission.tar.gz" and {path.name for path in folder.iterdir()} == {
        "run",
        "out",
    }
    assert files[1:] == sorted((folder / "out" / "submission").iterdir())
    return folder / "out" / "submission"


def entries(written: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((written / "submission.yaml").read_text()))


def table(written: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((written / f"{name}.yaml").read_text())
    return content


def column(content: dict[str, Any], **of: str) -> list[dict[str, Any]]:
    (found,) = [
        c["values"]
        for c in content["dependent_variables"]
        if of.items() <= {q["name"].replace(" ", "_"): q["value"] for q in c.get("qualifiers", [])}.items()
    ]
    return list(found)


def test_hepdata_accepts_the_submission_and_its_archive(written: Path, tmp_path: Path) -> None:
    assert validator.FullSubmissionValidator().validate(directory=str(written))
    with tarfile.open(written.parent / "submission.tar.gz") as archive:
        inside = set(archive.getnames())
        archive.extractall(tmp_path, filter="data")
    assert inside == {path.name for path in written.iterdir()}
    assert validator.FullSubmissionValidator().validate(directory=str(tmp_path))


def test_each_figure_is_named_with_its_title_caption_and_energy(written: Path) -> None:
    head, *tables = entries(written)
    assert "the run small" in head["comment"]
    workspaces = [r for r in head["additional_resources"] if r.get("type") == "HistFactory"]
    assert [r["location"] for r in workspaces] == ["net.json", "net-background.json", "net-patchset.json"]
    assert workspaces[1]["description"] == "pyhf workspace of the fit of net, without signal"
    assert {entry["location"].removeprefix("Figure ") for entry in tables} == set(PLOTS)
    (of_roc,) = [entry for entry in tables if entry["name"] == "roc"]
    assert of_roc["description"] == "Title of roc. A caption." and of_roc["data_file"] == "roc.yaml"
    assert of_roc["keywords"] == [{"name": "cmenergies", "values": [13600.0]}]
    qualifiers = table(written, "roc")["dependent_variables"][0]["qualifiers"]
    assert qualifiers == [
        {"name": "Model", "value": "net"}, {"name": "SQRT(S)", "units": "GeV", "value": "13600"},
        {"name": "LUMINOSITY", "units": "fb$^{-1}$", "value": "140"},
    ]  # fmt: skip


def test_a_roc_curve_has_its_numbers_and_intervals(written: Path) -> None:
    content = table(written, "roc")
    (x,) = content["independent_variables"]
    assert [v["value"] for v in x["values"]] == pytest.approx(band().signal_efficiency.tolist())
    for model, factor in (("net", 1.0), ("bdt", 0.8)):
        for value, expected in zip(column(content, Model=model), band(factor).background_efficiency, strict=True):
            assert value["value"] == pytest.approx(expected, rel=1e-7)
            (error,) = value["errors"]
            assert error["label"] == "68.27 % interval"
            assert error["asymerror"] == pytest.approx({"minus": -0.1 * expected, "plus": 0.2 * expected}, rel=1e-6)


def test_purities_correlations_and_separations_are_those_of_their_figures(written: Path) -> None:
    expected = 0.2 * band().signal_efficiency / (0.2 * band().signal_efficiency + 0.8 * band().background_efficiency)
    assert [v["value"] for v in column(table(written, "purity"), Model="net")] == pytest.approx(expected, rel=1e-7)
    content = table(written, "inputs")
    pairs = [[v["value"] for v in axis["values"]] for axis in content["independent_variables"]]
    assert pairs == [["ht", "ht", "met", "met"], ["ht", "met", "ht", "met"]]
    assert [v["value"] for v in column(content, Events="background")] == [1.0, -0.3, -0.3, 1.0]
    content = table(written, "separation")
    assert [v["value"] for v in content["dependent_variables"][0]["values"]] == [0.25]


def test_few_labels_have_each_last_layer_and_the_trained_one(written: Path) -> None:
    content = table(written, "few_labels")
    assert [v["value"] for v in content["independent_variables"][0]["values"]] == [1, 10, 100, 1000]
    refit = column(content, Last_layer="refit")
    assert [v["value"] for v in refit] == FOUR.tolist() and refit[1]["errors"][0]["asymerror"]["plus"] > 0
    assert [v["value"] for v in column(content, Last_layer="as trained")] == [0.85] * 4


def test_few_shots_have_the_classes_as_they_are_and_dealt_at_random(written: Path) -> None:
    content = table(written, "few_shots")
    assert [v["value"] for v in content["independent_variables"][0]["values"]] == ["channel attention"]
    (real,), (dealt,) = (column(content, Classes=text) for text in ("as they are", "dealt at random"))
    assert (real["value"], dealt["value"]) == (0.6, 0.3)


def test_a_histogram_has_bins_units_errors_and_no_hidden_data(written: Path) -> None:
    content = table(written, "feature")
    (x,) = content["independent_variables"]
    assert x["header"] == {"name": "$H_T$", "units": "GeV"} and x["values"][1] == {"low": 0.25, "high": 0.5}
    stacked = column(content, Process="tt")
    assert [v["value"] for v in stacked] == (10 * FOUR).tolist()
    assert stacked[0]["errors"] == [{"label": "statistical", "symerror": pytest.approx(np.sqrt(10.0))}]
    assert [v["value"] for v in column(content, Process="Total")] == (11 * FOUR).tolist()
    data = column(content, Process="data")
    assert [v["value"] for v in data] == [10.0, 20.0, 40.0, "-"] and "errors" not in data[-1]
    down, up = feature().data.histogram.interval()  # type: ignore[union-attr]
    assert data[0]["errors"][0]["asymerror"] == pytest.approx({"minus": -down[0], "plus": up[0]}, rel=1e-6)


def test_the_fit_has_yields_pulls_and_biases(written: Path) -> None:
    shown = region(4)
    content = table(written, "region")
    assert content["independent_variables"][0]["header"] == {"name": "$H_T$", "units": "GeV"}
    for stage, contents in (("pre-fit", shown.prefit), ("post-fit", shown.postfit)):
        assert contents is not None
        found = column(content, Process="Total", Stage=stage)
        assert [v["value"] for v in found] == pytest.approx(list(contents.total), rel=1e-7)
        assert [v["errors"][0]["symerror"] for v in found] == pytest.approx(list(contents.error), rel=1e-7)
    assert [v["value"] for v in column(content, Process="Data")] == shown.observed
    summary = table(written, "summary")
    assert [v["value"] for v in column(summary, Process="Data")][1] == "-"  # blinded
    pulls = table(written, "parameters_pulls")
    assert [v["value"] for v in pulls["independent_variables"][0]["values"]] == [
        p.name for p in parameters() if p.pull is not None
    ]
    closed = table(written, "closure_mu_1")
    first, second = column({"dependent_variables": closed["dependent_variables"][:1]}, Data="third")
    assert first["value"] == pytest.approx(-0.1) and second["value"] == "-"
    assert [(e["label"], e["symerror"]) for e in first["errors"]] == [("fit", 0.3), ("finite pseudo-data", 0.05)]
    scan = table(written, "scan")
    assert [v["value"] for v in column(scan, Other_parameters="profiled")] == [1.0, 0.0, "-"]


def test_pairs_of_classes_and_of_parameters_have_two_axes(written: Path) -> None:
    content = table(written, "confusion")
    true, predicted = ([v["value"] for v in axis_["values"]] for axis_ in content["independent_variables"])
    assert (true, predicted) == (["a", "a", "b", "b"], ["a", "b", "a", "b"])
    assert [v["value"] for v in column(content, Share="of the true class")] == [0.8, 0.2, 0.3, 0.7]
    content = table(written, "correlations")
    assert [v["value"] for v in content["dependent_variables"][0]["values"]] == [1.0, -0.3, -0.3, 1.0]


def test_curves_without_a_common_axis_are_tables_of_their_own(written: Path) -> None:
    loss = sorted(path.stem for path in written.glob("training*.yaml"))
    assert loss == ["training_class_loss_net_training_0", "training_class_loss_net_training_1"]
    assert [v["value"] for v in column(table(written, loss[0]), Series="training")] == [0.7, 0.6, "-"]


def test_names_are_short_and_unique(tmp_path: Path) -> None:
    one = FigureTable([names("x", ["a"])], [Dependent("y", [1.0])])
    named = [submission.NamedTable("long_" * 20, "t", "c", one)] * 3
    files = submission.write_submission(named, "comment", tmp_path / "out")
    stems = [path.stem for path in files if path.suffix == ".yaml" and path.stem != "submission"]
    assert len(set(stems)) == 3 and max(map(len, stems)) <= 64


def test_what_hepdata_does_not_accept_is_not_written(tmp_path: Path) -> None:
    wrong = FigureTable([axis("x", [1.0, 2.0])], [Dependent("y", [1.0])])
    with pytest.raises(DataError, match="not what HEPData accepts"):
        submission.write_submission([submission.NamedTable("f", "t", "c", wrong)], "comment", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ExportedRun(tmp_path, KIND, METRICS, None)
    with pytest.raises(ConfigError, match="has no data of figures; `hepda evaluate"):
        hepdata.write(run, tmp_path / "out")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"hepda\[hepdata\]"):
        hepdata.write(run, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_tables_are_those_of_the_kept_figure() -> None:
    """A figure that is read from its text has the same tables, with None where there is no number."""
    for plot in PLOTS.values():
        assert tables_of(Plot.from_text(plot.to_text())) == tables_of(plot)
    assert bins("x [GeV]", [0, 1, 2]).values == [(0.0, 1.0), (1.0, 2.0)] and bins("x [GeV]", [0, 1]).units == "GeV"
    assert interval([1.0, None], [0.5, 0.0], [2.0, 1.0]).values == [(-0.5, 1.0), None]
