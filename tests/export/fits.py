"""A run whose fit has real templates, as an export reads it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from hepda.evaluation.fits.channels import Channel
from hepda.evaluation.fits.fitting import workspace
from hepda.evaluation.fits.templates import Templates
from hepda.events.fit.to_json import template_entry
from hepda.export.finished_run import ExportedRun
from hepda.results.fit_file import FitFile, FittedModel, RegionEntry, SystematicEntry, TemplateEntry
from hepda.runtime.run_directory import plain, write_json
from tests.plotting.fit.records import model, region

KIND: Any = SimpleNamespace(tables=lambda metrics: {}, labels=dict, config=None)
METRICS: Any = SimpleNamespace(name="small")


def region_of(channel: Channel, role: str = "signal", **changes: Any) -> RegionEntry:
    """A region with the templates of a channel; its contents before and after the fit are made up."""
    entries = {s.name: TemplateEntry.from_json(plain(template_entry(s))) for s in channel.samples}
    return region(channel.bins, role, edges=channel.edges.tolist(), templates=entries, **changes)


def fitted_run(
    folder: Path, templates: Templates, counts: np.ndarray, *, validation: tuple[Channel, ...] = (), **changes: Any
) -> ExportedRun:
    """A run of one fitted model, `net`, with its workspace; changes: of the fitted model."""
    regions = {c.name: region_of(c, observed=part.tolist())
               for c, part in zip(templates.channels, templates.parts(counts).values(), strict=True)}  # fmt: skip
    regions |= {c.name: region_of(c, "validation") for c in validation}
    write_json(folder / "workspace-net.json", workspace(templates, counts))
    fitted: FittedModel = model(regions=regions, **changes)
    how = {name: SystematicEntry(kind="shape", samples=[], how="") for name in templates.systematics}
    fits = FitFile(
        name="small", stamp="", seed=1, luminosity=1.0, source="simulation", toys=0, choices={}, systematics=how,
        models={"net": fitted},
    )  # fmt: skip
    return ExportedRun(folder, KIND, METRICS, fits)
