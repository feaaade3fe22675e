"""Uncertainties of mu by group, held against the curvature of fits whose group is fixed."""

from __future__ import annotations

import numpy as np
import pytest

from hepda.evaluation.fits.fitting import fit
from hepda.evaluation.fits.histfactory import Model
from hepda.evaluation.fits.profile import fit_strengths
from hepda.events.fit.to_json import correlation_entry, fit_entry
from hepda.events.results.tables.fit_groups import groups_table
from hepda.results.fit_file import CorrelationEntry, ErrorBudgetEntry, FitFile, SystematicEntry
from hepda.runtime.run_directory import plain
from tests.evaluation.fits.regions import three_regions
from tests.plotting.fit.records import fit_entry as made_up
from tests.plotting.fit.records import model

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")
KINDS = {"jes": "shape", "lumi": "norm", "light_rate": "norm", "tagging": "weight"}


def file_of(**changes: object) -> FitFile:
    systematics = {name: SystematicEntry(kind=kind, samples=[], how="") for name, kind in KINDS.items()}
    return FitFile(
        name="x", stamp="", seed=1, luminosity=1.0, source="simulation", toys=0, choices={}, systematics=systematics,
        models={"net": model(**changes)},
    )  # fmt: skip


def test_a_group_is_what_fixing_its_parameters_removes() -> None:
    templates = three_regions()
    result = fit(templates, templates.total())
    given = plain(fit_entry(result) | {"correlation": None})
    correlation = CorrelationEntry.from_json(plain(correlation_entry(result)))
    expected = made_up(1.0).model_copy(
        update={"parameters": made_up(1.0, parameters=given["parameters"]).parameters, "correlation": correlation}
    )
    table = groups_table(file_of(expected=expected))
    found = {row[1].text: (row[2].sort, row[3].sort) for row in table.rows}
    histfactory = Model.of(templates)
    best = fit_strengths(histfactory, histfactory.nominally(templates.total()[None]), last_step=True)
    variance = np.linalg.inv(best.hessian[0])[0, 0]
    for group, names in {
        "Normalisations": ("lumi", "light_rate"), "Varied events": ("jes",),
        "Weights": tuple(name for name in histfactory.names if name.startswith("tagging_")),
    }.items():  # fmt: skip
        kept = [i for i, name in enumerate(histfactory.parameters) if name not in names]
        fixed = np.linalg.inv(best.hessian[0][np.ix_(kept, kept)])[0, 0]
        count, part = found[group]
        assert count == len(names) and part == pytest.approx(np.sqrt(variance - fixed), rel=5e-3, abs=1e-4)
    assert found["Total"][1] == 0.3 and found["Data"][1] == 0.2


def test_without_a_fit_there_are_no_groups() -> None:
    nothing = ErrorBudgetEntry(total=None, data=None, systematics=None, simulation=None, why="no minimum")
    assert groups_table(file_of(error_budget=nothing)).rows == []
    names = [row[1].text for row in groups_table(file_of()).rows]  # a fit without correlations
    assert names == ["Data", "All systematics", "Free rates", "Simulation statistics", "Total"]
