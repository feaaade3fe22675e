"""profile.json: where the time of a run went, and how fast the machine multiplies matrices and copies memory."""

from __future__ import annotations

from collections.abc import Sequence

from hepda.results.record import Number, Record


class Processor(Record):
    """The processor of a run, by which any claim about speed has to be read."""

    name: str
    instructions: str
    """The widest vector instructions that torch uses: AVX2, AVX512, ..."""
    bfloat16: bool
    """Whether the processor itself multiplies bfloat16; otherwise it is emulated."""
    cores: int
    """Number of cores that the run was allowed to use."""


class ProfilePart(Record):
    """A part of a run, without the parts inside it; times are added up over the processes."""

    path: Sequence[str]
    """The stage, and parts of it, each inside the one before; empty for what is in no stage."""
    cpu: Number
    """Seconds of the processor, of all threads."""
    clock: Number
    """Seconds of the clock."""
    calls: int


class MatrixWork(Record):
    """The products of matrices [m, k] and [k, n] that a part of a run needs."""

    path: Sequence[str]
    m: int
    k: int
    n: int
    count: Number
    gflops: Number
    """Rate of torch on one core, measured on this machine: 1e9 operations a second."""
    seconds: Number
    """Processor time of all of these products at that rate."""


class Possible(Record):
    """What the machine can do, on one core, measured after the run."""

    copy_gb_per_second: Number
    """Bytes read and bytes written by a copy that is larger than the caches, in 1e9 a second."""
    products: Sequence[MatrixWork]


class Profile(Record):
    """profile.json."""

    name: str
    version: str
    """Of hepda."""
    commit: str | None
    processes: int
    """In parallel, at most."""
    processor: Processor
    cpu: Number
    """Seconds of the processor in the whole run: all processes, all threads."""
    clock: Number
    """Seconds of the clock from the start of the process to the report."""
    parts: Sequence[ProfilePart]
    possible: Possible
