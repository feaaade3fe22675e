"""`hepda check RUN` and the format of run directories, on a run that an earlier commit wrote."""

import contextlib
import io
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from hepda.cli import main
from hepda.errors import ConfigError
from hepda.runtime import hashes, run_directory
from hepda.workflows.verify import verify

STORED = Path(__file__).parents[1] / "data" / "run_format_2"
NETWORK = "models/network/fold0-member0.safetensors"


@pytest.fixture
def run(tmp_path):
    shutil.copytree(STORED, tmp_path / "run")
    return tmp_path / "run"


def run_cli(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(argument) for argument in arguments])
    return status, out.getvalue(), err.getvalue()


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_stored_run_is_as_it_was_written():
    assert STORED.stat() and sum(p.stat().st_size for p in STORED.rglob("*") if p.is_file()) < 300_000
    status, out, err = run_cli("check", STORED)
    assert (status, err) == (0, "")
    assert "models/network/" in out and out.count("2 trainings as in config.yaml") == 2
    assert "files are as they were written" in out and "WRONG" not in out


def test_the_sums_are_those_of_sha256sum():
    done = subprocess.run(["sha256sum", "--check", "--strict", run_directory.SUMS], cwd=STORED, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "name", [line.split("  ")[1] for line in (STORED / "SHA256SUMS").read_text().splitlines()][::3]
)
def test_a_changed_byte_of_any_file_is_found(run, name):
    content = bytearray((run / name).read_bytes())
    content[-2] ^= 1
    (run / name).write_bytes(content)
    if name in ("config.yaml", "manifest.json"):  # also no longer JSON or YAML: said, not a traceback
        status, _, err = run_cli("check", run)
        assert status == 2 and "Traceback" not in err
    else:
        assert [line for line in verify(run).problems if name in line], name


def test_what_is_missing_changed_or_foreign_is_told_at_once_with_status_2(run):
    (run / "history.csv").unlink()
    (run / "metrics.json").write_text("{}")
    shutil.copy(run / NETWORK, run / "models/network/fold7-member0.safetensors")
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    status, out, err = run_cli("check", run)
    assert status == 2 and out.count("WRONG") == 3
    assert "history.csv: is missing" in err and "metrics.json: has another SHA-256 than was recorded" in err
    assert "fold7-member0.safetensors: is not recorded" in err
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_parameters_that_are_not_those_of_the_analysis_file_are_found(run):
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("encoder:\n    - 8", "encoder:\n    - 9", 1))
    hashes.write_sums(run)  # whoever changed it, recorded it
    said = "has 8 as parameters of encoder.linear0.bias; the analysis file gives 9"
    assert verify(run).problems == [f"{run / NETWORK.replace('fold0', fold)}: {said}" for fold in ("fold0", "fold1")]
    (run / "config.yaml").write_text(text.replace("- m_bb\n", "- m_bb\n- n_b\n", 1))
    assert any("reads the features ht, n_jets, m_bb; the analysis file gives" in line for line in verify(run).problems)


def test_parameters_that_are_not_numbers_are_found_even_if_they_are_recorded(run):
    from safetensors import safe_open

    tensors = load_file(run / NETWORK)
    with safe_open(run / NETWORK, "numpy") as file:
        about = file.metadata()
    name = next(n for n in tensors if n.startswith("encoder"))
    tensors[name] = tensors[name] * float("nan")
    save_file(tensors, run / NETWORK, about)
    sums = hashes.sums_of(run, [NETWORK])
    edit(run / "manifest.json", lambda m: m["sha256"].update(sums))
    hashes.write_sums(run)
    assert verify(run).problems == [f"{run / NETWORK}: has parameters of {name} that are not finite"]


def test_a_record_that_disagrees_with_the_manifest_of_the_training_is_found(run):
    content = bytearray((run / "scores.parquet").read_bytes())
    content[20] ^= 1
    (run / "scores.parquet").write_bytes(content)
    hashes.write_sums(run)
    (problem,) = verify(run).problems
    assert "scores.parquet: has another SHA-256 than manifest.json records of the training" in problem


def test_a_run_of_the_first_format_is_read_and_says_what_has_no_checksum(run):
    (run / run_directory.SUMS).unlink()
    edit(run / "manifest.json", lambda m: m.pop("format"))
    status, out, _ = run_cli("check", run)
    assert status == 0 and "not recorded" in out
    assert "made by an earlier hepda" in out and f"hepda report {run}" in " ".join(out.split())
    assert run_directory.read_manifest(run)["training"]


@pytest.mark.parametrize("command", ["check", "report", "evaluate", "fit", "export", "apply", "compare", "load"])
def test_a_newer_format_is_refused_with_the_version_that_is_needed(run, command, tmp_path):
    def newer(manifest):
        manifest["format"] = run_directory.FORMAT + 1
        manifest["versions"]["hepda"] = "9.1.0"

    edit(run / "manifest.json", newer)
    if command == "load":
        import hepda

        with pytest.raises(ConfigError, match=r"It needs hepda 9\.1\.0 or newer"):
            hepda.load(run)
        return
    more = {
        "export": ["--format", "csv"], "apply": ["x.root", "--output", tmp_path / "o"], "compare": [STORED],
    }  # fmt: skip
    status, _, err = run_cli(command, run, *more.get(command, []))
    assert status == 2
    assert f"is a run directory in format {run_directory.FORMAT + 1}, and hepda" in err
    assert "It needs hepda 9.1.0 or newer: pip install --upgrade hepda" in err


@pytest.mark.parametrize("number", ["2", 0, True, None])
def test_a_damaged_number_of_the_format_is_an_error(run, number):
    edit(run / "manifest.json", lambda m: m.update(format=number))
    with pytest.raises(ConfigError, match="`format` is damaged"):
        run_directory.read_manifest(run)


def test_sums_that_lead_out_of_the_run_are_refused(run):
    with (run / run_directory.SUMS).open("a") as file:
        file.write("0" * 64 + "  ../secret\n")
    with pytest.raises(ConfigError, match="is no checksum of a file of the run"):
        verify(run)


def test_check_takes_either_a_run_or_an_analysis_file():
    for arguments in ([], [STORED, "--config", "tth.yaml"], [STORED, "--all"]):
        status, _, err = run_cli("check", *arguments)
        assert status == 2 and "either one run directory, or one analysis file" in err


def test_a_report_that_is_written_again_is_recorded(run):
    status, _, err = run_cli("report", run, "--plots", "none")
    assert (status, err) == (0, "")
    assert verify(run).problems == [] and "report.html" in hashes.read_sums(run)
