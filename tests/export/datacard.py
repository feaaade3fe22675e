"""A small reader of combine's datacards that knows nothing of hepda, and combine's expectation from what it reads.

Shapes: vertical morphing of normalised histograms; rates: asymmetric log-normal. combine itself is not run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import uproot


@dataclass
class Process:
    region: str
    name: str
    number: int
    rate: float
    contents: np.ndarray
    error: np.ndarray
    kappas: dict[str, tuple[float, float]] = field(default_factory=dict)  # up, down
    shapes: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)  # up, down, of unit sum
    factors: list[str] = field(default_factory=list)


@dataclass
class Card:
    regions: list[str]
    observed: dict[str, np.ndarray]
    processes: list[Process]
    nuisances: dict[str, str]
    ranges: dict[str, tuple[float, float]]
    statistics: dict[str, list[str]]

    def expected(self, values: dict[str, float]) -> dict[str, np.ndarray]:
        """Expected events by region; rates not named are 1, nuisances 0, x_<region>_<bin> (statistics) 0."""
        nu = {region: np.zeros_like(data) for region, data in self.observed.items()}
        variance = {region: np.zeros_like(data) for region, data in self.observed.items()}
        for process in self.processes:
            scale = values.get("r", 1.0) if process.number <= 0 else 1.0
            for name in process.factors:
                scale *= values.get(name, 1.0)
            for name, (up, down) in process.kappas.items():
                scale *= np.exp(log_kappa(values.get(name, 0.0), up, down))
            nominal = process.contents / process.contents.sum()
            shape = nominal.copy()
            for name, (up, down) in process.shapes.items():
                alpha = values.get(name, 0.0)
                shape += 0.5 * alpha * ((up - down) + smooth_step(alpha) * (up + down - 2 * nominal))
            nu[process.region] += scale * process.rate * shape
            variance[process.region] += (scale * process.error) ** 2
        for region in nu:
            x = np.array([values.get(f"x_{region}_{b}", 0.0) for b in range(len(nu[region]))])
            nu[region] = nu[region] + x * np.sqrt(variance[region])
        return nu


def smooth_step(x: float) -> float:
    return float(np.sign(x)) if abs(x) >= 1 else 0.125 * x * (x * x * (3 * x * x - 10) + 15)


def log_kappa(alpha: float, up: float, down: float) -> float:
    high, low = np.log(up), -np.log(down)
    if abs(alpha) >= 0.5:
        return float(alpha * (high if alpha > 0 else low))
    return float(alpha * (0.5 * (high + low) + 0.5 * (high - low) * smooth_step(2 * alpha)))


def read(path: Path) -> Card:
    lines = [line.split() for line in path.read_text().splitlines() if line and line[0] not in "#-"]
    by_word: dict[str, list[list[str]]] = {}
    for line in lines:
        by_word.setdefault(line[0], []).append(line[1:])
    (shapes,) = by_word["shapes"]
    assert shapes[:2] == ["*", "*"]
    file, nominal_path, varied_path = uproot.open(path.parent / shapes[2]), shapes[3], shapes[4]

    def histogram(pattern: str, region: str, process: str, systematic: str = "") -> np.ndarray:
        for key, text in (("$CHANNEL", region), ("$PROCESS", process), ("$SYSTEMATIC", systematic)):
            pattern = pattern.replace(key, text)
        return file[pattern]

    regions, columns = by_word["bin"]
    names, numbers = by_word["process"]
    (rates,) = by_word["rate"]
    (totals,) = by_word["observation"]
    observed = {region: histogram(nominal_path, region, "data_obs").values() for region in regions}
    for region, total in zip(regions, totals, strict=True):
        assert float(total) == observed[region].sum()
    processes = []
    for region, name, number, rate in zip(columns, names, numbers, rates, strict=True):
        found = histogram(nominal_path, region, name)
        processes.append(Process(region, name, int(number), float(rate), found.values(), found.errors()))
    assert [int(by_word[word][0][0]) for word in ("imax", "jmax")] == [len(regions), len(set(names)) - 1]
    nuisances = {line[0]: line[1] for line in lines if len(line) > 1 and line[1] in {"lnN", "shape"}}
    assert int(by_word["kmax"][0][0]) == len(nuisances)
    for name, kind in nuisances.items():
        for process, effect in zip(processes, by_word[name][0][1:], strict=True):
            if effect == "-":
                continue
            if kind == "lnN":
                down, _, up = effect.rpartition("/")
                process.kappas[name] = float(up), float(down) if down else 1 / float(up)
                continue
            high, low = (histogram(varied_path, process.region, process.name, name + end).values()
                         for end in ("Up", "Down"))  # fmt: skip
            total = process.contents.sum()
            process.kappas[name] = high.sum() / total, low.sum() / total
            process.shapes[name] = high / high.sum(), low / low.sum()
    ranges = {}
    for line in lines:
        if len(line) > 1 and line[1] == "rateParam":
            name, _, region, of, start, between = line
            assert float(start) == 1
            low, high = between.strip("[]").split(",")
            ranges[name] = float(low), float(high)
            for process in processes:
                if (process.region, process.name) == (region, of):
                    process.factors.append(name)
    statistics = {line[0]: line[2:] for line in lines if len(line) > 1 and line[1] == "autoMCStats"}
    return Card(regions, observed, processes, nuisances, ranges, statistics)
