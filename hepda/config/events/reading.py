"""Where files contain the numbers of the normalisation, and what happens when a file cannot be read."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hepda.config.section import Count, Expression, Section


class NormalisationConfig(Section):
    """Where the files keep the sum of weights of all generated events, and the cross section.

    The sum is that of a branch of `tree` (an entry a job, file or run), of a `histogram`, or over all `events`.
    """

    tree: str = "metadata"
    """The tree of bookkeeping, `Runs` in NanoAOD."""
    sum_of_weights: Expression = "sum_of_weights"
    """A branch of it, `genEventSumw` in NanoAOD, or an expression of branches; summed over entries and files."""
    cross_section: Expression = "cross_section"
    """The branch or expression of the cross section in pb, equal in every entry. It is read where the analysis file
    gives no cross section."""
    histogram: str | None = None
    """The sum is in a histogram of this name; one with * means all that match, together."""
    bin: Count | None = None
    """The bin of the histogram, counted from 1; null: all bins together, without the overflows."""
    events: Expression | None = None
    """The sum is that of this expression over every entry, for files from which no event was taken out."""


class ReadingConfig(Section):
    """What happens when a file does not open or breaks."""

    on_error: Literal["fail", "skip"] = "fail"
    """`skip`: continue without the file; the manifest lists what was lost."""
    retries: Annotated[int, Field(ge=0, le=20)] = 3
    """How often a server that does not answer is tried again, after 1, 2, 4, ... seconds."""
