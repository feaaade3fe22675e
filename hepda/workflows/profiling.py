"""`hepda train --profile`: where the time of a run goes, beside what the machine can do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hepda import timing
from hepda.timing import PartPath, Sums

if TYPE_CHECKING:
    from hepda.config import AnyConfig
    from hepda.results.profile import Profile
    from hepda.runtime.terminal import NumberTable
    from hepda.workflows.train import TrainOutcome

START_UP, WORKERS = ("start-up",), ("start-up of workers",)
"""What is before the first stage: Python and the command line; and the process from which workers are forked."""
SHOWN = 0.004
"""Share of the processor time below which the terminal shows no line for a part; profile.json has all parts."""


def begin() -> None:
    """Measure from now on; the start of this process is a part."""
    recorder = timing.start()
    recorder.sums.of(START_UP).add(time.process_time(), timing.age(), 1)


def finish(config: AnyConfig, outcome: TrainOutcome) -> Profile:
    """Measure no longer, and write profile.json if the run has trained; how fast the machine is, is measured now.

    Args:
        config: the analysis file.
        outcome: of the run.

    Returns:
        The profile.

    """
    from hepda.results.profile import Profile
    from hepda.runtime import run_directory
    from hepda.runtime.pool import server_seconds
    from hepda.workflows import machine
    from hepda.workflows.train import processes_of

    sums, own = timing.stop(), time.process_time()
    server, ended = server_seconds()
    if server:
        sums.of(WORKERS).add(server, 0.0, 1)
    provenance = run_directory.provenance(config.seed)
    content = {
        "name": config.name,
        "version": provenance["versions"].get("hepda", ""),
        "commit": provenance["git_commit"],
        "processes": processes_of(config),
        "processor": machine.processor(),
        "cpu": max(own + server + ended, sum(part.cpu for part in sums.parts.values())),
        "clock": timing.age(),
        "parts": [
            {"path": list(path), "cpu": part.cpu, "clock": part.clock, "calls": part.calls}
            for path, part in sums.parts.items()
        ],
        "possible": {"copy_gb_per_second": machine.copy_rate() / 1e9, "products": _products(sums)},
    }
    profile = Profile.from_json(content)
    if "train" in outcome.seconds:
        run_directory.write_json(outcome.folder / run_directory.PROFILE, profile.to_json())
    return profile


def _products(sums: Sums) -> list[dict[str, Any]]:
    """Return the `products` of the profile: all that were counted, at rates that are measured here."""
    from hepda.workflows.machine import product_seconds

    operations: dict[timing.MatrixShape, float] = {}
    for products in sums.products.values():
        for (m, k, n), count in products.items():
            operations[m, k, n] = operations.get((m, k, n), 0.0) + 2.0 * m * k * n * count
    seconds = product_seconds(sorted(operations, key=lambda shape: -operations[shape]))
    return [
        {
            "path": list(path), "m": m, "k": k, "n": n, "count": count,
            "gflops": 2.0 * m * k * n / seconds[m, k, n] / 1e9, "seconds": count * seconds[m, k, n],
        }
        for path, products in sums.products.items()
        for (m, k, n), count in products.items()
    ]  # fmt: skip


def tables(profile: Profile) -> list[NumberTable]:
    """Return what the terminal shows: the parts of the run, and the products of matrices of each training."""
    parts = _part_table(profile)
    return [parts, _product_table(profile)] if profile.possible.products else [parts]


def _part_table(profile: Profile) -> NumberTable:
    from hepda.runtime.terminal import NumberTable

    processor = profile.processor
    rows = [["whole run", f"{profile.cpu:.1f}", "100", f"{profile.clock:.1f}", ""], *_rows(profile)]
    return NumberTable(
        ["Part", "CPU [s]", "CPU [%]", "Clock [s]", "Times"], rows, f"Profile of {profile.name}",
        f"{processor.name}, {processor.instructions}, {processor.cores} cores, {profile.processes} processes. Times "
        "are added up over the processes; a part contains those that are indented below it.",
    )  # fmt: skip


def _rows(profile: Profile) -> list[list[str]]:
    """Return a row for each part with enough processor time or clock, those inside it below it."""
    cpu: dict[PartPath, float] = {}
    clock: dict[PartPath, float] = {}
    for part in profile.parts:
        path = tuple(part.path)
        for depth in range(1, len(path) + 1):
            cpu[path[:depth]] = cpu.get(path[:depth], 0.0) + part.cpu
            clock[path[:depth]] = clock.get(path[:depth], 0.0) + part.clock
    calls = {tuple(part.path): part.calls for part in profile.parts}
    least, total = SHOWN * profile.cpu, sum(value for path, value in cpu.items() if len(path) == 1)

    def lines(above: PartPath) -> list[list[str]]:
        inside = [path for path in cpu if path[:-1] == above and len(path) == len(above) + 1]
        if above:  # stages stay in their order
            inside.sort(key=lambda path: -cpu[path])
        result: list[list[str]] = []
        small, small_clock = 0.0, 0.0
        for path in inside:
            if cpu[path] < least and (above or clock[path] < SHOWN * profile.clock):
                small, small_clock = small + cpu[path], small_clock + clock[path]
                continue
            name = "  " * len(above) + path[-1]
            times = str(calls.get(path) or "")
            result += [[name, f"{cpu[path]:.1f}", _percent(cpu[path], profile), f"{clock[path]:.1f}", times]]
            result += lines(path)
        if small >= least:
            name = "  " * len(above) + "smaller parts"
            result.append([name, f"{small:.1f}", _percent(small, profile), f"{small_clock:.1f}", ""])
        return result

    rows = lines(())
    rest = profile.cpu - total
    return [*rows, ["rest", f"{rest:.1f}", _percent(rest, profile), "", ""]] if rest >= least else rows


def _percent(seconds: float, profile: Profile) -> str:
    return f"{100.0 * seconds / max(profile.cpu, 1e-9):.1f}"


def _product_table(profile: Profile) -> NumberTable:
    """Return a row for each training with products of matrices: what it took, and what these alone would take."""
    from hepda.runtime.terminal import NumberTable

    needed: dict[PartPath, tuple[float, float]] = {}
    for work in profile.possible.products:
        operations, seconds = needed.get(tuple(work.path), (0.0, 0.0))
        more = 2e-9 * work.m * work.k * work.n * work.count
        needed[tuple(work.path)] = operations + more, seconds + work.seconds
    steps = {path: _inside(profile, path) for path in needed}
    rows = [
        [
            " ".join(path[1:]) or path[-1], f"{steps[path]:.1f}", f"{seconds:.1f}", f"{steps[path] / seconds:.2f}",
            f"{operations / seconds:.0f}", f"{operations / max(steps[path], 1e-9):.0f}",
        ]
        for path, (operations, seconds) in needed.items()
    ]  # fmt: skip
    return NumberTable(
        ["Training", "CPU [s]", "Products alone [s]", "Ratio", "Possible [GFLOP/s]", "Reached [GFLOP/s]"], rows,
        "Products of matrices",
        f"On one core. A copy in memory reads and writes {profile.possible.copy_gb_per_second:.1f} GB/s.",
    )  # fmt: skip


def _inside(profile: Profile, path: PartPath) -> float:
    """Return the processor time of a part with all that is inside it."""
    times: Mapping[PartPath, float] = {tuple(part.path): part.cpu for part in profile.parts}
    return sum(cpu for other, cpu in times.items() if other[: len(path)] == path)
