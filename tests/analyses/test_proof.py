"""The rules of the proof, as analyses/tth/README.md words them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analyses.tth import proof
from hepda.config import load_config
from hepda.results.fit_file import OriginEntry
from tests.events.fit.test_seeds import runs

CONFIGS = Path(__file__).parents[2] / "configs"


def test_the_smallest_of_the_strengths_near_the_best_is_chosen() -> None:
    def points(*values: tuple[float, float, float]) -> list[object]:
        return [proof.Point(strength, (bias - 0.01, bias + 0.01), error) for strength, bias, error in values]

    none, weak, right, strong = (0, -0.3, 0.17), (400, -0.1, 0.175), (800, 0.08, 0.18), (1300, 0.05, 0.2)
    assert proof.chosen(points(none, weak, right, strong)).strength == 400  # 1300 costs too much; 400 is near 800
    assert proof.chosen(points(none, weak, (800, 0.06, 0.18))).strength == 800
    assert proof.chosen(points(none, (400, -0.28, 0.17))).strength == 0
    assert proof.chosen(points((0, -0.01, 0.17), (400, 0.0, 0.17))).strength == 0


def test_the_size_of_an_ensemble_follows_from_the_noise() -> None:
    spread, size = proof.ensemble_size([1.0, 1.1, 0.9, 1.06, 0.94, 1.0])
    assert spread == pytest.approx(0.07376, abs=1e-5) and size == 7  # (0.07376 / 0.03)^2 = 6.04
    assert proof.ensemble_size([1.0, 1.01, 1.0])[1] == 3 and proof.ensemble_size([1.0, 1.5, 0.5])[1] == 15


def test_the_configuration_of_the_tuning_has_every_strength_and_no_held_out_domain() -> None:
    config = load_config(CONFIGS / "tth_tuning.yaml")
    assert {sample.domain for sample in config.samples.values()} == {"simulation", "alternative"}
    grid: dict[str, set[float]] = {}
    for name, model in config.models.items():
        domain = getattr(model, "domain", None)
        if domain is not None:
            method, _, strength = name.rpartition("_")
            assert domain.strength == float(strength)
            grid.setdefault(method, set()).add(domain.strength)
    assert grid == {
        "dann": {0, 400, 800, 1300, 2000}, "dann_process": {400, 800, 1300, 2000},
        "dann_variations": {400, 800, 1300, 2000}, "dann_data": {0, 300, 1000, 2000}, "cramer": {30, 100, 300},
    }  # fmt: skip


def test_the_networks_of_four_classes_are_tuned_without_held_out_domains() -> None:
    config = load_config(CONFIGS / "tth_tuning_classes.yaml")
    assert {sample.domain for sample in config.samples.values()} == {"simulation", "alternative"}
    assert set(config.models) == {"bdt", "network_classes", "sets"}


def test_results_are_tables_of_every_model_and_domain() -> None:
    moves = np.random.default_rng(0).normal(0, 0.05, 200)
    fits = runs({"bdt": [-0.6, -0.5], "dann": [-0.1, -0.2]}, {"bdt": moves, "dann": moves})
    bias, gain, quality, rates = proof.results_tables(fits, "bdt").split("\n\n")
    assert bias.splitlines()[-1].startswith("| dann | 0.170 | -0.15 ± 0.05 ± 0.05 (0.07) |")
    assert "+0.40" in gain.splitlines()[-1] and gain.splitlines()[2] == "| bdt | – |"
    assert quality.splitlines()[-1] == "| dann | 70, 1.00, 3.0 / 20 |"
    assert rates.splitlines() == [
        "| model | ttb, third |", "|---|---|", "| truth | – |", "| bdt | 1.05 (0.07) |", "| dann | 1.05 (0.07) |",
    ]  # fmt: skip


def test_origins_are_means_over_the_seeds() -> None:
    moves = np.zeros(20)
    fits = runs({"bdt": [-0.6, -0.5]}, {"bdt": moves})
    for number, fit in enumerate(fits):
        (entry,) = [e for e in fit.models["bdt"].closure.of(proof.VARIANT)["third"] if e.truth == 1]
        entry.origins.append(OriginEntry(process="ttb", part="rate", value=0.1 + 0.2 * number, error=0.02))
        entry.origins.append(OriginEntry(process="ttb", part="regions", value=None, error=None))
    last, together = proof.origins_table(fits, ["bdt"], "third").splitlines()[-2:]
    assert last.startswith("| bdt | ttb | +0.200 ± 0.020 | – |")
    assert together.startswith("| bdt | all together | -0.550 |")  # mean of -0.6 and -0.5


def test_the_proof_has_the_models_of_the_protocol_and_trains_on_no_held_out_generator() -> None:
    config = load_config(CONFIGS / "tth_proof.yaml")
    assert set(config.models) == {
        "bdt", "bdt_classes", "network", "network_classes", "sets", "dann", "dann_process", "dann_variations",
        "dann_data", "dann_fitted", "cramer_30", "cramer_100", "cramer_300",
    }  # fmt: skip
    held_out = {name for name, sample in config.samples.items() if sample.domain in ("third", "fourth")}
    assert len(held_out) == 10 and all(config.samples[name].use == "evaluate" for name in held_out)
    assert config.evaluation.bias is not None and config.baseline_model == "bdt"
    free = {name: set(s.samples) for name, s in config.systematics.items() if s.kind == "free"}
    assert free == {"ttb_rate": {"tt1b", "tt2b"}}
    apart = load_config(CONFIGS / "tth_proof_two_b.yaml")
    free = {name: set(s.samples) for name, s in apart.systematics.items() if s.kind == "free"}
    assert free == {"tt1b_rate": {"tt1b"}, "tt2b_rate": {"tt2b"}}
    pairs = load_config(CONFIGS / "tth_proof_two_point.yaml")
    assert {name for name, s in pairs.systematics.items() if s.kind == "two_point"} == {"tt_generator"}
    mixture = load_config(CONFIGS / "tth_mixture.yaml")
    assert {sample.domain for sample in mixture.samples.values()} == {"simulation", "alternative", "data"}
