"""The rules of the proof (README.md of this folder) as code: strengths, sizes of ensembles, and the tables of results.

    python analyses/tth/proof.py strengths runs/tth_tuning/2 runs/tth_tuning/3
    python analyses/tth/proof.py ensembles runs/tth_tuning/2 ... runs/tth_tuning/7 --models dann_1300 cramer_100 ...
    python analyses/tth/proof.py results runs/tth_proof/11 ... runs/tth_proof/15
    python analyses/tth/proof.py results runs/tth_proof/11/two_point ... --variant all
    python analyses/tth/proof.py origins runs/tth_proof/11 ... runs/tth_proof/15 --models bdt cramer_100 --domain fourth

All numbers are those of `hepda fit`; the tables are Markdown.
"""

from __future__ import annotations

import argparse
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hepda.events.fit.seeds import BiasOverSeeds, bias_over_seeds
from hepda.results.fit_file import FitFile, OriginEntry
from hepda.runtime import run_directory

TUNED_ON = "alternative"
MOST_ERROR = 1.10  # of the expected error of strength 0
NEAR = 0.03  # in |bias|: of strengths as near as this to the best one, the smallest is taken
NOISE = 0.03  # of mu, that an ensemble may have
FEWEST, MOST = 3, 15  # networks of an ensemble
SAME_ZERO = {"dann_process": "dann", "dann_variations": "dann"}  # whose strength 0 is the same training
NO_ZERO = "dann"  # what methods without a game are compared with
VARIANT = "without_two_point"


@dataclass(frozen=True, slots=True)
class Point:
    """A strength: the mean bias on the alternative and the mean expected error of mu, over the seeds."""

    strength: float
    biases: tuple[float, ...]
    expected_error: float

    @property
    def bias(self) -> float:
        """Return the mean bias."""
        return statistics.fmean(self.biases)


def chosen(points: Sequence[Point]) -> Point:
    """Return the point that the protocol chooses; one of them has strength 0.

    Among strengths whose expected error is at most 1.10 of that of strength 0, the one with the smallest |bias|; of
    those within 0.03 of it, the smallest strength.
    """
    without = next(point for point in points if point.strength == 0)
    allowed = [point for point in points if point.expected_error <= MOST_ERROR * without.expected_error]
    best = min(abs(point.bias) for point in allowed)
    return min((p for p in allowed if abs(p.bias) <= best + NEAR), key=lambda point: point.strength)


def ensemble_size(fitted: Sequence[float]) -> tuple[float, int]:
    """Return the standard deviation of mu of single networks, and how many of them the protocol averages."""
    spread = statistics.stdev(fitted)
    return spread, min(max(math.ceil((spread / NOISE) ** 2), FEWEST), MOST)


def points_of(fits: Sequence[FitFile]) -> dict[str, list[Point]]:
    """Return the points of every method, by strength; models are called <method>_<strength>."""
    methods: dict[str, list[Point]] = {}
    for name in fits[0].models:
        if match := re.fullmatch(r"(\w+)_(\d+)", name):
            biases = tuple(_bias(fit, name) for fit in fits)
            errors = [fit.models[name].expected.error for fit in fits]
            error = statistics.fmean(float(value) for value in errors if value is not None)
            methods.setdefault(match[1], []).append(Point(float(match[2]), biases, error))
    for method, points in methods.items():
        if all(point.strength for point in points):
            points.insert(0, methods[SAME_ZERO.get(method, NO_ZERO)][0])
    return methods


def _bias(fit: FitFile, model: str) -> float:
    bias = fit.models[model].closure.at_one(VARIANT)[TUNED_ON].bias
    if bias is None:
        raise SystemExit(f"the fit of {model} to the alternative has no minimum")
    return float(bias)


