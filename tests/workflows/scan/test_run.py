"""`hepda scan` end to end on small files: its numbers, what it does not do twice, and what each mistake says."""

import csv
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from hepda.errors import DataError
from hepda.events.dataset.splits import is_validation
from hepda.workflows.scan import trainings
from tests.factory import write_analysis, write_sample
from tests.test_cli import assert_refused, auc_by_pairs, ks_by_definition, run_cli, sets

SMALL = (
    "training.processes=1", "features=[ht, m_bb, n_b]", "plots={}", "training.epochs=1", "evaluation.blind=null",
    "training.learning_rate=0.02", "models.bdt.iterations=5", "evaluation.bootstrap=5",
)  # fmt: skip
STRENGTH = "models.dann.domain.strength"


def scan(config, folder, *arguments, small=SMALL):
    drawn = () if "--plots" in arguments else ("--plots", "none")
    return run_cli("scan", "--config", config, "--output", folder, "--processes", 1, *sets(*small), *drawn, *arguments)


@pytest.fixture(scope="module")
def ntuples(tmp_path_factory):
    return write_analysis(tmp_path_factory.mktemp("analysis"), n=600)


@pytest.fixture(scope="module", autouse=True)
def same_kernels():
    """Which kernels are the faster is measured, and may come out either way on a busy machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hepda.adversarial.training.settings.worthwhile", lambda: False)
        yield


@pytest.fixture(scope="module")
def done(ntuples, tmp_path_factory):
    """A finished scan of two strengths and two seeds: its folder, and what was printed."""
    folder = tmp_path_factory.mktemp("done") / "scan"
    status, out, err = scan(ntuples, folder, "--vary", f"{STRENGTH}=0,5", "--seeds", 2, "--plots", "all")
    assert (status, err) == (0, "")
    return folder, out


@pytest.fixture
def jobs(monkeypatch):
    """The trainings that are really started, by name of the job and seed."""
    started = []
    original = trainings.run_job

    def counted(shared, job, send):
        started.append((job.name, job.base_seed))
        return original(shared, job, send)

    monkeypatch.setattr(trainings, "run_job", counted)
    return started


def rows_of(folder):
    with (folder / "scan.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def timeless(rows):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


# --- numbers ------------------------------------------------------------------------------------------------------


def test_a_scan_leaves_a_row_a_point_and_seed_a_page_and_figures(done):
    folder, out = done
    rows = rows_of(folder)
    assert [(row[STRENGTH], row["seed"]) for row in rows] == [("0", "1"), ("0", "2"), ("5", "1"), ("5", "2")]
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml", "events.json", "figures", "figures.json", "log.txt", "looks.json", "scan.csv", "scan.html",
        "scan.json", "scan_chosen.csv", "trainings",
    }  # fmt: skip
    assert {path.name for path in (folder / "figures").iterdir()} == {
        f"scan_{what}_dann.{kind}" for what in ("tradeoff", "criterion") for kind in ("png", "pdf")
    } | {"data"}
    page = (folder / "scan.html").read_text()
    assert page.count("data:image/png") == 2 and "Scan of small" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert str(folder / "scan.html") in out and "chosen" in out
    assert "Held-out domain third: looked at once in this directory (scan 1; " in page
    assert not list(folder.glob("trainings/*/*.checkpoint"))


@pytest.mark.slow
def test_the_first_seed_is_what_train_gives_and_its_numbers_are_those_of_the_reporting_events(
    done, ntuples, tmp_path, monkeypatch
):
    folder, _ = done
    over = sets(*SMALL, f"{STRENGTH}=5", "evaluation.probes=false")
    status, _, err = run_cli("train", "--config", ntuples, "--output", tmp_path / "run", "--plots", "none", *over)
    assert (status, err) == (0, "")
    table = pq.read_table(tmp_path / "run" / "scores.parquet")
    columns = {name: np.asarray(table[name].to_pylist()) for name in table.column_names}
    reporting = ~is_validation(table["key"].to_numpy(), 0.2)
    row = next(row for row in rows_of(folder) if (row[STRENGTH], row["seed"]) == ("5", "1"))

    def of(domain, *labels):
        return reporting & (columns["domain"] == domain) & np.isin(columns["label"], labels)

    def columns_of(mask, *names):
        return [columns[name][mask] for name in names]

    for domain in ("simulation", "alternative"):
        expected = auc_by_pairs(*columns_of(of(domain, 0, 1), "dann", "label", "weight"))
        assert float(row[f"auc_{domain}"]) == pytest.approx(expected, abs=1e-12)
    of_simulation = columns_of(of("simulation", 0), "dann", "weight")
    for other in ("alternative", "third"):
        two = columns_of(of(other, 0), "dann", "weight")
        assert float(row[f"ks_{other}"]) == pytest.approx(ks_by_definition(*of_simulation, *two), abs=1e-12)
        score, weight = columns_of(of("simulation", 1), "dann", "weight")
        order = np.argsort(-score)
        cut = score[order][np.argmax(np.cumsum(weight[order]) >= 0.2 * weight.sum())]
        kept = [w[s >= cut].sum() / w.sum() for s, w in (of_simulation, two)]
        assert float(row[f"shift_{other}_0.2"]) == pytest.approx(kept[1] / kept[0] - 1, abs=0.05)


def test_means_spreads_and_the_choice_follow_from_the_rows(done):
    folder, _ = done
    rows, content = rows_of(folder), json.loads((folder / "scan.json").read_text())
    assert [point["values"][STRENGTH] for point in content["points"]] == [0, 5]
    assert [point["seeds"] for point in content["points"]] == [[1, 2], [1, 2]]
    for point in content["points"]:
        of_point = [row for row in rows if float(row[STRENGTH]) == point["values"][STRENGTH]]
        for name in ("auc_simulation", "ks_third", "shift_alternative_0.1", "probe_alternative", "choice_loss"):
            values = [float(row[name]) for row in of_point]
            assert point["mean"][name] == pytest.approx(np.mean(values))
            assert point["std"][name] == pytest.approx(np.std(values, ddof=1))
    loss = [point["mean"]["choice_loss"] for point in content["points"]]
    probe = [point["mean"]["choice_probe"] for point in content["points"]]
    able = [i for i in (0, 1) if loss[i] <= 1.05 * min(loss)]
    chosen = min(able, key=lambda i: (max(probe[i], 0.5), loss[i]))
    assert [point["chosen"] for point in content["points"]] == [chosen == 0, chosen == 1]
    assert content["chosen"]["dann"]["values"] == content["points"][chosen]["values"]
    assert content["events"]["choosing"] + content["events"]["reporting"] == sum(
        s["selected"] for s in content["samples"].values()
    )
    assert 0.1 < content["events"]["choosing"] / content["events"]["reporting"] < 0.4


def test_the_chosen_numbers_are_given_as_measured_and_corrected(done):
    folder, out = done
    content = json.loads((folder / "scan.json").read_text())
    (chosen,) = [point for point in content["points"] if point["chosen"]]
    assert chosen["best_of"] == content["chosen"]["dann"]["best_of"]
    assert all("best_of" not in point for point in content["points"] if point is not chosen)
    assert {"auc_simulation", "ks_third", "shift_third_0.2", "probe_third"} <= set(chosen["best_of"])
    for name, best in chosen["best_of"].items():
        assert best["naive"] == pytest.approx(chosen["mean"][name])
        assert best["low"] <= best["value"] <= best["high"] and (best["points"], best["seeds"]) == (2, 2)
    with (folder / "scan_chosen.csv").open() as file:
        table = {row["number"]: row for row in csv.DictReader(file)}
    for name, best in chosen["best_of"].items():
        assert float(table[name]["value"]) == best["value"]
        assert float(table[name]["bias"]) == pytest.approx(best["naive"] - best["value"])
    page = (folder / "scan.html").read_text()
    assert ", corrected" in page and "also the luckiest one. Corrected for that" in page
    assert "also the luckiest one" in " ".join(out.split()) and "(measured: 0." in " ".join(out.split())


def test_another_criterion_is_judged_without_training_again(done, ntuples, tmp_path, jobs):
    shutil.copytree(done[0], tmp_path / "scan")
    status, _, err = scan(
        ntuples, tmp_path / "scan", "--vary", f"{STRENGTH}=0,5", "--seeds", 2, "--criterion", "entropy"
    )
    assert (status, err) == (0, "") and jobs == []
    points = json.loads((tmp_path / "scan" / "scan.json").read_text())["points"]
    values = [point["mean"]["choice_entropy"] for point in points]
    assert [point["chosen"] for point in points] == [values[0] >= values[1], values[0] < values[1]]


def test_trees_and_keys_of_the_whole_analysis_can_be_scanned(ntuples, tmp_path, monkeypatch):
    from hepda.events import steps

    loads, original = [], steps.load
    monkeypatch.setattr(steps, "load", lambda config, *rest: loads.append(config.selection) or original(config, *rest))
    vary = ("--vary", "models.bdt.iterations=2,5", "--vary", 'selection="n_jets >= 5","n_jets >= 6"')
    status, _, err = scan(ntuples, tmp_path / "scan", *vary, "--seeds", 1)
    assert (status, err) == (0, "") and loads == ["n_jets >= 5", "n_jets >= 6"]
    content = json.loads((tmp_path / "scan" / "scan.json").read_text())
    assert [point["curve"] for point in content["points"]] == ["bdt, selection n_jets >= 5"] * 2 + [
        "bdt, selection n_jets >= 6"
    ] * 2
    assert [point["values"]["models.bdt.iterations"] for point in content["points"]] == [2, 5, 2, 5]
    assert content["points"][0]["mean"]["auc_simulation"] != content["points"][2]["mean"]["auc_simulation"]
    std = content["points"][0]["std"]
    assert std.pop("why") and set(std.values()) == {None}


# --- nothing twice ------------------------------------------------------------------------------------------------


def test_an_interrupted_scan_goes_on(done, ntuples, tmp_path, monkeypatch):
    started, original = [], trainings.run_job

    def interrupted(shared, job, send):
        if len(started) == 3:
            raise KeyboardInterrupt
        started.append(job.name)
        return original(shared, job, send)

    monkeypatch.setattr(trainings, "run_job", interrupted)
    arguments = ("--vary", f"{STRENGTH}=0,5", "--seeds", 2)
    status, _, err = scan(ntuples, tmp_path / "scan", *arguments)
    assert status == 130 and "the same command continues" in err
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("scan/trainings/*/*.npz")}
    assert len(kept) == 3
    monkeypatch.setattr(trainings, "run_job", lambda *job: started.append(job[1].name) or original(*job))
    assert scan(ntuples, tmp_path / "scan", *arguments)[0] == 0
    assert len(started) == 8
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert timeless(rows_of(tmp_path / "scan")) == timeless(rows_of(done[0]))


def test_a_trial_that_no_process_saw_complete_is_evaluated_at_the_end(done, ntuples, tmp_path, monkeypatch):
    """As on machines of a cluster that see each other's files late."""
    shutil.copytree(done[0], tmp_path / "scan")
    for record in tmp_path.glob("scan/trainings/*/judged-*.json"):
        record.unlink()
    monkeypatch.setattr(trainings, "_is_over", lambda *_: False)
    evaluated, original = [], trainings.evaluate
    monkeypatch.setattr(trainings, "evaluate", lambda trial, *rest: evaluated.append(trial) or original(trial, *rest))
    assert scan(ntuples, tmp_path / "scan", "--vary", f"{STRENGTH}=0,5", "--seeds", 2)[0] == 0
    assert len(evaluated) == 4 and timeless(rows_of(tmp_path / "scan")) == timeless(rows_of(done[0]))


