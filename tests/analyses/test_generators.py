"""The table of the generators: yields and shares with their errors, against sums by hand."""

from __future__ import annotations

import numpy as np
import pytest

from analyses.tth.generators import generators_table, mean_of, rows_of
from hepda.events.table.feature_table import FeatureTable


def table() -> FeatureTable:
    """Six events of two domains; the first and the last one are signal or of the other domain."""
    n = 6
    features = np.zeros((n, 3), np.float32)
    features[:, 0] = [5, 5, 6, 7, 6, 9]
    features[:, 1] = [1, 2, 3, 4, 4, 1]
    features[:, 2] = [100, 200, 300, 400, 500, 900]
    return FeatureTable(
        features=features, names=("n_jets", "n_b70", "ht"), weight=np.array([9.0, 2.0, -1.0, 4.0, 3.0, 5.0]),
        label=np.zeros(n, np.int8), domain=np.array([0, 0, 0, 0, 0, 1], np.int16), domain_names=("simulation", "third"),
        sample=np.array([0, 1, 1, 2, 2, 1], np.int16), sample_names=("ttH", "tt1b", "ttlight"),
        fold=np.zeros(n, np.int8), validation=np.zeros(n, bool), key=np.arange(n, dtype=np.uint64),
        columns={"n_extra_b": np.array([2, 1, 2, 0, 0, 1]), "n_extra_c": np.array([0, 1, 0, 3, 0, 0])},
    )  # fmt: skip


def test_the_numbers_are_those_of_the_weights() -> None:
    rows = {name: number for name, number, _ in rows_of(table(), "simulation")}
    assert rows["yield in 0.6/fb"].value == 8.0 and rows["yield in 0.6/fb"].error == pytest.approx(30.0**0.5)
    shares = [rows[f"tt + {name} [%]"].value for name in ("b", "two b", "c", "light")]
    assert shares == pytest.approx([12.5, -12.5, 50.0, 37.5])
    assert rows["jets"].value == pytest.approx((2 * 5 - 6 + 4 * 7 + 3 * 6) / 8.0)
    assert rows["three b tags at 70 % [%]"].value == pytest.approx(-12.5)
    assert rows["four [%]"].value == pytest.approx(87.5)


def test_the_error_of_a_share_is_binomial_for_equal_weights() -> None:
    share = mean_of(np.arange(400) < 100, np.full(400, 0.3))
    assert share.value == 0.25 and share.error == pytest.approx((0.25 * 0.75 / 400) ** 0.5)


def test_the_table_has_a_row_for_each_domain() -> None:
    lines = generators_table(table(), ["simulation", "third"]).splitlines()
    assert lines[0].startswith("| | yield in 0.6/fb | tt + b [%]") and len(lines) == 4
    assert lines[3].startswith("| third | 5 ± 5 | 100.0 ± 0.0 |")