def strengths_table(methods: Mapping[str, Sequence[Point]]) -> str:
    """Return the table of the tuning; the chosen strengths are marked."""
    lines = [
        "| method | strength | bias by seed | mean | expected error | of strength 0 | |",
        "|---|---|---|---|---|---|---|",
    ]
    for method, points in methods.items():
        without, choice = next(p for p in points if p.strength == 0), chosen(points)
        for point in points:
            by_seed = ", ".join(f"{bias:+.3f}" for bias in point.biases)
            ratio = point.expected_error / without.expected_error
            mark = "chosen" if point is choice else ""
            lines.append(
                f"| {method} | {point.strength:g} | {by_seed} | {point.bias:+.3f} | {point.expected_error:.3f} | "
                f"{ratio:.2f} | {mark} |"
            )
    return "\n".join(lines)


def ensembles_table(fits: Sequence[FitFile], models: Sequence[str]) -> str:
    """Return the noise of single networks and the sizes of the ensembles."""
    lines = [
        "| model | trainings | standard deviation of mu | networks a fold | noise of their mean |",
        "|---|---|---|---|---|",
    ]
    for name in models:
        spread, size = ensemble_size([_bias(fit, name) for fit in fits])
        lines.append(f"| {name} | {len(fits)} | {spread:.3f} | {size} | {spread / math.sqrt(size):.3f} |")
    return "\n".join(lines)


def results_tables(fits: Sequence[FitFile], baseline: str, variant: str = VARIANT) -> str:
    """Return the tables of the results by model and domain: bias, differences to the baseline, quality, free rates."""
    averages = bias_over_seeds(fits, baseline, variant)
    domains = list(dict.fromkeys(domain for by_domain in averages.values() for domain in by_domain))
    head = f"| model | expected error | {' | '.join(domains)} |"
    rule = "|---|---|" + "---|" * len(domains)
    biases, gains = [head, rule], [f"| model | {' | '.join(domains)} |", "|---|" + "---|" * len(domains)]
    quality = [f"| model | {' | '.join(f'{d}: coverage [%], score, χ² / ndf' for d in domains)} |", gains[1]]
    for model, by_domain in averages.items():
        errors = [of.expected_error for of in by_domain.values() if of.expected_error is not None]
        biases.append(f"| {model} | {errors[0]:.3f} | {' | '.join(_bias_text(by_domain.get(d)) for d in domains)} |")
        gains.append(f"| {model} | {' | '.join(_gain_text(by_domain.get(d)) for d in domains)} |")
        quality.append(f"| {model} | {' | '.join(_quality_text(by_domain.get(d)) for d in domains)} |")
    rates = _rates_lines(averages, fits[0], domains)
    return "\n\n".join("\n".join(lines) for lines in (biases, gains, quality, rates))


def _rates_lines(
    averages: Mapping[str, Mapping[str, BiasOverSeeds]], fit: FitFile, domains: Sequence[str]
) -> list[str]:
    """Return the free rates after the fit, mean and standard deviation over the seeds; the first row is the truth."""
    names = list(
        dict.fromkeys(rate for by_domain in averages.values() for of in by_domain.values() for rate in of.rates)
    )
    columns = [(rate, domain) for rate in names for domain in domains]
    true = next(iter(fit.models.values())).true_rates
    known = (true.get(domain, {}).get(rate) for rate, domain in columns)
    truth = ["–" if rate is None or rate.value is None else f"{rate.value:.2f}" for rate in known]
    lines = [
        f"| model | {' | '.join(f'{rate}, {domain}' for rate, domain in columns)} |",
        "|---|" + "---|" * len(columns),
        f"| truth | {' | '.join(truth)} |",
    ]
    for model, by_domain in averages.items():
        fitted = (by_domain[domain].rates.get(rate) if domain in by_domain else None for rate, domain in columns)
        texts = ["–" if found is None else _rate_text(*found) for found in fitted]
        lines.append(f"| {model} | {' | '.join(texts)} |")
    return lines