def test_more_seeds_and_values_train_only_what_is_missing(done, ntuples, tmp_path, jobs):
    shutil.copytree(done[0], tmp_path / "scan")
    before = rows_of(tmp_path / "scan")
    assert scan(ntuples, tmp_path / "scan", "--vary", f"{STRENGTH}=0,5", "--seeds", 2)[0] == 0 and jobs == []
    assert rows_of(tmp_path / "scan") == before
    assert scan(ntuples, tmp_path / "scan", "--vary", f"{STRENGTH}=0,2,5", "--seeds", 2)[0] == 0
    assert sorted(jobs) == [
        ("dann-fold0-member0", 1),
        ("dann-fold0-member0", 2),
        ("dann-fold1-member0", 1),
        ("dann-fold1-member0", 2),
    ]
    after = rows_of(tmp_path / "scan")
    assert [row for row in after if row[STRENGTH] != "2"] == before


def test_strength_zero_is_trained_once_for_all_methods(ntuples, tmp_path, jobs):
    arguments = ("--vary", f"{STRENGTH}=0,5", "--methods", "dann,disco", "--seeds", 1)
    status, out, err = scan(ntuples, tmp_path / "scan", *arguments)
    assert (status, err) == (0, "") and len(jobs) == 2 * 3
    assert "dann with disco" in out and "models.dann.domain.head" in out  # the file's key that the method does not read
    rows = rows_of(tmp_path / "scan")
    assert [(row["curve"], row[STRENGTH]) for row in rows] == [
        ("dann", "0"),
        ("dann", "5"),
        ("disco", "0"),
        ("disco", "5"),
    ]
    assert rows[0]["auc_simulation"] == rows[2]["auc_simulation"]


