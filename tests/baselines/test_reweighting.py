"""Density ratios against a ratio that is known, and the rules: out of fold, clipped, the total kept."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hepda.baselines import reweighting
from hepda.baselines.reweighting import FittedRatio, WeightedEvents, density_ratio
from hepda.errors import ConfigError, DataError, MissingExtraError, SourceError
from hepda.runtime.pool import one_thread

SHIFT = 0.6


def sides(n: int = 6000, shift: float = SHIFT, seed: int = 0) -> tuple[WeightedEvents, WeightedEvents]:
    """Gaussians, the target's first feature moved by `shift`: log of the ratio = shift x - shift^2 / 2."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, n, 3)).astype(np.float32)
    y[:, 0] += shift
    weight = rng.uniform(0.5, 1.5, n) * np.where(rng.random(n) < 0.1, -1.0, 1.0)
    return WeightedEvents(x, weight, rng.integers(0, 5, n)), WeightedEvents(
        y, rng.uniform(1.0, 2.0, n), rng.integers(0, 5, n)
    )


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """As in a training; trees on several threads wait for one another on a busy machine."""
    with one_thread():
        yield


@pytest.mark.slow
@pytest.mark.parametrize("method", ["classifier", "hep_ml"])
def test_a_known_ratio_is_found_and_moves_the_source_onto_the_target(method: str) -> None:
    if method == "hep_ml":
        pytest.importorskip("hep_ml", reason="the extra `reweight` is not installed")
    source, target = sides()
    ratio = density_ratio(source, target, method=method, seed=1)
    truth = SHIFT * source.features[:, 0] - SHIFT**2 / 2
    assert np.corrcoef(np.log(ratio.factor), truth)[0, 1] > 0.94
    assert np.std(np.log(ratio.factor) - truth) < 0.25 < np.std(truth)
    assert ratio.factor @ source.weight == pytest.approx(source.weight.sum(), rel=1e-12)
    averages = np.average(source.features, axis=0, weights=source.weight * ratio.factor)
    expected = np.average(target.features, axis=0, weights=target.weight)
    # errors of the two means: 0.017 and 0.013; a ratio that is a little too flat adds some
    assert averages == pytest.approx(expected, abs=0.08)
    assert abs(np.average(source.features[:, 0], weights=source.weight) - expected[0]) > 0.5
    assert ratio.n_eff[1] < ratio.n_eff[0] == pytest.approx(source.weight.sum() ** 2 / (source.weight**2).sum())


def test_samples_that_are_alike_keep_their_weights() -> None:
    source, target = sides(4000, shift=0.0)
    ratio = density_ratio(source, target)
    assert np.std(ratio.factor) < 0.1 and ratio.clipped == 0.0


def test_no_event_is_weighted_by_a_model_that_saw_its_part() -> None:
    source, target = sides(2500)
    before = density_ratio(source, target).factor
    features = target.features.copy()
    features[target.part == 2] += 3.0
    after = density_ratio(source, replace(target, features=features)).factor
    in_part = source.part == 2
    ratio = after / before
    # the mean over all events has changed, within the part nothing else
    assert ratio[in_part] == pytest.approx(np.full(in_part.sum(), ratio[in_part][0]), rel=1e-9)
    for part in (0, 1, 3, 4):
        assert np.ptp(ratio[source.part == part]) > 0.01


def test_the_same_seed_gives_the_same_factors() -> None:
    source, target = sides(1500)
    first, second = (density_ratio(source, target, seed=7).factor for _ in range(2))
    assert np.array_equal(first, second)


def test_other_samples_get_the_factors_of_the_same_ratio_and_a_saved_one_gives_the_same(tmp_path: Path) -> None:
    source, target = sides(2000)
    other = WeightedEvents(source.features[:500], np.full(500, 7.0), source.part[:500])
    ratio = density_ratio(source, target, clip=1.5)
    assert ratio.fitted(other).tolist() == pytest.approx(ratio.factor[:500].tolist(), rel=1e-12)
    ratio.fitted.save(tmp_path / "ratio")
    assert FittedRatio.load(tmp_path / "ratio")(source).tolist() == ratio.factor.tolist()
    with pytest.raises(DataError, match="no model for events of part 7"):
        ratio.fitted(replace(other, part=other.part + 7))
    with pytest.raises(SourceError, match="has no density ratio"):
        FittedRatio.load(tmp_path)
    metadata = tmp_path / "ratio" / "ratio0.metadata.json"
    metadata.write_text(metadata.read_text().replace('"slope"', '"slop"'))
    with pytest.raises(SourceError, match=r"ratio0\.metadata\.json is not of a density ratio"):
        FittedRatio.load(tmp_path / "ratio")
    without_format = replace(ratio.fitted, estimates={0: lambda features: np.zeros(len(features))})
    with pytest.raises(ConfigError, match="hep_ml cannot be saved"):
        without_format.save(tmp_path)


def test_clipping_by_hand() -> None:
    weight = np.array([1.0, 1.0, -1.0, 1.0])
    ratio = reweighting._ratio(weight, np.log([4.0, 1.0, 2.0, 0.001]), 2.0, {})
    raw = np.array([4.0, 1.0, 2.0, 0.001]) / (7.001 / 4)
    clipped = np.array([2.0, raw[1], raw[2], 0.5])
    assert ratio.clipped == pytest.approx(0.5) and ratio.limits == (0.5, 2.0)
    assert ratio.factor == pytest.approx(clipped * 2.0 / (weight @ clipped))
    assert ratio.as_manifest()["clipped"] == ratio.clipped
    source, target = sides(1500, shift=2.5)
    narrow = density_ratio(source, target, clip=1.5)
    assert narrow.clipped > 0.3 and narrow.factor.max() / narrow.factor.min() <= 1.5**2 + 1e-9
    assert narrow.factor @ source.weight == pytest.approx(source.weight.sum())


def test_what_cannot_be_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = sides(300)
    with pytest.raises(ConfigError, match="Did you mean 'classifier'"):
        density_ratio(source, target, method="clasifier")
    with pytest.raises(DataError, match="events in 2 parts"):
        density_ratio(*(replace(s, part=s.part % 2) for s in (source, target)))
    with pytest.raises(DataError, match="source events add up to"):
        density_ratio(replace(source, weight=-np.abs(source.weight)), target)
    with pytest.raises(DataError, match="0 target events"):
        density_ratio(source, target.of(target.part < 1))

    def absent(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(MissingExtraError, match=r"hepda\[reweight\]"):
        density_ratio(source, target, method="hep_ml")
