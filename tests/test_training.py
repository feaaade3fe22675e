import copy
import dataclasses

import numpy as np
import pytest
import torch

from hepda.adversarial import Network
from hepda.baselines import bdt
from hepda.config import load_config
from hepda.errors import MissingExtraError, TrainingError
from hepda.events.load import load_table
from hepda.events.store import write_table
from hepda.parallel import one_thread
from hepda.training import build_network, jobs_of, read_job, run_job, run_jobs
from tests.factory import write_analysis

SMALL = ("models.network.ensemble=2", "models.bdt.iterations=5", "training.epochs=3", "training.patience=2")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The config, the table in memory, and the folder where it is written."""
    folder = tmp_path_factory.mktemp("analysis")
    config = load_config(write_analysis(folder, n=300), SMALL)
    table = load_table(config).table
    write_table(table, folder / "table")
    return config, table, folder / "table"


def jobs_in(prepared, folder):
    config, _, table = prepared
    (folder / "work").mkdir(parents=True, exist_ok=True)
    return jobs_of(config, table, folder / "run", folder / "work", "cpu")


def only(jobs, *names):
    return [job for job in jobs if job.name in names]


def numbers(result):
    """All of a training that must not depend on the clock."""
    history = {name: values for name, values in result.history.items() if name != "seconds"}
    about = {k: v for k, v in result.about.items() if k not in ("seconds", "rows_per_second")}
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
    other = jobs_of(config.model_copy(update={"seed": 2}), table, tmp_path, tmp_path, "cpu")
    assert {job.name: job.seed for job in other}.keys() == jobs.keys()
    assert all(job.seed != jobs[job.name] for job in other)


def test_a_network_is_what_the_config_says(prepared):
    config, table, _ = prepared
    plain = build_network(8, config.models["network"], 5, {"features": list(table.names)})
    domain = config.models["dann"].domain.model_copy(
        update={"strength": 2.5, "warmup": 3, "steps": 2, "learning_rate_factor": 0.5, "schedule": "linear"}
    )
    section = config.models["dann"].model_copy(update={"domain": domain})
    dann = build_network(8, section, 5, {})
    assert list(plain.heads) == ["class"] and list(dann.heads) == ["class", "domain"]
    assert plain.metadata["features"] == list(table.names)
    head = dann.heads["domain"]
    assert (head.rows, head.weight, head.balance, head.steps, head.rate) == ("adversary", "adversary", True, 2, 0.5)
    assert (head.reversal.strength, head.reversal.warmup, head.reversal.schedule) == (2.5, 3, "linear")
    ours, theirs = dict(plain.named_parameters()), dict(dann.named_parameters())
    assert set(ours) < set(theirs)
    for name, values in ours.items():
        assert torch.equal(values, theirs[name]), name
    again = dict(build_network(8, section, 5, {}).named_parameters())
    assert all(torch.equal(values, theirs[name]) for name, values in again.items())
    assert not torch.equal(next(build_network(8, section, 6, {}).parameters()), next(dann.parameters()))


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
    (whole,) = run_jobs([job], 1, silent)
    (job,) = only(jobs_in(prepared, tmp_path / "parts"), "dann-fold0-member0")

    def interrupt(name, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs([job], 1, interrupt)
    assert not (job.work / f"{job.name}.npz").exists() and list(job.work.glob("*.checkpoint"))
    epochs = []
    (resumed,) = run_jobs([job], 1, lambda name, done, total: epochs.append(done))
    assert epochs[0] == 2  # the first epoch is not done again
    assert numbers(resumed) == numbers(whole)


def test_the_seed_decides_the_numbers(prepared, tmp_path):
    (job,) = only(jobs_in(prepared, tmp_path / "a"), "network-fold0-member0")
    other = dataclasses.replace(
        job, config=job.config.model_copy(update={"seed": 9}), work=tmp_path / "b", run=tmp_path / "b"
    )
    other.work.mkdir()
    one, two = run_jobs([job], 1, silent)[0], run_jobs([other], 1, silent)[0]
    assert not np.array_equal(one.score, two.score)


@pytest.mark.slow
def test_processes_change_no_digit(prepared, tmp_path):
    names = ("dann-fold0-member0", "network-fold0-member1", "bdt-fold0-member0", "bdt-fold1-member0")
    one = run_jobs(only(jobs_in(prepared, tmp_path / "one"), *names), 1, silent)
    calls = []
    two = run_jobs(only(jobs_in(prepared, tmp_path / "two"), *names), 2, lambda *call: calls.append(call))
    assert [result.name for result in two] == [result.name for result in one]
    assert [numbers(result) for result in two] == [numbers(result) for result in one]
    # Every message of the processes arrives, the last one too.
    assert {call[0] for call in calls if call[1:] == (1, 1)} == set(names)


@pytest.mark.slow
def test_what_goes_wrong_in_a_process_is_said(prepared, tmp_path):
    jobs = only(jobs_in(prepared, tmp_path), "bdt-fold0-member0", "bdt-fold1-member0")
    broken = [dataclasses.replace(job, table=tmp_path / "absent") for job in jobs]
    with pytest.raises(FileNotFoundError, match="absent"):
        run_jobs(broken, 2, silent)
    assert not list((tmp_path / "work").iterdir())


@pytest.mark.parametrize("error", [MissingExtraError("xgboost", "xgboost"), TrainingError("dead")])
def test_errors_travel_between_processes(error):
    # copy takes the way that a process pool takes: __reduce_ex__.
    again = copy.copy(error)
    assert type(again) is type(error) and str(again) == str(error)
