"""Ordinary differential equations dx/dt = v(x, t) of rows, with fixed steps."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from hepda.errors import ConfigError, nearest

Field = Callable[[Tensor, Tensor], Tensor]
"""From rows [n, ...] and the time of each row [n] to a vector for each row [n, ...]: a velocity, a score or a noise."""

Step = Callable[[Field, Tensor, Tensor, Tensor], Tensor]
"""From the field, the rows and two times (numbers) to the rows at the second time."""


def _at(field: Field, x: Tensor, time: Tensor) -> Tensor:
    return field(x, time.to(x).expand(len(x)))


def _euler(field: Field, x: Tensor, begin: Tensor, end: Tensor) -> Tensor:
    return x + (end - begin) * _at(field, x, begin)


def _midpoint(field: Field, x: Tensor, begin: Tensor, end: Tensor) -> Tensor:
    half = x + 0.5 * (end - begin) * _at(field, x, begin)
    return x + (end - begin) * _at(field, half, 0.5 * (begin + end))


def _heun(field: Field, x: Tensor, begin: Tensor, end: Tensor) -> Tensor:
    slope = _at(field, x, begin)
    return x + 0.5 * (end - begin) * (slope + _at(field, x + (end - begin) * slope, end))


STEPS: dict[str, Step] = {"euler": _euler, "midpoint": _midpoint, "heun": _heun}
"""Runge-Kutta steps by name; the error of a run falls with the step as its first power, square and square."""


@torch.no_grad()
def integrate(field: Field, start: Tensor, times: Tensor, method: str = "heun") -> Tensor:
    """Return the rows at the last time of dx/dt = field(x, t).

    Args:
        field: the right-hand side. It is called with the times themselves; `heun` calls it at the last one too.
        start: rows [n, ...] at the first time.
        times: the times between which steps are taken [k + 1], rising or falling.
        method: one of `STEPS`: `euler` calls the field once a step, `midpoint` and `heun` twice.

    Raises:
        ConfigError: an unknown method, or fewer than two times.

    """
    if method not in STEPS:
        raise ConfigError(f"unknown method {method!r}; one of {', '.join(STEPS)}.{nearest(method, STEPS)}")
    if len(times) < 2:
        raise ConfigError(f"an equation is solved between at least two times; here is {len(times)}")
    step, x, times = STEPS[method], start, times.to(start)
    for begin, end in pairwise(times):
        x = step(field, x, begin, end)
    return x
