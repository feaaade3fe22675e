"""A table for `configs/tabular.yaml`: leaves of three species, measured in a laboratory and in the field.

python analyses/tabular/generate.py [FILE]     default: analyses/tabular/leaves.csv

The field measures with another scale and more noise, and its rows have no species until somebody looks: here they have
one, so that adaptation can be judged. Made with numpy alone; equal on every machine.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np

SPECIES = {"alder": (8.0, 6.0, 0.55), "beech": (7.0, 4.2, 0.30), "birch": (5.2, 4.0, 0.62)}
"""Mean length [cm], width [cm] and share of serrated leaves."""
ROWS = {"laboratory": 3000, "field": 3000}


def main(path: Path) -> None:
    """Write the table."""
    rng = np.random.default_rng(11)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["tree", "place", "length", "width", "mass", "edge", "species"])
        tree = 0
        for place, count in ROWS.items():
            scale, noise = (1.0, 0.0) if place == "laboratory" else (1.3, 0.2)
            for number in range(count):
                tree += number % 3 == 0  # three leaves of a tree
                species = list(SPECIES)[tree % 3]
                length, width, serrated = SPECIES[species]
                size = rng.normal(1.0, 0.12)
                long, wide = (
                    scale * size * x * rng.normal(1.0, 0.08) + rng.normal(0.0, noise) for x in (length, width)
                )
                mass = "" if rng.random() < 0.05 else f"{0.012 * long * wide * rng.normal(1.0, 0.15):.4f}"
                edge = "serrated" if rng.random() < serrated else "smooth"
                writer.writerow([tree, place, f"{long:.3f}", f"{wide:.3f}", mass, edge, species])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("leaves.csv"))