@pytest.mark.slow
def test_a_training_that_fails_is_a_result(ntuples, tmp_path, monkeypatch):
    original = trainings.run_job

    def failing(shared, job, send):
        if job.spec.domain_section.strength == 5.0 and job.base_seed == 2:
            raise DataError("it diverged")
        return original(shared, job, send)

    monkeypatch.setattr(trainings, "run_job", failing)
    arguments = ("--vary", f"{STRENGTH}=0,5", "--seeds", 2, "--plots", "few")
    status, out, err = scan(ntuples, tmp_path / "scan", *arguments)
    assert (status, err) == (3, "hepda: dann: strength 5: 1 of 2 seeds failed: it diverged\n")
    assert "Failed" in out and "1 of 2" in out
    rows = rows_of(tmp_path / "scan")
    assert rows[3]["auc_simulation"] == "" and rows[3]["why"] == "it diverged" and rows[2]["auc_simulation"]
    points = json.loads((tmp_path / "scan" / "scan.json").read_text())["points"]
    assert [point["failed"] for point in points] == [0, 1] and [point["chosen"] for point in points] == [True, False]
    page = (tmp_path / "scan" / "scan.html").read_text()
    assert "dann: strength 5: 1 of 2 seeds failed: it diverged" in page and "dann at 5 (1 of 2 seeds)" in page


