"""The processor, and how fast it multiplies matrices and copies memory on one core."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from hepda.runtime.pool import cores, one_thread
from hepda.timing import MatrixShape

_EACH, _ALL = 0.02, 0.7
"""Seconds for the measurement of one shape of matrices, and of all."""
_COPIED = 128_000_000
"""Bytes of the array that is copied: more than the caches hold."""


def processor() -> dict[str, object]:
    """Return name, instruction set, whether bfloat16 is native, and the number of cores that this process may use."""
    import torch

    name, flags = platform.processor() or platform.machine(), ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = (line.partition(":") for line in cpuinfo.read_text(encoding="utf-8").splitlines())
        facts = {key.strip(): value.strip() for key, _, value in lines}
        name, flags = facts.get("model name", name), facts.get("flags", facts.get("Features", ""))
    return {
        "name": name,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bfloat16": any(flag in flags.split() for flag in ("avx512_bf16", "amx_bf16", "bf16")),
        "cores": cores(),
    }


def copy_rate() -> float:
    """Return the bytes that one core reads and writes in a second of its time while it copies a large array."""
    import numpy as np

    source = np.ones(_COPIED, np.uint8)
    target = np.zeros_like(source)
    return 2 * _COPIED / _fastest(lambda: np.copyto(target, source), 0.1)


def product_seconds(shapes: Iterable[MatrixShape]) -> dict[MatrixShape, float]:
    """Return the processor time of one product [m, k] times [k, n] in float32 by torch on one core.

    Args:
        shapes: m, k and n of each product, those first that matter most: the others have the rate of the last one
            that was measured when the time for measuring is over.

    """
    import torch

    seconds: dict[MatrixShape, float] = {}
    rate, end = 1e9, time.thread_time() + _ALL
    with one_thread():
        for m, k, n in shapes:
            operations = 2.0 * m * k * n
            if time.thread_time() < end:
                generator = torch.Generator().manual_seed(1)
                first, second = torch.randn(m, k, generator=generator), torch.randn(k, n, generator=generator)
                result = torch.empty(m, n)
                rate = operations / _fastest(partial(torch.mm, first, second, out=result), _EACH)
            seconds[m, k, n] = operations / rate
    return seconds


def _fastest(function: Callable[[], object], seconds: float) -> float:
    """Return the shortest processor time of a call, of as many as fit into `seconds`, but two at least."""
    times: list[float] = []
    while len(times) < 2 or sum(times) < seconds:
        begin = time.thread_time()
        function()
        times.append(time.thread_time() - begin)
    return max(min(times), 1e-9)
