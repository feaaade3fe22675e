import copy
import dataclasses
import re
import sys

import numpy as np
import pytest
import torch

from hepda.adversarial import Head, Network, Reversal, Trainer, mlp, seeded
from hepda.adversarial.networks.tail import Tail
from hepda.baselines import bdt
from hepda.config import DomainConfig, ReweightConfig, load_config
from hepda.errors import ConfigError, MissingExtraError, StorageError, TrainingError
from hepda.events.dataset.load import load_table
from hepda.events.resolve import dataset_spec, model_spec, model_specs
from hepda.events.specs import ModelSpec
from hepda.events.table.store import write_table
from hepda.events.training import jobs as training
from hepda.events.training.jobs import build_network, check_extras, jobs_of, train_network
from hepda.events.training.tensors import model_features
from hepda.kinds import kind_of
from hepda.runtime.jobs import read_job, run_job, run_jobs
from hepda.runtime.pool import one_thread
from hepda.runtime.resources import Resources
from hepda.workflows.training_record import training_warnings
from tests.factory import write_analysis

SMALL = ("models.network.ensemble=2", "models.bdt.iterations=5", "training.epochs=3", "training.patience=2")

SIDES = {"source": ("background",), "target": ("background_alt",)}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The config, the table in memory, and the folder where it is written."""
    folder = tmp_path_factory.mktemp("analysis")
    config = load_config(write_analysis(folder, n=300), SMALL)
    table = load_table(dataset_spec(config)).table
    write_table(table, folder / "table")
    return config, table, folder / "table"


def jobs_in(prepared, folder):
    config, _, table = prepared
    (folder / "work").mkdir(parents=True, exist_ok=True)
    return jobs_of(model_specs(config), table, folder / "run", folder / "work", "cpu")


def only(jobs, *names):
    return [job for job in jobs if job.name in names]


def numbers(result):
    """All of a training that must not depend on the clock."""
    history = {name: values for name, values in result.history.items() if name != "seconds"}
    about = {k: v for k, v in result.about.items() if k not in ("seconds", "cpu_seconds", "rows_per_second")}
    return result.score.tobytes(), history, about


def silent(name, done, total):
    pass


def test_jobs_are_every_model_fold_and_member_the_longest_first(prepared, tmp_path):
    jobs = jobs_in(prepared, tmp_path)
    assert sorted(job.name for job in jobs) == sorted(
        [f"network-fold{fold}-member{member}" for fold in (0, 1) for member in (0, 1)]
        + [f"{model}-fold{fold}-member0" for model in ("dann", "bdt") for fold in (0, 1)]
    )
    assert [job.model for job in jobs] == ["dann"] * 2 + ["network"] * 4 + ["bdt"] * 2
    assert jobs[0].folder == tmp_path / "run" / "models" / "dann" and jobs[0].stem == "fold0-member0"


def test_seeds_are_fixed_by_the_seed_of_the_analysis_fold_and_member(prepared, tmp_path):
    jobs = {job.name: job.seed for job in jobs_in(prepared, tmp_path)}
    network = [jobs[f"network-fold{fold}-member{member}"] for fold in (0, 1) for member in (0, 1)]
    assert len(set(network)) == 4
    # Models are compared: they start from the same weights and see the same batches.
    assert jobs["dann-fold0-member0"] == jobs["network-fold0-member0"]
    config, _, table = prepared
    other = jobs_of(model_specs(config.model_copy(update={"seed": 2})), table, tmp_path, tmp_path, "cpu")
    assert {job.name: job.seed for job in other}.keys() == jobs.keys()
    assert all(job.seed != jobs[job.name] for job in other)


def test_the_momentum_of_the_config_is_that_of_the_optimizer(prepared, tmp_path):
    def trained(name, momentum):
        config, table, folder = prepared
        training = config.models["network"].training.model_copy(update={"momentum": momentum})
        section = config.models["network"].model_copy(update={"training": training})
        config = config.model_copy(update={"models": config.models | {"network": section}})
        [job] = only(jobs_in((config, table, folder), tmp_path / name), "network-fold0-member0")
        return numbers(run_job(None, job, silent))

    usual = trained("usual", None)
    assert trained("named", 0.9) == usual and trained("little", 0.1) != usual


def test_a_network_is_what_the_config_says(prepared):
    config, table, _ = prepared
    baseline = build_network(8, ModelSpec("network", config.models["network"]), 5, {"features": list(table.names)})
    domain = config.models["dann"].domain.model_copy(
        update={"strength": 2.5, "warmup": 3, "steps": 2, "learning_rate_factor": 0.5, "schedule": "linear"}
    )
    section = config.models["dann"].model_copy(update={"domain": domain})
    dann = build_network(8, ModelSpec("dann", section), 5, {})
    assert list(baseline.heads) == ["class"] and list(dann.heads) == ["class", "domain"]
    assert baseline.metadata["features"] == list(table.names)
    head = dann.heads["domain"]
    assert (head.rows, head.weight, head.balance, head.steps, head.rate) == ("adversary", "adversary", True, 2, 0.5)
    assert (head.reversal.strength, head.reversal.warmup, head.reversal.schedule) == (2.5, 3, "linear")
    ours, theirs = dict(baseline.named_parameters()), dict(dann.named_parameters())
    assert set(ours) < set(theirs)
    for name, values in ours.items():
        assert torch.equal(values, theirs[name]), name
    again = dict(build_network(8, ModelSpec("dann", section), 5, {}).named_parameters())
    assert all(torch.equal(values, theirs[name]) for name, values in again.items())
    assert not torch.equal(
        next(build_network(8, ModelSpec("dann", section), 6, {}).parameters()), next(dann.parameters())
    )


def test_the_registry_builds_the_domain_head_that_was_built_by_hand(prepared):
    """Method dann is a head of these settings, its weights drawn after those of the others: digits stay."""
    config, _, _ = prepared
    domain = config.models["dann"].domain
    for kind, (inputs, read) in {"features": (16, "features"), "score": (1, "class")}.items():
        update = {"input": kind, "strength": 165.0, "warmup": 1, "head": (32, 32), "balance": False}
        section = config.models["dann"].model_copy(update={"domain": domain.model_copy(update=update)})
        built = build_network(8, ModelSpec("dann", section), 5, {})
        with seeded(5):
            encoder = mlp(8, section.encoder)
            heads = [Head("class", mlp(16, [], 1), weight="class")]
            reversal, rows = Reversal(165.0, schedule="ganin", warmup=1), {"rows": "adversary", "weight": "adversary"}
            module = mlp(inputs, (32, 32), 1)
            heads.append(Head("domain", module, input=read, target="domain", balance=False, reversal=reversal, **rows))
        by_hand = Network(encoder, heads)
        assert [head.spec() for head in built.heads.values()] == [head.spec() for head in by_hand.heads.values()]
        ours, theirs = built.state_dict(), by_hand.state_dict()
        assert list(ours) == list(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("method", "heads", "terms"),
    [
        ("none", [], []),
        ("pivot", ["domain"], []),
        ("cdan+e", ["domain"], []),
        ("disco", [], ["disco"]),
        ("mmd, coral", [], ["mmd", "coral"]),
        ("wasserstein", [], ["wasserstein"]),
        ("joint-mmd", [], ["joint_mmd"]),
        ("mdd", [], ["mdd"]),
        ("dann,pivot", ["domain", "domain_pivot"], []),
    ],
)
def test_every_method_trains_by_the_config(prepared, tmp_path, method, heads, terms):
    config, _, _ = prepared
    section = config.models["dann"]
    section = section.model_copy(update={"domain": DomainConfig(**SIDES, method=method, schedule="constant")})
    config = validate_like(config, {"dann": section})
    network = build_network(8, ModelSpec("dann", section), 5, {})
    assert list(network.heads)[1:] == heads and [term.name for term in network.terms] == terms
    (job,) = only(jobs_in((config, *prepared[1:]), tmp_path), "dann-fold0-member0")
    result = run_job(None, job, silent)
    assert np.isfinite(result.score).all()
    for name in (*heads, *terms):
        assert np.isfinite(result.history[f"{name}_loss"][-1]) and result.history[f"{name}_gradient"][0] > 0.0


def validate_like(config, models):
    return config.model_copy(update={"models": dict(config.models) | models})


def test_settings_of_the_domain_loss_reach_the_core(prepared, tmp_path, monkeypatch):
    config, _, _ = prepared
    domain = DomainConfig(
        **SIDES, smoothing=0.1, spectral_norm=True, gradient_penalty=2.0,
        tail=0.3, combine="projection", batch_share=0.25, head=(8,),
    )  # fmt: skip
    section = config.models["dann"].model_copy(update={"domain": domain})
    head = build_network(8, ModelSpec("dann", section), 5, {}).heads["domain"]
    assert (head.smoothing, head.gradient_penalty, head.tail) == (0.1, 2.0, Tail(0.3))
    assert any("parametrizations" in name for name in head.module.state_dict())
    (job,) = only(
        jobs_in((validate_like(config, {"dann": section}), *prepared[1:]), tmp_path / "a"), "dann-fold0-member0"
    )
    result, network = run_job(None, job, silent), Network.load(job.folder / "fold0-member0.safetensors")
    held_out = prepared[1].fold == 0
    assert np.array_equal(network.predict(prepared[1].features[held_out]), result.score)
    trainers = []
    monkeypatch.setattr(Trainer, "fit", lambda self, *args, **kwargs: trainers.append(self) or stop())
    with pytest.raises(InterruptedError):
        train_network(job, silent)
    assert trainers[0].settings.combine == "projection" and trainers[0].settings.target_size == round(256 / 3)


def stop():
    raise InterruptedError


def test_members_of_an_ensemble_share_one_reweighting(prepared, tmp_path, monkeypatch):
    config, _, _ = prepared
    weighted = config.models["network"].model_copy(update={"reweight": ReweightConfig(**SIDES)})
    changed = validate_like(config, {"network": weighted})
    jobs = only(jobs_in((changed, *prepared[1:]), tmp_path), "network-fold0-member0", "network-fold0-member1")
    first = run_job(None, jobs[0], silent)
    entry = first.about["reweight"]
    assert entry["method"] == "classifier" and entry["n_eff"]["before"] > 20 and 0.0 <= entry["clipped"] < 0.5
    assert any("reweight" in line for line in first.about["alarms"]) == (entry["clipped"] > 0.0)
    monkeypatch.setattr("hepda.events.training.tensors.training_factors", None)  # it is not asked again
    second = run_job(None, jobs[1], silent)
    assert second.about["reweight"] == entry
    (baseline,) = only(jobs_in(prepared, tmp_path / "plain"), "network-fold0-member0")
    monkeypatch.undo()
    assert not np.array_equal(run_job(None, baseline, silent).score, first.score)


def test_a_parameter_is_in_the_metadata_and_the_score_is_that_at_0(prepared, tmp_path):
    config, table, _ = prepared
    informed = config.models["network"].model_copy(
        update={
            "train_on": ("signal", "background", "signal_alt", "background_alt"),
            "parameter": {"simulation": 0.0, "alternative": 1.0},
        }
    )
    changed = validate_like(config, {"network": informed})
    (job,) = only(jobs_in((changed, *prepared[1:]), tmp_path), "network-fold1-member0")
    result = run_job(None, job, silent)
    network = Network.load(job.folder / "fold1-member0.safetensors")
    assert network.metadata["features"] == list(table.names)
    assert network.metadata["parameter"] == {"domains": {"simulation": 0.0, "alternative": 1.0}, "value": 0.0}
    rows = table.fold == 1
    for value, same in ((None, True), (0.0, True), (1.0, False)):
        score = network.predict(model_features(model_spec(changed, "network"), table, value, rows=rows))
        assert np.array_equal(score, result.score) == same


def test_one_thread_within_the_block_and_as_before_after_it():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with pytest.raises(RuntimeError, match="within"), one_thread():
            raise RuntimeError("within")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["dann-fold1-member0", "bdt-fold0-member0"])
def test_a_job_leaves_scores_of_its_fold_a_model_and_a_history(prepared, tmp_path, name):
    _, table, _ = prepared
    (job,) = only(jobs_in(prepared, tmp_path), name)
    calls = []
    result = run_job(None, job, lambda *call: calls.append(call))
    assert numbers(read_job(job)) == numbers(result)
    held_out = table.fold == job.fold
    assert result.score.dtype == np.float32 and len(result.score) == held_out.sum()
    assert ((result.score > 0) & (result.score < 1)).all() and result.about["seconds"] > 0
    assert calls[-1] == (name, 1, 1)
    if job.model == "dann":
        network = Network.load(job.folder / "fold1-member0.safetensors")
        assert np.array_equal(network.predict(table.features[held_out]), result.score)
        assert network.metadata["features"] == list(table.names)
        assert len(result.history["class_loss"]) == result.about["epochs"] <= 3
        assert {"domain_loss", "validation_class_loss", "seconds"} <= set(result.history)
        assert [call[1:] for call in calls[:-1]] == [(epoch + 1, 3) for epoch in range(result.about["epochs"])]
    else:
        trees, about = bdt.load(job.folder, "fold0-member0")
        assert np.array_equal(trees.predict(table.features[held_out]), result.score)
        assert about["features"] == list(table.names) and about["missing"] == -1.0
        assert result.history == {} and result.about["epochs"] == trees.trees
        assert result.about["alarms"] == [trees.note] and "absolute value of negative weights" in trees.note


def test_trees_may_be_trained_on_a_part_of_the_events_and_score_all(prepared, tmp_path, monkeypatch):
    config, table, folder = prepared
    monkeypatch.setattr(training, "_SCORED", 70)
    result = {}
    for most in (None, 150, 10**6):
        bdt_config = config.models["bdt"].model_copy(update={"events": most})
        some = config.model_copy(update={"models": {"bdt": bdt_config}})
        (tmp_path / str(most)).mkdir()
        (job, _) = jobs_of(model_specs(some), folder, tmp_path / f"run{most}", tmp_path / str(most), "cpu")
        result[most] = run_job(None, job, silent)
    complete, part, all_ = result[None], result[150], result[10**6]
    available = int((table.of_samples(config.training_samples("bdt")) & (table.fold != 0)).sum())
    assert complete.about["events"] == available and 150 * 0.7 < part.about["events"] < 150 * 1.3
    assert f"trained on {part.about['events']} of {available} events, chosen by hash (`events`)" in part.about["alarms"]
    assert len(part.score) == len(complete.score) and (part.score != complete.score).any()
    assert numbers(all_) == numbers(complete)


def test_what_does_not_fit_the_memory_is_refused_with_what_would(prepared, monkeypatch):
    config, table, _ = prepared
    monkeypatch.setattr(training, "_PER_NUMBER", 10**6)
    resources = Resources(memory=2 * 10**9)
    with pytest.raises(ConfigError, match=r"models\.bdt: its training holds .*train it on a part of them .*") as caught:
        training.check_memory(model_specs(config), table, resources, 2)
    (events,) = re.findall(r"models\.bdt\.events: (\d+)\)", str(caught.value))
    section = config.models["bdt"]
    part = config.model_copy(update={"models": {"bdt": section.model_copy(update={"events": int(events)})}})
    assert training.check_memory(model_specs(part), table, resources, 2) == 1
    ratio = ReweightConfig(**{name: SIDES[name] for name in ("source", "target")})
    weighted = config.model_copy(update={"models": {"bdt": section.model_copy(update={"reweight": ratio})}})
    with pytest.raises(ConfigError, match="take its reweighting out"):
        training.check_memory(model_specs(weighted), table, resources, 2)


def test_finished_jobs_are_not_done_again_and_missing_ones_give_the_same_numbers(prepared, tmp_path):
    jobs = only(jobs_in(prepared, tmp_path), "network-fold0-member0", "network-fold1-member0")
    first = run_jobs(jobs, 1, silent)
    assert [result.name for result in first] == [job.name for job in jobs]
    kept, lost = (job.work / f"{job.name}.npz" for job in jobs)
    stamp = kept.stat().st_mtime_ns
    lost.unlink()
    jobs[1].work.joinpath(f"{jobs[1].name}.checkpoint").unlink(missing_ok=True)
    calls = []
    again = run_jobs(jobs, 1, lambda *call: calls.append(call))
    assert kept.stat().st_mtime_ns == stamp and calls[0] == (jobs[0].name, 1, 1)
    assert [numbers(result) for result in again] == [numbers(result) for result in first]


def test_an_interrupted_training_goes_on_as_if_it_had_not_been(prepared, tmp_path):
    (job,) = only(jobs_in(prepared, tmp_path / "whole"), "dann-fold0-member0")
    (complete,) = run_jobs([job], 1, silent)
    (job,) = only(jobs_in(prepared, tmp_path / "parts"), "dann-fold0-member0")

    def interrupt(name, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs([job], 1, interrupt)
    assert not (job.work / f"{job.name}.npz").exists() and list(job.work.glob("*.checkpoint"))
    epochs = []
    (resumed,) = run_jobs([job], 1, lambda name, done, total: epochs.append(done))
    assert epochs[0] == 2  # the first epoch is not done again
    assert numbers(resumed) == numbers(complete)


def test_the_seed_decides_the_numbers(prepared, tmp_path):
    (job,) = only(jobs_in(prepared, tmp_path / "a"), "network-fold0-member0")
    other = dataclasses.replace(job, base_seed=9, work=tmp_path / "b", run=tmp_path / "b")
    other.work.mkdir()
    first, second = run_jobs([job], 1, silent)[0], run_jobs([other], 1, silent)[0]
    assert not np.array_equal(first.score, second.score)


@pytest.mark.slow
def test_processes_change_no_digit(prepared, tmp_path):
    names = ("dann-fold0-member0", "network-fold0-member1", "bdt-fold0-member0", "bdt-fold1-member0")
    in_one_process = run_jobs(only(jobs_in(prepared, tmp_path / "one"), *names), 1, silent)
    calls = []
    two = run_jobs(only(jobs_in(prepared, tmp_path / "two"), *names), 2, lambda *call: calls.append(call))
    assert [result.name for result in two] == [result.name for result in in_one_process]
    assert [numbers(result) for result in two] == [numbers(result) for result in in_one_process]
    # Every message of the processes arrives, the last one too.
    assert {call[0] for call in calls if call[1:] == (1, 1)} == set(names)


@pytest.mark.slow
def test_what_goes_wrong_in_a_process_is_said(prepared, tmp_path):
    jobs = only(jobs_in(prepared, tmp_path), "bdt-fold0-member0", "bdt-fold1-member0")
    broken = [dataclasses.replace(job, table=tmp_path / "absent") for job in jobs]
    with pytest.raises(StorageError, match="absent"):
        run_jobs(broken, 2, silent)
    assert not list((tmp_path / "work").iterdir())


@pytest.mark.parametrize(
    "error",
    [MissingExtraError("xgboost", "xgboost"), MissingExtraError("hep_ml", "reweight", "a"), TrainingError("dead")],
)
def test_errors_travel_between_processes(error):
    # copy takes the way that a process pool takes: __reduce_ex__.
    again = copy.copy(error)
    assert type(again) is type(error) and str(again) == str(error)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "extra", "override", "where"),
    [
        ("lightgbm", "lightgbm", "models.bdt.library=lightgbm", "models.bdt.library"),
        ("hep_ml", "reweight", "models.network.reweight={source: [background], target: [background_alt], "
         "method: hep_ml}", "models.network.reweight.method"),
        ("hep_ml", "reweight", "models.dann.domain.reweight={method: hep_ml}", "models.dann.domain.reweight.method"),
    ],
)  # fmt: skip
def test_a_library_that_is_missing_is_told_before_anything_is_read(
    tmp_path, monkeypatch, package, extra, override, where
):
    config = load_config(write_analysis(tmp_path, n=20), [override])
    check_extras(config.models)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError) as raised:
        kind_of(config).load(silent)
    assert str(raised.value) == f"{where}: {package} is not installed; install it with: pip install 'hepda[{extra}]'"


def test_which_kernels_are_the_faster_is_asked_once_for_all_jobs(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr("hepda.adversarial.training.settings.worthwhile", lambda: True)
    assert {job.kernels for job in jobs_in(prepared, tmp_path)} == {"onednn"}
    monkeypatch.setattr("hepda.adversarial.training.settings.worthwhile", lambda: False)
    (job,) = only(jobs_in(prepared, tmp_path), "network-fold0-member0")
    assert job.kernels == "plain"
    # Another process may find the other: the job says what it is trained with.
    monkeypatch.setattr("hepda.adversarial.training.settings.worthwhile", lambda: True)
    assert run_jobs([job], 1, silent)[0].about["kernels"] == "plain"


def test_alarms_that_differ_by_numbers_alone_are_told_once_a_model() -> None:
    record = {f"bdt-fold{fold}-member0": {"alarms": [f"weights: 1{fold}.2 % were negative"]} for fold in (0, 1)}
    record |= {"dann-fold0-member0": {"alarms": ["collapse: the loss rose", "weights: 15.1 % were negative"]}}
    assert training_warnings(record) == [
        "bdt-fold0-member0: weights: 10.2 % were negative (and in 1 more trainings of bdt)",
        "dann-fold0-member0: collapse: the loss rose",
        "dann-fold0-member0: weights: 15.1 % were negative",
    ]