def test_a_point_that_cannot_be_trained_at_all_stops_no_other(ntuples, tmp_path):
    status, out, err = scan(
        ntuples, tmp_path / "scan", "--vary", "models.dann.training.learning_rate=0.001,1e30", "--seeds", 1
    )
    assert status == 3 and "1 of 1 seeds failed" in err and "diverged" in err and "report: " in out
    good, bad = rows_of(tmp_path / "scan")
    assert good["auc_simulation"] and not good["why"]
    assert not bad["auc_simulation"] and "diverged" in bad["why"]


def test_a_scan_says_at_once_which_extra_a_point_needs(ntuples, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "xgboost", None)
    result = scan(ntuples, tmp_path / "scan", "--vary", "models.bdt.library=sklearn,xgboost")
    assert_refused(result, "models.bdt.library: xgboost is not installed", "hepda[xgboost]")
    assert not (tmp_path / "scan").exists()


@pytest.mark.slow
def test_two_processes_find_what_one_does(done, ntuples, tmp_path):
    arguments = ("--vary", f"{STRENGTH}=0,5", "--seeds", 2, "--processes", 2)
    status, _, err = scan(ntuples, tmp_path / "scan", *arguments)
    assert (status, err) == (0, "")
    for row, other in zip(rows_of(tmp_path / "scan"), rows_of(done[0]), strict=True):
        for name in ("auc_simulation", "ks_third", "choice_loss"):  # the processes choose their kernels themselves
            assert float(row[name]) == pytest.approx(float(other[name]), rel=1e-3)


# --- guided -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_guided_search_goes_on_as_if_it_had_not_been_interrupted(ntuples, tmp_path, monkeypatch):
    pytest.importorskip("optuna", reason="comes with the extra hepda[scan]")
    arguments = ("--vary", f"{STRENGTH}=0.1:100:log", "--guided", 4, "--seeds", 1)
    status, _, err = scan(ntuples, tmp_path / "whole", *arguments)
    assert (status, err) == (0, "")
    complete = rows_of(tmp_path / "whole")
    strengths = [float(row[STRENGTH]) for row in complete]
    assert len(complete) == 5 and strengths[0] == 0 and all(0.1 <= s <= 100 for s in strengths[1:])
    started, original = [], trainings.run_job

    def interrupted(shared, job, send):
        started.append(job.name)
        if len(started) == 6:  # the reference and a trial are done, the second trial is half done
            raise KeyboardInterrupt
        return original(shared, job, send)

    monkeypatch.setattr(trainings, "run_job", interrupted)
    assert scan(ntuples, tmp_path / "parts", *arguments)[0] == 130
    assert scan(ntuples, tmp_path / "parts", *arguments)[0] == 0
    assert timeless(rows_of(tmp_path / "parts")) == timeless(complete)
    assert len(started) == 2 * 5 + 1
    assert scan(ntuples, tmp_path / "parts", *arguments)[0] == 0 and len(started) == 11


