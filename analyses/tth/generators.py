"""The tt + jets of the generators compared after the selection: yields, composition, jets, HT and tags; no score.

    python analyses/tth/generators.py            the table of README.md, in Markdown

Yields are in the luminosity of the pseudo-data. Errors are those of the finite samples, sqrt(sum w^2); of a share p of
the weights w they are sqrt(sum w^2 (x - p)^2) / sum w, where x is 1 for its events and 0 for the others.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config import load_config
from hepda.events.dataset.load import load_table
from hepda.events.resolve import dataset_spec
from hepda.events.table.feature_table import FeatureTable

Array = NDArray[Any]
COLUMNS = {"n_extra_b": "n_extra_b", "n_extra_c": "n_extra_c"}
"""Columns of the table besides the features."""
MODEL = "bdt"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its error."""

    value: float
    error: float

    def text(self, places: int) -> str:
        """Return value and error with as many decimal places."""
        return f"{self.value:,.{places}f} ± {self.error:,.{places}f}"


def mean_of(values: Array, weight: Array) -> Estimate:
    """Return the weighted mean of values [n]; a share is the mean of an indicator."""
    total = weight.sum()
    mean = (weight * values).sum() / total
    return Estimate(float(mean), float(np.sqrt(np.square(weight * (values - mean)).sum()) / abs(total)))


def rows_of(table: FeatureTable, domain: str) -> Iterator[tuple[str, Estimate, int]]:
    """Yield name, estimate and decimal places of every column for the background of a domain.

    Args:
        table: all events, with `COLUMNS`.
        domain: a domain of `table.domain_names`.

    """
    chosen = (table.domain == table.domain_names.index(domain)) & np.isin(
        table.sample, [n for n, name in enumerate(table.sample_names) if name.startswith("tt") and name[2] != "H"]
    )
    weight = table.weight[chosen]
    yield "yield in 0.6/fb", Estimate(float(weight.sum()), float(np.sqrt(np.square(weight).sum()))), 0
    extra_b, extra_c = (table.columns[name][chosen] for name in COLUMNS)
    for name, is_in in (
        ("tt + b [%]", extra_b > 0),
        ("tt + two b [%]", extra_b > 1),
        ("tt + c [%]", (extra_b == 0) & (extra_c > 0)),
        ("tt + light [%]", (extra_b == 0) & (extra_c == 0)),
    ):
        share = mean_of(is_in, weight)
        yield name, Estimate(100.0 * share.value, 100.0 * share.error), 1
    features = {name: table.features[chosen, n] for n, name in enumerate(table.names)}
    yield "jets", mean_of(features["n_jets"], weight), 2
    yield "HT [GeV]", mean_of(features["ht"], weight), 0
    for name, is_in, places in (
        ("three b tags at 70 % [%]", features["n_b70"] == 3, 1),
        ("four [%]", features["n_b70"] >= 4, 2),
    ):
        share = mean_of(is_in, weight)
        yield name, Estimate(100.0 * share.value, 100.0 * share.error), places


def generators_table(table: FeatureTable, domains: Sequence[str]) -> str:
    """Return the Markdown table of the domains."""
    lines: list[str] = []
    for domain in domains:
        rows = list(rows_of(table, domain))
        if not lines:
            lines = [f"| | {' | '.join(name for name, _, _ in rows)} |", "|---|" + "---|" * len(rows)]
        lines.append(f"| {domain} | {' | '.join(number.text(places) for _, number, places in rows)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="tth_proof.yaml", help="analysis file with all generators")
    parser.add_argument("--domains", nargs="+", default=["simulation", "alternative", "third", "fourth"])
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args(arguments)
    config = load_config(options.config, [*options.overrides, *_reduced(options.config)])
    columns = {**config.columns, **COLUMNS}
    table = load_table(dataset_spec(config.model_copy(update={"columns": columns, "systematics": {}}))).table
    print(generators_table(table, [domain for domain in options.domains if domain in table.domain_names]))


def _reduced(name: str) -> list[str]:
    """Return overrides that leave one model, which needs no columns of its own, and no data."""
    models = load_config(name).models
    without = ("samples.data", "fit", "evaluation.bias", *(f"models.{name}" for name in models if name != MODEL))
    return [f"{key}=null" for key in without]


if __name__ == "__main__":
    main()
