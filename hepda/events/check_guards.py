"""Which files lack the branches that has() asks for, for `hepda check`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from hepda.errors import nearest
from hepda.events.dataset.inputs import InputFile
from hepda.events.dataset.plan import ReadingPlan

_SHOWN = 5
"""Number of files that a line names."""


def absent_branches(plan: ReadingPlan, inputs: Mapping[str, Sequence[InputFile]]) -> tuple[list[str], list[str]]:
    """Return notes and warnings about the branches that has() asks for.

    Args:
        plan: the parsed expressions.
        inputs: the files that were opened, by sample.

    """
    notes, warnings = list[str](), list[str]()
    for branch in sorted(plan.guards):
        known = {name for files in inputs.values() for file in files for name in file.branches}
        if branch not in known:
            warnings.append(
                f"has({branch}) is false in every file that was opened: none has this branch.{nearest(branch, known)}"
            )
            continue
        notes.extend(_lines(branch, inputs))
    return notes, warnings


def _lines(branch: str, inputs: Mapping[str, Sequence[InputFile]]) -> Iterator[str]:
    for name, files in inputs.items():
        without = [file.path for file in files if file.has_events and branch not in file.branches]
        if without:
            more = f" and {len(without) - _SHOWN} more" if len(without) > _SHOWN else ""
            yield (
                f"{name}: has({branch}) is false in {len(without)} of {len(files)} files, which lack the branch: "
                f"{', '.join(without[:_SHOWN])}{more}"
            )