def test_a_guided_search_says_which_extra_it_needs(ntuples, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    result = scan(ntuples, tmp_path / "scan", "--vary", f"{STRENGTH}=0.1:100:log", "--guided", 2)
    assert_refused(result, "optuna is not installed", "hepda[scan]")


# --- what each mistake says ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--vary", "models.dann.domain.strenght=0,1"], ("--vary models.dann.domain.strenght", "'strength'")),
        (["--vary", "models.dan.domain.strength=0,1"], ("models has no 'dan'", "'dann'")),
        (["--vary", "models.network.domain.strength=0,1"], ("models.network.domain is not given",)),
        (["--vary", "trainig.epochs=1,2"], ("'trainig'", "'training'")),
        (["--vary", "seed.first=1,2"], ("seed has no keys",)),
        (["--vary", f"{STRENGTH}=0,-1"], (STRENGTH, "-1", "greater than or equal to 0")),
        (["--vary", f"{STRENGTH}=0,much"], (STRENGTH, "'much'")),
        (["--vary", f"{STRENGTH}=1,1"], ("listed twice",)),
        (["--vary", f"{STRENGTH}="], ("not of the form",)),
        (["--vary", STRENGTH], ("not of the form",)),
        (["--vary", f"{STRENGTH}=0.1:9:log"], ("--guided",)),
        (["--vary", f"{STRENGTH}=9:1", "--guided", "2"], ("from a smaller to a larger",)),
        (["--vary", f"{STRENGTH}=0:1:log", "--guided", "2"], ("above 0 for log",)),
        (["--vary", f"{STRENGTH}=1:2:lin", "--guided", "2"], ("'lin'",)),
        (["--vary", f"{STRENGTH}=1,2", "--vary", f"{STRENGTH}=3"], ("given twice",)),
        ([], ("--vary",)),
        (["--vary", f"{STRENGTH}=0,1", "--models", "dan"], ("--models", "'dan'", "'dann'")),
        (["--vary", f"{STRENGTH}=0,1", "--models", "network"], ("dann is not among --models network",)),
        (["--vary", f"{STRENGTH}=0,1", "--methods", "disko"], ("--methods", "'disko'", "'disco'")),
        (["--methods", "dann,disco", "--models", "bdt"], ("'bdt' has no `domain:`", "dann")),
        (["--vary", "models.dann.domain.method=dann", "--methods", "disco"], ("varied already",)),
        (["--vary", f"{STRENGTH}=0,1", "--criterion", "entropie"], ("--criterion", "'entropy'")),
        (["--vary", "models.bdt.iterations=2,3", "--criterion", "entropy"], ("trees", "physics")),
        (["--vary", f"{STRENGTH}=0,1", "--tolerance", "-1"], ("--tolerance",)),
        (["--vary", "training.epochs=1:3", "--guided", "2"], ("searches one model", "--models")),
        (["--vary", f"{STRENGTH}=0,1", "--device", "tpu"], ("tpu",)),
        (["--vary", "selection=n_jets >= 5,n_jtes >= 5"], ("n_jtes", "'n_jets'")),
    ],
)  # fmt: skip
def test_a_mistake_is_found_before_anything_is_trained(ntuples, tmp_path, jobs, arguments, message):
    if "--guided" in arguments:
        pytest.importorskip("optuna", reason="comes with the extra hepda[scan]")
    assert_refused(scan(ntuples, tmp_path / "scan", *arguments), *message)
    assert jobs == [] and not list(tmp_path.glob("scan/trainings"))


def test_a_folder_of_another_config_or_of_something_else_is_refused(done, ntuples, tmp_path, jobs):
    shutil.copytree(done[0], tmp_path / "scan")
    page = (tmp_path / "scan" / "scan.html").read_bytes()
    arguments = ("--vary", f"{STRENGTH}=0,5", "--seeds", 2)
    other = scan(ntuples, tmp_path / "scan", *arguments, small=(*SMALL, "training.epochs=2"))
    assert_refused(other, "--output", "scan of another config", "models.dann.training.epochs was 1, is 2")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert_refused(scan(ntuples, tmp_path / "mine", *arguments), "not of a scan")
    assert_refused(scan(ntuples, tmp_path / "mine" / "notes.txt", *arguments), "is a file")
    assert jobs == [] and (tmp_path / "scan" / "scan.html").read_bytes() == page


def test_files_that_have_changed_are_noticed(ntuples, tmp_path, jobs):
    for path in ntuples.parent.iterdir():
        shutil.copy(path, tmp_path / path.name)
    config = tmp_path / ntuples.name
    arguments = ("--vary", "models.bdt.iterations=2", "--seeds", 1)
    assert scan(config, tmp_path / "scan", *arguments)[0] == 0 and len(jobs) == 2
    write_sample(tmp_path / "background.root", 600, 12, signal=False, cross_section=20.0)
    assert_refused(scan(config, tmp_path / "scan", *arguments), "events", "files have changed")
    assert len(jobs) == 2


def test_the_help_names_every_option():
    status, out, err = run_cli("scan", "--help")
    options = ("--vary", "--seeds", "--models", "--methods", "--criterion", "--guided", "--output", "--processes")
    assert (status, err) == (0, "") and all(option in out for option in options)
