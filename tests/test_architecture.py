"""The arrows of the house: who may import whom, and what is not imported before it is needed."""

import subprocess
import sys
from pathlib import Path

import pytest

grimp = pytest.importorskip("grimp", reason="import-linter comes with the extra hepda[test]")

ROOT = Path(__file__).parents[1]
HEAVY = (
    "torch", "pandas", "sklearn", "scipy", "awkward", "uproot", "vector", "pyarrow", "matplotlib", "mplhep", "skops",
    "pyhf", "iminuit",
)  # fmt: skip
LIGHT = (
    "hepda", "hepda.errors", "hepda.cli", "hepda.config", "hepda.rundir", "hepda.training", "hepda.parallel",
    "hepda.jobs", "hepda.kinds", "hepda.kinds.events",
    "hepda.report", "hepda.events", "hepda.evaluation", "hepda.plotting", "hepda.baselines", "hepda.baselines.bdt",
    "hepda.events.table", "hepda.events.splits", "hepda.events.store",
)  # fmt: skip


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("hepda", include_external_packages=True, cache_dir=None)


def imports_of(graph, package):
    """Modules outside `package` that it or its descendants import."""
    own = {package} | graph.find_descendants(package)
    return set().union(*(graph.find_modules_directly_imported_by(module) for module in own)) - own


def test_the_contracts_of_pyproject_hold():
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


def test_the_contracts_can_break(tmp_path):
    """An arrow against the grain is found: the contracts themselves are tested on a house that breaks them."""
    contracts = (ROOT / "pyproject.toml").read_text().partition("[tool.importlinter]")
    (tmp_path / "pyproject.toml").write_text(contracts[1] + contracts[2])
    rooms = ("adversarial", "baselines", "evaluation", "plotting", "events", "config", "rundir", "report", "scanning")
    files = ("analysis", "cli", "comparison", "training", "console", "__main__", "tables", "parallel", "cells")
    files += ("errors", "scoring", "applying", "fit", "jobs", "kinds", "datasets", "together", "cluster", "resources")
    files += ("catalogue", "data_commands", "exchange", "locking", "terminal", "fingerprint", "hashes")
    for room in rooms:
        (tmp_path / "hepda" / room).mkdir(parents=True)
        (tmp_path / "hepda" / room / "__init__.py").write_text("")
    for name in files:
        (tmp_path / "hepda" / f"{name}.py").write_text("")
    (tmp_path / "hepda" / "__init__.py").write_text("")
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"]
    breaks = {
        "adversarial": "import hepda.events",
        "evaluation": "import hepda.plotting",
        "plotting": "import hepda.config",
        "events": "import hepda.analysis",
    }
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    for room, line in breaks.items():
        page = tmp_path / "hepda" / room / "__init__.py"
        page.write_text(line + "\n")
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert result.returncode == 1 and f"hepda.{room}" in result.stdout, (line, result.stdout)
        page.write_text("")
    (tmp_path / "hepda" / "shed.py").write_text("")
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 1 and "shed" in result.stdout


@pytest.mark.parametrize("room", ["adversarial", "baselines", "evaluation", "plotting"])
def test_a_room_of_arrays_imports_nothing_of_hepda_but_errors(graph, room):
    allowed = {"hepda.errors"}
    found = {module for module in imports_of(graph, f"hepda.{room}") if module.split(".")[0] == "hepda"}
    assert found <= allowed


def test_the_core_knows_neither_files_nor_figures(graph):
    outside = {module for module in imports_of(graph, "hepda.adversarial") if not module.startswith("hepda")}
    assert outside & {"torch", "numpy", "safetensors"}
    packages = outside - set(sys.stdlib_module_names)
    assert packages <= {"torch", "numpy", "safetensors", "scipy", "sklearn"}


def test_nothing_unpickles_or_evaluates(graph):
    for module in ("pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"):
        assert module not in graph.modules or not graph.find_modules_that_directly_import(module)


@pytest.mark.parametrize("module", LIGHT)
def test_nothing_heavy_is_imported_before_it_is_needed(module):
    code = f"import sys, {module}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
