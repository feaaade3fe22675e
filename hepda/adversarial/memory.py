"""Memory of the process: what one step frees, the next one uses again."""

from __future__ import annotations

import torch

_BYTES = 31 * 2**20
"""Just below 32 MiB, the largest value of the threshold."""


def keep_freed_memory() -> None:
    """Let the allocator of glibc keep the memory that a step of a training frees, for the next step.

    By default glibc returns every large block to the system when it is freed, and each step waits again while the
    system provides the pages and fills them with zeros: a tenth of the time of a step of a small network. Its limits
    adapt themselves (mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD): once a block of some size was freed, blocks up
    to that size, and twice as much at the end of the heap, are kept. So one block, which is never written to, is
    allocated and freed here. With another allocator, or limits that the environment sets, it has no effect.
    """
    torch.empty(_BYTES, dtype=torch.uint8)
