"""Tables as a submission of HEPData, by hepdata_lib, checked by HEPData's own validator."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hepda.errors import DataError, writing
from hepda.export.hepdata.tables import Axis, Dependent, FigureTable
from hepda.plotting.base.style import Label

DIGITS = 8
"""Significant digits of numbers."""
MISSING = "-"
"""What HEPData shows where there is no number."""
_LONGEST = 64  # characters of a name


@dataclass(frozen=True, slots=True)
class NamedTable:
    """A table of a figure with what HEPData says about it.

    figure: name of the figure; title, caption: of the figure; label: the line above its axes.
    """

    figure: str
    title: str
    caption: str
    table: FigureTable
    label: Label | None = None


def write_submission(
    tables: Sequence[NamedTable], comment: str, folder: Path, resources: Mapping[Path, str] | None = None
) -> list[Path]:
    """Write submission.tar.gz, which HEPData reads, and what it contains: submission.yaml and a YAML for each table.

    Args:
        tables: the tables.
        comment: text at the top, in place of the abstract.
        folder: a new folder.
        resources: files that are added, each with its description.

    Raises:
        DataError: the files are not what HEPData accepts; nothing is left.

    """
    from hepdata_lib import Submission

    submission = Submission()
    submission.comment = comment
    for path, description in (resources or {}).items():
        submission.add_additional_resource(description, str(path), copy_file=True, file_type="HistFactory")
    for name, table in zip(_unique_names(tables), tables, strict=True):
        submission.add_table(_table(name, table))
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
            made = Path(temporary) / "made"
            files = made / "submission"
            # hepdata_lib writes its archive where the process is, and its remarks to the terminal
            with chdir(temporary), redirect_stdout(io.StringIO()):
                submission.create_files(str(files), validate=False)
            _validate(files)
            (Path(temporary) / "submission.tar.gz").replace(made / "submission.tar.gz")
            made.rename(folder)
    return [folder / "submission.tar.gz", *sorted((folder / "submission").iterdir())]


def _validate(folder: Path) -> None:
    from hepdata_validator.full_submission_validator import FullSubmissionValidator

    validator = FullSubmissionValidator()
    with redirect_stdout(io.StringIO()):
        valid = validator.validate(directory=str(folder))
    if not valid:
        found = [f"{Path(name).name}: {m.message}" for name, of in validator.get_messages().items() for m in of]
        raise DataError("the tables are not what HEPData accepts: " + "; ".join(found[:3]))


def _unique_names(tables: Iterable[NamedTable]) -> list[str]:
    """Return a name of each table, which is that of its file as well."""
    used: set[str] = set()
    found = []
    for table in tables:
        whole = f"{table.figure}_{table.table.part}" if table.table.part else table.figure
        stem = re.sub(r"\W+", "_", whole, flags=re.ASCII).strip("_") or "table"
        name, number = stem[:_LONGEST], 2
        while name.casefold() in used:
            ending = f"_{number}"
            name, number = stem[: _LONGEST - len(ending)] + ending, number + 1
        used.add(name.casefold())
        found.append(name)
    return found


def _table(name: str, named: NamedTable) -> Any:
    from hepdata_lib import Table

    table = Table(name)
    table.description = ". ".join(filter(None, (named.title.rstrip("."), named.caption)))
    table.location = f"Figure {named.figure}"
    energy = None if named.label is None else named.label.energy
    if energy is not None:
        table.keywords["cmenergies"] = [1000.0 * energy]
    for axis in named.table.axes:
        table.add_variable(_axis(axis))
    for column in named.table.columns:
        table.add_variable(_column(column, named.label))
    return table


def _axis(axis: Axis) -> Any:
    from hepdata_lib import Variable

    variable = Variable(axis.name, is_independent=True, is_binned=axis.is_binned, units=axis.units)
    variable.values = list(axis.values)
    variable.digits = DIGITS
    return variable


def _column(column: Dependent, label: Label | None) -> Any:
    from hepdata_lib import Uncertainty, Variable

    options = {"is_independent": False, "is_binned": False, "zero_uncertainties_warning": False}
    variable = Variable(column.name, units=column.units, **options)
    variable.values = [MISSING if value is None else value for value in column.values]
    variable.digits = DIGITS
    for name, value in column.of.items():
        variable.add_qualifier(name, value)
    if label is not None and label.energy is not None:
        variable.add_qualifier("SQRT(S)", f"{1000.0 * label.energy:g}", "GeV")
    if label is not None and isinstance(label.luminosity, int | float):
        variable.add_qualifier("LUMINOSITY", f"{label.luminosity:g}", "fb$^{-1}$")
    for errors in column.errors:
        is_symmetric = not any(isinstance(value, tuple) for value in errors.values)
        if all(value is None for value in errors.values):
            continue
        uncertainty = Uncertainty(errors.label, is_symmetric=is_symmetric)
        # hepdata_lib writes no error where it is None; two lengths cannot be None, but none is written where all are 0
        uncertainty.values = [(0.0, 0.0) if value is None and not is_symmetric else value for value in errors.values]
        variable.add_uncertainty(uncertainty)
    return variable