def origins_table(fits: Sequence[FitFile], models: Sequence[str], domain: str) -> str:
    """Return where the bias of mu in a domain comes from: by model and process, the mean over the seeds.

    The error is that of the finite pseudo-data, which the seeds share.
    """
    of_models = {model: [fit.models[model].closure.at_one(VARIANT)[domain] for fit in fits] for model in models}
    every = (origin for closed in of_models.values() for entry in closed for origin in entry.origins)
    regions = list(dict.fromkeys(origin.region for origin in every if origin.part == "shape"))
    columns: list[tuple[str, str | None]] = [("rate", None), ("regions", None), *(("shape", r) for r in regions)]
    titles = ["rate", "between regions", *(f"shape, {region}" for region in regions)]
    lines = [f"| model | process | {' | '.join(titles)} |", f"|---|---|{'---|' * len(titles)}"]
    for model, closed in of_models.items():
        parts: dict[tuple[str, str, str | None], list[OriginEntry]] = {}
        for origin in (origin for entry in closed for origin in entry.origins):
            parts.setdefault((origin.process, origin.part, origin.region), []).append(origin)
        for process in dict.fromkeys(name for name, _, _ in parts):
            cells = [_mean_part(parts.get((process, *column), ())) for column in columns]
            lines.append(f"| {model} | {process} | {' | '.join(cells)} |")
        bias = statistics.fmean(float(entry.bias or 0.0) for entry in closed)
        lines.append(f"| {model} | all together | {bias:+.3f} |{' |' * (len(columns) - 1)}")
    return "\n".join(lines)


def _mean_part(origins: Sequence[OriginEntry]) -> str:
    values = [float(origin.value) for origin in origins if origin.value is not None]
    errors = [float(origin.error) for origin in origins if origin.error is not None]
    return f"{statistics.fmean(values):+.3f} ± {statistics.fmean(errors):.3f}" if values and errors else "–"


def _rate_text(mean: float, deviation: float | None) -> str:
    return f"{mean:.2f}" if deviation is None else f"{mean:.2f} ({deviation:.2f})"


def _bias_text(of: BiasOverSeeds | None) -> str:
    if of is None:
        return "–"
    data = "" if of.data_error is None else f" ± {of.data_error:.2f}"
    return f"{of.bias:+.2f}{data}" + ("" if of.noise_of_mean is None else f" ± {of.noise_of_mean:.2f} ({of.noise:.2f})")


def _gain_text(of: BiasOverSeeds | None) -> str:
    if of is None or of.smaller is None:
        return "–"
    narrow, wide = of.smaller
    return f"{narrow.value:+.2f} [{narrow.low:+.2f}, {narrow.high:+.2f}], 95 %: [{wide.low:+.2f}, {wide.high:+.2f}]"


def _quality_text(of: BiasOverSeeds | None) -> str:
    if of is None:
        return "–"
    parts = [
        "–" if of.coverage is None else f"{100 * of.coverage:.0f}",
        "–" if of.winkler is None else f"{of.winkler:.2f}",
        "–" if of.goodness is None or of.ndf is None else f"{of.goodness:.1f} / {of.ndf:.0f}",
    ]
    return ", ".join(parts)


def read_fits(runs: Sequence[Path]) -> list[FitFile]:
    """Return the fits of run directories, or of folders to which `hepda fit --output` wrote."""
    return [FitFile.from_json(run_directory.read_json(run / "fit.json")) for run in runs]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("strengths", "ensembles", "results", "origins"))
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--models", nargs="+", default=(), help="models whose ensembles are sized, or of the origins")
    parser.add_argument("--baseline", default="bdt")
    parser.add_argument("--variant", choices=(VARIANT, "all"), default=VARIANT, help="all: with two-point systematics")
    parser.add_argument("--domain", default="third", help="the pseudo-data of the origins")
    options = parser.parse_args(arguments)
    fits = read_fits(options.runs)
    if options.what == "strengths":
        print(strengths_table(points_of(fits)))
    elif options.what == "ensembles":
        print(ensembles_table(fits, options.models or list(fits[0].models)))
    elif options.what == "origins":
        print(origins_table(fits, options.models or list(fits[0].models), options.domain))
    else:
        print(results_tables(fits, options.baseline, options.variant))


if __name__ == "__main__":
    main()
