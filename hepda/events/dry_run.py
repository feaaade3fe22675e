"""What a training of events would read and train, from the analysis file and the heads of its files alone."""

from __future__ import annotations

from hepda.config import BdtConfig, EventFusionConfig
from hepda.events.files.locations import expand, is_remote, size_of
from hepda.events.files.opening import open_file, tree_of
from hepda.events.specs import DatasetSpec, ModelSpec
from hepda.kinds import PlannedModel, PlannedRun

MOST_OPENED = 20
"""Files of a sample that are opened to count their entries; of more, the others are taken to be as dense."""


def planned(spec: DatasetSpec) -> PlannedRun:
    """Return what `hepda train` would read and train; the heads of local files are read, and no event.

    Raises:
        SourceError: a file does not exist or cannot be opened.

    """
    lines, entries = [], {}
    for name, sample in spec.samples.items():
        paths = expand(sample.files, f"samples.{name}.files")
        entries[name] = _entries(paths, sample.tree or spec.tree)
        sizes = [size for size in map(size_of, paths) if size is not None]
        size = f", {sum(sizes) / 1e6:.1f} MB" if len(sizes) == len(paths) else ""
        count = "entries unknown: remote files are not opened" if entries[name] is None else f"{entries[name]} entries"
        files = paths[0] if len(paths) == 1 else f"{len(paths)} files, {paths[0]} ..."
        lines.append(f"{name}: {files}, {count}{size}")
    trained = [_model(spec, model, entries) for model in spec.models.values()]
    return PlannedRun(lines, trained, "Before any selection: what is selected is less, and so is the time.")


def _entries(paths: list[str], tree: str | None) -> int | None:
    """Return the entries of the files, of many in proportion to their bytes; None for remote files."""
    if any(map(is_remote, paths)):
        return None
    opened = paths[:MOST_OPENED]
    counted = 0
    for path in opened:
        with open_file(path) as file:
            counted += tree_of(file, path, tree).entries
    bytes_of = [sum(size_of(path) or 0 for path in some) for some in (opened, paths)]
    return counted if len(opened) == len(paths) else round(counted * bytes_of[1] / max(bytes_of[0], 1))


def _model(dataset: DatasetSpec, spec: ModelSpec, entries: dict[str, int | None]) -> PlannedModel:
    """Return the trainings of a model, and the rows that one of them sees in all epochs."""
    counted = [entries[name] for name in spec.samples]
    share = (1 - 1 / spec.folds) * (1 - dataset.split.validation)
    trained = None if None in counted else sum(n or 0 for n in counted) * share
    section = spec.section
    if isinstance(section, EventFusionConfig):
        return PlannedModel(spec.name, section.kind, 0)
    if isinstance(section, BdtConfig):
        rows = None if trained is None else trained * section.iterations
        return PlannedModel(spec.name, section.kind, spec.folds, rows)
    training, domain = section.training, spec.domain_loss
    targets = 0.0 if domain is None else domain.target_size(training.batch_size) / training.batch_size
    rows = None if trained is None else trained * training.epochs * (1.0 + targets)
    layers = section.encoder if isinstance(section.encoder, tuple) else None
    widths = None if layers is None else (len(dataset.features), *layers)
    return PlannedModel(spec.name, section.kind, spec.folds * spec.members, rows, widths, training.epochs)
