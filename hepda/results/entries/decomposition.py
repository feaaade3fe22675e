"""Where the shift of an efficiency between two domains comes from: dataclasses, and their entries in metrics.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import Field

from hepda.results.evaluation import FloatArray
from hepda.results.record import Measured, Number, Record


@dataclass(frozen=True, slots=True)
class Contribution:
    """A part of a difference, or a share, with its standard deviation."""

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class ProcessContribution:
    """The parts of one process, and its efficiency in both domains; None where a domain has no event of the process.

    rates: because its share of the events differs; shapes: because its own efficiency differs.
    """

    rates: Contribution
    shapes: Contribution
    source_efficiency: Contribution | None
    other_efficiency: Contribution | None


@dataclass(frozen=True, slots=True)
class Decomposition:
    """The difference between two domains in the share of events above (or below) a cut: whole = rates + shapes.

    `rates` and `shapes` are the sums over the processes. They are None, with the reason in `why`, if they cannot be
    computed.
    """

    cut: float
    whole: Contribution | None
    rates: Contribution | None
    shapes: Contribution | None
    processes: Mapping[str, ProcessContribution] = field(default_factory=dict)
    signal_efficiency: float | None = None  # that fixes the cut; None for another cut
    why: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class BinnedDecomposition:
    """The same in bins of the score, relative to the content of the source; NaN where that is not positive."""

    edges: FloatArray  # [b + 1]
    whole: FloatArray  # [b]
    whole_error: FloatArray  # [b]
    rates: FloatArray  # [b]
    rates_error: FloatArray  # [b]
    shapes: FloatArray  # [b]
    shapes_error: FloatArray  # [b]


@dataclass(frozen=True, slots=True)
class DomainDecomposition:
    """The decompositions of one score and one pair of domains.

    class_name: the class that is compared; shares: of each process in the yield of the class, in the source and in the
    other domain; shifts: relative, at cuts that fix the signal efficiency; ks: absolute, of F(other) - F(source) where
    the KS distance is.
    """

    class_name: str
    shares: Mapping[str, tuple[Contribution, Contribution]]
    shifts: tuple[Decomposition, ...]
    ks: Decomposition
    bins: BinnedDecomposition


# --- metrics.json -------------------------------------------------------------------------------------------------


class ProcessPartEntry(Record):
    """The parts of one process in a difference, and its efficiency in both domains."""

    rates: Measured | None = None
    """Because its share of the events differs."""
    shapes: Measured | None = None
    """Because its own efficiency differs."""
    source_efficiency: Measured | None = None
    other_efficiency: Measured | None = None


class PartsEntry(Record):
    """A difference between two domains: whole = rates + shapes, each the sum over the processes."""

    whole: Measured | None = None
    rates: Measured | None = None
    shapes: Measured | None = None
    processes: Mapping[str, ProcessPartEntry] = Field(default_factory=dict)
    why: str | None = None


class BinnedPartsEntry(Record):
    """The same in bins of the score, relative to the nominal domain; null where a bin has no positive content."""

    edges: list[Number]
    """Events beyond the ends are in the first and in the last bin."""
    whole: list[Number | None]
    whole_error: list[Number | None]
    rates: list[Number | None]
    rates_error: list[Number | None]
    shapes: list[Number | None]
    shapes_error: list[Number | None]
    why: str | None = None


class ProcessShareEntry(Record):
    """The share of a process in the yield of the compared class, in the nominal and in the other domain."""

    source: Measured
    other: Measured


class DecompositionEntry(Record):
    """models.<model>.decomposition.<source>:<other>: the shift of the compared class, by rates and shapes."""

    class_name: str | None = Field(None, alias="class")
    shares: Mapping[str, ProcessShareEntry] = Field(default_factory=dict)
    """By process."""
    efficiency_shift: Mapping[str, PartsEntry] = Field(default_factory=dict)
    """Relative, by signal efficiency."""
    ks: PartsEntry | None = None
    """F(other) - F(source) where its absolute value, the KS distance, is largest."""
    bins: BinnedPartsEntry | None = None
