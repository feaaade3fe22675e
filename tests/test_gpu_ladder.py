"""The ladder of benchmarks/gpu.py runs where there is no GPU, and says what it could not measure."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


@pytest.fixture
def script(monkeypatch):
    spec = importlib.util.spec_from_file_location("ladder", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "ladder", module)  # where a dataclass looks for its names
    spec.loader.exec_module(module)
    return module


def test_the_ladder_runs_on_the_cpu_and_says_what_is_missing(script, monkeypatch, tmp_path, capsys):
    path = tmp_path / "ladder.json"
    arguments = ["--device", "cpu", "--small", "--minutes", "0", "--json", str(path)]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
    script.main()
    result, shown = json.loads(path.read_text()), capsys.readouterr().out
    rungs = {f"{name}, 128 rows" for name in ("floor", "floor, bfloat16", "floor, 10 networks", "fit")}
    half = "fit, bfloat16, 128 rows"  # not on a processor that emulates it
    assert set(result["ms"]) - {half} == rungs
    assert (half in result["ms"]) != (half in result["missing"])
    assert all(min(values) > 0.0 for values in result["ms"].values())
    assert result["checks"]["two trainings with one seed are equal"] is True
    for name in ("floor, CUDA graph", "fit, pinned memory", "fit, 4 at once", "losses of the device and of the CPU"):
        assert name in result["missing"]
        assert f"not measured: {name}: " in shown
