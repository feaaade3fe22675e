"""Processor time of commands and of everything that they start, also of processes that outlive their parents.

Needs Linux: the process that measures inherits those whose parents have ended.
"""

from __future__ import annotations

import ctypes
import os
import resource

_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of Linux: this process inherits processes whose parents have ended."""


def inherit_orphans() -> None:
    """Let this process wait for processes of its children, too. Raises SystemExit where that is not possible."""
    if ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0):
        raise SystemExit("this system does not let a process wait for those of its children: no processor time")


def cpu_of_children() -> float:
    """Return the processor time of all processes that were waited for, in s."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def wait_for_orphans() -> None:
    """Wait for the processes of a run that end after it: that from which its workers are forked, for one."""
    try:
        while True:
            os.wait()
    except ChildProcessError:
        return
