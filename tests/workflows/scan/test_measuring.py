"""What chooses does not report, what reports does not choose, and no label of the target is looked at."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import log_loss

from hepda.config import load_config
from hepda.config.scan import parse_vary
from hepda.errors import DataError
from hepda.events import steps
from hepda.events.domains.blinding import BLINDED
from hepda.events.resolve import dataset_spec
from hepda.events.table.fingerprint import table_identity
from hepda.events.table.store import write_table
from hepda.runtime.jobs import run_job
from hepda.workflows.scan.measuring import (
    Scored,
    choosing_numbers,
    choosing_pairs,
    counts,
    null_numbers,
    reporting_numbers,
    source_loss,
)
from hepda.workflows.scan.points import ScanSource, checksum, make_trial, trial_fingerprint
from hepda.workflows.scan.trainings import trial_score
from tests.factory import write_analysis

OVER = ("features=[ht, m_bb]", "plots={}", "evaluation.blind=null", "negative_weights=absolute", "training.epochs=1")


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """The config, its table, and a score that knows the classes and a little of the domains."""
    path = write_analysis(tmp_path_factory.mktemp("analysis"), n=1500)
    config = load_config(path, OVER)
    table = steps.load(config, lambda *_: None).table
    rng = np.random.default_rng(1)
    raw = rng.normal(size=len(table)) + 1.2 * (table.label == 1) + 0.3 * table.of_domain("alternative")
    return path, config, table, (1 / (1 + np.exp(-raw))).astype(np.float32)


def numbers(config, table, score):
    return reporting_numbers(config, table, score)[0], choosing_numbers(config, table, "dann", score, "physics", [])[0]


def test_no_event_both_chooses_and_reports(events):
    _, config, table, score = events
    reported, chosen = numbers(config, table, score)
    assert None not in (*reported.values(), *chosen.values())
    noise = np.random.default_rng(2).random(len(table)).astype(np.float32)
    other_choosing = numbers(config, table, np.where(table.validation, noise, score))
    assert other_choosing[0] == reported and all(other_choosing[1][name] != chosen[name] for name in chosen)
    other_reporting = numbers(config, table, np.where(table.validation, score, noise))
    assert other_reporting[1] == chosen and all(other_reporting[0][name] != reported[name] for name in reported)
    n_events = counts(table)
    assert n_events["choosing"] == table.validation.sum() and n_events["choosing"] + n_events["reporting"] == len(table)


def test_the_choice_looks_at_no_label_of_the_target(events):
    _, config, table, score = events
    before = choosing_numbers(config, table, "dann", score, "physics", [])[0]
    target = ~table.of_domain("simulation")
    blinded = replace(table, label=np.where(target, 1 - table.label, table.label).astype(np.int8))
    assert choosing_numbers(config, blinded, "dann", score, "physics", [])[0] == before
    in_source = replace(table, label=np.where(target, table.label, 1 - table.label).astype(np.int8))
    assert choosing_numbers(config, in_source, "dann", score, "physics", [])[0]["choice_loss"] != before["choice_loss"]


def test_the_source_loss_is_scikit_learns_with_balanced_classes(events):
    _, config, table, score = events
    mask = table.of_domain("simulation") & table.validation
    label, weight = table.label[mask], np.abs(table.weight[mask])
    for side in (0, 1):
        weight[label == side] /= weight[label == side].sum()
    expected = log_loss(label, score[mask].astype(np.float64), sample_weight=weight)
    assert source_loss(config, table, "dann", score) == pytest.approx(expected, rel=1e-6)


def test_the_probe_compares_what_the_adversary_compares_and_finds_what_is_there(events):
    _, config, table, score = events
    rows = Scored(table, np.arange(len(table)))
    ((source, target),) = choosing_pairs(config, rows, "dann", {})
    for side, domain in ((source, "simulation"), (target, "alternative")):
        mask = table.of_domain(domain) & (table.label == 0) & table.validation
        assert np.array_equal(side[0], np.flatnonzero(mask))
        assert np.array_equal(side[1], np.abs(table.weight[mask]))
    ((_, baseline),) = choosing_pairs(config, rows, "bdt", {})  # without an adversary: the first domain of the bias
    assert np.array_equal(baseline[0], target[0])
    shifted = np.where(table.of_domain("alternative"), 1 - 0.3 * (1 - score), score).astype(np.float32)
    blind, result = (choosing_numbers(config, table, "dann", s, "physics", [])[0]["choice_probe"]
                    for s in (np.random.default_rng(3).random(len(table)), shifted))  # fmt: skip
    assert abs(blind - 0.5) < 0.08 and result > 0.65


def test_the_probe_is_of_the_target_that_differs_most(events):
    path, _, _, _ = events
    target = (
        "models.dann.domain={source: [signal, background], target: {B: [background_alt], C: [signal_alt]}, rows: all}"
    )
    config = load_config(path, [*OVER, target])
    table = steps.load(config, lambda *_: None).table
    random = np.random.default_rng(6).random(len(table)).astype(np.float32)
    for domain, sample_name in (("B", "background_alt"), ("C", "signal_alt")):
        moved = np.where(table.of_samples([sample_name]), 1 - 0.2 * (1 - random), random).astype(np.float32)
        found = choosing_numbers(config, table, "dann", moved, "physics", [])[0]["choice_probe"]
        assert found > 0.65, domain


def test_variations_are_compared_on_other_events_than_the_nominal_ones(events):
    path, _, _, _ = events
    systematics = (
        "systematics={jes: {kind: shape, up: {jet_pt: jet_pt_jes_up}}, b: {kind: weight, up: 1 + ht / 1000, "
        "samples: background}}"
    )
    section = "models.dann.domain={source: [signal, background], target: {variation: [jes, b]}, rows: all}"
    config = load_config(path, [*OVER, systematics, section])
    loaded = steps.load(config, lambda *_: None)
    table, varied = loaded.table, loaded.varied["jes_up"]
    rows = Scored(table, table.key.astype(np.float64))
    pairs = choosing_pairs(config, rows, "dann", {"jes_up": Scored(varied, varied.key.astype(np.float64))})
    assert len(pairs) == 2
    for nominal, other in pairs:
        assert len(nominal[0]) > 50 < len(other[0]) and not set(nominal[0]) & set(other[0])
    chosen = table.validation & table.of_domain("simulation")
    assert len(pairs[1][0][0]) + len(pairs[1][1][0]) == chosen.sum()
    factor = np.where(table.label == 0, 1 + table.features[:, table.names.index("ht")] / 1000, 1.0)
    of_key = dict(zip(rows.score, np.abs(table.weight) * factor, strict=True))
    assert np.allclose(pairs[1][1][1], [of_key[key] for key in pairs[1][1][0]], rtol=1e-4)


def test_blinded_data_choose_nothing_and_are_not_reported(events):
    path, _, _, _ = events
    to_data = "models.dann.domain={source: [signal, background], target: [data], rows: all, head: [16]}"
    for blind, hidden in (("null", False), ("score > 0.7", True)):
        config = load_config(path, [*OVER, to_data, f"evaluation.blind={blind}"])
        table = steps.load(config, lambda *_: None).table
        score = np.random.default_rng(5).random(len(table)).astype(np.float32)
        chosen, why = choosing_numbers(config, table, "dann", score, "physics", [])
        assert (chosen["choice_probe"] is None) == hidden and chosen["choice_loss"] is not None
        assert ("ks_data" not in reporting_numbers(config, table, score)[0]) == hidden
        assert any(BLINDED in text for text in why) == hidden
        if hidden:
            with pytest.raises(DataError, match="blinded"):
                choosing_pairs(config, Scored(table, score), "dann", {})


def test_the_null_holds_the_ks_of_two_halves_of_one_domain(events):
    _, config, table, _ = events
    score = np.random.default_rng(4).random(len(table)).astype(np.float32)  # no difference anywhere
    null, reported = null_numbers(config, table, score), reporting_numbers(config, table, score)[0]
    for other in ("alternative", "third"):
        assert reported[f"ks_{other}"] < 1.3 * null[other]["ks"] < 0.2


def test_what_is_missing_says_why(events):
    _, config, table, score = events
    negative = replace(table, weight=np.where(table.of_domain("third"), -np.abs(table.weight), table.weight))
    reported, why = reporting_numbers(config, negative, score)
    assert (
        reported["ks_third"] is None and reported["shift_third_0.2"] is None and reported["ks_alternative"] is not None
    )
    assert any(text.startswith("ks_third: ") for text in why)


# --- what is trained once -----------------------------------------------------------------------------------------


def test_names_of_trainings_change_with_all_that_changes_them_and_nothing_else(events):
    path, _, table, _ = events

    def name(*overrides, model="dann", number=0):
        over = (*OVER, *overrides)
        source = ScanSource(str(path), over, ("dann", "network"), load_config(path, over))
        return trial_fingerprint(source.point(model, {}).at_seed(number), model, 7)

    same = ("evaluation.bootstrap=7", "plots={ht: {bins: 7}}", "training.processes=3", "samples.data.label=Data")
    assert {name(override) for override in same} == {name()}
    other = ("models.dann.domain.strength=2", "training.epochs=2", "seed=2", "models.dann.dropout=0.5", "split.folds=3",
             "models.dann.domain.method=cdan", "negative_weights=keep", "missing=-2")  # fmt: skip
    result = [name(override) for override in other]
    assert len({name(), *result}) == 1 + len(other)
    assert name(number=1) == name("seed=2") != name()
    assert name(model="network") == name("models.dann.domain.strength=2", model="network") != name()
    weights = replace(table, weight=1.5 * table.weight)
    assert checksum(table) != checksum(weights) and checksum(table) == checksum(replace(table))


def test_what_events_are_to_another_model_of_the_scan_changes_no_training(events):
    _, _, table, _ = events
    seen = table.columns["domain:dann:mask"]
    other = replace(table, columns={**table.columns, "domain:disco:mask": ~seen})
    assert checksum(other, "dann") == checksum(table, "dann") and checksum(other) != checksum(table)
    changed = replace(table, columns={**table.columns, "domain:dann:mask": ~seen})
    assert checksum(changed, "dann") != checksum(table, "dann")


def test_events_are_read_again_only_for_what_changes_them(events):
    path = events[0]
    free = (
        "models.dann.domain.strength=2",
        "training.epochs=2",
        "seed=2",
        "evaluation.bootstrap=7",
        "models.network.dropout=0.2",
    )

    def identity(*overrides):
        return table_identity(dataset_spec(load_config(path, (*OVER, *overrides))))

    assert {identity(override) for override in free} == {identity()}
    bound = ("selection=n_jets >= 6", "luminosity=2", "features=[ht]", "missing=-2", "split.folds=3",
             "models.dann.domain.rows=all")  # fmt: skip
    assert len({identity(), *(identity(override) for override in bound)}) == 7


def test_at_strength_zero_all_methods_are_the_plain_network_to_the_last_bit(events, tmp_path, monkeypatch):
    monkeypatch.setattr("hepda.adversarial.training.settings.worthwhile", lambda: False)
    path, config, table, _ = events
    write_table(table, tmp_path / "table")
    source = ScanSource(str(path), OVER, ("dann", "network"), config)
    zero = {parse_vary("models.dann.domain.strength=0").key: 0}
    points = [source.point("dann", zero | {"models.dann.domain.method": method}) for method in ("dann", "disco", "mmd")]
    trials = [make_trial(point, 0, tmp_path / "table", 0, tmp_path / "trainings", "auto") for point in points]
    assert len({trial.folder for trial in trials}) == 1
    trials = [make_trial(point, 0, tmp_path / "table", 0, tmp_path / str(i), "auto") for i, point in enumerate(points)]
    trials.append(make_trial(source.point("network", {}), 0, tmp_path / "table", 0, tmp_path / "plain", "auto"))
    for trial in trials:
        for job in trial.jobs:
            job.work.mkdir(parents=True, exist_ok=True)
            run_job(None, job, lambda *_: None)
    scores = [trial_score(trial).tobytes() for trial in trials]
    assert len(set(scores)) == 1
