"""Domain losses with several targets, class by class, and with the source's own events varied: rows and trainings."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepda.adversarial import Trainer
from hepda.config import load_config, validate
from hepda.errors import DataError
from hepda.evaluation.arrays import sample
from hepda.evaluation.differences.distances import kolmogorov_smirnov
from hepda.events.dataset.checks import check_table
from hepda.events.dataset.load import load_table
from hepda.events.kind import EventsKind
from hepda.events.resolve import dataset_spec, model_spec
from hepda.events.table.feature_table import FeatureTable
from hepda.events.training.domain_loss import ADVERSARY, VariedEvents, identifiers, varied_rows
from hepda.events.training.jobs import build_network, train_network
from hepda.events.training.tensors import network_part, training_features
from hepda.runtime.resources import Resources
from tests.factory import analysis, write_analysis

SYSTEMATICS: dict[str, Any] = {
    "jes": {"kind": "shape", "up": {"jet_pt": "jet_pt_jes_up"}, "down": {"jet_pt": "jet_pt_jes_down"}},
    "b_tag": {"kind": "weight", "up": "1 + met / 100"},
    "pileup": {"kind": "weight", "up": "1.5", "samples": ["background"]},
}
TIGHT = "(ht > 350) & (n_jets >= 5) & (n_b >= 2)"  # events enter and leave it with the energy scale


def with_target(target: Any, **more: Any) -> dict[str, Any]:
    """What replaces parts of the small analysis: a model with this target, and systematics."""
    domain = {"source": ["background"], "target": target, "head": [8]} | more
    if more.get("method") == "cramer":
        del domain["head"]
    models = {"dann": {"kind": "network", "encoder": [8], "domain": domain}}
    return {"models": models, "systematics": SYSTEMATICS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("varied")
    write_analysis(where, n=700)
    return where


def config_in(folder: Path, target: Any, **more: Any) -> Any:
    keys = with_target(target, **more)
    return load_config(folder / "small.yaml", [f"{name}={value}" for name, value in keys.items()] + [
        f"selection={TIGHT}"])  # fmt: skip


def part_of(config: Any, fold: int = 0) -> Any:
    loaded = load_table(dataset_spec(config))
    return loaded, network_part(model_spec(config, "dann"), loaded.table, fold, varied=loaded.varied)


def test_several_targets_have_numbers_masks_and_their_own_events(folder: Path) -> None:
    config = config_in(folder, {"B": ["background_alt"], "d-a": ["data"]}, rows="all", source=["signal", "background"])
    loaded, part = part_of(config)
    side = loaded.table.columns["domain:dann:side"]
    for number, name in ((1, "background_alt"), (2, "data")):
        assert np.array_equal(side == number, loaded.table.of_samples([name]))
    number = np.asarray(part.target.targets["domain"])
    data = loaded.table.of_samples(["data"]) & (loaded.table.fold != 0) & ~loaded.table.validation
    assert (number == 2).sum() == data.sum() > 30
    assert np.array_equal(part.target.masks["adversary/B"], number == 1)
    assert np.array_equal(part.target.masks["adversary/d_a"], number == 2)
    assert not np.asarray(part.source.targets["domain"]).any()
    for pair in ("B", "d_a"):  # every source row is compared with each
        assert np.array_equal(part.source.masks[f"adversary/{pair}"], part.source.masks[ADVERSARY])
    network = build_network(8, model_spec(config, "dann"), 1, {})
    assert network.heads["domain"].loss == "multiclass"


def test_class_by_class_follows_the_samples(folder: Path) -> None:
    config = config_in(
        folder, ["signal_alt", "background_alt"], source=["signal", "background"], rows="all", by="class"
    )
    loaded, part = part_of(config)
    model = model_spec(config, "dann")
    assert list(build_network(8, model, 1, {}).heads) == ["class", "domain_signal", "domain_background"]
    table = loaded.table
    chosen = table.of_samples(["signal_alt", "background_alt"]) & (table.fold != 0) & ~table.validation
    expected = table.of_samples(["signal_alt"])[chosen]
    assert np.array_equal(part.target.masks["adversary/signal"], expected)
    assert np.array_equal(part.target.masks["adversary/background"], ~expected)
    assert np.array_equal(part.source.masks["adversary/signal"], np.asarray(part.source.targets["class"]) == 1)
    # a class that a fold lacks in one domain
    gone = table.of_samples(["signal_alt"]) & table.validation
    columns = {**table.columns, "domain:dann:mask": table.columns["domain:dann:mask"] & ~gone}
    with pytest.raises(DataError, match=r"domain.target: has no validation events of signal"):
        check_table(dataset_spec(config), replace(table, columns=columns))


def test_a_weight_variation_is_the_same_rows_with_other_weights(folder: Path) -> None:
    loaded, part = part_of(config_in(folder, {"variation": ["b_tag", "pileup"]}, source=["signal", "background"],
                                     rows="all"))  # fmt: skip
    assert loaded.varied == {}
    n = len(part.source)
    assert part.target.partners == 2 and len(part.target) == 2 * n
    assert np.array_equal(part.target.features, np.tile(part.source.features, (2, 1)))
    nominal, varied = np.asarray(part.source.weights[ADVERSARY]), np.asarray(part.target.weights[ADVERSARY])
    met = np.asarray(part.source.features)[:, 7]
    assert np.allclose(varied[:n], nominal * (1 + met / 100), rtol=1e-6)
    background = np.asarray(part.source.targets["class"]) == 0  # `samples: background`: signal is as it was
    assert np.allclose(varied[n:], nominal * np.where(background, 1.5, 1.0))
    assert np.array_equal(part.target.targets["domain"], np.repeat([1, 2], n))


def test_a_shape_variation_is_matched_event_by_event(folder: Path) -> None:
    config = config_in(folder, {"variation": ["jes_up", "jes_down"]})
    loaded, part = part_of(config)
    table, n = loaded.table, len(part.source)
    nominal = table.of_samples(["signal", "background"]) & (table.fold != 0) & ~table.validation
    extra = n - int(nominal.sum())
    assert extra > 0  # events that only the larger scale selects
    weights = {k: np.asarray(v) for k, v in part.source.weights.items()}
    assert not weights["class"][-extra:].any() and not weights[ADVERSARY][-extra:].any()
    varied, features = np.asarray(part.target.weights[ADVERSARY]), np.asarray(part.source.features)
    up, down = np.asarray(part.target.features)[:n], np.asarray(part.target.features)[n:]
    both = (weights[ADVERSARY] != 0) & (varied[:n] != 0)
    assert both.sum() > 50
    assert np.allclose(up[both, 0], 1.02 * features[both, 0], rtol=1e-5)  # ht
    assert np.array_equal(up[both, 7], features[both, 7])  # met is as it was
    assert np.allclose(varied[:n][both], weights[ADVERSARY][both])
    lost = (weights[ADVERSARY] != 0) & (varied[n:] == 0)
    assert lost.any() and (features[lost, 0] < 350 / 0.98).all()
    assert varied[:n][-extra:].all() and not varied[n:][-extra:].any()
    kept = (weights[ADVERSARY] != 0) & ~lost
    assert np.allclose(down[kept, 0], 0.98 * features[kept, 0], rtol=1e-5)
    # no event of the held-out fold, varied or not
    sums = [loaded.varied["jes_up"].columns["domain:dann:weight"][loaded.varied["jes_up"].fold == fold].sum()
            for fold in (0, 1)]  # fmt: skip
    validation = np.asarray(part.target_validation.weights[ADVERSARY])[: len(part.source_validation)].sum()
    assert varied[:n].sum() + validation == pytest.approx(sums[1])


def test_events_of_one_key_keep_to_their_own_variation() -> None:
    """Three events of one key, of which the variation selects two; a new one enters."""
    config = validate(analysis(**with_target({"variation": ["jes_up"]})))

    def table(feature: list[float], key: list[int]) -> FeatureTable:
        n = len(key)
        zeros = np.zeros(n, np.int16)
        columns = {
            "domain:dann:mask": np.ones(n, np.bool_),
            "domain:dann:side": np.zeros(n, np.int8),
            "domain:dann:weight": np.arange(1.0, n + 1),
        }
        return FeatureTable(
            np.array(feature, np.float32)[:, None], ("x",), np.ones(n), np.arange(n, dtype=np.int8) % 2, zeros,
            ("simulation",), zeros + 1, ("signal", "background"), np.ones(n, np.int8), np.zeros(n, np.bool_),
            np.array(key, np.uint64), columns,
        )  # fmt: skip

    nominal, varied = table([0, 1, 2, 3, 4], [5, 7, 7, 7, 9]), table([10, 11, 30, 40], [7, 7, 8, 9])
    index, features = np.arange(5, dtype=np.int32), partial(training_features, model_spec(config, "dann"))
    rows = varied_rows(model_spec(config, "dann"), VariedEvents(nominal, {"jes_up": varied}, index, 0, False, features))
    assert rows.extra == 1
    assert np.array_equal(np.asarray(rows.source)[:, 0], [0, 1, 2, 3, 4, 30])
    assert np.array_equal(np.asarray(rows.target)[:, 0], [0, 10, 11, 3, 40, 30])
    assert np.array_equal(rows.weight, [0, 1, 2, 0, 4, 3])


def test_a_factor_that_is_not_finite_is_one_message_before_the_training(folder: Path) -> None:
    systematics = {"b": {"kind": "weight", "up": "1 / (n_extra_b - 1)"}}
    models = with_target({"variation": ["b"]})["models"]
    config = load_config(folder / "small.yaml", [f"models={models}", f"systematics={systematics}"])
    with pytest.raises(DataError, match=r"domain.target.variation: the factor systematics.b.up is not a finite number"):
        load_table(dataset_spec(config))


def test_the_cache_keeps_varied_events_and_another_systematic_is_another_table(folder: Path, tmp_path: Path) -> None:
    config = config_in(folder, {"variation": ["jes_up", "b_tag"]})
    resources = Resources(cache=tmp_path / "cache", folder=tmp_path / "table")
    first, again = (load_table(dataset_spec(config), resources=resources) for _ in range(2))
    assert "kept in" in first.note and "taken from" in again.note
    assert list(again.varied) == ["jes_up"]
    assert np.array_equal(first.varied["jes_up"].features, again.varied["jes_up"].features)
    assert np.array_equal(first.varied["jes_up"].features, load_table(dataset_spec(config)).varied["jes_up"].features)
    other = {"jes": {"kind": "shape", "up": {"jet_pt": "jet_pt_jes_down"}}, "b_tag": SYSTEMATICS["b_tag"]}
    changed = config.model_copy(update={"systematics": validate(analysis(systematics=other)).systematics})
    third = load_table(dataset_spec(changed), resources=resources)
    assert third.name != first.name and "kept in" in third.note
    damaged = next((first.folder / "variations" / "jes_up").glob("features.npy"))  # type: ignore[operator]
    damaged.write_bytes(damaged.read_bytes()[:-8])
    assert "damaged" in load_table(dataset_spec(config), resources=resources).note


@pytest.mark.parametrize("cached", [False, True])
def test_a_job_trains_on_varied_events_and_does_so_again(folder: Path, tmp_path: Path, cached: bool) -> None:
    config = config_in(folder, {"variation": ["jes", "b_tag"]}, method="cramer", strength=100.0)
    kind = EventsKind(config)
    kind.load(lambda *_: None, Resources(cache=tmp_path / "cache" if cached else None))
    job = kind.jobs(tmp_path / "run", tmp_path / "work", "cpu")[0]
    (tmp_path / "work").mkdir(exist_ok=True)
    score, about, columns = train_network(job, lambda _: None)
    assert about["epochs"] == 2 and {"cramer_jes_up_loss", "cramer_jes_down_loss", "cramer_b_tag_up_loss"} < set(
        columns
    )
    for file in (tmp_path / "work").glob("*.checkpoint*"):
        file.unlink()
    assert np.array_equal(score, train_network(job, lambda _: None)[0])
    names = [name for name, _ in kind.contents()]
    assert "features of background, jes_up" in names  # a resumed run compares them


def test_the_score_depends_less_on_the_variation(folder: Path) -> None:
    """The weight of b_tag grows with met; the class does as well, so that a free network uses it."""
    rng = np.random.default_rng(0)
    _, part = part_of(config_in(folder, {"variation": ["b_tag"]}))
    n = 3000
    label = rng.integers(0, 2, n)
    features = rng.normal(label[:, None] * 0.8, 1.0, (n, 2)).astype(np.float32)
    factor = np.exp(0.6 * features[:, 1] - 0.5)
    background = label == 0
    in_loss = np.where(background, 1.0, 0.0)
    source = replace(
        part.source, features=features, targets={"class": label.astype(np.float32)},
        weights={"class": np.ones(n), ADVERSARY: in_loss}, masks={ADVERSARY: background},
    )  # fmt: skip
    target = replace(part.target, features=features, targets={}, weights={ADVERSARY: in_loss * factor}, masks={})
    distances, areas = [], []
    for strength in (0.0, 30.0):
        more = {"method": "cramer", "strength": strength, "schedule": "constant"}
        model = model_spec(config_in(folder, {"variation": ["b_tag"]}, **more), "dann")
        network = build_network(2, model, 1, {})
        trainer = Trainer(epochs=25, batch_size=500, learning_rate=0.01, momentum=0.5, seed=1, device="cpu")
        trainer.fit(network, source, target)
        score = network.predict(features).astype(np.float64)
        pair = (
            sample(score[background], np.ones(int(background.sum())), "nominal"),
            sample(score[background], factor[background], "varied"),
        )
        distances.append(abs(kolmogorov_smirnov(*pair)[0]))
        areas.append(np.mean(score[label == 1][:, None] > score[background][None]))
    assert distances[1] < 0.25 * distances[0], distances
    assert areas[1] > 0.65, areas  # the other feature still separates the classes


def test_names_of_domains_are_made_identifiers() -> None:
    assert identifiers(["Wg1+jets", "a-b", "third"]) == ("Wg1_jets", "a_b", "third")
